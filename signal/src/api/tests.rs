use std::sync::Arc;

use axum::body::{Body as HttpBody, to_bytes};
use axum::extract::ws::Utf8Bytes;
use axum::http::{Request, Response};
use serde_json::{Value, json};
use tokio::sync::mpsc;
use tower::ServiceExt;

use super::*;
use crate::Config;
use crate::media::Quality;
use crate::media::{Media, MediaEvent, ParticipantId, PublicationId};
use crate::message::publication_text;
use crate::people::Ticket;
use crate::signal::unix_s;
use crate::testing::FakeMedia;
use crate::token::{Claims, Keys};

mod changes;
mod openapi;

const OFFER: &str = "v=0\nm=audio 9 send a\nm=video 9 send v";
const WATCH: &str = "v=0\nm=video 9 recv 0\nm=audio 9 recv 1";

struct Server {
    signal: Signal,
    media: Arc<FakeMedia>,
    keys: Keys,
}

impl Server {
    fn new() -> Self {
        let keys: Keys = [("key", "a-secret-of-more-than-thirty-two-characters")].into_iter().collect();
        let media = Arc::new(FakeMedia::default());
        let config = Config { keys: keys.clone(), ..Config::default() };
        Self { signal: Signal::new(config, Arc::clone(&media) as Arc<dyn Media>), media, keys }
    }

    fn token(&self, video: VideoGrant) -> String {
        let (iss, exp) = ("key".into(), unix_s() + 60);
        let claims = Claims { iss, sub: "x".into(), exp, nbf: 0, name: String::new(), metadata: String::new(), video };
        self.keys.mint(&claims).unwrap()
    }

    fn operator(&self) -> String {
        self.token(VideoGrant { room_admin: true, ..VideoGrant::default() })
    }

    async fn get(&self, path: &str, token: &str) -> (u16, Value) {
        self.ask("GET", path, token, Value::Null).await
    }

    /// Whatever comes back must be what openapi.json says.
    async fn ask(&self, method: &str, path: &str, token: &str, body: Value) -> (u16, Value) {
        let request = Request::builder().method(method).uri(path);
        let request = if token.is_empty() { request } else { request.header("authorization", format!("Bearer {token}")) };
        let request = match &body {
            Value::Null => request.body(HttpBody::empty()),
            body => request.header("content-type", "application/json").body(HttpBody::from(body.to_string())),
        };
        let response: Response<HttpBody> = self.signal.api_router().oneshot(request.unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let value: Value = serde_json::from_slice(&to_bytes(body, 1_000_000).await.unwrap()).unwrap();
        if !parts.status.is_success() {
            assert_eq!(parts.headers["content-type"], "application/problem+json");
            assert_eq!(value["status"], parts.status.as_u16());
        }
        openapi::check(method, path, parts.status.as_u16(), &value);
        (parts.status.as_u16(), value)
    }

    /// Someone who came by the WebSocket, and what they are told.
    fn caller(&self, room: &str, identity: &str) -> mpsc::Receiver<Utf8Bytes> {
        let (outlet, queue) = mpsc::channel(64);
        self.signal.join(Self::ticket(room, identity), true, 1, outlet).unwrap();
        queue
    }

    fn ticket(room: &str, identity: &str) -> Ticket {
        let video = VideoGrant::join(room);
        let (iss, name, metadata) = Default::default();
        Ticket::from(Claims { iss, sub: identity.into(), exp: 0, nbf: 0, name, metadata, video })
    }

    /// A camera by WHIP, and a player by WHEP; returns the player and the camera's picture.
    fn watched(&self) -> (ParticipantId, PublicationId) {
        self.signal.publish(Self::ticket("r", "cam"), OFFER).unwrap();
        let cam = self.media.ids()[0];
        let picture = self.media.with(cam, |person| person.published[1].publication);
        self.signal.play(Self::ticket("r", "ann/ünï"), crate::people::Plan { first: None, audio: 1, video: 1 }, WATCH).unwrap();
        let player = self.media.ids().into_iter().find(|id| *id != cam).unwrap();
        (player, picture)
    }
}

const SUBSCRIPTIONS: &str = "/api/v1/rooms/r/participants/ann%2F%C3%BCn%C3%AF/subscriptions";

#[tokio::test]
async fn a_subscription_says_why() {
    let server = Server::new();
    let (participant, publication) = server.watched();
    let token = server.operator();
    let (_, before) = server.get(SUBSCRIPTIONS, &token).await;
    assert_eq!(before["participants"][0]["subscriptions"][0]["reason"], "not_connected");
    let quality = Quality { current: Some((0, 2)), target: Some((1, 2)), bitrate_bps: 400_000, reason: "awaiting_keyframe" };
    for event in [
        MediaEvent::Connected { participant },
        MediaEvent::Estimate { participant, estimate_bps: 900_000 },
        MediaEvent::Quality { participant, publication, quality },
    ] {
        server.signal.handle_media_event(event);
    }
    let (status, view) = server.get(SUBSCRIPTIONS, &token).await;
    assert_eq!((status, &view["room"], &view["identity"]), (200, &json!("r"), &json!("ann/ünï")));
    let subscriber = &view["participants"][0];
    assert_eq!((&subscriber["estimate_bps"], &subscriber["door"]), (&json!(900_000), &json!("whep")));
    assert_eq!(subscriber["missing_m_lines"], json!({ "audio": 0, "video": 0 }));
    let rows = subscriber["subscriptions"].as_array().unwrap();
    let row = rows.iter().find(|row| row["kind"] == "video").unwrap();
    let expected = json!({ "publication": publication_text(publication), "publisher": "cam", "publisher_id": row["publisher_id"],
        "kind": "video", "source": "camera", "codec": "VP8", "simulcast": false, "muted": false, "mid": "0",
        "current": { "spatial": 0, "temporal": 2 }, "target": { "spatial": 1, "temporal": 2 }, "bitrate_bps": 400_000,
        "reason": "awaiting_keyframe",
        "preferences": { "width": 0, "height": 0, "visible": true, "pinned": false, "screen": false, "priority": 0,
            "spatial_max": null, "temporal_max": null } });
    assert_eq!((rows.len(), row), (2, &expected));
    let sound = rows.iter().find(|row| row["kind"] == "audio").unwrap();
    assert_eq!((&sound["reason"], &sound["current"]), (&Value::Null, &Value::Null));
}

#[tokio::test]
async fn rooms_and_who_is_in_them() {
    let server = Server::new();
    server.watched();
    for n in 0..3 {
        server.signal.publish(Server::ticket(&format!("s{n}"), "cam"), OFFER).unwrap();
    }
    let token = server.operator();
    let (_, all) = server.get("/api/v1/rooms", &token).await;
    assert_eq!(all["rooms"].as_array().unwrap().len(), 4);
    let first = &all["rooms"][0];
    assert_eq!((&first["name"], &first["participants"], &first["publications"]), (&json!("r"), &json!(2), &json!(2)));
    assert_eq!(all.get("next"), None);
    let mut names = Vec::new();
    let mut path = "/api/v1/rooms?limit=3".to_owned();
    loop {
        let (status, page) = server.get(&path, &token).await;
        assert_eq!(status, 200);
        names.extend(page["rooms"].as_array().unwrap().iter().map(|room| room["name"].as_str().unwrap().to_owned()));
        let Some(next) = page["next"].as_str() else { break };
        path = format!("/api/v1/rooms?limit=3&after={next}");
    }
    assert_eq!(names, ["r", "s0", "s1", "s2"]);
    let (_, room) = server.get("/api/v1/rooms/r", &token).await;
    let doors: Vec<_> = room["participants"].as_array().unwrap().iter().map(|p| p["door"].as_str().unwrap()).collect();
    assert_eq!((&room["name"], doors), (&json!("r"), vec!["whip", "whep"]));
    assert_eq!(room["participants"][0]["publications"][1]["kind"], "video");
    assert_eq!(room["participants"][1]["subscriptions"], 2);
}

#[tokio::test]
async fn grants_are_asked_for() {
    let server = Server::new();
    server.watched();
    let member = server.token(VideoGrant::join("r"));
    let host = server.token(VideoGrant { room_admin: true, ..VideoGrant::join("r") });
    let other = server.token(VideoGrant { room_admin: true, ..VideoGrant::join("q") });
    let lister = server.token(VideoGrant { room_list: true, ..VideoGrant::default() });
    for (token, rooms, room) in [("", 401, 401), (&member, 403, 403), (&host, 403, 200), (&other, 403, 403), (&lister, 200, 403)] {
        assert_eq!(server.get("/api/v1/rooms", token).await.0, rooms);
        for path in ["/api/v1/rooms/r", SUBSCRIPTIONS] {
            assert_eq!(server.get(path, token).await.0, room, "{path}");
        }
    }
    // Strangers do not learn which rooms there are.
    assert_eq!(server.get("/api/v1/rooms/nowhere", &member).await.0, 403);
}

#[tokio::test]
async fn what_is_not_there_is_told() {
    let server = Server::new();
    server.watched();
    let token = server.operator();
    for path in ["/api/v1/rooms/q", "/api/v1/rooms/q/participants/a/subscriptions", "/api/v1/rooms/r/participants/a/subscriptions"] {
        assert_eq!(server.get(path, &token).await.0, 404, "{path}");
    }
    for query in ["limit=many", "limit=-1", "first=1"] {
        assert_eq!(server.get(&format!("/api/v1/rooms?{query}"), &token).await.0, 400, "{query}");
    }
}

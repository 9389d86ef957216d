use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::Config;
use crate::media::Media;
use crate::signal::unix_s;
use crate::testing::FakeMedia;
use crate::token::{Claims, Keys, VideoGrant};

pub(crate) const OFFER: &str = "v=0\nm=audio 9 send a\nm=video 9 send v";
const WATCH: &str = "v=0\nm=video 9 recv 0\nm=audio 9 recv 1";

pub(crate) struct Server {
    pub(crate) signal: Signal,
    pub(crate) media: Arc<FakeMedia>,
    pub(crate) keys: Keys,
}

pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: String,
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
    pub(crate) fn detail(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], self.status);
        problem["detail"].as_str().unwrap().to_owned()
    }
}

impl Server {
    pub(crate) fn new() -> Self {
        Self::with(Config::default())
    }

    pub(crate) fn with(config: Config) -> Self {
        let keys: Keys = [("key", "a-secret-of-more-than-thirty-two-characters")].into_iter().collect();
        let media = Arc::new(FakeMedia::default());
        let config = Config { keys: keys.clone(), ..config };
        Self { signal: Signal::new(config, Arc::clone(&media) as Arc<dyn Media>), media, keys }
    }

    pub(crate) fn token_with(&self, identity: &str, change: impl FnOnce(&mut Claims)) -> String {
        let mut claims = Claims {
            iss: "key".into(),
            sub: identity.into(),
            exp: unix_s() + 60,
            nbf: 0,
            name: String::new(),
            metadata: String::new(),
            video: VideoGrant::join("r"),
        };
        change(&mut claims);
        self.keys.mint(&claims).unwrap()
    }

    pub(crate) fn token(&self, identity: &str) -> String {
        self.token_with(identity, |_| {})
    }

    pub(crate) async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.signal.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 20).await.unwrap();
        Reply { status: parts.status.as_u16(), headers: parts.headers, body: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    pub(crate) async fn post(&self, path: &str, token: &str, body: &str) -> Reply {
        self.send(self.request(Method::POST, path, token).header("content-type", "application/sdp").body(body.to_owned().into()).unwrap())
            .await
    }

    /// A PATCH with an If-Match.
    pub(crate) async fn patch(&self, path: &str, token: &str, if_match: &str, body: &str) -> Reply {
        let request = self.request(Method::PATCH, path, token).header("content-type", "application/trickle-ice-sdpfrag");
        let request = if if_match.is_empty() { request } else { request.header("if-match", if_match) };
        self.send(request.body(body.to_owned().into()).unwrap()).await
    }

    pub(crate) async fn call(&self, method: Method, path: &str, token: &str) -> Reply {
        self.send(self.request(method, path, token).body(Body::empty()).unwrap()).await
    }

    pub(crate) fn request(&self, method: Method, path: &str, token: &str) -> axum::http::request::Builder {
        let request = Request::builder().method(method).uri(path);
        if token.is_empty() { request } else { request.header("authorization", format!("Bearer {token}")) }
    }
}

#[tokio::test]
async fn publish_and_end() {
    let server = Server::new();
    let token = server.token("cam");
    let reply = server.post("/whip/r", &token, OFFER).await;
    assert_eq!((reply.status, reply.header("content-type")), (201, "application/sdp"));
    assert_eq!(reply.body, "answer to 2 m-lines");
    assert!(reply.header("etag").starts_with('"') && reply.header("etag").len() > 10);
    let links: Vec<_> = reply.headers.get_all("link").iter().map(|value| value.to_str().unwrap()).collect();
    assert_eq!(links[0], "<stun:192.0.2.1:3478>; rel=\"ice-server\"");
    assert_eq!(
        links[1],
        "<turn:192.0.2.1:3478?transport=udp>; rel=\"ice-server\"; username=\"1700000000:cam\"; credential=\"c2VjcmV0\"; \
         credential-type=\"password\""
    );
    assert_eq!(links.len(), 3);
    assert_eq!(reply.header("access-control-allow-origin"), "*");
    for exposed in ["Location", "ETag", "Link"] {
        assert!(reply.header("access-control-expose-headers").contains(exposed));
    }
    let location = reply.header("location").to_owned();
    assert!(location.starts_with("/resources/") && location.len() >= "/resources/".len() + 32);
    assert_eq!(server.signal.counts().participants, 1);

    // Only with the token that made it, or an admin's.
    assert_eq!(server.call(Method::DELETE, &location, "").await.status, 401);
    assert_eq!(server.call(Method::DELETE, &location, &server.token("other")).await.status, 403);
    let elsewhere = server.token_with("cam", |claims| claims.video.room = "q".into());
    assert_eq!(server.call(Method::DELETE, &location, &elsewhere).await.status, 403);
    assert_eq!(server.call(Method::DELETE, "/resources/0", &token).await.status, 404);
    assert_eq!(server.signal.counts().participants, 1);
    assert_eq!(server.call(Method::DELETE, &location, &token).await.status, 200);
    assert_eq!(server.call(Method::DELETE, &location, &token).await.status, 404);
    assert_eq!((server.signal.counts().participants, server.media.open_count()), (0, 0));
}

#[tokio::test]
async fn an_admin_may_end_what_others_made() {
    let server = Server::new();
    let location = server.post("/whip/r", &server.token("cam"), OFFER).await.header("location").to_owned();
    let admin = server.token_with("boss", |claims| claims.video.room_admin = true);
    assert_eq!(server.call(Method::DELETE, &location, &admin).await.status, 200);
}

#[tokio::test]
async fn play_with_the_publishers_own_token() {
    let server = Server::new();
    let token = server.token("p5");
    let early = server.post("/whep/r/p5", &token, WATCH).await;
    assert_eq!(early.status, 201, "the publisher may come later");
    let publisher = server.post("/whip/r", &token, OFFER).await;
    let late = server.post("/whep/r/p5", &token, WATCH).await;
    assert_eq!((publisher.status, late.status, server.signal.counts().participants), (201, 201, 3));
    let whole_room = server.post("/whep/r", &server.token("viewer"), WATCH).await;
    assert_eq!((whole_room.status, server.signal.counts().participants), (201, 4));
    for player in server.media.ids().into_iter().filter(|id| server.media.with(*id, |person| !person.may_publish)) {
        assert_eq!(server.media.received(player).len(), 2);
    }
    let end = server.call(Method::DELETE, late.header("location"), &token).await;
    assert_eq!((end.status, server.signal.counts().participants), (200, 3));
}

#[tokio::test]
async fn the_resource_ends_with_its_media() {
    let server = Server::new();
    let token = server.token("cam");
    let location = server.post("/whip/r", &token, OFFER).await.header("location").to_owned();
    let participant = server.media.ids()[0];
    server.signal.handle_media_event(crate::media::MediaEvent::Closed { participant, reason: "consent lost" });
    assert_eq!(server.call(Method::DELETE, &location, &token).await.status, 404);
    assert_eq!(server.signal.counts().rooms, 0);
}

#[tokio::test]
async fn tokens_are_asked_for_and_checked() {
    let server = Server::new();
    let no_token = server.post("/whip/r", "", OFFER).await;
    assert_eq!((no_token.status, no_token.header("www-authenticate")), (401, r#"Bearer realm="pointsman""#));
    assert!(no_token.detail().contains("Bearer"));
    assert_eq!(no_token.header("access-control-allow-origin"), "*");
    let bad = server.post("/whip/r", "x.y.z", OFFER).await;
    assert_eq!(bad.status, 401);
    assert!(bad.header("www-authenticate").contains(r#"error="invalid_token""#));
    let expired = server.token_with("cam", |claims| claims.exp = unix_s() - 60);
    let expired = server.post("/whep/r", &expired, WATCH).await;
    assert_eq!((expired.status, expired.detail()), (401, "the token has expired".to_owned()));
    type Change = fn(&mut Claims);
    let cases: [(&str, Change); 4] = [
        ("/whip/r", |claims| claims.video.room = "q".into()),
        ("/whip/r", |claims| claims.video.room_join = false),
        ("/whip/r", |claims| claims.video.can_publish = Some(false)),
        ("/whep/r", |claims| claims.video.can_subscribe = Some(false)),
    ];
    for (path, change) in cases {
        let reply = server.post(path, &server.token_with("cam", change), OFFER).await;
        assert_eq!(reply.status, 403, "{path}");
        assert!(reply.header("www-authenticate").contains("insufficient_scope"));
    }
    assert_eq!(server.media.open_count(), 0);
}

#[tokio::test]
async fn bad_requests_have_their_status() {
    let server = Server::with(Config { sdp_bytes_max: 1000, ..Config::default() });
    let token = server.token("cam");
    for (body, status) in [("hello", 400), ("", 400), ("v=0 nothing", 422), ("x".repeat(1001).as_str(), 413)] {
        for path in ["/whip/r", "/whep/r", "/whep/r/p"] {
            // A player's offer that is not taken, or none, is answered by one of ours.
            if path != "/whip/r" && ["", "v=0 nothing"].contains(&body) {
                continue;
            }
            let reply = server.post(path, &token, body).await;
            assert_eq!(reply.status, status, "{path}");
            assert!(!reply.detail().is_empty());
        }
    }
    let typed = |name: &'static str, value: &'static str| {
        let request = server.request(Method::POST, "/whip/r", &token);
        let request = if name == "accept" { request.header("content-type", "application/sdp") } else { request };
        server.send(request.header(name, value).body(OFFER.into()).unwrap())
    };
    assert_eq!(typed("content-type", "text/plain").await.status, 415);
    assert_eq!(typed("x-nothing", "").await.status, 415);
    assert_eq!(typed("accept", "text/html").await.status, 406);
    assert_eq!(server.media.open_count(), 0);
    assert_eq!(typed("accept", "text/html, application/*;q=0.8").await.status, 201);
    assert_eq!(typed("content-type", "Application/SDP; charset=utf-8").await.status, 201);
    assert_eq!(server.call(Method::POST, "/whip/r/more/than/that", &token).await.status, 404);
}

#[tokio::test]
async fn a_full_server_says_when_to_come_again() {
    let server = Server::with(Config { participants_max: 1, ..Config::default() });
    assert_eq!(server.post("/whip/r", &server.token("one"), OFFER).await.status, 201);
    let full = server.post("/whip/r", &server.token("two"), OFFER).await;
    assert_eq!((full.status, full.header("retry-after")), (503, "5"));
}

#[tokio::test]
async fn other_methods_and_preflights() {
    let server = Server::new();
    for path in ["/whip/r", "/whep/r", "/whep/r/p"] {
        for method in [Method::PUT, Method::DELETE, Method::PATCH] {
            let reply = server.call(method, path, &server.token("x")).await;
            assert_eq!((reply.status, reply.header("allow")), (405, "GET, HEAD, POST, OPTIONS"));
            assert!(reply.detail().contains("POST"));
        }
        let reply = server.call(Method::OPTIONS, path, "").await;
        for allowed in ["Authorization", "Content-Type", "If-Match"] {
            assert!(reply.header("access-control-allow-headers").contains(allowed));
        }
        assert!(reply.header("access-control-allow-methods").contains("POST"));
    }
    for method in [Method::PUT, Method::POST] {
        let reply = server.call(method, "/resources/x", &server.token("x")).await;
        assert_eq!((reply.status, reply.header("allow")), (405, "GET, HEAD, PATCH, DELETE, OPTIONS"));
    }
    assert!(server.call(Method::OPTIONS, "/resources/x", "").await.header("access-control-allow-methods").contains("PATCH, DELETE"));
}

/// A resource and its entity tag.
async fn publish(server: &Server, token: &str) -> (String, String) {
    let reply = server.post("/whip/r", token, OFFER).await;
    assert_eq!(reply.status, 201);
    (reply.header("location").to_owned(), reply.header("etag").to_owned())
}

#[tokio::test]
async fn only_who_made_it_may_patch_it() {
    let server = Server::new();
    let token = server.token("cam");
    let (location, tag) = publish(&server, &token).await;
    let patch = |token: String| {
        let (server, location, tag) = (&server, &location, &tag);
        async move { server.patch(location, &token, tag, "ufrag first").await.status }
    };
    assert_eq!(patch(String::new()).await, 401);
    assert_eq!(patch("x.y.z".into()).await, 401);
    assert_eq!(patch(server.token("other")).await, 403);
    assert_eq!(patch(server.token_with("cam", |claims| claims.video.room = "q".into())).await, 403);
    assert_eq!(patch(server.token_with("boss", |claims| claims.video.room_admin = true)).await, 204);
    assert_eq!(server.patch("/resources/00", &token, &tag, "ufrag first").await.status, 404);
}

#[tokio::test]
async fn a_storm_of_patches_is_slowed_and_others_are_not() {
    let whip = WhipConfig { patches_per_s: 1, patches_burst: 5, ..WhipConfig::default() };
    let server = Server::with(Config { whip, ..Config::default() });
    let token = server.token("cam");
    let ((storm, tag), (other, other_tag)) = (publish(&server, &token).await, publish(&server, &token).await);
    let mut refused = 0;
    for _ in 0..20 {
        let reply = server.patch(&storm, &token, &tag, "ufrag first").await;
        if reply.status == 429 {
            assert!(reply.header("retry-after").parse::<u32>().unwrap() >= 1 && !reply.detail().is_empty());
            refused += 1;
        }
    }
    assert!(refused >= 14, "{refused}");
    assert_eq!(server.patch(&other, &token, &other_tag, "ufrag first").await.status, 204);
    assert_eq!(server.call(Method::DELETE, &storm, &token).await.status, 200, "it can end all the same");
}

#[tokio::test]
async fn an_avalanche_of_offers_is_told_to_come_again() {
    let whip = WhipConfig { offers_per_s: 1, offers_burst: 2, ..WhipConfig::default() };
    let server = Server::with(Config { whip, ..Config::default() });
    let token = server.token("cam");
    assert_eq!(server.post("/whip/r", "", OFFER).await.status, 401, "who has no token uses no place");
    for status in [201, 201, 503] {
        assert_eq!(server.post("/whip/r", &token, OFFER).await.status, status);
    }
    let reply = server.post("/whep/r", &token, WATCH).await;
    assert_eq!((reply.status, reply.header("retry-after")), (503, "5"));
}

#[tokio::test]
async fn fragments_are_bounded() {
    let server = Server::with(Config { whip: WhipConfig { fragment_bytes_max: 1_000, ..WhipConfig::default() }, ..Config::default() });
    let token = server.token("cam");
    let (location, tag) = publish(&server, &token).await;
    assert_eq!(server.patch(&location, &token, &tag, &"x".repeat(1_001)).await.status, 413);
    assert_eq!(server.patch(&location, &token, &tag, "").await.status, 400);
    assert_eq!(server.patch(&location, &token, &tag, "ufrag bad").await.status, 422);
    // Headers are judged before the precondition, and that before the body.
    assert_eq!(server.patch(&location, &token, "", &"x".repeat(1_001)).await.status, 428);
    let typed = server.request(Method::PATCH, &location, &token).header("content-type", "application/json");
    assert_eq!(server.send(typed.body("{}".into()).unwrap()).await.status, 415);
    assert_eq!(server.patch(&location, &token, &tag, "ufrag first").await.status, 204, "nothing of it did harm");
}

#[tokio::test]
async fn an_offer_of_ours_that_nobody_answers_is_forgotten() {
    let server = Server::new();
    let token = server.token("viewer");
    let (kept, left) = (server.post("/whep/r", &token, "").await, server.post("/whep/r", &token, "v=0 nothing").await);
    assert_eq!((kept.status, left.status, server.signal.counts().participants), (201, 406, 2));
    let answer = |location: String| {
        let request = server.request(Method::PATCH, &location, &token).header("content-type", "application/sdp");
        server.send(request.body(WATCH.into()).unwrap())
    };
    assert_eq!(answer(kept.header("location").to_owned()).await.status, 204);
    // What the timer of each does.
    for reply in [&kept, &left] {
        server.signal.end_unanswered(reply.header("location").strip_prefix("/resources/").unwrap());
    }
    assert_eq!(server.signal.counts().participants, 1, "the one that answered stays");
    assert_eq!(answer(left.header("location").to_owned()).await.status, 404);
    assert_eq!(answer(kept.header("location").to_owned()).await.status, 409, "and is answered once");
}

use std::sync::Arc;

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::Value;
use tower::ServiceExt;

use super::*;
use crate::Config;
use crate::media::Media;
use crate::testing::FakeMedia;
use crate::token::Keys;

const OFFER: &str = "v=0\nm=audio 9 send a\nm=video 9 send v";
const WATCH: &str = "v=0\nm=video 9 recv 0\nm=audio 9 recv 1";

struct Server {
    signal: Signal,
    media: Arc<FakeMedia>,
    keys: Keys,
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: String,
}

impl Reply {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }
    fn detail(&self) -> String {
        assert_eq!(self.header("content-type"), "application/problem+json");
        let problem: Value = serde_json::from_str(&self.body).unwrap();
        assert_eq!(problem["status"], self.status);
        problem["detail"].as_str().unwrap().to_owned()
    }
}

impl Server {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(config: Config) -> Self {
        let keys: Keys = [("key", "a-secret-of-more-than-thirty-two-characters")].into_iter().collect();
        let media = Arc::new(FakeMedia::default());
        let config = Config { keys: keys.clone(), ..config };
        Self { signal: Signal::new(config, Arc::clone(&media) as Arc<dyn Media>), media, keys }
    }

    fn token_with(&self, identity: &str, change: impl FnOnce(&mut Claims)) -> String {
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

    fn token(&self, identity: &str) -> String {
        self.token_with(identity, |_| {})
    }

    async fn send(&self, request: Request<Body>) -> Reply {
        let response = self.signal.router().oneshot(request).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 20).await.unwrap();
        Reply { status: parts.status.as_u16(), headers: parts.headers, body: String::from_utf8(bytes.to_vec()).unwrap() }
    }

    async fn post(&self, path: &str, token: &str, body: &str) -> Reply {
        self.send(self.request(Method::POST, path, token).header("content-type", "application/sdp").body(body.to_owned().into()).unwrap())
            .await
    }

    async fn call(&self, method: Method, path: &str, token: &str) -> Reply {
        self.send(self.request(method, path, token).body(Body::empty()).unwrap()).await
    }

    fn request(&self, method: Method, path: &str, token: &str) -> axum::http::request::Builder {
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
    assert_eq!(server.call(Method::PATCH, &location, &token).await.header("allow"), "DELETE, OPTIONS");
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
        for method in [Method::GET, Method::PUT, Method::DELETE, Method::PATCH] {
            let reply = server.call(method, path, &server.token("x")).await;
            assert_eq!((reply.status, reply.header("allow")), (405, "POST, OPTIONS"));
        }
        let reply = server.call(Method::OPTIONS, path, "").await;
        assert_eq!((reply.status, reply.header("accept-post")), (204, "application/sdp"));
        assert_eq!(reply.header("access-control-allow-origin"), "*");
        for allowed in ["Authorization", "Content-Type", "If-Match"] {
            assert!(reply.header("access-control-allow-headers").contains(allowed));
        }
        assert!(reply.header("access-control-allow-methods").contains("POST"));
    }
    let reply = server.call(Method::OPTIONS, "/resources/x", "").await;
    assert_eq!(reply.status, 204);
    assert!(reply.header("access-control-allow-methods").contains("DELETE"));
}

async fn dev_token(server: &Server, body: &str) -> Reply {
    let request = Request::post("/dev/token").header("content-type", "application/json");
    server.send(request.body(body.to_owned().into()).unwrap()).await
}

#[tokio::test]
async fn dev_tokens_only_where_allowed() {
    let body = r#"{"room":"r","name":" Ann "}"#;
    assert_eq!(dev_token(&Server::new(), body).await.status, 404);
    let server = Server::with(Config { dev_tokens: true, ..Config::default() });
    let reply = dev_token(&server, body).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, ""));
    let minted: Value = serde_json::from_str(&reply.body).unwrap();
    let claims = server.keys.verify(minted["token"].as_str().unwrap(), unix_s()).unwrap();
    assert!(claims.video.may_join("r") && claims.name == "Ann" && claims.sub.starts_with("Ann-"));
    assert_eq!(server.post("/whip/r", minted["token"].as_str().unwrap(), OFFER).await.status, 201);
    let admin: Value = serde_json::from_str(&dev_token(&server, r#"{"room":"r","name":"Ann","admin":true}"#).await.body).unwrap();
    let may_administrate = |minted: &Value| server.keys.verify(minted["token"].as_str().unwrap(), unix_s()).unwrap().video.room_admin;
    assert!(may_administrate(&admin) && !may_administrate(&minted));
    assert_eq!(dev_token(&server, r#"{"room":"","name":"x"}"#).await.status, 400);
    assert_eq!(dev_token(&server, r#"{"room":1}"#).await.status, 422);
    let form = Request::post("/dev/token").header("content-type", "text/plain").body(Body::from(body)).unwrap();
    assert_eq!(server.send(form).await.status, 415);
}

#[tokio::test]
async fn the_page_and_the_client_are_served() {
    for (dev_tokens, mark) in [(false, "data-dev=\"false\""), (true, "data-dev=\"true\"")] {
        let server = Server::with(Config { dev_tokens, ..Config::default() });
        let page = server.call(Method::GET, "/", "").await;
        assert_eq!((page.status, page.header("content-type")), (200, "text/html; charset=utf-8"));
        assert!(page.body.contains(mark) && page.header("content-security-policy").contains("default-src 'none'"));
        // Whatever the page names is there.
        let files = page.body.split('"').filter(|text| text.starts_with("/page/") || text.starts_with("/client/"));
        for path in files {
            assert_eq!(server.call(Method::GET, path, "").await.status, 200, "{path}");
        }
    }
    let server = Server::new();
    let client = server.call(Method::GET, "/client/pointsman.js", "").await;
    assert_eq!(client.header("content-type"), "text/javascript; charset=utf-8");
    assert_eq!(client.header("access-control-allow-origin"), "*");
    assert!(client.body.contains("export class Room"));
}

#[test]
fn quotes_in_credentials_are_escaped() {
    let server = IceServer { urls: vec!["turn:h".into()], username: r#"a"b\c"#.into(), credential: "d".into() };
    assert!(links(&server)[0].contains(r#"username="a\"b\\c""#));
}

use axum::body::Body;
use axum::http::{Method, Request};
use serde_json::Value;

use crate::Config;
use crate::signal::unix_s;
use crate::whip::tests::{OFFER, Reply, Server};

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

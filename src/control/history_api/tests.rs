use std::collections::BTreeSet;

use axum::body::to_bytes;
use axum::http::Request;
use pointsman_signal::token::VideoGrant;
use serde_json::json;
use tower::ServiceExt;

use super::*;
use crate::store::{Entry, Sample};
use crate::users::Database;

fn keys() -> Arc<Keys> {
    Arc::new([("key", "a-secret-of-more-than-thirty-two-characters")].into_iter().collect())
}

fn token(room: &str, room_admin: bool) -> String {
    let video = VideoGrant { room: room.into(), room_admin, ..VideoGrant::default() };
    let exp = now_ms() / 1_000 + 60;
    let claims = Claims { iss: "key".into(), sub: "x".into(), exp, nbf: 0, name: String::new(), metadata: String::new(), video };
    keys().mint(&claims).unwrap()
}

async fn filled() -> Router {
    let store = Store::new(&Database::Sqlite(":memory:".into())).unwrap();
    store.migrate().await.unwrap();
    let chat = |n: u64| {
        let (room, identity) = (if n.is_multiple_of(2) { "board" } else { "hall" }.to_owned(), "ann".to_owned());
        Entry::History(History { at_ms: n * 1_000, room, kind: "chat".into(), identity, body: format!("{{\"text\":\"{n}\"}}") })
    };
    let mut entries: Vec<Entry> = (0..2_500).map(chat).collect();
    let (room, identity, body) = ("board".into(), "ann".into(), "{\"score\":1}".into());
    entries.push(Entry::Sample(Box::new(Sample { at_ms: now_ms(), room, identity, score: Some(410), body, ..Sample::default() })));
    store.write(&entries).await.unwrap();
    router(Some(store), keys())
}

async fn ask(router: &Router, method: &str, path: &str, token: &str) -> (u16, String, String) {
    let request = Request::builder().method(method).uri(path).header("authorization", format!("Bearer {token}"));
    let response = router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let kind = response.headers()["content-type"].to_str().unwrap().to_owned();
    let status = response.status().as_u16();
    (status, kind, String::from_utf8(to_bytes(response.into_body(), 10_000_000).await.unwrap().into()).unwrap())
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).unwrap()
}

#[tokio::test]
async fn history_comes_in_pages_and_as_lines() {
    let router = filled().await;
    let operator = token("", true);
    let (status, _, page) = ask(&router, "GET", "/api/v1/history?room=board&limit=2", &operator).await;
    let page = value(&page);
    assert_eq!((status, &page["entries"][1]["body"], &page["entries"][1]["at_ms"]), (200, &json!({ "text": "2" }), &json!(2_000)));
    let next = format!("/api/v1/history?room=board&limit=2&after={}", page["next"]);
    assert_eq!(value(&ask(&router, "GET", &next, &operator).await.2)["entries"][0]["body"]["text"], "4");
    let (_, kind, lines) = ask(&router, "GET", "/api/v1/history/export", &operator).await;
    let bodies: Vec<String> = lines.lines().map(|line| value(line)["body"]["text"].as_str().unwrap().to_owned()).collect();
    assert_eq!((kind.as_str(), bodies.len()), ("application/x-ndjson", 2_500), "every line, over several pages");
    assert_eq!(bodies, (0..2_500).map(|n| n.to_string()).collect::<Vec<_>>());
}

/// A host of the room reads no more of it than the room's people could.
#[tokio::test]
async fn what_one_said_to_another_is_for_operators_alone() {
    let store = Store::new(&Database::Sqlite(":memory:".into())).unwrap();
    store.migrate().await.unwrap();
    let said = |kind: &str| {
        let (room, kind, identity, body) = ("board".into(), kind.into(), "ann".into(), "{}".into());
        Entry::History(History { at_ms: 1, room, kind, identity, body })
    };
    store.write(&[said("chat"), said("private_chat"), said("poll")]).await.unwrap();
    let router = router(Some(store), keys());
    let kinds = async |path: &str, token: &str| {
        let (_, _, page) = ask(&router, "GET", path, token).await;
        let page = value(&page);
        page["entries"].as_array().unwrap().iter().map(|row| row["kind"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let (host, operator, room) = (token("board", true), token("", true), "/api/v1/history?room=board");
    assert_eq!(kinds(room, &host).await, ["chat", "poll"]);
    assert_eq!(kinds(&format!("{room}&newest=true&limit=2"), &operator).await, ["poll", "private_chat"]);
    assert!(kinds(&format!("{room}&kind=private_chat"), &host).await.is_empty());
    let (_, _, lines) = ask(&router, "GET", "/api/v1/history/export?room=board", &host).await;
    assert_eq!(lines.lines().count(), 2);
    // What they may not read they may have forgotten.
    assert_eq!(value(&ask(&router, "DELETE", room, &host).await.2), json!({ "deleted": 3 }));
}

#[tokio::test]
async fn what_is_named_is_deleted_and_nothing_else() {
    let router = filled().await;
    let operator = token("", true);
    assert_eq!(ask(&router, "DELETE", "/api/v1/history", &operator).await.0, 400);
    let (status, _, deleted) = ask(&router, "DELETE", "/api/v1/history?room=hall", &operator).await;
    assert_eq!((status, value(&deleted)), (200, json!({ "deleted": 1_250 })));
    // The board's chat and its sample.
    assert_eq!(value(&ask(&router, "DELETE", "/api/v1/history?room=board", &operator).await.2), json!({ "deleted": 1_251 }));
}

#[tokio::test]
async fn quality_is_told_in_groups_over_time() {
    let router = filled().await;
    let (status, _, answer) = ask(&router, "GET", "/api/v1/quality?by=room", &token("", true)).await;
    let answer = value(&answer);
    assert_eq!((status, &answer["groups"][0]["name"], &answer["groups"][0]["score"]), (200, &json!("board"), &json!(4.1)));
    assert_eq!(answer["groups"][0]["points"][0]["samples"], 1);
    assert!(answer["step_s"].as_u64().unwrap() >= 10);
    let samples = value(&ask(&router, "GET", "/api/v1/quality/samples?room=board", &token("board", true)).await.2);
    assert_eq!(samples["samples"][0]["sample"], json!({ "score": 1 }));
}

#[tokio::test]
async fn grants_are_asked_for_and_questions_are_read_with_care() {
    let router = filled().await;
    let all = "/api/v1/history";
    let board = "/api/v1/history?room=board";
    for (token, of_all, of_board) in [
        ("no token".into(), 401, 401),
        (token("board", false), 403, 403),
        (token("board", true), 403, 200),
        (token("hall", true), 403, 403),
    ] {
        assert_eq!((ask(&router, "GET", all, &token).await.0, ask(&router, "GET", board, &token).await.0), (of_all, of_board));
    }
    for question in ["limit=many", "since_s=-1", "colour=red", "after=x"] {
        assert_eq!(ask(&router, "GET", &format!("{all}?{question}"), &token("", true)).await.0, 400, "{question}");
    }
    assert_eq!(ask(&router, "GET", "/api/v1/quality?by=shoe", &token("", true)).await.0, 400);
    let without = super::router(None, keys());
    assert_eq!(ask(&without, "GET", all, &token("", true)).await.0, 404);
    assert_eq!(ask(&router, "PUT", all, &token("", true)).await.0, 405);
}

/// Every address of the API is described, and what is described is there: the parts' own tables together are the description.
#[test]
fn the_description_knows_all_addresses() {
    let document: Value = serde_json::from_str(pointsman_signal::OPENAPI).unwrap();
    let methods = |path: &str, allow: &str| allow.split(", ").map(|method| format!("{method} {path}")).collect::<Vec<_>>();
    let mut served: BTreeSet<String> = table().iter().flat_map(|(path, allow, _)| methods(path, allow)).collect();
    served.extend(pointsman_signal::api_addresses().iter().flat_map(|(path, allow)| methods(path, allow)));
    served.extend(super::super::turn_api::ADDRESSES.iter().flat_map(|(path, allow)| methods(path, allow)));
    let paths = document["paths"].as_object().unwrap().iter();
    let described = paths.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().keys().filter(|key| *key != "parameters");
        methods.map(move |method| format!("{} {path}", method.to_uppercase())).collect::<Vec<_>>()
    });
    assert_eq!(described.collect::<BTreeSet<_>>(), served);
}

//! What operators change, and what people in the room see of it.

use super::*;

/// What is waiting to be told to a caller.
fn told(queue: &mut mpsc::Receiver<Utf8Bytes>) -> Vec<Value> {
    std::iter::from_fn(|| queue.try_recv().ok()).map(|text| serde_json::from_str(&text).unwrap()).collect()
}

fn of_type<'v>(told: &'v [Value], kind: &str) -> &'v Value {
    told.iter().find(|message| message["type"] == kind).unwrap_or_else(|| panic!("no {kind} in {told:?}"))
}

#[tokio::test]
async fn a_room_is_opened_changed_and_ended() {
    let server = Server::new();
    let token = server.operator();
    let options = json!({ "name": "board", "metadata": "agenda", "participants_max": 1, "empty_timeout_s": 60 });
    let (status, room) = server.ask("POST", "/api/v1/rooms", &token, options.clone()).await;
    assert_eq!(
        (status, &room["metadata"], &room["participants_max"], &room["empty_timeout_s"]),
        (201, &json!("agenda"), &json!(1), &json!(60))
    );
    // Again: the same room.
    let (status, again) = server.ask("POST", "/api/v1/rooms", &token, options).await;
    assert_eq!((status, &again["id"]), (200, &room["id"]));
    let mut ann = server.caller("board", "ann");
    assert_eq!(of_type(&told(&mut ann), "joined")["metadata"], "agenda");
    let (outlet, _queue) = mpsc::channel(8);
    let refused = server.signal.join(Server::ticket("board", "bob"), true, 1, outlet).unwrap_err();
    assert_eq!(refused.code, crate::message::ErrorCode::Full, "the room takes one");
    let (status, room) = server.ask("PATCH", "/api/v1/rooms/board", &token, json!({ "metadata": "minutes", "participants_max": 0 })).await;
    assert_eq!((status, &room["participants_max"], &room["empty_timeout_s"]), (200, &Value::Null, &json!(60)));
    assert_eq!(of_type(&told(&mut ann), "room_metadata")["metadata"], "minutes");
    let _bob = server.caller("board", "bob");
    let (status, ended) = server.ask("DELETE", "/api/v1/rooms/board", &token, Value::Null).await;
    assert_eq!((status, ended), (200, json!({ "participants": 2 })));
    assert_eq!(of_type(&told(&mut ann), "closed")["reason"], "room_ended");
    assert_eq!(server.get("/api/v1/rooms/board", &token).await.0, 404);
    assert_eq!(server.ask("DELETE", "/api/v1/rooms/board", &token, Value::Null).await.0, 404);
    assert_eq!(server.media.open_count(), 0);
}

#[tokio::test]
async fn a_room_waits_for_its_people_as_long_as_it_was_told() {
    let server = Server::new();
    let token = server.operator();
    for (name, timeout) in [("short", 0), ("long", 3_600)] {
        let body = json!({ "name": name, "empty_timeout_s": timeout });
        assert_eq!(server.ask("POST", "/api/v1/rooms", &token, body).await.0, 201);
    }
    server.signal.handle_time();
    assert_eq!(server.get("/api/v1/rooms/short", &token).await.0, 404);
    assert_eq!(server.get("/api/v1/rooms/long", &token).await.0, 200);
    // Who comes and goes does not end it.
    server.signal.publish(Server::ticket("long", "cam"), OFFER).unwrap();
    let cam = server.media.ids()[0];
    server.signal.leave(cam, crate::message::LeaveReason::Left);
    server.signal.handle_time();
    assert_eq!(server.get("/api/v1/rooms/long", &token).await.1["participants"], json!([]));
    // An hour later it has.
    server.signal.change(|rooms, _| {
        rooms.set_now(unix_s() + 3_601);
        rooms.handle_time();
    });
    assert_eq!(server.get("/api/v1/rooms/long", &token).await.0, 404);
}

#[tokio::test]
async fn people_are_renamed_muted_and_removed() {
    let server = Server::new();
    let token = server.operator();
    let mut ann = server.caller("r", "ann");
    server.signal.publish(Server::ticket("r", "cam/1"), OFFER).unwrap();
    let cam = server.media.ids().into_iter().find(|id| server.media.with(*id, |person| !person.published.is_empty())).unwrap();
    let [sound, picture] = server.media.with(cam, |person| [person.published[0].publication, person.published[1].publication]);
    let path = "/api/v1/rooms/r/participants/cam%2F1";
    told(&mut ann);
    let (status, changed) = server.ask("PATCH", path, &token, json!({ "name": "Door" })).await;
    assert_eq!(
        (status, &changed["participants"][0]["name"], &changed["participants"][0]["identity"]),
        (200, &json!("Door"), &json!("cam/1"))
    );
    assert_eq!(of_type(&told(&mut ann), "participant_updated")["name"], "Door");
    let mute = format!("{path}/mute");
    let (status, muted) = server.ask("POST", &mute, &token, json!({ "muted": true, "source": "microphone" })).await;
    assert_eq!((status, muted), (200, json!({ "publications": 1 })));
    assert!(server.media.is_muted(sound) && !server.media.is_muted(picture));
    let message = told(&mut ann);
    let message = of_type(&message, "publication_muted");
    assert_eq!((&message["publication"], &message["muted_by_server"]), (&json!(publication_text(sound)), &json!(true)));
    let one = json!({ "muted": true, "publication": publication_text(picture) });
    assert_eq!(server.ask("POST", &mute, &token, one).await.1, json!({ "publications": 1 }));
    assert!(server.media.is_muted(picture));
    assert_eq!(server.ask("POST", &mute, &token, json!({ "muted": false })).await.1, json!({ "publications": 2 }));
    assert!(!server.media.is_muted(sound) && !server.media.is_muted(picture));
    let (status, removed) = server.ask("DELETE", path, &token, Value::Null).await;
    assert_eq!((status, removed), (200, json!({ "participants": 1 })));
    assert_eq!(of_type(&told(&mut ann), "participant_left")["reason"], "removed");
    for (method, path, body) in [("DELETE", path, Value::Null), ("POST", &mute, json!({ "muted": true })), ("PATCH", path, json!({}))] {
        assert_eq!(server.ask(method, path, &token, body).await.0, 404, "{method} {path}");
    }
}

#[tokio::test]
async fn texts_reach_whom_they_are_for() {
    let server = Server::new();
    let token = server.operator();
    let (mut ann, mut bob) = (server.caller("r", "ann"), server.caller("r", "bob"));
    let path = "/api/v1/rooms/r/data";
    let (status, told_all) = server.ask("POST", path, &token, json!({ "text": "five minutes left", "topic": "clock" })).await;
    assert_eq!((status, told_all), (200, json!({ "participants": 2 })));
    let anns = told(&mut ann);
    let data = of_type(&anns, "data");
    assert_eq!((&data["text"], &data["topic"], &data["participant"]), (&json!("five minutes left"), &json!("clock"), &Value::Null));
    told(&mut bob);
    assert_eq!(server.ask("POST", path, &token, json!({ "text": "hi", "to": ["bob"] })).await.1, json!({ "participants": 1 }));
    assert_eq!((told(&mut ann).len(), told(&mut bob).len()), (0, 1));
    assert_eq!(server.ask("POST", "/api/v1/rooms/q/data", &token, json!({ "text": "hi" })).await.0, 404);
}

#[tokio::test]
async fn minted_tokens_join_and_no_more() {
    let server = Server::new();
    let token = server.operator();
    let wish = json!({ "room": "r", "identity": "ann", "name": "Ann", "can_publish": false, "lifetime_s": 60 });
    let (status, minted) = server.ask("POST", "/api/v1/tokens", &token, wish).await;
    assert_eq!(status, 200);
    let claims = server.keys.verify(minted["token"].as_str().unwrap(), unix_s()).unwrap();
    assert_eq!((claims.sub.as_str(), claims.exp), ("ann", minted["expires_s"].as_u64().unwrap()));
    assert!(claims.video.may_join("r") && !claims.video.may_publish() && !claims.video.room_admin);
    for (field, value) in [("identity", json!("")), ("identity", json!("x".repeat(129))), ("lifetime_s", json!(0)), ("room", json!(""))] {
        let mut wish = json!({ "room": "r", "identity": "ann" });
        wish[field] = value;
        let (status, problem) = server.ask("POST", "/api/v1/tokens", &token, wish).await;
        assert!(status == 422 && problem["detail"].as_str().unwrap().starts_with(field), "{field}: {problem}");
    }
    let host = server.token(VideoGrant { room_admin: true, ..VideoGrant::join("r") });
    assert_eq!(server.ask("POST", "/api/v1/tokens", &host, json!({ "room": "r", "identity": "x" })).await.0, 403);
}

#[tokio::test]
async fn turn_credentials_are_those_of_who_asks() {
    let server = Server::new();
    let (operator, member) = (server.operator(), server.token(VideoGrant::join("r")));
    let (status, anyone) = server.get("/api/v1/turn?service=turn&username=ann", &operator).await;
    assert_eq!((status, &anyone["username"], &anyone["password"]), (200, &json!("1700000000:ann"), &json!("c2VjcmV0")));
    assert_eq!(anyone["uris"], json!(["turn:192.0.2.1:3478?transport=udp", "turn:192.0.2.1:3478?transport=tcp"]));
    // The tokens of this test are those of `x`.
    assert_eq!(server.get("/api/v1/turn", &member).await.1["username"], "1700000000:x");
    assert_eq!(server.get(&format!("/api/v1/turn?key={member}&username=x"), "").await.0, 200);
    assert_eq!(server.get("/api/v1/turn?username=ann", &member).await.0, 403);
    assert_eq!(server.get("/api/v1/turn?service=stun", &operator).await.0, 400);
    assert_eq!(server.get("/api/v1/turn?username=ann", "").await.0, 401);
}

#[tokio::test]
async fn wrong_bodies_are_told_with_their_field() {
    let server = Server::new();
    let token = server.operator();
    let _ann = server.caller("r", "ann");
    let cases = [
        ("POST", "/api/v1/rooms", json!({}), 422, "name"),
        ("POST", "/api/v1/rooms", json!({ "name": "" }), 422, "name"),
        ("POST", "/api/v1/rooms", json!({ "name": "q", "participants_max": "three" }), 422, "participants_max"),
        ("POST", "/api/v1/rooms", json!({ "name": "q", "empty_timeout_s": 604_801 }), 422, "empty_timeout_s"),
        ("POST", "/api/v1/rooms", json!({ "name": "q", "colour": "red" }), 422, "colour"),
        ("PATCH", "/api/v1/rooms/r", json!({ "metadata": "x".repeat(4097) }), 422, "metadata"),
        ("PATCH", "/api/v1/rooms/r/participants/ann", json!({ "name": "x".repeat(257) }), 422, "name"),
        ("POST", "/api/v1/rooms/r/participants/ann/mute", json!({ "muted": 1 }), 422, "muted"),
        ("POST", "/api/v1/rooms/r/participants/ann/mute", json!({ "muted": true, "source": "nose" }), 422, "source"),
        ("POST", "/api/v1/rooms/r/participants/ann/mute", json!({ "muted": true, "publication": "zz" }), 422, "publication"),
        ("POST", "/api/v1/rooms/r/data", json!({ "text": "x".repeat(16_385) }), 422, "text"),
        ("POST", "/api/v1/rooms/r/data", json!({ "text": "x".repeat(70_000) }), 413, ""),
        ("POST", "/api/v1/rooms/r/data", Value::Null, 415, ""),
    ];
    for (method, path, body, status, field) in cases {
        let (got, problem) = server.ask(method, path, &token, body.clone()).await;
        assert!(got == status && problem["detail"].as_str().unwrap().contains(field), "{method} {path} {body}: {problem}");
    }
}

#[tokio::test]
async fn changes_need_the_right_grant() {
    let server = Server::new();
    let _ann = server.caller("r", "ann");
    let member = server.token(VideoGrant::join("r"));
    let host = server.token(VideoGrant { room_admin: true, ..VideoGrant::join("r") });
    let other = server.token(VideoGrant { room_admin: true, ..VideoGrant::join("q") });
    let creator = server.token(VideoGrant { room_create: true, ..VideoGrant::default() });
    let (person, changes) = ("/api/v1/rooms/r/participants/nobody", json!({ "metadata": "m" }));
    let requests = [
        ("POST", "/api/v1/rooms", json!({ "name": "r" }), [401, 403, 403, 403, 200]),
        ("PATCH", "/api/v1/rooms/r", changes.clone(), [401, 403, 200, 403, 403]),
        ("PATCH", person, changes, [401, 403, 404, 403, 403]),
        ("DELETE", person, Value::Null, [401, 403, 404, 403, 403]),
        ("POST", "/api/v1/rooms/r/participants/nobody/mute", json!({ "muted": true }), [401, 403, 404, 403, 403]),
        ("POST", "/api/v1/rooms/r/data", json!({ "text": "t" }), [401, 403, 200, 403, 403]),
        ("DELETE", "/api/v1/rooms/r", Value::Null, [401, 403, 200, 403, 404]),
    ];
    for (method, path, body, expected) in requests {
        for (token, status) in [String::new(), member.clone(), host.clone(), other.clone(), creator.clone()].iter().zip(expected) {
            assert_eq!(server.ask(method, path, token, body.clone()).await.0, status, "{method} {path}");
        }
    }
}

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
    assert_eq!(of_type(&told(&mut ann), "room_updated")["metadata"], "minutes");
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
    assert_eq!(server.get("/api/v1/rooms/short", &token).await.0, 404);
    assert_eq!(server.get("/api/v1/rooms/long", &token).await.0, 200);
    // Who comes and goes does not end it.
    server.signal.publish(Server::ticket("long", "cam"), OFFER).unwrap();
    let cam = server.media.ids()[0];
    server.signal.leave(cam, crate::message::LeaveReason::Left);
    assert_eq!(server.get("/api/v1/rooms/long", &token).await.1["participants"], json!([]));
    // An hour later it has.
    let in_an_hour = crate::time::Now { mono_ms: 3_601_000, unix_ms: unix_s() * 1_000 };
    server.signal.change(|rooms, media| rooms.handle_time(in_an_hour, media));
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

/// What a room's hosts decide by WebSocket operators decide from outside, by the same rules.
#[tokio::test]
async fn a_room_is_locked_and_its_people_placed() {
    let server = Server::new();
    let token = server.operator();
    let mut ann = server.caller("r", "ann");
    let joins = |identity: &str| {
        let (outlet, queue) = mpsc::channel(64);
        server.signal.join(Server::ticket("r", identity), true, 1, outlet).map(|_| queue).map_err(|refusal| refusal.code)
    };
    let room = "/api/v1/rooms/r";
    let (_, view) = server.ask("PATCH", room, &token, json!({ "locked": true })).await;
    assert_eq!((&view["locked"], &view["mode"]), (&json!(true), &json!("call")));
    assert_eq!(of_type(&told(&mut ann), "room_updated")["options"]["locked"], true);
    assert_eq!(joins("bob").unwrap_err(), crate::message::ErrorCode::Locked);
    // Without the lock, but held until somebody admits them.
    server.ask("PATCH", room, &token, json!({ "locked": false, "waiting_room": true })).await;
    let mut bob = joins("bob").unwrap();
    let mut eve = joins("eve").unwrap();
    assert_eq!(of_type(&told(&mut bob), "waiting")["room"], "r");
    assert_eq!(server.get(room, &token).await.1["waiting"][0]["identity"], "bob");
    assert_eq!(server.ask("POST", "/api/v1/rooms/r/waiting/bob", &token, Value::Null).await.1, json!({ "participants": 1 }));
    assert_eq!(of_type(&told(&mut bob), "admitted")["room"], "r");
    // Banned while it waits; and nobody who waits is in the room.
    let ban = "/api/v1/rooms/r/participants/eve?ban=true";
    assert_eq!(server.ask("DELETE", ban, &token, Value::Null).await.1, json!({ "participants": 1 }));
    assert_eq!(of_type(&told(&mut eve), "closed")["reason"], "denied");
    assert_eq!(joins("eve").unwrap_err(), crate::message::ErrorCode::Banned);
    let (_, view) = server.ask("DELETE", "/api/v1/rooms/r/bans/eve", &token, Value::Null).await;
    assert_eq!((&view["bans"], view["participants"].as_array().unwrap().len()), (&json!([]), 2));
    // Roles and permissions, also for when they come again.
    let person = "/api/v1/rooms/r/participants/bob";
    let (_, people) = server.ask("PATCH", person, &token, json!({ "role": "cohost" })).await;
    assert_eq!(people["participants"][0]["role"], "cohost");
    assert_eq!(of_type(&told(&mut bob), "you_updated")["you"]["admin"], true);
    let (_, people) = server.ask("PATCH", person, &token, json!({ "role": "viewer", "can_publish_data": false })).await;
    let bobs = &people["participants"][0];
    assert_eq!((&bobs["may_publish"], &bobs["may_publish_data"], &bobs["may_subscribe"]), (&json!(false), &json!(false), &json!(true)));
    let mut again = joins("bob").unwrap();
    assert_eq!(of_type(&told(&mut again), "joined")["you"]["role"], "viewer");
    // All come in when nobody need wait any more.
    let mut dan = joins("dan").unwrap();
    server.ask("PATCH", room, &token, json!({ "waiting_room": false })).await;
    assert_eq!(of_type(&told(&mut dan), "admitted")["room"], "r");
}

#[tokio::test]
async fn people_are_moved_between_breakouts_and_stay_the_rooms() {
    let server = Server::new();
    let token = server.operator();
    let (mut ann, _bob) = (server.caller("r", "ann"), server.caller("r", "bob"));
    let breakouts = "/api/v1/rooms/r/breakouts";
    let (status, view) = server.ask("POST", breakouts, &token, json!({ "rooms": ["Red", "other"], "duration_s": 600 })).await;
    assert_eq!((status, &view["breakouts"]["rooms"][1]["name"]), (201, &json!("other")));
    let path = "/api/v1/rooms/r/participants/ann";
    let to = |breakout: Value| json!({ "breakout": breakout });
    assert_eq!(server.ask("POST", &format!("{path}/move"), &token, to(json!(1))).await.1, json!({ "participants": 1 }));
    assert_eq!(of_type(&told(&mut ann), "moved")["breakout"], 1);
    assert_eq!(server.ask("POST", &format!("{path}/move"), &token, to(json!(2))).await.0, 404);
    // They are the room's, wherever in it they are; a breakout's name is no room's.
    let (_, view) = server.get("/api/v1/rooms/r", &token).await;
    let places: Vec<_> =
        view["participants"].as_array().unwrap().iter().map(|row| (row["identity"].clone(), row["breakout"].clone())).collect();
    assert_eq!(places, [(json!("bob"), Value::Null), (json!("ann"), json!(1))]);
    assert_eq!(server.get("/api/v1/rooms", &token).await.1["rooms"][0]["participants"], 2);
    assert_eq!(server.get("/api/v1/rooms/other", &token).await.0, 404);
    server.ask("PATCH", "/api/v1/rooms/r", &token, json!({ "metadata": "minutes" })).await;
    server.ask("PATCH", path, &token, json!({ "name": "Ann" })).await;
    assert_eq!(server.ask("POST", "/api/v1/rooms/r/data", &token, json!({ "text": "hi" })).await.1, json!({ "participants": 2 }));
    assert_eq!(server.ask("POST", "/api/v1/rooms/r/data", &token, json!({ "text": "hi", "to": ["ann"] })).await.1["participants"], 1);
    assert_eq!(server.ask("POST", "/api/v1/rooms/r/data", &token, json!({ "text": "hi", "to": ["nobody"] })).await.0, 404);
    let news = told(&mut ann);
    assert_eq!(of_type(&news, "room_updated")["metadata"], "minutes");
    assert_eq!((&of_type(&news, "participant_updated")["name"], &of_type(&news, "data")["text"]), (&json!("Ann"), &json!("hi")));
    let (_, view) = server.ask("DELETE", breakouts, &token, Value::Null).await;
    assert_eq!(view["breakouts"], Value::Null);
    let back = told(&mut ann);
    assert_eq!((&of_type(&back, "moved")["breakout"], &of_type(&back, "moved")["metadata"]), (&Value::Null, &json!("minutes")));
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
        ("PATCH", "/api/v1/rooms/r", json!({ "mode": "party" }), 422, "mode"),
        ("PATCH", "/api/v1/rooms/r/participants/ann", json!({ "role": "king" }), 422, "role"),
        ("DELETE", "/api/v1/rooms/r/participants/ann?ban=perhaps", Value::Null, 400, "ban"),
        ("POST", "/api/v1/rooms/r/breakouts", json!({ "rooms": [] }), 422, "rooms"),
        ("POST", "/api/v1/rooms/r/breakouts", json!({ "rooms": [""] }), 422, "rooms"),
        ("POST", "/api/v1/rooms/r/breakouts", json!({ "rooms": ["a"], "duration_s": 86_401 }), 422, "duration_s"),
        ("POST", "/api/v1/rooms/r/participants/ann/move", json!({ "breakout": -1 }), 422, "breakout"),
        ("POST", "/api/v1/rooms/r/data", json!({}), 422, "text"),
        ("POST", "/api/v1/rooms/r/data", json!({ "text": "t", "base64": "dA==" }), 422, "text"),
        ("POST", "/api/v1/rooms/r/data", json!({ "base64": "?" }), 422, "base64"),
        ("POST", "/api/v1/rooms/r/data", json!({ "text": "t", "topic": "x".repeat(129) }), 422, "topic"),
        ("POST", "/api/v1/rooms/r/data", json!({ "text": "t", "to": vec!["x"; 129] }), 422, "to"),
        ("POST", "/api/v1/rooms/r/data", json!({ "text": "x".repeat(65_537) }), 413, "65536"),
        ("POST", "/api/v1/rooms/r/data", json!({ "text": "x".repeat(300_000) }), 413, ""),
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
        ("POST", "/api/v1/rooms/r/participants/nobody/move", json!({ "breakout": 0 }), [401, 403, 409, 403, 403]),
        ("POST", "/api/v1/rooms/r/waiting/nobody", Value::Null, [401, 403, 404, 403, 403]),
        ("DELETE", "/api/v1/rooms/r/bans/nobody", Value::Null, [401, 403, 404, 403, 403]),
        ("DELETE", "/api/v1/rooms/r/breakouts", Value::Null, [401, 403, 409, 403, 403]),
        ("POST", "/api/v1/rooms/r/breakouts", json!({ "rooms": ["a"] }), [401, 403, 201, 403, 403]),
        ("POST", "/api/v1/rooms/r/data", json!({ "text": "t" }), [401, 403, 200, 403, 403]),
        ("DELETE", "/api/v1/rooms/r", Value::Null, [401, 403, 200, 403, 404]),
    ];
    for (method, path, body, expected) in requests {
        for (token, status) in [String::new(), member.clone(), host.clone(), other.clone(), creator.clone()].iter().zip(expected) {
            assert_eq!(server.ask(method, path, token, body.clone()).await.0, status, "{method} {path}");
        }
    }
}

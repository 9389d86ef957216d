//! Requests and messages of what people do beside sending pictures and sound.

use super::*;

fn fault(value: &Value) -> (ErrorCode, Option<String>) {
    let Unreadable { code, field, .. } = read(value).expect_err("wrong");
    (code, field)
}

#[test]
fn what_people_ask_for_is_read() {
    let chat = |to| Request::Talk(Talk::Chat { text: "hi".into(), to });
    let hand = |raised, whose| Request::Talk(Talk::RaiseHand { raised, whose });
    let stroke = Stroke { stroke: "s".into(), color: "#a0B1c2".into(), width: 7, points: vec![0, 65535] };
    let board = || "whiteboard".to_owned();
    let cases = [
        (json!({ "type": "chat", "text": "hi" }), chat(None)),
        (json!({ "type": "chat", "text": "hi", "to": "7" }), chat(Some(SEVEN))),
        (json!({ "type": "chat_history" }), Request::Talk(Talk::ChatHistory { before: None, limit: 100 })),
        (json!({ "type": "chat_history", "before": "ff", "limit": 3 }), Request::Talk(Talk::ChatHistory { before: Some(255), limit: 3 })),
        (json!({ "type": "delete_chat", "message": "ff" }), Request::Talk(Talk::DeleteChat { message: 255 })),
        (json!({ "type": "react", "emoji": "👍🏽" }), Request::Talk(Talk::React { emoji: "👍🏽".into() })),
        (json!({ "type": "raise_hand", "raised": true }), hand(true, Whose::Mine)),
        (json!({ "type": "raise_hand", "raised": false, "participant": "7" }), hand(false, Whose::Of(SEVEN))),
        (json!({ "type": "raise_hand", "raised": false, "all": true }), hand(false, Whose::All)),
        (
            json!({ "type": "create_poll", "question": "q", "options": ["a", "b"], "multiple": true }),
            Request::Poll(PollRequest::Create {
                question: "q".into(),
                options: vec!["a".into(), "b".into()],
                anonymous: true,
                multiple: true,
            }),
        ),
        (json!({ "type": "vote", "poll": "1", "options": [1] }), Request::Poll(PollRequest::Vote { poll: 1, options: vec![1] })),
        (json!({ "type": "vote", "poll": "1" }), Request::Poll(PollRequest::Vote { poll: 1, options: vec![] })),
        (json!({ "type": "close_poll", "poll": "1" }), Request::Poll(PollRequest::Close { poll: 1 })),
        (
            json!({ "type": "draw", "board": "whiteboard", "stroke": "s", "color": "#a0B1c2", "width": 7, "points": [0, 65535] }),
            Request::Board(BoardRequest::Draw { board: board(), stroke }),
        ),
        (
            json!({ "type": "erase", "board": "whiteboard" }),
            Request::Board(BoardRequest::Erase { board: board(), stroke: None, whose: None }),
        ),
        (json!({ "type": "board", "board": "whiteboard" }), Request::Board(BoardRequest::Look { board: board() })),
        (json!({ "type": "admit", "all": true }), Request::Moderate(Moderation::Admit { whom: None })),
        (json!({ "type": "deny", "participant": "7", "ban": true }), Request::Moderate(Moderation::Deny { whom: Some(SEVEN), ban: true })),
        (
            json!({ "type": "open_breakouts", "rooms": ["a", "b"], "assign": "even", "assignments": [{ "participant": "7", "breakout": 1 }], "duration_s": 60 }),
            Request::Breakout(BreakoutRequest::Open {
                rooms: vec!["a".into(), "b".into()],
                assign: Assign::Even,
                assignments: vec![(SEVEN, 1)],
                duration_s: 60,
            }),
        ),
        (
            json!({ "type": "move", "participant": "7", "breakout": null }),
            Request::Breakout(BreakoutRequest::Move { participants: vec![SEVEN], breakout: None }),
        ),
        (
            json!({ "type": "move", "participants": ["7", "8"], "breakout": 1 }),
            Request::Breakout(BreakoutRequest::Move { participants: vec![SEVEN, ParticipantId(8)], breakout: Some(1) }),
        ),
        (json!({ "type": "broadcast", "text": "hi" }), Request::Breakout(BreakoutRequest::Broadcast { text: "hi".into() })),
        (json!({ "type": "set_breakout_timer", "duration_s": 0 }), Request::Breakout(BreakoutRequest::SetTimer { duration_s: 0 })),
        (json!({ "type": "close_breakouts" }), Request::Breakout(BreakoutRequest::Close)),
        (json!({ "type": "audience_list", "after": "7" }), Request::AudienceList { after: Some(SEVEN), limit: 100 }),
        (json!({ "type": "hello" }), Request::Hello),
        (
            json!({ "type": "invite", "identity": "bob", "video": false }),
            Request::Call(CallRequest::Invite { identity: "bob".into(), video: false }),
        ),
        (json!({ "type": "accept", "call": "7" }), Request::Call(CallRequest::Accept { call: 7 })),
        (json!({ "type": "decline", "call": "7" }), Request::Call(CallRequest::Decline { call: 7 })),
        (json!({ "type": "cancel", "call": "7" }), Request::Call(CallRequest::Cancel { call: 7 })),
        (json!({ "type": "rooms", "watch": true }), Request::Call(CallRequest::Rooms { watch: true })),
    ];
    for (mut value, request) in cases {
        value["id"] = 1.into();
        assert_eq!(read(&value), Ok((1, request)), "{value}");
    }
}

#[test]
fn what_does_not_fit_is_named() {
    use ErrorCode::{Malformed, TooLarge};
    let points = |points: Value| json!({ "type": "draw", "board": "b", "stroke": "s", "color": "#000000", "points": points });
    let cases = [
        (json!({ "type": "chat", "text": " \n" }), Malformed, "text"),
        (json!({ "type": "chat", "text": "x".repeat(21) }), TooLarge, "text"),
        (json!({ "type": "chat", "text": "hi", "to": "bob" }), Malformed, "to"),
        (json!({ "type": "chat_history", "limit": 101 }), Malformed, "limit"),
        (json!({ "type": "react", "emoji": "hello" }), Malformed, "emoji"),
        (json!({ "type": "react", "emoji": "é" }), Malformed, "emoji"),
        (json!({ "type": "react", "emoji": ":-)" }), Malformed, "emoji"),
        (json!({ "type": "react", "emoji": "🎉".repeat(9) }), TooLarge, "emoji"),
        (json!({ "type": "raise_hand" }), Malformed, "raised"),
        (json!({ "type": "create_poll", "question": "q", "options": ["a"] }), Malformed, "options"),
        (json!({ "type": "create_poll", "question": "q", "options": ["a", 1] }), Malformed, "options[1]"),
        (json!({ "type": "create_poll", "question": "q", "options": ["a", "x".repeat(11)] }), TooLarge, "options[1]"),
        (json!({ "type": "create_poll", "question": "q", "options": vec!["a"; 11] }), TooLarge, "options"),
        (json!({ "type": "vote", "poll": "1", "options": [-1] }), Malformed, "options[0]"),
        (points(json!([1])), Malformed, "points"),
        (points(json!([1, 65536])), Malformed, "points"),
        (points(json!(vec![1; 514])), TooLarge, "points"),
        (json!({ "type": "draw", "board": "b", "stroke": "s", "color": "red", "points": [1, 1] }), Malformed, "color"),
        (json!({ "type": "admit" }), Malformed, "participant"),
        (json!({ "type": "set_room", "mode": "party" }), Malformed, "mode"),
        (json!({ "type": "open_breakouts" }), Malformed, "rooms"),
        (json!({ "type": "open_breakouts", "rooms": ["a", "b", "c"] }), TooLarge, "rooms"),
        (json!({ "type": "open_breakouts", "rooms": ["a", ""] }), Malformed, "rooms[1]"),
        (json!({ "type": "open_breakouts", "rooms": ["a"], "assign": "dice" }), Malformed, "assign"),
        (
            json!({ "type": "open_breakouts", "rooms": ["a"], "assignments": [{ "participant": "7" }] }),
            Malformed,
            "assignments[0].breakout",
        ),
        (json!({ "type": "open_breakouts", "rooms": ["a"], "duration_s": 86401 }), Malformed, "duration_s"),
        (json!({ "type": "move", "participants": ["7", "?"] }), Malformed, "participants[1]"),
        (json!({ "type": "move", "participants": ["7", "7", "7"] }), TooLarge, "participants"),
        (json!({ "type": "set_breakout_timer" }), Malformed, "duration_s"),
        (json!({ "type": "invite", "identity": "" }), Malformed, "identity"),
        (json!({ "type": "accept" }), Malformed, "call"),
        (json!({ "type": "rooms", "watch": 1 }), Malformed, "watch"),
    ];
    for (mut value, code, field) in cases {
        value["id"] = 1.into();
        assert_eq!(fault(&value), (code, Some(field.to_owned())), "{value}");
    }
}

/// The JSON that clients rely on, message by message.
#[test]
fn what_people_are_told() {
    let one = || "1".to_owned();
    let message = ChatInfo {
        id: "5".into(),
        from: one(),
        identity: "ann".into(),
        name: "Ann".into(),
        to: None,
        to_identity: None,
        text: "hi".into(),
        at_unix_ms: 9,
    };
    let message_json =
        json!({ "id": "5", "from": "1", "identity": "ann", "name": "Ann", "to": null, "to_identity": null, "text": "hi", "at_unix_ms": 9 });
    let person = PersonInfo { participant: one(), identity: "ann".into(), name: "Ann".into() };
    let person_json = json!({ "participant": "1", "identity": "ann", "name": "Ann" });
    let poll = PollInfo {
        id: "a".into(),
        by: one(),
        question: "q".into(),
        options: vec!["x".into(), "y".into()],
        anonymous: false,
        multiple: true,
        closed: true,
        voters: 1,
        votes: Some(vec![1, 0]),
        who: Some(vec![vec!["ann".into()], vec![]]),
        yours: vec![0],
    };
    let poll_json = json!({ "id": "a", "by": "1", "question": "q", "options": ["x", "y"], "anonymous": false, "multiple": true, "closed": true,
        "voters": 1, "votes": [1, 0], "who": [["ann"], []], "yours": [0] });
    let stroke = Stroke { stroke: "s".into(), color: "#000000".into(), width: 2, points: vec![1, 2] };
    let breakouts = BreakoutsInfo {
        rooms: vec![BreakoutInfo { breakout: 0, name: "Red".into(), participants: vec![person.clone()] }],
        assign: Assign::Even,
        ends_in_ms: None,
    };
    let call = CallInfo {
        id: "d".into(),
        room: "r".into(),
        from: "ann".into(),
        from_name: "Ann".into(),
        to: "bob".into(),
        video: true,
        state: CallState::Ended,
        reason: Some("declined"),
        reachable: false,
    };
    let call_json = json!({ "id": "d", "room": "r", "from": "ann", "from_name": "Ann", "to": "bob", "video": true, "state": "ended", "reason": "declined", "reachable": false });
    let waiter = WaiterInfo { participant: one(), identity: "eve".into(), name: "Eve".into(), since_unix_ms: 3 };
    let cases = [
        (ServerMessage::ChatSent { id: 1, message: message.clone() }, json!({ "type": "chat_sent", "id": 1, "message": message_json })),
        (ServerMessage::Chat { message: message.clone() }, json!({ "type": "chat", "message": message_json })),
        (
            ServerMessage::ChatHistory { id: 1, messages: vec![message.clone()], more: true },
            json!({ "type": "chat_history", "id": 1, "messages": [message_json], "more": true }),
        ),
        (ServerMessage::ChatRestored { messages: vec![message] }, json!({ "type": "chat_restored", "messages": [message_json] })),
        (ServerMessage::ChatDeleted { message: "5".into() }, json!({ "type": "chat_deleted", "message": "5" })),
        (
            ServerMessage::Reaction { participant: one(), emoji: "👏".into() },
            json!({ "type": "reaction", "participant": "1", "emoji": "👏" }),
        ),
        (ServerMessage::Hands { hands: vec![person.clone()] }, json!({ "type": "hands", "hands": [person_json] })),
        (ServerMessage::PollCreated { id: 1, poll: "a".into() }, json!({ "type": "poll_created", "id": 1, "poll": "a" })),
        (ServerMessage::Poll { poll }, json!({ "type": "poll", "poll": poll_json })),
        (
            ServerMessage::Stroke { participant: one(), board: "b".into(), stroke: stroke.clone() },
            json!({ "type": "stroke", "participant": "1", "board": "b", "stroke": "s", "color": "#000000", "width": 2, "points": [1, 2] }),
        ),
        (
            ServerMessage::Erased { board: "b".into(), participant: None, stroke: None },
            json!({ "type": "erased", "board": "b", "participant": null, "stroke": null }),
        ),
        (
            ServerMessage::Board { id: 1, board: "b".into(), strokes: vec![StrokeInfo { participant: one(), stroke }] },
            json!({ "type": "board", "id": 1, "board": "b", "strokes": [{ "participant": "1", "stroke": "s", "color": "#000000", "width": 2, "points": [1, 2] }] }),
        ),
        (
            ServerMessage::WaitingRoom { waiting: vec![waiter] },
            json!({ "type": "waiting_room", "waiting": [{ "participant": "1", "identity": "eve", "name": "Eve", "since_unix_ms": 3 }] }),
        ),
        (
            ServerMessage::Breakouts { breakouts: Some(breakouts) },
            json!({ "type": "breakouts", "breakouts": { "rooms": [{ "breakout": 0, "name": "Red", "participants": [person_json] }], "assign": "even", "ends_in_ms": null } }),
        ),
        (ServerMessage::Breakouts { breakouts: None }, json!({ "type": "breakouts", "breakouts": null })),
        (ServerMessage::BreakoutsEnding { ends_in_ms: 60 }, json!({ "type": "breakouts_ending", "ends_in_ms": 60 })),
        (
            ServerMessage::Broadcast { by: one(), name: "Ann".into(), text: "hi".into() },
            json!({ "type": "broadcast", "by": "1", "name": "Ann", "text": "hi" }),
        ),
        (ServerMessage::Audience { count: 3 }, json!({ "type": "audience", "count": 3 })),
        (
            ServerMessage::AudienceList { id: 1, people: vec![person], next: None },
            json!({ "type": "audience_list", "id": 1, "people": [person_json], "next": null }),
        ),
        (
            ServerMessage::Welcome { id: 1, identity: "ann".into(), name: "Ann".into(), calls: vec![call.clone()] },
            json!({ "type": "welcome", "id": 1, "identity": "ann", "name": "Ann", "calls": [call_json] }),
        ),
        (ServerMessage::Invited { id: 1, call: call.clone() }, json!({ "type": "invited", "id": 1, "call": call_json })),
        (ServerMessage::Accepted { id: 1, call: call.clone() }, json!({ "type": "accepted", "id": 1, "call": call_json })),
        (ServerMessage::Call { call }, json!({ "type": "call", "call": call_json })),
        (
            ServerMessage::Rooms {
                id: 1,
                rooms: vec![RoomPeopleInfo { room: "r".into(), people: vec![PresentInfo { identity: "ann".into(), name: "Ann".into() }] }],
            },
            json!({ "type": "rooms", "id": 1, "rooms": [{ "room": "r", "people": [{ "identity": "ann", "name": "Ann" }] }] }),
        ),
        (
            ServerMessage::RoomEvent {
                event: RoomChange::Entered,
                room: "r".into(),
                identity: Some("ann".into()),
                name: Some("Ann".into()),
            },
            json!({ "type": "room_event", "event": "entered", "room": "r", "identity": "ann", "name": "Ann" }),
        ),
    ];
    for (message, json) in cases {
        assert_eq!(serde_json::to_value(&message).unwrap(), json);
    }
}

use serde_json::{Value, json};

use super::*;
use crate::media::{DataMessage, Quality};
use crate::quality::{ClientFacts, Inbound, Outbound};

mod talk;

const BOUNDS: Bounds = Bounds {
    sdp_bytes_max: 100,
    track_name_bytes_max: 10,
    tracks_max: 2,
    data_bytes_max: 20,
    data_lossy_bytes_max: 10,
    data_topic_bytes_max: 5,
    data_recipients_max: 2,
    chat_bytes_max: 20,
    poll_text_bytes_max: 10,
    breakouts_max: 2,
    people_max: 2,
};

const SEVEN: ParticipantId = ParticipantId(7);
const ANY: Wish = Wish { width: 0, height: 0, visible: true, pinned: false, priority: 0, spatial_max: None, temporal_max: None };

fn read(value: &Value) -> Result<(u64, Request), Unreadable> {
    parse(&value.to_string(), &BOUNDS)
}

#[test]
fn every_request_is_read() {
    let publication = PublicationId(0xab);
    let track = Track { mid: "1".into(), source: Some(TrackSource::Screen), name: "n".into(), muted: true };
    let bare = Track { mid: "2".into(), source: None, name: String::new(), muted: false };
    let full = json!({ "mid": "1", "source": "screen", "name": "n", "muted": true });
    let cases = [
        (json!({ "type": "join", "id": 1 }), Request::Join { auto_subscribe: true, room: None }),
        (
            json!({ "type": "join", "id": 1, "auto_subscribe": false, "room": "r", "new_in_v9": [] }),
            Request::Join { auto_subscribe: false, room: Some("r".into()) },
        ),
        (
            json!({ "type": "offer", "id": 1, "sdp": "v=0", "tracks": [full, { "mid": "2" }] }),
            Request::Offer { sdp: "v=0".into(), tracks: vec![track.clone(), bare] },
        ),
        (json!({ "type": "offer", "id": 1, "sdp": "v=0" }), Request::Offer { sdp: "v=0".into(), tracks: vec![] }),
        (json!({ "type": "candidate", "id": 1, "candidate": "" }), Request::Candidate { candidate: String::new() }),
        (json!({ "type": "publish", "id": 1, "mid": "1", "source": "screen", "name": "n", "muted": true }), Request::Publish { track }),
        (json!({ "type": "unpublish", "id": 1, "publication": "ab" }), Request::Unpublish { publication }),
        (json!({ "type": "subscribe", "id": 1, "publication": "00ab" }), Request::Subscribe { publication }),
        (json!({ "type": "unsubscribe", "id": 1, "publication": "ab" }), Request::Unsubscribe { publication }),
        (json!({ "type": "prefer", "id": 1, "publication": "ab", "width": null }), Request::Prefer { publication, wish: ANY }),
        (
            json!({ "type": "prefer", "id": 1, "publication": "ab", "width": 65535, "height": 360, "visible": false, "pinned": true,
                "priority": 255, "spatial_max": 0, "temporal_max": 7 }),
            Request::Prefer {
                publication,
                wish: Wish {
                    width: 65535,
                    height: 360,
                    visible: false,
                    pinned: true,
                    priority: 255,
                    spatial_max: Some(0),
                    temporal_max: Some(7),
                },
            },
        ),
        (json!({ "type": "mute", "id": 1, "publication": "ab", "muted": true }), Request::Mute { publication, muted: true }),
        (
            json!({ "type": "send_data", "id": 1, "text": "hi" }),
            Request::SendData {
                data: DataRequest { to: vec![], topic: String::new(), reliable: true, content: DataContent::Text("hi".into()) },
            },
        ),
        (
            json!({ "type": "send_data", "id": 1, "to": ["bob", "eve"], "topic": "chat", "reliable": false, "base64": "AQID" }),
            Request::SendData {
                data: DataRequest {
                    to: vec!["bob".into(), "eve".into()],
                    topic: "chat".into(),
                    reliable: false,
                    content: DataContent::Bytes(vec![1, 2, 3]),
                },
            },
        ),
        (json!({ "type": "mute_all", "id": 1 }), Request::Moderate(Moderation::MuteAll { source: TrackSource::Microphone })),
        (
            json!({ "type": "ask_unmute", "id": 1, "participant": "7", "source": "camera" }),
            Request::Moderate(Moderation::AskUnmute { participant: SEVEN, source: TrackSource::Camera }),
        ),
        (
            json!({ "type": "set_role", "id": 1, "participant": "7", "role": "cohost" }),
            Request::Moderate(Moderation::SetRole { participant: SEVEN, role: Role::Cohost }),
        ),
        (
            json!({ "type": "set_permissions", "id": 1, "participant": "7", "can_publish": false, "can_publish_data": true }),
            Request::Moderate(Moderation::SetPermissions {
                participant: SEVEN,
                wish: PermissionWish { publish: Some(false), subscribe: None, publish_data: Some(true) },
            }),
        ),
        (
            json!({ "type": "remove", "id": 1, "participant": "7", "ban": true }),
            Request::Moderate(Moderation::Remove { participant: SEVEN, ban: true }),
        ),
        (json!({ "type": "unban", "id": 1, "identity": "m" }), Request::Moderate(Moderation::Unban { identity: "m".into() })),
        (
            json!({ "type": "set_room", "id": 1, "locked": true }),
            Request::Moderate(Moderation::SetRoom(SettingsWish { locked: Some(true), ..SettingsWish::default() })),
        ),
        (json!({ "type": "end_room", "id": 1 }), Request::Moderate(Moderation::EndRoom)),
        (json!({ "type": "resume", "id": 1 }), Request::Resume),
        (
            json!({ "type": "stats", "id": 1, "interval_ms": 5000, "browser": "Firefox 153", "region": "Europe/Paris", "rtt_ms": 30,
                "inbound": [{ "mid": "1", "video": true, "packets": 9, "lost": 1, "height": 720, "frozen_ms": 40 }],
                "outbound": [{ "mid": "0", "packets": 250, "lost_ppm": 1000, "limitation": "cpu" }] }),
            Request::Stats(Box::new(Report {
                interval_ms: 5_000,
                client: ClientFacts { browser: "Firefox 153".into(), region: "Europe/Paris".into(), ..ClientFacts::default() },
                rtt_ms: Some(30),
                inbound: vec![Inbound {
                    mid: "1".into(),
                    video: true,
                    packets: 9,
                    lost: 1,
                    height: 720,
                    frozen_ms: 40,
                    ..Inbound::default()
                }],
                outbound: vec![Outbound {
                    mid: "0".into(),
                    packets: 250,
                    lost_ppm: Some(1_000),
                    limitation: "cpu".into(),
                    ..Outbound::default()
                }],
            })),
        ),
        (json!({ "type": "leave", "id": 1 }), Request::Leave),
        (json!({ "type": "ping", "id": 1 }), Request::Ping),
    ];
    for (value, request) in cases {
        assert_eq!(read(&value), Ok((1, request)), "{value}");
    }
}

#[test]
fn what_is_wrong_is_named() {
    let cases = [
        (json!([]), ErrorCode::Malformed, None, None),
        (json!({ "type": "ping" }), ErrorCode::Malformed, None, Some("id")),
        (json!({ "type": "ping", "id": -1 }), ErrorCode::Malformed, None, Some("id")),
        (json!({ "type": "ping", "id": 1_u64 << 53 }), ErrorCode::Malformed, None, Some("id")),
        (json!({ "id": 4 }), ErrorCode::Malformed, Some(4), Some("type")),
        (json!({ "id": 4, "type": "dance" }), ErrorCode::UnknownType, Some(4), Some("type")),
        (json!({ "id": 4, "type": "stats" }), ErrorCode::Malformed, Some(4), Some("interval_ms")),
        (json!({ "id": 4, "type": "stats", "interval_ms": 0 }), ErrorCode::Malformed, Some(4), Some("interval_ms")),
        (json!({ "id": 4, "type": "stats", "interval_ms": 1, "browser": "x".repeat(65) }), ErrorCode::TooLarge, Some(4), Some("browser")),
        (
            json!({ "id": 4, "type": "stats", "interval_ms": 1, "inbound": [{ "mid": "1" }, { "mid": "2", "lost": -1 }] }),
            ErrorCode::Malformed,
            Some(4),
            Some("inbound[1].lost"),
        ),
        (
            json!({ "id": 4, "type": "stats", "interval_ms": 1, "outbound": vec![json!({ "mid": "1" }); 33] }),
            ErrorCode::TooLarge,
            Some(4),
            Some("outbound"),
        ),
        (json!({ "id": 4, "type": "offer" }), ErrorCode::Malformed, Some(4), Some("sdp")),
        (json!({ "id": 4, "type": "offer", "sdp": "x".repeat(101) }), ErrorCode::TooLarge, Some(4), Some("sdp")),
        (json!({ "id": 4, "type": "offer", "sdp": "", "tracks": {} }), ErrorCode::Malformed, Some(4), Some("tracks")),
        (json!({ "id": 4, "type": "offer", "sdp": "", "tracks": [1] }), ErrorCode::Malformed, Some(4), Some("tracks[0]")),
        (
            json!({ "id": 4, "type": "offer", "sdp": "", "tracks": [{ "mid": "1" }, { "mid": "2", "source": "cam" }] }),
            ErrorCode::Malformed,
            Some(4),
            Some("tracks[1].source"),
        ),
        (json!({ "id": 4, "type": "offer", "sdp": "", "tracks": [{}, {}, {}] }), ErrorCode::TooLarge, Some(4), Some("tracks")),
        (json!({ "id": 4, "type": "publish", "mid": "1", "name": "eleven char" }), ErrorCode::TooLarge, Some(4), Some("name")),
        (json!({ "id": 4, "type": "send_data" }), ErrorCode::Malformed, Some(4), Some("text")),
        (json!({ "id": 4, "type": "send_data", "text": "", "base64": "" }), ErrorCode::Malformed, Some(4), Some("text")),
        (json!({ "id": 4, "type": "send_data", "base64": "AQI" }), ErrorCode::Malformed, Some(4), Some("base64")),
        (json!({ "id": 4, "type": "send_data", "text": "x".repeat(21) }), ErrorCode::TooLarge, Some(4), Some("text")),
        (json!({ "id": 4, "type": "send_data", "reliable": false, "text": "x".repeat(11) }), ErrorCode::TooLarge, Some(4), Some("text")),
        (json!({ "id": 4, "type": "send_data", "base64": "AAAAAAAAAAAAAAAAAAAAAAAAAAAA" }), ErrorCode::TooLarge, Some(4), Some("base64")),
        (json!({ "id": 4, "type": "send_data", "text": "", "to": "bob" }), ErrorCode::Malformed, Some(4), Some("to")),
        (json!({ "id": 4, "type": "send_data", "text": "", "to": ["bob", 1] }), ErrorCode::Malformed, Some(4), Some("to[1]")),
        (json!({ "id": 4, "type": "send_data", "text": "", "to": ["a", "b", "c"] }), ErrorCode::TooLarge, Some(4), Some("to")),
        (json!({ "id": 4, "type": "send_data", "text": "", "topic": "longer" }), ErrorCode::TooLarge, Some(4), Some("topic")),
        (json!({ "id": 4, "type": "mute", "publication": "g" }), ErrorCode::Malformed, Some(4), Some("publication")),
        (json!({ "id": 4, "type": "mute", "publication": "1" }), ErrorCode::Malformed, Some(4), Some("muted")),
        (json!({ "id": 4, "type": "set_role", "participant": "1", "role": "king" }), ErrorCode::Malformed, Some(4), Some("role")),
        (json!({ "id": 4, "type": "set_role", "role": "host" }), ErrorCode::Malformed, Some(4), Some("participant")),
        (json!({ "id": 4, "type": "remove", "participant": "1", "ban": 1 }), ErrorCode::Malformed, Some(4), Some("ban")),
        (json!({ "id": 4, "type": "unban", "identity": "x".repeat(200) }), ErrorCode::TooLarge, Some(4), Some("identity")),
        (json!({ "id": 4, "type": "set_room", "locked": "yes" }), ErrorCode::Malformed, Some(4), Some("locked")),
    ];
    for (value, code, id, field) in cases {
        let unreadable = read(&value).expect_err("wrong");
        assert_eq!((unreadable.code, unreadable.id, unreadable.field.as_deref()), (code, id, field), "{value}");
        assert!(!unreadable.message.is_empty());
    }
    assert_eq!(parse("{", &BOUNDS).map_err(|unreadable| unreadable.code), Err(ErrorCode::Malformed));
}

#[test]
fn a_wish_out_of_range_is_refused() {
    let cases = [
        ("width", json!(65536)),
        ("width", json!(-1)),
        ("height", json!(1.5)),
        ("height", json!("360")),
        ("visible", json!(1)),
        ("pinned", json!("yes")),
        ("priority", json!(256)),
        ("spatial_max", json!(8)),
        ("temporal_max", json!(u64::MAX)),
    ];
    for (field, value) in cases {
        let mut wish = json!({ "type": "prefer", "id": 4, "publication": "ab" });
        wish[field] = value;
        let unreadable = read(&wish).expect_err("wrong");
        assert_eq!((unreadable.code, unreadable.field.as_deref()), (ErrorCode::Malformed, Some(field)), "{wish}");
    }
    let unreadable = read(&json!({ "type": "prefer", "id": 4, "width": 1 })).expect_err("of nothing");
    assert_eq!(unreadable.field.as_deref(), Some("publication"));
}

fn publication() -> PublicationInfo {
    PublicationInfo {
        id: publication_text(PublicationId(0xab)),
        kind: kind_text(Kind::Video),
        source: TrackSource::ScreenAudio,
        name: "n".into(),
        muted: true,
        muted_by_server: false,
        codec: "VP8".into(),
        simulcast: true,
    }
}

fn participant() -> ParticipantInfo {
    ParticipantInfo {
        id: participant_text(ParticipantId(1)),
        identity: "ann".into(),
        name: "Ann".into(),
        metadata: String::new(),
        role: Role::Cohost,
        connected: false,
        reconnecting: true,
        publications: vec![publication()],
    }
}

/// The JSON that clients rely on, message by message.
#[test]
fn what_clients_are_told() {
    let on_mid = OnMid { publication: "ab".into(), mid: "3".into() };
    let publication_json = json!({ "id": "00000000000000ab", "kind": "video", "source": "screen_audio", "name": "n", "muted": true,
        "muted_by_server": false, "codec": "VP8", "simulcast": true });
    let participant_json = json!({ "id": "0000000000000001", "identity": "ann", "name": "Ann", "metadata": "", "role": "cohost",
        "connected": false, "reconnecting": true, "publications": [publication_json] });
    let stun = IceServerInfo { urls: vec!["stun:h".into()], username: String::new(), credential: String::new() };
    let turn = IceServerInfo { urls: vec!["turn:h".into()], username: "u".into(), credential: "c".into() };
    let you = You {
        id: "1".into(),
        identity: "bob".into(),
        name: "Bob".into(),
        role: Role::Speaker,
        can_publish: true,
        can_subscribe: false,
        can_publish_data: true,
        admin: false,
    };
    let you_json = json!({ "id": "1", "identity": "bob", "name": "Bob", "role": "speaker", "can_publish": true, "can_subscribe": false,
        "can_publish_data": true, "admin": false });
    let entered = Entered {
        room: "r".into(),
        metadata: String::new(),
        you: you.clone(),
        participants: vec![participant()],
        ice_servers: vec![stun, turn],
        data: DataLimits { bytes_max: 65_536, lossy_bytes_max: 16_384 },
        negotiate: Negotiate { audio: 1, video: 2 },
        resume: ResumeInfo { token: "t".into(), grace_s: 30 },
        options: SettingsInfo::default(),
        state: StateInfo::default(),
    };
    let entered_json = |more: Value| {
        let mut json = json!({ "room": "r", "metadata": "", "you": you_json, "participants": [participant_json],
            "ice_servers": [{ "urls": ["stun:h"] }, { "urls": ["turn:h"], "username": "u", "credential": "c" }],
            "data": { "bytes_max": 65536, "lossy_bytes_max": 16384 }, "negotiate": { "audio": 1, "video": 2 }, "resume": { "token": "t", "grace_s": 30 },
            "options": { "locked": false, "waiting_room": false, "mode": "call" },
            "state": { "chat": [], "hands": [], "polls": [], "boards": [], "audience": 0, "breakouts": null, "breakout": null,
                "waiting": [], "bans": [] } });
        json.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        json
    };
    let (p, q) = ("1".to_owned(), "ab".to_owned());
    let cases = [
        (ServerMessage::Joined { id: 1, entered: Box::new(entered.clone()) }, entered_json(json!({ "type": "joined", "id": 1 }))),
        (
            ServerMessage::Resumed {
                id: 1,
                entered: Box::new(entered.clone()),
                connected: true,
                published: vec![on_mid.clone()],
                placed: vec![on_mid.clone()],
            },
            entered_json(json!({ "type": "resumed", "id": 1, "connected": true, "published": [{ "publication": "ab", "mid": "3" }],
                "placed": [{ "publication": "ab", "mid": "3" }] })),
        ),
        (ServerMessage::YouUpdated { you: you.clone() }, json!({ "type": "you_updated", "you": you_json })),
        (
            ServerMessage::UnmuteAsked { by: "1".into(), source: TrackSource::Camera },
            json!({ "type": "unmute_asked", "by": "1", "source": "camera" }),
        ),
        (
            ServerMessage::RoomUpdated {
                options: SettingsInfo { locked: true, waiting_room: true, mode: Mode::Webinar },
                metadata: "m".into(),
            },
            json!({ "type": "room_updated", "options": { "locked": true, "waiting_room": true, "mode": "webinar" }, "metadata": "m" }),
        ),
        (ServerMessage::Bans { identities: vec!["m".into()] }, json!({ "type": "bans", "identities": ["m"] })),
        (
            ServerMessage::Answer {
                id: 2,
                sdp: "v=0\r\n".into(),
                published: vec![on_mid.clone()],
                placed: vec![on_mid],
                negotiate: Negotiate::default(),
            },
            json!({ "type": "answer", "id": 2, "sdp": "v=0\r\n", "published": [{ "publication": "ab", "mid": "3" }],
                "placed": [{ "publication": "ab", "mid": "3" }], "negotiate": { "audio": 0, "video": 0 } }),
        ),
        (
            ServerMessage::Subscribed { id: 3, publication: q.clone(), mid: None },
            json!({ "type": "subscribed", "id": 3, "publication": "ab", "mid": null }),
        ),
        (ServerMessage::Pong { id: 4 }, json!({ "type": "pong", "id": 4 })),
        (ServerMessage::Ok { id: 5 }, json!({ "type": "ok", "id": 5 })),
        (
            ServerMessage::Error { id: Some(6), code: ErrorCode::BadSdp, message: "m".into(), field: Some("sdp".into()) },
            json!({ "type": "error", "id": 6, "code": "bad_sdp", "message": "m", "field": "sdp" }),
        ),
        (
            ServerMessage::Data {
                participant: Some(p.clone()),
                identity: Some("ann".into()),
                topic: "chat".into(),
                reliable: true,
                text: Some("hi".into()),
                base64: None,
            },
            json!({ "type": "data", "participant": "1", "identity": "ann", "topic": "chat", "reliable": true, "text": "hi" }),
        ),
        (
            ServerMessage::Data {
                participant: None,
                identity: None,
                topic: String::new(),
                reliable: false,
                text: None,
                base64: Some("AQI=".into()),
            },
            json!({ "type": "data", "participant": null, "identity": null, "topic": "", "reliable": false, "base64": "AQI=" }),
        ),
        (
            ServerMessage::DataRefused { code: ErrorCode::NotFound, message: "m".into(), field: Some("to".into()), topic: "t".into() },
            json!({ "type": "data_refused", "code": "not_found", "message": "m", "field": "to", "topic": "t" }),
        ),
        (ServerMessage::DataLost { messages: 3 }, json!({ "type": "data_lost", "messages": 3 })),
        (
            ServerMessage::ParticipantJoined { participant: participant() },
            json!({ "type": "participant_joined", "participant": participant_json }),
        ),
        (
            ServerMessage::ParticipantLeft { participant: p.clone(), reason: LeaveReason::MediaClosed },
            json!({ "type": "participant_left", "participant": "1", "reason": "media_closed" }),
        ),
        (
            ServerMessage::ParticipantUpdated {
                participant: p.clone(),
                name: "Ann".into(),
                metadata: "m".into(),
                role: Role::Host,
                connected: true,
                reconnecting: false,
            },
            json!({ "type": "participant_updated", "participant": "1", "name": "Ann", "metadata": "m", "role": "host", "connected": true,
                "reconnecting": false }),
        ),
        (
            ServerMessage::PublicationStarted { participant: p.clone(), publication: publication() },
            json!({ "type": "publication_started", "participant": "1", "publication": publication_json }),
        ),
        (
            ServerMessage::PublicationUpdated { participant: p.clone(), publication: publication() },
            json!({ "type": "publication_updated", "participant": "1", "publication": publication_json }),
        ),
        (
            ServerMessage::PublicationEnded { participant: p.clone(), publication: q.clone() },
            json!({ "type": "publication_ended", "participant": "1", "publication": "ab" }),
        ),
        (
            ServerMessage::PublicationMuted { participant: p, publication: q.clone(), muted: true, muted_by_server: true },
            json!({ "type": "publication_muted", "participant": "1", "publication": "ab", "muted": true, "muted_by_server": true }),
        ),
        (ServerMessage::Placed { publication: q, mid: "3".into() }, json!({ "type": "placed", "publication": "ab", "mid": "3" })),
        (ServerMessage::Negotiate(Negotiate { audio: 0, video: 1 }), json!({ "type": "negotiate", "audio": 0, "video": 1 })),
        (ServerMessage::Connected, json!({ "type": "connected" })),
        (
            ServerMessage::Quality {
                publication: "ab".into(),
                quality: Quality { current: Some((0, 2)), target: Some((2, 1)), bitrate_bps: 1_500_000, reason: "awaiting_keyframe" }
                    .into(),
            },
            json!({ "type": "quality", "publication": "ab", "current": { "spatial": 0, "temporal": 2 },
                "target": { "spatial": 2, "temporal": 1 }, "bitrate_bps": 1_500_000, "reason": "awaiting_keyframe" }),
        ),
        (
            ServerMessage::Quality {
                publication: "ab".into(),
                quality: Quality { current: None, target: None, bitrate_bps: 0, reason: "hidden" }.into(),
            },
            json!({ "type": "quality", "publication": "ab", "current": null, "target": null, "bitrate_bps": 0, "reason": "hidden" }),
        ),
        (ServerMessage::Estimate { estimate_bps: 5_000_000_000 }, json!({ "type": "estimate", "estimate_bps": 5_000_000_000_u64 })),
        (
            ServerMessage::LayersWanted { publication: "ab".into(), spatial_max: None },
            json!({ "type": "layers_wanted", "publication": "ab", "spatial_max": null }),
        ),
        (ServerMessage::Speakers { participants: vec!["1".into()] }, json!({ "type": "speakers", "participants": ["1"] })),
        (
            ServerMessage::Closed { reason: LeaveReason::Replaced, message: "m".into() },
            json!({ "type": "closed", "reason": "replaced", "message": "m" }),
        ),
    ];
    for (message, json) in cases {
        assert_eq!(serde_json::to_value(&message).unwrap(), json);
    }
}

mod any_json {
    use proptest::prelude::*;

    use super::*;

    const KINDS: [&str; 44] = [
        "join",
        "offer",
        "candidate",
        "publish",
        "unpublish",
        "subscribe",
        "unsubscribe",
        "mute",
        "leave",
        "ping",
        "prefer",
        "resume",
        "mute_all",
        "ask_unmute",
        "set_role",
        "set_permissions",
        "remove",
        "unban",
        "set_room",
        "end_room",
        "admit",
        "deny",
        "chat",
        "chat_history",
        "delete_chat",
        "react",
        "raise_hand",
        "create_poll",
        "vote",
        "close_poll",
        "draw",
        "erase",
        "board",
        "open_breakouts",
        "move",
        "broadcast",
        "set_breakout_timer",
        "close_breakouts",
        "audience_list",
        "hello",
        "invite",
        "accept",
        "decline",
        "rooms",
    ];

    fn json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            "[a-z0-9]{0,20}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 32, 6, |inner| {
            let names = proptest::sample::select(vec![
                "type",
                "id",
                "sdp",
                "tracks",
                "mid",
                "source",
                "name",
                "muted",
                "publication",
                "width",
                "spatial_max",
                "candidate",
                "room",
                "rooms",
                "participant",
                "participants",
                "options",
                "points",
                "assignments",
                "breakout",
            ]);
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::btree_map(names.prop_map(str::to_owned), inner, 0..6)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn reads_or_refuses(mut value in json(), kind in 0..KINDS.len(), id in any::<u64>()) {
            let _ = read(&value);
            if let Value::Object(map) = &mut value {
                map.insert("type".into(), KINDS[kind].into());
                map.insert("id".into(), id.into());
            }
            let _ = read(&value);
        }

        #[test]
        fn any_text(text in ".{0,200}") {
            let _ = parse(&text, &BOUNDS);
        }
    }
}

#[test]
fn messages_of_data_channels_begin_with_a_line() {
    let message = |text: bool, bytes: &[u8]| DataMessage { reliable: true, text, bytes: bytes.to_vec() };
    let request = |to: &[&str], topic: &str, content| DataRequest {
        to: to.iter().map(|it| (*it).to_owned()).collect(),
        topic: topic.into(),
        reliable: true,
        content,
    };
    assert_eq!(parse_framed(message(true, b"\nhi\nyou"), &BOUNDS), Ok(request(&[], "", DataContent::Text("hi\nyou".into()))));
    assert_eq!(parse_framed(message(false, b"{}\n"), &BOUNDS), Ok(request(&[], "", DataContent::Bytes(vec![]))));
    let full = b"{\"to\":[\"bob\"],\"topic\":\"chat\",\"new\":1}\n\x01\x02";
    assert_eq!(parse_framed(message(false, full), &BOUNDS), Ok(request(&["bob"], "chat", DataContent::Bytes(vec![1, 2]))));

    let cases: [(&[u8], ErrorCode, &str, &str); 7] = [
        (b"", ErrorCode::Malformed, "header", ""),
        (b"no line", ErrorCode::Malformed, "header", ""),
        (b"[]\n", ErrorCode::Malformed, "header", ""),
        (b"{\"to\":1,\"topic\":\"chat\"}\n", ErrorCode::Malformed, "to", "chat"),
        (b"{\"topic\":\"longer\"}\n", ErrorCode::TooLarge, "topic", "longe"),
        (b"{\"topic\":\"chat\"}\n123456789012345678901", ErrorCode::TooLarge, "content", "chat"),
        (b"\n\xFF", ErrorCode::Malformed, "content", ""),
    ];
    for (bytes, code, field, topic) in cases {
        let (unreadable, its_topic) = parse_framed(message(true, bytes), &BOUNDS).expect_err("wrong");
        assert_eq!((unreadable.code, unreadable.field.as_deref(), its_topic.as_str()), (code, Some(field), topic), "{bytes:?}");
    }
    let lossy = DataMessage { reliable: false, ..message(true, b"\n12345678901") };
    assert_eq!(parse_framed(lossy, &BOUNDS).expect_err("too long").0.code, ErrorCode::TooLarge);
    // However long it is, a line that does not end is not looked for.
    assert!(parse_framed(message(false, &vec![b' '; 100_000]), &BOUNDS).is_err());
}

proptest::proptest! {
    #[test]
    fn any_message_of_a_data_channel(text: bool, bytes in proptest::collection::vec(proptest::prelude::any::<u8>(), 0..80)) {
        let _ = parse_framed(DataMessage { reliable: true, text, bytes }, &BOUNDS);
    }
}

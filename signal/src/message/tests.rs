use serde_json::{Value, json};

use super::*;
use crate::quality::{ClientFacts, Inbound, Outbound};

const BOUNDS: Bounds = Bounds { sdp_bytes_max: 100, track_name_bytes_max: 10, tracks_max: 2 };

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
        (json!({ "id": 4, "type": "mute", "publication": "g" }), ErrorCode::Malformed, Some(4), Some("publication")),
        (json!({ "id": 4, "type": "mute", "publication": "1" }), ErrorCode::Malformed, Some(4), Some("muted")),
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
        connected: false,
        publications: vec![publication()],
    }
}

/// The JSON that clients rely on, message by message.
#[test]
fn what_clients_are_told() {
    let on_mid = OnMid { publication: "ab".into(), mid: "3".into() };
    let publication_json = json!({ "id": "00000000000000ab", "kind": "video", "source": "screen_audio", "name": "n", "muted": true,
        "muted_by_server": false, "codec": "VP8", "simulcast": true });
    let participant_json = json!({ "id": "0000000000000001", "identity": "ann", "name": "Ann", "metadata": "", "connected": false,
        "publications": [publication_json] });
    let stun = IceServerInfo { urls: vec!["stun:h".into()], username: String::new(), credential: String::new() };
    let turn = IceServerInfo { urls: vec!["turn:h".into()], username: "u".into(), credential: "c".into() };
    let you = You { id: "1".into(), identity: "bob".into(), name: "Bob".into(), can_publish: true, can_subscribe: false, admin: false };
    let (p, q) = ("1".to_owned(), "ab".to_owned());
    let cases = [
        (
            ServerMessage::Joined {
                id: 1,
                room: "r".into(),
                you,
                participants: vec![participant()],
                ice_servers: vec![stun, turn],
                negotiate: Negotiate { audio: 1, video: 2 },
                metadata: String::new(),
            },
            json!({ "type": "joined", "id": 1, "room": "r",
                "you": { "id": "1", "identity": "bob", "name": "Bob", "can_publish": true, "can_subscribe": false, "admin": false },
                "participants": [participant_json],
                "ice_servers": [{ "urls": ["stun:h"] }, { "urls": ["turn:h"], "username": "u", "credential": "c" }],
                "negotiate": { "audio": 1, "video": 2 } }),
        ),
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
            ServerMessage::ParticipantJoined { participant: participant() },
            json!({ "type": "participant_joined", "participant": participant_json }),
        ),
        (
            ServerMessage::ParticipantLeft { participant: p.clone(), reason: LeaveReason::MediaClosed },
            json!({ "type": "participant_left", "participant": "1", "reason": "media_closed" }),
        ),
        (
            ServerMessage::ParticipantUpdated { participant: p.clone(), name: "Ann".into(), metadata: "m".into(), connected: true },
            json!({ "type": "participant_updated", "participant": "1", "name": "Ann", "metadata": "m", "connected": true }),
        ),
        (ServerMessage::RoomMetadata { metadata: "m".into() }, json!({ "type": "room_metadata", "metadata": "m" })),
        (
            ServerMessage::Data { participant: None, topic: "t".into(), text: "x".into() },
            json!({ "type": "data", "participant": null, "topic": "t", "text": "x" }),
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
        fn reads_or_refuses(mut value in json(), kind in 0..11_usize, id in any::<u64>()) {
            let kinds = ["join", "offer", "candidate", "publish", "unpublish", "subscribe", "unsubscribe", "mute", "leave", "ping", "prefer"];
            let _ = read(&value);
            if let Value::Object(map) = &mut value {
                map.insert("type".into(), kinds[kind].into());
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

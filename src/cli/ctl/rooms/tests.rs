use super::*;

#[test]
fn a_line_says_what_is_sent_and_why() {
    let subscriber: Subscriber = serde_json::from_str(
        r#"{ "id": "5b", "door": "call", "connected": true, "estimate_bps": 2400000, "missing_m_lines": { "audio": 0, "video": 0 },
        "subscriptions": [
            { "publication": "07", "publisher": "bob\u001b[2J", "source": "camera", "current": { "spatial": 0, "temporal": 2 },
              "target": { "spatial": 1, "temporal": 2 }, "bitrate_bps": 150000, "reason": "awaiting_keyframe",
              "preferences": { "width": 320, "height": 180, "visible": true, "pinned": true } },
            { "publisher": "eve", "source": "microphone", "current": null, "target": null, "bitrate_bps": 0, "reason": null,
              "preferences": { "width": 0, "height": 0, "pinned": false } }] }"#,
    )
    .unwrap();
    let lines = lines(&subscriber);
    assert_eq!(lines[0], "5b by call, bandwidth toward it 2400 kbit/s");
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&lines[2]), ["bob\u{fffd}[2J", "camera", "S0T2", "S1T2", "150", "320x180", "awaiting_keyframe", "(pinned)"]);
    assert_eq!(words(&lines[3]), ["eve", "microphone", "-", "-", "0", "-", "not", "known", "yet"]);
}

#[test]
fn a_line_says_how_well_someone_sees_and_hears() {
    let view: RoomView = serde_json::from_str(
        r#"{ "name": "r", "participants": [
            { "identity": "ann", "name": "Ann\u001b[2J", "door": "call", "connected": true, "publications": [{}, {}], "subscriptions": 3,
              "quality": { "browser": "Firefox 153", "score": { "all": 4.26, "audio": 4.3, "video": null }, "rtt_ms": 20, "loss_uplink": 0.015, "loss_downlink": null } },
            { "identity": "cam", "name": "", "door": "whip", "connected": false, "publications": [], "subscriptions": 0, "quality": null }] }"#,
    )
    .unwrap();
    let lines = people(&view.participants);
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    assert_eq!(words(&lines[1]), ["ann", "Ann\u{fffd}[2J", "call", "2", "3", "4.3", "20", "1.5%", "-"]);
    assert_eq!(words(&lines[2]), ["cam", "whip", "0", "0", "-", "-", "-", "-", "(no", "media", "yet)"]);
}

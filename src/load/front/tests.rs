use super::{Answer, Offer, Ssrcs, resolve};

#[test]
fn a_location_is_made_absolute() {
    for (location, absolute) in [
        ("/whip/resource/1", "http://host:8080/whip/resource/1"),
        ("resource/1", "http://host:8080/whip/resource/1"),
        ("https://other/1", "https://other/1"),
    ] {
        assert_eq!(resolve("http://host:8080/whip/room", location), absolute);
    }
    assert_eq!(resolve("http://host", "/r"), "http://host/r");
}

#[test]
fn an_answer_is_read_and_what_it_lacks_is_named() {
    let fingerprint = ["AB"; 32].join(":");
    let sdp = format!(
        "v=0\r\na=ice-ufrag:u\r\na=ice-pwd:p\r\na=fingerprint:sha-256 {fingerprint}\r\na=candidate:1 1 tcp 1 10.0.0.1 9 typ host\r\n\
         a=candidate:1 1 UDP 1 10.0.0.1 3478 typ host\r\na=candidate:2 1 udp 1 2001:db8::1 3478 typ host\r\n"
    );
    let answer = Answer::read(&sdp).expect("whole");
    assert_eq!((answer.ufrag.as_str(), answer.pwd.as_str(), answer.fingerprint), ("u", "p", [0xAB; 32]));
    let candidates: Vec<String> = answer.candidates.iter().map(ToString::to_string).collect();
    assert_eq!(candidates, ["10.0.0.1:3478", "[2001:db8::1]:3478"]);
    assert_eq!(Answer::read(&sdp.replace("UDP", "x").replace("udp", "x")), Err("UDP candidate"));
    assert_eq!(Answer::read(&sdp.replace("sha-256", "sha-1")), Err("SHA-256 fingerprint"));
}

#[test]
fn an_offer_has_as_many_m_lines_as_it_says() {
    let publisher =
        Offer { ufrag: "u", pwd: "p", fingerprint: [1; 32], publish: Some(Ssrcs { audio: 1, video: 2, video_rtx: 3 }), pairs: 1 }.to_sdp();
    assert_eq!(publisher.matches("a=sendonly\r\n").count(), 2);
    assert!(publisher.contains("a=ssrc-group:FID 2 3\r\n"));
    let player = Offer { ufrag: "u", pwd: "p", fingerprint: [1; 32], publish: None, pairs: 9 }.to_sdp();
    assert_eq!(player.matches("a=recvonly\r\n").count(), 18);
    assert!(player.contains("a=group:BUNDLE 0 1 2"));
}

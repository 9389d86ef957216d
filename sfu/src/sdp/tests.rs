//! Samples are what real clients offered; see each file's name.

use proptest::prelude::*;

use super::{Candidate, Description, Direction, Limits, MediaKind, Setup, SyntaxError, SyntaxFault};

/// Every captured offer, by file name.
pub(crate) const SAMPLES: &[(&str, &str)] = &[
    ("aiortc_play", include_str!("samples/aiortc_play.sdp")),
    ("aiortc_publish", include_str!("samples/aiortc_publish.sdp")),
    ("chromium_av1_svc", include_str!("samples/chromium_av1_svc.sdp")),
    ("chromium_camera", include_str!("samples/chromium_camera.sdp")),
    ("chromium_data_channel", include_str!("samples/chromium_data_channel.sdp")),
    ("chromium_many_recvonly", include_str!("samples/chromium_many_recvonly.sdp")),
    ("chromium_recvonly", include_str!("samples/chromium_recvonly.sdp")),
    ("chromium_sendrecv", include_str!("samples/chromium_sendrecv.sdp")),
    ("chromium_simulcast", include_str!("samples/chromium_simulcast.sdp")),
    ("ffmpeg_whip", include_str!("samples/ffmpeg_whip.sdp")),
    ("firefox_av1_svc", include_str!("samples/firefox_av1_svc.sdp")),
    ("firefox_camera", include_str!("samples/firefox_camera.sdp")),
    ("firefox_data_channel", include_str!("samples/firefox_data_channel.sdp")),
    ("firefox_many_recvonly", include_str!("samples/firefox_many_recvonly.sdp")),
    ("firefox_recvonly", include_str!("samples/firefox_recvonly.sdp")),
    ("firefox_sendrecv", include_str!("samples/firefox_sendrecv.sdp")),
    ("firefox_simulcast", include_str!("samples/firefox_simulcast.sdp")),
    ("gstreamer_publish", include_str!("samples/gstreamer_publish.sdp")),
];

pub(crate) fn sample(name: &str) -> &'static str {
    SAMPLES.iter().find(|(sample, _)| *sample == name).map(|(_, text)| *text).expect("there is such a sample")
}

fn read(text: &str) -> Result<Description, SyntaxError> {
    Description::read(text, &Limits::default())
}

#[test]
fn samples_are_read_and_survive_writing() {
    for (name, text) in SAMPLES {
        let first = read(text).unwrap_or_else(|error| panic!("{name}: {error}"));
        let second = read(&first.write()).unwrap_or_else(|error| panic!("{name} written: {error}"));
        assert_eq!(first, second, "{name}");
        super::fuzz(text.as_bytes());
    }
}

#[test]
fn a_simulcast_offer_of_chromium() {
    let offer = read(sample("chromium_simulcast")).unwrap();
    assert_eq!(offer.bundle.as_deref(), Some(&["0".to_owned(), "1".to_owned()][..]));
    assert!(offer.extmap_allow_mixed);
    let video = &offer.media[0];
    assert_eq!((&video.kind, video.mid.as_deref(), video.direction), (&MediaKind::Video, Some("0"), Some(Direction::SendOnly)));
    assert_eq!(video.transport.setup, Some(Setup::ActPass));
    assert_eq!(video.transport.fingerprints.len(), 1);
    assert_eq!(video.simulcast.as_ref().unwrap().send, ["q", "h", "f"]);
    assert_eq!(video.rids.len(), 3);
    let vp8 = &video.codecs[0];
    assert_eq!((vp8.payload_type, vp8.name.as_str(), vp8.clock_rate), (96, "VP8", 90_000));
    assert_eq!(video.codecs[1].parameter("apt"), Some("96"));
    assert!(video.rtcp_mux && video.rtcp_rsize && !video.is_rejected());
    assert_eq!(offer.media[1].codecs[0].channels, Some(2));
}

#[test]
fn faults_name_their_line() {
    let cases = [
        ("", 1, SyntaxFault::Version),
        ("hello", 1, SyntaxFault::Version),
        ("v=1\r\n", 1, SyntaxFault::Version),
        ("v=0\r\n", 1, SyntaxFault::NoMedia),
        ("v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\nhello\r\n", 3, SyntaxFault::NotALine),
        ("v=0\nm=audio 9\n", 2, SyntaxFault::MediaLine),
        ("v=0\nm=audio nine UDP/TLS/RTP/SAVPF 111\n", 2, SyntaxFault::MediaLine),
        ("v=0\nm=audio 65536 UDP/TLS/RTP/SAVPF 111\n", 2, SyntaxFault::MediaLine),
        ("v=0\nm=audio 9 X 111\na=mid:0\nm=audio 9 X 111\na=mid:0\n", 5, SyntaxFault::DuplicateMid),
        ("v=0\nm=audio 9 X 111\na=rtpmap:111 opus\n", 3, SyntaxFault::Rtpmap),
        ("v=0\nm=audio 9 X 111\na=rtpmap:256 opus/48000\n", 3, SyntaxFault::Rtpmap),
        ("v=0\nm=audio 9 X 111\na=extmap:0 urn:x\n", 3, SyntaxFault::ExtMap),
        ("v=0\nm=audio 9 X 111\na=ice-ufrag:abc\n", 3, SyntaxFault::IceCredentials),
        ("v=0\nm=audio 9 X 111\na=ice-pwd:too-short\n", 3, SyntaxFault::IceCredentials),
        ("v=0\nm=audio 9 X 111\na=fingerprint:sha-256 00:11\n", 3, SyntaxFault::Fingerprint),
        ("v=0\nm=audio 9 X 111\na=setup:maybe\n", 3, SyntaxFault::Setup),
        ("v=0\nm=audio 9 X 111\na=ssrc:-1 cname:x\n", 3, SyntaxFault::Ssrc),
        ("v=0\na=group:BUNDLE 0 0\nm=audio 9 X 111\n", 2, SyntaxFault::Group),
        ("v=0\ns=a\u{1}b\nm=audio 9 X 111\n", 2, SyntaxFault::ControlCharacter),
    ];
    for (text, line, fault) in cases {
        assert_eq!(read(text), Err(SyntaxError { line, fault }), "{text:?}");
    }
}

#[test]
fn bounds_hold() {
    let limits = Limits { len_max: 200, line_len_max: 60, media_max: 2, attributes_max: 3 };
    let fault = |text: &str| Description::read(text, &limits).unwrap_err().fault;
    let line = "m=audio 9 UDP/TLS/RTP/SAVPF 111\n";
    assert_eq!(fault(&format!("v=0\n{}", "s=-\n".repeat(60))), SyntaxFault::TooLong);
    assert_eq!(fault(&format!("v=0\ns={}\n", "x".repeat(60))), SyntaxFault::LineTooLong);
    assert_eq!(fault(&format!("v=0\n{line}{line}{line}")), SyntaxFault::TooManyMedia);
    assert_eq!(fault(&format!("v=0\n{line}{}", "a=x\n".repeat(4))), SyntaxFault::TooManyAttributes);
    assert!(Description::read(&format!("v=0\n{line}a=x\na=x\na=x\n{line}a=x\n"), &limits).is_ok());
}

#[test]
fn odd_clients_are_understood() {
    let text = "v=0\no=- -5 99999999999999999999999 IN IP4 127.0.0.1\na=setup:ACTIVE\na=fingerprint:SHA-256 \
        00:01:02:03:04:05:06:07:08:09:0a:0b:0c:0d:0e:0f:10:11:12:13:14:15:16:17:18:19:1a:1b:1c:1d:1e:1f\na=sendonly\n\
        m=video 9 UDP/TLS/RTP/SAVPF 96 \na=rtpmap:96  vp8/90000\na=simulcast: send rid=a;~b,c\na=rid:a send max-width=1280\n\
        a=unheard-of:thing\nz=0 0\na=candidate:garbage\na=extmap:4096 urn:placeholder";
    let read = read(text).unwrap();
    assert_eq!((read.session_id, read.version), (0, 0));
    assert_eq!(read.transport.setup, Some(Setup::Active));
    assert_eq!(read.transport.fingerprints[0].0[31], 0x1f);
    assert_eq!(read.direction, Some(Direction::SendOnly));
    let video = &read.media[0];
    assert_eq!(video.codecs[0].name, "vp8");
    assert_eq!(video.simulcast.as_ref().unwrap().send, ["a", "b"]);
    assert_eq!((video.rids.len(), video.candidates.len(), video.extensions.len()), (1, 0, 0));
}

#[test]
fn candidates() {
    let host = Candidate::read("candidate:2383498150 1 UDP 2122194687 127.0.0.1 38481 typ host generation 0 network-id 3").unwrap();
    assert_eq!((host.transport.as_str(), host.port, host.kind.as_str()), ("udp", 38_481, "host"));
    assert_eq!(host.to_string(), "candidate:2383498150 1 udp 2122194687 127.0.0.1 38481 typ host");
    assert!(Candidate::read("a=candidate:1 1 tcp 1 3f2a.local 9 typ host tcptype active").is_ok());
    assert!(Candidate::read("candidate:1 1 udp 1 fd00::2 9 typ relay raddr 0.0.0.0 rport 0").is_ok());
    for broken in [
        "",
        "candidate:",
        "candidate:1 1 udp 1 127.0.0.1 9 host",
        "candidate:1 0 udp 1 127.0.0.1 9 typ host",
        "candidate:1 1 udp 1 a/b 9 typ host",
    ] {
        assert!(Candidate::read(broken).is_err(), "{broken:?}");
    }
}

#[test]
fn seeds_of_the_fuzz_target() {
    pointsman_wire::corpus::replay("sdp", super::fuzz);
}

proptest! {
    #[test]
    fn nothing_panics(text in "\\PC*") {
        super::fuzz(text.as_bytes());
    }

    /// Samples with a few bytes changed come closer to the edges than text made of nothing.
    #[test]
    fn damaged_samples_do_not_panic(which in 0..SAMPLES.len(), damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8)) {
        let mut bytes = SAMPLES[which].1.as_bytes().to_vec();
        for (at, byte) in damage {
            let at = at.index(bytes.len());
            bytes[at] = byte & 0x7f;
        }
        super::fuzz(&bytes);
    }

    /// Lines in another order, doubled or left out.
    #[test]
    fn shuffled_lines_do_not_panic(which in 0..SAMPLES.len(), order in prop::collection::vec(any::<prop::sample::Index>(), 1..80)) {
        let lines: Vec<&str> = SAMPLES[which].1.lines().collect();
        let text = order.iter().map(|at| *at.get(&lines)).fold("v=0\r\n".to_owned(), |text, line| text + line + "\r\n");
        super::fuzz(text.as_bytes());
    }
}

use std::collections::HashSet;

use proptest::prelude::*;

use super::*;
use crate::sdp::tests::{SAMPLES, sample};
use crate::sdp::{Direction, MediaKind, RidDirection};
use crate::{Codec, CodecSpec, DataSpec, SenderSpec, SsrcSpec};

fn config() -> Arc<NegotiationConfig> {
    let candidates = vec!["203.0.113.7:3478".parse().unwrap(), "[2001:db8::7]:3478".parse().unwrap()];
    Arc::new(NegotiationConfig::new(candidates, Fingerprint([7; 32])))
}

fn negotiation(front: Front) -> Negotiation {
    Negotiation::new(config(), ParticipantId(1), RoomId(2), front, true, true, [9; 32])
}

fn read(text: &str) -> Description {
    Description::read(text, &Limits::default()).unwrap()
}

fn source(number: u64) -> Source {
    Source { publication: PublicationId(number), publisher: ParticipantId(100 + number) }
}

fn placed(mid: &str) -> Result<Placement, SubscribeError> {
    Ok(Placement::Placed { mid: mid.to_owned() })
}

fn sender<'a>(negotiation: &'a Negotiation, mid: &str) -> &'a SenderSpec {
    negotiation.spec().senders.iter().find(|sender| sender.mid == mid).expect("the m-line sends")
}

#[test]
fn every_sample_is_answered_line_by_line() {
    for (name, text) in SAMPLES {
        for front in [Front::Call, Front::Http] {
            let mut negotiation = negotiation(front);
            let answer = negotiation.answer(text).unwrap_or_else(|error| panic!("{name}: {error}"));
            let (offer, answer) = (read(text), read(&answer));
            assert_eq!(offer.media.len(), answer.media.len(), "{name}");
            assert!(answer.ice_lite);
            for (theirs, ours) in offer.media.iter().zip(&answer.media) {
                assert_eq!((&theirs.kind, &theirs.mid), (&ours.kind, &ours.mid), "{name}");
                if theirs.is_rejected() {
                    assert_eq!(ours.port, 0, "{name}");
                    continue;
                }
                if theirs.kind == MediaKind::Application {
                    assert!(ours.port != 0 && !ours.rtcp_mux && ours.direction.is_none(), "{name}");
                    assert_eq!(
                        (&ours.formats, ours.sctp_port, ours.max_message_size),
                        (&theirs.formats, Some(5000), Some(69_632)),
                        "{name}"
                    );
                    let spec = DataSpec { port: 5000, message_bytes_max: theirs.max_message_size.unwrap() };
                    assert_eq!(negotiation.spec().data, Some(spec), "{name}");
                    continue;
                }
                assert!(ours.port != 0 && ours.rtcp_mux, "{name}");
                let direction = theirs.direction.unwrap();
                assert_eq!(ours.direction, Some(Direction::new(direction.receives(), direction.sends())), "{name}");
                // RFC 3264 section 6.1: what is answered was offered, with the same numbers and in the same order.
                assert!(ours.codecs.iter().all(|codec| theirs.codecs.contains(codec)), "{name}");
                assert!(ours.extensions.iter().all(|extension| theirs.extensions.contains(extension)), "{name}");
                assert!(ours.feedback.iter().all(|feedback| theirs.feedback.contains(feedback)), "{name}");
                let position = |format: &String| theirs.formats.iter().position(|theirs| theirs == format).unwrap();
                assert!(ours.formats.is_sorted_by_key(position), "{name}");
                assert_eq!(direction.receives(), !ours.ssrcs.is_empty(), "{name}");
            }
            let bundled = answer.bundle.unwrap();
            assert!(answer.media.iter().all(|media| (media.port != 0) == bundled.contains(media.mid.as_ref().unwrap())), "{name}");
        }
    }
}

#[test]
fn a_publisher_of_simulcast() {
    let mut negotiation = negotiation(Front::Call);
    let answer = read(&negotiation.answer(sample("chromium_simulcast")).unwrap());
    let video = &answer.media[0];
    assert!(video.rids.iter().all(|rid| rid.direction == RidDirection::Recv));
    assert_eq!(video.simulcast.as_ref().unwrap().recv, ["q", "h", "f"]);
    assert!(video.extensions.iter().any(|extension| extension.uri.ends_with("sdes:rtp-stream-id")));
    assert_eq!(video.transport.setup, Some(Setup::Passive));
    assert_eq!((video.candidates.len(), video.end_of_candidates, answer.media[1].candidates.len()), (2, true, 0));

    let spec = negotiation.spec();
    assert_eq!(spec.remote.ufrag, "CI36");
    assert_eq!(spec.fingerprints.len(), 1);
    let [video, audio] = &spec.receivers[..] else { panic!("two publications") };
    assert_eq!((video.rids.join(";").as_str(), video.ssrcs.len(), video.kind), ("q;h;f", 0, Kind::Video));
    assert_eq!(video.codecs[0].codec, Codec::Vp8);
    assert_eq!((video.codecs[0].payload_type, video.codecs[0].rtx), (96, Some(97)));
    assert!(video.codecs[0].transport_cc && !video.codecs[0].remb && video.codecs[0].pli && video.codecs[0].nack && video.codecs[0].fir);
    assert_eq!((video.extensions.mid, video.extensions.rid, video.extensions.transport_cc), (Some(9), Some(10), Some(4)));
    assert_eq!((audio.codecs[0].codec, audio.codecs[1].codec, audio.codecs.len()), (Codec::Opus, Codec::Red, 2));
    assert_eq!(audio.ssrcs, [SsrcSpec { ssrc: 657_030_545, rtx: None }]);
    let publications: Vec<&str> = negotiation.publications().map(|(_, codec)| codec).collect();
    assert_eq!(publications, ["VP8", "opus"]);
}

#[test]
fn subscriptions_fill_free_lines_in_order_and_wait_for_more() {
    let mut negotiation = negotiation(Front::Call);
    assert_eq!(negotiation.subscribe(source(1), Kind::Video), Ok(Placement::Waiting));
    let answer = read(&negotiation.answer(sample("chromium_many_recvonly")).unwrap());
    assert_eq!(answer.media.len(), 8);
    let msids: HashSet<_> = answer.media.iter().map(|media| media.msid.clone().unwrap()).collect();
    assert_eq!(msids.len(), 8, "each m-line has an msid of its own");

    let video_mids: Vec<String> =
        negotiation.spec().senders.iter().filter(|sender| sender.kind == Kind::Video).map(|sender| sender.mid.clone()).collect();
    assert_eq!(negotiation.placed().collect::<Vec<_>>(), [(PublicationId(1), video_mids[0].as_str())]);
    for number in 2..=4 {
        assert_eq!(negotiation.subscribe(source(number), Kind::Video), placed(&video_mids[number as usize - 1]));
    }
    assert_eq!(negotiation.subscribe(source(5), Kind::Video), Ok(Placement::Waiting));
    assert_eq!(negotiation.waiting(), Waiting { audio: 0, video: 1 });
    let before = sender(&negotiation, &video_mids[1]).clone();

    negotiation.unsubscribe(PublicationId(2));
    assert_eq!(negotiation.waiting(), Waiting::default());
    let after = sender(&negotiation, &video_mids[1]);
    assert_eq!(after.source, Some(source(5)), "who waited has the free m-line");
    assert_eq!((after.ssrc, after.rtx_ssrc), (before.ssrc, before.rtx_ssrc));
    assert!(after.codecs.iter().all(|codec| codec.transport_cc && !codec.remb), "what arrives is told packet by packet");
    assert!(after.extensions.transport_cc.is_some(), "so packets are numbered");
    assert_eq!(negotiation.subscribe(source(5), Kind::Video), placed(&video_mids[1]), "asking again changes nothing");
}

#[test]
fn feedback_on_streams_is_taken_where_nothing_better_is_offered_and_only_for_what_we_send() {
    let offer =
        sample("chromium_many_recvonly").replace("transport-cc", "ack-nothing").replace("a=recvonly", "a=rtcp-fb:* ack ccfb\r\na=recvonly");
    let mut negotiation = negotiation(Front::Call);
    let answer = negotiation.answer(&offer).unwrap();
    assert!(answer.contains("a=rtcp-fb:* ack ccfb\r\n"), "RFC 8888 section 6: with a wildcard: {answer}");
    let video = negotiation.spec().senders.iter().find(|sender| sender.kind == Kind::Video).expect("an m-line").clone();
    assert!(video.codecs.iter().all(|codec| codec.ccfb && !codec.remb && !codec.transport_cc));

    let both = sample("chromium_many_recvonly").replace("a=recvonly", "a=rtcp-fb:* ack ccfb\r\na=recvonly");
    let answer = self::negotiation(Front::Call).answer(&both).unwrap();
    assert!(answer.contains("transport-cc") && !answer.contains("ccfb"), "{answer}");
    let published =
        sample("chromium_simulcast").replace("transport-cc", "ack-nothing").replace("a=sendonly", "a=rtcp-fb:* ack ccfb\r\na=sendonly");
    let answer = self::negotiation(Front::Call).answer(&published).unwrap();
    assert!(!answer.contains("ccfb"), "{answer}");
}

#[test]
fn later_offers_keep_ids_and_end_what_stopped() {
    let mut negotiation = negotiation(Front::Call);
    let offer = sample("chromium_camera");
    let first = read(&negotiation.answer(offer).unwrap());
    let ids: Vec<PublicationId> = negotiation.publications().map(|(receiver, _)| receiver.publication).collect();
    assert!(negotiation.set_muted(ids[1], true));
    assert!(!negotiation.set_muted(PublicationId(0), true));

    let again = read(&negotiation.answer(offer).unwrap());
    assert_eq!(ids, negotiation.publications().map(|(receiver, _)| receiver.publication).collect::<Vec<_>>());
    assert!(negotiation.spec().receivers[1].muted, "mute outlives the offer");
    assert_eq!((again.session_id, again.version), (first.session_id, first.version + 1));
    assert_eq!(again.media[0].transport.ufrag, first.media[0].transport.ufrag);

    let stopped = offer.replacen("a=sendonly", "a=inactive", 1);
    negotiation.answer(&stopped).unwrap();
    assert_eq!(negotiation.publications().map(|(receiver, _)| receiver.publication).collect::<Vec<_>>(), [ids[1]]);
    negotiation.answer(offer).unwrap();
    assert_ne!(negotiation.spec().receivers[0].publication, ids[0], "what ended stays ended");
}

#[test]
fn an_ice_restart_gets_new_credentials() {
    let mut negotiation = negotiation(Front::Call);
    negotiation.answer(sample("chromium_simulcast")).unwrap();
    let before = negotiation.spec().clone();
    let restarted = sample("chromium_simulcast").replace("CI36", "CI37").replace("kl0dbCwTDB75CsWr6QudoPY/", "AAAAbCwTDB75CsWr6QudoPY/");
    let answer = read(&negotiation.answer(&restarted).unwrap());
    let after = negotiation.spec();
    assert_ne!(before.local, after.local);
    assert_eq!(after.remote.ufrag, "CI37");
    assert_eq!(answer.media[0].transport.ufrag.as_ref(), Some(&after.local.ufrag));
    assert_eq!(before.receivers, after.receivers);
}

#[test]
fn setup_decides_the_dtls_role() {
    for (theirs, ours, role) in [
        ("actpass", Setup::Passive, DtlsRole::Server),
        ("active", Setup::Passive, DtlsRole::Server),
        ("passive", Setup::Active, DtlsRole::Client),
    ] {
        let mut negotiation = negotiation(Front::Http);
        let answer = negotiation.answer(&sample("chromium_camera").replace("setup:actpass", &format!("setup:{theirs}"))).unwrap();
        assert_eq!(read(&answer).media[0].transport.setup, Some(ours));
        assert_eq!(negotiation.spec().dtls_role, role);
        // Later offers say actpass again (RFC 8842 section 5.2), and the roles stay.
        negotiation.answer(sample("chromium_camera")).unwrap();
        assert_eq!(negotiation.spec().dtls_role, role);
    }
}

#[test]
fn grants_bound_the_directions() {
    let config = config();
    let mut listener = Negotiation::new(Arc::clone(&config), ParticipantId(1), RoomId(2), Front::Call, false, true, [1; 32]);
    let answer = read(&listener.answer(sample("chromium_sendrecv")).unwrap());
    assert!(answer.media.iter().all(|media| media.direction == Some(Direction::SendOnly)));
    assert!(listener.spec().receivers.is_empty() && listener.spec().senders.len() == 2);

    let mut speaker = Negotiation::new(config, ParticipantId(1), RoomId(2), Front::Call, true, false, [2; 32]);
    let answer = read(&speaker.answer(sample("chromium_sendrecv")).unwrap());
    assert!(answer.media.iter().all(|media| media.direction == Some(Direction::RecvOnly)));
    assert_eq!(speaker.subscribe(source(1), Kind::Audio), Err(SubscribeError::NotGranted));
}

#[test]
fn refusals_say_what_is_wrong() {
    let camera = sample("chromium_camera");
    let only_h265 = "v=0\r\na=group:BUNDLE 0 1\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\n\
        a=mid:0\r\na=rtcp-mux\r\na=rtpmap:111 opus/48000/2\r\nm=video 9 UDP/TLS/RTP/SAVPF 100\r\na=mid:1\r\na=rtpmap:100 H265/90000\r\n";
    let fingerprint = camera.lines().find(|line| line.starts_with("a=fingerprint")).unwrap();
    let cases = [
        (only_h265.to_owned(), "m-line 1 (mid 0): a=fingerprint is missing"),
        (only_h265.replacen("m=", &format!("{fingerprint}\r\nm="), 1), "m-line 2 (mid 1): none of the offered codecs is supported: H265"),
        (camera.replace("a=rtcp-mux\r\n", ""), "m-line 1 (mid 0): a=rtcp-mux is missing: RTP and RTCP must share one port"),
        (camera.replace("a=group:BUNDLE 0 1\r\n", ""), "a=group:BUNDLE must hold the m-lines: all media shares one transport"),
        (camera.replace("a=fingerprint:sha-256", "a=fingerprint:sha-512"), "m-line 1 (mid 0): a=fingerprint must be given with sha-256"),
        (camera.replace("a=ice-ufrag", "a=x"), "m-line 1 (mid 0): a=ice-ufrag or a=ice-pwd is missing"),
        (
            "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n".to_owned(),
            "there is no m-line that could be accepted: audio, video or data channels",
        ),
        ("hello".to_owned(), "line 1: a session description starts with v=0"),
    ];
    for (offer, reason) in cases {
        let mut negotiation = negotiation(Front::Http);
        assert_eq!(negotiation.answer(&offer).unwrap_err().to_string(), reason);
        assert!(!negotiation.is_established() && negotiation.spec().receivers.is_empty(), "a refused offer changes nothing");
    }
}

#[test]
fn later_offers_may_not_lose_or_rename_lines() {
    let mut negotiation = negotiation(Front::Call);
    negotiation.answer(sample("chromium_camera")).unwrap();
    let one_line = sample("chromium_camera").rsplit_once("m=video").unwrap().0.replace("BUNDLE 0 1", "BUNDLE 0");
    assert!(negotiation.answer(&one_line).unwrap_err().to_string().contains("there were 2 m-lines and now there are 1"));
    let renamed = sample("chromium_camera").replace("a=mid:1", "a=mid:x").replace("BUNDLE 0 1", "BUNDLE 0 x");
    assert_eq!(
        negotiation.answer(&renamed).unwrap_err().to_string(),
        "m-line 2 (mid x): it was mid 1 before, and mids of m-lines in use do not change"
    );
    // Stopped first (port 0), the line may be used anew.
    let (audio, video) = sample("chromium_camera").rsplit_once("m=video ").unwrap();
    let (_, video) = video.split_once(' ').unwrap();
    negotiation.answer(&format!("{audio}m=video 0 {video}").replace("BUNDLE 0 1", "BUNDLE 0")).unwrap();
    assert_eq!(negotiation.spec().receivers.len(), 1);
    negotiation.answer(&renamed).unwrap();
    assert_eq!(negotiation.spec().receivers[1].mid, "x");
}

#[test]
fn bounds_of_the_configuration_hold() {
    let mut config = NegotiationConfig::new(Vec::new(), Fingerprint([0; 32]));
    (config.publications_max, config.subscriptions_max, config.layers_max) = (1, 2, 2);
    let config = Arc::new(config);
    let new = || Negotiation::new(Arc::clone(&config), ParticipantId(1), RoomId(2), Front::Call, true, true, [3; 32]);
    assert_eq!(new().answer(sample("chromium_camera")).unwrap_err().to_string(), "at most 1 m-lines may send");
    let mut negotiation = new();
    assert!(negotiation.subscribe(source(1), Kind::Audio).is_ok() && negotiation.subscribe(source(2), Kind::Audio).is_ok());
    assert_eq!(negotiation.subscribe(source(3), Kind::Audio), Err(SubscribeError::Full));
    let video_only = sample("chromium_simulcast").split_once("m=audio").unwrap().0.replace("BUNDLE 0 1", "BUNDLE 0");
    negotiation.answer(&video_only).unwrap();
    assert_eq!(negotiation.spec().receivers[0].rids, ["q", "h"]);
}

#[test]
fn players_over_http_get_one_stream_of_sound_and_picture() {
    let mut player = negotiation(Front::Http);
    let answer = read(&player.answer(sample("chromium_recvonly")).unwrap());
    let [first, second] = &answer.media[..] else { panic!("two m-lines") };
    let (first, second) = (first.msid.clone().unwrap(), second.msid.clone().unwrap());
    assert_eq!(first.0, second.0, "one stream: played in step");
    assert_ne!(first.1, second.1, "two tracks");
}

#[test]
fn we_may_offer_and_the_client_answers() {
    let mut negotiation = negotiation(Front::Call);
    assert_eq!(negotiation.handle_answer(sample("chromium_camera")).unwrap_err().to_string(), "there is no offer that waits for an answer");
    negotiation.subscribe(source(1), Kind::Video).unwrap();
    negotiation.subscribe(source(2), Kind::Audio).unwrap();
    let offer = read(&negotiation.offer(Waiting::default()));
    assert_eq!(offer.media.iter().map(|media| media.direction).collect::<Vec<_>>(), [Some(Direction::SendOnly); 2]);
    assert_eq!(offer.media[0].transport.setup, Some(Setup::ActPass));

    let mut answer = offer.clone();
    for media in &mut answer.media {
        media.direction = Some(Direction::RecvOnly);
        media.transport.setup = Some(Setup::Active);
        (media.transport.ufrag, media.transport.pwd) = (Some("theirs".to_owned()), Some("abcdefghijklmnopqrstuvwx".to_owned()));
        (media.ssrcs, media.ssrc_groups, media.msid) = (Vec::new(), Vec::new(), None);
    }
    negotiation.handle_answer(&answer.write()).unwrap();
    let spec = negotiation.spec();
    assert_eq!((spec.senders.len(), spec.remote.ufrag.as_str(), spec.dtls_role), (2, "theirs", DtlsRole::Server));
    assert_eq!(negotiation.waiting(), Waiting::default());
    let ssrcs: Vec<u32> = offer.media.iter().map(|media| media.ssrcs[0].ssrc).collect();
    assert_eq!(spec.senders.iter().map(|sender| sender.ssrc).collect::<Vec<_>>(), ssrcs);

    // One more: the next offer repeats what stands and adds a line that uses the same payload types.
    negotiation.subscribe(source(3), Kind::Video).unwrap();
    let second = read(&negotiation.offer(Waiting::default()));
    assert_eq!(second.media.len(), 3);
    assert_eq!(second.media[2].formats, second.media[1].formats);
    assert_eq!(second.media[0].transport.ufrag, offer.media[0].transport.ufrag, "no ICE restart");
    // The client offers at the same time: ours is given up.
    let mut theirs = answer.clone();
    theirs.media.iter_mut().for_each(|media| media.transport.setup = Some(Setup::ActPass));
    negotiation.answer(&theirs.write()).unwrap();
    assert_eq!(negotiation.spec().senders.len(), 2);
    assert_eq!(negotiation.waiting(), Waiting { audio: 0, video: 1 });
}

#[test]
fn an_offer_of_ours_avoids_the_clients_payload_types() {
    let mut negotiation = negotiation(Front::Call);
    let audio_at_96 = sample("chromium_recvonly").split_once("m=video").map_or("", |(session, _)| session).to_owned();
    let audio = "m=audio 9 UDP/TLS/RTP/SAVPF 96\r\na=ice-ufrag:abcd\r\na=ice-pwd:abcdefghijklmnopqrstuv\r\na=setup:actpass\r\na=mid:0\r\n\
        a=extmap:1 urn:3gpp:video-orientation\r\na=extmap:2 urn:ietf:params:rtp-hdrext:sdes:mid\r\na=recvonly\r\na=rtcp-mux\r\na=rtpmap:96 opus/48000/2\r\n";
    let fingerprint = sample("chromium_recvonly").lines().find(|line| line.starts_with("a=fingerprint")).unwrap();
    negotiation.answer(&format!("{audio_at_96}{audio}{fingerprint}\r\n")).unwrap();
    negotiation.subscribe(source(1), Kind::Video).unwrap();
    let offer = read(&negotiation.offer(Waiting::default()));
    assert!(!offer.media[1].formats.contains(&"96".to_owned()));
    let mid = offer.media[1].extensions.iter().find(|extension| extension.uri.ends_with("sdes:mid")).unwrap();
    assert_eq!(mid.id, 2, "one id for one extension on all m-lines");
}

#[test]
fn our_offer_of_sound_has_red_around_its_opus() {
    let mut negotiation = negotiation(Front::Call);
    negotiation.answer(sample("chromium_simulcast").split_once("m=audio").unwrap().0).unwrap();
    negotiation.subscribe(source(1), Kind::Audio).unwrap();
    let offer = read(&negotiation.offer(Waiting::default()));
    let audio = offer.media.last().unwrap();
    let [opus, red] = &audio.codecs[..] else { panic!("{:?}", audio.codecs) };
    assert_eq!((opus.name.as_str(), red.name.as_str(), red.clock_rate, red.channels), ("opus", "red", 48_000, Some(2)));
    assert_eq!(red.parameters, Some(format!("{0}/{0}", opus.payload_type)));
    assert_eq!(
        codecs::negotiate(audio, Kind::Audio, false).specs.iter().map(|spec| spec.codec).collect::<Vec<_>>(),
        [Codec::Opus, Codec::Red]
    );
}

/// A FEC stream of its own repairs packets as the publisher numbered them, header extensions and all. Every subscriber gets others, so it is refused.
#[test]
fn flexfec_is_refused() {
    let mut negotiation = negotiation(Front::Call);
    let offer = sample("chromium_simulcast")
        .replacen(
            "a=rtpmap:96 VP8/90000\r\n",
            "a=rtpmap:96 VP8/90000\r\na=rtpmap:49 flexfec-03/90000\r\na=fmtp:49 repair-window=10000000\r\n",
            1,
        )
        .replacen("UDP/TLS/RTP/SAVPF 96", "UDP/TLS/RTP/SAVPF 49 96", 1);
    let answer = read(&negotiation.answer(&offer).unwrap());
    assert!(read(&offer).media[0].codecs.iter().any(|codec| codec.name == "flexfec-03"));
    assert!(answer.media[0].codecs.iter().all(|codec| codec.name != "flexfec-03"));
    assert_eq!(answer.media[0].formats[0], "96");
    // Of streams that the offer names, the repaired one counts alone.
    let named = "a=ssrc-group:FEC-FR 657030545 77\r\na=ssrc:77 cname:x\r\n";
    let audio = format!("{}{named}", sample("chromium_simulcast"));
    negotiation.answer(&audio).unwrap();
    assert_eq!(negotiation.spec().receivers[1].ssrcs, [SsrcSpec { ssrc: 657_030_545, rtx: None }]);
}

#[test]
fn a_publisher_that_names_its_streams_and_waits_for_our_hello() {
    let mut negotiation = negotiation(Front::Http);
    let answer = read(&negotiation.answer(sample("ffmpeg_whip")).unwrap());
    assert_eq!(answer.media[0].transport.setup, Some(Setup::Active));
    let spec = negotiation.spec();
    assert_eq!(spec.dtls_role, DtlsRole::Client);
    let [audio, video] = &spec.receivers[..] else { panic!("two publications") };
    assert_eq!(audio.ssrcs, [SsrcSpec { ssrc: 2_642_478_665, rtx: None }]);
    assert_eq!(video.ssrcs, [SsrcSpec { ssrc: 2_642_478_666, rtx: Some(2_642_478_667) }]);
    assert_eq!(video.extensions, crate::ExtensionIds::default());
    assert_eq!(
        video.codecs,
        [CodecSpec {
            payload_type: 106,
            codec: Codec::H264 { profile_idc: 0x42, profile_iop: 0xe0, packetization_mode: 1 },
            clock_rate: 90_000,
            rtx: Some(105),
            nack: true,
            pli: false,
            fir: false,
            transport_cc: false,
            ccfb: false,
            remb: false,
        }]
    );
}

#[test]
fn spellings_of_one_h264_profile_are_one_codec() {
    let codec = |id: &str| {
        let mut negotiation = negotiation(Front::Http);
        negotiation.answer(&sample("ffmpeg_whip").replace("42000c", id)).ok()?;
        negotiation.spec().receivers.get(1).map(|video| video.codecs[0].codec)
    };
    let baseline = codec("42e01f");
    for spelling in ["42001f", "42C01F", "4d8028", "58c01f"] {
        assert_eq!(codec(spelling), baseline, "{spelling}");
    }
    assert_eq!(codec("4d001f"), codec("4d4028"));
    assert_ne!(codec("64001f"), baseline);
    assert_ne!(codec("4d001f"), baseline);
    assert_eq!(codec("nonsense"), None);
}

proptest! {
    /// Whatever a client sends, first or later: no panic, and an answer that is readable, has its m-lines and repeats no SSRC.
    #[test]
    fn damaged_and_mixed_offers_are_answered_or_refused(
        offers in prop::collection::vec((0..SAMPLES.len(), prop::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>()), 0..6)), 1..5),
    ) {
        let mut negotiation = negotiation(Front::Call);
        for (number, (which, damage)) in offers.into_iter().enumerate() {
            let mut lines: Vec<&str> = SAMPLES[which].1.lines().collect();
            for (from, to) in damage {
                let line = lines.remove(from.index(lines.len()));
                if to.index(3) > 0 {
                    lines.insert(to.index(lines.len() + 1), line);
                }
            }
            let offer = lines.iter().fold(String::new(), |text, line| text + line + "\r\n");
            let _ = negotiation.subscribe(source(number as u64), Kind::Video);
            if number == 2 {
                read(&negotiation.offer(Waiting::default()));
                let _ = negotiation.handle_answer(&offer);
            }
            if let Ok(answer) = negotiation.answer(&offer) {
                prop_assert_eq!(read(&answer).media.len(), read(&offer).media.len());
            }
            let spec = negotiation.spec();
            let ssrcs: Vec<u32> = spec.senders.iter().flat_map(|sender| [sender.ssrc, sender.rtx_ssrc]).collect();
            prop_assert_eq!(ssrcs.iter().collect::<HashSet<_>>().len(), ssrcs.len());
            prop_assert_eq!(spec.senders.iter().filter(|sender| sender.source.is_some()).count(), negotiation.placed().count());
        }
    }
}

#[test]
fn data_channels_are_taken_alone_and_not_without_a_port_or_against_the_configuration() {
    let lines = sample("chromium_data_channel");
    let (session, rest) = lines.split_once("m=audio").unwrap();
    let application = &rest[rest.find("m=application").unwrap()..];
    let alone = format!("{}{application}", session.replace("BUNDLE 0 1 2 3", "BUNDLE 3"));

    let make = negotiation;
    let mut negotiation = make(Front::Call);
    let answer = read(&negotiation.answer(&alone).unwrap());
    assert!(!answer.media[0].candidates.is_empty() && answer.media[0].transport.ufrag.is_some());
    assert_eq!(negotiation.spec().data, Some(DataSpec { port: 5000, message_bytes_max: 262_144 }));
    // The client stops its m-line: the association goes with it.
    let stopped = alone.replace("m=application 59140", "m=application 0").replace("BUNDLE 3", "BUNDLE");
    negotiation.answer(&stopped).unwrap();
    assert_eq!(negotiation.spec().data, None);

    let without_size = alone.replace("a=max-message-size:262144\r\n", "");
    let mut other = make(Front::Http);
    other.answer(&without_size).unwrap();
    assert_eq!(other.spec().data.unwrap().message_bytes_max, 65_536);

    for refused in
        [alone.replace("a=sctp-port:5000\r\n", ""), alone.replace("webrtc-datachannel", "x"), alone.replace("UDP/DTLS", "UDP/TLS")]
    {
        assert!(make(Front::Call).answer(&refused).unwrap_err().to_string().contains("no m-line that could be accepted"));
    }
    let config = NegotiationConfig { data_message_bytes_max: 0, ..(*config()).clone() };
    let mut without = Negotiation::new(Arc::new(config), ParticipantId(1), RoomId(2), Front::Call, true, true, [9; 32]);
    let answer = read(&without.answer(sample("chromium_data_channel")).unwrap());
    assert_eq!((answer.media[3].port, without.spec().data), (0, None));
    assert_eq!(without.spec().receivers.len(), 2);
}

#[test]
fn of_two_lines_of_data_channels_the_first_counts() {
    let sample = sample("chromium_data_channel");
    let application = &sample[sample.find("m=application").unwrap()..];
    let two = format!("{sample}{}", application.replace("a=mid:3", "a=mid:4").replace("5000", "5001"))
        .replace("BUNDLE 0 1 2 3", "BUNDLE 0 1 2 3 4");
    let mut negotiation = negotiation(Front::Call);
    let answer = read(&negotiation.answer(&two).unwrap());
    assert_ne!(answer.media[3].port, 0);
    assert_eq!(answer.media[4].port, 0);
    assert_eq!(negotiation.spec().data.unwrap().port, 5000);
}

use std::time::Duration;

use pointsman_sfu::{DropReason, Event, ParticipantId, PublicationId};
use pointsman_wire::rtcp::{self, Packet as Rtcp};

use crate::world::*;

const CAMERA: u64 = 1;
const MICROPHONE: u64 = 2;
const SCREEN: u64 = 3;
const DOWN: u32 = 5000;

fn publisher_id() -> ParticipantId {
    ParticipantId(100)
}

/// A publisher of a camera and a microphone on shard 0, and a subscriber on `shard`.
fn pair(shards: u16, shard: usize, rids: &[&str]) -> World {
    let mut world = World::new(shards);
    world.join(0, vec![video_in(CAMERA, "0", rids), audio_in(MICROPHONE, "1")], vec![]);
    let camera = video_out("a", DOWN, Some((CAMERA, publisher_id())));
    let microphone = audio_out("b", DOWN + 10, Some((MICROPHONE, publisher_id())));
    world.join(shard, vec![], vec![camera, microphone]);
    world.connect(0);
    world.connect(1);
    world
}

fn sequences(got: &[Got]) -> Vec<u16> {
    got.iter().map(|got| got.header.sequence).collect()
}

fn assert_contiguous(got: &[Got]) {
    for pair in got.windows(2) {
        assert_eq!(pair[1].header.sequence, pair[0].header.sequence.wrapping_add(1), "in {:?}", sequences(got));
    }
}

/// What of a kind a client was told over RTCP.
fn count(compounds: &[Vec<u8>], of: impl Fn(&Rtcp<'_>) -> bool) -> usize {
    compounds.iter().flat_map(|compound| rtcp::packets(compound)).filter(|packet| packet.as_ref().is_ok_and(&of)).count()
}

fn plis(world: &World, client: usize, ssrc: u32) -> usize {
    count(&world.clients[client].rtcp, |packet| matches!(packet, Rtcp::Pli { media, .. } if *media == ssrc))
}

fn a_call(shards: u16, shard: usize) {
    let mut world = pair(shards, shard, &[]);
    let (mut camera, mut microphone) = (Stream::new(11, 65_530), Stream::new(22, 5));
    world.send(0, &camera.frame(false, 2));
    assert!(world.clients[1].take(DOWN).is_empty(), "video starts with a keyframe");
    assert_eq!(plis(&world, 0, 11), 1, "which is asked for");
    for at in 0..10 {
        let mut packets = camera.frame(at == 0, 3);
        packets.push(microphone.sound());
        world.send(0, &packets);
        world.pass(Duration::from_millis(33));
    }
    let video = world.clients[1].take(DOWN);
    assert_eq!(video.len(), 30);
    assert_contiguous(&video);
    assert!(video.iter().all(|got| got.header.payload_type == VP8_DOWN));
    assert!(video.iter().all(|got| got.header.extension(&got.bytes, MID_DOWN) == Some(b"a")));
    assert!(video.iter().all(|got| got.header.extension(&got.bytes, TWCC_DOWN).is_some()));
    for (at, got) in video.iter().enumerate() {
        assert_eq!(got.header.timestamp.wrapping_sub(video[0].header.timestamp), 3000 * (at as u32 / 3));
        assert_eq!(got.header.marker, at % 3 == 2);
        assert_eq!(got.payload().len(), 1000 + (at % 3) % 2, "padding is not payload");
    }
    let sound = world.clients[1].take(DOWN + 10);
    assert_eq!(sound.len(), 10);
    assert_contiguous(&sound);
    assert!(sound.iter().all(|got| got.header.payload_type == OPUS_DOWN));
    assert!(sound.iter().all(|got| got.header.extension(&got.bytes, LEVEL_DOWN) == Some(&[0x85])));
    assert!(world.events.contains(&Event::PublicationStarted { publication: PublicationId(CAMERA), codec: pointsman_sfu::Codec::Vp8 }));
}

#[test]
fn a_call_on_one_shard() {
    a_call(1, 0);
}

#[test]
fn a_call_across_two_shards() {
    a_call(2, 1);
}

#[test]
fn a_frame_is_equal_in_size() {
    let mut world = pair(1, 0, &[]);
    let mut camera = Stream::new(11, 100);
    for packet in camera.frame(true, 4) {
        world.clients[0].send(&packet);
    }
    world.settle();
    let got = world.clients[1].take(DOWN);
    let lengths: Vec<usize> = got.iter().map(|got| got.bytes.len()).collect();
    assert_eq!(lengths, [lengths[0]; 4], "one train");
    assert_eq!(world.shards[0].stats().padding_bytes, 2, "one for each of the two shorter ones");
}

#[test]
fn strays_find_their_participant() {
    let mut world = pair(2, 0, &[]);
    let mut camera = Stream::new(11, 100);
    world.send(0, &camera.frame(true, 1));
    world.clients[1].take(DOWN);
    // The kernel's hash puts the publisher's packets elsewhere now.
    world.clients[0].shard = 1;
    let frame = camera.frame(false, 2);
    world.send(0, &frame);
    assert_eq!(world.shards[1].stats().drops.of(DropReason::UnknownPath), 2, "unknown there until a check tells");
    world.check(0);
    world.send(0, &camera.frame(false, 2));
    assert_eq!(world.shards[1].stats().strays, 3, "the check and two packets");
    assert_eq!(world.clients[1].take(DOWN).len(), 2);
    assert_eq!(world.events.iter().filter(|event| matches!(event, Event::Claimed { .. })).count(), 2, "claimed once each");
}

#[test]
fn lost_packets_come_again_over_rtx() {
    let mut world = pair(1, 0, &[]);
    let mut camera = Stream::new(11, 100);
    world.send(0, &camera.frame(true, 4));
    let got = world.clients[1].take(DOWN);
    let lost = got[2].header.sequence;
    world.pass(Duration::from_millis(200));
    let ask = |world: &mut World| {
        world.clients[1].send_rtcp(|writer| writer.nack(1, DOWN, [lost]).unwrap());
        world.settle();
        world.clients[1].take(DOWN + 1)
    };
    let again = ask(&mut world);
    assert_eq!(again.len(), 1);
    assert_eq!(again[0].header.payload_type, RTX_DOWN);
    assert_eq!(again[0].header.timestamp, got[2].header.timestamp);
    assert_eq!(again[0].payload()[..2], lost.to_be_bytes());
    assert_eq!(&again[0].payload()[2..], got[2].payload());
    assert!(ask(&mut world).is_empty(), "not twice within a round trip");
    world.pass(Duration::from_millis(200));
    assert_eq!(ask(&mut world).len(), 1);
    assert_eq!(world.shards[0].stats().retransmitted, 2);
    world.pass(Duration::from_secs(10));
    assert!(ask(&mut world).is_empty(), "too old to be kept");
}

#[test]
fn what_is_lost_on_the_way_in_is_asked_for_and_unwrapped() {
    let mut world = pair(1, 0, &[]);
    let mut camera = Stream::new(11, 100);
    world.send(0, &camera.frame(true, 2));
    let frame = camera.frame(false, 4);
    world.send(0, &[frame[0].clone(), frame[3].clone()]);
    world.pass(Duration::from_millis(100));
    let asked = count(&world.clients[0].rtcp, |packet| match packet {
        Rtcp::Nack(nack) => nack.media == 11 && nack.lost().eq([103, 104]),
        _ => false,
    });
    assert!(asked >= 1, "the publisher is asked for both");
    let rtx = |sequence: u64, packet: &Packet| {
        let mut payload = (packet.sequence as u16).to_be_bytes().to_vec();
        payload.extend(&packet.payload);
        let elements = vec![(MID, b"0".to_vec())];
        Packet { ssrc: 12, payload_type: RTX, sequence, payload, elements, ..packet.clone() }
    };
    world.send(0, &[rtx(7, &frame[1]), rtx(8, &frame[2])]);
    let got = world.clients[1].take(DOWN);
    let first = got[0].header.sequence;
    let mut order: Vec<u16> = got.iter().map(|got| got.header.sequence - first).collect();
    assert_eq!(order, [0, 1, 2, 5, 3, 4], "each in the gap that was left for it");
    order.sort_unstable();
    assert_eq!(order, [0, 1, 2, 3, 4, 5]);
    assert_eq!(got[4].payload(), frame[1].payload);
    assert_eq!(world.shards[0].stats().rtx_in, 2);
    world.send(0, &[rtx(9, &frame[1])]);
    assert_eq!(world.shards[0].stats().drops.of(DropReason::Duplicate), 1);
    assert!(world.clients[1].take(DOWN).is_empty());
}

#[test]
fn padding_leaves_no_gap() {
    let mut world = pair(1, 0, &[]);
    let mut camera = Stream::new(11, 100);
    world.send(0, &camera.frame(true, 2));
    let mut padding = camera.frame(false, 2);
    for packet in &mut padding {
        packet.payload.clear();
        packet.padding = 200;
    }
    world.send(0, &padding);
    world.send(0, &camera.frame(false, 2));
    let got = world.clients[1].take(DOWN);
    assert_eq!(got.len(), 4);
    assert_contiguous(&got);
}

/// Three layers, of which the middle one comes later.
fn layers() -> [Stream; 3] {
    let layer = |ssrc, rid| Stream::new(ssrc, 1000 * u64::from(ssrc)).with_rid("0", rid);
    [layer(31, "l"), layer(32, "m"), layer(33, "h")]
}

fn a_switch(shards: u16, shard: usize) {
    let mut world = pair(shards, shard, &["l", "m", "h"]);
    let [mut low, _, mut high] = layers();
    for at in 0..10 {
        world.send(0, &low.frame(at == 0, 1));
        world.pass(Duration::from_millis(33));
    }
    for _ in 0..5 {
        world.send(0, &high.frame(false, 2));
        world.send(0, &low.frame(false, 1));
        world.pass(Duration::from_millis(33));
    }
    assert_eq!(plis(&world, 0, 33), 1, "a keyframe of the better layer is asked for, once");
    let got = world.clients[1].take(DOWN);
    assert_eq!(got.len(), 15, "the old layer stays until it comes");
    for at in 0..40 {
        world.send(0, &high.frame(at == 0, 2));
        world.send(0, &low.frame(false, 1));
        world.pass(Duration::from_millis(33));
    }
    let better = world.clients[1].take(DOWN);
    assert_eq!(better.len(), 80, "only the better layer now");
    let all: Vec<Got> = got.into_iter().chain(better).collect();
    assert_contiguous(&all);
    for pair in all.windows(2) {
        let step = pair[1].header.timestamp.wrapping_sub(pair[0].header.timestamp);
        assert!(step < 6_100, "timestamps go on by the time that passed, not by {step}");
        let (picture, tl0) = pair[1].picture();
        let (picture_before, tl0_before) = pair[0].picture();
        let same = step == 0;
        assert_eq!(picture, (picture_before + u16::from(!same)) & 0x7FFF);
        assert_eq!(tl0, tl0_before.wrapping_add(u8::from(!same)));
    }
    // The better layer falls silent.
    for at in 0..60 {
        world.send(0, &low.frame(at == 50, 1));
        world.pass(Duration::from_millis(33));
    }
    assert!(plis(&world, 0, 31) >= 1, "the way back needs a keyframe, too");
    let back = world.clients[1].take(DOWN);
    assert_eq!(back.len(), 10, "from the keyframe on");
    assert_eq!(back[0].header.sequence, all.last().unwrap().header.sequence.wrapping_add(1));
    assert_eq!(back[0].picture().0, (all.last().unwrap().picture().0 + 1) & 0x7FFF);
}

#[test]
fn layers_change_without_a_seam() {
    a_switch(1, 0);
}

#[test]
fn layers_change_without_a_seam_across_shards() {
    a_switch(2, 1);
}

#[test]
fn the_source_changes_without_a_seam() {
    let mut world = pair(2, 1, &[]);
    let screen = world.join(1, vec![video_in(SCREEN, "0", &[])], vec![]);
    world.connect(screen);
    let (mut camera, mut display) = (Stream::new(11, 100), Stream::new(44, 9_000));
    world.send(0, &camera.frame(true, 2));
    world.pass(Duration::from_millis(33));
    world.send(0, &camera.frame(false, 2));
    let before = world.clients[1].take(DOWN);
    assert_eq!(before.len(), 4);
    let publisher = world.clients[screen].id;
    world.clients[1].spec.senders[0] = video_out("a", DOWN, Some((SCREEN, publisher)));
    world.tell(1);
    world.settle();
    world.pass(Duration::from_millis(66));
    world.send(screen, &display.frame(false, 1));
    world.send(0, &camera.frame(false, 2));
    assert!(world.clients[1].take(DOWN).is_empty());
    assert_eq!(plis(&world, screen, 44), 1);
    world.send(screen, &display.frame(true, 2));
    let after = world.clients[1].take(DOWN);
    assert_eq!(after.len(), 2);
    let (last, first) = (before.last().unwrap(), &after[0]);
    assert_eq!(first.header.sequence, last.header.sequence.wrapping_add(1));
    assert_eq!(first.header.timestamp.wrapping_sub(last.header.timestamp), 66 * 90);
    assert_eq!(first.picture().0, (last.picture().0 + 1) & 0x7FFF);
}

#[test]
fn keyframe_requests_are_merged() {
    let mut world = pair(2, 1, &[]);
    let second = world.join(0, vec![], vec![video_out("a", DOWN, Some((CAMERA, publisher_id())))]);
    world.connect(second);
    let mut camera = Stream::new(11, 100);
    world.send(0, &camera.frame(true, 2));
    world.pass(Duration::from_secs(2));
    for _ in 0..5 {
        for client in [1, second] {
            world.clients[client].send_rtcp(|writer| writer.pli(1, DOWN).unwrap());
        }
        world.settle();
    }
    assert_eq!(plis(&world, 0, 11), 1, "ten wishes on two shards, one request");
    world.pass(Duration::from_secs(1));
    assert!((2..=4).contains(&plis(&world, 0, 11)), "asked again until it comes");
    world.send(0, &camera.frame(true, 2));
    world.clients[0].rtcp.clear();
    world.pass(Duration::from_secs(2));
    assert_eq!(plis(&world, 0, 11), 0);
}

#[test]
fn muted_publications_stop_here() {
    let mut world = pair(2, 1, &[]);
    let mut camera = Stream::new(11, 100);
    world.send(0, &camera.frame(true, 2));
    let before = world.clients[1].take(DOWN);
    world.clients[0].spec.receivers[0].muted = true;
    world.tell(0);
    world.send(0, &camera.frame(true, 2));
    assert!(world.clients[1].take(DOWN).is_empty());
    assert_eq!(world.shards[0].stats().drops.of(DropReason::Muted), 2);
    world.clients[0].spec.receivers[0].muted = false;
    world.tell(0);
    world.send(0, &camera.frame(false, 2));
    assert!(world.clients[1].take(DOWN).is_empty(), "a decoder cannot go on here");
    assert_eq!(plis(&world, 0, 11), 1);
    world.send(0, &camera.frame(true, 2));
    let after = world.clients[1].take(DOWN);
    assert_eq!(after.len(), 2);
    assert_eq!(after[0].header.sequence, before[1].header.sequence.wrapping_add(1));
}

#[test]
fn sender_reports_tell_the_publishers_time() {
    let mut world = pair(2, 1, &[]);
    let mut camera = Stream::new(11, 100);
    world.send(0, &camera.frame(true, 2));
    let first = camera.timestamp;
    let sent = world.now.unix;
    world.clients[0].send_rtcp(|writer| {
        let ntp = pointsman_wire::clock::NtpTime::from_unix(sent - Duration::from_secs(1_000_000));
        let info = rtcp::SenderInfo { ntp, rtp_timestamp: first, packets: 2, octets: 2000 };
        writer.sender_report(11, &info, &[]).unwrap();
    });
    world.settle();
    world.pass(Duration::from_secs(3));
    let got = world.clients[1].take(DOWN);
    let reports: Vec<_> = world.clients[1]
        .rtcp
        .iter()
        .flat_map(|compound| rtcp::packets(compound))
        .filter_map(|packet| match packet {
            Ok(Rtcp::SenderReport(report)) if report.ssrc == DOWN => Some(report.info),
            _ => None,
        })
        .collect();
    assert!((2..=4).contains(&reports.len()), "about one a second, not {}", reports.len());
    for info in reports {
        assert_eq!((info.packets, info.octets), (2, 2001));
        let passed = info.ntp.to_unix() - sent;
        let expected = got[0].header.timestamp.wrapping_add((passed.as_micros() * 90 / 1000) as u32);
        assert!(info.rtp_timestamp.wrapping_sub(expected).wrapping_add(90) < 180, "within a millisecond");
    }
}

#[test]
fn publishers_are_told_what_arrived() {
    let mut world = pair(1, 0, &[]);
    let mut camera = Stream::new(11, 100);
    for at in 0..40_u16 {
        camera.elements = vec![(TWCC, (at * 2).to_be_bytes().to_vec())];
        world.send(0, &camera.frame(at == 0, 1));
        world.pass(Duration::from_millis(33));
    }
    let told = &world.clients[0].rtcp;
    let arrivals: usize = told
        .iter()
        .flat_map(|compound| rtcp::packets(compound))
        .map(|packet| match packet {
            Ok(Rtcp::TransportCc(feedback)) => feedback.arrivals().filter(|arrival| arrival.at_ticks.is_some()).count(),
            _ => 0,
        })
        .sum();
    assert!((36..=40).contains(&arrivals), "{arrivals} of 40");
    assert!(count(told, |packet| matches!(packet, Rtcp::ReceiverReport(report) if report.blocks().any(|block| block.ssrc == 11))) >= 1);
}

#[test]
fn unknown_packets_are_dropped_by_name() {
    let mut world = pair(1, 0, &[]);
    let stranger = Packet { payload_type: 55, ..Stream::new(77, 1).sound() };
    world.send(0, &[stranger]);
    world.clients[0].to_server.push_back(vec![0x80; 40]);
    world.clients[0].to_server.push_back(vec![0xFF; 40]);
    let mut camera = Stream::new(11, 100);
    let mut sealed = world.clients[0].seal(&camera.frame(true, 1)[0]);
    world.clients[0].to_server.push_back(sealed.clone());
    world.clients[0].to_server.push_back(sealed.clone());
    *sealed.last_mut().unwrap() ^= 1;
    sealed[3] += 1;
    world.clients[0].to_server.push_back(sealed);
    world.settle();
    let drops = &world.shards[0].stats().drops;
    assert_eq!(drops.of(DropReason::UnknownStream), 2, "neither payload type has an m-line");
    assert_eq!(drops.of(DropReason::UnknownProtocol), 1);
    assert_eq!(drops.of(DropReason::SrtpReplayed), 1);
    assert_eq!(drops.of(DropReason::SrtpUnauthenticated), 1);
    assert_eq!(drops.total(), 5);
}

#[test]
fn whoever_leaves_leaves_nothing_behind() {
    let mut world = pair(2, 1, &[]);
    let mut camera = Stream::new(11, 100);
    world.send(0, &camera.frame(true, 2));
    world.remove(1);
    world.settle();
    world.send(0, &camera.frame(false, 2));
    assert_eq!(world.shards[0].stats().mesh_packets_out, 2, "no shard wants it any more");
    world.remove(0);
    world.settle();
    for shard in &world.shards {
        let stats = shard.stats();
        assert_eq!((stats.participants, stats.publications, stats.subscriptions, stats.expected), (0, 0, 0, 0));
    }
}

#[test]
fn an_m_line_that_comes_back_goes_on_counting() {
    let mut world = pair(1, 0, &[]);
    let mut camera = Stream::new(11, 100);
    world.send(0, &camera.frame(true, 3));
    let before = world.clients[1].take(DOWN);
    let senders = std::mem::take(&mut world.clients[1].spec.senders);
    world.tell(1);
    world.send(0, &camera.frame(true, 3));
    assert!(world.clients[1].take(DOWN).is_empty());
    assert_eq!(world.shards[0].stats().subscriptions, 0);
    world.clients[1].spec.senders = senders;
    world.tell(1);
    world.send(0, &camera.frame(true, 3));
    let after = world.clients[1].take(DOWN);
    assert_eq!(after.len(), 3);
    assert_eq!(after[0].header.sequence, before[2].header.sequence.wrapping_add(1), "one number never seals two packets");
}

#[test]
fn a_publication_that_ends_and_begins_in_one_turn_sends_nothing_twice() {
    let mut world = pair(1, 0, &[]);
    let mut camera = Stream::new(11, 100);
    world.send(0, &camera.frame(true, 1));
    world.clients[1].take(DOWN);
    let path = world.clients[0].path;
    let now = world.now;
    let frames = [camera.frame(true, 2), camera.frame(true, 2)];
    let receivers = std::mem::take(&mut world.clients[0].spec.receivers);
    for (at, frame) in frames.iter().enumerate() {
        let sealed: Vec<Vec<u8>> = frame.iter().map(|packet| world.clients[0].seal(packet)).collect();
        let batch = sealed.iter().map(|bytes| pointsman_wire::net::Datagram { path, bytes });
        world.shards[0].handle_batch(now, batch, &mut world.outs[0]);
        if at == 0 {
            world.tell(0);
            world.clients[0].spec.receivers = receivers.clone();
            world.tell(0);
        }
    }
    world.settle();
    // The model's SRTP refuses what comes twice.
    assert_eq!(world.clients[1].take(DOWN).len(), 2);
}

#[test]
fn a_packet_sent_again_under_its_own_number_is_the_same_to_the_last_bit() {
    let mut world = World::new(1);
    world.join(0, vec![video_in(CAMERA, "0", &[])], vec![]);
    let mut sender = video_out("a", DOWN, Some((CAMERA, publisher_id())));
    sender.codecs[0].rtx = None;
    world.join(0, vec![], vec![sender]);
    world.connect(0);
    world.connect(1);
    let mut camera = Stream::new(11, 100);
    for packet in camera.frame(true, 3) {
        world.clients[0].send(&packet);
    }
    let sealed: Vec<Vec<u8>> = world.clients[0].to_server.drain(..).collect();
    let path = world.clients[0].path;
    let batch = sealed.iter().map(|bytes| pointsman_wire::net::Datagram { path, bytes });
    world.shards[0].handle_batch(world.now, batch, &mut world.outs[0]);
    world.shards[0].flush(world.now, &mut world.outs[0]);
    let first = world.outs[0].take();
    world.pass(Duration::from_millis(300));
    let lost = u16::from_be_bytes([first[1].1[2], first[1].1[3]]);
    world.clients[1].send_rtcp(|writer| writer.nack(1, DOWN, [lost]).unwrap());
    let nack = world.clients[1].to_server.pop_front().unwrap();
    let path = world.clients[1].path;
    let batch = [pointsman_wire::net::Datagram { path, bytes: &nack }];
    world.shards[0].handle_batch(world.now, batch, &mut world.outs[0]);
    let again = world.outs[0].take();
    assert_eq!(again, first[1..2]);
}

#[test]
fn other_streams_go_on_when_an_m_line_ends() {
    let mut world = pair(1, 0, &[]);
    let (mut camera, mut microphone) = (Stream::new(11, 100).with_rid("0", "x"), Stream::new(22, 5));
    world.send(0, &camera.frame(true, 1));
    world.send(0, &[microphone.sound()]);
    world.clients[0].spec.receivers.remove(0);
    world.tell(0);
    // Nothing but the SSRC tells any more whose packets these are.
    let mut sound = microphone.sound();
    sound.elements.clear();
    world.send(0, &[sound]);
    let got = world.clients[1].take(DOWN + 10);
    assert_eq!(got.len(), 2);
    assert_contiguous(&got);
    world.send(0, &camera.frame(true, 1));
    assert_eq!(world.clients[1].take(DOWN).len(), 1, "the camera has ended");
}

#[test]
fn timestamps_across_layers_follow_the_publishers_clock() {
    let mut world = pair(1, 0, &["l", "m", "h"]);
    let [mut low, _, mut high] = layers();
    world.send(0, &low.frame(true, 1));
    let report = |world: &mut World, ssrc, timestamp| {
        let ntp = pointsman_wire::clock::NtpTime::from_unix(world.now.unix);
        let info = rtcp::SenderInfo { ntp, rtp_timestamp: timestamp, packets: 1, octets: 1 };
        world.clients[0].send_rtcp(|writer| writer.sender_report(ssrc, &info, &[]).unwrap());
        world.settle();
    };
    report(&mut world, 31, low.timestamp);
    world.send(0, &high.frame(false, 1));
    report(&mut world, 33, high.timestamp);
    // Both layers' frames are taken 33 ms later, but arrive with different delays.
    world.pass(Duration::from_millis(40));
    world.send(0, &low.frame(false, 1));
    world.pass(Duration::from_millis(50));
    world.send(0, &high.frame(true, 1));
    let got = world.clients[1].take(DOWN);
    assert_eq!(got.len(), 3);
    let step = |at: usize| got[at].header.timestamp.wrapping_sub(got[0].header.timestamp);
    assert_eq!(step(1), 3_000);
    assert!((3_000..=3_001).contains(&step(2)), "the same moment, {} after", step(2));
}

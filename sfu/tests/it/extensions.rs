//! Header extensions one by one: what a publisher sends of each, and what a subscriber, who numbers them otherwise, gets of it.

use std::time::Duration;

use pointsman_sfu::{ExtensionIds, LayerId, Preferences, SsrcSpec};
use pointsman_wire::clock::NtpTime;
use pointsman_wire::payload::dependency_descriptor as descriptor;
use pointsman_wire::rtcp::SenderInfo;
use pointsman_wire::rtp::{AbsCaptureTime, AbsSendTime};

use crate::world::*;

const UP: u32 = 31;
const DOWN: u32 = 5000;

enum Expected {
    /// As it came.
    Passed,
    /// These bytes, whatever came.
    Bytes(&'static [u8]),
    /// Ours, of this length, counted from one packet to the next.
    Counted,
    /// When the packet left.
    Departure,
    /// It means the first hop alone, or describes streams that no subscriber gets.
    Stopped,
}

struct Row {
    name: &'static str,
    audio: bool,
    id: fn(&mut ExtensionIds) -> &mut Option<u8>,
    sent: &'static [u8],
    expected: Expected,
}

#[rustfmt::skip]
const ROWS: [Row; 11] = [
    Row { name: "mid", audio: false, id: |ids| &mut ids.mid, sent: b"theirs", expected: Expected::Bytes(b"ours") },
    Row { name: "rid", audio: false, id: |ids| &mut ids.rid, sent: b"q", expected: Expected::Stopped },
    Row { name: "repaired rid", audio: false, id: |ids| &mut ids.repaired_rid, sent: b"q", expected: Expected::Stopped },
    Row { name: "audio level", audio: true, id: |ids| &mut ids.audio_level, sent: &[0x85], expected: Expected::Passed },
    Row { name: "transport-cc", audio: false, id: |ids| &mut ids.transport_cc, sent: &[0x77, 0x77], expected: Expected::Counted },
    Row { name: "abs-send-time", audio: true, id: |ids| &mut ids.abs_send_time, sent: &[1, 2, 3], expected: Expected::Departure },
    Row { name: "video orientation", audio: false, id: |ids| &mut ids.video_orientation, sent: &[0x03], expected: Expected::Passed },
    Row { name: "playout delay", audio: false, id: |ids| &mut ids.playout_delay, sent: &[0x01, 0x40, 0x28], expected: Expected::Passed },
    Row { name: "abs-capture-time", audio: true, id: |ids| &mut ids.abs_capture_time, sent: &[1, 2, 3, 4, 5, 6, 7, 8], expected: Expected::Passed },
    // Without a structure it says nothing that could be changed.
    Row { name: "dependency descriptor", audio: false, id: |ids| &mut ids.dependency_descriptor, sent: &[0xC0, 0x12, 0x34], expected: Expected::Passed },
    Row { name: "video layers allocation", audio: false, id: |ids| &mut ids.video_layers_allocation, sent: &[0x01, 0, 100], expected: Expected::Stopped },
];

/// Ids below 15 have elements with one-byte headers, others with two-byte headers (RFC 8285 section 4), on either side.
const IDS: [(u8, u8); 4] = [(5, 7), (21, 7), (5, 30), (200, 201)];

/// A publisher and a subscriber that have one extension with these ids.
fn pair(row: &Row, incoming: u8, outgoing: u8) -> World {
    let mut world = World::new(1);
    let mut receiver = if row.audio { audio_in(1, "theirs") } else { video_in(1, "theirs", &[]) };
    receiver.extensions = ExtensionIds::default();
    *(row.id)(&mut receiver.extensions) = Some(incoming);
    receiver.ssrcs = vec![SsrcSpec { ssrc: UP, rtx: None }];
    world.join(0, vec![receiver], vec![]);
    let source = Some((1, world.clients[0].id));
    let mut sender = if row.audio { audio_out("ours", DOWN, source) } else { video_out("ours", DOWN, source) };
    sender.extensions = ExtensionIds::default();
    *(row.id)(&mut sender.extensions) = Some(outgoing);
    world.join(0, vec![], vec![sender]);
    world.connect(0);
    world.connect(1);
    world
}

fn elements(got: &Got) -> Vec<(u8, Vec<u8>)> {
    got.header.elements(&got.bytes).map(|element| (element.id, got.bytes[element.range()].to_vec())).collect()
}

#[test]
fn each_extension_is_passed_rewritten_or_stopped() {
    for row in &ROWS {
        for (incoming, outgoing) in IDS {
            let place = format!("{}, {incoming} to {outgoing}", row.name);
            let mut world = pair(row, incoming, outgoing);
            let mut stream = Stream::new(UP, 100);
            for at in 0..2 {
                let mut packet = if row.audio { stream.sound() } else { stream.frame(at == 0, 1).remove(0) };
                packet.elements = vec![(incoming, row.sent.to_vec())];
                world.send(0, &[packet]);
            }
            let got = world.clients[1].take(DOWN);
            assert_eq!(got.len(), 2, "{place}");
            for (at, got) in got.iter().enumerate() {
                let elements = elements(got);
                let values: Vec<&[u8]> = elements.iter().map(|(id, value)| (assert_eq!(*id, outgoing, "{place}"), &value[..]).1).collect();
                let departure = AbsSendTime::new(world.now.unix).to_bytes();
                let expected: Vec<&[u8]> = match &row.expected {
                    Expected::Passed => vec![row.sent],
                    Expected::Bytes(bytes) => vec![bytes],
                    Expected::Counted => vec![[&[0, 1][..], &[0, 2]][at]],
                    Expected::Departure => vec![&departure],
                    // The subscriber has no id for these; here it was given one, and nothing came under it nevertheless.
                    Expected::Stopped => vec![],
                };
                assert_eq!(values, expected, "{place}");
                let profile = if outgoing > 14 { 0x1000 } else { 0xBEDE };
                assert!(got.header.extension_profile().is_none_or(|it| it == profile), "{place}");
            }
        }
    }
}

/// A capture time is by the capturer's clock, and says how far that is from the sender's. To the subscriber, the sender is this server.
#[test]
fn a_capture_time_keeps_its_clock() {
    let row = ROWS.iter().find(|row| row.name == "abs-capture-time").unwrap();
    let mut world = pair(row, 5, 7);
    let mut stream = Stream::new(UP, 100);
    let captured = NtpTime(0x1234_5678_9ABC_DEF0);
    let mut forwarded = |world: &mut World, offset: Option<i64>| {
        let mut packet = stream.sound();
        let (bytes, len) = AbsCaptureTime { captured, offset }.to_bytes();
        packet.elements = vec![(5, bytes[..len].to_vec())];
        world.send(0, &[packet]);
        let got = world.clients[1].take(DOWN).pop().unwrap();
        AbsCaptureTime::parse(&elements(&got)[0].1).unwrap()
    };
    let second = 1_i64 << 32;
    assert_eq!(forwarded(&mut world, Some(second)), AbsCaptureTime { captured, offset: None }, "whose clock that is from is not known yet");
    // The publisher's clock is 100 s behind ours.
    let ntp = NtpTime::from_unix(world.now.unix - Duration::from_secs(100));
    let info = SenderInfo { ntp, rtp_timestamp: 1, packets: 1, octets: 1 };
    world.clients[0].send_rtcp(|writer| writer.sender_report(UP, &info, &[]).unwrap());
    world.settle();
    let told = forwarded(&mut world, Some(second));
    assert_eq!(told.captured, captured);
    let offset = told.offset.unwrap();
    assert!((offset + 99 * second).abs() < second / 1000, "{} s", offset as f64 / second as f64);
    assert_eq!(forwarded(&mut world, None), AbsCaptureTime { captured, offset: None });
}

/// One spatial layer of two temporal ones: decode target 0 has both, 1 the lower.
const STRUCTURE: [u8; 7] = [0xC0, 0x00, 0x01, 0x80, 0x01, 0x7A, 0x40];

#[test]
fn a_descriptor_names_the_decode_targets_that_the_subscriber_has() {
    let structure = descriptor::structure(&STRUCTURE).expect("a structure");
    assert_eq!((structure.decode_targets(), structure.layers_of(0), structure.layers_of(1)), (2, Some((0, 1)), Some((0, 0))));
    let row = ROWS.iter().find(|row| row.name == "dependency descriptor").unwrap();
    let mut world = pair(row, 5, 7);
    world.clients[1].spec.senders[0].preferences.layer_max = LayerId::new(0, 0);
    world.tell(1);
    let mut stream = Stream::new(UP, 100);
    let mut frame = 0_u16;
    // Frames of the two temporal layers take turns.
    let mut send = |world: &mut World, key: bool, packets: usize| {
        frame += 1;
        let [high, low] = frame.to_be_bytes();
        let mut value = if key { STRUCTURE.to_vec() } else { vec![0xC0 | u8::from(frame.is_multiple_of(2)), 0, 0] };
        value[1..3].copy_from_slice(&[high, low]);
        let mut packets = stream.frame(key, packets);
        for packet in &mut packets {
            packet.elements = vec![(5, value.clone())];
        }
        world.send(0, &packets);
        world.pass(Duration::from_millis(33));
        let got = world.clients[1].take(DOWN);
        got.iter().map(|got| descriptor::active_targets(&elements(got)[0].1, 2)).collect::<Vec<_>>()
    };
    for _ in 0..20 {
        send(&mut world, true, 1);
    }
    assert_eq!(send(&mut world, true, 1), [Some(0b10)], "with the structure: the lower alone");
    let told: Vec<Option<u32>> = (0..6).flat_map(|_| send(&mut world, false, 1)).collect();
    assert!(told.len() == 3 && told.iter().all(Option::is_none), "frames above are left out, and nothing is told twice: {told:?}");
    world.clients[1].spec.senders[0].preferences = Preferences::default();
    world.tell(1);
    let mut told = Vec::new();
    for _ in 0..20 {
        told.extend(send(&mut world, false, 1));
    }
    assert!(told.contains(&Some(0b11)), "the change is told: {told:?}");
    assert!(told[told.len() - 4..].iter().all(Option::is_none), "and then nothing: {told:?}");
    assert_eq!(send(&mut world, true, 1), [Some(0b11)]);
}

//! Sound: RED on the way in and out, and silence.

use std::time::Duration;

use pointsman_sfu::{Codec, ParticipantId, SenderSpec};
use pointsman_wire::payload::red;
use pointsman_wire::rtcp::{self, Packet as Rtcp, ReportBlock};

use crate::world::*;

const MICROPHONE: u64 = 1;
const DOWN: u32 = 5000;
const UP: u32 = 31;

/// A subscriber's m-line with RED beside Opus.
fn with_red(source: Option<(u64, ParticipantId)>) -> SenderSpec {
    let mut spec = audio_out("a", DOWN, source);
    spec.codecs.push(codec(Codec::Red, RED_DOWN, None));
    spec
}

/// A publisher, and two subscribers on `shard`: one that knows Opus alone, and one that knows RED, too.
fn trio(shards: u16, shard: usize) -> World {
    let mut world = World::new(shards);
    let mut microphone = audio_in(MICROPHONE, "0");
    microphone.codecs.push(codec(Codec::Red, RED, None));
    world.join(0, vec![microphone], vec![]);
    let source = Some((MICROPHONE, world.clients[0].id));
    world.join(shard, vec![], vec![audio_out("a", DOWN, source)]);
    world.join(shard, vec![], vec![with_red(source)]);
    (0..3).for_each(|client| world.connect(client));
    world
}

/// 20 ms of sound that is told from the rest by its bytes.
fn sound(stream: &mut Stream) -> Packet {
    let mut packet = stream.sound();
    let number = packet.sequence as u16;
    packet.payload = [&[0x78][..], &number.to_be_bytes(), &[7; 60]].concat();
    packet
}

/// The same as RED with the packet before.
fn redundant(before: &Packet, packet: &Packet) -> Packet {
    let mut payload = vec![0; 5];
    let offset = packet.timestamp.wrapping_sub(before.timestamp) as u16;
    assert_eq!(red::write_headers(OPUS, [(offset, before.payload.len())], &mut payload), Some(5));
    payload.extend(&before.payload);
    payload.extend(&packet.payload);
    Packet { payload_type: RED, payload, ..packet.clone() }
}

fn loses(world: &mut World, client: usize, fraction_lost: u8) {
    let block = ReportBlock { ssrc: DOWN, fraction_lost, ..ReportBlock::default() };
    world.clients[client].send_rtcp(|writer| writer.receiver_report(9, &[block]).unwrap());
    world.settle();
}

fn assert_contiguous(got: &[Got]) {
    for pair in got.windows(2) {
        assert_eq!(pair[1].header.sequence, pair[0].header.sequence.wrapping_add(1));
    }
}

fn red_published(shards: u16, shard: usize) {
    let mut world = trio(shards, shard);
    let mut stream = Stream::new(UP, 100);
    let mut sent = vec![sound(&mut stream)];
    world.send(0, &sent);
    for _ in 0..10 {
        let packet = sound(&mut stream);
        world.send(0, &[redundant(sent.last().unwrap(), &packet)]);
        sent.push(packet);
        world.pass(Duration::from_millis(20));
    }
    // A packet of redundancy alone has nothing for whoever does not know it.
    let mut nothing = redundant(&sent[9], &sent[10]);
    nothing.payload.truncate(5 + sent[9].payload.len());
    (nothing.sequence, nothing.timestamp) = (stream.sequence, stream.timestamp + 480);
    stream.sequence += 1;
    world.send(0, &[nothing]);
    let after = sound(&mut stream);
    world.send(0, std::slice::from_ref(&after));
    sent.push(after);

    let plain = world.clients[1].take(DOWN);
    assert!(plain.iter().all(|got| got.header.payload_type == OPUS_DOWN));
    assert!(plain.iter().map(Got::payload).eq(sent.iter().map(|packet| &packet.payload[..])), "each once, none twice");
    assert_contiguous(&plain);
    let step = |pair: &[Got]| pair[1].header.timestamp.wrapping_sub(pair[0].header.timestamp);
    assert!(plain.windows(2).all(|pair| step(pair) == 960));

    let wrapped = world.clients[2].take(DOWN);
    assert_eq!(wrapped.len(), 13);
    assert_contiguous(&wrapped);
    for (at, got) in wrapped[1..11].iter().enumerate() {
        assert_eq!(got.header.payload_type, RED_DOWN);
        let blocks: Vec<red::Block> = red::blocks(got.payload()).unwrap().collect();
        assert!(blocks.iter().all(|block| block.payload_type == OPUS_DOWN), "by the subscriber's numbers");
        let data: Vec<&[u8]> = blocks.iter().map(|block| &got.payload()[block.range.clone()]).collect();
        assert_eq!(data, [&sent[at].payload[..], &sent[at + 1].payload[..]]);
    }
    assert!(world.shards.iter().all(|shard| shard.stats().drops.of(pointsman_sfu::DropReason::NoCodec) == 0));
}

#[test]
fn red_is_unwrapped_for_who_does_not_know_it() {
    red_published(1, 0);
}

#[test]
fn red_is_unwrapped_for_who_does_not_know_it_on_another_shard() {
    red_published(2, 1);
}

fn red_made(shards: u16, shard: usize) {
    let mut world = trio(shards, shard);
    let mut stream = Stream::new(UP, 100);
    let mut sent = Vec::new();
    let mut run = |world: &mut World, packets: usize| {
        for _ in 0..packets {
            let packet = sound(&mut stream);
            world.send(0, std::slice::from_ref(&packet));
            sent.push(packet);
            world.pass(Duration::from_millis(20));
        }
    };
    run(&mut world, 20);
    assert!([1, 2].iter().all(|&client| world.clients[client].take(DOWN).iter().all(|got| got.header.payload_type == OPUS_DOWN)));
    // 3 % make one copy, 10 % two; whoever does not know RED gets none.
    for (lost, copies) in [(8, 1), (26, 2)] {
        (1..3).for_each(|client| loses(&mut world, client, lost));
        run(&mut world, 20);
        let got = world.clients[2].take(DOWN);
        assert_contiguous(&got);
        for got in &got[12..] {
            assert_eq!(got.header.payload_type, RED_DOWN);
            let blocks: Vec<red::Block> = red::blocks(got.payload()).unwrap().collect();
            let offsets: Vec<u16> = blocks.iter().map(|block| block.timestamp_offset).collect();
            assert_eq!(offsets, [[1920, 960, 0].as_slice(), &[960, 0]][usize::from(copies == 1)]);
            let data = blocks.iter().map(|block| &got.payload()[block.range.clone()]);
            let number = |payload: &[u8]| u16::from_be_bytes([payload[1], payload[2]]);
            let numbers: Vec<u16> = data.map(number).collect();
            assert!(numbers.windows(2).all(|pair| pair[1] == pair[0] + 1), "{numbers:?}");
        }
        assert!(world.clients[1].take(DOWN).iter().all(|got| got.header.payload_type == OPUS_DOWN));
    }
}

#[test]
fn who_loses_packets_gets_them_more_than_once() {
    red_made(1, 0);
}

#[test]
fn who_loses_packets_on_another_shard_gets_them_more_than_once() {
    red_made(2, 1);
}

#[test]
fn copies_are_bounded_in_age_and_size_and_end_with_the_loss() {
    let mut world = trio(1, 0);
    let mut stream = Stream::new(UP, 100);
    let mut send = |world: &mut World, len: usize, after_ms: u32| {
        stream.timestamp = stream.timestamp.wrapping_add(48 * (after_ms - 20));
        let mut packet = stream.sound();
        packet.payload = vec![0x78; len];
        world.pass(Duration::from_millis(u64::from(after_ms)));
        world.send(0, &[packet]);
        let got = world.clients[2].take(DOWN).pop().expect("one came");
        match got.header.payload_type {
            RED_DOWN => red::blocks(got.payload()).unwrap().map(|block| block.range.len()).collect(),
            _ => vec![got.payload().len()],
        }
    };
    send(&mut world, 80, 20);
    loses(&mut world, 2, 26);
    send(&mut world, 80, 220);
    assert_eq!(send(&mut world, 80, 20), [80, 80, 80], "240 ms and 20 ms back");
    assert_eq!(send(&mut world, 2, 400), [2], "after 400 ms of silence nothing before it is of use");
    assert_eq!(send(&mut world, 2, 400), [2]);
    assert_eq!(send(&mut world, 80, 20), [2, 80]);
    assert_eq!(send(&mut world, 600, 20), [2, 80, 600]);
    assert_eq!(send(&mut world, 600, 20), [80, 600], "600 more would not fit a packet");
    assert_eq!(send(&mut world, 1050, 20), [1050]);
    assert_eq!(send(&mut world, 30, 20), [600, 30], "longer than a block may be");
    // The last report holds for 12 s, and calm must last for 10.
    for _ in 0..60 {
        send(&mut world, 80, 400);
    }
    assert_eq!(send(&mut world, 80, 20), [80]);
}

/// An encoder that falls silent sends a packet every 400 ms, without a gap in the numbers.
#[test]
fn silence_is_no_loss() {
    let mut world = trio(2, 1);
    let mut stream = Stream::new(UP, 100);
    let mut sent = Vec::new();
    for at in 0..60 {
        let quiet = (20..30).contains(&at);
        if quiet {
            stream.timestamp = stream.timestamp.wrapping_add(48 * 380);
        }
        let mut packet = sound(&mut stream);
        if quiet {
            packet.payload.truncate(2);
            packet.elements = vec![(LEVEL, vec![127])];
        }
        world.send(0, std::slice::from_ref(&packet));
        sent.push(packet);
        world.pass(Duration::from_millis(if quiet { 400 } else { 20 }));
    }
    let got = world.clients[1].take(DOWN);
    assert_eq!(got.len(), 60);
    assert_contiguous(&got);
    let base = got[0].header.timestamp.wrapping_sub(sent[0].timestamp);
    assert!(got.iter().zip(&sent).all(|(got, sent)| got.header.timestamp == sent.timestamp.wrapping_add(base)), "time goes on as it came");
    for compound in &world.clients[0].rtcp {
        for packet in rtcp::packets(compound) {
            match packet.unwrap() {
                Rtcp::Nack(_) => panic!("nothing is missing"),
                Rtcp::ReceiverReport(report) => {
                    assert!(report.blocks().all(|block| block.fraction_lost == 0 && block.cumulative_lost == 0))
                }
                _ => {}
            }
        }
    }
}

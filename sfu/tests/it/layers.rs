//! Who comes later sees at once what is there, and publishers learn what nobody wants.

use std::time::Duration;

use pointsman_sfu::{Event, LayerId, ParticipantId, Preferences, Quality, Reason};
use pointsman_wire::payload::video_layers_allocation::{Allocation, LEN_MAX, Layer, Picture};
use pointsman_wire::rtcp::{self, Packet as Rtcp};

use crate::world::*;

const CAMERA: u64 = 1;
const DOWN: u32 = 5000;

fn publisher() -> ParticipantId {
    ParticipantId(100)
}

fn plis(world: &World) -> usize {
    let packets = world.clients[0].rtcp.iter().flat_map(|compound| rtcp::packets(compound));
    packets.filter(|packet| matches!(packet, Ok(Rtcp::Pli { .. }))).count()
}

/// A publisher, and a subscriber on `shard`.
fn pair(shards: u16, shard: usize, rids: &[&str]) -> World {
    let mut world = World::new(shards);
    world.join(0, vec![video_in(CAMERA, "0", rids)], vec![]);
    world.join(shard, vec![], vec![video_out("a", DOWN, Some((CAMERA, publisher())))]);
    world.connect(0);
    world.connect(1);
    world
}

fn a_late_join(shards: u16, shard: usize) {
    let mut world = World::new(shards);
    world.join(0, vec![video_in(CAMERA, "0", &[])], vec![]);
    world.connect(0);
    let later = world.join(shard, vec![], vec![]);
    world.connect(later);
    let mut camera = Stream::new(11, 100);
    for at in 0..20 {
        world.send(0, &camera.frame(at == 0, 2));
        world.pass(Duration::from_millis(33));
    }
    world.clients[later].spec.senders = vec![video_out("a", DOWN, Some((CAMERA, publisher())))];
    world.tell(later);
    world.settle();
    world.send(0, &camera.frame(false, 2));
    let first = world.clients[later].take(DOWN);
    assert!((4..=8).contains(&first.len()), "a burst is bounded: {}", first.len());
    world.pass(Duration::from_millis(100));
    world.send(0, &camera.frame(false, 2));
    let rest = world.clients[later].take(DOWN);
    let all: Vec<Got> = first.into_iter().chain(rest).collect();
    assert_eq!(all.len(), 44, "everything since the keyframe");
    for pair in all.windows(2) {
        assert_eq!(pair[1].header.sequence, pair[0].header.sequence.wrapping_add(1));
        let step = pair[1].header.timestamp.wrapping_sub(pair[0].header.timestamp);
        assert!(step < 12_000, "shown as fast as it can be, not {step} later");
    }
    assert_eq!(plis(&world), 0, "the publisher is not asked");
    let replayed: u64 = world.shards.iter().map(|shard| shard.stats().replayed).sum();
    assert!((40..=42).contains(&replayed), "{replayed}");
}

#[test]
fn whoever_joins_late_sees_the_picture_at_once() {
    a_late_join(1, 0);
}

#[test]
fn whoever_joins_late_on_another_shard_does_so_too() {
    a_late_join(2, 1);
}

/// What the publisher was told since it was looked at last.
fn wanted(world: &mut World) -> Vec<Option<u8>> {
    let events = std::mem::take(&mut world.events);
    let of = |event| match event {
        Event::LayersWanted { publisher: of, spatial_max, .. } if of == publisher() => Some(spatial_max),
        _ => None,
    };
    events.into_iter().filter_map(of).collect()
}

fn unwanted_layers(shards: u16, shard: usize) {
    let mut world = pair(shards, shard, &["l", "m", "h"]);
    let mut low = Stream::new(31, 100).with_rid("0", "l");
    world.send(0, &low.frame(true, 1));
    world.pass(Duration::from_secs(5));
    assert_eq!(wanted(&mut world), [], "everything is wanted, which is what publishers start with");
    let senders = std::mem::take(&mut world.clients[1].spec.senders);
    world.tell(1);
    world.settle();
    world.send(0, &low.frame(false, 1));
    world.pass(Duration::from_millis(2500));
    assert_eq!(wanted(&mut world), [], "somebody may come back");
    world.pass(Duration::from_millis(1500));
    assert_eq!(wanted(&mut world), [None]);
    world.pass(Duration::from_secs(10));
    world.clients[1].spec.senders = senders;
    world.tell(1);
    world.settle();
    assert_eq!(wanted(&mut world), [Some(3)], "at once");
    world.pass(Duration::from_secs(10));
    assert_eq!(wanted(&mut world), []);
    world.clients[1].spec.senders[0].preferences.layer_max = LayerId::new(1, 9);
    world.tell(1);
    world.pass(Duration::from_secs(4));
    assert_eq!(wanted(&mut world), [Some(1)]);
    world.clients[1].spec.senders[0].preferences.visible = false;
    world.tell(1);
    world.pass(Duration::from_secs(4));
    assert_eq!(wanted(&mut world), [None]);
    world.clients[1].spec.senders[0].preferences = Preferences::default();
    world.tell(1);
    world.pass(Duration::from_millis(300));
    assert_eq!(wanted(&mut world), [Some(3)]);
}

#[test]
fn publishers_learn_what_nobody_wants() {
    unwanted_layers(1, 0);
}

#[test]
fn publishers_learn_what_nobody_wants_on_any_shard() {
    unwanted_layers(2, 1);
}

/// What control was told last of the viewer's subscription.
fn quality(world: &World) -> Quality {
    let told = world.events.iter().rev().find_map(|event| match event {
        Event::Quality { quality, .. } => Some(*quality),
        _ => None,
    });
    told.expect("control was told something")
}

/// The tile is small from the start, so the publisher stops its larger layers before their first frame.
fn layers_never_seen(shards: u16, shard: usize) {
    let mut world = pair(shards, shard, &["l", "m", "h"]);
    world.clients[1].spec.senders[0].preferences = Preferences { width: 240, height: 135, ..Preferences::default() };
    world.tell(1);
    let mut low = Stream::new(31, 100).with_rid("0", "l");
    let mut run = |world: &mut World, frames: u32| {
        for at in 0..frames {
            let frame = if at % 30 == 0 { low.keyframe_of(1, 240, 135) } else { low.frame(false, 1) };
            world.send(0, &frame);
            world.pass(Duration::from_millis(33));
        }
    };
    run(&mut world, 30);
    let told = quality(&world);
    assert_eq!((told.current, told.reason), (Some(LayerId::new(0, 0)), Reason::Viewport), "there are larger ones to be had");
    run(&mut world, 120);
    assert_eq!(quality(&world).reason, Reason::Viewport);
    assert_eq!(wanted(&mut world), [Some(0)]);
    // The tile grows, and what was never seen is wanted, is named as missing, and comes.
    world.clients[1].spec.senders[0].preferences = Preferences { width: 960, height: 540, ..Preferences::default() };
    world.tell(1);
    run(&mut world, 30);
    assert_eq!((quality(&world).current, quality(&world).reason), (Some(LayerId::new(0, 0)), Reason::LayerAbsent));
    assert_eq!(wanted(&mut world), [Some(3)]);
    let mut high = Stream::new(33, 900).with_rid("0", "h");
    for at in 0..40 {
        let frame = if at % 20 == 0 { high.keyframe_of(3, 960, 540) } else { high.frame(false, 3) };
        world.send(0, &frame);
        run(&mut world, 1);
    }
    assert_eq!((quality(&world).current, quality(&world).reason), (Some(LayerId::new(2, 0)), Reason::Best));
}

#[test]
fn a_layer_that_was_stopped_before_its_first_frame_is_on_the_ladder() {
    layers_never_seen(1, 0);
}

#[test]
fn a_layer_that_was_stopped_before_its_first_frame_is_on_the_ladder_of_other_shards() {
    layers_never_seen(2, 1);
}

#[test]
fn a_rid_that_starts_late_is_taken_up() {
    let mut world = pair(1, 0, &["l", "m", "h"]);
    let [mut low, mut high] = [(31, "l"), (33, "h")].map(|(ssrc, rid)| Stream::new(ssrc, 1000).with_rid("0", rid));
    for at in 0..30 {
        world.send(0, &low.frame(at == 0, 1));
        if at >= 10 {
            // A keyframe comes when it is asked for.
            let key = at == 12;
            world.send(0, &high.frame(key, 2));
        }
        world.pass(Duration::from_millis(33));
    }
    let got = world.clients[1].take(DOWN);
    assert_eq!(got.len(), 12 + 2 * 18 + usize::from(got.len() % 2 == 1), "each picture once");
    assert_eq!(plis(&world), 1);
    assert_eq!(world.shards[0].stats().layer_switches, 1);
}

#[test]
fn a_stream_that_starts_anew_goes_on_from_its_keyframe() {
    let mut world = pair(1, 0, &["l", "h"]);
    let mut low = Stream::new(31, 100).with_rid("0", "l");
    for at in 0..10 {
        world.send(0, &low.frame(at == 0, 1));
        world.pass(Duration::from_millis(33));
    }
    let before = world.clients[1].take(DOWN);
    // The same rid under another SSRC, other numbers.
    let mut again = Stream::new(77, 40_000).with_rid("0", "l");
    for at in 0..10 {
        world.send(0, &again.frame(at == 0, 1));
        world.pass(Duration::from_millis(33));
    }
    let after = world.clients[1].take(DOWN);
    assert_eq!((before.len(), after.len()), (10, 10));
    assert_eq!(after[0].header.sequence, before[9].header.sequence.wrapping_add(1));
    assert_eq!(after[0].picture().0, (before[9].picture().0 + 1) & 0x7FFF);
    let step = after[0].header.timestamp.wrapping_sub(before[9].header.timestamp);
    assert!((2_500..4_000).contains(&step), "time goes on: {step}");
}

/// What an encoder tells of streams of so many kbit/s with pictures so wide; 0: not encoded.
fn allocation(streams: [(u32, u32); 3]) -> (u8, Vec<u8>) {
    let mut allocation = Allocation::default();
    for (stream, (kbps, width)) in streams.into_iter().enumerate().filter(|(_, (kbps, _))| *kbps > 0) {
        let picture = Some(Picture { width, height: width * 9 / 16, frames_per_second: 30 });
        allocation.layers[stream][0] = Some(Layer { temporals: 1, kbps: [kbps, 0, 0, 0], picture });
    }
    let mut space = [0; LEN_MAX];
    let len = allocation.write(&mut space).unwrap();
    (ALLOCATION, space[..len].to_vec())
}

fn an_allocation(shards: u16, shard: usize) {
    let mut world = pair(shards, shard, &["l", "m", "h"]);
    world.clients[1].spec.senders[0].preferences = Preferences { width: 480, height: 270, ..Preferences::default() };
    world.tell(1);
    let [mut low, mut middle] = [(31, "l"), (32, "m")].map(|(ssrc, rid)| Stream::new(ssrc, 1000).with_rid("0", rid));
    // The first packet of a stream that comes tells of two that do not.
    let mut first = low.frame(true, 1);
    first[0].elements.push(allocation([(100, 240), (400, 480), (0, 0)]));
    world.send(0, &first);
    for _ in 0..110 {
        world.send(0, &low.frame(false, 1));
        world.pass(Duration::from_millis(33));
    }
    assert_eq!(quality(&world).reason, Reason::LayerAbsent, "the tile wants the middle one");
    assert_eq!(wanted(&mut world), [Some(1)], "whose size is known, so the largest is not wanted");
    for at in 0..30 {
        world.send(0, &low.frame(false, 1));
        world.send(0, &middle.frame(at == 0, 2));
        world.pass(Duration::from_millis(33));
    }
    assert_eq!(quality(&world).current, Some(LayerId::new(1, 0)));
    // The encoder gives the middle one up and says so: nobody waits until its silence is certain.
    let mut last = low.frame(true, 1);
    last[0].elements.push(allocation([(100, 240), (0, 0), (0, 0)]));
    world.clients[1].rtp.clear();
    world.send(0, &last);
    for _ in 0..20 {
        world.pass(Duration::from_millis(33));
        world.send(0, &low.frame(false, 1));
    }
    assert_eq!(quality(&world).current, Some(LayerId::new(0, 0)), "0.66 s later, pictures go on in the small layer");
    let got = world.clients[1].take(DOWN);
    assert!(got.len() > 5, "{}", got.len());
    let ids = |got: &Got| got.header.elements(&got.bytes).map(|element| element.id).collect::<Vec<u8>>();
    assert!(got.iter().all(|got| ids(got) == [MID_DOWN, TWCC_DOWN]), "it describes streams that no subscriber gets");
}

#[test]
fn what_an_encoder_tells_of_its_layers_counts() {
    an_allocation(1, 0);
}

#[test]
fn what_an_encoder_tells_of_its_layers_counts_on_every_shard() {
    an_allocation(2, 1);
}

//! Who comes later sees at once what is there, and publishers learn what nobody wants.

use std::time::Duration;

use pointsman_sfu::{Event, LayerId, ParticipantId, Preferences};
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
    assert!((8..=12).contains(&first.len()), "a burst is bounded: {}", first.len());
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

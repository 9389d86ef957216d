//! Forwarding allocates nothing once it runs.

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::time::Duration;

use pointsman_sfu::Codec;
use pointsman_wire::clock::Now;
use pointsman_wire::net::Datagram;
use pointsman_wire::rtcp::ReportBlock;

use crate::world::*;

struct Counting;

thread_local! {
    /// Of this thread, so that other tests do not count.
    static ALLOCATIONS: Cell<u64> = const { Cell::new(0) };
}

// SAFETY: everything is the system allocator's; the counter neither allocates nor unwinds.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn realloc(&self, at: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        let _ = ALLOCATIONS.try_with(|count| count.set(count.get() + 1));
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(at, layout, size) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// Two publishers on one shard, 20 subscribers on each of two shards; 100 turns with everything that runs beside forwarding:
/// timers, reports, feedback, the mesh. Half of them lose sound and get it twice.
#[test]
fn forwarding_allocates_nothing() {
    let mut world = World::new(2);
    world.join(0, vec![video_in(1, "0", &[]), audio_in(2, "1")], vec![]);
    let publisher = world.clients[0].id;
    world.connect(0);
    for at in 0..20 {
        let mut senders = vec![video_out("a", 5000, Some((1, publisher))), audio_out("b", 5010, Some((2, publisher)))];
        if at < 10 {
            senders[1].codecs.push(codec(Codec::Red, RED_DOWN, None));
        }
        let client = world.join(at % 2, vec![], senders);
        world.connect(client);
    }
    let (mut camera, mut microphone) = (Stream::new(11, 1), Stream::new(22, 1));
    let mut turn = |world: &mut World, key: bool| {
        let mut packets = camera.frame(key, 4);
        packets.push(microphone.sound());
        let path = world.clients[0].path;
        let sealed: Vec<Vec<u8>> = packets.iter().map(|packet| world.clients[0].seal(packet)).collect();
        let step = Duration::from_millis(33);
        world.now = Now { mono: world.now.mono + step, unix: world.now.unix + step };
        let World { now, shards, outs, .. } = world;
        let before = ALLOCATIONS.get();
        for (shard, out) in shards.iter_mut().zip(outs.iter_mut()) {
            shard.handle_timeout(*now, out);
        }
        let batch = sealed.iter().map(|bytes| Datagram { path, bytes });
        shards[0].handle_batch(*now, batch, &mut outs[0]);
        shards[0].flush(*now, &mut outs[0]);
        let (first, rest) = outs.split_at_mut(1);
        for (_, message) in first[0].mesh.drain(..) {
            shards[1].handle_mesh(*now, message, &mut rest[0]);
        }
        shards[1].flush(*now, &mut rest[0]);
        let count = ALLOCATIONS.get() - before;
        outs.iter_mut().for_each(Out::reset);
        count
    };
    // Caches fill, lists grow to their size, timers find their places.
    for at in 0..400 {
        turn(&mut world, at % 50 == 0);
    }
    for client in 1..11 {
        let block = ReportBlock { ssrc: 5010, fraction_lost: 26, ..ReportBlock::default() };
        world.clients[client].send_rtcp(|writer| writer.receiver_report(9, &[block]).unwrap());
    }
    world.settle();
    for _ in 0..20 {
        turn(&mut world, false);
    }
    let before: u64 = world.shards.iter().map(|shard| shard.stats().forwarded).sum();
    let allocations: u64 = (0..100).map(|_| turn(&mut world, false)).sum();
    let forwarded: u64 = world.shards.iter().map(|shard| shard.stats().forwarded).sum::<u64>() - before;
    assert_eq!(forwarded, 100 * 5 * 20);
    assert_eq!(allocations, 0, "for {forwarded} packets");
}

//! What a viewer asks for, what it gets of it, and what control is told.

use std::time::Duration;

use pointsman_sfu::{Event, LayerId, Preferences, Quality, Reason};
use pointsman_wire::net::Protocol;

use crate::world::*;

const SSRC: u32 = 5000;

/// A publisher with three sizes of 33, 67 and 133 kbyte/s, and a viewer on another shard.
struct Call {
    world: World,
    streams: Vec<Stream>,
    frames: u32,
}

impl Call {
    fn new() -> Self {
        Self::over(Protocol::Udp)
    }

    fn over(protocol: Protocol) -> Self {
        let mut config = default_config();
        if protocol != Protocol::Udp {
            // Enough for the largest; what is believed of the path says how much may wait before it.
            config.bandwidth.estimate_start_bps = 2_000_000;
        }
        let mut world = World::with_config(2, config);
        world.join(0, vec![video_in(1, "0", &["q", "h", "f"])], vec![]);
        let publisher = world.clients[0].id;
        world.join(1, vec![], vec![video_out("a", SSRC, Some((1, publisher)))]);
        world.clients[1].path.protocol = protocol;
        world.connect(0);
        world.connect(1);
        let streams = ["q", "h", "f"].iter().enumerate().map(|(at, rid)| Stream::new(11 * (at as u32 + 1), 1).with_rid("0", rid)).collect();
        Self { world, streams, frames: 0 }
    }

    /// Frames of all sizes, a keyframe every half second.
    fn run(&mut self, ms: u64) {
        for _ in 0..ms / 33 {
            for (at, stream) in self.streams.iter_mut().enumerate() {
                let packets = stream.frame(self.frames.is_multiple_of(15), 1 << at);
                self.world.send(0, &packets);
            }
            self.frames += 1;
            self.world.pass(Duration::from_millis(33));
        }
    }

    fn ask(&mut self, preferences: Preferences) {
        self.world.clients[1].spec.senders[0].preferences = preferences;
        self.world.tell(1);
    }

    fn quality(&self) -> Quality {
        let viewer = self.world.clients[1].id;
        let mut qualities = self.world.events.iter().filter_map(|event| match event {
            Event::Quality { participant, quality, .. } if *participant == viewer => Some(*quality),
            _ => None,
        });
        qualities.next_back().expect("control was told something")
    }

    /// How many packets came in the last second of a run, of which layer by their number in a frame.
    fn packets_in_a_second(&mut self) -> usize {
        self.world.clients[1].take(SSRC);
        self.run(1000);
        self.world.clients[1].take(SSRC).len()
    }
}

#[test]
fn a_viewer_gets_what_it_asks_for_and_control_is_told_why() {
    let mut call = Call::new();
    call.run(3000);
    assert_eq!(call.packets_in_a_second(), 120, "the largest");
    assert_eq!((call.quality().current, call.quality().reason), (Some(LayerId::new(2, 0)), Reason::Best));
    assert!(call.quality().bitrate_bps > 800_000, "{:?}", call.quality());

    call.ask(Preferences { layer_max: LayerId::new(1, 9), ..Preferences::default() });
    call.run(2000);
    assert_eq!(call.packets_in_a_second(), 60);
    assert_eq!((call.quality().current, call.quality().reason), (Some(LayerId::new(1, 0)), Reason::Preference));

    call.ask(Preferences { visible: false, ..Preferences::default() });
    call.run(1000);
    assert_eq!(call.packets_in_a_second(), 0);
    assert_eq!((call.quality().current, call.quality().target, call.quality().reason), (None, None, Reason::Hidden));

    call.ask(Preferences::default());
    call.run(2000);
    assert_eq!(call.packets_in_a_second(), 120);
    assert_eq!(call.quality().reason, Reason::Best);
}

#[test]
fn another_wish_restarts_nothing() {
    let mut call = Call::new();
    call.run(3000);
    let before = call.world.clients[1].take(SSRC);
    let last = before.last().unwrap().header.sequence;
    call.ask(Preferences { priority: 3, width: 1280, height: 720, ..Preferences::default() });
    // What was sent before the wish changed can still be asked for again.
    call.world.pass(Duration::from_millis(200));
    call.world.clients[1].send_rtcp(|writer| {
        writer.nack(1, SSRC, [last]).unwrap();
    });
    call.world.settle();
    assert_eq!(call.world.clients[1].take(SSRC + 1).iter().filter(|got| got.payload().starts_with(&last.to_be_bytes())).count(), 1);
    call.run(100);
    let after = call.world.clients[1].take(SSRC);
    assert_eq!(after[0].header.sequence, last.wrapping_add(1));
}

#[test]
fn control_is_not_told_twice() {
    let mut call = Call::new();
    call.run(3000);
    call.world.events.clear();
    call.run(5000);
    let told = call.world.events.iter().filter(|event| matches!(event, Event::Quality { .. })).count();
    assert_eq!(told, 0, "{:?}", call.world.events);
}

/// A path through TURN over TCP: what the connection does not take stays in its buffer, and tells so at once.
#[test]
fn layers_are_dropped_before_a_tcp_connection_queues() {
    let mut call = Call::over(Protocol::Tcp);
    call.run(3000);
    assert_eq!(call.quality().current, Some(LayerId::new(2, 0)));
    call.world.clients[1].take(SSRC);
    // It takes 60 kbyte/s, while 133 are sent.
    let (mut waits, mut longest) = (0, Vec::new());
    for _ in 0..8 {
        let mut most = 0;
        for _ in 0..15 {
            call.run(33);
            let sent: usize = call.world.clients[1].take(SSRC).iter().map(|got| got.bytes.len()).sum();
            waits = (waits + sent).saturating_sub(2000);
            most = most.max(waits);
            call.world.outs[1].backlog = waits;
        }
        longest.push(most);
    }
    assert!(longest.iter().all(|&bytes| bytes < 30_000), "half a second of what it takes at most: {longest:?}");
    assert!(longest[4..].iter().all(|&bytes| bytes < 12_000), "and little once pictures are smaller: {longest:?}");
    assert!(call.quality().current < Some(LayerId::new(2, 0)), "{:?}", call.quality());
    let told = |event: &Event| matches!(event, Event::Quality { quality, .. } if quality.reason == Reason::Backlog);
    assert!(call.world.events.iter().any(told), "{:?}", call.world.events);
}

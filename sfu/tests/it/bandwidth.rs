//! Estimates toward subscribers, from packets that are numbered to events that control gets.

use std::collections::BTreeMap;
use std::time::Duration;

use pointsman_sfu::{BandwidthConfig, Config, Event, ParticipantId, SenderSpec};
use pointsman_wire::rtcp::PacketReport;
use pointsman_wire::rtp;

use crate::world::*;

const CAMERA: u64 = 1;
const DOWN: u32 = 5000;

/// A publisher, and a subscriber that tells when packets arrived.
struct Call {
    world: World,
    camera: Stream,
    /// Transport-wide numbers that came, roll-overs counted, with their arrival in ticks.
    arrived: BTreeMap<u64, i64>,
    told: u64,
    ticks: i64,
    /// Of packets that the subscriber gets, one in so many is lost.
    loses: u64,
    seen: u64,
    repeated: usize,
    /// Feedback as of RFC 8888: what came of each stream since it was told of it, by sequence number, with ticks.
    streams: Option<[Vec<(u16, i64)>; 2]>,
}

impl Call {
    fn new() -> Self {
        Self::begin(video_out("a", DOWN, Some((CAMERA, ParticipantId(100)))), None)
    }

    /// The subscriber tells of streams.
    fn of_streams() -> Self {
        let mut out = video_out("a", DOWN, Some((CAMERA, ParticipantId(100))));
        out.extensions.transport_cc = None;
        out.codecs.iter_mut().for_each(|codec| (codec.transport_cc, codec.ccfb) = (false, true));
        Self::begin(out, Some(Default::default()))
    }

    fn begin(out: SenderSpec, streams: Option<[Vec<(u16, i64)>; 2]>) -> Self {
        let mut world = World::with_config(1, Config { pool_slots_max: 8192, ..Config::default() });
        world.join(0, vec![video_in(CAMERA, "0", &[])], vec![]);
        world.join(0, vec![], vec![out]);
        world.connect(0);
        world.connect(1);
        let camera = Stream::new(11, 100);
        Self { world, camera, arrived: BTreeMap::new(), told: 1, ticks: 0, loses: 0, seen: 0, repeated: 0, streams }
    }

    /// A second of 30 frames of `packets` packets, of which the publisher's uplink loses each `lost_up`th.
    fn second(&mut self, packets: usize, lost_up: u64) {
        for at in 0..30 {
            let key = self.camera.sequence == 100 && at == 0;
            let frame = self.camera.frame(key, packets);
            let sent: Vec<Packet> = frame.into_iter().filter(|it| key || lost_up == 0 || it.sequence % lost_up != 0).collect();
            self.world.send(0, &sent);
            self.hear();
            self.world.pass(Duration::from_millis(33));
            self.ticks += 33 * 4;
            self.hear();
            if at % 2 == 1 {
                self.tell();
            }
        }
    }

    fn hear(&mut self) {
        for ssrc in [DOWN, DOWN + 1] {
            for got in self.world.clients[1].take(ssrc) {
                self.repeated += usize::from(ssrc != DOWN);
                if let Some(streams) = &mut self.streams {
                    assert_eq!(got.header.extension(&got.bytes, TWCC_DOWN), None);
                    self.seen += 1;
                    if self.loses == 0 || !self.seen.is_multiple_of(self.loses) {
                        streams[(ssrc - DOWN) as usize].push((got.header.sequence, self.ticks));
                    }
                    continue;
                }
                let value = got.header.extension(&got.bytes, TWCC_DOWN).expect("numbered");
                let rtp::TransportSequence(sequence) = rtp::TransportSequence::parse(value).unwrap();
                let sequence = self.told & !0xFFFF | u64::from(sequence);
                self.seen += 1;
                if self.loses == 0 || !self.seen.is_multiple_of(self.loses) {
                    self.arrived.insert(sequence, self.ticks);
                }
            }
        }
    }

    fn tell(&mut self) {
        if let Some(streams) = &mut self.streams {
            let told = streams.iter_mut().map(std::mem::take).zip([DOWN, DOWN + 1]);
            let blocks: Vec<_> = told.filter(|(came, _)| !came.is_empty()).map(|(came, ssrc)| block(ssrc, &came, self.ticks)).collect();
            let timestamp = (self.ticks * 250 * 65_536 / 1_000_000) as u32;
            self.world.clients[1].send_rtcp(|writer| assert!(writer.congestion(1, blocks, timestamp).is_some()));
            return self.world.settle();
        }
        let Some((&last, _)) = self.arrived.last_key_value() else { return };
        let (told, arrived) = (self.told, std::mem::take(&mut self.arrived));
        let arrivals = arrived.iter().map(|(&sequence, &at)| (sequence, at));
        self.world.clients[1].send_rtcp(|writer| assert!(writer.transport_cc(1, DOWN, 0, told, arrivals).is_some()));
        self.told = last + 1;
        self.world.settle();
    }

    fn estimates(&self) -> Vec<u64> {
        let of = |event: &Event| match event {
            Event::Estimate { participant: ParticipantId(101), estimate_bps } => Some(*estimate_bps),
            _ => None,
        };
        self.world.events.iter().filter_map(of).collect()
    }
}

/// What RFC 8888 tells of a stream of which `came`: what lies between did not.
fn block(ssrc: u32, came: &[(u16, i64)], now: i64) -> (u32, u16, std::vec::IntoIter<PacketReport>) {
    let (first, last) = (came[0].0, came[came.len() - 1].0);
    let report = |at: u16| {
        let sequence = first.wrapping_add(at);
        let arrival = came.iter().find(|it| it.0 == sequence);
        PacketReport { sequence, received: arrival.is_some(), ecn: 0, age: arrival.map(|it| ((now - it.1) * 1024 / 4000) as u16) }
    };
    (ssrc, first, (0..=last.wrapping_sub(first)).map(report).collect::<Vec<_>>().into_iter())
}

#[test]
fn feedback_on_streams_counts_where_packets_are_not_numbered() {
    let mut call = Call::of_streams();
    for _ in 0..6 {
        call.second(8, 0);
    }
    let (start, grown) = (BandwidthConfig::default().estimate_start_bps, *call.estimates().last().unwrap());
    assert!(grown > start * 5 / 4, "{:?}", call.estimates());
    assert!(call.repeated > 0, "probes are told of, too");
    call.loses = 2;
    for _ in 0..5 {
        call.second(8, 0);
    }
    assert!(*call.estimates().last().unwrap() < grown / 2, "{:?}", call.estimates());
}

#[test]
fn numbers_have_no_gaps_whatever_the_publisher_loses() {
    let mut call = Call::new();
    for _ in 0..6 {
        call.second(8, 4);
    }
    let estimates = call.estimates();
    let start = BandwidthConfig::default().estimate_start_bps;
    assert_eq!(estimates.first(), Some(&start), "{estimates:?}");
    assert!(estimates.iter().all(|bps| *bps >= start), "a quarter is lost before it comes to us: {estimates:?}");
    assert!(estimates.last() > Some(&(start * 5 / 4)), "and all of the rest gets through: {estimates:?}");
}

#[test]
fn loss_toward_the_subscriber_counts() {
    let mut call = Call::new();
    for _ in 0..3 {
        call.second(8, 0);
    }
    let before = *call.estimates().last().unwrap();
    call.loses = 2;
    for _ in 0..5 {
        call.second(8, 0);
    }
    let after = *call.estimates().last().unwrap();
    assert!(after < before / 2, "{:?}", call.estimates());
}

//! A bottleneck with a queue, a publisher behind the budget, and a client that gives feedback.

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use pointsman_wire::rtcp::{self, Packet, PacketReport, Writer};

use super::super::{BandwidthConfig, Estimator, PacketName};

#[derive(Clone, Debug)]
pub struct Link {
    pub bps: f64,
    pub delay_ms: f64,
    /// Added to the delay of each packet, up to this; order is kept.
    pub jitter_ms: f64,
    /// Longest queue; what does not fit is lost.
    pub queue_ms: f64,
    /// Lost at random.
    pub loss: f64,
    /// Another flow fills the queue as TCP does.
    pub neighbour: bool,
}

impl Default for Link {
    fn default() -> Self {
        Self { bps: 3e6, delay_ms: 20.0, jitter_ms: 0.0, queue_ms: 300.0, loss: 0.0, neighbour: false }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Path {
    Open,
    /// Feedback is lost.
    Silent,
}

#[derive(Debug)]
pub struct Trial {
    pub link: Link,
    pub path: Path,
    pub estimator: Estimator,
    /// What the publisher has to send at most.
    pub wish: f64,
    /// What the budget says it wants.
    pub wanted: f64,
    /// Whether as much is sent as the estimate allows; else always `wish`.
    pub follows: bool,
    /// The client tells of streams (RFC 8888) instead of transport-wide numbers.
    pub streams: bool,
    origin: Instant,
    us: i64,
    random: u64,
    /// When the bottleneck has sent everything that waits.
    free_us: i64,
    last_arrival_us: i64,
    neighbour_bps: f64,
    next_frame_us: i64,
    next_feedback_us: i64,
    next_look_us: i64,
    /// Sequence and arrival of what is on its way to the client.
    under_way: VecDeque<(u64, i64)>,
    arrived: Vec<(u64, i64)>,
    told: u64,
    sent: u64,
    /// Feedback on its way back.
    back: VecDeque<(i64, Vec<u8>)>,
    count: Count,
}

#[derive(Debug, Default)]
struct Count {
    delivered: f64,
    lost: u32,
    sent: u32,
    queues_ms: Vec<f64>,
    estimates: Vec<f64>,
    padding: usize,
    news: u32,
}

/// What a stretch of time was like.
#[derive(Debug)]
pub struct Outcome {
    pub utilisation: f64,
    pub queue_p95_ms: f64,
    pub lost: f64,
    pub estimate_least: f64,
    pub estimate_mean: f64,
    pub padding: usize,
    pub news: u32,
}

const STEP_US: i64 = 500;
const FRAME_US: i64 = 33_333;
const FEEDBACK_US: i64 = 50_000;
const LOOK_US: i64 = 250_000;
const PACKET: usize = 1_150;

#[expect(clippy::disallowed_methods, reason = "a virtual clock has to start somewhere")]
pub fn origin() -> Instant {
    Instant::now()
}

impl Trial {
    /// With a client that gives feedback as of RFC 8888.
    pub fn of_streams(link: Link, wish: f64) -> Self {
        let mut trial = Self::new(link, wish);
        trial.streams = true;
        trial.estimator.keep_names();
        trial
    }

    pub fn new(link: Link, wish: f64) -> Self {
        let origin = origin();
        let mut estimator = Estimator::new(&BandwidthConfig::default(), origin);
        estimator.set_measured(true);
        Self {
            link,
            path: Path::Open,
            estimator,
            wish,
            wanted: wish,
            follows: true,
            streams: false,
            origin,
            us: 0,
            random: 7,
            free_us: 0,
            last_arrival_us: 0,
            neighbour_bps: 1e6,
            next_frame_us: 0,
            next_feedback_us: 0,
            next_look_us: 0,
            under_way: VecDeque::new(),
            arrived: Vec::new(),
            told: 1,
            sent: 1,
            back: VecDeque::new(),
            count: Count::default(),
        }
    }

    pub fn now(&self) -> Instant {
        self.origin + Duration::from_micros(self.us as u64)
    }

    pub fn estimate(&self) -> f64 {
        self.estimator.estimate_bps() as f64
    }

    pub fn run(&mut self, seconds: f64) -> Outcome {
        self.count = Count::default();
        let end = self.us + (seconds * 1e6) as i64;
        while self.us < end {
            self.us += STEP_US;
            self.step();
        }
        let count = &mut self.count;
        count.queues_ms.sort_by(f64::total_cmp);
        let estimates = &count.estimates;
        Outcome {
            utilisation: count.delivered * 8.0 / seconds / self.link.bps,
            queue_p95_ms: count.queues_ms.get(count.queues_ms.len() * 95 / 100).copied().unwrap_or(0.0),
            lost: f64::from(count.lost) / f64::from(count.sent.max(1)),
            estimate_least: estimates.iter().copied().fold(f64::INFINITY, f64::min),
            estimate_mean: estimates.iter().sum::<f64>() / estimates.len().max(1) as f64,
            padding: count.padding,
            news: count.news,
        }
    }

    fn step(&mut self) {
        if self.link.neighbour {
            self.neighbour();
        }
        if self.us >= self.next_frame_us {
            self.next_frame_us = self.us + FRAME_US;
            let wanted = if self.wanted > self.wish { self.wanted } else { self.wish };
            self.estimator.set_wanted(wanted as u64);
            let bps = if self.follows { self.wish.min(self.estimate() * 0.95) } else { self.wish };
            // Frames differ in size.
            let frame = bps * FRAME_US as f64 / 8e6 * (0.8 + 0.4 * self.number());
            let packets = (frame / PACKET as f64).ceil().max(1.0);
            for _ in 0..packets as usize {
                self.send((frame / packets) as usize);
            }
        }
        if self.estimator.next_due().is_some_and(|due| due <= self.now()) {
            let mut due = self.estimator.padding(self.now());
            while due > 0 {
                self.count.padding += PACKET;
                self.send(PACKET);
                due = due.saturating_sub(PACKET);
            }
        }
        while self.under_way.front().is_some_and(|it| it.1 <= self.us) {
            self.arrived.extend(self.under_way.pop_front());
        }
        if self.us >= self.next_feedback_us {
            self.next_feedback_us = self.us + FEEDBACK_US;
            self.feedback();
        }
        while self.back.front().is_some_and(|it| it.0 <= self.us) {
            let (_, bytes) = self.back.pop_front().unwrap();
            for packet in rtcp::packets(&bytes) {
                match packet {
                    Ok(Packet::TransportCc(feedback)) => self.estimator.transport_cc(self.now(), &feedback),
                    Ok(Packet::Congestion(feedback)) => self.estimator.congestion(self.now(), &feedback),
                    packet => panic!("{packet:?}"),
                }
            }
        }
        if self.us >= self.next_look_us {
            self.next_look_us = self.us + LOOK_US;
            self.estimator.look(self.now());
            self.count.news += u32::from(self.estimator.news(self.now()).is_some());
            self.count.estimates.push(self.estimate());
        }
    }

    fn send(&mut self, len: usize) {
        let sequence = self.sent;
        self.estimator.sent(self.now(), len, name(sequence));
        self.sent += 1;
        self.count.sent += 1;
        let queue_us = (self.free_us - self.us).max(0);
        self.count.queues_ms.push(queue_us as f64 / 1e3);
        if self.number() < self.link.loss || queue_us as f64 > self.link.queue_ms * 1e3 {
            self.count.lost += 1;
            return;
        }
        self.count.delivered += len as f64;
        self.free_us = self.us + queue_us + (len as f64 * 8e6 / self.link.bps) as i64;
        let jitter = self.number() * self.link.jitter_ms;
        let at = self.free_us + ((self.link.delay_ms + jitter) * 1e3) as i64;
        self.last_arrival_us = self.last_arrival_us.max(at);
        self.under_way.push_back((sequence, self.last_arrival_us));
    }

    /// Adds until something is lost, then halves.
    fn neighbour(&mut self) {
        let queue_us = (self.free_us - self.us).max(0);
        if queue_us as f64 > self.link.queue_ms * 1e3 * 0.95 {
            self.neighbour_bps *= 0.998;
        } else {
            self.neighbour_bps += 0.5e6 * STEP_US as f64 / 1e6;
        }
        self.neighbour_bps = self.neighbour_bps.clamp(0.1e6, self.link.bps);
        if queue_us as f64 <= self.link.queue_ms * 1e3 {
            self.free_us = self.us + queue_us + (self.neighbour_bps * STEP_US as f64 / self.link.bps) as i64;
        }
    }

    fn feedback(&mut self) {
        let arrivals: Vec<(u64, i64)> = self.arrived.drain(..).map(|(sequence, at)| (sequence, at / 250)).collect();
        let Some(&(last, _)) = arrivals.last() else { return };
        let mut space = [0; 2_048];
        let mut writer = Writer::new(&mut space);
        if self.streams {
            self.congestion(&arrivals, &mut writer);
        } else {
            writer.transport_cc(1, 2, 0, self.told, arrivals.iter().copied()).unwrap();
        }
        self.told = last + 1;
        let len = writer.len();
        if self.path == Path::Open {
            self.back.push_back((self.us + (self.link.delay_ms * 1e3) as i64, space[..len].to_vec()));
        }
    }

    /// Of each stream the packets since the last feedback, and some that were told before.
    fn congestion(&self, arrivals: &[(u64, i64)], writer: &mut Writer<'_>) {
        let report_us = self.us;
        let blocks = (0..STREAMS).filter_map(|stream| {
            let of_stream = |sequence: &u64| sequence % STREAMS == stream;
            let all = self.told.saturating_sub(4).max(1)..arrivals.last()?.0 + 1;
            let reports: Vec<PacketReport> = all
                .filter(of_stream)
                .map(|sequence| {
                    let at = arrivals.iter().find(|it| it.0 == sequence).map(|it| it.1 * 250);
                    let age = at.map(|at| ((report_us - at) * 1024 / 1_000_000) as u16);
                    PacketReport { sequence: name(sequence).sequence, received: at.is_some(), ecn: 0, age }
                })
                .collect();
            let first = reports.first()?.sequence;
            Some((stream as u32, first, reports.into_iter()))
        });
        let timestamp = (report_us as i128 * 65_536 / 1_000_000) as u32;
        writer.congestion(1, blocks, timestamp).unwrap();
    }

    /// From 0 to 1.
    fn number(&mut self) -> f64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 11) as f64 / (1_u64 << 53) as f64
    }
}

/// Packets belong to this many streams in turn.
const STREAMS: u64 = 2;

fn name(sequence: u64) -> PacketName {
    PacketName { ssrc: (sequence % STREAMS) as u32, sequence: (sequence / STREAMS + 65_000) as u16 }
}

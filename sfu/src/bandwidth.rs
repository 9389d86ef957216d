//! How much the path to a subscriber carries, from what it tells of the packets that it got.
//!
//! ```text
//! sent ─► History ─┐
//! feedback ────────┴► arrivals ─► delay (queues that grow) ─┐
//!                               ► loss (more with more rate) ┴► estimate ─► budget
//! wanted ─► probes: short stretches of padding at a higher rate, whose arrival tells whether more fits
//! ```

mod config;
mod delay;
mod history;
mod loss;
mod meter;
mod probe;
mod rate;
mod standing;

use std::time::{Duration, Instant};

use pointsman_wire::rtcp::{TICK_US, TransportCc};

pub use config::BandwidthConfig;
use delay::{DelayDetector, Usage};
use history::History;
use loss::{LossBound, LossLook};
use meter::Meter;
use probe::{Prober, Wish};
use rate::{DelayRate, Look};
use standing::StandingQueue;

/// Until something tells the round trip.
const RTT_DEFAULT: Duration = Duration::from_millis(100);
/// What is told of the estimate changes by at least one part in so many …
const NEWS_PART: u64 = 10;
/// … and no more often than this.
const NEWS_INTERVAL: Duration = Duration::from_millis(300);
/// Below this part of the estimate, what is sent leaves the path idle.
const IDLE: f64 = 0.75;
/// The shortest way is remembered for one to two of these: clocks drift apart and paths change.
const BASE_US: i64 = 15_000_000;
/// A queue shorter than this is none.
const QUEUE_US: i64 = 50_000;
/// For so long after queues have grown, less is sent than gets through, so that they drain; one second of queue takes it all.
const DRAIN_US: i64 = 2_500_000;
const DRAIN_LEAST: f64 = 0.4;
/// Feedback that stays away for so long, while packets leave, is bad news.
const SILENCE_US: i64 = 3_000_000;
const SILENCE_STEP_US: i64 = 1_000_000;
/// What was told of the path so long ago is not held against it.
const STALE_US: i64 = 1_000_000;
/// No probes for so long after queues have grown.
const REST_US: i64 = 1_000_000;

/// The bandwidth toward one participant. Rates count RTP packets as they are sent, headers and tags included, without UDP and IP.
#[derive(Debug)]
pub struct Estimator {
    config: BandwidthConfig,
    origin: Instant,
    /// The client tells when packets arrived, or what it thinks it can be sent.
    measured: bool,
    wanted_bps: u64,
    rtt: Option<Duration>,
    told: Option<(Instant, u64)>,
    history: History,
    sending: Meter,
    arriving: Meter,
    /// The last arrival by the client's clock: the low 32 bits of its ticks, and with roll-overs counted in µs.
    arrival: Option<(u32, i64)>,
    delay: DelayDetector,
    rate: DelayRate,
    loss: LossBound,
    prober: Prober,
    /// Shortest way, by two clocks that differ by some constant: in this stretch of time and the one before.
    base: [i64; 2],
    base_since_us: i64,
    queue_us: i64,
    standing: StandingQueue,
    /// When feedback on packets came, and when its absence was last held against the path.
    heard_us: Option<i64>,
    silence_us: i64,
    /// What the client thinks, when it tells nothing better.
    remb: Option<u64>,
}

impl Estimator {
    pub fn new(config: &BandwidthConfig, now: Instant) -> Self {
        Self {
            config: *config,
            origin: now,
            measured: false,
            wanted_bps: 0,
            rtt: None,
            told: None,
            history: History::new(config.sent_packets_max),
            sending: Meter::new(),
            arriving: Meter::new(),
            arrival: None,
            delay: DelayDetector::new(),
            rate: DelayRate::new(config.estimate_start_bps as f64),
            loss: LossBound::new(),
            prober: Prober::new(),
            base: [i64::MAX; 2],
            base_since_us: 0,
            queue_us: 0,
            standing: StandingQueue::new(),
            heard_us: None,
            silence_us: 0,
            remb: None,
        }
    }

    /// What may be sent, in bits per second: between the configured least and most. Before the first feedback it is the
    /// configured start; toward a client that gives no feedback it is the most.
    pub fn estimate_bps(&self) -> u64 {
        let BandwidthConfig { estimate_min_bps: least, estimate_start_bps: start, estimate_max_bps: most, .. } = self.config;
        let bps = match (self.heard_us, self.remb) {
            (Some(at), _) => (self.rate.bps() * self.drain(at)).min(self.loss.bps()) as u64,
            (None, Some(bps)) => bps.min(self.loss.bps() as u64),
            (None, None) if self.measured => start.min(self.loss.bps() as u64),
            (None, None) => most.min(self.loss.bps() as u64),
        };
        bps.min(most).max(least)
    }

    /// Share of the packets that are lost on the way to the subscriber, 0 to 1, smoothed over some seconds.
    pub fn loss(&self) -> f32 {
        self.loss.smoothed() as f32
    }

    pub fn rtt(&self) -> Duration {
        self.rtt.unwrap_or(RTT_DEFAULT)
    }

    /// What waits in queues on the way, as far as can be told.
    pub fn queue(&self) -> Duration {
        Duration::from_micros(self.queue_us.max(0) as u64)
    }

    /// What the budget would send at most if it could. It is probed for no more than about that; with nothing wanted, for nothing.
    pub fn set_wanted(&mut self, bps: u64) {
        self.wanted_bps = bps;
    }

    /// Whether the path is believed to carry less than is wanted.
    pub fn is_limited(&self) -> bool {
        self.estimate_bps() < self.wanted_bps
    }

    /// Whether the client was negotiated to give feedback.
    pub fn set_measured(&mut self, measured: bool) {
        self.measured = measured;
    }

    /// A round trip was measured.
    pub fn round_trip(&mut self, rtt: Duration) {
        self.rtt = Some(self.rtt.map_or(rtt, |known| (known * 7 + rtt) / 8));
    }

    /// The transport-wide number of the next packet that has one.
    pub fn next_sequence(&self) -> u16 {
        self.history.next_sequence()
    }

    /// A packet left under [`Estimator::next_sequence`].
    pub fn sent(&mut self, now: Instant, len: usize) {
        let (now_us, len) = (self.micros(now), len.min(usize::from(u16::MAX)) as u16);
        let cluster = self.prober.cluster(now_us);
        if cluster != probe::ClusterId::NONE {
            self.prober.sent(now_us, len);
        }
        self.history.sent(now_us, len, cluster);
        self.sending.add(now_us, len);
    }

    /// What the client tells about packets by their transport-wide numbers.
    pub fn transport_cc(&mut self, now: Instant, feedback: &TransportCc<'_>) {
        let now_us = self.micros(now);
        let mut told = Told::NOTHING;
        for arrival in feedback.arrivals() {
            let at_us = arrival.at_ticks.map(|ticks| self.unwrapped(ticks as u32, TICK_US));
            self.take(now_us, arrival.sequence, at_us, &mut told);
        }
        self.conclude(now_us, &told);
    }

    /// What the client thinks it can be sent (REMB). It counts as long as nothing is told about packets.
    pub fn remb(&mut self, bps: u64) {
        self.remb = Some(bps);
    }

    /// When [`Estimator::padding`] has something to say.
    pub fn next_due(&self) -> Option<Instant> {
        self.prober.next_us().map(|us| self.origin + Duration::from_micros(us.max(0) as u64))
    }

    /// Bytes that a probe wants sent now besides the media.
    pub fn padding(&mut self, now: Instant) -> usize {
        let now_us = self.micros(now);
        self.prober.step(now_us)
    }

    /// Looks at what time changes; a few times a second.
    pub fn look(&mut self, now: Instant) {
        let now_us = self.micros(now);
        let Some(heard) = self.heard_us else { return };
        if now_us - heard > STALE_US + self.rtt_us() {
            // Nothing is sent of which the client tells, or it tells nothing. What was queued then has left, and what was lost then says
            // nothing of now: or else a path that was bad once would never be tried again.
            self.queue_us = 0;
            self.loss.forget();
        }
        let leaves = self.sending.rate_at(now_us).is_some_and(|bps| bps > 0.0);
        if leaves && now_us - heard > SILENCE_US + self.rtt_us() && now_us - self.silence_us > SILENCE_STEP_US {
            self.silence_us = now_us;
            self.rate.limit((self.rate.bps() * 0.7).max(self.config.estimate_min_bps as f64));
        }
        self.consider_probe(now_us);
    }

    /// The estimate, if it differs by a tenth or more from what this said last; a few times a second at most.
    pub fn news(&mut self, now: Instant) -> Option<u64> {
        let estimate = self.estimate_bps();
        if let Some((at, before)) = self.told
            && (estimate.abs_diff(before) < before / NEWS_PART || now.saturating_duration_since(at) < NEWS_INTERVAL)
        {
            return None;
        }
        self.told = Some((now, estimate));
        Some(estimate)
    }

    fn micros(&self, at: Instant) -> i64 {
        i64::try_from(at.saturating_duration_since(self.origin).as_micros()).unwrap_or(i64::MAX)
    }

    fn rtt_us(&self) -> i64 {
        self.rtt().as_micros().min(5_000_000) as i64
    }

    /// Arrival times wrap with the feedback's field; in µs from the first arrival on.
    fn unwrapped(&mut self, ticks: u32, tick_us: i64) -> i64 {
        let (last, last_us) = self.arrival.unwrap_or((ticks, 0));
        let at_us = last_us + i64::from(ticks.wrapping_sub(last) as i32) * tick_us;
        self.arrival = Some((ticks, at_us));
        at_us
    }

    /// One packet of a feedback, in order of sequence.
    fn take(&mut self, now_us: i64, sequence: u16, arrived_us: Option<i64>, told: &mut Told) {
        let Some(sent) = self.history.told(now_us, sequence, arrived_us.is_some()) else { return };
        let Some(arrived_us) = arrived_us else {
            self.loss.lost(sent.at_us);
            return;
        };
        self.loss.arrived(sent.at_us, sent.was_missing);
        self.arriving.add(arrived_us, sent.len);
        self.prober.arrived(sent.cluster, arrived_us, sent.len);
        self.delay.arrived(sent.at_us, arrived_us);
        told.over |= self.delay.usage() == Usage::Over;
        told.way_us = told.way_us.min(arrived_us - sent.at_us);
        told.last_arrived_us = told.last_arrived_us.max(arrived_us);
        told.last_sent_us = told.last_sent_us.max(sent.at_us);
    }

    fn conclude(&mut self, now_us: i64, told: &Told) {
        self.heard_us = Some(now_us);
        if told.last_sent_us == i64::MIN {
            return;
        }
        if self.rtt.is_none() {
            // Some of it is the time that the feedback waited to be sent; a report will tell better.
            self.rtt = Some(Duration::from_micros((now_us - told.last_sent_us).max(0) as u64));
        }
        self.note_way(now_us, told.way_us);
        let rtt_us = self.rtt_us();
        let sending = self.sending.rate_at(now_us).unwrap_or(0.0);
        let estimate = self.rate.bps().min(self.loss.bps());
        self.loss.update(&LossLook { now_us, sent_bps: sending, estimate_bps: estimate, rtt_us, queued: self.queue_us > QUEUE_US });
        let mut usage = if told.over { Usage::Over } else { self.delay.usage() };
        if usage == Usage::Over && self.prober.is_felt(now_us) && self.queue_us < 4 * QUEUE_US {
            usage = Usage::Normal; // It is the probe's own queue, and the probe's result will tell.
        }
        if self.standing.must_yield(now_us, self.queue_us) {
            usage = Usage::Over;
        }
        self.rate.update(&Look {
            now_us,
            usage,
            arriving: self.arriving.rate(),
            arriving_lately: self.arriving.rate_lately(),
            idle: sending < estimate * IDLE,
            may_grow: self.loss.is_calm(),
            rtt_us,
            queue_us: self.queue_us,
        });
        if usage == Usage::Over {
            self.prober.put_off(now_us + REST_US);
        }
        if let Some(proved) = self.prober.result(now_us, self.estimate_bps() as f64) {
            self.rate.prove(proved);
            self.loss.prove(proved);
        }
        self.rate.limit(self.config.estimate_max_bps as f64);
        self.consider_probe(now_us);
    }

    /// Keeps the shortest way in mind; what is longer is queue.
    fn note_way(&mut self, now_us: i64, way_us: i64) {
        if now_us - self.base_since_us > BASE_US {
            self.base = [i64::MAX, self.base[0]];
            self.base_since_us = now_us;
        }
        self.base[0] = self.base[0].min(way_us);
        self.queue_us = way_us - self.base[0].min(self.base[1]);
    }

    /// Which part of the rate may be sent while a queue drains.
    fn drain(&self, now_us: i64) -> f64 {
        match self.rate.decreased_us() {
            Some(at) if now_us - at < DRAIN_US && self.queue_us > QUEUE_US => {
                (1.0 - (self.queue_us - QUEUE_US) as f64 / 1e6).max(DRAIN_LEAST)
            }
            Some(_) | None => 1.0,
        }
    }

    fn consider_probe(&mut self, now_us: i64) {
        if self.config.probing && self.heard_us.is_some() && self.queue_us < QUEUE_US && self.loss.is_calm() {
            let most = self.wanted_bps.min(self.config.estimate_max_bps) as f64;
            self.prober.consider(&Wish { now_us, estimate_bps: self.estimate_bps() as f64, wanted_bps: most });
        }
    }
}

/// What one feedback told.
struct Told {
    over: bool,
    /// The shortest way of a packet, between two clocks.
    way_us: i64,
    last_arrived_us: i64,
    last_sent_us: i64,
}

impl Told {
    const NOTHING: Self = Self { over: false, way_us: i64::MAX, last_arrived_us: i64::MIN, last_sent_us: i64::MIN };
}

#[cfg(test)]
mod tests;

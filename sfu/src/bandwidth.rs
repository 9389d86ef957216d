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
mod detour;
mod history;
mod loss;
mod meter;
mod probe;
mod rate;
mod standing;

use std::time::{Duration, Instant};

use pointsman_wire::rtcp::{CongestionFeedback, TICK_US, TransportCc};

pub use config::BandwidthConfig;
use delay::{DelayDetector, Usage};
use detour::Detour;
use history::History;
pub use history::PacketName;
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
/// The shortest way is remembered for one to two of these: clocks drift apart and paths change.
const BASE_US: i64 = 15_000_000;
/// A queue shorter than this is none.
const QUEUE_US: i64 = 50_000;
/// For so long after queues have grown, less is sent than gets through, so that they drain: so much of a queue takes it all, a shorter
/// one where the link itself has become narrow.
const DRAIN_US: i64 = 2_500_000;
const DRAIN_ALL_US: f64 = 1_000_000.0;
const DRAIN_ALL_NARROW_US: f64 = 300_000.0;
const DRAIN_LEAST: f64 = 0.5;
/// A queue that all packets of a feedback have met, or that the last has, while so much less than is sent passes through it: the link has
/// become narrow, and no slope needs to be waited for.
const NARROW_QUEUE_US: i64 = 60_000;
const NARROW: f64 = 0.8;
const NARROW_LAST_QUEUE_US: i64 = 75_000;
const NARROW_LAST: f64 = 0.6;
const NARROW_MUCH_QUEUE_US: i64 = 45_000;
const NARROW_MUCH: f64 = 0.4;
/// Packets that waited for so long left the queue one after another, as fast as the link sends. So long a stretch of them tells how fast.
const WAITED_US: i64 = 25_000;
const WAITED_STRETCH_US: i64 = 35_000;
/// Feedback that stays away for so long, while packets leave, is bad news.
const SILENCE_US: i64 = 3_000_000;
const SILENCE_STEP_US: i64 = 1_000_000;
/// What was told of the path so long ago is not held against it.
const STALE_US: i64 = 1_000_000;
/// What one feedback on streams tells at most: more than fits into a datagram.
const REPORTS_MAX: usize = 1_024;
/// A tick of arrival times in µs, as a fraction: of transport-wide feedback, and of NTP's middle 32 bits.
const TRANSPORT_CC_TICK: (i64, i64) = (TICK_US, 1);
const NTP_TICK: (i64, i64) = (15_625, 1_024);
/// Of them are in one 1/1024 s, in which RFC 8888 tells ages.
const NTP_TICKS_OF_AGE: u32 = 64;
/// What waits before a TCP connection may be so much of a second, and at least so many bytes: more is trouble.
const BACKLOG_US: f64 = 100_000.0;
const BACKLOG_LEAST: f64 = 8_000.0;
/// Between two looks at what it takes, and how long trouble is remembered.
const BACKLOG_LOOK_US: i64 = 100_000;
const BACKLOGGED_US: i64 = 1_000_000;
/// Of what got through before the way became longer, what is sent at once when that is known; probes find the rest.
const AFTER_DETOUR: f64 = 0.5;
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
    /// The last arrival by the client's clock: the low 32 bits of its ticks, and those since the first with roll-overs counted.
    arrival: Option<(u32, i64)>,
    /// Scratch space for what a feedback on streams tells, where there is such feedback: how far back the packet is.
    reports: Vec<(u16, Word)>,
    delay: DelayDetector,
    rate: DelayRate,
    loss: LossBound,
    prober: Prober,
    /// Shortest way, by two clocks that differ by some constant: in this stretch of time and the one before.
    base: [i64; 2],
    base_since_us: i64,
    queue_us: i64,
    /// What the last packet met of it.
    last_queue_us: i64,
    standing: StandingQueue,
    detour: Detour,
    /// When feedback on packets came, and when its absence was last held against the path.
    heard_us: Option<i64>,
    silence_us: i64,
    /// What the client thinks, when it tells nothing better.
    remb: Option<u64>,
    sent_bytes: u64,
    /// Of a path over TCP: at the last look the time, what had been sent, and what of it waited.
    taken: Option<(i64, u64, u64)>,
    backlogged_us: Option<i64>,
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
            reports: Vec::new(),
            delay: DelayDetector::new(),
            rate: DelayRate::new(config.estimate_start_bps as f64),
            loss: LossBound::new(),
            prober: Prober::new(),
            base: [i64::MAX; 2],
            base_since_us: 0,
            queue_us: 0,
            last_queue_us: 0,
            standing: StandingQueue::new(),
            detour: Detour::default(),
            heard_us: None,
            silence_us: 0,
            remb: None,
            sent_bytes: 0,
            taken: None,
            backlogged_us: None,
        }
    }

    /// What may be sent, in bits per second: between the configured least and most. Before the first feedback it is the
    /// configured start; toward a client that gives no feedback it is the most.
    pub fn estimate_bps(&self) -> u64 {
        let BandwidthConfig { estimate_min_bps: least, estimate_start_bps: start, estimate_max_bps: most, .. } = self.config;
        let bps = match (self.heard_us, self.remb) {
            (Some(at), _) => (self.rate.bps() * self.drain(at)).min(self.loss.bps()) as u64,
            (None, Some(bps)) => bps.min(self.loss.bps() as u64),
            (None, None) if self.measured || self.backlogged_us.is_some() => start.min(self.rate.bps().min(self.loss.bps()) as u64),
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

    /// The client was negotiated to tell what arrived stream by stream (RFC 8888).
    pub fn keep_names(&mut self) {
        if self.reports.capacity() == 0 {
            self.reports.reserve_exact(REPORTS_MAX);
            self.history.keep_names();
        }
    }

    /// A packet left under [`Estimator::next_sequence`].
    pub fn sent(&mut self, now: Instant, len: usize, name: PacketName) {
        let (now_us, len) = (self.micros(now), len.min(usize::from(u16::MAX)) as u16);
        let cluster = self.prober.cluster(now_us);
        if cluster != probe::ClusterId::NONE {
            self.prober.sent(now_us, len);
        }
        self.sent_bytes += u64::from(len);
        self.history.sent(now_us, len, cluster, name);
        self.sending.add(now_us, len);
    }

    /// What the client tells about packets by their transport-wide numbers.
    pub fn transport_cc(&mut self, now: Instant, feedback: &TransportCc<'_>) {
        let now_us = self.micros(now);
        let mut told = Told::NOTHING;
        for arrival in feedback.arrivals() {
            let word = match arrival.at_ticks {
                Some(ticks) => Word::Arrived { at_us: Some(self.unwrapped(ticks as u32, TRANSPORT_CC_TICK)) },
                None => Word::Missing,
            };
            self.take(now_us, arrival.sequence, word, &mut told);
        }
        self.conclude(now_us, &told);
    }

    /// What the client tells about packets stream by stream, put into the order in which they left. Nothing where that was not negotiated.
    pub fn congestion(&mut self, now: Instant, feedback: &CongestionFeedback<'_>) {
        if self.reports.capacity() == 0 {
            return;
        }
        let now_us = self.micros(now);
        let mut reports = std::mem::take(&mut self.reports);
        reports.clear();
        let all = feedback.blocks().flat_map(|block| block.reports().map(move |report| (block.ssrc, report)));
        for (ssrc, report) in all {
            if reports.len() == reports.capacity() {
                break;
            }
            let Some(back) = self.history.back_to(PacketName { ssrc, sequence: report.sequence }) else { continue };
            let ticks = report.age.map(|age| feedback.timestamp.wrapping_sub(u32::from(age) * NTP_TICKS_OF_AGE));
            let word =
                if report.received { Word::Arrived { at_us: ticks.map(|ticks| self.unwrapped(ticks, NTP_TICK)) } } else { Word::Missing };
            reports.push((back, word));
        }
        reports.sort_unstable_by_key(|(back, _)| std::cmp::Reverse(*back));
        let next = self.next_sequence();
        let mut told = Told::NOTHING;
        for &(back, word) in &reports {
            self.take(now_us, next.wrapping_sub(back), word, &mut told);
        }
        self.reports = reports;
        self.conclude(now_us, &told);
    }

    /// So many bytes wait before the TCP connection with which the path begins. Says whether that is too much: then nothing should be
    /// added, and the estimate becomes what the connection takes.
    pub fn waits(&mut self, now: Instant, backlog: usize) -> bool {
        let (now_us, backlog) = (self.micros(now), backlog as u64);
        let bps = self.rate.bps();
        let much = backlog as f64 > (bps * BACKLOG_US / 8e6).max(BACKLOG_LEAST);
        if much {
            self.backlogged_us = Some(now_us);
        }
        let (at_us, sent, waited) = *self.taken.get_or_insert((now_us, self.sent_bytes, backlog));
        let passed_us = now_us - at_us;
        if passed_us >= BACKLOG_LOOK_US {
            self.taken = Some((now_us, self.sent_bytes, backlog));
            let taken = (self.sent_bytes - sent + waited).saturating_sub(backlog);
            // Nothing is added while too much waits, so that it may be less again just now.
            if self.backlogged_us.is_some_and(|since| since >= at_us) {
                let per_second = |bytes: u64| bytes as f64 * 8e6 / passed_us as f64;
                // It may stand still for a moment and go on.
                let bound = (per_second(taken) * 0.85).max(bps.min(per_second(self.sent_bytes - sent)) * 0.7);
                self.rate.limit(bound.max(self.config.estimate_min_bps as f64));
                self.prober.put_off(now_us + REST_US);
            }
        }
        much
    }

    /// A TCP connection on the way has been given more than it took lately.
    pub fn is_backlogged(&self, now: Instant) -> bool {
        let now_us = self.micros(now);
        self.backlogged_us.is_some_and(|at| now_us - at < BACKLOGGED_US)
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
            (self.queue_us, self.last_queue_us) = (0, 0);
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
    fn unwrapped(&mut self, ticks: u32, (us, per_ticks): (i64, i64)) -> i64 {
        let (last, total) = self.arrival.unwrap_or((ticks, 0));
        let total = total + i64::from(ticks.wrapping_sub(last) as i32);
        self.arrival = Some((ticks, total));
        total.saturating_mul(us) / per_ticks
    }

    /// One packet of a feedback, in order of sequence.
    fn take(&mut self, now_us: i64, sequence: u16, word: Word, told: &mut Told) {
        let Some(sent) = self.history.told(now_us, sequence, word != Word::Missing) else { return };
        let arrived_us = match word {
            Word::Missing => return self.loss.lost(sent.at_us),
            Word::Arrived { at_us } => at_us,
        };
        self.loss.arrived(sent.at_us, sent.was_missing);
        let Some(arrived_us) = arrived_us else { return };
        self.arriving.add(arrived_us, sent.len);
        self.prober.arrived(sent.cluster, arrived_us, sent.len);
        self.delay.arrived(sent.at_us, arrived_us);
        told.over |= self.delay.usage() == Usage::Over;
        let way_us = arrived_us - sent.at_us;
        told.way_us = told.way_us.min(way_us);
        told.last_way_us = way_us;
        if way_us.saturating_sub(self.base[0].min(self.base[1])) > WAITED_US {
            told.waited(arrived_us, sent.len);
        } else {
            told.waited = None;
        }
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
        self.note_way(now_us, told);
        let rtt_us = self.rtt_us();
        let sending = self.sending.rate_at(now_us).unwrap_or(0.0);
        let estimate = self.rate.bps().min(self.loss.bps());
        self.loss.update(&LossLook { now_us, sent_bps: sending, estimate_bps: estimate, rtt_us, queued: self.queue_us > QUEUE_US });
        self.consider_detour(now_us, told, sending);
        let mut usage = if told.over { Usage::Over } else { self.delay.usage() };
        if usage == Usage::Over && self.prober.is_felt(now_us) && self.queue_us < 4 * QUEUE_US {
            usage = Usage::Normal; // It is the probe's own queue, and the probe's result will tell.
        }
        let meant = sending.min(estimate);
        let narrow = told.passing().filter(|&passing| {
            self.queue_us > NARROW_QUEUE_US && passing < meant * NARROW
                || self.last_queue_us > NARROW_LAST_QUEUE_US && passing < meant * NARROW_LAST
                || self.last_queue_us > NARROW_MUCH_QUEUE_US && passing < meant * NARROW_MUCH
        });
        if narrow.is_some() || self.standing.must_yield(now_us, self.queue_us) {
            usage = Usage::Over;
        }
        self.rate.update(&Look {
            now_us,
            usage,
            arriving: self.arriving.rate(),
            arriving_lately: self.arriving.rate_lately(),
            narrow,
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
            if self.prober.was_saturated() {
                self.rate.refute(proved);
            }
        }
        self.rate.limit(self.config.estimate_max_bps as f64);
        self.consider_probe(now_us);
    }

    /// Keeps the shortest way in mind; what is longer is queue.
    fn note_way(&mut self, now_us: i64, told: &Told) {
        let way_us = told.way_us;
        if now_us - self.base_since_us > BASE_US {
            self.base = [i64::MAX, self.base[0]];
            self.base_since_us = now_us;
        }
        self.base[0] = self.base[0].min(way_us);
        let base = self.base[0].min(self.base[1]);
        (self.queue_us, self.last_queue_us) = (way_us - base, told.last_way_us - base);
    }

    /// Forgets the shortest way when what looks like a queue is none.
    fn consider_detour(&mut self, now_us: i64, told: &Told, sending: f64) {
        let look = detour::Look {
            now_us,
            way_us: told.way_us,
            queue_us: self.queue_us,
            queued: self.queue_us > QUEUE_US,
            sending_bps: sending,
            arriving_bps: self.arriving.rate().unwrap_or(0.0),
            calm: self.loss.is_calm(),
        };
        let Some(before) = self.detour.found(&look) else { return };
        self.base = [told.way_us; 2];
        self.base_since_us = now_us;
        (self.queue_us, self.last_queue_us) = (0, told.last_way_us - told.way_us);
        // What was learnt from it is wrong.
        self.standing = StandingQueue::new();
        self.prober.begin_anew();
        self.rate.forget_capacity();
        self.rate.prove(before * AFTER_DETOUR);
    }

    /// Which part of the rate may be sent while a queue drains.
    fn drain(&self, now_us: i64) -> f64 {
        match self.rate.decreased_us() {
            Some(at) if now_us - at < DRAIN_US => {
                let fell = self.rate.fallen_us().is_some_and(|at| now_us - at < DRAIN_US);
                let (queue_us, all_us) = if fell { (self.last_queue_us, DRAIN_ALL_NARROW_US) } else { (self.queue_us, DRAIN_ALL_US) };
                (1.0 - (queue_us - QUEUE_US).max(0) as f64 / all_us).max(DRAIN_LEAST)
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

/// What a feedback says of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Word {
    Missing,
    /// `at_us`: by the client's clock; `None` when that was too long before.
    Arrived {
        at_us: Option<i64>,
    },
}

/// What one feedback told.
struct Told {
    over: bool,
    /// The shortest way of a packet, between two clocks.
    way_us: i64,
    last_way_us: i64,
    /// Of packets that had waited: arrival of the first and the last, and the bytes of all but the first.
    waited: Option<(i64, i64, u64)>,
    last_sent_us: i64,
}

impl Told {
    const NOTHING: Self = Self { over: false, way_us: i64::MAX, last_way_us: 0, waited: None, last_sent_us: i64::MIN };

    fn waited(&mut self, arrived_us: i64, len: u16) {
        self.waited = Some(match self.waited {
            None => (arrived_us, arrived_us, 0),
            Some((first, last, bytes)) => (first.min(arrived_us), last.max(arrived_us), bytes + u64::from(len)),
        });
    }

    /// How fast packets left the queue, in bits per second.
    fn passing(&self) -> Option<f64> {
        let (first, last, bytes) = self.waited.filter(|(first, last, _)| last - first >= WAITED_STRETCH_US)?;
        Some(bytes as f64 * 8e6 / (last - first) as f64)
    }
}

#[cfg(test)]
mod tests;

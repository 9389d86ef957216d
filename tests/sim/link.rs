//! One direction of a way through the network.
//!
//! ```text
//! send ─► loss, bursts of loss ─► queue of bytes ─► bottleneck ─► delay, jitter, overtaking, doubling ─► arrival times
//! ```
//! Nothing waits here: when a packet is sent, everything that will become of it is known.

use std::collections::VecDeque;
use std::time::Duration;

use crate::dice::Dice;

/// What the way is like during one phase.
#[derive(Clone, Debug)]
pub struct Conditions {
    /// Propagation, one way.
    pub delay: Duration,
    /// Added to it, wandering between zero and this. Order is kept.
    pub jitter: Duration,
    /// Each packet by itself, 0.0..=1.0.
    pub loss: f64,
    pub bursts: Option<Bursts>,
    pub duplicated: f64,
    /// Packets that are held up for `overtaken_by`, so that others pass them.
    pub overtaken: f64,
    pub overtaken_by: Duration,
    /// `None`: as fast as you like.
    pub rate_bps: Option<u64>,
    /// What waits for the bottleneck at most; what comes then is dropped.
    pub queue_bytes: usize,
}

/// Gilbert and Elliott: a good state, and a bad one in which much is lost.
#[derive(Clone, Copy, Debug)]
pub struct Bursts {
    /// For each packet in the good state, to become bad.
    pub begin: f64,
    /// For each packet in the bad state, to become good.
    pub end: f64,
    /// In the bad state.
    pub loss: f64,
}

impl Default for Conditions {
    fn default() -> Self {
        Self {
            delay: Duration::from_millis(20),
            jitter: Duration::ZERO,
            loss: 0.0,
            bursts: None,
            duplicated: 0.0,
            overtaken: 0.0,
            overtaken_by: Duration::from_millis(15),
            rate_bps: None,
            queue_bytes: 64_000,
        }
    }
}

impl Conditions {
    pub fn delayed(ms: u64) -> Self {
        Self { delay: Duration::from_millis(ms), ..Self::default() }
    }

    pub fn lossy(ms: u64, loss: f64) -> Self {
        Self { loss, ..Self::delayed(ms) }
    }

    /// A bottleneck whose queue holds as much as passes in 300 ms.
    pub fn narrow(ms: u64, rate_bps: u64) -> Self {
        Self { rate_bps: Some(rate_bps), queue_bytes: (rate_bps as usize * 3 / 80).max(6_000), ..Self::delayed(ms) }
    }
}

/// What passed in a tenth of a second.
#[derive(Clone, Copy, Debug, Default)]
pub struct Passed {
    /// Through the bottleneck, IP and UDP headers included.
    pub bytes: usize,
    pub lost: usize,
    /// Longest wait for the bottleneck.
    pub queued: Duration,
}

#[derive(Debug)]
pub struct Link {
    /// Conditions by the time from which they hold; the first from the beginning.
    phases: Vec<(Duration, Conditions)>,
    dice: Dice,
    bad: bool,
    /// When the bottleneck has sent everything that came so far.
    free_at: Duration,
    /// What waits: when it will have left, and its length.
    queue: VecDeque<(Duration, usize)>,
    queued_bytes: usize,
    last_arrival: Duration,
    /// Jitter now and where it wanders to.
    wander: (f64, f64, Duration),
    pub passed: Vec<Passed>,
}

/// IPv4 and UDP.
const HEADERS: usize = 28;

impl Link {
    pub fn new(phases: Vec<(Duration, Conditions)>, dice: Dice) -> Self {
        assert!(phases.first().is_some_and(|(from, _)| from.is_zero()), "the first phase starts at the beginning");
        Self {
            phases,
            dice,
            bad: false,
            free_at: Duration::ZERO,
            queue: VecDeque::new(),
            queued_bytes: 0,
            last_arrival: Duration::ZERO,
            wander: (0.0, 0.0, Duration::ZERO),
            passed: Vec::new(),
        }
    }

    pub fn conditions(&self, at: Duration) -> &Conditions {
        let next = self.phases.partition_point(|(from, _)| *from <= at);
        &self.phases[next.saturating_sub(1)].1
    }

    /// When what is sent now arrives: never, once, or twice.
    pub fn send(&mut self, now: Duration, len: usize) -> [Option<Duration>; 2] {
        let now_is = self.conditions(now).clone();
        let len = len + HEADERS;
        let lost = self.lose(&now_is);
        let left = if lost { None } else { self.pass_bottleneck(now, len, &now_is) };
        let slot = self.slot(now);
        let Some(left) = left else {
            slot.lost += 1;
            return [None, None];
        };
        slot.queued = slot.queued.max(left - now);
        self.slot(left).bytes += len;
        let first = self.travel(left, &now_is);
        let second = self.dice.chance(now_is.duplicated).then(|| first + self.dice.ms(0, 10));
        [Some(first), second]
    }

    /// Everything that passed between two times.
    pub fn between(&self, from: Duration, to: Duration) -> impl Iterator<Item = &Passed> {
        let slot = |at: Duration| (at.as_millis() / 100) as usize;
        self.passed.iter().take(slot(to)).skip(slot(from))
    }

    pub fn rate_bps(&self, from: Duration, to: Duration) -> f64 {
        self.between(from, to).map(|it| it.bytes).sum::<usize>() as f64 * 8.0 / (to - from).as_secs_f64()
    }

    /// Longest wait for the bottleneck of all packets that came between two times.
    pub fn queued(&self, from: Duration, to: Duration) -> Duration {
        self.between(from, to).map(|it| it.queued).max().unwrap_or_default()
    }

    /// The wait that the longest of each tenth of a second exceeds a twentieth of the time.
    pub fn queued_p95(&self, from: Duration, to: Duration) -> Duration {
        let mut waits: Vec<Duration> = self.between(from, to).map(|it| it.queued).collect();
        waits.sort_unstable();
        waits.get(waits.len() * 95 / 100).copied().unwrap_or_default()
    }

    fn lose(&mut self, conditions: &Conditions) -> bool {
        let mut lost = self.dice.chance(conditions.loss);
        if let Some(bursts) = conditions.bursts {
            self.bad = if self.bad { !self.dice.chance(bursts.end) } else { self.dice.chance(bursts.begin) };
            lost |= self.bad && self.dice.chance(bursts.loss);
        }
        lost
    }

    /// When the last bit is through; `None` when the queue is full.
    fn pass_bottleneck(&mut self, now: Duration, len: usize, conditions: &Conditions) -> Option<Duration> {
        while let Some(&(_, len)) = self.queue.front().filter(|(left, _)| *left <= now) {
            self.queue.pop_front();
            self.queued_bytes -= len;
        }
        let waits = self.free_at > now;
        if conditions.rate_bps.is_none() && !waits {
            return Some(now);
        }
        if waits && self.queued_bytes + len > conditions.queue_bytes {
            return None;
        }
        let left = self.finished(self.free_at.max(now), len);
        self.free_at = left;
        self.queue.push_back((left, len));
        self.queued_bytes += len;
        Some(left)
    }

    /// When `len` bytes are sent that begin at `from`, as the rate changes.
    fn finished(&self, from: Duration, len: usize) -> Duration {
        let (mut at, mut bits) = (from, len as f64 * 8.0);
        loop {
            let next = self.phases.iter().map(|(from, _)| *from).find(|from| *from > at);
            let Some(rate) = self.conditions(at).rate_bps else { return at };
            let takes = Duration::from_secs_f64(bits / rate as f64);
            match next {
                Some(next) if at + takes > next => {
                    bits -= (next - at).as_secs_f64() * rate as f64;
                    at = next;
                }
                _ => return at + takes,
            }
        }
    }

    fn travel(&mut self, left: Duration, conditions: &Conditions) -> Duration {
        let jitter = conditions.jitter.mul_f64(self.jitter(left));
        let arrival = left + conditions.delay + jitter;
        if self.dice.chance(conditions.overtaken) {
            return arrival + conditions.overtaken_by.mul_f64(self.dice.unit());
        }
        self.last_arrival = self.last_arrival.max(arrival);
        self.last_arrival
    }

    /// 0.0..=1.0, wandering.
    fn jitter(&mut self, at: Duration) -> f64 {
        let (from, to, until) = self.wander;
        if at >= until {
            self.wander = (to, self.dice.unit(), at + self.dice.ms(20, 150));
            return to;
        }
        let left = (until - at).as_secs_f64() / 0.15;
        to + (from - to) * left.min(1.0)
    }

    fn slot(&mut self, at: Duration) -> &mut Passed {
        let slot = (at.as_millis() / 100) as usize;
        if self.passed.len() <= slot {
            self.passed.resize(slot + 1, Passed::default());
        }
        &mut self.passed[slot]
    }
}

mod sim_link {
    use super::*;

    #[test]
    fn a_bottleneck_passes_its_rate_and_drops_the_rest() {
        let phases = vec![(Duration::ZERO, Conditions::narrow(20, 1_000_000)), (Duration::from_secs(2), Conditions::narrow(20, 500_000))];
        let mut link = Link::new(phases, Dice::new(1));
        let mut last = Duration::ZERO;
        for ms in 0..4000 {
            if let [Some(arrival), None] = link.send(Duration::from_millis(ms), 972) {
                assert!(arrival >= last, "order is kept");
                last = arrival;
            }
        }
        assert!((0.95..1.01).contains(&(link.rate_bps(Duration::from_secs(1), Duration::from_secs(2)) / 1e6)));
        assert!((0.45..0.51).contains(&(link.rate_bps(Duration::from_secs(3), Duration::from_secs(4)) / 1e6)));
        let queued = link.queued(Duration::from_secs(1), Duration::from_millis(1600));
        assert!((250..310).contains(&queued.as_millis()), "{queued:?}");
    }

    #[test]
    fn bursts_lose_as_often_as_they_say() {
        let bursts = Bursts { begin: 0.02, end: 0.2, loss: 0.5 };
        let phases = vec![(Duration::ZERO, Conditions { bursts: Some(bursts), ..Conditions::default() })];
        let mut link = Link::new(phases, Dice::new(2));
        let lost = (0..20_000).filter(|&us| link.send(Duration::from_micros(us), 100)[0].is_none()).count();
        assert!((800..1000).contains(&lost), "a tenth of the time is bad and loses half: {lost}");
    }
}

//! Whether queues grow on the way: the delay of groups of packets against each other (draft-ietf-rmcat-gcc-02 section 5, with a line
//! through the last delays in place of the Kalman filter).

/// Packets sent within so much count as one: they left as a burst.
const BURST_US: i64 = 5_000;
/// What a link that stood still lets go at once is one burst, but no longer than this.
const BURST_MAX_US: i64 = 100_000;
/// A step of the arrival clock above this is none of the network.
const STEP_MAX_US: i64 = 3_000_000;
/// Delays that the line goes through.
const POINTS: usize = 20;
/// The first line.
const POINTS_MIN: usize = 10;
const SMOOTHING: f64 = 0.9;
/// Makes the slope comparable with the threshold: as many deltas, and a gain.
const DELTAS_MAX: f64 = 60.0;
const GAIN: f64 = 4.0;
/// The threshold follows the slope, slowly up and quickly down, so that neither jitter nor a greedy neighbour starves us.
const THRESHOLD_START: f64 = 12.5;
const THRESHOLD_UP: f64 = 0.0087;
const THRESHOLD_DOWN: f64 = 0.039;
const THRESHOLD_STEP_MAX: f64 = 15.0;
/// Growth must last for so long, in ms.
const OVERUSE_MS: f64 = 10.0;

/// What the queues do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Usage {
    Normal,
    /// They grow.
    Over,
    /// They drain.
    Under,
}

#[derive(Clone, Copy, Debug)]
struct Group {
    first_sent: i64,
    last_sent: i64,
    first_arrived: i64,
    last_arrived: i64,
}

/// Reads arrivals in order of departure and says what the queues do.
#[derive(Debug)]
pub struct DelayDetector {
    current: Option<Group>,
    previous: Option<Group>,
    accumulated_ms: f64,
    smoothed_ms: f64,
    /// Arrival time and smoothed delay, in ms.
    points: [(f64, f64); POINTS],
    count: usize,
    deltas: f64,
    origin_us: i64,
    threshold: f64,
    threshold_at_us: i64,
    /// How long the slope has been above the threshold, in ms of sending, and in how many groups.
    over_ms: f64,
    over_count: u32,
    slope_before: f64,
    usage: Usage,
}

impl DelayDetector {
    pub const fn new() -> Self {
        Self {
            current: None,
            previous: None,
            accumulated_ms: 0.0,
            smoothed_ms: 0.0,
            points: [(0.0, 0.0); POINTS],
            count: 0,
            deltas: 0.0,
            origin_us: 0,
            threshold: THRESHOLD_START,
            threshold_at_us: 0,
            over_ms: 0.0,
            over_count: 0,
            slope_before: 0.0,
            usage: Usage::Normal,
        }
    }

    pub const fn usage(&self) -> Usage {
        self.usage
    }

    /// A packet left and arrived, each by its own clock.
    pub fn arrived(&mut self, sent_us: i64, arrived_us: i64) {
        let Some(group) = &mut self.current else {
            self.begin(sent_us, arrived_us);
            return;
        };
        if sent_us < group.first_sent {
            return; // Overtaken; it says nothing about its successors.
        }
        let since_last = arrived_us - group.last_arrived;
        let faster = since_last < sent_us - group.last_sent;
        let bunched = since_last <= BURST_US && faster && arrived_us - group.first_arrived < BURST_MAX_US;
        if sent_us - group.first_sent <= BURST_US || bunched {
            group.last_sent = group.last_sent.max(sent_us);
            group.last_arrived = group.last_arrived.max(arrived_us);
            return;
        }
        let (ended, before) = (*group, self.previous);
        if let Some(before) = before {
            let sent_delta = ended.last_sent - before.last_sent;
            let arrived_delta = ended.last_arrived - before.last_arrived;
            if arrived_delta.abs() > STEP_MAX_US + sent_delta {
                let threshold = self.threshold;
                *self = Self { threshold, ..Self::new() };
                self.begin(sent_us, arrived_us);
                return;
            }
            if arrived_delta >= 0 {
                self.step(sent_delta as f64 / 1e3, arrived_delta as f64 / 1e3, ended.last_arrived);
            }
        }
        self.previous = Some(ended);
        self.begin(sent_us, arrived_us);
    }

    const fn begin(&mut self, sent_us: i64, arrived_us: i64) {
        self.current = Some(Group { first_sent: sent_us, last_sent: sent_us, first_arrived: arrived_us, last_arrived: arrived_us });
    }

    fn step(&mut self, sent_ms: f64, arrived_ms: f64, at_us: i64) {
        if self.deltas == 0.0 {
            self.origin_us = at_us;
        }
        self.deltas = (self.deltas + 1.0).min(DELTAS_MAX);
        self.accumulated_ms += arrived_ms - sent_ms;
        self.smoothed_ms = SMOOTHING * self.smoothed_ms + (1.0 - SMOOTHING) * self.accumulated_ms;
        self.points[self.count % POINTS] = ((at_us - self.origin_us) as f64 / 1e3, self.smoothed_ms);
        self.count += 1;
        let points = self.points.get(..self.count).unwrap_or(&self.points);
        let slope = if points.len() >= POINTS_MIN { slope(points).unwrap_or(self.slope_before) } else { 0.0 };
        self.judge(slope, sent_ms, at_us);
        self.slope_before = slope;
    }

    fn judge(&mut self, slope: f64, sent_ms: f64, at_us: i64) {
        let growth = slope * self.deltas * GAIN;
        if growth > self.threshold {
            self.over_ms += if self.over_count == 0 { sent_ms / 2.0 } else { sent_ms };
            self.over_count += 1;
            if self.over_ms > OVERUSE_MS && self.over_count > 1 && slope >= self.slope_before {
                (self.over_ms, self.over_count) = (0.0, 0);
                self.usage = Usage::Over;
            }
        } else {
            (self.over_ms, self.over_count) = (0.0, 0);
            self.usage = if growth < -self.threshold { Usage::Under } else { Usage::Normal };
        }
        let ms = ((at_us - self.threshold_at_us) as f64 / 1e3).clamp(0.0, 100.0);
        self.threshold_at_us = at_us;
        if growth.abs() <= self.threshold + THRESHOLD_STEP_MAX {
            let gain = if growth.abs() < self.threshold { THRESHOLD_DOWN } else { THRESHOLD_UP };
            self.threshold = (self.threshold + gain * (growth.abs() - self.threshold) * ms).clamp(6.0, 600.0);
        }
    }
}

/// Of the line with the least squares; `None` when all points have one time.
fn slope(points: &[(f64, f64)]) -> Option<f64> {
    let count = points.len() as f64;
    let (x, y) = points.iter().fold((0.0, 0.0), |sum, point| (sum.0 + point.0 / count, sum.1 + point.1 / count));
    let (over, under) = points.iter().fold((0.0, 0.0), |sum, point| {
        let distance = point.0 - x;
        (sum.0 + distance * (point.1 - y), sum.1 + distance * distance)
    });
    (under > 0.0).then(|| over / under)
}

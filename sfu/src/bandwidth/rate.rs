//! The rate that the delay allows: down at once to what gets through when queues grow, up slowly while they do not
//! (draft-ietf-rmcat-gcc-02 section 5.5).

use super::delay::Usage;

/// Of what gets through, when queues grow.
const DECREASE: f64 = 0.85;
/// A second, far from where it was too much.
const INCREASE: f64 = 0.08;
/// The rate is no more than this part of what arrives, and a little: beyond that nothing is proved.
const PROVED: f64 = 1.5;
const PROVED_MORE_BPS: f64 = 10_000.0;
/// A queue that is shorter than this may be the jitter of a path of which we use only a part.
const QUEUE_SURE_US: i64 = 80_000;
const PACKET_BITS: f64 = 9_600.0;

/// The moment of one look at the path. Rates in bits per second.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub now_us: i64,
    pub usage: Usage,
    /// What arrives, over half a second and over a quarter.
    pub arriving: Option<f64>,
    pub arriving_lately: Option<f64>,
    /// Much less is sent than could be.
    pub idle: bool,
    /// Loss speaks against more.
    pub may_grow: bool,
    pub rtt_us: i64,
    pub queue_us: i64,
}

#[derive(Debug)]
pub struct DelayRate {
    bps: f64,
    growing: bool,
    looked_us: Option<i64>,
    decreased_us: Option<i64>,
    /// What got through when queues last grew, smoothed, and its relative variance: the capacity of the link.
    capacity: Option<(f64, f64)>,
}

impl DelayRate {
    pub const fn new(bps: f64) -> Self {
        Self { bps, growing: true, looked_us: None, decreased_us: None, capacity: None }
    }

    pub const fn bps(&self) -> f64 {
        self.bps
    }

    pub const fn decreased_us(&self) -> Option<i64> {
        self.decreased_us
    }

    /// A probe proved that this much gets through.
    pub fn prove(&mut self, bps: f64) {
        if bps > self.bps {
            self.bps = bps;
            self.growing = true;
            self.capacity = self.capacity.filter(|&(capacity, _)| bps < capacity * 1.1);
        }
    }

    pub const fn limit(&mut self, bps: f64) {
        self.bps = self.bps.min(bps);
    }

    pub fn update(&mut self, look: &Look) {
        let passed = self.looked_us.map_or(0.0, |at| (look.now_us - at) as f64 / 1e6).clamp(0.0, 1.0);
        self.looked_us = Some(look.now_us);
        match look.usage {
            Usage::Over => {
                self.growing = false;
                self.decrease(look);
            }
            // Until they are empty.
            Usage::Under => self.growing = false,
            Usage::Normal if !self.growing => self.growing = true,
            Usage::Normal if look.may_grow => self.increase(look, passed),
            Usage::Normal => {}
        }
    }

    fn decrease(&mut self, look: &Look) {
        let Some(arriving) = look.arriving_lately.or(look.arriving) else { return };
        // What was decided shows after a round trip.
        let wait = look.rtt_us.clamp(20_000, 200_000) + 50_000;
        if self.decreased_us.is_some_and(|at| look.now_us - at < wait) && arriving > self.bps / 2.0 {
            return;
        }
        let mut bps = arriving * DECREASE;
        if look.idle && look.queue_us < QUEUE_SURE_US {
            // Little is sent, so that little arrives is no wonder.
            bps = bps.max(self.bps * DECREASE);
        } else {
            self.learn_capacity(arriving);
        }
        self.bps = self.bps.min(bps);
        self.decreased_us = Some(look.now_us);
    }

    fn learn_capacity(&mut self, arriving: f64) {
        self.capacity = Some(match self.capacity {
            Some((capacity, variance)) if (arriving - capacity).abs() < 3.0 * deviation(capacity, variance) => {
                let error = (capacity - arriving) / capacity;
                (0.95 * capacity + 0.05 * arriving, (0.95 * variance + 0.05 * error * error).clamp(0.000_4, 0.01))
            }
            Some(_) | None => (arriving, 0.002_5),
        });
    }

    fn increase(&mut self, look: &Look, passed: f64) {
        let Some(arriving) = look.arriving else { return };
        if let Some((capacity, variance)) = self.capacity
            && arriving > capacity + 3.0 * deviation(capacity, variance)
        {
            self.capacity = None; // It has grown.
        }
        let near = self.capacity.is_some_and(|(capacity, variance)| self.bps > capacity - 3.0 * deviation(capacity, variance));
        let more = if near { passed * PACKET_BITS / (0.1 + look.rtt_us as f64 / 1e6) } else { self.bps * INCREASE * passed };
        let proved = arriving * PROVED + PROVED_MORE_BPS;
        if self.bps < proved {
            self.bps = (self.bps + more).min(proved);
        }
    }
}

fn deviation(capacity: f64, variance: f64) -> f64 {
    capacity * variance.sqrt()
}

//! The rate that the delay allows: down at once to what gets through when queues grow, up slowly while they do not
//! (draft-ietf-rmcat-gcc-02 section 5.5).

use super::delay::Usage;

/// Of what gets through, when queues have grown long, and when they only begin to. Layers are steps: whoever gives up a tenth for
/// nothing gives up the best one.
const DECREASE: f64 = 0.85;
const DECREASE_LITTLE: f64 = 0.95;
/// What a queue that only begins can take at once.
const LITTLE: f64 = 0.92;
const LITTLE_WAIT_US: i64 = 300_000;
/// A second, far from where it was too much.
const INCREASE: f64 = 0.08;
/// The rate is no more than this part of what arrives, and a little: beyond that nothing is proved.
const PROVED: f64 = 1.5;
const PROVED_MORE_BPS: f64 = 10_000.0;
/// A queue that is shorter than this may be the jitter of a path of which we use only a part.
const QUEUE_SURE_US: i64 = 80_000;
const PACKET_BITS: f64 = 9_600.0;
/// Below this part of what it was, the rate has fallen because the link has, not because it was a little too much.
const FALL: f64 = 0.7;
/// What arrives is about the rate.
const NEAR: f64 = 0.8;

/// The moment of one look at the path. Rates in bits per second.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub now_us: i64,
    pub usage: Usage,
    /// What arrives, over half a second and over a quarter.
    pub arriving: Option<f64>,
    pub arriving_lately: Option<f64>,
    /// What a link that has become narrow lets through.
    pub narrow: Option<f64>,
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
    fallen_us: Option<i64>,
    /// What got through when queues last grew, smoothed, and its relative variance: the capacity of the link.
    capacity: Option<(f64, f64)>,
}

impl DelayRate {
    pub const fn new(bps: f64) -> Self {
        Self { bps, growing: true, looked_us: None, decreased_us: None, fallen_us: None, capacity: None }
    }

    pub const fn bps(&self) -> f64 {
        self.bps
    }

    pub const fn decreased_us(&self) -> Option<i64> {
        self.decreased_us
    }

    /// When it fell far.
    pub const fn fallen_us(&self) -> Option<i64> {
        self.fallen_us
    }

    /// A probe proved that this much gets through.
    pub fn prove(&mut self, bps: f64) {
        if bps > self.bps {
            self.bps = bps;
            self.growing = true;
            self.capacity = self.capacity.filter(|&(capacity, _)| bps < capacity * 1.1);
        }
    }

    /// A probe found that no more than this gets through. It was short, so a little of it is believed at a time.
    pub const fn refute(&mut self, bps: f64) {
        self.bps = self.bps.min(bps.max(self.bps * LITTLE));
    }

    pub const fn limit(&mut self, bps: f64) {
        self.bps = self.bps.min(bps);
    }

    /// When queues seemed to grow, there were none.
    pub const fn forget_capacity(&mut self) {
        (self.capacity, self.decreased_us, self.fallen_us) = (None, None, None);
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
        let Some(arriving) = look.narrow.or(look.arriving_lately).or(look.arriving) else { return };
        let long = look.narrow.is_some() || look.queue_us >= QUEUE_SURE_US;
        // What was decided shows after a round trip.
        let wait = if long { look.rtt_us.clamp(20_000, 200_000) + 50_000 } else { LITTLE_WAIT_US };
        if self.decreased_us.is_some_and(|at| look.now_us - at < wait) && (!long || arriving > self.bps / 2.0) {
            return;
        }
        let much = long && (arriving < self.bps * NEAR || look.queue_us >= 2 * QUEUE_SURE_US);
        let mut bps = arriving * if much { DECREASE } else { DECREASE_LITTLE };
        if long {
            self.learn_capacity(arriving);
        } else {
            // That little arrives is no wonder when little is sent.
            bps = bps.max(self.bps * LITTLE);
            if arriving > self.bps * NEAR {
                self.learn_capacity(arriving);
            }
        }
        if bps < self.bps * FALL {
            self.fallen_us = Some(look.now_us);
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

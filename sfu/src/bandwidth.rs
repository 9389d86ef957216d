//! How much the path to a subscriber carries, from what it tells of the packets that it got.
//!
//! ```text
//! sent ─► History ─┐
//! feedback ────────┴► arrivals ─► delay (queues that grow) ─┐
//!                               ► loss (more with more rate) ┴► estimate ─► budget
//! wanted ─► probes: short stretches of padding at a higher rate, whose arrival tells whether more fits
//! ```

mod config;

use std::time::{Duration, Instant};

pub use config::BandwidthConfig;

/// Until something tells the round trip.
const RTT_DEFAULT: Duration = Duration::from_millis(100);
/// What is told of the estimate changes by at least one part in so many …
const NEWS_PART: u64 = 10;
/// … and no more often than this.
const NEWS_INTERVAL: Duration = Duration::from_millis(300);

/// The bandwidth toward one participant.
#[derive(Debug)]
pub struct Estimator {
    config: BandwidthConfig,
    /// The client tells when packets arrived, or what it thinks it can be sent.
    measured: bool,
    wanted_bps: u64,
    rtt: Option<Duration>,
    told: Option<(Instant, u64)>,
}

impl Estimator {
    pub fn new(config: &BandwidthConfig) -> Self {
        Self { config: *config, measured: false, wanted_bps: 0, rtt: None, told: None }
    }

    /// What may be sent, in bits per second with headers: between the configured least and most. Before the first feedback it is the
    /// configured start; toward a client that gives no feedback it is the most.
    pub fn estimate_bps(&self) -> u64 {
        if self.measured { self.config.estimate_start_bps } else { self.config.estimate_max_bps }
    }

    /// Share of the packets that are lost on the way to the subscriber, 0 to 1, smoothed over some seconds.
    pub fn loss(&self) -> f32 {
        0.0
    }

    pub fn rtt(&self) -> Duration {
        self.rtt.unwrap_or(RTT_DEFAULT)
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
}

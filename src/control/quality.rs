//! What clients have told of how well they see and hear, added up for Prometheus.

use std::sync::{Mutex, PoisonError};

use pointsman_signal::news::{Sample, Scores};

use crate::engine::Histogram;

/// The bounds hold those of the words: below 3 is poor, below 3.8 fair.
const SCORES: [f64; 8] = [1.5, 2.0, 2.5, 3.0, 3.4, 3.8, 4.1, 4.4];
const SECONDS: [f64; 7] = [0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6];
const SHARES: [f64; 7] = [0.0, 0.001, 0.01, 0.03, 0.1, 0.3, 0.6];

/// Since the start.
#[derive(Clone, Debug)]
pub struct Totals {
    pub score: Histogram<8>,
    pub sound: Histogram<8>,
    pub pictures: Histogram<8>,
    pub round_trip: Histogram<7>,
    pub lost_uplink: Histogram<7>,
    pub lost_downlink: Histogram<7>,
    /// Share of the time in which pictures stood still.
    pub frozen: Histogram<7>,
}

impl Totals {
    fn new() -> Self {
        let (score, share) = (|| Histogram::new(SCORES), || Histogram::new(SHARES));
        let (score, sound, pictures) = (score(), score(), score());
        let (lost_uplink, lost_downlink, frozen) = (share(), share(), share());
        Self { score, sound, pictures, round_trip: Histogram::new(SECONDS), lost_uplink, lost_downlink, frozen }
    }

    fn add(&mut self, sample: &Sample) {
        let Scores { all, audio, video } = sample.score;
        let Sample { rtt_ms, loss_uplink, loss_downlink, frozen, .. } = sample;
        observe(&mut self.score, all);
        observe(&mut self.sound, audio);
        observe(&mut self.pictures, video);
        observe(&mut self.round_trip, rtt_ms.map(|ms| f64::from(ms) / 1e3));
        observe(&mut self.lost_uplink, *loss_uplink);
        observe(&mut self.lost_downlink, *loss_downlink);
        observe(&mut self.frozen, *frozen);
    }
}

fn observe<const N: usize>(histogram: &mut Histogram<N>, value: Option<f64>) {
    if let Some(value) = value {
        histogram.observe(value, 1);
    }
}

/// Shared by who writes and who is asked.
#[derive(Debug)]
pub struct Counters(Mutex<Totals>);

impl Default for Counters {
    fn default() -> Self {
        Self(Mutex::new(Totals::new()))
    }
}

impl Counters {
    pub fn add(&self, sample: &Sample) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).add(sample);
    }

    pub fn totals(&self) -> Totals {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// With a round trip of 30 ms.
    pub fn sample(all: Option<f64>, loss_downlink: Option<f64>) -> Sample {
        Sample {
            room: "r".into(),
            identity: "ann".into(),
            participant: "1".into(),
            client: Default::default(),
            score: Scores { all, ..Scores::default() },
            rtt_ms: Some(30),
            jitter_ms: None,
            loss_uplink: None,
            loss_downlink,
            frozen: None,
            estimate_bps: None,
            inbound: Vec::new(),
            outbound: Vec::new(),
        }
    }
}

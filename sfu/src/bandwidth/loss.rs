//! What loss says about the rate. Loss that is there whatever is sent is the link's own and borne; loss that comes with more
//! rate and goes with less is ours.

/// One observation takes at least so long and so many packets.
const OBSERVATION_US: i64 = 300_000;
const PACKETS_MIN: u32 = 40;
/// More of them tell whether a cut helped where there was not much loss.
const PACKETS_AFTER_CUT_MIN: u32 = 80;
/// With few packets it ends nevertheless.
const OBSERVATION_MAX_US: i64 = 2_000_000;
/// Loss beyond the link's own and beyond chance that makes the rate go down.
const EXCESS: f64 = 0.05;
/// What is believed of a link at most.
const INHERENT_MAX: f64 = 0.25;
/// After so long without knowing whose the loss is, less is sent to find out.
const UNEASY_US: i64 = 3_000_000;
/// Of what got through, the least that may be sent.
const THROUGH: f64 = 0.85;
/// A second, while loss allows.
const GROWTH: f64 = 0.15;

#[derive(Clone, Copy, Debug)]
struct Cut {
    sent_bps: f64,
    loss: f64,
    bound_bps: f64,
}

/// The moment of one look at the losses.
#[derive(Clone, Copy, Debug)]
pub struct LossLook {
    pub now_us: i64,
    /// What was sent, and what might have been.
    pub sent_bps: f64,
    pub estimate_bps: f64,
    pub rtt_us: i64,
    /// Packets wait on the way: a link that is full loses packets for that reason.
    pub queued: bool,
}

#[derive(Debug)]
pub struct LossBound {
    /// Infinite while loss says nothing.
    bps: f64,
    arrived: u32,
    lost: u32,
    since_us: i64,
    smoothed: f64,
    /// The link's own.
    inherent: f64,
    calm: bool,
    /// Since when it is not calm.
    uneasy_us: Option<i64>,
    /// The last time the rate went down: whether that helped is still to be seen.
    cut: Option<Cut>,
}

impl LossBound {
    pub const fn new() -> Self {
        Self { bps: f64::INFINITY, arrived: 0, lost: 0, since_us: 0, smoothed: 0.0, inherent: 0.0, calm: true, uneasy_us: None, cut: None }
    }

    pub const fn bps(&self) -> f64 {
        self.bps
    }

    pub const fn smoothed(&self) -> f64 {
        self.smoothed
    }

    /// Loss is no reason against more.
    pub const fn is_calm(&self) -> bool {
        self.calm
    }

    /// Nothing has been told for a while; a few times a second.
    pub fn forget(&mut self) {
        self.smoothed *= 0.9;
        (self.calm, self.uneasy_us) = (true, None);
    }

    /// A probe proved that this much gets through.
    pub fn prove(&mut self, bps: f64) {
        if self.calm {
            self.bps = self.bps.max(bps);
        }
    }

    pub fn arrived(&mut self, sent_us: i64, was_missing: bool) {
        if sent_us >= self.since_us {
            self.arrived += 1;
            self.lost -= u32::from(was_missing && self.lost > 0);
        }
    }

    pub fn lost(&mut self, sent_us: i64) {
        self.lost += u32::from(sent_us >= self.since_us);
    }

    /// Looks whether an observation is complete and what it says.
    pub fn update(&mut self, look: &LossLook) {
        let LossLook { now_us, rtt_us, .. } = *look;
        let (passed, count) = (now_us - self.since_us, self.arrived + self.lost);
        let judging = self.cut.is_some_and(|cut| cut.loss < 0.3);
        let complete = passed >= OBSERVATION_US + rtt_us && count >= if judging { PACKETS_AFTER_CUT_MIN } else { PACKETS_MIN };
        if !complete && passed < OBSERVATION_MAX_US {
            return;
        }
        let (seconds, lost) = ((passed as f64 / 1e6).min(2.0), self.lost);
        (self.arrived, self.lost, self.since_us) = (0, 0, now_us - rtt_us);
        if count == 0 {
            return;
        }
        let loss = f64::from(lost) / f64::from(count);
        self.smoothed += (loss - self.smoothed) * (seconds * 0.6).min(1.0);
        self.judge(look, loss, f64::from(count), seconds);
    }

    fn judge(&mut self, look: &LossLook, loss: f64, count: f64, seconds: f64) {
        let LossLook { now_us, sent_bps, estimate_bps, .. } = *look;
        if let Some(cut) = self.cut
            && sent_bps < cut.sent_bps * 0.93
        {
            self.cut = None;
            // If a full link did it, what got through then gets through now, too.
            let through = cut.sent_bps * (1.0 - cut.loss);
            let by_rate = (1.0 - through / sent_bps.max(1.0)).max(0.0);
            if !look.queued && loss > (cut.loss + by_rate) / 2.0 && loss <= INHERENT_MAX {
                // Less rate, no less loss: it is the link's own.
                self.inherent = (loss + cut.loss).min(2.0 * INHERENT_MAX) / 2.0;
                self.bps = cut.bound_bps;
            }
        }
        if self.inherent > 0.02 || loss < self.inherent {
            let follow = if loss < self.inherent / 2.0 { 0.4 } else { 0.05 };
            self.inherent = (self.inherent + (loss - self.inherent) * follow).min(INHERENT_MAX);
        }
        let likely = loss.max(self.inherent);
        // Beside a queue, chance is no likely reason.
        let chance = if look.queued { 0.5 } else { 2.0 } * (likely * (1.0 - likely) / count).sqrt();
        let excess = loss - self.inherent - chance;
        self.calm = loss - self.inherent - chance / 2.0 < 0.02;
        self.uneasy_us = if self.calm { None } else { self.uneasy_us.or(Some(now_us)) };
        // Whose loss it is, only less rate can tell.
        let trial = self.uneasy_us.is_some_and(|since| now_us - since > UNEASY_US);
        if excess > EXCESS || trial {
            let left = if excess > 0.2 { 1.0 - excess } else { (1.0 - excess / 2.0).min(0.85) };
            self.uneasy_us = None;
            self.cut = Some(Cut { sent_bps, loss, bound_bps: self.bps.min(estimate_bps) });
            let bound = self.bps.min(estimate_bps).min(sent_bps.max(estimate_bps * 0.5)) * left;
            // What got through gets through: when far too much is sent, almost all of it is lost, and the share says nothing of the path.
            let through = sent_bps * (1.0 - loss) * THROUGH;
            self.bps = bound.max(through.min(self.bps).min(estimate_bps));
            self.since_us = now_us; // What was sent before the cut says nothing of it.
        } else if self.calm && self.bps.is_finite() {
            self.bps *= 1.0 + GROWTH * seconds;
            if self.bps > estimate_bps * 2.0 {
                self.bps = f64::INFINITY;
            }
        }
    }
}

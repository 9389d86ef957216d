//! What loss and a very bad way do to pictures, slowly enough not to flap.

use std::time::{Duration, Instant};

use super::{BudgetConfig, Way};

#[derive(Clone, Debug, Default)]
pub struct Policy {
    /// Spatial layers by which pictures are smaller because of loss.
    pub loss_steps: u8,
    lossy_since: Option<Instant>,
    calm_since: Option<Instant>,
    /// No pictures at all.
    pub audio_only: bool,
    trouble_since: Option<Instant>,
    relief_since: Option<Instant>,
}

/// No publication has more spatial layers to lose.
const LOSS_STEPS_MAX: u8 = 3;

impl Policy {
    /// Loss above the bound takes a step down, loss above twice the bound two, and so on: what the link itself loses is repeated, and does
    /// not become less with smaller pictures. Half a bound below what took a step, it comes back.
    pub fn see_loss(&mut self, now: Instant, config: &BudgetConfig, loss: f32) {
        let bound = config.loss_max_percent as f32 / 100.0;
        if config.loss_max_percent == 0 {
            self.loss_steps = 0;
            return;
        }
        let taken = f32::from(self.loss_steps);
        since(&mut self.lossy_since, now, loss > bound * (taken + 1.0));
        since(&mut self.calm_since, now, loss < bound * (taken - 0.5));
        if self.loss_steps < LOSS_STEPS_MAX && lasts(self.lossy_since, now, config.loss_hold) {
            self.loss_steps += 1;
            self.lossy_since = None;
        } else if self.loss_steps > 0 && lasts(self.calm_since, now, config.loss_restore) {
            self.loss_steps -= 1;
            self.calm_since = Some(now);
        }
    }

    /// `least_bps` is what sound and one picture take.
    pub fn see_estimate(&mut self, now: Instant, config: &BudgetConfig, way: Way, least_bps: u64) {
        let estimate = way.estimate_bps.unwrap_or(u64::MAX);
        let lossy = config.loss_max_percent > 0 && way.loss * 100.0 > config.loss_max_percent as f32;
        let trouble = estimate < config.audio_only_below_bps && (lossy || way.congested);
        since(&mut self.trouble_since, now, trouble);
        // Without loss and delay a small estimate may be all that was asked of the way: it need not rise for pictures to come back.
        let roomy = least_bps.saturating_mul(100 + config.upgrade_headroom_percent) <= estimate.saturating_mul(100);
        since(&mut self.relief_since, now, !trouble && roomy);
        if !self.audio_only && lasts(self.trouble_since, now, config.audio_only_hold) {
            self.audio_only = true;
        } else if self.audio_only && lasts(self.relief_since, now, config.audio_only_restore) {
            self.audio_only = false;
        }
    }
}

/// Remembers since when something is so.
fn since(since: &mut Option<Instant>, now: Instant, so: bool) {
    *since = so.then(|| since.unwrap_or(now));
}

fn lasts(since: Option<Instant>, now: Instant, least: Duration) -> bool {
    since.is_some_and(|since| now.saturating_duration_since(since) >= least)
}

//! The layers that a publication has, and those of them that one subscription may have.

use super::Demand;
use crate::{LayerId, Preferences, Reason};

/// Layers of one publication that are told apart: four spatial with four temporal each.
pub const RUNGS_MAX: usize = 16;

/// One layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rung {
    pub id: LayerId,
    /// All that is sent for it, the layers below that it needs among it. 0: not measured yet.
    pub bitrate_bps: u32,
    /// 0: not known.
    pub width: u16,
    pub height: u16,
    /// It can be had: it comes, or would come again if somebody wanted it.
    pub active: bool,
}

/// A publication's layers from the lowest to the highest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ladder {
    rungs: [Rung; RUNGS_MAX],
    len: usize,
}

impl Ladder {
    /// Rungs must come in rising order; what does not, or does not fit, is left out.
    pub fn push(&mut self, rung: Rung) {
        let rises = self.rungs().last().is_none_or(|last| last.id < rung.id);
        if let Some(place) = self.rungs.get_mut(self.len)
            && rises
        {
            *place = rung;
            self.len += 1;
        }
    }

    pub fn rungs(&self) -> &[Rung] {
        &self.rungs[..self.len]
    }

    /// Positions of the layers for which something holds, one bit each.
    fn mask(&self, holds: impl Fn(&Rung) -> bool) -> u16 {
        self.rungs().iter().enumerate().filter(|(_, rung)| holds(rung)).fold(0, |mask, (at, _)| mask | 1 << at)
    }

    pub fn highest(&self) -> Option<&Rung> {
        self.rungs().iter().rfind(|rung| rung.active)
    }

    pub fn id_of(&self, at: usize) -> LayerId {
        self.rungs().get(at).map_or(LayerId::default(), |rung| rung.id)
    }

    /// Measured or, until it is, guessed from what browsers usually send.
    pub fn bitrate_of(&self, at: usize) -> u64 {
        match self.rungs().get(at) {
            Some(rung) if rung.bitrate_bps > 0 => u64::from(rung.bitrate_bps),
            Some(rung) => match rung.id.spatial {
                0 if self.len == 1 => 1_000_000,
                0 => 150_000,
                1 => 500_000,
                2.. => 1_500_000,
            },
            None => 0,
        }
    }

    /// What is sent for a layer; of one that is not there, what the best below it takes.
    pub fn bitrate_for(&self, id: LayerId) -> u64 {
        self.rungs().iter().rposition(|rung| rung.id <= id).map_or(0, |at| self.bitrate_of(at))
    }

    /// The smallest spatial layer whose picture covers the tile. `None`: no layer's size is known, or the tile's is not.
    fn covering(&self, preferences: &Preferences, tolerance_percent: u64) -> Option<u8> {
        let covers = |rung: &Rung| {
            let enough = |picture: u16, tile: u16| tile != 0 && u64::from(picture) * (100 + tolerance_percent) >= u64::from(tile) * 100;
            // Shown whole, a picture fills its tile in one direction; in the other there is more tile than picture.
            enough(rung.width, preferences.width) || enough(rung.height, preferences.height)
        };
        if preferences.width == 0 && preferences.height == 0 {
            return None;
        }
        self.rungs().iter().filter(|rung| rung.width > 0).find(|rung| covers(rung)).map(|rung| rung.id.spatial)
    }
}

/// What limits every subscription of a participant.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    pub tolerance_percent: u64,
    pub loss_steps: u8,
}

/// One subscription's way up its ladder. Positions are those in the ladder.
#[derive(Clone, Copy, Debug)]
pub struct Climb {
    /// Place of its demand.
    pub at: usize,
    allowed: u16,
    pub lowest: usize,
    pub highest: usize,
    pub taken: Option<usize>,
    /// A better one that its publisher does not send now, perhaps because nobody has wanted it.
    pub absent: Option<usize>,
    /// That, or one between, which would be taken if it were sent.
    pub wished: Option<usize>,
    /// Why there is nothing above the highest.
    pub reason: Reason,
}

impl Climb {
    /// `Err`: why there is nothing for it.
    pub fn new(at: usize, demand: &Demand, limits: Limits) -> Result<Self, Reason> {
        let (ladder, preferences) = (&demand.ladder, &demand.preferences);
        if !preferences.visible {
            return Err(Reason::Hidden);
        }
        let active = ladder.mask(|rung| rung.active);
        if active == 0 {
            return Err(Reason::Silent);
        }
        let max = preferences.layer_max;
        let mut limit = Narrowing { ladder, allowed: ladder.mask(|_| true), reason: Reason::Best };
        limit.narrow(Reason::Preference, |rung| rung.id.spatial <= max.spatial && rung.id.temporal <= max.temporal);
        let sent = limit.allowed & active;
        if sent == 0 {
            return Err(Reason::LayerAbsent);
        }
        if let Some(covering) = ladder.covering(preferences, limits.tolerance_percent) {
            limit.narrow_keeping(Reason::Viewport, |rung| rung.id.spatial <= covering);
        }
        // Text that cannot be read is worth nothing: a shared screen gives up one step less.
        let steps = limits.loss_steps.saturating_sub(u8::from(preferences.screen));
        if steps > 0 {
            // Counted from what is sent: a layer that never comes is no step.
            let counted = if limit.allowed & active == 0 { limit.allowed } else { limit.allowed & active };
            let lossless = ladder.id_of(top(counted)).spatial.saturating_sub(steps);
            limit.narrow_keeping(Reason::Loss, |rung| rung.id.spatial <= lossless);
        }
        let spatial = |at: usize| ladder.id_of(at).spatial;
        let allowed = match limit.allowed & active {
            // Better a picture that is too large than none.
            0 => sent & ladder.mask(|rung| rung.id.spatial == spatial(bottom(sent))),
            allowed => allowed,
        };
        let (lowest, highest, best) = (bottom(allowed), top(allowed), top(limit.allowed));
        let absent = spatial(best) > spatial(highest);
        let reason = if absent { Reason::LayerAbsent } else { limit.reason };
        let allowed = allowed & !coarse(ladder, preferences, lowest, highest);
        Ok(Self { at, allowed, lowest, highest, taken: None, absent: absent.then_some(best), wished: None, reason })
    }

    fn allows(&self, at: usize) -> bool {
        self.allowed & (1 << at) != 0
    }

    /// Where it may go from `taken`, the preferred first: on a shared screen sharpness goes before frame rate.
    pub fn next(&self, demand: &Demand, taken: usize) -> [Option<usize>; 2] {
        let above = || (taken + 1..demand.ladder.len).filter(|&at| self.allows(at));
        if !demand.preferences.screen {
            return [above().next(), None];
        }
        let spatial = |at: usize| demand.ladder.id_of(at).spatial;
        [above().find(|&at| spatial(at) > spatial(taken)), above().find(|&at| spatial(at) == spatial(taken))]
    }
}

/// Layers that are left out on the way up: a camera's larger picture at a quarter of its frame rate looks worse than the smaller one that
/// moves.
fn coarse(ladder: &Ladder, preferences: &Preferences, lowest: usize, highest: usize) -> u16 {
    if preferences.screen {
        return 0;
    }
    let smooth = |spatial: u8| ladder.rungs().iter().any(|rung| rung.id.spatial == spatial && rung.id.temporal >= 2);
    let first = ladder.id_of(lowest).spatial;
    let mut left_out = 0;
    for (at, rung) in ladder.rungs().iter().enumerate() {
        if rung.id.spatial > first && rung.id.temporal == 0 && at != highest && smooth(rung.id.spatial) {
            left_out |= 1 << at;
        }
    }
    left_out
}

/// Layers that are still allowed, one bit each, and what took away the highest last.
struct Narrowing<'a> {
    ladder: &'a Ladder,
    allowed: u16,
    reason: Reason,
}

impl Narrowing<'_> {
    fn narrow(&mut self, reason: Reason, passes: impl Fn(&Rung) -> bool) {
        let before = top(self.allowed);
        self.allowed &= self.ladder.mask(passes);
        if self.allowed == 0 || top(self.allowed) < before {
            self.reason = reason;
        }
    }

    /// As [`Narrowing::narrow`], but the lowest spatial layer there is stays.
    fn narrow_keeping(&mut self, reason: Reason, passes: impl Fn(&Rung) -> bool) {
        let lowest = self.ladder.id_of(bottom(self.allowed)).spatial;
        self.narrow(reason, |rung| passes(rung) || rung.id.spatial == lowest);
    }
}

/// The highest position in a set of them.
fn top(positions: u16) -> usize {
    (15 - positions.leading_zeros().min(15)) as usize
}

fn bottom(positions: u16) -> usize {
    positions.trailing_zeros() as usize
}

//! Shares the bandwidth toward one participant among its subscriptions.
//!
//! ```text
//! estimate, loss ─► policies (loss, sound only) ─┐
//! demands ─► ladder (what may be had) ───────────┴► sound ─► lowest pictures ─► better ones, by rank ─► shares
//! ```
//! Plain values in, plain values out: no packet, socket or clock is known here.

mod ladder;
mod policy;

use std::time::{Duration, Instant};

use crate::{Kind, LayerId, Preferences, Reason};
use ladder::{Climb, Limits, RUNGS_MAX};
pub use ladder::{Ladder, Rung};
use policy::Policy;

/// How the estimate is shared, and what happens when it is bad. Percentages are whole numbers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetConfig {
    /// Between two looks at one participant's shares, unless something changes before.
    pub interval: Duration,
    /// A better layer must fit with this much to spare, so that a noisy estimate does not make layers flap.
    pub upgrade_headroom_percent: u64,
    /// After a subscription had to go down, it goes up no sooner than this; twice as long each time that going up has failed.
    pub upgrade_hold: Duration,
    /// Most that the doubling leads to.
    pub upgrade_hold_max: Duration,
    /// How long the lowest layer that is on the wire stays although it does not fit: estimates dip, and a pause is a freeze.
    pub pause_hold: Duration,
    /// Between two steps up on the way back.
    pub upgrade_interval: Duration,
    /// A picture that is smaller than its tile by so much still counts as covering it.
    pub viewport_tolerance_percent: u64,
    /// Above this loss pictures get smaller by one step, above twice this loss by two, and so on; 0: never for that reason.
    pub loss_max_percent: u64,
    /// How long loss must last for a step down, and between two of them.
    pub loss_hold: Duration,
    /// How long loss must have been half of this below what took a step for a step back.
    pub loss_restore: Duration,
    /// With an estimate below this and loss or delay that do not end, only sound is sent; 0: only when no picture fits at all.
    pub audio_only_below_bps: u64,
    /// How long that must last.
    pub audio_only_hold: Duration,
    /// How long it must be over before pictures come back.
    pub audio_only_restore: Duration,
}

impl Default for BudgetConfig {
    fn default() -> Self {
        Self {
            interval: Duration::from_millis(200),
            upgrade_headroom_percent: 10,
            upgrade_hold: Duration::from_millis(2000),
            upgrade_hold_max: Duration::from_secs(10),
            pause_hold: Duration::from_millis(3000),
            upgrade_interval: Duration::from_millis(500),
            viewport_tolerance_percent: 20,
            loss_max_percent: 5,
            loss_hold: Duration::from_millis(2000),
            loss_restore: Duration::from_millis(5000),
            audio_only_below_bps: 500_000,
            audio_only_hold: Duration::from_millis(5000),
            audio_only_restore: Duration::from_millis(3000),
        }
    }
}

/// How the way to a participant is.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Way {
    /// In bits per second; `None`: nobody estimates it, so nothing is held back.
    pub estimate_bps: Option<u64>,
    /// Share of packets that were lost lately, 0 to 1.
    pub loss: f32,
    /// Its queue grows.
    pub congested: bool,
    /// It begins with a TCP connection that takes less than it was given.
    pub backlogged: bool,
}

/// One subscription, and in `share` what it gets.
#[derive(Clone, Debug)]
pub struct Demand {
    /// The caller's place for it.
    pub at: usize,
    pub kind: Kind,
    pub preferences: Preferences,
    pub ladder: Ladder,
    /// Its publisher is the dominant speaker.
    pub speaking: bool,
    /// Sound only: `false` while others are so much louder that it is not sent.
    pub audible: bool,
    /// The client tells which of its packets arrive.
    pub told: bool,
    pub held: Held,
    pub share: Share,
}

/// What is remembered of a subscription from one look to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held {
    pub target: Option<LayerId>,
    /// When the way made it go down to a smaller picture, and when to fewer.
    lowered: Option<Instant>,
    thinned: Option<Instant>,
    /// What it took before, when it had to become smaller.
    failed_bps: u64,
    raised: Option<Instant>,
    /// When it went up to a larger picture.
    grown: Option<Instant>,
    /// Since when not even the lowest layer fits.
    unfit: Option<Instant>,
    /// It went down because of the way and is not back yet: it goes up step by step.
    restoring: bool,
    /// How often going up has failed lately.
    relapses: u8,
}

/// What a subscription gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share {
    /// `None`: nothing.
    pub target: Option<LayerId>,
    /// What is asked of the publisher: the target, or a better one that is not sent and would fit.
    pub wish: Option<LayerId>,
    pub reason: Reason,
    /// What the target takes.
    pub bitrate_bps: u32,
}

impl Share {
    pub const NOTHING: Self = Self { target: None, wish: None, reason: Reason::Silent, bitrate_bps: 0 };
}

impl Demand {
    pub fn new(kind: Kind, preferences: Preferences, ladder: Ladder, held: Held) -> Self {
        Self { at: 0, kind, preferences, ladder, speaking: false, audible: true, told: true, held, share: Share::NOTHING }
    }

    /// Instead of its share, the largest picture that takes no more than this, or the smallest there is: a keyframe of it comes soon through
    /// a link that is full.
    pub fn take_small(&mut self, now: Instant, most_bps: u64) {
        let sent = || self.ladder.rungs().iter().filter(|rung| rung.active);
        let whole = |spatial: u8| sent().rfind(|rung| rung.id.spatial == spatial);
        let fits = |rung: &&Rung| u64::from(rung.bitrate_bps) <= most_bps && Some(rung.id) <= self.held.target;
        let Some(smallest) = sent().next() else { return };
        let fitting = (0..u8::MAX).take(RUNGS_MAX).filter_map(whole).rfind(fits);
        let Some(small) = fitting.or(whole(smallest.id.spatial)) else { return };
        self.held.target = Some(small.id);
        self.held.lowered = Some(now);
        self.held.restoring = true;
        let wish = Some(LayerId::new(small.id.spatial, self.preferences.layer_max.temporal));
        self.share = Share { target: Some(small.id), wish, bitrate_bps: small.bitrate_bps, ..self.share };
    }

    /// Who is served before whom: shared screens, then who speaks or is pinned, then the rest.
    fn class(&self) -> u8 {
        match self.preferences {
            Preferences { screen: true, .. } => 0,
            Preferences { pinned: true, .. } => 1,
            _ if self.speaking => 1,
            _ => 2,
        }
    }

    fn area(&self) -> u32 {
        u32::from(self.preferences.width) * u32::from(self.preferences.height)
    }
}

/// The room to spare for a layer, divided by this, is that for more pictures of the same size.
const THINNING: u64 = 3;

/// One participant's memory.
#[derive(Clone, Debug, Default)]
pub struct Budget {
    policy: Policy,
}

/// The demands of the participant that is looked at, in lists that are kept, so that a look allocates nothing.
#[derive(Debug, Default)]
pub struct Table {
    pub demands: Vec<Demand>,
    /// Pictures that want something, by rank.
    climbs: Vec<Climb>,
}

impl Table {
    pub fn clear(&mut self) {
        self.demands.clear();
        self.climbs.clear();
    }
}

/// A running sum against the estimate.
struct Purse {
    estimate: u64,
    spent: u64,
    headroom_percent: u64,
}

impl Purse {
    fn fits(&self, more: u64) -> bool {
        self.spent.saturating_add(more) <= self.estimate
    }

    fn fits_well(&self, more: u64) -> bool {
        self.fits_with(more, self.headroom_percent)
    }

    fn fits_with(&self, more: u64, headroom_percent: u64) -> bool {
        self.spent.saturating_add(more).saturating_mul(100 + headroom_percent) <= self.estimate.saturating_mul(100)
    }
}

impl Budget {
    /// Fills in every demand's share. Returns what everything that is wanted would take, in bits per second, for probing.
    pub fn divide(&mut self, now: Instant, config: &BudgetConfig, way: Way, table: &mut Table) -> u64 {
        let Table { demands, climbs } = table;
        climbs.clear();
        let mut purse =
            Purse { estimate: way.estimate_bps.unwrap_or(u64::MAX), spent: 0, headroom_percent: config.upgrade_headroom_percent };
        for demand in demands.iter_mut().filter(|demand| demand.kind == Kind::Audio) {
            demand.share = sound(demand);
            purse.spent += u64::from(demand.share.bitrate_bps);
        }
        let sound_bps = purse.spent;
        self.policy.see_loss(now, config, way.loss);
        for (at, demand) in demands.iter_mut().enumerate().filter(|(_, demand)| demand.kind == Kind::Video) {
            let limits = Limits { tolerance_percent: config.viewport_tolerance_percent, loss_steps: self.policy.loss_steps };
            match Climb::new(at, demand, limits) {
                Ok(climb) => climbs.push(climb),
                Err(reason) => {
                    let target = kept_open(demand, reason);
                    demand.share = Share { target, wish: target, reason, bitrate_bps: 0 };
                }
            }
        }
        let rank = |climb: &Climb| {
            let demand = &demands[climb.at];
            (demand.class(), std::cmp::Reverse((demand.area(), demand.preferences.priority)), climb.at)
        };
        climbs.sort_unstable_by_key(rank);
        let lowest_bps: u64 = climbs.iter().map(|climb| demands[climb.at].ladder.bitrate_of(climb.lowest)).sum();
        let least_bps = climbs.iter().map(|climb| demands[climb.at].ladder.bitrate_of(climb.lowest)).min().unwrap_or(0);
        self.policy.see_estimate(now, config, way, sound_bps + least_bps);
        if !self.policy.audio_only {
            share_lowest(now, config, demands, climbs, &mut purse);
            let told = demands.iter().any(|demand| demand.kind == Kind::Audio && demand.told && demand.share.bitrate_bps > 0);
            if !told && climbs.iter().all(|climb| climb.taken.is_none()) {
                try_one(now, config, demands, climbs, &mut purse);
            }
            share_better(now, config, demands, climbs, &mut purse);
            wish_for_absent(now, config, demands, climbs, &mut purse);
        }
        let pictures = climbs.iter().any(|climb| climb.taken.is_some());
        let narrow = if way.backlogged { Reason::Backlog } else { Reason::Estimate };
        for climb in climbs.iter() {
            let reason = match climb.taken {
                Some(taken) if taken == climb.highest => climb.reason,
                None if !pictures => Reason::AudioOnly,
                Some(_) | None => narrow,
            };
            finish(now, config, &mut demands[climb.at], climb, reason);
        }
        let wanted: u64 = match self.policy.audio_only {
            true => lowest_bps,
            false => climbs.iter().map(|climb| demands[climb.at].ladder.bitrate_of(climb.absent.unwrap_or(climb.highest))).sum(),
        };
        (sound_bps + wanted).saturating_mul(100 + config.upgrade_headroom_percent) / 100
    }
}

/// Sound comes first whatever the estimate says: a call without pictures is a call, one without sound is none.
fn sound(demand: &mut Demand) -> Share {
    let (target, reason) = match demand.audible {
        true => (demand.ladder.highest().map_or(Some(LayerId::default()), |rung| Some(rung.id)), Reason::Best),
        false => (None, Reason::NotSpeaking),
    };
    let bitrate_bps = target.and(demand.ladder.highest()).map_or(0, |rung| rung.bitrate_bps);
    demand.held.target = target;
    Share { target, wish: target, reason, bitrate_bps }
}

/// What is silent may come back as it was, or begin small: its first picture should not have to wait for the next look.
fn kept_open(demand: &mut Demand, reason: Reason) -> Option<LayerId> {
    if reason == Reason::Silent {
        return demand.held.target.or(Some(LayerId::new(0, demand.preferences.layer_max.temporal)));
    }
    demand.held.target = None;
    demand.held.restoring = false;
    None
}

/// Every picture gets its lowest layer before any gets a better one.
fn share_lowest(now: Instant, config: &BudgetConfig, demands: &mut [Demand], climbs: &mut [Climb], purse: &mut Purse) {
    for climb in climbs {
        let demand = &mut demands[climb.at];
        let cost = demand.ladder.bitrate_of(climb.lowest);
        let begins = demand.held.target.is_none() && demand.held.restoring;
        let fits = if begins { may_begin(now, config, &demand.held) && purse.fits_well(cost) } else { purse.fits(cost) };
        let unfit = (!fits && demand.held.target.is_some()).then(|| demand.held.unfit.unwrap_or(now));
        demand.held.unfit = unfit;
        if fits || unfit.is_some_and(|since| now.saturating_duration_since(since) < config.pause_hold) {
            purse.spent += cost;
            climb.taken = Some(climb.lowest);
        }
    }
}

/// Where nothing is sent of which the client tells, nothing is learnt of the way either, and it would stay bad for ever: now and then one picture is tried for as
/// long as one that does not fit may stay.
fn try_one(now: Instant, config: &BudgetConfig, demands: &mut [Demand], climbs: &mut [Climb], purse: &mut Purse) {
    let Some(climb) = climbs.first_mut() else { return };
    let held = &mut demands[climb.at].held;
    // What has waited since it came counts as lowered then.
    held.lowered = held.lowered.or(Some(now));
    held.restoring = true;
    if held.target.is_none() && may_rise(now, config, held, purse.estimate) {
        climb.taken = Some(climb.lowest);
        held.unfit = Some(now);
        purse.spent += demands[climb.at].ladder.bitrate_of(climb.lowest);
    }
}

/// Class by class, rounds in which each picture takes a step in the order of rank. A step that does not fit ends a climb, but not
/// those of others.
fn share_better(now: Instant, config: &BudgetConfig, demands: &[Demand], climbs: &mut [Climb], purse: &mut Purse) {
    let class = |climb: &Climb| demands[climb.at].class();
    for group in climbs.chunk_by_mut(|one, other| class(one) == class(other)) {
        let mut moved = true;
        while moved {
            moved = false;
            for climb in group.iter_mut() {
                moved |= take_step(now, config, &demands[climb.at], climb, purse);
            }
        }
    }
}

fn take_step(now: Instant, config: &BudgetConfig, demand: &Demand, climb: &mut Climb, purse: &mut Purse) -> bool {
    let Some(taken) = climb.taken else { return false };
    let before = demand.ladder.bitrate_of(taken);
    for next in climb.next(demand, taken).into_iter().flatten() {
        let more = demand.ladder.bitrate_of(next).saturating_sub(before);
        let kept = demand.held.target.is_some_and(|held| demand.ladder.id_of(next) <= held);
        // More pictures of one size can be had and given up again at any moment: they need less room to spare.
        let same_size = demand.held.target.is_some_and(|held| held.spatial >= demand.ladder.id_of(next).spatial);
        let headroom_percent = if same_size { purse.headroom_percent / THINNING } else { purse.headroom_percent };
        let fits =
            if kept { purse.fits(more) } else { may_climb(now, config, demand, next, purse) && purse.fits_with(more, headroom_percent) };
        if fits {
            purse.spent = (purse.spent + demand.ladder.bitrate_of(next)).saturating_sub(before);
            climb.taken = Some(next);
            return true;
        }
    }
    false
}

/// Publishers stop layers that nobody wants. One that would fit must be wanted before it can be seen; one that would not must not, or it
/// would come and go.
fn wish_for_absent(now: Instant, config: &BudgetConfig, demands: &[Demand], climbs: &mut [Climb], purse: &mut Purse) {
    for climb in climbs.iter_mut().filter(|climb| climb.taken == Some(climb.highest)) {
        let demand = &demands[climb.at];
        let Some(absent) = climb.absent else { continue };
        let more = |at: usize| demand.ladder.bitrate_of(at).saturating_sub(demand.ladder.bitrate_of(climb.highest));
        let would_fit = |at: usize| may_climb(now, config, demand, at, purse) && purse.fits_well(more(at));
        climb.wished = (climb.highest + 1..=absent).rev().find(|&at| would_fit(at));
        purse.spent += climb.wished.map_or(0, more);
    }
}

/// Whether a step above what it has had is due: at once, unless it is on its way back.
fn may_climb(now: Instant, config: &BudgetConfig, demand: &Demand, next: usize, purse: &Purse) -> bool {
    let held = &demand.held;
    if !held.restoring {
        return true;
    }
    let next = demand.ladder.id_of(next).spatial;
    match held.target {
        Some(had) if next <= had.spatial => passed(now, held.thinned.max(held.raised), config.upgrade_interval),
        had => may_rise(now, config, held, purse.estimate) && next <= had.map_or(0, |had| had.spatial + 1),
    }
}

/// A picture at all is waited for less patiently than a better one.
fn may_begin(now: Instant, config: &BudgetConfig, held: &Held) -> bool {
    held.lowered.is_none_or(|lowered| now.saturating_duration_since(lowered) >= config.upgrade_hold)
}

fn may_rise(now: Instant, config: &BudgetConfig, held: &Held, estimate_bps: u64) -> bool {
    // Where much more than what failed gets through, the way is another one.
    let other = held.failed_bps > 0 && estimate_bps.saturating_mul(2) > held.failed_bps.saturating_mul(3);
    let relapses = if other { 0 } else { held.relapses };
    passed(now, held.lowered, hold(config, relapses)) && passed(now, held.raised, config.upgrade_interval)
}

fn passed(now: Instant, since: Option<Instant>, least: Duration) -> bool {
    since.is_none_or(|since| now.saturating_duration_since(since) >= least)
}

fn hold(config: &BudgetConfig, relapses: u8) -> Duration {
    config.upgrade_hold.saturating_mul(1 << relapses.min(6)).min(config.upgrade_hold_max)
}

/// Writes the share and remembers what the next look needs.
fn finish(now: Instant, config: &BudgetConfig, demand: &mut Demand, climb: &Climb, reason: Reason) {
    let target = climb.taken.map(|taken| demand.ladder.id_of(taken));
    let bitrate_bps = climb.taken.map_or(0, |taken| demand.ladder.bitrate_of(taken) as u32);
    let held = &mut demand.held;
    let by_the_way = matches!(reason, Reason::Estimate | Reason::Backlog | Reason::AudioOnly | Reason::Loss);
    if target < held.target && by_the_way {
        if target.map(|it| it.spatial) == held.target.map(|it| it.spatial) {
            held.thinned = Some(now);
        } else {
            // What fails soon after it went up was too much; what fails later found another way.
            let failed = held.grown > held.lowered && !passed(now, held.grown, 2 * config.upgrade_hold);
            held.relapses = if failed { held.relapses.saturating_add(1) } else { 0 };
            held.lowered = Some(now);
            held.failed_bps = held.target.map_or(0, |before| demand.ladder.bitrate_for(before));
        }
        held.restoring = true;
    } else if target > held.target && (held.target.is_some() || held.restoring) {
        held.raised = Some(now);
        if target.map(|it| it.spatial) > held.target.map(|it| it.spatial) {
            held.grown = Some(now);
        }
    }
    held.restoring |= target.is_none() && by_the_way;
    if climb.taken == Some(climb.highest) && reason != Reason::Loss {
        held.restoring = false;
    }
    held.target = target;
    let wished = climb.wished.map(|at| demand.ladder.id_of(at).spatial);
    let wish = wished.map_or(target, |spatial| Some(LayerId::new(spatial, demand.preferences.layer_max.temporal)));
    demand.share = Share { target, wish, reason, bitrate_bps };
}

#[cfg(test)]
mod tests;

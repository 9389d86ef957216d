//! Gives each participant's downtracks their targets, and tells control what became of its wishes.

use std::time::{Duration, Instant};

use pointsman_wire::clock::Now;

use super::{Sfu, Timer, push_bounded};
use crate::budget::{Demand, Held, Ladder, Rung, Share, Way};
use crate::downtrack::Downtrack;
use crate::layers::SPATIAL_MAX;
use crate::publication::Publication;
use crate::speakers::Room;
use crate::{Config, Event, Kind, LayerId, ParticipantId, PublicationId, Quality, Reason};

/// What is remembered of a downtrack's share from one look to the next.
#[derive(Clone, Copy, Debug, Default)]
pub struct Subscribed {
    /// What all this is about.
    publication: Option<PublicationId>,
    held: Held,
    /// What control was told last, and when.
    told: Option<(Instant, Quality)>,
}

/// Between two events about one subscription.
const QUALITY_INTERVAL: Duration = Duration::from_millis(500);
/// Headers and authentication tags come on top of what is measured at the publisher.
const OVERHEAD_PERCENT: u64 = 5;
/// A queue of this length is trouble.
const QUEUE_MAX: Duration = Duration::from_millis(200);
/// An estimate that falls by so much is acted on at once.
const FALL_PERCENT: u64 = 5;
/// What is on the wire may take so much of the estimate while it waits for the keyframe of something smaller. What takes more fills queues,
/// in which that keyframe would wait, too.
const BEARABLE_PERCENT: u64 = 120;
/// What then comes takes no more than one part in so many of the estimate: a keyframe is as large as several pictures.
const KEYFRAME_PART: u64 = 2;

impl Sfu {
    pub(super) fn share_if_due(&mut self, now: Now, index: u32) {
        let Some(participant) = self.participants.get_mut(index as usize) else { return };
        if participant.share_due.is_some_and(|due| due <= now.mono) {
            participant.share_due = Some(now.mono + self.config.budget.interval);
            self.share(now, index);
        }
    }

    /// The look at one participant's shares.
    fn share(&mut self, now: Now, index: u32) {
        let Self { participants, publications, rooms, budget, config, desk, stats, events, .. } = self;
        let Some(participant) = participants.get_mut(index as usize) else { return };
        let room = rooms.find(participant.room).and_then(|at| rooms.get(at));
        participant.subscribed.resize(participant.downtracks.len(), Subscribed::default());
        budget.clear();
        let copies = participant.redundancy.look(now.mono, &config.redundancy, participant.bandwidth.loss());
        for (at, (downtrack, subscribed)) in participant.downtracks.iter_mut().zip(&mut participant.subscribed).enumerate() {
            downtrack.set_copies(copies);
            let publication = downtrack.publication.and_then(|it| publications.table.get(it as usize));
            let id = publication.map(|it| it.id);
            if subscribed.publication != id {
                *subscribed = Subscribed { publication: id, ..Subscribed::default() };
            }
            if let Some(publication) = publication {
                budget.demands.push(demand(at, downtrack, subscribed.held, publication, room));
            }
        }
        let estimate_bps = participant.bandwidth.estimate_bps();
        let congested = participant.bandwidth.queue() >= QUEUE_MAX;
        let backlogged = participant.bandwidth.is_backlogged(now.mono);
        let way = Way { estimate_bps: Some(estimate_bps), loss: participant.bandwidth.loss(), congested, backlogged };
        let wanted_bps = participant.budget.divide(now.mono, &config.budget, way, budget);
        participant.bandwidth.set_wanted(wanted_bps);
        participant.shared_bps = estimate_bps;
        let on_wire = |demand: &Demand| {
            let current = participant.downtracks.get(demand.at).and_then(Downtrack::current);
            current.map_or(0, |current| demand.ladder.bitrate_for(current))
        };
        let sent_bps: u64 = budget.demands.iter().map(on_wire).sum();
        let unbearable = sent_bps.saturating_mul(100) > estimate_bps.saturating_mul(BEARABLE_PERCENT);
        for demand in &mut budget.demands {
            let (Some(downtrack), Some(subscribed)) =
                (participant.downtracks.get_mut(demand.at), participant.subscribed.get_mut(demand.at))
            else {
                continue;
            };
            subscribed.held = demand.held;
            // Sound is stopped where it comes in, so that no word has to wait for a look.
            if demand.kind == Kind::Video && downtrack.wanted() != demand.share.wish {
                downtrack.set_target(demand.share.wish);
            }
            if unbearable {
                let from = downtrack.publication.and_then(|at| Some((at, publications.table.get(at as usize)?)));
                desk.wanted.extend(from.and_then(|from| shrink(now.mono, config, downtrack, demand, from, estimate_bps)));
                participant.catches_up |= downtrack.catches_up();
                subscribed.held = demand.held;
            }
            let quality = quality(downtrack, &demand.share, demand.kind);
            if let Some(event) = subscribed.news(now.mono, participant.id, quality) {
                push_bounded(events, config, stats, event);
            }
        }
    }

    /// A publication has a layer more: whoever receives it may get something better.
    pub(super) fn hasten_shares_of(&mut self, now: Now, publication: u32) {
        let Some(publication) = self.publications.table.get(publication as usize) else { return };
        for route in &publication.routes {
            let Some(participant) = self.participants.get_mut(route.participant as usize) else { continue };
            participant.share_due = Some(now.mono);
            if participant.connected && participant.timer.is_none_or(|timer| now.mono < timer) {
                participant.timer = Some(now.mono);
                self.wheel.insert(now.mono, Timer::Participant { index: route.participant, id: participant.id });
            }
        }
    }

    /// Makes the next look come at once if the estimate has fallen since the last.
    pub(super) fn hasten_share(&mut self, now: Now, index: u32) {
        let Some(participant) = self.participants.get_mut(index as usize) else { return };
        let fallen = participant.bandwidth.estimate_bps().saturating_mul(100) < participant.shared_bps.saturating_mul(100 - FALL_PERCENT);
        if fallen && participant.connected {
            participant.share_due = Some(now.mono);
            self.schedule(index);
        }
    }
}

/// Breaks off a picture that is too large and has a small one come next. Returns the keyframe that must be asked for.
fn shrink(
    now: Instant,
    config: &Config,
    downtrack: &mut Downtrack,
    demand: &mut Demand,
    (at, publication): (u32, &Publication),
    estimate_bps: u64,
) -> Option<(u32, u8)> {
    if !downtrack.must_shrink(now, publication) {
        return None;
    }
    downtrack.break_off(now);
    demand.take_small(now, estimate_bps / KEYFRAME_PART);
    downtrack.set_target(demand.share.wish);
    Some((at, downtrack.keyframe_wanted(now, publication, config)?))
}

fn demand(at: usize, downtrack: &Downtrack, held: Held, publication: &Publication, room: Option<&Room>) -> Demand {
    let spec = downtrack.spec();
    let mut demand = Demand::new(spec.kind, spec.preferences, ladder(publication, downtrack.times_sent()), held);
    demand.at = at;
    demand.told = downtrack.is_measured();
    if let Some(room) = room {
        match spec.kind {
            Kind::Audio => demand.audible = !(room.leaves_out(publication.id) && publication.rates().active().is_empty()),
            Kind::Video => demand.speaking = room.dominant().is_some() && room.dominant() == publication.publisher,
        }
    }
    demand
}

/// The layers that are sent, and those that could be: the SDP or the encoder names them, or they were seen before.
fn ladder(publication: &Publication, times_sent: u32) -> Ladder {
    let (mut ladder, rates) = (Ladder::default(), publication.rates());
    let mut sent = rates.active().iter().peekable();
    for spatial in 0..SPATIAL_MAX as u8 {
        let layout = &publication.layout;
        let (width, height) = layout.size(spatial).unwrap_or_default();
        let mut active = false;
        while let Some(id) = sent.next_if(|id| id.spatial == spatial) {
            // Before it has been measured, what its encoder aims at is the best guess.
            let bps = rates.of(id).filter(|bps| *bps > 0).unwrap_or_else(|| layout.aim_bps(id));
            ladder.push(Rung { id, bitrate_bps: with_overhead(bps).saturating_mul(times_sent), width, height, active: true });
            active = true;
        }
        if !active && layout.has(spatial) {
            let bitrate_bps = with_overhead(layout.aim_of_row_bps(spatial));
            ladder.push(Rung { id: LayerId::new(spatial, 0), bitrate_bps, width, height, active: false });
        }
    }
    ladder
}

fn with_overhead(bps: u32) -> u32 {
    u32::try_from(u64::from(bps) * (100 + OVERHEAD_PERCENT) / 100).unwrap_or(u32::MAX)
}

fn quality(downtrack: &Downtrack, share: &Share, kind: Kind) -> Quality {
    let current = downtrack.current().filter(|_| kind == Kind::Video || share.target.is_some());
    let awaited = kind == Kind::Video && share.bitrate_bps > 0 && downtrack.awaits_keyframe() && current < share.target;
    let reason = if awaited { Reason::AwaitingKeyframe } else { share.reason };
    Quality { current, target: share.target, bitrate_bps: share.bitrate_bps, reason }
}

impl Subscribed {
    /// What control is told: that something else is sent, or for another reason. How much it takes changes all the time.
    fn news(&mut self, now: Instant, participant: ParticipantId, quality: Quality) -> Option<Event> {
        let publication = self.publication?;
        let same = |told: &Quality| (told.current, told.target, told.reason) == (quality.current, quality.target, quality.reason);
        let soon = |at: Instant| now.saturating_duration_since(at) < QUALITY_INTERVAL;
        if self.told.is_some_and(|(at, told)| same(&told) || soon(at)) {
            return None;
        }
        self.told = Some((now, quality));
        Some(Event::Quality { participant, publication, quality })
    }
}

//! Which of a publication's layers anybody wants: a publisher need not encode and send what nobody does.
//!
//! ```text
//! preferences ─► each shard's highest ─► (mesh) ─► the publisher's shard: highest of all ─► event
//! ```

use std::time::Instant;

use pointsman_wire::clock::Now;
use pointsman_wire::net::ShardId;

use super::Sfu;
use crate::publication::{LAYERS_MAX, Origin, Publication, Route};
use crate::{DropReason, Egress, Event, Kind, MeshMessage, Preferences};

/// What is wanted of a publication, and what its publisher was told. `None`: nothing.
#[derive(Debug)]
pub struct Wanted {
    /// Told last: to control on the publisher's shard, else to that shard.
    told: Option<u8>,
    /// Less has been wanted since.
    less_since: Option<Instant>,
    /// By shard, of those that have the packets.
    shards: Vec<(ShardId, Option<u8>)>,
}

const EVERYTHING: Option<u8> = Some(LAYERS_MAX as u8 - 1);

impl Wanted {
    /// A publisher sends everything until it is told.
    pub const fn new() -> Self {
        Self { told: EVERYTHING, less_since: None, shards: Vec::new() }
    }
}

impl Sfu {
    /// Looks at what is wanted of a publication, and tells if that is news: more at once, less when it has stayed so for a while.
    pub(super) fn note_wanted(&mut self, now: Now, at: u32, out: &mut impl Egress) {
        let Some(here) = self.wanted_here(at) else { return };
        let Some(publication) = self.publications.table.get_mut(at as usize) else { return };
        let wanted = &mut publication.wanted;
        match publication.origin {
            Origin::Unknown | Origin::Shard { asked: false, .. } => {}
            Origin::Shard { shard, asked: true } => {
                if here != wanted.told {
                    let message = MeshMessage::LayersWanted { publication: publication.id, shard: self.shard, spatial_max: here };
                    if out.to_shard(shard, message) {
                        wanted.told = here;
                    } else {
                        self.stats.drops.count(DropReason::MeshFull); // The next look tells it.
                    }
                }
            }
            Origin::Here(index) => {
                let of_shards = wanted.shards.iter().map(|(_, spatial_max)| *spatial_max).max().flatten();
                let all = here.max(of_shards).min(EVERYTHING);
                let since = wanted.less_since.filter(|_| all < wanted.told);
                wanted.less_since = if all < wanted.told { since.or(Some(now.mono)) } else { None };
                let due = since.is_some_and(|since| now.mono.saturating_duration_since(since) >= self.config.layer_unwanted_delay);
                if all <= wanted.told && !due {
                    if all < wanted.told {
                        self.watch(now, at);
                    }
                    return;
                }
                (wanted.told, wanted.less_since) = (all, None);
                let publication = publication.id;
                let Some(participant) = self.participants.get(index as usize) else { return };
                // Who is silent now may speak next, so sound is never stopped.
                let of = participant.receivers.iter().find(|it| it.publication == at);
                if of.is_some_and(|receiver| receiver.spec.kind == Kind::Video) {
                    let publisher = participant.id;
                    self.push_event(Event::LayersWanted { publisher, publication, spatial_max: all });
                }
            }
        }
    }

    /// A participant's preferences may have changed: its publications are looked at soon.
    pub(super) fn watch_wanted(&mut self, now: Now, index: u32) {
        for at in 0.. {
            let Some(downtrack) = self.participants.get(index as usize).and_then(|it| it.downtracks.get(at)) else { return };
            if let Some(publication) = downtrack.publication {
                self.watch(now, publication);
            }
        }
    }

    /// Another shard's subscribers want so much.
    pub(super) fn set_wanted(&mut self, now: Now, at: u32, shard: ShardId, spatial_max: Option<u8>, out: &mut impl Egress) {
        let Some(publication) = self.publications.table.get_mut(at as usize) else { return };
        let shards = &mut publication.wanted.shards;
        shards.retain(|(other, _)| *other != shard);
        if spatial_max.is_some() {
            shards.push((shard, spatial_max));
        }
        self.note_wanted(now, at, out);
    }

    /// The highest spatial layer that this shard's subscribers want.
    fn wanted_here(&self, at: u32) -> Option<Option<u8>> {
        let publication = self.publications.table.get(at as usize)?;
        let of_route = |route: &Route| {
            let downtrack = self.participants.get(route.participant as usize)?.downtracks.get(usize::from(route.downtrack))?;
            spatial_wanted(&downtrack.spec().preferences, publication, self.config.budget.viewport_tolerance_percent)
        };
        Some(publication.routes.iter().map(of_route).max().flatten())
    }
}

/// What a subscriber would be sent if nothing stood in the way: what its bandwidth does not bear now it may bear in a moment, and a layer that
/// is not sent cannot be gone up to.
fn spatial_wanted(preferences: &Preferences, publication: &Publication, tolerance_percent: u64) -> Option<u8> {
    let &Preferences { width, height, visible, layer_max, pinned: _, screen: _, priority: _ } = preferences;
    if !visible {
        return None;
    }
    let highest = layer_max.spatial.min(LAYERS_MAX as u8 - 1);
    let enough = |picture: u16, tile: u16| tile != 0 && u64::from(picture) * (100 + tolerance_percent) >= u64::from(tile) * 100;
    let covers = |spatial: &u8| publication.size(*spatial).is_some_and(|size| enough(size.0, width) || enough(size.1, height));
    Some((0..=highest).find(covers).unwrap_or(highest))
}

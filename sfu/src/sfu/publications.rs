//! The shard's table of publications, and how they come and go.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use pointsman_wire::clock::Now;
use pointsman_wire::net::ShardId;
use slab::Slab;

use super::{Sfu, Timer, Wanted};
use crate::gathered::Gathered;
use crate::publication::{LAYERS_MAX, Origin, Publication};
use crate::{DropReason, Egress, MeshMessage, ParticipantId, PublicationId, ReceiverSpec};

#[derive(Debug)]
pub(super) struct Publications {
    pub table: Slab<Publication>,
    by_id: HashMap<PublicationId, u32, FixedState>,
    publications_max: usize,
    /// Those with packets since the last flush.
    pub touched: Vec<u32>,
    /// Those packets.
    pub gathered: Gathered,
}

impl Publications {
    pub fn new(publications_max: usize, gathered_max: usize, seed: u64) -> Self {
        Self {
            table: Slab::new(),
            by_id: HashMap::with_hasher(FixedState::with_seed(seed)),
            publications_max,
            touched: Vec::with_capacity(gathered_max),
            gathered: Gathered::new(gathered_max),
        }
    }

    pub fn find(&self, id: PublicationId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    /// `None` when the table is full.
    pub fn get_or_insert(&mut self, id: PublicationId) -> Option<u32> {
        if let Some(at) = self.find(id) {
            return Some(at);
        }
        if self.table.len() >= self.publications_max {
            return None;
        }
        let at = self.table.insert(Publication::new(id)) as u32;
        self.by_id.insert(id, at);
        Some(at)
    }

    /// Removes a publication that nobody sends and nobody wants.
    pub fn remove_idle(&mut self, at: u32) {
        if self.table.get(at as usize).is_some_and(Publication::is_idle) {
            let publication = self.table.remove(at as usize);
            self.by_id.remove(&publication.id);
            self.touched.retain(|&touched| touched != at);
        }
    }
}

impl Sfu {
    /// A participant of this shard sends it from now on.
    pub(super) fn begin_publication(&mut self, index: u32, publisher: ParticipantId, receiver: ReceiverSpec) {
        let full =
            self.participants.get(index as usize).is_none_or(|it| it.receivers.len() >= self.config.publications_per_participant_max);
        let at = if full { None } else { self.publications.get_or_insert(receiver.publication) };
        let Some(at) = at else {
            self.stats.drops.count(DropReason::PublicationsMax);
            return;
        };
        let publication = &mut self.publications.table[at as usize];
        publication.publisher = Some(publisher);
        publication.origin = Origin::Here(index);
        self.participants[index as usize].begin(receiver, at);
    }

    /// How many layers the SDP gives a participant's publications may have changed.
    pub(super) fn describe_layers(&mut self, now: Now, index: u32, out: &mut impl Egress) {
        for place in 0.. {
            let Some(receiver) = self.participants.get(index as usize).and_then(|it| it.receivers.get(place)) else { return };
            let (at, streams) = (receiver.publication, receiver.spec.rids.len().max(receiver.spec.ssrcs.len()));
            let Some(publication) = self.publications.table.get_mut(at as usize) else { continue };
            if publication.layout.set_streams(streams) {
                self.send_layout(at, None, out);
                self.hasten_shares_of(now, at);
            }
        }
    }

    /// Its m-line is gone. Whoever wants it still does, in case that it comes back.
    pub(super) fn end_publication(&mut self, at: u32) {
        let Some(publication) = self.publications.table.get_mut(at as usize) else { return };
        publication.origin = Origin::Unknown;
        publication.wanted = Wanted::new();
        publication.forget_packets();
        self.publications.remove_idle(at);
    }

    /// A publisher is gone for good: no shard waits for it any more.
    pub(super) fn forget_publisher(&mut self, publisher: ParticipantId) {
        let of = |publication: &Publication| publication.publisher == Some(publisher);
        let gone: Vec<u32> = self.publications.table.iter().filter(|(_, it)| of(it)).map(|(at, _)| at as u32).collect();
        for at in gone {
            let publication = &mut self.publications.table[at as usize];
            publication.origin = Origin::Unknown;
            publication.shards.clear();
            publication.forget_packets();
            self.publications.remove_idle(at);
        }
    }

    /// Its publications come through the mesh.
    pub(super) fn moved_elsewhere(&mut self, now: Now, publisher: ParticipantId, shard: ShardId, out: &mut impl Egress) {
        let awaited = |it: &Publication| it.publisher == Some(publisher) && it.origin == Origin::Unknown;
        let found: Vec<u32> = self.publications.table.iter().filter(|(_, it)| awaited(it)).map(|(at, _)| at as u32).collect();
        for at in found {
            self.publications.table[at as usize].origin = Origin::Shard { shard, asked: false };
            self.attach(at, out);
            self.watch(now, at);
        }
    }

    /// Asks the publisher's shard for the packets, if there is a wish for them here and it was not asked yet.
    pub(super) fn attach(&mut self, at: u32, out: &mut impl Egress) {
        let Some(publication) = self.publications.table.get_mut(at as usize) else { return };
        let Origin::Shard { shard, asked: false } = publication.origin else { return };
        if publication.routes.is_empty() {
            return;
        }
        let message = MeshMessage::Attach { publication: publication.id, shard: self.shard, wanted: true };
        if out.to_shard(shard, message) {
            publication.origin = Origin::Shard { shard, asked: true };
            publication.wanted = Wanted::new();
        } else {
            self.stats.drops.count(DropReason::MeshFull); // The look at the publication asks again.
        }
    }

    pub(super) fn detach(&mut self, at: u32, out: &mut impl Egress) {
        let Some(publication) = self.publications.table.get_mut(at as usize) else { return };
        let Origin::Shard { shard, asked: true } = publication.origin else { return };
        let message = MeshMessage::Attach { publication: publication.id, shard: self.shard, wanted: false };
        if out.to_shard(shard, message) {
            publication.origin = Origin::Shard { shard, asked: false };
        } else {
            self.stats.drops.count(DropReason::MeshFull); // Its next packet that nobody wants says so again.
        }
    }

    /// Starts looking at a publication's layers.
    pub(super) fn watch(&mut self, now: Now, at: u32) {
        let Some(publication) = self.publications.table.get_mut(at as usize) else { return };
        if !publication.watched {
            publication.watched = true;
            self.wheel.insert(now.mono + self.config.layer_look_interval, Timer::Publication(publication.id));
        }
    }

    pub(super) fn publication_due(&mut self, now: Now, id: PublicationId, out: &mut impl Egress) {
        let Some(at) = self.publications.find(id) else { return };
        self.publications.table[at as usize].watched = false;
        self.attach(at, out);
        self.note_wanted(now, at, out);
        for layer in 0..LAYERS_MAX as u8 {
            self.ask_for_keyframe(now, at, layer, out);
        }
        let publication = &mut self.publications.table[at as usize];
        let unasked = matches!(publication.origin, Origin::Shard { asked: false, .. }) && !publication.routes.is_empty();
        if publication.look(now.mono, &self.config) || unasked {
            self.watch(now, at);
        }
    }
}

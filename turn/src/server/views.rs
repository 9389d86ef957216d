//! What operators see.

use pointsman_wire::clock::Now;

use super::Server;
use crate::allocation::Allocation;
use crate::verdict::Output;
use crate::view::{AllocationId, AllocationView, Note, NoteKind};

impl Server {
    /// All allocations of this shard, for the operator's view: not on the packet path.
    pub fn allocations(&self, now: Now) -> impl Iterator<Item = AllocationView> {
        self.allocations.iter().map(move |(index, allocation)| AllocationView {
            id: self.id_of(index, allocation),
            client: allocation.client,
            username: allocation.username.clone(),
            realm: (&*allocation.realm).into(),
            transport: allocation.transport,
            relayed: allocation.relays.map(|own| own.map(|own| own.shown)),
            lifetime_left_s: u32::try_from(allocation.expires.saturating_duration_since(now.mono).as_secs()).unwrap_or(u32::MAX),
            permissions: allocation.permissions(now.mono),
            channels: allocation.channels(now.mono),
            connections: allocation.connections.len(),
            parked: allocation.parked,
            traffic: allocation.traffic,
        })
    }

    /// Tells operators, if they want to be told.
    pub(super) fn note(&mut self, index: u32, kind: NoteKind) {
        let Some(allocation) = self.allocations.get(index as usize).filter(|_| self.config.notes) else { return };
        let note = Note {
            id: self.id_of(index as usize, allocation),
            kind,
            client: allocation.client,
            username: allocation.username.clone(),
            realm: (&*allocation.realm).into(),
            relayed: allocation.relays.map(|own| own.map(|own| own.shown)),
            lifetime_s: allocation.lifetime_s,
            traffic: allocation.traffic,
        };
        self.outputs.push_back(Output::Note(note));
    }

    fn id_of(&self, index: usize, allocation: &Allocation) -> AllocationId {
        AllocationId { shard: self.shard, index: u32::try_from(index).unwrap_or(u32::MAX), generation: allocation.generation }
    }
}

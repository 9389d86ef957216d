//! Who is where: participants by id and by ICE ufrag, and the paths on which they were seen.

use std::collections::HashMap;

use foldhash::fast::FixedState;
use pointsman_wire::net::{FiveTuple, ShardId};

use crate::{DropReason, ParticipantId, ParticipantSpec};

/// One shard's knowledge. Its tables are seeded: their keys are chosen by peers.
#[derive(Debug)]
pub struct Directory {
    places: HashMap<ParticipantId, Known, FixedState>,
    ufrags: HashMap<String, ParticipantId, FixedState>,
    paths: HashMap<FiveTuple, Owner, FixedState>,
    /// Batches come in runs of one path.
    last: Option<(FiveTuple, Owner)>,
    participants_max: usize,
    paths_max: usize,
}

#[derive(Debug)]
struct Known {
    /// The present one and, since an ICE restart takes a moment, the one before.
    ufrags: [Option<String>; 2],
    place: Place,
}

#[derive(Debug)]
pub enum Place {
    /// On no shard yet.
    Expected { spec: Box<ParticipantSpec> },
    /// In this shard's table.
    Here(u32),
    /// With another shard; `spec` is for knowing its checks.
    Elsewhere { shard: ShardId, spec: Box<ParticipantSpec> },
}

/// Whose packets come on a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    /// Place in this shard's table of participants.
    Here(u32),
    Elsewhere {
        shard: ShardId,
        participant: ParticipantId,
    },
}

impl Directory {
    pub fn new(participants_max: usize, paths_max: usize, seed: u64) -> Self {
        Self {
            places: HashMap::with_hasher(FixedState::with_seed(seed)),
            ufrags: HashMap::with_hasher(FixedState::with_seed(seed.rotate_left(16))),
            paths: HashMap::with_hasher(FixedState::with_seed(seed.rotate_left(32))),
            last: None,
            participants_max,
            paths_max,
        }
    }

    pub fn place(&self, participant: ParticipantId) -> Option<&Place> {
        self.places.get(&participant).map(|known| &known.place)
    }

    /// The participant whose clients must send checks to `ufrag` (RFC 8445 section 7.3).
    pub fn by_ufrag(&self, ufrag: &str) -> Option<ParticipantId> {
        self.ufrags.get(ufrag).copied()
    }

    /// Makes a participant known, or follows a change of its description.
    pub fn expect(&mut self, spec: Box<ParticipantSpec>) -> Result<(), DropReason> {
        let id = spec.id;
        if !self.places.contains_key(&id) {
            if self.places.len() >= self.participants_max {
                return Err(DropReason::ParticipantsMax);
            }
            let ufrag = spec.local.ufrag.clone();
            let place = match spec.claim.owner() {
                Some(shard) => Place::Elsewhere { shard, spec },
                None => Place::Expected { spec },
            };
            self.places.insert(id, Known { ufrags: [None, None], place });
            self.name(id, &ufrag);
            return Ok(());
        }
        self.name(id, &spec.local.ufrag);
        if let Some(Known { place: Place::Expected { spec: known, .. } | Place::Elsewhere { spec: known, .. }, .. }) =
            self.places.get_mut(&id)
        {
            *known = spec;
        }
        Ok(())
    }

    fn name(&mut self, id: ParticipantId, ufrag: &str) {
        let Some(known) = self.places.get_mut(&id) else { return };
        if known.ufrags[0].as_deref() == Some(ufrag) {
            return;
        }
        let [present, before] = &mut known.ufrags;
        if let Some(before) = before.take()
            && self.ufrags.get(&before) == Some(&id)
        {
            self.ufrags.remove(&before);
        }
        *before = present.replace(ufrag.to_owned());
        self.ufrags.insert(ufrag.to_owned(), id);
    }

    /// The participant lives here from now on. Returns its description, if it was expected.
    pub fn settle_here(&mut self, participant: ParticipantId, index: u32) -> Option<Box<ParticipantSpec>> {
        let known = self.places.get_mut(&participant)?;
        match std::mem::replace(&mut known.place, Place::Here(index)) {
            Place::Expected { spec } => Some(spec),
            other @ (Place::Here(_) | Place::Elsewhere { .. }) => {
                known.place = other;
                None
            }
        }
    }

    /// The participant lives on `shard` now. `false` when it was not expected (any more).
    pub fn settle_elsewhere(&mut self, participant: ParticipantId, shard: ShardId) -> bool {
        let Some(known) = self.places.get_mut(&participant) else { return false };
        match std::mem::replace(&mut known.place, Place::Here(u32::MAX)) {
            Place::Expected { spec } => {
                known.place = Place::Elsewhere { shard, spec };
                true
            }
            other @ (Place::Here(_) | Place::Elsewhere { .. }) => {
                known.place = other;
                false
            }
        }
    }

    pub fn remove(&mut self, participant: ParticipantId) -> Option<Place> {
        let known = self.places.remove(&participant)?;
        for ufrag in known.ufrags.iter().flatten() {
            if self.ufrags.get(ufrag) == Some(&participant) {
                self.ufrags.remove(ufrag);
            }
        }
        self.last = None;
        self.paths.retain(|_, owner| match (*owner, &known.place) {
            (Owner::Here(index), Place::Here(gone)) => index != *gone,
            (Owner::Elsewhere { participant: other, .. }, Place::Elsewhere { .. }) => other != participant,
            (Owner::Here(_) | Owner::Elsewhere { .. }, Place::Expected { .. } | Place::Here(_) | Place::Elsewhere { .. }) => true,
        });
        Some(known.place)
    }

    pub fn forget_path(&mut self, path: &FiveTuple) {
        self.paths.remove(path);
        self.last = None;
    }

    /// The path has another name from now on. Says whose it is.
    pub fn rename_path(&mut self, from: &FiveTuple, to: FiveTuple) -> Option<Owner> {
        let owner = self.paths.remove(from)?;
        self.paths.insert(to, owner);
        self.last = None;
        Some(owner)
    }

    pub fn owner(&mut self, path: &FiveTuple) -> Option<Owner> {
        if let Some((last, owner)) = &self.last
            && last == path
        {
            return Some(*owner);
        }
        let owner = *self.paths.get(path)?;
        self.last = Some((*path, owner));
        Some(owner)
    }

    /// A check on `path` was authentic: what comes there is `owner`'s.
    pub fn learn(&mut self, path: FiveTuple, owner: Owner) -> Result<(), DropReason> {
        if self.paths.len() >= self.paths_max && !self.paths.contains_key(&path) {
            return Err(DropReason::PathsMax);
        }
        self.paths.insert(path, owner);
        self.last = Some((path, owner));
        Ok(())
    }

    /// Participants that are on no shard yet.
    pub fn expected(&self) -> u64 {
        self.places.values().filter(|known| matches!(known.place, Place::Expected { .. })).count() as u64
    }
}

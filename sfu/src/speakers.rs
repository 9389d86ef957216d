//! Who speaks in each room, from the levels in audio packets (RFC 6464), and whose sound goes on where many would talk at once.
//!
//! A publisher's shard hears every packet and decides on it at once, so that no word loses its beginning. Now and then shards tell each
//! other the levels of their loudest, and each comes to the same view of the whole room.

mod room;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use pointsman_wire::net::ShardId;
use slab::Slab;

use crate::{DropReason, ParticipantId, PublicationId, RoomId};
pub use room::{Gate, Room};

/// How speech is recognised, and how many are heard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SpeakersConfig {
    /// Sound of so many publications goes on besides the dominant speaker's, where a room has more; 0: everybody's.
    pub loudest_max: usize,
    /// Louder than this many decibels below the loudest possible sound counts as speech.
    pub level_min_db: u8,
    /// Who has spoken lately is still a speaker, and still heard, for so long.
    pub hold: Duration,
    /// Somebody else becomes the dominant speaker after having been louder for so long.
    pub dominant_after: Duration,
    /// Between two looks at a room in which somebody speaks.
    pub interval: Duration,
    /// Between two looks at a silent room.
    pub interval_silent: Duration,
    /// Rooms that a shard listens to.
    pub rooms_max: usize,
}

impl Default for SpeakersConfig {
    fn default() -> Self {
        Self {
            loudest_max: 3,
            level_min_db: 55,
            hold: Duration::from_millis(2000),
            dominant_after: Duration::from_millis(500),
            interval: Duration::from_millis(100),
            interval_silent: Duration::from_millis(1000),
            rooms_max: 10_000,
        }
    }
}

/// Most voices that one shard tells another of, and most speakers of a room that are named.
pub const VOICES_TOLD_MAX: usize = 6;

/// What a shard tells of its loudest in a room.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Levels {
    /// Publications with levels that live on the shard.
    pub count: u16,
    /// The loudest first.
    pub voices: [Option<VoiceLevel>; VOICES_TOLD_MAX],
}

/// One voice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoiceLevel {
    pub publication: PublicationId,
    pub participant: ParticipantId,
    /// Decibels above silence, 0 to 127, smoothed.
    pub loudness: u8,
    /// It counts as speech.
    pub loud: bool,
}

/// Where a voice is heard: places of the room and of the voice in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VoicePlace {
    pub room: u32,
    voice: u32,
}

/// A shard's rooms.
#[derive(Debug)]
pub struct Rooms {
    table: Slab<Room>,
    by_id: HashMap<RoomId, u32, FixedState>,
    rooms_max: usize,
}

impl Rooms {
    pub fn new(rooms_max: usize, seed: u64) -> Self {
        Self { table: Slab::new(), by_id: HashMap::with_hasher(FixedState::with_seed(seed)), rooms_max }
    }

    pub fn find(&self, id: RoomId) -> Option<u32> {
        self.by_id.get(&id).copied()
    }

    pub fn get(&self, at: u32) -> Option<&Room> {
        self.table.get(at as usize)
    }

    pub fn get_mut(&mut self, at: u32) -> Option<&mut Room> {
        self.table.get_mut(at as usize)
    }

    /// `Err` when there are too many.
    pub fn get_or_insert(&mut self, id: RoomId) -> Result<u32, DropReason> {
        if let Some(at) = self.find(id) {
            return Ok(at);
        }
        if self.table.len() >= self.rooms_max {
            return Err(DropReason::RoomsMax);
        }
        let at = self.table.insert(Room::new(id)) as u32;
        self.by_id.insert(id, at);
        Ok(at)
    }

    pub fn remove(&mut self, at: u32) {
        if let Some(room) = self.table.try_remove(at as usize) {
            self.by_id.remove(&room.id);
        }
    }

    /// A publication has sent its first packet with a level.
    pub fn begin_voice(&mut self, room: RoomId, publication: PublicationId, participant: ParticipantId) -> Result<VoicePlace, DropReason> {
        let at = self.get_or_insert(room)?;
        let voice = self.table[at as usize].begin_voice(publication, participant);
        Ok(VoicePlace { room: at, voice })
    }

    pub fn end_voice(&mut self, place: VoicePlace) {
        if let Some(room) = self.get_mut(place.room) {
            room.end_voice(place.voice);
        }
    }

    /// A packet with a level came: whether it goes on.
    pub fn hear(&mut self, now: Instant, config: &SpeakersConfig, place: VoicePlace, level_db: u8) -> Gate {
        self.get_mut(place.room).map_or(Gate::Pass, |room| room.hear(now, config, place.voice, level_db))
    }

    /// Whether sound of this publication goes on now, as far as is known.
    pub fn is_open(&self, place: VoicePlace) -> bool {
        self.get(place.room).is_none_or(|room| room.is_open(place.voice))
    }

    /// Takes in what another shard tells.
    pub fn take_levels(&mut self, now: Instant, room: RoomId, shard: ShardId, levels: &Levels) -> Result<u32, DropReason> {
        let at = self.get_or_insert(room)?;
        self.table[at as usize].take_levels(now, shard, levels);
        Ok(at)
    }
}

#[cfg(test)]
mod tests;

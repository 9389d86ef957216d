//! Rooms: whose sound goes on, and who speaks.

use pointsman_wire::clock::Now;
use pointsman_wire::net::ShardId;
use pointsman_wire::rtp::AudioLevel;

use super::{Sfu, Timer, push_bounded};
use crate::participant::Received;
use crate::speakers::{Gate, Levels};
use crate::{DropReason, Egress, Event, Kind, MeshMessage, RoomId};

/// Shards that one message is for, one bit each.
#[derive(Clone, Copy, Debug, Default)]
struct ShardSet([u64; 4]);

impl ShardSet {
    fn insert(&mut self, shard: ShardId) {
        if let Some(word) = self.0.get_mut(usize::from(shard.0 / 64)) {
            *word |= 1 << (shard.0 % 64);
        }
    }

    fn contains(&self, shard: ShardId) -> bool {
        self.0.get(usize::from(shard.0 / 64)).is_some_and(|word| word & 1 << (shard.0 % 64) != 0)
    }
}

impl Sfu {
    /// Decides whether a packet of sound goes on. Sound that does not say how loud it is always does.
    pub(super) fn gate(&mut self, now: Now, index: u32, received: &mut Received) -> Result<(), DropReason> {
        if received.facts.codec.kind() != Kind::Audio {
            return Ok(());
        }
        let Some(level) = AudioLevel::parse(received.facts.carried.audio_level.of(received.packet.bytes())) else { return Ok(()) };
        let Self { participants, rooms, config, stats, .. } = self;
        let Some(participant) = participants.get_mut(index as usize) else { return Ok(()) };
        let (room, id) = (participant.room, participant.id);
        let Some(receiver) = participant.receivers.iter_mut().find(|it| it.publication == received.publication) else { return Ok(()) };
        let place = match receiver.voice {
            Some(place) => place,
            None => match rooms.begin_voice(room, receiver.spec.publication, id) {
                Ok(place) => *receiver.voice.insert(place),
                Err(reason) => {
                    stats.drops.count(reason);
                    return Ok(());
                }
            },
        };
        // What was lost and comes late says nothing about now.
        if received.repaired {
            return if rooms.is_open(place) { Ok(()) } else { Err(DropReason::NotSpeaking) };
        }
        match rooms.hear(now.mono, &config.speakers, place, level.level) {
            Gate::Pass => {}
            Gate::Opened => receiver.begin_epoch(&mut received.facts),
            Gate::Closed => return Err(DropReason::NotSpeaking),
        }
        self.schedule_room(now, place.room);
        Ok(())
    }

    pub(super) fn take_levels(&mut self, now: Now, room: RoomId, shard: ShardId, levels: &Levels) -> Result<(), DropReason> {
        let at = self.rooms.take_levels(now.mono, room, shard, levels)?;
        self.schedule_room(now, at);
        Ok(())
    }

    /// Makes sure that a room is looked at, and soon when somebody speaks.
    fn schedule_room(&mut self, now: Now, at: u32) {
        let Some(room) = self.rooms.get_mut(at) else { return };
        let config = &self.config.speakers;
        let due = now.mono + if room.is_lively() { config.interval } else { config.interval_silent };
        if room.timer.is_none_or(|timer| due < timer) {
            room.timer = Some(due);
            self.wheel.insert(due, Timer::Room(room.id));
        }
    }

    pub(super) fn room_due(&mut self, now: Now, id: RoomId, out: &mut impl Egress) {
        let Some(at) = self.rooms.find(id) else { return };
        let Self { rooms, publications, config, stats, events, shard, shards, .. } = self;
        let Some(room) = rooms.get_mut(at) else { return };
        // Something earlier came up and fired before.
        if room.timer.is_none_or(|timer| timer > now.mono) {
            return;
        }
        room.timer = None;
        let alive = room.look(now.mono, &config.speakers);
        // One shard tells control, whoever is where.
        let home = ShardId((id.0 % u64::from((*shards).max(1))) as u16);
        if home == *shard
            && let Some(speakers) = room.news(now.mono, &config.speakers)
        {
            push_bounded(events, config, stats, Event::Speakers { room: id, speakers });
        }
        if !alive {
            self.rooms.remove(at);
            return;
        }
        let mut told = ShardSet::default();
        for publication in room.local() {
            told.insert(home);
            let subscribed = publications.find(publication).and_then(|it| publications.table.get(it as usize));
            subscribed.into_iter().flat_map(|it| &it.shards).for_each(|shard| told.insert(*shard));
        }
        for to in (0..*shards).map(ShardId).filter(|to| to != shard && told.contains(*to)) {
            let levels = room.levels(now.mono, &config.speakers);
            if !out.to_shard(to, MeshMessage::Levels { room: id, shard: *shard, levels }) {
                stats.drops.count(DropReason::MeshFull);
            }
        }
        self.schedule_room(now, at);
    }
}

//! What operators do to a room from outside of it: no participant asks, so nobody's grants are looked at here.

use super::{JoinNumber, Room, World};
use crate::media::{ParticipantId, PublicationId};
use crate::message::{ServerMessage, TrackSource, participant_text, publication_text};
use crate::people::Participant;

/// What an operator decides about a room. What is not said stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomChange {
    pub metadata: Option<String>,
    /// 0: as many as in any room.
    pub participants_max: Option<usize>,
    pub empty_timeout_s: Option<u32>,
}

/// A room's own settings.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Opaque to the server, told to everyone in the room.
    pub metadata: String,
    /// `None`: as many as in any room.
    pub participants_max: Option<usize>,
    /// How long it stays when nobody is in it.
    pub empty_timeout_s: u32,
}

impl Options {
    pub fn apply(&mut self, change: RoomChange) {
        let RoomChange { metadata, participants_max, empty_timeout_s } = change;
        if let Some(metadata) = metadata {
            self.metadata = metadata;
        }
        if let Some(max) = participants_max {
            self.participants_max = Some(max).filter(|max| *max > 0);
        }
        if let Some(empty_timeout_s) = empty_timeout_s {
            self.empty_timeout_s = empty_timeout_s;
        }
    }
}

/// Which publications of a participant are meant; `None`: any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Which {
    pub publication: Option<PublicationId>,
    pub source: Option<TrackSource>,
}

impl Room {
    /// Changes the room's settings and tells everyone of what concerns them.
    pub fn update(&mut self, change: RoomChange, world: &mut World) {
        let before = self.options.metadata.clone();
        self.options.apply(change);
        if self.options.metadata != before {
            let message = ServerMessage::RoomMetadata { metadata: self.options.metadata.clone() };
            self.tell_all(self.people.values(), message, world);
        }
    }

    /// Everyone of this identity, in order of joining. Several WHIP publishers or WHEP players may share one.
    pub fn identified(&self, identity: &str) -> Vec<ParticipantId> {
        self.people().filter(|participant| participant.ticket.identity == identity).map(|participant| participant.id).collect()
    }

    /// Another name or other metadata for everyone of an identity. Returns how many there are.
    pub fn rename(&mut self, identity: &str, name: Option<&str>, metadata: Option<&str>, world: &mut World) -> usize {
        let numbers: Vec<JoinNumber> = self.numbers_of(identity);
        for number in &numbers {
            let Some(participant) = self.people.get_mut(number) else { continue };
            if let Some(name) = name {
                name.clone_into(&mut participant.ticket.name);
            }
            if let Some(metadata) = metadata {
                metadata.clone_into(&mut participant.ticket.metadata);
            }
            let message = participant.updated();
            // Who is hidden learns of it alone.
            let (id, visible) = (participant.id, participant.visible());
            let told = self.people().filter(|other| visible || other.id == id);
            self.tell_all(told, message, world);
        }
        numbers.len()
    }

    /// Stops (or lets pass again) the packets of an identity's publications at the server. Returns how many are meant.
    pub fn silence(&mut self, identity: &str, which: Which, muted: bool, world: &mut World) -> usize {
        let mut found = 0;
        for number in self.numbers_of(identity) {
            let Some(participant) = self.people.get(&number) else { continue };
            let meant = |id, source| which.publication.is_none_or(|p| p == id) && which.source.is_none_or(|s| s == source);
            let ids: Vec<_> = participant.publications.iter().filter(|p| meant(p.id, p.source)).map(|p| p.id).collect();
            found += ids.len();
            for id in ids {
                self.silence_one(number, id, muted, world);
            }
        }
        found
    }

    fn silence_one(&mut self, number: JoinNumber, id: PublicationId, muted: bool, world: &mut World) {
        let Some(participant) = self.people.get_mut(&number) else { return };
        let publisher = participant.id;
        let Some(publication) = participant.publication_mut(id) else { return };
        publication.muted_by_server = muted;
        world.media.set_muted(publisher, id, muted || publication.withheld);
        if publication.withheld {
            return;
        }
        let message = ServerMessage::PublicationMuted {
            participant: participant_text(publisher),
            publication: publication_text(id),
            muted: publication.muted || publication.muted_by_server,
            muted_by_server: publication.muted_by_server,
        };
        self.tell_all(self.people.values(), message, world);
    }

    /// A text to everyone who listens, or to some of them. Returns how many are told.
    pub fn send_data(&self, topic: &str, text: &str, to: &[String], world: &mut World) -> usize {
        let meant = |participant: &&Participant| to.is_empty() || to.contains(&participant.ticket.identity);
        let message = ServerMessage::Data { participant: None, topic: topic.to_owned(), text: text.to_owned() };
        self.tell_all(self.people().filter(meant), message, world)
    }

    fn numbers_of(&self, identity: &str) -> Vec<JoinNumber> {
        self.people.iter().filter(|(_, participant)| participant.ticket.identity == identity).map(|(number, _)| *number).collect()
    }

    fn tell_all<'a>(&self, whom: impl Iterator<Item = &'a Participant>, message: ServerMessage, world: &mut World) -> usize {
        let to: Vec<ParticipantId> = whom.filter(|participant| participant.listens()).map(|participant| participant.id).collect();
        let told = to.len();
        if told > 0 {
            world.outputs.push(super::Output::Tell { to, message });
        }
        told
    }
}

//! What operators do to a room from outside of it: no participant asks, so nobody's grants are looked at here.

use super::{JoinNumber, Refusal, Room, World};
use crate::media::PublicationId;
use crate::message::{PermissionWish, Role, SettingsWish, TrackSource};

/// What an operator decides about a room. What is not said stays.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RoomWish {
    pub metadata: Option<String>,
    /// 0: as many as in any room.
    pub participants_max: Option<usize>,
    pub empty_timeout_s: Option<u32>,
    pub settings: SettingsWish,
}

/// What operators alone decide.
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
    pub fn apply(&mut self, wish: &RoomWish) {
        let RoomWish { metadata, participants_max, empty_timeout_s, settings: _ } = wish;
        if let Some(metadata) = metadata {
            self.metadata.clone_from(metadata);
        }
        if let Some(max) = participants_max {
            self.participants_max = Some(*max).filter(|max| *max > 0);
        }
        if let Some(empty_timeout_s) = empty_timeout_s {
            self.empty_timeout_s = *empty_timeout_s;
        }
    }

    /// How many may be in the room, where no room may have more than `any`.
    pub fn bound(&self, any: usize) -> usize {
        self.participants_max.map_or(any, |own| own.min(any))
    }
}

/// Which publications of a participant are meant; `None`: any.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Which {
    pub publication: Option<PublicationId>,
    pub source: Option<TrackSource>,
}

impl Room {
    /// Changes what is decided about the room, and tells everyone what concerns them. Breakouts have settings of their own.
    pub fn update(&mut self, wish: &RoomWish, world: &mut World) {
        let is_new = wish.metadata.as_ref().is_some_and(|metadata| *metadata != self.options.metadata);
        self.options.apply(wish);
        let is_set = self.main.is_none() && self.set_settings(wish.settings, world);
        if is_new || is_set {
            self.tell_updated_room(world);
        }
    }

    /// Another name or other metadata for everyone of an identity. Returns how many there are.
    pub fn rename(&mut self, identity: &str, name: Option<&str>, metadata: Option<&str>, world: &mut World) -> usize {
        let numbers = self.numbers_of(identity);
        for number in &numbers {
            let Some(participant) = self.people.get_mut(number) else { continue };
            if let Some(name) = name {
                name.clone_into(&mut participant.ticket.name);
            }
            if let Some(metadata) = metadata {
                metadata.clone_into(&mut participant.ticket.metadata);
            }
            // Who is hidden learns of it alone.
            let (message, id, visible) = (participant.updated(), participant.id, participant.visible());
            self.tell_those(|other| visible || other.id == id, message, world);
        }
        numbers.len()
    }

    /// Another role, then other permissions, for everyone of an identity. Returns how many there are.
    pub fn place(&mut self, identity: &str, role: Option<Role>, wish: PermissionWish, world: &mut World) -> Result<usize, Refusal> {
        let numbers = self.numbers_of(identity);
        for number in &numbers {
            let Some(participant) = self.people.get(number) else { continue };
            let standing = role.map_or(participant.standing, |role| participant.standing.with_role(role)).with_wish(wish);
            self.set_standing(*number, standing, world)?;
        }
        Ok(numbers.len())
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
                self.mute_other(number, id, muted, world);
            }
        }
        found
    }

    /// Everyone of this identity, in order of joining: several WHIP publishers may share one. A player only borrows it.
    fn numbers_of(&self, identity: &str) -> Vec<JoinNumber> {
        let meant = self.people.iter().filter(|(_, participant)| participant.holds_identity() && participant.ticket.identity == identity);
        meant.map(|(number, _)| *number).collect()
    }
}

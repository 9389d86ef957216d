//! WebSockets are lost and come back.

use super::{Rooms, World, world};
use crate::media::{Media, ParticipantId};
use crate::message::LeaveReason;

impl Rooms {
    /// The WebSocket of someone is gone without a word: it may come back.
    pub fn lose(&mut self, participant: ParticipantId, media: &dyn Media) {
        let waits = self.with_room(participant, media, |room, number, world| Ok(room.lose(number, world)));
        if waits != Ok(true) {
            self.leave(participant, LeaveReason::Disconnected, media);
        }
    }

    /// Who comes back with this secret.
    pub fn returning(&self, resume: &str) -> Option<ParticipantId> {
        self.by_resume.get(resume).copied()
    }

    /// The reply to `resume`, once the client can be told.
    pub fn resume(&mut self, participant: ParticipantId, request: u64, media: &dyn Media) {
        let place = self.whereabouts.get(&participant).copied();
        let Some((room, number)) = place.and_then(|(room, number)| Some((self.rooms.get_mut(&room)?, number))) else { return };
        room.resume(number, request, &mut world!(self, media));
    }
}

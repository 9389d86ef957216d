//! WHEP players whose offer we make.

use super::Rooms;
use crate::media::{Media, ParticipantId, Waiting};
use crate::message::LeaveReason;
use crate::people::{Entry, Participant, Plan, Ticket};
use crate::room::Refusal;

impl Rooms {
    /// Lets a player in and offers to it: m-lines for what it will be shown, and at least `lines`.
    pub fn offer_to_player(
        &mut self,
        ticket: Ticket,
        plan: Plan,
        lines: Waiting,
        media: &dyn Media,
    ) -> Result<(ParticipantId, String), Refusal> {
        let newcomer = self.open(ticket, Entry::Player(plan), media)?;
        let id = self.admit(newcomer, media);
        match media.counter_offer(id, lines) {
            Ok(sdp) => Ok((id, sdp)),
            Err(error) => {
                self.leave(id, LeaveReason::Left, media);
                Err(error.into())
            }
        }
    }

    /// The answer to that offer.
    pub fn take_players_answer(&mut self, participant: ParticipantId, answer: &str, media: &dyn Media) -> Result<(), Refusal> {
        let outcome = media.answer(participant, answer).map_err(|error| Refusal::from(error).of("sdp"))?;
        self.take_over_answer(participant, None, outcome, &[], media).map(drop)
    }

    /// Whether `first`, or anyone, publishes something in a room.
    pub fn is_live(&self, room: &str, first: Option<&str>) -> bool {
        let wanted = |p: &&Participant| first.is_none_or(|first| p.ticket.identity == first);
        self.named(room).is_some_and(|room| room.people().filter(wanted).any(|p| p.shown().next().is_some()))
    }
}

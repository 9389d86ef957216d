//! A webinar's audience: viewers that are announced to nobody. Everyone is told how many they are, now and then.

use super::{JoinNumber, Refusal, Room, World};
use crate::media::ParticipantId;
use crate::message::{LeaveReason, Mode, ParticipantInfo, PersonInfo, Role, ServerMessage, participant_text};
use crate::people::Participant;
use crate::room::Settings;
use crate::time::Due;

/// Between two counts that are told.
const COUNT_INTERVAL_MS: u64 = 1_000;

#[derive(Debug, Default)]
pub struct Audience {
    told: usize,
    due_ms: Option<u64>,
}

impl Room {
    pub(super) fn is_audience(&self, participant: &Participant) -> bool {
        self.settings.mode == Mode::Webinar && participant.standing.role == Role::Viewer && participant.calls()
    }

    pub(super) fn audience_count(&self) -> usize {
        self.people().filter(|p| p.in_audience && !p.ticket.hidden).count()
    }

    /// The audience may have changed.
    pub(super) fn count_audience(&mut self, world: &mut World) {
        if self.audience.due_ms.is_none() && (self.settings.mode == Mode::Webinar || self.audience.told > 0) {
            let due_ms = world.now.mono_ms + COUNT_INTERVAL_MS;
            self.audience.due_ms = Some(due_ms);
            world.deadlines.set(due_ms, Due::Audience(self.id));
        }
    }

    pub fn tell_audience(&mut self, world: &mut World) {
        self.audience.due_ms = None;
        let count = self.audience_count();
        if count != self.audience.told {
            self.audience.told = count;
            self.tell_those(|_| true, ServerMessage::Audience { count }, world);
        }
    }

    /// The room is gone.
    pub(super) fn forget_audience(&self, world: &mut World) {
        if let Some(due_ms) = self.audience.due_ms {
            world.deadlines.cancel(due_ms, Due::Audience(self.id));
        }
    }

    /// Between stage and audience, as its role now says. What it showed was hidden before, and is shown after.
    pub(super) fn place_in_audience(&mut self, number: JoinNumber, world: &mut World) {
        let Some(participant) = self.people.get(&number) else { return };
        let (was, is) = (participant.in_audience, self.is_audience(participant));
        let Some(participant) = self.people.get_mut(&number).filter(|_| was != is) else { return };
        participant.in_audience = is;
        let told = participant.holds_identity() && !participant.ticket.hidden;
        let message = if is {
            ServerMessage::ParticipantLeft { participant: participant.text(), reason: LeaveReason::Audience }
        } else {
            // What it publishes is told for itself.
            let info = ParticipantInfo { publications: Vec::new(), ..participant.info() };
            ServerMessage::ParticipantJoined { participant: info }
        };
        if told {
            self.tell_others(number, message, world);
        }
        self.count_audience(world);
    }

    /// The mode of the room has changed.
    pub(super) fn follow_mode(&mut self, before: Settings, world: &mut World) {
        if before.mode != self.settings.mode {
            let numbers: Vec<JoinNumber> = self.people.keys().copied().collect();
            numbers.into_iter().for_each(|number| self.place_in_audience(number, world));
        }
    }

    /// `audience_list`: a page of them in the order of joining, and after whom the next begins.
    pub fn audience_list(
        &self,
        number: JoinNumber,
        after: Option<ParticipantId>,
        limit: usize,
    ) -> Result<(Vec<PersonInfo>, Option<String>), Refusal> {
        self.check_host(number)?;
        let after = after.map(|after| self.number_of(after).ok_or_else(|| Refusal::no_participant().of("after"))).transpose()?;
        let later = self.people.iter().filter(|(number, _)| after.is_none_or(|after| **number > after));
        let mut later = later.map(|(_, p)| p).filter(|p| p.in_audience && !p.ticket.hidden);
        let page: Vec<&Participant> = later.by_ref().take(limit).collect();
        let next = later.next().and(page.last()).map(|last| participant_text(last.id));
        Ok((page.into_iter().map(super::hands::person).collect(), next))
    }
}

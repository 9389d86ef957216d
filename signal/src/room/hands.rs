//! Reactions and raised hands.

use super::{JoinNumber, Output, Refusal, Room, World};
use crate::media::ParticipantId;
use crate::message::{ErrorCode, PersonInfo, ServerMessage, Whose};
use crate::people::Participant;

impl Room {
    /// `react`.
    pub fn react(&self, number: JoinNumber, emoji: String, world: &mut World) -> Result<(), Refusal> {
        let own = self.people.get(&number).ok_or_else(Refusal::no_participant)?;
        if !own.may_publish_data() {
            return Err(Refusal::new(ErrorCode::Forbidden, "may not react"));
        }
        self.tell_others(number, ServerMessage::Reaction { participant: own.text(), emoji }, world);
        Ok(())
    }

    /// `raise_hand`: one's own; hosts lower those of others, too.
    pub fn raise_hand(&mut self, number: JoinNumber, raised: bool, whose: Whose, world: &mut World) -> Result<(), Refusal> {
        let own = self.people.get(&number).filter(|p| p.holds_identity() && !p.ticket.hidden).ok_or_else(Refusal::no_participant)?.id;
        let before = self.hands.clone();
        match whose {
            Whose::Mine if raised => {
                if !self.hands.contains(&own) && self.hands.len() >= world.limits.room.hands_max {
                    return Err(Refusal::new(ErrorCode::Full, "too many hands are raised"));
                }
                if !self.hands.contains(&own) {
                    self.hands.push(own);
                }
            }
            Whose::Mine => self.hands.retain(|hand| *hand != own),
            Whose::Of(_) | Whose::All if raised => {
                return Err(Refusal::new(ErrorCode::Forbidden, "only one's own hand can be raised").of("raised"));
            }
            Whose::Of(whom) => {
                self.moderated(number, whom, "lower_hand")?;
                self.hands.retain(|hand| *hand != whom);
            }
            Whose::All => {
                self.check_host(number)?;
                self.audit("lower_hands", number, None);
                self.hands.clear();
            }
        }
        if before != self.hands {
            self.tell_hands(&before, world);
        }
        Ok(())
    }

    /// Someone goes.
    pub(super) fn drop_hand(&mut self, whose: ParticipantId, world: &mut World) {
        if self.hands.contains(&whose) {
            let before = self.hands.clone();
            self.hands.retain(|hand| *hand != whose);
            self.tell_hands(&before, world);
        }
    }

    /// The audience sees no hand but its own: nobody in it is announced to it.
    pub(super) fn hands_for(&self, own: &Participant) -> Vec<PersonInfo> {
        let person = |hand: &ParticipantId| self.people().find(|p| p.id == *hand).map(person);
        self.hands.iter().filter(|hand| !own.in_audience || **hand == own.id).filter_map(person).collect()
    }

    fn tell_hands(&self, before: &[ParticipantId], world: &mut World) {
        let (stage, audience): (Vec<_>, Vec<_>) = self.people().filter(|p| p.listens()).partition(|p| !p.in_audience);
        if let Some(any) = stage.first() {
            let message = ServerMessage::Hands { hands: self.hands_for(any) };
            world.outputs.push(Output::Tell { to: stage.iter().map(|p| p.id).collect(), message });
        }
        for own in audience.into_iter().filter(|p| before.contains(&p.id) != self.hands.contains(&p.id)) {
            world.tell(own.id, ServerMessage::Hands { hands: self.hands_for(own) });
        }
    }
}

pub(super) fn person(participant: &Participant) -> PersonInfo {
    PersonInfo { participant: participant.text(), identity: participant.ticket.identity.clone(), name: participant.ticket.name.clone() }
}

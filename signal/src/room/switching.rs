//! People move between rooms over the PeerConnection that they have: their m-lines are filled with what the other room publishes. Many move
//! at once, and each of them costs the media side one call.

use super::{JoinNumber, Room, World};
use crate::media::{Placement, PublicationId, Source, Waiting};
use crate::message::{LeaveReason, ServerMessage};
use crate::people::{Participant, Subscription};
use crate::room::viewing;

/// Who comes into one room at the same time, in order of joining.
pub type Newcomers = Vec<(JoinNumber, Participant)>;

impl Room {
    /// People go to other rooms. Those who stay hear no more of them, and are told.
    pub fn take_out(&mut self, numbers: &[JoinNumber], world: &mut World) -> Newcomers {
        let mut gone: Newcomers = numbers.iter().filter_map(|number| Some((*number, self.people.remove(number)?))).collect();
        let shown: Vec<PublicationId> = gone.iter().flat_map(|(_, p)| p.shown().map(|publication| publication.id)).collect();
        self.stop_receiving(&shown, world);
        for (number, participant) in &mut gone {
            self.speakers.retain(|speaker| *speaker != participant.id);
            self.drop_hand(participant.id, world);
            if participant.visible() {
                let message = ServerMessage::ParticipantLeft { participant: participant.text(), reason: LeaveReason::Moved };
                self.tell_others(*number, message, world);
            }
            participant.subscriptions.clear();
            participant.waiting = Waiting::default();
            participant.negotiate_due = false;
        }
        self.count_audience(world);
        self.refill_players(world);
        gone
    }

    /// People come from other rooms.
    pub fn take_in(&mut self, newcomers: Newcomers, world: &mut World) -> Vec<JoinNumber> {
        let numbers: Vec<JoinNumber> = newcomers.iter().map(|(number, _)| *number).collect();
        for (_, participant) in newcomers.iter().filter(|(_, p)| p.visible()) {
            self.tell_those(|_| true, ServerMessage::ParticipantJoined { participant: participant.info() }, world);
        }
        let here: Vec<JoinNumber> = self.people.iter().filter(|(_, p)| p.auto_subscribes()).map(|(number, _)| *number).collect();
        self.people.extend(newcomers);
        for number in &numbers {
            self.fill(*number, world);
        }
        let shown =
            |number: &JoinNumber| self.people.get(number).into_iter().flat_map(|p| p.shown().map(|publication| p.source(publication)));
        let sources: Vec<Source> = numbers.iter().flat_map(shown).collect();
        for (number, source) in here.into_iter().flat_map(|number| sources.iter().map(move |source| (number, *source))) {
            self.receive(number, source, world);
        }
        self.count_audience(world);
        self.refill_players(world);
        numbers
    }

    /// Fills the m-lines of who is new here.
    fn fill(&mut self, number: JoinNumber, world: &mut World) {
        let Some(participant) = self.people.get(&number) else { return };
        let auto = participant.auto_subscribes();
        let sources = self.sources_for(number).take(if auto { world.limits.subscriptions_per_participant_max } else { 0 });
        let sources: Vec<Source> = sources.collect();
        let id = participant.id;
        let placements = match world.media.move_to(id, self.id, &sources) {
            Ok(placements) => placements,
            Err(error) => {
                tracing::debug!(%error, "moved without what the room publishes");
                Vec::new()
            }
        };
        let mut subscriptions = Vec::new();
        let mut waiting = Waiting::default();
        for (source, placement) in sources.into_iter().zip(placements) {
            let mut subscription = Subscription::new(source, self.is_screen(source.publication));
            match placement {
                Placement::Placed { mid } => subscription.mid = Some(mid),
                Placement::Waiting(missing) => waiting = missing,
            }
            viewing::apply(id, &subscription, world);
            subscriptions.push(subscription);
        }
        if let Some(participant) = self.people.get_mut(&number) {
            (participant.subscriptions, participant.waiting) = (subscriptions, waiting);
        }
    }

    /// What someone is told who has come from another room.
    pub fn moved_message(&self, number: JoinNumber) -> Option<ServerMessage> {
        let own = self.people.get(&number)?;
        Some(ServerMessage::Moved {
            breakout: self.breakout(),
            name: self.name.clone(),
            metadata: self.options.metadata.clone(),
            you: own.you(),
            participants: self.people().filter(|p| p.id != own.id && p.visible()).map(Participant::info).collect(),
            placed: super::returning::placed(own),
            negotiate: own.waiting.into(),
            options: self.settings.info(),
            state: Box::new(self.state_for(own)),
        })
    }
}

//! How subscriptions are shown and what they get: clients' wishes go to the media side, and what comes of them goes back.

use super::{JoinNumber, Refusal, Room, World};
use crate::media::{ParticipantId, Preferences, PublicationId, Quality};
use crate::message::{ServerMessage, Wish, participant_text, publication_text};
use crate::news::{News, What};
use crate::people::{Subscription, preferences};
use crate::quality::{Level, Report, Sample};

/// Speakers that clients are told of. More than these nobody can follow.
const SPEAKERS_MAX: usize = 16;

/// Asks the media side for what a subscription's client wants of it. To be called whenever the media side begins or places it anew.
pub(super) fn apply(participant: ParticipantId, subscription: &Subscription, world: &World) {
    if subscription.preferences != Preferences::default() {
        world.media.prefer(participant, subscription.source.publication, subscription.preferences);
    }
}

impl Room {
    /// `prefer`.
    pub fn prefer(&mut self, number: JoinNumber, id: PublicationId, wish: Wish, world: &mut World) -> Result<(), Refusal> {
        let participant = self.people.get_mut(&number).ok_or_else(Refusal::no_publication)?;
        let to = participant.id;
        let subscription = participant.subscription_mut(id).ok_or_else(Refusal::no_publication)?;
        let wanted = preferences(wish, subscription.preferences.screen);
        if subscription.preferences != wanted {
            subscription.preferences = wanted;
            world.media.prefer(to, id, wanted);
        }
        Ok(())
    }

    pub(super) fn is_screen(&self, id: PublicationId) -> bool {
        self.people().flat_map(|p| &p.publications).any(|publication| publication.id == id && publication.is_screen())
    }

    /// A camera may have become a screen, or the other way round.
    pub(super) fn handle_screen(&mut self, id: PublicationId, world: &mut World) {
        let screen = self.is_screen(id);
        for participant in self.people.values_mut() {
            let to = participant.id;
            let Some(subscription) = participant.subscription_mut(id) else { continue };
            if subscription.preferences.screen != screen {
                subscription.preferences.screen = screen;
                world.media.prefer(to, id, subscription.preferences);
            }
        }
    }

    /// The media side says what a subscription gets.
    pub fn handle_quality(&mut self, number: JoinNumber, id: PublicationId, quality: Quality, world: &mut World) {
        let Some(participant) = self.people.get_mut(&number) else { return };
        let (to, listens) = (participant.id, participant.listens());
        // It may have ended meanwhile.
        let Some(subscription) = participant.subscription_mut(id) else { return };
        if subscription.take_quality(quality) && listens {
            world.tell(to, ServerMessage::Quality { publication: publication_text(id), quality: quality.into() });
        }
    }

    pub fn handle_estimate(&mut self, number: JoinNumber, estimate_bps: u64, world: &mut World) {
        let Some(participant) = self.people.get_mut(&number) else { return };
        if participant.estimate_bps.replace(estimate_bps) != Some(estimate_bps) && participant.listens() {
            world.tell(participant.id, ServerMessage::Estimate { estimate_bps });
        }
    }

    /// What a client measured. A level is news when two reports in a row say so: one bad moment is nobody's call.
    pub fn handle_report(&mut self, number: JoinNumber, report: Report, world: &mut World) -> Result<(), Refusal> {
        let Some(participant) = self.people.get(&number) else { return Ok(()) };
        let sample = Sample::new(self.public_name(), participant, report);
        let Some(participant) = self.people.get_mut(&number) else { return Ok(()) };
        participant.sample = Some(Box::new(sample.clone()));
        let scores = sample.score;
        world.outputs.push(super::Output::Sample(Box::new(sample)));
        let Some(level) = scores.all.map(Level::of) else { return Ok(()) };
        if level == participant.level {
            participant.level_differs = false;
        } else if !std::mem::replace(&mut participant.level_differs, true) {
            return Ok(());
        } else {
            (participant.level, participant.level_differs) = (level, false);
            if let Some(participant) = self.people.get(&number) {
                let news = News::of_participant(What::QualityChanged, self, participant);
                world.report(News { quality: Some((level, scores)), ..news });
            }
        }
        Ok(())
    }

    /// What a publisher need not send. It is told each time: its own change of mind may have come in between.
    pub fn handle_layers_wanted(&mut self, number: JoinNumber, id: PublicationId, spatial_max: Option<u8>, world: &mut World) {
        let Some(participant) = self.people.get_mut(&number) else { return };
        let (to, listens) = (participant.id, participant.listens());
        let Some(publication) = participant.publication_mut(id) else { return };
        publication.wanted = Some(spatial_max);
        if listens {
            world.tell(to, ServerMessage::LayersWanted { publication: publication_text(id), spatial_max });
        }
    }

    /// Who speaks now. Every shard that has a part of the room may say the same.
    pub fn handle_speakers(&mut self, mut speakers: Vec<ParticipantId>, world: &mut World) {
        speakers.retain(|speaker| self.people().any(|p| p.id == *speaker && p.visible()));
        speakers.truncate(SPEAKERS_MAX);
        if speakers == self.speakers {
            return;
        }
        self.speakers = speakers;
        let to: Vec<ParticipantId> = self.people().filter(|p| p.listens()).map(|p| p.id).collect();
        if !to.is_empty() {
            world.outputs.push(super::Output::Tell { to, message: self.speakers_message() });
        }
    }

    /// For who joins later; `None`: nobody speaks.
    pub fn speakers(&self) -> Option<ServerMessage> {
        (!self.speakers.is_empty()).then(|| self.speakers_message())
    }

    fn speakers_message(&self) -> ServerMessage {
        ServerMessage::Speakers { participants: self.speakers_text() }
    }

    pub fn speakers_text(&self) -> Vec<String> {
        self.speakers.iter().map(|speaker| participant_text(*speaker)).collect()
    }
}

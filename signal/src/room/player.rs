//! WHEP players: they cannot ask for more than their first offer holds, so the room fills their m-lines for them, and fills them again
//! as people come and go.

use super::{JoinNumber, Room, World};
use crate::media::{Kind, Source};
use crate::message::TrackSource;
use crate::people::{Entry, Participant, Plan};

impl Room {
    /// After something came or went: every player is brought up to date.
    pub(super) fn refill_players(&mut self, world: &mut World) {
        let players: Vec<JoinNumber> =
            self.people.iter().filter(|(_, p)| matches!(p.entry, Entry::Player(_))).map(|(number, _)| *number).collect();
        for number in players {
            self.refill(number, world);
        }
    }

    /// Ends what no longer has a place among the player's m-lines and asks for what has one now. Does nothing for who is no player.
    pub(super) fn refill(&mut self, number: JoinNumber, world: &mut World) {
        let Some(player) = self.people.get(&number) else { return };
        let Entry::Player(plan) = &player.entry else { return };
        if !player.may_subscribe() {
            return;
        }
        let mut wanted = self.wanted(plan, Kind::Audio);
        wanted.extend(self.wanted(plan, Kind::Video));
        let displaced: Vec<_> =
            player.subscriptions.iter().map(|subscription| subscription.source).filter(|source| !wanted.contains(source)).collect();
        for source in &displaced {
            if let Some(player) = self.people.get_mut(&number) {
                player.subscriptions.retain(|s| s.source.publication != source.publication);
                world.media.unsubscribe(player.id, source.publication);
            }
        }
        if !displaced.is_empty() {
            self.place_waiting(number, world);
        }
        for source in wanted {
            self.receive(number, source, world);
        }
    }

    /// First the named identity's (camera before screen; the newest of several publishers, for an encoder that came back while its old self
    /// has not timed out yet), then the others' in order of joining; as many as there are m-lines.
    fn wanted(&self, plan: &Plan, kind: Kind) -> Vec<Source> {
        let is_first = |p: &Participant| plan.first.as_ref().is_some_and(|first| *first == p.ticket.identity);
        let mut sources: Vec<Source> = Vec::new();
        for participant in self.people.values().rev().filter(|p| is_first(p)) {
            sources.extend(shown_of(participant, kind));
        }
        // Nobody else is shown in the named one's place while it is not there.
        let reserved = usize::from(plan.first.is_some() && sources.is_empty());
        for participant in self.people().filter(|p| !is_first(p)) {
            sources.extend(shown_of(participant, kind));
        }
        sources.truncate(plan.slots(kind).saturating_sub(reserved));
        sources
    }
}

/// Camera before screen, microphone before the screen's sound.
fn shown_of(participant: &Participant, kind: Kind) -> Vec<Source> {
    let rank = |source: TrackSource| match source {
        TrackSource::Camera | TrackSource::Microphone => 0,
        TrackSource::Screen | TrackSource::ScreenAudio => 1,
    };
    let mut shown: Vec<_> = participant.shown().filter(|publication| publication.kind == kind).collect();
    shown.sort_by_key(|publication| rank(publication.source));
    shown.into_iter().map(|publication| participant.source(publication)).collect()
}

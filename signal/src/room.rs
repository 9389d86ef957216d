//! One room: who is in it, in order of joining, who publishes what, who receives it. No clock, no task, no socket: inputs come in from
//! [`Rooms`](crate::rooms::Rooms), the media side is told through its trait, and what clients must hear is queued.

use std::collections::BTreeMap;

use crate::config::Config;
use crate::media::{Answer, Kind, Media, MediaError, ParticipantId, Placed, Placement, PublicationId, Published, RoomId, Source, Waiting};
use crate::message::{ErrorCode, LeaveReason, OnMid, ServerMessage, Track, participant_text, publication_text};
use crate::news::{News, What};
use crate::people::{Participant, Publication, Subscription};
use crate::quality::Sample;

mod operator;
mod player;
mod viewing;

pub use operator::{Options, RoomChange, Which};

/// Something that must be done outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    Tell {
        to: Vec<ParticipantId>,
        message: ServerMessage,
    },
    /// The participant is gone; whoever holds its connection ends it.
    Ended {
        participant: ParticipantId,
        reason: LeaveReason,
    },
    /// For who keeps books.
    News(Box<News>),
    Sample(Box<Sample>),
}

/// A request that could not be met.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub code: ErrorCode,
    pub message: String,
    pub field: Option<&'static str>,
}

impl Refusal {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), field: None }
    }
    pub fn of(self, field: &'static str) -> Self {
        Self { field: Some(field), ..self }
    }
    fn no_publication() -> Self {
        Self::new(ErrorCode::NotFound, "no such publication").of("publication")
    }
}

impl From<MediaError> for Refusal {
    fn from(error: MediaError) -> Self {
        let code = match error {
            MediaError::Malformed { .. } => ErrorCode::BadSdp,
            MediaError::Unacceptable { .. } => ErrorCode::UnacceptableSdp,
            MediaError::UnknownParticipant => ErrorCode::NotJoined,
            MediaError::Busy => ErrorCode::Busy,
        };
        Self::new(code, error.to_string())
    }
}

/// What the rules reach out to.
pub struct World<'a> {
    pub limits: &'a Config,
    pub media: &'a dyn Media,
    pub outputs: &'a mut Vec<Output>,
}

impl World<'_> {
    pub fn tell(&mut self, to: ParticipantId, message: ServerMessage) {
        self.outputs.push(Output::Tell { to: vec![to], message });
    }

    pub fn report(&mut self, news: News) {
        self.outputs.push(Output::News(Box::new(news)));
    }
}

/// Position in the order of joining, unique in the process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct JoinNumber(pub u64);

#[derive(Debug)]
pub struct Room {
    pub id: RoomId,
    pub name: String,
    pub options: Options,
    /// In seconds since 1970.
    pub created_s: u64,
    /// Since when nobody is in it, where it stays for a while.
    pub empty_since_s: Option<u64>,
    people: BTreeMap<JoinNumber, Participant>,
    /// Who speaks, the dominant speaker first.
    speakers: Vec<ParticipantId>,
}

impl Room {
    pub fn new(id: RoomId, name: String, options: Options, now_s: u64) -> Self {
        Self { id, name, options, created_s: now_s, empty_since_s: Some(now_s), people: BTreeMap::new(), speakers: Vec::new() }
    }

    pub fn len(&self) -> usize {
        self.people.len()
    }

    pub fn is_empty(&self) -> bool {
        self.people.is_empty()
    }

    pub fn participant(&self, number: JoinNumber) -> Option<&Participant> {
        self.people.get(&number)
    }

    pub fn people(&self) -> impl Iterator<Item = &Participant> {
        self.people.values()
    }

    /// The caller with this identity, whom a caller with the same one replaces.
    pub fn holder(&self, identity: &str) -> Option<ParticipantId> {
        self.people().find(|p| p.replaces() && p.ticket.identity == identity).map(|p| p.id)
    }

    /// Takes in a participant that the media side knows already, subscribes it to what it wants, and tells the others.
    pub fn admit(&mut self, number: JoinNumber, participant: Participant, world: &mut World) {
        if participant.visible() {
            self.tell_others(number, ServerMessage::ParticipantJoined { participant: participant.info() }, world);
        }
        self.empty_since_s = None;
        let auto = participant.auto_subscribes();
        let sources: Vec<Source> = if auto { self.sources_for(number).collect() } else { Vec::new() };
        self.people.insert(number, participant);
        if let Some(participant) = self.people.get(&number) {
            world.report(News::of_participant(What::ParticipantJoined, self, participant));
        }
        for source in sources {
            self.receive(number, source, world);
        }
        self.refill(number, world);
        // Its first offer asks for what is waiting now; `joined` says how much.
        if let Some(participant) = self.people.get_mut(&number) {
            participant.negotiate_due = false;
        }
    }

    /// Ends everything of a participant and tells the others.
    pub fn remove(&mut self, number: JoinNumber, reason: LeaveReason, world: &mut World) -> Option<Participant> {
        let participant = self.people.remove(&number)?;
        let publications: Vec<PublicationId> = participant.shown().map(|publication| publication.id).collect();
        self.stop_receiving(&publications, world);
        world.media.close(participant.id);
        self.speakers.retain(|speaker| *speaker != participant.id);
        if participant.visible() {
            let message = ServerMessage::ParticipantLeft { participant: participant.text(), reason };
            self.tell_others(number, message, world);
        }
        for publication in participant.shown() {
            world.report(News::of_publication(What::PublicationEnded, self, &participant, publication));
        }
        world.report(News { reason: Some(reason.word()), ..News::of_participant(What::ParticipantLeft, self, &participant) });
        self.refill_players(world);
        Some(participant)
    }

    /// Takes over the outcome of a participant's offer.
    pub fn handle_answer(
        &mut self,
        number: JoinNumber,
        request: Option<u64>,
        answer: Answer,
        tracks: &[Track],
        world: &mut World,
    ) -> Option<String> {
        let Answer { sdp, published, placed, waiting } = answer;
        let participant = self.people.get_mut(&number)?;
        place(participant, &placed);
        participant.waiting = waiting;
        participant.negotiate_due = false;
        if let Some(id) = request {
            let published = published.iter().map(|p| on_mid(p.publication, &p.mid)).collect();
            let placed = placed.iter().map(|p| on_mid(p.publication, &p.mid)).collect();
            let message = ServerMessage::Answer { id, sdp: sdp.clone(), published, placed, negotiate: waiting.into() };
            world.tell(participant.id, message);
        }
        self.take_over_publications(number, published, tracks, world);
        Some(sdp)
    }

    fn take_over_publications(&mut self, number: JoinNumber, published: Vec<Published>, tracks: &[Track], world: &mut World) {
        let Some(participant) = self.people.get_mut(&number) else { return };
        let is_sent = |publication: &Publication| published.iter().any(|published| published.publication == publication.id);
        let ended: Vec<Publication> = participant.shown().filter(|publication| !is_sent(publication)).cloned().collect();
        // All of them first: what has ended must not be given to someone as another one ends.
        participant.publications.retain(is_sent);
        self.hide_publications(number, &ended, world);
        for new in published {
            let track = tracks.iter().find(|track| track.mid == new.mid);
            self.take_over_publication(number, new, track, world);
        }
    }

    fn take_over_publication(&mut self, number: JoinNumber, new: Published, track: Option<&Track>, world: &mut World) {
        let Some(participant) = self.people.get_mut(&number) else { return };
        let id = new.publication;
        if let Some(known) = participant.publication_mut(id) {
            known.mid = new.mid;
            let changed = track.is_some_and(|track| known.describe(track));
            if changed && !known.withheld {
                self.handle_described(number, id, world);
            }
            return;
        }
        // The media side bounds the m-lines of an offer too; this keeps the room's own tables in bounds whatever it grants.
        if participant.publications.len() >= world.limits.publications_per_participant_max {
            return;
        }
        let mut publication = Publication::new(new, track);
        // A second picture or sound of someone who cannot name them (WHIP) is shown next to the first, as a screen.
        if track.is_none() && participant.publications.iter().any(|p| p.source == publication.source) {
            publication.source = match publication.kind {
                Kind::Audio => crate::message::TrackSource::ScreenAudio,
                Kind::Video => crate::message::TrackSource::Screen,
            };
        }
        participant.publications.push(publication);
        self.show_publication(number, id, world);
    }

    /// Tells the others of a publication and lets it flow to those who want everything.
    fn show_publication(&mut self, number: JoinNumber, id: PublicationId, world: &mut World) {
        let Some(participant) = self.people.get(&number) else { return };
        let Some(publication) = participant.shown().find(|publication| publication.id == id) else { return };
        let source = participant.source(publication);
        let message = ServerMessage::PublicationStarted { participant: participant.text(), publication: publication.info() };
        world.report(News::of_publication(What::PublicationStarted, self, participant, publication));
        self.tell_others(number, message, world);
        let wanting: Vec<JoinNumber> =
            self.people.iter().filter(|(other, p)| **other != number && p.auto_subscribes()).map(|(other, _)| *other).collect();
        for other in wanting {
            self.receive(other, source, world);
        }
        self.refill_players(world);
    }

    fn hide_publications(&mut self, number: JoinNumber, ended: &[Publication], world: &mut World) {
        if ended.is_empty() {
            return;
        }
        let ids: Vec<PublicationId> = ended.iter().map(|publication| publication.id).collect();
        self.stop_receiving(&ids, world);
        let Some(participant) = self.people.get(&number) else { return };
        for publication in ended {
            world.report(News::of_publication(What::PublicationEnded, self, participant, publication));
            let (participant, publication) = (participant.text(), publication_text(publication.id));
            self.tell_others(number, ServerMessage::PublicationEnded { participant, publication }, world);
        }
        self.refill_players(world);
    }

    /// `publish`: what an m-line carries from now on.
    pub fn publish(&mut self, number: JoinNumber, track: &Track, world: &mut World) -> Result<(), Refusal> {
        let participant = self.people.get_mut(&number).ok_or_else(Refusal::no_publication)?;
        let publisher = participant.id;
        let Some(publication) = participant.publications.iter_mut().find(|p| p.mid == track.mid) else {
            return Err(Refusal::new(ErrorCode::NotFound, "no track is sent on this m-line").of("mid"));
        };
        let (id, changed) = (publication.id, publication.describe(track));
        if publication.withheld {
            publication.withheld = false;
            world.media.set_muted(publisher, id, publication.muted_by_server);
            self.show_publication(number, id, world);
        } else if changed {
            self.handle_described(number, id, world);
        }
        Ok(())
    }

    /// `unpublish`: the m-line goes on sending, nobody receives it.
    pub fn unpublish(&mut self, number: JoinNumber, id: PublicationId, world: &mut World) -> Result<(), Refusal> {
        let participant = self.people.get_mut(&number).ok_or_else(Refusal::no_publication)?;
        let publisher = participant.id;
        let publication = participant.publication_mut(id).ok_or_else(Refusal::no_publication)?;
        if !publication.withheld {
            let ended = publication.clone();
            publication.withheld = true;
            world.media.set_muted(publisher, id, true);
            self.hide_publications(number, &[ended], world);
        }
        Ok(())
    }

    /// `subscribe`: the m-line's mid if there is one.
    pub fn subscribe(&mut self, number: JoinNumber, id: PublicationId, world: &mut World) -> Result<Option<String>, Refusal> {
        let participant = self.people.get(&number).ok_or_else(Refusal::no_publication)?;
        if !participant.may_subscribe() {
            return Err(Refusal::new(ErrorCode::Forbidden, "the token does not grant canSubscribe"));
        }
        if let Some(subscription) = participant.subscription(id) {
            return Ok(subscription.mid.clone());
        }
        let Some(source) = self.sources_for(number).find(|source| source.publication == id) else {
            return Err(Refusal::no_publication());
        };
        self.receive_checked(number, source, world)
    }

    /// `unsubscribe`: also of what was not subscribed, so that it may cross the publication's end.
    pub fn unsubscribe(&mut self, number: JoinNumber, id: PublicationId, world: &mut World) {
        let Some(participant) = self.people.get_mut(&number) else { return };
        if participant.subscription(id).is_none() {
            return;
        }
        participant.subscriptions.retain(|s| s.source.publication != id);
        world.media.unsubscribe(participant.id, id);
        self.place_waiting(number, world);
    }

    /// `mute`, of one's own or (as admin) of others' publications.
    pub fn mute(&mut self, number: JoinNumber, id: PublicationId, muted: bool, world: &mut World) -> Result<(), Refusal> {
        let asking = self.people.get(&number).ok_or_else(Refusal::no_publication)?;
        let own = asking.publications.iter().any(|publication| publication.id == id);
        let admin = asking.ticket.admin;
        let owner = self.people.iter().find(|(_, p)| p.shown().any(|publication| publication.id == id));
        let owner = if own { number } else { *owner.ok_or_else(Refusal::no_publication)?.0 };
        if !own && !admin {
            return Err(Refusal::new(ErrorCode::Forbidden, "only with the grant roomAdmin may one mute others"));
        }
        let participant = self.people.get_mut(&owner).ok_or_else(Refusal::no_publication)?;
        let publisher = participant.id;
        let publication = participant.publication_mut(id).ok_or_else(Refusal::no_publication)?;
        if own {
            if publication.muted_by_server && !muted && !admin {
                return Err(Refusal::new(ErrorCode::Forbidden, "muted by a moderator, who alone can lift it"));
            }
            publication.muted = muted;
        }
        if !own || (admin && !muted) {
            publication.muted_by_server = muted;
            world.media.set_muted(publisher, id, muted || publication.withheld);
        }
        let message = ServerMessage::PublicationMuted {
            participant: participant_text(publisher),
            publication: publication_text(id),
            muted: publication.muted || publication.muted_by_server,
            muted_by_server: publication.muted_by_server,
        };
        if publication.withheld {
            return Ok(());
        }
        if !own && participant.listens() {
            world.tell(publisher, message.clone());
        }
        self.tell_others(owner, message, world);
        Ok(())
    }

    /// The media path of a participant is up.
    pub fn handle_connected(&mut self, number: JoinNumber, world: &mut World) {
        let Some(participant) = self.people.get_mut(&number) else { return };
        if std::mem::replace(&mut participant.connected, true) {
            return;
        }
        if participant.listens() {
            world.tell(participant.id, ServerMessage::Connected);
        }
        if participant.visible() {
            let message = participant.updated();
            self.tell_others(number, message, world);
        }
    }

    /// Tells whoever must offer again. Once per input, however many subscriptions it made.
    pub fn settle(&mut self, world: &mut World) {
        for participant in self.people.values_mut() {
            if std::mem::take(&mut participant.negotiate_due) && participant.listens() {
                world.tell(participant.id, ServerMessage::Negotiate(participant.waiting.into()));
            }
        }
    }

    /// Everything that this participant could receive, in order of joining.
    fn sources_for(&self, number: JoinNumber) -> impl Iterator<Item = Source> {
        self.people.iter().filter(move |(other, _)| **other != number).flat_map(|(_, p)| p.shown().map(|publication| p.source(publication)))
    }

    /// Subscribes; what cannot be had is left out, as nobody asked for it by name.
    fn receive(&mut self, number: JoinNumber, source: Source, world: &mut World) {
        if let Err(refusal) = self.receive_checked(number, source, world) {
            tracing::debug!(code = ?refusal.code, "publication not subscribed");
        }
    }

    fn receive_checked(&mut self, number: JoinNumber, source: Source, world: &mut World) -> Result<Option<String>, Refusal> {
        let screen = self.is_screen(source.publication);
        let participant = self.people.get_mut(&number).ok_or_else(Refusal::no_publication)?;
        if participant.subscriptions.len() >= world.limits.subscriptions_per_participant_max {
            return Err(Refusal::new(ErrorCode::Full, "too many subscriptions"));
        }
        if participant.subscription(source.publication).is_some() {
            return Ok(None);
        }
        let mid = match world.media.subscribe(participant.id, source)? {
            Placement::Placed { mid } => Some(mid),
            Placement::Waiting(waiting) => {
                participant.waiting = waiting;
                participant.negotiate_due = true;
                None
            }
        };
        let subscription = Subscription { mid: mid.clone(), ..Subscription::new(source, screen) };
        viewing::apply(participant.id, &subscription, world);
        participant.subscriptions.push(subscription);
        if let (Some(mid), true) = (&mid, participant.listens()) {
            let message = ServerMessage::Placed { publication: publication_text(source.publication), mid: mid.clone() };
            world.tell(participant.id, message);
        }
        Ok(mid)
    }

    /// Publications are over: nobody receives them any more.
    fn stop_receiving(&mut self, ids: &[PublicationId], world: &mut World) {
        let receivers: Vec<JoinNumber> = self
            .people
            .iter()
            .filter(|(_, p)| p.subscriptions.iter().any(|s| ids.contains(&s.source.publication)))
            .map(|(number, _)| *number)
            .collect();
        for number in receivers {
            if let Some(participant) = self.people.get_mut(&number) {
                let (ended, kept): (Vec<_>, Vec<_>) = std::mem::take(&mut participant.subscriptions)
                    .into_iter()
                    .partition(|subscription| ids.contains(&subscription.source.publication));
                participant.subscriptions = kept;
                for Subscription { source, .. } in ended {
                    world.media.unsubscribe(participant.id, source.publication);
                }
            }
            self.place_waiting(number, world);
        }
    }

    /// m-lines became free, and the media side has given them to the subscriptions that waited longest: asking again tells to which.
    fn place_waiting(&mut self, number: JoinNumber, world: &mut World) {
        let Some(participant) = self.people.get_mut(&number) else { return };
        let listens = participant.listens();
        participant.waiting = Waiting::default();
        participant.subscriptions.retain_mut(|subscription| {
            if subscription.mid.is_some() {
                return true;
            }
            match world.media.subscribe(participant.id, subscription.source) {
                Ok(Placement::Placed { mid }) => {
                    subscription.mid = Some(mid.clone());
                    viewing::apply(participant.id, subscription, world);
                    if listens {
                        let publication = publication_text(subscription.source.publication);
                        world.tell(participant.id, ServerMessage::Placed { publication, mid });
                    }
                    true
                }
                Ok(Placement::Waiting(waiting)) => {
                    participant.waiting = waiting;
                    true
                }
                Err(error) => {
                    tracing::debug!(%error, "waiting subscription lost");
                    false
                }
            }
        });
    }

    /// What its owner says of a publication has changed.
    fn handle_described(&mut self, number: JoinNumber, id: PublicationId, world: &mut World) {
        self.tell_updated(number, id, world);
        self.handle_screen(id, world);
    }

    fn tell_updated(&self, number: JoinNumber, id: PublicationId, world: &mut World) {
        let Some(participant) = self.people.get(&number) else { return };
        let Some(publication) = participant.shown().find(|publication| publication.id == id) else { return };
        let message = ServerMessage::PublicationUpdated { participant: participant.text(), publication: publication.info() };
        self.tell_others(number, message, world);
    }

    fn tell_others(&self, except: JoinNumber, message: ServerMessage, world: &mut World) {
        let to: Vec<ParticipantId> =
            self.people.iter().filter(|(number, p)| **number != except && p.listens()).map(|(_, p)| p.id).collect();
        if !to.is_empty() {
            world.outputs.push(Output::Tell { to, message });
        }
    }
}

fn place(participant: &mut Participant, placed: &[Placed]) {
    for subscription in &mut participant.subscriptions {
        let found = placed.iter().find(|placed| placed.publication == subscription.source.publication);
        subscription.mid = found.map(|placed| placed.mid.clone());
    }
}

fn on_mid(publication: PublicationId, mid: &str) -> OnMid {
    OnMid { publication: publication_text(publication), mid: mid.to_owned() }
}

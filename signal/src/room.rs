//! One room: who is in it, in order of joining, who publishes what, who receives it. No clock, no task, no socket: inputs come in from
//! [`Rooms`](crate::rooms::Rooms), the media side is told through its trait, and what clients must hear is queued.

use std::collections::{BTreeMap, BTreeSet};

use crate::config::Config;
use crate::media::{Answer, Kind, Media, MediaError, ParticipantId, Placed, Placement, PublicationId, Published, RoomId, Source, Waiting};
use crate::message::{ErrorCode, LeaveReason, OnMid, ServerMessage, Track, publication_text};
use crate::news::{News, Record, What};
use crate::people::{Participant, Publication, Subscription};
use crate::quality::Sample;
use crate::time::{Deadlines, Due, Now};

mod audience;
mod boards;
mod chat;
mod data;
mod empty;
mod hands;
mod moderation;
mod operator;
mod player;
mod polls;
mod returning;
mod standing;
mod switching;
mod viewing;
mod waiting;

use audience::Audience;
use boards::Board;
use chat::Chat;
use polls::Poll;

pub use operator::{Options, RoomWish, Which};
pub use polls::Question;
pub use standing::{Settings, Standing};
pub use switching::Newcomers;
pub use waiting::Waiter;

/// Something that must be done outside.
#[derive(Clone, Debug, PartialEq)]
pub enum Output {
    Tell {
        to: Vec<ParticipantId>,
        message: ServerMessage,
    },
    /// The same of what may be lost: who has much to read yet is spared it.
    Hint {
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
    Record(Box<Record>),
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
    pub fn no_room() -> Self {
        Self::new(ErrorCode::NotFound, "no such room")
    }
    pub fn no_participant() -> Self {
        Self::new(ErrorCode::NotFound, "no such participant").of("participant")
    }
    pub fn no_host() -> Self {
        Self::new(ErrorCode::Forbidden, "only hosts and co-hosts may do that")
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
    pub now: Now,
    pub deadlines: &'a mut Deadlines,
    /// Unguessable numbers for new ids.
    pub draw: &'a mut dyn FnMut() -> u64,
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
    pub settings: Settings,
    pub options: Options,
    /// In seconds since 1970.
    pub created_s: u64,
    /// When it ends, unless somebody comes: nobody is in it, nor in its breakouts.
    empty_until_ms: Option<u64>,
    people: BTreeMap<JoinNumber, Participant>,
    /// Who speaks, the dominant speaker first.
    speakers: Vec<ParticipantId>,
    /// Identities that may not come back.
    bans: BTreeSet<String>,
    /// What hosts have made of people, for when they come again.
    standings: BTreeMap<String, Standing>,
    chat: Chat,
    /// Raised, in the order in which they were.
    hands: Vec<ParticipantId>,
    polls: Vec<Poll>,
    boards: BTreeMap<String, Board>,
    /// Who is held, the longest first.
    waiters: Vec<Waiter>,
    /// Identities that were admitted and need not wait again.
    admitted: BTreeSet<String>,
    audience: Audience,
    /// For a breakout room.
    pub main: Option<Main>,
}

/// What a breakout room belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Main {
    pub id: RoomId,
    /// By which the breakout is known outside: its own name is its main room's affair.
    pub name: String,
    /// Its own, among the breakouts.
    pub number: usize,
}

impl Room {
    pub fn new(id: RoomId, name: String, settings: Settings, options: Options, created_s: u64) -> Self {
        let (people, speakers, bans, standings) = Default::default();
        let (chat, hands, polls, boards) = Default::default();
        let (waiters, admitted, audience, main, empty_until_ms) = Default::default();
        Self {
            id,
            name,
            settings,
            options,
            created_s,
            empty_until_ms,
            people,
            speakers,
            bans,
            standings,
            chat,
            hands,
            polls,
            boards,
            waiters,
            admitted,
            audience,
            main,
        }
    }

    /// Its number, if it is a breakout room.
    pub fn breakout(&self) -> Option<usize> {
        self.main.as_ref().map(|main| main.number)
    }

    /// As it is known outside.
    pub fn public_name(&self) -> &str {
        self.main.as_ref().map_or(&self.name, |main| &main.name)
    }

    pub fn len(&self) -> usize {
        self.people.len()
    }

    /// Whether nobody is in it, nor waits to be.
    pub fn is_empty(&self) -> bool {
        self.people.is_empty() && self.waiters.is_empty()
    }

    pub fn participant(&self, number: JoinNumber) -> Option<&Participant> {
        self.people.get(&number)
    }

    pub fn people(&self) -> impl Iterator<Item = &Participant> {
        self.people.values()
    }

    fn number_of(&self, participant: ParticipantId) -> Option<JoinNumber> {
        self.people.iter().find(|(_, p)| p.id == participant).map(|(number, _)| *number)
    }

    /// The caller with this identity, whom a caller with the same one replaces.
    pub fn holder(&self, identity: &str) -> Option<ParticipantId> {
        self.people().find(|p| p.replaces() && p.ticket.identity == identity).map(|p| p.id)
    }

    /// Takes in a participant that the media side knows already, subscribes it to what it wants, and tells the others.
    pub fn admit(&mut self, number: JoinNumber, mut participant: Participant, world: &mut World) {
        participant.in_audience = self.is_audience(&participant);
        self.count_audience(world);
        if participant.visible() {
            self.tell_others(number, ServerMessage::ParticipantJoined { participant: participant.info() }, world);
        }
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
        if let Some(until_ms) = participant.lost_until_ms {
            world.deadlines.cancel(until_ms, Due::Return(participant.id));
        }
        world.media.close(participant.id);
        self.speakers.retain(|speaker| *speaker != participant.id);
        self.drop_hand(participant.id, world);
        self.count_audience(world);
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
        if !participant.may_publish() {
            return Err(Refusal::new(ErrorCode::Forbidden, "may not publish"));
        }
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
            if participant.may_publish() {
                self.hide_publications(number, &[ended], world);
            }
        }
        Ok(())
    }

    /// `subscribe`: the m-line's mid if there is one.
    pub fn subscribe(&mut self, number: JoinNumber, id: PublicationId, world: &mut World) -> Result<Option<String>, Refusal> {
        let participant = self.people.get(&number).ok_or_else(Refusal::no_publication)?;
        if !participant.may_subscribe() {
            return Err(Refusal::new(ErrorCode::Forbidden, "may not subscribe"));
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

    /// The media path of a participant is up.
    pub fn handle_connected(&mut self, number: JoinNumber, world: &mut World) {
        let Some(participant) = self.people.get_mut(&number) else { return };
        if std::mem::replace(&mut participant.connected, true) {
            return;
        }
        if participant.listens() {
            world.tell(participant.id, ServerMessage::Connected);
        }
        self.tell_others_of(number, world);
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
        self.drop_boards(ids);
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

    /// Something about a participant has changed.
    fn tell_others_of(&self, number: JoinNumber, world: &mut World) {
        if let Some(participant) = self.people.get(&number).filter(|participant| participant.visible()) {
            self.tell_others(number, participant.updated(), world);
        }
    }

    fn tell_hosts(&self, message: ServerMessage, world: &mut World) {
        self.tell_those(Participant::is_host, message, world);
    }

    fn tell_those(&self, whom: impl Fn(&Participant) -> bool, message: ServerMessage, world: &mut World) {
        let to: Vec<ParticipantId> = self.people().filter(|p| p.listens() && whom(p)).map(|p| p.id).collect();
        if !to.is_empty() {
            world.outputs.push(Output::Tell { to, message });
        }
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

//! What the rules of a room need of the media side: one [`Negotiation`] per participant, whose outcome goes to every shard.
//!
//! ```text
//!  signal ──offer, subscribe, …──▶ Negotiations ──Command──▶ every shard
//!    ▲                                                          │
//!    └──────────MediaEvent───── media_event() ◀──────Event──────┘
//! ```

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pointsman_sfu::sdp::Candidate;
use pointsman_sfu::{self as sfu, CloseReason, Command, Negotiation, NegotiationConfig, PayloadBudget, SdpError, SubscribeError};
use pointsman_signal::media::{
    Answer, DataChannels, DataMessage, Front, IceServer, Kind, Media, MediaError, MediaEvent, ParticipantId, Placed, Placement,
    Preferences, PublicationId, Published, Quality, RoomId, Source, Trickled, Waiting,
};

use crate::config::Secret;
use crate::engine::{Busy, Mailboxes};

/// Where commands go. The engine's mailboxes; a list in tests.
pub trait Shards: Send + Sync + 'static {
    /// Either every shard gets it or none.
    fn send_to_all(&self, command: Command) -> Result<(), Busy>;
}

impl Shards for Mailboxes {
    fn send_to_all(&self, command: Command) -> Result<(), Busy> {
        Mailboxes::send_to_all(self, command)
    }
}

/// Which STUN and TURN servers clients are told of: our own listeners.
#[derive(Clone, Debug, Default)]
pub struct IceServerConfig {
    /// Where TURN over UDP is served (STUN, too), as clients reach it.
    pub udp: Vec<SocketAddr>,
    /// Where TURN over TCP is served.
    pub tcp: Vec<SocketAddr>,
    /// Where TURN over TLS is served: `host:port` with a name that is in the certificate.
    pub tls: Vec<String>,
    /// Signs the credentials (coturn's static-auth-secret). Without it only STUN is announced.
    pub shared_secret: Option<Secret>,
    /// How long credentials hold. Longer than a call: a client that renews its relay shows them again.
    pub lifetime: Duration,
}

/// The negotiations of all participants.
pub struct Negotiations<S> {
    config: Arc<NegotiationConfig>,
    ice_servers: IceServerConfig,
    participants_max: usize,
    shards: S,
    /// Of messages on their way to data channels.
    data: PayloadBudget,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    participants: HashMap<u64, Negotiation>,
    /// Participants whose state the shards have not been told of since their mailboxes were full. One that is no longer in
    /// `participants` is to be removed.
    unsent: HashSet<u64>,
}

impl<S: Shards> Negotiations<S> {
    /// At most `participants_max` participants at a time.
    pub fn new(config: NegotiationConfig, ice_servers: IceServerConfig, participants_max: usize, shards: S) -> Self {
        let data = PayloadBudget::new(DATA_BYTES_MAX);
        Self { config: Arc::new(config), ice_servers, participants_max, shards, data, state: Mutex::default() }
    }

    /// Tells the shards what they could not be told before. To be called every now and then; every other call does it as well.
    pub fn flush(&self) {
        drop(self.lock());
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // Every change below is complete before the next call; a panic elsewhere leaves nothing half done.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if !state.unsent.is_empty() {
            self.send_unsent(&mut state);
        }
        state
    }

    fn send_unsent(&self, state: &mut State) {
        let State { participants, unsent } = state;
        unsent.retain(|id| self.shards.send_to_all(command(*id, participants.get(id))).is_err());
    }

    /// Tells the shards of a participant as it now is, or remembers to.
    fn tell(&self, state: &mut State, id: u64) {
        let negotiation = state.participants.get(&id);
        // Before its first description there is nothing that could connect.
        if negotiation.is_some_and(|negotiation| !negotiation.is_established()) {
            return;
        }
        if self.shards.send_to_all(command(id, negotiation)).is_err() {
            state.unsent.insert(id);
        }
    }
}

fn command(id: u64, negotiation: Option<&Negotiation>) -> Command {
    match negotiation {
        Some(negotiation) => Command::Participant(Box::new(negotiation.spec().clone())),
        None => Command::Remove(sfu::ParticipantId(id)),
    }
}

impl<S: Shards> Media for Negotiations<S> {
    fn open(
        &self,
        participant: ParticipantId,
        room: RoomId,
        front: Front,
        may_publish: bool,
        may_subscribe: bool,
    ) -> Result<(), MediaError> {
        let mut state = self.lock();
        // A participant whose removal has not reached the shards still counts.
        if state.participants.len() + state.unsent.len() >= self.participants_max || state.unsent.contains(&participant.0) {
            return Err(MediaError::Busy);
        }
        let mut seed = [0; 32];
        aws_lc_rs::rand::fill(&mut seed).map_err(|_| MediaError::Busy)?;
        let front = match front {
            Front::Call => sfu::Front::Call,
            Front::Http => sfu::Front::Http,
        };
        let (id, room) = (sfu::ParticipantId(participant.0), sfu::RoomId(room.0));
        match state.participants.entry(participant.0) {
            Entry::Occupied(_) => Err(MediaError::Busy),
            Entry::Vacant(free) => {
                free.insert(Negotiation::new(Arc::clone(&self.config), id, room, front, may_publish, may_subscribe, seed));
                Ok(())
            }
        }
    }

    fn offer(&self, participant: ParticipantId, offer: &str) -> Result<Answer, MediaError> {
        let mut state = self.lock();
        let negotiation = state.participants.get_mut(&participant.0).ok_or(MediaError::UnknownParticipant)?;
        let sdp = negotiation.answer(offer).map_err(refused)?;
        let answer = outcome(negotiation, sdp);
        self.tell(&mut state, participant.0);
        Ok(answer)
    }

    fn candidate(&self, participant: ParticipantId, candidate: &str) -> Result<(), MediaError> {
        if !self.lock().participants.contains_key(&participant.0) {
            return Err(MediaError::UnknownParticipant);
        }
        let end = candidate.is_empty() || candidate.trim_start_matches("a=") == "end-of-candidates";
        if !end {
            Candidate::read(candidate).map_err(|error| MediaError::Malformed { line: None, reason: error.to_string() })?;
        }
        Ok(())
    }

    fn trickle(&self, participant: ParticipantId, fragment: &str) -> Result<Trickled, MediaError> {
        let mut state = self.lock();
        let negotiation = state.participants.get_mut(&participant.0).ok_or(MediaError::UnknownParticipant)?;
        match negotiation.trickle(fragment).map_err(refused)? {
            sfu::Trickled::Candidates => Ok(Trickled::Candidates),
            sfu::Trickled::Restarted { fragment } => {
                self.tell(&mut state, participant.0);
                Ok(Trickled::Restarted { fragment })
            }
        }
    }

    fn counter_offer(&self, participant: ParticipantId, at_least: Waiting) -> Result<String, MediaError> {
        let mut state = self.lock();
        let negotiation = state.participants.get_mut(&participant.0).ok_or(MediaError::UnknownParticipant)?;
        let Waiting { audio, video } = at_least;
        Ok(negotiation.offer(sfu::Waiting { audio, video }))
    }

    fn answer(&self, participant: ParticipantId, answer: &str) -> Result<Answer, MediaError> {
        let mut state = self.lock();
        let negotiation = state.participants.get_mut(&participant.0).ok_or(MediaError::UnknownParticipant)?;
        negotiation.handle_answer(answer).map_err(refused)?;
        let outcome = outcome(negotiation, String::new());
        self.tell(&mut state, participant.0);
        Ok(outcome)
    }

    fn subscribe(&self, participant: ParticipantId, source: Source) -> Result<Placement, MediaError> {
        let mut state = self.lock();
        let negotiation = state.participants.get_mut(&participant.0).ok_or(MediaError::UnknownParticipant)?;
        let placement = place(negotiation, source)?;
        if matches!(placement, Placement::Placed { .. }) {
            self.tell(&mut state, participant.0);
        }
        Ok(placement)
    }

    fn unsubscribe(&self, participant: ParticipantId, publication: PublicationId) {
        let mut state = self.lock();
        let Some(negotiation) = state.participants.get_mut(&participant.0) else { return };
        negotiation.unsubscribe(sfu::PublicationId(publication.0));
        self.tell(&mut state, participant.0);
    }

    fn prefer(&self, participant: ParticipantId, publication: PublicationId, preferences: Preferences) {
        let mut state = self.lock();
        let Some(negotiation) = state.participants.get_mut(&participant.0) else { return };
        if negotiation.prefer(sfu::PublicationId(publication.0), preferences_of(preferences)) {
            self.tell(&mut state, participant.0);
        }
    }

    fn set_muted(&self, publisher: ParticipantId, publication: PublicationId, muted: bool) {
        let mut state = self.lock();
        let Some(negotiation) = state.participants.get_mut(&publisher.0) else { return };
        if negotiation.set_muted(sfu::PublicationId(publication.0), muted) {
            self.tell(&mut state, publisher.0);
        }
    }

    fn send_data(&self, to: &[ParticipantId], message: DataMessage) -> Result<(), MediaError> {
        let DataMessage { reliable, text, bytes } = message;
        let payload = self.data.lend(bytes).ok_or(MediaError::Busy)?;
        let to = to.iter().map(|participant| sfu::ParticipantId(participant.0)).collect();
        let delivery = sfu::Delivery { to, message: sfu::DataMessage { reliable, text, payload } };
        self.shards.send_to_all(Command::Data(delivery)).map_err(|Busy| MediaError::Busy)
    }

    fn grant(&self, participant: ParticipantId, may_publish: bool, may_subscribe: bool) {
        // The shards know of what there is: it changes with the next offer, and with `set_muted` and `unsubscribe`.
        if let Some(negotiation) = self.lock().participants.get_mut(&participant.0) {
            negotiation.grant(may_publish, may_subscribe);
        }
    }

    fn move_to(&self, participant: ParticipantId, room: RoomId, sources: &[Source]) -> Result<Vec<Placement>, MediaError> {
        let mut state = self.lock();
        let negotiation = state.participants.get_mut(&participant.0).ok_or(MediaError::UnknownParticipant)?;
        negotiation.enter(sfu::RoomId(room.0));
        let placements = sources.iter().map(|source| place(negotiation, *source)).collect();
        self.tell(&mut state, participant.0);
        placements
    }

    fn close(&self, participant: ParticipantId) {
        let mut state = self.lock();
        if state.participants.remove(&participant.0).is_some_and(|negotiation| negotiation.is_established()) {
            self.tell(&mut state, participant.0);
        }
    }

    fn ice_servers(&self, identity: &str) -> Vec<IceServer> {
        // A clock before 1970 makes credentials that have run out, and nothing worse.
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        ice_servers(&self.ice_servers, identity, now)
    }
}

/// Messages that wait in the shards' mailboxes and behind them, in bytes.
const DATA_BYTES_MAX: usize = 32 << 20;

/// Wants a source; where it went.
fn place(negotiation: &mut Negotiation, source: Source) -> Result<Placement, MediaError> {
    let kind = match source.kind {
        Kind::Audio => sfu::Kind::Audio,
        Kind::Video => sfu::Kind::Video,
    };
    let source = sfu::Source { publication: sfu::PublicationId(source.publication.0), publisher: sfu::ParticipantId(source.publisher.0) };
    let placement = negotiation.subscribe(source, kind).map_err(|error| match error {
        SubscribeError::NotGranted => MediaError::Unacceptable { reason: error.to_string() },
        SubscribeError::Full => MediaError::Busy,
    })?;
    Ok(match placement {
        sfu::Placement::Placed { mid } => Placement::Placed { mid },
        sfu::Placement::Waiting => Placement::Waiting(waiting(negotiation)),
    })
}

fn waiting(negotiation: &Negotiation) -> Waiting {
    let sfu::Waiting { audio, video } = negotiation.waiting();
    Waiting { audio, video }
}

fn outcome(negotiation: &Negotiation, sdp: String) -> Answer {
    let published = negotiation.publications().map(|(receiver, codec)| Published {
        publication: PublicationId(receiver.publication.0),
        mid: receiver.mid.clone(),
        kind: match receiver.kind {
            sfu::Kind::Audio => Kind::Audio,
            sfu::Kind::Video => Kind::Video,
        },
        codec: codec.to_owned(),
        simulcast: receiver.rids.len() > 1 || receiver.ssrcs.len() > 1,
    });
    let placed = negotiation.placed().map(|(publication, mid)| Placed { publication: PublicationId(publication.0), mid: mid.to_owned() });
    Answer { sdp, published: published.collect(), placed: placed.collect(), waiting: waiting(negotiation) }
}

fn refused(error: SdpError) -> MediaError {
    match error {
        SdpError::Syntax(error) => MediaError::Malformed { line: Some(error.line), reason: error.fault.reason().to_owned() },
        SdpError::Refused(refusal) => MediaError::Unacceptable { reason: refusal.to_string() },
    }
}

/// Time-limited credentials (draft-uberti-behave-turn-rest-00 section 2.2): the name is `<expiry>:<identity>`, the password its HMAC-SHA1
/// under the shared secret.
fn ice_servers(config: &IceServerConfig, identity: &str, now: Duration) -> Vec<IceServer> {
    let IceServerConfig { udp, tcp, tls, shared_secret, lifetime } = config;
    let urls = |scheme: &str, addresses: &[SocketAddr], transport: &str| {
        addresses.iter().map(|address| format!("{scheme}:{address}{transport}")).collect::<Vec<_>>()
    };
    let mut servers = Vec::new();
    let stun = urls("stun", udp, "");
    if !stun.is_empty() {
        servers.push(IceServer { urls: stun, username: String::new(), credential: String::new() });
    }
    let Some(secret) = shared_secret else { return servers };
    let mut turn = urls("turn", udp, "?transport=udp");
    turn.extend(urls("turn", tcp, "?transport=tcp"));
    turn.extend(tls.iter().map(|host| format!("turns:{host}?transport=tcp")));
    if !turn.is_empty() {
        let username = format!("{}:{identity}", (now + *lifetime).as_secs());
        let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.expose().as_bytes());
        let credential = STANDARD.encode(hmac::sign(&key, username.as_bytes()));
        servers.push(IceServer { urls: turn, username, credential });
    }
    servers
}

/// What a shard reports, as the rules of a room understand it; `None` for what they need not know.
pub fn media_event(event: &sfu::Event) -> Option<MediaEvent> {
    match *event {
        sfu::Event::Claimed { .. } | sfu::Event::PathChanged { .. } => None,
        sfu::Event::Connected { participant, .. } => Some(MediaEvent::Connected { participant: ParticipantId(participant.0) }),
        sfu::Event::PublicationStarted { publication, .. } => {
            Some(MediaEvent::PublicationStarted { publication: PublicationId(publication.0) })
        }
        sfu::Event::Quality { participant, publication, quality } => Some(MediaEvent::Quality {
            participant: ParticipantId(participant.0),
            publication: PublicationId(publication.0),
            quality: quality_of(&quality),
        }),
        sfu::Event::Estimate { participant, estimate_bps } => {
            Some(MediaEvent::Estimate { participant: ParticipantId(participant.0), estimate_bps })
        }
        sfu::Event::LayersWanted { publisher, publication, spatial_max } => {
            Some(MediaEvent::LayersWanted { publisher: ParticipantId(publisher.0), publication: PublicationId(publication.0), spatial_max })
        }
        sfu::Event::Speakers { room, ref speakers } => {
            Some(MediaEvent::Speakers { room: RoomId(room.0), speakers: speakers.iter().map(|speaker| ParticipantId(speaker.0)).collect() })
        }
        sfu::Event::DataChannels { participant, open: sfu::ChannelsOpen { reliable, lossy } } => {
            Some(MediaEvent::DataChannels { participant: ParticipantId(participant.0), open: DataChannels { reliable, lossy } })
        }
        sfu::Event::Data { participant, message: sfu::DataMessage { reliable, text, ref payload } } => {
            let message = DataMessage { reliable, text, bytes: payload.bytes().to_vec() };
            Some(MediaEvent::Data { participant: ParticipantId(participant.0), message })
        }
        sfu::Event::DataLost { participant, messages } => {
            Some(MediaEvent::DataLost { participant: ParticipantId(participant.0), messages })
        }
        sfu::Event::Closed { participant, reason } => {
            Some(MediaEvent::Closed { participant: ParticipantId(participant.0), reason: close_reason(reason) })
        }
    }
}

fn preferences_of(preferences: Preferences) -> sfu::Preferences {
    let Preferences { width, height, visible, pinned, screen, priority, spatial_max, temporal_max } = preferences;
    let layer_max = sfu::LayerId::new(spatial_max, temporal_max);
    sfu::Preferences { width, height, visible, pinned, screen, priority, layer_max }
}

fn quality_of(quality: &sfu::Quality) -> Quality {
    let &sfu::Quality { current, target, bitrate_bps, reason } = quality;
    let layer = |id: sfu::LayerId| (id.spatial, id.temporal);
    Quality { current: current.map(layer), target: target.map(layer), bitrate_bps, reason: reason_word(reason) }
}

const fn reason_word(reason: sfu::Reason) -> &'static str {
    match reason {
        sfu::Reason::Best => "best",
        sfu::Reason::Silent => "silent",
        sfu::Reason::Viewport => "viewport",
        sfu::Reason::Hidden => "hidden",
        sfu::Reason::Preference => "preference",
        sfu::Reason::Estimate => "estimate",
        sfu::Reason::Loss => "loss",
        sfu::Reason::AudioOnly => "audio_only",
        sfu::Reason::LayerAbsent => "layer_absent",
        sfu::Reason::AwaitingKeyframe => "awaiting_keyframe",
        sfu::Reason::Backlog => "backlog",
        sfu::Reason::NotSpeaking => "not_speaking",
        sfu::Reason::Administrator => "administrator",
    }
}

const fn close_reason(reason: CloseReason) -> &'static str {
    match reason {
        CloseReason::NeverConnected => "never connected: no connectivity check arrived",
        CloseReason::ConsentExpired => "the client is gone: its connectivity checks stopped",
        CloseReason::DtlsFailed => "the DTLS handshake failed",
        CloseReason::FingerprintMismatch => "the client's certificate does not match its SDP",
        CloseReason::ClosedByPeer => "closed by the client",
    }
}

#[cfg(test)]
mod tests;

//! Offer and answer (RFC 8829) for one participant, on control's side.
//!
//! ```text
//!  client's offer ──answer()──▶ our answer          subscribe(), unsubscribe(), set_muted()
//!                     │                                   │
//!                     └────────▶ ParticipantSpec ◀────────┘   spec(): sent to every shard
//! ```
//! Each m-line on which the client sends becomes a publication; each on which it receives becomes a sender whose SSRCs stay, so that
//! subscriptions move in and out of it without SDP. One transport carries everything (BUNDLE, rtcp-mux); we are ICE-lite.

mod codecs;
mod error;
mod extensions;
mod line;
mod offer;
mod random;
#[cfg(test)]
mod tests;
mod write;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

pub use error::{Place, Refusal, RefusalCause, SdpError, SubscribeError};
use line::Line;
use random::Random;

use crate::sdp::{Description, Fragment, Limits, Media, MediaKind, Setup, Transport};
use crate::{
    Claim, DataConfig, DtlsRole, Fingerprint, Front, IceCredentials, Kind, ParticipantId, ParticipantSpec, Preferences, PublicationId,
    ReceiverSpec, RoomId, Source,
};

/// What holds for every participant.
#[derive(Clone, Debug)]
pub struct NegotiationConfig {
    /// Addresses under which clients reach our media sockets, the preferred first: one host candidate each.
    pub candidates: Vec<SocketAddr>,
    /// Of the certificate with which we do DTLS.
    pub fingerprint: Fingerprint,
    pub limits: Limits,
    /// m-lines on which one client may send. A camera, a microphone, a screen and its sound are four.
    pub publications_max: usize,
    /// Publications that one client may want at a time, those that wait for an m-line included.
    pub subscriptions_max: usize,
    /// Simulcast layers of one publication. Browsers offer three.
    pub layers_max: usize,
    /// Longest message that we take from a data channel, in bytes. 0: data channels are refused.
    pub data_message_bytes_max: u32,
}

impl NegotiationConfig {
    /// Usual bounds around what has no default.
    pub fn new(candidates: Vec<SocketAddr>, fingerprint: Fingerprint) -> Self {
        Self {
            candidates,
            fingerprint,
            limits: Limits::default(),
            publications_max: 16,
            subscriptions_max: 512,
            layers_max: 3,
            data_message_bytes_max: DataConfig::default().message_bytes_max,
        }
    }
}

/// Where a subscription went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On the m-line with this mid.
    Placed { mid: String },
    /// No m-line of its kind is free: see [`Negotiation::waiting`].
    Waiting,
}

/// Receiving m-lines that the client lacks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    pub audio: u16,
    pub video: u16,
}

/// What a fragment did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trickled {
    /// Nothing more than name candidates.
    Candidates,
    /// ICE started anew; the fragment tells the client our side of it.
    Restarted { fragment: String },
}

/// One participant's negotiation: its m-lines, what it sends and what it wants.
#[derive(Clone, Debug)]
pub struct Negotiation {
    config: Arc<NegotiationConfig>,
    may_publish: bool,
    may_subscribe: bool,
    random: Random,
    /// Stream name (msid) of the first audio and the first video sent to a client that plays one publisher: what shares it is
    /// played in step.
    paired_stream: String,
    /// Of our o-line.
    session_id: u64,
    version: u64,
    lines: Vec<Line>,
    /// How many of `lines` a description of the client has confirmed; the rest is in an offer of ours that has no answer yet.
    confirmed: usize,
    offer_pending: bool,
    /// Of our last answer; a restart repeats them.
    ice_options: Vec<String>,
    subscriptions: Vec<Subscription>,
    spec: ParticipantSpec,
}

#[derive(Clone, Debug)]
struct Subscription {
    source: Source,
    kind: Kind,
    preferences: Preferences,
    /// Index of the m-line that carries it.
    line: Option<usize>,
}

impl Negotiation {
    /// `seed` must be unpredictable: credentials, SSRCs and ids are drawn from it.
    pub fn new(
        config: Arc<NegotiationConfig>,
        id: ParticipantId,
        room: RoomId,
        front: Front,
        may_publish: bool,
        may_subscribe: bool,
        seed: [u8; 32],
    ) -> Self {
        let mut random = Random::new(seed);
        let spec = ParticipantSpec {
            id,
            room,
            claim: Claim::new(),
            front,
            local: random.credentials(),
            remote: IceCredentials { ufrag: String::new(), pwd: String::new() },
            dtls_role: DtlsRole::Server,
            fingerprints: Vec::new(),
            receivers: Vec::new(),
            senders: Vec::new(),
            data: None,
        };
        // RFC 8829 section 5.2.1: 64 bits with the highest clear.
        let session_id = random.number() >> 1;
        let paired_stream = random.letters(16);
        Self {
            config,
            may_publish,
            may_subscribe,
            random,
            paired_stream,
            session_id,
            version: 0,
            lines: Vec::new(),
            confirmed: 0,
            offer_pending: false,
            ice_options: Vec::new(),
            subscriptions: Vec::new(),
            spec,
        }
    }

    /// Takes the client's offer, the first or a later one, and answers it. A refused offer changes nothing. An offer of ours that waits
    /// for its answer is given up (RFC 8829 section 4.1.10.2, rollback).
    pub fn answer(&mut self, offer: &str) -> Result<String, SdpError> {
        let offer = Description::read(offer, &self.config.limits)?;
        let mut draft = self.clone();
        draft.give_up_offer();
        draft.take_description(&offer, Role::Answerer)?;
        draft.version += 1;
        draft.ice_options = write::understood_options(&offer);
        let answer = write::answer(&draft, &offer);
        *self = draft;
        Ok(answer.write())
    }

    /// Offers what there is plus a sending m-line for each subscription that waits, and for as many as `at_least` says. The client's answer
    /// goes to [`Negotiation::handle_answer`].
    pub fn offer(&mut self, at_least: Waiting) -> String {
        self.give_up_offer();
        let Waiting { audio, video } = self.waiting();
        for (kind, count, at_least) in [(Kind::Audio, audio, at_least.audio), (Kind::Video, video, at_least.video)] {
            for _ in 0..count.max(at_least) {
                self.add_line(kind);
            }
        }
        self.offer_pending = true;
        self.version += 1;
        write::offer(self).write()
    }

    /// Takes the answer to our last offer. A refused answer changes nothing.
    pub fn handle_answer(&mut self, answer: &str) -> Result<(), SdpError> {
        if !self.offer_pending {
            return Err(Refusal::new(RefusalCause::NoOffer).into());
        }
        let answer = Description::read(answer, &self.config.limits)?;
        let mut draft = self.clone();
        draft.take_description(&answer, Role::Offerer)?;
        draft.offer_pending = false;
        *self = draft;
        Ok(())
    }

    /// Takes a fragment with candidates that the client found since its description, or with new credentials: then ICE starts anew, without
    /// any other change (RFC 9725 section 4.3.3). A refused fragment changes nothing.
    pub fn trickle(&mut self, fragment: &str) -> Result<Trickled, SdpError> {
        let Fragment { credentials, media, .. } = Fragment::read(fragment, &self.config.limits)?;
        if !self.is_established() || self.offer_pending {
            return Err(Refusal::new(RefusalCause::NotEstablished).into());
        }
        let mids = media.into_iter().filter_map(|media| media.mid);
        if let Some(mid) = { mids }.find(|mid| !self.lines.iter().any(|line| line.mid == *mid)) {
            return Err(Refusal::new(RefusalCause::UnknownMid { mid }).into());
        }
        let before = &self.spec.remote;
        match (credentials.ufrag == before.ufrag, credentials.pwd == before.pwd) {
            // A lite agent sends no checks, so it has no use for candidates (RFC 8445 section 2.5).
            (true, true) => Ok(Trickled::Candidates),
            (false, false) => {
                self.restart_ice(credentials);
                Ok(Trickled::Restarted { fragment: write::fragment(self).write() })
            }
            (true, false) | (false, true) => Err(Refusal::new(RefusalCause::HalfRestart).into()),
        }
    }

    /// Wants `source`. It goes to the first free m-line of its kind, or waits for one.
    pub fn subscribe(&mut self, source: Source, kind: Kind) -> Result<Placement, SubscribeError> {
        if !self.may_subscribe {
            return Err(SubscribeError::NotGranted);
        }
        if !self.subscriptions.iter().any(|subscription| subscription.source.publication == source.publication) {
            if self.subscriptions.len() >= self.config.subscriptions_max {
                return Err(SubscribeError::Full);
            }
            self.subscriptions.push(Subscription { source, kind, preferences: Preferences::default(), line: None });
            self.place();
        }
        let mut placed = self.placed();
        let mid = placed.find(|(publication, _)| *publication == source.publication).map(|(_, mid)| mid.to_owned());
        Ok(mid.map_or(Placement::Waiting, |mid| Placement::Placed { mid }))
    }

    /// Wants it no longer; its m-line goes to who waited longest.
    pub fn unsubscribe(&mut self, publication: PublicationId) {
        self.subscriptions.retain(|subscription| subscription.source.publication != publication);
        self.place();
    }

    /// What is wanted of a subscription from now on. `false`: there is no such subscription.
    pub fn prefer(&mut self, publication: PublicationId, preferences: Preferences) -> bool {
        let found = self.subscriptions.iter_mut().find(|subscription| subscription.source.publication == publication);
        let Some(subscription) = found else { return false };
        subscription.preferences = preferences;
        if let Some(sender) = subscription.line.and_then(|at| self.lines[at].sender.as_mut()) {
            sender.preferences = preferences;
        }
        self.rebuild_spec();
        true
    }

    /// Server-enforced mute. `false`: the client has no such publication.
    pub fn set_muted(&mut self, publication: PublicationId, muted: bool) -> bool {
        let receivers = self.lines.iter_mut().filter_map(|line| line.receiver.as_mut());
        let Some(receiver) = { receivers }.find(|receiver| receiver.publication == publication) else { return false };
        receiver.muted = muted;
        self.rebuild_spec();
        true
    }

    /// The participant is in another room from now on, and wants nothing of it yet. Its m-lines stay.
    pub fn enter(&mut self, room: RoomId) {
        self.spec.room = room;
        self.subscriptions.clear();
        self.place();
    }

    /// What later offers are granted.
    pub fn grant(&mut self, may_publish: bool, may_subscribe: bool) {
        (self.may_publish, self.may_subscribe) = (may_publish, may_subscribe);
    }

    /// How many m-lines of each kind the subscriptions without one need.
    pub fn waiting(&self) -> Waiting {
        let count = |kind| self.subscriptions.iter().filter(|s| s.line.is_none() && s.kind == kind).count();
        // Both are bounded by subscriptions_max.
        Waiting { audio: count(Kind::Audio) as u16, video: count(Kind::Video) as u16 }
    }

    /// Every subscription that has an m-line, with its mid.
    pub fn placed(&self) -> impl Iterator<Item = (PublicationId, &str)> {
        self.subscriptions.iter().filter_map(|subscription| {
            let line = self.lines.get(subscription.line?)?;
            Some((subscription.source.publication, line.mid.as_str()))
        })
    }

    /// What the client sends, in order of its m-lines, each with the name of its preferred codec ("VP8").
    pub fn publications(&self) -> impl Iterator<Item = (&ReceiverSpec, &str)> {
        self.lines.iter().filter_map(|line| Some((line.receiver.as_ref()?, line.codec_name())))
    }

    /// What the shards must know. Worth sending once a description of the client has been taken.
    pub fn spec(&self) -> &ParticipantSpec {
        &self.spec
    }

    /// Whether a description of the client has been taken: only then can it connect.
    pub fn is_established(&self) -> bool {
        !self.spec.remote.ufrag.is_empty()
    }

    fn give_up_offer(&mut self) {
        if std::mem::take(&mut self.offer_pending) {
            self.lines.truncate(self.confirmed);
        }
    }

    /// Takes what the client says of its transport and of each m-line.
    fn take_description(&mut self, theirs: &Description, role: Role) -> Result<(), SdpError> {
        line::check_order(&self.lines, theirs, role)?;
        let accepted = line::accepted(theirs, self.config.data_message_bytes_max > 0)?;
        if let Some(tagged) = accepted.tagged(theirs) {
            self.take_transport(&theirs.transport, tagged, theirs)?;
        } else if !self.is_established() {
            return Err(Refusal::new(RefusalCause::NothingToAccept).into());
        }
        for (index, media) in theirs.media.iter().enumerate() {
            self.take_line(index, media, theirs, accepted.holds(index))?;
        }
        self.confirmed = self.lines.len();
        let publications = self.lines.iter().filter(|line| line.receiver.is_some()).count();
        if publications > self.config.publications_max {
            return Err(Refusal::new(RefusalCause::TooManyPublications { max: self.config.publications_max }).into());
        }
        self.place();
        Ok(())
    }

    /// `tagged` is the m-line whose transport carries all (RFC 9143 section 2). Session level stands in for what it lacks, and after it any
    /// other m-line: bundled ones repeat the same values.
    fn take_transport(&mut self, session: &Transport, tagged: usize, theirs: &Description) -> Result<(), SdpError> {
        let Some(media) = theirs.media.get(tagged) else { return Ok(()) };
        let place = Place::of(tagged, media);
        if !media.rtcp_mux && !media.rtcp_mux_only && media.kind != MediaKind::Application {
            return Err(Refusal::at(place, RefusalCause::NoRtcpMux).into());
        }
        let levels = || [&media.transport, session].into_iter().chain(theirs.media.iter().map(|media| &media.transport));
        let (Some(ufrag), Some(pwd)) = (levels().find_map(|t| t.ufrag.clone()), levels().find_map(|t| t.pwd.clone())) else {
            return Err(Refusal::at(place, RefusalCause::NoIceCredentials).into());
        };
        let Some(fingerprints) = levels().map(|t| &t.fingerprints).find(|fingerprints| !fingerprints.is_empty()) else {
            let cause = if levels().any(|t| t.other_fingerprints) { RefusalCause::OtherFingerprint } else { RefusalCause::NoFingerprint };
            return Err(Refusal::at(place, cause).into());
        };
        let setup = levels().find_map(|t| t.setup);
        let role = self.dtls_role(setup).map_err(|cause| Refusal::at(place, cause))?;

        let remote = IceCredentials { ufrag, pwd };
        if self.is_established() && !self.offer_pending && remote != self.spec.remote {
            self.restart_ice(remote);
        } else {
            self.spec.remote = remote;
        }
        self.spec.fingerprints = fingerprints.clone();
        self.spec.dtls_role = role;
        Ok(())
    }

    /// RFC 8839 section 4.4.1.1.1: the client's change of both is an ICE restart, and ours are new, too. DTLS and all that it keys stay.
    fn restart_ice(&mut self, remote: IceCredentials) {
        self.spec.local = self.random.credentials();
        self.spec.remote = remote;
    }

    /// Our role for the client's `a=setup` (RFC 8842 section 5.3). Once the association stands, it keeps its roles.
    fn dtls_role(&self, setup: Option<Setup>) -> Result<DtlsRole, RefusalCause> {
        let wanted = match setup {
            // RFC 4145 section 4: an offer without it means active. Leniency for an answer without it: the same.
            Some(Setup::Active) | None => Some(DtlsRole::Server),
            Some(Setup::Passive) => Some(DtlsRole::Client),
            Some(Setup::ActPass) => None,
            Some(Setup::HoldConn) => return Err(RefusalCause::HoldConn),
        };
        match (self.is_established(), wanted) {
            (true, Some(role)) if role != self.spec.dtls_role => Err(RefusalCause::RoleChanged),
            (true, _) => Ok(self.spec.dtls_role),
            // As server we need not know when the client is ready to be reached.
            (false, wanted) => Ok(wanted.unwrap_or(DtlsRole::Server)),
        }
    }

    /// Gives every subscription that has none a free m-line of its kind, first come first served, and takes back those that are gone.
    fn place(&mut self) {
        for subscription in &mut self.subscriptions {
            let stands = |line: &Line| line.sender.is_some() && line.kind == Some(subscription.kind);
            subscription.line = subscription.line.filter(|&at| self.lines.get(at).is_some_and(stands));
        }
        let mut taken: Vec<bool> = vec![false; self.lines.len()];
        for at in self.subscriptions.iter().filter_map(|subscription| subscription.line) {
            taken[at] = true;
        }
        let mut free = HashMap::from([(Kind::Audio, Vec::new()), (Kind::Video, Vec::new())]);
        for (at, line) in self.lines.iter().enumerate().rev().filter(|(at, line)| !taken[*at] && line.sender.is_some()) {
            if let Some(free) = line.kind.and_then(|kind| free.get_mut(&kind)) {
                free.push(at);
            }
        }
        for subscription in self.subscriptions.iter_mut().filter(|subscription| subscription.line.is_none()) {
            subscription.line = free.get_mut(&subscription.kind).and_then(Vec::pop);
        }
        for sender in self.lines.iter_mut().filter_map(|line| line.sender.as_mut()) {
            sender.source = None;
        }
        for subscription in &self.subscriptions {
            if let Some(sender) = subscription.line.and_then(|at| self.lines[at].sender.as_mut()) {
                sender.source = Some(subscription.source);
                sender.preferences = subscription.preferences;
            }
        }
        self.rebuild_spec();
    }

    fn rebuild_spec(&mut self) {
        self.spec.receivers = self.lines.iter().filter_map(|line| line.receiver.clone()).collect();
        self.spec.senders = self.lines.iter().filter_map(|line| line.sender.clone()).collect();
        self.spec.data = self.lines.iter().find_map(|line| line.data);
    }
}

/// Whose description opened the exchange.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// The client's.
    Answerer,
    /// Ours.
    Offerer,
}

impl Place {
    fn of(index: usize, media: &Media) -> Self {
        Self { line: index + 1, mid: media.mid.clone() }
    }
}

//! The path of one participant: ICE-lite, then DTLS, then SRTP keys.
//!
//! ```text
//!            connectivity check                       DTLS, from checked paths only
//! datagram ─────────────────────► IceLite ─ path ─► Hello ─► Association ─ keys ─► Inbound, Outbound
//!                                    └ nominated path, consent
//!                                                                      └ application data ─► Data
//! ```
//! Everything that is costly is one step per call: a datagram computes at most one flight.

mod channels;
mod dtls;
mod ice;

#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pointsman_wire::clock::Now;
use pointsman_wire::net::FiveTuple;
use pointsman_wire::stun;

#[cfg(any(test, feature = "fuzz"))]
pub use self::dtls::fuzz_client_hello;
use self::dtls::{Association, Dimpl, Failed, Hello, Output, Progress, Rtc};
pub use self::dtls::{DtlsIdentity, IdentityError};
pub use self::ice::CheckOutcome;
use self::ice::IceLite;
use crate::data::{Data, DataConfig, DataSpec};
use crate::srtp::{Inbound, Keys, Outbound, Profile};
use crate::stats::DropReason;
use crate::{CloseReason, DtlsRole, Egress, Fingerprint, Front, ParticipantSpec};

/// Limits and intervals of a [`Transport`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransportConfig {
    /// Paths with an authenticated check that are remembered. A client has one for each pair of its and our addresses; the stalest
    /// gives way.
    pub paths_max: usize,
    /// Without an authenticated check or media packet for so long, consent is gone (RFC 7675 section 5.1 says 30 s).
    pub consent_timeout: Duration,
    /// From becoming known to the first authenticated check. Long enough for a person to answer the browser's question for a camera.
    pub connect_timeout: Duration,
    /// From the first authenticated check to SRTP keys.
    pub handshake_timeout: Duration,
    /// DTLS objects made for one participant: each error before the keys kills one.
    pub dtls_attempts_max: u32,
    /// SSRCs of one participant for which SRTP keeps state, about 300 bytes each.
    pub srtp_sources_max: usize,
    /// Of its data channels.
    pub data: DataConfig,
}

impl Default for TransportConfig {
    fn default() -> Self {
        Self {
            paths_max: 16,
            consent_timeout: Duration::from_secs(30),
            connect_timeout: Duration::from_secs(60),
            handshake_timeout: Duration::from_secs(30),
            dtls_attempts_max: 6,
            srtp_sources_max: 128,
            data: DataConfig::default(),
        }
    }
}

/// What happened to a transport.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TransportEvent {
    /// SRTP keys are there: media can flow.
    Connected,
    /// The selected path moved.
    PathChanged(FiveTuple),
    /// Nothing more will come of this transport.
    Closed(CloseReason),
}

/// One participant's ICE, DTLS and SRTP.
pub struct Transport {
    config: TransportConfig,
    identity: Arc<DtlsIdentity>,
    front: Front,
    role: DtlsRole,
    fingerprints: Vec<Fingerprint>,
    seed: u64,
    ice: IceLite,
    dtls: Dtls,
    /// Where the last DTLS datagram came from: until a path is nominated, answers go there.
    dtls_path: Option<FiveTuple>,
    attempts: u32,
    /// As client: when to try again after an association died.
    retry_at: Option<Instant>,
    certificate: Option<Fingerprint>,
    srtp: Option<Srtp>,
    /// What the client's description says of data channels.
    data_spec: Option<DataSpec>,
    /// From the keys on, if the client wants data channels.
    data: Option<Box<Data>>,
    created: Instant,
    first_check: Option<Instant>,
    /// The last SRTP or SRTCP packet that proved to be the peer's.
    last_media: Option<Instant>,
    closed: bool,
    events: VecDeque<TransportEvent>,
}

enum Dtls {
    /// No association: as server before the first piece of a ClientHello, as client before the first check.
    Idle,
    /// Pieces of a ClientHello.
    Hello(Hello),
    Running(Box<dyn Association>),
    /// The association died after it had given the keys: SRTP goes on without it.
    Spent,
}

struct Srtp {
    profile: Profile,
    inbound: Inbound,
    outbound: Outbound,
}

/// What came of draining an association.
#[derive(Default)]
struct Drained {
    certificate: Option<Fingerprint>,
    keys: Option<(Profile, Keys)>,
    no_keys: bool,
    closed: bool,
    /// Why application data was not taken.
    data_refused: Option<DropReason>,
    unsent: bool,
}

/// Whether a connectivity check carries the participant's credentials: to be asked before a shard claims a participant that it only expects.
pub fn authenticate(spec: &ParticipantSpec, message: &stun::Message<'_>) -> Result<(), DropReason> {
    ice::authenticate(&spec.local, &spec.remote.ufrag, message)
}

impl Transport {
    /// `seed` keys tables whose keys the peer chooses.
    pub fn new(spec: &ParticipantSpec, identity: &Arc<DtlsIdentity>, config: &TransportConfig, seed: u64, now: Now) -> Self {
        Self {
            config: config.clone(),
            identity: Arc::clone(identity),
            front: spec.front,
            role: spec.dtls_role,
            fingerprints: spec.fingerprints.clone(),
            seed,
            ice: IceLite::new(&spec.local, &spec.remote, config.paths_max),
            dtls: Dtls::Idle,
            dtls_path: None,
            attempts: 0,
            retry_at: None,
            certificate: None,
            srtp: None,
            data_spec: spec.data,
            data: None,
            created: now.mono,
            first_check: None,
            last_media: None,
            closed: false,
            events: VecDeque::new(),
        }
    }

    /// Takes over what changed in the participant's spec. New credentials are an ICE restart (RFC 8445 section 9): the old ones work
    /// until a path is nominated with the new ones. A connected transport whose peer's certificate is no longer wanted closes.
    pub fn update(&mut self, spec: &ParticipantSpec) {
        self.ice.set_credentials(&spec.local, &spec.remote);
        self.fingerprints.clone_from(&spec.fingerprints);
        if self.certificate.is_some_and(|certificate| !self.fingerprints.contains(&certificate)) {
            self.end(CloseReason::FingerprintMismatch);
        }
        if self.srtp.is_none() && matches!(self.dtls, Dtls::Idle | Dtls::Hello(_)) {
            self.role = spec.dtls_role;
        }
        self.update_data(spec.data);
    }

    /// Answers a connectivity check. `message` is a Binding request with USERNAME. `Err` says why it was refused; an error response
    /// may have been written all the same.
    pub fn handle_check(
        &mut self,
        now: Now,
        path: FiveTuple,
        message: &stun::Message<'_>,
        out: &mut impl Egress,
    ) -> Result<CheckOutcome, DropReason> {
        if self.closed {
            return Err(DropReason::NotConnected);
        }
        let before = self.ice.path();
        let outcome = self.ice.handle_check(now.mono, path, message, out)?;
        self.first_check.get_or_insert(now.mono);
        if let Some(selected) = self.ice.path()
            && before != Some(selected)
        {
            self.push(TransportEvent::PathChanged(selected));
        }
        if self.role == DtlsRole::Client && matches!(self.dtls, Dtls::Idle) && self.retry_at.is_none() {
            self.connect(now, out);
        }
        Ok(outcome)
    }

    /// Takes a DTLS datagram. Only from a path that passed an authenticated check; before that nothing is kept and nothing answered.
    pub fn handle_dtls(&mut self, now: Now, path: FiveTuple, datagram: &[u8], out: &mut impl Egress) -> Result<(), DropReason> {
        if self.closed {
            return Err(DropReason::NotConnected);
        }
        if !self.ice.knows(&path) {
            return Err(DropReason::UnknownPath);
        }
        self.dtls_path = Some(path);
        self.begin_data(now);
        match &mut self.dtls {
            Dtls::Idle | Dtls::Hello(_) if self.role == DtlsRole::Client => Err(DropReason::DtlsRefused),
            Dtls::Idle => {
                let mut hello = Hello::default();
                let progress = hello.push(datagram);
                self.take_hello(now, hello, progress, out)
            }
            Dtls::Hello(hello) => {
                let mut hello = std::mem::take(hello);
                let progress = hello.push(datagram);
                self.take_hello(now, hello, progress, out)
            }
            Dtls::Running(association) => {
                let result = association.handle_datagram(now.mono, datagram);
                self.settle(now, result, out)
            }
            Dtls::Spent => Err(DropReason::DtlsRefused),
        }
    }

    /// Retransmits, and closes what has run out of time.
    pub fn handle_timeout(&mut self, now: Now, out: &mut impl Egress) -> Result<(), DropReason> {
        if self.closed {
            return Ok(());
        }
        if let Some((deadline, reason)) = self.deadline()
            && deadline <= now.mono
        {
            self.end(reason);
            return Ok(());
        }
        if self.retry_at.is_some_and(|at| at <= now.mono) {
            self.connect(now, out);
            return Ok(());
        }
        let handshake = match &mut self.dtls {
            Dtls::Running(association) if association.poll_timeout().is_some_and(|due| due <= now.mono) => {
                let result = association.handle_timeout(now.mono);
                self.settle(now, result, out)
            }
            Dtls::Running(_) | Dtls::Idle | Dtls::Hello(_) | Dtls::Spent => Ok(()),
        };
        handshake.and(self.data_due(now, out))
    }

    /// When [`Transport::handle_timeout`] is due. Moves with every check, so ask again when it fires early.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let deadline = self.deadline().map(|(deadline, _)| deadline);
        let due = match &self.dtls {
            Dtls::Running(association) if !self.closed => association.poll_timeout(),
            Dtls::Running(_) | Dtls::Idle | Dtls::Hello(_) | Dtls::Spent => self.retry_at.filter(|_| !self.closed),
        };
        let data = self.data.as_ref().and_then(|data| data.poll_timeout());
        [deadline, due, data].into_iter().flatten().min()
    }

    pub fn poll_event(&mut self) -> Option<TransportEvent> {
        self.events.pop_front()
    }

    /// Where to send: the nominated path or, until there is one, the first that passed a check.
    pub fn path(&self) -> Option<FiveTuple> {
        self.ice.path()
    }

    /// Whether a path passed an authenticated check.
    pub fn knows_path(&self, path: &FiveTuple) -> bool {
        self.ice.knows(path)
    }

    /// The path has another name from now on; the client on it is the same.
    pub fn rename_path(&mut self, from: &FiveTuple, to: FiveTuple) {
        let before = self.ice.path();
        self.ice.rename(from, to);
        if self.dtls_path.as_ref() == Some(from) {
            self.dtls_path = Some(to);
        }
        if let Some(selected) = self.ice.path()
            && before != Some(selected)
        {
            self.push(TransportEvent::PathChanged(selected));
        }
    }

    /// Our user name fragments that checks may carry: the present one and, during an ICE restart, the one before.
    pub fn ufrags(&self) -> impl Iterator<Item = &str> {
        self.ice.ufrags()
    }

    /// Seals with made-up keys of `profile` from now on.
    #[cfg(feature = "bench")]
    pub fn seal_with(&mut self, profile: Profile) {
        let material = vec![7; profile.material_len()];
        if let (Some(srtp), Ok(keys)) = (&mut self.srtp, Keys::from_exporter(profile, &material, self.role))
            && let Ok(outbound) = Outbound::new(&keys.outbound)
        {
            srtp.outbound = outbound;
        }
    }

    pub fn srtp_in(&mut self) -> Option<&mut Inbound> {
        self.srtp.as_mut().map(|srtp| &mut srtp.inbound)
    }

    pub fn srtp_out(&mut self) -> Option<&mut Outbound> {
        self.srtp.as_mut().map(|srtp| &mut srtp.outbound)
    }

    /// The negotiated profile, once connected.
    pub fn profile(&self) -> Option<Profile> {
        self.srtp.as_ref().map(|srtp| srtp.profile)
    }

    pub const fn is_connected(&self) -> bool {
        self.srtp.is_some() && !self.closed
    }

    /// Says goodbye (close_notify), where there is someone to say it to. No event comes of it.
    pub fn close(&mut self, now: Now, out: &mut impl Egress) {
        if let Dtls::Running(association) = &mut self.dtls
            && !self.closed
        {
            association.close(now.mono);
            // Said or not: nothing follows.
            let _ = self.drain(now, out);
        }
        self.closed = true;
        self.dtls = Dtls::Spent;
        self.data = None;
    }

    fn take_hello(&mut self, now: Now, hello: Hello, progress: Progress, out: &mut impl Egress) -> Result<(), DropReason> {
        match progress {
            Progress::Refused => {
                self.dtls = Dtls::Hello(hello);
                Err(DropReason::DtlsRefused)
            }
            Progress::Incomplete => {
                self.dtls = Dtls::Hello(hello);
                Ok(())
            }
            Progress::Whole { offers_1_3 } => self.accept(now, hello, offers_1_3, out),
        }
    }

    /// Starts the server's side with the datagrams that the ClientHello came in.
    fn accept(&mut self, now: Now, hello: Hello, offers_1_3: bool, out: &mut impl Egress) -> Result<(), DropReason> {
        // Clients with RSA certificates speak 1.2 only. Those of a browser's call never have one.
        let backend = if self.front == Front::Http && !offers_1_3 { Backend::Rtc } else { Backend::Dimpl };
        let mut association = match self.start(backend, now) {
            Ok(association) => association,
            Err(Failed) => return self.fail(now),
        };
        let result = hello.into_datagrams().iter().try_for_each(|datagram| association.handle_datagram(now.mono, datagram));
        self.dtls = Dtls::Running(association);
        self.settle(now, result, out)
    }

    /// Starts the client's side.
    fn connect(&mut self, now: Now, out: &mut impl Egress) {
        self.retry_at = None;
        // A server with an RSA certificate dies of a ClientHello that it cannot answer, so it must not get one. None of those that come
        // this way speak 1.3; should one speak nothing else, every second attempt is the other library's.
        let backend = if self.front == Front::Http && self.attempts.is_multiple_of(2) { Backend::Rtc } else { Backend::Dimpl };
        match self.start(backend, now) {
            Ok(association) => {
                self.dtls = Dtls::Running(association);
                // A ClientHello that did not go out is sent again when its timer fires.
                let _ = self.drain(now, out);
            }
            Err(Failed) => self.end(CloseReason::DtlsFailed),
        }
    }

    fn start(&mut self, backend: Backend, now: Now) -> Result<Box<dyn Association>, Failed> {
        self.attempts += 1;
        Ok(match backend {
            Backend::Dimpl => {
                let mut association = Dimpl::new(&self.identity, self.role, now.mono);
                association.handle_timeout(now.mono)?;
                Box::new(association)
            }
            Backend::Rtc => Box::new(Rtc::new(&self.identity, self.role, now.mono)?),
        })
    }

    /// After every step of an association: what it gave out, and whether it lived.
    fn settle(&mut self, now: Now, result: Result<(), Failed>, out: &mut impl Egress) -> Result<(), DropReason> {
        let drained = self.drain(now, out);
        match (drained, result) {
            (Err(reason), _) if self.closed => return Err(reason),
            (_, Err(Failed)) if !self.closed => return self.fail(now),
            (drained, _) => drained?,
        }
        self.send_data_packets(now, out)
    }

    fn fail(&mut self, now: Now) -> Result<(), DropReason> {
        if self.srtp.is_some() {
            self.dtls = Dtls::Spent;
            self.data.iter_mut().for_each(|data| data.stop());
        } else if self.attempts >= self.config.dtls_attempts_max {
            self.end(CloseReason::DtlsFailed);
        } else {
            self.dtls = Dtls::Idle;
            self.certificate = None;
            if self.role == DtlsRole::Client {
                self.retry_at = Some(now.mono + RETRY_PAUSE);
            }
        }
        Err(DropReason::DtlsRefused)
    }

    fn drain(&mut self, now: Now, out: &mut impl Egress) -> Result<(), DropReason> {
        let target = self.dtls_target();
        let data = &mut self.data;
        let Dtls::Running(association) = &mut self.dtls else { return Ok(()) };
        let mut drained = Drained::default();
        association.drain(&mut |output| match output {
            Output::Datagram(datagram) => drained.unsent |= !target.is_some_and(|path| send(out, &path, datagram)),
            Output::Certificate(fingerprint) => drained.certificate = Some(fingerprint),
            Output::Keys(profile, keys) => drained.keys = Some((profile, keys)),
            Output::NoKeys => drained.no_keys = true,
            Output::ApplicationData(packet) => {
                let taken = data.as_mut().ok_or(DropReason::DtlsApplicationData).and_then(|data| data.handle_packet(now.mono, packet));
                drained.data_refused = drained.data_refused.or(taken.err());
            }
            Output::Closed => drained.closed = true,
        });
        self.take_drained(now, drained)
    }

    fn take_drained(&mut self, now: Now, drained: Drained) -> Result<(), DropReason> {
        if let Some(certificate) = drained.certificate {
            if !self.fingerprints.contains(&certificate) {
                self.end(CloseReason::FingerprintMismatch);
                return Err(DropReason::DtlsRefused);
            }
            self.certificate = Some(certificate);
        }
        if let Some((profile, keys)) = drained.keys
            && self.srtp.is_none()
            && self.install(profile, &keys).is_none()
        {
            self.end(CloseReason::DtlsFailed);
            return Err(DropReason::DtlsRefused);
        }
        self.begin_data(now);
        if drained.no_keys {
            self.end(CloseReason::DtlsFailed);
            return Err(DropReason::DtlsRefused);
        }
        if drained.closed {
            self.end(CloseReason::ClosedByPeer);
        }
        if let Some(reason) = drained.data_refused {
            return Err(reason);
        }
        if drained.unsent { Err(DropReason::EgressFull) } else { Ok(()) }
    }

    /// `None` when no certificate was checked before, or the keys do not fit.
    fn install(&mut self, profile: Profile, keys: &Keys) -> Option<()> {
        self.certificate?;
        let inbound = Inbound::new(&keys.inbound, self.config.srtp_sources_max, self.seed).ok()?;
        let outbound = Outbound::new(&keys.outbound).ok()?;
        self.srtp = Some(Srtp { profile, inbound, outbound });
        self.push(TransportEvent::Connected);
        Some(())
    }

    /// An SRTP or SRTCP packet of the peer was authenticated. Some publishers (FFmpeg) check once and never again: their media, which
    /// nobody else can make, says as much as a check that they are there.
    pub fn heard_media(&mut self, now: Instant) {
        self.last_media = Some(now);
    }

    fn dtls_target(&self) -> Option<FiveTuple> {
        self.ice.nominated().or(self.dtls_path).or_else(|| self.ice.path())
    }

    /// The next moment at which this transport ends unless something happens, and how.
    fn deadline(&self) -> Option<(Instant, CloseReason)> {
        if self.closed {
            return None;
        }
        let Some((heard, first)) = self.ice.heard().zip(self.first_check) else {
            return Some((self.created + self.config.connect_timeout, CloseReason::NeverConnected));
        };
        let heard = self.last_media.map_or(heard, |media| media.max(heard));
        let consent = (heard + self.config.consent_timeout, CloseReason::ConsentExpired);
        if self.srtp.is_some() {
            return Some(consent);
        }
        let handshake = (first + self.config.handshake_timeout, CloseReason::DtlsFailed);
        Some(if handshake.0 < consent.0 { handshake } else { consent })
    }

    fn end(&mut self, reason: CloseReason) {
        if !self.closed {
            self.closed = true;
            self.dtls = Dtls::Spent;
            self.data = None;
            self.push(TransportEvent::Closed(reason));
        }
    }

    /// At most one of a kind waits: a later path replaces an earlier one.
    fn push(&mut self, event: TransportEvent) {
        if let (TransportEvent::PathChanged(_), Some(last @ TransportEvent::PathChanged(_))) = (event, self.events.back_mut()) {
            *last = event;
        } else {
            self.events.push_back(event);
        }
    }
}

impl std::fmt::Debug for Transport {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Transport").field("profile", &self.profile()).field("closed", &self.closed).finish_non_exhaustive()
    }
}

/// Lets what the peer still sends to the dead association pass: a new one would die of it.
const RETRY_PAUSE: Duration = Duration::from_millis(300);

enum Backend {
    Dimpl,
    Rtc,
}

/// `false` when this turn's arena is full.
fn send(out: &mut impl Egress, path: &FiveTuple, datagram: &[u8]) -> bool {
    let Some(space) = out.slot(path).and_then(|slot| slot.get_mut(..datagram.len())) else { return false };
    space.copy_from_slice(datagram);
    out.commit(datagram.len());
    true
}

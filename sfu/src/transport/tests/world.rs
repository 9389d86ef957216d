//! A transport, a DTLS peer, and the link between them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pointsman_wire::clock::Now;
use pointsman_wire::net::{FiveTuple, ShardId};
use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Class, Key, Message, Method, TransactionId, Writer};

use super::super::dtls::fingerprint;
use super::super::*;
use crate::srtp::Keys;
use crate::{Claim, IceCredentials, MeshMessage, ParticipantId, RoomId};

/// What a transport sent, in order.
pub(super) struct Sent {
    space: [u8; 2048],
    to: Option<FiveTuple>,
    pub(super) datagrams: Vec<(FiveTuple, Vec<u8>)>,
    pub(super) full: bool,
}

impl Sent {
    pub(super) fn new() -> Self {
        Self { space: [0xEE; 2048], to: None, datagrams: Vec::new(), full: false }
    }

    pub(super) fn take(&mut self) -> Vec<(FiveTuple, Vec<u8>)> {
        std::mem::take(&mut self.datagrams)
    }
}

impl Egress for Sent {
    fn slot(&mut self, to: &FiveTuple) -> Option<&mut [u8]> {
        self.to = Some(*to);
        (!self.full).then_some(&mut self.space[..])
    }

    fn commit(&mut self, len: usize) {
        self.datagrams.push((self.to.unwrap(), self.space[..len].to_vec()));
    }

    fn to_shard(&mut self, _shard: ShardId, _message: MeshMessage) -> bool {
        false
    }
}

pub(super) fn path(port: u16) -> FiveTuple {
    FiveTuple::udp("192.0.2.1:3478".parse().unwrap(), SocketAddr::new("198.51.100.7".parse().unwrap(), port))
}

pub(super) fn credentials(name: &str) -> IceCredentials {
    IceCredentials { ufrag: format!("{name}ufrag"), pwd: format!("{name}password0123456789abcdef") }
}

pub(super) fn spec(front: Front, role: DtlsRole, peer: Fingerprint) -> ParticipantSpec {
    ParticipantSpec {
        id: ParticipantId(1),
        room: RoomId(1),
        claim: Claim::new(),
        front,
        local: credentials("our"),
        remote: credentials("their"),
        dtls_role: role,
        fingerprints: vec![Fingerprint([7; 32]), peer],
        receivers: Vec::new(),
        senders: Vec::new(),
        data: None,
    }
}

/// A connectivity check under construction.
pub(super) struct Check {
    pub(super) username: Option<String>,
    pub(super) pwd: Option<String>,
    pub(super) priority: u32,
    pub(super) use_candidate: bool,
    pub(super) role: Option<Type>,
    pub(super) extra: Option<Type>,
    pub(super) fingerprint: bool,
}

impl Check {
    /// As a browser in the controlling role sends it.
    pub(super) fn new(local: &IceCredentials, remote: &IceCredentials) -> Self {
        Self {
            username: Some(format!("{}:{}", local.ufrag, remote.ufrag)),
            pwd: Some(local.pwd.clone()),
            priority: 1_845_501_695,
            use_candidate: false,
            role: Some(Type::ICE_CONTROLLING),
            extra: None,
            fingerprint: true,
        }
    }

    pub(super) fn ours() -> Self {
        Self::new(&credentials("our"), &credentials("their"))
    }

    pub(super) fn nominating(mut self) -> Self {
        self.use_candidate = true;
        self
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        let mut space = [0; 512];
        let mut writer = Writer::new(&mut space, Class::Request, Method::BINDING, TransactionId(*b"transaction!"));
        if let Some(username) = &self.username {
            writer.attribute(Type::USERNAME, username.as_bytes());
        }
        writer.u32(Type::PRIORITY, self.priority);
        if let Some(role) = self.role {
            writer.u64(role, 0x0123_4567_89AB_CDEF);
        }
        if self.use_candidate {
            writer.attribute(Type::USE_CANDIDATE, &[]);
        }
        if let Some(extra) = self.extra {
            writer.attribute(extra, &[1, 2, 3]);
        }
        if let Some(pwd) = &self.pwd {
            writer.integrity(&Key::new(pwd.as_bytes()));
        }
        if self.fingerprint {
            writer.fingerprint();
        }
        let len = writer.finish().unwrap();
        space[..len].to_vec()
    }
}

/// Sends a check and gives the answer back with the outcome.
pub(super) fn check(
    transport: &mut Transport,
    now: Now,
    path: FiveTuple,
    check: &Check,
) -> (Result<CheckOutcome, DropReason>, Vec<Vec<u8>>) {
    let bytes = check.bytes();
    let mut sent = Sent::new();
    let outcome = transport.handle_check(now, path, &Message::parse(&bytes).unwrap(), &mut sent);
    assert!(sent.datagrams.iter().all(|(to, _)| *to == path || outcome.is_ok()));
    (outcome, sent.take().into_iter().map(|(_, datagram)| datagram).collect())
}

pub(super) fn start() -> Now {
    Now { mono: Instant::now(), unix: Duration::from_secs(1_800_000_000) }
}

pub(super) fn after(now: Now, by: Duration) -> Now {
    Now { mono: now.mono + by, unix: now.unix + by }
}

/// The client's or server's end: another library's object, driven directly.
pub(super) struct Peer {
    pub(super) association: Box<dyn Association>,
    pub(super) keys: Option<(Profile, Keys)>,
    pub(super) certificate: Option<Fingerprint>,
    pub(super) closed: bool,
    /// Its SCTP, when it has any.
    pub(super) data: Option<Data>,
}

/// Which peers there are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// dimpl: ECDSA, DTLS 1.3.
    Modern,
    /// dimpl restricted to DTLS 1.2.
    Version12,
    /// rtc-dtls with an ECDSA certificate.
    Ecdsa12,
    /// rtc-dtls with an RSA certificate, like GStreamer's.
    Rsa,
}

pub(super) fn peer(kind: Kind, role: DtlsRole, now: Now) -> (Peer, Fingerprint) {
    let (association, fingerprint): (Box<dyn Association>, _) = match kind {
        Kind::Modern => {
            let identity = DtlsIdentity::generate().unwrap();
            (Box::new(Dimpl::new(&identity, role, now.mono)), identity.fingerprint())
        }
        Kind::Version12 => {
            let identity = DtlsIdentity::generate().unwrap();
            (Box::new(Dimpl::new_1_2(&identity, role, now.mono)), identity.fingerprint())
        }
        Kind::Ecdsa12 => {
            let identity = DtlsIdentity::generate().unwrap();
            (Box::new(Rtc::new(&identity, role, now.mono).unwrap()), identity.fingerprint())
        }
        Kind::Rsa => {
            let key = rcgen::KeyPair::generate_for(&rcgen::PKCS_RSA_SHA256).unwrap();
            let certificate = rcgen::CertificateParams::new(Vec::new()).unwrap().self_signed(&key).unwrap();
            let der = certificate.der().to_vec();
            (Box::new(Rtc::with_rsa(&der, &key.serialize_der(), role, now.mono)), fingerprint(&der))
        }
    };
    (Peer { association, keys: None, certificate: None, closed: false, data: None }, fingerprint)
}

impl Peer {
    /// Drives it once: a datagram or the passing of time. Returns what it sends.
    pub(super) fn drive(&mut self, now: Now, datagram: Option<&[u8]>) -> Vec<Vec<u8>> {
        let result = match datagram {
            Some(datagram) => self.association.handle_datagram(now.mono, datagram),
            None if self.association.poll_timeout().is_some_and(|due| due <= now.mono) => self.association.handle_timeout(now.mono),
            None => Ok(()),
        };
        let mut sent = Vec::new();
        self.drain(now, &mut sent);
        if result.is_err() {
            self.closed = true;
        }
        if let Some(data) = &mut self.data {
            data.handle_timeout(now.mono);
        }
        while let Some(packet) = self.data.as_mut().and_then(|data| data.poll_packet(now.mono)) {
            self.association.send(now.mono, &packet).expect("the association lives");
            self.drain(now, &mut sent);
        }
        sent
    }

    fn drain(&mut self, now: Now, sent: &mut Vec<Vec<u8>>) {
        self.association.drain(&mut |output| match output {
            Output::Datagram(datagram) => sent.push(datagram.to_vec()),
            Output::Certificate(certificate) => self.certificate = Some(certificate),
            Output::Keys(profile, keys) => self.keys = Some((profile, keys)),
            Output::ApplicationData(packet) => {
                self.data.as_mut().expect("no data is expected otherwise").handle_packet(now.mono, packet).expect("an honest packet");
            }
            Output::NoKeys => panic!("not expected in these tests"),
            Output::Closed => self.closed = true,
        });
    }
}

/// Datagrams on their way, by the time at which they arrive.
pub(super) struct Link {
    queue: BTreeMap<(Instant, u64), (bool, Vec<u8>)>,
    sequence: u64,
    random: u64,
    loss_percent: u64,
    duplicate_percent: u64,
    jitter_ms: u64,
}

impl Link {
    pub(super) fn perfect() -> Self {
        Self::new(0, 0, 0, 0)
    }

    pub(super) fn new(seed: u64, loss_percent: u64, duplicate_percent: u64, jitter_ms: u64) -> Self {
        Self {
            queue: BTreeMap::new(),
            sequence: 0,
            random: seed.wrapping_mul(2).wrapping_add(1),
            loss_percent,
            duplicate_percent,
            jitter_ms,
        }
    }

    /// xorshift64*: reproducible is all that is asked of it.
    fn draw(&mut self, below: u64) -> u64 {
        self.random ^= self.random >> 12;
        self.random ^= self.random << 25;
        self.random ^= self.random >> 27;
        (self.random.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % below
    }

    fn put(&mut self, now: Now, to_us: bool, datagram: Vec<u8>) {
        if self.draw(100) < self.loss_percent {
            return;
        }
        let copies = 1 + u64::from(self.draw(100) < self.duplicate_percent);
        for _ in 0..copies {
            let delay = Duration::from_millis(10 + self.draw(self.jitter_ms + 1));
            self.sequence += 1;
            self.queue.insert((now.mono + delay, self.sequence), (to_us, datagram.clone()));
        }
    }
}

/// Both ends on a link.
pub(super) struct World {
    pub(super) now: Now,
    pub(super) transport: Transport,
    pub(super) peer: Peer,
    pub(super) link: Link,
    pub(super) events: Vec<TransportEvent>,
    /// Whatever an end sends in the step in which it becomes connected is lost, once.
    pub(super) lose_last_flight: bool,
}

impl World {
    pub(super) fn new(kind: Kind, front: Front, role: DtlsRole, link: Link) -> Self {
        let now = start();
        let peer_role = if role == DtlsRole::Server { DtlsRole::Client } else { DtlsRole::Server };
        let (peer, fingerprint) = peer(kind, peer_role, now);
        let identity = Arc::new(DtlsIdentity::generate().unwrap());
        let transport = Transport::new(&spec(front, role, fingerprint), &identity, &TransportConfig::default(), 1, now);
        Self { now, transport, peer, link, events: Vec::new(), lose_last_flight: false }
    }

    /// A first check with USE-CANDIDATE, then DTLS until both have keys, the transport closes, or the time is over.
    pub(super) fn run(&mut self, limit: Duration) {
        let end = self.now.mono + limit;
        let mut sent = Sent::new();
        let bytes = Check::ours().nominating().bytes();
        self.transport.handle_check(self.now, path(1), &Message::parse(&bytes).unwrap(), &mut sent).unwrap();
        for (_, datagram) in sent.take().drain(1..) {
            self.link.put(self.now, false, datagram);
        }
        for datagram in self.peer.drive(self.now, None) {
            self.link.put(self.now, true, datagram);
        }
        while self.now.mono < end && !self.is_over() {
            self.step();
        }
    }

    fn is_over(&self) -> bool {
        self.peer.keys.is_some() && self.transport.is_connected() && self.link.queue.is_empty() || self.transport.closed
    }

    /// To the next arrival or timer, whichever is first.
    pub(super) fn step(&mut self) {
        let arrival = self.link.queue.first_key_value().map(|((at, _), _)| *at);
        let data = self.peer.data.as_ref().and_then(Data::poll_timeout);
        let timers = [arrival, self.transport.poll_timeout(), self.peer.association.poll_timeout(), data];
        let next = timers.into_iter().flatten().min().unwrap_or(self.now.mono).max(self.now.mono + Duration::from_micros(1));
        self.now = after(self.now, next - self.now.mono);
        let datagram = match arrival {
            Some(at) if at <= self.now.mono => self.link.queue.pop_first().map(|(_, arrived)| arrived),
            _ => None,
        };
        self.step_us(datagram.as_ref().filter(|(to_us, _)| *to_us).map(|(_, datagram)| &datagram[..]));
        self.step_peer(datagram.as_ref().filter(|(to_us, _)| !*to_us).map(|(_, datagram)| &datagram[..]));
    }

    fn step_us(&mut self, datagram: Option<&[u8]>) {
        let was = self.transport.is_connected();
        let mut sent = Sent::new();
        if let Some(datagram) = datagram {
            // Junk and datagrams of a dead association are refused: that is a matter of other tests.
            let _ = self.transport.handle_dtls(self.now, path(1), datagram, &mut sent);
        }
        let _ = self.transport.handle_timeout(self.now, &mut sent);
        while let Some(event) = self.transport.poll_event() {
            self.events.push(event);
        }
        let lost = self.lose_last_flight && !was && self.transport.is_connected();
        for (to, datagram) in sent.take().into_iter().filter(|_| !lost) {
            assert_eq!(to, path(1));
            self.link.put(self.now, false, datagram);
        }
    }

    pub(super) fn step_peer(&mut self, datagram: Option<&[u8]>) {
        let was = self.peer.keys.is_some();
        let sent = self.peer.drive(self.now, datagram);
        let lost = self.lose_last_flight && !was && self.peer.keys.is_some();
        for datagram in sent.into_iter().filter(|_| !lost) {
            self.link.put(self.now, true, datagram);
        }
    }

    /// An RTP packet goes through both ways: both ends have the same keys.
    pub(super) fn assert_media_flows(&mut self) {
        let (profile, keys) = self.peer.keys.as_ref().expect("the peer has keys");
        assert_eq!(self.transport.profile(), Some(*profile));
        let mut header = [0; 12];
        header[0] = 0x80;
        header[11] = 9;
        let mut sealed = [0; 100];
        sealed[..12].copy_from_slice(&header);
        let theirs = Outbound::new(&keys.outbound).unwrap();
        let len = theirs.protect_rtp(0, &mut sealed, 12, &[], b"to the server", 0).unwrap();
        let mut plain = [0; 100];
        let (len, _) = self.transport.srtp_in().unwrap().unprotect_rtp(&sealed[..len], 12, 9, 0, &mut plain).unwrap();
        assert_eq!(&plain[12..len], b"to the server");

        sealed[..12].copy_from_slice(&header);
        let len = self.transport.srtp_out().unwrap().protect_rtp(0, &mut sealed, 12, &[], b"to the client", 0).unwrap();
        let mut theirs = Inbound::new(&keys.inbound, 4, 0).unwrap();
        let (len, _) = theirs.unprotect_rtp(&sealed[..len], 12, 9, 0, &mut plain).unwrap();
        assert_eq!(&plain[12..len], b"to the client");
    }
}

//! One WebRTC client without a browser: ICE toward one candidate, DTLS as client, SRTP both ways. It moves no byte itself.

use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use dimpl::{Dtls, DtlsCertificate, Output, SrtpProfile};
use pointsman_sfu::DtlsRole;
use pointsman_sfu::srtp::{Inbound, Keys, Outbound, Profile};
use pointsman_wire::demux::{self, Class as Datagram};
use pointsman_wire::stun::{Class, Key, Message, Method, TransactionId, Writer, attribute};

use super::front::Answer;

const CHECK_INTERVAL: Duration = Duration::from_millis(100);
/// RFC 7675 section 5.1.
const CONSENT_INTERVAL: Duration = Duration::from_secs(5);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);
/// RFC 8445 section 5.1.2.1: a host candidate of the first component.
const PRIORITY: u32 = 126 << 24 | 0xFFFF << 8 | 255;
const SOURCES_MAX: usize = 256;
const DATAGRAM_LEN_MAX: usize = 2048;

/// What all clients of a process share: making keys is not what is measured.
pub struct Identity {
    pub certificate: DtlsCertificate,
    pub fingerprint: [u8; 32],
    config: Arc<dimpl::Config>,
}

impl Identity {
    pub fn new() -> Result<Self, String> {
        let certificate = dimpl::certificate::generate_self_signed_certificate().map_err(|error| format!("certificate: {error}"))?;
        let config = dimpl::Config::builder().build().map_err(|error| format!("DTLS: {error}"))?;
        Ok(Self { fingerprint: sha256(&certificate.certificate), certificate, config: Arc::new(config) })
    }
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    Checking,
    Handshaking,
    Connected,
    Failed(&'static str),
}

/// A decrypted packet.
pub enum Plain<'a> {
    Rtp(&'a [u8]),
    Rtcp(&'a [u8]),
}

pub struct Peer {
    state: State,
    since: Instant,
    username: Vec<u8>,
    key: Key,
    own_key: Key,
    transaction: u64,
    next_check: Instant,
    dtls: Dtls,
    dtls_timeout: Option<Instant>,
    fingerprint: [u8; 32],
    fingerprint_matches: bool,
    srtp: Option<(Inbound, Outbound, Profile)>,
    seed: u64,
    buffer: Box<[u8; DATAGRAM_LEN_MAX]>,
}

impl Peer {
    /// `ufrag` and `pwd` are the client's own; `seed` makes its transaction ids.
    pub fn new(now: Instant, identity: &Identity, answer: &Answer, ufrag: &str, pwd: &str, seed: u64) -> Self {
        let mut dtls = Dtls::new_auto(identity.config.clone(), identity.certificate.clone(), now);
        dtls.set_active(true);
        Self {
            state: State::Checking,
            since: now,
            username: format!("{}:{ufrag}", answer.ufrag).into_bytes(),
            key: Key::new(answer.pwd.as_bytes()),
            own_key: Key::new(pwd.as_bytes()),
            transaction: 0,
            next_check: now,
            dtls,
            dtls_timeout: None,
            fingerprint: answer.fingerprint,
            fingerprint_matches: false,
            srtp: None,
            seed,
            buffer: Box::new([0; DATAGRAM_LEN_MAX]),
        }
    }

    pub fn state(&self) -> State {
        self.state
    }

    pub fn profile(&self) -> Option<Profile> {
        self.srtp.as_ref().map(|(_, _, profile)| *profile)
    }

    /// When `handle_timeout` is due.
    pub fn timeout(&self) -> Instant {
        self.dtls_timeout.map_or(self.next_check, |at| at.min(self.next_check))
    }

    pub fn handle_timeout(&mut self, now: Instant, send: &mut impl FnMut(&[u8])) {
        if now >= self.next_check {
            self.check(send);
            self.next_check = now + if self.state == State::Connected { CONSENT_INTERVAL } else { CHECK_INTERVAL };
        }
        if self.dtls_timeout.is_some_and(|at| now >= at) && self.state != State::Checking {
            self.dtls_timeout = None;
            if self.dtls.handle_timeout(now).is_err() {
                return self.fail("the DTLS handshake ran out of time");
            }
            self.drive_dtls(send);
        }
        if !matches!(self.state, State::Connected | State::Failed(_)) && now > self.since + CONNECT_TIMEOUT {
            self.fail(if self.state == State::Checking { "no answer to connectivity checks" } else { "the DTLS handshake did not end" });
        }
    }

    /// Reads a datagram of the server; a media packet comes back decrypted.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &mut [u8], send: &mut impl FnMut(&[u8])) -> Option<Plain<'_>> {
        match demux::classify(datagram) {
            Datagram::Stun => self.handle_stun(now, datagram, send),
            Datagram::Dtls if self.state != State::Checking => {
                if self.dtls.handle_packet(datagram).is_err() && self.state != State::Connected {
                    self.fail("the DTLS handshake failed");
                }
                self.drive_dtls(send);
            }
            Datagram::Rtp => {
                let header = pointsman_wire::rtp::Header::parse_protected(datagram).ok()?;
                let (inbound, _, _) = self.srtp.as_mut()?;
                let (len, _) =
                    inbound.unprotect_rtp(datagram, header.header_len, header.ssrc, header.sequence, &mut self.buffer[..]).ok()?;
                return Some(Plain::Rtp(&self.buffer[..len]));
            }
            Datagram::Rtcp => {
                let (inbound, _, _) = self.srtp.as_mut()?;
                let len = inbound.unprotect_rtcp(datagram, &mut self.buffer[..]).ok()?;
                return Some(Plain::Rtcp(&self.buffer[..len]));
            }
            Datagram::Dtls | Datagram::ChannelData | Datagram::Unknown => {}
        }
        None
    }

    /// Seals `body` behind the plain header in `out[..header_len]`; the packet's length on the wire.
    pub fn protect_rtp(&mut self, roc: u32, out: &mut [u8], header_len: usize, body: &[u8]) -> Option<usize> {
        let (_, outbound, _) = self.srtp.as_mut()?;
        outbound.protect_rtp(roc, out, header_len, &[], body, 0).ok()
    }

    pub fn protect_rtcp(&mut self, packet: &[u8], out: &mut [u8]) -> Option<usize> {
        let (_, outbound, _) = self.srtp.as_mut()?;
        outbound.protect_rtcp(packet, out).ok()
    }

    fn fail(&mut self, reason: &'static str) {
        self.state = State::Failed(reason);
    }

    fn check(&mut self, send: &mut impl FnMut(&[u8])) {
        self.transaction += 1;
        let mut id = [0; 12];
        id[..8].copy_from_slice(&self.seed.to_be_bytes());
        id[8..].copy_from_slice(&(self.transaction as u32).to_be_bytes());
        let mut out = [0; 256];
        let written = Writer::new(&mut out, Class::Request, Method::BINDING, TransactionId(id))
            .attribute(attribute::Type::USERNAME, &self.username)
            .u32(attribute::Type::PRIORITY, PRIORITY)
            .u64(attribute::Type::ICE_CONTROLLING, self.seed)
            .attribute(attribute::Type::USE_CANDIDATE, &[])
            .integrity(&self.key)
            .fingerprint()
            .finish();
        match written {
            Ok(len) => send(&out[..len]),
            Err(_) => self.fail("the server's ufrag is too long"),
        }
    }

    fn handle_stun(&mut self, now: Instant, datagram: &[u8], send: &mut impl FnMut(&[u8])) {
        let Ok(message) = Message::parse(datagram) else { return };
        match message.class() {
            Class::Success if self.state == State::Checking && message.verify_integrity(&self.key) => {
                self.state = State::Handshaking;
                if self.dtls.handle_timeout(now).is_err() {
                    return self.fail("DTLS could not start");
                }
                self.drive_dtls(send);
            }
            Class::Error if self.state == State::Checking => self.fail("the server refused the connectivity check"),
            // A server that is no ICE-lite agent checks too.
            Class::Request if message.verify_integrity(&self.own_key) => {
                let mut out = [0; 128];
                let written = Writer::new(&mut out, Class::Success, Method::BINDING, message.transaction_id())
                    .integrity(&self.own_key)
                    .fingerprint()
                    .finish();
                if let Ok(len) = written {
                    send(&out[..len]);
                }
            }
            Class::Success | Class::Error | Class::Request | Class::Indication => {}
        }
    }

    fn drive_dtls(&mut self, send: &mut impl FnMut(&[u8])) {
        let mut buffer = [0; DATAGRAM_LEN_MAX];
        loop {
            match self.dtls.poll_output(&mut buffer) {
                Output::Packet(packet) => send(packet),
                Output::PeerCert(der) => self.fingerprint_matches = sha256(der) == self.fingerprint,
                Output::KeyingMaterial(material, profile) => {
                    if !self.fingerprint_matches {
                        return self.fail("the server's certificate is not the one of its answer");
                    }
                    match keys(profile, &material, self.seed) {
                        Some(srtp) => (self.srtp, self.state) = (Some(srtp), State::Connected),
                        None => return self.fail("SRTP keys could not be made"),
                    }
                }
                Output::CloseNotify => return self.fail("the server closed the connection"),
                Output::Timeout(at) => {
                    self.dtls_timeout = Some(at);
                    return;
                }
                _ => {}
            }
        }
    }
}

fn keys(profile: SrtpProfile, material: &[u8], seed: u64) -> Option<(Inbound, Outbound, Profile)> {
    let profile = match profile {
        SrtpProfile::AEAD_AES_128_GCM => Profile::AeadAes128Gcm,
        SrtpProfile::AEAD_AES_256_GCM => Profile::AeadAes256Gcm,
        SrtpProfile::AES128_CM_SHA1_80 => Profile::AesCm128HmacSha1_80,
        _ => return None,
    };
    let keys = Keys::from_exporter(profile, material, DtlsRole::Client).ok()?;
    Some((Inbound::new(&keys.inbound, SOURCES_MAX, seed).ok()?, Outbound::new(&keys.outbound).ok()?, profile))
}

//! One DTLS 1.2 association with a client whose address is proved, around the library's state machine.
//!
//! rtc-dtls speaks 1.2 with RSA and ECDSA certificates; the SFU's first choice, dimpl, has no RSA, which most certificates of TURN
//! servers are.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pointsman_wire::dtls;
use rtc_dtls::config::HandshakeConfig;
use rtc_dtls::endpoint::{Endpoint, EndpointEvent};
use rtc_shared::TransportProtocol;

use super::gate::{Gate, RECORD_LEN_MAX};
use super::hello::Hello;
use crate::engine::encryption::Encryption;

/// The library keeps associations by address; ours is one.
const PEER: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 1);

/// The library forgets its retransmission timer whenever a handshake message comes that does not complete a flight, the client's
/// retransmissions among them; with the timer gone both ends would wait for ever. Then the last flight is sent once more from here.
const REPEAT_INTERVAL: Duration = Duration::from_millis(700);
const REPEATS_MAX: u32 = 4;

/// The association is dead. An alert may be waiting to be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failed;

/// What came of an association's input.
pub(super) enum Outcome<'a> {
    /// To be sent.
    Datagram(&'a [u8]),
    /// The handshake is complete.
    Connected,
    /// What the client said.
    Data(&'a [u8]),
    /// The client's close_notify.
    Closed,
}

pub(super) struct Association {
    endpoint: Endpoint,
    gate: Gate,
    events: Vec<EndpointEvent>,
    /// Added to the numbers of unencrypted records: the library counts from 1, the client from its hello (RFC 6347 section 4.2.1).
    sequence_offset: u64,
    complete: bool,
    flight: Vec<Vec<u8>>,
    repeat_now: bool,
    repeat_at: Instant,
    repeats: u32,
}

impl Association {
    /// Starts with a whole hello. The library has been dealt the hello's cookie. The second result says whether it lives on: when it
    /// does not, an alert may be waiting.
    pub fn accept(config: Arc<HandshakeConfig>, hello: Hello, now: Instant) -> Result<(Self, Result<(), Failed>), Failed> {
        let mut endpoint = Endpoint::new(PEER, TransportProtocol::UDP, Some(config));
        let sequence_offset = hello.sequence.wrapping_sub(1);
        let [first, again] = hello.into_datagrams().ok_or(Failed)?;
        // The client has been asked for the cookie already: the library hears the question's beginning, and asks nobody.
        let heard = endpoint.read(now, PEER, None, first.as_slice().into());
        // Its question is ours; its alert the client must have.
        if heard.is_ok() {
            while endpoint.poll_transmit().is_some() {}
        }
        let mut association = Self {
            endpoint,
            gate: Gate::default(),
            events: Vec::new(),
            sequence_offset,
            complete: false,
            flight: Vec::new(),
            repeat_now: false,
            repeat_at: now + REPEAT_INTERVAL,
            repeats: 0,
        };
        if heard.is_err() {
            return Ok((association, Err(Failed)));
        }
        let result = association.endpoint.read(now, PEER, None, again.as_slice().into()).map(drop).map_err(|_| Failed);
        Ok((association, result))
    }

    pub fn is_complete(&self) -> bool {
        self.complete
    }

    /// What the handshake came to.
    pub fn encryption(&self) -> Option<Encryption> {
        let suite = self.endpoint.get_connection_state(PEER)?.cipher_suite()?.id();
        self.complete.then(|| Encryption::of_dtls(suite))
    }

    /// Takes a datagram in. At most one flight is computed.
    pub fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Failed> {
        if !self.gate.admits(datagram, self.complete) {
            return Ok(());
        }
        let events = self.endpoint.read(now, PEER, None, datagram.into()).map_err(|_| Failed)?;
        self.complete |= events.iter().any(|event| matches!(event, EndpointEvent::HandshakeComplete));
        self.events.extend(events);
        Ok(())
    }

    pub fn handle_timeout(&mut self, now: Instant) -> Result<(), Failed> {
        if self.complete || self.endpoint.get_connection_state(PEER).is_none() {
            return Ok(());
        }
        if self.repeats_at().is_some_and(|at| at <= now) {
            self.repeats += 1;
            self.repeat_at = now + REPEAT_INTERVAL * (1 << self.repeats);
            self.repeat_now = true;
        }
        self.endpoint.handle_timeout(PEER, now).map_err(|_| Failed)
    }

    /// When [`Self::handle_timeout`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.complete { None } else { self.endpoint.poll_timeout(&PEER).or_else(|| self.repeats_at()) }
    }

    /// When the last flight is due once more, if the library does not know.
    fn repeats_at(&self) -> Option<Instant> {
        let stuck = !self.complete && !self.flight.is_empty() && self.endpoint.poll_timeout(&PEER).is_none();
        (stuck && self.repeats < REPEATS_MAX).then_some(self.repeat_at)
    }

    /// Encrypts `data` for the client; it comes out of [`Self::drain`].
    pub fn write(&mut self, now: Instant, data: &[u8]) -> Result<(), Failed> {
        if !self.complete || data.len() + 64 > RECORD_LEN_MAX {
            return Err(Failed);
        }
        self.endpoint.write(now, PEER, data).map_err(|_| Failed)
    }

    /// Queues close_notify.
    pub fn close(&mut self, now: Instant) {
        self.endpoint.stop(now, PEER);
    }

    /// Hands out everything that is due. Call after each of the above, also when it failed.
    pub fn drain(&mut self, now: Instant, take: &mut dyn FnMut(Outcome<'_>)) {
        if std::mem::take(&mut self.repeat_now) {
            for datagram in &self.flight {
                take(Outcome::Datagram(datagram));
            }
        }
        let mut first = true;
        while let Some(mut transmit) = self.endpoint.poll_transmit() {
            dtls::move_sequence(&mut transmit.message, self.sequence_offset);
            take(Outcome::Datagram(&transmit.message));
            if self.complete {
                continue;
            }
            if std::mem::take(&mut first) {
                self.flight.clear();
                self.repeat_at = now + REPEAT_INTERVAL;
                self.repeats = 0;
            }
            self.flight.push(transmit.message.to_vec());
        }
        for event in std::mem::take(&mut self.events) {
            match event {
                EndpointEvent::HandshakeComplete => {
                    self.flight = Vec::new();
                    take(Outcome::Connected);
                }
                EndpointEvent::ApplicationData(data) => take(Outcome::Data(&data)),
                EndpointEvent::PeerClosed => take(Outcome::Closed),
                // The library's enum may grow; what it adds is nothing that we ask for.
                _ => {}
            }
        }
    }
}

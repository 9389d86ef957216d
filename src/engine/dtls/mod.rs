//! Clients of TURN over DTLS, on the same UDP ports as everything else.
//!
//! ```text
//! ClientHello, no cookie ─▶ HelloVerifyRequest           nothing is kept
//! ClientHello, cookie ────▶ Hello ─whole─▶ Association ─data─▶ Inbox ─▶ the TURN server
//!                                               ◀── send ──────────────── its answers, what it relays
//! ```
//! Media's DTLS comes on paths that passed an authenticated connectivity check; everything else that looks like DTLS ends here.
//! Handshakes are heavy (an RSA signature), so their steps per turn are bounded and the rest waits.

mod association;
mod certificate;
mod cookie;
mod gate;
mod hello;

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::RandomState;
use pointsman_wire::clock::{Now, Wheel};
use pointsman_wire::dtls::{VERSION_1_2, write_hello_verify_request, write_version_alert};
use pointsman_wire::net::{FiveTuple, Protocol};
use rtc_dtls::config::HandshakeConfig;
use slab::Slab;

use super::encryption::Encryption;
use super::stats::DropReason;
use super::transmit::Transmit;
use association::{Association, Failed, Outcome};
use certificate::CookieSeat;
pub use certificate::{DtlsCertificate, UnsupportedKey};
use cookie::{COOKIE_LEN, Cookies};
use hello::{FirstPiece, Hello};

/// Room for a HelloVerifyRequest or an alert.
const SHORT_LEN: usize = 64;

/// How DTLS clients are served. Limits hold for each shard.
#[derive(Clone, Debug)]
pub struct DtlsConfig {
    /// `None`: DTLS is not served to clients of TURN.
    pub certificate: Option<Arc<DtlsCertificate>>,
    /// Associations, those whose handshake goes on included; about 20 KB each.
    pub associations_max: usize,
    /// Handshakes that go on, each from an address that was proved.
    pub handshakes_max: usize,
    /// Those of them that come from one address: a flat behind one NAT may start at once, and one host cannot take all places.
    pub handshakes_per_address_max: u16,
    /// From the hello with its cookie to the end of the handshake.
    pub handshake_timeout: Duration,
    /// A client without an allocation that is silent for so long is forgotten. One with an allocation stays as long as that.
    pub idle_timeout: Duration,
    /// Datagrams of handshakes that are worked on in one turn, half a millisecond each with RSA: a burst delays handshakes, not media.
    pub steps_per_turn_max: usize,
    /// Datagrams of handshakes that wait for a later turn; clients repeat those that are dropped.
    pub waiting_max: usize,
}

impl Default for DtlsConfig {
    fn default() -> Self {
        Self {
            certificate: None,
            associations_max: 10_000,
            handshakes_max: 512,
            handshakes_per_address_max: 64,
            handshake_timeout: Duration::from_secs(10),
            idle_timeout: Duration::from_secs(60),
            steps_per_turn_max: 4,
            waiting_max: 512,
        }
    }
}

/// A shard's DTLS clients.
pub struct DtlsClients {
    config: DtlsConfig,
    cookies: Cookies,
    seat: Arc<CookieSeat>,
    /// What the library works with, and which certificate it was made of.
    library: Option<(u64, Arc<HandshakeConfig>)>,
    by_client: HashMap<FiveTuple, u32, RandomState>,
    clients: Slab<Client>,
    generation: u32,
    /// Handshakes that go on, by address.
    handshakes: HashMap<IpAddr, u16, RandomState>,
    handshakes_open: usize,
    steps_left: usize,
    waiting: VecDeque<(FiveTuple, Box<[u8]>)>,
    timers: Wheel<(u32, u32)>,
    inbox: Inbox,
    /// A message is put together here before it is encrypted.
    message: Vec<u8>,
    last: Instant,
}

struct Client {
    /// With [`Protocol::Dtls`].
    path: FiveTuple,
    generation: u32,
    /// Of its hello: another one means that the client began anew.
    random: [u8; 32],
    stage: Stage,
    started: Instant,
    heard: Instant,
    timer: Option<Instant>,
}

enum Stage {
    Hello { hello: Hello, cookie: [u8; COOKIE_LEN], whole: bool },
    Running(Box<Association>),
}

/// What clients said, decrypted, and which of them are gone, in order.
#[derive(Default)]
pub struct Inbox {
    bytes: Vec<u8>,
    entries: Vec<InboxEntry>,
}

pub enum InboxEntry {
    Message { client: FiveTuple, range: Range<usize> },
    Closed { client: FiveTuple },
}

impl Inbox {
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    pub fn entries(&self) -> &[InboxEntry] {
        &self.entries
    }

    pub fn bytes(&self, range: &Range<usize>) -> &[u8] {
        self.bytes.get(range.clone()).unwrap_or_default()
    }

    fn push(&mut self, client: FiveTuple, message: &[u8]) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(message);
        self.entries.push(InboxEntry::Message { client, range: start..self.bytes.len() });
    }

    fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }
}

impl Stage {
    fn is_complete(&self) -> bool {
        matches!(self, Self::Running(association) if association.is_complete())
    }
}

impl DtlsClients {
    /// `secret` makes the cookies; all shards may have the same.
    pub fn new(config: DtlsConfig, secret: &[u8; 32], now: Instant) -> Self {
        Self {
            cookies: Cookies::new(secret),
            seat: Arc::default(),
            library: None,
            by_client: HashMap::default(),
            clients: Slab::new(),
            generation: 0,
            handshakes: HashMap::default(),
            handshakes_open: 0,
            steps_left: config.steps_per_turn_max,
            waiting: VecDeque::new(),
            timers: Wheel::new(now),
            inbox: Inbox::default(),
            message: Vec::new(),
            last: now,
            config,
        }
    }

    /// Associations, those whose handshake goes on included.
    pub fn len(&self) -> usize {
        self.clients.len()
    }

    /// How a client's association is encrypted.
    pub fn encryption(&self, client: &FiveTuple) -> Option<Encryption> {
        let at = self.by_client.get(client)?;
        match &self.clients.get(*at as usize)?.stage {
            Stage::Running(association) => association.encryption(),
            Stage::Hello { .. } => None,
        }
    }

    /// A datagram whose first byte says DTLS, from a path that is not media's.
    pub fn handle_datagram(&mut self, now: Now, path: &FiveTuple, datagram: &[u8], transmit: &mut Transmit) {
        self.last = now.mono;
        let client = FiveTuple { protocol: Protocol::Dtls, ..*path };
        let result = match FirstPiece::find(datagram) {
            Some(first) => self.take_hello(now, client, &first, datagram, transmit),
            None => self.take_other(now, client, datagram, transmit),
        };
        if let Err(reason) = result {
            transmit.stats.drop(reason, 1);
        }
    }

    /// RFC 6347 section 4.2.1. Also on a path that has an association: its client may have begun anew (section 4.2.8).
    fn take_hello(
        &mut self,
        now: Now,
        client: FiveTuple,
        first: &FirstPiece<'_>,
        datagram: &[u8],
        transmit: &mut Transmit,
    ) -> Result<(), DropReason> {
        let mut short = [0; SHORT_LEN];
        if first.head.version != VERSION_1_2 {
            let len = write_version_alert(&mut short, first.sequence).ok_or(DropReason::DtlsRefused)?;
            send(transmit, &client, &short[..len]);
            return Err(DropReason::DtlsRefused);
        }
        let good = first.message_number == 1 && self.cookies.verify(now.unix, &client, first.head.cookie);
        let cookie: Option<[u8; COOKIE_LEN]> = first.head.cookie.try_into().ok().filter(|_| good);
        let Some(cookie) = cookie else {
            let cookie = self.cookies.make(now.unix, &client);
            let len =
                write_hello_verify_request(&mut short, first.sequence, first.message_number, &cookie).ok_or(DropReason::DtlsRefused)?;
            send(transmit, &client, &short[..len]);
            return Ok(());
        };
        if let Some(&at) = self.by_client.get(&client) {
            if self.clients.get(at as usize).is_some_and(|known| known.random == first.head.random) {
                return self.take_other(now, client, datagram, transmit);
            }
            self.remove(at);
        }
        let at = self.begin(now.mono, client, first, cookie)?;
        self.take_piece(now, at, datagram, transmit)
    }

    /// Makes a place for a client whose address is proved.
    fn begin(&mut self, now: Instant, client: FiveTuple, first: &FirstPiece<'_>, cookie: [u8; COOKIE_LEN]) -> Result<u32, DropReason> {
        let of_address = self.handshakes.get(&client.remote.ip()).copied().unwrap_or(0);
        if self.clients.len() >= self.config.associations_max
            || self.handshakes_open >= self.config.handshakes_max
            || of_address >= self.config.handshakes_per_address_max
        {
            return Err(DropReason::DtlsBusy);
        }
        self.handshakes.insert(client.remote.ip(), of_address + 1);
        self.handshakes_open += 1;
        self.generation = self.generation.wrapping_add(1);
        let hello = Hello::new(first.sequence);
        let at = self.clients.insert(Client {
            path: client,
            generation: self.generation,
            random: first.head.random,
            stage: Stage::Hello { hello, cookie, whole: false },
            started: now,
            heard: now,
            timer: None,
        }) as u32;
        self.by_client.insert(client, at);
        self.schedule(at);
        Ok(at)
    }

    fn take_other(&mut self, now: Now, client: FiveTuple, datagram: &[u8], transmit: &mut Transmit) -> Result<(), DropReason> {
        let at = *self.by_client.get(&client).ok_or(DropReason::DtlsUnknown)?;
        let known = self.clients.get_mut(at as usize).ok_or(DropReason::DtlsUnknown)?;
        known.heard = now.mono;
        match &known.stage {
            Stage::Hello { .. } => self.take_piece(now, at, datagram, transmit),
            Stage::Running(association) if association.is_complete() => {
                self.step(now.mono, at, datagram, transmit);
                Ok(())
            }
            // A repeated hello: the answer to it is repeated by timer.
            Stage::Running(_) if FirstPiece::find(datagram).is_some() => Ok(()),
            Stage::Running(_) => {
                if !self.take_step(client, datagram)? {
                    return Ok(());
                }
                self.step(now.mono, at, datagram, transmit);
                Ok(())
            }
        }
    }

    fn take_piece(&mut self, now: Now, at: u32, datagram: &[u8], transmit: &mut Transmit) -> Result<(), DropReason> {
        let Some(Client { path, stage: Stage::Hello { hello, whole, .. }, .. }) = self.clients.get_mut(at as usize) else {
            return Err(DropReason::DtlsUnknown);
        };
        let client = *path;
        if *whole || !hello.push(datagram) {
            return Ok(());
        }
        *whole = true;
        if self.take_step(client, &[])? {
            self.accept(now.mono, at, transmit);
        }
        Ok(())
    }

    /// Whether this turn has time for one more step; otherwise the datagram (or the beginning: an empty one) waits.
    fn take_step(&mut self, client: FiveTuple, datagram: &[u8]) -> Result<bool, DropReason> {
        if self.steps_left > 0 && self.waiting.is_empty() {
            self.steps_left -= 1;
            return Ok(true);
        }
        if self.waiting.len() >= self.config.waiting_max {
            return Err(DropReason::DtlsBusy);
        }
        self.waiting.push_back((client, datagram.into()));
        Ok(false)
    }

    /// Does what is due, and what earlier datagrams left to do. `keep` says whether a client has an allocation. Says whether something
    /// is left for the next turn.
    pub fn continue_work(&mut self, now: Now, transmit: &mut Transmit, keep: impl Fn(&FiveTuple) -> bool) -> bool {
        self.last = now.mono;
        self.steps_left = self.config.steps_per_turn_max;
        while self.steps_left > 0
            && let Some((client, datagram)) = self.waiting.pop_front()
        {
            let Some(&at) = self.by_client.get(&client) else { continue };
            self.steps_left -= 1;
            match self.clients.get(at as usize).map(|known| &known.stage) {
                Some(Stage::Hello { whole: true, .. }) => self.accept(now.mono, at, transmit),
                Some(Stage::Running(_)) if !datagram.is_empty() => self.step(now.mono, at, &datagram, transmit),
                _ => {}
            }
        }
        while let Some((at, generation)) = self.timers.pop(now.mono) {
            if self.clients.get(at as usize).is_some_and(|known| known.generation == generation) {
                self.due(now.mono, at, transmit, &keep);
            }
        }
        !self.waiting.is_empty()
    }

    /// When [`Self::continue_work`] is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    fn due(&mut self, now: Instant, at: u32, transmit: &mut Transmit, keep: &impl Fn(&FiveTuple) -> bool) {
        let Some(known) = self.clients.get_mut(at as usize) else { return };
        known.timer = None;
        if !known.stage.is_complete() {
            if known.started + self.config.handshake_timeout <= now {
                transmit.stats.drop(DropReason::DtlsRefused, 1);
                self.remove(at);
                return;
            }
            if let Stage::Running(association) = &mut known.stage {
                let result = association.handle_timeout(now);
                self.settle(now, at, result, transmit);
            }
        } else if known.heard + self.config.idle_timeout <= now {
            if keep(&known.path) {
                known.heard = now;
            } else {
                self.close_at(at, transmit);
                return;
            }
        }
        self.schedule(at);
    }

    /// Starts the library on a whole hello.
    fn accept(&mut self, now: Instant, at: u32, transmit: &mut Transmit) {
        let Some(library) = self.library() else {
            self.remove(at);
            transmit.stats.drop(DropReason::DtlsRefused, 1);
            return;
        };
        let Some(known) = self.clients.get_mut(at as usize) else { return };
        let Stage::Hello { hello, cookie, .. } = &mut known.stage else { return };
        let hello = std::mem::replace(hello, Hello::new(0));
        self.seat.set(Some(*cookie));
        let accepted = Association::accept(library, hello, now);
        self.seat.set(None);
        match accepted {
            Ok((association, result)) => {
                known.stage = Stage::Running(Box::new(association));
                self.settle(now, at, result, transmit);
                self.schedule(at);
            }
            Err(Failed) => {
                transmit.stats.drop(DropReason::DtlsRefused, 1);
                self.remove(at);
            }
        }
    }

    /// The library's settings, with the certificate that is in force.
    fn library(&mut self) -> Option<Arc<HandshakeConfig>> {
        let certificate = self.config.certificate.as_ref()?;
        let generation = certificate.generation();
        if self.library.as_ref().is_none_or(|(made_of, _)| *made_of != generation) {
            self.library = Some((generation, certificate.handshake_config(&self.seat)?));
        }
        self.library.as_ref().map(|(_, library)| Arc::clone(library))
    }

    fn step(&mut self, now: Instant, at: u32, datagram: &[u8], transmit: &mut Transmit) {
        let Some(Client { stage: Stage::Running(association), .. }) = self.clients.get_mut(at as usize) else { return };
        let result = association.handle_datagram(now, datagram);
        let was_complete = self.settle(now, at, result, transmit);
        if !was_complete {
            self.schedule(at);
        }
    }

    /// After every step of an association: what it gave out, and whether it lives. Says whether it was complete before.
    fn settle(&mut self, now: Instant, at: u32, result: Result<(), Failed>, transmit: &mut Transmit) -> bool {
        let Self { clients, inbox, .. } = self;
        let Some(Client { path, stage: Stage::Running(association), .. }) = clients.get_mut(at as usize) else { return true };
        let client = *path;
        let (mut connected, mut closed) = (false, false);
        association.drain(now, &mut |outcome| match outcome {
            Outcome::Datagram(datagram) => send(transmit, &client, datagram),
            Outcome::Connected => connected = true,
            Outcome::Data(message) => inbox.push(client, message),
            Outcome::Closed => closed = true,
        });
        let complete = association.is_complete();
        if connected {
            transmit.stats.dtls_handshakes += 1;
            self.end_handshake(&client);
        }
        if closed || result.is_err() {
            if result.is_err() {
                transmit.stats.drop(DropReason::DtlsRefused, 1);
            }
            self.remove(at);
        }
        complete && !connected
    }

    /// Puts a message together for [`Self::send_prepared`].
    pub fn prepare(&mut self, parts: &[&[u8]]) {
        self.message.clear();
        for part in parts {
            self.message.extend_from_slice(part);
        }
    }

    /// Encrypts the message for a client and sends it.
    pub fn send_prepared(&mut self, client: &FiveTuple, transmit: &mut Transmit) {
        let found = self.by_client.get(client).and_then(|&at| self.clients.get_mut(at as usize));
        let Some(Client { stage: Stage::Running(association), .. }) = found else {
            transmit.stats.drop(DropReason::NoSocket, 1);
            return;
        };
        if association.write(self.last, &self.message).is_err() {
            transmit.stats.drop(DropReason::DtlsRefused, 1);
            return;
        }
        association.drain(self.last, &mut |outcome| {
            if let Outcome::Datagram(datagram) = outcome {
                send(transmit, client, datagram);
            }
        });
    }

    /// Says goodbye to a client: close_notify.
    pub fn close(&mut self, client: &FiveTuple, transmit: &mut Transmit) {
        if let Some(&at) = self.by_client.get(client) {
            self.close_at(at, transmit);
        }
    }

    /// Says goodbye to all.
    pub fn close_all(&mut self, transmit: &mut Transmit) {
        for at in self.by_client.values().copied().collect::<Vec<_>>() {
            self.close_at(at, transmit);
        }
    }

    fn close_at(&mut self, at: u32, transmit: &mut Transmit) {
        if let Some(Client { path, stage: Stage::Running(association), .. }) = self.clients.get_mut(at as usize) {
            association.close(self.last);
            association.drain(self.last, &mut |outcome| {
                if let Outcome::Datagram(datagram) = outcome {
                    send(transmit, path, datagram);
                }
            });
        }
        self.remove(at);
    }

    /// Forgets a client. The server hears of those that it may know.
    fn remove(&mut self, at: u32) {
        let Some(known) = self.clients.try_remove(at as usize) else { return };
        self.by_client.remove(&known.path);
        if known.stage.is_complete() {
            self.inbox.entries.push(InboxEntry::Closed { client: known.path });
        } else {
            self.end_handshake(&known.path);
        }
    }

    fn end_handshake(&mut self, client: &FiveTuple) {
        self.handshakes_open = self.handshakes_open.saturating_sub(1);
        let address = client.remote.ip();
        if let Some(open) = self.handshakes.get_mut(&address) {
            *open -= 1;
            if *open == 0 {
                self.handshakes.remove(&address);
            }
        }
    }

    /// Makes sure that a timer fires when something of the client is due.
    fn schedule(&mut self, at: u32) {
        let Some(known) = self.clients.get_mut(at as usize) else { return };
        let (limit, due) = match &known.stage {
            Stage::Running(association) if association.is_complete() => (known.heard + self.config.idle_timeout, None),
            Stage::Running(association) => (known.started + self.config.handshake_timeout, association.poll_timeout()),
            Stage::Hello { .. } => (known.started + self.config.handshake_timeout, None),
        };
        let due = due.map_or(limit, |due| due.min(limit));
        if known.timer.is_none_or(|timer| due < timer) {
            known.timer = Some(due);
            self.timers.insert(due, (at, known.generation));
        }
    }

    /// What came in, for the server. Give it back when it is read.
    pub fn take_inbox(&mut self) -> Inbox {
        std::mem::take(&mut self.inbox)
    }

    /// Keeps the space of an inbox that was read. What came in while it was read is kept, too.
    pub fn give_back(&mut self, mut inbox: Inbox) {
        if self.inbox.is_empty() {
            inbox.clear();
            self.inbox = inbox;
        }
    }
}

fn send(transmit: &mut Transmit, client: &FiveTuple, datagram: &[u8]) {
    let path = FiveTuple::udp(client.local, client.remote);
    if let Some(slot) = transmit.slot(&path, datagram.len()) {
        slot.copy_from_slice(datagram);
        transmit.commit(datagram.len());
    }
}

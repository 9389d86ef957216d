//! Relayed transport addresses: their ports, which the ledger of all shards gives out, and their sockets, which come when they are
//! needed.
//!
//! ```text
//! drawn ──(first peer that is not our own media)──► opening ──► open
//!   ▲                                                  │
//!   └───────────(no socket: 508 to who waited)─────────┘
//! ```
//! Requests that need the socket wait for it as they came, and are taken up anew.

use std::net::{IpAddr, SocketAddr};

use pointsman_wire::clock::Now;
use pointsman_wire::net::FiveTuple;
use pointsman_wire::stun::Message;
use pointsman_wire::stun::attribute::Family;

use super::Server;
use super::reply::Rejection;
use crate::allocation::{EvenPort, Opening, OwnRelay};
use crate::ledger::PortWish;
use crate::verdict::{OpenError, Output, RelayPort, RelaySource, RelayTransport};

/// Requests of one allocation that wait for a socket.
const WAITING_MAX: usize = 8;
/// A longer one is let fall; its client sends it again.
const WAITING_LEN_MAX: usize = 1_500;

/// One relayed transport address.
#[derive(Debug)]
pub(super) struct Relay {
    pub(super) generation: u32,
    pub(super) allocation: u32,
    pub(super) transport: RelayTransport,
    /// Where its socket is or will be bound.
    pub(super) address: SocketAddr,
    pub(super) socket: Socket,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Socket {
    /// The port is ours; nobody listens.
    Drawn,
    Opening,
    Open,
}

/// Whether a relay can be sent through.
pub(super) enum Readiness {
    Ready,
    /// It is being opened.
    Soon,
}

impl Server {
    /// The local address for a relay of this family, if there is one.
    pub(super) fn relay_address(&mut self, family: Family, client: &FiveTuple) -> Option<IpAddr> {
        let of_family = self.config.relay_addresses.iter().filter(|ip| Family::of(ip) == family);
        let count = of_family.clone().count();
        let turn = self.relay_turns.get_mut(usize::from(family == Family::V6))?;
        let address = *of_family.clone().nth(turn.checked_rem(count)?)?;
        *turn = turn.wrapping_add(1);
        let reached = address.is_unspecified() && Family::of(&client.local.ip()) == family;
        Some(if reached { client.local.ip() } else { address })
    }

    pub(super) fn has_family(&self, family: Family) -> bool {
        self.config.relay_addresses.iter().any(|ip| Family::of(ip) == family)
    }

    /// A free port of the range, each time anew, so that one port says nothing about the next.
    pub(super) fn draw_port(&mut self, family: Family, even_port: EvenPort) -> Option<u16> {
        let wish = match even_port {
            EvenPort::Any => PortWish::Any,
            EvenPort::Even => PortWish::Even,
            EvenPort::EvenAndReserve => PortWish::EvenAndNext,
        };
        let random = u64::from_be_bytes(self.rng.bytes());
        self.ledger.reserve_port(family, wish, random)
    }

    /// Enters a relay whose port is reserved, in the first free place of its allocation.
    pub(super) fn new_relay(&mut self, index: u32, address: SocketAddr, transport: RelayTransport) -> RelayPort {
        self.relay_generation = self.relay_generation.wrapping_add(1);
        let generation = self.relay_generation;
        let entry = self.relays.insert(Relay { generation, allocation: index, transport, address, socket: Socket::Drawn });
        self.stats.relays = self.relays.len() as u64;
        let port = RelayPort { index: u32::try_from(entry).unwrap_or(u32::MAX), generation };
        let shown = self.externals.outward(address);
        if let Some(allocation) = self.allocations.get_mut(index as usize)
            && let Some(place) = allocation.relays.iter_mut().find(|place| place.is_none())
        {
            *place = Some(OwnRelay { family: Family::of(&address.ip()), port, shown });
            self.relayed.insert(shown, index);
        }
        port
    }

    /// The relay, if this is still the one that had the number.
    pub(super) fn relay(&self, relay: RelayPort) -> Option<&Relay> {
        self.relays.get(relay.index as usize).filter(|r| r.generation == relay.generation)
    }

    /// Its socket came with it from another shard.
    pub(super) fn set_open(&mut self, relay: RelayPort) {
        if let Some(entry) = self.relay_mut(relay) {
            entry.socket = Socket::Open;
        }
    }

    fn relay_mut(&mut self, relay: RelayPort) -> Option<&mut Relay> {
        self.relays.get_mut(relay.index as usize).filter(|r| r.generation == relay.generation)
    }

    /// Asks for the relay's socket unless it is there or on its way.
    pub(super) fn want_socket(&mut self, relay: RelayPort) -> Result<Readiness, Rejection> {
        let entry = self.relay_mut(relay).ok_or(Rejection::INSUFFICIENT_CAPACITY)?;
        match entry.socket {
            Socket::Open => return Ok(Readiness::Ready),
            Socket::Opening => return Ok(Readiness::Soon),
            Socket::Drawn => entry.socket = Socket::Opening,
        }
        let (from, transport) = (RelaySource::Fresh { address: entry.address }, entry.transport);
        self.outputs.push_back(Output::OpenRelay { relay, from, transport });
        Ok(Readiness::Soon)
    }

    /// Keeps a request until its allocation's sockets are there. It is the same request once, however often it is sent.
    pub(super) fn wait_for_socket(&mut self, index: u32, message: &Message<'_>) {
        let Some(allocation) = self.allocations.get_mut(index as usize) else { return };
        let bytes = message.bytes();
        let known = allocation.waiting.iter().any(|waiting| waiting.get(..20) == bytes.get(..20));
        if !known && allocation.waiting.len() < WAITING_MAX && bytes.len() <= WAITING_LEN_MAX {
            allocation.waiting.push(bytes.into());
        }
    }

    /// The engine got a socket, or could not.
    pub fn handle_relay_opened(&mut self, now: Now, relay: RelayPort, result: Result<SocketAddr, OpenError>) {
        // Given up meanwhile: the engine was told to close it.
        let Some(entry) = self.relay_mut(relay) else { return };
        let index = entry.allocation;
        match (entry.socket, result) {
            (Socket::Opening, Ok(_)) => entry.socket = Socket::Open,
            (Socket::Opening, Err(_)) => entry.socket = Socket::Drawn,
            // A socket that came from another shard could not be taken up.
            (Socket::Open, Err(_)) => return entry.socket = Socket::Drawn,
            (Socket::Drawn, _) | (Socket::Open, Ok(_)) => return,
        }
        let opening = self.allocations.get(index as usize).is_some_and(|allocation| allocation.opening.is_some());
        match result {
            Ok(_) if opening => self.opened(now, index),
            Err(error) if opening => self.not_opened(now, index, relay, error),
            Ok(_) => self.resume(now, index),
            Err(_) => self.refuse_waiting(index),
        }
    }

    /// Takes up what waited for a socket.
    fn resume(&mut self, now: Now, index: u32) {
        let Some(allocation) = self.allocations.get_mut(index as usize) else { return };
        let client = allocation.client;
        for request in std::mem::take(&mut allocation.waiting) {
            if let Ok(message) = Message::parse(&request) {
                let decided = self.handle_request(now, client, &message);
                self.queue_reply(decided);
            }
        }
    }

    /// No socket: another process has the port, which its client has been told already.
    fn refuse_waiting(&mut self, index: u32) {
        let Some(allocation) = self.allocations.get_mut(index as usize) else { return };
        let (client, key, style) = (allocation.client, allocation.key, allocation.style);
        self.stats.relays_failed_total += 1;
        for request in std::mem::take(&mut allocation.waiting) {
            if let Ok(message) = Message::parse(&request) {
                let question = super::reply::Question::new(client, &message);
                let decided = self.reject(question, key, style, &Rejection::INSUFFICIENT_CAPACITY);
                self.queue_reply(decided);
            }
        }
    }

    /// A socket of an Allocate that waits for all of its sockets came.
    fn opened(&mut self, now: Now, index: u32) {
        let Some(allocation) = self.allocations.get(index as usize) else { return };
        let ports = allocation.relays.map(|own| own.map(|own| own.port));
        let open = |port: RelayPort| self.relay(port).is_some_and(|relay| relay.socket == Socket::Open);
        if ports.into_iter().flatten().all(open) {
            self.complete(now, index);
            self.answer_allocate(index);
        }
    }

    /// Another try, or none.
    fn not_opened(&mut self, now: Now, index: u32, relay: RelayPort, error: OpenError) {
        let Some(allocation) = self.allocations.get_mut(index as usize) else { return };
        let client = allocation.client;
        let Some(Opening { tries_left, even_port }) = allocation.opening.as_mut() else { return };
        *tries_left = tries_left.saturating_sub(1);
        let again = error == OpenError::InUse && *tries_left > 0;
        let even_port = *even_port;
        let second = allocation.relays.get(1).is_some_and(|own| own.is_some_and(|own| own.port == relay));
        let Some((family, transport)) = self.relay(relay).map(|relay| (Family::of(&relay.address.ip()), relay.transport)) else { return };
        // The pair moves: the next port is drawn with the new one.
        self.drop_reserved(index);
        self.discard_relay(index, relay);
        if again && self.draw_relay(index, family, if second { EvenPort::Any } else { even_port }, transport, &client).is_some() {
            return self.open_all(index);
        }
        // RFC 8656 section 7.2: one family is enough for success.
        let Some(allocation) = self.allocations.get_mut(index as usize) else { return };
        if second && allocation.relays.iter().flatten().next().is_some() {
            allocation.refused_family = Some((family, 508));
            return self.opened(now, index);
        }
        self.fail(index);
    }

    /// Draws a port for one more relay of an allocation. With [`EvenPort::EvenAndReserve`] the next port is the allocation's, too.
    pub(super) fn draw_relay(
        &mut self,
        index: u32,
        family: Family,
        even_port: EvenPort,
        transport: RelayTransport,
        client: &FiveTuple,
    ) -> Option<RelayPort> {
        let ip = self.relay_address(family, client)?;
        let port = self.draw_port(family, even_port)?;
        if even_port == EvenPort::EvenAndReserve
            && let Some(allocation) = self.allocations.get_mut(index as usize)
        {
            allocation.next_port = port.checked_add(1).map(|next| SocketAddr::new(ip, next));
        }
        Some(self.new_relay(index, SocketAddr::new(ip, port), transport))
    }

    /// Asks for the sockets of all relays of an allocation.
    pub(super) fn open_all(&mut self, index: u32) {
        let Some(allocation) = self.allocations.get(index as usize) else { return };
        for own in allocation.relays.into_iter().flatten() {
            // A relay that is not there needs no socket.
            _ = self.want_socket(own.port);
        }
    }

    /// Gives back the port next to an allocation's own that is not promised to anybody yet.
    pub(super) fn drop_reserved(&mut self, index: u32) {
        if let Some(next) = self.allocations.get_mut(index as usize).and_then(|allocation| allocation.next_port.take()) {
            self.ledger.release_port(Family::of(&next.ip()), next.port());
        }
    }

    /// Ends one relay of an allocation that stays.
    pub(super) fn discard_relay(&mut self, index: u32, relay: RelayPort) {
        let Some(allocation) = self.allocations.get_mut(index as usize) else { return };
        let place = allocation.relays.iter_mut().find(|place| place.is_some_and(|own| own.port == relay));
        if let Some(own) = place.and_then(Option::take) {
            self.close_relay(own);
        }
    }

    /// Closes the socket, if one was asked for, and gives the port back.
    pub(super) fn close_relay(&mut self, own: OwnRelay) {
        let Some(entry) = self.forget_relay(own) else { return };
        self.ledger.release_port(own.family, entry.address.port());
        if entry.socket != Socket::Drawn {
            self.outputs.push_back(Output::CloseRelay { relay: own.port });
        }
    }

    pub(super) fn forget_relay(&mut self, own: OwnRelay) -> Option<Relay> {
        self.relay(own.port)?;
        let entry = self.relays.try_remove(own.port.index as usize)?;
        self.relayed.remove(&own.shown);
        self.stats.relays = self.relays.len() as u64;
        Some(entry)
    }
}

//! Allocations come and go (RFC 8656 section 7.2).
//!
//! ```text
//! Allocate ─► OpenRelay ─► handle_relay_opened ─┬─► (next port, for EVEN-PORT with R) ─┬─► success answer
//!                 ▲                             ├─► (second address family) ───────────┘
//!                 └── another port ◄── in use ──┴─► 508
//! ```
//! Success is told only when every socket is there.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pointsman_wire::clock::Now;
use pointsman_wire::net::FiveTuple;
use pointsman_wire::stun::attribute::{Family, Type};
use pointsman_wire::stun::{Message, Method, Writer};

use super::reply::{Question, Rejection};
use super::requests::Granted;
use super::{Relay, RelayOwner, Reservation, Server, Timer};
use crate::allocation::{Allocation, Beginning, EvenPort, Opening, OwnRelay, ReplyStyle};
use crate::auth::Proof;
use crate::stats::DropReason;
use crate::verdict::{OpenError, Output, RelayPort, RelaySource, RelayTransport, ReservationToken, Verdict};

/// The only transport that a relayed address may have here: UDP.
const TRANSPORT_UDP: u8 = 17;
/// How long sockets may take. It is a matter of microseconds, but a message to another shard may be lost.
const OPENING_TIMEOUT: Duration = Duration::from_secs(5);
/// RFC 8656 section 7.2 recommends 30 s at least for a reserved port.
const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);

/// What an Allocate request asks for, checked for sense but not for possibility.
struct Wish {
    token: Option<ReservationToken>,
    even_port: EvenPort,
    family: Option<Family>,
    additional: Option<Family>,
    lifetime_s: Option<u32>,
}

impl Wish {
    /// Steps 3 to 9 of RFC 8656 section 7.2.
    fn read(message: &Message<'_>) -> Result<Self, Rejection> {
        match message.requested_transport()? {
            Some(TRANSPORT_UDP) => {}
            Some(_) => return Err(Rejection::UNSUPPORTED_TRANSPORT),
            None => return Err(Rejection::BAD_REQUEST),
        }
        let token = message.reservation_token()?.map(ReservationToken);
        let even_port = match message.even_port()? {
            None => EvenPort::Any,
            Some(false) => EvenPort::Even,
            Some(true) => EvenPort::EvenAndReserve,
        };
        let (family, additional) = (message.requested_address_family()?, message.additional_address_family()?);
        // A token with REQUESTED-ADDRESS-FAMILY should be refused too; coturn's client sends both, so they must merely agree.
        let senseless = token.is_some() && (even_port != EvenPort::Any || additional.is_some())
            || family.is_some() && additional.is_some()
            || additional.is_some() && even_port == EvenPort::EvenAndReserve
            || additional.is_some_and(|code| code != Family::V6.code());
        if senseless {
            return Err(Rejection::BAD_REQUEST);
        }
        let family = match family {
            Some(code) => Some(Family::from_code(code).ok_or(Rejection::FAMILY_NOT_SUPPORTED)?),
            None => None,
        };
        Ok(Self { token, even_port, family, additional: additional.map(|_| Family::V6), lifetime_s: message.lifetime()? })
    }
}

impl Server {
    pub(super) fn allocate(
        &mut self,
        now: Now,
        client: FiveTuple,
        message: &Message<'_>,
        existing: Option<u32>,
        proof: &Proof,
        style: ReplyStyle,
    ) -> Result<Granted, Rejection> {
        if let Some(index) = existing {
            let allocation = self.allocations.get(index as usize).ok_or(Rejection::ALLOCATION_MISMATCH)?;
            return match (allocation.transaction == message.transaction_id(), allocation.opening.is_some()) {
                // The answer was lost: the same again.
                (true, false) => Ok(Granted::Allocation(index)),
                (true, true) => Ok(Granted::Later),
                (false, _) => Err(Rejection::ALLOCATION_MISMATCH),
            };
        }
        let granted = match self.draining {
            true => Err(Rejection::FORBIDDEN),
            false => self.allocate_new(now, client, message, proof, style),
        };
        if granted.is_err() {
            self.stats.allocations_refused_total += 1;
        }
        granted
    }

    fn allocate_new(
        &mut self,
        now: Now,
        client: FiveTuple,
        message: &Message<'_>,
        proof: &Proof,
        style: ReplyStyle,
    ) -> Result<Granted, Rejection> {
        let wish = Wish::read(message)?;
        if self.allocations.len() >= self.config.allocations_max {
            return Err(Rejection::QUOTA_REACHED);
        }
        let (family, refused_family) = self.families(&wish)?;
        if wish.even_port == EvenPort::EvenAndReserve && self.reservations.len() >= self.config.reservations_max {
            return Err(Rejection::INSUFFICIENT_CAPACITY);
        }
        let origin = self.origin_of(message)?;
        // What is taken here is given back when the allocation goes.
        let bps = self.ledger.take(&proof.realm, &proof.owner, &self.auth.quota(&proof.realm))?;
        let reserved = match wish.token {
            Some(token) if token.shard() == self.shard => {
                let claimed = self.claim(token, wish.family);
                Some(claimed.inspect_err(|_| self.ledger.give_back(&proof.realm, &proof.owner, bps))?)
            }
            Some(_) | None => None,
        };
        let lifetime_s = proof.bound(now.unix, self.lifetime_s(wish.lifetime_s));
        let allocation = Allocation::new(Beginning {
            client,
            username: &proof.username,
            owner: &proof.owner,
            realm: Arc::clone(&proof.realm),
            bps,
            until: proof.until,
            origin,
            key: proof.key,
            transaction: message.transaction_id(),
            refused_family,
            lifetime_s,
            expires: now.mono + OPENING_TIMEOUT,
            style,
            opening: Opening {
                tries_left: self.config.port_tries_max,
                even_port: wish.even_port,
                additional: wish.additional.filter(|_| refused_family.is_none()),
                next_port: None,
            },
        });
        let index = self.insert(allocation);
        match (reserved, wish.token) {
            (Some(port), _) => {
                self.adopt(index, port);
                self.complete(now, index);
                Ok(Granted::Allocation(index))
            }
            (None, Some(token)) => {
                let port = self.new_relay(index, wish.family.unwrap_or(Family::V4));
                self.give(index, port);
                self.outputs.push_back(Output::OpenRelay {
                    relay: port,
                    from: RelaySource::Reserved { token, shard: token.shard() },
                    transport: RelayTransport::Udp,
                });
                Ok(Granted::Later)
            }
            (None, None) => {
                self.open_first(index, family);
                Ok(Granted::Later)
            }
        }
    }

    /// The family to begin with, and one that was asked for besides but is not to be had (RFC 8656 section 7.2, step 9).
    fn families(&self, wish: &Wish) -> Result<(Family, Option<(Family, u16)>), Rejection> {
        let has = |family| self.relay_address(family).is_some();
        match (wish.family, wish.additional) {
            (Some(family), _) if has(family) => Ok((family, None)),
            (None, None) if has(Family::V4) => Ok((Family::V4, None)),
            (None, Some(_)) => match (has(Family::V4), has(Family::V6)) {
                (true, true) => Ok((Family::V4, None)),
                (true, false) => Ok((Family::V4, Some((Family::V6, 440)))),
                (false, true) => Ok((Family::V6, Some((Family::V4, 440)))),
                (false, false) => Err(Rejection::FAMILY_NOT_SUPPORTED),
            },
            (Some(_) | None, _) => Err(Rejection::FAMILY_NOT_SUPPORTED),
        }
    }

    fn relay_address(&self, family: Family) -> Option<IpAddr> {
        match family {
            Family::V4 => self.config.relay_v4.map(IpAddr::V4),
            Family::V6 => self.config.relay_v6.map(IpAddr::V6),
        }
    }

    fn insert(&mut self, allocation: Allocation) -> u32 {
        let (client, expires) = (allocation.client, allocation.expires);
        let index = u32::try_from(self.allocations.insert(allocation)).unwrap_or(u32::MAX);
        self.clients.insert(client, index);
        self.stats.allocations = self.allocations.len() as u64;
        *self.stats.of_protocol(client.protocol) += 1;
        self.arm(index, expires);
        index
    }

    /// The engine got a socket, or could not.
    ///
    /// For [`RelaySource::Fresh`] the address is the socket's own; so it is for one from another shard.
    pub fn handle_relay_opened(&mut self, now: Now, relay: RelayPort, result: Result<SocketAddr, OpenError>) {
        // Given up meanwhile: the engine was told to close it.
        let Some(entry) = self.relays.get_mut(relay.index as usize).filter(|r| r.generation == relay.generation) else { return };
        let RelayOwner::Allocation(index) = entry.owner else { return };
        if entry.local.is_some() {
            return;
        }
        match result {
            Ok(local) => {
                entry.local = Some(local);
                entry.family = Family::of(&local.ip());
                self.opened(now, index, relay);
            }
            Err(error) => {
                self.forget_relay(relay);
                self.not_opened(now, index, relay, error);
            }
        }
    }

    /// The next step after a socket came.
    fn opened(&mut self, now: Now, index: u32, relay: RelayPort) {
        let Some(entry) = self.relays.get(relay.index as usize) else { return };
        let (family, local) = (entry.family, entry.local);
        let Some(allocation) = self.allocations.get_mut(index as usize) else { return };
        let Some(opening) = allocation.opening.as_mut() else { return };
        // A socket from another shard brings its family with it.
        for own in allocation.relays.iter_mut().flatten().filter(|own| own.port == relay) {
            own.family = family;
        }
        if opening.even_port == EvenPort::EvenAndReserve && opening.next_port.is_none() {
            let next = local.and_then(|local| Some(SocketAddr::new(local.ip(), local.port().checked_add(1)?)));
            let port = self.new_relay(index, family);
            if let (Some(opening), Some(address)) = (self.opening(index), next) {
                opening.next_port = Some(port);
                self.outputs.push_back(Output::OpenRelay {
                    relay: port,
                    from: RelaySource::Fresh { address },
                    transport: RelayTransport::Udp,
                });
            }
            return;
        }
        if let Some(family) = opening.additional.take() {
            self.open(index, family, EvenPort::Any);
            return;
        }
        self.complete(now, index);
        let Some(allocation) = self.allocations.get(index as usize) else { return };
        let question = Question { client: allocation.client, method: Method::ALLOCATE, id: allocation.transaction };
        if let Some(style) = self.style_of(index) {
            let decided = self.accept_allocation(question, index, style);
            self.queue_reply(decided);
        }
    }

    /// Another try, or none: `relay` is forgotten already.
    fn not_opened(&mut self, now: Now, index: u32, relay: RelayPort, error: OpenError) {
        let Some(allocation) = self.allocations.get_mut(index as usize) else { return };
        let Some(opening) = allocation.opening.as_mut() else { return };
        let was_next_port = opening.next_port == Some(relay);
        if was_next_port {
            opening.next_port = None;
        }
        opening.tries_left = opening.tries_left.saturating_sub(1);
        let (even_port, tries_left) = (opening.even_port, opening.tries_left);
        let place = allocation.relays.iter().position(|own| own.is_some_and(|own| own.port == relay));
        let family = place.and_then(|at| allocation.relays.get_mut(at)?.take()).map(|own| own.family);
        let again = error == OpenError::InUse && tries_left > 0;
        match (place, family) {
            // The neighbour is taken: the pair must move.
            (None, _) if was_next_port && again => {
                let Some(own) = allocation.relays[0].take() else { return };
                self.close_relay(own.port);
                self.open_first(index, own.family);
            }
            (Some(0), Some(family)) if again => self.open(index, family, even_port),
            (Some(1), Some(family)) if again => self.open(index, family, EvenPort::Any),
            // RFC 8656 section 7.2: one family is enough for success.
            (Some(1), Some(family)) => {
                allocation.refused_family = Some((family, 508));
                if let Some(first) = allocation.relays[0] {
                    self.opened(now, index, first.port);
                }
            }
            _ => self.fail(index),
        }
    }

    fn open_first(&mut self, index: u32, family: Family) {
        let even_port = self.opening(index).map_or(EvenPort::Any, |opening| opening.even_port);
        self.open(index, family, even_port);
    }

    /// Draws a port and asks for its socket.
    fn open(&mut self, index: u32, family: Family, even_port: EvenPort) {
        let (Some(ip), Some(port)) = (self.relay_address(family), self.draw_port(even_port)) else { return self.fail(index) };
        let relay = self.new_relay(index, family);
        self.give(index, relay);
        self.outputs.push_back(Output::OpenRelay {
            relay,
            from: RelaySource::Fresh { address: SocketAddr::new(ip, port) },
            transport: RelayTransport::Udp,
        });
    }

    /// Any port of the range, each time anew, so that one port says nothing about the next.
    fn draw_port(&mut self, even_port: EvenPort) -> Option<u16> {
        let (first, last) = (u32::from(*self.config.relay_ports.start()), u32::from(*self.config.relay_ports.end()));
        if even_port == EvenPort::Any {
            let count = (last + 1).checked_sub(first).filter(|count| *count > 0)?;
            return u16::try_from(first + self.rng.below(count)).ok();
        }
        let last = if even_port == EvenPort::EvenAndReserve { last.checked_sub(1)? } else { last };
        let (first, last) = (first.div_ceil(2), last / 2);
        let count = (last + 1).checked_sub(first).filter(|count| *count > 0)?;
        u16::try_from(2 * (first + self.rng.below(count))).ok()
    }

    fn new_relay(&mut self, index: u32, family: Family) -> RelayPort {
        self.relay_generation = self.relay_generation.wrapping_add(1);
        let generation = self.relay_generation;
        let entry = self.relays.insert(Relay { generation, family, owner: RelayOwner::Allocation(index), local: None });
        self.stats.relays = self.relays.len() as u64;
        RelayPort { index: u32::try_from(entry).unwrap_or(u32::MAX), generation }
    }

    /// Puts a relay into the first free place of its allocation.
    fn give(&mut self, index: u32, port: RelayPort) {
        let Some(family) = self.relays.get(port.index as usize).map(|relay| relay.family) else { return };
        let Some(allocation) = self.allocations.get_mut(index as usize) else { return };
        if let Some(place) = allocation.relays.iter_mut().find(|place| place.is_none()) {
            *place = Some(OwnRelay { family, port });
        }
    }

    /// Everything is open: from now on the allocation lives as long as its client was promised.
    fn complete(&mut self, now: Now, index: u32) {
        let next_port = self.opening(index).and_then(|opening| opening.next_port);
        let token = next_port.and_then(|port| self.reserve(now, port));
        let Some(allocation) = self.allocations.get_mut(index as usize) else { return };
        allocation.reserved = token;
        let expires = now.mono + Duration::from_secs(allocation.lifetime_s.into());
        allocation.expires = expires;
        allocation.opening = None;
        self.stats.allocations_total += 1;
        self.arm(index, expires);
    }

    /// Answers with what the allocation is: the same for a retransmitted request.
    pub(super) fn accept_allocation(&mut self, question: Question, index: u32, style: ReplyStyle) -> Result<Verdict, DropReason> {
        let allocation = self.allocations.get(index as usize).ok_or(DropReason::NoAllocation)?;
        let addresses = allocation.relays.map(|own| self.shown_address(own?, question.client.local.ip()));
        let (lifetime_s, token, refused) = (allocation.lifetime_s, allocation.reserved, allocation.refused_family);
        let key = allocation.key;
        self.accept(question, key, style, |writer: &mut Writer<'_>| {
            for address in addresses.into_iter().flatten() {
                writer.xor_address(Type::XOR_RELAYED_ADDRESS, address);
            }
            writer.u32(Type::LIFETIME, lifetime_s);
            if let Some(token) = token {
                writer.attribute(Type::RESERVATION_TOKEN, &token.0);
            }
            if let Some((family, code)) = refused {
                writer.address_error_code(family, code);
            }
            writer.xor_address(Type::XOR_MAPPED_ADDRESS, question.client.remote);
        })
    }

    /// How the world sees a relay: by our public address if there is one, else by the one it is bound to; bound to any, by the
    /// one that the client itself reached us at.
    fn shown_address(&self, own: OwnRelay, listener: IpAddr) -> Option<SocketAddr> {
        let local = self.relays.get(own.port.index as usize)?.local?;
        let public = match own.family {
            Family::V4 => self.config.public_v4.map(IpAddr::V4),
            Family::V6 => self.config.public_v6.map(IpAddr::V6),
        };
        let reached = (local.ip().is_unspecified() && Family::of(&listener) == own.family).then_some(listener);
        Some(SocketAddr::new(public.or(reached).unwrap_or(local.ip()), local.port()))
    }

    /// Turns an opened relay into a reservation.
    fn reserve(&mut self, now: Now, port: RelayPort) -> Option<ReservationToken> {
        let relay = self.relays.get_mut(port.index as usize).filter(|r| r.generation == port.generation && r.local.is_some())?;
        relay.owner = RelayOwner::Reservation;
        let mut token: [u8; 8] = self.rng.bytes();
        token[0] = self.shard.0.to_be_bytes()[1];
        let token = ReservationToken(token);
        let expires = now.mono + RESERVATION_LIFETIME;
        self.reservations.push_back(Reservation { token, relay: port, expires });
        self.stats.reservations = self.reservations.len() as u64;
        self.arm_reservations(expires);
        Some(token)
    }

    /// Takes a reserved port of this shard, if its family is the one asked for (or none was).
    fn claim(&mut self, token: ReservationToken, family: Option<Family>) -> Result<RelayPort, Rejection> {
        let at = self.reservations.iter().position(|r| r.token == token).ok_or(Rejection::INSUFFICIENT_CAPACITY)?;
        let port = self.reservations.get(at).map(|r| r.relay).ok_or(Rejection::INSUFFICIENT_CAPACITY)?;
        let is_family = |family: Family| self.relays.get(port.index as usize).is_some_and(|relay| relay.family == family);
        if family.is_some_and(|family| !is_family(family)) {
            return Err(Rejection::BAD_REQUEST);
        }
        self.reservations.remove(at);
        self.stats.reservations = self.reservations.len() as u64;
        Ok(port)
    }

    fn adopt(&mut self, index: u32, port: RelayPort) {
        if let Some(relay) = self.relays.get_mut(port.index as usize) {
            relay.owner = RelayOwner::Allocation(index);
        }
        self.give(index, port);
    }

    /// Another shard's client shows a token of ours: gives up the reservation and says which socket to hand over. The relay is
    /// forgotten here, so no [`Output::CloseRelay`] follows.
    pub fn release_reservation(&mut self, token: ReservationToken) -> Option<RelayPort> {
        let port = self.claim(token, None).ok()?;
        self.forget_relay(port);
        Some(port)
    }

    /// No socket to be had: 508, and nothing remains.
    fn fail(&mut self, index: u32) {
        let Some(allocation) = self.allocations.get(index as usize) else { return };
        let Some(style) = self.style_of(index) else { return };
        let question = Question { client: allocation.client, method: Method::ALLOCATE, id: allocation.transaction };
        let decided = self.reject(question, allocation.key, style, &Rejection::INSUFFICIENT_CAPACITY);
        self.queue_reply(decided);
        self.stats.allocations_refused_total += 1;
        self.delete(index);
    }

    /// Ends an allocation and closes its relays. What it reserved stays reserved.
    pub(super) fn delete(&mut self, index: u32) {
        let Some(allocation) = self.allocations.try_remove(index as usize) else { return };
        self.clients.remove(&allocation.client);
        self.ledger.give_back(&allocation.realm, &allocation.owner, allocation.bps);
        let next_port = allocation.opening.and_then(|opening| opening.next_port);
        for port in allocation.relays.iter().flatten().map(|own| own.port).chain(next_port) {
            self.close_relay(port);
        }
        self.stats.allocations = self.allocations.len() as u64;
        *self.stats.of_protocol(allocation.client.protocol) -= 1;
    }

    /// Ends one half of a dual allocation.
    pub(super) fn close_relay_of(&mut self, index: u32, family: Family) {
        let Some(allocation) = self.allocations.get_mut(index as usize) else { return };
        let place = allocation.relays.iter_mut().find(|place| place.is_some_and(|own| own.family == family));
        if let Some(own) = place.and_then(Option::take) {
            self.close_relay(own.port);
        }
    }

    fn close_relay(&mut self, port: RelayPort) {
        if self.forget_relay(port) {
            self.outputs.push_back(Output::CloseRelay { relay: port });
        }
    }

    fn forget_relay(&mut self, port: RelayPort) -> bool {
        let known = self.relay(port).is_some();
        if known {
            self.relays.remove(port.index as usize);
            self.stats.relays = self.relays.len() as u64;
        }
        known
    }

    fn opening(&mut self, index: u32) -> Option<&mut Opening> {
        self.allocations.get_mut(index as usize)?.opening.as_mut()
    }

    fn style_of(&self, index: u32) -> Option<ReplyStyle> {
        self.allocations.get(index as usize).map(|a| a.style)
    }

    /// Makes sure that a timer is due no later than `at`. There is about one per index, however often clients refresh.
    pub(super) fn arm(&mut self, index: u32, at: Instant) {
        let slot = index as usize;
        if self.allocation_timers.len() <= slot {
            self.allocation_timers.resize(slot + 1, None);
        }
        let Some(pending) = self.allocation_timers.get_mut(slot) else { return };
        if pending.is_none_or(|pending| at < pending) {
            *pending = Some(at);
            self.timers.insert(at, Timer::Allocation(index));
        }
    }

    pub(super) fn allocation_due(&mut self, now: Now, index: u32) {
        if let Some(pending) = self.allocation_timers.get_mut(index as usize).filter(|p| p.is_some_and(|at| at <= now.mono)) {
            *pending = None;
        }
        let Some(allocation) = self.allocations.get(index as usize) else { return };
        let (expires, opening) = (allocation.expires, allocation.opening.is_some());
        if expires > now.mono {
            return self.arm(index, expires);
        }
        if opening {
            return self.fail(index);
        }
        self.stats.allocations_expired_total += 1;
        self.delete(index);
    }

    fn arm_reservations(&mut self, at: Instant) {
        if !self.reservation_timer {
            self.reservation_timer = true;
            self.timers.insert(at, Timer::Reservations);
        }
    }

    pub(super) fn reservations_due(&mut self, now: Now) {
        self.reservation_timer = false;
        while let Some(due) = self.reservations.pop_front_if(|r| r.expires <= now.mono) {
            self.close_relay(due.relay);
        }
        self.stats.reservations = self.reservations.len() as u64;
        if let Some(next) = self.reservations.front().map(|r| r.expires) {
            self.arm_reservations(next);
        }
    }
}

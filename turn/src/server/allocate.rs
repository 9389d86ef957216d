//! Allocations are made (RFC 8656 section 7.2).
//!
//! ```text
//! Allocate ─► quota ─► ports from the ledger ─┬─► success answer (the sockets come with the first peer that needs them)
//!                          ▲                  └─► OpenRelay ─► handle_relay_opened ─┬─► success answer
//!                          └───────────────── another port ◄──── in use ────────────┴─► 508
//! ```
//! TCP relays listen from the start, for peers may connect; so do all where the configuration wants it.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pointsman_wire::clock::Now;
use pointsman_wire::net::{FiveTuple, Protocol};
use pointsman_wire::stun::attribute::{Family, Type};
use pointsman_wire::stun::{Message, Method, Writer};

use super::reply::{Question, Rejection};
use super::requests::Granted;
use super::{Reservation, Server, Timer};
use crate::allocation::{Allocation, Beginning, EvenPort, Opening, ReplyStyle};
use crate::auth::Proof;
use crate::config::{Config, DefaultFamily};
use crate::mobility::{TEXT_LEN, Ticket};
use crate::reservations::Claim;
use crate::stats::DropReason;
use crate::verdict::{RelayTransport, ReservationToken, Verdict};
use crate::view::NoteKind;

/// REQUESTED-TRANSPORT's protocol numbers.
const TRANSPORT_TCP: u8 = 6;
const TRANSPORT_UDP: u8 = 17;
/// How long sockets may take. It is a matter of microseconds, but the engine may have many to open.
const OPENING_TIMEOUT: Duration = Duration::from_secs(5);
/// RFC 8656 section 7.2 recommends 30 s at least for a reserved port.
const RESERVATION_LIFETIME: Duration = Duration::from_secs(30);

/// The family to begin with, an additional one, and one that was asked for besides but is not to be had, with the error's code.
type Families = (Family, Option<Family>, Option<(Family, u16)>);

/// What an Allocate request asks for, checked for sense but not for possibility.
struct Wish {
    transport: RelayTransport,
    token: Option<ReservationToken>,
    even_port: EvenPort,
    family: Option<Family>,
    additional: bool,
    lifetime_s: Option<u32>,
    mobile: bool,
}

impl Wish {
    /// Steps 3 to 9 of RFC 8656 section 7.2, and RFC 6062 section 5.1.
    fn read(message: &Message<'_>, client: &FiveTuple, config: &Config) -> Result<Self, Rejection> {
        let transport = match message.requested_transport()? {
            Some(TRANSPORT_UDP) if config.udp_relay => RelayTransport::Udp,
            Some(TRANSPORT_TCP) if config.tcp_relay => RelayTransport::Tcp,
            Some(_) => return Err(Rejection::UNSUPPORTED_TRANSPORT),
            None => return Err(Rejection::BAD_REQUEST),
        };
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
        // RFC 6062 section 5.1: over TCP and TLS only, and without what speaks of datagrams and port pairs.
        let no_stream = !matches!(client.protocol, Protocol::Tcp | Protocol::Tls);
        let datagrams = token.is_some() || even_port != EvenPort::Any || message.has_dont_fragment();
        if senseless || transport == RelayTransport::Tcp && (no_stream || datagrams) {
            return Err(Rejection::BAD_REQUEST);
        }
        let family = match family {
            Some(code) => Some(Family::from_code(code).ok_or(Rejection::FAMILY_NOT_SUPPORTED)?),
            None => None,
        };
        let mobile = message.has(Type::MOBILITY_TICKET);
        Ok(Self { transport, token, even_port, family, additional: additional.is_some(), lifetime_s: message.lifetime()?, mobile })
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
        let wish = self.possible(Wish::read(message, &client, &self.config)?)?;
        let (family, second, refused_family) = self.families(&wish, &client)?;
        if self.allocations.len() >= self.config.allocations_max {
            return Err(Rejection::QUOTA_REACHED);
        }
        let origin = self.origin_of(message)?;
        // What is taken here is given back when the allocation goes.
        let bps = self.ledger.take(&proof.realm, &proof.owner, &self.auth.quota(&proof.realm))?;
        let eager = wish.transport == RelayTransport::Tcp || !self.config.lazy_relays || self.config.server_relay;
        self.allocation_generation = self.allocation_generation.wrapping_add(1);
        let index = self.insert(Allocation::new(Beginning {
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
            lifetime_s: proof.bound(now.unix, self.lifetime_s(wish.lifetime_s)),
            expires: now.mono + OPENING_TIMEOUT,
            style,
            generation: self.allocation_generation,
            transport: wish.transport,
            opening: eager.then_some(Opening { tries_left: self.config.port_tries_max, even_port: wish.even_port }),
        }));
        if let Err(rejection) = self.give_relays(now, index, &wish, &client, family, second) {
            self.delete(index);
            return Err(rejection);
        }
        if wish.mobile {
            self.give_ticket(index);
        }
        if eager {
            self.open_all(index);
            return Ok(Granted::Later);
        }
        self.complete(now, index);
        Ok(Granted::Allocation(index))
    }

    fn possible(&self, wish: Wish) -> Result<Wish, Rejection> {
        // RFC 8016 section 3.1.2.
        if wish.mobile && !self.config.mobility {
            return Err(Rejection::MOBILITY_FORBIDDEN);
        }
        let reserves = wish.even_port == EvenPort::EvenAndReserve;
        if reserves && self.ledger.reservations.len() >= self.config.reservations_max {
            return Err(Rejection::INSUFFICIENT_CAPACITY);
        }
        Ok(wish)
    }

    /// The family to begin with, the additional one, and one that was asked for besides but is not to be had (RFC 8656 section 7.2,
    /// step 9).
    fn families(&self, wish: &Wish, client: &FiveTuple) -> Result<Families, Rejection> {
        let has = |family| self.has_family(family);
        let default = match self.config.default_family {
            DefaultFamily::V4 => Family::V4,
            DefaultFamily::V6 => Family::V6,
            DefaultFamily::Keep => Family::of(&client.remote.ip()),
        };
        match (wish.family, wish.additional) {
            (Some(family), _) if has(family) => Ok((family, None, None)),
            (None, false) if has(default) => Ok((default, None, None)),
            (None, true) => match (has(Family::V4), has(Family::V6)) {
                (true, true) => Ok((Family::V4, Some(Family::V6), None)),
                (true, false) => Ok((Family::V4, None, Some((Family::V6, 440)))),
                (false, true) => Ok((Family::V6, None, Some((Family::V4, 440)))),
                (false, false) => Err(Rejection::FAMILY_NOT_SUPPORTED),
            },
            (Some(_), _) | (None, false) => Err(Rejection::FAMILY_NOT_SUPPORTED),
        }
    }

    fn give_relays(
        &mut self,
        now: Now,
        index: u32,
        wish: &Wish,
        client: &FiveTuple,
        family: Family,
        second: Option<Family>,
    ) -> Result<(), Rejection> {
        if let Some(token) = wish.token {
            return match self.ledger.reservations.claim(now.mono, token, wish.family) {
                Claim::Given(address) => {
                    self.reservations.retain(|reservation| reservation.token != token);
                    self.stats.reservations = self.reservations.len() as u64;
                    self.new_relay(index, address, wish.transport);
                    Ok(())
                }
                Claim::OtherFamily => Err(Rejection::BAD_REQUEST),
                Claim::Unknown => Err(Rejection::INSUFFICIENT_CAPACITY),
            };
        }
        self.draw_relay(index, family, wish.even_port, wish.transport, client).ok_or(Rejection::INSUFFICIENT_CAPACITY)?;
        // RFC 8656 section 7.2: one family is enough for success.
        if let Some(second) = second
            && self.draw_relay(index, second, EvenPort::Any, wish.transport, client).is_none()
            && let Some(allocation) = self.allocations.get_mut(index as usize)
        {
            allocation.refused_family = Some((second, 508));
        }
        Ok(())
    }

    pub(super) fn insert(&mut self, allocation: Allocation) -> u32 {
        let (client, expires) = (allocation.client, allocation.expires);
        let index = u32::try_from(self.allocations.insert(allocation)).unwrap_or(u32::MAX);
        self.clients.insert(client, index);
        self.stats.allocations = self.allocations.len() as u64;
        *self.stats.of_protocol(client.protocol) += 1;
        self.arm(index, expires);
        index
    }

    /// From now on the allocation lives as long as its client is promised.
    pub(super) fn complete(&mut self, now: Now, index: u32) {
        let token = self.reserve(now, index);
        let Some(allocation) = self.allocations.get_mut(index as usize) else { return };
        allocation.reserved = token;
        let expires = now.mono + Duration::from_secs(allocation.lifetime_s.into());
        allocation.expires = expires;
        allocation.opening = None;
        self.stats.allocations_total += 1;
        self.arm(index, expires);
        self.note(index, NoteKind::Made);
    }

    /// Answers an Allocate that waited for its sockets.
    pub(super) fn answer_allocate(&mut self, index: u32) {
        let Some(allocation) = self.allocations.get(index as usize) else { return };
        let question = Question { client: allocation.client, method: Method::ALLOCATE, id: allocation.transaction };
        let style = allocation.style;
        let decided = self.accept_allocation(question, index, style);
        self.queue_reply(decided);
    }

    /// Answers with what the allocation is: the same for a retransmitted request.
    pub(super) fn accept_allocation(&mut self, question: Question, index: u32, style: ReplyStyle) -> Result<Verdict, DropReason> {
        let allocation = self.allocations.get(index as usize).ok_or(DropReason::NoAllocation)?;
        let addresses = allocation.relays.map(|own| own.map(|own| own.shown));
        let (lifetime_s, token, refused) = (allocation.lifetime_s, allocation.reserved, allocation.refused_family);
        let (key, ticket): (_, Option<[u8; TEXT_LEN]>) = (allocation.key, allocation.tickets.current.map(Ticket::text));
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
            if let Some(ticket) = ticket {
                writer.attribute(Type::MOBILITY_TICKET, &ticket);
            }
        })
    }

    /// Promises the port next to the allocation's own to whoever shows the token.
    fn reserve(&mut self, now: Now, index: u32) -> Option<ReservationToken> {
        let next = self.allocations.get_mut(index as usize)?.next_port.take()?;
        let token = ReservationToken(self.rng.bytes());
        let expires = now.mono + RESERVATION_LIFETIME;
        if !self.ledger.reservations.keep(token, next, expires, self.config.reservations_max) {
            self.ledger.release_port(Family::of(&next.ip()), next.port());
            return None;
        }
        self.reservations.push_back(Reservation { token, expires });
        self.stats.reservations = self.reservations.len() as u64;
        self.stats.reservations_total += 1;
        self.arm_reservations(expires);
        Some(token)
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
            if let Some(port) = self.ledger.reservations.expire(due.token) {
                self.ledger.release_port(Family::of(&port.ip()), port.port());
            }
        }
        self.stats.reservations = self.reservations.len() as u64;
        if let Some(next) = self.reservations.front().map(|r| r.expires) {
            self.arm_reservations(next);
        }
    }
}

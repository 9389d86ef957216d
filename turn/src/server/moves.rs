//! Allocations move to another 5-tuple, and with it perhaps to another shard (RFC 8016).

use pointsman_wire::clock::Now;
use pointsman_wire::net::{FiveTuple, Protocol, ShardId};
use pointsman_wire::stun::attribute::{Family, Type};
use pointsman_wire::stun::{Message, Method};

use super::Server;
use super::relays::Socket;
use super::reply::{Question, Rejection};
use crate::allocation::{ReplyStyle, Tickets};
use crate::mobility::{Moved, MovedRelay, NotMoved, ShardMessage, Ticket};
use crate::stats::DropReason;
use crate::verdict::{ConnectionId, Output, RelayTransport, Verdict};
use crate::view::{Ending, NoteKind};

impl Server {
    /// A request about what another shard holds goes there: a stream with its connection, a datagram as a message. Its nonce must be
    /// ours, so that strangers cannot make shards talk.
    pub(super) fn passed_on(&mut self, now: Now, client: FiveTuple, message: &Message<'_>) -> bool {
        let shard = match message.method() {
            Method::CONNECTION_BIND => message.connection_id().ok().flatten().map(|id| self.shard_of_connection(ConnectionId(id))),
            // A ticket of another shard may have come here with its allocation.
            Method::REFRESH if self.config.mobility => {
                ticket_of(message).filter(|ticket| self.index_of(*ticket).is_none()).map(|ticket| self.shard_of_ticket(now, ticket))
            }
            _ => None,
        };
        let Some(shard) = shard.filter(|shard| *shard != self.shard && shard.0 < self.config.shards) else { return false };
        let gave_it = ticket_of(message).is_some_and(|ticket| ticket.shard() == self.shard);
        if !self.config.anonymous && !self.auth.knows_nonce(now.unix, client.remote, message) {
            return false;
        }
        match (client.protocol, message.method()) {
            // A connection goes to the shard that its request names and no further: none is sent to and fro.
            (Protocol::Tcp | Protocol::Tls, method) if method != Method::REFRESH || !gave_it => {
                self.outputs.push_back(Output::MoveClient { client, shard });
            }
            (_, Method::REFRESH) => {
                let message = ShardMessage::Refresh { from: self.shard, client, request: message.bytes().into() };
                self.outputs.push_back(Output::ToShard { shard, message });
            }
            (_, _) => return false,
        }
        true
    }

    /// The allocation that a request from elsewhere speaks of: its owner's key is the one that counts.
    pub(super) fn holder_of(&self, message: &Message<'_>) -> Option<u32> {
        match message.method() {
            Method::CONNECTION_BIND => self.owner_of_connection(message),
            Method::REFRESH => self.index_of(ticket_of(message)?),
            _ => None,
        }
    }

    /// RFC 8016 section 3.2.2: a Refresh from a new 5-tuple. The allocation is `client`'s from now on.
    pub(super) fn come_back(&mut self, client: FiveTuple, message: &Message<'_>, user: (&[u8], &str)) -> Result<u32, Rejection> {
        if !self.config.mobility {
            return Err(Rejection::MOBILITY_FORBIDDEN);
        }
        let ticket = ticket_of(message).ok_or(Rejection::BAD_REQUEST)?;
        let index = self.index_of(ticket).ok_or(Rejection::ALLOCATION_MISMATCH)?;
        let allocation = self.allocations.get_mut(index as usize).ok_or(Rejection::ALLOCATION_MISMATCH)?;
        if (&*allocation.username, &*allocation.realm) != user {
            return Err(Rejection::WRONG_CREDENTIALS);
        }
        // RFC 6062 needs a stream.
        if allocation.transport == RelayTransport::Tcp && !matches!(client.protocol, Protocol::Tcp | Protocol::Tls) {
            return Err(Rejection::BAD_REQUEST);
        }
        let was = std::mem::replace(&mut allocation.client, client);
        let parked = std::mem::take(&mut allocation.parked);
        allocation.waiting.clear();
        *self.stats.of_protocol(was.protocol) -= 1;
        *self.stats.of_protocol(client.protocol) += 1;
        if parked {
            self.parked -= 1;
        } else {
            self.clients.remove(&was);
            self.close_client(was);
        }
        self.clients.insert(client, index);
        self.rotate_ticket(index, ticket);
        self.stats.moves_total += 1;
        self.note(index, NoteKind::Moved);
        Ok(index)
    }

    /// The ticket that a Refresh from the allocation's own 5-tuple is answered with, if it shows one.
    pub(super) fn shown_ticket(&mut self, index: u32, message: &Message<'_>) -> Result<Option<Ticket>, Rejection> {
        let Some(text) = message.attribute(Type::MOBILITY_TICKET) else { return Ok(None) };
        let allocation = self.allocations.get_mut(index as usize).ok_or(Rejection::ALLOCATION_MISMATCH)?;
        let Some(current) = allocation.tickets.current else { return Err(Rejection::MOBILITY_FORBIDDEN) };
        let shown = Ticket::parse(text);
        if shown == Some(current) {
            // Its client has it: the one before is over.
            if let Some(previous) = allocation.tickets.previous.take() {
                self.tickets.remove(&previous.handle());
            }
        } else if !text.is_empty() && (shown.is_none() || shown != allocation.tickets.previous) {
            return Err(Rejection::BAD_REQUEST);
        }
        Ok(Some(current))
    }

    /// A first ticket.
    pub(super) fn give_ticket(&mut self, index: u32) {
        let ticket = Ticket::new(self.shard, self.rng.bytes());
        if let Some(allocation) = self.allocations.get_mut(index as usize) {
            allocation.tickets = Tickets { current: Some(ticket), previous: None };
            self.tickets.insert(ticket.handle(), index);
        }
    }

    /// `shown` was used: there is a new one; `shown` stays good until that one is shown.
    fn rotate_ticket(&mut self, index: u32, shown: Ticket) {
        let fresh = Ticket::new(self.shard, self.rng.bytes());
        let Some(allocation) = self.allocations.get_mut(index as usize) else { return };
        let old = std::mem::replace(&mut allocation.tickets, Tickets { current: Some(fresh), previous: Some(shown) });
        for ticket in [old.current, old.previous].into_iter().flatten().filter(|ticket| *ticket != shown) {
            self.tickets.remove(&ticket.handle());
        }
        self.tickets.insert(shown.handle(), index);
        self.tickets.insert(fresh.handle(), index);
    }

    fn index_of(&self, ticket: Ticket) -> Option<u32> {
        let index = *self.tickets.get(&ticket.handle())?;
        let tickets = self.allocations.get(index as usize)?.tickets;
        (tickets.current == Some(ticket) || tickets.previous == Some(ticket)).then_some(index)
    }

    /// Closes what a client came by, if it is something that closes.
    pub(super) fn close_client(&mut self, client: FiveTuple) {
        match client.protocol {
            Protocol::Udp | Protocol::Relay(_) => {}
            Protocol::Tcp | Protocol::Tls | Protocol::Dtls => self.outputs.push_back(Output::CloseClient { client }),
        }
    }

    /// Another shard's [`Output::ToShard`]. Its sockets are asked for with [`Output::AdoptRelay`] before anything else happens.
    pub fn handle_shard_message(&mut self, now: Now, message: ShardMessage) {
        match message {
            ShardMessage::Refresh { from, client, request } => {
                if let Some(shard) = self.went_on(now, &request) {
                    return self.outputs.push_back(Output::ToShard { shard, message: ShardMessage::Refresh { from, client, request } });
                }
                if from == self.shard {
                    return self.not_moved(now, client, &request, NotMoved::Unknown);
                }
                let message = self.move_away(now, from, client, request);
                self.outputs.push_back(Output::ToShard { shard: from, message });
            }
            ShardMessage::Answer { client, bytes } => self.outputs.push_back(Output::Reply { client, bytes }),
            ShardMessage::NotMoved { client, request, why } => self.not_moved(now, client, &request, why),
            ShardMessage::Moved(moved) => self.move_in(now, *moved),
        }
    }

    /// A client of another shard wants what its ticket stands for.
    fn move_away(&mut self, now: Now, to: ShardId, client: FiveTuple, request: Box<[u8]>) -> ShardMessage {
        let not_moved = |request, why| ShardMessage::NotMoved { client, request, why };
        let Ok(message) = Message::parse(&request) else { return not_moved(request, NotMoved::Unknown) };
        let Some((index, ticket)) = ticket_of(&message).and_then(|ticket| Some((self.index_of(ticket)?, ticket))) else {
            return not_moved(request, NotMoved::Unknown);
        };
        let Some(allocation) = self.allocations.get(index as usize) else { return not_moved(request, NotMoved::Unknown) };
        let anonymous = self.config.anonymous;
        if !anonymous && message.username() != Some(&*allocation.username) {
            return not_moved(request, NotMoved::OtherOwner);
        }
        if allocation.transport == RelayTransport::Tcp || allocation.opening.is_some() {
            return not_moved(request, NotMoved::Unknown);
        }
        let proof = match self.prove(now, client, &message, Some(index)) {
            Ok(proof) => proof,
            Err(refusal) => {
                return match self.refuse(now, client, &message, &refusal) {
                    Ok(Verdict::Reply { .. }) => ShardMessage::Answer { client, bytes: self.scratch().into() },
                    Ok(_) | Err(_) => not_moved(request, NotMoved::Dropped),
                };
            }
        };
        let style = ReplyStyle { integrity: proof.integrity, fingerprint: message.has_fingerprint() };
        let left = self.leave(index, ticket, client, &message, style);
        if left.is_some() {
            self.departures.note(now.mono, ticket, to);
        }
        left.unwrap_or_else(|| not_moved(request, NotMoved::Unknown))
    }

    /// The shard that a ticket's allocation left this one for.
    fn went_on(&self, now: Now, request: &[u8]) -> Option<ShardId> {
        let ticket = ticket_of(&Message::parse(request).ok()?)?;
        self.departures.destination(now.mono, ticket).filter(|to| *to != self.shard)
    }

    /// The shard to ask for a ticket's allocation: the one that gave the ticket, unless that is this one and knows better.
    fn shard_of_ticket(&self, now: Now, ticket: Ticket) -> ShardId {
        match ticket.shard() {
            shard if shard == self.shard => self.departures.destination(now.mono, ticket).unwrap_or(shard),
            shard => shard,
        }
    }

    /// Takes an allocation out for another shard.
    fn leave(&mut self, index: u32, ticket: Ticket, client: FiveTuple, message: &Message<'_>, style: ReplyStyle) -> Option<ShardMessage> {
        let lifetime_s = match message.lifetime() {
            Ok(Some(0)) => 0,
            Ok(asked) => self.lifetime_s(asked),
            Err(_) => self.lifetime_s(None),
        };
        self.note(index, NoteKind::Deleted(Ending::MovedAway));
        let mut allocation = self.take_out(index)?;
        if !allocation.parked {
            self.close_client(allocation.client);
        }
        allocation.parked = false;
        allocation.waiting.clear();
        allocation.tickets = Tickets { current: None, previous: Some(ticket) };
        let relays = allocation.relays.map(|own| {
            let own = own?;
            let entry = self.forget_relay(own)?;
            if entry.socket == Socket::Opening {
                self.outputs.push_back(Output::CloseRelay { relay: own.port });
            }
            Some(MovedRelay { was: own.port, address: entry.address, open: entry.socket == Socket::Open })
        });
        allocation.relays = [None, None];
        let transaction = message.transaction_id();
        Some(ShardMessage::Moved(Box::new(Moved { from: self.shard, allocation, relays, client, transaction, style, lifetime_s })))
    }

    /// An allocation comes from another shard.
    fn move_in(&mut self, now: Now, moved: Moved) {
        let Moved { from, mut allocation, relays, client, transaction, style, lifetime_s } = moved;
        let question = Question { client, method: Method::REFRESH, id: transaction };
        let (key, transport) = (allocation.key, allocation.transport);
        // Its client found something else meanwhile, or this shard is full.
        let refused = self.clients.contains_key(&client) || self.allocations.len() >= self.config.allocations_max;
        allocation.client = client;
        allocation.lifetime_s = lifetime_s;
        allocation.expires = now.mono + std::time::Duration::from_secs(lifetime_s.into());
        self.allocation_generation = self.allocation_generation.wrapping_add(1);
        allocation.generation = self.allocation_generation;
        let previous = allocation.tickets.previous;
        if let Some(previous) = previous {
            self.departures.forget(previous);
        }
        let holder = self.clients.get(&client).copied();
        let index = self.insert(allocation);
        for relay in relays.into_iter().flatten() {
            let port = self.new_relay(index, relay.address, transport);
            if relay.open {
                self.set_open(port);
                self.outputs.push_back(Output::AdoptRelay { relay: port, was: relay.was });
            }
        }
        if refused || lifetime_s == 0 {
            self.delete(index);
            if let Some(holder) = holder {
                self.clients.insert(client, holder);
            }
        } else if let Some(previous) = previous {
            self.rotate_ticket(index, previous);
            self.stats.moves_total += 1;
            self.note(index, NoteKind::Moved);
            self.media_follows(now, index, from);
        }
        let ticket = self.allocations.get(index as usize).filter(|_| !refused && lifetime_s > 0).and_then(|a| a.tickets.current);
        let decided = match refused {
            true => self.reject(question, key, style, &Rejection::ALLOCATION_MISMATCH),
            false => self.accept_refresh(question, key, style, lifetime_s, ticket),
        };
        self.queue_reply(decided);
    }

    /// Our media must send what is for this allocation's client to this shard from now on, and not to the one that had it. Who sends
    /// media binds a channel for it.
    fn media_follows(&mut self, now: Now, index: u32, from: ShardId) {
        let Some(allocation) = self.allocations.get(index as usize) else { return };
        for media in allocation.media_channels(now.mono) {
            if let Some(own) = allocation.relay(Family::of(&media.ip())) {
                self.outputs.push_back(Output::MediaFollows { relayed: own.shown, media, from });
            }
        }
    }

    /// The other shard did not have it. Perhaps it is here by now: a client may repeat itself.
    fn not_moved(&mut self, now: Now, client: FiveTuple, request: &[u8], why: NotMoved) {
        let Ok(message) = Message::parse(request) else { return };
        if self.clients.contains_key(&client) || self.holder_of(&message).is_some() {
            let decided = self.handle_request(now, client, &message);
            return self.queue_reply(decided);
        }
        let rejection = match why {
            NotMoved::Unknown => Rejection::ALLOCATION_MISMATCH,
            NotMoved::OtherOwner => Rejection::WRONG_CREDENTIALS,
            NotMoved::Dropped => return,
        };
        let decided = self.reject_stranger(now, client, &message, &rejection);
        self.queue_reply(decided);
    }

    /// A rejection for whoever proves to be one of our users, whatever they want.
    fn reject_stranger(
        &mut self,
        now: Now,
        client: FiveTuple,
        message: &Message<'_>,
        rejection: &Rejection,
    ) -> Result<Verdict, DropReason> {
        let proof = match self.prove(now, client, message, None) {
            Ok(proof) => proof,
            Err(refusal) => return self.refuse(now, client, message, &refusal),
        };
        let style = ReplyStyle { integrity: proof.integrity, fingerprint: message.has_fingerprint() };
        self.reject(Question::new(client, message), proof.key, style, rejection)
    }
}

fn ticket_of(message: &Message<'_>) -> Option<Ticket> {
    Ticket::parse(message.attribute(Type::MOBILITY_TICKET)?)
}

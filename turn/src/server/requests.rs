//! Requests that need credentials, but for the making of an allocation.

use std::net::SocketAddr;
use std::time::Duration;

use pointsman_wire::channel_data;
use pointsman_wire::clock::Now;
use pointsman_wire::net::FiveTuple;
use pointsman_wire::stun::attribute::{Family, Type};
use pointsman_wire::stun::{Message, Method};

use super::Server;
use super::relays::Readiness;
use super::reply::{Question, Rejection};
use crate::allocation::{BindError, ReplyStyle};
use crate::auth::Proof;
use crate::mobility::Ticket;
use crate::peers::Judgement;
use crate::stats::DropReason;
use crate::verdict::{RelayTransport, Verdict};
use crate::view::{Ending, NoteKind};

/// Attributes that a request may have. BANDWIDTH (0x0010) is of drafts before RFC 5766; old clients still send it.
const REQUEST_ATTRIBUTES: [Type; 17] = [
    Type::USERNAME,
    Type::REALM,
    Type::NONCE,
    Type::PASSWORD_ALGORITHM,
    Type::USERHASH,
    Type::ACCESS_TOKEN,
    Type::LIFETIME,
    Type::REQUESTED_TRANSPORT,
    Type::REQUESTED_ADDRESS_FAMILY,
    Type::DONT_FRAGMENT,
    Type::EVEN_PORT,
    Type::RESERVATION_TOKEN,
    Type::XOR_PEER_ADDRESS,
    Type::CHANNEL_NUMBER,
    Type::DATA,
    Type::CONNECTION_ID,
    Type(0x0010),
];

/// Peers that one CreatePermission may name; more than fit in a datagram that is not fragmented are refused.
const PEERS_PER_REQUEST_MAX: usize = 64;

/// A request that was granted, and what its answer tells.
pub(super) enum Granted {
    /// The allocation at this index is there.
    Allocation(u32),
    /// It will be answered when its socket is open.
    Later,
    /// Refreshed for so many seconds, 0: deleted; and the ticket for the next move, if its client asked for it.
    Lifetime(u32, Option<Ticket>),
    /// Permissions, a channel, or a joined connection.
    Done,
}

impl Server {
    pub(super) fn handle_request(&mut self, now: Now, client: FiveTuple, message: &Message<'_>) -> Result<Verdict, DropReason> {
        let index = self.clients.get(&client).copied();
        if message.method() == Method::ALLOCATE
            && index.is_none()
            && let Some(server) = self.alternate_server(&client)
        {
            return self.redirect(now, client, message, server);
        }
        if index.is_none() && self.passed_on(now, client, message) {
            return Ok(Verdict::Handled);
        }
        let holder = index.or_else(|| self.holder_of(message));
        let proof = match self.prove(now, client, message, holder) {
            Ok(proof) => proof,
            Err(refusal) => return self.refuse(now, client, message, &refusal),
        };
        let style = ReplyStyle { integrity: proof.integrity, fingerprint: message.has_fingerprint() };
        let question = Question::new(client, message);
        match self.perform(now, client, message, index, &proof, style) {
            Ok(Granted::Allocation(index)) => self.accept_allocation(question, index, style),
            Ok(Granted::Later) => Ok(Verdict::Handled),
            Ok(Granted::Lifetime(lifetime_s, ticket)) => self.accept_refresh(question, proof.key, style, lifetime_s, ticket),
            Ok(Granted::Done) => self.accept(question, proof.key, style, |_| ()),
            Err(rejection) => self.reject(question, proof.key, style, &rejection),
        }
    }

    fn perform(
        &mut self,
        now: Now,
        client: FiveTuple,
        message: &Message<'_>,
        index: Option<u32>,
        proof: &Proof,
        style: ReplyStyle,
    ) -> Result<Granted, Rejection> {
        let unknown = message.unknown_required(&REQUEST_ATTRIBUTES);
        if !unknown.is_empty() {
            return Err(Rejection::unknown_attributes(unknown));
        }
        if message.method() == Method::ALLOCATE {
            return self.allocate(now, client, message, index, proof, style);
        }
        if message.method() == Method::CONNECTION_BIND {
            return self.connection_bind(client, message, (&proof.username, &proof.realm));
        }
        let index = match index {
            None if message.method() == Method::REFRESH && message.has(Type::MOBILITY_TICKET) => {
                Some(self.come_back(client, message, (&proof.username, &proof.realm))?)
            }
            index => index,
        };
        let index = index.ok_or(Rejection::ALLOCATION_MISMATCH)?;
        self.check_holder(index, message, proof)?;
        let allocation = self.allocations.get(index as usize).ok_or(Rejection::ALLOCATION_MISMATCH)?;
        // Its client has not been told that it exists.
        if allocation.opening.is_some() {
            return Err(Rejection::ALLOCATION_MISMATCH);
        }
        match message.method() {
            Method::REFRESH => self.refresh(now, index, message),
            Method::CREATE_PERMISSION => self.create_permission(now, index, message),
            Method::CHANNEL_BIND => self.channel_bind(now, index, message),
            Method::CONNECT => self.connect(now, index, message, style),
            _ => Err(Rejection::BAD_REQUEST),
        }
    }

    /// RFC 8656 section 8.2, and RFC 8016 section 3.2.2 for a ticket shown where the allocation is.
    fn refresh(&mut self, now: Now, index: u32, message: &Message<'_>) -> Result<Granted, Rejection> {
        let asked = message.lifetime()?;
        let family = message.requested_address_family()?;
        let lifetime_s = if asked == Some(0) { 0 } else { self.lifetime_s(asked) };
        let ticket = self.shown_ticket(index, message)?;
        let allocation = self.allocations.get_mut(index as usize).ok_or(Rejection::ALLOCATION_MISMATCH)?;
        let lifetime_s = allocation.bound(now.unix, lifetime_s);
        if let Some(code) = family {
            let family = Family::from_code(code).ok_or(Rejection::PEER_FAMILY_MISMATCH)?;
            if allocation.relay(family).is_none() {
                return Err(Rejection::PEER_FAMILY_MISMATCH);
            }
            // One half of a dual allocation may be given up alone.
            if lifetime_s == 0 && allocation.relays.iter().flatten().count() > 1 {
                self.close_relay_of(index, family);
                return Ok(Granted::Lifetime(0, ticket));
            }
        }
        if lifetime_s == 0 {
            self.end(index, Ending::Released);
            return Ok(Granted::Lifetime(0, None));
        }
        let expires = now.mono + Duration::from_secs(lifetime_s.into());
        allocation.expires = expires;
        allocation.lifetime_s = lifetime_s;
        self.arm(index, expires);
        self.note(index, NoteKind::Refreshed);
        Ok(Granted::Lifetime(lifetime_s, ticket))
    }

    /// RFC 8656 section 10.2: all peers or none.
    fn create_permission(&mut self, now: Now, index: u32, message: &Message<'_>) -> Result<Granted, Rejection> {
        let mut peers = [std::net::IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED); PEERS_PER_REQUEST_MAX];
        let mut judgements = [Judgement::Denied; PEERS_PER_REQUEST_MAX];
        let mut count = 0;
        let mut needs = [false; 2];
        for named in message.xor_addresses(Type::XOR_PEER_ADDRESS) {
            let (Some(place), Some(judgement)) = (peers.get_mut(count), judgements.get_mut(count)) else {
                return Err(Rejection::INSUFFICIENT_CAPACITY);
            };
            let (peer, judged) = self.judge(index, named?)?;
            (*place, *judgement) = (peer.ip(), judged);
            needs[usize::from(peer.is_ipv6())] |= !self.is_media(index, peer);
            count += 1;
        }
        if count == 0 {
            return Err(Rejection::BAD_REQUEST);
        }
        let permissions_max = self.config.permissions_max;
        let expires = now.mono + Duration::from_secs(self.config.permission_lifetime_s.into());
        let peers = peers.get(..count).unwrap_or_default();
        let allocation = self.allocations.get_mut(index as usize).ok_or(Rejection::ALLOCATION_MISMATCH)?;
        if !allocation.has_room_for_permissions(now.mono, peers, permissions_max) {
            return Err(Rejection::INSUFFICIENT_CAPACITY);
        }
        if !self.sockets_are_ready(index, needs, message)? {
            return Ok(Granted::Later);
        }
        let allocation = self.allocations.get_mut(index as usize).ok_or(Rejection::ALLOCATION_MISMATCH)?;
        for (peer, judgement) in peers.iter().zip(judgements) {
            allocation.permit(*peer, judgement, expires);
        }
        Ok(Granted::Done)
    }

    /// RFC 8656 section 12.2.
    fn channel_bind(&mut self, now: Now, index: u32, message: &Message<'_>) -> Result<Granted, Rejection> {
        let number = message.channel_number()?.filter(|n| channel_data::NUMBERS.contains(n)).ok_or(Rejection::BAD_REQUEST)?;
        let named: SocketAddr = message.xor_peer_address()?.ok_or(Rejection::BAD_REQUEST)?;
        let (peer, judgement) = self.judge(index, named)?;
        if peer.port() == 0 {
            return Err(Rejection::BAD_REQUEST);
        }
        if !self.peers.port_is_open(judgement, peer) {
            return Err(Rejection::FORBIDDEN);
        }
        let media = self.is_media(index, peer);
        let (permissions_max, channels_max) = (self.config.permissions_max, self.config.channels_max);
        let permission_expires = now.mono + Duration::from_secs(self.config.permission_lifetime_s.into());
        let channel_expires = now.mono + Duration::from_secs(self.config.channel_lifetime_s.into());
        let allocation = self.allocations.get_mut(index as usize).ok_or(Rejection::ALLOCATION_MISMATCH)?;
        // RFC 6062 section 5: channels are for datagrams.
        if allocation.transport == RelayTransport::Tcp {
            return Err(Rejection::BAD_REQUEST);
        }
        match allocation.may_bind(now.mono, number, peer, channels_max) {
            Ok(()) => {}
            Err(BindError::Taken) => return Err(Rejection::BAD_REQUEST),
            Err(BindError::TooMany) => return Err(Rejection::INSUFFICIENT_CAPACITY),
        }
        if !allocation.has_room_for_permissions(now.mono, &[peer.ip()], permissions_max) {
            return Err(Rejection::INSUFFICIENT_CAPACITY);
        }
        let mut needs = [false; 2];
        needs[usize::from(peer.is_ipv6())] = !media;
        if !self.sockets_are_ready(index, needs, message)? {
            return Ok(Granted::Later);
        }
        let allocation = self.allocations.get_mut(index as usize).ok_or(Rejection::ALLOCATION_MISMATCH)?;
        allocation.bind(number, peer, media, channel_expires);
        // "A ChannelBind transaction also creates or refreshes a permission towards the peer" (section 12).
        allocation.permit(peer.ip(), judgement, permission_expires);
        Ok(Granted::Done)
    }

    /// Are the sockets of the families that are needed (IPv4, IPv6) open? If not, they are asked for, and the request waits.
    fn sockets_are_ready(&mut self, index: u32, needs: [bool; 2], message: &Message<'_>) -> Result<bool, Rejection> {
        let mut ready = true;
        for (needed, family) in needs.into_iter().zip([Family::V4, Family::V6]) {
            if needed {
                let allocation = self.allocations.get(index as usize).ok_or(Rejection::ALLOCATION_MISMATCH)?;
                let own = allocation.relay(family).ok_or(Rejection::PEER_FAMILY_MISMATCH)?;
                match self.want_socket(own.port)? {
                    Readiness::Ready => {}
                    Readiness::Soon => ready = false,
                }
            }
        }
        if !ready {
            self.wait_for_socket(index, message);
        }
        Ok(ready)
    }

    /// The peer that a client names, as we reach it; may this allocation talk to its address at all?
    pub(super) fn judge(&self, index: u32, named: SocketAddr) -> Result<(SocketAddr, Judgement), Rejection> {
        let allocation = self.allocations.get(index as usize).ok_or(Rejection::ALLOCATION_MISMATCH)?;
        let own = allocation.relay(Family::of(&named.ip()));
        let peer = own.and_then(|own| self.relay(own.port)).map_or(named, |relay| self.externals.inward(named, relay.address.ip()));
        match self.peers.judge(peer.ip(), allocation.client.local.ip(), &allocation.realm) {
            Judgement::Denied => Err(Rejection::FORBIDDEN),
            _ if own.is_none() => Err(Rejection::PEER_FAMILY_MISMATCH),
            judgement @ (Judgement::Allowed | Judgement::Guarded | Judgement::OwnPortsOnly) => Ok((peer, judgement)),
        }
    }

    fn is_media(&self, index: u32, peer: SocketAddr) -> bool {
        let allocation = self.allocations.get(index as usize);
        allocation.is_some_and(|a| a.transport == RelayTransport::Udp && self.peers.is_media(peer, a.client.local.ip()))
    }

    /// RFC 8656 section 7.2: at least the default, at most what the operator allows.
    pub(super) fn lifetime_s(&self, asked: Option<u32>) -> u32 {
        asked.unwrap_or(0).max(self.config.lifetime_s_default).min(self.config.lifetime_s_max)
    }
}

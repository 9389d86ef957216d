//! Requests that need credentials, but for the making of an allocation.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use pointsman_wire::channel_data;
use pointsman_wire::clock::Now;
use pointsman_wire::net::FiveTuple;
use pointsman_wire::stun::attribute::{Family, Type};
use pointsman_wire::stun::{Message, Method};

use super::Server;
use super::reply::{Question, Rejection};
use crate::allocation::{BindError, ReplyStyle};
use crate::auth::Proof;
use crate::peers::Judgement;
use crate::stats::DropReason;
use crate::verdict::Verdict;

/// Attributes that a request may have. BANDWIDTH (0x0010) is of drafts before RFC 5766; old clients still send it.
const REQUEST_ATTRIBUTES: [Type; 16] = [
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
    /// Refreshed for so many seconds; 0: deleted.
    Lifetime(u32),
    /// Permissions or a channel.
    Done,
}

impl Server {
    pub(super) fn handle_request(&mut self, now: Now, client: FiveTuple, message: &Message<'_>) -> Result<Verdict, DropReason> {
        let index = self.clients.get(&client).copied();
        let proof = match self.prove(now, client, message, index) {
            Ok(proof) => proof,
            Err(refusal) => return self.refuse(now, client, message, &refusal),
        };
        let style = ReplyStyle { integrity: proof.integrity, fingerprint: message.has_fingerprint() };
        let question = Question::new(client, message);
        match self.perform(now, client, message, index, &proof, style) {
            Ok(Granted::Allocation(index)) => self.accept_allocation(question, index, style),
            Ok(Granted::Later) => Ok(Verdict::Handled),
            Ok(Granted::Lifetime(lifetime_s)) => {
                self.accept(question, proof.key, style, |writer| _ = writer.u32(Type::LIFETIME, lifetime_s))
            }
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
            _ => Err(Rejection::BAD_REQUEST),
        }
    }

    /// RFC 8656 section 8.2.
    fn refresh(&mut self, now: Now, index: u32, message: &Message<'_>) -> Result<Granted, Rejection> {
        let asked = message.lifetime()?;
        let family = message.requested_address_family()?;
        let lifetime_s = if asked == Some(0) { 0 } else { self.lifetime_s(asked) };
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
                return Ok(Granted::Lifetime(0));
            }
        }
        if lifetime_s == 0 {
            self.delete(index);
            return Ok(Granted::Lifetime(0));
        }
        let expires = now.mono + Duration::from_secs(lifetime_s.into());
        allocation.expires = expires;
        allocation.lifetime_s = lifetime_s;
        self.arm(index, expires);
        Ok(Granted::Lifetime(lifetime_s))
    }

    /// RFC 8656 section 10.2: all peers or none.
    fn create_permission(&mut self, now: Now, index: u32, message: &Message<'_>) -> Result<Granted, Rejection> {
        let mut peers = [IpAddr::V4(std::net::Ipv4Addr::UNSPECIFIED); PEERS_PER_REQUEST_MAX];
        let mut own = [false; PEERS_PER_REQUEST_MAX];
        let mut count = 0;
        for peer in message.xor_addresses(Type::XOR_PEER_ADDRESS) {
            let (Some(place), Some(own)) = (peers.get_mut(count), own.get_mut(count)) else {
                return Err(Rejection::INSUFFICIENT_CAPACITY);
            };
            *place = peer?.ip();
            *own = self.judge(index, *place)? == Judgement::OwnPortsOnly;
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
        for (peer, own_ports_only) in peers.iter().zip(own) {
            allocation.permit(*peer, own_ports_only, expires);
        }
        Ok(Granted::Done)
    }

    /// RFC 8656 section 12.2.
    fn channel_bind(&mut self, now: Now, index: u32, message: &Message<'_>) -> Result<Granted, Rejection> {
        let number = message.channel_number()?.filter(|n| channel_data::NUMBERS.contains(n)).ok_or(Rejection::BAD_REQUEST)?;
        let peer: SocketAddr = message.xor_peer_address()?.ok_or(Rejection::BAD_REQUEST)?;
        let judgement = self.judge(index, peer.ip())?;
        if peer.port() == 0 {
            return Err(Rejection::BAD_REQUEST);
        }
        let own_ports_only = judgement == Judgement::OwnPortsOnly;
        if own_ports_only && !self.peers.is_own_port(peer) {
            return Err(Rejection::FORBIDDEN);
        }
        let (permissions_max, channels_max) = (self.config.permissions_max, self.config.channels_max);
        let permission_expires = now.mono + Duration::from_secs(self.config.permission_lifetime_s.into());
        let channel_expires = now.mono + Duration::from_secs(self.config.channel_lifetime_s.into());
        let allocation = self.allocations.get_mut(index as usize).ok_or(Rejection::ALLOCATION_MISMATCH)?;
        match allocation.may_bind(now.mono, number, peer, channels_max) {
            Ok(()) => {}
            Err(BindError::Taken) => return Err(Rejection::BAD_REQUEST),
            Err(BindError::TooMany) => return Err(Rejection::INSUFFICIENT_CAPACITY),
        }
        if !allocation.has_room_for_permissions(now.mono, &[peer.ip()], permissions_max) {
            return Err(Rejection::INSUFFICIENT_CAPACITY);
        }
        allocation.bind(number, peer, channel_expires);
        // "A ChannelBind transaction also creates or refreshes a permission towards the peer" (section 12).
        allocation.permit(peer.ip(), own_ports_only, permission_expires);
        Ok(Granted::Done)
    }

    /// May this allocation talk to that address at all?
    fn judge(&self, index: u32, peer: IpAddr) -> Result<Judgement, Rejection> {
        let allocation = self.allocations.get(index as usize).ok_or(Rejection::ALLOCATION_MISMATCH)?;
        match self.peers.judge(peer, allocation.client.local.ip()) {
            Judgement::Denied => Err(Rejection::FORBIDDEN),
            _ if allocation.relay(Family::of(&peer)).is_none() => Err(Rejection::PEER_FAMILY_MISMATCH),
            judgement @ (Judgement::Allowed | Judgement::OwnPortsOnly) => Ok(judgement),
        }
    }

    /// RFC 8656 section 7.2: at least the default, at most what the operator allows.
    pub(super) fn lifetime_s(&self, asked: Option<u32>) -> u32 {
        asked.unwrap_or(0).max(self.config.lifetime_s_default).min(self.config.lifetime_s_max)
    }
}

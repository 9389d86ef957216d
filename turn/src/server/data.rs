//! The path of relayed data: nothing here allocates, and nothing is searched in line but short lists.

use std::net::{IpAddr, SocketAddr};

use pointsman_wire::channel_data::{self, ChannelData};
use pointsman_wire::clock::Now;
use pointsman_wire::net::FiveTuple;
use pointsman_wire::stun::attribute::{Family, Type};
use pointsman_wire::stun::{Class, Message, Method, TransactionId, Writer};

use super::Server;
use super::relays::Readiness;
use crate::allocation::{Allocation, Excess};
use crate::peers::Judgement;
use crate::stats::DropReason;
use crate::verdict::{Icmp, RelayPort, RelayTransport, Verdict};

/// The most that a UDP datagram over IPv4 carries.
const DATAGRAM_MAX: usize = 65_507;

/// Attributes that a Send indication may have (RFC 8656 section 11.2).
const SEND_ATTRIBUTES: [Type; 3] = [Type::XOR_PEER_ADDRESS, Type::DATA, Type::DONT_FRAGMENT];

impl Server {
    /// A datagram that arrived on a relay's socket (RFC 8656 section 11.3).
    pub fn handle_peer_datagram(&mut self, now: Now, relay: RelayPort, peer: SocketAddr, datagram: &[u8]) -> Verdict {
        let decided = self.relay_to_client(now, relay, peer, datagram.len());
        self.verdict(decided)
    }

    /// Our media has `len` bytes for the client behind `relayed`, from the address `media` that the client's verdict
    /// [`Verdict::ToMedia`] named. The verdict is [`Verdict::ToClient`] or [`Verdict::Indication`], as for a datagram from a peer.
    pub fn handle_media_datagram(&mut self, now: Now, relayed: SocketAddr, media: SocketAddr, len: usize) -> Verdict {
        let decided = match self.relayed.get(&relayed).copied() {
            Some(index) => {
                let own = self.allocations.get(index as usize).and_then(|a| a.relay(Family::of(&relayed.ip())));
                let own = own.and_then(|own| self.relay(own.port)).map_or(relayed.ip(), |relay| relay.address.ip());
                self.pass_to_client(now, index, own, media, len)
            }
            None => Err(DropReason::UnknownRelay),
        };
        self.verdict(decided)
    }

    /// Whose relayed address it is.
    pub fn client_behind(&self, relayed: &SocketAddr) -> Option<FiveTuple> {
        let index = *self.relayed.get(relayed)?;
        Some(self.allocations.get(index as usize)?.client)
    }

    /// An ICMP error about a datagram that this relay sent to the peer (RFC 8656 section 11.5). The verdict is [`Verdict::Reply`]: a Data
    /// indication without data.
    pub fn handle_peer_error(&mut self, now: Now, relay: RelayPort, peer: SocketAddr, icmp: Icmp) -> Verdict {
        let decided = self.relay_error(now, relay, peer, icmp);
        self.verdict(decided)
    }

    /// RFC 8656 section 12.6.
    pub(super) fn relay_channel_data(&mut self, now: Now, client: FiveTuple, datagram: &[u8]) -> Result<Verdict, DropReason> {
        let message = ChannelData::parse(datagram).map_err(|_| DropReason::MalformedChannelData)?;
        let payload = channel_data::HEADER_LEN..channel_data::HEADER_LEN + message.data.len();
        let allocation = allocation_of(&self.clients, &mut self.allocations, &client)?;
        let channel = allocation.channel(now.mono, message.number).ok_or(DropReason::NoChannel)?;
        let peer = channel.peer;
        let own = allocation.relay(Family::of(&peer.ip())).ok_or(DropReason::WrongFamily)?;
        if let Err(excess) = allocation.pass_to_peer(now, payload.len()) {
            return beyond(excess);
        }
        self.count_to_peer(payload.len());
        match channel.media {
            true => Ok(Verdict::ToMedia { relayed: own.shown, media: peer, payload }),
            false => Ok(Verdict::ToPeer { relay: own.port, peer, payload, dont_fragment: false }),
        }
    }

    /// RFC 8656 section 11.2.
    pub(super) fn relay_send(&mut self, now: Now, client: FiveTuple, message: &Message<'_>) -> Result<Verdict, DropReason> {
        if !message.unknown_required(&SEND_ATTRIBUTES).is_empty() {
            return Err(DropReason::UnknownAttribute);
        }
        let mut peers = message.xor_addresses(Type::XOR_PEER_ADDRESS);
        let (Some(Ok(named)), None, Some(payload)) = (peers.next(), peers.next(), message.data_range()) else {
            return Err(DropReason::BadSend);
        };
        let allocation = allocation_of(&self.clients, &mut self.allocations, &client)?;
        let own = allocation.relay(Family::of(&named.ip())).ok_or(DropReason::WrongFamily)?;
        // RFC 6062 section 5: a TCP allocation sends over connections.
        let entry = self.relays.get(own.port.index as usize).filter(|relay| relay.transport == RelayTransport::Udp);
        let peer = self.externals.inward(named, entry.ok_or(DropReason::BadSend)?.address.ip());
        let judgement = match allocation.permission(now.mono, peer.ip()) {
            Some(permission) => permission.judgement,
            None if self.config.server_relay => self.peers.judge(peer.ip(), client.local.ip(), &allocation.realm),
            None => return Err(DropReason::NoPermission),
        };
        if peer.port() == 0 || !self.peers.port_is_open(judgement, peer) {
            return Err(DropReason::DeniedPeer);
        }
        let media = self.peers.is_media(peer, client.local.ip());
        if let Err(excess) = allocation.pass_to_peer(now, payload.len()) {
            return beyond(excess);
        }
        if media {
            self.count_to_peer(payload.len());
            return Ok(Verdict::ToMedia { relayed: own.shown, media: peer, payload });
        }
        // A permission for our own media asked for no socket; another port at its address needs one.
        match self.want_socket(own.port) {
            Ok(Readiness::Ready) => {}
            Ok(Readiness::Soon) | Err(_) => return Err(DropReason::NotOpen),
        }
        self.count_to_peer(payload.len());
        Ok(Verdict::ToPeer { relay: own.port, peer, payload, dont_fragment: message.has_dont_fragment() })
    }

    fn relay_to_client(&mut self, now: Now, relay: RelayPort, peer: SocketAddr, len: usize) -> Result<Verdict, DropReason> {
        let entry = self.relay(relay).ok_or(DropReason::UnknownRelay)?;
        let (index, own) = (entry.allocation, entry.address.ip());
        self.pass_to_client(now, index, own, peer, len)
    }

    /// `own` is the local address of the relay that the peer sent to.
    fn pass_to_client(&mut self, now: Now, index: u32, own: IpAddr, peer: SocketAddr, len: usize) -> Result<Verdict, DropReason> {
        let allocation = self.allocations.get_mut(index as usize).ok_or(DropReason::UnknownRelay)?;
        let judgement = match allocation.permission(now.mono, peer.ip()) {
            Some(permission) => permission.judgement,
            None if self.config.server_relay => Judgement::Allowed,
            None => return Err(DropReason::NoPermission),
        };
        if judgement == Judgement::OwnPortsOnly && !self.peers.is_own_port(peer) {
            return Err(DropReason::DeniedPeer);
        }
        if allocation.parked {
            return Err(DropReason::Parked);
        }
        if !allocation.pass_to_client(now, len) {
            return Err(DropReason::Bandwidth);
        }
        let client = allocation.client;
        let verdict = match allocation.channel_to(now.mono, peer) {
            Some(number) => {
                let header = channel_data::header(number, len).filter(|head| head.len() + len <= DATAGRAM_MAX);
                Verdict::ToClient { client, header: header.ok_or(DropReason::TooLong)? }
            }
            None => {
                let shown = self.externals.outward_peer(peer, own);
                self.indicate(client, shown, len)?
            }
        };
        self.count_to_client(len);
        Ok(verdict)
    }

    /// Writes the head of a Data indication (RFC 8656 section 11.3).
    fn indicate(&mut self, client: FiveTuple, peer: SocketAddr, data_len: usize) -> Result<Verdict, DropReason> {
        let id = self.next_indication();
        let head = Writer::new(&mut self.scratch[..], Class::Indication, Method::DATA, id)
            .xor_address(Type::XOR_PEER_ADDRESS, peer)
            .finish_before_data(data_len);
        self.scratch_len = head.map_err(|_| DropReason::TooLong)?;
        let padded = data_len.next_multiple_of(4);
        if self.scratch_len + padded > DATAGRAM_MAX {
            return Err(DropReason::TooLong);
        }
        Ok(Verdict::Indication { client, padding: padded - data_len })
    }

    fn relay_error(&mut self, now: Now, relay: RelayPort, peer: SocketAddr, icmp: Icmp) -> Result<Verdict, DropReason> {
        let entry = self.relay(relay).ok_or(DropReason::UnknownRelay)?;
        let own = entry.address.ip();
        let allocation = self.allocations.get(entry.allocation as usize).ok_or(DropReason::UnknownRelay)?;
        if allocation.permission(now.mono, peer.ip()).is_none() && !self.config.server_relay {
            return Err(DropReason::NoPermission);
        }
        if allocation.parked {
            return Err(DropReason::Parked);
        }
        let tells = match (icmp.version_4, icmp.kind) {
            // Destination unreachable, time exceeded.
            (true, 3 | 11) => true,
            // Destination unreachable, packet too big, time exceeded.
            (false, 1..=3) => true,
            (true | false, _) => false,
        };
        if !tells || icmp.version_4 != peer.is_ipv4() {
            return Err(DropReason::OtherIcmp);
        }
        // "For other ICMPv6 types and ICMPv4 types and codes, the Error Data field MUST be set to zero" (section 18.13).
        let data = if matches!((icmp.version_4, icmp.kind, icmp.code), (true, 3, 4) | (false, 2, _)) { icmp.data } else { 0 };
        let client = allocation.client;
        let shown = self.externals.outward_peer(peer, own);
        let id = self.next_indication();
        let mut writer = Writer::new(&mut self.scratch[..], Class::Indication, Method::DATA, id);
        writer.xor_address(Type::XOR_PEER_ADDRESS, shown).icmp(icmp.kind, icmp.code, data);
        let written = writer.finish();
        self.stats.icmp_to_clients_total += 1;
        self.reply(client, written)
    }

    /// Nobody answers an indication: its id need only be new.
    pub(super) fn next_indication(&mut self) -> TransactionId {
        self.indication = self.indication.wrapping_add(1);
        let mut id = [0; 12];
        id.copy_from_slice(&self.indication.to_be_bytes()[4..]);
        TransactionId(id)
    }

    pub(super) fn count_to_peer(&mut self, bytes: usize) {
        self.stats.packets_to_peers_total += 1;
        self.stats.bytes_to_peers_total += bytes as u64;
    }

    pub(super) fn count_to_client(&mut self, bytes: usize) {
        self.stats.packets_to_clients_total += 1;
        self.stats.bytes_to_clients_total += bytes as u64;
    }
}

/// What becomes of payload that may not pass now.
fn beyond(excess: Excess) -> Result<Verdict, DropReason> {
    match excess {
        Excess::Drop => Err(DropReason::Bandwidth),
        Excess::Wait(until) => Ok(Verdict::Wait { until }),
    }
}

fn allocation_of<'a>(
    clients: &super::Clients,
    allocations: &'a mut slab::Slab<Allocation>,
    client: &FiveTuple,
) -> Result<&'a mut Allocation, DropReason> {
    let index = *clients.get(client).ok_or(DropReason::NoAllocation)?;
    allocations.get_mut(index as usize).ok_or(DropReason::NoAllocation)
}

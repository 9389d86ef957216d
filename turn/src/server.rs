//! The server: dispatch, and the path of relayed data. Requests are in `requests`, Allocate in `allocate`, answers in `reply`.

mod allocate;
mod credentials;
mod reply;
mod requests;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::FixedState;
use slab::Slab;

use pointsman_wire::channel_data::{self, ChannelData};
use pointsman_wire::clock::{Now, Wheel};
use pointsman_wire::demux;
use pointsman_wire::net::{FiveTuple, ShardId};
use pointsman_wire::stun::attribute::{Family, Type};
use pointsman_wire::stun::{Class, Message, Method, TransactionId, Writer};

use crate::allocation::Allocation;
use crate::auth::{Attempt, Auth};
use crate::config::Config;
use crate::ledger::Ledger;
use crate::limiter::Limiter;
use crate::moving::ShardMessage;
use crate::peers::PeerPolicy;
use crate::rng::Rng;
use crate::stats::{DropReason, Stats};
use crate::verdict::{ConnectError, ConnectionId, Icmp, Output, RelayPort, ReservationToken, Verdict};
use crate::view::{AllocationId, AllocationView};

/// The longest answer: an Allocate success with two addresses and a token takes 200 bytes, a challenge 100 and the realm.
const SCRATCH_LEN: usize = 512;

/// The most that a UDP datagram over IPv4 carries.
const DATAGRAM_MAX: usize = 65_507;

/// Attributes that a Send indication may have (RFC 8656 section 11.2).
const SEND_ATTRIBUTES: [Type; 3] = [Type::XOR_PEER_ADDRESS, Type::DATA, Type::DONT_FRAGMENT];

/// A TURN server for one shard.
pub struct Server {
    config: Config,
    shard: ShardId,
    auth: Auth,
    peers: PeerPolicy,
    rng: Rng,
    limiter: Limiter,
    clients: HashMap<FiveTuple, u32, FixedState>,
    allocations: Slab<Allocation>,
    relays: Slab<Relay>,
    relay_generation: u32,
    /// In order of expiry: all live equally long.
    reservations: VecDeque<Reservation>,
    /// Ports and quotas, which all shards share.
    ledger: Arc<Ledger>,
    timers: Wheel<Timer>,
    /// When the pending timer of an allocation's index is due, so that there is one and not one per request.
    allocation_timers: Vec<Option<Instant>>,
    reservation_timer: bool,
    lookup_timer: bool,
    /// Which attempt at a request is being made: those that waited for a key are made again.
    attempt: Attempt,
    outputs: VecDeque<Output>,
    scratch: Box<[u8; SCRATCH_LEN]>,
    scratch_len: usize,
    /// Transaction id of the next Data indication.
    indication: u128,
    stats: Stats,
    /// New allocations are refused.
    draining: bool,
}

/// One relayed transport address.
#[derive(Debug)]
struct Relay {
    generation: u32,
    family: Family,
    owner: RelayOwner,
    /// `None` until its socket is open.
    local: Option<SocketAddr>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RelayOwner {
    Allocation(u32),
    Reservation,
}

/// A port kept for whoever shows its token (RFC 8656 section 7.2).
#[derive(Debug)]
struct Reservation {
    token: ReservationToken,
    relay: RelayPort,
    expires: Instant,
}

#[derive(Clone, Copy, Debug)]
enum Timer {
    /// Some allocation at this index may be due.
    Allocation(u32),
    Reservations,
    Lookups,
}

impl Server {
    /// All shards of one server get the same `ledger`, made for `config.relay_ports`. `seed` is secret and random; shards of one server get the same, so that they accept each other's nonces.
    /// Only the low byte of `shard` goes into reservation tokens: 256 shards at most.
    pub fn new(config: Config, ledger: Arc<Ledger>, seed: [u8; 32], shard: ShardId, now: Now) -> Self {
        let mut rng = Rng::new(&seed, &[b"shard ".as_slice(), &shard.0.to_be_bytes()].concat());
        let [hash_limiter, hash_clients] = [(); 2].map(|()| u64::from_be_bytes(rng.bytes()));
        let per_s = config.unauthenticated_answers_per_s_max;
        Self {
            auth: Auth::new(&config, &seed, now.mono),
            peers: PeerPolicy::new(&config),
            limiter: Limiter::new(now.mono, per_s, config.unauthenticated_answers_burst_max, hash_limiter),
            clients: HashMap::with_hasher(FixedState::with_seed(hash_clients)),
            allocations: Slab::new(),
            relays: Slab::new(),
            relay_generation: 0,
            reservations: VecDeque::new(),
            ledger,
            timers: Wheel::new(now.mono),
            allocation_timers: Vec::new(),
            reservation_timer: false,
            lookup_timer: false,
            attempt: Attempt::First,
            outputs: VecDeque::new(),
            scratch: Box::new([0; SCRATCH_LEN]),
            scratch_len: 0,
            indication: u128::from_be_bytes(rng.bytes()),
            stats: Stats::default(),
            draining: false,
            config,
            shard,
            rng,
        }
    }

    /// A datagram from a client, or from whoever claims to be one.
    pub fn handle_client_datagram(&mut self, now: Now, client: FiveTuple, datagram: &[u8]) -> Verdict {
        let decided = match demux::classify(datagram) {
            demux::Class::ChannelData => self.relay_channel_data(now, client, datagram),
            demux::Class::Stun => self.handle_stun(now, client, datagram),
            demux::Class::Dtls | demux::Class::Rtp | demux::Class::Rtcp | demux::Class::Unknown => Err(DropReason::NotTurn),
        };
        self.verdict(decided)
    }

    /// A datagram that arrived on a relay's socket (RFC 8656 section 11.3).
    pub fn handle_peer_datagram(&mut self, now: Now, relay: RelayPort, peer: SocketAddr, datagram: &[u8]) -> Verdict {
        let decided = self.relay_to_client(now, relay, peer, datagram);
        self.verdict(decided)
    }

    /// Refuses new allocations with 403 from now on; those that there are go on. For a server that is to be replaced.
    pub fn refuse_new(&mut self) {
        self.draining = true;
    }

    /// A client's TCP or TLS connection or DTLS association is gone: its allocation goes, unless mobility keeps it.
    pub fn handle_client_closed(&mut self, _now: Now, client: FiveTuple) {
        if let Some(index) = self.clients.get(&client).copied() {
            self.delete(index);
        }
    }

    /// An ICMP error about a datagram that this relay sent to the peer (RFC 8656 section 11.5).
    pub fn handle_peer_error(&mut self, _now: Now, _relay: RelayPort, _peer: SocketAddr, _icmp: Icmp) -> Verdict {
        self.verdict(Err(DropReason::UnknownRelay))
    }

    /// Our media has `len` bytes for the client behind `relayed`, from the address `media` that the client knows as its peer. The
    /// verdict is [`Verdict::ToClient`] or [`Verdict::Indication`], as for a datagram from a peer.
    pub fn handle_media_datagram(&mut self, _now: Now, _relayed: SocketAddr, _media: SocketAddr, _len: usize) -> Verdict {
        self.verdict(Err(DropReason::UnknownRelay))
    }

    /// The end of [`Output::ConnectPeer`].
    pub fn handle_peer_connected(&mut self, _now: Now, _connection: ConnectionId, _result: Result<(), ConnectError>) {}

    /// A peer connected to a TCP relay: `None` means close it; else its client is told, and nothing is read from the peer before
    /// [`Output::Join`] (RFC 6062 section 5.3).
    pub fn handle_peer_accepted(&mut self, _now: Now, _relay: RelayPort, _peer: SocketAddr) -> Option<ConnectionId> {
        None
    }

    /// Either end of a connection with a peer is gone, joined or not, and the engine has closed both.
    pub fn handle_connection_closed(&mut self, _now: Now, _connection: ConnectionId) {}

    /// Another shard's [`Output::ToShard`]. Its sockets are asked for with [`Output::AdoptRelay`] before anything else happens.
    pub fn handle_shard_message(&mut self, _now: Now, _message: ShardMessage) {}

    /// All allocations of this shard, for the operator's view: not on the packet path.
    pub fn allocations(&self, now: Now) -> impl Iterator<Item = AllocationView> {
        let _ = now;
        std::iter::empty()
    }

    /// Ends an allocation; false if there is none of this id.
    pub fn kill(&mut self, _now: Now, _allocation: AllocationId) -> bool {
        false
    }

    /// Time has come to [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop(now.mono) {
            match timer {
                Timer::Allocation(index) => self.allocation_due(now, index),
                Timer::Reservations => self.reservations_due(now),
                Timer::Lookups => self.lookups_due(now),
            }
        }
    }

    /// When [`Self::handle_timeout`] wants to be called.
    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// The next thing to do; ask until there is none, after every input.
    pub fn poll_output(&mut self) -> Option<Output> {
        self.outputs.pop_front()
    }

    /// Whether a client has an allocation.
    pub fn has_allocation(&self, client: &FiveTuple) -> bool {
        self.clients.contains_key(client)
    }

    /// The bytes that the last [`Verdict::Reply`] or [`Verdict::Indication`] speaks of.
    pub fn scratch(&self) -> &[u8] {
        self.scratch.get(..self.scratch_len).unwrap_or_default()
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    fn verdict(&mut self, decided: Result<Verdict, DropReason>) -> Verdict {
        decided.unwrap_or_else(|reason| {
            self.stats.count_drop(reason);
            Verdict::Drop(reason)
        })
    }

    /// RFC 8656 section 12.6.
    fn relay_channel_data(&mut self, now: Now, client: FiveTuple, datagram: &[u8]) -> Result<Verdict, DropReason> {
        let message = ChannelData::parse(datagram).map_err(|_| DropReason::MalformedChannelData)?;
        let allocation = self.allocation_of(&client).ok_or(DropReason::NoAllocation)?;
        let channel = allocation.channel(now.mono, message.number).ok_or(DropReason::NoChannel)?;
        let peer = channel.peer;
        let relay = allocation.relay(Family::of(&peer.ip())).ok_or(DropReason::WrongFamily)?;
        let payload = channel_data::HEADER_LEN..channel_data::HEADER_LEN + message.data.len();
        self.count_to_peer(payload.len());
        Ok(Verdict::ToPeer { relay, peer, payload, dont_fragment: false })
    }

    fn handle_stun(&mut self, now: Now, client: FiveTuple, datagram: &[u8]) -> Result<Verdict, DropReason> {
        let message = Message::parse(datagram).map_err(|_| DropReason::MalformedStun)?;
        if message.has_fingerprint() && !message.verify_fingerprint() {
            return Err(DropReason::BadFingerprint);
        }
        if self.config.stun_only && message.method() != Method::BINDING {
            return Err(DropReason::StunOnly);
        }
        match (message.class(), message.method()) {
            (Class::Indication, Method::SEND) => self.relay_send(now, client, &message),
            // A keep-alive (RFC 8489 section 2); nothing is due.
            (Class::Indication, Method::BINDING) => Ok(Verdict::Handled),
            (Class::Request, Method::BINDING) if self.config.secure_stun => self.handle_secure_binding(now, client, &message),
            (Class::Request, Method::BINDING) => self.handle_binding(now, client, &message),
            (Class::Request, Method::ALLOCATE | Method::REFRESH | Method::CREATE_PERMISSION | Method::CHANNEL_BIND) => {
                self.handle_request(now, client, &message)
            }
            // RFC 8489 section 6.3: a method that is not known is silently discarded.
            (Class::Request, _) => Err(DropReason::UnknownMethod),
            (Class::Indication | Class::Success | Class::Error, _) => Err(DropReason::UnexpectedClass),
        }
    }

    /// RFC 8656 section 11.2. DONT-FRAGMENT is understood; relay sockets leave fragmentation to the kernel's path discovery.
    fn relay_send(&mut self, now: Now, client: FiveTuple, message: &Message<'_>) -> Result<Verdict, DropReason> {
        if !message.unknown_required(&SEND_ATTRIBUTES).is_empty() {
            return Err(DropReason::UnknownAttribute);
        }
        let mut peers = message.xor_addresses(Type::XOR_PEER_ADDRESS);
        let (Some(Ok(peer)), None, Some(payload)) = (peers.next(), peers.next(), message.data_range()) else {
            return Err(DropReason::BadSend);
        };
        let allocation = self.allocation_of(&client).ok_or(DropReason::NoAllocation)?;
        let relay = allocation.relay(Family::of(&peer.ip())).ok_or(DropReason::WrongFamily)?;
        let permission = allocation.permission(now.mono, peer.ip()).ok_or(DropReason::NoPermission)?;
        if peer.port() == 0 || permission.own_ports_only && !self.peers.is_own_port(peer) {
            return Err(DropReason::DeniedPeer);
        }
        self.count_to_peer(payload.len());
        Ok(Verdict::ToPeer { relay, peer, payload, dont_fragment: message.has_dont_fragment() })
    }

    fn relay_to_client(&mut self, now: Now, relay: RelayPort, peer: SocketAddr, datagram: &[u8]) -> Result<Verdict, DropReason> {
        let RelayOwner::Allocation(index) = self.relay(relay).ok_or(DropReason::UnknownRelay)?.owner else {
            return Err(DropReason::UnknownRelay);
        };
        let allocation = self.allocations.get(index as usize).ok_or(DropReason::UnknownRelay)?;
        let permission = allocation.permission(now.mono, peer.ip()).ok_or(DropReason::NoPermission)?;
        if permission.own_ports_only && !self.peers.is_own_port(peer) {
            return Err(DropReason::DeniedPeer);
        }
        let client = allocation.client;
        let verdict = match allocation.channel_to(now.mono, peer) {
            Some(number) => {
                let header = channel_data::header(number, datagram.len()).filter(|head| head.len() + datagram.len() <= DATAGRAM_MAX);
                Verdict::ToClient { client, header: header.ok_or(DropReason::TooLong)? }
            }
            None => self.indicate(client, peer, datagram.len())?,
        };
        self.stats.packets_to_clients_total += 1;
        self.stats.bytes_to_clients_total += datagram.len() as u64;
        Ok(verdict)
    }

    /// Writes the head of a Data indication (RFC 8656 section 11.3).
    fn indicate(&mut self, client: FiveTuple, peer: SocketAddr, data_len: usize) -> Result<Verdict, DropReason> {
        // Nobody answers an indication: its id need only be new.
        self.indication = self.indication.wrapping_add(1);
        let mut id = [0; 12];
        id.copy_from_slice(&self.indication.to_be_bytes()[4..]);
        let head = Writer::new(&mut self.scratch[..], Class::Indication, Method::DATA, TransactionId(id))
            .xor_address(Type::XOR_PEER_ADDRESS, peer)
            .finish_before_data(data_len);
        self.scratch_len = head.map_err(|_| DropReason::TooLong)?;
        let padded = data_len.next_multiple_of(4);
        if self.scratch_len + padded > DATAGRAM_MAX {
            return Err(DropReason::TooLong);
        }
        Ok(Verdict::Indication { client, padding: padded - data_len })
    }

    fn allocation_of(&self, client: &FiveTuple) -> Option<&Allocation> {
        self.allocations.get(*self.clients.get(client)? as usize)
    }

    /// The relay, if this is still the one that had the number.
    fn relay(&self, relay: RelayPort) -> Option<&Relay> {
        self.relays.get(relay.index as usize).filter(|r| r.generation == relay.generation)
    }

    fn count_to_peer(&mut self, bytes: usize) {
        self.stats.packets_to_peers_total += 1;
        self.stats.bytes_to_peers_total += bytes as u64;
    }
}

//! The server: its tables, and what is handed on to which part.
//!
//! ```text
//! data ── relayed payload, both ways            relays ─ ports and sockets
//! requests ── Refresh, permissions, channels    connections ─ RFC 6062     moves ─ RFC 8016
//!   allocate, endings ── allocations come, go   discovery ─ Binding, RFC 5780, ALTERNATE-SERVER
//!   reply ── answers                            views ─ for operators
//! ```

mod allocate;
mod connections;
mod credentials;
mod data;
mod discovery;
mod endings;
mod moves;
mod relays;
mod reply;
mod requests;
mod views;

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use foldhash::fast::FixedState;
use slab::Slab;

use pointsman_wire::clock::{Now, Wheel};
use pointsman_wire::demux;
use pointsman_wire::net::{FiveTuple, ShardId};
use pointsman_wire::stun::{Class, Message, Method};

use crate::allocation::Allocation;
use crate::auth::{Attempt, Auth};
use crate::config::Config;
use crate::departures::Departures;
use crate::external::Externals;
use crate::ledger::Ledger;
use crate::limiter::Limiter;
use crate::mobility::Handle;
use crate::peers::PeerPolicy;
use crate::rng::{Masks, Rng};
use crate::stats::{DropReason, Stats};
use crate::verdict::{ConnectionId, Output, ReservationToken, Verdict};
use connections::Connection;
use relays::Relay;

/// The longest answer: RFC 5780's padding; without it an Allocate success with two addresses, a token and a ticket takes 250 bytes, a
/// challenge 100 and the realm.
const SCRATCH_LEN: usize = 2_048;

/// Allocations by their clients.
type Clients = HashMap<FiveTuple, u32, FixedState>;

/// A TURN server for one shard.
pub struct Server {
    config: Config,
    shard: ShardId,
    auth: Auth,
    peers: PeerPolicy,
    rng: Rng,
    limiter: Limiter,
    externals: Externals,
    clients: Clients,
    allocations: Slab<Allocation>,
    allocation_generation: u32,
    relays: Slab<Relay>,
    relay_generation: u32,
    /// Allocations by the addresses that are told of their relays.
    relayed: HashMap<SocketAddr, u32, FixedState>,
    /// Whose turn it is among the relay addresses of IPv4 and IPv6, and among alternate servers.
    relay_turns: [usize; 2],
    alternate_turn: usize,
    /// Allocations by their tickets (RFC 8016).
    tickets: HashMap<Handle, u32, FixedState>,
    /// Allocations that other shards have now.
    departures: Departures,
    /// Allocations that wait for their clients to come back.
    parked: usize,
    /// With peers (RFC 6062), and the clients' data connections that carry them.
    connections: HashMap<ConnectionId, Connection, FixedState>,
    joined: HashMap<FiveTuple, ConnectionId, FixedState>,
    masks: Masks,
    /// Made here, in order of expiry: all live equally long.
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

/// A port kept for whoever shows its token (RFC 8656 section 7.2).
#[derive(Debug)]
struct Reservation {
    token: ReservationToken,
    expires: Instant,
}

#[derive(Clone, Copy, Debug)]
enum Timer {
    /// Some allocation at this index may be due.
    Allocation(u32),
    Reservations,
    Lookups,
    /// This connection may be due.
    Connection(ConnectionId),
}

impl Server {
    /// All shards of one server get the same `ledger`, made for `config.relay_ports`. `seed` is secret and random; shards of one server get the same, so that they accept each other's nonces.
    /// Only the low byte of `shard` goes into tickets and connections' ids: 256 shards at most.
    pub fn new(config: Config, ledger: Arc<Ledger>, seed: [u8; 32], shard: ShardId, now: Now) -> Self {
        let mut rng = Rng::new(&seed, &[b"shard ".as_slice(), &shard.0.to_be_bytes()].concat());
        let [limiter, clients, relayed, tickets, connections, joined, departures] = [(); 7].map(|()| u64::from_be_bytes(rng.bytes()));
        let per_s = config.unauthenticated_answers_per_s_max;
        Self {
            auth: Auth::new(&config, &seed, now.mono),
            peers: PeerPolicy::new(&config),
            limiter: Limiter::new(now.mono, per_s, config.unauthenticated_answers_burst_max, limiter),
            externals: Externals::new(&config),
            clients: HashMap::with_hasher(FixedState::with_seed(clients)),
            allocations: Slab::new(),
            allocation_generation: 0,
            relays: Slab::new(),
            relay_generation: 0,
            relayed: HashMap::with_hasher(FixedState::with_seed(relayed)),
            relay_turns: [0; 2],
            alternate_turn: 0,
            tickets: HashMap::with_hasher(FixedState::with_seed(tickets)),
            departures: Departures::new(config.allocations_max, departures),
            parked: 0,
            connections: HashMap::with_hasher(FixedState::with_seed(connections)),
            joined: HashMap::with_hasher(FixedState::with_seed(joined)),
            masks: Masks::new(&seed),
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

    /// Refuses new allocations with 403 from now on; those that there are go on. For a server that is to be replaced.
    pub fn refuse_new(&mut self) {
        self.draining = true;
    }

    /// Time has come to [`Self::poll_timeout`].
    pub fn handle_timeout(&mut self, now: Now) {
        while let Some(timer) = self.timers.pop(now.mono) {
            match timer {
                Timer::Allocation(index) => self.allocation_due(now, index),
                Timer::Reservations => self.reservations_due(now),
                Timer::Lookups => self.lookups_due(now),
                Timer::Connection(connection) => self.connection_due(now, connection),
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
            (Class::Request, Method::BINDING) if self.config.no_stun => Err(DropReason::NoStun),
            // A keep-alive (RFC 8489 section 2); nothing is due.
            (Class::Indication, Method::BINDING) => Ok(Verdict::Handled),
            (Class::Request, Method::BINDING) if self.config.secure_stun => self.handle_secure_binding(now, client, &message),
            (Class::Request, Method::BINDING) => self.handle_binding(now, client, &message),
            (
                Class::Request,
                Method::ALLOCATE
                | Method::REFRESH
                | Method::CREATE_PERMISSION
                | Method::CHANNEL_BIND
                | Method::CONNECT
                | Method::CONNECTION_BIND,
            ) => self.handle_request(now, client, &message),
            // RFC 8489 section 6.3: a method that is not known is silently discarded.
            (Class::Request, _) => Err(DropReason::UnknownMethod),
            (Class::Indication | Class::Success | Class::Error, _) => Err(DropReason::UnexpectedClass),
        }
    }
}

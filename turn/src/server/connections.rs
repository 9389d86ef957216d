//! Connections between TCP relays and peers, and their binding to clients' data connections (RFC 6062).
//!
//! ```text
//! Connect ────► ConnectPeer ──► handle_peer_connected ──► success with CONNECTION-ID ─┐
//! a peer's connection ────────► handle_peer_accepted ───► ConnectionAttempt ──────────┴─► 30 s ─► ConnectionBind ─► Join
//! ```

use std::collections::hash_map::Entry;
use std::net::SocketAddr;
use std::time::{Duration, Instant};

use pointsman_wire::clock::Now;
use pointsman_wire::net::{FiveTuple, Protocol, ShardId};
use pointsman_wire::stun::attribute::{Family, Type};
use pointsman_wire::stun::{Class, Message, Method, TransactionId, Writer};

use super::reply::{Question, Rejection, close};
use super::requests::Granted;
use super::{Server, Timer};
use crate::allocation::{Allocation, ReplyStyle};
use crate::peers::Judgement;
use crate::verdict::{ConnectError, ConnectionId, Output, RelayPort, RelayTransport, Way};

/// RFC 6062 sections 5.2 and 5.3: unbound for so long, a connection is closed.
const BIND_TIMEOUT: Duration = Duration::from_secs(30);
/// How long the engine may try to connect: RFC 6062 section 5.2 wants 30 s at least.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(35);

/// A connection with a peer, by what it waits for.
#[derive(Debug)]
pub(super) struct Connection {
    allocation: u32,
    peer: SocketAddr,
    state: State,
    /// When it is given up; without meaning once it is joined.
    expires: Instant,
}

#[derive(Debug)]
enum State {
    /// The Connect is answered when the peer is reached or not.
    Connecting {
        transaction: TransactionId,
        style: ReplyStyle,
    },
    /// For a ConnectionBind.
    Unbound,
    Joined {
        client: FiveTuple,
    },
}

impl Server {
    /// RFC 6062 section 5.2.
    pub(super) fn connect(&mut self, now: Now, index: u32, message: &Message<'_>, style: ReplyStyle) -> Result<Granted, Rejection> {
        let allocation = self.allocations.get(index as usize).ok_or(Rejection::ALLOCATION_MISMATCH)?;
        if allocation.transport != RelayTransport::Tcp {
            return Err(Rejection::BAD_REQUEST);
        }
        let named = message.xor_peer_address()?.filter(|peer| peer.port() != 0).ok_or(Rejection::BAD_REQUEST)?;
        let (peer, judgement) = self.judge(index, named)?;
        if !self.peers.port_is_open(judgement, peer) {
            return Err(Rejection::FORBIDDEN);
        }
        let allocation = self.allocations.get(index as usize).ok_or(Rejection::ALLOCATION_MISMATCH)?;
        let relay = allocation.relay(Family::of(&peer.ip())).ok_or(Rejection::PEER_FAMILY_MISMATCH)?;
        let to_peer = |id: &ConnectionId| self.connections.get(id).is_some_and(|connection| connection.peer == peer);
        if allocation.connections.iter().any(to_peer) {
            return Err(Rejection::CONNECTION_EXISTS);
        }
        let state = State::Connecting { transaction: message.transaction_id(), style };
        let expires = now.mono + CONNECT_TIMEOUT;
        let connection =
            self.new_connection(Connection { allocation: index, peer, state, expires }).ok_or(Rejection::INSUFFICIENT_CAPACITY)?;
        self.outputs.push_back(Output::ConnectPeer { connection, relay: relay.port, peer });
        Ok(Granted::Later)
    }

    /// The end of [`Output::ConnectPeer`].
    pub fn handle_peer_connected(&mut self, now: Now, connection: ConnectionId, result: Result<(), ConnectError>) {
        let Some(entry) = self.connections.get_mut(&connection) else { return };
        let State::Connecting { transaction, style } = entry.state else { return };
        entry.state = State::Unbound;
        entry.expires = now.mono + BIND_TIMEOUT;
        let (index, expires) = (entry.allocation, entry.expires);
        let Some(allocation) = self.allocations.get(index as usize) else { return };
        let (key, question) = (allocation.key, Question { client: allocation.client, method: Method::CONNECT, id: transaction });
        let answerable = !allocation.parked;
        let decided = match result {
            Ok(()) => {
                self.timers.insert(expires, Timer::Connection(connection));
                self.accept(question, key, style, |writer| _ = writer.u32(Type::CONNECTION_ID, connection.0))
            }
            Err(ConnectError::Refused | ConnectError::Unreachable | ConnectError::TimedOut | ConnectError::Failed) => {
                // The engine has none: nothing to close.
                self.forget_connection(connection);
                self.reject(question, key, style, &Rejection::CONNECTION_FAILED)
            }
        };
        if answerable {
            self.queue_reply(decided);
        }
    }

    /// A peer connected to a TCP relay: `None` means close it; else its client is told, and nothing is read from the peer before
    /// [`Output::Join`] (RFC 6062 section 5.3).
    pub fn handle_peer_accepted(&mut self, now: Now, relay: RelayPort, peer: SocketAddr) -> Option<ConnectionId> {
        let entry = self.relay(relay).filter(|entry| entry.transport == RelayTransport::Tcp)?;
        let (index, own) = (entry.allocation, entry.address.ip());
        let allocation = self.allocations.get(index as usize).filter(|allocation| !allocation.parked)?;
        let (client, fingerprint) = (allocation.client, allocation.style.fingerprint);
        let permitted = allocation.permission(now.mono, peer.ip()).map(|permission| permission.judgement);
        let judgement = permitted.or_else(|| self.config.server_relay.then_some(Judgement::Allowed))?;
        // A peer's own port is any; only where our own host answers does it tell relays from the rest.
        if judgement == Judgement::OwnPortsOnly && !self.peers.is_own_port(peer) {
            return None;
        }
        let expires = now.mono + BIND_TIMEOUT;
        let connection = self.new_connection(Connection { allocation: index, peer, state: State::Unbound, expires })?;
        let shown = self.externals.outward_peer(peer, own);
        let id = self.next_indication();
        let mut writer = Writer::new(&mut self.scratch[..], Class::Indication, Method::CONNECTION_ATTEMPT, id);
        writer.u32(Type::CONNECTION_ID, connection.0).xor_address(Type::XOR_PEER_ADDRESS, shown);
        if let Ok(bytes) = close(&mut writer, &self.config, None, fingerprint).map(|len| self.scratch.get(..len).unwrap_or_default().into())
        {
            self.outputs.push_back(Output::Reply { client, bytes });
        }
        Some(connection)
    }

    /// Either end of a connection with a peer is gone, joined or not, and the engine has closed both.
    pub fn handle_connection_closed(&mut self, _now: Now, connection: ConnectionId) {
        self.forget_connection(connection);
    }

    /// How many bytes may be read from one end of this pipe for the other now, at least one.
    ///
    /// # Errors
    /// When to ask again; nothing may be read from that end before.
    pub fn pipe_allowance(&mut self, now: Now, connection: ConnectionId, way: Way) -> Result<usize, Instant> {
        // A pipe that is just being closed may go on so long.
        let Some(allocation) = self.piped(connection) else { return Ok(usize::MAX) };
        allocation.allowance(now, way).map(|bytes| usize::try_from(bytes).unwrap_or(usize::MAX))
    }

    /// Counts bytes that were read from one end of a pipe for the other.
    pub fn count_piped(&mut self, now: Now, connection: ConnectionId, way: Way, bytes: usize) {
        let Some(allocation) = self.piped(connection) else { return };
        allocation.count(now, way, bytes);
        match way {
            Way::ToPeer => self.count_to_peer(bytes),
            Way::ToClient => self.count_to_client(bytes),
        }
    }

    fn piped(&mut self, connection: ConnectionId) -> Option<&mut Allocation> {
        let index = self.connections.get(&connection)?.allocation;
        self.allocations.get_mut(index as usize)
    }

    /// Nobody bound it, or the engine never said what came of it.
    pub(super) fn connection_due(&mut self, now: Now, connection: ConnectionId) {
        let Some(entry) = self.connections.get(&connection).filter(|entry| entry.expires <= now.mono) else { return };
        match entry.state {
            State::Joined { .. } => {}
            State::Unbound => {
                self.forget_connection(connection);
                self.outputs.push_back(Output::CloseConnection { connection });
            }
            State::Connecting { .. } => {
                self.handle_peer_connected(now, connection, Err(ConnectError::TimedOut));
                self.outputs.push_back(Output::CloseConnection { connection });
            }
        }
    }

    /// RFC 6062 section 5.4. `user` is who sent it, and of which realm.
    pub(super) fn connection_bind(&mut self, client: FiveTuple, message: &Message<'_>, user: (&[u8], &str)) -> Result<Granted, Rejection> {
        let id = message.connection_id()?.map(ConnectionId).ok_or(Rejection::BAD_REQUEST)?;
        // A connection that controls an allocation carries no data.
        if !matches!(client.protocol, Protocol::Tcp | Protocol::Tls) || self.clients.contains_key(&client) {
            return Err(Rejection::BAD_REQUEST);
        }
        let connection = self.connections.get_mut(&id).ok_or(Rejection::BAD_REQUEST)?;
        let State::Unbound = connection.state else { return Err(Rejection::BAD_REQUEST) };
        let owner = self.allocations.get(connection.allocation as usize).ok_or(Rejection::BAD_REQUEST)?;
        if (&*owner.username, &*owner.realm) != user {
            return Err(Rejection::WRONG_CREDENTIALS);
        }
        connection.state = State::Joined { client };
        self.joined.insert(client, id);
        self.outputs.push_back(Output::Join { client, connection: id });
        Ok(Granted::Done)
    }

    /// The allocation whose connection a ConnectionBind names.
    pub(super) fn owner_of_connection(&self, message: &Message<'_>) -> Option<u32> {
        let id = message.connection_id().ok()??;
        self.connections.get(&ConnectionId(id)).map(|connection| connection.allocation)
    }

    /// The shard that made an id.
    pub(super) fn shard_of_connection(&self, id: ConnectionId) -> ShardId {
        let [r0, r1, r2, low] = id.0.to_be_bytes();
        ShardId(u16::from(low ^ self.masks.mask([r0, r1, r2])))
    }

    /// A data connection is gone.
    pub(super) fn forget_joined(&mut self, client: FiveTuple) {
        if let Some(connection) = self.joined.remove(&client) {
            self.forget_connection(connection);
        }
    }

    fn new_connection(&mut self, connection: Connection) -> Option<ConnectionId> {
        let [_, shard] = self.shard.0.to_be_bytes();
        let allocation = self.allocations.get_mut(connection.allocation as usize)?;
        if allocation.connections.len() >= self.config.connections_max {
            return None;
        }
        // Taken numbers are met once in millions of draws.
        for _ in 0..4 {
            let [r0, r1, r2] = self.rng.bytes();
            let id = ConnectionId(u32::from_be_bytes([r0, r1, r2, shard ^ self.masks.mask([r0, r1, r2])]));
            if let Entry::Vacant(place) = self.connections.entry(id) {
                self.timers.insert(connection.expires, Timer::Connection(id));
                place.insert(connection);
                allocation.connections.push(id);
                self.stats.connections = self.connections.len() as u64;
                self.stats.connections_total += 1;
                return Some(id);
            }
        }
        None
    }

    pub(super) fn forget_connection(&mut self, connection: ConnectionId) {
        let Some(entry) = self.connections.remove(&connection) else { return };
        if let State::Joined { client } = entry.state {
            self.joined.remove(&client);
        }
        if let Some(allocation) = self.allocations.get_mut(entry.allocation as usize) {
            allocation.connections.retain(|of| *of != connection);
        }
        self.stats.connections = self.connections.len() as u64;
    }
}

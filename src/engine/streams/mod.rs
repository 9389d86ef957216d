//! TCP and TLS on a shard: clients' connections, those with peers (RFC 6062), and the pipes made of both.
//!
//! ```text
//! control ──handshaken──▶ client ──whole messages──▶ TURN server ──▶ relay sockets
//!                           ╎ Join                                      │ RFC 6062
//!                           └╌╌╌╌╌╌╌╌╌╌ bytes, both ways ╌╌╌╌╌╌╌╌ peer ◀┘ connect, accept
//! ```
//! Sockets are told of by edges: each is asked again only after it ran empty and epoll spoke. What is to be written is gathered and
//! leaves once per turn, in one call for each connection.

mod clients;
mod connection;
mod peers;
mod pipes;
mod socket;

use std::collections::{HashMap, VecDeque};
use std::os::fd::{AsFd as _, AsRawFd};
use std::time::Instant;
use std::{fmt, io};

use foldhash::fast::RandomState;
use mio::event::Event;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use pointsman_turn::ConnectionId;
use pointsman_wire::clock::{Now, Wheel};
use pointsman_wire::net::{FiveTuple, Protocol, ShardId};
use pointsman_wire::stream;
use slab::Slab;

pub use connection::{Connection, Place};

use super::config::StreamConfig;
use super::stats::{DropReason, Stats};
use super::sys;
use peers::Listeners;
use socket::{RECORD_LEN_MAX, Socket};

/// Relay sockets have the tokens below.
pub const STREAM_TOKEN_FIRST: usize = 1 << 32;
/// Listening relays have the tokens from here on.
const LISTENER_TOKEN_FIRST: usize = 1 << 40;
/// One read of a connection.
const READ_LEN: usize = 64 << 10;
/// What the kernel holds of a client's bytes beyond those that are on their way.
const UNSENT_MAX: i32 = 16 << 10;
/// Answers may wait beyond the bound on relayed data, for this much again: then the client does not read at all.
const ANSWER_BACKLOG_FACTOR: usize = 2;

/// A connection's number, and which of those that had it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StreamId {
    index: u32,
    number: u32,
}

/// All TCP connections of a shard.
pub struct Streams {
    config: StreamConfig,
    /// Relayed connections and listeners are bound to it.
    relay_device: Option<String>,
    streams: Slab<Stream>,
    clients: HashMap<FiveTuple, u32, RandomState>,
    connections: HashMap<ConnectionId, u32, RandomState>,
    listeners: Listeners,
    number: u32,
    /// With something to read or to finish, first come first served. Each at most once.
    ready: VecDeque<StreamId>,
    /// With something to write. Each at most once.
    unwritten: VecDeque<StreamId>,
    /// Ends that the server is still to be told of.
    gone: VecDeque<Gone>,
    timers: Wheel<Due>,
    /// What one read brings, after what was left of the one before.
    plain: Vec<u8>,
    cipher: Vec<u8>,
    /// The client that was written to last.
    last: Option<(FiveTuple, StreamId)>,
}

struct Stream {
    number: u32,
    socket: Socket,
    role: Role,
    /// It is a client's, and not a peer's.
    client: bool,
    queued: bool,
    unwritten: bool,
    /// It reads too slowly even for answers, and is closed instead of written to.
    doomed: bool,
    /// Nothing is read before its timer is due: it sent more than its allocation may.
    paused: bool,
    /// It belongs to another shard.
    moving: Option<ShardId>,
    /// The beginning of a message whose end has not come.
    partial: Vec<u8>,
    /// When the last whole message came.
    heard: Instant,
    place: Option<Place>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    /// Speaks TURN.
    Client(FiveTuple),
    /// Is being connected with.
    Connecting(ConnectionId),
    /// Waits to be joined; nothing is read.
    Peer(ConnectionId),
    /// Half of a pipe.
    Joined { connection: ConnectionId, other: StreamId },
}

#[derive(Clone, Copy, Debug)]
enum Gone {
    Client(FiveTuple),
    Connection(ConnectionId),
}

#[derive(Clone, Copy, Debug)]
enum Due {
    /// Look whether this one is still needed.
    Stream(StreamId),
    /// It may be read again.
    Paused(StreamId),
    /// Try to accept again.
    Listener(u32),
}

/// What is gathered for a client: how much of it may wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Relayed data: late is as good as lost.
    Data,
    Answer,
}

impl Streams {
    pub fn new(config: StreamConfig, relay_device: Option<String>, now: Now) -> Self {
        Self {
            config,
            relay_device,
            streams: Slab::new(),
            clients: HashMap::default(),
            connections: HashMap::default(),
            listeners: Listeners::new(LISTENER_TOKEN_FIRST),
            number: 0,
            ready: VecDeque::new(),
            unwritten: VecDeque::new(),
            gone: VecDeque::new(),
            timers: Wheel::new(now.mono),
            plain: Vec::new(),
            cipher: Vec::new(),
            last: None,
        }
    }

    /// Takes over a client's connection.
    pub fn adopt(&mut self, registry: &Registry, now: Now, connection: Connection, stats: &mut Stats) {
        let client = connection.client();
        let Connection { tcp, tls, unread, unsent, place, local: _, remote: _ } = connection;
        if self.streams.len() >= self.config.shard_connections_max {
            stats.drop(DropReason::StreamsFull, 1);
            return;
        }
        if let Some(old) = self.clients.get(&client).and_then(|&old| self.id_of(old))
            && let Some(gone) = self.close(registry, old, stats)
        {
            // The same addresses again: the connection that had them is dead, only nobody has told us.
            self.gone.push_back(gone);
        }
        if self.plain.is_empty() {
            self.plain = vec![0; stream::MESSAGE_LEN_MAX + READ_LEN + RECORD_LEN_MAX];
            self.cipher = vec![0; READ_LEN];
        }
        // Else the kernel takes megabytes at once, and nobody sees for seconds that the network does not.
        if let Err(error) = sys::set_option(tcp.as_fd(), libc::IPPROTO_TCP, libc::TCP_NOTSENT_LOWAT, UNSENT_MAX) {
            tracing::debug!(%error, "the kernel bounds nothing of what it has not sent");
        }
        let mut socket = Socket::new(tcp, tls);
        socket.put(&unsent);
        let Some(id) = self.insert(registry, now, socket, Role::Client(client), stats) else { return };
        self.clients.insert(client, id.index);
        if let Some(stream) = self.get_mut(id) {
            (stream.partial, stream.place) = (unread, place);
        }
        self.timers.insert(now.mono + self.config.idle_timeout, Due::Stream(id));
        self.mark_ready(id);
        self.mark_unwritten(id);
    }

    fn insert(&mut self, registry: &Registry, now: Now, socket: Socket, role: Role, stats: &mut Stats) -> Option<StreamId> {
        self.number = self.number.wrapping_add(1);
        let number = self.number;
        let vacant = self.streams.vacant_entry();
        let index = u32::try_from(vacant.key()).ok()?;
        let both = Interest::READABLE | Interest::WRITABLE;
        let token = Token(STREAM_TOKEN_FIRST + vacant.key());
        if let Err(error) = registry.register(&mut SourceFd(&socket.tcp().as_raw_fd()), token, both) {
            tracing::warn!(%error, "a connection cannot be waited for");
            stats.drop(DropReason::StreamsFull, 1);
            return None;
        }
        let stream = vacant.insert(Stream {
            number,
            socket,
            role,
            client: matches!(role, Role::Client(_)),
            queued: false,
            unwritten: false,
            doomed: false,
            paused: false,
            moving: None,
            partial: Vec::new(),
            heard: now.mono,
            place: None,
        });
        *stream.gauge(stats) += 1;
        Some(StreamId { index, number })
    }

    /// Notes what epoll said, if it spoke of one of ours.
    pub fn notice(&mut self, event: &Event) -> bool {
        let token = event.token().0;
        if let Some(listener) = token.checked_sub(LISTENER_TOKEN_FIRST) {
            return u32::try_from(listener).is_ok_and(|index| self.listeners.set_ready(index));
        }
        let Some(index) = token.checked_sub(STREAM_TOKEN_FIRST) else { return false };
        let Some(stream) = self.streams.get_mut(index) else { return true };
        let hung_up = event.is_read_closed() || event.is_error();
        stream.socket.notice(event.is_readable(), event.is_writable() || event.is_error(), hung_up);
        let id = StreamId { index: index as u32, number: stream.number };
        let wants_flush = stream.socket.wants_flush();
        self.mark_ready(id);
        if wants_flush {
            self.mark_unwritten(id);
        }
        true
    }

    /// Whether there is something to do at once.
    pub fn has_work(&self) -> bool {
        !self.ready.is_empty() || !self.gone.is_empty() || self.listeners.has_ready()
    }

    pub fn poll_timeout(&self) -> Option<Instant> {
        self.timers.next()
    }

    /// Gathers one message, made of `parts`, for a client, padded as a stream wants it (RFC 8656 section 12.5).
    pub fn put(&mut self, client: &FiveTuple, parts: &[&[u8]], kind: Kind, stats: &mut Stats) {
        let Some(id) = self.find_client(client) else {
            stats.drop(DropReason::NoSocket, 1);
            return;
        };
        let backlog_max = self.config.backlog_bytes_max;
        let Some(stream) = self.get_mut(id) else { return };
        let len: usize = parts.iter().map(|part| part.len()).sum();
        let waiting = stream.socket.backlog() + len;
        match kind {
            Kind::Data if waiting > backlog_max => {
                stats.drop(DropReason::StreamBacklog, 1);
                return;
            }
            Kind::Answer if waiting > backlog_max.saturating_mul(ANSWER_BACKLOG_FACTOR) => {
                if !stream.doomed {
                    stats.drop(DropReason::StreamStalled, 1);
                }
                stream.doomed = true;
                self.mark_unwritten(id);
                return;
            }
            Kind::Data | Kind::Answer => {}
        }
        for part in parts {
            stream.socket.put(part);
        }
        stream.socket.pad(stream::padding(len));
        stats.stream_messages_out += 1;
        stats.stream_bytes_out += len as u64;
        self.mark_unwritten(id);
    }

    /// What waits for a client's connection to take it, in bytes.
    pub fn backlog(&mut self, client: &FiveTuple) -> usize {
        match client.protocol {
            Protocol::Tcp | Protocol::Tls => {
                self.find_client(client).and_then(|id| self.get(id)).map_or(0, |stream| stream.socket.backlog())
            }
            Protocol::Udp | Protocol::Dtls | Protocol::Relay(_) => 0,
        }
    }

    /// Writes what was gathered. Once per turn.
    pub fn flush(&mut self, registry: &Registry, stats: &mut Stats) {
        // What this makes unwritten anew comes with the next turn.
        for _ in 0..self.unwritten.len() {
            let Some(id) = self.unwritten.pop_front() else { return };
            let Some(stream) = self.get_mut(id) else { continue };
            stream.unwritten = false;
            let written = if stream.doomed { Err(io::ErrorKind::TimedOut.into()) } else { stream.socket.flush() };
            match written {
                Ok(calls) => {
                    stats.stream_writes += calls;
                    self.written(registry, id, stats);
                }
                Err(error) => self.end(registry, id, &error, stats),
            }
        }
    }

    /// Closes a connection because of an error, and with it the other half of a pipe; the server is told with the next turn.
    fn end(&mut self, registry: &Registry, id: StreamId, error: &io::Error, stats: &mut Stats) {
        if error.kind() == io::ErrorKind::InvalidData {
            tracing::debug!(%error, "TLS error");
            stats.drop(DropReason::StreamTls, 1);
        }
        if let Some(gone) = self.close(registry, id, stats) {
            self.gone.push_back(gone);
        }
    }

    /// Closes a connection, and with it the other half of a pipe. Says what the server must be told if it does not know yet.
    fn close(&mut self, registry: &Registry, id: StreamId, stats: &mut Stats) -> Option<Gone> {
        let mut stream = self.remove(registry, id, stats)?;
        // What was gathered in this turn still leaves if it can.
        let _ = stream.socket.flush();
        match stream.role {
            Role::Client(client) => Some(Gone::Client(client)),
            Role::Connecting(connection) | Role::Peer(connection) => Some(Gone::Connection(connection)),
            Role::Joined { connection, other } => {
                if let Some(mut other) = self.remove(registry, other, stats) {
                    let _ = other.socket.flush();
                }
                stats.pipes = stats.pipes.saturating_sub(1);
                Some(Gone::Connection(connection))
            }
        }
    }

    /// Takes a connection out of all tables.
    fn remove(&mut self, registry: &Registry, id: StreamId, stats: &mut Stats) -> Option<Stream> {
        self.get_mut(id)?;
        let stream = self.streams.remove(id.index as usize);
        if let Err(error) = registry.deregister(&mut SourceFd(&stream.socket.tcp().as_raw_fd())) {
            tracing::debug!(%error, "a connection was not registered");
        }
        match stream.role {
            Role::Client(client) => {
                self.clients.remove(&client);
                self.last = None;
            }
            Role::Connecting(connection) | Role::Peer(connection) | Role::Joined { connection, .. } => {
                self.connections.remove(&connection);
            }
        }
        let open = stream.gauge(stats);
        *open = open.saturating_sub(1);
        Some(stream)
    }

    fn id_of(&self, index: u32) -> Option<StreamId> {
        self.streams.get(index as usize).map(|stream| StreamId { index, number: stream.number })
    }

    fn get(&self, id: StreamId) -> Option<&Stream> {
        self.streams.get(id.index as usize).filter(|stream| stream.number == id.number)
    }

    fn get_mut(&mut self, id: StreamId) -> Option<&mut Stream> {
        self.streams.get_mut(id.index as usize).filter(|stream| stream.number == id.number)
    }

    fn find_client(&mut self, client: &FiveTuple) -> Option<StreamId> {
        if let Some((last, id)) = &self.last
            && last == client
        {
            return Some(*id);
        }
        let id = self.clients.get(client).and_then(|&index| self.id_of(index))?;
        self.last = Some((*client, id));
        Some(id)
    }

    fn mark_ready(&mut self, id: StreamId) {
        if let Some(stream) = self.get_mut(id)
            && !stream.queued
        {
            stream.queued = true;
            self.ready.push_back(id);
        }
    }

    fn mark_unwritten(&mut self, id: StreamId) {
        if let Some(stream) = self.get_mut(id)
            && !stream.unwritten
        {
            stream.unwritten = true;
            self.unwritten.push_back(id);
        }
    }

    /// Reads nothing of a connection for a while: the other end sees a network that is no faster.
    fn pause(&mut self, id: StreamId, until: Instant, stats: &mut Stats) {
        let Some(stream) = self.get_mut(id).filter(|stream| !stream.paused) else { return };
        stream.paused = true;
        stats.stream_pauses += 1;
        self.timers.insert(until, Due::Paused(id));
    }

    fn resume(&mut self, id: StreamId) {
        if let Some(stream) = self.get_mut(id) {
            stream.paused = false;
            self.mark_ready(id);
        }
    }

    /// The next connection with something to read or to finish.
    fn next_ready(&mut self) -> Option<(StreamId, Role)> {
        loop {
            let id = self.ready.pop_front()?;
            if let Some(stream) = self.get_mut(id) {
                stream.queued = false;
                return Some((id, stream.role));
            }
        }
    }
}

impl Stream {
    /// The count of open connections that this one belongs to.
    fn gauge<'a>(&self, stats: &'a mut Stats) -> &'a mut u64 {
        match (self.client, self.socket.is_tls()) {
            (true, false) => &mut stats.tcp_clients,
            (true, true) => &mut stats.tls_clients,
            (false, _) => &mut stats.peer_connections,
        }
    }
}

impl fmt::Debug for Streams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Streams").field("streams", &self.streams.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;

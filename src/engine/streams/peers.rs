//! TCP between relays and peers (RFC 6062): relayed addresses that listen, and connections that leave from them.

use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::time::Duration;

use foldhash::fast::RandomState;
use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use pointsman_turn::{ConnectError, ConnectionId, OpenError, RelayPort};
use pointsman_wire::clock::Now;
use socket2::{Domain, Protocol, Socket as RawSocket, Type};

use super::socket::Socket;
use super::{Due, Role, StreamId, Streams};
use crate::engine::bind::bind_device;
use crate::engine::stats::{DropReason, Stats};

/// Connections of peers that wait in the kernel to be accepted, on each relay.
const BACKLOG: i32 = 64;
/// Pause after the kernel refused to give us a connection (no file descriptor left).
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The relays that listen, by their dense index.
pub struct Listeners {
    table: HashMap<u32, Listener, RandomState>,
    ready: VecDeque<u32>,
    token_first: usize,
}

struct Listener {
    relay: RelayPort,
    socket: TcpListener,
    local: SocketAddr,
    queued: bool,
}

impl Listeners {
    pub fn new(token_first: usize) -> Self {
        Self { table: HashMap::default(), ready: VecDeque::new(), token_first }
    }

    /// Notes that a peer may wait. `false` when there is no such relay.
    pub fn set_ready(&mut self, index: u32) -> bool {
        let Some(listener) = self.table.get_mut(&index) else { return false };
        if !listener.queued {
            listener.queued = true;
            self.ready.push_back(index);
        }
        true
    }

    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty()
    }
}

impl Streams {
    /// Listens on a relayed address.
    pub fn listen(&mut self, registry: &Registry, relay: RelayPort, address: SocketAddr) -> Result<SocketAddr, OpenError> {
        if self.listeners.table.len() >= self.config.listeners_max || self.listeners.table.contains_key(&relay.index) {
            return Err(OpenError::Failed);
        }
        let opened = open_listener(address, self.relay_device.as_deref()).and_then(|socket| {
            let token = Token(self.listeners.token_first + relay.index as usize);
            registry.register(&mut SourceFd(&socket.as_raw_fd()), token, Interest::READABLE)?;
            let local = socket.local_addr()?;
            Ok(Listener { relay, socket, local, queued: false })
        });
        let listener = opened.map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => OpenError::InUse,
            _ => OpenError::Failed,
        })?;
        let local = listener.local;
        self.listeners.table.insert(relay.index, listener);
        Ok(local)
    }

    /// Ends listening on a relayed address; `false` when this relay does not.
    pub fn unlisten(&mut self, registry: &Registry, relay: RelayPort) -> bool {
        if self.listeners.table.get(&relay.index).is_none_or(|listener| listener.relay != relay) {
            return false;
        }
        if let Some(listener) = self.listeners.table.remove(&relay.index) {
            let _ = registry.deregister(&mut SourceFd(&listener.socket.as_raw_fd()));
        }
        true
    }

    /// The next connection that a peer made to a relay.
    pub(super) fn accept(&mut self, now: Now) -> Option<(RelayPort, TcpStream, SocketAddr)> {
        while let Some(index) = self.listeners.ready.pop_front() {
            let Some(listener) = self.listeners.table.get_mut(&index) else { continue };
            listener.queued = false;
            match listener.socket.accept() {
                Ok((tcp, peer)) => {
                    let relay = listener.relay;
                    self.listeners.set_ready(index);
                    if tcp.set_nonblocking(true).is_ok() {
                        return Some((relay, tcp, peer));
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // A connection that ended before it was accepted.
                Err(error) if matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::ConnectionAborted) => {
                    self.listeners.set_ready(index);
                }
                Err(error) => {
                    tracing::debug!(%error, "no peer accepted");
                    self.timers.insert(now.mono + ACCEPT_PAUSE, Due::Listener(index));
                }
            }
        }
        None
    }

    /// Keeps a peer's connection until its client asks for it.
    pub(super) fn insert_accepted(&mut self, registry: &Registry, now: Now, connection: ConnectionId, tcp: TcpStream, stats: &mut Stats) {
        if self.insert_peer(registry, now, Role::Peer(connection), connection, tcp, stats).is_none() {
            self.gone.push_back(super::Gone::Connection(connection));
        }
    }

    /// Begins to connect from a relayed address with a peer.
    ///
    /// # Errors
    /// What can be said at once.
    pub fn connect(
        &mut self,
        registry: &Registry,
        now: Now,
        connection: ConnectionId,
        relay: RelayPort,
        peer: SocketAddr,
        stats: &mut Stats,
    ) -> Result<(), ConnectError> {
        let listener = self.listeners.table.get(&relay.index).filter(|listener| listener.relay == relay).ok_or(ConnectError::Failed)?;
        let tcp = begin_connecting(listener.local, peer, self.relay_device.as_deref()).map_err(|error| connect_error(&error))?;
        let id = self.insert_peer(registry, now, Role::Connecting(connection), connection, tcp, stats).ok_or(ConnectError::Failed)?;
        self.timers.insert(now.mono + self.config.connect_timeout, Due::Stream(id));
        Ok(())
    }

    fn insert_peer(
        &mut self,
        registry: &Registry,
        now: Now,
        role: Role,
        connection: ConnectionId,
        tcp: TcpStream,
        stats: &mut Stats,
    ) -> Option<StreamId> {
        if stats.peer_connections >= self.config.peer_connections_max as u64 || self.connections.contains_key(&connection) {
            stats.drop(DropReason::StreamsFull, 1);
            return None;
        }
        let _ = tcp.set_nodelay(true);
        let id = self.insert(registry, now, Socket::new(tcp, None), role, stats)?;
        self.connections.insert(connection, id.index);
        Some(id)
    }

    /// How connecting went, if that can be told.
    pub(super) fn connected(
        &mut self,
        registry: &Registry,
        id: StreamId,
        stats: &mut Stats,
    ) -> Option<(ConnectionId, Result<(), ConnectError>)> {
        let stream = self.get_mut(id)?;
        let Role::Connecting(connection) = stream.role else { return None };
        let tcp = stream.socket.tcp();
        let result = match tcp.take_error() {
            Ok(None) => match tcp.peer_addr() {
                Ok(_) => Ok(()),
                Err(error) if error.kind() == io::ErrorKind::NotConnected => return None,
                Err(error) => Err(connect_error(&error)),
            },
            Ok(Some(error)) | Err(error) => Err(connect_error(&error)),
        };
        match result {
            Ok(()) => stream.role = Role::Peer(connection),
            Err(_) => {
                self.close(registry, id, stats);
            }
        }
        Some((connection, result))
    }

    /// The server wants the connection with a peer to end, and what is joined to it.
    pub fn close_connection(&mut self, registry: &Registry, connection: ConnectionId, stats: &mut Stats) {
        if let Some(id) = self.connections.get(&connection).and_then(|&index| self.id_of(index)) {
            self.close(registry, id, stats);
        }
    }
}

fn open_listener(address: SocketAddr, device: Option<&str>) -> io::Result<TcpListener> {
    // With SO_REUSEPORT a bind beside another process of the same user succeeds, and the kernel would share connections out between
    // both. One without it tells.
    open(address, device, false)?.listen(1)?;
    let socket = open(address, device, true)?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

/// RFC 6062 section 5.2: the connection's source is the relayed address, on which we listen, too.
fn begin_connecting(relayed: SocketAddr, peer: SocketAddr, device: Option<&str>) -> io::Result<TcpStream> {
    let socket = open(relayed, device, true)?;
    match socket.connect(&peer.into()) {
        Ok(()) => {}
        Err(error) if error.raw_os_error() == Some(libc::EINPROGRESS) => {}
        Err(error) => return Err(error),
    }
    Ok(socket.into())
}

fn open(address: SocketAddr, device: Option<&str>, shared: bool) -> io::Result<RawSocket> {
    let socket = RawSocket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    // Otherwise connections that ended a minute ago keep the port.
    socket.set_reuse_address(true)?;
    if shared {
        socket.set_reuse_port(true)?;
    }
    bind_device(&socket, device)?;
    socket.bind(&address.into())?;
    Ok(socket)
}

fn connect_error(error: &io::Error) -> ConnectError {
    match error.kind() {
        io::ErrorKind::ConnectionRefused | io::ErrorKind::ConnectionReset => ConnectError::Refused,
        io::ErrorKind::TimedOut => ConnectError::TimedOut,
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => ConnectError::Unreachable,
        _ => ConnectError::Failed,
    }
}

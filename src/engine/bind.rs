//! The sockets on which every shard listens.

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;

use socket2::{Domain, Protocol, SockRef, Socket, Type};

use super::sys;

/// Why the engine does not start. Each is the operator's to mend.
#[derive(Debug)]
pub enum EngineError {
    /// Another socket has the address.
    AddressTaken(SocketAddr),
    /// No address of this host, or not for this user.
    Bind { address: SocketAddr, error: io::Error },
    /// The socket lacks something that the engine needs.
    Socket { address: SocketAddr, what: &'static str, error: io::Error },
    /// More than 65,536 were asked for.
    TooManyShards(usize),
    /// Threads, epoll or eventfd are not to be had.
    System { what: &'static str, error: io::Error },
}

impl fmt::Display for EngineError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::AddressTaken(address) => write!(f, "udp {address} is already taken by another process"),
            Self::Bind { address, error } => write!(f, "cannot listen on udp {address}: {error}"),
            Self::Socket { address, what, error } => write!(f, "cannot set {what} on udp {address}: {error}"),
            Self::TooManyShards(shards) => write!(f, "{shards} shards are too many"),
            Self::System { what, error } => write!(f, "cannot create {what}: {error}"),
        }
    }
}

impl std::error::Error for EngineError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Bind { error, .. } | Self::Socket { error, .. } | Self::System { error, .. } => Some(error),
            Self::AddressTaken(_) | Self::TooManyShards(_) => None,
        }
    }
}

/// A listening socket of one shard.
#[derive(Debug)]
pub struct Listener {
    pub socket: std::net::UdpSocket,
    pub local: SocketAddr,
    /// It is bound to a wildcard: the kernel tells which address each datagram hit.
    pub wildcard: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct ListenOptions<'a> {
    pub buffer: usize,
    pub gro: bool,
    /// Bound to this network device.
    pub device: Option<&'a str>,
}

/// Binds every address once per shard. The outer list has one entry per shard, the inner one per address.
pub fn bind_all(addresses: &[SocketAddr], shards: usize, options: ListenOptions<'_>) -> Result<Vec<Vec<Listener>>, EngineError> {
    // A bind with SO_REUSEPORT succeeds beside another process of the same user that sets it too, and the kernel would share the
    // datagrams out between both. A bind without it tells.
    for &address in addresses {
        let probe = open(address)?;
        bind(&probe, address, options.device)?;
    }
    let mut resolved = addresses.to_vec();
    let mut all = Vec::with_capacity(shards);
    for _ in 0..shards {
        let mut listeners = Vec::with_capacity(resolved.len());
        for address in &mut resolved {
            let listener = listen(*address, options)?;
            // With port 0 the kernel chooses for the first shard, and the others follow.
            *address = listener.local;
            listeners.push(listener);
        }
        all.push(listeners);
    }
    if let Some(listener) = all.first().and_then(|listeners| listeners.first()) {
        warn_of_small_buffers(listener, options.buffer);
    }
    Ok(all)
}

fn listen(address: SocketAddr, options: ListenOptions<'_>) -> Result<Listener, EngineError> {
    let socket = open(address)?;
    let failed = |what| move |error| EngineError::Socket { address, what, error };
    socket.set_reuse_port(true).map_err(failed("SO_REUSEPORT"))?;
    bind(&socket, address, options.device)?;
    let wildcard = address.ip().is_unspecified();
    if wildcard {
        match address.ip() {
            IpAddr::V4(_) => set_on(&socket, libc::IPPROTO_IP, libc::IP_PKTINFO).map_err(failed("IP_PKTINFO"))?,
            IpAddr::V6(_) => set_on(&socket, libc::IPPROTO_IPV6, libc::IPV6_RECVPKTINFO).map_err(failed("IPV6_RECVPKTINFO"))?,
        }
    }
    // Losing these costs a counter or some speed, nothing else.
    let _ = set_on(&socket, libc::SOL_SOCKET, libc::SO_RXQ_OVFL);
    if options.gro && set_on(&socket, libc::SOL_UDP, libc::UDP_GRO).is_err() {
        tracing::warn!("the kernel has no UDP_GRO");
    }
    size_buffers(&socket, options.buffer);
    let local = socket.local_addr().map_err(failed("an address"))?.as_socket().unwrap_or(address);
    Ok(Listener { socket: socket.into(), local, wildcard })
}

/// Opens a socket for a relayed transport address: its own port, shared with nobody. With port 0 the kernel chooses.
pub fn open_relay(address: SocketAddr, buffer: usize, device: Option<&str>) -> io::Result<(std::net::UdpSocket, SocketAddr)> {
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    bind_device(&socket, device)?;
    socket.bind(&address.into())?;
    size_buffers(&socket, buffer);
    // Without it clients do not learn that a peer is unreachable: nothing else is lost.
    let _ = sys::keep_errors(socket.as_fd(), address.is_ipv4());
    let local = socket.local_addr()?.as_socket().unwrap_or(address);
    Ok((socket.into(), local))
}

/// Without a device every one will do.
pub fn bind_device(socket: &Socket, device: Option<&str>) -> io::Result<()> {
    device.map_or(Ok(()), |device| socket.bind_device(Some(device.as_bytes())))
}

fn open(address: SocketAddr) -> Result<Socket, EngineError> {
    let failed = |what| move |error| EngineError::Socket { address, what, error };
    let socket = Socket::new(Domain::for_address(address), Type::DGRAM.nonblocking().cloexec(), Some(Protocol::UDP))
        .map_err(|error| EngineError::System { what: "a UDP socket", error })?;
    if address.is_ipv6() {
        socket.set_only_v6(true).map_err(failed("IPV6_V6ONLY"))?;
    }
    Ok(socket)
}

fn bind(socket: &Socket, address: SocketAddr, device: Option<&str>) -> Result<(), EngineError> {
    bind_device(socket, device).map_err(|error| EngineError::Socket { address, what: "its network device", error })?;
    socket.bind(&address.into()).map_err(|error| match error.kind() {
        io::ErrorKind::AddrInUse => EngineError::AddressTaken(address),
        _ => EngineError::Bind { address, error },
    })
}

fn set_on(socket: &Socket, level: libc::c_int, name: libc::c_int) -> io::Result<()> {
    sys::set_option(socket.as_fd(), level, name, 1)
}

/// The forced form ignores the system's limit but needs a privilege; the plain form is clamped.
fn size_buffers(socket: &Socket, wanted: usize) {
    let value = libc::c_int::try_from(wanted).unwrap_or(libc::c_int::MAX);
    if sys::set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_RCVBUFFORCE, value).is_err() {
        let _ = socket.set_recv_buffer_size(wanted);
    }
    if sys::set_option(socket.as_fd(), libc::SOL_SOCKET, libc::SO_SNDBUFFORCE, value).is_err() {
        let _ = socket.set_send_buffer_size(wanted);
    }
}

fn warn_of_small_buffers(listener: &Listener, wanted: usize) {
    let socket = SockRef::from(&listener.socket);
    // The kernel doubles what it is asked for, for its own bookkeeping, and reports the double.
    let receive = socket.recv_buffer_size().unwrap_or(0) / 2;
    let send = socket.send_buffer_size().unwrap_or(0) / 2;
    if receive < wanted || send < wanted {
        tracing::warn!(
            wanted,
            receive,
            send,
            "the kernel clamped the socket buffers; raise net.core.rmem_max and net.core.wmem_max, or packets are lost in bursts"
        );
    }
}

/// Whether the kernel cuts trains for us (UDP_SEGMENT, Linux 4.18).
pub fn supports_trains() -> bool {
    let any = |domain| Socket::new(domain, Type::DGRAM.cloexec(), Some(Protocol::UDP));
    let probe = any(Domain::IPV4).or_else(|_| any(Domain::IPV6));
    probe.is_ok_and(|probe| sys::set_option(probe.as_fd(), libc::SOL_UDP, libc::UDP_SEGMENT, 0).is_ok())
}

#[cfg(test)]
mod tests;

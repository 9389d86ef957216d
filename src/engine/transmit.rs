//! The way out of a shard: the send arena, the sockets, and one `sendmmsg` per flush and socket.

use std::collections::HashSet;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::{AsFd, BorrowedFd};

use foldhash::fast::RandomState;
use pointsman_wire::net::{FiveTuple, Protocol};

use super::arena::{Route, SendArena, TRAIN_MAX, Train};
use super::bind::Listener;
use super::dtls::DtlsClients;
use super::encryption::Encryption;
use super::relay::RelaySockets;
use super::stats::{DropReason, Stats};
use super::streams::{Kind, Streams};
use super::sys::SendSlots;

/// Bytes of the arena: what stays in a core's second-level cache. A full arena is flushed on the way, nothing is dropped.
const ARENA_BYTES: usize = 1 << 20;
const TRAINS_MAX: usize = 4096;
/// Messages of one `sendmmsg`.
const MESSAGES_MAX: usize = 256;
/// Destinations to which trains are not tried again; with more, none are.
const SINGLES_MAX: usize = 1024;
/// Socket numbers from here on are relay sockets'.
pub const FIRST_RELAY: u32 = 1 << 16;
/// What is kept free before a framed datagram: ChannelData's header.
const HEAD_LEN: usize = 4;
/// Most bytes that a frame adds: the head of a Data indication with an IPv6 address, and padding.
const FRAME_LEN_MAX: usize = 20 + 24 + 4 + 3;

pub struct Transmit {
    arena: SendArena,
    slots: SendSlots,
    /// For trains that must leave as single datagrams.
    single_slots: SendSlots,
    /// Numbers of trains, by socket.
    order: Vec<u32>,
    listeners: Vec<Listener>,
    pub relays: RelaySockets,
    /// `None` where DTLS is not served to clients of TURN, and while it is at work.
    pub dtls: Option<Box<DtlsClients>>,
    pub streams: Streams,
    train_max: u16,
    /// Destinations whose route refuses trains.
    singles: HashSet<IpAddr, RandomState>,
    /// The last flow that a slot was asked for.
    flow: Option<(FiveTuple, Route)>,
    /// Where the last slot goes; `None` while that is not known.
    to: Option<Route>,
    pub stats: Stats,
}

impl Transmit {
    /// `trains`: whether the kernel cuts them.
    pub fn new(listeners: Vec<Listener>, relays: RelaySockets, streams: Streams, trains: bool) -> Self {
        Self {
            arena: SendArena::new(ARENA_BYTES, TRAINS_MAX),
            slots: SendSlots::new(MESSAGES_MAX, TRAINS_MAX),
            single_slots: SendSlots::new(usize::from(TRAIN_MAX), usize::from(TRAIN_MAX)),
            order: Vec::with_capacity(TRAINS_MAX),
            listeners,
            relays,
            dtls: None,
            streams,
            train_max: if trains { TRAIN_MAX } else { 1 },
            singles: HashSet::with_capacity_and_hasher(SINGLES_MAX, RandomState::default()),
            flow: None,
            to: None,
            stats: Stats::new(),
        }
    }

    pub fn listeners(&self) -> &[Listener] {
        &self.listeners
    }

    pub fn listener_and_stats(&mut self, at: usize) -> (&Listener, &mut Stats) {
        (&self.listeners[at], &mut self.stats)
    }

    /// Space for a datagram of at most `len` bytes from one of our listening addresses to a client over UDP. Sends what is waiting
    /// when the arena is full. `None` when nothing listens on the address (any more).
    pub fn slot(&mut self, to: &FiveTuple, len: usize) -> Option<&mut [u8]> {
        self.to = Some(self.route_or_drop(to)?);
        self.space(len)
    }

    /// Space for a datagram of at most `len` bytes from relay socket number `relay` to a peer.
    pub fn relay_slot(&mut self, relay: u32, peer: SocketAddr, dont_fragment: bool, len: usize) -> Option<&mut [u8]> {
        self.to = Some(Route { socket: FIRST_RELAY + relay, from: None, to: peer, dont_fragment });
        self.space(len)
    }

    /// The first `len` bytes of the last slot are a datagram.
    pub fn commit(&mut self, len: usize) {
        if let Some(route) = self.to {
            self.commit_to(&route, len);
        }
    }

    /// Lets DTLS work and send. `None` where there is none.
    pub fn with_dtls<T>(&mut self, work: impl FnOnce(&mut DtlsClients, &mut Self) -> T) -> Option<T> {
        let mut dtls = self.dtls.take()?;
        let result = work(&mut dtls, self);
        self.dtls = Some(dtls);
        Some(result)
    }

    /// How a client's connection is encrypted. `None`: not at all, or it is gone.
    pub fn encryption(&self, client: &FiveTuple) -> Option<Encryption> {
        match client.protocol {
            Protocol::Tls => self.streams.encryption(client),
            Protocol::Dtls => self.dtls.as_ref().and_then(|dtls| dtls.encryption(client)),
            Protocol::Udp | Protocol::Tcp | Protocol::Relay(_) => None,
        }
    }

    /// Space for a datagram of at most `len` bytes that will be framed before it leaves: room is kept for that.
    pub fn framed_slot(&mut self, len: usize) -> Option<&mut [u8]> {
        self.to = None;
        self.space(len + FRAME_LEN_MAX)?.get_mut(HEAD_LEN..HEAD_LEN + len)
    }

    /// The first `len` bytes of the last framed slot.
    pub fn framed(&self, len: usize) -> Option<&[u8]> {
        self.arena.last_slot(HEAD_LEN + len)?.get(HEAD_LEN..)
    }

    /// `head`, the first `len` bytes of the last framed slot and `padding` zero bytes are a message to `client`. A ChannelData header
    /// goes into the place that was kept free for it; only what is longer moves the datagram.
    pub fn commit_framed(&mut self, client: &FiveTuple, head: &[u8], len: usize, padding: usize) {
        let total = head.len() + len + padding;
        if total > len + FRAME_LEN_MAX {
            return self.stats.drop(DropReason::Oversized, 1);
        }
        let Some(slot) = self.arena.slot(total.max(HEAD_LEN + len)) else { return };
        if head.len() != HEAD_LEN {
            slot.copy_within(HEAD_LEN..HEAD_LEN + len, head.len());
        }
        slot[..head.len()].copy_from_slice(head);
        slot[head.len() + len..total].fill(0);
        match client.protocol {
            Protocol::Udp => {
                if let Some(route) = self.route_or_drop(client) {
                    self.commit_to(&route, total);
                }
            }
            Protocol::Tcp | Protocol::Tls => self.streams.put(client, &[&slot[..total]], Kind::Data, &mut self.stats),
            Protocol::Dtls => {
                let Some(mut dtls) = self.dtls.take() else { return };
                if let Some(message) = self.arena.last_slot(total) {
                    dtls.prepare(&[message]);
                    dtls.send_prepared(client, self);
                }
                self.dtls = Some(dtls);
            }
            Protocol::Relay(_) => self.stats.drop(DropReason::NoSocket, 1),
        }
    }

    /// Sends one message, made of `parts`, to a client, over whatever it came by.
    pub fn send_to_client(&mut self, client: &FiveTuple, parts: &[&[u8]], kind: Kind) {
        match client.protocol {
            Protocol::Udp => self.datagram_to_client(client, parts),
            Protocol::Tcp | Protocol::Tls => self.streams.put(client, parts, kind, &mut self.stats),
            Protocol::Dtls => {
                self.with_dtls(|dtls, transmit| {
                    dtls.prepare(parts);
                    dtls.send_prepared(client, transmit);
                });
            }
            Protocol::Relay(_) => self.stats.drop(DropReason::NoSocket, 1),
        }
    }

    fn datagram_to_client(&mut self, client: &FiveTuple, parts: &[&[u8]]) {
        let len = parts.iter().map(|part| part.len()).sum();
        let Some(mut slot) = self.slot(client, len) else { return };
        for part in parts {
            let (here, rest) = slot.split_at_mut(part.len());
            here.copy_from_slice(part);
            slot = rest;
        }
        self.commit(len);
    }

    fn commit_to(&mut self, route: &Route, len: usize) {
        let single = !self.singles.is_empty() && self.singles.contains(&route.to.ip());
        self.arena.commit(route, len, if single { 1 } else { self.train_max });
    }

    fn space(&mut self, len: usize) -> Option<&mut [u8]> {
        if !self.arena.has_room(len) {
            self.flush();
        }
        self.arena.slot(len)
    }

    fn route_or_drop(&mut self, to: &FiveTuple) -> Option<Route> {
        if let Some((flow, route)) = &self.flow
            && flow == to
        {
            return Some(*route);
        }
        let Some(route) = self.route(to) else {
            self.stats.drop(DropReason::NoSocket, 1);
            return None;
        };
        self.flow = Some((*to, route));
        Some(route)
    }

    fn route(&self, to: &FiveTuple) -> Option<Route> {
        if to.protocol != Protocol::Udp {
            return None;
        }
        let exact = self.listeners.iter().position(|listener| !listener.wildcard && listener.local == to.local);
        let socket = exact.or_else(|| {
            self.listeners.iter().position(|listener| {
                listener.wildcard && listener.local.port() == to.local.port() && listener.local.is_ipv4() == to.local.is_ipv4()
            })
        })?;
        let from = (exact.is_none() && !to.local.ip().is_unspecified()).then_some(to.local.ip());
        Some(Route { socket: socket as u32, from, to: to.remote, dont_fragment: false })
    }

    /// Sends everything that is waiting. Never waits: what the kernel does not take is dropped and counted.
    pub fn flush(&mut self) {
        if self.arena.is_empty() {
            return;
        }
        self.order.clear();
        self.order.extend(0..self.arena.trains().len() as u32);
        let trains = self.arena.trains();
        let first = trains[0].route.socket;
        if trains.iter().any(|train| train.route.socket != first) {
            self.order.sort_unstable_by_key(|&at| (trains[at as usize].route.socket, at));
        }
        let mut sending = Sending {
            arena: &self.arena,
            slots: &mut self.slots,
            single_slots: &mut self.single_slots,
            singles: &mut self.singles,
            train_max: &mut self.train_max,
            stats: &mut self.stats,
        };
        let call = |at: u32| (trains[at as usize].route.socket, trains[at as usize].route.dont_fragment);
        for run in self.order.chunk_by(|&a, &b| call(a) == call(b)) {
            let (socket, dont_fragment) = call(run[0]);
            let relay = socket.checked_sub(FIRST_RELAY);
            let fd = match relay {
                None => self.listeners.get(socket as usize).map(|listener| listener.socket.as_fd()),
                Some(relay) => self.relays.sending_fd(relay, dont_fragment),
            };
            match fd {
                Some(fd) => sending.send(fd, relay.is_some(), run),
                None => sending.drop_all(run, DropReason::NoSocket),
            }
        }
        self.arena.clear();
    }
}

/// One flush's work on one socket.
struct Sending<'a> {
    arena: &'a SendArena,
    slots: &'a mut SendSlots,
    single_slots: &'a mut SendSlots,
    singles: &'a mut HashSet<IpAddr, RandomState>,
    train_max: &'a mut u16,
    stats: &'a mut Stats,
}

impl Sending<'_> {
    /// `errors_wait`: errors of datagrams that left earlier are reported on this socket.
    fn send(&mut self, fd: BorrowedFd<'_>, errors_wait: bool, mut run: &[u32]) {
        while !run.is_empty() {
            let count = self.fill(run);
            let (now, later) = run.split_at(count);
            if !self.send_filled(fd, errors_wait, now) {
                self.drop_all(later, DropReason::SendBufferFull);
                return;
            }
            run = later;
        }
    }

    /// Prepares as many of the trains as fit into one call, at least one.
    fn fill(&mut self, run: &[u32]) -> usize {
        self.slots.clear();
        for &at in run {
            let train = &self.arena.trains()[at as usize];
            if !self.slots.has_room(usize::from(train.parts)) {
                break;
            }
            let segment = (train.count > 1).then_some(train.segment);
            self.slots.push(&train.route.to, train.route.from, segment, self.arena.parts(train));
        }
        self.slots.len()
    }

    /// `false` when the socket's buffer is full: then nothing more is worth trying in this turn.
    fn send_filled(&mut self, fd: BorrowedFd<'_>, errors_wait: bool, trains: &[u32]) -> bool {
        let mut sent = 0;
        // Telling of an earlier datagram's error takes it off the socket: what was to leave now leaves with a second try.
        let mut again = errors_wait;
        while sent < trains.len() {
            match self.slots.send(fd, self.arena.bytes(), sent) {
                Ok(count) => {
                    self.stats.send_calls += 1;
                    for &at in &trains[sent..(sent + count).min(trains.len())] {
                        self.count_sent(at);
                    }
                    sent += count;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.drop_all(&trains[sent..], DropReason::SendBufferFull);
                    return false;
                }
                Err(_) if again => again = false,
                Err(error) => {
                    self.send_refused(fd, trains[sent], &error);
                    sent += 1;
                    again = errors_wait;
                }
            }
        }
        true
    }

    fn count_sent(&mut self, at: u32) {
        let train = &self.arena.trains()[at as usize];
        self.stats.packets_out += u64::from(train.count);
        self.stats.bytes_out += u64::from(train.bytes);
        self.stats.train_length.observe(f64::from(train.count), 1);
    }

    /// A train is refused where the device cannot checksum it (EIO) or where its datagrams exceed the path's MTU (EINVAL):
    /// its datagrams then leave one by one, and so do all later ones to that destination.
    fn send_refused(&mut self, fd: BorrowedFd<'_>, at: u32, error: &io::Error) {
        let train = self.arena.trains()[at as usize];
        let refused_as_train = matches!(error.raw_os_error(), Some(libc::EIO | libc::EINVAL | libc::EMSGSIZE | libc::EOPNOTSUPP));
        if train.count > 1 && refused_as_train {
            self.stats.trains_refused += 1;
            self.remember_single(&train);
            self.send_singly(fd, &train);
            return;
        }
        self.stats.drop(refusal(error), u64::from(train.count));
    }

    fn remember_single(&mut self, train: &Train) {
        if self.singles.len() < SINGLES_MAX {
            self.singles.insert(train.route.to.ip());
        } else {
            *self.train_max = 1;
        }
    }

    fn send_singly(&mut self, fd: BorrowedFd<'_>, train: &Train) {
        self.single_slots.clear();
        for datagram in self.arena.datagrams(train) {
            let bytes = datagram.len() as u64;
            self.single_slots.push(&train.route.to, train.route.from, None, std::iter::once(datagram));
            self.stats.bytes_out += bytes;
        }
        let count = self.single_slots.len();
        let mut sent = 0;
        while sent < count {
            match self.single_slots.send(fd, self.arena.bytes(), sent) {
                Ok(more) => {
                    self.stats.send_calls += 1;
                    self.stats.packets_out += more as u64;
                    self.stats.train_length.observe(1.0, more as u64);
                    sent += more;
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    self.stats.drop(DropReason::SendBufferFull, (count - sent) as u64);
                    return;
                }
                Err(error) => {
                    self.stats.drop(refusal(&error), 1);
                    sent += 1;
                }
            }
        }
    }

    fn drop_all(&mut self, trains: &[u32], reason: DropReason) {
        for &at in trains {
            self.stats.drop(reason, u64::from(self.arena.trains()[at as usize].count));
        }
    }
}

fn refusal(error: &io::Error) -> DropReason {
    match error.raw_os_error() {
        Some(libc::ENOBUFS | libc::ENOMEM) => DropReason::SendBufferFull,
        Some(libc::EMSGSIZE) => DropReason::TooLong,
        _ => DropReason::SendRefused,
    }
}

#[cfg(test)]
mod tests;

//! The way into a shard: what the sockets hold is read into fixed slots, and cut where the kernel joined datagrams.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;
use std::os::fd::{AsFd, BorrowedFd};

use pointsman_wire::demux::{self, Class};
use pointsman_wire::net::{Datagram, FiveTuple};

use super::bind::Listener;
use super::stats::{DropReason, Stats};
use super::sys::{Filled, ReceiveSlots, Received};

/// What nearly all datagrams fit into: clients stay under 1,500 bytes. Longer ones run over (see [`ReceiveSlots`]).
const SLOT_LEN: usize = 2048;
/// What the kernel joins has a datagram's greatest length. A little more, or the slots would compete for the same cache lines.
const GRO_SLOT_LEN: usize = 65_536 + 1_216;
/// Datagrams of one `recvmmsg`.
const CALL_MAX: usize = 32;

/// Datagrams that the kernel joins at most.
const JOINED_MAX: usize = 64;

/// The datagrams of one turn.
pub struct Inbox {
    slots: ReceiveSlots,
    entries: Vec<Entry>,
    /// Slots that are filled.
    filled: usize,
    /// Large areas hold datagrams of this turn: the next call would take them over.
    large: bool,
    joined: bool,
}

/// A received datagram.
#[derive(Clone, Copy, Debug)]
pub struct Entry {
    pub path: FiveTuple,
    pub class: Class,
    start: u32,
    len: u32,
}

/// What a socket still holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Drained {
    /// Nothing: the next datagram announces itself.
    Empty,
    /// Perhaps more: the turn's space was used up first.
    Perhaps,
}

impl Inbox {
    pub fn new(slots: usize, gro: bool) -> Self {
        Self {
            slots: if gro { ReceiveSlots::new(slots, GRO_SLOT_LEN, 0) } else { ReceiveSlots::new(slots, SLOT_LEN, CALL_MAX) },
            entries: Vec::with_capacity(if gro { slots * JOINED_MAX } else { slots }),
            filled: 0,
            large: false,
            joined: gro,
        }
    }

    pub fn clear(&mut self) {
        self.entries.clear();
        self.filled = 0;
        self.large = false;
    }

    pub fn entries(&self) -> &[Entry] {
        &self.entries
    }

    /// The datagram is dealt with: nothing more is to be made of it.
    pub fn take_out(&mut self, at: usize) {
        if let Some(entry) = self.entries.get_mut(at) {
            entry.class = Class::Unknown;
        }
    }

    pub fn datagram(&self, entry: &Entry) -> Datagram<'_> {
        let start = entry.start as usize;
        Datagram { path: entry.path, bytes: self.slots.bytes(start..start + entry.len as usize) }
    }

    /// Takes in what a listening socket holds, as far as there is space.
    pub fn receive(&mut self, listener: &Listener, overflow: &mut u32, stats: &mut Stats) -> Drained {
        loop {
            let first = self.filled;
            let wanted = CALL_MAX.min(self.slots.slots() - first);
            if wanted == 0 || self.large {
                return Drained::Perhaps;
            }
            let Filled { count, large } = match self.slots.receive(listener.socket.as_fd(), first..first + wanted) {
                Ok(filled) => filled,
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Drained::Empty,
                // An error that waited on the socket is reported in place of datagrams, which are still there.
                Err(_) => return Drained::Perhaps,
            };
            stats.receive_calls += 1;
            self.filled += count;
            self.large = large;
            for slot in first..first + count {
                self.take(slot, listener, overflow, stats);
            }
            if count < wanted {
                return Drained::Empty;
            }
        }
    }

    fn take(&mut self, slot: usize, listener: &Listener, overflow: &mut u32, stats: &mut Stats) {
        let Some(received) = self.slots.received(slot) else {
            stats.drop(DropReason::BadAddress, 1);
            return;
        };
        if let Some(total) = received.overflow {
            stats.kernel_drops += u64::from(total.wrapping_sub(*overflow));
            *overflow = total;
        }
        stats.bytes_in += received.range.len() as u64;
        if received.remote.port() == 0 {
            stats.packets_in += 1;
            stats.drop(DropReason::BadAddress, 1);
            return;
        }
        let path = FiveTuple::udp(local_of(listener, received.local), received.remote);
        self.cut(&received, path, stats);
    }

    fn cut(&mut self, received: &Received, path: FiveTuple, stats: &mut Stats) {
        let len = received.range.len();
        let segment = received.segment.filter(|_| self.joined).unwrap_or(len).max(1);
        let mut start = received.range.start;
        loop {
            let end = (start + segment).min(received.range.end);
            stats.packets_in += 1;
            if received.truncated && end == received.range.end {
                stats.drop(DropReason::Oversized, 1);
                return;
            }
            let class = demux::classify(self.slots.bytes(start..end));
            self.entries.push(Entry { path, class, start: start as u32, len: (end - start) as u32 });
            start = end;
            if start >= received.range.end {
                return;
            }
        }
    }
}

fn local_of(listener: &Listener, hit: Option<IpAddr>) -> SocketAddr {
    match hit {
        Some(ip) if listener.wildcard => SocketAddr::new(ip, listener.local.port()),
        _ => listener.local,
    }
}

/// What peers sent to one relayed address; read and dealt with socket by socket.
pub struct PeerInbox {
    slots: ReceiveSlots,
}

impl PeerInbox {
    pub fn new() -> Self {
        Self { slots: ReceiveSlots::new(CALL_MAX, SLOT_LEN, CALL_MAX) }
    }

    /// Receives at most `max` datagrams. Says how many, and whether the socket may hold more.
    pub fn receive(&mut self, fd: BorrowedFd<'_>, max: usize) -> (usize, bool) {
        let wanted = max.min(CALL_MAX);
        match self.slots.receive(fd, 0..wanted) {
            Ok(filled) => (filled.count, filled.count == wanted),
            Err(error) => (0, error.kind() != io::ErrorKind::WouldBlock),
        }
    }

    /// Who sent it, where it lies, and whether it was cut short.
    pub fn read(&self, slot: usize) -> Option<(SocketAddr, Range<usize>, bool)> {
        let received = self.slots.received(slot)?;
        Some((received.remote, received.range, received.truncated))
    }

    pub fn bytes(&self, range: Range<usize>) -> &[u8] {
        self.slots.bytes(range)
    }
}

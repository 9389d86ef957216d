//! The sockets behind relayed transport addresses.

use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};

use slab::Slab;

/// A shard's relay sockets, by number.
pub struct RelaySockets {
    sockets: Slab<RelaySocket>,
    sockets_max: usize,
}

/// One relayed transport address's socket.
#[derive(Debug)]
pub struct RelaySocket {
    pub socket: UdpSocket,
    pub local: SocketAddr,
}

impl RelaySockets {
    pub fn new(sockets_max: usize) -> Self {
        Self { sockets: Slab::new(), sockets_max }
    }

    pub fn fd(&self, relay: u32) -> Option<BorrowedFd<'_>> {
        self.sockets.get(relay as usize).map(|relay| relay.socket.as_fd())
    }

    pub fn len(&self) -> usize {
        self.sockets.len()
    }

    pub fn is_full(&self) -> bool {
        self.sockets.len() >= self.sockets_max
    }
}

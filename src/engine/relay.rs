//! The sockets behind relayed transport addresses: one for each, with a port of its own.
//!
//! They are drained in turn, each a batch at a time, so that one allocation under fire does not starve the others.

use std::collections::VecDeque;
use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token};
use pointsman_turn::RelayPort;

use super::sys;

/// A shard's relay sockets, by the dense index of their [`RelayPort`].
pub struct RelaySockets {
    sockets: Vec<Option<RelaySocket>>,
    sockets_max: usize,
    open: usize,
    token_first: usize,
    /// Those that may hold datagrams, first come first served. Each at most once.
    readable: VecDeque<u32>,
    /// Those that have errors to tell, likewise.
    erroneous: VecDeque<u32>,
}

/// One relayed transport address's socket.
#[derive(Debug)]
struct RelaySocket {
    relay: RelayPort,
    socket: UdpSocket,
    local: SocketAddr,
    queued: bool,
    erroneous: bool,
    /// What was last asked of the kernel for datagrams that leave here.
    dont_fragment: bool,
}

impl RelaySockets {
    /// Sockets are waited for under the tokens from `token_first` on.
    pub fn new(sockets_max: usize, token_first: usize) -> Self {
        let queue = || VecDeque::with_capacity(sockets_max.min(1024));
        Self { sockets: Vec::new(), sockets_max, open: 0, token_first, readable: queue(), erroneous: queue() }
    }

    pub fn len(&self) -> usize {
        self.open
    }

    pub fn is_full(&self) -> bool {
        self.open >= self.sockets_max
    }

    /// Takes over a socket that is waited for nowhere else.
    pub fn insert(&mut self, registry: &Registry, relay: RelayPort, socket: UdpSocket, local: SocketAddr) -> io::Result<()> {
        let at = relay.index as usize;
        if self.is_full() || at >= self.sockets_max || self.sockets.get(at).is_some_and(Option::is_some) {
            return Err(io::ErrorKind::QuotaExceeded.into());
        }
        registry.register(&mut SourceFd(&socket.as_raw_fd()), Token(self.token_first + at), Interest::READABLE)?;
        if self.sockets.len() <= at {
            self.sockets.resize_with(at + 1, || None);
        }
        // What it had asked of the kernel on another shard is not known here.
        let dont_fragment = sys::set_dont_fragment(socket.as_fd(), local.is_ipv4(), false).is_err();
        self.sockets[at] = Some(RelaySocket { relay, socket, local, queued: false, erroneous: false, dont_fragment });
        self.open += 1;
        // What arrived before announces itself no more.
        self.set_readable(relay.index);
        Ok(())
    }

    /// Gives a socket back, no longer waited for; dropping it closes it.
    pub fn remove(&mut self, registry: &Registry, relay: RelayPort) -> Option<(UdpSocket, SocketAddr)> {
        let place = self.sockets.get_mut(relay.index as usize)?;
        let removed = place.take_if(|socket| socket.relay == relay)?;
        self.open -= 1;
        if removed.queued {
            self.readable.retain(|&queued| queued != relay.index);
        }
        if removed.erroneous {
            self.erroneous.retain(|&queued| queued != relay.index);
        }
        if let Err(error) = registry.deregister(&mut SourceFd(&removed.socket.as_raw_fd())) {
            tracing::debug!(%error, "a relay socket was not registered");
        }
        Some((removed.socket, removed.local))
    }

    pub fn has(&self, relay: RelayPort) -> bool {
        self.at(relay.index).is_some_and(|socket| socket.relay == relay)
    }

    pub fn fd(&self, index: u32) -> Option<BorrowedFd<'_>> {
        self.at(index).map(|relay| relay.socket.as_fd())
    }

    /// The socket, set to send datagrams that routers may cut or must not.
    pub fn sending_fd(&mut self, index: u32, dont_fragment: bool) -> Option<BorrowedFd<'_>> {
        let relay = self.sockets.get_mut(index as usize)?.as_mut()?;
        if relay.dont_fragment != dont_fragment {
            // Where the system does not know the option, datagrams leave as it likes.
            let _ = sys::set_dont_fragment(relay.socket.as_fd(), relay.local.is_ipv4(), dont_fragment);
            relay.dont_fragment = dont_fragment;
        }
        Some(relay.socket.as_fd())
    }

    /// The number of the relay whose socket has this token.
    pub fn index_of(&self, token: Token) -> Option<u32> {
        let index = u32::try_from(token.0.checked_sub(self.token_first)?).ok()?;
        self.at(index).map(|_| index)
    }

    pub fn set_readable(&mut self, index: u32) {
        if let Some(Some(relay)) = self.sockets.get_mut(index as usize)
            && !relay.queued
        {
            relay.queued = true;
            self.readable.push_back(index);
        }
    }

    /// The next socket that may hold datagrams. [`Self::set_readable`] puts it back when it was not emptied.
    pub fn next_readable(&mut self) -> Option<(RelayPort, SocketAddr)> {
        loop {
            let index = self.readable.pop_front()?;
            if let Some(Some(relay)) = self.sockets.get_mut(index as usize) {
                relay.queued = false;
                return Some((relay.relay, relay.local));
            }
        }
    }

    /// The kernel has errors to tell of datagrams that left through it.
    pub fn set_erroneous(&mut self, index: u32) {
        if let Some(Some(relay)) = self.sockets.get_mut(index as usize)
            && !relay.erroneous
        {
            relay.erroneous = true;
            self.erroneous.push_back(index);
        }
    }

    /// The next socket that has errors to tell. [`Self::set_erroneous`] puts it back.
    pub fn next_erroneous(&mut self) -> Option<RelayPort> {
        loop {
            let index = self.erroneous.pop_front()?;
            if let Some(Some(relay)) = self.sockets.get_mut(index as usize) {
                relay.erroneous = false;
                return Some(relay.relay);
            }
        }
    }

    pub fn has_erroneous(&self) -> bool {
        !self.erroneous.is_empty()
    }

    pub fn has_readable(&self) -> bool {
        !self.readable.is_empty()
    }

    fn at(&self, index: u32) -> Option<&RelaySocket> {
        self.sockets.get(index as usize)?.as_ref()
    }
}

//! Who talks to whom: the addresses that state machines and the engine exchange.

use std::net::SocketAddr;

/// Transport protocol between a client and us.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    Udp,
    Tcp,
    Tls,
    Dtls,
    /// Through our own TURN server: `remote` is a relayed address of ours that this shard serves, `local` the media address of ours
    /// that its client chose as peer. No socket lies between.
    Relay(ShardId),
}

/// One flow between a remote end and a listener of ours (RFC 8656 section 2 calls it the 5-tuple).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct FiveTuple {
    pub protocol: Protocol,
    /// Our address: the one that the remote end hit, never a wildcard. Replies leave from it.
    pub local: SocketAddr,
    pub remote: SocketAddr,
}

impl FiveTuple {
    pub const fn udp(local: SocketAddr, remote: SocketAddr) -> Self {
        Self { protocol: Protocol::Udp, local, remote }
    }
}

/// One received datagram, still in the engine's receive arena.
#[derive(Clone, Copy, Debug)]
pub struct Datagram<'a> {
    pub path: FiveTuple,
    pub bytes: &'a [u8],
}

/// Number of a shard, from zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ShardId(pub u16);

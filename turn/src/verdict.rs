//! What the server decides: verdicts on datagrams, and outputs for what is rare or had to wait.

use std::net::SocketAddr;
use std::ops::Range;

use pointsman_wire::net::{FiveTuple, ShardId};

use crate::stats::DropReason;

/// One relayed transport address's socket, by the number that the server gave it.
///
/// `index` is dense, so that sockets can be kept in a `Vec`; an index is used again only after its [`Output::CloseRelay`], with
/// another `generation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelayPort {
    pub index: u32,
    pub generation: u32,
}

/// Names a reserved port (RFC 8656 section 18.10). Random but for the first byte, which is the shard that holds the socket.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReservationToken(pub [u8; 8]);

impl ReservationToken {
    /// The shard that holds the socket.
    pub fn shard(self) -> ShardId {
        ShardId(u16::from(self.0[0]))
    }
}

// Whoever knows a token may take the port: it is not shown.
impl std::fmt::Debug for ReservationToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "ReservationToken(shard {})", self.0[0])
    }
}

/// What to do with the datagram that was just handled. Ranges and `payload` speak of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send the bytes of `payload` from this relay's socket to the peer.
    ToPeer { relay: RelayPort, peer: SocketAddr, payload: Range<usize> },
    /// Send the header, then the whole datagram, to the client: ChannelData. Without padding: UDP needs none.
    ToClient { client: FiveTuple, header: [u8; 4] },
    /// Send [`Server::scratch`](crate::Server::scratch), the whole datagram, then `padding` (0..=3) zero bytes to the client: a Data indication.
    Indication { client: FiveTuple, padding: usize },
    /// Send [`Server::scratch`](crate::Server::scratch) to the client.
    Reply { client: FiveTuple },
    /// Nothing to send now. There may be outputs.
    Handled,
    /// Nothing to do. Already counted in [`Stats::drops`](crate::Stats::drops).
    Drop(DropReason),
}

/// What the engine must do besides. Order matters: a relay's close comes before its index is opened again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Output {
    /// Send these bytes to the client.
    Reply { client: FiveTuple, bytes: Box<[u8]> },
    /// Get a socket and tell [`Server::handle_relay_opened`](crate::Server::handle_relay_opened), now or later.
    OpenRelay { relay: RelayPort, from: RelaySource },
    /// Close this relay's socket; if it is still being opened, forget it.
    CloseRelay { relay: RelayPort },
    /// Find out this user's key and tell [`Server::handle_key`](crate::Server::handle_key). Only with [`Config::lookups`](crate::Config::lookups).
    LookupKey { lookup: LookupId, realm: Box<str>, username: Box<[u8]> },
}

/// Where a relay's socket comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelaySource {
    /// Bind a UDP socket to this address, exclusively: a port in use must fail with [`OpenError::InUse`].
    Fresh { address: SocketAddr },
    /// Ask that shard for the socket: its engine calls [`Server::release_reservation`](crate::Server::release_reservation) and hands the socket over.
    /// (A token of this very shard never comes out here.)
    Reserved { token: ReservationToken, shard: ShardId },
}

/// Names a lookup of one server. A later one never has the same number.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LookupId(pub u64);

/// What came of a lookup.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum KeyAnswer {
    /// MD5(username ":" realm ":" password) (RFC 8489 section 9.2.2).
    Key([u8; 16]),
    /// There is no such user.
    Unknown,
    /// The database does not answer: users whose key is remembered keep going, others are refused.
    Unavailable,
}

// Keys are never shown.
impl std::fmt::Debug for KeyAnswer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Key(_) => "Key",
            Self::Unknown => "Unknown",
            Self::Unavailable => "Unavailable",
        })
    }
}

/// Why there is no socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OpenError {
    /// Another socket has the address: the server draws another port, so many times.
    InUse,
    /// No such reservation, or no longer.
    NoReservation,
    /// Out of descriptors, no such local address, not permitted: trying again will not help.
    Failed,
}

//! What the server decides: verdicts on datagrams, and outputs for what is rare or had to wait.

use std::net::SocketAddr;
use std::ops::Range;
use std::time::Instant;

use pointsman_wire::net::{FiveTuple, ShardId};

use crate::mobility::ShardMessage;
use crate::stats::DropReason;
use crate::view::Note;

/// One relayed transport address's socket, by the number that the server gave it.
///
/// `index` is dense, so that sockets can be kept in a `Vec`; an index is used again only after its [`Output::CloseRelay`], with
/// another `generation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RelayPort {
    pub index: u32,
    pub generation: u32,
}

/// Names a reserved port (RFC 8656 section 18.10), on whichever shard it is shown. Random.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ReservationToken(pub [u8; 8]);

// Whoever knows a token may take the port: it is not shown.
impl std::fmt::Debug for ReservationToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReservationToken")
    }
}

/// What to do with the datagram that was just handled. Ranges and `payload` speak of its bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// Send the bytes of `payload` from this relay's socket to the peer; with `dont_fragment` as one packet with DF set, or not
    /// at all (RFC 8656 section 14).
    ToPeer { relay: RelayPort, peer: SocketAddr, payload: Range<usize>, dont_fragment: bool },
    /// Hand the bytes of `payload` to our own media as if they had come from `relayed` to `media`: our address as the client
    /// names it, or the private one behind that.
    ToMedia { relayed: SocketAddr, media: SocketAddr, payload: Range<usize> },
    /// Send the header, then the whole datagram, to the client: ChannelData. Without padding: UDP needs none, and on a stream
    /// (RFC 8656 section 12.5) the engine pads to four bytes.
    ToClient { client: FiveTuple, header: [u8; 4] },
    /// Send [`Server::scratch`](crate::Server::scratch), the whole datagram, then `padding` (0..=3) zero bytes to the client: a Data indication.
    Indication { client: FiveTuple, padding: usize },
    /// Send [`Server::scratch`](crate::Server::scratch) to the client.
    Reply { client: FiveTuple },
    /// Send [`Server::scratch`](crate::Server::scratch) from another listening address of ours, perhaps to another port than that
    /// which asked (RFC 5780). `client` is who asked, over UDP.
    ReplyFrom { client: FiveTuple, from: SocketAddr, to: SocketAddr },
    /// The message is beyond what its allocation may send now. Only for clients on streams: hand it over again at `until`, and read
    /// nothing of this client before.
    Wait { until: Instant },
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
    /// Get a socket and tell [`Server::handle_relay_opened`](crate::Server::handle_relay_opened), now or later. For
    /// [`RelayTransport::Tcp`] it listens.
    OpenRelay { relay: RelayPort, from: RelaySource, transport: RelayTransport },
    /// Close this relay's socket; if it is still being opened, forget it. Connections of a TCP relay have their own
    /// [`Self::CloseConnection`].
    CloseRelay { relay: RelayPort },
    /// Find out this user's key and tell [`Server::handle_key`](crate::Server::handle_key). Only with [`Config::lookups`](crate::Config::lookups).
    LookupKey { lookup: LookupId, realm: Box<str>, username: Box<[u8]> },
    /// A socket that came with the [`ShardMessage`] just handled, where it was numbered `was`, is from now on this relay's. When
    /// that cannot be, tell [`Server::handle_relay_opened`](crate::Server::handle_relay_opened) the error; sockets that nobody
    /// adopts are closed.
    AdoptRelay { relay: RelayPort, was: RelayPort },
    /// RFC 6062 section 5.2: connect to the peer from the relay's own address (SO_REUSEADDR, SO_REUSEPORT), giving up after 30 s, and
    /// tell [`Server::handle_peer_connected`](crate::Server::handle_peer_connected). Nothing is read from the peer before
    /// [`Self::Join`].
    ConnectPeer { connection: ConnectionId, relay: RelayPort, peer: SocketAddr },
    /// RFC 6062 section 5.4: when the reply to this client is written (it is the verdict on the very message that made this output,
    /// or comes before it as [`Self::Reply`]), its connection and the peer's are one pipe, and no bytes of it come here any more.
    Join { client: FiveTuple, connection: ConnectionId },
    /// Close the connection with the peer, and the client's connection that is joined to it, if one is.
    CloseConnection { connection: ConnectionId },
    /// Close this client's TCP or TLS connection, or its DTLS association.
    CloseClient { client: FiveTuple },
    /// The message just handled is for another shard: hand the client's connection over, that message unread.
    MoveClient { client: FiveTuple, shard: ShardId },
    /// Give this to the server of another shard
    /// ([`Server::handle_shard_message`](crate::Server::handle_shard_message)), together with the sockets of its
    /// [`ShardMessage::relays`], which are taken out of this shard's table; no [`Self::CloseRelay`] follows for them.
    ToShard { shard: ShardId, message: ShardMessage },
    /// An allocation came here from shard `from`: what our media at `media` has for the client behind `relayed` comes here now
    /// ([`Server::handle_media_datagram`](crate::Server::handle_media_datagram)).
    MediaFollows { relayed: SocketAddr, media: SocketAddr, from: ShardId },
    /// Something that operators may want to know; only if the configuration asks for notes.
    Note(Note),
}

/// What runs between relay and peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RelayTransport {
    Udp,
    /// RFC 6062.
    Tcp,
}

/// Names a connection between a relay and a peer (RFC 6062 section 6.2.1). Unpredictable; servers with one seed can tell from it which
/// shard holds the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnectionId(pub u32);

/// Which way bytes go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    ToPeer,
    ToClient,
}

/// Why there is no connection with a peer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConnectError {
    Refused,
    Unreachable,
    TimedOut,
    /// Out of descriptors or the like.
    Failed,
}

/// An ICMP error about a datagram that a relay sent (RFC 8656 section 11.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Icmp {
    /// ICMP for IPv4 (RFC 792), not ICMPv6 (RFC 4443).
    pub version_4: bool,
    pub kind: u8,
    pub code: u8,
    /// For "fragmentation needed" and "packet too big" the MTU, else 0.
    pub data: u32,
}

impl Icmp {
    /// What a router says of a packet that it must not cut: "fragmentation needed" (RFC 792) or "packet too big" (RFC 4443 section 3.2).
    pub const fn too_big(version_4: bool, mtu: u32) -> Self {
        let (kind, code) = if version_4 { (3, 4) } else { (2, 0) };
        Self { version_4, kind, code, data: mtu }
    }
}

/// Where a relay's socket comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RelaySource {
    /// Bind a socket to this address, exclusively: a port in use must fail with [`OpenError::InUse`].
    Fresh { address: SocketAddr },
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
    /// Out of descriptors, no such local address, not permitted: trying again will not help.
    Failed,
}

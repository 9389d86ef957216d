//! Allocations move between shards (RFC 8016): what shards tell each other.
//!
//! ```text
//! the client's new shard                                 the shard that gave the ticket
//! Refresh with a ticket ──► ShardMessage::Refresh ──────► looks at ticket and credentials
//!      Output::Reply   ◄─── ShardMessage::Answer ◄─────── refused
//!   the allocation,    ◄─── ShardMessage::Moved ◄──────── found: forgets the allocation, its engine takes the sockets out
//!   AdoptRelay, Reply
//! ```
//! All are plain values. Clients on streams do not need them: their connection moves to the allocation.

use pointsman_wire::net::{FiveTuple, ShardId};
use pointsman_wire::stun::{Method, TransactionId};

use crate::allocation::{Allocation, ReplyStyle};
use crate::verdict::RelayPort;

/// One server of a shard to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardMessage {
    /// A client of shard `from` sent this Refresh with a ticket that the receiver gave.
    Refresh { from: ShardId, client: FiveTuple, request: Box<[u8]> },
    /// What the client is told.
    Answer { client: FiveTuple, bytes: Box<[u8]> },
    /// The receiver of the Refresh has no such ticket, or no longer.
    Unknown { client: FiveTuple, request: Box<[u8]> },
    /// The allocation, from now on the receiver's.
    Moved(Box<Moved>),
}

/// An allocation on its way, and the Refresh that is to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    pub(crate) allocation: Allocation,
    pub(crate) relays: [Option<MovedRelay>; 2],
    pub(crate) client: FiveTuple,
    pub(crate) method: Method,
    pub(crate) transaction: TransactionId,
    pub(crate) style: ReplyStyle,
    pub(crate) lifetime_s: u32,
}

/// A relay as its old shard knew it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MovedRelay {
    pub(crate) was: RelayPort,
}

impl ShardMessage {
    /// Relays, by the sender's numbers, whose sockets go with this message. A relay without a socket yet is not among them.
    pub fn relays(&self) -> impl Iterator<Item = RelayPort> {
        let relays = match self {
            Self::Moved(moved) => moved.relays,
            Self::Refresh { .. } | Self::Answer { .. } | Self::Unknown { .. } => [None, None],
        };
        relays.into_iter().flatten().map(|relay| relay.was)
    }
}

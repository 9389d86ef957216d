//! Tickets by which a client takes its allocation to another address (RFC 8016), and what shards tell each other when it moves.
//!
//! ```text
//! the client's new shard                                 the shard that gave the ticket
//! Refresh with a ticket ──► ShardMessage::Refresh ──────► looks at ticket and credentials
//!      Output::Reply   ◄─── ShardMessage::Answer ◄─────── refused
//!   the allocation,    ◄─── ShardMessage::Moved ◄──────── found: forgets the allocation, its engine takes the sockets out
//!   AdoptRelay, Reply
//! ```
//! All are plain values. Clients on streams do not need them: their connection moves to the allocation.

use aws_lc_rs::constant_time;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pointsman_wire::net::{FiveTuple, ShardId};
use pointsman_wire::stun::TransactionId;

use crate::allocation::{Allocation, ReplyStyle};
use crate::verdict::RelayPort;

const LEN: usize = 24;
/// On the wire a ticket is text: a widespread client keeps 32 characters of it as a C string.
pub(crate) const TEXT_LEN: usize = 32;
/// So many bytes find a ticket; the others must fit, too.
const HANDLE_LEN: usize = 8;

/// Whoever shows it with the owner's credentials moves the allocation. Random but for the first byte, which is the shard that gave it.
#[derive(Clone, Copy)]
pub(crate) struct Ticket([u8; LEN]);

/// Finds a ticket's allocation.
pub(crate) type Handle = [u8; HANDLE_LEN];

impl Ticket {
    pub(crate) fn new(shard: ShardId, random: [u8; LEN - 1]) -> Self {
        let mut bytes = [0; LEN];
        let [_, low] = shard.0.to_be_bytes();
        bytes[0] = low;
        bytes[1..].copy_from_slice(&random);
        Self(bytes)
    }

    pub(crate) fn parse(text: &[u8]) -> Option<Self> {
        let mut bytes = [0; LEN];
        let len = URL_SAFE_NO_PAD.decode_slice(text, &mut bytes).ok()?;
        (len == LEN).then_some(Self(bytes))
    }

    pub(crate) fn text(self) -> [u8; TEXT_LEN] {
        let mut text = [0; TEXT_LEN];
        // 24 bytes make 32 characters.
        _ = URL_SAFE_NO_PAD.encode_slice(self.0, &mut text);
        text
    }

    pub(crate) fn shard(self) -> ShardId {
        ShardId(u16::from(self.0[0]))
    }

    pub(crate) fn handle(self) -> Handle {
        let mut handle = [0; HANDLE_LEN];
        handle.copy_from_slice(&self.0[1..=HANDLE_LEN]);
        handle
    }
}

impl PartialEq for Ticket {
    fn eq(&self, other: &Self) -> bool {
        constant_time::verify_slices_are_equal(&self.0, &other.0).is_ok()
    }
}

impl Eq for Ticket {}

// It is a secret: not shown.
impl std::fmt::Debug for Ticket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Ticket(shard {})", self.0[0])
    }
}

/// One server of a shard to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ShardMessage {
    /// A client of shard `from` sent this Refresh with a ticket that the receiver gave.
    Refresh { from: ShardId, client: FiveTuple, request: Box<[u8]> },
    /// What the client is told.
    Answer { client: FiveTuple, bytes: Box<[u8]> },
    /// Nothing comes of the Refresh.
    NotMoved { client: FiveTuple, request: Box<[u8]>, why: NotMoved },
    /// The allocation, from now on the receiver's.
    Moved(Box<Moved>),
}

/// Why an allocation stays where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotMoved {
    /// There is no such ticket, or no longer.
    Unknown,
    /// The ticket is another user's.
    OtherOwner,
    /// The request deserves no answer; it is counted.
    Dropped,
}

/// An allocation on its way, and the Refresh that is to be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// The shard that it leaves.
    pub(crate) from: ShardId,
    pub(crate) allocation: Allocation,
    pub(crate) relays: [Option<MovedRelay>; 2],
    pub(crate) client: FiveTuple,
    pub(crate) transaction: TransactionId,
    pub(crate) style: ReplyStyle,
    pub(crate) lifetime_s: u32,
}

/// A relay as its old shard knew it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct MovedRelay {
    pub(crate) was: RelayPort,
    pub(crate) address: std::net::SocketAddr,
    /// Its socket goes with it.
    pub(crate) open: bool,
}

impl ShardMessage {
    /// Relays, by the sender's numbers, whose sockets go with this message. A relay without a socket yet is not among them.
    pub fn relays(&self) -> impl Iterator<Item = RelayPort> {
        let relays = match self {
            Self::Moved(moved) => moved.relays,
            Self::Refresh { .. } | Self::Answer { .. } | Self::NotMoved { .. } => [None, None],
        };
        relays.into_iter().flatten().filter(|relay| relay.open).map(|relay| relay.was)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_read_as_it_was_written() {
        let ticket = Ticket::new(ShardId(7), [0xA5; 23]);
        assert_eq!(Ticket::parse(&ticket.text()), Some(ticket));
        assert_eq!(ticket.shard(), ShardId(7));
        assert!(ticket.text().iter().all(u8::is_ascii_graphic));
        assert_eq!(format!("{ticket:?}"), "Ticket(shard 7)");
        let mut other = ticket.text();
        other[31] = if other[31] == b'A' { b'B' } else { b'A' };
        assert_ne!(Ticket::parse(&other), Some(ticket));
        for text in [&b""[..], b"short", &[b'A'; 31], &[b'A'; 33], &[b'!'; 32], &[b'A'; 36]] {
            assert_eq!(Ticket::parse(text), None);
        }
    }
}

//! What operators see of allocations.

use std::net::SocketAddr;
use std::str::FromStr;

use pointsman_wire::net::{FiveTuple, ShardId};

use crate::verdict::{RelayTransport, Way};

/// Names an allocation for operators; as text `shard-index-generation`. An index is used again, with another generation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct AllocationId {
    pub shard: ShardId,
    pub index: u32,
    pub generation: u32,
}

impl std::fmt::Display for AllocationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}-{}-{}", self.shard.0, self.index, self.generation)
    }
}

/// The text is not `shard-index-generation`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAnAllocationId;

impl std::fmt::Display for NotAnAllocationId {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not an allocation's id like 0-17-3")
    }
}

impl std::error::Error for NotAnAllocationId {}

impl FromStr for AllocationId {
    type Err = NotAnAllocationId;

    fn from_str(text: &str) -> Result<Self, NotAnAllocationId> {
        let mut parts = text.splitn(3, '-');
        let mut part = || parts.next().ok_or(NotAnAllocationId);
        let shard = ShardId(part()?.parse().map_err(|_| NotAnAllocationId)?);
        let index = part()?.parse().map_err(|_| NotAnAllocationId)?;
        let generation = part()?.parse().map_err(|_| NotAnAllocationId)?;
        Ok(Self { shard, index, generation })
    }
}

/// Payload relayed for one allocation. What a pipe (RFC 6062) reads at once counts as a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    pub packets_to_peers: u64,
    pub bytes_to_peers: u64,
    pub packets_to_client: u64,
    pub bytes_to_client: u64,
}

impl Traffic {
    pub(crate) fn count(&mut self, way: Way, bytes: usize) {
        let (packets, sum) = match way {
            Way::ToPeer => (&mut self.packets_to_peers, &mut self.bytes_to_peers),
            Way::ToClient => (&mut self.packets_to_client, &mut self.bytes_to_client),
        };
        *packets += 1;
        *sum += bytes as u64;
    }
}

/// An allocation at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AllocationView {
    pub id: AllocationId,
    pub client: FiveTuple,
    /// Escape it before it goes into a log, a label or a page: the client chose it.
    pub username: Box<[u8]>,
    pub realm: Box<str>,
    pub transport: RelayTransport,
    /// As the client was told.
    pub relayed: [Option<SocketAddr>; 2],
    pub lifetime_left_s: u32,
    /// Addresses with a live permission.
    pub permissions: usize,
    pub channels: usize,
    /// RFC 6062: connections with peers.
    pub connections: usize,
    /// Its client's connection is gone; it waits for a Refresh with its ticket (RFC 8016).
    pub parked: bool,
    pub traffic: Traffic,
}

/// An allocation came, was prolonged, or went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    pub id: AllocationId,
    pub kind: NoteKind,
    pub client: FiveTuple,
    /// Escape it before it goes into a log, a label or a page: the client chose it.
    pub username: Box<[u8]>,
    pub realm: Box<str>,
    pub relayed: [Option<SocketAddr>; 2],
    pub lifetime_s: u32,
    /// So far; with [`NoteKind::Deleted`] the final totals.
    pub traffic: Traffic,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoteKind {
    Made,
    Refreshed,
    /// Moved to another 5-tuple (RFC 8016).
    Moved,
    Deleted(Ending),
}

/// Why an allocation is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// Its client gave it up.
    Released,
    Expired,
    /// Its client's connection ended.
    Closed,
    /// An operator ended it.
    Killed,
    /// It lives on another shard from now on.
    MovedAway,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_as_it_is_shown() {
        let id = AllocationId { shard: ShardId(3), index: 17, generation: 4_000_000_000 };
        assert_eq!(id.to_string(), "3-17-4000000000");
        assert_eq!(id.to_string().parse(), Ok(id));
        for text in ["", "1-2", "1-2-x", "1-2-3-4", "-1-2-3", "70000-1-1"] {
            assert_eq!(text.parse::<AllocationId>(), Err(NotAnAllocationId), "{text}");
        }
    }
}

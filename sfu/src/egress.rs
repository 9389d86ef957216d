//! How packets leave: the engine lends space, the state machine fills it.

use std::time::Duration;

use pointsman_wire::net::{FiveTuple, ShardId};

use crate::{Facts, Layout, Levels, PacketRef, ParticipantId, PublicationId, RoomId};

/// Lent by the engine for one turn of the loop.
///
/// Write the packets of one destination one after another, and neighbours of equal size: they leave as one train.
pub trait Egress {
    /// Space for one datagram to `to`: at least [`crate::PACKET_LEN_MAX`] + 64 bytes. `None` when this turn's arena is full:
    /// the packet is dropped by name. A slot that is not committed is handed out again.
    fn slot(&mut self, to: &FiveTuple) -> Option<&mut [u8]>;
    /// Sends the first `len` bytes of the last slot at the end of the turn.
    fn commit(&mut self, len: usize);
    /// Bytes for `to` that the network has not been given yet, where the way begins with a TCP connection that takes no more than it can send.
    fn backlog(&mut self, _to: &FiveTuple) -> usize {
        0
    }
    /// Hands a message to another shard. `false` when its ring is full: the caller drops by name.
    fn to_shard(&mut self, shard: ShardId, message: MeshMessage) -> bool;
}

/// Shard to shard. The same messages will one day cross the network to another node.
#[derive(Clone, Debug)]
pub enum MeshMessage {
    /// A datagram that arrived on a shard which is not its participant's, with the path on which it came.
    Stray { path: FiveTuple, datagram: PacketRef },
    /// A path through our own relay leads through another shard's: its client has moved (RFC 8016).
    PathMoved { from: FiveTuple, to: FiveTuple },
    /// What comes on this path is the participant's, who lives on `shard`.
    PathOf { path: FiveTuple, participant: ParticipantId, shard: ShardId },
    /// The participant lives on `shard` now.
    Claimed { participant: ParticipantId, shard: ShardId },
    /// `shard` has subscribers of the publication: send it the packets (`wanted`), or no longer.
    Attach { publication: PublicationId, shard: ShardId, wanted: bool },
    /// A packet of a publication, by reference.
    Packet(MeshPacket),
    /// A packet of a publication that came `age` ago: kept, so that subscribers there can begin with it, and not forwarded at once.
    Cached { packet: MeshPacket, age: Duration },
    /// The highest spatial layer that subscribers on `shard` want; `None`: nobody there wants any.
    LayersWanted { publication: PublicationId, shard: ShardId, spatial_max: Option<u8> },
    /// A subscriber of the sending shard needs a keyframe of this layer.
    KeyframeWanted { publication: PublicationId, layer: u8 },
    /// The publisher's sender report for a layer.
    Reference { publication: PublicationId, layer: u8, reference: ReferenceTime },
    /// What the publisher's shard knows of a publication's layers, whether they are sent or not: when another shard attaches, and when the SDP
    /// changes.
    Layout { publication: PublicationId, layout: Layout },
    /// The loudest of a room's voices that live on `shard`.
    Levels { room: RoomId, shard: ShardId, levels: Levels },
}

/// A forwarded packet on its way to another shard, with what its publisher's shard has already read of it.
#[derive(Clone, Debug)]
pub struct MeshPacket {
    pub publication: PublicationId,
    /// Simulcast layer, 0 = lowest.
    pub layer: u8,
    pub facts: Facts,
    pub packet: PacketRef,
}

/// When a layer's timestamps were, by the clock of this host: what sender reports to subscribers are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReferenceTime {
    /// This host's time since the Unix epoch. All streams of a participant share the same distance to its own clock, so that
    /// they stay in step with each other.
    pub unix: Duration,
    /// The layer's RTP timestamp at that time, as its publisher counts.
    pub timestamp: u32,
    /// What this host's time is ahead of the publisher's clock, in µs, once its reports have told.
    pub ahead_us: Option<i64>,
}

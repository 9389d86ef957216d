//! How packets leave: the engine lends space, the state machine fills it.

use pointsman_wire::net::{FiveTuple, ShardId};

use crate::{Codec, PacketRef, ParticipantId, PublicationId};

/// Lent by the engine for one turn of the loop.
///
/// Write the packets of one destination one after another, and neighbours of equal size: they leave as one train.
pub trait Egress {
    /// Space for one datagram to `to`: at least [`crate::PACKET_LEN_MAX`] + 64 bytes. `None` when this turn's arena is full:
    /// the packet is dropped by name. A slot that is not committed is handed out again.
    fn slot(&mut self, to: &FiveTuple) -> Option<&mut [u8]>;
    /// Sends the first `len` bytes of the last slot at the end of the turn.
    fn commit(&mut self, len: usize);
    /// Hands a message to another shard. `false` when its ring is full: the caller drops by name.
    fn to_shard(&mut self, shard: ShardId, message: MeshMessage) -> bool;
}

/// Shard to shard. The same messages will one day cross the network to another node.
#[derive(Clone, Debug)]
pub enum MeshMessage {
    /// A datagram that arrived on a shard which is not its participant's, with the path on which it came.
    Stray { path: FiveTuple, datagram: PacketRef },
    /// The participant lives on `shard` now.
    Claimed { participant: ParticipantId, shard: ShardId },
    /// `shard` has subscribers of the publication: send it the packets (`wanted`), or no longer.
    Attach { publication: PublicationId, shard: ShardId, wanted: bool },
    /// A packet of a publication, by reference.
    Packet(MeshPacket),
    /// A subscriber of the sending shard needs a keyframe of this layer.
    KeyframeWanted { publication: PublicationId, layer: u8 },
}

/// A forwarded packet on its way to another shard, with what its publisher's shard has already read of it.
#[derive(Clone, Debug)]
pub struct MeshPacket {
    pub publication: PublicationId,
    /// Simulcast layer, 0 = lowest.
    pub layer: u8,
    pub codec: Codec,
    /// Sequence number with roll-overs counted, as sent by the publisher.
    pub sequence: u64,
    pub packet: PacketRef,
}

//! What the engine lends the forwarding unit: space in the send arena, and the mesh.

use pointsman_sfu::{Egress, MeshMessage, PACKET_LEN_MAX};
use pointsman_wire::net::{FiveTuple, ShardId};

use super::mesh::{MeshPort, Message};
use super::stats::DropReason;
use super::transmit::Transmit;

/// What [`Egress::slot`] promises.
const SLOT_LEN: usize = PACKET_LEN_MAX + 64;

pub struct Outgoing<'a> {
    pub transmit: &'a mut Transmit,
    pub mesh: &'a mut MeshPort,
}

impl Egress for Outgoing<'_> {
    fn slot(&mut self, to: &FiveTuple) -> Option<&mut [u8]> {
        self.transmit.slot(to, SLOT_LEN)
    }

    fn commit(&mut self, len: usize) {
        self.transmit.commit(len.min(SLOT_LEN));
    }

    fn to_shard(&mut self, shard: ShardId, message: MeshMessage) -> bool {
        let taken = self.mesh.send(shard, Message::Media(message));
        let stats = &mut self.transmit.stats;
        if taken {
            stats.mesh_out += 1;
        } else {
            stats.drop(DropReason::MeshFull, 1);
        }
        taken
    }
}

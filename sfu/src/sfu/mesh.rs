//! What other shards say.

use pointsman_wire::clock::Now;

use super::{Sfu, Whence};
use crate::publication::Origin;
use crate::{DropReason, Egress, MeshMessage, MeshPacket};

impl Sfu {
    pub(super) fn handle_message(&mut self, now: Now, message: MeshMessage, out: &mut impl Egress) -> Result<(), DropReason> {
        match message {
            MeshMessage::Stray { path, datagram } => self.arrive(now, &path, datagram.bytes(), Whence::Mesh, out),
            MeshMessage::Claimed { participant, shard } => {
                // Unknown here: the command is still on its way and will see the claim itself.
                if self.directory.settle_elsewhere(participant, shard) {
                    self.moved_elsewhere(now, participant, shard, out);
                    self.gauge();
                }
                Ok(())
            }
            MeshMessage::Attach { publication, shard, wanted: true } => {
                let at = self.publications.get_or_insert(publication).ok_or(DropReason::PublicationsMax)?;
                let shards = &mut self.publications.table[at as usize].shards;
                if !shards.contains(&shard) {
                    shards.push(shard);
                }
                Ok(())
            }
            MeshMessage::Attach { publication, shard, wanted: false } => {
                let Some(at) = self.publications.find(publication) else { return Ok(()) };
                self.publications.table[at as usize].shards.retain(|other| *other != shard);
                self.publications.remove_idle(at);
                Ok(())
            }
            MeshMessage::Packet(packet) => self.take_packet(now, packet),
            MeshMessage::KeyframeWanted { publication, layer } => {
                let at = self.publications.find(publication).ok_or(DropReason::MeshUnknown)?;
                self.request_keyframe(now, at, layer, out);
                Ok(())
            }
            MeshMessage::Levels { room, shard, levels } => self.take_levels(now, room, shard, &levels),
            MeshMessage::Reference { publication, layer, reference } => {
                let at = self.publications.find(publication).ok_or(DropReason::MeshUnknown)?;
                self.publications.table[at as usize].set_reference(layer, reference);
                Ok(())
            }
        }
    }

    fn take_packet(&mut self, now: Now, packet: MeshPacket) -> Result<(), DropReason> {
        let MeshPacket { publication, layer, facts, packet } = packet;
        let at = self.publications.find(publication).ok_or(DropReason::MeshUnknown)?;
        if !matches!(self.publications.table[at as usize].origin, Origin::Shard { .. }) {
            return Err(DropReason::MeshUnknown);
        }
        self.stats.mesh_packets_in += 1;
        self.gather(now, at, layer, facts, packet)
    }
}

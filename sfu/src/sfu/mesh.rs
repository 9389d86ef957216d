//! What other shards say.

use pointsman_wire::clock::Now;
use pointsman_wire::net::{FiveTuple, Protocol, ShardId};

use super::{Sfu, Whence};
use crate::directory::{Owner, Place};
use crate::publication::{LAYERS_MAX, Origin};
use crate::{DropReason, Egress, MeshMessage, MeshPacket, PacketRef};

impl Sfu {
    pub(super) fn handle_message(&mut self, now: Now, message: MeshMessage, out: &mut impl Egress) -> Result<(), DropReason> {
        match message {
            MeshMessage::Stray { path, datagram } => self.arrive(now, &path, datagram.bytes(), Whence::Mesh, out),
            MeshMessage::PathMoved { from, to } => {
                self.follow(now, &from, to, out);
                Ok(())
            }
            MeshMessage::PathOf { path, participant, shard } => match self.directory.place(participant) {
                Some(Place::Elsewhere { .. }) => self.directory.learn(path, Owner::Elsewhere { shard, participant }),
                // Gone meanwhile, or a path that would not be a stray's.
                Some(Place::Expected { .. } | Place::Here(_)) | None => Ok(()),
            },
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
                    self.send_layout(at, Some(shard), out);
                    self.send_cached(now, at, shard, out);
                }
                self.set_wanted(now, at, shard, Some(u8::MAX), out);
                Ok(())
            }
            MeshMessage::Attach { publication, shard, wanted: false } => {
                let Some(at) = self.publications.find(publication) else { return Ok(()) };
                self.publications.table[at as usize].shards.retain(|other| *other != shard);
                self.set_wanted(now, at, shard, None, out);
                self.publications.remove_idle(at);
                Ok(())
            }
            MeshMessage::Packet(packet) => self.take_packet(now, packet),
            MeshMessage::Cached { packet: MeshPacket { publication, layer, facts, packet }, age } => {
                let at = self.publications.find(publication).ok_or(DropReason::MeshUnknown)?;
                self.publications.table[at as usize].keep(now.mono, &self.config, layer, &facts, &packet, age)
            }
            MeshMessage::LayersWanted { publication, shard, spatial_max } => {
                let at = self.publications.find(publication).ok_or(DropReason::MeshUnknown)?;
                self.set_wanted(now, at, shard, spatial_max, out);
                Ok(())
            }
            MeshMessage::KeyframeWanted { publication, layer } => {
                let at = self.publications.find(publication).ok_or(DropReason::MeshUnknown)?;
                self.request_keyframe(now, at, layer, out);
                Ok(())
            }
            MeshMessage::Layout { publication, layout } => {
                let at = self.publications.find(publication).ok_or(DropReason::MeshUnknown)?;
                self.publications.table[at as usize].layout = layout;
                self.hasten_shares_of(now, at);
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

    /// If the path is a participant's, it is so under its new name.
    pub(super) fn follow(&mut self, now: Now, from: &FiveTuple, to: FiveTuple, out: &mut impl Egress) {
        let Some(Owner::Here(index)) = self.directory.rename_path(from, to) else { return };
        let Some(participant) = self.participants.get_mut(index as usize) else { return };
        participant.transport.rename_path(from, to);
        let message = MeshMessage::PathOf { path: to, participant: participant.id, shard: self.shard };
        // Its relay's shard hears whose it is, so that nothing waits for the next check.
        if let Protocol::Relay(shard) = to.protocol
            && shard != self.shard
            && !out.to_shard(shard, message)
        {
            self.stats.drops.count(DropReason::MeshFull);
        }
        self.drain_transport(now, index);
    }

    /// A shard's first subscriber came: it gets what it needs to show a picture at once.
    fn send_cached(&mut self, now: Now, at: u32, shard: ShardId, out: &mut impl Egress) {
        let Some(publication) = self.publications.table.get(at as usize) else { return };
        for layer in 0..LAYERS_MAX as u8 {
            let Some(entry) = publication.fresh_keyframe(now.mono, layer, &self.config) else { continue };
            let (Some(newest), Some(age)) = (publication.newest(layer), publication.keyframe_age(now.mono, layer)) else { continue };
            for (facts, packet) in (entry..=newest).filter_map(|sequence| publication.cached(layer, sequence)) {
                let packet = MeshPacket { publication: publication.id, layer, facts: *facts, packet: PacketRef::clone(packet) };
                if !out.to_shard(shard, MeshMessage::Cached { packet, age }) {
                    self.stats.drops.count(DropReason::MeshFull);
                }
            }
        }
    }

    /// Tells a shard, or all that have the packets, which layers a publication of this shard has.
    pub(super) fn send_layout(&mut self, at: u32, to: Option<ShardId>, out: &mut impl Egress) {
        let Some(publication) = self.publications.table.get(at as usize) else { return };
        if !matches!(publication.origin, Origin::Here(_)) {
            return; // It is not known yet; it is told when it is.
        }
        for &shard in publication.shards.iter().filter(|&&shard| to.is_none_or(|to| to == shard)) {
            let message = MeshMessage::Layout { publication: publication.id, layout: publication.layout };
            if !out.to_shard(shard, message) {
                self.stats.drops.count(DropReason::MeshFull);
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

//! What the engine lends the forwarding unit: space in the send arena, the mesh, and the way back to clients behind our own relays.
//!
//! ```text
//! slot ─► sealed behind four free bytes ─► commit ─┬► a client of ours: out of a socket
//!                                                  ├► relayed here: ChannelData's header into the four bytes, then likewise
//!                                                  └► relayed by another shard: by reference through the mesh
//! ```

use std::net::SocketAddr;

use pointsman_sfu::{Egress, MeshMessage, PACKET_LEN_MAX, PacketPool};
use pointsman_turn::{Server, Verdict};
use pointsman_wire::clock::Now;
use pointsman_wire::net::{FiveTuple, Protocol, ShardId};

use super::backlogs::Backlogs;
use super::mesh::{MeshPort, Message};
use super::stats::DropReason;
use super::transmit::Transmit;

/// What [`Egress::slot`] promises.
const SLOT_LEN: usize = PACKET_LEN_MAX + 64;
/// Packets on their way to relays of other shards. They are held no longer than two turns.
const PACKETS_MAX: usize = 512;

pub struct Outgoing<'a> {
    pub now: Now,
    pub transmit: &'a mut Transmit,
    pub mesh: &'a mut MeshPort,
    pub relays: Relays<'a>,
    /// The path of the last slot, if it leads through our own relay.
    pub relayed: Option<FiveTuple>,
}

/// What stands between media and the clients that reach it through our own relays.
pub struct Relays<'a> {
    pub shard: ShardId,
    pub server: &'a mut Server,
    pub backlogs: &'a Backlogs,
    pub parcels: &'a mut Parcels,
}

/// Packets for relays of other shards. Few participants live on another shard than their relay, so the space is taken when the first
/// one does.
#[derive(Debug, Default)]
pub struct Parcels(Option<PacketPool>);

impl Egress for Outgoing<'_> {
    fn slot(&mut self, to: &FiveTuple) -> Option<&mut [u8]> {
        if matches!(to.protocol, Protocol::Relay(_)) {
            self.relayed = Some(*to);
            return self.transmit.framed_slot(SLOT_LEN);
        }
        self.relayed = None;
        self.transmit.slot(to, SLOT_LEN)
    }

    fn commit(&mut self, len: usize) {
        let len = len.min(SLOT_LEN);
        match self.relayed {
            None => self.transmit.commit(len),
            Some(path) if path.protocol == Protocol::Relay(self.relays.shard) => {
                frame(self.now, self.relays.server, self.transmit, &path, len);
            }
            Some(path) => self.pass_on(&path, len),
        }
    }

    fn backlog(&mut self, to: &FiveTuple) -> usize {
        match to.protocol {
            Protocol::Relay(shard) if shard == self.relays.shard => backlog(self.relays.server, self.transmit, &to.remote),
            Protocol::Relay(_) => self.relays.backlogs.of(&to.remote),
            Protocol::Udp | Protocol::Dtls | Protocol::Tcp | Protocol::Tls => 0,
        }
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

impl Outgoing<'_> {
    /// To a client whose relay another shard serves.
    fn pass_on(&mut self, path: &FiveTuple, len: usize) {
        let (Protocol::Relay(shard), Some(packet)) = (path.protocol, self.transmit.framed(len)) else { return };
        let pool = self.relays.parcels.0.get_or_insert_with(|| PacketPool::new(PACKETS_MAX));
        let copied = pool.take(|space| {
            space.space().get_mut(..len)?.copy_from_slice(packet);
            Some(len)
        });
        let (from, relayed, media) = (self.relays.shard, path.remote, path.local);
        let sent = copied.is_some_and(|datagram| self.mesh.send(shard, Message::ToRelay { from, relayed, media, datagram }));
        let stats = &mut self.transmit.stats;
        if sent {
            stats.mesh_out += 1;
        } else {
            stats.drop(DropReason::MeshFull, 1);
        }
    }
}

/// What waits for the client behind a relayed address of ours.
pub fn backlog(server: &Server, transmit: &mut Transmit, relayed: &SocketAddr) -> usize {
    server.client_behind(relayed).map_or(0, |client| transmit.streams.backlog(&client))
}

/// Media that another shard has for a client whose relay is here. Says which client that is.
pub fn deliver(now: Now, server: &mut Server, transmit: &mut Transmit, path: &FiveTuple, datagram: &[u8]) -> Option<FiveTuple> {
    transmit.framed_slot(datagram.len())?.copy_from_slice(datagram);
    frame(now, server, transmit, path, datagram.len())
}

/// The last framed slot holds `len` bytes of media for the client behind `path.remote`. Says which that is, if they go to it.
fn frame(now: Now, server: &mut Server, transmit: &mut Transmit, path: &FiveTuple, len: usize) -> Option<FiveTuple> {
    match server.handle_media_datagram(now, path.remote, path.local, len) {
        Verdict::ToClient { client, header } => {
            transmit.commit_framed(&client, &header, len, 0);
            Some(client)
        }
        Verdict::Indication { client, padding } => {
            transmit.commit_framed(&client, server.scratch(), len, padding);
            Some(client)
        }
        // Counted by the server.
        Verdict::Drop(_) | Verdict::Handled => None,
        // Nothing of these comes of media.
        Verdict::ToPeer { .. } | Verdict::ToMedia { .. } | Verdict::Reply { .. } | Verdict::ReplyFrom { .. } | Verdict::Wait { .. } => None,
    }
}

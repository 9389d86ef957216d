//! Shard to shard: one bounded ring for every ordered pair, written by one and read by the other.

use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;

use crossbeam::queue::ArrayQueue;
use pointsman_sfu::{MeshMessage, PacketRef};
use pointsman_turn::{RelayPort, ShardMessage};
use pointsman_wire::net::ShardId;

use super::streams::Connection;
use super::wake::Bell;

/// What one shard tells another.
#[derive(Debug)]
pub enum Message {
    Media(MeshMessage),
    /// A client's connection, which speaks of what the receiver has (RFC 6062 section 5.4).
    Stream(Box<Connection>),
    /// What one shard's TURN server tells another's, with the sockets that it names.
    Turn {
        message: ShardMessage,
        sockets: MovedSockets,
    },
    /// Media for a client whose relayed address the receiver serves.
    ToRelay {
        from: ShardId,
        relayed: SocketAddr,
        media: SocketAddr,
        datagram: PacketRef,
    },
    /// So many bytes wait before the connection of the client behind a relayed address.
    Backlog {
        relayed: SocketAddr,
        bytes: usize,
    },
}

/// Relay sockets on their way, by the sender's numbers: one for each address family.
pub type MovedSockets = [Option<(RelayPort, UdpSocket, SocketAddr)>; 2];

/// One shard's ends of the mesh.
pub(super) struct MeshPort {
    shard: usize,
    peers: Vec<Peer>,
    /// Where the next reading starts, so that a busy peer cannot starve the others.
    next: usize,
}

struct Peer {
    inbox: Arc<ArrayQueue<Message>>,
    outbox: Arc<ArrayQueue<Message>>,
    bell: Arc<Bell>,
    /// Something was put into `outbox` since the last [`MeshPort::ring`].
    written: bool,
}

/// Makes the ports of as many shards as there are bells. `ring_len` messages fit into each ring.
pub(super) fn mesh(bells: &[Arc<Bell>], ring_len: usize) -> Vec<MeshPort> {
    let shards = bells.len();
    // Nobody writes to himself.
    let len = |pair: usize| if pair / shards == pair % shards { 1 } else { ring_len.max(1) };
    let rings: Vec<_> = (0..shards * shards).map(|pair| Arc::new(ArrayQueue::new(len(pair)))).collect();
    let ring = |from: usize, to: usize| Arc::clone(&rings[from * shards + to]);
    (0..shards)
        .map(|shard| MeshPort {
            shard,
            peers: (0..shards)
                .map(|peer| Peer { inbox: ring(peer, shard), outbox: ring(shard, peer), bell: Arc::clone(&bells[peer]), written: false })
                .collect(),
            next: 0,
        })
        .collect()
}

impl MeshPort {
    /// Puts a message into the ring toward `shard`. `false` when it is full or when there is no such other shard.
    pub fn send(&mut self, shard: ShardId, message: Message) -> bool {
        self.try_send(shard, message).is_ok()
    }

    /// The same, for a message that must not be lost: it comes back.
    #[allow(clippy::result_large_err, reason = "a message that finds no room stays its sender's")]
    pub fn try_send(&mut self, shard: ShardId, message: Message) -> Result<(), Message> {
        let at = usize::from(shard.0);
        match self.peers.get_mut(at) {
            Some(peer) if at != self.shard => {
                peer.outbox.push(message)?;
                peer.written = true;
                Ok(())
            }
            Some(_) | None => Err(message),
        }
    }

    /// Whether there is such another shard.
    pub fn reaches(&self, shard: ShardId) -> bool {
        let at = usize::from(shard.0);
        at != self.shard && at < self.peers.len()
    }

    /// Wakes the shards that were written to and sleep, and says how many. Once per turn.
    pub fn ring(&mut self) -> u64 {
        let mut wakes = 0;
        for peer in &mut self.peers {
            if std::mem::take(&mut peer.written) && peer.bell.ring() {
                wakes += 1;
            }
        }
        wakes
    }

    /// The next message from any other shard, taking turns.
    pub fn receive(&mut self) -> Option<Message> {
        let shards = self.peers.len();
        for look in 0..shards {
            let at = (self.next + look) % shards;
            if let Some(message) = self.peers[at].inbox.pop() {
                self.next = at + 1;
                return Some(message);
            }
        }
        None
    }

    pub fn is_empty(&self) -> bool {
        self.peers.iter().all(|peer| peer.inbox.is_empty())
    }
}

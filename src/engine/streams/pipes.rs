//! Pipes (RFC 6062 section 5.4): a client's connection and a peer's, whose bytes pass each other untouched.
//!
//! Neither end is read while the other does not take what was read before: back-pressure goes through us, and each direction holds a
//! bounded number of bytes. An end of stream is passed on behind the bytes before it.

use mio::Registry;
use pointsman_turn::ConnectionId;
use pointsman_wire::net::FiveTuple;

use super::socket::{Input, RECORD_LEN_MAX};
use super::{Gone, READ_LEN, Role, StreamId, Streams};
use crate::engine::stats::Stats;

/// Reads of one end in a row, before others have their turn.
const READS_MAX: usize = 4;

impl Streams {
    /// Makes a pipe of a client's connection and a peer's. Where one of them is gone, the other ends.
    pub fn join(&mut self, registry: &Registry, client: &FiveTuple, connection: ConnectionId, stats: &mut Stats) {
        let client_id = self.find_client(client);
        let peer_id = self.connections.get(&connection).and_then(|&index| self.id_of(index));
        let (Some(client_id), Some(peer_id)) = (client_id, peer_id) else {
            for id in [client_id, peer_id].into_iter().flatten() {
                self.close(registry, id, stats);
            }
            self.gone.push_back(Gone::Connection(connection));
            return;
        };
        // From here on the server knows it as the connection.
        self.clients.remove(client);
        self.last = None;
        stats.pipes += 1;
        let mut early = Vec::new();
        for (id, other) in [(client_id, peer_id), (peer_id, client_id)] {
            if let Some(stream) = self.get_mut(id) {
                stream.role = Role::Joined { connection, other };
                // Where the answer took time, bytes may have come behind the request.
                early.append(&mut stream.partial);
            }
            self.mark_ready(id);
        }
        if let Some(peer) = self.get_mut(peer_id) {
            peer.socket.put(&early);
        }
        self.mark_unwritten(peer_id);
    }

    /// Reads one end of a pipe for the other.
    pub(super) fn pump(&mut self, registry: &Registry, id: StreamId, stats: &mut Stats) {
        for _ in 0..READS_MAX {
            let Some(stream) = self.get(id) else { return };
            let Role::Joined { other, .. } = stream.role else { return };
            // Its next flush that makes room goes on here.
            if self.get(other).is_none_or(|other| other.socket.backlog() >= self.config.pipe_bytes_max) {
                return;
            }
            let mut plain = std::mem::take(&mut self.plain);
            let (room, cipher) = (plain.get_mut(..READ_LEN + RECORD_LEN_MAX).unwrap_or_default(), &mut self.cipher);
            let stream = self.streams.get_mut(id.index as usize);
            let input = stream.map_or(Ok(Input::Nothing), |stream| stream.socket.read(room, cipher));
            if let Ok(Input::Bytes(len)) = input {
                stats.pipe_bytes += len as u64;
                if let Some(other) = self.get_mut(other) {
                    other.socket.put(plain.get(..len).unwrap_or_default());
                }
            }
            self.plain = plain;
            match input {
                Ok(Input::Bytes(_)) => self.mark_unwritten(other),
                Ok(Input::Nothing) => return,
                Ok(Input::End) => {
                    if let Some(other) = self.get_mut(other) {
                        other.socket.finish();
                    }
                    self.mark_unwritten(other);
                    return;
                }
                Err(error) => {
                    self.end(registry, id, &error, stats);
                    return;
                }
            }
        }
        if self.get(id).is_some_and(|stream| stream.socket.is_readable()) {
            self.mark_ready(id);
        }
    }

    /// After a flush of this end: the other may be read again, or both are through.
    pub(super) fn written(&mut self, registry: &Registry, id: StreamId, stats: &mut Stats) {
        let Some(stream) = self.get(id) else { return };
        let Role::Joined { connection, other } = stream.role else { return };
        let Some(opposite) = self.get(other) else { return };
        if stream.socket.finished() && opposite.socket.finished() {
            self.close(registry, id, stats);
            self.gone.push_back(Gone::Connection(connection));
        } else if stream.socket.backlog() < self.config.pipe_bytes_max && opposite.socket.is_readable() {
            self.mark_ready(other);
        }
    }
}

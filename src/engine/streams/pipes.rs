//! Pipes (RFC 6062 section 5.4): a client's connection and a peer's, whose bytes pass each other untouched.
//!
//! Neither end is read while the other does not take what was read before: back-pressure goes through us, and each direction holds a
//! bounded number of bytes. An end of stream is passed on behind the bytes before it.

use std::time::Instant;

use mio::Registry;
use pointsman_turn::{ConnectionId, Server, Way};
use pointsman_wire::clock::Now;
use pointsman_wire::net::FiveTuple;

use super::socket::{Input, RECORD_LEN_MAX};
use super::{Gone, READ_LEN, Role, StreamId, Streams};
use crate::engine::stats::Stats;

/// Reads of one end in a row, before others have their turn.
const READS_MAX: usize = 4;

/// Who says how fast pipes may be read.
pub trait Throttle {
    /// How many bytes may be read for the other end now, at least one; or when to ask again.
    fn allowance(&mut self, now: Now, connection: ConnectionId, way: Way) -> Result<usize, Instant>;
    /// So many were read.
    fn count(&mut self, now: Now, connection: ConnectionId, way: Way, bytes: usize);
}

impl Throttle for Server {
    fn allowance(&mut self, now: Now, connection: ConnectionId, way: Way) -> Result<usize, Instant> {
        self.pipe_allowance(now, connection, way)
    }

    fn count(&mut self, now: Now, connection: ConnectionId, way: Way, bytes: usize) {
        self.count_piped(now, connection, way, bytes);
    }
}

impl Streams {
    /// Makes a pipe of a client's connection and a peer's. Where one of them is gone, the other ends. Says how many of the client's
    /// bytes are on their way already.
    pub fn join(&mut self, registry: &Registry, client: &FiveTuple, connection: ConnectionId, stats: &mut Stats) -> usize {
        let client_id = self.find_client(client);
        let peer_id = self.connections.get(&connection).and_then(|&index| self.id_of(index));
        let (Some(client_id), Some(peer_id)) = (client_id, peer_id) else {
            for id in [client_id, peer_id].into_iter().flatten() {
                self.close(registry, id, stats);
            }
            self.gone.push_back(Gone::Connection(connection));
            return 0;
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
        stats.pipe_bytes += early.len() as u64;
        if let Some(peer) = self.get_mut(peer_id) {
            peer.socket.put(&early);
        }
        self.mark_unwritten(peer_id);
        early.len()
    }

    /// Reads one end of a pipe for the other, as fast as it may be.
    pub(super) fn pump(&mut self, registry: &Registry, now: Now, id: StreamId, throttle: &mut impl Throttle, stats: &mut Stats) {
        for _ in 0..READS_MAX {
            let Some(stream) = self.get(id) else { return };
            let Role::Joined { connection, other } = stream.role else { return };
            if stream.paused || !stream.socket.is_worth_reading() {
                return;
            }
            let way = if stream.client { Way::ToPeer } else { Way::ToClient };
            // Its next flush that makes room goes on here.
            if self.get(other).is_none_or(|other| other.socket.backlog() >= self.config.pipe_bytes_max) {
                return;
            }
            let allowed = match throttle.allowance(now, connection, way) {
                Ok(bytes) => bytes.min(READ_LEN),
                Err(until) => return self.pause(id, until, stats),
            };
            let mut plain = std::mem::take(&mut self.plain);
            let input = self.read_piped(id, &mut plain, allowed);
            if let Ok(Input::Bytes(len)) = input {
                throttle.count(now, connection, way, len);
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

    /// Reads about as many bytes as are allowed: a TLS record whose end has come is not kept waiting.
    fn read_piped(&mut self, id: StreamId, plain: &mut [u8], allowed: usize) -> std::io::Result<Input> {
        let Some(stream) = self.streams.get_mut(id.index as usize) else { return Ok(Input::Nothing) };
        let room = if stream.socket.is_tls() { READ_LEN + RECORD_LEN_MAX } else { allowed };
        let cipher = self.cipher.get_mut(..allowed).unwrap_or_default();
        stream.socket.read(plain.get_mut(..room).unwrap_or_default(), cipher)
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

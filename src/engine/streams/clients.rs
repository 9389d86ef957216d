//! Clients on streams: whole messages go to the server as datagrams do, whatever way the bytes were cut on theirs.

use std::io;

use pointsman_turn::{ConnectError, ConnectionId, Verdict, Way};
use pointsman_wire::clock::Now;
use pointsman_wire::net::{FiveTuple, ShardId};
use pointsman_wire::stream::{self, Front};

use super::socket::Input;
use super::{Connection, Due, Gone, Role, StreamId, Streams};
use crate::engine::encryption::Encryption;
use crate::engine::mesh::Message;
use crate::engine::relaying::{Relaying, Surroundings};
use crate::engine::stats::{DropReason, Stats};

/// Connections read in one turn, each at most once its buffer's length.
const READ_BUDGET: usize = 256;
/// Connections of peers accepted in one turn.
const ACCEPT_BUDGET: usize = 16;
/// The longest message of a client without an allocation: requests with all their attributes are far shorter, and so little is kept
/// for each of those whom nobody knows.
const REQUEST_LEN_MAX: usize = 4096;
/// Buffers for the beginnings of messages keep this capacity.
const PARTIAL_KEPT: usize = 16 << 10;

/// One client's bytes while they are gone through.
struct Reading {
    plain: Vec<u8>,
    len: usize,
    input: io::Result<Input>,
}

impl Relaying {
    /// Reads what connections hold and does what is due for them. Says whether more may wait.
    pub fn stream_input(&mut self, now: Now, around: &mut Surroundings<'_>) -> bool {
        self.tell_of_ends(now, around);
        self.look_after_streams(now, around);
        self.accept_peers(now, around);
        for _ in 0..READ_BUDGET {
            let Some((id, role)) = around.transmit.streams.next_ready() else { break };
            match role {
                Role::Client(client) => self.read_client(now, id, client, around),
                Role::Connecting(_) => self.look_at_connecting(now, id, around),
                // Nothing is read before the client asks for it.
                Role::Peer(_) => {}
                Role::Joined { .. } => {
                    let transmit = &mut *around.transmit;
                    transmit.streams.pump(around.registry, now, id, &mut self.server, &mut transmit.stats);
                }
            }
        }
        self.tell_of_ends(now, around);
        around.transmit.streams.has_work()
    }

    /// Takes over a client's connection from control or from another shard.
    pub fn adopt_client(&mut self, now: Now, connection: Connection, around: &mut Surroundings<'_>) {
        let transmit = &mut *around.transmit;
        transmit.streams.adopt(around.registry, now, connection, &mut transmit.stats);
        self.tell_of_ends(now, around);
    }

    fn tell_of_ends(&mut self, now: Now, around: &mut Surroundings<'_>) {
        while let Some(gone) = around.transmit.streams.gone.pop_front() {
            match gone {
                Gone::Client(client) => self.server.handle_client_closed(now, client),
                Gone::Connection(connection) => self.server.handle_connection_closed(now, connection),
            }
            self.drain(now, around);
        }
    }

    fn read_client(&mut self, now: Now, id: StreamId, client: FiveTuple, around: &mut Surroundings<'_>) {
        let Some(reading) = around.transmit.streams.begin_reading(id) else { return };
        around.transmit.stats.stream_bytes_in += match reading.input {
            Ok(Input::Bytes(len)) => len as u64,
            Ok(Input::Nothing | Input::End) | Err(_) => 0,
        };
        let taken = self.messages(now, id, client, reading.plain.get(..reading.len).unwrap_or_default(), around);
        if let (Some(connection), Ok(taken)) = (around.transmit.streams.joined(id), &taken) {
            // The first bytes of the pipe came with the message that made it.
            self.server.count_piped(now, connection, Way::ToPeer, reading.len - taken);
        }
        let transmit = &mut *around.transmit;
        transmit.streams.end_reading(id, reading, taken, now, around.registry, &mut transmit.stats);
        if let Some(shard) = around.transmit.streams.get(id).and_then(|stream| stream.moving) {
            hand_over(id, shard, around);
        }
    }

    /// Hands all whole messages to the server, as long as they are the server's. `Err` when no message can begin like what is there;
    /// otherwise says how many bytes are done with.
    fn messages(
        &mut self,
        now: Now,
        id: StreamId,
        client: FiveTuple,
        bytes: &[u8],
        around: &mut Surroundings<'_>,
    ) -> Result<usize, stream::Error> {
        let mut taken = 0;
        loop {
            match around.transmit.streams.get(id) {
                Some(stream) if stream.moving.is_some() => return Ok(taken),
                Some(stream) if matches!(stream.role, Role::Client(_)) => {}
                Some(_) | None => return Ok(taken),
            }
            let rest = bytes.get(taken..).unwrap_or_default();
            let len_max = if self.server.has_allocation(&client) { stream::MESSAGE_LEN_MAX } else { REQUEST_LEN_MAX };
            let (message, len) = match stream::front(rest, len_max)? {
                Front::Message { bytes, taken } => (bytes, taken),
                Front::Incomplete { .. } => return Ok(taken),
            };
            let verdict = self.server.handle_client_datagram(now, client, message);
            if let Verdict::Wait { until } = verdict {
                let transmit = &mut *around.transmit;
                transmit.streams.pause(id, until, &mut transmit.stats);
                return Ok(taken);
            }
            around.transmit.stats.stream_messages_in += 1;
            self.carry_out(now, verdict, message, around);
            let moves = around.transmit.streams.get(id).is_some_and(|stream| stream.moving.is_some());
            if !moves {
                // A message that makes its connection move is for the other shard to read.
                taken += len;
            }
        }
    }

    fn look_after_streams(&mut self, now: Now, around: &mut Surroundings<'_>) {
        while let Some(due) = around.transmit.streams.timers.pop(now.mono) {
            match due {
                Due::Listener(index) => {
                    around.transmit.streams.listeners.set_ready(index);
                }
                Due::Stream(id) => self.look_after(now, id, around),
                Due::Paused(id) => around.transmit.streams.resume(id),
            }
        }
    }

    fn look_after(&mut self, now: Now, id: StreamId, around: &mut Surroundings<'_>) {
        let transmit = &mut *around.transmit;
        let Some(stream) = transmit.streams.get(id) else { return };
        match stream.role {
            Role::Client(client) => {
                let idle_timeout = transmit.streams.config.idle_timeout;
                let mut next = stream.heard + idle_timeout;
                if self.server.has_allocation(&client) {
                    next = next.max(now.mono + idle_timeout);
                }
                if next > now.mono {
                    transmit.streams.timers.insert(next, Due::Stream(id));
                    return;
                }
                transmit.stats.drop(DropReason::StreamIdle, 1);
                transmit.streams.close(around.registry, id, &mut transmit.stats);
                self.server.handle_client_closed(now, client);
            }
            Role::Connecting(connection) => {
                transmit.streams.close(around.registry, id, &mut transmit.stats);
                self.server.handle_peer_connected(now, connection, Err(ConnectError::TimedOut));
            }
            Role::Peer(_) | Role::Joined { .. } => return,
        }
        self.drain(now, around);
    }

    fn look_at_connecting(&mut self, now: Now, id: StreamId, around: &mut Surroundings<'_>) {
        let transmit = &mut *around.transmit;
        let Some((connection, result)) = transmit.streams.connected(around.registry, id, &mut transmit.stats) else { return };
        self.server.handle_peer_connected(now, connection, result);
        self.drain(now, around);
    }

    fn accept_peers(&mut self, now: Now, around: &mut Surroundings<'_>) {
        for _ in 0..ACCEPT_BUDGET {
            let Some((relay, tcp, peer)) = around.transmit.streams.accept(now) else { return };
            if let Some(connection) = self.server.handle_peer_accepted(now, relay, peer) {
                let transmit = &mut *around.transmit;
                transmit.streams.insert_accepted(around.registry, now, connection, tcp, &mut transmit.stats);
            }
            self.drain(now, around);
        }
    }
}

/// Gives a client's connection to another shard, with what it has not read.
fn hand_over(id: StreamId, shard: ShardId, around: &mut Surroundings<'_>) {
    let transmit = &mut *around.transmit;
    let Some(connection) = transmit.streams.take_out(around.registry, id, &mut transmit.stats) else { return };
    let client = connection.client();
    if !around.mesh.send(shard, Message::Stream(Box::new(connection))) {
        // It went down with the message.
        transmit.stats.drop(DropReason::MeshFull, 1);
        transmit.streams.gone.push_back(Gone::Client(client));
    }
}

impl Streams {
    /// The server wants this client's connection to be another shard's.
    pub fn move_to(&mut self, client: &FiveTuple, shard: ShardId) {
        let Some(id) = self.find_client(client) else { return };
        if let Some(stream) = self.get_mut(id) {
            stream.moving = Some(shard);
        }
        self.mark_ready(id);
    }

    /// How a client's connection is encrypted.
    pub fn encryption(&self, client: &FiveTuple) -> Option<Encryption> {
        let at = self.clients.get(client)?;
        self.streams.get(*at as usize)?.socket.encryption()
    }

    /// The server wants this client's connection to end.
    pub fn close_client(&mut self, registry: &mio::Registry, client: &FiveTuple, stats: &mut Stats) {
        if let Some(id) = self.find_client(client) {
            self.close(registry, id, stats);
        }
    }

    /// Lends out the buffer, filled with what was left of the last reading and what one more brings.
    fn begin_reading(&mut self, id: StreamId) -> Option<Reading> {
        let stream = self.streams.get_mut(id.index as usize).filter(|stream| stream.number == id.number && !stream.paused)?;
        let mut plain = std::mem::take(&mut self.plain);
        let kept = stream.partial.len().min(plain.len());
        let (before, room) = plain.split_at_mut(kept);
        before.copy_from_slice(stream.partial.get(..kept).unwrap_or_default());
        stream.partial.clear();
        stream.partial.shrink_to(PARTIAL_KEPT);
        let input = stream.socket.read(room, &mut self.cipher);
        let len = kept
            + match input {
                Ok(Input::Bytes(len)) => len,
                Ok(Input::Nothing | Input::End) | Err(_) => 0,
            };
        Some(Reading { plain, len, input })
    }

    /// Takes the buffer back, of which `taken` bytes are done with, and keeps the others with whoever they belong to.
    fn end_reading(
        &mut self,
        id: StreamId,
        reading: Reading,
        taken: Result<usize, stream::Error>,
        now: Now,
        registry: &mio::Registry,
        stats: &mut Stats,
    ) {
        let Reading { plain, len, input } = reading;
        let rest = plain.get(*taken.as_ref().unwrap_or(&len)..len).unwrap_or_default();
        if let Some(stream) = self.get_mut(id) {
            if matches!(taken, Ok(taken) if taken > 0) {
                stream.heard = now.mono;
            }
            match stream.role {
                Role::Joined { other, .. } => {
                    stats.pipe_bytes += rest.len() as u64;
                    if let Some(other) = self.get_mut(other) {
                        other.socket.put(rest);
                    }
                    self.mark_unwritten(other);
                }
                Role::Client(_) | Role::Connecting(_) | Role::Peer(_) => stream.partial.extend_from_slice(rest),
            }
        }
        self.plain = plain;
        self.after_reading(id, input, taken, registry, stats);
    }

    fn after_reading(
        &mut self,
        id: StreamId,
        input: io::Result<Input>,
        taken: Result<usize, stream::Error>,
        registry: &mio::Registry,
        stats: &mut Stats,
    ) {
        let Some(stream) = self.get(id) else { return };
        let joined = matches!(stream.role, Role::Joined { .. });
        match (input, taken) {
            (Err(error), _) => self.end(registry, id, &error, stats),
            (Ok(_), Err(error)) => {
                stats.drop(DropReason::StreamMalformed, 1);
                tracing::debug!(?error, "a stream is no TURN");
                self.end(registry, id, &io::ErrorKind::InvalidInput.into(), stats);
            }
            // It is looked at again when the time has come, and then sees an end again, too.
            (Ok(_), Ok(_)) if stream.paused => {}
            // A pipe passes the end on.
            (Ok(Input::End), Ok(_)) if !joined => self.end(registry, id, &io::ErrorKind::UnexpectedEof.into(), stats),
            (Ok(_), Ok(_)) => {
                let (again, flush) = (stream.socket.is_readable() || joined, stream.socket.wants_flush());
                if again {
                    self.mark_ready(id);
                }
                if flush {
                    self.mark_unwritten(id);
                }
            }
        }
    }

    /// The connection with a peer that this one is joined to.
    fn joined(&self, id: StreamId) -> Option<ConnectionId> {
        match self.get(id)?.role {
            Role::Joined { connection, .. } => Some(connection),
            Role::Client(_) | Role::Connecting(_) | Role::Peer(_) => None,
        }
    }

    /// Takes a client's connection out, to be gone on with elsewhere.
    pub(super) fn take_out(&mut self, registry: &mio::Registry, id: StreamId, stats: &mut Stats) -> Option<Connection> {
        let Role::Client(client) = self.get(id)?.role else { return None };
        let stream = self.remove(registry, id, stats)?;
        let (tcp, tls, unsent) = stream.socket.into_parts();
        Some(Connection { tcp, tls, local: client.local, remote: client.remote, unread: stream.partial, unsent, place: stream.place })
    }
}

//! TURN on a shard: carries out the server's verdicts and outputs, and keeps its relay sockets.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;

use mio::Registry;
use pointsman_turn::{KeyAnswer, OpenError, Output, RelayPort, RelaySource, RelayTransport, ReservationToken, Server, Verdict};
use pointsman_wire::clock::Now;
use pointsman_wire::net::{Datagram, FiveTuple, ShardId};

use super::bind::open_relay;
use super::mesh::{MeshPort, Message};
use super::receive::PeerInbox;
use super::stats::DropReason;
use super::transmit::Transmit;

/// Peers' datagrams of one turn.
const PEER_BUDGET: usize = 256;
/// Sockets opened in one turn, some 30 µs each: a burst of allocations delays allocations, not media.
const OPEN_BUDGET: usize = 16;

pub struct Relaying {
    pub server: Server,
    shard: ShardId,
    inbox: PeerInbox,
    /// Sockets still to be opened.
    opening: VecDeque<(RelayPort, SocketAddr)>,
    opening_max: usize,
    /// Relays whose socket another shard was asked for.
    awaited: Vec<RelayPort>,
    socket_buffer: usize,
}

/// What a verdict may need besides the server.
pub struct Surroundings<'a> {
    pub transmit: &'a mut Transmit,
    pub mesh: &'a mut MeshPort,
    pub registry: &'a Registry,
}

impl Relaying {
    pub fn new(server: Server, shard: ShardId, relay_sockets_max: usize, socket_buffer: usize) -> Self {
        Self {
            server,
            shard,
            inbox: PeerInbox::new(),
            opening: VecDeque::new(),
            opening_max: relay_sockets_max,
            awaited: Vec::new(),
            socket_buffer,
        }
    }

    /// A datagram of a client of TURN or STUN.
    pub fn client_datagram(&mut self, now: Now, datagram: Datagram<'_>, around: &mut Surroundings<'_>) {
        let verdict = self.server.handle_client_datagram(now, datagram.path, datagram.bytes);
        send(&self.server, &verdict, datagram.bytes, around.transmit);
        self.drain(now, around);
    }

    /// Reads what peers sent to relayed addresses. Says whether more may wait.
    pub fn peer_datagrams(&mut self, now: Now, around: &mut Surroundings<'_>) -> bool {
        let mut budget = PEER_BUDGET;
        while budget > 0 {
            let Some((relay, _)) = around.transmit.relays.next_readable() else { return false };
            let Some(fd) = around.transmit.relays.fd(relay.index) else { continue };
            let (count, more) = self.inbox.receive(fd, budget);
            if more {
                around.transmit.relays.set_readable(relay.index);
            }
            budget -= count.clamp(1, budget);
            for slot in 0..count {
                self.peer_datagram(now, relay, slot, around);
            }
        }
        around.transmit.relays.has_readable()
    }

    fn peer_datagram(&mut self, now: Now, relay: RelayPort, slot: usize, around: &mut Surroundings<'_>) {
        let stats = &mut around.transmit.stats;
        stats.packets_in += 1;
        let Some((peer, range, truncated)) = self.inbox.read(slot) else {
            stats.drop(DropReason::BadAddress, 1);
            return;
        };
        stats.bytes_in += range.len() as u64;
        if truncated {
            stats.drop(DropReason::Oversized, 1);
            return;
        }
        let bytes = self.inbox.bytes(range);
        let verdict = self.server.handle_peer_datagram(now, relay, peer, bytes);
        send(&self.server, &verdict, bytes, around.transmit);
        self.drain(now, around);
    }

    /// Does what is due: timers, sockets to open, outputs. Says whether something is left for the next turn.
    pub fn continue_work(&mut self, now: Now, around: &mut Surroundings<'_>) -> bool {
        if self.server.poll_timeout().is_some_and(|due| due <= now.mono) {
            self.server.handle_timeout(now);
        }
        self.drain(now, around);
        for _ in 0..OPEN_BUDGET {
            let Some((relay, address)) = self.opening.pop_front() else { return false };
            let opened = self.open(relay, address, around);
            self.server.handle_relay_opened(now, relay, opened);
            self.drain(now, around);
        }
        !self.opening.is_empty()
    }

    /// A shard asks for a port that is reserved here.
    pub fn reservation_wanted(&mut self, now: Now, token: ReservationToken, relay: RelayPort, to: ShardId, around: &mut Surroundings<'_>) {
        let socket = self.server.release_reservation(token).and_then(|kept| {
            // What is still to leave through the socket leaves before it moves.
            around.transmit.flush();
            around.transmit.relays.remove(around.registry, kept)
        });
        if !around.mesh.send(to, Message::ReservationMoved { relay, socket }) {
            around.transmit.stats.drop(DropReason::MeshFull, 1);
        }
        self.drain(now, around);
    }

    /// The socket that another shard was asked for.
    pub fn reservation_moved(
        &mut self,
        now: Now,
        relay: RelayPort,
        socket: Option<(std::net::UdpSocket, SocketAddr)>,
        around: &mut Surroundings<'_>,
    ) {
        let Some(at) = self.awaited.iter().position(|&awaited| awaited == relay) else { return };
        self.awaited.swap_remove(at);
        let result = match socket {
            None => Err(OpenError::NoReservation),
            Some((socket, local)) => {
                around.transmit.relays.insert(around.registry, relay, socket, local).map(|()| local).map_err(|_| OpenError::Failed)
            }
        };
        self.server.handle_relay_opened(now, relay, result);
        self.drain(now, around);
    }

    fn drain(&mut self, now: Now, around: &mut Surroundings<'_>) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Reply { client, bytes } => put(around.transmit, &client, &[&bytes]),
                Output::OpenRelay { relay, from, transport: RelayTransport::Udp } => self.begin_opening(now, relay, from, around),
                Output::OpenRelay { relay, transport: RelayTransport::Tcp, .. } => {
                    self.server.handle_relay_opened(now, relay, Err(OpenError::Failed));
                }
                Output::CloseRelay { relay } => self.close(relay, around),
                // Nothing looks keys up yet.
                Output::LookupKey { lookup, .. } => self.server.handle_key(now, lookup, KeyAnswer::Unavailable),
                // Never asked for yet.
                Output::AdoptRelay { .. }
                | Output::ConnectPeer { .. }
                | Output::Join { .. }
                | Output::CloseConnection { .. }
                | Output::CloseClient { .. }
                | Output::MoveClient { .. }
                | Output::ToShard { .. }
                | Output::Note(_) => {}
            }
        }
    }

    fn begin_opening(&mut self, now: Now, relay: RelayPort, from: RelaySource, around: &mut Surroundings<'_>) {
        match from {
            RelaySource::Fresh { address } if self.opening.len() < self.opening_max => self.opening.push_back((relay, address)),
            RelaySource::Fresh { .. } => self.server.handle_relay_opened(now, relay, Err(OpenError::Failed)),
            RelaySource::Reserved { token, shard } => {
                if around.mesh.send(shard, Message::ReservationWanted { token, relay, to: self.shard }) {
                    self.awaited.push(relay);
                } else {
                    self.server.handle_relay_opened(now, relay, Err(OpenError::NoReservation));
                }
            }
        }
    }

    fn open(&self, relay: RelayPort, address: SocketAddr, around: &mut Surroundings<'_>) -> Result<SocketAddr, OpenError> {
        if around.transmit.relays.is_full() {
            return Err(OpenError::Failed);
        }
        let (socket, local) = open_relay(address, self.socket_buffer).map_err(|error| match error.kind() {
            io::ErrorKind::AddrInUse => OpenError::InUse,
            _ => OpenError::Failed,
        })?;
        around.transmit.relays.insert(around.registry, relay, socket, local).map_err(|_| OpenError::Failed)?;
        Ok(local)
    }

    fn close(&mut self, relay: RelayPort, around: &mut Surroundings<'_>) {
        self.opening.retain(|(opening, _)| *opening != relay);
        self.awaited.retain(|awaited| *awaited != relay);
        if around.transmit.relays.has(relay) {
            // What is still to leave through it leaves first, and not through the next socket with its index.
            around.transmit.flush();
            around.transmit.relays.remove(around.registry, relay);
        }
    }
}

/// Carries out a verdict's sending.
fn send(server: &Server, verdict: &Verdict, datagram: &[u8], transmit: &mut Transmit) {
    match verdict {
        Verdict::ToPeer { relay, peer, payload, dont_fragment: _ } => to_peer(transmit, *relay, *peer, datagram, payload.clone()),
        Verdict::ToClient { client, header } => put(transmit, client, &[header, datagram]),
        Verdict::Indication { client, padding } => {
            put(transmit, client, &[server.scratch(), datagram, &[0; 3][..(*padding).min(3)]]);
        }
        Verdict::Reply { client } => put(transmit, client, &[server.scratch()]),
        // Never decided yet: to media, and from another of our addresses.
        Verdict::ToMedia { .. } | Verdict::ReplyFrom { .. } | Verdict::Handled | Verdict::Drop(_) => {}
    }
}

fn to_peer(transmit: &mut Transmit, relay: RelayPort, peer: SocketAddr, datagram: &[u8], payload: Range<usize>) {
    let Some(payload) = datagram.get(payload) else { return };
    if !transmit.relays.has(relay) {
        transmit.stats.drop(DropReason::NoSocket, 1);
        return;
    }
    let Some(slot) = transmit.relay_slot(relay.index, peer, payload.len()) else { return };
    slot.copy_from_slice(payload);
    transmit.commit(payload.len());
}

/// Puts one datagram, made of `parts`, into the arena.
fn put(transmit: &mut Transmit, client: &FiveTuple, parts: &[&[u8]]) {
    let len = parts.iter().map(|part| part.len()).sum();
    let Some(mut slot) = transmit.slot(client, len) else { return };
    for part in parts {
        let (here, rest) = slot.split_at_mut(part.len());
        here.copy_from_slice(part);
        slot = rest;
    }
    transmit.commit(len);
}

//! TURN on a shard: carries out the server's verdicts and outputs, and keeps its relay sockets.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::ops::Range;
use std::time::{Duration, Instant};

use mio::Registry;
use pointsman_sfu::Sfu;
use pointsman_turn::{
    Icmp, KeyAnswer, NotMoved, OpenError, Output, RelayPort, RelaySource, RelayTransport, Server, ShardMessage, Verdict, Way,
};
use pointsman_wire::clock::Now;
use pointsman_wire::net::{Datagram, FiveTuple, Protocol, ShardId};

use super::backlogs::Backlogs;
use super::bind::open_relay;
use super::config::EngineConfig;
use super::dtls::InboxEntry;
use super::mailbox::{TurnCommand, TurnEvent};
use super::mesh::{MeshPort, Message, MovedSockets};
use super::outgoing::{Outgoing, Parcels, Relays, backlog, deliver};
use super::receive::PeerInbox;
use super::stats::DropReason;
use super::streams::Kind;
use super::sys::{self, SendError, Whence};
use super::transmit::Transmit;

/// Peers' datagrams of one turn.
const PEER_BUDGET: usize = 256;
/// ICMP errors of one turn, a system call each: who provokes them delays his own news of them.
const ERROR_BUDGET: usize = 32;
/// Sockets opened in one turn, some 30 µs each: a burst of allocations delays allocations, not media.
const OPEN_BUDGET: usize = 16;
/// Messages that wait for room in a ring. Each is a client's request.
const UNSAID_MAX: usize = 1024;
/// Between two lines in the log about ports that cannot be opened.
const COMPLAINT_INTERVAL: Duration = Duration::from_secs(10);

pub struct Relaying {
    pub server: Server,
    shard: ShardId,
    inbox: PeerInbox,
    /// Sockets still to be opened.
    opening: VecDeque<(RelayPort, SocketAddr)>,
    opening_max: usize,
    socket_buffer: usize,
    device: Option<String>,
    /// Sockets that came with the message that the server is just told.
    arrived: MovedSockets,
    /// What did not fit into the ring of its shard, in order.
    unsaid: VecDeque<(ShardId, Message)>,
    parcels: Parcels,
    backlogs: Backlogs,
    complaints: Complaints,
    /// What control has not been told yet.
    events: VecDeque<TurnEvent>,
    events_max: usize,
}

/// What a verdict may need besides the server.
pub struct Surroundings<'a> {
    pub transmit: &'a mut Transmit,
    pub mesh: &'a mut MeshPort,
    pub registry: &'a Registry,
    pub sfu: &'a mut Sfu,
}

impl Relaying {
    pub fn new(server: Server, shard: ShardId, config: &EngineConfig) -> Self {
        Self {
            server,
            shard,
            inbox: PeerInbox::new(),
            opening: VecDeque::new(),
            opening_max: config.relay_sockets_max,
            socket_buffer: config.relay_socket_buffer,
            device: config.relay_device.clone(),
            arrived: [None, None],
            unsaid: VecDeque::new(),
            parcels: Parcels::default(),
            backlogs: Backlogs::default(),
            complaints: Complaints::default(),
            events: VecDeque::new(),
            events_max: config.events_max,
        }
    }

    /// What media needs to leave this shard.
    pub fn outgoing<'a>(&'a mut self, now: Now, transmit: &'a mut Transmit, mesh: &'a mut MeshPort) -> Outgoing<'a> {
        let relays = Relays { shard: self.shard, server: &mut self.server, backlogs: &self.backlogs, parcels: &mut self.parcels };
        Outgoing { now, transmit, mesh, relays, relayed: None }
    }

    /// A datagram of a client of TURN or STUN, or a whole message from its stream.
    pub fn client_datagram(&mut self, now: Now, datagram: Datagram<'_>, around: &mut Surroundings<'_>) {
        let verdict = self.server.handle_client_datagram(now, datagram.path, datagram.bytes);
        self.carry_out(now, verdict, datagram.bytes, around);
    }

    /// Media that shard `from` has for the client behind one of our relayed addresses.
    pub fn media_datagram(
        &mut self,
        now: Now,
        from: ShardId,
        relayed: SocketAddr,
        media: SocketAddr,
        datagram: &[u8],
        around: &mut Surroundings<'_>,
    ) {
        let path = self.path(relayed, media);
        let client = deliver(now, &mut self.server, around.transmit, &path, datagram);
        if client.is_some_and(|client| matches!(client.protocol, Protocol::Tcp | Protocol::Tls)) {
            self.backlogs.heard(relayed, from);
        }
        self.drain(now, around);
    }

    /// Tells other shards what waits for clients that they have media for, after what could be written was.
    pub fn tell_backlogs(&mut self, transmit: &mut Transmit, mesh: &mut MeshPort) {
        let server = &self.server;
        let say = |shard, relayed, bytes| mesh.send(shard, Message::Backlog { relayed, bytes });
        self.backlogs.tell(|relayed| backlog(server, transmit, relayed), say);
    }

    /// What another shard tells of a client that this one has media for.
    pub fn backlog_told(&mut self, relayed: SocketAddr, bytes: usize) {
        self.backlogs.told(relayed, bytes);
    }

    /// A datagram of a DTLS client, or of whoever wants to become one.
    pub fn dtls_datagram(&mut self, now: Now, datagram: Datagram<'_>, around: &mut Surroundings<'_>) {
        let taken = around.transmit.with_dtls(|dtls, transmit| dtls.handle_datagram(now, &datagram.path, datagram.bytes, transmit));
        if taken.is_none() {
            around.transmit.stats.drop(DropReason::DtlsUnknown, 1);
        }
        self.read_dtls(now, around);
    }

    /// What is due for DTLS clients. Says whether something is left for the next turn.
    pub fn continue_dtls(&mut self, now: Now, around: &mut Surroundings<'_>) -> bool {
        let server = &self.server;
        let left = around.transmit.with_dtls(|dtls, transmit| {
            let left = dtls.continue_work(now, transmit, |client| server.has_allocation(client));
            transmit.stats.dtls_clients = dtls.len() as u64;
            left
        });
        self.read_dtls(now, around);
        left.unwrap_or(false)
    }

    /// What DTLS clients said, and which of them are gone.
    fn read_dtls(&mut self, now: Now, around: &mut Surroundings<'_>) {
        loop {
            let Some(dtls) = &mut around.transmit.dtls else { return };
            let inbox = dtls.take_inbox();
            for entry in inbox.entries() {
                match entry {
                    InboxEntry::Message { client, range } => {
                        self.client_datagram(now, Datagram { path: *client, bytes: inbox.bytes(range) }, around);
                    }
                    InboxEntry::Closed { client } => {
                        self.server.handle_client_closed(now, *client);
                        self.drain(now, around);
                    }
                }
            }
            let done = inbox.is_empty();
            if let Some(dtls) = &mut around.transmit.dtls {
                dtls.give_back(inbox);
            }
            if done {
                return;
            }
        }
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

    /// Tells the server what ICMP said of datagrams that left through relays. Says whether more may wait.
    pub fn peer_errors(&mut self, now: Now, around: &mut Surroundings<'_>) -> bool {
        for _ in 0..ERROR_BUDGET {
            let relays = &mut around.transmit.relays;
            let Some(relay) = relays.next_erroneous() else { return false };
            let Some(fd) = relays.fd(relay.index) else { continue };
            match sys::receive_error(fd) {
                Ok(None) => {}
                Ok(Some(error)) => {
                    relays.set_erroneous(relay.index);
                    self.peer_error(now, relay, &error, around);
                }
                // One that cannot be read; others may wait behind it.
                Err(error) if error.kind() == io::ErrorKind::InvalidData => relays.set_erroneous(relay.index),
                Err(_) => {}
            }
        }
        around.transmit.relays.has_erroneous()
    }

    fn peer_error(&mut self, now: Now, relay: RelayPort, error: &SendError, around: &mut Surroundings<'_>) {
        let version_4 = error.to.is_ipv4();
        let icmp = match error.whence {
            Whence::Icmp { kind, code } => Icmp { version_4, kind, code, data: error.mtu },
            Whence::TooLong => Icmp::too_big(version_4, error.mtu),
            Whence::Other => return,
        };
        let verdict = self.server.handle_peer_error(now, relay, error.to, icmp);
        send(&self.server, &verdict, &[], around.transmit);
        self.drain(now, around);
    }

    /// Does what is due: timers, sockets to open, outputs. Says whether something is left for the next turn.
    pub fn continue_work(&mut self, now: Now, around: &mut Surroundings<'_>) -> bool {
        if self.server.poll_timeout().is_some_and(|due| due <= now.mono) {
            self.server.handle_timeout(now);
        }
        self.drain(now, around);
        self.say_unsaid(around);
        for _ in 0..OPEN_BUDGET {
            let Some((relay, address)) = self.opening.pop_front() else { return !self.unsaid.is_empty() };
            let opened = self.open(now, relay, address, around);
            self.server.handle_relay_opened(now, relay, opened);
            self.drain(now, around);
        }
        !self.opening.is_empty() || !self.unsaid.is_empty()
    }

    /// Another shard's server has something to say, perhaps with sockets.
    pub fn shard_message(&mut self, now: Now, message: ShardMessage, sockets: MovedSockets, around: &mut Surroundings<'_>) {
        self.arrived = sockets;
        self.server.handle_shard_message(now, message);
        self.drain(now, around);
        // Those that nobody adopted are closed.
        self.arrived = [None, None];
    }

    pub(super) fn carry_out(&mut self, now: Now, verdict: Verdict, message: &[u8], around: &mut Surroundings<'_>) {
        match verdict {
            Verdict::ToMedia { relayed, media, payload } => self.hand_to_media(now, relayed, media, message.get(payload), around),
            other => send(&self.server, &other, message, around.transmit),
        }
        self.drain(now, around);
    }

    /// To our own media, without a socket between.
    fn hand_to_media(&mut self, now: Now, relayed: SocketAddr, media: SocketAddr, payload: Option<&[u8]>, around: &mut Surroundings<'_>) {
        let Some(bytes) = payload else { return };
        let datagram = Datagram { path: self.path(relayed, media), bytes };
        let mut out = self.outgoing(now, around.transmit, around.mesh);
        around.sfu.handle_batch(now, std::iter::once(datagram), &mut out);
    }

    fn path(&self, relayed: SocketAddr, media: SocketAddr) -> FiveTuple {
        FiveTuple { protocol: Protocol::Relay(self.shard), local: media, remote: relayed }
    }

    /// Does what control asks.
    pub fn command(&mut self, now: Now, command: TurnCommand, around: &mut Surroundings<'_>) {
        match command {
            TurnCommand::Rules(rules) => self.server.update(now, &rules),
            TurnCommand::Key { lookup, answer } => self.server.handle_key(now, lookup, answer),
            TurnCommand::Drain => self.server.refuse_new(),
            // Nobody waits for an answer any more where it finds no room.
            TurnCommand::Kill { id, done } => {
                let _ = done.try_send(self.server.kill(now, id));
            }
            TurnCommand::List { after, max, reply } => {
                let behind = self.server.allocations(now).filter(|view| after.is_none_or(|after| view.id > after));
                let _ = reply.try_send(behind.take(max).collect());
            }
        }
        self.drain(now, around);
    }

    /// What control should know.
    pub fn poll_event(&mut self) -> Option<TurnEvent> {
        self.events.pop_front()
    }

    fn tell(&mut self, now: Now, event: TurnEvent, around: &mut Surroundings<'_>) {
        if self.events.len() < self.events_max {
            self.events.push_back(event);
            return;
        }
        around.transmit.stats.drop(DropReason::EventsFull, 1);
        match event {
            TurnEvent::LookupKey { lookup, .. } => self.server.handle_key(now, lookup, KeyAnswer::Unavailable),
            TurnEvent::Note { .. } => {}
        }
    }

    /// Does what the server asks for.
    pub(super) fn drain(&mut self, now: Now, around: &mut Surroundings<'_>) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Reply { client, bytes } => around.transmit.send_to_client(&client, &[&bytes], Kind::Answer),
                Output::OpenRelay { relay, from, transport: RelayTransport::Udp } => self.begin_opening(now, relay, from),
                Output::OpenRelay { relay, from, transport: RelayTransport::Tcp } => {
                    let RelaySource::Fresh { address } = from;
                    let opened = around.transmit.streams.listen(around.registry, relay, address);
                    self.server.handle_relay_opened(now, relay, opened);
                }
                Output::ConnectPeer { connection, relay, peer } => {
                    let Transmit { streams, stats, .. } = &mut *around.transmit;
                    if let Err(error) = streams.connect(around.registry, now, connection, relay, peer, stats) {
                        self.server.handle_peer_connected(now, connection, Err(error));
                    }
                }
                Output::Join { client, connection } => {
                    let Transmit { streams, stats, .. } = &mut *around.transmit;
                    let early = streams.join(around.registry, &client, connection, stats);
                    self.server.count_piped(now, connection, Way::ToPeer, early);
                }
                Output::CloseConnection { connection } => {
                    let Transmit { streams, stats, .. } = &mut *around.transmit;
                    streams.close_connection(around.registry, connection, stats);
                }
                Output::MoveClient { client, shard } => around.transmit.streams.move_to(&client, shard),
                Output::CloseRelay { relay } => self.close(relay, around),
                Output::LookupKey { lookup, realm, username } => {
                    self.tell(now, TurnEvent::LookupKey { lookup, realm, username }, around);
                }
                Output::Note(note) => {
                    let encryption = around.transmit.encryption(&note.client);
                    self.tell(now, TurnEvent::Note { note, encryption }, around);
                }
                Output::MediaFollows { relayed, media, from } => {
                    let to = self.path(relayed, media);
                    let from = FiveTuple { protocol: Protocol::Relay(from), ..to };
                    let mut out = self.outgoing(now, around.transmit, around.mesh);
                    around.sfu.handle_path_moved(now, from, to, &mut out);
                }
                Output::AdoptRelay { relay, was } => self.adopt(now, relay, was, around),
                Output::ToShard { shard, message } => self.hand_to_shard(now, shard, message, around),
                Output::CloseClient { client } => match client.protocol {
                    Protocol::Dtls => {
                        around.transmit.with_dtls(|dtls, transmit| dtls.close(&client, transmit));
                    }
                    Protocol::Tcp | Protocol::Tls => {
                        let Transmit { streams, stats, .. } = &mut *around.transmit;
                        streams.close_client(around.registry, &client, stats);
                    }
                    // Nothing that could be closed.
                    Protocol::Udp | Protocol::Relay(_) => {}
                },
            }
        }
    }

    /// Hands a message to another shard's server, with the sockets that it names.
    fn hand_to_shard(&mut self, now: Now, shard: ShardId, message: ShardMessage, around: &mut Surroundings<'_>) {
        if !around.mesh.reaches(shard) {
            // A client may have made the number up.
            if let ShardMessage::Refresh { client, request, .. } = message {
                self.server.handle_shard_message(now, ShardMessage::NotMoved { client, request, why: NotMoved::Unknown });
            }
            return;
        }
        let mut sockets: MovedSockets = [None, None];
        for (place, relay) in sockets.iter_mut().zip(message.relays()) {
            if around.transmit.relays.has(relay) {
                // What is still to leave through the socket leaves before it moves.
                around.transmit.flush();
                *place = around.transmit.relays.remove(around.registry, relay).map(|(socket, local)| (relay, socket, local));
            }
        }
        self.say(shard, Message::Turn { message, sockets }, around);
    }

    /// A socket that came from another shard has a relay here.
    fn adopt(&mut self, now: Now, relay: RelayPort, was: RelayPort, around: &mut Surroundings<'_>) {
        let socket = self.arrived.iter_mut().find_map(|place| place.take_if(|(number, ..)| *number == was));
        let adopted = match socket {
            Some((_, socket, local)) => around.transmit.relays.insert(around.registry, relay, socket, local),
            None => Err(io::ErrorKind::NotFound.into()),
        };
        if adopted.is_err() {
            self.server.handle_relay_opened(now, relay, Err(OpenError::Failed));
        }
    }

    /// Tells another shard something that must not be lost. When its ring is full, that is tried again in the next turns.
    fn say(&mut self, shard: ShardId, message: Message, around: &mut Surroundings<'_>) {
        self.unsaid.push_back((shard, message));
        self.say_unsaid(around);
        if self.unsaid.len() > UNSAID_MAX {
            self.unsaid.pop_front();
            around.transmit.stats.drop(DropReason::MeshFull, 1);
        }
    }

    fn say_unsaid(&mut self, around: &mut Surroundings<'_>) {
        while let Some((shard, message)) = self.unsaid.pop_front() {
            if let Err(message) = around.mesh.try_send(shard, message) {
                return self.unsaid.push_front((shard, message));
            }
        }
    }

    fn begin_opening(&mut self, now: Now, relay: RelayPort, from: RelaySource) {
        match from {
            RelaySource::Fresh { address } if self.opening.len() < self.opening_max => self.opening.push_back((relay, address)),
            RelaySource::Fresh { .. } => self.server.handle_relay_opened(now, relay, Err(OpenError::Failed)),
        }
    }

    fn open(&mut self, now: Now, relay: RelayPort, address: SocketAddr, around: &mut Surroundings<'_>) -> Result<SocketAddr, OpenError> {
        if around.transmit.relays.is_full() {
            self.complaints.complain(now.mono, address, "relay_sockets_max is reached");
            return Err(OpenError::Failed);
        }
        let opened = open_relay(address, self.socket_buffer, self.device.as_deref()).and_then(|(socket, local)| {
            around.transmit.relays.insert(around.registry, relay, socket, local)?;
            Ok(local)
        });
        opened.map_err(|error| {
            self.complaints.complain(now.mono, address, &error);
            if error.kind() == io::ErrorKind::AddrInUse { OpenError::InUse } else { OpenError::Failed }
        })
    }

    fn close(&mut self, relay: RelayPort, around: &mut Surroundings<'_>) {
        self.opening.retain(|(opening, _)| *opening != relay);
        if around.transmit.streams.unlisten(around.registry, relay) {
            return;
        }
        if around.transmit.relays.has(relay) {
            // What is still to leave through it leaves first, and not through the next socket with its index.
            around.transmit.flush();
            around.transmit.relays.remove(around.registry, relay);
        }
    }
}

/// Carries out a verdict's sending.
fn send(server: &Server, verdict: &Verdict, message: &[u8], transmit: &mut Transmit) {
    match verdict {
        Verdict::ToPeer { relay, peer, payload, dont_fragment } => {
            to_peer(transmit, *relay, *peer, *dont_fragment, message, payload.clone());
        }
        Verdict::ToClient { client, header } => transmit.send_to_client(client, &[header, message], Kind::Data),
        Verdict::Indication { client, padding } => {
            transmit.send_to_client(client, &[server.scratch(), message, &[0; 3][..(*padding).min(3)]], Kind::Data);
        }
        Verdict::Reply { client } => transmit.send_to_client(client, &[server.scratch()], Kind::Answer),
        Verdict::ReplyFrom { client: _, from, to } => {
            transmit.send_to_client(&FiveTuple::udp(*from, *to), &[server.scratch()], Kind::Answer)
        }
        // Only what a client sends goes to media.
        // Nor does anything but a stream wait, which looks after that itself.
        Verdict::ToMedia { .. } | Verdict::Wait { .. } | Verdict::Handled | Verdict::Drop(_) => {}
    }
}

fn to_peer(transmit: &mut Transmit, relay: RelayPort, peer: SocketAddr, dont_fragment: bool, message: &[u8], payload: Range<usize>) {
    let Some(payload) = message.get(payload) else { return };
    if !transmit.relays.has(relay) {
        transmit.stats.drop(DropReason::NoSocket, 1);
        return;
    }
    let Some(slot) = transmit.relay_slot(relay.index, peer, dont_fragment, payload.len()) else { return };
    slot.copy_from_slice(payload);
    transmit.commit(payload.len());
}

/// Tells the operator of ports that cannot be opened, but not each time.
#[derive(Default)]
struct Complaints {
    last: Option<Instant>,
    unsaid: u64,
}

impl Complaints {
    fn complain(&mut self, now: Instant, address: SocketAddr, what: impl std::fmt::Display) {
        if self.last.is_some_and(|last| now.saturating_duration_since(last) < COMPLAINT_INTERVAL) {
            self.unsaid += 1;
            return;
        }
        self.last = Some(now);
        let since_last_line = std::mem::take(&mut self.unsaid);
        tracing::warn!(port = address.port(), error = %what, since_last_line, "a relay port cannot be opened");
    }
}

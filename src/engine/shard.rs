//! One shard: its own sockets and its own part of every room, and a turn of the loop that its [thread](super::host) runs.
//!
//! A turn: wait, mailbox, receive, dispatch, mesh, timers, flush. Every step has a budget, and what is left over makes the next
//! turn begin at once.

use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use crossbeam::queue::ArrayQueue;
use mio::unix::SourceFd;
use mio::{Events as PollEvents, Interest, Poll, Registry, Token};
use pointsman_sfu::Sfu;
use pointsman_wire::clock::Now;
use pointsman_wire::demux::Class;
use pointsman_wire::net::ShardId;
use pointsman_wire::stun::is_ice_check;
use tokio::sync::mpsc;

use super::mailbox::{Event, Letter};
use super::mesh::{MeshPort, Message};
use super::receive::{Drained, Entry, Inbox};
use super::relaying::{Relaying, Surroundings};
use super::stats::{DropReason, Snapshot};
use super::transmit::Transmit;
use super::wake::Bell;

pub const WAKER: Token = Token(usize::MAX);
/// Shards that are guests on this one's thread have this token minus their number.
pub const GUEST: Token = Token(usize::MAX - 1);
/// Listeners have the tokens below, relay sockets those from here on.
pub const RELAY_TOKEN_FIRST: usize = 1 << 16;

/// Mesh messages of one turn.
const MESH_BUDGET: usize = 1024;
/// Letters from control of one turn.
const MAILBOX_BUDGET: usize = 64;
/// Events handed to control in one turn.
const EVENT_BUDGET: usize = 256;
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(1);
/// How soon to try again when control has no room for events.
const EVENT_RETRY: Duration = Duration::from_millis(20);
/// Readiness notices taken in one turn; the rest come with the next.
const POLL_EVENTS_MAX: usize = 1024;

/// What a shard is connected with; put together before its thread starts.
pub struct Links {
    pub shard: ShardId,
    pub poll: Poll,
    pub bell: Arc<Bell>,
    pub mesh: MeshPort,
    pub mailbox: Arc<ArrayQueue<Letter>>,
    pub events: mpsc::Sender<Event>,
    pub snapshot: Arc<Mutex<Snapshot>>,
}

pub struct Shard {
    links: Links,
    transmit: Transmit,
    inbox: Inbox,
    sfu: Sfu,
    relaying: Relaying,
    poll_events: PollEvents,
    ready: Vec<Readiness>,
    /// The listener that is read first in the next turn.
    next_listener: usize,
    /// Something was left over for the next turn.
    work_left: bool,
    /// Control had no room for an event.
    events_wait: bool,
    snapshot_due: Instant,
    stopping: bool,
}

/// A listening socket's state between turns.
#[derive(Clone, Copy, Debug)]
struct Readiness {
    readable: bool,
    /// The kernel's count of dropped datagrams when it was last told.
    overflow: u32,
}

impl Shard {
    pub fn new(links: Links, transmit: Transmit, inbox: Inbox, sfu: Sfu, relaying: Relaying, now: Now) -> io::Result<Self> {
        for (at, listener) in transmit.listeners().iter().enumerate() {
            let fd = listener.socket.as_raw_fd();
            links.poll.registry().register(&mut SourceFd(&fd), Token(at), Interest::READABLE)?;
        }
        let listeners = transmit.listeners().len();
        Ok(Self {
            links,
            transmit,
            inbox,
            sfu,
            relaying,
            poll_events: PollEvents::with_capacity(POLL_EVENTS_MAX),
            // What arrived before registration announces itself no more.
            ready: vec![Readiness { readable: true, overflow: 0 }; listeners],
            next_listener: 0,
            work_left: true,
            events_wait: false,
            snapshot_due: now.mono + SNAPSHOT_INTERVAL,
            stopping: false,
        })
    }

    /// Its number.
    pub fn index(&self) -> usize {
        usize::from(self.links.shard.0)
    }

    pub fn registry(&self) -> &Registry {
        self.links.poll.registry()
    }

    /// What another thread may wait for in its stead.
    pub fn poll_fd(&self) -> RawFd {
        self.links.poll.as_raw_fd()
    }

    /// Time outside of waits, since it began.
    pub fn busy(&self) -> Duration {
        self.transmit.stats.busy
    }

    /// Whether it runs on another shard's thread.
    pub fn set_guest(&mut self, guest: bool) {
        self.transmit.stats.guest = guest.into();
    }

    /// Control has said stop.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// Something was left over for the next turn.
    pub fn has_work(&self) -> bool {
        self.work_left
    }

    /// Says goodbye and sends what is still to be sent.
    pub fn finish(mut self) {
        self.transmit.with_dtls(|dtls, transmit| dtls.close_all(transmit));
        self.transmit.flush();
        self.publish();
    }

    /// Announces sleep. [`Shard::has_letters`] must be asked after it.
    pub fn lie_down(&self) {
        self.links.bell.lie_down();
    }

    /// Another thread has something for it.
    pub fn has_letters(&self) -> bool {
        !self.links.mesh.is_empty() || !self.links.mailbox.is_empty()
    }

    /// Waits for its sockets at most for `timeout`, and notes which have something.
    pub fn look(&mut self, timeout: Duration) {
        let result = self.links.poll.poll(&mut self.poll_events, Some(timeout));
        self.links.bell.get_up();
        let stats = &mut self.transmit.stats;
        stats.turns += 1;
        stats.waits += u64::from(!timeout.is_zero());
        if let Err(error) = result
            && error.kind() != io::ErrorKind::Interrupted
        {
            tracing::error!(%error, shard = self.links.shard.0, "cannot wait for packets");
            std::thread::sleep(Duration::from_millis(10));
        }
        for event in &self.poll_events {
            let token = event.token();
            if let Some(ready) = self.ready.get_mut(token.0) {
                ready.readable = true;
            } else if let Some(relay) = self.transmit.relays.index_of(token) {
                // An error may have ended a reading before the last datagram.
                self.transmit.relays.set_readable(relay);
                if event.is_error() {
                    self.transmit.relays.set_erroneous(relay);
                }
            } else {
                self.transmit.streams.notice(event);
            }
        }
    }

    /// When the next thing is due. `last` is when the last turn ended.
    pub fn due(&self, last: Instant) -> Instant {
        let mut until = self.snapshot_due;
        let dtls = self.transmit.dtls.as_ref().and_then(|dtls| dtls.poll_timeout());
        let streams = self.transmit.streams.poll_timeout();
        for due in [self.sfu.poll_timeout(), self.relaying.server.poll_timeout(), dtls, streams].into_iter().flatten() {
            until = until.min(due);
        }
        if self.events_wait {
            until = until.min(last + EVENT_RETRY);
        }
        until
    }

    /// One turn. Says how many datagrams it found.
    pub fn turn(&mut self, now: Now) -> u64 {
        self.work_left = false;
        let (sent_before, received_before) = (self.transmit.stats.packets_out, self.transmit.stats.packets_in);
        // First what control says: a client's first check is often here by the time its description is.
        self.read_mailbox(now);
        self.receive();
        self.dispatch(now);
        self.relay(now);
        self.read_mesh(now);
        self.forward(now);
        self.transmit.flush();
        self.transmit.streams.flush(self.links.poll.registry(), &mut self.transmit.stats);
        self.work_left |= self.transmit.streams.has_work();
        self.relaying.tell_backlogs(&mut self.transmit, &mut self.links.mesh);
        let wakes = self.links.mesh.ring();
        self.transmit.stats.wakes_sent += wakes;
        self.hand_out_events();
        self.measure(now, sent_before);
        self.transmit.stats.packets_in - received_before
    }

    fn receive(&mut self) {
        self.inbox.clear();
        let listeners = self.ready.len();
        for step in 0..listeners {
            let at = (self.next_listener + step) % listeners;
            let ready = &mut self.ready[at];
            if !ready.readable {
                continue;
            }
            let (listener, stats) = self.transmit.listener_and_stats(at);
            ready.readable = self.inbox.receive(listener, &mut ready.overflow, stats) == Drained::Perhaps;
            self.work_left |= ready.readable;
        }
        self.next_listener = (self.next_listener + 1) % listeners.max(1);
    }

    /// TURN datagram by datagram, media as a batch.
    fn dispatch(&mut self, now: Now) {
        let (inbox, relaying, mut around) = self.parts();
        let mut media = 0;
        for at in 0..inbox.entries().len() {
            let entry = inbox.entries()[at];
            let datagram = inbox.datagram(&entry);
            match destination(&entry, datagram.bytes) {
                // Media's DTLS follows a connectivity check on the same path; other DTLS is a TURN client's.
                Destination::Sfu if entry.class == Class::Dtls && !around.sfu.owns(&entry.path) => {
                    relaying.dtls_datagram(now, datagram, &mut around);
                    inbox.take_out(at);
                }
                Destination::Sfu => media += 1,
                Destination::Turn => relaying.client_datagram(now, datagram, &mut around),
                Destination::Nowhere => around.transmit.stats.drop(DropReason::UnknownProtocol, 1),
            }
        }
        if media == 0 {
            return;
        }
        let batch = inbox
            .entries()
            .iter()
            .map(|entry| (entry, inbox.datagram(entry)))
            .filter(|(entry, datagram)| destination(entry, datagram.bytes) == Destination::Sfu)
            .map(|(_, datagram)| datagram);
        let mut out = relaying.outgoing(now, around.transmit, around.mesh);
        around.sfu.handle_batch(now, batch, &mut out);
    }

    fn relay(&mut self, now: Now) {
        let (_, relaying, mut around) = self.parts();
        let mut left = relaying.stream_input(now, &mut around);
        left |= relaying.peer_datagrams(now, &mut around);
        left |= relaying.peer_errors(now, &mut around);
        left |= relaying.continue_work(now, &mut around);
        left |= relaying.continue_dtls(now, &mut around);
        self.work_left |= left;
        self.transmit.stats.relay_sockets = self.transmit.relays.len() as u64;
    }

    fn read_mesh(&mut self, now: Now) {
        for _ in 0..MESH_BUDGET {
            let Some(message) = self.links.mesh.receive() else { return };
            self.transmit.stats.mesh_in += 1;
            let (_, relaying, mut around) = self.parts();
            match message {
                Message::Media(message) => {
                    let mut out = relaying.outgoing(now, around.transmit, around.mesh);
                    around.sfu.handle_mesh(now, message, &mut out);
                }
                Message::Stream(connection) => relaying.adopt_client(now, *connection, &mut around),
                Message::Turn { message, sockets } => relaying.shard_message(now, message, sockets, &mut around),
                Message::ToRelay { from, relayed, media, datagram } => {
                    relaying.media_datagram(now, from, relayed, media, datagram.bytes(), &mut around);
                }
                Message::Backlog { relayed, bytes } => relaying.backlog_told(relayed, bytes),
            }
        }
        self.work_left = true;
    }

    fn read_mailbox(&mut self, now: Now) {
        for _ in 0..MAILBOX_BUDGET {
            match self.links.mailbox.pop() {
                Some(Letter::Media(command)) => {
                    let mut out = self.relaying.outgoing(now, &mut self.transmit, &mut self.links.mesh);
                    self.sfu.handle_command(now, command, &mut out);
                }
                Some(Letter::Turn(command)) => {
                    let (_, relaying, mut around) = self.parts();
                    relaying.command(now, command, &mut around);
                }
                Some(Letter::Connection(connection)) => {
                    let (_, relaying, mut around) = self.parts();
                    relaying.adopt_client(now, *connection, &mut around);
                }
                Some(Letter::Stop) => self.stopping = true,
                None => return,
            }
        }
        self.work_left = true;
    }

    /// Timers, then everything that this turn's datagrams and messages brought, subscriber by subscriber.
    fn forward(&mut self, now: Now) {
        let mut out = self.relaying.outgoing(now, &mut self.transmit, &mut self.links.mesh);
        if self.sfu.poll_timeout().is_some_and(|due| due <= now.mono) {
            self.sfu.handle_timeout(now, &mut out);
        }
        self.sfu.flush(now, &mut out);
    }

    /// What was received, who relays it, and what that needs.
    fn parts(&mut self) -> (&mut Inbox, &mut Relaying, Surroundings<'_>) {
        let around = Surroundings {
            transmit: &mut self.transmit,
            mesh: &mut self.links.mesh,
            registry: self.links.poll.registry(),
            sfu: &mut self.sfu,
        };
        (&mut self.inbox, &mut self.relaying, around)
    }

    /// Events that find no room stay where they are.
    fn hand_out_events(&mut self) {
        self.events_wait = false;
        for _ in 0..EVENT_BUDGET {
            let Ok(place) = self.links.events.try_reserve() else {
                // Without a receiver there is nobody to keep them for.
                self.events_wait = !self.links.events.is_closed();
                return;
            };
            let shard = self.links.shard;
            if let Some(event) = self.sfu.poll_event() {
                place.send(Event::Media { shard, event });
            } else if let Some(event) = self.relaying.poll_event() {
                place.send(Event::Turn { shard, event });
            } else {
                return;
            }
        }
        self.work_left = true;
    }

    fn measure(&mut self, now: Now, sent_before: u64) {
        let end = Instant::now();
        let spent = end.saturating_duration_since(now.mono);
        let stats = &mut self.transmit.stats;
        stats.busy += spent;
        let sent = stats.packets_out - sent_before;
        if sent > 0 {
            stats.forward_latency.observe(spent.as_secs_f64(), sent);
        }
        if end >= self.snapshot_due {
            self.snapshot_due = end + SNAPSHOT_INTERVAL;
            self.publish();
        }
    }

    /// Copies the counters out, unless somebody is just reading them.
    fn publish(&mut self) {
        if let Ok(mut snapshot) = self.links.snapshot.try_lock() {
            snapshot.engine.clone_from(&self.transmit.stats);
            snapshot.sfu.clone_from(self.sfu.stats());
            snapshot.turn.clone_from(self.relaying.server.stats());
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Destination {
    Sfu,
    Turn,
    Nowhere,
}

/// Connectivity checks are Binding requests with a user name; a Binding request to a STUN server has none.
fn destination(entry: &Entry, bytes: &[u8]) -> Destination {
    match entry.class {
        Class::Dtls | Class::Rtp | Class::Rtcp => Destination::Sfu,
        Class::Stun if is_ice_check(bytes) => Destination::Sfu,
        Class::Stun | Class::ChannelData => Destination::Turn,
        Class::Unknown => Destination::Nowhere,
    }
}

pub fn read_clock() -> Now {
    Now { mono: Instant::now(), unix: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() }
}

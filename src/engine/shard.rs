//! One shard: a thread with its own sockets and its own part of every room, and the loop that it runs.
//!
//! A turn: wait, receive, dispatch, mesh, mailbox, timers, flush. Every step has a budget, and what is left over makes the next
//! turn begin at once.

use std::io;
use std::os::fd::AsRawFd;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant, SystemTime};

use crossbeam::queue::ArrayQueue;
use mio::unix::SourceFd;
use mio::{Events as PollEvents, Interest, Poll, Token};
use pointsman_wire::clock::Now;
use pointsman_wire::net::ShardId;
use tokio::sync::mpsc;

use super::mailbox::{Event, Letter};
use super::mesh::MeshPort;
use super::receive::{Drained, Inbox};
use super::stats::{DropReason, Snapshot};
use super::transmit::Transmit;
use super::wake::Bell;

pub const WAKER: Token = Token(usize::MAX);
const LISTENER_FIRST: usize = 0;

/// Mesh messages of one turn.
const MESH_BUDGET: usize = 1024;
/// Letters from control of one turn.
const MAILBOX_BUDGET: usize = 64;
const SNAPSHOT_INTERVAL: Duration = Duration::from_secs(1);
/// How soon to try again when control has no room for events.
const EVENT_RETRY: Duration = Duration::from_millis(20);

/// What a shard is made of; put together before its thread starts.
pub struct Parts {
    pub shard: ShardId,
    pub poll: Poll,
    pub bell: Arc<Bell>,
    pub mesh: MeshPort,
    pub mailbox: Arc<ArrayQueue<Letter>>,
    pub events: mpsc::Sender<Event>,
    pub snapshot: Arc<Mutex<Snapshot>>,
    pub batch_max: usize,
    pub gro: bool,
}

pub struct Shard {
    parts: Parts,
    transmit: Transmit,
    inbox: Inbox,
    poll_events: PollEvents,
    ready: Vec<Readiness>,
    /// The listener that is read first in the next turn.
    next_listener: usize,
    /// Something was left over for the next turn.
    work_left: bool,
    events_wait: bool,
    snapshot_due: Instant,
    stopping: bool,
}

/// A listening socket's state between turns.
#[derive(Clone, Copy, Debug, Default)]
struct Readiness {
    readable: bool,
    /// The kernel's count of dropped datagrams when it was last told.
    overflow: u32,
}

impl Shard {
    pub fn new(parts: Parts, transmit: Transmit) -> io::Result<Self> {
        for (at, listener) in transmit.listeners().iter().enumerate() {
            let fd = listener.socket.as_raw_fd();
            parts.poll.registry().register(&mut SourceFd(&fd), Token(LISTENER_FIRST + at), Interest::READABLE)?;
        }
        let listeners = transmit.listeners().len();
        let inbox = Inbox::new(parts.batch_max, parts.gro);
        Ok(Self {
            parts,
            transmit,
            inbox,
            poll_events: PollEvents::with_capacity(1024),
            // What arrived before registration announces itself no more.
            ready: vec![Readiness { readable: true, overflow: 0 }; listeners],
            next_listener: 0,
            work_left: true,
            events_wait: false,
            snapshot_due: Instant::now() + SNAPSHOT_INTERVAL,
            stopping: false,
        })
    }

    /// Runs until control says stop.
    pub fn run(&mut self) {
        while !self.stopping {
            self.wait();
            let now = read_clock();
            self.turn(now);
        }
        self.publish();
    }

    fn wait(&mut self) {
        let mut timeout = if self.work_left { Duration::ZERO } else { self.timeout() };
        if !timeout.is_zero() {
            self.parts.bell.lie_down();
            if !self.parts.mesh.is_empty() || !self.parts.mailbox.is_empty() {
                timeout = Duration::ZERO;
            }
        }
        let result = self.parts.poll.poll(&mut self.poll_events, Some(timeout));
        self.parts.bell.get_up();
        let stats = &mut self.transmit.stats;
        stats.turns += 1;
        stats.waits += u64::from(!timeout.is_zero());
        if let Err(error) = result
            && error.kind() != io::ErrorKind::Interrupted
        {
            tracing::error!(%error, shard = self.parts.shard.0, "cannot wait for packets");
            std::thread::sleep(Duration::from_millis(10));
        }
        for event in &self.poll_events {
            if let Some(ready) = self.ready.get_mut(event.token().0.wrapping_sub(LISTENER_FIRST)) {
                ready.readable = true;
            }
        }
    }

    fn timeout(&self) -> Duration {
        let mut until = self.snapshot_due;
        if self.events_wait {
            until = until.min(Instant::now() + EVENT_RETRY);
        }
        until.saturating_duration_since(Instant::now())
    }

    fn turn(&mut self, now: Now) {
        self.work_left = false;
        self.receive();
        self.dispatch(now);
        self.read_mesh(now);
        self.read_mailbox(now);
        self.transmit.flush();
        let wakes = self.parts.mesh.ring();
        self.transmit.stats.wakes_sent += wakes;
        self.hand_out_events();
        self.measure(now);
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

    fn dispatch(&mut self, _now: Now) {
        for _entry in self.inbox.entries() {
            self.transmit.stats.drop(DropReason::UnknownProtocol, 1);
        }
    }

    fn read_mesh(&mut self, _now: Now) {
        for _ in 0..MESH_BUDGET {
            let Some(_message) = self.parts.mesh.receive() else { return };
            self.transmit.stats.mesh_in += 1;
        }
        self.work_left = true;
    }

    fn read_mailbox(&mut self, _now: Now) {
        for _ in 0..MAILBOX_BUDGET {
            match self.parts.mailbox.pop() {
                Some(Letter::Media(_command)) => {}
                Some(Letter::Stop) => self.stopping = true,
                None => return,
            }
        }
        self.work_left = true;
    }

    fn hand_out_events(&mut self) {
        self.events_wait = false;
    }

    fn measure(&mut self, now: Now) {
        let end = Instant::now();
        let spent = end.saturating_duration_since(now.mono);
        self.transmit.stats.busy += spent;
        if end >= self.snapshot_due {
            self.snapshot_due = end + SNAPSHOT_INTERVAL;
            self.publish();
        }
    }

    /// Copies the counters out, unless somebody is just reading them.
    fn publish(&mut self) {
        if let Ok(mut snapshot) = self.parts.snapshot.try_lock() {
            snapshot.engine.clone_from(&self.transmit.stats);
        }
    }
}

fn read_clock() -> Now {
    Now { mono: Instant::now(), unix: SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default() }
}

//! A thread and the shards that it runs. Under load every shard has its own thread; those with little to do are guests of the first.
//!
//! ```text
//! thread 0:  shard 0, and as guests all shards whose load together is small
//! thread n:  shard n, or nothing while that is a guest
//! ```
//! A thread that wakes up pays for it whatever it finds (30 µs on a virtual machine), and so do the packets that come first after
//! it. One thread that wakes for all shards finds more each time, and shards under one roof never wake each other.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering, fence};
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::time::{Duration, Instant};

use crossbeam::queue::ArrayQueue;
use mio::unix::SourceFd;
use mio::{Interest, Token};

use super::pace::Pace;
use super::shard::{GUEST, Shard, read_clock};
use super::wake::Bell;

/// Over so long a thread's load is measured at least.
const WINDOW_MIN: Duration = Duration::from_millis(50);
/// A shard is calm for so long before it becomes a guest.
const CALM_MIN: Duration = Duration::from_secs(1);
/// Parts of a CPU, in thousandths, between the load at which shards come together and the one at which they part.
const HYSTERESIS: u32 = 200;

/// What the threads have in common.
pub struct Roof {
    /// Shards on their way to the first thread.
    door: ArrayQueue<Box<Shard>>,
    /// Wakes the first thread.
    bell: Arc<Bell>,
    /// Load of the first thread, in thousandths of a CPU.
    load: AtomicU32,
    /// The first thread has ended and takes nobody in.
    closed: AtomicBool,
    /// Where each shard's thread waits for it.
    homes: Vec<Home>,
    /// Up to this load, in thousandths of a CPU, shards are under one roof; 0 = never.
    load_max: u32,
}

impl Roof {
    /// For so many shards. `bell` wakes the first one's thread; shards whose load together is below so many per cent of a CPU are under
    /// one roof.
    pub fn new(shards: usize, bell: Arc<Bell>, load_percent_max: u32) -> Self {
        Self {
            door: ArrayQueue::new(shards.max(1)),
            bell,
            load: AtomicU32::new(0),
            closed: AtomicBool::new(false),
            homes: (0..shards).map(|_| Home::default()).collect(),
            load_max: load_percent_max * 10,
        }
    }

    /// Sends a shard back to its thread.
    fn send_home(&self, shard: Box<Shard>) {
        if let Some(home) = self.homes.get(shard.index()) {
            home.put(shard);
        }
    }

    fn empty_door(&self) {
        while let Some(shard) = self.door.pop() {
            self.send_home(shard);
        }
    }
}

/// Where a thread waits for its shard.
#[derive(Default)]
struct Home {
    shard: Mutex<Option<Box<Shard>>>,
    came: Condvar,
}

impl Home {
    fn put(&self, shard: Box<Shard>) {
        *self.shard.lock().unwrap_or_else(PoisonError::into_inner) = Some(shard);
        self.came.notify_one();
    }

    fn wait(&self) -> Box<Shard> {
        let mut place = self.shard.lock().unwrap_or_else(PoisonError::into_inner);
        loop {
            if let Some(shard) = place.take() {
                return shard;
            }
            place = self.came.wait(place).unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// A thread of the engine.
pub struct Host {
    roof: Arc<Roof>,
    /// Number of our own shard.
    index: usize,
    /// Our own first. Empty while it is a guest elsewhere.
    #[allow(clippy::vec_box, reason = "shards are some kilobytes and move between threads")]
    shards: Vec<Box<Shard>>,
    first: bool,
    pace: Pace,
    turn_ended: Instant,
    load: Load,
}

impl Host {
    pub fn new(roof: Arc<Roof>, shard: Shard, pace: Pace) -> Self {
        let now = Instant::now();
        let mut shards = Vec::with_capacity(roof.homes.len());
        let index = shard.index();
        shards.push(Box::new(shard));
        Self { roof, index, shards, first: index == 0, pace, turn_ended: now, load: Load::new(now) }
    }

    /// Runs until control says stop.
    pub fn run(mut self) {
        while self.is_at_home() {
            self.wait();
            self.turn();
            if self.first {
                self.take_in();
            }
            self.weigh();
        }
        if self.first {
            self.close();
        }
    }

    /// Whether there is something to run: waits for our own shard while it is a guest, and ends the one that has stopped.
    fn is_at_home(&mut self) -> bool {
        if self.shards.is_empty()
            && let Some(home) = self.roof.homes.get(self.index)
        {
            let mut shard = home.wait();
            shard.set_guest(false);
            self.shards.push(shard);
            self.load = Load::new(Instant::now());
        }
        if self.shards[0].is_stopping() {
            self.shards.swap_remove(0).finish();
            return false;
        }
        true
    }

    /// Waits until something is due for any of the shards.
    fn wait(&mut self) {
        let work_left = self.shards.iter().any(|shard| shard.has_work());
        if let Some(gather) = self.pace.gather(work_left) {
            // Nobody need wake us meanwhile: the look at the rings below comes after it.
            std::thread::sleep(gather);
        }
        let mut timeout = Duration::ZERO;
        if !work_left {
            let due = self.shards.iter().map(|shard| shard.due(self.turn_ended)).min();
            timeout = due.map_or(Duration::ZERO, |due| due.saturating_duration_since(self.turn_ended));
        }
        if !timeout.is_zero() {
            for shard in &self.shards {
                shard.lie_down();
            }
            if self.shards.iter().any(|shard| shard.has_letters()) || (self.first && !self.roof.door.is_empty()) {
                timeout = Duration::ZERO;
            }
        }
        // The first one's poll hears the others' too.
        for shard in &mut self.shards {
            shard.look(std::mem::take(&mut timeout));
        }
    }

    fn turn(&mut self) {
        let mut received = 0;
        let mut waited = None;
        for shard in &mut self.shards {
            let now = read_clock();
            waited.get_or_insert_with(|| now.mono.saturating_duration_since(self.turn_ended));
            received += shard.turn(now);
        }
        self.turn_ended = Instant::now();
        self.pace.note(waited.unwrap_or_default(), received);
    }

    /// Takes in the shards that stand at the door, and lets go of those that end.
    fn take_in(&mut self) {
        let before = self.shards.len();
        while let Some(guest) = self.roof.door.pop() {
            // What its sockets already hold is told, too.
            let token = Token(GUEST.0 - guest.index());
            if let Err(error) = self.shards[0].registry().register(&mut SourceFd(&guest.poll_fd()), token, Interest::READABLE) {
                tracing::error!(%error, "a shard cannot be waited for from another thread");
                self.roof.send_home(guest);
                continue;
            }
            self.shards.push(guest);
        }
        while let Some(at) = self.shards.iter().skip(1).position(|guest| guest.is_stopping()) {
            self.send_home(at + 1);
        }
        if self.shards.len() != before {
            self.load.restart(self.turn_ended, self.busy());
        }
    }

    /// Of all its shards together, since each began.
    fn busy(&self) -> Duration {
        self.shards.iter().map(|shard| shard.busy()).sum()
    }

    fn send_home(&mut self, at: usize) {
        let guest = self.shards.swap_remove(at);
        if let Err(error) = self.shards[0].registry().deregister(&mut SourceFd(&guest.poll_fd())) {
            tracing::error!(%error, "a shard was not waited for");
        }
        self.roof.send_home(guest);
    }

    /// Looks at the load, and who runs what.
    fn weigh(&mut self) {
        let busy = self.busy();
        let Some(load) = self.load.measure(self.turn_ended, busy, self.roof.load_max) else { return };
        if self.first {
            self.roof.load.store(load, Ordering::Relaxed);
            if load > self.roof.load_max + HYSTERESIS && self.shards.len() > 1 {
                tracing::debug!(load, guests = self.shards.len() - 1, "shards return to their own threads");
                while self.shards.len() > 1 {
                    self.send_home(self.shards.len() - 1);
                }
                self.load.restart(self.turn_ended, self.busy());
            }
        } else if self.load.calm_for(self.turn_ended) >= CALM_MIN
            && load + self.roof.load.load(Ordering::Relaxed) < self.roof.load_max
            && !self.shards[0].has_work()
        {
            self.leave_home();
        }
    }

    /// Our shard becomes a guest of the first thread.
    fn leave_home(&mut self) {
        let Some(mut shard) = self.shards.pop() else { return };
        shard.set_guest(true);
        if let Err(shard) = self.roof.door.push(shard) {
            self.roof.send_home(shard);
        }
        // Either the first thread sees it at the door, or we see that nobody opens any more.
        fence(Ordering::SeqCst);
        if self.roof.closed.load(Ordering::SeqCst) {
            self.roof.empty_door();
        } else {
            self.roof.bell.ring();
        }
    }

    /// Nobody is taken in any more, and everybody goes home to end there.
    fn close(&mut self) {
        self.roof.closed.store(true, Ordering::SeqCst);
        fence(Ordering::SeqCst);
        for guest in self.shards.drain(..) {
            self.roof.send_home(guest);
        }
        self.roof.empty_door();
    }
}

/// A thread's load, window by window.
#[derive(Debug)]
struct Load {
    since: Instant,
    /// The shards' busy time at its beginning.
    busy: Duration,
    /// Since when it has been small.
    calm_since: Instant,
}

impl Load {
    fn new(now: Instant) -> Self {
        // Its shards' busy time so far is not known: the first window measures too much, and so nothing calm.
        Self { since: now, busy: Duration::ZERO, calm_since: now }
    }

    /// In thousandths of a CPU, at the end of a window.
    fn measure(&mut self, now: Instant, busy: Duration, calm_max: u32) -> Option<u32> {
        let time = now.saturating_duration_since(self.since);
        if time < WINDOW_MIN {
            return None;
        }
        let load = busy.saturating_sub(self.busy).as_micros() * 1000 / time.as_micros().max(1);
        let load = u32::try_from(load).unwrap_or(u32::MAX).min(1000);
        self.restart(now, busy);
        if load >= calm_max {
            self.calm_since = now;
        }
        Some(load)
    }

    fn restart(&mut self, now: Instant, busy: Duration) {
        self.since = now;
        self.busy = busy;
    }

    fn calm_for(&self, now: Instant) -> Duration {
        now.saturating_duration_since(self.calm_since)
    }
}

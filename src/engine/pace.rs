//! When a shard lets packets gather: only while they keep coming more often than the time that it may wait.
//!
//! ```text
//! idle:       wait ───────────── packet, turn, wait ──────── …      every packet at once
//! under load: turn, gather, turn (many packets), gather, turn …     turns no more often than once per `gather`
//! ```
//! A turn costs several microseconds whatever it finds: waking up, asking each socket, one call per socket to send.

use std::time::Duration;

/// So many turns in a row must have come after short waits before the first that is put off.
const BUSY_TURNS_MIN: u32 = 8;
/// A gathering that brought fewer datagrams than this was not worth it.
const GATHERED_MIN: u64 = 2;

#[derive(Debug)]
pub struct Pace {
    gather: Duration,
    /// Turns in a row that found datagrams after no or a short wait.
    busy_turns: u32,
    gathered: bool,
}

impl Pace {
    /// `gather` zero: never.
    pub const fn new(gather: Duration) -> Self {
        Self { gather, busy_turns: 0, gathered: false }
    }

    /// How long to let packets gather before the next look; `None` while there is no load, or when work waits.
    pub fn gather(&mut self, work_left: bool) -> Option<Duration> {
        self.gathered = !work_left && self.busy_turns >= BUSY_TURNS_MIN && !self.gather.is_zero();
        self.gathered.then_some(self.gather)
    }

    /// A turn began after `waited`, gathering included, and found so many datagrams.
    pub fn note(&mut self, waited: Duration, datagrams: u64) {
        let busy = if self.gathered { datagrams >= GATHERED_MIN } else { datagrams > 0 && waited < self.gather };
        self.busy_turns = if busy { self.busy_turns.saturating_add(1) } else { 0 };
    }
}

#[cfg(test)]
mod tests;

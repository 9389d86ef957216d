//! When a shard lets packets gather: only while they come so often that a few will join.
//!
//! ```text
//! idle:       wait ───────────── packet, turn, wait ──────── …      every packet at once
//! under load: turn, gather, turn (many packets), gather, turn …     turns no more often than once per `gather`
//! ```
//! A turn costs several microseconds whatever it finds: waking up, asking each socket, one call per socket to send.

use std::time::Duration;

/// Datagrams that must be expected to come in the meantime.
const GATHERED_MIN: u32 = 2;
/// Over so many turns with datagrams the time between two of them is averaged. One pause of that many times the gathering ends it.
const TURNS: u32 = 8;
/// Before anything is known.
const LONG: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub struct Pace {
    gather: Duration,
    /// Running average of the time between two datagrams.
    gap: Duration,
    /// Time since the last datagram, in turns that found none.
    quiet: Duration,
}

impl Pace {
    /// `gather` zero: never.
    pub const fn new(gather: Duration) -> Self {
        Self { gather, gap: LONG, quiet: Duration::ZERO }
    }

    /// How long to let packets gather before the next look; `None` while there is no load, or when work waits.
    pub fn gather(&self, work_left: bool) -> Option<Duration> {
        (!work_left && self.gap * GATHERED_MIN < self.gather).then_some(self.gather)
    }

    /// A turn began after `waited`, gathering included, and found so many datagrams.
    pub fn note(&mut self, waited: Duration, datagrams: u64) {
        let Ok(datagrams @ 1..) = u32::try_from(datagrams) else {
            self.quiet = self.quiet.saturating_add(waited).min(LONG);
            return;
        };
        let gap = (std::mem::take(&mut self.quiet).saturating_add(waited) / datagrams).min(LONG);
        self.gap = (self.gap * (TURNS - 1) + gap) / TURNS;
    }
}

#[cfg(test)]
mod tests;

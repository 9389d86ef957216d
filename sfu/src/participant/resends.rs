//! How much may be sent again. Retransmissions that fill a path which is full already only make more losses, and those more retransmissions.

use std::time::Instant;

/// Bytes that one participant may be sent again: half of the estimate.
#[derive(Debug)]
pub struct Resends {
    left: u64,
    at: Instant,
}

/// What may gather while nothing is asked for, in parts of a second's share, and the least of it: a few packets.
const GATHERED_MS: u64 = 400;
const GATHERED_LEAST: u64 = 6_000;

impl Resends {
    pub const fn new(now: Instant) -> Self {
        Self { left: u64::MAX, at: now }
    }

    /// Before each report's retransmissions.
    pub fn refill(&mut self, now: Instant, estimate_bps: u64) {
        let bytes_per_second = estimate_bps / 2 / 8;
        let passed_us = now.saturating_duration_since(self.at).as_micros().min(10_000_000) as u64;
        let most = (bytes_per_second * GATHERED_MS / 1000).max(GATHERED_LEAST);
        self.left = self.left.saturating_add(bytes_per_second * passed_us / 1_000_000).min(most);
        self.at = now;
    }

    /// Whether so many bytes more may go.
    pub const fn take(&mut self, len: usize) -> bool {
        let may = self.left >= len as u64;
        if may {
            self.left -= len as u64;
        }
        may
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs some origin")]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn half_of_the_estimate_is_for_what_was_lost() {
        let start = Instant::now();
        let mut resends = Resends::new(start);
        resends.refill(start, 1_600_000);
        let count = (0..1000).filter(|_| resends.take(1000)).count();
        assert_eq!(count, 40, "what gathers in 400 ms of 100 kB/s");
        resends.refill(start + Duration::from_millis(100), 1_600_000);
        assert_eq!((0..1000).filter(|_| resends.take(1000)).count(), 10);
        resends.refill(start + Duration::from_secs(60), 50_000);
        assert_eq!((0..1000).filter(|_| resends.take(1000)).count(), 6, "a few packets always");
    }
}

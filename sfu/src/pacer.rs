//! How fast one participant is sent to, so that what is sent at once does not fill the queue of a narrow link.
//!
//! A bucket. What the link takes in a frame's time leaves together, as trains; of a keyframe that is larger the rest stays in the
//! publisher's cache, where it is anyway, and leaves from there in short bursts. Sound and repeats never wait, but they count.

use std::time::{Duration, Instant};

/// Above the estimate: a frame must not wait for the one before, and the estimate is no more than what is proved.
const RATE_PERCENT: u64 = 125;
/// What may leave at once, as a time of the estimate: the frame interval of 25 pictures a second.
const DEPTH_MS: u64 = 40;
/// … and in bytes at least: two packets.
const DEPTH_LEAST: i64 = 2_400;
/// The smallest pictures are never held back: whether they fit is not for this to say.
const ESTIMATE_LEAST_BPS: u64 = 300_000;
/// Between two bursts of what waits.
pub const INTERVAL: Duration = Duration::from_millis(5);

/// Bytes that may leave now.
#[derive(Debug)]
pub struct Pacer {
    left: i64,
    /// Parts of a byte, in millionths.
    rest: u64,
    at: Instant,
}

impl Pacer {
    /// Full: nothing has left yet.
    pub const fn new(now: Instant) -> Self {
        Self { left: i64::MAX, rest: 0, at: now }
    }

    /// Before each stretch of packets.
    pub fn refill(&mut self, now: Instant, estimate_bps: u64) {
        let estimate_bps = estimate_bps.clamp(ESTIMATE_LEAST_BPS, 10_000_000_000);
        let passed_us = now.saturating_duration_since(self.at).as_micros().min(1_000_000) as u64;
        let earned = estimate_bps * RATE_PERCENT / 800 * passed_us + self.rest;
        self.rest = earned % 1_000_000;
        let most = i64::try_from(estimate_bps * DEPTH_MS / 8_000).unwrap_or(i64::MAX).max(DEPTH_LEAST);
        self.left = self.left.saturating_add_unsigned(earned / 1_000_000).min(most);
        // What never waits may have taken more than there was; it is not held against the rest for long.
        self.left = self.left.max(-most);
        self.at = now;
    }

    /// Whether a packet may leave now.
    pub const fn is_open(&self) -> bool {
        self.left > 0
    }

    /// What was sent before has not left yet.
    pub const fn close(&mut self) {
        if self.left > 0 {
            self.left = 0;
        }
    }

    /// A packet leaves.
    pub const fn take(&mut self, len: usize) {
        self.left = self.left.saturating_sub_unsigned(len as u64);
    }
}

#[cfg(test)]
#[expect(clippy::disallowed_methods, reason = "a test needs some origin")]
mod tests {
    use super::*;

    /// Packets of 1,000 bytes that leave.
    fn leave(pacer: &mut Pacer) -> usize {
        let mut count = 0;
        while pacer.is_open() {
            pacer.take(1000);
            count += 1;
        }
        count
    }

    #[test]
    fn a_frame_leaves_at_once_and_a_keyframe_in_bursts() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        let at = |ms| start + Duration::from_millis(ms);
        pacer.refill(at(1000), 2_000_000);
        assert_eq!(leave(&mut pacer), 10, "40 ms of 2 Mbit/s");
        let bursts: Vec<usize> = (1..=20).map(|turn| (pacer.refill(at(1000 + 5 * turn), 2_000_000), leave(&mut pacer)).1).collect();
        assert!(bursts.iter().all(|&burst| burst <= 2), "{bursts:?}");
        assert_eq!(bursts.iter().sum::<usize>(), 32, "100 ms of 2.5 Mbit/s");
    }

    #[test]
    fn what_never_waits_holds_up_the_rest_for_a_frames_time_at_most() {
        let start = Instant::now();
        let mut pacer = Pacer::new(start);
        (0..1000).for_each(|_| pacer.take(1000));
        pacer.refill(start, 2_000_000);
        pacer.refill(start + Duration::from_millis(33), 2_000_000);
        assert!(pacer.is_open());
    }
}

//! Finds gaps in a publisher's stream and asks for what is missing (generic NACK, RFC 4585 section 6.2.1).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// Limits of one stream's requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NackConfig {
    /// Packets asked for at a time. Above it the oldest are given up: so much loss is better answered by a keyframe.
    pub missing_max: usize,
    /// Times that one packet is asked for.
    pub tries_max: u8,
    /// What is missing for longer is not worth having: whoever waited has frozen or gone on.
    pub age_max: Duration,
    /// A packet is missed only after this: it may have been overtaken.
    pub reorder_wait: Duration,
    /// Least time between two requests for one packet, when the round trip is shorter.
    pub retry_min: Duration,
    /// A gap above this is a new start of the stream, not a loss.
    pub gap_max: u64,
}

impl Default for NackConfig {
    fn default() -> Self {
        Self {
            missing_max: 256,
            tries_max: 10,
            age_max: Duration::from_secs(1),
            reorder_wait: Duration::from_millis(10),
            retry_min: Duration::from_millis(20),
            gap_max: 1000,
        }
    }
}

/// One stream's missing packets, by sequence numbers with roll-overs counted.
#[derive(Clone, Debug, Default)]
pub struct NackGenerator {
    newest: Option<u64>,
    /// In ascending order of sequence.
    missing: VecDeque<Missing>,
    abandoned: u64,
}

#[derive(Clone, Copy, Debug)]
struct Missing {
    sequence: u64,
    since: Instant,
    due: Instant,
    tries: u8,
}

impl NackGenerator {
    pub const fn new() -> Self {
        Self { newest: None, missing: VecDeque::new(), abandoned: 0 }
    }

    /// A packet arrived, as itself or out of a retransmission.
    pub fn received(&mut self, now: Instant, sequence: u64, config: &NackConfig) {
        let Some(newest) = self.newest else {
            self.newest = Some(sequence);
            return;
        };
        if sequence <= newest {
            if let Ok(at) = self.missing.binary_search_by_key(&sequence, |it| it.sequence) {
                self.missing.remove(at);
            }
            return;
        }
        self.newest = Some(sequence);
        let gap = sequence - newest - 1;
        if gap > config.gap_max {
            self.missing.clear();
            return;
        }
        // Of a gap that is longer than the list the newest part counts.
        let missing_max = config.missing_max.max(1);
        let first = (newest + 1).max(sequence.saturating_sub(missing_max as u64));
        self.abandoned += first - (newest + 1);
        if gap > 0 && self.missing.capacity() == 0 {
            self.missing.reserve_exact(missing_max); // Once, not step by step while packets are lost.
        }
        for sequence in first..sequence {
            if self.missing.len() >= missing_max {
                self.missing.pop_front();
                self.abandoned += 1;
            }
            self.missing.push_back(Missing { sequence, since: now, due: now + config.reorder_wait, tries: 0 });
        }
    }

    /// When [`Self::collect`] will have something, at the earliest; a time that has passed means now.
    pub fn next_due(&self) -> Option<Instant> {
        self.missing.iter().map(|it| it.due).min()
    }

    /// Writes what is to be asked for now into `out`, in ascending order, and returns how many. What does not fit comes the next time.
    pub fn collect(&mut self, now: Instant, rtt: Duration, config: &NackConfig, out: &mut [u16]) -> usize {
        let before = self.missing.len();
        self.missing.retain(|it| it.tries < config.tries_max && now.saturating_duration_since(it.since) < config.age_max);
        self.abandoned += (before - self.missing.len()) as u64;
        // A little above the round trip, so that what is on its way is not asked for again.
        let retry = (rtt + rtt / 4).max(config.retry_min);
        let due = self.missing.iter_mut().filter(|it| it.due <= now);
        let mut count = 0;
        for (missing, place) in due.zip(out) {
            *place = missing.sequence as u16;
            missing.due = now + retry;
            missing.tries += 1;
            count += 1;
        }
        count
    }

    /// Packets that are missing and still hoped for.
    pub fn missing(&self) -> usize {
        self.missing.len()
    }

    /// Packets that were given up so far.
    pub const fn abandoned(&self) -> u64 {
        self.abandoned
    }

    /// Everything before this is no longer needed, for instance because a keyframe begins there.
    pub fn forget_before(&mut self, sequence: u64) {
        let old = self.missing.partition_point(|it| it.sequence < sequence);
        self.missing.drain(..old);
    }

    /// The stream starts anew.
    pub fn reset(&mut self) {
        self.newest = None;
        self.missing.clear();
    }
}

#[cfg(test)]
mod tests;

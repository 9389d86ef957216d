//! Records when the packets of a transport arrive and tells the publisher, which steers its bitrate by it (transport-wide congestion
//! control feedback; the format is in [`pointsman_wire::rtcp::TransportCc`]).

use std::collections::VecDeque;
use std::time::{Duration, Instant};

use pointsman_wire::rtcp::{TICK_US, Writer};
use pointsman_wire::rtp::{SequenceUnwrapper, sequence_distance};

/// Limits of one transport's recorder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TwccConfig {
    /// From the first packet that was not told yet to the feedback that tells it. Browsers send one each 50 to 250 ms; below 100 ms
    /// their estimate follows the way well.
    pub interval: Duration,
    /// Arrivals that are kept, 16 bytes each; when so many wait to be told, feedback is due at once.
    pub arrivals_max: usize,
    /// Arrivals that were told are kept for this long: feedback on one that comes late speaks of those after it once more.
    pub keep: Duration,
}

impl Default for TwccConfig {
    fn default() -> Self {
        Self { interval: Duration::from_millis(50), arrivals_max: 1024, keep: Duration::from_millis(500) }
    }
}

/// The packets of one transport, by transport-wide sequence number.
#[derive(Clone, Debug)]
pub struct TwccRecorder {
    origin: Instant,
    sequences: SequenceUnwrapper,
    /// Sequence number and arrival in ticks since the origin, in ascending order of sequence.
    arrivals: VecDeque<(u64, i64)>,
    /// First sequence number that the next feedback speaks of; `None` before the first packet.
    untold: Option<u64>,
    /// When feedback is due; `None` while there is nothing to tell.
    due: Option<Instant>,
    feedback_count: u8,
}

/// What [`TwccRecorder::write`] did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Written {
    /// All is told.
    All,
    /// A packet was written, and there is more to tell: call again with another writer.
    More,
    /// Nothing was written: there was nothing to tell, or no room for it.
    Nothing,
}

impl TwccRecorder {
    /// A step above this, either way, is a new start of the numbering.
    const STEP_MAX: u16 = 8192;

    /// `origin` is about now: arrival times are told from there.
    pub const fn new(origin: Instant) -> Self {
        Self { origin, sequences: SequenceUnwrapper::new(), arrivals: VecDeque::new(), untold: None, due: None, feedback_count: 0 }
    }

    /// A packet with this transport-wide sequence number arrived.
    pub fn received(&mut self, now: Instant, sequence: u16, config: &TwccConfig) {
        if let Some(highest) = self.sequences.highest()
            && sequence_distance(highest as u16, sequence).unsigned_abs() > Self::STEP_MAX
        {
            self.sequences = SequenceUnwrapper::new();
            self.arrivals.clear();
            self.untold = None;
        }
        let sequence = self.sequences.extend(sequence);
        let Some(at) = self.place_of(sequence) else { return };
        if self.arrivals.capacity() == 0 {
            self.arrivals.reserve_exact(config.arrivals_max.max(2)); // Once, not step by step while media flows.
        }
        if self.arrivals.len() >= config.arrivals_max.max(2) {
            if at == 0 {
                return;
            }
            self.arrivals.pop_front();
            self.arrivals.insert(at - 1, (sequence, self.ticks(now)));
            // What was pushed out untold is told as missing: late by a whole window, it would be of no use.
        } else {
            self.arrivals.insert(at, (sequence, self.ticks(now)));
        }
        self.untold = Some(self.untold.map_or(sequence, |untold| untold.min(sequence)));
        let full = self.arrivals.len() >= config.arrivals_max && self.waiting() >= config.arrivals_max / 2;
        self.due = Some(if full { now } else { self.due.unwrap_or(now + config.interval) });
    }

    /// Where an arrival belongs; `None` when it is known already.
    fn place_of(&self, sequence: u64) -> Option<usize> {
        match self.arrivals.back() {
            Some(&(last, _)) if last >= sequence => self.arrivals.binary_search_by_key(&sequence, |it| it.0).err(),
            _ => Some(self.arrivals.len()),
        }
    }

    fn ticks(&self, at: Instant) -> i64 {
        i64::try_from(at.saturating_duration_since(self.origin).as_micros()).unwrap_or(i64::MAX) / TICK_US
    }

    /// Arrivals from the first untold one on.
    fn waiting(&self) -> usize {
        self.untold.map_or(0, |untold| self.arrivals.len() - self.first_untold(untold))
    }

    fn first_untold(&self, untold: u64) -> usize {
        self.arrivals.partition_point(|it| it.0 < untold)
    }

    /// When [`Self::write`] is to be called; a time that has passed means now.
    pub const fn next_due(&self) -> Option<Instant> {
        self.due
    }

    /// Writes one feedback packet. `sender` is our SSRC, `media` that of the last packet that arrived, by custom.
    pub fn write(&mut self, now: Instant, sender: u32, media: u32, config: &TwccConfig, writer: &mut Writer<'_>) -> Written {
        let (Some(untold), Some(_)) = (self.untold, self.due) else { return Written::Nothing };
        let first = self.first_untold(untold);
        // A window that was pushed out must not leave a gap that one packet cannot tell.
        let base = self.arrivals.get(first).map_or(untold, |it| untold.max(it.0.saturating_sub(u64::from(Self::STEP_MAX))));
        let Some(taken) = writer.transport_cc(sender, media, self.feedback_count, base, self.arrivals.range(first..).copied()) else {
            return Written::Nothing;
        };
        self.feedback_count = self.feedback_count.wrapping_add(1);
        self.untold = self.arrivals.get(first + taken - 1).map(|it| it.0 + 1);
        if first + taken < self.arrivals.len() {
            return Written::More;
        }
        self.due = None;
        let oldest = self.ticks(now) - i64::try_from(config.keep.as_micros()).unwrap_or(i64::MAX) / TICK_US;
        while self.arrivals.front().is_some_and(|it| it.1 < oldest) {
            self.arrivals.pop_front();
        }
        Written::All
    }
}

#[cfg(test)]
mod tests;

//! Sequence numbers and timestamps.

use std::time::Instant;

/// Changes of the offset that late packets can still look behind. Each is one run of packets that were not forwarded.
const TURNS: usize = 32;
/// Between frames that are shown late, in ticks: at 90 kHz a millisecond.
const BEHIND_STEP: u32 = 90;
const SHOWN_LATE: usize = 32;

/// Maps a source's numbers to the subscriber's. Gaps stay gaps (the subscriber asks for what is missing, and what comes late fits
/// in), except those of packets that were left out on purpose.
#[derive(Clone, Debug)]
pub struct RtpMunger {
    /// The next source continues after this one. Roll-overs counted.
    highest_out: u64,
    highest_in: u64,
    /// First of the current source; what is earlier belongs to no stretch that was sent.
    first_in: u64,
    last_timestamp: u32,
    last_at: Option<Instant>,
    timestamp_offset: u32,
    /// What is sent was captured before it could be shown: the source's timestamp of the newest frame of that.
    behind: Option<u32>,
    /// Timestamps of the newest frames that were shown late, as they came and as they were sent; what is late of them must agree.
    shown_late: [(u32, u32); SHOWN_LATE],
    shown_late_count: usize,
    /// `out = in - skipped + base`, by the number from which it holds; the newest first. Only the first `turns` count.
    offsets: [(u64, u64); TURNS],
    turns: usize,
}

impl RtpMunger {
    /// Starts so that the first packet gets `sequence` and `timestamp`. A sequence of zero counts as one.
    pub fn new(sequence: u16, timestamp: u32) -> Self {
        Self {
            highest_out: u64::from(sequence).saturating_sub(1),
            highest_in: 0,
            first_in: 0,
            last_timestamp: timestamp,
            last_at: None,
            timestamp_offset: 0,
            behind: None,
            shown_late: [(0, 0); SHOWN_LATE],
            shown_late_count: 0,
            offsets: [(0, 0); TURNS],
            turns: 0,
        }
    }

    /// Nothing was sent yet.
    pub fn is_new(&self) -> bool {
        self.last_at.is_none()
    }

    /// The next packet is the first of another stream: `sequence` continues after the last one sent, and its timestamp becomes `out_timestamp`
    /// (never at or before the last one: two frames with one timestamp are one frame to a decoder).
    pub fn switch(&mut self, sequence: u64, timestamp: u32, out_timestamp: u32) {
        let out_timestamp =
            if self.is_new() || newer(out_timestamp, self.last_timestamp) { out_timestamp } else { self.last_timestamp.wrapping_add(1) };
        self.timestamp_offset = out_timestamp.wrapping_sub(timestamp);
        self.behind = None;
        self.shown_late_count = 0;
        self.first_in = sequence;
        self.highest_in = sequence;
        self.offsets[0] = (sequence, (self.highest_out + 1).wrapping_sub(sequence));
        self.turns = 1;
    }

    /// As [`RtpMunger::switch`], for packets that are older than what was sent last: `live` is a timestamp that belongs to `out_live`, and
    /// until frames are newer than what was sent they follow each other by [`BEHIND_STEP`].
    pub fn switch_behind(&mut self, sequence: u64, live: u32, out_live: u32) {
        self.switch(sequence, live, out_live);
        self.timestamp_offset = out_live.wrapping_sub(live);
        self.behind = Some(live.wrapping_add(1));
    }

    /// Timestamp for a stream that starts now, by the time that has passed since the last packet.
    pub fn timestamp_by_arrival(&self, now: Instant, clock_rate: u32) -> u32 {
        let Some(last_at) = self.last_at else { return self.last_timestamp };
        let passed = now.saturating_duration_since(last_at);
        let ticks = passed.as_micros() * u128::from(clock_rate) / 1_000_000;
        self.last_timestamp.wrapping_add(ticks as u32)
    }

    /// The subscriber's numbers for a packet, roll-overs counted (the first counts none). `None` when it is from before the stream
    /// that is sent now.
    pub fn forward(&mut self, now: Instant, sequence: u64, timestamp: u32) -> Option<(u64, u32)> {
        let out = self.out_sequence(sequence)?;
        let timestamp = if out > self.highest_out { self.timestamp_now(timestamp) } else { self.timestamp_late(timestamp)? };
        self.highest_in = self.highest_in.max(sequence);
        if out > self.highest_out {
            self.highest_out = out;
            self.last_timestamp = timestamp;
            self.last_at = Some(now);
        }
        Some((out, timestamp))
    }

    /// A packet of the current stream that is not forwarded, and must leave no gap.
    pub fn skip(&mut self, sequence: u64) {
        if self.turns == 0 || sequence <= self.highest_in || sequence < self.first_in {
            return; // Too late to close the gap: packets after it were sent.
        }
        let (from, offset) = self.offsets[0];
        // Those before it were left out, too: one run.
        if from != sequence {
            self.offsets.copy_within(0..TURNS - 1, 1);
            self.turns = (self.turns + 1).min(TURNS);
        }
        self.offsets[0] = (sequence + 1, offset.wrapping_sub(1));
        self.highest_in = sequence;
    }

    /// The highest number sent, roll-overs counted.
    pub fn newest(&self) -> u64 {
        self.highest_out
    }

    /// The timestamp of the newest packet sent.
    pub fn newest_timestamp(&self) -> u32 {
        self.last_timestamp
    }

    /// `out_sequence` with roll-overs counted. `None` when it was not sent yet.
    pub fn extend(&self, out_sequence: u16) -> Option<u64> {
        let behind = (self.highest_out as u16).wrapping_sub(out_sequence);
        if behind >= 1 << 15 {
            return None;
        }
        self.highest_out.checked_sub(u64::from(behind))
    }

    /// Which of the source's packets `out` (roll-overs counted) is or would be, for the current stream.
    pub fn in_sequence(&self, out: u64) -> Option<u64> {
        let turns = &self.offsets[..self.turns];
        turns
            .iter()
            .map(|&(from, offset)| (from, out.wrapping_sub(offset)))
            .find(|&(from, sequence)| sequence >= from)
            .map(|(_, sequence)| sequence)
    }

    /// Of a packet that comes after later ones. `None` for a frame whose time stood nearly still: which it was given is not known any more.
    pub fn timestamp_late(&self, timestamp: u32) -> Option<u32> {
        let shown_late = &self.shown_late[..self.shown_late_count.min(SHOWN_LATE)];
        match shown_late.iter().find(|(came, _)| *came == timestamp) {
            Some(&(_, sent)) => Some(sent),
            None => {
                let out = self.out_timestamp(timestamp);
                let fits = |&(came, sent): &(u32, u32)| newer(timestamp, came) && newer(out, sent);
                shown_late.iter().all(fits).then_some(out)
            }
        }
    }

    /// While packets come from the past, time stands nearly still.
    fn timestamp_now(&mut self, timestamp: u32) -> u32 {
        let out = self.out_timestamp(timestamp);
        let Some(frame) = self.behind else { return out };
        if frame == timestamp {
            return self.last_timestamp;
        }
        if newer(out, self.last_timestamp) {
            self.behind = None;
            return out;
        }
        self.behind = Some(timestamp);
        let out = self.last_timestamp.wrapping_add(BEHIND_STEP);
        self.shown_late[self.shown_late_count % SHOWN_LATE] = (timestamp, out);
        self.shown_late_count += 1;
        out
    }

    pub fn out_timestamp(&self, timestamp: u32) -> u32 {
        timestamp.wrapping_add(self.timestamp_offset)
    }

    /// How far `sequence` is ahead of the newest of the source.
    pub fn ahead(&self, sequence: u64) -> u64 {
        sequence.saturating_sub(self.highest_in)
    }

    fn out_sequence(&self, sequence: u64) -> Option<u64> {
        self.offsets[..self.turns].iter().find(|&&(from, _)| sequence >= from).map(|&(_, offset)| sequence.wrapping_add(offset))
    }
}

fn newer(a: u32, b: u32) -> bool {
    a != b && a.wrapping_sub(b) < 1 << 31
}

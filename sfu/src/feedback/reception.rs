//! How a publisher's stream arrives: the receiver's side of RTP statistics (RFC 3550 sections 6.4.1, A.3 and A.8).

use std::time::{Duration, Instant};

use pointsman_wire::clock::{NtpTime, from_short_ntp, short_ntp};
use pointsman_wire::rtcp::ReportBlock;

/// One SSRC's statistics.
#[derive(Clone, Debug)]
pub struct Reception {
    ssrc: u32,
    /// In Hz.
    clock_rate: u32,
    started: Option<Started>,
    last_sr: Option<(u32, Instant)>,
}

#[derive(Clone, Copy, Debug)]
struct Started {
    /// Lowest and highest sequence number, roll-overs counted.
    base: u64,
    highest: u64,
    received: u64,
    /// At the last report.
    expected_prior: u64,
    received_prior: u64,
    last_arrival: Instant,
    last_timestamp: u32,
    /// In 1/16 units of the clock rate.
    jitter_16: u64,
}

impl Reception {
    /// A gap above this is a new start of the stream (RFC 3550 appendix A.1 has 3,000, too).
    const GAP_MAX: u64 = 3000;

    pub const fn new(ssrc: u32, clock_rate: u32) -> Self {
        Self { ssrc, clock_rate, started: None, last_sr: None }
    }

    /// The payload's clock rate, in Hz, if it changes.
    pub const fn set_clock_rate(&mut self, clock_rate: u32) {
        self.clock_rate = clock_rate;
    }

    /// A packet of this SSRC arrived; `sequence` has its roll-overs counted. Each at most once: SRTP drops repetitions. What comes over RTX is
    /// another SSRC and does not count here (RFC 4588 section 6.1).
    pub fn received(&mut self, now: Instant, sequence: u64, timestamp: u32) {
        let Some(it) = &mut self.started else {
            self.started = Some(Started::new(now, sequence, timestamp));
            return;
        };
        if sequence > it.highest + Self::GAP_MAX || sequence + Self::GAP_MAX < it.base {
            *it = Started::new(now, sequence, timestamp);
            return;
        }
        it.received += 1;
        it.base = it.base.min(sequence);
        if sequence < it.highest {
            return;
        }
        it.highest = sequence;
        // Section 6.4.1: the difference of two packets' transit times. Packets of one frame share a timestamp and are sent one after another:
        // only the first of a frame says something about the way.
        if timestamp != it.last_timestamp {
            let elapsed = now.saturating_duration_since(it.last_arrival).as_nanos() * u128::from(self.clock_rate) / 1_000_000_000;
            let sent = i64::from(timestamp.wrapping_sub(it.last_timestamp) as i32);
            let difference = i64::try_from(elapsed).unwrap_or(i64::MAX).saturating_sub(sent).unsigned_abs().min(u64::from(u32::MAX));
            it.jitter_16 = it.jitter_16 + difference - (it.jitter_16 + 8) / 16;
            it.last_arrival = now;
            it.last_timestamp = timestamp;
        }
    }

    /// A sender report of this SSRC arrived.
    pub const fn sender_report(&mut self, now: Instant, ntp: NtpTime) {
        self.last_sr = Some((ntp.middle(), now));
    }

    /// The block for a receiver report; the next one speaks of what comes after. `None` before the first packet.
    pub fn report(&mut self, now: Instant) -> Option<ReportBlock> {
        let it = self.started.as_mut()?;
        let expected = it.expected();
        let expected_since = expected.saturating_sub(it.expected_prior);
        let lost_since = expected_since.saturating_sub(it.received - it.received_prior);
        (it.expected_prior, it.received_prior) = (expected, it.received);
        let fraction_lost = (lost_since * 256).checked_div(expected_since).map_or(0, |fraction| fraction.min(255) as u8);
        let lost = expected as i64 - it.received as i64;
        let since_sr = |at: Instant| short_ntp(now.saturating_duration_since(at));
        Some(ReportBlock {
            ssrc: self.ssrc,
            fraction_lost,
            cumulative_lost: lost.clamp(-(1 << 23), (1 << 23) - 1) as i32,
            highest_sequence: it.highest as u32,
            jitter: (it.jitter_16 / 16).min(u64::from(u32::MAX)) as u32,
            last_sr: self.last_sr.map_or(0, |(middle, _)| middle),
            delay_since_last_sr: self.last_sr.map_or(0, |(_, at)| since_sr(at)),
        })
    }
}

impl Started {
    const fn new(now: Instant, sequence: u64, timestamp: u32) -> Self {
        Self {
            base: sequence,
            highest: sequence,
            received: 1,
            expected_prior: 0,
            received_prior: 0,
            last_arrival: now,
            last_timestamp: timestamp,
            jitter_16: 0,
        }
    }

    const fn expected(&self) -> u64 {
        self.highest - self.base + 1
    }
}

/// The round trip that a receiver's block on a stream of ours tells (RFC 3550 section 6.4.1). `None` when it had no sender report yet, or
/// contradicts itself.
pub fn round_trip(unix: Duration, block: &ReportBlock) -> Option<Duration> {
    if block.last_sr == 0 {
        return None;
    }
    let units = NtpTime::from_unix(unix).middle().wrapping_sub(block.last_sr).wrapping_sub(block.delay_since_last_sr);
    // Clocks that differ in grain make a short round trip negative; a long one is no round trip.
    match units as i32 {
        ..0 if units as i32 > -0x1_0000 => Some(Duration::ZERO),
        0..0x3C_0000 => Some(from_short_ntp(units)),
        _ => None,
    }
}

#[cfg(test)]
mod tests;

//! How many bytes may pass one way: a bucket that fills with what passes and drains at the granted rate.

use std::time::{Duration, Instant};

/// A byte in the unit that buckets count in: at one byte per second so much drains in a second, and one unit in a microsecond.
const BYTE: u64 = 1_000_000;
/// Whoever has to wait waits until this part of a second's bytes may pass: so nobody is woken more often than that.
const SLICES_PER_S: u64 = 20;

/// Bytes that passed and have not drained yet. A second's worth may pass at once (coturn: `max-bps`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Meter {
    /// In parts of [`BYTE`].
    filled: u64,
    at: Option<Instant>,
}

impl Meter {
    /// May a datagram of so many bytes pass? It counts only if it may.
    pub(crate) fn take(&mut self, now: Instant, bytes: u64, bps: u64) -> bool {
        self.drain(now, bps);
        let filled = self.filled.saturating_add(bytes.saturating_mul(BYTE));
        let fits = filled <= bps.saturating_mul(BYTE);
        if fits {
            self.filled = filled;
        }
        fits
    }

    /// How many bytes of a stream may be read, at least one.
    ///
    /// # Errors
    /// When to ask again.
    pub(crate) fn allowance(&mut self, now: Instant, bps: u64) -> Result<u64, Instant> {
        self.drain(now, bps);
        let full = bps.saturating_mul(BYTE);
        match full.saturating_sub(self.filled) {
            0 => {
                let wanted = full - full / SLICES_PER_S;
                let wait_us = (self.filled - wanted) / bps.max(1);
                Err(now + Duration::from_micros(wait_us.max(1_000)))
            }
            left => Ok((left / BYTE).max(1)),
        }
    }

    /// Counts bytes of a stream. What was read is not dropped: if they are more than the allowance, the next ones wait so much longer.
    pub(crate) fn count(&mut self, now: Instant, bytes: u64, bps: u64) {
        self.drain(now, bps);
        self.filled = self.filled.saturating_add(bytes.saturating_mul(BYTE));
    }

    fn drain(&mut self, now: Instant, bps: u64) {
        let elapsed = self.at.map_or(Duration::ZERO, |at| now.saturating_duration_since(at));
        let elapsed_us = u64::try_from(elapsed.as_micros()).unwrap_or(u64::MAX);
        self.filled = self.filled.saturating_sub(elapsed_us.saturating_mul(bps));
        // Parts of a microsecond are not lost, however often this is asked.
        let rest = elapsed - Duration::from_micros(elapsed_us);
        self.at = Some(now - rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the clock once, so that there is an `Instant` at all.
    #[allow(clippy::disallowed_methods)]
    fn origin() -> Instant {
        Instant::now()
    }

    #[test]
    fn datagrams_pass_at_the_rate_after_a_second_of_them() {
        let start = origin();
        let mut meter = Meter::default();
        let passed = |meter: &mut Meter, at: u64| (0..50).filter(|_| meter.take(start + Duration::from_millis(at), 1_000, 10_000)).count();
        assert_eq!(passed(&mut meter, 0), 10);
        assert_eq!(passed(&mut meter, 99), 0);
        assert_eq!(passed(&mut meter, 100), 1);
        assert_eq!(passed(&mut meter, 600), 5);
        assert_eq!(passed(&mut meter, 3_600_000), 10, "silence is not saved up");
        assert!(!meter.take(start + Duration::from_secs(7200), 10_001, 10_000), "longer than a second's bytes");
    }

    /// A stream that always has something to say and reads what it is allowed.
    #[test]
    fn a_stream_gets_its_rate_and_is_not_woken_often() {
        for bps in [1, 100, 4_000, 1_000_000, u64::MAX / 2] {
            let start = origin();
            let (mut meter, mut now, mut bytes, mut waits) = (Meter::default(), start, 0_u128, 0);
            while now < start + Duration::from_secs(10) {
                match meter.allowance(now, bps) {
                    Ok(allowed) => {
                        let read = allowed.min(1 << 40);
                        meter.count(now, read, bps);
                        bytes += u128::from(read);
                        now += Duration::from_micros(300);
                    }
                    Err(until) => {
                        assert!(until > now);
                        (now, waits) = (until, waits + 1);
                    }
                }
            }
            let granted = u128::from(bps) * 11;
            assert!(bytes <= granted + 1, "{bytes} of {granted}");
            assert!(bps > 1_000_000 || bytes * 10 >= u128::from(bps) * 100, "{bytes} at {bps}");
            assert!(waits <= 10 * SLICES_PER_S + 2, "{waits} waits at {bps}");
        }
    }

    #[test]
    fn a_long_message_is_worked_off() {
        let start = origin();
        let mut meter = Meter::default();
        assert_eq!(meter.allowance(start, 1_000), Ok(1_000));
        meter.count(start, 5_000, 1_000);
        let until = meter.allowance(start, 1_000).unwrap_err();
        assert_eq!(until, start + Duration::from_millis(4_050));
        assert!(meter.allowance(until, 1_000).is_ok());
    }
}

//! How fast one participant may send: two leaky buckets, of messages and of bytes.

use std::time::{Duration, Instant};

use super::DataConfig;

/// The generic cell rate algorithm: `empty_at` is when the bucket would be empty again.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    empty_at: Instant,
    per_s: u32,
    burst: Duration,
}

#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    messages: Bucket,
    bytes: Bucket,
}

impl Bucket {
    fn new(per_s: u32, burst: u32, now: Instant) -> Self {
        Self { empty_at: now, per_s: per_s.max(1), burst: time(burst.into(), per_s) }
    }

    /// When there is room for something.
    fn ready_at(&self) -> Instant {
        self.empty_at.checked_sub(self.burst).unwrap_or(self.empty_at)
    }

    fn take(&mut self, now: Instant, amount: u64) {
        self.empty_at = self.empty_at.max(now) + time(amount, self.per_s);
    }
}

fn time(amount: u64, per_s: u32) -> Duration {
    Duration::from_nanos(amount.saturating_mul(1_000_000_000) / u64::from(per_s.max(1)))
}

impl Pace {
    pub fn new(config: &DataConfig, now: Instant) -> Self {
        Self {
            messages: Bucket::new(config.messages_per_s, config.messages_burst, now),
            bytes: Bucket::new(config.bytes_per_s, config.bytes_burst, now),
        }
    }

    /// `Err`: not before then.
    pub fn ready(&self, now: Instant) -> Result<(), Instant> {
        let at = self.messages.ready_at().max(self.bytes.ready_at());
        // At the very moment the bucket is full.
        if at <= now { Ok(()) } else { Err(at) }
    }

    pub fn take(&mut self, now: Instant, len: usize) {
        self.messages.take(now, 1);
        self.bytes.take(now, len as u64);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    #[expect(clippy::disallowed_methods, reason = "a virtual clock has to start somewhere")]
    fn a_burst_passes_and_the_rate_holds() {
        let start = Instant::now();
        let config = DataConfig { messages_per_s: 10, messages_burst: 5, bytes_per_s: 1000, bytes_burst: 2000, ..DataConfig::default() };
        let mut pace = Pace::new(&config, start);
        let mut passed = 0;
        for ms in 0..10_000 {
            let now = start + Duration::from_millis(ms);
            if pace.ready(now).is_ok() {
                pace.take(now, 10);
                passed += 1;
            }
        }
        assert!((100..=107).contains(&passed), "{passed} messages");
        let mut pace = Pace::new(&config, start);
        pace.take(start, 3000);
        assert_eq!(pace.ready(start), Err(start + Duration::from_secs(1)));
    }
}

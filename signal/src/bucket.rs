//! How fast one client may talk: a leaky bucket that first slows, then drops. Told the time in milliseconds.

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    Go,
    /// Read on after this many milliseconds.
    Wait(u64),
    /// It has been flooding for too long.
    Drop,
}

/// The generic cell rate algorithm: `full_at` is when the bucket would be empty again.
#[derive(Clone, Debug)]
pub struct Bucket {
    per_s: u64,
    burst_us: u64,
    flood_ms_max: u64,
    full_at_us: u64,
    slowed_since_ms: Option<u64>,
}

impl Bucket {
    pub fn new(per_s: u32, burst: u32, flood_s_max: u32) -> Self {
        let per_s = u64::from(per_s.max(1));
        Self {
            per_s,
            burst_us: u64::from(burst.max(1)) * 1_000_000 / per_s,
            flood_ms_max: u64::from(flood_s_max) * 1000,
            full_at_us: 0,
            slowed_since_ms: None,
        }
    }

    /// A message came.
    pub fn take(&mut self, now_ms: u64) -> Pace {
        self.take_many(now_ms, 1)
    }

    /// So much came.
    pub fn take_many(&mut self, now_ms: u64, amount: u64) -> Pace {
        let now_us = now_ms.saturating_mul(1000);
        self.full_at_us = self.full_at_us.max(now_us).saturating_add(amount.saturating_mul(1_000_000) / self.per_s);
        let over_us = (self.full_at_us - now_us).saturating_sub(self.burst_us);
        if over_us == 0 {
            self.slowed_since_ms = None;
            return Pace::Go;
        }
        let since_ms = *self.slowed_since_ms.get_or_insert(now_ms);
        if now_ms.saturating_sub(since_ms) >= self.flood_ms_max { Pace::Drop } else { Pace::Wait(over_us.div_ceil(1000)) }
    }

    /// For what is refused rather than slowed: takes a place if one is free, else says after how many milliseconds one will be. Who was refused
    /// has not used any.
    pub fn take_if_free(&mut self, now_ms: u64) -> Result<(), u64> {
        let now_us = now_ms.saturating_mul(1000);
        let full_at_us = self.full_at_us.max(now_us).saturating_add(1_000_000 / self.per_s);
        let over_us = (full_at_us - now_us).saturating_sub(self.burst_us);
        if over_us > 0 {
            return Err(over_us.div_ceil(1000));
        }
        self.full_at_us = full_at_us;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_passes_and_the_rate_holds() {
        let mut bucket = Bucket::new(10, 5, 3);
        assert!((0..5).all(|_| bucket.take(1000) == Pace::Go));
        assert_eq!(bucket.take(1000), Pace::Wait(100));
        // After the wait and a pause, all is well again.
        assert_eq!(bucket.take(2000), Pace::Go);
    }

    #[test]
    fn who_floods_on_is_dropped() {
        let (mut bucket, mut now_ms, mut messages) = (Bucket::new(10, 5, 3), 0, 0);
        while messages < 1000 {
            messages += 1;
            match bucket.take(now_ms) {
                Pace::Go => {}
                Pace::Wait(ms) => now_ms += ms,
                Pace::Drop => break,
            }
        }
        assert!((3000..3500).contains(&now_ms), "{now_ms}");
        assert!((30..40).contains(&messages), "{messages}");
    }

    #[test]
    fn who_is_refused_uses_no_place() {
        let mut bucket = Bucket::new(10, 3, 0);
        assert!((0..3).all(|_| bucket.take_if_free(1000).is_ok()));
        assert!((0..100).all(|_| bucket.take_if_free(1000) == Err(100)));
        assert_eq!((bucket.take_if_free(1100), bucket.take_if_free(1100)), (Ok(()), Err(100)));
    }

    #[test]
    fn the_permitted_rate_never_waits() {
        let mut bucket = Bucket::new(10, 1, 3);
        assert!((0..1000).all(|i| bucket.take(i * 100) == Pace::Go));
    }
}

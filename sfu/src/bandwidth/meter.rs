//! A rate over the last half second.

/// Width of a bucket, in µs.
const BUCKET_US: i64 = 25_000;
const BUCKETS: usize = 20;

/// Bytes by time, in buckets.
#[derive(Debug)]
pub struct Meter {
    buckets: [u32; BUCKETS],
    /// Number of the newest bucket, and of the first that ever got something.
    newest: i64,
    first: Option<i64>,
}

impl Meter {
    pub const fn new() -> Self {
        Self { buckets: [0; BUCKETS], newest: 0, first: None }
    }

    /// Takes in some bytes. What is too old to count is passed over.
    pub fn add(&mut self, at_us: i64, len: u16) {
        let bucket = at_us.div_euclid(BUCKET_US);
        if self.first.is_none() || bucket - self.newest >= 2 * BUCKETS as i64 {
            *self = Self { newest: bucket, first: Some(bucket), ..Self::new() };
        }
        while self.newest < bucket {
            self.newest += 1;
            self.buckets[place(self.newest)] = 0;
        }
        if self.newest - bucket < BUCKETS as i64 {
            let sum = &mut self.buckets[place(bucket)];
            *sum = sum.saturating_add(u32::from(len));
        }
    }

    /// Bits per second over the last `buckets` full buckets before the newest, or since `until_us` when that is later. `None` before there are four.
    fn over(&self, until: i64, buckets: i64) -> Option<f64> {
        let first = self.first?;
        let from = (until - buckets).max(first);
        if until - from < 4 {
            return None;
        }
        let reach = self.newest - BUCKETS as i64 + 1;
        let sum: u64 = (from.max(reach)..until.min(self.newest + 1)).map(|bucket| u64::from(self.buckets[place(bucket)])).sum();
        Some(sum as f64 * 8e6 / ((until - from) * BUCKET_US) as f64)
    }

    /// In bits per second until the newest bytes, over half a second.
    pub fn rate(&self) -> Option<f64> {
        self.over(self.newest, BUCKETS as i64 - 1)
    }

    /// The same over the last quarter of a second.
    pub fn rate_lately(&self) -> Option<f64> {
        self.over(self.newest, BUCKETS as i64 / 2)
    }

    /// The same as [`Meter::rate`], but until now: silence counts.
    pub fn rate_at(&self, now_us: i64) -> Option<f64> {
        self.over(now_us.div_euclid(BUCKET_US), BUCKETS as i64 - 1)
    }
}

const fn place(bucket: i64) -> usize {
    bucket.rem_euclid(BUCKETS as i64) as usize
}

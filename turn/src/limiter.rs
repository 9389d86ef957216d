//! How many answers a stranger gets: token buckets in memory that never grows.
//!
//! Sources that fall into one bucket share it: a flood from everywhere costs some honest newcomers a retransmission, and us nothing.

use std::hash::BuildHasher;
use std::net::IpAddr;
use std::time::Instant;

use foldhash::fast::FixedState;

/// Buckets; a power of two. 16 bytes each.
const BUCKETS: usize = 8192;
/// One answer, in the unit that buckets count in: so slow rates still fill between two packets.
const ANSWER: u64 = 1_000_000;

#[derive(Clone, Copy)]
struct Bucket {
    /// Units taken and not yet given back.
    spent: u64,
    /// Microseconds since the origin.
    at_us: u64,
}

impl Bucket {
    /// What is still spent of what was.
    fn left_at(&self, now_us: u64, per_s: u64) -> u64 {
        self.spent.saturating_sub(now_us.saturating_sub(self.at_us).saturating_mul(per_s))
    }
}

pub(crate) struct Limiter {
    buckets: Box<[Bucket]>,
    hasher: FixedState,
    origin: Instant,
    per_s: u64,
    burst: u64,
}

impl Limiter {
    pub(crate) fn new(origin: Instant, per_s: u32, burst: u32, hash_seed: u64) -> Self {
        Self {
            buckets: vec![Bucket { spent: 0, at_us: 0 }; BUCKETS].into_boxed_slice(),
            hasher: FixedState::with_seed(hash_seed),
            origin,
            per_s: u64::from(per_s),
            burst: u64::from(burst),
        }
    }

    /// May this source have one more answer?
    pub(crate) fn take(&mut self, now: Instant, source: IpAddr) -> bool {
        let slot = self.slot(source);
        let now_us = self.micros(now);
        let (per_s, burst) = (self.per_s, self.burst);
        let Some(bucket) = self.buckets.get_mut(slot) else { return false };
        bucket.spent = bucket.left_at(now_us, per_s);
        bucket.at_us = now_us;
        if bucket.spent + ANSWER > burst * ANSWER {
            return false;
        }
        bucket.spent += ANSWER;
        true
    }

    /// Would [`Self::take`] say no?
    pub(crate) fn is_spent(&self, now: Instant, source: IpAddr) -> bool {
        let left = self.buckets.get(self.slot(source)).map_or(u64::MAX, |bucket| bucket.left_at(self.micros(now), self.per_s));
        left.saturating_add(ANSWER) > self.burst * ANSWER
    }

    /// One that was taken should not have counted.
    pub(crate) fn give_back(&mut self, source: IpAddr) {
        let slot = self.slot(source);
        if let Some(bucket) = self.buckets.get_mut(slot) {
            bucket.spent = bucket.spent.saturating_sub(ANSWER);
        }
    }

    fn micros(&self, now: Instant) -> u64 {
        u64::try_from(now.saturating_duration_since(self.origin).as_micros()).unwrap_or(u64::MAX)
    }

    fn slot(&self, source: IpAddr) -> usize {
        let prefix: u64 = match source {
            IpAddr::V4(ip) => u64::from(ip.to_bits()),
            // A network, not a host: one stranger owns 2^64 addresses.
            IpAddr::V6(ip) => (ip.to_bits() >> 64) as u64,
        };
        usize::try_from(self.hasher.hash_one((source.is_ipv4(), prefix)) % BUCKETS as u64).unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    /// Reads the clock once, so that there is an `Instant` at all.
    #[allow(clippy::disallowed_methods)]
    fn origin() -> Instant {
        Instant::now()
    }

    #[test]
    fn a_burst_then_the_rate() {
        let start = origin();
        let mut limiter = Limiter::new(start, 10, 5, 1);
        let source = "192.0.2.1".parse().unwrap();
        let given = |limiter: &mut Limiter, at: Instant| (0..100).filter(|_| limiter.take(at, source)).count();
        assert_eq!(given(&mut limiter, start), 5);
        assert_eq!(given(&mut limiter, start + Duration::from_millis(100)), 1);
        assert_eq!(given(&mut limiter, start + Duration::from_millis(400)), 3);
        assert_eq!(given(&mut limiter, start + Duration::from_secs(3600)), 5);
    }

    #[test]
    fn what_is_given_back_can_be_taken_again() {
        let start = origin();
        let mut limiter = Limiter::new(start, 1, 2, 1);
        let source = "192.0.2.1".parse().unwrap();
        limiter.give_back(source);
        assert!(limiter.take(start, source) && !limiter.is_spent(start, source));
        assert!(limiter.take(start, source) && limiter.is_spent(start, source) && !limiter.take(start, source));
        limiter.give_back(source);
        assert!(!limiter.is_spent(start, source) && limiter.take(start, source) && !limiter.take(start, source));
    }

    #[test]
    fn a_v6_network_is_one_source_and_other_sources_are_others() {
        let start = origin();
        let mut limiter = Limiter::new(start, 1, 1, 1);
        assert!(limiter.take(start, "2001:db8::1".parse().unwrap()));
        assert!(!limiter.take(start, "2001:db8::2".parse().unwrap()));
        assert!(limiter.take(start, "2001:db8:0:1::1".parse().unwrap()));
        assert!(limiter.take(start, "192.0.2.1".parse().unwrap()));
    }
}

//! A queue that stays: it does not grow, so its slope says nothing, but everything is late by it.

/// Longer queues are somebody's mistake, ours perhaps.
const LIMIT_US: f64 = 120_000.0;
/// A queue stands when it was there for so long.
const STANDS_US: i64 = 400_000;
/// Whether less from us helped shows after this.
const ANSWER_US: i64 = 1_500_000;
/// A second: others may have gone.
const DECAY: f64 = 0.02;

/// Tells a queue of our own from one that others keep full: if it stays although we send less, it is theirs, and yielding to it would
/// leave us nothing.
#[derive(Debug)]
pub struct StandingQueue {
    limit_us: f64,
    since_us: Option<i64>,
    looked_us: i64,
    /// When less was sent because of it, and what the queue was then.
    yielded: Option<(i64, i64)>,
}

impl StandingQueue {
    pub const fn new() -> Self {
        Self { limit_us: LIMIT_US, since_us: None, looked_us: 0, yielded: None }
    }

    /// Whether less must be sent now.
    pub fn must_yield(&mut self, now_us: i64, queue_us: i64) -> bool {
        let seconds = ((now_us - self.looked_us) as f64 / 1e6).clamp(0.0, 1.0);
        self.looked_us = now_us;
        self.limit_us += (LIMIT_US - self.limit_us) * DECAY * seconds;
        if let Some((at, before)) = self.yielded {
            if now_us - at < ANSWER_US {
                return false;
            }
            self.yielded = None;
            if queue_us as f64 > before as f64 * 0.8 {
                self.limit_us = self.limit_us.max(queue_us as f64 * 1.3);
            }
        }
        if (queue_us as f64) < self.limit_us {
            self.since_us = None;
            return false;
        }
        let since = *self.since_us.get_or_insert(now_us);
        if now_us - since < STANDS_US {
            return false;
        }
        (self.since_us, self.yielded) = (None, Some((now_us, queue_us)));
        true
    }
}

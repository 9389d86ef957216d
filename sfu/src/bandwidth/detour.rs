//! A way that has become longer, as when a phone changes networks or a route its path: to whoever remembers the shortest way it looks like
//! a queue, but one that does not drain whatever is sent.

/// So long each stretch lasts whose shortest ways are compared.
const STRETCH_US: i64 = 500_000;
/// The shortest way of a stretch is the same as that of the one before when they differ by less than this, or by one part in so many of
/// what looks like a queue.
const SAME_US: i64 = 10_000;
const SAME_PART: i64 = 8;
/// Below this part of what got through before, less is sent than would keep a queue standing: one stretch like the one before tells. Below
/// the other part that is likely: so many do.
const LITTLE: f64 = 0.5;
const LESS: f64 = 0.8;
const LESS_STRETCHES: u32 = 3;

/// The moment of one feedback.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub now_us: i64,
    /// The shortest way that it tells of.
    pub way_us: i64,
    /// How much longer that is than the shortest known, and whether that is worth speaking of.
    pub queue_us: i64,
    pub queued: bool,
    pub sending_bps: f64,
    pub arriving_bps: f64,
    /// No more is lost than usual: a queue that is full loses.
    pub calm: bool,
}

/// What is seen while something looks like a queue.
#[derive(Debug, Default)]
pub struct Detour(Option<Watch>);

#[derive(Debug)]
struct Watch {
    /// What got through when it began.
    before_bps: f64,
    since_us: i64,
    least_us: i64,
    /// Of the stretch before.
    previous_us: Option<i64>,
    sent_most_bps: f64,
    /// Stretches with the same shortest way and less sent.
    same: u32,
}

impl Detour {
    /// Says what got through before, when a feedback shows that the way is longer and nothing queues.
    pub fn found(&mut self, look: &Look) -> Option<f64> {
        if !look.queued {
            self.0 = None;
            return None;
        }
        let watch = self.0.get_or_insert(Watch {
            before_bps: look.arriving_bps,
            since_us: look.now_us,
            least_us: i64::MAX,
            previous_us: None,
            sent_most_bps: 0.0,
            same: 0,
        });
        watch.least_us = watch.least_us.min(look.way_us);
        watch.sent_most_bps = watch.sent_most_bps.max(look.sending_bps);
        if look.now_us - watch.since_us < STRETCH_US {
            return None;
        }
        let same = SAME_US.max(look.queue_us / SAME_PART);
        let stays = watch.previous_us.is_some_and(|previous| (previous - watch.least_us).abs() < same);
        let sent = watch.sent_most_bps / watch.before_bps.max(1.0);
        watch.same = if stays && look.calm && sent < LESS { watch.same + 1 } else { 0 };
        if watch.same >= LESS_STRETCHES || watch.same > 0 && sent < LITTLE {
            return self.0.take().map(|watch| watch.before_bps);
        }
        (watch.since_us, watch.sent_most_bps) = (look.now_us, 0.0);
        watch.previous_us = Some(std::mem::replace(&mut watch.least_us, i64::MAX));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Feedback each 50 ms for `ms`; `way` and what is sent by the time since the beginning.
    fn seen(ms: i64, way: impl Fn(i64) -> i64, sending: impl Fn(i64) -> f64, calm: bool) -> Option<i64> {
        let mut detour = Detour::default();
        (0..ms).step_by(50).find(|&at| {
            let way_us = way(at) * 1000;
            let look = Look {
                now_us: at * 1000,
                way_us,
                queue_us: way_us - 20_000,
                queued: way_us > 70_000,
                sending_bps: sending(at),
                arriving_bps: 2e6,
                calm,
            };
            detour.found(&look).is_some()
        })
    }

    #[test]
    fn what_does_not_drain_though_little_is_sent_is_the_way() {
        let jitter = |at: i64| 100 + at * 7 % 30;
        let falls = |at: i64| if at < 400 { 2e6 } else { 0.2e6 };
        assert_eq!(seen(5000, jitter, falls, true), Some(1000));
        assert_eq!(seen(5000, jitter, falls, false), None, "a full queue loses");
        assert_eq!(seen(5000, jitter, |_| 1.5e6, true), Some(2000), "that takes longer to tell");
        assert_eq!(seen(5000, jitter, |_| 1.7e6, true), None, "that much might keep a queue standing");
        assert_eq!(seen(2500, |at| 300 - at / 12, falls, true), None, "it drains");
        assert_eq!(seen(5000, |_| 60, falls, true), None, "too short to matter");
    }
}

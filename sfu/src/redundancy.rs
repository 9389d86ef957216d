//! How many earlier packets of sound go along with each toward a participant (RFC 2198), by what it loses.

use std::time::{Duration, Instant};

/// Copies of earlier packets in one packet at most: what three packets in a row lose is lost.
pub const COPIES_MAX: usize = 2;

/// When sound is repeated.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RedundancyConfig {
    /// From this loss on each packet repeats the one before, and from four times as much the two before; 0: never.
    pub loss_percent: u64,
    /// How long loss must have been below half of that for less.
    pub hold: Duration,
}

impl Default for RedundancyConfig {
    fn default() -> Self {
        Self { loss_percent: 2, hold: Duration::from_secs(10) }
    }
}

/// One participant's.
#[derive(Clone, Copy, Debug, Default)]
pub struct Redundancy {
    copies: u8,
    /// Since when less would do.
    calm: Option<Instant>,
    /// What the client's reports last said of the streams of sound, and when.
    reported: Option<(Instant, f32)>,
}

/// A report says little about now after so long.
const REPORT_AGE_MAX: Duration = Duration::from_secs(12);

impl Redundancy {
    /// A report block on a stream of sound: the share of packets that were lost since the last.
    pub fn report(&mut self, now: Instant, fraction_lost: u8) {
        self.reported = Some((now, f32::from(fraction_lost) / 256.0));
    }

    /// How many copies go along from now on, at a loss of `loss` on the way as a whole.
    pub fn look(&mut self, now: Instant, config: &RedundancyConfig, loss: f32) -> u8 {
        let reported = self.reported.filter(|(at, _)| now.saturating_duration_since(*at) < REPORT_AGE_MAX);
        let percent = 100.0 * reported.map_or(loss, |(_, reported)| loss.max(reported));
        let bound = config.loss_percent as f32;
        let copies = |percent: f32| {
            if config.loss_percent == 0 || percent < bound {
                0
            } else if percent < 4.0 * bound {
                1
            } else {
                COPIES_MAX as u8
            }
        };
        // More at once; less only when it is far enough below, for long enough.
        let (more, less) = (copies(percent), copies(2.0 * percent));
        if more >= self.copies || less >= self.copies {
            self.copies = self.copies.max(more);
            self.calm = None;
        } else {
            let since = *self.calm.get_or_insert(now);
            if now.saturating_duration_since(since) >= config.hold {
                (self.copies, self.calm) = (less, None);
            }
        }
        self.copies
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test needs some origin")]
mod tests {
    use super::*;

    #[test]
    fn loss_brings_copies_at_once_and_calm_takes_them_back_slowly() {
        let (start, config) = (Instant::now(), RedundancyConfig::default());
        let mut redundancy = Redundancy::default();
        let mut look = |s: u64, loss| redundancy.look(start + Duration::from_secs(s), &config, loss);
        assert_eq!([look(0, 0.0), look(1, 0.015), look(2, 0.02), look(3, 0.09)], [0, 0, 1, 2]);
        assert_eq!([look(4, 0.05), look(100, 0.05)], [2, 2], "not far enough below");
        assert_eq!([look(101, 0.03), look(110, 0.03), look(111, 0.03)], [2, 2, 1]);
        assert_eq!([look(112, 0.0), look(115, 0.05), look(121, 0.0), look(130, 0.0), look(131, 0.0)], [1, 1, 1, 1, 0]);
        let never = RedundancyConfig { loss_percent: 0, ..config };
        assert_eq!(redundancy.look(start, &never, 0.5), 0);
    }

    #[test]
    fn reports_count_for_a_while() {
        let (start, config) = (Instant::now(), RedundancyConfig::default());
        let mut redundancy = Redundancy::default();
        redundancy.report(start, 13);
        assert_eq!(redundancy.look(start, &config, 0.0), 1, "13/256 are 5 %");
        assert_eq!(redundancy.look(start + Duration::from_secs(12), &config, 0.0), 1);
        assert_eq!(redundancy.look(start + Duration::from_secs(22), &config, 0.0), 0);
    }
}

//! Merges and throttles the wishes for a keyframe of one layer.
//!
//! Any number of downtracks may want one; the publisher is asked at most once per interval, at once when it was not asked lately, and again
//! until a keyframe arrives.

use std::time::{Duration, Instant};

/// One layer's wishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct KeyframeRequests {
    wanted: bool,
    asked: Option<Instant>,
    fir_sequence: u8,
}

impl KeyframeRequests {
    pub const fn new() -> Self {
        Self { wanted: false, asked: None, fir_sequence: 0 }
    }

    /// Somebody needs a keyframe that has not begun to arrive yet.
    pub const fn want(&mut self) {
        self.wanted = true;
    }

    /// The first packet of a keyframe arrived: whoever wanted one has it.
    pub const fn arrived(&mut self) {
        self.wanted = false;
    }

    /// Nobody wants one any longer.
    pub const fn forget(&mut self) {
        self.wanted = false;
    }

    pub const fn is_wanted(&self) -> bool {
        self.wanted
    }

    /// When the publisher is to be asked; a time that has passed means now. `None` while nobody wants a keyframe.
    pub fn next_due(&self, now: Instant, interval: Duration) -> Option<Instant> {
        self.wanted.then(|| self.asked.map_or(now, |asked| asked + interval))
    }

    /// Whether to ask now, with PLI or FIR as negotiated. Counts as asked.
    ///
    /// The number is for FIR. It grows each time: RFC 5104 section 4.3.1.2 keeps it for a request that is merely repeated, but after an interval
    /// without a keyframe either the request was lost or the whole keyframe was, and in the second case a repetition would ask for nothing.
    pub fn ask(&mut self, now: Instant, interval: Duration) -> Option<u8> {
        self.next_due(now, interval).filter(|&due| due <= now)?;
        self.asked = Some(now);
        self.fir_sequence = self.fir_sequence.wrapping_add(1);
        Some(self.fir_sequence)
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test needs some origin")]
mod tests {
    use super::*;

    const INTERVAL: Duration = Duration::from_millis(500);

    #[test]
    fn many_wishes_are_one_request() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut requests = KeyframeRequests::new();
        assert_eq!((requests.next_due(start, INTERVAL), requests.ask(start, INTERVAL)), (None, None));
        requests.want();
        assert_eq!(requests.next_due(start, INTERVAL), Some(start));
        assert_eq!(requests.ask(start, INTERVAL), Some(1));
        for ms in 1..500 {
            requests.want();
            assert_eq!(requests.ask(at(ms), INTERVAL), None);
        }
        assert_eq!(requests.next_due(at(1), INTERVAL), Some(at(500)));
        assert_eq!(requests.ask(at(500), INTERVAL), Some(2));
        requests.arrived();
        assert_eq!(requests.next_due(at(2000), INTERVAL), None);
    }

    #[test]
    fn a_wish_after_the_keyframe_waits_for_the_interval_only() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let mut requests = KeyframeRequests::new();
        requests.want();
        assert!(requests.ask(start, INTERVAL).is_some());
        requests.arrived();
        requests.want();
        assert_eq!(requests.ask(at(499), INTERVAL), None);
        assert_eq!(requests.ask(at(500), INTERVAL), Some(2));
        requests.arrived();
        requests.want();
        assert_eq!(requests.ask(at(1600), INTERVAL), Some(3), "asked at once when the last was long ago");
    }
}

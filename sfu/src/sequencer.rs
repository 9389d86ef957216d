//! What was sent under each of a downtrack's last sequence numbers, so that it can be sent again.

use std::time::{Duration, Instant};

/// How a packet was numbered when it was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Sent {
    /// Low 32 bits of the publisher's sequence number with roll-overs counted.
    pub sequence: u32,
    pub timestamp: u32,
    pub picture_id: u16,
    pub frame_number: u16,
    pub tl0_index: u8,
    pub layer: u8,
    pub marker: bool,
    /// Decode targets that the packet named in the place of those that came with it; 0: none.
    pub targets: u32,
    /// Which of the downtrack's sources it came from: numbers of an earlier one are in no cache any more.
    pub source: u8,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    sent: Sent,
    out_sequence: u16,
    /// In ms since the sequencer's origin, plus one; zero is an empty entry.
    at_ms: u32,
}

/// A ring of the last packets by the sequence number that the subscriber saw. Takes its memory with the first packet.
#[derive(Debug)]
pub struct Sequencer {
    ring: Vec<Entry>,
    /// A power of two.
    capacity: usize,
    origin: Instant,
}

impl Sequencer {
    pub fn new(capacity: usize, origin: Instant) -> Self {
        Self { ring: Vec::new(), capacity: capacity.next_power_of_two(), origin }
    }

    pub fn record(&mut self, now: Instant, out_sequence: u16, sent: Sent) {
        if self.ring.is_empty() {
            self.ring.resize(self.capacity, Entry::default());
        }
        let at_ms = self.ms(now);
        self.ring[usize::from(out_sequence) & (self.capacity - 1)] = Entry { sent, out_sequence, at_ms };
    }

    /// Gives its memory back.
    pub fn forget(&mut self) {
        self.ring = Vec::new();
    }

    /// What went out as `out_sequence`, unless it did within `quiet`: then `Err` (one round trip must pass before the
    /// subscriber can know that it is lost). A packet that is found counts as sent now.
    pub fn resend(&mut self, now: Instant, out_sequence: u16, quiet: Duration) -> Result<Option<Sent>, JustSent> {
        let at_ms = self.ms(now);
        let Some(entry) = self.ring.get_mut(usize::from(out_sequence) & (self.capacity - 1)) else { return Ok(None) };
        if entry.at_ms == 0 || entry.out_sequence != out_sequence {
            return Ok(None);
        }
        if u128::from(at_ms.wrapping_sub(entry.at_ms)) < quiet.as_millis() {
            return Err(JustSent);
        }
        entry.at_ms = at_ms;
        Ok(Some(entry.sent))
    }

    /// What went out as `out_sequence`.
    pub fn find(&self, out_sequence: u16) -> Option<Sent> {
        let entry = self.ring.get(usize::from(out_sequence) & (self.capacity - 1))?;
        (entry.at_ms != 0 && entry.out_sequence == out_sequence).then_some(entry.sent)
    }

    fn ms(&self, now: Instant) -> u32 {
        (now.saturating_duration_since(self.origin).as_millis() as u32).wrapping_add(1).max(1)
    }
}

/// Sent less than a round trip ago.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct JustSent;

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test needs some origin")]
mod tests {
    use super::*;

    #[test]
    fn finds_what_was_sent_and_when() {
        let now = Instant::now();
        let quiet = Duration::from_millis(50);
        let mut sequencer = Sequencer::new(4, now);
        assert_eq!(sequencer.resend(now, 1, quiet), Ok(None));
        let sent = |sequence| Sent { sequence, ..Sent::default() };
        for out in 0..6_u16 {
            sequencer.record(now, out, sent(100 + u32::from(out)));
        }
        let later = now + Duration::from_millis(60);
        assert_eq!(sequencer.resend(now, 5, quiet), Err(JustSent));
        assert_eq!(sequencer.resend(later, 5, quiet), Ok(Some(sent(105))));
        assert_eq!(sequencer.resend(later, 5, quiet), Err(JustSent), "sent again just now");
        assert_eq!(sequencer.resend(later, 1, quiet), Ok(None), "its place was taken");
    }
}

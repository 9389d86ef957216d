//! Replay protection (RFC 3711 section 3.3.2) and the estimate of the roll-over counter (section 3.3.1).

/// Remembers which of the last [`Window::LEN`] indices were received.
///
/// ```text
/// index / 64 % WORDS ─► word, index % 64 ─► bit; words between the old and the new highest index are cleared on the way
/// ```
#[derive(Clone, Debug)]
pub(super) struct Window {
    highest: Option<u64>,
    words: [u64; WORDS],
}

const WORDS: usize = 16;

impl Window {
    /// How many indices back a packet is still told apart from a replay. One word less than is kept: the highest word is being filled.
    pub(super) const LEN: u64 = 64 * (WORDS as u64 - 1);

    pub(super) const fn new() -> Self {
        Self { highest: None, words: [0; WORDS] }
    }

    /// The index of an RTP packet from its sequence number. `None` when it would lie before the first roll-over counter.
    pub(super) fn estimate(&self, sequence: u16) -> Option<u64> {
        let Some(highest) = self.highest else { return Some(u64::from(sequence)) };
        let (last, roll_overs) = (highest as u16, highest >> 16);
        let roll_overs = if last < 0x8000 {
            if i32::from(sequence) - i32::from(last) > 0x8000 { roll_overs.checked_sub(1)? } else { roll_overs }
        } else if i32::from(last) - 0x8000 > i32::from(sequence) {
            roll_overs + 1
        } else {
            roll_overs
        };
        Some(roll_overs << 16 | u64::from(sequence))
    }

    /// Whether `index` may be accepted.
    pub(super) fn is_fresh(&self, index: u64) -> bool {
        let Some(highest) = self.highest else { return true };
        if index > highest {
            return true;
        }
        highest - index < Self::LEN && self.words[Self::word(index)] & Self::bit(index) == 0
    }

    /// Notes an authenticated packet. Call only after [`Window::is_fresh`].
    pub(super) fn accept(&mut self, index: u64) {
        let highest = self.highest.unwrap_or(index);
        if index > highest {
            let steps = (index / 64 - highest / 64).min(WORDS as u64);
            for step in 0..steps {
                self.words[Self::word(index - 64 * step)] = 0;
            }
        }
        self.highest = Some(highest.max(index));
        self.words[Self::word(index)] |= Self::bit(index);
    }

    const fn word(index: u64) -> usize {
        (index / 64) as usize % WORDS
    }

    const fn bit(index: u64) -> u64 {
        1 << (index % 64)
    }
}

//! Numbers that wrap: sequence numbers of 16 bits and timestamps of 32.

/// How far `to` is ahead of `from`, by the shorter way round.
pub const fn sequence_distance(from: u16, to: u16) -> i16 {
    to.wrapping_sub(from) as i16
}

/// Whether `sequence` comes after `than`.
pub const fn is_newer_sequence(sequence: u16, than: u16) -> bool {
    sequence_distance(than, sequence) > 0
}

/// How far `to` is ahead of `from`, by the shorter way round.
pub const fn timestamp_distance(from: u32, to: u32) -> i32 {
    to.wrapping_sub(from) as i32
}

/// Extends 16-bit sequence numbers by counting their roll-overs; the low 16 bits stay as they are.
///
/// Begins at roll-over 1, so that packets which come late right after the first stay above zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SequenceUnwrapper {
    highest: Option<u64>,
}

impl SequenceUnwrapper {
    pub const fn new() -> Self {
        Self { highest: None }
    }

    /// The extended number nearest to the highest so far; remembers a new highest.
    pub fn extend(&mut self, sequence: u16) -> u64 {
        let extended = self.peek(sequence);
        self.highest = Some(self.highest.map_or(extended, |highest| highest.max(extended)));
        extended
    }

    /// As [`Self::extend`], but remembers nothing.
    pub fn peek(&self, sequence: u16) -> u64 {
        match self.highest {
            Some(highest) => nearest(highest, i64::from(sequence_distance(highest as u16, sequence))),
            None => 1 << 16 | u64::from(sequence),
        }
    }

    /// The highest number so far.
    pub const fn highest(&self) -> Option<u64> {
        self.highest
    }
}

/// Extends 32-bit timestamps by counting their roll-overs; the low 32 bits stay as they are. Begins at roll-over 1.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimestampUnwrapper {
    highest: Option<u64>,
}

impl TimestampUnwrapper {
    pub const fn new() -> Self {
        Self { highest: None }
    }

    /// The extended timestamp nearest to the highest so far; remembers a new highest.
    pub fn extend(&mut self, timestamp: u32) -> u64 {
        let extended = match self.highest {
            Some(highest) => nearest(highest, i64::from(timestamp_distance(highest as u32, timestamp))),
            None => 1 << 32 | u64::from(timestamp),
        };
        self.highest = Some(self.highest.map_or(extended, |highest| highest.max(extended)));
        extended
    }
}

/// `base + distance`. The base only grows, so the sum stays positive as long as the first base exceeds the largest distance back.
fn nearest(base: u64, distance: i64) -> u64 {
    base.wrapping_add_signed(distance)
}

//! Time, as the rules are told it, and what they want to be called for.

use std::collections::BTreeSet;

use crate::media::{ParticipantId, RoomId};

/// One reading of the clocks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Now {
    /// Milliseconds of a clock that only goes forward, from any beginning.
    pub mono_ms: u64,
    /// Milliseconds since 1970, for people to read.
    pub unix_ms: u64,
}

impl Now {
    pub fn in_s(self, seconds: u32) -> u64 {
        self.mono_ms + u64::from(seconds) * 1000
    }

    pub fn unix_s(self) -> u64 {
        self.unix_ms / 1000
    }
}

/// What is to happen at some time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Due {
    /// Who lost its WebSocket has not come back.
    Return(ParticipantId),
    /// Everyone is told how large the audience is.
    Audience(RoomId),
    /// Breakouts of this main room come to their end, or near it.
    Breakouts(RoomId),
    /// A call has rung long enough, or nobody has come into its room.
    Call(u64),
    /// Nobody has been in this room for long enough.
    Empty(RoomId),
}

/// What is due when. Whoever sets a time takes it back when it is no longer meant, so the table is as small as what it is about.
#[derive(Debug, Default)]
pub struct Deadlines(BTreeSet<(u64, Due)>);

impl Deadlines {
    pub fn set(&mut self, at_ms: u64, due: Due) {
        self.0.insert((at_ms, due));
    }

    pub fn cancel(&mut self, at_ms: u64, due: Due) {
        self.0.remove(&(at_ms, due));
    }

    pub fn next_ms(&self) -> Option<u64> {
        self.0.first().map(|(at_ms, _)| *at_ms)
    }

    pub fn pop(&mut self, now: Now) -> Option<Due> {
        self.0.first().filter(|(at_ms, _)| *at_ms <= now.mono_ms)?;
        self.0.pop_first().map(|(_, due)| due)
    }
}

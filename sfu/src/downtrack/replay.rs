//! What a downtrack sends from the cache before it goes on with live packets: a keyframe and everything since.
//!
//! It begins there when the cache holds a keyframe that is fresh enough, so that nobody has to ask the publisher for one, and when a keyframe
//! came in the middle of another stream's frame, which is finished first. What may not leave at once lest it fill a queue (see
//! [`Pacer`](crate::pacer::Pacer)) comes from there, too.

use std::time::{Duration, Instant};

use super::Downtrack;
use crate::pacer;
use crate::publication::Publication;
use crate::{Facts, PacketRef};

/// Packets sent from the cache at a time, beside those that came meanwhile. Every [`REPLAY_INTERVAL`] that is up to 8 Mbit/s.
const BURST: u32 = 4;
pub const REPLAY_INTERVAL: Duration = pacer::INTERVAL;
/// What the end of a frame is waited for, in case that it is lost.
const FRAME_END_MAX: Duration = Duration::from_millis(50);
const VIDEO_CLOCK_RATE: u32 = 90_000;
/// A longer gap is none that a loss made.
const GAP_MAX: u64 = 512;

/// A stretch of a stream's cache.
#[derive(Clone, Copy, Debug)]
pub struct Replay {
    pub stream: u8,
    /// Everything from here on comes from the cache.
    pub next: u64,
    /// Nothing of it was sent yet.
    pub first: bool,
    /// It is what would have been sent live, had it not had to wait.
    behind: bool,
    /// Packets that may be sent now.
    credit: u32,
}

/// A switch that waits for the end of a frame.
#[derive(Clone, Copy, Debug)]
pub struct Pending {
    pub stream: u8,
    pub sequence: u64,
    pub since: Instant,
}

impl Downtrack {
    /// It is sent packets from the cache.
    pub fn catches_up(&self) -> bool {
        self.replay.is_some()
    }

    /// A live packet that is the next of what is on the wire may not leave now: it and what follows come from the cache. `false` when it
    /// is another, and may leave.
    pub fn fall_behind(&mut self, stream: u8, facts: &Facts) -> bool {
        let next = self.selector.stream() == Some(stream) && self.rtp.ahead(facts.sequence) > 0;
        if !next || self.replay.is_some() || self.pending.is_some() {
            return false;
        }
        self.replay = Some(Replay { stream, next: facts.sequence, first: false, behind: true, credit: 0 });
        true
    }

    /// What it is sent from the cache is what had to wait.
    pub fn is_behind(&self) -> bool {
        self.replay.is_some_and(|replay| replay.behind)
    }

    /// More of the cache may be sent.
    pub fn catch_up(&mut self) {
        if let Some(replay) = &mut self.replay {
            replay.credit = BURST;
        }
    }

    /// The next packet from the cache, if one may be sent now.
    pub fn next_cached<'a>(&mut self, now: Instant, publication: &'a Publication) -> Option<(u8, &'a Facts, &'a PacketRef)> {
        let replay = self.replay.as_mut()?;
        let newest = publication.newest(replay.stream).filter(|newest| newest.saturating_sub(replay.next) < GAP_MAX);
        let Some(newest) = newest else {
            self.start_anew();
            return None;
        };
        while replay.next <= newest {
            if replay.credit == 0 {
                return None;
            }
            let sequence = replay.next;
            replay.next += 1;
            if let Some((facts, packet)) = publication.cached(replay.stream, sequence) {
                if replay.behind && publication.is_past(replay.stream, facts, VIDEO_CLOCK_RATE) {
                    self.break_off(now); // What is so late holds up what is new.
                    return None;
                }
                replay.credit -= 1;
                return Some((replay.stream, facts, packet));
            }
        }
        self.replay = None;
        None
    }

    /// Begins at a packet of the cache that begins a keyframe.
    pub(super) fn begin_replay(&mut self, stream: u8, entry: u64) {
        self.replay = Some(Replay { stream, next: entry, first: true, behind: false, credit: BURST });
        self.replayed = Some((stream, entry));
        self.pending = None;
        self.unfinished = None;
        self.selector.leave();
    }

    /// A live packet. `true` when it goes no further here: it will be taken from the cache, or another stream is on its way.
    pub(super) fn holds_back(&mut self, now: Instant, publication: &Publication, stream: u8, facts: &Facts) -> bool {
        if let Some(pending) = self.pending {
            let next_frame = self.selector.stream() == Some(stream) && self.unfinished.is_some_and(|(frame, _)| frame != facts.timestamp);
            if next_frame || now.saturating_duration_since(pending.since) > FRAME_END_MAX {
                self.begin_replay(pending.stream, pending.sequence);
            }
        }
        let behind = self.replay.is_some_and(|replay| !replay.first);
        let leaves = self.selector.leaves_for(stream, facts) && !self.was_sent(stream, facts.sequence);
        if behind && leaves && !publication.is_past(stream, facts, VIDEO_CLOCK_RATE) {
            // What has not left of the stream before is not needed any more.
            self.begin_replay(stream, facts.sequence);
            return true;
        }
        if let Some(replay) = &mut self.replay {
            let ahead = replay.stream == stream && facts.sequence >= replay.next;
            replay.credit += u32::from(ahead);
            return ahead || replay.stream != stream;
        }
        if self.pending.is_none() && self.is_within_frame(now) && leaves {
            self.pending = Some(Pending { stream, sequence: facts.sequence, since: now });
            return true;
        }
        false
    }

    /// The end of the frame on the wire is still to come.
    pub(super) fn is_within_frame(&self, now: Instant) -> bool {
        self.unfinished.is_some_and(|(_, at)| now.saturating_duration_since(at) <= FRAME_END_MAX)
    }

    /// A packet was forwarded, the newest of its stream: a frame goes on, or ends, and then a switch may be due.
    pub(super) fn note_frame(&mut self, now: Instant, timestamp: u32, marker: bool) {
        self.unfinished = (!marker).then_some((timestamp, now));
        if let Some(pending) = self.pending
            && marker
        {
            self.begin_replay(pending.stream, pending.sequence);
        }
    }
}

//! What a browser makes of the packets of one video stream: frames, pictures, freezes.
//!
//! The decode rule goes by what the packets say (picture id, TL0PICIDX, keyframe), as a browser's does; the stamps in them tell whether that was
//! the truth.

use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

use crate::stamp::Stamp;

/// A packet as it came, sequence number with roll-overs counted.
#[derive(Clone, Copy, Debug)]
pub struct Piece {
    pub timestamp: u32,
    pub marker: bool,
    pub start: bool,
    pub key: bool,
    pub picture: u16,
    pub tl0: u8,
    pub temporal: u8,
    pub sync: bool,
    pub stamp: Stamp,
}

/// A picture that was shown.
#[derive(Clone, Copy, Debug)]
pub struct Shown {
    pub at: Duration,
    pub stamp: Stamp,
}

#[derive(Clone, Copy, Debug)]
pub struct Freeze {
    pub lasted: Duration,
}

#[derive(Debug, Default)]
pub struct Decoder {
    /// Complete frames that wait for others, by the number of their first packet.
    frames: BTreeMap<u64, Piece>,
    /// First packet of the last picture.
    last_first: u64,
    last_tl0: Option<u8>,
    last_picture: u16,
    /// Every picture since the last one of the base layer was decoded.
    intact: bool,
    /// Of the layer and publication on the wire: frames that may be referred to.
    decoded: VecDeque<u32>,
    pub shown: Vec<Shown>,
    intervals: VecDeque<Duration>,
    /// The next picture comes after a pause that was meant.
    paused: bool,
    pub freezes: Vec<Freeze>,
}

/// Intervals that a mean is taken of, and the least that count.
const INTERVALS: usize = 30;
const INTERVALS_MIN: usize = 5;

impl Decoder {
    /// A complete frame, whose first packet has this number.
    pub fn complete(&mut self, now: Duration, first: u64, frame: Piece) -> Result<(), String> {
        if first > self.last_first || self.shown.is_empty() {
            self.frames.insert(first, frame);
        }
        while let Some((first, frame)) = self.next() {
            self.decode(now, first, frame)?;
        }
        Ok(())
    }

    pub fn has_picture(&self) -> bool {
        self.last_tl0.is_some()
    }

    pub fn last_shown(&self) -> Option<Duration> {
        self.shown.last().map(|it| it.at)
    }

    /// Nothing is to be shown now: what follows is no freeze.
    pub fn pause(&mut self) {
        self.intervals.clear();
        self.paused = true;
    }

    /// The oldest frame that can be decoded. What is older is given up.
    fn next(&mut self) -> Option<(u64, Piece)> {
        let first = *self.frames.iter().find(|(_, frame)| self.can_decode(frame))?.0;
        let frame = self.frames.remove(&first)?;
        self.frames = self.frames.split_off(&first);
        Some((first, frame))
    }

    fn can_decode(&self, frame: &Piece) -> bool {
        if frame.key {
            return true;
        }
        let Some(last_tl0) = self.last_tl0 else { return false };
        let follows = self.intact && frame.picture == (self.last_picture + 1) & 0x7FFF;
        match frame.temporal {
            0 => frame.tl0 == last_tl0.wrapping_add(1),
            _ => frame.tl0 == last_tl0 && (frame.sync || follows),
        }
    }

    fn decode(&mut self, now: Duration, first: u64, frame: Piece) -> Result<(), String> {
        let stamp = frame.stamp;
        if stamp.key {
            self.decoded.clear();
        } else if self.shown.last().is_none_or(|last| !last.stamp.same_layer(&stamp)) {
            return Err(format!("another layer without a keyframe: {stamp:?} after {:?}", self.shown.last()));
        }
        if let Some(missing) = stamp.references.iter().find(|&&it| it != 0 && !self.decoded.contains(&it)) {
            return Err(format!("the numbers say that it decodes, but frame {missing} is missing: {frame:?}"));
        }
        self.decoded.push_back(stamp.frame);
        if self.decoded.len() > 16 {
            self.decoded.pop_front();
        }
        let follows = frame.picture == (self.last_picture + 1) & 0x7FFF;
        self.intact = frame.temporal == 0 || (self.intact && follows);
        self.last_picture = frame.picture;
        self.last_tl0 = Some(frame.tl0);
        self.last_first = first;
        self.show(now, stamp);
        Ok(())
    }

    /// Counts freezes as browsers' statistics do (W3C webrtc-stats, `freezeCount`).
    fn show(&mut self, now: Duration, stamp: Stamp) {
        if let Some(last) = self.shown.last().map(|it| it.at)
            && !std::mem::take(&mut self.paused)
        {
            let interval = now - last;
            let mean = self.intervals.iter().sum::<Duration>() / self.intervals.len().max(1) as u32;
            if self.intervals.len() >= INTERVALS_MIN && interval >= (3 * mean).max(mean + Duration::from_millis(150)) {
                self.freezes.push(Freeze { lasted: interval });
            }
            self.intervals.push_back(interval);
            if self.intervals.len() > INTERVALS {
                self.intervals.pop_front();
            }
        }
        self.shown.push(Shown { at: now, stamp });
    }
}

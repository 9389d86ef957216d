//! Which layers a downtrack forwards.
//!
//! `wanted` is what the budget allows, `target` the best within it that the publisher sends, and what is on the wire follows: another
//! stream (simulcast) from its keyframe on; other layers of the same stream wherever a decoder can follow.

use crate::facts::Frame;
use crate::layers::LayerSet;
use crate::{Facts, LayerId};

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It belongs to what is on the wire.
    Forward,
    /// It starts what is on the wire from now on.
    Switch,
    /// It belongs to a layer above what is on the wire: its number must leave no gap.
    Skip,
    /// Another stream is on the wire, or nothing is.
    Leave,
}

/// What the publication has now.
#[derive(Clone, Copy, Debug)]
pub struct Offer {
    pub active: LayerSet,
    /// Its spatial layers come in one stream (SVC), not in one each (simulcast).
    pub layered: bool,
}

#[derive(Clone, Copy, Debug)]
pub struct Selector {
    wanted: Option<LayerId>,
    target: Option<LayerId>,
    layered: bool,
    /// The stream on the wire.
    stream: Option<u8>,
    /// The layer of that stream.
    within: LayerId,
    /// Layers of that stream that the subscriber could be sent from its next frame on, having got everything that they need.
    decodable: LayerSet,
}

impl Selector {
    /// Wants the best there is.
    pub fn new() -> Self {
        Self {
            wanted: Some(LayerId::HIGHEST),
            target: None,
            layered: false,
            stream: None,
            within: LayerId::default(),
            decodable: LayerSet::NONE,
        }
    }

    /// `None` is a pause, at once.
    pub fn want(&mut self, wanted: Option<LayerId>) {
        self.wanted = wanted;
        if wanted.is_none() {
            (self.target, self.stream) = (None, None);
        }
    }

    pub fn wanted(&self) -> Option<LayerId> {
        self.wanted
    }

    /// Sets the target to the best active layer that is wanted. When there is none it stays: whoever is silent now may come back.
    pub fn retarget(&mut self, offer: Offer) {
        let Some(wanted) = self.wanted else { return };
        self.layered = offer.layered;
        let allowed = LayerSet::downward(wanted);
        let kept = self.target.filter(|target| allowed.contains(*target));
        let none_of_it = LayerSet::downward(wanted).highest().filter(|_| !offer.active.is_empty());
        self.target = offer.active.within(allowed).highest().or(kept).or(none_of_it);
    }

    /// Decides on a packet of `stream`; `newest` unless later ones of the stream have come before it.
    pub fn choose(&mut self, stream: u8, facts: &Facts, newest: bool) -> Choice {
        let (Some(wanted), Some(target)) = (self.wanted, self.target) else { return Choice::Leave };
        if self.stream == Some(stream) {
            return if self.follow(&facts.frame, facts.entry, newest) { Choice::Forward } else { Choice::Skip };
        }
        // The first picture comes from whichever stream has one first; it gets better later.
        let fits = self.stream_of(target) == stream || (self.stream.is_none() && stream <= wanted.spatial);
        if !facts.entry || !fits {
            return Choice::Leave;
        }
        self.stream = Some(stream);
        self.within = LayerId::default();
        self.decodable = LayerSet::only(self.within);
        self.follow(&facts.frame, true, true);
        Choice::Switch
    }

    /// A frame of the stream on the wire: changes the layer where that can be done, and says whether the frame is part of it.
    fn follow(&mut self, frame: &Frame, entry: bool, newest: bool) -> bool {
        if frame.start && newest {
            // The subscriber must have what the frame itself needs.
            let lower = LayerId { spatial: frame.spatial.saturating_sub(1), temporal: frame.temporal };
            let has_lower = !frame.needs_lower || frame.spatial == 0 || self.decodable.contains(lower);
            let near = frame.temporal <= self.within.temporal + 1 || frame.needs_lower;
            let known = frame.anew && near || !frame.present.within(self.decodable).is_empty();
            let follows = entry || has_lower && known;
            let decodable = if follows { self.decodable.and(frame.switching) } else { self.decodable };
            self.within = self.best(decodable);
            if frame.present.contains(self.within) {
                self.decodable = decodable;
            }
        }
        let forward = frame.present.contains(self.within);
        if !forward {
            self.decodable = self.decodable.without(frame.required);
        }
        forward
    }

    /// The best of `decodable` within the target. Where a lower spatial layer cannot be had, at least the frame rate falls.
    fn best(&self, decodable: LayerSet) -> LayerId {
        let Some(target) = self.target.map(|target| self.within_stream(target)) else { return self.within };
        let fallback = LayerId { spatial: self.within.spatial.max(target.spatial), temporal: target.temporal };
        let fitting = decodable.within(LayerSet::downward(target)).highest();
        fitting.or_else(|| decodable.within(LayerSet::downward(fallback)).highest()).unwrap_or(self.within)
    }

    /// The stream of which a keyframe is needed to get on.
    pub fn awaited(&self) -> Option<u8> {
        let target = self.target?;
        let stream = self.stream_of(target);
        let row = LayerSet::row(self.within_stream(target).spatial);
        let reached = self.stream == Some(stream) && !self.decodable.within(row).is_empty();
        (!reached).then_some(stream)
    }

    /// Nothing of what was sent before goes on; the target stays.
    pub fn leave(&mut self) {
        self.stream = None;
    }

    /// The stream on the wire ends with this packet, the first of a keyframe of another.
    pub fn leaves_for(&self, stream: u8, facts: &Facts) -> bool {
        let target = self.target.map(|target| self.stream_of(target));
        facts.entry && self.stream.is_some_and(|current| current != stream) && target == Some(stream)
    }

    /// The stream on the wire.
    pub fn stream(&self) -> Option<u8> {
        self.stream
    }

    /// The layer of the stream on the wire that is forwarded.
    pub fn within(&self) -> LayerId {
        self.within
    }

    pub fn current(&self) -> Option<LayerId> {
        let stream = self.stream?;
        Some(LayerId { spatial: stream + self.within.spatial, temporal: self.within.temporal })
    }

    #[cfg(test)]
    pub fn target(&self) -> Option<LayerId> {
        self.target
    }

    /// The source changed: start anew.
    pub fn reset(&mut self) {
        *self = Self { wanted: self.wanted, ..Self::new() };
    }

    fn stream_of(&self, layer: LayerId) -> u8 {
        if self.layered { 0 } else { layer.spatial }
    }

    fn within_stream(&self, layer: LayerId) -> LayerId {
        if self.layered { layer } else { LayerId { spatial: 0, ..layer } }
    }
}

#[cfg(test)]
mod tests;

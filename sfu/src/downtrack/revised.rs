//! Header extensions that mean something else after us than they did before: what they say is changed on the way.

use pointsman_wire::payload::dependency_descriptor as descriptor;
use pointsman_wire::rtp::AbsCaptureTime;

use super::{Downtrack, Source};
use crate::Span;

/// Longest value of a header extension element (RFC 8285 section 4.3), and what another set of decode targets may add.
const VALUE_LEN_MAX: usize = 255 + 8;

/// What is changed in one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Revised {
    /// Decode targets that the subscriber has; 0: the descriptor stays as it is.
    targets: u32,
    target_count: u8,
    /// Length of the descriptor then.
    descriptor_len: u8,
    /// From our clock, by which our sender reports go, to the capturer's, in seconds of 32.32 bits; `None`: not known, and then not told.
    capture_offset: Option<i64>,
}

impl Revised {
    /// Nothing is known better.
    pub const NONE: Self = Self { targets: 0, target_count: 0, descriptor_len: 0, capture_offset: None };

    /// `targets` are those that the subscriber has, if the packet must say so.
    pub fn new(source: &Source<'_>, targets: u32) -> Self {
        let mut revised = Self { capture_offset: capture_offset(source), ..Self::NONE };
        let count = source.publication.targets(source.layer).and_then(|it| it.count(source.facts.sequence));
        if let (1.., Some(count)) = (targets, count) {
            let mut space = [0; VALUE_LEN_MAX];
            let value = source.facts.carried.dependency_descriptor.of(source.packet);
            let len = descriptor::with_active_targets(value, count, targets, &mut space).and_then(|len| u8::try_from(len).ok());
            if let Some(len) = len {
                (revised.targets, revised.target_count, revised.descriptor_len) = (targets, count, len);
            }
        }
        revised
    }

    /// Length of a descriptor that came as `span`.
    pub fn descriptor_len(&self, span: Span) -> usize {
        usize::from(if self.targets == 0 { span.len } else { u16::from(self.descriptor_len) })
    }

    /// Gives the descriptor that came as `value` to `write`.
    pub fn with_descriptor<T>(&self, value: &[u8], write: impl FnOnce(&[u8]) -> T) -> T {
        let mut space = [0; VALUE_LEN_MAX];
        let len = match self.targets {
            0 => None,
            targets => descriptor::with_active_targets(value, self.target_count, targets, &mut space),
        };
        write(len.and_then(|len| space.get(..len)).unwrap_or(value))
    }

    /// Length of a capture time that came as `span`.
    pub fn capture_time_len(&self, span: Span) -> usize {
        match (span.len, self.capture_offset) {
            (0..8, _) => usize::from(span.len),
            (8.., None) => 8,
            (8.., Some(_)) => 16,
        }
    }

    /// The capture time that came as `value`, and how many of the bytes count. An offset to a clock that the subscriber does not know is left out.
    pub fn capture_time(&self, value: &[u8]) -> Option<([u8; 16], usize)> {
        let read = AbsCaptureTime::parse(value)?;
        Some(AbsCaptureTime { offset: self.capture_offset, ..read }.to_bytes())
    }
}

impl Downtrack {
    /// Decode targets that a packet's dependency descriptor must name, since the subscriber has fewer than the stream: where the descriptor
    /// names any, and from every change on until a frame that all others need has told of it. 0: it stays as it is.
    pub(super) fn targets_to_name(&mut self, source: &Source<'_>) -> u32 {
        let &Source { publication, layer, facts, packet } = source;
        let span = facts.carried.dependency_descriptor;
        if span.is_none() || !self.template.has_descriptor() {
            return 0;
        }
        let Some((targets, count)) = publication.targets(layer).and_then(|it| Some((it, it.count(facts.sequence)?))) else { return 0 };
        let has = targets.of(self.selector.within());
        match descriptor::active_targets(span.of(packet), count) {
            Some(named) => {
                self.targets_told = has & named;
                if self.targets_told == named { 0 } else { self.targets_told }
            }
            None if facts.frame.start && has != self.targets_told => {
                if facts.frame.temporal == 0 {
                    self.targets_told = has;
                }
                has
            }
            None => 0,
        }
    }
}

/// The publisher tells how far the capturer's clock is from its own; its own clock's distance from ours is known from its sender reports.
fn capture_offset(source: &Source<'_>) -> Option<i64> {
    let span = source.facts.carried.abs_capture_time;
    if span.len < 16 {
        return None;
    }
    let theirs = AbsCaptureTime::parse(span.of(source.packet))?.offset?;
    let ahead_us = source.publication.reported(source.layer)?.ahead_us?;
    let ahead = i64::try_from((i128::from(ahead_us) << 32) / 1_000_000).ok()?;
    theirs.checked_sub(ahead)
}

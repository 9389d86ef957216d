//! Sound: RED (RFC 2198) taken apart for who did not negotiate it, and made for who loses packets.
//!
//! FEC streams of their own (FlexFEC, RFC 8627) are not passed on: they repair packets as the publisher numbered them, header extensions
//! and all, and no subscriber gets such packets.

use pointsman_wire::payload::red;

use super::Source;
use crate::redundancy::COPIES_MAX;
use crate::{Codec, CodecSpec, Facts, SenderSpec, Span};

/// Longest payload that is made, so that it fits any path.
const PAYLOAD_LEN_MAX: usize = 1100;

/// What a payload is for the subscriber.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// As it came.
    Whole,
    /// Of RED the newest block alone.
    Newest(Span),
    /// Opus in RED, after copies of packets before it, the oldest first.
    Redundant { earlier: [Earlier; COPIES_MAX], len: u16 },
}

/// A copy of an earlier packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Earlier {
    /// How many numbers back it is; 0: there is none.
    back: u8,
    timestamp_offset: u16,
    len: u16,
}

impl Form {
    /// Of the payload.
    pub fn len(&self, facts: &Facts) -> usize {
        match self {
            Self::Whole => usize::from(facts.payload.len),
            Self::Newest(span) => usize::from(span.len),
            Self::Redundant { len, .. } => usize::from(*len),
        }
    }
}

/// How a subscriber takes sound: payload types of one of its m-lines.
#[derive(Clone, Copy, Debug)]
pub struct Sound {
    opus: Option<u8>,
    red: Option<u8>,
    /// Packets before it that go along with each.
    pub copies: u8,
}

impl Sound {
    pub fn new(spec: &SenderSpec) -> Self {
        let of = |codec: Codec| spec.codecs.iter().find(|format| format.codec == codec);
        // Where lost packets are asked for, they need not be sent twice; and what is sent again must be the same to the last bit.
        let repaired = of(Codec::Opus).is_some_and(|format| format.nack);
        Self {
            opus: of(Codec::Opus).map(|format| format.payload_type),
            red: of(Codec::Red).map(|format| format.payload_type).filter(|_| !repaired),
            copies: 0,
        }
    }

    pub const fn makes_red(&self) -> bool {
        self.red.is_some()
    }

    /// What becomes of a packet that is sent as `format`.
    pub fn form(&self, source: &Source<'_>, format: &CodecSpec) -> Form {
        let facts = source.facts;
        if facts.codec == Codec::Red && format.codec == Codec::Opus {
            // A payload that is no RED was refused when it came.
            let newest = red::newest(facts.payload.of(source.packet)).unwrap_or(0..0);
            return Form::Newest(Span { at: facts.payload.at + newest.start as u16, len: newest.len() as u16 });
        }
        if facts.codec == Codec::Opus && self.copies > 0 && self.makes_red() {
            return self.with_earlier(source);
        }
        Form::Whole
    }

    /// The payload type under which a form goes, other than that of its codec.
    pub fn payload_type(&self, form: &Form) -> Option<u8> {
        match form {
            Form::Whole | Form::Newest(_) => None,
            Form::Redundant { .. } => self.red,
        }
    }

    /// As many as there are and fit, the nearest first in line: what lies further back is of less use.
    fn with_earlier(&self, source: &Source<'_>) -> Form {
        let Source { publication, layer, facts, .. } = *source;
        let mut earlier = [Earlier::default(); COPIES_MAX];
        let mut len = 1 + usize::from(facts.payload.len);
        for back in 1..=self.copies.min(COPIES_MAX as u8) {
            let Some(sequence) = facts.sequence.checked_sub(u64::from(back)) else { break };
            let Some((before, _)) = publication.cached(layer, sequence) else { continue };
            let (offset, block) = (facts.timestamp.wrapping_sub(before.timestamp), usize::from(before.payload.len));
            let fits = block > 0 && block <= red::BLOCK_LEN_MAX && (1..=u32::from(red::TIMESTAMP_OFFSET_MAX)).contains(&offset);
            if before.codec != Codec::Opus || !fits || len + 4 + block > PAYLOAD_LEN_MAX {
                continue;
            }
            len += 4 + block;
            earlier[COPIES_MAX - usize::from(back)] = Earlier { back, timestamp_offset: offset as u16, len: block as u16 };
        }
        if earlier.iter().all(|it| it.back == 0) { Form::Whole } else { Form::Redundant { earlier, len: len as u16 } }
    }

    /// What stands before the payload: headers, and the copies. `None` when a copy is gone, which it cannot be within a turn.
    pub fn compose(&self, source: &Source<'_>, earlier: &[Earlier; COPIES_MAX]) -> Option<Head> {
        let copies = || earlier.iter().filter(|it| it.back > 0);
        let mut head = Head { bytes: [0; PAYLOAD_LEN_MAX], len: 0 };
        head.len = red::write_headers(self.opus?, copies().map(|it| (it.timestamp_offset, usize::from(it.len))), &mut head.bytes)?;
        for copy in copies() {
            let sequence = source.facts.sequence.checked_sub(u64::from(copy.back))?;
            let (before, packet) = source.publication.cached(source.layer, sequence)?;
            let payload = before.payload.of(packet.bytes());
            head.bytes.get_mut(head.len..head.len + payload.len())?.copy_from_slice(payload);
            head.len += payload.len();
        }
        Some(head)
    }

    /// RED that is passed on names the publisher's payload types. Returns how long its headers are, with this subscriber's in `out`.
    pub fn rename(&self, facts: &Facts, payload: &[u8], out: &mut [u8]) -> Option<usize> {
        if facts.codec != Codec::Red {
            return None;
        }
        red::copy_headers(payload, self.opus?, out)
    }
}

/// Beginning of a payload.
pub struct Head {
    bytes: [u8; PAYLOAD_LEN_MAX],
    len: usize,
}

impl Head {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..self.len]
    }
}

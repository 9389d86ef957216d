//! What the publisher's shard has read of a packet, so that nobody reads it again.

use crate::Codec;

/// Stretch of a packet: `at` from its first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub at: u16,
    /// Zero: not there.
    pub len: u16,
}

impl Span {
    pub const NONE: Self = Self { at: 0, len: 0 };

    pub const fn is_none(self) -> bool {
        self.len == 0
    }

    /// The bytes it names; empty when it does not lie within `packet`.
    pub fn of(self, packet: &[u8]) -> &[u8] {
        packet.get(usize::from(self.at)..usize::from(self.at) + usize::from(self.len)).unwrap_or_default()
    }
}

/// Header extensions whose values go on to subscribers as they are (ids differ, so they are written anew).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    pub audio_level: Span,
    pub video_orientation: Span,
    pub playout_delay: Span,
    pub abs_capture_time: Span,
    pub dependency_descriptor: Span,
}

impl Carried {
    pub const NONE: Self = Self {
        audio_level: Span::NONE,
        video_orientation: Span::NONE,
        playout_delay: Span::NONE,
        abs_capture_time: Span::NONE,
        dependency_descriptor: Span::NONE,
    };
}

/// A number in the payload descriptor that must stay continuous when the source changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Numbered {
    /// Offset of its first byte from the packet's first.
    pub at: u16,
    /// 7, 8 or 15 bits.
    pub bits: u8,
    pub value: u16,
}

/// One packet of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub codec: Codec,
    /// Sequence number with roll-overs counted, as sent by the publisher.
    pub sequence: u64,
    pub timestamp: u32,
    pub marker: bool,
    /// The first packet of a keyframe: a downtrack may start or change its layer here. Always true for audio.
    pub entry: bool,
    /// The payload without padding, from the packet's first byte. Empty for packets that are padding alone.
    pub payload: Span,
    pub carried: Carried,
    /// VP8 (RFC 7741 section 4.2) and VP9 (RFC 9628 section 4.2).
    pub picture_id: Option<Numbered>,
    /// TL0PICIDX of the same.
    pub tl0_index: Option<Numbered>,
}

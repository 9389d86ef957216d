//! What the publisher's shard has read of a packet, so that nobody reads it again.

use pointsman_wire::payload::{Format, Number};

use crate::{Codec, DropReason};

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
    pub picture_id: Option<Number>,
    /// TL0PICIDX of the same.
    pub tl0_index: Option<Number>,
}

impl Facts {
    /// Reads the payload of `packet`, once everything else is known. A packet of padding alone has none.
    pub fn read_payload(&mut self, packet: &[u8]) -> Result<(), DropReason> {
        if self.payload.is_none() {
            return Ok(());
        }
        let info = format(self.codec).read(self.payload.of(packet), self.marker).map_err(|_| DropReason::PayloadMalformed)?;
        self.entry = info.is_entry();
        self.picture_id = info.picture_id;
        self.tl0_index = info.tl0_index;
        Ok(())
    }
}

const fn format(codec: Codec) -> Format {
    match codec {
        Codec::Opus => Format::Opus,
        Codec::Red => Format::Red,
        Codec::Vp8 => Format::Vp8,
        Codec::Vp9 { .. } => Format::Vp9,
        Codec::H264 { .. } => Format::H264,
        Codec::Av1 { .. } => Format::Av1,
    }
}

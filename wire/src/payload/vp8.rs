//! VP8 (RFC 7741 section 4.2).
//!
//! ```text
//! |X R N S R PID|     always
//! |I L T K RSV  |     with X
//! |M PictureID …|     with I: 7 bits, or 15 with M
//! |TL0PICIDX    |     with L
//! |TID Y KEYIDX |     with T or K
//! ```

use super::{FrameInfo, Number, ParseError, picture_id};

/// The payload descriptor and what the first byte of the frame tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// In bytes; the VP8 data follows.
    pub len: usize,
    /// No other frame refers to this one.
    pub non_reference: bool,
    /// First packet of a partition.
    pub start_of_partition: bool,
    /// 0..=7; 0 is the first, with the frame's header.
    pub partition: u8,
    pub picture_id: Option<Number>,
    pub tl0_index: Option<Number>,
    pub temporal: Option<Temporal>,
    /// 0..=31: the temporal key frame that this one depends on.
    pub key_index: Option<u8>,
    /// The packet starts a frame whose header says that it is a key frame (RFC 6386 section 9.1).
    pub keyframe: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Temporal {
    /// 0..=3.
    pub id: u8,
    /// Depends on the base layer only: a receiver may switch up here.
    pub sync: bool,
}

impl Descriptor {
    pub fn parse(payload: &[u8]) -> Result<Self, ParseError> {
        let byte = |at: usize| payload.get(at).copied().ok_or(ParseError::Truncated);
        let first = byte(0)?;
        let mut it = Self {
            len: 1,
            non_reference: first & 0x20 != 0,
            start_of_partition: first & 0x10 != 0,
            partition: first & 0x07,
            picture_id: None,
            tl0_index: None,
            temporal: None,
            key_index: None,
            keyframe: false,
        };
        if first & 0x80 != 0 {
            let present = byte(1)?;
            it.len = 2;
            if present & 0x80 != 0 {
                let (number, after) = picture_id(payload, it.len)?;
                (it.picture_id, it.len) = (Some(number), after);
            }
            if present & 0x40 != 0 {
                it.tl0_index = Some(Number { at: it.len as u16, bits: 8, value: u16::from(byte(it.len)?) });
                it.len += 1;
            }
            if present & 0x30 != 0 {
                let layer = byte(it.len)?;
                it.temporal = (present & 0x20 != 0).then_some(Temporal { id: layer >> 6, sync: layer & 0x20 != 0 });
                it.key_index = (present & 0x10 != 0).then_some(layer & 0x1F);
                it.len += 1;
            }
        }
        // Section 4.3: there is at least one byte of data, and the P bit of the frame's first is 0 for a key frame.
        let data = byte(it.len)?;
        it.keyframe = it.starts_frame() && data & 1 == 0;
        Ok(it)
    }

    pub const fn starts_frame(&self) -> bool {
        self.start_of_partition && self.partition == 0
    }

    pub fn frame_info(&self, marker: bool) -> FrameInfo {
        FrameInfo {
            keyframe: self.keyframe,
            start_of_frame: self.starts_frame(),
            end_of_frame: marker,
            temporal: self.temporal.map_or(0, |it| it.id),
            spatial: 0,
            switch_up: self.temporal.is_some_and(|it| it.sync),
            discardable: self.non_reference,
            picture_id: self.picture_id,
            tl0_index: self.tl0_index,
        }
    }
}

/// Width and height of the keyframe that begins in this packet (RFC 6386 section 9.1).
pub fn size(payload: &[u8]) -> Option<(u16, u16)> {
    let descriptor = Descriptor::parse(payload).ok().filter(|it| it.keyframe)?;
    let &[_, _, _, 0x9D, 0x01, 0x2A, w0, w1, h0, h1] = payload.get(descriptor.len..)?.first_chunk()? else { return None };
    // The upper two bits are scales.
    Some((u16::from_le_bytes([w0, w1]) & 0x3FFF, u16::from_le_bytes([h0, h1]) & 0x3FFF))
}

/// Body of the fuzz target `vp8`.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(payload: &[u8]) {
    super::fuzz_numbers(super::Format::Vp8, payload);
    if let Ok(it) = Descriptor::parse(payload) {
        assert!((1..=6).contains(&it.len) && it.len < payload.len());
    }
}

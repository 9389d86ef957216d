//! VP9 (RFC 9628 section 4.2).
//!
//! ```text
//! |I P L F B E V Z|   always
//! |M PictureID …  |   with I: 7 bits, or 15 with M
//! |TID U SID D    |   with L
//! |TL0PICIDX      |   with L, without F
//! |P_DIFF N       |   with F and P: one to three
//! |scalability …  |   with V
//! ```

use super::bits::Bits;
use super::{FrameInfo, Number, ParseError, picture_id};

/// The payload descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Descriptor {
    /// In bytes; the VP9 data follows.
    pub len: usize,
    /// P: needs an earlier picture.
    pub inter_picture: bool,
    /// F: references are told in the descriptor.
    pub flexible: bool,
    /// B and E: first and last packet of a layer's frame.
    pub start_of_frame: bool,
    pub end_of_frame: bool,
    /// Z: higher spatial layers of the same picture do not need this frame.
    pub not_for_upper: bool,
    pub picture_id: Option<Number>,
    pub layer: Option<Layer>,
    pub tl0_index: Option<Number>,
    pub scalability: Option<Scalability>,
}

/// Which layer's frame a packet belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// 0..=7.
    pub temporal: u8,
    /// U: a receiver may switch up to this temporal layer here.
    pub switch_up: bool,
    /// 0..=7.
    pub spatial: u8,
    /// D: needs the next lower spatial layer of the same picture.
    pub inter_layer: bool,
}

/// The scalability structure, as far as forwarding needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scalability {
    /// 1..=8.
    pub spatial_layers: u8,
    /// Width and height in pixels for each spatial layer, if they are told.
    pub resolutions: Option<[(u16, u16); 8]>,
    /// Pictures in the group that is described; 0 without.
    pub pictures: u8,
}

impl Descriptor {
    pub fn parse(payload: &[u8]) -> Result<Self, ParseError> {
        let byte = |at: usize| payload.get(at).copied().ok_or(ParseError::Truncated);
        let first = byte(0)?;
        let bit = |mask: u8| first & mask != 0;
        let mut it = Self {
            len: 1,
            inter_picture: bit(0x40),
            flexible: bit(0x10),
            start_of_frame: bit(0x08),
            end_of_frame: bit(0x04),
            not_for_upper: bit(0x01),
            picture_id: None,
            layer: None,
            tl0_index: None,
            scalability: None,
        };
        if bit(0x80) {
            let (number, after) = picture_id(payload, it.len)?;
            (it.picture_id, it.len) = (Some(number), after);
        }
        if bit(0x20) {
            let layer = byte(it.len)?;
            it.len += 1;
            it.layer =
                Some(Layer { temporal: layer >> 5, switch_up: layer & 0x10 != 0, spatial: layer >> 1 & 0x07, inter_layer: layer & 1 != 0 });
            if !it.flexible {
                it.tl0_index = Some(Number { at: it.len as u16, bits: 8, value: u16::from(byte(it.len)?) });
                it.len += 1;
            }
        }
        if it.flexible && it.inter_picture {
            it.skip_references(byte)?;
        }
        if bit(0x02) {
            it.read_scalability(payload)?;
        }
        // Something must follow the descriptor.
        byte(it.len)?;
        Ok(it)
    }

    /// Each reference is followed by another if its last bit is set; there are at most three.
    fn skip_references(&mut self, byte: impl Fn(usize) -> Result<u8, ParseError>) -> Result<(), ParseError> {
        for _ in 0..3 {
            let reference = byte(self.len)?;
            self.len += 1;
            if reference & 1 == 0 {
                return Ok(());
            }
        }
        Err(ParseError::Invalid)
    }

    fn read_scalability(&mut self, payload: &[u8]) -> Result<(), ParseError> {
        let byte = |at: usize| payload.get(at).copied().ok_or(ParseError::Truncated);
        let head = byte(self.len)?;
        self.len += 1;
        let mut scalability = Scalability { spatial_layers: (head >> 5) + 1, resolutions: None, pictures: 0 };
        if head & 0x10 != 0 {
            let mut resolutions = [(0, 0); 8];
            for resolution in resolutions.iter_mut().take(usize::from(scalability.spatial_layers)) {
                let fields = payload.get(self.len..).and_then(|it| it.first_chunk()).ok_or(ParseError::Truncated)?;
                let &[w0, w1, h0, h1] = fields;
                *resolution = (u16::from_be_bytes([w0, w1]), u16::from_be_bytes([h0, h1]));
                self.len += 4;
            }
            scalability.resolutions = Some(resolutions);
        }
        if head & 0x08 != 0 {
            scalability.pictures = byte(self.len)?;
            self.len += 1;
            for _ in 0..scalability.pictures {
                let references = byte(self.len)? >> 2 & 3;
                self.len += 1 + usize::from(references);
            }
        }
        self.scalability = Some(scalability);
        Ok(())
    }

    /// Belongs to a frame that needs neither an earlier picture nor a lower layer.
    pub fn is_keyframe(&self) -> bool {
        !self.inter_picture && self.layer.is_none_or(|it| it.spatial == 0 && !it.inter_layer)
    }

    pub fn frame_info(&self) -> FrameInfo {
        FrameInfo {
            keyframe: self.is_keyframe(),
            start_of_frame: self.start_of_frame,
            end_of_frame: self.end_of_frame,
            temporal: self.layer.map_or(0, |it| it.temporal),
            spatial: self.layer.map_or(0, |it| it.spatial),
            switch_up: self.layer.is_some_and(|it| it.switch_up),
            discardable: false,
            picture_id: self.picture_id,
            tl0_index: self.tl0_index,
        }
    }
}

/// Width and height of a keyframe, from the uncompressed header that `frame` begins with (VP9 bitstream specification, section 6.2).
pub fn size(frame: &[u8]) -> Option<(u16, u16)> {
    read_size(&mut Bits::new(frame)).ok().flatten()
}

fn read_size(bits: &mut Bits<'_>) -> Result<Option<(u16, u16)>, ParseError> {
    if bits.take(2)? != 2 {
        return Ok(None);
    }
    let profile = bits.take(1)? | bits.take(1)? << 1;
    if profile == 3 {
        bits.take(1)?;
    }
    // Neither a frame that is shown again nor one that needs others.
    if bits.take(2)? != 0 {
        return Ok(None);
    }
    bits.take(2)?;
    if bits.take(24)? != 0x49_8342 {
        return Ok(None);
    }
    if profile >= 2 {
        bits.take(1)?;
    }
    let rgb = bits.take(3)? == 7;
    match (rgb, profile) {
        (false, 1 | 3) => bits.skip(4)?,
        (true, 1 | 3) | (false, _) => bits.skip(1)?,
        (true, _) => {}
    }
    Ok(Some((bits.take(16)?.wrapping_add(1) as u16, bits.take(16)?.wrapping_add(1) as u16)))
}

/// Body of the fuzz target `vp9`.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(payload: &[u8]) {
    super::fuzz_numbers(super::Format::Vp9, payload);
    if let Ok(it) = Descriptor::parse(payload) {
        assert!(it.len < payload.len());
    }
}

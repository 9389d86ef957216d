//! AV1 (AOMedia's "RTP Payload Format For AV1", section 4): an aggregation header and OBU elements.
//!
//! ```text
//! |Z Y W W N - - -|   Z: goes on from the packet before; Y: goes on in the next; W: number of elements, 0 = each has its length;
//!                     N: first packet of a coded video sequence
//! ```

use super::bits::Bits;
use super::{FrameInfo, ParseError};

/// OBU types (AV1 specification, section 6.2.2).
const OBU_SEQUENCE_HEADER: u8 = 1;
const OBU_FRAME_HEADER: u8 = 3;
const OBU_FRAME: u8 = 6;

/// What lies in one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// N, or a sequence header is in it: a decoder can start here.
    pub new_sequence: bool,
    /// Z: the first element goes on from the packet before.
    pub continues: bool,
    /// Y: the last element goes on in the next packet.
    pub continued: bool,
    /// A frame header, or a frame OBU, begins here.
    pub frame_header: bool,
    /// From the first OBU header that has them.
    pub layer: Option<Layer>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// 0..=7.
    pub temporal: u8,
    /// 0..=3.
    pub spatial: u8,
}

impl Summary {
    pub fn parse(payload: &[u8]) -> Result<Self, ParseError> {
        let (&head, mut rest) = payload.split_first().ok_or(ParseError::Truncated)?;
        let mut it = Self { new_sequence: head & 0x08 != 0, continues: head & 0x80 != 0, continued: head & 0x40 != 0, ..Self::default() };
        // Section 4.4: what starts a sequence does not go on from before.
        if it.new_sequence && it.continues {
            return Err(ParseError::Invalid);
        }
        let count = usize::from(head >> 4 & 3);
        let mut index = 0;
        while !rest.is_empty() {
            index += 1;
            let len = if index == count { rest.len() } else { leb128(&mut rest)? };
            let (element, after) = rest.split_at_checked(len).ok_or(ParseError::Truncated)?;
            rest = after;
            if index > 1 || !it.continues {
                it.add(element);
            }
        }
        // W counts the elements if it is not 0; without one element the packet says nothing.
        if index == 0 || index < count {
            return Err(ParseError::Truncated);
        }
        Ok(it)
    }

    /// Looks at an OBU that begins here; an empty element is passed over.
    fn add(&mut self, element: &[u8]) {
        let Some(&header) = element.first() else { return };
        match header >> 3 & 0x0F {
            OBU_SEQUENCE_HEADER => self.new_sequence = true,
            OBU_FRAME_HEADER | OBU_FRAME => self.frame_header = true,
            _ => {}
        }
        if let (None, true, Some(&extension)) = (self.layer, header & 0x04 != 0, element.get(1)) {
            self.layer = Some(Layer { temporal: extension >> 5, spatial: extension >> 3 & 3 });
        }
    }

    pub fn frame_info(&self, marker: bool) -> FrameInfo {
        FrameInfo {
            keyframe: self.new_sequence,
            start_of_frame: self.new_sequence || self.frame_header,
            end_of_frame: marker,
            temporal: self.layer.map_or(0, |it| it.temporal),
            spatial: self.layer.map_or(0, |it| it.spatial),
            switch_up: false,
            discardable: false,
            picture_id: None,
            tl0_index: None,
        }
    }
}

/// Width and height from a sequence header that begins in this packet.
pub fn size(payload: &[u8]) -> Option<(u16, u16)> {
    let (&head, mut rest) = payload.split_first()?;
    let count = usize::from(head >> 4 & 3);
    let mut index = 0;
    while !rest.is_empty() {
        index += 1;
        let len = if index == count { rest.len() } else { leb128(&mut rest).ok()? };
        let (element, after) = rest.split_at_checked(len)?;
        rest = after;
        let Some((&header, mut data)) = element.split_first() else { continue };
        if header >> 3 & 0x0F != OBU_SEQUENCE_HEADER || (index == 1 && head & 0x80 != 0) {
            continue;
        }
        if header & 0x04 != 0 {
            data = data.get(1..)?;
        }
        if header & 0x02 != 0 {
            leb128(&mut data).ok()?;
        }
        return sequence_size(&mut Bits::new(data)).ok();
    }
    None
}

/// The beginning of `sequence_header_obu()` (AV1 specification, section 5.5.1).
fn sequence_size(bits: &mut Bits<'_>) -> Result<(u16, u16), ParseError> {
    bits.take(4)?;
    if bits.take(1)? == 1 {
        bits.take(5)?; // A still picture's short header has a level alone.
    } else {
        read_operating_points(bits)?;
    }
    let (width_bits, height_bits) = (bits.take(4)? + 1, bits.take(4)? + 1);
    let (width, height) = (bits.take(width_bits)?, bits.take(height_bits)?);
    Ok((width.wrapping_add(1) as u16, height.wrapping_add(1) as u16))
}

fn read_operating_points(bits: &mut Bits<'_>) -> Result<(), ParseError> {
    let mut delay_len = None;
    if bits.take(1)? == 1 {
        bits.skip(64)?;
        if bits.take(1)? == 1 {
            bits.take_exp_golomb()?;
        }
        if bits.take(1)? == 1 {
            delay_len = Some(bits.take(5)? as usize + 1);
            bits.skip(32 + 5 + 5)?;
        }
    }
    let display_delay = bits.take(1)? == 1;
    for _ in 0..=bits.take(5)? {
        bits.take(12)?;
        if bits.take(5)? > 7 {
            bits.take(1)?;
        }
        if let Some(len) = delay_len
            && bits.take(1)? == 1
        {
            bits.skip(2 * len + 1)?;
        }
        if display_delay && bits.take(1)? == 1 {
            bits.take(4)?;
        }
    }
    Ok(())
}

/// A length of at most eight bytes, seven bits each, the lowest first (AV1 specification, section 4.10.5). Values beyond 32 bits are forbidden there.
fn leb128(rest: &mut &[u8]) -> Result<usize, ParseError> {
    let mut value = 0u64;
    for shift in 0..8 {
        let (&byte, after) = rest.split_first().ok_or(ParseError::Truncated)?;
        *rest = after;
        value |= u64::from(byte & 0x7F) << (7 * shift);
        if byte & 0x80 == 0 {
            return u32::try_from(value).map(|it| it as usize).map_err(|_| ParseError::Invalid);
        }
    }
    Err(ParseError::Invalid)
}

/// Body of the fuzz target `av1`.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(payload: &[u8]) {
    super::fuzz_numbers(super::Format::Av1, payload);
    if let Ok(it) = Summary::parse(payload) {
        assert!(payload.len() > 1);
        assert_eq!(it.frame_info(true).is_entry(), it.new_sequence);
    }
}

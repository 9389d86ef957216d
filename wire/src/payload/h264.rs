//! H.264 (RFC 6184): single NAL units, STAP-A and FU-A, as WebRTC uses them (RFC 7742 section 6.2). The other aggregations and FU-B belong to
//! the interleaved mode, which is never negotiated.

use super::bits::Bits;
use super::{FrameInfo, ParseError};

/// NAL unit types that matter here (H.264 table 7-1, RFC 6184 table 1).
mod nal {
    pub const SLICE: u8 = 1;
    pub const IDR: u8 = 5;
    pub const SPS: u8 = 7;
    pub const PPS: u8 = 8;
    pub const DELIMITER: u8 = 9;
    pub const SINGLE_LAST: u8 = 23;
    pub const STAP_A: u8 = 24;
    pub const FU_A: u8 = 28;
}

/// What lies in one packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Summary {
    /// Some part of a picture that needs no other.
    pub idr: bool,
    /// A sequence parameter set: a picture that needs no other follows.
    pub sps: bool,
    pub pps: bool,
    /// The first slice of a picture begins here, or an access unit delimiter or a sequence parameter set announces one.
    pub start_of_frame: bool,
    /// Some part of a picture is in it.
    pub slices: bool,
    /// And of pictures that no other refers to (`nal_ref_idc` 0) alone.
    pub non_reference: bool,
}

impl Summary {
    pub fn parse(payload: &[u8]) -> Result<Self, ParseError> {
        let (&first, rest) = payload.split_first().ok_or(ParseError::Truncated)?;
        // The forbidden bit says that the unit is damaged.
        if first & 0x80 != 0 {
            return Err(ParseError::Invalid);
        }
        let mut it = Self::default();
        match first & 0x1F {
            1..=nal::SINGLE_LAST => it.add(first, rest.first().copied()),
            nal::STAP_A => it.add_aggregate(rest)?,
            nal::FU_A => {
                let (&header, data) = rest.split_first().ok_or(ParseError::Truncated)?;
                // RFC 6184 section 5.8: a fragment is never both the first and the last.
                if header & 0xC0 == 0xC0 {
                    return Err(ParseError::Invalid);
                }
                let starts = header & 0x80 != 0;
                it.add(first & 0x60 | header & 0x1F, data.first().copied().filter(|_| starts));
            }
            _ => return Err(ParseError::Invalid),
        }
        Ok(it)
    }

    /// RFC 6184 section 5.7.1: units, each after its size in 16 bits.
    fn add_aggregate(&mut self, mut rest: &[u8]) -> Result<(), ParseError> {
        if rest.is_empty() {
            return Err(ParseError::Truncated);
        }
        while !rest.is_empty() {
            let (size, after) = rest.split_first_chunk::<2>().ok_or(ParseError::Truncated)?;
            let size = usize::from(u16::from_be_bytes(*size));
            let (unit, after) = after.split_at_checked(size).ok_or(ParseError::Truncated)?;
            let (&header, data) = unit.split_first().ok_or(ParseError::Invalid)?;
            self.add(header, data.first().copied());
            rest = after;
        }
        Ok(())
    }

    /// A unit with its header; `data` is the first byte after that, when the unit begins here.
    fn add(&mut self, header: u8, data: Option<u8>) {
        let unit_type = header & 0x1F;
        if (nal::SLICE..=nal::IDR).contains(&unit_type) {
            let referred_to = header & 0x60 != 0;
            self.non_reference = !referred_to && (self.non_reference || !self.slices);
            self.slices = true;
        }
        // `first_mb_in_slice` opens a slice header (H.264 section 7.3.3): 0, which is one set bit, for the first of a picture.
        let first_slice = data.is_some_and(|it| it & 0x80 != 0);
        match unit_type {
            nal::SLICE => self.start_of_frame |= first_slice,
            nal::IDR => {
                self.idr = true;
                self.start_of_frame |= first_slice;
            }
            nal::SPS => {
                self.sps = true;
                self.start_of_frame = true;
            }
            nal::PPS => self.pps = true,
            nal::DELIMITER => self.start_of_frame = true,
            _ => {}
        }
    }

    pub const fn frame_info(&self, marker: bool) -> FrameInfo {
        FrameInfo {
            keyframe: self.idr || self.sps,
            start_of_frame: self.start_of_frame,
            end_of_frame: marker,
            temporal: 0,
            spatial: 0,
            switch_up: false,
            discardable: self.non_reference,
            picture_id: None,
            tl0_index: None,
        }
    }
}

/// Width and height from a sequence parameter set in this packet.
pub fn size(payload: &[u8]) -> Option<(u16, u16)> {
    let (&first, mut rest) = payload.split_first()?;
    match first & 0x1F {
        nal::SPS => sps_size(rest),
        nal::STAP_A => {
            while let Some((len, after)) = rest.split_first_chunk::<2>() {
                let (unit, after) = after.split_at_checked(usize::from(u16::from_be_bytes(*len)))?;
                if unit.first().is_some_and(|header| header & 0x1F == nal::SPS) {
                    return sps_size(&unit[1..]);
                }
                rest = after;
            }
            None
        }
        _ => None,
    }
}

/// Longest part of a parameter set that is looked at.
const SPS_LEN_MAX: usize = 128;

fn sps_size(data: &[u8]) -> Option<(u16, u16)> {
    // Section 7.4.1: a 3 after two zeros is no data.
    let (mut plain, mut len, mut zeros) = ([0; SPS_LEN_MAX], 0, 0);
    for &byte in data.iter().take(SPS_LEN_MAX) {
        if zeros >= 2 && byte == 3 {
            zeros = 0;
            continue;
        }
        zeros = if byte == 0 { zeros + 1 } else { 0 };
        plain[len] = byte;
        len += 1;
    }
    read_sps_size(&mut Bits::new(&plain[..len])).ok().flatten()
}

/// `seq_parameter_set_data()` of section 7.3.2.1.1 up to the cropping.
fn read_sps_size(bits: &mut Bits<'_>) -> Result<Option<(u16, u16)>, ParseError> {
    let profile = bits.take(8)?;
    bits.skip(16)?;
    bits.take_exp_golomb()?;
    let mut chroma = 1;
    if matches!(profile, 100 | 110 | 122 | 244 | 44 | 83 | 86 | 118 | 128 | 138 | 139 | 134 | 135) {
        chroma = bits.take_exp_golomb()?;
        if chroma == 3 {
            bits.take(1)?;
        }
        bits.take_exp_golomb()?;
        bits.take_exp_golomb()?;
        bits.take(1)?;
        if bits.take(1)? == 1 {
            return Ok(None); // Scaling lists: nothing that encoders of calls write.
        }
    }
    bits.take_exp_golomb()?;
    match bits.take_exp_golomb()? {
        0 => {
            bits.take_exp_golomb()?;
        }
        1 => {
            bits.take(1)?;
            bits.take_exp_golomb()?;
            bits.take_exp_golomb()?;
            for _ in 0..bits.take_exp_golomb()?.min(255) {
                bits.take_exp_golomb()?;
            }
        }
        _ => {}
    }
    bits.take_exp_golomb()?;
    bits.take(1)?;
    let (columns, rows) = (bits.take_exp_golomb()?.saturating_add(1), bits.take_exp_golomb()?.saturating_add(1));
    let fields = 2 - bits.take(1)?;
    if fields == 2 {
        bits.take(1)?;
    }
    bits.take(1)?;
    let mut crop = [0; 4];
    if bits.take(1)? == 1 {
        for side in &mut crop {
            *side = bits.take_exp_golomb()?;
        }
    }
    let [left, right, top, bottom] = crop;
    // Table 6-1: how many samples of luma a unit of cropping is.
    let (unit_x, unit_y) = match chroma {
        1 => (2, 2),
        2 => (2, 1),
        _ => (1, 1),
    };
    let side = |blocks: u32, cropped: u32, unit: u32| {
        u16::try_from(blocks.checked_mul(16)?.checked_sub(cropped.checked_mul(unit)?)?).ok().filter(|&it| it > 0)
    };
    let width = side(columns, left.saturating_add(right), unit_x);
    let height = rows.checked_mul(fields).and_then(|rows| side(rows, top.saturating_add(bottom), unit_y * fields));
    Ok(width.zip(height))
}

/// Body of the fuzz target `h264`.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(payload: &[u8]) {
    super::fuzz_numbers(super::Format::H264, payload);
    if let Ok(it) = Summary::parse(payload) {
        assert!(!it.sps || it.frame_info(false).is_entry());
    }
}

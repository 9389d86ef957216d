//! RTP packets (RFC 3550 section 5.1) with header extensions (RFC 8285), read and changed in place.
//!
//! ```text
//! |V P X CC|M PT|sequence|timestamp|ssrc|csrcs …|profile, length|elements …|payload …|padding, count|
//! 0                                 8    12      └ extension block          └ header_len
//! ```

mod extension;
mod sequence;
mod value;

use std::ops::Range;

pub use extension::{Element, Elements, ExtensionKind};
pub use sequence::{SequenceUnwrapper, TimestampUnwrapper, is_newer_sequence, sequence_distance, timestamp_distance};
pub use value::{AbsCaptureTime, AbsSendTime, AudioLevel, PlayoutDelay, TransportSequence, VideoOrientation};

/// Bytes of a header without CSRCs and extensions.
pub const FIXED_HEADER_LEN: usize = 12;

/// Why bytes are no RTP packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// Shorter than the header says.
    Truncated,
    /// The version is not 2.
    Version,
    /// The padding count is zero or reaches into the header.
    Padding,
}

/// A packet's header, taken apart. Ranges and lengths are in bytes of the packet that was parsed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    pub marker: bool,
    /// 0..=127.
    pub payload_type: u8,
    pub sequence: u16,
    /// In units of the payload's clock rate.
    pub timestamp: u32,
    pub ssrc: u32,
    pub csrc_count: u8,
    /// The P bit. [`Header::parse_protected`] cannot know how much padding that means.
    pub has_padding: bool,
    /// Padding at the end, its count byte included; 0 without.
    pub padding_len: u8,
    /// The fixed header, CSRCs and the extension block: where the payload begins.
    pub header_len: usize,
    payload_end: usize,
    extension: Option<ExtensionBlock>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct ExtensionBlock {
    profile: u16,
    start: usize,
    end: usize,
}

impl Header {
    /// Reads the header of a plain packet.
    pub fn parse(packet: &[u8]) -> Result<Self, ParseError> {
        let mut header = Self::parse_protected(packet)?;
        if header.has_padding {
            let count = packet.last().copied().unwrap_or(0);
            if count == 0 || usize::from(count) > packet.len() - header.header_len {
                return Err(ParseError::Padding);
            }
            header.padding_len = count;
            header.payload_end -= usize::from(count);
        }
        Ok(header)
    }

    /// Reads the header of a packet whose payload and padding are still encrypted (RFC 3711): the payload range reaches to the
    /// end of `packet`, authentication tag included.
    pub fn parse_protected(packet: &[u8]) -> Result<Self, ParseError> {
        let Some((fixed, rest)) = packet.split_first_chunk::<FIXED_HEADER_LEN>() else {
            return Err(ParseError::Truncated);
        };
        if fixed[0] >> 6 != 2 {
            return Err(ParseError::Version);
        }
        let csrc_count = fixed[0] & 0x0F;
        let mut header_len = FIXED_HEADER_LEN + 4 * usize::from(csrc_count);
        let mut extension = None;
        if fixed[0] & 0x10 != 0 {
            let Some(&[p0, p1, l0, l1]) = rest.get(4 * usize::from(csrc_count)..).and_then(|it| it.first_chunk()) else {
                return Err(ParseError::Truncated);
            };
            let start = header_len + 4;
            header_len = start + 4 * usize::from(u16::from_be_bytes([l0, l1]));
            extension = Some(ExtensionBlock { profile: u16::from_be_bytes([p0, p1]), start, end: header_len });
        }
        if header_len > packet.len() {
            return Err(ParseError::Truncated);
        }
        Ok(Self {
            marker: fixed[1] & 0x80 != 0,
            payload_type: fixed[1] & 0x7F,
            sequence: u16::from_be_bytes([fixed[2], fixed[3]]),
            timestamp: u32::from_be_bytes([fixed[4], fixed[5], fixed[6], fixed[7]]),
            ssrc: u32::from_be_bytes([fixed[8], fixed[9], fixed[10], fixed[11]]),
            csrc_count,
            has_padding: fixed[0] & 0x20 != 0,
            padding_len: 0,
            header_len,
            payload_end: packet.len(),
            extension,
        })
    }

    /// Where the payload lies, padding left out.
    pub fn payload_range(&self) -> Range<usize> {
        self.header_len..self.payload_end
    }

    /// The payload, padding left out. `packet` must be the one that was parsed; of a shorter one the payload is empty.
    pub fn payload<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        packet.get(self.payload_range()).unwrap_or_default()
    }

    /// Four bytes for each CSRC.
    pub fn csrcs<'a>(&self, packet: &'a [u8]) -> &'a [u8] {
        packet.get(FIXED_HEADER_LEN..FIXED_HEADER_LEN + 4 * usize::from(self.csrc_count)).unwrap_or_default()
    }

    /// "Defined by profile": 0xBEDE for one-byte elements, 0x1000..=0x100F for two-byte elements.
    pub fn extension_profile(&self) -> Option<u16> {
        self.extension.map(|it| it.profile)
    }

    /// Where the elements lie, after profile and length.
    pub fn extension_range(&self) -> Option<Range<usize>> {
        self.extension.map(|it| it.start..it.end)
    }

    /// The extension elements, from first to last. None for a profile other than those of RFC 8285.
    pub fn elements<'a>(&self, packet: &'a [u8]) -> Elements<'a> {
        match self.extension {
            Some(block) => Elements::new(packet, block.profile, block.start..block.end),
            None => Elements::new(packet, 0, 0..0),
        }
    }

    /// The value of the first element with this id.
    pub fn extension<'a>(&self, packet: &'a [u8], id: u8) -> Option<&'a [u8]> {
        self.elements(packet).find(|it| it.id == id).and_then(|it| packet.get(it.range()))
    }
}

/// What goes into a header that is written anew.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Fields<'a> {
    pub marker: bool,
    /// 0..=127.
    pub payload_type: u8,
    pub sequence: u16,
    pub timestamp: u32,
    pub ssrc: u32,
    /// Four bytes each, at most 15 of them.
    pub csrcs: &'a [u8],
}

/// Writes a header and an extension block of `elements`, and returns its length: the payload follows there.
///
/// Elements with two-byte headers (RFC 8285 section 4.3) are used only when an id above 14 or a value that is empty or longer than
/// 16 bytes needs them. `None` when `out` is too short or something does not fit its field: an id of 0, a value above 255 bytes, CSRCs that are no
/// multiple of four bytes or too many.
pub fn write_header(fields: &Fields<'_>, elements: &[(u8, &[u8])], out: &mut [u8]) -> Option<usize> {
    let csrc_count = fields.csrcs.len() / 4;
    if !fields.csrcs.len().is_multiple_of(4) || csrc_count > 15 {
        return None;
    }
    let has_extension = !elements.is_empty();
    let (fixed, rest) = out.split_first_chunk_mut::<FIXED_HEADER_LEN>()?;
    fixed[0] = 0x80 | u8::from(has_extension) << 4 | csrc_count as u8;
    fixed[1] = u8::from(fields.marker) << 7 | fields.payload_type & 0x7F;
    fixed[2..4].copy_from_slice(&fields.sequence.to_be_bytes());
    fixed[4..8].copy_from_slice(&fields.timestamp.to_be_bytes());
    fixed[8..12].copy_from_slice(&fields.ssrc.to_be_bytes());
    let (csrcs, rest) = rest.split_at_mut_checked(fields.csrcs.len())?;
    csrcs.copy_from_slice(fields.csrcs);
    let extension_len = if has_extension { extension::write_block(elements, rest)? } else { 0 };
    Some(FIXED_HEADER_LEN + fields.csrcs.len() + extension_len)
}

/// Changes the sequence number in place. Does nothing to what is too short to be a packet, like all of these.
pub fn set_sequence(packet: &mut [u8], sequence: u16) {
    if let Some(field) = packet.get_mut(2..4) {
        field.copy_from_slice(&sequence.to_be_bytes());
    }
}

/// Changes the timestamp in place.
pub fn set_timestamp(packet: &mut [u8], timestamp: u32) {
    if let Some(field) = packet.get_mut(4..8) {
        field.copy_from_slice(&timestamp.to_be_bytes());
    }
}

/// Changes the SSRC in place.
pub fn set_ssrc(packet: &mut [u8], ssrc: u32) {
    if let Some(field) = packet.get_mut(8..12) {
        field.copy_from_slice(&ssrc.to_be_bytes());
    }
}

/// Changes the payload type (0..=127) in place.
pub fn set_payload_type(packet: &mut [u8], payload_type: u8) {
    if let Some(field) = packet.get_mut(1) {
        *field = *field & 0x80 | payload_type & 0x7F;
    }
}

/// Changes the marker in place.
pub fn set_marker(packet: &mut [u8], marker: bool) {
    if let Some(field) = packet.get_mut(1) {
        *field = *field & 0x7F | u8::from(marker) << 7;
    }
}

/// Adds `count` bytes of padding after the first `len` bytes of `space` (a whole packet without padding) and returns the new length.
/// `None` when the space is too short; a count of 0 changes nothing.
pub fn add_padding(space: &mut [u8], len: usize, count: u8) -> Option<usize> {
    if count == 0 {
        return Some(len);
    }
    let end = len.checked_add(usize::from(count))?;
    let padding = space.get_mut(len..end)?;
    padding.fill(0);
    *padding.last_mut()? = count;
    *space.first_mut()? |= 0x20;
    Some(end)
}

/// The original sequence number of a retransmission (RFC 4588 section 4), and where the original payload begins in its payload.
/// `None` when the payload is empty, as it is in packets that only probe for bandwidth.
pub fn original_sequence(rtx_payload: &[u8]) -> Option<(u16, usize)> {
    let osn = rtx_payload.first_chunk::<2>()?;
    Some((u16::from_be_bytes(*osn), 2))
}

/// Turns a plain retransmission back into the packet it repeats, in place: number, SSRC and payload type of the original, its payload
/// two bytes ahead. Returns the new length; padding is cut off. `None` for what is no retransmission.
pub fn restore_original(packet: &mut [u8], ssrc: u32, payload_type: u8) -> Option<usize> {
    let header = Header::parse(packet).ok()?;
    let payload = header.payload_range();
    let (sequence, skip) = original_sequence(packet.get(payload.clone())?)?;
    packet.copy_within(payload.start + skip..payload.end, payload.start);
    packet[0] &= !0x20;
    set_sequence(packet, sequence);
    set_ssrc(packet, ssrc);
    set_payload_type(packet, payload_type);
    Some(payload.end - skip)
}

/// Body of the fuzz target `rtp`: whatever was read must read the same after it was written again.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(packet: &[u8]) {
    let Ok(header) = Header::parse(packet) else { return };
    let mut elements: [(u8, &[u8]); 8] = [(0, &[]); 8];
    let mut count = 0;
    for element in header.elements(packet) {
        let value = &packet[element.range()];
        value::fuzz(value);
        if count < elements.len() && element.id != 0 {
            elements[count] = (element.id, value);
            count += 1;
        }
    }
    let fields = Fields {
        marker: header.marker,
        payload_type: header.payload_type,
        sequence: header.sequence,
        timestamp: header.timestamp,
        ssrc: header.ssrc,
        csrcs: header.csrcs(packet),
    };
    let mut space = [0; 4096];
    let Some(len) = write_header(&fields, &elements[..count], &mut space) else { return };
    let again = Header::parse(&space[..len]).expect("what we write parses");
    assert_eq!((again.sequence, again.ssrc, again.header_len), (header.sequence, header.ssrc, len));
    let read = again.elements(&space).map(|it| (it.id, &space[it.range()]));
    assert!(read.eq(elements[..count].iter().copied()), "elements survive writing and reading");
    let mut copy = [0; 2048];
    if let Some(copy) = copy.get_mut(..packet.len()) {
        copy.copy_from_slice(packet);
        if let Some(len) = restore_original(copy, 1, 2) {
            assert!(Header::parse(&copy[..len]).is_ok(), "a restored packet parses");
        }
    }
}

#[cfg(test)]
mod tests;

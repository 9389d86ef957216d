//! Feedback on packets and pictures: generic NACK (RFC 4585), full intra requests (RFC 5104), and the receiver's estimate (REMB,
//! draft-alvestrand-rmcat-remb-03).

use super::be32;

/// Packets that are missing (RFC 4585 section 6.2.1).
#[derive(Clone, Debug)]
pub struct Nack<'a> {
    pub sender: u32,
    /// The stream that they are missing from.
    pub media: u32,
    entries: &'a [[u8; 4]],
}

impl<'a> Nack<'a> {
    pub(super) fn parse(sender: u32, media: u32, control: &'a [u8]) -> Option<Self> {
        let (entries, rest) = control.as_chunks();
        (rest.is_empty() && !entries.is_empty()).then_some(Self { sender, media, entries })
    }

    /// The sequence numbers: at most 17 for each four bytes.
    pub fn lost(&self) -> impl Iterator<Item = u16> + Clone + use<'a> {
        self.entries.iter().flat_map(|&[p0, p1, b0, b1]| {
            let first = u16::from_be_bytes([p0, p1]);
            let following = u16::from_be_bytes([b0, b1]);
            std::iter::once(first)
                .chain((0..16u16).filter(move |bit| following >> bit & 1 != 0).map(move |bit| first.wrapping_add(bit + 1)))
        })
    }
}

/// Keyframes that are wanted for good reason, such as a new receiver (RFC 5104 section 4.3.1).
#[derive(Clone, Debug)]
pub struct Fir<'a> {
    pub sender: u32,
    entries: &'a [[u8; 8]],
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FirEntry {
    /// The stream whose keyframe is wanted.
    pub ssrc: u32,
    /// Grows by one with each request; a repeated number repeats the request.
    pub sequence: u8,
}

impl<'a> Fir<'a> {
    pub(super) fn parse(sender: u32, control: &'a [u8]) -> Option<Self> {
        let (entries, rest) = control.as_chunks();
        (rest.is_empty() && !entries.is_empty()).then_some(Self { sender, entries })
    }

    pub fn entries(&self) -> impl ExactSizeIterator<Item = FirEntry> + Clone + use<'a> {
        self.entries.iter().map(|entry| FirEntry { ssrc: be32(&entry[..4]), sequence: entry[4] })
    }
}

/// What a receiver thinks it can be sent.
#[derive(Clone, Debug)]
pub struct Remb<'a> {
    pub sender: u32,
    pub bitrate_bps: u64,
    ssrcs: &'a [[u8; 4]],
}

pub(super) const REMB: &[u8; 4] = b"REMB";

impl<'a> Remb<'a> {
    pub(super) fn is_one(control: &[u8]) -> bool {
        control.starts_with(REMB)
    }

    pub(super) fn parse(sender: u32, control: &'a [u8]) -> Option<Self> {
        let (&[_, _, _, _, count, high, middle, low], rest) = control.split_first_chunk()?;
        let mantissa = u64::from(be32(&[high & 3, middle, low]));
        // An exponent of 63 would shift 18 bits out of 64: such an estimate is as good as none, and the draft has no use for it.
        let bitrate_bps = mantissa.checked_mul(1 << (high >> 2))?;
        Some(Self { sender, bitrate_bps, ssrcs: rest.as_chunks().0.get(..usize::from(count))? })
    }

    /// The streams that share the estimate.
    pub fn ssrcs(&self) -> impl ExactSizeIterator<Item = u32> + Clone + use<'a> {
        self.ssrcs.iter().copied().map(u32::from_be_bytes)
    }
}

/// Exponent and mantissa (6 and 18 bits) of the largest bitrate that is not above this one.
pub(super) const fn remb_bitrate(bitrate_bps: u64) -> u32 {
    let bits = u64::BITS - bitrate_bps.leading_zeros();
    let exponent = bits.saturating_sub(18);
    exponent << 18 | (bitrate_bps >> exponent) as u32
}

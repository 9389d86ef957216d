//! Extended reports (RFC 3611): what a receiver without a stream of its own needs to learn the round-trip time. Other blocks are named
//! by their type only.

use super::be32;
use crate::clock::NtpTime;

#[derive(Clone, Debug)]
pub struct ExtendedReport<'a> {
    /// Who reports.
    pub ssrc: u32,
    blocks: &'a [u8],
}

#[derive(Clone, Debug)]
pub enum XrBlock<'a> {
    /// Receiver reference time (section 4.4): when the report was made.
    ReferenceTime(NtpTime),
    /// Answers to reference times (section 4.5).
    DelaySinceReference(&'a [[u8; 12]]),
    Other {
        block_type: u8,
    },
}

/// One sub-block of a DLRR block.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DelaySinceReference {
    /// Whose reference time is answered.
    pub ssrc: u32,
    /// Middle 32 bits of that reference time.
    pub last_rr: u32,
    /// Time since it came, in 1/65,536 s.
    pub delay: u32,
}

impl DelaySinceReference {
    pub fn parse(sub_block: &[u8; 12]) -> Self {
        Self { ssrc: be32(&sub_block[..4]), last_rr: be32(&sub_block[4..8]), delay: be32(&sub_block[8..]) }
    }
}

pub(super) const REFERENCE_TIME: u8 = 4;
pub(super) const DELAY_SINCE_REFERENCE: u8 = 5;

impl<'a> ExtendedReport<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (ssrc, blocks) = body.split_first_chunk()?;
        let mut rest = blocks;
        while !rest.is_empty() {
            rest = split_block(rest)?.1;
        }
        Some(Self { ssrc: u32::from_be_bytes(*ssrc), blocks })
    }

    pub fn blocks(&self) -> impl Iterator<Item = XrBlock<'a>> + Clone + use<'a> {
        let mut rest = self.blocks;
        std::iter::from_fn(move || {
            let (block, after) = split_block(rest)?;
            rest = after;
            Some(block)
        })
    }
}

fn split_block(bytes: &[u8]) -> Option<(XrBlock<'_>, &[u8])> {
    let (&[block_type, _, l0, l1], rest) = bytes.split_first_chunk()?;
    let (body, rest) = rest.split_at_checked(4 * usize::from(u16::from_be_bytes([l0, l1])))?;
    let block = match block_type {
        REFERENCE_TIME => XrBlock::ReferenceTime(NtpTime(u64::from_be_bytes(*body.first_chunk()?))),
        DELAY_SINCE_REFERENCE => XrBlock::DelaySinceReference(body.as_chunks().0),
        _ => XrBlock::Other { block_type },
    };
    Some((block, rest))
}

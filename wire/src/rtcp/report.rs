//! Sender and receiver reports (RFC 3550 section 6.4).

use super::be32;
use crate::clock::NtpTime;

/// What one receiver says about one stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ReportBlock {
    /// The stream that is reported on.
    pub ssrc: u32,
    /// Packets lost since the last report, in 1/256 of those expected.
    pub fraction_lost: u8,
    /// Packets lost since the beginning; duplicates make it negative. 24 bits: −8,388,608..=8,388,607.
    pub cumulative_lost: i32,
    /// Highest sequence number with 16 bits of roll-overs above.
    pub highest_sequence: u32,
    /// In units of the stream's clock rate.
    pub jitter: u32,
    /// Middle 32 bits of the last sender report's NTP time; 0 when there was none.
    pub last_sr: u32,
    /// Time since then in 1/65,536 s; 0 when there was none.
    pub delay_since_last_sr: u32,
}

impl ReportBlock {
    pub(super) const LEN: usize = 24;

    fn parse(block: &[u8; Self::LEN]) -> Self {
        Self {
            ssrc: be32(&block[..4]),
            fraction_lost: block[4],
            // Sign-extends 24 bits.
            cumulative_lost: (be32(&block[5..8]) << 8) as i32 >> 8,
            highest_sequence: be32(&block[8..12]),
            jitter: be32(&block[12..16]),
            last_sr: be32(&block[16..20]),
            delay_since_last_sr: be32(&block[20..]),
        }
    }

    pub(super) fn to_bytes(self) -> [u8; Self::LEN] {
        let lost = self.cumulative_lost.clamp(-(1 << 23), (1 << 23) - 1) as u32 & 0xFF_FFFF;
        let mut block = [0; Self::LEN];
        let words = [
            self.ssrc,
            u32::from(self.fraction_lost) << 24 | lost,
            self.highest_sequence,
            self.jitter,
            self.last_sr,
            self.delay_since_last_sr,
        ];
        for (field, word) in block.as_chunks_mut::<4>().0.iter_mut().zip(words) {
            *field = word.to_be_bytes();
        }
        block
    }
}

/// What a sender says about its own stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SenderInfo {
    /// When the report was made, on the sender's clock.
    pub ntp: NtpTime,
    /// The same instant on the stream's RTP clock.
    pub rtp_timestamp: u32,
    /// Packets since the beginning.
    pub packets: u32,
    /// Payload bytes since the beginning.
    pub octets: u32,
}

#[derive(Clone, Debug)]
pub struct SenderReport<'a> {
    pub ssrc: u32,
    pub info: SenderInfo,
    blocks: &'a [[u8; ReportBlock::LEN]],
}

impl<'a> SenderReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        let (head, rest) = body.split_first_chunk::<24>()?;
        let info = SenderInfo {
            ntp: NtpTime(u64::from(be32(&head[4..8])) << 32 | u64::from(be32(&head[8..12]))),
            rtp_timestamp: be32(&head[12..16]),
            packets: be32(&head[16..20]),
            octets: be32(&head[20..]),
        };
        Some(Self { ssrc: be32(&head[..4]), info, blocks: blocks(count, rest)? })
    }

    pub fn blocks(&self) -> impl ExactSizeIterator<Item = ReportBlock> + Clone + use<'a> {
        self.blocks.iter().map(ReportBlock::parse)
    }
}

#[derive(Clone, Debug)]
pub struct ReceiverReport<'a> {
    /// Who reports.
    pub ssrc: u32,
    blocks: &'a [[u8; ReportBlock::LEN]],
}

impl<'a> ReceiverReport<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        let (head, rest) = body.split_first_chunk::<4>()?;
        Some(Self { ssrc: u32::from_be_bytes(*head), blocks: blocks(count, rest)? })
    }

    pub fn blocks(&self) -> impl ExactSizeIterator<Item = ReportBlock> + Clone + use<'a> {
        self.blocks.iter().map(ReportBlock::parse)
    }
}

/// What follows the blocks is specific to a profile and passed over.
fn blocks(count: u8, rest: &[u8]) -> Option<&[[u8; ReportBlock::LEN]]> {
    rest.as_chunks().0.get(..usize::from(count))
}

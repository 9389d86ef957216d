//! Congestion control feedback (RFC 8888 section 3.1): which packets of each stream arrived, when, and how they were marked.
//!
//! ```text
//! |sender SSRC|  |SSRC|begin_seq|num_reports|reports (2 bytes each), padded to 4 bytes|  again for each stream  |report timestamp|
//! ```

use super::be32;

/// More reports than this in one block are no feedback but a mistake (RFC 8888 section 3.1).
const REPORTS_MAX: u16 = 16_384;
const RECEIVED: u16 = 0x8000;
/// 13 bits: this many 1/1024 s or more before the report, and not known.
const OFFSET_OVER: u16 = 0x1FFE;
const OFFSET_UNKNOWN: u16 = 0x1FFF;

/// Feedback whose blocks agree with their counts.
#[derive(Clone, Debug)]
pub struct CongestionFeedback<'a> {
    pub sender: u32,
    blocks: &'a [u8],
    /// When it was made: the middle 32 bits of the receiver's NTP time.
    pub timestamp: u32,
}

/// What became of the packets of one stream.
#[derive(Clone, Debug)]
pub struct CongestionBlock<'a> {
    pub ssrc: u32,
    pub begin_sequence: u16,
    reports: &'a [[u8; 2]],
}

/// What became of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketReport {
    pub sequence: u16,
    pub received: bool,
    /// The two bits of explicit congestion notification (RFC 3168 section 5), zero when not received.
    pub ecn: u8,
    /// Before the feedback's timestamp, in 1/1024 s, below 8,190. `None` when not received, not known, or longer ago.
    pub age: Option<u16>,
}

impl<'a> CongestionFeedback<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Option<Self> {
        let (sender, rest) = body.split_first_chunk::<4>()?;
        let (blocks, timestamp) = rest.split_last_chunk::<4>()?;
        let mut left = blocks;
        while !left.is_empty() {
            (_, left) = split_block(left)?;
        }
        Some(Self { sender: be32(sender), blocks, timestamp: be32(timestamp) })
    }

    pub fn blocks(&self) -> impl Iterator<Item = CongestionBlock<'a>> + Clone + use<'a> {
        let mut left = self.blocks;
        std::iter::from_fn(move || {
            let (block, rest) = split_block(left)?;
            left = rest;
            Some(block)
        })
    }
}

impl<'a> CongestionBlock<'a> {
    /// In order of sequence.
    pub fn reports(&self) -> impl ExactSizeIterator<Item = PacketReport> + Clone + use<'a> {
        let first = self.begin_sequence;
        let parse = move |(at, bytes): (usize, &[u8; 2])| PacketReport::parse(first.wrapping_add(at as u16), u16::from_be_bytes(*bytes));
        self.reports.iter().enumerate().map(parse)
    }
}

impl PacketReport {
    fn parse(sequence: u16, bits: u16) -> Self {
        let received = bits & RECEIVED != 0;
        let age = Some(bits & OFFSET_UNKNOWN).filter(|age| received && *age < OFFSET_OVER);
        Self { sequence, received, ecn: if received { (bits >> 13 & 3) as u8 } else { 0 }, age }
    }

    fn bits(self) -> u16 {
        if self.received { RECEIVED | u16::from(self.ecn & 3) << 13 | self.age.unwrap_or(OFFSET_UNKNOWN).min(OFFSET_UNKNOWN) } else { 0 }
    }
}

fn split_block(bytes: &[u8]) -> Option<(CongestionBlock<'_>, &[u8])> {
    let (&[s0, s1, s2, s3, b0, b1, n0, n1], rest) = bytes.split_first_chunk()?;
    let count = u16::from_be_bytes([n0, n1]);
    if count > REPORTS_MAX {
        return None;
    }
    let (reports, rest) = rest.split_at_checked(2 * usize::from(count.next_multiple_of(2)))?;
    let reports = reports.as_chunks().0.get(..usize::from(count))?;
    Some((CongestionBlock { ssrc: be32(&[s0, s1, s2, s3]), begin_sequence: u16::from_be_bytes([b0, b1]), reports }, rest))
}

/// Writes one block and returns its length. `None` when `out` is too short or there are too many reports.
pub(super) fn write_block(
    ssrc: u32,
    begin_sequence: u16,
    reports: impl ExactSizeIterator<Item = PacketReport>,
    out: &mut [u8],
) -> Option<usize> {
    let count = u16::try_from(reports.len()).ok().filter(|count| *count <= REPORTS_MAX)?;
    let len = 8 + 2 * usize::from(count.next_multiple_of(2));
    let out = out.get_mut(..len)?;
    out.fill(0);
    out.get_mut(..4)?.copy_from_slice(&ssrc.to_be_bytes());
    out.get_mut(4..6)?.copy_from_slice(&begin_sequence.to_be_bytes());
    out.get_mut(6..8)?.copy_from_slice(&count.to_be_bytes());
    for (place, report) in out.get_mut(8..)?.as_chunks_mut().0.iter_mut().zip(reports) {
        *place = report.bits().to_be_bytes();
    }
    Some(len)
}

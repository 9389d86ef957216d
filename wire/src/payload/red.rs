//! Redundant audio data (RFC 2198): older blocks before the newest.
//!
//! ```text
//! |1 type|timestamp offset (14 bits), length (10 bits)| for each older block, then |0 type|, then the data in the same order
//! ```

use std::ops::Range;

use super::ParseError;

/// The blocks of one packet; lengths have been checked.
#[derive(Clone, Debug)]
pub struct Blocks<'a> {
    payload: &'a [u8],
    header: usize,
    data: usize,
}

/// One block.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Block {
    /// 0..=127.
    pub payload_type: u8,
    /// How much older than the packet's timestamp, in units of the clock rate; 0 for the newest.
    pub timestamp_offset: u16,
    /// Where its data lies in the payload.
    pub range: Range<usize>,
}

/// The blocks from oldest header to newest, which comes last.
pub fn blocks(payload: &[u8]) -> Result<Blocks<'_>, ParseError> {
    let (mut header, mut data) = (0, 0);
    while let Some((_, len)) = older(payload.get(header..).unwrap_or_default()) {
        header += 4;
        data += len;
    }
    // The newest block's header, whose first bit is 0.
    match payload.get(header) {
        Some(last) if last & 0x80 == 0 && header + 1 + data <= payload.len() => Ok(Blocks { payload, header: 0, data: header + 1 }),
        _ => Err(ParseError::Truncated),
    }
}

/// Timestamp offset and length of an older block's header.
fn older(header: &[u8]) -> Option<(u16, usize)> {
    let &[first, high, middle, low] = header.first_chunk()?;
    let fields = u32::from_be_bytes([0, high, middle, low]);
    (first & 0x80 != 0).then_some(((fields >> 10) as u16, (fields & 0x3FF) as usize))
}

impl Iterator for Blocks<'_> {
    type Item = Block;

    fn next(&mut self) -> Option<Block> {
        let header = self.payload.get(self.header..)?;
        let payload_type = header.first()? & 0x7F;
        if let Some((timestamp_offset, len)) = older(header) {
            let range = self.data..self.data + len;
            (self.header, self.data) = (self.header + 4, range.end);
            return Some(Block { payload_type, timestamp_offset, range });
        }
        self.header = self.payload.len();
        Some(Block { payload_type, timestamp_offset: 0, range: self.data..self.payload.len() })
    }
}

/// Body of the fuzz target `red`.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(payload: &[u8]) {
    let Ok(blocks) = blocks(payload) else { return };
    let mut end = None;
    for block in blocks {
        assert!(block.range.end <= payload.len());
        assert!(end.is_none_or(|it| it == block.range.start), "blocks follow each other");
        end = Some(block.range.end);
    }
    assert_eq!(end, Some(payload.len()), "the newest block takes what is left");
}

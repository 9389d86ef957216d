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

/// Where the newest block's data lies in the payload: all that a receiver without redundancy needs.
pub fn newest(payload: &[u8]) -> Result<Range<usize>, ParseError> {
    blocks(payload)?.last().map(|block| block.range).ok_or(ParseError::Truncated)
}

/// Bounds of an older block's header fields.
pub const TIMESTAMP_OFFSET_MAX: u16 = (1 << 14) - 1;
pub const BLOCK_LEN_MAX: usize = (1 << 10) - 1;

/// Writes the headers of older blocks, each with its timestamp offset and length, and of the newest, and returns how long they are: the data
/// follows in the same order. `None` when a field or `out` is too small.
pub fn write_headers(payload_type: u8, older: impl IntoIterator<Item = (u16, usize)>, out: &mut [u8]) -> Option<usize> {
    let mut at = 0;
    for (timestamp_offset, len) in older {
        if timestamp_offset > TIMESTAMP_OFFSET_MAX || len > BLOCK_LEN_MAX {
            return None;
        }
        let [_, high, middle, low] = (u32::from(timestamp_offset) << 10 | len as u32).to_be_bytes();
        out.get_mut(at..at + 4)?.copy_from_slice(&[0x80 | payload_type & 0x7F, high, middle, low]);
        at += 4;
    }
    *out.get_mut(at)? = payload_type & 0x7F;
    Some(at + 1)
}

/// Copies the headers of `payload` into `out` with another payload type for every block, since the two ends of a relay may number differently.
/// Returns how long they are; `None` when they are wrong or `out` is too short.
pub fn copy_headers(payload: &[u8], payload_type: u8, out: &mut [u8]) -> Option<usize> {
    let mut at = 0;
    while older(payload.get(at..)?).is_some() {
        at += 4;
    }
    let headers = out.get_mut(..at + 1)?;
    headers.copy_from_slice(payload.get(..at + 1)?);
    for first in headers.iter_mut().step_by(4) {
        *first = *first & 0x80 | payload_type & 0x7F;
    }
    Some(at + 1)
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
    let read: Vec<Block> = self::blocks(payload).into_iter().flatten().collect();
    assert_eq!(newest(payload).ok(), read.last().map(|block| block.range.clone()));
    // Written again with one payload type.
    let (mut written, mut copied) = (vec![0; payload.len()], vec![0; payload.len()]);
    let older = read.iter().take(read.len() - 1).map(|block| (block.timestamp_offset, block.range.len()));
    let len = write_headers(17, older, &mut written).expect("what was read fits");
    assert_eq!(copy_headers(payload, 17, &mut copied), Some(len));
    assert_eq!(written[..len], copied[..len]);
    written[len..].copy_from_slice(&payload[len..]);
    let again: Vec<Block> = self::blocks(&written).expect("what we write parses").collect();
    assert!(again.iter().all(|block| block.payload_type == 17));
    assert!(
        again
            .iter()
            .map(|block| (block.timestamp_offset, &block.range))
            .eq(read.iter().map(|block| (block.timestamp_offset, &block.range)))
    );
}

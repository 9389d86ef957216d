//! Source descriptions and goodbyes (RFC 3550 sections 6.5 and 6.6).

use super::be32;

const ITEM_END: u8 = 0;
pub(super) const ITEM_CNAME: u8 = 1;

#[derive(Clone, Debug)]
pub struct Description<'a> {
    count: u8,
    chunks: &'a [u8],
}

/// What is said of one source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DescriptionChunk<'a> {
    pub ssrc: u32,
    /// UTF-8 by the RFC, unchecked; at most 255 bytes.
    pub cname: Option<&'a [u8]>,
}

impl<'a> Description<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        let mut rest = body;
        for _ in 0..count {
            rest = split_chunk(rest)?.1;
        }
        Some(Self { count, chunks: body })
    }

    pub fn chunks(&self) -> impl Iterator<Item = DescriptionChunk<'a>> + Clone + use<'a> {
        let mut rest = self.chunks;
        (0..self.count).map_while(move |_| {
            let (chunk, after) = split_chunk(rest)?;
            rest = after;
            Some(chunk)
        })
    }
}

/// Takes one chunk off: an SSRC, items up to a zero byte, zero bytes up to a multiple of four.
fn split_chunk(bytes: &[u8]) -> Option<(DescriptionChunk<'_>, &[u8])> {
    let mut chunk = DescriptionChunk { ssrc: be32(bytes.first_chunk::<4>()?), cname: None };
    let mut at = 4;
    loop {
        match *bytes.get(at)? {
            ITEM_END => return Some((chunk, bytes.get((at + 1).next_multiple_of(4)..)?)),
            item => {
                let len = usize::from(*bytes.get(at + 1)?);
                let text = bytes.get(at + 2..at + 2 + len)?;
                if item == ITEM_CNAME && chunk.cname.is_none() {
                    chunk.cname = Some(text);
                }
                at += 2 + len;
            }
        }
    }
}

/// Sources that leave. The reason, if there is one, is passed over.
#[derive(Clone, Debug)]
pub struct Bye<'a> {
    ssrcs: &'a [[u8; 4]],
}

impl<'a> Bye<'a> {
    pub(super) fn parse(count: u8, body: &'a [u8]) -> Option<Self> {
        Some(Self { ssrcs: body.as_chunks().0.get(..usize::from(count))? })
    }

    pub fn ssrcs(&self) -> impl ExactSizeIterator<Item = u32> + Clone + use<'a> {
        self.ssrcs.iter().copied().map(u32::from_be_bytes)
    }
}

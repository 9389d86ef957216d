//! Reads fields that are not whole bytes, the highest bit first.

use super::ParseError;

pub struct Bits<'a> {
    bytes: &'a [u8],
    at: usize,
}

/// Writes them. What was in the bytes before does not matter.
pub struct BitsMut<'a> {
    bytes: &'a mut [u8],
    at: usize,
}

impl<'a> BitsMut<'a> {
    pub const fn new(bytes: &'a mut [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// The lowest `count` bits of `value`, the highest of them first; `None` when there is no room.
    pub fn put(&mut self, count: u32, value: u32) -> Option<()> {
        for bit in (0..count).rev() {
            let byte = self.bytes.get_mut(self.at / 8)?;
            if self.at.is_multiple_of(8) {
                *byte = 0;
            }
            *byte |= ((value >> bit & 1) as u8) << (7 - self.at % 8);
            self.at += 1;
        }
        Some(())
    }

    /// So many bits of another reader.
    pub fn copy(&mut self, from: &mut Bits<'_>, mut count: usize) -> Option<()> {
        while count > 0 {
            let step = count.min(32) as u32;
            self.put(step, from.take(step).ok()?)?;
            count -= step as usize;
        }
        Some(())
    }

    /// Whole bytes written so far, the last filled up with zeros.
    pub const fn len(&self) -> usize {
        self.at.div_ceil(8)
    }
}

impl<'a> Bits<'a> {
    pub const fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// Bits read so far.
    pub const fn position(&self) -> usize {
        self.at
    }

    /// Bits left.
    pub const fn left(&self) -> usize {
        (self.bytes.len() * 8).saturating_sub(self.at)
    }

    /// `f(n)` of the specification; at most 32 bits.
    pub fn take(&mut self, count: u32) -> Result<u32, ParseError> {
        let end = self.at + count as usize;
        if end > self.bytes.len() * 8 {
            return Err(ParseError::Truncated);
        }
        let mut value = 0;
        while self.at < end {
            let byte = self.bytes[self.at / 8];
            value = value << 1 | u32::from(byte >> (7 - self.at % 8) & 1);
            self.at += 1;
        }
        Ok(value)
    }

    pub const fn skip(&mut self, count: usize) -> Result<(), ParseError> {
        self.at += count;
        if self.at > self.bytes.len() * 8 { Err(ParseError::Truncated) } else { Ok(()) }
    }

    /// Unsigned Exp-Golomb code (H.264 section 9.1; `uvlc()` of AV1); values of 32 bits or more are refused.
    pub fn take_exp_golomb(&mut self) -> Result<u32, ParseError> {
        let mut zeros = 0;
        while self.take(1)? == 0 {
            zeros += 1;
            if zeros > 31 {
                return Err(ParseError::Invalid);
            }
        }
        Ok((1u32 << zeros) - 1 + self.take(zeros)?)
    }

    /// `ns(n)`: a value below `n` (1 or more) in as few bits as it takes.
    pub fn take_non_symmetric(&mut self, n: u32) -> Result<u32, ParseError> {
        let width = u32::BITS - n.leading_zeros();
        let short = (1 << width) - n;
        let value = self.take(width - 1)?;
        if value < short { Ok(value) } else { Ok((value << 1) - short + self.take(1)?) }
    }
}

//! STUN messages (RFC 8489): a borrowing view and a writer, neither of which allocates.
//!
//! ```text
//! | 00 | type (14) | length (16) | magic cookie (32) | transaction id (96) | attributes: type (16) | length (16) | value, padded to 4 | …
//! ```
//! [`Message::parse`] walks the attributes once, so that every later question is a walk over known-good lengths. Attributes
//! behind MESSAGE-INTEGRITY are not covered by it, and are never seen except those that may stand there.

pub mod attribute;
#[cfg(any(test, feature = "fuzz"))]
mod fuzz;
mod integrity;
mod questions;
mod write;

#[cfg(test)]
mod tests;

use attribute::{Attribute, Type};

#[cfg(any(test, feature = "fuzz"))]
pub use fuzz::fuzz;
pub use integrity::{Key, KeySha256};
pub use questions::{UNKNOWN_MAX, Unknown};
pub use write::{OutOfSpace, Writer};

/// RFC 8489 section 5.
pub const MAGIC_COOKIE: u32 = 0x2112_A442;
/// Bytes before the first attribute.
pub const HEADER_LEN: usize = 20;
/// Bytes before an attribute's value.
pub const ATTRIBUTE_HEADER_LEN: usize = 4;

/// Names a transaction; chosen at random by the client (RFC 8489 section 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TransactionId(pub [u8; 12]);

/// What a message is to its method.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    Request,
    Indication,
    Success,
    Error,
}

/// What a message asks for: 12 bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Method(pub u16);

impl Method {
    pub const BINDING: Self = Self(0x001);
    pub const ALLOCATE: Self = Self(0x003);
    pub const REFRESH: Self = Self(0x004);
    pub const SEND: Self = Self(0x006);
    pub const DATA: Self = Self(0x007);
    pub const CREATE_PERMISSION: Self = Self(0x008);
    pub const CHANNEL_BIND: Self = Self(0x009);
    pub const CONNECT: Self = Self(0x00A);
    pub const CONNECTION_BIND: Self = Self(0x00B);
    pub const CONNECTION_ATTEMPT: Self = Self(0x00C);
}

/// Splits the 14-bit type into class and method, whose bits are interleaved (RFC 8489 section 5, figure 3).
fn decode_type(kind: u16) -> (Class, Method) {
    let method = (kind & 0x000F) | ((kind & 0x00E0) >> 1) | ((kind & 0x3E00) >> 2);
    let class = match (kind & 0x0100 != 0, kind & 0x0010 != 0) {
        (false, false) => Class::Request,
        (false, true) => Class::Indication,
        (true, false) => Class::Success,
        (true, true) => Class::Error,
    };
    (class, Method(method))
}

fn encode_type(class: Class, method: Method) -> u16 {
    let bits = (method.0 & 0x000F) | ((method.0 & 0x0070) << 1) | ((method.0 & 0x0F80) << 2);
    bits | match class {
        Class::Request => 0x0000,
        Class::Indication => 0x0010,
        Class::Success => 0x0100,
        Class::Error => 0x0110,
    }
}

/// Why bytes are no STUN message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Shorter than a header.
    Truncated,
    /// The two highest bits are not zero.
    FirstBits,
    /// No magic cookie: another protocol, or RFC 3489, which had none.
    Cookie,
    /// The length field is no multiple of 4, or is not what follows the header.
    Length,
    /// An attribute is longer than the message.
    Attribute,
}

/// A STUN message whose structure is sound. Borrows the datagram.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    bytes: &'a [u8],
    class: Class,
    method: Method,
    id: TransactionId,
    /// Where the attributes that one may see end: at the first integrity attribute or fingerprint, else the end.
    attributes_end: usize,
    integrity_at: Option<usize>,
    integrity_sha256_at: Option<usize>,
    fingerprint_at: Option<usize>,
}

impl<'a> Message<'a> {
    /// Reads a message that fills `bytes` exactly.
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let [t0, t1, l0, l1, c0, c1, c2, c3, ..] = bytes else { return Err(Error::Truncated) };
        let Some(id) = bytes.get(8..HEADER_LEN).and_then(|b| b.try_into().ok()) else { return Err(Error::Truncated) };
        if t0 & 0xC0 != 0 {
            return Err(Error::FirstBits);
        }
        if u32::from_be_bytes([*c0, *c1, *c2, *c3]) != MAGIC_COOKIE {
            return Err(Error::Cookie);
        }
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        if length % 4 != 0 || bytes.len() != HEADER_LEN + length {
            return Err(Error::Length);
        }
        let (class, method) = decode_type(u16::from_be_bytes([*t0, *t1]));
        let mut message = Self {
            bytes,
            class,
            method,
            id: TransactionId(id),
            attributes_end: bytes.len(),
            integrity_at: None,
            integrity_sha256_at: None,
            fingerprint_at: None,
        };
        message.walk()?;
        Ok(message)
    }

    /// Checks every attribute's length and notes where the closing ones stand.
    fn walk(&mut self) -> Result<(), Error> {
        let mut at = HEADER_LEN;
        while at < self.bytes.len() {
            let (attribute, next) = split_attribute(self.bytes, at).ok_or(Error::Attribute)?;
            let closing = match attribute.kind {
                // RFC 8489 section 14.5: behind MESSAGE-INTEGRITY only MESSAGE-INTEGRITY-SHA256 and FINGERPRINT count;
                // section 14.6: behind that only FINGERPRINT; section 14.7: FINGERPRINT is last.
                Type::MESSAGE_INTEGRITY if self.may_close(&[self.integrity_at, self.integrity_sha256_at]) => Some(&mut self.integrity_at),
                Type::MESSAGE_INTEGRITY_SHA256 if self.may_close(&[self.integrity_sha256_at]) => Some(&mut self.integrity_sha256_at),
                Type::FINGERPRINT if self.fingerprint_at.is_none() => Some(&mut self.fingerprint_at),
                _ => None,
            };
            if let Some(place) = closing {
                *place = Some(at);
                self.attributes_end = self.attributes_end.min(at);
            }
            at = next;
        }
        Ok(())
    }

    /// May a closing attribute still stand here: neither one of `earlier` nor FINGERPRINT was seen?
    fn may_close(&self, earlier: &[Option<usize>]) -> bool {
        self.fingerprint_at.is_none() && earlier.iter().all(Option::is_none)
    }

    pub fn class(&self) -> Class {
        self.class
    }

    pub fn method(&self) -> Method {
        self.method
    }

    pub fn transaction_id(&self) -> TransactionId {
        self.id
    }

    /// The whole message.
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }

    /// The attributes in order, up to the first of MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 and FINGERPRINT.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes { bytes: self.bytes, at: HEADER_LEN, end: self.attributes_end }
    }

    /// The value of the attribute that begins at `at`.
    fn value_at(&self, at: usize) -> Option<&'a [u8]> {
        split_attribute(self.bytes, at).map(|(attribute, _)| attribute.value)
    }
}

/// The attribute that begins at `at`, and where the next one begins.
fn split_attribute(bytes: &[u8], at: usize) -> Option<(Attribute<'_>, usize)> {
    let [t0, t1, l0, l1, rest @ ..] = bytes.get(at..)? else { return None };
    let length = usize::from(u16::from_be_bytes([*l0, *l1]));
    let value = rest.get(..length)?;
    let next = at + ATTRIBUTE_HEADER_LEN + length.next_multiple_of(4);
    (next <= bytes.len()).then_some((Attribute { kind: Type(u16::from_be_bytes([*t0, *t1])), value }, next))
}

/// Iterates over a message's attributes.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    bytes: &'a [u8],
    at: usize,
    end: usize,
}

impl<'a> Attributes<'a> {
    /// Where the next attribute begins in the message.
    fn position(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        if self.at >= self.end {
            return None;
        }
        let (attribute, next) = split_attribute(self.bytes, self.at)?;
        self.at = next;
        Some(attribute)
    }
}

/// Is this an ICE connectivity check, that is, a Binding request with USERNAME (RFC 8445 section 7.2.2)? Cheap; validates no more
/// than it reads, so the full parse may still fail.
pub fn is_ice_check(datagram: &[u8]) -> bool {
    let [0, 1, _, _, cookie @ ..] = datagram else { return false };
    if !cookie.starts_with(&MAGIC_COOKIE.to_be_bytes()) {
        return false;
    }
    Attributes { bytes: datagram, at: HEADER_LEN, end: datagram.len() }.any(|a| a.kind == Type::USERNAME)
}

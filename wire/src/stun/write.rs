//! Writes a message into a lent slice.

use std::net::SocketAddr;

use super::attribute::{self, Family, Type};
use super::integrity::{self, Key, KeySha256};
use super::{ATTRIBUTE_HEADER_LEN, Class, HEADER_LEN, MAGIC_COOKIE, Method, TransactionId, encode_type};

/// The lent slice was too short, or the message too long for its length field.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfSpace;

/// Builds a message front to back. Running out of space is remembered and told by [`Writer::finish`], so calls can be chained.
///
/// The caller keeps RFC 8489's order: attributes, then integrity, then fingerprint.
#[derive(Debug)]
pub struct Writer<'a> {
    out: &'a mut [u8],
    id: TransactionId,
    len: usize,
    full: bool,
}

impl<'a> Writer<'a> {
    pub fn new(out: &'a mut [u8], class: Class, method: Method, id: TransactionId) -> Self {
        let mut writer = Self { out, id, len: 0, full: false };
        writer.put(&encode_type(class, method).to_be_bytes());
        writer.put(&[0, 0]);
        writer.put(&MAGIC_COOKIE.to_be_bytes());
        writer.put(&id.0);
        writer
    }

    /// Any attribute, padded with zeros (never with what lay in the buffer).
    pub fn attribute(&mut self, kind: Type, value: &[u8]) -> &mut Self {
        let Ok(length) = u16::try_from(value.len()) else {
            self.full = true;
            return self;
        };
        self.put(&kind.0.to_be_bytes());
        self.put(&length.to_be_bytes());
        self.put(value);
        let padding = value.len().next_multiple_of(4) - value.len();
        self.put([0u8; 3].get(..padding).unwrap_or_default());
        self
    }

    pub fn u32(&mut self, kind: Type, value: u32) -> &mut Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    pub fn u64(&mut self, kind: Type, value: u64) -> &mut Self {
        self.attribute(kind, &value.to_be_bytes())
    }

    /// For the types of four bytes of which only the first says something: transport, families.
    pub fn first_of_four(&mut self, kind: Type, value: u8) -> &mut Self {
        self.attribute(kind, &[value, 0, 0, 0])
    }

    pub fn channel_number(&mut self, number: u16) -> &mut Self {
        let [n0, n1] = number.to_be_bytes();
        self.attribute(Type::CHANNEL_NUMBER, &[n0, n1, 0, 0])
    }

    pub fn xor_address(&mut self, kind: Type, address: SocketAddr) -> &mut Self {
        let (value, len) = attribute::encode_xor_address(address, self.id);
        self.attribute(kind, value.get(..len).unwrap_or_default())
    }

    /// An address as it is: MAPPED-ADDRESS, ALTERNATE-SERVER, RESPONSE-ORIGIN, OTHER-ADDRESS.
    pub fn address(&mut self, kind: Type, address: SocketAddr) -> &mut Self {
        let (value, len) = attribute::encode_plain_address(address);
        self.attribute(kind, value.get(..len).unwrap_or_default())
    }

    /// ICMP's type, code and data (RFC 8656 section 18.13): 16 bits reserved, 7 of type, 9 of code.
    pub fn icmp(&mut self, kind: u8, code: u8, data: u32) -> &mut Self {
        let both = (u64::from(kind & 0x7F) << 9) | u64::from(code);
        self.u64(Type::ICMP, (both << 32) | u64::from(data))
    }

    /// ERROR-CODE; `code` 300..=699.
    pub fn error_code(&mut self, code: u16, reason: &str) -> &mut Self {
        const REASON_MAX: usize = 60;
        let mut value = [0u8; 4 + REASON_MAX];
        let (class, number) = error_parts(code);
        value[2] = class;
        value[3] = number;
        let reason = &reason.as_bytes()[..reason.len().min(REASON_MAX)];
        value[4..4 + reason.len()].copy_from_slice(reason);
        self.attribute(Type::ERROR_CODE, &value[..4 + reason.len()])
    }

    /// ADDRESS-ERROR-CODE (RFC 8656 section 18.12), without a reason.
    pub fn address_error_code(&mut self, family: Family, code: u16) -> &mut Self {
        let (class, number) = error_parts(code);
        self.attribute(Type::ADDRESS_ERROR_CODE, &[family.code(), 0, class, number])
    }

    pub fn unknown_attributes(&mut self, types: &[u16]) -> &mut Self {
        let mut value = [0u8; 2 * super::UNKNOWN_MAX];
        let (pairs, _) = value.as_chunks_mut::<2>();
        let count = types.len().min(pairs.len());
        for (pair, kind) in pairs.iter_mut().zip(types) {
            *pair = kind.to_be_bytes();
        }
        self.attribute(Type::UNKNOWN_ATTRIBUTES, &value[..2 * count])
    }

    /// MESSAGE-INTEGRITY over everything so far.
    pub fn integrity(&mut self, key: &Key) -> &mut Self {
        match self.written().and_then(|bytes| integrity::sha1(key, bytes, bytes.len())) {
            Some(tag) => self.attribute(Type::MESSAGE_INTEGRITY, tag.as_ref()),
            None => self.refuse(),
        }
    }

    /// MESSAGE-INTEGRITY-SHA256 over everything so far.
    pub fn integrity_sha256(&mut self, key: &KeySha256) -> &mut Self {
        match self.written().and_then(|bytes| integrity::sha256(key, bytes, bytes.len())) {
            Some(tag) => self.attribute(Type::MESSAGE_INTEGRITY_SHA256, tag.as_ref()),
            None => self.refuse(),
        }
    }

    /// FINGERPRINT over everything so far; the last attribute.
    pub fn fingerprint(&mut self) -> &mut Self {
        self.set_length(self.len + ATTRIBUTE_HEADER_LEN + 4);
        match self.written().map(integrity::fingerprint) {
            Some(crc) => self.u32(Type::FINGERPRINT, crc),
            None => self.refuse(),
        }
    }

    /// The length of the finished message.
    pub fn finish(&mut self) -> Result<usize, OutOfSpace> {
        self.set_length(self.len);
        if self.full { Err(OutOfSpace) } else { Ok(self.len) }
    }

    /// Ends with the header of a DATA attribute whose value of `data_len` bytes and its padding the caller sends behind what was
    /// written: the length of the head alone, while the message's length field counts all.
    pub fn finish_before_data(&mut self, data_len: usize) -> Result<usize, OutOfSpace> {
        let Ok(length) = u16::try_from(data_len) else { return Err(OutOfSpace) };
        self.put(&Type::DATA.0.to_be_bytes());
        self.put(&length.to_be_bytes());
        self.set_length(self.len + data_len.next_multiple_of(4));
        if self.full { Err(OutOfSpace) } else { Ok(self.len) }
    }

    fn written(&self) -> Option<&[u8]> {
        if self.full { None } else { self.out.get(..self.len) }
    }

    fn refuse(&mut self) -> &mut Self {
        self.full = true;
        self
    }

    fn set_length(&mut self, total: usize) {
        match (u16::try_from(total.saturating_sub(HEADER_LEN)), self.out.get_mut(2..4)) {
            (Ok(length), Some(field)) => field.copy_from_slice(&length.to_be_bytes()),
            _ => self.full = true,
        }
    }

    fn put(&mut self, bytes: &[u8]) {
        match self.out.get_mut(self.len..self.len + bytes.len()) {
            Some(slot) if !self.full => {
                slot.copy_from_slice(bytes);
                self.len += bytes.len();
            }
            _ => self.full = true,
        }
    }
}

/// ERROR-CODE carries the hundreds and the rest apart (RFC 8489 section 14.8).
fn error_parts(code: u16) -> (u8, u8) {
    let part = |n: u16| u8::try_from(n).unwrap_or(0);
    (part((code / 100) & 0b111), part(code % 100))
}

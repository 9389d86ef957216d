//! What a message says: typed answers from its attributes.
//!
//! Where an attribute appears twice the first counts (RFC 8489 section 14). `Err` means that it is there but misshapen.

use std::net::SocketAddr;
use std::ops::Range;

use super::attribute::{self, ErrorCode, Family, Malformed, Type};
use super::{ATTRIBUTE_HEADER_LEN, Message};

/// So many unknown attribute types are noted, no more: an answer must not grow with what a stranger sends.
pub const UNKNOWN_MAX: usize = 8;

/// Types of comprehension-required attributes that the receiver does not know; each once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Unknown {
    types: [u16; UNKNOWN_MAX],
    len: usize,
}

impl Unknown {
    pub const NONE: Self = Self { types: [0; UNKNOWN_MAX], len: 0 };

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    pub fn types(&self) -> &[u16] {
        self.types.get(..self.len).unwrap_or_default()
    }

    fn push(&mut self, kind: Type) {
        if self.types().contains(&kind.0) {
            return;
        }
        if let Some(slot) = self.types.get_mut(self.len) {
            *slot = kind.0;
            self.len += 1;
        }
    }
}

impl<'a> Message<'a> {
    /// The value of the first attribute of this type.
    pub fn attribute(&self, kind: Type) -> Option<&'a [u8]> {
        self.attributes().find(|a| a.kind == kind).map(|a| a.value)
    }

    pub fn has(&self, kind: Type) -> bool {
        self.attribute(kind).is_some()
    }

    /// Comprehension-required attributes that `known` does not hold.
    pub fn unknown_required(&self, known: &[Type]) -> Unknown {
        let mut unknown = Unknown::default();
        for attribute in self.attributes().filter(|a| a.kind.comprehension_required() && !known.contains(&a.kind)) {
            unknown.push(attribute.kind);
        }
        unknown
    }

    pub fn username(&self) -> Option<&'a [u8]> {
        self.attribute(Type::USERNAME)
    }

    /// Our ICE user name fragment in a check sent to us: what stands before the colon (RFC 8445 section 7.2.2).
    pub fn ice_local_ufrag(&self) -> Option<&'a [u8]> {
        self.ice_ufrags().map(|(local, _)| local)
    }

    /// Both fragments of a check sent to us: ours, theirs.
    pub fn ice_ufrags(&self) -> Option<(&'a [u8], &'a [u8])> {
        let name = self.username()?;
        let colon = name.iter().position(|b| *b == b':')?;
        Some((name.get(..colon)?, name.get(colon + 1..)?))
    }

    pub fn realm(&self) -> Option<&'a [u8]> {
        self.attribute(Type::REALM)
    }

    pub fn nonce(&self) -> Option<&'a [u8]> {
        self.attribute(Type::NONCE)
    }

    pub fn software(&self) -> Option<&'a [u8]> {
        self.attribute(Type::SOFTWARE)
    }

    pub fn error_code(&self) -> Result<Option<ErrorCode<'a>>, Malformed> {
        self.shaped(Type::ERROR_CODE, |value| {
            let [_, _, class, number, reason @ ..] = value else { return None };
            let (class, number) = (class & 0b111, *number);
            ((3..=6).contains(&class) && number < 100).then_some(ErrorCode { code: u16::from(class) * 100 + u16::from(number), reason })
        })
    }

    /// UNKNOWN-ATTRIBUTES of an error response.
    pub fn unknown_attributes(&self) -> impl Iterator<Item = Type> + use<'a> {
        let value = self.attribute(Type::UNKNOWN_ATTRIBUTES).unwrap_or_default();
        value.as_chunks().0.iter().map(|pair| Type(u16::from_be_bytes(*pair)))
    }

    pub fn mapped_address(&self) -> Result<Option<SocketAddr>, Malformed> {
        self.shaped(Type::MAPPED_ADDRESS, attribute::plain_address)
    }

    pub fn xor_mapped_address(&self) -> Result<Option<SocketAddr>, Malformed> {
        self.xor_address(Type::XOR_MAPPED_ADDRESS)
    }

    /// The first relayed address; an answer to ADDITIONAL-ADDRESS-FAMILY has two, see [`Self::xor_addresses`].
    pub fn xor_relayed_address(&self) -> Result<Option<SocketAddr>, Malformed> {
        self.xor_address(Type::XOR_RELAYED_ADDRESS)
    }

    pub fn xor_peer_address(&self) -> Result<Option<SocketAddr>, Malformed> {
        self.xor_address(Type::XOR_PEER_ADDRESS)
    }

    /// Every address of one XOR-ed type, in order.
    pub fn xor_addresses(&self, kind: Type) -> impl Iterator<Item = Result<SocketAddr, Malformed>> + use<'a> {
        let id = self.id;
        self.attributes().filter(move |a| a.kind == kind).map(move |a| attribute::xor_address(a.value, id).ok_or(Malformed(kind)))
    }

    fn xor_address(&self, kind: Type) -> Result<Option<SocketAddr>, Malformed> {
        let id = self.id;
        self.shaped(kind, |value| attribute::xor_address(value, id))
    }

    /// Where DATA's value lies in the message.
    pub fn data_range(&self) -> Option<Range<usize>> {
        let mut attributes = self.attributes();
        loop {
            let at = attributes.position();
            let attribute = attributes.next()?;
            if attribute.kind == Type::DATA {
                let start = at + ATTRIBUTE_HEADER_LEN;
                return Some(start..start + attribute.value.len());
            }
        }
    }

    pub fn data(&self) -> Option<&'a [u8]> {
        self.attribute(Type::DATA)
    }

    /// Seconds.
    pub fn lifetime(&self) -> Result<Option<u32>, Malformed> {
        self.u32(Type::LIFETIME)
    }

    pub fn channel_number(&self) -> Result<Option<u16>, Malformed> {
        self.shaped(Type::CHANNEL_NUMBER, |value| match value {
            [n0, n1, _, _] => Some(u16::from_be_bytes([*n0, *n1])),
            _ => None,
        })
    }

    /// An IP protocol number; 17 is UDP.
    pub fn requested_transport(&self) -> Result<Option<u8>, Malformed> {
        self.first_of_four(Type::REQUESTED_TRANSPORT)
    }

    /// The raw family code: which ones are supported is the server's affair.
    pub fn requested_address_family(&self) -> Result<Option<u8>, Malformed> {
        self.first_of_four(Type::REQUESTED_ADDRESS_FAMILY)
    }

    /// The raw family code, under its number of RFC 8656 or that of the drafts.
    pub fn additional_address_family(&self) -> Result<Option<u8>, Malformed> {
        match self.first_of_four(Type::ADDITIONAL_ADDRESS_FAMILY)? {
            Some(code) => Ok(Some(code)),
            None => self.first_of_four(Type::ADDITIONAL_ADDRESS_FAMILY_DRAFT),
        }
    }

    /// ADDRESS-ERROR-CODE of an Allocate answer: the family that could not be had, and why (RFC 8656 section 18.12).
    pub fn address_error_code(&self) -> Result<Option<(Option<Family>, u16)>, Malformed> {
        self.shaped(Type::ADDRESS_ERROR_CODE, |value| {
            let [family, _, class, number, ..] = value else { return None };
            Some((Family::from_code(*family), u16::from(class & 0b111) * 100 + u16::from(*number)))
        })
    }

    /// EVEN-PORT: `Some(true)` asks to reserve the next port as well.
    pub fn even_port(&self) -> Result<Option<bool>, Malformed> {
        self.shaped(Type::EVEN_PORT, |value| value.first().map(|bits| bits & 0x80 != 0))
    }

    pub fn reservation_token(&self) -> Result<Option<[u8; 8]>, Malformed> {
        self.shaped(Type::RESERVATION_TOKEN, |value| value.try_into().ok())
    }

    /// Names a connection with a peer (RFC 6062 section 6.2.1).
    pub fn connection_id(&self) -> Result<Option<u32>, Malformed> {
        self.u32(Type::CONNECTION_ID)
    }

    /// CHANGE-REQUEST: answer from the other address, from the other port (RFC 5780 section 7.2).
    pub fn change_request(&self) -> Result<Option<(bool, bool)>, Malformed> {
        Ok(self.u32(Type::CHANGE_REQUEST)?.map(|flags| (flags & 4 != 0, flags & 2 != 0)))
    }

    /// RESPONSE-PORT: answer to this port (RFC 5780 section 7.5).
    pub fn response_port(&self) -> Result<Option<u16>, Malformed> {
        self.shaped(Type::RESPONSE_PORT, |value| match value {
            [p0, p1] | [p0, p1, _, _] => Some(u16::from_be_bytes([*p0, *p1])),
            _ => None,
        })
    }

    /// An address as it is: ALTERNATE-SERVER, RESPONSE-ORIGIN, OTHER-ADDRESS.
    pub fn address(&self, kind: Type) -> Result<Option<SocketAddr>, Malformed> {
        self.shaped(kind, attribute::plain_address)
    }

    /// ICMP's type, code and data (RFC 8656 section 18.13).
    pub fn icmp(&self) -> Result<Option<(u8, u8, u32)>, Malformed> {
        self.shaped(Type::ICMP, |value| match value {
            [_, _, t, c, d0, d1, d2, d3] => Some((t >> 1, *c, u32::from_be_bytes([*d0, *d1, *d2, *d3]))),
            _ => None,
        })
    }

    pub fn has_dont_fragment(&self) -> bool {
        self.has(Type::DONT_FRAGMENT)
    }

    pub fn priority(&self) -> Result<Option<u32>, Malformed> {
        self.u32(Type::PRIORITY)
    }

    pub fn has_use_candidate(&self) -> bool {
        self.has(Type::USE_CANDIDATE)
    }

    /// The tie-breaker.
    pub fn ice_controlling(&self) -> Result<Option<u64>, Malformed> {
        self.shaped(Type::ICE_CONTROLLING, |value| value.try_into().ok().map(u64::from_be_bytes))
    }

    /// The tie-breaker.
    pub fn ice_controlled(&self) -> Result<Option<u64>, Malformed> {
        self.shaped(Type::ICE_CONTROLLED, |value| value.try_into().ok().map(u64::from_be_bytes))
    }

    fn u32(&self, kind: Type) -> Result<Option<u32>, Malformed> {
        self.shaped(kind, |value| value.try_into().ok().map(u32::from_be_bytes))
    }

    fn first_of_four(&self, kind: Type) -> Result<Option<u8>, Malformed> {
        self.shaped(kind, |value| match value {
            [first, _, _, _] => Some(*first),
            _ => None,
        })
    }

    fn shaped<T>(&self, kind: Type, read: impl FnOnce(&'a [u8]) -> Option<T>) -> Result<Option<T>, Malformed> {
        match self.attribute(kind) {
            Some(value) => read(value).map(Some).ok_or(Malformed(kind)),
            None => Ok(None),
        }
    }
}

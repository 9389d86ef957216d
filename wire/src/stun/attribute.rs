//! Attribute types by number, and the values that have a shape of their own.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use super::{MAGIC_COOKIE, TransactionId};

/// An attribute's type (RFC 8489 section 14; TURN's in RFC 8656 section 18; ICE's in RFC 8445 section 16.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Type(pub u16);

impl Type {
    pub const MAPPED_ADDRESS: Self = Self(0x0001);
    /// RFC 5780 section 7.2.
    pub const CHANGE_REQUEST: Self = Self(0x0003);
    pub const USERNAME: Self = Self(0x0006);
    pub const MESSAGE_INTEGRITY: Self = Self(0x0008);
    pub const ERROR_CODE: Self = Self(0x0009);
    pub const UNKNOWN_ATTRIBUTES: Self = Self(0x000A);
    pub const CHANNEL_NUMBER: Self = Self(0x000C);
    pub const LIFETIME: Self = Self(0x000D);
    pub const XOR_PEER_ADDRESS: Self = Self(0x0012);
    pub const DATA: Self = Self(0x0013);
    pub const REALM: Self = Self(0x0014);
    pub const NONCE: Self = Self(0x0015);
    pub const XOR_RELAYED_ADDRESS: Self = Self(0x0016);
    pub const REQUESTED_ADDRESS_FAMILY: Self = Self(0x0017);
    pub const EVEN_PORT: Self = Self(0x0018);
    pub const REQUESTED_TRANSPORT: Self = Self(0x0019);
    pub const DONT_FRAGMENT: Self = Self(0x001A);
    /// RFC 7635 section 6.2.
    pub const ACCESS_TOKEN: Self = Self(0x001B);
    pub const MESSAGE_INTEGRITY_SHA256: Self = Self(0x001C);
    pub const PASSWORD_ALGORITHM: Self = Self(0x001D);
    pub const USERHASH: Self = Self(0x001E);
    pub const XOR_MAPPED_ADDRESS: Self = Self(0x0020);
    pub const RESERVATION_TOKEN: Self = Self(0x0022);
    pub const PRIORITY: Self = Self(0x0024);
    pub const USE_CANDIDATE: Self = Self(0x0025);
    /// RFC 5780 section 7.6.
    pub const PADDING: Self = Self(0x0026);
    /// RFC 5780 section 7.5.
    pub const RESPONSE_PORT: Self = Self(0x0027);
    /// RFC 6062 section 6.2.1.
    pub const CONNECTION_ID: Self = Self(0x002A);
    /// RFC 8016 section 5.
    pub const MOBILITY_TICKET: Self = Self(0x8030);
    pub const PASSWORD_ALGORITHMS: Self = Self(0x8002);
    pub const ADDITIONAL_ADDRESS_FAMILY: Self = Self(0x8000);
    /// The number ADDITIONAL-ADDRESS-FAMILY had in drafts; coturn before 4.8 sends it.
    pub const ADDITIONAL_ADDRESS_FAMILY_DRAFT: Self = Self(0x8032);
    pub const ADDRESS_ERROR_CODE: Self = Self(0x8001);
    pub const ICMP: Self = Self(0x8004);
    pub const SOFTWARE: Self = Self(0x8022);
    pub const ALTERNATE_SERVER: Self = Self(0x8023);
    pub const FINGERPRINT: Self = Self(0x8028);
    /// RFC 7635 section 6.1.
    pub const THIRD_PARTY_AUTHORIZATION: Self = Self(0x802E);
    /// Where a browser's page comes from (draft-johnston-tram-stun-origin); may stand more than once.
    pub const ORIGIN: Self = Self(0x802F);
    pub const ICE_CONTROLLED: Self = Self(0x8029);
    pub const ICE_CONTROLLING: Self = Self(0x802A);
    /// RFC 5780 section 7.3.
    pub const RESPONSE_ORIGIN: Self = Self(0x802B);
    /// RFC 5780 section 7.4.
    pub const OTHER_ADDRESS: Self = Self(0x802C);

    /// Must the receiver refuse the message when it does not know this attribute (RFC 8489 section 14)?
    pub const fn comprehension_required(self) -> bool {
        self.0 < 0x8000
    }
}

/// One attribute: its type and its value without padding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    pub kind: Type,
    pub value: &'a [u8],
}

/// An attribute whose value does not have the shape its type asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub Type);

/// An address family as REQUESTED-ADDRESS-FAMILY spells it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    V4,
    V6,
}

impl Family {
    pub const fn of(address: &IpAddr) -> Self {
        match address {
            IpAddr::V4(_) => Self::V4,
            IpAddr::V6(_) => Self::V6,
        }
    }

    /// The number on the wire (RFC 8489 section 14.1).
    pub const fn code(self) -> u8 {
        match self {
            Self::V4 => 1,
            Self::V6 => 2,
        }
    }

    pub const fn from_code(code: u8) -> Option<Self> {
        match code {
            1 => Some(Self::V4),
            2 => Some(Self::V6),
            _ => None,
        }
    }
}

/// ERROR-CODE's value (RFC 8489 section 14.8): 300..=699 and a text for people.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ErrorCode<'a> {
    pub code: u16,
    pub reason: &'a [u8],
}

/// Reads an address attribute's value; `mask` is all zero for MAPPED-ADDRESS.
fn address(value: &[u8], mask: [u8; 16]) -> Option<SocketAddr> {
    let [_, family, p0, p1, ip @ ..] = value else { return None };
    let port = u16::from_be_bytes([p0 ^ mask[0], p1 ^ mask[1]]);
    let ip: IpAddr = match Family::from_code(*family)? {
        Family::V4 => {
            let octets: [u8; 4] = ip.try_into().ok()?;
            let masked: [u8; 4] = std::array::from_fn(|i| octets[i] ^ mask[i]);
            Ipv4Addr::from(masked).into()
        }
        Family::V6 => {
            let octets: [u8; 16] = ip.try_into().ok()?;
            let masked: [u8; 16] = std::array::from_fn(|i| octets[i] ^ mask[i]);
            Ipv6Addr::from(masked).into()
        }
    };
    Some(SocketAddr::new(ip, port))
}

/// What XOR addresses are combined with: the magic cookie, then the transaction id (RFC 8489 section 14.2).
fn xor_mask(id: TransactionId) -> [u8; 16] {
    let cookie = MAGIC_COOKIE.to_be_bytes();
    std::array::from_fn(|i| if i < 4 { cookie[i] } else { id.0[i - 4] })
}

pub(super) fn plain_address(value: &[u8]) -> Option<SocketAddr> {
    address(value, [0; 16])
}

pub(super) fn xor_address(value: &[u8], id: TransactionId) -> Option<SocketAddr> {
    address(value, xor_mask(id))
}

/// Encodes an XOR address; the second value is how many of the bytes count (8 or 20).
pub(super) fn encode_xor_address(to: SocketAddr, id: TransactionId) -> ([u8; 20], usize) {
    encode_address(to, xor_mask(id))
}

/// The same for addresses as they are.
pub(super) fn encode_plain_address(to: SocketAddr) -> ([u8; 20], usize) {
    encode_address(to, [0; 16])
}

fn encode_address(to: SocketAddr, mask: [u8; 16]) -> ([u8; 20], usize) {
    let mut value = [0; 20];
    let [p0, p1] = to.port().to_be_bytes();
    value[1] = Family::of(&to.ip()).code();
    value[2] = p0 ^ mask[0];
    value[3] = p1 ^ mask[1];
    let mut put = |octets: &[u8]| {
        for ((slot, octet), mask) in value[4..].iter_mut().zip(octets).zip(mask) {
            *slot = octet ^ mask;
        }
        4 + octets.len()
    };
    let len = match to.ip() {
        IpAddr::V4(ip) => put(&ip.octets()),
        IpAddr::V6(ip) => put(&ip.octets()),
    };
    (value, len)
}

//! Values of single attributes: how each is read and written. A reader takes what follows the colon.

use std::fmt;
use std::net::IpAddr;

use super::{Setup, SyntaxFault};
use crate::Fingerprint;

/// A payload type with what `a=rtpmap` and `a=fmtp` say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Format {
    pub payload_type: u8,
    /// Encoding name as written ("VP8", "opus"); empty for a static payload type without `a=rtpmap`.
    pub name: String,
    /// In Hz; 0 without `a=rtpmap`.
    pub clock_rate: u32,
    pub channels: Option<u8>,
    /// Parameters as written: `minptime=10;useinbandfec=1`.
    pub parameters: Option<String>,
}

impl Format {
    pub(super) fn unmapped(payload_type: u8) -> Self {
        Self { payload_type, name: String::new(), clock_rate: 0, channels: None, parameters: None }
    }

    /// Value of a `key=value` parameter; keys are compared without case (RFC 8866 section 6.15 leaves them to the codec).
    pub fn parameter(&self, key: &str) -> Option<&str> {
        let pairs = self.parameters.as_deref()?.split(';').filter_map(|pair| pair.split_once('='));
        pairs.map(|(name, value)| (name.trim(), value.trim())).find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| value)
    }

    /// RFC 8866 section 6.6: `<payload type> <name>/<clock rate>[/<channels>]`.
    pub(super) fn read_rtpmap(value: &str) -> Option<Self> {
        let (payload_type, encoding) = value.split_once(' ')?;
        let mut parts = encoding.trim().split('/');
        let name = parts.next().filter(|name| is_token(name))?;
        let clock_rate = number(parts.next()?)?;
        let channels = match parts.next() {
            Some(channels) => Some(number(channels)?),
            None => None,
        };
        Some(Self { payload_type: payload_type_of(payload_type)?, name: name.to_owned(), clock_rate, channels, parameters: None })
    }
}

/// RFC 4585 section 4.2.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Feedback {
    /// `None` = for all payload types of the m-line.
    pub payload_type: Option<u8>,
    /// "nack pli", "transport-cc".
    pub kind: String,
}

impl Feedback {
    pub(super) fn read(value: &str) -> Option<Self> {
        let (payload_type, kind) = value.split_once(' ')?;
        let payload_type = if payload_type == "*" { None } else { Some(payload_type_of(payload_type)?) };
        let kind = words(kind);
        (!kind.is_empty()).then_some(Self { payload_type, kind })
    }
}

/// A header extension (RFC 8285 section 5). Its direction and its own attributes are read over: nobody sends them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExtMap {
    pub id: u8,
    pub uri: String,
}

impl ExtMap {
    pub(super) fn read(value: &str) -> Result<Option<Self>, SyntaxFault> {
        let (id, rest) = value.split_once(' ').ok_or(SyntaxFault::ExtMap)?;
        let id: u16 = number(id.split('/').next().unwrap_or_default()).ok_or(SyntaxFault::ExtMap)?;
        let uri = rest.split_ascii_whitespace().next().ok_or(SyntaxFault::ExtMap)?;
        match id {
            1..=255 => Ok(Some(Self { id: id as u8, uri: uri.to_owned() })),
            // Placeholders for more extensions than there are ids (RFC 8285 section 7).
            4096..=4351 => Ok(None),
            _ => Err(SyntaxFault::ExtMap),
        }
    }
}

/// RFC 5576: a stream that the description names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SsrcAttribute {
    pub ssrc: u32,
    /// "cname" or "msid"; others as they come.
    pub name: String,
    pub value: Option<String>,
}

impl SsrcAttribute {
    pub(super) fn read(value: &str) -> Option<Self> {
        let (ssrc, attribute) = value.split_once(' ')?;
        let (name, value) = match attribute.split_once(':') {
            Some((name, value)) => (name.trim(), Some(value.trim().to_owned())),
            None => (attribute.trim(), None),
        };
        is_token(name).then_some(())?;
        Some(Self { ssrc: number(ssrc)?, name: name.to_owned(), value })
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SsrcGroup {
    /// "FID" (a stream and its RTX), "SIM" (simulcast layers), "FEC-FR".
    pub semantics: String,
    pub ssrcs: Vec<u32>,
}

impl SsrcGroup {
    pub(super) fn read(value: &str) -> Option<Self> {
        let mut parts = value.split_ascii_whitespace();
        let semantics = parts.next().filter(|semantics| is_token(semantics))?;
        let ssrcs = parts.map(number).collect::<Option<Vec<u32>>>()?;
        (!ssrcs.is_empty()).then(|| Self { semantics: semantics.to_owned(), ssrcs })
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RidDirection {
    Send,
    Recv,
}

impl RidDirection {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Send => "send",
            Self::Recv => "recv",
        }
    }

    fn read(text: &str) -> Option<Self> {
        match text {
            "send" => Some(Self::Send),
            "recv" => Some(Self::Recv),
            _ => None,
        }
    }
}

/// RFC 8851 section 4. Restrictions (`max-width=…`) are read over: the sender keeps to them without us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rid {
    pub id: String,
    pub direction: RidDirection,
}

impl Rid {
    pub(super) fn read(value: &str) -> Option<Self> {
        let mut parts = value.split_ascii_whitespace();
        let id = parts.next().filter(|id| is_rid(id))?;
        Some(Self { id: id.to_owned(), direction: RidDirection::read(parts.next()?)? })
    }
}

/// RFC 8853 section 5: the streams of each direction, the first of alternatives, paused or not.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Simulcast {
    pub send: Vec<String>,
    pub recv: Vec<String>,
}

impl Simulcast {
    pub(super) fn read(value: &str) -> Option<Self> {
        let mut simulcast = Self::default();
        let mut parts = value.split_ascii_whitespace();
        while let Some(direction) = parts.next() {
            let mut list = parts.next()?;
            // An old draft, still seen: `send rid=q;h;f`.
            list = list.strip_prefix("rid=").unwrap_or(list);
            let streams = list.split(';').map(|alternatives| {
                let first = alternatives.split(',').next().unwrap_or_default();
                let first = first.strip_prefix('~').unwrap_or(first);
                is_rid(first).then(|| first.to_owned())
            });
            let streams = streams.collect::<Option<Vec<_>>>()?;
            match RidDirection::read(direction)? {
                RidDirection::Send => simulcast.send = streams,
                RidDirection::Recv => simulcast.recv = streams,
            }
        }
        (!simulcast.send.is_empty() || !simulcast.recv.is_empty()).then_some(simulcast)
    }
}

/// RFC 8839 section 5.1, as far as anyone looks at it: an ICE-lite agent sends no checks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    pub foundation: String,
    pub component: u16,
    /// "udp" or "tcp", in lower case.
    pub transport: String,
    pub priority: u32,
    /// An IP address or a name that ends in `.local`.
    pub address: String,
    pub port: u16,
    /// "host", "srflx", "prflx", "relay".
    pub kind: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CandidateError;

impl fmt::Display for CandidateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a candidate is candidate:<foundation> <component> <transport> <priority> <address> <port> typ <type>")
    }
}

impl std::error::Error for CandidateError {}

impl Candidate {
    /// Reads `candidate:…`, with or without `a=` before it. What follows the type (`raddr`, `generation`, …) is skipped.
    pub fn read(text: &str) -> Result<Self, CandidateError> {
        let text = text.strip_prefix("a=").unwrap_or(text);
        let value = text.strip_prefix("candidate:").ok_or(CandidateError)?;
        Self::read_value(value).ok_or(CandidateError)
    }

    pub(super) fn read_value(value: &str) -> Option<Self> {
        let mut parts = value.split_ascii_whitespace();
        let foundation = parts.next().filter(|foundation| foundation.len() <= 32 && foundation.bytes().all(is_ice_char))?;
        let component = number(parts.next()?).filter(|component| (1..=256).contains(component))?;
        let transport = parts.next().filter(|transport| is_token(transport))?.to_ascii_lowercase();
        let priority = number(parts.next()?)?;
        let address = parts.next().filter(|address| is_address(address))?;
        let port = number(parts.next()?)?;
        parts.next().filter(|typ| *typ == "typ")?;
        let kind = parts.next().filter(|kind| is_token(kind))?;
        Some(Self {
            foundation: foundation.to_owned(),
            component,
            transport,
            priority,
            address: address.to_owned(),
            port,
            kind: kind.to_owned(),
        })
    }
}

impl fmt::Display for Candidate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { foundation, component, transport, priority, address, port, kind } = self;
        write!(f, "candidate:{foundation} {component} {transport} {priority} {address} {port} typ {kind}")
    }
}

pub(super) fn read_setup(value: &str) -> Option<Setup> {
    [Setup::ActPass, Setup::Active, Setup::Passive, Setup::HoldConn].into_iter().find(|setup| value.eq_ignore_ascii_case(setup.as_str()))
}

/// RFC 8122 section 5. `Ok(None)` for a hash other than SHA-256.
pub(super) fn read_fingerprint(value: &str) -> Result<Option<Fingerprint>, SyntaxFault> {
    let (hash, bytes) = value.split_once(' ').ok_or(SyntaxFault::Fingerprint)?;
    if !hash.eq_ignore_ascii_case("sha-256") {
        return Ok(None);
    }
    let mut digest = [0; 32];
    let mut hex = bytes.trim().split(':');
    for byte in &mut digest {
        let text = hex.next().filter(|text| text.len() == 2 && text.bytes().all(|b| b.is_ascii_hexdigit()));
        *byte = text.and_then(|text| u8::from_str_radix(text, 16).ok()).ok_or(SyntaxFault::Fingerprint)?;
    }
    if hex.next().is_some() {
        return Err(SyntaxFault::Fingerprint);
    }
    Ok(Some(Fingerprint(digest)))
}

/// RFC 8839 section 5.4: ice-chars only, and lengths up to 256.
pub(super) fn is_ice_credential(value: &str, len_min: usize) -> bool {
    (len_min..=256).contains(&value.len()) && value.bytes().all(is_ice_char)
}

const fn is_ice_char(byte: u8) -> bool {
    // Hyphen and underscore are not in the grammar, but in what some clients generate.
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/' | b'-' | b'_' | b'=')
}

/// RFC 8866 section 9, token.
pub(super) fn is_token(text: &str) -> bool {
    !text.is_empty()
        && text.bytes().all(|byte| {
            byte.is_ascii_alphanumeric()
                || matches!(
                    byte,
                    b'!' | b'#' | b'$' | b'%' | b'&' | b'\'' | b'*' | b'+' | b'-' | b'.' | b'^' | b'_' | b'`' | b'{' | b'|' | b'}' | b'~'
                )
        })
}

/// RFC 8851 section 10, which other documents narrow to letters and digits; hyphen and underscore are seen.
fn is_rid(text: &str) -> bool {
    (1..=255).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'))
}

fn is_address(text: &str) -> bool {
    text.parse::<IpAddr>().is_ok()
        || (text.len() <= 253
            && !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_')))
}

/// Payload types are seven bits.
pub(super) fn payload_type_of(text: &str) -> Option<u8> {
    number(text).filter(|payload_type| *payload_type < 128)
}

/// Digits only: `str::parse` alone would take a sign.
pub(super) fn number<T: std::str::FromStr>(text: &str) -> Option<T> {
    let digits = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}

/// Words with one space between them.
pub(super) fn words(text: &str) -> String {
    text.split_ascii_whitespace().collect::<Vec<_>>().join(" ")
}

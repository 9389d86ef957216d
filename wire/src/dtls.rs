//! The outside of DTLS 1.2 (RFC 6347): records, fragments of handshake messages, and the first exchange, which a server holds
//! without keeping anything of it.
//!
//! ```text
//! client                                   server
//! ClientHello, no cookie  ───────────────▶
//!                         ◀─────────────── HelloVerifyRequest (cookie)      nothing is kept
//! ClientHello, cookie     ───────────────▶ from here on a library's work
//! ```

#[cfg(any(test, feature = "fuzz"))]
mod fuzz;
#[cfg(test)]
mod tests;

#[cfg(any(test, feature = "fuzz"))]
pub use fuzz::fuzz;

pub const RECORD_HEADER_LEN: usize = 13;
pub const FRAGMENT_HEADER_LEN: usize = 12;

pub const VERSION_1_0: u16 = 0xFEFF;
pub const VERSION_1_2: u16 = 0xFEFD;

/// What a record carries (RFC 6347 section 4.1, RFC 5246 section 6.2.1).
pub const CONTENT_CHANGE_CIPHER_SPEC: u8 = 20;
pub const CONTENT_ALERT: u8 = 21;
pub const CONTENT_HANDSHAKE: u8 = 22;
pub const CONTENT_APPLICATION_DATA: u8 = 23;

/// Kinds of handshake messages (RFC 6347 section 4.3.2).
pub const CLIENT_HELLO: u8 = 1;
const HELLO_VERIFY_REQUEST: u8 = 3;

const ALERT_FATAL: u8 = 2;
const ALERT_PROTOCOL_VERSION: u8 = 70;
/// Six bytes of sequence number.
const SEQUENCE_MASK: u64 = (1 << 48) - 1;

/// The datagram or message ends before what it announces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Truncated;

/// One record. What it holds is encrypted unless the epoch is 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Record<'a> {
    pub content: u8,
    pub epoch: u16,
    /// 48 bits.
    pub sequence: u64,
    pub body: &'a [u8],
}

/// The records of a datagram, in order; an error is the last.
pub fn records(datagram: &[u8]) -> impl Iterator<Item = Result<Record<'_>, Truncated>> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let split = split_record(rest);
        rest = split.map_or(&[][..], |(_, rest)| rest);
        Some(split.map(|(record, _)| record).ok_or(Truncated))
    })
}

fn split_record(bytes: &[u8]) -> Option<(Record<'_>, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<RECORD_HEADER_LEN>()?;
    let &[content, _, _, e0, e1, s0, s1, s2, s3, s4, s5, l0, l1] = header;
    let (body, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes([l0, l1])))?;
    let sequence = u64::from_be_bytes([0, 0, s0, s1, s2, s3, s4, s5]);
    Some((Record { content, epoch: u16::from_be_bytes([e0, e1]), sequence, body }, rest))
}

/// Moves the numbers of a datagram's unencrypted records on by `by`, modulo 2^48. Encrypted ones are authenticated with theirs.
pub fn move_sequence(datagram: &mut [u8], by: u64) {
    let mut rest = datagram;
    while let Some((header, after)) = rest.split_first_chunk_mut::<RECORD_HEADER_LEN>() {
        if header[3..5] == [0, 0] {
            let mut number = [0; 8];
            number[2..].copy_from_slice(&header[5..11]);
            let moved = u64::from_be_bytes(number).wrapping_add(by) & SEQUENCE_MASK;
            header[5..11].copy_from_slice(&moved.to_be_bytes()[2..]);
        }
        let len = usize::from(u16::from_be_bytes([header[11], header[12]]));
        let Some((_, after)) = after.split_at_mut_checked(len) else { return };
        rest = after;
    }
}

/// A piece of a handshake message (RFC 6347 section 4.2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fragment<'a> {
    pub kind: u8,
    /// Length of the whole message, in bytes.
    pub message_len: usize,
    pub message_number: u16,
    pub offset: usize,
    pub bytes: &'a [u8],
}

/// The fragments in an unencrypted handshake record's body, in order; an error is the last.
pub fn fragments(body: &[u8]) -> impl Iterator<Item = Result<Fragment<'_>, Truncated>> {
    let mut rest = body;
    std::iter::from_fn(move || {
        if rest.is_empty() {
            return None;
        }
        let split = split_fragment(rest);
        rest = split.map_or(&[][..], |(_, rest)| rest);
        Some(split.map(|(fragment, _)| fragment).ok_or(Truncated))
    })
}

fn split_fragment(bytes: &[u8]) -> Option<(Fragment<'_>, &[u8])> {
    let (header, rest) = bytes.split_first_chunk::<FRAGMENT_HEADER_LEN>()?;
    let &[kind, l0, l1, l2, m0, m1, o0, o1, o2, n0, n1, n2] = header;
    let number = |high, middle, low| usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
    let (message_len, offset, len) = (number(l0, l1, l2), number(o0, o1, o2), number(n0, n1, n2));
    let (bytes, rest) = rest.split_at_checked(len)?;
    // A piece lies inside of its message.
    if offset + len > message_len {
        return None;
    }
    Some((Fragment { kind, message_len, message_number: u16::from_be_bytes([m0, m1]), offset, bytes }, rest))
}

/// What stands at the beginning of a ClientHello, so always in its first fragment (RFC 6347 section 4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HelloHead<'a> {
    /// The newest version that the client speaks, up to 1.2; a smaller number is a newer version.
    pub version: u16,
    pub random: [u8; 32],
    pub cookie: &'a [u8],
    /// Where the cookie begins in the message.
    pub cookie_at: usize,
}

impl<'a> HelloHead<'a> {
    /// `None` when the fragment ends before the cookie does.
    pub fn parse(hello: &'a [u8]) -> Option<Self> {
        let (version, rest) = hello.split_first_chunk::<2>()?;
        let (random, rest) = rest.split_first_chunk::<32>()?;
        let (identity_len, rest) = rest.split_first()?;
        let rest = rest.get(usize::from(*identity_len)..)?;
        let (cookie_len, rest) = rest.split_first()?;
        let cookie = rest.get(..usize::from(*cookie_len))?;
        let cookie_at = hello.len() - rest.len();
        Some(Self { version: u16::from_be_bytes(*version), random: *random, cookie, cookie_at })
    }
}

/// A datagram with a HelloVerifyRequest (RFC 6347 section 4.2.1). `sequence` is that of the ClientHello's record, `message_number`
/// that of the ClientHello, so that a repeated question gets an answer that is no duplicate. Its length, `None` when it does not fit.
pub fn write_hello_verify_request(out: &mut [u8], sequence: u64, message_number: u16, cookie: &[u8]) -> Option<usize> {
    let cookie_len = u8::try_from(cookie.len()).ok()?;
    // The version is 1.0 whatever will be negotiated: the section asks for it.
    let mut body = [0; 3];
    body[..2].copy_from_slice(&VERSION_1_0.to_be_bytes());
    body[2] = cookie_len;
    write_message(out, sequence, HELLO_VERIFY_REQUEST, message_number, &[&body, cookie])
}

/// A datagram with a ClientHello in one piece, message number 0, without its cookie: as the client sent it first.
pub fn write_hello_without_cookie(out: &mut [u8], sequence: u64, hello: &[u8]) -> Option<usize> {
    let head = HelloHead::parse(hello)?;
    let before = hello.get(..head.cookie_at - 1)?;
    let after = hello.get(head.cookie_at + head.cookie.len()..)?;
    write_message(out, sequence, CLIENT_HELLO, 0, &[before, &[0], after])
}

/// A datagram with a ClientHello in one piece.
pub fn write_hello(out: &mut [u8], sequence: u64, message_number: u16, hello: &[u8]) -> Option<usize> {
    write_message(out, sequence, CLIENT_HELLO, message_number, &[hello])
}

fn write_message(out: &mut [u8], sequence: u64, kind: u8, message_number: u16, parts: &[&[u8]]) -> Option<usize> {
    let len: usize = parts.iter().map(|part| part.len()).sum();
    let message_len = u32::try_from(len).ok()?.to_be_bytes();
    let mut header = [0; FRAGMENT_HEADER_LEN];
    header[0] = kind;
    header[1..4].copy_from_slice(&message_len[1..]);
    header[4..6].copy_from_slice(&message_number.to_be_bytes());
    header[9..12].copy_from_slice(&message_len[1..]);
    let record = write_record_header(out, CONTENT_HANDSHAKE, sequence, FRAGMENT_HEADER_LEN + len)?;
    let (here, mut rest) = record.split_at_mut(FRAGMENT_HEADER_LEN);
    here.copy_from_slice(&header);
    for part in parts {
        let (here, after) = rest.split_at_mut_checked(part.len())?;
        here.copy_from_slice(part);
        rest = after;
    }
    Some(RECORD_HEADER_LEN + FRAGMENT_HEADER_LEN + len)
}

/// A datagram with the alert that says: not this version (RFC 5246 section 7.2.2).
pub fn write_version_alert(out: &mut [u8], sequence: u64) -> Option<usize> {
    let body = write_record_header(out, CONTENT_ALERT, sequence, 2)?;
    body.copy_from_slice(&[ALERT_FATAL, ALERT_PROTOCOL_VERSION]);
    Some(RECORD_HEADER_LEN + 2)
}

/// Writes the header of an unencrypted record and gives the space for its body.
fn write_record_header(out: &mut [u8], content: u8, sequence: u64, len: usize) -> Option<&mut [u8]> {
    let (header, rest) = out.split_first_chunk_mut::<RECORD_HEADER_LEN>()?;
    let body = rest.get_mut(..len)?;
    let [v0, v1] = VERSION_1_0.to_be_bytes();
    let [_, _, s0, s1, s2, s3, s4, s5] = sequence.to_be_bytes();
    let [l0, l1] = u16::try_from(len).ok()?.to_be_bytes();
    *header = [content, v0, v1, 0, 0, s0, s1, s2, s3, s4, s5, l0, l1];
    Some(body)
}

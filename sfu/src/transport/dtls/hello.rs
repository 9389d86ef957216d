//! Reads a ClientHello before a library does, to tell which library it is for.
//!
//! Browsers send theirs in two datagrams, and the extension that decides may be in the second. So datagrams are kept, in the
//! order in which they came, until the message is whole; then all of them go to the chosen library.

/// Longest ClientHello that is put together, in bytes. With post-quantum key shares browsers need about 2,900.
const HELLO_LEN_MAX: usize = 8192;
/// Most datagrams that are kept, retransmitted ones among them; with one more everything begins anew.
const DATAGRAMS_MAX: usize = 12;

const RECORD_HEADER_LEN: usize = 13;
const HANDSHAKE_HEADER_LEN: usize = 12;
const CONTENT_HANDSHAKE: u8 = 22;
const CLIENT_HELLO: u8 = 1;
const EXTENSION_SUPPORTED_VERSIONS: u16 = 43;
const DTLS_1_3: [u8; 2] = [0xFE, 0xFC];

/// A ClientHello on its way.
#[derive(Default)]
pub(in super::super) struct Hello {
    datagrams: Vec<Vec<u8>>,
    body: Vec<u8>,
    /// Which bytes of `body` have come.
    known: Vec<bool>,
}

/// What one more datagram made of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum Progress {
    /// Not a piece of a ClientHello, or of one longer than is put together: not taken.
    Refused,
    /// Pieces are missing.
    Incomplete,
    /// Whole.
    Whole { offers_1_3: bool },
}

impl Hello {
    pub(in super::super) fn push(&mut self, datagram: &[u8]) -> Progress {
        if self.datagrams.len() >= DATAGRAMS_MAX {
            *self = Self::default();
        }
        let mut taken = false;
        let mut rest = datagram;
        while let Some((record, after)) = split_record(rest) {
            rest = after;
            taken |= self.take_fragments(record);
        }
        if !taken {
            return Progress::Refused;
        }
        self.datagrams.push(datagram.to_vec());
        if self.body.is_empty() || !self.known.iter().all(|known| *known) {
            return Progress::Incomplete;
        }
        Progress::Whole { offers_1_3: offers_1_3(&self.body).unwrap_or(false) }
    }

    /// The datagrams in the order in which they came.
    pub(in super::super) fn into_datagrams(self) -> Vec<Vec<u8>> {
        self.datagrams
    }

    /// Takes the fragments of a handshake record (RFC 6347 section 4.2.3).
    fn take_fragments(&mut self, record: &[u8]) -> bool {
        let mut taken = false;
        let mut rest = record;
        while let Some((header, after)) = rest.split_first_chunk::<HANDSHAKE_HEADER_LEN>() {
            let &[kind, l0, l1, l2, _, _, o0, o1, o2, n0, n1, n2] = header;
            let (len, offset, fragment_len) = (number(l0, l1, l2), number(o0, o1, o2), number(n0, n1, n2));
            let Some((fragment, after)) = after.split_at_checked(fragment_len) else { break };
            rest = after;
            taken |= kind == CLIENT_HELLO && self.take_fragment(len, offset, fragment);
        }
        taken
    }

    fn take_fragment(&mut self, len: usize, offset: usize, fragment: &[u8]) -> bool {
        if len == 0 || len > HELLO_LEN_MAX {
            return false;
        }
        if self.body.len() != len {
            // The first piece; or another hello, with which everything begins anew.
            *self = Self { datagrams: Vec::new(), body: vec![0; len], known: vec![false; len] };
        }
        let (Some(body), Some(known)) =
            (self.body.get_mut(offset..offset + fragment.len()), self.known.get_mut(offset..offset + fragment.len()))
        else {
            return false;
        };
        body.copy_from_slice(fragment);
        known.fill(true);
        true
    }
}

fn number(high: u8, middle: u8, low: u8) -> usize {
    usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low)
}

/// The content of the first record when it is an unencrypted handshake, and what follows it. Other records end the datagram.
fn split_record(datagram: &[u8]) -> Option<(&[u8], &[u8])> {
    let (header, rest) = datagram.split_first_chunk::<RECORD_HEADER_LEN>()?;
    let &[content, _, _, epoch0, epoch1, _, _, _, _, _, _, len0, len1] = header;
    if content != CONTENT_HANDSHAKE || [epoch0, epoch1] != [0, 0] {
        return None;
    }
    rest.split_at_checked(usize::from(u16::from_be_bytes([len0, len1])))
}

/// Whether `supported_versions` lists DTLS 1.3 (RFC 8446 section 4.2.1). `None` when the body is malformed.
fn offers_1_3(body: &[u8]) -> Option<bool> {
    // legacy_version, random; then session id, cookie, cipher suites and compression methods with their lengths.
    let rest = body.get(2 + 32..)?;
    let rest = skip_u8(rest)?;
    let rest = skip_u8(rest)?;
    let (_, rest) = split_u16(rest)?;
    let rest = skip_u8(rest)?;
    if rest.is_empty() {
        return Some(false);
    }
    let (mut extensions, _) = split_u16(rest)?;
    while let Some((kind, rest)) = extensions.split_first_chunk::<2>() {
        let (value, rest) = split_u16(rest)?;
        extensions = rest;
        if u16::from_be_bytes(*kind) == EXTENSION_SUPPORTED_VERSIONS {
            return Some(value.get(1..)?.chunks_exact(2).any(|version| version == DTLS_1_3));
        }
    }
    Some(false)
}

fn skip_u8(bytes: &[u8]) -> Option<&[u8]> {
    let (len, rest) = bytes.split_first()?;
    rest.get(usize::from(*len)..)
}

fn split_u16(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk::<2>()?;
    rest.split_at_checked(usize::from(u16::from_be_bytes(*len)))
}

/// What must hold for any input: datagrams, each behind its length in two bytes.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(input: &[u8]) {
    let mut hello = Hello::default();
    let mut rest = input;
    while let Some((datagram, after)) = split_u16(rest) {
        rest = after;
        let kept = hello.datagrams.len();
        let progress = hello.push(datagram);
        assert!(hello.datagrams.len() <= DATAGRAMS_MAX && hello.body.len() <= HELLO_LEN_MAX && hello.known.len() == hello.body.len());
        match progress {
            // A refused one may have started another hello, never added to this one.
            Progress::Refused => assert!(hello.datagrams.len() <= kept),
            Progress::Incomplete | Progress::Whole { .. } => assert_eq!(hello.datagrams.last().map(Vec::as_slice), Some(datagram)),
        }
    }
}

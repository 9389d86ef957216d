//! Header extension elements with one- and two-byte headers (RFC 8285), and the names under which SDP negotiates them.

use std::ops::Range;

const ONE_BYTE: u16 = 0xBEDE;
const TWO_BYTE: u16 = 0x1000;
/// The low four bits of the two-byte profile are free ("appbits").
const TWO_BYTE_MASK: u16 = 0xFFF0;

/// Extensions that we read, write or pass on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ExtensionKind {
    /// RFC 8843.
    Mid,
    /// RFC 8852.
    Rid,
    /// RFC 8852: the rid that a retransmission belongs to.
    RepairedRid,
    /// RFC 6464.
    AudioLevel,
    /// draft-holmer-rmcat-transport-wide-cc-extensions-01.
    TransportCc,
    AbsSendTime,
    /// 3GPP TS 26.114: coordination of video orientation.
    VideoOrientation,
    PlayoutDelay,
    AbsCaptureTime,
    /// AV1 RTP specification, appendix A.
    DependencyDescriptor,
    VideoLayersAllocation,
}

impl ExtensionKind {
    pub const ALL: [Self; 11] = [
        Self::Mid,
        Self::Rid,
        Self::RepairedRid,
        Self::AudioLevel,
        Self::TransportCc,
        Self::AbsSendTime,
        Self::VideoOrientation,
        Self::PlayoutDelay,
        Self::AbsCaptureTime,
        Self::DependencyDescriptor,
        Self::VideoLayersAllocation,
    ];

    /// The name in `a=extmap`.
    pub const fn uri(self) -> &'static str {
        match self {
            Self::Mid => "urn:ietf:params:rtp-hdrext:sdes:mid",
            Self::Rid => "urn:ietf:params:rtp-hdrext:sdes:rtp-stream-id",
            Self::RepairedRid => "urn:ietf:params:rtp-hdrext:sdes:repaired-rtp-stream-id",
            Self::AudioLevel => "urn:ietf:params:rtp-hdrext:ssrc-audio-level",
            Self::TransportCc => "http://www.ietf.org/id/draft-holmer-rmcat-transport-wide-cc-extensions-01",
            Self::AbsSendTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-send-time",
            Self::VideoOrientation => "urn:3gpp:video-orientation",
            Self::PlayoutDelay => "http://www.webrtc.org/experiments/rtp-hdrext/playout-delay",
            Self::AbsCaptureTime => "http://www.webrtc.org/experiments/rtp-hdrext/abs-capture-time",
            Self::DependencyDescriptor => "https://aomediacodec.github.io/av1-rtp-spec/#dependency-descriptor-rtp-header-extension",
            Self::VideoLayersAllocation => "http://www.webrtc.org/experiments/rtp-hdrext/video-layers-allocation00",
        }
    }

    pub fn from_uri(uri: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.uri() == uri)
    }
}

/// One element of an extension block: where its value lies in the packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element {
    /// 1..=14 with one-byte headers, 1..=255 with two-byte headers.
    pub id: u8,
    start: usize,
    end: usize,
}

impl Element {
    /// In bytes of the packet; always inside it.
    pub fn range(&self) -> Range<usize> {
        self.start..self.end
    }
}

/// The elements of a packet. Ends early at an element that reaches beyond the block.
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    /// The packet up to the end of its extension block.
    bytes: &'a [u8],
    at: usize,
    one_byte: bool,
}

impl<'a> Elements<'a> {
    pub(super) fn new(packet: &'a [u8], profile: u16, range: Range<usize>) -> Self {
        let known = profile == ONE_BYTE || profile & TWO_BYTE_MASK == TWO_BYTE;
        let bytes = if known { packet.get(..range.end).unwrap_or_default() } else { &[] };
        Self { bytes, at: range.start, one_byte: profile == ONE_BYTE }
    }

    fn step(&mut self) -> Option<Element> {
        loop {
            let first = *self.bytes.get(self.at)?;
            if first == 0 {
                self.at += 1;
                continue;
            }
            let (id, len, start) = if self.one_byte {
                // RFC 8285 section 4.2: id 15, or id 0 with a length, ends the processing of the whole block.
                if first >> 4 == 15 || first >> 4 == 0 {
                    return None;
                }
                (first >> 4, usize::from(first & 0x0F) + 1, self.at + 1)
            } else {
                (first, usize::from(*self.bytes.get(self.at + 1)?), self.at + 2)
            };
            let end = start + len;
            if end > self.bytes.len() {
                return None;
            }
            self.at = end;
            return Some(Element { id, start, end });
        }
    }
}

impl Iterator for Elements<'_> {
    type Item = Element;

    fn next(&mut self) -> Option<Element> {
        let element = self.step();
        if element.is_none() {
            self.at = self.bytes.len();
        }
        element
    }
}

/// Writes profile, length, elements and padding to a multiple of four bytes; see [`super::write_header`].
pub(super) fn write_block(elements: &[(u8, &[u8])], out: &mut [u8]) -> Option<usize> {
    let one_byte = elements.iter().all(|(id, value)| *id <= 14 && (1..=16).contains(&value.len()));
    let mut at = 4;
    for &(id, value) in elements {
        if id == 0 {
            return None;
        }
        let head = if one_byte { 1 } else { 2 };
        let (header, rest) = out.get_mut(at..at + head + value.len())?.split_at_mut(head);
        match header {
            [only] => *only = id << 4 | (value.len() as u8 - 1),
            [first, second] => (*first, *second) = (id, u8::try_from(value.len()).ok()?),
            _ => return None,
        }
        rest.copy_from_slice(value);
        at += head + value.len();
    }
    let end = at.next_multiple_of(4);
    out.get_mut(at..end)?.fill(0);
    let words = u16::try_from(end / 4 - 1).ok()?;
    let profile = if one_byte { ONE_BYTE } else { TWO_BYTE };
    out.get_mut(..2)?.copy_from_slice(&profile.to_be_bytes());
    out.get_mut(2..4)?.copy_from_slice(&words.to_be_bytes());
    Some(end)
}

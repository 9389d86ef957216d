//! RTCP: compound packets (RFC 3550 section 6), feedback (RFC 4585, RFC 5104, RFC 8888, transport-wide congestion control, REMB) and extended
//! reports (RFC 3611). Reading borrows and never allocates; [`Writer`] fills a slice that the caller lends.
//!
//! ```text
//! |V P count|type|length in words − 1|body …|   again and again; only the last may be padded
//! ```

mod congestion;
mod description;
mod feedback;
#[cfg(any(test, feature = "fuzz"))]
mod fuzz;
mod report;
mod transport_cc;
mod writer;
mod xr;

pub use congestion::{CongestionBlock, CongestionFeedback, PacketReport};
pub use description::{Bye, Description, DescriptionChunk};
pub use feedback::{Fir, FirEntry, Nack, Remb};
#[cfg(any(test, feature = "fuzz"))]
pub use fuzz::fuzz;
pub use report::{ReceiverReport, ReportBlock, SenderInfo, SenderReport};
pub use transport_cc::{Arrival, TICK_US, TransportCc};
pub use writer::Writer;
pub use xr::{DelaySinceReference, ExtendedReport, XrBlock};

/// Report blocks, SSRCs or chunks in one packet: the count has five bits.
pub const COUNT_MAX: usize = 31;

const SENDER_REPORT: u8 = 200;
const RECEIVER_REPORT: u8 = 201;
const SOURCE_DESCRIPTION: u8 = 202;
const BYE: u8 = 203;
const TRANSPORT_FEEDBACK: u8 = 205;
const PAYLOAD_FEEDBACK: u8 = 206;
const EXTENDED_REPORT: u8 = 207;

const FMT_NACK: u8 = 1;
const FMT_CONGESTION: u8 = 11;
const FMT_TRANSPORT_CC: u8 = 15;
const FMT_PLI: u8 = 1;
const FMT_FIR: u8 = 4;
const FMT_APPLICATION: u8 = 15;

/// Why bytes are no RTCP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// Shorter than a length says.
    Truncated,
    /// The version is not 2.
    Version,
    /// The padding count is wrong, or a packet other than the last is padded.
    Padding,
    /// The body contradicts itself or a count of the header.
    Body,
}

/// One packet of a compound.
#[derive(Clone, Debug)]
pub enum Packet<'a> {
    SenderReport(SenderReport<'a>),
    ReceiverReport(ReceiverReport<'a>),
    Description(Description<'a>),
    Bye(Bye<'a>),
    Nack(Nack<'a>),
    TransportCc(TransportCc<'a>),
    Congestion(CongestionFeedback<'a>),
    /// Picture loss indication (RFC 4585 section 6.3.1): a keyframe of `media` is wanted.
    Pli {
        sender: u32,
        media: u32,
    },
    Fir(Fir<'a>),
    Remb(Remb<'a>),
    ExtendedReport(ExtendedReport<'a>),
    /// Well framed, but nothing that we read (APP, other feedback, other types).
    Other {
        packet_type: u8,
        count: u8,
    },
}

/// The packets of a compound, from first to last. A body that is wrong costs its own packet only; wrong framing ends the whole.
#[derive(Clone, Debug)]
pub struct Packets<'a> {
    rest: &'a [u8],
}

/// Reads a decrypted compound.
pub const fn packets(compound: &[u8]) -> Packets<'_> {
    Packets { rest: compound }
}

impl<'a> Packets<'a> {
    fn step(&mut self) -> Result<Packet<'a>, ParseError> {
        let rest = std::mem::take(&mut self.rest);
        let Some((&[first, packet_type, l0, l1], _)) = rest.split_first_chunk() else {
            return Err(ParseError::Truncated);
        };
        if first >> 6 != 2 {
            return Err(ParseError::Version);
        }
        let len = 4 * (usize::from(u16::from_be_bytes([l0, l1])) + 1);
        let Some((packet, rest)) = rest.split_at_checked(len) else {
            return Err(ParseError::Truncated);
        };
        let mut body = &packet[4..];
        if first & 0x20 != 0 {
            let padding = usize::from(body.last().copied().unwrap_or(0));
            // RFC 3550 section 6.4.1: multiples of four, at the end of a compound. Browsers fill up what they tell of arrivals, which ends
            // anywhere, to a whole word, and put several such packets into one compound.
            let fills_up = (packet_type, first & 0x1F) == (TRANSPORT_FEEDBACK, FMT_TRANSPORT_CC);
            let regular = padding.is_multiple_of(4) && rest.is_empty();
            if padding == 0 || padding > body.len() || !regular && !fills_up {
                return Err(ParseError::Padding);
            }
            body = &body[..body.len() - padding];
        }
        self.rest = rest;
        Packet::parse(first & 0x1F, packet_type, body).ok_or(ParseError::Body)
    }
}

impl<'a> Iterator for Packets<'a> {
    type Item = Result<Packet<'a>, ParseError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() { None } else { Some(self.step()) }
    }
}

impl<'a> Packet<'a> {
    fn parse(count: u8, packet_type: u8, body: &'a [u8]) -> Option<Self> {
        let other = Self::Other { packet_type, count };
        Some(match packet_type {
            SENDER_REPORT => Self::SenderReport(SenderReport::parse(count, body)?),
            RECEIVER_REPORT => Self::ReceiverReport(ReceiverReport::parse(count, body)?),
            SOURCE_DESCRIPTION => Self::Description(Description::parse(count, body)?),
            BYE => Self::Bye(Bye::parse(count, body)?),
            // The only one without an SSRC of the media in its head.
            TRANSPORT_FEEDBACK if count == FMT_CONGESTION => Self::Congestion(CongestionFeedback::parse(body)?),
            TRANSPORT_FEEDBACK | PAYLOAD_FEEDBACK => {
                let (ssrcs, control) = body.split_first_chunk::<8>()?;
                let (sender, media) = (be32(&ssrcs[..4]), be32(&ssrcs[4..]));
                match (packet_type, count) {
                    (TRANSPORT_FEEDBACK, FMT_NACK) => Self::Nack(Nack::parse(sender, media, control)?),
                    (TRANSPORT_FEEDBACK, FMT_TRANSPORT_CC) => Self::TransportCc(TransportCc::parse(sender, media, control)?),
                    (PAYLOAD_FEEDBACK, FMT_PLI) => Self::Pli { sender, media },
                    (PAYLOAD_FEEDBACK, FMT_FIR) => Self::Fir(Fir::parse(sender, control)?),
                    (PAYLOAD_FEEDBACK, FMT_APPLICATION) if Remb::is_one(control) => Self::Remb(Remb::parse(sender, control)?),
                    _ => other,
                }
            }
            EXTENDED_REPORT => Self::ExtendedReport(ExtendedReport::parse(body)?),
            _ => other,
        })
    }
}

/// A big-endian number of at most four bytes.
fn be32(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0, |sum, &byte| sum << 8 | u32::from(byte))
}

#[cfg(test)]
mod tests;

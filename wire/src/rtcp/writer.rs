//! Writes compound packets into a slice.

use super::congestion::PacketReport;
use super::description::ITEM_CNAME;
use super::feedback::{REMB, remb_bitrate};
use super::xr::{DELAY_SINCE_REFERENCE, REFERENCE_TIME};
use super::{
    BYE, COUNT_MAX, DelaySinceReference, EXTENDED_REPORT, FMT_APPLICATION, FMT_CONGESTION, FMT_FIR, FMT_NACK, FMT_PLI, FMT_TRANSPORT_CC,
    FirEntry, PAYLOAD_FEEDBACK, RECEIVER_REPORT, ReportBlock, SENDER_REPORT, SOURCE_DESCRIPTION, SenderInfo, TRANSPORT_FEEDBACK,
    congestion, transport_cc,
};
use crate::clock::NtpTime;

/// Appends packets to a compound. Each method writes a whole packet or, when it does not fit, nothing and returns `None`.
///
/// RFC 3550 section 6.1 wants a compound to begin with a sender or receiver report and to hold a CNAME; RFC 5506 lets feedback go alone where
/// reduced size was negotiated. Both are the caller's business.
#[derive(Debug)]
pub struct Writer<'a> {
    space: &'a mut [u8],
    len: usize,
}

impl<'a> Writer<'a> {
    pub const fn new(space: &'a mut [u8]) -> Self {
        Self { space, len: 0 }
    }

    /// Bytes written so far.
    pub const fn len(&self) -> usize {
        self.len
    }

    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// At most [`COUNT_MAX`] blocks.
    pub fn sender_report(&mut self, ssrc: u32, info: &SenderInfo, blocks: &[ReportBlock]) -> Option<()> {
        let mut body = self.packet(blocks.len(), SENDER_REPORT)?;
        body.put(&ssrc.to_be_bytes())?;
        body.put(&info.ntp.0.to_be_bytes())?;
        for word in [info.rtp_timestamp, info.packets, info.octets] {
            body.put(&word.to_be_bytes())?;
        }
        blocks.iter().try_for_each(|block| body.put(&block.to_bytes()))?;
        body.finish()
    }

    /// At most [`COUNT_MAX`] blocks.
    pub fn receiver_report(&mut self, ssrc: u32, blocks: &[ReportBlock]) -> Option<()> {
        let mut body = self.packet(blocks.len(), RECEIVER_REPORT)?;
        body.put(&ssrc.to_be_bytes())?;
        blocks.iter().try_for_each(|block| body.put(&block.to_bytes()))?;
        body.finish()
    }

    /// A source description with a CNAME (at most 255 bytes) and nothing else.
    pub fn cname(&mut self, ssrc: u32, cname: &str) -> Option<()> {
        let mut body = self.packet(1, SOURCE_DESCRIPTION)?;
        body.put(&ssrc.to_be_bytes())?;
        body.put(&[ITEM_CNAME, u8::try_from(cname.len()).ok()?])?;
        body.put(cname.as_bytes())?;
        // The item list ends with at least one zero byte.
        let zeroes = 4 - (2 + cname.len()) % 4;
        body.put(&[0; 4][..zeroes])?;
        body.finish()
    }

    /// At most [`COUNT_MAX`] sources.
    pub fn bye(&mut self, ssrcs: &[u32]) -> Option<()> {
        let mut body = self.packet(ssrcs.len(), BYE)?;
        ssrcs.iter().try_for_each(|ssrc| body.put(&ssrc.to_be_bytes()))?;
        body.finish()
    }

    /// Sequence numbers that are missing from `media`; in ascending order they take the least space. Nothing is written for none.
    pub fn nack(&mut self, sender: u32, media: u32, lost: impl IntoIterator<Item = u16>) -> Option<()> {
        let mut lost = lost.into_iter();
        let mut first = lost.next()?;
        let mut following = 0u16;
        let mut body = self.feedback(FMT_NACK, TRANSPORT_FEEDBACK, sender, media)?;
        for sequence in lost {
            match sequence.wrapping_sub(first) {
                0 => {}
                ahead @ 1..=16 => following |= 1 << (ahead - 1),
                _ => {
                    body.put(&nack_entry(first, following))?;
                    (first, following) = (sequence, 0);
                }
            }
        }
        body.put(&nack_entry(first, following))?;
        body.finish()
    }

    pub fn pli(&mut self, sender: u32, media: u32) -> Option<()> {
        self.feedback(FMT_PLI, PAYLOAD_FEEDBACK, sender, media)?.finish()
    }

    /// RFC 5104 section 4.3.1.2: the media SSRC of the header is 0, the entries name the streams.
    pub fn fir(&mut self, sender: u32, entries: &[FirEntry]) -> Option<()> {
        let mut body = self.feedback(FMT_FIR, PAYLOAD_FEEDBACK, sender, 0)?;
        for entry in entries {
            body.put(&entry.ssrc.to_be_bytes())?;
            body.put(&[entry.sequence, 0, 0, 0])?;
        }
        body.finish()
    }

    /// The bitrate is rounded down to 18 significant bits. At most 255 streams.
    pub fn remb(&mut self, sender: u32, bitrate_bps: u64, ssrcs: &[u32]) -> Option<()> {
        let mut body = self.feedback(FMT_APPLICATION, PAYLOAD_FEEDBACK, sender, 0)?;
        let count = u8::try_from(ssrcs.len()).ok()?;
        body.put(REMB)?;
        body.put(&(u32::from(count) << 24 | remb_bitrate(bitrate_bps)).to_be_bytes())?;
        ssrcs.iter().try_for_each(|ssrc| body.put(&ssrc.to_be_bytes()))?;
        body.finish()
    }

    /// Transport-wide feedback on as many of `arrivals` as one packet can hold; returns how many, at least one.
    ///
    /// `arrivals` are sequence numbers with roll-overs counted, strictly ascending, each with the time of its arrival in ticks of
    /// [`super::TICK_US`] on one clock. What lies between them is reported missing, and so is what lies between `base` (1 or more) and the first.
    /// Call again with the rest, a base after the last arrival that was taken, and the next feedback count.
    pub fn transport_cc(
        &mut self,
        sender: u32,
        media: u32,
        feedback_count: u8,
        base: u64,
        arrivals: impl Iterator<Item = (u64, i64)> + Clone,
    ) -> Option<usize> {
        let mut body = self.feedback(FMT_TRANSPORT_CC, TRANSPORT_FEEDBACK, sender, media)?;
        let (len, taken) = transport_cc::write(base, arrivals, feedback_count, body.rest())?;
        body.end += len;
        body.finish()?;
        Some(taken)
    }

    /// Congestion control feedback (RFC 8888 section 3.1) of blocks with SSRC, first sequence number and what became of the packets from there on.
    /// `timestamp` is the middle 32 bits of our NTP time.
    pub fn congestion<R: ExactSizeIterator<Item = PacketReport>>(
        &mut self,
        sender: u32,
        blocks: impl IntoIterator<Item = (u32, u16, R)>,
        timestamp: u32,
    ) -> Option<()> {
        let mut body = self.packet(usize::from(FMT_CONGESTION), TRANSPORT_FEEDBACK)?;
        body.put(&sender.to_be_bytes())?;
        for (ssrc, begin_sequence, reports) in blocks {
            body.end += congestion::write_block(ssrc, begin_sequence, reports, body.rest())?;
        }
        body.put(&timestamp.to_be_bytes())?;
        body.finish()
    }

    /// An extended report with a receiver reference time (RFC 3611 section 4.4).
    pub fn reference_time(&mut self, sender: u32, ntp: NtpTime) -> Option<()> {
        let mut body = self.packet(0, EXTENDED_REPORT)?;
        body.put(&sender.to_be_bytes())?;
        body.put(&[REFERENCE_TIME, 0, 0, 2])?;
        body.put(&ntp.0.to_be_bytes())?;
        body.finish()
    }

    /// An extended report with answers to reference times (RFC 3611 section 4.5).
    pub fn delay_since_reference(&mut self, sender: u32, answers: &[DelaySinceReference]) -> Option<()> {
        let mut body = self.packet(0, EXTENDED_REPORT)?;
        body.put(&sender.to_be_bytes())?;
        let [l0, l1] = u16::try_from(3 * answers.len()).ok()?.to_be_bytes();
        body.put(&[DELAY_SINCE_REFERENCE, 0, l0, l1])?;
        for answer in answers {
            for word in [answer.ssrc, answer.last_rr, answer.delay] {
                body.put(&word.to_be_bytes())?;
            }
        }
        body.finish()
    }

    fn packet(&mut self, count: usize, packet_type: u8) -> Option<Body<'_, 'a>> {
        if count > COUNT_MAX {
            return None;
        }
        let end = self.len + 4;
        let header = self.space.get_mut(self.len..end)?;
        (header[0], header[1]) = (0x80 | count as u8, packet_type);
        Some(Body { writer: self, end })
    }

    fn feedback(&mut self, format: u8, packet_type: u8, sender: u32, media: u32) -> Option<Body<'_, 'a>> {
        let mut body = self.packet(usize::from(format), packet_type)?;
        body.put(&sender.to_be_bytes())?;
        body.put(&media.to_be_bytes())?;
        Some(body)
    }
}

const fn nack_entry(first: u16, following: u16) -> [u8; 4] {
    ((first as u32) << 16 | following as u32).to_be_bytes()
}

/// One packet in the making: it counts only when it is finished.
struct Body<'w, 'a> {
    writer: &'w mut Writer<'a>,
    end: usize,
}

impl Body<'_, '_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        let end = self.end + bytes.len();
        self.writer.space.get_mut(self.end..end)?.copy_from_slice(bytes);
        self.end = end;
        Some(())
    }

    fn rest(&mut self) -> &mut [u8] {
        self.writer.space.get_mut(self.end..).unwrap_or_default()
    }

    fn finish(self) -> Option<()> {
        let start = self.writer.len;
        let words = u16::try_from((self.end - start) / 4 - 1).ok()?;
        self.writer.space.get_mut(start + 2..start + 4)?.copy_from_slice(&words.to_be_bytes());
        self.writer.len = self.end;
        Some(())
    }
}

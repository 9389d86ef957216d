//! Packets that are sent only to see whether they get through.

use pointsman_wire::rtp::FIXED_HEADER_LEN;

use super::{Departure, Downtrack, Planned, Revised, Source, Stamps, extend_low, is_repeated};
use crate::Carried;
use crate::publication::Publication;
use crate::srtp::{Outbound, SrtpError};

/// The most that RTP padding can be (RFC 3550 section 5.1).
const PADDING: u8 = 255;

impl Downtrack {
    /// The subscriber tells when its packets arrive: by their transport-wide numbers, or stream by stream. Of two packets under one number
    /// that would not say which.
    pub fn is_measured(&self) -> bool {
        let codecs = &self.spec.codecs;
        self.template.is_numbered() || codecs.iter().any(|format| format.ccfb) && !codecs.iter().any(is_repeated)
    }

    /// It can carry probes: their packets must be told, and must be none that a decoder waits for. RTX (RFC 4588) is neither media nor
    /// counted by its sequence numbers.
    pub fn may_probe(&self) -> bool {
        self.publication.is_some() && self.packets > 0 && self.is_measured() && self.rtx_payload_type().is_some()
    }

    /// Media packets sent so far.
    pub fn packets_sent(&self) -> u32 {
        self.packets
    }

    /// A packet that was sent lately, `back` before the newest, to be sent once more over RTX.
    pub fn plan_probe<'a>(&mut self, publication: &'a Publication, back: u16) -> Option<(Planned, Source<'a>)> {
        let sequence = self.rtp.newest().checked_sub(u64::from(back))?;
        let sent = self.sequencer.find(sequence as u16).filter(|sent| sent.source == self.source)?;
        let near = publication.newest(sent.layer)?;
        let (facts, packet) = publication.cached(sent.layer, extend_low(sent.sequence, near))?;
        if facts.payload.is_none() {
            return None;
        }
        let format = self.format(facts.codec)?;
        let payload_type = format.rtx?;
        self.rtx_sequence += 1;
        let numbers = super::Numbers {
            sequence,
            timestamp: sent.timestamp,
            picture_id: sent.picture_id,
            tl0_index: sent.tl0_index,
            frame_number: sent.frame_number,
            marker: sent.marker,
            targets: sent.targets,
        };
        let source = Source { publication, layer: sent.layer, facts, packet: packet.bytes() };
        Some((self.planned(&source, numbers, &format, Some((payload_type, self.rtx_sequence))), source))
    }

    /// Writes an RTX packet that has nothing but padding and returns its length on the wire. It repeats nothing.
    pub fn write_padding(&mut self, outbound: &Outbound, out: &mut [u8], departure: Departure) -> Result<usize, SrtpError> {
        let Departure { transport_sequence, unix, padding: _ } = departure;
        let payload_type = self.rtx_payload_type().ok_or(SrtpError::NoSpace)?;
        self.rtx_sequence += 1;
        let fixed = out.first_chunk_mut::<FIXED_HEADER_LEN>().ok_or(SrtpError::NoSpace)?;
        fixed[0] = 0xA0;
        fixed[1] = payload_type;
        fixed[2..4].copy_from_slice(&(self.rtx_sequence as u16).to_be_bytes());
        fixed[4..8].copy_from_slice(&self.rtp.newest_timestamp().to_be_bytes());
        fixed[8..12].copy_from_slice(&self.spec.rtx_ssrc.to_be_bytes());
        let stamps = Stamps { transport_sequence, unix, frame_number: 0 };
        let header_len = self.template.write(out, &[], &Carried::NONE, &Revised::NONE, &stamps);
        outbound.protect_rtp((self.rtx_sequence >> 16) as u32, out, header_len, &[], &[], PADDING)
    }

    fn rtx_payload_type(&self) -> Option<u8> {
        self.spec.codecs.iter().find_map(|format| format.rtx)
    }
}

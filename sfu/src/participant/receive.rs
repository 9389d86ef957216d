//! From a datagram to facts: decrypt, tell which stream it is, undo RTX, read once.

use std::ops::Range;

use pointsman_wire::clock::Now;
use pointsman_wire::rtp;

use super::Participant;
use super::report::Uplink;
use crate::facts::{Descriptors, Frame};
use crate::srtp::SrtpError;
use crate::{Carried, CodecSpec, Config, DropReason, ExtensionIds, Facts, Kind, PacketBuf, PacketPool, PacketRef, ReceiverSpec, Span};

/// One SSRC of a participant.
#[derive(Debug)]
pub struct Stream {
    /// Place of its m-line in the participant's list.
    pub receiver: u16,
    pub layer: u8,
    pub role: Role,
    /// The newest sequence number, roll-overs counted, of media streams.
    newest: Option<u64>,
    pub uplink: Uplink,
    descriptors: Descriptors,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    Media,
    /// RTX (RFC 4588): repeats packets of the media stream of the same layer, whose SSRC is known once that has been seen.
    Repair {
        media: Option<u32>,
    },
}

/// A packet that goes on to a publication.
#[derive(Debug)]
pub struct Received {
    /// Place of the publication in the shard's table.
    pub publication: u32,
    pub layer: u8,
    pub facts: Facts,
    pub packet: PacketRef,
    /// It came over RTX.
    pub repaired: bool,
}

/// Sequence numbers of one epoch; SRTP's are 48 bits long.
const EPOCH_SHIFT: u32 = 48;

/// What a header says about which stream it belongs to.
struct Identity {
    receiver: u16,
    layer: u8,
    role: Role,
    /// Known by SSRC already.
    known: bool,
}

impl Participant {
    /// Takes in a protected RTP packet. `Ok(None)` when there is nothing to forward.
    pub fn receive(&mut self, now: Now, config: &Config, pool: &mut PacketPool, datagram: &[u8]) -> Result<Option<Received>, DropReason> {
        let header = rtp::Header::parse_protected(datagram).map_err(|_| DropReason::Malformed)?;
        let identity = self.identify(&header, datagram)?;
        let (ssrc, sequence) = (header.ssrc, header.sequence);
        let mut outcome = Err(DropReason::PoolFull);
        let inbound = self.transport.srtp_in().ok_or(DropReason::NotConnected)?;
        let packet = pool.take(|space| {
            let result = inbound.unprotect_rtp(datagram, header.header_len, ssrc, sequence, space.space());
            outcome = result.map_err(drop_reason);
            outcome.as_ref().ok().map(|&(len, _)| len)
        });
        let (len, index) = outcome?;
        let packet = packet.ok_or(DropReason::PoolFull)?;
        self.transport.heard_media(now.mono);
        self.arrived(now, config, &header, datagram);
        if !identity.known {
            self.learn(ssrc, &identity)?;
        }
        let header = rtp::Header::parse(&packet.bytes()[..len]).map_err(|_| DropReason::Malformed)?;
        match identity.role {
            Role::Media => self.take_media(now, config, &header, index, packet),
            Role::Repair { .. } => self.take_repair(now, config, pool, &header, &packet),
        }
    }

    /// Which stream a packet belongs to: by SSRC, else by mid and rid, else by a payload type that only one m-line has.
    fn identify(&self, header: &rtp::Header, datagram: &[u8]) -> Result<Identity, DropReason> {
        if let Some(stream) = self.streams.get(&header.ssrc) {
            return Ok(Identity { receiver: stream.receiver, layer: stream.layer, role: stream.role, known: true });
        }
        if self.streams.len() >= self.streams_max {
            return Err(DropReason::StreamsMax);
        }
        let value = |id: Option<u8>| id.and_then(|id| header.extension(datagram, id)).filter(|value| !value.is_empty());
        let (mid, rid) = (value(self.extensions.mid), value(self.extensions.rid));
        let repaired = value(self.extensions.repaired_rid);
        let at = match mid {
            Some(mid) => self.receivers.iter().position(|receiver| receiver.spec.mid.as_bytes() == mid),
            None => match rid.or(repaired) {
                Some(rid) => only(&self.receivers, |receiver| receiver.spec.rids.iter().any(|known| known.as_bytes() == rid)),
                None => only(&self.receivers, |receiver| receiver.has_payload_type(header.payload_type)),
            },
        };
        let at = at.ok_or(DropReason::UnknownStream)?;
        let receiver = &self.receivers[at];
        let layer = if receiver.spec.rids.is_empty() {
            0
        } else {
            // A simulcast layer without a rid is none that could be told from the others.
            let rid = repaired.or(rid).ok_or(DropReason::UnknownStream)?;
            receiver.spec.rids.iter().position(|known| known.as_bytes() == rid).ok_or(DropReason::UnknownStream)?
        };
        let layer = u8::try_from(layer).map_err(|_| DropReason::UnknownStream)?;
        let role = if repaired.is_some() || receiver.is_repair(header.payload_type) {
            Role::Repair { media: self.media_ssrc(at as u16, layer) }
        } else {
            Role::Media
        };
        Ok(Identity { receiver: at as u16, layer, role, known: false })
    }

    /// An authentic packet has shown what its SSRC is.
    fn learn(&mut self, ssrc: u32, identity: &Identity) -> Result<(), DropReason> {
        let &Identity { receiver, layer, role, known: _ } = identity;
        // A client that starts a stream anew does so with another SSRC; the old one has ended.
        let same = |stream: &Stream| {
            stream.receiver == receiver && stream.layer == layer && matches!(stream.role, Role::Media) == matches!(role, Role::Media)
        };
        let replaced = self.streams.iter().find(|(_, stream)| same(stream)).map(|(&ssrc, _)| ssrc);
        if let Some(replaced) = replaced {
            self.streams.remove(&replaced);
        }
        let line = self.receivers.get_mut(usize::from(receiver)).ok_or(DropReason::UnknownStream)?;
        if role == Role::Media && replaced.is_some() {
            line.epoch = line.epoch.wrapping_add(1);
        }
        self.streams
            .insert(ssrc, Stream { receiver, layer, role, newest: None, uplink: Uplink::new(ssrc), descriptors: Descriptors::new() });
        if role == Role::Media {
            for stream in self.streams.values_mut().filter(|stream| stream.receiver == receiver && stream.layer == layer) {
                if let Role::Repair { media } = &mut stream.role {
                    *media = Some(ssrc);
                }
            }
        }
        Ok(())
    }

    /// Makes a stream known that the SDP names, unless it is already.
    pub(super) fn name_stream(&mut self, ssrc: u32, receiver: u16, layer: u8, role: Role) {
        if self.streams.len() < self.streams_max && !self.streams.contains_key(&ssrc) {
            // Its m-line exists, so nothing can go wrong.
            let _ = self.learn(ssrc, &Identity { receiver, layer, role, known: false });
        }
    }

    fn take_media(
        &mut self,
        now: Now,
        config: &Config,
        header: &rtp::Header,
        index: u64,
        packet: PacketRef,
    ) -> Result<Option<Received>, DropReason> {
        let stream = self.streams.get_mut(&header.ssrc).ok_or(DropReason::UnknownStream)?;
        let receiver = self.receivers.get_mut(usize::from(stream.receiver)).ok_or(DropReason::UnknownStream)?;
        let format = receiver.format(header.payload_type).ok_or(DropReason::UnknownPayloadType)?;
        stream.newest = stream.newest.max(Some(index));
        stream.uplink.received(now, config, index, header.timestamp, &format);
        if receiver.spec.muted {
            return Err(DropReason::Muted);
        }
        let sequence = u64::from(receiver.epoch) << EPOCH_SHIFT | index;
        let facts = read_facts(header, packet.bytes(), sequence, &format, &receiver.spec, &mut stream.descriptors)?;
        Ok(Some(Received { publication: receiver.publication, layer: stream.layer, facts, packet, repaired: false }))
    }

    /// Writes the packet that an RTX packet repeats into a slot of its own.
    fn take_repair(
        &mut self,
        now: Now,
        config: &Config,
        pool: &mut PacketPool,
        header: &rtp::Header,
        packet: &PacketRef,
    ) -> Result<Option<Received>, DropReason> {
        if header.payload_range().len() < 2 {
            return Ok(None); // Padding that probes for bandwidth.
        }
        let repair = self.streams.get(&header.ssrc).ok_or(DropReason::UnknownStream)?;
        let Role::Repair { media: Some(media) } = repair.role else { return Err(DropReason::UnknownStream) };
        let receiver = self.receivers.get_mut(usize::from(repair.receiver)).ok_or(DropReason::UnknownStream)?;
        let format = receiver.repaired_format(header.payload_type).ok_or(DropReason::UnknownPayloadType)?;
        let stream = self.streams.get_mut(&media).ok_or(DropReason::UnknownStream)?;
        let newest = stream.newest.ok_or(DropReason::OutOfRange)?;
        let original = pool.take(|space| restore(space, packet.bytes(), media, format.payload_type)).ok_or(DropReason::PoolFull)?;
        let header = rtp::Header::parse(original.bytes()).map_err(|_| DropReason::Malformed)?;
        let distance = i64::from(rtp::sequence_distance(newest as u16, header.sequence));
        let index = newest.checked_add_signed(distance).ok_or(DropReason::OutOfRange)?;
        stream.uplink.repaired(now, config, index);
        if receiver.spec.muted {
            return Err(DropReason::Muted);
        }
        let sequence = u64::from(receiver.epoch) << EPOCH_SHIFT | index;
        let facts = read_facts(&header, original.bytes(), sequence, &format, &receiver.spec, &mut stream.descriptors)?;
        let layer = stream.layer;
        Ok(Some(Received { publication: receiver.publication, layer, facts, packet: original, repaired: true }))
    }

    pub(super) fn media_ssrc(&self, receiver: u16, layer: u8) -> Option<u32> {
        let media = |stream: &Stream| stream.receiver == receiver && stream.layer == layer && stream.role == Role::Media;
        self.streams.iter().find(|(_, stream)| media(stream)).map(|(&ssrc, _)| ssrc)
    }
}

impl super::Receiver {
    /// `facts` are of the first packet after others that did not go on: subscribers go on with the next number, not after a gap.
    pub fn begin_epoch(&mut self, facts: &mut Facts) {
        self.epoch = self.epoch.wrapping_add(1);
        facts.sequence = facts.sequence.wrapping_add(1 << EPOCH_SHIFT);
    }

    fn has_payload_type(&self, payload_type: u8) -> bool {
        self.spec.codecs.iter().any(|codec| codec.payload_type == payload_type || codec.rtx == Some(payload_type))
    }

    fn is_repair(&self, payload_type: u8) -> bool {
        self.spec.codecs.iter().any(|codec| codec.rtx == Some(payload_type))
    }

    fn format(&mut self, payload_type: u8) -> Option<CodecSpec> {
        if let Some(format) = self.format
            && format.payload_type == payload_type
        {
            return Some(format);
        }
        self.format = self.spec.codecs.iter().find(|codec| codec.payload_type == payload_type).copied();
        self.format
    }

    /// What the RTX payload type repeats.
    fn repaired_format(&self, payload_type: u8) -> Option<CodecSpec> {
        self.spec.codecs.iter().find(|codec| codec.rtx == Some(payload_type)).copied()
    }
}

fn restore(space: &mut PacketBuf, packet: &[u8], ssrc: u32, payload_type: u8) -> Option<usize> {
    let space = space.space().get_mut(..packet.len())?;
    space.copy_from_slice(packet);
    rtp::restore_original(space, ssrc, payload_type)
}

/// Reads everything that forwarding asks of a packet.
fn read_facts(
    header: &rtp::Header,
    packet: &[u8],
    sequence: u64,
    format: &CodecSpec,
    line: &ReceiverSpec,
    descriptors: &mut Descriptors,
) -> Result<Facts, DropReason> {
    let payload = span(header.payload_range());
    let mut facts = Facts {
        codec: format.codec,
        sequence,
        timestamp: header.timestamp,
        marker: header.marker,
        entry: format.codec.kind() == Kind::Audio,
        payload,
        carried: carried(header, packet, &line.extensions),
        allocation: allocation(header, packet, &line.extensions),
        picture_id: None,
        tl0_index: None,
        frame: Frame::WHOLE,
    };
    facts.read_payload(packet, descriptors)?;
    if line.rids.len() > 1 {
        facts.frame.flatten();
    }
    Ok(facts)
}

fn carried(header: &rtp::Header, packet: &[u8], ids: &ExtensionIds) -> Carried {
    let mut carried = Carried::NONE;
    for element in header.elements(packet) {
        let id = Some(element.id);
        let place = if id == ids.audio_level {
            &mut carried.audio_level
        } else if id == ids.video_orientation {
            &mut carried.video_orientation
        } else if id == ids.playout_delay {
            &mut carried.playout_delay
        } else if id == ids.abs_capture_time {
            &mut carried.abs_capture_time
        } else if id == ids.dependency_descriptor {
            &mut carried.dependency_descriptor
        } else {
            continue;
        };
        *place = span(element.range());
    }
    carried
}

/// Among the elements of few packets, and looked for only where it was negotiated.
fn allocation(header: &rtp::Header, packet: &[u8], ids: &ExtensionIds) -> Span {
    let Some(id) = ids.video_layers_allocation else { return Span::NONE };
    header.elements(packet).find(|element| element.id == id).map_or(Span::NONE, |element| span(element.range()))
}

/// A packet is at most 1,500 bytes long, so its offsets fit.
fn span(range: Range<usize>) -> Span {
    Span { at: range.start as u16, len: range.len() as u16 }
}

/// The only one that fits; none when there are several.
fn only<T>(all: &[T], fits: impl Fn(&T) -> bool) -> Option<usize> {
    let mut fitting = all.iter().enumerate().filter(|(_, it)| fits(it));
    let (at, _) = fitting.next()?;
    fitting.next().is_none().then_some(at)
}

pub fn drop_reason(error: SrtpError) -> DropReason {
    match error {
        SrtpError::Truncated => DropReason::Malformed,
        SrtpError::Forged => DropReason::SrtpUnauthenticated,
        SrtpError::Replayed => DropReason::SrtpReplayed,
        SrtpError::TooManySources => DropReason::SrtpStreamsMax,
        SrtpError::NoSpace => DropReason::Malformed,
        SrtpError::Key | SrtpError::Exhausted => DropReason::SrtpSealFailed,
    }
}

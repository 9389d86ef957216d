//! Header extensions as the subscriber negotiated them.
//!
//! What is in every packet (mid, transport sequence number, send time) is written once into a template; a packet costs one copy of it.

use std::time::Duration;

use pointsman_wire::rtp::{AbsSendTime, FIXED_HEADER_LEN};

use super::revised::Revised;
use crate::{Carried, ExtensionIds, Span};

/// Longest mid that is sent; longer ones are left out, and the SSRC in the SDP has to do.
const MID_LEN_MAX: usize = 32;
const TEMPLATE_LEN_MAX: usize = 4 + 2 + MID_LEN_MAX + 4 + 5;
/// Longest value of a one-byte element (RFC 8285 section 4.2), and its highest id.
const ONE_BYTE_LEN_MAX: usize = 16;
const ONE_BYTE_ID_MAX: u8 = 14;

/// The extension block of a downtrack.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: [u8; TEMPLATE_LEN_MAX],
    len: usize,
    two_byte: bool,
    transport_sequence_at: Option<usize>,
    send_time_at: Option<usize>,
    ids: ExtensionIds,
    mid: [u8; MID_LEN_MAX],
    mid_len: usize,
}

/// What changes with every packet.
#[derive(Clone, Copy, Debug)]
pub struct Stamps {
    pub transport_sequence: u16,
    pub unix: Duration,
    pub frame_number: u16,
}

impl Template {
    pub fn new(ids: &ExtensionIds, mid: &str) -> Self {
        let mid = if mid.len() <= MID_LEN_MAX { mid.as_bytes() } else { &[] };
        let mut mid_bytes = [0; MID_LEN_MAX];
        mid_bytes[..mid.len()].copy_from_slice(mid);
        let all = [
            ids.mid,
            ids.transport_cc,
            ids.abs_send_time,
            ids.audio_level,
            ids.video_orientation,
            ids.playout_delay,
            ids.abs_capture_time,
            ids.dependency_descriptor,
        ];
        let two_byte = mid.len() > ONE_BYTE_LEN_MAX || all.iter().flatten().any(|&id| id > ONE_BYTE_ID_MAX);
        Self::build(ids, mid_bytes, mid.len(), two_byte)
    }

    fn build(ids: &ExtensionIds, mid: [u8; MID_LEN_MAX], mid_len: usize, two_byte: bool) -> Self {
        let mut template = Self {
            bytes: [0; TEMPLATE_LEN_MAX],
            len: 4,
            two_byte,
            transport_sequence_at: None,
            send_time_at: None,
            ids: *ids,
            mid,
            mid_len,
        };
        let profile: u16 = if two_byte { 0x1000 } else { 0xBEDE };
        template.bytes[..2].copy_from_slice(&profile.to_be_bytes());
        if let Some(id) = ids.mid
            && mid_len > 0
        {
            template.push(id, &mid[..mid_len]);
        }
        template.transport_sequence_at = ids.transport_cc.map(|id| template.push(id, &[0; 2]));
        template.send_time_at = ids.abs_send_time.map(|id| template.push(id, &[0; 3]));
        template
    }

    /// Appends an element and returns where its value lies.
    fn push(&mut self, id: u8, value: &[u8]) -> usize {
        self.len += element(&mut self.bytes[self.len..], self.two_byte, id, value);
        self.len - value.len()
    }

    /// A transport-wide sequence number is among the elements.
    pub fn is_numbered(&self) -> bool {
        self.transport_sequence_at.is_some()
    }

    /// The subscriber knows dependency descriptors.
    pub fn has_descriptor(&self) -> bool {
        self.ids.dependency_descriptor.is_some()
    }

    /// Length of the header with the elements that `carried` adds, changed as `revised` says.
    pub fn header_len(&self, carried: &Carried, revised: &Revised) -> usize {
        if *carried == Carried::NONE {
            return FIXED_HEADER_LEN + block_len(self.len);
        }
        if self.needs_two_byte(carried, revised) {
            return Self::build(&self.ids, self.mid, self.mid_len, true).header_len(carried, revised);
        }
        let element_header = if self.two_byte { 2 } else { 1 };
        let value_len = |span: Span| match span {
            _ if span == carried.dependency_descriptor => revised.descriptor_len(span),
            _ if span == carried.abs_capture_time => revised.capture_time_len(span),
            _ => usize::from(span.len),
        };
        let more = |len: usize, (_, span): (u8, Span)| len + element_header + value_len(span);
        FIXED_HEADER_LEN + block_len(self.elements(carried).fold(self.len, more))
    }

    /// Writes the block after the fixed header in `out`, sets the X bit, and returns the header's length: that of
    /// [`Template::header_len`], for which there is room.
    pub fn write(&self, out: &mut [u8], packet: &[u8], carried: &Carried, revised: &Revised, stamps: &Stamps) -> usize {
        if self.needs_two_byte(carried, revised) {
            return Self::build(&self.ids, self.mid, self.mid_len, true).write(out, packet, carried, revised, stamps);
        }
        let mut len = self.len;
        let block = &mut out[FIXED_HEADER_LEN..];
        block[..TEMPLATE_LEN_MAX].copy_from_slice(&self.bytes);
        if let Some(at) = self.transport_sequence_at {
            block[at..at + 2].copy_from_slice(&stamps.transport_sequence.to_be_bytes());
        }
        if let Some(at) = self.send_time_at {
            block[at..at + 3].copy_from_slice(&AbsSendTime::new(stamps.unix).to_bytes());
        }
        if *carried != Carried::NONE {
            for (id, span) in self.elements(carried) {
                let (value, space) = (span.of(packet), &mut block[len..]);
                len += if span == carried.dependency_descriptor {
                    revised.with_descriptor(value, |value| descriptor_element(space, self.two_byte, id, value, stamps.frame_number))
                } else if span == carried.abs_capture_time
                    && let Some((value, value_len)) = revised.capture_time(value)
                {
                    element(space, self.two_byte, id, &value[..value_len])
                } else {
                    element(space, self.two_byte, id, value)
                };
            }
        }
        if len == 4 {
            return FIXED_HEADER_LEN;
        }
        let padded = len.next_multiple_of(4);
        block[len..padded].fill(0);
        block[2..4].copy_from_slice(&((padded / 4 - 1) as u16).to_be_bytes());
        out[0] |= 0x10;
        FIXED_HEADER_LEN + padded
    }

    /// The carried elements that the subscriber knows.
    fn elements(&self, carried: &Carried) -> impl Iterator<Item = (u8, Span)> + use<> {
        let Carried { audio_level, video_orientation, playout_delay, abs_capture_time, dependency_descriptor } = *carried;
        [
            (self.ids.audio_level, audio_level),
            (self.ids.video_orientation, video_orientation),
            (self.ids.playout_delay, playout_delay),
            (self.ids.abs_capture_time, abs_capture_time),
            (self.ids.dependency_descriptor, dependency_descriptor),
        ]
        .into_iter()
        .filter_map(|(id, span)| Some((id?, span)).filter(|(_, span)| !span.is_none()))
    }

    /// A keyframe's dependency descriptor describes the whole stream and may be longer than a one-byte element holds.
    fn needs_two_byte(&self, carried: &Carried, revised: &Revised) -> bool {
        !self.two_byte && revised.descriptor_len(carried.dependency_descriptor) > ONE_BYTE_LEN_MAX && self.has_descriptor()
    }
}

/// As [`element`], with the subscriber's frame number in the descriptor's second and third byte.
fn descriptor_element(out: &mut [u8], two_byte: bool, id: u8, value: &[u8], frame_number: u16) -> usize {
    let len = element(out, two_byte, id, value);
    if value.len() >= 3 {
        let number_at = len - value.len() + 1;
        out[number_at..number_at + 2].copy_from_slice(&frame_number.to_be_bytes());
    }
    len
}

/// Writes one element and returns its length.
fn element(out: &mut [u8], two_byte: bool, id: u8, value: &[u8]) -> usize {
    let start = if two_byte {
        out[0] = id;
        out[1] = value.len() as u8;
        2
    } else {
        out[0] = id << 4 | (value.len().wrapping_sub(1) as u8 & 0x0F);
        1
    };
    out[start..start + value.len()].copy_from_slice(value);
    start + value.len()
}

/// Length of a block whose profile, length and elements take `len` bytes; a block without elements is left out.
fn block_len(len: usize) -> usize {
    if len == 4 { 0 } else { len.next_multiple_of(4) }
}

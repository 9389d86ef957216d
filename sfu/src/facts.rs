//! What the publisher's shard has read of a packet, so that nobody reads it again.

use pointsman_wire::payload::dependency_descriptor::{self, Indication, Reader};
use pointsman_wire::payload::{Format, FrameInfo, Number, h264, vp9};

use crate::layers::LayerSet;
use crate::{Codec, DropReason, LayerId};

/// Stretch of a packet: `at` from its first byte.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    pub at: u16,
    /// Zero: not there.
    pub len: u16,
}

impl Span {
    pub const NONE: Self = Self { at: 0, len: 0 };

    pub const fn is_none(self) -> bool {
        self.len == 0
    }

    /// The bytes it names; empty when it does not lie within `packet`.
    pub fn of(self, packet: &[u8]) -> &[u8] {
        packet.get(usize::from(self.at)..usize::from(self.at) + usize::from(self.len)).unwrap_or_default()
    }
}

/// Header extensions whose values go on to subscribers as they are (ids differ, so they are written anew).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Carried {
    pub audio_level: Span,
    pub video_orientation: Span,
    pub playout_delay: Span,
    pub abs_capture_time: Span,
    pub dependency_descriptor: Span,
}

impl Carried {
    pub const NONE: Self = Self {
        audio_level: Span::NONE,
        video_orientation: Span::NONE,
        playout_delay: Span::NONE,
        abs_capture_time: Span::NONE,
        dependency_descriptor: Span::NONE,
    };
}

/// One packet of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Facts {
    pub codec: Codec,
    /// Sequence number with roll-overs counted, as sent by the publisher.
    pub sequence: u64,
    pub timestamp: u32,
    pub marker: bool,
    /// The first packet of a keyframe: a downtrack may start or change its layer here. Always true for audio.
    pub entry: bool,
    /// The payload without padding, from the packet's first byte. Empty for packets that are padding alone.
    pub payload: Span,
    pub carried: Carried,
    /// Video layers allocation: it describes the publisher's streams, so it goes no further than [`crate::Layout`].
    pub allocation: Span,
    /// VP8 (RFC 7741 section 4.2) and VP9 (RFC 9628 section 4.2).
    pub picture_id: Option<Number>,
    /// TL0PICIDX of the same.
    pub tl0_index: Option<Number>,
    pub frame: Frame,
}

/// The place of a packet's frame among the layers of its stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Frame {
    /// Its own layer; a stream of simulcast has no spatial ones.
    pub spatial: u8,
    pub temporal: u8,
    /// The packet is the frame's first, or last; frames of different spatial layers are different frames.
    pub start: bool,
    pub end: bool,
    /// Layers whose receivers get the frame.
    pub present: LayerSet,
    /// Those that cannot go on without it.
    pub required: LayerSet,
    /// Layers that can be decoded from here on, given what the frame itself needs.
    pub switching: LayerSet,
    /// It needs nothing of its own layer from before.
    pub anew: bool,
    /// It needs the frame of the next lower spatial layer of the same picture.
    pub needs_lower: bool,
}

impl Frame {
    /// Of a stream without layers: every frame is needed.
    pub const WHOLE: Self = Self {
        spatial: 0,
        temporal: 0,
        start: true,
        end: true,
        present: LayerSet::ALL,
        required: LayerSet::ALL,
        switching: LayerSet::NONE,
        anew: false,
        needs_lower: false,
    };

    /// As a stream of simulcast, which has one spatial layer whatever it says.
    pub fn flatten(&mut self) {
        self.spatial = 0;
        self.needs_lower = false;
        self.present = self.present.flat();
        self.required = self.required.flat();
        self.switching = self.switching.flat();
    }
}

impl Facts {
    /// Reads the payload of `packet`, once everything else is known. A packet of padding alone has none. `descriptors` reads the
    /// stream's dependency descriptors.
    pub fn read_payload(&mut self, packet: &[u8], descriptors: &mut Descriptors) -> Result<(), DropReason> {
        if self.payload.is_none() {
            return Ok(());
        }
        let payload = self.payload.of(packet);
        let info = format(self.codec).read(payload, self.marker).map_err(|_| DropReason::PayloadMalformed)?;
        self.entry = info.is_entry() && !self.is_hidden_entry(packet);
        self.picture_id = info.picture_id;
        self.tl0_index = info.tl0_index;
        self.frame = match self.carried.dependency_descriptor {
            span if span.is_none() => None,
            span => descriptors.read(span.of(packet)),
        }
        .unwrap_or_else(|| self.frame_by_payload(&info, payload, descriptors));
        if self.entry {
            self.frame.switching = self.frame.present;
        }
        Ok(())
    }

    /// An encoder of H.264 that is asked for a keyframe of one simulcast stream begins all of them anew. Of the others the dependency
    /// descriptor goes on as if nothing were, and so does who goes by it: it would wait for the frames before.
    fn is_hidden_entry(&self, packet: &[u8]) -> bool {
        let descriptor = self.carried.dependency_descriptor;
        matches!(self.codec, Codec::H264 { .. }) && !descriptor.is_none() && !dependency_descriptor::brings_structure(descriptor.of(packet))
    }

    /// Tells the picture size of each spatial layer that a keyframe's first packet names. AV1's own header has the largest alone.
    pub fn read_sizes(&self, packet: &[u8], mut tell: impl FnMut(u8, (u16, u16))) {
        let structure = dependency_descriptor::structure(self.carried.dependency_descriptor.of(packet));
        let highest = structure.as_ref().map_or(0, |structure| structure.spatial_layers().saturating_sub(1));
        let mut told = false;
        for spatial in 0..=highest {
            let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
            if let Some((width, height)) = structure.as_ref().and_then(|structure| structure.resolution(spatial)) {
                tell(spatial, (side(width), side(height)));
                told = true;
            }
        }
        if !told {
            let alone = matches!(self.codec, Codec::Av1 { .. });
            format(self.codec).sizes(self.payload.of(packet), |spatial, size| tell(if alone { highest } else { spatial }, size));
        }
    }

    /// What the payload tells of layers. That of AV1 tells too little to leave anything out.
    fn frame_by_payload(&self, info: &FrameInfo, payload: &[u8], descriptors: &mut Descriptors) -> Frame {
        let own = LayerId { spatial: info.spatial, temporal: info.temporal };
        let ends = Frame { start: info.start_of_frame, end: info.end_of_frame, ..Frame::WHOLE };
        match self.codec {
            Codec::Opus | Codec::Red => Frame::WHOLE,
            Codec::Av1 { .. } => ends,
            Codec::H264 { .. } => descriptors.read_units(payload, ends),
            Codec::Vp8 => {
                let present = LayerSet::upward(own).flat();
                // RFC 7741 section 4.2, Y: the frame needs only the base layer. Layers above may still need more.
                let switching = if info.switch_up { LayerSet::only(own) } else { LayerSet::NONE };
                let required = if info.discardable { LayerSet::NONE } else { present };
                Frame { temporal: own.temporal, present, required, switching, anew: info.switch_up, ..ends }
            }
            Codec::Vp9 { .. } => {
                let Ok(descriptor) = vp9::Descriptor::parse(payload) else { return ends };
                let Some(layer) = descriptor.layer else { return ends };
                let above = LayerSet::upward(own);
                let row = above.within(LayerSet::row(own.spatial));
                // RFC 9628 section 4.2. Z: higher spatial layers do without. U: pictures of higher temporal layers need nothing of those layers from
                // before; the frame itself may need its own, and of spatial layers above U says nothing. Without P the frame begins its spatial
                // layer anew: from the one below with D, else from nothing.
                let present = if descriptor.not_for_upper { row } else { above };
                let anew = !descriptor.inter_picture;
                let switching = if info.switch_up || anew { row } else { LayerSet::NONE };
                let needs_lower = layer.inter_layer;
                Frame { spatial: own.spatial, temporal: own.temporal, present, required: present, switching, anew, needs_lower, ..ends }
            }
        }
    }
}

/// Reads a stream's dependency descriptors in terms of layers.
#[derive(Debug, Default)]
pub struct Descriptors {
    reader: Reader,
    /// The layer of each decode target; of the structure's.
    targets: Vec<LayerId>,
    /// H.264: what belongs to a picture comes in packets without any part of it.
    units_apart: bool,
}

impl Descriptors {
    pub const fn new() -> Self {
        Self { reader: Reader::new(), targets: Vec::new(), units_apart: false }
    }

    /// H.264 without a descriptor: pictures that no other refers to (`nal_ref_idc` 0) may be left out, which is a temporal layer of its own. Not
    /// where delimiters and the like come in packets of their own, since of those it is not known to which kind of picture they belong.
    fn read_units(&mut self, payload: &[u8], ends: Frame) -> Frame {
        let Ok(units) = h264::Summary::parse(payload) else { return ends };
        self.units_apart |= !units.slices && !units.sps && !units.pps;
        if self.units_apart || !units.non_reference {
            return ends;
        }
        let layers = LayerSet::upward(LayerId::new(0, 1)).flat();
        Frame { temporal: 1, present: layers, required: LayerSet::NONE, switching: layers, anew: true, ..ends }
    }

    /// `None` when it says nothing: it is wrong, or its structure has not come.
    fn read(&mut self, value: &[u8]) -> Option<Frame> {
        let descriptor = self.reader.read(value).ok()?;
        let structure = self.reader.structure()?;
        if descriptor.has_structure {
            self.targets.clear();
            let layers = (0..structure.decode_targets()).map(|target| structure.layers_of(target).unwrap_or_default());
            self.targets.extend(layers.map(|(spatial, temporal)| LayerId { spatial, temporal }));
        }
        let dependency_descriptor::Frame { spatial, temporal, .. } = descriptor.frame?;
        let temporal = temporal.min(3);
        let mut frame = Frame {
            spatial,
            temporal,
            start: descriptor.start_of_frame,
            end: descriptor.end_of_frame,
            present: LayerSet::NONE,
            required: LayerSet::NONE,
            switching: LayerSet::NONE,
            anew: false,
            needs_lower: false,
        };
        let mut told = LayerSet::NONE;
        for (target, layer) in self.targets.iter().enumerate() {
            let only = LayerSet::only(*layer);
            told = told.and(only);
            let (present, required, switching) = match descriptor.frame?.indication(target as u8) {
                Indication::NotPresent => (false, false, false),
                Indication::Discardable => (true, false, false),
                Indication::Switch => (true, true, true),
                Indication::Required => (true, true, false),
            };
            let if_so = |yes: bool| if yes { only } else { LayerSet::NONE };
            frame.present = frame.present.and(if_so(present));
            frame.required = frame.required.and(if_so(required));
            frame.switching = frame.switching.and(if_so(switching));
        }
        // Layers without a decode target of their own get what lies below them.
        let untold = LayerSet::upward(LayerId { spatial, temporal }).without(told);
        frame.present = frame.present.and(untold);
        frame.required = frame.required.and(untold);
        Some(frame)
    }
}

const fn format(codec: Codec) -> Format {
    match codec {
        Codec::Opus => Format::Opus,
        Codec::Red => Format::Red,
        Codec::Vp8 => Format::Vp8,
        Codec::Vp9 { .. } => Format::Vp9,
        Codec::H264 { .. } => Format::H264,
        Codec::Av1 { .. } => Format::Av1,
    }
}

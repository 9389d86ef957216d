//! What RTP payloads say of themselves, as far as forwarding needs it: can a decoder start here, which layer is it, which
//! numbers must stay continuous when the source changes. Pictures and sound themselves are never looked into.
//!
//! [`Format::read`] gives the same answer for every codec; the modules give each format's own fields.

pub mod av1;
mod bits;
pub mod dependency_descriptor;
pub mod h264;
pub mod opus;
pub mod red;
pub mod video_layers_allocation;
pub mod vp8;
pub mod vp9;

/// Why bytes are no payload of their format.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParseError {
    /// Shorter than its own fields say.
    Truncated,
    /// A combination of values that the format forbids.
    Invalid,
}

/// A payload format, whatever its parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Format {
    Vp8,
    Vp9,
    H264,
    Av1,
    Opus,
    Red,
}

/// One packet's place in its stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct FrameInfo {
    /// Belongs to a frame that needs no other, as far as this packet shows it: VP8 and AV1 show it in the first packet of the frame only.
    pub keyframe: bool,
    /// First packet of a frame; for layered VP9, of a layer's frame. With H.264 the parameter sets before a picture count as its start, too.
    pub start_of_frame: bool,
    /// Last packet of a frame; for layered VP9, of a layer's frame.
    pub end_of_frame: bool,
    /// Temporal layer, 0..=7; 0 when not told.
    pub temporal: u8,
    /// Spatial layer, 0..=7; 0 when not told.
    pub spatial: u8,
    /// A receiver of lower temporal layers may begin to take this layer here (VP8's Y, VP9's U).
    pub switch_up: bool,
    /// No other frame needs this one (VP8's N; VP9's Z speaks of higher spatial layers only and does not count).
    pub discardable: bool,
    /// VP8 and VP9.
    pub picture_id: Option<Number>,
    /// TL0PICIDX of the same.
    pub tl0_index: Option<Number>,
}

impl FrameInfo {
    /// Whether a decoder can start with this packet. Always true for audio.
    pub const fn is_entry(&self) -> bool {
        self.keyframe && self.start_of_frame
    }
}

/// A number in a payload descriptor that counts pictures.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Number {
    /// Offset of its first byte from the payload's first.
    pub at: u16,
    /// 7, 8 or 15.
    pub bits: u8,
    pub value: u16,
}

impl Number {
    /// Writes another value in its place; bits that it has no room for are cut off. Does nothing to a payload that is too short.
    pub fn replace(self, payload: &mut [u8], value: u16) {
        let at = usize::from(self.at);
        if self.bits == 15 {
            if let Some(field) = payload.get_mut(at..at + 2) {
                field.copy_from_slice(&(value | 0x8000).to_be_bytes());
            }
        } else if let Some(field) = payload.get_mut(at) {
            *field = value as u8 & (0xFF >> (8 - self.bits));
        }
    }
}

impl Format {
    /// Reads a payload without padding. `marker` is the RTP header's: it ends a video frame.
    ///
    /// An empty payload is an error: packets of padding alone are not to be asked about.
    pub fn read(self, payload: &[u8], marker: bool) -> Result<FrameInfo, ParseError> {
        match self {
            Self::Vp8 => vp8::Descriptor::parse(payload).map(|it| it.frame_info(marker)),
            Self::Vp9 => vp9::Descriptor::parse(payload).map(|it| it.frame_info()),
            Self::H264 => h264::Summary::parse(payload).map(|it| it.frame_info(marker)),
            Self::Av1 => av1::Summary::parse(payload).map(|it| it.frame_info(marker)),
            Self::Opus | Self::Red if payload.is_empty() => Err(ParseError::Truncated),
            Self::Opus => Ok(AUDIO),
            Self::Red => red::blocks(payload).map(|_| AUDIO),
        }
    }

    /// Tells width and height in pixels of each spatial layer (0 without layers) that the first packet of a keyframe names.
    pub fn sizes(self, payload: &[u8], mut tell: impl FnMut(u8, (u16, u16))) {
        let alone = match self {
            Self::Vp8 => vp8::size(payload),
            Self::Vp9 => {
                let Ok(descriptor) = vp9::Descriptor::parse(payload) else { return };
                if let Some((count, resolutions)) = descriptor.scalability.and_then(|it| Some((it.spatial_layers, it.resolutions?))) {
                    let named = resolutions.into_iter().take(usize::from(count));
                    named.enumerate().for_each(|(spatial, size)| tell(spatial as u8, size));
                    return;
                }
                vp9::size(payload.get(descriptor.len..).unwrap_or_default())
            }
            Self::H264 => h264::size(payload),
            Self::Av1 => av1::size(payload),
            Self::Opus | Self::Red => None,
        };
        if let Some(size) = alone {
            tell(0, size);
        }
    }
}

const AUDIO: FrameInfo = FrameInfo {
    keyframe: true,
    start_of_frame: true,
    end_of_frame: true,
    temporal: 0,
    spatial: 0,
    switch_up: false,
    discardable: false,
    picture_id: None,
    tl0_index: None,
};

/// A picture id of 7 or 15 bits at the front of `rest`, which lies at `at` in the payload; VP8 and VP9 have the same.
fn picture_id(payload: &[u8], at: usize) -> Result<(Number, usize), ParseError> {
    let &first = payload.get(at).ok_or(ParseError::Truncated)?;
    if first & 0x80 == 0 {
        return Ok((Number { at: at as u16, bits: 7, value: u16::from(first) }, at + 1));
    }
    let &second = payload.get(at + 1).ok_or(ParseError::Truncated)?;
    Ok((Number { at: at as u16, bits: 15, value: u16::from_be_bytes([first & 0x7F, second]) }, at + 2))
}

/// Checks what holds for every format, for the bodies of the fuzz targets.
#[cfg(any(test, feature = "fuzz"))]
fn fuzz_numbers(format: Format, payload: &[u8]) {
    format.sizes(payload, |spatial, _| assert!(spatial < 8));
    let Ok(info) = format.read(payload, false) else { return };
    let mut copy = payload.to_vec();
    for number in [info.picture_id, info.tl0_index].into_iter().flatten() {
        number.replace(&mut copy, number.value);
        assert_eq!(copy, payload, "a number replaced by itself");
        number.replace(&mut copy, !number.value);
        let again = format.read(&copy, false).expect("another number changes nothing else");
        assert_eq!((again.keyframe, again.temporal, again.spatial), (info.keyframe, info.temporal, info.spatial));
        number.replace(&mut copy, number.value);
    }
}

#[cfg(test)]
mod tests;

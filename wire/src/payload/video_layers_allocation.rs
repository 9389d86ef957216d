//! Video layers allocation (the header extension `video-layers-allocation00`): which layers an encoder works on, at what rate and size,
//! those of the publisher's other streams among them.
//!
//! ```text
//! |stream, streams − 1 (2 bits each), layers (4)|   layers 0: each stream has its own
//! |layers (4)|layers (4)|                          one byte for two streams, so two from the third on
//! |temporals − 1 (2 bits for each layer)|           to whole bytes
//! |kbit/s (leb128) of each temporal layer|          cumulative
//! |width − 1 (16) height − 1 (16) frames/s (8)|     of each layer; left out when they are as before
//! ```
//! The order is by stream, then by spatial layer. One zero byte says that nothing is encoded.

use super::ParseError;

pub const STREAMS_MAX: usize = 4;
pub const SPATIAL_MAX: usize = 4;
pub const TEMPORAL_MAX: usize = 4;
/// Longest value: three bytes of layers, four of temporal layers, 64 rates of five bytes, 16 sizes of five.
pub const LEN_MAX: usize = 3 + 4 + 5 * STREAMS_MAX * SPATIAL_MAX * TEMPORAL_MAX + SIZE_LEN * STREAMS_MAX * SPATIAL_MAX;
const SIZE_LEN: usize = 5;

/// What one value says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Allocation {
    /// Of the stream whose packet it came with.
    pub stream: u8,
    /// By stream and spatial layer; `None`: not encoded.
    pub layers: [[Option<Layer>; SPATIAL_MAX]; STREAMS_MAX],
}

/// A spatial layer that is encoded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layer {
    /// 1..=4.
    pub temporals: u8,
    /// What each temporal layer and those below it take together.
    pub kbps: [u32; TEMPORAL_MAX],
    /// `None`: as told before.
    pub picture: Option<Picture>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Picture {
    /// In pixels, 1..=65,536.
    pub width: u32,
    pub height: u32,
    pub frames_per_second: u8,
}

impl Layer {
    /// With all its temporal layers.
    pub fn kbps_all(&self) -> u32 {
        self.kbps.get(usize::from(self.temporals).wrapping_sub(1)).copied().unwrap_or(0)
    }
}

impl Allocation {
    /// Reads the extension's value.
    pub fn parse(value: &[u8]) -> Result<Self, ParseError> {
        let (&head, mut rest) = value.split_first().ok_or(ParseError::Truncated)?;
        let mut it = Self { stream: head >> 6, ..Self::default() };
        if value == [0] {
            return Ok(it);
        }
        let streams = usize::from(head >> 4 & 3) + 1;
        let mut masks = [head & 0x0F; STREAMS_MAX];
        if head & 0x0F == 0 {
            let own = take(&mut rest, streams.div_ceil(2))?;
            for (at, mask) in masks.iter_mut().enumerate().take(streams) {
                let byte = own.get(at / 2).copied().unwrap_or(0);
                *mask = if at % 2 == 0 { byte >> 4 } else { byte & 0x0F };
            }
        }
        let encoded = |stream: usize, spatial: usize| stream < streams && masks[stream] >> spatial & 1 == 1;
        let places = (0..STREAMS_MAX * SPATIAL_MAX).map(|at| (at / SPATIAL_MAX, at % SPATIAL_MAX)).filter(|&(r, s)| encoded(r, s));
        let count = places.clone().count();
        if count == 0 {
            return Err(ParseError::Invalid);
        }
        let temporals = take(&mut rest, count.div_ceil(4))?;
        for (at, (stream, spatial)) in places.clone().enumerate() {
            let byte = temporals.get(at / 4).copied().unwrap_or(0);
            let temporals = (byte >> (6 - 2 * (at % 4)) & 3) + 1;
            let mut kbps = [0; TEMPORAL_MAX];
            for rate in kbps.iter_mut().take(usize::from(temporals)) {
                *rate = leb128(&mut rest)?;
            }
            it.layers[stream][spatial] = Some(Layer { temporals, kbps, picture: None });
        }
        // Sizes are all there or none is; what is beyond them is not ours to read.
        if !rest.is_empty() {
            for (stream, spatial) in places {
                let picture = Some(read_picture(take(&mut rest, SIZE_LEN)?)?);
                if let Some(layer) = &mut it.layers[stream][spatial] {
                    layer.picture = picture;
                }
            }
        }
        Ok(it)
    }

    /// The encoded layers by stream and spatial layer.
    pub fn encoded(&self) -> impl Iterator<Item = (usize, usize, &Layer)> {
        self.layers.iter().enumerate().flat_map(|(stream, layers)| {
            layers.iter().enumerate().filter_map(move |(spatial, layer)| layer.as_ref().map(|layer| (stream, spatial, layer)))
        })
    }

    /// Writes the value and returns its length; sizes go in if every encoded layer has one. `None` when `out` is too short or a field does not fit.
    pub fn write(&self, out: &mut [u8]) -> Option<usize> {
        let mut writer = Bytes { out, len: 0 };
        let mask = |layers: &[Option<Layer>; SPATIAL_MAX]| {
            layers.iter().enumerate().filter(|(_, layer)| layer.is_some()).fold(0u8, |mask, (at, _)| mask | 1 << at)
        };
        let masks = self.layers.each_ref().map(mask);
        let Some(last) = masks.iter().rposition(|&mask| mask != 0) else {
            writer.put(&[0])?;
            return Some(writer.len);
        };
        let same = masks[..=last].iter().all(|&mask| mask == masks[0]);
        writer.put(&[self.stream << 6 | (last as u8) << 4 | if same { masks[0] } else { 0 }])?;
        if !same {
            for pair in masks[..=last].chunks(2) {
                writer.put(&[pair[0] << 4 | pair.get(1).copied().unwrap_or(0)])?;
            }
        }
        let (mut bits, mut count) = (0u8, 0);
        for (_, _, layer) in self.encoded() {
            bits |= (layer.temporals.checked_sub(1).filter(|&it| it < 4)?) << (6 - 2 * (count % 4));
            count += 1;
            if count % 4 == 0 {
                writer.put(&[std::mem::take(&mut bits)])?;
            }
        }
        if count % 4 != 0 {
            writer.put(&[bits])?;
        }
        for (_, _, layer) in self.encoded() {
            for &kbps in layer.kbps.iter().take(usize::from(layer.temporals)) {
                writer.put_leb128(kbps)?;
            }
        }
        if self.encoded().all(|(_, _, layer)| layer.picture.is_some()) {
            for picture in self.encoded().filter_map(|(_, _, layer)| layer.picture) {
                let [w0, w1] = u16::try_from(picture.width.checked_sub(1)?).ok()?.to_be_bytes();
                let [h0, h1] = u16::try_from(picture.height.checked_sub(1)?).ok()?.to_be_bytes();
                writer.put(&[w0, w1, h0, h1, picture.frames_per_second])?;
            }
        }
        Some(writer.len)
    }
}

fn take<'a>(rest: &mut &'a [u8], len: usize) -> Result<&'a [u8], ParseError> {
    let (taken, after) = rest.split_at_checked(len).ok_or(ParseError::Truncated)?;
    *rest = after;
    Ok(taken)
}

fn read_picture(fields: &[u8]) -> Result<Picture, ParseError> {
    let &[w0, w1, h0, h1, frames_per_second] = fields.first_chunk().ok_or(ParseError::Truncated)?;
    let side = |high: u8, low: u8| u32::from(u16::from_be_bytes([high, low])) + 1;
    Ok(Picture { width: side(w0, w1), height: side(h0, h1), frames_per_second })
}

/// A number of at most 32 bits in at most five bytes, the lowest seven bits first.
fn leb128(rest: &mut &[u8]) -> Result<u32, ParseError> {
    let mut value = 0u64;
    for shift in 0..5 {
        let &[byte] = take(rest, 1)? else { break };
        value |= u64::from(byte & 0x7F) << (7 * shift);
        if byte & 0x80 == 0 {
            return u32::try_from(value).map_err(|_| ParseError::Invalid);
        }
    }
    Err(ParseError::Invalid)
}

/// Bytes that are written one after another.
struct Bytes<'a> {
    out: &'a mut [u8],
    len: usize,
}

impl Bytes<'_> {
    fn put(&mut self, bytes: &[u8]) -> Option<()> {
        self.out.get_mut(self.len..self.len + bytes.len())?.copy_from_slice(bytes);
        self.len += bytes.len();
        Some(())
    }

    fn put_leb128(&mut self, mut value: u32) -> Option<()> {
        while value >= 0x80 {
            self.put(&[value as u8 | 0x80])?;
            value >>= 7;
        }
        self.put(&[value as u8])
    }
}

/// Body of the fuzz target `video_layers_allocation`: what was read and written again reads the same.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(value: &[u8]) {
    let Ok(it) = Allocation::parse(value) else { return };
    assert!(it.encoded().all(|(_, _, layer)| (1..=4).contains(&layer.temporals)));
    let mut space = [0; LEN_MAX];
    let len = it.write(&mut space).expect("what was read fits");
    let again = Allocation::parse(&space[..len]).expect("what we write parses");
    let nothing = it.encoded().next().is_none();
    // With nothing encoded, there is no room for the stream's number.
    assert!(again == it || nothing && again.layers == it.layers);
}

#[cfg(test)]
mod tests;

//! What is known of a publication's layers beside what its packets show just now: how many there are, how large, at what rate.
//!
//! A layer may be there to be had without ever having been seen: its publisher stops what nobody wants, perhaps before its first frame.

use pointsman_wire::payload::video_layers_allocation::Allocation;

use crate::LayerId;
use crate::layers::{LayerSet, SPATIAL_MAX, TEMPORAL_MAX};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layout {
    /// Streams of simulcast in the SDP; 0 and 1: it says nothing of layers.
    streams: u8,
    /// Width and height of each spatial layer's picture in pixels, as last told by a keyframe or by the encoder.
    sizes: [Option<(u16, u16)>; SPATIAL_MAX],
    /// What the encoder aims at for each layer with all that it needs, in bits per second; 0: not told.
    aims: [[u32; TEMPORAL_MAX]; SPATIAL_MAX],
    /// What the encoder works on; `None`: it does not tell.
    encoded: Option<LayerSet>,
}

impl Layout {
    /// `true` when that is news.
    pub fn set_streams(&mut self, streams: usize) -> bool {
        let streams = streams.min(SPATIAL_MAX) as u8;
        std::mem::replace(&mut self.streams, streams) != streams
    }

    /// Its spatial layers come in one stream each.
    pub const fn is_simulcast(&self) -> bool {
        self.streams > 1
    }

    /// A layer that there is, whether it is sent or not.
    pub fn has(&self, spatial: u8) -> bool {
        let encoded = self.encoded.is_some_and(|encoded| !encoded.within(LayerSet::row(spatial)).is_empty());
        encoded || self.size(spatial).is_some() || self.is_simulcast() && spatial < self.streams
    }

    pub fn size(&self, spatial: u8) -> Option<(u16, u16)> {
        self.sizes.get(usize::from(spatial)).copied().flatten()
    }

    /// A keyframe of the stream of rank `stream` names the size of one of its spatial layers; of simulcast each stream counts as one layer.
    pub fn set_size(&mut self, stream: u8, spatial: u8, size: (u16, u16)) {
        let spatial = if self.is_simulcast() { 0 } else { usize::from(spatial) };
        if let Some(place) = self.sizes.get_mut(usize::from(stream) + spatial) {
            *place = Some(size);
        }
    }

    /// What the encoder aims at; 0: not known.
    pub fn aim_bps(&self, layer: LayerId) -> u32 {
        let aims = self.aims.get(usize::from(layer.spatial));
        aims.and_then(|aims| aims.get(usize::from(layer.temporal))).copied().unwrap_or(0)
    }

    /// What all of a spatial layer takes, by its encoder's aim; 0: not known.
    pub fn aim_of_row_bps(&self, spatial: u8) -> u32 {
        self.aims.get(usize::from(spatial)).map_or(0, |aims| aims.iter().copied().max().unwrap_or(0))
    }

    /// The encoder says that it does not work on this layer.
    pub fn is_left_out(&self, layer: LayerId) -> bool {
        self.encoded.is_some_and(|encoded| !encoded.contains(layer))
    }

    /// Takes over what the encoder tells. Sizes and aims of what it does not work on now are remembered.
    pub fn take_allocation(&mut self, allocation: &Allocation) {
        let mut encoded = LayerSet::NONE;
        let simulcast = self.is_simulcast();
        for (stream, spatial, layer) in allocation.encoded() {
            let place = if simulcast { stream } else { stream + spatial };
            let Some(aims) = self.aims.get_mut(place) else { continue };
            let again = !encoded.within(LayerSet::row(place as u8)).is_empty();
            for (temporal, aim) in aims.iter_mut().enumerate() {
                let told = layer.kbps.get(temporal).filter(|_| temporal < usize::from(layer.temporals));
                let bps = told.map_or(0, |kbps| kbps.saturating_mul(1000));
                // Spatial layers within a stream of simulcast are not told apart.
                *aim = if again { (*aim).max(bps) } else { bps };
                if told.is_some() {
                    encoded = encoded.and(LayerSet::only(LayerId::new(place as u8, temporal as u8)));
                }
            }
            let side = |pixels: u32| u16::try_from(pixels).unwrap_or(u16::MAX);
            if let (Some(picture), Some(size)) = (layer.picture, self.sizes.get_mut(place)) {
                *size = Some((side(picture.width), side(picture.height)));
            }
        }
        self.encoded = Some(encoded);
    }

    /// The publisher is gone: what its encoder told holds no longer; what its SDP says may.
    pub fn forget(&mut self) {
        *self = Self { streams: self.streams, ..Self::default() };
    }
}

#[cfg(test)]
mod tests {
    use pointsman_wire::payload::video_layers_allocation::{Layer, Picture};

    use super::*;

    fn layer(kbps: [u32; 4], temporals: u8, width: u32) -> Option<Layer> {
        let picture = (width > 0).then_some(Picture { width, height: width / 2, frames_per_second: 30 });
        Some(Layer { temporals, kbps, picture })
    }

    #[test]
    fn streams_of_the_sdp_are_layers_before_they_are_seen() {
        let mut layout = Layout::default();
        assert!(!layout.has(0));
        assert!(layout.set_streams(3) && !layout.set_streams(3));
        assert_eq!([0, 1, 2, 3].map(|spatial| layout.has(spatial)), [true, true, true, false]);
        assert_eq!((layout.size(1), layout.aim_of_row_bps(1)), (None, 0));
        layout.set_size(1, 0, (480, 270));
        assert_eq!(layout.size(1), Some((480, 270)));
        layout.forget();
        assert!(layout.has(2) && layout.size(1).is_none());
        // One stream says nothing of layers.
        layout.set_streams(1);
        assert!(!layout.has(0));
    }

    #[test]
    fn an_allocation_tells_rates_and_sizes_that_are_remembered() {
        let mut layout = Layout::default();
        layout.set_streams(3);
        let mut allocation = Allocation::default();
        allocation.layers[0][0] = layer([50, 100, 0, 0], 2, 240);
        allocation.layers[2][0] = layer([1500, 0, 0, 0], 1, 960);
        assert!(!layout.is_left_out(LayerId::new(1, 0)), "nothing was told yet");
        layout.take_allocation(&allocation);
        assert_eq!([0, 1, 2].map(|spatial| layout.aim_of_row_bps(spatial)), [100_000, 0, 1_500_000]);
        assert_eq!((layout.aim_bps(LayerId::new(0, 0)), layout.aim_bps(LayerId::new(0, 2))), (50_000, 0));
        assert_eq!((layout.size(0), layout.size(1), layout.size(2)), (Some((240, 120)), None, Some((960, 480))));
        assert!(layout.is_left_out(LayerId::new(1, 0)) && !layout.is_left_out(LayerId::new(0, 1)));
        allocation.layers[2][0] = None;
        layout.take_allocation(&allocation);
        assert!(layout.is_left_out(LayerId::new(2, 0)));
        assert_eq!((layout.aim_of_row_bps(2), layout.size(2)), (1_500_000, Some((960, 480))), "as it was");
        assert!(layout.has(1), "the SDP names it");
    }

    #[test]
    fn spatial_layers_of_one_stream_have_their_own_places() {
        let mut layout = Layout::default();
        let mut allocation = Allocation::default();
        for spatial in 0..3 {
            let kbps = 100 << spatial;
            allocation.layers[0][spatial] = layer([kbps, 2 * kbps, 0, 0], 2, 320 << spatial);
        }
        layout.take_allocation(&allocation);
        assert_eq!([0, 1, 2, 3].map(|spatial| layout.has(spatial)), [true, true, true, false]);
        assert_eq!((layout.size(2), layout.aim_bps(LayerId::new(2, 1))), (Some((1280, 640)), 800_000));
        // In simulcast they count as one.
        let mut simulcast = Layout::default();
        simulcast.set_streams(2);
        simulcast.take_allocation(&allocation);
        assert_eq!((simulcast.size(0), simulcast.aim_of_row_bps(0), simulcast.size(1)), (Some((1280, 640)), 800_000, None));
    }
}

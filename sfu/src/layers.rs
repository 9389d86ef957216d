//! Sets of layers, and what each layer takes.

use std::time::{Duration, Instant};

use crate::{Facts, LayerId};

/// Layers of one publication that are told apart; what is beyond counts as the last.
pub const SPATIAL_MAX: usize = 4;
pub const TEMPORAL_MAX: usize = 4;

/// Any of a publication's layers: one bit each, the lowest layer's first.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LayerSet(u16);

impl LayerSet {
    pub const NONE: Self = Self(0);
    pub const ALL: Self = Self(u16::MAX);

    pub fn only(layer: LayerId) -> Self {
        Self(1 << index(layer))
    }

    /// Every layer that is at least `layer` in both respects: those that are made with it, when each layer needs the ones below.
    pub fn upward(layer: LayerId) -> Self {
        let LayerId { spatial, temporal } = bounded(layer);
        let row = 0xF << temporal & 0xF;
        Self(0x1111_u16.wrapping_mul(row) & u16::MAX << (4 * spatial))
    }

    /// Every layer that is at most `layer` in both respects.
    pub fn downward(layer: LayerId) -> Self {
        let LayerId { spatial, temporal } = bounded(layer);
        let row = 0xF >> (3 - temporal);
        Self(0x1111_u16.wrapping_mul(row) & u16::MAX >> (12 - 4 * spatial))
    }

    /// All temporal layers of one spatial layer.
    pub fn row(spatial: u8) -> Self {
        Self(0xF << (4 * spatial.min(3)))
    }

    pub fn contains(self, layer: LayerId) -> bool {
        self.0 & Self::only(layer).0 != 0
    }

    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn within(self, other: Self) -> Self {
        Self(self.0 & other.0)
    }

    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// The greatest: the spatial part counts first.
    pub fn highest(self) -> Option<LayerId> {
        let at = 15_u32.checked_sub(self.0.leading_zeros())?;
        Some(layer_at(at))
    }

    /// From the lowest.
    pub fn iter(self) -> impl Iterator<Item = LayerId> {
        let mut left = self.0;
        std::iter::from_fn(move || {
            let at = left.trailing_zeros();
            left &= left.wrapping_sub(1);
            (at < 16).then(|| layer_at(at))
        })
    }

    /// As layers of a stream that has no spatial ones: whatever a spatial layer has, the stream has.
    pub const fn flat(self) -> Self {
        Self((self.0 | self.0 >> 4 | self.0 >> 8 | self.0 >> 12) & 0xF)
    }

    /// The layers of the stream of rank `stream` among the publication's.
    pub fn of_stream(self, stream: u8) -> Self {
        Self(self.0 << (4 * stream.min(3)))
    }
}

fn bounded(layer: LayerId) -> LayerId {
    LayerId { spatial: layer.spatial.min(SPATIAL_MAX as u8 - 1), temporal: layer.temporal.min(TEMPORAL_MAX as u8 - 1) }
}

fn index(layer: LayerId) -> u32 {
    let LayerId { spatial, temporal } = bounded(layer);
    u32::from(spatial * 4 + temporal)
}

fn layer_at(index: u32) -> LayerId {
    LayerId { spatial: index as u8 / 4, temporal: index as u8 % 4 }
}

/// What each layer of a publication takes, measured over about the last second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Rates {
    active: LayerSet,
    bps: [u32; SPATIAL_MAX * TEMPORAL_MAX],
}

impl Rates {
    /// Layers that the publisher sent lately.
    pub const fn active(&self) -> LayerSet {
        self.active
    }

    /// Bits per second of everything that a receiver of this layer gets, RTP headers left out; `None` when it is not sent now.
    pub fn of(&self, layer: LayerId) -> Option<u32> {
        self.active.contains(layer).then(|| self.bps[index(layer) as usize])
    }
}

/// Counts a publication's bytes by layer.
#[derive(Clone, Debug)]
pub struct Meter {
    bytes: [u32; SPATIAL_MAX * TEMPORAL_MAX],
    since: Option<Instant>,
    /// Windows before this one, the oldest overwritten next.
    windows: [Window; WINDOWS],
    next: usize,
    /// When each layer's own frames were seen last.
    seen: [Option<Instant>; SPATIAL_MAX * TEMPORAL_MAX],
    rates: Rates,
}

#[derive(Clone, Copy, Debug, Default)]
struct Window {
    bytes: [u32; SPATIAL_MAX * TEMPORAL_MAX],
    took: Duration,
}

/// Windows that make up about a second at the default interval of looks.
const WINDOWS: usize = 4;

impl Meter {
    pub fn new() -> Self {
        Self {
            bytes: [0; SPATIAL_MAX * TEMPORAL_MAX],
            since: None,
            windows: [Window::default(); WINDOWS],
            next: 0,
            seen: [None; SPATIAL_MAX * TEMPORAL_MAX],
            rates: Rates::default(),
        }
    }

    /// A packet of the stream of rank `stream`.
    pub fn count(&mut self, now: Instant, stream: u8, facts: &Facts) {
        self.since.get_or_insert(now);
        let frame = &facts.frame;
        let own = LayerId { spatial: stream + frame.spatial, temporal: frame.temporal };
        self.seen[index(own) as usize] = Some(now);
        self.rates.active = self.rates.active.and(LayerSet::only(own));
        for layer in frame.present.of_stream(stream).iter() {
            self.bytes[index(layer) as usize] += u32::from(facts.payload.len);
        }
    }

    /// Ends a window, and marks each layer that has been silent for as long as `silence` says.
    pub fn look(&mut self, now: Instant, silence: impl Fn(LayerId) -> Duration) {
        let Some(since) = self.since.replace(now) else { return };
        self.windows[self.next] = Window { bytes: std::mem::take(&mut self.bytes), took: now.saturating_duration_since(since) };
        self.next = (self.next + 1) % WINDOWS;
        let took: Duration = self.windows.iter().map(|window| window.took).sum();
        for (at, bps) in self.rates.bps.iter_mut().enumerate() {
            let bytes: u64 = self.windows.iter().map(|window| u64::from(window.bytes[at])).sum();
            *bps = (bytes * 8_000_000).checked_div(took.as_micros() as u64).map_or(0, |bps| u32::try_from(bps).unwrap_or(u32::MAX));
        }
        for (at, seen) in self.seen.iter().enumerate() {
            let layer = layer_at(at as u32);
            if seen.is_none_or(|seen| now.saturating_duration_since(seen) >= silence(layer)) {
                self.rates.active = self.rates.active.without(LayerSet::only(layer));
            }
        }
    }

    pub const fn rates(&self) -> &Rates {
        &self.rates
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layers(set: LayerSet) -> Vec<(u8, u8)> {
        set.iter().map(|it| (it.spatial, it.temporal)).collect()
    }

    #[test]
    fn sets_are_what_their_names_say() {
        let all = || (0..4_u8).flat_map(|spatial| (0..4_u8).map(move |temporal| (spatial, temporal)));
        for (spatial, temporal) in all() {
            let layer = LayerId { spatial, temporal };
            assert_eq!(layers(LayerSet::only(layer)), [(spatial, temporal)]);
            let up: Vec<_> = all().filter(|it| it.0 >= spatial && it.1 >= temporal).collect();
            assert_eq!(layers(LayerSet::upward(layer)), up);
            let down: Vec<_> = all().filter(|it| it.0 <= spatial && it.1 <= temporal).collect();
            assert_eq!(layers(LayerSet::downward(layer)), down);
            assert_eq!(LayerSet::downward(layer).highest(), Some(layer));
        }
        assert_eq!(LayerSet::downward(LayerId::HIGHEST), LayerSet::ALL);
        assert_eq!(LayerSet::NONE.highest(), None);
        assert_eq!(layers(LayerSet::upward(LayerId::new(2, 1)).flat()), [(0, 1), (0, 2), (0, 3)]);
        assert_eq!(layers(LayerSet::only(LayerId::new(0, 1)).of_stream(2)), [(2, 1)]);
    }
}

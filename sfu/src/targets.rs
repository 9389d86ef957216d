//! Decode targets of a stream that has dependency descriptors: which of them a subscriber has that is sent some of its layers only.

use pointsman_wire::payload::dependency_descriptor::{self as descriptor, DECODE_TARGETS_MAX};

use crate::{Facts, LayerId};

const MAX: usize = DECODE_TARGETS_MAX as usize;

/// From the stream's newest structure. Read on every shard, since structures are rare.
#[derive(Clone, Debug)]
pub struct Targets {
    /// The first packet for which this holds.
    since: u64,
    count: u8,
    layers: [LayerId; MAX],
    /// What whoever gets a target has beside it, one bit each.
    served: [u32; MAX],
    /// What the encoder says is active.
    active: u32,
}

impl Targets {
    pub const NONE: Self = Self { since: u64::MAX, count: 0, layers: [LayerId::new(0, 0); MAX], served: [0; MAX], active: 0 };

    /// The newest packet of the stream came. A stream of simulcast is `flat`: it has no spatial layers of its own.
    pub fn note(&mut self, facts: &Facts, packet: &[u8], flat: bool) {
        let value = facts.carried.dependency_descriptor.of(packet);
        if !descriptor::tells_active_targets(value) {
            return;
        }
        if let Some(structure) = descriptor::structure(value) {
            *self = Self { since: facts.sequence, count: structure.decode_targets(), ..Self::NONE };
            for target in 0..self.count {
                let (spatial, temporal) = structure.layers_of(target).unwrap_or_default();
                self.layers[usize::from(target)] = LayerId { spatial: if flat { 0 } else { spatial }, temporal: temporal.min(3) };
                self.served[usize::from(target)] = structure.served_with(target);
            }
        }
        if let Some(active) = descriptor::active_targets(value, self.count) {
            self.active = active;
        }
    }

    /// How many there are when a packet belongs to this structure.
    pub fn count(&self, sequence: u64) -> Option<u8> {
        (sequence >= self.since && self.count > 0).then_some(self.count)
    }

    /// What is active for whoever is sent `within`; 0: not known.
    pub fn of(&self, within: LayerId) -> u32 {
        let layers = self.layers.iter().take(usize::from(self.count)).enumerate();
        let below = layers.filter(|(_, layer)| layer.spatial <= within.spatial && layer.temporal <= within.temporal);
        below.max_by_key(|(_, layer)| **layer).map_or(0, |(target, _)| self.served[target] & self.active)
    }
}

//! Packets that wait for the end of the turn: one list for the whole shard, whose memory is taken at the start.

use crate::{Facts, PacketRef};

/// The turn's packets, in the order of their arrival, chained by publication.
#[derive(Debug)]
pub struct Gathered {
    packets: Vec<Fresh>,
}

/// A packet that waits to be forwarded.
#[derive(Debug)]
pub struct Fresh {
    pub layer: u8,
    pub facts: Facts,
    pub packet: PacketRef,
    /// Place of the same publication's next one.
    next: u32,
}

/// One publication's packets.
#[derive(Clone, Copy, Debug)]
pub struct Chain {
    first: u32,
    last: u32,
}

const NONE: u32 = u32::MAX;

impl Chain {
    pub const EMPTY: Self = Self { first: NONE, last: NONE };
}

impl Gathered {
    pub fn new(gathered_max: usize) -> Self {
        Self { packets: Vec::with_capacity(gathered_max) }
    }

    pub fn len(&self) -> usize {
        self.packets.len()
    }

    pub fn push(&mut self, chain: &mut Chain, layer: u8, facts: Facts, packet: PacketRef) {
        let at = self.packets.len() as u32;
        match self.packets.get_mut(chain.last as usize) {
            Some(last) => last.next = at,
            None => chain.first = at,
        }
        chain.last = at;
        self.packets.push(Fresh { layer, facts, packet, next: NONE });
    }

    /// A packet that belongs to no chain, for one subscriber alone; its place, unless there is no room.
    pub fn push_alone(&mut self, layer: u8, facts: Facts, packet: PacketRef) -> Option<u32> {
        let at = self.packets.len();
        (at < self.packets.capacity()).then(|| self.packets.push(Fresh { layer, facts, packet, next: NONE }))?;
        Some(at as u32)
    }

    pub fn get(&self, at: u32) -> Option<&Fresh> {
        self.packets.get(at as usize)
    }

    /// A publication's packets with their places.
    pub fn of(&self, chain: Chain) -> impl Iterator<Item = (u32, &Fresh)> {
        let mut at = chain.first;
        std::iter::from_fn(move || {
            let fresh = self.get(at)?;
            Some((std::mem::replace(&mut at, fresh.next), fresh))
        })
    }

    /// Lets go of all packets; every chain must become [`Chain::EMPTY`].
    pub fn clear(&mut self) {
        self.packets.clear();
    }
}

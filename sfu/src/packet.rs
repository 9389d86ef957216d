//! Decrypted packets, written once and shared by reference between the publications, caches and shards that need them.

use std::sync::Arc;

/// Longest RTP packet that is forwarded, in bytes. Browsers stay under 1,200 and jumbo frames do not survive the internet.
pub const PACKET_LEN_MAX: usize = 1500;

/// One decrypted RTP packet: header, extensions, payload, without padding.
#[derive(Debug)]
pub struct PacketBuf {
    bytes: [u8; PACKET_LEN_MAX],
    len: u16,
}

impl PacketBuf {
    pub fn bytes(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    /// The whole space, to be filled; `set_len` says how much of it counts.
    pub fn space(&mut self) -> &mut [u8; PACKET_LEN_MAX] {
        &mut self.bytes
    }

    pub fn set_len(&mut self, len: usize) {
        self.len = len.min(PACKET_LEN_MAX) as u16;
    }
}

/// A shared packet. Cloning is one atomic increment; the space returns to its pool when the last holder drops it.
pub type PacketRef = Arc<PacketBuf>;

/// A shard's packets. Grows in steps up to its maximum, then refuses: taking one never allocates in steady state.
#[derive(Debug)]
pub struct PacketPool {
    slots: Vec<PacketRef>,
    next: usize,
    slots_max: usize,
}

impl PacketPool {
    /// Slots added at a time.
    const STEP: usize = 1024;
    /// Slots looked at before growing: packets are freed roughly in the order in which they were taken.
    const LOOK: usize = 16;

    pub fn new(slots_max: usize) -> Self {
        let mut pool = Self { slots: Vec::with_capacity(slots_max), next: 0, slots_max };
        pool.grow();
        pool
    }

    /// Fills a free slot with `fill` (which returns the length, or `None` to give the slot back) and hands out a reference.
    /// `None` also when every slot is held: the caller drops the packet by name.
    pub fn take(&mut self, fill: impl FnOnce(&mut PacketBuf) -> Option<usize>) -> Option<PacketRef> {
        let at = self.free()?;
        let slot = &mut self.slots[at];
        let packet = Arc::get_mut(slot)?;
        let len = fill(packet)?;
        packet.set_len(len);
        self.next = at + 1;
        Some(Arc::clone(slot))
    }

    fn free(&mut self) -> Option<usize> {
        let len = self.slots.len();
        for look in 0..Self::LOOK.min(len) {
            let at = (self.next + look) % len;
            if Arc::strong_count(&self.slots[at]) == 1 {
                return Some(at);
            }
        }
        if len < self.slots_max {
            self.grow();
            return Some(len);
        }
        (0..len).map(|look| (self.next + look) % len).find(|&at| Arc::strong_count(&self.slots[at]) == 1)
    }

    fn grow(&mut self) {
        let step = Self::STEP.min(self.slots_max - self.slots.len());
        for _ in 0..step {
            self.slots.push(Arc::new(PacketBuf { bytes: [0; PACKET_LEN_MAX], len: 0 }));
        }
    }
}

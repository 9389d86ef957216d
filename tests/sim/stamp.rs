//! What a model publisher writes into each payload, so that a subscriber knows the truth about what it got.

/// A video packet: which part of which frame of which layer it is, and what that frame refers to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    pub publication: u32,
    pub layer: u8,
    /// Of the layer, from 1.
    pub frame: u32,
    pub temporal: u8,
    pub key: bool,
    /// Place of the packet in its frame, and how many there are.
    pub index: u8,
    pub count: u8,
    /// Frames of the layer that this one refers to; 0: none.
    pub references: [u32; 2],
    /// When it was captured, in µs of the simulation.
    pub captured_us: u64,
    /// Of the whole payload.
    pub len: u16,
}

pub const LEN: usize = 32;

impl Stamp {
    pub fn to_bytes(self) -> [u8; LEN] {
        let mut bytes = [0; LEN];
        bytes[0..4].copy_from_slice(&self.publication.to_be_bytes());
        bytes[4..8].copy_from_slice(&[self.layer, self.temporal | u8::from(self.key) << 7, self.index, self.count]);
        bytes[8..12].copy_from_slice(&self.frame.to_be_bytes());
        bytes[12..16].copy_from_slice(&self.references[0].to_be_bytes());
        bytes[16..20].copy_from_slice(&self.references[1].to_be_bytes());
        bytes[20..28].copy_from_slice(&self.captured_us.to_be_bytes());
        bytes[28..30].copy_from_slice(&self.len.to_be_bytes());
        let sum = sum(&bytes[..30]);
        bytes[30..32].copy_from_slice(&sum.to_be_bytes());
        bytes
    }

    /// `None` when it was changed on the way.
    pub fn parse(bytes: &[u8]) -> Option<Self> {
        let bytes: &[u8; LEN] = bytes.first_chunk()?;
        let word = |at: usize| u32::from_be_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
        (sum(&bytes[..30]).to_be_bytes() == bytes[30..32]).then_some(Self {
            publication: word(0),
            layer: bytes[4],
            temporal: bytes[5] & 0x7F,
            key: bytes[5] & 0x80 != 0,
            index: bytes[6],
            count: bytes[7],
            frame: word(8),
            references: [word(12), word(16)],
            captured_us: u64::from(word(20)) << 32 | u64::from(word(24)),
            len: u16::from_be_bytes([bytes[28], bytes[29]]),
        })
    }

    /// What no two packets share.
    pub fn id(&self) -> u64 {
        u64::from(self.publication) << 48 | u64::from(self.layer) << 40 | u64::from(self.frame) << 8 | u64::from(self.index)
    }

    pub fn same_frame(&self, other: &Self) -> bool {
        self.id() >> 8 == other.id() >> 8
    }

    pub fn same_layer(&self, other: &Self) -> bool {
        (self.publication, self.layer) == (other.publication, other.layer)
    }

    pub fn is_last(&self) -> bool {
        self.index + 1 == self.count
    }
}

fn sum(bytes: &[u8]) -> u16 {
    bytes.iter().fold(7, |sum: u16, &byte| sum.rotate_left(3) ^ u16::from(byte))
}

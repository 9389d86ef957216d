//! The values of small header extensions. All are big-endian.

use std::time::Duration;

use crate::clock::NtpTime;

/// RFC 6464.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AudioLevel {
    /// In −dBov: 0 is the loudest, 127 is silence.
    pub level: u8,
    pub voice: bool,
}

impl AudioLevel {
    pub fn parse(value: &[u8]) -> Option<Self> {
        let first = *value.first()?;
        Some(Self { level: first & 0x7F, voice: first & 0x80 != 0 })
    }

    pub const fn to_bytes(self) -> [u8; 1] {
        [self.level & 0x7F | (self.voice as u8) << 7]
    }
}

/// When a packet was sent: seconds in 6.18 bits, so it wraps every 64 s.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbsSendTime(pub u32);

impl AbsSendTime {
    /// `time` since any epoch.
    pub fn new(time: Duration) -> Self {
        let fraction = (u64::from(time.subsec_nanos()) << 18) / 1_000_000_000;
        Self(((time.as_secs() << 18 | fraction) & 0xFF_FFFF) as u32)
    }

    pub fn parse(value: &[u8]) -> Option<Self> {
        let &[a, b, c] = value else { return None };
        Some(Self(u32::from_be_bytes([0, a, b, c])))
    }

    pub const fn to_bytes(self) -> [u8; 3] {
        let [_, a, b, c] = self.0.to_be_bytes();
        [a, b, c]
    }
}

/// Transport-wide sequence number; the longer second version (with a feedback request after it) is read too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TransportSequence(pub u16);

impl TransportSequence {
    pub fn parse(value: &[u8]) -> Option<Self> {
        value.first_chunk().map(|it| Self(u16::from_be_bytes(*it)))
    }

    pub const fn to_bytes(self) -> [u8; 2] {
        self.0.to_be_bytes()
    }
}

/// How a picture must be turned before it is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VideoOrientation {
    pub back_camera: bool,
    pub flip: bool,
    /// Quarter turns clockwise, 0..=3.
    pub rotation: u8,
}

impl VideoOrientation {
    pub fn parse(value: &[u8]) -> Option<Self> {
        let first = *value.first()?;
        Some(Self { back_camera: first & 8 != 0, flip: first & 4 != 0, rotation: first & 3 })
    }

    pub const fn to_bytes(self) -> [u8; 1] {
        [(self.back_camera as u8) << 3 | (self.flip as u8) << 2 | self.rotation & 3]
    }
}

/// How long a receiver should hold pictures back, both in units of 10 ms, 0..=4095.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PlayoutDelay {
    pub min_10ms: u16,
    pub max_10ms: u16,
}

impl PlayoutDelay {
    pub fn parse(value: &[u8]) -> Option<Self> {
        let &[a, b, c] = value else { return None };
        Some(Self { min_10ms: u16::from(a) << 4 | u16::from(b) >> 4, max_10ms: u16::from(b & 0x0F) << 8 | u16::from(c) })
    }

    pub const fn to_bytes(self) -> [u8; 3] {
        let both = (self.min_10ms as u32 & 0xFFF) << 12 | self.max_10ms as u32 & 0xFFF;
        let [_, a, b, c] = both.to_be_bytes();
        [a, b, c]
    }
}

/// When the first sample of a packet was captured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AbsCaptureTime {
    /// On the capturer's clock.
    pub captured: NtpTime,
    /// What to add for the sender's clock: signed seconds in 32.32 bits.
    pub offset: Option<i64>,
}

impl AbsCaptureTime {
    pub fn parse(value: &[u8]) -> Option<Self> {
        let (captured, rest) = value.split_first_chunk::<8>()?;
        let offset = rest.first_chunk::<8>().map(|it| i64::from_be_bytes(*it));
        Some(Self { captured: NtpTime(u64::from_be_bytes(*captured)), offset })
    }

    /// The bytes and how many of them count: 8, or 16 with an offset.
    pub fn to_bytes(self) -> ([u8; 16], usize) {
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&self.captured.0.to_be_bytes());
        let Some(offset) = self.offset else { return (bytes, 8) };
        bytes[8..].copy_from_slice(&offset.to_be_bytes());
        (bytes, 16)
    }
}

/// Reads a value as each kind; what is written again must be the same.
#[cfg(any(test, feature = "fuzz"))]
pub(super) fn fuzz(value: &[u8]) {
    if let Some(it) = AudioLevel::parse(value) {
        assert_eq!(AudioLevel::parse(&it.to_bytes()), Some(it));
    }
    if let Some(it) = AbsSendTime::parse(value) {
        assert_eq!(it.to_bytes(), value);
    }
    if let Some(it) = TransportSequence::parse(value) {
        assert_eq!(it.to_bytes(), value[..2]);
    }
    if let Some(it) = VideoOrientation::parse(value) {
        assert_eq!(VideoOrientation::parse(&it.to_bytes()), Some(it));
    }
    if let Some(it) = PlayoutDelay::parse(value) {
        assert_eq!(it.to_bytes(), value);
    }
    if let Some(it) = AbsCaptureTime::parse(value) {
        let (bytes, len) = it.to_bytes();
        assert_eq!(bytes[..len], value[..len]);
    }
}

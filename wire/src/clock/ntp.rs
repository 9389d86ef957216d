//! NTP timestamps as RTP and RTCP carry them (RFC 3550 section 4).

use std::time::Duration;

/// Seconds since 1900 in 32.32 bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NtpTime(pub u64);

impl NtpTime {
    /// Seconds from 1900 to 1970.
    const UNIX_EPOCH_S: u64 = 2_208_988_800;

    /// `unix` is the time since the Unix epoch.
    pub fn from_unix(unix: Duration) -> Self {
        let fraction = (u64::from(unix.subsec_nanos()) << 32) / 1_000_000_000;
        Self(unix.as_secs().wrapping_add(Self::UNIX_EPOCH_S) << 32 | fraction)
    }

    /// Time since the Unix epoch; the era is taken to be the one after 1970 that ends in 2036.
    pub fn to_unix(self) -> Duration {
        let seconds = (self.0 >> 32).saturating_sub(Self::UNIX_EPOCH_S);
        let nanos = ((self.0 & 0xFFFF_FFFF) * 1_000_000_000) >> 32;
        Duration::new(seconds, nanos as u32)
    }

    /// The middle 32 bits, as LSR and LRR have them: seconds in 16.16 bits.
    pub const fn middle(self) -> u32 {
        (self.0 >> 16) as u32
    }
}

/// A duration in 1/65,536 s, as DLSR and DLRR have it; at most 18 hours.
pub fn short_ntp(duration: Duration) -> u32 {
    u32::try_from((duration.as_nanos() << 16) / 1_000_000_000).unwrap_or(u32::MAX)
}

/// The duration of a number of 1/65,536 s.
pub fn from_short_ntp(units: u32) -> Duration {
    Duration::from_nanos((u64::from(units) * 1_000_000_000) >> 16)
}

//! Bounds of the estimate.

/// What an operator may say about the estimate toward each participant. Rates are in bits per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BandwidthConfig {
    /// Never less: the sound of a few people passes. At least 10,000.
    pub estimate_min_bps: u64,
    /// Before the first feedback. Nine in ten connections carry this much; probes find the rest within a second.
    pub estimate_start_bps: u64,
    /// Never more: a gallery of 49 in good quality is below it.
    pub estimate_max_bps: u64,
    /// Whether padding is sent to find out if more fits. Without it the estimate grows only while it is used up.
    pub probing: bool,
    /// Packets whose departure is remembered until feedback comes, 8 bytes each: 0.3 s at 65 Mbit/s.
    pub sent_packets_max: usize,
}

impl Default for BandwidthConfig {
    fn default() -> Self {
        Self {
            estimate_min_bps: 50_000,
            estimate_start_bps: 1_000_000,
            estimate_max_bps: 50_000_000,
            probing: true,
            sent_packets_max: 2048,
        }
    }
}

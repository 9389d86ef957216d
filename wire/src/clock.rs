//! The time that state machines are told. They never ask for it.

mod ntp;
mod wheel;

use std::time::{Duration, Instant};

pub use ntp::{NtpTime, from_short_ntp, short_ntp};
pub use wheel::Wheel;

/// The time of one turn of the loop, read once by whoever drives a state machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Now {
    /// For intervals and deadlines.
    pub mono: Instant,
    /// Since the Unix epoch, for what is compared with the outside: token expiry, NTP time in sender reports.
    pub unix: Duration,
}

//! SRTP and SRTCP (RFC 3711, RFC 7714): one [`Inbound`] and one [`Outbound`] per transport, keyed once, without allocation per packet.
//!
//! ```text
//! DTLS exporter ─► Keys::from_exporter ─► inbound master ─► Inbound: datagram → authenticated, decrypted into a pool slot
//!                                      └► outbound master ─► Outbound: header in place + head + body + padding → sealed in the arena
//! ```

mod cipher;
mod inbound;
mod keys;
mod outbound;
mod window;

#[cfg(test)]
mod tests;

pub use inbound::Inbound;
pub use keys::{Keys, MasterKey, Profile};
pub use outbound::Outbound;

/// Longest authentication tag of any profile, plus the SRTCP index: what protection adds to a packet at most, in bytes.
pub const OVERHEAD_MAX: usize = 16 + 4;

/// Why a packet was neither protected nor unprotected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SrtpError {
    /// The peer's: shorter than a header and a tag.
    Truncated,
    /// The peer's, or a stranger's: the tag does not match.
    Forged,
    /// The packet was already received, or is older than the replay window (RFC 3711 section 3.3.2).
    Replayed,
    /// The peer's: more SSRCs than `sources_max`.
    TooManySources,
    /// Ours: the output slice is too short.
    NoSpace,
    /// Ours: keying material of the wrong length, or a cipher that could not be keyed.
    Key,
    /// Ours: the SRTCP index is used up (RFC 3711 section 9.2), 2^31 packets under one key.
    Exhausted,
}

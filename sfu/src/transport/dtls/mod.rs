//! DTLS (RFC 6347, RFC 9147) as DTLS-SRTP uses it (RFC 5764): a handshake, a certificate, keying material.
//!
//! Two libraries stand behind [`Association`]. [`dimpl`] speaks 1.2 and 1.3 and is the first choice; [`rtc`] speaks 1.2 and takes
//! the RSA certificates that dimpl refuses. [`Hello`] tells which one a client needs.

mod dimpl;
mod hello;
mod identity;
mod rtc;

use std::time::Instant;

pub(super) use self::dimpl::Dimpl;
#[cfg(any(test, feature = "fuzz"))]
pub use self::hello::fuzz as fuzz_client_hello;
pub(super) use self::hello::{Hello, Progress};
pub use self::identity::{DtlsIdentity, IdentityError};
pub(super) use self::rtc::Rtc;
use crate::Fingerprint;
use crate::srtp::{Keys, Profile};

/// Longest DTLS datagram that is sent, in bytes: fits IPv6's least MTU with a TURN header around it.
pub(super) const DATAGRAM_LEN_MAX: usize = 1150;

/// One DTLS association, before and after its handshake.
pub(super) trait Association: Send {
    /// Takes one datagram in. At most one flight is computed. `Err`: the association is dead; whoever wants another makes a new one.
    fn handle_datagram(&mut self, now: Instant, datagram: &[u8]) -> Result<(), Failed>;
    fn handle_timeout(&mut self, now: Instant) -> Result<(), Failed>;
    fn poll_timeout(&self) -> Option<Instant>;
    /// Hands out everything that is due. Call after each of the above, also when it failed: an alert may be waiting.
    fn drain(&mut self, take: &mut dyn FnMut(Output<'_>));
    /// Protects application data, once connected; what comes of it is one datagram. Drain after each.
    fn send(&mut self, now: Instant, data: &[u8]) -> Result<(), Failed>;
    /// Queues close_notify.
    fn close(&mut self, now: Instant);
}

/// What an association gives out.
pub(super) enum Output<'a> {
    /// To be sent.
    Datagram(&'a [u8]),
    /// The peer's certificate; always comes before [`Output::Keys`].
    Certificate(Fingerprint),
    /// The handshake is done.
    Keys(Profile, Keys),
    /// The handshake is done, but the peer did not negotiate SRTP.
    NoKeys,
    /// Decrypted application data.
    ApplicationData(&'a [u8]),
    /// The peer's close_notify.
    Closed,
}

/// The association is dead.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failed;

/// SHA-256 of a DER certificate (RFC 8122 section 5).
pub(super) fn fingerprint(certificate: &[u8]) -> Fingerprint {
    let digest = aws_lc_rs::digest::digest(&aws_lc_rs::digest::SHA256, certificate);
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest.as_ref());
    Fingerprint(fingerprint)
}

//! Nonces that need no memory: the time, and a proof that we made it for this client at that time.
//!
//! ```text
//! | seconds since the epoch: 8 hex digits | HMAC-SHA256(seconds, features, client's address and port), 64 bits: 16 hex digits |
//! ```
//! Where features are offered that a third party must not talk the client out of, the nonce cookie and their bits stand before
//! it (RFC 8489 section 9.2): `obMatJos2` and 24 bits in base64.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use aws_lc_rs::{constant_time, hmac};

use crate::config::Secret;

const PLAIN_LEN: usize = 24;
const TIME_LEN: usize = 8;
const COOKIE: &[u8] = b"obMatJos2";
/// The bits in base64.
const BITS_LEN: usize = 4;
const LEN_MAX: usize = COOKIE.len() + BITS_LEN + PLAIN_LEN;
/// A nonce may come from a shard whose clock was read a moment later.
const AHEAD_S_MAX: u32 = 5;

/// What a challenge offers and its nonce vouches for (RFC 8489 section 18.1).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Features {
    pub(crate) password_algorithms: bool,
    pub(crate) username_anonymity: bool,
}

impl Features {
    fn is_empty(self) -> bool {
        self == Self::default()
    }

    /// Bit 0 is the leftmost one of the 24: the first base64 digit holds all that are in use.
    fn digits(self) -> [u8; BITS_LEN] {
        let first = match (self.password_algorithms, self.username_anonymity) {
            (false, false) => b'A',
            (false, true) => b'Q',
            (true, false) => b'g',
            (true, true) => b'w',
        };
        [first, b'A', b'A', b'A']
    }

    fn from_digits(digits: &[u8]) -> Option<Self> {
        let both = [false, true];
        let mut all = both.into_iter().flat_map(|p| both.map(|u| Self { password_algorithms: p, username_anonymity: u }));
        all.find(|features| features.digits() == digits)
    }
}

/// A nonce as it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Nonce {
    bytes: [u8; LEN_MAX],
    len: usize,
}

impl Nonce {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    fn push(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if let Some(slot) = self.bytes.get_mut(self.len) {
                *slot = *byte;
                self.len += 1;
            }
        }
    }
}

pub(crate) struct Nonces {
    key: hmac::Key,
    /// 0: nonces are good for ever.
    lifetime_s: u32,
}

impl Nonces {
    /// The same seed makes the same nonces, so shards with one seed accept each other's; so do servers with one secret.
    pub(crate) fn new(seed: &[u8; 32], secret: Option<&Secret>, lifetime_s: u32) -> Self {
        let from = secret.map_or(seed.as_slice(), |secret| secret.0.as_bytes());
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, from), b"nonces");
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()), lifetime_s }
    }

    pub(crate) fn make(&self, unix: Duration, client: SocketAddr, features: Features) -> Nonce {
        self.made_at(seconds(unix), client, features)
    }

    /// `None`: not ours, not this client's, or too old. Otherwise what was offered along with it.
    pub(crate) fn check(&self, unix: Duration, client: SocketAddr, nonce: &[u8]) -> Option<Features> {
        let (features, plain) = match nonce.strip_prefix(COOKIE) {
            Some(rest) => rest.split_at_checked(BITS_LEN).and_then(|(bits, plain)| Some((Features::from_digits(bits)?, plain)))?,
            None => (Features::default(), nonce),
        };
        let at = plain.get(..TIME_LEN).and_then(from_hex)?;
        let now = seconds(unix);
        let genuine = constant_time::verify_slices_are_equal(self.made_at(at, client, features).bytes(), nonce).is_ok();
        let in_time = self.lifetime_s == 0 || now.saturating_sub(at) < self.lifetime_s;
        (genuine && at <= now.saturating_add(AHEAD_S_MAX) && in_time).then_some(features)
    }

    fn made_at(&self, at: u32, client: SocketAddr, features: Features) -> Nonce {
        let mut proof = hmac::Context::with_key(&self.key);
        proof.update(&at.to_be_bytes());
        proof.update(&features.digits());
        match client.ip() {
            IpAddr::V4(ip) => proof.update(&ip.octets()),
            IpAddr::V6(ip) => proof.update(&ip.octets()),
        }
        proof.update(&client.port().to_be_bytes());
        let proof = proof.sign();
        let mut nonce = Nonce { bytes: [0; LEN_MAX], len: 0 };
        if !features.is_empty() {
            nonce.push(COOKIE);
            nonce.push(&features.digits());
        }
        let plain = at.to_be_bytes().into_iter().chain(proof.as_ref().iter().copied());
        plain.take(PLAIN_LEN / 2).for_each(|byte| nonce.push(&hex(byte)));
        nonce
    }
}

fn seconds(unix: Duration) -> u32 {
    u32::try_from(unix.as_secs()).unwrap_or(u32::MAX)
}

fn hex(byte: u8) -> [u8; 2] {
    let digit = |n: u8| if n < 10 { b'0' + n } else { b'a' + n - 10 };
    [digit(byte >> 4), digit(byte & 0xF)]
}

fn from_hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0u32, |value, digit| Some((value << 4) | char::from(*digit).to_digit(16)?))
}

#[cfg(test)]
mod tests;

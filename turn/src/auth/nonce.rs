//! Nonces that need no memory: the time, and a proof that we made it for this client at that time.
//!
//! ```text
//! | seconds since the epoch: 8 hex digits | HMAC-SHA256(seconds, client's address and port), 64 bits: 16 hex digits |
//! ```

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use aws_lc_rs::{constant_time, hmac};

pub(crate) const LEN: usize = 24;
const TIME_LEN: usize = 8;
/// A nonce may come from a shard whose clock was read a moment later.
const AHEAD_S_MAX: u32 = 5;

pub(crate) struct Nonces {
    key: hmac::Key,
    lifetime_s: u32,
}

impl Nonces {
    /// The same seed makes the same nonces, so shards with one seed accept each other's.
    pub(crate) fn new(seed: &[u8; 32], lifetime_s: u32) -> Self {
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, seed), b"nonces");
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()), lifetime_s }
    }

    pub(crate) fn make(&self, unix: Duration, client: SocketAddr) -> [u8; LEN] {
        self.made_at(seconds(unix), client)
    }

    pub(crate) fn is_good(&self, unix: Duration, client: SocketAddr, nonce: &[u8]) -> bool {
        let Some(at) = nonce.get(..TIME_LEN).and_then(from_hex) else { return false };
        let now = seconds(unix);
        let genuine = constant_time::verify_slices_are_equal(&self.made_at(at, client), nonce).is_ok();
        genuine && at <= now.saturating_add(AHEAD_S_MAX) && now.saturating_sub(at) < self.lifetime_s
    }

    fn made_at(&self, at: u32, client: SocketAddr) -> [u8; LEN] {
        let mut proof = hmac::Context::with_key(&self.key);
        proof.update(&at.to_be_bytes());
        match client.ip() {
            IpAddr::V4(ip) => proof.update(&ip.octets()),
            IpAddr::V6(ip) => proof.update(&ip.octets()),
        }
        proof.update(&client.port().to_be_bytes());
        let proof = proof.sign();
        let mut nonce = [0; LEN];
        let bytes = at.to_be_bytes().into_iter().chain(proof.as_ref().iter().copied());
        for (pair, byte) in nonce.as_chunks_mut().0.iter_mut().zip(bytes) {
            *pair = hex(byte);
        }
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
mod tests {
    use super::*;

    const T: Duration = Duration::from_secs(1_800_000_000);

    #[test]
    fn good_for_its_client_and_its_time_only() {
        let nonces = Nonces::new(&[7; 32], 600);
        let client = "192.0.2.1:1000".parse().unwrap();
        let nonce = nonces.make(T, client);
        assert!(nonces.is_good(T, client, &nonce));
        assert!(nonces.is_good(T + Duration::from_secs(599), client, &nonce));
        assert!(!nonces.is_good(T + Duration::from_secs(600), client, &nonce));
        assert!(!nonces.is_good(T - Duration::from_secs(6), client, &nonce));
        assert!(!nonces.is_good(T, "192.0.2.1:1001".parse().unwrap(), &nonce));
        assert!(!nonces.is_good(T, "192.0.2.2:1000".parse().unwrap(), &nonce));
        assert!(!nonces.is_good(T, "[2001:db8::1]:1000".parse().unwrap(), &nonce));
        assert!(!Nonces::new(&[8; 32], 600).is_good(T, client, &nonce));
        assert!(Nonces::new(&[7; 32], 600).is_good(T, client, &nonce));
    }

    #[test]
    fn no_changed_byte_passes() {
        let nonces = Nonces::new(&[7; 32], 600);
        let client = "192.0.2.1:1000".parse().unwrap();
        let nonce = nonces.make(T, client);
        for at in 0..LEN {
            let mut changed = nonce;
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            assert!(!nonces.is_good(T, client, &changed), "byte {at}");
            assert!(!nonces.is_good(T, client, &nonce[..at]));
        }
        assert!(!nonces.is_good(T, client, &[&nonce[..], b"0"].concat()));
    }
}

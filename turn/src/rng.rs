//! Unpredictable numbers from the seed given at construction: HMAC-SHA256 in counter mode.

use aws_lc_rs::hmac;

pub(crate) struct Rng {
    key: hmac::Key,
    counter: u64,
}

/// Hides a byte among random ones: who does not have the seed cannot tell it from another random byte.
pub(crate) struct Masks(hmac::Key);

impl Masks {
    pub(crate) fn new(seed: &[u8; 32]) -> Self {
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, seed), b"masks");
        Self(hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()))
    }

    pub(crate) fn mask(&self, random: [u8; 3]) -> u8 {
        hmac::sign(&self.0, &random).as_ref().first().copied().unwrap_or(0)
    }
}

impl Rng {
    /// The same seed and purpose give the same numbers; other purposes of one seed are unrelated.
    pub(crate) fn new(seed: &[u8; 32], purpose: &[u8]) -> Self {
        let key = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, seed), purpose);
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, key.as_ref()), counter: 0 }
    }

    pub(crate) fn bytes<const N: usize>(&mut self) -> [u8; N] {
        const { assert!(N <= 32, "one block") };
        self.counter += 1;
        let block = hmac::sign(&self.key, &self.counter.to_be_bytes());
        let mut bytes = [0; N];
        bytes.copy_from_slice(&block.as_ref()[..N]);
        bytes
    }
}

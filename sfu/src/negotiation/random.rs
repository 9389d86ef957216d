//! Credentials, SSRCs and ids from one secret seed: HMAC-SHA256 in counter mode. What peers see of it (SSRCs, msids) tells nothing
//! about the rest (the ICE password).

use aws_lc_rs::hmac;

use crate::IceCredentials;

#[derive(Clone)]
pub(super) struct Random {
    key: hmac::Key,
    counter: u64,
}

impl std::fmt::Debug for Random {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Random").finish_non_exhaustive()
    }
}

impl Random {
    const LETTERS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

    pub(super) fn new(seed: [u8; 32]) -> Self {
        Self { key: hmac::Key::new(hmac::HMAC_SHA256, &seed), counter: 0 }
    }

    fn block(&mut self) -> [u8; 32] {
        self.counter += 1;
        let mut block = [0; 32];
        block.copy_from_slice(hmac::sign(&self.key, &self.counter.to_be_bytes()).as_ref());
        block
    }

    pub(super) fn number(&mut self) -> u64 {
        let block = self.block();
        block.iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// Six bits a letter, of ice-char's alphabet (RFC 8839 section 5.1); at most 32 letters.
    pub(super) fn letters(&mut self, count: usize) -> String {
        let block = self.block();
        block.iter().take(count).map(|byte| char::from(Self::LETTERS[usize::from(byte & 63)])).collect()
    }

    /// RFC 8445 section 5.3 asks for 24 and 128 bits; these have 72 and 144.
    pub(super) fn credentials(&mut self) -> IceCredentials {
        IceCredentials { ufrag: self.letters(12), pwd: self.letters(24) }
    }
}

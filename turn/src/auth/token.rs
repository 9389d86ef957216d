//! Self-contained tokens of an authorization server (RFC 7635 section 6.2).
//!
//! ```text
//! | nonce length (16) | nonce | sealed: key length (16) | key | timestamp (64) | lifetime (32) | tag (128) |
//! ```
//! Sealed with AES-GCM under a key shared with that server; the name of this server is authenticated along.

use std::time::Duration;

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};

use super::key::LongTermKey;
use crate::realms::{OauthKey, TokenAlgorithm};

/// The longest token taken: everything in it has a length of its own that is bounded, a nonce of 12 and a key of 64 bytes.
const LEN_MAX: usize = 2 + NONCE_LEN + 2 + 64 + 8 + 4 + 16;
/// Clocks of servers may differ by so much (RFC 7635 section 9 leaves the figure open; five seconds are usual).
pub(super) const CLOCK_DELTA: Duration = Duration::from_secs(5);

/// What a genuine token says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) key: LongTermKey,
    /// When it was made, since the epoch.
    pub(super) made: Duration,
    pub(super) lifetime: Duration,
}

impl Token {
    /// When it runs out, since the epoch.
    pub(super) fn ends(&self) -> Duration {
        self.made.saturating_add(self.lifetime)
    }
}

/// A key that opens tokens.
pub(super) struct TokenKey {
    key: LessSafeKey,
    begins: Duration,
    /// `None`: it never ends.
    ends: Option<Duration>,
    /// Whose quota counts.
    pub(super) realm: Option<Box<str>>,
}

impl TokenKey {
    /// `None`: the keying material is too short for its algorithm.
    pub(super) fn new(from: &OauthKey) -> Option<Self> {
        let (algorithm, len) = match from.algorithm {
            TokenAlgorithm::A128Gcm => (&AES_128_GCM, 16),
            TokenAlgorithm::A256Gcm => (&AES_256_GCM, 32),
        };
        // As in the field, the beginning of the keying material is the key.
        let key = UnboundKey::new(algorithm, from.ikm.get(..len)?).ok()?;
        Some(Self {
            key: LessSafeKey::new(key),
            begins: from.begins,
            ends: (!from.lifetime.is_zero()).then(|| from.begins.saturating_add(from.lifetime)),
            realm: from.realm.as_deref().filter(|realm| !realm.is_empty()).map(Into::into),
        })
    }

    /// May tokens sealed with it be taken at that time?
    pub(super) fn is_valid(&self, unix: Duration) -> bool {
        self.begins <= unix.saturating_add(CLOCK_DELTA) && self.ends.is_none_or(|ends| unix < ends.saturating_add(CLOCK_DELTA))
    }

    /// Opens a token that was made for `server_name`. `None`: it is none, or was sealed by somebody else or for another server.
    pub(super) fn open(&self, token: &[u8], server_name: &[u8]) -> Option<Token> {
        if token.len() > LEN_MAX {
            return None;
        }
        let (nonce_len, rest) = token.split_first_chunk::<2>()?;
        let (nonce, sealed) = rest.split_at_checked(usize::from(u16::from_be_bytes(*nonce_len)))?;
        let mut room = [0; LEN_MAX];
        let room = room.get_mut(..sealed.len())?;
        room.copy_from_slice(sealed);
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        read(self.key.open_in_place(nonce, Aad::from(server_name), room).ok()?)
    }
}

/// What was sealed.
fn read(block: &[u8]) -> Option<Token> {
    let (key_len, rest) = block.split_first_chunk::<2>()?;
    let (key, rest) = rest.split_at_checked(usize::from(u16::from_be_bytes(*key_len)))?;
    let (made, rest) = rest.split_first_chunk::<8>()?;
    let lifetime = u32::from_be_bytes(rest.try_into().ok()?);
    // 48 bits of seconds and 16 of a fraction, which 64,000ths of a second make; whole seconds do here.
    let made = u64::from_be_bytes(*made) >> 16;
    Some(Token { key: LongTermKey::new(key)?, made: Duration::from_secs(made), lifetime: Duration::from_secs(lifetime.into()) })
}

/// Whatever a stranger sends as a token, and whatever an authorization server may seal in one.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(input: &[u8]) {
    let key = OauthKey {
        kid: "kid".to_owned(),
        ikm: vec![7; 32],
        begins: Duration::ZERO,
        lifetime: Duration::ZERO,
        algorithm: if input.first().is_some_and(|byte| byte & 1 == 1) { TokenAlgorithm::A128Gcm } else { TokenAlgorithm::A256Gcm },
        realm: None,
    };
    let Some(key) = TokenKey::new(&key) else { return };
    assert_eq!(key.open(input, b"server").map(|token| token.key), None, "nobody guesses a tag");
    if let Some(token) = read(input) {
        assert!((1..=64).contains(&token.key.bytes().len()));
        assert_eq!(input.len(), 2 + token.key.bytes().len() + 8 + 4);
        let sealed = seal(&key, &[9; NONCE_LEN], input, b"server");
        assert_eq!(key.open(&sealed, b"server"), Some(token));
        assert_eq!(key.open(&sealed, b"another"), None);
    }
}

/// What an authorization server does.
#[cfg(any(test, feature = "fuzz"))]
fn seal(key: &TokenKey, nonce: &[u8; NONCE_LEN], block: &[u8], server_name: &[u8]) -> Vec<u8> {
    let mut sealed = block.to_vec();
    let nonce_sealed = Nonce::assume_unique_for_key(*nonce);
    let done = key.key.seal_in_place_append_tag(nonce_sealed, Aad::from(server_name), &mut sealed);
    assert!(done.is_ok(), "a short block can be sealed");
    [&[0, 12], &nonce[..], &sealed].concat()
}

#[cfg(test)]
pub(crate) mod tests;

//! MESSAGE-INTEGRITY, MESSAGE-INTEGRITY-SHA256 and FINGERPRINT (RFC 8489 sections 14.5 to 14.7).

use aws_lc_rs::{constant_time, hmac};

use super::{ATTRIBUTE_HEADER_LEN, HEADER_LEN, Message};

/// A key for MESSAGE-INTEGRITY (HMAC-SHA1), set up once and used for many messages.
///
/// Short-term credentials: the password's bytes. Long-term: the 16 bytes of MD5(username ":" realm ":" password).
#[derive(Clone)]
pub struct Key(hmac::Key);

/// A key for MESSAGE-INTEGRITY-SHA256; made of the same bytes as [`Key`].
#[derive(Clone)]
pub struct KeySha256(hmac::Key);

/// Length of MESSAGE-INTEGRITY's value.
pub(super) const SHA1_LEN: usize = 20;
/// Length of MESSAGE-INTEGRITY-SHA256's value as we write it; a sender may cut it to 16.
pub(super) const SHA256_LEN: usize = 32;
const SHA256_LEN_MIN: usize = 16;
/// What FINGERPRINT's CRC is combined with, so that it differs from the CRC of protocols underneath.
const FINGERPRINT_XOR: u32 = 0x5354_554E;

impl Key {
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, bytes))
    }
}

impl KeySha256 {
    pub fn new(bytes: &[u8]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, bytes))
    }
}

// Keys are never shown.
impl std::fmt::Debug for Key {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Key")
    }
}

impl std::fmt::Debug for KeySha256 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("KeySha256")
    }
}

/// The HMAC of a message up to `at`, its length field set as if the integrity attribute (value of `value_len`) were the last one.
fn tag(key: &hmac::Key, bytes: &[u8], at: usize, value_len: usize) -> Option<hmac::Tag> {
    let length = u16::try_from(at + ATTRIBUTE_HEADER_LEN + value_len - HEADER_LEN).ok()?.to_be_bytes();
    let mut hmac = hmac::Context::with_key(key);
    hmac.update(bytes.get(..2)?);
    hmac.update(&length);
    hmac.update(bytes.get(4..at)?);
    Some(hmac.sign())
}

pub(super) fn sha1(key: &Key, bytes: &[u8], at: usize) -> Option<hmac::Tag> {
    tag(&key.0, bytes, at, SHA1_LEN)
}

pub(super) fn sha256(key: &KeySha256, bytes: &[u8], at: usize) -> Option<hmac::Tag> {
    tag(&key.0, bytes, at, SHA256_LEN)
}

/// FINGERPRINT's value over everything before the attribute; the length field must already count it.
pub(super) fn fingerprint(bytes: &[u8]) -> u32 {
    crc32fast::hash(bytes) ^ FINGERPRINT_XOR
}

impl Message<'_> {
    pub fn has_integrity(&self) -> bool {
        self.integrity_at.is_some()
    }

    pub fn has_integrity_sha256(&self) -> bool {
        self.integrity_sha256_at.is_some()
    }

    pub fn has_fingerprint(&self) -> bool {
        self.fingerprint_at.is_some()
    }

    /// Is there a MESSAGE-INTEGRITY made with `key`? Takes the same time wherever the values differ.
    pub fn verify_integrity(&self, key: &Key) -> bool {
        let Some((at, value)) = self.integrity_at.and_then(|at| Some((at, self.value_at(at)?))) else { return false };
        let Some(expected) = sha1(key, self.bytes, at) else { return false };
        constant_time::verify_slices_are_equal(expected.as_ref(), value).is_ok()
    }

    /// Is there a MESSAGE-INTEGRITY-SHA256 made with `key`? The value may be cut to a multiple of 4 from 16 (RFC 8489 section 14.6).
    pub fn verify_integrity_sha256(&self, key: &KeySha256) -> bool {
        let Some((at, value)) = self.integrity_sha256_at.and_then(|at| Some((at, self.value_at(at)?))) else { return false };
        if !(SHA256_LEN_MIN..=SHA256_LEN).contains(&value.len()) || value.len() % 4 != 0 {
            return false;
        }
        let Some(expected) = tag(&key.0, self.bytes, at, value.len()) else { return false };
        let Some(expected) = expected.as_ref().get(..value.len()) else { return false };
        constant_time::verify_slices_are_equal(expected, value).is_ok()
    }

    /// Is there a FINGERPRINT, and does it fit?
    pub fn verify_fingerprint(&self) -> bool {
        let Some((at, value)) = self.fingerprint_at.and_then(|at| Some((at, self.value_at(at)?))) else { return false };
        // FINGERPRINT is the last attribute (RFC 8489 section 14.7), so the length field counts it as it stands.
        self.bytes.len() == at + ATTRIBUTE_HEADER_LEN + 4 && self.bytes.get(..at).is_some_and(|b| value == fingerprint(b).to_be_bytes())
    }
}

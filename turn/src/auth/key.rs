//! Keys of message integrity, and how passwords become keys.

use md5::Digest;
use pointsman_wire::stun::{self, Message};

/// The longest key: that of a token (RFC 7635 section 6.2), which is an HMAC's key.
const LEN_MAX: usize = 64;

/// The key that a client's messages are protected with.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct LongTermKey {
    bytes: [u8; LEN_MAX],
    len: usize,
}

impl LongTermKey {
    /// The key of those who need none.
    pub(crate) const NONE: Self = Self { bytes: [0; LEN_MAX], len: 0 };

    /// MD5(username ":" realm ":" password) (RFC 8489 section 9.2.2).
    pub(crate) fn derive(username: &[u8], realm: &[u8], password: &[u8]) -> Self {
        let hash = md5::Md5::new().chain_update(username).chain_update(b":").chain_update(realm).chain_update(b":").chain_update(password);
        Self::from_md5(hash.finalize().into())
    }

    /// SHA-256 of the same (RFC 8489 section 18.5.1.2).
    pub(crate) fn derive_sha256(username: &[u8], realm: &[u8], password: &[u8]) -> Self {
        Self::take(&digest(&[username, b":", realm, b":", password]))
    }

    /// What a user database keeps of a password.
    pub(crate) fn from_md5(hash: [u8; 16]) -> Self {
        Self::take(&hash)
    }

    /// Any key of 1 to 64 bytes.
    pub(crate) fn new(bytes: &[u8]) -> Option<Self> {
        (1..=LEN_MAX).contains(&bytes.len()).then(|| Self::take(bytes))
    }

    fn take(bytes: &[u8]) -> Self {
        let mut key = Self::NONE;
        for (slot, byte) in key.bytes.iter_mut().zip(bytes) {
            *slot = *byte;
            key.len += 1;
        }
        key
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.len).unwrap_or_default()
    }

    pub(super) fn protects(&self, message: &Message<'_>, integrity: Integrity) -> bool {
        match integrity {
            Integrity::Sha1 => message.verify_integrity(&stun::Key::new(self.bytes())),
            Integrity::Sha256 => message.verify_integrity_sha256(&stun::KeySha256::new(self.bytes())),
            Integrity::Absent => false,
        }
    }
}

// Keys are never shown.
impl std::fmt::Debug for LongTermKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LongTermKey")
    }
}

/// Which of the two integrity attributes a client uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Integrity {
    Sha1,
    Sha256,
    /// None: requests need no credentials here.
    Absent,
}

/// How a password becomes a key (RFC 8489 section 18.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Algorithm {
    Md5,
    Sha256,
}

/// The value of PASSWORD-ALGORITHMS: what is offered, the better one first, each without parameters (RFC 8489 section 14.11).
pub(crate) const OFFERED: [u8; 8] = [0, 2, 0, 0, 0, 1, 0, 0];

impl Algorithm {
    /// Reads PASSWORD-ALGORITHM (RFC 8489 section 14.12).
    pub(super) fn read(value: &[u8]) -> Option<Self> {
        match value {
            [0, 1, 0, 0] => Some(Self::Md5),
            [0, 2, 0, 0] => Some(Self::Sha256),
            _ => None,
        }
    }
}

/// What USERHASH holds (RFC 8489 section 14.4).
pub(super) fn userhash(username: &[u8], realm: &[u8]) -> [u8; 32] {
    digest(&[username, b":", realm])
}

fn digest(parts: &[&[u8]]) -> [u8; 32] {
    let mut hash = aws_lc_rs::digest::Context::new(&aws_lc_rs::digest::SHA256);
    parts.iter().for_each(|part| hash.update(part));
    let mut bytes = [0; 32];
    bytes.iter_mut().zip(hash.finish().as_ref()).for_each(|(slot, byte)| *slot = *byte);
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_of_a_known_password() {
        // RFC 8489 appendix B.1: username "\u{30DE}…", realm "example.org", password "TheMatrIX".
        let name = "\u{30DE}\u{30C8}\u{30EA}\u{30C3}\u{30AF}\u{30B9}".as_bytes();
        let hash = "4a3cf38fef6992bda952c6780417da0f24819415569e60b205c46e41407f1704";
        let hex: String = userhash(name, b"example.org").iter().map(|byte| format!("{byte:02x}")).collect();
        assert_eq!(hex, hash);
        assert_eq!(
            LongTermKey::derive(b"user", b"realm", b"pass").bytes(),
            [0x84, 0x93, 0xfb, 0xc5, 0x3b, 0xa5, 0x82, 0xfb, 0x4c, 0x04, 0x4c, 0x45, 0x6b, 0xdc, 0x40, 0xeb]
        );
        assert_eq!(LongTermKey::derive_sha256(b"user", b"realm", b"pass").bytes().len(), 32);
        assert_eq!(format!("{:?}", LongTermKey::derive(b"user", b"realm", b"pass")), "LongTermKey");
    }

    #[test]
    fn lengths() {
        assert_eq!(LongTermKey::new(b""), None);
        assert_eq!(LongTermKey::new(&[1; 65]), None);
        assert_eq!(LongTermKey::new(&[1; 64]).unwrap().bytes(), [1; 64]);
        assert_eq!(LongTermKey::new(&[1; 20]).unwrap().bytes(), [1; 20]);
    }
}

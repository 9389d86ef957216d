//! Passwords that stand sealed in configurations: base64 of AES-128 in counter mode from zero, as coturn's `turnadmin -E` writes them.
//! The same key stream for every password: what coturn does, and no more than a veil.

use std::fmt;
use std::fs;
use std::path::Path;

use aws_lc_rs::cipher::{AES_128, DecryptingKey, DecryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use crate::config::Secret;

pub const KEY_LEN: usize = 16;

/// Why a sealed password stays sealed. Shows neither it nor the key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SealError {
    KeyFile(String),
    NotSealed,
    Refused,
}

impl fmt::Display for SealError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::KeyFile(why) => f.write_str(why),
            Self::NotSealed => f.write_str("the password is not base64 of a password that this key seals"),
            Self::Refused => f.write_str("the crypto library refuses"),
        }
    }
}

impl std::error::Error for SealError {}

/// The first 16 bytes of a key file.
///
/// # Errors
/// Why it cannot be read, or that it is too short.
pub fn read_key(file: &Path) -> Result<[u8; KEY_LEN], SealError> {
    let bytes = fs::read(file).map_err(|error| SealError::KeyFile(format!("{}: {error}", file.display())))?;
    let short = || SealError::KeyFile(format!("{}: a key has {KEY_LEN} bytes", file.display()));
    bytes.first_chunk().copied().ok_or_else(short)
}

/// # Errors
/// When the crypto library refuses.
pub fn seal(key: &[u8; KEY_LEN], password: &Secret) -> Result<String, SealError> {
    Ok(BASE64.encode(stream(key, password.expose().as_bytes().to_vec())?))
}

/// # Errors
/// When the text is not base64, or what it holds is no text under this key.
pub fn open(key: &[u8; KEY_LEN], sealed: &str) -> Result<Secret, SealError> {
    let bytes = BASE64.decode(sealed.trim()).map_err(|_| SealError::NotSealed)?;
    String::from_utf8(stream(key, bytes)?).map(Secret::new).map_err(|_| SealError::NotSealed)
}

/// Both ways.
fn stream(key: &[u8; KEY_LEN], mut text: Vec<u8>) -> Result<Vec<u8>, SealError> {
    let refused = |_| SealError::Refused;
    let key = DecryptingKey::ctr(UnboundCipherKey::new(&AES_128, key).map_err(refused)?).map_err(refused)?;
    key.decrypt(&mut text, DecryptionContext::Iv128(FixedLength::from([0; 16]))).map_err(refused)?;
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seals_as_coturn_does() {
        // Made by turnadmin 4.6.1.
        let key = b"9Q2Zo7f31b9Bg3VX";
        assert_eq!(seal(key, &Secret::new("hello")).unwrap(), "KHNiZog=");
        assert_eq!(open(key, "KHNiZog=").unwrap().expose(), "hello");
        assert_eq!(open(key, "no base64"), Err(SealError::NotSealed));
        assert_eq!(open(b"another key 1234", "KHNiZog=").map(|_| ()), Err(SealError::NotSealed));
    }

    #[test]
    fn a_key_has_sixteen_bytes() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("key");
        assert!(matches!(read_key(&file), Err(SealError::KeyFile(_))));
        fs::write(&file, "too short").unwrap();
        assert!(matches!(read_key(&file), Err(SealError::KeyFile(_))));
        fs::write(&file, "9Q2Zo7f31b9Bg3VX\n").unwrap();
        assert_eq!(&read_key(&file).unwrap(), b"9Q2Zo7f31b9Bg3VX");
    }
}

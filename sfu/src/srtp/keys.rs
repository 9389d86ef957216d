//! From the DTLS exporter to session keys.

use std::fmt;

use aws_lc_rs::cipher::{AES_128, AES_256, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::iv::FixedLength;

use super::SrtpError;
use crate::DtlsRole;

/// SRTP protection profiles that we speak (RFC 5764 section 4.1.2, RFC 7714 section 14.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Profile {
    AeadAes128Gcm,
    AeadAes256Gcm,
    AesCm128HmacSha1_80,
}

impl Profile {
    /// Best first: what we offer as DTLS client, and what we choose as server where the library lets us.
    pub const PREFERENCE: [Self; 3] = [Self::AeadAes128Gcm, Self::AeadAes256Gcm, Self::AesCm128HmacSha1_80];

    /// Length of the master key and of the session encryption key, in bytes.
    pub const fn key_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AesCm128HmacSha1_80 => 16,
            Self::AeadAes256Gcm => 32,
        }
    }

    /// Length of the master salt and of the session salt, in bytes.
    pub const fn salt_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 12,
            Self::AesCm128HmacSha1_80 => 14,
        }
    }

    /// Length of the authentication tag, in bytes.
    pub const fn tag_len(self) -> usize {
        match self {
            Self::AeadAes128Gcm | Self::AeadAes256Gcm => 16,
            Self::AesCm128HmacSha1_80 => 10,
        }
    }

    /// Bytes of keying material to ask of the DTLS exporter, label `EXTRACTOR-dtls_srtp` (RFC 5764 section 4.2).
    pub const fn material_len(self) -> usize {
        2 * (self.key_len() + self.salt_len())
    }
}

/// The master keys of both directions.
pub struct Keys {
    pub inbound: MasterKey,
    pub outbound: MasterKey,
}

impl Keys {
    /// Splits what the DTLS exporter gave: client key, server key, client salt, server salt (RFC 5764 section 4.2).
    /// `role` is ours.
    pub fn from_exporter(profile: Profile, material: &[u8], role: DtlsRole) -> Result<Self, SrtpError> {
        let (key_len, salt_len) = (profile.key_len(), profile.salt_len());
        if material.len() < profile.material_len() {
            return Err(SrtpError::Key);
        }
        let (client_key, rest) = material.split_at(key_len);
        let (server_key, rest) = rest.split_at(key_len);
        let (client_salt, rest) = rest.split_at(salt_len);
        let client = MasterKey::new(profile, client_key, client_salt)?;
        let server = MasterKey::new(profile, server_key, &rest[..salt_len])?;
        Ok(match role {
            DtlsRole::Server => Self { inbound: client, outbound: server },
            DtlsRole::Client => Self { inbound: server, outbound: client },
        })
    }
}

/// Master key and master salt of one direction.
pub struct MasterKey {
    profile: Profile,
    key: [u8; 32],
    /// 96-bit salts are padded with zeros on the right (RFC 7714 section 11).
    salt: [u8; 14],
}

/// Labels of RFC 3711 section 4.3.2, from which SRTCP's differ by three.
const LABEL_ENCRYPTION: u8 = 0;
const LABEL_AUTHENTICATION: u8 = 1;
const LABEL_SALT: u8 = 2;

/// Which of the two protocols a session key is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Use {
    Rtp,
    Rtcp,
}

/// What the ciphers are keyed with.
pub(super) struct SessionKeys {
    pub(super) key: [u8; 32],
    pub(super) authentication: [u8; 20],
    pub(super) salt: [u8; 14],
}

impl MasterKey {
    pub fn new(profile: Profile, key: &[u8], salt: &[u8]) -> Result<Self, SrtpError> {
        if key.len() != profile.key_len() || salt.len() != profile.salt_len() {
            return Err(SrtpError::Key);
        }
        let mut master = Self { profile, key: [0; 32], salt: [0; 14] };
        master.key[..key.len()].copy_from_slice(key);
        master.salt[..salt.len()].copy_from_slice(salt);
        Ok(master)
    }

    pub const fn profile(&self) -> Profile {
        self.profile
    }

    /// Key derivation of RFC 3711 section 4.3 with a key derivation rate of zero.
    pub(super) fn derive(&self, usage: Use) -> Result<SessionKeys, SrtpError> {
        let offset = match usage {
            Use::Rtp => 0,
            Use::Rtcp => 3,
        };
        let key_len = self.profile.key_len();
        let algorithm = if key_len == 16 { &AES_128 } else { &AES_256 };
        let unbound = UnboundCipherKey::new(algorithm, &self.key[..key_len]).map_err(|_| SrtpError::Key)?;
        let prf = EncryptingKey::ctr(unbound).map_err(|_| SrtpError::Key)?;
        let mut keys = SessionKeys { key: [0; 32], authentication: [0; 20], salt: [0; 14] };
        self.expand(&prf, LABEL_ENCRYPTION + offset, &mut keys.key[..key_len])?;
        self.expand(&prf, LABEL_AUTHENTICATION + offset, &mut keys.authentication)?;
        self.expand(&prf, LABEL_SALT + offset, &mut keys.salt[..self.profile.salt_len()])?;
        Ok(keys)
    }

    /// `out` is zero on entry and becomes the key stream for `label`.
    fn expand(&self, prf: &EncryptingKey, label: u8, out: &mut [u8]) -> Result<(), SrtpError> {
        let mut iv = [0; 16];
        iv[..14].copy_from_slice(&self.salt);
        iv[7] ^= label;
        prf.less_safe_encrypt(out, EncryptionContext::Iv128(FixedLength::from(iv))).map_err(|_| SrtpError::Key)?;
        Ok(())
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MasterKey").field("profile", &self.profile).finish_non_exhaustive()
    }
}

impl fmt::Debug for Keys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keys").field("profile", &self.inbound.profile).finish_non_exhaustive()
    }
}

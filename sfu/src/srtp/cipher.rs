//! The two families of transforms, each keyed once: AES-GCM (RFC 7714) and AES counter mode with HMAC-SHA1 (RFC 3711 section 4).

use aws_lc_rs::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use aws_lc_rs::cipher::{AES_128, EncryptingKey, EncryptionContext, UnboundCipherKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::hmac;
use aws_lc_rs::iv::FixedLength;

use super::SrtpError;
use super::keys::{MasterKey, Profile, Use};

/// One direction's transform for one protocol, behind session keys.
#[expect(clippy::large_enum_variant, reason = "four live in a transport, and each packet would follow the box")]
pub(super) enum Cipher {
    Gcm(Gcm),
    Cm(Cm),
}

impl Cipher {
    pub(super) fn new(master: &MasterKey, usage: Use) -> Result<Self, SrtpError> {
        let keys = master.derive(usage)?;
        let [salt @ .., _, _] = keys.salt;
        Ok(match master.profile() {
            Profile::AeadAes128Gcm => Self::Gcm(Gcm::new(&AES_128_GCM, &keys.key[..16], salt)?),
            Profile::AeadAes256Gcm => Self::Gcm(Gcm::new(&AES_256_GCM, &keys.key, salt)?),
            Profile::AesCm128HmacSha1_80 => Self::Cm(Cm::new(&keys.key[..16], &keys.authentication, keys.salt)?),
        })
    }

    pub(super) const fn tag_len(&self) -> usize {
        match self {
            Self::Gcm(_) => Gcm::TAG_LEN,
            Self::Cm(_) => Cm::TAG_LEN,
        }
    }
}

pub(super) struct Gcm {
    key: LessSafeKey,
    salt: [u8; 12],
}

impl Gcm {
    pub(super) const TAG_LEN: usize = 16;

    pub(super) fn new(algorithm: &'static aws_lc_rs::aead::Algorithm, key: &[u8], salt: [u8; 12]) -> Result<Self, SrtpError> {
        let key = UnboundKey::new(algorithm, key).map_err(|_| SrtpError::Key)?;
        Ok(Self { key: LessSafeKey::new(key), salt })
    }

    /// Nonce of RFC 7714 section 8.1 (RTP: SSRC, roll-over counter and sequence number).
    pub(super) fn rtp_nonce(&self, ssrc: u32, index: u64) -> Nonce {
        self.nonce(ssrc, index)
    }

    /// Nonce of RFC 7714 section 9.1 (RTCP: SSRC and SRTCP index).
    pub(super) fn rtcp_nonce(&self, ssrc: u32, index: u32) -> Nonce {
        self.nonce(ssrc, u64::from(index))
    }

    /// Both end in a 48-bit number: the RTP index is ROC and sequence number side by side, the RTCP index has two zero bytes before it.
    fn nonce(&self, ssrc: u32, index: u64) -> Nonce {
        let mut nonce = [0; 12];
        nonce[2..6].copy_from_slice(&ssrc.to_be_bytes());
        nonce[6..12].copy_from_slice(&index.to_be_bytes()[2..]);
        for (byte, salt) in nonce.iter_mut().zip(self.salt) {
            *byte ^= salt;
        }
        Nonce::assume_unique_for_key(nonce)
    }

    /// Decrypts `sealed` (ciphertext and tag) into `out`, which is exactly as long as the plaintext.
    pub(super) fn open(&self, nonce: Nonce, aad: &[u8], sealed: &[u8], out: &mut [u8]) -> Result<(), SrtpError> {
        let (ciphertext, tag) = sealed.split_at_checked(out.len()).ok_or(SrtpError::Truncated)?;
        self.key.open_separate_gather(nonce, Aad::from(aad), ciphertext, tag, out).map_err(|_| SrtpError::Forged)
    }

    /// Encrypts `plain` into `out`, which has exactly the space for it and the tag.
    pub(super) fn seal(&self, nonce: Nonce, aad: &[u8], plain: &[u8], out: &mut [u8]) -> Result<(), SrtpError> {
        let (ciphertext, tag) = out.split_at_mut_checked(plain.len()).ok_or(SrtpError::NoSpace)?;
        self.key.seal_out_of_place_scatter(nonce, Aad::from(aad), plain, ciphertext, &[], tag).map_err(|_| SrtpError::NoSpace)
    }

    /// Encrypts what stands in `out` before the tag's space.
    pub(super) fn seal_in_place(&self, nonce: Nonce, aad: &[u8], out: &mut [u8]) -> Result<(), SrtpError> {
        let plain_len = out.len().checked_sub(Self::TAG_LEN).ok_or(SrtpError::NoSpace)?;
        let (in_out, tag) = out.split_at_mut(plain_len);
        let sealed = self.key.seal_in_place_separate_tag(nonce, Aad::from(aad), in_out).map_err(|_| SrtpError::NoSpace)?;
        tag.copy_from_slice(sealed.as_ref());
        Ok(())
    }
}

pub(super) struct Cm {
    key: EncryptingKey,
    authentication: hmac::Key,
    salt: [u8; 14],
}

impl Cm {
    pub(super) const TAG_LEN: usize = 10;

    pub(super) fn new(key: &[u8], authentication: &[u8], salt: [u8; 14]) -> Result<Self, SrtpError> {
        let key = UnboundCipherKey::new(&AES_128, key).map_err(|_| SrtpError::Key)?;
        Ok(Self {
            key: EncryptingKey::ctr(key).map_err(|_| SrtpError::Key)?,
            authentication: hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, authentication),
            salt,
        })
    }

    /// En- or decrypts in place: counter mode is its own inverse (RFC 3711 section 4.1.1). `index` is 48 bits for RTP, 31 for RTCP.
    pub(super) fn apply_keystream(&self, ssrc: u32, index: u64, in_out: &mut [u8]) -> Result<(), SrtpError> {
        let mut iv = [0; 16];
        iv[4..8].copy_from_slice(&ssrc.to_be_bytes());
        iv[8..14].copy_from_slice(&index.to_be_bytes()[2..]);
        for (byte, salt) in iv.iter_mut().zip(self.salt) {
            *byte ^= salt;
        }
        self.key.less_safe_encrypt(in_out, EncryptionContext::Iv128(FixedLength::from(iv))).map_err(|_| SrtpError::Key)?;
        Ok(())
    }

    /// The tag over `message` and then `suffix`: the roll-over counter for RTP, nothing for RTCP (RFC 3711 section 4.2).
    pub(super) fn tag(&self, message: &[u8], suffix: &[u8]) -> [u8; Self::TAG_LEN] {
        let mut mac = hmac::Context::with_key(&self.authentication);
        mac.update(message);
        mac.update(suffix);
        let mac = mac.sign();
        let mut tag = [0; Self::TAG_LEN];
        tag.copy_from_slice(&mac.as_ref()[..Self::TAG_LEN]);
        tag
    }

    pub(super) fn verify(&self, message: &[u8], suffix: &[u8], tag: &[u8]) -> Result<(), SrtpError> {
        verify_slices_are_equal(&self.tag(message, suffix), tag).map_err(|_| SrtpError::Forged)
    }
}

//! Sealing: what browsers keep for us, they can neither read nor change.

use aws_lc_rs::aead::{AES_256_GCM, Aad, NONCE_LEN, Nonce, RandomizedNonceKey};
use aws_lc_rs::constant_time::verify_slices_are_equal;
use aws_lc_rs::{hmac, rand};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;

/// Browsers keep no longer cookies (RFC 6265 section 6.1).
pub const SEALED_BYTES_MAX: usize = 4_096;

/// What a sealed text is for. One of another purpose does not open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    Login,
    Person,
}

impl Purpose {
    fn bytes(self) -> &'static [u8] {
        match self {
            Self::Login => b"login",
            Self::Person => b"person",
        }
    }
}

pub struct Seal(RandomizedNonceKey);

impl Seal {
    /// From an API key's secret, and whatever invalidates what was sealed when it changes. `None` when the crypto library refuses.
    pub fn new(secret: &[u8], depends_on: &str) -> Option<Self> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, secret);
        let derived = hmac::sign(&key, format!("pointsman oidc cookies\0{depends_on}").as_bytes());
        RandomizedNonceKey::new(&AES_256_GCM, derived.as_ref()).ok().map(Self)
    }

    /// `None` when the crypto library refuses, or it became too long.
    pub fn close(&self, purpose: Purpose, what: &impl Serialize) -> Option<String> {
        let mut sealed = serde_json::to_vec(what).ok()?;
        let nonce = self.0.seal_in_place_append_tag(Aad::from(purpose.bytes()), &mut sealed).ok()?;
        let text = URL_SAFE_NO_PAD.encode([nonce.as_ref().as_slice(), &sealed].concat());
        (text.len() <= SEALED_BYTES_MAX).then_some(text)
    }

    /// `None` for whatever was not sealed here for this purpose.
    pub fn open<T: DeserializeOwned>(&self, purpose: Purpose, text: &str) -> Option<T> {
        if text.len() > SEALED_BYTES_MAX {
            return None;
        }
        let mut sealed = URL_SAFE_NO_PAD.decode(text).ok()?;
        let (nonce, sealed) = sealed.split_at_mut_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let plain = self.0.open_in_place(nonce, Aad::from(purpose.bytes()), sealed).ok()?;
        serde_json::from_slice(plain).ok()
    }
}

/// 256 random bits as text. `None` when the system gives none.
pub fn random_text() -> Option<String> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).ok()?;
    Some(URL_SAFE_NO_PAD.encode(bytes))
}

/// In a time that does not tell where they differ.
pub fn same(ours: &str, theirs: &str) -> bool {
    verify_slices_are_equal(ours.as_bytes(), theirs.as_bytes()).is_ok()
}

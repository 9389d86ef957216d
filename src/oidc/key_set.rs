//! The provider's keys (RFC 7517).

use jsonwebtoken::jwk::{Jwk, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use serde::Deserialize;
use serde_json::Value;

/// Providers have two or three.
const KEYS_MAX: usize = 64;

/// Keys that ID tokens may be signed with.
#[derive(Debug, Default)]
pub struct KeySet(Vec<Key>);

#[derive(Debug)]
struct Key {
    id: Option<String>,
    /// `None`: every one of its kind.
    algorithm: Option<Algorithm>,
    key: DecodingKey,
}

/// RFC 7517 section 5: keys that are not understood are passed over.
#[derive(Deserialize)]
pub struct Document {
    keys: Vec<Value>,
}

impl From<Document> for KeySet {
    fn from(document: Document) -> Self {
        Self(document.keys.into_iter().take(KEYS_MAX).filter_map(Key::read).collect())
    }
}

/// Signatures that only the provider can make. Not HMAC: whoever knows our secret could.
pub fn is_asymmetric(algorithm: Algorithm) -> bool {
    use Algorithm::{ES256, ES384, EdDSA, PS256, PS384, PS512, RS256, RS384, RS512};
    matches!(algorithm, RS256 | RS384 | RS512 | PS256 | PS384 | PS512 | ES256 | ES384 | EdDSA)
}

impl Key {
    fn read(value: Value) -> Option<Self> {
        let jwk: Jwk = serde_json::from_value(value).ok()?;
        let is_for_signatures = jwk.common.public_key_use.as_ref().is_none_or(|purpose| *purpose == PublicKeyUse::Signature);
        let algorithm = jwk.common.key_algorithm.map(Algorithm::try_from).transpose().ok()?;
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        let is_public = key.family().algorithms().iter().copied().all(is_asymmetric);
        (is_for_signatures && is_public).then_some(Self { id: jwk.common.key_id, algorithm, key })
    }
}

impl KeySet {
    /// Those that a token may be signed with whose header says this. A token without a key id may be signed with any.
    pub fn of(&self, algorithm: Algorithm, id: Option<&str>) -> impl Iterator<Item = &DecodingKey> {
        let fits = move |key: &&Key| {
            key.key.family().algorithms().contains(&algorithm)
                && key.algorithm.is_none_or(|own| own == algorithm)
                && id.is_none_or(|id| key.id.as_deref().is_none_or(|own| own == id))
        };
        self.0.iter().filter(fits).map(|key| &key.key)
    }
}

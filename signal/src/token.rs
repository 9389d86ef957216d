//! Join tokens: JWTs signed with HS256 by an API key's secret. The claim names are those of LiveKit's documented access token, so that
//! the token libraries that exist in every language mint ours. Told the time, reads no clock.

use std::collections::HashMap;
use std::fmt;

use jsonwebtoken::{Algorithm, DecodingKey, EncodingKey, Header, Validation};
use serde::{Deserialize, Serialize};

#[cfg(test)]
mod tests;

/// Clocks of token servers differ a little from ours: `exp` and `nbf` are judged this much more kindly.
pub const LEEWAY_S: u64 = 10;
/// A token that is longer is refused before anything of it is decoded.
pub const TOKEN_BYTES_MAX: usize = 8 * 1024;
pub const IDENTITY_BYTES_MAX: usize = 128;
pub const ROOM_BYTES_MAX: usize = 128;
pub const NAME_BYTES_MAX: usize = 256;
pub const METADATA_BYTES_MAX: usize = 4 * 1024;

/// What a token says, with the claim names of RFC 7519 and of LiveKit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Claims {
    /// The API key whose secret signed the token.
    pub iss: String,
    /// The participant's identity, unique in its room.
    #[serde(default)]
    pub sub: String,
    /// End of validity, in seconds since 1970. Required.
    pub exp: u64,
    /// Start of validity, in seconds since 1970.
    #[serde(default)]
    pub nbf: u64,
    /// For display; the identity is shown when it is empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub name: String,
    /// Opaque to the server, told to everyone in the room.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub metadata: String,
    #[serde(default)]
    pub video: VideoGrant,
}

/// What the token lets one do. As in LiveKit, a missing `canPublish`, `canSubscribe` or `canPublishData` means yes, every other missing
/// grant means no.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct VideoGrant {
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub room: String,
    #[serde(default, skip_serializing_if = "is_false")]
    pub room_join: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub can_publish: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub can_subscribe: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub can_publish_data: Option<bool>,
    /// Also lets its holder mute others. Without a `room` it is the grant of who runs the server.
    #[serde(default, skip_serializing_if = "is_false")]
    pub room_admin: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub room_create: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub room_list: bool,
    /// Not shown to others.
    #[serde(default, skip_serializing_if = "is_false")]
    pub hidden: bool,
    #[serde(default, skip_serializing_if = "is_false")]
    pub recorder: bool,
}

fn is_false(value: &bool) -> bool {
    !*value
}

impl VideoGrant {
    /// What an ordinary member of `room` may do.
    pub fn join(room: impl Into<String>) -> Self {
        Self { room: room.into(), room_join: true, ..Self::default() }
    }
    pub fn may_publish(&self) -> bool {
        self.can_publish.unwrap_or(true)
    }
    pub fn may_subscribe(&self) -> bool {
        self.can_subscribe.unwrap_or(true)
    }
    pub fn may_publish_data(&self) -> bool {
        self.can_publish_data.unwrap_or(true)
    }
    /// Whether the grant opens this room.
    pub fn may_join(&self, room: &str) -> bool {
        self.room_join && self.room == room
    }
}

/// Why a token was not taken: the client's fault, whatever the variant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenError {
    /// Longer than [`TOKEN_BYTES_MAX`].
    TooLong,
    /// Not three base64url parts with JSON inside, or a required claim is missing.
    Malformed,
    /// Another algorithm than HS256.
    Algorithm,
    /// Signed by a key that is not ours, or not signed by the key that it names.
    Signature,
    Expired,
    NotYetValid,
    /// `sub` is empty; a join needs an identity.
    NoIdentity,
    /// A claim is longer than its bound; the claim's name.
    ClaimTooLong(&'static str),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong => write!(f, "the token is longer than {TOKEN_BYTES_MAX} bytes"),
            Self::Malformed => f.write_str("the token is not a JWT with the claims iss and exp"),
            Self::Algorithm => f.write_str("the token is not signed with HS256"),
            Self::Signature => f.write_str("the token's key is unknown or its signature is wrong"),
            Self::Expired => f.write_str("the token has expired"),
            Self::NotYetValid => f.write_str("the token is not valid yet"),
            Self::NoIdentity => f.write_str("the token names no identity (claim sub)"),
            Self::ClaimTooLong(claim) => write!(f, "the token's claim {claim} is too long"),
        }
    }
}

impl std::error::Error for TokenError {}

/// API keys and their secrets.
#[derive(Clone, Default)]
pub struct Keys {
    secrets: HashMap<String, Box<str>>,
}

impl fmt::Debug for Keys {
    /// Names only: a secret is never printed.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.secrets.keys()).finish()
    }
}

impl<K: Into<String>, S: Into<String>> FromIterator<(K, S)> for Keys {
    fn from_iter<I: IntoIterator<Item = (K, S)>>(pairs: I) -> Self {
        Self { secrets: pairs.into_iter().map(|(key, secret)| (key.into(), secret.into().into_boxed_str())).collect() }
    }
}

impl Keys {
    pub fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// The first key in alphabetical order, for tools that mint tokens without being told a key.
    pub fn first(&self) -> Option<&str> {
        self.secrets.keys().min().map(String::as_str)
    }

    /// Signs `claims` with the secret of the key `claims.iss`.
    ///
    /// # Errors
    /// [`TokenError::Signature`] when there is no such key; a claim's error when `verify` would refuse the token.
    pub fn mint(&self, claims: &Claims) -> Result<String, TokenError> {
        check_sizes(claims)?;
        let secret = self.secrets.get(&claims.iss).ok_or(TokenError::Signature)?;
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), claims, &key).map_err(|_| TokenError::Malformed)
    }

    /// Signs what is posted to an application: a JWT of an API key that holds the body's SHA-256 (in base64), as LiveKit's webhooks have it,
    /// so that the receivers that exist in every language know it for ours.
    ///
    /// # Errors
    /// [`TokenError::Signature`] when there is no such key.
    pub fn sign_body(&self, key: &str, sha256: &str, now_unix_s: u64) -> Result<String, TokenError> {
        let secret = self.secrets.get(key).ok_or(TokenError::Signature)?;
        let claims = BodyClaims { iss: key, nbf: now_unix_s.saturating_sub(LEEWAY_S), exp: now_unix_s + BODY_LIFETIME_S, sha256 };
        let key = EncodingKey::from_secret(secret.as_bytes());
        jsonwebtoken::encode(&Header::new(Algorithm::HS256), &claims, &key).map_err(|_| TokenError::Malformed)
    }

    /// Reads a token and checks its signature, its times and its sizes. `now_unix_s` in seconds since 1970.
    ///
    /// # Errors
    /// Whatever is wrong with the token; see [`TokenError`].
    pub fn verify(&self, token: &str, now_unix_s: u64) -> Result<Claims, TokenError> {
        if token.len() > TOKEN_BYTES_MAX {
            return Err(TokenError::TooLong);
        }
        let header = jsonwebtoken::decode_header(token).map_err(|_| TokenError::Malformed)?;
        if header.alg != Algorithm::HS256 {
            return Err(TokenError::Algorithm);
        }
        // The issuer is read before the signature is checked, to know which secret must have signed; nothing else of it is used.
        let issuer: Issuer = jsonwebtoken::dangerous::insecure_decode_claims(token).map_err(|_| TokenError::Malformed)?;
        let secret = self.secrets.get(&issuer.iss).ok_or(TokenError::Signature)?;
        let key = DecodingKey::from_secret(secret.as_bytes());
        let claims = jsonwebtoken::decode::<Claims>(token, &key, &signature_only()).map_err(refusal)?.claims;
        check_times(&claims, now_unix_s)?;
        check_sizes(&claims)?;
        Ok(claims)
    }
}

/// A signed body is looked at as it arrives.
const BODY_LIFETIME_S: u64 = 300;

#[derive(Serialize)]
struct BodyClaims<'a> {
    iss: &'a str,
    nbf: u64,
    exp: u64,
    sha256: &'a str,
}

#[derive(Deserialize)]
struct Issuer {
    iss: String,
}

/// The library checks the signature alone: its time checks read the clock.
fn signature_only() -> Validation {
    let mut validation = Validation::new(Algorithm::HS256);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    validation
}

fn refusal(error: jsonwebtoken::errors::Error) -> TokenError {
    use jsonwebtoken::errors::ErrorKind;
    match error.kind() {
        ErrorKind::InvalidSignature => TokenError::Signature,
        ErrorKind::InvalidAlgorithm => TokenError::Algorithm,
        _ => TokenError::Malformed, // the library's enum grows; everything else it names is a malformed token
    }
}

fn check_times(claims: &Claims, now_unix_s: u64) -> Result<(), TokenError> {
    // RFC 7519 §4.1.4: on or after exp the token MUST NOT be accepted.
    if now_unix_s >= claims.exp.saturating_add(LEEWAY_S) {
        return Err(TokenError::Expired);
    }
    if now_unix_s.saturating_add(LEEWAY_S) < claims.nbf {
        return Err(TokenError::NotYetValid);
    }
    Ok(())
}

fn check_sizes(claims: &Claims) -> Result<(), TokenError> {
    let Claims { iss: _, sub, exp: _, nbf: _, name, metadata, video } = claims;
    if sub.is_empty() && video.room_join {
        return Err(TokenError::NoIdentity);
    }
    let bounds = [
        ("sub", sub.len(), IDENTITY_BYTES_MAX),
        ("name", name.len(), NAME_BYTES_MAX),
        ("metadata", metadata.len(), METADATA_BYTES_MAX),
        ("video.room", video.room.len(), ROOM_BYTES_MAX),
    ];
    match bounds.iter().find(|(_, len, max)| len > max) {
        Some((claim, ..)) => Err(TokenError::ClaimTooLong(claim)),
        None => Ok(()),
    }
}

//! ID tokens: OpenID Connect Core 1.0 section 3.1.3.7. Told the time, reads no clock.

use std::fmt;

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, Validation};
use serde::Deserialize;
use serde_json::{Map, Value};

use super::key_set::{KeySet, is_asymmetric};
use super::seal::same;

/// The provider's clock differs a little from ours.
pub const LEEWAY_S: u64 = 60;
/// Tokens with many groups have a few KB.
const ID_TOKEN_BYTES_MAX: usize = 64 * 1024;
/// OpenID Connect Core section 2.
const SUBJECT_BYTES_MAX: usize = 255;

/// What we must find in it.
#[derive(Clone, Copy, Debug)]
pub struct Expected<'a> {
    pub issuer: &'a str,
    pub client_id: &'a str,
    pub nonce: &'a str,
    /// When the sign-in began: no token of it is older. In seconds since 1970, as `now_s`.
    pub begun_s: u64,
    pub now_s: u64,
}

/// Why an ID token was not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IdTokenError {
    TooLong,
    /// Not three base64url parts with JSON inside, or a required claim is missing or of another type.
    Malformed,
    /// Not signed, signed with a shared secret, or with what we do not know.
    Algorithm,
    /// Its header has extensions that must be understood (RFC 7515 section 4.1.11).
    Critical,
    /// None of the keys that we know: the provider may have new ones.
    UnknownKey,
    Signature,
    Issuer,
    Audience,
    AuthorizedParty,
    Expired,
    IssuedAt,
    Nonce,
}

impl fmt::Display for IdTokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::TooLong => "the ID token is too long",
            Self::Malformed => "the ID token is not a JWT with the claims that it must have",
            Self::Algorithm => "the ID token is not signed with a public key's algorithm",
            Self::Critical => "the ID token's header has critical extensions",
            Self::UnknownKey => "the ID token's key is not one of the provider's",
            Self::Signature => "the ID token's signature is wrong",
            Self::Issuer => "the ID token is another issuer's",
            Self::Audience => "the ID token is for another client",
            Self::AuthorizedParty => "the ID token was given to another client",
            Self::Expired => "the ID token has expired",
            Self::IssuedAt => "the ID token is older than this sign-in, or from the future",
            Self::Nonce => "the ID token is of another sign-in",
        })
    }
}

impl std::error::Error for IdTokenError {}

/// Claims of somebody whom the provider vouches for.
#[derive(Clone, Debug, PartialEq)]
pub struct Vouched {
    pub subject: String,
    pub claims: Map<String, Value>,
}

#[derive(Deserialize)]
struct Required {
    iss: String,
    sub: String,
    aud: Audience,
    #[serde(default)]
    azp: Option<String>,
    exp: u64,
    iat: u64,
    #[serde(default)]
    nonce: String,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum Audience {
    One(String),
    Many(Vec<String>),
}

/// Reads an ID token and checks everything about it.
///
/// # Errors
/// What is wrong with it.
pub fn verify(token: &str, keys: &KeySet, expected: Expected<'_>) -> Result<Vouched, IdTokenError> {
    let claims = verify_signature(token, keys)?;
    let required: Required = serde_json::from_value(Value::Object(claims.clone())).map_err(|_| IdTokenError::Malformed)?;
    let subject = check(required, expected)?;
    Ok(Vouched { subject, claims })
}

fn verify_signature(token: &str, keys: &KeySet) -> Result<Map<String, Value>, IdTokenError> {
    if token.len() > ID_TOKEN_BYTES_MAX {
        return Err(IdTokenError::TooLong);
    }
    // The library knows no `none`, so such a header is malformed.
    let header = jsonwebtoken::decode_header(token).map_err(|_| IdTokenError::Malformed)?;
    if !is_asymmetric(header.alg) {
        return Err(IdTokenError::Algorithm);
    }
    if header.crit.is_some() {
        return Err(IdTokenError::Critical);
    }
    let mut refused = IdTokenError::UnknownKey;
    for key in keys.of(header.alg, header.kid.as_deref()) {
        match jsonwebtoken::decode::<Map<String, Value>>(token, key, &signature_only(header.alg)) {
            Ok(decoded) => return Ok(decoded.claims),
            Err(error) if *error.kind() == ErrorKind::InvalidSignature => refused = IdTokenError::Signature,
            Err(_) => refused = IdTokenError::Malformed,
        }
    }
    Err(refused)
}

/// The library checks the signature alone: its time checks read the clock.
fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation.required_spec_claims.clear();
    validation
}

/// The numbers are the steps of OpenID Connect Core section 3.1.3.7.
fn check(required: Required, expected: Expected<'_>) -> Result<String, IdTokenError> {
    let Required { iss, sub, aud, azp, exp, iat, nonce } = required;
    let Expected { issuer, client_id, nonce: our_nonce, begun_s, now_s } = expected;
    if sub.is_empty() || sub.len() > SUBJECT_BYTES_MAX {
        return Err(IdTokenError::Malformed);
    }
    // 2.
    if iss != issuer {
        return Err(IdTokenError::Issuer);
    }
    // 3.
    let audience = match aud {
        Audience::One(one) => vec![one],
        Audience::Many(many) => many,
    };
    if !audience.iter().any(|one| one == client_id) {
        return Err(IdTokenError::Audience);
    }
    // 4 and 5. Of a token for several, the provider must say that it was given to us.
    let is_ours = match azp {
        Some(party) => party == client_id,
        None => audience.len() == 1,
    };
    if !is_ours {
        return Err(IdTokenError::AuthorizedParty);
    }
    // 9.
    if now_s >= exp.saturating_add(LEEWAY_S) {
        return Err(IdTokenError::Expired);
    }
    // 10.
    if iat > now_s.saturating_add(LEEWAY_S) || iat.saturating_add(LEEWAY_S) < begun_s {
        return Err(IdTokenError::IssuedAt);
    }
    // 11.
    if our_nonce.is_empty() || !same(our_nonce, &nonce) {
        return Err(IdTokenError::Nonce);
    }
    Ok(sub)
}

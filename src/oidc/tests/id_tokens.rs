use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use serde_json::{Value, json};

use super::fake::{CLIENT_SECRET, Signer};
use crate::oidc::id_token::{Expected, IdTokenError, verify};
use crate::oidc::key_set::{Document, KeySet};

const NOW: u64 = 1_800_000_000;
const EXPECTED: Expected<'static> =
    Expected { issuer: "https://login.example.org", client_id: "pointsman", nonce: "n-0S6_WzA2Mj", begun_s: NOW - 30, now_s: NOW };

fn key_set(keys: Vec<Value>) -> KeySet {
    KeySet::from(serde_json::from_value::<Document>(json!({ "keys": keys })).unwrap())
}

fn claims(changes: &Value) -> Value {
    let mut claims = json!({
        "iss": "https://login.example.org", "sub": "ann", "aud": "pointsman", "exp": NOW + 300, "iat": NOW - 1, "nonce": "n-0S6_WzA2Mj",
    });
    claims.as_object_mut().unwrap().extend(changes.as_object().unwrap().clone());
    claims
}

#[test]
fn every_claim_is_checked() {
    let signer = Signer::new("one");
    let keys = key_set(vec![signer.jwk()]);
    let table = [
        (json!({}), Ok("ann")),
        (json!({ "iss": "https://login.example.org/" }), Err(IdTokenError::Issuer)),
        (json!({ "aud": "another" }), Err(IdTokenError::Audience)),
        (json!({ "aud": [] }), Err(IdTokenError::Audience)),
        (json!({ "aud": ["pointsman"] }), Ok("ann")),
        (json!({ "aud": ["pointsman", "another"] }), Err(IdTokenError::AuthorizedParty)),
        (json!({ "aud": ["pointsman", "another"], "azp": "pointsman" }), Ok("ann")),
        (json!({ "aud": ["pointsman", "another"], "azp": "another" }), Err(IdTokenError::AuthorizedParty)),
        (json!({ "azp": "another" }), Err(IdTokenError::AuthorizedParty)),
        (json!({ "exp": NOW - 59 }), Ok("ann")),
        (json!({ "exp": NOW - 60 }), Err(IdTokenError::Expired)),
        (json!({ "iat": NOW + 60 }), Ok("ann")),
        (json!({ "iat": NOW + 61 }), Err(IdTokenError::IssuedAt)),
        (json!({ "iat": NOW - 91 }), Err(IdTokenError::IssuedAt)),
        (json!({ "nonce": "another" }), Err(IdTokenError::Nonce)),
        (json!({ "nonce": "" }), Err(IdTokenError::Nonce)),
        (json!({ "nonce": null }), Err(IdTokenError::Malformed)),
        (json!({ "exp": "soon" }), Err(IdTokenError::Malformed)),
        (json!({ "sub": "" }), Err(IdTokenError::Malformed)),
        (json!({ "sub": "x".repeat(256) }), Err(IdTokenError::Malformed)),
    ];
    for (changes, wanted) in table {
        let verified = verify(&signer.sign(&claims(&changes)), &keys, EXPECTED);
        assert_eq!(verified.as_ref().map(|vouched| vouched.subject.as_str()).map_err(|error| *error), wanted, "{changes}");
    }
    let without_nonce = Expected { nonce: "", ..EXPECTED };
    assert_eq!(verify(&signer.sign(&claims(&json!({ "nonce": "" }))), &keys, without_nonce), Err(IdTokenError::Nonce));
    for missing in ["iss", "sub", "aud", "exp", "iat"] {
        let mut claims = claims(&json!({}));
        claims.as_object_mut().unwrap().remove(missing);
        assert_eq!(verify(&signer.sign(&claims), &keys, EXPECTED), Err(IdTokenError::Malformed), "{missing}");
    }
}

#[test]
fn only_the_providers_signature_counts() {
    let (signer, stranger) = (Signer::new("one"), Signer::new("one"));
    let keys = key_set(vec![signer.jwk()]);
    let good = signer.sign(&claims(&json!({})));
    let parts: Vec<&str> = good.split('.').collect();
    let encoded = |value: Value| URL_SAFE_NO_PAD.encode(value.to_string());
    let other = encoded(claims(&json!({ "sub": "admin" })));

    assert_eq!(verify(&stranger.sign(&claims(&json!({}))), &keys, EXPECTED), Err(IdTokenError::Signature));
    assert_eq!(verify(&format!("{}.{other}.{}", parts[0], parts[2]), &keys, EXPECTED), Err(IdTokenError::Signature));
    assert_eq!(verify(&Signer::new("two").sign(&claims(&json!({}))), &keys, EXPECTED), Err(IdTokenError::UnknownKey));
    assert_eq!(verify(&good, &key_set(vec![]), EXPECTED), Err(IdTokenError::UnknownKey));
    for none in ["none", "None", "NONE"] {
        let header = encoded(json!({ "alg": none, "typ": "JWT" }));
        for signature in ["", parts[2]] {
            assert_eq!(verify(&format!("{header}.{other}.{signature}"), &keys, EXPECTED), Err(IdTokenError::Malformed));
        }
    }
    // A shared secret is no signature of the provider's: neither ours, nor what is public of its key, nor a secret among its keys.
    let jwk = signer.jwk();
    let public = [jwk["x"].as_str().unwrap().to_owned(), jwk.to_string(), CLIENT_SECRET.to_owned()];
    for secret in &public {
        let header = Header { kid: Some("one".to_owned()), ..Header::new(Algorithm::HS256) };
        let token = jsonwebtoken::encode(&header, &claims(&json!({})), &EncodingKey::from_secret(secret.as_bytes())).unwrap();
        let shared = json!({ "kty": "oct", "alg": "HS256", "kid": "one", "k": URL_SAFE_NO_PAD.encode(secret) });
        for keys in [key_set(vec![jwk.clone()]), key_set(vec![jwk.clone(), shared])] {
            assert_eq!(verify(&token, &keys, EXPECTED), Err(IdTokenError::Algorithm));
        }
    }
    let header = encoded(json!({ "alg": "ES256", "kid": "one", "crit": ["exp"], "exp": 1 }));
    assert_eq!(verify(&format!("{header}.{}.{}", parts[1], parts[2]), &keys, EXPECTED), Err(IdTokenError::Critical));
    for text in ["", ".", "..", "a.b", "a.b.c.d", &"x".repeat(70_000)] {
        assert!(verify(text, &keys, EXPECTED).is_err(), "{text:.20}");
    }
}

#[test]
fn key_sets_are_read_as_far_as_they_are_understood() {
    let signer = Signer::new("one");
    let mut for_encryption = signer.jwk();
    for_encryption["use"] = "enc".into();
    let mut of_another_algorithm = signer.jwk();
    of_another_algorithm["alg"] = "ES384".into();
    let odd = [
        json!(7),
        json!({}),
        json!({ "kty": "EC", "crv": "secp256k1", "x": "AA", "y": "AA" }),
        json!({ "kty": "RSA", "n": "!", "e": "AQAB" }),
    ];
    let token = signer.sign(&claims(&json!({})));
    let with = |key: Value| verify(&token, &key_set(odd.iter().cloned().chain([key]).collect()), EXPECTED).map(|vouched| vouched.subject);
    assert_eq!(with(signer.jwk()).as_deref(), Ok("ann"));
    assert_eq!(with(for_encryption), Err(IdTokenError::UnknownKey));
    assert_eq!(with(of_another_algorithm), Err(IdTokenError::UnknownKey));
    // One without an id may have signed everything of its kind.
    let mut nameless = signer.jwk();
    nameless.as_object_mut().unwrap().remove("kid");
    assert_eq!(with(nameless).as_deref(), Ok("ann"));
}

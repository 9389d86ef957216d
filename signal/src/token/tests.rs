use super::*;

const SECRET: &str = "a-secret-of-more-than-thirty-two-characters";
const NOW: u64 = 1_700_000_000;

fn keys() -> Keys {
    [("APIone", SECRET), ("APItwo", "another-secret-of-more-than-32-characters")].into_iter().collect()
}

fn claims() -> Claims {
    Claims {
        iss: "APIone".into(),
        sub: "ann".into(),
        exp: NOW + 600,
        nbf: NOW,
        name: "Ann".into(),
        metadata: String::new(),
        video: VideoGrant::join("r"),
    }
}

fn sign(algorithm: Algorithm, claims: &serde_json::Value) -> String {
    jsonwebtoken::encode(&Header::new(algorithm), claims, &EncodingKey::from_secret(SECRET.as_bytes())).unwrap()
}

#[test]
fn what_is_minted_is_verified() {
    let token = keys().mint(&claims()).unwrap();
    assert_eq!(keys().verify(&token, NOW), Ok(claims()));
}

#[test]
fn claim_names_are_livekits() {
    let json = serde_json::json!({ "iss": "APIone", "sub": "u1", "exp": NOW + 5, "jti": "u1",
        "video": { "room": "r", "roomJoin": true, "canPublish": false, "roomAdmin": true, "canPublishSources": [] } });
    let read = keys().verify(&sign(Algorithm::HS256, &json), NOW).unwrap();
    assert!(read.video.may_join("r") && !read.video.may_join("q"));
    assert!(!read.video.may_publish() && read.video.may_subscribe() && read.video.room_admin && !read.video.hidden);
    let token = keys().mint(&claims()).unwrap();
    let payload: serde_json::Value = jsonwebtoken::dangerous::insecure_decode_claims(&token).unwrap();
    assert_eq!(payload["video"], serde_json::json!({ "room": "r", "roomJoin": true }));
}

#[test]
fn times_are_judged_with_leeway() {
    let token = keys().mint(&claims()).unwrap();
    let at = |now| keys().verify(&token, now).map(|_| ());
    assert_eq!(at(NOW - LEEWAY_S), Ok(()));
    assert_eq!(at(NOW - LEEWAY_S - 1), Err(TokenError::NotYetValid));
    assert_eq!(at(NOW + 600 + LEEWAY_S - 1), Ok(()));
    assert_eq!(at(NOW + 600 + LEEWAY_S), Err(TokenError::Expired));
}

#[test]
fn forgeries_are_refused() {
    let token = keys().mint(&claims()).unwrap();
    let mut bytes = token.clone().into_bytes();
    let payload_at = token.find('.').unwrap() + 20;
    bytes[payload_at] ^= 1;
    assert!(keys().verify(std::str::from_utf8(&bytes).unwrap(), NOW).is_err());
    // Signed by one of our keys in the name of another.
    let other = Claims { iss: "APItwo".into(), ..claims() };
    assert_eq!(keys().verify(&sign(Algorithm::HS256, &serde_json::to_value(other).unwrap()), NOW), Err(TokenError::Signature));
    let unknown = Claims { iss: "APIthree".into(), ..claims() };
    assert_eq!(keys().verify(&sign(Algorithm::HS256, &serde_json::to_value(unknown).unwrap()), NOW), Err(TokenError::Signature));
    assert_eq!(keys().verify(&sign(Algorithm::HS384, &serde_json::to_value(claims()).unwrap()), NOW), Err(TokenError::Algorithm));
    // {"alg":"none"} with an empty signature.
    let (_, rest) = token.split_once('.').unwrap();
    let none = format!("eyJhbGciOiJub25lIn0.{}.", rest.split_once('.').unwrap().0);
    assert!(keys().verify(&none, NOW).is_err());
}

#[test]
fn sizes_are_bounded() {
    let long = Claims { sub: "x".repeat(IDENTITY_BYTES_MAX + 1), ..claims() };
    assert_eq!(keys().mint(&long), Err(TokenError::ClaimTooLong("sub")));
    assert_eq!(keys().verify(&sign(Algorithm::HS256, &serde_json::to_value(long).unwrap()), NOW), Err(TokenError::ClaimTooLong("sub")));
    assert_eq!(keys().verify(&"a".repeat(TOKEN_BYTES_MAX + 1), NOW), Err(TokenError::TooLong));
    assert_eq!(keys().mint(&Claims { sub: String::new(), ..claims() }), Err(TokenError::NoIdentity));
    let no_exp = serde_json::json!({ "iss": "APIone", "sub": "u" });
    assert_eq!(keys().verify(&sign(Algorithm::HS256, &no_exp), NOW), Err(TokenError::Malformed));
}

#[test]
fn secrets_are_not_printed() {
    assert!(!format!("{:?}", keys()).contains(SECRET));
}

proptest::proptest! {
    #[test]
    fn no_text_panics(token in ".{0,200}") {
        let _ = keys().verify(&token, NOW);
    }
}

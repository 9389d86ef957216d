use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::oidc::id_token::Vouched;
use crate::oidc::person::{NotAllowed, Person, Rank};
use crate::oidc::{Config, Rule, WebAddress};

fn vouched(subject: &str, claims: Value) -> Vouched {
    Vouched { subject: subject.to_owned(), claims: claims.as_object().unwrap().clone() }
}

fn rank(rule: &str, claims: Value) -> Rank {
    let config = Config { admins: vec![rule.parse().unwrap()], ..Config::default() };
    Person::of(&vouched("ann", claims), &config, 0).unwrap().rank
}

#[test]
fn rules_look_at_claims() {
    for (rule, claims, wanted) in [
        ("groups=admins", json!({ "groups": ["staff", "admins"] }), Rank::Admin),
        ("groups=admins", json!({ "groups": "admins" }), Rank::Admin),
        ("groups=admins", json!({ "groups": ["Admins", "admins2", ["admins"], { "admins": true }] }), Rank::Member),
        ("groups=admins", json!({}), Rank::Member),
        ("admin=true", json!({ "admin": true }), Rank::Admin),
        ("level=3", json!({ "level": 3 }), Rank::Admin),
        ("dn=cn=ann,dc=x", json!({ "dn": "cn=ann,dc=x" }), Rank::Admin),
        ("email=ann@example.org", json!({ "email": "Ann@Example.org", "email_verified": true }), Rank::Admin),
        ("email=ann@example.org", json!({ "email": "ann@example.org", "email_verified": "true" }), Rank::Admin),
        ("email=ann@example.org", json!({ "email": "ann@example.org", "email_verified": false }), Rank::Member),
        ("email=ann@example.org", json!({ "email": "ann@example.org" }), Rank::Member),
    ] {
        assert_eq!(rank(rule, claims.clone()), wanted, "{rule} {claims}");
    }
    let trusting = Config { unverified_emails: true, domains: vec!["example.org".to_owned()], ..Config::default() };
    assert!(Person::of(&vouched("ann", json!({ "email": "ann@example.org" })), &trusting, 0).is_ok());
    let strict = Config { unverified_emails: false, ..trusting };
    assert_eq!(Person::of(&vouched("ann", json!({ "email": "ann@example.org" })), &strict, 0), Err(NotAllowed::NoEmail));
    assert!("groups".parse::<Rule>().is_err() && "=x".parse::<Rule>().is_err() && "groups=".parse::<Rule>().is_err());
}

#[test]
fn names_and_identities_fit() {
    let person = |subject: &str, claims: Value| Person::of(&vouched(subject, claims), &Config::default(), 0).unwrap();
    assert_eq!(person("a|1", json!({ "preferred_username": "ann", "name": " \u{7}" })).name, "ann");
    assert_eq!(person("a", json!({ "name": "Ann\r\n\0 B" })).name, "Ann B");
    assert_eq!(person("a", json!({ "name": 7 })).name, "");
    let long = person("a", json!({ "name": "é".repeat(300) })).name;
    assert_eq!(long, "é".repeat(64));
    assert_eq!(person("a|1", json!({})).identity, "oidc:a|1");
    for subject in ["x".repeat(255), "with space".to_owned(), "é".to_owned()] {
        let identity = person(&subject, json!({})).identity;
        assert!(identity.starts_with("oidc:") && identity.len() == 48, "{identity}");
    }
}

#[test]
fn tokens_end_with_the_sign_in() {
    let person = Person { identity: "oidc:a".to_owned(), name: String::new(), rank: Rank::Admin, until_s: 1_000 };
    assert_eq!(person.join("r", "k", 100, 600).exp, 700);
    assert_eq!(person.join("r", "k", 900, 600).exp, 1_000);
    assert_eq!(person.operate("k", 900, 600).unwrap().exp, 1_000);
    let host = Person { rank: Rank::Host, ..person };
    assert!(host.operate("k", 0, 600).is_none() && host.join("r", "k", 0, 600).video.room_admin);
}

#[test]
fn addresses_are_https_or_on_this_host() {
    let taken: BTreeMap<&str, &str> = [
        ("https://login.example.org", "https://login.example.org"),
        ("https://Login.example.org:443/realms/x", "https://login.example.org"),
        ("https://login.example.org:8443", "https://login.example.org:8443"),
        ("http://localhost:3000", "http://localhost:3000"),
        ("http://127.0.0.2", "http://127.0.0.2"),
        ("http://[::1]:80/", "http://[::1]"),
    ]
    .into();
    for (text, origin) in taken {
        assert_eq!(text.parse::<WebAddress>().unwrap().origin(), origin);
    }
    for text in [
        "",
        "login.example.org",
        "http://login.example.org",
        "http://localhost.example.org",
        "http://127.0.0.1.example.org",
        "ftp://localhost",
        "https://",
        "https://ann@login.example.org",
        "http://localhost@evil.example",
        "https://login.example.org/#x",
        "//login.example.org",
        "https://login.example.org/ x",
    ] {
        assert!(text.parse::<WebAddress>().is_err(), "{text}");
    }
    let with = |text: &str| text.parse::<WebAddress>().unwrap().with(&[("a", "b c&d")]);
    assert_eq!(with("https://x/authorize"), "https://x/authorize?a=b+c%26d");
    assert_eq!(with("https://x/authorize?tenant=1"), "https://x/authorize?tenant=1&a=b+c%26d");
}

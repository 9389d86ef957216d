//! What RFC 8489 adds: algorithms of passwords, hidden names, and that nobody on the way talks a client out of them. And guessing.

use std::time::Duration;

use aws_lc_rs::digest;
use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Class, Key, KeySha256, Message, Method, TransactionId, Writer};

use super::world::*;
use crate::config::Secret;
use crate::{Config, DropReason, Verdict};

const OFFERED: [u8; 8] = [0, 2, 0, 0, 0, 1, 0, 0];
const SHA256: [u8; 4] = [0, 2, 0, 0];
const MD5: [u8; 4] = [0, 1, 0, 0];

fn sha256(text: &str) -> [u8; 32] {
    digest::digest(&digest::SHA256, text.as_bytes()).as_ref().try_into().unwrap()
}

/// Static users only: their names may be hidden.
fn offering() -> Config {
    Config { password_algorithms: true, shared_secrets: Vec::new(), ..config() }
}

fn challenge(world: &mut World, client: &Client) -> Vec<u8> {
    let id = world.next_id();
    let datagram = Client { nonce: Vec::new(), ..client.clone() }.sign(Method::ALLOCATE, id, &|_| ());
    world.ask(client.path, &datagram).unwrap()
}

/// An Allocate with these attributes in front of an integrity made with that key.
fn allocate(world: &mut World, client: &Client, attributes: &[(Type, &[u8])], key: &[u8], strong: bool) -> Vec<u8> {
    let id = world.next_id();
    let mut out = vec![0; 1024];
    let mut writer = Writer::new(&mut out, Class::Request, Method::ALLOCATE, id);
    writer.first_of_four(Type::REQUESTED_TRANSPORT, 17).attribute(Type::REALM, REALM.as_bytes());
    attributes.iter().for_each(|(kind, value)| _ = writer.attribute(*kind, value));
    if strong {
        writer.integrity_sha256(&KeySha256::new(key))
    } else {
        writer.integrity(&Key::new(key))
    };
    let len = writer.finish().unwrap();
    world.ask(client.path, &out[..len]).unwrap()
}

#[test]
fn sha256_keys_where_they_are_offered() {
    let mut world = World::new(offering());
    let client = Client::new("203.0.113.1:1");
    let answer = challenge(&mut world, &client);
    let message = Message::parse(&answer).unwrap();
    let nonce = message.nonce().unwrap();
    assert_eq!(message.attribute(Type::PASSWORD_ALGORITHMS), Some(&OFFERED[..]));
    assert!(nonce.starts_with(b"obMatJos2wAAA"));
    assert!(answer.len() <= 100 + 8, "{} bytes, a fingerprint among them", answer.len());
    let key = sha256("alice:example.org:wonderland");
    let (name, nonce) = ((Type::USERNAME, &b"alice"[..]), (Type::NONCE, nonce));
    let (offered, chosen) = ((Type::PASSWORD_ALGORITHMS, &OFFERED[..]), (Type::PASSWORD_ALGORITHM, &SHA256[..]));
    // The one for the other does not do.
    let wrong_key = allocate(&mut world, &client, &[name, nonce, offered, (Type::PASSWORD_ALGORITHM, &MD5)], &key, true);
    assert_eq!(code_of(&wrong_key), 401);
    let answer = allocate(&mut world, &client, &[name, nonce, offered, chosen], &key, true);
    assert_eq!(code_of(&answer), 0);
    assert!(Message::parse(&answer).unwrap().verify_integrity_sha256(&KeySha256::new(&key)));
}

#[test]
fn old_clients_take_any_nonce() {
    let mut world = World::new(offering());
    assert_eq!(code_of(&world.allocate(&mut Client::new("203.0.113.1:1"), |_| ())), 0);
}

#[test]
fn nobody_on_the_way_takes_the_better_algorithm_out() {
    let mut world = World::new(offering());
    let client = Client::new("203.0.113.1:1");
    let answer = challenge(&mut world, &client);
    let nonce = Message::parse(&answer).unwrap().nonce().unwrap().to_vec();
    let md5 = crate::auth::LongTermKey::derive(b"alice", REALM.as_bytes(), b"wonderland");
    let (name, nonce) = ((Type::USERNAME, &b"alice"[..]), (Type::NONCE, &nonce[..]));
    let chosen = (Type::PASSWORD_ALGORITHM, &MD5[..]);
    // The client saw a shorter list, or none; or asks for something else.
    for attributes in [
        vec![name, nonce, (Type::PASSWORD_ALGORITHMS, &MD5[..]), chosen],
        vec![name, nonce, chosen],
        vec![name, nonce, (Type::PASSWORD_ALGORITHMS, &OFFERED[..])],
        vec![name, nonce, (Type::PASSWORD_ALGORITHMS, &OFFERED[..]), (Type::PASSWORD_ALGORITHM, &[0, 3, 0, 0])],
    ] {
        assert_eq!(code_of(&allocate(&mut world, &client, &attributes, md5.bytes(), false)), 400, "{attributes:?}");
    }
    // Its nonce was stripped of the cookie: not our nonce.
    let stripped = allocate(&mut world, &client, &[name, (Type::NONCE, &nonce.1[13..])], md5.bytes(), false);
    assert_eq!(code_of(&stripped), 438);
    let fair = allocate(&mut world, &client, &[name, nonce, (Type::PASSWORD_ALGORITHMS, &OFFERED), chosen], md5.bytes(), false);
    assert_eq!(code_of(&fair), 0);
}

#[test]
fn names_may_be_hidden() {
    let mut world = World::new(offering());
    let client = Client::new("203.0.113.1:1");
    let answer = challenge(&mut world, &client);
    let nonce = Message::parse(&answer).unwrap().nonce().unwrap().to_vec();
    let key = sha256("alice:example.org:wonderland");
    let (hash, unknown) = (sha256("alice:example.org"), sha256("nobody:example.org"));
    let rest = [(Type::NONCE, &nonce[..]), (Type::PASSWORD_ALGORITHMS, &OFFERED), (Type::PASSWORD_ALGORITHM, &SHA256)];
    let with = |hash| [&[(Type::USERHASH, hash)], &rest[..]].concat();
    assert_eq!(code_of(&allocate(&mut world, &client, &with(&unknown[..]), &key, true)), 401);
    assert_eq!(code_of(&allocate(&mut world, &client, &with(&hash[..31]), &key, true)), 401);
    assert_eq!(code_of(&allocate(&mut world, &client, &with(&hash[..]), &key, true)), 0);
    assert_eq!(world.ledger.user_allocations(REALM, b"alice"), 1);
}

#[test]
fn only_what_can_be_served_is_offered() {
    let hashed = vec![("alice".to_owned(), Secret("0x84a5f9c3f3b2d1e0112233445566778f".to_owned()))];
    for (config, begins) in [
        (config(), None),
        (Config { password_algorithms: true, ..config() }, Some("obMatJos2gAAA")),
        (Config { lookups: true, ..offering() }, None),
        (Config { users: hashed, ..offering() }, None),
        (offering(), Some("obMatJos2wAAA")),
    ] {
        let mut world = World::new(config);
        let answer = challenge(&mut world, &Client::new("203.0.113.1:1"));
        let message = Message::parse(&answer).unwrap();
        assert_eq!(message.has(Type::PASSWORD_ALGORITHMS), begins.is_some());
        match begins {
            Some(begins) => assert!(message.nonce().unwrap().starts_with(begins.as_bytes())),
            None => assert_eq!(message.nonce().unwrap().len(), 24),
        }
    }
}

#[test]
fn of_two_integrities_the_stronger_counts() {
    let mut world = World::new(config());
    let (alice, _) = world.allocated("203.0.113.1:1000");
    let key = crate::auth::LongTermKey::derive(b"alice", REALM.as_bytes(), b"wonderland");
    let ask = |world: &mut World, weak: &[u8], strong: &[u8]| {
        let mut out = vec![0; 512];
        let len = Writer::new(&mut out, Class::Request, Method::REFRESH, TransactionId([5; 12]))
            .attribute(Type::USERNAME, b"alice")
            .attribute(Type::REALM, REALM.as_bytes())
            .attribute(Type::NONCE, &alice.nonce)
            .integrity(&Key::new(weak))
            .integrity_sha256(&KeySha256::new(strong))
            .finish()
            .unwrap();
        world.ask(alice.path, &out[..len]).unwrap()
    };
    let answer = ask(&mut world, key.bytes(), key.bytes());
    assert_eq!(code_of(&answer), 0);
    assert!(Message::parse(&answer).unwrap().has_integrity_sha256());
    assert_eq!(code_of(&ask(&mut world, key.bytes(), b"wrong")), 401);
}

#[test]
fn a_guesser_is_soon_not_told_even_if_it_guessed_right() {
    let mut world = World::new(Config { wrong_credentials_per_s_max: 1, wrong_credentials_burst_max: 5, ..config() });
    let (mut inside, _) = world.allocated("203.0.113.1:1");
    let guess = |world: &mut World, address: &str, password: &str| {
        let mut client = Client::new(address).with_credentials("alice", password);
        client.nonce = world.nonce_for(&client);
        let id = world.next_id();
        let datagram = client.sign(Method::ALLOCATE, id, &|writer| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 17));
        let verdict = world.client_sends(client.path, &datagram);
        world.late.clear();
        verdict
    };
    for n in 0..5 {
        assert!(matches!(guess(&mut world, &format!("203.0.113.1:{}", 10 + n), "guess"), Verdict::Reply { .. }), "401 so far");
    }
    assert_eq!(guess(&mut world, "203.0.113.1:20", "guess"), Verdict::Drop(DropReason::Guessing));
    assert_eq!(guess(&mut world, "203.0.113.1:21", "wonderland"), Verdict::Drop(DropReason::Guessing), "nor is a right one told");
    assert_eq!(world.refresh(&mut inside, None), Ok(600), "who is in stays in");
    assert!(!matches!(guess(&mut world, "203.0.113.2:1", "wonderland"), Verdict::Drop(_)), "another source");
    world.sleep(Duration::from_secs(1));
    assert!(!matches!(guess(&mut world, "203.0.113.1:22", "wonderland"), Verdict::Drop(_)));
    assert_eq!(world.server.stats().dropped(DropReason::Guessing), 2);
}

/// Whoever cannot receive at an address has no nonce for it, so nobody is locked out by forged guesses.
#[test]
fn forged_guesses_lock_nobody_out() {
    let mut world = World::new(Config { wrong_credentials_per_s_max: 1, wrong_credentials_burst_max: 2, ..config() });
    let mut forger = Client::new("203.0.113.1:1").with_credentials("alice", "guess");
    forger.nonce = vec![b'0'; 24];
    for _ in 0..100 {
        let id = world.next_id();
        let datagram = forger.sign(Method::ALLOCATE, id, &|_| ());
        assert_eq!(code_of(&world.ask(forger.path, &datagram).unwrap()), 438);
    }
    assert_eq!(code_of(&world.allocate(&mut Client::new("203.0.113.1:1"), |_| ())), 0);
}

#[test]
fn time_limited_credentials_may_be_held_to_their_time() {
    for (strict_expiry, after) in [(false, Ok(600)), (true, Err(401))] {
        let mut world = World::new(Config { strict_expiry, ..config() });
        let username = format!("{}:carol", world.now.unix.as_secs() + 100);
        let tag = aws_lc_rs::hmac::sign(
            &aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"old secret"),
            username.as_bytes(),
        );
        let password = base64::Engine::encode(&base64::engine::general_purpose::STANDARD, tag);
        let mut carol = Client::new("203.0.113.1:1").with_credentials(&username, &password);
        assert_eq!(code_of(&world.allocate(&mut carol, |_| ())), 0);
        world.sleep(Duration::from_secs(99));
        assert_eq!(world.refresh(&mut carol, None), Ok(600));
        world.sleep(Duration::from_secs(1));
        assert_eq!(world.refresh(&mut carol, None), after);
        assert_eq!(code_of(&world.allocate(&mut Client::new("203.0.113.1:2").with_credentials(&username, &password), |_| ())), 401);
    }
}

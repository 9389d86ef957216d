use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Class, KeySha256, Message, Method, TransactionId, Writer};

use super::world::*;
use crate::auth::LongTermKey;
use crate::{DropReason, Verdict};

fn bare_allocate() -> Vec<u8> {
    let mut out = vec![0; 64];
    let len = Writer::new(&mut out, Class::Request, Method::ALLOCATE, TransactionId([1; 12]))
        .first_of_four(Type::REQUESTED_TRANSPORT, 17)
        .finish()
        .unwrap();
    out.truncate(len);
    out
}

/// What `secret` makes of a user name.
fn time_limited(secret: &str, username: &str) -> String {
    STANDARD.encode(hmac::sign(&hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes()), username.as_bytes()))
}

#[test]
fn a_stranger_gets_a_small_challenge_and_leaves_no_state() {
    let mut world = World::new(config());
    let answer = world.ask(Client::new("203.0.113.1:1000").path, &bare_allocate()).unwrap();
    let message = Message::parse(&answer).unwrap();
    assert_eq!(code_of(&answer), 401);
    assert_eq!(message.realm(), Some(REALM.as_bytes()));
    assert_eq!(message.nonce().unwrap().len(), 24);
    assert!(answer.len() <= 72, "{} bytes for {}", answer.len(), bare_allocate().len());
    assert_eq!((world.server.stats().allocations, world.server.stats().relays), (0, 0));
    assert_eq!((world.server.stats().answered_with(401), world.server.stats().answered_with(438)), (1, 0));
    assert_eq!(world.server.poll_timeout(), None, "nothing is kept");
}

#[test]
fn a_static_user_gets_in_with_the_password_only() {
    let mut world = World::new(config());
    let mut alice = Client::new("203.0.113.1:1000");
    assert_eq!(code_of(&world.allocate(&mut alice, |_| ())), 0);
    for (name, password) in [("alice", "wrong"), ("nobody", "wonderland"), ("", ""), ("bob", "wonderland")] {
        let mut other = Client::new("203.0.113.2:1000").with_credentials(name, password);
        assert_eq!(code_of(&world.allocate(&mut other, |_| ())), 401, "{name}");
    }
    assert_eq!(world.server.stats().bad_credentials_total, 4);
    assert_eq!(world.server.stats().allocations, 1);
}

#[test]
fn time_limited_credentials_of_every_live_secret_and_spelling() {
    let mut world = World::new(config());
    let later = world.now.unix.as_secs() + 60;
    let spellings = [format!("{later}:carol"), format!("carol:{later}"), later.to_string()];
    for (n, (secret, username)) in
        ["old secret", "new secret"].iter().flat_map(|secret| spellings.iter().map(move |u| (secret, u))).enumerate()
    {
        let mut client = Client::new(&format!("203.0.113.1:{}", 1000 + n)).with_credentials(username, &time_limited(secret, username));
        assert_eq!(code_of(&world.allocate(&mut client, |_| ())), 0, "{username}");
    }
    let bad = [
        (format!("{later}:carol"), time_limited("another secret", &format!("{later}:carol"))),
        (format!("{}:carol", later - 60), time_limited("old secret", &format!("{}:carol", later - 60))),
        (format!("{}:carol", later + 1), time_limited("old secret", &format!("{later}:carol"))),
        ("carol".to_owned(), time_limited("old secret", "carol")),
        (format!("{}:carol", "9".repeat(30)), time_limited("old secret", &format!("{}:carol", "9".repeat(30)))),
    ];
    for (username, password) in &bad {
        let mut client = Client::new("203.0.113.2:1000").with_credentials(username, password);
        assert_eq!(code_of(&world.allocate(&mut client, |_| ())), 401, "{username}");
    }
}

#[test]
fn another_separator() {
    let mut world = World::new(crate::Config { shared_secret_separator: '!', ..config() });
    let username = format!("{}!carol", world.now.unix.as_secs() + 60);
    let mut client = Client::new("203.0.113.1:1").with_credentials(&username, &time_limited("old secret", &username));
    assert_eq!(code_of(&world.allocate(&mut client, |_| ())), 0);
}

#[test]
fn an_allocation_outlives_the_credentials_that_made_it() {
    let mut world = World::new(config());
    let username = format!("{}:carol", world.now.unix.as_secs() + 60);
    let mut client = Client::new("203.0.113.1:1").with_credentials(&username, &time_limited("old secret", &username));
    assert_eq!(code_of(&world.allocate(&mut client, |_| ())), 0);
    world.sleep(Duration::from_secs(120));
    assert_eq!(world.refresh(&mut client, None), Ok(600));
    let mut late = Client::new("203.0.113.2:1").with_credentials(&username, &client.password);
    assert_eq!(code_of(&world.allocate(&mut late, |_| ())), 401);
}

#[test]
fn a_nonce_is_good_for_its_client_and_ten_minutes() {
    let mut world = World::new(config());
    let (mut alice, _) = world.allocated("203.0.113.1:1000");
    let mut thief = Client::new("203.0.113.2:1000");
    thief.nonce.clone_from(&alice.nonce);
    let id = world.next_id();
    let datagram = thief.sign(Method::ALLOCATE, id, &|writer| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 17));
    let answer = world.ask(thief.path, &datagram).unwrap();
    assert_eq!(code_of(&answer), 438);
    assert!(!Message::parse(&answer).unwrap().has_integrity(), "a stranger's answer costs no HMAC");

    world.sleep(Duration::from_secs(599));
    let old = alice.nonce.clone();
    assert_eq!(world.refresh(&mut alice, Some(3600)), Ok(3600));
    assert_eq!(alice.nonce, old);
    world.sleep(Duration::from_secs(2));
    assert_eq!(world.refresh(&mut alice, Some(3600)), Ok(3600));
    assert_ne!(alice.nonce, old, "438 brought a new one");
}

#[test]
fn an_integrity_without_its_attributes_is_a_bad_request() {
    let mut world = World::new(config());
    let (alice, _) = world.allocated("203.0.113.1:1000");
    for missing in [Type::USERNAME, Type::REALM, Type::NONCE] {
        let mut out = vec![0; 256];
        let mut writer = Writer::new(&mut out, Class::Request, Method::REFRESH, TransactionId([5; 12]));
        let values = [(Type::USERNAME, &b"alice"[..]), (Type::REALM, REALM.as_bytes()), (Type::NONCE, &alice.nonce)];
        for (kind, value) in values.into_iter().filter(|(kind, _)| *kind != missing) {
            writer.attribute(kind, value);
        }
        let len = writer.integrity(&alice.key()).finish().unwrap();
        assert_eq!(code_of(&world.ask(alice.path, &out[..len]).unwrap()), 400, "{missing:?}");
    }
}

#[test]
fn sha256_is_taken_and_given_back() {
    let mut world = World::new(config());
    let (alice, _) = world.allocated("203.0.113.1:1000");
    let key = KeySha256::new(LongTermKey::derive(b"alice", REALM.as_bytes(), b"wonderland").bytes());
    let mut out = vec![0; 256];
    let len = Writer::new(&mut out, Class::Request, Method::REFRESH, TransactionId([5; 12]))
        .attribute(Type::USERNAME, b"alice")
        .attribute(Type::REALM, REALM.as_bytes())
        .attribute(Type::NONCE, &alice.nonce)
        .integrity_sha256(&key)
        .finish()
        .unwrap();
    let answer = world.ask(alice.path, &out[..len]).unwrap();
    assert_eq!(code_of(&answer), 0);
    assert!(Message::parse(&answer).unwrap().verify_integrity_sha256(&key));
}

#[test]
fn what_another_user_made_is_not_ones_own() {
    let mut world = World::new(config());
    let (alice, _) = world.allocated("203.0.113.1:1000");
    let mut bob = Client::new("203.0.113.1:1000").with_credentials("bob", "builder");
    bob.nonce.clone_from(&alice.nonce);
    assert_eq!(world.refresh(&mut bob, Some(0)), Err(441));
    assert_eq!(world.permit(&mut bob, &["192.0.2.1:1"]), 441);
    assert_eq!(world.server.stats().allocations, 1);
}

#[test]
fn a_request_without_credentials_on_a_live_allocation_is_challenged() {
    let mut world = World::new(config());
    let (mut alice, _) = world.allocated("203.0.113.1:1000");
    alice.nonce.clear();
    let id = world.next_id();
    let datagram = alice.sign(Method::REFRESH, id, &|_| ());
    assert_eq!(code_of(&world.ask(alice.path, &datagram).unwrap()), 401);
}

#[test]
fn attributes_behind_the_integrity_are_not_obeyed() {
    let mut world = World::new(config());
    let (mut alice, relay) = world.allocated("203.0.113.1:1000");
    let id = world.next_id();
    let mut out = vec![0; 512];
    let len = Writer::new(&mut out, Class::Request, Method::CREATE_PERMISSION, id)
        .xor_address(Type::XOR_PEER_ADDRESS, "192.0.2.1:1".parse().unwrap())
        .attribute(Type::USERNAME, b"alice")
        .attribute(Type::REALM, REALM.as_bytes())
        .attribute(Type::NONCE, &alice.nonce)
        .integrity(&alice.key())
        .xor_address(Type::XOR_PEER_ADDRESS, "192.0.2.2:1".parse().unwrap())
        .finish()
        .unwrap();
    assert_eq!(code_of(&world.ask(alice.path, &out[..len]).unwrap()), 0);
    assert!(matches!(world.peer_sends(relay, "192.0.2.1:1", b"x"), Verdict::Indication { .. }));
    assert_eq!(world.peer_sends(relay, "192.0.2.2:1", b"x"), Verdict::Drop(DropReason::NoPermission));
    assert_eq!(world.permit(&mut alice, &["192.0.2.2:1"]), 0);
}

#[test]
fn one_source_gets_only_so_many_unauthenticated_answers() {
    let limits = crate::Config { unauthenticated_answers_per_s_max: 10, unauthenticated_answers_burst_max: 20, ..config() };
    let mut world = World::new(limits);
    let (mut alice, _) = world.allocated("203.0.113.9:1000");
    let answered = |world: &mut World| {
        let ask = |n: u16| world.ask(Client::new(&format!("203.0.113.1:{}", 1000 + n)).path, &bare_allocate());
        (0..100).filter_map(ask).count()
    };
    assert_eq!(answered(&mut world), 20);
    assert_eq!(world.server.stats().dropped(DropReason::RateLimited), 80);
    world.sleep(Duration::from_secs(1));
    assert_eq!(answered(&mut world), 10);
    // Whoever shows credentials is not held back.
    let mut bob = Client::new("203.0.113.1:1").with_credentials("bob", "builder");
    bob.nonce = vec![b'0'; 24];
    assert_eq!(world.refresh(&mut alice, None), Ok(600));
}

#[test]
fn a_binding_answer_holds_the_address_and_nothing_else() {
    let mut world = World::new(config());
    for (remote, len) in [("203.0.113.1:1000", 32), ("[2001:db8::5]:1000", 44)] {
        let client = Client::new(remote);
        let mut request = [0; 20];
        Writer::new(&mut request, Class::Request, Method::BINDING, TransactionId([3; 12])).finish().unwrap();
        let answer = world.ask(client.path, &request).unwrap();
        assert_eq!(answer.len(), len);
        assert_eq!(Message::parse(&answer).unwrap().xor_mapped_address(), Ok(Some(client.path.remote)));
    }
    let mut request = [0; 64];
    let len = Writer::new(&mut request, Class::Request, Method::BINDING, TransactionId([3; 12]))
        .attribute(Type(0x7777), b"x")
        .attribute(Type(0x7777), b"x")
        .fingerprint()
        .finish()
        .unwrap();
    let answer = world.ask(Client::new("203.0.113.1:1000").path, &request[..len]).unwrap();
    let message = Message::parse(&answer).unwrap();
    assert_eq!(code_of(&answer), 420);
    assert!(message.unknown_attributes().eq([Type(0x7777)]));
    assert!(message.verify_fingerprint(), "asked with a fingerprint, answered with one");
}

#[test]
fn what_no_server_expects_is_dropped_by_name() {
    let mut world = World::new(config());
    let client = Client::new("203.0.113.1:1000").path;
    let write = |class, method| {
        let mut out = vec![0; 20];
        Writer::new(&mut out, class, method, TransactionId([3; 12])).finish().unwrap();
        out
    };
    let mut wrong_fingerprint = Client::new("203.0.113.1:1000").sign(Method::BINDING, TransactionId([3; 12]), &|_| ());
    *wrong_fingerprint.last_mut().unwrap() ^= 1;
    for (datagram, reason) in [
        (vec![], DropReason::NotTurn),
        (vec![0x16, 0xfe, 0xfd], DropReason::NotTurn),
        (vec![0; 20], DropReason::MalformedStun),
        (vec![0x40, 0, 0], DropReason::MalformedChannelData),
        (vec![0x40, 0, 0x8a, 0xb6, 1, 2, 3], DropReason::MalformedChannelData),
        (vec![0x40, 0, 0, 0], DropReason::NoAllocation),
        (write(Class::Success, Method::BINDING), DropReason::UnexpectedClass),
        (write(Class::Indication, Method::DATA), DropReason::UnexpectedClass),
        (write(Class::Request, Method(0x0C)), DropReason::UnknownMethod),
        (write(Class::Request, Method(0x0D)), DropReason::UnknownMethod),
        (write(Class::Indication, Method::SEND), DropReason::BadSend),
        (Client::send_indication("192.0.2.1:1", b"x"), DropReason::NoAllocation),
        (wrong_fingerprint, DropReason::BadFingerprint),
    ] {
        let before = world.server.stats().dropped(reason);
        assert_eq!(world.client_sends(client, &datagram), Verdict::Drop(reason));
        assert_eq!(world.server.stats().dropped(reason), before + 1);
    }
    assert_eq!(world.client_sends(client, &write(Class::Indication, Method::BINDING)), Verdict::Handled);
}

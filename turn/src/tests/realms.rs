use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Message, Writer};

use super::world::*;
use crate::config::Secret;
use crate::{Config, Realm, Rules};

const OTHER: &str = "crinna.org";
const ORIGIN: &[u8] = b"https://crinna.org";

fn secret(text: &str) -> Secret {
    Secret(text.to_owned())
}

fn other_realm() -> Realm {
    Realm {
        name: OTHER.to_owned(),
        users: vec![("gorst".to_owned(), secret("hero"))],
        origins: vec!["https://crinna.org:443".to_owned()],
        ..Realm::default()
    }
}

fn two_realms() -> Config {
    Config { realms: vec![other_realm()], ..config() }
}

fn gorst(port: u16) -> Client {
    let mut client = Client::new(&format!("203.0.113.7:{port}")).with_credentials("gorst", "hero");
    client.realm = OTHER.to_owned();
    client
}

fn origin(value: &'static [u8]) -> impl Fn(&mut Writer<'_>) {
    move |writer| _ = writer.attribute(Type::ORIGIN, value)
}

fn challenged_for(world: &mut World, origins: &[&[u8]]) -> Vec<u8> {
    let client = Client::new("203.0.113.1:1000");
    let id = world.next_id();
    let datagram = client.sign(pointsman_wire::stun::Method::ALLOCATE, id, &|writer| {
        origins.iter().for_each(|origin| _ = writer.attribute(Type::ORIGIN, origin));
    });
    let answer = world.ask(client.path, &datagram).unwrap();
    assert_eq!(code_of(&answer), 401);
    Message::parse(&answer).unwrap().realm().unwrap().to_vec()
}

#[test]
fn an_origin_selects_the_realm_of_the_challenge() {
    let mut world = World::new(two_realms());
    assert_eq!(challenged_for(&mut world, &[]), REALM.as_bytes());
    assert_eq!(challenged_for(&mut world, &[b"http://elsewhere"]), REALM.as_bytes());
    assert_eq!(challenged_for(&mut world, &[ORIGIN]), OTHER.as_bytes());
    assert_eq!(challenged_for(&mut world, &[b"http://elsewhere", b"HTTPS://Crinna.org:443"]), OTHER.as_bytes(), "the first that is known");
}

#[test]
fn users_belong_to_their_realm() {
    let mut world = World::new(two_realms());
    assert_eq!(code_of(&world.allocate(&mut gorst(1), origin(ORIGIN))), 0);
    let mut misplaced = gorst(2);
    misplaced.realm = REALM.to_owned();
    assert_eq!(code_of(&world.allocate(&mut misplaced, |_| ())), 401);
    let mut alice = Client::new("203.0.113.1:1000");
    alice.realm = OTHER.to_owned();
    assert_eq!(code_of(&world.allocate(&mut alice, origin(ORIGIN))), 401);
    let mut nowhere = gorst(3);
    nowhere.realm = "nowhere".to_owned();
    assert_eq!(code_of(&world.allocate(&mut nowhere, |_| ())), 401);
    assert_eq!((world.ledger.allocations(OTHER), world.ledger.allocations(REALM)), (1, 0));
}

/// A namesake of another realm with the same password is somebody else.
#[test]
fn an_allocation_does_not_answer_to_a_namesake() {
    let mut realm = other_realm();
    realm.users = vec![("alice".to_owned(), secret("wonderland"))];
    let mut world = World::new(Config { realms: vec![realm], ..config() });
    let (alice, _) = world.allocated("203.0.113.1:1000");
    let mut namesake = Client { realm: OTHER.to_owned(), ..alice.clone() };
    assert_eq!(world.refresh(&mut namesake, Some(0)), Err(401));
    assert_eq!(world.server.stats().allocations, 1);
}

#[test]
fn an_origin_must_be_kept_to_where_that_is_wanted() {
    for (check_origin, changed) in [(true, Err(441)), (false, Ok(600))] {
        let mut world = World::new(Config { check_origin, ..two_realms() });
        let mut client = gorst(1);
        assert_eq!(code_of(&world.allocate(&mut client, origin(ORIGIN))), 0);
        let mut refresh = |client: &mut Client, origins: &[&[u8]]| {
            let answer = world.request(client, pointsman_wire::stun::Method::REFRESH, |writer| {
                origins.iter().for_each(|origin| _ = writer.attribute(Type::ORIGIN, origin));
            });
            if code_of(&answer) == 0 { Ok(600) } else { Err(code_of(&answer)) }
        };
        assert_eq!(refresh(&mut client, &[b"https://Crinna.org/"]), Ok(600), "another spelling of the same");
        assert_eq!(refresh(&mut client, &[b"http://else", ORIGIN]), Ok(600), "one of several");
        assert_eq!(refresh(&mut client, &[b"http://else"]), changed);
        assert_eq!(refresh(&mut client, &[]), changed);
        let mut alice = Client::new("203.0.113.1:1000");
        assert_eq!(code_of(&world.allocate(&mut alice, |_| ())), 0);
        let answer = world.request(&mut alice, pointsman_wire::stun::Method::REFRESH, origin(b"http://else"));
        assert_eq!(code_of(&answer), changed.err().unwrap_or(0), "made from no origin, then from one");
        // An origin that selects one realm is not used with the credentials of another.
        let mut bob = Client::new("203.0.113.2:1000").with_credentials("bob", "builder");
        assert_eq!(code_of(&world.allocate(&mut bob, origin(ORIGIN))), changed.err().unwrap_or(0));
    }
}

#[test]
fn rules_come_and_go_while_allocations_stay() {
    let mut world = World::new(config());
    let later = world.now.unix.as_secs() + 3600;
    let username = format!("{later}:carol");
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, b"rotated");
    let password = STANDARD.encode(hmac::sign(&key, username.as_bytes()));
    let carol = |port: u16| Client::new(&format!("203.0.113.3:{port}")).with_credentials(&username, &password);
    assert_eq!(code_of(&world.allocate(&mut carol(1), |_| ())), 401);

    let with_secret = Realm { name: REALM.to_owned(), shared_secrets: vec![secret("rotated")], total_quota: Some(2), ..Realm::default() };
    let rules = Arc::new(Rules { realms: vec![with_secret, other_realm()], ..Rules::default() });
    world.server.update(world.now, &rules);
    let mut first = carol(1);
    assert_eq!(code_of(&world.allocate(&mut first, |_| ())), 0);
    assert_eq!(code_of(&world.allocate(&mut gorst(1), origin(ORIGIN))), 0, "a realm that the configuration does not know");
    assert_eq!(code_of(&world.allocate(&mut Client::new("203.0.113.1:1"), |_| ())), 0, "the configuration's users are still there");
    assert_eq!(code_of(&world.allocate(&mut carol(2), |_| ())), 486, "the rules' quota");

    world.server.update(world.now, &Arc::new(Rules::default()));
    assert_eq!(code_of(&world.allocate(&mut carol(3), |_| ())), 401, "the secret is gone");
    assert_eq!(world.refresh(&mut first, None), Ok(600), "what it made goes on");
    assert_eq!(code_of(&world.allocate(&mut gorst(2), origin(ORIGIN))), 401);
    assert_eq!(code_of(&world.allocate(&mut Client::new("203.0.113.1:2"), |_| ())), 0);
}

#[test]
fn without_credentials_where_the_operator_wants_it() {
    let mut world = World::new(Config { anonymous: true, user_quota: 2, ..config() });
    let mut clients: Vec<Client> = (1..=3).map(|n| Client::new(&format!("203.0.113.1:{n}"))).collect();
    let bare = |world: &mut World, client: &Client, method, write: &dyn Fn(&mut Writer<'_>)| {
        let id = world.next_id();
        let datagram = client.sign(method, id, &write);
        world.ask(client.path, &datagram).unwrap()
    };
    use pointsman_wire::stun::Method;
    let transport = |writer: &mut Writer<'_>| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 17);
    let codes: Vec<u16> = clients.iter().map(|client| code_of(&bare(&mut world, client, Method::ALLOCATE, &transport))).collect();
    assert_eq!(codes, [0, 0, 486], "quotas hold");
    let answer = bare(&mut world, &clients[0], Method::REFRESH, &|writer| _ = writer.u32(Type::LIFETIME, 0));
    let message = Message::parse(&answer).unwrap();
    assert_eq!((code_of(&answer), message.has_integrity()), (0, false));
    assert_eq!(code_of(&bare(&mut world, &clients[2], Method::ALLOCATE, &transport)), 0);
    assert_eq!(code_of(&bare(&mut world, &clients[1], Method::ALLOCATE, &|_| ())), 437);
    // Credentials that nobody asked for do no harm.
    clients[2].nonce = b"0123456789abcdef".to_vec();
    assert_eq!(code_of(&bare(&mut world, &clients[2], Method::REFRESH, &|_| ())), 0);
    assert_eq!(world.server.stats().challenges_total, 0);
}

#[test]
fn binding_may_need_credentials_and_may_be_all_there_is() {
    use pointsman_wire::stun::Method;
    let mut world = World::new(Config { secure_stun: true, ..config() });
    let mut alice = Client::new("203.0.113.1:1000");
    let id = world.next_id();
    let datagram = alice.sign(Method::BINDING, id, &|_| ());
    assert_eq!(code_of(&world.ask(alice.path, &datagram).unwrap()), 401);
    let answer = world.request(&mut alice, Method::BINDING, |_| ());
    assert_eq!(Message::parse(&answer).unwrap().xor_mapped_address(), Ok(Some(alice.path.remote)));
    let mut wrong = Client::new("203.0.113.1:1000").with_credentials("alice", "wrong");
    assert_eq!(code_of(&world.request(&mut wrong, Method::BINDING, |_| ())), 401);

    let mut world = World::new(Config { stun_only: true, ..config() });
    let id = world.next_id();
    let datagram = Client::new("203.0.113.1:1").sign(Method::BINDING, id, &|_| ());
    assert_eq!(code_of(&world.ask(alice.path, &datagram).unwrap()), 0);
    let datagram = Client::new("203.0.113.1:1").sign(Method::ALLOCATE, id, &|_| ());
    assert_eq!(world.client_sends(alice.path, &datagram), crate::Verdict::Drop(crate::DropReason::StunOnly));
    world.sleep(Duration::from_secs(1));

    let mut world = World::new(Config { no_stun: true, ..config() });
    let datagram = alice.sign(Method::BINDING, id, &|_| ());
    assert_eq!(world.client_sends(alice.path, &datagram), crate::Verdict::Drop(crate::DropReason::NoStun));
    let mut alice = Client::new("203.0.113.1:1000");
    assert_eq!(code_of(&world.allocate(&mut alice, |_| ())), 0, "TURN goes on");
}

#[test]
fn every_answer_ends_as_the_operator_wants() {
    use pointsman_wire::stun::{Class, Method, Writer};
    for (fingerprint, software) in [(false, ""), (true, ""), (false, "Example 1.0"), (true, "Example 1.0")] {
        let mut world = World::new(Config { fingerprint, software: software.to_owned(), ..config() });
        let mut alice = Client::new("203.0.113.1:1000");
        let bare = |method| {
            let mut out = vec![0; 100];
            let len = Writer::new(&mut out, Class::Request, method, pointsman_wire::stun::TransactionId([7; 12])).finish().unwrap();
            out.truncate(len);
            out
        };
        let challenge = world.ask(alice.path, &bare(Method::ALLOCATE)).unwrap();
        let binding = world.ask(alice.path, &bare(Method::BINDING)).unwrap();
        let success = world.allocate(&mut alice, |_| ());
        let refusal = world.allocate(&mut alice, |_| ());
        assert_eq!([&challenge, &binding, &success, &refusal].map(|answer| code_of(answer)), [401, 0, 0, 437]);
        // The test's client signs its requests with one.
        for (answer, asked) in [(&challenge, false), (&binding, false), (&success, true), (&refusal, true)] {
            let message = Message::parse(answer).unwrap();
            assert_eq!(message.has_fingerprint(), fingerprint || asked);
            assert!(!message.has_fingerprint() || message.verify_fingerprint());
            assert_eq!(message.attribute(pointsman_wire::stun::attribute::Type::SOFTWARE).unwrap_or_default(), software.as_bytes());
        }
    }
}

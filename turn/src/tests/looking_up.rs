use std::time::Duration;

use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Message, Method};

use super::world::*;
use crate::auth::LongTermKey;
use crate::{Config, DropReason, KeyAnswer, Verdict};

fn with_database() -> World {
    World::new(Config { lookups: true, ..config() })
}

/// A client whose user the database knows.
fn dora(port: u16) -> Client {
    Client::new(&format!("203.0.113.5:{port}")).with_credentials("dora", "explorer")
}

fn key_of(client: &Client) -> KeyAnswer {
    let key = LongTermKey::derive(client.username.as_bytes(), client.realm.as_bytes(), client.password.as_bytes());
    KeyAnswer::Key(key.bytes().try_into().unwrap())
}

fn signed(world: &mut World, client: &mut Client) -> Vec<u8> {
    if client.nonce.is_empty() {
        client.nonce = world.nonce_for(client);
    }
    let id = world.next_id();
    client.sign(Method::ALLOCATE, id, &|writer| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 17))
}

/// Sends an Allocate, which must wait, then the database's answer: what the client gets.
fn allocate_after(world: &mut World, client: &mut Client, answer: KeyAnswer) -> Vec<u8> {
    let datagram = signed(world, client);
    assert_eq!(world.client_sends(client.path, &datagram), Verdict::Handled);
    assert_eq!(world.lookups.len(), 1, "the database is asked");
    let (lookup, realm, username) = world.lookups.remove(0);
    assert_eq!((realm.as_str(), username.as_slice()), (client.realm.as_str(), client.username.as_bytes()));
    world.server.handle_key(world.now, lookup, answer);
    world.drain();
    assert_eq!(world.late.len(), 1, "answered once");
    world.late.remove(0).1
}

/// Sends an Allocate that must be answered without a question to the database.
fn allocate_at_once(world: &mut World, client: &mut Client) -> u16 {
    let datagram = signed(world, client);
    let answer = world.ask(client.path, &datagram).expect("an answer");
    assert!(world.lookups.is_empty(), "the database was asked");
    code_of(&answer)
}

#[test]
fn an_unknown_user_is_looked_up_and_then_served() {
    let mut world = with_database();
    let mut client = dora(1);
    let answer = allocate_after(&mut world, &mut client, key_of(&dora(1)));
    assert_eq!(code_of(&answer), 0);
    assert!(Message::parse(&answer).unwrap().verify_integrity(&client.key()));
    assert_eq!(world.refresh(&mut client, None), Ok(600));
    assert_eq!(allocate_at_once(&mut world, &mut dora(2)), 0, "remembered");
    assert_eq!(allocate_at_once(&mut world, &mut dora(3).with_credentials("dora", "wrong")), 401);
    assert_eq!(world.server.stats().lookups_total, 1);
    assert_eq!(world.ledger.user_allocations(REALM, b"dora"), 2);
}

#[test]
fn users_of_the_configuration_are_not_looked_up() {
    let mut world = with_database();
    assert_eq!(code_of(&world.allocate(&mut Client::new("203.0.113.1:1"), |_| ())), 0);
    assert_eq!(allocate_at_once(&mut world, &mut Client::new("203.0.113.1:2").with_credentials("alice", "wrong")), 401);
    let later = world.now.unix.as_secs() + 60;
    let forged = Client::new("203.0.113.1:3").with_credentials(&format!("{later}:carol"), "wrong");
    assert_eq!(allocate_at_once(&mut world, &mut forged.clone()), 401, "time-limited credentials that no secret made");
}

#[test]
fn nobody_is_asked_about_without_a_good_nonce() {
    let mut world = with_database();
    let mut client = dora(1);
    client.nonce = vec![b'0'; 24];
    for port in 1..1000 {
        client.path.remote.set_port(port);
        let datagram = signed(&mut world, &mut client);
        world.client_sends(client.path, &datagram);
    }
    assert!(world.lookups.is_empty());
    assert_eq!((world.server.stats().lookups_total, world.server.poll_timeout()), (0, None), "a stranger leaves no state");
}

#[test]
fn a_user_who_does_not_exist_is_remembered_for_a_while() {
    let mut world = with_database();
    assert_eq!(code_of(&allocate_after(&mut world, &mut dora(1), KeyAnswer::Unknown)), 401);
    assert_eq!(allocate_at_once(&mut world, &mut dora(2)), 401);
    world.sleep(Duration::from_secs(5));
    assert_eq!(code_of(&allocate_after(&mut world, &mut dora(3), key_of(&dora(3)))), 0, "has come to exist");
}

#[test]
fn a_changed_password_is_seen() {
    let mut world = with_database();
    assert_eq!(code_of(&allocate_after(&mut world, &mut dora(1), key_of(&dora(1)))), 0);
    let changed = |port| dora(port).with_credentials("dora", "changed");
    assert_eq!(allocate_at_once(&mut world, &mut changed(2)), 401, "looked up a moment ago");
    world.sleep(Duration::from_secs(5));
    assert_eq!(code_of(&allocate_after(&mut world, &mut changed(2), key_of(&changed(2)))), 0);
    world.sleep(Duration::from_secs(61));
    assert_eq!(code_of(&allocate_after(&mut world, &mut changed(3), KeyAnswer::Unknown)), 401, "no user for ever");
}

#[test]
fn without_the_database_those_known_keep_going() {
    let mut world = with_database();
    let mut client = dora(1);
    assert_eq!(code_of(&allocate_after(&mut world, &mut client, key_of(&dora(1)))), 0);
    world.sleep(Duration::from_secs(590));
    assert_eq!(world.refresh(&mut client, None), Ok(600), "an allocation needs no database");
    assert_eq!(code_of(&allocate_after(&mut world, &mut dora(2), KeyAnswer::Unavailable)), 0, "remembered, however old");
    let wrong = dora(3).with_credentials("dora", "wrong");
    assert_eq!(code_of(&allocate_after(&mut world, &mut wrong.clone(), KeyAnswer::Unavailable)), 401);
    let new = Client::new("203.0.113.6:1").with_credentials("newcomer", "x");
    assert_eq!(code_of(&allocate_after(&mut world, &mut new.clone(), KeyAnswer::Unavailable)), 500);
    assert_eq!(world.server.stats().users_unavailable_total, 1);
}

#[test]
fn an_answer_that_does_not_come_counts_as_none() {
    let mut world = with_database();
    let mut client = dora(1);
    let datagram = signed(&mut world, &mut client);
    assert_eq!(world.client_sends(client.path, &datagram), Verdict::Handled);
    assert_eq!(world.client_sends(client.path, &datagram), Verdict::Handled, "a retransmission");
    assert_eq!((world.lookups.len(), world.server.stats().lookups_waiting), (1, 1), "one question");
    world.sleep(Duration::from_secs(6));
    assert_eq!(world.late.len(), 1);
    assert_eq!(code_of(&world.late.remove(0).1), 500);
    assert_eq!((world.server.poll_timeout(), world.server.stats().lookups_waiting), (None, 0));
    let (lookup, ..) = world.lookups.remove(0);
    world.server.handle_key(world.now, lookup, key_of(&client));
    world.drain();
    assert!(world.late.is_empty(), "too late");
}

#[test]
fn what_waits_is_bounded() {
    let mut world = World::new(Config { lookups: true, lookups_max: 2, lookup_requests_max: 2, ..config() });
    let ask = |world: &mut World, name: &str, port| {
        let mut client = Client::new(&format!("203.0.113.8:{port}")).with_credentials(name, "x");
        let datagram = signed(world, &mut client);
        world.client_sends(client.path, &datagram)
    };
    assert_eq!(ask(&mut world, "a", 1), Verdict::Handled);
    assert_eq!(ask(&mut world, "a", 2), Verdict::Handled);
    assert_eq!(ask(&mut world, "a", 3), Verdict::Drop(DropReason::LookupsFull), "of one user");
    assert_eq!(ask(&mut world, "b", 4), Verdict::Handled);
    assert_eq!(ask(&mut world, "c", 5), Verdict::Drop(DropReason::LookupsFull), "of all");
    assert_eq!(world.server.stats().dropped(DropReason::LookupsFull), 2);
    assert_eq!(world.lookups.len(), 2);
}

#[test]
fn one_source_cannot_keep_the_database_busy() {
    let mut world = World::new(Config { lookups: true, wrong_credentials_burst_max: 3, wrong_credentials_per_s_max: 1, ..config() });
    for port in 1..=10 {
        assert_eq!(
            code_of(&allocate_after(&mut world, &mut dora(port).with_credentials(&format!("dora {port}"), "x"), KeyAnswer::Key([0; 16]))),
            401
        );
        world.sleep(Duration::from_secs(1));
    }
    world.sleep(Duration::from_secs(3));
    let ask = |world: &mut World, name: &str, port| {
        let mut client = dora(port).with_credentials(name, "explorer");
        let datagram = signed(world, &mut client);
        world.client_sends(client.path, &datagram)
    };
    for (n, name) in ["a", "b", "c"].into_iter().enumerate() {
        assert_eq!(ask(&mut world, name, 100 + n as u16), Verdict::Handled);
    }
    assert_eq!(ask(&mut world, "d", 200), Verdict::Drop(DropReason::Guessing));
    assert_eq!(world.lookups.len(), 3);
    // Those who are known do not count: an office comes to work.
    let mut world = World::new(Config { lookups: true, wrong_credentials_burst_max: 3, wrong_credentials_per_s_max: 1, ..config() });
    for port in 1..=20 {
        let mut client = dora(port).with_credentials(&format!("worker {port}"), "x");
        let key = key_of(&client);
        assert_eq!(code_of(&allocate_after(&mut world, &mut client, key)), 0, "number {port}");
    }
}

#[test]
fn two_requests_of_one_user_are_both_answered() {
    let mut world = with_database();
    let mut clients = [dora(1), dora(2)];
    for client in &mut clients {
        let datagram = signed(&mut world, client);
        assert_eq!(world.client_sends(client.path, &datagram), Verdict::Handled);
    }
    let (lookup, ..) = world.lookups.remove(0);
    world.server.handle_key(world.now, lookup, key_of(&clients[0]));
    world.drain();
    assert_eq!(world.late.iter().map(|(_, answer)| code_of(answer)).collect::<Vec<_>>(), [0, 0]);
    assert!(world.lookups.is_empty());
}

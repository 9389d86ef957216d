use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pointsman_wire::stun::attribute::{Family, Type};
use pointsman_wire::stun::{Message, Method, Writer};
use proptest::prelude::*;

use super::world::*;
use crate::config::External;
use crate::{Config, DropReason, OpenError, Verdict};

fn family(code: u8) -> impl Fn(&mut Writer<'_>) {
    move |writer| _ = writer.first_of_four(Type::REQUESTED_ADDRESS_FAMILY, code)
}

fn token_of(answer: &[u8]) -> [u8; 8] {
    Message::parse(answer).unwrap().reservation_token().unwrap().expect("a token")
}

#[test]
fn an_allocation_says_where_and_for_how_long() {
    let mut world = World::new(config());
    let mut alice = Client::new("203.0.113.1:1000");
    let answer = world.allocate(&mut alice, |_| ());
    let message = Message::parse(&answer).unwrap();
    assert_eq!(relayed(&answer), [world.open[0].1]);
    assert!((50000..=50999).contains(&world.open[0].1.port()));
    assert_eq!(message.xor_mapped_address(), Ok(Some(alice.path.remote)));
    assert_eq!(message.lifetime(), Ok(Some(600)));
    assert!(!message.has(Type::SOFTWARE));
}

#[test]
fn success_waits_for_the_socket() {
    let mut world = World::new(config());
    world.hold_sockets = true;
    let mut alice = Client::new("203.0.113.1:1000");
    alice.nonce = world.nonce_for(&alice);
    let id = world.next_id();
    let datagram = alice.sign(Method::ALLOCATE, id, &|writer| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 17));
    assert_eq!(world.client_sends(alice.path, &datagram), Verdict::Handled);
    assert_eq!(world.client_sends(alice.path, &datagram), Verdict::Handled, "a retransmission meanwhile asks for no second socket");
    assert!(world.late.is_empty() && world.held.len() == 1);
    let (relay, address) = world.held.remove(0);
    world.bind(relay, address);
    world.drain();
    assert_eq!(world.late.len(), 1);
    assert_eq!(code_of(&world.late[0].1), 0);
}

#[test]
fn a_socket_that_never_comes_is_given_up() {
    let mut world = World::new(config());
    world.hold_sockets = true;
    let mut alice = Client::new("203.0.113.1:1000");
    alice.nonce = world.nonce_for(&alice);
    let id = world.next_id();
    let datagram = alice.sign(Method::ALLOCATE, id, &|writer| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 17));
    assert_eq!(world.client_sends(alice.path, &datagram), Verdict::Handled);
    let (relay, address) = world.held[0];
    world.sleep(Duration::from_secs(6));
    assert_eq!(code_of(&world.late[0].1), 508);
    assert!(world.held.is_empty(), "told to forget it");
    assert_eq!((world.server.stats().allocations, world.server.stats().relays), (0, 0));
    // Too late.
    world.server.handle_relay_opened(world.now, relay, Ok(address));
    assert_eq!(world.server.stats().relays, 0);
}

#[test]
fn a_retransmitted_allocate_gets_the_same_answer_and_another_one_437() {
    let mut world = World::new(config());
    let mut alice = Client::new("203.0.113.1:1000");
    alice.nonce = world.nonce_for(&alice);
    let id = world.next_id();
    let datagram = alice.sign(Method::ALLOCATE, id, &|writer| {
        writer.first_of_four(Type::REQUESTED_TRANSPORT, 17).attribute(Type::EVEN_PORT, &[0x80]);
    });
    let first = world.ask(alice.path, &datagram).unwrap();
    let again = world.ask(alice.path, &datagram).unwrap();
    assert_eq!(first, again);
    assert_eq!(world.open.len(), 1);
    assert_eq!(code_of(&world.allocate(&mut alice, |_| ())), 437);
    assert_eq!(world.server.stats().allocations, 1);
}

#[test]
fn ports_in_use_are_drawn_again_and_then_508() {
    let mut world = World::new(config());
    let mut refused = 0;
    world.taken = Box::new(move |_| {
        refused += 1;
        refused <= 10
    });
    let (_, relay) = world.allocated("203.0.113.1:1000");
    assert_eq!(world.open[0].0, relay);
    world.taken = Box::new(|_| true);
    let mut bob = Client::new("203.0.113.2:1000");
    assert_eq!(code_of(&world.allocate(&mut bob, |_| ())), 508);
    assert_eq!((world.server.stats().allocations, world.server.stats().relays), (1, 1));
    assert_eq!(world.server.stats().allocations_refused_total, 1);
}

#[test]
fn a_socket_that_cannot_be_is_not_tried_again() {
    let mut world = World::new(config());
    world.hold_sockets = true;
    let mut alice = Client::new("203.0.113.1:1000");
    alice.nonce = world.nonce_for(&alice);
    let id = world.next_id();
    let datagram = alice.sign(Method::ALLOCATE, id, &|writer| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 17));
    world.client_sends(alice.path, &datagram);
    let (relay, _) = world.held.remove(0);
    world.server.handle_relay_opened(world.now, relay, Err(OpenError::Failed));
    world.drain();
    assert!(world.held.is_empty());
    assert_eq!(code_of(&world.late[0].1), 508);
}

#[test]
fn ports_are_not_predictable_from_their_predecessors() {
    let mut world = World::new(config());
    let ports: Vec<u16> = (0..20)
        .map(|n| {
            world.allocated(&format!("203.0.113.1:{}", 1000 + n));
            world.open.last().unwrap().1.port()
        })
        .collect();
    let steps: std::collections::HashSet<i32> = ports.windows(2).map(|w| i32::from(w[1]) - i32::from(w[0])).collect();
    assert!(steps.len() > 15, "{ports:?}");
}

#[test]
fn what_is_asked_must_make_sense() {
    let cases: &[(&str, u16, Write<'_>)] = &[
        ("no transport", 400, &|_| ()),
        ("TCP", 442, &|w| _ = w.first_of_four(Type::REQUESTED_TRANSPORT, 6)),
        ("transport of two bytes", 400, &|w| _ = w.attribute(Type::REQUESTED_TRANSPORT, &[17, 0])),
        ("family 3", 440, &|w| _ = w.first_of_four(Type::REQUESTED_TRANSPORT, 17).first_of_four(Type::REQUESTED_ADDRESS_FAMILY, 3)),
        ("two kinds of family", 400, &|w| {
            w.first_of_four(Type::REQUESTED_TRANSPORT, 17).first_of_four(Type::REQUESTED_ADDRESS_FAMILY, 1);
            w.first_of_four(Type::ADDITIONAL_ADDRESS_FAMILY, 2);
        }),
        ("additional IPv4", 400, &|w| _ = w.first_of_four(Type::REQUESTED_TRANSPORT, 17).first_of_four(Type::ADDITIONAL_ADDRESS_FAMILY, 1)),
        ("a pair of two families", 400, &|w| {
            w.first_of_four(Type::REQUESTED_TRANSPORT, 17).first_of_four(Type::ADDITIONAL_ADDRESS_FAMILY, 2);
            w.attribute(Type::EVEN_PORT, &[0x80]);
        }),
        ("a token and an even port", 400, &|w| {
            w.first_of_four(Type::REQUESTED_TRANSPORT, 17).attribute(Type::RESERVATION_TOKEN, &[0; 8]).attribute(Type::EVEN_PORT, &[0]);
        }),
        ("a token that nobody gave", 508, &|w| {
            w.first_of_four(Type::REQUESTED_TRANSPORT, 17).attribute(Type::RESERVATION_TOKEN, &[0; 8]);
        }),
        ("something unknown", 420, &|w| _ = w.first_of_four(Type::REQUESTED_TRANSPORT, 17).attribute(Type(0x7777), b"x")),
    ];
    for (what, code, write) in cases {
        let mut world = World::new(config());
        let mut alice = Client::new("203.0.113.1:1000");
        let answer = world.request(&mut alice, Method::ALLOCATE, write);
        assert_eq!(code_of(&answer), *code, "{what}");
        assert_eq!((world.server.stats().allocations, world.open.len()), (0, 0), "{what}");
    }
}

#[test]
fn attributes_of_old_clients_are_borne() {
    let mut world = World::new(config());
    let mut alice = Client::new("203.0.113.1:1000");
    let answer = world.allocate(&mut alice, |writer| {
        writer.attribute(Type::DONT_FRAGMENT, &[]).u32(Type(0x0010), 100_000);
        writer.attribute(Type(0x802F), b"http://example.org");
    });
    assert_eq!(code_of(&answer), 0);
}

#[test]
fn families_one_at_a_time() {
    let mut world = World::new(config());
    let mut alice = Client::new("203.0.113.1:1000");
    assert!(relayed(&world.allocate(&mut alice, family(2)))[0].is_ipv6());
    let mut bob = Client::new("[2001:db8::9]:1000");
    assert!(relayed(&world.allocate(&mut bob, family(1)))[0].is_ipv4());
    let mut carol = Client::new("[2001:db8::9]:1001");
    assert!(relayed(&world.allocate(&mut carol, |_| ()))[0].is_ipv4(), "IPv4 unless asked otherwise");
    let mut only_v4 = World::new(Config { relay_addresses: vec![ip("198.51.100.1")], ..config() });
    assert_eq!(code_of(&only_v4.allocate(&mut Client::new("203.0.113.1:1000"), family(2))), 440);
}

#[test]
fn both_families_at_once_under_either_number() {
    for kind in [Type::ADDITIONAL_ADDRESS_FAMILY, Type::ADDITIONAL_ADDRESS_FAMILY_DRAFT] {
        let mut world = World::new(config());
        let mut alice = Client::new("203.0.113.1:1000");
        let answer = world.allocate(&mut alice, |writer| _ = writer.first_of_four(kind, 2));
        let addresses = relayed(&answer);
        assert_eq!(addresses.iter().map(SocketAddr::is_ipv6).collect::<Vec<_>>(), [false, true]);
        assert_eq!(world.permit(&mut alice, &["192.0.2.1:1", "[2001:db8::1]:1"]), 0);
        // One half is given up, the other stays.
        let answer = world.request(&mut alice, Method::REFRESH, |writer| {
            writer.u32(Type::LIFETIME, 0).first_of_four(Type::REQUESTED_ADDRESS_FAMILY, 1);
        });
        assert_eq!(code_of(&answer), 0);
        assert_eq!(world.open.len(), 1);
        assert!(world.open[0].1.is_ipv6());
        assert_eq!(world.permit(&mut alice, &["192.0.2.1:1"]), 443);
        assert_eq!(world.refresh(&mut alice, Some(0)), Ok(0));
        assert!(world.open.is_empty());
    }
}

#[test]
fn one_of_two_families_is_enough() {
    for (v4, v6, refused) in [(true, false, Family::V6), (false, true, Family::V4)] {
        let mut config = config();
        config.relay_addresses.retain(|ip| if ip.is_ipv4() { v4 } else { v6 });
        let mut world = World::new(config);
        let mut alice = Client::new("203.0.113.1:1000");
        let answer = world.allocate(&mut alice, |writer| _ = writer.first_of_four(Type::ADDITIONAL_ADDRESS_FAMILY, 2));
        assert_eq!(relayed(&answer).len(), 1);
        assert_eq!(Message::parse(&answer).unwrap().address_error_code(), Ok(Some((Some(refused), 440))));
    }
    let mut world = World::new(config());
    world.taken = Box::new(|address| address.is_ipv6());
    let mut alice = Client::new("203.0.113.1:1000");
    let answer = world.allocate(&mut alice, |writer| _ = writer.first_of_four(Type::ADDITIONAL_ADDRESS_FAMILY, 2));
    assert_eq!(Message::parse(&answer).unwrap().address_error_code(), Ok(Some((Some(Family::V6), 508))));
    assert_eq!((relayed(&answer).len(), world.open.len()), (1, 1));
}

#[test]
fn an_even_port_and_its_neighbour() {
    let mut world = World::new(config());
    let (mut alice, mut second) = (Client::new("203.0.113.1:1000"), Client::new("203.0.113.1:1001"));
    // The first draw is taken: the pair moves.
    let mut first = true;
    world.taken = Box::new(move |_| std::mem::take(&mut first));
    let answer = world.allocate(&mut alice, |writer| _ = writer.attribute(Type::EVEN_PORT, &[0x80]));
    let token = token_of(&answer);
    let port = relayed(&answer)[0].port();
    assert_eq!(port % 2, 0);
    assert_eq!(world.open.iter().map(|(_, address)| address.port()).collect::<Vec<_>>(), [port]);
    assert_eq!(world.ledger.ports_in_use(Family::V4), 2, "the pair, and nothing of the first draw");
    assert_eq!(world.server.stats().reservations, 1);

    let claim =
        |writer: &mut Writer<'_>| _ = writer.attribute(Type::RESERVATION_TOKEN, &token).first_of_four(Type::REQUESTED_ADDRESS_FAMILY, 1);
    let answer = world.allocate(&mut second, claim);
    assert_eq!(relayed(&answer)[0].port(), port + 1);
    assert_eq!(world.server.stats().reservations, 0);
    let mut third = Client::new("203.0.113.1:1002");
    assert_eq!(code_of(&world.allocate(&mut third, claim)), 508, "a token serves once");
    assert_eq!(world.refresh(&mut second, Some(0)), Ok(0));
    assert_eq!(world.refresh(&mut alice, Some(0)), Ok(0));
    assert!(world.open.is_empty());
    assert_eq!(world.ledger.ports_in_use(Family::V4), 0);
}

#[test]
fn even_without_a_neighbour() {
    let mut world = World::new(Config { relay_ports: 50001..=50003, ..config() });
    let mut alice = Client::new("203.0.113.1:1000");
    let answer = world.allocate(&mut alice, |writer| _ = writer.attribute(Type::EVEN_PORT, &[0]));
    assert_eq!(relayed(&answer)[0].port(), 50002);
    assert_eq!(Message::parse(&answer).unwrap().reservation_token(), Ok(None));
}

#[test]
fn an_unclaimed_reservation_ends_after_thirty_seconds() {
    let mut world = World::new(config());
    let mut alice = Client::new("203.0.113.1:1000");
    let answer = world.allocate(&mut alice, |writer| _ = writer.attribute(Type::EVEN_PORT, &[0x80]));
    // The allocation's end is not the reservation's.
    assert_eq!(world.refresh(&mut alice, Some(0)), Ok(0));
    world.sleep(Duration::from_secs(29));
    assert_eq!(world.ledger.ports_in_use(Family::V4), 1);
    world.sleep(Duration::from_secs(2));
    assert_eq!(world.ledger.ports_in_use(Family::V4), 0);
    let token = token_of(&answer);
    assert_eq!(code_of(&world.allocate(&mut alice, |writer| _ = writer.attribute(Type::RESERVATION_TOKEN, &token))), 508);
}

#[test]
fn tokens_do_not_tell_the_port() {
    let mut world = World::new(config());
    let tokens: Vec<[u8; 8]> = (0..4)
        .map(|n| {
            let mut client = Client::new(&format!("203.0.113.1:{}", 1000 + n));
            token_of(&world.allocate(&mut client, |writer| _ = writer.attribute(Type::EVEN_PORT, &[0x80])))
        })
        .collect();
    let distinct: std::collections::HashSet<_> = tokens.iter().collect();
    assert_eq!(distinct.len(), 4);
    let ports: Vec<_> = world.open.iter().map(|(_, a)| a.port().to_be_bytes()).collect();
    assert!(tokens.iter().all(|token| !ports.contains(&[token[6], token[7]])));
}

#[test]
fn a_reserved_port_is_had_on_whichever_shard_its_token_is_shown() {
    let mut holder = World::on_shard(config(), 3);
    let mut asked = World::with_ledger(config(), Arc::clone(&holder.ledger), 5);
    let mut alice = Client::new("203.0.113.1:1000");
    let answer = holder.allocate(&mut alice, |writer| _ = writer.attribute(Type::EVEN_PORT, &[0x80]));
    let (token, first) = (token_of(&answer), relayed(&answer)[0]);
    let claim = |writer: &mut Writer<'_>| _ = writer.attribute(Type::RESERVATION_TOKEN, &token);
    let mut second = Client::new("203.0.113.1:1001");
    let answer = asked.allocate(&mut second, claim);
    assert_eq!(relayed(&answer), [SocketAddr::new(first.ip(), first.port() + 1)]);
    let mut third = Client::new("203.0.113.1:1002");
    assert_eq!(code_of(&holder.allocate(&mut third, claim)), 508, "a token serves once");
    holder.sleep(Duration::from_secs(60));
    assert_eq!(holder.ledger.ports_in_use(Family::V4), 2, "the holder takes nothing back that is no longer its own");
    assert_eq!(asked.refresh(&mut second, Some(0)), Ok(0));
    assert_eq!(holder.refresh(&mut alice, Some(0)), Ok(0));
    assert_eq!(holder.ledger.ports_in_use(Family::V4), 0);
}

#[test]
fn ten_thousand_pairs_leak_nothing() {
    let mut world = World::new(Config { lazy_relays: true, unauthenticated_answers_burst_max: 100_000, ..config() });
    let mut alice = Client::new("203.0.113.1:1000");
    for round in 0..10_000 {
        world.sleep(Duration::from_millis(100));
        let answer = world.allocate(&mut alice, |writer| _ = writer.attribute(Type::EVEN_PORT, &[0x80]));
        assert_eq!(code_of(&answer), 0, "round {round}");
        assert_eq!(world.refresh(&mut alice, Some(0)), Ok(0));
    }
    world.sleep(Duration::from_secs(31));
    let stats = world.server.stats();
    assert_eq!((stats.relays, stats.reservations, stats.allocations, world.open.len()), (0, 0, 0, 0));
    assert_eq!(world.ledger.ports_in_use(Family::V4), 0);
}

#[test]
fn lifetimes_have_a_floor_and_a_ceiling() {
    let mut world = World::new(config());
    for (n, (asked, given)) in [(1, 600), (599, 600), (600, 600), (777, 777), (7200, 3600), (u32::MAX, 3600)].into_iter().enumerate() {
        let mut client = Client::new(&format!("203.0.113.1:{}", 1000 + n));
        let answer = world.allocate(&mut client, |writer| _ = writer.u32(Type::LIFETIME, asked));
        assert_eq!(Message::parse(&answer).unwrap().lifetime(), Ok(Some(given)));
        assert_eq!(world.refresh(&mut client, Some(asked)), Ok(given));
    }
    let mut short = World::new(Config { lifetime_s_max: 120, ..config() });
    let (mut client, _) = short.allocated("203.0.113.1:1");
    assert_eq!(short.refresh(&mut client, Some(777)), Ok(120));
}

#[test]
fn an_allocation_ends_when_its_time_is_over_unless_refreshed() {
    let mut world = World::new(config());
    let (mut alice, relay) = world.allocated("203.0.113.1:1000");
    world.sleep(Duration::from_secs(590));
    assert_eq!(world.refresh(&mut alice, Some(3600)), Ok(3600));
    world.sleep(Duration::from_secs(3590));
    // Shorter than what was promised before: the earlier end counts.
    assert_eq!(world.refresh(&mut alice, None), Ok(600));
    world.sleep(Duration::from_secs(599));
    assert_eq!(world.open.len(), 1);
    world.sleep(Duration::from_secs(2));
    assert!(world.open.is_empty());
    assert_eq!(world.server.stats().allocations_expired_total, 1);
    assert_eq!(world.peer_sends(relay, "192.0.2.1:1", b"x"), Verdict::Drop(DropReason::UnknownRelay));
    assert_eq!(world.refresh(&mut alice, None), Err(437));
}

#[test]
fn a_refresh_of_zero_ends_it_at_once() {
    let mut world = World::new(config());
    let (mut alice, _) = world.allocated("203.0.113.1:1000");
    assert_eq!(world.refresh(&mut alice, Some(0)), Ok(0));
    assert!(world.open.is_empty());
    assert_eq!(world.refresh(&mut alice, Some(0)), Err(437));
    assert_eq!(code_of(&world.allocate(&mut alice, |_| ())), 0, "and the 5-tuple is free");
}

#[test]
fn a_refresh_of_a_family_that_is_not_there_is_443() {
    let mut world = World::new(config());
    let (mut alice, _) = world.allocated("203.0.113.1:1000");
    let answer = world.request(&mut alice, Method::REFRESH, family(2));
    assert_eq!(code_of(&answer), 443);
}

#[test]
fn quotas_of_a_user_and_of_all() {
    let mut world = World::new(Config { user_quota: 2, allocations_max: 3, ..config() });
    let mut clients: Vec<Client> = (0..2).map(|n| world.allocated(&format!("203.0.113.1:{}", 1000 + n)).0).collect();
    let mut third = Client::new("203.0.113.1:1009");
    assert_eq!(code_of(&world.allocate(&mut third, |_| ())), 486);
    let mut bob = Client::new("203.0.113.2:1000").with_credentials("bob", "builder");
    assert_eq!(code_of(&world.allocate(&mut bob, |_| ())), 0);
    let mut bob_too = Client::new("203.0.113.2:1001").with_credentials("bob", "builder");
    assert_eq!(code_of(&world.allocate(&mut bob_too, |_| ())), 486, "all places are taken");
    assert_eq!(world.refresh(&mut clients[0], Some(0)), Ok(0));
    assert_eq!(code_of(&world.allocate(&mut third, |_| ())), 0, "a place that came back");
}

#[test]
fn ports_come_back_however_often() {
    let mut world = World::new(Config { relay_ports: 50000..=50009, ..config() });
    let mut alice = Client::new("203.0.113.1:1000");
    for round in 0..1000 {
        world.sleep(Duration::from_millis(40));
        let answer = world.allocate(&mut alice, |writer| _ = writer.attribute(Type::EVEN_PORT, &[0]));
        assert_eq!(code_of(&answer), 0, "round {round}");
        assert_eq!(world.refresh(&mut alice, Some(0)), Ok(0));
    }
    assert_eq!((world.open.len(), world.server.stats().relays), (0, 0));
}

#[test]
fn the_public_address_is_shown_and_the_local_one_bound() {
    let external = vec![External { public: ip("203.0.113.77"), private: None }];
    let public = Config { external, relay_addresses: vec![ip("10.0.0.1")], ..config() };
    let mut world = World::new(public);
    let answer = world.allocate(&mut Client::new("192.0.2.1:1000"), |_| ());
    assert_eq!(world.open[0].1.ip(), ip("10.0.0.1"));
    assert_eq!(relayed(&answer), [SocketAddr::new(ip("203.0.113.77"), world.open[0].1.port())]);
}

#[test]
fn a_wildcard_is_the_address_that_the_client_reached() {
    let mut world = World::new(Config { relay_addresses: vec![ip("0.0.0.0")], ..config() });
    let answer = world.allocate(&mut Client::new("192.0.2.1:1000"), |_| ());
    assert_eq!(relayed(&answer)[0].ip(), ip("198.51.100.1"));
    assert_eq!(world.open[0].1.ip(), ip("198.51.100.1"), "so that no other address of the host can be sent to");
}

proptest! {
    #[test]
    fn ports_lie_in_their_range_and_are_even_when_asked(first in 1024u16..=65000, extra in 1u16..400, even in any::<bool>()) {
        let last = first.saturating_add(extra);
        let mut world = World::new(Config { relay_ports: first..=last, ..config() });
        let bits = if even { 0x80 } else { 0 };
        let answer = world.allocate(&mut Client::new("203.0.113.1:1000"), |writer| _ = writer.attribute(Type::EVEN_PORT, &[bits]));
        let fits = !even || first.next_multiple_of(2) < last;
        prop_assert_eq!(code_of(&answer) == 0, fits);
        prop_assert!(world.open.iter().all(|(_, address)| (first..=last).contains(&address.port())));
        if fits {
            prop_assert_eq!(relayed(&answer)[0].port() % 2, 0);
        }
    }
}

//! Relays without sockets, until a peer needs one; and zero hop.

use std::time::Duration;

use pointsman_wire::stun::attribute::{Family, Type};
use pointsman_wire::stun::{Class, Message, Method};

use super::world::*;
use crate::config::External;
use crate::{Config, DropReason, Icmp, Verdict};

const PEER: &str = "192.0.2.1:9000";
const MEDIA: &str = "198.51.100.1:3478";

fn lazy() -> Config {
    Config { lazy_relays: true, media: vec![MEDIA.parse().unwrap()], ..config() }
}

#[test]
fn an_allocation_alone_has_no_socket_and_its_first_peer_opens_it() {
    let mut world = World::new(lazy());
    let mut alice = Client::new("203.0.113.1:1000");
    let answer = world.allocate(&mut alice, |_| ());
    assert_eq!(code_of(&answer), 0);
    assert!(world.open.is_empty());
    assert_eq!(world.ledger.ports_in_use(Family::V4), 1);
    assert_eq!(world.permit(&mut alice, &[PEER]), 0);
    assert_eq!(relayed(&answer), [world.open[0].1], "at the port that was told");
    assert!(matches!(world.client_sends(alice.path, &Client::send_indication(PEER, b"x")), Verdict::ToPeer { .. }));
    assert_eq!(world.refresh(&mut alice, Some(0)), Ok(0));
    assert!(world.open.is_empty());
    assert_eq!(world.ledger.ports_in_use(Family::V4), 0);
}

#[test]
fn a_request_waits_for_its_socket_once_however_often_it_is_sent() {
    let mut world = World::new(lazy());
    let mut alice = Client::new("203.0.113.1:1000");
    world.allocate(&mut alice, |_| ());
    world.hold_sockets = true;
    let id = world.next_id();
    let bind = alice.sign(Method::CHANNEL_BIND, id, &|writer| {
        writer.channel_number(0x4001).xor_address(Type::XOR_PEER_ADDRESS, PEER.parse().unwrap());
    });
    for _ in 0..3 {
        assert_eq!(world.client_sends(alice.path, &bind), Verdict::Handled);
    }
    assert_eq!((world.held.len(), world.late.len()), (1, 0));
    assert_eq!(world.client_sends(alice.path, &[0x40, 0x01, 0, 0]), Verdict::Drop(DropReason::NoChannel));
    let (relay, address) = world.held.remove(0);
    world.bind(relay, address);
    world.drain();
    assert_eq!(world.late.len(), 1);
    assert_eq!(code_of(&world.late[0].1), 0);
    assert!(matches!(world.client_sends(alice.path, &[0x40, 0x01, 0, 0]), Verdict::ToPeer { .. }));
}

#[test]
fn a_port_that_another_process_has_is_508_to_who_needs_it() {
    let mut world = World::new(lazy());
    let mut alice = Client::new("203.0.113.1:1000");
    world.allocate(&mut alice, |_| ());
    world.taken = Box::new(|_| true);
    assert_eq!(world.permit(&mut alice, &[PEER]), 508);
    assert_eq!(world.server.stats().relays_failed_total, 1);
    world.taken = Box::new(|_| false);
    assert_eq!(world.permit(&mut alice, &[PEER]), 0, "and when it is free again, it is had");
}

#[test]
fn our_own_media_is_reached_without_a_socket() {
    let mut world = World::new(lazy());
    let mut alice = Client::new("203.0.113.1:1000");
    let relayed = relayed(&world.allocate(&mut alice, |_| ()))[0];
    let media = MEDIA.parse().unwrap();
    let send = Client::send_indication(MEDIA, b"check");
    assert_eq!(world.client_sends(alice.path, &send), Verdict::Drop(DropReason::NoPermission), "permissions are needed all the same");
    let now = world.now;
    assert_eq!(world.server.handle_media_datagram(now, relayed, media, 5), Verdict::Drop(DropReason::NoPermission));
    assert_eq!(world.permit(&mut alice, &[MEDIA]), 0);
    let Verdict::ToMedia { relayed: from, media: to, payload } = world.client_sends(alice.path, &send) else { panic!() };
    assert_eq!((from, to, &send[payload]), (relayed, media, &b"check"[..]));
    let Verdict::Indication { client, padding: 3 } = world.server.handle_media_datagram(now, relayed, media, 5) else { panic!() };
    assert_eq!(client, alice.path);
    assert_eq!(world.bind_channel(&mut alice, 0x4001, MEDIA), 0);
    let framed = [0x40, 0x01, 0, 2, b'h', b'i'];
    assert_eq!(world.client_sends(alice.path, &framed), Verdict::ToMedia { relayed, media, payload: 4..6 });
    let verdict = world.server.handle_media_datagram(now, relayed, media, 2);
    assert_eq!(verdict, Verdict::ToClient { client: alice.path, header: [0x40, 0x01, 0, 2] });
    assert!(world.open.is_empty(), "and no socket was opened for it");
    // Another relay at the same address needs one: it comes, and what was sent before is lost as any datagram may be.
    let other = Client::send_indication("198.51.100.1:50500", b"x");
    assert_eq!(world.client_sends(alice.path, &other), Verdict::Drop(DropReason::NotOpen));
    assert!(matches!(world.client_sends(alice.path, &other), Verdict::ToPeer { .. }));
    assert_eq!(world.server.handle_media_datagram(now, PEER.parse().unwrap(), media, 5), Verdict::Drop(DropReason::UnknownRelay));
}

#[test]
fn relays_behind_nat_reach_each_other_and_media_by_their_public_address() {
    let external = vec![External { public: ip("203.0.113.77"), private: Some(ip("10.0.0.1")) }];
    let media = vec!["10.0.0.1:3478".parse().unwrap()];
    let mut world = World::new(Config { external, media, relay_addresses: vec![ip("10.0.0.1")], ..lazy() });
    let (mut alice, mut bob) = (Client::new("192.0.2.1:1000"), Client::new("192.0.2.2:1000"));
    let of_alice = relayed(&world.allocate(&mut alice, |_| ()))[0];
    let of_bob = relayed(&world.allocate(&mut bob, |_| ()))[0];
    assert_eq!((of_alice.ip(), of_bob.ip()), (ip("203.0.113.77"), ip("203.0.113.77")));
    assert_eq!(world.permit(&mut alice, &[&of_bob.to_string()]), 0);
    assert_eq!(world.permit(&mut bob, &[&of_alice.to_string()]), 0);
    let send = Client::send_indication(&of_bob.to_string(), b"hi");
    let Verdict::ToPeer { peer, .. } = world.client_sends(alice.path, &send) else { panic!() };
    assert_eq!((peer.ip(), peer.port()), (ip("10.0.0.1"), of_bob.port()), "no way round by the NAT");
    let relay_of_bob = world.open.iter().find(|(_, address)| address.port() == of_bob.port()).unwrap().0;
    let from = format!("10.0.0.1:{}", of_alice.port());
    assert!(matches!(world.peer_sends(relay_of_bob, &from, b"hi"), Verdict::Indication { .. }));
    let mut datagram = world.server.scratch().to_vec();
    datagram.extend_from_slice(b"hi\0\0");
    assert_eq!(Message::parse(&datagram).unwrap().xor_peer_address(), Ok(Some(of_alice)), "shown as it is known");
    assert_eq!(world.permit(&mut alice, &["203.0.113.77:3478"]), 0);
    let send = Client::send_indication("203.0.113.77:3478", b"hi");
    assert!(matches!(world.client_sends(alice.path, &send), Verdict::ToMedia { .. }));
}

#[test]
fn icmp_errors_reach_the_client_that_may_talk_to_the_peer() {
    let mut world = World::new(config());
    let (mut alice, relay) = world.allocated("203.0.113.1:1000");
    let (now, peer) = (world.now, PEER.parse().unwrap());
    let unreachable = Icmp { version_4: true, kind: 3, code: 3, data: 0 };
    let no_permission = world.server.handle_peer_error(now, relay, peer, unreachable);
    assert_eq!(no_permission, Verdict::Drop(DropReason::NoPermission));
    world.permit(&mut alice, &[PEER]);
    assert_eq!(world.server.handle_peer_error(now, relay, peer, Icmp::too_big(true, 1400)), Verdict::Reply { client: alice.path });
    let message = Message::parse(world.server.scratch()).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
    assert_eq!((message.xor_peer_address(), message.icmp()), (Ok(Some(peer)), Ok(Some((3, 4, 1400)))));
    assert_eq!(message.data(), None);
    let unreachable_and_more = Icmp { data: 1400, ..unreachable };
    assert_eq!(world.server.handle_peer_error(now, relay, peer, unreachable_and_more), Verdict::Reply { client: alice.path });
    assert_eq!(Message::parse(world.server.scratch()).unwrap().icmp(), Ok(Some((3, 3, 0))), "an MTU only where one is told");
    for other in [Icmp { kind: 8, ..unreachable }, Icmp { version_4: false, ..unreachable }] {
        assert_eq!(world.server.handle_peer_error(now, relay, peer, other), Verdict::Drop(DropReason::OtherIcmp));
    }
}

#[test]
fn bytes_above_the_granted_ones_are_dropped_each_way_by_itself() {
    let mut world = World::new(Config { max_bps: 4_000, ..config() });
    let (mut alice, relay) = world.allocated("203.0.113.1:1000");
    world.permit(&mut alice, &[PEER]);
    let send = Client::send_indication(PEER, &[0; 1000]);
    let passed = |world: &mut World| (0..10).filter(|_| matches!(world.client_sends(alice.path, &send), Verdict::ToPeer { .. })).count();
    assert_eq!(passed(&mut world), 4);
    assert_eq!(world.client_sends(alice.path, &send), Verdict::Drop(DropReason::Bandwidth));
    let back = (0..10).filter(|_| matches!(world.peer_sends(relay, PEER, &[0; 1000]), Verdict::Indication { .. })).count();
    assert_eq!(back, 4);
    world.sleep(Duration::from_secs(1));
    assert_eq!(passed(&mut world), 4, "the next second counts anew");
}

#[test]
fn dont_fragment_is_carried_to_the_engine() {
    let mut world = World::new(config());
    let (mut alice, _) = world.allocated("203.0.113.1:1000");
    world.permit(&mut alice, &[PEER]);
    for wanted in [false, true] {
        let mut out = [0; 100];
        let id = world.next_id();
        let mut writer = pointsman_wire::stun::Writer::new(&mut out, Class::Indication, Method::SEND, id);
        writer.xor_address(Type::XOR_PEER_ADDRESS, PEER.parse().unwrap());
        if wanted {
            writer.attribute(Type::DONT_FRAGMENT, &[]);
        }
        let len = writer.attribute(Type::DATA, b"x").finish().unwrap();
        let Verdict::ToPeer { dont_fragment, .. } = world.client_sends(alice.path, &out[..len]) else { panic!() };
        assert_eq!(dont_fragment, wanted);
    }
}

#[test]
fn a_relay_for_anybody_asks_for_no_permission() {
    let mut world = World::new(Config { server_relay: true, ..config() });
    let (alice, relay) = world.allocated("203.0.113.1:1000");
    assert!(matches!(world.client_sends(alice.path, &Client::send_indication(PEER, b"x")), Verdict::ToPeer { .. }));
    assert!(matches!(world.peer_sends(relay, PEER, b"x"), Verdict::Indication { .. }));
    let denied = world.client_sends(alice.path, &Client::send_indication("127.0.0.1:22", b"x"));
    assert_eq!(denied, Verdict::Drop(DropReason::DeniedPeer), "but peers are judged all the same");
}

use std::time::Duration;

use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Class, Message, Method, TransactionId, Writer};

use super::world::*;
use crate::{Config, DropReason, RelayPort, Verdict};

const PEER: &str = "192.0.2.1:9000";

/// The bytes that a peer would get.
fn to_peer(world: &mut World, client: &Client, datagram: &[u8]) -> Result<(RelayPort, String, Vec<u8>), DropReason> {
    match world.client_sends(client.path, datagram) {
        Verdict::ToPeer { relay, peer, payload, .. } => Ok((relay, peer.to_string(), datagram[payload].to_vec())),
        Verdict::ToMedia { media, payload, .. } => {
            Ok((RelayPort { index: u32::MAX, generation: 0 }, media.to_string(), datagram[payload].to_vec()))
        }
        Verdict::Drop(reason) => Err(reason),
        other => panic!("{other:?}"),
    }
}

/// The bytes that the client would get.
fn to_client(world: &mut World, relay: RelayPort, peer: &str, datagram: &[u8]) -> Result<Vec<u8>, DropReason> {
    match world.peer_sends(relay, peer, datagram) {
        Verdict::ToClient { header, .. } => Ok([&header, datagram].concat()),
        Verdict::Indication { padding, .. } => Ok([world.server.scratch(), datagram, &[0; 3][..padding]].concat()),
        Verdict::Drop(reason) => Err(reason),
        other => panic!("{other:?}"),
    }
}

#[test]
fn send_and_data_indications() {
    let mut world = World::new(config());
    let (mut alice, relay) = world.allocated("203.0.113.1:1000");
    assert_eq!(to_peer(&mut world, &alice, &Client::send_indication(PEER, b"hello")), Err(DropReason::NoPermission));
    assert_eq!(to_client(&mut world, relay, PEER, b"hello"), Err(DropReason::NoPermission));
    assert_eq!(world.permit(&mut alice, &[PEER]), 0);
    let sent = to_peer(&mut world, &alice, &Client::send_indication(PEER, b"hello"));
    assert_eq!(sent, Ok((relay, PEER.to_owned(), b"hello".to_vec())));
    // A permission is for an address, whatever the port.
    assert!(to_peer(&mut world, &alice, &Client::send_indication("192.0.2.1:1", b"hello")).is_ok());
    for data in [&b""[..], b"1", b"12", b"123", b"1234", &[7; 1400]] {
        let datagram = to_client(&mut world, relay, PEER, data).unwrap();
        let message = Message::parse(&datagram).unwrap();
        assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
        assert_eq!(message.xor_peer_address(), Ok(Some(PEER.parse().unwrap())));
        assert_eq!(message.data(), Some(data));
    }
    let stats = world.server.stats();
    assert_eq!((stats.packets_to_peers_total, stats.bytes_to_peers_total), (2, 10));
    assert_eq!((stats.packets_to_clients_total, stats.bytes_to_clients_total), (6, 1410));
}

#[test]
fn a_data_indication_is_small() {
    let mut world = World::new(config());
    let (mut alice, relay) = world.allocated("203.0.113.1:1000");
    world.permit(&mut alice, &[PEER]);
    assert_eq!(to_client(&mut world, relay, PEER, &[0; 12]).unwrap().len(), 48);
}

#[test]
fn channels_both_ways() {
    let mut world = World::new(config());
    let (mut alice, relay) = world.allocated("203.0.113.1:1000");
    assert_eq!(world.bind_channel(&mut alice, 0x4001, PEER), 0);
    let sent = to_peer(&mut world, &alice, &[0x40, 0x01, 0, 3, b'a', b'b', b'c', 0]);
    assert_eq!(sent, Ok((relay, PEER.to_owned(), b"abc".to_vec())));
    assert_eq!(to_peer(&mut world, &alice, &[0x40, 0x01, 0, 0]).unwrap().2, b"");
    assert_eq!(to_peer(&mut world, &alice, &[0x40, 0x02, 0, 0]), Err(DropReason::NoChannel));
    assert_eq!(to_client(&mut world, relay, PEER, b"abc"), Ok(vec![0x40, 0x01, 0, 3, b'a', b'b', b'c']));
    assert_eq!(to_client(&mut world, relay, PEER, b""), Ok(vec![0x40, 0x01, 0, 0]));
    // Binding permits the peer's address; another port of it has no channel.
    let other_port = to_client(&mut world, relay, "192.0.2.1:1", b"abc").unwrap();
    assert_eq!(Message::parse(&other_port).unwrap().data(), Some(&b"abc"[..]));
    // A channel is its client's alone.
    let (bob, _) = world.allocated("203.0.113.2:1000");
    assert_eq!(to_peer(&mut world, &bob, &[0x40, 0x01, 0, 0]), Err(DropReason::NoChannel));
    assert_eq!(to_peer(&mut world, &Client::new("203.0.113.3:1"), &[0x40, 0x01, 0, 0]), Err(DropReason::NoAllocation));
}

#[test]
fn channel_numbers_have_a_range() {
    let mut world = World::new(config());
    let (mut alice, _) = world.allocated("203.0.113.1:1000");
    for (n, number) in [0, 0x3FFF, 0x7FFF, 0x8000, 0xFFFF].into_iter().enumerate() {
        assert_eq!(world.bind_channel(&mut alice, number, &format!("192.0.2.9:{}", n + 1)), 400, "{number:#x}");
    }
    for (n, number) in [0x4000, 0x4FFF, 0x5000, 0x7FFE].into_iter().enumerate() {
        assert_eq!(world.bind_channel(&mut alice, number, &format!("192.0.2.9:{}", n + 1)), 0, "{number:#x}");
    }
}

#[test]
fn a_channel_has_one_peer_and_a_peer_one_channel() {
    let mut world = World::new(config());
    let (mut alice, _) = world.allocated("203.0.113.1:1000");
    assert_eq!(world.bind_channel(&mut alice, 0x4001, PEER), 0);
    assert_eq!(world.bind_channel(&mut alice, 0x4001, PEER), 0, "again is a refresh");
    assert_eq!(world.bind_channel(&mut alice, 0x4001, "192.0.2.2:9000"), 400);
    assert_eq!(world.bind_channel(&mut alice, 0x4002, PEER), 400);
    assert_eq!(world.bind_channel(&mut alice, 0x4002, "192.0.2.1:9001"), 0, "another port is another peer");
}

#[test]
fn a_channel_lasts_ten_minutes_and_rests_for_five() {
    let mut world = World::new(config());
    let (mut alice, relay) = world.allocated("203.0.113.1:1000");
    world.refresh(&mut alice, Some(3600)).unwrap();
    assert_eq!(world.bind_channel(&mut alice, 0x4001, PEER), 0);
    world.sleep(Duration::from_secs(599));
    assert!(to_peer(&mut world, &alice, &[0x40, 0x01, 0, 0]).is_ok());
    world.sleep(Duration::from_secs(2));
    assert_eq!(to_peer(&mut world, &alice, &[0x40, 0x01, 0, 0]), Err(DropReason::NoChannel));
    assert_eq!(world.permit(&mut alice, &[PEER]), 0);
    assert!(matches!(world.peer_sends(relay, PEER, b"x"), Verdict::Indication { .. }), "no longer by channel");
    assert_eq!(world.bind_channel(&mut alice, 0x4001, "192.0.2.2:1"), 400, "still tied to its old peer");
    assert_eq!(world.bind_channel(&mut alice, 0x4002, PEER), 400);
    world.sleep(Duration::from_secs(300));
    assert_eq!(world.bind_channel(&mut alice, 0x4001, "192.0.2.2:1"), 0);
    assert_eq!(world.bind_channel(&mut alice, 0x4002, PEER), 0);
    world.sleep(Duration::from_secs(601));
    assert_eq!(world.bind_channel(&mut alice, 0x4002, PEER), 0, "the same pair may come back at once");
}

#[test]
fn a_permission_lasts_five_minutes_unless_refreshed() {
    let mut world = World::new(config());
    let (mut alice, relay) = world.allocated("203.0.113.1:1000");
    world.refresh(&mut alice, Some(3600)).unwrap();
    assert_eq!(world.permit(&mut alice, &[PEER]), 0);
    world.sleep(Duration::from_secs(299));
    assert!(to_client(&mut world, relay, PEER, b"x").is_ok());
    assert_eq!(world.permit(&mut alice, &[PEER]), 0);
    world.sleep(Duration::from_secs(299));
    assert!(to_client(&mut world, relay, PEER, b"x").is_ok());
    world.sleep(Duration::from_secs(2));
    assert_eq!(to_client(&mut world, relay, PEER, b"x"), Err(DropReason::NoPermission));
    assert_eq!(to_peer(&mut world, &alice, &Client::send_indication(PEER, b"x")), Err(DropReason::NoPermission));
    // A bound channel outlives its permission, but only towards the peer (RFC 8656 section 12).
    assert_eq!(world.bind_channel(&mut alice, 0x4001, PEER), 0);
    world.sleep(Duration::from_secs(301));
    assert!(to_peer(&mut world, &alice, &[0x40, 0x01, 0, 0]).is_ok());
    assert_eq!(to_client(&mut world, relay, PEER, b"x"), Err(DropReason::NoPermission));
}

#[test]
fn permissions_come_all_or_none() {
    let mut world = World::new(config());
    let (mut alice, relay) = world.allocated("203.0.113.1:1000");
    assert_eq!(world.permit(&mut alice, &["192.0.2.1:1", "127.0.0.1:1"]), 403);
    assert_eq!(world.permit(&mut alice, &["192.0.2.1:1", "[2001:db8::1]:1"]), 443);
    assert_eq!(to_client(&mut world, relay, PEER, b"x"), Err(DropReason::NoPermission));
    assert_eq!(world.permit(&mut alice, &[]), 400);
    assert_eq!(world.permit(&mut alice, &["192.0.2.1:0", "192.0.2.2:1"]), 0, "a permission has no port");
    assert!(to_client(&mut world, relay, PEER, b"x").is_ok() && to_client(&mut world, relay, "192.0.2.2:5", b"x").is_ok());
}

#[test]
fn permissions_and_channels_have_a_limit() {
    let mut world = World::new(Config { permissions_max: 3, channels_max: 2, ..config() });
    let (mut alice, _) = world.allocated("203.0.113.1:1000");
    assert_eq!(world.permit(&mut alice, &["192.0.2.1:1", "192.0.2.2:1", "192.0.2.3:1", "192.0.2.4:1"]), 508);
    assert_eq!(world.permit(&mut alice, &["192.0.2.1:1", "192.0.2.1:2", "192.0.2.2:1"]), 0);
    assert_eq!(world.bind_channel(&mut alice, 0x4001, "192.0.2.3:1"), 0);
    assert_eq!(world.bind_channel(&mut alice, 0x4002, "192.0.2.4:1"), 508, "no room for its permission");
    assert_eq!(world.bind_channel(&mut alice, 0x4002, "192.0.2.3:2"), 0);
    assert_eq!(world.bind_channel(&mut alice, 0x4003, "192.0.2.3:3"), 508);
    world.sleep(Duration::from_secs(301));
    assert_eq!(world.permit(&mut alice, &["192.0.2.4:1"]), 0, "what ran out makes room");
}

#[test]
fn denied_peers_are_403_and_bad_ones_400() {
    let mut world = World::new(config());
    let (mut alice, _) = world.allocated("203.0.113.1:1000");
    for peer in ["127.0.0.1:1", "0.0.0.0:1", "169.254.169.254:80", "10.1.1.1:1", "224.0.0.1:1", "255.255.255.255:1"] {
        assert_eq!(world.permit(&mut alice, &[peer]), 403, "{peer}");
        assert_eq!(world.bind_channel(&mut alice, 0x4001, peer), 403, "{peer}");
    }
    assert_eq!(world.bind_channel(&mut alice, 0x4001, "192.0.2.1:0"), 400);
    assert_eq!(world.bind_channel(&mut alice, 0x4001, "[2001:db8::1]:1"), 443);
    for missing in [Type::XOR_PEER_ADDRESS, Type::CHANNEL_NUMBER] {
        let answer = world.request(&mut alice, Method::CHANNEL_BIND, |writer| {
            if missing != Type::CHANNEL_NUMBER {
                writer.channel_number(0x4001);
            }
            if missing != Type::XOR_PEER_ADDRESS {
                writer.xor_address(Type::XOR_PEER_ADDRESS, PEER.parse().unwrap());
            }
        });
        assert_eq!(code_of(&answer), 400);
    }
    let mut v6 = Client::new("203.0.113.1:1001");
    world.allocate(&mut v6, |writer| _ = writer.first_of_four(Type::REQUESTED_ADDRESS_FAMILY, 2));
    for (peer, code) in [("[::1]:1", 403), ("[::ffff:127.0.0.1]:1", 403), ("[64:ff9b::7f00:1]:1", 403), ("[2001:db8::1]:1", 0), (PEER, 443)]
    {
        assert_eq!(world.permit(&mut v6, &[peer]), code, "{peer}");
    }
}

#[test]
fn our_own_media_can_be_reached_and_nothing_else_of_ours() {
    let media = vec!["198.51.100.1:3478".parse().unwrap(), "127.0.0.1:3478".parse().unwrap()];
    let mut world = World::new(Config { media, ..config() });
    let (mut alice, relay) = world.allocated("203.0.113.1:1000");
    assert_eq!(world.permit(&mut alice, &["198.51.100.1:8080", "127.0.0.1:1"]), 0, "a permission is for an address");
    for (number, (peer, fine)) in (0x4000..).zip([
        ("198.51.100.1:3478", true),
        ("198.51.100.1:50123", true),
        ("127.0.0.1:3478", true),
        ("198.51.100.1:8080", false),
        ("127.0.0.1:22", false),
    ]) {
        let sent = to_peer(&mut world, &alice, &Client::send_indication(peer, b"x"));
        assert_eq!(sent.is_ok(), fine, "{peer}");
        assert_eq!(to_client(&mut world, relay, peer, b"x").is_ok(), fine, "{peer}");
        assert_eq!(world.bind_channel(&mut alice, number, peer), if fine { 0 } else { 403 }, "{peer}");
    }
    assert_eq!(world.permit(&mut alice, &["127.0.0.2:3478"]), 403);
}

#[test]
fn a_send_indication_must_be_whole_and_understood() {
    let mut world = World::new(config());
    let (mut alice, _) = world.allocated("203.0.113.1:1000");
    world.permit(&mut alice, &[PEER]);
    let peer = PEER.parse().unwrap();
    let cases: &[(DropReason, Write<'_>)] = &[
        (DropReason::BadSend, &|w| _ = w.attribute(Type::DATA, b"x")),
        (DropReason::BadSend, &|w| _ = w.xor_address(Type::XOR_PEER_ADDRESS, peer)),
        (DropReason::BadSend, &|w| {
            w.xor_address(Type::XOR_PEER_ADDRESS, peer).xor_address(Type::XOR_PEER_ADDRESS, peer).attribute(Type::DATA, b"x");
        }),
        (DropReason::BadSend, &|w| _ = w.attribute(Type::XOR_PEER_ADDRESS, &[0; 8]).attribute(Type::DATA, b"x")),
        (DropReason::UnknownAttribute, &|w| {
            w.xor_address(Type::XOR_PEER_ADDRESS, peer).attribute(Type::DATA, b"x").attribute(Type(0x7777), b"");
        }),
        (DropReason::WrongFamily, &|w| {
            w.xor_address(Type::XOR_PEER_ADDRESS, "[2001:db8::1]:1".parse().unwrap()).attribute(Type::DATA, b"x");
        }),
        (DropReason::DeniedPeer, &|w| {
            _ = w.xor_address(Type::XOR_PEER_ADDRESS, "192.0.2.1:0".parse().unwrap()).attribute(Type::DATA, b"x")
        }),
    ];
    for (reason, write) in cases {
        let mut out = vec![0; 256];
        let mut writer = Writer::new(&mut out, Class::Indication, Method::SEND, TransactionId([1; 12]));
        write(&mut writer);
        let len = writer.finish().unwrap();
        assert_eq!(to_peer(&mut world, &alice, &out[..len]), Err(*reason));
    }
    let mut out = vec![0; 256];
    let len = Writer::new(&mut out, Class::Indication, Method::SEND, TransactionId([1; 12]))
        .attribute(Type::DONT_FRAGMENT, &[])
        .xor_address(Type::XOR_PEER_ADDRESS, peer)
        .attribute(Type::DATA, b"")
        .fingerprint()
        .finish()
        .unwrap();
    assert_eq!(to_peer(&mut world, &alice, &out[..len]).unwrap().2, b"");
}

#[test]
fn a_relay_that_is_no_more_or_another_has_the_number_of_carries_nothing() {
    let mut world = World::new(config());
    let (mut alice, old) = world.allocated("203.0.113.1:1000");
    world.permit(&mut alice, &[PEER]);
    world.refresh(&mut alice, Some(0)).unwrap();
    let (mut bob, new) = world.allocated("203.0.113.2:1000");
    world.permit(&mut bob, &[PEER]);
    assert_eq!(old.index, new.index, "the index is used again");
    assert_eq!(to_client(&mut world, old, PEER, b"x"), Err(DropReason::UnknownRelay));
    assert!(to_client(&mut world, new, PEER, b"x").is_ok());
}

#[test]
fn too_much_for_a_datagram() {
    let mut world = World::new(config());
    let (mut alice, relay) = world.allocated("203.0.113.1:1000");
    world.permit(&mut alice, &[PEER]);
    let fits = |world: &mut World, len| to_client(world, relay, PEER, &vec![0; len]).map(|datagram| datagram.len());
    assert_eq!(fits(&mut world, 65468), Ok(65504));
    assert_eq!(fits(&mut world, 65472), Err(DropReason::TooLong));
    world.bind_channel(&mut alice, 0x4001, PEER);
    assert_eq!(fits(&mut world, 65503), Ok(65507));
    assert_eq!(fits(&mut world, 65504), Err(DropReason::TooLong));
}

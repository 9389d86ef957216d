//! Bandwidth where it can be kept without loss: clients on streams, and pipes (RFC 6062).

use std::time::{Duration, Instant};

use pointsman_wire::clock::Now;
use pointsman_wire::net::Protocol;
use pointsman_wire::stun::Method;
use pointsman_wire::stun::attribute::Type;

use super::world::*;
use crate::{Config, ConnectionId, DropReason, Output, Verdict, Way};

const PEER: &str = "192.0.2.1:9000";

fn limited() -> Config {
    Config { max_bps: 10_000, tcp_relay: true, ..config() }
}

fn on_stream(protocol: Protocol) -> Client {
    let mut client = Client::new("203.0.113.1:1000");
    client.path.protocol = protocol;
    client
}

/// Sends messages of 1,000 bytes as an engine does that waits where it is told to: how many have passed until then.
fn sent_within(world: &mut World, client: &Client, message: &[u8], time: Duration) -> usize {
    let end = world.now.mono + time;
    let mut passed = 0;
    loop {
        match world.client_sends(client.path, message) {
            Verdict::ToPeer { .. } => passed += 1,
            Verdict::Wait { until } if until < end => world.sleep(until - world.now.mono),
            Verdict::Wait { .. } => {
                world.sleep(end - world.now.mono);
                return passed;
            }
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_stream_waits_and_loses_nothing() {
    for protocol in [Protocol::Tcp, Protocol::Tls] {
        let mut world = World::new(limited());
        let mut alice = on_stream(protocol);
        assert_eq!(code_of(&world.allocate(&mut alice, |_| ())), 0);
        assert_eq!(world.bind_channel(&mut alice, 0x4001, PEER), 0);
        let send = Client::send_indication(PEER, &[0; 1_000]);
        let mut data = vec![0x40, 0x01, 0x03, 0xE8];
        data.resize(4 + 1_000, 7);
        for message in [&send, &data] {
            assert!((49..=61).contains(&sent_within(&mut world, &alice, message, Duration::from_secs(5))));
        }
        assert_eq!(world.server.stats().drops[DropReason::Bandwidth as usize], 0);
        assert_eq!(world.refresh(&mut alice, None), Ok(600), "requests do not count");
    }
}

#[test]
fn a_message_longer_than_a_second_of_bytes_passes_and_is_worked_off() {
    let mut world = World::new(limited());
    let mut alice = on_stream(Protocol::Tcp);
    assert_eq!(code_of(&world.allocate(&mut alice, |_| ())), 0);
    assert_eq!(world.permit(&mut alice, &[PEER]), 0);
    let long = Client::send_indication(PEER, &[0; 60_000]);
    assert!(matches!(world.client_sends(alice.path, &long), Verdict::ToPeer { .. }));
    let Verdict::Wait { until } = world.client_sends(alice.path, &long) else { panic!("no wait") };
    let wait = until - world.now.mono;
    assert!(wait > Duration::from_secs(5) && wait < Duration::from_secs(6), "{wait:?}");
    world.sleep(wait);
    assert!(matches!(world.client_sends(alice.path, &long), Verdict::ToPeer { .. }));
}

/// Nothing can make a datagram wait, on DTLS either.
#[test]
fn datagrams_are_dropped() {
    for protocol in [Protocol::Udp, Protocol::Dtls] {
        let mut world = World::new(limited());
        let mut alice = on_stream(protocol);
        assert_eq!(code_of(&world.allocate(&mut alice, |_| ())), 0);
        assert_eq!(world.permit(&mut alice, &[PEER]), 0);
        let send = Client::send_indication(PEER, &[0; 1_000]);
        let passed = (0..50).filter(|_| matches!(world.client_sends(alice.path, &send), Verdict::ToPeer { .. })).count();
        assert_eq!(passed, 10);
        assert_eq!(world.client_sends(alice.path, &send), Verdict::Drop(DropReason::Bandwidth));
    }
}

/// The wall clock is not asked.
#[test]
fn bandwidth_does_not_mind_a_clock_that_jumps() {
    let mut world = World::new(limited());
    let mut alice = on_stream(Protocol::Udp);
    assert_eq!(code_of(&world.allocate(&mut alice, |_| ())), 0);
    assert_eq!(world.permit(&mut alice, &[PEER]), 0);
    let send = Client::send_indication(PEER, &[0; 1_000]);
    let passed = |world: &mut World| (0..50).filter(|_| matches!(world.client_sends(alice.path, &send), Verdict::ToPeer { .. })).count();
    assert_eq!(passed(&mut world), 10);
    world.now.unix += Duration::from_secs(86_400);
    assert_eq!(passed(&mut world), 0);
    world.now.unix -= Duration::from_secs(2 * 86_400);
    assert_eq!(passed(&mut world), 0);
    world.sleep(Duration::from_millis(500));
    assert_eq!(passed(&mut world), 5);
}

fn joined(world: &mut World) -> ConnectionId {
    let mut alice = on_stream(Protocol::Tcp);
    let answer = world.request(&mut alice, Method::ALLOCATE, |writer| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 6));
    assert_eq!(code_of(&answer), 0);
    let id = world.next_id();
    let connect = alice.sign(Method::CONNECT, id, &|writer| _ = writer.xor_address(Type::XOR_PEER_ADDRESS, PEER.parse().unwrap()));
    world.client_sends(alice.path, &connect);
    let Some(Output::ConnectPeer { connection, .. }) = world.others.pop() else { panic!("no connection") };
    let now = world.now;
    world.server.handle_peer_connected(now, connection, Ok(()));
    world.drain();
    world.late.clear();
    let mut data = on_stream(Protocol::Tcp);
    data.path.remote.set_port(1001);
    let answer = world.request(&mut data, Method::CONNECTION_BIND, |writer| _ = writer.u32(Type::CONNECTION_ID, connection.0));
    assert_eq!(code_of(&answer), 0);
    connection
}

/// What a pipe that always has something to say reads until then.
fn piped_within(world: &mut World, connection: ConnectionId, way: Way, time: Duration) -> u64 {
    let end = world.now.mono + time;
    let mut bytes = 0;
    let allowed = |world: &mut World, now: Now| -> Result<usize, Instant> { world.server.pipe_allowance(now, connection, way) };
    loop {
        let now = world.now;
        match allowed(world, now) {
            Ok(allowed) => {
                let read = allowed.min(65_536);
                world.server.count_piped(now, connection, way, read);
                bytes += read as u64;
            }
            Err(until) if until < end => world.sleep(until - now.mono),
            Err(_) => {
                world.sleep(end - now.mono);
                return bytes;
            }
        }
    }
}

#[test]
fn pipes_count_toward_their_allocation() {
    let mut world = World::new(limited());
    let connection = joined(&mut world);
    let there = piped_within(&mut world, connection, Way::ToPeer, Duration::from_secs(3));
    assert!((39_000..=40_000).contains(&there), "{there}");
    let back = piped_within(&mut world, connection, Way::ToClient, Duration::from_secs(1));
    assert!((19_000..=20_000).contains(&back), "each way by itself: {back}");
    let now = world.now;
    let traffic = world.server.allocations(now).next().unwrap().traffic;
    assert_eq!((traffic.bytes_to_peers, traffic.bytes_to_client), (there, back));
    assert_eq!((world.server.stats().bytes_to_peers_total, world.server.stats().bytes_to_clients_total), (there, back));
    assert_eq!(world.server.pipe_allowance(now, ConnectionId(connection.0 ^ 1), Way::ToPeer), Ok(usize::MAX), "none of ours");
}

#[test]
fn without_a_limit_nobody_waits() {
    let mut world = World::new(Config { max_bps: 0, ..limited() });
    let connection = joined(&mut world);
    let now = world.now;
    world.server.count_piped(now, connection, Way::ToPeer, 1 << 30);
    assert_eq!(world.server.pipe_allowance(now, connection, Way::ToPeer), Ok(usize::MAX));
}

//! Relays over TCP (RFC 6062).

use std::time::Duration;

use pointsman_wire::net::{Protocol, ShardId};
use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Class, Message, Method};

use super::world::*;
use crate::{Config, ConnectError, ConnectionId, Output, RelayPort, Verdict};

const PEER: &str = "192.0.2.1:9000";

fn tcp() -> Config {
    Config { tcp_relay: true, ..config() }
}

fn client(remote: &str) -> Client {
    let mut client = Client::new(remote);
    client.path.protocol = Protocol::Tcp;
    client
}

fn allocated(world: &mut World, remote: &str) -> (Client, RelayPort) {
    let mut alice = client(remote);
    let answer = world.request(&mut alice, Method::ALLOCATE, |writer| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 6));
    assert_eq!(code_of(&answer), 0);
    (alice, world.open.last().unwrap().0)
}

/// Sends a Connect: `Ok` is the connection that the engine is to make, `Err` the code of the refusal.
fn connect(world: &mut World, alice: &mut Client, peer: &str) -> Result<ConnectionId, u16> {
    let id = world.next_id();
    let datagram = alice.sign(Method::CONNECT, id, &|writer| _ = writer.xor_address(Type::XOR_PEER_ADDRESS, peer.parse().unwrap()));
    match world.client_sends(alice.path, &datagram) {
        Verdict::Reply { .. } => Err(code_of(world.server.scratch())),
        _ => match world.others.pop() {
            Some(Output::ConnectPeer { connection, peer: to, .. }) => {
                assert_eq!(to, peer.parse().unwrap());
                Ok(connection)
            }
            other => panic!("{other:?}"),
        },
    }
}

fn bind(world: &mut World, data: &mut Client, connection: ConnectionId) -> u16 {
    code_of(&world.request(data, Method::CONNECTION_BIND, |writer| _ = writer.u32(Type::CONNECTION_ID, connection.0)))
}

#[test]
fn who_may_ask_for_a_tcp_relay_and_with_what() {
    let ask = |config: Config, protocol, extra: Write<'_>| {
        let mut world = World::new(config);
        let mut alice = client("203.0.113.1:1000");
        alice.path.protocol = protocol;
        code_of(&world.request(&mut alice, Method::ALLOCATE, |writer| {
            writer.first_of_four(Type::REQUESTED_TRANSPORT, 6);
            extra(writer);
        }))
    };
    assert_eq!(ask(tcp(), Protocol::Tcp, &|_| ()), 0);
    assert_eq!(ask(tcp(), Protocol::Tls, &|_| ()), 0);
    assert_eq!(ask(tcp(), Protocol::Udp, &|_| ()), 400);
    assert_eq!(ask(tcp(), Protocol::Dtls, &|_| ()), 400);
    assert_eq!(ask(config(), Protocol::Tcp, &|_| ()), 442, "off");
    assert_eq!(ask(tcp(), Protocol::Tcp, &|w| _ = w.attribute(Type::EVEN_PORT, &[0])), 400);
    assert_eq!(ask(tcp(), Protocol::Tcp, &|w| _ = w.attribute(Type::DONT_FRAGMENT, &[])), 400);
    assert_eq!(ask(tcp(), Protocol::Tcp, &|w| _ = w.attribute(Type::RESERVATION_TOKEN, &[0; 8])), 400);
    let mut world = World::new(Config { udp_relay: false, ..tcp() });
    assert_eq!(code_of(&world.allocate(&mut Client::new("203.0.113.1:1000"), |_| ())), 442);
}

#[test]
fn a_connection_is_made_bound_and_ended() {
    let mut world = World::new(tcp());
    let (mut alice, _) = allocated(&mut world, "203.0.113.1:1000");
    let connection = connect(&mut world, &mut alice, PEER).unwrap();
    assert_eq!(connect(&mut world, &mut alice, PEER), Err(446), "one at a time");
    let now = world.now;
    world.server.handle_peer_connected(now, connection, Ok(()));
    world.drain();
    let (to, answer) = world.late.pop().unwrap();
    assert_eq!((to, code_of(&answer)), (alice.path, 0));
    assert_eq!(Message::parse(&answer).unwrap().connection_id(), Ok(Some(connection.0)));
    assert_eq!(connect(&mut world, &mut alice, PEER), Err(446), "nor beside one that waits");

    let mut mallory = client("203.0.113.9:1").with_credentials("bob", "builder");
    assert_eq!(bind(&mut world, &mut mallory, connection), 441, "another user");
    let mut data = client("203.0.113.1:1001");
    assert_eq!(bind(&mut world, &mut data, ConnectionId(connection.0 ^ 1)), 400, "another number");
    let mut datagram = Client::new("203.0.113.1:1002");
    assert_eq!(bind(&mut world, &mut datagram, connection), 400, "no stream");
    assert_eq!(bind(&mut world, &mut alice, connection), 400, "not the one that controls");
    assert_eq!(bind(&mut world, &mut data, connection), 0);
    assert_eq!(world.others.pop(), Some(Output::Join { client: data.path, connection }));
    let mut again = client("203.0.113.1:1003");
    assert_eq!(bind(&mut world, &mut again, connection), 400, "a number serves once");
    world.sleep(Duration::from_secs(60));
    assert_eq!(world.server.stats().connections, 1, "what is joined has no end of its own");
    let now = world.now;
    world.server.handle_connection_closed(now, connection);
    assert_eq!(world.server.stats().connections, 0);
    assert!(connect(&mut world, &mut alice, PEER).is_ok(), "the peer may be had again");
}

#[test]
fn peers_that_cannot_be_reached_or_may_not() {
    let mut world = World::new(tcp());
    let (mut alice, _) = allocated(&mut world, "203.0.113.1:1000");
    for error in [ConnectError::Refused, ConnectError::Unreachable, ConnectError::TimedOut, ConnectError::Failed] {
        let connection = connect(&mut world, &mut alice, PEER).unwrap();
        let now = world.now;
        world.server.handle_peer_connected(now, connection, Err(error));
        world.drain();
        assert_eq!(code_of(&world.late.pop().unwrap().1), 447);
    }
    let silent = connect(&mut world, &mut alice, PEER).unwrap();
    world.sleep(Duration::from_secs(36));
    assert_eq!(code_of(&world.late.pop().unwrap().1), 447);
    assert_eq!(world.others.pop(), Some(Output::CloseConnection { connection: silent }));
    assert_eq!(connect(&mut world, &mut alice, "127.0.0.1:80"), Err(403));
    assert_eq!(connect(&mut world, &mut alice, "192.0.2.1:0"), Err(400));
    assert_eq!(connect(&mut world, &mut alice, "[2001:db8::9]:80"), Err(443));
    assert_eq!(connect(&mut world, &mut client("203.0.113.2:1000"), PEER), Err(401));
    // Datagrams have no place here.
    assert_eq!(world.bind_channel(&mut alice, 0x4001, PEER), 400);
    assert_eq!(world.permit(&mut alice, &[PEER]), 0);
    assert!(matches!(world.client_sends(alice.path, &Client::send_indication(PEER, b"x")), Verdict::Drop(_)));
    let (mut bob, _) = world.allocated("203.0.113.3:1000");
    assert_eq!(connect(&mut world, &mut bob, PEER), Err(400), "nor a Connect on a relay over UDP");
}

#[test]
fn a_peer_that_connects_needs_a_permission_and_the_client_is_told() {
    let mut world = World::new(tcp());
    let (mut alice, relay) = allocated(&mut world, "203.0.113.1:1000");
    let peer = PEER.parse().unwrap();
    let now = world.now;
    assert_eq!(world.server.handle_peer_accepted(now, relay, peer), None);
    assert_eq!(world.permit(&mut alice, &[PEER]), 0);
    let connection = world.server.handle_peer_accepted(now, relay, peer).unwrap();
    world.drain();
    let (to, told) = world.late.pop().unwrap();
    let message = Message::parse(&told).unwrap();
    assert_eq!((to, message.class(), message.method()), (alice.path, Class::Indication, Method::CONNECTION_ATTEMPT));
    assert_eq!((message.connection_id(), message.xor_peer_address()), (Ok(Some(connection.0)), Ok(Some(peer))));
    let mut data = client("203.0.113.1:1001");
    assert_eq!(bind(&mut world, &mut data, connection), 0);
    // Nobody binds the next one.
    let now = world.now;
    let unbound = world.server.handle_peer_accepted(now, relay, "192.0.2.1:9001".parse().unwrap()).unwrap();
    world.others.clear();
    world.sleep(Duration::from_secs(31));
    assert_eq!(world.others, [Output::CloseConnection { connection: unbound }]);
    assert_eq!(bind(&mut world, &mut client("203.0.113.1:1002"), unbound), 400, "too late");
}

#[test]
fn connections_are_bounded_and_end_with_their_allocation() {
    let mut world = World::new(Config { connections_max: 3, ..tcp() });
    let (mut alice, relay) = allocated(&mut world, "203.0.113.1:1000");
    let made: Vec<ConnectionId> = (1..=3).map(|n| connect(&mut world, &mut alice, &format!("192.0.2.1:{n}")).unwrap()).collect();
    assert_eq!(connect(&mut world, &mut alice, "192.0.2.1:4"), Err(508));
    assert_eq!(world.permit(&mut alice, &[PEER]), 0);
    let now = world.now;
    assert_eq!(world.server.handle_peer_accepted(now, relay, PEER.parse().unwrap()), None);
    world.server.handle_client_closed(now, alice.path);
    world.drain();
    let closed: Vec<Output> = made.into_iter().map(|connection| Output::CloseConnection { connection }).collect();
    assert_eq!(world.others, closed);
    assert_eq!((world.server.stats().allocations, world.server.stats().connections, world.open.len()), (0, 0, 0));
}

#[test]
fn a_number_of_another_shard_takes_the_connection_there() {
    let config = Config { shards: 4, ..tcp() };
    let mut holder = World::on_shard(config.clone(), 3);
    let (mut alice, _) = allocated(&mut holder, "203.0.113.1:1000");
    let connection = connect(&mut holder, &mut alice, PEER).unwrap();
    let now = holder.now;
    holder.server.handle_peer_connected(now, connection, Ok(()));

    let mut other = World::on_shard(config, 1);
    let mut data = client("203.0.113.1:1001");
    data.nonce = other.nonce_for(&data);
    let id = other.next_id();
    let request = data.sign(Method::CONNECTION_BIND, id, &|writer| _ = writer.u32(Type::CONNECTION_ID, connection.0));
    assert_eq!(other.client_sends(data.path, &request), Verdict::Handled);
    assert_eq!(other.others, [Output::MoveClient { client: data.path, shard: ShardId(3) }]);
    // The very message, there.
    assert!(matches!(holder.client_sends(data.path, &request), Verdict::Reply { .. }));
    assert_eq!(code_of(holder.server.scratch()), 0);
    assert!(holder.others.contains(&Output::Join { client: data.path, connection }));
    // Whoever has no nonce of ours moves nothing.
    let mut stranger = client("203.0.113.9:1");
    stranger.nonce = b"0123456789abcdef01234567".to_vec();
    let request = stranger.sign(Method::CONNECTION_BIND, id, &|writer| _ = writer.u32(Type::CONNECTION_ID, connection.0));
    other.others.clear();
    assert!(matches!(other.client_sends(stranger.path, &request), Verdict::Reply { .. }));
    assert_eq!((code_of(other.server.scratch()), other.others.len()), (438, 0));
}

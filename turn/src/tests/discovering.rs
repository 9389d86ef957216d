//! RFC 5780's tests, and redirection to other servers.

use std::net::SocketAddr;

use pointsman_wire::net::Protocol;
use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Class, Message, Method, TransactionId, Writer};

use super::world::*;
use crate::config::NatDiscovery;
use crate::{Config, Verdict};

fn binding(write: Write<'_>) -> Vec<u8> {
    let mut out = vec![0; 4096];
    let mut writer = Writer::new(&mut out, Class::Request, Method::BINDING, TransactionId([5; 12]));
    write(&mut writer);
    let len = writer.finish().unwrap();
    out.truncate(len);
    out
}

fn discovery() -> Vec<NatDiscovery> {
    vec![NatDiscovery { addresses: [ip("198.51.100.1"), ip("198.51.100.2")], ports: [3478, 3479] }]
}

fn discovering() -> World {
    World::new(Config { nat_discovery: discovery(), ..config() })
}

fn at(text: &str) -> SocketAddr {
    text.parse().unwrap()
}

#[test]
fn where_an_answer_leaves_from_and_goes_to() {
    let mut world = discovering();
    let client = Client::new("203.0.113.1:1000").path;
    let cases: &[(Write<'_>, &str, &str)] = &[
        (&|_| (), SERVER, "203.0.113.1:1000"),
        (&|w| _ = w.u32(Type::CHANGE_REQUEST, 0), SERVER, "203.0.113.1:1000"),
        (&|w| _ = w.u32(Type::CHANGE_REQUEST, 2), "198.51.100.1:3479", "203.0.113.1:1000"),
        (&|w| _ = w.u32(Type::CHANGE_REQUEST, 4), "198.51.100.2:3478", "203.0.113.1:1000"),
        (&|w| _ = w.u32(Type::CHANGE_REQUEST, 6), "198.51.100.2:3479", "203.0.113.1:1000"),
        (&|w| _ = w.attribute(Type::RESPONSE_PORT, &[0x07, 0xD0, 0, 0]), SERVER, "203.0.113.1:2000"),
    ];
    for (write, from, to) in cases {
        let (from, to) = (at(from), at(to));
        let verdict = world.client_sends(client, &binding(write));
        let expected =
            if from == client.local && to == client.remote { Verdict::Reply { client } } else { Verdict::ReplyFrom { client, from, to } };
        assert_eq!(verdict, expected);
        let message = Message::parse(world.server.scratch()).unwrap();
        assert_eq!(message.xor_mapped_address(), Ok(Some(client.remote)));
        assert_eq!(message.address(Type::RESPONSE_ORIGIN), Ok(Some(from)));
        assert_eq!(message.address(Type::OTHER_ADDRESS), Ok(Some(at("198.51.100.2:3479"))));
    }
}

#[test]
fn padding_is_no_more_than_what_was_brought() {
    let mut world = discovering();
    let client = Client::new("203.0.113.1:1000").path;
    for (brought, given) in [(4, 4), (1000, 1000), (1500, 1400), (3000, 1400)] {
        let request = binding(&|w| _ = w.attribute(Type::PADDING, &vec![0; brought]));
        assert_eq!(world.client_sends(client, &request), Verdict::Reply { client });
        let message = Message::parse(world.server.scratch()).unwrap();
        assert_eq!(message.attribute(Type::PADDING).map(<[u8]>::len), Some(given));
        assert!(world.server.scratch().len() <= request.len() + 48);
    }
    let both = binding(&|w| _ = w.attribute(Type::PADDING, &[0; 4]).attribute(Type::RESPONSE_PORT, &[7, 7, 0, 0]));
    world.client_sends(client, &both);
    assert_eq!(code_of(world.server.scratch()), 400);
}

#[test]
fn elsewhere_the_tests_are_unknown_and_the_answer_small() {
    let mut world = discovering();
    let mut stream = Client::new("203.0.113.1:1000").path;
    stream.protocol = Protocol::Tcp;
    let mut other = Client::new("203.0.113.1:1000").path;
    other.local = at("198.51.100.1:5000");
    let mut off = World::new(config());
    let client = Client::new("203.0.113.1:1000").path;
    for (world, client) in [(&mut world, stream), (&mut discovering(), other), (&mut off, client)] {
        world.client_sends(client, &binding(&|w| _ = w.u32(Type::CHANGE_REQUEST, 6)));
        assert_eq!(code_of(world.server.scratch()), 420);
        world.client_sends(client, &binding(&|_| ()));
        assert_eq!(world.server.scratch().len(), 32, "1.6 times the request");
    }
}

#[test]
fn with_credentials_the_tests_are_answered_alike() {
    let mut world = World::new(Config { secure_stun: true, nat_discovery: discovery(), ..config() });
    let mut alice = Client::new("203.0.113.1:1000");
    alice.nonce = world.nonce_for(&alice);
    let id = world.next_id();
    let signed = |alice: &Client, write: Write<'_>| alice.sign(Method::BINDING, id, write);
    assert_eq!(world.client_sends(alice.path, &signed(&alice, &|_| ())), Verdict::Reply { client: alice.path });
    let message = Message::parse(world.server.scratch()).unwrap();
    assert!(message.verify_integrity(&alice.key()));
    assert_eq!(message.address(Type::RESPONSE_ORIGIN), Ok(Some(at(SERVER))));
    assert_eq!(message.address(Type::OTHER_ADDRESS), Ok(Some(at("198.51.100.2:3479"))));
    let verdict = world.client_sends(alice.path, &signed(&alice, &|w| _ = w.u32(Type::CHANGE_REQUEST, 6)));
    assert_eq!(verdict, Verdict::ReplyFrom { client: alice.path, from: at("198.51.100.2:3479"), to: alice.path.remote });
    // From strangers nothing but a challenge goes anywhere, and never from another address.
    let stranger = Client::new("203.0.113.9:1000").path;
    assert_eq!(world.client_sends(stranger, &binding(&|w| _ = w.u32(Type::CHANGE_REQUEST, 6))), Verdict::Reply { client: stranger });
    assert_eq!(code_of(world.server.scratch()), 401);
    alice.path.protocol = Protocol::Tcp;
    world.client_sends(alice.path, &signed(&alice, &|w| _ = w.u32(Type::CHANGE_REQUEST, 6)));
    assert_eq!(code_of(world.server.scratch()), 420, "no stream can change its address");
}

#[test]
fn auxiliary_addresses_send_nobody_elsewhere() {
    let servers = vec![at("192.0.2.1:3478")];
    let mut world = World::new(Config { alternate_servers: servers, auxiliary: vec![at("198.51.100.1:33478")], ..config() });
    let mut client = Client::new("203.0.113.1:1");
    let id = world.next_id();
    let allocate = client.sign(Method::ALLOCATE, id, &|writer| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 17));
    world.client_sends(client.path, &allocate);
    assert_eq!(code_of(world.server.scratch()), 300);
    client.path.local = at("198.51.100.1:33478");
    assert_eq!(code_of(&world.allocate(&mut client, |_| ())), 0);
}

#[test]
fn clients_are_sent_to_other_servers_of_their_family_in_turn() {
    let servers = ["192.0.2.1:3478", "[2001:db8::1]:3478", "192.0.2.2:3478"].map(at).to_vec();
    let mut world = World::new(Config { alternate_servers: servers, tls_alternate_servers: vec![at("192.0.2.3:5349")], ..config() });
    let ask = |world: &mut World, remote: &str, protocol| {
        let mut client = Client::new(remote);
        client.path.protocol = protocol;
        let id = world.next_id();
        let datagram = client.sign(Method::ALLOCATE, id, &|writer| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 17));
        let answer = world.ask(client.path, &datagram).unwrap();
        assert_eq!(code_of(&answer), 300);
        Message::parse(&answer).unwrap().address(Type::ALTERNATE_SERVER).unwrap().unwrap().to_string()
    };
    assert_eq!(ask(&mut world, "203.0.113.1:1", Protocol::Udp), "192.0.2.1:3478");
    assert_eq!(ask(&mut world, "203.0.113.1:1", Protocol::Tcp), "192.0.2.2:3478");
    assert_eq!(ask(&mut world, "[2001:db8::9]:1", Protocol::Udp), "[2001:db8::1]:3478");
    assert_eq!(ask(&mut world, "203.0.113.1:1", Protocol::Tls), "192.0.2.3:5349");
    assert_eq!(
        world.client_sends(Client::new("203.0.113.1:1").path, &binding(&|_| ())),
        Verdict::Reply { client: Client::new("203.0.113.1:1").path }
    );
    assert_eq!(code_of(world.server.scratch()), 0, "Binding is answered here");

    let (udp, tcp) = (vec![at("192.0.2.1:3478")], Some(vec![at("192.0.2.4:3478")]));
    let mut world = World::new(Config { alternate_servers: udp, tcp_alternate_servers: tcp, ..config() });
    assert_eq!(ask(&mut world, "203.0.113.1:1", Protocol::Udp), "192.0.2.1:3478");
    assert_eq!(ask(&mut world, "203.0.113.1:1", Protocol::Tcp), "192.0.2.4:3478");
    let mut world = World::new(Config { tcp_alternate_servers: Some(vec![at("192.0.2.4:3478")]), ..config() });
    assert_eq!(ask(&mut world, "203.0.113.1:1", Protocol::Tcp), "192.0.2.4:3478");
    assert_eq!(code_of(&world.allocate(&mut Client::new("203.0.113.1:1"), |_| ())), 0, "clients over UDP stay");
}

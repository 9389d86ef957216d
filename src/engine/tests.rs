//! The whole engine over loopback, with clients made of `wire`'s codecs.

mod client;
mod dtls;
mod hosts;
mod large;
mod media;
mod pipes;
mod relays;
mod streams;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};
use std::time::{Duration, Instant};

use pointsman_sfu::{Command, ParticipantId};
use pointsman_turn::PeerRules;
use pointsman_turn::config::Secret;
use pointsman_wire::channel_data;
use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Class, Message, Method};

use super::*;
use client::{TurnClient, exchange, request};

fn identity() -> Arc<DtlsIdentity> {
    Arc::new(DtlsIdentity::generate().unwrap())
}

fn config(listen: &[&str]) -> EngineConfig {
    let turn = pointsman_turn::Config {
        realm: "test".to_owned(),
        users: vec![("alice".to_owned(), Secret("secret".to_owned()))],
        relay_addresses: vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
        peers: PeerRules { allowed: vec!["127.0.0.0/8".parse().unwrap(), "::1/128".parse().unwrap()], ..PeerRules::default() },
        ..pointsman_turn::Config::default()
    };
    EngineConfig {
        shards: 2,
        listen: listen.iter().map(|address| address.parse().unwrap()).collect(),
        pin: false,
        socket_buffer: 1 << 18,
        turn,
        ..EngineConfig::default()
    }
}

fn start(listen: &[&str]) -> Engine {
    Engine::start(config(listen), identity()).unwrap().0
}

fn bind_answer(server: SocketAddr, local: IpAddr) -> (SocketAddr, SocketAddr) {
    let socket = UdpSocket::bind((local, 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut message = [0; 100];
    let len = request(&mut message, Method::BINDING, 1, |_| {});
    socket.send_to(&message[..len], server).unwrap();
    let mut answer = [0; 1500];
    let (len, from) = socket.recv_from(&mut answer).unwrap();
    let answer = Message::parse(&answer[..len]).unwrap();
    assert_eq!(answer.class(), Class::Success);
    assert_eq!(answer.xor_mapped_address().unwrap(), Some(socket.local_addr().unwrap()));
    (from, socket.local_addr().unwrap())
}

#[test]
fn a_binding_request_is_answered_over_both_families() {
    let engine = start(&["127.0.0.1:0", "[::1]:0"]);
    for &server in engine.addresses() {
        let (from, _) = bind_answer(server, if server.is_ipv4() { Ipv4Addr::LOCALHOST.into() } else { Ipv6Addr::LOCALHOST.into() });
        assert_eq!(from, server);
    }
    engine.stop();
}

#[test]
fn a_wildcard_socket_answers_from_the_address_that_was_hit() {
    let engine = start(&["0.0.0.0:0", "[::]:0"]);
    let [v4, v6] = *engine.addresses() else { panic!("two addresses expected") };
    for host in [Ipv4Addr::new(127, 0, 0, 1), Ipv4Addr::new(127, 0, 0, 5), Ipv4Addr::new(127, 9, 9, 9)] {
        let server = SocketAddr::from((host, v4.port()));
        assert_eq!(bind_answer(server, Ipv4Addr::LOCALHOST.into()).0, server);
    }
    let server = SocketAddr::from((Ipv6Addr::LOCALHOST, v6.port()));
    assert_eq!(bind_answer(server, Ipv6Addr::LOCALHOST.into()).0, server);
}

#[test]
fn a_taken_port_is_named() {
    let first = start(&["127.0.0.1:0"]);
    let taken = first.addresses()[0];
    let error = Engine::start(config(&[&taken.to_string()]), identity()).err().unwrap();
    assert!(matches!(error, EngineError::AddressTaken(address) if address == taken), "{error}");
}

#[test]
fn stopping_takes_less_than_a_second_and_frees_the_port() {
    let engine = start(&["127.0.0.1:0"]);
    let address = engine.addresses()[0];
    let begin = Instant::now();
    engine.stop();
    assert!(begin.elapsed() < Duration::from_secs(1));
    UdpSocket::bind(address).unwrap();
}

#[test]
fn unknown_bytes_are_counted() {
    let engine = start(&["127.0.0.1:0"]);
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for _ in 0..3 {
        socket.send_to(&[250, 1, 2], engine.addresses()[0]).unwrap();
    }
    let until = Instant::now() + Duration::from_secs(5);
    let drops = |reason: DropReason| engine.snapshots().read().iter().map(|it| it.engine.drops[reason as usize]).sum::<u64>();
    while drops(DropReason::UnknownProtocol) < 3 {
        assert!(Instant::now() < until, "{:?}", engine.snapshots().read());
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_full_mailbox_is_busy_and_takes_nothing() {
    let mut config = config(&["127.0.0.1:0"]);
    config.mailbox_max = 8;
    let (engine, _events) = Engine::start(config, identity()).unwrap();
    let mailboxes = engine.mailboxes();
    let mut sent = 0u32;
    let mut busy = 0u32;
    for _ in 0..100_000 {
        match mailboxes.send_to_all(Command::Remove(ParticipantId(1))) {
            Ok(()) => sent += 1,
            Err(Busy) => busy += 1,
        }
    }
    assert!(sent > 0 && busy > 0, "{sent} sent, {busy} busy");
    engine.stop();
    assert_eq!(mailboxes.shards(), 2);
}

#[test]
fn a_client_relays_to_a_peer_and_back() {
    for (host, listen) in [("127.0.0.1", "127.0.0.1:0"), ("::1", "[::1]:0")] {
        let engine = start(&[listen]);
        let host: IpAddr = host.parse().unwrap();
        let peer = UdpSocket::bind((host, 0)).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut client = TurnClient::new(host, engine.addresses()[0]);
        let relayed = client.allocate();
        client.bind_channel(0x4001, peer.local_addr().unwrap());

        // To the peer: many at once, so that trains form.
        for number in 0..20u8 {
            let mut message = channel_data::header(0x4001, 100).unwrap().to_vec();
            message.extend([number; 100]);
            client.socket.send(&message).unwrap();
        }
        let mut bytes = [0; 1500];
        for number in 0..20u8 {
            let (len, from) = peer.recv_from(&mut bytes).unwrap();
            assert_eq!(from, relayed);
            assert_eq!(bytes[..len], [number; 100]);
        }

        // And back.
        for number in 0..20u8 {
            peer.send_to(&[number; 101], relayed).unwrap();
        }
        for number in 0..20u8 {
            let len = client.socket.recv(&mut bytes).unwrap();
            let data = channel_data::ChannelData::parse(&bytes[..len]).unwrap();
            assert_eq!((data.number, data.data), (0x4001, [number; 101].as_slice()));
        }
        engine.stop();
    }
}

#[test]
fn a_peer_without_a_channel_comes_as_an_indication() {
    let engine = start(&["127.0.0.1:0"]);
    let host = IpAddr::from(Ipv4Addr::LOCALHOST);
    let peer = UdpSocket::bind((host, 0)).unwrap();
    let mut client = TurnClient::new(host, engine.addresses()[0]);
    let relayed = client.allocate();
    client.permit(peer.local_addr().unwrap());
    peer.send_to(b"hello", relayed).unwrap();
    let mut bytes = [0; 1500];
    let len = client.socket.recv(&mut bytes).unwrap();
    let message = Message::parse(&bytes[..len]).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
    assert_eq!(message.data(), Some(b"hello".as_slice()));
    assert_eq!(message.xor_peer_address().unwrap(), Some(peer.local_addr().unwrap()));
}

/// RFC 8656 section 7: the second client may arrive on another shard than the one that keeps the port. With two shards, some of
/// these do.
#[test]
fn a_reserved_port_moves_to_whoever_shows_its_token() {
    let engine = start(&["127.0.0.1:0"]);
    let server = engine.addresses()[0];
    let host = IpAddr::from(Ipv4Addr::LOCALHOST);
    for _ in 0..12 {
        let mut rtp = TurnClient::new(host, server);
        let (relayed, token) = rtp.allocate_with(|writer| {
            writer.attribute(Type::EVEN_PORT, &[0x80]);
        });
        let token = token.expect("a reservation token");
        let mut rtcp = TurnClient::new(host, server);
        let (next, _) = rtcp.allocate_with(|writer| {
            writer.attribute(Type::RESERVATION_TOKEN, &token);
        });
        assert_eq!(next.port(), relayed.port() + 1);
        let peer = UdpSocket::bind((host, 0)).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        rtcp.bind_channel(0x4000, peer.local_addr().unwrap());
        let mut message = channel_data::header(0x4000, 4).unwrap().to_vec();
        message.extend(*b"rtcp");
        rtcp.socket.send(&message).unwrap();
        let mut bytes = [0; 100];
        let (len, from) = peer.recv_from(&mut bytes).unwrap();
        assert_eq!((&bytes[..len], from), (b"rtcp".as_slice(), next));
    }
}

#[test]
fn relay_sockets_have_a_limit() {
    let mut config = config(&["127.0.0.1:0"]);
    config.shards = 1;
    config.relay_sockets_max = 2;
    let (engine, _events) = Engine::start(config, identity()).unwrap();
    let peer = SocketAddr::from((Ipv4Addr::LOCALHOST, 9));
    let mut clients: Vec<_> = (0..3).map(|_| TurnClient::new(Ipv4Addr::LOCALHOST.into(), engine.addresses()[0])).collect();
    for client in &mut clients {
        client.allocate();
    }
    clients[0].permit(peer);
    clients[1].permit(peer);
    let answer = clients[2].try_permit(peer);
    let message = Message::parse(&answer).unwrap();
    assert_eq!(message.class(), Class::Error);
    assert_eq!(message.error_code().unwrap().unwrap().code, 508);
    // The first two live on.
    clients[0].refresh(600);
}

#[test]
fn garbage_disturbs_nobody() {
    let engine = start(&["127.0.0.1:0"]);
    let server = engine.addresses()[0];
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    for first in 0..=255u8 {
        for len in [1, 2, 3, 4, 12, 20, 21, 64, 1300] {
            let mut bytes = vec![first; len];
            socket.send_to(&bytes, server).unwrap();
            bytes[len / 2] = 0;
            socket.send_to(&bytes, server).unwrap();
        }
    }
    assert_eq!(bind_answer(server, Ipv4Addr::LOCALHOST.into()).0, server);
    let mut bytes = [0; 100];
    let len = request(&mut bytes, Method::ALLOCATE, 9, |writer| {
        writer.first_of_four(Type::REQUESTED_TRANSPORT, 17);
    });
    let answer = exchange(&UdpSocket::bind("127.0.0.1:0").unwrap(), server, &bytes[..len]);
    assert_eq!(Message::parse(&answer).unwrap().error_code().unwrap().unwrap().code, 401);
}

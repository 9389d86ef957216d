//! The same over TCP and TLS: slow, half-open and damaged connections, and service for those who behave.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Method, TransactionId};

use super::attacks::Noise;
use super::client::Client;
use super::{Server, arrives, certificate, peer};

/// Sends through a channel and expects the echo.
fn relays(client: &mut Client, echo: &std::net::UdpSocket, text: &[u8]) {
    client.send_channel(0x4000, text);
    let (bytes, relay) = arrives(echo, Duration::from_secs(3)).expect("relayed to the peer");
    assert_eq!(bytes, text);
    echo.send_to(&bytes, relay).unwrap();
    assert_eq!(client.channel_data(), Some((0x4000, text.to_vec())));
}

fn ready(client: &mut Client, echo: &std::net::UdpSocket) {
    client.allocated();
    assert_eq!(client.bind_channel(0x4000, echo.local_addr().unwrap()), 0);
    relays(client, echo, b"first");
}

#[test]
fn both_kinds_of_connections_relay_on_both_ports() {
    let server = Server::start();
    let echo = peer("127.0.0.1");
    let clients = [
        Client::tcp(server.address, "alice", "wonderland"),
        Client::tls(server.tls, "alice", "wonderland"),
        Client::tls(server.address, "bob", "builder"),
        Client::tcp(server.tls, "bob", "builder"),
    ];
    for mut client in clients {
        ready(&mut client, &echo);
        relays(&mut client, &echo, b"odd");
        // On a stream one message follows another, wherever segments end.
        relays(&mut client, &echo, &[7; 1201]);
    }
}

#[test]
fn an_allocation_goes_with_its_connection() {
    let server = Server::start();
    let mut alice = Client::tcp(server.address, "alice", "wonderland");
    alice.allocated();
    server.metric_becomes("pointsman_turn_allocations_by_protocol", "protocol=\"tcp\"", |count| count == 1);
    drop(alice);
    server.metric_becomes("pointsman_turn_allocations", "", |count| count == 0);
}

#[test]
fn slow_and_silent_connections_end_and_delay_nobody() {
    let mut server = Server::start();
    let echo = peer("127.0.0.1");
    let mut alice = Client::tcp(server.address, "alice", "wonderland");
    ready(&mut alice, &echo);
    let half: [&[u8]; 5] = [b"", &[0], &[0x16], &[0x16, 3, 1, 2, 0, 1, 0], &[0, 1, 0, 8, 0x21, 0x12]];
    let mut silent: Vec<TcpStream> = Vec::new();
    for n in 0..100 {
        let mut stream = TcpStream::connect(if n % 2 == 0 { server.address } else { server.tls }).unwrap();
        stream.write_all(half[n % half.len()]).unwrap();
        silent.push(stream);
    }
    relays(&mut alice, &echo, b"meanwhile");
    Client::tls(server.tls, "bob", "builder").allocated();
    // Whoever has sent nothing that means anything is sent away, and the one with an allocation is not.
    let until = Instant::now() + Duration::from_secs(20);
    for mut stream in silent {
        stream.set_read_timeout(Some(until.saturating_duration_since(Instant::now()).max(Duration::from_millis(10)))).unwrap();
        let mut bytes = [0; 64];
        loop {
            match stream.read(&mut bytes) {
                Ok(0) => break,
                Ok(_) => {}
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => break,
                Err(error) => panic!("a silent connection is still open: {error}"),
            }
        }
    }
    relays(&mut alice, &echo, b"afterwards");
    assert!(server.is_alive());
}

#[test]
fn garbage_in_streams_hurts_nobody() {
    let mut server = Server::start();
    let echo = peer("127.0.0.1");
    let mut tcp = Client::tcp(server.address, "alice", "wonderland");
    let mut tls = Client::tls(server.tls, "bob", "builder");
    ready(&mut tcp, &echo);
    ready(&mut tls, &echo);
    let mut noise = Noise(7);
    let good = tcp.signed(Method::ALLOCATE, TransactionId([9; 12]), |writer| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 17));
    let hello = [0x16, 3, 1, 0, 200, 1, 0, 0, 196, 3, 3];
    for round in 0..300 {
        let seed: &[u8] = if round % 3 == 0 { &hello } else { &good };
        let bytes = noise.damage(seed, round);
        let mut stream = TcpStream::connect(if round % 2 == 0 { server.address } else { server.tls }).unwrap();
        // It may be closed in the middle of our garbage.
        let _ = stream.write_all(&bytes).and_then(|()| stream.write_all(&good));
    }
    // Inside of TLS, too.
    for round in 0..30 {
        let mut client = Client::tls(server.tls, "alice", "wonderland");
        let bytes = noise.damage(&good, round);
        let _ = client.wire.send(&bytes);
    }
    assert!(server.is_alive(), "{}", server.log());
    relays(&mut tcp, &echo, b"TCP");
    relays(&mut tls, &echo, b"TLS");
}

#[test]
fn a_new_certificate_leaves_connections_alone() {
    let server = Server::start();
    let echo = peer("127.0.0.1");
    let mut before = Client::tls(server.tls, "alice", "wonderland");
    ready(&mut before, &echo);
    let first = shown(&server);
    certificate(server.folder());
    server.signal("HUP");
    let until = Instant::now() + Duration::from_secs(5);
    while shown(&server) == first {
        assert!(Instant::now() < until, "the certificate is still the old one: {}", server.log());
        std::thread::sleep(Duration::from_millis(100));
    }
    relays(&mut before, &echo, b"under the old certificate");
    let mut after = Client::tls(server.tls, "bob", "builder");
    ready(&mut after, &echo);
}

/// The certificate that a new connection is shown.
fn shown(server: &Server) -> Vec<u8> {
    let mut stream = TcpStream::connect(server.tls).unwrap();
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut connection = rustls::ClientConnection::new(super::client::tls_config(), name).unwrap();
    while connection.is_handshaking() {
        connection.complete_io(&mut stream).unwrap();
    }
    connection.peer_certificates().unwrap()[0].to_vec()
}

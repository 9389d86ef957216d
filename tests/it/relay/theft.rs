//! What belongs to somebody else: tickets, connections' numbers, and the attention of a server that is shouted at.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, UdpSocket};
use std::process::{Command, Stdio};
use std::time::Duration;

use pointsman_wire::stun::Method;
use pointsman_wire::stun::attribute::Type;

use super::attacks::Noise;
use super::client::{Client, Wire};
use super::{LOOPBACK_PEERS, Server, Setting, arrives, peer};

const HELLO: &[u8] = include_bytes!("../../../fuzz/corpus/dtls_records/hello");

/// RFC 8016: shows the ticket from this client's socket; the code of the answer and the next ticket.
fn show(client: &mut Client, ticket: &[u8]) -> (u16, Option<Vec<u8>>) {
    let answer = client.request(Method::REFRESH, |writer| _ = writer.attribute(Type::MOBILITY_TICKET, ticket));
    (answer.code(), answer.message().attribute(Type::MOBILITY_TICKET).map(<[u8]>::to_vec))
}

#[test]
fn a_ticket_serves_nobody_but_its_owner() {
    let turn = format!("{LOOPBACK_PEERS}mobility = true\n");
    let server = Server::with(&Setting { turn: &turn, shards: 2, ..Setting::default() });
    let echo = peer("127.0.0.1");
    let mut alice = server.alice();
    let answer = alice.allocate(|writer| _ = writer.attribute(Type::MOBILITY_TICKET, &[]));
    assert_eq!(answer.code(), 0);
    let ticket = answer.message().attribute(Type::MOBILITY_TICKET).expect("a ticket").to_vec();
    assert_eq!(alice.bind_channel(0x4000, echo.local_addr().unwrap()), 0);
    // The kernel spreads sockets over the shards: some of these come to the one that has the allocation, some to the other.
    for number in 0..8 {
        assert_eq!(show(&mut server.bob(), &ticket).0, 441, "another user");
        let mut bent = ticket.clone();
        bent[4 * number] = if bent[4 * number] == b'A' { b'B' } else { b'A' };
        let code = show(&mut server.alice(), &bent).0;
        assert_eq!(code, 437, "bent at {}", 4 * number);
        let mut liar = Client::udp(server.address, "alice", "guess");
        assert_eq!(show(&mut liar, &ticket).0, 401, "the owner's name alone");
    }
    for text in [&b""[..], b"short", &[b'A'; 64], &[0xFF; 32]] {
        assert_eq!(show(&mut server.alice(), text).0, 400);
    }
    alice.send_channel(0x4000, b"still mine");
    let (bytes, relay) = arrives(&echo, Duration::from_secs(3)).expect("relayed");
    assert_eq!(bytes, b"still mine");
    // The owner may, and may again with the same ticket, as if the answer had been lost.
    for _ in 0..6 {
        let mut moved = server.alice();
        assert_eq!(show(&mut moved, &ticket).0, 0);
        echo.send_to(b"to whoever came last", relay).unwrap();
        assert_eq!(moved.channel_data(), Some((0x4000, b"to whoever came last".to_vec())));
    }
}

#[test]
fn a_connection_is_not_to_be_had_by_guessing_its_number() {
    let turn = format!("{LOOPBACK_PEERS}tcp_relay = true\n");
    let server = Server::with(&Setting { turn: &turn, shards: 2, ..Setting::default() });
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = listener.local_addr().unwrap();
    let mut alice = Client::tcp(server.address, "alice", "wonderland");
    assert_eq!(alice.request(Method::ALLOCATE, |writer| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 6)).code(), 0);
    let answer = alice.request(Method::CONNECT, |writer| _ = writer.xor_address(Type::XOR_PEER_ADDRESS, peer));
    assert_eq!(answer.code(), 0);
    let number = answer.message().connection_id().unwrap().expect("a number");
    let (mut beyond, _) = listener.accept().unwrap();
    let bind = |client: &mut Client, number: u32| {
        client.request(Method::CONNECTION_BIND, |writer| _ = writer.u32(Type::CONNECTION_ID, number)).code()
    };
    let mut noise = Noise(11);
    // Neighbours, numbers that differ in one bit, and any others; by a stranger to the allocation and by its owner.
    let guesses = (1..40).map(|step| number.wrapping_add(step)).chain((0..32).map(|bit| number ^ 1 << bit));
    let guesses: Vec<u32> = guesses.chain((0..130).map(|_| noise.next() as u32)).filter(|guess| *guess != number).collect();
    for (user, password) in [("bob", "builder"), ("alice", "wonderland")] {
        let mut guesser = Client::tcp(server.address, user, password);
        for guess in &guesses {
            assert_eq!(bind(&mut guesser, *guess), 400, "{user} guesses");
        }
    }
    assert_eq!(bind(&mut Client::tcp(server.address, "bob", "builder"), number), 441, "seen, but another user's");
    assert_eq!(bind(&mut Client::udp(server.address, "alice", "wonderland"), number), 400, "no stream");
    let mut data = Client::tcp(server.address, "alice", "wonderland");
    assert_eq!(bind(&mut data, number), 0);
    assert_eq!(bind(&mut Client::tcp(server.address, "alice", "wonderland"), number), 400, "it serves once");
    beyond.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    let Wire::Tcp(stream) = &mut data.wire else { panic!("no stream") };
    stream.write_all(b"there").unwrap();
    let mut bytes = [0; 5];
    beyond.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"there");
    beyond.write_all(b"andba").unwrap();
    stream.read_exact(&mut bytes).unwrap();
    assert_eq!(&bytes, b"andba");
}

/// A DTLS client of another maker: whether its handshake was finished.
fn dtls_handshake(server: SocketAddr) -> bool {
    let mut command = Command::new("timeout");
    command.args(["10", "openssl", "s_client", "-dtls1_2", "-connect", &server.to_string()]);
    let output = command.stdin(Stdio::null()).output().expect("the command openssl");
    String::from_utf8_lossy(&output.stdout).contains("BEGIN CERTIFICATE")
}

#[test]
fn damaged_dtls_changes_nobodys_service() {
    let mut server = Server::start();
    let echo = peer("127.0.0.1");
    let mut alice = server.alice();
    alice.allocated();
    assert_eq!(alice.bind_channel(0x4000, echo.local_addr().unwrap()), 0);
    let mut bob = Client::tls(server.tls, "bob", "builder");
    bob.allocated();
    assert_eq!(bob.bind_channel(0x4000, echo.local_addr().unwrap()), 0);
    assert!(dtls_handshake(server.address), "{}", server.log());
    let before = server.memory();
    let mut noise = Noise(3);
    let kinds = [20_u8, 21, 22, 23, 24, 25, 63];
    for round in 0..6_000_usize {
        // Many sources, as from everywhere.
        let source = UdpSocket::bind((format!("127.0.{}.{}", 1 + round / 250 % 200, 1 + round % 250).as_str(), 0)).unwrap();
        let bytes = match round % 4 {
            // A hello: damaged, or whole and never followed up.
            0 | 1 => noise.damage(HELLO, round / 4),
            2 => HELLO.to_vec(),
            // Records of all kinds and epochs whose lengths lie.
            _ => {
                let mut record = vec![kinds[round / 4 % kinds.len()], 0xFE, 0xFD, 0, (round % 3) as u8, 0, 0, 0, 0, 0, noise.next() as u8];
                record.extend((noise.next() as u16 >> 4).to_be_bytes());
                record.extend((0..noise.next() % 200).map(|n| n as u8));
                record
            }
        };
        let _ = source.send_to(&bytes, server.address);
        // On the paths of those who are served, too.
        if round % 50 == 0 {
            let _ = alice.wire.send(&bytes);
        }
        if round.is_multiple_of(64) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    assert!(server.is_alive(), "{}", server.log());
    for client in [&mut alice, &mut bob] {
        client.send_channel(0x4000, b"still there?");
        let (bytes, relay) = arrives(&echo, Duration::from_secs(3)).expect("relayed");
        echo.send_to(&bytes, relay).unwrap();
        let answer = std::iter::repeat_with(|| client.channel_data()).take(200).flatten().find(|(number, _)| *number == 0x4000);
        assert_eq!(answer, Some((0x4000, b"still there?".to_vec())));
    }
    assert!(dtls_handshake(server.address), "newcomers are served");
    let grown = server.memory().saturating_sub(before);
    assert!(grown < 6_000 * 1_000, "{grown} bytes for 6,000 hellos");
}

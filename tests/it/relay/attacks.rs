//! What an attacker tries, over UDP.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::time::{Duration, Instant};

use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Class, Method, TransactionId, Writer};

use super::client::{Answer, Client, written};
use super::{LOOPBACK_PEERS, Server, Setting, arrives, peer};

const SOON: Duration = Duration::from_millis(500);

fn address(ip: &str, port: u16) -> SocketAddr {
    SocketAddr::new(ip.parse().unwrap(), port)
}

/// Networks that are not the world's, loopback and metadata in each of their spellings. (`::1` is the server's own here.)
const DENIED_V4: [&str; 21] = [
    "0.0.0.0",
    "0.1.2.3",
    "127.0.0.1",
    "127.0.0.8",
    "127.255.255.254",
    "10.0.0.1",
    "10.255.255.254",
    "172.16.0.1",
    "172.31.255.254",
    "192.168.0.1",
    "192.168.255.254",
    "100.64.0.1",
    "100.127.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "192.0.0.1",
    "198.18.0.1",
    "224.0.0.1",
    "239.255.255.254",
    "240.0.0.1",
    "255.255.255.255",
];
const DENIED_V6: [&str; 18] = [
    "::",
    "::ffff:127.0.0.1",
    "::ffff:0.0.0.0",
    "::ffff:10.0.0.1",
    "::ffff:169.254.169.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "64:ff9b::a00:1",
    "64:ff9b::a9fe:a9fe",
    "2002:7f00:1::",
    "2002:a00:1::1",
    "2001::1",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fd99::1",
    "ff02::1",
    "100::1",
];

#[test]
fn peers_that_are_not_ours_are_refused_in_every_spelling() {
    let server = Server::with(&Setting { turn: "", ..Setting::default() });
    let mut v4 = server.alice();
    v4.allocated();
    let mut v6 = server.alice_v6();
    assert_eq!(v6.allocate(|writer| _ = writer.first_of_four(Type::REQUESTED_ADDRESS_FAMILY, 2)).code(), 0);
    let all = DENIED_V4.iter().map(|ip| (*ip, false)).chain(DENIED_V6.iter().map(|ip| (*ip, true)));
    for (number, (ip, six)) in all.enumerate() {
        let client = if six { &mut v6 } else { &mut v4 };
        let peer = address(ip, 5000);
        assert_eq!(client.permit(&[peer]), 403, "CreatePermission for {ip}");
        assert_eq!(client.bind_channel(0x4000 + number as u16, peer), 403, "ChannelBind to {ip}");
        client.send_indication(peer, b"without a permission");
    }
    server.metric_becomes("pointsman_turn_errors_total", "code=\"403\"", |count| count == 2 * (DENIED_V4.len() + DENIED_V6.len()) as u64);
    server.metric_becomes("pointsman_turn_drops_total", "no_permission", |count| count >= (DENIED_V4.len() + DENIED_V6.len()) as u64);
    assert_eq!(server.metric("pointsman_turn_relayed_packets_total", ""), 0);
}

#[test]
fn an_address_of_the_other_family_is_443() {
    let server = Server::start();
    let mut alice = server.alice();
    alice.allocated();
    assert_eq!(alice.permit(&[address("::1", 1)]), 443);
    let mut six = server.alice_v6();
    assert_eq!(six.allocate(|writer| _ = writer.first_of_four(Type::REQUESTED_ADDRESS_FAMILY, 2)).code(), 0);
    assert_eq!(six.permit(&[address("127.0.0.1", 1)]), 443);
}

#[test]
fn our_own_ports_are_no_peers_but_for_media_and_relays() {
    // Nothing is allowed besides what is by default.
    let server = Server::with(&Setting { turn: "", ..Setting::default() });
    let mut alice = server.alice();
    alice.allocated();
    for port in [server.http.port(), server.tls.port(), 22] {
        assert_eq!(alice.bind_channel(0x4000, SocketAddr::new(server.address.ip(), port)), 403, "port {port}");
    }
    let mut bob = server.bob();
    let other_relay = bob.allocated();
    assert_eq!(alice.bind_channel(0x4000, other_relay), 0);
    assert_eq!(alice.bind_channel(0x4001, server.address), 0, "our media");
}

#[test]
fn what_follows_the_integrity_is_not_read() {
    let server = Server::start();
    let (honest, smuggled) = (peer("127.0.0.2"), peer("127.0.0.3"));
    let mut alice = server.alice();
    alice.allocated();
    let id = alice.next_id();
    let bytes = written(Class::Request, Method::CREATE_PERMISSION, id, |writer| {
        writer.xor_address(Type::XOR_PEER_ADDRESS, honest.local_addr().unwrap());
        writer.attribute(Type::USERNAME, b"alice").attribute(Type::REALM, super::REALM.as_bytes()).attribute(Type::NONCE, &alice.nonce);
        writer.integrity(&alice.key()).xor_address(Type::XOR_PEER_ADDRESS, smuggled.local_addr().unwrap());
    });
    assert_eq!(alice.ask(id, &bytes).unwrap().code(), 0);
    alice.send_indication(honest.local_addr().unwrap(), b"signed");
    alice.send_indication(smuggled.local_addr().unwrap(), b"appended");
    assert_eq!(arrives(&honest, 4 * SOON).map(|(bytes, _)| bytes).as_deref(), Some(&b"signed"[..]));
    assert!(arrives(&smuggled, SOON).is_none());
}

/// 20,000 sources, each with another address and port, and the memory that they cost.
#[test]
fn strangers_leave_no_state() {
    const SOURCES: u32 = 20_000;
    let server = Server::start();
    let nonce = {
        let mut client = server.alice();
        let id = client.next_id();
        let bytes = client.signed(Method::ALLOCATE, id, |writer| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 17));
        client.ask(id, &bytes).unwrap().message().nonce().unwrap().to_vec()
    };
    let forged = |id| {
        let mut client = server.alice();
        client.password = "guess".to_owned();
        client.nonce.clone_from(&nonce);
        client.signed(Method::ALLOCATE, id, |writer| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 17))
    };
    let id = TransactionId([1; 12]);
    let floods: [(&str, Vec<u8>); 4] = [
        (
            "Allocate without credentials",
            written(Class::Request, Method::ALLOCATE, id, |w| _ = w.first_of_four(Type::REQUESTED_TRANSPORT, 17)),
        ),
        ("Binding", written(Class::Request, Method::BINDING, id, |_| ())),
        ("junk", (0..20).map(|n: u8| n.wrapping_mul(73) ^ 0xA5).collect()),
        ("Allocate with a forged integrity", forged(id)),
    ];
    let flood = |first: u32, count: u32, bytes: &[u8]| {
        for n in first..first + count {
            let source = Ipv4Addr::from(0x7F00_0001 + 251 * n);
            let socket = UdpSocket::bind((source, 0)).unwrap();
            socket.send_to(bytes, server.address).unwrap();
            if n.is_multiple_of(256) {
                // The receive buffer is not what is tested.
                std::thread::sleep(Duration::from_millis(2));
            }
        }
        std::thread::sleep(Duration::from_millis(200));
    };
    // Buffers and tables of fixed size are touched once.
    for (_, bytes) in &floods {
        flood(0, 1_000, bytes);
    }
    for (what, bytes) in &floods {
        let before = server.memory();
        flood(1_000, SOURCES, bytes);
        let per_source = server.memory().saturating_sub(before) / u64::from(SOURCES);
        assert!(per_source < 100, "{what}: {per_source} bytes for each source");
    }
    assert_eq!(server.metric("pointsman_turn_allocations", ""), 0);
    let mut alice = server.alice();
    alice.allocated();
}

/// Forged requests come as fast as the sender can, from a thousand addresses, while somebody relays: data goes on, so do requests, and
/// memory stays what it was. How much it costs is told by `pointsman load turn --strangers`.
#[test]
fn a_flood_of_forged_requests_changes_nobodys_service() {
    let server = Server::start();
    let echo = peer("127.0.0.1");
    let mut alice = server.alice();
    alice.allocated();
    assert_eq!(alice.bind_channel(0x4000, echo.local_addr().unwrap()), 0);
    let run = || {
        let mut load = std::process::Command::new(env!("CARGO_BIN_EXE_pointsman"));
        load.args([
            "load",
            "turn",
            "--user",
            "alice",
            "--password",
            "wonderland",
            "--allocations",
            "4",
            "--rate",
            "400",
            "--seconds",
            "4",
            "--json",
        ]);
        load.args(["--strangers", "100000", "--server", &server.address.to_string(), "--pid", &server.child.id().to_string()]);
        load.stdout(std::process::Stdio::piped()).spawn().unwrap()
    };
    // Buffers are as long as they get after the first one.
    assert!(run().wait().unwrap().success());
    let before = server.memory();
    let flood = run();
    let (mut there, mut tries) = (0, 0);
    while there < 20 && tries < 400 {
        tries += 1;
        alice.send_channel(0x4000, b"goes on");
        // A datagram may be lost where a socket's buffer is full of the flood.
        if let Some((bytes, relay)) = arrives(&echo, Duration::from_millis(100)) {
            assert_eq!(bytes, b"goes on");
            echo.send_to(&bytes, relay).unwrap();
            there += u32::from(alice.channel_data() == Some((0x4000, b"goes on".to_vec())));
        }
    }
    assert_eq!(there, 20, "of {tries} only");
    assert_eq!(alice.refresh(600), 0);
    let output = flood.wait_with_output().unwrap();
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a report");
    let strangers = report["strangers"].as_u64().unwrap();
    assert!(strangers > 10_000, "{report}");
    let kept = server.memory().saturating_sub(before);
    assert!(kept < 4 << 20, "{kept} bytes after {strangers} requests");
    // Ours, and at most the load's own four, whose last words may have been lost in the flood.
    let allocations = server.metric("pointsman_turn_allocations", "");
    assert!((1..=5).contains(&allocations), "{allocations}");
}

#[test]
fn answers_to_strangers_are_small() {
    let server = Server::start();
    let mut client = server.alice();
    let mut ask = |method, write: &dyn Fn(&mut Writer<'_>)| {
        let id = client.next_id();
        let mut bytes = vec![0; 2048];
        let mut writer = Writer::new(&mut bytes, Class::Request, method, id);
        write(&mut writer);
        let len = writer.finish().unwrap();
        bytes.truncate(len);
        let answer = client.ask(id, &bytes).expect("an answer");
        (bytes.len(), answer)
    };
    let (asked, binding) = ask(Method::BINDING, &|_| ());
    assert!(10 * binding.0.len() <= 16 * asked, "Binding: {} bytes for {asked}", binding.0.len());
    let (asked, challenge) = ask(Method::ALLOCATE, &|writer| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 17));
    assert_eq!(challenge.code(), 401);
    // Realm and nonce must be there; RFC 8489 section 9.2.4. Nothing else is.
    assert!(challenge.0.len() <= 4 * asked, "401: {} bytes for {asked}", challenge.0.len());
    assert!(challenge.message().software().is_none());
    let (asked, many) = ask(Method::BINDING, &|writer| {
        for kind in 0x7000..0x7080 {
            writer.attribute(Type(kind), &[]);
        }
    });
    assert_eq!(many.code(), 420);
    assert!(many.0.len() <= asked, "420: {} bytes for {asked}", many.0.len());
}

#[test]
fn one_stranger_gets_so_many_answers_and_no_more() {
    let limits = "unauthenticated_answers_per_s_max = 5\nunauthenticated_answers_burst_max = 20\n";
    let server = Server::with(&Setting { turn: limits, ..Setting::default() });
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let started = Instant::now();
    for n in 0..500u16 {
        let id = TransactionId([(n >> 8) as u8, n as u8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
        let method = if n.is_multiple_of(2) { Method::ALLOCATE } else { Method::BINDING };
        socket.send_to(&written(Class::Request, method, id, |_| ()), server.address).unwrap();
    }
    let mut answers = 0;
    while arrives(&socket, SOON).is_some() {
        answers += 1;
    }
    let most = 20 + 5 * (started.elapsed().as_secs() + 1);
    assert!(answers >= 20 && answers <= most, "{answers} answers, {most} at most");
    server.metric_becomes("turn_unauthenticated_401_dropped_responses", "", |count| count >= 400);
}

#[test]
fn nonces_of_others_and_invented_ones_are_stale() {
    let server = Server::start();
    let mut alice = server.alice();
    alice.allocated();
    let mut thief = server.alice();
    for nonce in [alice.nonce.clone(), b"0123456789abcdef01234567".to_vec(), b"x".to_vec()] {
        thief.nonce = nonce;
        let id = thief.next_id();
        let bytes = thief.signed(Method::ALLOCATE, id, |writer| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 17));
        let answer = thief.ask(id, &bytes).unwrap();
        assert_eq!(answer.code(), 438);
        assert_ne!(answer.message().nonce(), Some(&*thief.nonce));
    }
    assert_eq!(alice.refresh(600), 0);
}

#[test]
fn an_allocation_obeys_its_client_alone() {
    let server = Server::start();
    let target = peer("127.0.0.1");
    let mut alice = server.alice();
    alice.allocated();
    assert_eq!(alice.bind_channel(0x4123, target.local_addr().unwrap()), 0);
    // The same user from another port has no allocation; nor has she the channel of the other.
    let mut elsewhere = server.alice();
    assert_eq!(elsewhere.refresh(0), 437);
    assert_eq!(elsewhere.permit(&[target.local_addr().unwrap()]), 437);
    elsewhere.send_channel(0x4123, b"hijacked");
    elsewhere.send_indication(target.local_addr().unwrap(), b"hijacked");
    assert!(arrives(&target, SOON).is_none());
    // From the very address, with another's good credentials: RFC 8656 section 5.
    let other = |alice: &mut Client, method| {
        let (user, password) =
            (std::mem::replace(&mut alice.user, "bob".to_owned()), std::mem::replace(&mut alice.password, "builder".to_owned()));
        let answer = alice.request(method, |writer| _ = writer.u32(Type::LIFETIME, 0));
        (alice.user, alice.password) = (user, password);
        answer.code()
    };
    assert_eq!(other(&mut alice, Method::REFRESH), 441);
    assert_eq!(alice.allocate(|_| ()).code(), 437, "one allocation for a 5-tuple");
    alice.send_channel(0x4123, b"mine");
    assert_eq!(arrives(&target, 4 * SOON).map(|(bytes, _)| bytes).as_deref(), Some(&b"mine"[..]));
}

#[test]
fn a_channel_stays_with_its_peer() {
    let server = Server::start();
    let (first, second) = (peer("127.0.0.1"), peer("127.0.0.1"));
    let (first, second) = (first.local_addr().unwrap(), second.local_addr().unwrap());
    let mut alice = server.alice();
    alice.allocated();
    assert_eq!(alice.bind_channel(0x4000, first), 0);
    assert_eq!(alice.bind_channel(0x4000, second), 400, "the number is taken");
    assert_eq!(alice.bind_channel(0x4001, first), 400, "the peer has a channel");
    assert_eq!(alice.bind_channel(0x4000, first), 0, "and may be bound again");
    for number in [0, 0x3FFF, 0x8000, 0xFFFF] {
        assert_eq!(alice.bind_channel(number, second), 400, "{number:#x}");
    }
}

#[test]
fn neither_passwords_nor_users_can_be_told_from_the_answer() {
    let server = Server::start();
    let answer = |user: &str, password: &str| -> Answer {
        let mut client = Client::udp(server.address, user, password);
        client.allocate(|_| ())
    };
    let (wrong, unknown) = (answer("alice", "guess"), answer("nobody", "guess"));
    assert_eq!((wrong.code(), unknown.code()), (401, 401));
    assert_eq!(wrong.0.len(), unknown.0.len());
}

/// Damaged and invented messages: nobody's service suffers.
#[test]
fn malformed_messages_hurt_nobody() {
    let mut server = Server::start();
    let echo = peer("127.0.0.1");
    let mut alice = server.alice();
    alice.allocated();
    assert_eq!(alice.bind_channel(0x4000, echo.local_addr().unwrap()), 0);
    let mut fuzzer = server.alice();
    fuzzer.allocated();
    let mut noise = Noise(1);
    let good = fuzzer.signed(Method::CHANNEL_BIND, TransactionId([3; 12]), |writer| {
        writer.channel_number(0x4000).xor_address(Type::XOR_PEER_ADDRESS, echo.local_addr().unwrap());
    });
    for round in 0..20_000usize {
        let bytes = noise.damage(&good, round);
        // The kernel refuses nothing here but full buffers.
        let _ = fuzzer.wire.send(&bytes);
        if round.is_multiple_of(64) {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    // A ChannelData that promises 35,510 bytes and brings three.
    for _ in 0..1_000 {
        let _ = fuzzer.wire.send(&[0x40, 0, 0x8A, 0xB6, 1, 2, 3]);
    }
    assert!(server.is_alive(), "{}", server.log());
    alice.send_channel(0x4000, b"still there?");
    let (bytes, relay) = arrives(&echo, Duration::from_secs(2)).expect("relayed");
    echo.send_to(&bytes, relay).unwrap();
    assert_eq!(alice.channel_data(), Some((0x4000, b"still there?".to_vec())));
}

/// The least of random generators: the same noise each time.
pub struct Noise(pub u64);

impl Noise {
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// A message with a few bytes changed, cut short, made longer, or invented.
    pub fn damage(&mut self, good: &[u8], round: usize) -> Vec<u8> {
        let mut bytes = good.to_vec();
        match round % 5 {
            0 => bytes.truncate(self.next() as usize % good.len()),
            1 => bytes.extend((0..1 + self.next() % 40).map(|n| n as u8)),
            2 => bytes = (0..self.next() % 100).map(|_| self.next() as u8).collect(),
            _ => {
                for _ in 0..1 + self.next() % 4 {
                    let at = self.next() as usize % bytes.len();
                    bytes[at] = self.next() as u8;
                }
            }
        }
        bytes
    }
}

#[test]
fn users_hold_so_many_allocations_and_get_them_back() {
    let quota = format!("{LOOPBACK_PEERS}user_quota = 2\n");
    let server = Server::with(&Setting { turn: &quota, shards: 2, ..Setting::default() });
    // Ports spread the clients over the shards; the quota holds all the same.
    let mut clients: Vec<Client> = (0..6).map(|_| server.alice()).collect();
    let codes: Vec<u16> = clients.iter_mut().map(|client| client.allocate(|_| ()).code()).collect();
    assert_eq!(codes.iter().filter(|code| **code == 0).count(), 2, "{codes:?}");
    assert!(codes.iter().all(|code| [0, 486].contains(code)), "{codes:?}");
    server.bob().allocated();
    let holder = codes.iter().position(|code| *code == 0).unwrap();
    assert_eq!(clients[holder].refresh(0), 0);
    assert_eq!(server.alice().allocate(|_| ()).code(), 0);
}

#[test]
fn relay_ports_are_not_foreseen() {
    let server = Server::start();
    let mut clients: Vec<Client> = (0..12).map(|_| server.alice()).collect();
    let ports: Vec<u16> = clients.iter_mut().map(|client| client.allocated().port()).collect();
    let steps: Vec<i32> = ports.windows(2).map(|pair| i32::from(pair[1]) - i32::from(pair[0])).collect();
    assert!(steps.iter().filter(|step| step.abs() <= 2).count() <= 2, "{ports:?}");
    // A reservation's token says nothing about its port (RFC 8656 section 18.10 wants eight bytes).
    let answer = server.bob().allocate(|writer| _ = writer.attribute(Type(0x0018), &[0x80]));
    assert_eq!(answer.code(), 0);
    let token = answer.message().reservation_token().unwrap().unwrap();
    let next = (answer.relayed().port() + 1).to_be_bytes();
    assert_ne!([token[6], token[7]], next);
}

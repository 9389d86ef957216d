//! Options of turnserver.conf that change what comes over the wire, each shown by that.

use std::io::{Read, Write};
use std::net::TcpStream;

use pointsman_wire::stun::attribute::Type;

use super::*;
use crate::relay::{arrives, certificate, peer};

fn lines(more: &str) -> String {
    format!("{ALICE}{LOOPBACK_PEERS}{more}")
}

/// A Binding request's answer.
fn binding(server: SocketAddr, mut attributes: impl FnMut(&Message<'_>)) {
    let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(3))).unwrap();
    socket.send_to(&written(Class::Request, Method::BINDING, TransactionId([3; 12]), |_| ()), server).unwrap();
    let mut bytes = [0; 512];
    let len = socket.recv(&mut bytes).expect("an answer");
    attributes(&Message::parse(&bytes[..len]).unwrap());
}

#[test]
fn a_load_balancers_word_on_the_client_counts() {
    let server = World::new().start(&lines("tcp-proxy-port=5555\n"), &[]);
    let mut stream = TcpStream::connect(server.world.at(5555)).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(b"PROXY TCP4 198.51.100.7 192.0.2.1 4711 3478\r\n").unwrap();
    stream.write_all(&written(Class::Request, Method::BINDING, TransactionId([4; 12]), |_| ())).unwrap();
    let mut bytes = [0; 512];
    let len = stream.read(&mut bytes).unwrap();
    let answer = Message::parse(&bytes[..len]).unwrap();
    assert_eq!(answer.xor_mapped_address().unwrap(), Some("198.51.100.7:4711".parse().unwrap()));
}

#[test]
fn nat_discovery_is_there_with_two_addresses_unless_it_is_off() {
    let other = |more: &str| {
        let world = World::new();
        let IpAddr::V4(first) = world.ip else { unreachable!() };
        let second = std::net::Ipv4Addr::from(u32::from(first) ^ 0x0040_0000);
        let server = world.start(&lines(&format!("listening-ip={second}\n{more}")), &[]);
        let mut told = None;
        binding(server.world.at(3478), |answer| told = answer.attribute(Type::OTHER_ADDRESS).map(<[u8]>::to_vec));
        told.map(|value| u16::from_be_bytes([value[2], value[3]]))
    };
    assert_eq!(other(""), Some(3479));
    assert_eq!(other("alt-listening-port=3490\n"), Some(3490));
    assert_eq!(other("no-rfc5780\n"), None);
}

#[test]
fn strangers_get_as_many_answers_a_second_as_the_file_says() {
    let server = World::new().start(&lines("unauthorized-ratelimit\nunauthorized-ratelimit-rps=5\n"), &[]);
    let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
    let started = Instant::now();
    for n in 0..100u8 {
        let request = written(Class::Request, Method::ALLOCATE, TransactionId([n; 12]), |writer| {
            _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 17);
        });
        socket.send_to(&request, server.world.at(3478)).unwrap();
    }
    let answers = std::iter::from_fn(|| arrives(&socket, Duration::from_millis(300))).count() as u64;
    let most = 5 + 5 * (started.elapsed().as_secs() + 1);
    assert!((5..=most).contains(&answers), "{answers} answers, {most} at most");
}

#[test]
fn bandwidth_is_shared_out_until_there_is_none() {
    let server = World::new().start(&lines("max-bps=4000\nbps-capacity=8000\n"), &[]);
    let [mut first, mut second, mut third] = [server.alice(), server.bob(), server.alice()];
    first.allocated();
    second.allocated();
    assert_eq!(third.allocate(|_| ()).code(), 486);
    assert_eq!(first.refresh(0), 0);
    third.allocated();
}

#[test]
fn stun_alone_answers_no_turn() {
    let server = World::new().start(&lines("stun-only\n"), &[]);
    assert!(is_bound(server.world.at(3478)));
    let mut alice = server.alice();
    alice.wire.patience(Duration::from_millis(300));
    let id = alice.next_id();
    let request = alice.signed(Method::ALLOCATE, id, |writer| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 17));
    assert!(alice.ask(id, &request).is_none());
}

#[test]
fn lifetimes_are_those_of_the_file() {
    let server = World::new().start(&lines("max-allocate-lifetime=700\npermission-lifetime=1\n"), &[]);
    let mut alice = server.alice();
    let given = |answer: crate::relay::client::Answer| answer.message().lifetime().unwrap();
    assert_eq!(given(alice.allocate(|writer| _ = writer.u32(Type::LIFETIME, 3_600))), Some(700));
    let echo = peer(&server.world.ip.to_string());
    let address = echo.local_addr().unwrap();
    assert_eq!(alice.permit(&[address]), 0);
    alice.send_indication(address, b"in time");
    assert!(arrives(&echo, Duration::from_secs(2)).is_some());
    std::thread::sleep(Duration::from_millis(1_500));
    alice.send_indication(address, b"too late");
    assert!(arrives(&echo, Duration::from_millis(300)).is_none());
}

#[test]
fn metrics_are_where_the_file_says() {
    let world = World::new();
    let lines = lines(&format!("prometheus\nprometheus-address={}\nprometheus-port=9700\nprometheus-path=/numbers\n", world.ip));
    let server = world.start(&lines, &[]);
    let text = operators::get(server.world.at(9700), "/numbers");
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("turn_total_allocations{type=\"UDP\"} 0"), "{text}");
    assert!(operators::get(server.world.at(9700), "/metrics").starts_with("HTTP/1.1 404"));
    assert!(operators::get(server.world.at(9700), "/").starts_with("HTTP/1.1 200"), "a health check");
}

#[test]
fn log_lines_have_the_form_and_the_level_that_are_asked_for() {
    let server = World::new().start(&lines("new-log-timestamp\nnew-log-timestamp-format=%Y/%m\n"), &[]);
    let log = server.log();
    let dated = |line: &str| line.starts_with("20") && line.as_bytes()[4] == b'/' && line.as_bytes()[7] == b' ';
    assert!(log.lines().filter(|line| line.contains("Total auth threads")).all(dated), "{log}");
    let world = World::new();
    let file = world.write(&lines("log-min-level=error\n"));
    let child = pointsman().arg("turnserver").arg("-c").arg(&file).arg("--no-stdout-log").stdout(Stdio::null()).spawn().unwrap();
    let server = Server { child, world };
    waits_until("it answers", || is_bound(server.world.at(3478)));
    assert_eq!(server.log(), "", "nothing is wrong");
}

#[test]
fn a_draining_server_may_leave_some_behind() {
    let server = World::new().start(&lines("drain-min-allocations=1\n"), &[]);
    let mut alice = server.alice();
    alice.allocated();
    server.signal("USR1");
    server.says("drained");
    assert_eq!(server.ends(Duration::from_secs(8)), Some(0));
}

#[test]
fn the_command_line_is_enough() {
    let world = World::new();
    let (ip, log) = (world.ip.to_string(), world.path("turn.log"));
    let words = ["turnserver", "-n", "-L", &ip, "-E", &ip, "-m1", "-afz", "--no-cli", "--pidfile=", "--simple-log", "-r", "example.org"];
    let refused = pointsman().args(words).output().unwrap();
    assert!(!refused.status.success() && text(&refused).contains("no-auth cannot both be meant"), "{}", text(&refused));
    let words = words.map(|word| if word == "-afz" { "-af" } else { word });
    let output = std::fs::File::create(world.path("output")).unwrap();
    let mut command = pointsman();
    command.args(words).args(["-u", "alice:wonderland", "--allow-loopback-peers", "-l"]).arg(&log);
    let child = command.stdout(output).spawn().unwrap();
    let server = Server { child, world };
    server.says("Total auth threads");
    let mut alice = server.alice();
    relays(&mut alice, &peer(&server.world.ip.to_string()));
}

#[test]
fn clients_over_tls_may_be_sent_elsewhere_alone() {
    let world = World::new();
    let (cert, key) = certificate(world.folder.path());
    let more = format!("cert={}\npkey={}\ntls-alternate-server=192.0.2.4\n", cert.display(), key.display());
    let server = world.start(&lines(&more), &[]);
    let refused = Client::tls(server.world.at(5349), "alice", "wonderland").allocate(|_| ());
    assert_eq!(refused.code(), 300);
    // IPv4, port 5349.
    assert_eq!(refused.message().attribute(Type::ALTERNATE_SERVER), Some(&[0, 1, 0x14, 0xE5, 192, 0, 2, 4][..]));
    server.alice().allocated();
}

/// Servers with one secret take each other's nonces.
#[test]
fn a_nonce_of_one_server_is_good_for_another_with_its_secret() {
    let secret = |secret: &str| World::new().start(&lines(&format!("stateless-nonce-secret={secret}\n")), &[]);
    let (first, second, stranger) = (secret("of the fleet"), secret("of the fleet"), secret("of others"));
    let mut alice = first.alice();
    let from = alice.wire.local();
    alice.allocated();
    let nonce = alice.nonce.clone();
    drop(alice);
    for (server, code) in [(&second, 0), (&stranger, 438)] {
        let mut alice = Client::udp_from(from, server.world.at(3478), "alice", "wonderland");
        alice.nonce.clone_from(&nonce);
        let id = alice.next_id();
        let request = alice.signed(Method::ALLOCATE, id, |writer| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 17));
        assert_eq!(alice.ask(id, &request).expect("an answer").code(), code);
    }
}

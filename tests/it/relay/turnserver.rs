//! The same binary started as `turnserver`, with a file as coturn's users have it.

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Class, Message, Method, TransactionId};

use super::client::{Client, written};
use super::{REALM, START_MAX, WORLDS};

struct Turnserver {
    child: Child,
    folder: tempfile::TempDir,
    /// Two addresses of this host that no other test has.
    ips: [IpAddr; 2],
    port: u16,
}

impl Turnserver {
    /// Starts one with these lines besides the addresses, ports and users; AUX in them is one more address and port.
    fn start(lines: &str) -> Self {
        let number = WORLDS.fetch_add(1, Ordering::Relaxed) as u8;
        let process = std::process::id();
        let ip = |last| IpAddr::from([127, 128 + (process >> 8 & 0x3F) as u8, (process & 0xFF) as u8, last]);
        let ips = [ip(1 + number), ip(129 + number)];
        let port = 20_000 + ((process * 37) as u16 % 200) * 50 + 3 * u16::from(number);
        let lines = lines.replace("AUX", &SocketAddr::new(ips[0], port + 2).to_string());
        let folder = tempfile::tempdir().unwrap();
        let in_folder = |name: &str| folder.path().join(name).display().to_string();
        let text = format!(
            "listening-ip={}\nlistening-ip={}\nlistening-ip=::1\nrelay-ip={}\nrelay-ip=::1\nlistening-port={port}\nmin-port=50000\nmax-port=50999\n\
             realm={REALM}\nlt-cred-mech\nuser=alice:wonderland\nuser=bob:builder\nno-cli\nno-tls\nno-dtls\nlog-file={}\nsimple-log\n\
             pidfile={}\nuserdb={}\n{lines}\n",
            ips[0],
            ips[1],
            ips[0],
            in_folder("turn.log"),
            in_folder("pid"),
            in_folder("users")
        );
        let file = folder.path().join("turnserver.conf");
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("POINTSMAN_")) {
            command.env_remove(name);
        }
        let log = std::fs::File::create(folder.path().join("stderr")).unwrap();
        let child = command.args(["turnserver", "-c"]).arg(&file).stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let server = Self { child, folder, ips, port };
        let until = Instant::now() + START_MAX;
        let probe = UdpSocket::bind("127.0.0.1:0").unwrap();
        while binding(&probe, server.address(0), &[]).is_none() {
            assert!(Instant::now() < until, "the server did not start:\n{}", server.log());
        }
        server
    }

    fn address(&self, which: usize) -> SocketAddr {
        SocketAddr::new(self.ips[which], self.port)
    }

    fn log(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.folder.path().join(name)).unwrap_or_default();
        read("stderr") + &read("turn.log")
    }
}

impl Drop for Turnserver {
    fn drop(&mut self) {
        let alive = self.child.try_wait().unwrap().is_none();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            assert!(alive, "the server ended by itself:\n{}", self.log());
            assert!(!self.log().contains("panicked at"), "{}", self.log());
        }
    }
}

/// A Binding request with CHANGE-REQUEST or the like: the answer, and where it came from.
fn binding(socket: &UdpSocket, server: SocketAddr, attributes: &[(Type, &[u8])]) -> Option<(Vec<u8>, SocketAddr)> {
    // Each question has a number of its own: an answer to one that was asked twice may come late.
    static ASKED: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let mut id = *b"discover____";
    id[8..].copy_from_slice(&ASKED.fetch_add(1, std::sync::atomic::Ordering::Relaxed).to_be_bytes());
    let id = TransactionId(id);
    let request = written(Class::Request, Method::BINDING, id, |writer| {
        for (kind, value) in attributes {
            writer.attribute(*kind, value);
        }
    });
    socket.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
    for _ in 0..3 {
        socket.send_to(&request, server).unwrap();
        let mut bytes = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut bytes) {
            if bytes[8..20] == id.0 {
                return Some((bytes[..len].to_vec(), from));
            }
        }
    }
    None
}

/// What no list names and coturn's versions open or closed one after the other: every form of this host, of the network's own
/// addresses, of clouds' metadata, and of groups.
const CLOSED_V4: [&str; 12] = [
    "0.0.0.0",
    "0.1.2.3",
    "127.0.0.1",
    "127.0.0.8",
    "127.255.255.254",
    "169.254.0.1",
    "169.254.169.254",
    "224.0.0.1",
    "239.255.255.254",
    "255.255.255.255",
    // By the file's own list.
    "10.0.0.1",
    "10.255.255.254",
];
const CLOSED_V6: [&str; 24] = [
    "::",
    "::ffff:0.0.0.0",
    "::ffff:0.1.2.3",
    "::ffff:127.0.0.1",
    "::ffff:127.255.255.254",
    "::127.0.0.1",
    "64:ff9b::7f00:1",
    "2002:7f00:1::",
    "2001:0:7f00:1::",
    "::ffff:169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
    "::ffff:224.0.0.1",
    "64:ff9b::e000:1",
    "fe80::1",
    "fec0::1",
    "fc00::1",
    "fd99::1",
    "ff02::1",
    "ff05::2",
    "::ffff:10.0.0.1",
    "64:ff9b::a00:1",
    "2002:a00:1::1",
    "::10.0.0.1",
];

#[test]
fn peers_that_reach_the_host_or_its_network_are_refused_in_every_spelling() {
    let server = Turnserver::start("no-multicast-peers\ndenied-peer-ip=10.0.0.0-10.255.255.255\nallowed-peer-ip=10.9.9.9");
    let mut four = Client::udp(server.address(0), "alice", "wonderland");
    four.allocated();
    let mut six = Client::udp(SocketAddr::new("::1".parse().unwrap(), server.port), "alice", "wonderland");
    assert_eq!(six.allocate(|writer| _ = writer.first_of_four(Type::REQUESTED_ADDRESS_FAMILY, 2)).code(), 0);
    let mut stream = Client::tcp(server.address(0), "bob", "builder");
    assert_eq!(stream.request(Method::ALLOCATE, |writer| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 6)).code(), 0);
    for (number, ip) in CLOSED_V4.into_iter().chain(CLOSED_V6).enumerate() {
        let peer = SocketAddr::new(ip.parse().unwrap(), 5_000);
        let client = if peer.is_ipv4() { &mut four } else { &mut six };
        assert_eq!(client.permit(&[peer]), 403, "CreatePermission for {ip}");
        assert_eq!(client.bind_channel(0x4000 + number as u16, peer), 403, "ChannelBind to {ip}");
        let connect = stream.request(Method::CONNECT, |writer| _ = writer.xor_address(Type::XOR_PEER_ADDRESS, peer));
        assert_eq!(connect.code(), 403, "Connect to {ip}");
    }
    // One that is closed closes the whole request; those that are open by coturn's rules stay so.
    let open = |ip: &str| SocketAddr::new(ip.parse().unwrap(), 5_000);
    assert_eq!(four.permit(&[open("192.168.0.1"), open("127.0.0.1")]), 403);
    assert_eq!(four.permit(&[open("192.168.0.1"), open("172.16.0.1"), open("192.0.2.1")]), 0);
    assert_eq!(four.permit(&[open("10.9.9.9")]), 0, "an exception of the file");
    assert_eq!(six.permit(&[open("2001:db8::1"), open("64:ff9b::c000:201")]), 0);
}

/// RFC 5780 section 4: a client learns how its NAT maps and filters by answers from elsewhere.
#[test]
fn answers_come_from_the_other_address_and_port() {
    let server = Turnserver::start("rfc5780");
    let (first, second) = (server.address(0), server.address(1));
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (plain, from) = binding(&socket, first, &[]).expect("an answer");
    assert_eq!(from, first);
    let message = Message::parse(&plain).unwrap();
    assert_eq!(message.address(Type::RESPONSE_ORIGIN), Ok(Some(first)));
    let other = message.address(Type::OTHER_ADDRESS).unwrap().expect("another address");
    assert!(other.ip() == second.ip() && other.port() != first.port(), "{other}");
    let at = |ip: SocketAddr, port: SocketAddr| SocketAddr::new(ip.ip(), port.port());
    // From each of the four, to each of the four.
    for asked in [first, second, at(first, other), other] {
        for (bits, change_ip, change_port) in [(0_u32, false, false), (2, false, true), (4, true, false), (6, true, true)] {
            let (answer, from) = binding(&socket, asked, &[(Type::CHANGE_REQUEST, &bits.to_be_bytes())]).expect("an answer");
            let ip = if (asked.ip() == first.ip()) == change_ip { second } else { first };
            let port = if (asked.port() == first.port()) == change_port { other } else { first };
            assert_eq!(from, at(ip, port), "asked at {asked} with {bits}");
            let message = Message::parse(&answer).unwrap();
            assert_eq!(message.xor_mapped_address(), Ok(Some(socket.local_addr().unwrap())));
            assert_eq!(message.address(Type::RESPONSE_ORIGIN), Ok(Some(from)));
        }
    }
    // To another port of whoever asked, and to nobody else.
    let elsewhere = UdpSocket::bind("127.0.0.1:0").unwrap();
    elsewhere.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    let port = elsewhere.local_addr().unwrap().port().to_be_bytes();
    assert_eq!(binding(&socket, first, &[(Type::RESPONSE_PORT, &[port[0], port[1], 0, 0])]), None);
    let mut bytes = [0; 2048];
    let (len, from) = elsewhere.recv_from(&mut bytes).expect("the answer");
    assert_eq!((from, Message::parse(&bytes[..len]).unwrap().class()), (first, Class::Success));
}

/// coturn sends nobody elsewhere who comes to an auxiliary address.
#[test]
fn auxiliary_servers_do_not_redirect() {
    let server = Turnserver::start("alternate-server=192.0.2.9:3478\naux-server=AUX");
    let auxiliary = SocketAddr::new(server.ips[0], server.port + 2);
    Client::udp(auxiliary, "alice", "wonderland").allocated();
    Client::tcp(auxiliary, "alice", "wonderland").allocated();
    let mut alice = Client::udp(server.address(0), "alice", "wonderland");
    let answer = alice.allocate(|_| ());
    assert_eq!(answer.code(), 300);
    assert_eq!(answer.message().address(Type::ALTERNATE_SERVER), Ok(Some("192.0.2.9:3478".parse().unwrap())));
}

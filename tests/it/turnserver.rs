//! `pointsman turnserver` as a process, from coturn's files: what it is told by options, signals and operators.

mod operators;
mod options;
mod process;
mod public;

use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use pointsman_wire::stun::{Class, Message, Method, TransactionId};

use crate::relay::client::{Client, written};

const START_MAX: Duration = Duration::from_secs(20);
/// Peers of tests are on loopback.
const LOOPBACK_PEERS: &str = "allow-loopback-peers\nno-cli\n";
const ALICE: &str = "lt-cred-mech\nuser=alice:wonderland\nuser=bob:builder\nrealm=example.org\n";

static WORLDS: AtomicU16 = AtomicU16::new(0);

/// Where a test's server is: an address of 127/8 that no other test has.
struct World {
    folder: tempfile::TempDir,
    ip: IpAddr,
}

impl World {
    fn new() -> Self {
        let (number, process) = (WORLDS.fetch_add(1, Ordering::Relaxed), std::process::id());
        let ip = IpAddr::from([127, 128 + (process >> 8 & 0x3F) as u8, (process & 0xFF) as u8, 1 + number as u8]);
        Self { folder: tempfile::tempdir().unwrap(), ip }
    }

    /// Where it listens.
    fn at(&self, port: u16) -> SocketAddr {
        SocketAddr::new(self.ip, port)
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A configuration of this world: its addresses and the lines.
    fn write(&self, lines: &str) -> PathBuf {
        let (file, log, ip) = (self.path("turnserver.conf"), self.path("turn.log"), self.ip);
        let log = log.display();
        let text = format!("listening-ip={ip}\nrelay-ip={ip}\nrelay-threads=1\nlog-file={log}\nsimple-log\npidfile=\n{lines}");
        std::fs::write(&file, text).unwrap();
        file
    }

    /// A server with these lines and options, ready.
    fn start(self, lines: &str, options: &[&str]) -> Server {
        let file = self.write(lines);
        self.run(&file, options)
    }

    fn run(self, file: &Path, options: &[&str]) -> Server {
        let mut command = pointsman();
        command.arg("turnserver").arg("-c").arg(file).args(options);
        let output = std::fs::File::create(self.path("output")).unwrap();
        let child = command.stdout(output.try_clone().unwrap()).stderr(output).spawn().unwrap();
        let mut server = Server { child, world: self };
        let until = Instant::now() + START_MAX;
        while !server.log().contains("Total auth threads") {
            assert!(server.child.try_wait().unwrap().is_none() && Instant::now() < until, "no start:\n{}", server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }
}

struct Server {
    child: Child,
    world: World,
}

impl Server {
    fn client(&self, name: &str, password: &str) -> Client {
        Client::udp(self.world.at(3478), name, password)
    }

    fn alice(&self) -> Client {
        self.client("alice", "wonderland")
    }

    fn bob(&self) -> Client {
        self.client("bob", "builder")
    }

    fn signal(&self, name: &str) {
        kill(name, self.child.id());
    }

    /// All that it said: in its log, and on its output.
    fn log(&self) -> String {
        let read = |name: &str| std::fs::read_to_string(self.world.path(name)).unwrap_or_default();
        read("turn.log") + &read("output")
    }

    fn says(&self, words: &str) {
        waits_until(&format!("the log holds {words:?}"), || self.log().contains(words));
    }

    /// Its exit code.
    fn ends(mut self, wait: Duration) -> Option<i32> {
        let until = Instant::now() + wait;
        loop {
            match self.child.try_wait().unwrap() {
                Some(status) => return status.code(),
                None if Instant::now() > until => panic!("it does not end:\n{}", self.log()),
                None => std::thread::sleep(Duration::from_millis(20)),
            }
        }
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            assert!(!self.log().contains("panicked at"), "{}", self.log());
        }
    }
}

/// The binary, without settings of whoever runs the tests.
fn pointsman() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("POINTSMAN_")) {
        command.env_remove(name);
    }
    command.stdin(Stdio::null());
    command
}

fn kill(signal: &str, process: u32) {
    assert!(Command::new("kill").args([&format!("-{signal}"), &process.to_string()]).status().unwrap().success());
}

fn text(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

fn waits_until(what: &str, done: impl Fn() -> bool) {
    let until = Instant::now() + Duration::from_secs(5);
    while !done() {
        assert!(Instant::now() < until, "never: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Whether a Binding request from this socket is answered with success.
fn is_bound(server: SocketAddr) -> bool {
    let socket = UdpSocket::bind((server.ip(), 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
    let request = written(Class::Request, Method::BINDING, TransactionId([9; 12]), |_| ());
    (0..3).any(|_| {
        let mut bytes = [0; 512];
        // A port that nobody has refuses the first, and the second is told.
        let len = socket.send_to(&request, server).and_then(|_| socket.recv(&mut bytes)).unwrap_or_default();
        Message::parse(&bytes[..len]).is_ok_and(|message| message.class() == Class::Success)
    })
}

/// The client's relay carries a datagram to a peer and back.
fn relays(client: &mut Client, peer: &UdpSocket) {
    let address = peer.local_addr().unwrap();
    client.allocated();
    assert_eq!(client.bind_channel(0x4000, address), 0);
    carries(client, peer);
}

/// The same over the channel that there is.
fn carries(client: &mut Client, peer: &UdpSocket) {
    client.send_channel(0x4000, b"there");
    let (bytes, from) = crate::relay::arrives(peer, Duration::from_secs(3)).expect("the peer is reached");
    assert_eq!(bytes, b"there");
    peer.send_to(b"and back", from).unwrap();
    assert_eq!(client.channel_data(), Some((0x4000, b"and back".to_vec())));
}

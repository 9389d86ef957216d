//! The relay at the wire: the real binary on loopback, and a client that sends what it is told, right or wrong.

mod attacks;
pub mod client;
mod exhaustion;
mod streams;
mod theft;
mod turnserver;
mod witnesses;

use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::{Duration, Instant};

use client::Client;

const REALM: &str = "example.org";
const START_MAX: Duration = Duration::from_secs(20);
/// Loopback peers are allowed, so that tests have peers at all.
const LOOPBACK_PEERS: &str = "allowed_peers = [\"127.0.0.0/8\", \"::1/128\"]\n";

static WORLDS: AtomicU16 = AtomicU16::new(0);

/// A server of a test's own, on an address of its own.
struct Server {
    child: Child,
    folder: tempfile::TempDir,
    address: SocketAddr,
    tls: SocketAddr,
    http: SocketAddr,
}

/// What a test may choose.
struct Setting<'a> {
    /// Lines of [turn] besides the realm, the users alice and bob, and the ports.
    turn: &'a str,
    /// Lines of other sections.
    more: &'a str,
    relay_ports: &'a str,
    shards: u16,
    /// RLIMIT_NOFILE.
    descriptors: Option<u32>,
}

impl Default for Setting<'_> {
    fn default() -> Self {
        Self { turn: LOOPBACK_PEERS, more: "", relay_ports: "50000-50999", shards: 1, descriptors: None }
    }
}

impl Server {
    fn start() -> Self {
        Self::with(&Setting::default())
    }

    /// Starts a server on an address of 127/8 that no other test has, and on `[::1]`.
    fn with(setting: &Setting<'_>) -> Self {
        let number = WORLDS.fetch_add(1, Ordering::Relaxed);
        let process = std::process::id();
        let ip = IpAddr::from([127, 64 + (process >> 8 & 0x3F) as u8, (process & 0xFF) as u8, 1 + number as u8]);
        // Tests share [::1]: the port tells their servers apart there.
        let port = 20_000 + ((process * 37) as u16 % 200) * 50 + 3 * number;
        let on = |offset| SocketAddr::new(ip, port + offset);
        let folder = tempfile::tempdir().unwrap();
        certificate(folder.path());
        let (address, tls, http) = (on(0), on(1), on(2));
        let Setting { turn, more, relay_ports, shards, descriptors } = setting;
        let text = format!(
            "public_ip = [\"{ip}\", \"::1\"]\n\
             [listen]\nudp = [\"{address}\", \"[::1]:{port}\"]\ntcp = [\"{address}\"]\ntls = [\"{tls}\"]\nhttp = [\"{http}\"]\n\
             [tls]\ncertificate = \"cert.pem\"\nkey = \"key.pem\"\nhandshake_timeout_s = 3\n[http]\nheader_timeout_s = 3\n[streams]\nidle_timeout_s = 5\n\
             [engine]\nshards = {shards}\npin = false\n[sfu]\npool_slots_max = 1024\n\
             [keys]\nkey = \"a secret of at least thirty-two characters\"\n\
             [turn]\nrealm = \"{REALM}\"\nrelay_ports = \"{relay_ports}\"\nusers = {{ alice = \"wonderland\", bob = \"builder\" }}\n{turn}\n{more}"
        );
        let file = folder.path().join("pointsman.toml");
        std::fs::write(&file, text).unwrap();
        let log = std::fs::File::create(folder.path().join("log")).unwrap();
        let limit = descriptors.map_or(String::new(), |limit| format!("ulimit -n {limit}; "));
        let mut command = Command::new("sh");
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("POINTSMAN_")) {
            command.env_remove(name);
        }
        let run = format!("{limit}exec \"$0\" serve --config \"$1\"");
        command.args(["-c", &run, env!("CARGO_BIN_EXE_pointsman")]).arg(&file);
        let child = command.stdout(Stdio::null()).stderr(log).spawn().unwrap();
        let mut server = Self { child, folder, address, tls, http };
        let until = Instant::now() + START_MAX;
        while server.get("/readyz").is_none_or(|answer| !answer.starts_with("HTTP/1.1 200")) {
            assert!(server.is_alive() && Instant::now() < until, "the server did not start:\n{}", server.log());
            std::thread::sleep(Duration::from_millis(20));
        }
        server
    }

    fn alice(&self) -> Client {
        Client::udp(self.address, "alice", "wonderland")
    }

    fn alice_v6(&self) -> Client {
        Client::udp(SocketAddr::new("::1".parse().unwrap(), self.address.port()), "alice", "wonderland")
    }

    fn bob(&self) -> Client {
        Client::udp(self.address, "bob", "builder")
    }

    /// The answer to a plain HTTP request, head and body.
    fn get(&self, path: &str) -> Option<String> {
        self.http("GET", path, "")
    }

    fn http(&self, method: &str, path: &str, headers: &str) -> Option<String> {
        let mut stream = TcpStream::connect_timeout(&self.http, Duration::from_secs(1)).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
        stream.write_all(format!("{method} {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n{headers}\r\n").as_bytes()).ok()?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).ok()?;
        Some(answer)
    }

    /// The sum of a metric's samples whose labels hold `label`. Shards publish their counters once a second.
    fn metric(&self, name: &str, label: &str) -> u64 {
        let text = self.get("/metrics").expect("metrics");
        let of_name = text.lines().filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(['{', ' '])));
        of_name.filter(|line| line.contains(label)).filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum::<f64>() as u64
    }

    /// Waits until the metric satisfies.
    fn metric_becomes(&self, name: &str, label: &str, good: impl Fn(u64) -> bool) {
        let until = Instant::now() + Duration::from_secs(5);
        while !good(self.metric(name, label)) {
            assert!(Instant::now() < until, "{name}{{{label}}} is {}", self.metric(name, label));
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn is_alive(&mut self) -> bool {
        self.child.try_wait().unwrap().is_none()
    }

    fn log(&self) -> String {
        std::fs::read_to_string(self.folder.path().join("log")).unwrap_or_default()
    }

    /// Bytes of memory in use (RSS).
    fn memory(&self) -> u64 {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
        1024 * line.trim().trim_end_matches(" kB").parse::<u64>().unwrap()
    }

    fn signal(&self, name: &str) {
        assert!(Command::new("kill").args([&format!("-{name}"), &self.child.id().to_string()]).status().unwrap().success());
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let alive = self.is_alive();
        let _ = self.child.kill();
        let _ = self.child.wait();
        if !std::thread::panicking() {
            assert!(alive, "the server ended by itself:\n{}", self.log());
            assert!(!self.log().contains("panicked at"), "{}", self.log());
        }
    }
}

/// Writes a certificate and its key; their paths.
pub fn certificate(folder: &Path) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec!["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (certificate, key)
}

/// A peer beyond the relay.
pub fn peer(ip: &str) -> UdpSocket {
    let socket = UdpSocket::bind((ip.parse::<IpAddr>().unwrap(), 0)).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    socket
}

/// What arrives at a socket within `wait`, if anything does.
pub fn arrives(socket: &UdpSocket, wait: Duration) -> Option<(Vec<u8>, SocketAddr)> {
    socket.set_read_timeout(Some(wait)).unwrap();
    let mut bytes = [0; 2048];
    let (len, from) = socket.recv_from(&mut bytes).ok()?;
    Some((bytes[..len].to_vec(), from))
}

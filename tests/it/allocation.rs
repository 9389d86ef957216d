//! The packet path does not allocate: a whole server in this process, real clients in another, and an allocator that counts by thread.

use std::alloc::{GlobalAlloc, Layout, System};
use std::backtrace::Backtrace;
use std::cell::Cell;
use std::collections::HashMap;
use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pointsman::config::Config;
use pointsman_wire::channel_data;
use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Class, Method, TransactionId, Writer};

#[allow(dead_code, reason = "the engine's own tests need more of it")]
#[path = "../../src/engine/tests/client.rs"]
mod client;
use client::TurnClient;

struct Counting;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// More than threads that live at once; a clash would only count too much.
const SLOTS: usize = 4096;
static ALLOCATIONS: [AtomicU64; SLOTS] = [const { AtomicU64::new(0) }; SLOTS];

/// While this is set, it is noted where the shards' threads allocate.
static WATCHED: AtomicBool = AtomicBool::new(false);
static PLACES: Mutex<Vec<String>> = Mutex::new(Vec::new());
const PLACES_MAX: usize = 4;

thread_local! {
    static THREAD: Cell<usize> = const { Cell::new(usize::MAX) };
    static NOTING: Cell<bool> = const { Cell::new(false) };
}

fn count() {
    if NOTING.try_with(Cell::get).unwrap_or(true) {
        return;
    }
    let _ = THREAD.try_with(|thread| {
        if thread.get() == usize::MAX {
            // SAFETY: gettid has no preconditions.
            thread.set(unsafe { libc::gettid() } as usize % SLOTS);
        }
        ALLOCATIONS[thread.get()].fetch_add(1, Ordering::Relaxed);
    });
    if WATCHED.load(Ordering::Relaxed) {
        let _ = NOTING.try_with(|noting| {
            noting.set(true);
            note();
            noting.set(false);
        });
    }
}

/// Notes where a shard's thread allocates, for the failing test to tell. What it allocates itself is not counted.
fn note() {
    if thread::current().name().is_some_and(|name| name.starts_with("shard"))
        && let Ok(mut places) = PLACES.lock()
        && places.len() < PLACES_MAX
    {
        places.push(Backtrace::force_capture().to_string());
    }
}

// SAFETY: every call goes to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's promise is passed on.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        count();
        // SAFETY: the caller's promise is passed on.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

/// Allocations of all shards' threads so far.
fn shards_allocations() -> u64 {
    let mut threads = 0;
    let mut allocations = 0;
    for task in fs::read_dir("/proc/self/task").expect("procfs").flatten() {
        let name = fs::read_to_string(task.path().join("comm")).unwrap_or_default();
        if name.starts_with("shard") {
            let thread: usize = task.file_name().to_string_lossy().parse().expect("a thread's number");
            threads += 1;
            allocations += ALLOCATIONS[thread % SLOTS].load(Ordering::Relaxed);
        }
    }
    assert!(threads > 0, "no thread is named after a shard");
    allocations
}

fn free_ports() -> (u16, u16) {
    let any: SocketAddr = "127.0.0.1:0".parse().expect("an address");
    let port = |address: std::io::Result<SocketAddr>| address.expect("a bound socket").port();
    (port(UdpSocket::bind(any).expect("a free port").local_addr()), port(TcpListener::bind(any).expect("a free port").local_addr()))
}

fn get(http: u16, path: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", http)).ok()?;
    write!(stream, "GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").ok()?;
    let mut text = String::new();
    stream.read_to_string(&mut text).ok()?;
    text.starts_with("HTTP/1.1 200").then_some(text)
}

fn packets_out(http: u16) -> f64 {
    let metrics = get(http, "/metrics").expect("metrics");
    let samples = metrics.lines().filter(|line| line.starts_with("pointsman_engine_packets_total") && line.contains("direction=\"out\""));
    samples.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum()
}

fn wait<T>(what: &str, limit: Duration, mut ask: impl FnMut() -> Option<T>) -> T {
    let end = Instant::now() + limit;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < end, "{what} took more than {limit:?}");
        thread::sleep(Duration::from_millis(50));
    }
}

fn signal(child: &Child, signal: i32) {
    // SAFETY: the child has not been waited for, so its number is still its own.
    assert_eq!(unsafe { libc::kill(child.id() as i32, signal) }, 0);
}

/// Sends back whatever comes.
fn echo() -> SocketAddr {
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    let address = socket.local_addr().expect("an address");
    thread::spawn(move || {
        let mut bytes = [0; 2048];
        while let Ok((len, from)) = socket.recv_from(&mut bytes) {
            let _ = socket.send_to(&bytes[..len], from);
        }
    });
    address
}

/// One burst of equal messages from each client, and what comes back of it. Says how many came back.
fn burst(clients: &[TurnClient], message: &[u8]) -> u64 {
    const BURST: usize = 20;
    let mut bytes = [0; 2048];
    for client in clients {
        for _ in 0..BURST {
            client.socket.send(message).expect("room in the socket");
        }
    }
    clients.iter().map(|client| (0..BURST).map_while(|_| client.socket.recv(&mut bytes).ok()).count() as u64).sum()
}

/// ChannelData, then Send and Data indications, both ways.
fn relaying_does_not_allocate(server: SocketAddr) {
    let (channel_peer, other_peer) = (echo(), echo());
    let clients: Vec<TurnClient> = (0..4)
        .map(|_| {
            let mut client = TurnClient::new(server.ip(), server);
            client.allocate();
            client.bind_channel(0x4001, channel_peer);
            client.permit(other_peer);
            client
        })
        .collect();
    let mut on_channel = channel_data::header(0x4001, 160).expect("a channel").to_vec();
    on_channel.extend([7; 160]);
    let mut indication = vec![0; 300];
    let len = Writer::new(&mut indication, Class::Indication, Method::SEND, TransactionId([9; 12]))
        .xor_address(Type::XOR_PEER_ADDRESS, other_peer)
        .attribute(Type::DATA, &[7; 160])
        .finish()
        .expect("room for an indication");
    indication.truncate(len);
    for (what, message) in [("ChannelData", on_channel), ("indications", indication)] {
        // Lists reach the length that a burst needs.
        for _ in 0..20 {
            burst(&clients, &message);
        }
        let before = shards_allocations();
        WATCHED.store(true, Ordering::Relaxed);
        let echoed: u64 = (0..100).map(|_| burst(&clients, &message)).sum();
        WATCHED.store(false, Ordering::Relaxed);
        let allocations = shards_allocations() - before;
        let places = PLACES.lock().expect("no panic while noting").join("\n");
        assert!(echoed > 7_000, "only {echoed} of 8000 came back as {what}");
        assert_eq!(allocations, 0, "while {echoed} were relayed each way as {what}\n{places}");
    }
}

#[test]
fn relaying_and_forwarding_do_not_allocate() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("pointsman.toml");
    let (udp, http) = free_ports();
    let text = format!(
        "public_ip = \"127.0.0.1\"\n[listen]\nudp = [\"127.0.0.1:{udp}\"]\ntcp = []\ntls = []\nhttp = [\"127.0.0.1:{http}\"]\n\
         [engine]\nshards = 2\n[turn]\nrealm = \"test\"\nusers = {{ alice = \"secret\" }}\nallowed_peers = [\"127.0.0.0/8\"]\n\
         [keys]\ntest = \"a key of at least thirty-two characters\"\n"
    );
    fs::write(&file, text).expect("a writable folder");
    let config = Config::load(&file, Config::default(), &HashMap::new()).expect("a valid file").config;
    thread::spawn(move || pointsman::control::run(config, pointsman::control::Role::Conference { dev: false }));
    wait("starting", Duration::from_secs(10), || get(http, "/readyz"));
    relaying_does_not_allocate(SocketAddr::from(([127, 0, 0, 1], udp)));

    let binary = env!("CARGO_BIN_EXE_pointsman");
    let token = Command::new(binary).args(["token", "--room", "r", "--identity", "i", "--config"]).arg(&file).output().expect("a token");
    let token = String::from_utf8(token.stdout).expect("text");
    let mut load = Command::new(binary)
        .args(["load", "--publishers", "2", "--subscribers", "8", "--watch", "2", "--seconds", "20", "--json", "--token", token.trim()])
        .args(["--whip", &format!("http://127.0.0.1:{http}/whip/r"), "--whep", &format!("http://127.0.0.1:{http}/whep/r")])
        .stdout(Stdio::piped())
        .spawn()
        .expect("the load tool");
    // Eight players get both publishers' 400 packets in a second.
    let mut before = packets_out(http);
    wait("getting to full rate", Duration::from_secs(30), || {
        thread::sleep(Duration::from_secs(2));
        let now = packets_out(http);
        let rate = (now - before) / 2.0;
        before = now;
        (rate > 2500.0).then_some(())
    });
    // The packets' pool grows until the caches of all publications are full: 1,024 packets of video take six seconds.
    thread::sleep(Duration::from_secs(8));
    let (packets_before, allocations_before) = (packets_out(http), shards_allocations());
    WATCHED.store(true, Ordering::Relaxed);
    thread::sleep(Duration::from_secs(2));
    // Clients that stall and catch up send in one turn what should have come over half a second.
    signal(&load, libc::SIGSTOP);
    thread::sleep(Duration::from_millis(600));
    signal(&load, libc::SIGCONT);
    thread::sleep(Duration::from_secs(2));
    WATCHED.store(false, Ordering::Relaxed);
    let (packets, allocations) = (packets_out(http) - packets_before, shards_allocations() - allocations_before);
    let mut report = String::new();
    load.stdout.take().expect("a pipe").read_to_string(&mut report).expect("text");
    assert!(load.wait().expect("a child").success(), "{report}");
    assert!(packets > 8_000.0, "only {packets} packets went out: {report}");
    let places = PLACES.lock().expect("no panic while noting").join("\n");
    assert_eq!(allocations, 0, "while {packets} packets went out: {report}\n{places}");
}

//! Strangers: datagrams from sources that never come back. A server that keeps something of each can be filled up.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Class, Key, Method, TransactionId, Writer};

use super::super::cost::Usage;
use super::fleet::Pacer;

/// Between two datagrams' bursts, so that the server's buffer holds them.
const BURST: u32 = 100;
const PAUSE: Duration = Duration::from_millis(2);

/// What one kind of datagram cost.
pub struct Finding {
    pub kind: &'static str,
    pub sources: u32,
    /// Resident memory that stayed, and CPU time; `None` without the server's process number.
    pub kept: Option<(i64, u64)>,
}

pub fn run(server: SocketAddr, sources: u32, pid: Option<u32>) -> Result<Vec<Finding>, String> {
    if !server.is_ipv4() || !server.ip().is_loopback() {
        return Err("a flood comes from many addresses of 127.0.0.0/8: the server must be there, too".to_owned());
    }
    let kinds: [(&'static str, Vec<u8>); 4] = [
        ("allocate without credentials", request(Method::ALLOCATE, false)),
        ("binding", request(Method::BINDING, false)),
        ("junk", vec![0x5A; 20]),
        ("allocate with forged integrity", request(Method::ALLOCATE, true)),
    ];
    let usage = || pid.map(Usage::of).transpose();
    let mut findings = Vec::new();
    for (number, (kind, message)) in (0_u32..).zip(kinds) {
        let before = usage()?;
        for source in 0..sources {
            let [_, a, b, c] = (number * sources + source + 256).to_be_bytes();
            let socket = UdpSocket::bind((Ipv4Addr::new(127, 1 + a % 250, b, c), 0)).map_err(|error| format!("a source: {error}"))?;
            socket.send_to(&message, server).map_err(|error| format!("{server}: {error}"))?;
            if source % BURST == BURST - 1 {
                thread::sleep(PAUSE);
            }
        }
        thread::sleep(Duration::from_millis(500));
        let kept = before
            .zip(usage()?)
            .map(|(before, after)| (after.rss_bytes as i64 - before.rss_bytes as i64, after.cpu_ns.saturating_sub(before.cpu_ns)));
        findings.push(Finding { kind, sources, kept });
    }
    Ok(findings)
}

/// Sources of a flood beside real clients, each with a socket of its own.
const STRANGERS: u32 = 1_000;
const TICK: Duration = Duration::from_millis(1);

/// Strangers who keep sending forged requests, from a thread of their own.
pub struct Strangers {
    stop: Arc<AtomicBool>,
    thread: thread::JoinHandle<u64>,
}

impl Strangers {
    pub fn start(server: SocketAddr, per_s: u32) -> Result<Self, String> {
        let message = request(Method::ALLOCATE, true);
        let open = |number: u32| -> std::io::Result<UdpSocket> {
            let [_, _, b, c] = number.to_be_bytes();
            let socket = UdpSocket::bind((Ipv4Addr::new(127, 251, b, c), 0))?;
            socket.set_nonblocking(true)?;
            socket.connect(server)?;
            Ok(socket)
        };
        let sockets: Vec<UdpSocket> =
            (1..=STRANGERS).map(open).collect::<std::io::Result<_>>().map_err(|error| format!("strangers: {error}"))?;
        let stop = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&stop);
        let thread = thread::spawn(move || {
            let (mut pace, mut sent) = (Pacer::new(per_s), 0_u64);
            let mut next = sockets.iter().cycle();
            while !told.load(Ordering::Relaxed) {
                for _ in 0..pace.due(Instant::now()) {
                    // What the kernel has no room for was not sent.
                    sent += next.next().map_or(0, |socket| u64::from(socket.send(&message).is_ok()));
                }
                thread::sleep(TICK);
            }
            sent
        });
        Ok(Self { stop, thread })
    }

    /// Says how many requests were sent.
    pub fn stop(self) -> Result<u64, String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the strangers failed".to_owned())
    }
}

fn request(method: Method, forged: bool) -> Vec<u8> {
    let mut message = vec![0; 300];
    let mut writer = Writer::new(&mut message, Class::Request, method, TransactionId([0x42; 12]));
    if method == Method::ALLOCATE {
        writer.first_of_four(Type::REQUESTED_TRANSPORT, 17);
    }
    if forged {
        writer.attribute(Type::USERNAME, b"nobody").attribute(Type::REALM, b"nowhere").attribute(Type::NONCE, b"0123456789abcdef");
        writer.integrity(&Key::new(&[7; 16]));
    }
    let len = writer.finish().unwrap_or(0);
    message.truncate(len);
    message
}

//! Strangers: datagrams from sources that never come back. A server that keeps something of each can be filled up.

use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::thread;
use std::time::Duration;

use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Class, Key, Method, TransactionId, Writer};

use super::super::cost::Usage;

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

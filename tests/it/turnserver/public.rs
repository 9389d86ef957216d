//! Configurations as the documentation of well-known software has people write them, with credentials as that software makes them: each
//! starts, and relays. Only what belongs to a host is exchanged: addresses, ports, files.

use std::fs;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::hmac;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;

use super::*;
use crate::relay::{certificate, peer};

/// The file for this world. Tests have peers on loopback only, which all these files keep closed.
fn adapted(world: &World, text: &str) -> PathBuf {
    let (cert, key) = certificate(world.folder.path());
    let has = |name: &str| text.lines().any(|line| line.split('=').next() == Some(name));
    let mut out = String::new();
    for line in text.lines() {
        let line = match line.split_once('=').map_or(line, |(name, _)| name) {
            "listening-ip" => format!("listening-ip={}", world.ip),
            "relay-ip" => format!("relay-ip={}", world.ip),
            "cert" => format!("cert={}", cert.display()),
            "pkey" => format!("pkey={}", key.display()),
            "log-file" => format!("log-file={}", world.path("turn.log").display()),
            _ => line.to_owned(),
        };
        out.push_str(&format!("{line}\n"));
    }
    if !has("listening-ip") {
        out.push_str(&format!("listening-ip={ip}\nrelay-ip={ip}\n", ip = world.ip));
    }
    out.push_str("pidfile=\nallow-loopback-peers\nno-cli\n");
    let file = world.path("turnserver.conf");
    fs::write(&file, out).unwrap();
    file
}

/// Starts it and waits for an answer: where the log goes is the file's affair.
fn started(text: &str) -> Server {
    let world = World::new();
    let file = adapted(&world, text);
    let output = fs::File::create(world.path("output")).unwrap();
    let mut command = pointsman();
    command.arg("turnserver").arg("-c").arg(&file).stdout(output.try_clone().unwrap()).stderr(output);
    let mut server = Server { child: command.spawn().unwrap(), world };
    let until = Instant::now() + START_MAX;
    while !is_bound(server.world.at(3478)) {
        assert!(server.child.try_wait().unwrap().is_none() && Instant::now() < until, "no start:\n{}", server.log());
    }
    server
}

fn in_an_hour() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs() + 3_600
}

/// base64(HMAC-SHA1(secret, name)), which all of them send.
fn password(secret: &str, name: &str) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.as_bytes());
    BASE64.encode(hmac::sign(&key, name.as_bytes()))
}

/// A client with such credentials relays; with those of another secret it does not.
fn relays_for(server: &Server, connect: fn(SocketAddr, &str, &str) -> Client, port: u16, realm: &str, secret: &str, name: &str) {
    let with = |password: &str| {
        let mut client = connect(server.world.at(port), name, password);
        client.realm = realm.to_owned();
        client
    };
    relays(&mut with(&password(secret, name)), &peer(&server.world.ip.to_string()));
    assert_eq!(with(&password("wrong", name)).allocate(|_| ()).code(), 401);
}

#[test]
fn nextcloud_talk() {
    let server = started(include_str!("../../../src/coturn/tests/samples/nextcloud_talk.conf"));
    let name = format!("{}:f1d2d2f924e986ac86fdf7b36c94bcdf", in_an_hour());
    for connect in [Client::udp, Client::tcp] {
        relays_for(&server, connect, 3478, "cloud.example.org", "a long secret", &name);
    }
}

#[test]
fn matrix_synapse() {
    let server = started(include_str!("../../../src/coturn/tests/samples/matrix_synapse.conf"));
    let name = format!("{}:@alice:matrix.example.org", in_an_hour());
    relays_for(&server, Client::udp, 3478, "turn.matrix.example.org", "another secret", &name);
    // Clients are told the public address of the file.
    let mut alice = Client::udp(server.world.at(3478), &name, &password("another secret", &name));
    alice.realm = "turn.matrix.example.org".to_owned();
    assert_eq!(alice.allocated().ip().to_string(), "203.0.113.7");
    assert_eq!(alice.permit(&["10.1.2.3:5000".parse().unwrap()]), 403);
    assert_eq!(alice.permit(&["10.0.0.1:5000".parse().unwrap()]), 0);
}

#[test]
fn jitsi() {
    let server = started(include_str!("../../../src/coturn/tests/samples/jitsi.conf"));
    let name = in_an_hour().to_string();
    relays_for(&server, Client::udp, 3478, "meet.example.org", "generated", &name);
    relays_for(&server, Client::tls, 5349, "meet.example.org", "generated", &name);
    assert!(std::net::TcpStream::connect(server.world.at(3478)).is_err(), "no-tcp");
}

#[test]
fn bigbluebutton() {
    let server = started(include_str!("../../../src/coturn/tests/samples/bigbluebutton.conf"));
    let name = format!("{}:w_abcdefghijkl", in_an_hour());
    relays_for(&server, Client::udp, 3478, "turn.example.org", "shared", &name);
    relays_for(&server, Client::tls, 443, "turn.example.org", "shared", &name);
}

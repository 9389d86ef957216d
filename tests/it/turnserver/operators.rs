//! What operators ask of a running server, and that its clients cannot.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use pointsman_wire::stun::Method;
use pointsman_wire::stun::attribute::Type;

use super::*;
use crate::relay::client::Answer;
use crate::relay::peer;

/// `pointsman ctl --config FILE …` as an operator types it.
fn ctl(file: &Path, words: &str) -> Output {
    pointsman().arg("ctl").arg("--config").arg(file).args(words.split(' ')).output().unwrap()
}

pub fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    stream.write_all(format!("GET {path} HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer
}

#[test]
fn allocations_are_listed_and_ended_with_the_password_of_the_file() {
    let world = World::new();
    let ip = world.ip;
    let more =
        format!("cli-ip={ip}\ncli-port=5766\ncli-password=$5$79a316b350311570$81df9cfb9af7f5e5\nprometheus\nprometheus-address={ip}\n");
    let server = world.start(&format!("{ALICE}allow-loopback-peers\n{more}"), &[]);
    let (file, echo) = (server.world.path("turnserver.conf"), peer(&ip.to_string()));
    let mut alice = server.alice();
    relays(&mut alice, &echo);

    let list = ctl(&file, "turn list --json");
    assert!(list.status.success(), "{}", text(&list));
    let row: serde_json::Value = serde_json::from_slice(&list.stdout).expect("one allocation");
    assert_eq!((row["user"].as_str(), row["realm"].as_str()), (Some("alice"), Some("example.org")));
    let quotas = ctl(&file, "turn quotas");
    assert!(text(&quotas).contains("example.org"), "{}", text(&quotas));

    // The password is what opens it, and the metrics' port is no way around.
    let wrong = server.world.path("wrong.conf");
    std::fs::write(&wrong, std::fs::read_to_string(&file).unwrap().replace("cli-password=$5$79", "cli-password=$5$80")).unwrap();
    let refused = ctl(&wrong, "turn list");
    assert!(!refused.status.success() && text(&refused).contains("(401)"), "{}", text(&refused));
    assert!(get(server.world.at(5766), "/api/v1/turn/allocations").starts_with("HTTP/1.1 401"));
    assert!(get(server.world.at(9641), "/api/v1/turn/allocations").starts_with("HTTP/1.1 404"));
    assert!(get(server.world.at(9641), "/metrics").starts_with("HTTP/1.1 200"));

    let ended = ctl(&file, &format!("turn kill {}", row["id"].as_str().unwrap()));
    assert!(ended.status.success(), "{}", text(&ended));
    assert_eq!(alice.refresh(600), 437);
    assert!(!server.log().contains("79a316b350311570"), "the password is in the log");
}

#[test]
fn without_a_password_nothing_is_opened() {
    let server = World::new().start(&format!("{ALICE}cli-port=5767\n"), &["--cli-ip", "127.0.0.1"]);
    assert!(TcpStream::connect(("127.0.0.1", 5767)).is_err());
    let refused = ctl(&server.world.path("turnserver.conf"), "turn list");
    assert!(!refused.status.success() && text(&refused).contains("cli-password"), "{}", text(&refused));
}

#[test]
fn clients_reach_neither_operators_nor_metrics_nor_databases_through_their_relays() {
    let world = World::new();
    let ip = world.ip;
    let more = format!(
        "cli-ip={ip}\ncli-password=hush\nprometheus\nprometheus-address={ip}\npsql-userdb=host={ip} port=5432 dbname=turn\nredis-statsdb=ip={ip} port=6379\n"
    );
    let server = world.start(&format!("{ALICE}allow-loopback-peers\n{more}"), &[]);
    let never = [5766, 9641, 5432, 6379].map(|port| server.world.at(port));
    let open = peer(&ip.to_string());
    let mut alice = server.alice();
    relays(&mut alice, &open);
    for (number, address) in (0x4001..).zip(never) {
        assert_eq!(alice.bind_channel(number, address), 403, "{address}");
    }
    // A permission is for an address, and this one has open ports, too: each datagram is looked at.
    let victims = [5432, 6379].map(|port| UdpSocket::bind(server.world.at(port)).unwrap());
    assert_eq!(alice.permit(&[open.local_addr().unwrap()]), 0);
    for victim in &victims {
        alice.send_indication(victim.local_addr().unwrap(), b"SET key value");
    }
    carries(&mut alice, &open);
    for victim in &victims {
        assert!(crate::relay::arrives(victim, Duration::from_millis(50)).is_none(), "{:?}", victim.local_addr());
    }

    // Over TCP (RFC 6062): listeners that answer would be connected with.
    let mut bob = Client::tcp(server.world.at(3478), "bob", "builder");
    let allocated = bob.request(Method::ALLOCATE, |writer| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 6));
    assert_eq!(allocated.code(), 0);
    let mut connect = |to| -> Answer { bob.request(Method::CONNECT, |writer| _ = writer.xor_address(Type::XOR_PEER_ADDRESS, to)) };
    for address in never {
        assert_eq!(connect(address).code(), 403, "{address}");
    }
    let listener = std::net::TcpListener::bind((ip, 0)).unwrap();
    assert_eq!(connect(listener.local_addr().unwrap()).code(), 0);
}

/// Who comes by telnet, as to coturn, is told where to go, whether they wait for a greeting or type.
#[test]
fn telnet_is_answered_by_a_pointer() {
    let world = World::new();
    let more = format!("cli-ip={}\ncli-password=hush\n", world.ip);
    let server = world.start(&format!("{ALICE}allow-loopback-peers\n{more}"), &[]);
    for typed in ["", "ps\r\n", "\u{ff}\u{fd}"] {
        let mut stream = TcpStream::connect(server.world.at(5766)).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream.write_all(typed.as_bytes()).unwrap();
        let mut said = String::new();
        stream.read_to_string(&mut said).unwrap();
        assert!(said.contains("pointsman ctl --config FILE turn list"), "{typed:?}: {said:?}");
    }
    assert!(get(server.world.at(5766), "/api/v1/turn/allocations").starts_with("HTTP/1.1 401"));
}

/// An authority's challenge is sent on to who answers it; other pages are not there, and say what is.
#[test]
fn challenges_are_sent_on_and_pages_are_not_there() {
    let server = World::new().start(&format!("{ALICE}no-cli\nacme-redirect=http://acme.test/challenges/\n"), &[]);
    let challenge = get(server.world.at(3478), "/.well-known/acme-challenge/Abc_123-x");
    assert!(challenge.starts_with("HTTP/1.1 301"), "{challenge}");
    assert!(challenge.contains("location: http://acme.test/challenges/Abc_123-x\r\n"), "{challenge}");
    assert!(get(server.world.at(3478), "/.well-known/acme-challenge/a%0d%0ab").starts_with("HTTP/1.1 404"));
    let page = get(server.world.at(3478), "/login");
    assert!(page.starts_with("HTTP/1.1 404") && page.contains("pointsman ctl turn"), "{page}");
}

#[test]
fn metrics_are_served_over_tls_if_they_are_to_be() {
    let world = World::new();
    let (cert, key) = crate::relay::certificate(world.folder.path());
    let more = format!(
        "prometheus\nprometheus-address={}\nprometheus-tls\nprometheus-cert={}\nprometheus-key={}\n",
        world.ip,
        cert.display(),
        key.display()
    );
    let server = world.start(&format!("{ALICE}no-cli\n{more}"), &[]);
    let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
    let mut connection = rustls::ClientConnection::new(crate::relay::client::tls_config(), name).unwrap();
    let mut stream = TcpStream::connect(server.world.at(9641)).unwrap();
    let mut tls = rustls::Stream::new(&mut connection, &mut stream);
    tls.write_all(b"GET /metrics HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").unwrap();
    let mut answer = String::new();
    // A server that ends without close_notify is an error that matters to nobody here.
    let _ = tls.read_to_string(&mut answer);
    assert!(answer.starts_with("HTTP/1.1 200") && answer.contains("turn_total_allocations"), "{answer}");
    let mut plain = TcpStream::connect(server.world.at(9641)).unwrap();
    plain.write_all(b"GET /metrics HTTP/1.1\r\nhost: test\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = plain.read_to_end(&mut answer);
    assert!(!String::from_utf8_lossy(&answer).contains("turn_total"), "nothing in the clear");
}

/// A key that a password opens serves TLS.
#[test]
fn an_encrypted_key_is_opened_with_its_password() {
    let world = World::new();
    let (cert, key) = crate::relay::certificate(world.folder.path());
    let sealed = world.path("sealed.pem");
    let made = Command::new("openssl")
        .args(["pkcs8", "-topk8", "-v2", "aes256", "-passout", "pass:sesame", "-in"])
        .arg(&key)
        .arg("-out")
        .arg(&sealed)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", text(&made));
    let lines = |password: &str| format!("{ALICE}{LOOPBACK_PEERS}cert={}\npkey={}\n{password}", cert.display(), sealed.display());
    let file = world.write(&lines(""));
    let refused = pointsman().arg("turnserver").arg("-c").arg(&file).output().unwrap();
    assert!(!refused.status.success() && text(&refused).contains("sealed.pem: is encrypted"), "{}", text(&refused));
    let server = world.start(&lines("pkey-pwd=sesame\n"), &[]);
    let mut alice = Client::tls(server.world.at(5349), "alice", "wonderland");
    relays(&mut alice, &peer(&server.world.ip.to_string()));
    assert!(!server.log().contains("sesame"));
}

//! TURN over DTLS, with clients of two other makers: dimpl, and OpenSSL's command.

use std::io::{Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use pointsman_wire::channel_data::{self, ChannelData};
use pointsman_wire::dtls::{self, HelloHead};
use pointsman_wire::stun::{Class, Message, Method};
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use super::super::{DtlsCertificate, Engine, EngineConfig};
use super::client::{TurnClient, request};
use super::{config, identity};

const HELLO: &[u8] = include_bytes!("../../../fuzz/corpus/dtls_records/hello");

fn start_with(certificate: DtlsCertificate, change: impl FnOnce(&mut EngineConfig)) -> Engine {
    let mut config = config(&["127.0.0.1:0"]);
    config.dtls.certificate = Some(Arc::new(certificate));
    change(&mut config);
    Engine::start(config, identity()).unwrap().0
}

fn ecdsa() -> DtlsCertificate {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    DtlsCertificate::new(vec![made.cert.der().clone()], &key, None).unwrap()
}

/// Makes a self-signed certificate with an RSA key, `NAME.pem` and `NAME.key`, in the form that OpenSSL writes.
fn rsa_files(folder: &Path, name: &str) {
    let (certificate, key) = (folder.join(format!("{name}.pem")), folder.join(format!("{name}.key")));
    let status = Command::new("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost", "-out"])
        .arg(&certificate)
        .arg("-keyout")
        .arg(&key)
        .stderr(Stdio::null())
        .status();
    assert!(status.expect("the command openssl").success());
}

fn rsa(folder: &Path, clients: Option<&str>) -> DtlsCertificate {
    rsa_files(folder, "server");
    let chain = CertificateDer::pem_file_iter(folder.join("server.pem")).unwrap().collect::<Result<_, _>>().unwrap();
    let key = PrivateKeyDer::from_pem_file(folder.join("server.key")).unwrap();
    let clients = clients.map(|name| {
        rsa_files(folder, name);
        let known = CertificateDer::pem_file_iter(folder.join(format!("{name}.pem"))).unwrap().collect::<Result<_, _>>().unwrap();
        Arc::new(crate::control::tls::KnownClients::new(known).unwrap()) as Arc<dyn rustls::server::danger::ClientCertVerifier>
    });
    DtlsCertificate::new(chain, &key, clients).unwrap()
}

/// Encrypts for a client that knows nothing of it: what comes to `address` goes to the server over DTLS, and back.
struct Tunnel {
    address: SocketAddr,
    ending: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Tunnel {
    fn new(server: SocketAddr) -> Self {
        Self::through(server, UdpSocket::bind("127.0.0.1:0").unwrap(), true)
    }

    /// With `goodbye` the end is told to the server.
    fn through(server: SocketAddr, outside: UdpSocket, goodbye: bool) -> Self {
        let inside = UdpSocket::bind("127.0.0.1:0").unwrap();
        let address = inside.local_addr().unwrap();
        let ending = Arc::new(AtomicBool::new(false));
        let told = Arc::clone(&ending);
        outside.connect(server).unwrap();
        let thread = thread::spawn(move || carry(&inside, &outside, &told, goodbye));
        Self { address, ending, thread: Some(thread) }
    }

    fn end(mut self) {
        self.ending.store(true, Ordering::Relaxed);
        self.thread.take().unwrap().join().unwrap();
    }
}

fn carry(inside: &UdpSocket, outside: &UdpSocket, ending: &AtomicBool, goodbye: bool) {
    let certificate = dimpl::certificate::generate_self_signed_certificate().unwrap();
    let mut dtls = dimpl::Dtls::new_12(Arc::new(dimpl::Config::builder().build().unwrap()), certificate, Instant::now());
    dtls.set_active(true);
    for socket in [inside, outside] {
        socket.set_read_timeout(Some(Duration::from_millis(1))).unwrap();
    }
    let mut client = None;
    let (mut space, mut out) = ([0; 4096], [0; 4096]);
    loop {
        let last = ending.load(Ordering::Relaxed);
        if last && goodbye {
            dtls.close().unwrap();
        }
        dtls.handle_timeout(Instant::now()).unwrap();
        if let Ok((len, from)) = inside.recv_from(&mut space) {
            client = Some(from);
            dtls.send_application_data(&space[..len]).unwrap();
        }
        if let Ok(len) = outside.recv(&mut space) {
            dtls.handle_packet(&space[..len]).unwrap();
        }
        loop {
            match dtls.poll_output(&mut out) {
                dimpl::Output::Packet(bytes) => drop(outside.send(bytes)),
                dimpl::Output::ApplicationData(bytes) => drop(inside.send_to(bytes, client.unwrap())),
                dimpl::Output::Timeout(_) => break,
                _ => {}
            }
        }
        if last {
            return;
        }
    }
}

fn stat(engine: &Engine, read: fn(&super::Stats) -> u64) -> u64 {
    engine.snapshots().read().iter().map(|it| read(&it.engine)).sum()
}

fn wait_for(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(10);
    while !done() {
        assert!(Instant::now() < until, "{what}");
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_client_relays_over_dtls_and_its_goodbye_ends_the_allocation() {
    let engine = start_with(ecdsa(), |_| {});
    let host = IpAddr::from(Ipv4Addr::LOCALHOST);
    let tunnel = Tunnel::new(engine.addresses()[0]);
    let peer = UdpSocket::bind((host, 0)).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut client = TurnClient::new(host, tunnel.address);
    let relayed = client.allocate();
    client.bind_channel(0x4001, peer.local_addr().unwrap());
    let mut bytes = [0; 2000];
    for number in 0..50_u8 {
        let mut message = channel_data::header(0x4001, 1200).unwrap().to_vec();
        message.extend([number; 1200]);
        client.socket.send(&message).unwrap();
        let (len, from) = peer.recv_from(&mut bytes).unwrap();
        assert!(from == relayed && bytes[..len] == [number; 1200]);
        peer.send_to(&[number; 1201], relayed).unwrap();
        let len = client.socket.recv(&mut bytes).unwrap();
        assert!(ChannelData::parse(&bytes[..len]).unwrap().data == [number; 1201]);
    }
    wait_for("one client", || stat(&engine, |it| it.dtls_clients) == 1);
    assert_eq!(stat(&engine, |it| it.dtls_handshakes), 1);
    tunnel.end();
    wait_for("the allocation lives on", || UdpSocket::bind(relayed).is_ok());
    wait_for("the association lives on", || stat(&engine, |it| it.dtls_clients) == 0);
}

/// RFC 6347 section 4.2.8.
#[test]
fn a_client_that_begins_anew_on_its_port_is_served_again() {
    let engine = start_with(ecdsa(), |_| {});
    let host = IpAddr::from(Ipv4Addr::LOCALHOST);
    let socket = UdpSocket::bind((host, 0)).unwrap();
    let tunnel = Tunnel::through(engine.addresses()[0], socket.try_clone().unwrap(), false);
    let first = TurnClient::new(host, tunnel.address).allocate();
    tunnel.end();
    let tunnel = Tunnel::through(engine.addresses()[0], socket, true);
    TurnClient::new(host, tunnel.address).allocate();
    // The allocation belonged to the first association (RFC 8656 section 2: to its 5-tuple, which is not the same client's any more).
    wait_for("the first allocation lives on", || UdpSocket::bind(first).is_ok());
    tunnel.end();
}

#[test]
fn a_silent_client_is_forgotten_and_one_with_an_allocation_is_not() {
    let engine = start_with(ecdsa(), |config| config.dtls.idle_timeout = Duration::from_secs(1));
    let host = IpAddr::from(Ipv4Addr::LOCALHOST);
    let (idle, busy) = (Tunnel::new(engine.addresses()[0]), Tunnel::new(engine.addresses()[0]));
    let mut client = TurnClient::new(host, busy.address);
    client.allocate();
    wait_for("two handshakes", || stat(&engine, |it| it.dtls_handshakes) == 2);
    wait_for("the silent one stays", || stat(&engine, |it| it.dtls_clients) == 1);
    thread::sleep(Duration::from_millis(2500));
    client.refresh(600);
    idle.end();
    busy.end();
}

#[test]
fn hellos_without_a_cookie_leave_nothing_behind() {
    let engine = start_with(ecdsa(), |_| {});
    let server = engine.addresses()[0];
    let mut cookies = std::collections::HashSet::new();
    let mut bytes = [0; 2000];
    // All stay open, so that no port is given twice.
    let sockets: Vec<_> = (0..300).map(|_| UdpSocket::bind("127.0.0.1:0").unwrap()).collect();
    for socket in &sockets {
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket.send_to(HELLO, server).unwrap();
        let len = socket.recv(&mut bytes).unwrap();
        assert!(len < HELLO.len(), "an answer is no longer than the question");
        let record = dtls::records(&bytes[..len]).next().unwrap().unwrap();
        cookies.insert(record.body[15..].to_vec());
        // What is no answer to it does not help.
        for junk in [&[22_u8; 100][..], &HELLO[..40], &[20, 254, 253], &bytes[..len]] {
            socket.send_to(junk, server).unwrap();
        }
    }
    assert_eq!(cookies.len(), 300, "cookies are bound to addresses");
    wait_for("the junk is counted", || stat(&engine, |it| it.drops[super::DropReason::DtlsUnknown as usize]) >= 600);
    assert_eq!(stat(&engine, |it| it.dtls_clients), 0);
}

/// The hello of a client that comes back with its cookie, cut into pieces.
#[test]
fn a_hello_in_pieces_is_answered() {
    let engine = start_with(ecdsa(), |_| {});
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.connect(engine.addresses()[0]).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.send(HELLO).unwrap();
    let mut bytes = [0; 2000];
    let len = socket.recv(&mut bytes).unwrap();
    let cookie = dtls::records(&bytes[..len]).next().unwrap().unwrap().body[15..].to_vec();
    let hello = &HELLO[25..];
    let at = HelloHead::parse(hello).unwrap().cookie_at;
    let body = [&hello[..at - 1], &[20], &cookie, &hello[at..]].concat();
    let piece = |sequence: u8, from: usize, to: usize| {
        let mut record = vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, sequence];
        record.extend(((12 + to - from) as u16).to_be_bytes());
        record.push(1);
        record.extend(&(body.len() as u32).to_be_bytes()[1..]);
        record.extend([0, 1]);
        record.extend(&(from as u32).to_be_bytes()[1..]);
        record.extend(&((to - from) as u32).to_be_bytes()[1..]);
        record.extend(&body[from..to]);
        record
    };
    socket.send(&piece(7, 0, 100)).unwrap();
    socket.send(&piece(8, 100, body.len())).unwrap();
    let len = socket.recv(&mut bytes).unwrap();
    let record = dtls::records(&bytes[..len]).next().unwrap().unwrap();
    let message = dtls::fragments(record.body).next().unwrap().unwrap();
    // ServerHello, in a record with the number of the hello's.
    assert_eq!((message.kind, message.message_number, record.sequence), (2, 1, 7));
}

#[test]
fn a_client_of_version_1_0_is_told() {
    let engine = start_with(ecdsa(), |_| {});
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut old = HELLO.to_vec();
    old[25..27].copy_from_slice(&dtls::VERSION_1_0.to_be_bytes());
    socket.send_to(&old, engine.addresses()[0]).unwrap();
    let mut bytes = [0; 100];
    let len = socket.recv(&mut bytes).unwrap();
    assert_eq!(bytes[..len], [21, 254, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2, 2, 70]);
}

#[test]
fn handshakes_have_a_limit_for_each_address() {
    let engine = start_with(ecdsa(), |config| {
        config.shards = 1;
        config.dtls.handshakes_per_address_max = 3;
        config.dtls.handshake_timeout = Duration::from_secs(2);
    });
    let mut bytes = [0; 2000];
    for _ in 0..10 {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        socket.connect(engine.addresses()[0]).unwrap();
        socket.send(HELLO).unwrap();
        let len = socket.recv(&mut bytes).unwrap();
        let cookie = bytes[28..len].to_vec();
        let hello = &HELLO[25..];
        let at = HelloHead::parse(hello).unwrap().cookie_at;
        let body = [&hello[..at - 1], &[20], &cookie, &hello[at..]].concat();
        let mut again = HELLO[..25].to_vec();
        again[10] = 1;
        again[11..13].copy_from_slice(&(body.len() as u16 + 12).to_be_bytes());
        again[14..17].copy_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
        again[18] = 1;
        again[22..25].copy_from_slice(&(body.len() as u32).to_be_bytes()[1..]);
        socket.send(&[again, body].concat()).unwrap();
    }
    wait_for("more are refused", || stat(&engine, |it| it.drops[super::DropReason::DtlsBusy as usize]) == 7);
    wait_for("those that do not go on are forgotten", || stat(&engine, |it| it.dtls_clients) == 0);
}

/// Sends one Binding request with OpenSSL's client and gives what came back.
fn openssl_binding(server: SocketAddr, more: &[&str]) -> Vec<u8> {
    let mut child = Command::new("openssl")
        .args(["s_client", "-dtls1_2", "-quiet", "-ign_eof", "-connect", &server.to_string()])
        .args(more)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("the command openssl");
    let mut message = [0; 100];
    let len = request(&mut message, Method::BINDING, 1, |_| {});
    let mut stdin = child.stdin.take().unwrap();
    let mut stdout = child.stdout.take().unwrap();
    let reading = thread::spawn(move || {
        let mut answer = vec![0; 1000];
        let len = stdout.read(&mut answer).unwrap_or(0);
        answer.truncate(len);
        answer
    });
    thread::sleep(Duration::from_secs(1));
    let _ = stdin.write_all(&message[..len]);
    let _ = stdin.flush();
    let until = Instant::now() + Duration::from_secs(5);
    while !reading.is_finished() && Instant::now() < until {
        thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    reading.join().unwrap()
}

fn is_binding_success(answer: &[u8]) -> bool {
    Message::parse(answer).is_ok_and(|answer| answer.class() == Class::Success && answer.method() == Method::BINDING)
}

#[test]
fn openssl_speaks_with_an_rsa_certificate() {
    let folder = tempfile::tempdir().unwrap();
    let engine = start_with(rsa(folder.path(), None), |_| {});
    assert!(is_binding_success(&openssl_binding(engine.addresses()[0], &[])));
    let suites = ["ECDHE-RSA-CHACHA20-POLY1305", "ECDHE-RSA-AES256-SHA", "ECDHE-RSA-AES128-GCM-SHA256"];
    for suite in suites {
        assert!(is_binding_success(&openssl_binding(engine.addresses()[0], &["-cipher", suite])), "{suite}");
    }
}

#[test]
fn clients_without_a_known_certificate_are_refused_where_one_is_wanted() {
    let folder = tempfile::tempdir().unwrap();
    let engine = start_with(rsa(folder.path(), Some("client")), |_| {});
    rsa_files(folder.path(), "stranger");
    let with = |name: &str| {
        let (certificate, key) = (folder.path().join(format!("{name}.pem")), folder.path().join(format!("{name}.key")));
        openssl_binding(engine.addresses()[0], &["-cert", certificate.to_str().unwrap(), "-key", key.to_str().unwrap()])
    };
    assert!(is_binding_success(&with("client")));
    assert!(with("stranger").is_empty());
    assert!(openssl_binding(engine.addresses()[0], &[]).is_empty());
}

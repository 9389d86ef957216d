use std::io::{Read, Write};
use std::net::Ipv4Addr;

use axum::routing::get;
use pointsman_sfu::transport::DtlsIdentity;
use pointsman_wire::stun::{Class, Message, Method, TransactionId, Writer};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tokio::runtime::Runtime;

use super::*;
use crate::config::Tls;
use crate::engine::{Engine, EngineConfig};

/// A server with a listener of each kind.
struct World {
    addresses: Vec<(ListenerKind, SocketAddr)>,
    counters: Arc<Counters>,
    certificate: rustls_pki_types::CertificateDer<'static>,
    _runtime: Runtime,
    _engine: Engine,
    _closing: watch::Sender<bool>,
}

impl World {
    fn new(http: bool) -> Self {
        let loopback: SocketAddr = (Ipv4Addr::LOCALHOST, 0).into();
        let engine = EngineConfig { shards: 2, listen: vec![loopback], pin: false, socket_buffer: 1 << 18, ..EngineConfig::default() };
        let (engine, _) = Engine::start(engine, Arc::new(DtlsIdentity::generate().unwrap())).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let folder = tempfile::tempdir().unwrap();
        let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        std::fs::write(&certificate, made.cert.pem()).unwrap();
        std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
        let tls = Tls { certificate: Some(certificate), key: Some(key), ..Tls::default() };
        let (close, closing) = watch::channel(false);
        let page = Router::new().route("/", get(|| async { "the page" }));
        let counters = Arc::new(Counters::default());
        let serving = Arc::new(Serving {
            internal: page.clone(),
            operators: page.clone(),
            public: http.then_some(page),
            turn: TurnClients::new(engine.mailboxes(), 8, 8),
            certificate: Certificate::from_files(&tls).unwrap().map(Arc::new),
            http_certificate: None,
            counters: Arc::clone(&counters),
            connections_max: 64,
            handshakes_max: 4,
            handshake_timeout: Duration::from_secs(1),
            header_timeout: Duration::from_secs(1),
            closing,
        });
        let _inside = runtime.enter();
        let mut addresses = Vec::new();
        for kind in ListenerKind::ALL {
            let bound = Bound { kind, address: loopback, socket: bind(loopback, None).unwrap() };
            addresses.push((kind, bound.socket.local_addr().unwrap()));
            bound.serve(Arc::clone(&serving)).unwrap();
        }
        drop(_inside);
        let certificate = made.cert.der().clone();
        Self { addresses, counters, certificate, _runtime: runtime, _engine: engine, _closing: close }
    }

    /// A connection is counted just after it was closed.
    fn until_dropped(&self, reason: DropReason, count: u64) {
        let end = std::time::Instant::now() + Duration::from_secs(5);
        while self.counters.drops(reason) < count {
            assert!(std::time::Instant::now() < end, "{reason:?}: {}", self.counters.drops(reason));
            std::thread::sleep(Duration::from_millis(5));
        }
        assert_eq!(self.counters.drops(reason), count, "{reason:?}");
    }

    fn connect(&self, kind: ListenerKind) -> std::net::TcpStream {
        let (_, address) = self.addresses.iter().find(|(there, _)| *there == kind).unwrap();
        let stream = std::net::TcpStream::connect(address).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
        stream
    }

    fn connect_tls(&self, kind: ListenerKind) -> StreamOwned<ClientConnection, std::net::TcpStream> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add(self.certificate.clone()).unwrap();
        let config = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
        let config = config.with_root_certificates(roots).with_no_client_auth();
        let tls = ClientConnection::new(Arc::new(config), "localhost".try_into().unwrap()).unwrap();
        StreamOwned::new(tls, self.connect(kind))
    }
}

fn binding() -> Vec<u8> {
    let mut message = [0; 64];
    let mut writer = Writer::new(&mut message, Class::Request, Method::BINDING, TransactionId([3; 12]));
    let len = writer.fingerprint().finish().unwrap();
    message[..len].to_vec()
}

/// Asks for the address that the server sees.
fn reflexive(stream: &mut (impl Read + Write)) -> SocketAddr {
    stream.write_all(&binding()).unwrap();
    let mut answer = vec![0; 20];
    stream.read_exact(&mut answer).unwrap();
    answer.resize(20 + usize::from(u16::from_be_bytes([answer[2], answer[3]])), 0);
    stream.read_exact(&mut answer[20..]).unwrap();
    let message = Message::parse(&answer).unwrap();
    assert_eq!((message.class(), message.transaction_id().0), (Class::Success, [3; 12]));
    message.xor_mapped_address().unwrap().unwrap()
}

fn page(stream: &mut (impl Read + Write)) -> String {
    stream.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

#[test]
fn turn_is_told_from_http_with_and_without_tls() {
    let world = World::new(true);
    for kind in [ListenerKind::Tcp, ListenerKind::Tls] {
        let mut plain = world.connect(kind);
        assert_eq!(reflexive(&mut plain), plain.local_addr().unwrap());
        let mut secure = world.connect_tls(kind);
        assert_eq!(reflexive(&mut secure), secure.sock.local_addr().unwrap());
        // Once more on the same connection, which a shard has by now.
        assert_eq!(reflexive(&mut secure), secure.sock.local_addr().unwrap());
        assert!(page(&mut world.connect_tls(kind)).ends_with("the page"));
    }
    assert!(page(&mut world.connect(ListenerKind::Tcp)).ends_with("the page"));
    // Where TLS is expected, HTTP does not go without.
    assert_eq!(page(&mut world.connect(ListenerKind::Tls)), "");
    world.until_dropped(DropReason::NotTls, 1);
}

#[test]
fn without_pages_there_is_no_http() {
    let world = World::new(false);
    assert_eq!(page(&mut world.connect(ListenerKind::Tcp)), "");
    assert_eq!(page(&mut world.connect_tls(ListenerKind::Tls)), "");
    world.until_dropped(DropReason::NoHttp, 2);
    assert!(page(&mut world.connect(ListenerKind::Http)).ends_with("the page"));
}

#[test]
fn a_balancers_word_counts() {
    let world = World::new(true);
    let mut stream = world.connect(ListenerKind::Proxy);
    // Together with the client's first bytes.
    stream.write_all(b"PROXY TCP4 192.0.2.1 198.51.100.7 56324 3478\r\n").unwrap();
    assert_eq!(reflexive(&mut stream), "192.0.2.1:56324".parse::<SocketAddr>().unwrap());
    let mut without = world.connect(ListenerKind::Proxy);
    without.write_all(&binding()).unwrap();
    assert_eq!(without.read(&mut [0]).unwrap_or(0), 0);
    world.until_dropped(DropReason::BadProxyHeader, 1);
}

#[test]
fn who_says_nothing_or_nonsense_is_disconnected() {
    let world = World::new(true);
    let mut silent = world.connect(ListenerKind::Tcp);
    let mut half = world.connect(ListenerKind::Tls);
    half.write_all(&[0x16, 3, 1]).unwrap();
    let mut nonsense = world.connect(ListenerKind::Tcp);
    nonsense.write_all(&[0xFF; 10]).unwrap();
    for stream in [&mut silent, &mut half, &mut nonsense] {
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
    }
    for reason in [DropReason::Silent, DropReason::TlsTimeout, DropReason::UnknownProtocol] {
        world.until_dropped(reason, 1);
    }
}

#[test]
fn places_for_turn_clients_run_out_and_come_back() {
    let world = World::new(true);
    let mut streams: Vec<_> = (0..8).map(|_| world.connect(ListenerKind::Tcp)).collect();
    for stream in &mut streams {
        reflexive(stream);
    }
    let mut refused = world.connect(ListenerKind::Tcp);
    refused.write_all(&binding()).unwrap();
    assert_eq!(refused.read(&mut [0]).unwrap_or(0), 0);
    world.until_dropped(DropReason::ConnectionsFull, 1);
    drop(streams);
    // The shards hear of the ends in their own time.
    let served = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(10));
        let mut stream = world.connect(ListenerKind::Tcp);
        stream.write_all(&binding()).unwrap();
        stream.read(&mut [0]).unwrap_or(0) == 1
    });
    assert!(served);
}

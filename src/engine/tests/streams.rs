//! Clients over TCP and TLS: real sockets, handed over as control does it.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};

use rustls::{ClientConfig, ClientConnection, RootCertStore, ServerConfig, ServerConnection, StreamOwned};
use rustls_pki_types::PrivateKeyDer;
use socket2::SockRef;

use super::client::{Carrier, Framed};
use super::*;

/// A connection to the engine's shards, as a client sees it, and its other end, not handed over yet.
pub(super) fn connected(small_buffers: bool) -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    let (server, _) = listener.accept().unwrap();
    if small_buffers {
        SockRef::from(&client).set_recv_buffer_size(8192).unwrap();
        SockRef::from(&server).set_send_buffer_size(8192).unwrap();
    }
    client.set_nodelay(true).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    (client, server)
}

pub(super) fn handed_over(tcp: TcpStream, tls: Option<Box<ServerConnection>>) -> Connection {
    tcp.set_nonblocking(true).unwrap();
    let (local, remote) = (tcp.local_addr().unwrap(), tcp.peer_addr().unwrap());
    Connection { tcp, tls, local, remote, unread: Vec::new(), unsent: Vec::new(), place: None }
}

fn hand_over(engine: &Engine, tcp: TcpStream, tls: Option<Box<ServerConnection>>) {
    engine.mailboxes().send_connection(handed_over(tcp, tls)).unwrap();
}

fn tcp_client(engine: &Engine) -> TurnClient<Framed<TcpStream>> {
    let (client, server) = connected(false);
    let address = client.peer_addr().unwrap();
    hand_over(engine, server, None);
    TurnClient::over(Framed::new(client), address)
}

/// With the handshake done.
fn tls_client(engine: &Engine) -> TurnClient<Framed<StreamOwned<ClientConnection, TcpStream>>> {
    let (mut client, mut server) = connected(false);
    let address = client.peer_addr().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    roots.add(made.cert.der().clone()).unwrap();
    let client_config = ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions().unwrap();
    let client_config = client_config.with_root_certificates(roots).with_no_client_auth();
    let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).unwrap();
    let server_config = ServerConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    let server_config = server_config.with_no_client_auth().with_single_cert(vec![made.cert.der().clone()], key).unwrap();
    let mut ours = ClientConnection::new(Arc::new(client_config), "localhost".try_into().unwrap()).unwrap();
    let shaking = thread::spawn(move || {
        let mut tls = ServerConnection::new(Arc::new(server_config)).unwrap();
        while tls.is_handshaking() {
            tls.complete_io(&mut server).unwrap();
        }
        (server, tls)
    });
    while ours.is_handshaking() {
        ours.complete_io(&mut client).unwrap();
    }
    let (server, theirs) = shaking.join().unwrap();
    hand_over(engine, server, Some(Box::new(theirs)));
    TurnClient::over(Framed::new(StreamOwned::new(ours, client)), address)
}

fn drops(engine: &Engine, reason: DropReason) -> u64 {
    engine.snapshots().read().iter().map(|it| it.engine.drops[reason as usize]).sum()
}

/// Waits until the counters, which are read once a second, say so.
pub(super) fn until(engine: &Engine, what: impl Fn(&Engine) -> bool) {
    let end = Instant::now() + Duration::from_secs(10);
    while !what(engine) {
        assert!(Instant::now() < end, "{:?}", engine.snapshots().read());
        thread::sleep(Duration::from_millis(20));
    }
}

fn relays_both_ways<C: Carrier>(mut client: TurnClient<C>) {
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let relayed = client.allocate();
    client.bind_channel(0x4001, peer.local_addr().unwrap());
    let mut bytes = [0; 9000];
    for len in [0, 1, 2, 3, 4, 5, 1199, 1200] {
        let mut message = channel_data::header(0x4001, len).unwrap().to_vec();
        message.extend(vec![len as u8; len]);
        client.socket.put(&message);
        let (received, from) = peer.recv_from(&mut bytes).unwrap();
        assert_eq!((&bytes[..received], from), (vec![len as u8; len].as_slice(), relayed));
        peer.send_to(&message[4..], relayed).unwrap();
        assert_eq!(client.socket.take(), message);
    }
    // A peer without a channel: what comes from it is an indication.
    let other = UdpSocket::bind("127.0.0.1:0").unwrap();
    client.permit(other.local_addr().unwrap());
    other.send_to(b"hello", relayed).unwrap();
    let message = client.socket.take();
    let message = Message::parse(&message).unwrap();
    assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
    assert_eq!(message.data(), Some(b"hello".as_slice()));
}

#[test]
fn a_client_over_tcp_relays_to_a_peer_and_back() {
    let engine = start(&["127.0.0.1:0"]);
    relays_both_ways(tcp_client(&engine));
}

#[test]
fn a_client_over_tls_relays_to_a_peer_and_back() {
    let engine = start(&["127.0.0.1:0"]);
    relays_both_ways(tls_client(&engine));
}

#[test]
fn messages_may_be_cut_anywhere() {
    let engine = start(&["127.0.0.1:0"]);
    let mut client = tcp_client(&engine);
    let mut two = Vec::new();
    for number in [1, 2] {
        let mut message = [0; 100];
        let len = request(&mut message, Method::BINDING, number, |_| {});
        two.extend(&message[..len]);
    }
    for cut in 0..two.len() {
        client.socket.stream.write_all(&two[..cut]).unwrap();
        thread::sleep(Duration::from_millis(1));
        client.socket.stream.write_all(&two[cut..]).unwrap();
        for number in [1, 2] {
            let answer = client.socket.take();
            let answer = Message::parse(&answer).unwrap();
            assert_eq!((answer.class(), answer.transaction_id().0), (Class::Success, [number; 12]), "cut at {cut}");
        }
    }
}

#[test]
fn what_is_no_turn_ends_its_connection_and_no_other() {
    let engine = start(&["127.0.0.1:0"]);
    let mut good = tcp_client(&engine);
    good.allocate();
    // Junk, STUN without its cookie, and a message longer than a stranger may send.
    let wrong = [b"hello".to_vec(), vec![0, 1, 0, 0, 1, 2, 3, 4], vec![0x40, 0, 0xFF, 0xFF]];
    for bytes in &wrong {
        let mut bad = tcp_client(&engine);
        bad.socket.stream.write_all(bytes).unwrap();
        assert_eq!(bad.socket.next(), None, "{bytes:?}");
    }
    until(&engine, |engine| drops(engine, DropReason::StreamMalformed) == wrong.len() as u64);
    good.refresh(600);
}

#[test]
fn bytes_that_are_no_tls_end_the_connection() {
    let engine = start(&["127.0.0.1:0"]);
    let mut client = tls_client(&engine);
    client.allocate();
    client.socket.stream.sock.write_all(&[0x17, 3, 3, 0, 40]).unwrap();
    client.socket.stream.sock.write_all(&[7; 40]).unwrap();
    let mut rest = Vec::new();
    let _ = client.socket.stream.sock.read_to_end(&mut rest);
    until(&engine, |engine| drops(engine, DropReason::StreamTls) == 1);
    until(&engine, |engine| engine.snapshots().read().iter().all(|it| it.turn.allocations == 0 && it.engine.tls_clients == 0));
}

#[test]
fn the_end_of_a_connection_is_the_end_of_its_allocation() {
    let engine = start(&["127.0.0.1:0"]);
    let mut client = tcp_client(&engine);
    client.allocate();
    until(&engine, |engine| engine.snapshots().read().iter().any(|it| it.turn.allocations == 1 && it.engine.tcp_clients == 1));
    // In the middle of a message.
    client.socket.stream.write_all(&[0x40, 0, 0, 100, 1, 2, 3]).unwrap();
    client.socket.stream.shutdown(Shutdown::Both).unwrap();
    until(&engine, |engine| engine.snapshots().read().iter().all(|it| it.turn.allocations == 0 && it.engine.tcp_clients == 0));
}

#[test]
fn a_silent_client_without_an_allocation_is_disconnected() {
    let mut config = config(&["127.0.0.1:0"]);
    config.streams.idle_timeout = Duration::from_millis(300);
    let (engine, _events) = Engine::start(config, identity()).unwrap();
    let mut known = tcp_client(&engine);
    known.allocate();
    let mut silent = tcp_client(&engine);
    // Half a message is none.
    silent.socket.stream.write_all(&[0, 1, 0]).unwrap();
    assert_eq!(silent.socket.next(), None);
    until(&engine, |engine| drops(engine, DropReason::StreamIdle) == 1);
    known.refresh(600);
}

#[test]
fn a_shard_takes_so_many_connections_and_no_more() {
    let mut config = config(&["127.0.0.1:0"]);
    config.shards = 1;
    config.streams.shard_connections_max = 1;
    let (engine, _events) = Engine::start(config, identity()).unwrap();
    let mut first = tcp_client(&engine);
    first.allocate();
    let mut second = tcp_client(&engine);
    assert_eq!(second.socket.next(), None);
    first.refresh(600);
}

#[test]
fn a_client_that_does_not_read_loses_data_and_nobody_else_does() {
    let mut config = config(&["127.0.0.1:0"]);
    config.shards = 1;
    config.streams.backlog_bytes_max = 64 << 10;
    let (engine, _events) = Engine::start(config, identity()).unwrap();
    let (client, server) = connected(true);
    let address = client.peer_addr().unwrap();
    hand_over(&engine, server, None);
    let mut slow = TurnClient::over(Framed::new(client), address);
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    let relayed = slow.allocate();
    slow.bind_channel(0x4001, peer.local_addr().unwrap());
    let sent_max = 4000u32;
    for number in 0..sent_max {
        let mut payload = [0; 1001];
        payload[..4].copy_from_slice(&number.to_be_bytes());
        peer.send_to(&payload, relayed).unwrap();
        if number % 64 == 0 {
            thread::sleep(Duration::from_millis(1));
        }
    }
    until(&engine, |engine| drops(engine, DropReason::StreamBacklog) > 0);
    // Somebody else is served as if nothing were.
    relays_both_ways(tcp_client(&engine));
    // What the slow one gets is whole and in order.
    let (mut last, mut count) = (None, 0);
    let mut ask = [0; 100];
    let len = request(&mut ask, Method::BINDING, 99, |_| {});
    slow.socket.put(&ask[..len]);
    loop {
        let message = slow.socket.take();
        let Ok(data) = channel_data::ChannelData::parse(&message) else { break };
        let number = u32::from_be_bytes(data.data[..4].try_into().unwrap());
        assert!(data.data.len() == 1001 && last.is_none_or(|last| last < number), "{number} after {last:?}");
        (last, count) = (Some(number), count + 1);
    }
    assert!(count > 50 && count < sent_max, "{count} arrived");
}

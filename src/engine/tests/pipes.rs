//! TCP between clients and peers (RFC 6062), across shards, and how fast streams are read.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

use super::client::{Carrier, Framed};
use super::streams::{connected, handed_over, until};
use super::*;

/// An engine of two shards that relays TCP.
fn two_shards(max_bps: u64) -> Engine {
    let mut config = config(&["127.0.0.1:0"]);
    config.turn.tcp_relay = true;
    config.turn.mobility = true;
    config.turn.max_bps = max_bps;
    Engine::start(config, identity()).unwrap().0
}

/// A client whose connection lives on this shard.
fn client_on(engine: &Engine, shard: u16) -> TurnClient<Framed<TcpStream>> {
    let (client, server) = connected(false);
    let address = client.peer_addr().unwrap();
    engine.mailboxes().send_to(ShardId(shard), Letter::Connection(Box::new(handed_over(server, None)))).unwrap();
    TurnClient::over(Framed::new(client), address)
}

/// A connection with a peer, joined to a client's connection that began on this shard. The allocation is on shard 0.
fn piped(engine: &Engine, data_shard: u16) -> (TurnClient<Framed<TcpStream>>, TcpStream, TcpStream) {
    let mut control = client_on(engine, 0);
    control.allocate_tcp();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let connection = control.connect(listener.local_addr().unwrap());
    let (peer, _) = listener.accept().unwrap();
    let mut data = client_on(engine, data_shard);
    data.bind_connection(connection);
    assert_eq!(data.socket.unread(), b"");
    (control, data.socket.stream, peer)
}

#[test]
fn a_data_connection_moves_to_the_shard_that_has_the_peer() {
    let engine = two_shards(0);
    for data_shard in [0, 1] {
        let (mut control, mut client, mut peer) = piped(&engine, data_shard);
        for number in 0..20_u8 {
            let mut bytes = [0; 1000];
            client.write_all(&[number; 1000]).unwrap();
            peer.read_exact(&mut bytes).unwrap();
            assert_eq!(bytes, [number; 1000]);
            peer.write_all(&[number ^ 0xFF; 1000]).unwrap();
            client.read_exact(&mut bytes).unwrap();
            assert_eq!(bytes, [number ^ 0xFF; 1000]);
        }
        control.refresh(600);
    }
    until(&engine, |engine| engine.snapshots().read().iter().map(|it| it.engine.pipes).sum::<u64>() == 0);
}

/// RFC 8016 over streams: the connection goes to the allocation, not the other way about.
#[test]
fn a_ticket_brings_its_connection_to_the_allocation() {
    let engine = two_shards(0);
    let mut before = client_on(&engine, 0);
    let (relayed, ticket) = before.allocate_with_ticket();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    before.bind_channel(0x4001, peer.local_addr().unwrap());
    let mut after = client_on(&engine, 1);
    let next = after.come_back(&ticket);
    assert_ne!(next, ticket);
    let mut message = channel_data::header(0x4001, 4).unwrap().to_vec();
    message.extend(b"here");
    after.socket.put(&message);
    let mut bytes = [0; 100];
    let (len, from) = peer.recv_from(&mut bytes).unwrap();
    assert_eq!((&bytes[..len], from), (&b"here"[..], relayed));
    peer.send_to(b"back", relayed).unwrap();
    assert_eq!(after.socket.take()[4..], *b"back");
    assert_eq!(before.socket.next(), None, "what it came by before is closed");
    let on = |shard: usize| engine.snapshots().read().get(shard).map(|it| (it.engine.tcp_clients, it.turn.allocations));
    until(&engine, |_| on(0) == Some((1, 1)) && on(1) == Some((0, 0)));
}

#[test]
fn a_stream_above_its_bandwidth_is_read_later_and_loses_nothing() {
    let engine = two_shards(20_000);
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut client = client_on(&engine, 0);
    client.allocate();
    client.bind_channel(0x4001, peer.local_addr().unwrap());
    let begin = Instant::now();
    for number in 0..45_u8 {
        let mut message = channel_data::header(0x4001, 1000).unwrap().to_vec();
        message.extend([number; 1000]);
        client.socket.put(&message);
    }
    let mut bytes = [0; 2000];
    for number in 0..45_u8 {
        let (len, _) = peer.recv_from(&mut bytes).unwrap();
        assert_eq!(bytes[..len], [number; 1000]);
    }
    let took = begin.elapsed();
    assert!(took > Duration::from_millis(1_100), "a second's bytes at once, the others at the rate: {took:?}");
    client.refresh(600);
    let pauses = || engine.snapshots().read().iter().map(|it| it.engine.stream_pauses).sum::<u64>();
    until(&engine, |_| pauses() > 0);
    assert!(pauses() < 40, "{} pauses", pauses());
}

#[test]
fn a_pipe_above_its_bandwidth_is_read_later_and_loses_nothing() {
    let engine = two_shards(50_000);
    let (_control, client, mut peer) = piped(&engine, 1);
    let begin = Instant::now();
    let mut writer = client.try_clone().unwrap();
    let writing = thread::spawn(move || writer.write_all(&[7; 120_000]).unwrap());
    let mut bytes = vec![0; 120_000];
    peer.set_read_timeout(Some(Duration::from_secs(10))).unwrap();
    peer.read_exact(&mut bytes).unwrap();
    writing.join().unwrap();
    assert!(bytes.iter().all(|byte| *byte == 7));
    let took = begin.elapsed();
    assert!(took > Duration::from_millis(1_200), "{took:?}");
    let counted = || engine.snapshots().read().iter().map(|it| it.turn.bytes_to_peers_total).sum::<u64>();
    until(&engine, |_| counted() == 120_000);
}

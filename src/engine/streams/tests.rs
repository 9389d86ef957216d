use std::io::{Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

use mio::{Events, Poll};
use pointsman_turn::{ConnectError, RelayPort, Way};
use pointsman_wire::net::Protocol;
use socket2::SockRef;

use super::pipes::Throttle;
use super::*;
use crate::engine::shard::read_clock;

const RELAY: RelayPort = RelayPort { index: 3, generation: 1 };
const CONNECTION: ConnectionId = ConnectionId(7);

/// Lets so many bytes pass each way in each tenth of a second; `None` is no limit.
#[derive(Default)]
struct Fixed {
    bytes: Option<usize>,
    /// Of the tenth that runs until then, toward the peer and toward the client.
    left: [(Option<Instant>, usize); 2],
}

impl Throttle for Fixed {
    fn allowance(&mut self, now: Now, connection: ConnectionId, way: Way) -> Result<usize, Instant> {
        assert_eq!(connection, CONNECTION);
        let Some(bytes) = self.bytes else { return Ok(usize::MAX) };
        let (until, left) = &mut self.left[way as usize];
        if until.is_none_or(|until| until <= now.mono) {
            (*until, *left) = (Some(now.mono + Duration::from_millis(100)), bytes);
        }
        if *left > 0 { Ok(*left) } else { Err(until.unwrap()) }
    }

    fn count(&mut self, _now: Now, _connection: ConnectionId, way: Way, bytes: usize) {
        self.left[way as usize].1 = self.left[way as usize].1.saturating_sub(bytes);
    }
}

/// One shard's streams without a shard.
struct World {
    poll: Poll,
    streams: Streams,
    stats: Stats,
    throttle: Fixed,
    /// How connecting went.
    connected: Vec<(ConnectionId, Result<(), ConnectError>)>,
    gone: Vec<Gone>,
}

impl World {
    fn new(config: StreamConfig) -> Self {
        let streams = Streams::new(config, None, read_clock());
        Self {
            poll: Poll::new().unwrap(),
            streams,
            stats: Stats::new(),
            throttle: Fixed::default(),
            connected: Vec::new(),
            gone: Vec::new(),
        }
    }

    /// What a shard does in one turn.
    fn turn(&mut self) {
        let wait = if self.streams.has_work() { Duration::ZERO } else { Duration::from_millis(5) };
        let mut events = Events::with_capacity(64);
        self.poll.poll(&mut events, Some(wait)).unwrap();
        for event in &events {
            assert!(self.streams.notice(event));
        }
        let now = read_clock();
        while let Some(due) = self.streams.timers.pop(now.mono) {
            if let Due::Paused(id) = due {
                self.streams.resume(id);
            }
        }
        for _ in 0..64 {
            let Some((id, role)) = self.streams.next_ready() else { break };
            match role {
                Role::Connecting(_) => self.connected.extend(self.streams.connected(self.poll.registry(), id, &mut self.stats)),
                Role::Joined { .. } => self.streams.pump(self.poll.registry(), now, id, &mut self.throttle, &mut self.stats),
                Role::Client(_) | Role::Peer(_) => {}
            }
        }
        self.gone.extend(self.streams.gone.drain(..));
        self.streams.flush(self.poll.registry(), &mut self.stats);
    }

    fn turn_until(&mut self, what: impl Fn(&Self) -> bool) {
        let end = Instant::now() + Duration::from_secs(20);
        while !what(self) {
            assert!(Instant::now() < end, "{:?} {:?}", self.stats, self.gone);
            self.turn();
        }
    }

    /// Takes over a client's connection, and gives its other end.
    fn client(&mut self) -> (FiveTuple, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let theirs = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        let (tcp, remote) = listener.accept().unwrap();
        tcp.set_nonblocking(true).unwrap();
        let local = tcp.local_addr().unwrap();
        for socket in [&tcp, &theirs] {
            SockRef::from(socket).set_send_buffer_size(16 << 10).unwrap();
            SockRef::from(socket).set_recv_buffer_size(16 << 10).unwrap();
        }
        let connection = Connection { tcp, tls: None, local, remote, unread: Vec::new(), unsent: Vec::new(), place: None };
        self.streams.adopt(self.poll.registry(), read_clock(), connection, &mut self.stats);
        (FiveTuple { protocol: Protocol::Tcp, local, remote }, theirs)
    }

    fn listen(&mut self) -> SocketAddr {
        self.streams.listen(self.poll.registry(), RELAY, (Ipv4Addr::LOCALHOST, 0).into()).unwrap()
    }

    fn connect(&mut self, peer: SocketAddr) -> Result<(), ConnectError> {
        self.streams.connect(self.poll.registry(), read_clock(), CONNECTION, RELAY, peer, &mut self.stats)
    }

    /// A client and a peer, joined; both ends from outside.
    fn pipe(&mut self) -> (TcpStream, TcpStream) {
        let relayed = self.listen();
        let (client, theirs) = self.client();
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        self.connect(listener.local_addr().unwrap()).unwrap();
        let (peer, from) = listener.accept().unwrap();
        assert_eq!(from, relayed, "connections leave from the relayed address");
        self.turn_until(|world| !world.connected.is_empty());
        assert_eq!(self.connected, [(CONNECTION, Ok(()))]);
        self.streams.join(self.poll.registry(), &client, CONNECTION, &mut self.stats);
        (theirs, peer)
    }
}

/// Writes so many bytes, then says that there are no more, while it reads what comes, with a pause now and then.
fn exchange(mut end: TcpStream, seed: u8, count: usize) -> thread::JoinHandle<Vec<u8>> {
    let mut writer = end.try_clone().unwrap();
    end.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    thread::spawn(move || {
        let writing = thread::spawn(move || {
            let bytes: Vec<u8> = (0..count).map(|at| (at / 251) as u8 ^ (at as u8) ^ seed).collect();
            writer.write_all(&bytes).unwrap();
            writer.shutdown(Shutdown::Write).unwrap();
        });
        let (mut read, mut buffer) = (Vec::new(), [0; 10_000]);
        loop {
            let len = end.read(&mut buffer).unwrap();
            if len == 0 {
                break;
            }
            read.extend(&buffer[..len]);
            if read.len() % 7 == 0 {
                thread::sleep(Duration::from_millis(1));
            }
        }
        writing.join().unwrap();
        read
    })
}

#[test]
fn a_pipe_carries_everything_both_ways_and_passes_the_ends_on() {
    let config = StreamConfig { pipe_bytes_max: 32 << 10, ..StreamConfig::default() };
    let mut world = World::new(config);
    let (client, peer) = world.pipe();
    let (there, back) = (1_500_000, 800_000);
    let (at_client, at_peer) = (exchange(client, 1, there), exchange(peer, 2, back));
    world.turn_until(|world| world.stats.pipes == 0);
    let expected = |seed: u8, count: usize| (0..count).map(|at| (at / 251) as u8 ^ (at as u8) ^ seed).collect::<Vec<u8>>();
    assert!(at_client.join().unwrap() == expected(2, back), "toward the client");
    assert!(at_peer.join().unwrap() == expected(1, there), "toward the peer");
    assert_eq!(world.stats.pipe_bytes, (there + back) as u64);
    assert!(matches!(world.gone[..], [Gone::Connection(CONNECTION)]) || world.streams.gone.len() == 1);
    assert_eq!((world.stats.tcp_clients, world.stats.peer_connections, world.streams.streams.len()), (0, 0, 0));
}

#[test]
fn a_pipe_is_read_as_fast_as_it_may_be_and_loses_nothing() {
    let mut world = World::new(StreamConfig::default());
    world.throttle.bytes = Some(20_000);
    let (client, peer) = world.pipe();
    let begin = Instant::now();
    let (at_client, at_peer) = (exchange(client, 1, 100_000), exchange(peer, 2, 50_000));
    world.turn_until(|world| world.stats.pipes == 0);
    // The tenths of the larger half, but for the first, which need not wait.
    assert!(begin.elapsed() >= Duration::from_millis(400), "{:?}", begin.elapsed());
    let expected = |seed: u8, count: usize| (0..count).map(|at| (at / 251) as u8 ^ (at as u8) ^ seed).collect::<Vec<u8>>();
    assert!(at_client.join().unwrap() == expected(2, 50_000), "toward the client");
    assert!(at_peer.join().unwrap() == expected(1, 100_000), "toward the peer");
    // One timer for each wait, however often the sockets speak.
    assert!((4..=60).contains(&world.stats.stream_pauses), "{} pauses", world.stats.stream_pauses);
}

#[test]
fn an_end_that_does_not_read_stops_the_other_and_memory_stays_bounded() {
    let config = StreamConfig { pipe_bytes_max: 32 << 10, ..StreamConfig::default() };
    let mut world = World::new(config);
    let (mut client, peer) = world.pipe();
    SockRef::from(&peer).set_recv_buffer_size(16 << 10).unwrap();
    client.set_nonblocking(true).unwrap();
    let mut written = 0;
    for _ in 0..400 {
        if let Ok(len) = client.write(&[5; 50_000]) {
            written += len;
        }
        world.turn();
        let waiting: usize = world.streams.streams.iter().map(|(_, stream)| stream.socket.backlog()).sum();
        assert!(waiting <= (32 << 10) + READ_LEN + RECORD_LEN_MAX, "{waiting} bytes wait");
    }
    assert!(client.write(&[5]).is_err(), "{written} bytes were taken and there is still room");
    // It goes on when the other reads.
    peer.set_nonblocking(true).unwrap();
    let (mut peer, mut read, mut buffer) = (peer, 0, vec![0; 100_000]);
    let end = Instant::now() + Duration::from_secs(20);
    while read < written {
        assert!(Instant::now() < end, "{read} of {written}");
        world.turn();
        read += peer.read(&mut buffer).unwrap_or(0);
    }
}

#[test]
fn a_broken_end_breaks_the_pipe() {
    let mut world = World::new(StreamConfig::default());
    let (client, peer) = world.pipe();
    // Unread bytes make this a reset.
    SockRef::from(&peer).set_linger(Some(Duration::ZERO)).unwrap();
    drop(peer);
    world.turn_until(|world| !world.gone.is_empty());
    assert!(matches!(world.gone[..], [Gone::Connection(CONNECTION)]));
    client.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!((&client).read(&mut [0]).unwrap_or(0), 0);
    assert!(world.streams.streams.is_empty());
}

#[test]
fn bytes_that_came_before_the_join_are_not_lost() {
    let mut world = World::new(StreamConfig::default());
    world.listen();
    let (client, mut theirs) = world.client();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    world.connect(listener.local_addr().unwrap()).unwrap();
    let (mut peer, _) = listener.accept().unwrap();
    peer.write_all(b"greeting").unwrap();
    theirs.write_all(b"request").unwrap();
    world.turn_until(|world| !world.connected.is_empty());
    for _ in 0..5 {
        world.turn();
    }
    // What the reading of messages leaves behind.
    let id = world.streams.find_client(&client).unwrap();
    world.streams.get_mut(id).unwrap().partial = b"early ".to_vec();
    assert_eq!(world.streams.join(world.poll.registry(), &client, CONNECTION, &mut world.stats), 6);
    let reading = thread::spawn(move || {
        let mut bytes = [[0; 13], [0; 13]];
        theirs.read_exact(&mut bytes[0][..8]).unwrap();
        peer.read_exact(&mut bytes[1]).unwrap();
        bytes
    });
    world.turn_until(|_| reading.is_finished());
    let [at_client, at_peer] = reading.join().unwrap();
    assert_eq!((&at_client[..8], &at_peer[..]), (b"greeting".as_slice(), b"early request".as_slice()));
}

#[test]
fn a_peer_that_refuses_is_told() {
    let mut world = World::new(StreamConfig::default());
    world.listen();
    let nobody = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    if let Err(error) = world.connect(nobody) {
        world.connected.push((CONNECTION, Err(error)));
    }
    world.turn_until(|world| !world.connected.is_empty());
    assert_eq!(world.connected, [(CONNECTION, Err(ConnectError::Refused))]);
    assert_eq!((world.stats.peer_connections, world.streams.connections.len()), (0, 0));
}

#[test]
fn peers_connect_to_a_listening_relay_until_it_closes() {
    let mut world = World::new(StreamConfig::default());
    let relayed = world.listen();
    assert!(matches!(world.streams.listen(world.poll.registry(), RELAY, relayed), Err(pointsman_turn::OpenError::Failed)));
    let peer = TcpStream::connect(relayed).unwrap();
    world.turn_until(|world| world.streams.listeners.has_ready());
    let (relay, _, from) = world.streams.accept(read_clock()).unwrap();
    assert_eq!((relay, from), (RELAY, peer.local_addr().unwrap()));
    assert!(world.streams.accept(read_clock()).is_none());
    assert!(world.streams.unlisten(world.poll.registry(), RELAY));
    assert!(TcpStream::connect(relayed).is_err());
    assert!(!world.streams.unlisten(world.poll.registry(), RELAY));
}

#[test]
fn a_port_that_somebody_listens_on_is_in_use() {
    let mut world = World::new(StreamConfig::default());
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let opened = world.streams.listen(world.poll.registry(), RELAY, other.local_addr().unwrap());
    assert_eq!(opened, Err(pointsman_turn::OpenError::InUse));
}

#[test]
fn a_connection_goes_to_another_shard_with_all_that_belongs_to_it() {
    let (mut first, mut second) = (World::new(StreamConfig::default()), World::new(StreamConfig::default()));
    let (client, mut theirs) = first.client();
    let id = first.streams.find_client(&client).unwrap();
    first.streams.get_mut(id).unwrap().partial = b"unread".to_vec();
    first.streams.put(&client, &[b"answer"], Kind::Answer, &mut first.stats);
    let connection = first.streams.take_out(first.poll.registry(), id, &mut first.stats).unwrap();
    assert_eq!(
        (connection.client(), connection.unread.as_slice(), connection.unsent.as_slice()),
        (client, b"unread".as_slice(), b"answer\0\0".as_slice())
    );
    second.streams.adopt(second.poll.registry(), read_clock(), connection, &mut second.stats);
    second.turn();
    let mut answer = [0; 8];
    theirs.read_exact(&mut answer).unwrap();
    assert_eq!(&answer, b"answer\0\0");
    assert_eq!((first.stats.tcp_clients, second.stats.tcp_clients, first.streams.clients.len()), (0, 1, 0));
    assert!(second.streams.find_client(&client).is_some());
}

#[test]
fn the_same_addresses_again_end_the_connection_that_had_them() {
    let mut world = World::new(StreamConfig::default());
    let (client, mut theirs) = world.client();
    let (tcp, _keep) = {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let keep = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, keep)
    };
    tcp.set_nonblocking(true).unwrap();
    let connection =
        Connection { tcp, tls: None, local: client.local, remote: client.remote, unread: Vec::new(), unsent: Vec::new(), place: None };
    world.streams.adopt(world.poll.registry(), read_clock(), connection, &mut world.stats);
    assert!(matches!(world.streams.gone.pop_front(), Some(Gone::Client(gone)) if gone == client));
    theirs.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    assert_eq!(theirs.read(&mut [0]).unwrap(), 0);
    assert_eq!(world.stats.tcp_clients, 1);
}

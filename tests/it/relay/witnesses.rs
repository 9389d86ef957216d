//! Other people's clients: the crate `turn`'s over UDP and TCP, and two str0m agents that meet through nothing but relays.

use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use str0m::change::SdpApi;
use str0m::channel::ChannelId;
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpStream, UdpSocket};
use tokio::sync::Mutex;
use tokio::time::timeout;
use turn_client::client::{Client, ClientConfig};
use webrtc_util::conn::Conn;

use super::{REALM, Server};

const PATIENCE: Duration = Duration::from_secs(20);
type Relay = Arc<dyn Conn + Send + Sync>;

/// A TCP connection as that client wants it: message by message.
struct Framed {
    read: Mutex<OwnedReadHalf>,
    write: Mutex<OwnedWriteHalf>,
    local: SocketAddr,
    server: SocketAddr,
}

#[async_trait::async_trait]
impl Conn for Framed {
    async fn connect(&self, _: SocketAddr) -> webrtc_util::Result<()> {
        Ok(())
    }

    async fn recv(&self, buf: &mut [u8]) -> webrtc_util::Result<usize> {
        let mut read = self.read.lock().await;
        read.read_exact(&mut buf[..4]).await?;
        let length = usize::from(u16::from_be_bytes([buf[2], buf[3]]));
        let (rest, padded) = if buf[0] < 0x40 { (16 + length, 16 + length) } else { (length, length.next_multiple_of(4)) };
        read.read_exact(&mut buf[4..4 + padded]).await?;
        Ok(4 + rest)
    }

    async fn recv_from(&self, buf: &mut [u8]) -> webrtc_util::Result<(usize, SocketAddr)> {
        Ok((self.recv(buf).await?, self.server))
    }

    async fn send(&self, buf: &[u8]) -> webrtc_util::Result<usize> {
        let mut padded = buf.to_vec();
        padded.resize(buf.len().next_multiple_of(4), 0);
        self.write.lock().await.write_all(&padded).await?;
        Ok(buf.len())
    }

    async fn send_to(&self, buf: &[u8], _: SocketAddr) -> webrtc_util::Result<usize> {
        self.send(buf).await
    }

    fn local_addr(&self) -> webrtc_util::Result<SocketAddr> {
        Ok(self.local)
    }

    fn remote_addr(&self) -> Option<SocketAddr> {
        Some(self.server)
    }

    async fn close(&self) -> webrtc_util::Result<()> {
        Ok(())
    }

    fn as_any(&self) -> &(dyn Any + Send + Sync) {
        self
    }
}

/// An allocation that the crate's client made: the client, its relay, and the relay's address.
async fn relay(server: SocketAddr, conn: Relay) -> (Client, Relay, SocketAddr) {
    let config = ClientConfig {
        stun_serv_addr: server.to_string(),
        turn_serv_addr: server.to_string(),
        username: "alice".to_owned(),
        password: "wonderland".to_owned(),
        realm: REALM.to_owned(),
        software: String::new(),
        rto_in_ms: 0,
        conn,
        vnet: None,
    };
    let client = Client::new(config).await.unwrap();
    client.listen().await.unwrap();
    let relay: Relay = Arc::new(client.allocate().await.unwrap());
    let address = relay.local_addr().unwrap();
    (client, relay, address)
}

async fn over_udp() -> Relay {
    Arc::new(UdpSocket::bind("127.0.0.1:0").await.unwrap())
}

async fn over_tcp(server: SocketAddr) -> Relay {
    let stream = TcpStream::connect(server).await.unwrap();
    let local = stream.local_addr().unwrap();
    let (read, write) = stream.into_split();
    Arc::new(Framed { read: Mutex::new(read), write: Mutex::new(write), local, server })
}

/// The client permits the peer, sends, and gets what the peer sends back; often enough that it binds a channel meanwhile.
async fn echoes(relay: &Relay, address: SocketAddr) {
    let peer = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let to = peer.local_addr().unwrap();
    for n in 0..50u32 {
        let text = format!("message {n}");
        relay.send_to(text.as_bytes(), to).await.unwrap();
        let mut bytes = [0; 1500];
        let (len, from) = timeout(PATIENCE, peer.recv_from(&mut bytes)).await.expect("in time").unwrap();
        assert_eq!((&bytes[..len], from), (text.as_bytes(), address));
        peer.send_to(&bytes[..len], from).await.unwrap();
        let (len, from) = timeout(PATIENCE, relay.recv_from(&mut bytes)).await.expect("in time").unwrap();
        assert_eq!((&bytes[..len], from), (text.as_bytes(), to));
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn the_turn_crates_client_relays_over_udp() {
    let server = Server::start();
    let (client, relay, address) = relay(server.address, over_udp().await).await;
    assert_eq!(address.ip(), server.address.ip());
    echoes(&relay, address).await;
    client.close().await.unwrap();
}

#[tokio::test]
async fn the_turn_crates_client_relays_over_tcp() {
    let server = Server::start();
    let (client, relay, address) = relay(server.address, over_tcp(server.address).await).await;
    echoes(&relay, address).await;
    client.close().await.unwrap();
}

/// A WebRTC agent whose only way out is its relay.
struct Agent {
    rtc: Rtc,
    relay: Relay,
    address: SocketAddr,
    channel: Option<ChannelId>,
    received: Vec<Vec<u8>>,
    // Ends the allocation when it is dropped.
    _client: Client,
}

impl Agent {
    async fn new(server: SocketAddr, conn: Relay) -> Self {
        let (client, relay, address) = relay(server, conn).await;
        let mut rtc = Rtc::builder().build(Instant::now());
        rtc.add_local_candidate(Candidate::relayed(address, address, Protocol::Udp).unwrap()).unwrap();
        Self { rtc, relay, address, channel: None, received: Vec::new(), _client: client }
    }

    /// Does what is due, and waits for what comes or is due next.
    async fn step(&mut self) {
        let due = loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(due) => break due,
                Output::Transmit(transmit) => _ = self.relay.send_to(&transmit.contents, transmit.destination).await,
                Output::Event(Event::ChannelOpen(id, _)) => self.channel = Some(id),
                Output::Event(Event::ChannelData(data)) => self.received.push(data.data),
                Output::Event(_) => {}
            }
        };
        let wait = due.saturating_duration_since(Instant::now()).min(Duration::from_millis(20));
        let mut bytes = vec![0; 2048];
        let input = match timeout(wait, self.relay.recv_from(&mut bytes)).await {
            Ok(Ok((len, source))) => {
                let received = Receive::new(Protocol::Udp, source, self.address, &bytes[..len]).unwrap();
                Input::Receive(Instant::now(), received)
            }
            Ok(Err(_)) | Err(_) => Input::Timeout(Instant::now()),
        };
        self.rtc.handle_input(input).unwrap();
    }
}

#[tokio::test]
async fn two_agents_meet_through_relays_alone() {
    let server = Server::start();
    let mut offerer = Agent::new(server.address, over_udp().await).await;
    let mut answerer = Agent::new(server.address, over_tcp(server.address).await).await;
    let mut changes: SdpApi<'_> = offerer.rtc.sdp_api();
    changes.add_channel("words".to_owned());
    let (offer, pending) = changes.apply().unwrap();
    let answer = answerer.rtc.sdp_api().accept_offer(offer).unwrap();
    offerer.rtc.sdp_api().accept_answer(pending, answer).unwrap();
    let until = Instant::now() + PATIENCE;
    let mut said = false;
    while answerer.received.is_empty() || offerer.received.is_empty() {
        assert!(Instant::now() < until, "offerer {:?}, answerer {:?}", offerer.channel, answerer.channel);
        tokio::join!(offerer.step(), answerer.step());
        if let (Some(from), Some(back), false) = (offerer.channel, answerer.channel, said) {
            offerer.rtc.channel(from).unwrap().write(true, b"ping").unwrap();
            answerer.rtc.channel(back).unwrap().write(true, b"pong").unwrap();
            said = true;
        }
    }
    assert_eq!((answerer.received[0].as_slice(), offerer.received[0].as_slice()), (&b"ping"[..], &b"pong"[..]));
    server.metric_becomes("pointsman_turn_relayed_packets_total", "direction=\"in\"", |count| count > 20);
}

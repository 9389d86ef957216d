//! A load client's way to the server: straight, or through a TURN server, as ChannelData.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Range;
use std::time::Duration;

use md5::{Digest, Md5};
use mio::net::UdpSocket;
use pointsman_wire::channel_data::{self, ChannelData, HEADER_LEN};
use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Class, Key, Message, Method, TransactionId, Writer};

const RECEIVE_BUFFER: usize = 4 << 20;
const DATAGRAM_LEN_MAX: usize = 2048;
const CHANNEL: u16 = 0x4000;
const ANSWER_WAIT: Duration = Duration::from_millis(500);
const TRIES_MAX: u8 = 8;

/// Permissions last five minutes, and are not renewed here.
pub const RELAYED_SECONDS_MAX: u32 = 240;

/// A TURN server, and how to get in.
#[derive(Clone, Debug)]
pub struct Relay {
    pub server: SocketAddr,
    pub user: String,
    pub password: String,
}

pub struct Way {
    pub socket: UdpSocket,
    relayed: bool,
}

impl Way {
    /// To the first candidate that this machine can reach.
    pub fn straight(candidates: &[SocketAddr]) -> Result<Self, String> {
        let mut last = "the server has no candidate".to_owned();
        for &candidate in candidates {
            match connected(candidate) {
                Ok(socket) => return Ok(Self { socket: UdpSocket::from_std(socket), relayed: false }),
                Err(error) => last = format!("{candidate}: {error}"),
            }
        }
        Err(last)
    }

    /// Through a relay to the first IPv4 candidate.
    pub fn through(relay: &Relay, candidates: &[SocketAddr]) -> Result<Self, String> {
        let peer = candidates.iter().find(|candidate| candidate.is_ipv4()).ok_or("the server has no IPv4 candidate")?;
        let told = |error: io::Error| format!("{}: {error}", relay.server);
        let socket = connected(relay.server).map_err(told)?;
        socket.set_nonblocking(false).and_then(|()| socket.set_read_timeout(Some(ANSWER_WAIT))).map_err(told)?;
        let mut desk = Desk { socket: &socket, relay, realm: Vec::new(), nonce: Vec::new(), number: 0 };
        desk.ask(Method::ALLOCATE, |writer| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 17))?;
        desk.ask(Method::CHANNEL_BIND, |writer| _ = writer.channel_number(CHANNEL).xor_address(Type::XOR_PEER_ADDRESS, *peer))?;
        socket.set_nonblocking(true).map_err(told)?;
        Ok(Self { socket: UdpSocket::from_std(socket), relayed: true })
    }

    /// A full send buffer loses the datagram, as a network would.
    pub fn send(&self, bytes: &[u8]) {
        if !self.relayed {
            drop(self.socket.send(bytes));
            return;
        }
        let mut message = [0; DATAGRAM_LEN_MAX + HEADER_LEN];
        let (Some(header), Some(room)) =
            (channel_data::header(CHANNEL, bytes.len()), message.get_mut(HEADER_LEN..HEADER_LEN + bytes.len()))
        else {
            return;
        };
        room.copy_from_slice(bytes);
        message[..HEADER_LEN].copy_from_slice(&header);
        drop(self.socket.send(&message[..HEADER_LEN + bytes.len()]));
    }

    /// Where in `buffer` the next datagram lies: empty for what is not the server's. `None`: nothing more, or an ICMP error that the
    /// next check will meet again.
    pub fn receive(&self, buffer: &mut [u8]) -> Option<Range<usize>> {
        let len = self.socket.recv(buffer).ok()?;
        if !self.relayed {
            return Some(0..len);
        }
        let data = ChannelData::parse(buffer.get(..len)?).ok().map(|message| message.data.len());
        Some(data.map_or(0..0, |data| HEADER_LEN..HEADER_LEN + data))
    }
}

fn connected(to: SocketAddr) -> io::Result<std::net::UdpSocket> {
    let any: SocketAddr = match to {
        SocketAddr::V4(_) => (Ipv4Addr::UNSPECIFIED, 0).into(),
        SocketAddr::V6(_) => (Ipv6Addr::UNSPECIFIED, 0).into(),
    };
    let socket = std::net::UdpSocket::bind(any)?;
    socket.connect(to)?;
    socket.set_nonblocking(true)?;
    // Best effort: with a smaller buffer the report shows the loss.
    let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(RECEIVE_BUFFER);
    Ok(socket)
}

/// Makes requests and waits for their answers.
struct Desk<'a> {
    socket: &'a std::net::UdpSocket,
    relay: &'a Relay,
    realm: Vec<u8>,
    nonce: Vec<u8>,
    number: u8,
}

impl Desk<'_> {
    fn ask(&mut self, method: Method, fill: impl Fn(&mut Writer<'_>)) -> Result<(), String> {
        for _ in 0..TRIES_MAX {
            self.number += 1;
            let id = TransactionId([self.number; 12]);
            let mut space = [0; 1024];
            let mut writer = Writer::new(&mut space, Class::Request, method, id);
            fill(&mut writer);
            if !self.nonce.is_empty() {
                let Relay { user, password, .. } = self.relay;
                writer.attribute(Type::USERNAME, user.as_bytes()).attribute(Type::REALM, &self.realm).attribute(Type::NONCE, &self.nonce);
                // RFC 8489 section 9.2.2.
                let realm = String::from_utf8_lossy(&self.realm);
                writer.integrity(&Key::new(&Md5::digest(format!("{user}:{realm}:{password}"))));
            }
            let len = writer.finish().map_err(|_| "the request is too long".to_owned())?;
            self.socket.send(&space[..len]).map_err(|error| format!("{}: {error}", self.relay.server))?;
            let len = match self.socket.recv(&mut space) {
                Ok(len) => len,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => continue,
                Err(error) => return Err(format!("{}: {error}", self.relay.server)),
            };
            let Ok(answer) = Message::parse(&space[..len]) else { continue };
            match answer.error_code() {
                _ if answer.transaction_id() != id => {}
                Ok(Some(error)) if matches!(error.code, 401 | 438) && answer.nonce().is_some_and(|nonce| nonce != self.nonce) => {
                    self.nonce = answer.nonce().unwrap_or_default().to_vec();
                    self.realm = answer.realm().unwrap_or_default().to_vec();
                }
                Ok(Some(error)) => return Err(format!("{}: the relay refuses with {}", self.relay.server, error.code)),
                Ok(None) | Err(_) => return Ok(()),
            }
        }
        Err(format!("{}: the relay does not answer", self.relay.server))
    }
}

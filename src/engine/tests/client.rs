//! A small TURN client.

use std::io::{self, Read, Write};
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::time::Duration;

use pointsman_wire::stream::{self, Front};
use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Class, Key, Message, Method, TransactionId, Writer};

/// MD5("alice:test:secret").
const KEY: [u8; 16] = [0xd8, 0x0a, 0x40, 0xa1, 0x15, 0x5d, 0x17, 0xef, 0xba, 0xe0, 0xf1, 0x14, 0xeb, 0xab, 0x98, 0x7e];

/// Carries a client's messages.
pub trait Carrier {
    fn put(&mut self, message: &[u8]);
    fn take(&mut self) -> Vec<u8>;
}

impl Carrier for UdpSocket {
    fn put(&mut self, message: &[u8]) {
        self.send(message).unwrap();
    }

    fn take(&mut self) -> Vec<u8> {
        let mut message = vec![0; 1500];
        let len = self.recv(&mut message).unwrap();
        message.truncate(len);
        message
    }
}

/// A byte stream, and what of it was read but not taken.
pub struct Framed<S> {
    pub stream: S,
    unread: Vec<u8>,
}

impl<S: Read + Write> Framed<S> {
    pub fn new(stream: S) -> Self {
        Self { stream, unread: Vec::new() }
    }

    /// What was read behind the last message.
    pub fn unread(&self) -> &[u8] {
        &self.unread
    }

    /// The next message, or `None` at the stream's end.
    pub fn next(&mut self) -> Option<Vec<u8>> {
        loop {
            if let Front::Message { bytes, taken } = stream::front(&self.unread, stream::MESSAGE_LEN_MAX).unwrap() {
                let message = bytes.to_vec();
                self.unread.drain(..taken);
                return Some(message);
            }
            let mut more = [0; 8192];
            match self.stream.read(&mut more) {
                Ok(0) => return None,
                Ok(len) => self.unread.extend(&more[..len]),
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => return None,
                Err(error) => panic!("{error}"),
            }
        }
    }
}

impl<S: Read + Write> Carrier for Framed<S> {
    fn put(&mut self, message: &[u8]) {
        let padded = [message, &[0; 3][..stream::padding(message.len())]].concat();
        self.stream.write_all(&padded).unwrap();
    }

    fn take(&mut self) -> Vec<u8> {
        self.next().expect("the connection is open")
    }
}

pub struct TurnClient<C = UdpSocket> {
    pub socket: C,
    server: SocketAddr,
    nonce: Vec<u8>,
    number: u8,
}

/// Writes a request with the given attributes and a fingerprint.
pub fn request(out: &mut [u8], method: Method, number: u8, fill: impl FnOnce(&mut Writer<'_>)) -> usize {
    let mut writer = Writer::new(out, Class::Request, method, TransactionId([number; 12]));
    fill(&mut writer);
    writer.fingerprint().finish().unwrap()
}

pub fn exchange(socket: &UdpSocket, server: SocketAddr, message: &[u8]) -> Vec<u8> {
    socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    socket.send_to(message, server).unwrap();
    let mut answer = vec![0; 1500];
    let (len, from) = socket.recv_from(&mut answer).unwrap();
    assert_eq!(from, server);
    answer.truncate(len);
    answer
}

impl TurnClient {
    pub fn new(host: IpAddr, server: SocketAddr) -> Self {
        let socket = UdpSocket::bind((host, 0)).unwrap();
        socket.connect(server).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        Self::over(socket, server)
    }
}

impl TurnClient {
    /// Takes the allocation to a new socket. Returns the next ticket.
    pub fn move_with(&mut self, ticket: &[u8]) -> Vec<u8> {
        let host = self.socket.local_addr().unwrap().ip();
        self.socket = Self::new(host, self.server).socket;
        self.nonce.clear();
        self.come_back(ticket)
    }
}

impl<C: Carrier> TurnClient<C> {
    pub fn over(socket: C, server: SocketAddr) -> Self {
        Self { socket, server, nonce: Vec::new(), number: 0 }
    }

    pub fn allocate(&mut self) -> SocketAddr {
        self.allocate_with(|_| {}).0
    }

    pub fn allocate_with(&mut self, fill: impl Fn(&mut Writer<'_>)) -> (SocketAddr, Option<[u8; 8]>) {
        let answer = self.ask_allocate(fill);
        let message = Message::parse(&answer).unwrap();
        assert_eq!(message.class(), Class::Success, "{:?}", message.error_code());
        (message.xor_relayed_address().unwrap().unwrap(), message.reservation_token().unwrap())
    }

    pub fn permit(&mut self, peer: SocketAddr) {
        let answer = self.try_permit(peer);
        let message = Message::parse(&answer).unwrap();
        assert_eq!(message.class(), Class::Success, "{:?}", message.error_code());
    }

    pub fn try_permit(&mut self, peer: SocketAddr) -> Vec<u8> {
        self.ask(Method::CREATE_PERMISSION, |writer| {
            writer.xor_address(Type::XOR_PEER_ADDRESS, peer);
        })
    }

    /// Allocates, and asks for a ticket (RFC 8016).
    pub fn allocate_with_ticket(&mut self) -> (SocketAddr, Vec<u8>) {
        let answer = self.ask_allocate(|writer| {
            writer.attribute(Type::MOBILITY_TICKET, &[]);
        });
        let message = Message::parse(&answer).unwrap();
        assert_eq!(message.class(), Class::Success, "{:?}", message.error_code());
        (message.xor_relayed_address().unwrap().unwrap(), message.attribute(Type::MOBILITY_TICKET).unwrap().to_vec())
    }

    /// Shows a ticket where the allocation is not (RFC 8016). Returns the next one.
    pub fn come_back(&mut self, ticket: &[u8]) -> Vec<u8> {
        let answer = self.succeed(Method::REFRESH, |writer| {
            writer.attribute(Type::MOBILITY_TICKET, ticket);
        });
        Message::parse(&answer).unwrap().attribute(Type::MOBILITY_TICKET).unwrap().to_vec()
    }

    /// Allocates a relay for TCP (RFC 6062).
    pub fn allocate_tcp(&mut self) {
        self.succeed(Method::ALLOCATE, |writer| {
            writer.first_of_four(Type::REQUESTED_TRANSPORT, 6);
        });
    }

    /// Has a connection made with the peer: its number.
    pub fn connect(&mut self, peer: SocketAddr) -> u32 {
        let answer = self.succeed(Method::CONNECT, |writer| {
            writer.xor_address(Type::XOR_PEER_ADDRESS, peer);
        });
        Message::parse(&answer).unwrap().connection_id().unwrap().expect("a connection's number")
    }

    /// Makes this client's connection the one that carries its data.
    pub fn bind_connection(&mut self, connection: u32) {
        self.succeed(Method::CONNECTION_BIND, |writer| {
            writer.u32(Type::CONNECTION_ID, connection);
        });
    }

    pub fn bind_channel(&mut self, number: u16, peer: SocketAddr) {
        self.succeed(Method::CHANNEL_BIND, |writer| {
            writer.channel_number(number).xor_address(Type::XOR_PEER_ADDRESS, peer);
        });
    }

    pub fn refresh(&mut self, lifetime_s: u32) {
        self.succeed(Method::REFRESH, |writer| {
            writer.u32(Type::LIFETIME, lifetime_s);
        });
    }

    fn ask_allocate(&mut self, fill: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
        let family = if self.server.is_ipv4() { 1 } else { 2 };
        self.ask(Method::ALLOCATE, |writer| {
            writer.first_of_four(Type::REQUESTED_TRANSPORT, 17);
            if family == 2 {
                writer.first_of_four(Type::REQUESTED_ADDRESS_FAMILY, family);
            }
            fill(writer);
        })
    }

    fn succeed(&mut self, method: Method, fill: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
        let answer = self.ask(method, fill);
        let message = Message::parse(&answer).unwrap();
        assert_eq!(message.class(), Class::Success, "{:?}", message.error_code());
        answer
    }

    /// Asks with credentials; the first 401 or 438 gives the nonce.
    fn ask(&mut self, method: Method, fill: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
        loop {
            self.number += 1;
            let mut message = [0; 600];
            let mut writer = Writer::new(&mut message, Class::Request, method, TransactionId([self.number; 12]));
            fill(&mut writer);
            if !self.nonce.is_empty() {
                writer.attribute(Type::USERNAME, b"alice").attribute(Type::REALM, b"test").attribute(Type::NONCE, &self.nonce);
                writer.integrity(&Key::new(&KEY));
            }
            let len = writer.fingerprint().finish().unwrap();
            self.socket.put(&message[..len]);
            let answer = self.socket.take();
            let parsed = Message::parse(&answer).unwrap();
            let nonce = match parsed.error_code().unwrap() {
                Some(error) if matches!(error.code, 401 | 438) => parsed.nonce().unwrap().to_vec(),
                _ => return answer,
            };
            assert!(self.number < 50 && nonce != self.nonce, "the server does not accept us");
            self.nonce = nonce;
        }
    }
}

//! A TURN client made of the wire crate: it does what RFC 8656 asks, or exactly what a test tells it.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::sync::Arc;
use std::time::Duration;

use md5::{Digest, Md5};
use pointsman_wire::channel_data;
use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Class, Key, Message, Method, TransactionId, Writer};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, StreamOwned};

use super::REALM;

pub const UDP: u8 = 17;
const PATIENCE: Duration = Duration::from_secs(3);

/// What carries messages to the server.
pub enum Wire {
    Udp(UdpSocket),
    Tcp(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

impl Wire {
    pub fn send(&mut self, message: &[u8]) -> io::Result<()> {
        match self {
            Self::Udp(socket) => socket.send(message).map(drop),
            Self::Tcp(stream) => stream.write_all(message),
            Self::Tls(stream) => stream.write_all(message),
        }
    }

    /// One datagram, or one message of a stream with its padding.
    pub fn receive(&mut self) -> io::Result<Vec<u8>> {
        match self {
            Self::Udp(socket) => {
                let mut bytes = vec![0; 65_536];
                let len = socket.recv(&mut bytes)?;
                bytes.truncate(len);
                Ok(bytes)
            }
            Self::Tcp(stream) => framed(stream),
            Self::Tls(stream) => framed(stream),
        }
    }

    pub fn patience(&self, wait: Duration) {
        let set = match self {
            Self::Udp(socket) => socket.set_read_timeout(Some(wait)),
            Self::Tcp(stream) => stream.set_read_timeout(Some(wait)),
            Self::Tls(stream) => stream.sock.set_read_timeout(Some(wait)),
        };
        set.unwrap();
    }

    pub fn local(&self) -> SocketAddr {
        match self {
            Self::Udp(socket) => socket.local_addr(),
            Self::Tcp(stream) => stream.local_addr(),
            Self::Tls(stream) => stream.sock.local_addr(),
        }
        .unwrap()
    }
}

/// RFC 8656 section 12.5 and RFC 8489 section 6.2.2: both kinds of message tell their lengths in bytes 2 and 3.
fn framed(stream: &mut impl Read) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; 4];
    stream.read_exact(&mut bytes)?;
    let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
    let rest = if bytes[0] < 0x40 { 16 + length } else { length.next_multiple_of(4) };
    bytes.resize(4 + rest, 0);
    stream.read_exact(&mut bytes[4..])?;
    Ok(bytes)
}

pub struct Client {
    pub wire: Wire,
    pub user: String,
    pub password: String,
    pub realm: String,
    pub nonce: Vec<u8>,
    last_id: u64,
}

/// An answer to a request.
#[derive(Debug)]
pub struct Answer(pub Vec<u8>);

impl Answer {
    pub fn message(&self) -> Message<'_> {
        Message::parse(&self.0).expect("the server writes good messages")
    }

    /// 0 for success.
    pub fn code(&self) -> u16 {
        match self.message().class() {
            Class::Success => 0,
            Class::Error => self.message().error_code().unwrap().unwrap().code,
            other => panic!("{other:?} is no answer"),
        }
    }

    pub fn relayed(&self) -> SocketAddr {
        self.message().xor_relayed_address().unwrap().expect("a relayed address")
    }
}

impl Client {
    pub fn new(wire: Wire, user: &str, password: &str) -> Self {
        wire.patience(PATIENCE);
        // Two clients' transactions differ, also when they share an address one after the other.
        let last_id = u64::from(wire.local().port()) << 32;
        Self { wire, user: user.to_owned(), password: password.to_owned(), realm: REALM.to_owned(), nonce: Vec::new(), last_id }
    }

    pub fn udp(server: SocketAddr, user: &str, password: &str) -> Self {
        let from = if server.is_ipv4() { "127.0.0.1:0" } else { "[::1]:0" };
        Self::udp_from(from.parse().unwrap(), server, user, password)
    }

    pub fn udp_from(from: SocketAddr, server: SocketAddr, user: &str, password: &str) -> Self {
        let socket = UdpSocket::bind(from).unwrap();
        socket.connect(server).unwrap();
        Self::new(Wire::Udp(socket), user, password)
    }

    pub fn tcp(server: SocketAddr, user: &str, password: &str) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_nodelay(true).unwrap();
        Self::new(Wire::Tcp(stream), user, password)
    }

    pub fn tls(server: SocketAddr, user: &str, password: &str) -> Self {
        let stream = TcpStream::connect(server).unwrap();
        stream.set_nodelay(true).unwrap();
        let connection = ClientConnection::new(tls_config(), ServerName::try_from("localhost").unwrap()).unwrap();
        Self::new(Wire::Tls(Box::new(StreamOwned::new(connection, stream))), user, password)
    }

    pub fn key(&self) -> Key {
        let text = format!("{}:{}:{}", self.user, self.realm, self.password);
        Key::new(&Md5::digest(text.as_bytes()))
    }

    pub fn next_id(&mut self) -> TransactionId {
        self.last_id += 1;
        let mut id = [0x55; 12];
        id[4..].copy_from_slice(&self.last_id.to_be_bytes());
        TransactionId(id)
    }

    /// A request as it would go out now, with credentials if there is a nonce.
    pub fn signed(&self, method: Method, id: TransactionId, write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
        written(Class::Request, method, id, |writer| {
            write(writer);
            if !self.nonce.is_empty() {
                writer.attribute(Type::USERNAME, self.user.as_bytes());
                writer.attribute(Type::REALM, self.realm.as_bytes());
                writer.attribute(Type::NONCE, &self.nonce);
                writer.integrity(&self.key());
            }
        })
    }

    /// Sends bytes and waits for the answer of transaction `id`; data that comes meanwhile is passed over. UDP is tried three times.
    pub fn ask(&mut self, id: TransactionId, bytes: &[u8]) -> Option<Answer> {
        let tries = if matches!(self.wire, Wire::Udp(_)) { 3 } else { 1 };
        for _ in 0..tries {
            self.wire.send(bytes).ok()?;
            while let Ok(answer) = self.wire.receive() {
                if Message::parse(&answer).is_ok_and(|message| message.transaction_id() == id && message.class() != Class::Indication) {
                    return Some(Answer(answer));
                }
            }
        }
        None
    }

    /// A request in all its steps.
    pub fn request(&mut self, method: Method, write: impl Fn(&mut Writer<'_>)) -> Answer {
        for _ in 0..3 {
            let id = self.next_id();
            let bytes = self.signed(method, id, &write);
            let answer = self.ask(id, &bytes).unwrap_or_else(|| panic!("no answer to {method:?}"));
            let fresh = (answer.code() == 401 && self.nonce.is_empty()) || answer.code() == 438;
            if !fresh {
                return answer;
            }
            self.nonce = answer.message().nonce().expect("a challenge brings a nonce").to_vec();
        }
        panic!("challenged for ever");
    }

    pub fn allocate(&mut self, write: impl Fn(&mut Writer<'_>)) -> Answer {
        self.request(Method::ALLOCATE, |writer| {
            writer.first_of_four(Type::REQUESTED_TRANSPORT, UDP);
            write(writer);
        })
    }

    /// An ordinary allocation: its relayed address.
    pub fn allocated(&mut self) -> SocketAddr {
        let answer = self.allocate(|_| ());
        assert_eq!(answer.code(), 0);
        answer.relayed()
    }

    pub fn permit(&mut self, peers: &[SocketAddr]) -> u16 {
        let answer = self.request(Method::CREATE_PERMISSION, |writer| {
            for peer in peers {
                writer.xor_address(Type::XOR_PEER_ADDRESS, *peer);
            }
        });
        answer.code()
    }

    pub fn bind_channel(&mut self, number: u16, peer: SocketAddr) -> u16 {
        self.request(Method::CHANNEL_BIND, |writer| _ = writer.channel_number(number).xor_address(Type::XOR_PEER_ADDRESS, peer)).code()
    }

    pub fn refresh(&mut self, lifetime_s: u32) -> u16 {
        self.request(Method::REFRESH, |writer| _ = writer.u32(Type::LIFETIME, lifetime_s)).code()
    }

    pub fn send_indication(&mut self, peer: SocketAddr, data: &[u8]) {
        let id = self.next_id();
        let bytes = written(Class::Indication, Method::SEND, id, |writer| {
            _ = writer.xor_address(Type::XOR_PEER_ADDRESS, peer).attribute(Type::DATA, data);
        });
        self.wire.send(&bytes).unwrap();
    }

    pub fn send_channel(&mut self, number: u16, data: &[u8]) {
        let mut bytes = channel_data::header(number, data.len()).unwrap().to_vec();
        bytes.extend_from_slice(data);
        if !matches!(self.wire, Wire::Udp(_)) {
            bytes.resize(bytes.len().next_multiple_of(4), 0);
        }
        self.wire.send(&bytes).unwrap();
    }

    /// What the next ChannelData carries.
    pub fn channel_data(&mut self) -> Option<(u16, Vec<u8>)> {
        let bytes = self.wire.receive().ok()?;
        let number = u16::from_be_bytes([bytes[0], bytes[1]]);
        let length = usize::from(u16::from_be_bytes([bytes[2], bytes[3]]));
        Some((number, bytes.get(4..4 + length)?.to_vec()))
    }
}

/// A message with a fingerprint.
pub fn written(class: Class, method: Method, id: TransactionId, write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
    let mut bytes = vec![0; 4096];
    let mut writer = Writer::new(&mut bytes, class, method, id);
    write(&mut writer);
    let len = writer.fingerprint().finish().unwrap();
    bytes.truncate(len);
    bytes
}

pub fn tls_config() -> Arc<ClientConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap();
    Arc::new(builder.dangerous().with_custom_certificate_verifier(Arc::new(AnyCertificate)).with_no_client_auth())
}

/// Tests make their certificates themselves.
#[derive(Debug)]
struct AnyCertificate;

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.supported_schemes()
    }
}

//! One client's way to the server: UDP, TCP or TLS.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream, UdpSocket};
use std::os::fd::{AsRawFd, RawFd};
use std::sync::Arc;

use pointsman_wire::stream::{self, Front};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::aws_lc_rs;
use rustls::{ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme};
use rustls_pki_types::{CertificateDer, ServerName, UnixTime};

const BUFFER: usize = 1 << 20;
const MESSAGE_LEN_MAX: usize = 16_384;
/// What waits for a server that reads slowly; more is not sent, as a client that encodes would not.
const BACKLOG_MAX: usize = 256 << 10;

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Transport {
    Udp,
    Tcp,
    Tls,
}

pub enum Link {
    Udp(UdpSocket),
    Stream(Box<Stream>),
}

pub struct Stream {
    socket: TcpStream,
    tls: Option<ClientConnection>,
    /// What has come and is not taken yet, from `taken` on.
    input: Vec<u8>,
    taken: usize,
    output: Vec<u8>,
}

impl Link {
    pub fn open(transport: Transport, server: SocketAddr, tls: &Arc<ClientConfig>) -> io::Result<Self> {
        if transport == Transport::Udp {
            let any: IpAddr = if server.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
            let socket = UdpSocket::bind((any, 0))?;
            socket.connect(server)?;
            socket.set_nonblocking(true)?;
            let _ = socket2::SockRef::from(&socket).set_recv_buffer_size(BUFFER);
            return Ok(Self::Udp(socket));
        }
        let mut socket = TcpStream::connect(server)?;
        socket.set_nodelay(true)?;
        let tls = match transport {
            Transport::Tls => {
                let mut tls = ClientConnection::new(Arc::clone(tls), ServerName::from(server.ip())).map_err(io::Error::other)?;
                while tls.is_handshaking() {
                    tls.complete_io(&mut socket)?;
                }
                Some(tls)
            }
            Transport::Udp | Transport::Tcp => None,
        };
        socket.set_nonblocking(true)?;
        Ok(Self::Stream(Box::new(Stream { socket, tls, input: Vec::new(), taken: 0, output: Vec::new() })))
    }

    pub fn fd(&self) -> RawFd {
        match self {
            Self::Udp(socket) => socket.as_raw_fd(),
            Self::Stream(stream) => stream.socket.as_raw_fd(),
        }
    }

    /// Whether the message left, or will.
    pub fn send(&mut self, message: &[u8]) -> bool {
        match self {
            Self::Udp(socket) => socket.send(message).is_ok(),
            Self::Stream(stream) => stream.send(message),
        }
    }

    /// Sends what waits.
    pub fn flush(&mut self) {
        if let Self::Stream(stream) = self {
            stream.flush();
        }
    }

    /// Takes the messages that have come.
    pub fn receive(&mut self, space: &mut [u8], mut take: impl FnMut(&[u8])) -> io::Result<()> {
        match self {
            Self::Udp(socket) => loop {
                match socket.recv(space) {
                    Ok(len) => take(&space[..len]),
                    Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                    // An ICMP error that waited: the datagrams are still there.
                    Err(error) if error.kind() == ErrorKind::ConnectionRefused => {}
                    Err(error) => return Err(error),
                }
            },
            Self::Stream(stream) => stream.receive(space, take),
        }
    }
}

impl Stream {
    fn send(&mut self, message: &[u8]) -> bool {
        let padding = [0; 3];
        let padding = &padding[..if message.first().is_some_and(|first| *first >= 0x40) { stream::padding(message.len()) } else { 0 }];
        match &mut self.tls {
            None => {
                if self.output.len() > BACKLOG_MAX {
                    self.flush();
                    return false;
                }
                self.output.extend_from_slice(message);
                self.output.extend_from_slice(padding);
            }
            Some(tls) => {
                // One record for each message, as clients that send when they have something do.
                let whole = [message, padding].concat();
                if self.output.len() > BACKLOG_MAX || tls.writer().write_all(&whole).is_err() {
                    self.flush();
                    return false;
                }
            }
        }
        true
    }

    fn flush(&mut self) {
        if let Some(tls) = &mut self.tls {
            while tls.wants_write() && tls.write_tls(&mut self.output).is_ok() {}
        }
        let mut sent = 0;
        while let Some(rest) = self.output.get(sent..).filter(|rest| !rest.is_empty()) {
            match self.socket.write(rest) {
                Ok(len) if len > 0 => sent += len,
                _ => break,
            }
        }
        self.output.drain(..sent);
    }

    fn receive(&mut self, space: &mut [u8], mut take: impl FnMut(&[u8])) -> io::Result<()> {
        loop {
            let got = match &mut self.tls {
                None => self.socket.read(space),
                Some(tls) => {
                    let read = tls.read_tls(&mut self.socket);
                    tls.process_new_packets().map_err(io::Error::other)?;
                    match (tls.reader().read(space), read) {
                        (Ok(len), _) if len > 0 => Ok(len),
                        (_, Ok(0)) => Ok(0),
                        // A record that is not whole yet.
                        (_, Ok(_)) => continue,
                        (_, Err(error)) => Err(error),
                    }
                }
            };
            match got {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(len) => self.input.extend_from_slice(&space[..len]),
                Err(error) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Err(error) => return Err(error),
            }
            while let Front::Message { bytes, taken } =
                stream::front(&self.input[self.taken..], MESSAGE_LEN_MAX).map_err(|_| io::Error::from(ErrorKind::InvalidData))?
            {
                take(bytes);
                self.taken += taken;
            }
            self.input.drain(..std::mem::take(&mut self.taken));
        }
    }
}

/// Takes any certificate: what is measured is the server, not its papers.
pub fn tls_config() -> Result<Arc<ClientConfig>, String> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(|error| format!("TLS: {error}"))?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(AnyCertificate(provider)))
        .with_no_client_auth();
    Ok(Arc::new(config))
}

#[derive(Debug)]
struct AnyCertificate(Arc<rustls::crypto::CryptoProvider>);

impl ServerCertVerifier for AnyCertificate {
    fn verify_server_cert(
        &self,
        _own: &CertificateDer<'_>,
        _others: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _message: &[u8],
        _certificate: &CertificateDer<'_>,
        _signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

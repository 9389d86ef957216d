//! The TCP listeners: accepts, tells protocols apart by their first byte, serves HTTP, and hands TURN to the shards.
//!
//! ```text
//! http, ctl ──────────────────────────▶ HTTP
//! proxy ──▶ PROXY header ─┐
//! tcp ────────────────────┴▶ 0x16 ──▶ TLS ─┐
//!                          └▶ otherwise ───┼▶ a letter ──▶ HTTP
//! tls ──────▶ first byte 0x16 ──▶ TLS ─────┴▶ STUN or ChannelData ──▶ a shard
//!          └▶ otherwise ───────────────────▶ STUN or ChannelData ──▶ a shard
//! ```
//! Browsers say nothing of what they want inside TLS (no ALPN on `turns:`), so the first decrypted byte decides.

use std::io;
use std::net::SocketAddr;
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::ConnectInfo;
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use pointsman_wire::{demux, proxy};
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;
use tower::ServiceExt;

use super::stats::{Counters, DropReason, ListenerKind};
use super::tls::Certificate;
use super::turn_clients::TurnClients;
use crate::config::Config;
use crate::failure::Failure;

/// First byte of every TLS record that begins a handshake (RFC 8446 section 5.1).
const TLS_HANDSHAKE: u8 = 0x16;
/// Connections that wait in the kernel while ours are at their limit.
const BACKLOG: i32 = 1024;
/// Longest header of a request: browsers' cookies and tokens fit, and a client cannot make us keep more.
const HEADER_BYTES_MAX: usize = 64 * 1024;
/// Pause after the kernel refused to give us a connection (no file descriptor left): trying at once would only burn the core.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Programs that speak HTTP to operators' listeners say at once what they want.
const GREETING_WAIT: Duration = Duration::from_secs(2);
/// Of what somebody types at a listener that is no telnet.
const TYPED_MAX: u64 = 4096;
const NO_TELNET: &str = "There is no telnet here: `pointsman ctl --config FILE turn list`, with your turnserver.conf, shows allocations, \
                         `turn kill ID` ends one, `turn quotas` shows limits. turnadmin administers users.\r\n";

/// A listening socket that is not served yet.
#[derive(Debug)]
pub struct Bound {
    pub kind: ListenerKind,
    pub address: SocketAddr,
    socket: std::net::TcpListener,
}

/// What all listeners share.
pub struct Serving {
    /// On the `http` listeners.
    pub internal: Router,
    /// On the `ctl` listeners.
    pub operators: Router,
    /// On the `tcp`, `tls` and `proxy` listeners; `None`: no HTTP there.
    pub public: Option<Router>,
    /// Where TURN clients go.
    pub turn: TurnClients,
    pub certificate: Option<Arc<Certificate>>,
    /// With it, the `http` listeners speak HTTPS and nothing else.
    pub http_certificate: Option<Arc<Certificate>>,
    pub counters: Arc<Counters>,
    pub connections_max: u32,
    pub handshakes_max: u32,
    pub handshake_timeout: Duration,
    pub header_timeout: Duration,
    /// Becomes true when connections should end after the request that they are in.
    pub closing: watch::Receiver<bool>,
}

/// Binds every TCP address of the configuration.
///
/// # Errors
/// Names the first address that cannot be had, its key, and why.
pub fn bind_all(config: &Config) -> Result<Vec<Bound>, Failure> {
    let listen = &config.listen;
    let keys = [
        (ListenerKind::Http, &listen.http),
        (ListenerKind::Tcp, &listen.tcp),
        (ListenerKind::Tls, &listen.tls),
        (ListenerKind::Proxy, &listen.proxy),
        (ListenerKind::Ctl, &listen.ctl),
    ];
    let wanted = keys.iter().flat_map(|(kind, addresses)| addresses.iter().map(move |address| (*kind, *address)));
    wanted
        .map(|(kind, address)| {
            // What serves operators is not for the network that the device is on.
            let device = config.engine.listen_device.as_deref().filter(|_| !matches!(kind, ListenerKind::Http | ListenerKind::Ctl));
            bind(address, device)
                .map(|socket| Bound { kind, address: socket.local_addr().unwrap_or(address), socket })
                .map_err(|error| bind_failure(&format!("{address}/tcp"), kind.key(), &error.to_string(), error.kind()))
        })
        .collect()
}

/// The message for an address that cannot be listened on.
pub fn bind_failure(address: &str, key: &str, why: &str, kind: io::ErrorKind) -> Failure {
    let remedy = match kind {
        io::ErrorKind::AddrInUse => "another process has it; end that one, or choose another address with",
        io::ErrorKind::PermissionDenied => "ports below 1024 need CAP_NET_BIND_SERVICE; or choose another address with",
        io::ErrorKind::AddrNotAvailable => "this host has no such address; choose another with",
        _ => "choose another address with",
    };
    let variable = crate::config::variable("listen", key);
    Failure::Operator(format!("cannot listen on {address}: {why} ({remedy} `{key}` in [listen] or {variable})"))
}

fn bind(address: SocketAddr, device: Option<&str>) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    // Otherwise the connections of a server that has just ended keep its successor out for a minute.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
    }
    if let Some(device) = device {
        socket.bind_device(Some(device.as_bytes()))?;
    }
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    Ok(socket.into())
}

impl Bound {
    /// Accepts connections until the process ends. Runs inside a tokio runtime.
    ///
    /// # Errors
    /// When the runtime cannot watch the socket.
    pub fn serve(self, serving: Arc<Serving>) -> io::Result<()> {
        let listener = TcpListener::from_std(self.socket)?;
        tokio::spawn(accept(listener, self.kind, serving));
        Ok(())
    }
}

async fn accept(listener: TcpListener, kind: ListenerKind, serving: Arc<Serving>) {
    let connections = Arc::new(Semaphore::new(serving.connections_max as usize));
    let handshakes = Arc::new(Semaphore::new(serving.handshakes_max as usize));
    loop {
        // At the limit the kernel keeps new connections waiting: that is the bound on our memory.
        let Ok(permit) = Arc::clone(&connections).acquire_owned().await else { return };
        let (stream, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::debug!(%error, listener = kind.key(), "no connection accepted");
                serving.counters.count_drop(DropReason::AcceptFailed);
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (serving, handshakes) = (Arc::clone(&serving), Arc::clone(&handshakes));
        tokio::spawn(async move {
            let _open = serving.counters.open(kind);
            // Signalling is small messages that should not wait for each other.
            let _ = stream.set_nodelay(true);
            if let Err(reason) = serve_stream(stream, peer, kind, &serving, &handshakes).await {
                serving.counters.count_drop(reason);
            }
            drop(permit);
        });
    }
}

async fn serve_stream(
    mut stream: TcpStream,
    peer: SocketAddr,
    kind: ListenerKind,
    serving: &Serving,
    handshakes: &Semaphore,
) -> Result<(), DropReason> {
    match kind {
        ListenerKind::Http => return serve_internal(stream, peer, serving, handshakes).await,
        ListenerKind::Ctl => return serve_operators(stream, peer, serving).await,
        ListenerKind::Tcp | ListenerKind::Tls | ListenerKind::Proxy => {}
    }
    let Ok(local) = stream.local_addr() else { return Ok(()) };
    let mut ends = Ends { client: peer, server: local };
    if kind == ListenerKind::Proxy {
        ends = timeout(serving.header_timeout, proxied(&mut stream, ends)).await.map_err(|_| DropReason::Silent)??;
    }
    let mut first = [0];
    let begin = timeout(serving.header_timeout, stream.peek(&mut first)).await.map_err(|_| DropReason::Silent)?;
    let [first] = match begin {
        Ok(1) => first,
        // Opened and closed, as monitoring does.
        Ok(_) | Err(_) => return Ok(()),
    };
    if first == TLS_HANDSHAKE {
        return serve_tls(stream, ends, serving, handshakes).await;
    }
    match Inside::told_by(first) {
        // Also where TLS is expected, as coturn does on its TLS port.
        Inside::Turn => serving.turn.hand_over(stream, None, Vec::new(), ends),
        Inside::Http if kind != ListenerKind::Tls => serve_public(stream, ends, serving).await,
        Inside::Http => Err(DropReason::NotTls),
        Inside::Unknown if kind == ListenerKind::Tls => Err(DropReason::NotTls),
        Inside::Unknown => Err(DropReason::UnknownProtocol),
    }
}

/// Both ends of a client's connection, as a load balancer before us sees them.
#[derive(Clone, Copy, Debug)]
pub(super) struct Ends {
    pub client: SocketAddr,
    pub server: SocketAddr,
}

/// What a connection carries, told by its first byte behind TLS.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Inside {
    Http,
    Turn,
    Unknown,
}

impl Inside {
    /// HTTP's methods are capital letters, and so are the first bytes of channels from 0x4100 on, which only clients of before
    /// RFC 8656 use: none of them begins a connection with data.
    fn told_by(first: u8) -> Self {
        match demux::classify(&[first]) {
            demux::Class::Stun => Self::Turn,
            demux::Class::ChannelData if first.is_ascii_alphabetic() => Self::Http,
            demux::Class::ChannelData => Self::Turn,
            demux::Class::Dtls | demux::Class::Rtp | demux::Class::Rtcp | demux::Class::Unknown => Self::Unknown,
        }
    }
}

/// Reads the PROXY protocol's header, and nothing behind it.
async fn proxied(stream: &mut TcpStream, ends: Ends) -> Result<Ends, DropReason> {
    let mut bytes = Vec::new();
    loop {
        match proxy::read(&bytes) {
            Ok(None) => {}
            Ok(Some(header)) => {
                return Ok(header.addresses.map_or(ends, |addresses| Ends { client: addresses.client, server: addresses.server }));
            }
            Err(_) => return Err(DropReason::BadProxyHeader),
        }
        // Byte by byte, since what follows is the client's and must stay in the socket; a hundred bytes once per connection.
        match stream.read_u8().await {
            Ok(byte) => bytes.push(byte),
            Err(_) => return Err(DropReason::BadProxyHeader),
        }
    }
}

async fn serve_internal(stream: TcpStream, peer: SocketAddr, serving: &Serving, handshakes: &Semaphore) -> Result<(), DropReason> {
    match &serving.http_certificate {
        None => serve_http(stream, peer, &serving.internal, serving).await,
        Some(certificate) => {
            let stream = shake_hands(stream, certificate, serving, handshakes).await?;
            serve_http(stream, peer, &serving.internal, serving).await
        }
    }
}

/// Whoever comes by telnet, where coturn has an interface for that, is told where to go: they wait for a greeting, or type.
async fn serve_operators(mut stream: TcpStream, peer: SocketAddr, serving: &Serving) -> Result<(), DropReason> {
    let mut first = [0];
    match timeout(GREETING_WAIT, stream.peek(&mut first)).await {
        // HTTP's methods are capital letters.
        Ok(Ok(1)) if first[0].is_ascii_uppercase() => serve_http(stream, peer, &serving.operators, serving).await,
        Ok(Ok(1)) | Err(_) => {
            let _ = stream.write_all(NO_TELNET.as_bytes()).await;
            let _ = stream.shutdown().await;
            // What was typed is taken, so that the kernel does not throw the answer away with it.
            let _ = timeout(GREETING_WAIT, tokio::io::copy(&mut stream.take(TYPED_MAX), &mut tokio::io::sink())).await;
            Err(DropReason::BadRequest)
        }
        Ok(_) => Ok(()),
    }
}

async fn shake_hands(
    stream: TcpStream,
    certificate: &Certificate,
    serving: &Serving,
    handshakes: &Semaphore,
) -> Result<TlsStream<TcpStream>, DropReason> {
    let acceptor = TlsAcceptor::from(certificate.current());
    let _turn = handshakes.acquire().await.map_err(|_| DropReason::TlsTimeout)?;
    let handshake = timeout(serving.handshake_timeout, acceptor.accept(stream)).await.map_err(|_| DropReason::TlsTimeout)?;
    handshake.map_err(|error| {
        tracing::debug!(%error, "TLS handshake failed");
        DropReason::TlsFailed
    })
}

async fn serve_tls(stream: TcpStream, ends: Ends, serving: &Serving, handshakes: &Semaphore) -> Result<(), DropReason> {
    let Some(certificate) = &serving.certificate else { return Err(DropReason::NoCertificate) };
    let mut stream = BufReader::new(shake_hands(stream, certificate, serving, handshakes).await?);
    let first = match timeout(serving.header_timeout, stream.fill_buf()).await {
        Ok(Ok(bytes)) => bytes.first().copied(),
        Ok(Err(_)) => return Ok(()),
        Err(_) => return Err(DropReason::Silent),
    };
    match first.map(Inside::told_by) {
        Some(Inside::Http) => serve_public(stream, ends, serving).await,
        Some(Inside::Turn) => {
            let unread = stream.buffer().to_vec();
            let (tcp, tls) = stream.into_inner().into_inner();
            serving.turn.hand_over(tcp, Some(Box::new(tls)), unread, ends)
        }
        Some(Inside::Unknown) => Err(DropReason::UnknownProtocol),
        None => Ok(()),
    }
}

async fn serve_public<S>(stream: S, ends: Ends, serving: &Serving) -> Result<(), DropReason>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    match &serving.public {
        Some(router) => serve_http(stream, ends.client, router, serving).await,
        None => Err(DropReason::NoHttp),
    }
}

async fn serve_http<S>(stream: S, peer: SocketAddr, router: &Router, serving: &Serving) -> Result<(), DropReason>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let router = router.clone();
    let service = hyper::service::service_fn(move |request: hyper::Request<Incoming>| {
        let mut request = request.map(Body::new);
        request.extensions_mut().insert(ConnectInfo(peer));
        router.clone().oneshot(request)
    });
    let mut builder = http1::Builder::new();
    builder.timer(TokioTimer::new()).header_read_timeout(serving.header_timeout).max_buf_size(HEADER_BYTES_MAX);
    let mut connection = pin!(builder.serve_connection(TokioIo::new(stream), service).with_upgrades());
    let mut closing = serving.closing.clone();
    let told_to_close = async move {
        let _ = closing.wait_for(|closing| *closing).await;
    };
    let ended = tokio::select! {
        ended = connection.as_mut() => ended,
        () = told_to_close => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    match ended {
        Ok(()) => Ok(()),
        Err(error) if error.is_timeout() => Err(DropReason::Silent),
        Err(error) if error.is_parse() => Err(DropReason::BadRequest),
        // The client went away in the middle.
        Err(_) => Ok(()),
    }
}

#[cfg(test)]
mod tests;

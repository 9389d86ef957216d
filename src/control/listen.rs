//! The TCP listeners: accepts, tells protocols apart by their first byte, and serves HTTP.
//!
//! ```text
//! http ─────────────────────────────▶ HTTP
//! tcp ──▶ first byte 0x16 ──▶ TLS ─┐
//!    └──▶ otherwise ───────────────┼▶ first byte a letter ──▶ HTTP
//! tls ──▶ first byte 0x16 ──▶ TLS ─┘                    └───▶ named drop
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
use socket2::{Domain, Protocol, Socket, Type};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncWrite, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Semaphore, watch};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;
use tower::ServiceExt;

use super::stats::{Counters, DropReason, ListenerKind};
use super::tls::Certificate;
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
    /// On the `tcp` and `tls` listeners.
    pub public: Router,
    pub certificate: Option<Arc<Certificate>>,
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
    let keys = [(ListenerKind::Http, &listen.http), (ListenerKind::Tcp, &listen.tcp), (ListenerKind::Tls, &listen.tls)];
    let wanted = keys.iter().flat_map(|(kind, addresses)| addresses.iter().map(move |address| (*kind, *address)));
    wanted
        .map(|(kind, address)| {
            bind(address)
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

fn bind(address: SocketAddr) -> io::Result<std::net::TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM.nonblocking().cloexec(), Some(Protocol::TCP))?;
    // Otherwise the connections of a server that has just ended keep its successor out for a minute.
    socket.set_reuse_address(true)?;
    if address.is_ipv6() {
        socket.set_only_v6(true)?;
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
    stream: TcpStream,
    peer: SocketAddr,
    kind: ListenerKind,
    serving: &Serving,
    handshakes: &Semaphore,
) -> Result<(), DropReason> {
    let router = match kind {
        ListenerKind::Http => return serve_http(stream, peer, &serving.internal, serving).await,
        ListenerKind::Tcp | ListenerKind::Tls => &serving.public,
    };
    let mut first = [0];
    let begin = timeout(serving.header_timeout, stream.peek(&mut first)).await.map_err(|_| DropReason::Silent)?;
    match begin {
        Ok(1) => {}
        // Opened and closed, as monitoring does.
        Ok(_) | Err(_) => return Ok(()),
    }
    if first[0] != TLS_HANDSHAKE {
        return match kind {
            ListenerKind::Tls => Err(DropReason::NotTls),
            ListenerKind::Tcp | ListenerKind::Http => serve_plain(stream, peer, router, serving).await,
        };
    }
    let Some(certificate) = &serving.certificate else { return Err(DropReason::NoCertificate) };
    let acceptor = TlsAcceptor::from(certificate.current());
    let stream = {
        let _turn = handshakes.acquire().await.map_err(|_| DropReason::TlsTimeout)?;
        let handshake = timeout(serving.handshake_timeout, acceptor.accept(stream)).await.map_err(|_| DropReason::TlsTimeout)?;
        handshake.map_err(|error| {
            tracing::debug!(%error, "TLS handshake failed");
            DropReason::TlsFailed
        })?
    };
    serve_plain(stream, peer, router, serving).await
}

/// Serves what is inside TLS, or came without it.
async fn serve_plain<S>(stream: S, peer: SocketAddr, router: &Router, serving: &Serving) -> Result<(), DropReason>
where
    S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
{
    let mut stream = BufReader::new(stream);
    let first = match timeout(serving.header_timeout, stream.fill_buf()).await {
        Ok(Ok(bytes)) => bytes.first().copied(),
        Ok(Err(_)) => return Ok(()),
        Err(_) => return Err(DropReason::Silent),
    };
    match first {
        Some(byte) if byte.is_ascii_alphabetic() => serve_http(stream, peer, router, serving).await,
        Some(_) => Err(DropReason::UnknownProtocol),
        None => Ok(()),
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

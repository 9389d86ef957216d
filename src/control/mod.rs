//! Everything that is not a packet thread: start-up, listeners, TLS, health, and the wiring of the parts.
//!
//! Start-up binds every address before anything runs, so that a wrong one is told at once and nothing half works:
//! TCP listeners, then the engine with its UDP sockets, then signalling, then the listeners are served and systemd is told.

mod addresses;
mod health;
mod listen;
pub mod media;
mod signals;
pub mod stats;
pub mod tls;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use axum::routing::get;
use pointsman_sfu::transport::DtlsIdentity;
use sd_notify::NotifyState;
use tokio::sync::watch;

use crate::config::Config;
use crate::engine::{Engine, EngineConfig, EngineError, Events};
use crate::failure::Failure;
use crate::metrics::{self, Metrics, Reading};

use health::Health;
use listen::{Bound, Serving};
use stats::{Counters, ListenerKind};
use tls::Certificate;

/// Threads of control. Media never runs on them.
const CONTROL_THREADS: usize = 2;
/// Open requests and farewells have this long when the server stops.
const CLOSE_MAX: Duration = Duration::from_secs(2);

/// Runs the server until a signal ends it.
///
/// # Errors
/// What keeps it from starting.
pub fn run(config: Config, dev: bool) -> Result<(), Failure> {
    let public = addresses::public_ips(&config.public_ip, &config.listen.udp)?;
    let media = addresses::media_addresses(&public, &config.listen.udp)?;
    let certificate = certificate(&config, &public, dev)?;
    let listeners = listen::bind_all(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(format!("cannot start control's threads: {error}")))?;
    let identity = DtlsIdentity::generate().map_err(|error| Failure::Other(format!("cannot make a DTLS certificate: {error:?}")))?;
    let (engine, events) = Engine::start(engine_config(&config), Arc::new(identity)).map_err(engine_failure)?;
    let ended = runtime.block_on(serve(&config, dev, &engine, events, &media, certificate, listeners));
    engine.stop();
    runtime.shutdown_timeout(CLOSE_MAX);
    ended
}

fn certificate(config: &Config, public: &[IpAddr], dev: bool) -> Result<Option<Arc<Certificate>>, Failure> {
    let made = match (&config.tls.certificate, &config.tls.key) {
        (Some(certificate), Some(key)) => Certificate::from_files(certificate, key),
        _ if dev && !config.listen.tls.is_empty() => Certificate::self_signed(public),
        _ => return Ok(None),
    };
    made.map(|certificate| Some(Arc::new(certificate))).map_err(|error| Failure::Operator(error.to_string()))
}

fn engine_config(config: &Config) -> EngineConfig {
    EngineConfig { listen: config.listen.udp.clone(), shards: usize::from(config.engine.shards), ..EngineConfig::default() }
}

fn engine_failure(error: EngineError) -> Failure {
    match error {
        EngineError::AddressTaken(address) => {
            let kind = std::io::ErrorKind::AddrInUse;
            listen::bind_failure(&format!("{address}/udp"), "udp", &std::io::Error::from(kind).to_string(), kind)
        }
        EngineError::Bind { address, error } => listen::bind_failure(&format!("{address}/udp"), "udp", &error.to_string(), error.kind()),
        EngineError::NoListenAddress | EngineError::TooManyShards(_) => Failure::Operator(error.to_string()),
        EngineError::Socket { .. } | EngineError::System { .. } => Failure::Other(error.to_string()),
    }
}

async fn serve(
    config: &Config,
    dev: bool,
    engine: &Engine,
    events: Events,
    media: &[SocketAddr],
    certificate: Option<Arc<Certificate>>,
    listeners: Vec<Bound>,
) -> Result<(), Failure> {
    let not_started = |error: std::io::Error| Failure::Other(format!("cannot start: {error}"));
    let mut signals = signals::Signals::catch().map_err(not_started)?;
    let health = Arc::new(Health::default());
    let counters = Arc::new(Counters::default());
    let (close, closing) = watch::channel(false);

    let snapshots = engine.snapshots();
    let read = move || Reading { shards: snapshots.read() };
    let internal = operator_routes(Arc::clone(&health), Metrics::new(Arc::clone(&counters), read));
    let public = if config.http.metrics_everywhere { internal.clone() } else { Router::new() };
    let serving = Arc::new(Serving {
        internal: bounded(internal, config),
        public: bounded(public, config),
        certificate: certificate.clone(),
        counters: Arc::clone(&counters),
        connections_max: config.http.connections_max,
        handshakes_max: config.tls.handshakes_max,
        handshake_timeout: config.tls.handshake_timeout,
        header_timeout: config.http.header_timeout,
        closing,
    });
    tokio::spawn(follow(events));
    tracing::info!(addresses = ?media, "clients are sent here");
    for listener in listeners {
        tracing::info!(address = %listener.address, listener = listener.kind.key(), "listening");
        listener.serve(Arc::clone(&serving)).map_err(not_started)?;
    }
    tokio::spawn(health::watch(Arc::clone(&health), engine.snapshots()));
    health.set_started();
    let _ = sd_notify::notify(&[NotifyState::Ready]);
    announce(config, dev);

    signals.until_end(certificate.as_ref()).await;
    tracing::info!("stopping");
    health.set_draining();
    let _ = sd_notify::notify(&[NotifyState::Stopping]);
    let _ = close.send(true);
    let farewell = async {
        while ListenerKind::ALL.iter().any(|kind| counters.connections(*kind) > 0) {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    tokio::select! {
        _ = tokio::time::timeout(CLOSE_MAX, farewell) => {}
        // A second signal: now.
        () = signals.until_end(None) => {}
    }
    Ok(())
}

/// Takes what the shards report.
async fn follow(mut events: Events) {
    while let Some(event) = events.recv().await {
        tracing::debug!(?event, "media");
    }
}

/// Tells people at a terminal that it works, and where.
fn announce(config: &Config, dev: bool) {
    tracing::info!("ready");
    let Some(address) = config.listen.http.first().filter(|_| dev) else { return };
    println!("Pointsman is ready: open http://{address}/ in a browser, in more than one tab to have a call.");
    println!("This is the development mode: loopback only, no sign-in, throw-away keys. Ctrl-C ends it.");
}

/// `/metrics`, `/healthz`, `/readyz`.
fn operator_routes(health: Arc<Health>, metrics: Metrics) -> Router {
    let scrape = |State(metrics): State<Arc<Metrics>>| async move {
        match metrics.text() {
            Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    };
    Router::new().route("/metrics", get(scrape)).with_state(Arc::new(metrics)).merge(health::router(health))
}

/// Bounds a request's length and time. A WebSocket is answered at once and lives on outside of it.
fn bounded(routes: Router, config: &Config) -> Router {
    let limit = config.http.request_timeout;
    let give_up = move |request: Request, next: Next| async move {
        match tokio::time::timeout(limit, next.run(request)).await {
            Ok(response) => response,
            Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
        }
    };
    routes.layer(DefaultBodyLimit::max(config.http.body_bytes_max as usize)).layer(middleware::from_fn(give_up))
}

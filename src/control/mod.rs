//! Everything that is not a packet thread: start-up, listeners, TLS, health, and the wiring of the parts.
//!
//! Start-up binds every address before anything runs, so that a wrong one is told at once and nothing half works:
//! TCP listeners, then the engine with its UDP sockets, then signalling, then the listeners are served and systemd is told.

mod addresses;
mod alone;
mod health;
mod history_api;
mod listen;
mod media;
mod observer;
pub mod quality;
mod signals;
pub mod stats;
pub mod tls;
pub mod turn_api;
mod turn_clients;
pub mod users;
pub mod webhooks;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::IntoResponse;
use axum::routing::get;
use pointsman_sfu::transport::DtlsIdentity;
use pointsman_sfu::{Fingerprint, NegotiationConfig};
use pointsman_signal::Signal;
use pointsman_signal::media::Media;
use pointsman_signal::news::Observer;
use pointsman_signal::token::Keys;
use sd_notify::NotifyState;
use tokio::sync::watch;

use crate::config::Config;
use crate::engine::{DtlsConfig, Engine, EngineConfig, EngineError, Event, Events, Mailboxes, TurnEvent};
use crate::failure::Failure;
use crate::metrics::{self, Finished, Held, Metrics, Reading};
use crate::oidc::SignIn;
use crate::users::{self as user_database, Database};

use addresses::Addresses;
use alone::Alone;
pub use alone::{Relay, Role};
use health::Health;
use listen::{Bound, Serving};
use media::{IceServerConfig, Negotiations};
use observer::Books;
use stats::{Counters, ListenerKind};
use tls::Certificate;
use turn_api::TurnApi;
use turn_clients::TurnClients;
use users::Users;

/// Threads of control. Media never runs on them.
const CONTROL_THREADS: usize = 2;
/// Open requests and farewells have this long when the server stops.
const CLOSE_MAX: Duration = Duration::from_secs(2);
const FAREWELL_LOOK: Duration = Duration::from_millis(20);
/// How often shards whose mailboxes were full are tried again.
const FLUSH_INTERVAL: Duration = Duration::from_millis(100);

/// Runs the server until a signal ends it.
///
/// # Errors
/// What keeps it from starting.
pub fn run(config: Config, role: Role) -> Result<(), Failure> {
    let (dev, relay) = match role {
        Role::Conference { dev } => (dev, None),
        Role::Relay(relay) => (false, Some(relay)),
    };
    let addresses = Addresses::find(&config)?;
    let certificate = certificate(&config, &addresses.public, dev)?;
    let identity = DtlsIdentity::generate().map_err(|_| Failure::Other("cannot make a certificate for DTLS".to_owned()))?;
    let sign_in = sign_in(&config)?;
    let listeners = listen::bind_all(&config)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(CONTROL_THREADS)
        .thread_name("control")
        .enable_all()
        .build()
        .map_err(|error| Failure::Other(format!("cannot start control's threads: {error}")))?;
    let fingerprint = identity.fingerprint();
    let (engine, events) =
        Engine::start(engine_config(&config, &addresses, certificate.as_deref()), Arc::new(identity)).map_err(engine_failure)?;
    if relay.is_none() && !config.turn.has_credentials() {
        tracing::warn!("[turn] has neither users nor a shared_secret: TURN refuses everyone");
    }
    let relay = relay.map(Alone::begin).transpose()?;
    if relay.is_none() && config.keys.is_empty() {
        tracing::warn!("[keys] is empty: nobody can join a room");
    }
    let negotiations = Arc::new(negotiations(&config, &addresses, fingerprint, engine.mailboxes()));
    let counters = Arc::new(Counters::default());
    let books = {
        let _entered = runtime.enter();
        Arc::new(Books::open(&config, relay.is_none(), &counters)?)
    };
    let signal =
        Signal::observed(signal_config(&config, dev), Arc::clone(&negotiations) as Arc<dyn Media>, Arc::clone(&books) as Arc<dyn Observer>);
    books.set_rooms(signal.clone(), runtime.handle().clone());
    let finished = Arc::new(Finished::new(relay.as_ref().is_some_and(Alone::metrics_of_users)));
    let server = Server {
        config: &config,
        dev,
        alone: relay,
        engine: &engine,
        signal,
        sign_in,
        negotiations,
        certificate,
        finished,
        counters,
        books,
    };
    let ended = runtime.block_on(server.serve(events, listeners));
    engine.stop();
    runtime.shutdown_timeout(CLOSE_MAX);
    ended
}

fn certificate(config: &Config, public: &[IpAddr], dev: bool) -> Result<Option<Arc<Certificate>>, Failure> {
    let made = match Certificate::from_files(&config.tls) {
        Ok(None) if dev && !config.listen.tls.is_empty() => Certificate::self_signed(public).map(Some),
        made => made,
    };
    made.map(|certificate| certificate.map(Arc::new)).map_err(|error| Failure::Operator(error.to_string()))
}

fn engine_config(config: &Config, addresses: &Addresses, certificate: Option<&Certificate>) -> EngineConfig {
    let certificate = certificate.filter(|_| config.listen.dtls).and_then(Certificate::dtls);
    let mut listen = config.listen.udp.clone();
    if certificate.is_some() {
        // `turns:` over UDP is looked for where it is over TCP.
        listen.extend(config.listen.tls.iter().filter(|address| !config.listen.udp.contains(address)));
    }
    let mut turn = config.turn.server_config(&addresses.relay, &addresses.public, addresses.own(&config.listen.udp));
    // Relays reach no page and no administration.
    turn.peers.never.extend(config.listen.http.iter().chain(&config.listen.ctl));
    let user_database::Config { database, statistics, .. } = &config.turn.database;
    turn.peers.never.extend([database, statistics].into_iter().flatten().flat_map(Database::socket_addresses));
    // Metrics count allocations that have ended, and a Redis may be told of all.
    turn.notes = true;
    EngineConfig {
        listen,
        dtls: DtlsConfig { certificate, ..config.engine.dtls.clone() },
        sfu: config.sfu.clone(),
        turn,
        ..config.engine.clone()
    }
}

fn negotiations(config: &Config, addresses: &Addresses, fingerprint: Fingerprint, shards: Mailboxes) -> Negotiations<Mailboxes> {
    let negotiation = NegotiationConfig {
        publications_max: config.sfu.publications_per_participant_max,
        subscriptions_max: config.sfu.downtracks_per_participant_max,
        data_message_bytes_max: config.sfu.transport.data.message_bytes_max,
        ..NegotiationConfig::new(addresses.media.clone(), fingerprint)
    };
    let ice_servers = IceServerConfig {
        udp: addresses.media.clone(),
        tcp: addresses.reached(&config.listen.tcp),
        // A client compares the certificate with the name that it was told.
        tls: config.tls.host.iter().flat_map(|host| tls_ports(config).map(move |port| format!("{host}:{port}"))).collect(),
        shared_secret: config.turn.shared_secret(),
        lifetime: config.turn.credential_lifetime,
    };
    Negotiations::new(negotiation, ice_servers, config.sfu.participants_max, shards)
}

/// The ports of the TLS listeners, each once.
fn tls_ports(config: &Config) -> impl Iterator<Item = u16> {
    config.listen.tls.iter().map(SocketAddr::port).collect::<std::collections::BTreeSet<_>>().into_iter()
}

fn keys(config: &Config) -> Keys {
    config.keys.iter().map(|(name, secret)| (name.as_str(), secret.expose())).collect()
}

fn signal_config(config: &Config, dev: bool) -> pointsman_signal::Config {
    pointsman_signal::Config { keys: keys(config), dev_tokens: dev, ..config.signal.clone() }
}

/// `None` where no provider is configured.
fn sign_in(config: &Config) -> Result<Option<SignIn>, Failure> {
    let Some((key, secret)) = config.keys.first_key_value() else { return Ok(None) };
    SignIn::new(&config.oidc, config.sign_in_url(), keys(config), key, secret)
}

fn engine_failure(error: EngineError) -> Failure {
    match error {
        EngineError::AddressTaken(address) => {
            let kind = std::io::ErrorKind::AddrInUse;
            listen::bind_failure(&format!("{address}/udp"), "udp", &std::io::Error::from(kind).to_string(), kind)
        }
        EngineError::Bind { address, error } => listen::bind_failure(&format!("{address}/udp"), "udp", &error.to_string(), error.kind()),
        EngineError::TooManyShards(_) => Failure::Operator(error.to_string()),
        EngineError::Socket { .. } | EngineError::System { .. } => Failure::Other(error.to_string()),
    }
}

/// What runs until the end, on control's threads.
struct Server<'a> {
    config: &'a Config,
    dev: bool,
    /// A TURN server without rooms.
    alone: Option<Alone>,
    engine: &'a Engine,
    signal: Signal,
    sign_in: Option<SignIn>,
    negotiations: Arc<Negotiations<Mailboxes>>,
    certificate: Option<Arc<Certificate>>,
    /// Traffic of allocations that have ended.
    finished: Arc<Finished>,
    counters: Arc<Counters>,
    books: Arc<Books>,
}

impl Server<'_> {
    async fn serve(&self, events: Events, listeners: Vec<Bound>) -> Result<(), Failure> {
        let not_started = |error: std::io::Error| Failure::Other(format!("cannot start: {error}"));
        let mut signals = signals::Signals::catch().map_err(not_started)?;
        let health = Arc::new(Health::default());
        let counters = Arc::clone(&self.counters);
        let (close, closing) = watch::channel(false);
        let serving = Arc::new(self.serving(&health, &counters, closing));
        let users = Users::start(&self.config.turn.database, &self.config.turn.server.realm, self.engine.mailboxes(), &counters.users);
        tokio::spawn(follow(events, self.signal.clone(), Arc::clone(&self.negotiations), users, Arc::clone(&self.finished)));
        tokio::spawn(self.signal.clone().keep_time());
        let (books, snapshots) = (Arc::clone(&self.books), self.engine.snapshots());
        tokio::spawn(async move { books.watch_losses(snapshots).await });
        tokio::spawn(health::watch(Arc::clone(&health), self.engine.snapshots()));
        for listener in listeners {
            tracing::info!(address = %listener.address, listener = listener.kind.key(), "listening");
            listener.serve(Arc::clone(&serving)).map_err(not_started)?;
        }
        health.set_started();
        let _ = sd_notify::notify(&[NotifyState::Ready]);
        match &self.alone {
            None => {
                announce(self.config, self.dev);
                signals.until_end(self.certificate.as_ref()).await;
            }
            Some(alone) => {
                alone.announce(self.engine.mailboxes().shards());
                alone.until_end(&mut signals, self.certificate.as_ref(), self.engine, &health).await;
            }
        }
        tracing::info!("stopping");
        health.set_draining();
        let _ = sd_notify::notify(&[NotifyState::Stopping]);
        self.signal.close_all();
        let _ = close.send(true);
        let farewell = async {
            while ListenerKind::ALL.iter().any(|kind| counters.connections(*kind) > 0) {
                tokio::time::sleep(FAREWELL_LOOK).await;
            }
        };
        tokio::select! {
            _ = tokio::time::timeout(CLOSE_MAX, farewell) => {}
            // A second signal: now.
            () = signals.until_end(None) => {}
        }
        Ok(())
    }

    /// What everyone reaches.
    fn pages(&self) -> Router {
        let sign_in = self.sign_in.as_ref().map(SignIn::router).unwrap_or_default();
        self.signal.router().merge(sign_in)
    }

    fn serving(&self, health: &Arc<Health>, counters: &Arc<Counters>, closing: watch::Receiver<bool>) -> Serving {
        let Config { http, tls, .. } = self.config;
        let streams = &self.config.engine.streams;
        let (snapshots, signal, ledger) = (self.engine.snapshots(), self.signal.clone(), self.engine.ledger());
        let read = move || Reading { shards: snapshots.read(), rooms: signal.counts().rooms as u64, held: Held::read(&ledger) };
        let metrics = Metrics::new(Arc::clone(counters), Arc::clone(&self.finished), read);
        let path = self.alone.as_ref().map_or("/metrics", Alone::metrics_path);
        let keys: Arc<Keys> = Arc::new(keys(self.config));
        let api = TurnApi { shards: Box::new(self.engine.mailboxes()), ledger: self.engine.ledger(), keys: Keys::clone(&keys) };
        let (operator, api) = (operator_routes(Arc::clone(health), metrics, path), turn_api::router(api));
        let (internal, operators, public) = match &self.alone {
            // Scrapers reach the metrics, and they are no operators.
            Some(alone) => (operator.merge(alone::health_route()), api, alone.public_routes()),
            None => {
                let api = api.merge(self.signal.api_router()).merge(history_api::router(self.books.store(), Arc::clone(&keys)));
                let mut public = self.pages();
                let dashboard = self.signal.admin_router();
                let internal = public.clone().merge(operator.clone()).merge(api.clone()).merge(dashboard.clone());
                if http.metrics_everywhere {
                    public = public.merge(operator);
                }
                if http.api_everywhere {
                    public = public.merge(api.clone()).merge(dashboard);
                }
                (internal, api, public)
            }
        };
        Serving {
            internal: bounded(internal, http.request_timeout),
            operators: bounded(operators, http.request_timeout),
            public: Some(bounded(public, http.request_timeout)),
            turn: TurnClients::new(self.engine.mailboxes(), streams.connections_max, streams.connections_per_address_max),
            certificate: self.certificate.clone(),
            http_certificate: self.alone.as_ref().and_then(Alone::metrics_certificate),
            counters: Arc::clone(counters),
            connections_max: http.connections_max,
            handshakes_max: tls.handshakes_max,
            handshake_timeout: tls.handshake_timeout,
            header_timeout: http.header_timeout,
            closing,
        }
    }
}

/// Hands what the shards report to the rules of rooms, and gives the shards what they had no room for.
async fn follow(
    mut events: Events,
    signal: Signal,
    negotiations: Arc<Negotiations<Mailboxes>>,
    users: Users<Mailboxes>,
    finished: Arc<Finished>,
) {
    let mut flush = tokio::time::interval(FLUSH_INTERVAL);
    loop {
        tokio::select! {
            event = events.recv() => {
                match event {
                    Some(Event::Media { shard, event }) => {
                        tracing::debug!(shard = shard.0, ?event, "media");
                        if let Some(event) = media::media_event(&event) {
                            signal.handle_media_event(event);
                        }
                    }
                    Some(Event::Turn { shard, event }) => {
                        if let TurnEvent::Note { note, .. } = &event {
                            finished.note(note);
                        }
                        users.handle_event(shard, event);
                    }
                    None => return,
                }
            }
            _ = flush.tick() => negotiations.flush(),
        }
    }
}

/// Tells people at a terminal that it works, and where.
fn announce(config: &Config, dev: bool) {
    tracing::info!("ready");
    let Some(address) = config.listen.http.first().filter(|_| dev) else { return };
    println!("Pointsman is ready: open http://{address}/ in a browser, in more than one tab to have a call.");
    println!("This is the development mode: loopback only, no sign-in, throw-away keys. Ctrl-C ends it.");
}

/// Metrics, `/healthz`, `/readyz`.
fn operator_routes(health: Arc<Health>, metrics: Metrics, path: &str) -> Router {
    let scrape = |State(metrics): State<Arc<Metrics>>| async move {
        match metrics.text() {
            Ok(text) => ([(header::CONTENT_TYPE, metrics::CONTENT_TYPE)], text).into_response(),
            Err(_) => StatusCode::INTERNAL_SERVER_ERROR.into_response(),
        }
    };
    Router::new().route(path, get(scrape)).with_state(Arc::new(metrics)).merge(health::router(health))
}

/// Bounds a request's time. A WebSocket is answered at once and lives on outside of it.
fn bounded(routes: Router, limit: Duration) -> Router {
    let give_up = move |request: Request, next: Next| async move {
        match tokio::time::timeout(limit, next.run(request)).await {
            Ok(response) => response,
            Err(_) => StatusCode::REQUEST_TIMEOUT.into_response(),
        }
    };
    routes.layer(middleware::from_fn(give_up))
}

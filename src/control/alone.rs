//! A TURN server alone, as coturn is: no rooms, no page, and coturn's signals.

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::Path;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;

use super::health::Health;
use super::signals::{Signals, Told, reload};
use super::tls::Certificate;
use crate::config::Tls;
use crate::engine::{Engine, Snapshot, TurnCommand};
use crate::failure::Failure;
use crate::logging::Log;

/// How often a draining server counts its allocations. Shards tell their number once a second, so the first look is no sooner.
const DRAIN_LOOK: Duration = Duration::from_millis(1_500);

/// Which server the process is.
#[allow(clippy::large_enum_variant, reason = "there is one in a process")]
pub enum Role {
    /// Calls with everything that belongs to them.
    Conference {
        /// With throw-away keys, for trying it out.
        dev: bool,
    },
    /// A TURN server alone: neither rooms nor page; HTTP for metrics only.
    Relay(Relay),
}

/// What a TURN server alone is told besides its configuration.
pub struct Relay {
    /// Opened anew on SIGHUP.
    pub log: Arc<Log>,
    pub metrics_path: String,
    /// Metrics tell users apart.
    pub metrics_of_users: bool,
    /// Metrics are served over HTTPS with this certificate.
    pub metrics_tls: Option<Tls>,
    /// Where challenges of certificate authorities are answered: the beginning of an address.
    pub acme_redirect: Option<String>,
    /// A draining server ends when no more allocations are left.
    pub drain_min_allocations: u64,
    /// Called once every port is bound and every file is read: the time to give up rights.
    pub bound: Box<dyn FnOnce() -> Result<(), Failure>>,
}

/// The same once it runs.
pub struct Alone {
    log: Arc<Log>,
    metrics_path: String,
    metrics_of_users: bool,
    metrics_certificate: Option<Arc<Certificate>>,
    acme_redirect: Option<String>,
    drain_min_allocations: u64,
}

impl Alone {
    /// Every port is bound.
    ///
    /// # Errors
    /// When a certificate cannot be read, or rights cannot be given up.
    pub fn begin(relay: Relay) -> Result<Self, Failure> {
        let Relay { log, metrics_path, metrics_of_users, metrics_tls, acme_redirect, drain_min_allocations, bound } = relay;
        let read = |tls: &Tls| Certificate::from_files(tls).map_err(|error| Failure::Operator(error.to_string()));
        let metrics_certificate = metrics_tls.as_ref().map(read).transpose()?.flatten().map(Arc::new);
        bound()?;
        Ok(Self { log, metrics_path, metrics_of_users, metrics_certificate, acme_redirect, drain_min_allocations })
    }

    /// What metrics are served with; `None`: in the clear.
    pub fn metrics_certificate(&self) -> Option<Arc<Certificate>> {
        self.metrics_certificate.clone()
    }

    /// HTTP on the TURN ports: where coturn has pages for its administration.
    pub fn public_routes(&self) -> Router {
        let pages = Router::new().fallback(|| async {
            (
                StatusCode::NOT_FOUND,
                "This is a TURN server. Users are administered with turnadmin, allocations with `pointsman ctl turn`.\n",
            )
        });
        let Some(to) = self.acme_redirect.clone() else { return pages };
        let redirect = move |Path(token): Path<String>| {
            // What authorities ask for (RFC 8555 section 8.3); nothing else gets into the answer's header.
            let is_token = token.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_'));
            let answer = if is_token {
                (StatusCode::MOVED_PERMANENTLY, [(header::LOCATION, format!("{to}{token}"))]).into_response()
            } else {
                StatusCode::NOT_FOUND.into_response()
            };
            async move { answer }
        };
        pages.route("/.well-known/acme-challenge/{token}", get(redirect))
    }

    pub fn metrics_path(&self) -> &str {
        &self.metrics_path
    }

    pub fn metrics_of_users(&self) -> bool {
        self.metrics_of_users
    }

    /// The second line is what scripts wait for that were written for coturn.
    pub fn announce(&self, shards: usize) {
        tracing::info!("ready");
        tracing::info!("Total auth threads: {shards}");
    }

    /// Returns on SIGTERM or SIGINT, or when a server that SIGUSR1 told to drain has few enough allocations.
    pub async fn until_end(&self, signals: &mut Signals, certificate: Option<&Arc<Certificate>>, engine: &Engine, health: &Health) {
        let mut draining = false;
        loop {
            tokio::select! {
                told = signals.next() => match told {
                    Told::End => return,
                    Told::Hangup => {
                        self.log.reopen();
                        tracing::info!("log opened anew");
                    }
                    Told::User2 => {
                        reload(certificate);
                        if self.metrics_certificate.is_some() {
                            reload(self.metrics_certificate.as_ref());
                        }
                    }
                    Told::User1 => {
                        // A mailbox that is full is tried again with the next signal; the operator sees that nothing was logged.
                        if engine.mailboxes().send_turn_to_all(&TurnCommand::Drain).is_ok() {
                            // Load balancers look elsewhere.
                            health.set_draining();
                            tracing::info!("draining: no new allocations; the server ends when those that there are have ended");
                            draining = true;
                        }
                    }
                },
                () = tokio::time::sleep(DRAIN_LOOK), if draining => {
                    let left: u64 = engine.snapshots().read().iter().map(allocations).sum();
                    if left <= self.drain_min_allocations {
                        tracing::info!(left, "drained");
                        return;
                    }
                }
            }
        }
    }
}

fn allocations(shard: &Snapshot) -> u64 {
    shard.turn.allocations_by_protocol.iter().sum()
}

/// coturn answers health checks on the port of its metrics.
pub fn health_route() -> Router {
    Router::new().route("/", get(|| async { "ok\n" }))
}

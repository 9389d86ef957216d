//! Tells applications what happens: each event is posted to every `[webhooks]` URL, signed, until it is taken or given up.
//!
//! ```text
//!  rules ──News──▶ Webhooks ──queue per target──▶ a thread per target ──POST──▶ application
//!                  (never waits: a full queue loses the event and counts it)
//! ```
//! A target's events arrive in their order, so one that fails holds back those behind it, of this target alone. Names of events and
//! fields are those of LiveKit's webhooks, so that the receivers that exist for them work.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pointsman_signal::token::Keys;
use ureq::tls::RootCerts;

use crate::failure::Failure;
use crate::outbound;

pub mod event;
#[cfg(test)]
mod tests;

/// Pauses grow up to this.
const PAUSE_MAX: Duration = Duration::from_secs(60);
/// Threads and queues are per target.
pub const URLS_MAX: usize = 16;

/// What an operator decides about webhooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where events are posted. None: nowhere.
    pub urls: Vec<String>,
    /// Which of `[keys]` signs; `None`: the alphabetically first.
    pub key: Option<String>,
    /// PEM file with the authorities that targets' certificates are checked with; `None`: Mozilla's.
    pub authorities: Option<PathBuf>,
    /// Events that wait for one target; further ones are lost and counted.
    pub queue_max: usize,
    /// A target that has not answered by then has failed.
    pub timeout: Duration,
    /// Pause after the first failure. It doubles each time, up to a minute.
    pub retry_first: Duration,
    /// An event that was not taken by then is given up.
    pub retry: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            urls: Vec::new(),
            key: None,
            authorities: None,
            queue_max: 1_000,
            timeout: Duration::from_secs(10),
            retry_first: Duration::from_secs(1),
            retry: Duration::from_secs(600),
        }
    }
}

/// What came of events, over all targets.
#[derive(Debug, Default)]
pub struct Counters {
    delivered: AtomicU64,
    failed: AtomicU64,
    lost: AtomicU64,
}

impl Counters {
    /// `delivered`: taken by a target; `failed`: attempts that were not; `lost`: given up, refused, or the queue was full.
    pub fn outcomes(&self) -> [(&'static str, u64); 3] {
        let of = |counter: &AtomicU64| counter.load(Ordering::Relaxed);
        [("delivered", of(&self.delivered)), ("failed", of(&self.failed)), ("lost", of(&self.lost))]
    }
}

/// The way to all targets. Ends its threads when it is dropped, once they have tried what waits.
pub struct Webhooks {
    targets: Vec<SyncSender<Arc<str>>>,
    counters: Arc<Counters>,
}

impl Webhooks {
    /// # Errors
    /// A key that is not there, or a file of authorities that cannot be read.
    pub fn start(config: &Config, keys: &Keys, counters: &Arc<Counters>) -> Result<Self, Failure> {
        let mut targets = Vec::new();
        if !config.urls.is_empty() {
            let key = config.key.as_deref().or(keys.first());
            let key =
                key.ok_or_else(|| Failure::Operator("[webhooks] has `urls`, but there is no key in [keys] to sign with".to_owned()))?;
            let roots = outbound::authorities(config.authorities.as_deref());
            let roots = roots.map_err(|why| Failure::Operator(format!("[webhooks] {why}")))?;
            for (number, url) in config.urls.iter().take(URLS_MAX).enumerate() {
                let (to_target, queue) = sync_channel(config.queue_max.max(1));
                let target = Target::new(config, url, key, keys.clone(), roots.clone(), Arc::clone(counters));
                let started = std::thread::Builder::new().name(format!("webhook-{number}")).spawn(move || target.run(&queue));
                started.map_err(|error| Failure::Other(format!("cannot start a thread for a webhook: {error}")))?;
                targets.push(to_target);
            }
        }
        Ok(Self { targets, counters: Arc::clone(counters) })
    }

    /// Whether anybody is told.
    pub fn is_empty(&self) -> bool {
        self.targets.is_empty()
    }

    /// Queues an event for every target.
    pub fn post(&self, body: &str) {
        let body: Arc<str> = body.into();
        for target in &self.targets {
            match target.try_send(Arc::clone(&body)) {
                Ok(()) => {}
                Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {
                    self.counters.lost.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

/// One URL.
struct Target {
    agent: ureq::Agent,
    url: String,
    /// Without path, query and password, which may be secrets.
    shown: String,
    key: String,
    keys: Keys,
    retry_first: Duration,
    retry: Duration,
    counters: Arc<Counters>,
}

/// Why an attempt failed.
enum Failed {
    /// It may go better next time.
    Now(String),
    /// The target does not want it.
    Refused(String),
}

impl Target {
    fn new(config: &Config, url: &str, key: &str, keys: Keys, roots: RootCerts, counters: Arc<Counters>) -> Self {
        let agent = outbound::agent(config.timeout, roots).build();
        let (retry_first, retry) = (config.retry_first, config.retry);
        Self { agent: agent.into(), url: url.to_owned(), shown: shown(url), key: key.to_owned(), keys, retry_first, retry, counters }
    }

    fn run(&self, queue: &Receiver<Arc<str>>) {
        // One line for an outage, however many events it meets.
        let mut away = false;
        while let Ok(body) = queue.recv() {
            let outcome = self.deliver(&body, &mut away);
            let counter = if outcome.is_ok() { &self.counters.delivered } else { &self.counters.lost };
            counter.fetch_add(1, Ordering::Relaxed);
            match outcome {
                Ok(()) if away => {
                    away = false;
                    tracing::info!(target = self.shown, "webhooks are taken again");
                }
                Ok(()) => {}
                Err(why) => tracing::warn!(target = self.shown, why, "webhook given up"),
            }
        }
    }

    /// Tries until it is taken, or long enough.
    fn deliver(&self, body: &str, away: &mut bool) -> Result<(), String> {
        let began = Instant::now();
        let mut pause = self.retry_first;
        loop {
            let why = match self.attempt(body) {
                Ok(()) => return Ok(()),
                Err(Failed::Refused(why)) => {
                    self.counters.failed.fetch_add(1, Ordering::Relaxed);
                    return Err(why);
                }
                Err(Failed::Now(why)) => why,
            };
            self.counters.failed.fetch_add(1, Ordering::Relaxed);
            if !std::mem::replace(away, true) {
                tracing::warn!(target = self.shown, why, "webhook failed; it is tried again");
            }
            let wait = jittered(pause);
            if began.elapsed() + wait > self.retry {
                return Err(why);
            }
            std::thread::sleep(wait);
            pause = (pause * 2).min(PAUSE_MAX);
        }
    }

    fn attempt(&self, body: &str) -> Result<(), Failed> {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let hash = STANDARD.encode(digest::digest(&digest::SHA256, body.as_bytes()));
        let token = self.keys.sign_body(&self.key, &hash, now.as_secs()).map_err(|error| Failed::Refused(error.to_string()))?;
        let request = self.agent.post(&self.url).header("content-type", "application/webhook+json").header("authorization", token);
        let response = request.send(body).map_err(|error| Failed::Now(outbound::reason(&error)))?;
        let status = response.status();
        match status.as_u16() {
            200..=299 => Ok(()),
            // Too slow, too early, too many (RFC 9110 section 15.5.9, RFC 8470 section 5.2, RFC 6585 section 4).
            408 | 425 | 429 => Err(Failed::Now(format!("status {status}"))),
            300..=499 => Err(Failed::Refused(format!("status {status}"))),
            _ => Err(Failed::Now(format!("status {status}"))),
        }
    }
}

/// Half of the pause, and a random part of the other half: targets of many servers are not all asked at once when they are back.
fn jittered(pause: Duration) -> Duration {
    let mut byte = [0];
    let _ = aws_lc_rs::rand::fill(&mut byte);
    let [random] = byte;
    pause / 2 + pause * u32::from(random) / 512
}

fn shown(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit('@').next().unwrap_or_default();
    format!("{scheme}://{host}")
}

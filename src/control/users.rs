//! The user database's place beside the shards: looks users up for them, and keeps their rules as the database has them.
//!
//! ```text
//! shard ──TurnEvent::LookupKey──► Users ──► Store ──► TurnCommand::Key ──► that shard
//!                          every 5 s        Store ──► TurnCommand::Rules ─► all shards, when they changed
//! shard ──TurnEvent::Note───────► Users ──► Redis (statistics)
//! ```
//! Shards never wait: a question that cannot be answered in time is answered with "not to be had", and a database that is away keeps
//! the rules that were read last.

mod rules;
mod statistics;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use pointsman_turn::{KeyAnswer, LookupId, Rules};
use pointsman_wire::net::ShardId;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio::time::timeout;

use crate::engine::{Busy, Letter, Mailboxes, TurnCommand, TurnEvent};
use crate::users::{Config, Store};

use rules::Reader;

/// Pauses between attempts to reach a database that is away: the first, and the longest.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(15);
/// A shard whose mailbox is full is tried so often, in this rhythm.
const DELIVERY_TRIES: u32 = 20;
const DELIVERY_PAUSE: Duration = Duration::from_millis(50);

/// Where commands go: the engine's mailboxes; a list in tests.
pub trait Shards: Clone + Send + Sync + 'static {
    fn send_to(&self, shard: ShardId, command: TurnCommand) -> Result<(), Busy>;
    fn send_to_all(&self, command: &TurnCommand) -> Result<(), Busy>;
}

impl Shards for Mailboxes {
    fn send_to(&self, shard: ShardId, command: TurnCommand) -> Result<(), Busy> {
        Mailboxes::send_to(self, shard, Letter::Turn(command))
    }

    fn send_to_all(&self, command: &TurnCommand) -> Result<(), Busy> {
        self.send_turn_to_all(command)
    }
}

/// What became of the shards' questions and notes.
#[derive(Debug, Default)]
pub struct Counters {
    found: AtomicU64,
    unknown: AtomicU64,
    unavailable: AtomicU64,
    notes_lost: AtomicU64,
}

impl Counters {
    /// Questions by their answer. `unavailable`: no database, away, too slow, or too many questions at a time.
    pub fn answers(&self) -> [(&'static str, u64); 3] {
        [("found", &self.found), ("unknown", &self.unknown), ("unavailable", &self.unavailable)]
            .map(|(name, count)| (name, count.load(Ordering::Relaxed)))
    }

    /// Notes that no Redis took.
    pub fn notes_lost(&self) -> u64 {
        self.notes_lost.load(Ordering::Relaxed)
    }
}

/// Takes what shards say about users. Cloning is cheap.
#[derive(Clone)]
pub struct Users<S> {
    lookups: Option<mpsc::Sender<Lookup>>,
    notes: Option<mpsc::Sender<statistics::Told>>,
    shards: S,
    counters: Arc<Counters>,
}

/// A shard's question.
struct Lookup {
    shard: ShardId,
    lookup: LookupId,
    realm: Box<str>,
    username: Box<[u8]>,
}

/// What those who use one database know of it.
struct Health {
    /// The last attempt failed: nobody needs to wait for the next.
    away: AtomicBool,
    /// Somebody found it away.
    failed: Notify,
}

impl<S: Shards> Users<S> {
    /// Begins to serve. `realm` is the default one. Needs a tokio runtime, and ends with it.
    pub fn start(config: &Config, realm: &str, shards: S, counters: &Arc<Counters>) -> Self {
        let mut users = Self { lookups: None, notes: None, shards: shards.clone(), counters: Arc::clone(counters) };
        if let Some(database) = &config.database {
            tracing::info!(%database, "users are looked up in a database");
            let store = Store::new(database);
            let health = Arc::new(Health { away: AtomicBool::new(true), failed: Notify::new() });
            let reader = Reader::new(store.clone(), config, realm);
            tokio::spawn(keep_rules(reader, config.interval, shards.clone(), Arc::clone(&health)));
            let (sender, receiver) = mpsc::channel(config.waiting_max.max(1));
            let desk = Desk { store, health, shards, counters: Arc::clone(counters), lookup_timeout: config.lookup_timeout };
            tokio::spawn(desk.serve(receiver, config.lookups_max));
            users.lookups = Some(sender);
        }
        users.notes = config.statistics.as_ref().map(|database| statistics::start(database, config.statistics_waiting_max, counters));
        users
    }

    /// Takes an event of a shard. Never waits.
    pub fn handle_event(&self, shard: ShardId, event: TurnEvent) {
        match event {
            TurnEvent::LookupKey { lookup, realm, username } => {
                let question = Lookup { shard, lookup, realm, username };
                if self.lookups.as_ref().is_none_or(|lookups| lookups.try_send(question).is_err()) {
                    self.counters.unavailable.fetch_add(1, Ordering::Relaxed);
                    // A shard that cannot take it gives the question up by itself.
                    let _ = self.shards.send_to(shard, TurnCommand::Key { lookup, answer: KeyAnswer::Unavailable });
                }
            }
            TurnEvent::Note { note, encryption } => {
                if self.notes.as_ref().is_some_and(|notes| notes.try_send((note, encryption)).is_err()) {
                    self.counters.notes_lost.fetch_add(1, Ordering::Relaxed);
                }
            }
        }
    }
}

/// Answers lookups.
struct Desk<S> {
    store: Store,
    health: Arc<Health>,
    shards: S,
    counters: Arc<Counters>,
    lookup_timeout: Duration,
}

impl<S: Shards> Desk<S> {
    async fn serve(self, mut lookups: mpsc::Receiver<Lookup>, lookups_max: usize) {
        let places = Arc::new(Semaphore::new(lookups_max.max(1)));
        let desk = Arc::new(self);
        while let Some(lookup) = lookups.recv().await {
            let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
            let desk = Arc::clone(&desk);
            tokio::spawn(async move {
                let answer = desk.look_up(&lookup).await;
                desk.answer(&lookup, answer).await;
                drop(place);
            });
        }
    }

    async fn look_up(&self, lookup: &Lookup) -> KeyAnswer {
        // Databases keep text: other bytes are nobody's name.
        let Ok(name) = std::str::from_utf8(&lookup.username) else { return KeyAnswer::Unknown };
        if self.health.away.load(Ordering::Relaxed) {
            return KeyAnswer::Unavailable;
        }
        match timeout(self.lookup_timeout, self.store.user_key(&lookup.realm, name)).await {
            Ok(Ok(Some(key))) => KeyAnswer::Key(key.0),
            Ok(Ok(None)) => KeyAnswer::Unknown,
            Ok(Err(error)) => {
                if error.is_away() {
                    self.health.failed.notify_one();
                } else {
                    tracing::warn!(%error, "a user cannot be looked up");
                }
                KeyAnswer::Unavailable
            }
            Err(_) => {
                self.health.failed.notify_one();
                KeyAnswer::Unavailable
            }
        }
    }

    async fn answer(&self, lookup: &Lookup, answer: KeyAnswer) {
        let counter = match answer {
            KeyAnswer::Key(_) => &self.counters.found,
            KeyAnswer::Unknown => &self.counters.unknown,
            KeyAnswer::Unavailable => &self.counters.unavailable,
        };
        counter.fetch_add(1, Ordering::Relaxed);
        for _ in 0..DELIVERY_TRIES {
            if self.shards.send_to(lookup.shard, TurnCommand::Key { lookup: lookup.lookup, answer }).is_ok() {
                return;
            }
            tokio::time::sleep(DELIVERY_PAUSE).await;
        }
    }
}

/// Reads the rules again and again, and sends them when they changed.
async fn keep_rules<S: Shards>(mut reader: Reader, interval: Duration, shards: S, health: Arc<Health>) {
    let mut sent = Arc::new(Rules::default());
    let mut retry = RETRY_FIRST;
    let mut told = false;
    loop {
        let away = health.away.load(Ordering::Relaxed);
        let pause = match reader.read(away).await {
            Ok(rules) => {
                health.away.store(false, Ordering::Relaxed);
                if told {
                    tracing::info!("the user database is back");
                }
                (told, retry) = (false, RETRY_FIRST);
                if rules != *sent {
                    let rules = Arc::new(rules);
                    if shards.send_to_all(&TurnCommand::Rules(Arc::clone(&rules))).is_ok() {
                        sent = rules;
                    }
                }
                interval
            }
            Err(error) => {
                health.away.store(true, Ordering::Relaxed);
                if !told {
                    tracing::error!(%error, "users cannot be looked up; those who are known keep going");
                }
                told = true;
                let pause = retry;
                retry = (retry * 2).min(RETRY_MAX);
                pause
            }
        };
        // A failed lookup while all seemed well: look now. While it is away, lookups do not get so far.
        let _ = timeout(pause, health.failed.notified()).await;
    }
}

//! Takes entries from the rules without ever waiting, and brings them to the database a batch at a time.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::mpsc::{self, Receiver, Sender};

use super::{Config, Entry, Store};

/// Entries of one transaction.
const BATCH_MAX: usize = 500;
/// An entry waits this long for others to share its transaction.
const GATHER: Duration = Duration::from_secs(1);
/// A database that failed is left alone for this long.
const PAUSE: Duration = Duration::from_secs(5);
const PRUNE_INTERVAL: Duration = Duration::from_secs(3_600);

/// What became of entries.
#[derive(Debug, Default)]
pub struct Counters {
    kept: AtomicU64,
    lost: AtomicU64,
    /// The database does not take anything now.
    away: AtomicBool,
}

impl Counters {
    pub fn outcomes(&self) -> [(&'static str, u64); 2] {
        [("kept", self.kept.load(Ordering::Relaxed)), ("lost", self.lost.load(Ordering::Relaxed))]
    }

    pub fn is_away(&self) -> bool {
        self.away.load(Ordering::Relaxed)
    }
}

/// The way to the database.
#[derive(Clone)]
pub struct Writer {
    queue: Sender<Entry>,
    counters: Arc<Counters>,
}

impl Writer {
    /// Starts the task that writes. Needs a tokio runtime.
    pub fn start(store: Store, config: &Config, counters: &Arc<Counters>) -> Self {
        let (queue, entries) = mpsc::channel(config.queue_max.max(1));
        let writing = Writing { store, config: config.clone(), counters: Arc::clone(counters), ready: false };
        tokio::spawn(writing.run(entries));
        Self { queue, counters: Arc::clone(counters) }
    }

    /// Never waits: what has no place is lost and counted.
    pub fn keep(&self, entry: Entry) {
        if self.queue.try_send(entry).is_err() {
            self.counters.lost.fetch_add(1, Ordering::Relaxed);
        }
    }
}

struct Writing {
    store: Store,
    config: Config,
    counters: Arc<Counters>,
    /// The tables are there.
    ready: bool,
}

impl Writing {
    async fn run(mut self, mut entries: Receiver<Entry>) {
        let mut batch = Vec::new();
        let mut prune = tokio::time::interval(PRUNE_INTERVAL);
        loop {
            tokio::select! {
                count = entries.recv_many(&mut batch, BATCH_MAX) => {
                    if count == 0 {
                        return;
                    }
                    tokio::time::sleep(GATHER).await;
                    while batch.len() < BATCH_MAX && let Ok(entry) = entries.try_recv() {
                        batch.push(entry);
                    }
                    self.write_all(&batch).await;
                    batch.clear();
                }
                _ = prune.tick() => {
                    let pruned = async {
                        self.prepare().await?;
                        self.store.prune(&self.config, now_ms()).await
                    };
                    let outcome = pruned.await;
                    self.note(&outcome);
                }
            }
        }
    }

    /// Until the database has taken the batch: meanwhile the queue fills, and what has no place in it is lost.
    async fn write_all(&mut self, batch: &[Entry]) {
        loop {
            let written = async {
                self.prepare().await?;
                self.store.write(batch).await
            };
            let outcome = written.await;
            self.note(&outcome);
            match outcome {
                Ok(()) => {
                    self.counters.kept.fetch_add(batch.len() as u64, Ordering::Relaxed);
                    return;
                }
                Err(_) => tokio::time::sleep(PAUSE).await,
            }
        }
    }

    async fn prepare(&mut self) -> Result<(), crate::users::Error> {
        if !self.ready {
            self.store.migrate().await?;
            self.ready = true;
        }
        Ok(())
    }

    /// One line when it stops working, one when it works again.
    fn note(&self, outcome: &Result<(), crate::users::Error>) {
        let away = outcome.is_err();
        if self.counters.away.swap(away, Ordering::Relaxed) == away {
            return;
        }
        match outcome {
            Err(error) => tracing::error!(%error, "history and quality are not kept; calls go on"),
            Ok(()) => tracing::info!(lost = self.counters.lost.load(Ordering::Relaxed), "history and quality are kept again"),
        }
    }
}

pub(crate) fn now_ms() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
}

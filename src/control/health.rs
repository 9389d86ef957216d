//! Whether the server lives and takes clients: `/healthz`, `/readyz`, and systemd's watchdog.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use axum::Router;
use axum::extract::State;
use axum::http::StatusCode;
use axum::routing::get;
use sd_notify::NotifyState;

use crate::engine::Snapshots;

/// A shard publishes its counters once a second, also when idle. Silent for so long, it hangs.
const SHARD_SILENCE_MAX: Duration = Duration::from_secs(5);
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

#[derive(Debug, Default)]
pub struct Health {
    started: AtomicBool,
    draining: AtomicBool,
    /// A shard has not turned for too long.
    stuck: AtomicBool,
}

impl Health {
    /// Everything listens: clients may come.
    pub fn set_started(&self) {
        self.started.store(true, Ordering::Relaxed);
    }

    /// No new clients, please.
    pub fn set_draining(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    fn live(&self) -> (StatusCode, &'static str) {
        if self.stuck.load(Ordering::Relaxed) {
            return (StatusCode::SERVICE_UNAVAILABLE, "a shard does not turn\n");
        }
        (StatusCode::OK, "alive\n")
    }

    fn ready(&self) -> (StatusCode, &'static str) {
        if !self.started.load(Ordering::Relaxed) {
            return (StatusCode::SERVICE_UNAVAILABLE, "starting\n");
        }
        if self.draining.load(Ordering::Relaxed) {
            return (StatusCode::SERVICE_UNAVAILABLE, "draining\n");
        }
        match self.live() {
            (StatusCode::OK, _) => (StatusCode::OK, "ready\n"),
            stuck => stuck,
        }
    }
}

pub fn router(health: Arc<Health>) -> Router {
    Router::new()
        .route("/healthz", get(|State(health): State<Arc<Health>>| async move { health.live() }))
        .route("/readyz", get(|State(health): State<Arc<Health>>| async move { health.ready() }))
        .with_state(health)
}

/// Watches the shards, and tells systemd that we live as long as all of them turn.
pub async fn watch(health: Arc<Health>, snapshots: Snapshots) {
    let mut watch = Progress::new(Instant::now());
    let mut look = tokio::time::interval(LOOK_INTERVAL);
    let watchdog = sd_notify::watchdog_enabled();
    // Half of what systemd allows, as sd_watchdog_enabled(3) recommends.
    let ping_interval = watchdog.map(|limit| limit / 2);
    let mut pinged: Option<Instant> = None;
    loop {
        look.tick().await;
        let now = Instant::now();
        let turns = snapshots.read().into_iter().map(|snapshot| snapshot.engine.turns);
        let stuck = watch.stuck(now, turns);
        if stuck != health.stuck.swap(stuck, Ordering::Relaxed) {
            match stuck {
                true => tracing::error!("a shard has not turned for {} s", SHARD_SILENCE_MAX.as_secs()),
                false => tracing::info!("all shards turn again"),
            }
        }
        let due = ping_interval.is_some_and(|interval| pinged.is_none_or(|at| now.duration_since(at) + LOOK_INTERVAL > interval));
        if due && !stuck {
            pinged = Some(now);
            let _ = sd_notify::notify(&[NotifyState::Watchdog]);
        }
    }
}

/// When each shard was last seen to have turned.
struct Progress {
    start: Instant,
    shards: Vec<(u64, Instant)>,
}

impl Progress {
    fn new(start: Instant) -> Self {
        Self { start, shards: Vec::new() }
    }

    fn stuck(&mut self, now: Instant, turns: impl Iterator<Item = u64>) -> bool {
        let mut stuck = false;
        for (at, turns) in turns.enumerate() {
            if self.shards.len() <= at {
                self.shards.push((turns, self.start));
            }
            let Some(seen) = self.shards.get_mut(at) else { continue };
            if seen.0 != turns {
                *seen = (turns, now);
            }
            stuck |= now.duration_since(seen.1) > SHARD_SILENCE_MAX;
        }
        stuck
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_shard_that_stands_still_is_noticed_and_forgiven() {
        let start = Instant::now();
        let mut progress = Progress::new(start);
        for s in 1..=8 {
            let stuck = progress.stuck(start + Duration::from_secs(s), [s, 7].into_iter());
            // The second shard was last seen to turn at second 0: one report is no progress.
            assert_eq!(stuck, s > 5, "second {s}");
        }
        assert!(!progress.stuck(start + Duration::from_secs(9), [9, 8].into_iter()));
    }

    #[test]
    fn readiness_follows_start_and_drain() {
        let health = Health::default();
        assert_eq!(health.ready().0, StatusCode::SERVICE_UNAVAILABLE);
        health.set_started();
        assert_eq!(health.ready().0, StatusCode::OK);
        health.set_draining();
        assert_eq!(health.ready().0, StatusCode::SERVICE_UNAVAILABLE);
        assert_eq!(health.live().0, StatusCode::OK, "a draining server lives");
    }
}

//! Keeps books of what happens in rooms: webhooks for applications, history and quality for the database.

use std::path::Path;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use pointsman_signal::news::{News, Observer, Record, Sample, Scores, What};
use pointsman_signal::{ChatInfo, Signal};
use serde_json::Value;
use tokio::runtime::Handle;

use super::quality;
use super::stats::Counters;
use super::webhooks::{Webhooks, event};
use crate::config::Config;
use crate::engine::{DropReason, Snapshot, Snapshots};
use crate::failure::Failure;
use crate::store::{self, Entry, Filter, History, PAGE_MAX, PATH_DEFAULT, Store, Writer};
use crate::users::Database;

/// All books. What is not kept costs nothing.
pub struct Books {
    webhooks: Webhooks,
    history: Option<(Store, Writer)>,
    chat_restored_max: usize,
    /// Who takes back what was said before, and the runtime for asking: the rules call from wherever they are called.
    rooms: OnceLock<(Signal, Handle)>,
    losses: Losses,
    quality: Arc<quality::Counters>,
}

/// Datagrams lost in this host lately, in millionths: in the kernel's receive buffers, and in the engine.
#[derive(Default)]
struct Losses {
    kernel_ppm: AtomicU32,
    engine_ppm: AtomicU32,
}

/// How often losses are looked at: as often as clients tell theirs.
const LOSS_INTERVAL: Duration = Duration::from_secs(5);

impl Books {
    /// `rooms`: whether there are any, as opposed to a TURN server alone. Needs a tokio runtime.
    ///
    /// # Errors
    /// What an operator must set right. A database that is away is not among it: it may come back.
    pub fn open(config: &Config, rooms: bool, counters: &Counters) -> Result<Self, Failure> {
        let webhooks = Webhooks::start(&config.webhooks, &super::keys(config), &counters.webhooks)?;
        let store = database(config).filter(|_| rooms).as_ref().and_then(Store::new);
        if rooms && store.is_none() {
            tracing::info!("no history is kept: [history] names no database, and there is no folder {PATH_DEFAULT} could be in");
        }
        let history = store.map(|store| {
            let writer = Writer::start(store.clone(), &config.history, &counters.history);
            (store, writer)
        });
        Ok(Self {
            webhooks,
            history,
            chat_restored_max: config.history.chat_restored_max,
            rooms: OnceLock::new(),
            losses: Losses::default(),
            quality: Arc::clone(&counters.quality),
        })
    }

    /// To be told once, before anybody comes in.
    pub fn set_rooms(&self, signal: Signal, runtime: Handle) {
        let _ = self.rooms.set((signal, runtime));
    }

    pub fn store(&self) -> Option<Store> {
        self.history.as_ref().map(|(store, _)| store.clone())
    }

    pub fn keep(&self, entry: Entry) {
        if let Some((_, writer)) = &self.history {
            writer.keep(entry);
        }
    }

    /// Follows what this host itself loses, for the samples.
    pub async fn watch_losses(&self, snapshots: Snapshots) {
        let mut before = Passed::default();
        let mut look = tokio::time::interval(LOSS_INTERVAL);
        loop {
            look.tick().await;
            let now = Passed::of(&snapshots.read());
            self.losses
                .kernel_ppm
                .store(ppm(now.kernel_drops - before.kernel_drops, now.packets_in - before.packets_in), Ordering::Relaxed);
            self.losses
                .engine_ppm
                .store(ppm(now.engine_drops - before.engine_drops, now.packets_out - before.packets_out), Ordering::Relaxed);
            before = now;
        }
    }

    /// A room has begun: what was said in it when it was there before.
    fn restore_chat(&self, room: &str) {
        let (Some((signal, runtime)), Some(store)) = (self.rooms.get(), self.store()) else { return };
        if self.chat_restored_max == 0 {
            return;
        }
        let (signal, room, max) = (signal.clone(), room.to_owned(), self.chat_restored_max);
        runtime.spawn(async move {
            let filter = Filter { room: Some(room.clone()), ..Filter::default() };
            match store.latest(&filter, PAGE_MAX).await {
                Ok(entries) => signal.restore_chat(&room, chat(entries, max)),
                Err(error) => tracing::warn!(%error, "what was said before could not be read"),
            }
        });
    }

    fn post(&self, event: impl FnOnce(&str, u64) -> String) {
        if self.webhooks.is_empty() {
            return;
        }
        let mut id = [0; 12];
        let _ = aws_lc_rs::rand::fill(&mut id);
        let id: String = id.iter().map(|byte| format!("{byte:02x}")).collect();
        self.webhooks.post(&event(&format!("EV_{id}"), crate::store::now_ms() / 1_000));
    }
}

fn database(config: &Config) -> Option<Database> {
    let path = Path::new(PATH_DEFAULT);
    config.history.database.clone().or_else(|| path.parent()?.is_dir().then(|| Database::Sqlite(path.to_owned())))
}

impl Observer for Books {
    fn news(&self, news: News) {
        if news.what == What::RoomStarted {
            self.restore_chat(&news.room.name);
        }
        self.post(|id, now_s| event::of_news(&news, id, now_s));
    }

    fn record(&self, record: Record) {
        self.post(|id, now_s| event::of_record(&record, id, now_s));
        if self.history.is_some() {
            let Record { room, kind, identity, body } = record;
            if let ("chat_deleted", Some(message)) = (kind, body["message"].as_str()) {
                self.keep(Entry::TakenBack { room: room.clone(), message: message.to_owned() });
            }
            let history = History { at_ms: crate::store::now_ms(), room, kind: kind.to_owned(), identity, body: body.to_string() };
            self.keep(Entry::History(history));
        }
    }

    fn sample(&self, sample: Sample) {
        self.quality.add(&sample);
        if self.history.is_none() {
            return;
        }
        let body = serde_json::to_string(&sample).unwrap_or_default();
        let Sample { room, identity, client, score, rtt_ms, jitter_ms, loss_uplink, loss_downlink, frozen, estimate_bps, .. } = sample;
        let Scores { all, audio, video } = score;
        // They are bounded: scores by 5, shares by 1.
        let whole = |number: Option<f64>, times: f64| number.map(|number| (number * times).round() as u32);
        self.keep(Entry::Sample(Box::new(store::Sample {
            at_ms: store::now_ms(),
            room,
            identity,
            browser: client.browser,
            device: client.device,
            network: client.network,
            region: client.region,
            score: whole(all, 100.0),
            audio: whole(audio, 100.0),
            video: whole(video, 100.0),
            rtt_ms,
            jitter_ms,
            loss_uplink_ppm: whole(loss_uplink, 1e6),
            loss_kernel_ppm: Some(self.losses.kernel_ppm.load(Ordering::Relaxed)),
            loss_engine_ppm: Some(self.losses.engine_ppm.load(Ordering::Relaxed)),
            loss_downlink_ppm: whole(loss_downlink, 1e6),
            frozen_permille: whole(frozen, 1e3),
            estimate_bps,
            body,
        })));
    }
}

/// Messages of the room itself, the oldest first.
fn chat(entries: Vec<(u64, History)>, max: usize) -> Vec<ChatInfo> {
    let is_chat = |entry: &History| matches!(entry.kind.as_str(), "chat" | "private_chat");
    let bodies =
        entries.into_iter().filter(|(_, entry)| is_chat(entry)).filter_map(|(_, entry)| serde_json::from_str::<Value>(&entry.body).ok());
    let own = bodies.filter(|body| body.get("breakout").is_none()).filter_map(|body| serde_json::from_value(body).ok());
    let mut messages: Vec<ChatInfo> = own.take(max).collect();
    messages.reverse();
    messages
}

/// Sums over all shards since the start.
#[derive(Clone, Copy, Debug, Default)]
struct Passed {
    packets_in: u64,
    packets_out: u64,
    kernel_drops: u64,
    engine_drops: u64,
}

impl Passed {
    fn of(shards: &[Snapshot]) -> Self {
        // What we lost of what was meant to be sent or handed on. What strangers send us that is nothing is no loss.
        const OURS: [DropReason; 4] =
            [DropReason::SendBufferFull, DropReason::MeshFull, DropReason::StreamBacklog, DropReason::StreamStalled];
        let mut passed = Self::default();
        for Snapshot { engine, .. } in shards {
            passed.packets_in += engine.packets_in;
            passed.packets_out += engine.packets_out;
            passed.kernel_drops += engine.kernel_drops;
            let ours = DropReason::ALL.into_iter().zip(engine.drops).filter(|(reason, _)| OURS.contains(reason));
            passed.engine_drops += ours.map(|(_, count)| count).sum::<u64>();
        }
        passed
    }
}

/// Lost of passed and lost, in millionths.
fn ppm(lost: u64, passed: u64) -> u32 {
    let share = lost.saturating_mul(1_000_000).checked_div(lost + passed);
    share.map_or(0, |share| u32::try_from(share).unwrap_or(1_000_000))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_begins_again_with_what_was_said_to_it_last() {
        let entry = |kind: &str, text: &str, more: &str| {
            let body = format!(
                r#"{{ "id": "ab", "from": "1", "identity": "ann", "name": "Ann", "to": null, "to_identity": null, "text": "{text}", "at_unix_ms": 1{more} }}"#
            );
            (0, History { at_ms: 1, room: "r".into(), kind: kind.into(), identity: "ann".into(), body })
        };
        // The newest first, as the store tells them.
        let entries = vec![
            entry("chat", "four", ""),
            entry("chat", "in a breakout", r#", "breakout": "Red""#),
            entry("poll", "no message", ""),
            entry("private_chat", "three", ""),
            (0, History { body: "not JSON".into(), ..entry("chat", "", "").1 }),
            entry("chat", "two", ""),
            entry("chat", "one", ""),
        ];
        let texts: Vec<String> = chat(entries, 3).into_iter().map(|message| message.text).collect();
        assert_eq!(texts, ["two", "three", "four"]);
    }

    #[test]
    fn losses_are_shares() {
        assert_eq!((ppm(0, 0), ppm(0, 10), ppm(10, 0), ppm(1, 999)), (0, 0, 1_000_000, 1_000));
    }
}

//! Tells a Redis of allocations, with coturn's keys and texts, so that what watches coturn watches us.
//!
//! `turn/realm/R/user/U/allocation/ID/status` is set and published while the allocation lives; traffic is published below it.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use pointsman_turn::view::{NoteKind, Traffic};
use pointsman_turn::{AllocationId, Note};
use pointsman_wire::net::Protocol;
use redis::Pipeline;
use tokio::sync::mpsc;

use super::{Counters, RETRY_FIRST, RETRY_MAX};
use crate::engine::Encryption;
use crate::users::{Database, Notices};

/// Notes told in one go.
const BATCH_MAX: usize = 256;
/// Longest name of a user in a key; coturn cuts the whole key there.
const NAME_LEN_MAX: usize = 512;

/// Begins to tell; what is put into the sender is told in order.
pub(super) fn start(database: &Database, waiting_max: usize, counters: &Arc<Counters>) -> mpsc::Sender<Told> {
    tracing::info!(%database, "allocations are told to a Redis");
    let (sender, receiver) = mpsc::channel(waiting_max.max(1));
    let teller = Teller { redis: Notices::new(database), told: HashMap::new(), told_max: waiting_max, counters: Arc::clone(counters) };
    tokio::spawn(teller.serve(receiver));
    sender
}

/// What a shard notes, and how its client's connection is encrypted.
pub(super) type Told = (Note, Option<Encryption>);

struct Teller {
    redis: Notices,
    /// Traffic of which was told already.
    told: HashMap<AllocationId, Traffic>,
    told_max: usize,
    counters: Arc<Counters>,
}

impl Teller {
    async fn serve(mut self, mut notes: mpsc::Receiver<Told>) {
        let mut batch = Vec::new();
        let mut retry = RETRY_FIRST;
        // What an earlier process left there is over.
        let mut clean = false;
        loop {
            if !clean {
                clean = self.redis.forget_allocations().await.is_ok();
            }
            if notes.recv_many(&mut batch, BATCH_MAX).await == 0 {
                return;
            }
            let mut pipeline = Pipeline::new();
            for (note, encryption) in &batch {
                self.write(note, *encryption, &mut pipeline);
            }
            match self.redis.tell(&pipeline).await {
                Ok(()) => retry = RETRY_FIRST,
                Err(error) => {
                    self.counters.notes_lost.fetch_add(batch.len() as u64, Ordering::Relaxed);
                    if retry == RETRY_FIRST {
                        tracing::warn!(%error, "the Redis that is told of allocations is away");
                    }
                    self.wait(retry, &mut notes).await;
                    retry = (retry * 2).min(RETRY_MAX);
                }
            }
            batch.clear();
        }
    }

    /// Lets notes go by for a while, so that old ones do not fill the queue.
    async fn wait(&self, pause: Duration, notes: &mut mpsc::Receiver<Told>) {
        let lose = async {
            while notes.recv().await.is_some() {
                self.counters.notes_lost.fetch_add(1, Ordering::Relaxed);
            }
        };
        let _ = tokio::time::timeout(pause, lose).await;
    }

    fn write(&mut self, note: &Note, encryption: Option<Encryption>, pipeline: &mut Pipeline) {
        let key = key(note);
        let status = format!("{key}/status");
        match note.kind {
            NoteKind::Made | NoteKind::Refreshed | NoteKind::Moved => {
                let text = living(note, encryption);
                pipeline.cmd("SET").arg(&status).arg(&text).ignore();
                publish(pipeline, &status, &text);
                if note.kind != NoteKind::Made {
                    self.traffic(note, &key, pipeline);
                }
            }
            NoteKind::Deleted(_) => {
                self.traffic(note, &key, pipeline);
                self.told.remove(&note.id);
                pipeline.cmd("DEL").arg(&status).ignore();
                publish(pipeline, &status, "deleted");
                publish_traffic(pipeline, &format!("{key}/total_traffic"), note.traffic);
            }
        }
    }

    /// What was relayed since it was told last.
    fn traffic(&mut self, note: &Note, key: &str, pipeline: &mut Pipeline) {
        let before = self.told.get(&note.id).copied().unwrap_or_default();
        let since = Traffic {
            packets_to_peers: note.traffic.packets_to_peers.saturating_sub(before.packets_to_peers),
            bytes_to_peers: note.traffic.bytes_to_peers.saturating_sub(before.bytes_to_peers),
            packets_to_client: note.traffic.packets_to_client.saturating_sub(before.packets_to_client),
            bytes_to_client: note.traffic.bytes_to_client.saturating_sub(before.bytes_to_client),
        };
        if since == Traffic::default() {
            return;
        }
        if self.told.len() < self.told_max || self.told.contains_key(&note.id) {
            self.told.insert(note.id, note.traffic);
        }
        publish_traffic(pipeline, &format!("{key}/traffic"), since);
    }
}

fn publish(pipeline: &mut Pipeline, channel: &str, text: &str) {
    pipeline.cmd("PUBLISH").arg(channel).arg(text).ignore();
}

/// Toward the client, and below `/peer` toward peers: what came in from that side and what went out to it.
fn publish_traffic(pipeline: &mut Pipeline, channel: &str, traffic: Traffic) {
    let Traffic { packets_to_peers, bytes_to_peers, packets_to_client, bytes_to_client } = traffic;
    let client = format!("rcvp={packets_to_peers}, rcvb={bytes_to_peers}, sentp={packets_to_client}, sentb={bytes_to_client}");
    publish(pipeline, channel, &client);
    let peer = format!("rcvp={packets_to_client}, rcvb={bytes_to_client}, sentp={packets_to_peers}, sentb={bytes_to_peers}");
    publish(pipeline, &format!("{channel}/peer"), &peer);
}

fn key(note: &Note) -> String {
    let name = String::from_utf8_lossy(note.username.get(..NAME_LEN_MAX).unwrap_or(&note.username));
    // 18 digits: the shard, then what tells its allocations apart.
    let AllocationId { shard, index, generation } = note.id;
    let id = u64::from(shard.0) % 1_000 * 1_000_000_000_000_000 + u64::from(generation) % 100_000 * 10_000_000_000 + u64::from(index);
    let realm = if note.realm.is_empty() { String::new() } else { format!("realm/{}/", note.realm) };
    format!("turn/{realm}user/{name}/allocation/{id:018}")
}

fn living(note: &Note, encryption: Option<Encryption>) -> String {
    let status = if note.kind == NoteKind::Made { "new" } else { "refreshed" };
    let kind = match note.client.protocol {
        Protocol::Udp => "UDP",
        Protocol::Tcp => "TCP",
        Protocol::Tls => "TLS/TCP",
        Protocol::Dtls => "DTLS",
        // No client comes in that way.
        Protocol::Relay(_) => "UDP",
    };
    let (ssl, cipher) = encryption.map_or(("NONE", "NONE"), |it| (it.version, it.cipher));
    let (local, remote) = (note.client.local, note.client.remote);
    format!("{status} lifetime={}, type={kind}, local={local}, remote={remote}, ssl={ssl}, cipher={cipher}", note.lifetime_s)
}

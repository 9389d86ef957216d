//! Prometheus text. No file elsewhere knows a metric's name: the parts count in plain numbers, and here they are given out.
//!
//! A metric is a line in one of the functions below, of TURN in `turn`; coturn's names for the same are in `coturn`. Names are `pointsman_<part>_<what>_<unit>`; counters get their `_total` from
//! the encoder.

use std::fmt;
use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use pointsman_turn::Ledger;
use pointsman_wire::stun::attribute::Family;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::DescriptorEncoder;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::Registry;

use crate::control::quality::Totals;
use crate::control::stats::{Counters, DropReason, ListenerKind};
use crate::engine::{self, Snapshot};

mod coturn;
mod finished;
mod out;
mod turn;

pub use finished::Finished;
use out::{One, Out, Pair, directions, each, shard, shard_and};

#[cfg(test)]
mod tests;

/// What [`Metrics::text`] is written in.
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Realms that have series of their own.
const REALMS_MAX: usize = 100;

/// Everything that is given out, read at one moment.
#[derive(Debug)]
pub struct Reading {
    pub shards: Vec<Snapshot>,
    pub rooms: u64,
    pub held: Held,
}

/// What all shards' allocations hold together.
#[derive(Clone, Debug, Default)]
pub struct Held {
    /// Of IPv4, then IPv6.
    pub relay_ports: [u32; 2],
    /// Bytes per second.
    pub granted_bps: u64,
    /// The first realms in the order of their names: allocations, and the users who hold them.
    pub realms: Vec<(Box<str>, u32, usize)>,
}

impl Held {
    pub fn read(ledger: &Ledger) -> Self {
        Self {
            relay_ports: [Family::V4, Family::V6].map(|family| ledger.ports_in_use(family)),
            granted_bps: ledger.granted_bps(),
            realms: ledger.realms(REALMS_MAX),
        }
    }
}

/// The registry of a running server. `read` is called at each scrape.
pub struct Metrics {
    registry: Registry,
}

impl Metrics {
    /// `finished` collects the traffic of allocations that have ended.
    pub fn new(counters: Arc<Counters>, finished: Arc<Finished>, read: impl Fn() -> Reading + Send + Sync + 'static) -> Self {
        let started = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        let mut registry = Registry::default();
        registry.register_collector(Box::new(Scrape { counters, finished, read: Box::new(read), started }));
        Self { registry }
    }

    /// All metrics as they are now.
    ///
    /// # Errors
    /// When the encoder refuses, which is a fault of ours.
    pub fn text(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode(&mut text, &self.registry)?;
        Ok(text)
    }
}

struct Scrape {
    counters: Arc<Counters>,
    finished: Arc<Finished>,
    read: Box<dyn Fn() -> Reading + Send + Sync>,
    /// Seconds since 1970.
    started: f64,
}

impl fmt::Debug for Scrape {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Scrape").field("started", &self.started).finish_non_exhaustive()
    }
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let reading = (self.read)();
        let mut out = Out(encoder);
        self.process(&mut out)?;
        listeners(&mut out, &self.counters)?;
        engine(&mut out, &reading.shards)?;
        sfu(&mut out, &reading)?;
        turn::write(&mut out, &reading.shards)?;
        turn::write_held(&mut out, &reading.held)?;
        coturn::write(&mut out, &reading.shards, &self.finished)
    }
}

impl Scrape {
    fn process(&self, out: &mut Out<'_>) -> fmt::Result {
        let mut build = out.family("pointsman_build", "The program's version", MetricType::Info)?;
        build.encode_info(&[("version", env!("CARGO_PKG_VERSION"))].as_slice())?;
        let help = "When the process started, in seconds since 1970";
        out.family("process_start_time_seconds", help, MetricType::Gauge)?.encode_gauge(&self.started)
    }
}

fn listeners(out: &mut Out<'_>, counters: &Counters) -> fmt::Result {
    let of_each = |count: fn(&Counters, ListenerKind) -> u64| {
        ListenerKind::ALL.map(|kind| ([("listener", kind.key().to_owned())], count(counters, kind)))
    };
    out.counters("pointsman_control_connections_accepted", "TCP connections, by listener", of_each(Counters::accepted))?;
    out.gauges("pointsman_control_connections", "Open TCP connections, by listener", of_each(Counters::connections))?;
    let drops = DropReason::ALL.map(|reason| ([("reason", reason.name().to_owned())], counters.drops(reason)));
    out.counters("pointsman_control_drops", "TCP connections that were not served, by reason", drops)?;
    let answers = counters.users.answers().map(|(answer, count)| ([("answer", answer)], count));
    out.counters("pointsman_control_user_lookups", "Users whom shards asked the user database for, by its answer", answers)?;
    let hooks = counters.webhooks.outcomes().map(|(outcome, count)| ([("outcome", outcome)], count));
    out.counters("pointsman_control_webhooks", "Webhooks: events delivered and lost, and attempts that failed", hooks)?;
    let history = counters.history.outcomes().map(|(outcome, count)| ([("outcome", outcome)], count));
    out.counters("pointsman_control_history", "Entries of history and samples of quality, kept and lost", history)?;
    let help = "1 while the database of history takes nothing";
    out.gauge("pointsman_control_history_away", help, &i64::from(counters.history.is_away()))?;
    quality(out, &counters.quality.totals())?;
    out.counter("pointsman_control_statistics_lost", "What was to be told to the statistics Redis and was not", counters.users.notes_lost())
}

/// As clients told it, every five seconds.
fn quality(out: &mut Out<'_>, totals: &Totals) -> fmt::Result {
    let Totals { score, sound, pictures, round_trip, lost_uplink, lost_downlink, frozen } = totals;
    let scores = [("all", score), ("sound", sound), ("pictures", pictures)].map(|(of, scores)| ([("of", of)], scores));
    out.histogram_rows("pointsman_quality_score", "How well people saw and heard, from 1 (bad) to 5 (excellent)", &scores)?;
    out.histogram("pointsman_quality_round_trip_seconds", "Round trips of clients' connectivity checks", round_trip)?;
    let ways = [("uplink", lost_uplink), ("downlink", lost_downlink)].map(|(way, lost)| ([("way", way)], lost));
    out.histogram_rows("pointsman_quality_lost_ratio", "Share of packets lost, from clients to us and from us to them", &ways)?;
    out.histogram("pointsman_quality_frozen_ratio", "Share of the time in which pictures stood still", frozen)
}

fn engine(out: &mut Out<'_>, shards: &[Snapshot]) -> fmt::Result {
    let table: [(&str, &str, Pair); 3] = [
        ("pointsman_engine_packets", "Datagrams, by direction", |s| (s.engine.packets_in, s.engine.packets_out)),
        ("pointsman_engine_bytes", "Bytes of datagrams, by direction", |s| (s.engine.bytes_in, s.engine.bytes_out)),
        ("pointsman_engine_mesh_messages", "Messages between shards, by direction", |s| (s.engine.mesh_in, s.engine.mesh_out)),
    ];
    for (name, help, read) in table {
        out.counters(name, help, directions(shards, read))?;
    }
    let table: [(&str, &str, One); 11] = [
        ("receive_calls", "Calls that received datagrams on listening sockets", |s| s.engine.receive_calls),
        ("send_calls", "Calls that sent datagrams", |s| s.engine.send_calls),
        ("kernel_drops", "Datagrams that the kernel dropped because a receive buffer was full", |s| s.engine.kernel_drops),
        ("trains_refused", "Trains that the network device refused and that left as single datagrams", |s| s.engine.trains_refused),
        ("turns", "Turns of the shard's loop", |s| s.engine.turns),
        ("waits", "Turns that began with a wait", |s| s.engine.waits),
        ("wakes_sent", "Times that the shard woke another", |s| s.engine.wakes_sent),
        ("guest", "1 while the shard runs on another shard's thread", |s| s.engine.guest),
        ("relay_sockets", "Open relay sockets", |s| s.engine.relay_sockets),
        ("dtls_clients", "DTLS clients of TURN, handshakes that go on included", |s| s.engine.dtls_clients),
        ("dtls_handshakes", "DTLS handshakes with TURN clients that were completed", |s| s.engine.dtls_handshakes),
    ];
    for (name, help, read) in table {
        match name {
            "guest" | "relay_sockets" | "dtls_clients" => out.gauges(&format!("pointsman_engine_{name}"), help, each(shards, read))?,
            _ => out.counters(&format!("pointsman_engine_{name}"), help, each(shards, read))?,
        }
    }
    streams(out, shards)?;
    let drops = shards.iter().flat_map(|s| {
        let reasons = engine::DropReason::ALL.into_iter().zip(s.engine.drops);
        reasons.map(|(reason, count)| (shard_and("reason", s, reason.name()), count))
    });
    out.counters("pointsman_engine_drops", "Datagrams that the engine dropped, by reason", drops)?;
    let busy = shards.iter().map(|s| (shard(s), s.engine.busy.as_secs_f64()));
    out.counters("pointsman_engine_busy_seconds", "Time that the shard spent outside of waits", busy)?;
    let help = "Datagrams that left together as one UDP_SEGMENT train";
    out.histograms("pointsman_engine_train_length", help, shards, |s| &s.engine.train_length)?;
    // Measured by the engine, around what the sfu does in between.
    let help = "From the start of the turn that received a datagram to the kernel's acceptance of what left in it";
    out.histograms("pointsman_sfu_forward_latency_seconds", help, shards, |s| &s.engine.forward_latency)
}

/// TCP and TLS on the shards.
fn streams(out: &mut Out<'_>, shards: &[Snapshot]) -> fmt::Result {
    let connections = shards.iter().flat_map(|s| {
        let kinds = [("tcp", s.engine.tcp_clients), ("tls", s.engine.tls_clients), ("peer", s.engine.peer_connections)];
        kinds.map(|(kind, count)| (shard_and("kind", s, kind), count))
    });
    out.gauges("pointsman_engine_stream_connections", "Open connections: of clients over TCP and TLS, and with peers", connections)?;
    out.gauges("pointsman_engine_pipes", "Connections of clients that are joined with a peer's", each(shards, |s| s.engine.pipes))?;
    let pairs: [(&str, &str, Pair); 2] = [
        ("pointsman_engine_stream_messages", "STUN and ChannelData messages on clients' connections, by direction", |s| {
            (s.engine.stream_messages_in, s.engine.stream_messages_out)
        }),
        ("pointsman_engine_stream_bytes", "Their bytes, without TLS, by direction", |s| {
            (s.engine.stream_bytes_in, s.engine.stream_bytes_out)
        }),
    ];
    for (name, help, read) in pairs {
        out.counters(name, help, directions(shards, read))?;
    }
    out.counters("pointsman_engine_stream_writes", "System calls that wrote to connections", each(shards, |s| s.engine.stream_writes))?;
    out.counters("pointsman_engine_pipe_bytes", "Bytes between clients and peers, both ways", each(shards, |s| s.engine.pipe_bytes))?;
    out.counters(
        "pointsman_engine_stream_pauses",
        "Times that a connection was not read for a while because of its allocation's bandwidth",
        each(shards, |s| s.engine.stream_pauses),
    )
}

fn sfu(out: &mut Out<'_>, reading: &Reading) -> fmt::Result {
    let shards = &reading.shards;
    out.family("pointsman_sfu_rooms", "Rooms", MetricType::Gauge)?.encode_gauge(&reading.rooms)?;
    let gauges: [(&str, &str, One); 4] = [
        ("pointsman_sfu_participants", "Participants that live on the shard", |s| s.sfu.participants),
        ("pointsman_sfu_publications", "Publications of these participants", |s| s.sfu.publications),
        ("pointsman_sfu_subscriptions", "Subscriptions of these participants that have a source", |s| s.sfu.subscriptions),
        ("pointsman_sfu_expected", "Participants that are expected but live nowhere yet", |s| s.sfu.expected),
    ];
    for (name, help, read) in gauges {
        out.gauges(name, help, each(shards, read))?;
    }
    let pairs: [(&str, &str, Pair); 8] = [
        ("pointsman_sfu_packets", "RTP packets, by direction", |s| (s.sfu.packets_in, s.sfu.packets_out)),
        ("pointsman_sfu_bytes", "Bytes of RTP packets, by direction", |s| (s.sfu.bytes_in, s.sfu.bytes_out)),
        ("pointsman_sfu_data_messages", "Messages over data channels, by direction", |s| (s.sfu.data_in, s.sfu.data_out)),
        ("pointsman_sfu_data_bytes", "Bytes of messages over data channels, by direction", |s| (s.sfu.data_bytes_in, s.sfu.data_bytes_out)),
        ("pointsman_sfu_rtcp", "RTCP datagrams, by direction", |s| (s.sfu.rtcp_in, s.sfu.rtcp_out)),
        ("pointsman_sfu_mesh_packets", "Packets between shards, by direction", |s| (s.sfu.mesh_packets_in, s.sfu.mesh_packets_out)),
        ("pointsman_sfu_nacks", "Packets asked for again: by subscribers (in), of publishers (out)", |s| (s.sfu.nacks_in, s.sfu.nacks_out)),
        ("pointsman_sfu_keyframe_requests", "By subscribers (in), merged to publishers (out)", |s| {
            (s.sfu.keyframe_requests_in, s.sfu.keyframe_requests_out)
        }),
    ];
    for (name, help, read) in pairs {
        out.counters(name, help, directions(shards, read))?;
    }
    let counters: [(&str, &str, One); 10] = [
        ("pointsman_sfu_forwarded_packets", "Packets forwarded for the first time, one for each subscriber", |s| s.sfu.forwarded),
        ("pointsman_sfu_retransmitted_packets", "Packets sent again to subscribers", |s| s.sfu.retransmitted),
        ("pointsman_sfu_rtx_packets_received", "Packets that publishers sent again", |s| s.sfu.rtx_in),
        ("pointsman_sfu_stray_datagrams", "Datagrams of other shards' participants that were handed on", |s| s.sfu.strays),
        ("pointsman_sfu_probe_packets", "RTP packets sent only to find out whether more gets through", |s| s.sfu.probe_packets),
        ("pointsman_sfu_padding_bytes", "Padding added so that packets leave as trains", |s| s.sfu.padding_bytes),
        ("pointsman_sfu_layer_switches", "Times that a downtrack changed its spatial layer", |s| s.sfu.layer_switches),
        ("pointsman_sfu_paced_packets", "Packets that waited for a moment, so as not to fill the queue of a narrow link", |s| s.sfu.paced),
        ("pointsman_sfu_replayed_packets", "Packets sent from the cache, so that nobody waits for a keyframe", |s| s.sfu.replayed),
        ("pointsman_sfu_connected", "DTLS handshakes completed", |s| s.sfu.connected),
    ];
    for (name, help, read) in counters {
        out.counters(name, help, each(shards, read))?;
    }
    let drops = shards.iter().flat_map(|s| s.sfu.drops.iter().map(|(reason, count)| (shard_and("reason", s, reason.name()), count)));
    out.counters("pointsman_sfu_drops", "Packets and messages that went no further, by reason", drops)
}

use pointsman_wire::net::ShardId;

use super::*;
use crate::engine::Stats;

fn snapshot(shard: u16) -> Snapshot {
    let mut engine = Stats::new();
    engine.packets_in = 5;
    engine.packets_out = 40 + u64::from(shard);
    engine.drop(engine::DropReason::UnknownProtocol, 3);
    engine.train_length.observe(8.0, 5);
    engine.train_length.observe(1000.0, 1);
    engine.forward_latency.observe(0.000_3, 2);
    let mut snapshot = Snapshot::new(ShardId(shard));
    snapshot.engine = engine;
    snapshot.sfu.subscriptions = 9;
    snapshot.sfu.drops.count(pointsman_sfu::DropReason::Duplicate);
    snapshot.turn.allocations = 4;
    snapshot.turn.bytes_to_peers_total = 1200;
    snapshot
}

fn text() -> String {
    let counters = Arc::new(Counters::default());
    counters.count_drop(DropReason::NotTls);
    let open = counters.open(ListenerKind::Tls);
    let text = Metrics::new(counters, || Reading { shards: vec![snapshot(0), snapshot(1)], rooms: 6 }).text().unwrap();
    drop(open);
    text
}

#[test]
fn names_and_labels_are_those_that_are_promised() {
    let text = text();
    let lines: Vec<&str> = text.lines().collect();
    for expected in [
        "pointsman_engine_packets_total{shard=\"0\",direction=\"out\"} 40",
        "pointsman_engine_packets_total{shard=\"1\",direction=\"out\"} 41",
        "pointsman_engine_packets_total{shard=\"1\",direction=\"in\"} 5",
        "pointsman_engine_drops_total{shard=\"0\",reason=\"unknown_protocol\"} 3",
        "pointsman_engine_drops_total{shard=\"0\",reason=\"oversized\"} 0",
        "pointsman_sfu_rooms 6",
        "pointsman_sfu_subscriptions{shard=\"1\"} 9",
        "pointsman_sfu_drops_total{shard=\"1\",reason=\"duplicate\"} 1",
        "pointsman_turn_allocations{shard=\"0\"} 4",
        "pointsman_turn_relayed_bytes_total{shard=\"0\",direction=\"out\"} 1200",
        "pointsman_control_drops_total{reason=\"not_tls\"} 1",
        "pointsman_control_connections{listener=\"tls\"} 1",
        concat!("pointsman_build_info{version=\"", env!("CARGO_PKG_VERSION"), "\"} 1"),
    ] {
        assert!(lines.contains(&expected), "{expected} is not in:\n{text}");
    }
    assert!(text.contains("\nprocess_start_time_seconds 1"), "{text}");
    assert!(text.ends_with("# EOF\n"), "{text}");
}

#[test]
fn histograms_are_cumulative_and_end_with_infinity() {
    let text = text();
    let buckets: Vec<&str> = text
        .lines()
        .filter_map(|line| line.strip_prefix("pointsman_engine_train_length_bucket{le=\""))
        .filter(|l| l.contains("shard=\"1\""))
        .collect();
    let counts: Vec<u64> = buckets.iter().map(|line| line.rsplit(' ').next().unwrap().parse().unwrap()).collect();
    assert!(counts.is_sorted() && counts.last() == Some(&6), "{buckets:?}");
    assert!(buckets.last().unwrap().starts_with("+Inf\""), "{buckets:?}");
    assert!(text.contains("pointsman_engine_train_length_sum{shard=\"1\"} 1040"), "{text}");
    assert!(text.contains("pointsman_sfu_forward_latency_seconds_count{shard=\"0\"} 2"), "{text}");
}

use pointsman_wire::net::ShardId;

use super::*;
use crate::engine::Stats;
use pointsman_turn::view::{Ending, NoteKind, Traffic};

fn snapshot(shard: u16) -> Snapshot {
    let mut engine = Stats::new();
    engine.packets_in = 5;
    engine.packets_out = 40 + u64::from(shard);
    (engine.receive_calls, engine.send_calls) = (3, 4);
    engine.drop(engine::DropReason::UnknownProtocol, 3);
    engine.train_length.observe(8.0, 5);
    engine.train_length.observe(1000.0, 1);
    engine.forward_latency.observe(0.000_3, 2);
    let mut snapshot = Snapshot::new(ShardId(shard));
    snapshot.engine = engine;
    snapshot.sfu.subscriptions = 9;
    snapshot.sfu.drops.count(pointsman_sfu::DropReason::Duplicate);
    snapshot.turn.allocations = 4;
    snapshot.turn.allocations_by_protocol = [1, 0, 3, 0];
    snapshot.turn.errors[2] = 7;
    snapshot.turn.binding_requests_total = 11;
    snapshot.turn.bytes_to_peers_total = 1200;
    snapshot
}

fn text() -> String {
    let counters = Arc::new(Counters::default());
    counters.count_drop(DropReason::NotTls);
    for (score, loss) in [(Some(4.2), Some(0.002)), (Some(2.9), Some(0.2)), (None, None)] {
        counters.quality.add(&crate::control::quality::tests::sample(score, loss));
    }
    let open = counters.open(ListenerKind::Tls);
    let finished = Arc::new(Finished::new(true));
    let traffic = Traffic { packets_to_peers: 3, bytes_to_peers: 300, packets_to_client: 2, bytes_to_client: 20 };
    finished.note(&finished::tests::note("a \"name\"\n", NoteKind::Deleted(Ending::Released), traffic));
    let held = Held { relay_ports: [5, 1], granted_bps: 64_000, realms: vec![("example.org".into(), 6, 2)] };
    let text = Metrics::new(counters, finished, move || Reading { shards: vec![snapshot(0), snapshot(1)], rooms: 6, held: held.clone() })
        .text()
        .unwrap();
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
        "pointsman_turn_allocations_by_protocol{shard=\"1\",protocol=\"tls\"} 3",
        "pointsman_turn_errors_total{shard=\"0\",code=\"401\"} 7",
        "pointsman_turn_relay_ports{family=\"ipv6\"} 1",
        "pointsman_turn_realm_allocations{realm=\"example.org\"} 6",
        "pointsman_turn_granted_bytes_per_second 64000",
        "pointsman_control_drops_total{reason=\"not_tls\"} 1",
        "pointsman_control_connections{listener=\"tls\"} 1",
        "pointsman_quality_score_count{of=\"all\"} 2",
        "pointsman_quality_score_bucket{le=\"3.0\",of=\"all\"} 1",
        "pointsman_quality_score_count{of=\"pictures\"} 0",
        "pointsman_quality_lost_ratio_bucket{le=\"0.01\",way=\"downlink\"} 1",
        "pointsman_quality_round_trip_seconds_sum 0.09",
        "pointsman_quality_frozen_ratio_count 0",
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

#[test]
fn dashboards_for_coturn_find_its_names() {
    let text = text();
    let user = r#"realm="example.org",user="a \"name\"\n""#;
    for expected in [
        &format!("turn_traffic_rcvp{{{user}}} 3"),
        &format!("turn_traffic_peer_sentb{{{user}}} 300"),
        "turn_total_traffic_sentb 20",
        "turn_total_traffic_peer_rcvp 2",
        "turn_total_allocations{type=\"UDP\"} 2",
        "turn_total_allocations{type=\"TLS/TCP\"} 6",
        "stun_binding_request 22",
        "turn_unauthenticated_401_responses 14",
        "turn_udp_recvmmsg_calls 6",
        "turn_udp_recvmmsg_packets 10",
        "turn_udp_sendmmsg_flushes 8",
        "turn_udp_sendmmsg_datagrams 81",
        "turn_udp_sendmmsg_gso_datagrams 2080",
    ] {
        assert!(text.lines().any(|line| line == expected), "{expected} is not in:\n{text}");
    }
}

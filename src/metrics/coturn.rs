//! coturn's metric names, so that dashboards made for it keep working: what they count there they count here.
//!
//! These counters have no `_total` at the end, which OpenMetrics wants of counters: they are exposed without a type. `rate()` does not mind.
//! coturn names what it *received* (`rcv`) and *sent*, in packets (`p`) and bytes (`b`), of clients and, with `peer`, of peers. Traffic of an
//! allocation is counted when it has ended. Bytes are payload on both sides; coturn adds STUN's and ChannelData's framing on the client's.

use std::fmt;

use pointsman_turn::DropReason;
use pointsman_turn::stats::PROTOCOLS;
use pointsman_turn::view::Traffic;
use pointsman_wire::net::Protocol;

use super::finished::{Finished, Sums};
use super::out::{Labels, Out};
use crate::engine::Snapshot;

type Count = fn(&Traffic) -> u64;

/// What the relay receives of a client it sends to a peer, and the other way round.
const TRAFFIC: [(&str, &str, Count); 8] = [
    ("rcvp", "packets received of clients", |traffic| traffic.packets_to_peers),
    ("rcvb", "bytes received of clients", |traffic| traffic.bytes_to_peers),
    ("sentp", "packets sent to clients", |traffic| traffic.packets_to_client),
    ("sentb", "bytes sent to clients", |traffic| traffic.bytes_to_client),
    ("peer_rcvp", "packets received of peers", |traffic| traffic.packets_to_client),
    ("peer_rcvb", "bytes received of peers", |traffic| traffic.bytes_to_client),
    ("peer_sentp", "packets sent to peers", |traffic| traffic.packets_to_peers),
    ("peer_sentb", "bytes sent to peers", |traffic| traffic.bytes_to_peers),
];

pub(super) fn write(out: &mut Out<'_>, shards: &[Snapshot], finished: &Finished) -> fmt::Result {
    let sums = finished.read();
    for (suffix, what, count) in TRAFFIC {
        let rows = series(&sums, finished.with_users(), count);
        out.untyped(&format!("turn_traffic_{suffix}"), &format!("Ended allocations: {what}"), rows)?;
        out.untyped_alone(&format!("turn_total_traffic_{suffix}"), &format!("All ended allocations: {what}"), count(&sums.total))?;
    }
    let kinds = PROTOCOLS.into_iter().enumerate().map(|(at, kind)| {
        let count: u64 = shards.iter().filter_map(|s| s.turn.allocations_by_protocol.get(at)).sum();
        ([("type", protocol(kind))], count)
    });
    out.gauges("turn_total_allocations", "Allocations, by what their clients speak", kinds)?;
    let sum = |read: fn(&pointsman_turn::Stats) -> u64| shards.iter().map(|s| read(&s.turn)).sum::<u64>();
    let engine = |read: fn(&crate::engine::Stats) -> u64| shards.iter().map(|s| read(&s.engine)).sum::<u64>();
    let limited = sum(|turn| turn.dropped(DropReason::RateLimited));
    for (name, help, count) in [
        ("stun_binding_request", "STUN Binding requests", sum(|turn| turn.binding_requests_total)),
        ("stun_binding_response", "STUN Binding requests answered", sum(|turn| turn.bindings_total)),
        ("stun_binding_error", "STUN Binding requests answered with an error", sum(|turn| turn.binding_errors_total)),
        ("turn_packet_processed", "Datagrams relayed", sum(|turn| turn.packets_to_peers_total + turn.packets_to_clients_total)),
        ("turn_packet_dropped", "Datagrams not relayed", sum(|turn| turn.drops.iter().sum())),
        ("turn_unauthenticated_401_requests", "Requests without valid credentials", sum(|turn| turn.challenges_total)),
        ("turn_unauthenticated_401_responses", "Requests answered with 401", sum(|turn| turn.answered_with(401))),
        ("turn_unauthenticated_401_dropped_responses", "Requests of strangers that got no answer", limited),
        ("turn_udp_recvmmsg_calls", "Calls that received datagrams", engine(|it| it.receive_calls)),
        ("turn_udp_recvmmsg_packets", "Datagrams received", engine(|it| it.packets_in)),
        ("turn_udp_sendmmsg_flushes", "Calls that sent datagrams", engine(|it| it.send_calls)),
        ("turn_udp_sendmmsg_datagrams", "Datagrams sent", engine(|it| it.packets_out)),
        ("turn_udp_sendmmsg_gso_datagrams", "Datagrams sent as part of a train", engine(in_trains)),
    ] {
        out.untyped_alone(name, help, count)?;
    }
    Ok(())
}

/// All that did not leave alone.
fn in_trains(stats: &crate::engine::Stats) -> u64 {
    let [alone, ..] = stats.train_length.counts;
    (stats.train_length.sum as u64).saturating_sub(alone)
}

fn series(sums: &Sums, with_users: bool, count: Count) -> impl Iterator<Item = (Labels, u64)> {
    sums.by.iter().map(move |((realm, user), traffic)| {
        let mut labels = vec![("realm", realm.to_string())];
        if with_users {
            labels.push(("user", user.to_string()));
        }
        (labels, count(traffic))
    })
}

/// As coturn writes it.
const fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Udp | Protocol::Relay(_) => "UDP",
        Protocol::Tcp => "TCP",
        Protocol::Tls => "TLS/TCP",
        Protocol::Dtls => "DTLS",
    }
}

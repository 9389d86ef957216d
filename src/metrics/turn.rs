//! TURN under our own names.

use std::fmt;

use pointsman_turn::stats::{ERROR_CODES, PROTOCOLS};
use pointsman_wire::net::Protocol;

use super::out::{One, Out, Pair, directions, each, shard_and};
use crate::engine::Snapshot;

pub(super) fn write(out: &mut Out<'_>, shards: &[Snapshot]) -> fmt::Result {
    let gauges: [(&str, &str, One); 3] = [
        ("pointsman_turn_allocations", "Allocations", |s| s.turn.allocations),
        ("pointsman_turn_relays", "Relayed transport addresses, reserved ones included", |s| s.turn.relays),
        ("pointsman_turn_reservations", "Ports reserved and not yet claimed", |s| s.turn.reservations),
    ];
    for (name, help, read) in gauges {
        out.gauges(name, help, each(shards, read))?;
    }
    let by_protocol = shards.iter().flat_map(|s| {
        PROTOCOLS.into_iter().zip(s.turn.allocations_by_protocol).map(|(kind, count)| (shard_and("protocol", s, protocol(kind)), count))
    });
    out.gauges("pointsman_turn_allocations_by_protocol", "Allocations, by what their clients speak", by_protocol)?;
    let pairs: [(&str, &str, Pair); 2] = [
        ("pointsman_turn_relayed_bytes", "Payload from peers to clients (in) and from clients to peers (out)", |s| {
            (s.turn.bytes_to_clients_total, s.turn.bytes_to_peers_total)
        }),
        ("pointsman_turn_relayed_packets", "Datagrams from peers to clients (in) and from clients to peers (out)", |s| {
            (s.turn.packets_to_clients_total, s.turn.packets_to_peers_total)
        }),
    ];
    for (name, help, read) in pairs {
        out.counters(name, help, directions(shards, read))?;
    }
    let counters: [(&str, &str, One); 7] = [
        ("pointsman_turn_allocations_made", "Allocations made", |s| s.turn.allocations_total),
        ("pointsman_turn_allocations_refused", "Allocations refused", |s| s.turn.allocations_refused_total),
        ("pointsman_turn_allocations_expired", "Allocations that ran out", |s| s.turn.allocations_expired_total),
        ("pointsman_turn_binding_requests", "STUN Binding requests", |s| s.turn.binding_requests_total),
        ("pointsman_turn_bindings", "STUN Binding requests answered", |s| s.turn.bindings_total),
        ("pointsman_turn_challenges", "Requests without valid credentials (401 and 438)", |s| s.turn.challenges_total),
        ("pointsman_turn_bad_credentials", "Requests with a wrong password or of an unknown user", |s| s.turn.bad_credentials_total),
    ];
    for (name, help, read) in counters {
        out.counters(name, help, each(shards, read))?;
    }
    let errors = shards
        .iter()
        .flat_map(|s| ERROR_CODES.into_iter().zip(s.turn.errors).map(|(code, count)| (shard_and("code", s, &code.to_string()), count)));
    out.counters("pointsman_turn_errors", "Requests refused, by the error code of the answer", errors)?;
    let drops = shards.iter().flat_map(|s| {
        pointsman_turn::DropReason::ALL.into_iter().map(|reason| (shard_and("reason", s, reason.name()), s.turn.dropped(reason)))
    });
    out.counters("pointsman_turn_drops", "Datagrams that TURN dropped, by reason", drops)
}

const fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Udp | Protocol::Relay(_) => "udp",
        Protocol::Tcp => "tcp",
        Protocol::Tls => "tls",
        Protocol::Dtls => "dtls",
    }
}

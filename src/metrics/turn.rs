//! TURN under our own names.

use std::fmt;

use pointsman_turn::stats::{ERROR_CODES, PROTOCOLS};
use pointsman_wire::net::Protocol;

use super::Held;
use super::out::{One, Out, Pair, directions, each, shard_and};

use crate::engine::Snapshot;

pub(super) fn write(out: &mut Out<'_>, shards: &[Snapshot]) -> fmt::Result {
    let gauges: [(&str, &str, One); 4] = [
        ("pointsman_turn_allocations", "Allocations", |s| s.turn.allocations),
        ("pointsman_turn_relays", "Relayed transport addresses, reserved ones included", |s| s.turn.relays),
        ("pointsman_turn_reservations", "Ports reserved and not yet claimed", |s| s.turn.reservations),
        ("pointsman_turn_lookups_waiting", "Users whose keys are being looked up", |s| s.turn.lookups_waiting),
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
    let counters: [(&str, &str, One); 9] = [
        ("pointsman_turn_allocations_made", "Allocations made", |s| s.turn.allocations_total),
        ("pointsman_turn_allocations_refused", "Allocations refused", |s| s.turn.allocations_refused_total),
        ("pointsman_turn_allocations_expired", "Allocations that ran out", |s| s.turn.allocations_expired_total),
        ("pointsman_turn_binding_requests", "STUN Binding requests", |s| s.turn.binding_requests_total),
        ("pointsman_turn_bindings", "STUN Binding requests answered", |s| s.turn.bindings_total),
        ("pointsman_turn_challenges", "Requests without valid credentials (401 and 438)", |s| s.turn.challenges_total),
        ("pointsman_turn_bad_credentials", "Requests with a wrong password or of an unknown user", |s| s.turn.bad_credentials_total),
        ("pointsman_turn_lookups", "Users whose keys were looked up in the database", |s| s.turn.lookups_total),
        ("pointsman_turn_users_unavailable", "Requests refused because the database did not answer", |s| s.turn.users_unavailable_total),
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

/// What the shards count together.
pub(super) fn write_held(out: &mut Out<'_>, held: &Held) -> fmt::Result {
    let Held { relay_ports: [v4, v6], granted_bps, realms } = held;
    let ports = [([("family", "ipv4")], u64::from(*v4)), ([("family", "ipv6")], u64::from(*v6))];
    out.gauges("pointsman_turn_relay_ports", "Relay ports in use", ports)?;
    let of_realm = |realm: &str| [("realm", realm.to_owned())];
    let allocations = realms.iter().map(|(realm, allocations, _)| (of_realm(realm), u64::from(*allocations)));
    out.gauges("pointsman_turn_realm_allocations", "Allocations, by realm", allocations)?;
    let users = realms.iter().map(|(realm, _, users)| (of_realm(realm), *users as u64));
    out.gauges("pointsman_turn_realm_users", "Users who hold allocations, by realm", users)?;
    out.gauge("pointsman_turn_granted_bytes_per_second", "Bandwidth granted to all allocations", granted_bps)
}

const fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Udp | Protocol::Relay(_) => "udp",
        Protocol::Tcp => "tcp",
        Protocol::Tls => "tls",
        Protocol::Dtls => "dtls",
    }
}

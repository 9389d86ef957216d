//! What an operator may decide.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use crate::peers::AddressRange;

/// A password or shared secret: never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// The settings of a server. Limits are per shard.
#[derive(Clone, Debug)]
pub struct Config {
    /// Protection space of the credentials (coturn: `realm`), at most 128 bytes: it is sent to strangers.
    pub realm: String,
    /// Local address that relay sockets of IPv4 bind to; may be the wildcard (coturn: `relay-ip`). `None`: no IPv4 relays (440).
    pub relay_v4: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub relay_v6: Option<Ipv6Addr>,
    /// Shown as relayed address instead of `relay_v4`, for servers behind NAT (coturn: `external-ip`).
    pub public_v4: Option<Ipv4Addr>,
    /// The same for IPv6.
    pub public_v6: Option<Ipv6Addr>,
    /// Ports of relayed addresses (coturn: `min-port`, `max-port`). Default: the dynamic ports, as RFC 8656 section 7.2 recommends.
    pub relay_ports: RangeInclusive<u16>,
    /// Names and passwords (coturn: `user`).
    pub users: Vec<(String, Secret)>,
    /// Secrets from which time-limited credentials are made (coturn: `static-auth-secret`); several while they are being changed.
    pub shared_secrets: Vec<Secret>,
    /// Between time and name in such a user name (coturn: `rest-api-separator`).
    pub shared_secret_separator: char,
    /// Our own media addresses: where we listen, and what we announce. Always allowed as peers, so that relayed calls reach us;
    /// of other ports at the same addresses only relay ports are.
    pub media: Vec<SocketAddr>,
    /// Peers allowed although denied by default or by `denied_peers` (coturn: `allowed-peer-ip`, `allow-loopback-peers`).
    pub allowed_peers: Vec<AddressRange>,
    /// Peers denied besides those denied by default (coturn: `denied-peer-ip`).
    pub denied_peers: Vec<AddressRange>,
    /// Lifetime of an allocation whose client asks for none or for less. RFC 8656 section 7.2: ten minutes.
    pub lifetime_s_default: u32,
    /// Longest lifetime given (coturn: `max-allocate-lifetime`).
    pub lifetime_s_max: u32,
    /// RFC 8656 section 9: five minutes (coturn: `permission-lifetime`).
    pub permission_lifetime_s: u32,
    /// RFC 8656 section 12: ten minutes (coturn: `channel-lifetime`).
    pub channel_lifetime_s: u32,
    /// How long a nonce is good (coturn: `stale-nonce`). Ten minutes, so that a client meets one 438 in that time.
    pub nonce_lifetime_s: u32,
    /// Allocations of all users (coturn: `total-quota`).
    pub allocations_max: usize,
    /// Allocations of one user; for time-limited credentials the name without the time counts (coturn: `user-quota`).
    /// RFC 8656 section 5 wants several: a browser makes one per local address and server.
    pub user_allocations_max: usize,
    /// Peers' addresses that one allocation may have permissions for.
    pub permissions_max: usize,
    /// Channels of one allocation. They are searched in line, so not thousands.
    pub channels_max: usize,
    /// Reserved ports that nobody has claimed yet.
    pub reservations_max: usize,
    /// Ports drawn for one allocation before it is refused with 508.
    pub port_tries_max: u8,
    /// Answers per second that one source address (IPv6: /64) gets without valid credentials. 100 of 100 bytes are no weapon,
    /// and enough for an office behind one address.
    pub unauthenticated_answers_per_s_max: u32,
    /// How many of them may come at once after a pause.
    pub unauthenticated_answers_burst_max: u32,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            realm: "pointsman".to_owned(),
            relay_v4: None,
            relay_v6: None,
            public_v4: None,
            public_v6: None,
            relay_ports: 49152..=65535,
            users: Vec::new(),
            shared_secrets: Vec::new(),
            shared_secret_separator: ':',
            media: Vec::new(),
            allowed_peers: Vec::new(),
            denied_peers: Vec::new(),
            lifetime_s_default: 600,
            lifetime_s_max: 3600,
            permission_lifetime_s: 300,
            channel_lifetime_s: 600,
            nonce_lifetime_s: 600,
            allocations_max: 10_000,
            user_allocations_max: 1_000,
            permissions_max: 256,
            channels_max: 64,
            reservations_max: 1_000,
            port_tries_max: 50,
            unauthenticated_answers_per_s_max: 100,
            unauthenticated_answers_burst_max: 500,
        }
    }
}

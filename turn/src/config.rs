//! What an operator may decide.

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;

use crate::peers::AddressRange;
use crate::realms::{OauthKey, Realm};

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
    /// Refuse time-limited credentials that have run out on existing allocations, too. By default (and in coturn) they are looked at
    /// when an allocation is made, and the allocation goes on being refreshed.
    pub strict_expiry: bool,
    /// Realms beside the default one; one of the default's name adds to it.
    pub realms: Vec<Realm>,
    /// Requests with an ORIGIN must keep to it: 441 when it changes (coturn: `check-origin-consistency`).
    pub check_origin: bool,
    /// Serve requests without credentials, unchallenged (coturn: `no-auth`). An open relay: limits and peer rules are all that holds.
    pub anonymous: bool,
    /// Binding requests need credentials, too (coturn: `secure-stun`).
    pub secure_stun: bool,
    /// Answer Binding requests only (coturn: `stun-only`).
    pub stun_only: bool,
    /// Users not named here are asked for with [`Output::LookupKey`](crate::Output::LookupKey) (coturn: the `userdb` options).
    pub lookups: bool,
    /// Users whose keys are being looked up at a time.
    pub lookups_max: usize,
    /// Requests of one user that wait for its key.
    pub lookup_requests_max: usize,
    /// After so long without an answer a lookup counts as failed. A client repeats a request for 39.5 s (RFC 8489 section 6.2.1).
    pub lookup_timeout_s: u32,
    /// Keys remembered of users that were found; beyond it the oldest give way.
    pub known_users_max: usize,
    /// After so long a remembered key is looked up again before it is used.
    pub known_user_age_s: u32,
    /// How long it is remembered that there is no such user, and how often a password that does not fit is looked up again.
    pub unknown_user_age_s: u32,
    /// Challenge with THIRD-PARTY-AUTHORIZATION and take ACCESS-TOKEN (RFC 7635; coturn: `oauth`).
    pub oauth: bool,
    /// This server's name, for which tokens are sealed (coturn: `server-name`). Empty: the realm.
    pub oauth_server_name: String,
    /// Keys shared with authorization servers (coturn: table `oauth_key`).
    pub oauth_keys: Vec<OauthKey>,
    /// Offer SHA-256 keys (RFC 8489 section 9.2.1). Off: no browser uses them, and PASSWORD-ALGORITHMS with the nonce that goes with it
    /// makes a challenge 28 bytes longer, more than the 100 that an answer to a stranger should have at most where the realm's name is
    /// longer than 12.
    pub password_algorithms: bool,
    /// Servers with the same secret accept each other's nonces (coturn: `stateless-nonce-secret`). `None`: a random one.
    pub nonce_secret: Option<Secret>,
    /// Bytes per second of one allocation, each way; 0: no limit (coturn: `max-bps`).
    pub max_bps: u64,
    /// Bytes per second granted to all allocations together, on all shards; 0: no limit (coturn: `bps-capacity`).
    pub bps_capacity: u64,
    /// Allocations of one realm, on all shards; 0: no limit (coturn: `total-quota`).
    pub total_quota: u32,
    /// Allocations of one user of a realm, on all shards; 0: no limit. For time-limited credentials the name without the time counts
    /// (coturn: `user-quota`). RFC 8656 section 5 wants several: a browser makes one per local address and server.
    pub user_quota: u32,
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
    /// How long a nonce is good; 0: for ever (coturn: `stale-nonce`). Ten minutes, so that a client meets one 438 in that time.
    pub nonce_lifetime_s: u32,
    /// Allocations of one shard: what its tables may grow to.
    pub allocations_max: usize,
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
    /// Wrong passwords and names per second that one source address (IPv6: /64) may try. A guesser's thousand a second become one,
    /// while an office with a stale password in one client still gets its other calls through.
    pub wrong_credentials_per_s_max: u32,
    /// How many of them may come at once after a pause.
    pub wrong_credentials_burst_max: u32,
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
            strict_expiry: false,
            realms: Vec::new(),
            check_origin: false,
            anonymous: false,
            secure_stun: false,
            stun_only: false,
            lookups: false,
            lookups_max: 1_000,
            lookup_requests_max: 8,
            lookup_timeout_s: 5,
            known_users_max: 50_000,
            known_user_age_s: 60,
            unknown_user_age_s: 5,
            oauth: false,
            oauth_server_name: String::new(),
            oauth_keys: Vec::new(),
            password_algorithms: false,
            nonce_secret: None,
            max_bps: 0,
            bps_capacity: 0,
            total_quota: 0,
            user_quota: 1_000,
            media: Vec::new(),
            allowed_peers: Vec::new(),
            denied_peers: Vec::new(),
            lifetime_s_default: 600,
            lifetime_s_max: 3600,
            permission_lifetime_s: 300,
            channel_lifetime_s: 600,
            nonce_lifetime_s: 600,
            allocations_max: 10_000,
            permissions_max: 256,
            channels_max: 64,
            reservations_max: 1_000,
            port_tries_max: 50,
            unauthenticated_answers_per_s_max: 100,
            unauthenticated_answers_burst_max: 500,
            wrong_credentials_per_s_max: 10,
            wrong_credentials_burst_max: 100,
        }
    }
}

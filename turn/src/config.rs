//! What an operator may decide.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

use crate::peers::PeerRules;
use crate::realms::{OauthKey, Realm};

/// A password or shared secret: never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(pub String);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret")
    }
}

/// An address by which the world knows one of ours (coturn: `external-ip`). In what clients are told the private one is replaced by
/// the public one, in what clients say the public one by the private one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct External {
    pub public: IpAddr,
    /// `None`: every relay address of the family.
    pub private: Option<IpAddr>,
}

/// The family of a relay whose client asks for none (coturn: `allocation-default-address-family`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum DefaultFamily {
    /// As RFC 8656 section 7.2 has it.
    #[default]
    V4,
    V6,
    /// That of the client's own path (coturn: also `keep-address-family`).
    Keep,
}

/// Two addresses and two ports of this server, on which RFC 5780's tests are answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NatDiscovery {
    /// Of one family.
    pub addresses: [IpAddr; 2],
    pub ports: [u16; 2],
}

/// The settings of a server. Limits are per shard.
#[derive(Clone, Debug)]
pub struct Config {
    /// Protection space of the credentials (coturn: `realm`), at most 128 bytes: it is sent to strangers.
    pub realm: String,
    /// Local addresses that relay sockets bind to; a family's are taken in turn. A wildcard stands for the address at which the client
    /// reached us (coturn: `relay-ip`). No address of a family: no relays of it (440).
    pub relay_addresses: Vec<IpAddr>,
    /// For servers behind NAT.
    pub external: Vec<External>,
    pub default_family: DefaultFamily,
    /// Relays over UDP; off: 442 (coturn: the absence of `no-udp-relay`).
    pub udp_relay: bool,
    /// Relays over TCP (RFC 6062), for clients over TCP and TLS; off: 442 (coturn: the absence of `no-tcp-relay`).
    pub tcp_relay: bool,
    /// Open a UDP relay's socket with the first permission or channel that needs it: calls that end at our own media never do. Off: with
    /// the allocation, when a port that another process has can still be exchanged for another.
    pub lazy_relays: bool,
    /// Connections with peers of one allocation (RFC 6062), those being made included.
    pub connections_max: usize,
    /// Clients may take their allocations to another address (RFC 8016; coturn: `mobility`). Off: 405.
    pub mobility: bool,
    /// How long an allocation with a ticket outlives its client's connection.
    pub parked_lifetime_s: u32,
    /// Allocations that may wait so.
    pub parked_max: usize,
    /// Allocate is answered with 300 and the next of these that is of the client's family (coturn: `alternate-server`,
    /// `udp-alternate-server`). Empty: served here.
    pub alternate_servers: Vec<SocketAddr>,
    /// The same for clients over TCP (coturn: `tcp-alternate-server`). `None`: the list above.
    pub tcp_alternate_servers: Option<Vec<SocketAddr>>,
    /// The same for clients over TLS and DTLS; empty: the first list (coturn: `tls-alternate-server`).
    pub tls_alternate_servers: Vec<SocketAddr>,
    /// Local addresses at which nobody is sent elsewhere (coturn: `aux-server`).
    pub auxiliary: Vec<SocketAddr>,
    /// Answer RFC 5780's tests; one for each family (coturn: `rfc5780`).
    pub nat_discovery: Vec<NatDiscovery>,
    /// Relay without permissions (coturn: `server-relay`). What any peer sends to a relayed address reaches the client.
    pub server_relay: bool,
    /// Tell of allocations with [`Output::Note`](crate::Output::Note).
    pub notes: bool,
    /// Shards of the server: ids that name others are refused. At most 256.
    pub shards: u16,
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
    /// Do not answer Binding requests (coturn: `no-stun`).
    pub no_stun: bool,
    /// FINGERPRINT in every answer (coturn: `fingerprint`). Off: in answers to requests that have one.
    pub fingerprint: bool,
    /// SOFTWARE in every answer (RFC 8489 section 14.14; coturn: `software-attribute`), at most 127 bytes. Empty: none, which keeps
    /// answers to strangers small and tells attackers nothing.
    pub software: String,
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
    /// Bytes per second of one allocation, each way; 0: no limit (coturn: `max-bps`). Datagrams beyond it are dropped, streams and
    /// pipes (RFC 6062) are read no faster.
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
    pub peers: PeerRules,
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
    /// Channels of one allocation.
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
            relay_addresses: Vec::new(),
            external: Vec::new(),
            default_family: DefaultFamily::V4,
            udp_relay: true,
            tcp_relay: false,
            lazy_relays: true,
            connections_max: 64,
            mobility: false,
            parked_lifetime_s: 300,
            parked_max: 1_000,
            alternate_servers: Vec::new(),
            tcp_alternate_servers: None,
            tls_alternate_servers: Vec::new(),
            auxiliary: Vec::new(),
            nat_discovery: Vec::new(),
            server_relay: false,
            notes: false,
            shards: 1,
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
            no_stun: false,
            fingerprint: false,
            software: String::new(),
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
            peers: PeerRules::default(),
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

//! Realms: protection spaces with users, secrets and limits of their own, and how a request finds its realm.

use std::time::Duration;

use crate::config::Secret;
use crate::peers::AddressRange;

/// One realm beside (or, by the same name, on top of) the default one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Realm {
    /// Sent in challenges; at most 128 bytes.
    pub name: String,
    /// Names and passwords.
    pub users: Vec<(String, Secret)>,
    /// Secrets from which time-limited credentials are made; all of them are live.
    pub shared_secrets: Vec<Secret>,
    /// Values of ORIGIN that select this realm, as `scheme://host:port` (coturn: table `turn_origin_to_realm`).
    pub origins: Vec<String>,
    /// `None`: what the server's configuration says. 0: no limit. So for all three (coturn: table `turn_realm_option`).
    pub max_bps: Option<u64>,
    pub total_quota: Option<u32>,
    pub user_quota: Option<u32>,
}

/// A network that peers of one realm may or may not have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealmRange {
    /// `None`: of every realm.
    pub realm: Option<String>,
    pub range: AddressRange,
}

/// Which cipher tokens of a key are sealed with (RFC 7635 section 4.1.1 registers names; these are in use).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenAlgorithm {
    /// The first 16 bytes of the key.
    A128Gcm,
    /// All 32 bytes.
    A256Gcm,
}

/// A key shared with an authorization server (RFC 7635; coturn: table `oauth_key`).
#[derive(Clone, PartialEq, Eq)]
pub struct OauthKey {
    /// Clients name it in USERNAME.
    pub kid: String,
    /// The input keying material, decoded: 16 to 64 bytes.
    pub ikm: Vec<u8>,
    /// When it begins to be valid, since the epoch; zero: always was.
    pub begins: Duration,
    /// For how long from then; zero: for ever.
    pub lifetime: Duration,
    pub algorithm: TokenAlgorithm,
    /// Allocations made with it count in this realm; `None`: in that of the request.
    pub realm: Option<String>,
}

// Keys are never shown.
impl std::fmt::Debug for OauthKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OauthKey").field("kid", &self.kid).finish_non_exhaustive()
    }
}

/// What may change while the server runs: read anew from a database, say. It adds to what [`crate::Config`] holds, and replaces
/// what an earlier [`crate::Server::update`] brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    pub realms: Vec<Realm>,
    pub oauth_keys: Vec<OauthKey>,
    /// Peers that are allowed besides those of the configuration.
    pub allowed_peers: Vec<RealmRange>,
    /// Peers that are denied besides those of the configuration.
    pub denied_peers: Vec<RealmRange>,
}

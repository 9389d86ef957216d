//! Long-term credentials (RFC 8489 section 9.2), without a byte of state for whoever has not shown any.
//!
//! A login backend that computes keys is one file here that implements [`Backend`], and a line in [`Auth::new`].

mod nonce;
mod shared_secret;
mod static_users;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use pointsman_wire::stun::{self, Message};

use crate::config::Config;
use crate::ledger::Quota;
use nonce::Nonces;
use shared_secret::SharedSecrets;
use static_users::StaticUsers;

/// Length limit of USERNAME: "fewer than 509 bytes" (RFC 8489 section 14.3).
const USERNAME_LEN_MAX: usize = 508;

/// MD5(username ":" realm ":" password) (RFC 8489 section 9.2.2).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct LongTermKey([u8; 16]);

impl LongTermKey {
    pub(crate) fn derive(username: &[u8], realm: &[u8], password: &[u8]) -> Self {
        use md5::Digest;
        let hash = md5::Md5::new().chain_update(username).chain_update(b":").chain_update(realm).chain_update(b":").chain_update(password);
        Self(hash.finalize().into())
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        &self.0
    }
}

// Keys are never shown.
impl std::fmt::Debug for LongTermKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("LongTermKey")
    }
}

/// Which of the two integrity attributes a client uses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Integrity {
    Sha1,
    Sha256,
    /// None: requests need no credentials here.
    #[allow(dead_code, reason = "made when requests need no credentials")]
    Absent,
}

/// Knows users, or can compute what their keys must be.
pub(crate) trait Backend {
    /// Offers every key that this user may have until `fits` says yes; true if it did.
    fn offer(&self, user: &Asked<'_>, fits: &mut dyn FnMut(LongTermKey) -> bool) -> bool;
}

/// Whose key is asked for.
pub(crate) struct Asked<'a> {
    pub(crate) username: &'a [u8],
    pub(crate) realm: &'a [u8],
    pub(crate) unix: Duration,
}

/// A request whose credentials fit.
pub(crate) struct Proof {
    /// Where the user belongs.
    pub(crate) realm: Arc<str>,
    /// As sent; empty where requests need no credentials.
    pub(crate) username: Box<[u8]>,
    /// Under which name it counts for quotas.
    pub(crate) owner: Box<[u8]>,
    pub(crate) key: LongTermKey,
    pub(crate) integrity: Integrity,
}

/// Why a request is refused before anyone looks at what it wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// 401: no credentials (the first request of every client).
    Unauthenticated,
    /// 401 as well, so that nobody learns which it was: wrong password, or no such user.
    WrongCredentials,
    /// 400: an integrity without what belongs to it.
    Incomplete,
    /// 438: the nonce is old, or was not made for this client.
    StaleNonce,
}

/// Checks requests.
pub(crate) struct Auth {
    realm: Arc<str>,
    quota: Quota,
    nonces: Nonces,
    users: StaticUsers,
    secrets: SharedSecrets,
}

impl Auth {
    pub(crate) fn new(config: &Config, seed: &[u8; 32]) -> Self {
        let realm: Arc<str> = config.realm.as_str().into();
        Self {
            nonces: Nonces::new(seed, config.nonce_lifetime_s),
            users: StaticUsers::new(&config.users, realm.as_bytes(), seed),
            secrets: SharedSecrets::new(&config.shared_secrets, config.shared_secret_separator),
            quota: Quota { total: config.total_quota, user: config.user_quota, bps: config.max_bps, bps_capacity: config.bps_capacity },
            realm,
        }
    }

    pub(crate) fn realm(&self) -> &[u8] {
        self.realm.as_bytes()
    }

    /// What one realm and its users may hold.
    pub(crate) fn quota(&self, _realm: &str) -> Quota {
        self.quota
    }

    /// A nonce for this client, good from now.
    pub(crate) fn nonce(&self, unix: Duration, client: SocketAddr) -> [u8; nonce::LEN] {
        self.nonces.make(unix, client)
    }

    /// RFC 8489 section 9.2.4, in its order. `held` is the key of the client's allocation.
    pub(crate) fn check(
        &self,
        unix: Duration,
        client: SocketAddr,
        message: &Message<'_>,
        held: Option<(&[u8], LongTermKey)>,
    ) -> Result<Proof, Refusal> {
        let integrity = match (message.has_integrity(), message.has_integrity_sha256()) {
            (true, _) => Integrity::Sha1,
            (false, true) => Integrity::Sha256,
            (false, false) => return Err(Refusal::Unauthenticated),
        };
        let (Some(username), Some(realm), Some(nonce)) = (message.username(), message.realm(), message.nonce()) else {
            return Err(Refusal::Incomplete);
        };
        if username.len() > USERNAME_LEN_MAX {
            return Err(Refusal::Incomplete);
        }
        if !self.nonces.is_good(unix, client, nonce) {
            return Err(Refusal::StaleNonce);
        }
        let mut found = None;
        let mut fits = |key: LongTermKey| {
            let fits = verifies(message, integrity, key);
            if fits {
                found = Some(key);
            }
            fits
        };
        let realm_is_ours = realm == self.realm.as_bytes();
        let asked = Asked { username, realm: self.realm.as_bytes(), unix };
        let known = match held {
            Some((name, key)) if name == username => fits(key),
            _ => self.users.offer(&asked, &mut fits) || self.secrets.offer(&asked, &mut fits),
        };
        match found {
            Some(key) if known && realm_is_ours => Ok(Proof {
                realm: Arc::clone(&self.realm),
                username: username.into(),
                owner: self.secrets.name_of(username).into(),
                key,
                integrity,
            }),
            _ => Err(Refusal::WrongCredentials),
        }
    }
}

fn verifies(message: &Message<'_>, integrity: Integrity, key: LongTermKey) -> bool {
    match integrity {
        Integrity::Sha1 => message.verify_integrity(&stun::Key::new(key.bytes())),
        Integrity::Sha256 => message.verify_integrity_sha256(&stun::KeySha256::new(key.bytes())),
        Integrity::Absent => false,
    }
}

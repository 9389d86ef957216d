//! What a user database holds.

use std::fmt;
use std::str::FromStr;

use md5::{Digest, Md5};

use crate::config::Secret;

/// The longest realm that coturn's tables hold, in bytes.
pub const REALM_LEN_MAX: usize = 127;

/// MD5(name ":" realm ":" password), the key of the long-term mechanism (RFC 8489 section 9.2.2). Whoever has it needs no password:
/// never shown by `Debug`.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct UserKey(pub [u8; 16]);

/// A stored key is not 32 hexadecimal digits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotAKey;

impl UserKey {
    pub fn derive(name: &str, realm: &str, password: &str) -> Self {
        let hash = Md5::new().chain_update(name).chain_update(":").chain_update(realm).chain_update(":").chain_update(password);
        Self(hash.finalize().into())
    }

    /// 32 lower-case hexadecimal digits, as the database has it.
    pub fn to_hex(self) -> String {
        self.0.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

impl FromStr for UserKey {
    type Err = NotAKey;

    /// Takes the first 32 digits: coturn once kept longer keys in the same place, and databases pad.
    fn from_str(text: &str) -> Result<Self, NotAKey> {
        let digits = text.trim().strip_prefix("0x").unwrap_or(text.trim()).as_bytes();
        let mut key = [0; 16];
        for (byte, pair) in key.iter_mut().zip(digits.get(..32).ok_or(NotAKey)?.chunks(2)) {
            let digit = |at: usize| pair.get(at).and_then(|digit| char::from(*digit).to_digit(16)).ok_or(NotAKey);
            *byte = (digit(0)? * 16 + digit(1)?) as u8;
        }
        Ok(Self(key))
    }
}

impl fmt::Debug for UserKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("UserKey")
    }
}

/// A user of the long-term mechanism.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct User {
    pub realm: String,
    pub name: String,
}

/// A secret from which time-limited credentials of a realm are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RealmSecret {
    pub realm: String,
    pub secret: Secret,
}

/// Which realm the clients of a web origin belong to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Origin {
    pub realm: String,
    pub origin: String,
}

/// What can be limited by realm.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum RealmOptionKind {
    /// Bytes per second of one allocation, each way.
    MaxBps,
    /// Allocations of the realm.
    TotalQuota,
    /// Allocations of one user.
    UserQuota,
}

impl RealmOptionKind {
    pub const ALL: [Self; 3] = [Self::MaxBps, Self::TotalQuota, Self::UserQuota];

    /// As in the database and on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::MaxBps => "max-bps",
            Self::TotalQuota => "total-quota",
            Self::UserQuota => "user-quota",
        }
    }

    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|kind| kind.name() == name)
    }
}

/// A limit of a realm.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct RealmOption {
    pub realm: String,
    pub kind: RealmOptionKind,
    pub value: u64,
}

/// A key that an authorization server shares with us (RFC 7635).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OAuthKey {
    /// Its name, which clients send as USERNAME.
    pub kid: String,
    /// Key material, base64.
    pub ikm: Secret,
    /// When its lifetime began, in seconds since the epoch; 0: always valid.
    pub timestamp_s: u64,
    /// 0: no end.
    pub lifetime_s: u32,
    /// `A256GCM` or `A128GCM`; empty is `A256GCM`.
    pub algorithm: String,
    /// Empty: the default realm.
    pub realm: String,
}

/// One of the two lists of peers' addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PeerList {
    Allowed,
    Denied,
}

/// A stretch of addresses on a list, as written there: `10.0.0.1`, `10.0.0.1-10.0.0.9`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PeerRange {
    /// Empty: every realm.
    pub realm: String,
    pub range: String,
}

/// A user of the web administration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AdminUser {
    pub name: String,
    /// Empty: of all realms.
    pub realm: String,
    /// As stored: `$5$salt$hash`, or plain.
    pub password: Secret,
}

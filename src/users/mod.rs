//! coturn's user database, read and written so that coturn and its tools can share it with us.
//!
//! ```text
//! Database (where it is) ──► Store ──► sql.rs ──► SQLite, PostgreSQL, MySQL or MariaDB
//!                                └───► redis.rs ─► Redis
//! ```
//! A [`Store`] asks and changes; it caches nothing. Every question has an
//! end: an answer, or an [`Error`] after the time that the database's address allows.

mod address;
mod config;
pub(crate) mod database;
mod error;
pub(crate) mod pool;
mod records;
mod redis;
pub mod sealed;
mod sql;
#[cfg(test)]
mod tests;

use std::future::Future;
use std::path::Path;
use std::time::Duration;

pub use config::Config;
pub use database::{Database, Remote};
pub use error::{AddressError, Error};
pub use records::{
    AdminUser, OAuthKey, Origin, PeerList, PeerRange, REALM_LEN_MAX, RealmOption, RealmOptionKind, RealmSecret, User, UserKey,
};
pub use redis::Notices;

use crate::config::Secret;
use sql::Sql;

/// Where coturn's Debian package keeps its SQLite database.
pub const SQLITE_PATH_DEFAULT: &str = "/var/lib/turn/turndb";
/// Connections of one store. Questions are short; further ones wait.
const CONNECTIONS_MAX: u32 = 8;

/// A user database. Cloning is cheap; clones share their connections.
#[derive(Clone)]
pub struct Store {
    backend: Backend,
    /// The longest that one question takes.
    answer_max: Duration,
}

#[derive(Clone)]
enum Backend {
    Sql(Sql),
    Redis(redis::Redis),
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.kind())
    }
}

impl Store {
    /// Connects when it is first asked, and again whenever the connection is lost. Needs a tokio runtime.
    pub fn new(database: &Database) -> Self {
        let backend = match database {
            Database::Sqlite(path) => Backend::Sql(Sql::sqlite(path)),
            Database::Postgres(remote) => Backend::Sql(Sql::postgres(remote)),
            Database::MySql(remote) => Backend::Sql(Sql::mysql(remote)),
            Database::Redis(remote) => Backend::Redis(redis::Redis::new(remote)),
        };
        Self { backend, answer_max: database.answer_max() }
    }

    /// Connects at once; a SQLite file that is new or empty gets its tables.
    ///
    /// # Errors
    /// What keeps it from being used.
    pub async fn open(database: &Database) -> Result<Self, Error> {
        let store = Self::new(database);
        store.probe().await?;
        Ok(store)
    }

    /// The backend's name, as people call it.
    pub fn kind(&self) -> &'static str {
        match &self.backend {
            Backend::Sql(sql) => sql.kind(),
            Backend::Redis(_) => "Redis",
        }
    }

    /// Makes a connection of its own, to learn whether and why not the database can be used.
    ///
    /// # Errors
    /// The reason.
    pub async fn probe(&self) -> Result<(), Error> {
        let probe = async {
            match &self.backend {
                Backend::Sql(sql) => sql.probe().await,
                Backend::Redis(redis) => redis.probe().await,
            }
        };
        self.within(probe).await
    }

    /// Bounds a question's time.
    async fn within<T>(&self, question: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
        tokio::time::timeout(self.answer_max, question).await.unwrap_or(Err(Error::TimedOut(self.answer_max)))
    }
}

/// Every question, given to the backend that is in use.
macro_rules! questions {
    ($($(#[$doc:meta])* $name:ident($($argument:ident: $type:ty),*) -> $answer:ty;)*) => {
        impl Store {
            $($(#[$doc])*
            ///
            /// # Errors
            /// The database is away, refuses, or does not answer in time.
            pub async fn $name(&self, $($argument: $type),*) -> Result<$answer, Error> {
                self.within(async {
                    match &self.backend {
                        Backend::Sql(sql) => sql.$name($($argument),*).await,
                        Backend::Redis(redis) => redis.$name($($argument),*).await,
                    }
                })
                .await
            })*
        }
    };
}

questions! {
    /// The key of a user of the long-term mechanism; `None`: no such user.
    user_key(realm: &str, name: &str) -> Option<UserKey>;
    /// Adds a user or changes the key.
    set_user(realm: &str, name: &str, key: UserKey) -> ();
    /// Removes a user. Nothing happens when there is none.
    delete_user(realm: &str, name: &str) -> ();
    /// Users by realm and name, of one realm or of all.
    users(realm: Option<&str>) -> Vec<User>;

    /// Adds a shared secret to those of the realm.
    add_secret(realm: &str, secret: &Secret) -> ();
    /// Removes a shared secret, or all of the realm's.
    delete_secret(realm: &str, secret: Option<&Secret>) -> ();
    /// Shared secrets by realm, of one realm or of all.
    secrets(realm: Option<&str>) -> Vec<RealmSecret>;

    /// Clients of this web origin get this realm.
    add_origin(origin: &str, realm: &str) -> ();
    /// Forgets an origin.
    delete_origin(origin: &str) -> ();
    /// Origins by realm, of one realm or of all.
    origins(realm: Option<&str>) -> Vec<Origin>;

    /// Sets a limit of a realm; 0 removes it, so that the configuration's counts.
    set_realm_option(realm: &str, option: RealmOptionKind, value: u64) -> ();
    /// Limits of one realm or of all.
    realm_options(realm: Option<&str>) -> Vec<RealmOption>;

    /// Adds or replaces a key that an authorization server shares with us (RFC 7635).
    set_oauth_key(key: &OAuthKey) -> ();
    /// Removes such a key.
    delete_oauth_key(kid: &str) -> ();
    /// One such key.
    oauth_key(kid: &str) -> Option<OAuthKey>;
    /// All of them, by kid.
    oauth_keys() -> Vec<OAuthKey>;

    /// Adds a stretch of peers' addresses to a list; an empty realm is everyone's.
    add_peers(list: PeerList, realm: &str, range: &str) -> ();
    /// Removes it again.
    delete_peers(list: PeerList, realm: &str, range: &str) -> ();
    /// A whole list.
    peers(list: PeerList) -> Vec<PeerRange>;

    /// Adds or replaces a user of the web administration.
    set_admin_user(user: &AdminUser) -> ();
    /// Removes one.
    delete_admin_user(name: &str) -> ();
    /// One of them.
    admin_user(name: &str) -> Option<AdminUser>;
    /// All of them, by realm and name.
    admin_users() -> Vec<AdminUser>;
}

/// The default database, if it is there.
pub fn default_database() -> Option<Database> {
    Path::new(SQLITE_PATH_DEFAULT).exists().then(|| Database::Sqlite(SQLITE_PATH_DEFAULT.into()))
}

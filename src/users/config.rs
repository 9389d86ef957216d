//! What an operator decides about user databases.

use std::time::Duration;

use super::database::Database;

/// Which database is used, for what, and how often it is read again.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// `None`: users, secrets and realms are those of the configuration alone (coturn: `userdb`, `psql-userdb`, …).
    pub database: Option<Database>,
    /// Ask it for the keys of users whom the configuration does not name (coturn: on unless `use-auth-secret`).
    pub lookups: bool,
    /// Take shared secrets from it (coturn: `use-auth-secret`).
    pub secrets: bool,
    /// Take realms, their origins and limits from it (coturn: off with `no-dynamic-realms`).
    pub realms: bool,
    /// Take allowed and denied peers from it (coturn: off with `no-dynamic-ip-list`).
    pub peers: bool,
    /// How often all of that is read again. coturn: five seconds.
    pub interval: Duration,
    /// Entries taken from one table.
    pub rows_max: usize,
    /// Keys looked up at a time; further requests wait.
    pub lookups_max: usize,
    /// Requests that wait for their turn; more are told that the database is not to be had.
    pub waiting_max: usize,
    /// A key that is not there by then is given up. Well below the time after which clients do.
    pub lookup_timeout: Duration,
    /// A Redis that is told of allocations (coturn: `redis-statsdb`).
    pub statistics: Option<Database>,
    /// What is to be told while that Redis is slow; the rest is counted and lost.
    pub statistics_waiting_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            database: None,
            lookups: true,
            secrets: true,
            realms: true,
            peers: true,
            interval: Duration::from_secs(5),
            rows_max: 100_000,
            lookups_max: 32,
            waiting_max: 4_096,
            lookup_timeout: Duration::from_secs(3),
            statistics: None,
            statistics_waiting_max: 16_384,
        }
    }
}

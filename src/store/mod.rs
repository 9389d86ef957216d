//! What is kept of calls: history (chat, results of polls) and samples of quality, in SQLite or PostgreSQL, for as long as the operator wants.
//!
//! ```text
//!  rules ──Entry──▶ Writer ──bounded queue──▶ writer task ──transactions──▶ Store ──▶ SQLite, PostgreSQL
//!                                                               API ──────────▲
//! ```
//! Calls never wait for it: a full disk or a dead database stops history and says so, once.

use std::time::Duration;

use crate::users::pool::{Pool, Texts};
use crate::users::{Database, Error};

pub mod quality;
mod writer;

pub use quality::Sample;
pub(crate) use writer::now_ms;
pub use writer::{Counters, Writer};

/// Where the database is when nothing is said: systemd's state folder of the unit.
pub const PATH_DEFAULT: &str = "/var/lib/pointsman/history.db";
/// Entries of one page.
pub const PAGE_MAX: usize = 1_000;
/// One question or change.
const ANSWER_MAX: Duration = Duration::from_secs(20);

/// What an operator decides about history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// SQLite or PostgreSQL; `sqlite::memory:` ends with the process. `None`: [`PATH_DEFAULT`] if its folder is there, else nothing is kept.
    pub database: Option<Database>,
    /// Chat and the like are kept this long.
    pub retention: Duration,
    /// Samples of quality are kept this long. There are twelve a minute for everyone in a call.
    pub quality_retention: Duration,
    /// Rows of one table; the oldest go first.
    pub rows_max: u64,
    /// Entries that wait for the database; further ones are lost and counted.
    pub queue_max: usize,
    /// Messages with which the chat of a room begins again that was there before. 0: it begins empty.
    pub chat_restored_max: usize,
}

impl Default for Config {
    fn default() -> Self {
        let day = Duration::from_secs(86_400);
        Self {
            database: None,
            retention: day * 90,
            quality_retention: day * 14,
            rows_max: 10_000_000,
            queue_max: 10_000,
            // Who joins a room today need not be who was in one of this name yesterday.
            chat_restored_max: 0,
        }
    }
}

/// Something to be kept.
#[derive(Clone, Debug, PartialEq)]
pub enum Entry {
    History(History),
    /// A message of a room's chat was taken back: it is kept no longer.
    TakenBack {
        room: String,
        message: String,
    },
    Sample(Box<Sample>),
}

/// An entry of a room's history.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct History {
    /// In milliseconds since 1970.
    pub at_ms: u64,
    pub room: String,
    /// `chat`, `private_chat`, `poll`, …
    pub kind: String,
    /// Whose it is; may be empty.
    pub identity: String,
    /// JSON.
    pub body: String,
}

/// Which entries are meant; what is `None` does not matter.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Filter {
    pub room: Option<String>,
    pub kind: Option<String>,
    pub identity: Option<String>,
    /// From then on, in milliseconds since 1970.
    pub since_ms: Option<u64>,
    /// Before then.
    pub until_ms: Option<u64>,
    /// Without what one person said to another.
    pub no_private: bool,
}

/// The database. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
}

/// Each is carried out once, in order, and never changed again: another version is another entry. `SERIAL` is the kind's own word for a
/// number that counts up by itself.
const MIGRATIONS: [&[&str]; 1] = [&[
    "create table history (id SERIAL, at_ms bigint not null, room varchar(128) not null, kind varchar(32) not null, \
     identity varchar(128) not null, body text not null)",
    "create index history_room on history (room, id)",
    "create index history_at on history (at_ms)",
    quality::TABLE,
    "create index quality_at on quality (at_ms)",
    "create index quality_room on quality (room, at_ms)",
]];

impl Store {
    /// The name of a kind of database that can be used.
    pub const fn kind_of(database: &Database) -> Option<&'static str> {
        match database {
            Database::Sqlite(_) => Some("SQLite"),
            Database::Postgres(_) => Some("PostgreSQL"),
            Database::MySql(_) | Database::Redis(_) => None,
        }
    }

    /// Does not connect yet. `None`: no database of this kind can be used.
    pub fn new(database: &Database) -> Option<Self> {
        match database {
            Database::Sqlite(path) => Some(Self { pool: Pool::own_sqlite(path) }),
            Database::Postgres(remote) => Some(Self { pool: Pool::postgres(remote) }),
            Database::MySql(_) | Database::Redis(_) => None,
        }
    }

    /// Makes the tables, or brings them up to date.
    ///
    /// # Errors
    /// What keeps the database from being used.
    pub async fn migrate(&self) -> Result<(), Error> {
        let serial = match self.pool {
            Pool::Sqlite(..) => "integer primary key autoincrement",
            Pool::Postgres(_) | Pool::MySql(_) => "bigserial primary key",
        };
        within(self.pool.change(&[("create table if not exists pointsman_schema (version bigint not null)", &[])])).await?;
        let rows = within(self.pool.rows("select cast(count(*) as varchar(20)) from pointsman_schema", &[])).await?;
        let done: usize = rows.first().and_then(|row| row.first()?.parse().ok()).unwrap_or(0);
        for (version, steps) in MIGRATIONS.iter().enumerate().skip(done) {
            let steps: Vec<String> = steps.iter().map(|step| step.replace("SERIAL", serial)).collect();
            let version = version.to_string();
            let mark = [version.as_str()];
            let mut all: Vec<(&str, &[&str])> = steps.iter().map(|step| (step.as_str(), &[][..])).collect();
            all.push(("insert into pointsman_schema (version) values (?n)", &mark));
            within(self.pool.change(&all)).await?;
        }
        Ok(())
    }

    /// Keeps all of them or none.
    ///
    /// # Errors
    /// The database is away, full, or refuses.
    pub async fn write(&self, entries: &[Entry]) -> Result<(), Error> {
        let insert = "insert into history (at_ms, room, kind, identity, body) values (?n, ?, ?, ?, ?)";
        let taken_back = "delete from history where room = ? and kind in ('chat', 'private_chat') and body like ?";
        let rows: Vec<(&str, Vec<String>)> = entries
            .iter()
            .map(|entry| match entry {
                Entry::History(History { at_ms, room, kind, identity, body }) => {
                    (insert, vec![at_ms.to_string(), room.clone(), kind.clone(), identity.clone(), body.clone()])
                }
                // Ids are random, and in a text within the body the quotes would be escaped.
                Entry::TakenBack { room, message } => (taken_back, vec![room.clone(), format!("%\"id\":\"{message}\"%")]),
                Entry::Sample(sample) => (quality::INSERT, sample.values()),
            })
            .collect();
        let values: Vec<(&str, Vec<&str>)> = rows.iter().map(|(step, row)| (*step, row.iter().map(String::as_str).collect())).collect();
        let steps: Vec<(&str, &[&str])> = values.iter().map(|(step, row)| (*step, row.as_slice())).collect();
        within(self.pool.change(&steps)).await
    }

    /// Entries by their numbers, which are told with them, after the number `after`.
    ///
    /// # Errors
    /// The database is away or refuses.
    pub async fn history(&self, filter: &Filter, after: u64, limit: usize) -> Result<Vec<(u64, History)>, Error> {
        let (clause, mut values) = filter.clause("history");
        values.push(after.to_string());
        self.entries(&format!("{clause} and id > ?n order by id"), &values, limit).await
    }

    /// The latest entries, the newest first.
    ///
    /// # Errors
    /// The database is away or refuses.
    pub async fn latest(&self, filter: &Filter, limit: usize) -> Result<Vec<(u64, History)>, Error> {
        let (clause, values) = filter.clause("history");
        self.entries(&format!("{clause} order by id desc"), &values, limit).await
    }

    async fn entries(&self, which: &str, values: &[String], limit: usize) -> Result<Vec<(u64, History)>, Error> {
        let limit = limit.clamp(1, PAGE_MAX);
        let columns = "cast(id as varchar(20)), cast(at_ms as varchar(20)), room, kind, identity, body";
        let rows = self.rows(&format!("select {columns} from history where {which} limit {limit}"), values).await?;
        let entry = |row: Texts| {
            let [id, at_ms, room, kind, identity, body] = <[String; 6]>::try_from(row).ok()?;
            Some((id.parse().ok()?, History { at_ms: at_ms.parse().ok()?, room, kind, identity, body }))
        };
        Ok(rows.into_iter().filter_map(entry).collect())
    }

    /// Deletes what is meant, of history and (unless a kind is meant) of quality. Returns how many rows there were.
    ///
    /// # Errors
    /// The database is away or refuses.
    pub async fn delete(&self, filter: &Filter) -> Result<u64, Error> {
        let mut count = 0;
        for table in ["history", "quality"] {
            if table == "quality" && filter.kind.is_some() {
                continue;
            }
            let (clause, values) = filter.clause(table);
            let rows = self.rows(&format!("select cast(count(*) as varchar(20)) from {table} where {clause}"), &values).await?;
            count += rows.first().and_then(|row| row.first()?.parse::<u64>().ok()).unwrap_or(0);
            let values: Vec<&str> = values.iter().map(String::as_str).collect();
            within(self.pool.change(&[(&format!("delete from {table} where {clause}"), &values)])).await?;
        }
        Ok(count)
    }

    /// Forgets what is too old or too much.
    ///
    /// # Errors
    /// The database is away or refuses.
    pub async fn prune(&self, config: &Config, now_ms: u64) -> Result<(), Error> {
        let before = |retention: Duration| now_ms.saturating_sub(u64::try_from(retention.as_millis()).unwrap_or(u64::MAX)).to_string();
        let (history, quality, rows_max) = (before(config.retention), before(config.quality_retention), config.rows_max.to_string());
        within(self.pool.change(&[
            ("delete from history where at_ms < ?n", &[&history]),
            ("delete from quality where at_ms < ?n", &[&quality]),
            ("delete from history where id <= (select max(id) from history) - ?n", &[&rows_max]),
            ("delete from quality where id <= (select max(id) from quality) - ?n", &[&rows_max]),
        ]))
        .await
    }

    async fn rows(&self, statement: &str, values: &[String]) -> Result<Vec<Texts>, Error> {
        let values: Vec<&str> = values.iter().map(String::as_str).collect();
        within(self.pool.rows(statement, &values)).await
    }
}

impl Filter {
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// A condition, and the values of its places.
    fn clause(&self, table: &str) -> (String, Vec<String>) {
        let Self { room, kind, identity, since_ms, until_ms, no_private } = self;
        let kind = kind.as_ref().filter(|_| table == "history");
        let texts = [("room = ?", room.as_ref()), ("kind = ?", kind), ("identity = ?", identity.as_ref())];
        let numbers = [("at_ms >= ?n", since_ms), ("at_ms < ?n", until_ms)];
        let texts = texts.into_iter().filter_map(|(part, value)| Some((part, value?.clone())));
        let numbers = numbers.into_iter().filter_map(|(part, value)| Some((part, value.as_ref()?.to_string())));
        let (mut parts, values): (Vec<&str>, Vec<String>) = texts.chain(numbers).unzip();
        if *no_private && table == "history" {
            parts.push("kind <> 'private_chat'");
        }
        (if parts.is_empty() { "1 = 1".to_owned() } else { parts.join(" and ") }, values)
    }
}

async fn within<T>(question: impl Future<Output = Result<T, Error>>) -> Result<T, Error> {
    tokio::time::timeout(ANSWER_MAX, question).await.unwrap_or(Err(Error::TimedOut(ANSWER_MAX)))
}

//! Connections to an SQL database, and the two things done with them: read rows of text, change things all or nothing.
//!
//! Statements are written with `?` for a text and `?n` for a number; values never become part of a statement.

use std::path::{Path, PathBuf};
use std::time::Duration;

use sqlx::mysql::{MySqlConnectOptions, MySqlSslMode};
use sqlx::pool::PoolOptions;
use sqlx::postgres::{PgConnectOptions, PgSslMode};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{AssertSqlSafe, ColumnIndex, ConnectOptions, Connection, Database, Decode, MySql, MySqlPool};
use sqlx::{PgPool, Postgres, Row, Sqlite, SqlitePool};

use super::CONNECTIONS_MAX;
use super::database::Remote;
use super::error::Error;

/// Another process may be writing to the file.
const SQLITE_BUSY_MAX: Duration = Duration::from_secs(5);
/// Connections that nobody uses are given back.
const IDLE_MAX: Duration = Duration::from_secs(300);
/// Where Debian's MySQL and MariaDB listen for whoever says `localhost`, which is not the network to their own clients.
const MYSQL_SOCKET: &str = "/run/mysqld/mysqld.sock";

#[derive(Clone)]
pub(crate) enum Pool {
    Sqlite(SqlitePool, PathBuf),
    Postgres(PgPool),
    MySql(MySqlPool),
}

/// One statement of a change, with its values.
pub(crate) type Step<'a> = (&'a str, &'a [&'a str]);
/// A row's columns; NULL is empty.
pub(crate) type Texts = Vec<String>;

macro_rules! fetch {
    ($pool:expr, $statement:expr, $values:expr) => {{
        let mut query = sqlx::query(AssertSqlSafe($statement));
        for value in $values {
            query = query.bind(*value);
        }
        query.fetch_all($pool).await?.iter().map(texts).collect::<Result<Vec<Texts>, sqlx::Error>>()?
    }};
}

macro_rules! change {
    ($pool:expr, $steps:expr, $written:expr) => {{
        let mut transaction = $pool.begin().await?;
        for (statement, values) in $steps {
            let mut query = sqlx::query(AssertSqlSafe($written(statement)));
            for value in *values {
                query = query.bind(*value);
            }
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await?;
    }};
}

impl Pool {
    pub(super) fn sqlite(path: &Path) -> Self {
        // The journal stays what the file has: all who share it must be able to write beside it.
        let options =
            SqliteConnectOptions::new().filename(path).create_if_missing(true).busy_timeout(SQLITE_BUSY_MAX).disable_statement_logging();
        Self::Sqlite(pool::<Sqlite>(SQLITE_BUSY_MAX).connect_lazy_with(options), path.to_owned())
    }

    pub(crate) fn postgres(remote: &Remote) -> Self {
        Self::Postgres(pool::<Postgres>(remote.connect_max()).connect_lazy_with(postgres_options(remote)))
    }

    /// A file of our own, which nobody else writes to: the journal that costs the disk least. `:memory:` is a database that ends with the process.
    pub(crate) fn own_sqlite(path: &Path) -> Self {
        let options = SqliteConnectOptions::new().filename(path).create_if_missing(true).busy_timeout(SQLITE_BUSY_MAX);
        let options = options.journal_mode(SqliteJournalMode::Wal).synchronous(SqliteSynchronous::Normal).disable_statement_logging();
        let pool = pool::<Sqlite>(SQLITE_BUSY_MAX);
        // A database in memory is its connection's: there is one, and it stays.
        let pool = if path == Path::new(":memory:") {
            pool.max_connections(1).min_connections(1).idle_timeout(None).max_lifetime(None)
        } else {
            pool
        };
        Self::Sqlite(pool.connect_lazy_with(options), path.to_owned())
    }

    pub(super) fn mysql(remote: &Remote) -> Self {
        Self::MySql(pool::<MySql>(remote.connect_max()).connect_lazy_with(mysql_options(remote)))
    }

    pub(crate) async fn rows(&self, statement: &str, values: &[&str]) -> Result<Vec<Texts>, Error> {
        Ok(match self {
            Self::Sqlite(pool, _) => fetch!(pool, for_others(statement), values),
            Self::Postgres(pool) => fetch!(pool, for_postgres(statement), values),
            Self::MySql(pool) => fetch!(pool, for_others(statement), values),
        })
    }

    /// All steps or none.
    pub(crate) async fn change(&self, steps: &[Step<'_>]) -> Result<(), Error> {
        match self {
            Self::Sqlite(pool, _) => change!(pool, steps, for_others),
            Self::Postgres(pool) => change!(pool, steps, for_postgres),
            Self::MySql(pool) => change!(pool, steps, for_others),
        }
        Ok(())
    }

    /// A connection beside the pool's, so that the reason of a failure is known.
    pub(super) async fn probe(&self) -> Result<(), Error> {
        match self {
            Self::Sqlite(pool, path) => {
                let mut connection = pool.connect_options().connect().await.map_err(|error| at(path, error))?;
                for statement in include_str!("schema.sql").split_inclusive(';') {
                    sqlx::query(statement).execute(&mut connection).await.map_err(|error| at(path, error))?;
                }
                connection.close().await?;
            }
            Self::Postgres(pool) => ping(pool.connect_options().connect().await?).await?,
            Self::MySql(pool) => ping(pool.connect_options().connect().await?).await?,
        }
        Ok(())
    }
}

async fn ping<C: Connection>(mut connection: C) -> Result<(), sqlx::Error> {
    connection.ping().await?;
    connection.close().await
}

/// SQLite's own words name no file, and the file's place or rights are what is wrong most often.
fn at(path: &Path, error: sqlx::Error) -> Error {
    match Error::from(error) {
        Error::Refused(why) => Error::Unreachable(format!("{}: {why}", path.display())),
        error @ (Error::Unreachable(_) | Error::TimedOut(_)) => error,
    }
}

fn pool<D: Database>(connect_max: Duration) -> PoolOptions<D> {
    PoolOptions::new().max_connections(CONNECTIONS_MAX).min_connections(0).acquire_timeout(connect_max).idle_timeout(IDLE_MAX)
}

fn postgres_options(remote: &Remote) -> PgConnectOptions {
    let Remote {
        host,
        host_is_address: _,
        port,
        dbname,
        user,
        password,
        connect_timeout: _,
        read_timeout: _,
        tls_mode,
        tls_ca,
        tls_certificate,
        tls_key,
    } = remote;
    let mut options = PgConnectOptions::new();
    if let Some(host) = host {
        options = if host.starts_with('/') { options.socket(host) } else { options.host(host) };
    }
    if let Some(port) = port {
        options = options.port(*port);
    }
    if let Some(user) = user {
        options = options.username(user);
    }
    if let Some(password) = password {
        options = options.password(password.expose());
    }
    if let Some(dbname) = dbname.as_ref().or(user.as_ref()) {
        options = options.database(dbname);
    }
    if let Some(mode) = tls_mode.as_ref().and_then(|mode| mode.parse::<PgSslMode>().ok()) {
        options = options.ssl_mode(mode);
    }
    if let Some(file) = tls_ca {
        options = options.ssl_root_cert(file);
    }
    if let Some(file) = tls_certificate {
        options = options.ssl_client_cert(file);
    }
    if let Some(file) = tls_key {
        options = options.ssl_client_key(file);
    }
    options.application_name("pointsman").disable_statement_logging()
}

fn mysql_options(remote: &Remote) -> MySqlConnectOptions {
    let Remote {
        host,
        host_is_address: _,
        port,
        dbname,
        user,
        password,
        connect_timeout: _,
        read_timeout: _,
        tls_mode,
        tls_ca,
        tls_certificate,
        tls_key,
    } = remote;
    let host = host.as_deref().unwrap_or("127.0.0.1");
    let mut options = MySqlConnectOptions::new().host(host).username(user.as_deref().unwrap_or(""));
    if host.starts_with('/') {
        options = options.socket(host);
    } else if host == "localhost" && port.is_none() && Path::new(MYSQL_SOCKET).exists() {
        options = options.socket(MYSQL_SOCKET);
    }
    if let Some(port) = port {
        options = options.port(*port);
    }
    if let Some(password) = password {
        options = options.password(password.expose());
    }
    if let Some(dbname) = dbname {
        options = options.database(dbname);
    }
    if let Some(mode) = tls_mode.as_ref().and_then(|mode| mode.parse::<MySqlSslMode>().ok()) {
        options = options.ssl_mode(mode);
    }
    if let Some(file) = tls_ca {
        options = options.ssl_ca(file);
    }
    if let Some(file) = tls_certificate {
        options = options.ssl_client_cert(file);
    }
    if let Some(file) = tls_key {
        options = options.ssl_client_key(file);
    }
    options.disable_statement_logging()
}

fn texts<R>(row: &R) -> Result<Texts, sqlx::Error>
where
    R: Row,
    usize: ColumnIndex<R>,
    for<'r> Option<String>: Decode<'r, R::Database>,
{
    // Unchecked: SQLite's columns hold what was put in, and MySQL's text may be of a binary collation.
    let text = |at| row.try_get_unchecked::<Option<String>, usize>(at).map(|text| text.unwrap_or_default());
    (0..row.len()).map(text).collect()
}

/// PostgreSQL numbers its placeholders, and takes a text for a number only when told.
fn for_postgres(statement: &str) -> String {
    let mut parts = statement.split('?');
    let mut written = parts.next().unwrap_or_default().to_owned();
    for (at, part) in parts.enumerate() {
        let (number, part) = part.strip_prefix('n').map_or((false, part), |part| (true, part));
        written.push_str(&if number { format!("cast(${} as bigint)", at + 1) } else { format!("${}", at + 1) });
        written.push_str(part);
    }
    written
}

/// SQLite and MySQL turn a text into a number where a column is one.
fn for_others(statement: &str) -> String {
    statement.replace("?n", "?")
}

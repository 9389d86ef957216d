//! Where a user database is, in the forms that coturn's options and files have.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use sqlx::mysql::MySqlSslMode;
use sqlx::postgres::PgSslMode;

use super::address::{self, Settings};
use super::error::AddressError;
use crate::config::Secret;

/// Unless the address says otherwise.
const CONNECT_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
const READ_TIMEOUT_DEFAULT: Duration = Duration::from_secs(5);
/// Above it a slip of the hand is likelier than a wish.
const TIMEOUT_S_MAX: u64 = 600;

/// Where a user database is. Shown without its password.
#[derive(Clone, PartialEq, Eq)]
pub enum Database {
    /// A file (coturn: `userdb`).
    Sqlite(PathBuf),
    /// coturn: `psql-userdb`.
    Postgres(Remote),
    /// MySQL or MariaDB (coturn: `mysql-userdb`).
    MySql(Remote),
    /// coturn: `redis-userdb`, `redis-statsdb`.
    Redis(Remote),
}

/// A database server, and how to sign in.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Remote {
    /// Name or address; a path is a Unix socket (PostgreSQL: its folder). `None`: the kind's default.
    pub host: Option<String>,
    /// It was named as an address, beside which a name does not count.
    pub(super) host_is_address: bool,
    /// `None`: the kind's default.
    pub port: Option<u16>,
    pub dbname: Option<String>,
    pub user: Option<String>,
    pub password: Option<Secret>,
    pub connect_timeout: Option<Duration>,
    pub read_timeout: Option<Duration>,
    /// PostgreSQL's and MySQL's `sslmode`: whether to use TLS and what to verify.
    pub tls_mode: Option<String>,
    /// PEM files: the authorities that are trusted, our certificate and its key.
    pub tls_ca: Option<PathBuf>,
    pub tls_certificate: Option<PathBuf>,
    pub tls_key: Option<PathBuf>,
}

impl Database {
    /// A SQLite file; `~` is the home folder, as coturn has it.
    pub fn sqlite(path: &str) -> Self {
        let path = path.trim();
        match path.strip_prefix('~').zip(std::env::var_os("HOME")) {
            Some((rest, home)) => Self::Sqlite(PathBuf::from(home).join(rest.trim_start_matches('/'))),
            None => Self::Sqlite(path.into()),
        }
    }

    /// libpq's words or a `postgresql://` URI.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn postgres(text: &str) -> Result<Self, AddressError> {
        Remote::read(Kind::Postgres, text).map(Self::Postgres)
    }

    /// coturn's words for MySQL, or a `mysql://` URI.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn mysql(text: &str) -> Result<Self, AddressError> {
        Remote::read(Kind::MySql, text).map(Self::MySql)
    }

    /// coturn's words for Redis, or a `redis://` URI.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn redis(text: &str) -> Result<Self, AddressError> {
        Remote::read(Kind::Redis, text).map(Self::Redis)
    }

    /// What to say to whoever has a MongoDB (coturn: `mongo-userdb`).
    pub const fn mongo() -> AddressError {
        AddressError::Unsupported("MongoDB is not supported: move the users to SQLite, PostgreSQL, MySQL or Redis")
    }

    /// Where it listens on the network; `None` for files and Unix sockets. Clients must not reach it through a relay.
    pub fn endpoint(&self) -> Option<(&str, u16)> {
        let (kind, remote) = match self {
            Self::Sqlite(_) => return None,
            Self::Postgres(remote) => (Kind::Postgres, remote),
            Self::MySql(remote) => (Kind::MySql, remote),
            Self::Redis(remote) => (Kind::Redis, remote),
        };
        let host = remote.host.as_deref().unwrap_or("localhost");
        (!host.starts_with('/')).then(|| (host, remote.port.unwrap_or(kind.port())))
    }

    /// The addresses behind [`Self::endpoint`], as far as they are known now. Asks the name service: it may block.
    pub fn socket_addresses(&self) -> Vec<SocketAddr> {
        use std::net::ToSocketAddrs;
        self.endpoint().and_then(|endpoint| endpoint.to_socket_addrs().ok()).map(Iterator::collect).unwrap_or_default()
    }

    /// The longest that one question takes: to connect and to be answered.
    pub(super) fn answer_max(&self) -> Duration {
        match self {
            Self::Sqlite(_) => READ_TIMEOUT_DEFAULT * 2,
            Self::Postgres(remote) | Self::MySql(remote) | Self::Redis(remote) => remote.connect_max() + remote.read_max(),
        }
    }
}

impl FromStr for Database {
    type Err = AddressError;

    /// `sqlite:PATH`, a URI, or a kind before words: `postgresql:host=db dbname=turn`.
    fn from_str(text: &str) -> Result<Self, AddressError> {
        let (scheme, rest) = text.trim().split_once(':').ok_or(AddressError::UnknownKind)?;
        match scheme {
            "sqlite" => Ok(Self::sqlite(rest.strip_prefix("//").unwrap_or(rest))),
            "postgresql" | "postgres" => Remote::read_behind_scheme(Kind::Postgres, rest).map(Self::Postgres),
            "mysql" | "mariadb" => Remote::read_behind_scheme(Kind::MySql, rest).map(Self::MySql),
            "redis" => Remote::read_behind_scheme(Kind::Redis, rest).map(Self::Redis),
            "mongodb" | "mongo" => Err(Self::mongo()),
            _ => Err(AddressError::UnknownKind),
        }
    }
}

impl fmt::Display for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, remote) = match self {
            Self::Sqlite(path) => return write!(f, "sqlite:{}", path.display()),
            Self::Postgres(remote) => ("postgresql", remote),
            Self::MySql(remote) => ("mysql", remote),
            Self::Redis(remote) => ("redis", remote),
        };
        write!(f, "{scheme}:")?;
        let port = remote.port.map(|port| port.to_string());
        let parts = [("host", &remote.host), ("port", &port), ("dbname", &remote.dbname), ("user", &remote.user)];
        let shown = parts.into_iter().filter_map(|(name, value)| Some(format!("{name}={}", value.as_ref()?)));
        f.write_str(&shown.collect::<Vec<_>>().join(" "))
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Remote").field("host", &self.host).field("port", &self.port).field("dbname", &self.dbname).finish_non_exhaustive()
    }
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Postgres,
    MySql,
    Redis,
}

impl Kind {
    const fn port(self) -> u16 {
        match self {
            Self::Postgres => 5432,
            Self::MySql => 3306,
            Self::Redis => 6379,
        }
    }

    fn words(self, text: &str) -> Result<Settings, AddressError> {
        match self {
            Self::Postgres => address::quoted_words(text),
            Self::MySql | Self::Redis => address::plain_words(text),
        }
    }

    fn has_scheme(self, scheme: &str) -> bool {
        match self {
            Self::Postgres => ["postgresql", "postgres"].contains(&scheme),
            Self::MySql => ["mysql", "mariadb"].contains(&scheme),
            Self::Redis => scheme == "redis",
        }
    }
}

impl Remote {
    fn read(kind: Kind, text: &str) -> Result<Self, AddressError> {
        // Configuration files often have the whole of it in quotes.
        let text = text.trim();
        let text = text.strip_prefix('"').and_then(|text| text.strip_suffix('"')).unwrap_or(text);
        match text.split_once("://") {
            Some((scheme, rest)) if kind.has_scheme(scheme) => Self::from_settings(kind, address::uri(rest)?),
            _ => Self::from_settings(kind, kind.words(text)?),
        }
    }

    fn read_behind_scheme(kind: Kind, rest: &str) -> Result<Self, AddressError> {
        let settings = rest.strip_prefix("//").map_or_else(|| kind.words(rest), address::uri)?;
        Self::from_settings(kind, settings)
    }

    fn from_settings(kind: Kind, settings: Settings) -> Result<Self, AddressError> {
        let mut remote = Self::default();
        for (name, value) in settings {
            if !remote.set(kind, &name, value)? {
                return Err(AddressError::UnknownSetting(name));
            }
        }
        Ok(remote)
    }

    /// Takes one setting; false when there is none of that name.
    fn set(&mut self, kind: Kind, name: &str, value: String) -> Result<bool, AddressError> {
        let text = |value: String| Some(value).filter(|value| !value.is_empty());
        match name {
            // libpq: the address counts, the name is for certificates only.
            "host" if self.host_is_address => {}
            "hostaddr" => {
                self.host_is_address = true;
                self.host = text(one_host(value)?);
            }
            "host" | "ip" | "addr" | "ipaddr" => self.host = text(one_host(value)?),
            "port" | "p" => self.port = text(value).map(|value| value.parse().map_err(|_| AddressError::Value("port"))).transpose()?,
            "dbname" | "db" | "database" if kind == Kind::Redis && value.parse::<u16>().is_err() => {
                return Err(AddressError::Value("dbname"));
            }
            "dbname" | "db" | "database" => self.dbname = text(value),
            "user" | "uname" | "name" | "username" => self.user = text(value),
            "password" | "pwd" | "passwd" | "secret" => self.password = text(value).map(Secret::new),
            "connect_timeout" | "timeout" => self.connect_timeout = seconds("connect_timeout", &value)?,
            "read_timeout" => self.read_timeout = seconds("read_timeout", &value)?,
            _ => return self.set_tls(kind, name, value),
        }
        Ok(true)
    }

    fn set_tls(&mut self, kind: Kind, name: &str, value: String) -> Result<bool, AddressError> {
        match (kind, name) {
            (Kind::Postgres, "sslmode") if value.parse::<PgSslMode>().is_err() => return Err(AddressError::Value("sslmode")),
            (Kind::MySql, "sslmode" | "ssl-mode") if value.parse::<MySqlSslMode>().is_err() => return Err(AddressError::Value("sslmode")),
            (Kind::Postgres, "sslmode") | (Kind::MySql, "sslmode" | "ssl-mode") => self.tls_mode = Some(value),
            (Kind::Postgres, "sslrootcert") | (Kind::MySql, "ca" | "ssl-ca") => self.tls_ca = Some(value.into()),
            (Kind::Postgres, "sslcert") | (Kind::MySql, "cert" | "ssl-cert") => self.tls_certificate = Some(value.into()),
            (Kind::Postgres, "sslkey") | (Kind::MySql, "key" | "ssl-key") => self.tls_key = Some(value.into()),
            (Kind::MySql, "capath" | "ssl-capath" | "cipher" | "ssl-cipher") => {
                return Err(AddressError::Unsupported("`capath` and `cipher` are not supported: name the authority's file with `ca`"));
            }
            // They tune libpq's own work, not what is asked.
            (
                Kind::Postgres,
                "application_name"
                | "fallback_application_name"
                | "keepalives"
                | "keepalives_idle"
                | "keepalives_interval"
                | "keepalives_count"
                | "tcp_user_timeout"
                | "client_encoding"
                | "gssencmode"
                | "target_session_attrs"
                | "channel_binding",
            ) => {}
            (Kind::Redis, "tls" | "ssl") if !["1", "true", "on", "yes"].contains(&value.as_str()) => {}
            (Kind::Redis, name) if name == "ssl" || name.starts_with("tls") => {
                return Err(AddressError::Unsupported("TLS to Redis is not supported: use loopback, a Unix socket or a tunnel"));
            }
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(super) fn connect_max(&self) -> Duration {
        self.connect_timeout.unwrap_or(CONNECT_TIMEOUT_DEFAULT)
    }

    pub(super) fn read_max(&self) -> Duration {
        self.read_timeout.unwrap_or(READ_TIMEOUT_DEFAULT)
    }
}

fn one_host(value: String) -> Result<String, AddressError> {
    if value.contains(',') {
        return Err(AddressError::Unsupported("several hosts are not supported: name one"));
    }
    Ok(value)
}

/// As libpq and coturn: 0 or nothing is the default.
fn seconds(name: &'static str, value: &str) -> Result<Option<Duration>, AddressError> {
    if value.is_empty() {
        return Ok(None);
    }
    match value.parse() {
        Ok(0) => Ok(None),
        Ok(seconds @ 1..=TIMEOUT_S_MAX) => Ok(Some(Duration::from_secs(seconds))),
        _ => Err(AddressError::Value(name)),
    }
}

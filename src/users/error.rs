//! Why a database could not be asked. No text here holds a secret.

use std::fmt;
use std::time::Duration;

/// What is wrong with a database's address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AddressError {
    /// A word without `=`, an unclosed quote, or text after one. The number counts words from 1.
    Syntax(usize),
    /// No such setting for this kind of database.
    UnknownSetting(String),
    /// A setting with a value that it cannot have.
    Value(&'static str),
    /// Understood, and not to be had here. Says what instead.
    Unsupported(&'static str),
    /// No kind of database that we know.
    UnknownKind,
}

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(word) => write!(f, "word {word} is not of the form name=value"),
            Self::UnknownSetting(name) => write!(f, "no setting is called `{name}`"),
            Self::Value(name) => write!(f, "`{name}` has a value that it cannot have"),
            Self::Unsupported(what) => f.write_str(what),
            Self::UnknownKind => f.write_str("expected sqlite:PATH, postgresql://…, mysql://… or redis://…"),
        }
    }
}

impl std::error::Error for AddressError {}

/// Why a question has no answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Error {
    /// There is no connection: the network, the server's process, or its file.
    Unreachable(String),
    /// No answer in this time.
    TimedOut(Duration),
    /// The database refuses: wrong password, no such table, no right to do it.
    Refused(String),
}

impl Error {
    /// Whether the database itself is away, so that the next question will fare no better.
    pub fn is_away(&self) -> bool {
        match self {
            Self::Unreachable(_) | Self::TimedOut(_) => true,
            Self::Refused(_) => false,
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreachable(why) => write!(f, "the database cannot be reached: {why}"),
            Self::TimedOut(after) => write!(f, "the database did not answer in {} s", after.as_secs()),
            Self::Refused(why) => write!(f, "the database refuses: {why}"),
        }
    }
}

impl std::error::Error for Error {}

impl From<sqlx::Error> for Error {
    fn from(error: sqlx::Error) -> Self {
        match error {
            // Some servers put the stored value into this message, and it may be a secret.
            sqlx::Error::Database(error) if error.is_unique_violation() => Self::Refused("an entry of this name exists".to_owned()),
            sqlx::Error::Database(error) => Self::Refused(error.message().to_owned()),
            sqlx::Error::Io(error) => Self::Unreachable(error.to_string()),
            sqlx::Error::Tls(error) => Self::Unreachable(format!("TLS: {error}")),
            sqlx::Error::PoolTimedOut => Self::Unreachable("no connection became free in time".to_owned()),
            sqlx::Error::PoolClosed | sqlx::Error::WorkerCrashed => Self::Unreachable("closed".to_owned()),
            sqlx::Error::Protocol(_) => Self::Unreachable("what it says is not this kind of database's protocol".to_owned()),
            _ => Self::Refused("an answer of another form than expected".to_owned()),
        }
    }
}

impl From<redis::RedisError> for Error {
    fn from(error: redis::RedisError) -> Self {
        if error.is_io_error() || error.is_connection_dropped() || error.is_timeout() {
            return Self::Unreachable(error.to_string());
        }
        // Only the code and the server's own words, which quote no argument.
        Self::Refused(
            error.code().map_or_else(|| error.category().to_owned(), |code| format!("{code}: {}", error.detail().unwrap_or_default())),
        )
    }
}

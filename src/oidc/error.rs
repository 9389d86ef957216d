//! Why somebody could not sign in.

use std::fmt;

use super::id_token::IdTokenError;
use super::person::NotAllowed;

/// What is wrong at the provider, or between it and us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ProviderError {
    /// Too many questions to it are open already.
    Busy,
    /// No connection, no answer in time, or no TLS.
    Unreachable(String),
    /// It answers this status.
    Status {
        what: &'static str,
        status: u16,
    },
    /// It answers what is not understood or must not be so.
    Answer(&'static str),
    /// It does not take the code, or not us: its error code (RFC 6749 section 5.2).
    Refused(String),
    IdToken(IdTokenError),
}

impl fmt::Display for ProviderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Busy => f.write_str("too many sign-ins at a time"),
            Self::Unreachable(why) => write!(f, "the provider cannot be reached: {why}"),
            Self::Status { what, status } => write!(f, "{what}: the provider answers {status}"),
            Self::Answer(what) => f.write_str(what),
            Self::Refused(code) => write!(f, "the provider refuses: {code}"),
            Self::IdToken(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ProviderError {}

impl ProviderError {
    /// Whether an operator should look. A stranger's made-up code is nobody's concern.
    pub fn is_operators(&self) -> bool {
        match self {
            Self::Busy => false,
            Self::Refused(code) => code != "invalid_grant",
            Self::Unreachable(_) | Self::Status { .. } | Self::Answer(_) | Self::IdToken(_) => true,
        }
    }
}

/// What people are told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trouble {
    /// They were to be sent elsewhere afterwards.
    Elsewhere,
    /// It took too long, or began in another browser or another tab.
    NotBegun,
    /// They, or the provider for them, said no.
    Declined,
    Provider(ProviderError),
    NotAllowed(NotAllowed),
    /// No random numbers, or no room in a cookie.
    Ours,
}

impl From<ProviderError> for Trouble {
    fn from(error: ProviderError) -> Self {
        Self::Provider(error)
    }
}

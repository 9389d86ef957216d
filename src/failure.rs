//! How a command ends when it cannot do what it was asked for.

use std::fmt;
use std::process::ExitCode;

/// Why a command failed, in words for the operator.
#[derive(Debug)]
pub enum Failure {
    /// The operator can mend it: the configuration, an address that is taken. Exit code 2.
    Operator(String),
    /// Anything else. Exit code 1.
    Other(String),
}

impl Failure {
    pub fn exit_code(&self) -> ExitCode {
        match self {
            Self::Operator(_) => ExitCode::from(2),
            Self::Other(_) => ExitCode::FAILURE,
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Operator(what) | Self::Other(what) => f.write_str(what),
        }
    }
}

impl std::error::Error for Failure {}

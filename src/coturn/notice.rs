//! What there is to say about a configuration, and where.

use std::fmt;
use std::sync::Arc;

/// Where an option was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// File and line, from 1.
    Line(Arc<str>, usize),
    CommandLine,
    /// The configuration as a whole.
    Whole,
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Line(file, line) => write!(f, "{file}:{line}"),
            Self::CommandLine => f.write_str("command line"),
            Self::Whole => f.write_str("configuration"),
        }
    }
}

/// How much it matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Weight {
    /// Good to know: an option that tunes something which does not exist here.
    Note,
    /// Something that is asked for is not done, or is dangerous.
    Warning,
    /// An unknown or obsolete name: passed over as coturn does, an error for `check --strict`.
    PassedOver,
    /// The server does not start.
    Error,
}

/// Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Notice {
    pub place: Place,
    pub weight: Weight,
    pub what: String,
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let weight = match self.weight {
            Weight::Note => "note",
            Weight::Warning | Weight::PassedOver => "warning",
            Weight::Error => "error",
        };
        write!(f, "{}: {weight}: {}", self.place, self.what)
    }
}

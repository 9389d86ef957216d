//! The command line, read as GNU `getopt_long` reads it, on which coturn stands: long names may be cut short as long as they are
//! clear, letters may be joined (`-vf`), a letter's value may follow at once (`-p3478`), and what is no option may stand anywhere.

use super::options::{self, Argument, Name, OPTIONS, Row};

/// An option of the command line, as far as it could be read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Given {
    Option {
        option: Name,
        value: String,
    },
    /// No option: coturn tells and goes on.
    Stray(String),
}

/// A command line that coturn refuses, too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Misuse {
    Unknown(String),
    Ambiguous(String, Vec<&'static str>),
    NoValue(String),
}

impl std::fmt::Display for Misuse {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Unknown(name) => {
                write!(f, "there is no option {name}")?;
                let names = OPTIONS.iter().flat_map(|row| row.longs);
                match super::nearest(name.trim_start_matches('-'), names.copied()) {
                    Some(near) => write!(f, "; did you mean --{near}?"),
                    None => Ok(()),
                }
            }
            Self::Ambiguous(name, all) => write!(f, "{name} could be --{}", all.join(" or --")),
            Self::NoValue(name) => write!(f, "{name} needs a value"),
        }
    }
}

/// Reads all arguments after the program's name.
///
/// # Errors
/// The first one that cannot be meant.
pub fn read(arguments: &[String]) -> Result<Vec<Given>, Misuse> {
    let mut given = Vec::new();
    let mut rest = arguments.iter();
    while let Some(argument) = rest.next() {
        if argument == "--" {
            given.extend(rest.by_ref().map(|stray| Given::Stray(stray.clone())));
        } else if let Some(long) = argument.strip_prefix("--") {
            given.push(read_long(long, &mut rest)?);
        } else if let Some(letters) = argument.strip_prefix('-').filter(|letters| !letters.is_empty()) {
            read_letters(letters, &mut rest, &mut given)?;
        } else {
            given.push(Given::Stray(argument.clone()));
        }
    }
    Ok(given)
}

fn read_long<'a>(long: &str, rest: &mut impl Iterator<Item = &'a String>) -> Result<Given, Misuse> {
    let (name, value) = match long.split_once('=') {
        Some((name, value)) => (name, Some(value)),
        None => (long, None),
    };
    let row = find_long(name)?;
    let value = match (row.argument, value) {
        (_, Some(value)) => value.to_owned(),
        (Argument::Required, None) => rest.next().cloned().ok_or_else(|| Misuse::NoValue(format!("--{name}")))?,
        (Argument::Switch | Argument::Optional, None) => String::new(),
    };
    Ok(Given::Option { option: row.option, value })
}

fn find_long(name: &str) -> Result<&'static Row, Misuse> {
    if let Some(row) = options::by_long(name) {
        return Ok(row);
    }
    let unknown = || Misuse::Unknown(format!("--{}", super::shown(name)));
    if name.is_empty() {
        return Err(unknown());
    }
    let matching = |row: &&'static Row| row.longs.iter().any(|long| long.starts_with(name));
    let mut rows = OPTIONS.iter().filter(matching);
    match (rows.next(), rows.next()) {
        (Some(row), None) => Ok(row),
        (Some(_), Some(_)) => {
            let all = OPTIONS.iter().filter(matching).map(Row::long).take(5).collect();
            Err(Misuse::Ambiguous(format!("--{name}"), all))
        }
        (None, _) => Err(unknown()),
    }
}

fn read_letters<'a>(letters: &str, rest: &mut impl Iterator<Item = &'a String>, given: &mut Vec<Given>) -> Result<(), Misuse> {
    for (index, letter) in letters.char_indices() {
        let row = options::by_short(letter).ok_or_else(|| Misuse::Unknown(format!("-{letter}")))?;
        if !row.short_takes_value() {
            given.push(Given::Option { option: row.option, value: String::new() });
            continue;
        }
        let joined = letters.get(index + letter.len_utf8()..).unwrap_or_default();
        let value = match joined {
            "" => rest.next().cloned().ok_or_else(|| Misuse::NoValue(format!("-{letter}")))?,
            // Only long options are written with `=`; coturn warns and takes it for part of the value.
            joined => joined.strip_prefix('=').unwrap_or(joined).to_owned(),
        };
        given.push(Given::Option { option: row.option, value });
        return Ok(());
    }
    Ok(())
}

//! A log file: under its own name, or under a new one each day.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use super::calendar::Moment;
use super::unix_now;

/// How a file's name comes about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Naming {
    /// As it was given (coturn: `simple-log`).
    Plain,
    /// With the date before the extension: `turn.log` becomes `turn_2026-11-22.log`, and another the day after.
    Dated,
}

#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    naming: Naming,
    open: Mutex<Open>,
}

#[derive(Debug)]
struct Open {
    file: File,
    /// Since the epoch.
    day: u64,
}

impl LogFile {
    /// Opens it for appending, and makes it when there is none.
    ///
    /// # Errors
    /// The system's.
    pub fn open(path: &Path, naming: Naming) -> io::Result<Self> {
        let open = open(path, naming, &Moment::at(unix_now()))?;
        Ok(Self { path: path.to_owned(), naming, open: Mutex::new(open) })
    }

    /// Lets go of the file and opens it by its name again.
    ///
    /// # Errors
    /// The system's; then the old file stays in use.
    pub fn reopen(&self) -> io::Result<()> {
        let open = open(&self.path, self.naming, &Moment::at(unix_now()))?;
        *self.open.lock().unwrap_or_else(PoisonError::into_inner) = open;
        Ok(())
    }

    /// # Errors
    /// The system's.
    pub fn write(&self, line: &[u8]) -> io::Result<()> {
        let mut held = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        if self.naming == Naming::Dated {
            let now = Moment::at(unix_now());
            // A new name that cannot be opened leaves the old file in use.
            if now.day_number() != held.day
                && let Ok(new) = open(&self.path, self.naming, &now)
            {
                *held = new;
            }
        }
        held.file.write_all(line)
    }
}

fn open(path: &Path, naming: Naming, now: &Moment) -> io::Result<Open> {
    let name = match naming {
        Naming::Plain => path.to_owned(),
        Naming::Dated => dated(path, &now.date()),
    };
    let file = OpenOptions::new().create(true).append(true).open(name)?;
    Ok(Open { file, day: now.day_number() })
}

pub(super) fn dated(path: &Path, date: &str) -> PathBuf {
    let Some(stem) = path.file_stem() else { return path.to_owned() };
    let mut name = stem.to_owned();
    name.push("_");
    name.push(date);
    if let Some(extension) = path.extension() {
        name.push(".");
        name.push(extension);
    }
    path.with_file_name(name)
}

//! coturn's command line and configuration file, taken as they stand.
//!
//! ```text
//! arguments ─┐                    ┌─▶ judge ──▶ what coturn refuses, too
//!            ├─▶ Collector ──▶ Settings
//! file ──────┘   (options.rs)     └─▶ map ────▶ config::Config and Process
//! ```
//! Reading is total: whatever the file holds, there are [`Settings`] and [`Notice`]s. Whether a server starts is for the notices
//! to say: an [`Weight::Error`] among them keeps it from it.

pub mod arguments;
mod host;
mod judge;
pub mod lines;
mod map;
mod notice;
pub mod options;
pub mod search;
mod settings;
#[cfg(test)]
mod tests;
pub mod value;

use std::path::PathBuf;
use std::sync::Arc;

pub use notice::{Notice, Place, Weight};
pub use settings::{Collector, DatabaseAddress, External, Family, LogSettings, Login, Settings, Verbosity};

use arguments::{Given, Misuse};
pub use host::Host;
pub use judge::Access;
pub use map::{Plan, Process};
use options::Name;

/// Where the process's number is written when no file is named.
pub const PIDFILE_DEFAULT: &str = "/var/run/turnserver.pid";

/// Longest part of a wrong line that a message shows.
const SHOWN_MAX: usize = 48;

/// A file's text, and its name for messages.
#[derive(Clone, Debug)]
pub struct File {
    pub name: Arc<str>,
    pub text: String,
}

/// Which file a command line asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FileWish {
    /// `-n`
    None,
    /// `-c FILE`
    Named(String),
    /// Neither.
    Default,
}

/// What a command line is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CommandLine {
    given: Vec<Given>,
    pub file: FileWish,
    pub help: bool,
    pub version: bool,
}

impl CommandLine {
    /// Reads the arguments after the program's name.
    ///
    /// # Errors
    /// An option that does not exist, or lacks its value: coturn does not start with it either.
    pub fn read(arguments: &[String]) -> Result<Self, Misuse> {
        let given = arguments::read(arguments)?;
        let mut line = Self { given: Vec::new(), file: FileWish::Default, help: false, version: false };
        for given in &given {
            match given {
                Given::Option { option: Name::ConfigFile, value } if line.file != FileWish::None => {
                    line.file = FileWish::Named(value.clone())
                }
                Given::Option { option: Name::NoConfigFile, .. } => line.file = FileWish::None,
                Given::Option { option: Name::Help, .. } => line.help = true,
                Given::Option { option: Name::Version, .. } => line.version = true,
                Given::Option { .. } | Given::Stray(_) => {}
            }
        }
        Ok(Self { given, ..line })
    }
}

/// Reads the file, then the command line, whose options win; `user` lines come last, and of the places for the log those of the
/// file win, as with coturn.
pub fn collect(file: Option<&File>, command_line: &CommandLine) -> Collector {
    let mut collector = Collector::default();
    let options = || {
        command_line.given.iter().filter_map(|given| match given {
            Given::Option { option, value } => Some((*option, value.as_str())),
            Given::Stray(_) => None,
        })
    };
    for (option, value) in options().filter(|(option, _)| is_log(*option)) {
        collector.set(option, value, &Place::CommandLine);
    }
    if let Some(file) = file {
        read_file(file, &mut collector);
    }
    for (option, value) in options().filter(|(option, _)| !is_log(*option)) {
        collector.set(option, value, &Place::CommandLine);
    }
    for given in &command_line.given {
        if let Given::Stray(stray) = given {
            let what = format!("`{}` is no option and is passed over", shown(stray));
            collector.notices.push(Notice { place: Place::CommandLine, weight: Weight::PassedOver, what });
        }
    }
    collector
}

fn is_log(option: Name) -> bool {
    matches!(
        option,
        Name::LogFile
            | Name::NoStdoutLog
            | Name::Syslog
            | Name::SyslogFacility
            | Name::SimpleLog
            | Name::NewLogTimestamp
            | Name::NewLogTimestampFormat
    )
}

fn read_file(file: &File, collector: &mut Collector) {
    for line in lines::lines(&file.text) {
        let place = Place::Line(Arc::clone(&file.name), line.number);
        match options::by_long(line.name) {
            Some(row) => collector.set(row.option, line.value, &place),
            None => collector.unknown(line.name, &place),
        }
        if line.semicolon {
            let what = "the line ends with a semicolon, which counts as part of the value".to_owned();
            collector.notices.push(Notice { place, weight: Weight::Warning, what });
        }
    }
}

/// Finds and reads the file that a command line asks for. `Err`: the name of what could not be found, or why it cannot be read;
/// coturn goes on without it.
pub fn open(wish: &FileWish) -> Result<Option<File>, String> {
    let name = match wish {
        FileWish::None => return Ok(None),
        FileWish::Named(name) => name.as_str(),
        FileWish::Default => search::DEFAULT_FILE,
    };
    let path: PathBuf =
        search::find(name).ok_or_else(|| format!("there is no configuration file {name}: the defaults and the command line count"))?;
    let bytes = std::fs::read(&path).map_err(|error| format!("{} cannot be read: {error}", path.display()))?;
    Ok(Some(File { name: path.display().to_string().into(), text: String::from_utf8_lossy(&bytes).into_owned() }))
}

/// Whether a file without a telling name is coturn's: most of its lines begin with a name of coturn's, and none opens a TOML table.
pub fn looks_like(text: &str) -> bool {
    let (mut known, mut all) = (0_usize, 0_usize);
    for line in lines::lines(text) {
        if line.name.starts_with('[') {
            return false;
        }
        all += 1;
        known += usize::from(options::by_long(line.name).is_some());
    }
    known * 2 > all
}

/// What a message shows of text that somebody wrote: not much, and no control characters.
fn shown(text: &str) -> String {
    text.chars().take(SHOWN_MAX).flat_map(char::escape_debug).collect()
}

/// The name that was probably meant.
fn nearest<'a>(name: &str, names: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    let (near, likeness) = names.map(|known| (known, strsim::jaro_winkler(name, known))).max_by(|a, b| a.1.total_cmp(&b.1))?;
    (likeness > 0.9).then_some(near)
}

/// For the fuzz target: whatever the bytes, there are settings, and no notice is longer than a line of a log.
#[doc(hidden)]
pub fn fuzz(input: &[u8]) {
    let text = String::from_utf8_lossy(input);
    let file = File { name: "fuzz".into(), text: text.clone().into_owned() };
    let words: Vec<String> = text.split('\n').take(64).map(str::to_owned).collect();
    let empty = CommandLine { given: Vec::new(), file: FileWish::Default, help: false, version: false };
    let command_line = CommandLine::read(&words).unwrap_or(empty);
    let collector = collect(Some(&file), &command_line);
    assert!(collector.notices.iter().all(|notice| notice.what.len() < 1_000));
}

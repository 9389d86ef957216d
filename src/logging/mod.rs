//! Where the log goes: standard error or output, a file that can be moved away while it is written, the system's log.

mod calendar;
mod file;
mod syslog;
#[cfg(test)]
mod tests;

use std::io::{self, IsTerminal, Write};
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use tracing::{Level, Metadata};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::time::FormatTime;

pub use file::{LogFile, Naming};
pub use syslog::{Facility, Syslog};

use crate::failure::Failure;
use calendar::Moment;

/// What stands before a line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stamp {
    /// The receiver adds it.
    None,
    /// Seconds since the start, as coturn has it.
    Uptime,
    /// Date and time, UTC, as `strftime` forms it.
    Clock(String),
}

/// Date and time as RFC 3339 has them.
pub const CLOCK_DEFAULT: &str = "%FT%TZ";

/// Every place that the log goes to.
#[derive(Debug)]
pub struct Log {
    pub stdout: bool,
    pub stderr: bool,
    pub file: Option<LogFile>,
    pub syslog: Option<Syslog>,
    pub stamp: Stamp,
}

impl Log {
    /// What `serve` uses: standard error, for a terminal or the service manager.
    pub const fn stderr() -> Self {
        Self { stdout: false, stderr: true, file: None, syslog: None, stamp: Stamp::Clock(String::new()) }
    }

    /// Makes this the log of the process. `filter` is what `[log] level` takes.
    ///
    /// # Errors
    /// A filter that makes no sense; a second log.
    pub fn start(self, filter: &str) -> Result<Arc<Self>, Failure> {
        // rtc-dtls warns of every extension it does not know in every ClientHello: no operator can act on that.
        let filter =
            EnvFilter::try_new(format!("rtc_dtls=error,{filter}")).map_err(|error| Failure::Operator(format!("[log] level: {error}")))?;
        let log = Arc::new(self);
        let stamp = Stamper { stamp: log.stamp.clone(), start: Instant::now() };
        let colours = log.stderr && io::stderr().is_terminal();
        tracing_subscriber::fmt()
            .with_env_filter(filter)
            .with_writer(Lines(Arc::clone(&log)))
            .with_timer(stamp)
            .with_target(log.stderr)
            .with_ansi(colours)
            .try_init()
            .map_err(|error| Failure::Other(format!("the log cannot be started: {error}")))?;
        Ok(log)
    }

    /// Opens the file anew, after it was moved away.
    pub fn reopen(&self) {
        if let Some(file) = &self.file
            && let Err(error) = file.reopen()
        {
            tracing::error!(%error, "the log file cannot be opened again; lines go to the old one");
        }
    }
}

fn unix_now() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

struct Stamper {
    stamp: Stamp,
    start: Instant,
}

impl FormatTime for Stamper {
    fn format_time(&self, out: &mut Writer<'_>) -> std::fmt::Result {
        match &self.stamp {
            Stamp::None => Ok(()),
            Stamp::Uptime => write!(out, "{}:", self.start.elapsed().as_secs()),
            // Microseconds, as everybody has them who does not ask for a form.
            Stamp::Clock(form) if form.is_empty() => {
                let now = unix_now();
                Moment::at(now).write(out, "%FT%T")?;
                write!(out, ".{:06}Z", now.subsec_micros())
            }
            Stamp::Clock(form) => Moment::at(unix_now()).write(out, form),
        }
    }
}

/// Gives each event a writer that knows how grave it is.
struct Lines(Arc<Log>);

struct LineWriter<'a> {
    log: &'a Log,
    level: Level,
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = LineWriter<'a>;

    fn make_writer(&'a self) -> LineWriter<'a> {
        LineWriter { log: &self.0, level: Level::INFO }
    }

    fn make_writer_for(&'a self, meta: &Metadata<'_>) -> LineWriter<'a> {
        LineWriter { log: &self.0, level: *meta.level() }
    }
}

impl Write for LineWriter<'_> {
    /// One whole line. A place that cannot take it is passed over: a full disk must not end calls.
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.log.stderr {
            let _ = io::stderr().write_all(line);
        }
        if self.log.stdout {
            let _ = io::stdout().write_all(line);
        }
        if let Some(file) = &self.log.file {
            let _ = file.write(line);
        }
        if let Some(syslog) = &self.log.syslog {
            syslog.write(self.level, line);
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

//! `pointsman turnserver`: coturn's command line and configuration file, on our server.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use nix::unistd::{Gid, Group, Uid, User, daemon, setgid, setgroups, setuid};

use crate::config::Config;
use crate::control::{self, Relay, Role};
use crate::coturn::options::{Argument, Group as OptionGroup, OPTIONS};
use crate::coturn::{
    CommandLine, File, FileWish, Host, LogSettings, Notice, PIDFILE_DEFAULT, Plan, Process, Verbosity, Weight, collect, open,
};
use crate::failure::Failure;
use crate::logging::{CLOCK_DEFAULT, Facility, Log, LogFile, Naming, Stamp, Syslog};

/// Where the log goes when nothing says otherwise, as with coturn; not the folders that everybody may write to, where others could
/// lay out links for us.
const LOG_FOLDERS: [&str; 2] = ["/var/log/turnserver", "/var/log"];

/// Runs the server with coturn's arguments, the program's name left out.
pub fn run(arguments: &[String]) -> Result<(), Failure> {
    let command_line = CommandLine::read(arguments).map_err(|misuse| Failure::Operator(format!("{misuse}; see turnserver --help")))?;
    if command_line.help {
        println!("{}", help());
        return Ok(());
    }
    if command_line.version {
        println!("{}", env!("CARGO_PKG_VERSION"));
        return Ok(());
    }
    let (plan, notices) = read(&command_line);
    refuse(&notices)?;
    let Plan { config, process } = plan;
    let identity = Identity::find(&process)?;
    if process.daemon {
        // Before any thread is started: a fork takes only one along.
        daemon(true, false).map_err(|error| Failure::Other(format!("cannot detach from the terminal: {error}")))?;
    }
    let log = start_log(&process.log)?;
    tell(&notices);
    let pidfile = process.pidfile.as_deref().map(write_pid);
    let relay = Relay {
        log,
        metrics_path: process.metrics_path.clone(),
        metrics_of_users: process.metrics_of_users,
        metrics_tls: process.metrics_tls.clone(),
        acme_redirect: process.acme_redirect.clone(),
        drain_min_allocations: process.drain_min_allocations,
        bound: Box::new(move || identity.take_on()),
    };
    let ended = control::run(config, Role::Relay(relay));
    if let Some(Some(file)) = pidfile {
        let _ = fs::remove_file(file);
    }
    ended
}

/// What a file alone comes to, for those who ask the server that runs with it.
pub(super) fn config(file: &File) -> Result<Config, Failure> {
    let none = CommandLine::read(&[]).map_err(|misuse| Failure::Other(misuse.to_string()))?;
    Ok(collect(Some(file), &none).plan(&Host::this()).config)
}

/// What a command line and its file come to, and all there is to say about them.
fn read(command_line: &CommandLine) -> (Plan, Vec<Notice>) {
    let (file, missing) = match open(&command_line.file) {
        Ok(file) => (file, None),
        Err(why) => (None, Some(why)),
    };
    let mut collector = collect(file.as_ref(), command_line);
    // Nobody asked for the default file: it may be missing.
    let weight = if command_line.file == FileWish::Default { Weight::Note } else { Weight::Warning };
    let place = crate::coturn::Place::CommandLine;
    collector.notices.extend(missing.map(|what| Notice { place, weight, what }));
    collector.judge();
    let plan = collector.plan(&Host::this());
    (plan, collector.notices)
}

/// # Errors
/// With all that keeps the server from starting.
fn refuse(notices: &[Notice]) -> Result<(), Failure> {
    let errors: Vec<String> = notices.iter().filter(|notice| notice.weight == Weight::Error).map(ToString::to_string).collect();
    if errors.is_empty() { Ok(()) } else { Err(Failure::Operator(errors.join("\n"))) }
}

fn tell(notices: &[Notice]) {
    for Notice { place, weight, what } in notices {
        match weight {
            Weight::Note => tracing::info!("{place}: {what}"),
            Weight::Warning | Weight::PassedOver => tracing::warn!("{place}: {what}"),
            Weight::Error => tracing::error!("{place}: {what}"),
        }
    }
}

/// Writes the process's number. `None`, and a warning, when it cannot be written: coturn goes on, too.
fn write_pid(file: &Path) -> Option<PathBuf> {
    match fs::write(file, format!("{}\n", std::process::id())) {
        Ok(()) => Some(file.to_owned()),
        Err(error) => {
            // Nobody asked for the usual place.
            if file != Path::new(PIDFILE_DEFAULT) {
                tracing::warn!("the pid file {} cannot be written: {error}", file.display());
            }
            None
        }
    }
}

/// Whom the process becomes once its ports are bound.
struct Identity {
    user: Option<(Uid, String)>,
    group: Option<(Gid, String)>,
}

impl Identity {
    fn find(process: &Process) -> Result<Self, Failure> {
        let unknown = |option: &str, name: &str| Failure::Operator(format!("{option}: there is no {name} on this host"));
        let user = process.user.as_deref().map(|name| match User::from_name(name) {
            Ok(Some(user)) => Ok((user.uid, name.to_owned())),
            Ok(None) | Err(_) => Err(unknown("proc-user", name)),
        });
        let group = process.group.as_deref().map(|name| match Group::from_name(name) {
            Ok(Some(group)) => Ok((group.gid, name.to_owned())),
            Ok(None) | Err(_) => Err(unknown("proc-group", name)),
        });
        Ok(Self { user: user.transpose()?, group: group.transpose()? })
    }

    /// The group first: afterwards there is no right to change it.
    fn take_on(&self) -> Result<(), Failure> {
        let refused = |what: &str, name: &str, error: nix::Error| Failure::Operator(format!("cannot become {what} {name}: {error}"));
        if (self.user.is_some() || self.group.is_some()) && Uid::effective().is_root() {
            setgroups(&[]).map_err(|error| refused("a process without further groups,", "that is", error))?;
        }
        if let Some((gid, name)) = &self.group
            && *gid != Gid::effective()
        {
            setgid(*gid).map_err(|error| refused("group", name, error))?;
            tracing::info!("group is {name} now");
        }
        if let Some((uid, name)) = &self.user
            && *uid != Uid::effective()
        {
            setuid(*uid).map_err(|error| refused("user", name, error))?;
            tracing::info!("user is {name} now");
        }
        Ok(())
    }
}

fn start_log(settings: &LogSettings) -> Result<Arc<Log>, Failure> {
    let syslog = settings.syslog || settings.file.as_deref() == Some("syslog");
    let log = if syslog { to_syslog(settings)? } else { to_file(settings)? };
    log.start(&filter(settings))
}

fn to_syslog(settings: &LogSettings) -> Result<Log, Failure> {
    let facility = match settings.facility.as_deref() {
        None => Facility::USER,
        Some(name) => Facility::named(name)
            .ok_or_else(|| Failure::Operator(format!("syslog-facility: {name:?} is none; LOG_DAEMON and LOG_LOCAL0 are, for example")))?,
    };
    let syslog = Syslog::new(facility, "turnserver").map_err(|error| Failure::Other(format!("no socket for the system's log: {error}")))?;
    Ok(Log { stdout: false, stderr: false, file: None, syslog: Some(syslog), stamp: Stamp::None })
}

fn to_file(settings: &LogSettings) -> Result<Log, Failure> {
    let stamp = match (&settings.timestamp_format, settings.timestamps) {
        (Some(form), _) => Stamp::Clock(form.clone()),
        (None, true) => Stamp::Clock(CLOCK_DEFAULT.to_owned()),
        (None, false) => Stamp::Uptime,
    };
    let naming = if settings.simple { Naming::Plain } else { Naming::Dated };
    let file = match settings.file.as_deref() {
        Some("stdout" | "-") => None,
        Some(name) => {
            let path = Path::new(name);
            let told = |error: io::Error| eprintln!("log-file: {name} cannot be written: {error}; the log goes to standard output only");
            LogFile::open(path, naming).map_err(told).ok()
        }
        None => {
            let name = if settings.simple { "turn.log".to_owned() } else { format!("turn_{}.log", std::process::id()) };
            LOG_FOLDERS.iter().find_map(|folder| LogFile::open(&Path::new(folder).join(&name), naming).ok())
        }
    };
    // A log that goes nowhere helps nobody.
    let stdout = !settings.no_stdout || file.is_none();
    Ok(Log { stdout, stderr: false, file, syslog: None, stamp })
}

fn filter(settings: &LogSettings) -> String {
    let most = match settings.verbose {
        Verbosity::Quiet => "info",
        Verbosity::Normal => "info,pointsman=debug,pointsman_turn=debug",
        Verbosity::Extra => "debug,pointsman=trace,pointsman_turn=trace",
    };
    match settings.level_min.as_deref() {
        Some("error") => "error",
        Some("warning" | "warn") => "warn",
        Some("info") => "info",
        Some(_) | None => most,
    }
    .to_owned()
}

/// The options as a person reads them, group by group.
fn help() -> String {
    let mut text = "Usage: turnserver [options]\n\nTakes coturn's options and its turnserver.conf.\n".to_owned();
    for group in OptionGroup::ALL {
        text.push_str(&format!("\n{}:\n", group.title()));
        for row in OPTIONS.iter().filter(|row| row.group == group) {
            let short = row.short.map(|letter| format!("-{letter}, ")).unwrap_or_default();
            let value = match row.argument {
                Argument::Switch => "",
                Argument::Optional => "[=VALUE]",
                Argument::Required => " VALUE",
            };
            let names = row.longs.iter().map(|long| format!("--{long}")).collect::<Vec<_>>().join(", ");
            text.push_str(&format!("  {:<42} {}\n", format!("{short}{names}{value}"), row.what));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn help_names_every_option() {
        let help = help();
        for long in OPTIONS.iter().flat_map(|row| row.longs) {
            assert!(help.contains(&format!("--{long}")), "{long}");
        }
    }

    #[test]
    fn level_is_the_higher_of_what_is_asked_for() {
        let with =
            |verbose, level: Option<&str>| filter(&LogSettings { verbose, level_min: level.map(str::to_owned), ..LogSettings::default() });
        assert_eq!(with(Verbosity::Quiet, None), "info");
        assert_eq!(with(Verbosity::Extra, Some("error")), "error");
        assert_eq!(with(Verbosity::Normal, Some("debug")), with(Verbosity::Normal, None));
    }

    #[test]
    fn unknown_users_and_groups_are_refused() {
        let process = |user: Option<&str>, group: Option<&str>| Process {
            user: user.map(str::to_owned),
            group: group.map(str::to_owned),
            ..Process::default()
        };
        assert!(Identity::find(&process(Some("no such user"), None)).is_err());
        assert!(Identity::find(&process(None, Some("no such group"))).is_err());
        assert!(Identity::find(&process(Some("root"), None)).is_ok());
    }
}

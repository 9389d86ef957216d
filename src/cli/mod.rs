//! The command line. A new command is a variant of [`Command`], an arm in [`run`] and a file beside this one.

mod check;
mod ctl;
mod serve;
mod token;
mod turnadmin;
mod turnserver;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::{Parser, Subcommand};

use crate::config::{self, Config, Loaded};
use crate::failure::Failure;
use crate::load;

#[derive(Debug, Parser)]
#[command(name = "pointsman", version, about = "TURN relay, SFU and signalling for video calls in one binary")]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
#[allow(clippy::large_enum_variant, reason = "there is one in a process")]
enum Command {
    /// Run the server
    Serve(serve::Arguments),
    /// Validate a configuration and print it as it is in force, secrets hidden
    Check(check::Arguments),
    /// Mint a token with which a participant may join a room
    Token(token::Arguments),
    /// Ask a running server, or tell it what to do
    Ctl(ctl::Arguments),
    /// Run the TURN server alone, with coturn's options and turnserver.conf
    #[command(disable_help_flag = true)]
    Turnserver(Foreign),
    /// Administer the users of a coturn database, with turnadmin's options
    #[command(disable_help_flag = true)]
    Turnadmin(Foreign),
    /// Put real WebRTC load on a WHIP and WHEP server, and report
    Load(load::LoadArgs),
}

/// Arguments that are not ours to read.
#[derive(Debug, clap::Args)]
struct Foreign {
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    arguments: Vec<String>,
}

/// Runs the command that the process was started with.
pub fn run() -> ExitCode {
    let outcome = match alias() {
        Some(outcome) => outcome,
        None => run_command(),
    };
    let Err(failure) = outcome else { return ExitCode::SUCCESS };
    eprintln!("{failure}");
    failure.exit_code()
}

/// Under coturn's names this is coturn's program.
fn alias() -> Option<Result<(), Failure>> {
    let mut arguments = std::env::args_os().map(|argument| argument.to_string_lossy().into_owned());
    let program = PathBuf::from(arguments.next()?);
    let rest: Vec<String> = arguments.collect();
    match program.file_name()?.to_str()? {
        "turnserver" => Some(turnserver::run(&rest)),
        "turnadmin" => Some(turnadmin::run(&rest)),
        _ => None,
    }
}

fn run_command() -> Result<(), Failure> {
    // Wrong usage ends here, with exit code 2.
    match Arguments::parse().command {
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Check(arguments) => check::run(&arguments),
        Command::Token(arguments) => token::run(&arguments),
        Command::Ctl(arguments) => ctl::run(&arguments),
        Command::Turnserver(foreign) => turnserver::run(&foreign.arguments),
        Command::Turnadmin(foreign) => turnadmin::run(&foreign.arguments),
        Command::Load(arguments) => load::run(&arguments).map_err(Failure::Other),
    }
}

/// Where a configuration is looked for when none is named.
const DEFAULT_FILE: &str = "/etc/pointsman/pointsman.toml";

/// Reads the named file, or else the default one where it exists, or else the environment alone.
fn load(file: Option<&Path>, base: Config, look_in_default_place: bool) -> Result<Loaded, Failure> {
    let environment = config::environment();
    let default = PathBuf::from(DEFAULT_FILE);
    let found = file.or((look_in_default_place && default.exists()).then_some(default.as_path()));
    let loaded = match found {
        Some(file) => Config::load(file, base, &environment),
        None => Config::parse("(no file)", "", base, &environment),
    };
    loaded.map_err(|problems| Failure::Operator(problems.to_string()))
}

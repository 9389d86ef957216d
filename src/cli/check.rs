//! `pointsman check`.

use std::io::Write;
use std::path::PathBuf;

use crate::config::Config;
use crate::control::tls;
use crate::failure::Failure;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration to check
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let loaded = super::load(Some(&arguments.config), Config::default(), false)?;
    tls::check_files(&loaded.config.tls).map_err(|error| Failure::Operator(error.to_string()))?;
    let text = loaded.to_toml();
    // A reader that closes the pipe early (`| head`) is no failure of ours.
    let _ = std::io::stdout().write_all(text.as_bytes());
    Ok(())
}

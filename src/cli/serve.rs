//! `pointsman serve`.

use std::net::{Ipv6Addr, UdpSocket};
use std::path::PathBuf;

use aws_lc_rs::rand;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;

use crate::config::{Config, Secret};
use crate::control::{self, Role};
use crate::failure::Failure;
use crate::logging::Log;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The configuration; /etc/pointsman/pointsman.toml when it exists and none is named
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// For trying it out: everything on loopback, throw-away keys and certificate, no sign-in
    #[arg(long)]
    dev: bool,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let base = if arguments.dev { dev_base()? } else { Config::default() };
    let config = super::load(arguments.config.as_deref(), base, !arguments.dev)?.config;
    Log::stderr().start(&config.log.level.0)?;
    control::run(config, Role::Conference { dev: arguments.dev })
}

/// The defaults of `--dev`, with secrets that nobody knows and that end with the process.
fn dev_base() -> Result<Config, Failure> {
    // Not every host has IPv6.
    let mut config = Config::dev(UdpSocket::bind((Ipv6Addr::LOCALHOST, 0)).is_ok());
    config.keys.insert("dev".to_owned(), random_secret()?);
    config.turn.add_shared_secret(&random_secret()?);
    Ok(config)
}

fn random_secret() -> Result<Secret, Failure> {
    let mut bytes = [0; 32];
    rand::fill(&mut bytes).map_err(|_| Failure::Other("the system gives no random bytes".to_owned()))?;
    Ok(Secret::new(URL_SAFE_NO_PAD.encode(bytes)))
}

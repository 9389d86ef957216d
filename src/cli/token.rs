//! `pointsman token`: mints what a token server of one's own would mint with any LiveKit token library.

use std::path::PathBuf;
use std::time::{SystemTime, UNIX_EPOCH};

use pointsman_signal::token::{Claims, Keys, VideoGrant};

use crate::config::Config;
use crate::failure::Failure;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The server's configuration, whose `[keys]` sign the token
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// The room that may be joined
    #[arg(long, required_unless_present = "operator")]
    room: Option<String>,
    /// Who joins; unique in the room
    #[arg(long, required_unless_present = "operator")]
    identity: Option<String>,
    /// For the dashboard and the HTTP API instead: the whole server, and no room to join
    #[arg(long, conflicts_with_all = ["room", "no_publish", "no_subscribe", "no_publish_data", "admin", "hidden"])]
    operator: bool,
    /// Name shown to the others; the identity when missing
    #[arg(long)]
    name: Option<String>,
    /// Text handed to the others as it is
    #[arg(long)]
    metadata: Option<String>,
    /// Validity in seconds
    #[arg(long, value_name = "S", default_value_t = 6 * 3600, value_parser = clap::value_parser!(u64).range(1..=10 * 366 * 86_400))]
    ttl: u64,
    /// Without the right to send sound and pictures
    #[arg(long)]
    no_publish: bool,
    /// Without the right to receive the others
    #[arg(long)]
    no_subscribe: bool,
    /// Without the right to send data messages
    #[arg(long)]
    no_publish_data: bool,
    /// With the rights of the room's host
    #[arg(long)]
    admin: bool,
    /// Not shown to the others
    #[arg(long)]
    hidden: bool,
    /// The API key that signs; the alphabetically first one when missing
    #[arg(long, value_name = "KEYNAME")]
    key: Option<String>,
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = super::load(arguments.config.as_deref(), Config::default(), true)?.config;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| Failure::Other("the clock stands before 1970".to_owned()))?;
    println!("{}", mint(arguments, &config, now.as_secs())?);
    Ok(())
}

/// The name of the key that signs: the one asked for, or else the first.
pub(super) fn signing_key<'a>(config: &'a Config, asked: Option<&'a str>) -> Result<&'a str, Failure> {
    let names = || config.keys.keys().map(String::as_str).collect::<Vec<_>>().join(", ");
    match asked {
        Some(key) if config.keys.contains_key(key) => Ok(key),
        Some(key) => Err(Failure::Operator(format!("no API key `{key}` in [keys]; there are: {}", names()))),
        None => config
            .keys
            .keys()
            .next()
            .map(String::as_str)
            .ok_or_else(|| Failure::Operator("[keys] has no API key to sign with: add one, or name the file with --config".to_owned())),
    }
}

fn mint(arguments: &Arguments, config: &Config, now_unix_s: u64) -> Result<String, Failure> {
    let key = signing_key(config, arguments.key.as_deref())?;
    let keys: Keys = config.keys.iter().map(|(name, secret)| (name.as_str(), secret.expose())).collect();
    let in_room = VideoGrant {
        room: arguments.room.clone().unwrap_or_default(),
        room_join: true,
        can_publish: Some(!arguments.no_publish),
        can_subscribe: Some(!arguments.no_subscribe),
        can_publish_data: Some(!arguments.no_publish_data),
        room_admin: arguments.admin,
        hidden: arguments.hidden,
        ..VideoGrant::default()
    };
    let video = if arguments.operator { VideoGrant { room_admin: true, ..VideoGrant::default() } } else { in_room };
    let claims = Claims {
        iss: key.to_owned(),
        sub: arguments.identity.clone().unwrap_or_else(|| "operator".to_owned()),
        exp: now_unix_s + arguments.ttl,
        nbf: now_unix_s,
        name: arguments.name.clone().unwrap_or_default(),
        metadata: arguments.metadata.clone().unwrap_or_default(),
        video,
    };
    keys.mint(&claims).map_err(|error| Failure::Operator(error.to_string()))
}

//! `pointsman ctl`: asks a running server, as a client of its HTTP API, with a token made of an API key of its configuration.

use std::path::PathBuf;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use pointsman_signal::token::{Claims, Keys, VideoGrant};
use serde::de::DeserializeOwned;
use ureq::tls::RootCerts;

use crate::config::Config;
use crate::control::turn_api::{Page, Quotas, Row};
use crate::failure::Failure;
use crate::outbound;

mod rooms;
#[cfg(test)]
mod tests;

const TIMEOUT: Duration = Duration::from_secs(10);
/// Bound on what the server may answer, in bytes.
const ANSWER_LEN_MAX: u64 = 4 << 20;
/// A token serves one command.
const TOKEN_LIFETIME_S: u64 = 60;

#[derive(Debug, clap::Args)]
pub struct Arguments {
    /// The server's configuration, whose `[keys]` sign the request; or its turnserver.conf, whose cli-password does
    #[arg(long, value_name = "FILE", global = true)]
    config: Option<PathBuf>,
    /// Where the server's `ctl` or `http` listener is; the first one of the configuration when missing
    #[arg(long, value_name = "URL", global = true)]
    url: Option<String>,
    /// The API key that signs; the alphabetically first one when missing
    #[arg(long, value_name = "KEYNAME", global = true)]
    key: Option<String>,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, clap::Subcommand)]
enum What {
    /// The TURN relay: its allocations and quotas
    #[command(subcommand)]
    Turn(Turn),
    /// Show rooms that somebody is in
    Rooms {
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// Show who is in a room, and how well they see and hear
    Room {
        room: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
    /// Open a room before anybody joins it, or change it
    Open(rooms::Open),
    /// Remove everyone from a room and end it
    End { room: String },
    /// Stop someone's packets at the server
    Mute {
        room: String,
        identity: String,
        /// Let them pass again
        #[arg(long)]
        undo: bool,
    },
    /// Remove someone from a room, or from its waiting room
    Remove {
        room: String,
        identity: String,
        /// For good, as long as the room lives
        #[arg(long)]
        ban: bool,
    },
    /// Send a text to everyone in a room
    Say {
        room: String,
        text: String,
        /// What it is about, for the clients
        #[arg(long, default_value = "")]
        topic: String,
    },
    /// Show what someone receives, and why it is no more
    Why {
        room: String,
        identity: String,
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Subcommand)]
enum Turn {
    /// Show allocations
    List {
        /// Only those of this user
        #[arg(long)]
        user: Option<String>,
        /// Only those of this realm
        #[arg(long)]
        realm: Option<String>,
        /// One JSON object a line
        #[arg(long)]
        json: bool,
    },
    /// End allocations
    Kill {
        /// Their ids, as `list` shows them
        #[arg(required = true)]
        ids: Vec<String>,
    },
    /// Show what realms hold, the bandwidth granted, and the relay ports in use
    Quotas {
        /// As JSON
        #[arg(long)]
        json: bool,
    },
}

pub fn run(arguments: &Arguments) -> Result<(), Failure> {
    let config = config(arguments)?;
    let server = Server::new(arguments, &config)?;
    match &arguments.what {
        What::Turn(Turn::List { user, realm, json }) => server.list(user.as_deref(), realm.as_deref(), *json),
        What::Turn(Turn::Kill { ids }) => ids.iter().try_for_each(|id| server.kill(id)),
        What::Turn(Turn::Quotas { json }) => server.quotas(*json),
        What::Rooms { json } => server.rooms(*json),
        What::Room { room, json } => server.room(room, *json),
        What::Open(open) => server.open(open),
        What::End { room } => server.end_room(room),
        What::Mute { room, identity, undo } => server.mute(room, identity, !undo),
        What::Remove { room, identity, ban } => server.remove(room, identity, *ban),
        What::Say { room, text, topic } => server.say(room, text, topic),
        What::Why { room, identity, json } => server.why(room, identity, *json),
    }
}

/// What the server was started with: `pointsman.toml`, or coturn's `turnserver.conf`.
fn config(arguments: &Arguments) -> Result<Config, Failure> {
    let Some(file) = arguments.config.as_deref().and_then(super::check::coturn_file) else {
        return Ok(super::load(arguments.config.as_deref(), Config::default(), true)?.config);
    };
    let config = super::turnserver::config(&file)?;
    match config.listen.ctl.is_empty() {
        true => Err(Failure::Operator(format!("{} has no cli-password, or no-cli: the server takes no questions", file.name))),
        false => Ok(config),
    }
}

/// The server that is asked.
struct Server {
    agent: ureq::Agent,
    url: String,
    token: String,
}

impl Server {
    fn new(arguments: &Arguments, config: &Config) -> Result<Self, Failure> {
        let url = match (&arguments.url, config.listen.ctl.iter().chain(&config.listen.http).next()) {
            (Some(url), _) => url.trim_end_matches('/').to_owned(),
            (None, Some(address)) => format!("http://{}", crate::config::reachable(*address)),
            (None, None) => {
                return Err(Failure::Operator("the configuration has no `http` listener: name the server with --url".to_owned()));
            }
        };
        let now = SystemTime::now().duration_since(UNIX_EPOCH).map_err(|_| Failure::Other("the clock stands before 1970".to_owned()))?;
        let agent = outbound::agent(TIMEOUT, RootCerts::WebPki).build();
        Ok(Self { agent: agent.into(), url, token: token(config, arguments.key.as_deref(), now.as_secs())? })
    }

    /// Goes through all pages.
    fn list(&self, user: Option<&str>, realm: Option<&str>, json: bool) -> Result<(), Failure> {
        if !json {
            println!("{}", Line::HEAD);
        }
        let mut after = None;
        loop {
            let query = [("user", user), ("realm", realm), ("after", after.as_deref())];
            let page: Page = self.get("/api/v1/turn/allocations", &query)?;
            for row in &page.allocations {
                match json {
                    true => println!("{}", serde_json::to_string(row).map_err(|error| Failure::Other(error.to_string()))?),
                    false => println!("{}", Line(row)),
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    fn kill(&self, id: &str) -> Result<(), Failure> {
        let url = format!("{}/api/v1/turn/allocations/{}", self.url, escaped(id));
        let request = self.agent.delete(&url).header("authorization", format!("Bearer {}", self.token));
        let mut response = request.call().map_err(|error| self.unreachable(&error))?;
        if response.status() == 204 {
            println!("ended {id}");
            return Ok(());
        }
        Err(refusal(
            response.status().as_u16(),
            &response.body_mut().with_config().limit(ANSWER_LEN_MAX).read_to_string().unwrap_or_default(),
        ))
    }

    fn quotas(&self, json: bool) -> Result<(), Failure> {
        let quotas: Quotas = self.get("/api/v1/turn/quotas", &[])?;
        if json {
            println!("{}", serde_json::to_string(&quotas).map_err(|error| Failure::Other(error.to_string()))?);
            return Ok(());
        }
        println!("{:<32} {:>11} {:>8}", "REALM", "ALLOCATIONS", "USERS");
        for realm in &quotas.realms {
            println!("{:<32} {:>11} {:>8}", shown(&realm.realm), realm.allocations, realm.users);
        }
        println!("relay ports in use: {} of IPv4, {} of IPv6", quotas.relay_ports_in_use.ipv4, quotas.relay_ports_in_use.ipv6);
        println!("bandwidth granted: {} bytes per second", quotas.granted_bps);
        Ok(())
    }

    /// Sends a change, and reads what came of it.
    fn change<T: DeserializeOwned>(&self, method: &str, path: &str, body: Option<&serde_json::Value>) -> Result<T, Failure> {
        let url = format!("{}{path}", self.url);
        let token = format!("Bearer {}", self.token);
        let answer = match (method, body) {
            ("DELETE", _) => self.agent.delete(&url).header("authorization", token).call(),
            (_, Some(body)) => {
                let request = self.agent.post(&url).header("authorization", token).header("content-type", "application/json");
                request.send(body.to_string())
            }
            (_, None) => self.agent.post(&url).header("authorization", token).send_empty(),
        };
        let mut response = answer.map_err(|error| self.unreachable(&error))?;
        let text = response.body_mut().with_config().limit(ANSWER_LEN_MAX).read_to_string();
        let text = text.map_err(|error| self.unreachable(&error))?;
        if !response.status().is_success() {
            return Err(refusal(response.status().as_u16(), &text));
        }
        serde_json::from_str(&text).map_err(|error| Failure::Other(format!("{} answers what is not understood: {error}", self.url)))
    }

    fn get<T: DeserializeOwned>(&self, path: &str, query: &[(&str, Option<&str>)]) -> Result<T, Failure> {
        let mut request = self.agent.get(format!("{}{path}", self.url)).header("authorization", format!("Bearer {}", self.token));
        for (name, value) in query {
            if let Some(value) = value {
                request = request.query(name, value);
            }
        }
        let mut response = request.call().map_err(|error| self.unreachable(&error))?;
        let text = response.body_mut().with_config().limit(ANSWER_LEN_MAX).read_to_string();
        let text = text.map_err(|error| self.unreachable(&error))?;
        if response.status() != 200 {
            return Err(refusal(response.status().as_u16(), &text));
        }
        serde_json::from_str(&text).map_err(|error| Failure::Other(format!("{} answers what is not understood: {error}", self.url)))
    }

    fn unreachable(&self, error: &ureq::Error) -> Failure {
        Failure::Other(format!("cannot ask {}: {error}", self.url))
    }
}

/// Who may do what the whole server is concerned with: `roomAdmin` without a room.
fn token(config: &Config, key: Option<&str>, now_unix_s: u64) -> Result<String, Failure> {
    let name = super::token::signing_key(config, key)?;
    let keys: Keys = config.keys.iter().map(|(name, secret)| (name.as_str(), secret.expose())).collect();
    let claims = Claims {
        iss: name.to_owned(),
        sub: "ctl".to_owned(),
        exp: now_unix_s + TOKEN_LIFETIME_S,
        nbf: 0,
        name: String::new(),
        metadata: String::new(),
        video: VideoGrant { room_admin: true, ..VideoGrant::default() },
    };
    keys.mint(&claims).map_err(|error| Failure::Operator(error.to_string()))
}

/// What the server said, which is `application/problem+json` where it is ours.
fn refusal(status: u16, body: &str) -> Failure {
    let problem: Option<serde_json::Value> = serde_json::from_str(body).ok();
    let detail = problem.as_ref().and_then(|problem| problem.get("detail")?.as_str()).unwrap_or("no further word");
    Failure::Operator(format!("the server refuses ({status}): {}", shown(detail)))
}

/// For a terminal: what clients choose may hold anything.
fn shown(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

/// For a path: ids are digits and dashes, and whatever else is typed must not become another path.
fn escaped(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}

/// An allocation as a line.
struct Line<'a>(&'a Row);

impl Line<'_> {
    const HEAD: &'static str = "ID           USER                     CLIENT                         RELAYED                          LEFT   UP (BYTES)  DOWN (BYTES)";
}

impl std::fmt::Display for Line<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let row = self.0;
        let client = format!("{} {}", row.protocol, row.client);
        write!(
            f,
            "{:<12} {:<24} {client:<30} {:<30} {:>5}s {:>12} {:>13}",
            row.id,
            shown(&row.user),
            row.relayed.join(","),
            row.lifetime_left_s,
            row.bytes_to_peers,
            row.bytes_to_client
        )?;
        if row.parked { f.write_str(" (moving)") } else { Ok(()) }
    }
}

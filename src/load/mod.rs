//! `pointsman load`: WebRTC publishers and players in one process, against any WHIP and WHEP server.
//!
//! ```text
//! Front ── HTTP ──► offer/answer        Fleet: one thread, one socket a client
//! Peer  ── ICE, DTLS, SRTP              Publisher ─► packets with the time in them ─► server ─► Player: loss, latency
//! Cost  ── /proc of the server          Report: text or JSON
//! ```
//!
//! Players do not let the kernel coalesce what they receive (no UDP_GRO), as browsers do not.

mod cost;
mod fleet;
mod flow;
pub(crate) mod front;
pub(crate) mod peer;
mod report;
mod turn;
mod way;

use std::net::SocketAddr;
use std::time::Duration;

use fleet::Fleet;
use flow::Rate;
use front::Front;
use report::{Report, TrainLength};
use way::{RELAYED_SECONDS_MAX, Relay};

/// Time between the last player's first packet and the measurement.
const SETTLE: Duration = Duration::from_secs(2);

/// Sends real WebRTC load to a WHIP and WHEP server and reports what came through.
///
/// `{n}` in an address or token is replaced by the client's number, from 0; in a player's, by the number of the publisher that it watches.
#[derive(clap::Args, Debug)]
#[command(args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
pub struct LoadArgs {
    #[command(subcommand)]
    other: Option<Other>,
    /// Address that publishers POST to.
    #[arg(long, value_name = "URL", required = true)]
    whip: Option<String>,
    /// Address that players POST to.
    #[arg(long, value_name = "URL")]
    whep: Option<String>,
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=1000))]
    publishers: u32,
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(0..=5000))]
    subscribers: u32,
    /// How long to measure, after everything flows.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    seconds: u32,
    /// Bearer token of publishers and players.
    #[arg(long, env = "POINTSMAN_LOAD_TOKEN", hide_env_values = true)]
    token: Option<String>,
    /// Pairs of a video and an audio m-line in each player's offer: how many publishers it watches.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=50))]
    watch: u32,
    /// Video of each publisher.
    #[arg(long, default_value_t = 1500, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    kbit_per_second: u32,
    /// Frames of each publisher's video in a second.
    #[arg(long, default_value_t = 25, value_parser = clap::value_parser!(u32).range(1..=120))]
    frames_per_second: u32,
    /// TURN server through which all clients go, with ChannelData over UDP; for four minutes at most.
    #[arg(long, value_name = "ADDRESS:PORT", requires = "turn_user", requires = "turn_password")]
    turn: Option<SocketAddr>,
    #[arg(long)]
    turn_user: Option<String>,
    #[arg(long, env = "POINTSMAN_LOAD_TURN_PASSWORD", hide_env_values = true)]
    turn_password: Option<String>,
    /// Process whose CPU time and memory are reported; may repeat: their sum is told.
    #[arg(long, value_name = "PID")]
    server_pid: Vec<u32>,
    /// Address of the server's metrics, from which the mean train length is taken.
    #[arg(long, value_name = "URL")]
    metrics: Option<String>,
    /// Prints one JSON object instead of text.
    #[arg(long)]
    json: bool,
    /// Accepts any TLS certificate.
    #[arg(long)]
    insecure: bool,
}

/// Load of another kind.
#[derive(clap::Subcommand, Debug)]
enum Other {
    /// Put load on a TURN server: clients that relay, or strangers
    Turn(turn::TurnArgs),
}

/// Runs the load and prints the report. `Err` says what went wrong, in a sentence for the user.
pub fn run(args: &LoadArgs) -> Result<(), String> {
    if let Some(Other::Turn(args)) = &args.other {
        return turn::run(args);
    }
    let whip = args.whip.as_deref().unwrap_or_default();
    // A process has one default provider; a second call changes nothing.
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    let front = Front::new(args.insecure);
    let rate = Rate { bitrate_bps: args.kbit_per_second * 1000, frames_per_second: args.frames_per_second };
    let mut fleet = Fleet::new(front, relay(args)?, rate)?;
    for n in 0..args.publishers {
        fleet.publish(&numbered(whip, n), args.token.as_deref().map(|token| numbered(token, n)).as_deref())?;
    }
    fleet.wait_connected()?;
    if let Some(whep) = &args.whep {
        for n in 0..args.subscribers {
            let token = args.token.as_deref().map(|token| numbered(token, n));
            fleet.play(&numbered(whep, n % args.publishers), token.as_deref(), args.watch as usize)?;
        }
        fleet.wait_connected()?;
    }
    fleet.drive(SETTLE)?;
    let report = measure(args, &mut fleet)?;
    fleet.leave();
    if args.json {
        println!("{}", report.to_json());
    } else {
        print!("{report}");
    }
    Ok(())
}

fn relay(args: &LoadArgs) -> Result<Option<Relay>, String> {
    let Some(server) = args.turn else { return Ok(None) };
    if args.seconds > RELAYED_SECONDS_MAX {
        return Err(format!("--turn goes with --seconds of {RELAYED_SECONDS_MAX} at most: permissions are not renewed"));
    }
    let (user, password) = (args.turn_user.clone().unwrap_or_default(), args.turn_password.clone().unwrap_or_default());
    Ok(Some(Relay { server, user, password }))
}

fn measure(args: &LoadArgs, fleet: &mut Fleet) -> Result<Report, String> {
    let train_length =
        |fleet: &Fleet| args.metrics.as_deref().map(|url| fleet.front().get(url).map(|text| TrainLength::read(&text))).transpose();
    let usage = || cost::Usage::of_all(&args.server_pid);
    fleet.reset();
    let (trains_before, before) = (train_length(fleet)?, usage()?);
    fleet.drive(Duration::from_secs(args.seconds.into()))?;
    let (after, trains_after) = (usage()?, train_length(fleet)?);
    let tally = fleet.tally();
    Ok(Report::new(tally, before.zip(after), trains_before.zip(trains_after)))
}

fn numbered(text: &str, n: u32) -> String {
    text.replace("{n}", &n.to_string())
}

//! `pointsman load turn`: clients of a TURN server and the peer behind them in one process.
//!
//! ```text
//! Fleet: one thread, paced ── UDP, TCP, TLS ──► server ── UDP ──► Echo: another thread
//!   counts what comes back ◄─────────────────── server ◄──────────── counts what came
//! ```
//! Only what arrived counts: loss and CPU time are set against packets at their destinations.

mod echo;
mod fleet;
mod flood;
mod link;
mod report;

use std::net::{IpAddr, SocketAddr};
use std::time::{Duration, Instant};

use super::cost::Usage;
use echo::Echo;
use fleet::{Fleet, Wishes};
use link::Transport;
use report::Report;

/// From the last packet sent to the last reading: what is on its way arrives.
const SETTLE: Duration = Duration::from_millis(300);

/// Relays packets through a TURN server and reports what came through and what it cost.
#[derive(clap::Args, Debug)]
pub struct TurnArgs {
    /// The server.
    #[arg(long, value_name = "ADDRESS:PORT")]
    server: SocketAddr,
    #[arg(long, value_enum, default_value_t = Transport::Udp)]
    transport: Transport,
    #[arg(long)]
    user: String,
    #[arg(long, env = "POINTSMAN_LOAD_PASSWORD", hide_env_values = true)]
    password: String,
    /// Address of the peer, which this process opens. The server must be able to reach it, and allow it.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1")]
    peer: IpAddr,
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=60_000))]
    allocations: u32,
    /// Payload of each packet in bytes.
    #[arg(long, default_value_t = 160, value_parser = clap::value_parser!(u32).range(8..=9000))]
    size: u32,
    /// Packets per second that the server is asked to relay, all allocations and both directions together.
    #[arg(long, default_value_t = 10_000, value_parser = clap::value_parser!(u32).range(1..=10_000_000))]
    rate: u32,
    /// How long to send; 0: make allocations only. Permissions last five minutes and are not renewed.
    #[arg(long, default_value_t = 2, value_parser = clap::value_parser!(u32).range(0..=240))]
    seconds: u32,
    /// Process whose CPU time and memory are reported.
    #[arg(long, value_name = "PID")]
    pid: Option<u32>,
    #[arg(long, value_enum, default_value_t = Mode::Channel)]
    mode: Mode,
    #[arg(long, value_enum, default_value_t = Direction::Echo)]
    direction: Direction,
    /// Instead of relaying: datagrams of strangers, each from another 127.x.y.z and port. So many of each kind.
    #[arg(long, value_name = "SOURCES", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    flood: u32,
    /// While relaying: so many Allocate requests a second with a forged MESSAGE-INTEGRITY, from a thousand addresses.
    #[arg(long, value_name = "PER_SECOND", default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=1_000_000))]
    strangers: u32,
    /// Prints one JSON object instead of text.
    #[arg(long)]
    json: bool,
}

/// How data is framed between client and server.
#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// ChannelData.
    Channel,
    /// Send and Data indications.
    Send,
}

#[derive(clap::ValueEnum, Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// To the peer and back: two relayed packets each.
    Echo,
    /// To the peer.
    Up,
    /// From the peer.
    Down,
}

/// Runs the load and prints the report. `Err` says what went wrong, in a sentence for the user.
pub fn run(args: &TurnArgs) -> Result<(), String> {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    if args.flood > 0 {
        let findings = flood::run(args.server, args.flood, args.pid)?;
        return print(args.json, &report::flood_json(&findings), &report::flood_text(&findings));
    }
    let usage = || args.pid.map(Usage::of).transpose();
    let echo = Echo::start(args.peer, args.direction == Direction::Echo)?;
    let wishes = Wishes {
        server: args.server,
        transport: args.transport,
        user: args.user.clone(),
        password: args.password.clone(),
        peer: echo.address(),
        mode: args.mode,
    };
    let idle = usage()?;
    let begin = Instant::now();
    let mut fleet = Fleet::new(wishes)?;
    fleet.allocate(args.allocations as usize)?;
    let allocating = begin.elapsed();
    fleet.drive(SETTLE, None, 0)?;
    let allocated = usage()?;
    if args.seconds > 0 {
        fleet.permit()?;
    }

    let before = usage()?;
    let (arrived_before, came_back_before) = (echo.arrived(), fleet.came_back());
    let strangers = (args.strangers > 0).then(|| flood::Strangers::start(args.server, args.strangers)).transpose()?;
    let begin = Instant::now();
    let mut offered = 0;
    let time = Duration::from_secs(args.seconds.into());
    match args.direction {
        Direction::Echo => offered += 2 * fleet.drive(time, Some(args.rate / 2), args.size as usize)?,
        Direction::Up => offered += fleet.drive(time, Some(args.rate), args.size as usize)?,
        Direction::Down => {
            let sending = echo.send_to(fleet.relayed(), args.rate, args.size as usize, time);
            fleet.drive(time, None, 0)?;
            offered += sending.join().map_err(|_| "the peer failed".to_owned())?;
        }
    }
    let elapsed = begin.elapsed();
    let strangers = strangers.map_or(Ok(0), flood::Strangers::stop)?;
    fleet.drive(SETTLE, None, 0)?;
    let after = usage()?;
    let report = Report {
        allocations: u64::from(args.allocations),
        allocating,
        offered,
        at_peer: echo.arrived() - arrived_before,
        at_clients: fleet.came_back() - came_back_before,
        strangers,
        elapsed,
        idle: idle.zip(allocated),
        busy: before.zip(after),
    };
    fleet.leave();
    print(args.json, &report.to_json(), &report.to_string())
}

fn print(json: bool, object: &str, text: &str) -> Result<(), String> {
    if json {
        println!("{object}");
    } else {
        print!("{text}");
    }
    Ok(())
}

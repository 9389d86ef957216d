//! The packet engine: one pinned thread per shard, its sockets, and what connects the shards with each other and with control.
//!
//! ```text
//! control ──mailbox──▶ shard 0 ◀──mesh──▶ shard 1 ◀──mailbox── control
//!    ▲                  │   ▲              ▲   │                  ▲
//!    └──────events──────┘  sockets   sockets   └──────events──────┘
//! ```
//! It knows sockets, threads and clocks, and nothing of any protocol: those are state machines that it feeds.

mod arena;
mod backlogs;
mod bind;
mod config;
mod dtls;
mod encryption;
mod host;
mod mailbox;
mod mesh;
mod outgoing;
mod pace;
mod receive;
mod relay;
mod relaying;
mod shard;
mod stats;
mod streams;
#[allow(unsafe_code)]
pub(crate) mod sys;
mod transmit;
mod wake;

use std::io;
use std::net::SocketAddr;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use crossbeam::queue::ArrayQueue;
use pointsman_sfu::Sfu;
use pointsman_sfu::transport::DtlsIdentity;
use pointsman_turn::{Ledger, Server};
use pointsman_wire::net::ShardId;
use tokio::sync::mpsc;

pub use bind::EngineError;
pub use config::{EngineConfig, StreamConfig};
pub use dtls::{DtlsCertificate, DtlsConfig, UnsupportedKey};
pub use encryption::Encryption;
pub use mailbox::{Busy, Event, Events, Letter, Mailboxes, TurnCommand, TurnEvent};
pub use stats::{DropReason, FORWARD_LATENCY_BOUNDS, Histogram, Snapshot, Stats, TRAIN_LENGTH_BOUNDS};
pub use streams::{Connection, Place};

use bind::{ListenOptions, Listener, bind_all, supports_trains};
use dtls::DtlsClients;
use host::{Host, Roof};
use pace::Pace;
use receive::Inbox;
use relay::RelaySockets;
use relaying::Relaying;
use shard::{Links, RELAY_TOKEN_FIRST, Shard, read_clock};
use streams::Streams;
use transmit::Transmit;
use wake::Bell;

/// How long [`Engine::stop`] waits for a shard.
const STOP_MAX: Duration = Duration::from_secs(1);
/// Exit code when a shard's thread panics: the process cannot serve without it, so the supervisor starts it anew.
const PANIC_EXIT_CODE: i32 = 70;

/// How much later than asked a shard may be woken that lets packets gather. The kernel's own 50 µs are as long as that may take.
const TIMER_SLACK: Duration = Duration::from_micros(1);

/// The running shards.
pub struct Engine {
    threads: Vec<JoinHandle<()>>,
    mailboxes: Mailboxes,
    snapshots: Vec<Arc<Mutex<Snapshot>>>,
    addresses: Vec<SocketAddr>,
    ledger: Arc<Ledger>,
}

impl Engine {
    /// Binds every address for every shard, then starts the shards. Events come out of the receiver. `identity` is the certificate
    /// that all shards show in DTLS.
    pub fn start(config: EngineConfig, identity: Arc<DtlsIdentity>) -> Result<(Self, Events), EngineError> {
        let cpus = sys::allowed_cpus();
        let shards = shard_count(config.shards)?;
        let options = ListenOptions { buffer: config.socket_buffer, gro: config.udp_gro, device: config.listen_device.as_deref() };
        let listeners = bind_all(&config.listen, shards, options)?;
        let addresses = listeners.iter().take(1).flatten().map(|listener| listener.local).collect();
        let trains = config.udp_gso && supports_trains();
        if config.udp_gso && !trains {
            tracing::warn!("the kernel has no UDP_SEGMENT: every datagram leaves singly, at several times the cost");
        }
        let (turn_seed, cookie_secret) = (random_secret()?, random_secret()?);
        let (events_in, events) = mpsc::channel(config.events_max.max(1));
        let (links, mailboxes, snapshots) = connect(&config, shards, &events_in)?;
        let pin = config.pin && !cpus.is_empty();
        let ledger = Arc::new(Ledger::new(config.turn.relay_ports.clone()));
        let plan =
            Arc::new(Plan { config, identity, shards: shards as u16, trains, turn_seed, cookie_secret, ledger: Arc::clone(&ledger) });
        let mut engine = Self { threads: Vec::with_capacity(shards), mailboxes, snapshots, addresses, ledger };
        let roof = Arc::new(Roof::new(shards, Arc::clone(&links[0].bell), plan.config.together_load_percent_max));
        for (links, listeners) in links.into_iter().zip(listeners) {
            let cpu = pin.then(|| cpus[usize::from(links.shard.0) % cpus.len()]);
            engine.threads.push(start_shard(&plan, Arc::clone(&roof), links, listeners, cpu)?);
        }
        tracing::info!(shards, trains, addresses = engine.addresses.len(), "engine started");
        Ok((engine, events))
    }

    pub fn mailboxes(&self) -> Mailboxes {
        self.mailboxes.clone()
    }

    /// The addresses listened on, in the order of the configuration, with the ports that the kernel chose.
    pub fn addresses(&self) -> &[SocketAddr] {
        &self.addresses
    }

    /// Who holds how many allocations, and the relay ports in use.
    pub fn ledger(&self) -> Arc<Ledger> {
        Arc::clone(&self.ledger)
    }

    /// Every shard's counters, at most a second old.
    pub fn snapshots(&self) -> Snapshots {
        Snapshots(self.snapshots.clone())
    }

    /// Ends the shards. Datagrams that are being worked on still leave.
    pub fn stop(mut self) {
        self.end();
    }

    fn end(&mut self) {
        let until = Instant::now() + STOP_MAX;
        while self.mailboxes.stop().is_err() && Instant::now() < until {
            thread::sleep(Duration::from_millis(1));
        }
        for thread in self.threads.drain(..) {
            while !thread.is_finished() && Instant::now() < until {
                thread::sleep(Duration::from_millis(1));
            }
            if thread.is_finished() {
                let _ = thread.join();
            } else {
                tracing::error!("a shard does not stop");
            }
        }
    }
}

impl Drop for Engine {
    fn drop(&mut self) {
        if !self.threads.is_empty() {
            self.end();
        }
    }
}

/// Where every shard leaves its counters once a second. Cloning is cheap.
#[derive(Clone)]
pub struct Snapshots(Vec<Arc<Mutex<Snapshot>>>);

impl Snapshots {
    pub fn read(&self) -> Vec<Snapshot> {
        self.0.iter().map(|snapshot| snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()).collect()
    }
}

fn shard_count(wanted: usize) -> Result<usize, EngineError> {
    let shards = if wanted == 0 { thread::available_parallelism().map_or(1, |count| count.get()) } else { wanted };
    if shards > usize::from(u16::MAX) {
        return Err(EngineError::TooManyShards(shards));
    }
    Ok(shards)
}

type Connected = (Vec<Links>, Mailboxes, Vec<Arc<Mutex<Snapshot>>>);

/// Makes what connects the shards with each other and with control.
fn connect(config: &EngineConfig, shards: usize, events: &mpsc::Sender<Event>) -> Result<Connected, EngineError> {
    let mut polls = Vec::with_capacity(shards);
    let mut bells = Vec::with_capacity(shards);
    for _ in 0..shards {
        let poll = mio::Poll::new().map_err(|error| EngineError::System { what: "epoll", error })?;
        let waker = mio::Waker::new(poll.registry(), shard::WAKER).map_err(|error| EngineError::System { what: "eventfd", error })?;
        polls.push(poll);
        bells.push(Arc::new(Bell::new(waker)));
    }
    let queues: Vec<_> = (0..shards).map(|_| Arc::new(ArrayQueue::new(config.mailbox_max.max(1)))).collect();
    let mailboxes = Mailboxes::new(queues.iter().cloned().zip(bells.iter().cloned()));
    let mut ports = mesh::mesh(&bells, config.mesh_ring_max);
    let mut links = Vec::with_capacity(shards);
    let mut snapshots = Vec::with_capacity(shards);
    for (at, ((poll, mesh), mailbox)) in polls.into_iter().zip(ports.drain(..)).zip(queues).enumerate() {
        let shard = ShardId(at as u16);
        let snapshot = Arc::new(Mutex::new(Snapshot::new(shard)));
        snapshots.push(Arc::clone(&snapshot));
        links.push(Links { shard, poll, bell: Arc::clone(&bells[at]), mesh, mailbox, events: events.clone(), snapshot });
    }
    Ok((links, mailboxes, snapshots))
}

/// What all shards have in common.
struct Plan {
    config: EngineConfig,
    identity: Arc<DtlsIdentity>,
    shards: u16,
    trains: bool,
    turn_seed: [u8; 32],
    /// Makes the cookies of DTLS.
    cookie_secret: [u8; 32],
    ledger: Arc<Ledger>,
}

fn start_shard(
    plan: &Arc<Plan>,
    roof: Arc<Roof>,
    links: Links,
    listeners: Vec<Listener>,
    cpu: Option<usize>,
) -> Result<JoinHandle<()>, EngineError> {
    let shard = links.shard.0;
    let plan = Arc::clone(plan);
    let body = move || {
        if let Some(cpu) = cpu
            && let Err(error) = sys::pin_to_cpu(cpu)
        {
            tracing::warn!(%error, shard, cpu, "the shard is not kept on its CPU");
        }
        let gather = plan.config.gather_us_max;
        if gather > 0
            && let Err(error) = sys::set_timer_slack(TIMER_SLACK)
        {
            tracing::warn!(%error, shard, "packets may gather for longer than configured");
        }
        let pace = Pace::new(Duration::from_micros(gather.into()));
        match build_shard(&plan, links, listeners) {
            Ok(shard) => Host::new(roof, shard, pace).run(),
            Err(error) => {
                tracing::error!(%error, shard, "a shard cannot start");
                std::process::exit(PANIC_EXIT_CODE);
            }
        }
    };
    let guarded = move || {
        if catch_unwind(AssertUnwindSafe(body)).is_err() {
            tracing::error!(shard, "a shard panicked; the process ends to be started anew");
            std::process::exit(PANIC_EXIT_CODE);
        }
    };
    thread::Builder::new().name(format!("shard-{shard}")).spawn(guarded).map_err(|error| EngineError::System { what: "a thread", error })
}

/// On the shard's own thread, so that its memory is near its CPU.
fn build_shard(plan: &Plan, links: Links, listeners: Vec<Listener>) -> io::Result<Shard> {
    let config = &plan.config;
    let now = read_clock();
    let relays = RelaySockets::new(config.relay_sockets_max, RELAY_TOKEN_FIRST);
    let streams = Streams::new(config.streams.clone(), config.relay_device.clone(), now);
    let mut transmit = Transmit::new(listeners, relays, streams, plan.trains);
    if config.dtls.certificate.is_some() {
        transmit.dtls = Some(Box::new(DtlsClients::new(config.dtls.clone(), &plan.cookie_secret, now.mono)));
    }
    let inbox = Inbox::new(config.batch_max.max(1), config.udp_gro);
    let sfu = Sfu::new(config.sfu.clone(), links.shard, plan.shards, Arc::clone(&plan.identity), random_u64()?, now);
    let turn = pointsman_turn::Config { shards: plan.shards, ..config.turn.clone() };
    let server = Server::new(turn, Arc::clone(&plan.ledger), plan.turn_seed, links.shard, now);
    let relaying = Relaying::new(server, links.shard, config);
    Shard::new(links, transmit, inbox, sfu, relaying, now)
}

fn random_secret() -> Result<[u8; 32], EngineError> {
    let mut secret = [0; 32];
    aws_lc_rs::rand::fill(&mut secret).map_err(|_| EngineError::System { what: "random numbers", error: io::ErrorKind::Other.into() })?;
    Ok(secret)
}

fn random_u64() -> io::Result<u64> {
    let mut bytes = [0; 8];
    aws_lc_rs::rand::fill(&mut bytes).map_err(|_| io::Error::other("no random numbers"))?;
    Ok(u64::from_ne_bytes(bytes))
}

#[cfg(test)]
mod tests;

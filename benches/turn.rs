//! What the TURN server decides per relayed datagram, both ways, with few and many allocations.
//!
//! `cargo bench -p pointsman-turn --bench turn`

use std::hint::black_box;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pointsman_turn::config::Secret;
use pointsman_turn::{Config, Ledger, Output, PeerDefault, PeerRules, RelayPort, RelaySource, Server, Verdict};
use pointsman_wire::channel_data;
use pointsman_wire::clock::Now;
use pointsman_wire::net::{FiveTuple, ShardId};
use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Class, Key, Message, Method, TransactionId, Writer};

const CHANNEL: u16 = 0x4001;
/// MD5("alice:example.org:wonderland").
const KEY: [u8; 16] = [0x72, 0xf8, 0x6f, 0x20, 0x53, 0x70, 0x3f, 0xaa, 0x0f, 0x52, 0x1c, 0xe7, 0x1c, 0xfe, 0x6f, 0x59];

struct Bench {
    server: Server,
    now: Now,
    clients: Vec<(FiveTuple, RelayPort)>,
}

fn peer() -> SocketAddr {
    SocketAddr::from(([192, 0, 2, 1], 9000))
}

fn config() -> Config {
    Config {
        realm: "example.org".to_owned(),
        relay_addresses: vec![[198, 51, 100, 1].into()],
        peers: PeerRules { default: PeerDefault::Public, ..PeerRules::default() },
        relay_ports: 1024..=65535,
        users: vec![("alice".to_owned(), Secret("wonderland".to_owned()))],
        user_quota: 100_000,
        unauthenticated_answers_burst_max: 1_000_000,
        ..Config::default()
    }
}

impl Bench {
    /// So many clients, each with an allocation, and a channel to the peer if wanted.
    // Any instant serves as an origin.
    #[allow(clippy::disallowed_methods)]
    fn new(allocations: u32, with_channel: bool) -> Self {
        let now = Now { mono: Instant::now(), unix: Duration::from_secs(1_800_000_000) };
        let ledger = Arc::new(Ledger::new(config().relay_ports));
        let mut bench = Self { server: Server::new(config(), ledger, [7; 32], ShardId(0), now), now, clients: Vec::new() };
        for n in 0..allocations {
            let remote = SocketAddr::from((std::net::Ipv4Addr::from(0xCB00_7100 + n / 1000), 1024 + (n % 1000) as u16));
            let client = FiveTuple::udp(SocketAddr::from(([198, 51, 100, 1], 3478)), remote);
            bench.allocate(client);
            bench.request(client, Method::CREATE_PERMISSION, |writer| _ = writer.xor_address(Type::XOR_PEER_ADDRESS, peer()));
            if with_channel {
                bench.request(client, Method::CHANNEL_BIND, |writer| {
                    writer.channel_number(CHANNEL).xor_address(Type::XOR_PEER_ADDRESS, peer());
                });
            }
        }
        assert_eq!(bench.server.stats().allocations, u64::from(allocations));
        bench
    }

    fn allocate(&mut self, client: FiveTuple) {
        self.request(client, Method::ALLOCATE, |writer| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 17));
        while let Some(output) = self.server.poll_output() {
            if let Output::OpenRelay { relay, from: RelaySource::Fresh { address }, .. } = output {
                self.server.handle_relay_opened(self.now, relay, Ok(address));
                self.clients.push((client, relay));
            }
        }
    }

    fn request(&mut self, client: FiveTuple, method: Method, write: impl Fn(&mut Writer<'_>)) {
        let request = self.signed(client, method, write);
        self.server.handle_client_datagram(self.now, client, &request);
    }

    fn signed(&mut self, client: FiveTuple, method: Method, write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
        let nonce = self.nonce(client);
        let mut out = vec![0; 512];
        let mut writer = Writer::new(&mut out, Class::Request, method, TransactionId(*b"transaction!"));
        write(&mut writer);
        writer.attribute(Type::USERNAME, b"alice").attribute(Type::REALM, b"example.org").attribute(Type::NONCE, &nonce);
        let len = writer.integrity(&Key::new(&KEY)).finish().expect("512 bytes hold a request");
        out.truncate(len);
        out
    }

    /// Carries out what the server asks for, as an engine does whose sockets cost nothing.
    fn drain(&mut self) {
        while let Some(output) = self.server.poll_output() {
            if let Output::OpenRelay { relay, from: RelaySource::Fresh { address }, .. } = output {
                self.server.handle_relay_opened(self.now, relay, Ok(address));
            }
        }
    }

    fn nonce(&mut self, client: FiveTuple) -> Vec<u8> {
        let mut out = [0; 20];
        Writer::new(&mut out, Class::Request, Method::ALLOCATE, TransactionId([0; 12])).finish().expect("a header has 20 bytes");
        self.server.handle_client_datagram(self.now, client, &out);
        Message::parse(self.server.scratch()).ok().and_then(|m| m.nonce()).expect("a challenge").to_vec()
    }
}

fn relay(criterion: &mut Criterion) {
    let payload = vec![0x5A; 1200];
    let mut framed = channel_data::header(CHANNEL, payload.len()).expect("it fits").to_vec();
    framed.extend_from_slice(&payload);
    let mut send = vec![0; 1300];
    let len = Writer::new(&mut send, Class::Indication, Method::SEND, TransactionId(*b"transaction!"))
        .xor_address(Type::XOR_PEER_ADDRESS, peer())
        .attribute(Type::DATA, &payload)
        .finish()
        .expect("it fits");
    send.truncate(len);
    let mut group = criterion.benchmark_group("turn");
    group.throughput(Throughput::Elements(1));
    for allocations in [1, 50, 5000] {
        let mut channels = Bench::new(allocations, true);
        let (client, relay) = channels.clients[allocations as usize - 1];
        let verdict = channels.server.handle_client_datagram(channels.now, client, &framed);
        assert!(matches!(verdict, Verdict::ToPeer { .. }), "{verdict:?}");
        let verdict = channels.server.handle_peer_datagram(channels.now, relay, peer(), &payload);
        assert!(matches!(verdict, Verdict::ToClient { .. }), "{verdict:?}");
        let mut next = 0;
        let mut turns = move || {
            next = (next + 1) % allocations as usize;
            next
        };
        group.bench_function(BenchmarkId::new("channel_data_to_peer", allocations), |bench| {
            bench.iter(|| {
                let (client, _) = channels.clients[turns()];
                channels.server.handle_client_datagram(channels.now, client, black_box(&framed))
            });
        });
        group.bench_function(BenchmarkId::new("channel_data_to_client", allocations), |bench| {
            bench.iter(|| {
                let (_, relay) = channels.clients[turns()];
                channels.server.handle_peer_datagram(channels.now, relay, peer(), black_box(&payload))
            });
        });
        let mut indications = Bench::new(allocations, false);
        group.bench_function(BenchmarkId::new("send_to_peer", allocations), |bench| {
            bench.iter(|| {
                let (client, _) = indications.clients[turns()];
                indications.server.handle_client_datagram(indications.now, client, black_box(&send))
            });
        });
        group.bench_function(BenchmarkId::new("data_to_client", allocations), |bench| {
            bench.iter(|| {
                let (_, relay) = indications.clients[turns()];
                indications.server.handle_peer_datagram(indications.now, relay, peer(), black_box(&payload))
            });
        });
    }
    group.finish();
}

fn requests(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("turn");
    group.throughput(Throughput::Elements(1));
    let mut bench = Bench::new(1, true);
    let (client, _) = bench.clients[0];
    group.bench_function("challenge", |b| b.iter(|| bench.nonce(client)));
    group.bench_function("challenge_and_refresh", |b| b.iter(|| bench.request(client, Method::REFRESH, |_| ())));
    // An allocation that comes and goes, beside many that stay.
    for others in [0, 5000] {
        let mut bench = Bench::new(others, false);
        let client = FiveTuple::udp(SocketAddr::from(([198, 51, 100, 1], 3478)), SocketAddr::from(([203, 0, 114, 1], 5000)));
        let allocate = bench.signed(client, Method::ALLOCATE, |writer| _ = writer.first_of_four(Type::REQUESTED_TRANSPORT, 17));
        let release = bench.signed(client, Method::REFRESH, |writer| _ = writer.u32(Type::LIFETIME, 0));
        let mut life = move || {
            bench.server.handle_client_datagram(bench.now, client, black_box(&allocate));
            bench.drain();
            bench.server.handle_client_datagram(bench.now, client, black_box(&release));
            bench.drain();
            (bench.server.stats().allocations, bench.server.stats().allocations_total)
        };
        assert_eq!(life(), (u64::from(others), u64::from(others) + 1), "it came and went");
        group.bench_function(BenchmarkId::new("allocate_and_release", others), |b| b.iter(&mut life));
    }
    group.finish();
}

criterion_group!(benches, relay, requests);
criterion_main!(benches);

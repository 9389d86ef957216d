//! Forwarding: one publisher's packets, received 32 at a time, decrypted once, rewritten and sealed for each subscriber into an arena.
//! Everything of a turn but the system calls. Time is per forwarded packet.
//!
//! `cargo bench -p pointsman-sfu --features bench --bench forward`

#![allow(clippy::disallowed_methods, reason = "a bench measures time")]

#[path = "../sfu/tests/it/world.rs"]
#[allow(dead_code, reason = "the tests use more of it")]
mod world;

use std::time::{Duration, Instant};

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pointsman_sfu::Config;
use pointsman_sfu::srtp::Profile;
use pointsman_wire::clock::Now;
use pointsman_wire::net::Datagram;
use world::{Out, Packet, Stream, World, video_in, video_out};

/// As recvmmsg gives them.
const BATCH: usize = 32;
const SSRC: u32 = 11;

/// A connected call of one publisher and `subscribers`, past its first keyframe.
fn call(subscribers: usize, profile: Profile) -> (World, Stream) {
    let mut config = Config { pool_slots_max: 8192, handshakes_per_turn_max: 1000, ..Config::default() };
    // The clock runs faster here than checks would come.
    config.transport.consent_timeout = Duration::from_secs(1_000_000_000);
    let mut world = World::with_config(1, config);
    world.join(0, vec![video_in(1, "0", &[])], vec![]);
    world.connect(0);
    let publisher = world.clients[0].id;
    for _ in 0..subscribers {
        let subscriber = world.join(0, vec![], vec![video_out("0", 5000, Some((1, publisher)))]);
        world.connect(subscriber);
    }
    let mut camera = Stream::new(SSRC, 1);
    world.send(0, &camera.frame(true, BATCH));
    assert_eq!(world.shards[0].stats().forwarded, (subscribers * BATCH) as u64, "everybody gets it");
    world.shards[0].seal_with(profile);
    (world, camera)
}

/// Frames of four packets whose sizes are one byte apart, 1,200 bytes with the header as sent.
fn frames(camera: &mut Stream) -> Vec<Packet> {
    let mut packets: Vec<Packet> = (0..BATCH / 4).flat_map(|_| camera.frame(false, 4)).collect();
    for (at, packet) in packets.iter_mut().enumerate() {
        packet.payload.resize(1160 - usize::from(at % 4 == 0), 7);
    }
    packets
}

fn forward(c: &mut Criterion) {
    let mut group = c.benchmark_group("forward");
    group.sample_size(20).measurement_time(Duration::from_secs(4)).warm_up_time(Duration::from_secs(1));
    for profile in [Profile::AeadAes128Gcm, Profile::AeadAes256Gcm, Profile::AesCm128HmacSha1_80] {
        for subscribers in [10, 50, 200] {
            let (mut world, mut camera) = call(subscribers, profile);
            let mut out = Out::new(BATCH * subscribers * 1300 + 4096);
            group.throughput(Throughput::Elements((BATCH * subscribers) as u64));
            group.bench_function(BenchmarkId::new(format!("{profile:?}"), subscribers), |b| {
                b.iter_custom(|rounds| {
                    let mut spent = Duration::ZERO;
                    for _ in 0..rounds {
                        let path = world.clients[0].path;
                        let sealed: Vec<Vec<u8>> = frames(&mut camera).iter().map(|it| world.clients[0].seal(it)).collect();
                        let step = Duration::from_millis(200);
                        world.now = Now { mono: world.now.mono + step, unix: world.now.unix + step };
                        world.shards[0].handle_timeout(world.now, &mut out);
                        out.reset();
                        let begin = Instant::now();
                        let batch = sealed.iter().map(|bytes| Datagram { path, bytes });
                        world.shards[0].handle_batch(world.now, batch, &mut out);
                        world.shards[0].flush(world.now, &mut out);
                        spent += begin.elapsed();
                        assert!(out.datagrams.len() >= BATCH * subscribers, "{} of {}", out.datagrams.len(), BATCH * subscribers);
                    }
                    spent
                });
            });
        }
    }
    group.finish();
}

criterion_group!(benches, forward);
criterion_main!(benches);

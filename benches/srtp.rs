//! SRTP of one packet, keyed once: sealing from a shared packet into the arena, opening into a pool slot.
//!
//! `cargo bench -p pointsman-sfu --bench srtp`

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use pointsman_sfu::DtlsRole;
use pointsman_sfu::srtp::{Inbound, Keys, OVERHEAD_MAX, Outbound, Profile};

const HEADER_LEN: usize = 20;
const SSRC: u32 = 0x1234_5678;
/// An Opus frame with its header, and a full video packet.
const SIZES: [usize; 2] = [160, 1200];

fn keys(profile: Profile, role: DtlsRole) -> Keys {
    let material: Vec<u8> = (0..profile.material_len()).map(|i| i as u8).collect();
    Keys::from_exporter(profile, &material, role).expect("keying material of the right length")
}

/// Version 2, one extension element of four bytes.
fn header(sequence: u16) -> [u8; HEADER_LEN] {
    let mut header = [0; HEADER_LEN];
    header[0] = 0x90;
    header[1] = 96;
    header[2..4].copy_from_slice(&sequence.to_be_bytes());
    header[8..12].copy_from_slice(&SSRC.to_be_bytes());
    header[12..16].copy_from_slice(&[0xBE, 0xDE, 0, 1]);
    header
}

fn protect(c: &mut Criterion) {
    let mut group = c.benchmark_group("srtp/protect");
    for profile in Profile::PREFERENCE {
        for size in SIZES {
            let outbound = Outbound::new(&keys(profile, DtlsRole::Client).outbound).expect("keys");
            let body = vec![0xAB; size - HEADER_LEN];
            let mut out = vec![0; size + OVERHEAD_MAX + 16];
            group.throughput(Throughput::Elements(1));
            for (case, head, padding) in [("body", &[][..], 0), ("head and padding", &[1, 2, 3][..], 5)] {
                let mut sequence = 0_u32;
                group.bench_function(BenchmarkId::new(format!("{profile:?}, {case}"), size), |b| {
                    b.iter(|| {
                        sequence = sequence.wrapping_add(1);
                        out[..HEADER_LEN].copy_from_slice(&header(sequence as u16));
                        let body = &body[head.len()..];
                        black_box(outbound.protect_rtp(sequence >> 16, &mut out, HEADER_LEN, head, body, padding)).expect("space")
                    });
                });
            }
        }
    }
    group.finish();
}

fn unprotect(c: &mut Criterion) {
    /// A window's worth of packets is opened again and again, each time with a fresh [`Inbound`]: its making is not measured.
    const PACKETS: u16 = 512;
    let mut group = c.benchmark_group("srtp/unprotect");
    for profile in Profile::PREFERENCE {
        for size in SIZES {
            let outbound = Outbound::new(&keys(profile, DtlsRole::Client).outbound).expect("keys");
            let body = vec![0xAB; size - HEADER_LEN];
            let packets: Vec<Vec<u8>> = (0..PACKETS)
                .map(|sequence| {
                    let mut out = vec![0; size + OVERHEAD_MAX];
                    out[..HEADER_LEN].copy_from_slice(&header(sequence));
                    let len = outbound.protect_rtp(0, &mut out, HEADER_LEN, &[], &body, 0).expect("space");
                    out.truncate(len);
                    out
                })
                .collect();
            let master = keys(profile, DtlsRole::Server).inbound;
            let mut out = vec![0; size + OVERHEAD_MAX];
            group.throughput(Throughput::Elements(u64::from(PACKETS)));
            group.bench_function(BenchmarkId::new(format!("{profile:?}"), size), |b| {
                b.iter_batched_ref(
                    || Inbound::new(&master, 8, 1).expect("keys"),
                    |inbound| {
                        for (sequence, packet) in packets.iter().enumerate() {
                            black_box(inbound.unprotect_rtp(packet, HEADER_LEN, SSRC, sequence as u16, &mut out)).expect("authentic");
                        }
                    },
                    criterion::BatchSize::SmallInput,
                );
            });
        }
    }
    group.finish();
}

criterion_group!(benches, protect, unprotect);
criterion_main!(benches);

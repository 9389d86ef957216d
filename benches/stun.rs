//! What a STUN message costs: reading, checking and answering a connectivity check.
//!
//! `cargo bench -p pointsman-wire --bench stun`

use std::hint::black_box;
use std::net::SocketAddr;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pointsman_wire::demux;
use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Class, Key, Message, Method, TransactionId, Writer, is_ice_check};

const PASSWORD: &[u8] = b"0123456789abcdef01234567";

/// A check as a browser sends it.
fn check(key: &Key) -> Vec<u8> {
    let mut out = vec![0; 256];
    let len = Writer::new(&mut out, Class::Request, Method::BINDING, TransactionId(*b"transaction!"))
        .attribute(Type::USERNAME, b"server-ufrag:browser-ufrag")
        .u32(Type(0xC057), 0x0001_000A)
        .u64(Type::ICE_CONTROLLING, 0x0123_4567_89AB_CDEF)
        .attribute(Type::USE_CANDIDATE, &[])
        .u32(Type::PRIORITY, 0x6E00_01FF)
        .integrity(key)
        .fingerprint()
        .finish()
        .expect("256 bytes hold a check");
    out.truncate(len);
    out
}

fn answer(out: &mut [u8], id: TransactionId, to: SocketAddr, key: &Key) -> usize {
    Writer::new(out, Class::Success, Method::BINDING, id)
        .xor_address(Type::XOR_MAPPED_ADDRESS, to)
        .integrity(key)
        .fingerprint()
        .finish()
        .unwrap_or(0)
}

fn stun(criterion: &mut Criterion) {
    let key = Key::new(PASSWORD);
    let (datagram, client) = (check(&key), SocketAddr::from(([192, 0, 2, 1], 50_000)));
    let mut group = criterion.benchmark_group("stun");
    group.throughput(Throughput::Elements(1));
    group.bench_function("classify", |bench| bench.iter(|| demux::classify(black_box(&datagram))));
    group.bench_function("is_ice_check", |bench| bench.iter(|| is_ice_check(black_box(&datagram))));
    group.bench_function("parse", |bench| bench.iter(|| Message::parse(black_box(&datagram)).is_ok()));
    group.bench_function("parse_and_verify", |bench| {
        bench.iter(|| Message::parse(black_box(&datagram)).is_ok_and(|m| m.verify_fingerprint() && m.verify_integrity(&key)));
    });
    let mut out = [0; 128];
    group.bench_function("answer", |bench| {
        bench.iter(|| answer(black_box(&mut out), TransactionId(*b"transaction!"), black_box(client), &key));
    });
    group.bench_function("parse_verify_and_answer", |bench| {
        bench.iter(|| {
            let message = Message::parse(black_box(&datagram)).ok()?;
            let good = message.verify_fingerprint() && message.verify_integrity(&key);
            good.then(|| answer(black_box(&mut out), message.transaction_id(), client, &key))
        });
    });
    group.finish();
}

criterion_group!(benches, stun);
criterion_main!(benches);

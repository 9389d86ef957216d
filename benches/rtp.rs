//! What reading and rewriting one packet costs: RTP headers and extensions, RTCP compounds, payload descriptors.
//!
//! `cargo bench -p pointsman-wire --bench rtp`

use std::hint::black_box;
use std::time::Duration;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use pointsman_wire::clock::NtpTime;
use pointsman_wire::payload::Format;
use pointsman_wire::payload::dependency_descriptor::Reader;
use pointsman_wire::rtcp::{self, Packet, ReportBlock, SenderInfo, Writer};
use pointsman_wire::rtp::{self, AbsSendTime, Fields, Header, TransportSequence};

/// A video packet as a browser sends it: mid, send time, transport-wide number, orientation; 1,200 bytes in all.
fn video_packet() -> Vec<u8> {
    let mut packet = vec![0x5A; 1200];
    let fields = Fields { marker: false, payload_type: 96, sequence: 4711, timestamp: 90_000, ssrc: 0xCAFE_BABE, csrcs: &[] };
    let send_time = AbsSendTime::new(Duration::from_millis(1234)).to_bytes();
    let elements: [(u8, &[u8]); 4] = [(4, b"1"), (2, &send_time), (3, &[0x12, 0x34]), (13, &[0])];
    rtp::write_header(&fields, &elements, &mut packet).expect("1,200 bytes hold a header");
    packet
}

fn headers(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rtp");
    group.throughput(Throughput::Elements(1));
    let packet = video_packet();
    group.bench_function("parse", |bench| bench.iter(|| Header::parse(black_box(&packet))));
    group.bench_function("parse_and_read_4_extensions", |bench| {
        bench.iter(|| {
            let packet = black_box(&packet[..]);
            let header = Header::parse(packet).ok()?;
            let mut sum = 0;
            for element in header.elements(packet) {
                sum += usize::from(element.id) * element.range().len();
            }
            Some(sum)
        });
    });
    group.bench_function("write_header_with_4_extensions", |bench| {
        let mut out = [0; 64];
        let fields = Fields { marker: true, payload_type: 100, sequence: 1, timestamp: 2, ssrc: 3, csrcs: &[] };
        bench.iter(|| {
            let send_time = AbsSendTime(black_box(77)).to_bytes();
            let sequence = TransportSequence(black_box(78)).to_bytes();
            let elements: [(u8, &[u8]); 4] = [(1, b"video"), (2, &send_time), (3, &sequence), (4, &[0])];
            rtp::write_header(black_box(&fields), &elements, &mut out)
        });
    });
    group.finish();
}

fn compounds(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("rtcp");
    let mut space = [0; 1200];
    let mut writer = Writer::new(&mut space);
    let arrivals = (100..150u64).filter(|it| it % 17 != 0).map(|it| (it, it as i64 * 9));
    let written = writer
        .receiver_report(1, &[ReportBlock::default(); 2])
        .and_then(|()| writer.nack(1, 2, [5, 7, 30]))
        .and_then(|()| writer.pli(1, 2))
        .and_then(|()| writer.transport_cc(1, 2, 0, 100, arrivals.clone()));
    written.expect("1,200 bytes hold the compound");
    let len = writer.len();
    let compound = &space[..len];
    group.bench_function("parse_rr_nack_pli_transport_cc_of_50", |bench| {
        bench.iter(|| {
            rtcp::packets(black_box(compound))
                .flatten()
                .map(|packet| match packet {
                    Packet::ReceiverReport(it) => it.blocks().len(),
                    Packet::Nack(it) => it.lost().count(),
                    Packet::TransportCc(it) => it.arrivals().filter(|it| it.at_ticks.is_some()).count(),
                    _ => 1,
                })
                .sum::<usize>()
        });
    });
    group.bench_function("write_transport_cc_of_50", |bench| {
        let mut out = [0; 1200];
        bench.iter(|| Writer::new(&mut out).transport_cc(1, 2, 0, 100, black_box(arrivals.clone())));
    });
    group.bench_function("write_sender_report_and_cname", |bench| {
        let mut out = [0; 1200];
        let info = SenderInfo { ntp: NtpTime(1), rtp_timestamp: 2, packets: 3, octets: 4 };
        bench.iter(|| {
            let mut writer = Writer::new(&mut out);
            writer.sender_report(1, black_box(&info), &[])?;
            writer.cname(1, black_box("0123456789abcdef"))
        });
    });
    group.finish();
}

fn payloads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("payload");
    group.throughput(Throughput::Elements(1));
    let pad = |head: &[u8]| {
        let mut payload = head.to_vec();
        payload.resize(1150, 0x5A);
        payload
    };
    let samples = [
        ("vp8", Format::Vp8, pad(&[0x90, 0xF0, 0x92, 0x34, 7, 0x65, 0x10])),
        ("vp9", Format::Vp9, pad(&[0xA8, 0x81, 0x02, 0x13, 9])),
        ("h264_fragment", Format::H264, pad(&[0x7C, 0x85, 0x88])),
        ("h264_aggregate", Format::H264, vec![0x78, 0, 3, 0x67, 0x42, 0, 0, 2, 0x68, 0xCE]),
        ("av1", Format::Av1, pad(&[0x28, 2, 0x08, 0, 0x34, 0x48])),
        ("red", Format::Red, pad(&[0xEF, 0x0F, 0x00, 0x40, 0x6F])),
        ("opus", Format::Opus, vec![0x78; 100]),
    ];
    for (name, format, payload) in &samples {
        format.read(payload, false).expect("samples are right");
        group.bench_function(*name, |bench| bench.iter(|| format.read(black_box(payload), black_box(false))));
    }
    // One spatial layer, three temporal ones, as a browser sends it: the structure, then a frame that only names its template.
    let structure = [0x80, 0x00, 0x01, 0x80, 0x02, 0x5E, 0xAD, 0x10, 0x41, 0x02, 0x02, 0x20];
    let mut reader = Reader::new();
    reader.read(&structure).expect("the sample is right");
    group.bench_function("dependency_descriptor", |bench| bench.iter(|| reader.read(black_box(&[0xC1, 0x00, 0x02]))));
    group.bench_function("dependency_descriptor_with_structure", |bench| bench.iter(|| reader.read(black_box(&structure))));
    group.finish();
}

criterion_group!(benches, headers, compounds, payloads);
criterion_main!(benches);

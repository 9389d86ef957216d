//! Samples by hand, and properties.

use proptest::collection::{btree_set, vec};
use proptest::prelude::*;

use super::*;
use crate::clock::NtpTime;

fn read(compound: &[u8]) -> Vec<Packet<'_>> {
    packets(compound).map(|it| it.unwrap()).collect()
}

fn write(with: impl FnOnce(&mut Writer<'_>)) -> Vec<u8> {
    let mut space = [0xAA; 4096];
    let mut writer = Writer::new(&mut space);
    with(&mut writer);
    let len = writer.len();
    space[..len].to_vec()
}

const BLOCK: ReportBlock = ReportBlock {
    ssrc: 0x0102_0304,
    fraction_lost: 64,
    cumulative_lost: -2,
    highest_sequence: 0x0001_0005,
    jitter: 90,
    last_sr: 0xAABB_CCDD,
    delay_since_last_sr: 65_536,
};

#[test]
fn a_compound_as_a_server_sends_it() {
    let info = SenderInfo { ntp: NtpTime(0x1122_3344_5566_7788), rtp_timestamp: 7, packets: 8, octets: 9 };
    let bytes = write(|it| {
        it.sender_report(1, &info, &[BLOCK, BLOCK]).unwrap();
        it.cname(1, "abc").unwrap();
        it.nack(1, 2, [5, 6, 21, 22, 65_535]).unwrap();
        it.pli(1, 2).unwrap();
        it.bye(&[1]).unwrap();
    });
    let read = read(&bytes);
    let [
        Packet::SenderReport(report),
        Packet::Description(description),
        Packet::Nack(nack),
        Packet::Pli { sender: 1, media: 2 },
        Packet::Bye(bye),
    ] = &read[..]
    else {
        panic!("{read:?}")
    };
    assert_eq!((report.ssrc, report.info), (1, info));
    assert_eq!(report.blocks().collect::<Vec<_>>(), [BLOCK, BLOCK]);
    assert_eq!(description.chunks().collect::<Vec<_>>(), [DescriptionChunk { ssrc: 1, cname: Some(b"abc") }]);
    assert_eq!(nack.lost().collect::<Vec<_>>(), [5, 6, 21, 22, 65_535]);
    assert_eq!(bye.ssrcs().collect::<Vec<_>>(), [1]);
}

#[test]
fn bytes_of_a_nack() {
    assert_eq!(write(|it| it.nack(1, 2, [10, 11, 26]).unwrap()), [0x81, 205, 0, 3, 0, 0, 0, 1, 0, 0, 0, 2, 0, 10, 0x80, 1]);
    assert_eq!(write(|it| assert_eq!(it.nack(1, 2, []), None)), []);
}

#[test]
fn bytes_of_feedback_on_pictures() {
    assert_eq!(write(|it| it.pli(1, 2).unwrap()), [0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]);
    let fir = write(|it| it.fir(1, &[FirEntry { ssrc: 2, sequence: 9 }]).unwrap());
    assert_eq!(fir, [0x84, 206, 0, 4, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 2, 9, 0, 0, 0]);
    let remb = write(|it| it.remb(1, 1_000_000, &[3]).unwrap());
    assert_eq!(remb, [0x8F, 206, 0, 5, 0, 0, 0, 1, 0, 0, 0, 0, b'R', b'E', b'M', b'B', 1, 2 << 2 | 3, 0xD0, 0x90, 0, 0, 0, 3]);
    let Packet::Remb(remb) = &read(&remb)[0] else { panic!() };
    assert_eq!((remb.bitrate_bps, remb.ssrcs().collect::<Vec<_>>()), (1_000_000, vec![3]));
}

/// The worked form of the draft: run of two received, then a vector; deltas small, small, large.
#[test]
fn transport_feedback_by_hand() {
    let sample = [
        0x8F,
        205,
        0,
        6,
        0,
        0,
        0,
        1,
        0,
        0,
        0,
        2,
        0xFF,
        0xFF,
        0,
        6,
        0,
        0,
        2,
        3, // base 65,535, six statuses, reference 2
        0x20,
        0x02, // two small
        0b1100_1001,
        0, // two-bit vector: missing, large, small, missing (beyond the third nothing counts)
        4,
        0,
        0xFF,
        0xFF,
    ];
    let Err(ParseError::Body) = packets(&sample).next().unwrap() else { panic!("a delta is missing") };
    let mut sample = sample.to_vec();
    sample[3] = 7;
    sample.extend([1, 0, 0, 0]);
    let Packet::TransportCc(feedback) = &read(&sample)[0] else { panic!() };
    assert_eq!((feedback.base_sequence, feedback.status_count, feedback.reference_time, feedback.feedback_count), (65_535, 6, 2, 3));
    let arrivals: Vec<_> = feedback.arrivals().map(|it| (it.sequence, it.at_ticks)).collect();
    assert_eq!(arrivals, [(65_535, Some(516)), (0, Some(516)), (1, None), (2, Some(515)), (3, Some(516)), (4, None)]);
}

#[test]
fn a_steady_stream_is_one_run() {
    let arrivals = (100..200u64).map(|it| (it, it as i64 * 4));
    let bytes = write(|it| assert_eq!(it.transport_cc(1, 2, 0, 100, arrivals.clone()), Some(100)));
    assert_eq!(bytes.len(), 12 + 8 + 2 + 100 + 2);
    assert_eq!(bytes[20..22], [0x20, 100]);
}

#[test]
fn what_is_too_far_apart_goes_into_the_next_feedback() {
    let far = [(1, 0), (2, 40_000)];
    assert_eq!(write(|it| assert_eq!(it.transport_cc(1, 2, 0, 1, far.into_iter()), Some(1))).len(), 24);
    let wide = [(1, 0), (65_535, 1), (65_536, 2)];
    write(|it| assert_eq!(it.transport_cc(1, 2, 0, 1, wide.into_iter()), Some(2)));
    assert_eq!(Writer::new(&mut [0; 24]).transport_cc(1, 2, 0, 1, far.into_iter()), None);
}

#[test]
fn framing_errors_end_the_compound_and_others_cost_one_packet() {
    let results = |bytes: &[u8]| packets(bytes).map(|it| it.map(|_| ())).collect::<Vec<_>>();
    assert_eq!(results(&[0x81, 206, 0, 1, 0, 0, 0, 1, 0x81, 206, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2]), [Err(ParseError::Body), Ok(())]);
    assert_eq!(results(&[0x81, 206, 0, 2, 0, 0, 0, 1]), [Err(ParseError::Truncated)]);
    assert_eq!(results(&[0x81, 206, 0]), [Err(ParseError::Truncated)]);
    assert_eq!(results(&[0x41, 206, 0, 0, 0x80, 204, 0, 0]), [Err(ParseError::Version)]);
    // Padding: fine on the last, refused before it and when it counts wrong.
    assert_eq!(results(&[0xA1, 203, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4]), [Ok(())]);
    assert_eq!(results(&[0xA1, 203, 0, 2, 0, 0, 0, 1, 0, 0, 0, 5]), [Err(ParseError::Padding)]);
    assert_eq!(results(&[0xA1, 203, 0, 2, 0, 0, 0, 1, 0, 0, 0, 12]), [Err(ParseError::Padding)]);
    assert_eq!(results(&[0xA0, 203, 0, 0]), [Err(ParseError::Padding)]);
    assert_eq!(results(&[0xA1, 203, 0, 2, 0, 0, 0, 1, 0, 0, 0, 4, 0x80, 203, 0, 0]), [Err(ParseError::Padding)]);
    // Counts that the body does not hold.
    assert_eq!(results(&[0x82, 203, 0, 1, 0, 0, 0, 1]), [Err(ParseError::Body)]);
    assert_eq!(results(&[0x81, 201, 0, 1, 0, 0, 0, 1]), [Err(ParseError::Body)]);
    assert_eq!(results(&[0x81, 202, 0, 2, 0, 0, 0, 1, 1, 9, b'a', 0]), [Err(ParseError::Body)]);
}

#[test]
fn transport_feedback_ends_in_padding_of_one_byte() {
    // One packet arrived, 16 ms after the reference time. Its delta ends one byte before the word does, and that byte counts itself.
    let bytes = [0xAF, 205, 0, 5, 0, 0, 0, 1, 0, 0, 0, 2, 0, 9, 0, 1, 0, 0, 0, 0, 0x20, 1, 64, 1];
    for packet in read(&[bytes, bytes].concat()) {
        let Packet::TransportCc(feedback) = packet else { panic!() };
        assert_eq!(feedback.arrivals().map(|it| (it.sequence, it.at_ticks)).collect::<Vec<_>>(), [(9, Some(64))]);
    }
}

#[test]
fn a_writer_writes_whole_packets_or_nothing() {
    let mut space = [0; 20];
    let mut writer = Writer::new(&mut space);
    assert_eq!(writer.pli(1, 2), Some(()));
    assert_eq!(writer.pli(1, 2), None);
    assert_eq!(writer.len(), 12);
    assert_eq!(writer.receiver_report(1, &[]), Some(()));
    assert_eq!((writer.len(), read(&space).len()), (20, 2));
    assert_eq!(Writer::new(&mut [0; 1000]).bye(&[0; 32]), None);
}

#[test]
fn extended_reports_tell_the_round_trip_time() {
    let answers = [DelaySinceReference { ssrc: 2, last_rr: 3, delay: 4 }, DelaySinceReference { ssrc: 5, last_rr: 6, delay: 7 }];
    let bytes = write(|it| {
        it.reference_time(1, NtpTime(9)).unwrap();
        it.delay_since_reference(1, &answers).unwrap();
    });
    let read = read(&bytes);
    let [Packet::ExtendedReport(time), Packet::ExtendedReport(delays)] = &read[..] else { panic!("{read:?}") };
    assert!(matches!(time.blocks().next(), Some(XrBlock::ReferenceTime(NtpTime(9)))));
    let Some(XrBlock::DelaySinceReference(blocks)) = delays.blocks().next() else { panic!() };
    assert_eq!(blocks.iter().map(DelaySinceReference::parse).collect::<Vec<_>>(), answers);
}

/// Numbers and times of packets as they arrive: mostly one after another, some lost, some far apart.
fn arrivals() -> impl Strategy<Value = Vec<(u64, i64)>> {
    let gap = prop_oneof![6 => Just(1u64), 3 => 1..20u64, 1 => 1..20_000u64];
    let delta = prop_oneof![8 => 0..256i64, 3 => -32_768..32_768i64, 1 => -70_000..70_000i64];
    (1 << 16..1u64 << 20, 0..1i64 << 30, vec((gap, delta), 1..300)).prop_map(|(mut sequence, mut at, steps)| {
        let step = |(gap, delta): (u64, i64)| {
            (sequence, at) = (sequence + gap, at + delta);
            (sequence, at)
        };
        steps.into_iter().map(step).collect()
    })
}

#[test]
fn seeds() {
    crate::corpus::replay("rtcp", fuzz);
}

proptest! {
    #[test]
    fn transport_feedback_tells_every_arrival(arrivals in arrivals(), lead in 0..30_000u16, space in 60..1400usize) {
        let mut rest = &arrivals[..];
        let mut space = vec![0xAA; space];
        let mut told = Vec::new();
        let mut base = rest[0].0 - u64::from(lead);
        while !rest.is_empty() {
            let mut writer = Writer::new(&mut space);
            let taken = writer.transport_cc(1, 2, 7, base, rest.iter().copied());
            prop_assert!(taken.is_some_and(|it| it > 0));
            let len = writer.len();
            let Packet::TransportCc(feedback) = &read(&space[..len])[0] else { panic!() };
            let part: Vec<_> = feedback.arrivals().zip(base..).filter_map(|(it, sequence)| {
                assert_eq!(it.sequence, sequence as u16);
                Some((sequence, it.at_ticks?))
            }).collect();
            prop_assert_eq!(&part, &rest[..taken.unwrap()]);
            prop_assert_eq!(u64::from(feedback.status_count), part.last().unwrap().0 - base + 1);
            base = part.last().unwrap().0 + 1;
            told.extend(part);
            rest = &rest[taken.unwrap()..];
        }
        prop_assert_eq!(told, arrivals);
    }

    #[test]
    fn nacks_tell_every_loss(lost in btree_set(any::<u16>(), 1..100)) {
        let bytes = write(|it| it.nack(1, 2, lost.iter().copied()).unwrap());
        let Packet::Nack(nack) = &read(&bytes)[0] else { panic!() };
        prop_assert!(nack.lost().eq(lost));
    }

    #[test]
    fn blocks_come_back(words: [u32; 5], fraction_lost: u8, cumulative_lost in -(1 << 23)..1 << 23) {
        let [ssrc, highest_sequence, jitter, last_sr, delay_since_last_sr] = words;
        let block = ReportBlock { ssrc, fraction_lost, cumulative_lost, highest_sequence, jitter, last_sr, delay_since_last_sr };
        let bytes = write(|it| it.receiver_report(1, &[block]).unwrap());
        let Packet::ReceiverReport(report) = &read(&bytes)[0] else { panic!() };
        prop_assert_eq!(report.blocks().collect::<Vec<_>>(), [block]);
    }

    #[test]
    fn estimates_lose_little(bitrate_bps: u64) {
        let bytes = write(|it| it.remb(1, bitrate_bps, &[]).unwrap());
        let Packet::Remb(remb) = &read(&bytes)[0] else { panic!() };
        prop_assert!(remb.bitrate_bps <= bitrate_bps && bitrate_bps - remb.bitrate_bps <= bitrate_bps >> 17);
    }

    #[test]
    fn any_input(compound in vec(any::<u8>(), 0..200)) { fuzz(&compound); }

    #[test]
    fn any_body(count in 0..32u8, packet_type in 200..208u8, mut body in vec(any::<u8>(), 0..120)) {
        body.truncate(body.len() / 4 * 4);
        let mut packet = vec![0x80 | count, packet_type, 0, (body.len() / 4) as u8];
        packet.extend(body);
        fuzz(&packet);
    }
}

#[test]
fn congestion_feedback_says_what_became_of_each_packet() {
    let report = |sequence, received, ecn, age| PacketReport { sequence, received, ecn, age };
    let first = [report(65_534, true, 1, Some(300)), report(65_535, false, 0, None), report(0, true, 3, None)];
    let second = [report(7, true, 0, Some(0)), report(8, true, 2, Some(8_189))];
    let bytes = write(|it| it.congestion(1, [(11, 65_534, first.iter().copied()), (22, 7, second.iter().copied())], 0xAABB_CCDD).unwrap());
    // Head and sender, two blocks (three reports are padded to four), the timestamp.
    assert_eq!(bytes.len(), 8 + (8 + 8) + (8 + 4) + 4);
    assert_eq!(bytes[..4], [0x80 | 11, 205, 0, 9]);
    let read = read(&bytes);
    let [Packet::Congestion(feedback)] = &read[..] else { panic!("{read:?}") };
    assert_eq!((feedback.sender, feedback.timestamp), (1, 0xAABB_CCDD));
    let blocks: Vec<_> = feedback.blocks().map(|it| (it.ssrc, it.begin_sequence, it.reports().collect::<Vec<_>>())).collect();
    assert_eq!(blocks, [(11, 65_534, first.to_vec()), (22, 7, second.to_vec())]);
    // A count that leads beyond the end, and one that no feedback has.
    for count in [6_u16, 20_000] {
        let mut wrong = bytes.clone();
        wrong[14..16].copy_from_slice(&count.to_be_bytes());
        assert!(packets(&wrong).next().unwrap().is_err(), "{count}");
    }
}

proptest! {
    #[test]
    fn congestion_feedback_survives_a_round_trip(
        begin in any::<u16>(),
        packets_of in vec((any::<bool>(), 0..4_u8, proptest::option::of(0..8_190_u16)), 0..40),
    ) {
        let reports = packets_of.iter().zip(0_u16..).map(|(&(received, ecn, age), at)| PacketReport {
            sequence: begin.wrapping_add(at),
            received,
            ecn: if received { ecn } else { 0 },
            age: age.filter(|_| received),
        });
        let reports: Vec<_> = reports.collect();
        let bytes = write(|it| it.congestion(9, [(3, begin, reports.iter().copied())], 5).unwrap());
        let Some(Ok(Packet::Congestion(feedback))) = packets(&bytes).next() else { panic!() };
        prop_assert_eq!(feedback.blocks().next().unwrap().reports().collect::<Vec<_>>(), reports);
    }
}

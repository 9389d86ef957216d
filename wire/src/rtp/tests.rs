//! Samples, properties, and the registry's `rtp-types` as a second opinion.

use proptest::collection::vec;
use proptest::prelude::*;
use rtp_types::RtpPacket;

use super::*;

/// Marker, type 96, a one-byte block (id 1 with "0", padding, id 3 with two bytes), payload "abcd", three bytes of padding.
const SAMPLE: &[u8] = &[
    0xB0, 0xE0, 0x12, 0x34, 0, 0, 0, 9, 0xDE, 0xAD, 0xBE, 0xEF, 0xBE, 0xDE, 0, 2, 0x10, b'0', 0, 0x31, 7, 8, 0, 0, b'a', b'b', b'c', b'd',
    0, 0, 3,
];

fn elements_of(packet: &[u8]) -> Vec<(u8, Vec<u8>)> {
    Header::parse(packet).unwrap().elements(packet).map(|it| (it.id, packet[it.range()].to_vec())).collect()
}

#[test]
fn reads_a_sample() {
    let header = Header::parse(SAMPLE).unwrap();
    assert!(header.marker && header.has_padding);
    assert_eq!((header.payload_type, header.sequence, header.timestamp, header.ssrc), (96, 0x1234, 9, 0xDEAD_BEEF));
    assert_eq!((header.csrc_count, header.header_len, header.padding_len), (0, 24, 3));
    assert_eq!(header.payload(SAMPLE), b"abcd");
    assert_eq!((header.extension_profile(), header.extension_range()), (Some(0xBEDE), Some(16..24)));
    assert_eq!(elements_of(SAMPLE), [(1, b"0".to_vec()), (3, vec![7, 8])]);
    assert_eq!(header.extension(SAMPLE, 3), Some(&[7, 8][..]));
    assert_eq!(header.extension(SAMPLE, 2), None);
    let protected = Header::parse_protected(SAMPLE).unwrap();
    assert_eq!(protected.payload_range(), 24..31);
}

#[test]
fn names_what_is_wrong() {
    assert_eq!(Header::parse(&SAMPLE[..11]), Err(ParseError::Truncated));
    assert_eq!(Header::parse(&SAMPLE[..23]), Err(ParseError::Truncated));
    let mut packet = SAMPLE.to_vec();
    packet[30] = 8;
    assert_eq!(Header::parse(&packet), Err(ParseError::Padding));
    packet[30] = 0;
    assert_eq!(Header::parse(&packet), Err(ParseError::Padding));
    assert!(Header::parse_protected(&packet).is_ok());
    packet[0] = 0x70;
    assert_eq!(Header::parse(&packet), Err(ParseError::Version));
}

#[test]
fn elements_end_where_the_law_says() {
    let with = |profile: [u8; 2], block: [u8; 4]| {
        let mut packet = vec![0x90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, profile[0], profile[1], 0, 1];
        packet.extend(block);
        elements_of(&packet)
    };
    assert_eq!(with([0xBE, 0xDE], [0xF0, 1, 0x10, 2]), []);
    assert_eq!(with([0xBE, 0xDE], [0x03, 0x10, 1, 0]), []);
    assert_eq!(with([0xBE, 0xDE], [0x10, 9, 0x24, 1]), [(1, vec![9])]);
    assert_eq!(with([0x10, 0x00], [15, 0, 0, 200]), [(15, vec![])]);
    assert_eq!(with([0x10, 0x0F], [1, 2, 3, 4]), [(1, vec![3, 4])]);
    assert_eq!(with([0x12, 0x34], [0x10, 9, 0, 0]), []);
}

#[test]
fn setters_change_their_field_alone() {
    let mut packet = SAMPLE.to_vec();
    set_sequence(&mut packet, 1);
    set_timestamp(&mut packet, 2);
    set_ssrc(&mut packet, 3);
    set_payload_type(&mut packet, 127);
    set_marker(&mut packet, false);
    let header = Header::parse(&packet).unwrap();
    let wanted = Header { marker: false, payload_type: 127, sequence: 1, timestamp: 2, ssrc: 3, ..Header::parse(SAMPLE).unwrap() };
    assert_eq!(header, wanted);
    assert_eq!(packet[12..], SAMPLE[12..]);
    set_ssrc(&mut [0; 11], 1);
}

#[test]
fn two_byte_headers_only_when_needed() {
    let long = [1; 17];
    for (elements, profile) in [
        (&[(1, &[1][..]), (14, &long[..16])][..], 0xBEDE),
        (&[(15, &[1][..])], 0x1000),
        (&[(1, &long[..])], 0x1000),
        (&[(1, &[][..])], 0x1000),
    ] {
        let mut out = [0xAA; 64];
        let len = write_header(&Fields::default(), elements, &mut out).unwrap();
        let header = Header::parse(&out[..len]).unwrap();
        assert_eq!(header.extension_profile(), Some(profile));
        assert_eq!(elements_of(&out[..len]), elements.iter().map(|(id, value)| (*id, value.to_vec())).collect::<Vec<_>>());
    }
    assert_eq!(write_header(&Fields::default(), &[], &mut [0; 12]), Some(12));
    assert_eq!(write_header(&Fields::default(), &[(0, &[1])], &mut [0; 64]), None);
    assert_eq!(write_header(&Fields::default(), &[(1, &[0; 256])], &mut [0; 512]), None);
    assert_eq!(write_header(&Fields::default(), &[(1, &[1])], &mut [0; 19]), None);
}

#[test]
fn padding_is_cut_off_again() {
    let mut space = [0xAA; 40];
    let len = write_header(&Fields { sequence: 5, ..Fields::default() }, &[], &mut space).unwrap();
    let padded = add_padding(&mut space, len + 4, 16).unwrap();
    assert_eq!(padded, 32);
    assert_eq!(Header::parse(&space[..padded]).unwrap().payload(&space), [0xAA; 4]);
    assert_eq!(add_padding(&mut space, 30, 11), None);
    assert_eq!(add_padding(&mut space, 30, 0), Some(30));
}

#[test]
fn a_retransmission_becomes_what_it_repeats() {
    let mut packet = SAMPLE.to_vec();
    packet.splice(24..24, [0xAB, 0xCD]);
    let len = restore_original(&mut packet, 7, 100).unwrap();
    let header = Header::parse(&packet[..len]).unwrap();
    assert_eq!((header.sequence, header.ssrc, header.payload_type, header.marker), (0xABCD, 7, 100, true));
    assert_eq!(header.payload(&packet), b"abcd");
    assert!(!header.has_padding);
    // Nothing but padding: a probe, not a retransmission.
    let mut probe = SAMPLE[..24].to_vec();
    probe.extend([0, 0, 3]);
    assert_eq!(restore_original(&mut probe, 7, 100), None);
}

#[test]
fn extension_names_come_back() {
    for kind in ExtensionKind::ALL {
        assert_eq!(ExtensionKind::from_uri(kind.uri()), Some(kind));
    }
    assert_eq!(ExtensionKind::from_uri("urn:nothing"), None);
}

#[test]
fn values_of_extensions() {
    assert_eq!(AudioLevel::parse(&[0x85]), Some(AudioLevel { level: 5, voice: true }));
    assert_eq!(AbsSendTime::new(std::time::Duration::from_millis(65_500)).0, 3 << 17);
    assert_eq!(PlayoutDelay::parse(&[0x12, 0x34, 0x56]), Some(PlayoutDelay { min_10ms: 0x123, max_10ms: 0x456 }));
    assert_eq!(VideoOrientation::parse(&[0x0D]), Some(VideoOrientation { back_camera: true, flip: true, rotation: 1 }));
    assert_eq!(TransportSequence::parse(&[1, 2, 0, 0]), Some(TransportSequence(0x0102)));
    assert_eq!(AbsCaptureTime::parse(&[0; 8]).map(|it| it.offset), Some(None));
    assert_eq!(AbsCaptureTime::parse(&[0; 16]).map(|it| it.offset), Some(Some(0)));
    assert_eq!((AudioLevel::parse(&[]), AbsSendTime::parse(&[1, 2]), AbsCaptureTime::parse(&[0; 7])), (None, None, None));
}

#[test]
fn unwrapping_survives_what_is_late() {
    let mut sequences = SequenceUnwrapper::new();
    assert_eq!(sequences.extend(2), 0x1_0002);
    assert_eq!(sequences.extend(0xFFFE), 0xFFFE);
    assert_eq!(sequences.extend(3), 0x1_0003);
    assert_eq!(sequences.highest(), Some(0x1_0003));
    let mut timestamps = TimestampUnwrapper::new();
    assert_eq!(timestamps.extend(u32::MAX), (1 << 32) | 0xFFFF_FFFF);
    assert_eq!(timestamps.extend(5), (2 << 32) | 5);
}

#[test]
fn seeds() {
    crate::corpus::replay("rtp", fuzz);
}

proptest! {
    #[test]
    fn agrees_with_the_registry(mut packet in vec(any::<u8>(), 0..80), extension in any::<bool>(), short in any::<bool>()) {
        if let Some(first) = packet.first_mut() { *first = *first & 0x2F | 0x80 | u8::from(extension) << 4; }
        if short && packet.len() > 16 { packet[0] &= 0xF0; packet[14] = 0; packet[15] %= 16; }
        match (Header::parse(&packet), RtpPacket::parse(&packet)) {
            (Ok(ours), Ok(theirs)) => {
                prop_assert_eq!(ours.marker, theirs.marker_bit());
                prop_assert_eq!(ours.payload_type, theirs.payload_type());
                prop_assert_eq!(ours.sequence, theirs.sequence_number());
                prop_assert_eq!(ours.timestamp, theirs.timestamp());
                prop_assert_eq!(ours.ssrc, theirs.ssrc());
                prop_assert_eq!(ours.csrc_count, theirs.n_csrcs());
                prop_assert_eq!(ours.payload(&packet), theirs.payload());
                let block = ours.extension_profile().zip(ours.extension_range().map(|it| &packet[it]));
                prop_assert_eq!(block, theirs.extension());
            }
            (Err(_), Err(_)) => {}
            (ours, theirs) => prop_assert!(false, "{ours:?} but {:?}", theirs.map(|_| ())),
        }
    }

    #[test]
    fn any_input(packet in vec(any::<u8>(), 0..100)) { fuzz(&packet); }

    #[test]
    fn any_change_of_a_sample(at in 0..SAMPLE.len(), to in any::<u8>(), len in 0..=SAMPLE.len()) {
        let mut packet = SAMPLE.to_vec();
        packet[at] = to;
        fuzz(&packet[..len]);
    }

    #[test]
    fn headers_come_back(marker: bool, payload_type in 0..128u8, sequence: u16, timestamp: u32, ssrc: u32, csrcs in vec(any::<[u8; 4]>(), 0..16),
                         elements in vec((1..=255u8, vec(any::<u8>(), 0..40)), 0..8)) {
        let csrcs = csrcs.concat();
        let fields = Fields { marker, payload_type, sequence, timestamp, ssrc, csrcs: &csrcs };
        let refs: Vec<_> = elements.iter().map(|(id, value)| (*id, &value[..])).collect();
        let mut out = [0xAA; 1024];
        let len = write_header(&fields, &refs, &mut out).unwrap();
        let header = Header::parse(&out[..len]).unwrap();
        let read = Fields {
            marker: header.marker, payload_type: header.payload_type, sequence: header.sequence, timestamp: header.timestamp,
            ssrc: header.ssrc, csrcs: header.csrcs(&out),
        };
        prop_assert_eq!(read, fields);
        prop_assert_eq!(header.header_len, len);
        prop_assert_eq!(elements_of(&out[..len]), elements);
    }

    #[test]
    fn unwrapped_numbers_keep_order(start: u16, steps in vec(0..30_000u16, 1..50)) {
        let mut unwrapper = SequenceUnwrapper::new();
        let mut at = start;
        let first = unwrapper.extend(at);
        let mut sum = first;
        for step in steps {
            at = at.wrapping_add(step);
            sum += u64::from(step);
            prop_assert_eq!(unwrapper.extend(at), sum);
            prop_assert_eq!(sum as u16, at);
        }
    }
}

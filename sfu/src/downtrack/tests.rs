mod layers;

use std::time::Duration;

use pointsman_wire::rtp;

use super::header::{Stamps, Template};
use super::revised::Revised;
use crate::{Carried, ExtensionIds, Span};

const STAMPS: Stamps = Stamps { transport_sequence: 0x1234, unix: Duration::from_secs(5), frame_number: 0xABCD };

fn ids() -> ExtensionIds {
    ExtensionIds {
        mid: Some(4),
        transport_cc: Some(3),
        abs_send_time: Some(2),
        audio_level: Some(1),
        dependency_descriptor: Some(13),
        ..ExtensionIds::default()
    }
}

/// Writes a header and reads it back; the elements by id.
fn written(template: &Template, packet: &[u8], carried: &Carried) -> Vec<(u8, Vec<u8>)> {
    let mut out = [0xEE; 1564];
    out[0] = 0x80;
    let len = template.write(&mut out, packet, carried, &Revised::NONE, &STAMPS);
    assert_eq!(len, template.header_len(carried, &Revised::NONE), "what was planned is what is written");
    let header = rtp::Header::parse(&out[..len]).unwrap();
    assert_eq!(header.header_len, len);
    header.elements(&out[..len]).map(|element| (element.id, out[element.range()].to_vec())).collect()
}

#[test]
fn every_packet_has_what_the_template_says() {
    let template = Template::new(&ids(), "v0");
    let elements = written(&template, &[], &Carried::NONE);
    let send_time = rtp::AbsSendTime::new(STAMPS.unix).to_bytes().to_vec();
    assert_eq!(elements, [(4, b"v0".to_vec()), (3, vec![0x12, 0x34]), (2, send_time)]);
}

#[test]
fn carried_values_get_the_subscribers_ids() {
    let template = Template::new(&ids(), "v0");
    let packet = [0, 0x85, 0, 7, 0, 1, 9];
    let carried = Carried {
        audio_level: Span { at: 1, len: 1 },
        video_orientation: Span { at: 2, len: 1 },
        dependency_descriptor: Span { at: 3, len: 4 },
        ..Carried::NONE
    };
    let elements = written(&template, &packet, &carried);
    assert_eq!(elements[3..], [(1, vec![0x85]), (13, vec![7, 0xAB, 0xCD, 9])], "orientation was not negotiated; the frame has its number");
}

#[test]
fn long_values_need_two_byte_elements() {
    let template = Template::new(&ids(), "v0");
    let packet = [5; 100];
    let carried = Carried { dependency_descriptor: Span { at: 10, len: 60 }, ..Carried::NONE };
    let elements = written(&template, &packet, &carried);
    assert_eq!(elements.len(), 4);
    assert_eq!((elements[3].0, elements[3].1.len()), (13, 60));
    let long_mid = Template::new(&ids(), "a mid of twenty byte");
    assert_eq!(written(&long_mid, &[], &Carried::NONE)[0].1, b"a mid of twenty byte");
    let high_id = Template::new(&ExtensionIds { mid: Some(20), ..ExtensionIds::default() }, "0");
    assert_eq!(written(&high_id, &[], &Carried::NONE), [(20, b"0".to_vec())]);
}

#[test]
fn nothing_negotiated_is_no_extension() {
    let template = Template::new(&ExtensionIds::default(), "0");
    assert!(written(&template, &[], &Carried::NONE).is_empty());
    assert_eq!(template.header_len(&Carried::NONE, &Revised::NONE), 12);
}

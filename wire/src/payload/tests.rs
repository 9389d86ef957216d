//! Hand-made payloads of every format, and any input at all.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn number(at: u16, bits: u8, value: u16) -> Option<Number> {
    Some(Number { at, bits, value })
}

#[test]
fn vp8_with_everything() {
    let payload = [0x90, 0xF0, 0x92, 0x34, 7, 0x65, 0x10, 0, 0];
    let it = vp8::Descriptor::parse(&payload).unwrap();
    assert_eq!((it.len, it.picture_id, it.tl0_index), (6, number(2, 15, 0x1234), number(4, 8, 7)));
    assert_eq!((it.temporal, it.key_index), (Some(vp8::Temporal { id: 1, sync: true }), Some(5)));
    let info = Format::Vp8.read(&payload, true).unwrap();
    assert!(info.is_entry() && info.end_of_frame && info.switch_up && !info.discardable);
    // An inter frame, and a later partition or packet of a key frame.
    assert!(!Format::Vp8.read(&[0x90, 0xF0, 0x92, 0x34, 7, 0x65, 0x11], false).unwrap().is_entry());
    for first in [0x80, 0x91] {
        let info = Format::Vp8.read(&[first, 0xF0, 0x92, 0x34, 7, 0x65, 0x10], false).unwrap();
        assert!(!info.keyframe && !info.start_of_frame);
    }
}

#[test]
fn vp8_with_little() {
    assert!(Format::Vp8.read(&[0x10, 0], false).unwrap().is_entry());
    assert!(Format::Vp8.read(&[0x30, 1], false).unwrap().discardable);
    let short = vp8::Descriptor::parse(&[0x90, 0x80, 0x12, 0]).unwrap();
    assert_eq!((short.len, short.picture_id, short.temporal), (3, number(2, 7, 0x12), None));
    let key_index = vp8::Descriptor::parse(&[0x90, 0x10, 0xDF, 0]).unwrap();
    assert_eq!((key_index.temporal, key_index.key_index), (None, Some(31)));
    let whole = [0x90, 0xF0, 0x92, 0x34, 7, 0x65, 0x10];
    for len in 0..whole.len() {
        assert_eq!(Format::Vp8.read(&whole[..len], false), Err(ParseError::Truncated), "{len} bytes");
    }
}

#[test]
fn numbers_are_replaced_in_their_width() {
    let mut payload = [0x90, 0xF0, 0x92, 0x34, 7, 0x65, 0x10];
    let info = Format::Vp8.read(&payload, false).unwrap();
    info.picture_id.unwrap().replace(&mut payload, 0xFFFF);
    info.tl0_index.unwrap().replace(&mut payload, 0x1FF);
    assert_eq!(payload, [0x90, 0xF0, 0xFF, 0xFF, 0xFF, 0x65, 0x10]);
    let mut payload = [0x90, 0x80, 0x12, 0];
    Format::Vp8.read(&payload, false).unwrap().picture_id.unwrap().replace(&mut payload, 0xFF);
    assert_eq!(payload, [0x90, 0x80, 0x7F, 0]);
    Number { at: 3, bits: 15, value: 0 }.replace(&mut payload, 1);
    assert_eq!(payload, [0x90, 0x80, 0x7F, 0]);
}

#[test]
fn vp9_not_flexible() {
    // I, L, B, V: a keyframe of two spatial layers with resolutions and a group of two pictures.
    let key = [0xAA, 0x81, 0x02, 0x00, 9, 0x38, 1, 64, 0, 180, 2, 128, 1, 104, 2, 0x04, 1, 0x28, 1, 2, 0xFF];
    let it = vp9::Descriptor::parse(&key).unwrap();
    assert_eq!((it.len, it.picture_id, it.tl0_index), (20, number(1, 15, 0x102), number(4, 8, 9)));
    let scalability = it.scalability.unwrap();
    assert_eq!((scalability.spatial_layers, scalability.pictures), (2, 2));
    assert_eq!(scalability.resolutions.unwrap()[..2], [(320, 180), (640, 360)]);
    assert!(it.frame_info().is_entry() && !it.end_of_frame);
    // The upper layer of the same picture: P is 0, but it needs the lower one.
    let upper = vp9::Descriptor::parse(&[0xA8, 0x81, 0x02, 0x13, 9, 0xFF]).unwrap();
    assert_eq!(upper.layer, Some(vp9::Layer { temporal: 0, switch_up: true, spatial: 1, inter_layer: true }));
    assert!(!upper.frame_info().keyframe);
    for len in 0..key.len() {
        assert_eq!(Format::Vp9.read(&key[..len], false), Err(ParseError::Truncated), "{len} bytes");
    }
}

#[test]
fn vp9_flexible() {
    let it = vp9::Descriptor::parse(&[0xF4, 0x05, 0x40, 3, 4, 0xFF]).unwrap();
    assert_eq!((it.len, it.picture_id, it.tl0_index), (5, number(1, 7, 5), None));
    assert!(it.inter_picture && it.flexible && it.end_of_frame && !it.frame_info().keyframe);
    assert_eq!(it.frame_info().temporal, 2);
    assert_eq!(vp9::Descriptor::parse(&[0xF4, 0x05, 0x40, 3, 3, 3, 0xFF]), Err(ParseError::Invalid));
}

#[test]
fn h264_in_its_three_packets() {
    let entry = |payload: &[u8]| Format::H264.read(payload, false).map(|it| it.is_entry());
    // STAP-A of SPS and PPS, as browsers send before a picture; then the picture in fragments.
    assert_eq!(entry(&[0x78, 0, 3, 0x67, 0x42, 0, 0, 2, 0x68, 0xCE]), Ok(true));
    assert_eq!(entry(&[0x7C, 0x85, 0x88, 1]), Ok(true));
    assert_eq!(entry(&[0x7C, 0x05, 0x88, 1]), Ok(false));
    assert!(Format::H264.read(&[0x7C, 0x45, 0x88, 1], true).unwrap().keyframe);
    // Single units: IDR, its second slice, a picture that needs others, parameter sets.
    assert_eq!(entry(&[0x65, 0x88]), Ok(true));
    assert_eq!(entry(&[0x65, 0x40]), Ok(false));
    assert_eq!(entry(&[0x41, 0x9A]), Ok(false));
    assert_eq!(entry(&[0x67, 0x42]), Ok(true));
    assert_eq!(entry(&[0x68, 0xCE]), Ok(false));
    assert!(Format::H264.read(&[0x01, 0x9A], false).unwrap().discardable);
}

#[test]
fn h264_refuses_what_is_not_negotiated_or_broken() {
    let read = |payload: &[u8]| h264::Summary::parse(payload).map(|_| ());
    for first in [0x60, 0x79, 0x7A, 0x7B, 0x7D, 0x7E, 0x7F, 0xE5] {
        assert_eq!(read(&[first, 0x88, 0x88]), Err(ParseError::Invalid), "{first:#x}");
    }
    assert_eq!(read(&[0x78]), Err(ParseError::Truncated));
    assert_eq!(read(&[0x78, 0, 3, 0x67, 0x42]), Err(ParseError::Truncated));
    assert_eq!(read(&[0x78, 0, 0]), Err(ParseError::Invalid));
    assert_eq!(read(&[0x7C]), Err(ParseError::Truncated));
    assert_eq!(read(&[0x7C, 0xC5, 0x88]), Err(ParseError::Invalid));
}

#[test]
fn av1_elements() {
    // N, two elements: a sequence header with its length, a frame without.
    let it = av1::Summary::parse(&[0x28, 2, 0x08, 0, 0x34, 0x48, 9]).unwrap();
    assert!(it.new_sequence && it.frame_header && !it.continues);
    assert_eq!(it.layer, Some(av1::Layer { temporal: 2, spatial: 1 }));
    // Lengths on all elements; the sequence header is seen without N.
    assert!(Format::Av1.read(&[0x00, 2, 0x08, 0, 1, 0x30], true).unwrap().is_entry());
    // What goes on from before is not looked into.
    let on = Format::Av1.read(&[0x90, 0x08, 0], false).unwrap();
    assert!(!on.is_entry() && !on.start_of_frame);
    let frame = Format::Av1.read(&[0x10, 0x30, 1], false).unwrap();
    assert!(!frame.keyframe && frame.start_of_frame);
    let read = |payload: &[u8]| av1::Summary::parse(payload).map(|_| ());
    assert_eq!(read(&[0x98, 0x08]), Err(ParseError::Invalid));
    assert_eq!(read(&[0x10]), Err(ParseError::Truncated));
    assert_eq!(read(&[0x20, 1, 0x08]), Err(ParseError::Truncated));
    assert_eq!(read(&[0x00, 3, 0x08]), Err(ParseError::Truncated));
    assert_eq!(read(&[0x00, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0]), Err(ParseError::Invalid));
    assert_eq!(read(&[0x00, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]), Err(ParseError::Invalid));
}

#[test]
fn audio() {
    assert!(Format::Opus.read(&[0x78], false).unwrap().is_entry());
    assert_eq!(Format::Opus.read(&[], false), Err(ParseError::Truncated));
    assert!(opus::is_dtx(&[0x78]) && opus::is_dtx(&[0x78, 1]) && !opus::is_dtx(&[0x78, 1, 2]) && !opus::is_dtx(&[]));
    assert!(opus::is_stereo(&[0x7C]) && !opus::is_stereo(&[0x78]));

    let payload = [0xEF, 0x0F, 0x00, 0x02, 0x6F, b'a', b'b', b'c'];
    let blocks: Vec<_> = red::blocks(&payload).unwrap().collect();
    let block = |timestamp_offset, range| red::Block { payload_type: 111, timestamp_offset, range };
    assert_eq!(blocks, [block(960, 5..7), block(0, 7..8)]);
    assert!(Format::Red.read(&payload, false).unwrap().is_entry());
    assert_eq!(red::blocks(&[0x6F, 1]).unwrap().collect::<Vec<_>>(), [block(0, 1..2)]);
    assert_eq!(red::newest(&payload), Ok(7..8));
    let mut headers = [0; 9];
    assert_eq!(red::write_headers(111, [(960, 2)], &mut headers), Some(5));
    assert_eq!(headers[..5], payload[..5]);
    assert_eq!(red::copy_headers(&payload, 109, &mut headers), Some(5));
    assert_eq!(headers[..5], [0xED, 0x0F, 0x00, 0x02, 0x6D]);
    assert_eq!(red::write_headers(111, [(1 << 14, 2)], &mut headers), None);
    assert_eq!(red::write_headers(111, [(960, 1024)], &mut headers), None);
    assert_eq!(red::write_headers(111, [(1, 1), (1, 1), (1, 1)], &mut headers), None, "no room");
    assert_eq!(red::blocks(&payload[..6]).map(|_| ()), Err(ParseError::Truncated));
    assert_eq!(red::blocks(&payload[..4]).map(|_| ()), Err(ParseError::Truncated));
    assert_eq!(red::blocks(&[0xEF, 0, 0]).map(|_| ()), Err(ParseError::Truncated));
}

#[test]
fn seeds() {
    crate::corpus::replay("vp8", vp8::fuzz);
    crate::corpus::replay("vp9", vp9::fuzz);
    crate::corpus::replay("h264", h264::fuzz);
    crate::corpus::replay("av1", av1::fuzz);
    crate::corpus::replay("red", red::fuzz);
}

proptest! {
    #[test]
    fn any_input(payload in vec(any::<u8>(), 0..48)) {
        vp8::fuzz(&payload);
        vp9::fuzz(&payload);
        h264::fuzz(&payload);
        av1::fuzz(&payload);
        red::fuzz(&payload);
    }

    #[test]
    fn any_head(head in vec(any::<u8>(), 1..6)) {
        let mut payload = head;
        payload.extend([0; 300]);
        vp8::fuzz(&payload);
        vp9::fuzz(&payload);
        h264::fuzz(&payload);
        av1::fuzz(&payload);
        red::fuzz(&payload);
    }
}

//! Values put together by hand, as the extension's description lists their fields.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

fn picture(width: u32, height: u32, frames_per_second: u8) -> Option<Picture> {
    Some(Picture { width, height, frames_per_second })
}

#[rustfmt::skip]
/// Three streams with a spatial layer each, of three, two and one temporal layers, sent on the second.
const SIMULCAST: [u8; 26] = [
    0x61, // stream 1 of 3, all have layer 0
    0b10_01_00_00,
    50, 80, 100, // q
    0xC8, 0x01, 0xAC, 0x02, // h: 200, 300
    0xDC, 0x0B, // f: 1,500
    0, 239, 0, 134, 30, // 240×135
    1, 223, 1, 13, 30, // 480×270
    3, 191, 2, 27, 15, // 960×540
];

#[test]
fn simulcast_with_sizes() {
    let it = Allocation::parse(&SIMULCAST).unwrap();
    assert_eq!(it.stream, 1);
    let [q, h, f, none] = it.layers.map(|layers| layers[0]);
    assert_eq!(none, None);
    assert_eq!(q, Some(Layer { temporals: 3, kbps: [50, 80, 100, 0], picture: picture(240, 135, 30) }));
    assert_eq!(h, Some(Layer { temporals: 2, kbps: [200, 300, 0, 0], picture: picture(480, 270, 30) }));
    assert_eq!(f, Some(Layer { temporals: 1, kbps: [1500, 0, 0, 0], picture: picture(960, 540, 15) }));
    assert_eq!((q.unwrap().kbps_all(), h.unwrap().kbps_all(), f.unwrap().kbps_all()), (100, 300, 1500));
    assert!(it.layers.iter().all(|layers| layers[1..].iter().all(Option::is_none)));
    let mut space = [0; LEN_MAX];
    let len = it.write(&mut space).unwrap();
    assert_eq!(space[..len], SIMULCAST);
}

#[test]
fn sizes_may_be_left_out() {
    let it = Allocation::parse(&SIMULCAST[..11]).unwrap();
    assert_eq!(it.layers[2][0], Some(Layer { temporals: 1, kbps: [1500, 0, 0, 0], picture: None }));
    // All of them or none.
    for len in 12..SIMULCAST.len() {
        assert_eq!(Allocation::parse(&SIMULCAST[..len]), Err(ParseError::Truncated), "{len} bytes");
    }
}

#[test]
fn layers_that_are_not_the_same_in_each_stream() {
    // Streams 0 and 2 have a layer, 1 has none: a middle one that is not sent now.
    let it = Allocation::parse(&[0x20, 0x10, 0x10, 0b00_00_00_00, 100, 0xE8, 0x07]).unwrap();
    let streams: Vec<(usize, usize, u32)> = it.encoded().map(|(stream, spatial, layer)| (stream, spatial, layer.kbps[0])).collect();
    assert_eq!(streams, [(0, 0, 100), (2, 0, 1000)]);
    // One stream with three spatial layers, the lowest not encoded.
    let it = Allocation::parse(&[0x06, 0b01_00_00_00, 1, 2, 3]).unwrap();
    let layers: Vec<(usize, usize, u8)> = it.encoded().map(|(stream, spatial, layer)| (stream, spatial, layer.temporals)).collect();
    assert_eq!(layers, [(0, 1, 2), (0, 2, 1)]);
}

#[test]
fn nothing_is_encoded() {
    assert_eq!(Allocation::parse(&[0]), Ok(Allocation::default()));
    let mut space = [7; 1];
    assert_eq!((Allocation::default().write(&mut space), space), (Some(1), [0]));
}

#[test]
fn what_is_cut_short_or_impossible_is_refused() {
    assert_eq!(Allocation::parse(&[]), Err(ParseError::Truncated));
    for len in 1..11 {
        assert_eq!(Allocation::parse(&SIMULCAST[..len]), Err(ParseError::Truncated), "{len} bytes");
    }
    assert_eq!(Allocation::parse(&[0x20, 0, 0, 0]), Err(ParseError::Invalid), "layers are announced, and there are none");
    assert_eq!(Allocation::parse(&[0x01, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0x7F]), Err(ParseError::Invalid), "more than 32 bits");
    assert_eq!(Allocation::parse(&[0x01, 0, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 1]), Err(ParseError::Invalid), "more than five bytes");
    assert_eq!(Allocation::parse(&SIMULCAST[..11]).unwrap().write(&mut [0; 8]), None);
}

#[test]
fn seeds() {
    crate::corpus::replay("video_layers_allocation", fuzz);
}

proptest! {
    #[test]
    fn any_input(value in vec(any::<u8>(), 0..100)) { fuzz(&value); }

    #[test]
    fn any_head(head in vec(any::<u8>(), 1..5), tail in vec(0..0x80u8, 0..160)) {
        fuzz(&[head, tail].concat());
    }
}

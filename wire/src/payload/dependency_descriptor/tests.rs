//! Descriptors put together bit by bit, as the specification's syntax lists them.

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

#[derive(Default)]
struct BitWriter {
    bytes: Vec<u8>,
    count: usize,
}

impl BitWriter {
    fn put(mut self, fields: &[(u32, u32)]) -> Self {
        for &(width, value) in fields {
            for bit in (0..width).rev() {
                if self.count.is_multiple_of(8) {
                    self.bytes.push(0);
                }
                *self.bytes.last_mut().unwrap() |= ((value >> bit & 1) as u8) << (7 - self.count % 8);
                self.count += 1;
            }
        }
        self
    }
}

/// Two spatial layers of two temporal ones, two decode targets (all of it; the base layer alone), two chains, 640×360 and 1280×720.
fn structure_sample() -> Vec<u8> {
    BitWriter::default()
        .put(&[(1, 1), (1, 0), (6, 10), (16, 500)]) // start, not end, template 10, frame 500
        .put(&[(5, 0b10000)]) // a structure, nothing custom
        .put(&[(6, 10), (5, 1)]) // offset 10, two decode targets
        .put(&[(2, 1), (2, 2), (2, 1), (2, 3)]) // layers: S0T0, S0T1, S1T0, S1T1
        .put(&[(2, 2), (2, 2), (2, 1), (2, 0), (2, 3), (2, 0), (2, 1), (2, 0)]) // indications
        .put(&[(1, 0), (1, 1), (4, 1), (1, 0), (1, 1), (4, 0), (1, 1), (4, 3), (1, 0), (1, 0)]) // frame differences
        .put(&[(2, 3), (1, 0), (1, 1)]) // two chains (the number 2 of 0..=2 is written as 3); which one protects which target
        .put(&[(4, 0); 8]) // chain differences: four templates, two chains
        .put(&[(1, 1), (16, 639), (16, 359), (16, 1279), (16, 719)])
        .bytes
}

#[test]
fn a_structure_holds_until_the_next() {
    let mut reader = Reader::new();
    let first = reader.read(&structure_sample()).unwrap();
    assert!(first.start_of_frame && !first.end_of_frame && first.has_structure);
    assert_eq!(first.frame_number, 500);
    let frame = first.frame.unwrap();
    assert_eq!((frame.spatial, frame.temporal, frame.decode_targets, frame.chains), (0, 0, 2, 2));
    assert_eq!(frame.active_decode_targets, Some(0b11));
    assert_eq!([0, 1, 2].map(|it| frame.indication(it)), [Indication::Switch, Indication::Switch, Indication::NotPresent]);
    let structure = reader.structure().unwrap();
    assert_eq!((structure.decode_targets(), structure.spatial_layers()), (2, 2));
    assert_eq!((structure.resolution(0), structure.resolution(1), structure.resolution(2)), (Some((640, 360)), Some((1280, 720)), None));
    assert_eq!((structure.layers_of(0), structure.layers_of(1), structure.layers_of(2)), (Some((1, 1)), Some((0, 0)), None));

    // Template 13 is the last: S1T1, discardable in the first target.
    let next = reader.read(&[0x40 | 13, 0x01, 0xF5]).unwrap();
    assert!(!next.start_of_frame && next.end_of_frame && !next.has_structure);
    let frame = next.frame.unwrap();
    assert_eq!((next.frame_number, frame.spatial, frame.temporal, frame.active_decode_targets), (501, 1, 1, None));
    assert_eq!([0, 1].map(|it| frame.indication(it)), [Indication::Discardable, Indication::NotPresent]);
    assert_eq!(reader.read(&[0x40 | 14, 0x01, 0xF5]), Err(ParseError::Invalid));
    assert_eq!(reader.read(&[0x40 | 9, 0x01, 0xF5]), Err(ParseError::Invalid));
}

#[test]
fn active_decode_targets_are_replaced() {
    let sample = structure_sample();
    let mut reader = Reader::new();
    reader.read(&sample).unwrap();
    let structure = structure(&sample).unwrap();
    assert_eq!((structure.served_with(0), structure.served_with(1)), (0b11, 0b10), "the first has all frames of the second");
    assert_eq!(active_targets(&sample, 9), Some(0b11), "a structure without a bitmask: all");
    let mut out = [0xEE; 100];
    // Into a descriptor with a structure, into the shortest, and in the place of another bitmask.
    let len = with_active_targets(&sample, 2, 0b10, &mut out).unwrap();
    assert!(len <= sample.len() + 1);
    let mut again = Reader::new();
    let read = again.read(&out[..len]).unwrap();
    assert_eq!((read.frame_number, read.frame.unwrap().active_decode_targets), (500, Some(0b10)));
    assert_eq!(again.structure().unwrap().resolution(1), Some((1280, 720)));
    let short = [0x40 | 13, 0x01, 0xF5];
    assert_eq!(active_targets(&short, 2), None);
    let len = with_active_targets(&short, 2, 0b01, &mut out).unwrap();
    assert_eq!((len, active_targets(&out[..len], 2)), (4, Some(0b01)));
    let once = out[..len].to_vec();
    let len = with_active_targets(&once, 2, 0b10, &mut out).unwrap();
    assert_eq!((len, active_targets(&out[..len], 2)), (4, Some(0b10)));
    assert_eq!(reader.read(&out[..len]).unwrap().frame.unwrap().temporal, 1);
    assert_eq!(with_active_targets(&sample, 2, 1, &mut [0; 10]), None);
    assert_eq!(with_active_targets(&sample[..8], 2, 1, &mut out), None);
}

#[test]
fn custom_fields_stand_in_for_the_template() {
    let mut reader = Reader::new();
    reader.read(&structure_sample()).unwrap();
    let custom = BitWriter::default()
        .put(&[(2, 3), (6, 11), (16, 7), (5, 0b01111)])
        .put(&[(2, 0b01)]) // active: only the base layer's target
        .put(&[(2, 3), (2, 1)]) // indications
        .put(&[(2, 3), (12, 9), (2, 1), (4, 2), (2, 0)]) // frame differences
        .put(&[(8, 1), (8, 2)]) // chains
        .bytes;
    let frame = reader.read(&custom).unwrap().frame.unwrap();
    assert_eq!((frame.spatial, frame.temporal, frame.active_decode_targets), (0, 1, Some(1)));
    assert_eq!([0, 1].map(|it| frame.indication(it)), [Indication::Required, Indication::Discardable]);
    assert_eq!(reader.read(&custom[..custom.len() - 1]), Err(ParseError::Truncated));
}

#[test]
fn without_a_structure_the_place_is_unknown() {
    let read = Reader::new().read(&[0xC0, 0, 1]).unwrap();
    assert_eq!(read, Descriptor { start_of_frame: true, end_of_frame: true, frame_number: 1, has_structure: false, frame: None });
    assert_eq!(Reader::new().read(&[0xC0, 0]), Err(ParseError::Truncated));
}

#[test]
fn a_broken_structure_changes_nothing() {
    let sample = structure_sample();
    let mut reader = Reader::new();
    for len in 4..sample.len() {
        assert!(reader.read(&sample[..len]).is_err(), "{len} bytes");
        assert!(reader.structure().is_none());
    }
    // More layers than there may be.
    let layers = BitWriter::default().put(&[(24, 0), (5, 16), (6, 0), (5, 0)]).put(&[(2, 2); 4]).put(&[(32, u32::MAX); 8]).bytes;
    assert_eq!(reader.read(&layers), Err(ParseError::Invalid));
    let templates = BitWriter::default().put(&[(24, 0), (5, 16), (6, 0), (5, 0)]).put(&[(2, 0); 64]).put(&[(32, u32::MAX); 8]).bytes;
    assert_eq!(reader.read(&templates), Err(ParseError::Invalid));
}

#[test]
fn non_symmetric_numbers() {
    for n in 1..40u32 {
        for value in 0..n {
            // The specification's definition, the other way round.
            let width = u32::BITS - n.leading_zeros();
            let short = (1 << width) - n;
            let written = if value < short { vec![(width - 1, value)] } else { vec![(width, value + short)] };
            let writer = BitWriter::default().put(&written);
            let mut bits = Bits::new(&writer.bytes);
            assert_eq!(bits.take_non_symmetric(n), Ok(value), "{value} of {n}");
        }
    }
}

#[test]
fn seeds() {
    crate::corpus::replay("dependency_descriptor", fuzz);
}

proptest! {
    #[test]
    fn any_input(input in vec(any::<u8>(), 0..100)) { fuzz(&input); }

    #[test]
    fn any_change_of_a_sample(at in 0..100usize, to: u8, second in vec(any::<u8>(), 0..40)) {
        let mut sample = structure_sample();
        let at = at % sample.len();
        sample[at] = to;
        let mut input = vec![sample.len() as u8];
        input.extend(sample);
        input.extend(second);
        fuzz(&input);
    }
}

//! ChannelData, the four-byte framing of relayed data (RFC 8656 section 12.4).
//!
//! ```text
//! | channel number (16) | length (16) | application data … |
//! ```

use std::ops::RangeInclusive;

/// Bytes before the application data.
pub const HEADER_LEN: usize = 4;

/// Channel numbers that we take. RFC 8656 section 12 keeps 0x4000..=0x4FFF; the rest of RFC 5766's range is still drawn by
/// clients in the field. 0x7FFF was reserved there.
pub const NUMBERS: RangeInclusive<u16> = 0x4000..=0x7FFE;

/// Why a datagram is no ChannelData message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Shorter than its header.
    Truncated,
    /// The number lies outside [`NUMBERS`].
    Number,
    /// The length field promises more than is there, or there is more than padding behind it.
    Length,
}

/// A ChannelData message that fills one datagram.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ChannelData<'a> {
    pub number: u16,
    pub data: &'a [u8],
}

impl<'a> ChannelData<'a> {
    /// Reads one datagram. Over UDP padding is allowed, not required (RFC 8656 section 12.5): up to three bytes may follow the data.
    pub fn parse(datagram: &'a [u8]) -> Result<Self, Error> {
        let [n0, n1, l0, l1, rest @ ..] = datagram else { return Err(Error::Truncated) };
        let number = u16::from_be_bytes([*n0, *n1]);
        if !NUMBERS.contains(&number) {
            return Err(Error::Number);
        }
        let length = usize::from(u16::from_be_bytes([*l0, *l1]));
        let data = rest.get(..length).ok_or(Error::Length)?;
        if rest.len() > length.next_multiple_of(4) {
            return Err(Error::Length);
        }
        Ok(Self { number, data })
    }
}

/// The header to put before `length` bytes of data; `None` when they exceed what the length field holds.
pub fn header(number: u16, length: usize) -> Option<[u8; HEADER_LEN]> {
    let [n0, n1] = number.to_be_bytes();
    let [l0, l1] = u16::try_from(length).ok()?.to_be_bytes();
    Some([n0, n1, l0, l1])
}

/// What must hold for any input.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(input: &[u8]) {
    let Ok(message) = ChannelData::parse(input) else { return };
    let mut again = header(message.number, message.data.len()).expect("a parsed length fits its field").to_vec();
    again.extend_from_slice(message.data);
    assert_eq!(ChannelData::parse(&again), Ok(message));
    assert!(input.len() - again.len() <= 3, "only padding is passed over");
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_what_is_there_and_passes_over_padding_only() {
        let message = [0x40, 0x01, 0, 3, b'a', b'b', b'c'];
        let expected = Ok(ChannelData { number: 0x4001, data: b"abc" });
        assert_eq!(ChannelData::parse(&message), expected);
        let mut padded = message.to_vec();
        padded.push(0);
        assert_eq!(ChannelData::parse(&padded), expected);
        padded.push(0);
        assert_eq!(ChannelData::parse(&padded), Err(Error::Length));
        assert_eq!(ChannelData::parse(&message[..6]), Err(Error::Length));
        assert_eq!(ChannelData::parse(&message[..3]), Err(Error::Truncated));
    }

    #[test]
    fn empty_data_is_data() {
        assert_eq!(ChannelData::parse(&[0x7F, 0xFE, 0, 0]), Ok(ChannelData { number: 0x7FFE, data: b"" }));
    }

    #[test]
    fn numbers_outside_the_range_are_refused() {
        for number in [0u16, 0x3FFF, 0x7FFF, 0x8000, 0xFFFF] {
            let [a, b] = number.to_be_bytes();
            assert_eq!(ChannelData::parse(&[a, b, 0, 0]), Err(Error::Number));
        }
    }

    #[test]
    fn a_length_beyond_its_field_has_no_header() {
        assert_eq!(header(0x4000, 0x1_0000), None);
        assert_eq!(header(0x4000, 0xFFFF), Some([0x40, 0, 0xFF, 0xFF]));
    }

    #[test]
    fn seeds_hold_what_any_input_must() {
        crate::corpus::replay("channel_data", fuzz);
    }

    proptest! {
        #[test]
        fn any_input(input in proptest::collection::vec(any::<u8>(), 0..64)) { fuzz(&input); }

        #[test]
        fn round_trip(number in NUMBERS, data in proptest::collection::vec(any::<u8>(), 0..1500)) {
            let mut datagram = header(number, data.len()).unwrap().to_vec();
            datagram.extend_from_slice(&data);
            fuzz(&datagram);
            prop_assert_eq!(ChannelData::parse(&datagram), Ok(ChannelData { number, data: &data }));
        }
    }
}

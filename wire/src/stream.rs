//! Where one message of TURN over TCP or TLS ends and the next begins (RFC 8656 sections 2.1 and 12.5).
//!
//! ```text
//! | STUN message: 20 bytes and as many as its length field says | ChannelData: 4 bytes, the data, padding to a multiple of 4 | …
//! ```
//! A stream has no other landmarks: after bytes that begin no message nothing can be found any more, and the connection must end.

use crate::stun;

/// Bytes of a STUN message before its attributes.
const STUN_HEADER_LEN: usize = stun::HEADER_LEN;
const CHANNEL_HEADER_LEN: usize = crate::channel_data::HEADER_LEN;
/// RFC 8489 section 5, at bytes 4 to 7 of every message.
const MAGIC_COOKIE: [u8; 4] = [0x21, 0x12, 0xA4, 0x42];

/// The longest message that a length field can announce: STUN's attributes take a multiple of four bytes.
pub const MESSAGE_LEN_MAX: usize = STUN_HEADER_LEN + 65_532;

/// Why a stream cannot be read on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Neither STUN nor ChannelData begins like this.
    NotTurn,
    /// The message is longer than the reader allows.
    TooLong,
}

/// What stands at the beginning of a stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front<'a> {
    /// A whole message, of which `bytes` leaves out ChannelData's padding. The next one begins `taken` bytes on.
    Message { bytes: &'a [u8], taken: usize },
    /// The beginning of a message that will take `needed` bytes (or, before its length is known, at least so many).
    Incomplete { needed: usize },
}

/// Looks at the first message of `stream`. Messages above `len_max` bytes, padding included, are refused as soon as their header is there.
///
/// # Errors
/// When no message can begin like this: the connection must be closed.
pub fn front(stream: &[u8], len_max: usize) -> Result<Front<'_>, Error> {
    let Some(&first) = stream.first() else { return Ok(Front::Incomplete { needed: CHANNEL_HEADER_LEN }) };
    let (len, taken) = match first {
        0x00..=0x03 => match stun_len(stream)? {
            Some(len) => (len, len),
            None => return Ok(Front::Incomplete { needed: STUN_HEADER_LEN }),
        },
        // All of RFC 5766's channels: the parser knows which of them it takes, here they only have a length.
        0x40..=0x7F => match channel_data_len(stream) {
            Some(len) => (len, len.next_multiple_of(4)),
            None => return Ok(Front::Incomplete { needed: CHANNEL_HEADER_LEN }),
        },
        _ => return Err(Error::NotTurn),
    };
    if taken > len_max {
        return Err(Error::TooLong);
    }
    match stream.get(..len) {
        // Section 12.5: on a stream ChannelData is padded, and the padding must have come before the next message can.
        Some(bytes) if stream.len() >= taken => Ok(Front::Message { bytes, taken }),
        _ => Ok(Front::Incomplete { needed: taken }),
    }
}

/// Zero bytes that follow `len` bytes of ChannelData on a stream.
pub const fn padding(len: usize) -> usize {
    (4 - len % 4) % 4
}

/// The length of the whole message, once its header has shown that it is one.
fn stun_len(stream: &[u8]) -> Result<Option<usize>, Error> {
    let cookie = stream.get(4..).unwrap_or_default();
    if !cookie.iter().zip(MAGIC_COOKIE).all(|(byte, expected)| *byte == expected) {
        return Err(Error::NotTurn);
    }
    let [_, _, l0, l1, _, _, _, _, ..] = stream else { return Ok(None) };
    let length = usize::from(u16::from_be_bytes([*l0, *l1]));
    // RFC 8489 section 5: all attributes are padded to four bytes.
    if length % 4 != 0 {
        return Err(Error::NotTurn);
    }
    Ok(Some(STUN_HEADER_LEN + length))
}

fn channel_data_len(stream: &[u8]) -> Option<usize> {
    let [_, _, l0, l1, ..] = stream else { return None };
    Some(CHANNEL_HEADER_LEN + usize::from(u16::from_be_bytes([*l0, *l1])))
}

/// What must hold for any input: cut at any place, the same messages come out.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(input: &[u8]) {
    // The first byte chooses the limit and where the stream is cut.
    let Some((&choice, stream)) = input.split_first() else { return };
    let len_max = if choice & 1 == 0 { MESSAGE_LEN_MAX } else { 64 };
    let whole = read_all(stream, len_max);
    let cut = usize::from(choice >> 1).min(stream.len());
    let (mut messages, mut at) = (Vec::new(), 0);
    for end in [cut, stream.len()] {
        let Ok((more, taken)) = read_all(&stream[at..end], len_max) else {
            assert!(whole.is_err(), "what came first does not depend on what follows");
            return;
        };
        messages.extend(more);
        at += taken;
    }
    assert_eq!(whole, Ok((messages, at)));
}

#[cfg(any(test, feature = "fuzz"))]
fn read_all(stream: &[u8], len_max: usize) -> Result<(Vec<&[u8]>, usize), Error> {
    let (mut messages, mut at) = (Vec::new(), 0);
    loop {
        let rest = &stream[at..];
        match front(rest, len_max)? {
            Front::Message { bytes, taken } => {
                assert!(!bytes.is_empty() && bytes.len() <= taken && taken <= len_max && taken - bytes.len() <= 3);
                let message = stun::Message::parse(bytes).map(|message| message.bytes().len());
                assert!(message.is_err() || message == Ok(bytes.len()));
                messages.push(bytes);
                at += taken;
            }
            Front::Incomplete { needed } => {
                assert!(needed > rest.len(), "{needed} bytes are there");
                return Ok((messages, at));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stun::{Class, Method, TransactionId, Writer};
    use proptest::prelude::*;

    fn binding() -> Vec<u8> {
        let mut out = [0; 64];
        let mut writer = Writer::new(&mut out, Class::Request, Method::BINDING, TransactionId([7; 12]));
        let len = writer.fingerprint().finish().unwrap();
        out[..len].to_vec()
    }

    fn channel_data(len: usize) -> Vec<u8> {
        let mut message = crate::channel_data::header(0x4001, len).unwrap().to_vec();
        message.extend((0..len).map(|at| at as u8));
        message
    }

    fn padded(mut message: Vec<u8>) -> Vec<u8> {
        message.extend(vec![0; padding(message.len())]);
        message
    }

    #[test]
    fn messages_come_out_whole_wherever_the_stream_is_cut() {
        let messages = [binding(), channel_data(0), channel_data(5), binding(), channel_data(1200), channel_data(4)];
        let stream: Vec<u8> = messages.iter().cloned().flat_map(padded).collect();
        for cut in 0..=stream.len() {
            let (first, taken) = read_all(&stream[..cut], MESSAGE_LEN_MAX).unwrap();
            let (second, end) = read_all(&stream[taken..], MESSAGE_LEN_MAX).unwrap();
            let read: Vec<&[u8]> = first.into_iter().chain(second).collect();
            assert_eq!(read, messages.iter().map(Vec::as_slice).collect::<Vec<_>>(), "cut at {cut}");
            assert_eq!(taken + end, stream.len());
        }
    }

    #[test]
    fn padding_is_waited_for_and_passed_over() {
        let message = channel_data(5);
        assert_eq!(front(&message, 64), Ok(Front::Incomplete { needed: 12 }));
        assert_eq!(front(&padded(message.clone()), 64), Ok(Front::Message { bytes: &message, taken: 12 }));
        assert_eq!([0, 1, 2, 3, 4, 5].map(padding), [0, 3, 2, 1, 0, 3]);
    }

    #[test]
    fn what_cannot_become_a_message_ends_the_stream_at_once() {
        for first in (0x04..=0x3F).chain(0x80..=0xFF) {
            assert_eq!(front(&[first], 64), Err(Error::NotTurn), "first byte {first:#x}");
        }
        let mut no_cookie = binding();
        no_cookie[6] ^= 1;
        assert_eq!(front(&no_cookie[..6], 64), Ok(Front::Incomplete { needed: 20 }));
        assert_eq!(front(&no_cookie[..7], 64), Err(Error::NotTurn));
        let mut odd = binding();
        odd[3] += 1;
        assert_eq!(front(&odd, 64), Err(Error::NotTurn));
    }

    #[test]
    fn a_length_above_the_limit_is_refused_with_the_header() {
        let header = crate::channel_data::header(0x4000, 1000).unwrap();
        assert_eq!(front(&header, 1003), Err(Error::TooLong));
        assert_eq!(front(&header, 1004), Ok(Front::Incomplete { needed: 1004 }));
        // With its padding this one is longer than its length field says.
        let header = crate::channel_data::header(0x4000, 1001).unwrap();
        assert_eq!(front(&header, 1007), Err(Error::TooLong));
        let mut long = binding();
        (long[2], long[3]) = (0xFF, 0xFC);
        assert_eq!(front(&long, MESSAGE_LEN_MAX - 1), Err(Error::TooLong));
        assert_eq!(front(&long, MESSAGE_LEN_MAX), Ok(Front::Incomplete { needed: MESSAGE_LEN_MAX }));
    }

    #[test]
    fn seeds_hold_what_any_input_must() {
        crate::corpus::replay("stream", fuzz);
    }

    proptest! {
        #[test]
        fn any_input(input in proptest::collection::vec(any::<u8>(), 0..64)) { fuzz(&input); }

        #[test]
        fn any_messages(lengths in proptest::collection::vec(0usize..40, 0..6), choice: u8) {
            let mut input = vec![choice];
            for len in lengths {
                input.extend(if len % 3 == 0 { binding() } else { padded(channel_data(len)) });
            }
            fuzz(&input);
        }
    }
}

//! The messages that open a data channel (RFC 8832 section 5).
//!
//! ```text
//! | 3 (8) | channel type (8) | priority (16) | reliability parameter (32) | label length (16) | protocol length (16) | label … | protocol … |
//! ```

/// Bytes before the label.
const HEADER_LEN: usize = 12;
const TYPE_ACK: u8 = 2;
const TYPE_OPEN: u8 = 3;

/// DATA_CHANNEL_ACK, whole.
pub const ACK: [u8; 1] = [TYPE_ACK];

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    Open(Open<'a>),
    Ack,
}

/// DATA_CHANNEL_OPEN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Open<'a> {
    pub unordered: bool,
    pub reliability: Reliability,
    pub priority: u16,
    pub label: &'a str,
    pub protocol: &'a str,
}

/// How long a message is tried for (RFC 8832 section 5.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reliability {
    Reliable,
    /// At most so many times again.
    Retransmits(u32),
    /// At most for so many milliseconds.
    Lifetime(u32),
}

/// Why a message opens nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Error {
    /// Shorter than its fields.
    Truncated,
    /// A message type other than open and ack.
    MessageType,
    ChannelType,
    /// Label or protocol is not UTF-8.
    Text,
}

impl<'a> Message<'a> {
    pub fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        match *bytes.first().ok_or(Error::Truncated)? {
            TYPE_ACK => Ok(Self::Ack),
            TYPE_OPEN => Open::parse(bytes).map(Self::Open),
            _ => Err(Error::MessageType),
        }
    }
}

impl<'a> Open<'a> {
    fn parse(bytes: &'a [u8]) -> Result<Self, Error> {
        let &[_, kind, p0, p1, r0, r1, r2, r3, l0, l1, q0, q1] = bytes.first_chunk::<HEADER_LEN>().ok_or(Error::Truncated)?;
        let parameter = u32::from_be_bytes([r0, r1, r2, r3]);
        let reliability = match kind & 0x7F {
            0 => Reliability::Reliable,
            1 => Reliability::Retransmits(parameter),
            2 => Reliability::Lifetime(parameter),
            _ => return Err(Error::ChannelType),
        };
        let label_end = HEADER_LEN + usize::from(u16::from_be_bytes([l0, l1]));
        let protocol_end = label_end + usize::from(u16::from_be_bytes([q0, q1]));
        let text = |from: usize, to: usize| {
            let bytes = bytes.get(from..to).ok_or(Error::Truncated)?;
            std::str::from_utf8(bytes).map_err(|_| Error::Text)
        };
        let (label, protocol) = (text(HEADER_LEN, label_end)?, text(label_end, protocol_end)?);
        Ok(Self { unordered: kind & 0x80 != 0, reliability, priority: u16::from_be_bytes([p0, p1]), label, protocol })
    }

    /// Writes the message into `space`, and says how long it is. `None`: it does not fit, or a text is too long for its field.
    pub fn write(&self, space: &mut [u8]) -> Option<usize> {
        let (kind, parameter) = match self.reliability {
            Reliability::Reliable => (0, 0),
            Reliability::Retransmits(count) => (1, count),
            Reliability::Lifetime(ms) => (2, ms),
        };
        let kind = kind | if self.unordered { 0x80 } else { 0 };
        let [p0, p1] = self.priority.to_be_bytes();
        let [r0, r1, r2, r3] = u32::to_be_bytes(parameter);
        let [l0, l1] = u16::try_from(self.label.len()).ok()?.to_be_bytes();
        let [q0, q1] = u16::try_from(self.protocol.len()).ok()?.to_be_bytes();
        let header = [TYPE_OPEN, kind, p0, p1, r0, r1, r2, r3, l0, l1, q0, q1];
        let mut len = 0;
        for part in [&header[..], self.label.as_bytes(), self.protocol.as_bytes()] {
            space.get_mut(len..len + part.len())?.copy_from_slice(part);
            len += part.len();
        }
        Some(len)
    }
}

/// What must hold for any input.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(input: &[u8]) {
    let Ok(Message::Open(open)) = Message::parse(input) else { return };
    let mut space = vec![0; input.len()];
    let len = open.write(&mut space).expect("it is no longer than what was read");
    assert_eq!(Message::parse(&space[..len]), Ok(Message::Open(open)));
    assert!(open.write(&mut space[..len - 1]).is_none());
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn reads_a_browsers_open() {
        // Chromium, `createDataChannel("lossy", { ordered: false, maxRetransmits: 0 })`.
        let bytes = b"\x03\x81\x01\x00\x00\x00\x00\x00\x00\x05\x00\x00lossy";
        let open = Open { unordered: true, reliability: Reliability::Retransmits(0), priority: 256, label: "lossy", protocol: "" };
        assert_eq!(Message::parse(bytes), Ok(Message::Open(open)));
        assert_eq!(Message::parse(&bytes[..bytes.len() - 1]), Err(Error::Truncated));
        assert_eq!(Message::parse(&ACK), Ok(Message::Ack));
    }

    #[test]
    fn what_it_is_not_is_said() {
        assert_eq!(Message::parse(&[]), Err(Error::Truncated));
        assert_eq!(Message::parse(&[0]), Err(Error::MessageType));
        assert_eq!(Message::parse(&[3; 12]), Err(Error::ChannelType));
        assert_eq!(Message::parse(b"\x03\x00\0\0\0\0\0\0\0\x01\0\0\xFF"), Err(Error::Text));
    }

    #[test]
    fn seeds_hold_what_any_input_must() {
        crate::corpus::replay("dcep", fuzz);
    }

    proptest! {
        #[test]
        fn any_input(input in proptest::collection::vec(any::<u8>(), 0..64)) { fuzz(&input); }

        #[test]
        fn round_trip(unordered: bool, kind in 0u8..3, parameter: u32, priority: u16, label in ".{0,20}", protocol in ".{0,20}") {
            let reliability = match kind {
                0 => Reliability::Reliable,
                1 => Reliability::Retransmits(parameter),
                _ => Reliability::Lifetime(parameter),
            };
            let open = Open { unordered, reliability, priority, label: &label, protocol: &protocol };
            let mut space = [0; 256];
            let len = open.write(&mut space).unwrap();
            prop_assert_eq!(Message::parse(&space[..len]), Ok(Message::Open(open)));
        }
    }
}

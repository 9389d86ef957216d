//! SCTP packets (RFC 9260) as far as they are looked at before a library takes them: the chunks and the few fields that bound its tables.
//!
//! ```text
//! | source port (16) | destination port (16) | verification tag (32) | CRC32c (32) |
//! | type (8) | flags (8) | length (16) | value … | padding to four | next chunk …
//! ```

/// Bytes before the first chunk.
pub const HEADER_LEN: usize = 12;

/// A packet that breaks its own framing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// One chunk, as far as it concerns us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Chunk<'a> {
    /// DATA (RFC 9260 section 3.3.1).
    Data(Data<'a>),
    /// INIT or INIT ACK (sections 3.3.2 and 3.3.3): `tsn` is the first that the sender will use.
    Init { tsn: u32 },
    /// SACK (section 3.3.4): everything up to `cumulative` has come.
    Sack { cumulative: u32 },
    /// Any other.
    Other { kind: u8 },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Data<'a> {
    pub tsn: u32,
    pub stream: u16,
    /// It begins a message …
    pub first: bool,
    /// … and ends one.
    pub last: bool,
    pub payload: &'a [u8],
}

/// The chunks of a packet, in order. What follows a malformed one is not read.
pub fn chunks(packet: &[u8]) -> Chunks<'_> {
    Chunks { rest: packet.get(HEADER_LEN..), at_start: true }
}

#[derive(Clone, Debug)]
pub struct Chunks<'a> {
    /// `None`: a chunk was malformed, or the header is not whole.
    rest: Option<&'a [u8]>,
    at_start: bool,
}

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<Chunk<'a>, Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        let start = std::mem::take(&mut self.at_start);
        let Some(rest) = self.rest else { return start.then_some(Err(Malformed)) };
        if rest.is_empty() {
            return None;
        }
        let read = read(rest);
        self.rest = read.map(|(_, next)| next);
        Some(read.map(|(chunk, _)| chunk).ok_or(Malformed))
    }
}

/// The first chunk, and what follows it and its padding.
fn read(bytes: &[u8]) -> Option<(Chunk<'_>, &[u8])> {
    let &[kind, flags, l0, l1] = bytes.first_chunk()?;
    let len = usize::from(u16::from_be_bytes([l0, l1]));
    let value = bytes.get(4..len)?;
    let chunk = match kind {
        0 => {
            let &[t0, t1, t2, t3, s0, s1, ..] = value.first_chunk::<12>()?;
            Chunk::Data(Data {
                tsn: u32::from_be_bytes([t0, t1, t2, t3]),
                stream: u16::from_be_bytes([s0, s1]),
                first: flags & 2 != 0,
                last: flags & 1 != 0,
                payload: value.get(12..)?,
            })
        }
        1 | 2 => Chunk::Init { tsn: u32::from_be_bytes(*value.get(12..)?.first_chunk()?) },
        3 => Chunk::Sack { cumulative: u32::from_be_bytes(*value.first_chunk()?) },
        kind => Chunk::Other { kind },
    };
    // Padding is not in the length (RFC 9260 section 3.2), and some leave it out behind the last chunk.
    Some((chunk, bytes.get(len.next_multiple_of(4)..).unwrap_or_default()))
}

/// CRC32c of a packet whose checksum field counts as zero (RFC 9260 appendix A).
pub fn checksum(packet: &[u8]) -> u32 {
    let mut crc = u32::MAX;
    for (at, byte) in packet.iter().enumerate() {
        crc ^= u32::from(if (8..HEADER_LEN).contains(&at) { 0 } else { *byte });
        for _ in 0..8 {
            crc = if crc & 1 == 0 { crc >> 1 } else { (crc >> 1) ^ 0x82F6_3B78 };
        }
    }
    !crc
}

/// What must hold for any input.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(input: &[u8]) {
    let _ = checksum(input);
    let mut left = input.len() + 1;
    let mut broken = false;
    for chunk in chunks(input) {
        assert!(!broken, "nothing is read behind a malformed chunk");
        broken = chunk.is_err();
        left = left.checked_sub(1).expect("every chunk takes bytes");
        if let Ok(Chunk::Data(data)) = chunk {
            assert!(data.payload.len() + HEADER_LEN + 16 <= input.len());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn packet(chunks: &[u8]) -> Vec<u8> {
        let mut packet = vec![0x13, 0x88, 0x13, 0x88, 1, 2, 3, 4, 0, 0, 0, 0];
        packet.extend_from_slice(chunks);
        packet
    }

    #[test]
    fn reads_what_bounds_a_table() {
        let data = [0, 3, 0, 17, 0, 0, 1, 0, 0, 7, 0, 0, 0, 0, 0, 51, b'x', 0, 0, 0];
        let sack = [3, 0, 0, 16, 0, 0, 0, 9, 0, 0, 0, 0, 0, 0, 0, 0];
        let init = [1, 0, 0, 20, 9, 9, 9, 9, 0, 1, 0, 0, 0, 1, 0, 1, 0, 0, 0, 5];
        let both = packet(&[&data[..], &sack[..], &init[..], &[6, 0, 0, 4]].concat());
        let expected = [
            Chunk::Data(Data { tsn: 256, stream: 7, first: true, last: true, payload: b"x" }),
            Chunk::Sack { cumulative: 9 },
            Chunk::Init { tsn: 5 },
            Chunk::Other { kind: 6 },
        ];
        assert_eq!(chunks(&both).collect::<Result<Vec<_>, _>>().unwrap(), expected);
    }

    #[test]
    fn a_broken_chunk_ends_the_reading() {
        for broken in [&[0, 3, 0, 16, 1][..], &[0, 3, 0, 3], &[9], &[0, 0, 0, 8, 0, 0, 0, 0], &[1, 0, 0, 4]] {
            let packet = packet(&[&[6, 0, 0, 4], broken].concat());
            let read: Vec<_> = chunks(&packet).collect();
            assert_eq!(read, [Ok(Chunk::Other { kind: 6 }), Err(Malformed)]);
        }
        assert_eq!(chunks(&[0; 11]).collect::<Vec<_>>(), [Err(Malformed)]);
        assert_eq!(chunks(&[0; 12]).count(), 0);
    }

    #[test]
    fn the_checksum_is_the_standards() {
        // RFC 3720 appendix B.4: 32 bytes of zeroes give AA 36 91 8A on the wire.
        assert_eq!(checksum(&[0; 32]).to_le_bytes(), [0xAA, 0x36, 0x91, 0x8A]);
    }

    #[test]
    fn seeds_hold_what_any_input_must() {
        crate::corpus::replay("sctp", fuzz);
    }

    proptest! {
        #[test]
        fn any_input(input in proptest::collection::vec(any::<u8>(), 0..96)) { fuzz(&input); }
    }
}

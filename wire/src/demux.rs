//! What a datagram on the shared port is, told by its first byte (RFC 7983 section 7, with ChannelData of RFC 8656).

/// The protocols that share one UDP port.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    Stun,
    ChannelData,
    Dtls,
    Rtp,
    Rtcp,
    /// Empty, or a first byte that nothing of ours begins with.
    Unknown,
}

/// Classifies by the first byte; RTP and RTCP, which share their range, by the second (RFC 5761 section 4).
///
/// Says nothing about validity: the parsers do.
pub fn classify(datagram: &[u8]) -> Class {
    match datagram {
        [0..=3, ..] => Class::Stun,
        [20..=63, ..] => Class::Dtls,
        // RFC 7983 gives 64..=79 to channels; 80..=127 were channels in RFC 5766 and still are to coturn 4.6's clients.
        [64..=127, ..] => Class::ChannelData,
        [128..=191, 192..=223, ..] => Class::Rtcp,
        [128..=191, ..] => Class::Rtp,
        _ => Class::Unknown,
    }
}

/// What must hold for any input: what the engine would hand to a parser by its class is not another's.
#[cfg(any(test, feature = "fuzz"))]
pub fn fuzz(input: &[u8]) {
    let class = classify(input);
    if crate::stun::Message::parse(input).is_ok() {
        // STUN's type field reaches to 63; methods whose first byte is above 3 lost their share to other protocols (RFC 7983 section 7).
        assert!(matches!(class, Class::Stun | Class::Dtls | Class::Unknown));
        assert_eq!(class == Class::Stun, input[0] <= 3);
    }
    if crate::stun::is_ice_check(input) {
        assert_eq!(class, Class::Stun);
    }
    if crate::channel_data::ChannelData::parse(input).is_ok() {
        assert_eq!(class, Class::ChannelData);
    }
    assert_eq!(class == Class::Unknown, !matches!(input, [0..=3 | 20..=191, ..]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_first_byte_has_one_class() {
        for first in 0..=255u8 {
            let expected = match first {
                0..=3 => Class::Stun,
                20..=63 => Class::Dtls,
                64..=127 => Class::ChannelData,
                128..=191 => Class::Rtp,
                _ => Class::Unknown,
            };
            assert_eq!(classify(&[first, 0, 0, 0]), expected, "first byte {first}");
        }
    }

    #[test]
    fn rtcp_is_told_by_its_packet_type() {
        assert_eq!(classify(&[0x80, 200]), Class::Rtcp);
        assert_eq!(classify(&[0x81, 223]), Class::Rtcp);
        assert_eq!(classify(&[0x80, 191]), Class::Rtp);
        assert_eq!(classify(&[0x80, 224]), Class::Rtp);
    }

    #[test]
    fn seeds_hold_what_any_input_must() {
        crate::corpus::replay("demux", fuzz);
    }

    #[test]
    fn short_input_is_no_trap() {
        assert_eq!(classify(&[]), Class::Unknown);
        assert_eq!(classify(&[0x80]), Class::Rtp);
    }
}

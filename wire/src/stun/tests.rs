use std::net::SocketAddr;

use proptest::prelude::*;

use super::attribute::{Family, Type};
use super::*;

const PASSWORD: &[u8] = b"VOkJxbRl1RmTxUk/WvJxBt";
/// MD5("マトリックス:example.org:TheMatrIX")
const LONG_TERM_KEY: [u8; 16] = [0xe8, 0xca, 0x7a, 0xd5, 0x9d, 0x5e, 0xb0, 0x51, 0x8e, 0x31, 0x29, 0x11, 0xd2, 0xda, 0xb2, 0xa9];
const ID: TransactionId = TransactionId([0xb7, 0xe7, 0xa7, 0x01, 0xbc, 0x34, 0xd6, 0x86, 0xfa, 0x87, 0xdf, 0xae]);

fn hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// RFC 5769 section 2.1.
fn sample_request() -> Vec<u8> {
    hex("00010058 2112a442 b7e7a701bc34d686fa87dfae
         80220010 5354554e207465737420636c69656e74
         00240004 6e0001ff
         80290008 932ff9b151263b36
         00060009 6576746a3a68367659202020
         00080014 9aeaa70cbfd8cb56781ef2b5b2d3f249c1b571a2
         80280004 e57a3bcf")
}

/// RFC 5769 section 2.2.
fn sample_response_v4() -> Vec<u8> {
    hex("0101003c 2112a442 b7e7a701bc34d686fa87dfae
         8022000b 7465737420766563746f7220
         00200008 0001a147e112a643
         00080014 2b91f599fd9e90c38c7489f92af9ba53f06be7d7
         80280004 c07d4c96")
}

/// RFC 5769 section 2.3.
fn sample_response_v6() -> Vec<u8> {
    hex("01010048 2112a442 b7e7a701bc34d686fa87dfae
         8022000b 7465737420766563746f7220
         00200014 0002a1470113a9faa5d3f179bc25f4b5bed2b9d9
         00080014 a382954e4be67bf11784c97c8292c275bfe3ed41
         80280004 c8fb0b4c")
}

/// RFC 5769 section 2.4, and the MD5 of its credentials.
fn sample_long_term() -> (Vec<u8>, [u8; 16]) {
    let message = hex("00010060 2112a442 78ad3433c6ad72c029da412e
         00060012 e3839ee38388e383aae38383e382afe382b90000
         0015001c 662f2f3439396b39353464364f4c33346f4c39465354767936347341
         0014000b 6578616d706c652e6f726700
         00080014 f67024656dd64a3e02b8e0712e85c9a28ca89666");
    (message, LONG_TERM_KEY)
}

#[test]
fn rfc5769_request() {
    let bytes = sample_request();
    let message = Message::parse(&bytes).unwrap();
    assert_eq!((message.class(), message.method(), message.transaction_id()), (Class::Request, Method::BINDING, ID));
    assert_eq!(message.software(), Some(&b"STUN test client"[..]));
    assert_eq!(message.priority(), Ok(Some(0x6e00_01ff)));
    assert_eq!(message.ice_controlled(), Ok(Some(0x932f_f9b1_5126_3b36)));
    assert_eq!(message.ice_ufrags(), Some((&b"evtj"[..], &b"h6vY"[..])));
    assert_eq!(message.ice_local_ufrag(), Some(&b"evtj"[..]));
    assert!(message.verify_integrity(&Key::new(PASSWORD)));
    assert!(!message.verify_integrity(&Key::new(b"another password")));
    assert!(message.verify_fingerprint());
    assert!(is_ice_check(&bytes));
}

#[test]
fn rfc5769_responses() {
    for (bytes, address) in
        [(sample_response_v4(), "192.0.2.1:32853"), (sample_response_v6(), "[2001:db8:1234:5678:11:2233:4455:6677]:32853")]
    {
        let message = Message::parse(&bytes).unwrap();
        assert_eq!((message.class(), message.method()), (Class::Success, Method::BINDING));
        assert_eq!(message.xor_mapped_address(), Ok(Some(address.parse().unwrap())));
        assert!(message.verify_integrity(&Key::new(PASSWORD)));
        assert!(message.verify_fingerprint());
        assert!(!is_ice_check(&bytes));
    }
}

#[test]
fn rfc5769_long_term() {
    let (bytes, key) = sample_long_term();
    let message = Message::parse(&bytes).unwrap();
    assert_eq!(message.username(), Some("マトリックス".as_bytes()));
    assert_eq!(message.realm(), Some(&b"example.org"[..]));
    assert_eq!(message.nonce(), Some(&b"f//499k954d6OL34oL9FSTvy64sA"[..]));
    assert!(message.verify_integrity(&Key::new(&key)));
    assert!(!message.has_fingerprint() && !message.verify_fingerprint());
}

#[test]
fn writes_the_rfc5769_response() {
    let mut out = [0xEE; 128];
    let len = Writer::new(&mut out, Class::Success, Method::BINDING, ID)
        .attribute(Type::SOFTWARE, b"test vector")
        .xor_address(Type::XOR_MAPPED_ADDRESS, "192.0.2.1:32853".parse().unwrap())
        .integrity(&Key::new(PASSWORD))
        .fingerprint()
        .finish()
        .unwrap();
    let message = Message::parse(&out[..len]).unwrap();
    assert!(message.verify_integrity(&Key::new(PASSWORD)) && message.verify_fingerprint());
    // The sample pads with a space, we with zero; the address is the same to the byte.
    assert_eq!(message.attribute(Type::XOR_MAPPED_ADDRESS), Some(&hex("0001a147e112a643")[..]));
}

#[test]
fn padding_is_zero_whatever_lay_there() {
    let mut out = [0xEE; 64];
    let len = Writer::new(&mut out, Class::Request, Method::BINDING, ID).attribute(Type::USERNAME, b"a").finish().unwrap();
    assert_eq!(&out[len - 4..len], &[b'a', 0, 0, 0]);
}

#[test]
fn every_flipped_bit_is_noticed() {
    let sample = sample_request();
    let key = Key::new(PASSWORD);
    for bit in 0..sample.len() * 8 {
        let mut bytes = sample.clone();
        bytes[bit / 8] ^= 1 << (bit % 8);
        let sound = Message::parse(&bytes).is_ok_and(|m| m.verify_integrity(&key) && m.verify_fingerprint());
        assert!(!sound, "bit {bit}");
    }
}

#[test]
fn truncated_and_lengthened_messages_are_refused() {
    let sample = sample_request();
    for len in 0..sample.len() {
        assert!(Message::parse(&sample[..len]).is_err());
    }
    let mut longer = sample.clone();
    longer.extend_from_slice(&[0; 4]);
    assert_eq!(Message::parse(&longer).unwrap_err(), Error::Length);
    let mut other_cookie = sample.clone();
    other_cookie[4] = 0;
    assert_eq!(Message::parse(&other_cookie).unwrap_err(), Error::Cookie);
    let mut long_attribute = sample;
    long_attribute[HEADER_LEN + 2] = 0xFF;
    assert_eq!(Message::parse(&long_attribute).unwrap_err(), Error::Attribute);
}

#[test]
fn attributes_behind_the_integrity_are_not_seen() {
    let key = Key::new(PASSWORD);
    let mut out = [0; 256];
    let peer = "192.0.2.7:9".parse().unwrap();
    let len = Writer::new(&mut out, Class::Request, Method::CREATE_PERMISSION, ID)
        .xor_address(Type::XOR_PEER_ADDRESS, peer)
        .integrity(&key)
        .xor_address(Type::XOR_PEER_ADDRESS, "192.0.2.8:9".parse().unwrap())
        .integrity_sha256(&KeySha256::new(PASSWORD))
        .attribute(Type::USERNAME, b"late")
        .fingerprint()
        .finish()
        .unwrap();
    let message = Message::parse(&out[..len]).unwrap();
    let peers: Vec<_> = message.xor_addresses(Type::XOR_PEER_ADDRESS).collect();
    assert_eq!(peers, [Ok(peer)]);
    assert_eq!(message.username(), None);
    assert!(message.verify_integrity(&key));
    assert!(message.verify_integrity_sha256(&KeySha256::new(PASSWORD)));
    assert!(message.verify_fingerprint());
}

#[test]
fn an_integrity_behind_sha256_or_fingerprint_is_none() {
    let mut out = [0; 256];
    let key = Key::new(PASSWORD);
    let len = Writer::new(&mut out, Class::Request, Method::BINDING, ID).fingerprint().integrity(&key).finish().unwrap();
    assert!(!Message::parse(&out[..len]).unwrap().has_integrity());
    let sha256 = KeySha256::new(PASSWORD);
    let len = Writer::new(&mut out, Class::Request, Method::BINDING, ID).integrity_sha256(&sha256).integrity(&key).finish().unwrap();
    let message = Message::parse(&out[..len]).unwrap();
    assert!(!message.has_integrity() && message.verify_integrity_sha256(&sha256));
}

#[test]
fn sha256_may_be_cut_to_sixteen_bytes_and_no_shorter() {
    let key = KeySha256::new(PASSWORD);
    for (len, good) in [(32, true), (28, true), (16, true), (12, false), (18, false)] {
        let mut out = [0; 128];
        let mut writer = Writer::new(&mut out, Class::Request, Method::BINDING, ID);
        writer.attribute(Type::MESSAGE_INTEGRITY_SHA256, &[0; 32][..len]);
        let end = writer.finish().unwrap();
        let hmac = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, PASSWORD);
        let tag = aws_lc_rs::hmac::sign(&hmac, &out[..HEADER_LEN]);
        out[HEADER_LEN + 4..HEADER_LEN + 4 + len].copy_from_slice(&tag.as_ref()[..len]);
        assert_eq!(Message::parse(&out[..end]).unwrap().verify_integrity_sha256(&key), good, "{len} bytes");
    }
}

#[test]
fn turn_attributes_come_back_as_written() {
    let mut out = [0; 512];
    let v4: SocketAddr = "198.51.100.7:50000".parse().unwrap();
    let v6: SocketAddr = "[2001:db8::7]:50001".parse().unwrap();
    let len = Writer::new(&mut out, Class::Error, Method::ALLOCATE, ID)
        .error_code(420, "Unknown")
        .unknown_attributes(&[0x7FFF, 0x0055])
        .u32(Type::LIFETIME, 777)
        .channel_number(0x4ABC)
        .first_of_four(Type::REQUESTED_TRANSPORT, 17)
        .first_of_four(Type::REQUESTED_ADDRESS_FAMILY, Family::V6.code())
        .first_of_four(Type::ADDITIONAL_ADDRESS_FAMILY_DRAFT, 2)
        .attribute(Type::EVEN_PORT, &[0x80])
        .u64(Type::RESERVATION_TOKEN, 0x0102_0304_0506_0708)
        .attribute(Type::DONT_FRAGMENT, &[])
        .xor_address(Type::XOR_RELAYED_ADDRESS, v4)
        .xor_address(Type::XOR_RELAYED_ADDRESS, v6)
        .address_error_code(Family::V6, 508)
        .attribute(Type::DATA, b"hello")
        .finish()
        .unwrap();
    let message = Message::parse(&out[..len]).unwrap();
    assert_eq!(message.error_code().unwrap().map(|e| (e.code, e.reason)), Some((420, &b"Unknown"[..])));
    assert!(message.unknown_attributes().eq([Type(0x7FFF), Type(0x0055)]));
    assert_eq!(message.lifetime(), Ok(Some(777)));
    assert_eq!(message.channel_number(), Ok(Some(0x4ABC)));
    assert_eq!(message.requested_transport(), Ok(Some(17)));
    assert_eq!(message.requested_address_family(), Ok(Some(2)));
    assert_eq!(message.additional_address_family(), Ok(Some(2)));
    assert_eq!(message.even_port(), Ok(Some(true)));
    assert_eq!(message.reservation_token(), Ok(Some([1, 2, 3, 4, 5, 6, 7, 8])));
    assert!(message.has_dont_fragment());
    assert!(message.xor_addresses(Type::XOR_RELAYED_ADDRESS).eq([Ok(v4), Ok(v6)]));
    assert_eq!(message.address_error_code(), Ok(Some((Some(Family::V6), 508))));
    assert_eq!(&out[message.data_range().unwrap()], b"hello");
}

#[test]
fn a_misshapen_attribute_is_told_from_an_absent_one() {
    let mut out = [0; 64];
    let len = Writer::new(&mut out, Class::Request, Method::REFRESH, ID).attribute(Type::LIFETIME, &[1, 2]).finish().unwrap();
    let message = Message::parse(&out[..len]).unwrap();
    assert!(message.lifetime().is_err());
    assert_eq!(message.channel_number(), Ok(None));
}

#[test]
fn unknown_required_attributes_are_noted_once_and_bounded() {
    let mut out = [0; 512];
    let mut writer = Writer::new(&mut out, Class::Request, Method::BINDING, ID);
    for kind in (0x7000..0x7020).chain([0x7000, 0x8123]) {
        writer.attribute(Type(kind), &[]);
    }
    let len = writer.finish().unwrap();
    let unknown = Message::parse(&out[..len]).unwrap().unknown_required(&[Type(0x7001)]);
    assert_eq!(unknown.types(), [0x7000, 0x7002, 0x7003, 0x7004, 0x7005, 0x7006, 0x7007, 0x7008]);
}

#[test]
fn a_head_before_data_counts_what_follows() {
    let mut out = [0; 128];
    let head = Writer::new(&mut out, Class::Indication, Method::DATA, ID)
        .xor_address(Type::XOR_PEER_ADDRESS, "192.0.2.1:1".parse().unwrap())
        .finish_before_data(5)
        .unwrap();
    let mut datagram = out[..head].to_vec();
    datagram.extend_from_slice(b"hello\0\0\0");
    assert_eq!(Message::parse(&datagram).unwrap().data(), Some(&b"hello"[..]));
}

#[test]
fn a_full_buffer_is_an_error_at_every_length() {
    let key = Key::new(PASSWORD);
    let write = |out: &mut [u8]| {
        Writer::new(out, Class::Success, Method::BINDING, ID)
            .xor_address(Type::XOR_MAPPED_ADDRESS, "192.0.2.1:1".parse().unwrap())
            .integrity(&key)
            .fingerprint()
            .finish()
    };
    let mut out = [0; 128];
    let needed = write(&mut out).unwrap();
    for len in 0..needed {
        assert_eq!(write(&mut out[..len]), Err(OutOfSpace), "{len} bytes");
    }
    assert_eq!(write(&mut out[..needed]), Ok(needed));
}

#[test]
fn an_ice_check_is_a_binding_request_with_a_username() {
    let mut out = [0; 64];
    for (class, method, name, expected) in [
        (Class::Request, Method::BINDING, true, true),
        (Class::Request, Method::BINDING, false, false),
        (Class::Indication, Method::BINDING, true, false),
        (Class::Request, Method::ALLOCATE, true, false),
    ] {
        let mut writer = Writer::new(&mut out, class, method, ID);
        writer.u32(Type::PRIORITY, 1);
        if name {
            writer.attribute(Type::USERNAME, b"a:b");
        }
        let len = writer.finish().unwrap();
        assert_eq!(is_ice_check(&out[..len]), expected);
    }
    assert!(!is_ice_check(b""));
}

#[test]
fn types_and_methods_interleave_both_ways() {
    for method in 0..0x1000 {
        for class in [Class::Request, Class::Indication, Class::Success, Class::Error] {
            assert_eq!(decode_type(encode_type(class, Method(method))), (class, Method(method)));
        }
    }
    assert_eq!(encode_type(Class::Error, Method::ALLOCATE), 0x0113);
}

#[test]
fn samples_hold_what_any_input_must() {
    for bytes in [sample_request(), sample_response_v4(), sample_response_v6(), sample_long_term().0] {
        fuzz(&bytes);
    }
    crate::corpus::replay("stun", fuzz);
}

/// RFC 8656 section 18.13 draws 16 reserved bits, 7 of type, 9 of code, and a word of data, behind type 0x8004 and length 8.
#[test]
fn icmp_is_laid_out_as_drawn() {
    for (kind, code, data, value) in [
        (3, 4, 1400, "0000 0604 00000578"),
        (3, 3, 0, "0000 0603 00000000"),
        (11, 0, 0, "0000 1600 00000000"),
        (2, 0, 1280, "0000 0400 00000500"),
        (127, 255, u32::MAX, "0000 feff ffffffff"),
    ] {
        let mut out = [0; 64];
        let len = Writer::new(&mut out, Class::Indication, Method::DATA, ID).icmp(kind, code, data).finish().unwrap();
        assert_eq!(out[HEADER_LEN..len], [hex("8004 0008"), hex(value)].concat(), "type {kind}, code {code}");
        // What is reserved is ignored.
        out[HEADER_LEN + 4..HEADER_LEN + 6].fill(0xFF);
        assert_eq!(Message::parse(&out[..len]).unwrap().icmp(), Ok(Some((kind, code, data))));
    }
}

fn any_address() -> impl Strategy<Value = SocketAddr> {
    (any::<std::net::IpAddr>(), any::<u16>()).prop_map(|(ip, port)| SocketAddr::new(ip, port))
}

proptest! {
    #[test]
    fn any_input(input in proptest::collection::vec(any::<u8>(), 0..200)) { fuzz(&input); }

    #[test]
    fn any_input_behind_a_sound_header(mut input in proptest::collection::vec(any::<u8>(), 20..200)) {
        input.truncate(input.len() / 4 * 4);
        let length = u16::try_from(input.len() - HEADER_LEN).unwrap();
        input[0] &= 0x3F;
        input[2..4].copy_from_slice(&length.to_be_bytes());
        input[4..8].copy_from_slice(&MAGIC_COOKIE.to_be_bytes());
        fuzz(&input);
    }

    #[test]
    fn addresses_come_back(address in any_address(), id in any::<[u8; 12]>()) {
        let mut out = [0; 64];
        let len = Writer::new(&mut out, Class::Success, Method::BINDING, TransactionId(id))
            .xor_address(Type::XOR_MAPPED_ADDRESS, address).finish().unwrap();
        prop_assert_eq!(Message::parse(&out[..len]).unwrap().xor_mapped_address(), Ok(Some(address)));
    }

    #[test]
    fn attributes_come_back(attributes in proptest::collection::vec((any::<u16>(), proptest::collection::vec(any::<u8>(), 0..40)), 0..10)) {
        let closing = [Type::MESSAGE_INTEGRITY.0, Type::MESSAGE_INTEGRITY_SHA256.0, Type::FINGERPRINT.0];
        prop_assume!(attributes.iter().all(|(kind, _)| !closing.contains(kind)));
        let mut out = [0; 1024];
        let mut writer = Writer::new(&mut out, Class::Request, Method::BINDING, ID);
        for (kind, value) in &attributes {
            writer.attribute(Type(*kind), value);
        }
        let len = writer.integrity(&Key::new(b"k")).fingerprint().finish().unwrap();
        let message = Message::parse(&out[..len]).unwrap();
        prop_assert!(message.attributes().map(|a| (a.kind.0, a.value.to_vec())).eq(attributes));
        prop_assert!(message.verify_integrity(&Key::new(b"k")) && message.verify_fingerprint());
    }
}

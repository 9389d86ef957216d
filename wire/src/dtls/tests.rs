use super::*;

/// A ClientHello's body with this cookie.
fn hello(cookie: &[u8]) -> Vec<u8> {
    let mut body = VERSION_1_2.to_be_bytes().to_vec();
    body.extend([7; 32]);
    body.extend([2, 0xAA, 0xBB]);
    body.push(cookie.len() as u8);
    body.extend(cookie);
    body.extend([0, 2, 0xC0, 0x2F, 1, 0]);
    body
}

fn datagram(sequence: u64, number: u16, body: &[u8]) -> Vec<u8> {
    let mut out = vec![0; 2000];
    let len = write_message(&mut out, sequence, CLIENT_HELLO, number, &[body]).expect("room");
    out.truncate(len);
    out
}

fn only<T, E>(mut of: impl Iterator<Item = Result<T, E>>) -> T {
    let first = of.next().and_then(Result::ok).expect("one");
    assert!(of.next().is_none());
    first
}

#[test]
fn a_hello_is_read_and_loses_its_cookie() {
    let body = hello(&[9; 20]);
    let bytes = datagram(3, 1, &body);
    let record = only(records(&bytes));
    assert_eq!((record.content, record.epoch, record.sequence), (CONTENT_HANDSHAKE, 0, 3));
    let fragment = only(fragments(record.body));
    assert_eq!((fragment.kind, fragment.message_number, fragment.offset, fragment.message_len), (CLIENT_HELLO, 1, 0, body.len()));
    let head = HelloHead::parse(fragment.bytes).expect("a hello");
    assert_eq!((head.version, head.random, head.cookie), (VERSION_1_2, [7; 32], &[9; 20][..]));

    let mut out = [0; 200];
    let len = write_hello_without_cookie(&mut out, 2, &body).expect("room");
    assert_eq!(out[..len], datagram(2, 0, &hello(&[])));
    assert_eq!(write_hello_without_cookie(&mut out[..40], 2, &body), None);
}

#[test]
fn a_verify_request_carries_the_cookie_and_the_hellos_numbers() {
    let mut out = [0; 100];
    let len = write_hello_verify_request(&mut out, 0x0102_0304_0506, 0, &[5; 20]).expect("room");
    let expected = [&[22, 0xFE, 0xFF, 0, 0, 1, 2, 3, 4, 5, 6, 0, 35, 3, 0, 0, 23, 0, 0, 0, 0, 0, 0, 0, 23, 0xFE, 0xFF, 20][..], &[5; 20]];
    assert_eq!(out[..len], expected.concat());
    assert_eq!(write_hello_verify_request(&mut out[..47], 0, 0, &[5; 20]), None);
    assert_eq!(write_hello_verify_request(&mut [0; 600], 0, 0, &[5; 256]), None);
}

#[test]
fn an_alert_refuses_the_version() {
    let mut out = [0; 15];
    assert_eq!(write_version_alert(&mut out, 1), Some(15));
    assert_eq!(out, [21, 0xFE, 0xFF, 0, 0, 0, 0, 0, 0, 0, 1, 0, 2, 2, 70]);
}

#[test]
fn only_plain_numbers_move() {
    let mut bytes = datagram(5, 0, &hello(&[]));
    let second = bytes.len();
    bytes.extend(datagram((1 << 48) - 1, 0, &hello(&[])));
    let third = bytes.len();
    bytes.extend(datagram(9, 0, &hello(&[])));
    bytes[third + 4] = 1;
    assert_eq!(records(&bytes[second..]).count(), 2);
    move_sequence(&mut bytes, 2);
    let numbers: Vec<u64> = records(&bytes).map(|record| record.expect("whole").sequence).collect();
    assert_eq!(numbers, [7, 1, 9]);
}

#[test]
fn what_is_cut_short_says_so() {
    let bytes = datagram(0, 0, &hello(&[1]));
    for len in 1..bytes.len() {
        assert_eq!(records(&bytes[..len]).collect::<Vec<_>>(), [Err(Truncated)], "{len}");
    }
    assert_eq!(records(&[]).count(), 0);
    let record = only(records(&bytes));
    for len in 1..record.body.len() {
        assert_eq!(fragments(&record.body[..len]).collect::<Vec<_>>(), [Err(Truncated)], "{len}");
    }
    // A piece that reaches beyond its message.
    let mut outside = record.body.to_vec();
    outside[8] = 1;
    assert_eq!(fragments(&outside).collect::<Vec<_>>(), [Err(Truncated)]);
    let body = hello(&[1, 2, 3]);
    for len in 0..body.len() - 6 {
        assert_eq!(HelloHead::parse(&body[..len]), None);
    }
}

#[test]
fn the_seeds_hold() {
    crate::corpus::replay("dtls_records", fuzz);
}

proptest::proptest! {
    #[test]
    fn anything_is_read(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300), plain in proptest::bool::ANY) {
        let mut bytes = bytes;
        if plain && bytes.len() > 30 {
            bytes[0] = CONTENT_HANDSHAKE;
            bytes[3..5].fill(0);
            bytes[11] = 0;
            bytes[13] = CLIENT_HELLO;
        }
        fuzz(&bytes);
    }
}

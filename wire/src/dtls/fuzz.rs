//! What must hold for any datagram.

use super::{
    CLIENT_HELLO, CONTENT_HANDSHAKE, FRAGMENT_HEADER_LEN, HelloHead, RECORD_HEADER_LEN, fragments, move_sequence, records,
    write_hello_without_cookie,
};

/// Records and fragments lie one behind another inside of the input; a hello loses its cookie and nothing else; numbers that are moved
/// there and back are the same.
pub fn fuzz(input: &[u8]) {
    let mut len = 0;
    for record in records(input) {
        let Ok(record) = record else { break };
        len += RECORD_HEADER_LEN + record.body.len();
        let mut body_len = 0;
        for fragment in fragments(record.body) {
            let Ok(fragment) = fragment else { break };
            body_len += FRAGMENT_HEADER_LEN + fragment.bytes.len();
            assert!(fragment.offset + fragment.bytes.len() <= fragment.message_len);
            if record.content == CONTENT_HANDSHAKE && fragment.kind == CLIENT_HELLO && fragment.offset == 0 {
                hello(fragment.bytes);
            }
        }
        assert!(body_len <= record.body.len());
    }
    assert!(len <= input.len());
    let mut moved = input.to_vec();
    move_sequence(&mut moved, 77);
    move_sequence(&mut moved, 77_u64.wrapping_neg());
    assert_eq!(moved, input);
}

fn hello(bytes: &[u8]) {
    let mut out = [0; 4096];
    let Some(head) = HelloHead::parse(bytes) else { return };
    assert_eq!(&bytes[head.cookie_at..head.cookie_at + head.cookie.len()], head.cookie);
    let Some(len) = write_hello_without_cookie(&mut out, 5, bytes) else { return };
    let record = records(&out[..len]).next().and_then(Result::ok).expect("a record");
    let fragment = fragments(record.body).next().and_then(Result::ok).expect("a message");
    assert_eq!((record.sequence, fragment.message_number, fragment.message_len), (5, 0, bytes.len() - head.cookie.len()));
    let again = HelloHead::parse(fragment.bytes).expect("a hello");
    assert_eq!((again.version, again.random, again.cookie, again.cookie_at), (head.version, head.random, &[][..], head.cookie_at));
}

//! A ClientHello whose cookie was good, put together from its pieces.

use pointsman_wire::dtls::{self, CLIENT_HELLO, CONTENT_HANDSHAKE, HelloHead};

/// Longest ClientHello that is put together, in bytes. With post-quantum key shares clients need about 2,900.
const HELLO_LEN_MAX: usize = 8192;
/// The number of the message that answers a HelloVerifyRequest.
const MESSAGE_NUMBER: u16 = 1;

/// The first piece of a ClientHello in a datagram.
pub(super) struct FirstPiece<'a> {
    pub sequence: u64,
    pub message_number: u16,
    pub head: HelloHead<'a>,
}

impl<'a> FirstPiece<'a> {
    /// `None` when the datagram does not begin with one.
    pub fn find(datagram: &'a [u8]) -> Option<Self> {
        let record = dtls::records(datagram).next()?.ok()?;
        if record.content != CONTENT_HANDSHAKE || record.epoch != 0 {
            return None;
        }
        let fragment = dtls::fragments(record.body).next()?.ok()?;
        if fragment.kind != CLIENT_HELLO || fragment.offset != 0 {
            return None;
        }
        let head = HelloHead::parse(fragment.bytes)?;
        Some(Self { sequence: record.sequence, message_number: fragment.message_number, head })
    }
}

/// A hello on its way.
pub(super) struct Hello {
    /// The sequence number of the record that its first piece came in.
    pub sequence: u64,
    body: Vec<u8>,
    /// Which bytes of `body` have come.
    known: Vec<bool>,
}

impl Hello {
    pub fn new(sequence: u64) -> Self {
        Self { sequence, body: Vec::new(), known: Vec::new() }
    }

    /// Whether the hello is whole. Datagrams that are no piece of it are not kept.
    pub fn push(&mut self, datagram: &[u8]) -> bool {
        for record in dtls::records(datagram).map_while(Result::ok) {
            if record.content != CONTENT_HANDSHAKE || record.epoch != 0 {
                continue;
            }
            for fragment in dtls::fragments(record.body).map_while(Result::ok) {
                if fragment.kind == CLIENT_HELLO && fragment.message_number == MESSAGE_NUMBER {
                    self.take(fragment.message_len, fragment.offset, fragment.bytes);
                }
            }
        }
        !self.body.is_empty() && self.known.iter().all(|known| *known)
    }

    fn take(&mut self, len: usize, offset: usize, bytes: &[u8]) {
        if len == 0 || len > HELLO_LEN_MAX {
            return;
        }
        if self.body.is_empty() {
            self.body = vec![0; len];
            self.known = vec![false; len];
        }
        let here = offset..offset + bytes.len();
        let (true, Some(body), Some(known)) = (self.body.len() == len, self.body.get_mut(here.clone()), self.known.get_mut(here)) else {
            return;
        };
        body.copy_from_slice(bytes);
        known.fill(true);
    }

    /// The hello as the client sent it first, without a cookie, and as it sent it again: each in one piece, since the library begins anew
    /// with every piece of the second.
    pub fn into_datagrams(self) -> Option<[Vec<u8>; 2]> {
        let len = dtls::RECORD_HEADER_LEN + dtls::FRAGMENT_HEADER_LEN + self.body.len();
        let (mut first, mut again) = (vec![0; len], vec![0; len]);
        // Any number that the client's records do not have; the one before, as a client's first hello would.
        let sequence = if self.sequence == 0 { 60 } else { self.sequence - 1 };
        let len = dtls::write_hello_without_cookie(&mut first, sequence, &self.body)?;
        first.truncate(len);
        dtls::write_hello(&mut again, self.sequence, MESSAGE_NUMBER, &self.body)?;
        Some([first, again])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Fragments of a hello's body, each in a record of its own.
    fn piece(body: &[u8], from: usize, to: usize, sequence: u8) -> Vec<u8> {
        let mut bytes = vec![22, 0xFE, 0xFD, 0, 0, 0, 0, 0, 0, 0, sequence];
        bytes.extend(((12 + to - from) as u16).to_be_bytes());
        bytes.push(1);
        bytes.extend(&(body.len() as u32).to_be_bytes()[1..]);
        bytes.extend([0, 1]);
        bytes.extend(&(from as u32).to_be_bytes()[1..]);
        bytes.extend(&((to - from) as u32).to_be_bytes()[1..]);
        bytes.extend(&body[from..to]);
        bytes
    }

    fn body() -> Vec<u8> {
        let mut body = vec![0xFE, 0xFD];
        body.extend([7; 32]);
        body.extend([0, 3, 1, 2, 3]);
        body.extend([5; 300]);
        body
    }

    #[test]
    fn pieces_in_any_order_make_a_hello() {
        let body = body();
        for order in [[0, 1, 2], [2, 0, 1], [1, 2, 0]] {
            let cuts = [(0, 100), (100, 200), (200, body.len())];
            let mut hello = Hello::new(4);
            let whole: Vec<bool> = order.iter().map(|&at| hello.push(&piece(&body, cuts[at].0, cuts[at].1, at as u8 + 4))).collect();
            assert_eq!(whole, [false, false, true]);
            let [first, again] = hello.into_datagrams().unwrap();
            assert_eq!(again[3..], piece(&body, 0, body.len(), 4)[3..], "but for the record's version");
            let found = FirstPiece::find(&first).unwrap();
            assert_eq!((found.sequence, found.message_number, found.head.cookie), (3, 0, &[][..]));
            assert_eq!(first.len(), 25 + body.len() - 3);
        }
    }

    #[test]
    fn what_is_kept_is_bounded() {
        let body = body();
        let mut hello = Hello::new(1);
        for _ in 0..1000 {
            assert!(!hello.push(&piece(&body, 0, 100, 1)));
            assert!(!hello.push(&[23; 100]));
        }
        assert_eq!(hello.body.len(), body.len());
        let long = vec![9; HELLO_LEN_MAX + 1];
        assert!(!Hello::new(1).push(&piece(&long, 0, 100, 1)));
        assert!(FirstPiece::find(&piece(&body, 10, 100, 1)).is_none());
    }
}

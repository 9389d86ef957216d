//! What of a client's datagrams the library may see.
//!
//! It keeps pieces of handshake messages, two megabytes of them and for as long as the association lives, and joins them by recursion.
//! A handshake needs a dozen datagrams of sensible pieces; whoever sends more, or crumbs, is not let through.

use pointsman_wire::dtls::{
    CONTENT_ALERT, CONTENT_APPLICATION_DATA, CONTENT_CHANGE_CIPHER_SPEC, CONTENT_HANDSHAKE, Record, fragments, records,
};

/// Bytes of handshake that a client may send: a chain of certificates, four times over.
const HANDSHAKE_BYTES_MAX: usize = 32 * 1024;
/// Datagrams with handshake that a client may send, repetitions included.
const HANDSHAKE_DATAGRAMS_MAX: usize = 64;
/// Smallest piece, unless a message ends with it.
const PIECE_LEN_MIN: usize = 64;
/// An encrypted Finished has at most 96 bytes (AES-CBC with SHA-1).
const FINISHED_LEN_MAX: usize = 128;
/// Datagrams before the handshake is complete: nobody has a reason for longer ones.
const EARLY_LEN_MAX: usize = 2048;
/// Longest record (RFC 6347 section 4.1: 2^14 bytes, and what encryption adds).
pub(super) const RECORD_LEN_MAX: usize = 16_384 + 64;

#[derive(Default)]
pub(super) struct Gate {
    handshake_bytes: usize,
    handshake_datagrams: usize,
}

impl Gate {
    /// Whether the whole datagram may pass.
    pub fn admits(&mut self, datagram: &[u8], complete: bool) -> bool {
        let mut handshake = false;
        for record in records(datagram) {
            let Ok(record) = record else { return false };
            match record.content {
                CONTENT_APPLICATION_DATA | CONTENT_ALERT if complete => {
                    if record.epoch == 0 || record.body.len() > RECORD_LEN_MAX {
                        return false;
                    }
                }
                CONTENT_HANDSHAKE if !is_sensible(&record) => return false,
                CONTENT_HANDSHAKE | CONTENT_CHANGE_CIPHER_SPEC | CONTENT_APPLICATION_DATA | CONTENT_ALERT => {
                    handshake = true;
                    self.handshake_bytes += record.body.len();
                }
                _ => return false,
            }
        }
        self.handshake_datagrams += usize::from(handshake);
        !handshake
            || datagram.len() <= EARLY_LEN_MAX
                && self.handshake_bytes <= HANDSHAKE_BYTES_MAX
                && self.handshake_datagrams <= HANDSHAKE_DATAGRAMS_MAX
    }
}

fn is_sensible(record: &Record<'_>) -> bool {
    if record.epoch > 0 {
        return record.body.len() <= FINISHED_LEN_MAX;
    }
    fragments(record.body)
        .all(|fragment| fragment.is_ok_and(|it| it.bytes.len() >= PIECE_LEN_MIN || it.offset + it.bytes.len() == it.message_len))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(content: u8, epoch: u8, body: &[u8]) -> Vec<u8> {
        let mut bytes = vec![content, 0xFE, 0xFD, 0, epoch, 0, 0, 0, 0, 0, 0];
        bytes.extend((body.len() as u16).to_be_bytes());
        bytes.extend(body);
        bytes
    }

    fn piece(len: u8, offset: u8, bytes: u8) -> Vec<u8> {
        let mut body = vec![16, 0, 0, len, 0, 2, 0, 0, offset, 0, 0, bytes];
        body.extend(vec![1; usize::from(bytes)]);
        body
    }

    #[test]
    fn a_handshake_passes_and_crumbs_do_not() {
        let mut gate = Gate::default();
        let last_flight = [record(22, 0, &piece(66, 0, 66)), record(20, 0, &[1]), record(22, 1, &[0; 48])].concat();
        assert!(gate.admits(&last_flight, false));
        assert!(gate.admits(&record(22, 0, &piece(200, 0, 100)), false) && gate.admits(&record(22, 0, &piece(200, 100, 100)), false));
        assert!(!gate.admits(&record(22, 0, &piece(200, 0, 63)), false));
        assert!(!gate.admits(&record(22, 1, &[0; 129]), true));
        assert!(!gate.admits(&record(24, 1, &[0; 10]), true), "heartbeats are not spoken");
        assert!(!gate.admits(&record(22, 0, &piece(66, 0, 66))[..50], false));
        assert!(gate.admits(&record(23, 1, &[0; 9000]), true) && !gate.admits(&record(23, 0, &[0; 90]), true));
        assert!(!gate.admits(&record(23, 1, &[0; 9000]), false));
    }

    #[test]
    fn handshakes_end_and_data_does_not() {
        let mut gate = Gate::default();
        let passed = (0..10_000).filter(|_| gate.admits(&record(22, 0, &piece(66, 0, 66)), true)).count();
        assert_eq!(passed, HANDSHAKE_DATAGRAMS_MAX);
        assert!(!gate.admits(&record(20, 1, &[1]), true));
        assert!((0..10_000).all(|_| gate.admits(&record(23, 1, &[0; 100]), true)));
        let mut gate = Gate::default();
        let passed = (0..60).filter(|_| gate.admits(&record(22, 0, &[piece(250, 0, 250).as_slice(); 6].concat()), false)).count();
        assert!(passed < 25, "{passed}");
    }
}

//! Which library a ClientHello is for, however it is cut.

use super::super::dtls::{Hello, Progress};
use super::world::{Kind, peer, start};
use crate::DtlsRole;

/// One handshake record with a fragment of a ClientHello.
fn fragment(body: &[u8], from: usize, to: usize) -> Vec<u8> {
    let mut record = vec![22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0];
    record.extend(((12 + to - from) as u16).to_be_bytes());
    record.push(1);
    record.extend(&(body.len() as u32).to_be_bytes()[1..]);
    record.extend([0, 0]);
    record.extend(&(from as u32).to_be_bytes()[1..]);
    record.extend(&((to - from) as u32).to_be_bytes()[1..]);
    record.extend(&body[from..to]);
    record
}

/// A ClientHello of 2,600 bytes whose `supported_versions` stands last, as Firefox may have it.
fn body(versions: &[u8]) -> Vec<u8> {
    let mut body = vec![254, 253];
    body.extend([7; 32]);
    body.extend([0, 0, 0, 2, 0x13, 0x01, 1, 0]);
    let mut extensions = vec![0, 51];
    extensions.extend(2400_u16.to_be_bytes());
    extensions.extend([1; 2400]);
    extensions.extend([0, 43]);
    extensions.extend((versions.len() as u16 + 1).to_be_bytes());
    extensions.push(versions.len() as u8);
    extensions.extend(versions);
    body.extend((extensions.len() as u16).to_be_bytes());
    body.extend(extensions);
    body
}

#[test]
fn the_version_is_read_from_the_last_fragment() {
    for (versions, offers_1_3) in [(&[0xFE, 0xFC, 0xFE, 0xFD][..], true), (&[0xFE, 0xFD], false)] {
        let body = body(versions);
        for cut in [1, 100, 1388, body.len() - 1] {
            for reversed in [false, true] {
                let mut pieces = [fragment(&body, 0, cut), fragment(&body, cut, body.len())];
                if reversed {
                    pieces.reverse();
                }
                let mut hello = Hello::default();
                assert_eq!(hello.push(&pieces[0]), Progress::Incomplete);
                assert_eq!(hello.push(&pieces[0]), Progress::Incomplete, "a retransmission");
                assert_eq!(hello.push(&pieces[1]), Progress::Whole { offers_1_3 });
                assert_eq!(hello.into_datagrams(), [pieces[0].clone(), pieces[0].clone(), pieces[1].clone()]);
            }
        }
    }
}

#[test]
fn what_is_no_hello_is_refused() {
    let body = body(&[]);
    let good = fragment(&body, 0, 100);
    let mut other_content = good.clone();
    other_content[0] = 23;
    let mut encrypted = good.clone();
    encrypted[4] = 1;
    let mut other_message = good.clone();
    other_message[13] = 2;
    let mut too_long = good.clone();
    too_long[14] = 1;
    let mut outside = good.clone();
    outside[20] = 0x0A;
    for bad in [&[][..], &good[..24], &other_content, &encrypted, &other_message, &too_long, &outside] {
        assert_eq!(Hello::default().push(bad), Progress::Refused);
    }
    assert_eq!(Hello::default().push(&good), Progress::Incomplete);
}

#[test]
fn what_is_kept_is_bounded_and_a_new_hello_starts_anew() {
    let body = body(&[0xFE, 0xFC]);
    let mut hello = Hello::default();
    for _ in 0..1000 {
        assert_eq!(hello.push(&fragment(&body, 0, 100)), Progress::Incomplete);
    }
    assert_eq!(hello.push(&fragment(&body, 100, body.len())), Progress::Whole { offers_1_3: true });
    assert!(hello.into_datagrams().len() <= 12);
}

#[test]
fn real_clients_are_told_apart() {
    for (kind, offers_1_3) in [(Kind::Modern, true), (Kind::Version12, false), (Kind::Ecdsa12, false), (Kind::Rsa, false)] {
        let (mut client, _) = peer(kind, DtlsRole::Client, start());
        let mut hello = Hello::default();
        let last = client.drive(start(), None).iter().map(|datagram| hello.push(datagram)).last();
        assert_eq!(last, Some(Progress::Whole { offers_1_3 }), "{kind:?}");
    }
}

#[test]
fn the_seeds_hold() {
    pointsman_wire::corpus::replay("client_hello", crate::transport::fuzz_client_hello);
}

proptest::proptest! {
    #[test]
    fn garbage_never_panics(bytes in proptest::collection::vec(proptest::num::u8::ANY, 0..300), head in 0_usize..3) {
        let mut bytes = bytes;
        let prefix = [22, 254, 253, 0, 0];
        let n = (head * 3).min(prefix.len()).min(bytes.len());
        bytes[..n].copy_from_slice(&prefix[..n]);
        let mut hello = Hello::default();
        hello.push(&bytes);
        hello.push(&bytes);
    }
}

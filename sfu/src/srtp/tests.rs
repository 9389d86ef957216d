//! Our SRTP against the RFCs' vectors and against an independent implementation, and what it refuses.

use proptest::prelude::*;
use webrtc_srtp::context::Context as Oracle;
use webrtc_srtp::protection_profile::ProtectionProfile;

use super::cipher::{Cm, Gcm};
use super::keys::Use;
use super::window::Window;
use super::*;
use crate::DtlsRole;

const SSRC: u32 = 0x1234_5678;
const HEADER_LEN: usize = 12;

fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(u8::is_ascii_hexdigit).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

/// Keying material that is different in every byte.
fn material(profile: Profile) -> Vec<u8> {
    (0..profile.material_len()).map(|i| (i as u8).wrapping_mul(37).wrapping_add(11)).collect()
}

fn keys(profile: Profile, role: DtlsRole) -> Keys {
    Keys::from_exporter(profile, &material(profile), role).unwrap()
}

/// The server's inbound side and what the client would send it with.
fn pair(profile: Profile) -> (Outbound, Inbound) {
    let outbound = Outbound::new(&keys(profile, DtlsRole::Client).outbound).unwrap();
    (outbound, Inbound::new(&keys(profile, DtlsRole::Server).inbound, 8, 1).unwrap())
}

/// The independent implementation keyed as the client's sending side, which is the server's receiving side.
fn oracle(profile: Profile) -> Oracle {
    let theirs = match profile {
        Profile::AeadAes128Gcm => ProtectionProfile::AeadAes128Gcm,
        Profile::AeadAes256Gcm => ProtectionProfile::AeadAes256Gcm,
        Profile::AesCm128HmacSha1_80 => ProtectionProfile::Aes128CmHmacSha1_80,
    };
    let (material, key_len, salt_len) = (material(profile), profile.key_len(), profile.salt_len());
    Oracle::new(&material[..key_len], &material[2 * key_len..2 * key_len + salt_len], theirs, None, None).unwrap()
}

fn packet(sequence: u16, payload: &[u8]) -> Vec<u8> {
    let mut packet = vec![0x80, 96];
    packet.extend(sequence.to_be_bytes());
    packet.extend([0, 1, 2, 3]);
    packet.extend(SSRC.to_be_bytes());
    packet.extend(payload);
    packet
}

fn protect(outbound: &Outbound, roc: u32, plain: &[u8]) -> Vec<u8> {
    let mut out = vec![0xEE; 2048];
    out[..HEADER_LEN].copy_from_slice(&plain[..HEADER_LEN]);
    let len = outbound.protect_rtp(roc, &mut out, HEADER_LEN, &[], &plain[HEADER_LEN..], 0).unwrap();
    out.truncate(len);
    out
}

fn unprotect(inbound: &mut Inbound, packet: &[u8]) -> Result<(Vec<u8>, u64), SrtpError> {
    let mut out = vec![0xEE; 2048];
    let sequence = u16::from_be_bytes([packet[2], packet[3]]);
    let (len, index) = inbound.unprotect_rtp(packet, HEADER_LEN, SSRC, sequence, &mut out)?;
    out.truncate(len);
    Ok((out, index))
}

fn rtcp(payload: &[u8]) -> Vec<u8> {
    let words = (4 + payload.len()) / 4;
    let mut packet = vec![0x80, 201, 0, words as u8];
    packet.extend(SSRC.to_be_bytes());
    packet.extend(payload);
    packet
}

/// RFC 3711 appendix B.3.
#[test]
fn derives_the_keys_of_the_rfc() {
    let key = unhex("E1F97A0D3E018BE0D64FA32C06DE4139");
    let salt = unhex("0EC675AD498AFEEBB6960B3AABE6");
    let keys = MasterKey::new(Profile::AesCm128HmacSha1_80, &key, &salt).unwrap().derive(Use::Rtp).unwrap();
    assert_eq!(keys.key[..16], unhex("C61E7A93744F39EE10734AFE3FF7A087"));
    assert_eq!(keys.salt[..], unhex("30CBBC08863D8C85D49DB34A9AE1"));
    assert_eq!(keys.authentication[..], unhex("CEBE321F6FF7716B6FD4AB49AF256A156D38BAA4"));
}

/// RFC 3711 appendix B.2.
#[test]
fn makes_the_keystream_of_the_rfc() {
    let key = unhex("2B7E151628AED2A6ABF7158809CF4F3C");
    let salt = unhex("F0F1F2F3F4F5F6F7F8F9FAFBFCFD").try_into().unwrap();
    let cm = Cm::new(&key, &[0; 20], salt).unwrap();
    let mut stream = vec![0; 48];
    cm.apply_keystream(0, 0, &mut stream).unwrap();
    assert_eq!(stream, unhex("E03EAD0935C95E80E166B16DD92B4EB4 D23513162B02D0F72A43A2FE4A5F97AB 41E95B3BB0A2E8DD477901E4FCA894C0"));
}

/// RFC 7714 sections 16.1.1 and 16.2.1.
#[test]
fn seals_rtp_as_the_rfc_does() {
    let packet = unhex("8040f17b8041f8d35501a0b2 47616c6c696120657374206f6d6e69732064697669736120696e207061727465732074726573");
    let salt = unhex("517569642070726f2071756f").try_into().unwrap();
    let (header, payload) = packet.split_at(HEADER_LEN);
    for (algorithm, key_len, expected) in [
        (
            &aws_lc_rs::aead::AES_128_GCM,
            16,
            "f24de3a3fb34de6cacba861c9d7e4bcabe633bd50d294e6f42a5f47a51c7d19b36de3adf8833899d7f27beb16a9152cf765ee4390cce",
        ),
        (
            &aws_lc_rs::aead::AES_256_GCM,
            32,
            "32b1de78a822fe12ef9f78fa332e33aab18012389a58e2f3b50b2a0276ffae0f1ba63799b87b7aa3db36dfffd6b0f9bb7878d7a76c13",
        ),
    ] {
        let key: Vec<u8> = (0..key_len).collect();
        let gcm = Gcm::new(algorithm, &key, salt).unwrap();
        let mut sealed = vec![0; payload.len() + Gcm::TAG_LEN];
        gcm.seal(gcm.rtp_nonce(0x5501_a0b2, 0xf17b), header, payload, &mut sealed).unwrap();
        assert_eq!(sealed, unhex(expected));
        let mut opened = vec![0; payload.len()];
        gcm.open(gcm.rtp_nonce(0x5501_a0b2, 0xf17b), header, &sealed, &mut opened).unwrap();
        assert_eq!(opened, payload);
    }
}

/// RFC 7714 section 17.1.
#[test]
fn seals_rtcp_as_the_rfc_does() {
    let packet = unhex("81c8000d4d617273 4e5450314e545032525450200000042a0000e9304c756e61deadbeefdeadbeefdeadbeefdeadbeefdeadbeef");
    let salt = unhex("517569642070726f2071756f").try_into().unwrap();
    let key: Vec<u8> = (0..16).collect();
    let gcm = Gcm::new(&aws_lc_rs::aead::AES_128_GCM, &key, salt).unwrap();
    let aad = unhex("81c8000d4d617273 800005d4");
    let mut sealed = vec![0; packet.len() - 8 + Gcm::TAG_LEN];
    gcm.seal(gcm.rtcp_nonce(0x4d61_7273, 0x5d4), &aad, &packet[8..], &mut sealed).unwrap();
    let expected =
        unhex("63e94885dcdab67ca727d7662f6b7e997ff5c0f76c06f32dc676a5f1730d6fda4ce09b4686303ded0bb9275bc84aa45896cf4d2fc5abf87245d9eade");
    assert_eq!(sealed, expected);
}

#[test]
fn what_we_seal_an_independent_implementation_opens() {
    for profile in Profile::PREFERENCE {
        let (outbound, _) = pair(profile);
        let mut oracle = oracle(profile);
        let mut roc = 0;
        // Through a wrap of the sequence number, every length modulo the cipher's block.
        for step in 0..600_u32 {
            let sequence = 65_300_u16.wrapping_add(step as u16);
            if sequence == 0 {
                roc += 1;
            }
            let payload: Vec<u8> = (0..step).map(|i| i as u8).collect();
            let plain = packet(sequence, &payload);
            let sealed = protect(&outbound, roc, &plain);
            assert_eq!(sealed.len(), plain.len() + profile.tag_len());
            assert_eq!(oracle.decrypt_rtp(&sealed).unwrap(), plain, "{profile:?}, sequence number {sequence}");
        }
    }
}

#[test]
fn what_an_independent_implementation_seals_we_open() {
    for profile in Profile::PREFERENCE {
        let (_, mut inbound) = pair(profile);
        let mut oracle = oracle(profile);
        for step in 0..600_u32 {
            let sequence = 65_300_u16.wrapping_add(step as u16);
            let plain = packet(sequence, &vec![step as u8; step as usize]);
            let sealed = oracle.encrypt_rtp(&plain).unwrap();
            let (opened, index) = unprotect(&mut inbound, &sealed).unwrap();
            assert_eq!(opened, plain);
            assert_eq!(index, 65_300 + u64::from(step));
        }
    }
}

#[test]
fn rtcp_agrees_with_an_independent_implementation_both_ways() {
    for profile in Profile::PREFERENCE {
        let (mut outbound, mut inbound) = pair(profile);
        let mut theirs = oracle(profile);
        let mut sender = oracle(profile);
        for step in 0..40 {
            let plain = rtcp(&vec![step; usize::from(step) * 4]);
            let mut out = vec![0; 512];
            let len = outbound.protect_rtcp(&plain, &mut out).unwrap();
            assert_eq!(len, plain.len() + outbound.rtcp_overhead());
            assert_eq!(theirs.decrypt_rtcp(&out[..len]).unwrap(), plain);
            let sealed = sender.encrypt_rtcp(&plain).unwrap();
            let len = inbound.unprotect_rtcp(&sealed, &mut out).unwrap();
            assert_eq!(&out[..len], &plain);
            assert_eq!(inbound.unprotect_rtcp(&sealed, &mut out), Err(SrtpError::Replayed));
        }
    }
}

#[test]
fn the_payload_is_gathered_from_its_pieces() {
    for profile in Profile::PREFERENCE {
        for (head, body, padding) in
            [(&[1_u8, 2, 3][..], &[9_u8; 100][..], 0_u8), (&[], &[9; 100], 16), (&[7], &[], 1), (&[1, 2], &[3; 50], 255)]
        {
            let (outbound, mut inbound) = pair(profile);
            let mut out = vec![0xEE; 2048];
            out[..HEADER_LEN].copy_from_slice(&packet(5, &[]));
            out[0] |= 0x20;
            let len = outbound.protect_rtp(0, &mut out, HEADER_LEN, head, body, padding).unwrap();
            let (opened, _) = unprotect(&mut inbound, &out[..len]).unwrap();
            let mut expected = out[..HEADER_LEN].to_vec();
            expected.extend(head);
            expected.extend(body);
            expected.extend(std::iter::repeat_n(0, usize::from(padding).saturating_sub(1)));
            expected.extend((padding > 0).then_some(padding));
            assert_eq!(opened, expected);
        }
    }
}

#[test]
fn roles_give_each_side_the_others_keys() {
    for profile in Profile::PREFERENCE {
        let (client, server) = (keys(profile, DtlsRole::Client), keys(profile, DtlsRole::Server));
        let plain = packet(1, b"from the server");
        let sealed = protect(&Outbound::new(&server.outbound).unwrap(), 0, &plain);
        let mut inbound = Inbound::new(&client.inbound, 1, 0).unwrap();
        assert_eq!(unprotect(&mut inbound, &sealed).unwrap().0, plain);
        let mut wrong = Inbound::new(&server.inbound, 1, 0).unwrap();
        assert_eq!(unprotect(&mut wrong, &sealed), Err(SrtpError::Forged));
    }
}

#[test]
fn short_material_is_refused() {
    for profile in Profile::PREFERENCE {
        let material = material(profile);
        assert!(matches!(Keys::from_exporter(profile, &material[1..], DtlsRole::Server), Err(SrtpError::Key)));
    }
}

#[test]
fn replays_and_packets_behind_the_window_are_refused() {
    for profile in Profile::PREFERENCE {
        let (outbound, mut inbound) = pair(profile);
        let sealed: Vec<_> = (0..2000).map(|sequence| protect(&outbound, 0, &packet(sequence, b"x"))).collect();
        unprotect(&mut inbound, &sealed[1999]).unwrap();
        let oldest = 1999 - Window::LEN as usize + 1;
        for sequence in (oldest..1999).rev() {
            assert_eq!(unprotect(&mut inbound, &sealed[sequence]).unwrap().1, sequence as u64, "reordered packets are accepted");
        }
        for packet in &sealed {
            assert_eq!(unprotect(&mut inbound, packet), Err(SrtpError::Replayed));
        }
    }
}

#[test]
fn forged_packets_change_nothing() {
    for profile in Profile::PREFERENCE {
        let (outbound, mut inbound) = pair(profile);
        let sealed = protect(&outbound, 0, &packet(100, b"payload"));
        for at in 0..sealed.len() {
            let mut forged = sealed.clone();
            forged[at] ^= 1;
            // A flip in the sequence number or the SSRC (which the caller reads) is one in the nonce too.
            assert_eq!(unprotect(&mut inbound, &forged), Err(SrtpError::Forged), "byte {at}");
            assert_eq!(inbound.sources(), 0, "no state for who is not authenticated");
        }
        // A forged packet far ahead does not move the window.
        let mut ahead = protect(&outbound, 0, &packet(30_000, b"payload"));
        *ahead.last_mut().unwrap() ^= 1;
        assert_eq!(unprotect(&mut inbound, &ahead), Err(SrtpError::Forged));
        assert!(unprotect(&mut inbound, &sealed).is_ok());
    }
}

#[test]
fn forged_and_truncated_rtcp_is_refused() {
    for profile in Profile::PREFERENCE {
        let (mut outbound, mut inbound) = pair(profile);
        let mut sealed = vec![0; 200];
        let len = outbound.protect_rtcp(&rtcp(&[1; 40]), &mut sealed).unwrap();
        sealed.truncate(len);
        let mut out = vec![0; 200];
        for at in 0..len {
            let mut forged = sealed.clone();
            forged[at] ^= 0x10;
            assert_eq!(inbound.unprotect_rtcp(&forged, &mut out), Err(SrtpError::Forged), "{profile:?}, byte {at}");
            assert!(inbound.unprotect_rtcp(&sealed[..at], &mut out).is_err());
        }
        assert_eq!(inbound.sources(), 0);
        assert!(inbound.unprotect_rtcp(&sealed, &mut out).is_ok());
    }
}

#[test]
fn truncated_packets_are_refused() {
    for profile in Profile::PREFERENCE {
        let (outbound, mut inbound) = pair(profile);
        let sealed = protect(&outbound, 0, &packet(100, b"payload"));
        let mut out = vec![0; 200];
        for len in 0..sealed.len() {
            assert!(inbound.unprotect_rtp(&sealed[..len], HEADER_LEN, SSRC, 100, &mut out).is_err());
        }
        assert_eq!(inbound.unprotect_rtp(&sealed, HEADER_LEN, SSRC, 100, &mut out[..10]), Err(SrtpError::NoSpace));
        assert_eq!(inbound.unprotect_rtp(&sealed, 4, SSRC, 100, &mut out), Err(SrtpError::Truncated));
        assert_eq!(inbound.unprotect_rtp(&sealed, 300, SSRC, 100, &mut out), Err(SrtpError::Truncated));
    }
}

#[test]
fn what_does_not_fit_is_not_sealed() {
    for profile in Profile::PREFERENCE {
        let (mut outbound, _) = pair(profile);
        let mut out = vec![0; 100];
        assert_eq!(outbound.protect_rtp(0, &mut out, HEADER_LEN, &[], &[0; 80], 0), Err(SrtpError::NoSpace));
        assert_eq!(outbound.protect_rtp(0, &mut out, 4, &[], &[], 0), Err(SrtpError::Truncated));
        assert_eq!(outbound.protect_rtcp(&rtcp(&[0; 88]), &mut out), Err(SrtpError::NoSpace));
        assert_eq!(outbound.protect_rtcp(&[0; 7], &mut out), Err(SrtpError::Truncated));
    }
}

#[test]
fn sources_are_bounded_and_may_be_forgotten() {
    let profile = Profile::AeadAes128Gcm;
    let outbound = Outbound::new(&keys(profile, DtlsRole::Client).outbound).unwrap();
    let mut inbound = Inbound::new(&keys(profile, DtlsRole::Server).inbound, 2, 0).unwrap();
    let receive = |ssrc: u32, inbound: &mut Inbound| {
        let mut plain = packet(1, b"x");
        plain[8..12].copy_from_slice(&ssrc.to_be_bytes());
        let sealed = protect(&outbound, 0, &plain);
        inbound.unprotect_rtp(&sealed, HEADER_LEN, ssrc, 1, &mut [0; 64]).map(|_| ())
    };
    assert_eq!(receive(1, &mut inbound), Ok(()));
    assert_eq!(receive(2, &mut inbound), Ok(()));
    assert_eq!(receive(3, &mut inbound), Err(SrtpError::TooManySources));
    inbound.forget(1);
    assert_eq!(receive(3, &mut inbound), Ok(()));
    assert_eq!(inbound.sources(), 2);
}

/// Authenticated but not encrypted RTCP (RFC 7714 section 9.3, RFC 3711 section 3.4: E flag zero) is read as well.
#[test]
fn unencrypted_rtcp_is_authenticated() {
    let plain = rtcp(&[5; 16]);
    let word = 7_u32.to_be_bytes();
    let mut out = vec![0; 128];

    let master = keys(Profile::AeadAes128Gcm, DtlsRole::Client).outbound;
    let session = master.derive(Use::Rtcp).unwrap();
    let gcm = Gcm::new(&aws_lc_rs::aead::AES_128_GCM, &session.key[..16], session.salt[..12].try_into().unwrap()).unwrap();
    let mut tag = [0; 16];
    gcm.seal(gcm.rtcp_nonce(SSRC, 7), &[&plain[..], &word].concat(), &[], &mut tag).unwrap();
    let (_, mut inbound) = pair(Profile::AeadAes128Gcm);
    let len = inbound.unprotect_rtcp(&[&plain[..], &tag, &word].concat(), &mut out).unwrap();
    assert_eq!(out[..len], plain);

    let master = keys(Profile::AesCm128HmacSha1_80, DtlsRole::Client).outbound;
    let session = master.derive(Use::Rtcp).unwrap();
    let cm = Cm::new(&session.key[..16], &session.authentication, session.salt).unwrap();
    let message = [&plain[..], &word].concat();
    let (_, mut inbound) = pair(Profile::AesCm128HmacSha1_80);
    let len = inbound.unprotect_rtcp(&[&message[..], &cm.tag(&message, &[])].concat(), &mut out).unwrap();
    assert_eq!(out[..len], plain);
}

proptest! {
    /// Bytes of a stranger never panic and never leave state behind.
    #[test]
    fn garbage_is_refused(bytes in proptest::collection::vec(any::<u8>(), 0..200), header_len in 0_usize..220) {
        for profile in Profile::PREFERENCE {
            let (_, mut inbound) = pair(profile);
            let mut out = [0; 256];
            prop_assert!(inbound.unprotect_rtp(&bytes, header_len, SSRC, 1, &mut out).is_err());
            prop_assert!(inbound.unprotect_rtcp(&bytes, &mut out).is_err());
            prop_assert_eq!(inbound.sources(), 0);
        }
    }

    /// The window against a set that remembers everything; the estimate against the index that was really sent.
    #[test]
    fn the_window_remembers(steps in proptest::collection::vec(-1200_i64..1500, 1..400), start in 0_u64..70_000) {
        let mut window = Window::new();
        let mut seen = std::collections::BTreeSet::new();
        let mut highest = start & 0xFFFF;
        for step in steps {
            let index = highest.saturating_add_signed(step);
            // Before the first packet nothing was sent.
            if seen.is_empty() && index > 0xFFFF {
                continue;
            }
            prop_assert_eq!(window.estimate(index as u16), Some(index));
            let fresh = !seen.contains(&index) && (seen.is_empty() || index > highest || highest - index < Window::LEN);
            prop_assert_eq!(window.is_fresh(index), fresh);
            if fresh {
                window.accept(index);
                highest = if seen.is_empty() { index } else { highest.max(index) };
                seen.insert(index);
            }
        }
    }
}

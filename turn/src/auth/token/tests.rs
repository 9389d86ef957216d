use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use proptest::prelude::*;

use super::*;

pub(crate) fn key(ikm: &[u8], algorithm: TokenAlgorithm) -> OauthKey {
    OauthKey { kid: "kid".to_owned(), ikm: ikm.to_vec(), begins: Duration::ZERO, lifetime: Duration::ZERO, algorithm, realm: None }
}

/// A token as an authorization server makes it.
pub(crate) fn token_of(key: &OauthKey, mac_key: &[u8], made: Duration, lifetime_s: u32, server_name: &str) -> Vec<u8> {
    let made = (made.as_secs() << 16).to_be_bytes();
    let block = [&u16::try_from(mac_key.len()).unwrap().to_be_bytes(), mac_key, &made, &lifetime_s.to_be_bytes()].concat();
    seal(&TokenKey::new(key).unwrap(), &[3; NONCE_LEN], &block, server_name.as_bytes())
}

/// Made with `turnutils_oauth -e` of coturn 4.6.1.
#[test]
fn a_token_made_elsewhere_is_read() {
    let ikm = STANDARD.decode("SEdrajMyS0pHaXV5MDk4c2RmYXFiTmpPaWF6NzE5MjM=").unwrap();
    let token = "AAy1JBYVLo16iq9gFdHyyknmx5T/Lq9YlbxgUdLcStOFS0H8xhHceHOL2f49qxp4uBpGuuLeLqk+RcAa5uP2EQ==";
    let opened = TokenKey::new(&key(&ikm, TokenAlgorithm::A256Gcm)).unwrap().open(&STANDARD.decode(token).unwrap(), b"example.com");
    let opened = opened.expect("a genuine token");
    assert_eq!(opened.key.bytes(), STANDARD.decode("WmtzanB3ZW9peFhtdm42NzUzNG0=").unwrap());
    assert_eq!((opened.made, opened.lifetime), (Duration::from_secs(16_333_642_137_600 >> 16), Duration::from_secs(3600)));
    assert_eq!(opened.ends(), opened.made + opened.lifetime);
}

/// coturn's own tool makes tokens, anew in each run, for both algorithms and with keys longer than needed.
#[test]
fn tokens_of_coturns_tool_are_read() {
    let now = Duration::from_secs(1_800_000_000);
    for (name, algorithm, ikm) in [
        ("A256GCM", TokenAlgorithm::A256Gcm, "MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDEK"),
        ("A128GCM", TokenAlgorithm::A128Gcm, "MTIzNDU2Nzg5MDEyMzQ1Ngo="),
    ] {
        let made = (now.as_secs() << 16).to_string();
        let output = std::process::Command::new("turnutils_oauth")
            .args(["-e", "--server-name", "turn.example.org", "--auth-key-id", "north", "--auth-key", ikm])
            .args(["--auth-key-timestamp", "1700000000", "--auth-key-lifetime", "900000000", "--auth-key-as-rs-alg", name])
            .args(["--token-mac-key", "WmtzanB3ZW9peFhtdm42NzUzNG0=", "--token-timestamp", &made, "--token-lifetime", "1234"])
            .output()
            .expect("turnutils_oauth is in Debian's package coturn");
        let text = String::from_utf8_lossy(&output.stdout);
        let token = text.split("\"access_token\":\"").nth(1).and_then(|rest| rest.split('"').next()).expect("a token");
        let opener = TokenKey::new(&key(&STANDARD.decode(ikm).unwrap(), algorithm)).unwrap();
        let opened = opener.open(&STANDARD.decode(token).unwrap(), b"turn.example.org").expect("a genuine token");
        assert_eq!(opened.key.bytes(), STANDARD.decode("WmtzanB3ZW9peFhtdm42NzUzNG0=").unwrap(), "{name}");
        assert_eq!((opened.made, opened.lifetime), (now, Duration::from_secs(1234)));
    }
}

#[test]
fn only_the_right_key_server_and_bytes_open_it() {
    for algorithm in [TokenAlgorithm::A128Gcm, TokenAlgorithm::A256Gcm] {
        let shared = key(&[5; 33], algorithm);
        let token = token_of(&shared, &[1; 20], Duration::from_secs(1000), 60, "server");
        let opener = TokenKey::new(&shared).unwrap();
        assert!(opener.open(&token, b"server").is_some());
        assert!(opener.open(&token, b"serves").is_none());
        assert!(TokenKey::new(&key(&[6; 33], algorithm)).unwrap().open(&token, b"server").is_none());
        for at in 0..token.len() {
            let mut changed = token.clone();
            changed[at] ^= 1;
            assert!(opener.open(&changed, b"server").is_none(), "byte {at}");
            assert!(opener.open(&token[..at], b"server").is_none());
        }
        assert!(opener.open(&[&token[..], &[0]].concat(), b"server").is_none());
    }
}

/// A nonce longer than anybody's buffer, a key that is longer than its block, and so on.
#[test]
fn lengths_that_lie() {
    let shared = key(&[5; 32], TokenAlgorithm::A256Gcm);
    let opener = TokenKey::new(&shared).unwrap();
    for token in [vec![], vec![0], vec![0, 12], vec![0xFF; 2], vec![0xFF; 65_535], vec![0; 30], [vec![1, 0], vec![0; 300]].concat()] {
        assert!(opener.open(&token, b"server").is_none());
    }
    for (key_len, block_len) in [(0u16, 14), (65, 79), (20, 33), (20, 35), (0xFFFF, 34)] {
        let mut block = vec![0; block_len];
        block[..2].copy_from_slice(&key_len.to_be_bytes());
        let token = seal(&opener, &[3; NONCE_LEN], &block, b"server");
        assert!(opener.open(&token, b"server").is_none(), "{key_len} in {block_len}");
    }
    let longest = token_of(&shared, &[1; 64], Duration::ZERO, 1, "server");
    assert_eq!(longest.len(), LEN_MAX);
    assert!(opener.open(&longest, b"server").is_some());
}

#[test]
fn keys_have_a_time_and_a_least_length() {
    let mut shared = key(&[5; 32], TokenAlgorithm::A256Gcm);
    shared.begins = Duration::from_secs(1000);
    let valid = |shared: &OauthKey, at| TokenKey::new(shared).unwrap().is_valid(Duration::from_secs(at));
    assert!(valid(&shared, 1000) && valid(&shared, 995) && valid(&shared, u64::MAX) && !valid(&shared, 994));
    shared.lifetime = Duration::from_secs(100);
    assert!(valid(&shared, 1104) && !valid(&shared, 1105));
    assert!(TokenKey::new(&key(&[5; 31], TokenAlgorithm::A256Gcm)).is_none());
    assert!(TokenKey::new(&key(&[5; 15], TokenAlgorithm::A128Gcm)).is_none());
    assert!(TokenKey::new(&key(&[5; 17], TokenAlgorithm::A128Gcm)).is_some());
}

#[test]
fn seeds_hold_what_any_input_must() {
    pointsman_wire::corpus::replay("access_token", fuzz);
}

proptest! {
    #[test]
    fn any_input_holds_what_it_must(input in prop::collection::vec(any::<u8>(), 0..200)) {
        fuzz(&input);
    }

    #[test]
    fn any_block_of_the_right_shape(mac_key in prop::collection::vec(any::<u8>(), 1..=64), rest in any::<[u8; 12]>()) {
        fuzz(&[&u16::try_from(mac_key.len()).unwrap().to_be_bytes(), &mac_key[..], &rest].concat());
    }
}

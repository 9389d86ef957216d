use super::*;

const T: Duration = Duration::from_secs(1_800_000_000);
const PLAIN: Features = Features { password_algorithms: false, username_anonymity: false };
const BOTH: Features = Features { password_algorithms: true, username_anonymity: true };

fn nonces(seed: u8) -> Nonces {
    Nonces::new(&[seed; 32], None, 600)
}

fn client() -> SocketAddr {
    "192.0.2.1:1000".parse().unwrap()
}

fn after(seconds: u64) -> Duration {
    T + Duration::from_secs(seconds)
}

#[test]
fn good_for_its_client_and_its_time_only() {
    let nonce = nonces(7).make(T, client(), PLAIN);
    let good = |nonces: &Nonces, unix: Duration, client: &str| nonces.check(unix, client.parse().unwrap(), nonce.bytes()).is_some();
    assert_eq!(nonce.bytes().len(), 24);
    assert!(good(&nonces(7), T, "192.0.2.1:1000"));
    assert!(good(&nonces(7), after(599), "192.0.2.1:1000"));
    assert!(!good(&nonces(7), after(600), "192.0.2.1:1000"));
    assert!(!good(&nonces(7), T - Duration::from_secs(6), "192.0.2.1:1000"));
    for other in ["192.0.2.1:1001", "192.0.2.2:1000", "[2001:db8::1]:1000"] {
        assert!(!good(&nonces(7), T, other), "{other}");
    }
    assert!(!good(&nonces(8), T, "192.0.2.1:1000"));
}

#[test]
fn no_changed_byte_passes() {
    for features in [PLAIN, BOTH] {
        let nonce = nonces(7).make(T, client(), features);
        assert_eq!(nonces(7).check(T, client(), nonce.bytes()), Some(features));
        for at in 0..nonce.bytes().len() {
            let mut changed = nonce.bytes().to_vec();
            changed[at] = if changed[at] == b'0' { b'1' } else { b'0' };
            assert_eq!(nonces(7).check(T, client(), &changed), None, "byte {at}");
            assert_eq!(nonces(7).check(T, client(), &nonce.bytes()[..at]), None);
        }
        assert_eq!(nonces(7).check(T, client(), &[nonce.bytes(), b"0"].concat()), None);
    }
}

/// Who strips the cookie or its bits on the way gets no nonce of ours.
#[test]
fn what_was_offered_cannot_be_taken_back() {
    let nonce = nonces(7).make(T, client(), BOTH);
    assert!(nonce.bytes().starts_with(b"obMatJos2wAAA"));
    assert_eq!(nonces(7).check(T, client(), &nonce.bytes()[13..]), None);
    let less = [b"obMatJos2AAAA", &nonce.bytes()[13..]].concat();
    assert_eq!(nonces(7).check(T, client(), &less), None);
    let one = Features { password_algorithms: true, username_anonymity: false };
    assert!(nonces(7).make(T, client(), one).bytes().starts_with(b"obMatJos2gAAA"));
}

#[test]
fn without_a_lifetime_a_nonce_stays_good() {
    let unlimited = Nonces::new(&[7; 32], None, 0);
    let nonce = unlimited.make(T, client(), PLAIN);
    assert!(unlimited.check(after(10 * 365 * 86_400), client(), nonce.bytes()).is_some());
    assert!(unlimited.check(T - Duration::from_secs(6), client(), nonce.bytes()).is_none(), "from the future all the same");
}

#[test]
fn servers_with_one_secret_accept_each_others() {
    let fleet = Secret("a fleet's".to_owned());
    let nonce = Nonces::new(&[1; 32], Some(&fleet), 600).make(T, client(), PLAIN);
    assert!(Nonces::new(&[2; 32], Some(&fleet), 600).check(T, client(), nonce.bytes()).is_some());
    assert!(Nonces::new(&[1; 32], None, 600).check(T, client(), nonce.bytes()).is_none());
}

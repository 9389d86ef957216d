//! The cookies of the first exchange: they prove that a client receives what is sent to its address, and cost nothing to keep
//! (RFC 6347 section 4.2.1).

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use aws_lc_rs::hmac;
use pointsman_wire::net::FiveTuple;

/// What the DTLS library takes for a cookie of its own.
pub(super) const COOKIE_LEN: usize = 20;
/// A cookie is good for this period and the next one.
const PERIOD: Duration = Duration::from_secs(60);

pub(super) struct Cookies(hmac::Key);

impl Cookies {
    /// All shards of a server may have the same secret.
    pub fn new(secret: &[u8; 32]) -> Self {
        Self(hmac::Key::new(hmac::HMAC_SHA256, secret))
    }

    /// `unix` is the time since 1970.
    pub fn make(&self, unix: Duration, path: &FiveTuple) -> [u8; COOKIE_LEN] {
        self.of_period(unix.as_secs() / PERIOD.as_secs(), path)
    }

    /// In constant time.
    pub fn verify(&self, unix: Duration, path: &FiveTuple, cookie: &[u8]) -> bool {
        let period = unix.as_secs() / PERIOD.as_secs();
        [period, period.wrapping_sub(1)]
            .into_iter()
            .any(|period| aws_lc_rs::constant_time::verify_slices_are_equal(&self.of_period(period, path), cookie).is_ok())
    }

    fn of_period(&self, period: u64, path: &FiveTuple) -> [u8; COOKIE_LEN] {
        let mut context = hmac::Context::with_key(&self.0);
        context.update(&period.to_be_bytes());
        for address in [path.remote, path.local] {
            let (ip, port) = address_bytes(address);
            context.update(&ip);
            context.update(&port);
        }
        let mut cookie = [0; COOKIE_LEN];
        cookie.copy_from_slice(&context.sign().as_ref()[..COOKIE_LEN]);
        cookie
    }
}

fn address_bytes(address: SocketAddr) -> ([u8; 16], [u8; 2]) {
    let ip = match address.ip() {
        IpAddr::V4(ip) => ip.to_ipv6_mapped(),
        IpAddr::V6(ip) => ip,
    };
    (ip.octets(), address.port().to_be_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_good_for_its_path_and_its_time() {
        let cookies = Cookies::new(&[3; 32]);
        let path = FiveTuple::udp("192.0.2.1:3478".parse().unwrap(), "198.51.100.1:5000".parse().unwrap());
        let now = Duration::from_secs(1_000_000_000);
        let cookie = cookies.make(now, &path);
        assert!(cookies.verify(now, &path, &cookie));
        assert!(cookies.verify(now + PERIOD, &path, &cookie));
        assert!(!cookies.verify(now + 2 * PERIOD, &path, &cookie));
        assert!(!cookies.verify(now, &path, &cookie[..19]) && !cookies.verify(now, &path, &[]));
        let others = [
            FiveTuple::udp(path.local, "198.51.100.1:5001".parse().unwrap()),
            FiveTuple::udp(path.local, "198.51.100.2:5000".parse().unwrap()),
            FiveTuple::udp("192.0.2.1:5349".parse().unwrap(), path.remote),
        ];
        assert!(others.iter().all(|other| !cookies.verify(now, other, &cookie)));
        assert!(!Cookies::new(&[4; 32]).verify(now, &path, &cookie));
    }
}

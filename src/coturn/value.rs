//! Values as coturn reads them: leniently, because public configurations depend on it.

use std::net::{IpAddr, SocketAddr};
use std::ops::RangeInclusive;

/// What a number's text was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    Whole(u64),
    /// Digits with something behind them, as `12 # four streams`.
    Beginning(u64),
    /// No digits at the start: counts as 0. Below 0: counts as 0, too.
    None,
}

/// As C's `atoi`: blanks, a sign, digits; what follows is not looked at. Too large is as large as can be.
pub fn number(text: &str) -> Number {
    let text = text.trim_ascii_start();
    let digits = text.strip_prefix('+').unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let (number, rest) = digits.split_at_checked(end).unwrap_or((digits, ""));
    if number.is_empty() {
        return Number::None;
    }
    let value = number.parse().unwrap_or(u64::MAX);
    if rest.trim_ascii().is_empty() { Number::Whole(value) } else { Number::Beginning(value) }
}

/// Nothing is true. `None`: no truth value, which coturn does not start with.
pub fn truth(text: &str) -> Option<bool> {
    match text.bytes().next() {
        None | Some(b'y' | b'Y' | b't' | b'T' | b'1'..=b'9') => Some(true),
        Some(b'n' | b'N' | b'f' | b'F' | b'0') => Some(false),
        Some(_) if text.eq_ignore_ascii_case("on") => Some(true),
        Some(_) if text.eq_ignore_ascii_case("off") => Some(false),
        Some(_) => None,
    }
}

/// An address, in brackets or not.
pub fn ip(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(text).parse().ok()
}

/// An address with a port, which may be missing when there is a default.
pub fn endpoint(text: &str, default_port: Option<u16>) -> Option<SocketAddr> {
    let text = text.trim();
    if let Ok(endpoint) = text.parse() {
        return Some(endpoint);
    }
    Some(SocketAddr::new(ip(text)?, default_port?))
}

/// `ip`, `ip-ip` or, beyond coturn, `ip/prefix`. Both ends belong to it.
pub fn range(text: &str) -> Option<RangeInclusive<IpAddr>> {
    let text = text.trim();
    let (first, last) = match text.split_once('-') {
        Some((first, last)) => (ip(first)?, ip(last)?),
        None => match text.split_once('/') {
            Some((network, prefix)) => ends(ip(network)?, prefix.trim().parse().ok()?)?,
            None => (ip(text)?, ip(text)?),
        },
    };
    (first.is_ipv4() == last.is_ipv4() && first <= last).then_some(first..=last)
}

/// First and last address of a network.
fn ends(network: IpAddr, prefix: u32) -> Option<(IpAddr, IpAddr)> {
    match network {
        IpAddr::V4(ip) => {
            let host = u32::MAX.checked_shr(prefix).unwrap_or(0);
            let ip = u32::from(ip);
            (prefix <= 32 && ip & host == 0).then(|| (IpAddr::V4(ip.into()), IpAddr::V4((ip | host).into())))
        }
        IpAddr::V6(ip) => {
            let host = u128::MAX.checked_shr(prefix).unwrap_or(0);
            let ip = u128::from(ip);
            (prefix <= 128 && ip & host == 0).then(|| (IpAddr::V6(ip.into()), IpAddr::V6((ip | host).into())))
        }
    }
}

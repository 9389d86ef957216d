//! Whom we relay to.
//!
//! An address is first turned into what the kernel or a translator on the way would make of it (an IPv4 address inside an IPv6
//! one counts as that IPv4 address), then judged: our own, explicitly allowed, denied, or fine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::config::Config;

/// Addresses of one family from first to last: a network or any other stretch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AddressRange {
    first: IpAddr,
    last: IpAddr,
}

/// The text is no address, network (`10.0.0.0/8`) or stretch (`10.0.0.1-10.0.0.9`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotARange;

impl std::fmt::Display for NotARange {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not an address, a network like 10.0.0.0/8, or a range like 10.0.0.1-10.0.0.9")
    }
}

impl std::error::Error for NotARange {}

impl AddressRange {
    /// Both ends count. `None` when they are of two families or in the wrong order.
    pub fn new(first: IpAddr, last: IpAddr) -> Option<Self> {
        (first.is_ipv4() == last.is_ipv4() && first <= last).then_some(Self { first, last })
    }

    /// The network that `address` lies in. `None` when the prefix is too long for the family.
    pub fn network(address: IpAddr, prefix: u8) -> Option<Self> {
        match address {
            IpAddr::V4(ip) => {
                let host = u32::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
                let first = ip.to_bits() & !host;
                (prefix <= 32).then_some(Self { first: Ipv4Addr::from(first).into(), last: Ipv4Addr::from(first | host).into() })
            }
            IpAddr::V6(ip) => {
                let host = u128::MAX.checked_shr(u32::from(prefix)).unwrap_or(0);
                let first = ip.to_bits() & !host;
                (prefix <= 128).then_some(Self { first: Ipv6Addr::from(first).into(), last: Ipv6Addr::from(first | host).into() })
            }
        }
    }

    /// An IPv4 range never contains an IPv6 address, nor the other way round.
    pub fn contains(&self, address: IpAddr) -> bool {
        address.is_ipv4() == self.first.is_ipv4() && (self.first..=self.last).contains(&address)
    }
}

impl FromStr for AddressRange {
    type Err = NotARange;

    fn from_str(text: &str) -> Result<Self, NotARange> {
        let address = |text: &str| text.trim().parse::<IpAddr>().map_err(|_| NotARange);
        if let Some((ip, prefix)) = text.split_once('/') {
            return Self::network(address(ip)?, prefix.trim().parse().map_err(|_| NotARange)?).ok_or(NotARange);
        }
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        Self::new(address(first)?, address(last)?).ok_or(NotARange)
    }
}

/// What may be sent to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Allowed,
    /// Our own address: our media ports and relay ports only.
    OwnPortsOnly,
    Denied,
}

/// Judges peers.
#[derive(Debug)]
pub(crate) struct PeerPolicy {
    media: Vec<SocketAddr>,
    own: Vec<IpAddr>,
    relay_ports: RangeInclusive<u16>,
    allowed: Vec<AddressRange>,
    denied: Vec<AddressRange>,
}

impl PeerPolicy {
    pub(crate) fn new(config: &Config) -> Self {
        let v4 = [config.relay_v4, config.public_v4].into_iter().flatten().map(IpAddr::V4);
        let v6 = [config.relay_v6, config.public_v6].into_iter().flatten().map(IpAddr::V6);
        let own = config.media.iter().map(SocketAddr::ip).chain(v4).chain(v6).filter(|ip| !ip.is_unspecified()).collect();
        Self {
            media: config.media.clone(),
            own,
            relay_ports: config.relay_ports.clone(),
            allowed: config.allowed_peers.clone(),
            denied: config.denied_peers.clone(),
        }
    }

    /// Judges an address; `listener` is the address of ours that the client talks to, hence our own.
    pub(crate) fn judge(&self, peer: IpAddr, listener: IpAddr) -> Judgement {
        // Nothing makes these a peer: to the kernel an unspecified address means this very host, and an IPv4-mapped one is IPv4,
        // which an IPv6 relay has no business with.
        if is_this_host(peer) || is_mapped(peer) {
            return Judgement::Denied;
        }
        if contains(&self.allowed, peer) {
            return Judgement::Allowed;
        }
        if peer == listener || self.own.contains(&peer) {
            return Judgement::OwnPortsOnly;
        }
        if self.forbids(peer) || embedded(peer).into_iter().flatten().any(|ip| self.forbids_embedded(ip, listener)) {
            return Judgement::Denied;
        }
        Judgement::Allowed
    }

    /// May this port of our own address be talked to?
    pub(crate) fn is_own_port(&self, peer: SocketAddr) -> bool {
        self.relay_ports.contains(&peer.port()) || self.media.iter().any(|m| m.port() == peer.port() && same_host(m.ip(), peer.ip()))
    }

    fn forbids(&self, peer: IpAddr) -> bool {
        contains(&self.denied, peer) || denied_by_default(peer)
    }

    /// An address inside another reaches its host by a roundabout way, where our own ports cannot be told apart: own counts as forbidden.
    fn forbids_embedded(&self, inner: Ipv4Addr, listener: IpAddr) -> bool {
        let inner = IpAddr::V4(inner);
        if is_this_host(inner) || inner == listener || self.own.contains(&inner) {
            return true;
        }
        !contains(&self.allowed, inner) && self.forbids(inner)
    }
}

/// A listener on the wildcard address has every address of the host.
fn same_host(media: IpAddr, peer: IpAddr) -> bool {
    media == peer || media.is_unspecified()
}

fn contains(ranges: &[AddressRange], ip: IpAddr) -> bool {
    ranges.iter().any(|range| range.contains(ip))
}

/// 0.0.0.0/8 and :: mean the host itself, in whatever spelling.
fn is_this_host(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[0] == 0,
        IpAddr::V6(ip) => ip.is_unspecified(),
    }
}

fn is_mapped(ip: IpAddr) -> bool {
    matches!(ip, IpAddr::V6(ip) if ip.to_ipv4_mapped().is_some())
}

/// Ranges without public hosts behind them (IANA's special-purpose registries).
fn denied_by_default(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => denied_v4(ip),
        IpAddr::V6(ip) => denied_v6(ip),
    }
}

fn denied_v4(ip: Ipv4Addr) -> bool {
    match ip.octets() {
        // this host, private, loopback
        [0 | 10 | 127, ..] => true,
        // shared address space of carriers (RFC 6598)
        [100, 64..=127, ..] => true,
        // link-local, where clouds keep their metadata
        [169, 254, ..] => true,
        [172, 16..=31, ..] | [192, 168, ..] => true,
        // protocol assignments; benchmarking (RFC 2544)
        [192, 0, 0, _] | [198, 18 | 19, ..] => true,
        // multicast, reserved, broadcast
        [224..=255, ..] => true,
        _ => false,
    }
}

fn denied_v6(ip: Ipv6Addr) -> bool {
    match ip.segments() {
        // translated IPv4 (RFC 6052): judged by the address inside
        [0x64, 0xff9b, 0, 0, 0, 0, _, _] => false,
        // the rest of ::/8: loopback, IPv4-mapped, IPv4-compatible, RFC 8215's local translation, nothing public
        [0..=0xff, ..] => true,
        // discard-only (RFC 6666)
        [0x100, 0, 0, 0, ..] => true,
        // unique local, link-local, site-local, multicast
        [0xfc00..=0xfdff, ..] | [0xfe80..=0xfeff, ..] | [0xff00..=0xffff, ..] => true,
        _ => false,
    }
}

/// The IPv4 addresses that an IPv6 address stands for or is carried by.
fn embedded(ip: IpAddr) -> [Option<Ipv4Addr>; 2] {
    let IpAddr::V6(ip) = ip else { return [None, None] };
    let v4 = |high: u16, low: u16| Some(Ipv4Addr::from((u32::from(high) << 16) | u32::from(low)));
    match ip.segments() {
        // NAT64's well-known prefix (RFC 6052)
        [0x64, 0xff9b, 0, 0, 0, 0, a, b] => [v4(a, b), None],
        // IPv4-compatible
        [0, 0, 0, 0, 0, 0, a, b] => [v4(a, b), None],
        // 6to4 (RFC 3056)
        [0x2002, a, b, ..] => [v4(a, b), None],
        // Teredo (RFC 4380): the server, and the client with its bits flipped
        [0x2001, 0, a, b, _, _, c, d] => [v4(a, b), v4(!c, !d)],
        _ => [None, None],
    }
}

#[cfg(test)]
mod tests;

//! Whom we relay to.
//!
//! An address is first turned into what the kernel or a translator on the way would make of it (an IPv4 address inside an IPv6
//! one counts as that IPv4 address), then judged: our own, explicitly allowed, denied, or fine.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::str::FromStr;

use crate::config::Config;
use crate::realms::{RealmRange, Rules};

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

/// Whom relays may talk to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PeerRules {
    /// What holds where no list says otherwise.
    pub default: PeerDefault,
    /// With [`PeerDefault::Coturn`]: loopback addresses may be peers (coturn: `allow-loopback-peers`). Nothing else lifts them there.
    pub loopback: bool,
    /// With [`PeerDefault::Coturn`]: multicast addresses may be peers (coturn: the absence of `no-multicast-peers`).
    pub multicast: bool,
    /// Peers allowed although denied by default or by `denied` (coturn: `allowed-peer-ip`).
    pub allowed: Vec<AddressRange>,
    /// Peers denied besides those denied by default (coturn: `denied-peer-ip`).
    pub denied: Vec<AddressRange>,
    /// Never a peer, whatever the lists say: where administration, metrics and databases listen. With the unspecified address, that
    /// port of every address of this host.
    pub never: Vec<SocketAddr>,
}

/// Peers that no list names.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PeerDefault {
    /// Our own media and relays, nobody else: all that calls through the built-in SFU need.
    #[default]
    OwnOnly,
    /// Besides, everything that is not of a special-purpose network.
    Public,
    /// As coturn judges, private networks included; but link-local, unique local and embedded addresses are closed, as its newer
    /// versions close them.
    Coturn,
}

/// What may be sent to an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Judgement {
    Allowed,
    /// All but the ports that are never a peer.
    Guarded,
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
    rules: PeerRules,
    /// From a database: for one realm or for all.
    realm_allowed: Vec<RealmRange>,
    realm_denied: Vec<RealmRange>,
}

impl PeerPolicy {
    pub(crate) fn new(config: &Config) -> Self {
        let external = config.external.iter().flat_map(|external| [Some(external.public), external.private]).flatten();
        let own = config.media.iter().map(SocketAddr::ip).chain(config.relay_addresses.iter().copied()).chain(external);
        Self {
            media: config.media.clone(),
            own: own.filter(|ip| !ip.is_unspecified()).collect(),
            relay_ports: config.relay_ports.clone(),
            rules: config.peers.clone(),
            realm_allowed: Vec::new(),
            realm_denied: Vec::new(),
        }
    }

    /// Lists that hold besides the configuration's, instead of those of the last call.
    pub(crate) fn update(&mut self, rules: &Rules) {
        self.realm_allowed.clone_from(&rules.allowed_peers);
        self.realm_denied.clone_from(&rules.denied_peers);
    }

    /// Judges an address; `listener` is the address of ours that the client talks to, hence our own.
    pub(crate) fn judge(&self, peer: IpAddr, listener: IpAddr, realm: &str) -> Judgement {
        // Nothing makes these a peer: to the kernel an unspecified address means this very host, and an IPv4-mapped one is IPv4,
        // which an IPv6 relay has no business with.
        if is_this_host(peer) || is_mapped(peer) {
            return Judgement::Denied;
        }
        match self.rules.default {
            PeerDefault::OwnOnly | PeerDefault::Public => self.judge_lists_first(peer, listener, realm),
            PeerDefault::Coturn => self.judge_as_coturn(peer, listener, realm),
        }
    }

    fn judge_lists_first(&self, peer: IpAddr, listener: IpAddr, realm: &str) -> Judgement {
        if self.allows(peer, realm) {
            return self.guard(peer, listener);
        }
        if self.is_own(peer, listener) {
            return Judgement::OwnPortsOnly;
        }
        let open = self.rules.default == PeerDefault::Public;
        let denied = !open || self.denies(peer, realm) || denied_by_default(peer);
        if denied || self.forbids_embedded(peer, listener, realm) {
            return Judgement::Denied;
        }
        self.guard(peer, listener)
    }

    /// coturn's order: what no list lifts, then the lists of the allowed, then those of the denied.
    fn judge_as_coturn(&self, peer: IpAddr, listener: IpAddr, realm: &str) -> Judgement {
        if self.never_for_coturn(peer, listener) || self.forbids_embedded(peer, listener, realm) {
            return Judgement::Denied;
        }
        if self.allows(peer, realm) {
            return self.guard(peer, listener);
        }
        let own = self.is_own(peer, listener);
        match self.denies(peer, realm) {
            // Lists that close whole networks would cut our relays off from each other.
            true if own && !peer.is_loopback() => Judgement::OwnPortsOnly,
            true => Judgement::Denied,
            false => self.guard(peer, listener),
        }
    }

    fn never_for_coturn(&self, peer: IpAddr, listener: IpAddr) -> bool {
        if is_multicast(peer) {
            return !self.rules.multicast;
        }
        if peer.is_loopback() {
            return !self.rules.loopback;
        }
        is_this_host(peer) || is_link_or_site(peer) && !self.is_own(peer, listener)
    }

    /// An address where some port may be one that is never a peer is looked at more closely for every packet.
    fn guard(&self, peer: IpAddr, listener: IpAddr) -> Judgement {
        let this_host = || self.is_own(peer, listener) || peer.is_loopback();
        let guarded = self.rules.never.iter().any(|never| never.ip() == peer || never.ip().is_unspecified() && this_host());
        if guarded { Judgement::Guarded } else { Judgement::Allowed }
    }

    /// May this port of an address that was judged so be talked to?
    pub(crate) fn port_is_open(&self, judgement: Judgement, peer: SocketAddr) -> bool {
        match judgement {
            Judgement::Allowed => true,
            Judgement::Guarded => !self
                .rules
                .never
                .iter()
                .any(|never| never.port() == peer.port() && (never.ip() == peer.ip() || never.ip().is_unspecified())),
            Judgement::OwnPortsOnly => self.is_own_port(peer),
            Judgement::Denied => false,
        }
    }

    /// Is this where our own media is?
    pub(crate) fn is_media(&self, peer: SocketAddr, listener: IpAddr) -> bool {
        let is = |media: &SocketAddr| {
            media.port() == peer.port() && (media.ip() == peer.ip() || media.ip().is_unspecified() && self.is_own(peer.ip(), listener))
        };
        self.media.iter().any(is)
    }

    /// Our own media or relay port, the address being ours.
    pub(crate) fn is_own_port(&self, peer: SocketAddr) -> bool {
        self.relay_ports.contains(&peer.port()) || self.media.iter().any(|m| m.port() == peer.port() && same_host(m.ip(), peer.ip()))
    }

    fn is_own(&self, peer: IpAddr, listener: IpAddr) -> bool {
        peer == listener || self.own.contains(&peer)
    }

    fn allows(&self, peer: IpAddr, realm: &str) -> bool {
        contains(&self.rules.allowed, peer) || realm_contains(&self.realm_allowed, peer, realm)
    }

    fn denies(&self, peer: IpAddr, realm: &str) -> bool {
        contains(&self.rules.denied, peer) || realm_contains(&self.realm_denied, peer, realm)
    }

    /// An address inside another reaches its host by a roundabout way, where our own ports cannot be told apart: own counts as forbidden.
    fn forbids_embedded(&self, peer: IpAddr, listener: IpAddr, realm: &str) -> bool {
        let forbids = |inner: Ipv4Addr| {
            let inner = IpAddr::V4(inner);
            if is_this_host(inner) || self.is_own(inner, listener) {
                return true;
            }
            match self.rules.default {
                PeerDefault::OwnOnly | PeerDefault::Public => {
                    !self.allows(inner, realm) && (self.denies(inner, realm) || denied_by_default(inner))
                }
                // What reaches this host is closed in every spelling, even where loopback is open in its own.
                PeerDefault::Coturn => {
                    let always = inner.is_loopback() || self.never_for_coturn(inner, listener);
                    always || !self.allows(inner, realm) && self.denies(inner, realm)
                }
            }
        };
        embedded(peer).into_iter().flatten().any(forbids)
    }
}

/// A listener on the wildcard address has every address of the host.
fn same_host(media: IpAddr, peer: IpAddr) -> bool {
    media == peer || media.is_unspecified()
}

fn contains(ranges: &[AddressRange], ip: IpAddr) -> bool {
    ranges.iter().any(|range| range.contains(ip))
}

fn realm_contains(ranges: &[RealmRange], ip: IpAddr, realm: &str) -> bool {
    ranges.iter().any(|listed| listed.realm.as_deref().is_none_or(|of| of == realm) && listed.range.contains(ip))
}

/// 224.0.0.0 and all above, broadcast included; ff00::/8.
fn is_multicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[0] >= 224,
        IpAddr::V6(ip) => ip.is_multicast(),
    }
}

/// Link-local, where clouds keep their metadata, unique local and site-local.
fn is_link_or_site(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => matches!(ip.segments()[0], 0xfc00..=0xfdff | 0xfe80..=0xfeff),
    }
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
        // IPv4-compatible; `::` and `::1` are what they are
        [0, 0, 0, 0, 0, 0, 0, 0 | 1] => [None, None],
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

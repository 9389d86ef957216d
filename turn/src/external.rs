//! Our addresses as the world knows them: behind NAT a relay's own address is not the one that clients and peers are told.

use std::net::{IpAddr, SocketAddr};

use pointsman_wire::stun::attribute::Family;

use crate::config::Config;

/// The mapping, both ways.
#[derive(Debug)]
pub(crate) struct Externals {
    /// Public; private, or every relay address of the family.
    pairs: Vec<(IpAddr, Option<IpAddr>)>,
    relay_addresses: Vec<IpAddr>,
}

impl Externals {
    pub(crate) fn new(config: &Config) -> Self {
        Self {
            pairs: config.external.iter().map(|external| (external.public, external.private)).collect(),
            relay_addresses: config.relay_addresses.clone(),
        }
    }

    /// A relay's address as it is told.
    pub(crate) fn outward(&self, relay: SocketAddr) -> SocketAddr {
        let ip = relay.ip();
        let exact = self.pairs.iter().find(|(_, private)| *private == Some(ip));
        let any = || self.pairs.iter().find(|(public, private)| private.is_none() && Family::of(public) == Family::of(&ip));
        exact.or_else(any).map_or(relay, |(public, _)| SocketAddr::new(*public, relay.port()))
    }

    /// An address of ours that is no relay's: mapped where it is named.
    pub(crate) fn outward_exactly(&self, ours: SocketAddr) -> SocketAddr {
        let named = self.pairs.iter().find(|(_, private)| *private == Some(ours.ip()));
        named.map_or(ours, |(public, _)| SocketAddr::new(*public, ours.port()))
    }

    /// A peer as the client knows it: one of our relays by its public address. `own` is the local address of the client's relay.
    pub(crate) fn outward_peer(&self, peer: SocketAddr, own: IpAddr) -> SocketAddr {
        let ip = peer.ip();
        let is = |(public, private): &&(IpAddr, Option<IpAddr>)| match private {
            Some(private) => *private == ip,
            None => Family::of(public) == Family::of(&ip) && (ip == own || self.relay_addresses.contains(&ip)),
        };
        self.pairs.iter().find(is).map_or(peer, |(public, _)| SocketAddr::new(*public, peer.port()))
    }

    /// A peer that the client names, as we reach it.
    pub(crate) fn inward(&self, peer: SocketAddr, own: IpAddr) -> SocketAddr {
        let Some((_, private)) = self.pairs.iter().find(|(public, _)| *public == peer.ip()) else { return peer };
        match private {
            Some(private) => SocketAddr::new(*private, peer.port()),
            // Where we listen on any address, every one of ours will do.
            None if own.is_unspecified() => peer,
            None => SocketAddr::new(own, peer.port()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::External;

    fn externals(pairs: &[(&str, Option<&str>)]) -> Externals {
        let external = pairs
            .iter()
            .map(|(public, private)| External { public: public.parse().unwrap(), private: private.map(|p| p.parse().unwrap()) });
        let relay_addresses = ["10.0.0.1", "10.0.0.2", "fd00::1"].map(|ip| ip.parse().unwrap()).to_vec();
        Externals::new(&Config { external: external.collect(), relay_addresses, ..Config::default() })
    }

    fn at(text: &str) -> SocketAddr {
        text.parse().unwrap()
    }

    #[test]
    fn each_pair_maps_its_own_address_both_ways() {
        let externals = externals(&[("203.0.113.1", Some("10.0.0.1")), ("203.0.113.2", Some("10.0.0.2"))]);
        let own = at("10.0.0.1:1").ip();
        for (private, public) in [("10.0.0.1:5000", "203.0.113.1:5000"), ("10.0.0.2:5000", "203.0.113.2:5000")] {
            assert_eq!(externals.outward(at(private)), at(public));
            assert_eq!(externals.outward_peer(at(private), own), at(public));
            assert_eq!(externals.inward(at(public), own), at(private));
        }
        for other in ["192.0.2.1:5000", "[2001:db8::1]:5000"] {
            assert_eq!(externals.outward(at(other)), at(other));
            assert_eq!(externals.outward_peer(at(other), own), at(other));
            assert_eq!(externals.inward(at(other), own), at(other));
        }
    }

    #[test]
    fn a_public_address_alone_stands_for_every_relay_of_its_family() {
        let externals = externals(&[("203.0.113.1", None), ("2001:db8::1", None)]);
        let own = at("10.0.0.2:1").ip();
        assert_eq!(externals.outward(at("10.0.0.2:5000")), at("203.0.113.1:5000"));
        assert_eq!(externals.outward(at("[fd00::1]:5000")), at("[2001:db8::1]:5000"));
        assert_eq!(externals.inward(at("203.0.113.1:5000"), own), at("10.0.0.2:5000"));
        assert_eq!(externals.outward_peer(at("10.0.0.1:5000"), own), at("203.0.113.1:5000"));
        assert_eq!(externals.outward_peer(at("192.0.2.1:5000"), own), at("192.0.2.1:5000"), "a peer elsewhere is no relay of ours");
        assert_eq!(externals.inward(at("203.0.113.1:5000"), at("0.0.0.0:1").ip()), at("203.0.113.1:5000"));
    }
}

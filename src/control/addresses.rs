//! Which addresses clients are told.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};

use crate::config::{Config, PublicIp};
use crate::failure::Failure;

/// What start-up found out about our addresses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// As announced to clients.
    pub public: Vec<IpAddr>,
    /// Where clients send media: public addresses with ports.
    pub media: Vec<SocketAddr>,
    /// Local addresses of relay sockets.
    pub relay: Vec<IpAddr>,
}

impl Addresses {
    /// # Errors
    /// When clients could not reach media.
    pub fn find(config: &Config) -> Result<Self, Failure> {
        let listen = &config.listen.udp;
        let public = public_ips(&config.public_ip, listen)?;
        // A relay whose clients all come over TCP.
        let media = if listen.is_empty() { Vec::new() } else { media_addresses(&public, listen)? };
        tracing::info!(addresses = ?media, "clients are told these addresses");
        let relay =
            if config.turn.relay_ip.is_empty() { listen.iter().map(SocketAddr::ip).collect() } else { config.turn.relay_ip.clone() };
        Ok(Self { public, media, relay })
    }

    /// Where clients reach these listeners: every public address with the ports of its family.
    pub fn reached(&self, listen: &[SocketAddr]) -> Vec<SocketAddr> {
        media_addresses(&self.public, listen).unwrap_or_default()
    }

    /// Every address that is our own media: announced, or listened on.
    pub fn own(&self, listen: &[SocketAddr]) -> Vec<SocketAddr> {
        let mut all = self.media.clone();
        all.extend(listen.iter().filter(|address| !address.ip().is_unspecified() && !self.media.contains(address)));
        all
    }
}

/// The addresses of `public_ip`, "auto" resolved.
///
/// # Errors
/// When no address can be found.
fn public_ips(wanted: &PublicIp, listen: &[SocketAddr]) -> Result<Vec<IpAddr>, Failure> {
    let mut ips = match wanted {
        PublicIp::List(list) => list.clone(),
        PublicIp::Auto => listen.iter().filter_map(|address| found(address.ip())).collect(),
    };
    let mut seen = Vec::new();
    ips.retain(|ip| {
        !seen.contains(ip) && {
            seen.push(*ip);
            true
        }
    });
    if ips.is_empty() {
        let what = "public_ip = \"auto\": the routing table knows no way out; write the address that clients reach this host at";
        return Err(Failure::Operator(what.to_owned()));
    }
    Ok(ips)
}

/// Where clients send media: every public address with the ports that are listened on in its family.
///
/// # Errors
/// When no public address has the family of any listener.
fn media_addresses(public: &[IpAddr], listen: &[SocketAddr]) -> Result<Vec<SocketAddr>, Failure> {
    let mut all = Vec::new();
    for ip in public {
        for port in listen.iter().filter(|address| address.is_ipv4() == ip.is_ipv4()).map(SocketAddr::port) {
            let address = SocketAddr::new(*ip, port);
            if !all.contains(&address) {
                all.push(address);
            }
        }
    }
    if all.is_empty() {
        let what = "public_ip and `udp` in [listen] have no address family in common: clients could not reach media";
        return Err(Failure::Operator(what.to_owned()));
    }
    Ok(all)
}

/// A listener on one address is reached there; for a wildcard the routing table is asked.
fn found(listening_on: IpAddr) -> Option<IpAddr> {
    if !listening_on.is_unspecified() {
        return Some(listening_on);
    }
    // Addresses for documentation (RFC 5737, RFC 3849): connecting a UDP socket looks up the route and sends nothing.
    let (any, outside): (IpAddr, IpAddr) = match listening_on {
        IpAddr::V4(_) => (Ipv4Addr::UNSPECIFIED.into(), Ipv4Addr::new(192, 0, 2, 1).into()),
        IpAddr::V6(_) => (Ipv6Addr::UNSPECIFIED.into(), Ipv6Addr::new(0x2001, 0xdb8, 0, 0, 0, 0, 0, 1).into()),
    };
    let socket = UdpSocket::bind((any, 0)).ok()?;
    socket.connect((outside, 9)).ok()?;
    socket.local_addr().ok().map(|address| address.ip()).filter(|ip| !ip.is_unspecified())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Vec<SocketAddr> {
        list.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn auto_takes_the_address_that_is_listened_on() {
        let listen = addresses(&["127.0.0.1:3478", "127.0.0.1:443", "[::1]:3478"]);
        let ips = public_ips(&PublicIp::Auto, &listen).unwrap();
        assert_eq!(ips, [IpAddr::from(Ipv4Addr::LOCALHOST), Ipv6Addr::LOCALHOST.into()]);
    }

    #[test]
    fn every_public_address_has_the_ports_of_its_family() {
        let listen = addresses(&["0.0.0.0:3478", "0.0.0.0:443", "[::]:3478"]);
        let public = ["203.0.113.7".parse().unwrap(), "2001:db8::7".parse().unwrap()];
        assert_eq!(media_addresses(&public, &listen).unwrap(), addresses(&["203.0.113.7:3478", "203.0.113.7:443", "[2001:db8::7]:3478"]));
    }

    #[test]
    fn families_without_anything_in_common_are_refused() {
        let refused = media_addresses(&["2001:db8::7".parse().unwrap()], &addresses(&["0.0.0.0:3478"]));
        assert!(matches!(refused, Err(Failure::Operator(_))));
    }
}

//! What a configuration leaves to the host: its addresses, its name, its files.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::path::PathBuf;

use super::search;

/// The host, as far as start-up asks.
#[derive(Clone, Debug)]
pub struct Host {
    /// Of every interface that is up, link-local ones left out.
    pub addresses: Vec<IpAddr>,
    /// Empty when it has none.
    pub domain: String,
    pub name: String,
    /// Finds a file by the name that a configuration gives it.
    pub find: fn(&str) -> Option<PathBuf>,
}

impl Host {
    /// This host. What the kernel does not tell is empty.
    pub fn this() -> Self {
        let read = |file: &str| fs::read_to_string(file).unwrap_or_default();
        let mut addresses = addresses_v4(&read("/proc/net/fib_trie"));
        addresses.extend(addresses_v6(&read("/proc/net/if_inet6")));
        let domain = read("/proc/sys/kernel/domainname").trim().to_owned();
        Self {
            addresses,
            domain: Some(domain).filter(|domain| domain != "(none)").unwrap_or_default(),
            name: read("/proc/sys/kernel/hostname").trim().to_owned(),
            find: search::find,
        }
    }
}

/// The kernel's routing tables hold each local address as a leaf of its own: a line with the address, then one with its kind.
fn addresses_v4(table: &str) -> Vec<IpAddr> {
    let (mut found, mut leaf) = (Vec::new(), None);
    for line in table.lines() {
        let line = line.trim();
        if let Some(address) = line.strip_prefix("|-- ") {
            leaf = address.parse::<Ipv4Addr>().ok();
        } else if line.starts_with("/32 host LOCAL") {
            let address = leaf.filter(|ip| !ip.is_link_local() && !ip.is_unspecified()).map(IpAddr::from);
            found.extend(address.filter(|ip| !found.contains(ip)));
        }
    }
    found
}

/// A line holds the address in 32 digits, number, prefix length, scope and flags of the interface in hexadecimal, and its name.
fn addresses_v6(table: &str) -> Vec<IpAddr> {
    let address = |line: &str| {
        let ip = Ipv6Addr::from(u128::from_str_radix(line.split_ascii_whitespace().next()?, 16).ok()?);
        (!ip.is_unicast_link_local() && !ip.is_unspecified()).then_some(IpAddr::from(ip))
    };
    table.lines().filter_map(address).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_those_of_interfaces_that_are_up() {
        let table = "Main:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 0.0.0.0\n        /0 universe UNICAST\nLocal:\n  +-- 0.0.0.0/0 3 0 5\n     |-- 127.0.0.1\n        /32 host LOCAL\n     \
                     |-- 127.255.255.255\n        /32 link BROADCAST\n     |-- 192.0.2.7\n        /32 host LOCAL\n     |-- 169.254.3.4\n        /32 host LOCAL\n     \
                     |-- 192.0.2.7\n        /32 host LOCAL\n";
        assert_eq!(addresses_v4(table), ["127.0.0.1".parse::<IpAddr>().unwrap(), "192.0.2.7".parse().unwrap()]);
        let table = "00000000000000000000000000000001 01 80 10 80       lo\nfe800000000000000042acfffe110002 02 40 20 80     eth0\n\
                     20010db8000000000000000000000007 02 40 00 80     eth0\nnonsense\n";
        assert_eq!(addresses_v6(table), ["::1".parse::<IpAddr>().unwrap(), "2001:db8::7".parse().unwrap()]);
        assert_eq!((addresses_v4(""), addresses_v6("")), (Vec::new(), Vec::new()));
    }

    #[test]
    fn this_host_has_loopback() {
        let loopback = Host::this().addresses.iter().any(|ip| ip.is_loopback());
        assert!(loopback || !std::path::Path::new("/proc/net/fib_trie").exists());
    }
}

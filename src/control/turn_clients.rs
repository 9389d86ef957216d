//! TURN clients over TCP and TLS on their way to a shard, and how many of them there may be.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::ServerConnection;
use socket2::SockRef;
use tokio::net::TcpStream;

use super::listen::Ends;
use super::stats::DropReason;
use crate::engine::{Connection, Mailboxes};

/// What is sent and not acknowledged for so long ends a connection: its client is gone.
const UNACKNOWLEDGED_MAX: Duration = Duration::from_secs(30);

/// Hands connections to the shards, as many as may be open at a time.
pub struct TurnClients {
    shards: Mailboxes,
    open: Arc<Open>,
}

/// Connections that are open, by the network that they come from.
struct Open {
    networks: Mutex<Networks>,
    connections_max: usize,
    connections_per_address_max: usize,
}

#[derive(Default)]
struct Networks {
    connections: usize,
    by_network: HashMap<IpAddr, usize>,
}

/// One connection's place among those that may be open; dropping it gives the place back.
struct Place {
    open: Arc<Open>,
    network: IpAddr,
}

impl TurnClients {
    pub fn new(shards: Mailboxes, connections_max: usize, connections_per_address_max: usize) -> Self {
        let networks = Mutex::new(Networks::default());
        Self { shards, open: Arc::new(Open { networks, connections_max, connections_per_address_max }) }
    }

    /// Gives a connection to a shard, with the bytes that were read already.
    ///
    /// # Errors
    /// Why it was closed instead.
    pub fn hand_over(&self, stream: TcpStream, tls: Option<Box<ServerConnection>>, unread: Vec<u8>, ends: Ends) -> Result<(), DropReason> {
        let place = self.open.take(ends.client.ip())?;
        let _ = SockRef::from(&stream).set_tcp_user_timeout(Some(UNACKNOWLEDGED_MAX));
        // Only without a runtime does this fail, or when the connection is broken.
        let Ok(tcp) = stream.into_std() else { return Ok(()) };
        let (local, remote) = (ends.server, ends.client);
        let connection = Connection { tcp, tls, local, remote, unread, unsent: Vec::new(), place: Some(Box::new(place)) };
        self.shards.send_connection(connection).map_err(|_| DropReason::ShardBusy)
    }
}

impl Open {
    fn take(self: &Arc<Self>, ip: IpAddr) -> Result<Place, DropReason> {
        let network = network(ip);
        let mut networks = self.networks.lock().unwrap_or_else(PoisonError::into_inner);
        if networks.connections >= self.connections_max {
            return Err(DropReason::ConnectionsFull);
        }
        let here = networks.by_network.entry(network).or_default();
        if *here >= self.connections_per_address_max {
            return Err(DropReason::AddressFull);
        }
        *here += 1;
        networks.connections += 1;
        Ok(Place { open: Arc::clone(self), network })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut networks = self.open.networks.lock().unwrap_or_else(PoisonError::into_inner);
        networks.connections = networks.connections.saturating_sub(1);
        if let Some(here) = networks.by_network.get_mut(&self.network) {
            *here -= 1;
            if *here == 0 {
                networks.by_network.remove(&self.network);
            }
        }
    }
}

/// What counts as one address: one customer usually has an IPv6 /64.
fn network(ip: IpAddr) -> IpAddr {
    match ip {
        IpAddr::V4(_) => ip,
        IpAddr::V6(ip) => Ipv6Addr::from(u128::from(ip) & !u128::from(u64::MAX)).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_counted_and_come_back() {
        let open = Arc::new(Open { networks: Mutex::default(), connections_max: 3, connections_per_address_max: 2 });
        let take = |ip: &str| open.take(ip.parse().unwrap());
        let first = take("2001:db8::1").unwrap();
        let second = take("2001:db8::ffff:0:0:2").unwrap();
        assert_eq!(take("2001:db8::3").err(), Some(DropReason::AddressFull), "the same /64");
        let third = take("2001:db8:0:1::1").unwrap();
        assert_eq!(take("192.0.2.1").err(), Some(DropReason::ConnectionsFull));
        drop(first);
        let fourth = take("192.0.2.1").unwrap();
        drop((second, third, fourth));
        let networks = open.networks.lock().unwrap();
        assert_eq!((networks.connections, networks.by_network.len()), (0, 0), "nothing is kept of those that are gone");
    }
}

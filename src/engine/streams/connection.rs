//! A client's connection as it changes hands: from control to a shard, or from one shard to another.

use std::any::Any;
use std::fmt;
use std::net::{SocketAddr, TcpStream};

use pointsman_wire::net::{FiveTuple, Protocol};
use rustls::ServerConnection;

/// A place that a connection takes up in somebody's limits until it is dropped.
pub type Place = Box<dyn Any + Send>;

/// A connection of a TURN client over TCP or TLS. With TLS the handshake is done.
pub struct Connection {
    /// Does not block.
    pub tcp: TcpStream,
    pub tls: Option<Box<ServerConnection>>,
    /// Our end. A proxy's word counts.
    pub local: SocketAddr,
    /// The client's end, likewise.
    pub remote: SocketAddr,
    /// Bytes that were read (and decrypted) already.
    pub unread: Vec<u8>,
    /// Bytes that were not written yet.
    pub unsent: Vec<u8>,
    /// Given back when the connection ends.
    pub place: Option<Place>,
}

impl Connection {
    pub fn client(&self) -> FiveTuple {
        let protocol = if self.tls.is_some() { Protocol::Tls } else { Protocol::Tcp };
        FiveTuple { protocol, local: self.local, remote: self.remote }
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What was read may hold credentials.
        f.debug_struct("Connection").field("tls", &self.tls.is_some()).field("unread", &self.unread.len()).finish_non_exhaustive()
    }
}

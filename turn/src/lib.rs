//! A TURN server (RFC 8656) as a state machine: UDP between client and server, UDP between server and peer.
//!
//! ```text
//! client datagram ──► handle_client_datagram ──► Verdict (what to do with this datagram, its bytes untouched)
//! peer datagram   ──► handle_peer_datagram   ──►
//! relay socket    ──► handle_relay_opened    ──► Output (replies that had to wait, sockets to open and close)
//! time            ──► handle_timeout         ──►
//! ```

#![forbid(unsafe_code)]

mod allocation;
mod auth;
pub mod config;
mod departures;
mod external;
#[cfg(any(test, feature = "fuzz"))]
mod fuzz;
pub mod ledger;
mod limiter;
mod meter;
mod mobility;
pub mod peers;
pub mod realms;
mod reservations;
mod rng;
mod server;
pub mod stats;
mod verdict;
pub mod view;

#[cfg(test)]
mod tests;

#[cfg(any(test, feature = "fuzz"))]
pub use auth::fuzz_token;
pub use config::Config;
#[cfg(any(test, feature = "fuzz"))]
pub use fuzz::fuzz;
pub use ledger::{Ledger, PortWish, Quota, QuotaError};
pub use mobility::{Moved, NotMoved, ShardMessage};
pub use peers::{AddressRange, PeerDefault, PeerRules};
pub use realms::{OauthKey, Realm, RealmRange, Rules, TokenAlgorithm};
pub use server::Server;
pub use stats::{DropReason, Stats};
pub use verdict::{
    ConnectError, ConnectionId, Icmp, KeyAnswer, LookupId, OpenError, Output, RelayPort, RelaySource, RelayTransport, ReservationToken,
    Verdict, Way,
};
pub use view::{AllocationId, AllocationView, Note};

//! What control counts: connections and why they were dropped.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::{quality, users, webhooks};
use crate::store;

/// Which key of `[listen]` a connection came in through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListenerKind {
    Http,
    Tcp,
    Tls,
    /// Connections that begin with a PROXY protocol header.
    Proxy,
    /// For operators.
    Ctl,
}

impl ListenerKind {
    pub const ALL: [Self; 5] = [Self::Http, Self::Tcp, Self::Tls, Self::Proxy, Self::Ctl];

    /// As in the configuration.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Tls => "tls",
            Self::Proxy => "proxy",
            Self::Ctl => "ctl",
        }
    }
}

/// Why a connection was not served, or no longer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DropReason {
    /// The kernel had no connection for us although it said so, or no file descriptor.
    AcceptFailed,
    /// Nothing came, or too slowly.
    Silent,
    /// On a TLS listener, but neither TLS nor TURN.
    NotTls,
    /// TLS, but no certificate is configured.
    NoCertificate,
    TlsFailed,
    TlsTimeout,
    /// The first byte belongs to no protocol that is spoken here.
    UnknownProtocol,
    /// Looked like HTTP and is not.
    BadRequest,
    /// HTTP, where none is served.
    NoHttp,
    /// Without a PROXY protocol header, or with a wrong one.
    BadProxyHeader,
    /// As many TURN clients as may be are connected.
    ConnectionsFull,
    /// As many as may be are connected from this address.
    AddressFull,
    /// The shard that should serve the TURN client has not kept up.
    ShardBusy,
}

impl DropReason {
    pub const ALL: [Self; 13] = [
        Self::AcceptFailed,
        Self::Silent,
        Self::NotTls,
        Self::NoCertificate,
        Self::TlsFailed,
        Self::TlsTimeout,
        Self::UnknownProtocol,
        Self::BadRequest,
        Self::NoHttp,
        Self::BadProxyHeader,
        Self::ConnectionsFull,
        Self::AddressFull,
        Self::ShardBusy,
    ];

    /// As in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::AcceptFailed => "accept_failed",
            Self::Silent => "silent",
            Self::NotTls => "not_tls",
            Self::NoCertificate => "no_certificate",
            Self::TlsFailed => "tls_failed",
            Self::TlsTimeout => "tls_timeout",
            Self::UnknownProtocol => "unknown_protocol",
            Self::BadRequest => "bad_request",
            Self::NoHttp => "no_http",
            Self::BadProxyHeader => "bad_proxy_header",
            Self::ConnectionsFull => "connections_full",
            Self::AddressFull => "address_full",
            Self::ShardBusy => "shard_busy",
        }
    }
}

/// Counters of all listeners.
#[derive(Debug, Default)]
pub struct Counters {
    accepted: [AtomicU64; ListenerKind::ALL.len()],
    open: [AtomicU64; ListenerKind::ALL.len()],
    drops: [AtomicU64; DropReason::ALL.len()],
    /// Of the user database.
    pub users: Arc<users::Counters>,
    pub webhooks: Arc<webhooks::Counters>,
    pub history: Arc<store::Counters>,
    pub quality: Arc<quality::Counters>,
}

/// Counts a connection as open until it is dropped.
#[derive(Debug)]
pub struct Open {
    counters: Arc<Counters>,
    kind: ListenerKind,
}

impl Counters {
    /// Counts a connection.
    pub fn open(self: &Arc<Self>, kind: ListenerKind) -> Open {
        self.accepted[kind as usize].fetch_add(1, Ordering::Relaxed);
        self.open[kind as usize].fetch_add(1, Ordering::Relaxed);
        Open { counters: Arc::clone(self), kind }
    }

    pub fn count_drop(&self, reason: DropReason) {
        self.drops[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub fn accepted(&self, kind: ListenerKind) -> u64 {
        self.accepted[kind as usize].load(Ordering::Relaxed)
    }

    pub fn connections(&self, kind: ListenerKind) -> u64 {
        self.open[kind as usize].load(Ordering::Relaxed)
    }

    pub fn drops(&self, reason: DropReason) -> u64 {
        self.drops[reason as usize].load(Ordering::Relaxed)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.counters.open[self.kind as usize].fetch_sub(1, Ordering::Relaxed);
    }
}

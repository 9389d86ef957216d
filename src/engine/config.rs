//! The engine's settings.

use std::net::SocketAddr;
use std::time::Duration;

use super::dtls::DtlsConfig;

/// What [`super::Engine::start`] needs. Built from the configuration file.
#[derive(Clone, Debug)]
pub struct EngineConfig {
    /// Threads that handle packets; 0 = one for every CPU that the process may use.
    pub shards: usize,
    /// UDP addresses for media, STUN and TURN. IPv6 sockets take IPv6 only. Port 0 lets the kernel choose (for tests). None: clients of
    /// TURN come over TCP and TLS only.
    pub listen: Vec<SocketAddr>,
    /// Keep each shard on a CPU of its own. Not fatal where the system refuses.
    pub pin: bool,
    /// Wanted size of a socket's buffers in bytes, each direction. 4 MiB hold a quarter of a second of 100,000 packets/s.
    pub socket_buffer: usize,
    /// Let the kernel join datagrams of one flow that arrive together (UDP_GRO). Off: it pays only where they arrive joined.
    pub udp_gro: bool,
    /// Let the kernel cut trains (UDP_SEGMENT). Where it cannot, datagrams leave singly whatever is said here.
    pub udp_gso: bool,
    /// Datagrams that a shard takes in during one turn.
    pub batch_max: usize,
    /// How long, in microseconds, a shard under load lets packets gather before it looks at its sockets again: fewer turns, longer
    /// trains, and so much more delay. Only while packets come more often than this; 0 = never.
    pub gather_us_max: u32,
    /// Shards whose load together is below this part of one CPU, in per cent, run on one thread: it wakes up less often than
    /// several. 0 = every shard always has its own.
    pub together_load_percent_max: u32,
    /// Messages that wait between two shards.
    pub mesh_ring_max: usize,
    /// Letters from control that wait in a shard's mailbox.
    pub mailbox_max: usize,
    /// Events that wait for control.
    pub events_max: usize,
    /// Relay sockets of one shard.
    pub relay_sockets_max: usize,
    /// Wanted size of a relay socket's buffers in bytes. One allocation carries one client.
    pub relay_socket_buffer: usize,
    /// Network device that listeners are bound to (SO_BINDTODEVICE): what comes in through others does not reach them. Linux before 5.7
    /// needs CAP_NET_RAW for it (coturn: `listening-device`).
    pub listen_device: Option<String>,
    /// Network device that relay sockets are bound to: they send through no other (coturn: `relay-device`).
    pub relay_device: Option<String>,
    /// Clients of TURN over DTLS.
    pub dtls: DtlsConfig,
    pub streams: StreamConfig,
    pub sfu: pointsman_sfu::Config,
    pub turn: pointsman_turn::Config,
}

impl Default for EngineConfig {
    fn default() -> Self {
        Self {
            shards: 0,
            listen: Vec::new(),
            pin: true,
            socket_buffer: 4 << 20,
            udp_gro: false,
            udp_gso: true,
            batch_max: 256,
            gather_us_max: 1000,
            together_load_percent_max: 30,
            mesh_ring_max: 2048,
            mailbox_max: 4096,
            events_max: 4096,
            relay_sockets_max: 16_384,
            relay_socket_buffer: 1 << 20,
            listen_device: None,
            relay_device: None,
            dtls: DtlsConfig::default(),
            streams: StreamConfig::default(),
            sfu: pointsman_sfu::Config::default(),
            turn: pointsman_turn::Config::default(),
        }
    }
}

/// TURN over TCP and TLS, and relayed TCP (RFC 6062).
#[derive(Clone, Debug)]
pub struct StreamConfig {
    /// Connections of clients on all shards together; control refuses more.
    pub connections_max: usize,
    /// Of these, connections from one address (IPv6: /64). Offices and whole mobile networks stand behind one.
    pub connections_per_address_max: usize,
    /// Connections of clients and with peers on one shard. Each is a file descriptor and some KiB of the kernel's memory.
    pub shard_connections_max: usize,
    /// Of these, connections with peers.
    pub peer_connections_max: usize,
    /// Relayed addresses of one shard on which peers may connect.
    pub listeners_max: usize,
    /// A client without an allocation that sends no message for so long is disconnected.
    pub idle_timeout: Duration,
    /// Relayed data that may wait for a client that reads too slowly; more is dropped, as a full queue in the network would. Answers
    /// may take as much again, then the client is disconnected.
    pub backlog_bytes_max: usize,
    /// Bytes that may wait in each direction between a client and its peer, before the faster end is not read any more.
    pub pipe_bytes_max: usize,
    /// How long a peer may take to accept a connection. RFC 6062 section 5.2 asks for at least 30 seconds.
    pub connect_timeout: Duration,
}

impl Default for StreamConfig {
    fn default() -> Self {
        Self {
            connections_max: 65_536,
            connections_per_address_max: 16_384,
            shard_connections_max: 65_536,
            peer_connections_max: 16_384,
            listeners_max: 16_384,
            idle_timeout: Duration::from_secs(60),
            // A quarter of a second of 8 Mbit/s.
            backlog_bytes_max: 256 << 10,
            pipe_bytes_max: 64 << 10,
            connect_timeout: Duration::from_secs(30),
        }
    }
}

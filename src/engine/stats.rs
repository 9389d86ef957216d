//! What a shard's engine counts. Plain numbers bumped by one thread, copied into a snapshot once a second.

use std::time::Duration;

use pointsman_wire::net::ShardId;

/// Why the engine let a datagram go no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DropReason {
    /// Longer than a receive slot.
    Oversized,
    /// From an address that is neither IPv4 nor IPv6, or with port 0.
    BadAddress,
    /// The first byte belongs to no protocol that is spoken here.
    UnknownProtocol,
    /// To a local address on which nothing listens any more.
    NoSocket,
    /// The kernel's send buffer or queue was full.
    SendBufferFull,
    /// The kernel refused the datagram: unreachable, forbidden.
    SendRefused,
    /// Longer than the path takes, and it must not be cut.
    TooLong,
    /// The ring to another shard was full.
    MeshFull,
    /// Not a datagram: something that control was to be told, which has fallen behind.
    EventsFull,
    /// DTLS on a path that is nobody's, and no ClientHello.
    DtlsUnknown,
    /// DTLS that was not understood or is not spoken, a handshake that failed, a message too long for a record.
    DtlsRefused,
    /// More handshakes than there are places for.
    DtlsBusy,
    /// Relayed data for a client that does not read its TCP connection fast enough.
    StreamBacklog,
    /// A connection was closed because its client reads not even answers.
    StreamStalled,
    /// A connection was closed because what came is neither STUN nor ChannelData, or too long.
    StreamMalformed,
    /// A connection was closed because what came is not TLS.
    StreamTls,
    /// A connection was closed because its client neither sent anything nor has an allocation.
    StreamIdle,
    /// A connection was refused because as many as may be are open.
    StreamsFull,
}

impl DropReason {
    pub const ALL: [Self; 18] = [
        Self::Oversized,
        Self::BadAddress,
        Self::UnknownProtocol,
        Self::NoSocket,
        Self::SendBufferFull,
        Self::SendRefused,
        Self::TooLong,
        Self::MeshFull,
        Self::EventsFull,
        Self::DtlsUnknown,
        Self::DtlsRefused,
        Self::DtlsBusy,
        Self::StreamBacklog,
        Self::StreamStalled,
        Self::StreamMalformed,
        Self::StreamTls,
        Self::StreamIdle,
        Self::StreamsFull,
    ];

    /// As in metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Oversized => "oversized",
            Self::BadAddress => "bad_address",
            Self::UnknownProtocol => "unknown_protocol",
            Self::NoSocket => "no_socket",
            Self::SendBufferFull => "send_buffer_full",
            Self::SendRefused => "send_refused",
            Self::TooLong => "too_long",
            Self::MeshFull => "mesh_full",
            Self::EventsFull => "events_full",
            Self::DtlsUnknown => "dtls_unknown",
            Self::DtlsRefused => "dtls_refused",
            Self::DtlsBusy => "dtls_busy",
            Self::StreamBacklog => "stream_backlog",
            Self::StreamStalled => "stream_stalled",
            Self::StreamMalformed => "stream_malformed",
            Self::StreamTls => "stream_tls",
            Self::StreamIdle => "stream_idle",
            Self::StreamsFull => "streams_full",
        }
    }
}

/// A histogram with fixed upper bounds (inclusive); the last bucket has none.
#[derive(Clone, Debug, PartialEq)]
pub struct Histogram<const N: usize> {
    pub bounds: [f64; N],
    /// Not cumulative; `counts[N]` is what lies above every bound.
    pub counts: [u64; N],
    pub above: u64,
    pub sum: f64,
}

impl<const N: usize> Histogram<N> {
    pub const fn new(bounds: [f64; N]) -> Self {
        Self { bounds, counts: [0; N], above: 0, sum: 0.0 }
    }

    /// Counts `times` observations of `value`.
    pub fn observe(&mut self, value: f64, times: u64) {
        self.sum += value * times as f64;
        match self.bounds.iter().position(|&bound| value <= bound) {
            Some(at) => self.counts[at] += times,
            None => self.above += times,
        }
    }

    pub fn count(&self) -> u64 {
        self.counts.iter().sum::<u64>() + self.above
    }

    /// Upper bound of the bucket in which the `quantile` (0 to 1) of all observations lies; infinite above the last.
    pub fn quantile(&self, quantile: f64) -> f64 {
        let wanted = (self.count() as f64 * quantile).ceil() as u64;
        let mut seen = 0;
        for (bound, count) in self.bounds.iter().zip(&self.counts) {
            seen += count;
            if seen >= wanted {
                return *bound;
            }
        }
        f64::INFINITY
    }
}

/// Datagrams of one train.
pub const TRAIN_LENGTH_BOUNDS: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
/// Seconds.
pub const FORWARD_LATENCY_BOUNDS: [f64; 12] =
    [0.000_05, 0.000_1, 0.000_2, 0.000_35, 0.000_5, 0.000_75, 0.001, 0.002, 0.005, 0.01, 0.05, 0.25];

/// Counters of one shard's engine since its start.
#[derive(Clone, Debug, PartialEq)]
pub struct Stats {
    /// Datagrams, those that the kernel joined counted one by one.
    pub packets_in: u64,
    pub bytes_in: u64,
    pub packets_out: u64,
    pub bytes_out: u64,
    /// Calls that received on listening sockets, and those that sent.
    pub receive_calls: u64,
    pub send_calls: u64,
    /// By [`DropReason`].
    pub drops: [u64; DropReason::ALL.len()],
    /// Datagrams that the kernel dropped because the receive buffers of our sockets were full.
    pub kernel_drops: u64,
    /// Datagrams per train: the last bucket's bound is the longest train there is.
    pub train_length: Histogram<7>,
    /// Trains that the network device refused and that left as single datagrams.
    pub trains_refused: u64,
    /// From the start of a turn that received datagrams to the kernel's acceptance of what left in it, in seconds, per datagram.
    pub forward_latency: Histogram<12>,
    /// Turns of the loop.
    pub turns: u64,
    /// Turns that began with a wait.
    pub waits: u64,
    /// Times this shard woke another.
    pub wakes_sent: u64,
    pub mesh_in: u64,
    pub mesh_out: u64,
    /// Time outside of waits.
    pub busy: Duration,
    /// 1 while the shard runs on another shard's thread.
    pub guest: u64,
    /// Relay sockets that are open.
    pub relay_sockets: u64,
    /// DTLS clients of TURN, those whose handshake goes on included.
    pub dtls_clients: u64,
    /// DTLS handshakes of TURN clients that were completed.
    pub dtls_handshakes: u64,
    /// Clients' TCP connections that are open.
    pub tcp_clients: u64,
    /// Clients' TLS connections that are open.
    pub tls_clients: u64,
    /// TCP connections with peers that are open or being opened (RFC 6062).
    pub peer_connections: u64,
    /// Clients' and peers' connections that are joined, in pairs.
    pub pipes: u64,
    /// Messages on clients' connections.
    pub stream_messages_in: u64,
    pub stream_messages_out: u64,
    /// Their bytes, without TLS.
    pub stream_bytes_in: u64,
    pub stream_bytes_out: u64,
    /// Calls that wrote to connections.
    pub stream_writes: u64,
    /// Bytes that went through pipes, both ways.
    pub pipe_bytes: u64,
    /// Times that a connection was not read for a while because its allocation may not send so fast.
    pub stream_pauses: u64,
}

impl Stats {
    pub fn new() -> Self {
        Self {
            packets_in: 0,
            bytes_in: 0,
            packets_out: 0,
            bytes_out: 0,
            receive_calls: 0,
            send_calls: 0,
            drops: [0; DropReason::ALL.len()],
            kernel_drops: 0,
            train_length: Histogram::new(TRAIN_LENGTH_BOUNDS),
            trains_refused: 0,
            forward_latency: Histogram::new(FORWARD_LATENCY_BOUNDS),
            turns: 0,
            waits: 0,
            wakes_sent: 0,
            mesh_in: 0,
            mesh_out: 0,
            busy: Duration::ZERO,
            guest: 0,
            relay_sockets: 0,
            dtls_clients: 0,
            dtls_handshakes: 0,
            tcp_clients: 0,
            tls_clients: 0,
            peer_connections: 0,
            pipes: 0,
            stream_messages_in: 0,
            stream_messages_out: 0,
            stream_bytes_in: 0,
            stream_bytes_out: 0,
            stream_writes: 0,
            pipe_bytes: 0,
            stream_pauses: 0,
        }
    }

    pub fn drop(&mut self, reason: DropReason, packets: u64) {
        self.drops[reason as usize] += packets;
    }
}

impl Default for Stats {
    fn default() -> Self {
        Self::new()
    }
}

/// One shard's counters, at most a second old.
#[derive(Clone, Debug)]
pub struct Snapshot {
    pub shard: ShardId,
    pub engine: Stats,
    pub sfu: pointsman_sfu::Stats,
    pub turn: pointsman_turn::Stats,
}

impl Snapshot {
    pub fn new(shard: ShardId) -> Self {
        Self { shard, engine: Stats::new(), sfu: Default::default(), turn: Default::default() }
    }
}

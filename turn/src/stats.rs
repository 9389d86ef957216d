//! Counters of one server, bumped without atomics; whoever owns the server copies them out.

use pointsman_wire::net::Protocol;

/// What clients may speak, in the order of [`Stats::allocations_by_protocol`].
pub const PROTOCOLS: [Protocol; 4] = [Protocol::Udp, Protocol::Tcp, Protocol::Tls, Protocol::Dtls];

/// Why a datagram went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[repr(usize)]
pub enum DropReason {
    /// The first byte is neither STUN's nor a channel's.
    NotTurn,
    MalformedStun,
    MalformedChannelData,
    BadFingerprint,
    /// A response or an indication that no server expects.
    UnexpectedClass,
    UnknownMethod,
    /// An indication with attributes that must be understood but are not.
    UnknownAttribute,
    /// A Send indication without exactly one peer address and data.
    BadSend,
    /// From a client without an allocation.
    NoAllocation,
    /// The allocation has no relayed address of the peer's family.
    WrongFamily,
    /// ChannelData on a channel that is not bound.
    NoChannel,
    NoPermission,
    /// The peer's address or port is not one that we relay to.
    DeniedPeer,
    /// From a peer, on a relay that is not (or no longer) ours.
    UnknownRelay,
    /// More than a datagram to the client can hold.
    TooLong,
    /// This source got all the unauthenticated answers it may have for now.
    RateLimited,
    /// This source has tried too many wrong names and passwords for now.
    Guessing,
    /// The table of requests that wait for a user's key is full.
    LookupsFull,
    /// The server answers Binding requests only.
    StunOnly,
    /// A Binding request where none are answered.
    NoStun,
    /// The same Allocate again while its socket is being opened.
    Pending,
    /// More than the allocation's bytes of this second.
    Bandwidth,
    /// The relay has no socket yet.
    NotOpen,
    /// From a peer, while the client is away with its ticket (RFC 8016).
    Parked,
    /// An ICMP error of a kind that clients are not told.
    OtherIcmp,
    /// An answer did not fit its buffer: our mistake.
    ReplyTooLong,
}

impl DropReason {
    pub const ALL: [Self; 26] = [
        Self::NotTurn,
        Self::MalformedStun,
        Self::MalformedChannelData,
        Self::BadFingerprint,
        Self::UnexpectedClass,
        Self::UnknownMethod,
        Self::UnknownAttribute,
        Self::BadSend,
        Self::NoAllocation,
        Self::WrongFamily,
        Self::NoChannel,
        Self::NoPermission,
        Self::DeniedPeer,
        Self::UnknownRelay,
        Self::TooLong,
        Self::RateLimited,
        Self::Guessing,
        Self::LookupsFull,
        Self::StunOnly,
        Self::NoStun,
        Self::Pending,
        Self::Bandwidth,
        Self::NotOpen,
        Self::Parked,
        Self::OtherIcmp,
        Self::ReplyTooLong,
    ];

    /// For metrics: snake case, never changes.
    pub const fn name(self) -> &'static str {
        match self {
            Self::NotTurn => "not_turn",
            Self::MalformedStun => "malformed_stun",
            Self::MalformedChannelData => "malformed_channel_data",
            Self::BadFingerprint => "bad_fingerprint",
            Self::UnexpectedClass => "unexpected_class",
            Self::UnknownMethod => "unknown_method",
            Self::UnknownAttribute => "unknown_attribute",
            Self::BadSend => "bad_send",
            Self::NoAllocation => "no_allocation",
            Self::WrongFamily => "wrong_family",
            Self::NoChannel => "no_channel",
            Self::NoPermission => "no_permission",
            Self::DeniedPeer => "denied_peer",
            Self::UnknownRelay => "unknown_relay",
            Self::TooLong => "too_long",
            Self::RateLimited => "rate_limited",
            Self::Guessing => "guessing",
            Self::LookupsFull => "lookups_full",
            Self::StunOnly => "stun_only",
            Self::NoStun => "no_stun",
            Self::Pending => "pending",
            Self::Bandwidth => "bandwidth",
            Self::NotOpen => "not_open",
            Self::Parked => "parked",
            Self::OtherIcmp => "other_icmp",
            Self::ReplyTooLong => "reply_too_long",
        }
    }
}

/// Every error code that the server answers with (RFC 8489 section 14.8, RFC 8656 section 19, RFC 6062 section 6.3, RFC 8016 section 5).
pub const ERROR_CODES: [u16; 17] = [300, 400, 401, 403, 405, 420, 437, 438, 440, 441, 442, 443, 446, 447, 486, 500, 508];

/// Everything that is counted. Totals since the start, but for the gauges at the top.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Gauge: allocations that exist, those included whose socket is being opened.
    pub allocations: u64,
    /// Gauge: the same by what their clients speak, indexed by [`Protocol`].
    pub allocations_by_protocol: [u64; PROTOCOLS.len()],
    /// Gauge: relayed transport addresses, with or without a socket.
    pub relays: u64,
    /// Gauge: ports reserved by allocations of this shard; one that another shard's client claimed counts until its time is over.
    pub reservations: u64,
    /// Gauge: connections with peers (RFC 6062), in every state.
    pub connections: u64,
    pub allocations_total: u64,
    pub allocations_refused_total: u64,
    pub allocations_expired_total: u64,
    pub connections_total: u64,
    pub reservations_total: u64,
    /// Allocations that moved to another 5-tuple (RFC 8016).
    pub moves_total: u64,
    /// Ports whose socket could not be opened although a client had been told of them.
    pub relays_failed_total: u64,
    /// Data indications that told of an ICMP error.
    pub icmp_to_clients_total: u64,
    /// STUN Binding requests answered with success.
    pub bindings_total: u64,
    /// STUN Binding requests, answered or not.
    pub binding_requests_total: u64,
    /// STUN Binding requests answered with an error.
    pub binding_errors_total: u64,
    /// Error answers, indexed as [`ERROR_CODES`].
    pub errors: [u64; ERROR_CODES.len()],
    /// Requests refused for want of valid credentials: 401 and 438.
    pub challenges_total: u64,
    /// Requests whose integrity did not fit: a wrong password or an unknown user.
    pub bad_credentials_total: u64,
    /// Keys that were asked for.
    pub lookups_total: u64,
    /// Gauge: keys that are being asked for.
    pub lookups_waiting: u64,
    /// Requests refused because their user could not be looked up: 500.
    pub users_unavailable_total: u64,
    pub packets_to_peers_total: u64,
    pub bytes_to_peers_total: u64,
    pub packets_to_clients_total: u64,
    pub bytes_to_clients_total: u64,
    /// Indexed by [`DropReason`].
    pub drops: [u64; DropReason::ALL.len()],
}

impl Stats {
    pub fn dropped(&self, reason: DropReason) -> u64 {
        self.drops.get(reason as usize).copied().unwrap_or(0)
    }

    /// Error answers with this code.
    pub fn answered_with(&self, code: u16) -> u64 {
        ERROR_CODES.iter().zip(self.errors).find(|(known, _)| **known == code).map_or(0, |(_, count)| count)
    }

    pub(crate) fn count_error(&mut self, code: u16) {
        if let Some((_, counter)) = ERROR_CODES.iter().zip(&mut self.errors).find(|(known, _)| **known == code) {
            *counter += 1;
        }
    }

    /// The gauge of allocations whose clients speak `protocol`.
    pub(crate) fn of_protocol(&mut self, protocol: Protocol) -> &mut u64 {
        let [udp, tcp, tls, dtls] = &mut self.allocations_by_protocol;
        match protocol {
            // A zero hop is a participant's path, and no client of TURN.
            Protocol::Udp | Protocol::Relay(_) => udp,
            Protocol::Tcp => tcp,
            Protocol::Tls => tls,
            Protocol::Dtls => dtls,
        }
    }

    pub(crate) fn count_drop(&mut self, reason: DropReason) {
        if let Some(counter) = self.drops.get_mut(reason as usize) {
            *counter += 1;
        }
    }
}

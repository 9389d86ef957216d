//! Counters of one shard's [`Sfu`](crate::Sfu): plain numbers, copied out once a second by the engine.

/// Why a packet or message went no further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DropReason {
    /// The first byte belongs to no protocol of RFC 7983.
    UnknownProtocol,
    /// Not STUN on a path that passed no connectivity check.
    UnknownPath,
    /// A connectivity check for a ufrag that nobody has.
    UnknownUfrag,
    /// A STUN message that is malformed, not a Binding request, or fails its integrity check.
    StunRefused,
    /// DTLS that the handshake refused.
    DtlsRefused,
    /// Application data over DTLS: nothing here takes it yet.
    DtlsApplicationData,
    /// DTLS for which this turn and the waiting list have no room.
    DtlsBusy,
    /// RTP or RTCP before DTLS gave the keys.
    NotConnected,
    /// Not RTP or RTCP, or cut short.
    Malformed,
    /// The SRTP or SRTCP tag does not match.
    SrtpUnauthenticated,
    /// A packet that came before, or is older than the replay window.
    SrtpReplayed,
    /// More streams than SRTP keeps state for.
    SrtpStreamsMax,
    /// SRTP could not seal: the key's packets are used up, or the packet does not fit.
    SrtpSealFailed,
    /// No m-line for this SSRC, mid, rid or payload type.
    UnknownStream,
    /// The participant's table of learnt streams is full.
    StreamsMax,
    /// A payload type that the m-line does not have.
    UnknownPayloadType,
    /// The payload descriptor contradicts itself.
    PayloadMalformed,
    /// A sequence number that was seen before (often a retransmission that came twice).
    Duplicate,
    /// Too far behind or ahead of its stream.
    OutOfRange,
    /// The server muted the publication.
    Muted,
    /// The subscriber has no payload type for this codec.
    NoCodec,
    /// Every slot of the packet pool is held.
    PoolFull,
    /// The send arena of this turn is full.
    EgressFull,
    /// The ring to another shard is full.
    MeshFull,
    /// A mesh message about a publication or participant that is not known here.
    MeshUnknown,
    /// A stray for a participant whose shard is not known.
    StrayUnknown,
    /// More participants than the shard may know.
    ParticipantsMax,
    /// More publications than the shard or the participant may have.
    PublicationsMax,
    /// More downtracks than the participant may have.
    DowntracksMax,
    /// More paths than the shard remembers.
    PathsMax,
    /// More rooms than the shard listens to.
    RoomsMax,
    /// Sound that is not sent on since others are louder.
    NotSpeaking,
    /// More events than control has taken.
    EventsMax,
    /// A packet asked for again that is no longer kept.
    NotCached,
    /// A packet asked for again within a round trip of having been sent.
    ResentJustNow,
    /// More packets asked for again than one report may, or than the way has room for.
    ResentMax,
    /// SCTP or a data channel's message that breaks the rules.
    DataMalformed,
    /// Data on a stream numbered too high, or too far ahead of what is missing.
    DataStreamsMax,
    /// More of data channels than one turn takes, or than may wait to be given out.
    DataBusy,
    /// A lossy message of a participant that sends too fast.
    DataRate,
    /// A message for a participant that has no channel for it.
    DataNoChannel,
    /// A message longer than the receiver takes.
    DataTooLarge,
    /// A reliable message for a receiver that has not taken what came before.
    DataBacklog,
    /// The same of a lossy message.
    DataLossyBacklog,
}

impl DropReason {
    /// Every reason, in the order of the counters.
    pub const ALL: [Self; 44] = [
        Self::UnknownProtocol,
        Self::UnknownPath,
        Self::UnknownUfrag,
        Self::StunRefused,
        Self::DtlsRefused,
        Self::DtlsApplicationData,
        Self::DtlsBusy,
        Self::NotConnected,
        Self::Malformed,
        Self::SrtpUnauthenticated,
        Self::SrtpReplayed,
        Self::SrtpStreamsMax,
        Self::SrtpSealFailed,
        Self::UnknownStream,
        Self::StreamsMax,
        Self::UnknownPayloadType,
        Self::PayloadMalformed,
        Self::Duplicate,
        Self::OutOfRange,
        Self::Muted,
        Self::NoCodec,
        Self::PoolFull,
        Self::EgressFull,
        Self::MeshFull,
        Self::MeshUnknown,
        Self::StrayUnknown,
        Self::ParticipantsMax,
        Self::PublicationsMax,
        Self::DowntracksMax,
        Self::PathsMax,
        Self::RoomsMax,
        Self::NotSpeaking,
        Self::EventsMax,
        Self::NotCached,
        Self::ResentJustNow,
        Self::ResentMax,
        Self::DataMalformed,
        Self::DataStreamsMax,
        Self::DataBusy,
        Self::DataRate,
        Self::DataNoChannel,
        Self::DataTooLarge,
        Self::DataBacklog,
        Self::DataLossyBacklog,
    ];

    /// As in the `reason` label of the metrics.
    pub const fn name(self) -> &'static str {
        match self {
            Self::UnknownProtocol => "unknown_protocol",
            Self::UnknownPath => "unknown_path",
            Self::UnknownUfrag => "unknown_ufrag",
            Self::StunRefused => "stun_refused",
            Self::DtlsRefused => "dtls_refused",
            Self::DtlsApplicationData => "dtls_application_data",
            Self::DtlsBusy => "dtls_busy",
            Self::NotConnected => "not_connected",
            Self::Malformed => "malformed",
            Self::SrtpUnauthenticated => "srtp_unauthenticated",
            Self::SrtpReplayed => "srtp_replayed",
            Self::SrtpStreamsMax => "srtp_streams_max",
            Self::SrtpSealFailed => "srtp_seal_failed",
            Self::UnknownStream => "unknown_stream",
            Self::StreamsMax => "streams_max",
            Self::UnknownPayloadType => "unknown_payload_type",
            Self::PayloadMalformed => "payload_malformed",
            Self::Duplicate => "duplicate",
            Self::OutOfRange => "out_of_range",
            Self::Muted => "muted",
            Self::NoCodec => "no_codec",
            Self::PoolFull => "pool_full",
            Self::EgressFull => "egress_full",
            Self::MeshFull => "mesh_full",
            Self::MeshUnknown => "mesh_unknown",
            Self::StrayUnknown => "stray_unknown",
            Self::ParticipantsMax => "participants_max",
            Self::PublicationsMax => "publications_max",
            Self::DowntracksMax => "downtracks_max",
            Self::PathsMax => "paths_max",
            Self::RoomsMax => "rooms_max",
            Self::NotSpeaking => "not_speaking",
            Self::EventsMax => "events_max",
            Self::NotCached => "not_cached",
            Self::ResentJustNow => "resent_just_now",
            Self::ResentMax => "resent_max",
            Self::DataMalformed => "data_malformed",
            Self::DataStreamsMax => "data_streams_max",
            Self::DataBusy => "data_busy",
            Self::DataRate => "data_rate",
            Self::DataNoChannel => "data_no_channel",
            Self::DataTooLarge => "data_too_large",
            Self::DataBacklog => "data_backlog",
            Self::DataLossyBacklog => "data_lossy_backlog",
        }
    }
}

/// How often each [`DropReason`] happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Drops([u64; DropReason::ALL.len()]);

impl Drops {
    pub fn count(&mut self, reason: DropReason) {
        self.0[reason as usize] += 1;
    }

    pub fn of(&self, reason: DropReason) -> u64 {
        self.0[reason as usize]
    }

    pub fn iter(&self) -> impl Iterator<Item = (DropReason, u64)> + '_ {
        DropReason::ALL.into_iter().zip(self.0)
    }

    pub fn total(&self) -> u64 {
        self.0.iter().sum()
    }
}

impl Default for Drops {
    fn default() -> Self {
        Self([0; DropReason::ALL.len()])
    }
}

/// Since the shard's start, except for the gauges, which say so.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// RTP packets that arrived and passed authentication.
    pub packets_in: u64,
    /// Their bytes as received.
    pub bytes_in: u64,
    /// RTP packets sent to subscribers, retransmissions among them.
    pub packets_out: u64,
    /// Their bytes as sent.
    pub bytes_out: u64,
    /// RTP packets forwarded for the first time: one for each subscriber of a packet.
    pub forwarded: u64,
    /// Packets that another shard's publications sent here.
    pub mesh_packets_in: u64,
    /// Packets handed to other shards, one for each shard.
    pub mesh_packets_out: u64,
    /// Datagrams of other shards' participants that were handed on.
    pub strays: u64,
    /// RTCP datagrams that arrived and passed authentication.
    pub rtcp_in: u64,
    /// RTCP datagrams sent.
    pub rtcp_out: u64,
    /// Packets that subscribers asked for again.
    pub nacks_in: u64,
    /// Packets that we asked publishers for again.
    pub nacks_out: u64,
    /// Keyframe requests (PLI and FIR) of subscribers.
    pub keyframe_requests_in: u64,
    /// Keyframe requests to publishers: what is left after merging.
    pub keyframe_requests_out: u64,
    /// Packets sent again to subscribers.
    pub retransmitted: u64,
    /// Packets that publishers sent again over RTX.
    pub rtx_in: u64,
    /// Bytes of padding added so that packets leave as trains.
    pub padding_bytes: u64,
    /// RTP packets sent only to find out whether more gets through.
    pub probe_packets: u64,
    /// Times that a downtrack changed its spatial layer.
    pub layer_switches: u64,
    /// Packets sent from the cache of the last pictures, so that a subscriber need not wait for a keyframe.
    pub replayed: u64,
    /// Packets that left after they came, lest they fill a queue.
    pub paced: u64,
    /// Messages that came over data channels.
    pub data_in: u64,
    /// Messages put on data channels, one for each receiver.
    pub data_out: u64,
    /// Their bytes.
    pub data_bytes_in: u64,
    pub data_bytes_out: u64,
    /// DTLS handshakes completed.
    pub connected: u64,
    /// Gauge: participants that live here.
    pub participants: u64,
    /// Gauge: participants that are expected but live nowhere yet.
    pub expected: u64,
    /// Gauge: publications of participants that live here.
    pub publications: u64,
    /// Gauge: downtracks with a source of participants that live here.
    pub subscriptions: u64,
    /// Drops by reason.
    pub drops: Drops,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_counts_for_itself() {
        let mut drops = Drops::default();
        for reason in DropReason::ALL {
            drops.count(reason);
        }
        assert!(drops.iter().all(|(_, count)| count == 1), "two reasons share a counter");
        assert_eq!(drops.total(), DropReason::ALL.len() as u64);
        let names: std::collections::BTreeSet<_> = DropReason::ALL.iter().map(|r| r.name()).collect();
        assert_eq!(names.len(), DropReason::ALL.len());
    }
}

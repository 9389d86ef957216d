//! The limits and intervals of one shard's [`Sfu`](crate::Sfu).

use std::time::Duration;

use crate::bandwidth::BandwidthConfig;
use crate::budget::BudgetConfig;
use crate::feedback::nack::NackConfig;
use crate::feedback::twcc::TwccConfig;
use crate::redundancy::RedundancyConfig;
use crate::speakers::SpeakersConfig;
use crate::transport::TransportConfig;

/// Every table of a shard has its limit here; reaching one is a named drop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Participants that this shard knows, its own and those it only expects. A participant that waits costs about 1 KiB.
    pub participants_max: usize,
    /// m-lines on which one participant sends. A camera, a microphone, a screen and its sound are four.
    pub publications_per_participant_max: usize,
    /// m-lines on which one participant receives. A gallery of 100 with sound is 200.
    pub downtracks_per_participant_max: usize,
    /// Publications that this shard knows: its own, and others' that its participants receive.
    pub publications_max: usize,
    /// Other paths' owners that this shard remembers, so that strays go straight on.
    pub paths_max: usize,
    /// Streams of one participant that the SDP did not name and that were learnt from mid and rid (three layers with RTX are six).
    pub streams_per_participant_max: usize,
    /// Packets that this shard holds decrypted, 1.5 KiB each: caches, packets on their way to other shards, strays.
    pub pool_slots_max: usize,
    /// Packets of a video layer that are kept for retransmission. 1,024 are 7 s at 1.5 Mbit/s.
    pub cache_video_packets: usize,
    /// Packets of an audio stream that are kept for retransmission: 2.5 s.
    pub cache_audio_packets: usize,
    /// A kept packet older than this is not worth sending again: the receiver has shown the frame or frozen.
    pub cache_age_max: Duration,
    /// DTLS datagrams answered in one turn. A handshake costs 0.1 ms, so the rest waits: a burst of joins delays joins, never media.
    pub handshakes_per_turn_max: usize,
    /// DTLS datagrams that wait for a later turn. Clients send theirs again, so a dropped one costs a moment.
    pub handshakes_waiting_max: usize,
    /// Packets gathered before they are forwarded without waiting for the end of the batch.
    pub gathered_max: usize,
    /// Packets sent again to one subscriber in one turn of its feedback: a burst of NACKs must not starve the rest.
    pub resent_per_report_max: usize,
    /// A layer that was silent for so long is not active: its subscribers fall back to the next lower one.
    pub layer_silence_max: Duration,
    /// A keyframe that came no longer ago is sent from the cache, with everything since, to whoever needs one; 0 never.
    pub replay_age_max: Duration,
    /// More packets than this are not sent from the cache: a new keyframe costs less.
    pub replay_packets_max: usize,
    /// A publisher is told that a layer is not wanted after nobody has wanted it for so long.
    pub layer_unwanted_delay: Duration,
    /// Between two looks at which layers are active.
    pub layer_look_interval: Duration,
    /// Between two sender reports of one downtrack. Browsers need two for lip sync, so the first comes early.
    pub sender_report_interval: Duration,
    /// While a downtrack waits for a keyframe, one is asked for this often.
    pub keyframe_retry_interval: Duration,
    /// Between two keyframe requests for one layer, whoever wants them: a keyframe costs as much as many pictures.
    pub keyframe_interval_min: Duration,
    /// How often a participant's reports are looked at; each downtrack has its own interval.
    pub report_look_interval: Duration,
    /// Between two receiver reports to one publisher.
    pub receiver_report_interval: Duration,
    /// A packet is not sent again within one round trip; these are the least and the most that counts as one.
    pub resend_quiet_min: Duration,
    pub resend_quiet_max: Duration,
    /// Events that wait for control; it takes them once a turn.
    pub events_max: usize,
    /// RTP padding added to make neighbours equal in size, in bytes (at most 255). Browsers cut a frame into packets whose sizes
    /// differ by one byte; equal ones leave as one train.
    pub padding_max: usize,
    /// What is estimated about the way to each subscriber.
    pub bandwidth: BandwidthConfig,
    /// What is asked for again of publishers.
    pub nack: NackConfig,
    /// What publishers are told for their congestion control.
    pub twcc: TwccConfig,
    /// How each participant's bandwidth is shared among what it receives.
    pub budget: BudgetConfig,
    /// When sound is sent more than once.
    pub redundancy: RedundancyConfig,
    /// Who is heard, and who counts as speaking.
    pub speakers: SpeakersConfig,
    /// Of each participant's ICE, DTLS and SRTP.
    pub transport: TransportConfig,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            participants_max: 10_000,
            publications_per_participant_max: 16,
            downtracks_per_participant_max: 512,
            publications_max: 20_000,
            paths_max: 20_000,
            streams_per_participant_max: 64,
            pool_slots_max: 131_072,
            cache_video_packets: 1024,
            cache_audio_packets: 128,
            cache_age_max: Duration::from_secs(3),
            handshakes_per_turn_max: 8,
            handshakes_waiting_max: 1024,
            gathered_max: 4096,
            resent_per_report_max: 64,
            layer_silence_max: Duration::from_millis(1000),
            replay_age_max: Duration::from_millis(2000),
            replay_packets_max: 150,
            layer_unwanted_delay: Duration::from_millis(3000),
            layer_look_interval: Duration::from_millis(250),
            sender_report_interval: Duration::from_millis(1000),
            keyframe_retry_interval: Duration::from_millis(500),
            keyframe_interval_min: Duration::from_millis(400),
            report_look_interval: Duration::from_millis(250),
            receiver_report_interval: Duration::from_millis(1000),
            resend_quiet_min: Duration::from_millis(10),
            resend_quiet_max: Duration::from_millis(500),
            events_max: 65_536,
            padding_max: 16,
            bandwidth: BandwidthConfig::default(),
            nack: NackConfig::default(),
            twcc: TwccConfig::default(),
            budget: BudgetConfig::default(),
            redundancy: RedundancyConfig::default(),
            speakers: SpeakersConfig::default(),
            transport: TransportConfig::default(),
        }
    }
}

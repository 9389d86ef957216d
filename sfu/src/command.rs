//! What control tells a shard, and what a shard tells control. Plain values, without sockets or closures: the same ones
//! could be written down and handed to another process.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use pointsman_wire::net::{FiveTuple, ShardId};

use crate::{ChannelsOpen, DataMessage, DataSpec, Delivery, Preferences, Quality};

/// Globally unique (drawn at random by control).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParticipantId(pub u64);
/// Globally unique (drawn at random by control).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicationId(pub u64);
/// Globally unique (drawn at random by control).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId(pub u64);

/// What control asks. Every command goes to every shard, in order; a shard acts on what concerns it.
#[derive(Clone, Debug)]
pub enum Command {
    /// The whole wanted state of a participant: makes it known, or changes what is different from what stood before.
    Participant(Box<ParticipantSpec>),
    /// Ends a participant, its publications and its subscriptions.
    Remove(ParticipantId),
    /// A message for participants' data channels. Who has none open gets nothing.
    Data(Delivery),
}

/// One participant's transport, what it sends us and what it is sent: the outcome of its SDP and of the room's rules.
#[derive(Clone, Debug)]
pub struct ParticipantSpec {
    pub id: ParticipantId,
    pub room: RoomId,
    /// Which shard has it; the same cell in the copy of every shard.
    pub claim: Claim,
    pub front: Front,
    /// Credentials that the client must use in its checks (RFC 8445 section 7.3). A change is an ICE restart.
    pub local: IceCredentials,
    /// The client's own; only its ufrag is looked at, since an ICE-lite agent sends no checks.
    pub remote: IceCredentials,
    /// Our role in the DTLS handshake.
    pub dtls_role: DtlsRole,
    /// The client's certificate must match one of these (RFC 8122 section 6.2).
    pub fingerprints: Vec<Fingerprint>,
    pub receivers: Vec<ReceiverSpec>,
    pub senders: Vec<SenderSpec>,
    /// The client wants data channels.
    pub data: Option<DataSpec>,
}

/// Decides once which shard has a participant: the first that sees an authenticated connectivity check takes it.
#[derive(Clone, Debug)]
pub struct Claim(Arc<AtomicU32>);

impl Claim {
    const FREE: u32 = u32::MAX;

    pub fn new() -> Self {
        Self(Arc::new(AtomicU32::new(Self::FREE)))
    }

    /// Takes the participant for `shard`. `Err` names the shard that was first.
    pub fn take(&self, shard: ShardId) -> Result<(), ShardId> {
        match self.0.compare_exchange(Self::FREE, u32::from(shard.0), Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => Ok(()),
            Err(owner) if owner == u32::from(shard.0) => Ok(()),
            Err(owner) => Err(ShardId(owner as u16)),
        }
    }

    pub fn owner(&self) -> Option<ShardId> {
        match self.0.load(Ordering::Acquire) {
            Self::FREE => None,
            owner => Some(ShardId(owner as u16)),
        }
    }
}

impl Default for Claim {
    fn default() -> Self {
        Self::new()
    }
}

/// How the client came in. Clients of [`Front::Http`] (WHIP and WHEP) may be other than browsers and have RSA certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    Call,
    Http,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceCredentials {
    pub ufrag: String,
    pub pwd: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtlsRole {
    /// We wait for the ClientHello (`a=setup:passive` in our description).
    Server,
    /// We send it (`a=setup:active`).
    Client,
}

/// SHA-256 of a DER certificate (other hashes are refused by the SDP reader).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fingerprint(pub [u8; 32]);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Audio,
    Video,
}

/// A codec as far as forwarding must tell one from another: two payload types with equal values may carry the same stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Codec {
    Opus,
    /// RFC 2198 around Opus.
    Red,
    Vp8,
    Vp9 {
        profile: u8,
    },
    /// `profile_iop` as in profile-level-id, the level left out.
    H264 {
        profile_idc: u8,
        profile_iop: u8,
        packetization_mode: u8,
    },
    Av1 {
        profile: u8,
    },
}

impl Codec {
    pub const fn kind(self) -> Kind {
        match self {
            Self::Opus | Self::Red => Kind::Audio,
            Self::Vp8 | Self::Vp9 { .. } | Self::H264 { .. } | Self::Av1 { .. } => Kind::Video,
        }
    }
}

/// One payload type of an m-line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CodecSpec {
    pub payload_type: u8,
    pub codec: Codec,
    /// In Hz.
    pub clock_rate: u32,
    /// Payload type of its RTX stream (RFC 4588), when negotiated.
    pub rtx: Option<u8>,
    pub nack: bool,
    pub pli: bool,
    pub fir: bool,
    pub transport_cc: bool,
    /// The client tells what arrived stream by stream (RFC 8888).
    pub ccfb: bool,
    pub remb: bool,
}

/// Negotiated header extension ids of an m-line, by kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ExtensionIds {
    pub mid: Option<u8>,
    pub rid: Option<u8>,
    pub repaired_rid: Option<u8>,
    pub audio_level: Option<u8>,
    pub transport_cc: Option<u8>,
    pub abs_send_time: Option<u8>,
    pub video_orientation: Option<u8>,
    pub playout_delay: Option<u8>,
    pub abs_capture_time: Option<u8>,
    pub dependency_descriptor: Option<u8>,
    pub video_layers_allocation: Option<u8>,
}

/// An m-line on which the client sends: it becomes a publication.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceiverSpec {
    pub publication: PublicationId,
    pub mid: String,
    pub kind: Kind,
    pub codecs: Vec<CodecSpec>,
    pub extensions: ExtensionIds,
    /// Streams that the SDP names; empty when mid and rid tell (then SSRCs are learnt from packets).
    pub ssrcs: Vec<SsrcSpec>,
    /// Simulcast layers from lowest to highest wanted order as offered; empty without simulcast.
    pub rids: Vec<String>,
    /// Server-enforced mute: packets stop here.
    pub muted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SsrcSpec {
    pub ssrc: u32,
    pub rtx: Option<u32>,
}

/// An m-line on which the client receives. Its SSRCs stay when the source changes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SenderSpec {
    pub mid: String,
    pub kind: Kind,
    pub ssrc: u32,
    pub rtx_ssrc: u32,
    pub cname: String,
    pub codecs: Vec<CodecSpec>,
    pub extensions: ExtensionIds,
    pub source: Option<Source>,
    /// What is wanted of the source.
    pub preferences: Preferences,
}

/// What an m-line toward a client carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    pub publication: PublicationId,
    /// Who sends it: tells where the publication lives.
    pub publisher: ParticipantId,
}

/// What happened, for control.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The shard has the participant now.
    Claimed { participant: ParticipantId, shard: ShardId },
    /// DTLS is done: media can flow. `path` is the nominated one.
    Connected { participant: ParticipantId, path: FiveTuple },
    /// The nominated path moved.
    PathChanged { participant: ParticipantId, path: FiveTuple },
    /// The first packet of a publication arrived.
    PublicationStarted { publication: PublicationId, codec: Codec },
    /// What a subscription gets, or why, has changed.
    Quality { participant: ParticipantId, publication: PublicationId, quality: Quality },
    /// The bandwidth estimated toward a participant has changed by a tenth or more.
    Estimate { participant: ParticipantId, estimate_bps: u64 },
    /// The highest spatial layer of a publication that any subscriber wants; `None`: nobody wants any. What is above it need not be sent.
    LayersWanted { publisher: ParticipantId, publication: PublicationId, spatial_max: Option<u8> },
    /// Who speaks in a room, the loudest first; the first is the dominant speaker.
    Speakers { room: RoomId, speakers: Vec<ParticipantId> },
    /// Which kinds of data channel a participant has open.
    DataChannels { participant: ParticipantId, open: ChannelsOpen },
    /// A participant's message.
    Data { participant: ParticipantId, message: DataMessage },
    /// So many reliable messages to a participant were lost, since it did not take what came before.
    DataLost { participant: ParticipantId, messages: u32 },
    /// The transport is gone. Control answers with `Command::Remove`.
    Closed { participant: ParticipantId, reason: CloseReason },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// No authenticated check within the time allowed after the participant became known.
    NeverConnected,
    /// Consent ran out (RFC 7675): no authenticated check on any path for too long.
    ConsentExpired,
    /// The DTLS handshake failed or ran out of time.
    DtlsFailed,
    /// The certificate does not match the fingerprint of the SDP.
    FingerprintMismatch,
    /// The client closed (DTLS close_notify).
    ClosedByPeer,
}

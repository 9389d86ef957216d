//! What the rules of a room need of the media side. Implemented by the binary; the calls change state and queue commands,
//! they never wait for a network, a disk or another thread's work.

use std::fmt;

/// Globally unique, drawn at random when a client joins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ParticipantId(pub u64);
/// Globally unique, drawn by the media side when an m-line starts to send.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicationId(pub u64);
/// Globally unique, drawn at random when a room is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct RoomId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    Audio,
    Video,
}

/// How a client came in: through the WebSocket, or through WHIP or WHEP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front {
    Call,
    Http,
}

/// What an m-line toward a client should carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Source {
    pub publication: PublicationId,
    pub publisher: ParticipantId,
    pub kind: Kind,
}

/// What a client wants of one subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preferences {
    /// Size at which it is shown, in physical pixels; 0: not said.
    pub width: u16,
    pub height: u16,
    /// Off the screen nothing is sent (video only).
    pub visible: bool,
    /// Served before all that is not.
    pub pinned: bool,
    /// A shared screen goes before cameras.
    pub screen: bool,
    /// Among equals the greater is served first.
    pub priority: u8,
    /// Highest simulcast or spatial layer, and highest temporal layer, that are sent; `u8::MAX`: any.
    pub spatial_max: u8,
    pub temporal_max: u8,
}

impl Default for Preferences {
    fn default() -> Self {
        Self { width: 0, height: 0, visible: true, pinned: false, screen: false, priority: 0, spatial_max: u8::MAX, temporal_max: u8::MAX }
    }
}

/// What a subscription gets, and why it is no more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quality {
    /// Layers on the wire as (spatial, temporal); `None`: nothing.
    pub current: Option<(u8, u8)>,
    /// What it is meant to get.
    pub target: Option<(u8, u8)>,
    /// What the target takes, in bits per second.
    pub bitrate_bps: u32,
    /// Why it gets no more, as a word of the protocol: `best`, `estimate`, …
    pub reason: &'static str,
}

/// A message of an application's own, as it goes over a data channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataMessage {
    /// On a channel that loses nothing.
    pub reliable: bool,
    /// UTF-8; otherwise bytes.
    pub text: bool,
    pub bytes: Vec<u8>,
}

/// Which kinds of data channel a participant has open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct DataChannels {
    pub reliable: bool,
    pub lossy: bool,
}

pub trait Media: Send + Sync + 'static {
    /// Makes a participant known to the media side. `may_publish` and `may_subscribe` bound what its offers are granted.
    fn open(
        &self,
        participant: ParticipantId,
        room: RoomId,
        front: Front,
        may_publish: bool,
        may_subscribe: bool,
    ) -> Result<(), MediaError>;
    /// Takes a client's SDP offer (the first or a later one) and answers it.
    fn offer(&self, participant: ParticipantId, offer: &str) -> Result<Answer, MediaError>;
    /// A candidate that the client trickled (`candidate:…` as in RFC 8839, empty = end of candidates). We are ICE-lite and send no
    /// checks, so it is only read for errors.
    fn candidate(&self, participant: ParticipantId, candidate: &str) -> Result<(), MediaError>;
    /// Takes a fragment of `application/trickle-ice-sdpfrag`: candidates, or new credentials, with which ICE starts anew.
    fn trickle(&self, participant: ParticipantId, fragment: &str) -> Result<Trickled, MediaError>;
    /// Offers to a client whose own offer is none that we could answer: m-lines for what it is subscribed to, and at least so many.
    fn counter_offer(&self, participant: ParticipantId, at_least: Waiting) -> Result<String, MediaError>;
    /// Takes the answer to that offer. The outcome's SDP is empty.
    fn answer(&self, participant: ParticipantId, answer: &str) -> Result<Answer, MediaError>;
    /// Wants `source` for the participant. It goes to a free m-line of its kind, or waits for one (see [`Placement::Waiting`]). Asked
    /// again, it says where the subscription is now.
    fn subscribe(&self, participant: ParticipantId, source: Source) -> Result<Placement, MediaError>;
    /// Wants it no longer. Its m-line goes to the subscription of its kind that has waited longest.
    fn unsubscribe(&self, participant: ParticipantId, publication: PublicationId);
    /// What is wanted of a subscription from now on. Nothing happens when there is none.
    fn prefer(&self, participant: ParticipantId, publication: PublicationId, preferences: Preferences);
    /// Server-enforced mute: the publication's packets stop at the server.
    fn set_muted(&self, publisher: ParticipantId, publication: PublicationId, muted: bool);
    /// Sends a message over the data channels of participants that have them open. Busy: nobody gets it.
    fn send_data(&self, to: &[ParticipantId], message: DataMessage) -> Result<(), MediaError>;
    /// What its later offers are granted. What it sends and receives already goes on: see `set_muted` and `unsubscribe`.
    fn grant(&self, participant: ParticipantId, may_publish: bool, may_subscribe: bool);
    /// The participant is in another room from now on and wants `sources` of it, and nothing else. Where they went, in the same order.
    fn move_to(&self, participant: ParticipantId, room: RoomId, sources: &[Source]) -> Result<Vec<Placement>, MediaError>;
    /// Ends the participant's transport and everything it sent and received.
    fn close(&self, participant: ParticipantId);
    /// TURN and STUN servers with short-lived credentials for this identity.
    fn ice_servers(&self, identity: &str) -> Vec<IceServer>;
}

/// What a fragment did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Trickled {
    /// Nothing more than name candidates.
    Candidates,
    /// ICE started anew; the fragment is for the client.
    Restarted { fragment: String },
}

/// The outcome of an offer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub sdp: String,
    /// Every m-line on which the client now sends. One that was there before keeps its id; one that is missing has ended.
    pub published: Vec<Published>,
    /// Every subscription that has an m-line now.
    pub placed: Vec<Placed>,
    pub waiting: Waiting,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Published {
    pub publication: PublicationId,
    pub mid: String,
    pub kind: Kind,
    /// Preferred codec as in SDP, for display: "VP8".
    pub codec: String,
    pub simulcast: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    pub publication: PublicationId,
    pub mid: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// On the m-line with this mid; packets flow without a new offer.
    Placed { mid: String },
    /// The client has no free m-line of this kind: it must offer one more.
    Waiting(Waiting),
}

/// Receiving m-lines that the client should add to its next offer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    pub audio: u16,
    pub video: u16,
}

/// As in `RTCIceServer`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IceServer {
    pub urls: Vec<String>,
    pub username: String,
    pub credential: String,
}

/// What the media side reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaEvent {
    Connected {
        participant: ParticipantId,
    },
    PublicationStarted {
        publication: PublicationId,
    },
    /// What a subscription gets, or why, has changed.
    Quality {
        participant: ParticipantId,
        publication: PublicationId,
        quality: Quality,
    },
    /// The bandwidth estimated toward a participant, in bits per second.
    Estimate {
        participant: ParticipantId,
        estimate_bps: u64,
    },
    /// The highest spatial layer of a publication that anybody wants; `None`: nobody wants any. Its publisher need not send more.
    LayersWanted {
        publisher: ParticipantId,
        publication: PublicationId,
        spatial_max: Option<u8>,
    },
    /// Who speaks in a room, the loudest first.
    Speakers {
        room: RoomId,
        speakers: Vec<ParticipantId>,
    },
    /// Which kinds of data channel a participant has open now.
    DataChannels {
        participant: ParticipantId,
        open: DataChannels,
    },
    /// A message came over a participant's data channel.
    Data {
        participant: ParticipantId,
        message: DataMessage,
    },
    /// So many reliable messages to a participant were lost, since it did not take what came before.
    DataLost {
        participant: ParticipantId,
        messages: u32,
    },
    /// The transport ended by itself; the rules let the participant leave (or wait for its return).
    Closed {
        participant: ParticipantId,
        reason: &'static str,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaError {
    /// Not SDP, or SDP that breaks its own rules: the client's fault. Line from 1, when one line is at fault.
    Malformed {
        line: Option<usize>,
        reason: String,
    },
    /// Well-formed, but nothing that can be granted (no common codec, no ICE, no fingerprint, a bound exceeded).
    Unacceptable {
        reason: String,
    },
    UnknownParticipant,
    /// A bound of ours is reached; try again later.
    Busy,
}

impl fmt::Display for MediaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed { line: Some(line), reason } => write!(f, "line {line}: {reason}"),
            Self::Malformed { line: None, reason } | Self::Unacceptable { reason } => f.write_str(reason),
            Self::UnknownParticipant => f.write_str("no such participant"),
            Self::Busy => f.write_str("the server is at its limit, try again later"),
        }
    }
}

impl std::error::Error for MediaError {}

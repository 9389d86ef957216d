//! What clients say on the WebSocket and what they are told: subprotocol `pointsman.v1`, one JSON object a message. `PROTOCOL.md` tells
//! the same to client authors, with examples.
//!
//! A client sends *requests*, each with an `id` of its choice; each gets exactly one *reply* with that `id`: the one named at the variant,
//! or `error`. *Events* carry no `id`. Ids of participants and publications are text: JavaScript's numbers cannot hold them.

use serde::{Deserialize, Serialize};

use crate::media::{IceServer, Kind, ParticipantId, PublicationId, Quality};
use crate::quality::Report;

mod read;
#[cfg(test)]
mod tests;

pub use read::{Bounds, Unreadable, parse};

/// The WebSocket subprotocol.
pub const SUBPROTOCOL: &str = "pointsman.v1";

/// What a client asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// First of all. Reply: `joined`.
    Join {
        /// Receive every publication of the room without asking (the default).
        auto_subscribe: bool,
        /// Refuse to join if the token is for another room than this one.
        room: Option<String>,
    },
    /// An SDP offer, the first or a later one. Reply: `answer`.
    Offer { sdp: String, tracks: Vec<Track> },
    /// A candidate found after the offer was sent; empty at the end of candidates. Optional: the server sends no checks. Reply: `ok`.
    Candidate { candidate: String },
    /// What the m-line `mid`, which sends already, carries from now on; also brings back what `unpublish` took away. Reply: `ok`.
    Publish { track: Track },
    /// Takes a publication away from everyone without a new offer. Reply: `ok`.
    Unpublish { publication: PublicationId },
    /// Wants a publication. Reply: `subscribed`.
    Subscribe { publication: PublicationId },
    /// Wants it no longer. Reply: `ok`.
    Unsubscribe { publication: PublicationId },
    /// What is wanted of a subscription from now on. Each says all of it: what is missing is as at the beginning. Reply: `ok`.
    Prefer { publication: PublicationId, wish: Wish },
    /// Own publications: tells the others. Those of others (grant `roomAdmin`): stops the packets at the server. Reply: `ok`.
    Mute { publication: PublicationId, muted: bool },
    /// What the client measured lately. Reply: `ok`.
    Stats(Box<Report>),
    /// Ends the participant and the connection. Reply: `ok`, then `closed`.
    Leave,
    /// Reply: `pong`.
    Ping,
}

/// What a client says of how it shows a subscription.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Wish {
    /// Size at which it is shown, in physical pixels; 0: not said.
    pub width: u16,
    pub height: u16,
    /// Off the screen nothing is sent (video only).
    pub visible: bool,
    /// Served before all that is not.
    pub pinned: bool,
    /// Among equals the greater is served first.
    pub priority: u8,
    /// Highest spatial and temporal layer, from 0 to [`LAYER_MAX`]; `None`: any.
    pub spatial_max: Option<u8>,
    pub temporal_max: Option<u8>,
}

/// The highest number of a layer: RTP has room for three bits (RFC 9628 section 4.2).
pub const LAYER_MAX: u8 = 7;

/// What an m-line on which the client sends carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Track {
    pub mid: String,
    /// Missing: camera for video, microphone for audio.
    pub source: Option<TrackSource>,
    /// For display, may be empty.
    pub name: String,
    pub muted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum TrackSource {
    Camera,
    Microphone,
    Screen,
    ScreenAudio,
}

impl TrackSource {
    pub fn kind(self) -> Kind {
        match self {
            Self::Camera | Self::Screen => Kind::Video,
            Self::Microphone | Self::ScreenAudio => Kind::Audio,
        }
    }
}

/// What a client is told.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ServerMessage {
    /// Reply to `join`.
    Joined {
        id: u64,
        room: String,
        you: You,
        /// Everyone else, in order of joining.
        participants: Vec<ParticipantInfo>,
        ice_servers: Vec<IceServerInfo>,
        /// Receiving m-lines to put into the first offer.
        negotiate: Negotiate,
        /// The room's, if it has any.
        #[serde(skip_serializing_if = "String::is_empty")]
        metadata: String,
    },
    /// Reply to `offer`.
    Answer {
        id: u64,
        sdp: String,
        /// What the client sends now.
        published: Vec<OnMid>,
        /// What it receives now.
        placed: Vec<OnMid>,
        /// Receiving m-lines that are still missing: offer again if not zero.
        negotiate: Negotiate,
    },
    /// Reply to `subscribe`; `mid` is null while an m-line is missing (`negotiate` follows).
    Subscribed {
        id: u64,
        publication: String,
        mid: Option<String>,
    },
    /// Reply to `ping`.
    Pong {
        id: u64,
    },
    /// Reply to everything that has no other.
    Ok {
        id: u64,
    },
    /// Reply to a request that failed (`id` is null if it could not be read).
    Error {
        id: Option<u64>,
        code: ErrorCode,
        message: String,
        field: Option<String>,
    },
    /// Someone came in.
    ParticipantJoined {
        participant: ParticipantInfo,
    },
    /// Someone left; all its publications have ended.
    ParticipantLeft {
        participant: String,
        reason: LeaveReason,
    },
    /// Something about a participant, perhaps oneself, changed; its publications are told by their own events.
    ParticipantUpdated {
        participant: String,
        name: String,
        metadata: String,
        connected: bool,
    },
    /// The room got other metadata.
    RoomMetadata {
        metadata: String,
    },
    /// A text from another participant, or from the server when that is null.
    Data {
        participant: Option<String>,
        topic: String,
        text: String,
    },
    /// Someone else publishes something.
    PublicationStarted {
        participant: String,
        publication: PublicationInfo,
    },
    /// Its source, name or muting changed.
    PublicationUpdated {
        participant: String,
        publication: PublicationInfo,
    },
    PublicationEnded {
        participant: String,
        publication: String,
    },
    /// A publication, perhaps one's own, was muted or is heard and seen again.
    PublicationMuted {
        participant: String,
        publication: String,
        muted: bool,
        muted_by_server: bool,
    },
    /// A publication comes on this m-line from now on. No new offer is needed.
    Placed {
        publication: String,
        mid: String,
    },
    /// Offer again, with this many more receiving m-lines.
    Negotiate(Negotiate),
    /// The client's media path is up.
    Connected,
    /// What a subscription gets now, and why it is no more.
    Quality {
        publication: String,
        #[serde(flatten)]
        quality: QualityInfo,
    },
    /// The bandwidth estimated toward the client.
    Estimate {
        estimate_bps: u64,
    },
    /// Of a publication of one's own: the highest layer that anybody wants, or null. What is above it need not be sent.
    LayersWanted {
        publication: String,
        spatial_max: Option<u8>,
    },
    /// Who speaks, perhaps oneself, the dominant speaker first.
    Speakers {
        participants: Vec<String>,
    },
    /// The last message.
    Closed {
        reason: LeaveReason,
        message: String,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct You {
    pub id: String,
    pub identity: String,
    pub name: String,
    pub can_publish: bool,
    pub can_subscribe: bool,
    pub admin: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParticipantInfo {
    pub id: String,
    pub identity: String,
    pub name: String,
    pub metadata: String,
    /// Its media path is up.
    pub connected: bool,
    pub publications: Vec<PublicationInfo>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PublicationInfo {
    pub id: String,
    pub kind: &'static str,
    pub source: TrackSource,
    pub name: String,
    /// By its owner or by the server.
    pub muted: bool,
    /// Only a `roomAdmin` can lift this.
    pub muted_by_server: bool,
    pub codec: String,
    pub simulcast: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct QualityInfo {
    /// On the wire; null: nothing.
    pub current: Option<LayerInfo>,
    /// What it is meant to get.
    pub target: Option<LayerInfo>,
    /// What the target takes, in bits per second.
    pub bitrate_bps: u32,
    pub reason: &'static str,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct LayerInfo {
    /// From the smallest picture.
    pub spatial: u8,
    /// From the lowest frame rate.
    pub temporal: u8,
}

impl From<Quality> for QualityInfo {
    fn from(Quality { current, target, bitrate_bps, reason }: Quality) -> Self {
        let layer = |(spatial, temporal)| LayerInfo { spatial, temporal };
        Self { current: current.map(layer), target: target.map(layer), bitrate_bps, reason }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct OnMid {
    pub publication: String,
    pub mid: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Negotiate {
    pub audio: u16,
    pub video: u16,
}

/// As `RTCIceServer` wants it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IceServerInfo {
    pub urls: Vec<String>,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub username: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pub credential: String,
}

impl From<IceServer> for IceServerInfo {
    fn from(IceServer { urls, username, credential }: IceServer) -> Self {
        Self { urls, username, credential }
    }
}

/// Whose fault it is: the client's, except `full` and `busy`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not JSON, or `field` is missing or not what it should be.
    Malformed,
    /// No request has this `type`.
    UnknownType,
    /// Longer than the server takes.
    TooLarge,
    NotJoined,
    AlreadyJoined,
    /// The token does not grant it.
    Forbidden,
    /// No such publication or m-line.
    NotFound,
    /// The offer is not SDP.
    BadSdp,
    /// The offer holds nothing that can be accepted.
    UnacceptableSdp,
    /// The room or the server is full.
    Full,
    /// Try again later.
    Busy,
}

/// Why someone is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum LeaveReason {
    /// By its own wish.
    Left,
    /// The same identity came in again.
    Replaced,
    /// The WebSocket ended without `leave`.
    Disconnected,
    /// The media path ended.
    MediaClosed,
    /// It read too slowly.
    TooSlow,
    /// It sent too much.
    Flood,
    /// It did not join in time.
    JoinTimeout,
    /// A moderator or operator removed it.
    Removed,
    /// The room was ended.
    RoomEnded,
    /// The server closes.
    ServerClosing,
}

impl LeaveReason {
    /// A sentence for people.
    pub fn text(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Replaced => "the same identity joined from elsewhere",
            Self::Disconnected => "the connection was lost",
            Self::MediaClosed => "the media connection ended",
            Self::TooSlow => "the client read its messages too slowly",
            Self::Flood => "the client sent too many messages",
            Self::JoinTimeout => "the client did not join in time",
            Self::Removed => "removed from the room",
            Self::RoomEnded => "the room was ended",
            Self::ServerClosing => "the server is closing",
        }
    }

    /// As in messages.
    pub fn word(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Replaced => "replaced",
            Self::Disconnected => "disconnected",
            Self::MediaClosed => "media_closed",
            Self::TooSlow => "too_slow",
            Self::Flood => "flood",
            Self::JoinTimeout => "join_timeout",
            Self::Removed => "removed",
            Self::RoomEnded => "room_ended",
            Self::ServerClosing => "server_closing",
        }
    }
}

pub fn kind_text(kind: Kind) -> &'static str {
    match kind {
        Kind::Audio => "audio",
        Kind::Video => "video",
    }
}

pub fn participant_text(id: ParticipantId) -> String {
    format!("{:016x}", id.0)
}

pub fn publication_text(id: PublicationId) -> String {
    format!("{:016x}", id.0)
}

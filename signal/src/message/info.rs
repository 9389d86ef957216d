//! What messages hold: people, publications, rooms.

use serde::Serialize;

use super::{BreakoutsInfo, ChatInfo, PersonInfo, PollInfo, Role, SettingsInfo, TrackSource, WaiterInfo};
use crate::media::{IceServer, Kind, ParticipantId, PublicationId, Quality};

/// What one is told on coming in, and again on coming back.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Entered {
    pub room: String,
    /// The room's, as operators have set it.
    pub metadata: String,
    pub you: You,
    /// Everyone else, in order of joining.
    pub participants: Vec<ParticipantInfo>,
    pub ice_servers: Vec<IceServerInfo>,
    pub data: DataLimits,
    /// Receiving m-lines to put into the first offer.
    pub negotiate: Negotiate,
    pub resume: ResumeInfo,
    pub options: SettingsInfo,
    pub state: StateInfo,
}

/// Longest messages between participants, in bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct DataLimits {
    pub bytes_max: usize,
    pub lossy_bytes_max: usize,
}

/// How to come back after the WebSocket was lost.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ResumeInfo {
    pub token: String,
    pub grace_s: u32,
}

/// What the room remembers, as far as one may know it.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct StateInfo {
    /// The newest, the oldest of them first.
    pub chat: Vec<ChatInfo>,
    pub hands: Vec<PersonInfo>,
    pub polls: Vec<PollInfo>,
    /// Boards on which there is something.
    pub boards: Vec<String>,
    /// How many are in the audience.
    pub audience: usize,
    pub breakouts: Option<BreakoutsInfo>,
    /// The number of the breakout room that one is in; null: the main one.
    pub breakout: Option<usize>,
    /// To hosts: who waits to be let in.
    pub waiting: Vec<WaiterInfo>,
    /// To hosts: who is banned.
    pub bans: Vec<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct You {
    pub id: String,
    pub identity: String,
    pub name: String,
    pub role: Role,
    pub can_publish: bool,
    pub can_subscribe: bool,
    pub can_publish_data: bool,
    /// A host or co-host.
    pub admin: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParticipantInfo {
    pub id: String,
    pub identity: String,
    pub name: String,
    pub metadata: String,
    pub role: Role,
    /// Its media path is up.
    pub connected: bool,
    /// Its WebSocket is lost, and may come back.
    pub reconnecting: bool,
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
    /// Only a host can lift this.
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

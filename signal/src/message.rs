//! What clients say on the WebSocket and what they are told: subprotocol `pointsman.v1`, one JSON object a message. `PROTOCOL.md` tells
//! the same to client authors, with examples.
//!
//! A client sends *requests*, each with an `id` of its choice; each gets exactly one *reply* with that `id`: the one named at the variant,
//! or `error`. *Events* carry no `id`. Ids of participants and publications are text: JavaScript's numbers cannot hold them.

use serde::{Deserialize, Serialize};

use crate::media::{Kind, ParticipantId, PublicationId};
use crate::quality::Report;

mod breakouts;
mod calls;
mod info;
mod moderation;
mod read;
mod talk;
#[cfg(test)]
mod tests;

pub use breakouts::{Assign, BreakoutInfo, BreakoutRequest, BreakoutsInfo};
pub use calls::{CallInfo, CallRequest, CallState, PresentInfo, RoomChange, RoomPeopleInfo};
pub use info::*;
pub use moderation::{Mode, Moderation, PermissionWish, Role, SettingsInfo, SettingsWish, WaiterInfo};
pub use read::{Bounds, Unreadable, parse, parse_framed};
pub use talk::{BoardRequest, ChatInfo, PersonInfo, PollInfo, PollRequest, Stroke, StrokeInfo, Talk, Whose};

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
    Offer {
        sdp: String,
        tracks: Vec<Track>,
    },
    /// A candidate found after the offer was sent; empty at the end of candidates. Optional: the server sends no checks. Reply: `ok`.
    Candidate {
        candidate: String,
    },
    /// What the m-line `mid`, which sends already, carries from now on; also brings back what `unpublish` took away. Reply: `ok`.
    Publish {
        track: Track,
    },
    /// Takes a publication away from everyone without a new offer. Reply: `ok`.
    Unpublish {
        publication: PublicationId,
    },
    /// Wants a publication. Reply: `subscribed`.
    Subscribe {
        publication: PublicationId,
    },
    /// Wants it no longer. Reply: `ok`.
    Unsubscribe {
        publication: PublicationId,
    },
    /// What is wanted of a subscription from now on. Each says all of it: what is missing is as at the beginning. Reply: `ok`.
    Prefer {
        publication: PublicationId,
        wish: Wish,
    },
    /// Own publications: tells the others. Those of others (hosts): stops the packets at the server. Reply: `ok`.
    Mute {
        publication: PublicationId,
        muted: bool,
    },
    /// A message of the application's own for others. Reply: `ok`, when it is on its way.
    SendData {
        data: DataRequest,
    },
    /// What hosts do to others and to the room. Reply: `ok`.
    Moderate(Moderation),
    /// Chat, reactions, hands. Reply: `ok` where no other is named.
    Talk(Talk),
    Poll(PollRequest),
    Board(BoardRequest),
    /// Reply: `ok`.
    Breakout(BreakoutRequest),
    /// Who is in the audience, a page of it. Reply: `audience_list`.
    AudienceList {
        after: Option<ParticipantId>,
        limit: usize,
    },
    /// First of all, with a token that opens no room. Reply: `welcome`.
    Hello,
    /// Ringing, and who is where.
    Call(CallRequest),
    /// First of all, on a WebSocket that was opened with a resume token. Reply: `resumed`.
    Resume,
    /// What the client measured lately. Reply: `ok`.
    Stats(Box<Report>),
    /// Ends the participant and the connection. Reply: `ok`, then `closed`.
    Leave,
    /// Reply: `pong`.
    Ping,
}

/// A message of an application's own and whom it is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataRequest {
    /// Identities; none: everyone else in the room.
    pub to: Vec<String>,
    /// What it is about, for the application; may be empty.
    pub topic: String,
    /// It may not be lost; otherwise it may, and does not wait for what was.
    pub reliable: bool,
    pub content: DataContent,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataContent {
    Text(String),
    Bytes(Vec<u8>),
}

impl DataContent {
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Text(text) => text.as_bytes(),
            Self::Bytes(bytes) => bytes,
        }
    }

    pub const fn is_text(&self) -> bool {
        matches!(self, Self::Text(_))
    }
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
        #[serde(flatten)]
        entered: Box<Entered>,
    },
    /// Reply to `join`: held until a host decides. Nothing of the room is told.
    Waiting {
        id: u64,
        room: String,
        you: You,
    },
    /// Out of the waiting room into the room.
    Admitted {
        #[serde(flatten)]
        entered: Box<Entered>,
    },
    /// To hosts: who waits, the longest first.
    WaitingRoom {
        waiting: Vec<WaiterInfo>,
    },
    /// One is in another room of the same breakouts now. Everything received before has ended.
    Moved {
        breakout: Option<usize>,
        name: String,
        metadata: String,
        you: You,
        participants: Vec<ParticipantInfo>,
        placed: Vec<OnMid>,
        negotiate: Negotiate,
        options: SettingsInfo,
        state: Box<StateInfo>,
    },
    /// Null: they have closed.
    Breakouts {
        breakouts: Option<BreakoutsInfo>,
    },
    BreakoutsEnding {
        ends_in_ms: u64,
    },
    /// A host says something in all rooms.
    Broadcast {
        by: String,
        name: String,
        text: String,
    },
    /// How large the audience is.
    Audience {
        count: usize,
    },
    /// Reply to `audience_list`.
    AudienceList {
        id: u64,
        people: Vec<PersonInfo>,
        next: Option<String>,
    },
    /// Reply to `hello`.
    Welcome {
        id: u64,
        identity: String,
        name: String,
        calls: Vec<CallInfo>,
    },
    /// Reply to `invite`.
    Invited {
        id: u64,
        call: CallInfo,
    },
    /// Reply to `accept`.
    Accepted {
        id: u64,
        call: CallInfo,
    },
    /// Something about a call has changed.
    Call {
        call: CallInfo,
    },
    /// Reply to `rooms`.
    Rooms {
        id: u64,
        rooms: Vec<RoomPeopleInfo>,
    },
    RoomEvent {
        event: RoomChange,
        room: String,
        identity: Option<String>,
        name: Option<String>,
    },
    /// Reply to `resume`: all of the state, as nothing of what happened meanwhile is told.
    Resumed {
        id: u64,
        #[serde(flatten)]
        entered: Box<Entered>,
        /// The media path is up.
        connected: bool,
        published: Vec<OnMid>,
        placed: Vec<OnMid>,
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
        role: Role,
        connected: bool,
        /// Its WebSocket is lost, and may come back.
        reconnecting: bool,
    },
    /// One's own role or permissions changed.
    YouUpdated {
        you: You,
    },
    /// A host would like one to be heard or seen again. One decides oneself.
    UnmuteAsked {
        by: String,
        source: TrackSource,
    },
    /// The room's settings or metadata changed.
    RoomUpdated {
        options: SettingsInfo,
        metadata: String,
    },
    /// To hosts: who is banned.
    Bans {
        identities: Vec<String>,
    },
    /// Reply to `chat`.
    ChatSent {
        id: u64,
        message: ChatInfo,
    },
    Chat {
        message: ChatInfo,
    },
    /// Reply to `chat_history`, the oldest first.
    ChatHistory {
        id: u64,
        messages: Vec<ChatInfo>,
        /// There are older ones.
        more: bool,
    },
    /// What was said before the room came to life again.
    ChatRestored {
        messages: Vec<ChatInfo>,
    },
    ChatDeleted {
        message: String,
    },
    Reaction {
        participant: String,
        emoji: String,
    },
    /// Whose hands are raised, in the order in which they were.
    Hands {
        hands: Vec<PersonInfo>,
    },
    /// Reply to `create_poll`.
    PollCreated {
        id: u64,
        poll: String,
    },
    /// A poll is there, or something about it has changed.
    Poll {
        poll: PollInfo,
    },
    Stroke {
        participant: String,
        board: String,
        #[serde(flatten)]
        stroke: Stroke,
    },
    /// `stroke` is null when all of it is gone.
    Erased {
        board: String,
        participant: Option<String>,
        stroke: Option<String>,
    },
    /// Reply to `board`.
    Board {
        id: u64,
        board: String,
        strokes: Vec<StrokeInfo>,
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
    /// A message of another participant, or of the server (both are null then), that came over no data channel. Its content is in `text` or in
    /// `base64`.
    Data {
        participant: Option<String>,
        identity: Option<String>,
        topic: String,
        reliable: bool,
        #[serde(skip_serializing_if = "Option::is_none")]
        text: Option<String>,
        #[serde(skip_serializing_if = "Option::is_none")]
        base64: Option<String>,
    },
    /// A message that the client sent over a data channel went to nobody.
    DataRefused {
        code: ErrorCode,
        message: String,
        field: Option<String>,
        topic: String,
    },
    /// So many reliable messages to this client were lost, since it did not take what came before.
    DataLost {
        messages: u32,
    },
    /// The last message.
    Closed {
        reason: LeaveReason,
        message: String,
    },
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
    /// Neither token nor role grants it.
    Forbidden,
    /// No such publication, participant, m-line …
    NotFound,
    /// The identity was banned from the room.
    Banned,
    /// Nobody else comes into the room.
    Locked,
    /// Held in the waiting room.
    Waiting,
    /// It has ended already.
    Over,
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
    /// A host or operator removed it.
    Removed,
    /// A host removed it for good.
    Banned,
    /// It was not admitted.
    Denied,
    /// Into another room of the same breakouts; only told to others.
    Moved,
    /// From a webinar's stage into its audience; only told to others.
    Audience,
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
            Self::Banned => "banned from the room",
            Self::Denied => "not admitted to the room",
            Self::Moved => "moved to another room",
            Self::Audience => "went into the audience",
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
            Self::Banned => "banned",
            Self::Denied => "denied",
            Self::Moved => "moved",
            Self::Audience => "audience",
            Self::RoomEnded => "room_ended",
            Self::ServerClosing => "server_closing",
        }
    }
}

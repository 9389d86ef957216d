//! Chat, reactions, raised hands, polls, and drawing: what people tell each other beside sound and picture.

use serde::{Deserialize, Serialize};

use crate::media::ParticipantId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Talk {
    /// Reply: `chat_sent`.
    Chat {
        text: String,
        to: Option<ParticipantId>,
    },
    /// Reply: `chat_history`.
    ChatHistory {
        before: Option<u64>,
        limit: usize,
    },
    DeleteChat {
        message: u64,
    },
    React {
        emoji: String,
    },
    RaiseHand {
        raised: bool,
        whose: Whose,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    Mine,
    Of(ParticipantId),
    All,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PollRequest {
    /// Reply: `poll_created`.
    Create {
        question: String,
        options: Vec<String>,
        anonymous: bool,
        multiple: bool,
    },
    Vote {
        poll: u64,
        options: Vec<usize>,
    },
    Close {
        poll: u64,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BoardRequest {
    Draw {
        board: String,
        stroke: Stroke,
    },
    Erase {
        board: String,
        stroke: Option<String>,
        whose: Option<ParticipantId>,
    },
    /// Reply: `board`.
    Look {
        board: String,
    },
}

/// A line that is drawn, or a further part of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Stroke {
    /// Unique among those of who draws it.
    pub stroke: String,
    pub color: String,
    pub width: u16,
    /// x and y in turn.
    pub points: Vec<u16>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatInfo {
    pub id: String,
    pub from: String,
    pub identity: String,
    pub name: String,
    /// Null: to everyone.
    pub to: Option<String>,
    pub to_identity: Option<String>,
    pub text: String,
    pub at_unix_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PersonInfo {
    pub participant: String,
    pub identity: String,
    pub name: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PollInfo {
    pub id: String,
    pub by: String,
    pub question: String,
    pub options: Vec<String>,
    pub anonymous: bool,
    pub multiple: bool,
    pub closed: bool,
    pub voters: usize,
    /// Per option; null: not to be known yet.
    pub votes: Option<Vec<usize>>,
    /// Identities per option; null: not to be known.
    pub who: Option<Vec<Vec<String>>>,
    pub yours: Vec<usize>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct StrokeInfo {
    /// Who drew it.
    pub participant: String,
    #[serde(flatten)]
    pub stroke: Stroke,
}

//! Breakout rooms.

use serde::{Deserialize, Serialize};

use super::PersonInfo;
use crate::media::ParticipantId;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BreakoutRequest {
    Open {
        rooms: Vec<String>,
        assign: Assign,
        assignments: Vec<(ParticipantId, usize)>,
        duration_s: u32,
    },
    /// `None`: the main room.
    Move {
        participants: Vec<ParticipantId>,
        breakout: Option<usize>,
    },
    Broadcast {
        text: String,
    },
    SetTimer {
        duration_s: u32,
    },
    Close,
}

/// Who decides where people go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Assign {
    #[default]
    Manual,
    /// Everyone is spread.
    Even,
    /// Each for oneself.
    Choice,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BreakoutsInfo {
    pub rooms: Vec<BreakoutInfo>,
    pub assign: Assign,
    /// Null: no end.
    pub ends_in_ms: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct BreakoutInfo {
    pub breakout: usize,
    pub name: String,
    pub participants: Vec<PersonInfo>,
}

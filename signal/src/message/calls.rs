//! Ringing, and who is where.

use serde::Serialize;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CallRequest {
    Invite { identity: String, video: bool },
    Accept { call: u64 },
    Decline { call: u64 },
    Cancel { call: u64 },
    Rooms { watch: bool },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    Ringing,
    Connected,
    Ended,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CallInfo {
    pub id: String,
    pub room: String,
    pub from: String,
    pub from_name: String,
    pub to: String,
    pub video: bool,
    pub state: CallState,
    /// Why it ended.
    pub reason: Option<&'static str>,
    /// Whether somebody is connected as who is called.
    pub reachable: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoomPeopleInfo {
    pub room: String,
    pub people: Vec<PresentInfo>,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct PresentInfo {
    pub identity: String,
    pub name: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RoomChange {
    Created,
    Emptied,
    Ended,
    Entered,
    Left,
}

//! Roles, permissions, and what hosts do to others.

use serde::{Deserialize, Serialize};

use super::TrackSource;
use crate::media::ParticipantId;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Role {
    Host,
    /// May do what a host may, except to hosts.
    Cohost,
    Speaker,
    /// May not publish.
    Viewer,
}

impl Role {
    /// Whether it moderates.
    pub fn is_host(self) -> bool {
        matches!(self, Self::Host | Self::Cohost)
    }
}

/// A request of a host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Moderation {
    MuteAll {
        source: TrackSource,
    },
    AskUnmute {
        participant: ParticipantId,
        source: TrackSource,
    },
    SetRole {
        participant: ParticipantId,
        role: Role,
    },
    SetPermissions {
        participant: ParticipantId,
        wish: PermissionWish,
    },
    Remove {
        participant: ParticipantId,
        ban: bool,
    },
    Unban {
        identity: String,
    },
    SetRoom(SettingsWish),
    EndRoom,
    /// `None`: all who wait.
    Admit {
        whom: Option<ParticipantId>,
    },
    /// `None`: all who wait.
    Deny {
        whom: Option<ParticipantId>,
        ban: bool,
    },
}

/// What is missing stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PermissionWish {
    pub publish: Option<bool>,
    pub subscribe: Option<bool>,
    pub publish_data: Option<bool>,
}

/// What is missing stays.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct SettingsWish {
    pub locked: Option<bool>,
    pub waiting_room: Option<bool>,
    pub mode: Option<Mode>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    #[default]
    Call,
    /// Viewers are an audience, announced to nobody.
    Webinar,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct SettingsInfo {
    pub locked: bool,
    pub waiting_room: bool,
    pub mode: Mode,
}

/// Someone who is held in the waiting room.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct WaiterInfo {
    pub participant: String,
    pub identity: String,
    pub name: String,
    pub since_unix_ms: u64,
}

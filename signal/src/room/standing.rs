//! What someone may do in a room, and what the room lets people do.

use crate::message::{Mode, PermissionWish, Role, SettingsInfo, SettingsWish};
use crate::people::Ticket;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    pub role: Role,
    pub publish: bool,
    pub subscribe: bool,
    /// Chat, reactions, strokes, data.
    pub publish_data: bool,
}

impl Standing {
    /// As the token says. In a webinar the stage is for whose token names it.
    pub fn of(ticket: &Ticket, mode: Mode) -> Self {
        let &Ticket { may_publish, may_subscribe: subscribe, may_publish_data: publish_data, admin, on_stage, .. } = ticket;
        let publish = may_publish && (admin || on_stage || mode == Mode::Call);
        let role = if admin { Role::Host } else { stage(publish) };
        Self { role, publish, subscribe, publish_data }
    }

    /// Who gets a role gets what belongs to it.
    pub fn with_role(self, role: Role) -> Self {
        let on_stage = role != Role::Viewer;
        Self { role, publish: on_stage, publish_data: self.publish_data || role.is_host(), subscribe: self.subscribe || role.is_host() }
    }

    pub fn with_wish(self, wish: PermissionWish) -> Self {
        let PermissionWish { publish, subscribe, publish_data } = wish;
        let publish = publish.unwrap_or(self.publish);
        Self {
            role: if self.role.is_host() { self.role } else { stage(publish) },
            publish,
            subscribe: subscribe.unwrap_or(self.subscribe),
            publish_data: publish_data.unwrap_or(self.publish_data),
        }
    }
}

/// The role of who is no host.
fn stage(publish: bool) -> Role {
    if publish { Role::Speaker } else { Role::Viewer }
}

/// What hosts decide about a room.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Settings {
    /// Nobody but hosts comes in.
    pub locked: bool,
    /// Who is no host is held until a host admits it.
    pub waiting_room: bool,
    pub mode: Mode,
}

impl Settings {
    pub fn with_wish(self, wish: SettingsWish) -> Self {
        let SettingsWish { locked, waiting_room, mode } = wish;
        Self {
            locked: locked.unwrap_or(self.locked),
            waiting_room: waiting_room.unwrap_or(self.waiting_room),
            mode: mode.unwrap_or(self.mode),
        }
    }

    pub fn info(self) -> SettingsInfo {
        let Self { locked, waiting_room, mode } = self;
        SettingsInfo { locked, waiting_room, mode }
    }
}

//! Requests of hosts.

use serde_json::Value;

use super::{Fields, Wrong, source};
use crate::media::ParticipantId;
use crate::message::{Mode, Moderation, PermissionWish, Role, SettingsWish, TrackSource};
use crate::token::IDENTITY_BYTES_MAX;

/// `None`: no request has this type.
pub(super) fn request(kind: &str, fields: &Fields) -> Result<Option<Moderation>, Wrong> {
    let source_or_microphone = || Ok(source(fields)?.unwrap_or(TrackSource::Microphone));
    Ok(Some(match kind {
        "mute_all" => Moderation::MuteAll { source: source_or_microphone()? },
        "ask_unmute" => Moderation::AskUnmute { participant: fields.participant()?, source: source_or_microphone()? },
        "set_role" => Moderation::SetRole { participant: fields.participant()?, role: role(fields)? },
        "set_permissions" => {
            let publish = fields.bool_if_any("can_publish")?;
            let subscribe = fields.bool_if_any("can_subscribe")?;
            let publish_data = fields.bool_if_any("can_publish_data")?;
            Moderation::SetPermissions { participant: fields.participant()?, wish: PermissionWish { publish, subscribe, publish_data } }
        }
        "remove" => Moderation::Remove { participant: fields.participant()?, ban: fields.bool_or("ban", false)? },
        "unban" => Moderation::Unban { identity: fields.text("identity", IDENTITY_BYTES_MAX)? },
        "set_room" => Moderation::SetRoom(SettingsWish {
            locked: fields.bool_if_any("locked")?,
            waiting_room: fields.bool_if_any("waiting_room")?,
            mode: mode(fields)?,
        }),
        "end_room" => Moderation::EndRoom,
        "admit" => Moderation::Admit { whom: one_or_all(fields)? },
        "deny" => Moderation::Deny { whom: one_or_all(fields)?, ban: fields.bool_or("ban", false)? },
        _ => return Ok(None),
    }))
}

/// `None`: all.
fn one_or_all(fields: &Fields) -> Result<Option<ParticipantId>, Wrong> {
    if fields.bool_or("all", false)? { Ok(None) } else { fields.participant().map(Some) }
}

fn mode(fields: &Fields) -> Result<Option<Mode>, Wrong> {
    let mode = |value: &Value| match value.as_str() {
        Some("call") => Ok(Mode::Call),
        Some("webinar") => Ok(Mode::Webinar),
        _ => Err(fields.wrong("mode", "must be call or webinar")),
    };
    fields.optional("mode").map(mode).transpose()
}

fn role(fields: &Fields) -> Result<Role, Wrong> {
    Ok(match fields.optional("role").and_then(Value::as_str) {
        Some("host") => Role::Host,
        Some("cohost") => Role::Cohost,
        Some("speaker") => Role::Speaker,
        Some("viewer") => Role::Viewer,
        _ => return Err(fields.wrong("role", "must be host, cohost, speaker or viewer")),
    })
}

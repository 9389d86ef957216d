//! Requests that reach beyond the room one is in: breakouts, the audience, presence and ringing.

use serde_json::Value;

use super::talk::said;
use super::{Bounds, Fields, Wrong};
use crate::media::ParticipantId;
use crate::message::{Assign, BreakoutRequest, CallRequest, Request};
use crate::token::IDENTITY_BYTES_MAX;

const BREAKOUT_NAME_BYTES_MAX: usize = 64;
/// Of a page of the audience.
const AUDIENCE_PAGE_MAX: u16 = 100;
/// Seconds of a day: longer breakouts are a slip of the hand.
const DURATION_S_MAX: u32 = 86_400;

/// `None`: no request has this type.
pub(super) fn request(kind: &str, fields: &Fields, bounds: &Bounds) -> Result<Option<Request>, Wrong> {
    Ok(Some(match kind {
        "audience_list" => Request::AudienceList {
            after: fields.participant_if_any("after")?,
            limit: usize::from(fields.number("limit", AUDIENCE_PAGE_MAX)?.unwrap_or(AUDIENCE_PAGE_MAX)),
        },
        "hello" => Request::Hello,
        "invite" => Request::Call(CallRequest::Invite {
            identity: said(fields, "identity", IDENTITY_BYTES_MAX)?,
            video: fields.bool_or("video", true)?,
        }),
        "accept" => Request::Call(CallRequest::Accept { call: fields.id("call")? }),
        "decline" => Request::Call(CallRequest::Decline { call: fields.id("call")? }),
        "cancel" => Request::Call(CallRequest::Cancel { call: fields.id("call")? }),
        "rooms" => Request::Call(CallRequest::Rooms { watch: fields.bool_or("watch", false)? }),
        _ => return breakout(kind, fields, bounds).map(|request| request.map(Request::Breakout)),
    }))
}

fn breakout(kind: &str, fields: &Fields, bounds: &Bounds) -> Result<Option<BreakoutRequest>, Wrong> {
    Ok(Some(match kind {
        "open_breakouts" => BreakoutRequest::Open {
            rooms: names(fields, bounds)?,
            assign: assign(fields)?,
            assignments: fields
                .list("assignments", bounds.people_max)?
                .iter()
                .map(|fields| Ok((fields.participant()?, number(fields)?.ok_or_else(|| fields.wrong("breakout", "must be a number"))?)))
                .collect::<Result<_, _>>()?,
            duration_s: fields.number("duration_s", DURATION_S_MAX)?.unwrap_or(0),
        },
        "move" => BreakoutRequest::Move { participants: participants(fields, bounds)?, breakout: number(fields)? },
        "broadcast" => BreakoutRequest::Broadcast { text: said(fields, "text", bounds.chat_bytes_max)? },
        "set_breakout_timer" => BreakoutRequest::SetTimer {
            duration_s: fields.number("duration_s", DURATION_S_MAX)?.ok_or_else(|| fields.wrong("duration_s", "must be a whole number"))?,
        },
        "close_breakouts" => BreakoutRequest::Close,
        _ => return Ok(None),
    }))
}

fn names(fields: &Fields, bounds: &Bounds) -> Result<Vec<String>, Wrong> {
    let names = fields.values("rooms", bounds.breakouts_max)?;
    if names.is_empty() {
        return Err(fields.wrong("rooms", "must name at least one room"));
    }
    let is_name = |name: &&str| !name.trim().is_empty() && name.len() <= BREAKOUT_NAME_BYTES_MAX;
    let name = |(at, value): (usize, &Value)| {
        let wrong = || fields.wrong(&format!("rooms[{at}]"), format!("must be text of 1 to {BREAKOUT_NAME_BYTES_MAX} bytes"));
        value.as_str().filter(is_name).map(str::to_owned).ok_or_else(wrong)
    };
    names.iter().enumerate().map(name).collect()
}

fn assign(fields: &Fields) -> Result<Assign, Wrong> {
    Ok(match fields.optional("assign").map(|value| value.as_str().unwrap_or_default()) {
        None | Some("manual") => Assign::Manual,
        Some("even") => Assign::Even,
        Some("choice") => Assign::Choice,
        Some(_) => return Err(fields.wrong("assign", "must be manual, even or choice")),
    })
}

fn number(fields: &Fields) -> Result<Option<usize>, Wrong> {
    Ok(fields.number("breakout", u16::MAX)?.map(usize::from))
}

fn participants(fields: &Fields, bounds: &Bounds) -> Result<Vec<ParticipantId>, Wrong> {
    if fields.optional("participants").is_none() {
        return Ok(vec![fields.participant()?]);
    }
    let ids = fields.values("participants", bounds.people_max)?;
    let id = |(at, value): (usize, &Value)| {
        let id = value.as_str().filter(|text| text.len() <= 16).and_then(|text| u64::from_str_radix(text, 16).ok());
        id.map(ParticipantId).ok_or_else(|| fields.wrong(&format!("participants[{at}]"), "must be the id of a participant"))
    };
    ids.iter().enumerate().map(id).collect()
}

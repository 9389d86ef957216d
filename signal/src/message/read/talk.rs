//! Chat, reactions, hands, polls, boards.

use serde_json::Value;

use super::{Bounds, ErrorCode, Fields, Wrong};
use crate::message::{BoardRequest, PollRequest, Request, Stroke, Talk, Whose};

const EMOJI_BYTES_MAX: usize = 32;
/// Of a reply to `chat_history`.
const HISTORY_MAX: usize = 100;
const POLL_OPTIONS_MIN: usize = 2;
pub const POLL_OPTIONS_MAX: usize = 10;
const BOARD_BYTES_MAX: usize = 64;
const STROKE_BYTES_MAX: usize = 32;
/// Numbers of one `draw`: half as many points.
const POINTS_MAX: usize = 512;

/// `None`: no request has this type.
pub(super) fn request(kind: &str, fields: &Fields, bounds: &Bounds) -> Result<Option<Request>, Wrong> {
    let talk = match kind {
        "chat" => Talk::Chat { text: said(fields, "text", bounds.chat_bytes_max)?, to: fields.participant_if_any("to")? },
        "chat_history" => Talk::ChatHistory {
            before: fields.optional("before").map(|_| fields.id("before")).transpose()?,
            limit: usize::from(fields.number("limit", HISTORY_MAX as u16)?.unwrap_or(HISTORY_MAX as u16)),
        },
        "delete_chat" => Talk::DeleteChat { message: fields.id("message")? },
        "react" => Talk::React { emoji: emoji(fields)? },
        "raise_hand" => Talk::RaiseHand { raised: fields.bool("raised")?, whose: whose(fields)? },
        _ => return poll(kind, fields, bounds),
    };
    Ok(Some(Request::Talk(talk)))
}

fn poll(kind: &str, fields: &Fields, bounds: &Bounds) -> Result<Option<Request>, Wrong> {
    Ok(Some(Request::Poll(match kind {
        "create_poll" => PollRequest::Create {
            question: said(fields, "question", bounds.poll_text_bytes_max)?,
            options: options(fields, bounds)?,
            anonymous: fields.bool_or("anonymous", true)?,
            multiple: fields.bool_or("multiple", false)?,
        },
        "vote" => PollRequest::Vote { poll: fields.id("poll")?, options: choices(fields)? },
        "close_poll" => PollRequest::Close { poll: fields.id("poll")? },
        _ => return board(kind, fields),
    })))
}

fn board(kind: &str, fields: &Fields) -> Result<Option<Request>, Wrong> {
    let name = || said(fields, "board", BOARD_BYTES_MAX);
    let stroke = || said(fields, "stroke", STROKE_BYTES_MAX);
    Ok(Some(Request::Board(match kind {
        "draw" => {
            let width = fields.number("width", u16::MAX)?.unwrap_or(0);
            BoardRequest::Draw {
                board: name()?,
                stroke: Stroke { stroke: stroke()?, color: color(fields)?, width, points: points(fields)? },
            }
        }
        "erase" => BoardRequest::Erase {
            board: name()?,
            stroke: fields.optional("stroke").map(|_| stroke()).transpose()?,
            whose: fields.participant_if_any("participant")?,
        },
        "board" => BoardRequest::Look { board: name()? },
        _ => return Ok(None),
    })))
}

/// Text in which there is something.
pub(super) fn said(fields: &Fields, name: &str, bytes_max: usize) -> Result<String, Wrong> {
    let text = fields.text(name, bytes_max)?;
    if text.trim().is_empty() { Err(fields.wrong(name, "must not be empty")) } else { Ok(text) }
}

/// A picture in a few characters. Letters would make it a chat that nobody keeps.
fn emoji(fields: &Fields) -> Result<String, Wrong> {
    let emoji = said(fields, "emoji", EMOJI_BYTES_MAX)?;
    let is_part = |c: char| !c.is_alphabetic() && !c.is_control() && !c.is_whitespace();
    let is_picture = emoji.chars().all(is_part) && !emoji.is_ascii();
    if is_picture { Ok(emoji) } else { Err(fields.wrong("emoji", "must be an emoji")) }
}

fn whose(fields: &Fields) -> Result<Whose, Wrong> {
    if fields.bool_or("all", false)? {
        return Ok(Whose::All);
    }
    Ok(fields.participant_if_any("participant")?.map_or(Whose::Mine, Whose::Of))
}

fn options(fields: &Fields, bounds: &Bounds) -> Result<Vec<String>, Wrong> {
    let texts = fields.values("options", POLL_OPTIONS_MAX)?;
    if texts.len() < POLL_OPTIONS_MIN {
        return Err(fields.wrong("options", format!("must have {POLL_OPTIONS_MIN} to {POLL_OPTIONS_MAX} items")));
    }
    let option = |(at, value): (usize, &Value)| {
        let name = format!("options[{at}]");
        let text = value.as_str().filter(|text| !text.trim().is_empty()).ok_or_else(|| fields.wrong(&name, "must be text"))?;
        if text.len() > bounds.poll_text_bytes_max {
            let message = format!("is longer than {} bytes", bounds.poll_text_bytes_max);
            return Err(Wrong { code: ErrorCode::TooLarge, ..fields.wrong(&name, message) });
        }
        Ok(text.to_owned())
    };
    texts.iter().enumerate().map(option).collect()
}

fn choices(fields: &Fields) -> Result<Vec<usize>, Wrong> {
    let numbers = fields.values("options", POLL_OPTIONS_MAX)?;
    let choice = |(at, value): (usize, &Value)| {
        let number = value.as_u64().and_then(|number| usize::try_from(number).ok());
        number.ok_or_else(|| fields.wrong(&format!("options[{at}]"), "must be the number of an option"))
    };
    numbers.iter().enumerate().map(choice).collect()
}

fn color(fields: &Fields) -> Result<String, Wrong> {
    let color = fields.text("color", 7)?;
    let digits = color.strip_prefix('#').filter(|digits| digits.len() == 6 && digits.bytes().all(|b| b.is_ascii_hexdigit()));
    if digits.is_some() { Ok(color) } else { Err(fields.wrong("color", "must be #rrggbb")) }
}

fn points(fields: &Fields) -> Result<Vec<u16>, Wrong> {
    let numbers = fields.values("points", POINTS_MAX)?;
    if numbers.is_empty() || numbers.len() % 2 != 0 {
        return Err(fields.wrong("points", "must be an even number of coordinates"));
    }
    let coordinate = |value: &Value| value.as_u64().and_then(|number| u16::try_from(number).ok());
    numbers.iter().map(coordinate).collect::<Option<_>>().ok_or_else(|| fields.wrong("points", "must be whole numbers from 0 to 65535"))
}

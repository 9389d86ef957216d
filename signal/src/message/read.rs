//! Reads requests. Total: every text is a request or names the field that is wrong. Unknown fields are ignored, so that newer clients
//! can speak to older servers.

use std::fmt::Display;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::{DataContent, DataRequest, ErrorCode, LAYER_MAX, Request, Track, TrackSource, Wish};
use crate::media::{DataMessage, ParticipantId, PublicationId};
use crate::token::{IDENTITY_BYTES_MAX, ROOM_BYTES_MAX};

mod beyond;
mod moderation;
mod talk;

mod stats;

/// How long things may be, in bytes (`tracks_max`: items).
#[derive(Clone, Copy, Debug)]
pub struct Bounds {
    pub sdp_bytes_max: usize,
    pub track_name_bytes_max: usize,
    pub tracks_max: usize,
    pub data_bytes_max: usize,
    pub data_lossy_bytes_max: usize,
    pub data_topic_bytes_max: usize,
    pub data_recipients_max: usize,
    pub chat_bytes_max: usize,
    pub breakouts_max: usize,
    /// Participants named in one request.
    pub people_max: usize,
    /// Question and options.
    pub poll_text_bytes_max: usize,
}

const MID_BYTES_MAX: usize = 64;
const CANDIDATE_BYTES_MAX: usize = 1024;

/// Why a text is not a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unreadable {
    /// The request's id, if that much could be read.
    pub id: Option<u64>,
    pub code: ErrorCode,
    /// Path of the field at fault, as in `tracks[1].mid`.
    pub field: Option<String>,
    pub message: String,
}

/// A request and its id.
///
/// # Errors
/// What is wrong, and where.
pub fn parse(text: &str, bounds: &Bounds) -> Result<(u64, Request), Unreadable> {
    let fault = |id, code, field: Option<&str>, message: &str| Unreadable {
        id,
        code,
        field: field.map(str::to_owned),
        message: message.to_owned(),
    };
    let value: Value = serde_json::from_str(text).map_err(|_| fault(None, ErrorCode::Malformed, None, "not JSON"))?;
    let Value::Object(map) = &value else {
        return Err(fault(None, ErrorCode::Malformed, None, "not a JSON object"));
    };
    let Some(id) = map.get("id").and_then(Value::as_u64).filter(|id| *id < 1 << 53) else {
        return Err(fault(None, ErrorCode::Malformed, Some("id"), "must be a whole number from 0 to 2^53 - 1"));
    };
    let Some(kind) = map.get("type").and_then(Value::as_str) else {
        return Err(fault(Some(id), ErrorCode::Malformed, Some("type"), "must be text"));
    };
    let fields = Fields { map, path: String::new() };
    match request(kind, &fields, bounds) {
        Ok(Some(request)) => Ok((id, request)),
        Ok(None) => Err(fault(Some(id), ErrorCode::UnknownType, Some("type"), "no request has this type")),
        Err(Wrong { field, message, code }) => Err(Unreadable { id: Some(id), code, field: Some(field), message }),
    }
}

/// `None`: no request has this type.
fn request(kind: &str, fields: &Fields, bounds: &Bounds) -> Result<Option<Request>, Wrong> {
    Ok(Some(match kind {
        "join" => Request::Join {
            auto_subscribe: fields.bool_or("auto_subscribe", true)?,
            room: match fields.optional("room") {
                None => None,
                Some(_) => Some(fields.text("room", ROOM_BYTES_MAX)?),
            },
        },
        "offer" => Request::Offer {
            sdp: fields.text("sdp", bounds.sdp_bytes_max)?,
            tracks: fields.list("tracks", bounds.tracks_max)?.iter().map(|fields| track(fields, bounds)).collect::<Result<_, _>>()?,
        },
        "candidate" => Request::Candidate { candidate: fields.text("candidate", CANDIDATE_BYTES_MAX)? },
        "publish" => Request::Publish { track: track(fields, bounds)? },
        "unpublish" => Request::Unpublish { publication: fields.publication()? },
        "subscribe" => Request::Subscribe { publication: fields.publication()? },
        "unsubscribe" => Request::Unsubscribe { publication: fields.publication()? },
        "prefer" => Request::Prefer { publication: fields.publication()?, wish: wish(fields)? },
        "mute" => Request::Mute { publication: fields.publication()?, muted: fields.bool("muted")? },
        "send_data" => Request::SendData { data: data(fields, bounds)? },
        "resume" => Request::Resume,
        "stats" => Request::Stats(Box::new(stats::report(fields)?)),
        "leave" => Request::Leave,
        "ping" => Request::Ping,
        _ => match moderation::request(kind, fields)? {
            Some(request) => Request::Moderate(request),
            None => match talk::request(kind, fields, bounds)? {
                Some(request) => request,
                None => return beyond::request(kind, fields, bounds),
            },
        },
    }))
}

fn data(fields: &Fields, bounds: &Bounds) -> Result<DataRequest, Wrong> {
    let reliable = fields.bool_or("reliable", true)?;
    let bytes_max = if reliable { bounds.data_bytes_max } else { bounds.data_lossy_bytes_max };
    let content = match (fields.optional("text"), fields.optional("base64")) {
        (Some(_), None) => DataContent::Text(fields.text("text", bytes_max)?),
        (None, Some(_)) => {
            let text = fields.text("base64", bytes_max.div_ceil(3) * 4)?;
            let bytes = STANDARD.decode(text).map_err(|_| fields.wrong("base64", "must be base64 with padding"))?;
            if bytes.len() > bytes_max {
                return Err(fields.too_long("base64", bytes_max));
            }
            DataContent::Bytes(bytes)
        }
        (Some(_), Some(_)) | (None, None) => return Err(fields.wrong("text", "either text or base64 must be there")),
    };
    let (to, topic) = destination(fields, bounds)?;
    Ok(DataRequest { to, topic, reliable, content })
}

fn destination(fields: &Fields, bounds: &Bounds) -> Result<(Vec<String>, String), Wrong> {
    Ok((fields.texts("to", bounds.data_recipients_max, IDENTITY_BYTES_MAX)?, fields.text_or_empty("topic", bounds.data_topic_bytes_max)?))
}

/// A message of a data channel: a line of JSON that says whom it is for, then its content.
///
/// # Errors
/// What is wrong, and where; with it the topic, if that much could be read.
pub fn parse_framed(message: DataMessage, bounds: &Bounds) -> Result<DataRequest, (Unreadable, String)> {
    let DataMessage { reliable, text, mut bytes } = message;
    let fault = |field: &str, message: &str| Unreadable {
        id: None,
        code: ErrorCode::Malformed,
        field: Some(field.to_owned()),
        message: message.to_owned(),
    };
    let Some(end) = bytes.iter().take(FRAME_HEADER_BYTES_MAX).position(|byte| *byte == b'\n') else {
        return Err((fault("header", "a message begins with a line of JSON, which may be empty"), String::new()));
    };
    let content = bytes.split_off(end + 1);
    let header = bytes.get(..end).unwrap_or_default();
    let value = if header.trim_ascii().is_empty() { Ok(Value::Object(Map::new())) } else { serde_json::from_slice(header) };
    let Ok(Value::Object(map)) = value else { return Err((fault("header", "not a JSON object"), String::new())) };
    let fields = Fields { map: &map, path: String::new() };
    let topic =
        || -> String { map.get("topic").and_then(Value::as_str).unwrap_or_default().chars().take(bounds.data_topic_bytes_max).collect() };
    let unreadable = |Wrong { field, message, code }| (Unreadable { id: None, code, field: Some(field), message }, topic());
    let (to, topic) = destination(&fields, bounds).map_err(unreadable)?;
    let bytes_max = if reliable { bounds.data_bytes_max } else { bounds.data_lossy_bytes_max };
    if content.len() > bytes_max {
        return Err(unreadable(fields.too_long("content", bytes_max)));
    }
    let content = if text {
        DataContent::Text(String::from_utf8(content).map_err(|_| unreadable(fields.wrong("content", "must be UTF-8")))?)
    } else {
        DataContent::Bytes(content)
    };
    Ok(DataRequest { to, topic, reliable, content })
}

/// The line of JSON before a message's content.
const FRAME_HEADER_BYTES_MAX: usize = 4 * 1024;

fn wish(fields: &Fields) -> Result<Wish, Wrong> {
    Ok(Wish {
        width: fields.number("width", u16::MAX)?.unwrap_or(0),
        height: fields.number("height", u16::MAX)?.unwrap_or(0),
        visible: fields.bool_or("visible", true)?,
        pinned: fields.bool_or("pinned", false)?,
        priority: fields.number("priority", u8::MAX)?.unwrap_or(0),
        spatial_max: fields.number("spatial_max", LAYER_MAX)?,
        temporal_max: fields.number("temporal_max", LAYER_MAX)?,
    })
}

fn track(fields: &Fields, bounds: &Bounds) -> Result<Track, Wrong> {
    Ok(Track {
        mid: fields.text("mid", MID_BYTES_MAX)?,
        source: source(fields)?,
        name: fields.text_or_empty("name", bounds.track_name_bytes_max)?,
        muted: fields.bool_or("muted", false)?,
    })
}

fn source(fields: &Fields) -> Result<Option<TrackSource>, Wrong> {
    let wrong = || fields.wrong("source", "must be camera, microphone, screen or screen_audio");
    fields.optional("source").map(|value| track_source(value).ok_or_else(wrong)).transpose()
}

fn track_source(value: &Value) -> Option<TrackSource> {
    Some(match value.as_str()? {
        "camera" => TrackSource::Camera,
        "microphone" => TrackSource::Microphone,
        "screen" => TrackSource::Screen,
        "screen_audio" => TrackSource::ScreenAudio,
        _ => return None,
    })
}

struct Wrong {
    field: String,
    message: String,
    code: ErrorCode,
}

/// An object's fields, with the path that leads to it.
struct Fields<'a> {
    map: &'a Map<String, Value>,
    path: String,
}

impl<'a> Fields<'a> {
    fn wrong(&self, name: &str, message: impl Into<String>) -> Wrong {
        Wrong { field: format!("{}{name}", self.path), message: message.into(), code: ErrorCode::Malformed }
    }

    /// Null counts as missing.
    fn optional(&self, name: &str) -> Option<&'a Value> {
        self.map.get(name).filter(|value| !value.is_null())
    }

    fn text(&self, name: &str, bytes_max: usize) -> Result<String, Wrong> {
        let Some(text) = self.optional(name).and_then(Value::as_str) else {
            return Err(self.wrong(name, "must be text"));
        };
        if text.len() > bytes_max {
            return Err(self.too_long(name, bytes_max));
        }
        Ok(text.to_owned())
    }

    fn too_long(&self, name: &str, bytes_max: usize) -> Wrong {
        Wrong { code: ErrorCode::TooLarge, ..self.wrong(name, format!("is longer than {bytes_max} bytes")) }
    }

    /// A list of texts; a missing one is empty.
    fn texts(&self, name: &str, items_max: usize, bytes_max: usize) -> Result<Vec<String>, Wrong> {
        let Some(value) = self.optional(name) else { return Ok(Vec::new()) };
        let Some(items) = value.as_array() else { return Err(self.wrong(name, "must be a list")) };
        if items.len() > items_max {
            return Err(Wrong { code: ErrorCode::TooLarge, ..self.wrong(name, format!("has more than {items_max} items")) });
        }
        let mut texts = Vec::with_capacity(items.len());
        for (index, item) in items.iter().enumerate() {
            let name = format!("{name}[{index}]");
            match item.as_str() {
                Some(text) if text.len() <= bytes_max => texts.push(text.to_owned()),
                Some(_) => return Err(self.too_long(&name, bytes_max)),
                None => return Err(self.wrong(&name, "must be text")),
            }
        }
        Ok(texts)
    }

    fn text_or_empty(&self, name: &str, bytes_max: usize) -> Result<String, Wrong> {
        if self.optional(name).is_none() { Ok(String::new()) } else { self.text(name, bytes_max) }
    }

    fn bool(&self, name: &str) -> Result<bool, Wrong> {
        self.optional(name).and_then(Value::as_bool).ok_or_else(|| self.wrong(name, "must be true or false"))
    }

    fn bool_or(&self, name: &str, default: bool) -> Result<bool, Wrong> {
        if self.optional(name).is_none() { Ok(default) } else { self.bool(name) }
    }

    /// A whole number from 0 to `max`, if there is one.
    fn number<T: TryFrom<u64> + PartialOrd + Display + Copy>(&self, name: &str, max: T) -> Result<Option<T>, Wrong> {
        let Some(value) = self.optional(name) else { return Ok(None) };
        let number = value.as_u64().and_then(|number| T::try_from(number).ok()).filter(|number| *number <= max);
        number.map(Some).ok_or_else(|| self.wrong(name, format!("must be a whole number from 0 to {max}")))
    }

    fn publication(&self) -> Result<PublicationId, Wrong> {
        self.id("publication").map(PublicationId)
    }

    fn participant(&self) -> Result<ParticipantId, Wrong> {
        self.id("participant").map(ParticipantId)
    }

    /// The id of something called `name`.
    fn id(&self, name: &str) -> Result<u64, Wrong> {
        let text = self.text(name, 16)?;
        u64::from_str_radix(&text, 16).map_err(|_| self.wrong(name, format!("must be the id of a {name}")))
    }

    fn participant_if_any(&self, name: &str) -> Result<Option<ParticipantId>, Wrong> {
        self.optional(name).map(|_| self.id(name).map(ParticipantId)).transpose()
    }

    fn bool_if_any(&self, name: &str) -> Result<Option<bool>, Wrong> {
        self.optional(name).map(|_| self.bool(name)).transpose()
    }

    /// A list; a missing one is empty.
    fn values(&self, name: &str, items_max: usize) -> Result<&'a [Value], Wrong> {
        let Some(value) = self.optional(name) else { return Ok(&[]) };
        let Some(items) = value.as_array() else { return Err(self.wrong(name, "must be a list")) };
        if items.len() > items_max {
            let message = format!("has more than {items_max} items");
            return Err(Wrong { code: ErrorCode::TooLarge, ..self.wrong(name, message) });
        }
        Ok(items)
    }

    /// A list of objects; a missing one is empty.
    fn list(&self, name: &str, items_max: usize) -> Result<Vec<Fields<'a>>, Wrong> {
        self.values(name, items_max)?
            .iter()
            .enumerate()
            .map(|(index, item)| match item {
                Value::Object(map) => Ok(Fields { map, path: format!("{}{name}[{index}].", self.path) }),
                _ => Err(self.wrong(&format!("{name}[{index}]"), "must be an object")),
            })
            .collect()
    }
}

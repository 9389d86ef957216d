//! What operators and their applications change. What hosts could do, too, is told to the same log.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::{Deserialize, Serialize};

use super::look::{ParticipantsView, RoomView};
use super::{Bearer, Body, check_text, unprocessable};
use crate::media::PublicationId;
use crate::message::{Assign, DataContent, DataRequest, Mode, PermissionWish, Role, SettingsWish, TrackSource};
use crate::problem::Problem;
use crate::room::{RoomWish, Which};
use crate::signal::Signal;
use crate::token::{IDENTITY_BYTES_MAX, METADATA_BYTES_MAX, NAME_BYTES_MAX, ROOM_BYTES_MAX};

/// A week: longer than any pause of a series of meetings in one room that is worth keeping open.
const EMPTY_TIMEOUT_S_MAX: u32 = 7 * 24 * 3600;
/// Longer breakouts are a slip of the hand.
const BREAKOUTS_S_MAX: u32 = 24 * 3600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRoom {
    name: String,
    metadata: Option<String>,
    participants_max: Option<usize>,
    empty_timeout_s: Option<u32>,
    locked: Option<bool>,
    waiting_room: Option<bool>,
    mode: Option<Mode>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OtherRoom {
    metadata: Option<String>,
    participants_max: Option<usize>,
    empty_timeout_s: Option<u32>,
    locked: Option<bool>,
    waiting_room: Option<bool>,
    mode: Option<Mode>,
}

/// A role brings its permissions; what is said of these comes after.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OtherParticipant {
    name: Option<String>,
    metadata: Option<String>,
    role: Option<Role>,
    can_publish: Option<bool>,
    can_subscribe: Option<bool>,
    can_publish_data: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Mute {
    muted: bool,
    /// This one only.
    publication: Option<String>,
    /// Those of this source only.
    source: Option<TrackSource>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Move {
    /// Null: to the main room.
    breakout: Option<usize>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewBreakouts {
    /// Their names.
    rooms: Vec<String>,
    #[serde(default)]
    assign: Assign,
    /// 0: without an end.
    #[serde(default)]
    duration_s: u32,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Data {
    text: Option<String>,
    base64: Option<String>,
    #[serde(default)]
    topic: String,
    /// Identities; everyone when there is none.
    #[serde(default)]
    to: Vec<String>,
    #[serde(default = "yes")]
    reliable: bool,
}

fn yes() -> bool {
    true
}

#[derive(Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct How {
    /// For good.
    #[serde(default)]
    ban: bool,
}

/// How many it was about.
#[derive(Serialize)]
pub(super) struct Meant {
    participants: usize,
}

#[derive(Serialize)]
pub(super) struct Muted {
    publications: usize,
}

/// A change that was made, for whoever has to look into it later.
fn audit(act: &'static str, room: &str, by: &Bearer, whom: Option<&str>) {
    tracing::info!(target: "pointsman_signal::audit", room, act, by = by.0.sub, whom, over = "api", "moderated");
}

/// 201 for a new room, 200 for one that was there and has been changed: who asks again gets the same.
pub(super) async fn create(
    State(signal): State<Signal>,
    bearer: Bearer,
    Body(new): Body<NewRoom>,
) -> Result<(StatusCode, Json<RoomView>), Problem> {
    let NewRoom { name, metadata, participants_max, empty_timeout_s, locked, waiting_room, mode } = new;
    bearer.may_create(&name)?;
    check_text("name", &name, 1..=ROOM_BYTES_MAX)?;
    let wish = wish(OtherRoom { metadata, participants_max, empty_timeout_s, locked, waiting_room, mode })?;
    let (new, view) = signal.change(|rooms, media| {
        let new = rooms.create(&name, wish, media)?;
        Ok::<_, Problem>((new, RoomView::of(rooms, &name)?))
    })?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    audit(if new { "open_room" } else { "set_room" }, &name, &bearer, None);
    Ok((status, Json(view)))
}

pub(super) async fn update(
    State(signal): State<Signal>,
    bearer: Bearer,
    Path(name): Path<String>,
    Body(other): Body<OtherRoom>,
) -> Result<Json<RoomView>, Problem> {
    bearer.may_administer(&name)?;
    let wish = wish(other)?;
    let view = signal.change(|rooms, media| {
        rooms.update(&name, wish, media)?;
        RoomView::of(rooms, &name)
    })?;
    audit("set_room", &name, &bearer, None);
    Ok(Json(view))
}

pub(super) async fn end(State(signal): State<Signal>, bearer: Bearer, Path(name): Path<String>) -> Result<Json<Meant>, Problem> {
    // Who may open it may end it.
    bearer.may_administer(&name).or_else(|_| bearer.may_create(&name))?;
    let participants = signal.change(|rooms, media| rooms.end_room(&name, media))?;
    audit("end_room", &name, &bearer, None);
    Ok(Json(Meant { participants }))
}

pub(super) async fn update_participant(
    State(signal): State<Signal>,
    bearer: Bearer,
    Path((name, identity)): Path<(String, String)>,
    Body(other): Body<OtherParticipant>,
) -> Result<Json<ParticipantsView>, Problem> {
    bearer.may_administer(&name)?;
    let OtherParticipant { name: shown, metadata, role, can_publish, can_subscribe, can_publish_data } = other;
    if let Some(shown) = &shown {
        check_text("name", shown, 0..=NAME_BYTES_MAX)?;
    }
    check_metadata(metadata.as_deref())?;
    let permissions = PermissionWish { publish: can_publish, subscribe: can_subscribe, publish_data: can_publish_data };
    let places = role.is_some() || permissions != PermissionWish::default();
    let view = signal.change(|rooms, media| {
        if places {
            rooms.place(&name, &identity, role, permissions, media)?;
        }
        rooms.rename(&name, &identity, (shown.as_deref(), metadata.as_deref()), media)?;
        ParticipantsView::of(rooms, &name, &identity)
    })?;
    audit(if places { "set_permissions" } else { "rename" }, &name, &bearer, Some(&identity));
    Ok(Json(view))
}

pub(super) async fn remove(
    State(signal): State<Signal>,
    bearer: Bearer,
    Path((name, identity)): Path<(String, String)>,
    how: Result<Query<How>, QueryRejection>,
) -> Result<Json<Meant>, Problem> {
    bearer.may_administer(&name)?;
    let Query(How { ban }) = how.map_err(|rejection| Problem::new(StatusCode::BAD_REQUEST, rejection.body_text()))?;
    check_text("identity", &identity, 1..=IDENTITY_BYTES_MAX)?;
    let participants = signal.change(|rooms, media| rooms.remove(&name, &identity, ban, media))?;
    audit(if ban { "ban" } else { "remove" }, &name, &bearer, Some(&identity));
    Ok(Json(Meant { participants }))
}

pub(super) async fn pardon(
    State(signal): State<Signal>,
    bearer: Bearer,
    Path((name, identity)): Path<(String, String)>,
) -> Result<Json<RoomView>, Problem> {
    bearer.may_administer(&name)?;
    let view = signal.change(|rooms, media| {
        rooms.pardon(&name, &identity, media)?;
        RoomView::of(rooms, &name)
    })?;
    audit("unban", &name, &bearer, Some(&identity));
    Ok(Json(view))
}

pub(super) async fn admit(
    State(signal): State<Signal>,
    bearer: Bearer,
    Path((name, identity)): Path<(String, String)>,
) -> Result<Json<Meant>, Problem> {
    bearer.may_administer(&name)?;
    let participants = signal.change(|rooms, media| rooms.admit_waiting(&name, &identity, media))?;
    audit("admit", &name, &bearer, Some(&identity));
    Ok(Json(Meant { participants }))
}

pub(super) async fn move_to(
    State(signal): State<Signal>,
    bearer: Bearer,
    Path((name, identity)): Path<(String, String)>,
    Body(Move { breakout }): Body<Move>,
) -> Result<Json<Meant>, Problem> {
    bearer.may_administer(&name)?;
    let participants = signal.change(|rooms, media| rooms.move_to(&name, &identity, breakout, media))?;
    audit("move", &name, &bearer, Some(&identity));
    Ok(Json(Meant { participants }))
}

pub(super) async fn open_breakouts(
    State(signal): State<Signal>,
    bearer: Bearer,
    Path(name): Path<String>,
    Body(NewBreakouts { rooms: names, assign, duration_s }): Body<NewBreakouts>,
) -> Result<(StatusCode, Json<RoomView>), Problem> {
    bearer.may_administer(&name)?;
    let count_max = signal.config().room.breakouts_max;
    if !(1..=count_max).contains(&names.len()) {
        return Err(unprocessable(format!("rooms: must have 1 to {count_max} names")));
    }
    names.iter().try_for_each(|name| check_text("rooms", name, 1..=ROOM_BYTES_MAX))?;
    if duration_s > BREAKOUTS_S_MAX {
        return Err(unprocessable(format!("duration_s: must not be above {BREAKOUTS_S_MAX}")));
    }
    let view = signal.change(|rooms, media| {
        rooms.begin_breakouts(&name, names, assign, duration_s, media)?;
        RoomView::of(rooms, &name)
    })?;
    audit("open_breakouts", &name, &bearer, None);
    Ok((StatusCode::CREATED, Json(view)))
}

pub(super) async fn close_breakouts(
    State(signal): State<Signal>,
    bearer: Bearer,
    Path(name): Path<String>,
) -> Result<Json<RoomView>, Problem> {
    bearer.may_administer(&name)?;
    let view = signal.change(|rooms, media| {
        rooms.end_breakouts(&name, media)?;
        RoomView::of(rooms, &name)
    })?;
    audit("close_breakouts", &name, &bearer, None);
    Ok(Json(view))
}

pub(super) async fn mute(
    State(signal): State<Signal>,
    bearer: Bearer,
    Path((name, identity)): Path<(String, String)>,
    Body(mute): Body<Mute>,
) -> Result<Json<Muted>, Problem> {
    bearer.may_administer(&name)?;
    let Mute { muted, publication, source } = mute;
    let publication = match publication {
        None => None,
        Some(text) => match u64::from_str_radix(&text, 16) {
            Ok(id) if text.len() <= 16 => Some(PublicationId(id)),
            _ => return Err(unprocessable("publication: must be a publication's id")),
        },
    };
    let which = Which { publication, source };
    let publications = signal.change(|rooms, media| rooms.silence(&name, &identity, which, muted, media))?;
    audit(if muted { "mute" } else { "unmute" }, &name, &bearer, Some(&identity));
    Ok(Json(Muted { publications }))
}

pub(super) async fn send_data(
    State(signal): State<Signal>,
    bearer: Bearer,
    Path(name): Path<String>,
    Body(data): Body<Data>,
) -> Result<Json<Meant>, Problem> {
    bearer.may_administer(&name)?;
    let Data { text, base64, topic, to, reliable } = data;
    let content = match (text, base64) {
        (Some(text), None) => DataContent::Text(text),
        (None, Some(base64)) => DataContent::Bytes(STANDARD.decode(base64).map_err(|_| unprocessable("base64: is not base64"))?),
        (None, None) | (Some(_), Some(_)) => return Err(unprocessable("text: either text or base64 must be there")),
    };
    let config = signal.config();
    check_text("topic", &topic, 0..=config.data_topic_bytes_max)?;
    if to.len() > config.data_recipients_max {
        return Err(unprocessable(format!("to: has more than {} identities", config.data_recipients_max)));
    }
    let participants = signal.send_data(&name, &DataRequest { to, topic, reliable, content })?;
    Ok(Json(Meant { participants }))
}

fn wish(other: OtherRoom) -> Result<RoomWish, Problem> {
    let OtherRoom { metadata, participants_max, empty_timeout_s, locked, waiting_room, mode } = other;
    check_metadata(metadata.as_deref())?;
    if empty_timeout_s.is_some_and(|timeout| timeout > EMPTY_TIMEOUT_S_MAX) {
        return Err(unprocessable(format!("empty_timeout_s: must not be above {EMPTY_TIMEOUT_S_MAX}")));
    }
    Ok(RoomWish { metadata, participants_max, empty_timeout_s, settings: SettingsWish { locked, waiting_room, mode } })
}

fn check_metadata(metadata: Option<&str>) -> Result<(), Problem> {
    metadata.map_or(Ok(()), |metadata| check_text("metadata", metadata, 0..=METADATA_BYTES_MAX))
}

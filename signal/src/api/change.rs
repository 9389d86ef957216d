//! What operators and their applications change.

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::look::{ParticipantsView, RoomView};
use super::{Bearer, Body, check_text, no_room, nobody};
use crate::media::PublicationId;
use crate::message::TrackSource;
use crate::problem::Problem;
use crate::room::{RoomChange, Which};
use crate::signal::Signal;
use crate::token::{METADATA_BYTES_MAX, NAME_BYTES_MAX, ROOM_BYTES_MAX};

/// A week: longer than any pause of a series of meetings in one room that is worth keeping open.
const EMPTY_TIMEOUT_S_MAX: u32 = 7 * 24 * 3600;
const TOPIC_BYTES_MAX: usize = 128;
const TEXT_BYTES_MAX: usize = 16 * 1024;
/// Identities of one `to`.
const RECEIVERS_MAX: usize = 1_000;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct NewRoom {
    name: String,
    metadata: Option<String>,
    participants_max: Option<usize>,
    empty_timeout_s: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OtherRoom {
    metadata: Option<String>,
    participants_max: Option<usize>,
    empty_timeout_s: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct OtherParticipant {
    name: Option<String>,
    metadata: Option<String>,
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
pub(super) struct Data {
    text: String,
    #[serde(default)]
    topic: String,
    /// Identities; everyone when there is none.
    #[serde(default)]
    to: Vec<String>,
}

#[derive(Serialize)]
pub(super) struct Ended {
    participants: usize,
}

#[derive(Serialize)]
pub(super) struct Muted {
    publications: usize,
}

#[derive(Serialize)]
pub(super) struct Told {
    participants: usize,
}

/// 201 for a new room, 200 for one that was there and has been changed: who asks again gets the same.
pub(super) async fn create(
    State(signal): State<Signal>,
    bearer: Bearer,
    Body(new): Body<NewRoom>,
) -> Result<(StatusCode, Json<RoomView>), Problem> {
    let NewRoom { name, metadata, participants_max, empty_timeout_s } = new;
    bearer.may_create(&name)?;
    check_text("name", &name, 1..=ROOM_BYTES_MAX)?;
    let change = change(metadata, participants_max, empty_timeout_s)?;
    let new = signal.change(|rooms, media| rooms.create(&name, change, media))?;
    let status = if new { StatusCode::CREATED } else { StatusCode::OK };
    tracing::info!(room = name, new, by = bearer.0.sub, "room opened by an operator");
    Ok((status, Json(RoomView::of(&signal, &name).ok_or_else(no_room)?)))
}

pub(super) async fn update(
    State(signal): State<Signal>,
    bearer: Bearer,
    Path(name): Path<String>,
    Body(other): Body<OtherRoom>,
) -> Result<Json<RoomView>, Problem> {
    bearer.may_administer(&name)?;
    let OtherRoom { metadata, participants_max, empty_timeout_s } = other;
    let change = change(metadata, participants_max, empty_timeout_s)?;
    signal.change(|rooms, media| rooms.update(&name, change, media))?;
    Ok(Json(RoomView::of(&signal, &name).ok_or_else(no_room)?))
}

pub(super) async fn end(State(signal): State<Signal>, bearer: Bearer, Path(name): Path<String>) -> Result<Json<Ended>, Problem> {
    // Who may open it may end it.
    bearer.may_administer(&name).or_else(|_| bearer.may_create(&name))?;
    let participants = signal.change(|rooms, media| rooms.end_room(&name, media)).ok_or_else(no_room)?;
    tracing::info!(room = name, participants, by = bearer.0.sub, "room ended by an operator");
    Ok(Json(Ended { participants }))
}

pub(super) async fn update_participant(
    State(signal): State<Signal>,
    bearer: Bearer,
    Path((name, identity)): Path<(String, String)>,
    Body(other): Body<OtherParticipant>,
) -> Result<Json<ParticipantsView>, Problem> {
    bearer.may_administer(&name)?;
    if let Some(name) = &other.name {
        check_text("name", name, 0..=NAME_BYTES_MAX)?;
    }
    check_metadata(other.metadata.as_deref())?;
    signal.change(|rooms, media| {
        let rename = |room: &mut crate::room::Room, world: &mut crate::room::World| {
            room.rename(&identity, other.name.as_deref(), other.metadata.as_deref(), world)
        };
        rooms.in_room_named(&name, media, rename)
    })?;
    ParticipantsView::of(&signal, &name, &identity).map(Json)
}

pub(super) async fn remove(
    State(signal): State<Signal>,
    bearer: Bearer,
    Path((name, identity)): Path<(String, String)>,
) -> Result<Json<Ended>, Problem> {
    bearer.may_administer(&name)?;
    let participants = signal.change(|rooms, media| rooms.remove(&name, &identity, media)).ok_or_else(no_room)?;
    if participants == 0 {
        return Err(nobody());
    }
    tracing::info!(room = name, identity, by = bearer.0.sub, "participant removed by an operator");
    Ok(Json(Ended { participants }))
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
            _ => return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, "publication: must be a publication's id")),
        },
    };
    let which = Which { publication, source };
    let publications = signal.change(|rooms, media| {
        rooms.in_room_named(&name, media, |room, world| {
            if room.identified(&identity).is_empty() { None } else { Some(room.silence(&identity, which, muted, world)) }
        })
    })?;
    let publications = publications.ok_or_else(nobody)?;
    tracing::info!(room = name, identity, muted, publications, by = bearer.0.sub, "publications muted by an operator");
    Ok(Json(Muted { publications }))
}

pub(super) async fn send_data(
    State(signal): State<Signal>,
    bearer: Bearer,
    Path(name): Path<String>,
    Body(data): Body<Data>,
) -> Result<Json<Told>, Problem> {
    bearer.may_administer(&name)?;
    let Data { text, topic, to } = data;
    check_text("topic", &topic, 0..=TOPIC_BYTES_MAX)?;
    check_text("text", &text, 0..=TEXT_BYTES_MAX)?;
    if to.len() > RECEIVERS_MAX {
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("to: has more than {RECEIVERS_MAX} identities")));
    }
    let participants =
        signal.change(|rooms, media| rooms.in_room_named(&name, media, |room, world| room.send_data(&topic, &text, &to, world)))?;
    Ok(Json(Told { participants }))
}

fn change(metadata: Option<String>, participants_max: Option<usize>, empty_timeout_s: Option<u32>) -> Result<RoomChange, Problem> {
    check_metadata(metadata.as_deref())?;
    if empty_timeout_s.is_some_and(|timeout| timeout > EMPTY_TIMEOUT_S_MAX) {
        let detail = format!("empty_timeout_s: must not be above {EMPTY_TIMEOUT_S_MAX}");
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail));
    }
    Ok(RoomChange { metadata, participants_max, empty_timeout_s })
}

fn check_metadata(metadata: Option<&str>) -> Result<(), Problem> {
    metadata.map_or(Ok(()), |metadata| check_text("metadata", metadata, 0..=METADATA_BYTES_MAX))
}

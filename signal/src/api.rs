//! `/api/v1/rooms`: what operators see of rooms, and why each viewer gets what it gets.
//!
//! A token with `roomAdmin` and no `room` sees every room, one with `roomAdmin` and a `room` that room; `roomList` lists rooms and no more.
//! Identities and names come from strangers: they are only ever told as JSON.

use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::{HeaderMap, StatusCode};
use axum::routing::get;
use axum::{Json, Router};
use serde::{Deserialize, Serialize};

use crate::media::{Preferences, Quality, Waiting};
use crate::message::{LayerInfo, ParticipantInfo, QualityInfo, TrackSource, kind_text, publication_text};
use crate::people::{Entry, Participant, Subscription};
use crate::problem::Problem;
use crate::room::Room;
use crate::signal::Signal;
use crate::token::VideoGrant;

#[cfg(test)]
mod tests;

/// Rooms of one page, when none or too many are asked for.
const PAGE_MAX: usize = 200;

pub fn routes() -> Router<Signal> {
    Router::new()
        .route("/api/v1/rooms", get(rooms))
        .route("/api/v1/rooms/{room}", get(room))
        .route("/api/v1/rooms/{room}/participants/{identity}/subscriptions", get(subscriptions))
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    /// The last room of the page before.
    after: Option<String>,
    limit: Option<usize>,
}

/// A page of rooms, in the order of their names.
#[derive(Debug, Serialize)]
pub(crate) struct Page {
    rooms: Vec<RoomRow>,
    /// To be shown as `after` for the next page; missing on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Serialize)]
struct RoomRow {
    name: String,
    /// Everyone, WHIP publishers, WHEP players and hidden participants included.
    participants: usize,
    publications: usize,
}

#[derive(Debug, Serialize)]
pub(crate) struct RoomView {
    name: String,
    /// Ids of who speaks, the dominant speaker first.
    speakers: Vec<String>,
    /// In order of joining.
    participants: Vec<ParticipantRow>,
}

#[derive(Debug, Serialize)]
struct ParticipantRow {
    #[serde(flatten)]
    info: ParticipantInfo,
    door: &'static str,
    hidden: bool,
    estimate_bps: Option<u64>,
    subscriptions: usize,
}

/// What everyone of one identity receives. Usually that is one participant; WHIP publishers and WHEP players may share an identity.
#[derive(Debug, Serialize)]
pub(crate) struct SubscriptionsView {
    room: String,
    identity: String,
    participants: Vec<SubscriberRow>,
}

#[derive(Debug, Serialize)]
struct SubscriberRow {
    id: String,
    door: &'static str,
    connected: bool,
    /// Bandwidth toward it; null while it is not known.
    estimate_bps: Option<u64>,
    /// m-lines of each kind that it has yet to offer.
    missing_m_lines: MissingRow,
    subscriptions: Vec<SubscriptionRow>,
}

#[derive(Debug, Serialize)]
struct MissingRow {
    audio: u16,
    video: u16,
}

#[derive(Debug, Serialize)]
struct SubscriptionRow {
    publication: String,
    /// Identity and id of who sends it.
    publisher: String,
    publisher_id: String,
    kind: &'static str,
    source: TrackSource,
    codec: String,
    simulcast: bool,
    muted: bool,
    /// Where it comes out; null while an m-line is missing.
    mid: Option<String>,
    current: Option<LayerInfo>,
    target: Option<LayerInfo>,
    bitrate_bps: u32,
    /// As in the WebSocket's `quality`; `no_m_line` while it has none, `not_connected` until media flows, null when nothing is known yet.
    reason: Option<&'static str>,
    preferences: PreferencesRow,
}

#[derive(Debug, Serialize)]
struct PreferencesRow {
    width: u16,
    height: u16,
    visible: bool,
    pinned: bool,
    screen: bool,
    priority: u8,
    spatial_max: Option<u8>,
    temporal_max: Option<u8>,
}

async fn rooms(State(signal): State<Signal>, headers: HeaderMap, wish: Result<Query<Wish>, QueryRejection>) -> Result<Json<Page>, Problem> {
    let grant = signal.grant(&headers)?;
    if !grant.room_list && !is_operator(&grant) {
        return Err(Problem::forbidden("the token grants neither roomList nor roomAdmin for the whole server"));
    }
    let Query(wish) = wish.map_err(|rejection| Problem::new(StatusCode::BAD_REQUEST, rejection.body_text()))?;
    let limit = wish.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let mut rows = signal.look(|rooms| {
        let later = |room: &&Room| wish.after.as_ref().is_none_or(|after| room.name > *after);
        let row = |room: &Room| RoomRow {
            name: room.name.clone(),
            participants: room.len(),
            publications: room.people().map(|participant| participant.shown().count()).sum(),
        };
        rooms.all().filter(later).map(row).collect::<Vec<_>>()
    });
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| row.name.clone());
    Ok(Json(Page { rooms: rows, next }))
}

async fn room(State(signal): State<Signal>, headers: HeaderMap, Path(name): Path<String>) -> Result<Json<RoomView>, Problem> {
    check(&signal, &headers, &name)?;
    let view = signal.look(|rooms| rooms.named(&name).map(RoomView::new));
    view.map(Json).ok_or_else(no_room)
}

async fn subscriptions(
    State(signal): State<Signal>,
    headers: HeaderMap,
    Path((name, identity)): Path<(String, String)>,
) -> Result<Json<SubscriptionsView>, Problem> {
    check(&signal, &headers, &name)?;
    let participants = signal.look(|rooms| {
        let room = rooms.named(&name)?;
        let whose = room.people().filter(|participant| participant.ticket.identity == identity);
        Some(whose.map(|participant| SubscriberRow::new(participant, room)).collect::<Vec<_>>())
    });
    let participants = participants.ok_or_else(no_room)?;
    if participants.is_empty() {
        return Err(Problem::new(StatusCode::NOT_FOUND, "nobody in the room has this identity"));
    }
    Ok(Json(SubscriptionsView { room: name, identity, participants }))
}

/// Whether a grant is for the whole server.
fn is_operator(grant: &VideoGrant) -> bool {
    grant.room_admin && grant.room.is_empty()
}

/// Before a room is looked for, so that strangers do not learn which there are.
fn check(signal: &Signal, headers: &HeaderMap, room: &str) -> Result<(), Problem> {
    let grant = signal.grant(headers)?;
    if is_operator(&grant) || (grant.room_admin && grant.room == room) {
        return Ok(());
    }
    Err(Problem::forbidden("the token does not grant roomAdmin for this room or for the whole server"))
}

fn no_room() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no such room: nobody is in it")
}

fn door(participant: &Participant) -> &'static str {
    match participant.entry {
        Entry::Call { .. } => "call",
        Entry::Publisher => "whip",
        Entry::Player(_) => "whep",
    }
}

impl RoomView {
    fn new(room: &Room) -> Self {
        let row = |participant: &Participant| ParticipantRow {
            info: participant.info(),
            door: door(participant),
            hidden: participant.ticket.hidden,
            estimate_bps: participant.estimate_bps,
            subscriptions: participant.subscriptions.len(),
        };
        Self { name: room.name.clone(), speakers: room.speakers_text(), participants: room.people().map(row).collect() }
    }
}

impl SubscriberRow {
    fn new(participant: &Participant, room: &Room) -> Self {
        let Waiting { audio, video } = participant.waiting;
        Self {
            id: participant.text(),
            door: door(participant),
            connected: participant.connected,
            estimate_bps: participant.estimate_bps,
            missing_m_lines: MissingRow { audio, video },
            subscriptions: participant.subscriptions.iter().filter_map(|s| SubscriptionRow::new(s, participant.connected, room)).collect(),
        }
    }
}

impl SubscriptionRow {
    fn new(subscription: &Subscription, connected: bool, room: &Room) -> Option<Self> {
        let Subscription { source, mid, preferences, quality, quality_told: _ } = subscription;
        let publisher = room.people().find(|participant| participant.id == source.publisher)?;
        let publication = publisher.publications.iter().find(|publication| publication.id == source.publication)?;
        let nothing = Quality { current: None, target: None, bitrate_bps: 0, reason: "" };
        let QualityInfo { current, target, bitrate_bps, reason } = quality.unwrap_or(nothing).into();
        let reason = match mid {
            None => Some("no_m_line"),
            Some(_) if !connected => Some("not_connected"),
            Some(_) => Some(reason).filter(|reason| !reason.is_empty()),
        };
        let info = publication.info();
        Some(Self {
            publication: publication_text(publication.id),
            publisher: publisher.ticket.identity.clone(),
            publisher_id: publisher.text(),
            kind: kind_text(publication.kind),
            source: info.source,
            codec: info.codec,
            simulcast: info.simulcast,
            muted: info.muted,
            mid: mid.clone(),
            current,
            target,
            bitrate_bps,
            reason,
            preferences: (*preferences).into(),
        })
    }
}

impl From<Preferences> for PreferencesRow {
    fn from(preferences: Preferences) -> Self {
        let Preferences { width, height, visible, pinned, screen, priority, spatial_max, temporal_max } = preferences;
        let bound = |max: u8| (max != u8::MAX).then_some(max);
        let (spatial_max, temporal_max) = (bound(spatial_max), bound(temporal_max));
        Self { width, height, visible, pinned, screen, priority, spatial_max, temporal_max }
    }
}

//! What operators see of rooms, and why each viewer gets what it gets.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Path, Query, State};
use axum::http::StatusCode;
use serde::{Deserialize, Serialize};

use super::{Bearer, no_room, nobody};
use crate::media::{Preferences, Quality, Waiting};
use crate::message::{
    BreakoutsInfo, LayerInfo, ParticipantInfo, QualityInfo, SettingsInfo, TrackSource, WaiterInfo, kind_text, publication_text,
};
use crate::news::{RoomFacts, door};
use crate::people::{Participant, Subscription};
use crate::problem::Problem;
use crate::quality::{ClientFacts, Sample, Scores};
use crate::room::Room;
use crate::rooms::Rooms;
use crate::signal::Signal;

/// Rooms of one page, when none or too many are asked for.
const PAGE_MAX: usize = 200;

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
    rooms: Vec<RoomFacts>,
    /// To be shown as `after` for the next page; missing on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
}

#[derive(Debug, Serialize)]
pub(crate) struct RoomView {
    #[serde(flatten)]
    room: RoomFactsAlone,
    /// Ids of who speaks, the dominant speaker first.
    speakers: Vec<String>,
    /// Those of the room in order of joining, then those of its breakouts.
    participants: Vec<ParticipantRow>,
    /// Null: none are open.
    breakouts: Option<BreakoutsInfo>,
    /// Who waits to be let in, the longest first.
    waiting: Vec<WaiterInfo>,
    /// Identities that may not come back.
    bans: Vec<String>,
}

/// Without the numbers, which the lists beside it tell.
#[derive(Debug, Serialize)]
struct RoomFactsAlone {
    id: String,
    name: String,
    metadata: String,
    #[serde(flatten)]
    settings: SettingsInfo,
    participants_max: Option<usize>,
    empty_timeout_s: u32,
    created_s: u64,
}

#[derive(Debug, Serialize)]
pub(crate) struct ParticipantsView {
    /// In order of joining.
    pub(super) participants: Vec<ParticipantRow>,
}

#[derive(Debug, Serialize)]
pub(crate) struct ParticipantRow {
    #[serde(flatten)]
    info: ParticipantInfo,
    door: &'static str,
    /// The number of the breakout room that it is in; null: the room itself.
    breakout: Option<usize>,
    joined_s: u64,
    hidden: bool,
    may_publish: bool,
    may_subscribe: bool,
    may_publish_data: bool,
    estimate_bps: Option<u64>,
    subscriptions: usize,
    /// As its client told last; null until it does.
    quality: Option<QualityRow>,
}

#[derive(Debug, Serialize)]
struct QualityRow {
    #[serde(flatten)]
    client: ClientFacts,
    score: Scores,
    rtt_ms: Option<u32>,
    jitter_ms: Option<u32>,
    loss_uplink: Option<f64>,
    loss_downlink: Option<f64>,
    frozen: Option<f64>,
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

pub(super) async fn rooms(
    State(signal): State<Signal>,
    bearer: Bearer,
    wish: Result<Query<Wish>, QueryRejection>,
) -> Result<Json<Page>, Problem> {
    bearer.may_list()?;
    let Query(wish) = wish.map_err(|rejection| Problem::new(StatusCode::BAD_REQUEST, rejection.body_text()))?;
    let limit = wish.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let mut rows = signal.look(|rooms| {
        let later = |room: &&Room| wish.after.as_ref().is_none_or(|after| room.name > *after);
        rooms.all().filter(later).map(|room| rooms.facts(room)).collect::<Vec<_>>()
    });
    rows.sort_by(|a, b| a.name.cmp(&b.name));
    let more = rows.len() > limit;
    rows.truncate(limit);
    let next = rows.last().filter(|_| more).map(|row| row.name.clone());
    Ok(Json(Page { rooms: rows, next }))
}

pub(super) async fn room(State(signal): State<Signal>, bearer: Bearer, Path(name): Path<String>) -> Result<Json<RoomView>, Problem> {
    bearer.may_administer(&name)?;
    signal.look(|rooms| RoomView::of(rooms, &name)).map(Json)
}

pub(super) async fn participants(
    State(signal): State<Signal>,
    bearer: Bearer,
    Path(name): Path<String>,
) -> Result<Json<ParticipantsView>, Problem> {
    bearer.may_administer(&name)?;
    let view = signal.look(|rooms| rooms.family_named(&name).map(|family| ParticipantsView { participants: rows(&family, None) }));
    view.map(Json).ok_or_else(no_room)
}

pub(super) async fn participant(
    State(signal): State<Signal>,
    bearer: Bearer,
    Path((name, identity)): Path<(String, String)>,
) -> Result<Json<ParticipantsView>, Problem> {
    bearer.may_administer(&name)?;
    signal.look(|rooms| ParticipantsView::of(rooms, &name, &identity)).map(Json)
}

pub(super) async fn subscriptions(
    State(signal): State<Signal>,
    bearer: Bearer,
    Path((name, identity)): Path<(String, String)>,
) -> Result<Json<SubscriptionsView>, Problem> {
    bearer.may_administer(&name)?;
    let participants = signal.look(|rooms| {
        let family = rooms.family_named(&name)?;
        let whose = family.iter().flat_map(|room| room.people().map(move |participant| (*room, participant)));
        let whose = whose.filter(|(_, participant)| participant.ticket.identity == identity);
        Some(whose.map(|(room, participant)| SubscriberRow::new(participant, room)).collect::<Vec<_>>())
    });
    let participants = participants.ok_or_else(no_room)?;
    if participants.is_empty() {
        return Err(nobody());
    }
    Ok(Json(SubscriptionsView { room: name, identity, participants }))
}

impl RoomView {
    pub(super) fn of(rooms: &Rooms, name: &str) -> Result<Self, Problem> {
        let family = rooms.family_named(name).ok_or_else(no_room)?;
        let room = *family.first().ok_or_else(no_room)?;
        let RoomFacts { id, name: _, breakout: _, metadata, settings, participants_max, empty_timeout_s, created_s, .. } = room.into();
        Ok(Self {
            room: RoomFactsAlone { id, name: name.to_owned(), metadata, settings, participants_max, empty_timeout_s, created_s },
            speakers: room.speakers_text(),
            participants: rows(&family, None),
            breakouts: rooms.breakouts_named(name),
            waiting: room.waiting_info(),
            bans: room.bans().cloned().collect(),
        })
    }
}

impl ParticipantsView {
    pub(super) fn of(rooms: &Rooms, room: &str, identity: &str) -> Result<Self, Problem> {
        let family = rooms.family_named(room).ok_or_else(no_room)?;
        let participants = rows(&family, Some(identity));
        if participants.is_empty() { Err(nobody()) } else { Ok(Self { participants }) }
    }
}

/// Everyone, or everyone of an identity.
fn rows(family: &[&Room], identity: Option<&str>) -> Vec<ParticipantRow> {
    let inside = family.iter().flat_map(|room| room.people().map(|participant| (room.breakout(), participant)));
    let meant = inside.filter(|(_, participant)| identity.is_none_or(|identity| participant.ticket.identity == identity));
    meant.map(|(breakout, participant)| ParticipantRow::new(participant, breakout)).collect()
}

impl ParticipantRow {
    fn new(participant: &Participant, breakout: Option<usize>) -> Self {
        Self {
            info: participant.info(),
            door: door(participant),
            breakout,
            joined_s: participant.joined_s,
            hidden: participant.ticket.hidden,
            may_publish: participant.may_publish(),
            may_subscribe: participant.may_subscribe(),
            may_publish_data: participant.may_publish_data(),
            estimate_bps: participant.estimate_bps,
            subscriptions: participant.subscriptions.len(),
            quality: participant.sample.as_deref().map(QualityRow::from),
        }
    }
}

impl From<&Sample> for QualityRow {
    fn from(sample: &Sample) -> Self {
        let Sample { client, score, rtt_ms, jitter_ms, loss_uplink, loss_downlink, frozen, .. } = sample;
        let (rtt_ms, jitter_ms, loss_uplink, loss_downlink) = (*rtt_ms, *jitter_ms, *loss_uplink, *loss_downlink);
        Self { client: client.clone(), score: *score, rtt_ms, jitter_ms, loss_uplink, loss_downlink, frozen: *frozen }
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

//! Join tokens for an application's users, and TURN credentials in the form that coturn's users know.

use axum::Json;
use axum::extract::rejection::QueryRejection;
use axum::extract::{Query, State};
use axum::http::{HeaderMap, StatusCode};
use serde::{Deserialize, Serialize};

use super::{Bearer, Body, check_text};
use crate::problem::Problem;
use crate::signal::{Signal, bearer_token, unix_s};
use crate::token::{Claims, IDENTITY_BYTES_MAX, ROOM_BYTES_MAX, VideoGrant};

const LIFETIME_S_DEFAULT: u64 = 6 * 3600;
/// A token cannot be taken back: nobody needs one for longer than a month.
const LIFETIME_S_MAX: u64 = 30 * 24 * 3600;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Wanted {
    room: String,
    identity: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    metadata: String,
    lifetime_s: Option<u64>,
    can_publish: Option<bool>,
    can_subscribe: Option<bool>,
    can_publish_data: Option<bool>,
    /// The grant `roomAdmin` for the room.
    #[serde(default)]
    admin: bool,
    #[serde(default)]
    hidden: bool,
}

#[derive(Serialize)]
pub(super) struct Minted {
    token: String,
    /// In seconds since 1970.
    expires_s: u64,
}

/// A token for one room. What opens the whole server is made on the server, with `pointsman token`: so an operator's token cannot outlive itself.
pub(super) async fn mint(State(signal): State<Signal>, bearer: Bearer, Body(wanted): Body<Wanted>) -> Result<Json<Minted>, Problem> {
    let Wanted { room, identity, name, metadata, lifetime_s, can_publish, can_subscribe, can_publish_data, admin, hidden } = wanted;
    bearer.must_be_operator()?;
    check_text("room", &room, 1..=ROOM_BYTES_MAX)?;
    check_text("identity", &identity, 1..=IDENTITY_BYTES_MAX)?;
    let lifetime_s = lifetime_s.unwrap_or(LIFETIME_S_DEFAULT);
    if !(1..=LIFETIME_S_MAX).contains(&lifetime_s) {
        return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, format!("lifetime_s: must be from 1 to {LIFETIME_S_MAX}")));
    }
    let expires_s = unix_s() + lifetime_s;
    let video = VideoGrant { can_publish, can_subscribe, can_publish_data, room_admin: admin, hidden, ..VideoGrant::join(room) };
    // Under the key of who asks: whoever revokes that key revokes what was made with it.
    let claims = Claims { iss: bearer.0.iss, sub: identity, exp: expires_s, nbf: 0, name, metadata, video };
    let token = signal.config().keys.mint(&claims).map_err(|error| Problem::new(StatusCode::UNPROCESSABLE_ENTITY, error.to_string()))?;
    Ok(Json(Minted { token, expires_s }))
}

/// draft-uberti-behave-turn-rest-00 section 2.1.
#[derive(Deserialize)]
pub(super) struct Question {
    service: Option<String>,
    username: Option<String>,
    /// A token, for clients that can send no header.
    key: Option<String>,
}

/// Section 2.2.
#[derive(Debug, Serialize)]
pub(super) struct Credentials {
    username: String,
    password: String,
    ttl: u64,
    uris: Vec<String>,
}

/// An operator's token asks for anyone; everyone else gets credentials for the identity of their own token.
pub(super) async fn turn(
    State(signal): State<Signal>,
    headers: HeaderMap,
    question: Result<Query<Question>, QueryRejection>,
) -> Result<Json<Credentials>, Problem> {
    let Query(question) = question.map_err(|rejection| Problem::new(StatusCode::BAD_REQUEST, rejection.body_text()))?;
    let bearer = Bearer(signal.claims(bearer_token(&headers).or(question.key.as_deref()))?);
    if question.service.is_some_and(|service| service != "turn") {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "service: only turn is served"));
    }
    let own = &bearer.0.sub;
    let username = question.username.unwrap_or_else(|| own.clone());
    check_text("username", &username, 0..=IDENTITY_BYTES_MAX)?;
    let is_own = bearer.grant().room_join && !own.is_empty() && username == *own;
    if !is_own && !bearer.is_operator() {
        return Err(Problem::forbidden("the token gives credentials only for its own identity"));
    }
    let servers = signal.ice_servers(&username);
    let Some(relay) = servers.into_iter().find(|server| !server.username.is_empty()) else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "this server has no shared secret for TURN"));
    };
    // The name begins with the moment at which it ends.
    let expires_s = relay.username.split(':').next().and_then(|text| text.parse::<u64>().ok()).unwrap_or_default();
    let ttl = expires_s.saturating_sub(unix_s());
    Ok(Json(Credentials { username: relay.username, password: relay.credential, ttl, uris: relay.urls }))
}

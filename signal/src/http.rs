//! `POST /dev/token`: a join token for whoever asks, under `serve --dev` alone.

use axum::Router;
use axum::extract::{Json, State};
use axum::http::StatusCode;
use axum::routing::post;
use serde::Deserialize;

use crate::problem::Problem;
use crate::signal::{Signal, unix_s};
use crate::token::{Claims, NAME_BYTES_MAX, ROOM_BYTES_MAX, VideoGrant};

#[cfg(test)]
mod tests;

/// A dev token lives this long.
const DEV_TOKEN_S: u64 = 6 * 3600;

pub fn dev_routes() -> Router<Signal> {
    Router::new().route("/dev/token", post(dev_token))
}

pub fn dev_operator_routes() -> Router<Signal> {
    Router::new().route("/dev/operator", post(dev_operator))
}

#[derive(Deserialize)]
struct DevTokenRequest {
    room: String,
    name: String,
    /// Without one, the name and a few random digits, so that two people of one name do not replace each other.
    identity: Option<String>,
    /// The grant `roomAdmin` for the room.
    #[serde(default)]
    admin: bool,
}

/// Takes JSON only, which a page of another origin cannot send without a preflight, and that is not answered.
async fn dev_token(State(signal): State<Signal>, Json(request): Json<DevTokenRequest>) -> Result<Json<serde_json::Value>, Problem> {
    let DevTokenRequest { room, name, identity, admin } = request;
    let (room, name) = (room.trim(), name.trim());
    for (field, text, bytes_max) in [("room", room, ROOM_BYTES_MAX), ("name", name, NAME_BYTES_MAX / 4)] {
        if text.is_empty() || text.len() > bytes_max {
            let detail = format!("{field} must have 1 to {bytes_max} bytes");
            return Err(Problem::new(StatusCode::BAD_REQUEST, detail));
        }
    }
    let identity = identity.unwrap_or_else(|| format!("{name}-{}", signal.random_hex::<2>()));
    let key = signal.config().keys.first().ok_or_else(|| Problem::busy("no API key is configured"))?;
    let now = unix_s();
    let claims = Claims {
        iss: key.to_owned(),
        sub: identity.clone(),
        exp: now + DEV_TOKEN_S,
        nbf: 0,
        name: name.to_owned(),
        metadata: String::new(),
        video: VideoGrant { room_admin: admin, ..VideoGrant::join(room) },
    };
    let token = signal.config().keys.mint(&claims).map_err(Problem::token)?;
    Ok(Json(serde_json::json!({ "token": token, "identity": identity, "room": room })))
}

/// A token for the dashboard. JSON as for `/dev/token`, and for the same reason.
async fn dev_operator(State(signal): State<Signal>, Json(_): Json<serde_json::Value>) -> Result<Json<serde_json::Value>, Problem> {
    let keys = &signal.config().keys;
    let key = keys.first().ok_or_else(|| Problem::busy("no API key is configured"))?;
    let video = VideoGrant { room_admin: true, ..VideoGrant::default() };
    let (name, metadata) = Default::default();
    let claims = Claims { iss: key.to_owned(), sub: "dev".to_owned(), exp: unix_s() + DEV_TOKEN_S, nbf: 0, name, metadata, video };
    Ok(Json(serde_json::json!({ "token": keys.mint(&claims).map_err(Problem::token)? })))
}

//! `/api/v1`: what operators and their applications ask of rooms and people, described by `GET /api/v1/openapi.json`.
//!
//! ```text
//!  look      who is where, and why they get what they get
//!  change    opens, changes and ends rooms and their breakouts; renames, moves, mutes and removes people, says what they may do; sends them data
//!  tokens    join tokens, TURN credentials
//! ```
//! Every request shows a token of an API key. `roomAdmin` without a `room` is for the whole server, with a `room` for that room; `roomList`
//! lists rooms and no more; `roomCreate` opens and ends them. Identities and names come from strangers: they are only ever told as JSON.

use axum::Json;
use axum::Router;
use axum::extract::{DefaultBodyLimit, FromRequest, FromRequestParts, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::IntoResponse;
use axum::routing::{MethodRouter, delete, get, post};
use serde::de::DeserializeOwned;

use crate::problem::Problem;
use crate::signal::{Signal, bearer_token};
use crate::token::{Claims, VideoGrant};

mod change;
mod look;
#[cfg(test)]
mod tests;
mod tokens;

/// Everything under `/api/v1`, also what the rest of the binary serves there.
pub const OPENAPI: &str = include_str!("../web/openapi.json");
/// A request's body, in bytes.
const BODY_BYTES_MAX: usize = 256 * 1024;

pub fn routes() -> Router<Signal> {
    let add = |router: Router<Signal>, (path, allow, methods): (&str, &'static str, MethodRouter<Signal>)| {
        router.route(path, methods.fallback(move || async move { Problem::method(allow) }))
    };
    table().into_iter().fold(Router::new(), add).layer(DefaultBodyLimit::max(BODY_BYTES_MAX))
}

/// Every address with its methods.
fn table() -> [(&'static str, &'static str, MethodRouter<Signal>); 14] {
    const PARTICIPANT: &str = "/api/v1/rooms/{room}/participants/{identity}";
    [
        ("/api/v1/openapi.json", "GET", get(openapi)),
        ("/api/v1/rooms", "GET, POST", get(look::rooms).post(change::create)),
        ("/api/v1/rooms/{room}", "GET, PATCH, DELETE", get(look::room).patch(change::update).delete(change::end)),
        ("/api/v1/rooms/{room}/data", "POST", post(change::send_data)),
        ("/api/v1/rooms/{room}/breakouts", "POST, DELETE", post(change::open_breakouts).delete(change::close_breakouts)),
        ("/api/v1/rooms/{room}/waiting/{identity}", "POST", post(change::admit)),
        ("/api/v1/rooms/{room}/bans/{identity}", "DELETE", delete(change::pardon)),
        ("/api/v1/rooms/{room}/participants", "GET", get(look::participants)),
        (PARTICIPANT, "GET, PATCH, DELETE", get(look::participant).patch(change::update_participant).delete(change::remove)),
        ("/api/v1/rooms/{room}/participants/{identity}/mute", "POST", post(change::mute)),
        ("/api/v1/rooms/{room}/participants/{identity}/move", "POST", post(change::move_to)),
        ("/api/v1/rooms/{room}/participants/{identity}/subscriptions", "GET", get(look::subscriptions)),
        ("/api/v1/tokens", "POST", post(tokens::mint)),
        ("/api/v1/turn", "GET", get(tokens::turn)),
    ]
}

/// Every address that is served here, with its methods.
pub fn api_addresses() -> Vec<(&'static str, &'static str)> {
    table().into_iter().map(|(path, allow, _)| (path, allow)).collect()
}

async fn openapi() -> impl IntoResponse {
    ([(CONTENT_TYPE, "application/json")], OPENAPI)
}

/// Who asks. Looked at before anything else of a request, so that strangers learn nothing.
pub struct Bearer(Claims);

impl FromRequestParts<Signal> for Bearer {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, signal: &Signal) -> Result<Self, Problem> {
        signal.claims(bearer_token(&parts.headers)).map(Self)
    }
}

impl Bearer {
    fn grant(&self) -> &VideoGrant {
        &self.0.video
    }

    /// Whether the grant is for the whole server.
    fn is_operator(&self) -> bool {
        self.grant().room_admin && self.grant().room.is_empty()
    }

    fn must_be_operator(&self) -> Result<(), Problem> {
        if self.is_operator() { Ok(()) } else { Err(Problem::forbidden("the token does not grant roomAdmin for the whole server")) }
    }

    fn may_list(&self) -> Result<(), Problem> {
        if self.grant().room_list || self.is_operator() {
            return Ok(());
        }
        Err(Problem::forbidden("the token grants neither roomList nor roomAdmin for the whole server"))
    }

    /// A token that names a room is for that room alone, here as elsewhere.
    fn may_create(&self, room: &str) -> Result<(), Problem> {
        let grant = self.grant();
        if self.is_operator() || (grant.room_create && (grant.room.is_empty() || grant.room == room)) {
            return Ok(());
        }
        Err(Problem::forbidden("the token grants neither roomCreate for this room nor roomAdmin for the whole server"))
    }

    /// Before a room is looked for, so that strangers do not learn which there are.
    fn may_administer(&self, room: &str) -> Result<(), Problem> {
        if self.is_operator() || (self.grant().room_admin && self.grant().room == room) {
            return Ok(());
        }
        Err(Problem::forbidden("the token does not grant roomAdmin for this room or for the whole server"))
    }
}

/// A JSON body; what is wrong with it is told with the field's name.
struct Body<T>(T);

impl<T: DeserializeOwned> FromRequest<Signal> for Body<T> {
    type Rejection = Problem;

    async fn from_request(request: Request, signal: &Signal) -> Result<Self, Problem> {
        match Json::from_request(request, signal).await {
            Ok(Json(body)) => Ok(Self(body)),
            Err(rejection) => Err(Problem::new(rejection.status(), rejection.body_text())),
        }
    }
}

/// A field that is too long, or empty where it must not be.
fn check_text(field: &str, text: &str, bytes: std::ops::RangeInclusive<usize>) -> Result<(), Problem> {
    if bytes.contains(&text.len()) {
        return Ok(());
    }
    let (min, max) = bytes.into_inner();
    Err(unprocessable(format!("{field}: must have {min} to {max} bytes")))
}

fn unprocessable(detail: impl Into<String>) -> Problem {
    Problem::new(StatusCode::UNPROCESSABLE_ENTITY, detail)
}

fn no_room() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "no such room")
}

fn nobody() -> Problem {
    Problem::new(StatusCode::NOT_FOUND, "nobody in the room has this identity")
}

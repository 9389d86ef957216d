//! What a POST made: `/resources/{id}`. RFC 9725 calls it the WHIP session, the WHEP draft the WHEP session.

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::http::header::{CONTENT_TYPE, ETAG, HeaderName};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::get;

use super::{Precondition, SDP, has_media_type, put, read_text};
use crate::message::LeaveReason;
use crate::problem::Problem;
use crate::signal::{Door, Patched, Signal};

const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const ACCEPT_PATCH: HeaderName = HeaderName::from_static("accept-patch");

pub(super) fn routes() -> Router<Signal> {
    let methods = get(look).patch(patch).delete(end).options(options);
    Router::new().route("/resources/{id}", methods.fallback(|| async { Problem::method("GET, HEAD, PATCH, DELETE, OPTIONS") }))
}

/// RFC 9725 section 4.1. Needs no token: whoever knows the address was told it.
async fn look(State(signal): State<Signal>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    signal.door_of(&id).map(|_| StatusCode::NO_CONTENT)
}

/// RFC 5789 section 3.1. Preflights come without a token, so the answer is the same for what is there and what is not.
async fn options() -> impl IntoResponse {
    (StatusCode::OK, [(ACCEPT_PATCH, FRAGMENT)])
}

/// Only who made a resource may end it, or an admin of its room. RFC 9725 section 4.3.1: a DELETE ignores entity tags.
async fn end(State(signal): State<Signal>, Path(id): Path<String>, headers: HeaderMap) -> Result<StatusCode, Problem> {
    let participant = signal.owned_resource(&headers, &id)?;
    signal.leave(participant, LeaveReason::Left);
    Ok(StatusCode::OK)
}

/// In the order of RFC 9110 section 13.2.1: whatever the headers alone refuse comes before the precondition, and that before the body.
async fn patch(State(signal): State<Signal>, Path(id): Path<String>, request: Request) -> Result<Response, Problem> {
    signal.owned_resource(request.headers(), &id)?;
    signal.permit_patch(&id)?;
    let door = signal.door_of(&id)?;
    if has_media_type(request.headers(), CONTENT_TYPE, &[FRAGMENT]) {
        let precondition = Precondition::read(request.headers());
        signal.check_precondition(&id, &precondition)?;
        let text = read_text(request.into_body(), signal.config().whip.fragment_bytes_max).await?;
        return Ok(patched(signal.trickle(&id, &precondition, &text)?));
    }
    if door == Door::Whep && has_media_type(request.headers(), CONTENT_TYPE, &[SDP]) {
        let answer = read_text(request.into_body(), signal.config().sdp_bytes_max).await?;
        let entity_tag = signal.take_answer(&id, &answer)?;
        return Ok((StatusCode::NO_CONTENT, [(ETAG, format!("\"{entity_tag}\""))]).into_response());
    }
    let taken = if door == Door::Whep { "application/trickle-ice-sdpfrag, application/sdp" } else { FRAGMENT };
    Err(Problem::media_type(format!("the body must be {taken}"), ACCEPT_PATCH, taken))
}

/// RFC 9725 sections 4.3.2 and 4.3.3: the entity tag comes with a restart and with nothing else.
fn patched(patched: Patched) -> Response {
    match patched {
        Patched::Candidates => StatusCode::NO_CONTENT.into_response(),
        Patched::Restarted { fragment, entity_tag } => {
            let mut headers = HeaderMap::from_iter([(CONTENT_TYPE, HeaderValue::from_static(FRAGMENT))]);
            put(&mut headers, ETAG, &format!("\"{entity_tag}\""));
            (StatusCode::OK, headers, fragment).into_response()
        }
    }
}

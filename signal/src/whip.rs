//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): one POST brings a publisher or a player in; what it made is changed by PATCH and ended
//! by DELETE.
//!
//! ```text
//! POST /whip/{room}, /whep/… ──201, our answer──▶ /resources/{id} ──PATCH candidates, a restart──▶ 204, 200
//!                      └───────406, our offer───▶ /resources/{id} ──PATCH the player's answer────▶ 204
//! ```

use std::time::Duration;

use axum::Router;
use axum::body::{Body, HttpBody, to_bytes};
use axum::extract::{Path, Request, State};
use axum::http::header::{ACCEPT, ACCESS_CONTROL_REQUEST_METHOD, CONTENT_TYPE, ETAG, HeaderName, LINK, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};

use crate::cors::any_origin;
use crate::media::{IceServer, Waiting};
use crate::message::ErrorCode;
use crate::people::{Plan, Ticket};
use crate::problem::Problem;
use crate::signal::{Created, Signal};

mod config;
mod links;
mod precondition;
mod resource;
#[cfg(test)]
pub(crate) mod tests;

pub use config::WhipConfig;
pub(crate) use precondition::Precondition;

const SDP: &str = "application/sdp";
const ACCEPT_POST: HeaderName = HeaderName::from_static("accept-post");
/// m-lines of one kind that a WHEP offer's plan counts; the media side has its own bound.
const SLOTS_MAX: usize = 64;
/// How long an offer of ours waits for its answer: what the WHEP draft (section 4.2) says when nothing else is said.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// After how many seconds a player may ask again whether anybody publishes.
const LIVE_RETRY_S: &str = "3";

pub fn routes() -> Router<Signal> {
    Router::new()
        .route("/whip/{room}", endpoint(get(no_content).post(whip)).options(whip_options))
        .route("/whep/{room}", endpoint(get(no_content).post(whep_room)).options(whep_room_options))
        .route("/whep/{room}/{identity}", endpoint(get(no_content).post(whep_identity)).options(whep_identity_options))
        .merge(resource::routes())
        .layer(middleware::from_fn(any_origin))
}

fn endpoint(methods: MethodRouter<Signal>) -> MethodRouter<Signal> {
    methods.fallback(|| async { Problem::method("GET, HEAD, POST, OPTIONS") })
}

/// RFC 9725 section 4.1: there is nothing to be shown, and GET says so with success.
async fn no_content() -> StatusCode {
    StatusCode::NO_CONTENT
}

async fn whip_options(State(signal): State<Signal>, Path(room): Path<String>, headers: HeaderMap) -> Response {
    options(&signal, &room, &headers)
}

async fn whep_room_options(State(signal): State<Signal>, Path(room): Path<String>, headers: HeaderMap) -> Response {
    options(&signal, &room, &headers)
}

async fn whep_identity_options(State(signal): State<Signal>, Path((room, _)): Path<(String, String)>, headers: HeaderMap) -> Response {
    options(&signal, &room, &headers)
}

/// What the endpoint takes (RFC 9725 section 4.2) and, for clients that must know them before their offer, ICE servers (section 4.6): not in
/// a preflight, which has no token anyway.
fn options(signal: &Signal, room: &str, headers: &HeaderMap) -> Response {
    let mut answer = HeaderMap::from_iter([(ACCEPT_POST, HeaderValue::from_static(SDP))]);
    if !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD)
        && let Ok(ticket) = ticket_for(signal, headers, room)
    {
        put_links(&mut answer, &signal.ice_servers(&ticket.identity));
    }
    (StatusCode::OK, answer).into_response()
}

async fn whip(State(signal): State<Signal>, Path(room): Path<String>, request: Request) -> Result<Response, Problem> {
    let ticket = ticket_for(&signal, request.headers(), &room)?;
    if !ticket.may_publish {
        return Err(Problem::forbidden("the token does not grant canPublish"));
    }
    if ticket.hidden {
        return Err(Problem::forbidden("the token is for a hidden participant, who has nobody to publish to"));
    }
    let offer = read_sdp(&signal, request).await?;
    if offer.is_empty() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "the body must hold an SDP offer"));
    }
    Ok(made(StatusCode::CREATED, signal.publish(ticket, &offer)?))
}

async fn whep_room(State(signal): State<Signal>, Path(room): Path<String>, request: Request) -> Result<Response, Problem> {
    whep(signal, room, None, request).await
}

async fn whep_identity(
    State(signal): State<Signal>,
    Path((room, identity)): Path<(String, String)>,
    request: Request,
) -> Result<Response, Problem> {
    whep(signal, room, Some(identity), request).await
}

/// Whoever is to be played may come later (unless the operator says otherwise): the m-lines are filled then.
async fn whep(signal: Signal, room: String, first: Option<String>, request: Request) -> Result<Response, Problem> {
    let ticket = ticket_for(&signal, request.headers(), &room)?;
    if !ticket.may_subscribe {
        return Err(Problem::forbidden("the token does not grant canSubscribe"));
    }
    let offer = read_sdp(&signal, request).await?;
    if signal.config().whip.live_only && !signal.is_live(&room, first.as_deref()) {
        return Err(Problem::not_live(LIVE_RETRY_S));
    }
    let plan = Plan { first, audio: m_lines(&offer, "m=audio "), video: m_lines(&offer, "m=video ") };
    // A player of an earlier draft, which leaves the offer to us.
    if offer.is_empty() {
        return offered(&signal, StatusCode::CREATED, ticket, plan);
    }
    match signal.play(ticket.clone(), plan.clone(), &offer) {
        Ok(created) => Ok(made(StatusCode::CREATED, created)),
        // Section 4.2: an offer that is not taken is answered by one of ours.
        Err(refusal) if refusal.code == ErrorCode::UnacceptableSdp => offered(&signal, StatusCode::NOT_ACCEPTABLE, ticket, plan),
        Err(refusal) => Err(refusal.into()),
    }
}

/// Offers one m-line of each kind that the player wanted, of both if it did not say.
fn offered(signal: &Signal, status: StatusCode, ticket: Ticket, plan: Plan) -> Result<Response, Problem> {
    let Plan { first, audio, video } = plan;
    let (audio, video) = if audio == 0 && video == 0 { (1, 1) } else { (audio.min(1), video.min(1)) };
    let created = signal.offer_to(ticket, Plan { first, audio, video }, Waiting { audio, video })?;
    let (signal, resource) = (signal.clone(), created.resource.clone());
    tokio::spawn(async move {
        tokio::time::sleep(ANSWER_TIMEOUT).await;
        signal.end_unanswered(&resource);
    });
    Ok(made(status, created))
}

fn ticket_for(signal: &Signal, headers: &HeaderMap, room: &str) -> Result<Ticket, Problem> {
    let (ticket, may_join) = signal.ticket(headers, None)?;
    if !may_join {
        return Err(Problem::forbidden("the token does not grant roomJoin for a room"));
    }
    if ticket.room != room {
        return Err(Problem::forbidden("the token is for another room"));
    }
    Ok(ticket)
}

async fn read_sdp(signal: &Signal, request: Request) -> Result<String, Problem> {
    // Without a body there is nothing whose type could be wrong.
    let nothing = !request.headers().contains_key(CONTENT_TYPE) && request.body().is_end_stream();
    if !nothing && !has_media_type(request.headers(), CONTENT_TYPE, &[SDP]) {
        return Err(Problem::media_type("the body must be application/sdp", ACCEPT_POST, SDP));
    }
    let accepted = [SDP, "application/*", "*/*"];
    if request.headers().contains_key(ACCEPT) && !has_media_type(request.headers(), ACCEPT, &accepted) {
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "the answer can only be application/sdp"));
    }
    signal.permit_offer()?;
    read_text(request.into_body(), signal.config().sdp_bytes_max).await
}

async fn read_text(body: Body, bytes_max: usize) -> Result<String, Problem> {
    let Ok(bytes) = to_bytes(body, bytes_max).await else {
        let detail = format!("the body could not be read or is longer than {bytes_max} bytes");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    };
    String::from_utf8(bytes.into()).map_err(|_| Problem::new(StatusCode::BAD_REQUEST, "the body is not UTF-8"))
}

/// Whether one of the header's comma-separated values is one of `types`, parameters aside.
fn has_media_type(headers: &HeaderMap, name: HeaderName, types: &[&str]) -> bool {
    headers.get_all(name).iter().filter_map(|value| value.to_str().ok()).flat_map(|value| value.split(',')).any(|value| {
        let media_type = value.split(';').next().unwrap_or_default().trim();
        types.iter().any(|wanted| media_type.eq_ignore_ascii_case(wanted))
    })
}

/// All that is read of an SDP text here: how many m-lines a player can be sent.
fn m_lines(sdp: &str, prefix: &str) -> u16 {
    let count = sdp.lines().filter(|line| line.starts_with(prefix)).take(SLOTS_MAX).count();
    u16::try_from(count).unwrap_or(u16::MAX)
}

/// RFC 9725 section 4.2, with the entity tag of section 4.3.1.
fn made(status: StatusCode, created: Created) -> Response {
    let Created { resource, entity_tag, sdp, ice_servers } = created;
    let mut headers = HeaderMap::new();
    put(&mut headers, CONTENT_TYPE, SDP);
    put(&mut headers, LOCATION, &format!("/resources/{resource}"));
    put(&mut headers, ETAG, &format!("\"{entity_tag}\""));
    put_links(&mut headers, &ice_servers);
    (status, headers, sdp).into_response()
}

fn put_links(headers: &mut HeaderMap, ice_servers: &[IceServer]) {
    for link in ice_servers.iter().flat_map(links::links) {
        put(headers, LINK, &link);
    }
}

fn put(headers: &mut HeaderMap, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
        headers.append(name, value);
    }
}

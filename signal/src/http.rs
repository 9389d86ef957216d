//! WHIP (RFC 9725) and WHEP (draft-ietf-wish-whep): one POST brings a publisher or a player in, DELETE on what it made ends it.

use std::borrow::Cow;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Json, Path, Request, State};
use axum::http::header::{ACCEPT, CONTENT_TYPE, ETAG, HeaderName, LINK, LOCATION};
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, post};
use serde::Deserialize;

use crate::cors::any_origin;
use crate::media::IceServer;
use crate::message::LeaveReason;
use crate::people::{Plan, Ticket};
use crate::problem::Problem;
use crate::signal::{Created, Signal, unix_s};
use crate::token::{Claims, NAME_BYTES_MAX, ROOM_BYTES_MAX, VideoGrant};

#[cfg(test)]
mod tests;

const SDP: &str = "application/sdp";
/// m-lines of one kind that a WHEP offer's plan counts; the media side has its own bound.
const SLOTS_MAX: usize = 64;
/// A dev token lives this long.
const DEV_TOKEN_S: u64 = 6 * 3600;

pub fn routes() -> Router<Signal> {
    Router::new()
        .route("/whip/{room}", endpoint(post(whip)))
        .route("/whep/{room}", endpoint(post(whep_room)))
        .route("/whep/{room}/{identity}", endpoint(post(whep_identity)))
        // PATCH (trickle ICE and restarts) is optional in RFC 9725 §4.3; the server's answer holds all it needs.
        .route("/resources/{id}", delete(end).options(no_content).fallback(|| async { Problem::method("DELETE, OPTIONS") }))
        .layer(middleware::from_fn(any_origin))
}

fn endpoint(methods: MethodRouter<Signal>) -> MethodRouter<Signal> {
    methods.options(endpoint_options).fallback(|| async { Problem::method("POST, OPTIONS") })
}

pub fn dev_routes() -> Router<Signal> {
    Router::new().route("/dev/token", post(dev_token))
}

pub fn dev_operator_routes() -> Router<Signal> {
    Router::new().route("/dev/operator", post(dev_operator))
}

async fn no_content() -> StatusCode {
    StatusCode::NO_CONTENT
}

/// RFC 9725 §4.2: what the endpoint takes is told in `Accept-Post`.
async fn endpoint_options() -> impl IntoResponse {
    (StatusCode::NO_CONTENT, [(HeaderName::from_static("accept-post"), SDP)])
}

async fn whip(State(signal): State<Signal>, Path(room): Path<String>, request: Request) -> Result<Response, Problem> {
    let ticket = ticket_for(&signal, request.headers(), &room)?;
    if !ticket.may_publish {
        return Err(Problem::forbidden("the token does not grant canPublish"));
    }
    let offer = read_offer(&signal, request).await?;
    Ok(created(signal.publish(ticket, &offer)?))
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

/// Whoever is to be played may come later: the m-lines are filled then.
async fn whep(signal: Signal, room: String, first: Option<String>, request: Request) -> Result<Response, Problem> {
    let ticket = ticket_for(&signal, request.headers(), &room)?;
    if !ticket.may_subscribe {
        return Err(Problem::forbidden("the token does not grant canSubscribe"));
    }
    let offer = read_offer(&signal, request).await?;
    let plan = Plan { first, audio: m_lines(&offer, "m=audio "), video: m_lines(&offer, "m=video ") };
    Ok(created(signal.play(ticket, plan, &offer)?))
}

/// Only who made a resource may end it, or an admin of its room.
async fn end(State(signal): State<Signal>, Path(id): Path<String>, headers: HeaderMap) -> Result<StatusCode, Problem> {
    let (ticket, _) = signal.ticket(&headers, None)?;
    let Some(resource) = signal.resource(&id) else {
        return Err(Problem::new(StatusCode::NOT_FOUND, "no such resource, or it has ended"));
    };
    let same_room = ticket.room == resource.room;
    if !(same_room && (ticket.identity == resource.identity || ticket.admin)) {
        return Err(Problem::forbidden("the token is not the one that made this resource"));
    }
    signal.leave(resource.participant, LeaveReason::Left);
    Ok(StatusCode::OK)
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

async fn read_offer(signal: &Signal, request: Request) -> Result<String, Problem> {
    if !has_media_type(request.headers(), CONTENT_TYPE, &[SDP]) {
        return Err(Problem::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body must be application/sdp"));
    }
    let accepted = [SDP, "application/*", "*/*"];
    if request.headers().contains_key(ACCEPT) && !has_media_type(request.headers(), ACCEPT, &accepted) {
        return Err(Problem::new(StatusCode::NOT_ACCEPTABLE, "the answer can only be application/sdp"));
    }
    read_text(request.into_body(), signal.config().sdp_bytes_max).await
}

async fn read_text(body: Body, bytes_max: usize) -> Result<String, Problem> {
    let Ok(bytes) = to_bytes(body, bytes_max).await else {
        let detail = format!("the body could not be read or is longer than {bytes_max} bytes");
        return Err(Problem::new(StatusCode::PAYLOAD_TOO_LARGE, detail));
    };
    if bytes.is_empty() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "the body must hold an SDP offer"));
    }
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

fn created(created: Created) -> Response {
    let Created { resource, sdp, ice_servers } = created;
    let mut headers = HeaderMap::new();
    let mut put = |name: HeaderName, value: String| {
        if let Ok(value) = HeaderValue::from_bytes(value.as_bytes()) {
            headers.append(name, value);
        }
    };
    put(CONTENT_TYPE, SDP.to_owned());
    put(LOCATION, format!("/resources/{resource}"));
    put(ETAG, format!("\"{}\"", resource.get(..16).unwrap_or(&resource)));
    for link in ice_servers.iter().flat_map(links) {
        put(LINK, link);
    }
    (StatusCode::CREATED, headers, sdp).into_response()
}

/// RFC 9725 §4.6.
fn links(server: &IceServer) -> Vec<String> {
    let IceServer { urls, username, credential } = server;
    let login = if username.is_empty() {
        String::new()
    } else {
        let (username, credential) = (quoted(username), quoted(credential));
        format!("; username=\"{username}\"; credential=\"{credential}\"; credential-type=\"password\"")
    };
    urls.iter().map(|url| format!("<{url}>; rel=\"ice-server\"{login}")).collect()
}

fn quoted(text: &str) -> Cow<'_, str> {
    if text.contains(['"', '\\']) { text.replace('\\', "\\\\").replace('"', "\\\"").into() } else { text.into() }
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

//! `/api/v1/history` and `/api/v1/quality`: what was kept, for who runs the server, or for who hosts the one room that is asked about.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequestParts, Query};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, get};
use axum::{Json, Router};
use futures_util::stream;
use pointsman_signal::Problem;
use pointsman_signal::token::{Claims, Keys};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::turn_api::is_operator;
use crate::store::quality::{By, Group, POINTS_MAX};
use crate::store::{Filter, History, PAGE_MAX, Store, now_ms};
use crate::users::Error;

#[cfg(test)]
mod tests;

/// A question without a beginning is about the last hour.
const SPAN_S_DEFAULT: u64 = 3_600;

/// What the routes stand on.
struct Api {
    store: Option<Store>,
    keys: Arc<Keys>,
}

type Shared = Arc<Api>;

pub fn router(store: Option<Store>, keys: Arc<Keys>) -> Router {
    let add = |router: Router<Shared>, (path, allow, methods): (&str, &'static str, MethodRouter<Shared>)| {
        router.route(path, methods.fallback(move || async move { Problem::method(allow) }))
    };
    table().into_iter().fold(Router::new(), add).with_state(Arc::new(Api { store, keys }))
}

/// Every address with its methods.
fn table() -> [(&'static str, &'static str, MethodRouter<Shared>); 4] {
    [
        ("/api/v1/history", "GET, DELETE", get(page).delete(delete)),
        ("/api/v1/history/export", "GET", get(export)),
        ("/api/v1/quality", "GET", get(quality)),
        ("/api/v1/quality/samples", "GET", get(samples)),
    ]
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Question {
    room: Option<String>,
    kind: Option<String>,
    identity: Option<String>,
    /// In seconds since 1970.
    since_s: Option<u64>,
    until_s: Option<u64>,
    after: Option<u64>,
    limit: Option<usize>,
    /// The latest first, a single page of them.
    #[serde(default)]
    newest: bool,
    by: Option<By>,
}

/// A question of someone who may ask it.
struct Asked {
    question: Question,
    filter: Filter,
    store: Store,
}

impl FromRequestParts<Shared> for Asked {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, api: &Shared) -> Result<Self, Problem> {
        let claims = claims(&parts.headers, &api.keys)?;
        let question: Result<Query<Question>, QueryRejection> = Query::try_from_uri(&parts.uri);
        let Query(question) = question.map_err(|rejection| Problem::new(StatusCode::BAD_REQUEST, rejection.body_text()))?;
        let is_operator = is_operator(&claims);
        let own = claims.video.room_admin && question.room.as_ref() == Some(&claims.video.room) && !claims.video.room.is_empty();
        if !is_operator && !own {
            return Err(Problem::forbidden("the token does not grant roomAdmin for this room or for the whole server"));
        }
        let store = api.store.clone();
        let store =
            store.ok_or_else(|| Problem::new(StatusCode::NOT_FOUND, "this server keeps no history: [history] names no database"))?;
        let Question { room, kind, identity, since_s, until_s, .. } = question.clone();
        let ms = |s: u64| s.saturating_mul(1_000).min(i64::MAX as u64);
        // What was said to one person is no more for a room's host to read than it was in the room.
        let no_private = !is_operator && parts.method != Method::DELETE;
        let filter = Filter { room, kind, identity, since_ms: since_s.map(ms), until_ms: until_s.map(ms), no_private };
        Ok(Self { question, filter, store })
    }
}

fn claims(headers: &HeaderMap, keys: &Keys) -> Result<Claims, Problem> {
    let token = pointsman_signal::bearer_token(headers).ok_or_else(Problem::no_token)?;
    keys.verify(token, now_ms() / 1_000).map_err(Problem::token)
}

/// An entry as it is told; `body` is the JSON that was kept.
#[derive(Serialize)]
struct Row {
    id: u64,
    at_ms: u64,
    room: String,
    kind: String,
    identity: String,
    body: Value,
}

#[derive(Serialize)]
struct Page {
    entries: Vec<Row>,
    /// To be shown as `after` for the next page; missing on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<u64>,
}

#[derive(Serialize)]
struct Deleted {
    deleted: u64,
}

#[derive(Serialize)]
struct Quality {
    since_s: u64,
    until_s: u64,
    step_s: u64,
    groups: Vec<Group>,
}

#[derive(Serialize)]
struct SampleRow {
    at_ms: u64,
    sample: Value,
}

#[derive(Serialize)]
struct Samples {
    samples: Vec<SampleRow>,
}

async fn page(Asked { question, filter, store }: Asked) -> Result<Json<Page>, Problem> {
    let limit = question.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    if question.newest {
        let entries = store.latest(&filter, limit).await.map_err(away)?;
        return Ok(Json(Page { entries: entries.into_iter().map(row).collect(), next: None }));
    }
    let entries = store.history(&filter, question.after.unwrap_or(0), limit).await.map_err(away)?;
    let next = entries.last().filter(|_| entries.len() == limit).map(|(id, _)| *id);
    Ok(Json(Page { entries: entries.into_iter().map(row).collect(), next }))
}

/// All of it as JSON lines, read from the database as the client takes it.
async fn export(Asked { question, filter, store }: Asked) -> Response {
    let lines = stream::unfold(Some(question.after.unwrap_or(0)), move |after| {
        let (store, filter) = (store.clone(), filter.clone());
        async move {
            let entries = match store.history(&filter, after?, PAGE_MAX).await {
                Ok(entries) => entries,
                // The status is sent already: the client sees a body that breaks off.
                Err(error) => return Some((Err(std::io::Error::other(error.to_string())), None)),
            };
            let last = entries.last().map(|(id, _)| *id)?;
            let lines = entries.into_iter().filter_map(|entry| serde_json::to_string(&row(entry)).ok());
            Some((Ok(lines.map(|line| line + "\n").collect::<String>()), Some(last)))
        }
    });
    ([(header::CONTENT_TYPE, "application/x-ndjson")], Body::from_stream(lines)).into_response()
}

/// Something must be named: nobody deletes everything by leaving a word out.
async fn delete(Asked { question: _, filter, store }: Asked) -> Result<Json<Deleted>, Problem> {
    if filter.is_empty() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "name a room, kind, identity, since_s or until_s"));
    }
    let deleted = store.delete(&filter).await.map_err(away)?;
    tracing::info!(deleted, "history deleted by an operator");
    Ok(Json(Deleted { deleted }))
}

async fn quality(Asked { question, mut filter, store }: Asked) -> Result<Json<Quality>, Problem> {
    let now_s = now_ms() / 1_000;
    let until_s = question.until_s.unwrap_or(now_s);
    let since_s = question.since_s.unwrap_or(until_s.saturating_sub(SPAN_S_DEFAULT));
    filter.since_ms = Some(since_s.saturating_mul(1_000));
    // A round step that makes no more points than can be seen.
    let step_s = until_s.saturating_sub(since_s).div_ceil(POINTS_MAX).max(10).next_multiple_of(5);
    let groups = store.quality(&filter, question.by.unwrap_or(By::All), step_s * 1_000).await.map_err(away)?;
    Ok(Json(Quality { since_s, until_s, step_s, groups }))
}

async fn samples(Asked { question, filter, store }: Asked) -> Result<Json<Samples>, Problem> {
    let samples = store.samples(&filter, question.limit.unwrap_or(100)).await.map_err(away)?;
    let samples = samples.into_iter().map(|(at_ms, body)| SampleRow { at_ms, sample: json(&body) }).collect();
    Ok(Json(Samples { samples }))
}

fn row((id, history): (u64, History)) -> Row {
    let History { at_ms, room, kind, identity, body } = history;
    Row { id, at_ms, room, kind, identity, body: json(&body) }
}

/// What was kept is JSON; what somebody else put into the table may not be.
fn json(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_default()
}

/// The database's own words are for the log: they may name hosts and files.
fn away(error: Error) -> Problem {
    tracing::warn!(%error, "history could not be read");
    Problem::new(StatusCode::SERVICE_UNAVAILABLE, "the database of history does not answer")
}

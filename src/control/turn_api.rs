//! `/api/v1/turn`: what operators see of the relay, and how they end an allocation.
//!
//! Served on the `http` listeners only, and only to who shows a token of an API key with `video: { roomAdmin: true }` and no `room`: a grant
//! without a room is for the whole server. A host's token names a room and opens nothing here.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::extract::{Path, Query, Request, State};
use axum::http::StatusCode;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::{delete, get};
use axum::{Json, Router};
use pointsman_signal::Problem;
use pointsman_signal::token::{Claims, Keys};
use pointsman_turn::view::{AllocationId, AllocationView};
use pointsman_turn::{Ledger, RelayTransport};
use pointsman_wire::net::{Protocol, ShardId};
use pointsman_wire::stun::attribute::Family;
use serde::{Deserialize, Serialize};
use tokio::sync::mpsc;

use crate::engine::{Busy, Letter, Mailboxes, TurnCommand};

#[cfg(test)]
mod tests;

/// Allocations of one page, when none or too many are asked for. A shard gathers them between two batches of packets.
const PAGE_MAX: usize = 200;
/// Pages of the shards that one request looks through for a user or realm; where it stops, `next` goes on.
const SHARD_PAGES_MAX: usize = 32;
/// Realms that the quotas tell of.
const REALMS_MAX: usize = 1_000;
/// A shard answers within a turn of its loop.
const SHARD_TIMEOUT: Duration = Duration::from_secs(2);

/// Where questions go: the engine's mailboxes; a list in tests.
pub trait Shards: Send + Sync + 'static {
    fn count(&self) -> usize;
    fn send(&self, shard: ShardId, command: TurnCommand) -> Result<(), Busy>;
}

impl Shards for Mailboxes {
    fn count(&self) -> usize {
        self.shards()
    }

    fn send(&self, shard: ShardId, command: TurnCommand) -> Result<(), Busy> {
        self.send_to(shard, Letter::Turn(command))
    }
}

/// What the routes stand on.
pub struct TurnApi {
    pub shards: Box<dyn Shards>,
    pub ledger: Arc<Ledger>,
    pub keys: Keys,
}

/// Every address with its methods.
pub const ADDRESSES: [(&str, &str); 3] =
    [("/api/v1/turn/allocations", "GET"), ("/api/v1/turn/allocations/{id}", "DELETE"), ("/api/v1/turn/quotas", "GET")];

pub fn router(api: TurnApi) -> Router {
    let api = Arc::new(api);
    let [(allocations, _), (allocation, _), (all_quotas, _)] = ADDRESSES;
    Router::new()
        .route(allocations, get(list))
        .route(allocation, delete(end))
        .route(all_quotas, get(quotas))
        .layer(middleware::from_fn_with_state(Arc::clone(&api), only_operators))
        .with_state(api)
}

/// Whether these claims are those of someone who runs the server.
pub fn is_operator(claims: &Claims) -> bool {
    claims.video.room_admin && claims.video.room.is_empty()
}

async fn only_operators(State(api): State<Arc<TurnApi>>, request: Request, next: Next) -> Result<Response, Problem> {
    let token = pointsman_signal::bearer_token(request.headers()).ok_or_else(Problem::no_token)?;
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let claims = api.keys.verify(token, now.as_secs()).map_err(Problem::token)?;
    if !is_operator(&claims) {
        return Err(Problem::forbidden("the token does not grant roomAdmin for the whole server: roomAdmin without a room"));
    }
    Ok(next.run(request).await)
}

#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Wish {
    /// The last id of the page before.
    after: Option<String>,
    limit: Option<usize>,
    /// The whole user name, as the client sent it.
    user: Option<String>,
    realm: Option<String>,
}

/// An allocation as operators see it. Addresses are `ip:port`.
#[derive(Debug, Serialize, Deserialize)]
pub struct Row {
    pub id: String,
    pub realm: String,
    pub user: String,
    /// `udp`, `tcp`, `tls` or `dtls`.
    pub protocol: String,
    pub client: String,
    /// Our address that the client talks to.
    pub server: String,
    pub relayed: Vec<String>,
    /// `udp`, or `tcp` (RFC 6062).
    pub relay: String,
    pub lifetime_left_s: u32,
    pub permissions: usize,
    pub channels: usize,
    pub connections: usize,
    /// Its client is gone and may come back with a mobility ticket (RFC 8016).
    pub parked: bool,
    pub packets_to_peers: u64,
    pub bytes_to_peers: u64,
    pub packets_to_client: u64,
    pub bytes_to_client: u64,
}

/// A page of allocations, in the order of their ids.
#[derive(Debug, Serialize, Deserialize)]
pub struct Page {
    pub allocations: Vec<Row>,
    /// To be shown as `after` for the next page; missing on the last.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

impl Row {
    fn new(view: &AllocationView) -> Self {
        let AllocationView {
            id,
            client,
            username,
            realm,
            transport,
            relayed,
            lifetime_left_s,
            permissions,
            channels,
            connections,
            parked,
            traffic,
        } = view;
        Self {
            id: id.to_string(),
            realm: realm.to_string(),
            user: String::from_utf8_lossy(username).into_owned(),
            protocol: protocol(client.protocol).to_owned(),
            client: client.remote.to_string(),
            server: client.local.to_string(),
            relayed: relayed.iter().flatten().map(ToString::to_string).collect(),
            relay: match transport {
                RelayTransport::Udp => "udp",
                RelayTransport::Tcp => "tcp",
            }
            .to_owned(),
            lifetime_left_s: *lifetime_left_s,
            permissions: *permissions,
            channels: *channels,
            connections: *connections,
            parked: *parked,
            packets_to_peers: traffic.packets_to_peers,
            bytes_to_peers: traffic.bytes_to_peers,
            packets_to_client: traffic.packets_to_client,
            bytes_to_client: traffic.bytes_to_client,
        }
    }
}

const fn protocol(protocol: Protocol) -> &'static str {
    match protocol {
        Protocol::Udp | Protocol::Relay(_) => "udp",
        Protocol::Tcp => "tcp",
        Protocol::Tls => "tls",
        Protocol::Dtls => "dtls",
    }
}

async fn list(State(api): State<Arc<TurnApi>>, Query(wish): Query<Wish>) -> Result<Json<Page>, Problem> {
    let limit = wish.limit.unwrap_or(PAGE_MAX).clamp(1, PAGE_MAX);
    let wanted = |view: &AllocationView| {
        wish.user.as_ref().is_none_or(|user| user.as_bytes() == &*view.username)
            && wish.realm.as_ref().is_none_or(|realm| **realm == *view.realm)
    };
    let mut rows = Vec::new();
    // The last id seen, and where the next page of a shard begins: behind it, or at the start of the next shard.
    let mut last = wish.after.as_deref().map(read_id).transpose()?;
    let (mut shard, mut after) = (last.map_or(0, |id| id.shard.0), last);
    for _ in 0..SHARD_PAGES_MAX + api.shards.count() {
        if usize::from(shard) >= api.shards.count() {
            return Ok(Json(Page { allocations: rows, next: None }));
        }
        let views = api.ask(ShardId(shard), |reply| TurnCommand::List { after, max: PAGE_MAX, reply }).await?;
        let whole = views.len() < PAGE_MAX;
        for view in views {
            last = Some(view.id);
            rows.extend(wanted(&view).then(|| Row::new(&view)));
            if rows.len() == limit {
                return Ok(Json(Page { allocations: rows, next: last.map(|id| id.to_string()) }));
            }
        }
        (shard, after) = if whole { (shard.saturating_add(1), None) } else { (shard, last) };
    }
    Ok(Json(Page { allocations: rows, next: last.map(|id| id.to_string()) }))
}

async fn end(State(api): State<Arc<TurnApi>>, Path(id): Path<String>) -> Result<StatusCode, Problem> {
    let id = read_id(&id)?;
    let none = || Problem::new(StatusCode::NOT_FOUND, "no such allocation, or it has ended");
    if usize::from(id.shard.0) >= api.shards.count() {
        return Err(none());
    }
    if !api.ask(id.shard, |done| TurnCommand::Kill { id, done }).await? {
        return Err(none());
    }
    tracing::info!(allocation = %id, "an operator ended an allocation");
    Ok(StatusCode::NO_CONTENT)
}

/// What is held of what there is.
#[derive(Debug, Serialize, Deserialize)]
pub struct Quotas {
    pub realms: Vec<RealmQuota>,
    /// Bytes per second that all allocations are granted together.
    pub granted_bps: u64,
    pub relay_ports_in_use: Ports,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct RealmQuota {
    pub realm: String,
    pub allocations: u32,
    /// Users who hold at least one.
    pub users: usize,
}

#[derive(Debug, Serialize, Deserialize)]
pub struct Ports {
    pub ipv4: u32,
    pub ipv6: u32,
}

async fn quotas(State(api): State<Arc<TurnApi>>) -> impl IntoResponse {
    let ledger = &api.ledger;
    let realms = ledger.realms(REALMS_MAX).into_iter();
    Json(Quotas {
        realms: realms.map(|(realm, allocations, users)| RealmQuota { realm: realm.into(), allocations, users }).collect(),
        granted_bps: ledger.granted_bps(),
        relay_ports_in_use: Ports { ipv4: ledger.ports_in_use(Family::V4), ipv6: ledger.ports_in_use(Family::V6) },
    })
}

fn read_id(text: &str) -> Result<AllocationId, Problem> {
    text.parse().map_err(|error: pointsman_turn::view::NotAnAllocationId| Problem::new(StatusCode::BAD_REQUEST, error.to_string()))
}

impl TurnApi {
    /// Asks one shard, and waits for its answer.
    async fn ask<T>(&self, shard: ShardId, command: impl FnOnce(mpsc::Sender<T>) -> TurnCommand) -> Result<T, Problem> {
        let (sender, mut answer) = mpsc::channel(1);
        let busy = || Problem::busy("a shard does not answer");
        self.shards.send(shard, command(sender)).map_err(|Busy| busy())?;
        tokio::time::timeout(SHARD_TIMEOUT, answer.recv()).await.ok().flatten().ok_or_else(busy)
    }
}

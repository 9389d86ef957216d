//! The door of the crate: the rules behind one lock, and a way out to every client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::ws::Utf8Bytes;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use foldhash::fast::RandomState;
use tokio::sync::mpsc;

use crate::config::Config;
use crate::media::{IceServer, Media, MediaEvent, ParticipantId};
use crate::message::{LeaveReason, Request, ServerMessage};
use crate::news::Observer;
use crate::people::{Plan, Ticket};
use crate::problem::Problem;
use crate::room::{Output, Refusal};
use crate::rooms::Rooms;
use crate::token::Claims;
use crate::{api, http, page, ws};

/// For metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    pub rooms: usize,
    /// Everyone, WHIP publishers and WHEP players included.
    pub participants: usize,
    /// WebSockets, joined or not.
    pub connections: usize,
}

/// Rooms and people, and everything that lets clients reach them. Cheap to clone: all clones are the same one.
#[derive(Clone)]
pub struct Signal {
    inner: Arc<Inner>,
}

struct Inner {
    config: Config,
    media: Arc<dyn Media>,
    observer: Arc<dyn Observer>,
    state: Mutex<State>,
}

struct State {
    rooms: Rooms,
    /// Ways to WebSocket clients.
    outlets: HashMap<ParticipantId, mpsc::Sender<Utf8Bytes>, RandomState>,
    /// What WHIP and WHEP made, by the unguessable end of its URL.
    resources: HashMap<String, Resource, RandomState>,
    resource_of: HashMap<ParticipantId, String, RandomState>,
    connections: usize,
    random: fn(&mut [u8]),
}

/// A publisher or player that came in through HTTP.
#[derive(Clone, Debug)]
pub(crate) struct Resource {
    pub participant: ParticipantId,
    pub room: String,
    pub identity: String,
}

/// What a WHIP or WHEP POST made.
pub(crate) struct Created {
    pub resource: String,
    pub sdp: String,
    pub ice_servers: Vec<IceServer>,
}

impl Signal {
    /// `media` must not call back into the `Signal` from within its methods: they are called under the rules' lock.
    pub fn new(config: Config, media: Arc<dyn Media>) -> Self {
        Self::with_random(config, media, Arc::new(()), system_random)
    }

    /// `observer` is told what happens.
    pub fn observed(config: Config, media: Arc<dyn Media>, observer: Arc<dyn Observer>) -> Self {
        Self::with_random(config, media, observer, system_random)
    }

    pub(crate) fn with_random(config: Config, media: Arc<dyn Media>, observer: Arc<dyn Observer>, random: fn(&mut [u8])) -> Self {
        let draw = move || {
            let mut bytes = [0; 8];
            random(&mut bytes);
            u64::from_be_bytes(bytes)
        };
        let state = State {
            rooms: Rooms::new(config.clone(), Box::new(draw)),
            outlets: HashMap::default(),
            resources: HashMap::default(),
            resource_of: HashMap::default(),
            connections: 0,
            random,
        };
        Self { inner: Arc::new(Inner { config, media, observer, state: Mutex::new(state) }) }
    }

    /// `/`, `/page/…`, `/client/…`, `/ws`, `/whip/…`, `/whep/…`, `/resources/…`, and `/dev/token` when the configuration allows it.
    pub fn router(&self) -> Router {
        let routes = Router::new().merge(page::routes()).merge(ws::routes()).merge(http::routes());
        let routes = if self.inner.config.dev_tokens { routes.merge(http::dev_routes()) } else { routes };
        routes.with_state(self.clone())
    }

    /// `/api/v1/rooms…`, for listeners that operators reach. Every request needs a token with `roomAdmin`.
    pub fn api_router(&self) -> Router {
        api::routes().with_state(self.clone())
    }

    /// `/admin`, the dashboard, for listeners that operators reach; in development mode with `/dev/operator`, which mints a token for it.
    pub fn admin_router(&self) -> Router {
        let routes = page::admin_routes();
        let routes = if self.inner.config.dev_tokens { routes.merge(http::dev_operator_routes()) } else { routes };
        routes.with_state(self.clone())
    }

    /// Something happened on the media side. To be called from outside of [`Media`]'s methods, in the order in which things happened.
    pub fn handle_media_event(&self, event: MediaEvent) {
        self.act(|state, media| state.rooms.handle_media_event(event, media));
    }

    /// Lets go of rooms in which nobody has been for long enough. To be called about once a second.
    pub fn handle_time(&self) {
        self.act(|state, _| state.rooms.handle_time());
    }

    pub fn counts(&self) -> Counts {
        self.act(|state, _| Counts { rooms: state.rooms.rooms(), participants: state.rooms.participants(), connections: state.connections })
    }

    /// Tells everyone that the server closes and ends every participant.
    pub fn close_all(&self) {
        self.act(|state, media| state.rooms.close_all(media));
    }

    pub(crate) fn config(&self) -> &Config {
        &self.inner.config
    }

    /// Who asks, by a token in the `Authorization` header or (for WebSockets, where browsers can set no header) in the query.
    pub(crate) fn ticket(&self, headers: &HeaderMap, query_token: Option<&str>) -> Result<(Ticket, bool), Problem> {
        let claims = self.claims(bearer_token(headers).or(query_token))?;
        let may_join = claims.video.room_join && !claims.video.room.is_empty();
        Ok((Ticket::from(claims), may_join))
    }

    pub(crate) fn claims(&self, token: Option<&str>) -> Result<Claims, Problem> {
        let token = token.filter(|token| !token.is_empty()).ok_or_else(Problem::no_token)?;
        self.inner.config.keys.verify(token, unix_s()).map_err(Problem::token)
    }

    /// Reads from the rules without changing anything. Media events wait meanwhile: take out plain values, serialize later.
    pub(crate) fn look<T>(&self, read: impl FnOnce(&Rooms) -> T) -> T {
        self.act(|state, _| read(&state.rooms))
    }

    pub(crate) fn ice_servers(&self, identity: &str) -> Vec<IceServer> {
        self.inner.media.ice_servers(identity)
    }

    /// Lets an operator act on the rules.
    pub(crate) fn change<T>(&self, change: impl FnOnce(&mut Rooms, &dyn Media) -> T) -> T {
        self.act(|state, media| change(&mut state.rooms, media))
    }

    pub(crate) fn connection_opened(&self) -> Result<(), Problem> {
        self.act(|state, _| {
            if state.connections >= self.inner.config.connections_max {
                return Err(Problem::busy("the server has too many connections"));
            }
            state.connections += 1;
            Ok(())
        })
    }

    pub(crate) fn connection_closed(&self, participant: Option<ParticipantId>) {
        self.act(|state, media| {
            state.connections = state.connections.saturating_sub(1);
            if let Some(participant) = participant {
                state.rooms.leave(participant, LeaveReason::Disconnected, media);
            }
        });
    }

    pub(crate) fn join(
        &self,
        ticket: Ticket,
        auto_subscribe: bool,
        request: u64,
        outlet: mpsc::Sender<Utf8Bytes>,
    ) -> Result<ParticipantId, Refusal> {
        self.act(|state, media| {
            let participant = state.rooms.join(ticket, auto_subscribe, media)?;
            state.outlets.insert(participant, outlet);
            state.rooms.tell_joined(participant, request, media);
            Ok(participant)
        })
    }

    pub(crate) fn request(&self, participant: ParticipantId, id: u64, request: Request) {
        self.act(|state, media| state.rooms.handle_request(participant, id, request, media));
    }

    pub(crate) fn leave(&self, participant: ParticipantId, reason: LeaveReason) {
        self.act(|state, media| state.rooms.leave(participant, reason, media));
    }

    pub(crate) fn publish(&self, ticket: Ticket, offer: &str) -> Result<Created, Refusal> {
        let (room, identity) = (ticket.room.clone(), ticket.identity.clone());
        self.act(|state, media| {
            let (participant, sdp) = state.rooms.join_publisher(ticket, offer, media)?;
            let resource = state.keep(Resource { participant, room, identity: identity.clone() });
            Ok(Created { resource, sdp, ice_servers: media.ice_servers(&identity) })
        })
    }

    pub(crate) fn play(&self, ticket: Ticket, plan: Plan, offer: &str) -> Result<Created, Refusal> {
        let (room, identity) = (ticket.room.clone(), ticket.identity.clone());
        self.act(|state, media| {
            let (participant, sdp) = state.rooms.join_player(ticket, plan, offer, media)?;
            let resource = state.keep(Resource { participant, room, identity: identity.clone() });
            Ok(Created { resource, sdp, ice_servers: media.ice_servers(&identity) })
        })
    }

    pub(crate) fn resource(&self, id: &str) -> Option<Resource> {
        self.act(|state, _| state.resources.get(id).cloned())
    }

    pub(crate) fn random_hex<const BYTES: usize>(&self) -> String {
        self.act(|state, _| state.random_hex::<BYTES>())
    }

    /// Lets the rules act, then tells the outside what came of it.
    fn act<T>(&self, act: impl FnOnce(&mut State, &dyn Media) -> T) -> T {
        // A panic elsewhere must not take every later call with it.
        let mut state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.rooms.set_now(unix_s());
        let outcome = act(&mut state, &*self.inner.media);
        state.dispatch(&*self.inner.media, &*self.inner.observer);
        outcome
    }
}

impl State {
    /// Carries outputs out until there are none. Terminates: whoever is too slow leaves, once.
    fn dispatch(&mut self, media: &dyn Media, observer: &dyn Observer) {
        loop {
            let outputs = self.rooms.take_outputs();
            if outputs.is_empty() {
                return;
            }
            let mut slow = Vec::new();
            for output in outputs {
                match output {
                    Output::Tell { to, message } => self.tell(&to, &message, &mut slow),
                    Output::Ended { participant, reason } => self.end(participant, reason),
                    Output::News(news) => observer.news(*news),
                    Output::Sample(sample) => observer.sample(*sample),
                }
            }
            for participant in slow {
                self.rooms.leave(participant, LeaveReason::TooSlow, media);
            }
        }
    }

    fn tell(&self, to: &[ParticipantId], message: &ServerMessage, slow: &mut Vec<ParticipantId>) {
        let Some(text) = text(message) else { return };
        for participant in to {
            let Some(outlet) = self.outlets.get(participant) else { continue };
            if outlet.try_send(text.clone()).is_err() {
                slow.push(*participant);
            }
        }
    }

    /// Without its outlet, a WebSocket sends what is left and closes.
    fn end(&mut self, participant: ParticipantId, reason: LeaveReason) {
        if let Some(outlet) = self.outlets.remove(&participant) {
            let message = ServerMessage::Closed { reason, message: reason.text().to_owned() };
            // A full queue is why it ends, or its end is known anyway.
            let _ = text(&message).map(|text| outlet.try_send(text));
        }
        if let Some(resource) = self.resource_of.remove(&participant) {
            self.resources.remove(&resource);
        }
    }

    fn keep(&mut self, resource: Resource) -> String {
        let id = self.random_hex::<16>();
        self.resource_of.insert(resource.participant, id.clone());
        self.resources.insert(id.clone(), resource);
        id
    }

    fn random_hex<const BYTES: usize>(&self) -> String {
        let mut bytes = [0; BYTES];
        (self.random)(&mut bytes);
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

pub(crate) fn text(message: &ServerMessage) -> Option<Utf8Bytes> {
    serde_json::to_string(message).ok().map(Utf8Bytes::from)
}

/// The token of an `Authorization: Bearer` header (RFC 6750 section 2.1).
pub fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, token) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then_some(token.trim())
}

/// Seconds since 1970.
pub(crate) fn unix_s() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

fn system_random(bytes: &mut [u8]) {
    // The system's generator fails only where there is none; then no id is safe to hand out.
    aws_lc_rs::rand::fill(bytes).expect("the system's random generator works");
}

//! The door of the crate: the rules behind one lock, and a way out to every client.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use axum::Router;
use axum::extract::ws::Utf8Bytes;
use axum::http::HeaderMap;
use axum::http::header::AUTHORIZATION;
use foldhash::fast::RandomState;
use tokio::sync::{Notify, mpsc};

use crate::bucket::Bucket;
use crate::config::Config;
use crate::media::{Media, MediaEvent, ParticipantId};
use crate::message::{ChatInfo, DataRequest, ErrorCode, LeaveReason, Request, ServerMessage};
use crate::news::Observer;
use crate::people::Ticket;
use crate::problem::Problem;
use crate::room::{Output, Refusal};
use crate::rooms::Rooms;
use crate::time::Now;
use crate::token::{Claims, VideoGrant};
use crate::{api, http, page, whip, ws};

mod resources;

use resources::Resources;
pub(crate) use resources::{Created, Door, Patched};

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
    /// The zero of the rules' time.
    begun: Instant,
    /// Something is due sooner than before.
    sooner: Notify,
}

struct State {
    rooms: Rooms,
    /// Ways to WebSocket clients.
    outlets: HashMap<ParticipantId, Outlet, RandomState>,
    links_total: u64,
    /// What WHIP and WHEP made.
    resources: Resources,
    /// Bounds the offers that come through them.
    offers: Bucket,
    started: Instant,
    connections: usize,
    random: fn(&mut [u8]),
}

/// The way to a client: that of its latest WebSocket.
struct Outlet {
    link: Link,
    queue: mpsc::Sender<Utf8Bytes>,
}

/// Which WebSocket of a participant, unique in the process: one that came back may overtake the news that its old one is gone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link(u64);

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
            links_total: 0,
            resources: Resources::default(),
            offers: Bucket::new(config.whip.offers_per_s, config.whip.offers_burst, 0),
            started: Instant::now(),
            connections: 0,
            random,
        };
        let (begun, sooner) = (Instant::now(), Notify::new());
        Self { inner: Arc::new(Inner { config, media, observer, state: Mutex::new(state), begun, sooner }) }
    }

    /// What was said in a room when it was alive before, the oldest first.
    pub fn restore_chat(&self, room: &str, messages: Vec<ChatInfo>) {
        self.act(|state, media| state.rooms.restore_chat(room, messages, media));
    }

    /// Lets happen what time brings. Ends never: to be spawned once.
    pub async fn keep_time(self) {
        loop {
            let next_ms = self.act(|state, _| state.rooms.next_ms());
            let Some(next_ms) = next_ms else {
                self.inner.sooner.notified().await;
                continue;
            };
            let due = self.inner.begun + Duration::from_millis(next_ms);
            tokio::select! {
                () = tokio::time::sleep_until(due.into()) => {}
                () = self.inner.sooner.notified() => {}
            }
        }
    }

    fn now(&self) -> Now {
        let mono_ms = u64::try_from(self.inner.begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let unix_ms = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
        Now { mono_ms, unix_ms }
    }

    /// `/`, `/page/…`, `/client/…`, `/ws`, `/whip/…`, `/whep/…`, `/resources/…`, and `/dev/token` when the configuration allows it.
    pub fn router(&self) -> Router {
        let routes = Router::new().merge(page::routes()).merge(ws::routes()).merge(whip::routes());
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

    /// Sends a message of the server's own to everyone in a room or, with `to`, to some. Over data channels where they are open, on WebSockets
    /// where not. Returns how many it is sent to.
    ///
    /// # Errors
    /// There is no such room, nobody of `to` is there, or the message is longer than those of participants may be.
    pub fn send_data(&self, room: &str, data: &DataRequest) -> Result<usize, Problem> {
        let Config { data_bytes_max, data_lossy_bytes_max, .. } = self.inner.config;
        let bytes_max = if data.reliable { data_bytes_max } else { data_lossy_bytes_max };
        if data.content.bytes().len() > bytes_max {
            return Err(Refusal::new(ErrorCode::TooLarge, format!("content is longer than {bytes_max} bytes")).into());
        }
        Ok(self.act(|state, media| state.rooms.send_data(room, data, media))?)
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
        let (ticket, grant) = self.ticket_and_grant(headers, query_token)?;
        let may_join = grant.room_join && !grant.room.is_empty();
        Ok((ticket, may_join))
    }

    pub(crate) fn ticket_and_grant(&self, headers: &HeaderMap, query_token: Option<&str>) -> Result<(Ticket, VideoGrant), Problem> {
        let claims = self.claims(bearer_token(headers).or(query_token))?;
        let grant = claims.video.clone();
        Ok((Ticket::from(claims), grant))
    }

    pub(crate) fn claims(&self, token: Option<&str>) -> Result<Claims, Problem> {
        let token = token.filter(|token| !token.is_empty()).ok_or_else(Problem::no_token)?;
        self.inner.config.keys.verify(token, unix_s()).map_err(Problem::token)
    }

    /// Reads from the rules without changing anything. Media events wait meanwhile: take out plain values, serialize later.
    pub(crate) fn look<T>(&self, read: impl FnOnce(&Rooms) -> T) -> T {
        self.act(|state, _| read(&state.rooms))
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

    /// `lost`: nobody has said that it ends, so it may come back.
    pub(crate) fn connection_closed(&self, whose: Option<(ParticipantId, Link)>, lost: bool) {
        self.act(|state, media| {
            state.connections = state.connections.saturating_sub(1);
            let is_latest = |(participant, link): &(ParticipantId, Link)| state.outlets.get(participant).is_some_and(|it| it.link == *link);
            let Some((participant, _)) = whose.filter(is_latest) else { return };
            state.outlets.remove(&participant);
            if lost {
                state.rooms.lose(participant, media);
            } else {
                state.rooms.leave(participant, LeaveReason::Disconnected, media);
            }
        });
    }

    pub(crate) fn join(
        &self,
        ticket: Ticket,
        auto_subscribe: bool,
        request: u64,
        queue: mpsc::Sender<Utf8Bytes>,
    ) -> Result<(ParticipantId, Link), Refusal> {
        self.act(|state, media| {
            let participant = state.rooms.join(ticket, auto_subscribe, media)?;
            let link = state.connect(participant, queue);
            state.rooms.tell_joined(participant, request, media);
            Ok((participant, link))
        })
    }

    /// Somebody is there, in no room.
    pub(crate) fn attend(&self, ticket: &Ticket, may_list: bool, request: u64, queue: mpsc::Sender<Utf8Bytes>) -> (ParticipantId, Link) {
        self.act(|state, _| {
            let id = state.rooms.attend(ticket, may_list);
            let link = state.connect(id, queue);
            state.rooms.tell_welcome(id, request);
            (id, link)
        })
    }

    pub(crate) fn ticket_by_call(&self, ticket: Ticket, room: &str) -> Result<Ticket, Refusal> {
        self.look(|rooms| rooms.ticket_by_call(ticket, room))
    }

    /// Whether somebody may come back with this secret.
    pub(crate) fn may_return(&self, resume: &str) -> bool {
        self.look(|rooms| rooms.returning(resume).is_some())
    }

    /// Another WebSocket for who has this secret; what the old one had still to say is not said any more.
    pub(crate) fn resume(&self, resume: &str, request: u64, queue: mpsc::Sender<Utf8Bytes>) -> Result<(ParticipantId, Link), Refusal> {
        self.act(|state, media| {
            let gone = || Refusal::new(ErrorCode::NotFound, "it is too late to resume: join again");
            let participant = state.rooms.returning(resume).ok_or_else(gone)?;
            let link = state.connect(participant, queue);
            state.rooms.resume(participant, request, media);
            Ok((participant, link))
        })
    }

    pub(crate) fn request(&self, participant: ParticipantId, id: u64, request: Request) {
        self.act(|state, media| state.rooms.handle_request(participant, id, request, media));
    }

    pub(crate) fn leave(&self, participant: ParticipantId, reason: LeaveReason) {
        self.act(|state, media| state.rooms.leave(participant, reason, media));
    }

    pub(crate) fn random_hex<const BYTES: usize>(&self) -> String {
        self.act(|state, _| state.random_hex::<BYTES>())
    }

    /// Lets the rules act, then tells the outside what came of it.
    fn act<T>(&self, act: impl FnOnce(&mut State, &dyn Media) -> T) -> T {
        // A panic elsewhere must not take every later call with it.
        let mut state = self.inner.state.lock().unwrap_or_else(PoisonError::into_inner);
        let before_ms = state.rooms.next_ms();
        state.rooms.handle_time(self.now(), &*self.inner.media);
        let outcome = act(&mut state, &*self.inner.media);
        state.dispatch(&*self.inner.media, &*self.inner.observer);
        let next_ms = state.rooms.next_ms();
        drop(state);
        if next_ms.is_some_and(|next_ms| before_ms.is_none_or(|before_ms| next_ms < before_ms)) {
            self.inner.sooner.notify_one();
        }
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
                    Output::Hint { to, message } => self.hint(&to, &message),
                    Output::Ended { participant, reason } => self.end(participant, reason),
                    Output::News(news) => observer.news(*news),
                    Output::Record(record) => observer.record(*record),
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
            if outlet.queue.try_send(text.clone()).is_err() {
                slow.push(*participant);
            }
        }
    }

    /// Tells who has room enough for it.
    fn hint(&self, to: &[ParticipantId], message: &ServerMessage) {
        let Some(text) = text(message) else { return };
        for outlet in to.iter().filter_map(|participant| self.outlets.get(participant)) {
            if outlet.queue.capacity() > outlet.queue.max_capacity() / 2 {
                // Between the look and now only we put something in.
                let _ = outlet.queue.try_send(text.clone());
            }
        }
    }

    /// Without its outlet, a WebSocket sends what is left and closes.
    fn end(&mut self, participant: ParticipantId, reason: LeaveReason) {
        if let Some(outlet) = self.outlets.remove(&participant) {
            let message = ServerMessage::Closed { reason, message: reason.text().to_owned() };
            // A full queue is why it ends, or its end is known anyway.
            let _ = text(&message).map(|text| outlet.queue.try_send(text));
        }
        self.resources.remove(participant);
    }

    fn connect(&mut self, participant: ParticipantId, queue: mpsc::Sender<Utf8Bytes>) -> Link {
        self.links_total += 1;
        let link = Link(self.links_total);
        self.outlets.insert(participant, Outlet { link, queue });
        link
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

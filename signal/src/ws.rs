//! `GET /ws`: one task per WebSocket. It reads requests, writes what the rules queued for it, and knows nothing of rooms.

use std::time::Duration;

use axum::Router;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseCode, CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
use axum::extract::{Query, State};
use axum::http::header::UPGRADE;
use axum::http::{HeaderMap, HeaderValue, StatusCode};
use axum::middleware;
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior, interval, sleep, sleep_until, timeout};

use crate::bucket::{Bucket, Pace};
use crate::cors::any_origin;
use crate::media::ParticipantId;
use crate::message::{self, Bounds, ErrorCode, LeaveReason, Request, SUBPROTOCOL, ServerMessage, Unreadable};
use crate::people::Ticket;
use crate::problem::Problem;
use crate::room::Refusal;
use crate::signal::{Link, Signal, text};

#[cfg(test)]
mod tests;

/// A client whose socket takes nothing for this long is gone.
const SEND_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a client's Close is waited for.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(1);

pub fn routes() -> Router<Signal> {
    Router::new().route("/ws", get(upgrade)).layer(middleware::from_fn(any_origin))
}

#[derive(Deserialize)]
struct Parameters {
    token: Option<String>,
    resume: Option<String>,
}

/// With what a WebSocket was opened, and so how it may begin.
enum Opening {
    Join(Ticket),
    /// With the secret of someone who is in a room already.
    Resume(String),
    /// To be reachable without being in a room, or to come into the room of a call.
    Presence {
        ticket: Ticket,
        may_list: bool,
    },
}

/// Without an upgrade it answers as it would have with one, so that a browser, which learns nothing of why a WebSocket was refused, can ask.
async fn upgrade(
    State(signal): State<Signal>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let opening = opening(&signal, &headers, parameters)?;
    let Ok(upgrade) = upgrade else {
        let problem = Problem::new(StatusCode::UPGRADE_REQUIRED, "this address speaks WebSocket, subprotocol pointsman.v1");
        let mut response = problem.into_response();
        response.headers_mut().insert(UPGRADE, HeaderValue::from_static("websocket"));
        return Ok(response);
    };
    let upgrade = upgrade
        .protocols([SUBPROTOCOL])
        .max_message_size(signal.config().message_bytes_max)
        .max_frame_size(signal.config().message_bytes_max);
    if upgrade.selected_protocol().is_none() {
        return Err(Problem::new(StatusCode::BAD_REQUEST, "the WebSocket must offer the subprotocol pointsman.v1"));
    }
    signal.connection_opened()?;
    let on_failure = signal.clone();
    Ok(upgrade
        .on_failed_upgrade(move |_| on_failure.connection_closed(None, false))
        .on_upgrade(move |socket| Connection::new(signal, socket, opening).run()))
}

fn opening(signal: &Signal, headers: &HeaderMap, parameters: Parameters) -> Result<Opening, Problem> {
    let Parameters { token, resume } = parameters;
    if let Some(resume) = resume {
        let may_return = signal.may_return(&resume);
        return if may_return { Ok(Opening::Resume(resume)) } else { Err(Problem::too_late()) };
    }
    let (ticket, grant) = signal.ticket_and_grant(headers, token.as_deref())?;
    if !grant.room_join {
        return Err(Problem::forbidden("the token does not grant roomJoin"));
    }
    Ok(if ticket.room.is_empty() { Opening::Presence { ticket, may_list: grant.room_list } } else { Opening::Join(ticket) })
}

struct Connection {
    signal: Signal,
    socket: WebSocket,
    opening: Opening,
    bounds: Bounds,
    bucket: Bucket,
    /// Of messages for others, in bytes: it slows and drops nobody.
    data_bucket: Bucket,
    opened: Instant,
    heard: Instant,
    participant: Option<(ParticipantId, Link)>,
    /// Where the rules put what this client must be told; `outlet` is theirs from `join` on.
    queue: mpsc::Receiver<Utf8Bytes>,
    outlet: Option<mpsc::Sender<Utf8Bytes>>,
}

/// Why the loop ends.
enum End {
    /// The client said so, or was told already.
    Silent,
    /// The socket is gone, and nobody said why.
    Lost,
    /// The client is told.
    Because(LeaveReason),
}

impl Connection {
    fn new(signal: Signal, socket: WebSocket, opening: Opening) -> Self {
        let config = signal.config();
        let (outlet, queue) = mpsc::channel(config.out_queue_max);
        Self {
            bounds: Bounds::new(config),
            data_bucket: Bucket::new(config.data_bytes_per_s, config.data_bytes_burst, u32::MAX),
            bucket: Bucket::new(config.messages_per_s, config.messages_burst, config.flood_s_max),
            opened: Instant::now(),
            heard: Instant::now(),
            participant: None,
            outlet: Some(outlet),
            signal,
            socket,
            opening,
            queue,
        }
    }

    async fn run(mut self) {
        let end = self.talk().await;
        if let End::Because(reason) = end {
            if let Some((participant, _)) = self.participant {
                self.signal.leave(participant, reason); // queues `closed`
                let _ = self.drain().await;
            } else {
                let message = ServerMessage::Closed { reason, message: reason.text().to_owned() };
                let _ = self.say(&message).await;
            }
        }
        let frame = CloseFrame { code: close_code::NORMAL, reason: Utf8Bytes::from_static("") };
        let _ = timeout(SEND_TIMEOUT, self.socket.send(Message::Close(Some(frame)))).await;
        self.signal.connection_closed(self.participant, matches!(end, End::Lost));
        // RFC 6455 section 7.1.1: the client's Close comes, too. To hang up on what it still says would take our last words from it.
        let _ = timeout(CLOSE_TIMEOUT, async { while let Some(Ok(_)) = self.socket.recv().await {} }).await;
    }

    async fn talk(&mut self) -> End {
        let join_by = self.opened + Duration::from_secs(self.signal.config().join_timeout_s.into());
        let ping_interval = Duration::from_secs(self.signal.config().ping_interval_s.max(1).into());
        let mut ping = interval(ping_interval);
        ping.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let end = tokio::select! {
                received = self.socket.recv() => match received {
                    Some(Ok(message)) => self.handle_frame(message).await,
                    Some(Err(_)) | None => Some(End::Lost),
                },
                queued = self.queue.recv() => match queued {
                    Some(text) => self.send(Message::Text(text)).await.err(),
                    None => Some(End::Silent), // the rules let go of it; `closed` was the last it was told
                },
                _ = ping.tick() => {
                    if self.heard.elapsed() > ping_interval * 2 + SEND_TIMEOUT {
                        Some(End::Lost)
                    } else {
                        self.send(Message::Ping(Default::default())).await.err()
                    }
                }
                () = sleep_until(join_by), if self.participant.is_none() => Some(End::Because(LeaveReason::JoinTimeout)),
            };
            if let Some(end) = end {
                return end;
            }
        }
    }

    async fn handle_frame(&mut self, frame: Message) -> Option<End> {
        self.heard = Instant::now();
        match self.bucket.take(self.now_ms()) {
            Pace::Go => {}
            Pace::Wait(ms) => sleep(Duration::from_millis(ms)).await,
            Pace::Drop => return Some(End::Because(LeaveReason::Flood)),
        }
        match frame {
            Message::Text(text) => self.handle_text(&text).await,
            Message::Binary(_) => {
                let unreadable = Unreadable {
                    id: None,
                    code: ErrorCode::Malformed,
                    field: None,
                    message: "messages are JSON in text frames".to_owned(),
                };
                self.say_error(unreadable).await
            }
            Message::Ping(_) | Message::Pong(_) => None,
            Message::Close(frame) => Some(if is_farewell(frame.as_ref()) { End::Silent } else { End::Lost }),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    async fn handle_text(&mut self, text: &str) -> Option<End> {
        let (id, request) = match message::parse(text, &self.bounds) {
            Ok(read) => read,
            Err(unreadable) => return self.say_error(unreadable).await,
        };
        if let Request::SendData { data } = &request
            && let Pace::Wait(ms) = self.data_bucket.take_many(self.now_ms(), data.content.bytes().len() as u64)
        {
            sleep(Duration::from_millis(ms)).await;
        }
        if let Some((participant, _)) = self.participant {
            self.signal.request(participant, id, request);
            return None;
        }
        match request {
            Request::Join { auto_subscribe, room } => self.join(id, auto_subscribe, room).await,
            Request::Resume => self.resume(id).await,
            Request::Hello => self.attend(id).await,
            Request::Ping => self.say(&ServerMessage::Pong { id }).await,
            Request::Offer { .. }
            | Request::Candidate { .. }
            | Request::Publish { .. }
            | Request::Unpublish { .. }
            | Request::Subscribe { .. }
            | Request::Unsubscribe { .. }
            | Request::Prefer { .. }
            | Request::Mute { .. }
            | Request::SendData { .. }
            | Request::Moderate(_)
            | Request::Talk(_)
            | Request::Poll(_)
            | Request::Board(_)
            | Request::Breakout(_)
            | Request::AudienceList { .. }
            | Request::Call(_)
            | Request::Stats(_)
            | Request::Leave => self.refuse(id, Refusal::new(ErrorCode::NotJoined, "join comes first")).await,
        }
    }

    /// A refused join may be tried again, until the time to join is over.
    async fn join(&mut self, id: u64, auto_subscribe: bool, room: Option<String>) -> Option<End> {
        let ticket = match (&self.opening, room) {
            (Opening::Join(ticket), room) if room.as_ref().is_none_or(|room| *room == ticket.room) => Ok(ticket.clone()),
            (Opening::Presence { ticket, .. }, Some(room)) => self.signal.ticket_by_call(ticket.clone(), &room),
            (Opening::Join(_), _) => Err(Refusal::new(ErrorCode::Forbidden, "the token is for another room").of("room")),
            (Opening::Presence { .. }, None) => Err(Refusal::new(ErrorCode::Forbidden, "the token is for no room").of("room")),
            (Opening::Resume(_), _) => Err(Refusal::new(ErrorCode::Forbidden, "this connection was opened to resume")),
        };
        let outlet = self.outlet.clone()?;
        let joined = ticket.and_then(|ticket| self.signal.join(ticket, auto_subscribe, id, outlet));
        self.begin(id, joined).await
    }

    async fn attend(&mut self, id: u64) -> Option<End> {
        let Opening::Presence { ticket, may_list } = &self.opening else {
            return self.refuse(id, Refusal::new(ErrorCode::Forbidden, "only with a token of roomJoin and no room")).await;
        };
        let attended = self.signal.attend(ticket, *may_list, id, self.outlet.clone()?);
        self.begin(id, Ok(attended)).await
    }

    async fn resume(&mut self, id: u64) -> Option<End> {
        let Opening::Resume(resume) = &self.opening else {
            return self.refuse(id, Refusal::new(ErrorCode::Forbidden, "this connection was not opened to resume")).await;
        };
        let resumed = self.signal.resume(resume, id, self.outlet.clone()?);
        self.begin(id, resumed).await
    }

    async fn begin(&mut self, id: u64, begun: Result<(ParticipantId, Link), Refusal>) -> Option<End> {
        match begun {
            Ok(participant) => {
                self.participant = Some(participant);
                self.outlet = None;
                None
            }
            Err(refusal) => self.refuse(id, refusal).await,
        }
    }

    async fn refuse(&mut self, id: u64, refusal: Refusal) -> Option<End> {
        let Refusal { code, message, field } = refusal;
        self.say_error(Unreadable { id: Some(id), code, field: field.map(str::to_owned), message }).await
    }

    async fn say_error(&mut self, unreadable: Unreadable) -> Option<End> {
        let Unreadable { id, code, field, message } = unreadable;
        self.say(&ServerMessage::Error { id, code, message, field }).await
    }

    async fn say(&mut self, message: &ServerMessage) -> Option<End> {
        self.send(Message::Text(text(message)?)).await.err()
    }

    async fn send(&mut self, message: Message) -> Result<(), End> {
        match timeout(SEND_TIMEOUT, self.socket.send(message)).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) | Err(_) => Err(End::Lost),
        }
    }

    async fn drain(&mut self) -> Result<(), End> {
        while let Some(text) = self.queue.recv().await {
            self.send(Message::Text(text)).await?;
        }
        Ok(())
    }
}

/// Whether a Close says that its sender wants no more: normal, going away, or nothing in particular (RFC 6455 section 7.4.1). Other codes come from
/// trouble on the way, and from clients that mean to come back.
fn is_farewell(frame: Option<&CloseFrame>) -> bool {
    const ENDS: [CloseCode; 3] = [close_code::NORMAL, close_code::AWAY, close_code::STATUS];
    frame.is_none_or(|frame| ENDS.contains(&frame.code))
}

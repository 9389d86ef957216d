//! `GET /ws`: one task per WebSocket. It reads requests, writes what the rules queued for it, and knows nothing of rooms.

use std::time::Duration;

use axum::Router;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::ws::{CloseFrame, Message, Utf8Bytes, WebSocket, WebSocketUpgrade, close_code};
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
use crate::signal::{Signal, text};

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
}

/// Without an upgrade it answers as it would have with one, so that a browser, which learns nothing of why a WebSocket was refused, can ask.
async fn upgrade(
    State(signal): State<Signal>,
    Query(parameters): Query<Parameters>,
    headers: HeaderMap,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Result<Response, Problem> {
    let (ticket, may_join) = signal.ticket(&headers, parameters.token.as_deref())?;
    if !may_join {
        return Err(Problem::forbidden("the token does not grant roomJoin for a room"));
    }
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
        .on_failed_upgrade(move |_| on_failure.connection_closed(None))
        .on_upgrade(move |socket| Connection::new(signal, socket, ticket).run()))
}

struct Connection {
    signal: Signal,
    socket: WebSocket,
    ticket: Ticket,
    bounds: Bounds,
    bucket: Bucket,
    opened: Instant,
    heard: Instant,
    participant: Option<ParticipantId>,
    /// Where the rules put what this client must be told; `outlet` is theirs from `join` on.
    queue: mpsc::Receiver<Utf8Bytes>,
    outlet: Option<mpsc::Sender<Utf8Bytes>>,
}

/// Why the loop ends.
enum End {
    /// The socket is gone, or it was told already.
    Silent,
    /// The client is told.
    Because(LeaveReason),
}

impl Connection {
    fn new(signal: Signal, socket: WebSocket, ticket: Ticket) -> Self {
        let config = signal.config();
        let (outlet, queue) = mpsc::channel(config.out_queue_max);
        Self {
            bounds: Bounds {
                sdp_bytes_max: config.sdp_bytes_max,
                track_name_bytes_max: config.track_name_bytes_max,
                tracks_max: config.publications_per_participant_max,
            },
            bucket: Bucket::new(config.messages_per_s, config.messages_burst, config.flood_s_max),
            opened: Instant::now(),
            heard: Instant::now(),
            participant: None,
            outlet: Some(outlet),
            signal,
            socket,
            ticket,
            queue,
        }
    }

    async fn run(mut self) {
        let end = self.talk().await;
        if let End::Because(reason) = end {
            if let Some(participant) = self.participant {
                self.signal.leave(participant, reason); // queues `closed`
                let _ = self.drain().await;
            } else {
                let message = ServerMessage::Closed { reason, message: reason.text().to_owned() };
                let _ = self.say(&message).await;
            }
        }
        let frame = CloseFrame { code: close_code::NORMAL, reason: Utf8Bytes::from_static("") };
        let _ = timeout(SEND_TIMEOUT, self.socket.send(Message::Close(Some(frame)))).await;
        self.signal.connection_closed(self.participant);
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
                    Some(Err(_)) | None => Some(End::Silent),
                },
                queued = self.queue.recv() => match queued {
                    Some(text) => self.send(Message::Text(text)).await.err(),
                    None => Some(End::Silent), // the rules let go of it; `closed` was the last it was told
                },
                _ = ping.tick() => {
                    if self.heard.elapsed() > ping_interval * 2 + SEND_TIMEOUT {
                        Some(End::Because(LeaveReason::Disconnected))
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
        match self.bucket.take(u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX)) {
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
            Message::Close(_) => Some(End::Silent),
        }
    }

    async fn handle_text(&mut self, text: &str) -> Option<End> {
        let (id, request) = match message::parse(text, &self.bounds) {
            Ok(read) => read,
            Err(unreadable) => return self.say_error(unreadable).await,
        };
        if let Some(participant) = self.participant {
            self.signal.request(participant, id, request);
            return None;
        }
        match request {
            Request::Join { auto_subscribe: _, room: Some(room) } if room != self.ticket.room => {
                let (code, field) = (ErrorCode::Forbidden, Some("room".to_owned()));
                let message = "the token is for another room".to_owned();
                self.say_error(Unreadable { id: Some(id), code, field, message }).await
            }
            Request::Join { auto_subscribe, room: _ } => self.join(id, auto_subscribe).await,
            Request::Ping => self.say(&ServerMessage::Pong { id }).await,
            Request::Offer { .. }
            | Request::Candidate { .. }
            | Request::Publish { .. }
            | Request::Unpublish { .. }
            | Request::Subscribe { .. }
            | Request::Unsubscribe { .. }
            | Request::Prefer { .. }
            | Request::Mute { .. }
            | Request::Stats(_)
            | Request::Leave => {
                let message = "join comes first".to_owned();
                self.say_error(Unreadable { id: Some(id), code: ErrorCode::NotJoined, field: None, message }).await
            }
        }
    }

    /// A refused join may be tried again, until the time to join is over.
    async fn join(&mut self, id: u64, auto_subscribe: bool) -> Option<End> {
        let outlet = self.outlet.clone()?;
        match self.signal.join(self.ticket.clone(), auto_subscribe, id, outlet) {
            Ok(participant) => {
                self.participant = Some(participant);
                self.outlet = None;
                None
            }
            Err(refusal) => {
                let field = refusal.field.map(str::to_owned);
                self.say_error(Unreadable { id: Some(id), code: refusal.code, field, message: refusal.message }).await
            }
        }
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
            Ok(Err(_)) | Err(_) => Err(End::Silent),
        }
    }

    async fn drain(&mut self) -> Result<(), End> {
        while let Some(text) = self.queue.recv().await {
            self.send(Message::Text(text)).await?;
        }
        Ok(())
    }
}

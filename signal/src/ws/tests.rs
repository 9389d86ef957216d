//! The protocol over a real WebSocket, on loopback, against the fake media side.

use std::net::SocketAddr;
use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::{TcpListener, TcpStream};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{self, Message as Frame};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream};

use crate::media::{Media, MediaEvent};
use crate::signal::unix_s;
use crate::testing::FakeMedia;
use crate::token::{Claims, Keys, VideoGrant};
use crate::{Config, RoomConfig, Signal};

const OFFER: &str = "v=0\nm=audio 9 send a\nm=video 9 send v\nm=audio 9 recv 2\nm=video 9 recv 3";

struct Server {
    signal: Signal,
    media: Arc<FakeMedia>,
    keys: Keys,
    address: SocketAddr,
}

struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Server {
    async fn start(config: Config) -> Self {
        let keys: Keys = [("key", "a-secret-of-more-than-thirty-two-characters")].into_iter().collect();
        let media = Arc::new(FakeMedia::default());
        let signal = Signal::new(Config { keys: keys.clone(), ..config }, Arc::clone(&media) as Arc<dyn Media>);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = signal.router();
        tokio::spawn(signal.clone().keep_time());
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { signal, media, keys, address }
    }

    fn token(&self, identity: &str) -> String {
        let video = VideoGrant::join("r");
        let (iss, sub, exp) = ("key".into(), identity.into(), unix_s() + 60);
        let claims = Claims { iss, sub, exp, nbf: 0, name: String::new(), metadata: String::new(), video };
        self.keys.mint(&claims).unwrap()
    }

    async fn open(&self, query: &str, protocol: &str) -> Result<Client, tungstenite::Error> {
        let mut request = format!("ws://{}/ws{query}", self.address).into_client_request()?;
        if !protocol.is_empty() {
            request.headers_mut().insert("sec-websocket-protocol", protocol.parse().unwrap());
        }
        Ok(Client(tokio_tungstenite::connect_async(request).await?.0))
    }

    async fn client(&self, identity: &str) -> Client {
        self.open(&format!("?token={}", self.token(identity)), "pointsman.v1").await.unwrap()
    }

    async fn joined(&self, identity: &str) -> Client {
        let mut client = self.client(identity).await;
        assert_eq!(client.ask(json!({ "type": "join", "id": 1 })).await["type"], "joined");
        client
    }

    /// Waits until everything a client did has come to the server.
    async fn until(&self, what: impl Fn(&Self) -> bool) {
        for _ in 0..500 {
            if what(self) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(10)).await;
        }
        panic!("it did not happen");
    }
}

impl Client {
    async fn say(&mut self, message: &Value) {
        self.0.send(Frame::text(message.to_string())).await.unwrap();
    }

    /// The next message; `None` when the connection is closed.
    async fn hear(&mut self) -> Option<Value> {
        loop {
            match self.0.next().await?.ok()? {
                Frame::Text(text) => return serde_json::from_str(&text).ok(),
                Frame::Close(_) => return None,
                _ => {}
            }
        }
    }

    async fn hear_of(&mut self, kind: &str) -> Value {
        loop {
            let message = self.hear().await.unwrap_or_else(|| panic!("closed before {kind}"));
            if message["type"] == kind {
                return message;
            }
        }
    }

    /// The reply to a request, whatever is told before it.
    async fn ask(&mut self, request: Value) -> Value {
        self.say(&request).await;
        loop {
            let message = self.hear().await.expect("open");
            if message.get("id") == request.get("id") {
                return message;
            }
        }
    }
}

fn status(result: Result<Client, tungstenite::Error>) -> u16 {
    match result {
        Err(tungstenite::Error::Http(response)) => response.status().as_u16(),
        Err(error) => panic!("{error}"),
        Ok(_) => panic!("it was let in"),
    }
}

#[tokio::test]
async fn two_meet_publish_and_part() {
    let server = Server::start(Config::default()).await;
    let mut ann = server.joined("ann").await;
    let answer = ann.ask(json!({ "type": "offer", "id": 2, "sdp": OFFER, "tracks": [{ "mid": "v", "source": "screen" }] })).await;
    assert_eq!(answer["type"], "answer");
    assert_eq!(answer["published"].as_array().unwrap().len(), 2);

    let mut bob = server.client("bob").await;
    let joined = bob.ask(json!({ "type": "join", "id": 1, "room": "r" })).await;
    assert_eq!(joined["participants"][0]["identity"], "ann");
    assert_eq!(joined["participants"][0]["publications"][1]["source"], "screen");
    assert_eq!(joined["negotiate"], json!({ "audio": 1, "video": 1 }));
    assert_eq!(ann.hear_of("participant_joined").await["participant"]["identity"], "bob");
    let answer = bob.ask(json!({ "type": "offer", "id": 2, "sdp": OFFER })).await;
    assert_eq!(answer["placed"].as_array().unwrap().len(), 2);
    assert_eq!(ann.hear_of("publication_started").await["publication"]["source"], "microphone");
    assert_eq!(ann.hear_of("placed").await["mid"], "2");

    let id = server.media.ids();
    let (first, second) = (id[0], id[1]);
    server.signal.handle_media_event(MediaEvent::Connected { participant: first });
    server.signal.handle_media_event(MediaEvent::Connected { participant: second });
    ann.hear_of("connected").await;
    bob.hear_of("connected").await;

    assert_eq!(bob.ask(json!({ "type": "leave", "id": 3 })).await["type"], "ok");
    assert_eq!(bob.hear_of("closed").await["reason"], "left");
    assert!(bob.hear().await.is_none());
    assert_eq!(ann.hear_of("participant_left").await["reason"], "left");
    ann.0.close(None).await.unwrap();
    server.until(|server| server.signal.counts() == crate::Counts::default()).await;
    assert_eq!(server.media.open_count(), 0);
}

#[tokio::test]
async fn who_may_not_in_is_told_why() {
    let server = Server::start(Config::default()).await;
    let token = server.token("ann");
    assert_eq!(status(server.open("", "pointsman.v1").await), 401);
    assert_eq!(status(server.open("?token=x", "pointsman.v1").await), 401);
    assert_eq!(status(server.open(&format!("?token={token}"), "").await), 400);
    assert_eq!(status(server.open(&format!("?token={token}"), "other.v1").await), 400);
    let mut client = server.client("ann").await;
    let refused = client.ask(json!({ "type": "join", "id": 1, "room": "another" })).await;
    assert_eq!((refused["code"].as_str(), refused["field"].as_str()), (Some("forbidden"), Some("room")));
    assert_eq!(client.ask(json!({ "type": "join", "id": 2 })).await["type"], "joined");
    assert_eq!(client.ask(json!({ "type": "join", "id": 3 })).await["code"], "already_joined");
}

#[tokio::test]
async fn nonsense_has_an_error_and_the_connection_stays() {
    let server = Server::start(Config::default()).await;
    let mut client = server.client("ann").await;
    assert_eq!(client.ask(json!({ "type": "offer", "id": 1, "sdp": "" })).await["code"], "not_joined");
    client.0.send(Frame::text("{")).await.unwrap();
    assert_eq!(client.hear_of("error").await["id"], Value::Null);
    client.0.send(Frame::binary(vec![1])).await.unwrap();
    assert_eq!(client.hear_of("error").await["code"], "malformed");
    assert_eq!(client.ask(json!({ "type": "join", "id": 2 })).await["type"], "joined");
    assert_eq!(client.ask(json!({ "type": "dance", "id": 3 })).await["code"], "unknown_type");
    assert_eq!(client.ask(json!({ "type": "mute", "id": 4, "publication": "1" })).await["field"], "muted");
    let refused = client.ask(json!({ "type": "offer", "id": 5, "sdp": "hello" })).await;
    assert_eq!((refused["code"].as_str(), refused["field"].as_str()), (Some("bad_sdp"), Some("sdp")));
    assert_eq!(client.ask(json!({ "type": "candidate", "id": 6, "candidate": "x" })).await["code"], "bad_sdp");
    assert_eq!(client.ask(json!({ "type": "ping", "id": 7 })).await["type"], "pong");
}

#[tokio::test]
async fn who_does_not_join_is_let_go() {
    let server = Server::start(Config { join_timeout_s: 0, ..Config::default() }).await;
    let mut client = server.client("ann").await;
    assert_eq!(client.hear_of("closed").await["reason"], "join_timeout");
    assert!(client.hear().await.is_none());
}

#[tokio::test]
async fn a_flood_is_slowed_and_then_dropped() {
    let server = Server::start(Config { messages_per_s: 20, messages_burst: 5, flood_s_max: 1, ..Config::default() }).await;
    let mut client = server.joined("ann").await;
    for id in 0..200 {
        if client.0.send(Frame::text(json!({ "type": "ping", "id": id }).to_string())).await.is_err() {
            break;
        }
    }
    let mut pongs = 0;
    while let Some(message) = client.hear().await {
        pongs += usize::from(message["type"] == "pong");
    }
    assert!((5..60).contains(&pongs), "{pongs}");
    server.until(|server| server.signal.counts().participants == 0).await;
}

#[tokio::test]
async fn a_message_that_is_too_long_ends_the_connection() {
    let room = RoomConfig { resume_grace_s: 0, ..RoomConfig::default() };
    let server = Server::start(Config { message_bytes_max: 1000, room, ..Config::default() }).await;
    let mut client = server.joined("ann").await;
    client.say(&json!({ "type": "ping", "id": 1, "padding": "x".repeat(2000) })).await;
    assert!(client.hear().await.is_none());
    server.until(|server| server.signal.counts() == crate::Counts::default()).await;
}

#[tokio::test]
async fn a_slow_reader_is_let_go() {
    let server = Server::start(Config { out_queue_max: 4, ..Config::default() }).await;
    let mut slow = server.joined("slow").await;
    // On this one thread nobody else runs between these calls: ten arrivals meet a queue of four.
    for n in 0..10 {
        let ticket = crate::people::Ticket::from(server.keys.verify(&server.token(&format!("p{n}")), unix_s()).unwrap());
        server.signal.publish(ticket, "v=0\nm=audio 9 send a").unwrap();
    }
    assert_eq!(server.signal.counts().participants, 10, "the publishers are there, the slow one is not");
    while slow.hear().await.is_some() {}
    server.until(|server| server.signal.counts().connections == 0).await;
}

#[tokio::test]
async fn the_same_identity_elsewhere_and_the_servers_end() {
    let server = Server::start(Config::default()).await;
    let mut old = server.joined("ann").await;
    let mut new = server.joined("ann").await;
    assert_eq!(old.hear_of("closed").await["reason"], "replaced");
    assert!(old.hear().await.is_none());
    server.signal.close_all();
    assert_eq!(new.hear_of("closed").await["reason"], "server_closing");
    assert!(new.hear().await.is_none());
}

#[tokio::test]
async fn a_lost_connection_resumes_and_media_stays() {
    let server = Server::start(Config::default()).await;
    let mut bob = server.joined("bob").await;
    let mut ann = server.client("ann").await;
    let joined = ann.ask(json!({ "type": "join", "id": 1 })).await;
    let answer = ann.ask(json!({ "type": "offer", "id": 2, "sdp": OFFER })).await;
    let resume = format!("?resume={}", joined["resume"]["token"].as_str().unwrap());
    drop(ann); // without a Close
    let lost = bob.hear_of("participant_updated").await;
    assert_eq!((&lost["participant"], &lost["reconnecting"]), (&joined["you"]["id"], &json!(true)));
    let mut ann = server.open(&resume, "pointsman.v1").await.unwrap();
    assert_eq!(ann.ask(json!({ "type": "join", "id": 1 })).await["code"], "forbidden");
    let resumed = ann.ask(json!({ "type": "resume", "id": 2 })).await;
    assert_eq!(resumed["type"], "resumed");
    assert_eq!((&resumed["you"], &resumed["published"]), (&joined["you"], &answer["published"]));
    assert_eq!(resumed["participants"][0]["identity"], "bob");
    assert_eq!(bob.hear_of("participant_updated").await["reconnecting"], false);
    assert_eq!(server.media.open_count(), 2, "nobody was made anew");
    // Once more, before the old connection is known to be gone: it is overtaken, and takes nobody with it.
    let mut again = server.open(&resume, "pointsman.v1").await.unwrap();
    assert_eq!(again.ask(json!({ "type": "resume", "id": 1 })).await["type"], "resumed");
    while ann.hear().await.is_some() {}
    server.until(|server| server.signal.counts().connections == 2).await;
    assert_eq!(server.signal.counts().participants, 2);
    // A Close that says so is the end.
    again.0.close(None).await.unwrap();
    assert_eq!(bob.hear_of("participant_left").await["reason"], "disconnected");
    assert_eq!(status(server.open(&resume, "pointsman.v1").await), 401);
}

#[tokio::test]
async fn who_does_not_come_back_leaves_when_its_time_is_over() {
    let room = RoomConfig { resume_grace_s: 1, ..RoomConfig::default() };
    let server = Server::start(Config { room, ..Config::default() }).await;
    let mut bob = server.joined("bob").await;
    drop(server.joined("ann").await);
    assert_eq!(bob.hear_of("participant_updated").await["reconnecting"], true);
    assert_eq!(bob.hear_of("participant_left").await["reason"], "disconnected");
    server.until(|server| server.signal.counts().participants == 1).await;
}

#[tokio::test]
async fn a_call_rings_and_leads_into_a_room() {
    let server = Server::start(Config::default()).await;
    let query = |identity: &str| {
        let video = VideoGrant { room: String::new(), ..VideoGrant::join("") };
        let (iss, sub, exp) = ("key".into(), identity.into(), unix_s() + 60);
        let claims = Claims { iss, sub, exp, nbf: 0, name: String::new(), metadata: String::new(), video };
        format!("?token={}", server.keys.mint(&claims).unwrap())
    };
    let (of_ann, of_bob) = (query("ann"), query("bob"));
    let mut ann = server.open(&of_ann, "pointsman.v1").await.unwrap();
    let mut bob = server.open(&of_bob, "pointsman.v1").await.unwrap();
    for client in [&mut ann, &mut bob] {
        assert_eq!(client.ask(json!({ "type": "join", "id": 1 })).await["field"], "room");
        assert_eq!(client.ask(json!({ "type": "hello", "id": 2 })).await["type"], "welcome");
    }
    let invited = ann.ask(json!({ "type": "invite", "id": 3, "identity": "bob" })).await;
    let rings = bob.hear_of("call").await;
    assert_eq!((&rings["call"]["id"], &rings["call"]["state"]), (&invited["call"]["id"], &json!("ringing")));
    assert_eq!(bob.ask(json!({ "type": "chat", "id": 4, "text": "x" })).await["code"], "not_joined");
    bob.ask(json!({ "type": "accept", "id": 5, "call": rings["call"]["id"] })).await;
    assert_eq!(ann.hear_of("call").await["call"]["state"], "connected");
    let mut inside = server.open(&of_bob, "pointsman.v1").await.unwrap();
    let room = &invited["call"]["room"];
    assert_eq!(inside.ask(json!({ "type": "join", "id": 1, "room": "r" })).await["code"], "forbidden");
    assert_eq!(&inside.ask(json!({ "type": "join", "id": 2, "room": room })).await["room"], room);
    bob.0.close(None).await.unwrap();
    server.until(|server| server.signal.counts().connections == 2).await;
}

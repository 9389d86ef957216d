//! Against real HTTP servers on loopback that take, fail, hang, redirect, or are not there.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Mutex;

use axum::Router;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pointsman_signal::news::{News, ParticipantFacts, RoomFacts, SettingsInfo, What};
use serde_json::{Value, json};

use super::*;

const SECRET: &str = "a-secret-of-more-than-thirty-two-characters";

enum Act {
    Answer(u16),
    Redirect(String),
    Hang,
}

/// An application that does what the script says, then takes everything.
#[derive(Default)]
struct Application {
    script: Mutex<VecDeque<Act>>,
    got: Mutex<Vec<(HeaderMap, String)>>,
}

impl Application {
    async fn start(script: impl IntoIterator<Item = Act>) -> (Arc<Self>, SocketAddr) {
        let application = Arc::new(Self { script: Mutex::new(script.into_iter().collect()), got: Mutex::default() });
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new().route("/hook", post(Self::take)).with_state(Arc::clone(&application));
        tokio::spawn(async move { axum::serve(listener, router).await });
        (application, address)
    }

    async fn take(State(application): State<Arc<Self>>, headers: HeaderMap, body: String) -> Response {
        application.got.lock().unwrap().push((headers, body));
        let act = application.script.lock().unwrap().pop_front();
        match act {
            None => StatusCode::OK.into_response(),
            Some(Act::Answer(status)) => StatusCode::from_u16(status).unwrap().into_response(),
            Some(Act::Redirect(to)) => (StatusCode::TEMPORARY_REDIRECT, [(header::LOCATION, to)]).into_response(),
            Some(Act::Hang) => std::future::pending().await,
        }
    }

    fn bodies(&self) -> Vec<String> {
        self.got.lock().unwrap().iter().map(|(_, body)| body.clone()).collect()
    }
}

fn keys() -> Keys {
    [("app", SECRET)].into_iter().collect()
}

fn quick(addresses: &[SocketAddr]) -> Config {
    let urls = addresses.iter().map(|address| format!("http://{address}/hook?secret=sesame")).collect();
    let (timeout, retry_first) = (Duration::from_millis(300), Duration::from_millis(10));
    Config { urls, timeout, retry_first, retry: Duration::from_secs(20), ..Config::default() }
}

fn start(config: &Config) -> (Webhooks, Arc<Counters>) {
    let counters = Arc::new(Counters::default());
    (Webhooks::start(config, &keys(), &counters).unwrap(), counters)
}

fn count(counters: &Counters, name: &str) -> u64 {
    counters.outcomes().into_iter().find(|(outcome, _)| *outcome == name).unwrap().1
}

async fn until(what: &str, ask: impl Fn() -> bool) {
    for _ in 0..1_000 {
        if ask() {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("it did not happen: {what}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_posted_is_signed_with_its_hash() {
    let (application, address) = Application::start([]).await;
    let (webhooks, counters) = start(&quick(&[address]));
    let body = json!({ "event": "room_started" }).to_string();
    webhooks.post(&body);
    until("delivered", || count(&counters, "delivered") == 1).await;
    let got = application.got.lock().unwrap();
    let (headers, posted) = &got[0];
    assert_eq!((posted, &headers["content-type"]), (&body, &"application/webhook+json".parse().unwrap()));
    // The receiver's side, by hand: HMAC-SHA256 over the first two parts of the JWT, then the body's hash among the claims.
    let token = headers["authorization"].to_str().unwrap();
    let (signed, signature) = token.rsplit_once('.').unwrap();
    let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, SECRET.as_bytes());
    aws_lc_rs::hmac::verify(&key, signed.as_bytes(), &URL_SAFE_NO_PAD.decode(signature).unwrap()).unwrap();
    let claims: Value = serde_json::from_slice(&URL_SAFE_NO_PAD.decode(signed.split_once('.').unwrap().1).unwrap()).unwrap();
    let hash = STANDARD.encode(digest::digest(&digest::SHA256, body.as_bytes()));
    assert_eq!((&claims["iss"], &claims["sha256"]), (&json!("app"), &json!(hash)));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    assert!((now..=now + 310).contains(&claims["exp"].as_u64().unwrap()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn failures_are_tried_again_and_the_order_stays() {
    let script = [Act::Answer(500), Act::Hang, Act::Answer(429), Act::Answer(503)];
    let (application, address) = Application::start(script).await;
    let (webhooks, counters) = start(&quick(&[address]));
    for event in ["first", "second", "third"] {
        webhooks.post(event);
    }
    until("all are delivered", || count(&counters, "delivered") == 3).await;
    assert_eq!(application.bodies(), ["first", "first", "first", "first", "first", "second", "third"]);
    assert_eq!((count(&counters, "failed"), count(&counters, "lost")), (4, 0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_redirect_is_not_followed_and_a_refusal_is_not_repeated() {
    let (elsewhere, other) = Application::start([]).await;
    let script = [Act::Redirect(format!("http://{other}/hook")), Act::Answer(401)];
    let (application, address) = Application::start(script).await;
    let (webhooks, counters) = start(&quick(&[address]));
    for event in ["redirected", "refused", "taken"] {
        webhooks.post(event);
    }
    until("the last is delivered", || count(&counters, "delivered") == 1).await;
    assert_eq!(application.bodies(), ["redirected", "refused", "taken"]);
    assert_eq!(count(&counters, "lost"), 2);
    assert!(elsewhere.bodies().is_empty(), "the signature went where nobody sent it");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_target_that_hangs_costs_the_others_nothing_and_a_bounded_queue() {
    let (hanging, slow) = Application::start((0..1_000).map(|_| Act::Hang)).await;
    let (quickly, fast) = Application::start([]).await;
    let config = Config { queue_max: 4, timeout: Duration::from_secs(60), ..quick(&[slow, fast]) };
    let (webhooks, counters) = start(&config);
    webhooks.post("0");
    until("the first request hangs", || hanging.bodies().len() == 1).await;
    for n in 1..=20 {
        let began = Instant::now();
        webhooks.post(&n.to_string());
        // Nothing here waits for a target; the bound is that of a machine that does much else.
        assert!(began.elapsed() < Duration::from_secs(1));
        until("the other target has it", || quickly.bodies().len() == n + 1).await;
    }
    assert_eq!(hanging.bodies(), ["0"]);
    assert_eq!((count(&counters, "lost"), count(&counters, "delivered")), (16, 21), "four wait, the rest is counted as lost");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_never_taken_is_given_up_and_a_target_may_come_back() {
    let nobody = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = nobody.local_addr().unwrap();
    drop(nobody);
    let config = Config { retry: Duration::from_millis(50), ..quick(&[address]) };
    let (webhooks, counters) = start(&config);
    webhooks.post("nobody listens");
    until("it is given up", || count(&counters, "lost") == 1).await;
    assert!(count(&counters, "failed") > 1);
    let listener = tokio::net::TcpListener::bind(address).await.unwrap();
    let application = Arc::new(Application::default());
    let router = Router::new().route("/hook", post(Application::take)).with_state(Arc::clone(&application));
    tokio::spawn(async move { axum::serve(listener, router).await });
    webhooks.post("somebody does");
    until("it is delivered", || count(&counters, "delivered") == 1).await;
    assert_eq!(application.bodies(), ["somebody does"]);
}

#[test]
fn a_url_is_shown_without_its_secrets() {
    assert_eq!(shown("https://user:password@hooks.example.org:8443/T00/secret?token=x#y"), "https://hooks.example.org:8443");
    assert_eq!(shown("https://hooks.example.org?token=x"), "https://hooks.example.org");
}

#[test]
fn pauses_keep_within_their_half() {
    let pause = Duration::from_secs(8);
    let drawn: Vec<Duration> = (0..200).map(|_| jittered(pause)).collect();
    assert!(drawn.iter().all(|drawn| (pause / 2..=pause).contains(drawn)));
    assert!(drawn.iter().any(|one| *one != drawn[0]), "no jitter");
}

#[test]
fn events_have_the_names_that_receivers_know() {
    let room = RoomFacts {
        id: "ab".into(),
        name: "board".into(),
        breakout: None,
        settings: SettingsInfo::default(),
        metadata: "m".into(),
        participants: 2,
        publications: 1,
        participants_max: None,
        empty_timeout_s: 30,
        created_s: 1_700_000_000,
    };
    let ann = ParticipantFacts {
        id: "01".into(),
        identity: "ann".into(),
        name: "Ann".into(),
        metadata: String::new(),
        door: "call",
        joined_s: 1_700_000_001,
    };
    let publication = pointsman_signal::news::Publication {
        id: "cd".into(),
        kind: "video",
        source: pointsman_signal::news::Source::Screen,
        name: "slides".into(),
        muted: false,
        muted_by_server: false,
        codec: "VP9".into(),
        simulcast: true,
    };
    let news =
        News { what: What::PublicationStarted, room, participant: Some(ann), publication: Some(publication), reason: None, quality: None };
    let event: Value = serde_json::from_str(&event::of_news(&news, "e1", 1_700_000_002)).unwrap();
    let expected = json!({ "event": "track_published", "id": "e1", "createdAt": "1700000002",
        "room": { "sid": "ab", "name": "board", "metadata": "m", "numParticipants": 2, "maxParticipants": 0, "emptyTimeout": 30, "creationTime": "1700000000" },
        "participant": { "sid": "01", "identity": "ann", "name": "Ann", "metadata": "", "state": "ACTIVE", "joinedAt": "1700000001", "door": "call" },
        "track": { "sid": "cd", "type": "VIDEO", "source": "SCREEN_SHARE", "name": "slides", "muted": false, "simulcast": true, "mimeType": "video/VP9" } });
    assert_eq!(event, expected);
    let left = News { what: What::ParticipantLeft, publication: None, reason: Some("removed"), ..news };
    let event: Value = serde_json::from_str(&event::of_news(&left, "e2", 1)).unwrap();
    assert_eq!((&event["event"], &event["reason"]), (&json!("participant_left"), &json!("removed")));
    assert_eq!(event["participant"]["disconnectReason"], "PARTICIPANT_REMOVED");
    assert_eq!(event["participant"]["state"], "DISCONNECTED");
}

//! Every MUST and SHALL that RFC 9725 and draft-ietf-wish-whep (as of revision 04) put on servers: one row each, asked of the real HTTP
//! routes with real SDP. Rows of a section that both have carry RFC 9725's number and are asked of both where it matters.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use axum::body::{Body, to_bytes};
use axum::http::{HeaderMap, Request};
use pointsman_signal::token::{Claims, Keys, VideoGrant};
use pointsman_signal::{Config, Signal, WhipConfig};
use tower::ServiceExt;

use super::*;
use table::{EXPECTED_ROWS_MIN, rows};

mod table;

const CAMERA: &str = include_str!("../../../../sfu/src/sdp/samples/chromium_camera.sdp");
const SIMULCAST: &str = include_str!("../../../../sfu/src/sdp/samples/chromium_simulcast.sdp");
const PLAYER: &str = include_str!("../../../../sfu/src/sdp/samples/chromium_recvonly.sdp");
const FFMPEG: &str = include_str!("../../../../sfu/src/sdp/samples/ffmpeg_whip.sdp");
/// Of `CAMERA`'s ICE.
const TRICKLED: &str = "a=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:fAnC\r\n\
    a=ice-pwd:Tzfu4B8wx+msLjTY2BoP0QWS\r\na=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\na=end-of-candidates\r\n";
/// A candidate of a transport that nobody has, and one whose address no resolver knows.
const ODD_CANDIDATES: &str = "a=ice-ufrag:fAnC\r\na=ice-pwd:Tzfu4B8wx+msLjTY2BoP0QWS\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\n\
    a=candidate:1 1 carrier-pigeon 1 192.0.2.1 1 typ host\r\na=candidate:2 1 udp 1 not-to-be-found.local 2 typ host\r\n";
const RESTART: &str = "a=ice-options:trickle ice2\r\na=group:BUNDLE 0 1\r\nm=audio 9 UDP/TLS/RTP/SAVPF 111\r\na=mid:0\r\na=ice-ufrag:ysXw\r\n\
    a=ice-pwd:vw5LmwG4y/e6dPP/zAP9Gp5k\r\na=candidate:1 1 udp 2122260223 192.0.2.1 61764 typ host\r\n";
const HALF_RESTART: &str = "a=ice-ufrag:ysXw\r\na=ice-pwd:Tzfu4B8wx+msLjTY2BoP0QWS\r\n";
const FRAGMENT: &str = "application/trickle-ice-sdpfrag";
const SDP: &str = "application/sdp";

/// A demand, and how one sees that it is met.
struct Row {
    section: &'static str,
    demand: &'static str,
    /// With `whip.live_only`, and nothing made before.
    live_only: bool,
    /// All but the last prepare.
    requests: Vec<Ask>,
    expected: Expect,
}

#[derive(Clone)]
struct Ask {
    method: &'static str,
    /// `{whip}`, `{whep}`: what was made before; `{offered}`: a player whom we made an offer; `{last}`: the last Location.
    path: &'static str,
    identity: Option<&'static str>,
    /// `{tag}`: the entity tag of what the path names.
    headers: Vec<(&'static str, &'static str)>,
    body: String,
}

impl Ask {
    fn new(method: &'static str, path: &'static str) -> Self {
        Self { method, path, identity: Some("cam"), headers: Vec::new(), body: String::new() }
    }
    fn by(mut self, identity: &'static str) -> Self {
        self.identity = Some(identity);
        self
    }
    fn without_token(mut self) -> Self {
        self.identity = None;
        self
    }
    fn header(mut self, name: &'static str, value: &'static str) -> Self {
        self.headers.push((name, value));
        self
    }
    fn body(mut self, media_type: &'static str, body: impl Into<String>) -> Self {
        self.headers.push(("content-type", media_type));
        self.body = body.into();
        self
    }
}

fn post(path: &'static str, offer: impl Into<String>) -> Ask {
    Ask::new("POST", path).body(SDP, offer)
}

/// A PATCH with a fragment under the present entity tag.
fn patch(path: &'static str, fragment: &str) -> Ask {
    Ask::new("PATCH", path).header("if-match", "{tag}").body(FRAGMENT, fragment)
}

fn restart(path: &'static str) -> Ask {
    Ask::new("PATCH", path).header("if-match", "*").body(FRAGMENT, RESTART)
}

#[derive(Clone)]
struct Expect {
    statuses: &'static [u16],
    headers: Vec<(&'static str, &'static str)>,
    absent: Vec<&'static str>,
    body: Vec<&'static str>,
    body_lacks: Vec<&'static str>,
    /// m-lines of the body that must all hold these lines.
    each_m_line: Vec<&'static str>,
    participants: Option<usize>,
    empty: bool,
}

fn expect(statuses: &'static [u16]) -> Expect {
    Expect {
        statuses,
        headers: Vec::new(),
        absent: Vec::new(),
        body: Vec::new(),
        body_lacks: Vec::new(),
        each_m_line: Vec::new(),
        participants: None,
        empty: false,
    }
}

impl Expect {
    fn header(mut self, name: &'static str, holds: &'static str) -> Self {
        self.headers.push((name, holds));
        self
    }
    fn no_header(mut self, name: &'static str) -> Self {
        self.absent.push(name);
        self
    }
    fn body(mut self, holds: &'static str) -> Self {
        self.body.push(holds);
        self
    }
    fn body_without(mut self, text: &'static str) -> Self {
        self.body_lacks.push(text);
        self
    }
    fn each_m_line(mut self, line: &'static str) -> Self {
        self.each_m_line.push(line);
        self
    }
    fn participants(mut self, count: usize) -> Self {
        self.participants = Some(count);
        self
    }
    fn empty(mut self) -> Self {
        self.empty = true;
        self
    }
}

struct Reply {
    status: u16,
    headers: HeaderMap,
    body: String,
}

struct World {
    signal: Signal,
    keys: Keys,
    /// Location and entity tag by the name that rows use.
    made: Vec<(&'static str, String, String)>,
}

impl World {
    /// A publisher, a player, and a player with an offer of ours; with `live_only` nobody.
    async fn new(live_only: bool) -> Self {
        let keys: Keys = [("key", "a-secret-of-more-than-thirty-two-characters")].into_iter().collect();
        let negotiation = NegotiationConfig::new(vec!["192.0.2.9:3478".parse().unwrap()], Fingerprint([1; 32]));
        let ice_servers = IceServerConfig {
            udp: vec!["192.0.2.9:3478".parse().unwrap()],
            shared_secret: Some(Secret::new("a secret")),
            lifetime: Duration::from_secs(60),
            ..IceServerConfig::default()
        };
        let media = Negotiations::new(negotiation, ice_servers, 100, Sent::default());
        let config = Config { keys: keys.clone(), whip: WhipConfig { live_only, ..WhipConfig::default() }, ..Config::default() };
        let mut world = Self { signal: Signal::new(config, Arc::new(media)), keys, made: Vec::new() };
        if live_only {
            return world;
        }
        world.make("{whip}", post("/whip/r", CAMERA)).await;
        world.make("{whep}", post("/whep/r/cam", PLAYER)).await;
        world.make("{offered}", post("/whep/r/cam", "")).await;
        world
    }

    async fn make(&mut self, name: &'static str, ask: Ask) {
        let reply = self.ask(&ask).await;
        assert_eq!(reply.status, 201, "{name}: {}", reply.body);
        self.keep(name, &reply);
    }

    fn keep(&mut self, name: &'static str, reply: &Reply) {
        let text = |header: &str| reply.headers.get(header).map(|value| value.to_str().unwrap().to_owned());
        if let Some(location) = text("location") {
            self.made.push((name, location, text("etag").unwrap_or_default()));
        }
    }

    fn token(&self, identity: &str) -> String {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
        let claims = Claims {
            iss: "key".into(),
            sub: identity.into(),
            exp: now + 60,
            nbf: 0,
            name: String::new(),
            metadata: String::new(),
            video: VideoGrant::join("r"),
        };
        self.keys.mint(&claims).unwrap()
    }

    async fn ask(&self, ask: &Ask) -> Reply {
        let made = self.made.iter().rev().find(|(name, ..)| *name == ask.path);
        let (path, tag) = made.map_or((ask.path, ""), |(_, location, tag)| (location.as_str(), tag.as_str()));
        let mut request = Request::builder().method(ask.method).uri(path);
        for (name, value) in &ask.headers {
            request = request.header(*name, value.replace("{tag}", tag));
        }
        if let Some(identity) = ask.identity {
            request = request.header("authorization", format!("Bearer {}", self.token(identity)));
        }
        let response = self.signal.router().oneshot(request.body(Body::from(ask.body.clone())).unwrap()).await.unwrap();
        let (parts, body) = response.into_parts();
        let bytes = to_bytes(body, 1 << 20).await.unwrap();
        Reply { status: parts.status.as_u16(), headers: parts.headers, body: String::from_utf8(bytes.to_vec()).unwrap() }
    }
}

/// What is wrong with a reply.
fn look(expected: &Expect, reply: &Reply, participants: usize) -> Vec<String> {
    let Expect { statuses, headers, absent, body, body_lacks, each_m_line, participants: count, empty } = expected;
    let mut wrong = Vec::new();
    let mut must = |holds: bool, what: String| {
        if !holds {
            wrong.push(what);
        }
    };
    must(statuses.contains(&reply.status), format!("status {} is none of {statuses:?}: {}", reply.status, reply.body));
    for (name, holds) in headers {
        let values: Vec<_> = reply.headers.get_all(*name).iter().map(|value| value.to_str().unwrap()).collect();
        must(values.iter().any(|value| value.contains(holds)), format!("{name} is {values:?}, without {holds}"));
    }
    for name in absent {
        must(!reply.headers.contains_key(*name), format!("{name} is there"));
    }
    for text in body {
        must(reply.body.contains(text), format!("the body lacks {text}:\n{}", reply.body));
    }
    for text in body_lacks {
        must(!reply.body.contains(text), format!("the body holds {text}"));
    }
    for line in each_m_line {
        let sections: Vec<&str> = reply.body.split("\r\nm=").skip(1).collect();
        let all = !sections.is_empty() && sections.iter().all(|section| section.lines().any(|one| one == *line));
        must(all, format!("not every m-line has {line}:\n{}", reply.body));
    }
    must(count.is_none_or(|count| count == participants), format!("{participants} participants"));
    must(!empty || reply.body.is_empty(), format!("the body is not empty: {}", reply.body));
    // RFC 9457: what is refused has a problem document, unless it is an offer of ours.
    if reply.status >= 400 {
        let media_type = reply.headers.get("content-type").map_or("", |value| value.to_str().unwrap());
        must(["application/problem+json", SDP].contains(&media_type), format!("an error as {media_type}"));
    }
    must(reply.headers.contains_key("access-control-allow-origin"), "no CORS".into());
    wrong
}

#[tokio::test]
async fn every_must_is_met() {
    let (mut failures, mut count) = (Vec::new(), 0);
    for Row { section, demand, live_only, requests, expected } in rows() {
        let mut world = World::new(live_only).await;
        count += 1;
        let (last, before) = requests.split_last().expect("a row asks something");
        for ask in before {
            let reply = world.ask(ask).await;
            world.keep("{last}", &reply);
        }
        let reply = world.ask(last).await;
        let wrong = look(&expected, &reply, world.signal.counts().participants);
        if !wrong.is_empty() {
            failures.push(format!("{section}: {demand}\n    {}", wrong.join("\n    ")));
        }
    }
    assert!(failures.is_empty(), "{} of {count} rows:\n{}", failures.len(), failures.join("\n"));
    assert!(count >= EXPECTED_ROWS_MIN, "{count} rows");
}

use std::net::SocketAddr;
use std::sync::Mutex;

use axum::body::{Body, to_bytes};
use pointsman_signal::token::VideoGrant;
use pointsman_turn::view::Traffic;
use pointsman_wire::net::FiveTuple;
use tower::ServiceExt;

use super::*;

const SECRET: &str = "a secret of at least thirty-two characters";

/// Shards that are lists of allocations.
struct Lists(Arc<Mutex<Vec<Vec<AllocationView>>>>);

impl Shards for Lists {
    fn count(&self) -> usize {
        self.0.lock().unwrap().len()
    }

    fn send(&self, shard: ShardId, command: TurnCommand) -> Result<(), Busy> {
        let mut shards = self.0.lock().unwrap();
        let views = &mut shards[usize::from(shard.0)];
        match command {
            TurnCommand::List { after, max, reply } => {
                let page = views.iter().filter(|view| after.is_none_or(|after| view.id > after)).take(max).cloned().collect();
                reply.try_send(page).unwrap();
            }
            TurnCommand::Kill { id, done } => {
                let before = views.len();
                views.retain(|view| view.id != id);
                done.try_send(views.len() < before).unwrap();
            }
            other => panic!("{other:?}"),
        }
        Ok(())
    }
}

fn view(shard: u16, index: u32, user: &str) -> AllocationView {
    let address = |text: &str| text.parse::<SocketAddr>().unwrap();
    AllocationView {
        id: AllocationId { shard: ShardId(shard), index, generation: 0 },
        client: FiveTuple { protocol: Protocol::Tls, local: address("198.51.100.1:5349"), remote: address("203.0.113.5:1234") },
        username: user.as_bytes().into(),
        realm: "example.org".into(),
        transport: RelayTransport::Udp,
        relayed: [Some(address("198.51.100.1:50000")), None],
        lifetime_left_s: 600,
        permissions: 2,
        channels: 1,
        connections: 0,
        parked: false,
        traffic: Traffic { packets_to_peers: 1, bytes_to_peers: 100, packets_to_client: 2, bytes_to_client: 300 },
    }
}

struct World {
    router: Router,
    shards: Arc<Mutex<Vec<Vec<AllocationView>>>>,
}

impl World {
    fn new(shards: Vec<Vec<AllocationView>>) -> Self {
        let shards = Arc::new(Mutex::new(shards));
        let ledger = Arc::new(Ledger::new(50_000..=50_999));
        ledger.take("example.org", b"alice", &pointsman_turn::ledger::Quota::default()).unwrap();
        let api = TurnApi { shards: Box::new(Lists(Arc::clone(&shards))), ledger, keys: keys() };
        Self { router: router(api), shards }
    }

    async fn ask(&self, method: &str, path: &str, token: Option<&str>) -> (StatusCode, String) {
        let mut request = Request::builder().method(method).uri(path);
        if let Some(token) = token {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        let response = self.router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
        let status = response.status();
        (status, String::from_utf8(to_bytes(response.into_body(), 1 << 20).await.unwrap().into()).unwrap())
    }

    async fn page(&self, query: &str) -> Page {
        let (status, body) = self.ask("GET", &format!("/api/v1/turn/allocations{query}"), Some(&operator())).await;
        assert_eq!(status, 200, "{body}");
        serde_json::from_str(&body).unwrap()
    }
}

fn keys() -> Keys {
    [("key", SECRET)].into_iter().collect()
}

fn token(video: VideoGrant) -> String {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let claims = Claims {
        iss: "key".to_owned(),
        sub: "someone".to_owned(),
        exp: now + 60,
        nbf: 0,
        name: String::new(),
        metadata: String::new(),
        video,
    };
    keys().mint(&claims).unwrap()
}

fn operator() -> String {
    token(VideoGrant { room_admin: true, ..VideoGrant::default() })
}

#[tokio::test]
async fn strangers_guests_and_hosts_of_rooms_see_and_end_nothing() {
    let world = World::new(vec![vec![view(0, 1, "alice")]]);
    let host = token(VideoGrant { room_admin: true, ..VideoGrant::join("standup") });
    let guest = token(VideoGrant::join("standup"));
    for (token, status) in [(None, 401), (Some("nonsense"), 401), (Some(&*host), 403), (Some(&*guest), 403)] {
        for (method, path) in
            [("GET", "/api/v1/turn/allocations"), ("DELETE", "/api/v1/turn/allocations/0-1-0"), ("GET", "/api/v1/turn/quotas")]
        {
            let (got, body) = world.ask(method, path, token).await;
            assert_eq!(got, status, "{method} {path} {body}");
            assert!(!body.contains("203.0.113.5") && !body.contains("alice"), "{body}");
        }
    }
    assert_eq!(world.shards.lock().unwrap()[0].len(), 1);
}

#[tokio::test]
async fn pages_go_through_all_shards() {
    let world = World::new(vec![vec![view(0, 0, "alice"), view(0, 7, "bob")], vec![], vec![view(2, 0, "alice")]]);
    let mut ids = Vec::new();
    let mut query = "?limit=1".to_owned();
    loop {
        let page = world.page(&query).await;
        assert!(page.allocations.len() <= 1);
        ids.extend(page.allocations.into_iter().map(|row| row.id));
        match page.next {
            Some(next) => query = format!("?limit=1&after={next}"),
            None => break,
        }
    }
    assert_eq!(ids, ["0-0-0", "0-7-0", "2-0-0"]);
    let of_alice = world.page("?user=alice").await;
    assert_eq!(of_alice.allocations.iter().map(|row| &*row.id).collect::<Vec<_>>(), ["0-0-0", "2-0-0"]);
    assert_eq!(of_alice.next, None);
    assert!(world.page("?realm=elsewhere").await.allocations.is_empty());
}

#[tokio::test]
async fn a_row_tells_who_where_and_how_much() {
    let world = World::new(vec![vec![view(0, 1, "al\u{1b}ice")]]);
    let page = world.page("").await;
    let row = &page.allocations[0];
    assert_eq!((&*row.user, &*row.protocol, &*row.client, row.bytes_to_client), ("al\u{1b}ice", "tls", "203.0.113.5:1234", 300));
    assert_eq!(row.relayed, ["198.51.100.1:50000"]);
}

#[tokio::test]
async fn an_allocation_is_ended_once() {
    let world = World::new(vec![vec![view(0, 1, "alice"), view(0, 2, "alice")]]);
    let operator = operator();
    for (path, status) in [("0-1-0", 204), ("0-1-0", 404), ("9-1-0", 404), ("gibberish", 400)] {
        let (got, body) = world.ask("DELETE", &format!("/api/v1/turn/allocations/{path}"), Some(&operator)).await;
        assert_eq!(got, status, "{path}: {body}");
    }
    assert_eq!(world.shards.lock().unwrap()[0].len(), 1);
}

#[tokio::test]
async fn quotas_tell_what_realms_hold() {
    let (status, body) = World::new(vec![]).ask("GET", "/api/v1/turn/quotas", Some(&operator())).await;
    let quotas: Quotas = serde_json::from_str(&body).unwrap();
    assert_eq!((status, quotas.realms.len(), quotas.granted_bps), (StatusCode::OK, 1, 0));
    assert_eq!((&*quotas.realms[0].realm, quotas.realms[0].allocations, quotas.realms[0].users), ("example.org", 1, 1));
}

use std::sync::{Mutex, PoisonError};

use pointsman_turn::view::{Ending, Note, NoteKind, Traffic};
use pointsman_turn::{AllocationId, Realm, TokenAlgorithm};
use pointsman_wire::net::FiveTuple;
use tempfile::TempDir;

use super::*;
use crate::config::Secret;
use crate::users::{Database, OAuthKey, PeerList, RealmOptionKind, UserKey};

/// What the shards were sent.
#[derive(Clone, Default)]
struct Sent(Arc<Mutex<Vec<Letter>>>);

/// To which shard (`None`: to all), and what.
type Letter = (Option<ShardId>, TurnCommand);

impl Shards for Sent {
    fn send_to(&self, shard: ShardId, command: TurnCommand) -> Result<(), Busy> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((Some(shard), command));
        Ok(())
    }

    fn send_to_all(&self, command: &TurnCommand) -> Result<(), Busy> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push((None, command.clone()));
        Ok(())
    }
}

impl Sent {
    fn take(&self) -> Vec<(Option<ShardId>, TurnCommand)> {
        std::mem::take(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Waits for the next command that `wanted` takes.
    async fn next<T>(&self, wanted: impl Fn(Option<ShardId>, TurnCommand) -> Option<T>) -> T {
        for _ in 0..1_000 {
            if let Some(found) = self.take().into_iter().find_map(|(shard, command)| wanted(shard, command)) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        panic!("the shards were not told in ten seconds");
    }

    async fn rules(&self) -> Arc<Rules> {
        self.next(|shard, command| match (shard, command) {
            (None, TurnCommand::Rules(rules)) => Some(rules),
            _ => None,
        })
        .await
    }

    async fn answer(&self) -> (ShardId, LookupId, KeyAnswer) {
        self.next(|shard, command| match (shard, command) {
            (Some(shard), TurnCommand::Key { lookup, answer }) => Some((shard, lookup, answer)),
            _ => None,
        })
        .await
    }
}

fn file() -> (TempDir, Config) {
    let folder = tempfile::tempdir().unwrap();
    let database = Some(Database::Sqlite(folder.path().join("turndb")));
    (folder, Config { database, interval: Duration::from_millis(30), ..Config::default() })
}

fn question(lookup: u64, name: &[u8]) -> TurnEvent {
    TurnEvent::LookupKey { lookup: LookupId(lookup), realm: "north.gov".into(), username: name.into() }
}

#[tokio::test(flavor = "current_thread")]
async fn users_are_looked_up() {
    let counters = Arc::<Counters>::default();
    let (_folder, config) = file();
    let store = Store::open(config.database.as_ref().unwrap()).await.unwrap();
    let key = UserKey::derive("gorst", "north.gov", "hero");
    store.set_user("north.gov", "gorst", key).await.unwrap();
    store.add_secret("north.gov", &Secret::new("logen")).await.unwrap();
    let sent = Sent::default();
    let users = Users::start(&config, "north.gov", sent.clone(), &counters);
    // Rules come when the database was reached.
    sent.rules().await;
    for (lookup, name, answer) in [
        (1, &b"gorst"[..], KeyAnswer::Key(key.0)),
        (2, b"nobody", KeyAnswer::Unknown),
        (3, b"\xff\xfe", KeyAnswer::Unknown),
        (4, b"' or 1=1 --", KeyAnswer::Unknown),
    ] {
        users.handle_event(ShardId(5), question(lookup, name));
        assert_eq!(sent.answer().await, (ShardId(5), LookupId(lookup), answer));
    }
    assert_eq!(counters.answers(), [("found", 1), ("unknown", 3), ("unavailable", 0)]);
}

#[tokio::test(flavor = "current_thread")]
async fn without_a_database_nobody_waits() {
    let counters = Arc::<Counters>::default();
    let sent = Sent::default();
    let users = Users::start(&Config::default(), "north.gov", sent.clone(), &counters);
    users.handle_event(ShardId(0), question(1, b"gorst"));
    assert_eq!(sent.answer().await, (ShardId(0), LookupId(1), KeyAnswer::Unavailable));
}

#[tokio::test(flavor = "current_thread")]
async fn a_database_that_comes_later_is_found() {
    let counters = Arc::<Counters>::default();
    let folder = tempfile::tempdir().unwrap();
    let inner = folder.path().join("later");
    let database = Database::Sqlite(inner.join("turndb"));
    let config = Config { database: Some(database.clone()), interval: Duration::from_millis(30), ..Config::default() };
    let sent = Sent::default();
    let users = Users::start(&config, "north.gov", sent.clone(), &counters);
    users.handle_event(ShardId(0), question(1, b"gorst"));
    assert_eq!(sent.answer().await.2, KeyAnswer::Unavailable);
    std::fs::create_dir(&inner).unwrap();
    let store = Store::open(&database).await.unwrap();
    store.set_user("north.gov", "gorst", UserKey([7; 16])).await.unwrap();
    store.add_origin("http://crinna.org:80", "crinna.org").await.unwrap();
    sent.rules().await;
    users.handle_event(ShardId(0), question(2, b"gorst"));
    assert_eq!(sent.answer().await, (ShardId(0), LookupId(2), KeyAnswer::Key([7; 16])));
}

#[tokio::test(flavor = "current_thread")]
async fn rules_are_those_of_the_tables() {
    let counters = Arc::<Counters>::default();
    let (_folder, config) = file();
    let store = Store::open(config.database.as_ref().unwrap()).await.unwrap();
    for secret in ["logen", "bloody9"] {
        store.add_secret("north.gov", &Secret::new(secret)).await.unwrap();
    }
    store.add_origin("http://crinna.org:80", "crinna.org").await.unwrap();
    store.set_realm_option("crinna.org", RealmOptionKind::MaxBps, 400_000).await.unwrap();
    store.set_realm_option("", RealmOptionKind::UserQuota, 8).await.unwrap();
    store.add_peers(PeerList::Allowed, "", "172.17.13.200").await.unwrap();
    store.add_peers(PeerList::Denied, "crinna.org", "172.17.13.133-172.17.14.56").await.unwrap();
    store.add_peers(PeerList::Denied, "crinna.org", "over there").await.unwrap();
    let oauth = |kid: &str, ikm: &str, algorithm: &str| OAuthKey {
        kid: kid.to_owned(),
        ikm: Secret::new(ikm),
        timestamp_s: 0,
        lifetime_s: 3600,
        algorithm: algorithm.to_owned(),
        realm: String::new(),
    };
    store.set_oauth_key(&oauth("union", "MTIzNDU2Nzg5MDEyMzQ1Ngo=", "A128GCM")).await.unwrap();
    store.set_oauth_key(&oauth("torn", "not base64!", "A256GCM")).await.unwrap();
    let sent = Sent::default();
    let _users = Users::start(&config, "north.gov", sent.clone(), &counters);
    let rules = sent.rules().await;
    let turn_secret = |secret: &str| pointsman_turn::config::Secret(secret.to_owned());
    let crinna = Realm {
        name: "crinna.org".to_owned(),
        origins: vec!["http://crinna.org:80".to_owned()],
        max_bps: Some(400_000),
        ..Realm::default()
    };
    let north = Realm {
        name: "north.gov".to_owned(),
        shared_secrets: vec![turn_secret("bloody9"), turn_secret("logen")],
        user_quota: Some(8),
        ..Realm::default()
    };
    assert_eq!(rules.realms, [crinna, north]);
    assert_eq!(rules.oauth_keys.len(), 1);
    assert_eq!((rules.oauth_keys[0].kid.as_str(), rules.oauth_keys[0].algorithm), ("union", TokenAlgorithm::A128Gcm));
    assert_eq!((rules.oauth_keys[0].ikm.as_slice(), rules.oauth_keys[0].lifetime), (&b"1234567890123456\n"[..], Duration::from_secs(3600)));
    assert_eq!((rules.allowed_peers.len(), &rules.allowed_peers[0].realm), (1, &None));
    assert_eq!(rules.denied_peers.len(), 1);
    assert!(rules.denied_peers[0].range.contains("172.17.14.0".parse().unwrap()));
    // Nothing is sent while nothing changes, and what changes is.
    tokio::time::sleep(Duration::from_millis(150)).await;
    assert!(sent.take().is_empty());
    store.delete_secret("north.gov", Some(&Secret::new("logen"))).await.unwrap();
    assert_eq!(sent.rules().await.realms[1].shared_secrets, [turn_secret("bloody9")]);
}

#[tokio::test(flavor = "current_thread")]
async fn only_what_is_wanted_is_taken() {
    let counters = Arc::<Counters>::default();
    let (_folder, config) = file();
    let store = Store::open(config.database.as_ref().unwrap()).await.unwrap();
    store.add_secret("north.gov", &Secret::new("logen")).await.unwrap();
    store.add_origin("http://crinna.org:80", "crinna.org").await.unwrap();
    store.add_peers(PeerList::Allowed, "", "172.17.13.200").await.unwrap();
    let sent = Sent::default();
    let _users = Users::start(&Config { secrets: false, realms: false, ..config.clone() }, "north.gov", sent.clone(), &counters);
    let rules = sent.rules().await;
    assert_eq!((rules.realms.len(), rules.allowed_peers.len()), (0, 1));
    let sent = Sent::default();
    let _users = Users::start(&Config { peers: false, ..config }, "north.gov", sent.clone(), &counters);
    let rules = sent.rules().await;
    assert_eq!((rules.realms.len(), rules.allowed_peers.len()), (2, 0));
}

#[tokio::test(flavor = "current_thread")]
async fn notes_without_a_redis_are_lost_and_hold_nobody_up() {
    let counters = Arc::<Counters>::default();
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let statistics = Some(format!("redis://127.0.0.1:{port}").parse().unwrap());
    let users =
        Users::start(&Config { statistics, statistics_waiting_max: 4, ..Config::default() }, "north.gov", Sent::default(), &counters);
    let client = FiveTuple::udp("192.0.2.1:3478".parse().unwrap(), "198.51.100.1:4000".parse().unwrap());
    let note = Note {
        id: AllocationId { shard: ShardId(0), index: 1, generation: 1 },
        kind: NoteKind::Deleted(Ending::Expired),
        client,
        username: b"gorst"[..].into(),
        realm: "north.gov".into(),
        relayed: [None, None],
        lifetime_s: 0,
        traffic: Traffic::default(),
    };
    for _ in 0..10 {
        users.handle_event(ShardId(0), TurnEvent::Note { note: note.clone(), encryption: None });
    }
    let lost = || counters.notes_lost();
    assert!(lost() >= 5, "{}", lost());
    for _ in 0..500 {
        if lost() == 10 {
            return;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    panic!("{} of 10 notes are counted as lost", lost());
}

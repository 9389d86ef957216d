//! What is kept of calls, on SQLite and on a real PostgreSQL: the same questions, the same answers.

use std::sync::Arc;
use std::time::{Duration, Instant};

use pointsman::store::quality::By;
use pointsman::store::{Config, Counters, Entry, Filter, History, Sample, Store, Writer};
use pointsman::users::Database;

use super::databases::{Kind, Server};

fn database(server: &Server) -> Database {
    server.address().parse().unwrap()
}

fn said(at_s: u64, room: &str, identity: &str, text: &str) -> Entry {
    let body = format!("{{\"text\":\"{text}\"}}");
    Entry::History(History { at_ms: at_s * 1_000, room: room.into(), kind: "chat".into(), identity: identity.into(), body })
}

fn sample(at_s: u64, identity: &str, browser: &str, score: Option<u32>) -> Entry {
    Entry::Sample(Box::new(Sample {
        at_ms: at_s * 1_000,
        room: "board".into(),
        identity: identity.into(),
        browser: browser.into(),
        score,
        rtt_ms: Some(40),
        loss_uplink_ppm: Some(10_000),
        body: "{}".into(),
        ..Sample::default()
    }))
}

fn of_room(room: &str) -> Filter {
    Filter { room: Some(room.into()), ..Filter::default() }
}

async fn texts(store: &Store, filter: &Filter) -> Vec<String> {
    store.history(filter, 0, 1_000).await.unwrap().into_iter().map(|(_, entry)| entry.body).collect()
}

/// The ids of the latest messages.
async fn latest_ids(store: &Store, filter: &Filter, limit: usize) -> Vec<String> {
    let latest = store.latest(filter, limit).await.unwrap();
    let id = |body: &str| body.split("\"id\":\"").nth(1).and_then(|rest| rest.split('"').next()).unwrap_or_default().to_owned();
    latest.iter().map(|(_, entry)| id(&entry.body)).collect()
}

async fn keeps_and_forgets(database: &Database) {
    let store = Store::new(database).unwrap();
    store.migrate().await.unwrap();
    // A second start changes nothing.
    Store::new(database).unwrap().migrate().await.unwrap();
    let quoted = "it's \\\"quoted\\\", ünï; drop table history";
    let entries = [said(100, "board", "ann", "one"), said(200, "board", "bob", quoted), said(300, "hall", "ann", "three")];
    store.write(&entries).await.unwrap();
    assert_eq!(texts(&store, &of_room("board")).await, ["{\"text\":\"one\"}".to_owned(), format!("{{\"text\":\"{quoted}\"}}")]);
    let anns = Filter { identity: Some("ann".into()), kind: Some("chat".into()), since_ms: Some(150_000), ..Filter::default() };
    assert_eq!(texts(&store, &anns).await, ["{\"text\":\"three\"}"]);
    assert!(texts(&store, &Filter { kind: Some("poll".into()), ..Filter::default() }).await.is_empty());
    // Page by page.
    let first = store.history(&Filter::default(), 0, 2).await.unwrap();
    let rest = store.history(&Filter::default(), first[1].0, 2).await.unwrap();
    assert_eq!((first.len(), rest.len(), rest[0].1.room.as_str()), (2, 1, "hall"));
    // The latest, without what one said to another; and what was taken back is gone.
    let message = |id: &str, kind: &str| {
        let body = format!("{{\"id\":\"{id}\",\"text\":\"hi\"}}");
        Entry::History(History { at_ms: 300_000, room: "hall".into(), kind: kind.into(), identity: "bob".into(), body })
    };
    store.write(&[message("aa", "chat"), message("bb", "private_chat"), message("cc", "chat")]).await.unwrap();
    let public = Filter { no_private: true, ..of_room("hall") };
    let latest = |filter: Filter| async move { latest_ids(&Store::new(database).unwrap(), &filter, 2).await };
    assert_eq!(latest(public.clone()).await, ["cc", "aa"]);
    assert_eq!(latest(of_room("hall")).await, ["cc", "bb"]);
    for (room, message) in [("board", "cc"), ("hall", "bb"), ("hall", "cc")] {
        store.write(&[Entry::TakenBack { room: room.into(), message: message.into() }]).await.unwrap();
    }
    assert_eq!(latest(of_room("hall")).await, ["aa", ""]);
    store.write(&[Entry::TakenBack { room: "hall".into(), message: "aa".into() }]).await.unwrap();
    // One by one, and all by age.
    assert_eq!(store.delete(&Filter { until_ms: Some(200_000), ..of_room("board") }).await.unwrap(), 1);
    let day = Duration::from_secs(86_400);
    let config = Config { retention: day, quality_retention: day, ..Config::default() };
    store.prune(&config, 250_000 + 86_400_000).await.unwrap();
    assert_eq!(texts(&store, &Filter::default()).await, ["{\"text\":\"three\"}"]);
    // Above so many rows the oldest go.
    store.write(&(0..30).map(|n| said(1_000 + n, "busy", "ann", &n.to_string())).collect::<Vec<_>>()).await.unwrap();
    store.prune(&Config { rows_max: 10, ..config }, 1_000).await.unwrap();
    let kept = texts(&store, &of_room("busy")).await;
    assert_eq!((kept.len(), kept[0].as_str()), (10, "{\"text\":\"20\"}"));
}

async fn adds_quality_up(database: &Database) {
    let store = Store::new(database).unwrap();
    store.migrate().await.unwrap();
    let samples = [
        sample(100, "ann", "Firefox 153", Some(420)),
        sample(105, "ann", "Firefox 153", Some(280)),
        sample(160, "bob", "Chromium 156", Some(450)),
        sample(161, "eve", "Firefox 153", None),
    ];
    store.write(&samples).await.unwrap();
    let all = store.quality(&of_room("board"), By::All, 60_000).await.unwrap();
    let [whole] = &all[..] else { panic!("{all:?}") };
    assert_eq!((whole.name.as_str(), whole.means.samples, whole.poor), ("", 4, 1));
    assert!((whole.means.score.unwrap() - (4.2 + 2.8 + 4.5) / 3.0).abs() < 0.01, "who does not know does not count: {whole:?}");
    assert_eq!((whole.means.rtt_ms, whole.means.audio), (Some(40.0), None));
    assert!((whole.means.loss_uplink.unwrap() - 0.01).abs() < 1e-6);
    let points: Vec<(u64, u64)> = whole.points.iter().map(|point| (point.at_s, point.means.samples)).collect();
    assert_eq!(points, [(60, 2), (120, 2)]);
    let by_browser = store.quality(&Filter::default(), By::Browser, 60_000).await.unwrap();
    let names: Vec<(&str, u64)> = by_browser.iter().map(|group| (group.name.as_str(), group.means.samples)).collect();
    assert_eq!(names, [("Firefox 153", 3), ("Chromium 156", 1)]);
    let newest = store.samples(&Filter { identity: Some("ann".into()), ..Filter::default() }, 1).await.unwrap();
    assert_eq!(newest, [(105_000, "{}".to_owned())]);
    assert_eq!(store.delete(&of_room("board")).await.unwrap(), 4);
    assert!(store.quality(&Filter::default(), By::All, 60_000).await.unwrap().is_empty());
}

#[tokio::test]
async fn sqlite_keeps_and_forgets() {
    let server = Server::start(Kind::Sqlite);
    keeps_and_forgets(&Database::Sqlite(server.path().join("history.db"))).await;
    adds_quality_up(&Database::Sqlite(server.path().join("quality.db"))).await;
}

#[tokio::test]
async fn a_database_in_memory_is_one_for_all_who_ask() {
    let store = Store::new(&Database::Sqlite(":memory:".into())).unwrap();
    store.migrate().await.unwrap();
    store.write(&[said(1, "r", "ann", "hi")]).await.unwrap();
    let (room, other) = (of_room("r"), store.clone());
    let (one, two) = tokio::join!(texts(&store, &room), texts(&other, &room));
    assert_eq!((one.len(), two.len()), (1, 1));
}

#[tokio::test]
async fn postgresql_keeps_and_forgets() {
    let server = Server::start(Kind::Postgres);
    keeps_and_forgets(&database(&server)).await;
    adds_quality_up(&database(&server)).await;
}

async fn until(what: &str, ask: impl Fn() -> bool) {
    let end = Instant::now() + Duration::from_secs(60);
    while !ask() {
        assert!(Instant::now() < end, "it did not happen: {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

fn count(counters: &Counters, name: &str) -> u64 {
    counters.outcomes().into_iter().find(|(outcome, _)| *outcome == name).unwrap().1
}

/// The database dies under it and comes back: nobody waits, what has no place is counted, what waited is kept.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_database_that_dies_stops_history_and_nothing_else() {
    let mut server = Server::start(Kind::Postgres);
    let store = Store::new(&database(&server)).unwrap();
    let counters = Arc::new(Counters::default());
    let writer = Writer::start(store.clone(), &Config { queue_max: 100, ..Config::default() }, &counters);
    let now_s = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    writer.keep(said(now_s, "r", "ann", "before"));
    until("the first is kept", || count(&counters, "kept") == 1).await;
    server.kill();
    writer.keep(said(now_s, "r", "ann", "while it was away"));
    until("it is noticed", || counters.is_away()).await;
    let began = Instant::now();
    for n in 0..1_000 {
        writer.keep(said(now_s, "r", "ann", &n.to_string()));
    }
    assert!(began.elapsed() < Duration::from_secs(5), "to keep something never waits");
    assert_eq!(count(&counters, "lost"), 900, "a hundred wait");
    tokio::task::block_in_place(|| server.restart());
    until("what waited is kept", || count(&counters, "kept") == 102).await;
    assert!(!counters.is_away());
    assert_eq!(texts(&store, &of_room("r")).await.len(), 102);
}

/// A place where nothing can be written is told once, and tried again.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_file_that_cannot_be_made_stops_history_until_it_can() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("later/history.db");
    let counters = Arc::new(Counters::default());
    let writer = Writer::start(Store::new(&Database::Sqlite(file.clone())).unwrap(), &Config::default(), &counters);
    writer.keep(said(1_900_000_000, "r", "ann", "hello"));
    until("it is noticed", || counters.is_away()).await;
    std::fs::create_dir(file.parent().unwrap()).unwrap();
    until("it is kept", || count(&counters, "kept") == 1).await;
    assert!(!counters.is_away() && count(&counters, "lost") == 0);
}

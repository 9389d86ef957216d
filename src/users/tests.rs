use std::time::Duration;

use proptest::prelude::*;

use super::*;

const HERO: &str = "7da2270ccfa49786e0115366d3a3d14d";

fn remote(database: Result<Database, AddressError>) -> Remote {
    match database.expect("an address") {
        Database::Postgres(remote) | Database::MySql(remote) | Database::Redis(remote) => remote,
        Database::Sqlite(path) => panic!("{}", path.display()),
    }
}

fn exposed(remote: &Remote) -> &str {
    remote.password.as_ref().map_or("", Secret::expose)
}

#[test]
fn keys_are_those_of_the_long_term_mechanism() {
    let key = UserKey::derive("gorst", "north.gov", "hero");
    assert_eq!(key.to_hex(), HERO);
    assert_eq!(HERO.parse(), Ok(key));
    // As PostgreSQL pads them, as turnadmin prints them, and with a longer hash behind.
    assert_eq!(format!("{HERO}{}", " ".repeat(96)).parse(), Ok(key));
    assert_eq!(format!("0x{HERO}").parse(), Ok(key));
    for wrong in ["", "7da2", "zza2270ccfa49786e0115366d3a3d14d", "7da2270ccfa49786e0115366d3a3d14é"] {
        assert_eq!(wrong.parse::<UserKey>(), Err(records::NotAKey), "{wrong}");
    }
    assert!(!format!("{key:?}").contains("7d"));
}

#[test]
fn addresses_of_postgresql_are_libpqs() {
    let words =
        remote(Database::postgres("host=db.example port = 5433 dbname=turn user=turn password='it\\'s a \"secret\"' connect_timeout=30"));
    assert_eq!((words.host.as_deref(), words.port), (Some("db.example"), Some(5433)));
    assert_eq!((words.dbname.as_deref(), words.user.as_deref()), (Some("turn"), Some("turn")));
    assert_eq!(exposed(&words), "it's a \"secret\"");
    assert_eq!(words.connect_timeout, Some(Duration::from_secs(30)));
    let uri = remote(Database::postgres("postgresql://turn:it%27s%20%2f@[2001:db8::1]:5433/turn?connect_timeout=2&sslmode=require"));
    assert_eq!((uri.host.as_deref(), uri.port, uri.dbname.as_deref()), (Some("2001:db8::1"), Some(5433), Some("turn")));
    assert_eq!((exposed(&uri), uri.tls_mode.as_deref()), ("it's /", Some("require")));
    // The address counts, wherever it stands.
    assert_eq!(remote(Database::postgres("hostaddr=10.0.0.1 host=name")).host.as_deref(), Some("10.0.0.1"));
    assert_eq!(remote(Database::postgres("host=name hostaddr=10.0.0.1")).host.as_deref(), Some("10.0.0.1"));
    // Quoted as a whole, as configuration files have it.
    assert_eq!(remote(Database::postgres("\"host=/run/postgresql dbname=turn\"")).host.as_deref(), Some("/run/postgresql"));
}

#[test]
fn addresses_of_mysql_and_redis_are_coturns() {
    let mysql = "ip=127.0.0.1 database=turn uname=turn pwd=it's\\=fine p=3307 timeout=3 read_timeout=7 ca=/ca.pem";
    let mysql = remote(Database::mysql(mysql));
    assert_eq!((mysql.host.as_deref(), mysql.port, mysql.dbname.as_deref()), (Some("127.0.0.1"), Some(3307), Some("turn")));
    assert_eq!((exposed(&mysql), mysql.user.as_deref()), ("it's\\=fine", Some("turn")));
    assert_eq!((mysql.connect_timeout, mysql.read_timeout), (Some(Duration::from_secs(3)), Some(Duration::from_secs(7))));
    assert_eq!(mysql.tls_ca.as_deref(), Some(Path::new("/ca.pem")));
    let redis = remote(Database::redis("ip=10.0.0.1  dbname=2 password=turn port=6380 connect_timeout=0 "));
    assert_eq!((redis.host.as_deref(), redis.port, redis.dbname.as_deref()), (Some("10.0.0.1"), Some(6380), Some("2")));
    assert_eq!((exposed(&redis), redis.connect_timeout), ("turn", None));
    let uri = remote(Database::redis("redis://:p%40ss@localhost/3"));
    assert_eq!((exposed(&uri), uri.dbname.as_deref(), uri.user.as_deref()), ("p@ss", Some("3"), None));
}

#[test]
fn kinds_before_addresses() {
    assert_eq!("sqlite:/var/lib/turn/turndb".parse(), Ok(Database::Sqlite(SQLITE_PATH_DEFAULT.into())));
    assert_eq!("sqlite:///a b".parse(), Ok(Database::Sqlite("/a b".into())));
    assert_eq!("postgresql:host=a dbname='b c'".parse(), Database::postgres("host=a dbname='b c'"));
    assert_eq!("mysql://u@h/d".parse(), Database::mysql("host=h user=u dbname=d"));
    assert_eq!("mongodb://h/d".parse::<Database>(), Err(Database::mongo()));
    assert_eq!("/var/lib/turn/turndb".parse::<Database>(), Err(AddressError::UnknownKind));
}

#[test]
fn what_is_wrong_with_an_address_is_said() {
    let wrong = |database: Result<Database, AddressError>| database.unwrap_err().to_string();
    assert_eq!(wrong(Database::postgres("host=a b")), "word 2 is not of the form name=value");
    assert_eq!(wrong(Database::postgres("password='open")), "word 1 is not of the form name=value");
    assert_eq!(wrong(Database::mysql("host=a colour=red")), "no setting is called `colour`");
    assert_eq!(wrong(Database::mysql("port=70000")), "`port` has a value that it cannot have");
    assert_eq!(wrong(Database::redis("dbname=turn")), "`dbname` has a value that it cannot have");
    assert_eq!(wrong(Database::postgres("host=a,b")), "several hosts are not supported: name one");
    assert!(wrong(Database::redis("ip=a tls=1")).contains("TLS"));
    assert!(wrong(Database::mysql("capath=/x")).contains("`ca`"));
    assert!(wrong(Database::postgres("sslmode=maybe")).contains("sslmode"));
}

#[test]
fn passwords_are_not_shown() {
    for text in ["postgresql://turn:sesame@db/turn", "mysql:host=db password=sesame", "redis://:sesame@db/1"] {
        let database: Database = text.parse().unwrap();
        let shown = format!("{database} {database:?} {:?}", remote(Ok(database.clone())));
        assert!(!shown.contains("sesame"), "{shown}");
        assert!(shown.contains("db"), "{shown}");
    }
}

#[test]
fn where_databases_listen() {
    let endpoint = |text: &str| text.parse::<Database>().unwrap().endpoint().map(|(host, port)| (host.to_owned(), port));
    assert_eq!(endpoint("postgresql://db"), Some(("db".to_owned(), 5432)));
    assert_eq!(endpoint("mysql:user=turn"), Some(("localhost".to_owned(), 3306)));
    assert_eq!(endpoint("redis://db:1"), Some(("db".to_owned(), 1)));
    assert_eq!(endpoint("postgresql:host=/run/postgresql"), None);
    assert_eq!(endpoint("sqlite:/x"), None);
    let addresses = "redis://127.0.0.1:1".parse::<Database>().unwrap().socket_addresses();
    assert_eq!(addresses, [std::net::SocketAddr::from(([127, 0, 0, 1], 1))]);
}

proptest! {
    #[test]
    fn every_text_is_read_or_refused(text in "\\PC{0,60}") {
        let _ = Database::postgres(&text);
        let _ = Database::mysql(&text);
        let _ = Database::redis(&text);
        let _ = text.parse::<Database>();
        let _ = text.parse::<UserKey>();
    }

    #[test]
    fn passwords_survive_both_forms(password in "\\PC{1,20}") {
        let quoted: String = password.chars().flat_map(|c| if "'\\".contains(c) { vec!['\\', c] } else { vec![c] }).collect();
        let words = remote(Database::postgres(&format!("host=a password='{quoted}' port=1")));
        prop_assert_eq!((exposed(&words), words.port), (password.as_str(), Some(1)));
        let encoded: String = password.bytes().map(|byte| format!("%{byte:02X}")).collect();
        let uri = remote(format!("mysql://a:{encoded}@h:1/").parse());
        prop_assert_eq!((exposed(&uri), uri.port), (password.as_str(), Some(1)));
    }
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap()
}

#[test]
fn a_new_file_gets_its_tables_and_keeps_what_is_put_in() {
    let folder = tempfile::tempdir().unwrap();
    let database = Database::Sqlite(folder.path().join("turndb"));
    runtime().block_on(async {
        let store = Store::open(&database).await.unwrap();
        let key = UserKey::derive("gorst", "north.gov", "hero");
        store.set_user("north.gov", "gorst", UserKey([0; 16])).await.unwrap();
        store.set_user("north.gov", "gorst", key).await.unwrap();
        store.set_user("crinna.org", "o'brien; drop table turnusers_lt", key).await.unwrap();
        assert_eq!(store.user_key("north.gov", "gorst").await, Ok(Some(key)));
        assert_eq!(store.user_key("north.gov", "' or ''='").await, Ok(None));
        let names: Vec<_> = store.users(None).await.unwrap().into_iter().map(|user| user.name).collect();
        assert_eq!(names, ["o'brien; drop table turnusers_lt", "gorst"]);
        // Opened again, nothing is lost.
        let again = Store::open(&database).await.unwrap();
        again.delete_user("north.gov", "gorst").await.unwrap();
        assert_eq!(store.user_key("north.gov", "gorst").await, Ok(None));
        assert_eq!(store.users(Some("crinna.org")).await.unwrap().len(), 1);
    });
}

#[test]
fn a_file_that_cannot_be_opened_is_told_with_its_name() {
    let error = runtime().block_on(Store::open(&Database::Sqlite("/nowhere/turndb".into()))).unwrap_err();
    assert!(error.is_away());
    assert!(error.to_string().contains("/nowhere/turndb"), "{error}");
}

#[test]
fn a_server_that_is_not_there_is_told_soon() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    for kind in ["postgresql", "mysql", "redis"] {
        let database: Database = format!("{kind}://turn@127.0.0.1:{port}/0").parse().unwrap();
        let begun = std::time::Instant::now();
        let error = runtime().block_on(Store::open(&database)).unwrap_err();
        assert!(error.is_away(), "{kind}: {error}");
        assert!(begun.elapsed() < Duration::from_secs(3), "{kind}");
    }
}

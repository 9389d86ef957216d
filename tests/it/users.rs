//! User databases on real servers: shared with coturn's `turnadmin`, used by a running server whose clients are coturn's, and lost.

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use pointsman::config::Secret;
use pointsman::users::{AdminUser, Database, OAuthKey, PeerList, PeerRange, RealmOptionKind, Store, UserKey};

use super::databases::{Kind, Server, free_port, run};

const REALM: &str = "north.gov";

fn wait<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(future)
}

/// coturn's program for this database; what it prints.
fn turnadmin(server: &Server, arguments: &[&str]) -> String {
    let (option, value) = server.option();
    let output = run(Command::new("turnadmin").current_dir(server.path()).args([option, &value]).args(arguments));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// Lines of coturn's output that are no log.
fn listed(server: &Server, arguments: &[&str]) -> Vec<String> {
    let text = turnadmin(server, arguments);
    let mut lines: Vec<_> =
        text.lines().filter(|line| !line.contains(": INFO") && !line.starts_with("0: ")).map(|line| line.trim().to_owned()).collect();
    lines.retain(|line| !line.is_empty());
    lines.sort();
    lines
}

fn shares_with_coturn(kind: Kind) {
    let server = Server::start(kind);
    let database: Database = server.address().parse().unwrap();
    // coturn writes, we read.
    turnadmin(&server, &["-a", "-u", "gorst", "-r", REALM, "-p", "hero"]);
    turnadmin(&server, &["-s", "logen", "-r", REALM]);
    turnadmin(&server, &["-O", "-o", "http://crinna.org:80", "-r", "crinna.org"]);
    turnadmin(&server, &["-g", "-r", "crinna.org", "--max-bps=400000", "--user-quota=8"]);
    turnadmin(&server, &["-A", "-u", "skarling", "-r", REALM, "-p", "hoodless"]);
    wait(async {
        let store = Store::open(&database).await.unwrap();
        assert_eq!(store.user_key(REALM, "gorst").await, Ok(Some(UserKey::derive("gorst", REALM, "hero"))));
        assert_eq!(store.user_key(REALM, "GORST").await, Ok(None));
        assert_eq!(store.user_key("crinna.org", "gorst").await, Ok(None));
        let users = store.users(None).await.unwrap();
        assert_eq!((users.len(), users[0].realm.as_str(), users[0].name.as_str()), (1, REALM, "gorst"));
        let secrets = store.secrets(None).await.unwrap();
        assert_eq!((secrets.len(), secrets[0].realm.as_str(), secrets[0].secret.expose()), (1, REALM, "logen"));
        let origins = store.origins(None).await.unwrap();
        assert_eq!((origins.len(), origins[0].realm.as_str(), origins[0].origin.as_str()), (1, "crinna.org", "http://crinna.org:80"));
        let options = store.realm_options(Some("crinna.org")).await.unwrap();
        let options: Vec<_> = options.iter().map(|option| (option.kind, option.value)).collect();
        assert_eq!(options, [(RealmOptionKind::MaxBps, 400_000), (RealmOptionKind::UserQuota, 8)]);
        let admin = store.admin_user("skarling").await.unwrap().unwrap();
        assert!(admin.realm == REALM && admin.password.expose().starts_with("$5$"));
        // We write, coturn reads.
        store.set_user(REALM, "whirrun", UserKey::derive("whirrun", REALM, "wrong")).await.unwrap();
        store.set_user(REALM, "whirrun", UserKey::derive("whirrun", REALM, "sword")).await.unwrap();
        store.add_secret(REALM, &Secret::new("bloody9")).await.unwrap();
        store.add_secret(REALM, &Secret::new("bloody9")).await.unwrap();
        store.add_origin("https://bligh.edu:443", "crinna.org").await.unwrap();
        store.set_realm_option("crinna.org", RealmOptionKind::TotalQuota, 10_000).await.unwrap();
        store.set_realm_option("crinna.org", RealmOptionKind::UserQuota, 0).await.unwrap();
        let bayaz = AdminUser { name: "bayaz".to_owned(), realm: String::new(), password: Secret::new("$5$1$2") };
        store.set_admin_user(&bayaz).await.unwrap();
    });
    assert_eq!(listed(&server, &["-l", "-r", REALM]), ["gorst[north.gov]", "whirrun[north.gov]"]);
    assert_eq!(listed(&server, &["-S", "-r", REALM]), ["bloody9[north.gov]", "logen[north.gov]"]);
    assert_eq!(
        listed(&server, &["-I", "-r", "crinna.org"]),
        ["http://crinna.org:80 ==>> crinna.org", "https://bligh.edu:443 ==>> crinna.org"]
    );
    let options = listed(&server, &["-G", "-r", "crinna.org"]);
    match kind {
        Kind::Redis => assert_eq!(options, ["crinna.org/max-bps = 400000", "crinna.org/total-quota = 10000"]),
        Kind::Sqlite | Kind::Postgres | Kind::MariaDb => {
            assert_eq!(options, ["max-bps[crinna.org]=400000", "total-quota[crinna.org]=10000"])
        }
    }
    assert_eq!(listed(&server, &["-L"]), ["bayaz", "skarling[north.gov]"]);
    // Each deletes what the other wrote.
    turnadmin(&server, &["-d", "-u", "whirrun", "-r", REALM]);
    turnadmin(&server, &["-X", "bloody9", "-r", REALM]);
    wait(async {
        let store = Store::open(&database).await.unwrap();
        assert_eq!(store.user_key(REALM, "whirrun").await, Ok(None));
        assert_eq!(store.secrets(Some(REALM)).await.unwrap().len(), 1);
        store.delete_user(REALM, "gorst").await.unwrap();
        store.delete_secret(REALM, None).await.unwrap();
        store.delete_origin("http://crinna.org:80").await.unwrap();
        store.delete_admin_user("skarling").await.unwrap();
        // What coturn's tool cannot write.
        let range = |realm: &str, range: &str| PeerRange { realm: realm.to_owned(), range: range.to_owned() };
        store.add_peers(PeerList::Denied, "", "172.17.13.133-172.17.14.56").await.unwrap();
        store.add_peers(PeerList::Denied, REALM, "123::45").await.unwrap();
        store.add_peers(PeerList::Denied, REALM, "123::45").await.unwrap();
        assert_eq!(store.peers(PeerList::Denied).await.unwrap(), [range("", "172.17.13.133-172.17.14.56"), range(REALM, "123::45")]);
        assert!(store.peers(PeerList::Allowed).await.unwrap().is_empty());
        store.delete_peers(PeerList::Denied, REALM, "123::45").await.unwrap();
        assert_eq!(store.peers(PeerList::Denied).await.unwrap().len(), 1);
        let key = OAuthKey {
            kid: "union".to_owned(),
            ikm: Secret::new("MTIzNDU2Nzg5MDEyMzQ1Ngo="),
            timestamp_s: 1_700_000_000,
            lifetime_s: 3_600,
            algorithm: "A128GCM".to_owned(),
            realm: REALM.to_owned(),
        };
        store.set_oauth_key(&OAuthKey { lifetime_s: 0, ..key.clone() }).await.unwrap();
        store.set_oauth_key(&key).await.unwrap();
        assert_eq!(store.oauth_key("union").await.unwrap(), Some(key.clone()));
        assert_eq!(store.oauth_keys().await.unwrap(), [key]);
        store.delete_oauth_key("union").await.unwrap();
        assert_eq!(store.oauth_key("union").await.unwrap(), None);
    });
    assert_eq!(listed(&server, &["-l", "-r", REALM]), [""; 0]);
    assert_eq!(listed(&server, &["-S", "-r", REALM]), [""; 0]);
    assert_eq!(listed(&server, &["-L"]), ["bayaz"]);
}

#[test]
fn sqlite_is_shared_with_coturn() {
    shares_with_coturn(Kind::Sqlite);
}

#[test]
fn postgresql_is_shared_with_coturn() {
    shares_with_coturn(Kind::Postgres);
}

#[test]
fn mariadb_is_shared_with_coturn() {
    shares_with_coturn(Kind::MariaDb);
}

#[test]
fn redis_is_shared_with_coturn() {
    shares_with_coturn(Kind::Redis);
}

/// Ours, on the same database: its lines, sorted.
fn ours(server: &Server, arguments: &[&str]) -> Vec<String> {
    let (option, value) = server.option();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    let output = run(command.arg("turnadmin").args([option, &value]).args(arguments).current_dir(server.path()));
    let mut lines: Vec<_> = String::from_utf8_lossy(&output.stdout).lines().map(str::to_owned).collect();
    lines.sort();
    lines
}

/// Every command of turnadmin that works on a database, by our program; what each leaves behind, coturn's program lists as ours does.
fn administers(kind: Kind) {
    let server = Server::start(kind);
    let shows = |command: &[&str], expected: &[&str]| {
        assert_eq!(ours(&server, command), expected, "ours: {command:?}");
        // coturn prints what belongs to all realms in other ways.
        if command[0] != "-G" {
            assert_eq!(listed(&server, command), expected, "coturn's: {command:?}");
        }
    };
    let does = |command: &[&str]| assert_eq!(ours(&server, command), [""; 0], "{command:?} prints");
    does(&["-a", "-u", "gorst", "-r", REALM, "-p", "villain"]);
    does(&["--add", "--user=gorst", "--realm", REALM, "-phero"]);
    does(&["-a", "-u", "whirrun", "-r", "crinna.org", "-p", "sword"]);
    shows(&["-l", "-r", REALM], &["gorst[north.gov]"]);
    shows(&["-l"], &["gorst[north.gov]", "whirrun[crinna.org]"]);
    does(&["-d", "-u", "whirrun", "-r", "crinna.org"]);
    shows(&["-l"], &["gorst[north.gov]"]);

    does(&["-s", "logen", "-r", REALM]);
    does(&["--set-secret=bloody9", "-r", REALM]);
    does(&["-s", "ferro", "-r", "crinna.org"]);
    shows(&["-S", "-r", REALM], &["bloody9[north.gov]", "logen[north.gov]"]);
    does(&["-X", "logen", "-r", REALM]);
    shows(&["-S", "-r", REALM], &["bloody9[north.gov]"]);
    does(&["--delete-all-secrets", "-r", REALM]);
    shows(&["-S", "-r", REALM], &[]);
    shows(&["-S", "-r", "crinna.org"], &["ferro[crinna.org]"]);

    does(&["-O", "-o", "http://crinna.org:80", "-r", "crinna.org"]);
    does(&["--add-origin", "--origin", "https://bligh.edu:443", "-r", REALM]);
    shows(&["-I", "-r", "crinna.org"], &["http://crinna.org:80 ==>> crinna.org"]);
    does(&["-R", "-o", "http://crinna.org:80"]);
    shows(&["-I", "-r", "crinna.org"], &[]);

    does(&["-g", "-r", "crinna.org", "--max-bps=400000", "--total-quota", "10", "--user-quota=2"]);
    shows(&["-G", "-r", "crinna.org"], &["max-bps[crinna.org]=400000", "total-quota[crinna.org]=10", "user-quota[crinna.org]=2"]);
    does(&["--set-realm-option", "-r", "crinna.org", "--total-quota=0"]);
    shows(&["-G", "-r", "crinna.org"], &["max-bps[crinna.org]=400000", "user-quota[crinna.org]=2"]);

    does(&["-A", "-u", "bayaz", "-p", "first of the magi"]);
    does(&["-A", "-u", "skarling", "-r", REALM, "-p", "hoodless"]);
    shows(&["-L"], &["bayaz", "skarling[north.gov]"]);
    does(&["-D", "-u", "bayaz"]);
    shows(&["-L"], &["skarling[north.gov]"]);
    // And the one that counts: what was written is what a server of coturn's takes for the user's key.
    let key = wait(async {
        let store = Store::open(&server.address().parse().unwrap()).await.unwrap();
        store.user_key(REALM, "gorst").await.unwrap().unwrap()
    });
    assert!(turnadmin(&server, &["-k", "-u", "gorst", "-r", REALM, "-p", "hero"]).contains(&format!("0x{}", key.to_hex())));
}

#[test]
fn our_turnadmin_administers_sqlite() {
    administers(Kind::Sqlite);
}

#[test]
fn our_turnadmin_administers_postgresql() {
    administers(Kind::Postgres);
}

#[test]
fn our_turnadmin_administers_mariadb() {
    administers(Kind::MariaDb);
}

#[test]
fn our_turnadmin_administers_redis() {
    administers(Kind::Redis);
}

/// The commands that need no database print what coturn's print.
#[test]
fn keys_and_sealed_passwords_are_coturns() {
    let server = Server::start(Kind::Sqlite);
    let last = |arguments: &[&str]| listed(&server, arguments).pop().unwrap_or_default();
    let key = ["-k", "-u", "gorst", "-r", REALM, "-p", "hero"];
    assert_eq!(ours(&server, &key), [last(&key)]);
    let file = server.path().join("key").display().to_string();
    assert_eq!(ours(&server, &["-x", &file]), [""; 0]);
    assert_eq!(std::fs::read(&file).unwrap().len(), 16);
    let sealed = ours(&server, &["-E", "-f", &file, "-p", "sesame"]).pop().unwrap();
    assert_eq!(last(&["-E", "-f", &file, "-p", "sesame"]), sealed);
    assert_eq!(ours(&server, &["-v", &sealed, "-f", &file]), ["sesame"]);
    let stored = ours(&server, &["-P", "-p", "hoodless"]).pop().unwrap();
    assert!(stored.starts_with("$5$") && stored.len() == last(&["-P", "-p", "hoodless"]).len(), "{stored}");
}

/// Our server on a database.
struct Turn {
    child: Child,
    port: u16,
}

impl Turn {
    fn start(folder: &Path, settings: &str) -> Self {
        let port = free_port();
        let notify = folder.join("notify");
        let socket = UnixDatagram::bind(&notify).unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
        let file = folder.join("pointsman.toml");
        let text = format!(
            "public_ip = \"127.0.0.1\"\n[listen]\nudp = \"127.0.0.1:{port}\"\ntcp = \"127.0.0.1:{port}\"\nhttp = []\n[engine]\nshards = 1\npin = false\n\
             [sfu]\npool_slots_max = 1024\n[turn]\nrealm = \"{REALM}\"\nknown_user_age_s = 1\nunknown_user_age_s = 1\n\
             user_database_interval_s = 1\n{settings}\n"
        );
        std::fs::write(&file, text).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("POINTSMAN_")) {
            command.env_remove(name);
        }
        let log = File::create(folder.join("server.log")).unwrap();
        let child = command.arg("serve").arg("--config").arg(file).env("NOTIFY_SOCKET", &notify).stderr(log).spawn().unwrap();
        let turn = Self { child, port };
        let mut told = [0; 256];
        let len = socket.recv(&mut told).expect("the server starts");
        assert_eq!(&told[..len], b"READY=1\n");
        turn
    }

    /// The same as coturn is started: with options alone, the database's among them.
    fn start_as_coturn(server: &Server) -> Self {
        let port = free_port();
        let (option, value) = server.option();
        let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
        command.args(["turnserver", "-n", "-L", "127.0.0.1", "-E", "127.0.0.1", "-m", "1", "-p", &port.to_string(), "-a", "-r", REALM]);
        command.args([
            "--allow-loopback-peers",
            "--no-cli",
            "--no-tls",
            "--no-dtls",
            "--no-rfc5780",
            "--pidfile=",
            "-l",
            "stdout",
            option,
            &value,
        ]);
        let log = File::create(server.path().join("turnserver.log")).unwrap();
        Self { child: command.stdout(log.try_clone().unwrap()).stderr(log).spawn().unwrap(), port }
    }

    /// Two of coturn's clients relay to each other; whether all went well.
    fn relays(&self, name: &str, login: [&str; 2]) -> bool {
        self.relays_over(&[], name, login)
    }

    /// The same with options of the client's.
    fn relays_over(&self, options: &[&str], name: &str, login: [&str; 2]) -> bool {
        let port = self.port.to_string();
        let mut client = Command::new("turnutils_uclient");
        client.args(options).args(["-y", "-c", "-n", "2", "-m", "2", "-l", "120", "-u", name]).args(login).args(["-p", &port, "127.0.0.1"]);
        let output = client.stdin(Stdio::null()).output().expect("coturn's client; tests/run installs it");
        output.status.success() && String::from_utf8_lossy(&output.stdout).contains("Total lost packets 0 ")
    }

    /// Until it works or half a minute is over.
    fn comes_to_relay(&self, name: &str, login: [&str; 2]) -> bool {
        let until = Instant::now() + Duration::from_secs(30);
        while Instant::now() < until {
            if self.relays(name, login) {
                return true;
            }
        }
        false
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// coturn's tool adds a user and a secret, coturn's client uses them with our server.
fn serves_coturns_client(kind: Kind) {
    let server = Server::start(kind);
    turnadmin(&server, &["-a", "-u", "gorst", "-r", REALM, "-p", "hero"]);
    turnadmin(&server, &["-s", "logen", "-r", REALM]);
    let turn = Turn::start(server.path(), &format!("user_database = \"{}\"", server.address()));
    assert!(turn.comes_to_relay("gorst", ["-w", "hero"]));
    assert!(!turn.relays("gorst", ["-w", "villain"]));
    assert!(!turn.relays("nobody", ["-w", "hero"]));
    assert!(turn.relays("someone", ["-W", "logen"]));
    // Secrets change while it runs.
    turnadmin(&server, &["-s", "bloody9", "-r", REALM]);
    assert!(turn.comes_to_relay("someone", ["-W", "bloody9"]));
    drop(turn);
    let turn = Turn::start_as_coturn(&server);
    assert!(turn.comes_to_relay("gorst", ["-w", "hero"]));
    let log = std::fs::read_to_string(server.path().join("turnserver.log")).unwrap();
    assert!(!log.contains(super::databases::PASSWORD), "{log}");
}

#[test]
fn users_of_sqlite_relay() {
    serves_coturns_client(Kind::Sqlite);
}

#[test]
fn users_of_postgresql_relay() {
    serves_coturns_client(Kind::Postgres);
}

#[test]
fn users_of_mariadb_relay() {
    serves_coturns_client(Kind::MariaDb);
}

#[test]
fn users_of_redis_relay() {
    serves_coturns_client(Kind::Redis);
}

/// Without its database the server starts, serves whom it knows, and takes up new users when the database is back.
fn survives_the_database(kind: Kind) {
    let mut server = Server::start(kind);
    for (name, password) in [("gorst", "hero"), ("whirrun", "sword")] {
        turnadmin(&server, &["-a", "-u", name, "-r", REALM, "-p", password]);
    }
    server.kill();
    let turn = Turn::start(server.path(), &format!("user_database = \"{}\"", server.address()));
    assert!(!turn.relays("gorst", ["-w", "hero"]));
    server.restart();
    assert!(turn.comes_to_relay("gorst", ["-w", "hero"]));
    server.kill();
    assert!(turn.relays("gorst", ["-w", "hero"]), "a known user goes on");
    assert!(!turn.relays("whirrun", ["-w", "sword"]), "a new one is refused");
    assert!(turn.relays("gorst", ["-w", "hero"]), "a known user still goes on");
    server.restart();
    assert!(turn.comes_to_relay("whirrun", ["-w", "sword"]));
    let log = std::fs::read_to_string(server.path().join("server.log")).unwrap();
    let told = log.lines().filter(|line| line.contains("users cannot be looked up")).count();
    assert!((1..=2).contains(&told), "{log}");
    assert!(!log.contains(super::databases::PASSWORD), "{log}");
}

#[test]
fn postgresql_may_go_and_come() {
    survives_the_database(Kind::Postgres);
}

#[test]
fn mariadb_may_go_and_come() {
    survives_the_database(Kind::MariaDb);
}

#[test]
fn redis_may_go_and_come() {
    survives_the_database(Kind::Redis);
}

/// What watches coturn's Redis keys sees the same of ours: every command that reaches the Redis while coturn's client relays.
#[test]
fn redis_is_told_of_allocations_in_coturns_words() {
    let redis = Server::start(Kind::Redis);
    let mut monitor = TcpStream::connect(("127.0.0.1", redis.port)).unwrap();
    monitor.write_all(format!("AUTH {}\r\nMONITOR\r\n", super::databases::PASSWORD).as_bytes()).unwrap();
    let turn = Turn::start(redis.path(), &format!("users = {{ gorst = \"hero\" }}\nstatistics_redis = \"{}\"", redis.address()));
    assert!(turn.relays("gorst", ["-w", "hero"]));
    let (mut seen, mut bytes) = (String::new(), [0; 65_536]);
    monitor.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let count = |seen: &str, command: &str, rest: &str| {
        let start = format!("\"{command}\" \"turn/realm/{REALM}/user/gorst/allocation/");
        let found = seen.lines().filter_map(|line| line.split_once(&start)).filter(|(_, text)| {
            let id = text.get(..18).unwrap_or_default();
            id.bytes().all(|byte| byte.is_ascii_digit()) && text.get(18..).is_some_and(|text| text.starts_with(rest))
        });
        found.count()
    };
    // The two that carried data are given back at the end, what was only tried out is not.
    let ended = 2;
    while count(&seen, "PUBLISH", "/total_traffic/peer\" \"rcvp=") < ended {
        let len = monitor.read(&mut bytes).unwrap_or_else(|error| panic!("{error}: {seen}"));
        seen.push_str(&String::from_utf8_lossy(&bytes[..len]));
    }
    let made = count(&seen, "SET", "/status\" \"new lifetime=777, type=UDP, local=127.0.0.1:");
    assert!(made >= ended, "{seen}");
    assert_eq!(count(&seen, "PUBLISH", "/status\" \"new lifetime=777, type=UDP, local=127.0.0.1:"), made, "{seen}");
    assert!(count(&seen, "SET", "/status\" \"refreshed lifetime=777, type=UDP, ") >= ended, "{seen}");
    assert!(seen.contains(&format!(", type=UDP, local=127.0.0.1:{}, remote=127.0.0.1:", turn.port)), "{seen}");
    assert!(seen.contains(", ssl=NONE, cipher=NONE\""), "{seen}");
    assert_eq!(count(&seen, "DEL", "/status\""), ended, "{seen}");
    assert_eq!(count(&seen, "PUBLISH", "/status\" \"deleted\""), ended, "{seen}");
    // Two messages of 120 bytes each way.
    for channel in ["/traffic", "/traffic/peer", "/total_traffic", "/total_traffic/peer"] {
        let told = format!("{channel}\" \"rcvp=2, rcvb=240, sentp=2, sentb=240\"");
        assert_eq!(count(&seen, "PUBLISH", &told), ended, "{channel}: {seen}");
    }
    // Only the Redis's own words about the login were said in its hearing.
    assert!(!seen.contains("hero"), "{seen}");
}

/// Which version and cipher a client's connection has, as OpenSSL calls them.
#[test]
fn redis_is_told_how_connections_are_encrypted() {
    let redis = Server::start(Kind::Redis);
    let mut monitor = TcpStream::connect(("127.0.0.1", redis.port)).unwrap();
    monitor.write_all(format!("AUTH {}\r\nMONITOR\r\n", super::databases::PASSWORD).as_bytes()).unwrap();
    monitor.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let (certificate, key) = super::relay::certificate(redis.path());
    let tls = format!("[tls]\ncertificate = \"{}\"\nkey = \"{}\"", certificate.display(), key.display());
    let turn = Turn::start(redis.path(), &format!("users = {{ gorst = \"hero\" }}\nstatistics_redis = \"{}\"\n{tls}", redis.address()));
    let mut seen = String::new();
    let mut says = |words: &[&str]| {
        let mut bytes = [0; 65_536];
        while !words.iter().all(|words| seen.contains(words)) {
            let len = monitor.read(&mut bytes).unwrap_or_else(|error| panic!("{error}: {words:?} in {seen}"));
            seen.push_str(&String::from_utf8_lossy(&bytes[..len]));
        }
    };
    turn.relays_over(&["-t", "-S"], "gorst", ["-w", "hero"]);
    // coturn's client draws the version by lot.
    says(&["\"new lifetime=777, type=TLS/TCP, ", ", ssl=TLSv1.", "SHA384\""]);
    turn.relays_over(&["-S"], "gorst", ["-w", "hero"]);
    says(&["\"new lifetime=777, type=DTLS, ", ", ssl=DTLSv1.2, cipher=ECDHE-"]);
    assert!(seen.contains(", ssl=TLSv1.2, cipher=ECDHE-") || seen.contains(", ssl=TLSv1.3, cipher=TLS_AES_256_GCM_SHA384"), "{seen}");
}

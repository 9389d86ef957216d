use super::*;

fn env(pairs: &[(&str, &str)]) -> HashMap<String, String> {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn parse(text: &str) -> Result<Loaded, Problems> {
    Config::parse("test.toml", text, Config::default(), &HashMap::new())
}

fn good(text: &str) -> Config {
    parse(text).unwrap_or_else(|problems| panic!("{problems}")).config
}

/// Every key with its value.
fn entries(text: &str) -> Vec<Entry> {
    parse(text).unwrap_or_else(|problems| panic!("{problems}")).entries
}

/// What is printed for a file that is wrong.
fn wrong(text: &str) -> String {
    parse(text).expect_err("a wrong file was taken").to_string()
}

const SMALLEST: &str = r#"
public_ip = "203.0.113.7"
[listen]
udp  = ["0.0.0.0:3478", "[::]:3478"]
tcp  = ["0.0.0.0:3478"]
tls  = ["0.0.0.0:5349"]
http = ["127.0.0.1:8080"]
[tls]
certificate = "/etc/pointsman/cert.pem"
key = "/etc/pointsman/key.pem"
[engine]
shards = 0
[turn]
realm = "example.org"
relay_ports = "49152-65535"
shared_secret = "sesame"
users = { alice = "password" }
allowed_peers = ["10.0.0.0/8"]
[keys]
APIkey = "secret of at least 32 characters, really"
"#;

#[test]
fn smallest_production_file() {
    let config = good(SMALLEST);
    assert_eq!(config.public_ip, PublicIp::List(vec!["203.0.113.7".parse().unwrap()]));
    assert_eq!(config.listen.udp.len(), 2);
    assert_eq!(config.listen.tls, ["0.0.0.0:5349".parse::<SocketAddr>().unwrap()]);
    assert_eq!(config.turn.server.users, [("alice".to_owned(), pointsman_turn::config::Secret("password".to_owned()))]);
    assert_eq!(config.turn.allowed_peers, [Network::new("10.0.0.0".parse().unwrap(), 8)]);
    assert_eq!(config.keys["APIkey"].expose(), "secret of at least 32 characters, really");
    assert!(config.has_certificate());
}

#[test]
fn empty_file_is_the_defaults() {
    assert_eq!(entries(""), entries("# nothing\n[turn]\n"));
    assert_eq!(good("").engine.shards, 0);
}

/// File, and what its only line of complaint must be.
#[test]
fn errors_name_line_key_and_remedy() {
    let table = [
        ("[engine]\n\nshrads = 2", "test.toml:3: unknown key `shrads` in [engine]; did you mean `shards`?"),
        ("[engin]\nshards = 2", "test.toml:1: unknown section [engin]; did you mean [engine]?"),
        ("[engine]\nrealm = \"x\"", "test.toml:2: unknown key `realm` in [engine]; it belongs in [turn]"),
        ("realm = \"x\"", "test.toml:1: unknown key `realm` at the top of the file; it belongs in [turn]"),
        ("pubic_ip = \"auto\"", "test.toml:1: unknown key `pubic_ip` at the top of the file; did you mean `public_ip`?"),
        ("[listen]\npublic_ip = \"auto\"", "test.toml:2: unknown key `public_ip` in [listen]; it belongs at the top of the file"),
        ("engine = 2", "test.toml:1: `engine` is a section: write [engine] and its keys below"),
        ("[listen]\nudp = \"here\"", "test.toml:2: `udp`: \"here\" is not an address with a port, as \"0.0.0.0:3478\" or \"[::]:3478\""),
        (
            "[listen]\nudp = [\n  \"0.0.0.0:3478\",\n  3478,\n]",
            "test.toml:4: `udp`: the number 3478 is not an address with a port, as \"0.0.0.0:3478\" or \"[::]:3478\"",
        ),
        ("[listen]\nudp = []", "test.toml:2: `udp`: at least one address is needed, media goes over it"),
        ("public_ip = \"0.0.0.0\"", "test.toml:1: `public_ip`: 0.0.0.0 is no address that a client could reach"),
        (
            "[turn]\nrelay_ports = \"7-3\"",
            "test.toml:2: `relay_ports`: \"7-3\" is not a range of ports from 1 to 65535, as \"49152-65535\"",
        ),
        ("[turn]\nusers = { a = 3 }", "test.toml:2: `users`: the secret must be a string"),
        ("[http]\nconnections_max = 0", "test.toml:2: `connections_max`: 0 is not a whole number from 1 to 1000000"),
        ("[http]\nheader_timeout_s = -1", "test.toml:2: `header_timeout_s`: -1 is not a whole number from 1 to 300"),
        ("[http]\nmetrics_everywhere = 1", "test.toml:2: `metrics_everywhere`: the number 1 is not true or false"),
        ("[tls]\nkey = \"k.pem\"", "test.toml:2: [tls] has a `key` but no `certificate`"),
        ("[keys]\nshort = \"secret\"", "test.toml:2: [keys] the secret of `short` is shorter than 32 characters"),
        (
            "[log]\nlevel = \"loud\"",
            "test.toml:2: `level`: \"loud\" is not error, warn, info, debug, trace or off, alone or per module as \"info,pointsman::engine=debug\"",
        ),
    ];
    for (text, expected) in table {
        assert_eq!(wrong(text), expected, "for {text:?}");
    }
}

#[test]
fn sign_in_settings_hold_together() {
    const GOOD: &str = "[keys]\nAPIkey = \"secret of at least 32 characters, really\"\n[oidc]\nissuer = \"https://login.example.org\"\nclient_id = \"c\"\n";
    let url = "url = \"https://calls.example.org\"\n";
    assert_eq!(good(&format!("{GOOD}{url}")).sign_in_url().unwrap().as_str(), "https://calls.example.org");
    let by_name =
        good(&format!("{SMALLEST}{}", GOOD.split_once("really\"\n").unwrap().1).replace("[tls]", "[tls]\nhost = \"calls.example.org\""));
    assert_eq!(by_name.sign_in_url().unwrap().as_str(), "https://calls.example.org:5349");
    let address = "is not an address as \"https://login.example.org\" (http:// is for loopback hosts only)";
    let table = [
        (GOOD.to_owned(), "test.toml:4: [oidc] needs its `url`, where people reach this server".to_owned()),
        (format!("{GOOD}url = \"https://x/calls\""), "test.toml:6: `url`: must have no path, as \"https://calls.example.org\"".to_owned()),
        (
            format!("{GOOD}url = \"http://x\""),
            format!("test.toml:6: `url`: \"http://x\" {address}\ntest.toml:4: [oidc] needs its `url`, where people reach this server"),
        ),
        (format!("{GOOD}{url}scopes = [\"email\"]"), "test.toml:7: `scopes`: \"openid\" must be among them".to_owned()),
        (
            format!("{GOOD}{url}hosts = \"staff\""),
            "test.toml:7: `hosts`: \"staff\" is not a claim and a value, as \"groups=admins\" or \"email=ann@example.org\"".to_owned(),
        ),
        (format!("{GOOD}{url}isuer = \"x\""), "test.toml:7: unknown key `isuer` in [oidc]; did you mean `issuer`?".to_owned()),
        (format!("{GOOD}{url}client_secret = 7"), "test.toml:7: `client_secret`: the secret must be a string".to_owned()),
        (format!("{GOOD}{url}").replace("client_id = \"c\"\n", ""), "test.toml:4: [oidc] has an `issuer` but no `client_id`".to_owned()),
        (
            format!("{GOOD}{url}").replace("issuer = \"https://login.example.org\"\n", ""),
            "test.toml:4: [oidc] has a `client_id` but no `issuer`".to_owned(),
        ),
        (format!("{GOOD}{url}").replace("APIkey", "#"), "test.toml:4: `issuer`: there is no key in [keys] to sign tokens with".to_owned()),
    ];
    for (text, expected) in table {
        let mut told: Vec<String> = wrong(&text).lines().map(str::to_owned).collect();
        let mut expected: Vec<String> = expected.lines().map(str::to_owned).collect();
        told.sort();
        expected.sort();
        assert_eq!(told, expected, "for {text}");
    }
}

#[test]
fn all_errors_are_told_at_once_in_the_order_of_lines() {
    let told = wrong("[engine]\nshrads = 2\nshards = \"two\"\n[turn]\nrealm = 5\n[nothing]\n");
    let lines: Vec<&str> = told.lines().map(|line| line.split_inclusive(": ").next().unwrap()).collect();
    assert_eq!(lines, ["test.toml:2: ", "test.toml:3: ", "test.toml:5: ", "test.toml:6: "], "{told}");
}

#[test]
fn broken_toml_is_told_with_its_line() {
    let told = wrong("[engine]\nshards = = 2\n");
    assert!(told.starts_with("test.toml:2: not TOML: "), "{told}");
    let told = wrong("[engine]\nshards = 2\nshards = 3\n");
    assert!(told.starts_with("test.toml:3: not TOML: "), "{told}");
}

#[test]
fn tls_needs_a_certificate() {
    assert_eq!(wrong("[listen]\ntls = \"0.0.0.0:5349\""), "test.toml:2: `tls`: a TLS listener needs `certificate` and `key` in [tls]");
}

#[test]
fn one_value_stands_for_a_list_of_one() {
    assert_eq!(good("[listen]\nhttp = \"[::1]:80\"").listen.http, ["[::1]:80".parse::<SocketAddr>().unwrap()]);
}

#[test]
fn environment_overrides_the_file() {
    let environment = env(&[
        ("POINTSMAN_PUBLIC_IP", "192.0.2.1, 2001:db8::1"),
        ("POINTSMAN_LISTEN_UDP", "[::]:443"),
        ("POINTSMAN_LISTEN_TCP", "0.0.0.0:443,[::]:443"),
        ("POINTSMAN_ENGINE_SHARDS", "3"),
        ("POINTSMAN_TURN_REALM", "example.com"),
        ("POINTSMAN_TURN_USERS", "{ bob = \"builder\" }"),
        ("POINTSMAN_KEYS", "{ other = \"0123456789abcdef0123456789abcdef\" }"),
        ("POINTSMAN_HTTP_METRICS_EVERYWHERE", "true"),
        // Of others: a container platform's.
        ("POINTSMAN_PORT", "tcp://10.0.0.1:80"),
        ("POINTSMAN_SERVICE_HOST", "10.0.0.1"),
    ]);
    let config = Config::parse("test.toml", SMALLEST, Config::default(), &environment).unwrap().config;
    assert_eq!(config.public_ip, PublicIp::List(vec!["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()]));
    assert_eq!(config.listen.udp, ["[::]:443".parse::<SocketAddr>().unwrap()]);
    assert_eq!(config.listen.tcp.len(), 2);
    assert_eq!(config.engine.shards, 3);
    assert_eq!(config.turn.server.realm, "example.com");
    assert_eq!(config.turn.server.users.len(), 1);
    assert_eq!(config.turn.server.users[0].0, "bob");
    assert_eq!(config.keys.keys().collect::<Vec<_>>(), ["other"]);
    assert!(config.http.metrics_everywhere);
}

#[test]
fn errors_in_the_environment_name_the_variable() {
    let table = [
        ("POINTSMAN_ENGINE_SHARDS", "two", "`two` is not a whole number from 0 to 256"),
        ("POINTSMAN_ENGINE_SHRADS", "2", "sets no key of [engine]; did you mean POINTSMAN_ENGINE_SHARDS?"),
        ("POINTSMAN_KEYS", "a-secret-that-must-not-be-repeated", "not a table as `{ name = \"value\" }`"),
        ("POINTSMAN_KEYS", "{ k = \"short\" }", "[keys] the secret of `k` is shorter than 32 characters"),
    ];
    for (name, value, expected) in table {
        let problems = Config::parse("test.toml", "", Config::default(), &env(&[(name, value)])).unwrap_err();
        assert_eq!(problems.to_string(), format!("environment variable {name}: {expected}"));
    }
}

#[test]
fn secrets_are_never_shown() {
    let loaded = parse(SMALLEST).unwrap();
    for shown in [loaded.to_toml(), format!("{loaded:?}")] {
        for secret in ["sesame", "\"password\"", "secret of at least"] {
            assert!(!shown.contains(secret), "{secret} in {shown}");
        }
    }
    let told = wrong("[keys]\nk = \"short-secret\"\n[turn]\nshared_secret = 99887766\nusers = \"hunter2\"");
    assert!(!told.contains("short-secret") && !told.contains("99887766"), "{told}");
}

#[test]
fn effective_configuration_can_be_read_again() {
    let text = SMALLEST.replace("\"sesame\"", "\"(hidden)\"").replace("\"password\"", "\"(hidden)\"");
    let shown = parse(&text).unwrap().to_toml();
    // A hidden secret is too short for [keys], which is as well: nobody runs with it by accident.
    let shown = shown.replace("APIkey = \"(hidden)\"", "APIkey = \"secret of at least 32 characters, really\"");
    assert_eq!(entries(&shown), entries(&text), "{shown}");
}

#[test]
fn every_key_stands_in_the_example_with_its_default() {
    let example = include_str!("../../deploy/pointsman.example.toml");
    let mut section = "";
    let mut documented = Vec::new();
    let mut previous_is_comment = false;
    for line in example.lines() {
        let bare = line.trim_start_matches("#?").trim();
        if let Some(name) = bare.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
            section = name;
        } else if let Some((key, _)) = bare.split_once(" = ").filter(|_| !bare.starts_with('#')) {
            assert!(previous_is_comment, "`{key}` in [{section}] of the example has no comment above it");
            documented.push((section, key.trim()));
        }
        previous_is_comment = bare.starts_with("# ") || (previous_is_comment && !bare.is_empty() && !bare.starts_with('['));
    }
    let loaded = parse(example).unwrap_or_else(|problems| panic!("{problems}"));
    for entry in &loaded.entries {
        assert!(documented.contains(&(entry.section, &entry.key)), "`{}` of [{}] is not in the example", entry.key, entry.section);
    }
    assert_eq!(loaded.entries, entries(""), "the example must show the defaults");

    // What has no default stands there behind "#?", as a value that can be used.
    let filled = example.replace("#? ", "");
    parse(&filled).unwrap_or_else(|problems| panic!("{problems}"));
}

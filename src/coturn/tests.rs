use std::net::IpAddr;
use std::path::Path;

use super::options::{Argument, OPTIONS, Support};
use super::settings::{DatabaseAddress, Family};
use super::*;

mod lines_and_values;
mod plans;
mod public;

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

fn read(text: &str, line: &str) -> Collector {
    let file = File { name: "turnserver.conf".into(), text: text.to_owned() };
    let mut collector = collect(Some(&file), &CommandLine::read(&words(line)).expect("a command line"));
    collector.judge();
    collector
}

fn told(collector: &Collector, least: Weight) -> Vec<String> {
    collector.notices.iter().filter(|notice| notice.weight >= least).map(ToString::to_string).collect()
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn every_option_is_taken_or_told_of() {
    for row in OPTIONS.iter().filter(|row| !matches!(row.option, Name::ConfigFile | Name::NoConfigFile | Name::Help | Name::Version)) {
        for long in row.longs {
            let text = match row.argument {
                Argument::Switch => (*long).to_owned(),
                Argument::Optional | Argument::Required => format!("{long}={}", sample(row.option)),
            };
            let before = format!("{:?}", Collector::default().settings);
            let collector = read(&text, "");
            let changed = format!("{:?}", collector.settings) != before;
            let notices: Vec<_> = collector.notices.iter().filter(|notice| notice.place != Place::Whole).collect();
            assert!(notices.iter().all(|notice| notice.weight != Weight::Error), "{text}: {notices:?}");
            match row.support {
                Support::Works => assert!(changed || same_as_default(row.option), "{text} changes nothing"),
                Support::Partly => assert!(changed || !notices.is_empty(), "{text} is passed over in silence"),
                Support::Always => assert!(!changed && notices.is_empty(), "{text}: {notices:?}"),
                Support::Nothing => {
                    assert!(notices.iter().any(|notice| notice.weight == Weight::Note && notice.what.contains("has no effect")), "{text}");
                }
                Support::Obsolete => assert!(notices.iter().any(|notice| notice.weight == Weight::PassedOver), "{text}"),
            }
        }
    }
}

/// A value of the right kind that is not the default.
fn sample(option: Name) -> &'static str {
    match option {
        Name::ListeningIp | Name::RelayIp | Name::ExternalIp | Name::CliIp | Name::PrometheusAddress => "192.0.2.1",
        Name::DeniedPeerIp | Name::AllowedPeerIp => "10.0.0.0-10.255.255.255",
        Name::AuxServer => "192.0.2.1:33478",
        Name::AlternateServer | Name::TlsAlternateServer | Name::UdpAlternateServer | Name::TcpAlternateServer => "192.0.2.1",
        Name::AddressFamily => "keep",
        Name::User => "alice:wonderland",
        Name::PrometheusPath => "/numbers",
        Name::AcmeRedirect => "https://acme.example.org/challenges/",
        Name::RestApiSeparator => "!",
        Name::LogMinLevel => "warning",
        _ => "1234",
    }
}

/// Switches that ask for what is the default.
fn same_as_default(option: Name) -> bool {
    matches!(option, Name::Cli | Name::Rfc5780 | Name::NoSoftwareAttribute)
}

#[test]
fn names_and_letters_are_coturns_and_unique() {
    let mut longs: Vec<_> = OPTIONS.iter().flat_map(|row| row.longs).collect();
    let mut letters: Vec<_> = OPTIONS.iter().filter_map(|row| row.short).collect();
    let (all, all_letters) = (longs.len(), letters.len());
    longs.sort();
    longs.dedup();
    letters.sort_unstable();
    letters.dedup();
    assert_eq!((longs.len(), letters.len()), (all, all_letters));
    // What `getopt` is given there, sorted.
    assert_eq!(letters.into_iter().collect::<String>(), "ABCEJKLMNOQSVXabcdefhilmnopqrsuvz");
}

#[test]
fn file_is_read_with_all_its_quirks() {
    let collector = read(
        "\u{feff}\n# comment\n   listening-port = 443\r\n\ttls-listening-port\t5350\nrealm=\"north.gov\"\nfingerprint\nverbose=0\nlisten=1\n\
         listening-ip=192.0.2.1\nlistening-ip 2001:db8::1\nstatic-auth-secret=with spaces # and more = signs\nuser-quota=12 # 4 streams\n\
         total-quota=a dozen\nno-loopback-peers\nstale-nonce\nserver-name=turn.example.org;\n",
        "",
    );
    let settings = &collector.settings;
    assert_eq!((settings.listening_port, settings.tls_listening_port), (443, 5350));
    assert_eq!(settings.realm.as_deref(), Some("north.gov"));
    assert!(settings.fingerprint);
    assert_eq!(settings.listening_ips, [ip("192.0.2.1"), ip("2001:db8::1")]);
    assert_eq!(settings.secrets.iter().map(crate::config::Secret::expose).collect::<Vec<_>>(), ["with spaces # and more = signs"]);
    assert_eq!((settings.user_quota, settings.total_quota, settings.stale_nonce), (12, 0, 600));
    assert_eq!(settings.server_name.as_deref(), Some("turn.example.org;"));
    assert_eq!(
        told(&collector, Weight::Warning),
        [
            "turnserver.conf:1: warning: unknown option `\\u{feff}` is passed over",
            "turnserver.conf:8: warning: unknown option `listen` is passed over",
            "turnserver.conf:12: warning: user-quota: 12 is read, what stands behind it is not; there are no comments after a value",
            "turnserver.conf:13: warning: total-quota: no number: 0 is taken",
            "turnserver.conf:14: warning: no-loopback-peers: has no effect any more: loopback peers are refused unless allow-loopback-peers",
            "turnserver.conf:16: warning: the line ends with a semicolon, which counts as part of the value",
        ]
    );
}

#[test]
fn unknown_name_gets_the_nearest_one_and_never_shows_a_value() {
    let collector = read("static-auth-secrte=hush\nno-auth\n", "");
    let all = told(&collector, Weight::Note).join("\n");
    assert!(all.contains("unknown option `static-auth-secrte` is passed over; did you mean `static-auth-secret`?"), "{all}");
    assert!(!all.contains("hush"));
}

#[test]
fn no_notice_and_no_debug_output_shows_a_secret() {
    let text = "user=alice:0xhush\nuser=hush\nuser=alice:hush\nstatic-auth-secret=hush\ncli-password=hush\npkey-pwd=hush\n\
                psql-userdb=host=db password=hush\nredis-statsdb=ip=::1 password=hush\nstateless-nonce-secret=hush\n";
    let collector = read(text, "");
    assert!(!told(&collector, Weight::Note).join("\n").contains("hush"));
    assert!(!format!("{:?}", collector.settings).contains("hush"));
}

#[test]
fn command_line_wins_over_the_file_except_for_the_place_of_the_log() {
    let collector = read(
        "listening-port=1000\nrealm=file\nlog-file=/var/log/file.log\nuser=a:file\n",
        "-p 2000 -r line --log-file /var/log/line.log --no-stdout-log -u a:line -u b:line",
    );
    let settings = &collector.settings;
    assert_eq!((settings.listening_port, settings.realm.as_deref()), (2000, Some("line")));
    assert_eq!(settings.log.file.as_deref(), Some("/var/log/file.log"));
    assert!(settings.log.no_stdout);
    let users: Vec<_> = settings.users.iter().map(|login| (login.name.as_str(), login.password.expose())).collect();
    assert_eq!(users, [("a", "line"), ("b", "line")]);
}

#[test]
fn command_line_is_read_as_getopt_reads_it() {
    let collector =
        read("", "-vfn -p3479 -L 192.0.2.1 --realm=a.b --realm c.d --stale-nonce --max-b 17 stray --lt-cred -E=192.0.2.2 --pidfile=");
    let settings = &collector.settings;
    assert!(settings.fingerprint && settings.lt_cred_mech && settings.log.verbose == Verbosity::Normal);
    assert_eq!((settings.listening_port, settings.max_bps, settings.stale_nonce), (3479, 17, 600));
    assert_eq!((settings.realm.as_deref(), settings.pidfile.as_deref()), (Some("c.d"), Some("")));
    assert_eq!((&settings.listening_ips[..], &settings.relay_ips[..]), (&[ip("192.0.2.1")][..], &[ip("192.0.2.2")][..]));
    assert!(told(&collector, Weight::PassedOver).join("\n").contains("`stray` is no option"));
    assert_eq!(CommandLine::read(&words("-n")).unwrap().file, FileWish::None);
    assert_eq!(CommandLine::read(&words("-c a -c b")).unwrap().file, FileWish::Named("b".to_owned()));
    assert_eq!(CommandLine::read(&[]).unwrap().file, FileWish::Default);
    for (line, wrong) in [
        ("--bogus", "there is no option --bogus"),
        ("-Z", "there is no option -Z"),
        ("--realn x", "there is no option --realn; did you mean --realm?"),
        ("--realm", "--realm needs a value"),
        ("-vp", "-p needs a value"),
        ("--no-tcp-", "--no-tcp- could be"),
    ] {
        let said = CommandLine::read(&words(line)).map_or_else(|misuse| misuse.to_string(), |line| format!("{line:?}"));
        assert!(said.starts_with(wrong) || line == "--no-tcp-", "{line}: {said}");
    }
    assert!(matches!(CommandLine::read(&words("--no-u")), Err(Misuse::Ambiguous(..))));
}

#[test]
fn what_coturn_does_not_start_with_is_refused() {
    for (text, wrong) in [
        ("bps-capacity=1000\n", "bps-capacity needs max-bps"),
        ("no-udp-relay\nno-tcp-relay\n", "leave nothing to relay"),
        ("lt-cred-mech\nno-auth\n", "cannot both be meant"),
        ("static-auth-secret=x\nno-auth\n", "cannot both be meant"),
        ("allow-loopback-peers\n", "allow-loopback-peers needs no-cli or a cli-password"),
        ("fingerprint=perhaps\n", "no truth value"),
        ("denied-peer-ip=10.0.0.0-9.0.0.0\n", "is no address, from-to range or network"),
        ("denied-peer-ip=10.0.0.1-fe80::1\n", "is no address, from-to range or network"),
        ("mongo-userdb=mongodb://localhost\n", "MongoDB is not supported"),
        ("listening-port=70000\n", "no port"),
        ("listening-ip=turn.example.org\n", "is no IP address"),
        ("min-port=60000\nmax-port=50000\n", "min-port must be"),
        ("static-auth-secret=\n", "an empty secret"),
        ("external-ip=192.0.2.1/fe80::1\n", "of one family"),
    ] {
        let errors = told(&read(&format!("{text}no-auth\n").replace("no-auth\nno-auth", "no-auth"), ""), Weight::Error);
        assert!(errors.iter().any(|error| error.contains(wrong)), "{text}: {errors:?}");
    }
    for fine in ["allow-loopback-peers\nno-cli\n", "allow-loopback-peers\ncli-password=x\n", "bps-capacity=10\nmax-bps=5\n", "cli\n"] {
        assert_eq!(told(&read(fine, ""), Weight::Error), Vec::<String>::new(), "{fine}");
    }
}

#[test]
fn without_credentials_nobody_relays_unless_it_is_said() {
    for (text, access) in [
        ("", Access::Nobody),
        ("realm=x\nfingerprint\n", Access::Nobody),
        ("no-auth=0\n", Access::Nobody),
        ("no-auth\n", Access::Everybody),
        ("user=a:b\n", Access::Credentials),
        ("lt-cred-mech\n", Access::Credentials),
        ("use-auth-secret\n", Access::Credentials),
        ("static-auth-secret=x\n", Access::Credentials),
        ("oauth\n", Access::Credentials),
    ] {
        let collector = read(text, "");
        assert_eq!(collector.settings.access(), access, "{text}");
        let warned = told(&collector, Weight::Warning).join("\n");
        assert_eq!(warned.contains("nobody may relay"), access == Access::Nobody, "{text}: {warned}");
        assert_eq!(warned.contains("everybody who reaches"), access == Access::Everybody, "{text}: {warned}");
    }
}

#[test]
fn external_addresses_are_one_of_each_family_or_pairs() {
    let collector = read(
        "external-ip=203.0.113.1\nexternal-ip=2001:db8::1\nexternal-ip=203.0.113.2\nexternal-ip=203.0.113.3/10.0.0.3\nexternal-ip=203.0.113.4/10.0.0.4\n",
        "-n",
    );
    let pair = |public: &str, private: Option<&str>| External { public: ip(public), private: private.map(ip) };
    assert_eq!(
        collector.settings.externals,
        [
            pair("203.0.113.1", None),
            pair("2001:db8::1", None),
            pair("203.0.113.3", Some("10.0.0.3")),
            pair("203.0.113.4", Some("10.0.0.4"))
        ]
    );
    assert!(told(&collector, Weight::Warning).join("\n").contains("203.0.113.1 stays, a second one is passed over"));
}

#[test]
fn databases_and_families_are_told_apart() {
    let database = |text: &str| read(text, "").settings.database.map(|(address, _)| address);
    assert_eq!(database("userdb=/a\n"), Some(DatabaseAddress::Sqlite("/a".to_owned())));
    assert_eq!(database("db=/a\nuserdb=/b\n"), Some(DatabaseAddress::Sqlite("/b".to_owned())));
    assert!(matches!(database("sql-userdb=host=x\n"), Some(DatabaseAddress::Postgres(_))));
    for (text, family) in [
        ("", Family::V4),
        ("keep-address-family\n", Family::Keep),
        ("keep-address-family=0\n", Family::V4),
        ("allocation-default-address-family=ipv6\n", Family::V6),
        ("allocation-default-address-family=both\n", Family::V4),
    ] {
        assert_eq!(read(text, "").settings.family, family, "{text}");
    }
    assert_eq!(read("", "-K 1").settings.family, Family::Keep);
}

#[test]
fn files_are_looked_for_where_coturn_looks() {
    let there = |place: &'static str| move |path: &Path| path == Path::new(place);
    for (name, place, found) in [
        ("turnserver.conf", "/etc/turnserver.conf", true),
        ("turnserver.conf", "/etc/coturn/turnserver.conf", true),
        ("turnserver.conf", "/work/./turnserver.conf", true),
        ("cert.pem", "/usr/local/etc/turnserver/cert.pem", true),
        ("/certs/cert.pem", "/certs/cert.pem", true),
        ("/certs/cert.pem", "/etc/certs/cert.pem", false),
        ("", "/etc/", false),
    ] {
        assert_eq!(search::find_in(name, Path::new("/work"), there(place)).is_some(), found, "{name} at {place}");
    }
}

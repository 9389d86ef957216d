//! From settings to a server: what an option comes to.

use std::path::PathBuf;

use super::*;
use crate::users::Database;

fn host() -> Host {
    let find = |name: &str| Some(PathBuf::from(name)).filter(|path| path.is_file());
    Host { addresses: vec![ip("192.0.2.1")], domain: "example.org".to_owned(), name: "turn".to_owned(), find }
}

fn planned(text: &str) -> (Plan, Vec<String>) {
    let mut collector = read(text, "");
    let plan = collector.plan(&host());
    (plan, told(&collector, Weight::Error))
}

/// What such a file comes to, when nothing is wrong with it.
fn plan(text: &str) -> Plan {
    let (plan, errors) = planned(text);
    assert!(errors.is_empty(), "{errors:?}");
    plan
}

#[test]
fn stun_and_its_answers() {
    let server = |text: &str| plan(text).config.turn.server;
    let plain = server("no-auth\n");
    assert_eq!((plain.no_stun, plain.fingerprint, plain.software.as_str()), (false, false, ""));
    assert!(server("no-stun\n").no_stun && server("fingerprint\n").fingerprint && server("stun-only\n").stun_only);
    assert!(server("software-attribute\n").software.starts_with("Pointsman "));
    assert_eq!(server("software-attribute\nno-software-attribute\n").software, "");
    assert_eq!(server("stateless-nonce-secret=hush\n").nonce_secret, Some(pointsman_turn::config::Secret("hush".to_owned())));
}

#[test]
fn devices_reach_the_engine() {
    let engine = plan("listening-device=eth0\nrelay-device=eth1\nno-auth\n").config.engine;
    assert_eq!((engine.listen_device.as_deref(), engine.relay_device.as_deref()), (Some("eth0"), Some("eth1")));
}

#[test]
fn clients_may_all_come_over_tcp() {
    let listen = plan("no-udp\nno-dtls\nno-auth\n").config.listen;
    assert!(listen.udp.is_empty());
    assert_eq!(listen.tcp, ["192.0.2.1:3478".parse::<std::net::SocketAddr>().unwrap()]);
    assert!(planned("no-udp\nno-tcp\nno-auth\n").1.join("").contains("nothing is left to listen on"));
}

#[test]
fn metrics_tell_users_apart_only_if_wanted() {
    assert!(!plan("prometheus\nno-auth\n").process.metrics_of_users);
    assert!(plan("prometheus\nprometheus-username-labels\nno-auth\n").process.metrics_of_users);
}

#[test]
fn sealed_password_of_mysql_is_opened() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, "9Q2Zo7f31b9Bg3VX").unwrap();
    let text = |password: &str| {
        let address = format!("mysql-userdb=host=db dbname=turn user=turn password={password}");
        format!("lt-cred-mech\nrealm=x\n{address}\nsecret-key-file={}\n", file.display())
    };
    // Made by turnadmin 4.6.1.
    let Some(Database::MySql(remote)) = plan(&text("KHNiZog=")).config.turn.database.database else { panic!("no database") };
    assert_eq!(remote.password.unwrap().expose(), "hello");
    let (_, errors) = planned(&text("plain"));
    assert!(errors.len() == 1 && errors[0].contains("secret-key-file: ") && !errors[0].contains("plain"), "{errors:?}");
    std::fs::remove_file(&file).unwrap();
    assert!(planned(&text("KHNiZog=")).1[0].contains("secret-key-file: "));
    let warned = told(&read("secret-key-file=/key\nno-auth\n", ""), Weight::Warning).join("\n");
    assert!(warned.contains("there is none"), "{warned}");
}

#[test]
fn a_cli_password_opens_the_operators_port_on_loopback_only() {
    let open = |text: &str| {
        let config = plan(&format!("{text}no-auth\n")).config;
        assert_eq!(config.keys.is_empty(), config.listen.ctl.is_empty());
        assert!(config.listen.ctl.iter().all(|address| config.turn.server.peers.never.contains(address)), "clients must not reach it");
        config.listen.ctl.iter().map(ToString::to_string).collect::<Vec<_>>()
    };
    assert_eq!(open("cli-password=hush\n"), ["127.0.0.1:5766"]);
    assert_eq!(open("cli-password=hush\ncli-ip=::1\ncli-port=5767\n"), ["[::1]:5767"]);
    for closed in ["", "cli\n", "cli-password=\n", "cli-password=hush\nno-cli\n", "cli-password=hush\ncli-ip=192.0.2.1\n"] {
        assert!(open(closed).is_empty(), "{closed}");
    }
    let key = |text: &str| plan(text).config.keys["cli"].expose().to_owned();
    let hush = key("cli-password=hush\n");
    assert!(hush.len() >= crate::config::KEY_SECRET_LEN_MIN && !hush.contains("hush") && hush != key("cli-password=hash\n"));
}

#[test]
fn other_servers_are_for_clients_of_their_transport() {
    let at = |text: &str| vec![text.parse::<std::net::SocketAddr>().unwrap()];
    let server = |text: &str| plan(&format!("{text}no-auth\n")).config.turn.server;
    let both = server("alternate-server=192.0.2.2\n");
    assert_eq!((both.alternate_servers, both.tcp_alternate_servers), (at("192.0.2.2:3478"), None));
    let one = server("tcp-alternate-server=192.0.2.3:80\ntls-alternate-server=192.0.2.4\n");
    assert_eq!((one.alternate_servers, one.tcp_alternate_servers), (Vec::new(), Some(at("192.0.2.3:80"))));
    assert_eq!(one.tls_alternate_servers, at("192.0.2.4:5349"));
    let other = server("udp-alternate-server=192.0.2.5\n");
    assert_eq!((other.alternate_servers, other.tcp_alternate_servers), (at("192.0.2.5:3478"), Some(Vec::new())));
}

#[test]
fn what_tls_speaks_comes_from_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let [cert, pkey] = ["cert.pem", "pkey.pem"].map(|name| folder.path().join(name));
    for file in [&cert, &pkey] {
        std::fs::write(file, "").unwrap();
    }
    let files = format!("cert={}\npkey={}\nno-auth\n", cert.display(), pkey.display());
    let tls = |text: &str| plan(&format!("{text}{files}")).config.tls;
    let plain = tls("no-tlsv1\nno-tlsv1_1\n");
    assert_eq!((plain.certificate, plain.key, plain.only_tls_1_3, plain.ciphers), (Some(cert.clone()), Some(pkey.clone()), false, None));
    let strict = tls("no-tlsv1_2\ncipher-list=\"ECDHE-RSA-AES256-GCM-SHA384\"\n");
    assert_eq!((strict.only_tls_1_3, strict.ciphers.as_deref()), (true, Some("ECDHE-RSA-AES256-GCM-SHA384")));
    assert!(planned(&format!("CA-file=/no/such/file\n{files}")).1.join("").contains("CA-file: there is no file"));
    assert!(plan("no-tls\nno-dtls\nno-auth\n").config.tls.certificate.is_none());
    assert_eq!(tls("pkey-pwd=sesame\n").key_password.unwrap().expose(), "sesame");
    // Metrics have what TURN has unless they have their own; never are they served in the clear instead.
    let metrics = |text: &str| plan(&format!("prometheus\n{text}{files}")).process.metrics_tls;
    assert_eq!(metrics(""), None);
    let shared = metrics("prometheus-tls\n").unwrap();
    assert_eq!((shared.certificate, shared.key), (Some(cert.clone()), Some(pkey.clone())));
    let own = metrics(&format!("prometheus-tls\nprometheus-cert={}\n", pkey.display())).unwrap();
    assert_eq!((own.certificate, own.key), (Some(pkey.clone()), Some(pkey)));
    for (text, why) in [("prometheus-cert=/no/such\n", "there is no file /no/such"), ("", "neither prometheus-cert")] {
        let errors = planned(&format!("prometheus\nprometheus-tls\nno-auth\n{text}")).1.join("");
        assert!(errors.contains("prometheus-tls: ") && errors.contains(why), "{errors}");
    }
}

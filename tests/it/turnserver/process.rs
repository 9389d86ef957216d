//! Detaching, rights, signals and logs.

use std::fs;
use std::time::Duration;

use super::*;
use crate::relay::{certificate, peer};

fn lines(more: &str) -> String {
    format!("{ALICE}{LOOPBACK_PEERS}{more}")
}

/// A line of `/proc/PID/status`.
fn status(process: u32, name: &str) -> Option<String> {
    let text = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    Some(text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':'))?.trim().to_owned())
}

fn is_root() -> bool {
    nix::unistd::Uid::effective().is_root()
}

/// Ends a process that is no child of ours.
struct Detached(u32);

impl Drop for Detached {
    fn drop(&mut self) {
        let _ = Command::new("kill").args(["-KILL", &self.0.to_string()]).stderr(Stdio::null()).status();
    }
}

#[test]
fn daemon_leaves_the_terminal_and_is_found_by_its_pidfile() {
    let world = World::new();
    let (file, pidfile) = (world.write(&lines("")), world.path("pid"));
    let started = pointsman().args(["turnserver", "-o", "-c"]).arg(&file).arg("--pidfile").arg(&pidfile).output().unwrap();
    assert!(started.status.success(), "{}", text(&started));
    let number = || fs::read_to_string(&pidfile).ok()?.trim().parse::<u32>().ok();
    waits_until("there is a pidfile", || number().is_some());
    let process = Detached(number().unwrap());
    waits_until("it answers", || is_bound(world.at(3478)));
    // A group and a terminal of its own.
    assert_eq!(nix::unistd::getsid(Some(nix::unistd::Pid::from_raw(process.0 as i32))).unwrap().as_raw() as u32, process.0);
    let mut alice = Client::udp(world.at(3478), "alice", "wonderland");
    relays(&mut alice, &peer(&world.ip.to_string()));
    let log = fs::read_to_string(world.path("turn.log")).unwrap();
    assert!(log.contains("ready") && started.stdout.is_empty(), "{log}");
    kill("TERM", process.0);
    waits_until("it ends", || status(process.0, "State").is_none_or(|state| state.starts_with('Z')));
    assert!(!pidfile.exists());
}

#[test]
fn rights_are_given_up_once_the_ports_are_bound() {
    if !is_root() {
        return;
    }
    let server = World::new().start(&lines("proc-user=nobody\nproc-group=nogroup\nlistening-port=478\n"), &[]);
    let process = server.child.id();
    let nobody = nix::unistd::User::from_name("nobody").unwrap().unwrap().uid;
    for (name, id) in [("Uid", nobody.to_string()), ("Gid", nix::unistd::Group::from_name("nogroup").unwrap().unwrap().gid.to_string())] {
        assert_eq!(status(process, name).unwrap().split_whitespace().collect::<Vec<_>>(), [id.as_str(); 4], "{name}");
    }
    assert_eq!(status(process, "Groups").as_deref(), Some(""));
    assert_eq!(status(process, "CapEff").as_deref(), Some("0000000000000000"));
    let mut alice = Client::udp(server.world.at(478), "alice", "wonderland");
    relays(&mut alice, &peer(&server.world.ip.to_string()));
}

#[test]
fn draining_refuses_new_allocations_and_ends_after_the_last() {
    let world = World::new();
    let metrics = format!("prometheus\nprometheus-address={}\n", world.ip);
    let server = world.start(&lines(&metrics), &[]);
    let echo = peer(&server.world.ip.to_string());
    let ready = || operators::get(server.world.at(9641), "/readyz");
    assert!(ready().starts_with("HTTP/1.1 200"));
    let (mut alice, mut bob) = (server.alice(), server.bob());
    relays(&mut alice, &echo);
    server.signal("USR1");
    server.says("draining");
    let refused = bob.allocate(|_| ());
    assert_eq!(refused.code(), 403);
    assert!(is_bound(server.world.at(3478)), "STUN goes on");
    assert!(ready().starts_with("HTTP/1.1 503"), "load balancers look elsewhere");
    // Longer than a look at what is left.
    std::thread::sleep(Duration::from_millis(1_800));
    carries(&mut alice, &echo);
    assert_eq!(alice.refresh(600), 0);
    assert_eq!(alice.refresh(0), 0);
    assert_eq!(server.ends(Duration::from_secs(8)), Some(0));
}

#[test]
fn signals_open_the_log_anew_and_read_the_certificate_again() {
    let world = World::new();
    let (cert, key) = certificate(world.folder.path());
    let tls = format!("cert={}\npkey={}\n", cert.display(), key.display());
    let server = world.start(&lines(&tls), &["--no-stdout-log"]);
    let shown = || {
        let name = rustls::pki_types::ServerName::try_from("localhost").unwrap();
        let mut connection = rustls::ClientConnection::new(crate::relay::client::tls_config(), name).unwrap();
        let mut stream = std::net::TcpStream::connect(server.world.at(5349)).unwrap();
        while connection.is_handshaking() {
            connection.complete_io(&mut stream).unwrap();
        }
        connection.peer_certificates().unwrap().to_vec()
    };
    let before = shown();
    let echo = peer(&server.world.ip.to_string());
    let mut alice = Client::tls(server.world.at(5349), "alice", "wonderland");
    relays(&mut alice, &echo);

    certificate(server.world.folder.path());
    assert_eq!(shown(), before, "not before it is told");
    server.signal("USR2");
    server.says("certificate read again");
    assert_ne!(shown(), before);
    carries(&mut alice, &echo);
    // One that cannot be read changes nothing.
    let after = shown();
    fs::write(server.world.path("cert.pem"), "nonsense").unwrap();
    server.signal("USR2");
    server.says("the old one stays in force");
    assert_eq!(shown(), after);

    let (log, rotated) = (server.world.path("turn.log"), server.world.path("turn.log.1"));
    fs::rename(&log, &rotated).unwrap();
    server.signal("HUP");
    waits_until("there is a new log", || fs::read_to_string(&log).is_ok_and(|log| log.contains("log opened anew")));
    let old = fs::read_to_string(&rotated).unwrap();
    server.signal("USR2");
    waits_until("it is written to", || fs::read_to_string(&log).unwrap().contains("the old one stays in force"));
    assert_eq!(fs::read_to_string(&rotated).unwrap(), old, "nothing more goes to the old one");
    carries(&mut alice, &echo);
    server.signal("TERM");
    assert_eq!(server.ends(Duration::from_secs(5)), Some(0));
}

#[test]
fn syslog_takes_the_place_of_the_file_whether_or_not_there_is_one() {
    let world = World::new();
    let (file, output) = (world.write(&lines("syslog\n")), fs::File::create(world.path("output")).unwrap());
    let child = pointsman().args(["turnserver", "--syslog-facility", "LOG_DAEMON", "-c"]).arg(&file).stdout(output).spawn().unwrap();
    let server = Server { child, world };
    waits_until("it answers", || is_bound(server.world.at(3478)));
    relays(&mut server.alice(), &peer(&server.world.ip.to_string()));
    assert_eq!(server.log(), "", "all of it is the system's");
    server.signal("TERM");
    assert_eq!(server.ends(Duration::from_secs(5)), Some(0));
}

#[test]
fn clients_may_all_come_over_tcp() {
    let server = World::new().start(&lines("no-udp\nno-dtls\nno-tls\n"), &[]);
    assert!(!is_bound(server.world.at(3478)));
    let mut alice = Client::tcp(server.world.at(3478), "alice", "wonderland");
    relays(&mut alice, &peer(&server.world.ip.to_string()));
}

#[test]
fn stun_may_be_off_and_answers_may_say_who_speaks() {
    use pointsman_wire::stun::attribute::Type;
    let server = World::new().start(&lines("no-stun\nsoftware-attribute\n"), &[]);
    assert!(!is_bound(server.world.at(3478)));
    let answer = server.alice().allocate(|_| ());
    let software = answer.message().attribute(Type::SOFTWARE).map(String::from_utf8_lossy).unwrap_or_default();
    assert!(answer.code() == 0 && software.starts_with("Pointsman "), "{software}");
}

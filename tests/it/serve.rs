//! The server as a process: start, refusals to start, and the end.

use std::net::{TcpListener, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

fn serve(folder: &Path, udp: &str, http: &str) -> Command {
    let file = folder.join("pointsman.toml");
    let text = format!(
        "public_ip = \"127.0.0.1\"\n[listen]\nudp = \"{udp}\"\ntcp = []\nhttp = \"{http}\"\n[engine]\nshards = 1\npin = false\n[sfu]\npool_slots_max = 1024\n"
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new(env!("CARGO_BIN_EXE_pointsman"));
    for (name, _) in std::env::vars().filter(|(name, _)| name.starts_with("POINTSMAN_")) {
        command.env_remove(name);
    }
    command.arg("serve").arg("--config").arg(file);
    command
}

#[test]
fn port_that_is_taken_is_named_and_exits_2() {
    let folder = tempfile::tempdir().unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").unwrap();
    let udp = UdpSocket::bind("127.0.0.1:0").unwrap();
    let (tcp_address, udp_address) = (tcp.local_addr().unwrap().to_string(), udp.local_addr().unwrap().to_string());
    for (udp, http, address, key) in [
        ("127.0.0.1:0", tcp_address.as_str(), format!("{tcp_address}/tcp"), "`http`"),
        (&udp_address, "127.0.0.1:0", format!("{udp_address}/udp"), "`udp`"),
    ] {
        let output = serve(folder.path(), udp, http).output().unwrap();
        assert_eq!(output.status.code(), Some(2));
        let told = String::from_utf8(output.stderr).unwrap();
        assert!(told.contains(&format!("cannot listen on {address}: ")) && told.contains(&format!("{key} in [listen]")), "{told}");
    }
}

#[test]
fn tells_systemd_when_it_is_ready_and_ends_on_sigterm() {
    let folder = tempfile::tempdir().unwrap();
    let notify = folder.path().join("notify");
    let socket = UnixDatagram::bind(&notify).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let told = || {
        let mut bytes = [0; 256];
        let len = socket.recv(&mut bytes).expect("the server tells its state");
        String::from_utf8_lossy(&bytes[..len]).into_owned()
    };
    let mut server =
        serve(folder.path(), "127.0.0.1:0", "127.0.0.1:0").env("NOTIFY_SOCKET", &notify).stderr(Stdio::null()).spawn().unwrap();
    assert_eq!(told(), "READY=1\n");
    assert!(Command::new("kill").args(["-TERM", &server.id().to_string()]).status().unwrap().success());
    assert_eq!(told(), "STOPPING=1\n");
    assert_eq!(server.wait().unwrap().code(), Some(0));
}

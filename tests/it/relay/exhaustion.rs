//! Nothing left: no port, no descriptor. Those who are connected go on, and what is given back is had again.

use std::net::TcpStream;
use std::time::Duration;

use super::client::Client;
use super::{Server, Setting, arrives, peer};

fn echoes(client: &mut Client, echo: &std::net::UdpSocket) {
    client.send_channel(0x4000, b"goes on");
    let (bytes, relay) = arrives(echo, Duration::from_secs(3)).expect("relayed to the peer");
    echo.send_to(&bytes, relay).unwrap();
    assert_eq!(client.channel_data(), Some((0x4000, b"goes on".to_vec())));
}

#[test]
fn without_a_free_relay_port_newcomers_get_508() {
    let server = Server::with(&Setting { relay_ports: "50000-50003", ..Setting::default() });
    let echo = peer("127.0.0.1");
    let mut clients: Vec<Client> = (0..4).map(|_| server.alice()).collect();
    for client in &mut clients {
        client.allocated();
    }
    assert_eq!(clients[0].bind_channel(0x4000, echo.local_addr().unwrap()), 0);
    let mut late = server.bob();
    assert_eq!(late.allocate(|_| ()).code(), 508);
    echoes(&mut clients[0], &echo);
    assert_eq!(clients[3].refresh(0), 0);
    assert_eq!(late.allocate(|_| ()).code(), 0);
    server.metric_becomes("pointsman_turn_relay_ports", "ipv4", |ports| ports == 4);
}

#[test]
fn without_a_file_descriptor_those_who_are_there_go_on() {
    // 64 are enough to start with, and few enough to use up.
    let mut server = Server::with(&Setting { descriptors: Some(64), ..Setting::default() });
    let echo = peer("127.0.0.1");
    let mut alice = server.alice();
    alice.allocated();
    assert_eq!(alice.bind_channel(0x4000, echo.local_addr().unwrap()), 0);
    let hoard: Vec<TcpStream> = (0..80).filter_map(|_| TcpStream::connect_timeout(&server.address, Duration::from_secs(1)).ok()).collect();
    std::thread::sleep(Duration::from_millis(300));
    echoes(&mut alice, &echo);
    // A relay needs a socket for this peer: it is told so, and not left waiting.
    let mut bob = server.bob();
    let code = match bob.allocate(|_| ()).code() {
        0 => bob.bind_channel(0x4000, echo.local_addr().unwrap()),
        code => code,
    };
    assert_eq!(code, 508);
    assert!(server.is_alive());
    drop(hoard);
    std::thread::sleep(Duration::from_millis(1500));
    let mut carol = server.bob();
    carol.allocated();
    assert_eq!(carol.bind_channel(0x4000, echo.local_addr().unwrap()), 0);
    echoes(&mut carol, &echo);
}

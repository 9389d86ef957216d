//! Relay sockets: when they are there, what they tell, and where they go.

use super::*;

fn sent_on_channel(client: &TurnClient, number: u16, data: &[u8]) {
    let mut message = channel_data::header(number, data.len()).unwrap().to_vec();
    message.extend(data);
    client.socket.send(&message).unwrap();
}

/// An address at which nobody is.
fn nobody() -> SocketAddr {
    UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap()
}

#[test]
fn a_socket_opens_with_the_first_permission_and_closes_with_the_allocation() {
    let engine = start(&["127.0.0.1:0"]);
    let mut client = TurnClient::new(Ipv4Addr::LOCALHOST.into(), engine.addresses()[0]);
    let relayed = client.allocate();
    drop(UdpSocket::bind(relayed).expect("nobody has the port yet"));
    client.permit(nobody());
    assert!(UdpSocket::bind(relayed).is_err(), "the relayed address is in use");
    client.refresh(0);
    let until = Instant::now() + Duration::from_secs(5);
    while UdpSocket::bind(relayed).is_err() {
        assert!(Instant::now() < until, "the relayed address is still in use");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn a_port_that_somebody_else_took_is_an_answer() {
    let engine = start(&["127.0.0.1:0"]);
    let mut client = TurnClient::new(Ipv4Addr::LOCALHOST.into(), engine.addresses()[0]);
    let relayed = client.allocate();
    let taken = UdpSocket::bind(relayed).unwrap();
    let answer = client.try_permit(nobody());
    assert_eq!(Message::parse(&answer).unwrap().error_code().unwrap().unwrap().code, 508);
    // The allocation is still there, and so is the server.
    drop(taken);
    client.refresh(600);
    client.permit(nobody());
}

#[test]
fn a_client_learns_that_its_peer_is_gone() {
    for (host, listen, icmp) in [("127.0.0.1", "127.0.0.1:0", (3, 3, 0)), ("::1", "[::1]:0", (1, 4, 0))] {
        let engine = start(&[listen]);
        let host: IpAddr = host.parse().unwrap();
        let gone = UdpSocket::bind((host, 0)).unwrap().local_addr().unwrap();
        let mut client = TurnClient::new(host, engine.addresses()[0]);
        client.allocate();
        client.bind_channel(0x4000, gone);
        sent_on_channel(&client, 0x4000, b"is anybody there");
        let mut bytes = [0; 200];
        let len = client.socket.recv(&mut bytes).unwrap();
        let message = Message::parse(&bytes[..len]).unwrap();
        assert_eq!((message.class(), message.method()), (Class::Indication, Method::DATA));
        assert_eq!(message.xor_peer_address().unwrap(), Some(gone));
        assert_eq!((message.icmp().unwrap(), message.data()), (Some(icmp), None));
        engine.stop();
    }
}

/// RFC 8016: the client's new path may lead to another shard than the one that has its socket. With two shards, some of these do.
#[test]
fn an_allocation_follows_its_client_to_another_shard() {
    let mut config = config(&["127.0.0.1:0"]);
    config.turn.mobility = true;
    let (engine, _events) = Engine::start(config, identity()).unwrap();
    let mut client = TurnClient::new(Ipv4Addr::LOCALHOST.into(), engine.addresses()[0]);
    let (relayed, mut ticket) = client.allocate_with_ticket();
    let peer = UdpSocket::bind("127.0.0.1:0").unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    client.bind_channel(0x4001, peer.local_addr().unwrap());
    let mut bytes = [0; 200];
    for number in 0..12u8 {
        ticket = client.move_with(&ticket);
        sent_on_channel(&client, 0x4001, &[number; 50]);
        let (len, from) = peer.recv_from(&mut bytes).unwrap();
        assert_eq!((&bytes[..len], from), ([number; 50].as_slice(), relayed));
        peer.send_to(&[number; 60], relayed).unwrap();
        let len = client.socket.recv(&mut bytes).unwrap();
        let data = channel_data::ChannelData::parse(&bytes[..len]).unwrap();
        assert_eq!((data.number, data.data), (0x4001, [number; 60].as_slice()));
    }
    engine.stop();
}

//! Datagrams that are longer than a receive slot: clients that fragment (RFC 8656 leaves it to them), and peers that do.

use std::net::{IpAddr, Ipv4Addr, UdpSocket};
use std::time::Duration;

use pointsman_wire::channel_data::{self, ChannelData};

use super::client::TurnClient;
use super::start;

#[test]
fn long_datagrams_pass_both_ways_between_short_ones() {
    for (host, listen) in [("127.0.0.1", "127.0.0.1:0"), ("::1", "[::1]:0")] {
        let engine = start(&[listen]);
        let host: IpAddr = host.parse().unwrap();
        let peer = UdpSocket::bind((host, 0)).unwrap();
        peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        let mut client = TurnClient::new(host, engine.addresses()[0]);
        let relayed = client.allocate();
        client.bind_channel(0x4001, peer.local_addr().unwrap());
        let mut space = vec![0; 70_000];
        let lens = [100, 2044, 2045, 2048, 2049, 8000, 100, 30_000, 65_503, 1, 8000];
        // Several at once, so that one call brings long and short ones.
        for (number, len) in lens.into_iter().enumerate() {
            let data: Vec<u8> = (0..len).map(|at| (at + number) as u8).collect();
            let mut message = channel_data::header(0x4001, len).unwrap().to_vec();
            message.extend(&data);
            client.socket.send(&message).unwrap();
            peer.send_to(&data, relayed).unwrap();
        }
        for (number, len) in lens.into_iter().enumerate() {
            let data: Vec<u8> = (0..len).map(|at| (at + number) as u8).collect();
            let (got, from) = peer.recv_from(&mut space).unwrap();
            assert!(from == relayed && space[..got] == data, "{got} bytes to the peer instead of {len}");
            let got = client.socket.recv(&mut space).unwrap();
            let message = ChannelData::parse(&space[..got]).unwrap();
            assert!(message.data == data, "{} bytes to the client instead of {len}", message.data.len());
        }
        engine.stop();
    }
}

#[test]
fn long_datagrams_on_several_sockets_do_not_mix() {
    let engine = start(&["127.0.0.1:0", "127.0.0.2:0", "127.0.0.3:0"]);
    let host = IpAddr::from(Ipv4Addr::LOCALHOST);
    let peer = UdpSocket::bind((host, 0)).unwrap();
    peer.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
    let mut clients: Vec<_> = engine.addresses().iter().map(|server| TurnClient::new(host, *server)).collect();
    for client in &mut clients {
        client.allocate();
        client.bind_channel(0x4001, peer.local_addr().unwrap());
    }
    let mut space = vec![0; 70_000];
    let mut seen = [false; 60];
    for number in 0..20_u8 {
        for (at, client) in clients.iter().enumerate() {
            let mut message = channel_data::header(0x4001, 5000).unwrap().to_vec();
            message.extend([number * 3 + at as u8; 5000]);
            client.socket.send(&message).unwrap();
        }
        for _ in 0..3 {
            let got = peer.recv(&mut space).unwrap();
            assert!(got == 5000 && space[..got].iter().all(|byte| *byte == space[0]));
            seen[usize::from(space[0])] = true;
        }
    }
    assert!(seen.iter().all(|seen| *seen));
}

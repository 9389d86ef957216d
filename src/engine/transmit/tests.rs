use std::net::UdpSocket;
use std::time::Duration;

use pointsman_turn::RelayPort;

use super::*;
use crate::engine::StreamConfig;
use crate::engine::bind::{ListenOptions, bind_all, open_relay};
use crate::engine::receive::PeerInbox;
use crate::engine::shard::read_clock;
use crate::engine::sys::{SendError, Whence, receive_error};

const OPTIONS: ListenOptions<'_> = ListenOptions { buffer: 1 << 18, gro: false, device: None };

fn transmit(listen: &str, trains: bool) -> Transmit {
    let listeners = bind_all(&[listen.parse().unwrap()], 1, OPTIONS).unwrap().remove(0);
    let streams = Streams::new(StreamConfig::default(), None, read_clock());
    Transmit::new(listeners, RelaySockets::new(4, 1 << 16), streams, trains)
}

fn receiver(listen: &str) -> UdpSocket {
    let socket = UdpSocket::bind(listen).unwrap();
    socket.set_read_timeout(Some(Duration::from_secs(2))).unwrap();
    socket
}

fn put(transmit: &mut Transmit, to: &UdpSocket, datagram: &[u8]) {
    let flow = FiveTuple::udp(transmit.listeners()[0].local, to.local_addr().unwrap());
    transmit.slot(&flow, 1600).unwrap()[..datagram.len()].copy_from_slice(datagram);
    transmit.commit(datagram.len());
}

/// Sizes that make trains of several shapes, with numbers that tell the datagrams apart.
fn datagrams() -> Vec<Vec<u8>> {
    let sizes = [1200, 1200, 1200, 1100, 1100, 50, 1200, 1201, 20, 20, 20, 1472, 1472];
    sizes.iter().enumerate().map(|(number, &size)| vec![number as u8; size]).collect()
}

fn receive_all(socket: &UdpSocket, count: usize) -> Vec<Vec<u8>> {
    let mut bytes = [0; 2000];
    (0..count)
        .map(|_| {
            let len = socket.recv(&mut bytes).unwrap();
            bytes[..len].to_vec()
        })
        .collect()
}

#[test]
fn trains_arrive_as_the_datagrams_they_were_made_of() {
    for trains in [true, false] {
        let mut transmit = transmit("127.0.0.1:0", trains);
        let (first, second) = (receiver("127.0.0.1:0"), receiver("127.0.0.1:0"));
        for datagram in datagrams() {
            put(&mut transmit, &first, &datagram);
            put(&mut transmit, &second, &datagram);
        }
        transmit.flush();
        assert_eq!(receive_all(&first, 13), datagrams());
        assert_eq!(receive_all(&second, 13), datagrams());
        let stats = &transmit.stats;
        assert_eq!(stats.packets_out, 26);
        assert_eq!(stats.train_length.count() == 26, !trains, "{stats:?}");
        assert_eq!(stats.drops.iter().sum::<u64>(), 0);
    }
}

#[test]
fn a_refused_train_leaves_singly_and_so_do_later_ones() {
    let mut transmit = transmit("127.0.0.1:0", true);
    let to = receiver("127.0.0.1:0");
    for number in 0..5 {
        put(&mut transmit, &to, &[number; 900]);
    }
    assert_eq!(transmit.arena.trains().len(), 1);
    let mut sending = Sending {
        arena: &transmit.arena,
        slots: &mut transmit.slots,
        single_slots: &mut transmit.single_slots,
        singles: &mut transmit.singles,
        train_max: &mut transmit.train_max,
        stats: &mut transmit.stats,
    };
    sending.send_refused(transmit.listeners[0].socket.as_fd(), 0, &io::Error::from_raw_os_error(libc::EIO));
    transmit.arena.clear();
    let expected: Vec<_> = (0..5).map(|number| vec![number; 900]).collect();
    assert_eq!(receive_all(&to, 5), expected);
    assert_eq!((transmit.stats.trains_refused, transmit.stats.packets_out), (1, 5));

    for number in 0..5 {
        put(&mut transmit, &to, &[number; 900]);
    }
    assert_eq!(transmit.arena.trains().len(), 5, "no more trains to that destination");
}

#[test]
fn an_unsendable_datagram_is_counted_and_the_rest_leave() {
    let mut transmit = transmit("127.0.0.1:0", true);
    let to = receiver("127.0.0.1:0");
    let local = transmit.listeners()[0].local;
    put(&mut transmit, &to, b"before");
    // From loopback to an address that is not on this host.
    let nowhere = FiveTuple::udp(local, "192.0.2.1:9".parse().unwrap());
    transmit.slot(&nowhere, 10).unwrap();
    transmit.commit(10);
    put(&mut transmit, &to, b"after");
    transmit.flush();
    // Both went to one destination, so they left together.
    assert_eq!(receive_all(&to, 2), [b"before".to_vec(), b"after".to_vec()]);
    assert_eq!(transmit.stats.drops[DropReason::SendRefused as usize], 1);
}

#[test]
fn a_full_arena_is_sent_on_the_way() {
    let mut transmit = transmit("127.0.0.1:0", true);
    let to = receiver("127.0.0.1:0");
    let reader = to.try_clone().unwrap();
    let count = 2 * ARENA_BYTES / 1200;
    let reading = std::thread::spawn(move || {
        reader.set_read_timeout(Some(Duration::from_millis(500))).unwrap();
        let mut bytes = [0; 2000];
        std::iter::from_fn(|| reader.recv(&mut bytes).ok()).count()
    });
    for _ in 0..count {
        put(&mut transmit, &to, &[0; 1200]);
    }
    transmit.flush();
    let stats = &transmit.stats;
    assert_eq!(stats.packets_out + stats.drops[DropReason::SendBufferFull as usize], count as u64);
    assert!(reading.join().unwrap() > 0);
}

#[test]
fn an_address_that_nobody_listens_on_has_no_slot() {
    let mut transmit = transmit("127.0.0.1:0", true);
    let flow = FiveTuple::udp("127.0.0.1:1".parse().unwrap(), "127.0.0.1:9".parse().unwrap());
    assert!(transmit.slot(&flow, 100).is_none());
    assert_eq!(transmit.stats.drops[DropReason::NoSocket as usize], 1);
}

#[test]
fn a_wildcard_socket_sends_from_the_wanted_address() {
    for (listen, from, to) in [("0.0.0.0:0", "127.0.0.7", "127.0.0.1:0"), ("[::]:0", "::1", "[::1]:0")] {
        let mut transmit = transmit(listen, true);
        let to = receiver(to);
        let local = SocketAddr::new(from.parse().unwrap(), transmit.listeners()[0].local.port());
        for _ in 0..3 {
            let slot = transmit.slot(&FiveTuple::udp(local, to.local_addr().unwrap()), 10).unwrap();
            slot.fill(1);
            transmit.commit(10);
        }
        transmit.flush();
        let mut bytes = [0; 100];
        for _ in 0..3 {
            assert_eq!(to.recv_from(&mut bytes).unwrap(), (10, local));
        }
    }
}

/// A relay socket with the number 0.
fn with_relay(transmit: &mut Transmit, address: &str) -> (mio::Poll, SocketAddr) {
    let poll = mio::Poll::new().unwrap();
    let (socket, local) = open_relay(address.parse().unwrap(), 1 << 16, None).unwrap();
    transmit.relays.insert(poll.registry(), RelayPort { index: 0, generation: 1 }, socket, local).unwrap();
    (poll, local)
}

fn to_peer(transmit: &mut Transmit, peer: SocketAddr, dont_fragment: bool, datagram: &[u8]) {
    transmit.relay_slot(0, peer, dont_fragment, datagram.len()).unwrap().copy_from_slice(datagram);
    transmit.commit(datagram.len());
}

/// An address at which nobody is.
fn nobody(host: &str) -> SocketAddr {
    UdpSocket::bind(host).unwrap().local_addr().unwrap()
}

#[test]
fn a_peer_that_is_gone_costs_no_other_peer_a_datagram() {
    for (host, icmp) in [("127.0.0.1:0", Whence::Icmp { kind: 3, code: 3 }), ("[::1]:0", Whence::Icmp { kind: 1, code: 4 })] {
        let mut transmit = transmit(host, true);
        let (_poll, local) = with_relay(&mut transmit, host);
        let (gone, peer) = (nobody(host), receiver(host));
        let mut inbox = PeerInbox::new();
        for number in 0..5u8 {
            to_peer(&mut transmit, gone, false, b"is anybody there");
            transmit.flush();
            // The answer that nobody is there waits on the socket by now: loopback does not take its time.
            peer.send_to(&[number], local).unwrap();
            to_peer(&mut transmit, peer.local_addr().unwrap(), false, &[number; 100]);
            to_peer(&mut transmit, peer.local_addr().unwrap(), false, &[number; 100]);
            transmit.flush();
            assert_eq!(receive_all(&peer, 2), [[number; 100], [number; 100]]);

            to_peer(&mut transmit, gone, false, b"is anybody there");
            transmit.flush();
            let fd = transmit.relays.fd(0).unwrap();
            let first = inbox.receive(fd, 8);
            let second = if first == (0, true) { inbox.receive(fd, 8) } else { first };
            assert_eq!(second, (1, false), "what the peer sent is still there");
            for _ in 0..2 {
                assert_eq!(receive_error(fd).unwrap(), Some(SendError { to: gone, whence: icmp, mtu: 0 }));
            }
            assert_eq!(receive_error(fd).unwrap(), None);
        }
        assert_eq!(transmit.stats.packets_out, 20);
        assert_eq!(transmit.stats.drops.iter().sum::<u64>(), 0);
    }
}

#[test]
fn a_datagram_that_fits_no_packet_is_counted_by_name() {
    let mut transmit = transmit("127.0.0.1:0", true);
    let (_poll, _) = with_relay(&mut transmit, "127.0.0.1:0");
    let peer = receiver("127.0.0.1:0");
    for dont_fragment in [true, false] {
        to_peer(&mut transmit, peer.local_addr().unwrap(), dont_fragment, &[1; 65_508]);
        to_peer(&mut transmit, peer.local_addr().unwrap(), dont_fragment, &[2; 1200]);
        transmit.flush();
        assert_eq!(receive_all(&peer, 1), [[2; 1200]]);
    }
    assert_eq!(transmit.stats.drops[DropReason::TooLong as usize], 2);
}

#[test]
fn framed_media_lies_behind_its_header_and_makes_trains() {
    let mut transmit = transmit("127.0.0.1:0", true);
    let to = receiver("127.0.0.1:0");
    let client = FiveTuple::udp(transmit.listeners()[0].local, to.local_addr().unwrap());
    for number in 0..5 {
        transmit.framed_slot(1500).unwrap()[..900].fill(number);
        assert_eq!(transmit.framed(900), Some([number; 900].as_slice()));
        transmit.commit_framed(&client, &[0x40, 1, 3, 132], 900, 0);
    }
    assert_eq!(transmit.arena.trains().len(), 1, "no gap lies between them");
    transmit.framed_slot(1500).unwrap()[..10].fill(7);
    transmit.commit_framed(&client, &[9; 48], 10, 2);
    transmit.flush();
    let mut expected: Vec<_> = (0..5).map(|number| [[0x40, 1, 3, 132].as_slice(), &[number; 900]].concat()).collect();
    expected.push([[9; 48].as_slice(), &[7; 10], &[0; 2]].concat());
    assert_eq!(receive_all(&to, 6), expected);
}

#[test]
fn a_framed_slot_that_is_not_committed_leaves_nothing() {
    let mut transmit = transmit("127.0.0.1:0", true);
    let to = receiver("127.0.0.1:0");
    transmit.framed_slot(100).unwrap().fill(1);
    // A commit that belongs to no slot with a destination.
    transmit.commit(100);
    put(&mut transmit, &to, b"after");
    transmit.flush();
    assert_eq!(receive_all(&to, 1), [b"after".to_vec()]);
    assert_eq!(transmit.stats.packets_out, 1);
}

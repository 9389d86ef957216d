use std::net::UdpSocket;
use std::time::Duration;

use super::*;
use crate::engine::StreamConfig;
use crate::engine::bind::{ListenOptions, bind_all};
use crate::engine::shard::read_clock;

const OPTIONS: ListenOptions = ListenOptions { buffer: 1 << 18, gro: false };

fn transmit(listen: &str, trains: bool) -> Transmit {
    let listeners = bind_all(&[listen.parse().unwrap()], 1, OPTIONS).unwrap().remove(0);
    let streams = Streams::new(StreamConfig::default(), read_clock());
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

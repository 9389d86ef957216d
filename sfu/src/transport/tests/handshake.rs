//! Handshakes with every kind of peer, in both roles, on good and bad links.

use super::world::*;
use super::*;
use crate::transport::tests::world::Kind;
use crate::transport::*;
use crate::{CloseReason, DtlsRole, Front};

const LIMIT: Duration = Duration::from_secs(30);

fn connects(kind: Kind, front: Front, role: DtlsRole, link: Link, lose_last_flight: bool) -> Duration {
    let mut world = World::new(kind, front, role, link);
    world.lose_last_flight = lose_last_flight;
    let start = world.now.mono;
    world.run(LIMIT);
    assert!(world.events.contains(&TransportEvent::Connected), "{kind:?} {role:?}: {:?}", world.events);
    world.assert_media_flows();
    world.now.mono - start
}

/// What may meet whom: RSA and rtc-dtls peers come over HTTP only.
pub(super) const PAIRS: [(Kind, Front, DtlsRole); 12] = [
    (Kind::Modern, Front::Call, DtlsRole::Server),
    (Kind::Version12, Front::Call, DtlsRole::Server),
    (Kind::Modern, Front::Call, DtlsRole::Client),
    (Kind::Version12, Front::Call, DtlsRole::Client),
    (Kind::Modern, Front::Http, DtlsRole::Server),
    (Kind::Version12, Front::Http, DtlsRole::Server),
    (Kind::Ecdsa12, Front::Http, DtlsRole::Server),
    (Kind::Rsa, Front::Http, DtlsRole::Server),
    (Kind::Modern, Front::Http, DtlsRole::Client),
    (Kind::Version12, Front::Http, DtlsRole::Client),
    (Kind::Ecdsa12, Front::Http, DtlsRole::Client),
    (Kind::Rsa, Front::Http, DtlsRole::Client),
];

#[test]
fn every_kind_of_peer_connects() {
    for (kind, front, role) in PAIRS {
        let took = connects(kind, front, role, Link::perfect(), false);
        assert!(took < Duration::from_millis(200), "{kind:?} {role:?} took {took:?}");
    }
}

#[test]
fn a_connected_transport_sleeps() {
    for (kind, front, role) in PAIRS {
        let mut world = World::new(kind, front, role, Link::perfect());
        world.run(LIMIT);
        let mut sent = Sent::new();
        let mut wakes = 0;
        while let Some(due) = world.transport.poll_timeout()
            && due < world.now.mono + Duration::from_secs(20)
        {
            world.now = after(world.now, due.saturating_duration_since(world.now.mono));
            let _ = world.transport.handle_timeout(world.now, &mut sent);
            wakes += 1;
            assert!(wakes < 10, "{kind:?} {role:?}");
        }
        assert!(sent.datagrams.is_empty(), "nothing is said without being asked");
    }
}

#[test]
fn every_kind_of_peer_connects_when_last_flights_are_lost() {
    for (kind, front, role) in PAIRS {
        let took = connects(kind, front, role, Link::perfect(), true);
        assert!(took < Duration::from_secs(5), "{kind:?} {role:?} took {took:?}");
    }
}

#[test]
fn every_kind_of_peer_connects_over_bad_links() {
    for (kind, front, role) in PAIRS {
        for seed in 1..=12 {
            let mut world = World::new(kind, front, role, Link::new(seed, 10, 10, 60));
            world.run(LIMIT);
            assert!(world.transport.is_connected() && world.peer.keys.is_some(), "{kind:?} {role:?} seed {seed}: {:?}", world.events);
            world.assert_media_flows();
        }
    }
}

#[test]
fn a_certificate_that_the_sdp_does_not_name_closes() {
    for (kind, front, role) in PAIRS {
        let mut world = World::new(kind, front, role, Link::perfect());
        let mut other = spec(front, role, Fingerprint([9; 32]));
        other.fingerprints = vec![Fingerprint([9; 32])];
        world.transport.update(&other);
        world.run(LIMIT);
        assert_eq!(world.events.last(), Some(&TransportEvent::Closed(CloseReason::FingerprintMismatch)), "{kind:?} {role:?}");
        assert!(!world.events.contains(&TransportEvent::Connected));
        assert!(world.transport.srtp_in().is_none() && world.transport.srtp_out().is_none());
    }
}

#[test]
fn dtls_from_a_path_without_a_check_changes_nothing() {
    let mut world = World::new(Kind::Modern, Front::Call, DtlsRole::Server, Link::perfect());
    let hello = world.peer.drive(world.now, None);
    let mut sent = Sent::new();
    for datagram in &hello {
        assert_eq!(world.transport.handle_dtls(world.now, path(1), datagram, &mut sent), Err(DropReason::UnknownPath));
    }
    assert!(sent.datagrams.is_empty());
    assert!(matches!(world.transport.dtls, Dtls::Idle));
    let (outcome, _) = check(&mut world.transport, world.now, path(1), &Check::ours());
    assert!(outcome.is_ok());
    assert_eq!(world.transport.handle_dtls(world.now, path(2), &hello[0], &mut sent), Err(DropReason::UnknownPath));
    assert!(sent.datagrams.is_empty());
}

#[test]
fn junk_before_the_hello_does_not_stop_the_handshake() {
    let mut world = World::new(Kind::Modern, Front::Call, DtlsRole::Server, Link::perfect());
    check(&mut world.transport, world.now, path(1), &Check::ours()).0.unwrap();
    let mut sent = Sent::new();
    for step in 0..200_u8 {
        let junk = vec![20 + step % 44; 14 + usize::from(step)];
        assert_eq!(world.transport.handle_dtls(world.now, path(1), &junk, &mut sent), Err(DropReason::DtlsRefused));
    }
    assert!(sent.datagrams.is_empty());
    world.run(LIMIT);
    world.assert_media_flows();
}

#[test]
fn junk_after_the_keys_does_not_stop_media() {
    for (kind, front, role) in PAIRS {
        let mut world = World::new(kind, front, role, Link::perfect());
        world.run(LIMIT);
        let mut sent = Sent::new();
        for step in 0..200_u8 {
            let mut junk = vec![step; 60];
            junk[..13].copy_from_slice(&[22, 254, 253, 0, 0, 0, 0, 0, 0, 1, step, 0, 47]);
            let _ = world.transport.handle_dtls(world.now, path(1), &junk, &mut sent);
        }
        assert!(world.transport.is_connected());
        world.assert_media_flows();
    }
}

#[test]
fn attempts_are_bounded() {
    let mut world = World::new(Kind::Modern, Front::Call, DtlsRole::Client, Link::perfect());
    let mut sent = Sent::new();
    check(&mut world.transport, world.now, path(1), &Check::ours()).0.unwrap();
    let mut made = 0;
    for _ in 0..1000 {
        // Not a ServerHello: deadly to the object.
        if world.transport.handle_dtls(world.now, path(1), &[22, 254, 253, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], &mut sent).is_err() {
            made += 1;
        }
        world.now = after(world.now, RETRY_PAUSE);
        let _ = world.transport.handle_timeout(world.now, &mut sent);
        if world.transport.closed {
            break;
        }
    }
    assert_eq!(world.transport.attempts, TransportConfig::default().dtls_attempts_max);
    assert!(made >= 1);
    let closed = std::iter::from_fn(|| world.transport.poll_event()).last();
    assert_eq!(closed, Some(TransportEvent::Closed(CloseReason::DtlsFailed)));
}

#[test]
fn a_peer_that_never_answers_is_given_up() {
    for role in [DtlsRole::Server, DtlsRole::Client] {
        let mut world = World::new(Kind::Modern, Front::Call, role, Link::new(1, 100, 0, 0));
        let start = world.now.mono;
        world.run(Duration::from_secs(100));
        assert!(world.transport.closed);
        let config = TransportConfig::default();
        assert!(world.now.mono - start <= config.handshake_timeout + Duration::from_secs(1));
    }
}

#[test]
fn close_notify_closes() {
    for (kind, front, role) in PAIRS {
        let mut world = World::new(kind, front, role, Link::perfect());
        world.run(LIMIT);
        world.peer.association.close(world.now.mono);
        let mut sent = Sent::new();
        for datagram in world.peer.drive(world.now, None) {
            let _ = world.transport.handle_dtls(world.now, path(1), &datagram, &mut sent);
        }
        assert_eq!(world.transport.poll_event(), Some(TransportEvent::Closed(CloseReason::ClosedByPeer)), "{kind:?} {role:?}");
    }
}

#[test]
fn our_goodbye_is_understood() {
    for (kind, front, role) in PAIRS {
        let mut world = World::new(kind, front, role, Link::perfect());
        world.run(LIMIT);
        let mut sent = Sent::new();
        world.transport.close(world.now, &mut sent);
        assert!(!sent.datagrams.is_empty());
        for (_, datagram) in sent.take() {
            world.peer.drive(world.now, Some(&datagram));
        }
        assert!(world.peer.closed, "{kind:?} {role:?}");
        assert_eq!(world.transport.poll_timeout(), None);
    }
}

#[test]
fn a_full_arena_costs_time_and_nothing_else() {
    let mut world = World::new(Kind::Modern, Front::Call, DtlsRole::Server, Link::perfect());
    check(&mut world.transport, world.now, path(1), &Check::ours()).0.unwrap();
    let mut full = Sent::new();
    full.full = true;
    let hello = world.peer.drive(world.now, None);
    let last = hello.iter().map(|datagram| world.transport.handle_dtls(world.now, path(1), datagram, &mut full)).last();
    assert_eq!(last, Some(Err(DropReason::EgressFull)));
    world.run(LIMIT);
    world.assert_media_flows();
}

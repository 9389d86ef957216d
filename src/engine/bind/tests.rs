use super::*;

const OPTIONS: ListenOptions<'_> = ListenOptions { buffer: 1 << 16, gro: false, device: None };

fn loopback() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

#[test]
fn every_shard_gets_a_socket_on_the_same_port() {
    let all = bind_all(&[loopback(), "[::1]:0".parse().unwrap()], 3, OPTIONS).unwrap();
    assert_eq!(all.len(), 3);
    for listeners in &all {
        assert_eq!(listeners[0].local, all[0][0].local);
        assert_eq!(listeners[1].local, all[0][1].local);
        assert!(listeners[1].local.is_ipv6() && !listeners[1].wildcard);
    }
}

#[test]
fn a_taken_port_is_named_even_when_its_owner_would_share_it() {
    let other = Socket::new(Domain::IPV4, Type::DGRAM, None).unwrap();
    other.set_reuse_port(true).unwrap();
    other.bind(&loopback().into()).unwrap();
    let taken = other.local_addr().unwrap().as_socket().unwrap();
    let error = bind_all(&[loopback(), taken], 1, OPTIONS).unwrap_err();
    assert!(matches!(error, EngineError::AddressTaken(address) if address == taken), "{error}");
    assert!(error.to_string().contains(&taken.to_string()));
}

#[test]
fn a_foreign_address_is_named() {
    let foreign = SocketAddr::from(([192, 0, 2, 1], 3478));
    let error = bind_all(&[foreign], 1, OPTIONS).unwrap_err();
    assert!(matches!(error, EngineError::Bind { address, .. } if address == foreign), "{error}");
}

#[test]
fn ipv4_and_ipv6_wildcards_share_a_port() {
    let v4 = bind_all(&["0.0.0.0:0".parse().unwrap()], 1, OPTIONS).unwrap();
    let port = v4[0][0].local.port();
    drop(v4);
    let both = [SocketAddr::from(([0, 0, 0, 0], port)), SocketAddr::from((std::net::Ipv6Addr::UNSPECIFIED, port))];
    let all = bind_all(&both, 1, OPTIONS).unwrap();
    assert!(all[0].iter().all(|listener| listener.wildcard && listener.local.port() == port));
}

#[test]
fn a_device_that_is_not_there_is_named_and_one_that_is_takes_its_own_traffic() {
    let on = |device| bind_all(&[loopback()], 1, ListenOptions { device: Some(device), ..OPTIONS });
    let error = on("no-such-device").unwrap_err();
    assert!(matches!(error, EngineError::Socket { what: "its network device", .. }), "{error}");
    let all = on("lo").unwrap();
    let socket = SockRef::from(&all[0][0].socket);
    assert_eq!(socket.device().unwrap().as_deref(), Some(&b"lo"[..]));
    let (relay, _) = open_relay(loopback(), 1 << 16, Some("lo")).unwrap();
    assert_eq!(SockRef::from(&relay).device().unwrap().as_deref(), Some(&b"lo"[..]));
    assert!(open_relay(loopback(), 1 << 16, Some("no-such-device")).is_err());
}

#[test]
fn there_may_be_no_udp_address_at_all() {
    let all = bind_all(&[], 2, OPTIONS).unwrap();
    assert!(all.len() == 2 && all.iter().all(Vec::is_empty));
}

use proptest::prelude::*;

use super::*;
use crate::config::External;

const LISTENER: &str = "198.51.100.1";

fn config() -> Config {
    Config {
        relay_addresses: vec!["198.51.100.1".parse().unwrap(), "2001:db8:1::1".parse().unwrap()],
        external: vec![External { public: "198.51.100.2".parse().unwrap(), private: None }],
        peers: PeerRules { default: PeerDefault::Public, ..PeerRules::default() },
        relay_ports: 50000..=50999,
        media: vec!["198.51.100.1:3478".parse().unwrap(), "127.0.0.1:3478".parse().unwrap(), "[2001:db8:1::1]:3478".parse().unwrap()],
        ..Config::default()
    }
}

fn with(peers: PeerRules) -> Config {
    Config { peers, ..config() }
}

fn ranges(list: &[&str]) -> Vec<AddressRange> {
    list.iter().map(|range| range.parse().unwrap()).collect()
}

fn judge(config: &Config, peer: &str) -> Judgement {
    PeerPolicy::new(config).judge(peer.parse().unwrap(), LISTENER.parse().unwrap(), "example.org")
}

#[test]
fn addresses_that_no_stranger_may_reach() {
    let denied = "0.0.0.0 0.1.2.3 127.0.0.8 127.255.255.254 10.0.0.1 10.255.255.255 172.16.0.1 172.31.255.255 192.168.0.1 192.168.255.255
        100.64.0.1 100.127.255.255 169.254.0.1 169.254.169.254 192.0.0.1 198.18.0.1 198.19.255.255 224.0.0.1 239.255.255.254 240.0.0.1 255.255.255.255
        :: ::1 ::2 ::ffff:127.0.0.1 ::ffff:0.0.0.0 ::ffff:10.0.0.1 ::ffff:192.0.2.1 ::127.0.0.1 ::192.0.2.1
        64:ff9b::7f00:1 64:ff9b::a00:1 64:ff9b::a9fe:a9fe 64:ff9b::0.0.0.0 64:ff9b:1::1
        2002:7f00:1:: 2002:a00:1::1 2002:a9fe:a9fe::1 2002:0:1::1
        2001:0:7f00:1::1 2001:0:808:808::80ff:fffe 2001:0:808:808::f5ff:fffe
        100::1 fe80::1 febf::1 fec0::1 feff::1 fc00::1 fd99::1 fd00:ec2::254 ff02::1 ff0e::1";
    for peer in denied.split_whitespace() {
        assert_eq!(judge(&config(), peer), Judgement::Denied, "{peer}");
    }
}

#[test]
fn addresses_that_anyone_may_reach() {
    let allowed = "8.8.8.8 192.0.2.1 203.0.113.1 100.63.255.255 100.128.0.1 172.15.255.255 172.32.0.1 169.253.0.1 198.17.0.1 198.20.0.1 223.255.255.254
        2001:4860:4860::8888 2a00::1 64:ff9b::808:808 2002:808:808::1 2001:0:808:808::f7f7:f7f7 2001:db8:2::1 fbff::1";
    for peer in allowed.split_whitespace() {
        assert_eq!(judge(&config(), peer), Judgement::Allowed, "{peer}");
    }
}

#[test]
fn our_own_addresses_are_there_for_media_and_relays_only() {
    let config = config();
    for own in ["198.51.100.1", "198.51.100.2", "127.0.0.1", "2001:db8:1::1"] {
        assert_eq!(judge(&config, own), Judgement::OwnPortsOnly, "{own}");
    }
    // By way of a translator our ports cannot be told apart.
    for own in ["64:ff9b::198.51.100.1", "2002:c633:6402::1"] {
        assert_eq!(judge(&config, own), Judgement::Denied, "{own}");
    }
    let policy = PeerPolicy::new(&config);
    let is_own_port = |peer: &str| policy.is_own_port(peer.parse().unwrap());
    assert!(is_own_port("198.51.100.1:3478") && is_own_port("198.51.100.1:50000") && is_own_port("198.51.100.2:50999"));
    assert!(!is_own_port("198.51.100.1:8080") && !is_own_port("198.51.100.1:51000") && !is_own_port("127.0.0.1:22"));
    assert!(!is_own_port("198.51.100.2:3478"), "media listens elsewhere");
}

#[test]
fn the_address_a_client_reached_us_at_is_ours_though_we_listen_on_any() {
    let config =
        Config { media: vec!["0.0.0.0:3478".parse().unwrap()], relay_addresses: vec![Ipv4Addr::UNSPECIFIED.into()], ..Config::default() };
    let policy = PeerPolicy::new(&config);
    let listener = "203.0.113.7".parse().unwrap();
    assert_eq!(policy.judge(listener, listener, ""), Judgement::OwnPortsOnly);
    assert!(policy.is_own_port("203.0.113.7:3478".parse().unwrap()));
    assert!(!policy.is_own_port("203.0.113.7:22".parse().unwrap()));
}

#[test]
fn allowed_peers_lift_what_is_denied_but_not_what_is_no_peer() {
    let allow = |list: &[&str]| with(PeerRules { default: PeerDefault::Public, allowed: ranges(list), ..PeerRules::default() });
    let some = allow(&["127.0.0.0/8", "10.0.0.0/24", "fd00::/8"]);
    for peer in ["127.0.0.1", "127.9.9.9", "10.0.0.7", "fd12::1", "64:ff9b::10.0.0.7"] {
        assert_eq!(judge(&some, peer), Judgement::Allowed, "{peer}");
    }
    for peer in ["10.0.1.1", "192.168.0.1", "64:ff9b::10.0.1.1", "::ffff:10.0.0.7", "::1"] {
        assert_eq!(judge(&some, peer), Judgement::Denied, "{peer}");
    }
    let everything = allow(&["0.0.0.0/0", "::/0"]);
    for peer in ["0.0.0.0", "0.1.2.3", "::", "::ffff:8.8.8.8"] {
        assert_eq!(judge(&everything, peer), Judgement::Denied, "{peer}");
    }
}

#[test]
fn denied_peers_add_to_the_default_and_yield_to_allowed_ones() {
    let config = with(PeerRules {
        default: PeerDefault::Public,
        denied: ranges(&["203.0.113.0/24"]),
        allowed: ranges(&["203.0.113.9"]),
        ..PeerRules::default()
    });
    assert_eq!(judge(&config, "203.0.113.8"), Judgement::Denied);
    assert_eq!(judge(&config, "64:ff9b::203.0.113.8"), Judgement::Denied);
    assert_eq!(judge(&config, "203.0.113.9"), Judgement::Allowed);
}

#[test]
fn ranges_are_read_in_three_spellings() {
    let range = |text: &str| text.parse::<AddressRange>();
    assert!(range("10.0.0.0/8").unwrap().contains("10.1.2.3".parse().unwrap()));
    assert!(range(" 10.0.0.1 - 10.0.0.3 ").unwrap().contains("10.0.0.3".parse().unwrap()));
    assert!(range("::1").unwrap().contains("::1".parse().unwrap()));
    assert!(range("0.0.0.0/0").unwrap().contains("255.255.255.255".parse().unwrap()));
    assert!(!range("::/0").unwrap().contains("1.2.3.4".parse().unwrap()));
    for bad in ["", "10.0.0.0/33", "::/129", "10.0.0.2-10.0.0.1", "10.0.0.1-::1", "ten", "10.0.0.0/x"] {
        assert!(range(bad).is_err(), "{bad}");
    }
}

#[test]
fn by_default_nobody_but_our_own_media_and_relays() {
    let config = with(PeerRules { allowed: ranges(&["192.0.2.0/24"]), ..PeerRules::default() });
    for peer in ["8.8.8.8", "203.0.113.1", "2001:4860:4860::8888", "10.0.0.1", "127.0.0.2", "64:ff9b::192.0.2.1", "224.0.0.1"] {
        assert_eq!(judge(&config, peer), Judgement::Denied, "{peer}");
    }
    assert_eq!(judge(&config, "192.0.2.1"), Judgement::Allowed);
    for own in ["198.51.100.1", "198.51.100.2", "2001:db8:1::1", "127.0.0.1"] {
        assert_eq!(judge(&config, own), Judgement::OwnPortsOnly, "{own}");
    }
}

#[test]
fn as_coturn_judges_but_for_the_holes() {
    let coturn = |rules: PeerRules| with(PeerRules { default: PeerDefault::Coturn, ..rules });
    let plain = coturn(PeerRules::default());
    for peer in ["10.0.0.1", "172.16.0.1", "192.168.0.1", "100.64.0.1", "8.8.8.8", "198.51.100.1", "192.0.2.1", "198.18.0.1", "2001:db8::9"]
    {
        assert_eq!(judge(&plain, peer), Judgement::Allowed, "{peer}");
    }
    let closed = "0.0.0.0 0.1.2.3 127.0.0.1 127.0.0.8 127.255.255.254 :: ::1 ::ffff:127.0.0.1 ::ffff:0.0.0.0 ::ffff:10.0.0.1 ::127.0.0.1
        64:ff9b::7f00:1 2002:7f00:1:: 2001:0:7f00:1::1 169.254.0.1 169.254.169.254 64:ff9b::a9fe:a9fe fe80::1 fec0::1 fc00::1 fd99::1 fd00:ec2::254
        224.0.0.1 239.255.255.254 255.255.255.255 ff02::1 64:ff9b::198.51.100.1";
    for peer in closed.split_whitespace() {
        assert_eq!(judge(&plain, peer), Judgement::Denied, "{peer}");
    }
    let lists = coturn(PeerRules {
        allowed: ranges(&["127.0.0.0/8", "10.0.0.7", "169.254.169.254"]),
        denied: ranges(&["10.0.0.0/8", "198.51.100.0/24"]),
        ..PeerRules::default()
    });
    for (peer, judgement) in [
        ("10.0.0.7", Judgement::Allowed),
        ("10.0.0.8", Judgement::Denied),
        // No list lifts these.
        ("127.0.0.1", Judgement::Denied),
        ("169.254.169.254", Judgement::Denied),
        // Our relays reach each other although the network around them is closed.
        ("198.51.100.1", Judgement::OwnPortsOnly),
        ("198.51.100.9", Judgement::Denied),
    ] {
        assert_eq!(judge(&lists, peer), judgement, "{peer}");
    }
    let open = coturn(PeerRules { loopback: true, multicast: true, ..PeerRules::default() });
    for peer in ["127.0.0.1", "::1", "224.0.0.1", "ff02::1"] {
        assert_eq!(judge(&open, peer), Judgement::Allowed, "{peer}");
    }
    for peer in ["::ffff:127.0.0.1", "64:ff9b::7f00:1", "::127.0.0.1", "0.0.0.0", "::"] {
        assert_eq!(judge(&open, peer), Judgement::Denied, "{peer}");
    }
    let denied = coturn(PeerRules { loopback: true, denied: ranges(&["127.0.0.0/8"]), ..PeerRules::default() });
    assert_eq!(judge(&denied, "127.0.0.1"), Judgement::Denied);
}

#[test]
fn what_is_never_a_peer_stays_closed_under_every_rule() {
    let never = vec!["127.0.0.1:5766".parse().unwrap(), "10.0.0.5:5432".parse().unwrap(), "0.0.0.0:9641".parse().unwrap()];
    for default in [PeerDefault::OwnOnly, PeerDefault::Public, PeerDefault::Coturn] {
        let allowed = ranges(&["127.0.0.0/8", "10.0.0.0/8", "198.51.100.1"]);
        let config = with(PeerRules { default, loopback: true, allowed, never: never.clone(), ..PeerRules::default() });
        let policy = PeerPolicy::new(&config);
        let open = |peer: &str| {
            let peer: SocketAddr = peer.parse().unwrap();
            policy.port_is_open(policy.judge(peer.ip(), LISTENER.parse().unwrap(), ""), peer)
        };
        for peer in ["127.0.0.1:5766", "10.0.0.5:5432", "127.0.0.1:9641", "127.0.0.2:9641", "198.51.100.1:9641"] {
            assert!(!open(peer), "{peer} under {default:?}");
        }
        for peer in ["127.0.0.1:3480", "10.0.0.5:5433", "10.0.0.6:9641", "198.51.100.1:8443"] {
            assert!(open(peer), "{peer} under {default:?}");
        }
    }
}

#[test]
fn lists_of_a_realm_hold_in_that_realm() {
    let mut policy = PeerPolicy::new(&config());
    let listed = |realm: Option<&str>, range: &str| RealmRange { realm: realm.map(str::to_owned), range: range.parse().unwrap() };
    policy.update(&Rules {
        allowed_peers: vec![listed(Some("north"), "10.0.0.1")],
        denied_peers: vec![listed(Some("south"), "203.0.113.0/24"), listed(None, "192.0.2.0/24")],
        ..Rules::default()
    });
    let judge = |peer: &str, realm: &str| policy.judge(peer.parse().unwrap(), LISTENER.parse().unwrap(), realm);
    assert_eq!(judge("10.0.0.1", "north"), Judgement::Allowed);
    assert_eq!(judge("10.0.0.1", "south"), Judgement::Denied);
    assert_eq!(judge("203.0.113.1", "north"), Judgement::Allowed);
    assert_eq!(judge("203.0.113.1", "south"), Judgement::Denied);
    assert_eq!(judge("192.0.2.1", "north"), Judgement::Denied);
    policy.update(&Rules::default());
    assert_eq!(policy.judge("10.0.0.1".parse().unwrap(), LISTENER.parse().unwrap(), "north"), Judgement::Denied);
}

proptest! {
    #[test]
    fn a_range_is_what_comparing_integers_says(a in any::<u32>(), b in any::<u32>(), ip in any::<u32>()) {
        let (first, last) = (a.min(b), a.max(b));
        let range = AddressRange::new(Ipv4Addr::from(first).into(), Ipv4Addr::from(last).into()).unwrap();
        prop_assert_eq!(range.contains(Ipv4Addr::from(ip).into()), first <= ip && ip <= last);
    }

    #[test]
    fn a_range_is_what_comparing_wide_integers_says(a in any::<u128>(), b in any::<u128>(), ip in any::<u128>()) {
        let (first, last) = (a.min(b), a.max(b));
        let range = AddressRange::new(Ipv6Addr::from(first).into(), Ipv6Addr::from(last).into()).unwrap();
        prop_assert_eq!(range.contains(Ipv6Addr::from(ip).into()), first <= ip && ip <= last);
    }

    #[test]
    fn a_network_is_its_prefix(ip in any::<u128>(), other in any::<u128>(), prefix in 0u8..=128) {
        let shift = u32::from(128 - prefix);
        let cut = |ip: u128| ip.checked_shr(shift).unwrap_or(0);
        let range = AddressRange::network(Ipv6Addr::from(ip).into(), prefix).unwrap();
        prop_assert_eq!(range.contains(Ipv6Addr::from(other).into()), cut(ip) == cut(other));
        let sibling = ip ^ other.checked_shr(prefix.into()).unwrap_or(0);
        prop_assert!(range.contains(Ipv6Addr::from(sibling).into()));
    }

    #[test]
    fn no_translation_reaches_what_is_denied(ip in any::<u32>()) {
        let (inner, config) = (Ipv4Addr::from(ip), config());
        let [a, b, c, d] = inner.octets().map(u16::from);
        let forms = [
            Ipv6Addr::new(0x64, 0xff9b, 0, 0, 0, 0, (a << 8) | b, (c << 8) | d),
            Ipv6Addr::new(0x2002, (a << 8) | b, (c << 8) | d, 0, 0, 0, 0, 1),
            Ipv6Addr::new(0x2001, 0, (a << 8) | b, (c << 8) | d, 0, 0, !0x808, !0x808),
            Ipv6Addr::new(0x2001, 0, 0x808, 0x808, 0, 0, !((a << 8) | b), !((c << 8) | d)),
        ];
        for form in forms {
            let direct = judge(&config, &inner.to_string());
            prop_assert_eq!(judge(&config, &form.to_string()) == Judgement::Allowed, direct == Judgement::Allowed, "{} in {}", inner, form);
        }
    }
}

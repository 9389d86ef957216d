use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;

const QUOTA: Quota = Quota { total: 5, user: 3, bps: 100, bps_capacity: 350 };

#[test]
fn every_port_is_handed_out_once_and_comes_back() {
    let ledger = Ledger::new(50_001..=50_100);
    let mut seen = BTreeSet::new();
    for n in 0..100u64 {
        let port = ledger.reserve_port(Family::V4, PortWish::Any, n.wrapping_mul(0x9E37_79B9_7F4A_7C15)).expect("a port");
        assert!((50_001..=50_100).contains(&port) && seen.insert(port), "{port}");
    }
    assert_eq!(ledger.reserve_port(Family::V4, PortWish::Any, 7), None);
    assert_eq!((ledger.ports_in_use(Family::V4), ledger.ports_in_use(Family::V6)), (100, 0));
    assert!(ledger.reserve_port(Family::V6, PortWish::Any, 7).is_some(), "families do not share");
    ledger.release_port(Family::V4, 50_050);
    ledger.release_port(Family::V4, 50_050);
    ledger.release_port(Family::V4, 1);
    assert_eq!(ledger.reserve_port(Family::V4, PortWish::Any, u64::MAX), Some(50_050));
    assert_eq!(ledger.reserve_port(Family::V4, PortWish::Any, 0), None, "a port outside the range never comes in");
}

#[test]
fn even_ports_and_pairs() {
    let ledger = Ledger::new(49_153..=49_160);
    let pair = ledger.reserve_port(Family::V4, PortWish::EvenAndNext, 0).expect("a pair");
    assert_eq!(pair, 49_154, "49,152 lies outside");
    assert_eq!(ledger.reserve_port(Family::V4, PortWish::Even, 0), Some(49_156));
    assert_eq!(ledger.reserve_port(Family::V4, PortWish::EvenAndNext, 0), Some(49_158));
    assert_eq!(ledger.reserve_port(Family::V4, PortWish::EvenAndNext, 0), None, "the next of 49,160 lies outside");
    assert_eq!(ledger.reserve_port(Family::V4, PortWish::Even, u64::MAX), Some(49_160));
    assert_eq!(ledger.reserve_port(Family::V4, PortWish::Even, 0), None);
    assert_eq!(ledger.reserve_port(Family::V4, PortWish::Any, 0), Some(49_153));
    assert!(!ledger.reserve_exactly(Family::V4, 49_155), "belongs to the pair");
    assert!(ledger.reserve_exactly(Family::V4, 49_157));
    assert_eq!(ledger.reserve_port(Family::V4, PortWish::Any, 0), None);
}

#[test]
fn the_whole_range_can_be_used() {
    let ledger = Ledger::new(0..=65_535);
    let ports: BTreeSet<_> = (0..65_536u64).map(|n| ledger.reserve_port(Family::V6, PortWish::Any, n << 40).expect("a port")).collect();
    assert_eq!(ports.len(), 65_536);
    let empty = Ledger::new(RangeInclusive::new(2, 1));
    assert_eq!(empty.reserve_port(Family::V4, PortWish::Any, 5), None);
    assert_eq!(empty.ports_in_use(Family::V4), 0);
}

#[test]
fn draws_are_spread_over_the_range() {
    let ledger = Ledger::new(50_000..=50_999);
    let drawn: Vec<u16> =
        (0..10u64).map(|n| ledger.reserve_port(Family::V4, PortWish::Any, n * (u64::MAX / 10)).expect("a port")).collect();
    assert!(drawn.windows(2).all(|pair| pair[1] > pair[0] + 50), "{drawn:?}");
}

#[test]
fn quotas_of_realm_user_and_bandwidth() {
    let ledger = Ledger::new(1..=2);
    assert_eq!(ledger.take("a", b"alice", &QUOTA), Ok(100));
    assert_eq!(ledger.take("a", b"alice", &QUOTA), Ok(100));
    assert_eq!(ledger.take("a", b"alice", &QUOTA), Ok(100));
    assert_eq!(ledger.take("a", b"alice", &QUOTA), Err(QuotaError::User));
    assert_eq!(ledger.take("b", b"alice", &QUOTA), Ok(50), "the rest of the capacity; another realm's alice is another");
    assert_eq!(ledger.take("a", b"bob", &QUOTA), Err(QuotaError::Bandwidth));
    let unlimited = Quota { bps_capacity: 0, ..QUOTA };
    assert_eq!(ledger.take("a", b"bob", &unlimited), Ok(100));
    assert_eq!(ledger.take("a", b"bob", &unlimited), Ok(100));
    assert_eq!(ledger.take("a", b"bob", &unlimited), Err(QuotaError::Total));
    ledger.give_back("b", b"alice", 50);
    assert_eq!((ledger.allocations("a"), ledger.allocations("b"), ledger.granted_bps()), (5, 0, 500));
    assert_eq!(ledger.take("a", b"carol", &Quota::default()), Ok(0), "no limits");
}

#[test]
fn shards_share_one_count() {
    let ledger = Arc::new(Ledger::new(1000..=1999));
    let quota = Quota { user: 500, ..Quota::default() };
    let taken: usize = std::thread::scope(|scope| {
        let work = |_| {
            let ledger = Arc::clone(&ledger);
            scope.spawn(move || (0..400).filter(|_| ledger.take("r", b"u", &quota).is_ok()).count())
        };
        (0..4).map(work).collect::<Vec<_>>().into_iter().map(|thread| thread.join().expect("no panic")).sum()
    });
    assert_eq!((taken, ledger.user_allocations("r", b"u")), (500, 500));
}

proptest! {
    /// Against a model that counts: nothing leaks, nothing is granted beyond the limits, and in the end nothing is left.
    #[test]
    fn accounts_agree_with_a_simple_model(steps in prop::collection::vec((0u8..3, 0u8..3, any::<bool>()), 0..200)) {
        let ledger = Ledger::new(1..=2);
        let mut held: BTreeMap<(u8, u8), Vec<u64>> = BTreeMap::new();
        for (realm, user, take) in steps {
            let (realm_name, user_name) = (format!("realm {realm}"), [user]);
            if take {
                let of_realm: usize = held.iter().filter(|((r, _), _)| *r == realm).map(|(_, list)| list.len()).sum();
                let of_user = held.get(&(realm, user)).map_or(0, Vec::len);
                let granted: u64 = held.values().flatten().sum();
                let expected = match (of_realm, of_user) {
                    (5.., _) => Err(QuotaError::Total),
                    (_, 3..) => Err(QuotaError::User),
                    _ if granted >= 350 => Err(QuotaError::Bandwidth),
                    _ => Ok(100.min(350 - granted)),
                };
                prop_assert_eq!(ledger.take(&realm_name, &user_name, &QUOTA), expected);
                if let Ok(bps) = expected {
                    held.entry((realm, user)).or_default().push(bps);
                }
            } else if let Some(bps) = held.get_mut(&(realm, user)).and_then(Vec::pop) {
                ledger.give_back(&realm_name, &user_name, bps);
            }
        }
        for ((realm, user), list) in held {
            list.into_iter().for_each(|bps| ledger.give_back(&format!("realm {realm}"), &[user], bps));
        }
        prop_assert_eq!(ledger.granted_bps(), 0);
        prop_assert!(ledger.accounts().realms.is_empty(), "an account outlives its allocations");
    }

    #[test]
    fn no_port_is_handed_out_twice(steps in prop::collection::vec((0u8..4, any::<u64>()), 0..300)) {
        let ledger = Ledger::new(60_001..=60_040);
        let mut held: Vec<u16> = Vec::new();
        for (what, random) in steps {
            let wish = match what {
                0 => PortWish::Any,
                1 => PortWish::Even,
                2 => PortWish::EvenAndNext,
                _ => {
                    if let Some(port) = held.pop() {
                        ledger.release_port(Family::V4, port);
                    }
                    continue;
                }
            };
            let port = ledger.reserve_port(Family::V4, wish, random);
            let before = held.clone();
            let free = |port: &u16| !before.contains(port);
            let possible = (60_001..=60_040u16).filter(free).any(|p| match wish {
                PortWish::Any => true,
                PortWish::Even => p % 2 == 0,
                PortWish::EvenAndNext => p % 2 == 0 && p < 60_040 && free(&(p + 1)),
            });
            prop_assert_eq!(port.is_some(), possible);
            for port in port.into_iter().flat_map(|port| if wish == PortWish::EvenAndNext { port..=port + 1 } else { port..=port }) {
                prop_assert!((60_001..=60_040).contains(&port) && free(&port), "{} twice", port);
                held.push(port);
            }
            prop_assert_eq!(ledger.ports_in_use(Family::V4) as usize, held.len());
        }
    }
}

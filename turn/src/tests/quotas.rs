use std::sync::Arc;
use std::time::Duration;

use proptest::prelude::*;

use super::world::*;
use crate::{Config, Ledger};

fn limited() -> Config {
    Config { total_quota: 5, user_quota: 3, ..config() }
}

/// Two shards of one server.
fn shards(config: &Config) -> [World; 2] {
    let ledger = Arc::new(Ledger::new(config.relay_ports.clone()));
    [0, 1].map(|shard| World::with_ledger(config.clone(), Arc::clone(&ledger), shard))
}

fn client(port: u16, name: &str) -> Client {
    let password = if name == "alice" { "wonderland" } else { "builder" };
    Client::new(&format!("203.0.113.1:{port}")).with_credentials(name, password)
}

#[test]
fn quotas_hold_across_shards() {
    let [mut one, mut two] = shards(&limited());
    assert_eq!(code_of(&one.allocate(&mut client(1, "alice"), |_| ())), 0);
    assert_eq!(code_of(&two.allocate(&mut client(2, "alice"), |_| ())), 0);
    let mut third = client(3, "alice");
    assert_eq!(code_of(&one.allocate(&mut third, |_| ())), 0);
    assert_eq!(code_of(&two.allocate(&mut client(4, "alice"), |_| ())), 486, "three of alice");
    assert_eq!(code_of(&two.allocate(&mut client(5, "bob"), |_| ())), 0);
    assert_eq!(code_of(&two.allocate(&mut client(6, "bob"), |_| ())), 0);
    assert_eq!(code_of(&one.allocate(&mut client(7, "bob"), |_| ())), 486, "five of all");
    assert_eq!(one.refresh(&mut third, Some(0)), Ok(0));
    assert_eq!(code_of(&two.allocate(&mut client(8, "alice"), |_| ())), 0, "what one shard gave back the other takes");
    one.sleep(Duration::from_secs(601));
    two.sleep(Duration::from_secs(601));
    assert_eq!(one.ledger.allocations(REALM), 0, "expired");
}

/// A second Allocate, a refused one and a lost answer count for nothing.
#[test]
fn only_allocations_count() {
    let [mut one, _] = shards(&limited());
    let mut alice = client(1, "alice");
    for _ in 0..10 {
        assert!(matches!(code_of(&one.allocate(&mut alice, |_| ())), 0 | 437));
        let mut other = client(2, "alice");
        assert_eq!(
            code_of(&one.allocate(&mut other, |writer| _ = writer.first_of_four(pointsman_wire::stun::attribute::Type(0x7FF0), 1))),
            420
        );
    }
    assert_eq!(one.ledger.user_allocations(REALM, b"alice"), 1);
}

#[test]
fn bandwidth_is_granted_until_it_is_used_up() {
    let [mut one, mut two] = shards(&Config { max_bps: 4000, bps_capacity: 10_000, ..config() });
    let mut first = client(1, "alice");
    assert_eq!(code_of(&one.allocate(&mut first, |_| ())), 0);
    assert_eq!(code_of(&two.allocate(&mut client(2, "alice"), |_| ())), 0);
    assert_eq!(code_of(&two.allocate(&mut client(3, "alice"), |_| ())), 0, "the 2000 that are left");
    assert_eq!(code_of(&two.allocate(&mut client(4, "alice"), |_| ())), 486);
    assert_eq!(one.ledger.granted_bps(), 10_000);
    assert_eq!(one.refresh(&mut first, Some(0)), Ok(0));
    assert_eq!(one.ledger.granted_bps(), 6_000);
    assert_eq!(code_of(&two.allocate(&mut client(5, "bob"), |_| ())), 0);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]
    /// Whatever clients do and however long they are silent, the ledger holds what the shards hold, and nothing beyond the limits.
    #[test]
    fn the_ledger_agrees_with_the_shards(steps in prop::collection::vec((0u16..8, 0u8..5, any::<bool>()), 1..60)) {
        let mut shards = shards(&Config { max_bps: 10, bps_capacity: 45, ..limited() });
        let mut clients: Vec<Client> = (0..8).map(|n| client(100 + n, if n % 2 == 0 { "alice" } else { "bob" })).collect();
        for (who, what, long) in steps {
            let world = &mut shards[usize::from(who % 4 / 2)];
            let client = &mut clients[usize::from(who)];
            match what {
                0 | 1 => _ = world.allocate(client, |_| ()),
                2 => _ = world.refresh(client, Some(600)),
                3 => _ = world.refresh(client, Some(0)),
                _ => {
                    let time = Duration::from_secs(if long { 601 } else { 100 });
                    shards.iter_mut().for_each(|world| world.sleep(time));
                }
            }
            let held: u64 = shards.iter().map(|world| world.server.stats().allocations).sum();
            let ledger = &shards[0].ledger;
            prop_assert_eq!(u64::from(ledger.allocations(REALM)), held);
            prop_assert!(held <= 5);
            let of_users: Vec<u32> = [&b"alice"[..], b"bob"].into_iter().map(|user| ledger.user_allocations(REALM, user)).collect();
            prop_assert_eq!(u64::from(of_users.iter().sum::<u32>()), held);
            prop_assert!(of_users.iter().all(|count| *count <= 3));
            prop_assert!(ledger.granted_bps() <= 45 && (held > 0 || ledger.granted_bps() == 0));
        }
        shards.iter_mut().for_each(|world| world.sleep(Duration::from_secs(3601)));
        prop_assert_eq!((shards[0].ledger.allocations(REALM), shards[0].ledger.granted_bps()), (0, 0));
    }
}

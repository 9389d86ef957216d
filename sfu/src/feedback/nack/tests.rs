#![allow(clippy::disallowed_methods, reason = "a test needs some origin")]

use proptest::collection::vec;
use proptest::prelude::*;

use super::*;

const RTT: Duration = Duration::from_millis(80);
const CONFIG: NackConfig = NackConfig {
    missing_max: 8,
    tries_max: 3,
    age_max: Duration::from_secs(1),
    reorder_wait: Duration::from_millis(10),
    retry_min: Duration::from_millis(20),
    gap_max: 1000,
};

fn collect(nacks: &mut NackGenerator, now: Instant) -> Vec<u16> {
    let mut out = [0; 32];
    let count = nacks.collect(now, RTT, &CONFIG, &mut out);
    out[..count].to_vec()
}

#[test]
fn asks_after_a_while_and_again_after_a_round_trip() {
    let start = Instant::now();
    let at = |ms| start + Duration::from_millis(ms);
    let mut nacks = NackGenerator::new();
    for sequence in [65_535, 65_538, 65_540] {
        nacks.received(start, sequence, &CONFIG);
    }
    assert_eq!(nacks.next_due(), Some(at(10)));
    assert!(collect(&mut nacks, at(9)).is_empty());
    nacks.received(at(9), 65_539, &CONFIG);
    assert_eq!(collect(&mut nacks, at(10)), [0, 1]);
    assert_eq!(nacks.next_due(), Some(at(110)));
    assert!(collect(&mut nacks, at(109)).is_empty());
    nacks.received(at(109), 65_536, &CONFIG);
    assert_eq!(collect(&mut nacks, at(110)), [1]);
    assert_eq!(collect(&mut nacks, at(210)), [1]);
    assert_eq!((collect(&mut nacks, at(310)), nacks.missing(), nacks.abandoned()), (vec![], 0, 1));
    assert_eq!(nacks.next_due(), None);
}

#[test]
fn gives_up_what_is_old_too_much_or_not_a_loss() {
    let start = Instant::now();
    let mut nacks = NackGenerator::new();
    nacks.received(start, 100, &CONFIG);
    nacks.received(start, 121, &CONFIG);
    assert_eq!((nacks.missing(), nacks.abandoned()), (8, 12));
    assert_eq!(collect(&mut nacks, start + Duration::from_millis(10)), (113..121).collect::<Vec<_>>());
    nacks.received(start, 123, &CONFIG);
    assert_eq!((nacks.missing(), nacks.abandoned()), (8, 13));
    nacks.forget_before(122);
    assert_eq!(nacks.missing(), 1);
    assert_eq!((collect(&mut nacks, start + Duration::from_secs(1)), nacks.missing()), (vec![], 0));
    nacks.received(start, 125, &CONFIG);
    nacks.received(start, 1127, &CONFIG);
    assert_eq!(nacks.missing(), 0);
    nacks.reset();
    nacks.received(start, 5, &CONFIG);
    nacks.received(start, 7, &CONFIG);
    assert_eq!(nacks.missing(), 1);
}

#[test]
fn what_does_not_fit_comes_next() {
    let start = Instant::now();
    let due = start + CONFIG.reorder_wait;
    let mut nacks = NackGenerator::new();
    nacks.received(start, 100, &CONFIG);
    nacks.received(start, 106, &CONFIG);
    let mut out = [0; 3];
    assert_eq!((nacks.collect(due, RTT, &CONFIG, &mut out), out), (3, [101, 102, 103]));
    assert_eq!((nacks.collect(due, RTT, &CONFIG, &mut out), &out[..2]), (2, &[104, 105][..]));
}

proptest! {
    /// Whatever arrives in whatever order: asked for is exactly what has not arrived, between the first and the newest, within the limits.
    #[test]
    fn asks_for_what_is_missing(lost in vec(any::<bool>(), 2..60), swaps in vec((0..60usize, 0..4usize), 0..20)) {
        let config = NackConfig { missing_max: 100, ..CONFIG };
        let start = Instant::now();
        let mut order: Vec<u64> = (0..lost.len()).filter(|&it| it == 0 || !lost[it]).map(|it| 65_530 + it as u64).collect();
        for (at, by) in swaps {
            let (at, to) = (at % order.len(), (at + by) % order.len());
            if at > 0 && to > 0 { order.swap(at, to); }
        }
        let mut nacks = NackGenerator::new();
        for &sequence in &order { nacks.received(start, sequence, &config); }
        let newest = *order.iter().max().unwrap();
        let wanted: Vec<u16> = (65_530..newest).filter(|it| !order.contains(it)).map(|it| it as u16).collect();
        let mut out = [0; 100];
        let count = nacks.collect(start + config.reorder_wait, RTT, &config, &mut out);
        prop_assert_eq!(&out[..count], &wanted[..]);
        prop_assert_eq!(nacks.missing(), wanted.len());
    }
}

//! The wheel against a binary heap.
#![allow(clippy::disallowed_methods, reason = "a test needs some origin")]

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use proptest::prelude::*;

use super::Wheel;

#[derive(Clone, Debug)]
enum Step {
    Insert(u64),
    Advance(u64),
    ToNext,
}

fn micros() -> impl Strategy<Value = u64> {
    prop_oneof![Just(0), 0..3_000u64, 0..200_000u64, 0..10_000_000u64, 0..10_000_000_000_000u64]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![3 => micros().prop_map(Step::Insert), 1 => micros().prop_map(Step::Advance), 2 => Just(Step::ToNext)]
}

proptest! {
    #[test]
    fn agrees_with_a_heap(steps in prop::collection::vec(step(), 1..200)) {
        let origin = Instant::now();
        let mut wheel = Wheel::new(origin);
        let mut heap = BinaryHeap::new();
        let mut now = origin;
        for (id, step) in steps.into_iter().enumerate() {
            match step {
                Step::Insert(after) => {
                    let at = now + Duration::from_micros(after);
                    wheel.insert(at, (at, id));
                    heap.push(Reverse((at, id)));
                }
                Step::Advance(by) => now += Duration::from_micros(by),
                Step::ToNext => now = wheel.next().unwrap_or(now).max(now),
            }
            let mut popped = Vec::new();
            while let Some((at, id)) = wheel.pop(now) {
                prop_assert!(at <= now, "early by {:?}", at - now);
                popped.push((at, id));
            }
            // What the heap says was due a tick ago must be out; what came out must be in the heap.
            popped.sort();
            let mut late = popped.clone();
            while let Some(&Reverse(first)) = heap.peek() {
                if let Some(found) = late.iter().position(|&it| it == first) {
                    late.remove(found);
                } else {
                    prop_assert!(first.0 + Duration::from_millis(1) > now, "late by {:?}", now - first.0);
                    break;
                }
                heap.pop();
            }
            for it in late {
                // Came out although an earlier one of the last tick is still in: allowed, once.
                let rest: Vec<_> = std::mem::take(&mut heap).into_iter().collect();
                prop_assert!(rest.contains(&Reverse(it)));
                heap = rest.into_iter().filter(|other| *other != Reverse(it)).collect();
            }
            prop_assert_eq!(wheel.len(), heap.len());
            prop_assert_eq!(wheel.next().is_none(), heap.is_empty());
            if let (Some(next), Some(&Reverse((first, _)))) = (wheel.next(), heap.peek()) {
                prop_assert!(next <= first.max(now) + Duration::from_millis(1));
            }
        }
    }
}

#[test]
fn far_timers_take_few_wake_ups() {
    let origin = Instant::now();
    let mut wheel = Wheel::new(origin);
    let at = origin + Duration::from_secs(3 * 86_400) + Duration::from_micros(300);
    wheel.insert(at, 'x');
    let mut wakes = 0;
    loop {
        wakes += 1;
        let now = wheel.next().unwrap();
        if wheel.pop(now).is_some() {
            assert!(now >= at && now < at + Duration::from_millis(1));
            break;
        }
    }
    assert!(wakes <= 7, "{wakes} wake-ups");
    assert!(wheel.is_empty() && wheel.next().is_none());
}

#[test]
fn a_loop_that_inserts_at_once_ends() {
    let origin = Instant::now();
    let mut wheel = Wheel::new(origin);
    wheel.insert(origin, ());
    let mut turns = 0;
    while let Some(()) = wheel.pop(origin) {
        wheel.insert(origin, ());
        turns += 1;
    }
    assert_eq!(turns, 1);
    assert_eq!(wheel.pop(origin + Duration::from_millis(1)), Some(()));
}

#[test]
fn steady_state_takes_no_memory() {
    let origin = Instant::now();
    let mut wheel = Wheel::new(origin);
    for key in 0..100u64 {
        wheel.insert(origin + Duration::from_millis(key * 7), key);
    }
    let space = wheel.nodes.capacity();
    let mut now = origin;
    for _ in 0..10_000 {
        now = wheel.next().unwrap().max(now);
        while let Some(key) = wheel.pop(now) {
            wheel.insert(now + Duration::from_millis(20 + key * 31), key);
        }
        assert_eq!(wheel.len(), 100);
    }
    assert_eq!(wheel.nodes.capacity(), space);
}

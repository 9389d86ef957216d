//! Thousands of calls, each from a seed.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};

use crate::scenario;

/// Runs one seed; a panic is a failure of it.
fn run(seed: u64) -> Result<u64, String> {
    catch_unwind(AssertUnwindSafe(|| scenario::run(seed))).unwrap_or_else(|panic| {
        let what = panic.downcast_ref::<String>().cloned().or_else(|| panic.downcast_ref::<&str>().map(|&what| what.to_owned()));
        Err(format!("panic: {}", what.unwrap_or_default()))
    })
}

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|value| value.parse().unwrap_or_else(|_| panic!("{name}={value} is no number")))
}

#[test]
fn sim_random() {
    if let Some(seed) = number("SIM_SEED") {
        scenario::run(seed).unwrap_or_else(|what| panic!("seed {seed}: {what}"));
        return;
    }
    let seeds = number("SIM_SEEDS").unwrap_or(2000);
    let first = number("SIM_FIRST").unwrap_or(1);
    let (next, failed) = (AtomicU64::new(first), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= first + seeds {
                return;
            }
            if let Err(what) = run(seed) {
                failed.lock().unwrap_or_else(PoisonError::into_inner).push((seed, what));
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(work);
        }
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    for (seed, what) in failed.iter().take(20) {
        eprintln!("seed {seed}: {what}\n  SIM_SEED={seed} cargo test -p pointsman-sfu --test sim sim_random -- --nocapture");
    }
    assert!(failed.is_empty(), "{} of {seeds} seeds failed", failed.len());
}

#[test]
fn sim_a_seed_is_a_seed() {
    for seed in 1..6 {
        assert_eq!(run(seed), run(seed), "two runs of seed {seed} agree to the last datagram");
    }
}

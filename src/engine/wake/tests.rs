use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use crossbeam::queue::ArrayQueue;
use mio::{Events, Poll, Token};

use super::*;

/// Two writers and a sleeper that goes to sleep whenever it finds its ring empty. A lost wake-up would leave it in its wait
/// until the timeout, which fails the test.
#[test]
fn no_wake_up_is_lost() {
    const PER_WRITER: u32 = 100_000;
    let mut poll = Poll::new().unwrap();
    let bell = Arc::new(Bell::new(Waker::new(poll.registry(), Token(0)).unwrap()));
    let ring = Arc::new(ArrayQueue::new(64));
    let writers: Vec<_> = (0..2)
        .map(|_| {
            let (bell, ring) = (Arc::clone(&bell), Arc::clone(&ring));
            thread::spawn(move || {
                let mut wakes = 0u32;
                for number in 0..PER_WRITER {
                    while ring.push(number).is_err() {
                        thread::yield_now();
                    }
                    wakes += u32::from(bell.ring());
                    // Now and then let the sleeper fall asleep.
                    if number % 64 == 0 {
                        thread::yield_now();
                    }
                }
                wakes
            })
        })
        .collect();
    let mut events = Events::with_capacity(4);
    let mut seen = 0;
    let mut sleeps = 0u32;
    while seen < 2 * PER_WRITER {
        bell.lie_down();
        sleeps += 1;
        if ring.is_empty() {
            let begin = Instant::now();
            poll.poll(&mut events, Some(Duration::from_secs(10))).unwrap();
            assert!(begin.elapsed() < Duration::from_secs(9), "slept although there was something to do");
        }
        bell.get_up();
        while ring.pop().is_some() {
            seen += 1;
        }
    }
    let wakes: u32 = writers.into_iter().map(|writer| writer.join().unwrap()).sum();
    assert!(wakes >= 1 && wakes <= sleeps, "{wakes} wakes for {sleeps} sleeps");
}

#[test]
fn a_shard_that_is_up_is_not_woken() {
    let poll = Poll::new().unwrap();
    let bell = Bell::new(Waker::new(poll.registry(), Token(0)).unwrap());
    assert!(!bell.ring());
    bell.lie_down();
    assert!(bell.ring());
    assert!(!bell.ring(), "only the first writer wakes it");
}

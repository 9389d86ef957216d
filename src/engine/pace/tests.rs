use super::*;

const GATHER: Duration = Duration::from_micros(200);

/// A pace that has seen a datagram every 50 µs for long enough.
fn busy() -> Pace {
    let mut pace = Pace::new(GATHER);
    let mut turns = 0;
    while pace.gather(false).is_none() {
        pace.note(Duration::from_micros(50), 1);
        turns += 1;
        assert!(turns < 1000);
    }
    assert!(turns > TURNS, "a burst of {turns} is no load");
    pace
}

#[test]
fn packets_gather_while_they_keep_coming() {
    let mut pace = busy();
    for _ in 0..100 {
        assert_eq!(pace.gather(false), Some(GATHER));
        pace.note(GATHER, 4);
    }
}

#[test]
fn one_pause_ends_it_whether_or_not_turns_without_datagrams_interrupt_it() {
    let mut pace = busy();
    pace.note(Duration::from_millis(2), 1);
    assert_eq!(pace.gather(false), None);

    let mut pace = busy();
    for _ in 0..20 {
        pace.note(Duration::from_micros(100), 0);
    }
    pace.note(Duration::ZERO, 1);
    assert_eq!(pace.gather(false), None);
}

#[test]
fn a_load_that_would_not_fill_the_time_is_none() {
    let mut pace = Pace::new(GATHER);
    for _ in 0..10_000 {
        assert_eq!(pace.gather(false), None);
        pace.note(Duration::from_micros(150), 1);
    }
}

#[test]
fn a_video_frame_now_and_then_is_no_load() {
    let mut pace = Pace::new(GATHER);
    for _ in 0..1_000 {
        pace.note(Duration::from_millis(33), 1);
        for _ in 0..10 {
            assert_eq!(pace.gather(false), None);
            pace.note(Duration::from_micros(20), 1);
        }
    }
}

#[test]
fn what_waits_already_does_not_wait_longer() {
    let pace = busy();
    assert_eq!(pace.gather(true), None);
    assert_eq!(pace.gather(false), Some(GATHER));
}

#[test]
fn a_turn_without_datagrams_is_no_load() {
    let mut pace = Pace::new(GATHER);
    for _ in 0..100 {
        assert_eq!(pace.gather(false), None);
        pace.note(Duration::ZERO, 0);
    }
}

#[test]
fn without_a_time_nothing_gathers() {
    let mut pace = Pace::new(Duration::ZERO);
    for _ in 0..100 {
        assert_eq!(pace.gather(false), None);
        pace.note(Duration::ZERO, 100);
    }
}

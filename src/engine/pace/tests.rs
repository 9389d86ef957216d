use super::*;

const GATHER: Duration = Duration::from_micros(200);

fn busy(pace: &mut Pace) {
    for _ in 0..BUSY_TURNS_MIN {
        assert_eq!(pace.gather(false), None);
        pace.note(Duration::from_micros(50), 1);
    }
}

#[test]
fn packets_gather_only_while_they_keep_coming() {
    let mut pace = Pace::new(GATHER);
    busy(&mut pace);
    for _ in 0..100 {
        assert_eq!(pace.gather(false), Some(GATHER));
        pace.note(GATHER, 5);
    }
    // One packet after the whole time: the load is gone, and the next packet leaves at once.
    assert_eq!(pace.gather(false), Some(GATHER));
    pace.note(Duration::from_millis(2), 1);
    assert_eq!(pace.gather(false), None);
}

#[test]
fn what_waits_already_does_not_wait_longer() {
    let mut pace = Pace::new(GATHER);
    busy(&mut pace);
    assert_eq!(pace.gather(true), None);
    pace.note(Duration::ZERO, 1);
    assert_eq!(pace.gather(false), Some(GATHER));
}

#[test]
fn one_pause_is_enough_to_end_it() {
    let mut pace = Pace::new(GATHER);
    for _ in 0..100 {
        for _ in 0..BUSY_TURNS_MIN - 1 {
            assert_eq!(pace.gather(false), None);
            pace.note(Duration::from_micros(50), 1);
        }
        assert_eq!(pace.gather(false), None);
        pace.note(Duration::from_micros(201), 1);
    }
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

//! The estimator against a model of a link, on a virtual clock.

mod link;

use std::time::Duration;

use link::{Link, Path, Trial};

use super::PacketName;

const MBIT: f64 = 1e6;

#[test]
fn says_the_start_until_feedback_and_the_most_where_none_will_come() {
    let config = super::BandwidthConfig::default();
    let mut estimator = super::Estimator::new(&config, link::origin());
    assert_eq!(estimator.estimate_bps(), config.estimate_max_bps);
    estimator.set_measured(true);
    assert_eq!(estimator.estimate_bps(), config.estimate_start_bps);
    estimator.set_wanted(config.estimate_start_bps + 1);
    assert!(estimator.is_limited());
    estimator.remb(300_000);
    assert_eq!(estimator.estimate_bps(), 300_000);
    estimator.remb(1);
    assert_eq!(estimator.estimate_bps(), config.estimate_min_bps);
}

#[test]
fn follows_a_link_that_narrows_and_widens_again() {
    let mut trial = Trial::new(Link { bps: 3.0 * MBIT, ..Link::default() }, 2.7 * MBIT);
    trial.run(8.0);
    let wide = trial.run(7.0);
    assert!(wide.utilisation > 0.8 && wide.queue_p95_ms < 100.0, "{wide:?}");
    trial.link.bps = 0.5 * MBIT;
    let fall = trial.run(1.5);
    assert!(trial.estimate() < 0.6 * MBIT, "within 1.5 s: {} {fall:?}", trial.estimate());
    trial.run(1.5);
    let narrow = trial.run(12.0);
    assert!(narrow.utilisation > 0.75 && narrow.queue_p95_ms < 100.0, "{narrow:?}");
    trial.link.bps = 3.0 * MBIT;
    trial.run(10.0);
    assert!(trial.estimate() > 2.4 * MBIT, "within 10 s: {}", trial.estimate());
    let again = trial.run(5.0);
    assert!(again.utilisation > 0.8 && again.queue_p95_ms < 100.0, "{again:?}");
}

#[test]
fn feedback_on_streams_steers_as_well() {
    let mut trial = Trial::of_streams(Link { bps: 3.0 * MBIT, ..Link::default() }, 2.7 * MBIT);
    trial.run(8.0);
    let wide = trial.run(7.0);
    assert!(wide.utilisation > 0.8 && wide.queue_p95_ms < 100.0, "{wide:?}");
    trial.link.bps = 0.5 * MBIT;
    trial.run(1.5);
    assert!(trial.estimate() < 0.6 * MBIT, "within 1.5 s: {}", trial.estimate());
    trial.run(1.5);
    let narrow = trial.run(12.0);
    assert!(narrow.utilisation > 0.7 && narrow.queue_p95_ms < 110.0, "{narrow:?}");
}

#[test]
fn random_loss_is_borne() {
    for start in [Trial::new, Trial::of_streams] {
        let mut trial = start(Link { bps: 3.0 * MBIT, loss: 0.1, ..Link::default() }, 2.0 * MBIT);
        trial.run(10.0);
        let steady = trial.run(30.0);
        assert!(steady.estimate_least > 0.9 * MBIT && steady.estimate_mean > 1.7 * MBIT, "{steady:?}");
        assert!((0.05..0.15).contains(&trial.estimator.loss()), "{}", trial.estimator.loss());
    }
}

#[test]
fn loss_that_comes_with_rate_is_not() {
    // A queue that takes one frame: too little for its growth to be seen.
    let mut trial = Trial::new(Link { bps: 3.0 * MBIT, queue_ms: 45.0, ..Link::default() }, 2.5 * MBIT);
    trial.run(10.0);
    trial.link.bps = 0.6 * MBIT;
    trial.run(4.0);
    let steady = trial.run(10.0);
    assert!(steady.estimate_mean < 0.8 * MBIT && steady.lost < 0.2, "{steady:?}");
}

#[test]
fn a_longer_way_is_no_queue() {
    for (jitter_ms, narrower) in [(2.0, 1.0), (30.0, 1.0), (30.0, 0.9)] {
        let mut trial = Trial::new(Link { bps: 3.0 * MBIT, delay_ms: 25.0, jitter_ms, ..Link::default() }, 2.4 * MBIT);
        trial.run(15.0);
        trial.link.delay_ms = 100.0;
        trial.link.bps *= narrower;
        trial.run(3.0);
        assert!(trial.estimate() > 1.0 * MBIT, "jitter {jitter_ms}: {}", trial.estimate());
        trial.run(5.0);
        let again = trial.run(5.0);
        assert!(again.estimate_least > 1.5 * MBIT && again.utilisation > 0.6, "jitter {jitter_ms}: {again:?}");
    }
}

#[test]
fn jitter_is_no_queue() {
    let mut trial = Trial::new(Link { bps: 3.0 * MBIT, delay_ms: 60.0, jitter_ms: 30.0, ..Link::default() }, 2.0 * MBIT);
    trial.run(10.0);
    let steady = trial.run(30.0);
    assert!(steady.estimate_least > 1.0 * MBIT && steady.estimate_mean > 1.6 * MBIT, "{steady:?}");
}

#[test]
fn a_path_of_which_little_is_used_keeps_its_estimate() {
    let mut trial = Trial::new(Link { bps: 5.0 * MBIT, jitter_ms: 8.0, ..Link::default() }, 2.5 * MBIT);
    trial.run(10.0);
    let before = trial.estimate();
    assert!(before > 2.2 * MBIT, "{before}");
    trial.wish = 0.1 * MBIT;
    let quiet = trial.run(60.0);
    assert!(quiet.estimate_least > 0.8 * before, "{quiet:?}");
    assert_eq!(quiet.padding, 0, "nothing more is wanted");
}

#[test]
fn what_was_never_used_is_found_by_probes() {
    let mut trial = Trial::new(Link { bps: 8.0 * MBIT, ..Link::default() }, 0.15 * MBIT);
    trial.run(20.0);
    // The budget sees a better layer; nothing more is sent until the estimate says that it fits.
    (trial.wanted, trial.follows) = (4.0 * MBIT, false);
    let found = trial.run(4.0);
    assert!(trial.estimate() > 3.9 * MBIT, "{}", trial.estimate());
    assert!(found.padding > 0 && (trial.estimate() < 6.0 * MBIT), "not far above what is wanted: {}", trial.estimate());
    let idle = trial.run(10.0);
    assert_eq!(idle.padding, 0);
}

#[test]
fn probes_are_rare_where_they_are_in_vain() {
    let mut trial = Trial::new(Link { bps: 0.8 * MBIT, ..Link::default() }, 3.0 * MBIT);
    trial.run(10.0);
    let steady = trial.run(60.0);
    let share = steady.padding as f64 * 8.0 / (60.0 * 0.8 * MBIT);
    assert!(share < 0.05 && steady.utilisation > 0.75 && steady.queue_p95_ms < 120.0, "{share} {steady:?}");
}

#[test]
fn a_greedy_neighbour_leaves_a_share() {
    let mut trial = Trial::new(Link { bps: 4.0 * MBIT, queue_ms: 200.0, ..Link::default() }, 3.0 * MBIT);
    trial.run(10.0);
    trial.link.neighbour = true;
    trial.run(10.0);
    let shared = trial.run(40.0);
    assert!(shared.estimate_mean > 0.4 * MBIT, "{shared:?}");
    trial.link.neighbour = false;
    trial.run(10.0);
    assert!(trial.estimate() > 2.4 * MBIT, "{}", trial.estimate());
}

#[test]
fn a_path_that_was_bad_is_found_better_although_little_is_sent() {
    let mut trial = Trial::new(Link { bps: 3.0 * MBIT, ..Link::default() }, 2.0 * MBIT);
    trial.run(5.0);
    trial.link.bps = 0.06 * MBIT;
    trial.run(8.0);
    assert!(trial.estimate() < 0.2 * MBIT, "{}", trial.estimate());
    // Sound alone is left; one small picture is wanted.
    (trial.wish, trial.wanted, trial.follows) = (0.05 * MBIT, 0.3 * MBIT, false);
    trial.link.bps = 3.0 * MBIT;
    trial.run(15.0);
    assert!(trial.estimate() > 0.28 * MBIT, "{}", trial.estimate());
}

#[test]
fn what_was_told_long_ago_is_not_held_against_the_path() {
    let mut trial = Trial::new(Link { bps: 3.0 * MBIT, ..Link::default() }, 2.0 * MBIT);
    trial.run(5.0);
    (trial.link.bps, trial.follows) = (0.5 * MBIT, false);
    trial.run(1.5);
    let (queue, loss) = (trial.estimator.queue(), trial.estimator.loss());
    assert!(queue > Duration::from_millis(200) && loss > 0.1, "{queue:?} {loss}");
    trial.path = Path::Silent;
    trial.run(3.0);
    assert_eq!(trial.estimator.queue(), Duration::ZERO);
    assert!(trial.estimator.loss() < loss / 2.0, "{}", trial.estimator.loss());
}

#[test]
fn feedback_that_stays_away_lowers_the_estimate() {
    let mut trial = Trial::new(Link { bps: 3.0 * MBIT, ..Link::default() }, 2.0 * MBIT);
    trial.run(10.0);
    let before = trial.estimate();
    trial.path = Path::Silent;
    trial.run(7.0);
    assert!(trial.estimate() < before * 0.4, "{}", trial.estimate());
    trial.path = Path::Open;
    trial.run(10.0);
    assert!(trial.estimate() > 1.8 * MBIT, "{}", trial.estimate());
}

#[test]
fn news_are_few() {
    let mut trial = Trial::new(Link { bps: 3.0 * MBIT, ..Link::default() }, 2.7 * MBIT);
    let start = trial.run(5.0);
    assert!(start.news >= 2 && start.news <= 17, "{start:?}");
    let steady = trial.run(20.0);
    assert!(steady.news < 20, "{steady:?}");
    assert_eq!(trial.estimator.next_due().filter(|due| *due + Duration::from_secs(1) < trial.now()), None, "no timer is left behind");
}

#[test]
fn what_a_tcp_connection_does_not_take_lowers_the_estimate_at_once() {
    let start = link::origin();
    let mut estimator = super::Estimator::new(&super::BandwidthConfig::default(), start);
    estimator.set_measured(true);
    let (mut waits, mut much) = (0.0_f64, None);
    for ms in 0..2000_u64 {
        let now = start + Duration::from_millis(ms);
        let full = estimator.waits(now, waits as usize);
        if full {
            much.get_or_insert(ms);
        }
        // As much as is believed to get through, unless too much waits. 0.4 Mbit/s does get through.
        if ms % 10 == 0 && !full {
            let bytes = estimator.estimate_bps() as f64 / 800.0;
            estimator.sent(now, bytes as usize, PacketName { ssrc: 1, sequence: 0 });
            waits += bytes;
        }
        waits = (waits - 50.0).max(0.0);
        assert!(waits < 15_000.0, "more than is known to wait is never added: {waits}");
        assert!(ms < 1500 || waits < 10_000.0, "what waits is little soon: {waits}");
    }
    assert!(much.is_some_and(|ms| (80..400).contains(&ms)), "{much:?}");
    assert!((250_000..450_000).contains(&estimator.estimate_bps()), "{}", estimator.estimate_bps());
    assert!(!estimator.is_backlogged(start + Duration::from_secs(4)));
}

//! The scenarios of RFC 8867 that concern one flow, with a forwarding unit in the encoder's place: it cannot send any rate, but only what a
//! camera's layers add up to.
//!
//! `cargo test -p pointsman-sfu --test sim rfc8867 -- --nocapture` prints the table of `sfu/CONGESTION.md`.

use std::time::Duration;

use crate::link::Conditions;
use crate::network::{Network, Role, camera_of, microphone_of};
use crate::publisher::Plan;
use crate::sim_cases::{always, ms, run, s, seen};
use crate::subscriber::Habits;

/// The reference path of section 4.4: 50 ms each way, jitter, and a queue of 300 ms that drops what comes last.
fn reference(kbps: u64) -> Conditions {
    Conditions { jitter: ms(10), ..Conditions::narrow(50, kbps * 1000) }
}

/// Three sizes, each at three frame rates: something near to any rate.
const LADDER: [u32; 3] = [150, 500, 1500];

/// What a stretch of time was like, for the viewer and for the link.
#[derive(Debug)]
struct Row {
    used: f64,
    queued: Duration,
    lost: f64,
    gap: Duration,
    fps: f64,
}

/// A table of one scenario: stretches of time with the capacity that they had.
fn table(what: &str, network: &Network, phases: &[(u64, u64, u64)]) -> Vec<Row> {
    let (track, down) = (seen(network), &network.person(1).down);
    let row = |&(from, to, kbps): &(u64, u64, u64)| {
        // Three seconds to settle.
        let (from, to) = (s(from + 3), s(to));
        let passed = down.between(from, to);
        let (lost, bytes) = passed.fold((0, 0), |sum, it| (sum.0 + it.lost, sum.1 + it.bytes));
        let shown: usize = track.shown(from, to).iter().sum();
        Row {
            used: down.rate_bps(from, to) / (kbps as f64 * 1e3),
            queued: down.queued_p95(from, to),
            // Of packets of some 1,000 bytes.
            lost: lost as f64 / (lost as f64 + bytes as f64 / 900.0),
            gap: track.longest_gap(from, to),
            fps: shown as f64 / (to - from).as_secs_f64(),
        }
    };
    let rows: Vec<Row> = phases.iter().map(row).collect();
    for (&(from, to, kbps), row) in phases.iter().zip(&rows) {
        let (used, queued, lost, gap) = (row.used * 100.0, row.queued.as_millis(), row.lost * 100.0, row.gap.as_millis());
        println!("| {what} | {from}–{to} s | {kbps} | {used:.0} % | {queued} ms | {lost:.1} % | {gap} ms | {:.0} |", row.fps);
    }
    rows
}

fn call(down: Vec<(Duration, Conditions)>, up: Vec<(Duration, Conditions)>) -> Network {
    let camera = Role::publisher(Plan { sound: Some(microphone_of(0)), ..Plan::with_rates(camera_of(0), &LADDER) });
    let viewer = Role { habits: Habits { rtt: ms(100), ..Habits::default() }, ..Role::subscriber(vec![0]) };
    Network::new(31, 1, vec![camera, viewer.down(down).up(up)])
}

fn over(phases: &[(u64, u64, u64)]) -> Vec<(Duration, Conditions)> {
    phases.iter().map(|&(from, _, kbps)| (s(from), reference(kbps))).collect()
}

/// Section 5.1: the capacity of the path changes.
#[test]
fn sim_rfc8867_variable_capacity() {
    let phases = [(0, 40, 1000), (40, 60, 2500), (60, 80, 600), (80, 100, 1000)];
    let mut network = call(over(&phases), always(Conditions::delayed(50)));
    run(&mut network, s(100));
    for row in table("5.1 variable capacity", &network, &phases) {
        assert!(row.used > 0.5 && row.queued < ms(150) && row.lost < 0.05 && row.gap < ms(600), "{row:?}");
    }
}

/// Section 5.3: both directions change, at different times, so that feedback waits and is lost.
#[test]
fn sim_rfc8867_congested_feedback() {
    let phases = [(0, 20, 2000), (20, 40, 1000), (40, 60, 500), (60, 100, 2000)];
    // Toward the server there is feedback alone here: as much of the way as another's media would leave it.
    let back = |kbps: u64| Conditions { loss: 0.02, jitter: ms(40), ..Conditions::narrow(50, kbps * 1000) };
    let mut network = call(over(&phases), vec![(s(0), back(200)), (s(35), back(40)), (s(70), back(200))]);
    run(&mut network, s(100));
    for row in table("5.3 congested feedback", &network, &phases) {
        assert!(row.used > 0.4 && row.queued < ms(200) && row.lost < 0.05 && row.gap < ms(1000), "{row:?}");
    }
}

/// Section 5.5, for one flow: the same on a long way.
#[test]
fn sim_rfc8867_long_round_trip() {
    for (delay, what) in [(10, "5.5 round trip 20 ms"), (150, "5.5 round trip 300 ms")] {
        let phases = [(0, 20, 1000), (20, 40, 2500), (40, 60, 600)];
        let down = phases.iter().map(|&(from, _, kbps)| (s(from), Conditions { delay: ms(delay), ..reference(kbps) }));
        let mut network = call(down.collect(), always(Conditions::delayed(delay)));
        run(&mut network, s(60));
        for row in table(what, &network, &phases) {
            assert!(row.used > 0.4 && row.queued < ms(200) && row.lost < 0.05 && row.gap < ms(1000), "{row:?}");
        }
    }
}

/// Section 5.8: media stops for a while and goes on.
#[test]
fn sim_rfc8867_pause_and_resume() {
    let phases = [(0, 40, 2000), (60, 100, 2000)];
    let mut network = call(over(&[(0, 100, 2000)]), always(Conditions::delayed(50)));
    run(&mut network, s(40));
    network.mute(0, true);
    run(&mut network, s(60));
    network.mute(0, false);
    run(&mut network, s(100));
    for row in table("5.8 pause and resume", &network, &phases) {
        assert!(row.used > 0.6 && row.queued < ms(150) && row.lost < 0.05 && row.gap < ms(600), "{row:?}");
    }
    let again = seen(&network).first_shown(s(60), |stamp| stamp.layer == 2).expect("the best layer comes back");
    assert!(again < s(65), "{again:?}");
}

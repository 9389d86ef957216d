//! A bottleneck toward the viewer that narrows and widens: how soon it gets less, how much of the link it gets, how soon it gets all again.

use std::time::Duration;

use crate::link::Conditions;
use crate::network::{Network, Role, camera_line, camera_of, microphone_of};
use crate::publisher::Plan;
use crate::sim_cases::{assert_flows, ms, run, s, seen};

/// 3 Mbit/s, from 15 s 0.5 Mbit/s, from 35 s 3 Mbit/s again; 40 ms there and back, and a queue of 300 ms.
const PHASES: [(Duration, u64); 3] = [(s(0), 3_000_000), (s(15), 500_000), (s(35), 3_000_000)];
const END: Duration = s(55);

fn narrows_and_widens() -> Vec<(Duration, Conditions)> {
    PHASES.iter().map(|&(from, rate_bps)| (from, Conditions::narrow(20, rate_bps))).collect()
}

/// A gallery of cameras with microphones, and one viewer of all.
fn gallery(seed: u64, cameras: usize, kbps: &[u32]) -> Network {
    let publisher = |at| Role::publisher(Plan { sound: Some(microphone_of(at)), ..Plan::with_rates(camera_of(at), kbps) }).on_shard(at % 2);
    let mut roles: Vec<Role> = (0..cameras).map(publisher).collect();
    roles.push(Role::subscriber((0..cameras).collect()).down(narrows_and_widens()));
    Network::new(seed, 2, roles)
}

/// What a viewer of one camera got of the three phases.
#[derive(Debug)]
struct Figures {
    step_down: Duration,
    back: Option<Duration>,
    /// Share of the link that was used, once a phase was steady.
    used: [f64; 3],
    /// Longest wait for the bottleneck, from 3 s after each change on, and the one that a twentieth of the time exceeds.
    queued: [Duration; 3],
    queued_p95: [Duration; 3],
    /// Longest time without a new picture.
    gaps: [Duration; 3],
}

impl Figures {
    fn of(network: &Network) -> Self {
        let (track, down) = (seen(network), &network.person(1).down);
        let steady = [(s(8), s(15)), (s(20), s(35)), (s(45), END)];
        let settled = [(s(3), s(15)), (s(18), s(35)), (s(38), END)];
        let whole = [(s(3), s(15)), (s(15), s(35)), (s(35), END)];
        let at = |from, layer| track.first_shown(from, |stamp| stamp.layer == layer).map(|at| at - from);
        let used = [0, 1, 2].map(|at| down.rate_bps(steady[at].0, steady[at].1) / PHASES[at].1 as f64);
        Self {
            step_down: track.first_shown(s(15), |stamp| stamp.layer < 2).expect("it steps down") - s(15),
            back: at(s(35), 2),
            used,
            queued: settled.map(|(from, to)| down.queued(from, to)),
            queued_p95: settled.map(|(from, to)| down.queued_p95(from, to)),
            gaps: whole.map(|(from, to)| track.longest_gap(from, to)),
        }
    }

    /// `freeze`: the longest time without a new picture when the link becomes narrow.
    fn assert(&self, freeze: Duration) {
        assert!(self.step_down < ms(1000), "{self:?}");
        assert!(self.back.is_some_and(|back| back < s(5)), "{self:?}");
        assert!(self.queued.iter().all(|&queued| queued < ms(220)), "{self:?}");
        assert!(self.queued_p95.iter().all(|&queued| queued < ms(120)), "{self:?}");
        let [wide, fall, rise] = self.gaps;
        assert!(wide < ms(300) && fall < freeze && rise < ms(300), "{self:?}");
    }

    fn tell(&self, what: &str) {
        let [wide, narrow, again] = self.used.map(|used| (used * 100.0).round());
        println!(
            "{what}: down after {:?}, back after {:?}; used {wide}, {narrow}, {again} %; queued at most {:?}, p95 {:?}; longest gaps {:?}",
            self.step_down, self.back, self.queued, self.queued_p95, self.gaps
        );
    }
}

/// One camera whose ladder has rungs that fill 83 and 86 % of the two rates.
#[test]
fn sim_bottleneck_one_camera() {
    for seed in 23..28 {
        let mut network = gallery(seed, 1, &[150, 350, 2300]);
        run(&mut network, END);
        let figures = Figures::of(&network);
        figures.tell(&format!("seed {seed}"));
        figures.assert(ms(600));
        assert!(figures.used.iter().all(|&used| used > 0.8), "{figures:?}");
        if std::env::var_os("SIM_TALE").is_some() && seed == 23 {
            println!("{}", network.tale_of(1));
        }
    }
}

/// A ladder with gaps: its best layer is 62 % of the wide link, and of the middle one only two thirds of the pictures fit the narrow one.
#[test]
fn sim_bottleneck_one_camera_with_gaps() {
    let mut network = gallery(23, 1, &[150, 500, 1700]);
    run(&mut network, END);
    let figures = Figures::of(&network);
    figures.tell("with gaps");
    if std::env::var_os("SIM_TALE").is_some() {
        println!("{}", network.tale_of(1));
    }
    figures.assert(ms(600));
}

#[test]
fn sim_bottleneck_a_gallery_fills_the_link() {
    let mut network = gallery(23, 3, &[60, 150, 800]);
    run(&mut network, END);
    let down = &network.person(3).down;
    let rates = [down.rate_bps(s(8), s(15)), down.rate_bps(s(20), s(35)), down.rate_bps(s(47), END)];
    let queued = [down.queued(s(5), s(15)), down.queued(s(18), s(35)), down.queued(s(38), END)];
    let tracks = (0..3).map(|at| network.subscriber(3).track(&camera_line(at)).longest_gap(s(15), END));
    println!("bit/s {rates:?}, queued {queued:?}, longest gaps {:?}", tracks.collect::<Vec<_>>());
    if std::env::var_os("SIM_TALE").is_some() {
        println!("{}", network.tale_of(3));
    }
    for (rate, (_, link)) in rates.into_iter().zip(PHASES) {
        assert!(rate > 0.8 * link as f64, "{rates:?}");
    }
    assert!(queued.iter().all(|&queued| queued < ms(250)), "{queued:?}");
    for at in 0..3 {
        assert_flows(network.subscriber(3).track(&camera_line(at)), s(15), END, ms(1200));
    }
}

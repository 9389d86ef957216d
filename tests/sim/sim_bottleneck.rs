//! A bottleneck toward the viewer that narrows and widens: how soon it gets less, how much of the link it gets, how soon it gets all again.

use std::time::Duration;

use crate::link::Conditions;
use crate::network::{Network, Role, camera_line, camera_of, microphone_of};
use crate::publisher::Plan;
use crate::sim_cases::{assert_flows, ms, run, s, seen};

/// 3 Mbit/s, from 15 s 0.5 Mbit/s, from 35 s 3 Mbit/s again; 40 ms there and back.
fn narrows_and_widens() -> Vec<(Duration, Conditions)> {
    let at = |from, rate_bps| (s(from), Conditions::narrow(20, rate_bps));
    vec![at(0, 3_000_000), at(15, 500_000), at(35, 3_000_000)]
}

const END: Duration = s(55);

/// A gallery of cameras with microphones, and one viewer of all.
fn gallery(cameras: usize, kbps: &[u32]) -> Network {
    let publisher = |at| Role::publisher(Plan { sound: Some(microphone_of(at)), ..Plan::with_rates(camera_of(at), kbps) }).on_shard(at % 2);
    let mut roles: Vec<Role> = (0..cameras).map(publisher).collect();
    roles.push(Role::subscriber((0..cameras).collect()).down(narrows_and_widens()));
    Network::new(23, 2, roles)
}

#[test]
fn sim_bottleneck_one_camera() {
    let mut network = gallery(1, &[150, 500, 1700]);
    run(&mut network, END);
    let (track, down) = (seen(&network), &network.person(1).down);
    let step_down = track.first_shown(s(15), |stamp| stamp.layer < 2).expect("it steps down") - s(15);
    let back = track.first_shown(s(35), |stamp| stamp.layer == 2).map(|at| at - s(35));
    let queued = [down.queued(s(5), s(15)), down.queued(s(18), s(35)), down.queued(s(38), END)];
    let rates = [down.rate_bps(s(8), s(15)), down.rate_bps(s(20), s(35)), down.rate_bps(s(47), END)];
    let longest = [track.longest_gap(s(3), s(15)), track.longest_gap(s(15), s(35)), track.longest_gap(s(35), END)];
    println!("down after {step_down:?}, back after {back:?}, queued {queued:?}, bit/s {rates:?}, longest gaps {longest:?}");
    println!("estimates {:?}", network.estimates(1, s(0), END));
    assert!(step_down <= s(3), "{step_down:?}");
    assert!(back.is_some_and(|back| back <= s(15)), "{back:?}");
    assert!(queued.iter().all(|&queued| queued < ms(250)), "{queued:?}");
    assert_flows(track, s(3), s(15), ms(300));
    assert_flows(track, s(15), END, s(3));
}

#[test]
fn sim_bottleneck_a_gallery_fills_the_link() {
    let mut network = gallery(3, &[60, 150, 800]);
    run(&mut network, END);
    let down = &network.person(3).down;
    let rates = [down.rate_bps(s(8), s(15)), down.rate_bps(s(20), s(35)), down.rate_bps(s(47), END)];
    let queued = [down.queued(s(5), s(15)), down.queued(s(18), s(35)), down.queued(s(38), END)];
    let tracks = (0..3).map(|at| network.subscriber(3).track(&camera_line(at)).longest_gap(s(15), END));
    println!("bit/s {rates:?}, queued {queued:?}, longest gaps {:?}", tracks.collect::<Vec<_>>());
    println!("estimates {:?}", network.estimates(3, s(0), END));
    for (rate, least) in rates.into_iter().zip([1.7e6, 0.4e6, 1.5e6]) {
        assert!(rate > least, "{rates:?}");
    }
    assert!(queued.iter().all(|&queued| queued < ms(250)), "{queued:?}");
}

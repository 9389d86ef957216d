//! Cases with a name: what viewers of other servers complain of, and what must simply work.

use std::time::Duration;

use pointsman_sfu::Preferences;

use crate::link::{Bursts, Conditions};
use crate::network::{Network, Role, camera_line, camera_of, microphone_line, microphone_of};
use crate::publisher::Plan;
use crate::subscriber::{Habits, Track};

pub const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub const fn s(s: u64) -> Duration {
    Duration::from_secs(s)
}

pub fn always(conditions: Conditions) -> Vec<(Duration, Conditions)> {
    vec![(Duration::ZERO, conditions)]
}

/// A camera with its microphone: three layers, 1.5 Mbit/s.
pub fn camera(client: usize) -> Plan {
    Plan { sound: Some(microphone_of(client)), ..Plan::camera(camera_of(client)) }
}

/// One publisher on the first shard, one subscriber on the last.
pub fn pair(shards: u16, plan: Plan, up: Vec<(Duration, Conditions)>, down: Vec<(Duration, Conditions)>) -> Network {
    let publisher = Role::publisher(plan).up(up);
    let subscriber = Role::subscriber(vec![0]).on_shard(usize::from(shards) - 1).down(down);
    Network::new(7, shards, vec![publisher, subscriber])
}

pub fn run(network: &mut Network, until: Duration) {
    network.run(until).unwrap_or_else(|what| panic!("{what}"));
}

pub fn seen(network: &Network) -> &Track {
    network.subscriber(1).track(&camera_line(0))
}

/// No gap between pictures longer than `most`.
pub fn assert_flows(track: &Track, from: Duration, to: Duration, most: Duration) {
    let gap = track.longest_gap(from, to);
    assert!(gap <= most, "nothing new to see for {gap:?}; freezes: {:?}", track.decoder.freezes);
}

/// Every picture between two times is of `layer`.
pub fn assert_layer(track: &Track, layer: usize, from: Duration, to: Duration) {
    let shown = track.shown(from, to);
    let frames = ((to - from).as_millis() / 40) as usize;
    assert!(shown[layer] * 10 >= frames * 9, "layer {layer}: {shown:?} of {frames} pictures");
}

fn a_good_way(shards: u16) {
    let mut network = pair(shards, camera(0), always(Conditions::delayed(20)), always(Conditions::delayed(20)));
    run(&mut network, s(10));
    let track = seen(&network);
    assert_layer(track, 2, s(3), s(10));
    assert_flows(track, s(1), s(10), ms(150));
    assert!(track.decoder.freezes.is_empty(), "{:?}", track.decoder.freezes);
    let rate = network.person(1).down.rate_bps(s(5), s(10));
    assert!(rate > 1e6, "{rate} bit/s toward the subscriber");
    let heard = network.subscriber(1).track(&microphone_line(0)).heard.len();
    assert!((485..=502).contains(&heard), "{heard} of 500 packets of sound");
    assert!(network.publisher(0).keyframe_requests.len() <= 8, "{:?}", network.publisher(0).keyframe_requests);
}

#[test]
fn sim_case_a_good_way() {
    a_good_way(1);
}

#[test]
fn sim_case_a_good_way_across_shards() {
    a_good_way(2);
}

#[test]
fn sim_case_loss_toward_the_subscriber_is_repaired() {
    let mut network = pair(1, camera(0), always(Conditions::delayed(10)), always(Conditions::lossy(15, 0.05)));
    run(&mut network, s(20));
    assert_flows(seen(&network), s(2), s(20), ms(500));
    assert!(seen(&network).repaired > 0);
    let frozen: Duration = seen(&network).decoder.freezes.iter().map(|it| it.lasted).sum();
    assert!(frozen < ms(1500), "{frozen:?} frozen in all");
}

/// What the publisher loses is asked for again, and is no reason to send the subscriber less (mediasoup#1895).
#[test]
fn sim_case_loss_on_the_publishers_way_is_repaired() {
    let mut network = pair(2, camera(0), always(Conditions::lossy(20, 0.1)), always(Conditions::delayed(20)));
    run(&mut network, s(20));
    assert_flows(seen(&network), s(2), s(20), ms(600));
    assert!(network.publisher(0).nacked > 0);
    let estimates = network.estimates(1, s(3), s(20));
    assert!(estimates.iter().all(|&(_, bps)| bps > 1_000_000), "{estimates:?}");
}

/// Firefox starts the better layers late (mediasoup#872).
#[test]
fn sim_case_layers_that_start_late_are_taken_up() {
    let mut plan = camera(0);
    plan.layers[1].off.push((Duration::ZERO, s(2)));
    plan.layers[2].off.push((Duration::ZERO, s(4)));
    let mut network = pair(2, plan, always(Conditions::delayed(30)), always(Conditions::delayed(30)));
    run(&mut network, s(12));
    let track = seen(&network);
    assert!(track.first_shown(Duration::ZERO, |_| true).is_some_and(|at| at < ms(700)), "the low layer shows at once");
    assert_flows(track, s(1), s(12), ms(200));
    assert_layer(track, 2, s(8), s(12));
}

/// A layer falls silent without a word and comes back (livekit#1853, mediasoup#394).
#[test]
fn sim_case_a_layer_that_vanishes_and_returns() {
    let mut plan = camera(0);
    plan.layers[2].off.push((s(4), s(8)));
    let mut network = pair(2, plan, always(Conditions::delayed(20)), always(Conditions::delayed(20)));
    run(&mut network, s(14));
    let track = seen(&network);
    assert_flows(track, s(1), s(14), ms(1500));
    assert!(track.shown(s(6), s(8))[1] > 40, "the next lower one meanwhile");
    assert_layer(track, 2, s(12), s(14));
}

/// The keyframe at which a switch should happen is lost, partly or all (janus#1806, mediasoup#316).
#[test]
fn sim_case_a_keyframe_lost_at_the_switch() {
    for loss in [0.3, 0.6, 1.0] {
        let mut plan = camera(0);
        plan.layers[2].off.push((Duration::ZERO, s(4)));
        // The first 60 ms of the better layer.
        let down =
            vec![(Duration::ZERO, Conditions::delayed(20)), (s(4), Conditions::lossy(20, loss)), (ms(4150), Conditions::delayed(20))];
        let mut network = pair(1, plan, always(Conditions::delayed(20)), down);
        run(&mut network, s(12));
        assert_flows(seen(&network), s(1), s(12), ms(700));
        assert_layer(seen(&network), 2, s(9), s(12));
    }
}

/// Many viewers lose packets at once: the publisher is asked for few keyframes (janus#1806).
#[test]
fn sim_case_many_viewers_ask_for_keyframes() {
    let bursts = Conditions { bursts: Some(Bursts { begin: 0.01, end: 0.1, loss: 0.9 }), ..Conditions::delayed(40) };
    let eager = Habits { keyframe_wait: ms(300), nacks: false, ..Habits::default() };
    let mut roles = vec![Role::publisher(camera(0))];
    for at in 0..8 {
        roles.push(Role { habits: eager.clone(), ..Role::subscriber(vec![0]) }.on_shard(at % 2).down(always(bursts.clone())));
    }
    let mut network = Network::new(11, 2, roles);
    run(&mut network, s(10));
    let asked: usize = (1..=8).map(|client| network.subscriber(client).keyframe_requests).sum();
    let reached = network.publisher(0).keyframe_requests.len();
    assert!(asked > 40, "they ask: {asked}");
    // At most one in 400 ms for each of three layers.
    assert!(reached <= 78, "{asked} wishes became {reached} requests");
}

/// Another publisher on the same line: numbers go on, the picture comes at once.
#[test]
fn sim_case_a_line_changes_its_publisher() {
    let roles = vec![
        Role::publisher(camera(0)),
        Role::publisher(camera(1)).on_shard(1),
        Role::subscriber(vec![0]).on_shard(1).down(always(Conditions::delayed(30))),
    ];
    let mut network = Network::new(13, 2, roles);
    for at in 1..=6 {
        run(&mut network, s(2 * at));
        network.watch(2, 0, (at % 2) as usize);
    }
    run(&mut network, s(14));
    let track = network.subscriber(2).track(&camera_line(0));
    assert_flows(track, s(1), s(14), ms(400));
    for at in 1..=6 {
        let publication = camera_of((at % 2) as usize);
        let shown = track.first_shown(s(2 * at), |stamp| stamp.publication == publication);
        assert!(shown.is_some_and(|shown| shown < s(2 * at) + ms(400)), "change {at}: {shown:?}");
    }
}

/// The publisher's packets land on another core, again and again.
#[test]
fn sim_case_packets_land_on_another_shard() {
    let mut network = pair(2, camera(0), always(Conditions::delayed(20)), always(Conditions::delayed(20)));
    for at in 1..=8 {
        run(&mut network, s(at));
        network.steer((at % 2) as usize, (at / 2 % 2) as usize);
    }
    run(&mut network, s(10));
    assert_flows(seen(&network), s(1), s(10), ms(300));
}

/// A viewer that changes its mind all the time keeps seeing (mediasoup#990).
#[test]
fn sim_case_a_viewer_changes_its_tile_all_the_time() {
    for shards in [1, 2] {
        let mut network = pair(shards, camera(0), always(Conditions::delayed(30)), always(Conditions::delayed(30)));
        run(&mut network, s(3));
        let sizes = [(160, 90), (1280, 720), (640, 360)];
        let mut at = s(3);
        for turn in 0..40 {
            let (width, height) = sizes[turn % 3];
            network.prefer(1, 0, Preferences { width, height, ..Preferences::default() });
            at += ms(70 + 53 * (turn as u64 % 7));
            run(&mut network, at);
        }
        network.prefer(1, 0, Preferences { width: 1280, height: 720, ..Preferences::default() });
        run(&mut network, at + s(12));
        assert_flows(seen(&network), s(1), at + s(12), ms(300));
        assert_layer(seen(&network), 2, at + s(8), at + s(12));
    }
}

/// What is off the screen is not sent; it is back at once.
#[test]
fn sim_case_a_tile_goes_off_the_screen_and_returns() {
    let mut network = pair(2, camera(0), always(Conditions::delayed(20)), always(Conditions::delayed(20)));
    run(&mut network, s(4));
    network.prefer(1, 0, Preferences { visible: false, ..Preferences::default() });
    run(&mut network, s(9));
    assert_eq!(seen(&network).shown(ms(4300), s(9)), [0; 3]);
    network.prefer(1, 0, Preferences::default());
    run(&mut network, s(20));
    let back = seen(&network).first_shown(s(9), |_| true).expect("it is back") - s(9);
    assert!(back < ms(700), "{back:?}");
    assert_flows(seen(&network), s(9) + back, s(20), ms(300));
    assert_layer(seen(&network), 2, s(16), s(20));
}

/// A tenth of everything is lost on the way to the viewer.
#[test]
fn sim_case_a_tenth_is_lost() {
    let habits = Habits { rtt: ms(50), ..Habits::default() };
    let lossy = always(Conditions::lossy(25, 0.1));
    let subscriber = Role { habits, up: always(Conditions::delayed(25)), ..Role::subscriber(vec![0]) };
    let mut network = Network::new(17, 1, vec![Role::publisher(camera(0)), subscriber.down(lossy)]);
    run(&mut network, s(60));
    assert_flows(seen(&network), s(2), s(60), ms(500));
}

/// Loss on a publisher's uplink never lowers anyone's downlink estimate (mediasoup#872, mediasoup PR#962): neither that of its viewers, nor
/// its own.
#[test]
fn sim_case_loss_on_an_uplink_lowers_no_downlink_estimate() {
    for loss in [0.02, 0.1, 0.3] {
        let up = vec![(Duration::ZERO, Conditions::delayed(20)), (s(6), Conditions::lossy(20, loss))];
        let mut roles = vec![Role { watches: vec![3], ..Role::publisher(camera(0)).up(up) }];
        roles.extend((1..3).map(|at| Role::subscriber(vec![0]).on_shard(at % 2)));
        roles.push(Role::publisher(camera(3)).on_shard(1));
        let mut network = Network::new(29, 2, roles);
        run(&mut network, s(20));
        for client in 0..3 {
            let before = network.estimates(client, s(0), s(6)).last().expect("an estimate").1;
            let after = network.estimates(client, s(6), s(20));
            assert!(after.iter().all(|&(_, bps)| bps >= before), "client {client}, loss {loss}: {before}, then {after:?}");
        }
    }
}

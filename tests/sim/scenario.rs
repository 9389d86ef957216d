//! What a seed makes of a call: who is there, what their ways are like, what happens.

use std::time::Duration;

use pointsman_sfu::{DropReason, Reason};

use crate::dice::Dice;
use crate::link::{Bursts, Conditions};
use crate::network::{Network, Role, camera_line, camera_of};
use crate::publisher::Plan;
use crate::subscriber::Habits;

/// It storms first.
const STORM: Duration = Duration::from_millis(3500);
/// Then all ways are good, and everybody must see and hear again before the end. A browser asks for a keyframe after 3 s without a picture.
const END: Duration = Duration::from_millis(8500);

/// What happens to a call.
#[derive(Clone, Debug)]
enum Turn {
    Watch { client: usize, place: usize, watched: usize },
    Mute { client: usize, muted: bool },
    Steer { client: usize, shard: usize },
}

/// Runs a seed. `Err` says what went wrong.
pub fn run(seed: u64) -> Result<u64, String> {
    let mut dice = Dice::new(seed);
    let shards = 1 + dice.below(2) as u16;
    let publishers = 1 + dice.below(2);
    let subscribers = 1 + dice.below(2);
    let mut roles = Vec::new();
    for at in 0..publishers {
        let plan = plan(&mut dice, camera_of(at));
        let role = Role { up: ways(&mut dice, false), down: ways(&mut dice, false), ..Role::publisher(plan) };
        roles.push(role.on_shard(dice.below(usize::from(shards))));
    }
    for _ in 0..subscribers {
        let watched = dice.below(publishers);
        let role = Role { up: ways(&mut dice, true), down: ways(&mut dice, true), ..Role::subscriber(vec![watched]) };
        let habits = habits(&mut dice);
        roles.push(Role { habits, ..role }.on_shard(dice.below(usize::from(shards))));
    }
    let mut turns = turns(&mut dice, shards, publishers, subscribers);
    let told = std::env::var_os("SIM_SEED").is_some();
    if told {
        eprintln!("{shards} shards: {roles:#?}, then {turns:?}");
    }
    let mut network = Network::new(dice.next(), shards, roles);
    while let Some((at, turn)) = turns.pop() {
        network.run(at)?;
        match turn {
            Turn::Watch { client, place, watched } => network.watch(client, place, watched),
            Turn::Mute { client, muted } => network.mute(client, muted),
            Turn::Steer { client, shard } => network.steer(client, shard),
        }
    }
    network.run(END)?;
    if told {
        eprintln!("{}", network.tale());
    }
    judge(&network, publishers)?;
    Ok(network.trace)
}

fn plan(dice: &mut Dice, publication: u32) -> Plan {
    let mut plan = Plan { temporals: 1 + dice.below(3) as u8, sound: Some(publication + 1), ..Plan::camera(publication) };
    plan.keyframe_size = dice.between(2.0, 7.0);
    match dice.below(6) {
        0 => plan.layers.truncate(1),
        1 => plan.layers.truncate(2),
        _ => {}
    }
    for layer in 1..plan.layers.len() {
        if dice.chance(0.3) {
            plan.layers[layer].off.push((Duration::ZERO, dice.ms(100, 3000)));
        }
        if dice.chance(0.3) {
            let from = dice.ms(500, 3500);
            plan.layers[layer].off.push((from, from + dice.ms(100, 3000)));
        }
    }
    plan
}

/// Bad until [`STORM`], good after.
fn ways(dice: &mut Dice, bottleneck: bool) -> Vec<(Duration, Conditions)> {
    let delay = dice.ms(1, 120);
    let good = Conditions { delay, jitter: dice.ms(0, 10), ..Conditions::default() };
    let mut phases = vec![(Duration::ZERO, if dice.chance(0.5) { good.clone() } else { bad(dice, &good, bottleneck) })];
    let mut at = Duration::ZERO;
    for _ in 0..dice.below(3) {
        at += dice.ms(200, 1500);
        if at < STORM {
            phases.push((at, bad(dice, &good, bottleneck)));
        }
    }
    phases.push((STORM, good));
    phases
}

fn bad(dice: &mut Dice, good: &Conditions, bottleneck: bool) -> Conditions {
    let mut it = good.clone();
    if dice.chance(0.4) {
        it.loss = dice.between(0.0, 0.25);
    }
    if dice.chance(0.3) {
        it.bursts = Some(Bursts { begin: dice.between(0.001, 0.05), end: dice.between(0.05, 0.5), loss: dice.between(0.3, 1.0) });
    }
    if dice.chance(0.4) {
        it.jitter = dice.ms(1, 80);
    }
    if dice.chance(0.3) {
        it.overtaken = dice.between(0.0, 0.2);
        it.overtaken_by = dice.ms(1, 60);
    }
    if dice.chance(0.2) {
        it.duplicated = dice.between(0.0, 0.1);
    }
    if bottleneck && dice.chance(0.5) {
        it.rate_bps = Some(dice.between(150e3, 4e6) as u64);
        it.queue_bytes = dice.between(4e3, 100e3) as usize;
    }
    // Not a packet passes for a while.
    if dice.chance(0.05) {
        it.loss = 1.0;
    }
    it
}

fn habits(dice: &mut Dice) -> Habits {
    Habits {
        nacks: !dice.chance(0.1),
        feedback_interval: (!dice.chance(0.1)).then(|| dice.pick(&[50, 100]).into_ms()),
        report_interval: dice.ms(400, 1500),
        keyframe_wait: dice.pick(&[300, 1000, 3000]).into_ms(),
        ..Habits::default()
    }
}

trait IntoMs {
    fn into_ms(self) -> Duration;
}

impl IntoMs for u64 {
    fn into_ms(self) -> Duration {
        Duration::from_millis(self)
    }
}

/// The last comes first.
fn turns(dice: &mut Dice, shards: u16, publishers: usize, subscribers: usize) -> Vec<(Duration, Turn)> {
    let mut turns = Vec::new();
    for _ in 0..dice.below(4) {
        let (at, client) = (dice.ms(100, 4000), publishers + dice.below(subscribers));
        match dice.below(3) {
            0 => turns.push((at, Turn::Watch { client, place: 0, watched: dice.below(publishers) })),
            1 => {
                let client = dice.below(publishers);
                turns.push((at, Turn::Mute { client, muted: true }));
                turns.push((at + dice.ms(20, 900), Turn::Mute { client, muted: false }));
            }
            _ => {
                let client = dice.below(publishers + subscribers);
                turns.push((at, Turn::Steer { client, shard: dice.below(usize::from(shards)) }));
            }
        }
    }
    turns.sort_by_key(|(at, _)| std::cmp::Reverse(*at));
    turns
}

/// What must be so at the end of every call.
fn judge(network: &Network, publishers: usize) -> Result<(), String> {
    let calm = END - Duration::from_millis(1000);
    for client in publishers..network.people() {
        let track = network.subscriber(client).track(&camera_line(0));
        let gap = track.longest_gap(calm, END);
        // Five seconds after a storm the estimate may still be low: then it is said.
        let said = network.quality(client, network.watched(client, 0));
        let by_estimate =
            said.is_some_and(|it| it.current.is_none() && matches!(it.reason, Reason::Estimate | Reason::AudioOnly | Reason::Loss));
        if gap > Duration::from_millis(600) && !by_estimate {
            let last = track.decoder.shown.last();
            let asked = (0..publishers).map(|at| network.publisher(at).keyframe_requests.len());
            return Err(format!(
                "client {client} sees nothing for {gap:?} long after the storm, and control was told {said:?}; {} packets; the last picture: {last:?}; it asked for {} \
                 keyframes, {} requests reached the publishers",
                track.packets,
                network.subscriber(client).keyframe_requests,
                asked.sum::<usize>(),
            ));
        }
        let sound = network.subscriber(client).track(&crate::network::microphone_line(0));
        if sound.heard.iter().filter(|(at, _)| *at >= calm).count() < 45 {
            return Err(format!("client {client} hears nothing long after the storm"));
        }
    }
    for client in 0..publishers {
        let asked = &network.publisher(client).keyframe_requests;
        for layer in 0..3 {
            let times: Vec<Duration> = asked.iter().filter(|(_, of)| *of == layer).map(|(at, _)| *at).collect();
            // One in 400 ms, and the way may bunch two of them or double them.
            if times.len() > 40 {
                return Err(format!("{} keyframe requests for layer {layer} of client {client}", times.len()));
            }
        }
    }
    const NEVER: [DropReason; 8] = [
        DropReason::SrtpSealFailed,
        DropReason::EgressFull,
        DropReason::PoolFull,
        DropReason::PublicationsMax,
        DropReason::DowntracksMax,
        DropReason::StreamsMax,
        DropReason::NoCodec,
        DropReason::PayloadMalformed,
    ];
    match NEVER.into_iter().find(|&reason| network.drops(reason) > 0) {
        Some(reason) => Err(format!("{} packets dropped: {reason:?}", network.drops(reason))),
        None => Ok(()),
    }
}

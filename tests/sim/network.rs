//! Shards, people and the links between them, moved by one virtual clock.
//!
//! ```text
//! publisher ─ up ─► shard ◄─ mesh ─► shard ─ down ─► subscriber
//!      ▲──── down ────┘                └──── up ◄────────┘
//! ```

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::{Duration, Instant};

use pointsman_sfu::srtp::SrtpError;
use pointsman_sfu::{Config, DropReason, Event, LayerId, ParticipantId, Preferences, PublicationId, Quality, Sfu, Source};
use pointsman_wire::clock::Now;
use pointsman_wire::net::{Datagram, FiveTuple};

use crate::dice::Dice;
use crate::link::{Conditions, Link};
use crate::publisher::{Plan, Publisher, RIDS};
use crate::subscriber::{Habits, Line, Subscriber};
use crate::world::{Opened, Packet, TWCC_DOWN, World, audio_in, audio_out, video_in, video_out};

pub struct Network {
    world: World,
    /// When media began.
    origin: Instant,
    people: Vec<Person>,
    flights: BinaryHeap<Reverse<Flight>>,
    flights_count: u64,
    /// Turns without the clock moving.
    stuck: u32,
    pub events: Vec<(Duration, Event)>,
    /// What everything adds up to: two runs of one seed must agree.
    pub trace: u64,
}

pub struct Person {
    pub up: Link,
    pub down: Link,
    pub publisher: Option<Publisher>,
    pub subscriber: Option<Subscriber>,
    /// From control's decision until the client hears of it.
    control_delay: Duration,
    next_check: Duration,
}

/// Between two connectivity checks of one client.
const CHECK_INTERVAL: Duration = Duration::from_millis(2500);

/// A datagram on its way.
#[derive(PartialEq, Eq, PartialOrd, Ord)]
struct Flight {
    at: Duration,
    /// Those that arrive at the same time keep their order.
    order: u64,
    client: usize,
    to_server: bool,
    bytes: Vec<u8>,
}

/// Who takes part.
#[derive(Clone, Debug)]
pub struct Role {
    pub shard: usize,
    pub up: Vec<(Duration, Conditions)>,
    pub down: Vec<(Duration, Conditions)>,
    pub publishes: Option<Plan>,
    /// Publishers that it subscribes to, by their place among the roles: camera and microphone of each.
    pub watches: Vec<usize>,
    pub habits: Habits,
}

impl Role {
    pub fn publisher(plan: Plan) -> Self {
        Self { publishes: Some(plan), ..Self::subscriber(Vec::new()) }
    }

    pub fn subscriber(watches: Vec<usize>) -> Self {
        let calm = vec![(Duration::ZERO, Conditions::default())];
        Self { shard: 0, up: calm.clone(), down: calm, publishes: None, watches, habits: Habits::default() }
    }

    pub fn on_shard(self, shard: usize) -> Self {
        Self { shard, ..self }
    }

    pub fn up(self, up: Vec<(Duration, Conditions)>) -> Self {
        Self { up, ..self }
    }

    pub fn down(self, down: Vec<(Duration, Conditions)>) -> Self {
        Self { down, ..self }
    }
}

/// The camera of a person, and its microphone.
pub const fn camera_of(client: usize) -> u32 {
    10 * (client as u32 + 1)
}

pub const fn microphone_of(client: usize) -> u32 {
    camera_of(client) + 1
}

/// SSRCs of the lines toward a subscriber.
const fn line_ssrc(line: usize) -> u32 {
    500_000 + 10 * line as u32
}

/// Names of the lines: of the camera and the microphone of the n-th that it watches.
pub fn camera_line(watched: usize) -> String {
    format!("v{watched}")
}

pub fn microphone_line(watched: usize) -> String {
    format!("a{watched}")
}

impl Network {
    /// Everybody is connected; media begins now.
    pub fn new(seed: u64, shards: u16, roles: Vec<Role>) -> Self {
        // What comes from the cache is shown faster than it was captured, and the model of a subscriber holds every frame to its time.
        let config = Config { pool_slots_max: 16_384, replay_age_max: Duration::ZERO, ..Config::default() };
        Self::with_config(seed, shards, config, roles)
    }

    pub fn with_config(seed: u64, shards: u16, config: Config, roles: Vec<Role>) -> Self {
        let mut dice = Dice::new(seed);
        let mut world = World::with_config(shards, config);
        let id = |client: usize| ParticipantId(100 + client as u64);
        for (at, role) in roles.iter().enumerate() {
            let mut receivers = Vec::new();
            if let Some(plan) = &role.publishes {
                let rids: &[&str] = if plan.layers.len() == 1 { &[] } else { &RIDS[..plan.layers.len()] };
                receivers.push(video_in(u64::from(camera_of(at)), "0", rids));
                receivers.push(audio_in(u64::from(microphone_of(at)), "1"));
            }
            let mut senders = Vec::new();
            for (place, &watched) in role.watches.iter().enumerate() {
                let (camera, microphone) = (u64::from(camera_of(watched)), u64::from(microphone_of(watched)));
                senders.push(video_out(&camera_line(place), line_ssrc(2 * place), Some((camera, id(watched)))));
                let mut sound = audio_out(&microphone_line(place), line_ssrc(2 * place + 1), Some((microphone, id(watched))));
                sound.extensions.transport_cc = Some(TWCC_DOWN);
                senders.push(sound);
            }
            let client = world.join(role.shard, receivers, senders);
            assert_eq!(world.clients[client].id, id(at));
        }
        for client in 0..roles.len() {
            world.connect(client);
        }
        let origin = world.now.mono;
        let people = roles.into_iter().enumerate().map(|(at, role)| Person::new(at, role, origin, &mut dice)).collect();
        world.clients.iter_mut().for_each(|client| client.to_server.clear());
        world.events.clear();
        Self { world, origin, people, flights: BinaryHeap::new(), flights_count: 0, stuck: 0, events: Vec::new(), trace: seed }
    }

    /// Since media began.
    pub fn now(&self) -> Duration {
        self.world.now.mono - self.origin
    }

    pub fn person(&self, client: usize) -> &Person {
        &self.people[client]
    }

    pub fn publisher(&self, client: usize) -> &Publisher {
        self.people[client].publisher.as_ref().expect("it publishes")
    }

    pub fn subscriber(&self, client: usize) -> &Subscriber {
        self.people[client].subscriber.as_ref().expect("it subscribes")
    }

    pub fn people(&self) -> usize {
        self.people.len()
    }

    /// Where a kernel puts a client's packets from now on.
    pub fn steer(&mut self, client: usize, shard: usize) {
        self.world.clients[client].shard = shard;
        let check = self.world.clients[client].check();
        self.fly(client, true, self.now(), check);
    }

    /// Whose camera is on the n-th line.
    pub fn watched(&self, client: usize, place: usize) -> u32 {
        self.world.clients[client].spec.senders[2 * place].source.map_or(0, |source| source.publication.0 as u32)
    }

    /// The camera and the microphone of another are to be seen and heard on the n-th lines.
    pub fn watch(&mut self, client: usize, place: usize, watched: usize) {
        let publisher = self.world.clients[watched].id;
        let sources = [camera_of(watched), microphone_of(watched)];
        for (line, publication) in sources.into_iter().enumerate() {
            let spec = &mut self.world.clients[client].spec.senders[2 * place + line];
            spec.source = Some(Source { publication: PublicationId(u64::from(publication)), publisher });
        }
        self.tell(client);
    }

    /// What is wanted of the n-th camera.
    pub fn prefer(&mut self, client: usize, place: usize, preferences: Preferences) {
        self.world.clients[client].spec.senders[2 * place].preferences = preferences;
        if !preferences.visible {
            self.pause(client, place);
        }
        self.tell(client);
    }

    /// The server stops a camera, or lets it go on.
    pub fn mute(&mut self, client: usize, muted: bool) {
        self.world.clients[client].spec.receivers[0].muted = muted;
        self.tell(client);
        for client in 0..self.people.len() {
            self.pause(client, 0);
        }
    }

    /// What is not shown now is meant not to be.
    pub fn pause(&mut self, client: usize, place: usize) {
        if let Some(subscriber) = &mut self.people[client].subscriber {
            subscriber.track_mut(&camera_line(place)).decoder.pause();
        }
    }

    pub fn drops(&self, reason: DropReason) -> u64 {
        self.world.shards.iter().map(|shard| shard.stats().drops.of(reason)).sum()
    }

    /// What was estimated toward a subscriber between two times, in bits per second.
    pub fn estimates(&self, client: usize, from: Duration, to: Duration) -> Vec<(Duration, u64)> {
        let id = self.world.clients[client].id;
        let estimates = self.events.iter().filter_map(|(at, event)| match event {
            Event::Estimate { participant, estimate_bps } if *participant == id && (from..to).contains(at) => Some((*at, *estimate_bps)),
            _ => None,
        });
        estimates.collect()
    }

    /// What control was told last of how a subscriber gets a camera.
    pub fn quality(&self, client: usize, publication: u32) -> Option<Quality> {
        let id = self.world.clients[client].id;
        let of_it = |event: &Event| match event {
            Event::Quality { participant, publication: of, quality } => {
                (*participant == id && *of == PublicationId(u64::from(publication))).then_some(*quality)
            }
            _ => None,
        };
        self.events.iter().rev().find_map(|(_, event)| of_it(event))
    }

    /// What was estimated toward a viewer and decided for it, what it saw and how its link was, for whoever looks into a case.
    pub fn tale_of(&self, client: usize) -> String {
        let id = self.world.clients[client].id;
        let told = self.events.iter().filter_map(|(at, event)| match event {
            Event::Estimate { participant, estimate_bps } if *participant == id => Some((*at, format!("estimate {estimate_bps}"))),
            Event::Quality { participant, publication, quality } if *participant == id => {
                let Quality { current, target, bitrate_bps, reason } = quality;
                let layer = |it: &Option<LayerId>| it.map_or("none".to_owned(), |it| format!("{}.{}", it.spatial, it.temporal));
                Some((*at, format!("{} gets {} of {}, {bitrate_bps}, {reason:?}", publication.0, layer(current), layer(target))))
            }
            _ => None,
        });
        let mut lines: Vec<(Duration, String)> = told.collect();
        for track in &self.subscriber(client).tracks {
            let mut before = None;
            for it in &track.decoder.shown {
                let late = before.map_or(Duration::ZERO, |(at, _)| it.at - at);
                if before.is_none_or(|(_, layer)| layer != it.stamp.layer) || late > Duration::from_millis(130) {
                    lines.push((it.at, format!("{} shows layer {} after {late:?}", track.line.mid, it.stamp.layer)));
                }
                before = Some((it.at, it.stamp.layer));
            }
        }
        for (at, passed) in self.people[client].down.passed.iter().enumerate() {
            if passed.queued > Duration::from_millis(60) || passed.lost > 0 {
                let what = format!("queue {:?}, {} lost, {} kbit/s passed", passed.queued, passed.lost, passed.bytes * 80 / 1000);
                lines.push((Duration::from_millis(100 * at as u64), what));
            }
        }
        for (at, layer) in self.people.iter().filter_map(|it| it.publisher.as_ref()).flat_map(|it| &it.keyframe_requests) {
            lines.push((*at, format!("a keyframe of layer {layer} is asked for")));
        }
        lines.sort();
        lines.into_iter().map(|(at, what)| format!("{:8.3} {what}\n", at.as_secs_f64())).collect()
    }

    /// What the shards counted, for whoever looks into a seed.
    pub fn tale(&self) -> String {
        let shard = |shard: &Sfu| {
            let stats = shard.stats();
            let drops = DropReason::ALL.into_iter().map(|reason| (reason, stats.drops.of(reason))).filter(|(_, count)| *count > 0);
            let drops: Vec<_> = drops.collect();
            format!(
                "{} in, {} forwarded, {} repeated, keyframe requests {} in, {} out, drops {drops:?}\n",
                stats.packets_in, stats.forwarded, stats.retransmitted, stats.keyframe_requests_in, stats.keyframe_requests_out
            )
        };
        self.world.shards.iter().map(shard).collect()
    }

    /// Time passes until `until`. `Err` when the server did what no server may do.
    pub fn run(&mut self, until: Duration) -> Result<(), String> {
        while self.now() < until {
            self.turn(until)?;
        }
        Ok(())
    }

    fn tell(&mut self, client: usize) {
        self.world.tell(client);
        self.carry_mesh();
        self.send_out();
    }

    fn turn(&mut self, until: Duration) -> Result<(), String> {
        let now = self.now();
        let server = self.world.shards.iter().filter_map(Sfu::poll_timeout).min().map_or(Duration::MAX, |due| due - self.origin);
        let people = self.people.iter().map(Person::due).min().unwrap_or(Duration::MAX);
        let flights = self.flights.peek().map_or(Duration::MAX, |Reverse(flight)| flight.at);
        let next = server.min(people).min(flights).min(until).max(now);
        self.stuck = if next == now { self.stuck + 1 } else { 0 };
        if self.stuck > 10_000 {
            return Err(format!("time stands still at {now:?}: a timer is due again and again"));
        }
        // A timer that is due at once again must not stop the clock for others.
        self.set_clock(if self.stuck > 3 { next + Duration::from_micros(50) } else { next });
        let mut arrived: Vec<(usize, FiveTuple, Vec<u8>)> = Vec::new();
        while self.flights.peek().is_some_and(|Reverse(flight)| flight.at <= self.now())
            && let Some(Reverse(flight)) = self.flights.pop()
        {
            if flight.to_server {
                let client = &self.world.clients[flight.client];
                arrived.push((client.shard, client.path, flight.bytes));
            } else {
                self.deliver(flight.client, &flight.bytes)?;
            }
        }
        self.turn_shards(&arrived);
        self.work();
        Ok(())
    }

    fn set_clock(&mut self, to: Duration) {
        let by = to - self.now();
        let now = self.world.now;
        self.world.now = Now { mono: now.mono + by, unix: now.unix + by };
    }

    fn turn_shards(&mut self, arrived: &[(usize, FiveTuple, Vec<u8>)]) {
        let World { now, shards, outs, .. } = &mut self.world;
        for (at, (shard, out)) in shards.iter_mut().zip(outs.iter_mut()).enumerate() {
            let due = shard.poll_timeout().is_some_and(|due| due <= now.mono);
            let batch = arrived.iter().filter(|it| it.0 == at).map(|(_, path, bytes)| Datagram { path: *path, bytes });
            shard.handle_batch(*now, batch, out);
            if due {
                shard.handle_timeout(*now, out);
            }
            shard.flush(*now, out);
        }
        self.carry_mesh();
        self.send_out();
    }

    fn carry_mesh(&mut self) {
        loop {
            let mut moved = false;
            for at in 0..self.world.shards.len() {
                let World { now, shards, outs, .. } = &mut self.world;
                for (to, message) in outs[at].mesh.drain(..).collect::<Vec<_>>() {
                    let to = usize::from(to.0);
                    shards[to].handle_mesh(*now, message, &mut outs[to]);
                    moved = true;
                }
            }
            if !moved {
                return;
            }
            let World { now, shards, outs, .. } = &mut self.world;
            for (shard, out) in shards.iter_mut().zip(outs.iter_mut()) {
                shard.flush(*now, out);
            }
        }
    }

    /// What the shards sent starts on its way.
    fn send_out(&mut self) {
        let now = self.now();
        for at in 0..self.world.shards.len() {
            while let Some(event) = self.world.shards[at].poll_event() {
                if let Event::LayersWanted { publisher, spatial_max, publication } = &event
                    && let Some(client) = self.world.clients.iter().position(|client| client.id == *publisher)
                    && publication.0 == u64::from(camera_of(client))
                    && let Person { publisher: Some(publisher), control_delay: delay, .. } = &mut self.people[client]
                {
                    publisher.layers_wanted_at(now + *delay, *spatial_max);
                }
                self.events.push((now, event));
            }
            for (to, bytes) in self.world.outs[at].take() {
                let client = self.world.clients.iter().position(|client| client.path == to).expect("someone has this path");
                self.fly(client, false, now, bytes);
            }
        }
    }

    fn fly(&mut self, client: usize, to_server: bool, now: Duration, bytes: Vec<u8>) {
        let person = &mut self.people[client];
        let link = if to_server { &mut person.up } else { &mut person.down };
        for at in link.send(now, bytes.len()).into_iter().flatten() {
            self.flights_count += 1;
            self.flights.push(Reverse(Flight { at, order: self.flights_count, client, to_server, bytes: bytes.clone() }));
        }
    }

    /// A datagram reaches a client.
    fn deliver(&mut self, client: usize, bytes: &[u8]) -> Result<(), String> {
        let now = self.now();
        self.trace = self.trace.rotate_left(5).wrapping_mul(0x9E37_79B9_7F4A_7C15) ^ (now.as_nanos() as u64) ^ bytes.len() as u64;
        let mut plain = [0; 2048];
        let opened = match self.world.clients[client].open(self.world.now, bytes, &mut plain) {
            Ok(opened) => opened,
            Err(SrtpError::Replayed) => return Ok(()), // The link's doing.
            Err(error) => return Err(format!("client {client} cannot open what came: {error:?}")),
        };
        let person = &mut self.people[client];
        let mono = self.world.now.mono;
        let result = match (opened, &mut person.subscriber) {
            (Opened::Rtp(len), Some(subscriber)) => subscriber.rtp(now, mono, &plain[..len]),
            (Opened::Rtp(_), None) => Err("media for one who subscribes to nothing".to_owned()),
            (Opened::Rtcp(len), subscriber) => {
                let mut packets = Vec::new();
                if let Some(publisher) = &mut person.publisher {
                    publisher.told(now, &plain[..len], &mut packets);
                }
                let result = subscriber.as_mut().map_or(Ok(()), |subscriber| subscriber.rtcp(mono, &plain[..len]));
                self.send_packets(client, &packets);
                result
            }
            (Opened::Done, _) => Ok(()),
        };
        result.map_err(|what| format!("client {client} at {now:?}: {what}"))
    }

    /// What people do of themselves.
    fn work(&mut self) {
        let now = self.now();
        let clock = self.world.now;
        for client in 0..self.people.len() {
            if self.people[client].due() > now {
                continue;
            }
            let (mut packets, mut compounds) = (Vec::new(), Vec::new());
            let person = &mut self.people[client];
            if let Some(publisher) = &mut person.publisher {
                publisher.work(now, clock, &mut packets, &mut compounds);
            }
            if let Some(subscriber) = &mut person.subscriber {
                subscriber.work(now, clock.mono, &mut compounds);
            }
            if person.next_check <= now {
                person.next_check += CHECK_INTERVAL;
                let check = self.world.clients[client].check();
                self.fly(client, true, now, check);
            }
            self.send_packets(client, &packets);
            for compound in compounds {
                let sealed = self.world.clients[client].seal_rtcp(&compound);
                self.fly(client, true, now, sealed);
            }
        }
    }

    fn send_packets(&mut self, client: usize, packets: &[Packet]) {
        for packet in packets {
            let sealed = self.world.clients[client].seal(packet);
            self.fly(client, true, self.now(), sealed);
        }
    }
}

impl Person {
    fn new(at: usize, role: Role, origin: Instant, dice: &mut Dice) -> Self {
        let lines = (0..role.watches.len()).flat_map(|place| {
            [
                Line { mid: camera_line(place), ssrc: line_ssrc(2 * place), video: true },
                Line { mid: microphone_line(place), ssrc: line_ssrc(2 * place + 1), video: false },
            ]
        });
        let lines: Vec<Line> = lines.collect();
        let habits = role.habits.clone();
        Self {
            up: Link::new(role.up, dice.fork()),
            down: Link::new(role.down, dice.fork()),
            publisher: role.publishes.map(|plan| Publisher::new(at, plan, dice.fork())),
            subscriber: (!lines.is_empty()).then(|| Subscriber::new(lines, habits, origin, dice.fork())),
            control_delay: dice.ms(20, 200),
            next_check: dice.ms(0, 2500),
        }
    }

    fn due(&self) -> Duration {
        let publisher = self.publisher.as_ref().map_or(Duration::MAX, Publisher::due);
        let subscriber = self.subscriber.as_ref().map_or(Duration::MAX, Subscriber::due);
        publisher.min(subscriber).min(self.next_check)
    }
}

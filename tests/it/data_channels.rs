//! Data channels of somebody else's agents (str0m) on two shards, in memory and on a virtual clock.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pointsman_sfu::transport::DtlsIdentity;
use pointsman_sfu::{
    ChannelsOpen, Command, Config, DataMessage, Delivery, Egress, Event as SfuEvent, Front, MeshMessage, Negotiation, NegotiationConfig,
    ParticipantId, PayloadBudget, RoomId, Sfu,
};
use pointsman_wire::clock::Now;
use pointsman_wire::net::{Datagram, FiveTuple, ShardId};
use str0m::change::{SdpAnswer, SdpApi};
use str0m::channel::{ChannelConfig, ChannelId, Reliability};
use str0m::net::{Protocol, Receive};
use str0m::{Candidate, Event, Input, Output, Rtc};

const SERVER: &str = "192.0.2.1:3478";

#[derive(Default)]
struct Out {
    space: Vec<u8>,
    to: Option<FiveTuple>,
    datagrams: Vec<(FiveTuple, Vec<u8>)>,
    mesh: Vec<(ShardId, MeshMessage)>,
}

impl Egress for Out {
    fn slot(&mut self, to: &FiveTuple) -> Option<&mut [u8]> {
        self.space.resize(2048, 0);
        self.to = Some(*to);
        Some(&mut self.space)
    }

    fn commit(&mut self, len: usize) {
        self.datagrams.push((self.to.expect("a slot was taken"), self.space[..len].to_vec()));
    }

    fn to_shard(&mut self, shard: ShardId, message: MeshMessage) -> bool {
        self.mesh.push((shard, message));
        true
    }
}

struct Agent {
    rtc: Rtc,
    address: SocketAddr,
    /// In order of opening, by label.
    channels: Vec<(ChannelId, String)>,
    received: Vec<(String, Vec<u8>)>,
    outbox: Vec<Vec<u8>>,
}

struct World {
    now: Now,
    shards: Vec<Sfu>,
    outs: Vec<Out>,
    agents: Vec<Agent>,
    events: Vec<SfuEvent>,
    budget: PayloadBudget,
    random: u64,
    /// Datagrams of a hundred that are lost, each way.
    loss: u64,
}

impl World {
    /// `count` agents, each on the shard that its number gives.
    fn new(count: usize) -> Self {
        let now = Now { mono: Instant::now(), unix: Duration::from_secs(1_800_000_000) };
        let identity = Arc::new(DtlsIdentity::generate().unwrap());
        let sfu = |shard| Sfu::new(Config::default(), ShardId(shard), 2, Arc::clone(&identity), 7 + u64::from(shard), now);
        let (shards, outs) = ((0..2).map(sfu).collect(), vec![Out::default(), Out::default()]);
        let (agents, events, budget) = (Vec::new(), Vec::new(), PayloadBudget::new(1 << 22));
        let mut world = Self { now, shards, outs, agents, events, budget, random: 1, loss: 0 };
        let config = Arc::new(NegotiationConfig::new(vec![SERVER.parse().unwrap()], identity.fingerprint()));
        for number in 0..count {
            world.join(number, &config);
        }
        world
    }

    fn join(&mut self, number: usize, config: &Arc<NegotiationConfig>) {
        let address = SocketAddr::new("198.51.100.7".parse().unwrap(), 10_000 + number as u16);
        let mut rtc = Rtc::builder().build(self.now.mono);
        rtc.add_local_candidate(Candidate::host(address, "udp").unwrap()).unwrap();
        let mut changes: SdpApi<'_> = rtc.sdp_api();
        changes.add_channel("reliable".to_owned());
        let reliability = Reliability::MaxRetransmits { retransmits: 0 };
        changes.add_channel_with_config(ChannelConfig {
            label: "lossy".to_owned(),
            ordered: false,
            reliability,
            ..ChannelConfig::default()
        });
        let (offer, pending) = changes.apply().unwrap();
        let id = ParticipantId(number as u64);
        let mut negotiation = Negotiation::new(Arc::clone(config), id, RoomId(1), Front::Call, true, true, [number as u8; 32]);
        let answer = negotiation.answer(&offer.to_sdp_string()).expect("data channels alone are enough");
        rtc.sdp_api().accept_answer(pending, SdpAnswer::from_sdp_string(&answer).unwrap()).unwrap();
        let spec = Box::new(negotiation.spec().clone());
        for (shard, out) in self.shards.iter_mut().zip(&mut self.outs) {
            shard.handle_command(self.now, Command::Participant(spec.clone()), out);
        }
        self.agents.push(Agent { rtc, address, channels: Vec::new(), received: Vec::new(), outbox: Vec::new() });
    }

    fn arrives(&mut self) -> bool {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % 100 >= self.loss
    }

    /// One millisecond of everything.
    fn step(&mut self) {
        for number in 0..self.agents.len() {
            let shard = number % 2;
            let path = FiveTuple::udp(SERVER.parse().unwrap(), self.agents[number].address);
            self.agents[number].drain();
            for bytes in std::mem::take(&mut self.agents[number].outbox) {
                if self.arrives() {
                    self.shards[shard].handle_batch(self.now, [Datagram { path, bytes: &bytes }], &mut self.outs[shard]);
                }
            }
        }
        for at in 0..2 {
            if self.shards[at].poll_timeout().is_some_and(|due| due <= self.now.mono) {
                self.shards[at].handle_timeout(self.now, &mut self.outs[at]);
            }
            self.shards[at].flush(self.now, &mut self.outs[at]);
        }
        for at in 0..2 {
            for (to, message) in std::mem::take(&mut self.outs[at].mesh) {
                let to = usize::from(to.0);
                self.shards[to].handle_mesh(self.now, message, &mut self.outs[to]);
            }
            while let Some(event) = self.shards[at].poll_event() {
                self.events.push(event);
            }
        }
        self.now = Now { mono: self.now.mono + Duration::from_millis(1), unix: self.now.unix + Duration::from_millis(1) };
        for at in 0..2 {
            for (path, bytes) in std::mem::take(&mut self.outs[at].datagrams) {
                if self.arrives() {
                    let agent = self.agents.iter_mut().find(|agent| agent.address == path.remote).expect("someone has this path");
                    agent.arrive(self.now.mono, &bytes);
                }
            }
        }
        for agent in &mut self.agents {
            agent.rtc.handle_input(Input::Timeout(self.now.mono)).unwrap();
            agent.drain();
        }
    }

    fn until(&mut self, what: &str, mut ask: impl FnMut(&Self) -> bool) {
        for _ in 0..60_000 {
            if ask(self) {
                return;
            }
            self.step();
        }
        panic!("not within a minute: {what}: {:?}", self.events);
    }

    fn connect(&mut self) {
        let both = ChannelsOpen { reliable: true, lossy: true };
        let count = self.agents.len();
        self.until("both channels of all", |world| {
            let open = |event: &&SfuEvent| matches!(event, SfuEvent::DataChannels { open, .. } if *open == both);
            world.events.iter().filter(open).count() == count && world.agents.iter().all(|agent| agent.channels.len() == 2)
        });
    }

    /// What control does with a message: everyone else gets it.
    fn relay(&mut self) {
        let events = std::mem::take(&mut self.events);
        for event in events {
            let SfuEvent::Data { participant, message } = event else { continue };
            let to: Vec<_> = (0..self.agents.len() as u64).map(ParticipantId).filter(|other| *other != participant).collect();
            self.deliver(to, message);
        }
    }

    fn deliver(&mut self, to: Vec<ParticipantId>, message: DataMessage) {
        let delivery = Delivery { to: to.into(), message };
        for (shard, out) in self.shards.iter_mut().zip(&mut self.outs) {
            shard.handle_command(self.now, Command::Data(delivery.clone()), out);
        }
    }

    fn drops(&self) -> Vec<(&'static str, u64)> {
        let counts = self.shards.iter().flat_map(|shard| shard.stats().drops.iter());
        counts.filter(|(_, count)| *count > 0).map(|(reason, count)| (reason.name(), count)).collect()
    }
}

impl Agent {
    /// Takes everything that it has to say, as is due after every input.
    fn drain(&mut self) {
        loop {
            match self.rtc.poll_output().unwrap() {
                Output::Timeout(_) => return,
                Output::Transmit(transmit) => self.outbox.push(transmit.contents.to_vec()),
                Output::Event(Event::ChannelOpen(id, label)) => self.channels.push((id, label)),
                Output::Event(Event::ChannelData(data)) => {
                    let label = self.channels.iter().find(|(id, _)| *id == data.id).expect("an open channel").1.clone();
                    self.received.push((label, data.data));
                }
                Output::Event(_) => {}
            }
        }
    }

    fn arrive(&mut self, now: Instant, bytes: &[u8]) {
        let received = Receive::new(Protocol::Udp, SERVER.parse().unwrap(), self.address, bytes).unwrap();
        self.rtc.handle_input(Input::Receive(now, received)).unwrap();
        self.drain();
    }

    fn say(&mut self, label: &str, bytes: &[u8]) {
        let id = self.channels.iter().find(|(_, name)| name == label).expect("an open channel").0;
        assert!(self.rtc.channel(id).unwrap().write(true, bytes).unwrap(), "there is room");
    }
}

#[test]
fn agents_of_others_exchange_messages_over_two_shards() {
    let mut world = World::new(3);
    world.connect();
    let large: Vec<u8> = (0..60_000u32).map(|n| (n / 5) as u8).collect();
    world.agents[0].say("reliable", &large);
    world.agents[0].say("lossy", b"at once");
    world.until("both messages", |world| world.events.iter().filter(|event| matches!(event, SfuEvent::Data { .. })).count() == 2);
    world.relay();
    world.until("they come", |world| world.agents[1..].iter().all(|agent| agent.received.len() == 2));
    for agent in &mut world.agents[1..] {
        agent.received.sort();
        assert_eq!(agent.received, [("lossy".to_owned(), b"at once".to_vec()), ("reliable".to_owned(), large.clone())]);
    }
    assert!(world.agents[0].received.is_empty());

    // To one, an empty one among them.
    for bytes in [&b""[..], b"x"] {
        let message = DataMessage { reliable: true, text: false, payload: world.budget.lend(bytes.to_vec()).unwrap() };
        world.deliver(vec![ParticipantId(2)], message);
    }
    world.until("both come", |world| world.agents[2].received.len() == 4);
    assert_eq!(world.agents[2].received[2..], [("reliable".to_owned(), Vec::new()), ("reliable".to_owned(), b"x".to_vec())]);
    assert_eq!(world.agents[1].received.len(), 2);
}

#[test]
fn what_is_reliable_survives_a_bad_link() {
    let mut world = World::new(2);
    world.connect();
    world.events.clear();
    world.loss = 10;
    for n in 0..50u8 {
        world.agents[0].say("reliable", &[n; 500]);
        for _ in 0..20 {
            world.step();
            world.relay();
        }
    }
    let mut left = 60_000;
    while world.agents[1].received.len() < 50 && left > 0 {
        world.step();
        world.relay();
        left -= 1;
    }
    let numbers: Vec<u8> = world.agents[1].received.iter().map(|(_, bytes)| bytes[0]).collect();
    assert_eq!(numbers, (0..50).collect::<Vec<_>>(), "drops: {:?}", world.drops());
}

#[test]
fn a_receiver_that_is_away_costs_a_bounded_backlog_and_the_others_nothing() {
    let mut world = World::new(2);
    world.connect();
    world.events.clear();
    // Nobody reads of agent 1 from here on: it is only sent to.
    world.loss = 100;
    for n in 0..40u32 {
        let payload = world.budget.lend(vec![n as u8; 60_000]).unwrap();
        world.deliver(vec![ParticipantId(1)], DataMessage { reliable: true, text: false, payload });
        world.step();
    }
    assert!(world.drops().iter().any(|(name, count)| *name == "data_backlog" && *count >= 20), "{:?}", world.drops());
    assert!(world.events.iter().any(|event| matches!(event, SfuEvent::DataLost { participant: ParticipantId(1), .. })));
    assert!(world.budget.has_room(4_000_000), "what was lost is let go of");
}

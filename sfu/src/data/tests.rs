//! Two ends in memory, a link that loses, and a clock of our own.

use std::collections::VecDeque;
use std::time::Duration;

use proptest::prelude::*;

use super::*;

const CLIENT: usize = 0;
const SERVER: usize = 1;

/// Two associations and the link between them: 20 ms each way.
struct Pair {
    now: Instant,
    ends: [Data; 2],
    wire: VecDeque<(Instant, usize, Bytes)>,
    events: [Vec<DataEvent>; 2],
    drops: Vec<DropReason>,
    budget: PayloadBudget,
    random: u64,
    /// Of a hundred.
    loss: u64,
}

impl Pair {
    fn new(config: &DataConfig) -> Self {
        Self::with_spec(config, DataSpec { port: 5000, message_bytes_max: 262_144 })
    }

    #[expect(clippy::disallowed_methods, reason = "a virtual clock has to start somewhere")]
    fn with_spec(config: &DataConfig, spec: DataSpec) -> Self {
        let now = Instant::now();
        // The client's stack: a browser's takes and sends more than ours.
        let theirs = DataConfig { message_bytes_max: 262_144, ..DataConfig::default() };
        let client = Data::new(&theirs, DataSpec { port: LOCAL_PORT, message_bytes_max: config.message_bytes_max }, DtlsRole::Client, now);
        let ends = [client, Data::new(config, spec, DtlsRole::Server, now)];
        let budget = PayloadBudget::new(1 << 22);
        Self { now, ends, wire: VecDeque::new(), events: Default::default(), drops: Vec::new(), budget, random: 7, loss: 0 }
    }

    fn chance(&mut self) -> u64 {
        self.random = self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.random >> 33) % 100
    }

    /// Everything that is due now.
    fn turn(&mut self) {
        while self.wire.front().is_some_and(|(at, ..)| *at <= self.now) {
            let (_, to, packet) = self.wire.pop_front().unwrap();
            if let Err(reason) = self.ends[to].handle_packet(self.now, &packet) {
                self.drops.push(reason);
            }
        }
        for at in [CLIENT, SERVER] {
            self.ends[at].handle_timeout(self.now);
            while let Some(event) = self.ends[at].poll_event(self.now, &self.budget, &mut |reason| self.drops.push(reason)) {
                self.events[at].push(event);
            }
            while let Some(packet) = self.ends[at].poll_packet(self.now) {
                assert!(packet.len() <= 1150 - 64, "{} bytes", packet.len());
                if self.chance() >= self.loss {
                    self.wire.push_back((self.now + Duration::from_millis(20), 1 - at, packet));
                }
            }
        }
    }

    fn pass(&mut self, ms: u64) {
        for _ in 0..ms / 5 {
            self.turn();
            self.now += Duration::from_millis(5);
        }
        self.turn();
    }

    /// The client opens a channel as a browser does.
    fn open(&mut self, stream: u16, open: dcep::Open<'_>) {
        let mut space = [0; 256];
        let len = open.write(&mut space).unwrap();
        let (_, association) = self.ends[CLIENT].association.as_mut().unwrap();
        let mut own = association.open_stream(stream, Ppid::Binary).unwrap();
        own.write_with_ppi(&space[..len], Ppid::Dcep).unwrap();
        let (kind, value) = match open.reliability {
            dcep::Reliability::Reliable => (ReliabilityType::Reliable, 0),
            dcep::Reliability::Retransmits(count) => (ReliabilityType::Rexmit, count),
            dcep::Reliability::Lifetime(ms) => (ReliabilityType::Timed, ms),
        };
        own.set_reliability_params(open.unordered, kind, value).unwrap();
        self.ends[CLIENT].channels.push(Channel { stream, reliable: open.reliability == dcep::Reliability::Reliable, open: true });
        self.ends[CLIENT].told = self.ends[CLIENT].open();
    }

    fn open_both(&mut self) {
        self.pass(200);
        self.open(0, RELIABLE);
        self.open(2, LOSSY);
        self.pass(400);
    }

    fn message(&self, reliable: bool, bytes: &[u8]) -> DataMessage {
        DataMessage { reliable, text: false, payload: self.budget.lend(bytes.to_vec()).unwrap() }
    }

    fn send(&mut self, from: usize, reliable: bool, bytes: &[u8]) -> Result<(), DropReason> {
        let message = self.message(reliable, bytes);
        self.ends[from].send(&message)
    }

    /// Messages that came, as (reliable, bytes).
    fn took(&mut self, at: usize) -> Vec<(bool, Vec<u8>)> {
        let messages = self.events[at].drain(..).filter_map(|event| match event {
            DataEvent::Message(message) => Some((message.reliable, message.payload.bytes().to_vec())),
            DataEvent::Channels(_) | DataEvent::Lost(_) => None,
        });
        messages.collect()
    }
}

const RELIABLE: dcep::Open<'_> =
    dcep::Open { unordered: false, reliability: dcep::Reliability::Reliable, priority: 0, label: "reliable", protocol: "" };
const LOSSY: dcep::Open<'_> =
    dcep::Open { unordered: true, reliability: dcep::Reliability::Retransmits(0), priority: 0, label: "lossy", protocol: "" };

#[test]
fn channels_open_and_messages_go_both_ways() {
    let mut pair = Pair::new(&DataConfig::default());
    assert_eq!(pair.send(SERVER, true, b"early"), Err(DropReason::DataNoChannel));
    pair.open_both();
    let told = [ChannelsOpen { reliable: true, lossy: false }, ChannelsOpen { reliable: true, lossy: true }];
    assert_eq!(pair.events[SERVER].last(), Some(&DataEvent::Channels(told[1])));
    pair.events[SERVER].clear();

    let large: Vec<u8> = (0..60_000u32).map(|n| n as u8).collect();
    pair.send(CLIENT, true, &large).unwrap();
    pair.send(CLIENT, false, b"at once").unwrap();
    pair.send(CLIENT, true, b"").unwrap();
    pair.send(SERVER, true, &large).unwrap();
    pair.send(SERVER, false, b"lossy").unwrap();
    pair.pass(2000);
    let mut to_server = pair.took(SERVER);
    to_server.sort();
    assert_eq!(to_server, [(false, b"at once".to_vec()), (true, Vec::new()), (true, large.clone())]);
    let mut to_client = pair.took(CLIENT);
    to_client.sort();
    assert_eq!(to_client, [(false, b"lossy".to_vec()), (true, large)]);
    assert!(pair.drops.is_empty(), "{:?}", pair.drops);
}

#[test]
fn what_is_reliable_survives_loss_in_order_and_what_is_lossy_is_not_repeated() {
    let mut pair = Pair::new(&DataConfig { messages_burst: 1000, ..DataConfig::default() });
    pair.open_both();
    pair.loss = 20;
    pair.events[SERVER].clear();
    for n in 0..100u8 {
        pair.send(CLIENT, true, &[n; 300]).unwrap();
        pair.send(CLIENT, false, &[n; 300]).unwrap();
        pair.send(SERVER, true, &[n; 300]).unwrap();
        pair.send(SERVER, false, &[n; 300]).unwrap();
        pair.pass(30);
    }
    pair.pass(60_000);
    for at in [CLIENT, SERVER] {
        let took = pair.took(at);
        let numbers = |reliable| took.iter().filter(|it| it.0 == reliable).map(|it| it.1[0]).collect::<Vec<_>>();
        assert_eq!(numbers(true), (0..100).collect::<Vec<_>>(), "nothing is missing, and in order");
        let lossy = numbers(false);
        assert!((50..95).contains(&lossy.len()), "{} of 100 lossy messages", lossy.len());
    }
}

#[test]
fn the_kind_of_a_channel_is_what_its_open_says() {
    let mut pair = Pair::new(&DataConfig::default());
    pair.pass(200);
    for (stream, reliability) in [(4, dcep::Reliability::Lifetime(500)), (6, dcep::Reliability::Retransmits(3))] {
        pair.open(stream, dcep::Open { unordered: stream == 4, reliability, ..LOSSY });
    }
    pair.pass(200);
    assert_eq!(pair.ends[SERVER].open(), ChannelsOpen { reliable: false, lossy: true });
    // What must not be lost does not go where it might be.
    assert_eq!(pair.send(SERVER, true, b"x"), Err(DropReason::DataNoChannel));
    pair.open(8, dcep::Open { unordered: true, ..RELIABLE });
    pair.pass(200);
    assert_eq!(pair.ends[SERVER].open(), ChannelsOpen { reliable: true, lossy: true });
    pair.send(SERVER, true, b"x").unwrap();
    pair.pass(200);
    assert_eq!(pair.took(CLIENT), [(true, b"x".to_vec())]);
}

#[test]
fn channels_whose_numbers_are_agreed_need_no_opening() {
    let mut pair = Pair::new(&DataConfig::default());
    pair.pass(200);
    for (stream, reliable) in [(RELIABLE_STREAM, true), (LOSSY_STREAM, false)] {
        let (_, association) = pair.ends[CLIENT].association.as_mut().unwrap();
        association.open_stream(stream, Ppid::Binary).unwrap();
        pair.ends[CLIENT].channels.push(Channel { stream, reliable, open: true });
        pair.send(CLIENT, reliable, b"first").unwrap();
    }
    pair.pass(200);
    assert_eq!(pair.ends[SERVER].open(), ChannelsOpen { reliable: true, lossy: true });
    let mut took = pair.took(SERVER);
    took.sort();
    assert_eq!(took, [(false, b"first".to_vec()), (true, b"first".to_vec())]);
}

#[test]
fn who_sends_too_fast_waits_and_loses_only_what_is_lossy() {
    let config = DataConfig { messages_per_s: 20, messages_burst: 10, ..DataConfig::default() };
    let mut pair = Pair::new(&config);
    pair.open_both();
    pair.events[SERVER].clear();
    for n in 0..60u8 {
        pair.send(CLIENT, true, &[n; 40]).unwrap();
    }
    pair.pass(1000);
    let first = pair.took(SERVER);
    assert!((20..=35).contains(&first.len()), "{} in the first second", first.len());
    for n in 0..60u8 {
        pair.send(CLIENT, false, &[n; 40]).unwrap();
    }
    pair.pass(5000);
    let rest = pair.took(SERVER);
    let reliable = first.iter().chain(&rest).filter(|it| it.0).map(|it| it.1[0]).collect::<Vec<_>>();
    assert_eq!(reliable, (0..60).collect::<Vec<_>>());
    assert!(pair.drops.iter().filter(|reason| **reason == DropReason::DataRate).count() >= 30, "{:?}", pair.drops);
}

#[test]
fn a_full_budget_holds_the_sender_back_and_loses_nothing() {
    let mut pair = Pair::new(&DataConfig::default());
    pair.open_both();
    pair.events[SERVER].clear();
    pair.budget = PayloadBudget::new(1 << 20);
    let held: Vec<_> = (0..15).map(|_| pair.budget.lend(vec![0; 65_536]).unwrap()).collect();
    let other = PayloadBudget::new(1 << 20);
    let message = DataMessage { reliable: true, text: true, payload: other.lend(b"later".to_vec()).unwrap() };
    pair.ends[CLIENT].send(&message).unwrap();
    pair.pass(1000);
    assert!(pair.took(SERVER).is_empty());
    drop(held);
    pair.pass(100);
    assert_eq!(pair.took(SERVER), [(true, b"later".to_vec())]);
}

#[test]
fn a_receiver_that_takes_nothing_loses_and_is_told() {
    let config = DataConfig { waiting_bytes_max: 100_000, waiting_lossy_bytes_max: 20_000, ..DataConfig::default() };
    let mut pair = Pair::new(&config);
    pair.open_both();
    pair.events[SERVER].clear();
    pair.loss = 100;
    let (mut lossy, mut lost) = (0, 0);
    for _ in 0..50 {
        lossy += u32::from(pair.send(SERVER, false, &[0; 4000]) == Err(DropReason::DataLossyBacklog));
        lost += u32::from(pair.send(SERVER, true, &[0; 4000]) == Err(DropReason::DataBacklog));
        pair.pass(100);
    }
    assert!(lossy >= 40 && lost >= 25, "{lossy} {lost}");
    let told: Vec<u32> =
        pair.events[SERVER].iter().filter_map(|event| if let DataEvent::Lost(n) = event { Some(*n) } else { None }).collect();
    // Once at first, then once a second.
    assert!((3..=6).contains(&told.len()), "{told:?}");
    pair.pass(2000);
    let all = pair.events[SERVER].iter().map(|event| if let DataEvent::Lost(n) = event { *n } else { 0 });
    assert_eq!(all.sum::<u32>(), lost, "each is told once");
}

#[test]
fn bounds_hold_against_a_peer_that_ignores_them() {
    let config = DataConfig { channels_max: 4, ..DataConfig::default() };
    let mut pair = Pair::new(&config);
    pair.pass(200);
    for stream in (0..20).step_by(2) {
        pair.open(stream, RELIABLE);
    }
    pair.pass(1000);
    assert_eq!(pair.ends[SERVER].channels.len(), 4);
    // Longer than the client takes: refused here, and the channel goes on.
    let mut pair = Pair::with_spec(&DataConfig::default(), DataSpec { port: 5000, message_bytes_max: 1000 });
    pair.open_both();
    assert_eq!(pair.send(SERVER, true, &[0; 1001]), Err(DropReason::DataTooLarge));
    pair.send(SERVER, true, &[0; 1000]).unwrap();
    pair.pass(500);
    assert_eq!(pair.took(CLIENT).len(), 1);
}

#[test]
fn malformed_openings_close_their_channel_only() {
    let mut pair = Pair::new(&DataConfig::default());
    pair.open_both();
    let (_, association) = pair.ends[CLIENT].association.as_mut().unwrap();
    association.open_stream(8, Ppid::Binary).unwrap().write_with_ppi(b"\x09what", Ppid::Dcep).unwrap();
    association.open_stream(10, Ppid::Binary).unwrap().write_with_ppi(b"no opening", Ppid::Binary).unwrap();
    pair.pass(500);
    assert_eq!(pair.drops.iter().filter(|reason| **reason == DropReason::DataMalformed).count(), 2, "{:?}", pair.drops);
    pair.send(CLIENT, true, b"still").unwrap();
    pair.pass(200);
    assert_eq!(pair.took(SERVER), [(true, b"still".to_vec())]);
}

#[test]
fn an_association_that_is_over_is_told_and_stays_over() {
    let mut pair = Pair::new(&DataConfig::default());
    pair.open_both();
    pair.ends[CLIENT].association.as_mut().unwrap().1.shutdown().unwrap();
    pair.pass(1000);
    assert_eq!(pair.events[SERVER].last(), Some(&DataEvent::Channels(ChannelsOpen::default())));
    assert_eq!(pair.send(SERVER, true, b"x"), Err(DropReason::DataNoChannel));
    assert!(pair.ends[SERVER].is_ended());
}

#[test]
fn a_closed_channel_is_told() {
    let mut pair = Pair::new(&DataConfig::default());
    pair.open_both();
    pair.ends[CLIENT].association.as_mut().unwrap().1.stream(2).unwrap().close().unwrap();
    pair.pass(1000);
    assert_eq!(pair.events[SERVER].last(), Some(&DataEvent::Channels(ChannelsOpen { reliable: true, lossy: false })));
    // What may be lost now goes where nothing is.
    pair.send(SERVER, false, b"x").unwrap();
    pair.pass(200);
    assert_eq!(pair.took(CLIENT), [(true, b"x".to_vec())]);
}

#[test]
fn a_budget_counts_until_the_last_copy_is_gone() {
    let budget = PayloadBudget::new(4096);
    let first = budget.lend(vec![0; 2000]).unwrap();
    assert!(budget.lend(vec![0; 2000]).is_none());
    let copy = first.clone();
    drop(first);
    assert!(!budget.has_room(2000));
    drop(copy);
    assert!(budget.has_room(2000) && budget.lend(vec![0; 2000]).is_some());
}

#[test]
fn seeds_hold_what_any_input_must() {
    pointsman_wire::corpus::replay("data_channel", fuzz);
}

/// A DATA chunk's kind and body, with what honest and other peers put there.
fn data_chunk() -> impl Strategy<Value = (u8, u8, Vec<u8>)> {
    let stream = prop::sample::select(vec![0u16, 2, 100, 101, 255, 256]);
    let ppid = prop::sample::select(vec![50u32, 51, 53, 56, 57, 9]);
    let open = b"\x03\x81\x00\x00\x00\x00\x00\x00\x00\x01\x00\x00l".to_vec();
    let payload = prop_oneof![Just(open), prop::collection::vec(any::<u8>(), 0..40), prop::collection::vec(any::<u8>(), 900..1000)];
    (0u8..8, 0u32..10, stream, 0u16..4, ppid, payload).prop_map(|(flags, tsn, stream, sequence, ppid, payload)| {
        let mut body = tsn.to_be_bytes().to_vec();
        body.extend_from_slice(&stream.to_be_bytes());
        body.extend_from_slice(&sequence.to_be_bytes());
        body.extend_from_slice(&ppid.to_be_bytes());
        body.extend_from_slice(&payload);
        (0, flags, body)
    })
}

/// Any other chunk: SACK, FORWARD TSN, RE-CONFIG, ABORT, SHUTDOWN and the rest, with numbers that are small and others.
fn other_chunk() -> impl Strategy<Value = (u8, u8, Vec<u8>)> {
    let kind = prop::sample::select(vec![1u8, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 64, 130, 192, 194, 200]);
    let byte = prop_oneof![3 => Just(0u8), 2 => 0u8..20, 1 => any::<u8>()];
    (kind, any::<u8>(), prop::collection::vec(byte, 0..40))
}

proptest! {
    #[test]
    fn any_chunks(packets in prop::collection::vec(prop::collection::vec(prop_oneof![3 => data_chunk(), 1 => other_chunk()], 1..4), 1..20)) {
        let mut input = Vec::new();
        for packet in packets {
            let mut chunks = Vec::new();
            for (kind, flags, body) in packet {
                chunks.extend_from_slice(&[kind, flags]);
                chunks.extend_from_slice(&(body.len() as u16 + 4).to_be_bytes());
                chunks.extend_from_slice(&body);
                chunks.resize(chunks.len().next_multiple_of(4), 0);
            }
            input.extend_from_slice(&(chunks.len() as u16).to_be_bytes());
            input.extend_from_slice(&chunks);
        }
        fuzz(&input);
    }

    #[test]
    fn any_input(input in prop::collection::vec(any::<u8>(), 0..200)) { fuzz(&input); }
}

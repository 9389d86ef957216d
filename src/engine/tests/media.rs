//! Calls through our own relay: the client's peer is our own media address, and no socket lies between.

use std::collections::HashSet;

use pointsman_sfu::DtlsRole;
use pointsman_sfu::{
    Claim, Codec, CodecSpec, Event as MediaEvent, ExtensionIds, Fingerprint, Front, IceCredentials, Kind, ParticipantSpec, PublicationId,
    ReceiverSpec, RoomId, SenderSpec, Source, SsrcSpec,
};
use pointsman_wire::channel_data::ChannelData;
use pointsman_wire::net::Protocol;

use super::*;
use crate::load::front::Answer;
use crate::load::peer::{Identity, Peer, Plain, State};

/// Behind 1:1 NAT: nothing on this host has the address, so what arrives did not go through the kernel.
const PUBLIC: &str = "203.0.113.7";
const CHANNEL: u16 = 0x4001;
const PAYLOAD_TYPE: u8 = 111;
const OWN: (&str, &str) = ("ours", "a password of twenty-two");
const THEIRS: (&str, &str) = ("them", "another password of 22");

/// A participant of the engine that reaches it through its relay alone.
struct Caller {
    turn: TurnClient,
    peer: Peer,
    packets: Vec<Vec<u8>>,
    sequence: u16,
}

/// Keys and addresses of one engine.
struct Lab {
    engine: Engine,
    events: Events,
    identity: Arc<DtlsIdentity>,
    callers: Identity,
    media: SocketAddr,
}

impl Lab {
    fn new(edit: impl FnOnce(&mut EngineConfig)) -> Self {
        // The address must be known before the engine starts.
        let listen = UdpSocket::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let media = SocketAddr::new(PUBLIC.parse().unwrap(), listen.port());
        let mut config = config(&[&listen.to_string()]);
        config.turn.peers.allowed.clear();
        config.turn.media = vec![listen, media];
        config.turn.external = vec![pointsman_turn::config::External { public: media.ip(), private: None }];
        edit(&mut config);
        let identity = identity();
        let (engine, events) = Engine::start(config, Arc::clone(&identity)).unwrap();
        Self { engine, events, identity, callers: Identity::new().unwrap(), media }
    }

    fn spec(&self, id: u64) -> ParticipantSpec {
        let credentials = |(ufrag, pwd): (&str, &str)| IceCredentials { ufrag: format!("{ufrag}{id}"), pwd: pwd.to_owned() };
        ParticipantSpec {
            id: ParticipantId(id),
            room: RoomId(1),
            claim: Claim::new(),
            front: Front::Call,
            local: credentials(OWN),
            remote: credentials(THEIRS),
            dtls_role: DtlsRole::Server,
            fingerprints: vec![Fingerprint(self.callers.fingerprint)],
            receivers: Vec::new(),
            senders: Vec::new(),
            data: None,
        }
    }

    fn expect(&self, spec: ParticipantSpec) {
        self.engine.mailboxes().send_to_all(Command::Participant(Box::new(spec))).unwrap();
    }

    fn peer(&self, id: u64) -> Peer {
        let answer = Answer {
            ufrag: format!("{}{id}", OWN.0),
            pwd: OWN.1.to_owned(),
            fingerprint: self.identity.fingerprint().0,
            candidates: Vec::new(),
        };
        Peer::new(Instant::now(), &self.callers, &answer, &format!("{}{id}", THEIRS.0), THEIRS.1, id)
    }

    /// A caller whose channel leads to our media.
    fn caller(&self, id: u64) -> Caller {
        let mut turn = TurnClient::new(Ipv4Addr::LOCALHOST.into(), self.engine.addresses()[0]);
        let relayed = turn.allocate();
        assert_eq!(relayed.ip(), self.media.ip());
        turn.bind_channel(CHANNEL, self.media);
        turn.socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        Caller { turn, peer: self.peer(id), packets: Vec::new(), sequence: 0 }
    }

    fn sum(&self, what: impl Fn(&Snapshot) -> u64) -> u64 {
        self.engine.snapshots().read().iter().map(what).sum()
    }
}

impl Caller {
    /// Does what is due and reads what came.
    fn pump(&mut self) {
        let Self { turn, peer, packets, .. } = self;
        let socket = &turn.socket;
        let mut send = |bytes: &[u8]| send_through(socket, bytes);
        let now = Instant::now();
        if peer.timeout() <= now {
            peer.handle_timeout(now, &mut send);
        }
        let mut bytes = [0; 2048];
        while let Ok(len) = socket.recv(&mut bytes) {
            let data = ChannelData::parse(&bytes[..len]).expect("the relay sends ChannelData");
            assert_eq!(data.number, CHANNEL);
            let mut datagram = data.data.to_vec();
            if let Some(Plain::Rtp(packet)) = peer.handle_datagram(Instant::now(), &mut datagram, &mut send) {
                packets.push(packet.to_vec());
            }
        }
    }

    fn send_media(&mut self, ssrc: u32, body: &[u8]) {
        self.sequence += 1;
        let mut out = [0; 1500];
        out[..2].copy_from_slice(&[0x80, PAYLOAD_TYPE]);
        out[2..4].copy_from_slice(&self.sequence.to_be_bytes());
        out[4..8].copy_from_slice(&(u32::from(self.sequence) * 960).to_be_bytes());
        out[8..12].copy_from_slice(&ssrc.to_be_bytes());
        let len = self.peer.protect_rtp(0, &mut out, 12, body).expect("keys");
        send_through(&self.turn.socket, &out[..len]);
    }
}

fn send_through(socket: &UdpSocket, bytes: &[u8]) {
    let mut message = channel_data::header(CHANNEL, bytes.len()).unwrap().to_vec();
    message.extend(bytes);
    socket.send(&message).unwrap();
}

fn opus() -> CodecSpec {
    let (payload_type, clock_rate) = (PAYLOAD_TYPE, 48_000);
    CodecSpec {
        payload_type,
        codec: Codec::Opus,
        clock_rate,
        rtx: None,
        nack: false,
        pli: false,
        fir: false,
        transport_cc: false,
        ccfb: false,
        remb: false,
    }
}

/// Sound that a publisher sends with SSRC 1111.
fn receiver(publication: PublicationId) -> ReceiverSpec {
    ReceiverSpec {
        publication,
        mid: "0".to_owned(),
        kind: Kind::Audio,
        codecs: vec![opus()],
        extensions: ExtensionIds::default(),
        ssrcs: vec![SsrcSpec { ssrc: 1111, rtx: None }],
        rids: Vec::new(),
        muted: false,
    }
}

fn sender(source: Source) -> SenderSpec {
    SenderSpec {
        mid: "0".to_owned(),
        kind: Kind::Audio,
        ssrc: 2222,
        rtx_ssrc: 2223,
        cname: "c".to_owned(),
        codecs: vec![opus()],
        extensions: ExtensionIds::default(),
        source: Some(source),
        preferences: pointsman_sfu::Preferences::default(),
    }
}

fn wait_until(what: &str, mut done: impl FnMut() -> bool) {
    let until = Instant::now() + Duration::from_secs(20);
    while !done() {
        assert!(Instant::now() < until, "{what} takes too long");
    }
}

#[test]
fn a_call_through_the_relay_needs_no_relay_socket() {
    let lab = Lab::new(|_| {});
    let (mut publisher, mut subscriber) = (lab.spec(1), lab.spec(2));
    let publication = PublicationId(7);
    publisher.receivers.push(receiver(publication));
    subscriber.senders.push(sender(Source { publication, publisher: publisher.id }));
    lab.expect(publisher);
    lab.expect(subscriber);
    let (mut publisher, mut subscriber) = (lab.caller(1), lab.caller(2));
    wait_until("connecting", || {
        publisher.pump();
        subscriber.pump();
        for caller in [&publisher, &subscriber] {
            assert!(!matches!(caller.peer.state(), State::Failed(_)), "{:?}", caller.peer.state());
        }
        [&publisher, &subscriber].iter().all(|caller| caller.peer.state() == State::Connected)
    });

    let bodies: Vec<Vec<u8>> = (0..200).map(|number: u8| vec![number; 100]).collect();
    for burst in bodies.chunks(20) {
        for body in burst {
            publisher.send_media(1111, body);
        }
        publisher.pump();
        subscriber.pump();
    }
    wait_until("media", || {
        publisher.pump();
        subscriber.pump();
        subscriber.packets.len() >= bodies.len()
    });
    for (packet, body) in subscriber.packets.iter().zip(&bodies) {
        assert!(packet.ends_with(body));
    }
    // The counters are a second old at most.
    wait_until("counting", || {
        thread::sleep(Duration::from_millis(20));
        lab.sum(|shard| shard.turn.packets_to_clients_total) >= 200 && lab.sum(|shard| shard.turn.allocations) == 2
    });
    assert_eq!(lab.sum(|shard| shard.engine.relay_sockets), 0);
    assert!(lab.sum(|shard| shard.engine.packets_out) >= 200);
    lab.engine.stop();
}

/// A client that was first seen on another path may live on another shard than its relay: what is sent to it goes there and back.
#[test]
fn a_relay_on_another_shard_is_reached_through_the_mesh() {
    let mut lab = Lab::new(|_| {});
    let mut id = 10;
    let mut answered = HashSet::new();
    wait_until("meeting on two shards", || {
        id += 1;
        lab.expect(lab.spec(id));
        let mut caller = lab.caller(id);
        // Whichever shard gets this one has the participant.
        let direct = UdpSocket::bind("127.0.0.1:0").unwrap();
        lab.peer(id).handle_timeout(Instant::now(), &mut |check| {
            direct.send_to(check, lab.engine.addresses()[0]).unwrap();
        });
        direct.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        direct.recv(&mut [0; 200]).expect("an answer to the direct check");
        wait_until("an answer through the relay", || {
            caller.pump();
            caller.peer.state() != State::Checking
        });
        answered.insert(id);
        thread::sleep(Duration::from_millis(100));
        lab.sum(|shard| shard.sfu.strays) > 0
    });
    assert!(!answered.is_empty());
    let mut claimed = 0;
    while let Ok(Event::Media { event, .. }) = lab.events.try_recv() {
        claimed += usize::from(matches!(event, MediaEvent::Claimed { .. }));
    }
    assert_eq!(claimed, answered.len(), "each participant lives on one shard");
    assert_eq!(lab.sum(|shard| shard.engine.relay_sockets), 0);
    lab.engine.stop();
}

/// RFC 8016: a client moves, and with it perhaps its relay to another shard. What it sends counts as its own at once, and what is sent to it
/// finds it: nobody waits for the next connectivity check, which is five seconds away.
#[test]
fn media_follows_a_relay_to_another_shard() {
    let lab = Lab::new(|config| config.turn.mobility = true);
    let (mut publisher, mut subscriber) = (lab.spec(21), lab.spec(22));
    let publication = PublicationId(9);
    publisher.receivers.push(receiver(publication));
    subscriber.senders.push(sender(Source { publication, publisher: publisher.id }));
    lab.expect(publisher);
    lab.expect(subscriber);
    let mut callers = [21, 22].map(|id| {
        let mut turn = TurnClient::new(Ipv4Addr::LOCALHOST.into(), lab.engine.addresses()[0]);
        let (_, ticket) = turn.allocate_with_ticket();
        turn.bind_channel(CHANNEL, lab.media);
        turn.socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        (Caller { turn, peer: lab.peer(id), packets: Vec::new(), sequence: 0 }, ticket)
    });
    wait_until("connecting", || {
        callers.iter_mut().for_each(|(caller, _)| caller.pump());
        callers.iter().all(|(caller, _)| caller.peer.state() == State::Connected)
    });
    let mut moved = 0;
    for round in 0..12u8 {
        for (caller, ticket) in &mut callers {
            *ticket = caller.turn.move_with(ticket);
            caller.turn.socket.set_read_timeout(Some(Duration::from_millis(5))).unwrap();
        }
        let (begun, body) = (Instant::now(), [round; 100]);
        // The news goes from shard to shard; what overtakes it is lost.
        while !callers[1].0.packets.iter().any(|packet| packet.ends_with(&body)) {
            callers[0].0.send_media(1111, &body);
            callers.iter_mut().for_each(|(caller, _)| caller.pump());
            assert!(begun.elapsed() < Duration::from_secs(2), "round {round} waits for a check");
        }
        moved += 1;
    }
    assert_eq!((moved, lab.sum(|shard| shard.engine.relay_sockets)), (12, 0));
    lab.engine.stop();
}

#[test]
fn what_is_no_media_gets_no_further_and_the_path_names_the_relay() {
    let lab = Lab::new(|config| config.shards = 1);
    lab.expect(lab.spec(5));
    let mut caller = lab.caller(5);
    for junk in [&[0u8; 20][..], &[1; 1], &[200; 1200], &[22; 600], &[0x40, 0, 0, 0], &[]] {
        send_through(&caller.turn.socket, junk);
    }
    wait_until("connecting", || {
        caller.pump();
        caller.peer.state() == State::Connected
    });
    let mut events = lab.events;
    let mut path = None;
    while let Ok(event) = events.try_recv() {
        if let Event::Media { event: MediaEvent::Connected { path: to, .. }, .. } = event {
            path = Some(to);
        }
    }
    let path = path.expect("an event");
    // The public address that the client names is the one that we listen on.
    assert_eq!((path.protocol, path.local), (Protocol::Relay(ShardId(0)), lab.engine.addresses()[0]));
    assert_eq!(path.remote.ip(), lab.media.ip());
    lab.engine.stop();
}

//! All clients of a run, on one thread: sockets, timers, and who sends what when.

use std::io::ErrorKind;
use std::time::{Duration, Instant, SystemTime};

use hdrhistogram::Histogram;
use mio::{Events, Interest, Poll, Token};
use pointsman_wire::clock::NtpTime;
use pointsman_wire::rtcp;

use super::flow::{AUDIO_INTERVAL, Player, Publisher, Rate, Sending, latencies};
use super::front::{Front, Offer, Resource, Ssrcs};
use super::peer::{Identity, Peer, Plain, State};
use super::report::Tally;
use super::way::{Relay, Way};

const REPORT_INTERVAL: Duration = Duration::from_secs(1);
const DATAGRAM_LEN_MAX: usize = 2048;
/// Datagrams read from one socket in a row: more than its buffer holds, since the event comes once for all of them.
const RECEIVE_MAX: usize = 16_384;

pub struct Fleet {
    front: Front,
    /// All clients go through it.
    relay: Option<Relay>,
    identity: Identity,
    rate: Rate,
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    start: Instant,
    latency: Histogram<u64>,
    measured_since: Instant,
    sent_before: (u64, u64, u64),
}

struct Client {
    peer: Peer,
    way: Way,
    resource: Resource,
    role: Role,
    next_report: Instant,
}

enum Role {
    Publisher { flow: Box<Publisher>, next_audio: Instant, next_video: Instant },
    Player { flow: Player, ssrc: u32 },
}

impl Fleet {
    pub fn new(front: Front, relay: Option<Relay>, rate: Rate) -> Result<Self, String> {
        let now = Instant::now();
        Ok(Self {
            front,
            relay,
            identity: Identity::new()?,
            rate,
            poll: Poll::new().map_err(|error| format!("epoll: {error}"))?,
            events: Events::with_capacity(1024),
            clients: Vec::new(),
            start: now,
            latency: latencies()?,
            measured_since: now,
            sent_before: (0, 0, 0),
        })
    }

    pub fn front(&self) -> &Front {
        &self.front
    }

    pub fn publish(&mut self, url: &str, token: Option<&str>) -> Result<(), String> {
        let n = self.clients.len() as u32;
        let ssrcs = Ssrcs { audio: 1000 + 10 * n, video: 1001 + 10 * n, video_rtx: 1002 + 10 * n };
        let now = Instant::now();
        let flow = Box::new(Publisher::new(ssrcs, self.rate));
        // Publishers start apart from each other: real ones are not in step.
        let apart = flow.frame_interval() * (n % 16) / 16;
        self.join(url, token, Some(ssrcs), 1, Role::Publisher { flow, next_audio: now + apart, next_video: now + apart })
    }

    /// `pairs` of a video and an audio m-line.
    pub fn play(&mut self, url: &str, token: Option<&str>, pairs: usize) -> Result<(), String> {
        let ssrc = 1 + self.clients.len() as u32;
        self.join(url, token, None, pairs, Role::Player { flow: Player::new(), ssrc })?;
        self.turn(Instant::now())
    }

    fn join(&mut self, url: &str, token: Option<&str>, publish: Option<Ssrcs>, pairs: usize, role: Role) -> Result<(), String> {
        let n = self.clients.len();
        let (ufrag, pwd) = (format!("load{n:04}"), format!("load{n:04}-password-of-a-client"));
        let offer = Offer { ufrag: &ufrag, pwd: &pwd, fingerprint: self.identity.fingerprint, publish, pairs };
        let resource = self.front.post(url, token, &offer)?;
        let candidates = &resource.answer.candidates;
        let mut way = self.relay.as_ref().map_or_else(|| Way::straight(candidates), |relay| Way::through(relay, candidates))?;
        self.poll.registry().register(&mut way.socket, Token(n), Interest::READABLE).map_err(|error| format!("epoll: {error}"))?;
        let now = Instant::now();
        let seed = (u64::from(std::process::id()) << 32) + n as u64;
        let peer = Peer::new(now, &self.identity, &resource.answer, &ufrag, &pwd, seed);
        self.clients.push(Client { peer, way, resource, role, next_report: now + REPORT_INTERVAL });
        Ok(())
    }

    /// Goes on until every client is connected. `Err` names the first that failed.
    pub fn wait_connected(&mut self) -> Result<(), String> {
        while self.clients.iter().any(|client| client.peer.state() != State::Connected) {
            self.turn(Instant::now())?;
        }
        Ok(())
    }

    pub fn drive(&mut self, time: Duration) -> Result<(), String> {
        let end = Instant::now() + time;
        while Instant::now() < end {
            self.turn(end)?;
        }
        Ok(())
    }

    /// Sends what is due and receives what came, waiting at most until `end`.
    fn turn(&mut self, end: Instant) -> Result<(), String> {
        let now = Instant::now();
        let mut next = end.min(now + Duration::from_millis(100));
        for (n, client) in self.clients.iter_mut().enumerate() {
            client.handle_timeout(now, self.start);
            if let State::Failed(reason) = client.peer.state() {
                return Err(format!("client {n}: {reason}"));
            }
            next = next.min(client.timeout());
        }
        match self.poll.poll(&mut self.events, Some(next.saturating_duration_since(Instant::now()))) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(format!("epoll: {error}")),
        }
        for event in &self.events {
            if let Some(client) = self.clients.get_mut(event.token().0) {
                client.receive(self.start, &mut self.latency);
            }
        }
        Ok(())
    }

    /// Starts the measurement.
    pub fn reset(&mut self) {
        self.latency.reset();
        self.measured_since = Instant::now();
        self.sent_before = self.sent();
        for client in &mut self.clients {
            if let Role::Player { flow, .. } = &mut client.role {
                flow.reset();
            }
        }
    }

    fn sent(&self) -> (u64, u64, u64) {
        self.clients.iter().fold((0, 0, 0), |(packets, bytes, keyframes), client| match &client.role {
            Role::Publisher { flow, .. } => (packets + flow.packets, bytes + flow.bytes, keyframes + flow.keyframes),
            Role::Player { .. } => (packets, bytes, keyframes),
        })
    }

    pub fn tally(&self) -> Tally {
        let players: Vec<&Player> = self
            .clients
            .iter()
            .filter_map(|client| match &client.role {
                Role::Player { flow, .. } => Some(flow),
                Role::Publisher { .. } => None,
            })
            .collect();
        let (sent, before) = (self.sent(), self.sent_before);
        Tally {
            elapsed: self.measured_since.elapsed(),
            publishers: self.clients.len() - players.len(),
            players: players.len(),
            players_without_media: players.iter().filter(|player| player.packets == 0).count(),
            sent: sent.0 - before.0,
            sent_bytes: sent.1 - before.1,
            keyframes: sent.2 - before.2,
            received: players.iter().map(|player| player.packets).sum(),
            received_bytes: players.iter().map(|player| player.bytes).sum(),
            lost: players.iter().map(|player| player.lost()).sum(),
            foreign: players.iter().map(|player| player.foreign).sum(),
            profile: self
                .clients
                .iter()
                .find_map(|client| client.peer.profile())
                .map_or_else(String::new, |profile| format!("{profile:?}")),
            latency: self.latency.clone(),
        }
    }

    /// Ends every resource.
    pub fn leave(&self) {
        for client in &self.clients {
            self.front.delete(&client.resource);
        }
    }
}

impl Client {
    fn timeout(&self) -> Instant {
        let own = match &self.role {
            Role::Publisher { next_audio, next_video, .. } if self.peer.state() == State::Connected => (*next_audio).min(*next_video),
            Role::Publisher { .. } | Role::Player { .. } => self.next_report,
        };
        own.min(self.next_report).min(self.peer.timeout())
    }

    fn handle_timeout(&mut self, now: Instant, start: Instant) {
        let Self { peer, way, role, .. } = self;
        // A full send buffer loses the datagram, as a network would.
        peer.handle_timeout(now, &mut |bytes| way.send(bytes));
        if peer.state() != State::Connected {
            self.next_report = now + REPORT_INTERVAL;
            return;
        }
        if let Role::Publisher { flow, next_audio, next_video } = role {
            let mut seal = |sending: Sending<'_>| {
                let Some(len) = peer.protect_rtp(sending.roc, sending.out, sending.header_len, sending.payload) else { return 0 };
                way.send(&sending.out[..len]);
                len
            };
            let sent_ns = start.elapsed().as_nanos() as u64;
            if now >= *next_audio {
                flow.send_audio(sent_ns, &mut seal);
                *next_audio = (*next_audio + AUDIO_INTERVAL).max(now - AUDIO_INTERVAL);
            }
            if now >= *next_video {
                flow.send_video(sent_ns, &mut seal);
                *next_video = (*next_video + flow.frame_interval()).max(now - flow.frame_interval());
            }
        }
        if now >= self.next_report {
            self.next_report = now + REPORT_INTERVAL;
            self.report();
        }
    }

    /// Sender reports of what is published; a receiver report of a player, empty, as it has nothing to ask for.
    fn report(&mut self) {
        let ntp = NtpTime::from_unix(SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default());
        let mut plain = [0; 128];
        match &self.role {
            Role::Publisher { flow, .. } => {
                for (ssrc, rtp_timestamp, packets, octets) in flow.sent() {
                    let mut compound = rtcp::Writer::new(&mut plain);
                    let info = rtcp::SenderInfo { ntp, rtp_timestamp, packets, octets };
                    let written = compound.sender_report(ssrc, &info, &[]).and_then(|()| compound.cname(ssrc, "load"));
                    let len = written.map_or(0, |()| compound.len());
                    send_rtcp(&mut self.peer, &self.way, &plain[..len]);
                }
            }
            Role::Player { ssrc, .. } => {
                let mut compound = rtcp::Writer::new(&mut plain);
                let written = compound.receiver_report(*ssrc, &[]).and_then(|()| compound.cname(*ssrc, "load"));
                let len = written.map_or(0, |()| compound.len());
                send_rtcp(&mut self.peer, &self.way, &plain[..len]);
            }
        }
    }

    fn receive(&mut self, start: Instant, latency: &mut Histogram<u64>) {
        let mut buffer = [0; DATAGRAM_LEN_MAX];
        let Self { peer, way, role, .. } = self;
        let now = Instant::now();
        let now_ns = now.duration_since(start).as_nanos() as u64;
        for _ in 0..RECEIVE_MAX {
            let Some(range) = way.receive(&mut buffer) else { return };
            let len = range.len();
            let plain = peer.handle_datagram(now, &mut buffer[range], &mut |bytes| way.send(bytes));
            match (plain, &mut *role) {
                (Some(Plain::Rtp(packet)), Role::Player { flow, .. }) => flow.receive(now_ns, packet, len, latency),
                (Some(Plain::Rtcp(packet)), Role::Publisher { flow, .. }) if asks_for_keyframe(packet) => flow.want_keyframe(),
                _ => {}
            }
        }
    }
}

fn asks_for_keyframe(compound: &[u8]) -> bool {
    rtcp::packets(compound).flatten().any(|packet| matches!(packet, rtcp::Packet::Pli { .. } | rtcp::Packet::Fir(_)))
}

fn send_rtcp(peer: &mut Peer, way: &Way, plain: &[u8]) {
    let mut out = [0; 256];
    if let Some(len) = peer.protect_rtcp(plain, &mut out) {
        way.send(&out[..len]);
    }
}

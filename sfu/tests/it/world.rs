//! Shards, clients and the links between them, in memory and on a virtual clock. Everything goes the way that it goes in
//! production: checks, DTLS, SRTP.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pointsman_sfu::srtp::SrtpError;
use pointsman_sfu::transport::{DtlsIdentity, Transport, TransportConfig};
use pointsman_sfu::{
    Claim, Codec, CodecSpec, Command, Config, DtlsRole, Egress, Event, ExtensionIds, Front, IceCredentials, Kind, MeshMessage,
    ParticipantId, ParticipantSpec, Preferences, PublicationId, ReceiverSpec, RoomId, SenderSpec, Sfu, Source,
};
use pointsman_wire::clock::Now;
use pointsman_wire::net::{Datagram, FiveTuple, ShardId};
use pointsman_wire::rtcp::Writer as RtcpWriter;
use pointsman_wire::rtp;
use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{self, Class, Key, Method, TransactionId};

/// What one shard or client sent.
#[derive(Default)]
pub struct Out {
    pub arena: Vec<u8>,
    used: usize,
    to: Option<FiveTuple>,
    pub datagrams: Vec<(FiveTuple, std::ops::Range<usize>)>,
    pub mesh: Vec<(ShardId, MeshMessage)>,
    pub mesh_is_full: bool,
    /// What waits before every path that begins with a connection.
    pub backlog: usize,
}

impl Out {
    const SLOT: usize = 1500 + 64;

    pub fn new(capacity: usize) -> Self {
        Self { arena: vec![0; capacity], datagrams: Vec::with_capacity(4096), mesh: Vec::with_capacity(4096), ..Self::default() }
    }

    pub fn take(&mut self) -> Vec<(FiveTuple, Vec<u8>)> {
        let taken = self.datagrams.drain(..).map(|(to, range)| (to, self.arena[range].to_vec())).collect();
        self.used = 0;
        taken
    }

    /// Forgets everything without touching the heap.
    pub fn reset(&mut self) {
        self.datagrams.clear();
        self.mesh.clear();
        self.used = 0;
    }
}

impl Egress for Out {
    fn slot(&mut self, to: &FiveTuple) -> Option<&mut [u8]> {
        self.to = Some(*to);
        self.arena.get_mut(self.used..self.used + Self::SLOT)
    }

    fn commit(&mut self, len: usize) {
        self.datagrams.push((self.to.expect("a slot was taken"), self.used..self.used + len));
        self.used += len;
    }

    fn backlog(&mut self, _: &FiveTuple) -> usize {
        self.backlog
    }

    fn to_shard(&mut self, shard: ShardId, message: MeshMessage) -> bool {
        if !self.mesh_is_full {
            self.mesh.push((shard, message));
        }
        !self.mesh_is_full
    }
}

pub struct World {
    pub now: Now,
    pub shards: Vec<Sfu>,
    pub outs: Vec<Out>,
    pub clients: Vec<Client>,
    pub events: Vec<Event>,
    server: Arc<DtlsIdentity>,
}

/// A model of a browser: one path, one shard that its packets hit.
pub struct Client {
    pub id: ParticipantId,
    pub path: FiveTuple,
    /// Where the kernel puts its packets.
    pub shard: usize,
    pub transport: Transport,
    pub out: Out,
    pub spec: ParticipantSpec,
    /// Plain RTP packets that came.
    pub rtp: Vec<Vec<u8>>,
    /// Plain RTCP compounds that came.
    pub rtcp: Vec<Vec<u8>>,
    pub to_server: VecDeque<Vec<u8>>,
}

#[expect(clippy::disallowed_methods, reason = "a virtual clock has to start somewhere")]
pub fn start() -> Now {
    Now { mono: Instant::now(), unix: Duration::from_secs(1_800_000_000) }
}

/// Clients here give no feedback, so what the way is believed to carry at first is what it always carries: enough.
pub fn default_config() -> Config {
    let mut config = Config { pool_slots_max: 8192, ..Config::default() };
    config.bandwidth.estimate_start_bps = 50_000_000;
    config
}

impl World {
    pub fn new(shards: u16) -> Self {
        Self::with_config(shards, default_config())
    }

    pub fn with_config(shards: u16, config: Config) -> Self {
        let now = start();
        let server = Arc::new(DtlsIdentity::generate().unwrap());
        let sfu = |shard| Sfu::new(config.clone(), ShardId(shard), shards, Arc::clone(&server), 7 + u64::from(shard), now);
        Self {
            now,
            shards: (0..shards).map(sfu).collect(),
            outs: (0..shards).map(|_| Out::new(8 << 20)).collect(),
            clients: Vec::new(),
            events: Vec::new(),
            server,
        }
    }

    /// A client whose packets hit `shard`, known to every shard but not connected yet.
    pub fn join(&mut self, shard: usize, receivers: Vec<ReceiverSpec>, senders: Vec<SenderSpec>) -> usize {
        let index = self.clients.len();
        let own = DtlsIdentity::generate().unwrap();
        let remote = SocketAddr::new("198.51.100.7".parse().unwrap(), 10_000 + index as u16);
        let spec = ParticipantSpec {
            id: ParticipantId(100 + index as u64),
            room: RoomId(1),
            claim: Claim::new(),
            front: Front::Call,
            local: credentials(&format!("server{index}")),
            remote: credentials(&format!("client{index}")),
            dtls_role: DtlsRole::Server,
            fingerprints: vec![own.fingerprint()],
            receivers,
            senders,
            data: None,
        };
        // The model runs our own transport the other way round.
        let mirrored = ParticipantSpec {
            local: spec.remote.clone(),
            remote: spec.local.clone(),
            dtls_role: DtlsRole::Client,
            fingerprints: vec![self.server.fingerprint()],
            ..spec.clone()
        };
        let transport = Transport::new(&mirrored, &Arc::new(own), &TransportConfig::default(), index as u64, self.now);
        let path = FiveTuple::udp("192.0.2.1:3478".parse().unwrap(), remote);
        self.clients.push(Client {
            id: spec.id,
            path,
            shard,
            transport,
            out: Out::new(1 << 20),
            spec: spec.clone(),
            rtp: Vec::new(),
            rtcp: Vec::new(),
            to_server: VecDeque::new(),
        });
        self.tell(index);
        index
    }

    /// Sends a client's description, as it stands, to every shard.
    pub fn tell(&mut self, client: usize) {
        let spec = self.clients[client].spec.clone();
        for (shard, out) in self.shards.iter_mut().zip(&mut self.outs) {
            shard.handle_command(self.now, Command::Participant(Box::new(spec.clone())), out);
        }
    }

    pub fn remove(&mut self, client: usize) {
        let id = self.clients[client].id;
        for (shard, out) in self.shards.iter_mut().zip(&mut self.outs) {
            shard.handle_command(self.now, Command::Remove(id), out);
        }
    }

    /// Checks and DTLS until media can flow.
    pub fn connect(&mut self, client: usize) {
        let check = self.clients[client].check();
        self.clients[client].to_server.push_back(check);
        self.settle();
        let now = self.now;
        self.clients[client].start_dtls(now);
        for _ in 0..100 {
            self.settle();
            if self.clients[client].transport.is_connected() && self.is_connected(client) {
                return;
            }
            self.pass(Duration::from_millis(10));
        }
        panic!("client {client} did not connect: {:?}", self.events);
    }

    /// One more check, as clients send them all the time.
    pub fn check(&mut self, client: usize) {
        let check = self.clients[client].check();
        self.clients[client].to_server.push_back(check);
        self.settle();
    }

    pub fn is_connected(&self, client: usize) -> bool {
        let id = self.clients[client].id;
        self.events.iter().any(|event| matches!(event, Event::Connected { participant, .. } if *participant == id))
    }

    /// Carries everything that is under way to its end, without time passing.
    pub fn settle(&mut self) {
        for _ in 0..100 {
            if !self.turn() {
                return;
            }
        }
        panic!("packets go round in circles");
    }

    /// One turn of every shard. `false` when nothing moved.
    pub fn turn(&mut self) -> bool {
        let mut moved = false;
        for at in 0..self.shards.len() {
            let mut arrived = Vec::new();
            for client in self.clients.iter_mut().filter(|client| client.shard == at) {
                arrived.extend(client.to_server.drain(..).map(|bytes| (client.path, bytes)));
            }
            let batch = arrived.iter().map(|(path, bytes)| Datagram { path: *path, bytes });
            moved |= !arrived.is_empty();
            self.shards[at].handle_batch(self.now, batch, &mut self.outs[at]);
            self.shards[at].flush(self.now, &mut self.outs[at]);
        }
        for at in 0..self.shards.len() {
            let mut touched = Vec::new();
            for (to, message) in self.outs[at].mesh.drain(..).collect::<Vec<_>>() {
                let to = usize::from(to.0);
                self.shards[to].handle_mesh(self.now, message, &mut self.outs[to]);
                touched.push(to);
            }
            for to in touched {
                self.shards[to].flush(self.now, &mut self.outs[to]);
                moved = true;
            }
        }
        for at in 0..self.shards.len() {
            while let Some(event) = self.shards[at].poll_event() {
                self.events.push(event);
            }
            for (to, bytes) in self.outs[at].take() {
                moved = true;
                let client = self.clients.iter_mut().find(|client| client.path == to).expect("someone has this path");
                client.arrive(self.now, &bytes);
            }
        }
        moved
    }

    /// Time passes; timers fire.
    pub fn pass(&mut self, by: Duration) {
        let end = self.now.mono + by;
        loop {
            let due = self.shards.iter().filter_map(Sfu::poll_timeout).min().filter(|due| *due <= end);
            let next = due.unwrap_or(end).max(self.now.mono);
            self.now = Now { mono: next, unix: self.now.unix + (next - self.now.mono) };
            for (shard, out) in self.shards.iter_mut().zip(&mut self.outs) {
                shard.handle_timeout(self.now, out);
            }
            for client in &mut self.clients {
                client.handle_timeout(self.now);
            }
            self.settle();
            if due.is_none() {
                return;
            }
            // A timer that is due at once again must not stop the clock.
            self.now = Now { mono: self.now.mono + Duration::from_micros(100), unix: self.now.unix + Duration::from_micros(100) };
        }
    }

    /// Sends plain RTP packets of a client and carries them on.
    pub fn send(&mut self, client: usize, packets: &[Packet]) {
        for packet in packets {
            self.clients[client].send(packet);
        }
        self.settle();
    }
}

impl Client {
    /// One connectivity check, as clients send them all the time.
    pub fn check(&self) -> Vec<u8> {
        check(&self.spec.local, &self.spec.remote)
    }

    /// Our own transport starts when it is checked itself.
    fn start_dtls(&mut self, now: Now) {
        let bytes = check(&self.spec.remote, &self.spec.local);
        let message = stun::Message::parse(&bytes).unwrap();
        self.transport.handle_check(now, self.path, &message, &mut self.out).unwrap();
        self.drain();
    }

    pub fn handle_timeout(&mut self, now: Now) {
        let _ = self.transport.handle_timeout(now, &mut self.out);
        self.drain();
    }

    /// STUN answers to the check that started it are nobody's.
    fn drain(&mut self) {
        let datagrams = self.out.take();
        self.to_server.extend(datagrams.into_iter().map(|(_, bytes)| bytes).filter(|bytes| bytes[0] > 3));
    }

    fn arrive(&mut self, now: Now, bytes: &[u8]) {
        let mut plain = [0; 2048];
        match self.open(now, bytes, &mut plain).expect("authentic media that never came before") {
            Opened::Rtp(len) => self.rtp.push(plain[..len].to_vec()),
            Opened::Rtcp(len) => self.rtcp.push(plain[..len].to_vec()),
            Opened::Done => {}
        }
    }

    /// Decrypts a datagram of the server's into `plain`; what is not media is dealt with.
    pub fn open(&mut self, now: Now, bytes: &[u8], plain: &mut [u8]) -> Result<Opened, SrtpError> {
        match bytes {
            [0..=3, ..] => Ok(Opened::Done),
            [20..=63, ..] => {
                let _ = self.transport.handle_dtls(now, self.path, bytes, &mut self.out);
                self.drain();
                Ok(Opened::Done)
            }
            [_, 192..=223, ..] => self.transport.srtp_in().unwrap().unprotect_rtcp(bytes, plain).map(Opened::Rtcp),
            _ => {
                let header = rtp::Header::parse_protected(bytes).unwrap();
                let inbound = self.transport.srtp_in().unwrap();
                let (len, _) = inbound.unprotect_rtp(bytes, header.header_len, header.ssrc, header.sequence, plain)?;
                Ok(Opened::Rtp(len))
            }
        }
    }

    pub fn send(&mut self, packet: &Packet) {
        let sealed = self.seal(packet);
        self.to_server.push_back(sealed);
    }

    pub fn seal(&mut self, packet: &Packet) -> Vec<u8> {
        let mut space = [0; 2048];
        let elements: Vec<(u8, &[u8])> = packet.elements.iter().map(|(id, value)| (*id, &value[..])).collect();
        let fields = rtp::Fields {
            marker: packet.marker,
            payload_type: packet.payload_type,
            sequence: packet.sequence as u16,
            timestamp: packet.timestamp,
            ssrc: packet.ssrc,
            csrcs: &[],
        };
        let header_len = rtp::write_header(&fields, &elements, &mut space).unwrap();
        if packet.padding > 0 {
            space[0] |= 0x20;
        }
        let outbound = self.transport.srtp_out().expect("connected");
        let roc = (packet.sequence >> 16) as u32;
        let len = outbound.protect_rtp(roc, &mut space, header_len, &[], &packet.payload, packet.padding).unwrap();
        space[..len].to_vec()
    }

    pub fn seal_rtcp(&mut self, compound: &[u8]) -> Vec<u8> {
        let mut sealed = [0; 1300];
        let len = self.transport.srtp_out().unwrap().protect_rtcp(compound, &mut sealed).unwrap();
        sealed[..len].to_vec()
    }

    pub fn send_rtcp(&mut self, write: impl FnOnce(&mut RtcpWriter<'_>)) {
        let mut plain = [0; 1200];
        let mut writer = RtcpWriter::new(&mut plain);
        write(&mut writer);
        let len = writer.len();
        let sealed = self.seal_rtcp(&plain[..len]);
        self.to_server.push_back(sealed);
    }

    /// Takes what came on one SSRC, parsed.
    pub fn take(&mut self, ssrc: u32) -> Vec<Got> {
        let (taken, rest) = std::mem::take(&mut self.rtp).into_iter().map(Got::new).partition(|got| got.header.ssrc == ssrc);
        self.rtp = Vec::from_iter((rest as Vec<Got>).into_iter().map(|got| got.bytes));
        taken
    }
}

/// What a datagram was.
pub enum Opened {
    /// So many bytes of a plain RTP packet.
    Rtp(usize),
    /// So many bytes of a plain RTCP compound.
    Rtcp(usize),
    /// Nothing that concerns media.
    Done,
}

/// A received packet.
pub struct Got {
    pub header: rtp::Header,
    pub bytes: Vec<u8>,
}

impl Got {
    fn new(bytes: Vec<u8>) -> Self {
        Self { header: rtp::Header::parse(&bytes).expect("well-formed RTP"), bytes }
    }

    pub fn payload(&self) -> &[u8] {
        self.header.payload(&self.bytes)
    }

    pub fn picture(&self) -> (u16, u8) {
        let descriptor = pointsman_wire::payload::vp8::Descriptor::parse(self.payload()).unwrap();
        (descriptor.picture_id.unwrap().value, descriptor.tl0_index.unwrap().value as u8)
    }
}

/// A packet that a client sends.
#[derive(Clone, Debug)]
pub struct Packet {
    pub ssrc: u32,
    pub payload_type: u8,
    /// Roll-overs counted.
    pub sequence: u64,
    pub timestamp: u32,
    pub marker: bool,
    pub elements: Vec<(u8, Vec<u8>)>,
    pub payload: Vec<u8>,
    pub padding: u8,
}

/// A stream that a model publisher sends.
#[derive(Clone, Debug)]
pub struct Stream {
    pub ssrc: u32,
    pub sequence: u64,
    pub timestamp: u32,
    pub picture: u16,
    pub tl0: u8,
    pub elements: Vec<(u8, Vec<u8>)>,
}

impl Stream {
    pub fn new(ssrc: u32, first: u64) -> Self {
        Self {
            ssrc,
            sequence: first,
            timestamp: ssrc.wrapping_mul(77_777),
            picture: ssrc as u16 & 0x7FFF,
            tl0: ssrc as u8,
            elements: Vec::new(),
        }
    }

    pub fn with_rid(mut self, mid: &str, rid: &str) -> Self {
        self.elements = vec![(MID, mid.into()), (RID, rid.into())];
        self
    }

    /// A VP8 frame in `packets` packets, 33 ms after the one before.
    pub fn frame(&mut self, key: bool, packets: usize) -> Vec<Packet> {
        self.timestamp = self.timestamp.wrapping_add(3000);
        self.picture = (self.picture + 1) & 0x7FFF;
        self.tl0 = self.tl0.wrapping_add(1);
        let frame = (0..packets).map(|at| {
            let first = at == 0;
            let [high, low] = (0x8000 | self.picture).to_be_bytes();
            let mut payload = vec![0x80 | if first { 0x10 } else { 0 }, 0xC0, high, low, self.tl0, if key { 0 } else { 1 }];
            // As a browser cuts a frame: sizes one byte apart.
            payload.resize(1000 + at % 2, at as u8);
            let packet = Packet {
                ssrc: self.ssrc,
                payload_type: VP8,
                sequence: self.sequence,
                timestamp: self.timestamp,
                marker: at + 1 == packets,
                elements: self.elements.clone(),
                payload,
                padding: 0,
            };
            self.sequence += 1;
            packet
        });
        frame.collect()
    }

    /// A keyframe that says how large its picture is (RFC 6386 section 9.1).
    pub fn keyframe_of(&mut self, packets: usize, width: u16, height: u16) -> Vec<Packet> {
        let mut frame = self.frame(true, packets);
        let ([w0, w1], [h0, h1]) = (width.to_le_bytes(), height.to_le_bytes());
        frame[0].payload[5..15].copy_from_slice(&[0, 0, 0, 0x9D, 0x01, 0x2A, w0, w1, h0, h1]);
        frame
    }

    /// 20 ms of sound.
    pub fn sound(&mut self) -> Packet {
        self.timestamp = self.timestamp.wrapping_add(960);
        self.sequence += 1;
        Packet {
            ssrc: self.ssrc,
            payload_type: OPUS,
            sequence: self.sequence - 1,
            timestamp: self.timestamp,
            marker: false,
            elements: vec![(LEVEL, vec![0x85])],
            payload: vec![0x78; 80],
            padding: 0,
        }
    }
}

pub const VP8: u8 = 96;
pub const RTX: u8 = 97;
pub const OPUS: u8 = 111;
pub const RED: u8 = 63;
/// Payload types of subscribers differ from publishers'.
pub const VP8_DOWN: u8 = 100;
pub const RTX_DOWN: u8 = 101;
pub const OPUS_DOWN: u8 = 109;
pub const RED_DOWN: u8 = 110;
pub const MID: u8 = 4;
pub const RID: u8 = 10;
pub const REPAIRED: u8 = 11;
pub const LEVEL: u8 = 1;
pub const TWCC: u8 = 3;
pub const ALLOCATION: u8 = 12;
pub const MID_DOWN: u8 = 9;
pub const LEVEL_DOWN: u8 = 2;
pub const TWCC_DOWN: u8 = 5;

fn credentials(name: &str) -> IceCredentials {
    IceCredentials { ufrag: name.to_owned(), pwd: format!("{name}password0123456789abcdef") }
}

fn check(local: &IceCredentials, remote: &IceCredentials) -> Vec<u8> {
    let mut space = [0; 512];
    let mut writer = stun::Writer::new(&mut space, Class::Request, Method::BINDING, TransactionId(*b"transaction!"));
    writer.attribute(Type::USERNAME, format!("{}:{}", local.ufrag, remote.ufrag).as_bytes());
    writer.u32(Type::PRIORITY, 1_845_501_695).u64(Type::ICE_CONTROLLING, 1).attribute(Type::USE_CANDIDATE, &[]);
    let len = writer.integrity(&Key::new(local.pwd.as_bytes())).fingerprint().finish().unwrap();
    space[..len].to_vec()
}

pub fn codec(codec: Codec, payload_type: u8, rtx: Option<u8>) -> CodecSpec {
    let video = codec.kind() == Kind::Video;
    let clock_rate = if video { 90_000 } else { 48_000 };
    CodecSpec { payload_type, codec, clock_rate, rtx, nack: video, pli: video, fir: false, transport_cc: true, ccfb: false, remb: false }
}

pub fn video_in(publication: u64, mid: &str, rids: &[&str]) -> ReceiverSpec {
    ReceiverSpec {
        publication: PublicationId(publication),
        mid: mid.to_owned(),
        kind: Kind::Video,
        codecs: vec![codec(Codec::Vp8, VP8, Some(RTX))],
        extensions: ExtensionIds {
            mid: Some(MID),
            rid: Some(RID),
            repaired_rid: Some(REPAIRED),
            transport_cc: Some(TWCC),
            video_layers_allocation: Some(ALLOCATION),
            ..ExtensionIds::default()
        },
        ssrcs: Vec::new(),
        rids: rids.iter().map(|&rid| rid.to_owned()).collect(),
        muted: false,
    }
}

pub fn audio_in(publication: u64, mid: &str) -> ReceiverSpec {
    ReceiverSpec {
        kind: Kind::Audio,
        codecs: vec![codec(Codec::Opus, OPUS, None)],
        extensions: ExtensionIds { mid: Some(MID), audio_level: Some(LEVEL), ..ExtensionIds::default() },
        ..video_in(publication, mid, &[])
    }
}

pub fn video_out(mid: &str, ssrc: u32, source: Option<(u64, ParticipantId)>) -> SenderSpec {
    SenderSpec {
        mid: mid.to_owned(),
        kind: Kind::Video,
        ssrc,
        rtx_ssrc: ssrc + 1,
        cname: "pointsman".to_owned(),
        codecs: vec![codec(Codec::Vp8, VP8_DOWN, Some(RTX_DOWN))],
        extensions: ExtensionIds { mid: Some(MID_DOWN), transport_cc: Some(TWCC_DOWN), ..ExtensionIds::default() },
        source: source.map(|(publication, publisher)| Source { publication: PublicationId(publication), publisher }),
        preferences: Preferences::default(),
    }
}

pub fn audio_out(mid: &str, ssrc: u32, source: Option<(u64, ParticipantId)>) -> SenderSpec {
    SenderSpec {
        kind: Kind::Audio,
        codecs: vec![codec(Codec::Opus, OPUS_DOWN, None)],
        extensions: ExtensionIds { mid: Some(MID_DOWN), audio_level: Some(LEVEL_DOWN), ..ExtensionIds::default() },
        ..video_out(mid, ssrc, source)
    }
}

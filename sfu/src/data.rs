//! Data channels of one participant (RFC 8831): one SCTP association over its DTLS, and the channels in it.
//!
//! ```text
//!              Gate        library                         DCEP (RFC 8832)
//! DTLS data ──► limits ──► Association ── streams ──► Channel ──► poll_message ──► control
//!           ◄───────────────  packets  ◄── streams ◄── Channel ◄── send       ◄── control
//! ```
//! Only the client opens channels, in band or with one of the two numbers that are agreed beforehand. A channel's label is the client's own
//! affair: what counts is whether it loses nothing. A message goes out on the first channel of the wanted kind.
//!
//! What is not read stays in the association, whose window closes: a client that sends too fast is held back by its own stack.

mod config;
#[cfg(any(test, feature = "fuzz"))]
mod fuzz;
mod gate;
mod pace;
mod payload;
#[cfg(test)]
mod tests;

use std::collections::VecDeque;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use pointsman_wire::dcep::{self, Message};
use sctp_proto::{
    Association, AssociationHandle, ClientConfig, DatagramEvent, Endpoint, EndpointConfig, Event, PayloadProtocolIdentifier as Ppid,
    ReliabilityType, ServerConfig, StreamEvent, TransportConfig,
};

pub use config::DataConfig;
#[cfg(any(test, feature = "fuzz"))]
pub use fuzz::fuzz;
use gate::Gate;
use pace::Pace;
pub use payload::{ChannelsOpen, DataMessage, Delivery, Payload, PayloadBudget};

use crate::{DropReason, DtlsRole};

/// Stream numbers of channels that a client need not announce (`negotiated: true`): it and we know what they are.
pub const RELIABLE_STREAM: u16 = 100;
pub const LOSSY_STREAM: u16 = 101;

/// What the client's description says of SCTP (RFC 8841).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DataSpec {
    /// `a=sctp-port`.
    pub port: u16,
    /// `a=max-message-size`: the longest message that it takes.
    pub message_bytes_max: u32,
}

/// SCTP over DTLS has no addresses (RFC 8261 section 3); the library wants one.
const PEER: SocketAddr = SocketAddr::new(std::net::IpAddr::V4(Ipv4Addr::LOCALHOST), 5000);

/// Bytes of an SCTP packet, so that it fits a DTLS datagram of 1,150 with the longest record header and tag of either library. The SCTP
/// library counts neither padding nor the last chunk's header: some room is left for both.
const PACKET_LEN_MAX: u32 = 1150 - 64 - 48;
/// Common header and DATA chunk header.
const HEADERS_LEN: u32 = 12 + 16;

/// Retransmission timeouts in milliseconds. RFC 9260's are for the whole of the internet of its time; browsers use about these.
const RTO_INITIAL_MS: u64 = 500;
const RTO_MIN_MS: u64 = 200;
const RTO_MAX_MS: u64 = 10_000;

/// One participant's association and channels.
pub struct Data {
    config: DataConfig,
    spec: DataSpec,
    endpoint: Endpoint,
    association: Option<(AssociationHandle, Association)>,
    /// It ended: nothing more comes of it.
    ended: bool,
    gate: Gate,
    pace: Pace,
    channels: Vec<Channel>,
    /// Where reading goes on, so that channels take turns.
    next: usize,
    outbox: VecDeque<Bytes>,
    /// What control was told last.
    told: ChannelsOpen,
    /// Reliable messages that found no room since the last report.
    lost: u32,
    lost_reported: Option<Instant>,
    /// When reading goes on.
    read_at: Option<Instant>,
    /// When sending goes on.
    send_at: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Channel {
    stream: u16,
    reliable: bool,
    /// Its kind is agreed.
    open: bool,
}

/// What happened on a participant's channels.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DataEvent {
    Channels(ChannelsOpen),
    Message(DataMessage),
    /// So many reliable messages were lost: the client did not take what came before.
    Lost(u32),
}

impl Data {
    /// As DTLS client we begin the association, too; otherwise the client does. (Browsers begin it in either role.)
    pub fn new(config: &DataConfig, spec: DataSpec, role: DtlsRole, now: Instant) -> Self {
        let transport = TransportConfig::default()
            .with_max_receive_buffer_size(config.receive_bytes_max)
            .with_max_receive_message_size(config.message_bytes_max)
            .with_max_send_message_size(peer_max(&spec))
            .with_max_num_inbound_streams(config.streams_max)
            .with_max_num_outbound_streams(config.streams_max)
            // ICE knows when the client is gone; until then it is tried.
            .with_max_init_retransmits(None)
            .with_max_data_retransmits(None)
            .with_rto_initial_ms(RTO_INITIAL_MS)
            .with_rto_min_ms(RTO_MIN_MS)
            .with_rto_max_ms(RTO_MAX_MS)
            .with_local_port(LOCAL_PORT)
            .with_remote_port(spec.port);
        let transport = Arc::new(transport);
        let mut endpoint_config = EndpointConfig::new();
        endpoint_config.max_payload_size(PACKET_LEN_MAX - HEADERS_LEN);
        let mut server = ServerConfig::new();
        server.transport = Arc::clone(&transport);
        let mut endpoint = Endpoint::new(Arc::new(endpoint_config), Some(Arc::new(server)));
        let mut association = None;
        if role == DtlsRole::Client {
            let mut client = ClientConfig::new();
            client.transport = transport;
            association = endpoint.connect(client, PEER).ok();
            endpoint.reject_new_associations();
        }
        Self {
            config: config.clone(),
            spec,
            endpoint,
            association,
            ended: false,
            gate: Gate::new(config),
            pace: Pace::new(config, now),
            channels: Vec::new(),
            next: 0,
            outbox: VecDeque::new(),
            told: ChannelsOpen::default(),
            lost: 0,
            lost_reported: None,
            read_at: None,
            send_at: None,
        }
    }

    /// The client's description has changed.
    pub fn update(&mut self, spec: DataSpec) {
        self.spec = spec;
        if let Some((_, association)) = &mut self.association {
            association.set_max_send_message_size(peer_max(&spec));
        }
    }

    /// Takes an SCTP packet. Answers come with [`Data::poll_packet`].
    pub fn handle_packet(&mut self, now: Instant, packet: &[u8]) -> Result<(), DropReason> {
        if self.ended {
            return Err(DropReason::DataNoChannel);
        }
        self.gate.admit(packet, self.association.is_none())?;
        let event = self.endpoint.handle(now, PEER, None, None, Bytes::copy_from_slice(packet));
        match (event, &mut self.association) {
            (Some((_, DatagramEvent::AssociationEvent(event))), Some((_, association))) => association.handle_event(event),
            (Some((handle, DatagramEvent::NewAssociation(association))), free @ None) => {
                *free = Some((handle, association));
                // One is all that there is (RFC 8831 section 6.1).
                self.endpoint.reject_new_associations();
            }
            (Some(_), _) | (None, _) => return Err(DropReason::DataMalformed),
        }
        self.take_events();
        Ok(())
    }

    pub fn handle_timeout(&mut self, now: Instant) {
        if let Some((_, association)) = &mut self.association
            && association.poll_timeout().is_some_and(|due| due <= now)
        {
            association.handle_timeout(now);
            self.take_events();
        }
        self.read_at.take_if(|at| *at <= now);
        self.send_at.take_if(|at| *at <= now);
    }

    /// When something is due.
    pub fn poll_timeout(&self) -> Option<Instant> {
        let association = self.association.as_ref().and_then(|(_, association)| association.poll_timeout());
        let report = self.lost_reported.filter(|_| self.lost > 0).map(|last| last + self.config.lost_interval);
        [association, self.read_at, self.send_at, report].into_iter().flatten().min()
    }

    /// Sends no more in this turn, of packets that wait.
    pub fn go_on_at(&mut self, at: Instant) {
        self.send_at = Some(at).filter(|_| !self.outbox.is_empty());
    }

    /// There is nothing more to carry it.
    pub fn stop(&mut self) {
        self.association = None;
        self.outbox.clear();
        self.end();
    }

    /// Whether it ended.
    pub const fn is_ended(&self) -> bool {
        self.ended
    }

    /// The next packet to send. Ask until there is none, or go on in the next turn.
    pub fn poll_packet(&mut self, now: Instant) -> Option<Bytes> {
        if self.outbox.is_empty()
            && let Some((_, association)) = &mut self.association
            && let Some(transmit) = association.poll_transmit(now)
            && let sctp_proto::Payload::RawEncode(packets) = transmit.payload
        {
            // At most what the association has in flight, which `waiting_bytes_max` bounds.
            self.outbox.extend(packets);
        }
        let packet = self.outbox.pop_front()?;
        self.gate.note_sent(&packet);
        Some(packet)
    }

    /// What happened. Reads no further than `budget` and the participant's pace allow; what stays makes the client wait.
    pub fn poll_event(&mut self, now: Instant, budget: &PayloadBudget, count: &mut impl FnMut(DropReason)) -> Option<DataEvent> {
        let open = self.open();
        if open != self.told {
            self.told = open;
            return Some(DataEvent::Channels(open));
        }
        if self.lost > 0 && self.lost_reported.is_none_or(|last| now.saturating_duration_since(last) >= self.config.lost_interval) {
            self.lost_reported = Some(now);
            return Some(DataEvent::Lost(std::mem::take(&mut self.lost)));
        }
        if self.read_at.is_some_and(|at| at > now) {
            return None;
        }
        if !budget.has_room(self.config.message_bytes_max as usize) {
            self.read_at = Some(now + RETRY);
            return None;
        }
        self.read(now, budget, count)
    }

    /// Sends a message on the first channel that suits it.
    pub fn send(&mut self, message: &DataMessage) -> Result<(), DropReason> {
        let bytes = message.payload.bytes();
        let suits = |reliable: bool| self.channels.iter().find(|channel| channel.open && channel.reliable == reliable);
        // What may be lost may also go where nothing is; not the other way round.
        let channel = suits(message.reliable).or_else(|| suits(true));
        let stream = channel.ok_or(DropReason::DataNoChannel)?.stream;
        if bytes.len() > peer_max(&self.spec) as usize {
            return Err(DropReason::DataTooLarge);
        }
        let waiting = self.waiting_bytes();
        if message.reliable && waiting + bytes.len() > self.config.waiting_bytes_max {
            self.lost = self.lost.saturating_add(1);
            return Err(DropReason::DataBacklog);
        }
        if !message.reliable && waiting + bytes.len() > self.config.waiting_lossy_bytes_max {
            return Err(DropReason::DataLossyBacklog);
        }
        // RFC 8831 section 6.6: an empty message is one byte under a name of its own.
        let (bytes, ppid) = match (message.text, bytes) {
            (true, []) => (&[0][..], Ppid::StringEmpty),
            (false, []) => (&[0][..], Ppid::BinaryEmpty),
            (true, bytes) => (bytes, Ppid::String),
            (false, bytes) => (bytes, Ppid::Binary),
        };
        let (_, association) = self.association.as_mut().ok_or(DropReason::DataNoChannel)?;
        let written = association.stream(stream).and_then(|mut stream| stream.write_with_ppi(bytes, ppid));
        written.map(|_| ()).map_err(|_| DropReason::DataNoChannel)
    }

    /// Opens a stream that both ends know of, as a client does. `false`: the association does not stand yet.
    #[cfg(test)]
    pub fn open_known(&mut self, stream: u16) -> bool {
        let Some((_, association)) = &mut self.association else { return false };
        if association.is_handshaking() {
            return false;
        }
        if association.open_stream(stream, Ppid::Binary).is_ok() {
            self.channels.push(Channel { stream, reliable: stream == RELIABLE_STREAM, open: true });
        }
        true
    }

    /// Bytes that wait for the client, sent ones that it has not confirmed among them.
    fn waiting_bytes(&mut self) -> usize {
        let Some((_, association)) = &mut self.association else { return 0 };
        let waiting = |channel: &Channel| association.stream(channel.stream).and_then(|it| it.buffered_amount()).unwrap_or(0);
        self.channels.iter().map(waiting).sum()
    }

    fn open(&self) -> ChannelsOpen {
        let any = |reliable| self.channels.iter().any(|channel| channel.open && channel.reliable == reliable);
        ChannelsOpen { reliable: any(true), lossy: any(false) }
    }

    /// What the library has to say.
    fn take_events(&mut self) {
        while let Some(event) = self.association.as_mut().and_then(|(_, association)| association.poll()) {
            match event {
                Event::Stream(StreamEvent::Opened { id } | StreamEvent::Readable { id }) => self.note_stream(id),
                Event::Stream(StreamEvent::Finished { id }) => self.channels.retain(|channel| channel.stream != id),
                Event::AssociationLost { .. } | Event::HandshakeFailed { .. } => self.end(),
                // Of the rest nothing concerns us; the library's enums may grow.
                _ => {}
            }
        }
        let Some((handle, association)) = &mut self.association else { return };
        // The library keeps a list of streams that nobody has accepted; ours come as events.
        while association.accept_stream().is_some() {}
        while let Some(event) = association.poll_endpoint_event() {
            self.endpoint.handle_event(*handle, event);
        }
    }

    fn end(&mut self) {
        // What the library still wants to say, an ABORT perhaps, goes out with what waits.
        self.channels.clear();
        self.ended = true;
    }

    /// Something came on a stream.
    fn note_stream(&mut self, stream: u16) {
        if self.channels.iter().any(|channel| channel.stream == stream) {
            return;
        }
        if self.channels.len() >= self.config.channels_max {
            self.close(stream);
            return;
        }
        let (open, reliable) = match stream {
            RELIABLE_STREAM => (true, true),
            LOSSY_STREAM => (self.make_lossy(stream), false),
            _ => (false, true),
        };
        self.channels.push(Channel { stream, reliable, open });
    }

    fn make_lossy(&mut self, stream: u16) -> bool {
        let Some((_, association)) = &mut self.association else { return false };
        association.stream(stream).and_then(|mut stream| stream.set_reliability_params(true, ReliabilityType::Rexmit, 0)).is_ok()
    }

    fn close(&mut self, stream: u16) {
        self.channels.retain(|channel| channel.stream != stream);
        if let Some((_, association)) = &mut self.association
            && let Ok(mut stream) = association.stream(stream)
        {
            // Without an established association there is nobody to tell.
            let _ = stream.close();
        }
    }

    /// The next message, channels in turn.
    fn read(&mut self, now: Instant, budget: &PayloadBudget, count: &mut impl FnMut(DropReason)) -> Option<DataEvent> {
        let mut left = self.channels.len();
        while left > 0 {
            left -= 1;
            self.next = (self.next + 1) % self.channels.len().max(1);
            let &channel = self.channels.get(self.next)?;
            let pace = self.pace.ready(now);
            if channel.reliable
                && channel.open
                && let Err(at) = pace
            {
                self.read_at = Some(self.read_at.map_or(at, |other| other.min(at)));
                continue;
            }
            let Some((ppid, bytes)) = self.read_stream(channel.stream) else { continue };
            // Something was there: there may be more.
            left = self.channels.len();
            if ppid == Ppid::Dcep {
                if self.take_dcep(channel.stream, &bytes).is_err() {
                    count(DropReason::DataMalformed);
                    self.close(channel.stream);
                    left = self.channels.len();
                }
                continue;
            }
            let text = matches!(ppid, Ppid::String | Ppid::StringEmpty);
            let refused = if !channel.open || ppid == Ppid::Unknown || (text && std::str::from_utf8(&bytes).is_err()) {
                Some(DropReason::DataMalformed)
            } else if pace.is_err() {
                Some(DropReason::DataRate)
            } else {
                None
            };
            if let Some(reason) = refused {
                count(reason);
                continue;
            }
            self.pace.take(now, bytes.len());
            let empty = matches!(ppid, Ppid::StringEmpty | Ppid::BinaryEmpty);
            let Some(payload) = budget.lend(if empty { Vec::new() } else { bytes }) else {
                count(DropReason::EventsMax);
                continue;
            };
            return Some(DataEvent::Message(DataMessage { reliable: channel.reliable, text, payload }));
        }
        None
    }

    fn read_stream(&mut self, stream: u16) -> Option<(Ppid, Vec<u8>)> {
        let (_, association) = self.association.as_mut()?;
        let chunks = association.stream(stream).ok()?.read().ok()??;
        let mut bytes = vec![0; chunks.len()];
        let len = chunks.read(&mut bytes).ok()?;
        bytes.truncate(len);
        Some((chunks.ppi, bytes))
    }

    /// An open is answered and decides how the channel is written to (RFC 8832 section 6); an ack would be of an open of ours, which there is
    /// none of.
    fn take_dcep(&mut self, stream: u16, bytes: &[u8]) -> Result<(), dcep::Error> {
        let Message::Open(open) = Message::parse(bytes)? else { return Ok(()) };
        let channel = self.channels.iter_mut().find(|channel| channel.stream == stream);
        let (Some(channel), Some((_, association))) = (channel, self.association.as_mut()) else { return Ok(()) };
        let (kind, value) = match open.reliability {
            dcep::Reliability::Reliable => (ReliabilityType::Reliable, 0),
            dcep::Reliability::Retransmits(count) => (ReliabilityType::Rexmit, count),
            dcep::Reliability::Lifetime(ms) => (ReliabilityType::Timed, ms),
        };
        // The ack first: it must not be lost, whatever the channel's messages may be.
        let result = association.stream(stream).and_then(|mut stream| {
            stream.write_with_ppi(&dcep::ACK, Ppid::Dcep)?;
            stream.set_reliability_params(open.unordered, kind, value)
        });
        channel.reliable = kind == ReliabilityType::Reliable;
        channel.open = result.is_ok();
        Ok(())
    }
}

/// When reading is tried again after control had no room.
const RETRY: std::time::Duration = std::time::Duration::from_millis(20);

/// Ours, as our SDP says.
pub const LOCAL_PORT: u16 = 5000;

/// RFC 8841 section 6.1: 0 means that any size is taken.
fn peer_max(spec: &DataSpec) -> u32 {
    if spec.message_bytes_max == 0 { u32::MAX } else { spec.message_bytes_max }
}

impl std::fmt::Debug for Data {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Data").field("channels", &self.channels).field("ended", &self.ended).finish_non_exhaustive()
    }
}

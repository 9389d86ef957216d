//! What a publisher sends and what a player makes of it.
//!
//! Every packet ends with a mark and the time at which it was sent, behind what a server may rewrite:
//!
//! ```text
//! RTP header │ VP8 descriptor (or nothing) │ filler │ MARK (4) │ sent, ns since the start (8)
//! ```

use std::collections::HashMap;
use std::time::Duration;

use hdrhistogram::Histogram;
use pointsman_wire::rtp::{self, Fields, Header, SequenceUnwrapper};

use super::front::{AUDIO_PAYLOAD_TYPE, Ssrcs, TRANSPORT_CC_ID, VIDEO_PAYLOAD_TYPE};

const MARK: [u8; 4] = *b"PMLT";
const TRAILER_LEN: usize = 12;
/// Longest RTP payload, so that the packet on the wire is about 1,200 bytes.
const PAYLOAD_LEN_MAX: usize = 1160;
const AUDIO_PAYLOAD_LEN: usize = 120;
pub const AUDIO_INTERVAL: Duration = Duration::from_millis(20);
const AUDIO_CLOCK: u32 = 48_000;
const VIDEO_CLOCK: u32 = 90_000;
/// X, then I and a 15-bit picture id (RFC 7741 section 4.2), without the S bit.
const DESCRIPTOR_LEN: usize = 4;

/// How much a publisher sends.
#[derive(Clone, Copy, Debug)]
pub struct Rate {
    pub bitrate_bps: u32,
    pub frames_per_second: u32,
}

/// The packets of one publisher, one audio and one video stream.
pub struct Publisher {
    ssrcs: Ssrcs,
    rate: Rate,
    audio: Stream,
    video: Stream,
    transport_sequence: u16,
    picture_id: u16,
    keyframe_wanted: bool,
    payload: [u8; PAYLOAD_LEN_MAX],
    pub packets: u64,
    pub bytes: u64,
    pub keyframes: u64,
}

struct Stream {
    /// Sequence number with roll-overs counted.
    sequence: u32,
    timestamp: u32,
    packets: u32,
    octets: u32,
}

impl Stream {
    fn new() -> Self {
        Self { sequence: 1, timestamp: 0, packets: 0, octets: 0 }
    }
}

/// A packet to be sealed: header in `out[..header_len]`, payload beside it.
pub struct Sending<'a> {
    pub roc: u32,
    pub out: &'a mut [u8],
    pub header_len: usize,
    pub payload: &'a [u8],
}

impl Publisher {
    pub fn new(ssrcs: Ssrcs, rate: Rate) -> Self {
        Self {
            ssrcs,
            rate,
            audio: Stream::new(),
            video: Stream::new(),
            transport_sequence: 0,
            picture_id: 0,
            keyframe_wanted: true,
            payload: [0x5A; PAYLOAD_LEN_MAX],
            packets: 0,
            bytes: 0,
            keyframes: 0,
        }
    }

    pub fn frame_interval(&self) -> Duration {
        Duration::from_secs(1) / self.rate.frames_per_second
    }

    pub fn want_keyframe(&mut self) {
        self.keyframe_wanted = true;
    }

    pub fn send_audio(&mut self, sent_ns: u64, seal: &mut impl FnMut(Sending<'_>) -> usize) {
        self.audio.timestamp = self.audio.timestamp.wrapping_add(AUDIO_CLOCK / 50);
        stamp(&mut self.payload[..AUDIO_PAYLOAD_LEN], sent_ns);
        self.packet(true, true, AUDIO_PAYLOAD_LEN, seal);
    }

    /// One frame, its packets back to back and, as browsers cut them, equal in size or one byte apart.
    pub fn send_video(&mut self, sent_ns: u64, seal: &mut impl FnMut(Sending<'_>) -> usize) {
        self.video.timestamp = self.video.timestamp.wrapping_add(VIDEO_CLOCK / self.rate.frames_per_second);
        self.picture_id = (self.picture_id + 1) & 0x7FFF;
        let keyframe = std::mem::take(&mut self.keyframe_wanted);
        self.keyframes += u64::from(keyframe);
        let frame_len = (self.rate.bitrate_bps / 8 / self.rate.frames_per_second).max(64) as usize;
        let body_max = PAYLOAD_LEN_MAX - DESCRIPTOR_LEN;
        let count = frame_len.div_ceil(body_max);
        for n in 0..count {
            let body = frame_len * (n + 1) / count - frame_len * n / count;
            let len = DESCRIPTOR_LEN + body.max(TRAILER_LEN + 10);
            let [high, low] = (0x8000 | self.picture_id).to_be_bytes();
            self.payload[..DESCRIPTOR_LEN].copy_from_slice(&[if n == 0 { 0x90 } else { 0x80 }, 0x80, high, low]);
            if n == 0 {
                // RFC 6386 section 9.1: the P bit is 0 in a keyframe, whose start code and size follow.
                let tag: [u8; 10] = if keyframe { [0x10, 0, 0, 0x9D, 0x01, 0x2A, 0x40, 0x01, 0xB4, 0x00] } else { [0x11; 10] };
                self.payload[DESCRIPTOR_LEN..DESCRIPTOR_LEN + 10].copy_from_slice(&tag);
            }
            stamp(&mut self.payload[..len], sent_ns);
            self.packet(false, n + 1 == count, len, seal);
        }
    }

    fn packet(&mut self, audio: bool, marker: bool, len: usize, seal: &mut impl FnMut(Sending<'_>) -> usize) {
        let (stream, ssrc, payload_type) = if audio {
            (&mut self.audio, self.ssrcs.audio, AUDIO_PAYLOAD_TYPE)
        } else {
            (&mut self.video, self.ssrcs.video, VIDEO_PAYLOAD_TYPE)
        };
        let fields = Fields { marker, payload_type, sequence: stream.sequence as u16, timestamp: stream.timestamp, ssrc, csrcs: &[] };
        let mut out = [0; PAYLOAD_LEN_MAX + 128];
        let transport_sequence = self.transport_sequence.to_be_bytes();
        let Some(header_len) = rtp::write_header(&fields, &[(TRANSPORT_CC_ID, &transport_sequence)], &mut out) else { return };
        self.bytes += seal(Sending { roc: stream.sequence >> 16, out: &mut out, header_len, payload: &self.payload[..len] }) as u64;
        stream.sequence += 1;
        stream.packets = stream.packets.wrapping_add(1);
        stream.octets = stream.octets.wrapping_add(len as u32);
        self.transport_sequence = self.transport_sequence.wrapping_add(1);
        self.packets += 1;
    }

    /// (SSRC, RTP timestamp, packets, octets) of both streams, for sender reports.
    pub fn sent(&self) -> [(u32, u32, u32, u32); 2] {
        [(self.ssrcs.audio, &self.audio), (self.ssrcs.video, &self.video)]
            .map(|(ssrc, stream)| (ssrc, stream.timestamp, stream.packets, stream.octets))
    }
}

fn stamp(payload: &mut [u8], sent_ns: u64) {
    if let Some(at) = payload.len().checked_sub(TRAILER_LEN) {
        payload[at..at + 4].copy_from_slice(&MARK);
        payload[at + 4..].copy_from_slice(&sent_ns.to_be_bytes());
    }
}

/// When a plain packet says that it was sent; `None` for what is no packet of ours, such as padding.
fn sent_ns(packet: &[u8]) -> Option<(Header, u64)> {
    let header = Header::parse(packet).ok()?;
    let payload = header.payload(packet);
    let trailer = payload.get(payload.len().checked_sub(TRAILER_LEN)?..)?;
    let (mark, time) = trailer.split_at(4);
    (mark == MARK).then_some(())?;
    Some((header, u64::from_be_bytes(time.try_into().ok()?)))
}

/// Latencies in ns, up to a minute, to three digits.
pub fn latencies() -> Result<Histogram<u64>, String> {
    Histogram::new_with_bounds(1, 60_000_000_000, 3).map_err(|error| format!("histogram: {error}"))
}

/// What a player received.
pub struct Player {
    streams: HashMap<u32, Received>,
    pub packets: u64,
    pub bytes: u64,
    /// Packets without our mark.
    pub foreign: u64,
}

struct Received {
    unwrapper: SequenceUnwrapper,
    first: u64,
    highest: u64,
    packets: u64,
}

impl Player {
    pub fn new() -> Self {
        Self { streams: HashMap::new(), packets: 0, bytes: 0, foreign: 0 }
    }

    /// `wire_len` is the datagram's length. Latencies are recorded in ns.
    pub fn receive(&mut self, now_ns: u64, packet: &[u8], wire_len: usize, latency: &mut Histogram<u64>) {
        let Some((header, sent)) = sent_ns(packet) else {
            self.foreign += 1;
            return;
        };
        let stream = self.streams.entry(header.ssrc).or_insert_with(|| Received {
            unwrapper: SequenceUnwrapper::default(),
            first: u64::MAX,
            highest: 0,
            packets: 0,
        });
        let sequence = stream.unwrapper.extend(header.sequence);
        stream.first = stream.first.min(sequence);
        stream.highest = stream.highest.max(sequence);
        stream.packets += 1;
        self.packets += 1;
        self.bytes += wire_len as u64;
        latency.saturating_record(now_ns.saturating_sub(sent).max(1));
    }

    /// Gaps in the sequence numbers of all streams.
    pub fn lost(&self) -> u64 {
        self.streams.values().map(|stream| (stream.highest + 1 - stream.first).saturating_sub(stream.packets)).sum()
    }

    /// Starts counting anew; sequence numbers go on.
    pub fn reset(&mut self) {
        self.streams.clear();
        (self.packets, self.bytes, self.foreign) = (0, 0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frames(count: usize) -> Vec<Vec<u8>> {
        let mut publisher =
            Publisher::new(Ssrcs { audio: 1, video: 2, video_rtx: 3 }, Rate { bitrate_bps: 1_500_000, frames_per_second: 25 });
        let mut packets = Vec::new();
        for n in 0..count {
            publisher.send_video(1_000 * n as u64, &mut |sending| {
                let mut packet = sending.out[..sending.header_len].to_vec();
                packet.extend_from_slice(sending.payload);
                packets.push(packet);
                packets.len()
            });
        }
        packets
    }

    #[test]
    fn a_frame_is_cut_into_packets_of_nearly_equal_size_and_starts_with_a_keyframe() {
        let packets = frames(2);
        assert_eq!(packets.len(), 14);
        let (min, max) = (packets.iter().map(Vec::len).min().unwrap(), packets.iter().map(Vec::len).max().unwrap());
        assert!(max - min <= 1 && max <= 1200, "{min}..{max}");
        let payload = |n: usize| Header::parse(&packets[n]).unwrap().payload(&packets[n]).to_vec();
        let keyframe = |n: usize| pointsman_wire::payload::vp8::Descriptor::parse(&payload(n)).unwrap().frame_info(false).keyframe;
        assert!(keyframe(0), "the first frame");
        assert!(!keyframe(7), "the second frame");
    }

    #[test]
    fn a_player_counts_what_is_missing_and_how_late_it_came() {
        let (mut player, mut latency) = (Player::new(), latencies().unwrap());
        let packets = frames(10);
        for (n, packet) in packets.iter().enumerate() {
            if n != 5 && n != 20 {
                player.receive(9_000 + 1_000_000, packet, packet.len(), &mut latency);
            }
        }
        player.receive(1, &[0x80; 40], 40, &mut latency);
        assert_eq!((player.lost(), player.packets, player.foreign, player.streams.len()), (2, packets.len() as u64 - 2, 1, 1));
        assert!((1_000_000..1_011_000).contains(&latency.value_at_quantile(0.5)), "{}", latency.value_at_quantile(0.5));
    }
}

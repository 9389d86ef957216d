//! A model of a browser that sends: a camera in several layers and a microphone.
//!
//! It answers NACKs with RTX and keyframe requests with keyframes, pauses layers that nobody wants, and does not care about congestion.

use std::collections::VecDeque;
use std::time::Duration;

use pointsman_wire::clock::{Now, NtpTime};
use pointsman_wire::rtcp::{self, SenderInfo, Writer};
use pointsman_wire::rtp::AudioLevel;

use crate::dice::Dice;
use crate::stamp::{self, Stamp};
use crate::world::{LEVEL, MID, OPUS, Packet, REPAIRED, RID, RTX, TWCC, VP8};

pub const RIDS: [&str; 3] = ["l", "m", "h"];
const FRAME: Duration = Duration::from_millis(40);
const SOUND: Duration = Duration::from_millis(20);
/// Like browsers, it sends at most this much at a time.
const BURST: Duration = Duration::from_millis(5);
const BURST_PACKETS: usize = 6;
const PAYLOAD_MAX: usize = 1100;
const PAYLOAD_MIN: usize = 6 + stamp::LEN + 1;
/// Packets of a stream that can be sent again: about 3 s.
const HISTORY: usize = 600;
const REPORT: Duration = Duration::from_millis(1000);

/// What a publisher sends.
#[derive(Clone, Debug)]
pub struct Plan {
    pub publication: u32,
    /// From the lowest.
    pub layers: Vec<LayerPlan>,
    /// Temporal layers, 1..=3.
    pub temporals: u8,
    /// A keyframe's size in mean frames.
    pub keyframe_size: f64,
    pub sound: Option<u32>,
    /// Least time between two keyframes of a layer, as encoders have.
    pub keyframe_quiet: Duration,
}

#[derive(Clone, Debug)]
pub struct LayerPlan {
    pub bitrate_bps: f64,
    /// When it is not sent.
    pub off: Vec<(Duration, Duration)>,
}

impl Plan {
    /// Three layers of 1.5 Mbit/s together.
    pub fn camera(publication: u32) -> Self {
        Self::with_rates(publication, &[110, 370, 1020])
    }

    /// Layers of so many kbit/s.
    pub fn with_rates(publication: u32, kbps: &[u32]) -> Self {
        let layer = |&kbps: &u32| LayerPlan { bitrate_bps: f64::from(kbps) * 1e3, off: Vec::new() };
        Self {
            publication,
            layers: kbps.iter().map(layer).collect(),
            temporals: 3,
            keyframe_size: 5.0,
            sound: None,
            keyframe_quiet: Duration::from_millis(300),
        }
    }
}

pub struct Publisher {
    plan: Plan,
    dice: Dice,
    layers: Vec<Layer>,
    sound: Option<Sound>,
    next_frame: Duration,
    next_sound: Duration,
    next_report: Duration,
    twcc: u16,
    /// Packets that wait for their time.
    outbox: VecDeque<(Duration, Packet)>,
    /// The highest layer that is wanted, as control told; above it nothing is sent.
    wanted: Option<Option<u8>>,
    /// What control tells, on its way.
    told: VecDeque<(Duration, Option<u8>)>,
    /// What its clock is ahead of the world's.
    clock_ahead: Duration,
    pub keyframe_requests: Vec<(Duration, u8)>,
    pub nacked: usize,
}

struct Layer {
    ssrc: u32,
    sequence: u64,
    rtx_sequence: u64,
    timestamp_start: u32,
    picture: u16,
    tl0: u8,
    frame: u32,
    /// Place in the temporal pattern.
    phase: usize,
    /// Last frame of each temporal layer.
    last: [u32; 3],
    key_wanted: bool,
    last_key: Option<Duration>,
    sending: bool,
    /// Bytes that keyframes took too much.
    debt: f64,
    packets: u32,
    octets: u32,
    /// Until the server says that it knows the stream, its packets say which it is.
    known: bool,
    history: VecDeque<Packet>,
    resent: VecDeque<(u64, Duration)>,
}

struct Sound {
    ssrc: u32,
    sequence: u64,
    timestamp: u32,
    packets: u32,
    /// In −dBov.
    pub level: u8,
}

/// A camera's SSRCs: media and RTX of the three layers; then the microphone's.
pub fn ssrc(client: usize, layer: u8) -> u32 {
    1000 * (client as u32 + 1) + 10 * u32::from(layer)
}

pub fn sound_ssrc(client: usize) -> u32 {
    ssrc(client, 9)
}

impl Publisher {
    pub fn new(client: usize, plan: Plan, mut dice: Dice) -> Self {
        let layers = (0..plan.layers.len() as u8).map(|layer| Layer {
            ssrc: ssrc(client, layer),
            // Near the roll-over, often.
            sequence: if dice.chance(0.3) { 65_400 } else { 1 + dice.below(30_000) as u64 },
            rtx_sequence: 1 + dice.below(30_000) as u64,
            timestamp_start: dice.next() as u32,
            picture: if dice.chance(0.3) { 0x7FF0 } else { dice.next() as u16 & 0x7FFF },
            tl0: dice.next() as u8,
            frame: 0,
            phase: 0,
            last: [0; 3],
            key_wanted: true,
            last_key: None,
            sending: false,
            debt: 0.0,
            packets: 0,
            octets: 0,
            known: false,
            history: VecDeque::new(),
            resent: VecDeque::new(),
        });
        let layers: Vec<Layer> = layers.collect();
        let sound = plan.sound.map(|_| Sound {
            ssrc: sound_ssrc(client),
            sequence: 1 + dice.below(30_000) as u64,
            timestamp: dice.next() as u32,
            packets: 0,
            level: 30,
        });
        Self {
            next_frame: dice.ms(1, 40),
            next_sound: dice.ms(1, 20),
            next_report: dice.ms(100, 700),
            clock_ahead: Duration::from_millis(dice.below(500_000) as u64),
            plan,
            dice,
            layers,
            sound,
            twcc: 0,
            outbox: VecDeque::new(),
            wanted: None,
            told: VecDeque::new(),
            keyframe_requests: Vec::new(),
            nacked: 0,
        }
    }

    /// When [`Publisher::work`] has something to do.
    pub fn due(&self) -> Duration {
        let queued = self.outbox.front().map_or(Duration::MAX, |it| it.0);
        let frame = if self.layers.is_empty() { Duration::MAX } else { self.next_frame };
        let sound = self.sound.as_ref().map_or(Duration::MAX, |_| self.next_sound);
        queued.min(frame).min(sound).min(self.next_report)
    }

    /// Control says which layers anybody wants; the client hears it at `at`.
    pub fn layers_wanted_at(&mut self, at: Duration, spatial_max: Option<u8>) {
        self.told.push_back((at, spatial_max));
    }

    /// Does what is due: `packets` are sent as RTP, `compounds` as RTCP.
    pub fn work(&mut self, now: Duration, clock: Now, packets: &mut Vec<Packet>, compounds: &mut Vec<Vec<u8>>) {
        if now >= self.next_frame && !self.layers.is_empty() {
            self.next_frame += FRAME;
            while let Some(&(_, spatial_max)) = self.told.front().filter(|(at, _)| *at <= now) {
                self.wanted = Some(spatial_max);
                self.told.pop_front();
            }
            self.capture(now);
        }
        if now >= self.next_sound && self.sound.is_some() {
            self.next_sound += SOUND;
            self.hear(now);
        }
        if now >= self.next_report {
            self.next_report += REPORT;
            self.report(now, clock, compounds);
        }
        while self.outbox.front().is_some_and(|(at, _)| *at <= now)
            && let Some((_, mut packet)) = self.outbox.pop_front()
        {
            self.number(&mut packet);
            packets.push(packet);
        }
    }

    /// What the server told it. Retransmissions leave at once.
    pub fn told(&mut self, now: Duration, compound: &[u8], packets: &mut Vec<Packet>) {
        for packet in rtcp::packets(compound) {
            match packet.expect("the server's RTCP is well-formed") {
                rtcp::Packet::Nack(nack) => {
                    for lost in nack.lost() {
                        self.nacked += 1;
                        if let Some(mut packet) = self.again(now, nack.media, lost) {
                            self.number(&mut packet);
                            packets.push(packet);
                        }
                    }
                }
                rtcp::Packet::Pli { media, .. } => self.want_keyframe(now, media),
                rtcp::Packet::Fir(fir) => fir.entries().for_each(|entry| self.want_keyframe(now, entry.ssrc)),
                rtcp::Packet::ReceiverReport(report) => {
                    for block in report.blocks() {
                        self.layers.iter_mut().filter(|layer| layer.ssrc == block.ssrc).for_each(|layer| layer.known = true);
                    }
                }
                _ => {}
            }
        }
    }

    fn want_keyframe(&mut self, now: Duration, ssrc: u32) {
        for (at, layer) in self.layers.iter_mut().enumerate().filter(|(_, layer)| layer.ssrc == ssrc) {
            layer.key_wanted = true;
            self.keyframe_requests.push((now, at as u8));
        }
    }

    fn capture(&mut self, now: Duration) {
        let mut leaves = now + Duration::from_millis(4);
        for at in 0..self.layers.len() {
            let planned = self.plan.layers[at].off.iter().all(|&(from, to)| now < from || now >= to);
            let wanted = self.wanted.is_none_or(|max| max.is_some_and(|max| at <= usize::from(max)));
            let layer = &mut self.layers[at];
            if !planned || !wanted {
                layer.sending = false;
                continue;
            }
            if !layer.sending {
                layer.sending = true;
                layer.key_wanted = true;
            }
            let packets = self.encode(now, at);
            for burst in packets.chunks(BURST_PACKETS) {
                self.outbox.extend(burst.iter().map(|packet| (leaves, packet.clone())));
                leaves += BURST;
            }
        }
        self.outbox.make_contiguous().sort_by_key(|(at, _)| *at);
    }

    fn encode(&mut self, now: Duration, at: usize) -> Vec<Packet> {
        let (plan, layer) = (&self.plan, &mut self.layers[at]);
        let quiet = layer.last_key.is_some_and(|last| now - last < plan.keyframe_quiet);
        let key = layer.frame == 0 || (layer.key_wanted && !quiet);
        if key {
            layer.key_wanted = false;
            layer.last_key = Some(now);
            layer.phase = 0;
            layer.last = [0; 3];
        }
        let (temporal, sync) = pattern(plan.temporals, layer.phase);
        layer.phase += 1;
        layer.frame += 1;
        layer.picture = (layer.picture + 1) & 0x7FFF;
        if temporal == 0 {
            layer.tl0 = layer.tl0.wrapping_add(1);
        }
        let references = match temporal {
            _ if key => [0, 0],
            0 => [layer.last[0], 0],
            1 => [layer.last[0], 0],
            _ if sync => [layer.last[0], 0],
            _ => [layer.last[0], layer.last[1]],
        };
        layer.last[usize::from(temporal)] = layer.frame;
        let mean = plan.layers[at].bitrate_bps / 8.0 * FRAME.as_secs_f64();
        let share = match (plan.temporals, temporal) {
            (1, _) => 1.0,
            (2, 0) => 1.2,
            (2, _) => 0.8,
            (_, 0) => 1.5,
            (_, 1) => 1.0,
            (_, _) => 0.75,
        };
        let mut size = if key { mean * plan.keyframe_size } else { mean * share } * self.dice.between(0.7, 1.3);
        if key {
            layer.debt += size - mean;
        } else {
            let paid = (layer.debt * 0.1).min(size * 0.4);
            layer.debt -= paid;
            size -= paid;
        }
        let size = (size as usize).max(PAYLOAD_MIN);
        let count = size.div_ceil(PAYLOAD_MAX).min(255);
        let timestamp = layer.timestamp_start.wrapping_add((now.as_micros() * 90 / 1000) as u32);
        let elements = identity(layer.known, RID, at);
        let mut packets = Vec::with_capacity(count);
        for index in 0..count {
            // As a browser cuts a frame: sizes one byte apart.
            let len = (size / count + usize::from(index < size % count)).clamp(PAYLOAD_MIN, PAYLOAD_MAX);
            let stamp = Stamp {
                publication: plan.publication,
                layer: at as u8,
                frame: layer.frame,
                temporal,
                key,
                index: index as u8,
                count: count as u8,
                references,
                captured_us: now.as_micros() as u64,
                len: len as u16,
            };
            let [high, low] = (0x8000 | layer.picture).to_be_bytes();
            let start = if index == 0 { 0x10 } else { 0 };
            let mut payload = Vec::with_capacity(len);
            payload.extend([0x80 | start, 0xE0, high, low, layer.tl0, temporal << 6 | u8::from(sync) << 5, u8::from(!key)]);
            payload.extend(stamp.to_bytes());
            payload.resize(len, index as u8);
            packets.push(Packet {
                ssrc: layer.ssrc,
                payload_type: VP8,
                sequence: layer.sequence,
                timestamp,
                marker: index + 1 == count,
                elements: elements.clone(),
                payload,
                padding: 0,
            });
            layer.sequence += 1;
            layer.packets += 1;
            layer.octets += len as u32;
        }
        layer.history.extend(packets.iter().cloned());
        while layer.history.len() > HISTORY {
            layer.history.pop_front();
        }
        packets
    }

    fn hear(&mut self, now: Duration) {
        let Some(sound) = &mut self.sound else { return };
        sound.sequence += 1;
        sound.packets += 1;
        sound.timestamp = sound.timestamp.wrapping_add(960);
        let level = AudioLevel { level: sound.level + self.dice.below(4) as u8, voice: sound.level < 60 };
        let mut payload = vec![0x78];
        payload.extend(self.plan.sound.unwrap_or(0).to_be_bytes());
        payload.extend(sound.sequence.to_be_bytes());
        payload.resize(80, 0);
        let packet = Packet {
            ssrc: sound.ssrc,
            payload_type: OPUS,
            sequence: sound.sequence,
            timestamp: sound.timestamp,
            marker: false,
            elements: vec![(MID, b"1".to_vec()), (LEVEL, level.to_bytes().to_vec())],
            payload,
            padding: 0,
        };
        self.outbox.push_front((now, packet));
    }

    fn report(&mut self, now: Duration, clock: Now, compounds: &mut Vec<Vec<u8>>) {
        let ntp = NtpTime::from_unix(clock.unix + self.clock_ahead);
        let mut space = [0; 1200];
        let mut writer = Writer::new(&mut space);
        for layer in self.layers.iter().filter(|layer| layer.sending) {
            let rtp_timestamp = layer.timestamp_start.wrapping_add((now.as_micros() * 90 / 1000) as u32);
            let info = SenderInfo { ntp, rtp_timestamp, packets: layer.packets, octets: layer.octets };
            writer.sender_report(layer.ssrc, &info, &[]).expect("three reports fit");
        }
        if let Some(sound) = &self.sound {
            let info = SenderInfo { ntp, rtp_timestamp: sound.timestamp, packets: sound.packets, octets: 80 * sound.packets };
            writer.sender_report(sound.ssrc, &info, &[]).expect("one more fits");
        }
        let len = writer.len();
        if len > 0 {
            compounds.push(space[..len].to_vec());
        }
    }

    fn again(&mut self, now: Duration, ssrc: u32, lost: u16) -> Option<Packet> {
        let at = self.layers.iter().position(|layer| layer.ssrc == ssrc)?;
        let layer = &mut self.layers[at];
        let packet = layer.history.iter().rev().find(|packet| packet.sequence as u16 == lost)?;
        while layer.resent.front().is_some_and(|(_, when)| now - *when > Duration::from_millis(20)) {
            layer.resent.pop_front();
        }
        if layer.resent.iter().any(|(sequence, _)| *sequence == packet.sequence) {
            return None;
        }
        layer.resent.push_back((packet.sequence, now));
        layer.rtx_sequence += 1;
        let mut payload = lost.to_be_bytes().to_vec();
        payload.extend(&packet.payload);
        Some(Packet {
            ssrc: ssrc + 1,
            payload_type: RTX,
            sequence: layer.rtx_sequence,
            payload,
            // No report tells it that the server knows this stream.
            elements: identity(false, REPAIRED, at),
            ..packet.clone()
        })
    }

    /// Gives a packet its transport-wide number.
    fn number(&mut self, packet: &mut Packet) {
        self.twcc = self.twcc.wrapping_add(1);
        packet.elements.push((TWCC, self.twcc.to_be_bytes().to_vec()));
    }
}

/// Temporal layer of a frame, and whether it refers to the base layer alone.
const fn pattern(temporals: u8, phase: usize) -> (u8, bool) {
    match (temporals, phase % 4) {
        (1, _) => (0, false),
        (2, 0 | 2) => (0, false),
        (2, _) => (1, true),
        (_, 0) => (0, false),
        (_, 1) => (2, true),
        (_, 2) => (1, true),
        (_, _) => (2, false),
    }
}

fn identity(known: bool, rid: u8, layer: usize) -> Vec<(u8, Vec<u8>)> {
    if known { Vec::new() } else { vec![(MID, b"0".to_vec()), (rid, RIDS[layer].as_bytes().to_vec())] }
}

//! A model of a browser that receives: it decrypts, orders, asks again for what is missing, reports, decodes; and it checks that every stream is one
//! stream, whatever the server does behind it.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use pointsman_sfu::feedback::nack::{NackConfig, NackGenerator};
use pointsman_sfu::feedback::reception::Reception;
use pointsman_sfu::feedback::twcc::{TwccConfig, TwccRecorder, Written};
use pointsman_wire::payload::vp8::Descriptor;
use pointsman_wire::rtcp::{self, Writer};
use pointsman_wire::rtp::{self, SequenceUnwrapper, TransportSequence};

use crate::decoder::{Decoder, Piece};
use crate::dice::Dice;
use crate::stamp::Stamp;
use crate::world::{MID_DOWN, OPUS_DOWN, RTX_DOWN, TWCC_DOWN, VP8_DOWN};

/// How a client behaves.
#[derive(Clone, Debug)]
pub struct Habits {
    /// Between two looks at what is missing.
    pub nack_interval: Duration,
    /// Whether it asks again at all.
    pub nacks: bool,
    /// Between two transport-wide feedbacks; `None`: it sends none.
    pub feedback_interval: Option<Duration>,
    pub report_interval: Duration,
    /// Without a picture for so long it asks for a keyframe: before the first one, and after.
    pub first_keyframe_wait: Duration,
    pub keyframe_wait: Duration,
    /// What it takes the round trip for.
    pub rtt: Duration,
}

impl Default for Habits {
    /// Like Chromium's.
    fn default() -> Self {
        Self {
            nack_interval: Duration::from_millis(20),
            nacks: true,
            feedback_interval: Some(Duration::from_millis(100)),
            report_interval: Duration::from_millis(1000),
            first_keyframe_wait: Duration::from_millis(200),
            keyframe_wait: Duration::from_secs(3),
            rtt: Duration::from_millis(60),
        }
    }
}

/// An m-line.
#[derive(Clone, Debug)]
pub struct Line {
    pub mid: String,
    pub ssrc: u32,
    pub video: bool,
}

pub struct Subscriber {
    pub habits: Habits,
    pub tracks: Vec<Track>,
    twcc: TwccRecorder,
    transport_sequences: SequenceUnwrapper,
    /// Of our feedback.
    ssrc: u32,
    next_look: Duration,
    next_report: Duration,
    pub keyframe_requests: usize,
    pub padding_packets: usize,
}

pub struct Track {
    pub line: Line,
    sequences: SequenceUnwrapper,
    rtx_sequences: SequenceUnwrapper,
    reception: Reception,
    nack: NackGenerator,
    pieces: BTreeMap<u64, Piece>,
    /// Which number each packet of a publisher came under.
    numbers: HashMap<u64, u64, FixedState>,
    pub decoder: Decoder,
    first_packet: Option<Duration>,
    keyframe_asked: Option<Duration>,
    pub packets: usize,
    pub repaired: usize,
    /// Sound: publication and number of each packet, by the number that it came under.
    sounds: BTreeMap<u64, (u32, u64, u32)>,
    pub heard: Vec<(Duration, u32)>,
}

/// What is kept to compare with.
const WINDOW: u64 = 2000;

impl Subscriber {
    pub fn new(lines: Vec<Line>, habits: Habits, origin: Instant, mut dice: Dice) -> Self {
        let ssrc = dice.next() as u32 | 1;
        Self {
            tracks: lines.into_iter().map(Track::new).collect(),
            twcc: TwccRecorder::new(origin),
            transport_sequences: SequenceUnwrapper::new(),
            ssrc,
            next_look: dice.ms(0, 20),
            next_report: dice.ms(200, 1000),
            habits,
            keyframe_requests: 0,
            padding_packets: 0,
        }
    }

    pub fn due(&self) -> Duration {
        self.next_look.min(self.next_report)
    }

    /// A plain RTP packet came. `Err` says what is wrong with it.
    pub fn rtp(&mut self, now: Duration, mono: Instant, packet: &[u8]) -> Result<(), String> {
        let header = rtp::Header::parse(packet).map_err(|error| format!("RTP: {error:?}"))?;
        if let Some(value) = header.extension(packet, TWCC_DOWN)
            && let Some(TransportSequence(sequence)) = TransportSequence::parse(value)
        {
            self.transport_sequences.extend(sequence);
            if let Some(interval) = self.habits.feedback_interval {
                self.twcc.received(mono, sequence, &TwccConfig { interval, ..TwccConfig::default() });
            }
        }
        let Some(track) = self.tracks.iter_mut().find(|it| it.line.ssrc == header.ssrc || it.line.ssrc + 1 == header.ssrc) else {
            return Err(format!("SSRC {} is nobody's", header.ssrc));
        };
        if let Some(mid) = header.extension(packet, MID_DOWN)
            && mid != track.line.mid.as_bytes()
        {
            return Err(format!("mid {mid:?} on the stream of {}", track.line.mid));
        }
        if header.ssrc != track.line.ssrc {
            track.rtx_sequences.extend(header.sequence);
            if header.payload_range().len() <= 2 {
                self.padding_packets += 1;
                return Ok(()); // It probes for bandwidth.
            }
            if header.payload_type != RTX_DOWN {
                return Err(format!("payload type {} of RTX", header.payload_type));
            }
            let mut original = packet.to_vec();
            let len = rtp::restore_original(&mut original, track.line.ssrc, VP8_DOWN).ok_or("RTX without an original")?;
            let header = rtp::Header::parse(&original[..len]).map_err(|error| format!("RTX: {error:?}"))?;
            track.repaired += 1;
            return track.video(now, mono, &header, &original[..len]);
        }
        if header.payload_range().is_empty() {
            self.padding_packets += 1;
        }
        track.packets += 1;
        let sequence = track.sequences.peek(header.sequence);
        track.reception.received(mono, sequence, header.timestamp);
        if track.line.video { track.video(now, mono, &header, packet) } else { track.sound(now, &header, packet) }
    }

    /// A plain compound came.
    pub fn rtcp(&mut self, mono: Instant, compound: &[u8]) -> Result<(), String> {
        for packet in rtcp::packets(compound) {
            if let rtcp::Packet::SenderReport(report) = packet.map_err(|error| format!("RTCP: {error:?}"))? {
                let track = self.tracks.iter_mut().find(|it| it.line.ssrc == report.ssrc);
                let track = track.ok_or_else(|| format!("a report on SSRC {}", report.ssrc))?;
                track.reception.sender_report(mono, report.info.ntp);
            }
        }
        Ok(())
    }

    /// Writes what is due.
    pub fn work(&mut self, now: Duration, mono: Instant, compounds: &mut Vec<Vec<u8>>) {
        let mut space = [0; 1150];
        if now >= self.next_look {
            self.next_look += self.habits.nack_interval;
            let mut writer = Writer::new(&mut space);
            for track in self.tracks.iter_mut().filter(|track| track.line.video) {
                let mut lost = [0; 64];
                if self.habits.nacks && track.nack.next_due().is_some_and(|due| due <= mono) {
                    let count = track.nack.collect(mono, self.habits.rtt, &nack_config(), &mut lost);
                    writer.nack(self.ssrc, track.line.ssrc, lost[..count].iter().copied());
                }
                if track.wants_keyframe(now, &self.habits) {
                    self.keyframe_requests += 1;
                    writer.pli(self.ssrc, track.line.ssrc);
                }
            }
            let len = writer.len();
            finish(compounds, &space[..len]);
        }
        if now >= self.next_report {
            self.next_report += self.habits.report_interval;
            let blocks: Vec<_> = self.tracks.iter_mut().filter_map(|track| track.reception.report(mono)).collect();
            if !blocks.is_empty() {
                let mut writer = Writer::new(&mut space);
                writer.receiver_report(self.ssrc, &blocks).expect("the blocks fit");
                let len = writer.len();
                finish(compounds, &space[..len]);
            }
        }
        let Some(interval) = self.habits.feedback_interval else { return };
        let config = TwccConfig { interval, ..TwccConfig::default() };
        while self.twcc.next_due().is_some_and(|due| due <= mono) {
            let mut writer = Writer::new(&mut space);
            let written = self.twcc.write(mono, self.ssrc, self.tracks[0].line.ssrc, &config, &mut writer);
            let len = writer.len();
            finish(compounds, &space[..len]);
            if written != Written::More {
                break;
            }
        }
    }

    pub fn track(&self, mid: &str) -> &Track {
        self.tracks.iter().find(|track| track.line.mid == mid).expect("a line of the subscriber")
    }

    pub fn track_mut(&mut self, mid: &str) -> &mut Track {
        self.tracks.iter_mut().find(|track| track.line.mid == mid).expect("a line of the subscriber")
    }
}

impl Track {
    fn new(line: Line) -> Self {
        Self {
            sequences: SequenceUnwrapper::new(),
            rtx_sequences: SequenceUnwrapper::new(),
            reception: Reception::new(line.ssrc, if line.video { 90_000 } else { 48_000 }),
            nack: NackGenerator::new(),
            pieces: BTreeMap::new(),
            numbers: HashMap::default(),
            decoder: Decoder::default(),
            first_packet: None,
            keyframe_asked: None,
            packets: 0,
            repaired: 0,
            sounds: BTreeMap::new(),
            heard: Vec::new(),
            line,
        }
    }

    /// Longest time without a new picture, between two times.
    pub fn longest_gap(&self, from: Duration, to: Duration) -> Duration {
        let shown = self.decoder.shown.iter().map(|it| it.at).filter(|at| (from..to).contains(at));
        let (mut last, mut longest) = (from, Duration::ZERO);
        for at in shown.chain([to]) {
            longest = longest.max(at - last);
            last = at;
        }
        longest
    }

    /// Pictures of each layer that were shown between two times.
    pub fn shown(&self, from: Duration, to: Duration) -> [usize; 3] {
        let mut count = [0; 3];
        for it in self.decoder.shown.iter().filter(|it| (from..to).contains(&it.at)) {
            count[usize::from(it.stamp.layer)] += 1;
        }
        count
    }

    /// When the first picture after `from` was shown for which something holds.
    pub fn first_shown(&self, from: Duration, what: impl Fn(&Stamp) -> bool) -> Option<Duration> {
        self.decoder.shown.iter().find(|it| it.at >= from && what(&it.stamp)).map(|it| it.at)
    }

    fn wants_keyframe(&mut self, now: Duration, habits: &Habits) -> bool {
        let (Some(first), last) = (self.first_packet, self.decoder.last_shown()) else { return false };
        let wait = if self.decoder.has_picture() { habits.keyframe_wait } else { habits.first_keyframe_wait };
        let since = last.unwrap_or(first).max(self.keyframe_asked.unwrap_or_default());
        let wants = now - since >= wait;
        if wants {
            self.keyframe_asked = Some(now);
        }
        wants
    }

    fn video(&mut self, now: Duration, mono: Instant, header: &rtp::Header, packet: &[u8]) -> Result<(), String> {
        if header.payload_type != VP8_DOWN {
            return Err(format!("payload type {}", header.payload_type));
        }
        self.first_packet.get_or_insert(now);
        let sequence = self.sequences.extend(header.sequence);
        self.nack.received(mono, sequence, &nack_config());
        let payload = header.payload(packet);
        if payload.is_empty() {
            return Ok(());
        }
        let descriptor = Descriptor::parse(payload).map_err(|error| format!("VP8: {error:?}"))?;
        let stamp = Stamp::parse(&payload[descriptor.len + 1..]).ok_or("the payload was changed")?;
        if usize::from(stamp.len) != payload.len() {
            return Err(format!("{} bytes of {stamp:?}", payload.len()));
        }
        let (Some(picture), Some(tl0), Some(temporal)) = (descriptor.picture_id, descriptor.tl0_index, descriptor.temporal) else {
            return Err("a descriptor without numbers".to_owned());
        };
        let piece = Piece {
            timestamp: header.timestamp,
            marker: header.marker,
            start: descriptor.starts_frame(),
            key: descriptor.keyframe,
            picture: picture.value,
            tl0: tl0.value as u8,
            temporal: temporal.id,
            sync: temporal.sync,
            stamp,
        };
        if let Some(known) = self.pieces.get(&sequence) {
            let same = known.stamp == stamp && known.timestamp == piece.timestamp && known.picture == piece.picture;
            return if same { Ok(()) } else { Err(format!("one number, two packets: {known:?}, {piece:?}")) };
        }
        if let Some(&other) = self.numbers.get(&stamp.id()) {
            return Err(format!("one packet, two numbers, {other} and {sequence}: {piece:?}"));
        }
        self.check(sequence, &piece)?;
        self.numbers.insert(stamp.id(), sequence);
        self.pieces.insert(sequence, piece);
        while let Some((&oldest, _)) = self.pieces.first_key_value()
            && oldest + WINDOW < sequence
        {
            self.pieces.pop_first();
        }
        self.assemble(now, sequence)
    }

    /// A new packet must fit between its neighbours.
    fn check(&self, sequence: u64, piece: &Piece) -> Result<(), String> {
        if piece.marker != piece.stamp.is_last() || piece.start != (piece.stamp.index == 0) {
            return Err(format!("start and marker: {piece:?}"));
        }
        let before = self.pieces.range(..sequence).next_back();
        let after = self.pieces.range(sequence + 1..).next();
        let fits = |a: (u64, &Piece), b: (u64, &Piece)| {
            check_order(a.1, b.1, a.0 + 1 == b.0).map_err(|what| format!("{what}: {} {:?}, then {} {:?}", a.0, a.1, b.0, b.1))
        };
        if let Some((&number, before)) = before {
            fits((number, before), (sequence, piece))?;
        }
        if let Some((&number, after)) = after {
            fits((sequence, piece), (number, after))?;
        }
        Ok(())
    }

    /// Whether the frame of a new packet is complete now.
    fn assemble(&mut self, now: Duration, sequence: u64) -> Result<(), String> {
        let Some(piece) = self.pieces.get(&sequence) else { return Ok(()) };
        let (first, last) =
            (sequence - u64::from(piece.stamp.index), sequence - u64::from(piece.stamp.index) + u64::from(piece.stamp.count));
        let complete = self.pieces.range(first..last).count() == usize::from(piece.stamp.count);
        match self.pieces.get(&first) {
            Some(start) if complete => self.decoder.complete(now, first, *start),
            _ => Ok(()),
        }
    }

    fn sound(&mut self, now: Duration, header: &rtp::Header, packet: &[u8]) -> Result<(), String> {
        if header.payload_type != OPUS_DOWN {
            return Err(format!("payload type {}", header.payload_type));
        }
        let sequence = self.sequences.extend(header.sequence);
        let payload = header.payload(packet);
        let (Some(publication), Some(number)) = (word(payload, 1), word(payload, 9)) else { return Err("sound was changed".to_owned()) };
        let it = (publication, u64::from(number), header.timestamp);
        let before = self.sounds.range(..sequence).next_back().map(|(&at, &it)| (at, it));
        let after = self.sounds.range(sequence + 1..).next().map(|(&at, &it)| (at, it));
        for ((a_at, a), (b_at, b)) in before.map(|a| (a, (sequence, it))).into_iter().chain(after.map(|b| ((sequence, it), b))) {
            let forward = (b.2.wrapping_sub(a.2) as i32) > 0;
            if !forward || (a.0 == b.0 && b.1 <= a.1) {
                return Err(format!("sound goes back: {a_at} {a:?}, then {b_at} {b:?}"));
            }
        }
        if self.sounds.insert(sequence, it).is_some_and(|known| known != it) {
            return Err(format!("one number, two sounds: {it:?}"));
        }
        while self.sounds.len() > WINDOW as usize {
            self.sounds.pop_first();
        }
        self.heard.push((now, publication));
        Ok(())
    }
}

/// Two packets of a stream, `a` before `b`; `contiguous` when there is none between them.
fn check_order(a: &Piece, b: &Piece, contiguous: bool) -> Result<(), &'static str> {
    let ahead = b.timestamp.wrapping_sub(a.timestamp) as i32;
    let picture_ahead = b.picture.wrapping_sub(a.picture) & 0x7FFF;
    if a.stamp.same_frame(&b.stamp) {
        if (a.timestamp, a.picture, a.tl0) != (b.timestamp, b.picture, b.tl0) {
            return Err("one frame with two numbers");
        }
        if b.stamp.index <= a.stamp.index || (contiguous && b.stamp.index != a.stamp.index + 1) {
            return Err("packets of a frame out of order");
        }
        return Ok(());
    }
    if ahead <= 0 {
        return Err("the timestamp does not go on");
    }
    if picture_ahead == 0 || picture_ahead > 0x3FFF {
        return Err("the picture id does not go on");
    }
    if !contiguous {
        return Ok(());
    }
    // Where another stream begins, the frame before may stay unfinished: nothing refers to it any more.
    if b.stamp.index != 0 || (!a.stamp.is_last() && !b.stamp.key) {
        return Err("a frame was cut");
    }
    if picture_ahead != 1 {
        return Err("the picture id leaves a gap where no packet is missing");
    }
    if b.tl0 != a.tl0.wrapping_add(u8::from(b.temporal == 0)) {
        return Err("TL0PICIDX does not follow");
    }
    if !a.stamp.same_layer(&b.stamp) && !b.stamp.key {
        return Err("another layer without a keyframe");
    }
    if a.stamp.publication == b.stamp.publication {
        let passed = (b.stamp.captured_us as i64 - a.stamp.captured_us as i64) * 90 / 1000;
        let off = (i64::from(ahead) - passed).abs();
        // Where a stream begins anew the arrival may be all there is to go by.
        // What began behind what was shown before catches up: its frames follow each other faster than they were captured.
        let catches_up = i64::from(ahead) < passed;
        let most = if b.stamp.key || catches_up { 90 * 700 } else { 90 };
        if off > most {
            return Err("the timestamp does not keep time");
        }
    }
    Ok(())
}

fn nack_config() -> NackConfig {
    NackConfig { missing_max: 500, tries_max: 10, age_max: Duration::from_secs(3), ..NackConfig::default() }
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    bytes.get(at..at + 4)?.first_chunk().map(|it| u32::from_be_bytes(*it))
}

fn finish(compounds: &mut Vec<Vec<u8>>, compound: &[u8]) {
    if !compound.is_empty() {
        compounds.push(compound.to_vec());
    }
}

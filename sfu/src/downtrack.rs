//! One m-line toward a subscriber: which of a publication's packets it carries, under which numbers.
//!
//! ```text
//! publication ─► Selector (layer) ─► mungers (numbers) ─► Sequencer (remembers) ─► header, SRTP ─► arena
//! ```
//! Its SSRC, sequence numbers, timestamps and picture ids go on whatever the source does, so a source changes without SDP.

mod header;
mod probe;
mod replay;
mod revised;
mod sound;

use std::time::{Duration, Instant};

use pointsman_wire::clock::Now;
use pointsman_wire::payload::Number;
use pointsman_wire::rtp::FIXED_HEADER_LEN;

use crate::gathered::Fresh;
use crate::layers::SPATIAL_MAX;
use crate::munger::{FrameMunger, PictureMunger, RtpMunger};
use crate::publication::Publication;
use crate::selector::{Choice, Selector};
use crate::sequencer::{Sent, Sequencer};
use crate::srtp::{Outbound, SrtpError};
use crate::{Carried, Codec, CodecSpec, Config, DropReason, Facts, Kind, LayerId, Preferences, SenderSpec};
use header::{Stamps, Template};
use replay::{Pending, Replay};
use revised::Revised;
use sound::{Form, Sound};

pub use replay::REPLAY_INTERVAL;

#[derive(Debug)]
pub struct Downtrack {
    spec: SenderSpec,
    /// Place of the publication in the shard's table.
    pub publication: Option<u32>,
    selector: Selector,
    rtp: RtpMunger,
    picture: PictureMunger,
    frame: FrameMunger,
    sequencer: Sequencer,
    template: Template,
    sound: Sound,
    /// Decode targets that the subscriber was told of last.
    targets_told: u32,
    /// What the codec of the last packet is here.
    format: Option<(Codec, Option<CodecSpec>)>,
    /// Counts sources and whatever else makes what was sent before unrepeatable.
    source: u8,
    /// The layer on the wire before belongs to the same publication, so their clocks may be compared.
    same_source: bool,
    rtx_sequence: u64,
    packets: u32,
    octets: u32,
    keyframe_asked: Option<Instant>,
    replay: Option<Replay>,
    /// The stream and keyframe of the last replay: once is enough.
    replayed: Option<(u8, u64)>,
    /// The newest packet of each stream that was sent: a keyframe whose beginning comes late is not begun with once its rest has left.
    sent: [Option<u64>; SPATIAL_MAX],
    pending: Option<Pending>,
    /// The source's timestamp of a frame of which the last packet has not been sent, and when one of it was.
    unfinished: Option<(u32, Instant)>,
    /// The stream that was on the wire last.
    last_stream: Option<u8>,
    reported: Option<Instant>,
    broken_off: Option<Instant>,
}

/// A packet as the subscriber will see it.
#[derive(Clone, Copy, Debug)]
pub struct Planned {
    pub numbers: Numbers,
    pub payload_type: u8,
    form: Form,
    revised: Revised,
    /// Before protection, without padding added for equal size.
    pub len: usize,
    /// Padding may be added: what is written is never written again under the same number.
    pub may_pad: bool,
    /// Sent again as RTX under this number of the RTX stream.
    pub rtx: Option<u64>,
}

/// The numbers that a downtrack gives a packet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Numbers {
    /// Roll-overs counted.
    pub sequence: u64,
    pub timestamp: u32,
    pub picture_id: u16,
    pub tl0_index: u8,
    pub frame_number: u16,
    /// Of the last packet of a picture, as the subscriber gets it.
    pub marker: bool,
    /// Decode targets that the packet must name in the place of what came with it; 0: none.
    pub targets: u32,
}

/// A packet, and where it comes from.
#[derive(Clone, Copy, Debug)]
pub struct Source<'a> {
    pub publication: &'a Publication,
    pub layer: u8,
    pub facts: &'a Facts,
    pub packet: &'a [u8],
}

/// What a sender report says (RFC 3550 section 6.4.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Report {
    pub ssrc: u32,
    pub timestamp: u32,
    pub packets: u32,
    pub octets: u32,
}

/// A jump of more packets than this is no loss that retransmission could mend, but a stream that was muted, restarted or moved.
const JUMP_MAX: u64 = 512;
/// What is on the wire is broken off for something smaller no more often than this.
const BREAK_INTERVAL: Duration = Duration::from_millis(1500);
/// The descriptor bytes that may change lie within these first bytes of the payload.
const HEAD_LEN_MAX: usize = 16;
/// Original sequence number of RTX (RFC 4588 section 4).
const OSN_LEN: usize = 2;

/// What a packet carries of the moment in which it leaves.
#[derive(Clone, Copy, Debug)]
pub struct Departure {
    pub transport_sequence: u16,
    /// Since the Unix epoch.
    pub unix: Duration,
    /// RTP padding, in bytes.
    pub padding: u8,
}

impl Downtrack {
    /// `random` gives the first sequence number and timestamp.
    pub fn new(config: &Config, spec: SenderSpec, random: u64, now: Instant) -> Self {
        let packets = match spec.kind {
            Kind::Audio => config.cache_audio_packets,
            Kind::Video => config.cache_video_packets,
        };
        Self {
            publication: None,
            selector: Selector::new(),
            // The upper half is left out: a roll-over among the first packets confuses SRTP receivers (RFC 3711 section 3.3.1).
            rtp: RtpMunger::new((random as u16 & 0x7FFF).max(1), (random >> 32) as u32),
            picture: PictureMunger::default(),
            frame: FrameMunger::default(),
            sequencer: Sequencer::new(packets, now),
            template: template(&spec),
            sound: Sound::new(&spec),
            targets_told: 0,
            format: None,
            source: 0,
            same_source: false,
            rtx_sequence: random >> 16 & 0x7FFF,
            packets: 0,
            octets: 0,
            keyframe_asked: None,
            replay: None,
            replayed: None,
            sent: [None; SPATIAL_MAX],
            pending: None,
            unfinished: None,
            last_stream: None,
            reported: None,
            broken_off: None,
            spec,
        }
    }

    pub fn spec(&self) -> &SenderSpec {
        &self.spec
    }

    /// Takes over a changed description. SSRCs stay; the source is the caller's to change.
    pub fn update(&mut self, spec: SenderSpec) {
        self.template = template(&spec);
        let copies = self.sound.copies;
        self.sound = Sound::new(&spec);
        self.sound.copies = copies;
        self.format = None;
        self.source = self.source.wrapping_add(1);
        self.spec = spec;
    }

    /// Nothing but the preferences is different in a changed description.
    pub fn differs_in_preferences(&self, spec: &SenderSpec) -> bool {
        let SenderSpec { mid, kind, ssrc, rtx_ssrc, cname, codecs, extensions, source, preferences } = &self.spec;
        let same = (mid, kind, ssrc, rtx_ssrc, cname, codecs, extensions, source)
            == (&spec.mid, &spec.kind, &spec.ssrc, &spec.rtx_ssrc, &spec.cname, &spec.codecs, &spec.extensions, &spec.source);
        same && *preferences != spec.preferences
    }

    pub fn set_preferences(&mut self, preferences: Preferences) {
        self.spec.preferences = preferences;
    }

    /// Its m-line is gone. What was sent is never asked for again; only its numbers must not be forgotten.
    pub fn retire(&mut self) {
        self.sequencer.forget();
        self.spec.source = None;
    }

    /// What it carries from now on; the next packet is the first of that.
    pub fn set_publication(&mut self, publication: Option<u32>) {
        self.publication = publication;
        self.start_anew();
        self.same_source = false;
        self.last_stream = None;
        self.keyframe_asked = None;
    }

    /// What is wanted of the publication from now on, at most; `None` is a pause. [`LayerId::HIGHEST`] until this is called.
    /// Numbers go on where they were.
    pub fn set_target(&mut self, wanted: Option<LayerId>) {
        self.selector.want(wanted);
        if wanted.is_none() {
            self.stop_replay();
        }
    }

    /// So many packets of sound go along with the one after them, where the subscriber can take them.
    pub fn set_copies(&mut self, copies: u8) {
        self.sound.copies = copies;
    }

    /// How often a packet of it is sent.
    pub fn times_sent(&self) -> u32 {
        1 + if self.sound.makes_red() { u32::from(self.sound.copies) } else { 0 }
    }

    /// Nothing more of what is on the wire is sent: it would come too late, and hold up what follows it. The next keyframe goes on, of
    /// the target or of what is below it.
    pub fn break_off(&mut self, now: Instant) {
        self.broken_off = Some(now);
        match self.pending {
            Some(pending) => self.begin_replay(pending.stream, pending.sequence),
            None => {
                self.replay = self.replay.filter(|replay| replay.first);
                self.unfinished = None;
                self.selector.leave();
            }
        }
        // What was lost of it is not sent again either.
        self.source = self.source.wrapping_add(1);
    }

    /// What was set last.
    pub fn wanted(&self) -> Option<LayerId> {
        self.selector.wanted()
    }

    /// The best of what is wanted that the publisher sends.
    #[cfg(test)]
    pub fn target(&self) -> Option<LayerId> {
        self.selector.target()
    }

    /// What is on the wire.
    pub fn current(&self) -> Option<LayerId> {
        self.selector.current()
    }

    /// A larger picture is on the wire than is wanted, and what is wanted is another stream.
    pub fn must_shrink(&mut self, now: Instant, publication: &Publication) -> bool {
        self.selector.retarget(publication.offer());
        if self.broken_off.is_some_and(|at| now.saturating_duration_since(at) < BREAK_INTERVAL) {
            return false; // The keyframe that is on its way takes its time, too.
        }
        let larger = self.selector.wanted().zip(self.selector.current()).is_some_and(|(wanted, current)| wanted.spatial < current.spatial);
        larger && self.selector.awaited().is_some()
    }

    /// It cannot go to its target before the next keyframe.
    pub fn awaits_keyframe(&self) -> bool {
        self.selector.awaited().is_some()
    }

    /// Decides on a live packet, in the order in which they came. `None` when it is not for this subscriber now.
    pub fn plan(&mut self, now: Now, publication: &Publication, fresh: &Fresh) -> Result<Option<Planned>, DropReason> {
        self.selector.retarget(publication.offer());
        if self.holds_back(now.mono, publication, fresh.layer, &fresh.facts) {
            return Ok(None);
        }
        self.plan_next(now, publication, fresh)
    }

    /// Decides on a packet: a live one, or one that [`Downtrack::next_cached`] gave.
    pub fn plan_next(&mut self, now: Now, publication: &Publication, fresh: &Fresh) -> Result<Option<Planned>, DropReason> {
        let facts = &fresh.facts;
        let format = self.format(facts.codec).ok_or(DropReason::NoCodec)?;
        let mut ours = self.selector.stream() == Some(fresh.layer);
        if ours && self.rtp.ahead(facts.sequence) > JUMP_MAX {
            self.start_anew();
            ours = false;
        }
        self.selector.retarget(publication.offer());
        let source = Source { publication, layer: fresh.layer, facts, packet: fresh.packet.bytes() };
        if facts.payload.is_none() || self.sound.form(&source, &format).len(facts) == 0 {
            if ours {
                self.rtp.skip(facts.sequence);
            }
            return Ok(None);
        }
        let newest = !ours || self.rtp.ahead(facts.sequence) > 0;
        if !newest && self.is_left_out(facts) {
            return Ok(None);
        }
        let replayed = self.replay.is_some_and(|replay| replay.first);
        let late = |at: &Self| at.was_sent(fresh.layer, facts.sequence) || publication.is_past(fresh.layer, facts, format.clock_rate);
        if !ours && !replayed && facts.entry && late(self) {
            return Ok(None);
        }
        match self.selector.choose(fresh.layer, facts, newest) {
            Choice::Leave => return Ok(None),
            Choice::Skip => {
                self.rtp.skip(facts.sequence);
                if newest && facts.codec == Codec::Vp8 {
                    self.picture.skip(facts.picture_id);
                }
                return Ok(None);
            }
            Choice::Forward => {}
            Choice::Switch => self.switch(now, publication, fresh, format.clock_rate),
        }
        let marker = facts.marker || publication.is_layered() && facts.frame.end && facts.frame.spatial == self.selector.within().spatial;
        if newest {
            self.note_frame(now.mono, facts.timestamp, marker || format.codec.kind() == Kind::Audio);
        }
        let Some((sequence, timestamp)) = self.rtp.forward(now.mono, facts.sequence, facts.timestamp) else {
            return Ok(None);
        };
        if let Some(sent) = self.sent.get_mut(usize::from(fresh.layer)) {
            *sent = (*sent).max(Some(facts.sequence));
        }
        let (picture_id, tl0_index) = self.picture.forward(facts.picture_id, facts.tl0_index);
        let frame_number = match facts.carried.dependency_descriptor {
            span if span.is_none() => 0,
            span => self.frame.forward(span.of(fresh.packet.bytes())),
        };
        let targets = self.targets_to_name(&source);
        let numbers = Numbers { sequence, timestamp, picture_id, tl0_index, frame_number, marker, targets };
        if format.nack {
            self.record(now.mono, fresh.layer, facts, numbers);
        }
        Ok(Some(self.planned(&source, numbers, &format, None)))
    }

    /// Finds what was sent as `out_sequence`, to be sent again. `quiet` is one round trip.
    pub fn plan_again<'a>(
        &mut self,
        now: Now,
        publication: &'a Publication,
        out_sequence: u16,
        quiet: Duration,
    ) -> Result<(Planned, Source<'a>), DropReason> {
        let sequence = self.rtp.extend(out_sequence).ok_or(DropReason::OutOfRange)?;
        let sent = self.sequencer.resend(now.mono, out_sequence, quiet).map_err(|_| DropReason::ResentJustNow)?;
        let current = self.selector.stream().ok_or(DropReason::NotCached)?;
        // What was never sent may have come in since: out of order before the keyframe that began the stream, for one.
        let guess = self.rtp.in_sequence(sequence);
        let (layer, wanted, numbers) = match sent {
            Some(sent) if sent.source == self.source => {
                let Sent { sequence: low, timestamp, picture_id, frame_number, tl0_index, layer, marker, targets, source: _ } = sent;
                let near = publication.newest(layer).ok_or(DropReason::NotCached)?;
                let numbers = Numbers { sequence, timestamp, picture_id, tl0_index, frame_number, marker, targets };
                (layer, extend_low(low, near), Some(numbers))
            }
            Some(_) => return Err(DropReason::NotCached),
            None => (current, guess.ok_or(DropReason::NotCached)?, None),
        };
        let (facts, packet) = publication.cached(layer, wanted).ok_or(DropReason::NotCached)?;
        let part_of_it = facts.frame.present.contains(self.selector.within()) && !self.is_left_out(facts);
        let left_out = numbers.is_none() && !part_of_it;
        if facts.payload.is_none() || left_out {
            return Err(DropReason::NotCached);
        }
        let format = self.format(facts.codec).ok_or(DropReason::NoCodec)?;
        let source = Source { publication, layer, facts, packet: packet.bytes() };
        let numbers = match numbers {
            Some(numbers) => numbers,
            None => self.numbers_late(now, &source, sequence).ok_or(DropReason::NotCached)?,
        };
        let rtx = format.rtx.map(|payload_type| {
            self.rtx_sequence += 1;
            (payload_type, self.rtx_sequence)
        });
        Ok((self.planned(&source, numbers, &format, rtx), source))
    }

    /// Writes a planned packet into `out` and returns its length on the wire.
    pub fn write(
        &mut self,
        outbound: &Outbound,
        out: &mut [u8],
        planned: &Planned,
        source: &Source<'_>,
        departure: Departure,
    ) -> Result<usize, SrtpError> {
        let Source { facts, packet, .. } = *source;
        let Departure { transport_sequence, unix, padding } = departure;
        let numbers = &planned.numbers;
        let (ssrc, sequence) = match planned.rtx {
            Some(sequence) => (self.spec.rtx_ssrc, sequence),
            None => (self.spec.ssrc, numbers.sequence),
        };
        let fixed = out.first_chunk_mut::<FIXED_HEADER_LEN>().ok_or(SrtpError::NoSpace)?;
        fixed[0] = if padding == 0 { 0x80 } else { 0xA0 };
        fixed[1] = u8::from(numbers.marker) << 7 | planned.payload_type;
        fixed[2..4].copy_from_slice(&(sequence as u16).to_be_bytes());
        fixed[4..8].copy_from_slice(&numbers.timestamp.to_be_bytes());
        fixed[8..12].copy_from_slice(&ssrc.to_be_bytes());
        let stamps = Stamps { transport_sequence, unix, frame_number: numbers.frame_number };
        let header_len = self.template.write(out, packet, &facts.carried, &planned.revised, &stamps);
        let roll_overs = (sequence >> 16) as u32;
        self.packets = self.packets.wrapping_add(u32::from(planned.rtx.is_none()));
        self.octets = self.octets.wrapping_add(planned.form.len(facts) as u32);
        let payload = match &planned.form {
            Form::Whole => facts.payload.of(packet),
            Form::Newest(span) => span.of(packet),
            Form::Redundant { earlier, .. } => {
                let head = self.sound.compose(source, earlier).ok_or(SrtpError::NoSpace)?;
                return outbound.protect_rtp(roll_overs, out, header_len, head.bytes(), facts.payload.of(packet), padding);
            }
        };
        let mut head = [0; HEAD_LEN_MAX];
        let (mut head_len, mut taken) = compose_head(&mut head, planned, facts, payload);
        if planned.form == Form::Whole
            && let Some(len) = self.sound.rename(facts, payload, &mut head[head_len..])
        {
            (head_len, taken) = (head_len + len, len);
        }
        outbound.protect_rtp(roll_overs, out, header_len, &head[..head_len], &payload[taken..], padding)
    }

    /// The layer of which a keyframe must be asked for now, if any: at once, and then again and again until it comes. None is asked for
    /// while the cache holds a fresh one, with which the downtrack goes on then.
    pub fn keyframe_wanted(&mut self, now: Instant, publication: &Publication, config: &Config) -> Option<u8> {
        if self.spec.kind == Kind::Audio || self.replay.is_some_and(|replay| replay.first) || self.pending.is_some() {
            return None;
        }
        self.selector.retarget(publication.offer());
        let layer = self.selector.awaited()?;
        if let Some(entry) = publication.fresh_keyframe(now, layer, config)
            && self.replayed != Some((layer, entry))
        {
            if !self.is_within_frame(now) {
                self.begin_replay(layer, entry);
            }
            return None;
        }
        if self.keyframe_asked.is_some_and(|asked| now.saturating_duration_since(asked) < config.keyframe_retry_interval) {
            return None;
        }
        self.keyframe_asked = Some(now);
        Some(layer)
    }

    /// The subscriber lost its picture: the layer of which it needs a keyframe.
    pub fn keyframe_lost(&self) -> Option<u8> {
        self.selector.awaited().or(self.selector.stream())
    }

    /// The sender report that is due, if any.
    pub fn report(&mut self, now: Now, publication: &Publication, interval: Duration) -> Option<Report> {
        if self.reported.is_some_and(|reported| now.mono.saturating_duration_since(reported) < interval) {
            return None;
        }
        let layer = self.selector.stream()?;
        let reference = publication.reference(layer)?;
        let (_, format) = self.format?;
        let clock_rate = format?.clock_rate;
        self.reported = Some(now.mono);
        let passed = ticks(now.unix, reference.unix, clock_rate);
        let timestamp = self.rtp.out_timestamp(reference.timestamp.wrapping_add(passed));
        Some(Report { ssrc: self.spec.ssrc, timestamp, packets: self.packets, octets: self.octets })
    }

    /// A late packet's picture was left out, or one that it may refer to was: the one before. Their numbers have closed up, so that a decoder
    /// would not see what is missing.
    fn is_left_out(&self, facts: &Facts) -> bool {
        let before = |number: Number| Number { value: number.value.wrapping_sub(1) & ((1 << number.bits) - 1) as u16, ..number };
        let refers = facts.frame.temporal > 0 && self.picture.is_left_out(facts.picture_id.map(before));
        refers || self.picture.is_left_out(facts.picture_id)
    }

    /// This packet or a later one of its stream has left.
    fn was_sent(&self, stream: u8, sequence: u64) -> bool {
        self.sent.get(usize::from(stream)).is_some_and(|&sent| sent >= Some(sequence))
    }

    fn start_anew(&mut self) {
        self.sent = [None; SPATIAL_MAX];
        self.selector.reset();
        self.targets_told = 0;
        self.stop_replay();
        self.source = self.source.wrapping_add(1);
    }

    fn stop_replay(&mut self) {
        (self.replay, self.replayed, self.pending, self.unfinished) = (None, None, None, None);
    }

    fn switch(&mut self, now: Now, publication: &Publication, fresh: &Fresh, clock_rate: u32) {
        // Of what comes from the cache, the newest packet is what belongs to now.
        let behind = self.replay.as_mut().is_some_and(|replay| std::mem::take(&mut replay.first));
        let newest = publication.newest(fresh.layer).filter(|_| behind);
        let live = newest.and_then(|newest| publication.cached(fresh.layer, newest)).map(|(facts, _)| facts.timestamp);
        let live = live.unwrap_or(fresh.facts.timestamp);
        let before = self.last_stream.replace(fresh.layer);
        let by_arrival = self.rtp.timestamp_by_arrival(now.mono, clock_rate);
        let timestamp = before
            .filter(|_| self.same_source)
            .and_then(|before| self.timestamp_by_report(publication, before, fresh.layer, live, clock_rate))
            // A report that is wrong by more than a second is wrong.
            .filter(|by_report| by_report.wrapping_sub(by_arrival).wrapping_add(clock_rate) < 2 * clock_rate)
            .unwrap_or(by_arrival);
        let facts = &fresh.facts;
        if behind {
            self.rtp.switch_behind(facts.sequence, live, timestamp);
        } else {
            self.rtp.switch(facts.sequence, facts.timestamp, timestamp);
        }
        self.picture.switch(facts.picture_id, facts.tl0_index);
        if !facts.carried.dependency_descriptor.is_none() {
            self.frame.switch(facts.carried.dependency_descriptor.of(fresh.packet.bytes()));
        }
        self.same_source = true;
        self.keyframe_asked = None;
    }

    /// The new layer's timestamp in the numbers of the layer before, by the publisher's clock.
    fn timestamp_by_report(&self, publication: &Publication, before: u8, layer: u8, timestamp: u32, clock_rate: u32) -> Option<u32> {
        if before == layer {
            return Some(self.rtp.out_timestamp(timestamp)); // The same clock, muted, paused or torn meanwhile.
        }
        let (old, new) = (publication.reported(before)?, publication.reported(layer)?);
        let since_report = timestamp.wrapping_sub(new.timestamp);
        let between = ticks(new.unix, old.unix, clock_rate);
        Some(self.rtp.out_timestamp(old.timestamp.wrapping_add(between).wrapping_add(since_report)))
    }

    fn numbers_late(&mut self, now: Now, source: &Source<'_>, sequence: u64) -> Option<Numbers> {
        let &Source { layer, facts, packet, .. } = source;
        let timestamp = self.rtp.timestamp_late(facts.timestamp)?;
        let (picture_id, tl0_index) = self.picture.forward(facts.picture_id, facts.tl0_index);
        let frame_number = self.frame.forward(facts.carried.dependency_descriptor.of(packet));
        let targets = self.targets_to_name(source);
        let numbers = Numbers { sequence, timestamp, picture_id, tl0_index, frame_number, marker: facts.marker, targets };
        self.record(now.mono, layer, facts, numbers);
        Some(numbers)
    }

    fn record(&mut self, now: Instant, layer: u8, facts: &Facts, numbers: Numbers) {
        let Numbers { sequence, timestamp, picture_id, tl0_index, frame_number, marker, targets } = numbers;
        let low = facts.sequence as u32;
        let sent = Sent { sequence: low, timestamp, picture_id, frame_number, tl0_index, layer, marker, targets, source: self.source };
        self.sequencer.record(now, sequence as u16, sent);
    }

    fn planned(&self, source: &Source<'_>, numbers: Numbers, format: &CodecSpec, rtx: Option<(u8, u64)>) -> Planned {
        let facts = source.facts;
        let form = self.sound.form(source, format);
        let revised =
            if is_repeated(format) || facts.carried == Carried::NONE { Revised::NONE } else { Revised::new(source, numbers.targets) };
        let len = self.template.header_len(&facts.carried, &revised) + form.len(facts);
        let may_pad = !is_repeated(format);
        match rtx {
            Some((payload_type, sequence)) => {
                Planned { numbers, payload_type, form, revised, len: len + OSN_LEN, may_pad, rtx: Some(sequence) }
            }
            None => {
                let payload_type = self.sound.payload_type(&form).unwrap_or(format.payload_type);
                Planned { numbers, payload_type, form, revised, len, may_pad, rtx: None }
            }
        }
    }

    /// What `codec` is for this subscriber.
    fn format(&mut self, codec: Codec) -> Option<CodecSpec> {
        if let Some((last, format)) = self.format
            && last == codec
        {
            return format;
        }
        // RED that was not negotiated goes as what is in it.
        let inside = (codec == Codec::Red).then_some(Codec::Opus);
        let of = |codec: Codec| self.spec.codecs.iter().find(|format| format.codec == codec).copied();
        let format = of(codec).or_else(|| of(inside?));
        self.format = Some((codec, format));
        format
    }
}

/// Where a lost packet is sent again under its own number, it must be the same to the last bit: the same number with other content breaks
/// AES-GCM (RFC 7714 section 8.1). So nothing in it may depend on when it is sent.
fn template(spec: &SenderSpec) -> Template {
    let repeated = spec.codecs.iter().any(is_repeated);
    let mut ids = spec.extensions;
    if repeated {
        ids.transport_cc = None;
        ids.abs_send_time = None;
    }
    Template::new(&ids, &spec.mid)
}

/// A lost packet is sent again under its own number.
fn is_repeated(format: &CodecSpec) -> bool {
    format.nack && format.rtx.is_none()
}

/// Puts what stands before the untouched part of the payload into `head`. Returns its length and how many bytes of the payload it
/// replaces.
fn compose_head(head: &mut [u8; HEAD_LEN_MAX], planned: &Planned, facts: &Facts, payload: &[u8]) -> (usize, usize) {
    let mut len = 0;
    if planned.rtx.is_some() {
        head[..OSN_LEN].copy_from_slice(&(planned.numbers.sequence as u16).to_be_bytes());
        len = OSN_LEN;
    }
    let numbers = &planned.numbers;
    let picture = facts.picture_id.filter(|number| number.value != numbers.picture_id);
    let tl0 = facts.tl0_index.filter(|number| number.value != u16::from(numbers.tl0_index));
    let taken = picture.map_or(0, end_of).max(tl0.map_or(0, end_of));
    if taken == 0 || taken > payload.len() || len + taken > HEAD_LEN_MAX {
        return (len, 0);
    }
    let descriptor = &mut head[len..len + taken];
    descriptor.copy_from_slice(&payload[..taken]);
    if let Some(number) = picture {
        number.replace(descriptor, numbers.picture_id);
    }
    if let Some(number) = tl0 {
        number.replace(descriptor, u16::from(numbers.tl0_index));
    }
    (len + taken, taken)
}

/// Where a number ends, from the payload's first byte.
fn end_of(number: Number) -> usize {
    usize::from(number.at) + if number.bits > 8 { 2 } else { 1 }
}

/// From `earlier` to `later` in ticks of the clock, modulo 2^32; either may be the earlier.
fn ticks(later: Duration, earlier: Duration, clock_rate: u32) -> u32 {
    let between = |a: Duration, b: Duration| ((a - b).as_micros() * u128::from(clock_rate) / 1_000_000) as u32;
    if later >= earlier { between(later, earlier) } else { between(earlier, later).wrapping_neg() }
}

/// The number nearest to `near` whose low 32 bits are `low`.
fn extend_low(low: u32, near: u64) -> u64 {
    let distance = low.wrapping_sub(near as u32) as i32;
    near.wrapping_add_signed(i64::from(distance))
}

#[cfg(test)]
mod tests;

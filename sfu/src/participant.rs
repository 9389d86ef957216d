//! A participant that lives on this shard: its transport, the streams it sends, the downtracks it gets.

mod receive;
pub mod report;
mod resends;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use pointsman_wire::clock::Now;

use crate::bandwidth::Estimator;
use crate::budget::Budget;
use crate::downtrack::Downtrack;
use crate::feedback::twcc::TwccRecorder;
use crate::pacer::Pacer;
use crate::redundancy::Redundancy;
use crate::sfu::Subscribed;
use crate::speakers::VoicePlace;
use crate::transport::{DtlsIdentity, Transport};
use crate::{CodecSpec, Config, ExtensionIds, ParticipantId, ParticipantSpec, ReceiverSpec, RoomId, SenderSpec, Source, SsrcSpec};
use resends::Resends;

pub use receive::{Received, Role, Stream, drop_reason};

#[derive(Debug)]
pub struct Participant {
    pub id: ParticipantId,
    pub room: RoomId,
    pub transport: Transport,
    pub receivers: Vec<Receiver>,
    /// By SSRC. Streams that the SDP names, and those that were learnt from mid and rid.
    streams: HashMap<u32, Stream, FixedState>,
    streams_max: usize,
    /// Ids are the same in all m-lines of a bundle (RFC 9143 section 7.3.4), so packets are read with the union.
    extensions: ExtensionIds,
    /// By their place in a [`crate::publication::Route`].
    pub downtracks: Vec<Downtrack>,
    /// What is remembered of the downtracks' shares, by the same places.
    pub subscribed: Vec<Subscribed>,
    pub budget: Budget,
    /// The estimate that was shared last.
    pub shared_bps: u64,
    /// When the estimate is shared next.
    pub share_due: Option<Instant>,
    /// Downtracks that have packets in this flush.
    pub due: Vec<u16>,
    /// Some downtrack is sent packets from the cache.
    pub catches_up: bool,
    /// Its turn to be sent more of them has come.
    pub called: bool,
    /// A timer runs that calls it.
    pub calling: bool,
    /// What the path to the client carries.
    pub bandwidth: Estimator,
    pub pacer: Pacer,
    pub resends: Resends,
    /// How often its sound is sent.
    pub redundancy: Redundancy,
    /// This host's time minus the client's NTP time, in µs: least seen, so nearly without the way.
    clock_distance: Option<i128>,
    /// Our SSRC in feedback.
    pub feedback_ssrc: u32,
    pub timer: Option<Instant>,
    twcc: TwccRecorder,
    /// SSRC of the last packet that had a transport-wide number.
    twcc_media: u32,
    pub reports_due: Option<Instant>,
    receiver_reported: Option<Instant>,
    pub connected: bool,
}

/// An m-line on which the client sends.
#[derive(Debug)]
pub struct Receiver {
    pub spec: ReceiverSpec,
    /// Place in the shard's table of publications.
    pub publication: u32,
    /// Counts streams that had the same layer before, and mutes: sequence numbers go up by 2^48 with each.
    epoch: u16,
    /// Its place among its room's voices, once a packet has told its level.
    pub voice: Option<VoicePlace>,
    /// The codec of the last packet.
    format: Option<CodecSpec>,
    /// SSRCs of the description whose streams are known.
    named: Vec<SsrcSpec>,
}

/// What differs between two descriptions of a participant.
#[derive(Debug, Default)]
pub struct Changes {
    /// Publications (by their place in the shard's table) that have lost their m-line.
    pub ended: Vec<u32>,
    /// Their voices.
    pub voices_ended: Vec<VoicePlace>,
    /// m-lines that need a publication.
    pub begun: Vec<ReceiverSpec>,
    /// Downtracks that have let go of a publication.
    pub released: Vec<(u16, u32)>,
    /// Downtracks that want a publication.
    pub wanted: Vec<(u16, Source)>,
    /// Downtracks for which there was no room.
    pub refused: u64,
}

impl Participant {
    /// `random` seeds its tables and numbers. Receivers and senders come with [`Participant::update`].
    pub fn new(config: &Config, spec: &ParticipantSpec, identity: &Arc<DtlsIdentity>, random: u64, now: Now) -> Self {
        Self {
            id: spec.id,
            room: spec.room,
            transport: Transport::new(spec, identity, &config.transport, random, now),
            receivers: Vec::new(),
            streams: HashMap::with_hasher(FixedState::with_seed(random)),
            streams_max: config.streams_per_participant_max,
            extensions: ExtensionIds::default(),
            downtracks: Vec::new(),
            subscribed: Vec::new(),
            budget: Budget::default(),
            shared_bps: 0,
            share_due: None,
            due: Vec::new(),
            catches_up: false,
            called: false,
            calling: false,
            bandwidth: Estimator::new(&config.bandwidth, now.mono),
            pacer: Pacer::new(now.mono),
            resends: Resends::new(now.mono),
            redundancy: Redundancy::default(),
            clock_distance: None,
            feedback_ssrc: (random >> 20) as u32 | 1,
            timer: None,
            twcc: TwccRecorder::new(now.mono),
            twcc_media: 0,
            reports_due: None,
            receiver_reported: None,
            connected: false,
        }
    }

    pub fn rtt(&self) -> Duration {
        self.bandwidth.rtt()
    }

    /// Takes over a description. What concerns the shard's publications is the caller's to do, and comes back.
    pub fn update(&mut self, config: &Config, spec: &ParticipantSpec, random: &mut dyn FnMut() -> u64, now: Now) -> Changes {
        self.transport.update(spec);
        let mut changes = Changes::default();
        self.update_receivers(&spec.receivers, &mut changes);
        self.update_room(spec.room, &mut changes);
        self.update_senders(config, &spec.senders, random, now, &mut changes);
        let tells = |spec: &SenderSpec| spec.extensions.transport_cc.is_some() || spec.codecs.iter().any(|codec| codec.remb || codec.ccfb);
        self.bandwidth.set_measured(spec.senders.iter().any(tells));
        if spec.senders.iter().any(|spec| spec.codecs.iter().any(|codec| codec.ccfb)) {
            self.bandwidth.keep_names();
        }
        changes
    }

    /// In another room its voice is another: it is heard there, and no more where it was.
    fn update_room(&mut self, room: RoomId, changes: &mut Changes) {
        if room != self.room {
            self.room = room;
            changes.voices_ended.extend(self.receivers.iter_mut().filter_map(|receiver| receiver.voice.take()));
        }
    }

    /// Ends the m-lines that are gone and follows what changed in the others. New ones come with [`Participant::begin`], once
    /// they have a publication.
    fn update_receivers(&mut self, specs: &[ReceiverSpec], changes: &mut Changes) {
        let kept = |receiver: &Receiver| specs.iter().find(|spec| spec.publication == receiver.spec.publication);
        changes.ended = self.receivers.iter().filter(|receiver| kept(receiver).is_none()).map(|receiver| receiver.publication).collect();
        changes.voices_ended = self.receivers.iter().filter(|it| kept(it).is_none()).filter_map(|it| it.voice).collect();
        if !changes.ended.is_empty() {
            self.end_receivers(|receiver| kept(receiver).is_none());
        }
        for receiver in &mut self.receivers {
            let Some(spec) = specs.iter().find(|spec| spec.publication == receiver.spec.publication) else { continue };
            if spec.muted != receiver.spec.muted {
                receiver.epoch = receiver.epoch.wrapping_add(1);
            }
            receiver.format = None;
            receiver.spec = spec.clone();
        }
        let known = |spec: &ReceiverSpec| self.receivers.iter().any(|receiver| receiver.spec.publication == spec.publication);
        changes.begun = specs.iter().filter(|spec| !known(spec)).cloned().collect();
    }

    /// Removes m-lines and their streams. The other streams stay: clients tell an SSRC's mid and rid only until they see that we know.
    fn end_receivers(&mut self, ended: impl Fn(&Receiver) -> bool) {
        let mut places = Vec::with_capacity(self.receivers.len());
        let mut next = 0;
        for receiver in &self.receivers {
            places.push((!ended(receiver)).then_some(next));
            next += u16::from(!ended(receiver));
        }
        self.receivers.retain(|receiver| !ended(receiver));
        self.streams.retain(|_, stream| match places.get(usize::from(stream.receiver)) {
            Some(&Some(place)) => {
                stream.receiver = place;
                true
            }
            Some(None) | None => false,
        });
    }

    /// Adds an m-line whose publication has its place.
    pub fn begin(&mut self, spec: ReceiverSpec, publication: u32) {
        self.receivers.push(Receiver { spec, publication, epoch: 0, voice: None, format: None, named: Vec::new() });
    }

    /// After every change of the m-lines: extension ids, and the streams that the SDP names.
    pub fn index_streams(&mut self) {
        self.extensions = ExtensionIds::default();
        for Receiver { spec, .. } in &self.receivers {
            let ids = &mut self.extensions;
            ids.mid = ids.mid.or(spec.extensions.mid);
            ids.rid = ids.rid.or(spec.extensions.rid);
            ids.repaired_rid = ids.repaired_rid.or(spec.extensions.repaired_rid);
            ids.transport_cc = ids.transport_cc.or(spec.extensions.transport_cc);
        }
        for at in 0..self.receivers.len() {
            // What packets have shown since then is newer than a description that says the same as before.
            if self.receivers[at].named == self.receivers[at].spec.ssrcs {
                continue;
            }
            self.receivers[at].named = self.receivers[at].spec.ssrcs.clone();
            for layer in 0..self.receivers[at].named.len() {
                let named = self.receivers[at].named[layer];
                self.name_stream(named.ssrc, at as u16, layer as u8, Role::Media);
                if let Some(rtx) = named.rtx {
                    self.name_stream(rtx, at as u16, layer as u8, Role::Repair { media: Some(named.ssrc) });
                }
            }
        }
    }

    /// Downtracks by SSRC. One that is gone keeps its place and its numbers: if its SSRC came again and began anew, packets would be sealed
    /// twice under the same number, which breaks AES-GCM (RFC 7714 section 8.1).
    fn update_senders(&mut self, config: &Config, specs: &[SenderSpec], random: &mut dyn FnMut() -> u64, now: Now, changes: &mut Changes) {
        for (at, downtrack) in self.downtracks.iter_mut().enumerate() {
            let spec = specs.iter().find(|spec| spec.ssrc == downtrack.spec().ssrc);
            if spec == Some(downtrack.spec()) && downtrack.publication.is_some() == downtrack.spec().source.is_some() {
                continue;
            }
            // Another wish is no other stream: what was sent before can still be asked for again.
            if let Some(spec) = spec
                && downtrack.differs_in_preferences(spec)
                && downtrack.publication.is_some() == spec.source.is_some()
            {
                downtrack.set_preferences(spec.preferences);
                continue;
            }
            let source = spec.and_then(|spec| spec.source);
            if source != downtrack.spec().source || downtrack.publication.is_none() {
                changes.released.extend(downtrack.publication.map(|publication| (at as u16, publication)));
                downtrack.set_publication(None);
                changes.wanted.extend(source.map(|source| (at as u16, source)));
            }
            match spec {
                Some(spec) => downtrack.update(spec.clone()),
                None => downtrack.retire(),
            }
        }
        for spec in specs {
            let used = |ssrc: u32| self.downtracks.iter().any(|it| it.spec().ssrc == ssrc || it.spec().rtx_ssrc == ssrc);
            if self.downtracks.iter().any(|it| it.spec().ssrc == spec.ssrc) {
                continue;
            }
            let full = self.downtracks.len() >= config.downtracks_per_participant_max.min(usize::from(u16::MAX));
            if full || used(spec.ssrc) || used(spec.rtx_ssrc) {
                changes.refused += 1;
                continue;
            }
            let at = self.downtracks.len() as u16;
            self.downtracks.push(Downtrack::new(config, spec.clone(), random(), now.mono));
            changes.wanted.extend(spec.source.map(|source| (at, source)));
        }
    }

    pub fn downtrack(&mut self, at: u16) -> Option<&mut Downtrack> {
        self.downtracks.get_mut(usize::from(at))
    }

    /// The SSRC of a publication's layer and the format of its last packet.
    pub fn media_of(&self, publication: u32, layer: u8) -> Option<(u32, Option<CodecSpec>)> {
        let at = self.receivers.iter().position(|receiver| receiver.publication == publication)?;
        Some((self.media_ssrc(at as u16, layer)?, self.receivers[at].format))
    }

    /// Whether it is time for the next receiver report; counts as sent.
    pub fn receiver_report_due(&mut self, now: Instant, interval: Duration) -> bool {
        let due = self.receiver_reported.is_none_or(|last| now.saturating_duration_since(last) >= interval);
        if due {
            self.receiver_reported = Some(now);
        }
        due
    }
}

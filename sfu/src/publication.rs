//! What a participant sends us, as far as forwarding goes: its layers with their caches, and who wants it.
//!
//! A shard has one for each of its participants' publications and for each of another shard's that its participants receive;
//! both look the same to the downtracks.

use std::time::{Duration, Instant};

use pointsman_wire::clock::Now;
use pointsman_wire::net::ShardId;
use pointsman_wire::payload::video_layers_allocation::Allocation;

use crate::cache::Cache;
use crate::feedback::keyframes::KeyframeRequests;
use crate::gathered::{Chain, Gathered};
use crate::layers::{Meter, Rates, SPATIAL_MAX};
use crate::layout::Layout;
use crate::selector::Offer;
use crate::sfu::Wanted;
use crate::targets::Targets;
use crate::{Config, DropReason, Facts, Kind, PacketRef, ParticipantId, PublicationId, ReferenceTime};

/// Simulcast layers of one publication at most; browsers send three.
pub const LAYERS_MAX: usize = SPATIAL_MAX;

#[derive(Debug)]
pub struct Publication {
    pub id: PublicationId,
    pub origin: Origin,
    /// Not known while only another shard has asked for it.
    pub publisher: Option<ParticipantId>,
    /// Downtracks of this shard's participants.
    pub routes: Vec<Route>,
    /// Shards that want its packets.
    pub shards: Vec<ShardId>,
    /// Gathered since the last flush.
    pub fresh: Chain,
    layers: Vec<Layer>,
    meter: Meter,
    /// One stream has spatial layers (SVC).
    layered: bool,
    pub wanted: Wanted,
    /// Its layers beside what packets show just now.
    pub layout: Layout,
    pub started: bool,
    /// It is in the list of those with packets since the last flush. Being there twice would send each packet twice, and under one number.
    pub touched: bool,
    /// A timer is running that looks at its layers.
    pub watched: bool,
}

/// Where a publication's packets come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// Its publisher is not on any shard yet.
    Unknown,
    /// A participant of this shard, by its place in the shard's table.
    Here(u32),
    /// Another shard; `asked` once that shard has our `Attach`.
    Shard { shard: ShardId, asked: bool },
}

/// A downtrack by its participant's place in the shard's table and its own place there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Route {
    pub participant: u32,
    pub downtrack: u16,
}

#[derive(Debug)]
pub struct Layer {
    cache: Cache,
    /// First packet of the newest keyframe: its sequence number, timestamp, and when it came.
    keyframe: Option<(u64, u32, Instant)>,
    last_seen: Option<Instant>,
    reference: Option<ReferenceTime>,
    /// From the first packet's arrival, for as long as the publisher sends no report.
    arrival: Option<ReferenceTime>,
    keyframes: KeyframeRequests,
    targets: Targets,
}

impl Publication {
    pub fn new(id: PublicationId) -> Self {
        Self {
            id,
            origin: Origin::Unknown,
            publisher: None,
            routes: Vec::new(),
            shards: Vec::new(),
            fresh: Chain::EMPTY,
            layers: Vec::new(),
            meter: Meter::new(),
            layered: false,
            wanted: Wanted::new(),
            layout: Layout::default(),
            started: false,
            touched: false,
            watched: false,
        }
    }

    /// Nobody sends it and nobody wants it.
    pub fn is_idle(&self) -> bool {
        !matches!(self.origin, Origin::Here(_)) && self.routes.is_empty() && self.shards.is_empty()
    }

    /// Takes in a packet: keeps it and gathers it for the next flush. `Err` when it came before or names a layer that cannot be.
    pub fn gather(
        &mut self,
        now: Now,
        config: &Config,
        gathered: &mut Gathered,
        layer: u8,
        facts: Facts,
        packet: PacketRef,
    ) -> Result<(), DropReason> {
        let flat = self.layout.is_simulcast();
        let kept = self.layer_mut(config, layer, facts.codec.kind()).ok_or(DropReason::OutOfRange)?;
        kept.last_seen = Some(now.mono);
        if kept.arrival.is_none() {
            kept.arrival = Some(ReferenceTime { unix: now.unix, timestamp: facts.timestamp, ahead_us: None });
        }
        kept.cache.insert(now.mono, &facts, &packet)?;
        let newest = kept.cache.newest() == Some(facts.sequence);
        if newest && !facts.carried.dependency_descriptor.is_none() {
            kept.targets.note(&facts, packet.bytes(), flat);
        }
        if facts.entry {
            kept.keyframes.arrived();
            kept.note_keyframe(now.mono, &facts);
            self.read_sizes(layer, &facts, packet.bytes());
        }
        if newest && !facts.allocation.is_none() {
            self.read_allocation(&facts, packet.bytes());
        }
        self.layered |= facts.frame.spatial > 0;
        self.meter.count(now.mono, layer, &facts);
        gathered.push(&mut self.fresh, layer, facts, packet);
        Ok(())
    }

    /// Keeps a packet that came to another shard `age` ago, so that subscribers here need not wait for a keyframe.
    pub fn keep(
        &mut self,
        now: Instant,
        config: &Config,
        layer: u8,
        facts: &Facts,
        packet: &PacketRef,
        age: Duration,
    ) -> Result<(), DropReason> {
        let flat = self.layout.is_simulcast();
        let kept = self.layer_mut(config, layer, facts.codec.kind()).ok_or(DropReason::OutOfRange)?;
        let at = now.checked_sub(age).unwrap_or(now);
        kept.cache.insert(at, facts, packet)?;
        if !facts.carried.dependency_descriptor.is_none() {
            kept.targets.note(facts, packet.bytes(), flat);
        }
        if facts.entry {
            kept.note_keyframe(at, facts);
            self.read_sizes(layer, facts, packet.bytes());
        }
        Ok(())
    }

    /// The first packet of a layer's newest keyframe, if that is fresh and everything since is here.
    pub fn fresh_keyframe(&self, now: Instant, layer: u8, config: &Config) -> Option<u64> {
        let kept = self.layers.get(usize::from(layer))?;
        let (entry, _, at) = kept.keyframe?;
        let newest = kept.cache.newest()?;
        let fresh =
            now.saturating_duration_since(at) <= config.replay_age_max && newest.checked_sub(entry)? < config.replay_packets_max as u64;
        (fresh && (entry..=newest).all(|sequence| kept.cache.get(sequence).is_some())).then_some(entry)
    }

    /// How long ago a layer's newest keyframe came.
    pub fn keyframe_age(&self, now: Instant, layer: u8) -> Option<Duration> {
        let (_, _, at) = self.layers.get(usize::from(layer))?.keyframe?;
        Some(now.saturating_duration_since(at))
    }

    /// One stream has spatial layers (SVC).
    pub fn is_layered(&self) -> bool {
        self.layered
    }

    pub fn cached(&self, layer: u8, sequence: u64) -> Option<(&Facts, &PacketRef)> {
        self.layers.get(usize::from(layer))?.cache.get(sequence).map(|kept| (&kept.facts, &kept.packet))
    }

    /// The newest sequence number of a layer.
    pub fn newest(&self, layer: u8) -> Option<u64> {
        self.layers.get(usize::from(layer))?.cache.newest()
    }

    /// A packet is from so long before the newest of its layer that nothing should begin with it: whoever did would see the past, and
    /// would have to be sent everything since. Retransmissions come that late.
    pub fn is_past(&self, layer: u8, facts: &Facts, clock_rate: u32) -> bool {
        let newest = self.newest(layer).and_then(|newest| self.cached(layer, newest));
        newest.is_some_and(|(newest, _)| newest.timestamp.wrapping_sub(facts.timestamp) as i32 > (clock_rate / 2) as i32)
    }

    /// The decode targets of a layer's stream.
    pub fn targets(&self, layer: u8) -> Option<&Targets> {
        self.layers.get(usize::from(layer)).map(|layer| &layer.targets)
    }

    /// Somebody needs a keyframe of a layer.
    pub fn want_keyframe(&mut self, layer: u8) {
        if let Some(layer) = self.layers.get_mut(usize::from(layer)) {
            layer.keyframes.want();
        }
    }

    /// Whether the publisher is to be asked for a wanted keyframe now; counts as asked. The number is for FIR.
    pub fn ask_keyframe(&mut self, now: Instant, layer: u8, interval: Duration) -> Option<u8> {
        self.layers.get_mut(usize::from(layer))?.keyframes.ask(now, interval)
    }

    /// What a downtrack can choose from.
    pub fn offer(&self) -> Offer {
        Offer { active: self.rates().active(), layered: self.layered }
    }

    /// What each layer takes, and which are sent.
    pub fn rates(&self) -> &Rates {
        self.meter.rates()
    }

    /// Width and height of a spatial layer's picture in pixels, once a keyframe has told.
    pub fn size(&self, spatial: u8) -> Option<(u16, u16)> {
        self.layout.size(spatial)
    }

    /// Of a layer that has been seen.
    pub fn set_reference(&mut self, layer: u8, reference: ReferenceTime) {
        if let Some(layer) = self.layers.get_mut(usize::from(layer)) {
            layer.reference = Some(reference);
        }
    }

    /// From the publisher's sender report if there was one.
    pub fn reference(&self, layer: u8) -> Option<ReferenceTime> {
        let layer = self.layers.get(usize::from(layer))?;
        layer.reference.or(layer.arrival)
    }

    /// From the publisher's sender report alone: only such times of two layers may be compared.
    pub fn reported(&self, layer: u8) -> Option<ReferenceTime> {
        self.layers.get(usize::from(layer))?.reference
    }

    /// Its publisher is gone: nothing of it will be asked for again.
    pub fn forget_packets(&mut self) {
        self.fresh = Chain::EMPTY;
        self.layers.clear();
        self.meter = Meter::new();
        self.layered = false;
        self.layout.forget();
        self.started = false;
    }

    /// Marks what fell silent and lets go of old packets. `true` while there is something left to look at.
    pub fn look(&mut self, now: Instant, config: &Config) -> bool {
        let mut busy = false;
        let (layout, silence) = (&self.layout, config.layer_silence_max);
        // What the encoder says it has stopped need not be waited for.
        self.meter.look(now, |layer| if layout.is_left_out(layer) { silence / 4 } else { silence });
        for layer in &mut self.layers {
            layer.cache.expire(now, config.cache_age_max);
            let silent = layer.last_seen.map_or(Duration::MAX, |seen| now.saturating_duration_since(seen));
            busy |= silent < config.cache_age_max + config.layer_silence_max;
        }
        busy
    }

    /// The first packet of a keyframe tells how large its pictures are. Read on every shard, since it is rare.
    fn read_sizes(&mut self, stream: u8, facts: &Facts, packet: &[u8]) {
        let layout = &mut self.layout;
        facts.read_sizes(packet, |spatial, size| layout.set_size(stream, spatial, size));
    }

    /// The encoder tells of its layers now and then; read on every shard, since it is rare. One that is wrong says nothing.
    fn read_allocation(&mut self, facts: &Facts, packet: &[u8]) {
        if let Ok(allocation) = Allocation::parse(facts.allocation.of(packet)) {
            self.layout.take_allocation(&allocation);
        }
    }

    fn layer_mut(&mut self, config: &Config, layer: u8, kind: Kind) -> Option<&mut Layer> {
        let index = usize::from(layer);
        if index >= LAYERS_MAX {
            return None;
        }
        let packets = match kind {
            Kind::Audio => config.cache_audio_packets,
            Kind::Video => config.cache_video_packets,
        };
        while self.layers.len() <= index {
            self.layers.push(Layer {
                cache: Cache::new(packets),
                keyframe: None,
                last_seen: None,
                reference: None,
                arrival: None,
                keyframes: KeyframeRequests::new(),
                targets: Targets::NONE,
            });
        }
        self.layers.get_mut(index)
    }
}

impl Layer {
    /// With H.264 several packets of one keyframe may be where a decoder can start; the first counts.
    fn note_keyframe(&mut self, now: Instant, facts: &Facts) {
        let newer = self.keyframe.is_none_or(|(sequence, timestamp, _)| match timestamp == facts.timestamp {
            true => facts.sequence < sequence,
            false => facts.sequence > sequence,
        });
        if newer {
            self.keyframe = Some((facts.sequence, facts.timestamp, now));
        }
    }
}

//! From what was gathered to what leaves: to other shards by reference, to subscribers one after another.

use pointsman_wire::clock::Now;
use pointsman_wire::net::Protocol;

use super::publications::Publications;
use super::{Sfu, Timer};
use crate::bandwidth::PacketName;
use crate::downtrack::{Departure, Planned, REPLAY_INTERVAL, Source};
use crate::gathered::Chain;
use crate::publication::Origin;
use crate::{DropReason, Egress, Kind, MeshMessage, MeshPacket, PacketRef, ParticipantId};

/// Lists that a flush works with; kept, so that it allocates nothing.
#[derive(Debug)]
pub(super) struct Desk {
    /// Participants with packets to get.
    due: Vec<u32>,
    /// One participant's packets, in the order in which they leave.
    items: Vec<Item>,
    /// Publications whose subscribers need a keyframe of a layer.
    pub wanted: Vec<(u32, u8)>,
    /// Participants with losses to be told at once.
    pub publishers: Vec<u32>,
}

#[derive(Clone, Copy, Debug)]
struct Item {
    downtrack: u16,
    /// Place among the gathered packets.
    fresh: u32,
    planned: Planned,
}

impl Desk {
    pub fn new(gathered_max: usize) -> Self {
        Self {
            due: Vec::with_capacity(gathered_max),
            items: Vec::with_capacity(gathered_max),
            wanted: Vec::with_capacity(gathered_max),
            publishers: Vec::with_capacity(gathered_max),
        }
    }

    pub fn note_publisher(&mut self, index: u32) {
        if self.publishers.last() != Some(&index) {
            self.publishers.push(index);
        }
    }
}

impl Sfu {
    /// Forwards what was gathered, and ends the turn. Call after the inputs of a turn, and before its packets are sent.
    pub fn flush(&mut self, now: Now, out: &mut impl Egress) {
        self.handshakes_left = self.config.handshakes_per_turn_max;
        self.data.begin_turn(&self.config.transport.data);
        if self.publications.gathered.len() > 0 || !self.desk.due.is_empty() {
            self.send_to_shards(out);
            self.spread();
            for at in 0..self.desk.due.len() {
                self.forward_to(now, self.desk.due[at], out);
            }
            self.desk.due.clear();
            for at in self.publications.touched.drain(..) {
                if let Some(publication) = self.publications.table.get_mut(at as usize) {
                    publication.fresh = Chain::EMPTY;
                    publication.touched = false;
                }
            }
            self.publications.gathered.clear();
        }
        while let Some((publication, layer)) = self.desk.wanted.pop() {
            self.request_keyframe(now, publication, layer, out);
        }
        while let Some(index) = self.desk.publishers.pop() {
            self.send_urgent_feedback(now, index, out);
        }
    }

    /// First of all, since another core then works at the same time.
    fn send_to_shards(&mut self, out: &mut impl Egress) {
        for &at in &self.publications.touched {
            let Some(publication) = self.publications.table.get(at as usize) else { continue };
            if !matches!(publication.origin, Origin::Here(_)) {
                continue;
            }
            for &shard in &publication.shards {
                for (_, fresh) in self.publications.gathered.of(publication.fresh) {
                    let packet = MeshPacket {
                        publication: publication.id,
                        layer: fresh.layer,
                        facts: fresh.facts,
                        packet: PacketRef::clone(&fresh.packet),
                    };
                    if out.to_shard(shard, MeshMessage::Packet(packet)) {
                        self.stats.mesh_packets_out += 1;
                    } else {
                        self.stats.drops.count(DropReason::MeshFull);
                    }
                }
            }
        }
    }

    /// Tells every subscriber of a touched publication which of its downtracks have packets.
    fn spread(&mut self) {
        for &at in &self.publications.touched {
            let Some(publication) = self.publications.table.get(at as usize) else { continue };
            for route in &publication.routes {
                let Some(participant) = self.participants.get_mut(route.participant as usize) else { continue };
                if !participant.connected {
                    continue;
                }
                if participant.due.is_empty() && !participant.called {
                    self.desk.due.push(route.participant);
                }
                participant.due.push(route.downtrack);
            }
        }
    }

    /// Everything that one subscriber gets, so that it lies together and leaves as trains.
    fn forward_to(&mut self, now: Now, index: u32, out: &mut impl Egress) {
        self.open_pacer(now, index, out);
        self.plan_for(now, index);
        let Self { participants, publications, desk, stats, config, .. } = self;
        let Some(participant) = participants.get_mut(index as usize) else { return };
        let (Some(path), Some(outbound)) = (participant.transport.path(), participant.transport.srtp_out()) else { return };
        let mut group = Group { end: 0, len: 0 };
        for at in 0..desk.items.len() {
            if at == group.end {
                group = Group::from(&desk.items, at, config.padding_max);
            }
            let item = &desk.items[at];
            let Some(downtrack) = participant.downtracks.get_mut(usize::from(item.downtrack)) else { continue };
            let Some(fresh) = publications.gathered.get(item.fresh) else { continue };
            let Some(publication) = downtrack.publication.and_then(|from| publications.table.get(from as usize)) else { continue };
            let Some(slot) = out.slot(&path) else {
                stats.drops.count(DropReason::EgressFull);
                continue;
            };
            let padding = group.padding(&desk.items, at);
            let transport_sequence = participant.bandwidth.next_sequence();
            let source = Source { publication, layer: fresh.layer, facts: &fresh.facts, packet: fresh.packet.bytes() };
            let departure = Departure { transport_sequence, unix: now.unix, padding };
            match downtrack.write(outbound, slot, &item.planned, &source, departure) {
                Ok(len) => {
                    let name = PacketName::of(slot);
                    out.commit(len);
                    if downtrack.is_measured() {
                        participant.bandwidth.sent(now.mono, len, name);
                    }
                    stats.forwarded += 1;
                    stats.packets_out += 1;
                    stats.bytes_out += len as u64;
                    stats.padding_bytes += u64::from(padding);
                }
                Err(_) => stats.drops.count(DropReason::SrtpSealFailed),
            }
        }
    }

    /// Sees how much may leave for a subscriber now.
    fn open_pacer(&mut self, now: Now, index: u32, out: &mut impl Egress) {
        let Some(participant) = self.participants.get_mut(index as usize) else { return };
        let estimate_bps = participant.bandwidth.estimate_bps();
        participant.pacer.refill(now.mono, estimate_bps);
        if let Some(path) = participant.transport.path().filter(|path| path.protocol != Protocol::Udp) {
            let backlog = out.backlog(&path);
            if participant.bandwidth.waits(now.mono, backlog) {
                participant.pacer.close();
                self.hasten_share(now, index);
            }
        }
    }

    /// Decides on each packet for a subscriber, before the first is written: only then their sizes are known.
    fn plan_for(&mut self, now: Now, index: u32) {
        let Self { participants, publications, desk, stats, config, .. } = self;
        desk.items.clear();
        let Some(participant) = participants.get_mut(index as usize) else { return };
        let called = std::mem::take(&mut participant.called);
        for &at in &participant.due {
            let Some(downtrack) = participant.downtracks.get_mut(usize::from(at)) else { continue };
            let Some(from) = downtrack.publication else { continue };
            let Some(publication) = publications.table.get(from as usize) else { continue };
            let before = downtrack.current();
            let paced = downtrack.spec().kind == Kind::Video;
            for (fresh_at, fresh) in publications.gathered.of(publication.fresh) {
                if paced && !participant.pacer.is_open() && downtrack.fall_behind(fresh.layer, &fresh.facts) {
                    continue;
                }
                match downtrack.plan(now, publication, fresh) {
                    Ok(Some(planned)) => {
                        participant.pacer.take(planned.len);
                        desk.items.push(Item { downtrack: at, fresh: fresh_at, planned });
                    }
                    Ok(None) => {}
                    Err(reason) => stats.drops.count(reason),
                }
            }
            if let Some(layer) = downtrack.keyframe_wanted(now.mono, publication, config) {
                desk.wanted.push((from, layer));
            }
            participant.catches_up |= downtrack.catches_up();
            let changed = before.zip(downtrack.current()).is_some_and(|(before, now)| before.spatial != now.spatial);
            stats.layer_switches += u64::from(changed);
        }
        participant.due.clear();
        if participant.catches_up {
            self.plan_cached(now, index, called);
        }
    }

    /// What a subscriber is sent from the cache, after what is live.
    fn plan_cached(&mut self, now: Now, index: u32, called: bool) {
        let Self { participants, publications: Publications { table, gathered, .. }, desk, stats, wheel, .. } = self;
        let Some(participant) = participants.get_mut(index as usize) else { return };
        participant.catches_up = false;
        for (at, downtrack) in participant.downtracks.iter_mut().enumerate().filter(|(_, it)| it.catches_up()) {
            let Some(publication) = downtrack.publication.and_then(|from| table.get(from as usize)) else { continue };
            if called {
                downtrack.catch_up();
            }
            while participant.pacer.is_open()
                && let Some((layer, facts, packet)) = downtrack.next_cached(now.mono, publication)
            {
                let Some(place) = gathered.push_alone(layer, *facts, PacketRef::clone(packet)) else { break };
                let Some(fresh) = gathered.get(place) else { break };
                match downtrack.plan_next(now, publication, fresh) {
                    Ok(Some(planned)) => {
                        participant.pacer.take(planned.len);
                        *(if downtrack.is_behind() { &mut stats.paced } else { &mut stats.replayed }) += 1;
                        desk.items.push(Item { downtrack: at as u16, fresh: place, planned });
                    }
                    Ok(None) => {}
                    Err(reason) => stats.drops.count(reason),
                }
            }
            participant.catches_up |= downtrack.catches_up();
        }
        if participant.catches_up && !participant.calling {
            participant.calling = true;
            wheel.insert(now.mono + REPLAY_INTERVAL, Timer::Replay { index, id: participant.id });
        }
    }

    /// A subscriber may be sent more from the cache.
    pub(super) fn replay_due(&mut self, index: u32, id: ParticipantId) {
        let Some(participant) = self.participants.get_mut(index as usize) else { return };
        if participant.id != id {
            return;
        }
        participant.calling = false;
        if !participant.catches_up || participant.called {
            return;
        }
        participant.called = true;
        if participant.due.is_empty() {
            self.desk.due.push(index);
        }
    }
}

/// Neighbours that are made equal in size: a train needs that, and its last packet may be shorter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Group {
    /// One after its last item.
    end: usize,
    /// What its items are padded to.
    len: usize,
}

impl Group {
    /// The longest from `start` whose packets differ by no more than `padding_max`.
    fn from(items: &[Item], start: usize, padding_max: usize) -> Self {
        let (mut least, mut most) = (usize::MAX, 0);
        let mut fixed = None;
        let mut end = start;
        for item in &items[start..] {
            let Planned { len, may_pad, .. } = item.planned;
            let (lower, upper) = (least.min(len), most.max(len));
            let fixed_now = if may_pad { fixed } else { fixed.or(Some(len)) };
            let fits = fixed_now.is_none_or(|fixed| fixed == upper) && (may_pad || fixed_now == Some(len));
            if end > start && (upper - lower > padding_max || !fits) {
                break;
            }
            (least, most, fixed) = (lower, upper, fixed_now);
            end += 1;
        }
        Self { end, len: most }
    }

    fn padding(&self, items: &[Item], at: usize) -> u8 {
        let planned = &items[at].planned;
        if !planned.may_pad || planned.len >= self.len {
            return 0;
        }
        let ends_train = at + 1 == self.end && items.get(self.end).is_none_or(|next| next.planned.len >= self.len);
        if ends_train { 0 } else { u8::try_from(self.len - planned.len).unwrap_or(0) }
    }
}

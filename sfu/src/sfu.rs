//! One shard's part of the forwarding unit.
//!
//! ```text
//! datagrams ─► handle_batch ─┐ decrypt, read once,                  ┌► other shards, by reference
//! mesh ──────► handle_mesh ──┴► gather by publication ─► flush ─────┴► subscriber by subscriber into the arena
//! commands ──► handle_command    timers ─► handle_timeout           events ◄─ poll_event
//! ```
//! A turn is any number of the inputs, then one `flush`.

mod arrive;
mod bandwidth;
mod data;
mod forward;
mod mesh;
mod publications;
mod reports;
mod shares;
mod speakers;
mod wanted;

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Instant;

use pointsman_wire::clock::{Now, Wheel};
use pointsman_wire::net::{Datagram, FiveTuple, ShardId};
use slab::Slab;

use crate::budget::Table;
use crate::directory::{Directory, Place};
use crate::participant::Participant;
use crate::publication::{Origin, Route};
use crate::speakers::Rooms;
use crate::transport::{DtlsIdentity, TransportEvent};
use crate::{
    CloseReason, Command, Config, DropReason, Egress, Event, MeshMessage, PacketPool, PacketRef, ParticipantId, ParticipantSpec,
    PublicationId, RoomId, Source, Stats,
};
use forward::Desk;
use publications::Publications;
pub use shares::Subscribed;
pub use wanted::Wanted;

/// One shard's participants, with everything they send and receive.
pub struct Sfu {
    config: Config,
    shard: ShardId,
    shards: u16,
    identity: Arc<DtlsIdentity>,
    random: Random,
    directory: Directory,
    participants: Slab<Participant>,
    publications: Publications,
    rooms: Rooms,
    /// The demands of whoever is looked at.
    budget: Table,
    pool: PacketPool,
    desk: Desk,
    /// DTLS that waits for a later turn.
    waiting: VecDeque<(FiveTuple, PacketRef)>,
    handshakes_left: usize,
    /// Messages for data channels, and what is left of a turn for them.
    data: data::Desk,
    wheel: Wheel<Timer>,
    events: VecDeque<Event>,
    stats: Stats,
    /// The time of the last input: when waiting DTLS became due.
    last: Instant,
}

/// What a timer is for. The owner may be gone when it fires.
#[derive(Clone, Copy, Debug)]
enum Timer {
    /// Transport, feedback and reports of a participant, by its place.
    Participant { index: u32, id: ParticipantId },
    /// A look at a publication's layers and caches.
    Publication(PublicationId),
    /// A look at who speaks.
    Room(RoomId),
    /// Nobody came for so long.
    Expected(ParticipantId),
    /// A participant may be sent more of what it gets from the cache.
    Replay { index: u32, id: ParticipantId },
}

impl Sfu {
    /// `shard` of `shards`; `seed` is secret and different for each.
    pub fn new(config: Config, shard: ShardId, shards: u16, identity: Arc<DtlsIdentity>, seed: u64, now: Now) -> Self {
        let mut random = Random(seed);
        Self {
            directory: Directory::new(config.participants_max, config.paths_max, random.next()),
            participants: Slab::new(),
            publications: Publications::new(config.publications_max, config.gathered_max, random.next()),
            budget: Table::default(),
            rooms: Rooms::new(config.speakers.rooms_max, random.next()),
            pool: PacketPool::new(config.pool_slots_max),
            desk: Desk::new(config.gathered_max),
            waiting: VecDeque::new(),
            handshakes_left: config.handshakes_per_turn_max,
            data: data::Desk::new(&config.transport.data),
            wheel: Wheel::new(now.mono),
            events: VecDeque::new(),
            stats: Stats::default(),
            last: now.mono,
            config,
            shard,
            shards,
            identity,
            random,
        }
    }

    /// Takes in what a receive brought. Media is gathered until [`Sfu::flush`]; STUN and DTLS are answered at once.
    pub fn handle_batch<'a>(&mut self, now: Now, batch: impl IntoIterator<Item = Datagram<'a>>, out: &mut impl Egress) {
        self.last = now.mono;
        for datagram in batch {
            if let Err(reason) = self.arrive(now, &datagram.path, datagram.bytes, Whence::Socket, out) {
                self.stats.drops.count(reason);
            }
        }
    }

    /// Takes in a message of another shard. Packets are gathered until [`Sfu::flush`].
    pub fn handle_mesh(&mut self, now: Now, message: MeshMessage, out: &mut impl Egress) {
        self.last = now.mono;
        if let Err(reason) = self.handle_message(now, message, out) {
            self.stats.drops.count(reason);
        }
    }

    /// A client behind our own relay moved, and its relay with it, to this shard (RFC 8016): every shard must know, since whose path it
    /// was only its owner knows.
    pub fn handle_path_moved(&mut self, now: Now, from: FiveTuple, to: FiveTuple, out: &mut impl Egress) {
        self.last = now.mono;
        self.follow(now, &from, to, out);
        for shard in self.others() {
            if !out.to_shard(shard, MeshMessage::PathMoved { from, to }) {
                self.stats.drops.count(DropReason::MeshFull);
            }
        }
    }

    pub fn handle_command(&mut self, now: Now, command: Command, out: &mut impl Egress) {
        self.last = now.mono;
        let result = match command {
            Command::Participant(spec) => self.describe(now, spec, out),
            Command::Remove(participant) => {
                self.remove(now, participant, out);
                Ok(())
            }
            Command::Data(delivery) => self.deliver(now, delivery, out),
        };
        if let Err(reason) = result {
            self.stats.drops.count(reason);
        }
        self.gauge();
    }

    /// Does what is due.
    pub fn handle_timeout(&mut self, now: Now, out: &mut impl Egress) {
        self.last = now.mono;
        self.take_waiting(now, out);
        self.take_deliveries(now, out);
        while let Some(timer) = self.wheel.pop(now.mono) {
            match timer {
                Timer::Participant { index, id } => self.participant_due(now, index, id, out),
                Timer::Publication(id) => self.publication_due(now, id, out),
                Timer::Room(id) => self.room_due(now, id, out),
                Timer::Expected(id) => self.expected_due(id),
                Timer::Replay { index, id } => self.replay_due(index, id),
            }
        }
    }

    /// When [`Sfu::handle_timeout`] is due; it may find nothing to do.
    pub fn poll_timeout(&self) -> Option<Instant> {
        if self.waiting.is_empty() && self.data.is_idle() { self.wheel.next() } else { Some(self.last) }
    }

    pub fn poll_event(&mut self) -> Option<Event> {
        self.events.pop_front()
    }

    /// Whether a participant's connectivity check came on this path: only then DTLS on it is media's.
    pub fn owns(&mut self, path: &FiveTuple) -> bool {
        self.directory.owner(path).is_some()
    }

    pub fn stats(&self) -> &Stats {
        &self.stats
    }

    /// Seals everything with made-up keys of `profile` from now on: which profile a handshake brings is not a benchmark's to choose.
    #[cfg(feature = "bench")]
    pub fn seal_with(&mut self, profile: crate::srtp::Profile) {
        for (_, participant) in &mut self.participants {
            participant.transport.seal_with(profile);
        }
    }

    /// The wanted state of a participant, new or changed.
    fn describe(&mut self, now: Now, spec: Box<ParticipantSpec>, out: &mut impl Egress) -> Result<(), DropReason> {
        let id = spec.id;
        if let Some(&Place::Here(index)) = self.directory.place(id) {
            self.directory.expect(spec.clone())?;
            self.update(now, index, &spec, out);
            self.drain_transport(now, index);
            return Ok(());
        }
        let new = self.directory.place(id).is_none();
        self.directory.expect(spec)?;
        match self.directory.place(id) {
            Some(&Place::Elsewhere { shard, .. }) if new => self.moved_elsewhere(now, id, shard, out),
            Some(Place::Expected { .. }) if new => self.wheel.insert(now.mono + self.config.transport.connect_timeout, Timer::Expected(id)),
            Some(Place::Expected { .. } | Place::Elsewhere { .. } | Place::Here(_)) | None => {}
        }
        Ok(())
    }

    fn remove(&mut self, now: Now, id: ParticipantId, out: &mut impl Egress) {
        if let Some(Place::Here(index)) = self.directory.remove(id)
            && let Some(mut participant) = self.participants.try_remove(index as usize)
        {
            participant.transport.close(now, out);
            for at in 0..participant.downtracks.len() as u16 {
                if let Some(publication) = participant.downtrack(at).and_then(|it| it.publication) {
                    self.release(Route { participant: index, downtrack: at }, publication, out);
                    self.watch(now, publication);
                }
            }
            for receiver in &participant.receivers {
                receiver.voice.into_iter().for_each(|voice| self.rooms.end_voice(voice));
                self.end_publication(receiver.publication);
            }
        }
        self.forget_publisher(id);
    }

    /// The first authentic check of an expected participant came here, and no other shard has it.
    fn instantiate(&mut self, now: Now, id: ParticipantId, out: &mut impl Egress) -> Option<u32> {
        let entry = self.participants.vacant_entry();
        let index = entry.key() as u32;
        let spec = self.directory.settle_here(id, index)?;
        entry.insert(Participant::new(&self.config, &spec, &self.identity, self.random.next(), now));
        self.update(now, index, &spec, out);
        for shard in self.others() {
            if !out.to_shard(shard, MeshMessage::Claimed { participant: id, shard: self.shard }) {
                self.stats.drops.count(DropReason::MeshFull);
            }
        }
        self.push_event(Event::Claimed { participant: id, shard: self.shard });
        self.gauge();
        Some(index)
    }

    fn update(&mut self, now: Now, index: u32, spec: &ParticipantSpec, out: &mut impl Egress) {
        let Some(participant) = self.participants.get_mut(index as usize) else { return };
        let random = &mut self.random;
        let changes = participant.update(&self.config, spec, &mut || random.next(), now);
        changes.voices_ended.into_iter().for_each(|voice| self.rooms.end_voice(voice));
        for publication in changes.ended {
            self.end_publication(publication);
        }
        for receiver in changes.begun {
            self.begin_publication(index, spec.id, receiver);
        }
        if let Some(participant) = self.participants.get_mut(index as usize) {
            participant.index_streams();
        }
        self.describe_layers(now, index, out);
        for (at, publication) in changes.released {
            self.release(Route { participant: index, downtrack: at }, publication, out);
        }
        for (at, source) in changes.wanted {
            self.subscribe(now, Route { participant: index, downtrack: at }, source, out);
        }
        for _ in 0..changes.refused {
            self.stats.drops.count(DropReason::DowntracksMax);
        }
        // What is wanted may have changed.
        if let Some(participant) = self.participants.get_mut(index as usize) {
            participant.share_due = Some(now.mono);
        }
        self.watch_wanted(now, index);
        self.schedule(index);
    }

    fn subscribe(&mut self, now: Now, route: Route, source: Source, out: &mut impl Egress) {
        let Some(at) = self.publications.get_or_insert(source.publication) else {
            self.stats.drops.count(DropReason::PublicationsMax);
            return;
        };
        let Some(downtrack) = self.participants.get_mut(route.participant as usize).and_then(|it| it.downtrack(route.downtrack)) else {
            return;
        };
        downtrack.set_publication(Some(at));
        let publication = &mut self.publications.table[at as usize];
        publication.publisher = Some(source.publisher);
        publication.routes.push(route);
        if let (Origin::Unknown, Some(&Place::Elsewhere { shard, .. })) = (publication.origin, self.directory.place(source.publisher)) {
            publication.origin = Origin::Shard { shard, asked: false };
        }
        self.attach(at, out);
        self.watch(now, at);
        self.note_wanted(now, at, out);
    }

    /// Takes a downtrack off its publication, which may end with it.
    fn release(&mut self, route: Route, publication: u32, out: &mut impl Egress) {
        let Some(from) = self.publications.table.get_mut(publication as usize) else { return };
        from.routes.retain(|other| *other != route);
        if from.routes.is_empty() {
            self.detach(publication, out);
        }
        self.publications.remove_idle(publication);
    }

    fn expected_due(&mut self, id: ParticipantId) {
        // Every shard expects it; one tells.
        if self.shard == ShardId(0) && matches!(self.directory.place(id), Some(Place::Expected { .. })) {
            self.push_event(Event::Closed { participant: id, reason: CloseReason::NeverConnected });
        }
    }

    /// Passes on what happened to a participant's transport.
    pub(super) fn drain_transport(&mut self, now: Now, index: u32) {
        let Some(participant) = self.participants.get_mut(index as usize) else { return };
        let id = participant.id;
        while let Some(event) = participant.transport.poll_event() {
            let event = match (event, participant.transport.path()) {
                (TransportEvent::Connected, Some(path)) => {
                    participant.connected = true;
                    participant.begin_reports(now, &self.config);
                    participant.share_due = Some(now.mono);
                    self.stats.connected += 1;
                    Event::Connected { participant: id, path }
                }
                (TransportEvent::PathChanged(path), _) if participant.connected => Event::PathChanged { participant: id, path },
                (TransportEvent::Closed(reason), _) => {
                    participant.connected = false;
                    Event::Closed { participant: id, reason }
                }
                (TransportEvent::Connected, None) | (TransportEvent::PathChanged(_), _) => continue,
            };
            push_bounded(&mut self.events, &self.config, &mut self.stats, event);
        }
        self.drain_data(now, index);
        self.schedule(index);
    }

    /// Makes sure that a participant's timer fires when something of it is due.
    fn schedule(&mut self, index: u32) {
        let Some(participant) = self.participants.get_mut(index as usize) else { return };
        let Some(due) = participant.next_due() else { return };
        if participant.timer.is_none_or(|timer| due < timer) {
            participant.timer = Some(due);
            self.wheel.insert(due, Timer::Participant { index, id: participant.id });
        }
    }

    fn push_event(&mut self, event: Event) {
        push_bounded(&mut self.events, &self.config, &mut self.stats, event);
    }

    fn others(&self) -> impl Iterator<Item = ShardId> + use<> {
        let own = self.shard;
        (0..self.shards).map(ShardId).filter(move |shard| *shard != own)
    }

    fn gauge(&mut self) {
        let downtracks = |participant: &Participant| participant.downtracks.iter().filter(|it| it.publication.is_some()).count();
        self.stats.participants = self.participants.len() as u64;
        self.stats.expected = self.directory.expected();
        self.stats.publications = self.participants.iter().map(|(_, it)| it.receivers.len() as u64).sum();
        self.stats.subscriptions = self.participants.iter().map(|(_, it)| downtracks(it) as u64).sum();
    }
}

/// Where a datagram came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Whence {
    Socket,
    /// Another shard handed it on: it goes no further than this one.
    Mesh,
}

fn push_bounded(events: &mut VecDeque<Event>, config: &Config, stats: &mut Stats, event: Event) {
    if events.len() >= config.events_max {
        stats.drops.count(DropReason::EventsMax);
    } else {
        events.push_back(event);
    }
}

/// SplitMix64: numbers that need no secrecy of their own.
#[derive(Clone, Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }
}

impl std::fmt::Debug for Sfu {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Sfu").field("shard", &self.shard).field("participants", &self.participants.len()).finish_non_exhaustive()
    }
}

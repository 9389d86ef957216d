//! The send arena: packets lie one behind another, and those of one destination that are equal in size become one train.
//!
//! ```text
//! bytes   | a a a a | b b | a a | …            each letter a datagram, by destination
//! trains  a: [parts 0, 2]   b: [part 1]        one message with UDP_SEGMENT each
//! ```
//! A train is closed by a datagram shorter than the rest (which may be its last), by a longer one (which begins the next train),
//! by its maximum of datagrams and by the kernel's maximum of bytes. A later datagram joins its destination's *latest* train
//! only, so the order per destination is kept.

use std::hash::BuildHasher;
use std::net::{IpAddr, SocketAddr};
use std::ops::Range;

use foldhash::fast::RandomState;

/// Most datagrams in a train: what every kernel that has UDP_SEGMENT takes.
pub const TRAIN_MAX: u16 = 64;
/// Most bytes in a train: a UDP datagram's over IPv6.
const TRAIN_BYTES_MAX: u32 = 65_487;
/// Datagrams above this travel alone: a train whose datagrams exceed the path's MTU is refused, a single one is fragmented.
const SEGMENT_MAX: u32 = 1_424;
const NONE: u32 = u32::MAX;

/// Where a datagram goes and through which socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Route {
    /// Number of a socket, as its owner counts.
    pub socket: u32,
    /// Local address to leave from; `None` leaves it to the socket.
    pub from: Option<IpAddr>,
    pub to: SocketAddr,
    /// Routers must not cut it (RFC 8656 section 14).
    pub dont_fragment: bool,
}

/// Datagrams that leave together.
#[derive(Clone, Copy, Debug)]
pub struct Train {
    pub route: Route,
    /// Length of every datagram but the last, which may be shorter.
    pub segment: u16,
    /// Datagrams.
    pub count: u16,
    pub bytes: u32,
    /// Stretches of the arena that it is made of.
    pub parts: u16,
    closed: bool,
    first_part: u32,
    last_part: u32,
}

#[derive(Clone, Copy, Debug)]
struct Part {
    start: u32,
    end: u32,
    next: u32,
}

pub struct SendArena {
    bytes: Vec<u8>,
    /// End of what is committed.
    tail: usize,
    trains: Vec<Train>,
    parts: Vec<Part>,
    /// Most entries of `trains` and of `parts`.
    trains_max: usize,
    latest: Latest,
    /// Where the last datagram went, and its train: datagrams come in runs.
    last: Option<(Route, u32)>,
}

impl SendArena {
    pub fn new(bytes: usize, trains_max: usize) -> Self {
        Self {
            bytes: vec![0; bytes],
            tail: 0,
            trains: Vec::with_capacity(trains_max),
            parts: Vec::with_capacity(trains_max),
            trains_max,
            latest: Latest::new(trains_max),
            last: None,
        }
    }

    /// Whether a datagram of `len` bytes finds room.
    pub fn has_room(&self, len: usize) -> bool {
        self.bytes.len() - self.tail >= len && self.parts.len() < self.trains_max
    }

    /// Space for one datagram of at most `len` bytes. `None` when there is no room. Not committed, it is handed out again.
    pub fn slot(&mut self, len: usize) -> Option<&mut [u8]> {
        if !self.has_room(len) {
            return None;
        }
        Some(&mut self.bytes[self.tail..self.tail + len])
    }

    /// The first `len` bytes of the last slot, before they are committed.
    pub fn last_slot(&self, len: usize) -> Option<&[u8]> {
        self.bytes.get(self.tail..self.tail + len)
    }

    /// The first `len` bytes of the last slot are a datagram. `train_max` is 1 where trains do not work.
    pub fn commit(&mut self, route: &Route, len: usize, train_max: u16) {
        let start = self.tail as u32;
        let end = start + len as u32;
        debug_assert!(end as usize <= self.bytes.len());
        self.tail = end as usize;
        let latest = match &self.last {
            Some((last, train)) if last == route => *train,
            _ => self.latest.find(route, &self.trains),
        };
        let joined = self.trains.get_mut(latest as usize).is_some_and(|train| train.join(&mut self.parts, start, end, train_max));
        let train = if joined { latest } else { self.begin(route, start, end) };
        self.last = Some((*route, train));
    }

    fn begin(&mut self, route: &Route, start: u32, end: u32) -> u32 {
        let len = end - start;
        let part = self.parts.len() as u32;
        self.parts.push(Part { start, end, next: NONE });
        let train = self.trains.len() as u32;
        self.trains.push(Train {
            route: *route,
            segment: len as u16,
            count: 1,
            bytes: len,
            parts: 1,
            // A datagram without bytes would not be seen in a train.
            closed: len > SEGMENT_MAX || len == 0,
            first_part: part,
            last_part: part,
        });
        self.latest.set(train, &self.trains);
        train
    }

    pub fn trains(&self) -> &[Train] {
        &self.trains
    }

    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The stretches of the arena that make up a train, in order.
    pub fn parts(&self, train: &Train) -> impl Iterator<Item = Range<usize>> {
        let mut at = train.first_part;
        std::iter::from_fn(move || {
            let part = self.parts.get(at as usize)?;
            at = part.next;
            Some(part.start as usize..part.end as usize)
        })
    }

    /// A train's datagrams, one by one. A part holds whole datagrams.
    pub fn datagrams(&self, train: &Train) -> impl Iterator<Item = Range<usize>> {
        let segment = usize::from(train.segment).max(1);
        self.parts(train).flat_map(move |part| {
            let count = part.len().div_ceil(segment).max(1);
            (0..count).map(move |at| part.start + at * segment..(part.start + (at + 1) * segment).min(part.end))
        })
    }

    pub fn is_empty(&self) -> bool {
        self.trains.is_empty()
    }

    /// Forgets every datagram. What was written to a slot is lost unless it was committed and sent.
    pub fn clear(&mut self) {
        self.tail = 0;
        self.trains.clear();
        self.parts.clear();
        self.latest.clear();
        self.last = None;
    }
}

impl Train {
    /// Appends the datagram at `start..end` of the arena if it may.
    fn join(&mut self, parts: &mut Vec<Part>, start: u32, end: u32, train_max: u16) -> bool {
        let len = end - start;
        let segment = u32::from(self.segment);
        if self.closed || self.count >= train_max.min(TRAIN_MAX) || len > segment || len == 0 || self.bytes + len > TRAIN_BYTES_MAX {
            return false;
        }
        match parts.get_mut(self.last_part as usize) {
            Some(last) if last.end == start => last.end = end,
            Some(_) => self.add_part(parts, start, end),
            None => return false,
        }
        self.count += 1;
        self.bytes += len;
        self.closed = len < segment;
        true
    }

    fn add_part(&mut self, parts: &mut Vec<Part>, start: u32, end: u32) {
        let part = parts.len() as u32;
        if let Some(last) = parts.get_mut(self.last_part as usize) {
            last.next = part;
        }
        parts.push(Part { start, end, next: NONE });
        self.last_part = part;
        self.parts += 1;
    }
}

/// The latest train of every destination: an open table, twice as large as it ever gets full, whose entries name the turn that they are
/// of. Emptying it is one addition, where a map would be wiped once per turn.
struct Latest {
    places: Vec<Place>,
    epoch: u32,
    hasher: RandomState,
}

#[derive(Clone, Copy)]
struct Place {
    epoch: u32,
    train: u32,
}

impl Latest {
    fn new(trains_max: usize) -> Self {
        let places = (2 * trains_max).next_power_of_two();
        Self { places: vec![Place { epoch: 0, train: NONE }; places], epoch: 1, hasher: RandomState::default() }
    }

    fn find(&self, route: &Route, trains: &[Train]) -> u32 {
        self.places.get(self.place_of(route, trains)).filter(|place| place.epoch == self.epoch).map_or(NONE, |place| place.train)
    }

    /// Train number `train` is its destination's latest.
    fn set(&mut self, train: u32, trains: &[Train]) {
        let Some(route) = trains.get(train as usize).map(|train| &train.route) else { return };
        let at = self.place_of(route, trains);
        if let Some(place) = self.places.get_mut(at) {
            *place = Place { epoch: self.epoch, train };
        }
    }

    fn clear(&mut self) {
        self.epoch = self.epoch.wrapping_add(1);
        if self.epoch == 0 {
            self.places.fill(Place { epoch: 0, train: NONE });
            self.epoch = 1;
        }
    }

    /// Where the destination stands, or the free place where it belongs: there are at most half as many destinations as places.
    fn place_of(&self, route: &Route, trains: &[Train]) -> usize {
        let mask = self.places.len() - 1;
        let mut at = self.hasher.hash_one(route) as usize & mask;
        while let Some(place) = self.places.get(at).filter(|place| place.epoch == self.epoch) {
            if trains.get(place.train as usize).is_some_and(|train| train.route == *route) {
                break;
            }
            at = (at + 1) & mask;
        }
        at
    }
}

#[cfg(test)]
mod tests;

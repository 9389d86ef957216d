//! A hierarchical timer wheel with ticks of one millisecond.
//!
//! ```text
//! level 0   64 slots of 1 ms        what is due in the running 64 ms
//! level 1   64 slots of 64 ms       what is due in the running 4.096 s, and so on
//! ```
//! A timer lies in the level of the highest six-bit digit in which its tick differs from the wheel's: so everything in a lower
//! level is due before anything in a higher one, and the next slot is found in two bit maps. When the wheel reaches a slot of a
//! higher level its timers move down; each moves at most once per level.

use std::time::{Duration, Instant};

/// Timers, each with a key. There is no cancellation: the owner of a popped key checks whether it still matters.
///
/// A timer is never early, and never late by more than one tick (1 ms) if [`Wheel::pop`] is called when [`Wheel::next`] says so.
/// Keys of the same tick come in no particular order. Memory grows to the largest number of timers that were ever pending
/// and is reused from then on; how many there may be is the owner's limit.
#[derive(Debug)]
pub struct Wheel<K> {
    origin: Instant,
    /// Where the wheel stands: every pending timer of a slot is later.
    tick: u64,
    /// First tick at which a new timer may be due, so that a loop of pop and insert at the same time ends.
    earliest: u64,
    levels_used: u8,
    levels: [Level; LEVELS],
    /// Due, not yet popped.
    due: u32,
    nodes: Vec<Node<K>>,
    free: u32,
    len: usize,
}

#[derive(Debug)]
struct Level {
    used: u64,
    heads: [u32; SLOTS],
}

#[derive(Debug)]
struct Node<K> {
    tick: u64,
    next: u32,
    key: Option<K>,
}

const DIGIT: u32 = 6;
const SLOTS: usize = 1 << DIGIT;
const LEVELS: usize = 7;
/// 139 years.
const TICK_MAX: u64 = (1 << (DIGIT * LEVELS as u32)) - 1;
const NONE: u32 = u32::MAX;

impl<K> Wheel<K> {
    /// `origin` is the earliest time that the wheel will hear of.
    pub fn new(origin: Instant) -> Self {
        Self {
            origin,
            tick: 0,
            earliest: 0,
            levels_used: 0,
            levels: [const { Level { used: 0, heads: [NONE; SLOTS] } }; LEVELS],
            due: NONE,
            nodes: Vec::new(),
            free: NONE,
            len: 0,
        }
    }

    /// Pending timers.
    pub fn len(&self) -> usize {
        self.len
    }

    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// `key` comes out of [`Wheel::pop`] at `at`, rounded up to the next tick. A time at or before that of the last `pop` counts as one tick after it.
    pub fn insert(&mut self, at: Instant, key: K) {
        let tick = self.tick_from(at).max(self.earliest);
        let node = Node { tick, next: NONE, key: Some(key) };
        let index = if self.free == NONE {
            self.nodes.push(node);
            (self.nodes.len() - 1) as u32
        } else {
            let index = self.free;
            self.free = self.nodes[index as usize].next;
            self.nodes[index as usize] = node;
            index
        };
        self.len += 1;
        self.place(index);
    }

    /// When to call [`Wheel::pop`]: at most the time of the next timer, and earlier when that is far (then `pop` finds nothing
    /// and moves timers closer, at most six times for one timer). O(1).
    pub fn next(&self) -> Option<Instant> {
        if self.due != NONE {
            return Some(self.time_of(self.tick));
        }
        self.next_slot().map(|(_, _, start)| self.time_of(start))
    }

    /// A key that is due at `now`. Call until there is none. Times must not go backwards.
    pub fn pop(&mut self, now: Instant) -> Option<K> {
        let now = self.tick_until(now);
        self.earliest = self.earliest.max(now + 1);
        while self.due == NONE {
            let Some((level, slot, start)) = self.next_slot().filter(|&(_, _, start)| start <= now) else {
                self.tick = self.tick.max(now);
                return None;
            };
            self.tick = start;
            self.empty_slot(level, slot);
        }
        let index = self.due;
        let node = &mut self.nodes[index as usize];
        self.due = node.next;
        node.next = self.free;
        self.free = index;
        self.len -= 1;
        node.key.take()
    }

    fn next_slot(&self) -> Option<(usize, usize, u64)> {
        if self.levels_used == 0 {
            return None;
        }
        let level = self.levels_used.trailing_zeros() as usize;
        let slot = self.levels[level].used.trailing_zeros() as usize;
        let shift = DIGIT * level as u32;
        let start = (self.tick >> (shift + DIGIT) << (shift + DIGIT)) | (slot as u64) << shift;
        Some((level, slot, start))
    }

    /// Every timer of a slot that the wheel has reached moves to a lower level, or is due.
    fn empty_slot(&mut self, level: usize, slot: usize) {
        let mut index = std::mem::replace(&mut self.levels[level].heads[slot], NONE);
        self.levels[level].used &= !(1 << slot);
        if self.levels[level].used == 0 {
            self.levels_used &= !(1 << level);
        }
        while index != NONE {
            let next = self.nodes[index as usize].next;
            self.place(index);
            index = next;
        }
    }

    fn place(&mut self, index: u32) {
        let node = &mut self.nodes[index as usize];
        if node.tick <= self.tick {
            node.next = self.due;
            self.due = index;
            return;
        }
        let level = (u64::BITS - 1 - (node.tick ^ self.tick).leading_zeros()) / DIGIT;
        let slot = (node.tick >> (DIGIT * level)) as usize % SLOTS;
        let row = &mut self.levels[level as usize];
        node.next = row.heads[slot];
        row.heads[slot] = index;
        row.used |= 1 << slot;
        self.levels_used |= 1 << level;
    }

    fn tick_from(&self, at: Instant) -> u64 {
        let nanos = at.saturating_duration_since(self.origin).as_nanos();
        u64::try_from(nanos.div_ceil(1_000_000)).unwrap_or(TICK_MAX).min(TICK_MAX)
    }

    fn tick_until(&self, now: Instant) -> u64 {
        let millis = now.saturating_duration_since(self.origin).as_millis();
        u64::try_from(millis).unwrap_or(TICK_MAX).min(TICK_MAX - 1)
    }

    fn time_of(&self, tick: u64) -> Instant {
        self.origin + Duration::from_millis(tick)
    }
}

#[cfg(test)]
mod tests;

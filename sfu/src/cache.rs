//! The last packets of a layer, for retransmission.

use std::time::{Duration, Instant};

use crate::{DropReason, Facts, PacketRef};

/// A ring indexed by sequence number. It takes its memory with the first packet and never again.
#[derive(Debug)]
pub struct Cache {
    ring: Vec<Option<Kept>>,
    /// A power of two.
    capacity: usize,
    /// Everything before is gone.
    oldest: u64,
    /// One after the newest.
    end: u64,
}

#[derive(Clone, Debug)]
pub struct Kept {
    pub facts: Facts,
    pub packet: PacketRef,
    at: Instant,
}

impl Cache {
    pub fn new(capacity: usize) -> Self {
        Self { ring: Vec::new(), capacity: capacity.next_power_of_two(), oldest: 0, end: 0 }
    }

    /// Keeps a packet. An error when it is here already, or older than everything that is kept.
    pub fn insert(&mut self, now: Instant, facts: &Facts, packet: &PacketRef) -> Result<(), DropReason> {
        if self.ring.is_empty() {
            self.ring.resize_with(self.capacity, || None);
            self.oldest = facts.sequence;
        }
        let reach = self.end.saturating_sub(self.capacity as u64);
        if facts.sequence < reach {
            return Err(DropReason::OutOfRange);
        }
        let slot = &mut self.ring[facts.sequence as usize & (self.capacity - 1)];
        if slot.as_ref().is_some_and(|kept| kept.facts.sequence == facts.sequence) {
            return Err(DropReason::Duplicate);
        }
        *slot = Some(Kept { facts: *facts, packet: PacketRef::clone(packet), at: now });
        self.oldest = self.oldest.min(facts.sequence);
        self.end = self.end.max(facts.sequence + 1);
        Ok(())
    }

    pub fn get(&self, sequence: u64) -> Option<&Kept> {
        let slot = self.ring.get(sequence as usize & (self.capacity - 1))?;
        slot.as_ref().filter(|kept| kept.facts.sequence == sequence)
    }

    pub fn newest(&self) -> Option<u64> {
        self.end.checked_sub(1)
    }

    /// Lets go of what is older than `age_max`.
    pub fn expire(&mut self, now: Instant, age_max: Duration) {
        self.oldest = self.oldest.max(self.end.saturating_sub(self.capacity as u64));
        while self.oldest < self.end {
            let Some(slot) = self.ring.get_mut(self.oldest as usize & (self.capacity - 1)) else { return };
            match slot {
                Some(kept) if now.saturating_duration_since(kept.at) < age_max => return,
                Some(_) | None => *slot = None,
            }
            self.oldest += 1;
        }
    }
}

#[cfg(test)]
#[allow(clippy::disallowed_methods, reason = "a test needs some origin")]
mod tests {
    use super::*;
    use crate::{Carried, Codec, PacketPool, Span};

    fn facts(sequence: u64) -> Facts {
        let payload = Span { at: 12, len: 1 };
        Facts {
            codec: Codec::Opus,
            sequence,
            timestamp: 0,
            marker: false,
            entry: true,
            payload,
            carried: Carried::NONE,
            allocation: Span::NONE,
            picture_id: None,
            tl0_index: None,
            frame: crate::facts::Frame::WHOLE,
        }
    }

    #[test]
    fn keeps_the_newest_and_refuses_what_came_before() {
        let (now, mut pool, mut cache) = (Instant::now(), PacketPool::new(8), Cache::new(4));
        let packet = pool.take(|_| Some(20)).unwrap();
        for sequence in [10, 12, 11, 14] {
            assert_eq!(cache.insert(now, &facts(sequence), &packet), Ok(()));
        }
        assert_eq!(cache.insert(now, &facts(12), &packet), Err(DropReason::Duplicate));
        assert_eq!(cache.insert(now, &facts(10), &packet), Err(DropReason::OutOfRange));
        assert!(cache.get(10).is_none() && cache.get(13).is_none());
        assert!([11, 12, 14].into_iter().all(|sequence| cache.get(sequence).is_some()));
        // A stream that starts anew is far ahead.
        assert_eq!(cache.insert(now, &facts(1 << 48), &packet), Ok(()));
        assert_eq!(cache.newest(), Some(1 << 48));
    }

    #[test]
    fn gives_packets_back_when_they_are_old() {
        let (now, mut pool, mut cache) = (Instant::now(), PacketPool::new(1024), Cache::new(64));
        for sequence in 0..50 {
            let packet = pool.take(|_| Some(20)).unwrap();
            let at = now + Duration::from_millis(10 * sequence);
            cache.insert(at, &facts(sequence), &packet).unwrap();
        }
        cache.expire(now + Duration::from_millis(600), Duration::from_millis(300));
        assert!(cache.get(30).is_none() && cache.get(31).is_some());
        cache.insert(now + Duration::from_millis(600), &facts(1 << 48), &pool.take(|_| Some(20)).unwrap()).unwrap();
        cache.expire(now + Duration::from_secs(9), Duration::from_millis(300));
        assert!((0..50).all(|sequence| cache.get(sequence).is_none()), "also of the stream before");
    }
}

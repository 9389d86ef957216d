//! Where allocations went that left for another shard (RFC 8016).
//!
//! A ticket names the shard that gave it. When its allocation moves on, whoever has lost the answer, and with it the new ticket, still
//! shows the old one: the shard that it names must know where to send them.

use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use pointsman_wire::net::ShardId;

use crate::mobility::{Handle, Ticket};

/// RFC 8656 section 7.2: the longest that a client without further wishes stays silent.
const REMEMBERED: Duration = Duration::from_secs(600);

#[derive(Clone, Copy)]
struct Departure {
    ticket: Ticket,
    to: ShardId,
    until: Instant,
}

/// Departures of a while, so many at most: the oldest give way.
pub(crate) struct Departures {
    by_handle: HashMap<Handle, Departure, FixedState>,
    in_order: VecDeque<(Instant, Handle)>,
    departures_max: usize,
}

impl Departures {
    pub(crate) fn new(departures_max: usize, hash_seed: u64) -> Self {
        Self { by_handle: HashMap::with_hasher(FixedState::with_seed(hash_seed)), in_order: VecDeque::new(), departures_max }
    }

    /// The allocation went there when this ticket was shown.
    pub(crate) fn note(&mut self, now: Instant, ticket: Ticket, to: ShardId) {
        while let Some((until, handle)) = self.in_order.front().copied() {
            if until > now && self.in_order.len() < self.departures_max {
                break;
            }
            self.in_order.pop_front();
            // It may have left once more since then.
            if self.by_handle.get(&handle).is_some_and(|departure| departure.until == until) {
                self.by_handle.remove(&handle);
            }
        }
        let until = now + REMEMBERED;
        self.by_handle.insert(ticket.handle(), Departure { ticket, to, until });
        self.in_order.push_back((until, ticket.handle()));
    }

    /// It came back.
    pub(crate) fn forget(&mut self, ticket: Ticket) {
        self.by_handle.remove(&ticket.handle());
    }

    pub(crate) fn destination(&self, now: Instant, ticket: Ticket) -> Option<ShardId> {
        let departure = self.by_handle.get(&ticket.handle())?;
        (departure.until > now && departure.ticket == ticket).then_some(departure.to)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Reads the clock once, so that there is an `Instant` at all.
    #[allow(clippy::disallowed_methods)]
    fn origin() -> Instant {
        Instant::now()
    }

    fn ticket(number: u8) -> Ticket {
        Ticket::new(ShardId(0), [number; 23])
    }

    #[test]
    fn departures_are_remembered_for_a_while_and_only_so_many() {
        let start = origin();
        let mut departures = Departures::new(3, 1);
        for number in 1..=4 {
            departures.note(start, ticket(number), ShardId(u16::from(number)));
        }
        let known =
            |departures: &Departures, at| (1..=5).filter_map(|n| departures.destination(at, ticket(n))).map(|to| to.0).collect::<Vec<_>>();
        assert_eq!(known(&departures, start), [2, 3, 4]);
        departures.forget(ticket(3));
        assert_eq!(known(&departures, start), [2, 4]);
        let later = start + Duration::from_secs(300);
        departures.note(later, ticket(2), ShardId(9));
        assert_eq!(known(&departures, start + Duration::from_secs(601)), [9]);
        departures.note(start + Duration::from_secs(700), ticket(5), ShardId(5));
        assert_eq!(known(&departures, start + Duration::from_secs(700)), [9, 5]);
        assert!(departures.in_order.len() <= 3 && departures.by_handle.len() <= 3);
    }

    #[test]
    fn the_whole_ticket_must_fit() {
        let start = origin();
        let mut departures = Departures::new(3, 1);
        departures.note(start, ticket(1), ShardId(1));
        let mut other = [1; 23];
        other[22] = 2;
        assert_eq!(departures.destination(start, Ticket::new(ShardId(0), other)), None);
    }
}

//! Allocations go: given up, run out, without their client's connection, or ended by an operator.

use std::time::{Duration, Instant};

use pointsman_wire::clock::Now;
use pointsman_wire::net::FiveTuple;
use pointsman_wire::stun::Method;
use pointsman_wire::stun::attribute::Family;

use super::reply::{Question, Rejection};
use super::{Server, Timer};
use crate::allocation::Allocation;
use crate::verdict::Output;
use crate::view::{AllocationId, Ending, NoteKind};

impl Server {
    /// A client's TCP or TLS connection or DTLS association is gone: its allocation goes, unless mobility keeps it.
    pub fn handle_client_closed(&mut self, now: Now, client: FiveTuple) {
        self.forget_joined(client);
        let Some(index) = self.clients.get(&client).copied() else { return };
        let may_park = self.parked < self.config.parked_max;
        match self.allocations.get_mut(index as usize) {
            Some(allocation) if allocation.tickets.current.is_some() && allocation.opening.is_none() && may_park => {
                // RFC 8016: its client comes back with the ticket, or it runs out.
                allocation.parked = true;
                allocation.waiting.clear();
                let until = now.mono + Duration::from_secs(self.config.parked_lifetime_s.into());
                allocation.expires = allocation.expires.min(until);
                let expires = allocation.expires;
                self.clients.remove(&client);
                self.parked += 1;
                self.arm(index, expires);
            }
            Some(_) | None => self.end(index, Ending::Closed),
        }
    }

    /// Ends an allocation; false if there is none of this id.
    pub fn kill(&mut self, _now: Now, allocation: AllocationId) -> bool {
        let found = self.allocations.get(allocation.index as usize).filter(|a| a.generation == allocation.generation);
        let Some(client) = found.filter(|_| allocation.shard == self.shard).map(|a| a.client) else { return false };
        self.end(allocation.index, Ending::Killed);
        self.close_client(client);
        true
    }

    /// No socket to be had: 508, and nothing remains.
    pub(super) fn fail(&mut self, index: u32) {
        let Some(allocation) = self.allocations.get(index as usize) else { return };
        let question = Question { client: allocation.client, method: Method::ALLOCATE, id: allocation.transaction };
        let (key, style) = (allocation.key, allocation.style);
        let decided = self.reject(question, key, style, &Rejection::INSUFFICIENT_CAPACITY);
        self.queue_reply(decided);
        self.stats.allocations_refused_total += 1;
        self.delete(index);
    }

    /// Ends an allocation that its client knows of.
    pub(super) fn end(&mut self, index: u32, ending: Ending) {
        self.note(index, NoteKind::Deleted(ending));
        self.delete(index);
    }

    /// Removes an allocation and closes what is its. What it reserved stays reserved.
    pub(super) fn delete(&mut self, index: u32) {
        self.drop_reserved(index);
        let Some(allocation) = self.take_out(index) else { return };
        self.ledger.give_back(&allocation.realm, &allocation.owner, allocation.bps);
        for own in allocation.relays.into_iter().flatten() {
            self.close_relay(own);
        }
        for connection in allocation.connections {
            self.forget_connection(connection);
            self.outputs.push_back(Output::CloseConnection { connection });
        }
    }

    /// Removes an allocation from the tables by which it is found; its relays, connections and quota stay as they are.
    pub(super) fn take_out(&mut self, index: u32) -> Option<Allocation> {
        let allocation = self.allocations.try_remove(index as usize)?;
        if allocation.parked {
            self.parked -= 1;
        } else {
            self.clients.remove(&allocation.client);
        }
        for ticket in [allocation.tickets.current, allocation.tickets.previous].into_iter().flatten() {
            self.tickets.remove(&ticket.handle());
        }
        self.stats.allocations = self.allocations.len() as u64;
        *self.stats.of_protocol(allocation.client.protocol) -= 1;
        Some(allocation)
    }

    /// Ends one half of a dual allocation.
    pub(super) fn close_relay_of(&mut self, index: u32, family: Family) {
        let own = self.allocations.get(index as usize).and_then(|allocation| allocation.relay(family));
        if let Some(own) = own {
            self.discard_relay(index, own.port);
        }
    }

    /// Makes sure that a timer is due no later than `at`. There is about one per index, however often clients refresh.
    pub(super) fn arm(&mut self, index: u32, at: Instant) {
        let slot = index as usize;
        if self.allocation_timers.len() <= slot {
            self.allocation_timers.resize(slot + 1, None);
        }
        let Some(pending) = self.allocation_timers.get_mut(slot) else { return };
        if pending.is_none_or(|pending| at < pending) {
            *pending = Some(at);
            self.timers.insert(at, Timer::Allocation(index));
        }
    }

    pub(super) fn allocation_due(&mut self, now: Now, index: u32) {
        if let Some(pending) = self.allocation_timers.get_mut(index as usize).filter(|p| p.is_some_and(|at| at <= now.mono)) {
            *pending = None;
        }
        let Some(allocation) = self.allocations.get(index as usize) else { return };
        let (expires, opening) = (allocation.expires, allocation.opening.is_some());
        if expires > now.mono {
            return self.arm(index, expires);
        }
        if opening {
            return self.fail(index);
        }
        self.stats.allocations_expired_total += 1;
        self.end(index, Ending::Expired);
    }
}

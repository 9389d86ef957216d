//! What allocations carried that have ended: coturn's traffic metrics count nothing else.

use std::collections::BTreeMap;
use std::ops::AddAssign;
use std::sync::{Mutex, PoisonError};

/// Realms, and users of each, that are told apart. Whoever comes later is counted under an empty label: names are chosen by clients.
const LABELS_MAX: usize = 10_000;

/// One side's packets and payload bytes, as the server sees them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Flow {
    pub received_packets: u64,
    pub received_bytes: u64,
    pub sent_packets: u64,
    pub sent_bytes: u64,
}

impl AddAssign for Flow {
    fn add_assign(&mut self, more: Self) {
        self.received_packets += more.received_packets;
        self.received_bytes += more.received_bytes;
        self.sent_packets += more.sent_packets;
        self.sent_bytes += more.sent_bytes;
    }
}

/// An allocation's traffic.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Traffic {
    /// Between the client and us.
    pub client: Flow,
    /// Between us and its peers.
    pub peer: Flow,
}

impl AddAssign for Traffic {
    fn add_assign(&mut self, more: Self) {
        self.client += more.client;
        self.peer += more.peer;
    }
}

/// Sums over allocations that have ended.
#[derive(Debug)]
pub struct Finished {
    with_users: bool,
    labels_max: usize,
    sums: Mutex<Sums>,
}

#[derive(Clone, Debug, Default)]
pub(super) struct Sums {
    pub(super) total: Traffic,
    /// By realm and user; the user is empty when users are not told apart.
    pub(super) by: BTreeMap<(Box<str>, Box<str>), Traffic>,
}

impl Finished {
    /// `with_users`: one series per user, too (coturn: `prometheus-username-labels`).
    pub fn new(with_users: bool) -> Self {
        Self { with_users, labels_max: LABELS_MAX, sums: Mutex::default() }
    }

    /// Counts an allocation that has ended.
    pub fn add(&self, realm: &str, user: &str, traffic: Traffic) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sums.total += traffic;
        let key: (Box<str>, Box<str>) = (realm.into(), if self.with_users { user.into() } else { "".into() });
        let full = sums.by.len() >= self.labels_max && !sums.by.contains_key(&key);
        *sums.by.entry(if full { ("".into(), "".into()) } else { key }).or_default() += traffic;
    }

    pub(super) fn with_users(&self) -> bool {
        self.with_users
    }

    pub(super) fn read(&self) -> Sums {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Default for Finished {
    fn default() -> Self {
        Self::new(false)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn received(bytes: u64) -> Traffic {
        Traffic { client: Flow { received_packets: 1, received_bytes: bytes, ..Flow::default() }, ..Traffic::default() }
    }

    #[test]
    fn users_are_told_apart_only_if_wanted() {
        for (with_users, series) in [(false, 1), (true, 2)] {
            let finished = Finished::new(with_users);
            finished.add("example.org", "alice", received(10));
            finished.add("example.org", "bob", received(5));
            let sums = finished.read();
            assert_eq!((sums.by.len(), sums.total.client.received_bytes, sums.total.client.received_packets), (series, 15, 2));
        }
    }

    #[test]
    fn names_beyond_the_bound_share_one_series() {
        let finished = Finished { labels_max: 2, ..Finished::new(true) };
        for user in ["a", "b", "c", "d", "a"] {
            finished.add("example.org", user, received(1));
        }
        let sums = finished.read();
        let of = |realm: &str, user: &str| sums.by.get(&(realm.into(), user.into())).unwrap().client.received_packets;
        assert_eq!((sums.by.len(), of("example.org", "a"), of("", ""), sums.total.client.received_packets), (3, 2, 2, 5));
    }
}

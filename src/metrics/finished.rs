//! What allocations carried that have ended: coturn's traffic metrics count nothing else.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use pointsman_turn::view::{Ending, Note, NoteKind, Traffic};

/// Realms, and users of each, that are told apart. Whoever comes later is counted under an empty label: names are chosen by clients.
const LABELS_MAX: usize = 10_000;

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

    /// Counts the allocation if this is its end.
    pub fn note(&self, note: &Note) {
        match note.kind {
            NoteKind::Deleted(Ending::Released | Ending::Expired | Ending::Closed | Ending::Killed) => {
                self.add(&note.realm, &String::from_utf8_lossy(&note.username), note.traffic);
            }
            NoteKind::Made | NoteKind::Refreshed | NoteKind::Moved | NoteKind::Deleted(Ending::MovedAway) => {}
        }
    }

    fn add(&self, realm: &str, user: &str, traffic: Traffic) {
        let mut sums = self.sums.lock().unwrap_or_else(PoisonError::into_inner);
        sum(&mut sums.total, traffic);
        let key: (Box<str>, Box<str>) = (realm.into(), if self.with_users { user.into() } else { "".into() });
        let full = sums.by.len() >= self.labels_max && !sums.by.contains_key(&key);
        sum(sums.by.entry(if full { ("".into(), "".into()) } else { key }).or_default(), traffic);
    }

    pub(super) fn with_users(&self) -> bool {
        self.with_users
    }

    pub(super) fn read(&self) -> Sums {
        self.sums.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

fn sum(all: &mut Traffic, one: Traffic) {
    let Traffic { packets_to_peers, bytes_to_peers, packets_to_client, bytes_to_client } = one;
    all.packets_to_peers += packets_to_peers;
    all.bytes_to_peers += bytes_to_peers;
    all.packets_to_client += packets_to_client;
    all.bytes_to_client += bytes_to_client;
}

impl Default for Finished {
    fn default() -> Self {
        Self::new(false)
    }
}

#[cfg(test)]
pub(super) mod tests {
    use pointsman_turn::AllocationId;
    use pointsman_wire::net::{FiveTuple, ShardId};

    use super::*;

    pub(in crate::metrics) fn note(user: &str, kind: NoteKind, traffic: Traffic) -> Note {
        let address = "127.0.0.1:1".parse().unwrap();
        Note {
            id: AllocationId { shard: ShardId(0), index: 0, generation: 0 },
            kind,
            client: FiveTuple::udp(address, address),
            username: user.as_bytes().into(),
            realm: "example.org".into(),
            relayed: [None; 2],
            lifetime_s: 600,
            traffic,
        }
    }

    fn ended(user: &str, bytes: u64) -> Note {
        let traffic = Traffic { packets_to_peers: 1, bytes_to_peers: bytes, ..Traffic::default() };
        note(user, NoteKind::Deleted(Ending::Expired), traffic)
    }

    #[test]
    fn users_are_told_apart_only_if_wanted() {
        for (with_users, series) in [(false, 1), (true, 2)] {
            let finished = Finished::new(with_users);
            finished.note(&ended("alice", 10));
            finished.note(&ended("bob", 5));
            let sums = finished.read();
            assert_eq!((sums.by.len(), sums.total.bytes_to_peers, sums.total.packets_to_peers), (series, 15, 2));
        }
    }

    #[test]
    fn an_allocation_counts_once_at_its_end() {
        let finished = Finished::default();
        for kind in [NoteKind::Made, NoteKind::Refreshed, NoteKind::Moved, NoteKind::Deleted(Ending::MovedAway)] {
            finished.note(&Note { kind, ..ended("alice", 10) });
        }
        assert!(finished.read().by.is_empty());
        finished.note(&Note { kind: NoteKind::Deleted(Ending::Killed), ..ended("alice", 10) });
        assert_eq!(finished.read().total.bytes_to_peers, 10);
    }

    #[test]
    fn names_beyond_the_bound_share_one_series() {
        let finished = Finished { labels_max: 2, ..Finished::new(true) };
        for user in ["a", "b", "c", "d", "a"] {
            finished.note(&ended(user, 1));
        }
        let sums = finished.read();
        let of = |realm: &str, user: &str| sums.by.get(&(realm.into(), user.into())).unwrap().packets_to_peers;
        assert_eq!((sums.by.len(), of("example.org", "a"), of("", ""), sums.total.packets_to_peers), (3, 2, 2, 5));
    }
}

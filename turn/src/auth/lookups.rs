//! Users that a database knows: keys that were found, names that were not, and requests that wait for an answer.
//!
//! Everything is bounded. Names that do not exist are remembered apart from keys, so that no stream of invented names pushes out
//! those who are known.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::{Duration, Instant};

use foldhash::fast::FixedState;
use pointsman_wire::net::FiveTuple;

use super::key::LongTermKey;
use crate::config::Config;
use crate::verdict::{KeyAnswer, LookupId};

/// Longer requests are not kept: a request with every attribute there is takes a fraction of it.
const REQUEST_LEN_MAX: usize = 2_048;

/// A realm and a user name of it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct User {
    pub(crate) realm: Box<str>,
    pub(crate) name: Box<[u8]>,
}

/// A request that waits.
#[derive(Debug)]
pub(crate) struct Request {
    pub(crate) client: FiveTuple,
    pub(crate) bytes: Box<[u8]>,
}

/// What is known of a user.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Found {
    /// The key, and for how long it has been known.
    Key(LongTermKey, Duration),
    /// There is no such user.
    Nobody,
    /// Ask.
    Unheard,
}

/// Why a request cannot wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Full;

struct Waiting {
    user: User,
    deadline: Instant,
    requests: Vec<Request>,
}

pub(crate) struct Lookups {
    lookups_max: usize,
    requests_max: usize,
    timeout: Duration,
    known_age_max: Duration,
    unknown_age_max: Duration,
    known: Remembered<LongTermKey>,
    unknown: Remembered<()>,
    /// By number, hence in the order of their deadlines.
    waiting: BTreeMap<LookupId, Waiting>,
    by_user: HashMap<User, LookupId, FixedState>,
    next: u64,
}

impl Lookups {
    /// Names are chosen by strangers: `seed` keeps them from choosing where they fall in a table.
    pub(super) fn new(config: &Config, seed: u64) -> Self {
        let seconds = |s: u32| Duration::from_secs(s.into());
        Self {
            lookups_max: config.lookups_max,
            requests_max: config.lookup_requests_max,
            timeout: seconds(config.lookup_timeout_s),
            known_age_max: seconds(config.known_user_age_s),
            unknown_age_max: seconds(config.unknown_user_age_s),
            known: Remembered::new(config.known_users_max, seed),
            // A name that does not exist is cheap to ask for again.
            unknown: Remembered::new(config.known_users_max, seed),
            waiting: BTreeMap::new(),
            by_user: HashMap::with_hasher(FixedState::with_seed(seed)),
            next: 0,
        }
    }

    pub(super) fn find(&self, now: Instant, user: &User) -> Found {
        if let Some((key, at)) = self.known.get(user) {
            return Found::Key(*key, now.saturating_duration_since(at));
        }
        match self.unknown.get(user) {
            Some((_, at)) if now.saturating_duration_since(at) < self.unknown_age_max => Found::Nobody,
            Some(_) | None => Found::Unheard,
        }
    }

    /// May a key of this age be used without asking again?
    pub(super) fn is_fresh(&self, age: Duration) -> bool {
        age < self.known_age_max
    }

    /// Is a key of this age so new that a password which does not fit is simply wrong?
    pub(super) fn is_new(&self, age: Duration) -> bool {
        age < self.unknown_age_max
    }

    /// Keeps a request until its user's key comes. The number, if this user has to be asked for.
    pub(crate) fn wait(&mut self, now: Instant, user: &User, client: FiveTuple, bytes: &[u8]) -> Result<Option<LookupId>, Full> {
        if bytes.len() > REQUEST_LEN_MAX {
            return Err(Full);
        }
        let request = || Request { client, bytes: bytes.into() };
        if let Some(waiting) = self.by_user.get(user).and_then(|id| self.waiting.get_mut(id)) {
            let again = waiting.requests.iter().any(|request| request.client == client && *request.bytes == *bytes);
            if !again && waiting.requests.len() >= self.requests_max {
                return Err(Full);
            }
            if !again {
                waiting.requests.push(request());
            }
            return Ok(None);
        }
        if self.waiting.len() >= self.lookups_max {
            return Err(Full);
        }
        let id = LookupId(self.next);
        self.next += 1;
        self.waiting.insert(id, Waiting { user: user.clone(), deadline: now + self.timeout, requests: vec![request()] });
        self.by_user.insert(user.clone(), id);
        Ok(Some(id))
    }

    /// Remembers an answer; the requests that waited for it. `None`: nobody waits (any more).
    pub(crate) fn answer(&mut self, now: Instant, id: LookupId, answer: KeyAnswer) -> Option<Vec<Request>> {
        let Waiting { user, deadline: _, requests } = self.waiting.remove(&id)?;
        self.by_user.remove(&user);
        match answer {
            KeyAnswer::Key(hash) => {
                self.unknown.forget(&user);
                self.known.put(now, user, LongTermKey::from_md5(hash));
            }
            KeyAnswer::Unknown => {
                self.known.forget(&user);
                self.unknown.put(now, user, ());
            }
            KeyAnswer::Unavailable => {}
        }
        Some(requests)
    }

    /// The next lookup whose time is up.
    pub(crate) fn overdue(&self, now: Instant) -> Option<LookupId> {
        self.waiting.first_key_value().filter(|(_, waiting)| waiting.deadline <= now).map(|(id, _)| *id)
    }

    /// When [`Self::overdue`] has one.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.waiting.first_key_value().map(|(_, waiting)| waiting.deadline)
    }

    pub(crate) fn waiting(&self) -> usize {
        self.waiting.len()
    }
}

/// A table that forgets the oldest when it is full.
struct Remembered<V> {
    entries_max: usize,
    entries: HashMap<User, (V, Instant), FixedState>,
    /// In order of time; entries that were put anew or forgotten since stand here in vain.
    order: VecDeque<(User, Instant)>,
}

impl<V> Remembered<V> {
    fn new(entries_max: usize, seed: u64) -> Self {
        Self { entries_max, entries: HashMap::with_hasher(FixedState::with_seed(seed)), order: VecDeque::new() }
    }

    fn get(&self, user: &User) -> Option<(&V, Instant)> {
        self.entries.get(user).map(|(value, at)| (value, *at))
    }

    fn put(&mut self, now: Instant, user: User, value: V) {
        while self.entries.len() >= self.entries_max && !self.entries.contains_key(&user) {
            let Some((oldest, at)) = self.order.pop_front() else { return };
            if self.entries.get(&oldest).is_some_and(|(_, put)| *put == at) {
                self.entries.remove(&oldest);
            }
        }
        if self.order.len() >= 2 * self.entries_max.max(1) {
            let entries = &self.entries;
            self.order.retain(|(user, at)| entries.get(user).is_some_and(|(_, put)| put == at));
        }
        if self.entries.get(&user).is_none_or(|(_, put)| *put != now) {
            self.order.push_back((user.clone(), now));
        }
        self.entries.insert(user, (value, now));
    }

    fn forget(&mut self, user: &User) {
        self.entries.remove(user);
    }
}

#[cfg(test)]
mod tests;

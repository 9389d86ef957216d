//! What the shards of one server have in common: the relay ports in use, and who holds how many allocations.
//!
//! Touched when allocations come and go, never for a packet, so locks do. Nothing here grows beyond what is allocated.

use std::collections::HashMap;
use std::ops::RangeInclusive;
use std::sync::{Mutex, MutexGuard, PoisonError};

use pointsman_wire::stun::attribute::Family;

use crate::reservations::Reservations;

/// Words of a bitmap that has a bit for every port.
const WORDS: usize = 65_536 / 64;
/// The bits of even ports in a word.
const EVEN: u64 = 0x5555_5555_5555_5555;

/// Which port a relay asks for (RFC 8656 section 18.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PortWish {
    Any,
    Even,
    /// An even port whose next one is free as well: both are reserved.
    EvenAndNext,
}

/// Limits on what one realm and one of its users may hold. 0 means that there is none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Allocations of the realm (coturn: `total-quota`).
    pub total: u32,
    /// Allocations of one user (coturn: `user-quota`).
    pub user: u32,
    /// Bytes per second that the allocation wants, each way (coturn: `max-bps`).
    pub bps: u64,
    /// Bytes per second that all allocations of the server may be granted together (coturn: `bps-capacity`).
    pub bps_capacity: u64,
}

/// Why an allocation is one too many: 486 in either case.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuotaError {
    /// The realm holds its [`Quota::total`].
    Total,
    /// The user holds its [`Quota::user`].
    User,
    /// [`Quota::bps_capacity`] is granted.
    Bandwidth,
}

impl std::fmt::Display for QuotaError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Total => "the realm's allocations are used up",
            Self::User => "the user's allocations are used up",
            Self::Bandwidth => "the bandwidth is granted to others",
        })
    }
}

impl std::error::Error for QuotaError {}

/// One server's ledger: shards share it in an `Arc`.
#[derive(Debug)]
pub struct Ledger {
    first: u16,
    last: u16,
    /// Of IPv4, then IPv6.
    ports: [Mutex<Ports>; 2],
    accounts: Mutex<Accounts>,
    pub(crate) reservations: Reservations,
}

/// A set bit is a free port.
#[derive(Debug)]
struct Ports {
    free: Box<[u64; WORDS]>,
}

#[derive(Debug, Default)]
struct Accounts {
    bps: u64,
    realms: HashMap<Box<str>, RealmAccount>,
}

#[derive(Debug, Default)]
struct RealmAccount {
    allocations: u32,
    users: HashMap<Box<[u8]>, u32>,
}

impl Ledger {
    /// `relay_ports` are those that relays may have, both ends included (coturn: `min-port`, `max-port`).
    pub fn new(relay_ports: RangeInclusive<u16>) -> Self {
        let ports = || Mutex::new(Ports::new(&relay_ports));
        Self {
            first: *relay_ports.start(),
            last: *relay_ports.end(),
            ports: [ports(), ports()],
            accounts: Mutex::default(),
            reservations: Reservations::default(),
        }
    }

    /// Takes a free port, each as likely as any other, so that one says nothing about the next; `random` must be unpredictable.
    /// With [`PortWish::EvenAndNext`] the next port is taken as well. `None`: none is free.
    pub fn reserve_port(&self, family: Family, wish: PortWish, random: u64) -> Option<u16> {
        self.ports(family).take(wish, random)
    }

    /// Takes this very port if it is free: true if it was. For what is handed over from outside (another process).
    pub fn reserve_exactly(&self, family: Family, port: u16) -> bool {
        self.ports(family).take_exactly(port)
    }

    /// Gives one port back. Ports outside the range and ports that are free already are passed over.
    pub fn release_port(&self, family: Family, port: u16) {
        if (self.first..=self.last).contains(&port) {
            self.ports(family).give_back(port);
        }
    }

    /// Ports of the family that are in use.
    pub fn ports_in_use(&self, family: Family) -> u32 {
        let all = (u32::from(self.last) + 1).saturating_sub(u32::from(self.first));
        all - self.ports(family).free.iter().map(|word| word.count_ones()).sum::<u32>()
    }

    /// Enters one allocation of `user` in `realm`; the bytes per second that it is granted (0: as many as it likes).
    ///
    /// Where less than [`Quota::bps`] is left of the capacity, the rest is granted, as coturn does.
    /// Every `Ok` needs one [`Self::give_back`] with that figure.
    pub fn take(&self, realm: &str, user: &[u8], quota: &Quota) -> Result<u64, QuotaError> {
        let mut accounts = self.accounts();
        let account = accounts.realms.get(realm);
        if quota.total > 0 && account.is_some_and(|account| account.allocations >= quota.total) {
            return Err(QuotaError::Total);
        }
        let held = account.and_then(|account| account.users.get(user)).copied().unwrap_or(0);
        if quota.user > 0 && held >= quota.user {
            return Err(QuotaError::User);
        }
        let granted = match quota.bps_capacity.checked_sub(accounts.bps) {
            _ if quota.bps == 0 || quota.bps_capacity == 0 => quota.bps,
            Some(0) | None => return Err(QuotaError::Bandwidth),
            Some(left) => quota.bps.min(left),
        };
        accounts.bps = accounts.bps.saturating_add(granted);
        let account = match accounts.realms.get_mut(realm) {
            Some(account) => account,
            None => accounts.realms.entry(realm.into()).or_default(),
        };
        account.allocations = account.allocations.saturating_add(1);
        match account.users.get_mut(user) {
            Some(count) => *count = count.saturating_add(1),
            None => _ = account.users.insert(user.into(), 1),
        }
        Ok(granted)
    }

    /// Strikes out what [`Self::take`] entered.
    pub fn give_back(&self, realm: &str, user: &[u8], bps: u64) {
        let mut accounts = self.accounts();
        accounts.bps = accounts.bps.saturating_sub(bps);
        let Some(account) = accounts.realms.get_mut(realm) else { return };
        account.allocations = account.allocations.saturating_sub(1);
        if let Some(count) = account.users.get_mut(user) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                account.users.remove(user);
            }
        }
        if account.allocations == 0 {
            accounts.realms.remove(realm);
        }
    }

    /// Allocations of a realm, on all shards.
    pub fn allocations(&self, realm: &str) -> u32 {
        self.accounts().realms.get(realm).map_or(0, |account| account.allocations)
    }

    /// Allocations of a user, on all shards.
    pub fn user_allocations(&self, realm: &str, user: &[u8]) -> u32 {
        self.accounts().realms.get(realm).and_then(|account| account.users.get(user)).copied().unwrap_or(0)
    }

    /// Realms that hold allocations, at most `max` of them, in the order of their names: allocations, and the users who hold them.
    pub fn realms(&self, max: usize) -> Vec<(Box<str>, u32, usize)> {
        let accounts = self.accounts();
        let mut realms: Vec<_> =
            accounts.realms.iter().map(|(realm, account)| (realm.clone(), account.allocations, account.users.len())).collect();
        realms.sort();
        realms.truncate(max);
        realms
    }

    /// Bytes per second granted to all allocations together.
    pub fn granted_bps(&self) -> u64 {
        self.accounts().bps
    }

    // A shard that panicked ends the process; until then what it left is whole, every change being a few plain steps.
    fn ports(&self, family: Family) -> MutexGuard<'_, Ports> {
        let [v4, v6] = &self.ports;
        let ports = if family == Family::V4 { v4 } else { v6 };
        ports.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn accounts(&self) -> MutexGuard<'_, Accounts> {
        self.accounts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Ports {
    fn new(range: &RangeInclusive<u16>) -> Self {
        let mut ports = Self { free: Box::new([0; WORDS]) };
        range.clone().for_each(|port| ports.give_back(port));
        ports
    }

    /// The free ports of a word that would do, as bits.
    fn fitting(word: u64, wish: PortWish) -> u64 {
        match wish {
            PortWish::Any => word,
            PortWish::Even => word & EVEN,
            // An even port and the next one never lie in two words.
            PortWish::EvenAndNext => word & (word >> 1) & EVEN,
        }
    }

    fn take(&mut self, wish: PortWish, random: u64) -> Option<u16> {
        let count: u64 = self.free.iter().map(|word| u64::from(Self::fitting(*word, wish).count_ones())).sum();
        // The bias is below 2^-48.
        let mut nth = u32::try_from((u128::from(random) * u128::from(count)) >> 64).ok().filter(|_| count > 0)?;
        for (at, word) in self.free.iter_mut().enumerate() {
            let fitting = Self::fitting(*word, wish);
            if nth >= fitting.count_ones() {
                nth -= fitting.count_ones();
                continue;
            }
            let bit = nth_bit(fitting, nth);
            let taken = if wish == PortWish::EvenAndNext { 0b11 } else { 0b1 };
            *word &= !(taken << bit);
            return u16::try_from(at * 64 + bit as usize).ok();
        }
        None
    }

    fn take_exactly(&mut self, port: u16) -> bool {
        let (at, bit) = place(port);
        self.free.get_mut(at).is_some_and(|word| {
            let was_free = *word & bit != 0;
            *word &= !bit;
            was_free
        })
    }

    fn give_back(&mut self, port: u16) {
        let (at, bit) = place(port);
        if let Some(word) = self.free.get_mut(at) {
            *word |= bit;
        }
    }
}

fn place(port: u16) -> (usize, u64) {
    (usize::from(port / 64), 1 << (port % 64))
}

/// Where the `nth` set bit of `bits` is, counted from zero.
fn nth_bit(mut bits: u64, nth: u32) -> u32 {
    for _ in 0..nth {
        bits &= bits.wrapping_sub(1);
    }
    bits.trailing_zeros()
}

#[cfg(test)]
mod tests;

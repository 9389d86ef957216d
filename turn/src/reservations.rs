//! Ports that are kept for whoever shows their token (RFC 8656 section 7.2), on whichever shard.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use pointsman_wire::stun::attribute::Family;

use crate::verdict::ReservationToken;

/// What [`Reservations::claim`] found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Claim {
    Given(SocketAddr),
    /// It is there still, but of the other family.
    OtherFamily,
    Unknown,
}

/// All of one server.
#[derive(Debug, Default)]
pub(crate) struct Reservations(Mutex<HashMap<ReservationToken, (SocketAddr, Instant)>>);

impl Reservations {
    /// False: `reservations_max` are kept already.
    pub(crate) fn keep(&self, token: ReservationToken, port: SocketAddr, expires: Instant, reservations_max: usize) -> bool {
        let mut all = self.all();
        let room = all.len() < reservations_max;
        if room {
            all.insert(token, (port, expires));
        }
        room
    }

    /// The port, once.
    pub(crate) fn claim(&self, now: Instant, token: ReservationToken, family: Option<Family>) -> Claim {
        let mut all = self.all();
        match all.get(&token) {
            Some((_, expires)) if *expires <= now => Claim::Unknown,
            Some((port, _)) if family.is_some_and(|family| family != Family::of(&port.ip())) => Claim::OtherFamily,
            Some(_) => all.remove(&token).map_or(Claim::Unknown, |(port, _)| Claim::Given(port)),
            None => Claim::Unknown,
        }
    }

    /// A reservation whose time is over: its port, unless somebody claimed it.
    pub(crate) fn expire(&self, token: ReservationToken) -> Option<SocketAddr> {
        self.all().remove(&token).map(|(port, _)| port)
    }

    pub(crate) fn len(&self) -> usize {
        self.all().len()
    }

    // What a shard that panicked left is whole: every change is one step.
    fn all(&self) -> MutexGuard<'_, HashMap<ReservationToken, (SocketAddr, Instant)>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! One client's allocation: plain values, no sockets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pointsman_wire::net::FiveTuple;
use pointsman_wire::stun::TransactionId;
use pointsman_wire::stun::attribute::Family;

use crate::auth::{self, Integrity, LongTermKey};
use crate::verdict::{RelayPort, ReservationToken};

/// After a channel's end its number and its peer stay tied for so long, so that late packets cannot reach a new peer
/// (RFC 8656 section 12).
const CHANNEL_QUARANTINE: Duration = Duration::from_secs(300);

/// RFC 8656 section 2: what a client has between Allocate and expiry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Allocation {
    pub(crate) client: FiveTuple,
    /// Who made it, exactly as sent: later requests must come from the same.
    pub(crate) username: Box<[u8]>,
    /// Under which name it counts for the quota.
    pub(crate) owner: Box<[u8]>,
    /// Where its user belongs, and the quota that it counts for.
    pub(crate) realm: Arc<str>,
    /// Bytes per second granted each way, 0: as many as it likes. Entered in the ledger.
    pub(crate) bps: u64,
    /// When its credentials run out, since the epoch, if it may not outlive them.
    pub(crate) until: Option<Duration>,
    /// Where it was made from, if that matters.
    pub(crate) origin: Option<Box<[u8]>>,
    /// Later requests are checked with the key of the first: a time-limited password may have run out meanwhile.
    pub(crate) key: LongTermKey,
    /// The Allocate that made it: the same one again is a retransmission.
    pub(crate) transaction: TransactionId,
    /// The first one, and that of the additional family.
    pub(crate) relays: [Option<OwnRelay>; 2],
    /// A family that was asked for besides and could not be had, and why.
    pub(crate) refused_family: Option<(Family, u16)>,
    /// The port next to ours, reserved.
    pub(crate) reserved: Option<ReservationToken>,
    pub(crate) lifetime_s: u32,
    pub(crate) expires: Instant,
    /// How its client protects messages.
    pub(crate) style: ReplyStyle,
    /// `Some` until its sockets are open.
    pub(crate) opening: Option<Opening>,
    permissions: Vec<Permission>,
    channels: Vec<Channel>,
}

/// A relayed transport address of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnRelay {
    pub(crate) family: Family,
    pub(crate) port: RelayPort,
}

/// What an Allocate still waits for, and how to answer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) tries_left: u8,
    pub(crate) even_port: EvenPort,
    pub(crate) additional: Option<Family>,
    /// The relay at the next port, on its way to become a reservation.
    pub(crate) next_port: Option<RelayPort>,
}

/// How the client protects its messages: answers are protected alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ReplyStyle {
    pub(crate) integrity: Integrity,
    pub(crate) fingerprint: bool,
}

/// RFC 8656 section 18.6.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EvenPort {
    Any,
    Even,
    /// And reserve the next port for a later allocation.
    EvenAndReserve,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Permission {
    pub(crate) peer: IpAddr,
    /// Only our own media and relay ports, the address being ours.
    pub(crate) own_ports_only: bool,
    expires: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Channel {
    pub(crate) number: u16,
    pub(crate) peer: SocketAddr,
    expires: Instant,
}

/// Why a channel cannot be bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BindError {
    /// The number is bound to another peer, or the peer to another number (RFC 8656 section 12.2).
    Taken,
    TooMany,
}

/// The values that an allocation begins with.
pub(crate) struct Beginning<'a> {
    pub(crate) client: FiveTuple,
    pub(crate) username: &'a [u8],
    pub(crate) owner: &'a [u8],
    pub(crate) realm: Arc<str>,
    pub(crate) bps: u64,
    pub(crate) until: Option<Duration>,
    pub(crate) origin: Option<Box<[u8]>>,
    pub(crate) key: LongTermKey,
    pub(crate) transaction: TransactionId,
    pub(crate) refused_family: Option<(Family, u16)>,
    pub(crate) lifetime_s: u32,
    pub(crate) expires: Instant,
    pub(crate) style: ReplyStyle,
    pub(crate) opening: Opening,
}

impl Allocation {
    pub(crate) fn new(from: Beginning<'_>) -> Self {
        Self {
            client: from.client,
            username: from.username.into(),
            owner: from.owner.into(),
            realm: from.realm,
            bps: from.bps,
            until: from.until,
            origin: from.origin,
            key: from.key,
            transaction: from.transaction,
            relays: [None, None],
            refused_family: from.refused_family,
            reserved: None,
            lifetime_s: from.lifetime_s,
            expires: from.expires,
            style: from.style,
            opening: Some(from.opening),
            permissions: Vec::new(),
            channels: Vec::new(),
        }
    }

    /// A lifetime that does not outlast the credentials (RFC 7635 section 4.1.2).
    pub(crate) fn bound(&self, unix: Duration, lifetime_s: u32) -> u32 {
        auth::bound(self.until, unix, lifetime_s)
    }

    /// The relay that speaks this family.
    pub(crate) fn relay(&self, family: Family) -> Option<RelayPort> {
        self.relays.iter().flatten().find(|relay| relay.family == family).map(|relay| relay.port)
    }

    /// The live permission for a peer's address; its port does not matter (RFC 8656 section 9).
    pub(crate) fn permission(&self, now: Instant, peer: IpAddr) -> Option<Permission> {
        self.permissions.iter().find(|p| p.peer == peer && p.expires > now).copied()
    }

    /// Are there places for `wanted`, counting those that are there already once?
    pub(crate) fn has_room_for_permissions(&mut self, now: Instant, wanted: &[IpAddr], permissions_max: usize) -> bool {
        self.permissions.retain(|p| p.expires > now);
        let is_new = |(at, ip): &(usize, &IpAddr)| !wanted[..*at].contains(ip) && !self.permissions.iter().any(|p| p.peer == **ip);
        self.permissions.len() + wanted.iter().enumerate().filter(is_new).count() <= permissions_max
    }

    /// Installs or refreshes a permission. The caller has made sure of the room.
    pub(crate) fn permit(&mut self, peer: IpAddr, own_ports_only: bool, expires: Instant) {
        match self.permissions.iter_mut().find(|p| p.peer == peer) {
            Some(permission) => *permission = Permission { peer, own_ports_only, expires },
            None => self.permissions.push(Permission { peer, own_ports_only, expires }),
        }
    }

    /// The live channel of this number.
    pub(crate) fn channel(&self, now: Instant, number: u16) -> Option<&Channel> {
        self.channels.iter().find(|c| c.number == number && c.expires > now)
    }

    /// The number of the live channel to this peer.
    pub(crate) fn channel_to(&self, now: Instant, peer: SocketAddr) -> Option<u16> {
        self.channels.iter().find(|c| c.peer == peer && c.expires > now).map(|c| c.number)
    }

    /// May this number be bound to this peer? Forgets channels whose quarantine is over.
    pub(crate) fn may_bind(&mut self, now: Instant, number: u16, peer: SocketAddr, channels_max: usize) -> Result<(), BindError> {
        self.channels.retain(|c| c.expires + CHANNEL_QUARANTINE > now);
        match self.channels.iter().find(|c| c.number == number || c.peer == peer) {
            // There is at most one channel per number and per peer, so one that fits both is the only one that could clash.
            Some(channel) if channel.number == number && channel.peer == peer => Ok(()),
            Some(_) => Err(BindError::Taken),
            None if self.channels.len() >= channels_max => Err(BindError::TooMany),
            None => Ok(()),
        }
    }

    /// Binds or refreshes. The caller has asked [`Self::may_bind`].
    pub(crate) fn bind(&mut self, number: u16, peer: SocketAddr, expires: Instant) {
        match self.channels.iter_mut().find(|c| c.number == number) {
            Some(channel) => channel.expires = expires,
            None => self.channels.push(Channel { number, peer, expires }),
        }
    }
}

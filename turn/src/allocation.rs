//! One client's allocation: plain values, no sockets.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pointsman_wire::clock::Now;
use pointsman_wire::net::{FiveTuple, Protocol};
use pointsman_wire::stun::TransactionId;
use pointsman_wire::stun::attribute::Family;

use crate::auth::{self, Integrity, LongTermKey};
use crate::meter::Meter;
use crate::mobility::Ticket;
use crate::peers::Judgement;
use crate::verdict::{ConnectionId, RelayPort, RelayTransport, ReservationToken, Way};
use crate::view::Traffic;

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
    /// Tells it from others that had its index.
    pub(crate) generation: u32,
    pub(crate) transport: RelayTransport,
    /// `Some` until its sockets are open, when the answer waits for them.
    pub(crate) opening: Option<Opening>,
    /// The port next to the first relay's, ours but not promised to anybody yet.
    pub(crate) next_port: Option<SocketAddr>,
    /// Requests that wait for a socket.
    pub(crate) waiting: Vec<Box<[u8]>>,
    /// RFC 8016: its client's connection is gone.
    pub(crate) parked: bool,
    pub(crate) tickets: Tickets,
    /// RFC 6062: connections with its peers, in every state.
    pub(crate) connections: Vec<ConnectionId>,
    pub(crate) traffic: Traffic,
    to_peers: Meter,
    to_client: Meter,
    /// In order of the address.
    permissions: Vec<Permission>,
    /// In order of the number.
    channels: Vec<Channel>,
    /// The channels' peers, in order, with the number.
    channels_by_peer: Vec<(SocketAddr, u16)>,
}

/// The tickets of a mobile allocation (RFC 8016).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tickets {
    /// The one given last.
    pub(crate) current: Option<Ticket>,
    /// The one shown last: good until the current one is shown, for the answer that told it may have been lost.
    pub(crate) previous: Option<Ticket>,
}

/// A relayed transport address of an allocation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OwnRelay {
    pub(crate) family: Family,
    pub(crate) port: RelayPort,
    /// As clients and peers know it.
    pub(crate) shown: SocketAddr,
}

/// How an Allocate goes on while its sockets are being opened.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) tries_left: u8,
    pub(crate) even_port: EvenPort,
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
    /// Which of its ports are open.
    pub(crate) judgement: Judgement,
    expires: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Channel {
    pub(crate) number: u16,
    pub(crate) peer: SocketAddr,
    /// The peer is our own media.
    pub(crate) media: bool,
    expires: Instant,
}

/// More than the allocation may send now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Excess {
    Drop,
    /// It may pass then.
    Wait(Instant),
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
    pub(crate) generation: u32,
    pub(crate) transport: RelayTransport,
    pub(crate) opening: Option<Opening>,
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
            generation: from.generation,
            transport: from.transport,
            opening: from.opening,
            next_port: None,
            waiting: Vec::new(),
            parked: false,
            tickets: Tickets::default(),
            connections: Vec::new(),
            traffic: Traffic::default(),
            to_peers: Meter::default(),
            to_client: Meter::default(),
            permissions: Vec::new(),
            channels: Vec::new(),
            channels_by_peer: Vec::new(),
        }
    }

    /// A lifetime that does not outlast the credentials (RFC 7635 section 4.1.2).
    pub(crate) fn bound(&self, unix: Duration, lifetime_s: u32) -> u32 {
        auth::bound(self.until, unix, lifetime_s)
    }

    /// The relay that speaks this family.
    pub(crate) fn relay(&self, family: Family) -> Option<OwnRelay> {
        self.relays.iter().flatten().find(|relay| relay.family == family).copied()
    }

    /// Counts payload on its way to a peer, if it may pass now. A stream can wait; a datagram cannot.
    pub(crate) fn pass_to_peer(&mut self, now: Now, bytes: usize) -> Result<(), Excess> {
        match self.client.protocol {
            Protocol::Tcp | Protocol::Tls => {
                self.allowance(now, Way::ToPeer).map_err(Excess::Wait)?;
                self.count(now, Way::ToPeer, bytes);
            }
            Protocol::Udp | Protocol::Dtls | Protocol::Relay(_) => {
                if self.bps > 0 && !self.to_peers.take(now.mono, bytes as u64, self.bps) {
                    return Err(Excess::Drop);
                }
                self.traffic.count(Way::ToPeer, bytes);
            }
        }
        Ok(())
    }

    /// Counts a datagram's payload on its way to the client; false: it is more than may pass now.
    pub(crate) fn pass_to_client(&mut self, now: Now, bytes: usize) -> bool {
        if self.bps > 0 && !self.to_client.take(now.mono, bytes as u64, self.bps) {
            return false;
        }
        self.traffic.count(Way::ToClient, bytes);
        true
    }

    /// How many bytes of a stream may pass now, at least one; or when to ask again.
    pub(crate) fn allowance(&mut self, now: Now, way: Way) -> Result<u64, Instant> {
        let meter = match way {
            Way::ToPeer => &mut self.to_peers,
            Way::ToClient => &mut self.to_client,
        };
        if self.bps == 0 { Ok(u64::MAX) } else { meter.allowance(now.mono, self.bps) }
    }

    /// Counts bytes of a stream that pass.
    pub(crate) fn count(&mut self, now: Now, way: Way, bytes: usize) {
        let meter = match way {
            Way::ToPeer => &mut self.to_peers,
            Way::ToClient => &mut self.to_client,
        };
        if self.bps > 0 {
            meter.count(now.mono, bytes as u64, self.bps);
        }
        self.traffic.count(way, bytes);
    }

    /// The live permission for a peer's address; its port does not matter (RFC 8656 section 9).
    pub(crate) fn permission(&self, now: Instant, peer: IpAddr) -> Option<Permission> {
        let at = self.permissions.binary_search_by(|p| p.peer.cmp(&peer)).ok()?;
        self.permissions.get(at).filter(|p| p.expires > now).copied()
    }

    pub(crate) fn permissions(&self, now: Instant) -> usize {
        self.permissions.iter().filter(|p| p.expires > now).count()
    }

    pub(crate) fn channels(&self, now: Instant) -> usize {
        self.channels.iter().filter(|c| c.expires > now).count()
    }

    /// Are there places for `wanted`, counting those that are there already once?
    pub(crate) fn has_room_for_permissions(&mut self, now: Instant, wanted: &[IpAddr], permissions_max: usize) -> bool {
        self.permissions.retain(|p| p.expires > now);
        let is_new = |(at, ip): &(usize, &IpAddr)| !wanted[..*at].contains(ip) && !self.permissions.iter().any(|p| p.peer == **ip);
        self.permissions.len() + wanted.iter().enumerate().filter(is_new).count() <= permissions_max
    }

    /// Installs or refreshes a permission. The caller has made sure of the room.
    pub(crate) fn permit(&mut self, peer: IpAddr, judgement: Judgement, expires: Instant) {
        let permission = Permission { peer, judgement, expires };
        match self.permissions.binary_search_by(|p| p.peer.cmp(&peer)) {
            Ok(at) => self.permissions[at] = permission,
            Err(at) => self.permissions.insert(at, permission),
        }
    }

    /// The live channel of this number.
    pub(crate) fn channel(&self, now: Instant, number: u16) -> Option<Channel> {
        let at = self.channels.binary_search_by_key(&number, |c| c.number).ok()?;
        self.channels.get(at).filter(|c| c.expires > now).copied()
    }

    /// Where channels lead that are our own media's.
    pub(crate) fn media_channels(&self, now: Instant) -> impl Iterator<Item = SocketAddr> {
        self.channels.iter().filter(move |channel| channel.media && channel.expires > now).map(|channel| channel.peer)
    }

    /// The number of the live channel to this peer.
    pub(crate) fn channel_to(&self, now: Instant, peer: SocketAddr) -> Option<u16> {
        let at = self.channels_by_peer.binary_search_by(|(of, _)| of.cmp(&peer)).ok()?;
        let (_, number) = *self.channels_by_peer.get(at)?;
        self.channel(now, number).map(|_| number)
    }

    /// May this number be bound to this peer? Forgets channels whose quarantine is over.
    pub(crate) fn may_bind(&mut self, now: Instant, number: u16, peer: SocketAddr, channels_max: usize) -> Result<(), BindError> {
        self.channels.retain(|c| c.expires + CHANNEL_QUARANTINE > now);
        self.sort_channels();
        match self.channels.iter().find(|c| c.number == number || c.peer == peer) {
            // There is at most one channel per number and per peer, so one that fits both is the only one that could clash.
            Some(channel) if channel.number == number && channel.peer == peer => Ok(()),
            Some(_) => Err(BindError::Taken),
            None if self.channels.len() >= channels_max => Err(BindError::TooMany),
            None => Ok(()),
        }
    }

    /// Binds or refreshes. The caller has asked [`Self::may_bind`].
    pub(crate) fn bind(&mut self, number: u16, peer: SocketAddr, media: bool, expires: Instant) {
        match self.channels.iter_mut().find(|c| c.number == number) {
            Some(channel) => channel.expires = expires,
            None => self.channels.push(Channel { number, peer, media, expires }),
        }
        self.sort_channels();
    }

    /// Orders the channels for the packet path's searches.
    fn sort_channels(&mut self) {
        self.channels.sort_unstable_by_key(|c| c.number);
        self.channels_by_peer.clear();
        self.channels_by_peer.extend(self.channels.iter().map(|c| (c.peer, c.number)));
        self.channels_by_peer.sort_unstable();
    }
}

//! Datagrams: whose they are, and what they are.

use pointsman_wire::clock::Now;
use pointsman_wire::demux::{Class, classify};
use pointsman_wire::net::{FiveTuple, ShardId};
use pointsman_wire::stun::{self, Message};

use super::publications::Publications;
use super::{Sfu, Whence};
use crate::directory::{Owner, Place};
use crate::publication::Origin;
use crate::transport::authenticate;
use crate::{DropReason, Egress, Event, Facts, MeshMessage, PACKET_LEN_MAX, PacketRef, ParticipantId};

impl Sfu {
    pub(super) fn arrive(
        &mut self,
        now: Now,
        path: &FiveTuple,
        bytes: &[u8],
        whence: Whence,
        out: &mut impl Egress,
    ) -> Result<(), DropReason> {
        let class = classify(bytes);
        match class {
            // A check may come on a path that was another participant's: its name decides.
            Class::Stun => return self.take_check(now, path, bytes, whence, out),
            Class::ChannelData | Class::Unknown => return Err(DropReason::UnknownProtocol),
            Class::Dtls | Class::Rtp | Class::Rtcp => {}
        }
        let index = match self.directory.owner(path) {
            Some(Owner::Here(index)) => index,
            Some(Owner::Elsewhere { shard, .. }) => return self.hand_on(shard, path, bytes, whence, out),
            None => return Err(DropReason::UnknownPath),
        };
        match class {
            Class::Rtp => self.take_media(now, index, bytes, out),
            Class::Rtcp => self.take_reports(now, index, bytes, out),
            Class::Dtls | Class::Stun | Class::ChannelData | Class::Unknown => self.take_handshake(now, index, path, bytes, out),
        }
    }

    fn take_media(&mut self, now: Now, index: u32, bytes: &[u8], out: &mut impl Egress) -> Result<(), DropReason> {
        let participant = self.participants.get_mut(index as usize).ok_or(DropReason::UnknownPath)?;
        let received = participant.receive(now, &self.config, &mut self.pool, bytes);
        self.desk.note_publisher(index);
        if !matches!(received, Err(DropReason::SrtpUnauthenticated | DropReason::SrtpReplayed)) {
            self.stats.packets_in += 1;
            self.stats.bytes_in += bytes.len() as u64;
        }
        let Some(mut received) = received? else { return Ok(()) };
        self.stats.rtx_in += u64::from(received.repaired);
        self.gate(now, index, &mut received)?;
        self.gather(now, received.publication, received.layer, received.facts, received.packet)?;
        if self.publications.gathered.len() >= self.config.gathered_max {
            self.flush(now, out);
        }
        Ok(())
    }

    /// Keeps a packet for the next flush.
    pub(super) fn gather(&mut self, now: Now, at: u32, layer: u8, facts: Facts, packet: PacketRef) -> Result<(), DropReason> {
        let Publications { table, touched, gathered, .. } = &mut self.publications;
        let publication = table.get_mut(at as usize).ok_or(DropReason::UnknownStream)?;
        let active = publication.rates().active();
        publication.gather(now, &self.config, gathered, layer, facts, packet)?;
        let news = publication.rates().active() != active;
        if !publication.touched {
            publication.touched = true;
            touched.push(at);
        }
        let here = matches!(publication.origin, Origin::Here(_));
        if !publication.started && !facts.payload.is_none() {
            publication.started = true;
            let (publication, codec) = (publication.id, facts.codec);
            // Told by the publisher's shard alone.
            if here {
                self.push_event(Event::PublicationStarted { publication, codec });
            }
        }
        if news {
            self.hasten_shares_of(now, at);
        }
        self.watch(now, at);
        Ok(())
    }

    fn take_check(&mut self, now: Now, path: &FiveTuple, bytes: &[u8], whence: Whence, out: &mut impl Egress) -> Result<(), DropReason> {
        let message = Message::parse(bytes).map_err(|_| DropReason::StunRefused)?;
        if message.class() != stun::Class::Request || message.method() != stun::Method::BINDING {
            return Err(DropReason::StunRefused);
        }
        let ufrag = message.ice_local_ufrag().and_then(|ufrag| str::from_utf8(ufrag).ok()).ok_or(DropReason::StunRefused)?;
        let Some(id) = self.directory.by_ufrag(ufrag) else { return self.take_check_of_path(now, path, bytes, &message, whence, out) };
        let index = match self.directory.place(id) {
            Some(&Place::Here(index)) => index,
            Some(&Place::Elsewhere { shard, .. }) => {
                // On a path that is the participant's already, its own shard judges: the credentials may be those before a restart.
                if self.directory.owner(path) != Some(Owner::Elsewhere { shard, participant: id }) {
                    let Some(Place::Elsewhere { spec, .. }) = self.directory.place(id) else { return Err(DropReason::UnknownUfrag) };
                    authenticate(spec, &message)?;
                }
                return self.pass_check(id, shard, path, bytes, whence, out);
            }
            Some(Place::Expected { spec, .. }) => {
                authenticate(spec, &message)?;
                let claim = spec.claim.clone();
                match claim.take(self.shard) {
                    Ok(()) => self.instantiate(now, id, out).ok_or(DropReason::UnknownUfrag)?,
                    Err(shard) => {
                        self.directory.settle_elsewhere(id, shard);
                        self.moved_elsewhere(now, id, shard, out);
                        self.gauge();
                        return self.pass_check(id, shard, path, bytes, whence, out);
                    }
                }
            }
            None => return Err(DropReason::UnknownUfrag),
        };
        self.answer_check(now, index, path, &message, out)
    }

    /// A check with a fragment that nobody has now, on a path that is somebody's: after several restarts in a row the directory has forgotten
    /// the credentials that the path was made with, and the transport has not.
    fn take_check_of_path(
        &mut self,
        now: Now,
        path: &FiveTuple,
        bytes: &[u8],
        message: &Message<'_>,
        whence: Whence,
        out: &mut impl Egress,
    ) -> Result<(), DropReason> {
        match self.directory.owner(path) {
            Some(Owner::Here(index)) if self.knows_ufrag(index, message) => self.answer_check(now, index, path, message, out),
            Some(Owner::Elsewhere { shard, .. }) => self.hand_on(shard, path, bytes, whence, out),
            Some(Owner::Here(_)) | None => Err(DropReason::UnknownUfrag),
        }
    }

    fn knows_ufrag(&self, index: u32, message: &Message<'_>) -> bool {
        let transport = self.participants.get(index as usize).map(|participant| &participant.transport);
        let ufrag = message.ice_local_ufrag();
        transport.is_some_and(|transport| transport.ufrags().any(|known| Some(known.as_bytes()) == ufrag))
    }

    fn answer_check(
        &mut self,
        now: Now,
        index: u32,
        path: &FiveTuple,
        message: &Message<'_>,
        out: &mut impl Egress,
    ) -> Result<(), DropReason> {
        let participant = self.participants.get_mut(index as usize).ok_or(DropReason::UnknownUfrag)?;
        let result = participant.transport.handle_check(now, *path, message, out);
        self.drain_transport(now, index);
        let outcome = result?;
        if let Some(dropped) = outcome.dropped_path {
            self.directory.forget_path(&dropped);
        }
        // Also when the transport knows it already: a path may have been another participant's in between.
        self.directory.learn(*path, Owner::Here(index))
    }

    /// An authentic check for a participant of another shard: what else comes on its path is that one's, too.
    fn pass_check(
        &mut self,
        participant: ParticipantId,
        shard: ShardId,
        path: &FiveTuple,
        bytes: &[u8],
        whence: Whence,
        out: &mut impl Egress,
    ) -> Result<(), DropReason> {
        self.directory.learn(*path, Owner::Elsewhere { shard, participant })?;
        self.hand_on(shard, path, bytes, whence, out)
    }

    fn hand_on(&mut self, shard: ShardId, path: &FiveTuple, bytes: &[u8], whence: Whence, out: &mut impl Egress) -> Result<(), DropReason> {
        if whence == Whence::Mesh {
            return Err(DropReason::StrayUnknown);
        }
        let datagram = self.copy(bytes)?;
        if !out.to_shard(shard, MeshMessage::Stray { path: *path, datagram }) {
            return Err(DropReason::MeshFull);
        }
        self.stats.strays += 1;
        Ok(())
    }

    fn take_handshake(&mut self, now: Now, index: u32, path: &FiveTuple, bytes: &[u8], out: &mut impl Egress) -> Result<(), DropReason> {
        let data = self.participants.get(index as usize).is_some_and(|participant| participant.transport.has_data());
        if data {
            // The handshake is over: what is left of it, an alert or a last flight again, costs no more than data.
            return if self.data.take_datagram() { self.step_handshake(now, index, path, bytes, out) } else { Err(DropReason::DataBusy) };
        }
        if self.handshakes_left == 0 || !self.waiting.is_empty() {
            if self.waiting.len() >= self.config.handshakes_waiting_max {
                return Err(DropReason::DtlsBusy);
            }
            let datagram = self.copy(bytes)?;
            self.waiting.push_back((*path, datagram));
            return Ok(());
        }
        self.handshakes_left -= 1;
        self.step_handshake(now, index, path, bytes, out)
    }

    fn step_handshake(&mut self, now: Now, index: u32, path: &FiveTuple, bytes: &[u8], out: &mut impl Egress) -> Result<(), DropReason> {
        let participant = self.participants.get_mut(index as usize).ok_or(DropReason::UnknownPath)?;
        let result = participant.transport.handle_dtls(now, *path, bytes, out);
        self.drain_transport(now, index);
        result
    }

    /// Takes on DTLS that an earlier turn had no time for.
    pub(super) fn take_waiting(&mut self, now: Now, out: &mut impl Egress) {
        while self.handshakes_left > 0
            && let Some((path, datagram)) = self.waiting.pop_front()
        {
            self.handshakes_left -= 1;
            let result = match self.directory.owner(&path) {
                Some(Owner::Here(index)) => self.step_handshake(now, index, &path, datagram.bytes(), out),
                Some(Owner::Elsewhere { .. }) | None => Err(DropReason::UnknownPath),
            };
            if let Err(reason) = result {
                self.stats.drops.count(reason);
            }
        }
    }

    fn copy(&mut self, bytes: &[u8]) -> Result<PacketRef, DropReason> {
        if bytes.len() > PACKET_LEN_MAX {
            return Err(DropReason::Malformed);
        }
        let copy = |space: &mut crate::PacketBuf| {
            space.space()[..bytes.len()].copy_from_slice(bytes);
            Some(bytes.len())
        };
        self.pool.take(copy).ok_or(DropReason::PoolFull)
    }
}

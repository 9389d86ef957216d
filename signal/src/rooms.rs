//! All rooms of this server. Every input ends with everything said that must be said: [`Rooms::take_outputs`] after each.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::config::Config;
use crate::media::{Answer, Media, MediaEvent, ParticipantId, PublicationId, RoomId};
use crate::message::{ErrorCode, IceServerInfo, LeaveReason, Request, ServerMessage, Track, publication_text};
use crate::people::{Entry, Participant, Plan, Ticket};
use crate::room::{JoinNumber, Options, Output, Refusal, Room, World};

mod operator;

#[cfg(test)]
mod tests;

/// Where random ids come from; seeded in tests.
pub type Draw = Box<dyn FnMut() -> u64 + Send>;

/// Someone whom the media side knows and the room does not yet.
struct Newcomer {
    participant: Participant,
    room: RoomId,
    /// Who held the identity so far.
    replaces: Option<ParticipantId>,
}

pub struct Rooms {
    limits: Config,
    draw: Draw,
    rooms: HashMap<RoomId, Room, RandomState>,
    by_name: HashMap<String, RoomId, RandomState>,
    whereabouts: HashMap<ParticipantId, (RoomId, JoinNumber), RandomState>,
    joined_total: u64,
    /// In seconds since 1970, as last told.
    now_s: u64,
    outputs: Vec<Output>,
}

impl Rooms {
    pub fn new(limits: Config, draw: Draw) -> Self {
        Self {
            limits,
            draw,
            rooms: HashMap::default(),
            by_name: HashMap::default(),
            whereabouts: HashMap::default(),
            joined_total: 0,
            now_s: 0,
            outputs: Vec::new(),
        }
    }

    pub fn rooms(&self) -> usize {
        self.rooms.len()
    }

    pub fn participants(&self) -> usize {
        self.whereabouts.len()
    }

    pub fn named(&self, name: &str) -> Option<&Room> {
        self.rooms.get(self.by_name.get(name)?)
    }

    pub fn all(&self) -> impl Iterator<Item = &Room> {
        self.rooms.values()
    }

    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// Lets a WebSocket client in. A caller with the same identity leaves the room.
    pub fn join(&mut self, ticket: Ticket, auto_subscribe: bool, media: &dyn Media) -> Result<ParticipantId, Refusal> {
        let newcomer = self.open(ticket, Entry::Call { auto_subscribe }, media)?;
        Ok(self.admit(newcomer, media))
    }

    /// Lets a WHIP publisher in with its offer; the answer's SDP comes back. It replaces no one.
    pub fn join_publisher(&mut self, ticket: Ticket, offer: &str, media: &dyn Media) -> Result<(ParticipantId, String), Refusal> {
        let newcomer = self.open(ticket, Entry::Publisher, media)?;
        let id = newcomer.participant.id;
        let answer = match media.offer(id, offer) {
            Ok(answer) => answer,
            Err(error) => {
                media.close(id);
                return Err(Refusal::from(error).of("sdp"));
            }
        };
        self.admit(newcomer, media);
        let sdp = self.take_over_answer(id, None, answer, &[], media)?;
        Ok((id, sdp))
    }

    /// Lets a WHEP player in with its offer; the answer's SDP comes back. It replaces no one.
    pub fn join_player(&mut self, ticket: Ticket, plan: Plan, offer: &str, media: &dyn Media) -> Result<(ParticipantId, String), Refusal> {
        let newcomer = self.open(ticket, Entry::Player(plan), media)?;
        let id = self.admit(newcomer, media);
        match self.offer(id, None, offer, &[], media) {
            Ok(sdp) => Ok((id, sdp)),
            Err(refusal) => {
                self.leave(id, LeaveReason::Left, media);
                Err(refusal)
            }
        }
    }

    fn open(&mut self, ticket: Ticket, entry: Entry, media: &dyn Media) -> Result<Newcomer, Refusal> {
        let room = self.by_name.get(&ticket.room).copied();
        let participant = Participant::new(ParticipantId((self.draw)()), ticket, entry);
        let replaces = room.filter(|_| participant.replaces()).and_then(|room| self.rooms.get(&room)?.holder(&participant.ticket.identity));
        self.check_bounds(room, replaces.is_some())?;
        let room = room.unwrap_or_else(|| RoomId((self.draw)()));
        let (may_publish, may_subscribe) = (participant.may_publish(), participant.may_subscribe());
        media.open(participant.id, room, participant.front(), may_publish, may_subscribe)?;
        Ok(Newcomer { participant, room, replaces })
    }

    fn admit(&mut self, newcomer: Newcomer, media: &dyn Media) -> ParticipantId {
        let Newcomer { mut participant, room: room_id, replaces } = newcomer;
        participant.joined_s = self.now_s;
        let id = participant.id;
        let number = JoinNumber(self.joined_total);
        self.joined_total += 1;
        let name = participant.ticket.room.clone();
        if !self.rooms.contains_key(&room_id) {
            self.open_room(room_id, name, Options::default());
        }
        let Some(room) = self.rooms.get_mut(&room_id) else { return id };
        let mut world = World { limits: &self.limits, media, outputs: &mut self.outputs };
        if let Some((old, (_, old_number))) = replaces.and_then(|old| self.whereabouts.remove_entry(&old)) {
            room.remove(old_number, LeaveReason::Replaced, &mut world);
            world.outputs.push(Output::Ended { participant: old, reason: LeaveReason::Replaced });
        }
        self.whereabouts.insert(id, (room_id, number));
        room.admit(number, participant, &mut world);
        room.settle(&mut world);
        id
    }

    fn check_bounds(&self, room: Option<RoomId>, replaces: bool) -> Result<(), Refusal> {
        if replaces {
            return Ok(());
        }
        if self.participants() >= self.limits.participants_max {
            return Err(Refusal::new(ErrorCode::Full, "the server is full"));
        }
        match room.and_then(|room| self.rooms.get(&room)) {
            None if self.rooms() >= self.limits.rooms_max => Err(Refusal::new(ErrorCode::Full, "the server has no room for another room")),
            Some(room) if room.len() >= room.options.participants_max.unwrap_or(usize::MAX).min(self.limits.participants_per_room_max) => {
                Err(Refusal::new(ErrorCode::Full, "the room is full"))
            }
            _ => Ok(()),
        }
    }

    /// The reply to `join`, once the client can be told.
    pub fn tell_joined(&mut self, participant: ParticipantId, request: u64, media: &dyn Media) {
        let Some((room_id, number)) = self.whereabouts.get(&participant).copied() else { return };
        let Some(room) = self.rooms.get(&room_id) else { return };
        let Some(own) = room.participant(number) else { return };
        let message = ServerMessage::Joined {
            id: request,
            room: room.name.clone(),
            you: own.you(),
            participants: room.people().filter(|p| p.id != participant && p.visible()).map(Participant::info).collect(),
            ice_servers: media.ice_servers(&own.ticket.identity).into_iter().map(IceServerInfo::from).collect(),
            negotiate: own.waiting.into(),
            metadata: room.options.metadata.clone(),
        };
        let speakers = room.speakers();
        let to = vec![participant];
        self.outputs.push(Output::Tell { to: to.clone(), message });
        self.outputs.extend(speakers.map(|message| Output::Tell { to, message }));
    }

    /// A request of someone who has joined. Its reply is among the outputs.
    pub fn handle_request(&mut self, participant: ParticipantId, id: u64, request: Request, media: &dyn Media) {
        let reply = match request {
            Request::Join { .. } => Err(Refusal::new(ErrorCode::AlreadyJoined, "this connection has joined already")),
            Request::Offer { sdp, tracks } => {
                self.offer(participant, Some(id), &sdp, &tracks, media).map(|_| None) // the answer is the reply
            }
            Request::Candidate { candidate } => {
                media.candidate(participant, &candidate).map(|()| ok(id)).map_err(|e| Refusal::from(e).of("candidate"))
            }
            Request::Publish { track } => self.with_room(participant, media, |room, n, w| room.publish(n, &track, w)).map(|()| ok(id)),
            Request::Unpublish { publication } => {
                self.with_room(participant, media, |room, n, w| room.unpublish(n, publication, w)).map(|()| ok(id))
            }
            Request::Subscribe { publication } => self
                .with_room(participant, media, |room, n, w| room.subscribe(n, publication, w))
                .map(|mid| subscribed(id, publication, mid)),
            Request::Unsubscribe { publication } => self
                .with_room(participant, media, |room, n, w| {
                    room.unsubscribe(n, publication, w);
                    Ok(())
                })
                .map(|()| ok(id)),
            Request::Prefer { publication, wish } => {
                self.with_room(participant, media, |room, n, w| room.prefer(n, publication, wish, w)).map(|()| ok(id))
            }
            Request::Mute { publication, muted } => {
                self.with_room(participant, media, |room, n, w| room.mute(n, publication, muted, w)).map(|()| ok(id))
            }
            Request::Stats(report) => self.with_room(participant, media, |room, n, w| room.handle_report(n, *report, w)).map(|()| ok(id)),
            Request::Leave => {
                self.tell(participant, ServerMessage::Ok { id });
                self.leave(participant, LeaveReason::Left, media);
                Ok(None)
            }
            Request::Ping => Ok(Some(ServerMessage::Pong { id })),
        };
        match reply {
            Ok(None) => {}
            Ok(Some(message)) => self.tell(participant, message),
            Err(Refusal { code, message, field }) => {
                let field = field.map(str::to_owned);
                self.tell(participant, ServerMessage::Error { id: Some(id), code, message, field });
            }
        }
        self.settle(participant, media);
    }

    /// An offer from the WebSocket (with a request's id) or from WHIP or WHEP; returns the answer's SDP.
    pub fn offer(
        &mut self,
        participant: ParticipantId,
        request: Option<u64>,
        sdp: &str,
        tracks: &[Track],
        media: &dyn Media,
    ) -> Result<String, Refusal> {
        let answer = media.offer(participant, sdp).map_err(|error| Refusal::from(error).of("sdp"))?;
        self.take_over_answer(participant, request, answer, tracks, media)
    }

    fn take_over_answer(
        &mut self,
        participant: ParticipantId,
        request: Option<u64>,
        answer: Answer,
        tracks: &[Track],
        media: &dyn Media,
    ) -> Result<String, Refusal> {
        let gone = || Refusal::new(ErrorCode::NotJoined, "not in a room");
        let sdp = self.with_room(participant, media, |room, n, w| room.handle_answer(n, request, answer, tracks, w).ok_or_else(gone))?;
        self.settle(participant, media);
        Ok(sdp)
    }

    /// Someone goes, for whatever reason. Nothing happens if it is gone already.
    pub fn leave(&mut self, participant: ParticipantId, reason: LeaveReason, media: &dyn Media) {
        let Some((room_id, number)) = self.whereabouts.remove(&participant) else { return };
        let Some(room) = self.rooms.get_mut(&room_id) else { return };
        let mut world = World { limits: &self.limits, media, outputs: &mut self.outputs };
        room.remove(number, reason, &mut world);
        room.settle(&mut world);
        let empty = room.is_empty();
        self.outputs.push(Output::Ended { participant, reason });
        if empty {
            self.handle_empty(room_id);
        }
    }

    pub fn close_all(&mut self, media: &dyn Media) {
        for (participant, _) in self.whereabouts.drain() {
            media.close(participant);
            self.outputs.push(Output::Ended { participant, reason: LeaveReason::ServerClosing });
        }
        self.rooms.clear();
        self.by_name.clear();
    }

    pub fn handle_media_event(&mut self, event: MediaEvent, media: &dyn Media) {
        // Whoever it is about may be gone by now: then there is nothing to do.
        match event {
            MediaEvent::Connected { participant } => self.in_room(participant, media, |room, n, w| room.handle_connected(n, w)),
            // Clients were told when the m-line was agreed; the first packet changes nothing for them.
            MediaEvent::PublicationStarted { publication: _ } => {}
            MediaEvent::Quality { participant, publication, quality } => {
                self.in_room(participant, media, |room, n, w| room.handle_quality(n, publication, quality, w));
            }
            MediaEvent::Estimate { participant, estimate_bps } => {
                self.in_room(participant, media, |room, n, w| room.handle_estimate(n, estimate_bps, w));
            }
            MediaEvent::LayersWanted { publisher, publication, spatial_max } => {
                self.in_room(publisher, media, |room, n, w| room.handle_layers_wanted(n, publication, spatial_max, w));
            }
            MediaEvent::Speakers { room, speakers } => {
                let Some(room) = self.rooms.get_mut(&room) else { return };
                room.handle_speakers(speakers, &mut World { limits: &self.limits, media, outputs: &mut self.outputs });
            }
            MediaEvent::Closed { participant, reason } => {
                tracing::debug!(reason, "media path ended");
                self.leave(participant, LeaveReason::MediaClosed, media);
            }
        }
    }

    fn with_room<T>(
        &mut self,
        participant: ParticipantId,
        media: &dyn Media,
        act: impl FnOnce(&mut Room, JoinNumber, &mut World) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        let place = self.whereabouts.get(&participant).copied();
        let room = place.and_then(|(room, number)| Some((self.rooms.get_mut(&room)?, number)));
        let Some((room, number)) = room else { return Err(Refusal::new(ErrorCode::NotJoined, "not in a room")) };
        act(room, number, &mut World { limits: &self.limits, media, outputs: &mut self.outputs })
    }

    fn in_room(&mut self, participant: ParticipantId, media: &dyn Media, act: impl FnOnce(&mut Room, JoinNumber, &mut World)) {
        let _ = self.with_room(participant, media, |room, number, world| {
            act(room, number, world);
            Ok(())
        });
    }

    fn settle(&mut self, participant: ParticipantId, media: &dyn Media) {
        self.in_room(participant, media, |room, _, world| room.settle(world));
    }

    fn tell(&mut self, to: ParticipantId, message: ServerMessage) {
        self.outputs.push(Output::Tell { to: vec![to], message });
    }
}

fn ok(id: u64) -> Option<ServerMessage> {
    Some(ServerMessage::Ok { id })
}

fn subscribed(id: u64, publication: PublicationId, mid: Option<String>) -> Option<ServerMessage> {
    Some(ServerMessage::Subscribed { id, publication: publication_text(publication), mid })
}

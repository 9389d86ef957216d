//! All rooms of this server. Every input ends with everything said that must be said: [`Rooms::take_outputs`] after each.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::config::Config;
use crate::media::{Answer, Media, MediaEvent, ParticipantId, PublicationId, RoomId};
use crate::message::{ErrorCode, LeaveReason, Moderation, Request, RoomChange, ServerMessage, Track, publication_text};
use crate::news::{News, What};
use crate::people::{Entry, Participant, Plan, Ticket};
use crate::room::{JoinNumber, Options, Output, Refusal, Room, Standing, World};
use crate::time::{Deadlines, Due, Now};

mod breakouts;
mod calls;
mod moderation;
mod operator;
mod players;
mod returning;
mod talk;
#[cfg(test)]
mod tests;
mod waiting;

/// What a room reaches out to, while the room itself is borrowed.
macro_rules! world {
    ($rooms:expr, $media:expr) => {
        World {
            limits: &$rooms.limits,
            media: $media,
            outputs: &mut $rooms.outputs,
            now: $rooms.now,
            deadlines: &mut $rooms.deadlines,
            draw: &mut $rooms.draw,
        }
    };
}
use world;

use breakouts::Breakouts;
use calls::Calls;

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
    /// Who waits to be let in, and where.
    held: HashMap<ParticipantId, RoomId, RandomState>,
    /// By main room.
    breakouts: HashMap<RoomId, Breakouts, RandomState>,
    calls: Calls,
    /// Who may come back, by its secret.
    by_resume: HashMap<String, ParticipantId, RandomState>,
    joined_total: u64,
    now: Now,
    deadlines: Deadlines,
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
            held: HashMap::default(),
            breakouts: HashMap::default(),
            calls: Calls::default(),
            by_resume: HashMap::default(),
            joined_total: 0,
            now: Now::default(),
            deadlines: Deadlines::default(),
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

    /// All but breakouts, whose names are their main rooms' own affair.
    pub fn all(&self) -> impl Iterator<Item = &Room> {
        self.rooms.values().filter(|room| room.main.is_none())
    }

    /// Time goes on: to be told before every input, and when [`Rooms::next_ms`] has come.
    pub fn handle_time(&mut self, now: Now, media: &dyn Media) {
        self.now = now;
        while let Some(due) = self.deadlines.pop(now) {
            match due {
                Due::Return(participant) => self.leave(participant, LeaveReason::Disconnected, media),
                Due::Audience(room) => {
                    if let Some(room) = self.rooms.get_mut(&room) {
                        room.tell_audience(&mut world!(self, media));
                    }
                }
                Due::Breakouts(main) => self.handle_breakouts_due(main, media),
                Due::Call(call) => self.handle_call_due(call),
                Due::Empty(main) => self.close_room(main, media),
            }
        }
    }

    /// When something happens by itself, in milliseconds of the clock that only goes forward.
    pub fn next_ms(&self) -> Option<u64> {
        self.deadlines.next_ms()
    }

    pub fn take_outputs(&mut self) -> Vec<Output> {
        std::mem::take(&mut self.outputs)
    }

    /// Lets a WebSocket client in. A caller with the same identity leaves the room.
    pub fn join(&mut self, ticket: Ticket, auto_subscribe: bool, media: &dyn Media) -> Result<ParticipantId, Refusal> {
        if let Some(held) = self.hold(&ticket, auto_subscribe, media)? {
            return Ok(held);
        }
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
        let id = ParticipantId((self.draw)());
        self.open_as(id, ticket, entry, media)
    }

    fn open_as(&mut self, id: ParticipantId, ticket: Ticket, entry: Entry, media: &dyn Media) -> Result<Newcomer, Refusal> {
        let main = self.by_name.get(&ticket.room).copied();
        let mut participant = Participant::new(id, ticket, entry);
        if let Some(room) = main.and_then(|main| self.rooms.get(&main)) {
            check_door(room, &participant.ticket)?;
            if !participant.calls() && room.holds(&participant.ticket) {
                return Err(Refusal::new(ErrorCode::Locked, "the room has a waiting room, and nobody waits there by WHIP or WHEP"));
            }
            let of_token = Standing::of(&participant.ticket, room.settings.mode);
            participant.standing = room.standing_of(&participant.ticket.identity).unwrap_or(of_token);
        }
        let replaces = main.filter(|_| participant.replaces()).and_then(|main| self.holder(main, &participant.ticket.identity));
        self.check_bounds(main, replaces.is_some())?;
        let room = match main {
            Some(main) => self.breakout_for(main, &participant).unwrap_or(main),
            None => RoomId((self.draw)()),
        };
        let may_publish = participant.standing.publish && participant.visible();
        media.open(participant.id, room, participant.front(), may_publish, participant.may_subscribe())?;
        Ok(Newcomer { participant, room, replaces })
    }

    /// The caller with this identity, in a room or in one of its breakouts.
    fn holder(&self, main: RoomId, identity: &str) -> Option<ParticipantId> {
        self.family(main).into_iter().find_map(|room| self.rooms.get(&room)?.holder(identity))
    }

    fn admit(&mut self, newcomer: Newcomer, media: &dyn Media) -> ParticipantId {
        let Newcomer { mut participant, room: room_id, replaces } = newcomer;
        participant.joined_s = self.now.unix_s();
        let id = participant.id;
        let number = JoinNumber(self.joined_total);
        self.joined_total += 1;
        if participant.calls() {
            participant.resume = format!("{:016x}{:016x}", (self.draw)(), (self.draw)());
            self.by_resume.insert(participant.resume.clone(), id);
        }
        self.open_room(room_id, &participant.ticket.room, Options::default());
        if let Some(old) = replaces {
            self.take_away(old, LeaveReason::Replaced, media);
        }
        self.whereabouts.insert(id, (room_id, number));
        let main = self.main_of(room_id);
        if let Some(main) = self.rooms.get_mut(&main) {
            main.stay(&mut world!(self, media));
        }
        self.tell_presence(RoomChange::Entered, &participant);
        let Some(room) = self.rooms.get_mut(&room_id) else { return id };
        let mut world = world!(self, media);
        room.admit(number, participant, &mut world);
        room.settle(&mut world);
        self.tell_breakouts(self.main_of(room_id));
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
            Some(room) if self.family_len(room.id) >= room.options.bound(self.limits.participants_per_room_max) => {
                Err(Refusal::new(ErrorCode::Full, "the room is full"))
            }
            _ => Ok(()),
        }
    }

    /// The reply to `join`, once the client can be told.
    pub fn tell_joined(&mut self, participant: ParticipantId, request: u64, media: &dyn Media) {
        if self.is_held(participant) {
            return self.tell_waiting(participant, request);
        }
        self.tell_entered(participant, Some(request), media);
    }

    fn tell_entered(&mut self, participant: ParticipantId, request: Option<u64>, media: &dyn Media) {
        let Some((room_id, number)) = self.whereabouts.get(&participant).copied() else { return };
        let breakouts = self.breakouts_info(self.main_of(room_id));
        let Some(room) = self.rooms.get(&room_id) else { return };
        let Some(mut entered) = room.entered(number, &world!(self, media)) else { return };
        entered.state.breakouts = breakouts;
        let (entered, speakers) = (Box::new(entered), room.speakers());
        self.tell(
            participant,
            match request {
                Some(id) => ServerMessage::Joined { id, entered },
                None => ServerMessage::Admitted { entered },
            },
        );
        if let Some(speakers) = speakers {
            self.tell(participant, speakers);
        }
    }

    /// A request of someone who has joined. Its reply is among the outputs.
    pub fn handle_request(&mut self, participant: ParticipantId, id: u64, request: Request, media: &dyn Media) {
        if self.calls.is_presence(participant) {
            return self.handle_presence(participant, id, request);
        }
        if self.is_held(participant) && !matches!(request, Request::Leave | Request::Ping) {
            return self.tell_refusal(participant, id, Self::refuse_waiting());
        }
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
            Request::SendData { data } => self.with_room(participant, media, |room, n, w| room.send_data(Some(n), data, w)).map(|_| ok(id)),
            Request::Moderate(Moderation::EndRoom) => self.end_by(participant, media).map(|()| {
                self.tell(participant, ServerMessage::Ok { id });
                self.leave(participant, LeaveReason::RoomEnded, media);
                None
            }),
            Request::Moderate(request) => self.moderate(participant, request, media).map(|()| ok(id)),
            Request::Talk(request) => self.talk(participant, id, request, media),
            Request::Poll(request) => self.poll(participant, id, request, media),
            Request::Board(request) => self.board(participant, id, request, media),
            Request::Breakout(request) => self.breakout(participant, request, media).map(|()| ok(id)),
            Request::AudienceList { after, limit } => self
                .with_room(participant, media, |room, n, _| room.audience_list(n, after, limit))
                .map(|(people, next)| Some(ServerMessage::AudienceList { id, people, next })),
            Request::Call(request) => self.call_from_room(participant, id, request).map(Some),
            Request::Hello | Request::Resume => Err(Refusal::new(ErrorCode::AlreadyJoined, "this connection has joined already")),
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
            Err(refusal) => self.tell_refusal(participant, id, refusal),
        }
        self.settle(participant, media);
    }

    fn tell_refusal(&mut self, participant: ParticipantId, id: u64, refusal: Refusal) {
        let Refusal { code, message, field } = refusal;
        self.tell(participant, ServerMessage::Error { id: Some(id), code, message, field: field.map(str::to_owned) });
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
        if self.let_go(participant, reason, media) || self.close_presence(participant, reason) {
            return;
        }
        if let Some(room) = self.take_away(participant, reason, media) {
            self.tell_breakouts(self.main_of(room));
            self.drop_if_idle(room, media);
        }
    }

    /// Takes someone out of its room, which stays, though perhaps nobody is in it.
    fn take_away(&mut self, participant: ParticipantId, reason: LeaveReason, media: &dyn Media) -> Option<RoomId> {
        let (room_id, number) = self.whereabouts.remove(&participant)?;
        let room = self.rooms.get_mut(&room_id)?;
        let mut world = world!(self, media);
        let gone = room.remove(number, reason, &mut world);
        room.settle(&mut world);
        if let Some(gone) = gone {
            self.by_resume.remove(&gone.resume);
            self.tell_presence(RoomChange::Left, &gone);
        }
        self.outputs.push(Output::Ended { participant, reason });
        Some(room_id)
    }

    /// A room in which, and in whose breakouts, nobody is any more ends, or stays for a while.
    fn drop_if_idle(&mut self, room_id: RoomId, media: &dyn Media) {
        let main = self.main_of(room_id);
        if !self.family_is_empty(main) {
            return;
        }
        self.remove_breakouts(main, media);
        let Some(room) = self.rooms.get_mut(&main) else { return };
        let (name, stays) = (room.name.clone(), room.options.empty_timeout_s > 0);
        if stays {
            room.linger(&mut world!(self, media));
        }
        self.tell_watchers(RoomChange::Emptied, &name, None);
        if !stays {
            self.close_room(main, media);
        }
    }

    /// A room is over, and what it remembers with it. Nobody is in it.
    fn close_room(&mut self, main: RoomId, media: &dyn Media) {
        self.remove_breakouts(main, media);
        let Some(mut room) = self.rooms.remove(&main) else { return };
        room.forget_times(&mut world!(self, media));
        self.by_name.remove(&room.name);
        self.tell_watchers(RoomChange::Ended, &room.name, None);
        self.end_calls_of(&room.name);
        self.outputs.push(Output::News(Box::new(News::of_room(What::RoomEnded, &room))));
    }

    pub fn close_all(&mut self, media: &dyn Media) {
        for (participant, _) in self.whereabouts.drain() {
            media.close(participant);
            self.outputs.push(Output::Ended { participant, reason: LeaveReason::ServerClosing });
        }
        for (participant, _) in self.held.drain() {
            self.outputs.push(Output::Ended { participant, reason: LeaveReason::ServerClosing });
        }
        for participant in self.calls.presences() {
            self.outputs.push(Output::Ended { participant, reason: LeaveReason::ServerClosing });
        }
        self.calls = Calls::default();
        self.rooms.clear();
        self.breakouts.clear();
        self.by_name.clear();
        self.by_resume.clear();
        self.deadlines = Deadlines::default();
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
                room.handle_speakers(speakers, &mut world!(self, media));
            }
            MediaEvent::DataChannels { participant, open } => {
                self.in_room(participant, media, |room, n, _| room.handle_data_channels(n, open));
            }
            MediaEvent::Data { participant, message } => {
                self.in_room(participant, media, |room, n, w| room.handle_data(n, message, w));
            }
            MediaEvent::DataLost { participant, messages } => {
                self.in_room(participant, media, |room, n, w| room.handle_data_lost(n, messages, w));
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
        act(room, number, &mut world!(self, media))
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

/// Whether a room lets someone in.
fn check_door(room: &Room, ticket: &Ticket) -> Result<(), Refusal> {
    if room.is_banned(&ticket.identity) {
        return Err(Refusal::new(ErrorCode::Banned, "this identity was banned from the room"));
    }
    // Who is in it already comes in again, as after a refresh.
    if room.settings.locked && !ticket.admin && room.holder(&ticket.identity).is_none() {
        return Err(Refusal::new(ErrorCode::Locked, "the room is locked"));
    }
    Ok(())
}

fn ok(id: u64) -> Option<ServerMessage> {
    Some(ServerMessage::Ok { id })
}

fn subscribed(id: u64, publication: PublicationId, mid: Option<String>) -> Option<ServerMessage> {
    Some(ServerMessage::Subscribed { id, publication: publication_text(publication), mid })
}

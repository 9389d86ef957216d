//! Presence and ringing: identities that are connected without being in a room, and the calls between them.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::{Rooms, ok};
use crate::media::ParticipantId;
use crate::message::{
    CallInfo, CallRequest, CallState, ErrorCode, LeaveReason, PresentInfo, Request, RoomChange, RoomPeopleInfo, ServerMessage,
};
use crate::people::{Participant, Ticket};
use crate::room::{Output, Refusal};
use crate::time::Due;

/// Who is connected without being in a room, and what rings.
#[derive(Default)]
pub struct Calls {
    presences: HashMap<ParticipantId, Presence, RandomState>,
    by_identity: HashMap<String, Vec<ParticipantId>, RandomState>,
    calls: HashMap<u64, Call, RandomState>,
}

struct Presence {
    identity: String,
    name: String,
    may_list: bool,
    /// It is told who comes and goes.
    watches: bool,
}

#[derive(Clone)]
struct Call {
    room: String,
    from: String,
    from_name: String,
    to: String,
    video: bool,
    state: CallState,
    reason: Option<&'static str>,
    due_ms: Option<u64>,
}

impl Call {
    fn concerns(&self, identity: &str) -> bool {
        self.from == identity || self.to == identity
    }
}

impl Calls {
    pub fn is_presence(&self, id: ParticipantId) -> bool {
        self.presences.contains_key(&id)
    }

    pub fn presences(&self) -> Vec<ParticipantId> {
        self.presences.keys().copied().collect()
    }

    /// Whether someone belongs into a room because it calls, or was called and has accepted.
    fn opens(&self, identity: &str, room: &str) -> bool {
        let lets_in = |call: &Call| call.from == identity || (call.to == identity && call.state == CallState::Connected);
        self.calls.values().any(|call| call.room == room && lets_in(call))
    }

    fn info(&self, id: u64, call: &Call) -> CallInfo {
        let Call { room, from, from_name, to, video, state, reason, due_ms: _ } = call.clone();
        let reachable = self.by_identity.contains_key(&to);
        CallInfo { id: format!("{id:016x}"), room, from, from_name, to, video, state, reason, reachable }
    }
}

impl Rooms {
    /// Somebody is there to be rung. `may_list`: it may also know who is where.
    pub fn attend(&mut self, ticket: &Ticket, may_list: bool) -> ParticipantId {
        let id = ParticipantId((self.draw)());
        let (identity, name) = (ticket.identity.clone(), ticket.name.clone());
        self.calls.by_identity.entry(identity.clone()).or_default().push(id);
        self.calls.presences.insert(id, Presence { identity, name, may_list, watches: false });
        id
    }

    /// The reply to `hello`, once the client can be told.
    pub fn tell_welcome(&mut self, id: ParticipantId, request: u64) {
        let Some(Presence { identity, name, .. }) = self.calls.presences.get(&id) else { return };
        let calls =
            self.calls.calls.iter().filter(|(_, call)| call.concerns(identity)).map(|(id, call)| self.calls.info(*id, call)).collect();
        let message = ServerMessage::Welcome { id: request, identity: identity.clone(), name: name.clone(), calls };
        self.tell(id, message);
    }

    /// The ticket with which an identity comes into the room of one of its calls.
    pub fn ticket_by_call(&self, ticket: Ticket, room: &str) -> Result<Ticket, Refusal> {
        if !self.calls.opens(&ticket.identity, room) {
            return Err(Refusal::new(ErrorCode::Forbidden, "no call of this identity leads to this room").of("room"));
        }
        Ok(Ticket { room: room.to_owned(), admin: false, ..ticket })
    }

    pub(super) fn close_presence(&mut self, id: ParticipantId, reason: LeaveReason) -> bool {
        let Some(Presence { identity, .. }) = self.calls.presences.remove(&id) else { return false };
        if let Some(same) = self.calls.by_identity.get_mut(&identity) {
            same.retain(|other| *other != id);
            if same.is_empty() {
                self.calls.by_identity.remove(&identity);
            }
        }
        self.outputs.push(Output::Ended { participant: id, reason });
        true
    }

    /// A request of somebody who is in no room.
    pub(super) fn handle_presence(&mut self, by: ParticipantId, id: u64, request: Request) {
        let Some((identity, name)) = self.calls.presences.get(&by).map(|p| (p.identity.clone(), p.name.clone())) else { return };
        let reply = match request {
            Request::Ping => Ok(Some(ServerMessage::Pong { id })),
            Request::Leave => {
                self.tell(by, ServerMessage::Ok { id });
                self.close_presence(by, LeaveReason::Left);
                Ok(None)
            }
            Request::Call(CallRequest::Invite { identity: to, video }) => {
                let room = format!("call-{:016x}", (self.draw)());
                self.invite(Call::ringing(room, identity, name, to, video)).map(|call| Some(ServerMessage::Invited { id, call }))
            }
            Request::Call(CallRequest::Rooms { watch }) => self.rooms_for(by, watch).map(|rooms| Some(ServerMessage::Rooms { id, rooms })),
            Request::Call(request) => self.change_call(&identity, id, request),
            _ => Err(Refusal::new(ErrorCode::NotJoined, "this connection is in no room")),
        };
        match reply {
            Ok(reply) => reply.into_iter().for_each(|message| self.tell(by, message)),
            Err(refusal) => self.tell_refusal(by, id, refusal),
        }
    }

    /// Someone in a room asks another in.
    pub(super) fn call_from_room(&mut self, by: ParticipantId, id: u64, request: CallRequest) -> Result<ServerMessage, Refusal> {
        let place = self.whereabouts.get(&by).copied();
        let room = place.and_then(|(room, number)| Some((self.rooms.get(&room)?, number)));
        let (room, own) = room.and_then(|(room, number)| Some((room, room.participant(number)?))).ok_or_else(Refusal::no_participant)?;
        let (identity, name) = (own.ticket.identity.clone(), own.ticket.name.clone());
        match request {
            CallRequest::Invite { identity: to, video } => {
                let closed = room.settings.locked || room.settings.waiting_room || room.main.is_some();
                if (closed && !own.is_host()) || room.is_banned(&to) {
                    return Err(Refusal::new(ErrorCode::Forbidden, "nobody may be invited into this room").of("identity"));
                }
                let room = own.ticket.room.clone();
                self.invite(Call::ringing(room, identity, name, to, video)).map(|call| ServerMessage::Invited { id, call })
            }
            CallRequest::Rooms { .. } => Err(Refusal::new(ErrorCode::Forbidden, "only without being in a room")),
            request => self.change_call(&identity, id, request).map(|reply| reply.unwrap_or(ServerMessage::Ok { id })),
        }
    }

    fn invite(&mut self, call: Call) -> Result<CallInfo, Refusal> {
        if call.from == call.to {
            return Err(Refusal::new(ErrorCode::Forbidden, "one cannot call oneself").of("identity"));
        }
        let of_one = self.calls.calls.values().filter(|other| other.from == call.from).count();
        if self.calls.calls.len() >= self.limits.room.calls_max || of_one >= self.limits.room.calls_per_identity_max {
            return Err(Refusal::new(ErrorCode::Full, "too many calls"));
        }
        let id = (self.draw)();
        self.calls.calls.insert(id, call);
        self.wait_for_call(id);
        let info = self.calls.calls.get(&id).map(|call| self.calls.info(id, call)).ok_or_else(no_call)?;
        self.tell_call(id, |call, identity| call.to == identity);
        Ok(info)
    }

    fn wait_for_call(&mut self, id: u64) {
        let due_ms = self.now.in_s(self.limits.room.ring_timeout_s);
        let Some(call) = self.calls.calls.get_mut(&id) else { return };
        if let Some(before_ms) = call.due_ms.replace(due_ms) {
            self.deadlines.cancel(before_ms, Due::Call(id));
        }
        self.deadlines.set(due_ms, Due::Call(id));
    }

    /// It rang long enough; or it was accepted, and it is time that somebody has come.
    pub(super) fn handle_call_due(&mut self, id: u64) {
        let Some(call) = self.calls.calls.get_mut(&id) else { return };
        call.due_ms = None;
        let (state, room) = (call.state, call.room.clone());
        match state {
            CallState::Ringing => self.end_call(id, "timeout"),
            CallState::Connected if !self.by_name.contains_key(&room) => self.end_call(id, "room_ended"),
            CallState::Connected | CallState::Ended => {}
        }
    }

    fn change_call(&mut self, identity: &str, id: u64, request: CallRequest) -> Result<Option<ServerMessage>, Refusal> {
        let (CallRequest::Accept { call } | CallRequest::Decline { call } | CallRequest::Cancel { call }) = request else {
            return Err(no_call());
        };
        let known = self.calls.calls.get_mut(&call).filter(|call| call.concerns(identity)).ok_or_else(no_call)?;
        let (is_callee, rings) = (known.to == identity, known.state == CallState::Ringing);
        match request {
            CallRequest::Accept { .. } | CallRequest::Decline { .. } if !is_callee || !rings => {
                Err(Refusal::new(ErrorCode::Over, "the call does not ring here").of("call"))
            }
            CallRequest::Accept { .. } => {
                known.state = CallState::Connected;
                self.wait_for_call(call);
                self.tell_call(call, Call::concerns);
                let info = self.calls.calls.get(&call).map(|known| self.calls.info(call, known)).ok_or_else(no_call)?;
                Ok(Some(ServerMessage::Accepted { id, call: info }))
            }
            CallRequest::Decline { .. } => {
                self.end_call(call, "declined");
                Ok(ok(id))
            }
            _ if rings && is_callee => Err(Refusal::new(ErrorCode::Forbidden, "who is called declines").of("call")),
            _ => {
                self.end_call(call, if rings { "cancelled" } else { "hung_up" });
                Ok(ok(id))
            }
        }
    }

    fn end_call(&mut self, id: u64, reason: &'static str) {
        let Some(call) = self.calls.calls.get_mut(&id) else { return };
        (call.state, call.reason) = (CallState::Ended, Some(reason));
        if let Some(due_ms) = call.due_ms.take() {
            self.deadlines.cancel(due_ms, Due::Call(id));
        }
        self.tell_call(id, Call::concerns);
        self.calls.calls.remove(&id);
    }

    /// A room is gone, and with it its calls.
    pub(super) fn end_calls_of(&mut self, room: &str) {
        let is_over = |call: &Call| call.room == room && call.state == CallState::Connected;
        let over: Vec<u64> = self.calls.calls.iter().filter(|(_, call)| is_over(call)).map(|(id, _)| *id).collect();
        over.into_iter().for_each(|id| self.end_call(id, "room_ended"));
    }

    fn tell_call(&mut self, id: u64, whom: impl Fn(&Call, &str) -> bool) {
        let Some(call) = self.calls.calls.get(&id) else { return };
        let identities = [&call.from, &call.to].into_iter().filter(|identity| whom(call, identity));
        let to: Vec<ParticipantId> = identities.filter_map(|identity| self.calls.by_identity.get(identity)).flatten().copied().collect();
        if !to.is_empty() {
            self.outputs.push(Output::Tell { to, message: ServerMessage::Call { call: self.calls.info(id, call) } });
        }
    }

    fn rooms_for(&mut self, by: ParticipantId, watch: bool) -> Result<Vec<RoomPeopleInfo>, Refusal> {
        let presence = self.calls.presences.get_mut(&by).filter(|presence| presence.may_list);
        let presence = presence.ok_or_else(|| Refusal::new(ErrorCode::Forbidden, "the token does not grant roomList"))?;
        presence.watches = watch;
        let mut rooms: Vec<RoomPeopleInfo> = Vec::new();
        for (name, main) in &self.by_name {
            let inside = self.family(*main).into_iter().filter_map(|room| self.rooms.get(&room));
            let people = inside.flat_map(|room| room.people()).filter(|p| p.holds_identity() && !p.ticket.hidden);
            let people = people.map(|p| PresentInfo { identity: p.ticket.identity.clone(), name: p.ticket.name.clone() }).collect();
            rooms.push(RoomPeopleInfo { room: name.clone(), people });
        }
        rooms.sort_by(|a, b| a.room.cmp(&b.room));
        Ok(rooms)
    }

    pub(super) fn tell_presence(&mut self, event: RoomChange, participant: &Participant) {
        if participant.holds_identity() && !participant.ticket.hidden {
            let Ticket { room, identity, name, .. } = &participant.ticket;
            self.tell_watchers(event, room, Some((identity, name)));
        }
    }

    pub(super) fn tell_watchers(&mut self, event: RoomChange, room: &str, whose: Option<(&String, &String)>) {
        let to: Vec<ParticipantId> = self.calls.presences.iter().filter(|(_, presence)| presence.watches).map(|(id, _)| *id).collect();
        if !to.is_empty() {
            let (identity, name) = whose.map(|(identity, name)| (identity.clone(), name.clone())).unzip();
            self.outputs.push(Output::Tell { to, message: ServerMessage::RoomEvent { event, room: room.to_owned(), identity, name } });
        }
    }
}

impl Call {
    fn ringing(room: String, from: String, from_name: String, to: String, video: bool) -> Self {
        Self { room, from, from_name, to, video, state: CallState::Ringing, reason: None, due_ms: None }
    }
}

fn no_call() -> Refusal {
    Refusal::new(ErrorCode::NotFound, "no such call").of("call")
}

//! The door of a room: who comes in, who is held, who is let in from there.

use super::{Rooms, World, world};
use crate::media::{Media, ParticipantId, RoomId};
use crate::message::{ErrorCode, LeaveReason, ServerMessage};
use crate::news::{News, What};
use crate::people::{Entry, Participant, Ticket};
use crate::room::{Options, Output, Refusal, Room, Settings, Waiter};

impl Rooms {
    /// Holds a caller in the waiting room, if it must wait.
    pub(super) fn hold(&mut self, ticket: &Ticket, auto_subscribe: bool, media: &dyn Media) -> Result<Option<ParticipantId>, Refusal> {
        let known = self.by_name.get(&ticket.room).copied();
        let must_wait = match known.and_then(|room| self.rooms.get(&room)) {
            Some(room) => {
                super::check_door(room, ticket)?;
                room.holds(ticket)
            }
            None => self.limits.room.waiting_room && !ticket.admin,
        };
        if !must_wait {
            return Ok(None);
        }
        self.check_bounds(known, false)?;
        let room_id = known.unwrap_or_else(|| RoomId((self.draw)()));
        let id = ParticipantId((self.draw)());
        self.open_room(room_id, &ticket.room, Options::default());
        let Some(room) = self.rooms.get_mut(&room_id) else { return Ok(None) };
        let old = room.waiters().find(|waiter| waiter.ticket.identity == ticket.identity).map(|waiter| waiter.id);
        let waiter = Waiter { id, ticket: ticket.clone(), auto_subscribe, since_unix_ms: self.now.unix_ms };
        let held = room.hold(waiter, &mut world!(self, media));
        if let Some(old) = old {
            self.let_go(old, LeaveReason::Replaced, media);
        }
        held?;
        self.held.insert(id, room_id);
        Ok(Some(id))
    }

    /// A room of this name is there from now on.
    pub(super) fn open_room(&mut self, id: RoomId, name: &str, options: Options) {
        if self.rooms.contains_key(&id) {
            return;
        }
        let settings = Settings { waiting_room: self.limits.room.waiting_room, ..Settings::default() };
        let room = Room::new(id, name.to_owned(), settings, options, self.now.unix_s());
        self.outputs.push(Output::News(Box::new(News::of_room(What::RoomStarted, &room))));
        self.rooms.insert(id, room);
        self.by_name.insert(name.to_owned(), id);
        self.tell_watchers(crate::message::RoomChange::Created, name, None);
    }

    /// Someone waits no longer, and does not come in. `false`: it did not wait.
    pub(super) fn let_go(&mut self, id: ParticipantId, reason: LeaveReason, media: &dyn Media) -> bool {
        let Some(room_id) = self.held.remove(&id) else { return false };
        if let Some(room) = self.rooms.get_mut(&room_id) {
            room.release(id, &mut world!(self, media));
        }
        self.outputs.push(Output::Ended { participant: id, reason });
        self.drop_if_idle(room_id, media);
        true
    }

    pub(super) fn is_held(&self, id: ParticipantId) -> bool {
        self.held.contains_key(&id)
    }

    /// The reply to `join` of who is held.
    pub(super) fn tell_waiting(&mut self, id: ParticipantId, request: u64) {
        let room = self.held.get(&id).and_then(|room| self.rooms.get(room));
        let Some((room, waiter)) = room.and_then(|room| Some((room, room.waiters().find(|waiter| waiter.id == id)?))) else { return };
        let entry = Entry::Call { auto_subscribe: waiter.auto_subscribe };
        let you = Participant::new(id, waiter.ticket.clone(), entry).you();
        let message = ServerMessage::Waiting { id: request, room: room.name.clone(), you };
        self.tell(id, message);
    }

    pub(super) fn admit_by(&mut self, by: ParticipantId, whom: Option<ParticipantId>, media: &dyn Media) -> Result<(), Refusal> {
        let meant = self.with_main_room(by, media, |room, n, _| room.waiters_meant(n, whom, "admit"))?;
        meant.into_iter().try_for_each(|id| self.let_in(id, media))
    }

    pub(super) fn deny_by(&mut self, by: ParticipantId, whom: Option<ParticipantId>, ban: bool, media: &dyn Media) -> Result<(), Refusal> {
        let meant = self.with_main_room(by, media, |room, n, world| {
            let meant = room.waiters_meant(n, whom, if ban { "deny_and_ban" } else { "deny" })?;
            let identities: Vec<String> =
                room.waiters().filter(|waiter| ban && meant.contains(&waiter.id)).map(|waiter| waiter.ticket.identity.clone()).collect();
            identities.iter().try_for_each(|identity| room.ban(identity, world))?;
            Ok(meant)
        })?;
        for id in meant {
            self.let_go(id, LeaveReason::Denied, media);
        }
        Ok(())
    }

    /// Out of the waiting room into the room. On an error it goes on waiting.
    pub(super) fn let_in(&mut self, id: ParticipantId, media: &dyn Media) -> Result<(), Refusal> {
        let Some(room_id) = self.held.get(&id).copied() else { return Ok(()) };
        let Some(room) = self.rooms.get(&room_id) else { return Ok(()) };
        let Some(Waiter { ticket, auto_subscribe, .. }) = room.waiters().find(|waiter| waiter.id == id).cloned() else { return Ok(()) };
        let identity = ticket.identity.clone();
        let newcomer = self.open_as(id, ticket, Entry::Call { auto_subscribe }, media)?;
        self.held.remove(&id);
        if let Some(room) = self.rooms.get_mut(&room_id) {
            let mut world = world!(self, media);
            room.remember_admitted(&identity, &world);
            room.release(id, &mut world);
        }
        self.admit(newcomer, media);
        self.tell_entered(id, None, media);
        Ok(())
    }

    /// The waiting room has been switched off.
    pub(super) fn let_all_in(&mut self, room_id: RoomId, media: &dyn Media) {
        let Some(room) = self.rooms.get(&room_id).filter(|room| !room.settings.waiting_room) else { return };
        let held: Vec<ParticipantId> = room.waiters().map(|waiter| waiter.id).collect();
        for id in held {
            if let Err(refusal) = self.let_in(id, media) {
                tracing::debug!(code = ?refusal.code, "not let in");
                self.let_go(id, LeaveReason::Denied, media);
            }
        }
    }

    pub(super) fn refuse_waiting() -> Refusal {
        Refusal::new(ErrorCode::Waiting, "in the waiting room, until a host decides")
    }
}

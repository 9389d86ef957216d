//! Requests of hosts, as far as they reach beyond one room's table of people.

use super::{Rooms, World};
use crate::media::{Media, ParticipantId, RoomId};
use crate::message::{ErrorCode, LeaveReason, Moderation, Role};
use crate::room::{JoinNumber, Refusal, Room};

impl Rooms {
    pub(super) fn moderate(&mut self, by: ParticipantId, request: Moderation, media: &dyn Media) -> Result<(), Refusal> {
        let act = |rooms: &mut Self, act: &dyn Fn(&mut Room, JoinNumber, &mut World) -> Result<(), Refusal>| {
            rooms.with_room(by, media, |room, number, world| act(room, number, world))
        };
        match request {
            Moderation::MuteAll { source } => act(self, &|room, n, w| room.mute_all(n, source, w)),
            Moderation::AskUnmute { participant, source } => act(self, &|room, n, w| room.ask_unmute(n, participant, source, w)),
            Moderation::SetRole { participant, role } => act(self, &|room, n, w| room.set_role(n, participant, role, w)),
            Moderation::SetPermissions { participant, wish } => act(self, &|room, n, w| room.set_permissions(n, participant, wish, w)),
            Moderation::Remove { participant, ban } => self.remove_by(by, participant, ban, media),
            Moderation::Unban { identity } => self.with_main_room(by, media, |room, n, w| room.unban(n, &identity, w)),
            Moderation::SetRoom(wish) => {
                let room = self.with_main_room(by, media, |room, n, w| room.set_room(n, wish, w).map(|_| room.id))?;
                self.let_all_in(room, media);
                Ok(())
            }
            Moderation::EndRoom => self.end_by(by, media),
            Moderation::Admit { whom } => self.admit_by(by, whom, media),
            Moderation::Deny { whom, ban } => self.deny_by(by, whom, ban, media),
        }
    }

    /// What concerns the whole room is decided in the main one.
    pub(super) fn with_main_room<T>(
        &mut self,
        by: ParticipantId,
        media: &dyn Media,
        act: impl FnOnce(&mut Room, JoinNumber, &mut World) -> Result<T, Refusal>,
    ) -> Result<T, Refusal> {
        self.with_room(by, media, |room, number, world| {
            if room.main.is_some() {
                return Err(Refusal::new(ErrorCode::Forbidden, "only from the main room"));
            }
            act(room, number, world)
        })
    }

    fn remove_by(&mut self, by: ParticipantId, whom: ParticipantId, ban: bool, media: &dyn Media) -> Result<(), Refusal> {
        let same = self.with_room(by, media, |room, number, world| {
            if ban && room.main.is_some() {
                return Err(Refusal::new(ErrorCode::Forbidden, "only from the main room").of("ban"));
            }
            let owner = room.moderated(number, whom, if ban { "ban" } else { "remove" })?;
            let identity = room.participant(owner).map(|participant| participant.ticket.identity.clone()).unwrap_or_default();
            let asking = room.check_host(number)?;
            if asking.ticket.identity == identity {
                return Err(Refusal::new(ErrorCode::Forbidden, "one leaves with leave").of("participant"));
            }
            if !ban {
                return Ok(vec![whom]);
            }
            room.ban(&identity, world)?;
            Ok(room.people().filter(|participant| participant.ticket.identity == identity).map(|participant| participant.id).collect())
        })?;
        let reason = if ban { LeaveReason::Banned } else { LeaveReason::Removed };
        same.into_iter().for_each(|whom| self.leave(whom, reason, media));
        Ok(())
    }

    pub(super) fn end_by(&mut self, by: ParticipantId, media: &dyn Media) -> Result<(), Refusal> {
        let people = self.with_room(by, media, |room, number, _| {
            if room.check_host(number)?.standing.role != Role::Host {
                return Err(Refusal::new(ErrorCode::Forbidden, "only a host ends the room for everyone"));
            }
            room.audit("end_room", number, None);
            Ok(room.id)
        })?;
        // Who asked goes last, after its reply.
        self.empty_room(self.main_of(people), Some(by), media);
        Ok(())
    }

    /// Everyone leaves, whoever waits too, except one; and the room ends with the last, however long it would have stayed. Returns how many left.
    pub(super) fn empty_room(&mut self, main: RoomId, except: Option<ParticipantId>, media: &dyn Media) -> usize {
        if let Some(room) = self.rooms.get_mut(&main) {
            room.options.empty_timeout_s = 0;
        }
        let family = self.family(main).into_iter().filter_map(|room| self.rooms.get(&room));
        let inside = family.clone().flat_map(|room| room.people().map(|participant| participant.id));
        let people: Vec<ParticipantId> = inside.chain(family.flat_map(|room| room.waiters().map(|waiter| waiter.id))).collect();
        let meant = people.into_iter().filter(|whom| Some(*whom) != except);
        meant.map(|whom| self.leave(whom, LeaveReason::RoomEnded, media)).count()
    }
}

//! What operators do to rooms and people from outside, over the HTTP API. Nobody's grants are looked at here. A room is meant with its
//! breakouts, and an identity wherever in them it is.

use super::{Rooms, World, breakouts, world};
use crate::media::{Media, ParticipantId, RoomId};
use crate::message::{Assign, BreakoutsInfo, DataRequest, ErrorCode, LeaveReason, PermissionWish, Role};
use crate::news::RoomFacts;
use crate::people::Participant;
use crate::room::{Options, Refusal, Room, RoomWish, Which};

impl Rooms {
    /// Opens a room in which nobody is yet, or changes the one that is there. True: it is new.
    pub fn create(&mut self, name: &str, wish: RoomWish, media: &dyn Media) -> Result<bool, Refusal> {
        if self.by_name.contains_key(name) {
            return self.update(name, wish, media).map(|()| false);
        }
        if self.rooms() >= self.limits.rooms_max {
            return Err(Refusal::new(ErrorCode::Full, "the server has no room for another room"));
        }
        let mut options = Options { empty_timeout_s: self.limits.empty_timeout_s, ..Options::default() };
        options.apply(&wish);
        let id = RoomId((self.draw)());
        self.open_room(id, name, options);
        self.update(name, wish, media).map(|()| true)
    }

    pub fn update(&mut self, name: &str, wish: RoomWish, media: &dyn Media) -> Result<(), Refusal> {
        let main = self.main_named(name)?;
        for id in self.family(main) {
            let Some(room) = self.rooms.get_mut(&id) else { continue };
            room.update(&wish, &mut world!(self, media));
        }
        self.let_all_in(main, media);
        if self.family_is_empty(main)
            && let Some(room) = self.rooms.get_mut(&main)
        {
            room.linger(&mut world!(self, media));
        }
        Ok(())
    }

    /// Everyone leaves, and the room is gone, however long it would have stayed. Returns how many left.
    pub fn end_room(&mut self, name: &str, media: &dyn Media) -> Result<usize, Refusal> {
        let main = self.main_named(name)?;
        let people = self.empty_room(main, None, media);
        // Nobody was in it: nobody's leaving has ended it.
        self.close_room(main, media);
        Ok(people)
    }

    /// Removes everyone of an identity; with `ban`, for good, also when it is not there. Returns how many left.
    pub fn remove(&mut self, name: &str, identity: &str, ban: bool, media: &dyn Media) -> Result<usize, Refusal> {
        let main = self.main_named(name)?;
        if let Some(room) = self.rooms.get_mut(&main).filter(|_| ban) {
            room.ban(identity, &mut world!(self, media))?;
        }
        let inside = self.identified(main, identity);
        let waiting = self.rooms.get(&main).into_iter().flat_map(Room::waiters);
        let waiting: Vec<ParticipantId> = waiting.filter(|w| w.ticket.identity == identity).map(|w| w.id).collect();
        let reason = if ban { LeaveReason::Banned } else { LeaveReason::Removed };
        let people = inside.len() + waiting.len();
        inside.into_iter().for_each(|id| self.leave(id, reason, media));
        waiting.into_iter().for_each(|id| self.leave(id, LeaveReason::Denied, media));
        if people == 0 && !ban { Err(nobody()) } else { Ok(people) }
    }

    /// An identity may come back.
    pub fn pardon(&mut self, name: &str, identity: &str, media: &dyn Media) -> Result<(), Refusal> {
        let main = self.main_named(name)?;
        let room = self.rooms.get_mut(&main).ok_or_else(Refusal::no_room)?;
        room.lift_ban(identity, &mut world!(self, media))
    }

    /// Another name or other metadata. Returns how many are of this identity.
    pub fn rename(&mut self, name: &str, identity: &str, to: (Option<&str>, Option<&str>), media: &dyn Media) -> Result<usize, Refusal> {
        self.on_people(name, media, |room, world| Ok(room.rename(identity, to.0, to.1, world)))
    }

    /// What people may do from now on, as a host would decide it.
    pub fn place(
        &mut self,
        name: &str,
        identity: &str,
        role: Option<Role>,
        wish: PermissionWish,
        media: &dyn Media,
    ) -> Result<usize, Refusal> {
        self.on_people(name, media, |room, world| room.place(identity, role, wish, world))
    }

    /// Stops (or lets pass again) the packets of an identity's publications. Returns how many are meant.
    pub fn silence(&mut self, name: &str, identity: &str, which: Which, muted: bool, media: &dyn Media) -> Result<usize, Refusal> {
        let main = self.main_named(name)?;
        if self.identified(main, identity).is_empty() {
            return Err(nobody());
        }
        let silenced = self.each_room(main, media, |room, world| Ok(room.silence(identity, which, muted, world)))?;
        Ok(silenced.into_iter().sum())
    }

    /// A message of the server's own to everyone in a room, or to some. Returns how many it is sent to.
    pub fn send_data(&mut self, name: &str, data: &DataRequest, media: &dyn Media) -> Result<usize, Refusal> {
        let main = self.main_named(name)?;
        let told = self.each_room(main, media, |room, world| room.send_data(None, data.clone(), world))?;
        match told.into_iter().sum() {
            0 if !data.to.is_empty() => Err(Refusal::new(ErrorCode::NotFound, "nobody with this identity can be reached").of("to")),
            told => Ok(told),
        }
    }

    /// Everyone of an identity into a breakout room, or back to the main one. Returns how many there are.
    pub fn move_to(&mut self, name: &str, identity: &str, breakout: Option<usize>, media: &dyn Media) -> Result<usize, Refusal> {
        let main = self.main_named(name)?;
        let count = self.breakouts_info(main).ok_or_else(breakouts::none_open)?.rooms.len();
        if breakout.is_some_and(|breakout| breakout >= count) {
            return Err(Refusal::new(ErrorCode::NotFound, "no such breakout").of("breakout"));
        }
        let moves: Vec<_> = self.identified(main, identity).into_iter().map(|id| (id, breakout)).collect();
        if moves.is_empty() {
            return Err(nobody());
        }
        self.switch(main, &moves, media);
        Ok(moves.len())
    }

    pub fn begin_breakouts(
        &mut self,
        name: &str,
        rooms: Vec<String>,
        assign: Assign,
        duration_s: u32,
        media: &dyn Media,
    ) -> Result<(), Refusal> {
        let main = self.main_named(name)?;
        self.open_breakouts_of(main, rooms, assign, &[], duration_s, media)
    }

    /// Everyone returns.
    pub fn end_breakouts(&mut self, name: &str, media: &dyn Media) -> Result<(), Refusal> {
        let main = self.main_named(name)?;
        if !self.breakouts.contains_key(&main) {
            return Err(breakouts::none_open());
        }
        self.close_breakouts(main, media);
        Ok(())
    }

    /// Lets those in who wait: of one identity, or all. Returns how many came in.
    pub fn admit_waiting(&mut self, name: &str, identity: &str, media: &dyn Media) -> Result<usize, Refusal> {
        let main = self.main_named(name)?;
        let waiters = self.rooms.get(&main).into_iter().flat_map(Room::waiters);
        let meant: Vec<ParticipantId> = waiters.filter(|w| w.ticket.identity == identity).map(|w| w.id).collect();
        if meant.is_empty() {
            return Err(Refusal::new(ErrorCode::NotFound, "nobody with this identity waits"));
        }
        meant.iter().try_for_each(|id| self.let_in(*id, media))?;
        Ok(meant.len())
    }

    /// A room and its breakouts, the room first.
    pub fn family_named(&self, name: &str) -> Option<Vec<&Room>> {
        let main = *self.by_name.get(name)?;
        Some(self.family(main).into_iter().filter_map(|id| self.rooms.get(&id)).collect())
    }

    pub fn breakouts_named(&self, name: &str) -> Option<BreakoutsInfo> {
        self.breakouts_info(*self.by_name.get(name)?)
    }

    /// With everyone in its breakouts.
    pub fn facts(&self, room: &Room) -> RoomFacts {
        let family = || self.family(room.id).into_iter().filter_map(|id| self.rooms.get(&id)).map(RoomFacts::from);
        let (participants, publications) =
            family().fold((0, 0), |(people, sent), facts| (people + facts.participants, sent + facts.publications));
        RoomFacts { participants, publications, ..room.into() }
    }

    fn main_named(&self, name: &str) -> Result<RoomId, Refusal> {
        self.by_name.get(name).copied().ok_or_else(Refusal::no_room)
    }

    fn identified(&self, main: RoomId, identity: &str) -> Vec<ParticipantId> {
        let inside = self.family(main).into_iter().filter_map(|id| self.rooms.get(&id)).flat_map(Room::people);
        inside.filter(|p: &&Participant| p.ticket.identity == identity).map(|p| p.id).collect()
    }

    /// Whoever is meant may be in any of the rooms; it is an error when nobody is.
    fn on_people(
        &mut self,
        name: &str,
        media: &dyn Media,
        act: impl FnMut(&mut Room, &mut World) -> Result<usize, Refusal>,
    ) -> Result<usize, Refusal> {
        let main = self.main_named(name)?;
        let people = self.each_room(main, media, act)?.into_iter().sum();
        self.tell_breakouts(main);
        if people == 0 { Err(nobody()) } else { Ok(people) }
    }

    fn each_room<T>(
        &mut self,
        main: RoomId,
        media: &dyn Media,
        mut act: impl FnMut(&mut Room, &mut World) -> Result<T, Refusal>,
    ) -> Result<Vec<T>, Refusal> {
        let mut outcomes = Vec::new();
        for id in self.family(main) {
            let Some(room) = self.rooms.get_mut(&id) else { continue };
            let mut world = world!(self, media);
            outcomes.push(act(room, &mut world)?);
            room.settle(&mut world);
        }
        Ok(outcomes)
    }
}

fn nobody() -> Refusal {
    Refusal::new(ErrorCode::NotFound, "nobody in the room has this identity")
}

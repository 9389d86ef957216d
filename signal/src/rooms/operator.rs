//! Rooms as operators open, change and end them.

use super::Rooms;
use crate::media::{Media, ParticipantId, RoomId};
use crate::message::{ErrorCode, LeaveReason};
use crate::news::{News, What};
use crate::room::{Options, Output, Refusal, Room, RoomChange, World};

impl Rooms {
    /// What time it is, in seconds since 1970. To be told before every input.
    pub fn set_now(&mut self, now_s: u64) {
        self.now_s = now_s;
    }

    /// Opens a room in which nobody is yet, or changes the one that is there. True: it is new.
    pub fn create(&mut self, name: &str, change: RoomChange, media: &dyn Media) -> Result<bool, Refusal> {
        if self.by_name.contains_key(name) {
            return self.update(name, change, media).map(|()| false);
        }
        if self.rooms.len() >= self.limits.rooms_max {
            return Err(Refusal::new(ErrorCode::Full, "the server has no room for another room"));
        }
        let mut options = Options { empty_timeout_s: self.limits.empty_timeout_s, ..Options::default() };
        options.apply(change);
        let id = RoomId((self.draw)());
        self.open_room(id, name.to_owned(), options);
        Ok(true)
    }

    pub fn update(&mut self, name: &str, change: RoomChange, media: &dyn Media) -> Result<(), Refusal> {
        self.in_room_named(name, media, |room, world| room.update(change, world))
    }

    /// Everyone leaves, and the room is gone, however long it would have stayed. `None`: there is no such room.
    pub fn end_room(&mut self, name: &str, media: &dyn Media) -> Option<usize> {
        let id = *self.by_name.get(name)?;
        let room = self.rooms.get_mut(&id)?;
        room.options.empty_timeout_s = 0;
        let people: Vec<ParticipantId> = room.people().map(|participant| participant.id).collect();
        for participant in &people {
            self.leave(*participant, LeaveReason::RoomEnded, media);
        }
        // Nobody was in it: nobody's leaving has ended it.
        self.handle_empty(id);
        Some(people.len())
    }

    /// Removes everyone of an identity. `None`: there is no such room.
    pub fn remove(&mut self, name: &str, identity: &str, media: &dyn Media) -> Option<usize> {
        let people = self.named(name)?.identified(identity);
        for participant in &people {
            self.leave(*participant, LeaveReason::Removed, media);
        }
        Some(people.len())
    }

    pub fn in_room_named<T>(&mut self, name: &str, media: &dyn Media, act: impl FnOnce(&mut Room, &mut World) -> T) -> Result<T, Refusal> {
        let room = self.by_name.get(name).copied().and_then(|id| self.rooms.get_mut(&id));
        let room = room.ok_or_else(|| Refusal::new(ErrorCode::NotFound, "no such room"))?;
        let mut world = World { limits: &self.limits, media, outputs: &mut self.outputs };
        let outcome = act(room, &mut world);
        room.settle(&mut world);
        Ok(outcome)
    }

    /// Time has passed.
    pub fn handle_time(&mut self) {
        let now_s = self.now_s;
        let is_over = |room: &Room| {
            let over = |since: u64| now_s.saturating_sub(since) >= u64::from(room.options.empty_timeout_s);
            room.is_empty() && room.empty_since_s.is_none_or(over)
        };
        let over: Vec<RoomId> = self.rooms.iter().filter(|(_, room)| is_over(room)).map(|(id, _)| *id).collect();
        for id in over {
            self.close_room(id);
        }
    }

    pub(super) fn open_room(&mut self, id: RoomId, name: String, options: Options) {
        self.by_name.insert(name.clone(), id);
        let room = Room::new(id, name, options, self.now_s);
        self.outputs.push(Output::News(Box::new(News::of_room(What::RoomStarted, &room))));
        self.rooms.insert(id, room);
    }

    /// The last one has left.
    pub(super) fn handle_empty(&mut self, id: RoomId) {
        let Some(room) = self.rooms.get_mut(&id) else { return };
        room.empty_since_s = Some(self.now_s);
        if room.options.empty_timeout_s == 0 {
            self.close_room(id);
        }
    }

    fn close_room(&mut self, id: RoomId) {
        let Some(room) = self.rooms.remove(&id) else { return };
        self.by_name.remove(&room.name);
        self.outputs.push(Output::News(Box::new(News::of_room(What::RoomEnded, &room))));
    }
}

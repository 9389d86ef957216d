//! Breakout rooms: rooms beside a main one, between which people move without a new offer.

use std::collections::BTreeMap;

use super::{Rooms, World, world};
use crate::media::{Media, ParticipantId, RoomId};
use crate::message::{Assign, BreakoutInfo, BreakoutRequest, BreakoutsInfo, ErrorCode, PersonInfo, ServerMessage};
use crate::people::Participant;
use crate::room::{JoinNumber, Main, Newcomers, Output, Refusal, Room, Settings};
use crate::time::Due;

/// How long before the end people are warned.
const WARNINGS_MS: [u64; 2] = [60_000, 10_000];

pub struct Breakouts {
    rooms: Vec<RoomId>,
    assign: Assign,
    ends_ms: Option<u64>,
    /// What is due next: a warning or the end.
    due_ms: Option<u64>,
    /// Where each identity was last, for when it comes again.
    places: BTreeMap<String, usize>,
}

impl Breakouts {
    /// Sets the end, and when something is due before it.
    fn set_end(&mut self, main: RoomId, ends_ms: Option<u64>, world: &mut World) {
        self.ends_ms = ends_ms;
        self.wait_on(main, world);
    }

    fn wait_on(&mut self, main: RoomId, world: &mut World) {
        let due = Due::Breakouts(main);
        if let Some(before_ms) = self.due_ms.take() {
            world.deadlines.cancel(before_ms, due);
        }
        let Some(ends_ms) = self.ends_ms else { return };
        let warnings = WARNINGS_MS.iter().filter_map(|warning| ends_ms.checked_sub(*warning)).filter(|at_ms| *at_ms > world.now.mono_ms);
        let due_ms = warnings.min().unwrap_or(ends_ms);
        self.due_ms = Some(due_ms);
        world.deadlines.set(due_ms, due);
    }
}

impl Rooms {
    pub(super) fn breakout(&mut self, by: ParticipantId, request: BreakoutRequest, media: &dyn Media) -> Result<(), Refusal> {
        match request {
            BreakoutRequest::Open { rooms, assign, assignments, duration_s } => {
                self.open_breakouts(by, rooms, assign, &assignments, duration_s, media)
            }
            BreakoutRequest::Move { participants, breakout } => self.move_by(by, &participants, breakout, media),
            BreakoutRequest::Broadcast { text } => self.broadcast(by, text, media),
            BreakoutRequest::SetTimer { duration_s } => {
                let main = self.main_for_host(by, "set_breakout_timer", media)?;
                let ends_ms = (duration_s > 0).then(|| self.now.in_s(duration_s));
                let breakouts = self.breakouts.get_mut(&main).ok_or_else(none_open)?;
                breakouts.set_end(main, ends_ms, &mut world!(self, media));
                self.tell_breakouts(main);
                Ok(())
            }
            BreakoutRequest::Close => {
                let main = self.main_for_host(by, "close_breakouts", media)?;
                if !self.breakouts.contains_key(&main) {
                    return Err(none_open());
                }
                self.close_breakouts(main, media);
                Ok(())
            }
        }
    }

    fn open_breakouts(
        &mut self,
        by: ParticipantId,
        names: Vec<String>,
        assign: Assign,
        assignments: &[(ParticipantId, usize)],
        duration_s: u32,
        media: &dyn Media,
    ) -> Result<(), Refusal> {
        let main = self.main_for_host(by, "open_breakouts", media)?;
        self.open_breakouts_of(main, names, assign, assignments, duration_s, media)
    }

    pub(super) fn open_breakouts_of(
        &mut self,
        main: RoomId,
        names: Vec<String>,
        assign: Assign,
        assignments: &[(ParticipantId, usize)],
        duration_s: u32,
        media: &dyn Media,
    ) -> Result<(), Refusal> {
        if self.breakouts.contains_key(&main) {
            return Err(Refusal::new(ErrorCode::Full, "breakouts are open already"));
        }
        if self.rooms.len() + names.len() > self.limits.rooms_max {
            return Err(Refusal::new(ErrorCode::Full, "the server has no room for so many rooms").of("rooms"));
        }
        let count = names.len();
        let is_here = |id: &ParticipantId| self.whereabouts.get(id).is_some_and(|(room, _)| *room == main);
        if assignments.iter().any(|(id, breakout)| *breakout >= count || !is_here(id)) {
            return Err(Refusal::new(ErrorCode::NotFound, "no such participant or breakout").of("assignments"));
        }
        let of = self.rooms.get(&main).ok_or_else(Refusal::no_room)?;
        let (main_name, options, created_s) = (of.name.clone(), of.options.clone(), of.created_s);
        let settings = Settings { mode: of.settings.mode, ..Settings::default() };
        let mut rooms = Vec::new();
        for (number, name) in names.into_iter().enumerate() {
            let id = RoomId((self.draw)());
            let mut room = Room::new(id, name, settings, options.clone(), created_s);
            room.main = Some(Main { id: main, name: main_name.clone(), number });
            self.rooms.insert(id, room);
            rooms.push(id);
        }
        let mut breakouts = Breakouts { rooms, assign, ends_ms: None, due_ms: None, places: BTreeMap::new() };
        let ends_ms = (duration_s > 0).then(|| self.now.in_s(duration_s));
        breakouts.set_end(main, ends_ms, &mut world!(self, media));
        self.breakouts.insert(main, breakouts);
        let moves = if assign == Assign::Even { self.spread(main, count, assignments) } else { assignments.to_vec() };
        let moves: Vec<_> = moves.into_iter().map(|(id, breakout)| (id, Some(breakout))).collect();
        self.switch(main, &moves, media);
        Ok(())
    }

    /// Whoever is assigned already, and all others but the hosts in turn.
    fn spread(&self, main: RoomId, count: usize, assignments: &[(ParticipantId, usize)]) -> Vec<(ParticipantId, usize)> {
        let mut sizes = vec![0_usize; count];
        let mut moves = assignments.to_vec();
        for (_, breakout) in assignments {
            sizes.get_mut(*breakout).into_iter().for_each(|size| *size += 1);
        }
        let is_assigned = |id: ParticipantId| assignments.iter().any(|(assigned, _)| *assigned == id);
        let people = self.rooms.get(&main).into_iter().flat_map(Room::people);
        for participant in people.filter(|p| p.calls() && p.visible() && !p.is_host() && !is_assigned(p.id)) {
            let Some((breakout, size)) = sizes.iter_mut().enumerate().min_by_key(|(_, size)| **size) else { continue };
            *size += 1;
            moves.push((participant.id, breakout));
        }
        moves
    }

    fn move_by(&mut self, by: ParticipantId, whom: &[ParticipantId], breakout: Option<usize>, media: &dyn Media) -> Result<(), Refusal> {
        let (room, is_host, name) = self.with_room(by, media, |room, n, _| {
            let own = room.participant(n).ok_or_else(Refusal::no_participant)?;
            Ok((room.id, own.is_host(), own.ticket.identity.clone()))
        })?;
        let main = self.main_of(room);
        let breakouts = self.breakouts.get(&main).ok_or_else(none_open)?;
        let oneself = whom == [by] && (breakout.is_none() || breakouts.assign == Assign::Choice);
        if !is_host && !oneself {
            return Err(Refusal::no_host());
        }
        if breakout.is_some_and(|breakout| breakout >= breakouts.rooms.len()) {
            return Err(Refusal::new(ErrorCode::NotFound, "no such breakout").of("breakout"));
        }
        let is_here = |id: &ParticipantId| self.whereabouts.get(id).is_some_and(|(room, _)| self.main_of(*room) == main);
        if !whom.iter().all(is_here) {
            return Err(Refusal::no_participant());
        }
        if !oneself {
            tracing::info!(target: "pointsman_signal::audit", act = "move", by = name, people = whom.len(), breakout, "moderated");
        }
        let moves: Vec<_> = whom.iter().map(|id| (*id, breakout)).collect();
        self.switch(main, &moves, media);
        Ok(())
    }

    /// Moves people, all at once, and tells everyone where everybody is.
    pub(super) fn switch(&mut self, main: RoomId, moves: &[(ParticipantId, Option<usize>)], media: &dyn Media) {
        let mut leaving: BTreeMap<RoomId, Vec<JoinNumber>> = BTreeMap::new();
        let mut targets: BTreeMap<ParticipantId, RoomId> = BTreeMap::new();
        for (id, breakout) in moves {
            let Some(target) = self.room_of(main, *breakout) else { continue };
            let Some((from, number)) = self.whereabouts.get(id).copied() else { continue };
            let calls = self.rooms.get(&from).and_then(|room| room.participant(number)).is_some_and(Participant::calls);
            if from != target && calls && targets.insert(*id, target).is_none() {
                leaving.entry(from).or_default().push(number);
            }
        }
        let mut arriving: BTreeMap<RoomId, Newcomers> = BTreeMap::new();
        for (from, mut numbers) in leaving {
            numbers.sort_unstable();
            let Some(room) = self.rooms.get_mut(&from) else { continue };
            for (number, participant) in room.take_out(&numbers, &mut world!(self, media)) {
                let Some(target) = targets.get(&participant.id) else { continue };
                arriving.entry(*target).or_default().push((number, participant));
            }
        }
        let mut arrived = Vec::new();
        for (target, newcomers) in arriving {
            for (number, participant) in &newcomers {
                self.whereabouts.insert(participant.id, (target, *number));
                self.remember_place(main, target, &participant.ticket.identity);
            }
            let Some(room) = self.rooms.get_mut(&target) else { continue };
            let numbers = room.take_in(newcomers, &mut world!(self, media));
            arrived.extend(numbers.into_iter().map(|number| (target, number)));
        }
        let breakouts = self.breakouts_info(main);
        for (target, number) in arrived {
            let Some(room) = self.rooms.get(&target) else { continue };
            let (Some(own), Some(mut message)) = (room.participant(number), room.moved_message(number)) else { continue };
            if let ServerMessage::Moved { state, .. } = &mut message {
                state.breakouts.clone_from(&breakouts);
            }
            if own.listens() {
                self.outputs.push(Output::Tell { to: vec![own.id], message });
            }
        }
        for id in self.family(main) {
            let Some(room) = self.rooms.get_mut(&id) else { continue };
            room.settle(&mut world!(self, media));
        }
        self.tell_breakouts(main);
    }

    fn remember_place(&mut self, main: RoomId, target: RoomId, identity: &str) {
        let Some(breakouts) = self.breakouts.get_mut(&main) else { return };
        match breakouts.rooms.iter().position(|room| *room == target) {
            Some(breakout) if breakouts.places.len() < self.limits.room.standings_max => {
                breakouts.places.insert(identity.to_owned(), breakout);
            }
            _ => drop(breakouts.places.remove(identity)),
        }
    }

    /// Everyone returns.
    pub(super) fn close_breakouts(&mut self, main: RoomId, media: &dyn Media) {
        let Some(breakouts) = self.breakouts.get(&main) else { return };
        let inside = breakouts.rooms.iter().filter_map(|room| self.rooms.get(room)).flat_map(Room::people);
        let moves: Vec<(ParticipantId, Option<usize>)> = inside.map(|participant| (participant.id, None)).collect();
        self.switch(main, &moves, media);
        self.remove_breakouts(main, media);
        let to = self.listeners(main);
        if !to.is_empty() {
            self.outputs.push(Output::Tell { to, message: ServerMessage::Breakouts { breakouts: None } });
        }
    }

    /// A warning, or the end.
    pub(super) fn handle_breakouts_due(&mut self, main: RoomId, media: &dyn Media) {
        let Some(breakouts) = self.breakouts.get_mut(&main) else { return };
        breakouts.due_ms = None;
        let Some(ends_ms) = breakouts.ends_ms else { return };
        let Some(ends_in_ms) = ends_ms.checked_sub(self.now.mono_ms).filter(|left| *left > 0) else {
            return self.close_breakouts(main, media);
        };
        breakouts.wait_on(main, &mut world!(self, media));
        let to = self.listeners(main);
        self.outputs.push(Output::Tell { to, message: ServerMessage::BreakoutsEnding { ends_in_ms } });
    }

    /// They are over. Nobody is in them.
    pub(super) fn remove_breakouts(&mut self, main: RoomId, media: &dyn Media) {
        let Some(Breakouts { rooms, due_ms, .. }) = self.breakouts.remove(&main) else { return };
        if let Some(due_ms) = due_ms {
            self.deadlines.cancel(due_ms, Due::Breakouts(main));
        }
        for id in rooms {
            if let Some(mut room) = self.rooms.remove(&id) {
                room.forget_times(&mut world!(self, media));
            }
        }
    }

    fn broadcast(&mut self, by: ParticipantId, text: String, media: &dyn Media) -> Result<(), Refusal> {
        let (room, by, name) = self.with_room(by, media, |room, n, _| {
            let own = room.check_host(n)?;
            Ok((room.id, own.text(), own.ticket.name.clone()))
        })?;
        let to = self.listeners(self.main_of(room));
        self.outputs.push(Output::Tell { to, message: ServerMessage::Broadcast { by, name, text } });
        Ok(())
    }

    fn main_for_host(&mut self, by: ParticipantId, act: &'static str, media: &dyn Media) -> Result<RoomId, Refusal> {
        let room = self.with_room(by, media, |room, n, _| {
            room.check_host(n)?;
            room.audit(act, n, None);
            Ok(room.id)
        })?;
        Ok(self.main_of(room))
    }

    /// Where someone who comes in belongs while breakouts are open; `None`: to the main room.
    pub(super) fn breakout_for(&self, main: RoomId, participant: &Participant) -> Option<RoomId> {
        let breakouts = self.breakouts.get(&main).filter(|_| participant.calls())?;
        if let Some(breakout) = breakouts.places.get(&participant.ticket.identity) {
            return breakouts.rooms.get(*breakout).copied();
        }
        if breakouts.assign != Assign::Even || participant.is_host() || participant.ticket.hidden {
            return None;
        }
        breakouts.rooms.iter().copied().min_by_key(|room| self.rooms.get(room).map_or(0, Room::len))
    }

    fn room_of(&self, main: RoomId, breakout: Option<usize>) -> Option<RoomId> {
        match breakout {
            None => Some(main),
            Some(breakout) => self.breakouts.get(&main)?.rooms.get(breakout).copied(),
        }
    }

    pub(super) fn main_of(&self, room: RoomId) -> RoomId {
        self.rooms.get(&room).and_then(|room| room.main.as_ref()).map_or(room, |main| main.id)
    }

    /// A main room and its breakouts.
    pub(super) fn family(&self, main: RoomId) -> Vec<RoomId> {
        let breakouts = self.breakouts.get(&main).map(|breakouts| breakouts.rooms.as_slice()).unwrap_or_default();
        std::iter::once(main).chain(breakouts.iter().copied()).collect()
    }

    pub(super) fn family_is_empty(&self, main: RoomId) -> bool {
        self.family(main).into_iter().filter_map(|room| self.rooms.get(&room)).all(Room::is_empty)
    }

    pub(super) fn family_len(&self, main: RoomId) -> usize {
        self.family(main).into_iter().filter_map(|room| self.rooms.get(&room)).map(Room::len).sum()
    }

    pub(super) fn listeners(&self, main: RoomId) -> Vec<ParticipantId> {
        let rooms = self.family(main).into_iter().filter_map(|room| self.rooms.get(&room));
        rooms.flat_map(Room::people).filter(|p| p.listens()).map(|p| p.id).collect()
    }

    pub(super) fn breakouts_info(&self, main: RoomId) -> Option<BreakoutsInfo> {
        let breakouts = self.breakouts.get(&main)?;
        let rooms = breakouts.rooms.iter().filter_map(|room| self.rooms.get(room)).enumerate();
        let info = |(breakout, room): (usize, &Room)| BreakoutInfo {
            breakout,
            name: room.name.clone(),
            participants: room
                .people()
                .filter(|p| p.visible())
                .map(|p| PersonInfo { participant: p.text(), identity: p.ticket.identity.clone(), name: p.ticket.name.clone() })
                .collect(),
        };
        let ends_in_ms = breakouts.ends_ms.map(|ends_ms| ends_ms.saturating_sub(self.now.mono_ms));
        Some(BreakoutsInfo { rooms: rooms.map(info).collect(), assign: breakouts.assign, ends_in_ms })
    }

    /// Where everybody is, to everybody. Nothing happens without breakouts.
    pub(super) fn tell_breakouts(&mut self, main: RoomId) {
        let Some(info) = self.breakouts_info(main) else { return };
        let to = self.listeners(main);
        if !to.is_empty() {
            self.outputs.push(Output::Tell { to, message: ServerMessage::Breakouts { breakouts: Some(info) } });
        }
    }
}

pub(super) fn none_open() -> Refusal {
    Refusal::new(ErrorCode::Over, "no breakouts are open")
}

//! Whiteboard, and drawing over a shared screen. Strokes are relayed, and remembered within bounds for who comes later.

use super::{JoinNumber, Refusal, Room, World};
use crate::media::{ParticipantId, PublicationId};
use crate::message::{ErrorCode, ServerMessage, Stroke, StrokeInfo, participant_text, publication_text};

/// The board that is no publication.
const WHITEBOARD: &str = "whiteboard";

#[derive(Debug, Default)]
pub struct Board {
    strokes: Vec<Drawn>,
    coordinates: usize,
}

#[derive(Debug)]
struct Drawn {
    by: ParticipantId,
    stroke: Stroke,
}

impl Board {
    fn add(&mut self, by: ParticipantId, stroke: &Stroke) {
        self.coordinates += stroke.points.len();
        match self.strokes.iter_mut().rev().find(|drawn| drawn.by == by && drawn.stroke.stroke == stroke.stroke) {
            Some(drawn) => drawn.stroke.points.extend(&stroke.points),
            None => self.strokes.push(Drawn { by, stroke: stroke.clone() }),
        }
    }

    fn retain(&mut self, stays: impl Fn(&Drawn) -> bool) -> bool {
        let before = self.strokes.len();
        self.strokes.retain(stays);
        self.coordinates = self.strokes.iter().map(|drawn| drawn.stroke.points.len()).sum();
        self.strokes.len() < before
    }
}

impl Room {
    /// `draw`.
    pub fn draw(&mut self, number: JoinNumber, name: &str, stroke: Stroke, world: &mut World) -> Result<(), Refusal> {
        let own = self.people.get(&number).ok_or_else(Refusal::no_participant)?;
        if !own.may_publish_data() {
            return Err(Refusal::new(ErrorCode::Forbidden, "may not draw"));
        }
        let by = own.id;
        self.check_board(name)?;
        let limits = &world.limits.room;
        if !self.boards.contains_key(name) && self.boards.len() >= limits.boards_max {
            return Err(Refusal::new(ErrorCode::Full, "the room has too many boards").of("board"));
        }
        let board = self.boards.entry(name.to_owned()).or_default();
        if board.strokes.len() >= limits.strokes_max || board.coordinates + stroke.points.len() > limits.board_coordinates_max {
            return Err(Refusal::new(ErrorCode::Full, "the board is full").of("board"));
        }
        board.add(by, &stroke);
        self.tell_others(number, ServerMessage::Stroke { participant: participant_text(by), board: name.to_owned(), stroke }, world);
        Ok(())
    }

    /// `erase`: a stroke of one's own, or (hosts) of anyone's, or all.
    pub fn erase(
        &mut self,
        number: JoinNumber,
        name: &str,
        stroke: Option<String>,
        whose: Option<ParticipantId>,
        world: &mut World,
    ) -> Result<(), Refusal> {
        let own = self.people.get(&number).ok_or_else(Refusal::no_participant)?;
        let whose = whose.unwrap_or(own.id);
        if !own.is_host() && (stroke.is_none() || whose != own.id) {
            return Err(Refusal::no_host());
        }
        self.check_board(name)?;
        let Some(board) = self.boards.get_mut(name) else { return Ok(()) };
        let erased = match &stroke {
            Some(stroke) => board.retain(|drawn| drawn.by != whose || drawn.stroke.stroke != *stroke),
            None => board.retain(|_| false),
        };
        if board.strokes.is_empty() {
            self.boards.remove(name);
        }
        if erased {
            let participant = stroke.as_ref().map(|_| participant_text(whose));
            self.tell_others(number, ServerMessage::Erased { board: name.to_owned(), participant, stroke }, world);
        }
        Ok(())
    }

    /// `board`: all that is on it.
    pub fn board(&self, name: &str) -> Result<Vec<StrokeInfo>, Refusal> {
        self.check_board(name)?;
        let info = |drawn: &Drawn| StrokeInfo { participant: participant_text(drawn.by), stroke: drawn.stroke.clone() };
        Ok(self.boards.get(name).map(|board| board.strokes.iter().map(info).collect()).unwrap_or_default())
    }

    pub(super) fn board_names(&self) -> Vec<String> {
        self.boards.keys().cloned().collect()
    }

    /// A picture that was drawn over is gone, and so is what was drawn.
    pub(super) fn drop_boards(&mut self, publications: &[PublicationId]) {
        for publication in publications {
            self.boards.remove(&publication_text(*publication));
        }
    }

    fn check_board(&self, name: &str) -> Result<(), Refusal> {
        let is_shown = || self.people().flat_map(|p| p.shown()).any(|publication| publication_text(publication.id) == name);
        if name == WHITEBOARD || is_shown() {
            return Ok(());
        }
        Err(Refusal::new(ErrorCode::NotFound, "must be whiteboard or the id of a publication").of("board"))
    }
}

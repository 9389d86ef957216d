//! Chat, reactions, hands, polls and boards: requests to the room that one is in.

use super::{Rooms, World, ok, world};
use crate::media::{Media, ParticipantId};
use crate::message::{BoardRequest, ChatInfo, PollRequest, ServerMessage, Talk};
use crate::room::{Question, Refusal};

impl Rooms {
    pub(super) fn talk(&mut self, by: ParticipantId, id: u64, request: Talk, media: &dyn Media) -> Result<Option<ServerMessage>, Refusal> {
        self.with_room(by, media, |room, n, world| match request {
            Talk::Chat { text, to } => room.say(n, text, to, world).map(|message| Some(ServerMessage::ChatSent { id, message })),
            Talk::ChatHistory { before, limit } => {
                room.chat_page(n, before, limit).map(|(messages, more)| Some(ServerMessage::ChatHistory { id, messages, more }))
            }
            Talk::DeleteChat { message } => room.delete_chat(n, message, world).map(|()| ok(id)),
            Talk::React { emoji } => room.react(n, emoji, world).map(|()| ok(id)),
            Talk::RaiseHand { raised, whose } => room.raise_hand(n, raised, whose, world).map(|()| ok(id)),
        })
    }

    pub(super) fn poll(
        &mut self,
        by: ParticipantId,
        id: u64,
        request: PollRequest,
        media: &dyn Media,
    ) -> Result<Option<ServerMessage>, Refusal> {
        self.with_room(by, media, |room, n, world| match request {
            PollRequest::Create { question, options, anonymous, multiple } => room
                .create_poll(n, Question { question, options, anonymous, multiple }, world)
                .map(|poll| Some(ServerMessage::PollCreated { id, poll })),
            PollRequest::Vote { poll, options } => room.vote(n, poll, options, world).map(|()| ok(id)),
            PollRequest::Close { poll } => room.close_poll(n, poll, world).map(|()| ok(id)),
        })
    }

    pub(super) fn board(
        &mut self,
        by: ParticipantId,
        id: u64,
        request: BoardRequest,
        media: &dyn Media,
    ) -> Result<Option<ServerMessage>, Refusal> {
        self.with_room(by, media, |room, n, world| match request {
            BoardRequest::Draw { board, stroke } => room.draw(n, &board, stroke, world).map(|()| ok(id)),
            BoardRequest::Erase { board, stroke, whose } => room.erase(n, &board, stroke, whose, world).map(|()| ok(id)),
            BoardRequest::Look { board } => room.board(&board).map(|strokes| Some(ServerMessage::Board { id, board, strokes })),
        })
    }

    /// What was said in a room of this name when it was alive before, the oldest first.
    pub fn restore_chat(&mut self, name: &str, messages: Vec<ChatInfo>, media: &dyn Media) {
        let Some(room) = self.by_name.get(name).and_then(|room| self.rooms.get_mut(room)) else { return };
        room.restore_chat(messages, &mut world!(self, media));
    }
}

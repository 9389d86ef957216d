//! Chat: to everyone or to one. The newest messages are remembered for who comes later.

use std::collections::VecDeque;

use super::{JoinNumber, Output, Refusal, Room, World};
use crate::media::ParticipantId;
use crate::message::{ChatInfo, ErrorCode, ServerMessage};
use crate::news::Record;
use crate::people::Participant;

/// Of what `joined` holds.
const TOLD_AT_FIRST: usize = 50;

/// What was said.
#[derive(Debug, Default)]
pub struct Chat(VecDeque<Said>);

#[derive(Debug)]
struct Said {
    id: u64,
    info: ChatInfo,
}

impl Said {
    /// Whether it is for the eyes of this identity.
    fn concerns(&self, identity: &str) -> bool {
        self.info.to_identity.as_ref().is_none_or(|to| to == identity || self.info.identity == identity)
    }
}

impl Chat {
    fn keep(&mut self, said: Said, max: usize) {
        if self.0.len() >= max {
            self.0.pop_front();
        }
        self.0.push_back(said);
    }

    /// The newest, or the newest before one of them; the oldest first. And whether there are older ones.
    fn page(&self, identity: &str, before: Option<u64>, limit: usize) -> (Vec<ChatInfo>, bool) {
        let end = before.map_or(self.0.len(), |before| self.0.iter().position(|said| said.id == before).unwrap_or(0));
        let mut seen = self.0.iter().take(end).rev().filter(|said| said.concerns(identity));
        let mut page: Vec<ChatInfo> = seen.by_ref().take(limit).map(|said| said.info.clone()).collect();
        page.reverse();
        (page, seen.next().is_some())
    }

    pub fn newest(&self, identity: &str) -> Vec<ChatInfo> {
        self.page(identity, None, TOLD_AT_FIRST).0
    }
}

impl Room {
    /// `chat`. The reply holds the message; the others are told.
    pub fn say(&mut self, number: JoinNumber, text: String, to: Option<ParticipantId>, world: &mut World) -> Result<ChatInfo, Refusal> {
        let from = self.people.get(&number).ok_or_else(Refusal::no_participant)?;
        if !from.may_publish_data() {
            return Err(Refusal::new(ErrorCode::Forbidden, "may not chat"));
        }
        let addressee = |to| self.people().find(|p| p.id == to && p.calls() && (p.visible() || from.is_host()) && !p.ticket.hidden);
        let addressee = to.map(|to| addressee(to).ok_or_else(|| Refusal::no_participant().of("to"))).transpose()?;
        let id = (world.draw)();
        let info = ChatInfo {
            id: format!("{id:016x}"),
            from: from.text(),
            identity: from.ticket.identity.clone(),
            name: from.ticket.name.clone(),
            to: addressee.map(Participant::text),
            to_identity: addressee.map(|p| p.ticket.identity.clone()),
            text,
            at_unix_ms: world.now.unix_ms,
        };
        let message = ServerMessage::Chat { message: info.clone() };
        match addressee {
            Some(addressee) if addressee.id == from.id || !addressee.listens() => {}
            Some(addressee) => world.tell(addressee.id, message),
            None => self.tell_others(number, message, world),
        }
        let kind = if info.to.is_none() { "chat" } else { "private_chat" };
        self.record(kind, &info.identity, serde_json::to_value(&info).unwrap_or_default(), world);
        self.chat.keep(Said { id, info: info.clone() }, world.limits.room.chat_history_max);
        Ok(info)
    }

    /// `chat_history`.
    pub fn chat_page(&self, number: JoinNumber, before: Option<u64>, limit: usize) -> Result<(Vec<ChatInfo>, bool), Refusal> {
        let own = self.people.get(&number).ok_or_else(Refusal::no_participant)?;
        Ok(self.chat.page(&own.ticket.identity, before, limit))
    }

    /// `delete_chat`: one's own, or, as host, anyone's to everyone.
    pub fn delete_chat(&mut self, number: JoinNumber, id: u64, world: &mut World) -> Result<(), Refusal> {
        let own = self.people.get(&number).ok_or_else(Refusal::no_participant)?;
        let identity = &own.ticket.identity;
        let no_message = || Refusal::new(ErrorCode::NotFound, "no such message").of("message");
        let at = self.chat.0.iter().position(|said| said.id == id && said.concerns(identity)).ok_or_else(no_message)?;
        let info = self.chat.0.get(at).map(|said| said.info.clone()).ok_or_else(no_message)?;
        if info.identity != *identity {
            if !own.is_host() || info.to.is_some() {
                return Err(Refusal::new(ErrorCode::Forbidden, "only one's own, or, as host, what was said to everyone"));
            }
            self.audit("delete_chat", number, Some(&info.identity));
        }
        self.chat.0.remove(at);
        let concerned = |p: &Participant| {
            let identity = &p.ticket.identity;
            info.to_identity.as_ref().is_none_or(|to| to == identity || info.identity == *identity)
        };
        self.tell_those(concerned, ServerMessage::ChatDeleted { message: info.id.clone() }, world);
        self.record("chat_deleted", &info.identity, serde_json::json!({ "message": info.id }), world);
        Ok(())
    }

    /// What was said when the room was alive before, the oldest first. It goes before what was said since.
    pub fn restore_chat(&mut self, messages: Vec<ChatInfo>, world: &mut World) {
        let space = world.limits.room.chat_history_max.saturating_sub(self.chat.0.len());
        let mut added = Vec::new();
        for info in messages.into_iter().rev() {
            let Ok(id) = u64::from_str_radix(&info.id, 16) else { continue };
            if added.len() < space && !self.chat.0.iter().any(|said| said.id == id) {
                self.chat.0.push_front(Said { id, info: info.clone() });
                added.insert(0, info);
            }
        }
        for participant in self.people().filter(|p| p.listens()) {
            let identity = &participant.ticket.identity;
            let is_theirs = |info: &&ChatInfo| info.to_identity.as_ref().is_none_or(|to| to == identity || info.identity == *identity);
            let messages: Vec<ChatInfo> = added.iter().filter(is_theirs).cloned().collect();
            if !messages.is_empty() {
                world.tell(participant.id, ServerMessage::ChatRestored { messages });
            }
        }
    }

    pub(super) fn record(&self, kind: &'static str, identity: &str, mut body: serde_json::Value, world: &mut World) {
        if self.main.is_some() {
            body["breakout"] = self.name.clone().into();
        }
        let (room, identity) = (self.public_name().to_owned(), identity.to_owned());
        world.outputs.push(Output::Record(Box::new(Record { room, kind, identity, body })));
    }
}

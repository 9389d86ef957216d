//! Polls: hosts ask, everyone answers once, and may think again until it is closed.

use std::collections::BTreeMap;

use super::{JoinNumber, Refusal, Room, World};
use crate::message::{ErrorCode, PollInfo, ServerMessage};
use crate::people::Participant;

#[derive(Debug)]
pub struct Poll {
    id: u64,
    by: String,
    question: String,
    options: Vec<String>,
    anonymous: bool,
    multiple: bool,
    closed: bool,
    /// Numbers of options, by identity.
    votes: BTreeMap<String, Vec<usize>>,
}

/// What is asked.
#[derive(Debug)]
pub struct Question {
    pub question: String,
    pub options: Vec<String>,
    pub anonymous: bool,
    pub multiple: bool,
}

impl Poll {
    /// As someone may know it.
    fn info(&self, own: &Participant) -> PollInfo {
        let yours = self.votes.get(&own.ticket.identity).cloned().unwrap_or_default();
        self.seen(own.is_host() || self.closed, yours)
    }

    fn seen(&self, counts: bool, yours: Vec<usize>) -> PollInfo {
        let voters_of = |option| self.votes.iter().filter(move |(_, chosen)| chosen.contains(&option));
        let numbers = 0..self.options.len();
        PollInfo {
            id: format!("{:016x}", self.id),
            by: self.by.clone(),
            question: self.question.clone(),
            options: self.options.clone(),
            anonymous: self.anonymous,
            multiple: self.multiple,
            closed: self.closed,
            voters: self.votes.len(),
            votes: counts.then(|| numbers.clone().map(|option| voters_of(option).count()).collect()),
            who: (self.closed && !self.anonymous)
                .then(|| numbers.map(|option| voters_of(option).map(|(identity, _)| identity.clone()).collect()).collect()),
            yours,
        }
    }
}

impl Room {
    /// `create_poll`: its id.
    pub fn create_poll(&mut self, number: JoinNumber, question: Question, world: &mut World) -> Result<String, Refusal> {
        let by = self.check_host(number)?.text();
        if self.polls.len() >= world.limits.room.polls_max {
            return Err(Refusal::new(ErrorCode::Full, "the room has too many polls"));
        }
        let id = (world.draw)();
        let Question { question, options, anonymous, multiple } = question;
        self.polls.push(Poll { id, by, question, options, anonymous, multiple, closed: false, votes: BTreeMap::new() });
        self.tell_poll(id, |_| true, world);
        Ok(format!("{id:016x}"))
    }

    /// `vote`. One per identity.
    pub fn vote(&mut self, number: JoinNumber, id: u64, mut options: Vec<usize>, world: &mut World) -> Result<(), Refusal> {
        let own = self.people.get(&number).filter(|p| p.holds_identity()).ok_or_else(Refusal::no_participant)?;
        let (own_id, identity) = (own.id, own.ticket.identity.clone());
        let poll = self.polls.iter_mut().find(|poll| poll.id == id).ok_or_else(no_poll)?;
        if poll.closed {
            return Err(Refusal::new(ErrorCode::Over, "the poll is closed").of("poll"));
        }
        options.sort_unstable();
        options.dedup();
        if options.iter().any(|option| *option >= poll.options.len()) {
            return Err(Refusal::new(ErrorCode::NotFound, "the poll has no such option").of("options"));
        }
        if options.len() > 1 && !poll.multiple {
            return Err(Refusal::new(ErrorCode::Forbidden, "only one option may be chosen").of("options"));
        }
        // Who leaves and comes under another name needs another token: no more votes than there were people.
        if options.is_empty() {
            poll.votes.remove(&identity);
        } else if poll.votes.contains_key(&identity) || poll.votes.len() < world.limits.room.standings_max {
            poll.votes.insert(identity, options);
        } else {
            return Err(Refusal::new(ErrorCode::Full, "the poll has too many votes"));
        }
        self.tell_poll(id, |p| p.id == own_id || p.is_host(), world);
        Ok(())
    }

    /// `close_poll`: everyone sees how it ended.
    pub fn close_poll(&mut self, number: JoinNumber, id: u64, world: &mut World) -> Result<(), Refusal> {
        self.check_host(number)?;
        let poll = self.polls.iter_mut().find(|poll| poll.id == id).ok_or_else(no_poll)?;
        if std::mem::replace(&mut poll.closed, true) {
            return Err(Refusal::new(ErrorCode::Over, "the poll is closed already").of("poll"));
        }
        let body = serde_json::to_value(poll.seen(true, Vec::new())).unwrap_or_default();
        let by = self.people.get(&number).map(|p| p.ticket.identity.clone()).unwrap_or_default();
        self.record("poll", &by, body, world);
        self.tell_poll(id, |_| true, world);
        Ok(())
    }

    fn tell_poll(&self, id: u64, whom: impl Fn(&Participant) -> bool, world: &mut World) {
        let Some(poll) = self.polls.iter().find(|poll| poll.id == id) else { return };
        for participant in self.people().filter(|p| p.listens() && whom(p)) {
            world.tell(participant.id, ServerMessage::Poll { poll: poll.info(participant) });
        }
    }

    pub(super) fn polls_for(&self, own: &Participant) -> Vec<PollInfo> {
        self.polls.iter().map(|poll| poll.info(own)).collect()
    }
}

fn no_poll() -> Refusal {
    Refusal::new(ErrorCode::NotFound, "no such poll").of("poll")
}

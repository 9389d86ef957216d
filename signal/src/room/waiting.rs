//! The waiting room: who is held knows nothing of the room, and hosts know who is held.

use super::{JoinNumber, Refusal, Room, World};
use crate::media::ParticipantId;
use crate::message::{ErrorCode, ServerMessage, WaiterInfo, participant_text};
use crate::people::Ticket;

/// Someone who is held. The media side knows nothing of it.
#[derive(Clone, Debug)]
pub struct Waiter {
    pub id: ParticipantId,
    pub ticket: Ticket,
    pub auto_subscribe: bool,
    pub since_unix_ms: u64,
}

impl Room {
    /// Whether someone must wait before it comes in.
    pub fn holds(&self, ticket: &Ticket) -> bool {
        let known = || self.admitted.contains(&ticket.identity) || self.holder(&ticket.identity).is_some();
        self.settings.waiting_room && !ticket.admin && !known()
    }

    pub fn waiters(&self) -> impl Iterator<Item = &Waiter> {
        self.waiters.iter()
    }

    pub fn hold(&mut self, waiter: Waiter, world: &mut World) -> Result<(), Refusal> {
        if self.waiters.len() >= world.limits.room.waiting_max {
            return Err(Refusal::new(ErrorCode::Full, "the waiting room is full"));
        }
        self.stay(world);
        self.waiters.push(waiter);
        self.tell_waiters(world);
        Ok(())
    }

    /// It waits no longer.
    pub fn release(&mut self, id: ParticipantId, world: &mut World) -> Option<Waiter> {
        let at = self.waiters.iter().position(|waiter| waiter.id == id)?;
        let waiter = self.waiters.remove(at);
        self.tell_waiters(world);
        Some(waiter)
    }

    /// Whom a host means, after a look whether it is one. `None`: all.
    pub fn waiters_meant(&self, number: JoinNumber, whom: Option<ParticipantId>, act: &'static str) -> Result<Vec<ParticipantId>, Refusal> {
        self.check_host(number)?;
        let meant: Vec<&Waiter> = self.waiters().filter(|waiter| whom.is_none_or(|whom| waiter.id == whom)).collect();
        if meant.is_empty() && whom.is_some() {
            return Err(Refusal::no_participant());
        }
        meant.iter().for_each(|waiter| self.audit(act, number, Some(&waiter.ticket.identity)));
        Ok(meant.iter().map(|waiter| waiter.id).collect())
    }

    /// It need not wait again.
    pub fn remember_admitted(&mut self, identity: &str, world: &World) {
        if self.admitted.len() < world.limits.room.standings_max {
            self.admitted.insert(identity.to_owned());
        }
    }

    pub fn waiting_info(&self) -> Vec<WaiterInfo> {
        let info = |Waiter { id, ticket, since_unix_ms, .. }: &Waiter| WaiterInfo {
            participant: participant_text(*id),
            identity: ticket.identity.clone(),
            name: ticket.name.clone(),
            since_unix_ms: *since_unix_ms,
        };
        self.waiters().map(info).collect()
    }

    fn tell_waiters(&self, world: &mut World) {
        self.tell_hosts(ServerMessage::WaitingRoom { waiting: self.waiting_info() }, world);
    }
}

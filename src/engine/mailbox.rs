//! What passes between control and the shards: commands one way, events the other. Both ways are bounded.

use std::fmt;
use std::hash::BuildHasher;
use std::sync::{Arc, Mutex, PoisonError};

use crossbeam::queue::ArrayQueue;
use foldhash::quality::RandomState;
use pointsman_sfu::Command;
use pointsman_turn::{AllocationId, AllocationView, KeyAnswer, LookupId, Note, Rules};
use pointsman_wire::net::ShardId;
use tokio::sync::mpsc;

use super::encryption::Encryption;
use super::streams::Connection;
use super::wake::Bell;

/// What control asks of a shard.
#[derive(Debug)]
pub enum Letter {
    Media(Command),
    Turn(TurnCommand),
    /// For one shard: a client's connection, to be its own.
    Connection(Box<Connection>),
    /// Leave the loop.
    Stop,
}

/// What control asks of a shard's TURN server.
#[derive(Clone, Debug)]
pub enum TurnCommand {
    /// These are in force from now on. For all shards.
    Rules(Arc<Rules>),
    /// The answer to [`TurnEvent::LookupKey`], for the shard that asked.
    Key { lookup: LookupId, answer: KeyAnswer },
    /// Refuse new allocations; those that there are go on. For all shards.
    Drain,
    /// End this allocation, and say whether there was one. For its shard.
    Kill { id: AllocationId, done: mpsc::Sender<bool> },
    /// Tell of allocations in the order of their ids: at most `max`, those behind `after`. For any shard.
    List { after: Option<AllocationId>, max: usize, reply: mpsc::Sender<Vec<AllocationView>> },
}

/// What happened on a shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Media { shard: ShardId, event: pointsman_sfu::Event },
    Turn { shard: ShardId, event: TurnEvent },
}

/// What a shard's TURN server has to say.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(clippy::large_enum_variant, reason = "they are rare, and boxes would be made on a shard")]
pub enum TurnEvent {
    /// Who is this? [`TurnCommand::Key`] answers.
    LookupKey { lookup: LookupId, realm: Box<str>, username: Box<[u8]> },
    Note {
        note: Note,
        /// How the client's connection is encrypted, if it is and is still there.
        encryption: Option<Encryption>,
    },
}

/// Where control receives what happened. When it falls behind, shards keep their events until there is room: none is lost.
pub type Events = mpsc::Receiver<Event>;

/// Control's end of every shard's mailbox. Cloning is cheap.
#[derive(Clone)]
pub struct Mailboxes {
    shards: Arc<[Slot]>,
    /// Held while letters are put in, so that all shards see one order and either all get a letter or none does.
    writing: Arc<Mutex<()>>,
    /// Chooses the shard of a connection, in a way that no client can know.
    hasher: RandomState,
}

#[derive(Clone)]
struct Slot {
    queue: Arc<ArrayQueue<Letter>>,
    bell: Arc<Bell>,
}

/// A shard's mailbox is full: it has not kept up. Nothing was sent; try again later.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Busy;

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a shard's mailbox is full")
    }
}

impl std::error::Error for Busy {}

impl Mailboxes {
    pub(super) fn new(shards: impl Iterator<Item = (Arc<ArrayQueue<Letter>>, Arc<Bell>)>) -> Self {
        Self {
            shards: shards.map(|(queue, bell)| Slot { queue, bell }).collect(),
            writing: Arc::new(Mutex::new(())),
            hasher: RandomState::default(),
        }
    }

    /// Number of shards.
    pub fn shards(&self) -> usize {
        self.shards.len()
    }

    /// Sends a command to every shard, after all that were sent before it. Either every shard gets it or none.
    pub fn send_to_all(&self, command: Command) -> Result<(), Busy> {
        self.put(|| Letter::Media(command.clone()))
    }

    /// The same for TURN.
    pub fn send_turn_to_all(&self, command: &TurnCommand) -> Result<(), Busy> {
        self.put(|| Letter::Turn(command.clone()))
    }

    /// Sends a letter to one shard, after all that were sent to it before. A shard that is not there is busy for ever.
    pub fn send_to(&self, shard: ShardId, letter: Letter) -> Result<(), Busy> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        let slot = self.shards.get(usize::from(shard.0)).ok_or(Busy)?;
        slot.queue.push(letter).map_err(|_| Busy)?;
        slot.bell.ring();
        Ok(())
    }

    pub(super) fn stop(&self) -> Result<(), Busy> {
        self.put(|| Letter::Stop)
    }

    /// Gives a TURN client's connection to a shard: always the same one for a client's IP address, so that the connections of one
    /// client, which may belong together (RFC 6062), usually meet.
    ///
    /// # Errors
    /// The shard has not kept up. The connection is closed.
    pub fn send_connection(&self, connection: Connection) -> Result<(), Busy> {
        let at = self.hasher.hash_one(connection.remote.ip()) as usize % self.shards.len().max(1);
        self.send_to(ShardId(at as u16), Letter::Connection(Box::new(connection)))
    }

    fn put(&self, letter: impl Fn() -> Letter) -> Result<(), Busy> {
        let _writing = self.writing.lock().unwrap_or_else(PoisonError::into_inner);
        // Only shards take letters out, and only we put them in: room that is there stays there.
        if self.shards.iter().any(|shard| shard.queue.is_full()) {
            return Err(Busy);
        }
        for shard in self.shards.iter() {
            if shard.queue.push(letter()).is_err() {
                return Err(Busy);
            }
            shard.bell.ring();
        }
        Ok(())
    }
}

//! What waits for clients over TCP or TLS, told by the shard that has the connection to the shard that has media for it.
//!
//! ```text
//! the connection's shard:  media through the mesh ─► heard      once a turn, where it changed ─► Message::Backlog
//! the media's shard:       Message::Backlog ─► told             asked before packets are made ─► of
//! ```

use std::collections::HashMap;
use std::net::SocketAddr;

use foldhash::fast::RandomState;
use pointsman_wire::net::ShardId;

/// Clients on either side. Of more nothing is told, as if nothing waited.
const CLIENTS_MAX: usize = 1024;
/// A change by more than one part in so many is news, and so is the first byte that waits or the last.
const NEWS_PART: usize = 4;

/// By relayed address.
#[derive(Debug, Default)]
pub struct Backlogs {
    watched: HashMap<SocketAddr, Watched, RandomState>,
    told: HashMap<SocketAddr, usize, RandomState>,
}

#[derive(Debug)]
struct Watched {
    shard: ShardId,
    told: usize,
}

impl Backlogs {
    /// `shard` had media for the client behind `relayed`, whose connection is here.
    pub fn heard(&mut self, relayed: SocketAddr, shard: ShardId) {
        if let Some(watched) = self.watched.get_mut(&relayed) {
            watched.shard = shard;
        } else if self.watched.len() < CLIENTS_MAX {
            self.watched.insert(relayed, Watched { shard, told: 0 });
        }
    }

    /// Tells what has changed. `waiting`: bytes before a client's connection; `say`: whether the message found room.
    pub fn tell(&mut self, mut waiting: impl FnMut(&SocketAddr) -> usize, mut say: impl FnMut(ShardId, SocketAddr, usize) -> bool) {
        self.watched.retain(|relayed, watched| {
            let bytes = waiting(relayed);
            if is_news(watched.told, bytes) && say(watched.shard, *relayed, bytes) {
                watched.told = bytes;
            }
            bytes > 0 || watched.told > 0
        });
    }

    /// The connection's shard says that so many bytes wait.
    pub fn told(&mut self, relayed: SocketAddr, bytes: usize) {
        if bytes == 0 {
            self.told.remove(&relayed);
        } else if self.told.len() < CLIENTS_MAX || self.told.contains_key(&relayed) {
            self.told.insert(relayed, bytes);
        }
    }

    /// What is known to wait for a client whose connection another shard has.
    pub fn of(&self, relayed: &SocketAddr) -> usize {
        self.told.get(relayed).copied().unwrap_or(0)
    }
}

const fn is_news(told: usize, bytes: usize) -> bool {
    (bytes == 0) != (told == 0) || bytes.abs_diff(told) > told / NEWS_PART
}

#[cfg(test)]
mod tests;

//! Waking a shard that sleeps, and only one that sleeps: a wake costs the writer several microseconds.
//!
//! ```text
//! writer: put into the ring      | sleeper: say "I sleep"
//!         fence                  |          fence
//!         sleeps? then wake it   |          rings empty? then wait
//! ```
//! With a fence between the two steps on both sides, either the writer sees that the other sleeps or the sleeper sees what was
//! put: no wake-up is lost.

use std::sync::atomic::{AtomicBool, Ordering, fence};

use mio::Waker;

/// Rung by other threads, heard by one shard.
pub struct Bell {
    sleeps: AtomicBool,
    waker: Waker,
}

impl Bell {
    pub fn new(waker: Waker) -> Self {
        Self { sleeps: AtomicBool::new(false), waker }
    }

    /// Wakes the shard if it sleeps; to be called after something was put where it looks. Says whether a wake was needed.
    pub fn ring(&self) -> bool {
        fence(Ordering::SeqCst);
        // Only the first of several writers wakes it.
        if !self.sleeps.load(Ordering::Relaxed) || !self.sleeps.swap(false, Ordering::AcqRel) {
            return false;
        }
        if let Err(error) = self.waker.wake() {
            tracing::error!(%error, "cannot wake a shard");
        }
        true
    }

    /// Announces sleep. Look once more at everything that writers fill after this, and wait only if it is empty.
    pub fn lie_down(&self) {
        self.sleeps.store(true, Ordering::Relaxed);
        fence(Ordering::SeqCst);
    }

    pub fn get_up(&self) {
        self.sleeps.store(false, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests;

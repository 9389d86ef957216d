//! Rooms in which nobody is: those that operators opened stay for a while.

use super::{Room, World};
use crate::time::Due;

impl Room {
    /// Nobody is in it, nor in its breakouts: it ends when its time is over.
    pub fn linger(&mut self, world: &mut World) {
        self.stay(world);
        let until_ms = world.now.in_s(self.options.empty_timeout_s);
        self.empty_until_ms = Some(until_ms);
        world.deadlines.set(until_ms, Due::Empty(self.id));
    }

    #[cfg(test)]
    pub fn is_lingering(&self) -> bool {
        self.empty_until_ms.is_some()
    }

    /// Somebody is there.
    pub fn stay(&mut self, world: &mut World) {
        if let Some(until_ms) = self.empty_until_ms.take() {
            world.deadlines.cancel(until_ms, Due::Empty(self.id));
        }
    }

    /// The room is gone.
    pub fn forget_times(&mut self, world: &mut World) {
        self.stay(world);
        self.forget_audience(world);
    }
}

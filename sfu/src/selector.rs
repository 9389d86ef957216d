//! Which layer a downtrack forwards.
//!
//! `max` is what the subscriber permits, `target` what is wanted within it, `current` what is on the wire. The current layer
//! changes only at a keyframe of the new one.

/// What to do with a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Choice {
    /// It belongs to what is on the wire.
    Forward,
    /// It starts what is on the wire from now on.
    Switch,
    /// Another layer is on the wire.
    Leave,
}

#[derive(Clone, Copy, Debug)]
pub struct Selector {
    max: u8,
    target: Option<u8>,
    current: Option<u8>,
}

impl Selector {
    pub fn new() -> Self {
        Self { max: u8::MAX, target: None, current: None }
    }

    /// Sets the target to the highest of the layers in `active` (one bit each) that `max` allows. When none is active it stays:
    /// whoever is silent now may come back.
    pub fn retarget(&mut self, active: u8) {
        let allowed = match self.max {
            0..7 => active & ((2 << self.max) - 1),
            7.. => active,
        };
        if allowed != 0 {
            self.target = Some((7 - allowed.leading_zeros()) as u8);
        }
    }

    /// Decides on a packet of `layer`; `entry` when a decoder can start with it.
    pub fn choose(&mut self, layer: u8, entry: bool) -> Choice {
        if self.current == Some(layer) {
            return Choice::Forward;
        }
        // The first picture comes from whichever layer has one first; it gets better later.
        let wanted = self.target == Some(layer) || (self.current.is_none() && layer <= self.max);
        if !entry || !wanted {
            return Choice::Leave;
        }
        self.current = Some(layer);
        Choice::Switch
    }

    /// A keyframe of this layer is needed to get on.
    pub fn awaited(&self) -> Option<u8> {
        self.target.filter(|_| self.target != self.current)
    }

    pub fn current(&self) -> Option<u8> {
        self.current
    }

    pub fn target(&self) -> Option<u8> {
        self.target
    }

    /// The source changed: start anew.
    pub fn reset(&mut self) {
        *self = Self { max: self.max, ..Self::new() };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn switches_only_at_a_keyframe_of_the_target() {
        let mut selector = Selector::new();
        selector.retarget(0b001);
        assert_eq!(selector.choose(0, false), Choice::Leave);
        assert_eq!(selector.awaited(), Some(0));
        assert_eq!(selector.choose(0, true), Choice::Switch);
        assert_eq!(selector.choose(0, false), Choice::Forward);
        selector.retarget(0b111);
        assert_eq!(selector.awaited(), Some(2));
        assert_eq!(selector.choose(1, true), Choice::Leave, "not the target");
        assert_eq!(selector.choose(2, false), Choice::Leave);
        assert_eq!(selector.choose(0, false), Choice::Forward, "the old layer stays on the wire meanwhile");
        assert_eq!(selector.choose(2, true), Choice::Switch);
        assert_eq!(selector.awaited(), None);
        assert_eq!(selector.choose(0, false), Choice::Leave);
    }

    #[test]
    fn falls_back_when_layers_fall_silent() {
        let mut selector = Selector::new();
        selector.retarget(0b100);
        selector.choose(2, true);
        selector.retarget(0b011);
        assert_eq!(selector.awaited(), Some(1));
        selector.retarget(0);
        assert_eq!(selector.target(), Some(1), "silence of all changes nothing");
    }

    #[test]
    fn max_bounds_the_target() {
        let mut selector = Selector { max: 1, ..Selector::new() };
        selector.retarget(0b111);
        assert_eq!(selector.target(), Some(1));
        assert_eq!(selector.choose(2, true), Choice::Leave);
        selector.retarget(0b1000_0001);
        assert_eq!(selector.target(), Some(0));
    }
}

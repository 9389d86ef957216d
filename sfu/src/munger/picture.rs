//! Picture id and TL0PICIDX of VP8 and VP9: a receiver takes a picture that seems older than the last one for late and drops it.

use pointsman_wire::payload::Number;

/// Changes of the picture id's offset that late packets can still look behind.
const TURNS: usize = 16;

#[derive(Clone, Debug, Default)]
pub struct PictureMunger {
    picture: Continued,
    /// The newest picture of the source, roll-overs counted from the switch.
    highest_in: u64,
    /// How many pictures were left out before, by the first for which it holds; the newest first. Only the first `turns` count.
    left_out: [(u64, u16); TURNS],
    turns: usize,
    tl0: Continued,
}

/// Where numbers of a stream begin to count: low enough for late ones, high enough that none is below zero.
const ORIGIN: u64 = 1 << 32;

impl PictureMunger {
    /// The next picture is the first of another stream.
    pub fn switch(&mut self, picture_id: Option<Number>, tl0_index: Option<Number>) {
        self.picture.switch(picture_id);
        self.tl0.switch(tl0_index);
        self.turns = 0;
        self.highest_in = picture_id.map_or(0, |number| ORIGIN + u64::from(number.value));
    }

    /// The subscriber's numbers; zero where the packet has none.
    pub fn forward(&mut self, picture_id: Option<Number>, tl0_index: Option<Number>) -> (u16, u8) {
        let moved = picture_id.map(|number| {
            let sequence = self.extend(number);
            self.highest_in = self.highest_in.max(sequence);
            let turns = &self.left_out[..self.turns];
            let left_out = turns.iter().find(|&&(from, _)| sequence >= from).map_or(0, |&(_, count)| count);
            Number { value: number.value.wrapping_sub(left_out), ..number }
        });
        (self.picture.forward(moved), self.tl0.forward(tl0_index) as u8)
    }

    /// A picture is left out, and must leave no gap: receivers of VP8 wait for a picture that seems to be missing.
    pub fn skip(&mut self, picture_id: Option<Number>) {
        let Some(number) = picture_id else { return };
        let sequence = self.extend(number);
        if sequence <= self.highest_in {
            return; // Of a picture that was skipped already, or too late.
        }
        self.highest_in = sequence;
        let before = self.left_out.first().filter(|_| self.turns > 0).map_or(0, |&(_, count)| count);
        if self.turns == 0 || self.left_out[0].0 != sequence {
            self.left_out.copy_within(0..TURNS - 1, 1);
            self.turns = (self.turns + 1).min(TURNS);
        }
        self.left_out[0] = (sequence + 1, before.wrapping_add(1));
    }

    /// The picture was left out: what comes late of it has no number, since the pictures after it have moved up.
    pub fn is_left_out(&self, picture_id: Option<Number>) -> bool {
        let Some(number) = picture_id else { return false };
        let sequence = self.extend(number);
        let turns = &self.left_out[..self.turns];
        turns.iter().enumerate().any(|(at, &(from, count))| {
            let before = match turns.get(at + 1) {
                Some(&(_, before)) => before,
                None if self.turns < TURNS => 0,
                None => count.wrapping_sub(1),
            };
            let run = u64::from(count.wrapping_sub(before));
            (from.saturating_sub(run)..from).contains(&sequence)
        })
    }

    fn extend(&self, number: Number) -> u64 {
        let ahead = number.value.wrapping_sub(self.highest_in as u16) << (16 - number.bits);
        self.highest_in.wrapping_add_signed(i64::from(ahead as i16 >> (16 - number.bits)))
    }
}

/// One number that counts on, modulo 2 to the power of its bits.
#[derive(Clone, Debug, Default)]
pub(super) struct Continued {
    /// The newest that was sent, unless nothing was.
    highest: Option<u16>,
    offset: u16,
}

impl Continued {
    pub(super) fn switch(&mut self, first: Option<Number>) {
        let Some(first) = first else { return };
        self.offset = match self.highest {
            Some(highest) => highest.wrapping_add(1).wrapping_sub(first.value),
            None => 0,
        };
    }

    pub(super) fn forward(&mut self, number: Option<Number>) -> u16 {
        let Some(number) = number else { return 0 };
        let mask = ((1u32 << number.bits) - 1) as u16;
        let out = number.value.wrapping_add(self.offset) & mask;
        let ahead = |highest: u16| out.wrapping_sub(highest) & mask;
        if self.highest.is_none_or(|highest| ahead(highest) <= mask / 2) {
            self.highest = Some(out);
        }
        out
    }
}

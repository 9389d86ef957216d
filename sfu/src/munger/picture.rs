//! Picture id and TL0PICIDX of VP8 and VP9: a receiver takes a picture that seems older than the last one for late and drops it.

use pointsman_wire::payload::Number;

#[derive(Clone, Debug, Default)]
pub struct PictureMunger {
    picture: Continued,
    tl0: Continued,
}

impl PictureMunger {
    /// The next picture is the first of another stream.
    pub fn switch(&mut self, picture_id: Option<Number>, tl0_index: Option<Number>) {
        self.picture.switch(picture_id);
        self.tl0.switch(tl0_index);
    }

    /// The subscriber's numbers; zero where the packet has none.
    pub fn forward(&mut self, picture_id: Option<Number>, tl0_index: Option<Number>) -> (u16, u8) {
        (self.picture.forward(picture_id), self.tl0.forward(tl0_index) as u8)
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

//! Frame numbers of AV1's dependency descriptor (its second and third byte), which count on like picture ids.

use super::picture::Continued;
use pointsman_wire::payload::Number;

#[derive(Clone, Debug, Default)]
pub struct FrameMunger(Continued);

impl FrameMunger {
    /// The next frame is the first of another stream. `descriptor` is the extension's value.
    pub fn switch(&mut self, descriptor: &[u8]) {
        self.0.switch(number(descriptor));
    }

    pub fn forward(&mut self, descriptor: &[u8]) -> u16 {
        self.0.forward(number(descriptor))
    }
}

fn number(descriptor: &[u8]) -> Option<Number> {
    let (&high, &low) = (descriptor.get(1)?, descriptor.get(2)?);
    Some(Number { at: 1, bits: 16, value: u16::from_be_bytes([high, low]) })
}

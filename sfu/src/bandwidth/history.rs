//! What was sent under each of the last transport-wide sequence numbers.

use super::probe::ClusterId;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Fate {
    Unknown,
    /// Feedback said that it had not come. It may still: packets overtake each other.
    Missing,
    Arrived,
}

#[derive(Clone, Copy, Debug)]
struct Entry {
    /// Low 32 bits of the time in µs.
    at_us: u32,
    len: u16,
    cluster: ClusterId,
    fate: Fate,
}

/// A packet that feedback speaks of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    pub at_us: i64,
    pub len: u16,
    pub cluster: ClusterId,
    /// It was told as missing before.
    pub was_missing: bool,
}

/// A packet by what is in it: stream and sequence number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PacketName {
    pub ssrc: u32,
    pub sequence: u16,
}

impl PacketName {
    /// Of a packet as it leaves. One that is shorter than a header has a name that nobody asks for.
    pub fn of(packet: &[u8]) -> Self {
        let Some(&[_, _, s0, s1, _, _, _, _, c0, c1, c2, c3]) = packet.first_chunk() else { return Self { ssrc: 0, sequence: 0 } };
        Self { ssrc: u32::from_be_bytes([c0, c1, c2, c3]), sequence: u16::from_be_bytes([s0, s1]) }
    }
}

/// A ring by sequence number. It takes its memory with the first packet and never again.
#[derive(Debug)]
pub struct History {
    ring: Vec<Entry>,
    /// Transport-wide numbers by name, where names are asked for; a later packet may take an earlier one's place.
    names: Vec<(PacketName, u16)>,
    /// A power of two.
    capacity: usize,
    /// Number of the next packet, roll-overs counted.
    next: u64,
}

impl History {
    pub fn new(capacity: usize) -> Self {
        Self { ring: Vec::new(), names: Vec::new(), capacity: capacity.clamp(64, 32_768).next_power_of_two(), next: 1 }
    }

    pub const fn next_sequence(&self) -> u16 {
        self.next as u16
    }

    /// From now on packets are found by their names, too.
    pub fn keep_names(&mut self) {
        self.names.resize(2 * self.capacity, (PacketName { ssrc: 0, sequence: 0 }, 0));
    }

    /// How many packets have left since this one, itself included.
    pub fn back_to(&self, name: PacketName) -> Option<u16> {
        let (known, number) = self.names.get(place(name, self.names.len()))?;
        (*known == name).then(|| self.next_sequence().wrapping_sub(*number))
    }

    pub fn sent(&mut self, at_us: i64, len: u16, cluster: ClusterId, name: PacketName) {
        if self.ring.is_empty() {
            self.ring.resize(self.capacity, Entry { at_us: 0, len: 0, cluster: ClusterId::NONE, fate: Fate::Arrived });
        }
        self.ring[self.next as usize & (self.capacity - 1)] = Entry { at_us: at_us as u32, len, cluster, fate: Fate::Unknown };
        let (number, places) = (self.next_sequence(), self.names.len());
        if let Some(known) = self.names.get_mut(place(name, places)) {
            *known = (name, number);
        }
        self.next += 1;
    }

    /// What `sequence` was, if feedback says something new of it: that it arrived, or for the first time that it did not.
    pub fn told(&mut self, now_us: i64, sequence: u16, arrived: bool) -> Option<Sent> {
        let back = u64::from(self.next_sequence().wrapping_sub(sequence));
        if back == 0 || back >= self.next || back > self.capacity as u64 {
            return None;
        }
        let entry = self.ring.get_mut((self.next - back) as usize & (self.capacity - 1))?;
        let was_missing = match entry.fate {
            Fate::Unknown => false,
            Fate::Missing if arrived => true,
            Fate::Missing | Fate::Arrived => return None,
        };
        entry.fate = if arrived { Fate::Arrived } else { Fate::Missing };
        let age = (now_us as u32).wrapping_sub(entry.at_us);
        Some(Sent { at_us: now_us - i64::from(age), len: entry.len, cluster: entry.cluster, was_missing })
    }
}

/// Packets of a stream lie side by side. `places`: a power of two, or none.
fn place(name: PacketName, places: usize) -> usize {
    ((name.ssrc.wrapping_mul(0x9E37_79B1) >> 8) as usize).wrapping_add(usize::from(name.sequence)) & places.wrapping_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NAMELESS: PacketName = PacketName { ssrc: 0, sequence: 0 };

    #[test]
    fn finds_packets_by_name_while_they_are_in_the_ring() {
        let mut history = History::new(64);
        let name = |sequence: u16| PacketName { ssrc: 7, sequence };
        history.sent(0, 100, ClusterId::NONE, name(1));
        assert_eq!(history.back_to(name(1)), None, "nobody asks for names");
        history.keep_names();
        for sequence in 65_500..65_600_u32 {
            history.sent(0, 100, ClusterId::NONE, name(sequence as u16));
        }
        assert_eq!(history.back_to(name(63)), Some(1));
        assert_eq!(history.back_to(name(65_535)), Some(65));
        assert_eq!(history.back_to(PacketName { ssrc: 8, sequence: 63 }), None);
        assert_eq!(history.back_to(name(64)), None, "not sent yet");
        let packet = [0x80, 96, 0x12, 0x34, 0, 0, 0, 0, 1, 2, 3, 4, 9];
        assert_eq!(PacketName::of(&packet), PacketName { ssrc: 0x0102_0304, sequence: 0x1234 });
        assert_eq!(PacketName::of(&packet[..11]), NAMELESS);
    }

    #[test]
    fn tells_each_fate_once_and_forgets_the_oldest() {
        let mut history = History::new(64);
        assert_eq!(history.told(0, 1, true), None, "nothing was sent");
        for at in 0..70_000_i64 {
            history.sent(at * 1000, 1000 + (at % 7) as u16, ClusterId::NONE, NAMELESS);
        }
        let (now, last) = (70_000_000, (70_000_u32 % 65_536) as u16);
        let sent = history.told(now, last, false).expect("the last packet");
        assert_eq!((sent.at_us, sent.len, sent.was_missing), (69_999_000, 1000 + (69_999 % 7) as u16, false));
        assert_eq!(history.told(now, last, false), None, "missing twice");
        assert!(history.told(now, last, true).is_some_and(|sent| sent.was_missing), "late");
        assert_eq!(history.told(now, last, true), None);
        assert_eq!(history.told(now, last.wrapping_sub(64), true), None, "its place was taken");
        assert_eq!(history.told(now, last.wrapping_add(1), true), None, "not sent yet");
    }
}

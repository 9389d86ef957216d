//! Transport-wide congestion control feedback (draft-holmer-rmcat-transport-wide-cc-extensions-01 section 3.1): which packets of a
//! transport arrived, and when.
//!
//! ```text
//! |base sequence|status count|reference time (24 bits, 64 ms)|feedback count|chunks (2 bytes each) …|deltas (250 µs; 1 or 2 bytes) …|
//! ```

use super::be32;

/// The unit of arrival times, in µs.
pub const TICK_US: i64 = 250;
/// Ticks in a unit of the reference time.
const REFERENCE_TICKS: i64 = 256;

/// Largest run of one status in one chunk: 13 bits.
const RUN_MAX: u16 = 0x1FFF;
/// Statuses in a chunk of one bit, and of two bits, each.
const ONE_BIT: u16 = 14;
const TWO_BITS: u16 = 7;

/// A feedback packet whose chunks and deltas agree with its status count.
#[derive(Clone, Debug)]
pub struct TransportCc<'a> {
    pub sender: u32,
    pub media: u32,
    pub base_sequence: u16,
    pub status_count: u16,
    /// In units of 64 ms on the receiver's clock; 24 bits, signed.
    pub reference_time: i32,
    /// Grows by one with each feedback packet.
    pub feedback_count: u8,
    chunks: &'a [[u8; 2]],
    deltas: &'a [u8],
}

/// What became of one packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Arrival {
    pub sequence: u16,
    /// On the receiver's clock, in ticks of [`TICK_US`]; it wraps with the reference time. `None`: not arrived when the feedback was made.
    pub at_ticks: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Status {
    Missing = 0,
    /// A delta of one byte, 0..=255 ticks.
    Small = 1,
    /// A delta of two bytes, signed.
    Large = 2,
}

impl Status {
    /// The fourth symbol is reserved.
    const fn from_symbol(symbol: u16) -> Option<Self> {
        match symbol & 3 {
            0 => Some(Self::Missing),
            1 => Some(Self::Small),
            2 => Some(Self::Large),
            _ => None,
        }
    }

    const fn delta_len(self) -> usize {
        self as usize
    }
}

impl<'a> TransportCc<'a> {
    pub(super) fn parse(sender: u32, media: u32, control: &'a [u8]) -> Option<Self> {
        let (&[b0, b1, c0, c1, r0, r1, r2, feedback_count], rest) = control.split_first_chunk()?;
        let status_count = u16::from_be_bytes([c0, c1]);
        let pairs = rest.as_chunks::<2>().0;
        let (mut left, mut chunk_count, mut delta_len) = (status_count, 0, 0);
        while left > 0 {
            let chunk = u16::from_be_bytes(*pairs.get(chunk_count)?);
            let statuses = chunk_statuses(chunk).min(left);
            if statuses == 0 {
                return None;
            }
            for index in 0..statuses.min(ONE_BIT) {
                let len = chunk_status(chunk, index)?.delta_len();
                // A run repeats its first status; the rest of it counts with the last one looked at.
                let times = if index + 1 == ONE_BIT { usize::from(statuses - index) } else { 1 };
                delta_len += len * times;
            }
            left -= statuses;
            chunk_count += 1;
        }
        let (chunks, deltas) = rest.split_at_checked(2 * chunk_count)?;
        Some(Self {
            sender,
            media,
            base_sequence: u16::from_be_bytes([b0, b1]),
            status_count,
            reference_time: (be32(&[r0, r1, r2]) << 8) as i32 >> 8,
            feedback_count,
            chunks: chunks.as_chunks().0,
            deltas: deltas.get(..delta_len)?,
        })
    }

    /// What became of each packet, in order of sequence.
    pub fn arrivals(&self) -> Arrivals<'a> {
        Arrivals {
            chunks: self.chunks,
            index: 0,
            deltas: self.deltas,
            sequence: self.base_sequence,
            left: self.status_count,
            at: i64::from(self.reference_time) * REFERENCE_TICKS,
        }
    }
}

/// See [`TransportCc::arrivals`].
#[derive(Clone, Debug)]
pub struct Arrivals<'a> {
    chunks: &'a [[u8; 2]],
    /// Statuses of the first chunk that are done.
    index: u16,
    deltas: &'a [u8],
    sequence: u16,
    left: u16,
    at: i64,
}

impl Iterator for Arrivals<'_> {
    type Item = Arrival;

    fn next(&mut self) -> Option<Arrival> {
        self.left = self.left.checked_sub(1)?;
        let chunk = u16::from_be_bytes(*self.chunks.first()?);
        let status = chunk_status(chunk, self.index)?;
        self.index += 1;
        if self.index == chunk_statuses(chunk) {
            self.chunks = self.chunks.get(1..)?;
            self.index = 0;
        }
        let (delta, deltas) = self.deltas.split_at_checked(status.delta_len())?;
        self.deltas = deltas;
        self.at += match *delta {
            [small] => i64::from(small),
            [high, low] => i64::from(i16::from_be_bytes([high, low])),
            _ => 0,
        };
        let arrival = Arrival { sequence: self.sequence, at_ticks: (status != Status::Missing).then_some(self.at) };
        self.sequence = self.sequence.wrapping_add(1);
        Some(arrival)
    }
}

/// How many statuses a chunk has room for; a run may be empty.
const fn chunk_statuses(chunk: u16) -> u16 {
    match chunk >> 14 {
        0 | 1 => chunk & RUN_MAX,
        2 => ONE_BIT,
        _ => TWO_BITS,
    }
}

const fn chunk_status(chunk: u16, index: u16) -> Option<Status> {
    match chunk >> 14 {
        0 | 1 => Status::from_symbol(chunk >> 13),
        2 => Status::from_symbol(chunk >> (13 - index % ONE_BIT) & 1),
        _ => Status::from_symbol(chunk >> (12 - index % TWO_BITS * 2)),
    }
}

/// Writes base sequence, status count, reference time, feedback count, chunks, deltas and zeroes up to a multiple of four bytes.
///
/// `arrivals` are extended sequence numbers, strictly ascending, with arrival times in ticks; the first is not before `base`. Returns the length and how many arrivals are
/// in it: those that fit `out`, a delta of 16 bits and a status count of 16 bits. `None` when not one does.
pub(super) fn write(
    base: u64,
    arrivals: impl Iterator<Item = (u64, i64)> + Clone,
    feedback_count: u8,
    out: &mut [u8],
) -> Option<(usize, usize)> {
    const HEAD: usize = 8;
    let (_, first_at) = arrivals.clone().next()?;
    let reference = first_at.div_euclid(REFERENCE_TICKS);
    let (mut previous, mut at) = (base.checked_sub(1)?, reference * REFERENCE_TICKS);
    let mut chunks = ChunkWriter::new(HEAD);
    let (mut taken, mut delta_len) = (0, 0);
    for (sequence, arrived) in arrivals.clone() {
        let Some(status) = status_of(arrived - at) else { break };
        let missing = sequence.checked_sub(previous + 1).filter(|_| sequence - base < u64::from(u16::MAX));
        let Some(missing) = missing else { break };
        // What is pending takes two chunks at most, the status itself two more; in between are runs of missing ones.
        let chunk_len = 2 * (missing / u64::from(RUN_MAX) + 5) as usize;
        if chunks.at + chunk_len + delta_len + status.delta_len() + 3 > out.len() {
            break;
        }
        chunks.add_missing(missing, out)?;
        chunks.add(status, out)?;
        delta_len += status.delta_len();
        (previous, at, taken) = (sequence, arrived, taken + 1);
    }
    if taken == 0 {
        return None;
    }
    let mut end = chunks.finish(out)?;
    at = reference * REFERENCE_TICKS;
    for (_, arrived) in arrivals.take(taken) {
        let delta = (arrived - at) as i16;
        let bytes = delta.to_be_bytes();
        let len = status_of(arrived - at)?.delta_len();
        out.get_mut(end..end + len)?.copy_from_slice(&bytes[2 - len..]);
        (at, end) = (arrived, end + len);
    }
    let padded = end.next_multiple_of(4);
    out.get_mut(end..padded)?.fill(0);
    let [_, r0, r1, r2] = (reference as u32).to_be_bytes();
    out.get_mut(..2)?.copy_from_slice(&(base as u16).to_be_bytes());
    out.get_mut(2..4)?.copy_from_slice(&((previous - base + 1) as u16).to_be_bytes());
    out.get_mut(4..HEAD)?.copy_from_slice(&[r0, r1, r2, feedback_count]);
    Some((padded, taken))
}

fn status_of(delta: i64) -> Option<Status> {
    match delta {
        0..=255 => Some(Status::Small),
        _ if i16::try_from(delta).is_ok() => Some(Status::Large),
        _ => None,
    }
}

/// Gathers statuses and writes each chunk in the form that holds most of them.
struct ChunkWriter {
    at: usize,
    pending: [Status; ONE_BIT as usize],
    count: u16,
}

impl ChunkWriter {
    const fn new(at: usize) -> Self {
        Self { at, pending: [Status::Missing; ONE_BIT as usize], count: 0 }
    }

    fn add(&mut self, status: Status, out: &mut [u8]) -> Option<()> {
        while !self.has_room(status) {
            self.flush(false, out)?;
        }
        if let Some(slot) = self.pending.get_mut(usize::from(self.count)) {
            *slot = status;
        }
        self.count += 1;
        Some(())
    }

    fn add_missing(&mut self, mut count: u64, out: &mut [u8]) -> Option<()> {
        while count > 0 {
            self.add(Status::Missing, out)?;
            count -= 1;
            if self.count >= ONE_BIT && self.is_run() {
                let more = count.min(u64::from(RUN_MAX - self.count));
                self.count += more as u16;
                count -= more;
            }
        }
        Some(())
    }

    fn kept(&self) -> &[Status] {
        self.pending.get(..usize::from(self.count)).unwrap_or(&self.pending)
    }

    fn is_run(&self) -> bool {
        self.kept().iter().all(|&it| it == self.pending[0])
    }

    fn has_large(&self) -> bool {
        self.kept().contains(&Status::Large)
    }

    fn has_room(&self, status: Status) -> bool {
        match self.count {
            0..TWO_BITS => true,
            TWO_BITS..ONE_BIT if !self.has_large() && status != Status::Large => true,
            _ => self.count < RUN_MAX && self.is_run() && status == self.pending[0],
        }
    }

    /// Writes one chunk and keeps what it had no room for. Only the last may be a vector that is not full.
    fn flush(&mut self, last: bool, out: &mut [u8]) -> Option<()> {
        let run = self.is_run();
        let (chunk, done) = if run {
            ((self.pending[0] as u16) << 13 | self.count, self.count)
        } else if !self.has_large() && (self.count == ONE_BIT || last) {
            (self.vector(2 << 14, 1, ONE_BIT), self.count)
        } else {
            (self.vector(3 << 14, 2, TWO_BITS), self.count.min(TWO_BITS))
        };
        out.get_mut(self.at..self.at + 2)?.copy_from_slice(&chunk.to_be_bytes());
        self.at += 2;
        if !run {
            self.pending.copy_within(usize::from(done)..usize::from(self.count), 0);
        }
        self.count -= done;
        Some(())
    }

    fn vector(&self, form: u16, bits: u16, statuses: u16) -> u16 {
        let kept = self.kept().iter().take(usize::from(statuses));
        kept.zip(0..).fold(form, |chunk, (&status, index)| chunk | (status as u16) << (14 - bits * (index + 1)))
    }

    /// Writes what is pending; returns where the deltas begin.
    fn finish(mut self, out: &mut [u8]) -> Option<usize> {
        while self.count > 0 {
            self.flush(true, out)?;
        }
        Some(self.at)
    }
}

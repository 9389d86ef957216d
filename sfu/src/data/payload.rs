//! Messages on their way between shards and control, and how much of them there is.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use crate::ParticipantId;

/// What a message counts beside its bytes: many small ones must not fill queues that others share.
const OVERHEAD: usize = 1024;

/// Bytes that count against a [`PayloadBudget`] until the last copy is gone. Cloning is cheap.
#[derive(Clone)]
pub struct Payload(Arc<Loan>);

struct Loan {
    bytes: Box<[u8]>,
    lent: Arc<AtomicUsize>,
}

impl Drop for Loan {
    fn drop(&mut self) {
        self.lent.fetch_sub(self.bytes.len() + OVERHEAD, Ordering::Relaxed);
    }
}

/// Bounds the payloads that are under way, wherever they are: in queues, in rings, in somebody's hands.
#[derive(Clone, Debug)]
pub struct PayloadBudget {
    lent: Arc<AtomicUsize>,
    bytes_max: usize,
}

impl PayloadBudget {
    pub fn new(bytes_max: usize) -> Self {
        Self { lent: Arc::default(), bytes_max }
    }

    /// Whether a payload of so many bytes may be made now.
    pub fn has_room(&self, len: usize) -> bool {
        self.lent.load(Ordering::Relaxed).saturating_add(len + OVERHEAD) <= self.bytes_max
    }

    /// `None`: there is no room.
    pub fn lend(&self, bytes: Vec<u8>) -> Option<Payload> {
        let cost = bytes.len() + OVERHEAD;
        if self.lent.fetch_add(cost, Ordering::Relaxed).saturating_add(cost) > self.bytes_max {
            self.lent.fetch_sub(cost, Ordering::Relaxed);
            return None;
        }
        Some(Payload(Arc::new(Loan { bytes: bytes.into(), lent: Arc::clone(&self.lent) })))
    }
}

impl Payload {
    pub fn bytes(&self) -> &[u8] {
        &self.0.bytes
    }
}

impl fmt::Debug for Payload {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Payload({} bytes)", self.bytes().len())
    }
}

impl PartialEq for Payload {
    fn eq(&self, other: &Self) -> bool {
        self.bytes() == other.bytes()
    }
}

impl Eq for Payload {}

/// A message as it goes over a channel.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataMessage {
    /// On a channel that loses nothing.
    pub reliable: bool,
    /// A string (RFC 8831 section 6.6); otherwise bytes.
    pub text: bool,
    pub payload: Payload,
}

/// A message and whom it is for.
#[derive(Clone, Debug)]
pub struct Delivery {
    pub to: Arc<[ParticipantId]>,
    pub message: DataMessage,
}

/// Which kinds of channel a participant has open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ChannelsOpen {
    pub reliable: bool,
    pub lossy: bool,
}

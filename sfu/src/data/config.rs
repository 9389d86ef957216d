//! Limits of data channels.

use std::time::Duration;

/// What one participant's data may cost, and one shard's data of all participants.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DataConfig {
    /// Longest message taken from a channel, header included: what our SDP announces (RFC 8841 section 6). 0: data channels are refused.
    pub message_bytes_max: u32,
    /// Open channels of one participant. The client in the browser opens two.
    pub channels_max: usize,
    /// Streams of one association are numbered below this; the library keeps some hundred bytes for each that was used.
    pub streams_max: u16,
    /// Bytes of one association that wait here to be whole or to be read. One message must fit, with room for others beside it.
    pub receive_bytes_max: u32,
    /// DATA chunks that may be ahead of the first that is missing: what the library keeps in order costs the more the more there is.
    pub receive_chunks_max: u32,
    /// Messages of one participant per second, sustained, and at once after a pause. Reliable ones beyond are read later, lossy ones lost.
    pub messages_per_s: u32,
    pub messages_burst: u32,
    /// The same in bytes.
    pub bytes_per_s: u32,
    pub bytes_burst: u32,
    /// Bytes that wait for a receiver. What is reliable and finds no room is lost, and the receiver is told.
    pub waiting_bytes_max: usize,
    /// What is lossy is lost once so many bytes wait: it must not stand in the way of what is reliable, and is old by then.
    pub waiting_lossy_bytes_max: usize,
    /// Packets of one participant that are sent in one turn; the rest follows in the next.
    pub packets_per_turn_max: usize,
    /// Datagrams of all participants' data that are taken in one turn. More are dropped, and come again.
    pub datagrams_per_turn_max: usize,
    /// Bytes that are put into associations in one turn: a message to a thousand people is given out over several.
    pub delivered_bytes_per_turn_max: usize,
    /// Messages from control that wait to be given out.
    pub deliveries_max: usize,
    /// Bytes of a shard's messages that control has not dealt with. While there are so many, nothing more is read.
    pub events_bytes_max: usize,
    /// Between two reports to a participant of what was lost on the way to it.
    pub lost_interval: Duration,
}

impl Default for DataConfig {
    fn default() -> Self {
        Self {
            message_bytes_max: 68 * 1024,
            channels_max: 16,
            streams_max: 256,
            receive_bytes_max: 256 * 1024,
            receive_chunks_max: 2048,
            messages_per_s: 100,
            messages_burst: 200,
            bytes_per_s: 256 * 1024,
            bytes_burst: 512 * 1024,
            waiting_bytes_max: 1024 * 1024,
            waiting_lossy_bytes_max: 64 * 1024,
            packets_per_turn_max: 64,
            datagrams_per_turn_max: 128,
            delivered_bytes_per_turn_max: 512 * 1024,
            deliveries_max: 1024,
            events_bytes_max: 8 * 1024 * 1024,
            lost_interval: Duration::from_secs(1),
        }
    }
}

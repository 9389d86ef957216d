//! Looks at a peer's packets before the library does, and at ours as they leave: what its tables may grow to is decided here.
//!
//! The library takes every stream number that comes, and keeps in order, chunk by chunk, whatever arrives ahead of a gap. Honest peers
//! stay far below both limits; what goes over them is dropped as the network might have dropped it.

use pointsman_wire::sctp::{Chunk, Data, chunks};

use super::DataConfig;
use crate::DropReason;

#[derive(Clone, Debug)]
pub(super) struct Gate {
    streams_max: u16,
    chunks_max: u32,
    /// Everything up to this TSN has come, as far as we have said so.
    cumulative: Option<u32>,
}

impl Gate {
    pub fn new(config: &DataConfig) -> Self {
        Self { streams_max: config.streams_max, chunks_max: config.receive_chunks_max, cumulative: None }
    }

    /// A packet of the peer's. `fresh`: there is no association yet.
    pub fn admit(&mut self, packet: &[u8], fresh: bool) -> Result<(), DropReason> {
        for chunk in chunks(packet) {
            match chunk.map_err(|_| DropReason::DataMalformed)? {
                Chunk::Data(Data { tsn, stream, .. }) => {
                    let ahead = self.cumulative.map_or(0, |cumulative| tsn.wrapping_sub(cumulative));
                    // What lies behind is a duplicate.
                    if stream >= self.streams_max || (ahead > self.chunks_max && ahead < 1 << 31) {
                        return Err(DropReason::DataStreamsMax);
                    }
                }
                // INIT, or INIT ACK of the association that we began.
                Chunk::Init { tsn } if fresh || self.cumulative.is_none() => self.cumulative = Some(tsn.wrapping_sub(1)),
                Chunk::Init { .. } | Chunk::Sack { .. } | Chunk::Other { .. } => {}
            }
        }
        Ok(())
    }

    /// A packet of ours.
    pub fn note_sent(&mut self, packet: &[u8]) {
        for chunk in chunks(packet).flatten() {
            if let Chunk::Sack { cumulative } = chunk {
                self.cumulative = Some(cumulative);
            }
        }
    }
}

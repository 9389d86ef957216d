//! Network bytes: every parser and writer that Pointsman uses, and the small things that its state machines share
//! (addresses, the time they are told, the timer wheel they keep it in).
//!
//! Everything here is total and borrows: `&[u8]` in, a view or a typed error out; writers fill a slice that the caller lends.

#![forbid(unsafe_code)]

pub mod channel_data;
pub mod clock;
#[cfg(any(test, feature = "fuzz"))]
pub mod corpus;
pub mod dcep;
pub mod demux;
pub mod dtls;
pub mod net;
pub mod payload;
pub mod proxy;
pub mod rtcp;
pub mod rtp;
pub mod sctp;
pub mod stream;
pub mod stun;

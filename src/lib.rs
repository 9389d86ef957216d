//! The parts of the `pointsman` binary.

// Only `engine/sys.rs` is allowed to.
#![deny(unsafe_code)]

pub mod engine;
pub mod load;

//! The parts of the `pointsman` binary: command line, configuration, the packet engine, control (everything that is not a packet
//! thread), metrics, and the load tool.

// Only `engine/sys.rs` is allowed to.
#![deny(unsafe_code)]

pub mod cli;
pub mod config;
pub mod control;
pub mod coturn;
pub mod engine;
pub mod failure;
pub mod load;
pub mod logging;
pub mod metrics;
pub mod oidc;
mod outbound;
pub mod store;
pub mod users;

//! Rooms and people: who may join, who hears whom, and what clients are told. Media is behind [`media::Media`]; SDP passes through as text.
//!
//! ```text
//!   ws   whip            thin and async: a WebSocket, a WHIP or WHEP request
//!     \  /
//!    signal              one lock around the rules, a queue to every client
//!       |
//!   rooms → room         the rules: no clock, no task, no socket ──→ media (a trait)
//! ```

#![forbid(unsafe_code)]

mod api;
mod bucket;
mod config;
mod cors;
mod http;
pub mod media;
mod message;
pub mod news;
mod page;
mod people;
mod problem;
mod quality;
mod room;
mod rooms;
mod signal;
#[cfg(test)]
mod testing;
mod time;
pub mod token;
mod whip;
mod ws;

pub use api::{OPENAPI, api_addresses};
pub use bucket::{Bucket, Pace};
pub use config::{Config, RoomConfig};
pub use message::{ChatInfo, DataContent, DataRequest};
pub use problem::Problem;
pub use signal::{Counts, Signal, bearer_token};
pub use whip::WhipConfig;

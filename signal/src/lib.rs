//! Rooms and people: who may join, who hears whom, and what clients are told. Media is behind [`media::Media`]; SDP passes through as text.

#![forbid(unsafe_code)]

mod config;
pub mod media;
mod signal;
pub mod token;

pub use config::Config;
pub use signal::{Counts, Signal};

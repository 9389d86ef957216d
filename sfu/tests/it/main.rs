//! Calls through one and two shards, from the first check to the last packet.

mod call;
mod world;

//! Calls through one and two shards, from the first check to the last packet.

mod allocation;
mod bandwidth;
mod call;
mod extensions;
mod layers;
mod shares;
mod sound;
mod speakers;
mod world;

//! Transports in a world of our own: clients of several kinds, a seeded bad link, a virtual clock.
#![allow(clippy::disallowed_methods, reason = "a test has to start its virtual clock somewhere")]

mod channels;
mod handshake;
mod hello;
mod ice;
mod world;

use std::sync::Arc;
use std::time::Duration;

use pointsman_wire::clock::Now;

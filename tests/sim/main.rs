//! The whole forwarding unit on a virtual clock between seeded links: model publishers, model subscribers, real ICE, DTLS and SRTP.
//!
//! `sim_random` runs thousands of seeds (`SIM_SEEDS` says how many) on all cores. A seed that fails prints the line that replays it.

mod decoder;
mod dice;
mod link;
mod network;
mod publisher;
mod scenario;
mod seeds;
mod sim_bottleneck;
mod sim_cases;
mod sim_rfc8867;
mod stamp;
mod subscriber;
#[expect(dead_code, reason = "the tests of single calls need more of it")]
#[path = "../../sfu/tests/it/world.rs"]
mod world;

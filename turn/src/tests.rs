//! Clients, peers and an engine in memory, with a clock that the test turns.

mod allocating;
mod authenticating;
mod authorizing;
mod connecting;
mod discovering;
mod lazily;
mod looking_up;
mod moving;
mod negotiating;
mod quotas;
mod realms;
mod relaying;
mod throttling;
mod world;

#[test]
fn seeds_hold_what_any_input_must() {
    pointsman_wire::corpus::replay("turn_server", crate::fuzz);
}

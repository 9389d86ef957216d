//! What is worth keeping when a room is gone: the rules say it, somebody else writes it down.

use serde_json::Value;

/// An entry of a room's history.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub room: String,
    /// `chat`, `chat_deleted`, `poll`: the type of the message that says the same to clients.
    pub kind: &'static str,
    /// Whose it is; empty when it is nobody's.
    pub identity: String,
    /// What it is, as in the protocol.
    pub body: Value,
}

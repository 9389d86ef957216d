//! What we tell publishers about their packets: which arrived and when ([`twcc`]), which to send again ([`nack`]), how the way is
//! ([`reception`]), and when a keyframe is wanted ([`keyframes`]).
//!
//! Each is the state of one transport or one stream. None has a timer of its own: `next_due` says when there is something to say, and
//! the owner asks then.

pub mod keyframes;
pub mod nack;
pub mod reception;
pub mod twcc;

//! Rooms and people: who may join, who hears whom, and what clients are told. Media is behind [`Media`]; SDP passes through as text.

#![forbid(unsafe_code)]

pub mod media;

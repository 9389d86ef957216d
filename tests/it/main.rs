//! The one integration binary of the root package. A new set of tests is a module here: one file beside this one, named after
//! what it looks at. Tests that need browsers or root are in `tests/live`; `tests/run` installs what these need.

mod allocation;
mod config;
mod data_channels;
mod databases;
mod relay;
mod serve;
mod store;
mod tidy;
mod turnserver;
mod users;

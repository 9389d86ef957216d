//! Numbers made continuous: whatever the source does, a subscriber sees one stream.

mod frame;
mod picture;
mod rtp;

pub use frame::FrameMunger;
pub use picture::PictureMunger;
pub use rtp::RtpMunger;

#[cfg(test)]
mod tests;

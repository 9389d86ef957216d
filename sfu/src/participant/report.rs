//! RTCP.
use crate::*;
use pointsman_wire::clock::Now;
use pointsman_wire::rtp;
#[derive(Debug)]
pub struct Uplink {}
impl Uplink {
    pub fn new(_ssrc: u32, _kind: Kind, _now: Now) -> Self {
        Self {}
    }
    pub fn received(&mut self, _now: Now, _index: u64, _timestamp: u32, _format: &CodecSpec) {}
    pub fn repaired(&mut self, _now: Now, _index: u64) {}
}
impl super::Participant {
    pub(super) fn arrived(&mut self, _now: Now, _header: &rtp::Header, _datagram: &[u8]) {}
}

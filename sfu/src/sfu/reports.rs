//! RTCP.
use super::Sfu;
use crate::*;
use pointsman_wire::clock::Now;
impl Sfu {
    pub(super) fn take_reports(&mut self, _now: Now, _index: u32, _bytes: &[u8], _out: &mut impl Egress) -> Result<(), DropReason> {
        Ok(())
    }
    pub(super) fn request_keyframe(&mut self, _now: Now, _at: u32, _layer: u8, _out: &mut impl Egress) {}
    pub(super) fn send_urgent_feedback(&mut self, _now: Now, _index: u32, _out: &mut impl Egress) {}
    pub(super) fn participant_due(&mut self, now: Now, index: u32, id: ParticipantId, out: &mut impl Egress) {
        let Some(participant) = self.participants.get_mut(index as usize) else { return };
        if participant.id != id || participant.timer.is_none_or(|timer| timer > now.mono) {
            return;
        }
        participant.timer = None;
        let result = participant.transport.handle_timeout(now, out);
        if let Err(reason) = result {
            self.stats.drops.count(reason);
        }
        self.drain_transport(now, index);
    }
}

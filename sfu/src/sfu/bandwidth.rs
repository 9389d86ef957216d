//! What the estimate toward a participant changes, and the padding that it asks for.

use pointsman_wire::clock::Now;

use super::Sfu;
use crate::bandwidth::PacketName;
use crate::downtrack::Departure;
use crate::{DropReason, Egress, Event};

/// Padding packets in one step of a probe at most: 150 kB, 2 ms at 600 Mbit/s.
const STEP_PACKETS_MAX: usize = 128;

impl Sfu {
    /// The estimate toward a participant may be another now.
    pub(super) fn estimated(&mut self, now: Now, index: u32) {
        let Some(participant) = self.participants.get_mut(index as usize) else { return };
        if let Some(estimate_bps) = participant.bandwidth.news(now.mono) {
            let participant = participant.id;
            self.push_event(Event::Estimate { participant, estimate_bps });
        }
        self.schedule(index);
    }

    /// Sends what a probe wants: the last packets once more, which may even be of use, or else padding alone.
    pub(super) fn send_padding(&mut self, now: Now, index: u32, out: &mut impl Egress) {
        let Self { participants, publications, stats, .. } = self;
        let Some(participant) = participants.get_mut(index as usize) else { return };
        let mut due = participant.bandwidth.padding(now.mono);
        if due == 0 {
            return;
        }
        let (Some(path), Some(outbound)) = (participant.transport.path(), participant.transport.srtp_out()) else { return };
        let Some(downtrack) = participant.downtracks.iter_mut().filter(|it| it.may_probe()).max_by_key(|it| it.packets_sent()) else {
            return;
        };
        let publication = downtrack.publication.and_then(|at| publications.table.get(at as usize));
        for back in 0..STEP_PACKETS_MAX as u16 {
            if due == 0 {
                return;
            }
            let Some(slot) = out.slot(&path) else {
                stats.drops.count(DropReason::EgressFull);
                return;
            };
            let departure = Departure { transport_sequence: participant.bandwidth.next_sequence(), unix: now.unix, padding: 0 };
            let again = publication.and_then(|publication| downtrack.plan_probe(publication, back));
            let written = match again {
                Some((planned, source)) => downtrack.write(outbound, slot, &planned, &source, departure),
                None => downtrack.write_padding(outbound, slot, departure),
            };
            match written {
                Ok(len) => {
                    let name = PacketName::of(slot);
                    out.commit(len);
                    participant.bandwidth.sent(now.mono, len, name);
                    stats.probe_packets += 1;
                    stats.packets_out += 1;
                    stats.bytes_out += len as u64;
                    due = due.saturating_sub(len);
                }
                Err(_) => {
                    stats.drops.count(DropReason::SrtpSealFailed);
                    return;
                }
            }
        }
    }
}

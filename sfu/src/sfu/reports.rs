//! RTCP: what clients tell us and want, and what they are told.

use pointsman_wire::clock::{Now, NtpTime};
use pointsman_wire::rtcp::{self, FirEntry, Nack, Packet, SenderInfo, Writer};

use super::Sfu;
use crate::bandwidth::PacketName;
use crate::downtrack::Departure;
use crate::participant::drop_reason;
use crate::participant::report::{COMPOUND_LEN_MAX, send_compound};
use crate::publication::{Origin, Publication};
use crate::{DropReason, Egress, MeshMessage, PACKET_LEN_MAX, ParticipantId};

impl Sfu {
    pub(super) fn take_reports(&mut self, now: Now, index: u32, bytes: &[u8], out: &mut impl Egress) -> Result<(), DropReason> {
        let participant = self.participants.get_mut(index as usize).ok_or(DropReason::UnknownPath)?;
        let inbound = participant.transport.srtp_in().ok_or(DropReason::NotConnected)?;
        let mut plain = [0; PACKET_LEN_MAX];
        let len = inbound.unprotect_rtcp(bytes, &mut plain).map_err(drop_reason)?;
        participant.transport.heard_media(now.mono);
        self.stats.rtcp_in += 1;
        for packet in rtcp::packets(&plain[..len]) {
            match packet {
                Ok(packet) => self.take_report(now, index, packet, out),
                // It costs itself only: what came with it is as good as before.
                Err(_) => self.stats.drops.count(DropReason::Malformed),
            }
        }
        self.hasten_share(now, index);
        Ok(())
    }

    fn take_report(&mut self, now: Now, index: u32, packet: Packet<'_>, out: &mut impl Egress) {
        let Some(participant) = self.participants.get_mut(index as usize) else { return };
        match packet {
            Packet::SenderReport(report) => {
                for block in report.blocks() {
                    participant.take_block(now, &block);
                }
                let info = report.info;
                if let Some((at, layer, reference)) = participant.take_sender_report(now, report.ssrc, info.ntp, info.rtp_timestamp)
                    && let Some(publication) = self.publications.table.get_mut(at as usize)
                {
                    publication.set_reference(layer, reference);
                    for &shard in &publication.shards {
                        let message = MeshMessage::Reference { publication: publication.id, layer, reference };
                        if !out.to_shard(shard, message) {
                            self.stats.drops.count(DropReason::MeshFull);
                        }
                    }
                }
            }
            Packet::ReceiverReport(report) => report.blocks().for_each(|block| participant.take_block(now, &block)),
            Packet::Nack(nack) => self.send_again(now, index, &nack, out),
            Packet::Pli { sender: _, media } => self.keyframe_lost(now, index, media, out),
            Packet::Fir(fir) => fir.entries().for_each(|entry| self.keyframe_lost(now, index, entry.ssrc, out)),
            Packet::TransportCc(feedback) => {
                participant.bandwidth.transport_cc(now.mono, &feedback);
                self.estimated(now, index);
            }
            Packet::Congestion(feedback) => {
                participant.bandwidth.congestion(now.mono, &feedback);
                self.estimated(now, index);
            }
            Packet::Remb(remb) => {
                participant.bandwidth.remb(remb.bitrate_bps);
                self.estimated(now, index);
            }
            // A BYE is told by the transport or by control, too.
            Packet::ExtendedReport(_) | Packet::Description(_) | Packet::Bye(_) | Packet::Other { .. } => {}
        }
    }

    /// Answers a NACK from the cache.
    fn send_again(&mut self, now: Now, index: u32, nack: &Nack<'_>, out: &mut impl Egress) {
        let Self { participants, publications, stats, config, .. } = self;
        let Some(participant) = participants.get_mut(index as usize) else { return };
        let quiet = participant.rtt().clamp(config.resend_quiet_min, config.resend_quiet_max);
        let Some(path) = participant.transport.path() else { return };
        let Some(outbound) = participant.transport.srtp_out() else { return };
        let found = participant.downtracks.iter_mut().find(|downtrack| downtrack.spec().ssrc == nack.media);
        let Some(downtrack) = found else { return };
        let Some(publication) = downtrack.publication.and_then(|at| publications.table.get(at as usize)) else { return };
        participant.resends.refill(now.mono, participant.bandwidth.estimate_bps());
        let mut left = config.resent_per_report_max;
        for lost in nack.lost() {
            stats.nacks_in += 1;
            if left == 0 {
                stats.drops.count(DropReason::ResentMax);
                continue;
            }
            let (planned, source) = match downtrack.plan_again(now, publication, lost, quiet) {
                Ok(again) => again,
                Err(reason) => {
                    stats.drops.count(reason);
                    continue;
                }
            };
            if !participant.resends.take(planned.len) {
                stats.drops.count(DropReason::ResentMax);
                continue;
            }
            left -= 1;
            let Some(slot) = out.slot(&path) else {
                stats.drops.count(DropReason::EgressFull);
                continue;
            };
            let transport_sequence = participant.bandwidth.next_sequence();
            let departure = Departure { transport_sequence, unix: now.unix, padding: 0 };
            match downtrack.write(outbound, slot, &planned, &source, departure) {
                Ok(len) => {
                    let name = PacketName::of(slot);
                    out.commit(len);
                    participant.pacer.take(len);
                    if downtrack.is_measured() {
                        participant.bandwidth.sent(now.mono, len, name);
                    }
                    stats.retransmitted += 1;
                    stats.packets_out += 1;
                    stats.bytes_out += len as u64;
                }
                Err(_) => stats.drops.count(DropReason::SrtpSealFailed),
            }
        }
    }

    /// A subscriber has lost its picture.
    fn keyframe_lost(&mut self, now: Now, index: u32, ssrc: u32, out: &mut impl Egress) {
        self.stats.keyframe_requests_in += 1;
        let Some(participant) = self.participants.get(index as usize) else { return };
        let Some(downtrack) = participant.downtracks.iter().find(|downtrack| downtrack.spec().ssrc == ssrc) else { return };
        if let (Some(publication), Some(layer)) = (downtrack.publication, downtrack.keyframe_lost()) {
            self.request_keyframe(now, publication, layer, out);
        }
    }

    /// Somebody needs a keyframe: asks the publisher, directly or through its shard, unless it was asked lately.
    pub(super) fn request_keyframe(&mut self, now: Now, at: u32, layer: u8, out: &mut impl Egress) {
        if let Some(publication) = self.publications.table.get_mut(at as usize) {
            publication.want_keyframe(layer);
            self.ask_for_keyframe(now, at, layer, out);
        }
    }

    /// Asks for a keyframe that is wanted, if the time has come.
    pub(super) fn ask_for_keyframe(&mut self, now: Now, at: u32, layer: u8, out: &mut impl Egress) {
        let Some(publication) = self.publications.table.get_mut(at as usize) else { return };
        let Some(count) = publication.ask_keyframe(now.mono, layer, self.config.keyframe_interval_min) else { return };
        match publication.origin {
            Origin::Unknown => {}
            Origin::Here(index) => {
                self.send_keyframe_request(index, at, layer, count, out);
            }
            Origin::Shard { shard, .. } => {
                let message = MeshMessage::KeyframeWanted { publication: publication.id, layer };
                if !out.to_shard(shard, message) {
                    self.stats.drops.count(DropReason::MeshFull);
                }
            }
        }
    }

    fn send_keyframe_request(&mut self, index: u32, at: u32, layer: u8, count: u8, out: &mut impl Egress) -> Option<()> {
        let participant = self.participants.get_mut(index as usize)?;
        let (media, format) = participant.media_of(at, layer)?;
        let mut space = [0; COMPOUND_LEN_MAX];
        let mut writer = Writer::new(&mut space);
        if format.is_some_and(|format| format.fir && !format.pli) {
            writer.fir(participant.feedback_ssrc, &[FirEntry { ssrc: media, sequence: count }])?;
        } else {
            writer.pli(participant.feedback_ssrc, media)?;
        }
        let len = writer.len();
        self.stats.keyframe_requests_out += 1;
        send_compound(&mut participant.transport, &space[..len], &mut self.stats, out);
        Some(())
    }

    /// At the end of a turn, for those who sent something in it.
    pub(super) fn send_urgent_feedback(&mut self, now: Now, index: u32, out: &mut impl Egress) {
        if let Some(participant) = self.participants.get_mut(index as usize)
            && participant.connected
        {
            participant.send_feedback(now, &self.config, &mut self.stats, out);
            self.schedule(index);
        }
    }

    pub(super) fn participant_due(&mut self, now: Now, index: u32, id: ParticipantId, out: &mut impl Egress) {
        let Some(participant) = self.participants.get_mut(index as usize) else { return };
        // Another has its place now, or something earlier came up and fired before.
        if participant.id != id || participant.timer.is_none_or(|timer| timer > now.mono) {
            return;
        }
        participant.timer = None;
        if participant.transport.poll_timeout().is_some_and(|due| due <= now.mono)
            && let Err(reason) = participant.transport.handle_timeout(now, out)
        {
            self.stats.drops.count(reason);
        }
        if participant.connected {
            participant.send_feedback(now, &self.config, &mut self.stats, out);
            if participant.reports_due.is_some_and(|due| due <= now.mono) {
                participant.reports_due = Some(now.mono + self.config.report_look_interval);
                participant.bandwidth.look(now.mono);
                self.send_reports(now, index, out);
                self.estimated(now, index);
            }
            self.share_if_due(now, index);
            self.send_padding(now, index, out);
        }
        self.drain_transport(now, index);
    }

    /// Sender reports of the downtracks for which one is due, and a receiver report.
    fn send_reports(&mut self, now: Now, index: u32, out: &mut impl Egress) {
        let Self { participants, publications, stats, config, .. } = self;
        let Some(participant) = participants.get_mut(index as usize) else { return };
        if participant.receiver_report_due(now.mono, config.receiver_report_interval) {
            participant.send_receiver_report(now, stats, out);
        }
        let mut space = [0; COMPOUND_LEN_MAX];
        let mut writer = Writer::new(&mut space);
        for downtrack in participant.downtracks.iter_mut() {
            let publication: Option<&Publication> = downtrack.publication.and_then(|at| publications.table.get(at as usize));
            let Some(report) = publication.and_then(|it| downtrack.report(now, it, config.sender_report_interval)) else { continue };
            let info = SenderInfo {
                ntp: NtpTime::from_unix(now.unix),
                rtp_timestamp: report.timestamp,
                packets: report.packets,
                octets: report.octets,
            };
            let cname = &downtrack.spec().cname;
            if writer.len() + SENDER_REPORT_LEN + DESCRIPTION_LEN + cname.len() > COMPOUND_LEN_MAX {
                let len = writer.len();
                send_compound(&mut participant.transport, &space[..len], stats, out);
                writer = Writer::new(&mut space);
            }
            // Both fit; a CNAME that is too long is left out.
            let _ = writer.sender_report(report.ssrc, &info, &[]).and_then(|()| writer.cname(report.ssrc, cname));
        }
        let len = writer.len();
        if len > 0 {
            send_compound(&mut participant.transport, &space[..len], stats, out);
        }
    }
}

const SENDER_REPORT_LEN: usize = 28;
/// Without the CNAME itself.
const DESCRIPTION_LEN: usize = 16;

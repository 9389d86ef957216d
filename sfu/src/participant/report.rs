//! What a participant is told about its own streams, and how its clock and its way are.

use std::time::{Duration, Instant};

use pointsman_wire::clock::{Now, NtpTime};
use pointsman_wire::rtcp::{ReportBlock, Writer};
use pointsman_wire::rtp;

use super::{Participant, Role};
use crate::downtrack::Downtrack;
use crate::feedback::nack::NackGenerator;
use crate::feedback::reception::{Reception, round_trip};
use crate::feedback::twcc::Written;
use crate::{CodecSpec, Config, DropReason, Egress, Kind, ReferenceTime, Stats};

/// Longest compound that is sent, in bytes, so that it fits any path.
pub const COMPOUND_LEN_MAX: usize = 1150;
/// Lost packets named in one NACK at most.
const NACK_MAX: usize = 64;
/// Report blocks in one receiver report (RFC 3550 section 6.4.2).
const BLOCKS_MAX: usize = 31;

/// What is kept about a stream for its sender's sake.
#[derive(Debug)]
pub struct Uplink {
    nack: NackGenerator,
    reception: Reception,
    clock_rate: u32,
}

impl Uplink {
    pub fn new(ssrc: u32) -> Self {
        Self { nack: NackGenerator::new(), reception: Reception::new(ssrc, 90_000), clock_rate: 90_000 }
    }

    pub fn received(&mut self, now: Now, config: &Config, index: u64, timestamp: u32, format: &CodecSpec) {
        if self.clock_rate != format.clock_rate {
            self.clock_rate = format.clock_rate;
            self.reception.set_clock_rate(format.clock_rate);
        }
        self.reception.received(now.mono, index, timestamp);
        if format.nack {
            self.nack.received(now.mono, index, &config.nack);
        }
    }

    pub fn repaired(&mut self, now: Now, config: &Config, index: u64) {
        self.nack.received(now.mono, index, &config.nack);
    }
}

impl Participant {
    /// An authentic packet came: what congestion control wants to know of it.
    pub(super) fn arrived(&mut self, now: Now, config: &Config, header: &rtp::Header, datagram: &[u8]) {
        let Some(value) = self.extensions.transport_cc.and_then(|id| header.extension(datagram, id)) else { return };
        if let Some(rtp::TransportSequence(sequence)) = rtp::TransportSequence::parse(value) {
            self.twcc.received(now.mono, sequence, &config.twcc);
            self.twcc_media = header.ssrc;
        }
    }

    /// Reports begin with the connection; the first come early.
    pub fn begin_reports(&mut self, now: Now, config: &Config) {
        self.reports_due = Some(now.mono + config.report_look_interval);
    }

    /// When [`Participant::send_feedback`], the reports or the transport have something to do.
    pub fn next_due(&self) -> Option<Instant> {
        let media = if self.connected {
            let nacks = self.streams.values().filter_map(|stream| stream.uplink.nack.next_due()).min();
            [self.twcc.next_due(), nacks, self.reports_due, self.bandwidth.next_due(), self.share_due].into_iter().flatten().min()
        } else {
            None
        };
        [media, self.transport.poll_timeout()].into_iter().flatten().min()
    }

    /// Asks for what was lost and tells what arrived, as far as either is due.
    pub fn send_feedback(&mut self, now: Now, config: &Config, stats: &mut Stats, out: &mut impl Egress) {
        let rtt = self.rtt();
        let mut space = [0; COMPOUND_LEN_MAX];
        let mut writer = Writer::new(&mut space);
        for (&ssrc, stream) in &mut self.streams {
            if stream.role != Role::Media || stream.uplink.nack.next_due().is_none_or(|due| due > now.mono) {
                continue;
            }
            let mut lost = [0; NACK_MAX];
            let count = stream.uplink.nack.collect(now.mono, rtt, &config.nack, &mut lost);
            if count > 0 && writer.nack(self.feedback_ssrc, ssrc, lost[..count].iter().copied()).is_some() {
                stats.nacks_out += count as u64;
            }
        }
        let twcc_due = self.twcc.next_due().is_some_and(|due| due <= now.mono);
        let mut more = twcc_due;
        loop {
            if more {
                more = self.twcc.write(now.mono, self.feedback_ssrc, self.twcc_media, &config.twcc, &mut writer) == Written::More;
            }
            let len = writer.len();
            if len > 0 {
                send_compound(&mut self.transport, &space[..len], stats, out);
            }
            if !more {
                return;
            }
            writer = Writer::new(&mut space);
        }
    }

    /// How its streams have come in since the last report.
    pub fn send_receiver_report(&mut self, now: Now, stats: &mut Stats, out: &mut impl Egress) {
        let mut blocks: [Option<ReportBlock>; BLOCKS_MAX] = [None; BLOCKS_MAX];
        let media = self.streams.values_mut().filter(|stream| stream.role == Role::Media);
        let mut count = 0;
        for (place, block) in blocks.iter_mut().zip(media.filter_map(|stream| stream.uplink.reception.report(now.mono))) {
            *place = Some(block);
            count += 1;
        }
        if count == 0 {
            return;
        }
        let mut space = [0; COMPOUND_LEN_MAX];
        let mut writer = Writer::new(&mut space);
        let mut flat = [ReportBlock::default(); BLOCKS_MAX];
        for (flat, block) in flat.iter_mut().zip(blocks.into_iter().flatten()) {
            *flat = block;
        }
        if writer.receiver_report(self.feedback_ssrc, &flat[..count]).is_some() {
            let len = writer.len();
            send_compound(&mut self.transport, &space[..len], stats, out);
        }
    }

    /// A sender report came. Returns the place of its publication, the layer and when its timestamps were by our clock.
    pub fn take_sender_report(&mut self, now: Now, ssrc: u32, ntp: NtpTime, timestamp: u32) -> Option<(u32, u8, ReferenceTime)> {
        let stream = self.streams.get_mut(&ssrc)?;
        stream.uplink.reception.sender_report(now.mono, ntp);
        let (receiver, layer) = (self.receivers.get(usize::from(stream.receiver))?, stream.layer);
        let sent_us = ((u128::from(ntp.0) * 1_000_000) >> 32) as i128;
        let distance = now.unix.as_micros() as i128 - sent_us;
        // The least distance has the least of the way in it. It may grow slowly: clocks drift apart.
        let known = self.clock_distance.map_or(distance, |known| known + (distance - known).clamp(-i128::MAX, DRIFT_US));
        self.clock_distance = Some(known);
        let unix = Duration::from_micros(u64::try_from(sent_us + known).ok()?);
        // Their NTP time counts from 1900.
        let epoch_us = i128::from(NtpTime::from_unix(Duration::ZERO).0 >> 32) * 1_000_000;
        let ahead_us = i64::try_from(known + epoch_us).ok();
        Some((receiver.publication, layer, ReferenceTime { unix, timestamp, ahead_us }))
    }

    /// Report blocks of the client on our streams.
    pub fn take_block(&mut self, now: Now, block: &ReportBlock) {
        let sound = |downtrack: &Downtrack| downtrack.spec().ssrc == block.ssrc && downtrack.spec().kind == Kind::Audio;
        if self.downtracks.iter().any(sound) {
            self.redundancy.report(now.mono, block.fraction_lost);
        }
        let Some(rtt) = round_trip(now.unix, block) else { return };
        self.bandwidth.round_trip(rtt);
    }
}

/// What the clock distance may grow by with one report.
const DRIFT_US: i128 = 100;

/// Protects a compound and sends it.
pub fn send_compound(transport: &mut crate::transport::Transport, compound: &[u8], stats: &mut Stats, out: &mut impl Egress) {
    let Some(path) = transport.path() else { return };
    let Some(outbound) = transport.srtp_out() else { return };
    let Some(slot) = out.slot(&path) else {
        stats.drops.count(DropReason::EgressFull);
        return;
    };
    match outbound.protect_rtcp(compound, slot) {
        Ok(len) => {
            out.commit(len);
            stats.rtcp_out += 1;
        }
        Err(_) => stats.drops.count(DropReason::SrtpSealFailed),
    }
}

//! Body of the fuzz target `data_channel`: an association that stands, and a peer that says anything.

use std::time::{Duration, Instant};

use pointsman_wire::sctp::{self, Chunk};

use super::{ChannelsOpen, Data, DataConfig, DataEvent, DataSpec, PayloadBudget};
use crate::DtlsRole;

/// What must hold for any input. It is read as packets, each behind its length in two bytes; a packet is a list of chunks, whose TSNs count
/// from where the peer stands. Headers and checksums are made right: what DTLS protects comes whole.
#[expect(clippy::disallowed_methods, reason = "a virtual clock has to start somewhere")]
pub fn fuzz(mut input: &[u8]) {
    let start = Instant::now();
    let config = DataConfig::default();
    let spec = DataSpec { port: 5000, message_bytes_max: 65_536 };
    let mut ours = Data::new(&config, spec, DtlsRole::Server, start);
    let mut theirs = Data::new(&config, spec, DtlsRole::Client, start);
    let budget = PayloadBudget::new(1 << 20);
    let mut last = Vec::new();
    let mut next_tsn = 0;
    for _ in 0..4 {
        while let Some(packet) = theirs.poll_packet(start) {
            if let Some(Ok(Chunk::Init { tsn })) = sctp::chunks(&packet).next() {
                next_tsn = tsn;
            }
            last = packet.to_vec();
            ours.handle_packet(start, &packet).expect("an honest peer's packet");
        }
        while let Some(packet) = ours.poll_packet(start) {
            theirs.handle_packet(start, &packet).expect("an honest peer's packet");
        }
    }
    let header: [u8; sctp::HEADER_LEN] = *last.first_chunk().expect("a handshake has packets");
    let mut now = start;
    let mut packets = 0;
    while let Some((&[l0, l1], rest)) = input.split_first_chunk()
        && packets < 64
    {
        let len = usize::from(u16::from_be_bytes([l0, l1])).min(rest.len());
        let (chunks, rest) = rest.split_at(len);
        input = rest;
        packets += 1;
        // The bits above a packet's longest length move the clock.
        now += Duration::from_millis(u64::from(l0 >> 3) * 50);
        let mut packet = header.to_vec();
        packet.extend_from_slice(chunks);
        shift_tsns(&mut packet, next_tsn);
        let checksum = sctp::checksum(&packet);
        packet[8..12].copy_from_slice(&checksum.to_le_bytes());
        // Refused or not.
        let _ = ours.handle_packet(now, &packet);
        ours.handle_timeout(now);
        let mut events = 0;
        while let Some(event) = ours.poll_event(now, &budget, &mut |_| {}) {
            events += 1;
            assert!(events < 10_000, "reading comes to an end");
            match event {
                DataEvent::Message(message) => {
                    assert!(message.payload.bytes().len() <= config.message_bytes_max as usize);
                    assert!(!message.text || std::str::from_utf8(message.payload.bytes()).is_ok());
                    let _ = ours.send(&message);
                }
                DataEvent::Channels(ChannelsOpen { .. }) | DataEvent::Lost(_) => {}
            }
        }
        assert!(ours.channels.len() <= config.channels_max);
        let mut sent = 0;
        while ours.poll_packet(now).is_some() {
            sent += 1;
            assert!(sent < 10_000, "sending comes to an end");
        }
    }
}

/// Adds to the TSN of every DATA chunk and to the new cumulative TSN of every FORWARD TSN.
fn shift_tsns(packet: &mut [u8], by: u32) {
    let mut at = sctp::HEADER_LEN;
    while let Some(&[kind, _, l0, l1]) = packet.get(at..).and_then(|rest| rest.first_chunk::<4>()) {
        let len = usize::from(u16::from_be_bytes([l0, l1]));
        if matches!(kind, 0 | 192)
            && let Some(field) = packet.get_mut(at + 4..at + 8)
        {
            let tsn = u32::from_be_bytes([field[0], field[1], field[2], field[3]]).wrapping_add(by);
            field.copy_from_slice(&tsn.to_be_bytes());
        }
        at += len.max(4).next_multiple_of(4);
    }
}

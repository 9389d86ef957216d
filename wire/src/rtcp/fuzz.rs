//! What must hold for any input.

use super::{DelaySinceReference, Packet, TransportCc, Writer, XrBlock, packets};

/// Body of the fuzz target `rtcp`: reads all there is; what has a writer must read the same after it was written again.
pub fn fuzz(compound: &[u8]) {
    for packet in packets(compound) {
        let Ok(packet) = packet else { continue };
        let mut space = [0; 4096];
        let mut writer = Writer::new(&mut space);
        let Some(()) = rewrite(&packet, &mut writer) else { continue };
        let len = writer.len();
        let again = packets(&space[..len]).next().expect("something was written").expect("what we write parses");
        assert!(same(&packet, &again), "{packet:?} became {again:?}");
    }
}

/// Writes a parsed packet again. `None` for what has no writer.
fn rewrite(packet: &Packet<'_>, writer: &mut Writer<'_>) -> Option<()> {
    match packet {
        Packet::SenderReport(it) => writer.sender_report(it.ssrc, &it.info, &it.blocks().collect::<Vec<_>>()),
        Packet::ReceiverReport(it) => writer.receiver_report(it.ssrc, &it.blocks().collect::<Vec<_>>()),
        Packet::Description(it) => {
            let chunk = it.chunks().next()?;
            writer.cname(chunk.ssrc, str::from_utf8(chunk.cname?).ok()?)
        }
        Packet::Bye(it) => writer.bye(&it.ssrcs().collect::<Vec<_>>()),
        Packet::Nack(it) => writer.nack(it.sender, it.media, it.lost()),
        Packet::TransportCc(it) => {
            let arrivals = || it.arrivals().zip(1 << 16..).filter_map(|(it, at)| Some((at, it.at_ticks?)));
            let taken = writer.transport_cc(it.sender, it.media, it.feedback_count, 1 << 16, arrivals())?;
            (taken == arrivals().count()).then_some(())
        }
        Packet::Congestion(it) => {
            let blocks = it.blocks().map(|block| (block.ssrc, block.begin_sequence, block.reports()));
            writer.congestion(it.sender, blocks, it.timestamp)
        }
        Packet::Pli { sender, media } => writer.pli(*sender, *media),
        Packet::Fir(it) => writer.fir(it.sender, &it.entries().collect::<Vec<_>>()),
        Packet::Remb(it) => writer.remb(it.sender, it.bitrate_bps, &it.ssrcs().collect::<Vec<_>>()),
        Packet::ExtendedReport(it) => match it.blocks().next()? {
            XrBlock::ReferenceTime(ntp) => writer.reference_time(it.ssrc, ntp),
            XrBlock::DelaySinceReference(answers) => {
                writer.delay_since_reference(it.ssrc, &answers.iter().map(DelaySinceReference::parse).collect::<Vec<_>>())
            }
            XrBlock::Other { .. } => None,
        },
        Packet::Other { .. } => None,
    }
}

/// Whether two packets say the same, as far as [`rewrite`] keeps it.
fn same(one: &Packet<'_>, other: &Packet<'_>) -> bool {
    match (one, other) {
        (Packet::SenderReport(a), Packet::SenderReport(b)) => (a.ssrc, a.info) == (b.ssrc, b.info) && a.blocks().eq(b.blocks()),
        (Packet::ReceiverReport(a), Packet::ReceiverReport(b)) => a.ssrc == b.ssrc && a.blocks().eq(b.blocks()),
        (Packet::Description(a), Packet::Description(b)) => a.chunks().next() == b.chunks().next(),
        (Packet::Bye(a), Packet::Bye(b)) => a.ssrcs().eq(b.ssrcs()),
        (Packet::Nack(a), Packet::Nack(b)) => {
            let (mut lost, mut again) = (a.lost().collect::<Vec<_>>(), b.lost().collect::<Vec<_>>());
            lost.sort_unstable();
            lost.dedup();
            again.sort_unstable();
            again.dedup();
            (a.sender, a.media) == (b.sender, b.media) && lost == again
        }
        (Packet::TransportCc(a), Packet::TransportCc(b)) => {
            // Missing packets before the first and after the last arrival are not written.
            let received = |it: &TransportCc<'_>| it.arrivals().filter_map(|it| it.at_ticks).collect::<Vec<_>>();
            let (a, b) = (received(a), received(b));
            // The clock wraps with the 24 bits of the reference time.
            let wrapped = |(a, b): (&i64, &i64)| (a - b).rem_euclid(1 << 32) == 0;
            a.len() == b.len() && a.iter().zip(&b).all(wrapped)
        }
        (Packet::Congestion(a), Packet::Congestion(b)) => {
            (a.sender, a.timestamp) == (b.sender, b.timestamp)
                && a.blocks().count() == b.blocks().count()
                && a.blocks()
                    .zip(b.blocks())
                    .all(|(a, b)| (a.ssrc, a.begin_sequence) == (b.ssrc, b.begin_sequence) && a.reports().eq(b.reports()))
        }
        (Packet::Pli { sender, media }, Packet::Pli { sender: s, media: m }) => (sender, media) == (s, m),
        (Packet::Fir(a), Packet::Fir(b)) => a.sender == b.sender && a.entries().eq(b.entries()),
        (Packet::Remb(a), Packet::Remb(b)) => (a.sender, a.bitrate_bps) == (b.sender, b.bitrate_bps) && a.ssrcs().eq(b.ssrcs()),
        (Packet::ExtendedReport(a), Packet::ExtendedReport(b)) => {
            a.ssrc == b.ssrc
                && match (a.blocks().next(), b.blocks().next()) {
                    (Some(XrBlock::ReferenceTime(a)), Some(XrBlock::ReferenceTime(b))) => a == b,
                    (Some(XrBlock::DelaySinceReference(a)), Some(XrBlock::DelaySinceReference(b))) => a == b,
                    _ => false,
                }
        }
        _ => false,
    }
}

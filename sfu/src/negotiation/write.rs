//! What we say: answers and offers as descriptions.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use super::Negotiation;
use super::line::{Line, Ours};
use crate::sdp::{
    Candidate, Description, Direction, Fragment, FragmentMedia, Media, Rid, RidDirection, Setup, Simulcast, SsrcAttribute, SsrcGroup,
    Transport,
};
use crate::{DtlsRole, Front};

/// The answer to `offer`, whose m-lines have just been taken.
pub(super) fn answer(negotiation: &Negotiation, offer: &Description) -> Description {
    let active = |mid: &&String| negotiation.lines.iter().any(|line| line.active && line.mid == **mid);
    let bundle = offer.bundle.as_ref().map(|mids| mids.iter().filter(active).cloned().collect::<Vec<_>>());
    let setup = match negotiation.spec.dtls_role {
        DtlsRole::Server => Setup::Passive,
        DtlsRole::Client => Setup::Active,
    };
    describe(negotiation, bundle, offer.extmap_allow_mixed, setup)
}

/// RFC 8839 section 5.6: an option is confirmed, not introduced.
pub(super) fn understood_options(offer: &Description) -> Vec<String> {
    let mut offered: Vec<&String> = offer.transport.ice_options.iter().collect();
    offered.extend(offer.media.iter().take(1).flat_map(|media| &media.transport.ice_options));
    offered.dedup();
    offered.into_iter().filter(|option| ["ice2", "trickle"].contains(&option.as_str())).cloned().collect()
}

/// The answer to an ICE restart without a description (RFC 9725 section 4.3.3): the same `ice-lite` and `ice-options` as before, and all
/// that stood on the tagged m-line (RFC 9143 section 2), which alone gathers candidates.
pub(super) fn fragment(negotiation: &Negotiation) -> Fragment {
    let active = || negotiation.lines.iter().filter(|line| line.active);
    let addresses = &negotiation.config.candidates;
    let media = active().next().map(|line| FragmentMedia {
        line: format!(
            "{} 9 {} {}",
            line.media_kind.as_str(),
            line.protocol,
            line.codecs.written.first().map_or(0, |format| format.payload_type)
        ),
        mid: line.mid_written.then(|| line.mid.clone()),
        candidates: addresses.iter().enumerate().map(|(index, address)| host_candidate(index, *address)).collect(),
        end_of_candidates: true,
    });
    Fragment {
        credentials: negotiation.spec.local.clone(),
        ice_lite: true,
        ice_options: negotiation.ice_options.clone(),
        bundle: active().filter(|line| line.mid_written).map(|line| line.mid.clone()).collect(),
        media: media.into_iter().collect(),
    }
}

/// An offer with every m-line there is.
pub(super) fn offer(negotiation: &Negotiation) -> Description {
    let bundle = negotiation.lines.iter().filter(|line| line.active).map(|line| line.mid.clone()).collect();
    describe(negotiation, Some(bundle), true, Setup::ActPass)
}

fn describe(negotiation: &Negotiation, bundle: Option<Vec<String>>, extmap_allow_mixed: bool, setup: Setup) -> Description {
    let first = bundle.iter().flatten().next();
    let transport = Transport {
        ufrag: Some(negotiation.spec.local.ufrag.clone()),
        pwd: Some(negotiation.spec.local.pwd.clone()),
        ice_options: negotiation.ice_options.clone(),
        setup: Some(setup),
        fingerprints: vec![negotiation.config.fingerprint],
        other_fingerprints: false,
    };
    let media = negotiation.lines.iter().enumerate().map(|(index, line)| {
        if !line.active {
            return rejected(line);
        }
        let tagged = first.is_none_or(|mid| *mid == line.mid);
        let offered = index >= negotiation.confirmed;
        let direction = if offered { Direction::SendOnly } else { line.direction() };
        let addresses = &negotiation.config.candidates;
        if line.data.is_some() {
            return data_channels(line, &transport, addresses, tagged, negotiation.config.data_message_bytes_max);
        }
        let mut media = accepted(line, direction, &transport, addresses, tagged);
        // RFC 9725 section 4.4.1 wants it of answers too, which RFC 8858 section 3 leaves to offers.
        media.rtcp_mux_only = negotiation.spec.front == Front::Http;
        media
    });
    Description {
        session_id: negotiation.session_id,
        version: negotiation.version,
        bundle: bundle.clone(),
        ice_lite: true,
        extmap_allow_mixed,
        transport: Transport::default(),
        direction: None,
        media: media.collect(),
    }
}

/// Port zero; the rest has no meaning (RFC 3264 section 6).
fn rejected(line: &Line) -> Media {
    let mut media = Media::new(line.media_kind.clone(), 0, &line.protocol);
    media.formats.clone_from(&line.formats);
    media.connection = Some(IpAddr::V4(Ipv4Addr::UNSPECIFIED));
    media.mid = line.mid_written.then(|| line.mid.clone());
    media.direction = Some(Direction::Inactive);
    media
}

/// Credentials and fingerprint stand on every m-line: RFC 9143 section 7.1.3 wants them on the tagged one only, but there are clients that
/// look at each. Candidates are many and stand on the tagged one.
fn reachable(line: &Line, transport: &Transport, addresses: &[SocketAddr], tagged: bool) -> Media {
    let default = addresses.first().copied().unwrap_or(SocketAddr::from((Ipv4Addr::UNSPECIFIED, 9)));
    let mut media = Media::new(line.media_kind.clone(), default.port(), &line.protocol);
    media.connection = Some(default.ip());
    if tagged {
        media.candidates = addresses.iter().enumerate().map(|(index, address)| host_candidate(index, *address)).collect();
        media.end_of_candidates = true;
    }
    media.transport = transport.clone();
    media.mid = line.mid_written.then(|| line.mid.clone());
    media
}

/// RFC 8841 section 10: both sides say their port and the longest message that they take.
fn data_channels(line: &Line, transport: &Transport, addresses: &[SocketAddr], tagged: bool, message_bytes_max: u32) -> Media {
    let mut media = reachable(line, transport, addresses, tagged);
    media.formats.clone_from(&line.formats);
    media.sctp_port = Some(crate::data::LOCAL_PORT);
    media.max_message_size = Some(message_bytes_max);
    media
}

fn accepted(line: &Line, direction: Direction, transport: &Transport, addresses: &[SocketAddr], tagged: bool) -> Media {
    let mut media = reachable(line, transport, addresses, tagged);
    media.formats = line.codecs.written.iter().map(|format| format.payload_type.to_string()).collect();
    media.direction = Some(direction);
    media.rtcp_mux = true;
    media.rtcp_rsize = line.rtcp_rsize;
    media.extmap_allow_mixed = line.extmap_allow_mixed;
    media.extensions.clone_from(&line.extensions);
    media.codecs.clone_from(&line.codecs.written);
    media.feedback.clone_from(&line.feedback);
    if let Some(receiver) = &line.receiver {
        media.rids = receiver.rids.iter().map(|id| Rid { id: id.clone(), direction: RidDirection::Recv }).collect();
        media.simulcast =
            (line.simulcast && !receiver.rids.is_empty()).then(|| Simulcast { send: Vec::new(), recv: receiver.rids.clone() });
    }
    if let Some(ours) = line.ours.as_ref().filter(|_| direction.sends()) {
        write_streams(&mut media, ours);
    }
    media
}

fn write_streams(media: &mut Media, ours: &Ours) {
    let Ours { ssrc, rtx_ssrc, stream, track } = ours;
    let has_rtx = media.codecs.iter().any(|format| format.name.eq_ignore_ascii_case("rtx"));
    media.msid = Some((stream.clone(), Some(track.clone())));
    let ssrcs = if has_rtx { vec![*ssrc, *rtx_ssrc] } else { vec![*ssrc] };
    for &ssrc in &ssrcs {
        media.ssrcs.push(SsrcAttribute { ssrc, name: "cname".to_owned(), value: Some(stream.clone()) });
        media.ssrcs.push(SsrcAttribute { ssrc, name: "msid".to_owned(), value: Some(format!("{stream} {track}")) });
    }
    if has_rtx {
        media.ssrc_groups.push(SsrcGroup { semantics: "FID".to_owned(), ssrcs });
    }
}

/// RFC 8445 section 5.1.2: host candidates have type preference 126; the local preference falls with the position in the configuration.
fn host_candidate(index: usize, address: SocketAddr) -> Candidate {
    let local_preference = 65_535 - index.min(65_535) as u32;
    Candidate {
        foundation: (index + 1).to_string(),
        component: 1,
        transport: "udp".to_owned(),
        priority: 126 << 24 | local_preference << 8 | 255,
        address: address.ip().to_string(),
        port: address.port(),
        kind: "host".to_owned(),
    }
}

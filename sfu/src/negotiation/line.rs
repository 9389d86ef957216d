//! m-lines: what a client's description makes of each.

use std::collections::HashSet;

use super::codecs::{self, Codecs};
use super::extensions;
use super::{Negotiation, Place, Refusal, RefusalCause, Role};
use crate::sdp::{Description, Direction, ExtMap, Feedback, Media, MediaKind, RidDirection};
use crate::{DataSpec, Front, Kind, PublicationId, ReceiverSpec, SenderSpec, SsrcSpec};

/// One m-line. Its place in the description never changes; a rejected one may be used anew with another mid.
#[derive(Clone, Debug)]
pub(super) struct Line {
    /// Its index as text when the client writes none.
    pub(super) mid: String,
    pub(super) mid_written: bool,
    /// `None` = neither audio nor video.
    pub(super) kind: Option<Kind>,
    pub(super) media_kind: MediaKind,
    pub(super) protocol: String,
    /// As on the client's m-line, to repeat when it is rejected.
    pub(super) formats: Vec<String>,
    /// `false`: rejected by us or stopped by the client.
    pub(super) active: bool,
    pub(super) codecs: Codecs,
    pub(super) feedback: Vec<Feedback>,
    pub(super) extensions: Vec<ExtMap>,
    pub(super) rtcp_rsize: bool,
    pub(super) extmap_allow_mixed: bool,
    /// The client's layers come with `a=simulcast`.
    pub(super) simulcast: bool,
    pub(super) receiver: Option<ReceiverSpec>,
    pub(super) sender: Option<SenderSpec>,
    /// It carries data channels.
    pub(super) data: Option<DataSpec>,
    /// Numbers and names of what we send; they stay while the m-line lives.
    pub(super) ours: Option<Ours>,
}

#[derive(Clone, Debug)]
pub(super) struct Ours {
    pub(super) ssrc: u32,
    pub(super) rtx_ssrc: u32,
    /// Stream part of the msid, and the CNAME: what shares it is played in step.
    pub(super) stream: String,
    pub(super) track: String,
}

impl Line {
    pub(super) fn new(mid: String, mid_written: bool, media_kind: MediaKind, protocol: &str) -> Self {
        let kind = match media_kind {
            MediaKind::Audio => Some(Kind::Audio),
            MediaKind::Video => Some(Kind::Video),
            MediaKind::Application | MediaKind::Other(_) => None,
        };
        Self {
            mid,
            mid_written,
            kind,
            media_kind,
            protocol: protocol.to_owned(),
            formats: Vec::new(),
            active: false,
            codecs: Codecs::default(),
            feedback: Vec::new(),
            extensions: Vec::new(),
            rtcp_rsize: true,
            extmap_allow_mixed: false,
            simulcast: false,
            receiver: None,
            sender: None,
            data: None,
            ours: None,
        }
    }

    /// Our direction.
    pub(super) fn direction(&self) -> Direction {
        Direction::new(self.sender.is_some(), self.receiver.is_some())
    }

    /// Of the preferred codec, as the client writes it.
    pub(super) fn codec_name(&self) -> &str {
        self.codecs.written.first().map_or("", |format| &format.name)
    }
}

/// RFC 8829 sections 5.2.2 and 5.3: m-lines keep their order, and their mid while they are in use.
pub(super) fn check_order(lines: &[Line], theirs: &Description, role: Role) -> Result<(), Refusal> {
    let (before, now) = (lines.len(), theirs.media.len());
    if now < before {
        return Err(Refusal::new(RefusalCause::LinesMissing { before, now }));
    }
    if now > before && role == Role::Offerer {
        return Err(Refusal::new(RefusalCause::LinesAdded { before, now }));
    }
    for (index, (line, media)) in lines.iter().zip(&theirs.media).enumerate().filter(|(_, (line, _))| line.active) {
        if media.mid.as_ref().is_some_and(|mid| *mid != line.mid) {
            return Err(Refusal::at(Place::of(index, media), RefusalCause::MidChanged { before: line.mid.clone() }));
        }
        if media.kind != line.media_kind {
            return Err(Refusal::at(Place::of(index, media), RefusalCause::KindChanged));
        }
    }
    Ok(())
}

/// The m-lines of a client's description that we can take, before looking at codecs.
pub(super) struct Accepted(Vec<bool>);

impl Accepted {
    pub(super) fn holds(&self, index: usize) -> bool {
        self.0.get(index).copied().unwrap_or(false)
    }

    /// RFC 9143 section 7.3.2: the first acceptable one of the group stands for its transport.
    pub(super) fn tagged(&self, theirs: &Description) -> Option<usize> {
        let index_of = |mid: &String| theirs.media.iter().position(|media| media.mid.as_ref() == Some(mid));
        let bundled = theirs.bundle.iter().flatten().filter_map(index_of).find(|&index| self.holds(index));
        bundled.or_else(|| self.0.iter().position(|accepted| *accepted))
    }
}

/// `data`: m-lines of data channels are taken, too. One transport carries one association, so it is the first that counts.
pub(super) fn accepted(theirs: &Description, data: bool) -> Result<Accepted, Refusal> {
    let first = theirs.media.iter().find(|media| data && data_spec(media).is_some());
    let wanted = |media: &Media| match media.kind {
        MediaKind::Audio | MediaKind::Video => !media.is_rejected() && media.protocol.contains("RTP/SAVP"),
        MediaKind::Application => first.is_some_and(|first| std::ptr::eq(first, media)),
        MediaKind::Other(_) => false,
    };
    let group: HashSet<&str> = theirs.bundle.iter().flatten().map(String::as_str).collect();
    let bundled = |media: &Media| media.mid.as_deref().is_some_and(|mid| group.contains(mid));
    let wanted_count = theirs.media.iter().filter(|media| wanted(media)).count();
    // One m-line alone needs no group.
    let alone = wanted_count == 1 && theirs.bundle.is_none();
    let accepted: Vec<bool> = theirs.media.iter().map(|media| wanted(media) && (alone || bundled(media))).collect();
    if wanted_count > 0 && !accepted.contains(&true) {
        return Err(Refusal::new(RefusalCause::NotBundled));
    }
    Ok(Accepted(accepted))
}

impl Negotiation {
    pub(super) fn take_line(&mut self, index: usize, media: &Media, theirs: &Description, accepted: bool) -> Result<(), Refusal> {
        let mid = media.mid.clone().unwrap_or_else(|| index.to_string());
        // A line that is new, or used anew under another mid, starts empty; `check_order` has refused all else.
        let fresh = self.lines.get(index).is_none_or(|line| line.mid != mid || line.media_kind != media.kind);
        if fresh {
            let line = Line::new(mid, media.mid.is_some(), media.kind.clone(), &media.protocol);
            match self.lines.get_mut(index) {
                Some(old) => *old = line,
                None => self.lines.push(line),
            }
        }
        let direction = media.direction.or(theirs.direction).unwrap_or(Direction::SendRecv);
        let Some(mut line) = self.lines.get(index).cloned() else { return Ok(()) };
        // An m-line that had the mid "1" may lose it while another takes it.
        line.mid_written = media.mid.is_some();
        line.formats.clone_from(&media.formats);
        line.rtcp_rsize = media.rtcp_rsize;
        line.extmap_allow_mixed = media.extmap_allow_mixed;
        match line.kind.filter(|_| accepted) {
            Some(kind) => {
                self.take_media(&mut line, kind, media, direction).map_err(|cause| Refusal::at(Place::of(index, media), cause))?
            }
            None if accepted => {
                stop(&mut line);
                line.data = data_spec(media);
                line.active = line.data.is_some();
            }
            None => stop(&mut line),
        }
        if let Some(slot) = self.lines.get_mut(index) {
            *slot = line;
        }
        Ok(())
    }

    fn take_media(&mut self, line: &mut Line, kind: Kind, media: &Media, direction: Direction) -> Result<(), RefusalCause> {
        let we_receive = direction.sends() && self.may_publish;
        let we_send = direction.receives() && self.may_subscribe;
        // RFC 9725 section 4.2 and the WHEP draft: other directions are not for these clients, and section 4.4.3: all m-lines or none.
        if self.spec.front == Front::Http && !we_receive && !we_send {
            return Err(RefusalCause::WrongDirection { may_publish: self.may_publish });
        }
        let codecs = codecs::negotiate(media, kind, we_send && !we_receive);
        if codecs.specs.is_empty() {
            if direction != Direction::Inactive {
                return Err(RefusalCause::NoCodec { offered: codecs::names(media) });
            }
            stop(line);
            return Ok(());
        }
        let extensions = extensions::negotiate(&media.extensions, kind, we_receive, we_send);
        line.active = true;
        line.feedback = codecs::feedback(&codecs.specs);
        line.extensions = extensions.written;
        line.receiver = we_receive.then(|| {
            let before = line.receiver.as_ref();
            let rids = rids(media, self.config.layers_max);
            ReceiverSpec {
                publication: before.map_or_else(|| PublicationId(self.random.number()), |before| before.publication),
                mid: line.mid.clone(),
                kind,
                codecs: codecs.specs.clone(),
                extensions: extensions.received,
                ssrcs: if rids.is_empty() { ssrcs(media, self.config.layers_max) } else { Vec::new() },
                rids,
                muted: before.is_some_and(|before| before.muted),
            }
        });
        line.simulcast = media.simulcast.is_some();
        line.sender = we_send.then(|| {
            let ours = line.ours.get_or_insert_with(|| self.draw_ours(kind)).clone();
            SenderSpec {
                mid: line.mid.clone(),
                kind,
                ssrc: ours.ssrc,
                rtx_ssrc: ours.rtx_ssrc,
                cname: ours.stream,
                codecs: codecs.specs.clone(),
                extensions: extensions.sent,
                source: line.sender.as_ref().and_then(|before| before.source),
                preferences: line.sender.as_ref().map(|before| before.preferences).unwrap_or_default(),
            }
        });
        line.codecs = codecs;
        Ok(())
    }

    /// Numbers that no other m-line of this transport has (RFC 3550 section 8.1).
    pub(super) fn draw_ours(&mut self, kind: Kind) -> Ours {
        let named = self.lines.iter().filter_map(|line| line.receiver.as_ref()).flat_map(|receiver| &receiver.ssrcs);
        let mut taken: HashSet<u32> = named.flat_map(|ssrc| [Some(ssrc.ssrc), ssrc.rtx]).flatten().collect();
        taken.extend(self.lines.iter().filter_map(|line| line.ours.as_ref()).flat_map(|ours| [ours.ssrc, ours.rtx_ssrc]));
        taken.insert(0);
        let mut draw = || loop {
            let ssrc = self.random.number() as u32;
            if taken.insert(ssrc) {
                return ssrc;
            }
        };
        let (ssrc, rtx_ssrc) = (draw(), draw());
        let first_of_kind = !self.lines.iter().any(|line| line.kind == Some(kind) && line.ours.is_some());
        let paired = self.spec.front == Front::Http && first_of_kind;
        let stream = if paired { self.paired_stream.clone() } else { self.random.letters(16) };
        Ours { ssrc, rtx_ssrc, stream, track: self.random.letters(16) }
    }
}

/// Nothing flows on it any more.
fn stop(line: &mut Line) {
    line.active = false;
    line.receiver = None;
    line.sender = None;
    line.data = None;
    line.ours = None;
}

/// What an m-line says of data channels (RFC 8841 section 4); `None`: it wants none.
fn data_spec(media: &Media) -> Option<DataSpec> {
    let named = media.kind == MediaKind::Application && media.formats.iter().any(|format| format == "webrtc-datachannel");
    let carried = matches!(media.protocol.as_str(), "UDP/DTLS/SCTP" | "TCP/DTLS/SCTP");
    let port = media.sctp_port.filter(|port| *port != 0 && named && carried && !media.is_rejected())?;
    Some(DataSpec { port, message_bytes_max: media.max_message_size.unwrap_or(MESSAGE_BYTES_DEFAULT) })
}

/// RFC 8841 section 6.1: who says nothing takes 64 KiB.
const MESSAGE_BYTES_DEFAULT: u32 = 65_536;

/// Simulcast layers as the client lists them (RFC 8853 section 5.3.2); without `a=simulcast`, the streams that `a=rid` names.
fn rids(media: &Media, layers_max: usize) -> Vec<String> {
    let sent: Vec<&String> = media.rids.iter().filter(|rid| rid.direction == RidDirection::Send).map(|rid| &rid.id).collect();
    let layers: Vec<String> = match &media.simulcast {
        Some(simulcast) => simulcast.send.iter().filter(|id| sent.contains(id)).take(layers_max).cloned().collect(),
        None => sent.into_iter().take(layers_max).cloned().collect(),
    };
    layers
}

/// Streams that the description names, each with its RTX (RFC 5576 section 4.2, RFC 4588 section 8.8).
fn ssrcs(media: &Media, layers_max: usize) -> Vec<SsrcSpec> {
    let groups = |semantics: &'static str| media.ssrc_groups.iter().filter(move |group| group.semantics == semantics);
    let repairs: HashSet<u32> =
        media.ssrc_groups.iter().filter(|group| group.semantics != "SIM").flat_map(|group| group.ssrcs.iter().skip(1)).copied().collect();
    let mut primaries: Vec<u32> = match groups("SIM").next() {
        Some(layers) => layers.ssrcs.clone(),
        None => media.ssrcs.iter().map(|attribute| attribute.ssrc).collect(),
    };
    let mut seen = HashSet::new();
    primaries.retain(|ssrc| !repairs.contains(ssrc) && seen.insert(*ssrc));
    let rtx_of = |ssrc: u32| groups("FID").find(|group| group.ssrcs.first() == Some(&ssrc)).and_then(|group| group.ssrcs.get(1).copied());
    primaries.into_iter().take(layers_max).map(|ssrc| SsrcSpec { ssrc, rtx: rtx_of(ssrc) }).collect()
}

//! Which payload types of an m-line we take, and as what.

use crate::sdp::{Feedback, Format, Media};
use crate::{Codec, CodecSpec, Kind};

/// An m-line's common codecs, in the client's order of preference.
#[derive(Clone, Debug, Default)]
pub(super) struct Codecs {
    pub(super) specs: Vec<CodecSpec>,
    /// The same with their RTX, as a description of ours lists them.
    pub(super) written: Vec<Format>,
}

/// Matches what the client lists with what we can forward. Payload types stay the client's. `told`: only we send on the m-line, so that
/// nothing but our packets is told of.
pub(super) fn negotiate(media: &Media, kind: Kind, told: bool) -> Codecs {
    let mut codecs = Codecs::default();
    // RFC 8888 section 6 has it for all payload types or for none.
    let numbered = media.feedback.iter().any(|feedback| feedback.kind.eq_ignore_ascii_case("transport-cc"));
    for format in &media.codecs {
        let Some(codec) = codec_of(format, media).filter(|codec| codec.kind() == kind) else { continue };
        if codecs.specs.iter().any(|spec| spec.payload_type == format.payload_type) {
            continue;
        }
        let feedback = |wanted: &str| has_feedback(&media.feedback, format.payload_type, wanted);
        let transport_cc = feedback("transport-cc");
        let ccfb = told && !numbered && feedback("ack ccfb");
        codecs.specs.push(CodecSpec {
            payload_type: format.payload_type,
            codec,
            clock_rate: format.clock_rate,
            rtx: rtx_of(format, media),
            nack: feedback("nack"),
            pli: feedback("nack pli"),
            fir: feedback("ccm fir"),
            transport_cc,
            ccfb,
            // One way of telling the sender its rate is enough.
            remb: feedback("goog-remb") && !transport_cc && !ccfb,
        });
    }
    let wanted = |payload_type| codecs.specs.iter().any(|spec| spec.payload_type == payload_type || spec.rtx == Some(payload_type));
    codecs.written = media.codecs.iter().filter(|format| wanted(format.payload_type)).cloned().collect();
    codecs
}

/// Names of what the client lists, each once, for the error that says that none is supported.
pub(super) fn names(media: &Media) -> Vec<String> {
    let mut names = Vec::new();
    for format in &media.codecs {
        let name = if format.name.is_empty() { format!("payload type {}", format.payload_type) } else { format.name.clone() };
        if !names.contains(&name) && names.len() < 16 {
            names.push(name);
        }
    }
    names
}

/// What goes into `a=rtcp-fb` of an m-line: whoever receives on it, the other end wants to know what arrives.
pub(super) fn feedback(specs: &[CodecSpec]) -> Vec<Feedback> {
    let mut feedback = Vec::new();
    for spec in specs {
        let kinds = [
            (spec.nack, "nack"),
            (spec.pli, "nack pli"),
            (spec.fir, "ccm fir"),
            (spec.transport_cc, "transport-cc"),
            (spec.remb, "goog-remb"),
        ];
        let kinds = kinds.into_iter().filter(|(set, _)| *set);
        feedback.extend(kinds.map(|(_, kind)| Feedback { payload_type: Some(spec.payload_type), kind: kind.to_owned() }));
    }
    if specs.iter().any(|spec| spec.ccfb) {
        // RFC 8888 section 6: for all payload types, never for one.
        feedback.push(Feedback { payload_type: None, kind: "ack ccfb".to_owned() });
    }
    feedback
}

/// What an offer of ours lists for an m-line on which we send, with payload types that `taken` does not hold.
pub(super) fn offered(kind: Kind, taken: &[u8]) -> (Vec<Format>, Vec<Feedback>) {
    let list: &[(&str, u32, Option<u8>, Option<&str>)] = match kind {
        Kind::Audio => &[("opus", 48_000, Some(2), Some("minptime=10;useinbandfec=1"))],
        Kind::Video => &[
            ("VP8", 90_000, None, None),
            ("H264", 90_000, None, Some("level-asymmetry-allowed=1;packetization-mode=1;profile-level-id=42e01f")),
            ("VP9", 90_000, None, Some("profile-id=0")),
            ("AV1", 90_000, None, Some("profile=0")),
        ],
    };
    // RFC 3551 section 6: 96 to 127 are dynamic.
    let mut free = (96..128).filter(|payload_type| !taken.contains(payload_type));
    let (mut formats, mut feedback): (Vec<Format>, Vec<Feedback>) = (Vec::new(), Vec::new());
    for &(name, clock_rate, channels, parameters) in list {
        let (Some(payload_type), Some(rtx)) = (free.next(), free.next()) else { break };
        formats.push(Format { payload_type, name: name.to_owned(), clock_rate, channels, parameters: parameters.map(str::to_owned) });
        if kind == Kind::Video {
            let parameters = Some(format!("apt={payload_type}"));
            formats.push(Format { payload_type: rtx, name: "rtx".to_owned(), clock_rate, channels: None, parameters });
            let kinds = ["nack", "nack pli", "ccm fir"];
            feedback.extend(kinds.map(|kind| Feedback { payload_type: Some(payload_type), kind: kind.to_owned() }));
        }
        feedback.push(Feedback { payload_type: Some(payload_type), kind: "transport-cc".to_owned() });
    }
    // RFC 2198 section 5: up to two older packets before the newest.
    if let (Kind::Audio, Some(opus), Some(payload_type)) = (kind, formats.first().map(|format| format.payload_type), free.next()) {
        let parameters = Some(format!("{opus}/{opus}"));
        formats.push(Format { payload_type, name: "red".to_owned(), clock_rate: 48_000, channels: Some(2), parameters });
    }
    (formats, feedback)
}

fn codec_of(format: &Format, media: &Media) -> Option<Codec> {
    let named = |name: &str| format.name.eq_ignore_ascii_case(name);
    let number = |key: &str, default: u8| format.parameter(key).map_or(Some(default), |value| value.parse().ok());
    match format.clock_rate {
        // RFC 7587 section 7: always 48000/2.
        48_000 if named("opus") => Some(Codec::Opus),
        48_000 if named("red") && protects_opus(format, media) => Some(Codec::Red),
        90_000 if named("VP8") => Some(Codec::Vp8),
        // RFC 9628 section 6: 0 when absent.
        90_000 if named("VP9") => Some(Codec::Vp9 { profile: number("profile-id", 0).filter(|profile| *profile < 4)? }),
        90_000 if named("AV1") => Some(Codec::Av1 { profile: number("profile", 0).filter(|profile| *profile < 3)? }),
        90_000 if named("H264") => h264_of(format),
        _ => None,
    }
}

/// RFC 2198 section 5: the parameters list the payload types inside.
fn protects_opus(red: &Format, media: &Media) -> bool {
    let Some(inside) = red.parameters.as_deref() else { return false };
    inside.split('/').all(|payload_type| {
        let payload_type = payload_type.trim().parse::<u8>().ok();
        media.codecs.iter().any(|format| Some(format.payload_type) == payload_type && format.name.eq_ignore_ascii_case("opus"))
    })
}

/// RFC 6184 section 8.1. Mode 2 (interleaved) is nothing that browsers or we read.
fn h264_of(format: &Format) -> Option<Codec> {
    let packetization_mode = match format.parameter("packetization-mode") {
        None | Some("0") => 0,
        Some("1") => 1,
        Some(_) => return None,
    };
    // Absent means Baseline level 1, but those who leave it out send Constrained Baseline.
    let id = format.parameter("profile-level-id").unwrap_or("42e01f");
    let id = u32::from_str_radix(id, 16).ok().filter(|_| id.len() == 6)?;
    let (profile_idc, profile_iop) = h264_profile((id >> 16) as u8, (id >> 8) as u8);
    Some(Codec::H264 { profile_idc, profile_iop, packetization_mode })
}

/// One spelling for each profile, since several combinations mean the same (RFC 6184 section 8.1, table 5). Baseline counts as Constrained
/// Baseline: the tools that set them apart (FMO, ASO) are in no encoder of today, while FFmpeg says the one and Firefox the other.
const fn h264_profile(idc: u8, iop: u8) -> (u8, u8) {
    match (idc, iop) {
        // Baseline, constrained or not.
        (0x42, iop) if iop & 0x0f == 0 => (0x42, 0xe0),
        (0x4d, iop) if iop & 0x8f == 0x80 => (0x42, 0xe0),
        (0x58, iop) if iop & 0x8f == 0x80 => (0x42, 0xe0),
        // Main.
        (0x4d, iop) if iop & 0xaf == 0x00 => (0x4d, 0x00),
        other => other,
    }
}

/// RFC 4588 section 8.1: `apt` names the payload type that is repaired.
fn rtx_of(format: &Format, media: &Media) -> Option<u8> {
    let is_its_rtx = |rtx: &&Format| {
        rtx.name.eq_ignore_ascii_case("rtx")
            && rtx.clock_rate == format.clock_rate
            && rtx.parameter("apt").and_then(|apt| apt.parse().ok()) == Some(format.payload_type)
    };
    media.codecs.iter().find(is_its_rtx).map(|rtx| rtx.payload_type)
}

fn has_feedback(feedback: &[Feedback], payload_type: u8, wanted: &str) -> bool {
    let applies = |feedback: &&Feedback| feedback.payload_type.is_none_or(|of| of == payload_type);
    feedback.iter().filter(applies).any(|feedback| feedback.kind.eq_ignore_ascii_case(wanted))
}

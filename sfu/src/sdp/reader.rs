//! Text to [`Description`]. Strict where a wrong reading would break a call, lenient where real clients are odd: line ends of
//! either kind, trailing space, unknown attributes and lines, attributes at session or media level.

use std::collections::HashSet;

use super::attribute::{
    Candidate, ExtMap, Feedback, Format, Rid, Simulcast, SsrcAttribute, SsrcGroup, is_ice_credential, is_token, number, payload_type_of,
    read_fingerprint, read_setup, words,
};
use super::{Description, Direction, Limits, Media, MediaKind, SyntaxError, SyntaxFault, Transport};

pub(super) fn read(text: &str, limits: &Limits) -> Result<Description, SyntaxError> {
    let at = |line: usize| move |fault| SyntaxError { line, fault };
    if text.len() > limits.len_max {
        return Err(at(1)(SyntaxFault::TooLong));
    }
    let mut reader = Reader { description: Description::default(), attributes: 0, limits };
    let mut lines = text.split('\n').map(|line| line.strip_suffix('\r').unwrap_or(line).trim_end_matches(' ')).enumerate();
    if lines.next().is_none_or(|(_, line)| line != "v=0") {
        return Err(at(1)(SyntaxFault::Version));
    }
    let mut last = 1;
    for (index, line) in lines {
        if line.is_empty() {
            continue;
        }
        last = index + 1;
        reader.line(line).map_err(at(last))?;
    }
    if reader.description.media.is_empty() {
        return Err(at(last)(SyntaxFault::NoMedia));
    }
    Ok(reader.description)
}

/// A line's letter and its value.
pub(super) fn split_line<'a>(line: &'a str, limits: &Limits) -> Result<(&'a str, &'a str), SyntaxFault> {
    if line.len() > limits.line_len_max {
        return Err(SyntaxFault::LineTooLong);
    }
    if line.bytes().any(|byte| byte.is_ascii_control() && byte != b'\t') {
        return Err(SyntaxFault::ControlCharacter);
    }
    line.split_once('=').filter(|(kind, _)| kind.len() == 1).ok_or(SyntaxFault::NotALine)
}

struct Reader<'a> {
    description: Description,
    /// Of the m-line that is being read.
    attributes: usize,
    limits: &'a Limits,
}

impl Reader<'_> {
    fn line(&mut self, line: &str) -> Result<(), SyntaxFault> {
        let (kind, value) = split_line(line, self.limits)?;
        match kind {
            "o" => self.origin(value),
            "m" => self.media(value),
            "c" => {
                self.connection(value);
                Ok(())
            }
            "a" => self.attribute(value),
            _ => Ok(()),
        }
    }

    fn origin(&mut self, value: &str) -> Result<(), SyntaxFault> {
        let mut parts = value.split_ascii_whitespace();
        parts.next().ok_or(SyntaxFault::Origin)?;
        // Some clients write more digits than 64 bits hold, or a sign; nothing here depends on the number.
        self.description.session_id = parts.next().ok_or(SyntaxFault::Origin).map(|id| number(id).unwrap_or_default())?;
        self.description.version = parts.next().ok_or(SyntaxFault::Origin).map(|version| number(version).unwrap_or_default())?;
        Ok(())
    }

    fn media(&mut self, value: &str) -> Result<(), SyntaxFault> {
        if self.description.media.len() >= self.limits.media_max {
            return Err(SyntaxFault::TooManyMedia);
        }
        let mut parts = value.split_ascii_whitespace();
        let kind = match parts.next().filter(|kind| is_token(kind)).ok_or(SyntaxFault::MediaLine)? {
            "audio" => MediaKind::Audio,
            "video" => MediaKind::Video,
            "application" => MediaKind::Application,
            other => MediaKind::Other(other.to_owned()),
        };
        let port = parts.next().and_then(|port| number(port.split('/').next()?)).ok_or(SyntaxFault::MediaLine)?;
        let protocol = parts.next().ok_or(SyntaxFault::MediaLine)?;
        let mut media = Media::new(kind, port, protocol);
        media.formats = parts.map(str::to_owned).collect();
        if media.formats.is_empty() {
            return Err(SyntaxFault::MediaLine);
        }
        if matches!(media.kind, MediaKind::Audio | MediaKind::Video) {
            let payload_types = media.formats.iter().filter_map(|format| payload_type_of(format));
            media.codecs = payload_types.map(Format::unmapped).collect();
        }
        self.description.media.push(media);
        self.attributes = 0;
        Ok(())
    }

    fn connection(&mut self, value: &str) {
        if let Some(media) = self.description.media.last_mut() {
            media.connection = value.split_ascii_whitespace().nth(2).and_then(|address| address.split('/').next()?.parse().ok());
        }
    }

    fn attribute(&mut self, attribute: &str) -> Result<(), SyntaxFault> {
        self.attributes += 1;
        if self.attributes > self.limits.attributes_max {
            return Err(SyntaxFault::TooManyAttributes);
        }
        let (name, value) = match attribute.split_once(':') {
            Some((name, value)) => (name, value.trim()),
            None => (attribute, ""),
        };
        let transport = match self.description.media.last_mut() {
            Some(media) => &mut media.transport,
            None => &mut self.description.transport,
        };
        if read_transport(transport, name, value)? {
            return Ok(());
        }
        let Some((media, before)) = self.description.media.split_last_mut() else { return self.session_attribute(name, value) };
        if name == "mid" {
            if before.iter().any(|other| other.mid.as_deref() == Some(value)) {
                return Err(SyntaxFault::DuplicateMid);
            }
            media.mid = Some(read_mid(value)?);
            return Ok(());
        }
        read_media_attribute(media, name, value)
    }

    fn session_attribute(&mut self, name: &str, value: &str) -> Result<(), SyntaxFault> {
        let description = &mut self.description;
        match name {
            "group" => {
                let mut parts = value.split_ascii_whitespace();
                if parts.next().ok_or(SyntaxFault::Group)? == "BUNDLE" && description.bundle.is_none() {
                    description.bundle = Some(read_bundle(parts)?);
                }
            }
            "ice-lite" => description.ice_lite = true,
            "extmap-allow-mixed" => description.extmap_allow_mixed = true,
            _ => description.direction = read_direction(name).or(description.direction),
        }
        Ok(())
    }
}

fn read_bundle<'a>(mids: impl Iterator<Item = &'a str>) -> Result<Vec<String>, SyntaxFault> {
    let mut seen = HashSet::new();
    let mids = mids.map(|mid| if seen.insert(mid) { read_mid(mid) } else { Err(SyntaxFault::Group) });
    mids.collect()
}

fn read_mid(value: &str) -> Result<String, SyntaxFault> {
    (is_token(value) && value.len() <= 255).then(|| value.to_owned()).ok_or(SyntaxFault::Mid)
}

fn read_direction(name: &str) -> Option<Direction> {
    [Direction::SendRecv, Direction::SendOnly, Direction::RecvOnly, Direction::Inactive]
        .into_iter()
        .find(|direction| direction.as_str() == name)
}

/// `Ok(false)`: not a transport attribute.
fn read_transport(transport: &mut Transport, name: &str, value: &str) -> Result<bool, SyntaxFault> {
    match name {
        "ice-ufrag" => transport.ufrag = Some(credential(value, 4)?),
        "ice-pwd" => transport.pwd = Some(credential(value, 22)?),
        "ice-options" => transport.ice_options = value.split_ascii_whitespace().map(str::to_owned).collect(),
        "setup" => transport.setup = Some(read_setup(value).ok_or(SyntaxFault::Setup)?),
        "fingerprint" => match read_fingerprint(value)? {
            Some(fingerprint) => transport.fingerprints.push(fingerprint),
            None => transport.other_fingerprints = true,
        },
        _ => return Ok(false),
    }
    Ok(true)
}

fn credential(value: &str, len_min: usize) -> Result<String, SyntaxFault> {
    is_ice_credential(value, len_min).then(|| value.to_owned()).ok_or(SyntaxFault::IceCredentials)
}

fn read_media_attribute(media: &mut Media, name: &str, value: &str) -> Result<(), SyntaxFault> {
    match name {
        "rtpmap" if media.has_codecs() => {
            let read = Format::read_rtpmap(value).ok_or(SyntaxFault::Rtpmap)?;
            // A payload type that the m-line does not list means nothing (RFC 8866 section 6.6).
            if let Some(format) = media.codecs.iter_mut().find(|format| format.payload_type == read.payload_type) {
                *format = Format { parameters: format.parameters.take(), ..read };
            }
        }
        "fmtp" if media.has_codecs() => {
            let (payload_type, parameters) = value.split_once(' ').ok_or(SyntaxFault::Fmtp)?;
            let payload_type = payload_type_of(payload_type).ok_or(SyntaxFault::Fmtp)?;
            if let Some(format) = media.codecs.iter_mut().find(|format| format.payload_type == payload_type) {
                format.parameters = Some(words(parameters)).filter(|parameters| !parameters.is_empty());
            }
        }
        "rtcp-fb" if media.has_codecs() => media.feedback.push(Feedback::read(value).ok_or(SyntaxFault::RtcpFeedback)?),
        "extmap" => media.extensions.extend(ExtMap::read(value)?),
        "ssrc" => media.ssrcs.push(SsrcAttribute::read(value).ok_or(SyntaxFault::Ssrc)?),
        "ssrc-group" => media.ssrc_groups.push(SsrcGroup::read(value).ok_or(SyntaxFault::SsrcGroup)?),
        "rid" => media.rids.push(Rid::read(value).ok_or(SyntaxFault::Rid)?),
        "simulcast" => media.simulcast = Some(Simulcast::read(value).ok_or(SyntaxFault::Simulcast)?),
        "msid" => {
            let mut parts = value.split_ascii_whitespace();
            let stream = parts.next().ok_or(SyntaxFault::Msid)?;
            media.msid = Some((stream.to_owned(), parts.next().map(str::to_owned)));
        }
        // A candidate that cannot be read is skipped, as RFC 8839 section 5.1 wants of unknown kinds: we would not use it anyway.
        "candidate" => media.candidates.extend(Candidate::read_value(value)),
        "end-of-candidates" => media.end_of_candidates = true,
        "sctp-port" => media.sctp_port = Some(number(value).ok_or(SyntaxFault::SctpPort)?),
        // Digits that 32 bits do not hold: more than we would ever send.
        "max-message-size" => media.max_message_size = Some(max_message_size(value).ok_or(SyntaxFault::MaxMessageSize)?),
        "rtcp-mux" => media.rtcp_mux = true,
        "rtcp-mux-only" => media.rtcp_mux_only = true,
        "rtcp-rsize" => media.rtcp_rsize = true,
        "bundle-only" => media.bundle_only = true,
        "extmap-allow-mixed" => media.extmap_allow_mixed = true,
        _ => media.direction = read_direction(name).or(media.direction),
    }
    Ok(())
}

fn max_message_size(value: &str) -> Option<u32> {
    if value.is_empty() || !value.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(number(value).unwrap_or(u32::MAX))
}

impl Media {
    const fn has_codecs(&self) -> bool {
        matches!(self.kind, MediaKind::Audio | MediaKind::Video)
    }
}

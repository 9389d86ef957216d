//! m-lines that we add to an offer of ours.

use super::Negotiation;
use super::codecs;
use super::extensions;
use super::line::Line;
use crate::Kind;
use crate::sdp::MediaKind;

impl Negotiation {
    /// Adds an m-line on which we will send. Payload types and extension ids are those that the client already uses for the kind, since
    /// they must mean the same on every bundled m-line (RFC 9143 section 9.1).
    pub(super) fn add_line(&mut self, kind: Kind) {
        let media_kind = match kind {
            Kind::Audio => MediaKind::Audio,
            Kind::Video => MediaKind::Video,
        };
        let like = self.lines.iter().find(|line| line.kind == Some(kind) && line.active).cloned();
        let mut line = Line::new(self.free_mid(), true, media_kind, "UDP/TLS/RTP/SAVPF");
        match like {
            Some(like) => {
                line.codecs.written = like.codecs.written;
                line.feedback = codecs::feedback(&like.codecs.specs);
                line.extensions = like.extensions;
            }
            None => {
                let taken: Vec<u8> = self.lines.iter().flat_map(|line| &line.codecs.written).map(|format| format.payload_type).collect();
                (line.codecs.written, line.feedback) = codecs::offered(kind, &taken);
                let used = self.lines.iter().flat_map(|line| &line.extensions).cloned().collect();
                line.extensions = extensions::offered(kind, used);
            }
        }
        line.formats = line.codecs.written.iter().map(|format| format.payload_type.to_string()).collect();
        line.active = true;
        line.ours = Some(self.draw_ours(kind));
        self.lines.push(line);
    }

    /// The first number from that of the m-line on which nobody uses as mid.
    fn free_mid(&self) -> String {
        let mut number = self.lines.len();
        loop {
            let mid = number.to_string();
            if !self.lines.iter().any(|line| line.mid == mid) {
                return mid;
            }
            number += 1;
        }
    }
}

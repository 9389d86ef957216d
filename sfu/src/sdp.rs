//! Session descriptions (RFC 8866) as WebRTC uses them (RFC 8829): a reader, a writer and the value between them.
//!
//! ```text
//!  text ──read──▶ Description ──write──▶ text
//! ```
//! The reader keeps what the SFU acts on and skips the rest, as RFC 8866 section 5.13 asks for unknown attributes. It works on
//! control's side, once per negotiation, so values are owned; their size is bounded by [`Limits`].

mod attribute;
mod error;
mod fragment;
mod reader;
#[cfg(test)]
pub(crate) mod tests;
mod writer;

use std::net::IpAddr;

pub use attribute::{Candidate, CandidateError, ExtMap, Feedback, Format, Rid, RidDirection, Simulcast, SsrcAttribute, SsrcGroup};
pub use error::{SyntaxError, SyntaxFault};
pub use fragment::{Fragment, FragmentMedia};

use crate::Fingerprint;

/// Bounds on what is read. Beyond any of them a description is refused, with the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the whole text. A browser's receiving video m-line takes 6,000, and a gallery of 49 has 98 m-lines.
    pub len_max: usize,
    /// Bytes of one line. Parameter sets of H.264 are the longest honest ones, some hundred bytes.
    pub line_len_max: usize,
    /// m-lines.
    pub media_max: usize,
    /// Attributes of one m-line. Chromium writes 180 for video with all its codecs.
    pub attributes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { len_max: 512 * 1024, line_len_max: 4096, media_max: 128, attributes_max: 512 }
    }
}

/// One session description.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Description {
    pub session_id: u64,
    pub version: u64,
    /// mids of the first BUNDLE group (RFC 9143); `None` when there is none.
    pub bundle: Option<Vec<String>>,
    pub ice_lite: bool,
    pub extmap_allow_mixed: bool,
    /// Transport attributes at session level: they hold for every m-line that has none of its own.
    pub transport: Transport,
    /// Direction at session level, for m-lines without one.
    pub direction: Option<Direction>,
    pub media: Vec<Media>,
}

impl Description {
    /// Reads a description. Total: any text gives a value or an error.
    pub fn read(text: &str, limits: &Limits) -> Result<Self, SyntaxError> {
        reader::read(text, limits)
    }

    /// The text, lines ended by CRLF, in the order of RFC 8866 section 5.
    pub fn write(&self) -> String {
        writer::write(self)
    }
}

/// ICE and DTLS of a session or an m-line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transport {
    pub ufrag: Option<String>,
    pub pwd: Option<String>,
    /// Tokens of `a=ice-options`.
    pub ice_options: Vec<String>,
    pub setup: Option<Setup>,
    /// SHA-256 only.
    pub fingerprints: Vec<Fingerprint>,
    /// Fingerprints with another hash were there and have been skipped.
    pub other_fingerprints: bool,
}

/// One m-line with its attributes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Media {
    pub kind: MediaKind,
    /// 0 = rejected, or bundled with another m-line when [`Media::bundle_only`].
    pub port: u16,
    /// `UDP/TLS/RTP/SAVPF` and the like.
    pub protocol: String,
    /// As on the m-line: payload types, or `webrtc-datachannel`.
    pub formats: Vec<String>,
    /// Address of the c-line, when it is one.
    pub connection: Option<IpAddr>,
    pub mid: Option<String>,
    pub direction: Option<Direction>,
    pub transport: Transport,
    pub bundle_only: bool,
    pub rtcp_mux: bool,
    pub rtcp_mux_only: bool,
    pub rtcp_rsize: bool,
    pub extmap_allow_mixed: bool,
    /// Payload types with their `rtpmap` and `fmtp`, in the order of the m-line.
    pub codecs: Vec<Format>,
    pub feedback: Vec<Feedback>,
    pub extensions: Vec<ExtMap>,
    /// Stream and track of `a=msid`.
    pub msid: Option<(String, Option<String>)>,
    pub ssrcs: Vec<SsrcAttribute>,
    pub ssrc_groups: Vec<SsrcGroup>,
    pub rids: Vec<Rid>,
    pub simulcast: Option<Simulcast>,
    pub candidates: Vec<Candidate>,
    pub end_of_candidates: bool,
    /// RFC 8841 section 5.
    pub sctp_port: Option<u16>,
    /// RFC 8841 section 6.
    pub max_message_size: Option<u32>,
}

impl Media {
    /// An m-line without attributes.
    pub fn new(kind: MediaKind, port: u16, protocol: &str) -> Self {
        Self {
            kind,
            port,
            protocol: protocol.to_owned(),
            formats: Vec::new(),
            connection: None,
            mid: None,
            direction: None,
            transport: Transport::default(),
            bundle_only: false,
            rtcp_mux: false,
            rtcp_mux_only: false,
            rtcp_rsize: false,
            extmap_allow_mixed: false,
            codecs: Vec::new(),
            feedback: Vec::new(),
            extensions: Vec::new(),
            msid: None,
            ssrcs: Vec::new(),
            ssrc_groups: Vec::new(),
            rids: Vec::new(),
            simulcast: None,
            candidates: Vec::new(),
            end_of_candidates: false,
            sctp_port: None,
            max_message_size: None,
        }
    }

    /// RFC 3264 section 6: port zero refuses the m-line, unless it rides on another one's transport (RFC 9143 section 6).
    pub fn is_rejected(&self) -> bool {
        self.port == 0 && !self.bundle_only
    }
}

/// What an m-line is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum MediaKind {
    Audio,
    Video,
    Application,
    Other(String),
}

impl MediaKind {
    pub fn as_str(&self) -> &str {
        match self {
            Self::Audio => "audio",
            Self::Video => "video",
            Self::Application => "application",
            Self::Other(name) => name,
        }
    }
}

/// As seen by who wrote the description.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    SendRecv,
    SendOnly,
    RecvOnly,
    Inactive,
}

impl Direction {
    pub const fn new(sends: bool, receives: bool) -> Self {
        match (sends, receives) {
            (true, true) => Self::SendRecv,
            (true, false) => Self::SendOnly,
            (false, true) => Self::RecvOnly,
            (false, false) => Self::Inactive,
        }
    }

    pub const fn sends(self) -> bool {
        matches!(self, Self::SendRecv | Self::SendOnly)
    }

    pub const fn receives(self) -> bool {
        matches!(self, Self::SendRecv | Self::RecvOnly)
    }

    pub const fn as_str(self) -> &'static str {
        match self {
            Self::SendRecv => "sendrecv",
            Self::SendOnly => "sendonly",
            Self::RecvOnly => "recvonly",
            Self::Inactive => "inactive",
        }
    }
}

/// DTLS role (RFC 8842 section 5.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Setup {
    ActPass,
    Active,
    Passive,
    HoldConn,
}

impl Setup {
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ActPass => "actpass",
            Self::Active => "active",
            Self::Passive => "passive",
            Self::HoldConn => "holdconn",
        }
    }
}

/// Body of the fuzz target: nothing panics, and reading, writing and reading again agree.
#[doc(hidden)]
pub fn fuzz(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = Candidate::read(text);
    let Ok(first) = Description::read(text, &Limits::default()) else { return };
    // Line ends and the fixed lines make what is written a little longer.
    let limits = Limits { len_max: usize::MAX, line_len_max: usize::MAX, media_max: usize::MAX, attributes_max: usize::MAX };
    let Ok(second) = Description::read(&first.write(), &limits) else { panic!("what was written must be readable") };
    assert_eq!(first, second, "reading, writing and reading again must agree");
}

/// Body of the fuzz target for fragments: nothing panics, and reading, writing and reading again agree.
#[doc(hidden)]
pub fn fuzz_fragment(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let Ok(first) = Fragment::read(text, &Limits::default()) else { return };
    // Credentials are written on each m-line.
    let limits = Limits { len_max: usize::MAX, line_len_max: usize::MAX, media_max: usize::MAX, attributes_max: usize::MAX };
    let Ok(second) = Fragment::read(&first.write(), &limits) else { panic!("what was written must be readable") };
    assert_eq!(first, second, "reading, writing and reading again must agree");
}

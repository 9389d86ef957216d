//! Why a description could not be read.

use std::fmt;

/// A line that breaks the rules of SDP.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SyntaxError {
    /// From 1.
    pub line: usize,
    pub fault: SyntaxFault,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SyntaxFault {
    /// The first line is not `v=0`.
    Version,
    /// The line is not `<letter>=<value>`.
    NotALine,
    /// A character that no SDP line may hold.
    ControlCharacter,
    /// No `m=` line at all.
    NoMedia,
    Origin,
    MediaLine,
    Rtpmap,
    Fmtp,
    RtcpFeedback,
    ExtMap,
    Mid,
    /// Two m-lines with the same mid.
    DuplicateMid,
    Group,
    IceCredentials,
    /// A fragment without `a=ice-ufrag` or `a=ice-pwd`.
    NoIceCredentials,
    /// Two of a fragment's m-lines with credentials of their own.
    CredentialsDiffer,
    Setup,
    Fingerprint,
    Ssrc,
    SsrcGroup,
    Rid,
    Simulcast,
    Msid,
    SctpPort,
    MaxMessageSize,
    /// Longer than [`super::Limits::len_max`].
    TooLong,
    /// Longer than [`super::Limits::line_len_max`].
    LineTooLong,
    /// More m-lines than [`super::Limits::media_max`].
    TooManyMedia,
    /// More attributes than [`super::Limits::attributes_max`].
    TooManyAttributes,
}

impl SyntaxFault {
    pub const fn reason(self) -> &'static str {
        match self {
            Self::Version => "a session description starts with v=0",
            Self::NotALine => "not a line of the form <letter>=<value>",
            Self::ControlCharacter => "control characters are not allowed",
            Self::NoMedia => "there is no m-line",
            Self::Origin => "the o-line is not <user> <id> <version> IN <IP4|IP6> <address>",
            Self::MediaLine => "the m-line is not <kind> <port> <protocol> <formats>",
            Self::Rtpmap => "a=rtpmap is not <payload type> <name>/<clock rate>",
            Self::Fmtp => "a=fmtp is not <payload type> <parameters>",
            Self::RtcpFeedback => "a=rtcp-fb is not <payload type or *> <kind>",
            Self::ExtMap => "a=extmap is not <id> <URI> with an id from 1 to 255",
            Self::Mid => "a=mid is not a token",
            Self::DuplicateMid => "two m-lines have the same mid",
            Self::Group => "a=group is not <semantics> <mids>",
            Self::IceCredentials => "ICE credentials have letters, digits, + and /: 4 to 256 in ice-ufrag, 22 to 256 in ice-pwd",
            Self::NoIceCredentials => "a=ice-ufrag and a=ice-pwd must say which ICE this belongs to",
            Self::CredentialsDiffer => "all m-lines share one transport, so their ICE credentials must be the same",
            Self::Setup => "a=setup is none of actpass, active, passive, holdconn",
            Self::Fingerprint => "a=fingerprint is not <hash> <bytes in hexadecimal>",
            Self::Ssrc => "a=ssrc is not <number> <attribute>",
            Self::SsrcGroup => "a=ssrc-group is not <semantics> <numbers>",
            Self::Rid => "a=rid is not <id> <send|recv>",
            Self::Simulcast => "a=simulcast is not <send|recv> <ids>",
            Self::Msid => "a=msid is not <stream> <track>",
            Self::SctpPort => "a=sctp-port is not a number from 0 to 65535",
            Self::MaxMessageSize => "a=max-message-size is not a number",
            Self::TooLong => "the description is too long",
            Self::LineTooLong => "the line is too long",
            Self::TooManyMedia => "there are too many m-lines",
            Self::TooManyAttributes => "the m-line has too many attributes",
        }
    }
}

impl fmt::Display for SyntaxError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "line {}: {}", self.line, self.fault.reason())
    }
}

impl std::error::Error for SyntaxError {}

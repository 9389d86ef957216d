//! Why a description is not taken: broken, or nothing that we can grant. The texts are for the developer of the client.

use std::fmt;

use crate::sdp::SyntaxError;

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SdpError {
    /// It breaks the rules of SDP.
    Syntax(SyntaxError),
    /// It is well-formed, but nothing that we can take.
    Refused(Refusal),
}

impl From<SyntaxError> for SdpError {
    fn from(error: SyntaxError) -> Self {
        Self::Syntax(error)
    }
}

impl From<Refusal> for SdpError {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl fmt::Display for SdpError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Syntax(error) => error.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
        }
    }
}

impl std::error::Error for SdpError {}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    pub place: Option<Place>,
    pub cause: RefusalCause,
}

/// An m-line of the client's description.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// From 1.
    pub line: usize,
    pub mid: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum RefusalCause {
    /// Names of what was offered.
    NoCodec {
        offered: Vec<String>,
    },
    NoRtcpMux,
    NoIceCredentials,
    NoFingerprint,
    OtherFingerprint,
    HoldConn,
    RoleChanged,
    NotBundled,
    NothingToAccept,
    LinesMissing {
        before: usize,
        now: usize,
    },
    LinesAdded {
        before: usize,
        now: usize,
    },
    MidChanged {
        before: String,
    },
    KindChanged,
    TooManyPublications {
        max: usize,
    },
    NoOffer,
    /// ICE is not there yet: no description of the client has been taken.
    NotEstablished,
    UnknownMid {
        mid: String,
    },
    HalfRestart,
    /// Over HTTP, where a client only sends or only receives: an m-line on which it would do neither.
    WrongDirection {
        may_publish: bool,
    },
}

impl Refusal {
    pub(super) fn new(cause: RefusalCause) -> Self {
        Self { place: None, cause }
    }

    pub(super) fn at(place: Place, cause: RefusalCause) -> Self {
        Self { place: Some(place), cause }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(Place { line, mid }) = &self.place {
            match mid {
                Some(mid) => write!(f, "m-line {line} (mid {mid}): ")?,
                None => write!(f, "m-line {line}: ")?,
            }
        }
        self.cause.fmt(f)
    }
}

impl fmt::Display for RefusalCause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCodec { offered } if offered.is_empty() => f.write_str("no codec is offered"),
            Self::NoCodec { offered } => write!(f, "none of the offered codecs is supported: {}", offered.join(", ")),
            Self::NoRtcpMux => f.write_str("a=rtcp-mux is missing: RTP and RTCP must share one port"),
            Self::NoIceCredentials => f.write_str("a=ice-ufrag or a=ice-pwd is missing"),
            Self::NoFingerprint => f.write_str("a=fingerprint is missing"),
            Self::OtherFingerprint => f.write_str("a=fingerprint must be given with sha-256"),
            Self::HoldConn => f.write_str("a=setup:holdconn would never connect"),
            Self::RoleChanged => f.write_str("a=setup changes the DTLS roles of a connection that stands"),
            Self::NotBundled => f.write_str("a=group:BUNDLE must hold the m-lines: all media shares one transport"),
            Self::NothingToAccept => f.write_str("there is no m-line that could be accepted: audio, video or data channels"),
            Self::LinesMissing { before, now } => {
                write!(f, "there were {before} m-lines and now there are {now}: a later description keeps the earlier m-lines")
            }
            Self::LinesAdded { before, now } => write!(f, "{before} m-lines were offered, the answer has {now}"),
            Self::MidChanged { before } => write!(f, "it was mid {before} before, and mids of m-lines in use do not change"),
            Self::KindChanged => f.write_str("an m-line in use cannot change between audio and video"),
            Self::TooManyPublications { max } => write!(f, "at most {max} m-lines may send"),
            Self::NoOffer => f.write_str("there is no offer that waits for an answer"),
            Self::NotEstablished => f.write_str("there is no answer yet that ICE could belong to"),
            Self::UnknownMid { mid } => write!(f, "no m-line has the mid {mid}"),
            Self::HalfRestart => f.write_str("an ICE restart changes both a=ice-ufrag and a=ice-pwd"),
            Self::WrongDirection { may_publish: true } => f.write_str("a publisher's m-lines are a=sendonly, or a=sendrecv"),
            Self::WrongDirection { may_publish: false } => f.write_str("a player's m-lines are a=recvonly, or a=sendrecv"),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SubscribeError {
    /// The participant may not subscribe.
    NotGranted,
    /// [`super::NegotiationConfig::subscriptions_max`] is reached.
    Full,
}

impl fmt::Display for SubscribeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NotGranted => "the participant may not subscribe",
            Self::Full => "the participant has as many subscriptions as one may have",
        })
    }
}

impl std::error::Error for SubscribeError {}

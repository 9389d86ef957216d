//! Words for what a subscriber gets: the layers of a publication, what is wanted of them, and why it is what it is.

/// One quality of a publication. Greater is better; the spatial part counts first. Streams without layers have only (0, 0).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LayerId {
    /// Simulcast stream or SVC spatial layer, from the smallest picture.
    pub spatial: u8,
    /// From the lowest frame rate.
    pub temporal: u8,
}

impl LayerId {
    /// Whatever there is.
    pub const HIGHEST: Self = Self { spatial: u8::MAX, temporal: u8::MAX };

    pub const fn new(spatial: u8, temporal: u8) -> Self {
        Self { spatial, temporal }
    }
}

/// What a subscriber wants of one subscription, as its client or the room's rules say.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preferences {
    /// Size at which it is shown, in physical pixels; 0: not said. Nothing larger is sent than fits it.
    pub width: u16,
    pub height: u16,
    /// Off the screen nothing is sent (video only).
    pub visible: bool,
    /// Served before all that is not.
    pub pinned: bool,
    /// A shared screen: read rather than watched, so sharpness goes before frame rate, and it goes before cameras.
    pub screen: bool,
    /// Among equals the greater is served first.
    pub priority: u8,
    /// Nothing better is sent.
    pub layer_max: LayerId,
}

impl Default for Preferences {
    fn default() -> Self {
        Self { width: 0, height: 0, visible: true, pinned: false, screen: false, priority: 0, layer_max: LayerId::HIGHEST }
    }
}

/// Why a subscription gets no more than it gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It gets the best there is.
    Best,
    /// The publisher has sent nothing yet, or nothing for a while.
    Silent,
    /// Its client shows it no larger.
    Viewport,
    /// Its client does not show it.
    Hidden,
    /// Its client asked for no more ([`Preferences::layer_max`]).
    Preference,
    /// The estimated bandwidth, shared over all subscriptions, allows no more.
    Estimate,
    /// Too many packets are lost on the way to the subscriber.
    Loss,
    /// So little bandwidth is left that only sound is sent.
    AudioOnly,
    /// The publisher does not send the better layer now.
    LayerAbsent,
    /// The better layer begins with its next keyframe.
    AwaitingKeyframe,
    /// The subscriber's TCP path has not taken what was sent before.
    Backlog,
    /// Others speak: sound goes only from the loudest.
    NotSpeaking,
    /// The server's rules stop it.
    Administrator,
}

/// What a subscription gets now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quality {
    /// What is on the wire; `None`: nothing.
    pub current: Option<LayerId>,
    /// What it is meant to get.
    pub target: Option<LayerId>,
    /// What the target takes, in bits per second, as measured at the publisher.
    pub bitrate_bps: u32,
    pub reason: Reason,
}

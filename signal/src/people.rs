//! One participant of a room and what it publishes and receives: plain values.

use crate::media::{DataChannels, Front, Kind, ParticipantId, Preferences, PublicationId, Published, Quality, Source, Waiting};
use crate::message::{
    Mode, Negotiate, ParticipantInfo, PublicationInfo, ServerMessage, Track, TrackSource, Wish, You, kind_text, participant_text,
    publication_text,
};
use crate::quality::{Level, Sample};
use crate::room::Standing;
use crate::token::Claims;

/// What a verified token says about who comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    pub room: String,
    pub identity: String,
    pub name: String,
    pub metadata: String,
    pub may_publish: bool,
    pub may_subscribe: bool,
    pub may_publish_data: bool,
    /// The token says itself that it may publish, where a missing word means so as well.
    pub on_stage: bool,
    pub admin: bool,
    pub hidden: bool,
}

impl From<Claims> for Ticket {
    fn from(claims: Claims) -> Self {
        let Claims { iss: _, sub, exp: _, nbf: _, name, metadata, video } = claims;
        Self {
            identity: sub,
            name,
            metadata,
            may_publish: video.may_publish(),
            may_subscribe: video.may_subscribe(),
            may_publish_data: video.may_publish_data(),
            on_stage: video.can_publish == Some(true),
            admin: video.room_admin,
            hidden: video.hidden,
            room: video.room,
        }
    }
}

/// By which door someone comes in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Entry {
    /// The WebSocket.
    Call { auto_subscribe: bool },
    /// WHIP.
    Publisher,
    /// WHEP.
    Player(Plan),
}

/// What a WHEP player wants to see.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Plan {
    /// Whose publications come first; nobody: the whole room in order of joining.
    pub first: Option<String>,
    /// m-lines in its offer.
    pub audio: u16,
    pub video: u16,
}

impl Plan {
    pub fn slots(&self, kind: Kind) -> usize {
        usize::from(match kind {
            Kind::Audio => self.audio,
            Kind::Video => self.video,
        })
    }
}

#[derive(Clone, Debug)]
pub struct Participant {
    pub id: ParticipantId,
    pub ticket: Ticket,
    pub entry: Entry,
    /// What it may do. Begins as the ticket says, and hosts change it.
    pub standing: Standing,
    /// A viewer of a webinar: announced to nobody.
    pub in_audience: bool,
    pub connected: bool,
    /// Its WebSocket is lost; it leaves at this time of the rules unless it comes back.
    pub lost_until_ms: Option<u64>,
    /// The secret with which it comes back. Empty: it cannot.
    pub resume: String,
    pub publications: Vec<Publication>,
    pub subscriptions: Vec<Subscription>,
    /// What the client should still offer, and whether it must be told.
    pub waiting: Waiting,
    pub negotiate_due: bool,
    /// Bandwidth toward it, in bits per second, once it is known.
    pub estimate_bps: Option<u64>,
    /// Data channels that it has open.
    pub channels: DataChannels,
    /// In seconds since 1970.
    pub joined_s: u64,
    /// What its client told last, and what that came to.
    pub sample: Option<Box<Sample>>,
    /// As it was told to observers, and whether the last report said otherwise.
    pub level: Level,
    pub level_differs: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subscription {
    pub source: Source,
    /// Where it comes out, once there is an m-line.
    pub mid: Option<String>,
    pub preferences: Preferences,
    /// What it gets, once the media side has said so, and what its client has been told of that.
    pub quality: Option<Quality>,
    pub quality_told: Option<Quality>,
}

impl Subscription {
    /// Of something that is a shared screen, or is not.
    pub fn new(source: Source, screen: bool) -> Self {
        Self { source, mid: None, preferences: Preferences { screen, ..Preferences::default() }, quality: None, quality_told: None }
    }

    /// Takes over what it gets; true when that is news to its client: a bitrate that merely sways is not.
    pub fn take_quality(&mut self, quality: Quality) -> bool {
        self.quality = Some(quality);
        let sways = |told: u32, now: u32| told.abs_diff(now) <= told / 8;
        let known = self.quality_told.is_some_and(|told| {
            sways(told.bitrate_bps, quality.bitrate_bps) && Quality { bitrate_bps: quality.bitrate_bps, ..told } == quality
        });
        if !known {
            self.quality_told = Some(quality);
        }
        !known
    }
}

/// What the client wants; what is a screen says its publisher.
pub fn preferences(wish: Wish, screen: bool) -> Preferences {
    let Wish { width, height, visible, pinned, priority, spatial_max, temporal_max } = wish;
    let any = Preferences::default();
    let (spatial_max, temporal_max) = (spatial_max.unwrap_or(any.spatial_max), temporal_max.unwrap_or(any.temporal_max));
    Preferences { width, height, visible, pinned, screen, priority, spatial_max, temporal_max }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Publication {
    pub id: PublicationId,
    pub mid: String,
    pub kind: Kind,
    pub source: TrackSource,
    pub name: String,
    pub muted: bool,
    pub muted_by_server: bool,
    /// A host has asked for it: its owner may lift the server's mute.
    pub unmute_asked: bool,
    /// The highest layer that anybody wants, once the media side has said so.
    pub wanted: Option<Option<u8>>,
    /// Taken away by `unpublish`: still sent, but shown to nobody.
    pub withheld: bool,
    pub codec: String,
    pub simulcast: bool,
}

impl Participant {
    pub fn new(id: ParticipantId, ticket: Ticket, entry: Entry) -> Self {
        Self {
            id,
            standing: Standing::of(&ticket, Mode::Call),
            in_audience: false,
            ticket,
            entry,
            connected: false,
            lost_until_ms: None,
            resume: String::new(),
            publications: Vec::new(),
            subscriptions: Vec::new(),
            waiting: Waiting::default(),
            negotiate_due: false,
            estimate_bps: None,
            channels: DataChannels::default(),
            joined_s: 0,
            sample: None,
            level: Level::Good,
            level_differs: false,
        }
    }

    pub fn front(&self) -> Front {
        match self.entry {
            Entry::Call { .. } => Front::Call,
            Entry::Publisher | Entry::Player(_) => Front::Http,
        }
    }

    /// Whether it came in by WebSocket.
    pub fn calls(&self) -> bool {
        matches!(self.entry, Entry::Call { .. })
    }

    /// Whether it is told what happens.
    pub fn listens(&self) -> bool {
        self.calls() && self.lost_until_ms.is_none()
    }

    /// Whether it moderates.
    pub fn is_host(&self) -> bool {
        self.standing.role.is_host()
    }

    /// Whether it has an identity of its own in the room: a player is only a viewer, and never stands in its publisher's place.
    pub fn holds_identity(&self) -> bool {
        !matches!(self.entry, Entry::Player(_))
    }

    /// Whether it takes the place of who has the same identity. Publishers by WHIP do not: several encoders may share a token, and each
    /// POST makes a resource of its own (RFC 9725 section 4.2).
    pub fn replaces(&self) -> bool {
        self.calls()
    }

    /// Whether others are told of it.
    pub fn visible(&self) -> bool {
        self.holds_identity() && !self.ticket.hidden && !self.in_audience
    }

    /// Who is hidden has no one to publish to.
    pub fn may_publish(&self) -> bool {
        self.standing.publish && self.visible()
    }

    pub fn may_subscribe(&self) -> bool {
        self.standing.subscribe && !matches!(self.entry, Entry::Publisher)
    }

    /// A player is only a viewer.
    pub fn may_publish_data(&self) -> bool {
        self.standing.publish_data && self.holds_identity()
    }

    pub fn auto_subscribes(&self) -> bool {
        matches!(self.entry, Entry::Call { auto_subscribe: true }) && self.may_subscribe()
    }

    /// What others may receive of it.
    pub fn shown(&self) -> impl Iterator<Item = &Publication> {
        let may_publish = self.may_publish();
        self.publications.iter().filter(move |publication| may_publish && !publication.withheld)
    }

    /// Whether the server drops the packets of a publication.
    pub fn stops(&self, publication: &Publication) -> bool {
        publication.muted_by_server || publication.withheld || !self.may_publish()
    }

    pub fn publication_mut(&mut self, id: PublicationId) -> Option<&mut Publication> {
        self.publications.iter_mut().find(|publication| publication.id == id)
    }

    pub fn subscription_mut(&mut self, id: PublicationId) -> Option<&mut Subscription> {
        self.subscriptions.iter_mut().find(|subscription| subscription.source.publication == id)
    }

    pub fn subscription(&self, id: PublicationId) -> Option<&Subscription> {
        self.subscriptions.iter().find(|subscription| subscription.source.publication == id)
    }

    pub fn source(&self, publication: &Publication) -> Source {
        Source { publication: publication.id, publisher: self.id, kind: publication.kind }
    }

    pub fn text(&self) -> String {
        participant_text(self.id)
    }

    pub fn info(&self) -> ParticipantInfo {
        ParticipantInfo {
            id: self.text(),
            identity: self.ticket.identity.clone(),
            name: self.ticket.name.clone(),
            metadata: self.ticket.metadata.clone(),
            role: self.standing.role,
            connected: self.connected,
            reconnecting: self.lost_until_ms.is_some(),
            publications: self.shown().map(Publication::info).collect(),
        }
    }

    pub fn you(&self) -> You {
        You {
            id: self.text(),
            identity: self.ticket.identity.clone(),
            name: self.ticket.name.clone(),
            role: self.standing.role,
            can_publish: self.may_publish(),
            can_subscribe: self.may_subscribe(),
            can_publish_data: self.may_publish_data(),
            admin: self.is_host(),
        }
    }

    /// What others are told when something about it has changed.
    pub fn updated(&self) -> ServerMessage {
        ServerMessage::ParticipantUpdated {
            participant: self.text(),
            name: self.ticket.name.clone(),
            metadata: self.ticket.metadata.clone(),
            role: self.standing.role,
            connected: self.connected,
            reconnecting: self.lost_until_ms.is_some(),
        }
    }
}

impl Publication {
    pub fn new(published: Published, track: Option<&Track>) -> Self {
        let Published { publication, mid, kind, codec, simulcast } = published;
        let mut new = Self {
            id: publication,
            mid,
            kind,
            source: default_source(kind),
            name: String::new(),
            muted: false,
            muted_by_server: false,
            unmute_asked: false,
            wanted: None,
            withheld: false,
            codec,
            simulcast,
        };
        if let Some(track) = track {
            new.describe(track);
        }
        new
    }

    /// Takes over what the client says about it; true if that changed anything.
    pub fn describe(&mut self, track: &Track) -> bool {
        // A source of the other kind is the client's slip, and harms only its label.
        let source = track.source.filter(|source| source.kind() == self.kind).unwrap_or(default_source(self.kind));
        let changed = source != self.source || track.name != self.name || track.muted != self.muted;
        self.source = source;
        self.name.clone_from(&track.name);
        self.muted = track.muted;
        changed
    }

    pub fn is_screen(&self) -> bool {
        self.source == TrackSource::Screen
    }

    pub fn info(&self) -> PublicationInfo {
        PublicationInfo {
            id: publication_text(self.id),
            kind: kind_text(self.kind),
            source: self.source,
            name: self.name.clone(),
            muted: self.muted || self.muted_by_server,
            muted_by_server: self.muted_by_server,
            codec: self.codec.clone(),
            simulcast: self.simulcast,
        }
    }
}

pub fn default_source(kind: Kind) -> TrackSource {
    match kind {
        Kind::Audio => TrackSource::Microphone,
        Kind::Video => TrackSource::Camera,
    }
}

impl From<Waiting> for Negotiate {
    fn from(Waiting { audio, video }: Waiting) -> Self {
        Self { audio, video }
    }
}

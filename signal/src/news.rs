//! What happens in rooms, told to whoever keeps books of it: webhooks, history, the dashboard. Plain values; the rules make them,
//! [`Signal`](crate::Signal) hands them on.

use serde::Serialize;

use crate::media::RoomId;
use crate::message::participant_text;
pub use crate::message::{PublicationInfo as Publication, SettingsInfo, TrackSource as Source};
use crate::people::{self, Entry, Participant};
use crate::quality::Level;
pub use crate::quality::{Sample, Scores};
use crate::room::Room;

/// Takes news as they happen. Called under the rules' lock: it must not wait, and must not call back into the `Signal`.
pub trait Observer: Send + Sync + 'static {
    fn news(&self, news: News);
    /// Something to be kept: what was said, how a poll ended.
    fn record(&self, record: Record);
    /// How well somebody saw and heard lately.
    fn sample(&self, sample: Sample);
}

/// Who does not care.
impl Observer for () {
    fn news(&self, _: News) {}
    fn record(&self, _: Record) {}
    fn sample(&self, _: Sample) {}
}

/// An entry of a room's history.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub room: String,
    /// `chat` or (to one person) `private_chat`, `chat_deleted`, `poll`.
    pub kind: &'static str,
    /// Whose it is; empty when it is nobody's.
    pub identity: String,
    /// What it is, as in the protocol; `breakout` names the breakout room that it was in.
    pub body: serde_json::Value,
}

/// Something that happened.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct News {
    pub what: What,
    pub room: RoomFacts,
    pub participant: Option<ParticipantFacts>,
    pub publication: Option<Publication>,
    /// Why somebody left.
    pub reason: Option<&'static str>,
    /// How well somebody sees and hears now.
    pub quality: Option<(Level, Scores)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum What {
    RoomStarted,
    RoomEnded,
    ParticipantJoined,
    ParticipantLeft,
    PublicationStarted,
    PublicationEnded,
    QualityChanged,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct RoomFacts {
    /// Of this room alone: one of the same name that is opened later has another.
    pub id: String,
    pub name: String,
    /// Where in it, when it is about one of its breakout rooms.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub breakout: Option<usize>,
    pub metadata: String,
    #[serde(flatten)]
    pub settings: SettingsInfo,
    /// Everyone, WHIP publishers, WHEP players and hidden participants included.
    pub participants: usize,
    pub publications: usize,
    /// How many may be in it; null: as many as in any room.
    pub participants_max: Option<usize>,
    /// How long it stays when nobody is in it.
    pub empty_timeout_s: u32,
    /// In seconds since 1970.
    pub created_s: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ParticipantFacts {
    pub id: String,
    pub identity: String,
    pub name: String,
    pub metadata: String,
    pub door: &'static str,
    /// In seconds since 1970.
    pub joined_s: u64,
}

/// How someone came in: `call` (WebSocket), `whip` or `whep`.
pub fn door(participant: &Participant) -> &'static str {
    match participant.entry {
        Entry::Call { .. } => "call",
        Entry::Publisher => "whip",
        Entry::Player(_) => "whep",
    }
}

pub fn room_text(id: RoomId) -> String {
    format!("{:016x}", id.0)
}

impl From<&Room> for RoomFacts {
    fn from(room: &Room) -> Self {
        Self {
            id: room_text(room.main.as_ref().map_or(room.id, |main| main.id)),
            name: room.public_name().to_owned(),
            breakout: room.breakout(),
            metadata: room.options.metadata.clone(),
            settings: room.settings.info(),
            participants: room.len(),
            publications: room.people().map(|participant| participant.shown().count()).sum(),
            participants_max: room.options.participants_max,
            empty_timeout_s: room.options.empty_timeout_s,
            created_s: room.created_s,
        }
    }
}

impl From<&Participant> for ParticipantFacts {
    fn from(participant: &Participant) -> Self {
        Self {
            id: participant_text(participant.id),
            identity: participant.ticket.identity.clone(),
            name: participant.ticket.name.clone(),
            metadata: participant.ticket.metadata.clone(),
            door: door(participant),
            joined_s: participant.joined_s,
        }
    }
}

impl News {
    pub fn of_room(what: What, room: &Room) -> Self {
        Self { what, room: room.into(), participant: None, publication: None, reason: None, quality: None }
    }

    pub fn of_participant(what: What, room: &Room, participant: &Participant) -> Self {
        Self { participant: Some(participant.into()), ..Self::of_room(what, room) }
    }

    pub fn of_publication(what: What, room: &Room, participant: &Participant, publication: &people::Publication) -> Self {
        Self { publication: Some(publication.info()), ..Self::of_participant(what, room, participant) }
    }
}

//! Messages of an application's own: who may send them, whom they reach, and by which way.
//!
//! Who has a data channel for a message gets it there, everyone else on the WebSocket.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::{JoinNumber, Output, Refusal, Room, World};
use crate::config::Config;
use crate::media::{DataChannels, DataMessage, ParticipantId};
use crate::message::{Bounds, DataContent, DataRequest, ErrorCode, ServerMessage, parse_framed};
use crate::people::Participant;

/// The line before a message's content on a data channel.
#[derive(Serialize)]
struct Header<'a> {
    participant: Option<&'a str>,
    identity: Option<&'a str>,
    #[serde(skip_serializing_if = "str::is_empty")]
    topic: &'a str,
}

impl Room {
    pub fn handle_data_channels(&mut self, number: JoinNumber, open: DataChannels) {
        if let Some(participant) = self.people.get_mut(&number) {
            participant.channels = open;
        }
    }

    /// Reliable messages to a participant were lost at the server.
    pub fn handle_data_lost(&self, number: JoinNumber, messages: u32, world: &mut World) {
        if let Some(participant) = self.participant(number).filter(|participant| participant.listens()) {
            world.tell(participant.id, ServerMessage::DataLost { messages });
        }
    }

    /// A message came over a participant's channel. What is wrong with it is told on the WebSocket.
    pub fn handle_data(&self, number: JoinNumber, message: DataMessage, world: &mut World) {
        let outcome = match parse_framed(message, &Bounds::new(world.limits)) {
            Ok(data) => {
                let topic = data.topic.clone();
                self.send_data(Some(number), data, world).map(drop).map_err(|refusal| (refusal, topic))
            }
            Err((unreadable, topic)) => {
                let (code, message, field) = (unreadable.code, unreadable.message, unreadable.field);
                return self.refuse_data(number, ServerMessage::DataRefused { code, message, field, topic }, world);
            }
        };
        if let Err((Refusal { code, message, field }, topic)) = outcome {
            let field = field.map(str::to_owned);
            self.refuse_data(number, ServerMessage::DataRefused { code, message, field, topic }, world);
        }
    }

    fn refuse_data(&self, number: JoinNumber, message: ServerMessage, world: &mut World) {
        if let Some(participant) = self.participant(number).filter(|participant| participant.listens()) {
            // Whoever sends nonsense fast is not cut off for being told so.
            world.outputs.push(Output::Hint { to: vec![participant.id], message });
        }
    }

    /// Sends a message of a participant, or of the server. Returns how many it is sent to.
    pub fn send_data(&self, from: Option<JoinNumber>, data: DataRequest, world: &mut World) -> Result<usize, Refusal> {
        let sender = from.and_then(|number| self.participant(number));
        if sender.is_some_and(|sender| !sender.may_publish_data()) {
            return Err(Refusal::new(ErrorCode::Forbidden, "the token does not grant canPublishData"));
        }
        let wanted = |participant: &Participant| data.to.is_empty() || data.to.contains(&participant.ticket.identity);
        let reached = self.people.iter().filter(|(number, p)| Some(**number) != from && wanted(p)).map(|(_, p)| p);
        let (mut by_channel, mut by_socket) = (Vec::new(), Vec::new());
        for participant in reached {
            let DataChannels { reliable, lossy } = participant.channels;
            match (reliable || (lossy && !data.reliable), participant.listens()) {
                (true, _) => by_channel.push(participant),
                (false, true) => by_socket.push(participant.id),
                (false, false) => {}
            }
        }
        let reached = by_channel.len() + by_socket.len();
        // The server's own message may reach them in another room of the same breakouts.
        if from.is_some() && !data.to.is_empty() && reached == 0 {
            return Err(Refusal::new(ErrorCode::NotFound, "nobody with this identity can be reached").of("to"));
        }
        let origin = sender.map(|sender| (sender.text(), sender.ticket.identity.as_str()));
        if !by_channel.is_empty() {
            let to: Vec<ParticipantId> = by_channel.iter().map(|participant| participant.id).collect();
            if world.media.send_data(&to, framed(&origin, &data)?).is_err() {
                // The packet threads do not keep up. What may be lost is lost, the rest takes the other way.
                if data.reliable {
                    by_socket.extend(by_channel.iter().filter(|participant| participant.listens()).map(|participant| participant.id));
                }
            }
        }
        if !by_socket.is_empty() {
            let reliable = data.reliable;
            let (to, message) = (by_socket, event(origin, data));
            world.outputs.push(if reliable { Output::Tell { to, message } } else { Output::Hint { to, message } });
        }
        Ok(reached)
    }
}

/// As it goes over data channels.
fn framed(origin: &Option<(String, &str)>, data: &DataRequest) -> Result<DataMessage, Refusal> {
    let (participant, identity) = (origin.as_ref().map(|(id, _)| id.as_str()), origin.as_ref().map(|(_, identity)| *identity));
    let header = Header { participant, identity, topic: &data.topic };
    let mut bytes = serde_json::to_vec(&header).map_err(|_| Refusal::new(ErrorCode::Busy, "the message cannot be written"))?;
    bytes.push(b'\n');
    bytes.extend_from_slice(data.content.bytes());
    Ok(DataMessage { reliable: data.reliable, text: data.content.is_text(), bytes })
}

/// As it goes over the WebSocket.
fn event(origin: Option<(String, &str)>, data: DataRequest) -> ServerMessage {
    let DataRequest { to: _, topic, reliable, content } = data;
    let (text, base64) = match content {
        DataContent::Text(text) => (Some(text), None),
        DataContent::Bytes(bytes) => (None, Some(STANDARD.encode(bytes))),
    };
    let (participant, identity) = origin.map(|(id, identity)| (id, identity.to_owned())).unzip();
    ServerMessage::Data { participant, identity, topic, reliable, text, base64 }
}

impl Bounds {
    pub fn new(config: &Config) -> Self {
        Self {
            sdp_bytes_max: config.sdp_bytes_max,
            track_name_bytes_max: config.track_name_bytes_max,
            tracks_max: config.publications_per_participant_max,
            data_bytes_max: config.data_bytes_max,
            data_lossy_bytes_max: config.data_lossy_bytes_max,
            data_topic_bytes_max: config.data_topic_bytes_max,
            data_recipients_max: config.data_recipients_max,
            chat_bytes_max: config.room.chat_bytes_max,
            poll_text_bytes_max: config.room.poll_text_bytes_max,
            breakouts_max: config.room.breakouts_max,
            people_max: config.participants_per_room_max,
        }
    }
}

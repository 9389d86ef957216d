//! News as an application reads them: JSON with the names of LiveKit's `WebhookEvent`.

use pointsman_signal::news::{News, ParticipantFacts, Publication, Record, RoomFacts, Source, What};
use serde_json::{Value, json};

/// `id` tells a repeated event from a new one; `now_s` in seconds since 1970.
pub fn of_news(news: &News, id: &str, now_s: u64) -> String {
    let News { what, room: facts, participant: who, publication, reason, quality } = news;
    let mut event = json!({ "event": word(*what), "id": id, "createdAt": now_s.to_string(), "room": room(facts) });
    if let Some(who) = who {
        event["participant"] = participant(who, *reason);
    }
    if let Some(publication) = publication {
        event["track"] = track(publication);
    }
    if let Some(reason) = reason {
        event["reason"] = (*reason).into();
    }
    if let Some((level, scores)) = quality {
        event["quality"] = json!({ "level": level, "score": scores });
    }
    event.to_string()
}

/// What was said or decided in a room, under the record's own kind.
pub fn of_record(record: &Record, id: &str, now_s: u64) -> String {
    let Record { room, kind, identity, body } = record;
    let mut event = json!({ "event": kind, "id": id, "createdAt": now_s.to_string(), "room": { "name": room }, *kind: body });
    if !identity.is_empty() {
        event["participant"] = json!({ "identity": identity });
    }
    event.to_string()
}

const fn word(what: What) -> &'static str {
    match what {
        What::RoomStarted => "room_started",
        What::RoomEnded => "room_finished",
        What::ParticipantJoined => "participant_joined",
        What::ParticipantLeft => "participant_left",
        What::PublicationStarted => "track_published",
        What::PublicationEnded => "track_unpublished",
        What::QualityChanged => "quality_changed",
    }
}

/// 64-bit numbers are text in protobuf's JSON. LiveKit's rooms know neither breakouts nor settings like ours.
fn room(room: &RoomFacts) -> Value {
    let RoomFacts {
        id,
        name,
        breakout,
        metadata,
        settings: _,
        participants,
        publications: _,
        participants_max,
        empty_timeout_s,
        created_s,
    } = room;
    let mut value = json!({ "sid": id, "name": name, "metadata": metadata, "numParticipants": participants,
        "maxParticipants": participants_max.unwrap_or(0), "emptyTimeout": empty_timeout_s, "creationTime": created_s.to_string() });
    if let Some(breakout) = breakout {
        value["breakout"] = (*breakout).into();
    }
    value
}

fn participant(participant: &ParticipantFacts, reason: Option<&str>) -> Value {
    let ParticipantFacts { id, identity, name, metadata, door, joined_s } = participant;
    let state = if reason.is_some() { "DISCONNECTED" } else { "ACTIVE" };
    let mut value = json!({ "sid": id, "identity": identity, "name": name, "metadata": metadata, "state": state,
        "joinedAt": joined_s.to_string(), "door": door });
    if let Some(reason) = reason {
        value["disconnectReason"] = disconnect_reason(reason).into();
    }
    value
}

fn disconnect_reason(reason: &str) -> &'static str {
    match reason {
        "left" => "CLIENT_INITIATED",
        "replaced" => "DUPLICATE_IDENTITY",
        "removed" | "banned" => "PARTICIPANT_REMOVED",
        "room_ended" => "ROOM_DELETED",
        "server_closing" => "SERVER_SHUTDOWN",
        "join_timeout" => "JOIN_FAILURE",
        "disconnected" | "media_closed" | "too_slow" | "flood" => "SIGNAL_CLOSE",
        _ => "UNKNOWN_REASON",
    }
}

fn track(publication: &Publication) -> Value {
    let Publication { id, kind, source, name, muted, muted_by_server: _, codec, simulcast } = publication;
    let source = match source {
        Source::Camera => "CAMERA",
        Source::Microphone => "MICROPHONE",
        Source::Screen => "SCREEN_SHARE",
        Source::ScreenAudio => "SCREEN_SHARE_AUDIO",
    };
    json!({ "sid": id, "type": kind.to_uppercase(), "source": source, "name": name, "muted": muted, "simulcast": simulcast,
        "mimeType": format!("{kind}/{codec}") })
}

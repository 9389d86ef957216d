//! `ctl rooms`, `room` and `why`: who is where, and why someone gets what they get; `open`, `end`, `mute`, `remove` and `say` change it.

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::{Server, escaped, shown};
use crate::failure::Failure;

#[cfg(test)]
mod tests;

#[derive(Debug, Serialize, Deserialize)]
struct Page {
    rooms: Vec<Room>,
    next: Option<String>,
}

#[derive(Debug, Serialize, Deserialize)]
struct Room {
    name: String,
    participants: usize,
    publications: usize,
}

/// What a room is opened with; what is not said stays, or is as the server has it.
#[derive(Debug, clap::Args)]
pub struct Open {
    room: String,
    /// Text for everyone in it
    #[arg(long)]
    metadata: Option<String>,
    /// How many may be in it; 0: as many as in any room
    #[arg(long, value_name = "N")]
    participants_max: Option<usize>,
    /// Seconds that it stays when nobody is in it
    #[arg(long, value_name = "S")]
    empty_timeout: Option<u32>,
    /// Nobody but hosts comes in
    #[arg(long, value_name = "BOOL")]
    locked: Option<bool>,
    /// Everyone but hosts is held until somebody admits them
    #[arg(long, value_name = "BOOL")]
    waiting_room: Option<bool>,
}

#[derive(Debug, Deserialize)]
struct RoomView {
    participants: Vec<Person>,
}

#[derive(Debug, Deserialize)]
struct Person {
    identity: String,
    name: String,
    door: String,
    connected: bool,
    publications: Vec<Value>,
    subscriptions: usize,
    quality: Option<Quality>,
}

#[derive(Debug, Deserialize)]
struct Quality {
    score: Scores,
    rtt_ms: Option<u32>,
    loss_uplink: Option<f64>,
    loss_downlink: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Scores {
    all: Option<f64>,
}

#[derive(Debug, Deserialize)]
struct Meant {
    participants: usize,
}

#[derive(Debug, Deserialize)]
struct Why {
    participants: Vec<Subscriber>,
}

#[derive(Debug, Deserialize)]
struct Subscriber {
    id: String,
    door: String,
    connected: bool,
    estimate_bps: Option<u64>,
    subscriptions: Vec<Subscription>,
}

#[derive(Debug, Deserialize)]
struct Subscription {
    publisher: String,
    source: String,
    current: Option<Layer>,
    target: Option<Layer>,
    bitrate_bps: u32,
    reason: Option<String>,
    preferences: Preferences,
}

#[derive(Debug, Deserialize)]
struct Layer {
    spatial: u8,
    temporal: u8,
}

#[derive(Debug, Deserialize)]
struct Preferences {
    width: u16,
    height: u16,
    pinned: bool,
}

impl Server {
    /// Goes through all pages.
    pub(super) fn rooms(&self, json: bool) -> Result<(), Failure> {
        if !json {
            println!("{:<40} {:>12} {:>12}", "ROOM", "PARTICIPANTS", "PUBLICATIONS");
        }
        let mut after = None;
        loop {
            let page: Page = self.get("/api/v1/rooms", &[("after", after.as_deref())])?;
            for room in &page.rooms {
                match json {
                    true => println!("{}", serde_json::to_string(room).map_err(|error| Failure::Other(error.to_string()))?),
                    false => println!("{:<40} {:>12} {:>12}", shown(&room.name), room.participants, room.publications),
                }
            }
            after = page.next;
            if after.is_none() {
                return Ok(());
            }
        }
    }

    pub(super) fn room(&self, room: &str, json: bool) -> Result<(), Failure> {
        let path = format!("/api/v1/rooms/{}", escaped(room));
        if json {
            let answer: Value = self.get(&path, &[])?;
            println!("{answer}");
            return Ok(());
        }
        let view: RoomView = self.get(&path, &[])?;
        people(&view.participants).iter().for_each(|line| println!("{line}"));
        Ok(())
    }

    pub(super) fn open(&self, open: &Open) -> Result<(), Failure> {
        let Open { room, metadata, participants_max, empty_timeout, locked, waiting_room } = open;
        let mut body = json!({ "name": room });
        if let Some(metadata) = metadata {
            body["metadata"] = metadata.as_str().into();
        }
        if let Some(max) = participants_max {
            body["participants_max"] = (*max).into();
        }
        if let Some(timeout) = empty_timeout {
            body["empty_timeout_s"] = (*timeout).into();
        }
        for (name, value) in [("locked", locked), ("waiting_room", waiting_room)] {
            if let Some(value) = value {
                body[name] = (*value).into();
            }
        }
        let answer: Value = self.change("POST", "/api/v1/rooms", Some(&body))?;
        println!("{answer}");
        Ok(())
    }

    pub(super) fn end_room(&self, room: &str) -> Result<(), Failure> {
        let Meant { participants } = self.change("DELETE", &format!("/api/v1/rooms/{}", escaped(room)), None)?;
        println!("ended {}; {participants} were in it", shown(room));
        Ok(())
    }

    pub(super) fn mute(&self, room: &str, identity: &str, muted: bool) -> Result<(), Failure> {
        let path = format!("/api/v1/rooms/{}/participants/{}/mute", escaped(room), escaped(identity));
        let answer: Value = self.change("POST", &path, Some(&json!({ "muted": muted })))?;
        let publications = answer.get("publications").and_then(Value::as_u64).unwrap_or_default();
        println!("{} {publications} publications of {}", if muted { "muted" } else { "unmuted" }, shown(identity));
        Ok(())
    }

    pub(super) fn remove(&self, room: &str, identity: &str, ban: bool) -> Result<(), Failure> {
        let path = format!("/api/v1/rooms/{}/participants/{}?ban={ban}", escaped(room), escaped(identity));
        let Meant { participants: _ } = self.change("DELETE", &path, None)?;
        println!("removed {}", shown(identity));
        Ok(())
    }

    pub(super) fn say(&self, room: &str, text: &str, topic: &str) -> Result<(), Failure> {
        let body = json!({ "text": text, "topic": topic });
        let Meant { participants } = self.change("POST", &format!("/api/v1/rooms/{}/data", escaped(room)), Some(&body))?;
        println!("told {participants}");
        Ok(())
    }

    pub(super) fn why(&self, room: &str, identity: &str, json: bool) -> Result<(), Failure> {
        let path = format!("/api/v1/rooms/{}/participants/{}/subscriptions", escaped(room), escaped(identity));
        if json {
            let answer: serde_json::Value = self.get(&path, &[])?;
            println!("{answer}");
            return Ok(());
        }
        let why: Why = self.get(&path, &[])?;
        for subscriber in &why.participants {
            lines(subscriber).iter().for_each(|line| println!("{line}"));
        }
        Ok(())
    }
}

/// A line for everyone in a room.
fn people(people: &[Person]) -> Vec<String> {
    let mut lines = vec![format!(
        "{:<24} {:<24} {:<5} {:>6} {:>9} {:>6} {:>8} {:>8} {:>9}",
        "IDENTITY", "NAME", "BY", "SENDS", "RECEIVES", "SCORE", "RTT (MS)", "LOST UP", "LOST DOWN"
    )];
    for Person { identity, name, door, connected, publications, subscriptions, quality } in people {
        let of = |read: fn(&Quality) -> Option<String>| quality.as_ref().and_then(read).unwrap_or_else(|| "-".to_owned());
        let score = of(|quality| quality.score.all.map(|score| format!("{score:.1}")));
        let rtt = of(|quality| quality.rtt_ms.map(|rtt| rtt.to_string()));
        let up = of(|quality| quality.loss_uplink.map(|share| format!("{:.1}%", share * 100.0)));
        let down = of(|quality| quality.loss_downlink.map(|share| format!("{:.1}%", share * 100.0)));
        let connected = if *connected { "" } else { "  (no media yet)" };
        let (identity, name, door, sends) = (shown(identity), shown(name), shown(door), publications.len());
        lines.push(format!(
            "{identity:<24} {name:<24} {door:<5} {sends:>6} {subscriptions:>9} {score:>6} {rtt:>8} {up:>8} {down:>9}{connected}"
        ));
    }
    lines
}

/// One participant, then a line for each of its subscriptions.
fn lines(subscriber: &Subscriber) -> Vec<String> {
    let Subscriber { id, door, connected, estimate_bps, subscriptions } = subscriber;
    let estimate = estimate_bps.map_or_else(|| "not estimated yet".to_owned(), |bps| format!("{} kbit/s", bps / 1000));
    let connected = if *connected { "" } else { ", no media yet" };
    let mut lines = vec![format!("{} by {}{connected}, bandwidth toward it {estimate}", shown(id), shown(door))];
    lines.push(format!("{:<24} {:<12} {:>5} {:>6} {:>8} {:>11}  WHY", "PUBLISHER", "SOURCE", "LAYER", "WANTED", "KBIT/S", "SHOWN"));
    for subscription in subscriptions {
        let Subscription { publisher, source, current, target, bitrate_bps, reason, preferences } = subscription;
        let Preferences { width, height, pinned } = preferences;
        let size = if *width == 0 { "-".to_owned() } else { format!("{width}x{height}") };
        let reason = reason.as_deref().unwrap_or("not known yet");
        let pinned = if *pinned { " (pinned)" } else { "" };
        lines.push(format!(
            "{:<24} {:<12} {:>5} {:>6} {:>8} {size:>11}  {}{pinned}",
            shown(publisher),
            shown(source),
            layer(current.as_ref()),
            layer(target.as_ref()),
            bitrate_bps / 1000,
            shown(reason)
        ));
    }
    lines
}

/// As in SVC's names: `S1T2` is the second picture size at the third frame rate.
fn layer(layer: Option<&Layer>) -> String {
    layer.map_or_else(|| "-".to_owned(), |Layer { spatial, temporal }| format!("S{spatial}T{temporal}"))
}

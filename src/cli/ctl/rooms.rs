//! `ctl rooms` and `ctl why`: who is where, and why someone gets what they get.

use serde::{Deserialize, Serialize};

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

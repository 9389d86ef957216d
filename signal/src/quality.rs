//! How well somebody sees and hears: what the client measures, what the room knows beside it, and a score.
//!
//! Scores go from 1 (bad) to 5 (excellent), as mean opinion scores do.
//! - Sound: ITU-T G.107's E-model, with Opus as a codec that loses nothing by itself and bears loss as well as G.711 with concealment.
//! - Pictures: `1 + 4 · steady · smooth · sharp`; each is 1 when nothing is wrong: `(1 − time frozen)^8`, `√(frames ÷ 24)` (a shared screen: ÷ 5),
//!   `√(lines got ÷ lines shown)` where the room gives less than is shown because of the way.
//! - All: sound for three fifths, pictures for two. Who only hears is judged by sound alone.

use serde::Serialize;

use crate::media::Quality;
use crate::people::{Participant, Subscription};

#[cfg(test)]
mod tests;

/// What a client tells of the last few seconds.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    pub interval_ms: u32,
    pub client: ClientFacts,
    /// Round trip of the connectivity checks.
    pub rtt_ms: Option<u32>,
    pub inbound: Vec<Inbound>,
    pub outbound: Vec<Outbound>,
}

/// What samples are told apart by. In the client's own words; may be empty.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ClientFacts {
    pub browser: String,
    pub device: String,
    pub network: String,
    /// The client's time zone.
    pub region: String,
}

/// One m-line on which the client receives. Counts are those of the interval.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Inbound {
    pub mid: String,
    pub video: bool,
    pub packets: u32,
    pub lost: u32,
    pub jitter_ms: u32,
    /// How long what arrived waited to be played.
    pub delay_ms: u32,
    pub frames_per_s: u32,
    pub width: u32,
    pub height: u32,
    pub freezes: u32,
    pub frozen_ms: u32,
}

/// One m-line on which the client sends.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outbound {
    pub mid: String,
    pub video: bool,
    pub packets: u32,
    /// As our reports tell the client, in millionths.
    pub lost_ppm: Option<u32>,
    pub frames_per_s: u32,
    pub width: u32,
    pub height: u32,
    /// Why it sends no more: the browser's word.
    pub limitation: String,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    pub all: Option<f64>,
    pub audio: Option<f64>,
    pub video: Option<f64>,
}

/// A report with what it comes to.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Sample {
    pub room: String,
    pub identity: String,
    pub participant: String,
    pub client: ClientFacts,
    pub score: Scores,
    pub rtt_ms: Option<u32>,
    pub jitter_ms: Option<u32>,
    /// Shares from 0 to 1. On the way to us: as our receiver reports say.
    pub loss_uplink: Option<f64>,
    /// On the way to the client, with what was lost before and could not be had again.
    pub loss_downlink: Option<f64>,
    /// Share of the time in which pictures stood still.
    pub frozen: Option<f64>,
    pub estimate_bps: Option<u64>,
    pub inbound: Vec<Received>,
    pub outbound: Vec<Outbound>,
}

/// What arrives, and why it is no more.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Received {
    #[serde(flatten)]
    pub inbound: Inbound,
    pub publication: Option<String>,
    pub layer: Option<(u8, u8)>,
    pub reason: Option<&'static str>,
}

/// In words. A change of it is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Level {
    Good,
    Fair,
    Poor,
}

impl Level {
    pub fn of(score: f64) -> Self {
        match score {
            score if score >= 3.8 => Self::Good,
            score if score >= 3.0 => Self::Fair,
            _ => Self::Poor,
        }
    }
}

impl Sample {
    pub fn new(room: &str, participant: &Participant, report: Report) -> Self {
        let Report { interval_ms, client, rtt_ms, inbound, outbound } = report;
        let subscription = |mid: &str| participant.subscriptions.iter().find(|s| s.mid.as_deref() == Some(mid));
        let audio = mean(inbound.iter().filter(|i| !i.video && i.packets > 0).map(|i| audio_score(i, rtt_ms)));
        let video = mean(inbound.iter().filter_map(|i| picture_score(i, subscription(&i.mid), interval_ms)));
        let frozen = mean(inbound.iter().filter(|i| i.video && i.packets > 0).map(|i| share(i.frozen_ms, interval_ms)));
        let (packets, lost) = inbound.iter().fold((0_u64, 0_u64), |(p, l), i| (p + u64::from(i.packets), l + u64::from(i.lost)));
        let sends = outbound.iter().filter_map(|o| Some((f64::from(o.lost_ppm?) / 1e6, f64::from(o.packets))));
        let (weighted, weight) = sends.fold((0.0, 0.0), |(sum, all), (lost, packets)| (sum + lost * packets, all + packets));
        let received = inbound.into_iter().map(|inbound| {
            let subscription = subscription(&inbound.mid);
            Received {
                publication: subscription.map(|s| crate::message::publication_text(s.source.publication)),
                layer: subscription.and_then(|s| s.quality?.current),
                reason: subscription.and_then(|s| s.quality).map(|quality| quality.reason),
                inbound,
            }
        });
        let inbound: Vec<Received> = received.collect();
        Self {
            room: room.to_owned(),
            identity: participant.ticket.identity.clone(),
            participant: participant.text(),
            client,
            score: Scores { all: together(audio, video), audio, video },
            rtt_ms,
            jitter_ms: inbound.iter().map(|i| i.inbound.jitter_ms).max(),
            loss_uplink: (weight > 0.0).then(|| weighted / weight),
            loss_downlink: (packets + lost > 0).then(|| lost as f64 / (packets + lost) as f64),
            frozen,
            estimate_bps: participant.estimate_bps,
            inbound,
            outbound,
        }
    }
}

/// A share of the whole, at most all of it.
fn share(part: u32, whole: u32) -> f64 {
    if whole == 0 { 0.0 } else { (f64::from(part) / f64::from(whole)).min(1.0) }
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, count) = values.fold((0.0, 0.0), |(sum, count), value| (sum + value, count + 1.0));
    (count > 0.0).then(|| sum / count)
}

fn together(audio: Option<f64>, video: Option<f64>) -> Option<f64> {
    match (audio, video) {
        (Some(audio), Some(video)) => Some(0.6 * audio + 0.4 * video),
        (audio, video) => audio.or(video),
    }
}

fn audio_score(inbound: &Inbound, rtt_ms: Option<u32>) -> f64 {
    // From mouth to ear: half the round trip, what waits to be played (at least the jitter), and the encoder's frame with its look-ahead.
    let waits = f64::from(inbound.delay_ms.max(2 * inbound.jitter_ms));
    let delay = f64::from(rtt_ms.unwrap_or(0)) / 2.0 + waits + 26.5;
    let lost_percent = 100.0 * share(inbound.lost, inbound.packets.saturating_add(inbound.lost));
    emodel(delay, lost_percent)
}

/// ITU-T G.107, with the simplified delay impairment of its section 7.4 (as in Cole and Rosenbluth's reduction) and Ie = 0, Bpl = 25.1 (G.113).
pub fn emodel(delay_ms: f64, lost_percent: f64) -> f64 {
    let delay = 0.024 * delay_ms + 0.11 * (delay_ms - 177.3).max(0.0);
    let equipment = 95.0 * lost_percent / (lost_percent + 25.1);
    let r = 93.2 - delay - equipment;
    if r <= 0.0 {
        return 1.0;
    }
    // G.107 annex B. It ends at 4.5.
    (1.0 + 0.035 * r + r * (r - 60.0) * (100.0 - r) * 7e-6).clamp(1.0, 4.5)
}

/// `None`: nothing is meant to arrive there.
fn picture_score(inbound: &Inbound, subscription: Option<&Subscription>, interval_ms: u32) -> Option<f64> {
    let subscription = subscription.filter(|_| inbound.video)?;
    let wanted = subscription.preferences.visible && subscription.quality.is_none_or(|quality| quality.target.is_some());
    if !wanted && inbound.packets == 0 {
        return None;
    }
    let shown = if is_held_back(subscription.quality) { u32::from(subscription.preferences.height) } else { 0 };
    let full = if subscription.preferences.screen { 5.0 } else { 24.0 };
    Some(video_score(share(inbound.frozen_ms, interval_ms), f64::from(inbound.frames_per_s) / full, inbound.height, shown))
}

/// Whether it is the way that keeps a better picture back, and not the publisher or the viewer's wish.
fn is_held_back(quality: Option<Quality>) -> bool {
    quality.is_some_and(|quality| ["estimate", "loss", "audio_only", "backlog"].contains(&quality.reason))
}

/// `rate`: frames got of those that a fluent picture has. `shown`: 0 when it does not matter.
pub fn video_score(frozen: f64, rate: f64, height: u32, shown: u32) -> f64 {
    let steady = (1.0 - frozen.clamp(0.0, 1.0)).powi(8);
    let smooth = rate.clamp(0.0, 1.0).sqrt();
    let sharp = if shown == 0 { 1.0 } else { share(height, shown).sqrt() };
    1.0 + 4.0 * steady * smooth * sharp
}

//! One room's voices: those of this shard, and the loudest of others.

use std::time::{Duration, Instant};

use pointsman_wire::net::ShardId;
use slab::Slab;

use super::{Levels, SpeakersConfig, VOICES_TOLD_MAX, VoiceLevel};
use crate::{ParticipantId, PublicationId, RoomId};

/// Level of silence (RFC 6464 section 3); loudness is what is above it.
const SILENCE_DB: u8 = 127;
/// Somebody must be louder than another by so much to take its place.
const MARGIN_DB: u8 = 6;
/// Smoothed loudness is kept in fractions of a decibel.
const FRACTION: u16 = 64;
/// A voice without packets for so long is silent: its client sends none in silence (DTX), or is muted.
const PACKET_GAP_MAX: Duration = Duration::from_millis(250);
/// A shard that has said nothing for so long has nobody there any more.
const NEWS_AGE_MAX: Duration = Duration::from_secs(5);
/// Closed voices that may open between two looks, before it is seen how many that makes.
const SURPRISES_MAX: u8 = 4;

/// What becomes of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gate {
    Pass,
    /// It is the first of those that go on again.
    Opened,
    /// Others are louder.
    Closed,
}

#[derive(Debug)]
pub struct Room {
    pub id: RoomId,
    voices: Slab<Voice>,
    /// How many voices each other shard has.
    others: Vec<(ShardId, u16, Instant)>,
    dominant: Option<ParticipantId>,
    /// Who is louder than the dominant speaker, and since when.
    challenger: Option<(ParticipantId, Instant)>,
    /// Sound of the loudest alone goes on.
    gating: bool,
    /// What a closed voice must exceed to be let in at once, in fractions of a decibel.
    entry: u16,
    surprises: u8,
    /// The speakers of whom control knows.
    told: [Option<ParticipantId>; VOICES_TOLD_MAX],
    told_at: Option<Instant>,
    /// Somebody was loud at the last look.
    lively: bool,
    /// When the room is looked at next.
    pub timer: Option<Instant>,
}

#[derive(Clone, Copy, Debug)]
struct Voice {
    publication: PublicationId,
    participant: ParticipantId,
    /// `None`: here.
    shard: Option<ShardId>,
    /// Smoothed, in fractions of a decibel above silence.
    loudness: u16,
    /// Last packet, or last news.
    seen: Option<Instant>,
    /// When it was loud last.
    heard: Option<Instant>,
    open: bool,
    /// As of the last look it is among those that are heard; it opens with its next packet.
    welcome: bool,
}

/// Order of voices: who has spoken lately, then who is louder; the rest makes it the same on every shard.
type Score = (bool, u16, PublicationId);

impl Voice {
    fn speaks(&self, now: Instant, hold: Duration) -> bool {
        self.heard.is_some_and(|heard| now.saturating_duration_since(heard) < hold)
    }

    /// Who is in has an advantage over who is not.
    fn score(&self, now: Instant, config: &SpeakersConfig) -> Score {
        let advantage = if self.open { u16::from(MARGIN_DB) } else { 0 };
        // In whole decibels: other shards know no fractions, and all must come to the same end.
        (self.speaks(now, config.hold), self.loudness / FRACTION + advantage, self.publication)
    }

    fn hear(&mut self, now: Instant, config: &SpeakersConfig, level_db: u8) -> bool {
        let loudness = u16::from(SILENCE_DB.saturating_sub(level_db)) * FRACTION;
        // Fast up, slowly down: a word rises at once and its pauses do not count.
        self.loudness = match loudness > self.loudness {
            true => self.loudness + (loudness - self.loudness) / 2,
            false => self.loudness - (self.loudness - loudness) / 16,
        };
        self.seen = Some(now);
        let loud = level_db < config.level_min_db;
        if loud {
            self.heard = Some(now);
        }
        loud
    }
}

impl Room {
    pub fn new(id: RoomId) -> Self {
        Self {
            id,
            voices: Slab::new(),
            others: Vec::new(),
            dominant: None,
            challenger: None,
            gating: false,
            entry: 0,
            surprises: 0,
            told: [None; VOICES_TOLD_MAX],
            told_at: None,
            lively: false,
            timer: None,
        }
    }

    pub fn begin_voice(&mut self, publication: PublicationId, participant: ParticipantId) -> u32 {
        let voice = Voice { publication, participant, shard: None, loudness: 0, seen: None, heard: None, open: true, welcome: true };
        self.voices.insert(voice) as u32
    }

    pub fn end_voice(&mut self, at: u32) {
        let ended = self.voices.try_remove(at as usize);
        if let Some(ended) = ended
            && self.dominant == Some(ended.participant)
        {
            self.dominant = None;
        }
    }

    pub fn dominant(&self) -> Option<ParticipantId> {
        self.dominant
    }

    pub fn is_open(&self, at: u32) -> bool {
        self.voices.get(at as usize).is_none_or(|voice| voice.open)
    }

    /// Whether a publication is left out because others are louder, as far as this shard can know.
    pub fn leaves_out(&self, publication: PublicationId) -> bool {
        let open = |voice: &Voice| voice.publication == publication && voice.open;
        self.gating && !self.voices.iter().any(|(_, voice)| open(voice))
    }

    /// Whether the room has to be looked at often.
    pub fn is_lively(&self) -> bool {
        self.lively
    }

    /// Publications with a voice on this shard.
    pub fn local(&self) -> impl Iterator<Item = PublicationId> + '_ {
        self.voices.iter().filter(|(_, voice)| voice.shard.is_none()).map(|(_, voice)| voice.publication)
    }

    /// A local voice's packet. A word must not wait for the next look to be let through.
    pub fn hear(&mut self, now: Instant, config: &SpeakersConfig, at: u32, level_db: u8) -> Gate {
        let Some(voice) = self.voices.get_mut(at as usize) else { return Gate::Pass };
        let loud = voice.hear(now, config, level_db);
        self.lively |= loud;
        if voice.open {
            return Gate::Pass;
        }
        let instant = u16::from(SILENCE_DB.saturating_sub(level_db)) * FRACTION;
        let enters = !self.gating || voice.welcome || (loud && instant > self.entry && self.surprises < SURPRISES_MAX);
        if !enters {
            return Gate::Closed;
        }
        voice.open = true;
        self.surprises = self.surprises.saturating_add(1);
        Gate::Opened
    }

    /// What another shard tells of its loudest. Those that it does not name are quiet.
    pub fn take_levels(&mut self, now: Instant, shard: ShardId, levels: &Levels) {
        match self.others.iter_mut().find(|(other, ..)| *other == shard) {
            Some(other) => *other = (shard, levels.count, now),
            None => self.others.push((shard, levels.count, now)),
        }
        let named = |voice: &Voice| levels.voices.iter().flatten().any(|level| level.publication == voice.publication);
        self.voices.retain(|_, voice| voice.shard != Some(shard) || named(voice));
        for level in levels.voices.iter().flatten() {
            self.take_level(now, shard, level);
            self.lively |= level.loud;
        }
    }

    fn take_level(&mut self, now: Instant, shard: ShardId, level: &VoiceLevel) {
        let known = self.voices.iter_mut().find(|(_, voice)| voice.publication == level.publication);
        let heard = |before: Option<Instant>| if level.loud { Some(now) } else { before };
        let loudness = u16::from(level.loudness.min(SILENCE_DB)) * FRACTION;
        match known {
            // What is heard here is known better here.
            Some((_, voice)) if voice.shard.is_none() => {}
            Some((_, voice)) => {
                *voice = Voice { loudness, seen: Some(now), heard: heard(voice.heard), shard: Some(shard), ..*voice };
            }
            None => {
                let VoiceLevel { publication, participant, .. } = *level;
                let voice = Voice {
                    publication,
                    participant,
                    shard: Some(shard),
                    loudness,
                    seen: Some(now),
                    heard: heard(None),
                    open: true,
                    welcome: true,
                };
                self.voices.insert(voice);
            }
        }
    }

    /// The regular look: who is let through, who dominates. `false` when there is nothing left to look at.
    pub fn look(&mut self, now: Instant, config: &SpeakersConfig) -> bool {
        self.others.retain(|(_, _, told)| now.saturating_duration_since(*told) < NEWS_AGE_MAX);
        let others = &self.others;
        self.voices.retain(|_, voice| voice.shard.is_none_or(|shard| others.iter().any(|(other, ..)| *other == shard)));
        for (_, voice) in &mut self.voices {
            let gap = voice.seen.map_or(Duration::MAX, |seen| now.saturating_duration_since(seen));
            if voice.shard.is_none() && gap >= PACKET_GAP_MAX {
                voice.loudness /= 2;
            }
        }
        self.lively = self.voices.iter().any(|(_, voice)| voice.speaks(now, config.hold));
        self.see_dominant(now, config);
        self.open_loudest(now, config);
        !self.voices.is_empty() || !self.others.is_empty()
    }

    fn see_dominant(&mut self, now: Instant, config: &SpeakersConfig) {
        let gap = 2 * config.interval;
        let speaking = self.voices.iter().map(|(_, voice)| voice).filter(|voice| voice.speaks(now, gap.max(PACKET_GAP_MAX)));
        let Some(loudest) = speaking.max_by_key(|voice| (voice.loudness, voice.publication)) else {
            self.challenger = None;
            return; // Who spoke last dominates until somebody else speaks.
        };
        let (loudest, loudness) = (loudest.participant, loudest.loudness);
        let Some(dominant) = self.dominant else {
            self.dominant = Some(loudest);
            return;
        };
        let margin = u16::from(MARGIN_DB) * FRACTION / 2;
        let present = self.voices.iter().filter(|(_, voice)| voice.participant == dominant).map(|(_, voice)| voice.loudness).max();
        if loudest == dominant || present.is_some_and(|present| loudness < present + margin) {
            self.challenger = None;
            return;
        }
        let since = self.challenger.filter(|(challenger, _)| *challenger == loudest).map_or(now, |(_, since)| since);
        self.challenger = Some((loudest, since));
        if now.saturating_duration_since(since) >= config.dominant_after {
            self.dominant = Some(loudest);
            self.challenger = None;
        }
    }

    fn open_loudest(&mut self, now: Instant, config: &SpeakersConfig) {
        self.surprises = 0;
        let heard_max = (config.loudest_max + 1).min(VOICES_TOLD_MAX);
        let local = self.voices.iter().filter(|(_, voice)| voice.shard.is_none()).count();
        let count = local + self.others.iter().map(|(_, count, _)| usize::from(*count)).sum::<usize>();
        self.gating = config.loudest_max > 0 && count > heard_max;
        if !self.gating {
            // A local one that was closed opens with its next packet, which must begin anew.
            return;
        }
        let dominant = self.dominant;
        let mut best: [Option<Score>; VOICES_TOLD_MAX] = [None; VOICES_TOLD_MAX];
        for (_, voice) in &self.voices {
            let mut score = voice.score(now, config);
            if Some(voice.participant) == dominant && score.0 {
                score.1 = u16::MAX;
            }
            insert(&mut best[..heard_max], score);
        }
        let in_best = |publication| best[..heard_max].iter().flatten().any(|score| score.2 == publication);
        let mut quietest = u16::MAX;
        let mut speaking = 0;
        for (_, voice) in &mut self.voices {
            let among = in_best(voice.publication);
            // Nobody is let in by a look: that is for the first packet to do, which begins anew.
            voice.welcome = among;
            voice.open = among && (voice.open || voice.shard.is_some());
            if among && voice.speaks(now, config.hold) {
                quietest = quietest.min(voice.loudness);
                speaking += 1;
            }
        }
        self.entry = if speaking < heard_max { 0 } else { quietest.saturating_add(u16::from(MARGIN_DB) * FRACTION) };
    }

    /// What other shards should know.
    pub fn levels(&self, now: Instant, config: &SpeakersConfig) -> Levels {
        let mut best: [Option<Score>; VOICES_TOLD_MAX] = [None; VOICES_TOLD_MAX];
        let mut count = 0_u16;
        for (_, voice) in self.voices.iter().filter(|(_, voice)| voice.shard.is_none()) {
            insert(&mut best, voice.score(now, config));
            count = count.saturating_add(1);
        }
        let level = |score: Score| {
            let (_, voice) = self.voices.iter().find(|(_, voice)| voice.shard.is_none() && voice.publication == score.2)?;
            let Voice { publication, participant, loudness, .. } = *voice;
            let loud = voice.speaks(now, config.interval.max(PACKET_GAP_MAX));
            Some(VoiceLevel { publication, participant, loudness: (loudness / FRACTION) as u8, loud })
        };
        Levels { count, voices: best.map(|score| score.and_then(level)) }
    }

    /// Who speaks, the dominant speaker first, if that differs from what this said last.
    pub fn news(&mut self, now: Instant, config: &SpeakersConfig) -> Option<Vec<ParticipantId>> {
        let mut best: [Option<Score>; VOICES_TOLD_MAX] = [None; VOICES_TOLD_MAX];
        for (_, voice) in self.voices.iter().filter(|(_, voice)| voice.speaks(now, config.hold)) {
            let advantage = if Some(voice.participant) == self.dominant { u16::MAX / 2 } else { 0 };
            insert(&mut best, (true, voice.loudness / FRACTION + advantage, voice.publication));
        }
        let mut speakers = [None; VOICES_TOLD_MAX];
        for (publication, place) in best.iter().flatten().map(|score| score.2).zip(&mut speakers) {
            let voice = self.voices.iter().find(|(_, voice)| voice.publication == publication);
            *place = voice.map(|(_, voice)| voice.participant);
        }
        // Somebody may have two microphones.
        for at in 1..speakers.len() {
            if speakers[..at].contains(&speakers[at]) {
                speakers[at] = None;
            }
        }
        let among = |all: &[Option<ParticipantId>], one: &Option<ParticipantId>| all.contains(one);
        let same = speakers[0] == self.told[0]
            && speakers.iter().flatten().count() == self.told.iter().flatten().count()
            && speakers.iter().all(|one| one.is_none() || among(&self.told, one));
        let soon = self.told_at.is_some_and(|told| now.saturating_duration_since(told) < NEWS_INTERVAL);
        if same || soon {
            return None;
        }
        self.told = speakers;
        self.told_at = Some(now);
        Some(speakers.into_iter().flatten().collect())
    }
}

/// Between two things told to control about one room.
const NEWS_INTERVAL: Duration = Duration::from_millis(300);

/// Puts a score in its place among the best, the greatest first.
fn insert(best: &mut [Option<Score>], score: Score) {
    let Some(at) = best.iter().position(|other| other.is_none_or(|other| other < score)) else { return };
    best[at..].rotate_right(1);
    best[at] = Some(score);
}

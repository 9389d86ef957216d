//! A media side for tests. It reads offers of its own simple kind, a line per m-line: `m=video 9 send MID` or `m=audio 9 recv MID`.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard};

use crate::media::{
    Answer, DataMessage, Front, IceServer, Kind, Media, MediaError, ParticipantId, Placed, Placement, Preferences, PublicationId,
    Published, RoomId, Source, Trickled, Waiting,
};

#[derive(Default)]
pub struct FakeMedia {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    people: BTreeMap<ParticipantId, Person>,
    published_total: u64,
    muted: Vec<PublicationId>,
    /// What went over data channels.
    data: Vec<(Vec<ParticipantId>, DataMessage)>,
    /// `open` and `send_data` fail.
    busy: bool,
}

pub struct Person {
    pub may_publish: bool,
    pub may_subscribe: bool,
    pub published: Vec<Published>,
    receiving: Vec<(Kind, String)>,
    pub wanted: Vec<(Source, Option<String>)>,
    preferences: BTreeMap<PublicationId, Preferences>,
    /// The client's, as its last fragment said.
    ufrag: String,
}

impl Person {
    /// Gives free m-lines to who has waited longest.
    fn place(&mut self) {
        for index in 0..self.wanted.len() {
            let (source, mid) = &self.wanted[index];
            if mid.is_none() {
                let free = self
                    .receiving
                    .iter()
                    .find(|(kind, mid)| *kind == source.kind && !self.wanted.iter().any(|(_, used)| used.as_ref() == Some(mid)));
                self.wanted[index].1 = free.map(|(_, mid)| mid.clone());
            }
        }
    }

    fn waiting(&self) -> Waiting {
        let count = |kind| self.wanted.iter().filter(|(s, mid)| s.kind == kind && mid.is_none()).count() as u16;
        Waiting { audio: count(Kind::Audio), video: count(Kind::Video) }
    }
}

impl FakeMedia {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }
    pub fn open_count(&self) -> usize {
        self.state().people.len()
    }
    pub fn is_open(&self, id: ParticipantId) -> bool {
        self.state().people.contains_key(&id)
    }
    pub fn is_muted(&self, id: PublicationId) -> bool {
        self.state().muted.contains(&id)
    }
    pub fn take_data(&self) -> Vec<(Vec<ParticipantId>, DataMessage)> {
        std::mem::take(&mut self.state().data)
    }
    pub fn set_busy(&self, busy: bool) {
        self.state().busy = busy;
    }
    pub fn ids(&self) -> Vec<ParticipantId> {
        self.state().people.keys().copied().collect()
    }
    pub fn with<T>(&self, id: ParticipantId, look: impl FnOnce(&Person) -> T) -> T {
        look(&self.state().people[&id])
    }
    /// What a participant wants of a subscription, as the last `prefer` said.
    pub fn preferences(&self, id: ParticipantId, publication: PublicationId) -> Preferences {
        self.with(id, |person| person.preferences.get(&publication).copied().unwrap_or_default())
    }
    /// What a participant receives, as (mid, publication), in order of mids.
    pub fn received(&self, id: ParticipantId) -> Vec<(String, PublicationId)> {
        let mut received =
            self.with(id, |person| person.wanted.iter().filter_map(|(s, mid)| Some((mid.clone()?, s.publication))).collect::<Vec<_>>());
        received.sort();
        received
    }
}

impl Media for FakeMedia {
    fn open(&self, participant: ParticipantId, _: RoomId, _: Front, may_publish: bool, may_subscribe: bool) -> Result<(), MediaError> {
        if self.state().busy {
            return Err(MediaError::Busy);
        }
        let (published, receiving, wanted, preferences) = Default::default();
        let ufrag = "first".to_owned();
        let person = Person { may_publish, may_subscribe, published, receiving, wanted, preferences, ufrag };
        assert!(self.state().people.insert(participant, person).is_none(), "opened twice");
        Ok(())
    }

    fn offer(&self, participant: ParticipantId, offer: &str) -> Result<Answer, MediaError> {
        let state = &mut *self.state();
        let person = state.people.get_mut(&participant).ok_or(MediaError::UnknownParticipant)?;
        if !offer.starts_with("v=0") {
            return Err(MediaError::Malformed { line: Some(1), reason: "not SDP".into() });
        }
        if offer.contains("nothing") {
            return Err(MediaError::Unacceptable { reason: "no common codec".into() });
        }
        let before = std::mem::take(&mut person.published);
        person.receiving.clear();
        for line in offer.lines().filter_map(|line| line.strip_prefix("m=")) {
            let words: Vec<&str> = line.split(' ').collect();
            let kind = if words[0] == "audio" { Kind::Audio } else { Kind::Video };
            let mid = words[3].to_owned();
            if words[2] == "recv" && person.may_subscribe {
                person.receiving.push((kind, mid));
            } else if words[2] == "send" && person.may_publish {
                let known = before.iter().find(|published| published.mid == mid).cloned();
                person.published.push(known.unwrap_or_else(|| {
                    state.published_total += 1;
                    let publication = PublicationId(0x1000 + state.published_total);
                    Published { publication, mid, kind, codec: "VP8".into(), simulcast: false }
                }));
            }
        }
        person.place();
        let placed = person.wanted.iter();
        let placed = placed.filter_map(|(s, mid)| Some(Placed { publication: s.publication, mid: mid.clone()? })).collect();
        let sdp = format!("answer to {} m-lines", offer.lines().count() - 1);
        Ok(Answer { sdp, published: person.published.clone(), placed, waiting: person.waiting() })
    }

    fn candidate(&self, _: ParticipantId, candidate: &str) -> Result<(), MediaError> {
        if candidate.is_empty() || candidate.starts_with("candidate:") {
            return Ok(());
        }
        Err(MediaError::Malformed { line: None, reason: "not a candidate".into() })
    }

    /// A fragment here is `ufrag NAME`; another name than before is a restart.
    fn trickle(&self, participant: ParticipantId, fragment: &str) -> Result<Trickled, MediaError> {
        let state = &mut *self.state();
        let person = state.people.get_mut(&participant).ok_or(MediaError::UnknownParticipant)?;
        match fragment.split_once(' ') {
            Some(("ufrag", name)) if name == person.ufrag => Ok(Trickled::Candidates),
            Some(("ufrag", "bad")) => Err(MediaError::Unacceptable { reason: "no such m-line".into() }),
            Some(("ufrag", name)) => {
                name.clone_into(&mut person.ufrag);
                Ok(Trickled::Restarted { fragment: format!("answer to {name}") })
            }
            _ => Err(MediaError::Malformed { line: Some(1), reason: "not a fragment".into() }),
        }
    }

    fn counter_offer(&self, participant: ParticipantId, at_least: Waiting) -> Result<String, MediaError> {
        if !self.state().people.contains_key(&participant) {
            return Err(MediaError::UnknownParticipant);
        }
        Ok(format!("offer of {} audio and {} video", at_least.audio, at_least.video))
    }

    fn answer(&self, participant: ParticipantId, answer: &str) -> Result<Answer, MediaError> {
        self.offer(participant, answer).map(|answer| Answer { sdp: String::new(), ..answer })
    }

    fn subscribe(&self, participant: ParticipantId, source: Source) -> Result<Placement, MediaError> {
        let state = &mut *self.state();
        let exists = state
            .people
            .get(&source.publisher)
            .is_some_and(|publisher| publisher.published.iter().any(|published| published.publication == source.publication));
        assert!(exists, "subscribed to what is not there");
        let person = state.people.get_mut(&participant).ok_or(MediaError::UnknownParticipant)?;
        if !person.wanted.iter().any(|(wanted, _)| *wanted == source) {
            person.wanted.push((source, None));
        }
        person.place();
        let mid = person.wanted.iter().find(|(wanted, _)| *wanted == source).and_then(|(_, mid)| mid.clone());
        Ok(mid.map_or(Placement::Waiting(person.waiting()), |mid| Placement::Placed { mid }))
    }

    fn unsubscribe(&self, participant: ParticipantId, publication: PublicationId) {
        if let Some(person) = self.state().people.get_mut(&participant) {
            person.wanted.retain(|(source, _)| source.publication != publication);
            person.preferences.remove(&publication);
            person.place();
        }
    }

    fn prefer(&self, participant: ParticipantId, publication: PublicationId, preferences: Preferences) {
        let mut state = self.state();
        let person = state.people.get_mut(&participant).expect("it is there");
        assert!(person.wanted.iter().any(|(source, _)| source.publication == publication), "preferred without a subscription");
        person.preferences.insert(publication, preferences);
    }

    fn set_muted(&self, publisher: ParticipantId, publication: PublicationId, muted: bool) {
        let mut state = self.state();
        assert!(state.people[&publisher].published.iter().any(|published| published.publication == publication));
        state.muted.retain(|id| *id != publication);
        if muted {
            state.muted.push(publication);
        }
    }

    fn send_data(&self, to: &[ParticipantId], message: DataMessage) -> Result<(), MediaError> {
        let mut state = self.state();
        if state.busy {
            return Err(MediaError::Busy);
        }
        assert!(to.iter().all(|participant| state.people.contains_key(participant)), "data for who is not there");
        state.data.push((to.to_vec(), message));
        Ok(())
    }

    fn grant(&self, participant: ParticipantId, may_publish: bool, may_subscribe: bool) {
        let mut state = self.state();
        let person = state.people.get_mut(&participant).expect("it is there");
        (person.may_publish, person.may_subscribe) = (may_publish, may_subscribe);
    }

    fn move_to(&self, participant: ParticipantId, _: RoomId, sources: &[Source]) -> Result<Vec<Placement>, MediaError> {
        if let Some(person) = self.state().people.get_mut(&participant) {
            person.wanted.clear();
            person.preferences.clear();
        }
        sources.iter().map(|source| self.subscribe(participant, *source)).collect()
    }

    fn close(&self, participant: ParticipantId) {
        self.state().people.remove(&participant).expect("closed once, and open before");
    }

    fn ice_servers(&self, identity: &str) -> Vec<IceServer> {
        let turn = vec!["turn:192.0.2.1:3478?transport=udp".to_owned(), "turn:192.0.2.1:3478?transport=tcp".to_owned()];
        let stun = IceServer { urls: vec!["stun:192.0.2.1:3478".into()], username: String::new(), credential: String::new() };
        vec![stun, IceServer { urls: turn, username: format!("1700000000:{identity}"), credential: "c2VjcmV0".into() }]
    }
}

/// A "random" source that counts, so that tests can be read.
pub fn counting() -> impl FnMut() -> u64 + Send {
    let mut last = 0;
    move || {
        last += 1;
        last
    }
}

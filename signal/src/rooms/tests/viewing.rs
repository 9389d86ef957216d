//! What clients want of subscriptions, and what they are told of them.

use super::*;
use crate::media::{Preferences, Quality};
use crate::message::{Wish, participant_text};

pub const WISH: Wish = Wish { width: 0, height: 0, visible: true, pinned: false, priority: 0, spatial_max: None, temporal_max: None };
const RECEIVING: &str = "v=0\nm=audio 9 recv 2\nm=video 9 recv 3";
const LOW: Quality = Quality { current: Some((0, 2)), target: Some((0, 2)), bitrate_bps: 160_000, reason: "viewport" };

impl World {
    fn event(&mut self, event: MediaEvent) {
        self.rooms.handle_media_event(event, &self.media);
    }

    /// Ann publishes a camera, Bob has subscribed to it.
    fn ann_and_bob() -> (Self, ParticipantId, ParticipantId, PublicationId) {
        let mut w = Self::new();
        let (ann, published) = w.join_and_publish("ann");
        let bob = w.join("bob");
        w.offer(bob, RECEIVING);
        w.told(bob);
        (w, ann, bob, published[1])
    }
}

#[test]
fn a_wish_goes_to_the_media_side_whole() {
    let (mut w, _, bob, camera) = World::ann_and_bob();
    let wish = Wish { width: 640, height: 360, pinned: true, priority: 3, spatial_max: Some(1), ..WISH };
    w.ask(bob, Request::Prefer { publication: camera, wish });
    assert_eq!(w.told(bob), vec![ServerMessage::Ok { id: 7 }]);
    let any = Preferences::default();
    let wanted = Preferences { width: 640, height: 360, pinned: true, priority: 3, spatial_max: 1, ..any };
    assert_eq!(w.media.preferences(bob, camera), wanted);
    // The next says all again.
    w.ask(bob, Request::Prefer { publication: camera, wish: Wish { visible: false, ..WISH } });
    assert_eq!(w.media.preferences(bob, camera), Preferences { visible: false, ..any });
}

#[test]
fn one_prefers_only_what_one_receives() {
    let (mut w, ann, bob, camera) = World::ann_and_bob();
    let request = || Request::Prefer { publication: camera, wish: WISH };
    assert_eq!(w.refused(ann, request()), ErrorCode::NotFound, "one's own");
    w.ask(bob, Request::Unsubscribe { publication: camera });
    assert_eq!(w.refused(bob, request()), ErrorCode::NotFound);
}

#[test]
fn a_wish_holds_while_it_waits_for_an_m_line() {
    let mut w = World::new();
    let (_, published) = w.join_and_publish("ann");
    let (_, later) = w.join_and_publish("eve");
    let bob = w.join("bob");
    w.offer(bob, RECEIVING);
    let camera = later[1];
    assert_eq!(w.media.received(bob).len(), 2, "eve's wait");
    w.ask(bob, Request::Prefer { publication: camera, wish: Wish { pinned: true, ..WISH } });
    w.ask(bob, Request::Unsubscribe { publication: published[1] });
    assert!(w.media.received(bob).contains(&("3".into(), camera)));
    assert!(w.media.preferences(bob, camera).pinned);
}

#[test]
fn a_screen_is_known_as_one() {
    let (mut w, ann, bob, camera) = World::ann_and_bob();
    assert!(!w.media.preferences(bob, camera).screen);
    w.ask(bob, Request::Prefer { publication: camera, wish: Wish { width: 320, ..WISH } });
    w.ask(ann, Request::Publish { track: track("v", TrackSource::Screen) });
    let preferences = w.media.preferences(bob, camera);
    assert_eq!((preferences.screen, preferences.width), (true, 320));
    w.ask(bob, Request::Prefer { publication: camera, wish: WISH });
    assert!(w.media.preferences(bob, camera).screen, "its viewers have no say in that");
    let late = w.join("late");
    assert!(w.media.preferences(late, camera).screen);
    w.ask(ann, Request::Publish { track: track("v", TrackSource::Camera) });
    assert!(!w.media.preferences(bob, camera).screen);
}

#[test]
fn quality_is_told_to_its_viewer_when_it_changes() {
    let (mut w, ann, bob, camera) = World::ann_and_bob();
    let quality = |quality| MediaEvent::Quality { participant: bob, publication: camera, quality };
    let told = |quality: Quality| ServerMessage::Quality { publication: publication_text(camera), quality: quality.into() };
    w.event(quality(LOW));
    assert_eq!(w.told(bob), vec![told(LOW)]);
    w.event(quality(LOW));
    w.event(quality(Quality { bitrate_bps: 170_000, ..LOW }));
    assert_eq!(w.told(bob), vec![], "it merely sways");
    let grown = Quality { bitrate_bps: 190_000, ..LOW };
    w.event(quality(grown));
    let hidden = Quality { current: None, target: None, bitrate_bps: 0, reason: "hidden" };
    w.event(quality(hidden));
    assert_eq!(w.told(bob), vec![told(grown), told(hidden)]);
    w.event(MediaEvent::Quality { participant: ann, publication: camera, quality: LOW });
    w.ask(bob, Request::Unsubscribe { publication: camera });
    w.told(bob);
    w.event(quality(LOW));
    assert_eq!(w.told(bob), vec![], "it has ended");
}

#[test]
fn estimates_and_wanted_layers_go_to_whom_they_concern() {
    let (mut w, ann, bob, camera) = World::ann_and_bob();
    for _ in 0..2 {
        w.event(MediaEvent::Estimate { participant: bob, estimate_bps: 700_000 });
    }
    w.event(MediaEvent::LayersWanted { publisher: bob, publication: camera, spatial_max: Some(2) });
    assert_eq!(w.told(bob), vec![ServerMessage::Estimate { estimate_bps: 700_000 }]);
    w.event(MediaEvent::LayersWanted { publisher: ann, publication: camera, spatial_max: Some(0) });
    let publication = publication_text(camera);
    assert_eq!(w.told(ann), vec![ServerMessage::LayersWanted { publication, spatial_max: Some(0) }]);
}

#[test]
fn speakers_are_told_to_all_and_to_who_comes_later() {
    let (mut w, ann, bob, _) = World::ann_and_bob();
    let room = *w.rooms.rooms.keys().next().unwrap();
    let speak = |speakers| MediaEvent::Speakers { room, speakers };
    let told =
        |speakers: &[ParticipantId]| ServerMessage::Speakers { participants: speakers.iter().copied().map(participant_text).collect() };
    w.event(speak(vec![bob, ann, ParticipantId(999)]));
    assert_eq!(w.told(bob), vec![told(&[bob, ann])]);
    w.event(speak(vec![bob, ann]));
    assert_eq!(w.told(ann), vec![], "known");
    let late = w.join("late");
    w.rooms.tell_joined(late, 1, &w.media);
    let heard = w.told(late);
    assert!(matches!(&heard[..], [.., ServerMessage::Joined { .. }, speakers] if *speakers == told(&[bob, ann])), "{heard:?}");
    w.leave(bob);
    let later = w.join("later");
    w.rooms.tell_joined(later, 1, &w.media);
    assert_eq!(w.told(later).last(), Some(&told(&[ann])));
    w.event(speak(vec![]));
    assert_eq!(w.told(late), vec![told(&[])]);
    w.event(MediaEvent::Speakers { room: RoomId(12345), speakers: vec![ann] });
    assert_eq!(w.told(late), vec![]);
}

#[test]
fn players_are_told_nothing_and_still_counted() {
    let mut w = World::new();
    let (_, published) = w.join_and_publish("ann");
    let plan = Plan { first: None, audio: 1, video: 1 };
    let (player, _) = w.rooms.join_player(ticket("viewer"), plan, RECEIVING, &w.media).unwrap();
    w.event(MediaEvent::Quality { participant: player, publication: published[1], quality: LOW });
    assert_eq!(w.told(player), vec![]);
    let kept = w.rooms.rooms.values().flat_map(Room::people).find(|p| p.id == player).unwrap();
    assert_eq!(kept.subscription(published[1]).unwrap().quality, Some(LOW));
}

//! WebSockets are lost and come back.

use super::*;
use crate::config::RoomConfig;
use crate::message::participant_text;

fn secret(w: &World, id: ParticipantId) -> String {
    let (room, number) = w.rooms.whereabouts[&id];
    w.rooms.rooms[&room].participant(number).unwrap().resume.clone()
}

fn reconnecting(told: &[ServerMessage]) -> Vec<bool> {
    let said = |m: &ServerMessage| match m {
        ServerMessage::ParticipantUpdated { reconnecting, .. } => Some(*reconnecting),
        _ => None,
    };
    told.iter().filter_map(said).collect()
}

#[test]
fn who_is_lost_stays_and_has_all_of_the_state_when_it_is_back() {
    let mut w = World::new();
    let bob = w.join("bob");
    let (ann, _) = w.join_and_publish("ann");
    w.offer(ann, "v=0\nm=audio 9 send a\nm=video 9 send v\nm=video 9 recv 0");
    let resume = secret(&w, ann);
    w.told(bob);
    w.rooms.lose(ann, &w.media);
    assert_eq!(reconnecting(&w.told(bob)), vec![true]);
    // Meanwhile bob begins to publish: it flows to ann, who is not there to hear of it.
    w.offer(bob, CAMERA_AND_MICROPHONE);
    assert!(w.told(ann).is_empty());
    assert_eq!(w.media.received(ann).len(), 1);
    w.pass(29_999);
    assert_eq!(w.rooms.returning(&resume), Some(ann));
    w.rooms.resume(ann, 5, &w.media);
    let told = w.told(ann);
    let [ServerMessage::Resumed { id: 5, entered, published, placed, .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!((entered.participants[0].publications.len(), published.len(), placed.len()), (2, 2, 1));
    assert_eq!(entered.negotiate, Negotiate { audio: 1, video: 0 });
    assert_eq!(entered.resume.token, resume);
    w.pass(60_000);
    assert!(w.media.is_open(ann), "its time is forgotten");
    assert_eq!(w.rooms.next_ms(), None);
}

#[test]
fn who_does_not_come_back_in_time_leaves() {
    let mut w = World::new();
    let (ann, bob) = (w.join("ann"), w.join("bob"));
    let resume = secret(&w, ann);
    w.rooms.lose(ann, &w.media);
    w.told(bob);
    w.pass(30_000);
    let left = ServerMessage::ParticipantLeft { participant: participant_text(ann), reason: LeaveReason::Disconnected };
    assert_eq!(w.told(bob), vec![left]);
    assert_eq!((w.rooms.returning(&resume), w.media.is_open(ann)), (None, false));
}

#[test]
fn a_refreshed_tab_takes_the_place_of_who_is_lost() {
    let mut w = World::new();
    let (ann, bob) = (w.join("ann"), w.join("bob"));
    let resume = secret(&w, ann);
    w.rooms.lose(ann, &w.media);
    let new = w.join("ann");
    assert_eq!((w.rooms.returning(&resume), w.media.is_open(ann), w.media.is_open(new)), (None, false, true));
    assert_eq!(w.rooms.next_ms(), None, "nobody is waited for any more");
    w.leave(bob);
    w.leave(new);
    assert!(w.rooms.by_resume.is_empty());
}

#[test]
fn without_a_grace_who_is_lost_is_gone() {
    let mut w = World::with(Config { room: RoomConfig { resume_grace_s: 0, ..RoomConfig::default() }, ..Config::default() });
    let ann = w.join("ann");
    w.rooms.lose(ann, &w.media);
    assert_eq!((w.rooms.participants(), w.media.open_count()), (0, 0));
}

#[test]
fn what_the_media_side_said_meanwhile_is_said_again() {
    let mut w = World::new();
    let (ann, publications) = w.join_and_publish("ann");
    w.join("bob");
    w.rooms.lose(ann, &w.media);
    let wanted = MediaEvent::LayersWanted { publisher: ann, publication: publications[1], spatial_max: Some(1) };
    w.rooms.handle_media_event(wanted, &w.media);
    w.rooms.handle_media_event(MediaEvent::Estimate { participant: ann, estimate_bps: 77 }, &w.media);
    w.rooms.resume(ann, 1, &w.media);
    let told = w.told(ann);
    assert!(told.contains(&ServerMessage::LayersWanted { publication: publication_text(publications[1]), spatial_max: Some(1) }));
    assert!(told.contains(&ServerMessage::Estimate { estimate_bps: 77 }));
}

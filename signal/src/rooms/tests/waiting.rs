//! The waiting room: nothing of the room leaks to who is held.

use super::*;
use crate::config::RoomConfig;
use crate::message::{SettingsWish, WaiterInfo};

fn waiting_room(on: bool) -> Moderation {
    Moderation::SetRoom(SettingsWish { waiting_room: Some(on), ..SettingsWish::default() })
}

/// A room with its waiting room on, and its host in it.
fn guarded() -> (World, ParticipantId) {
    let mut w = World::new();
    let host = w.join_as_host("host");
    w.moderate(host, waiting_room(true));
    w.told(host);
    (w, host)
}

fn waiters(told: &[ServerMessage]) -> Option<Vec<String>> {
    let waiting = |m: &ServerMessage| if let ServerMessage::WaitingRoom { waiting } = m { Some(waiting.clone()) } else { None };
    told.iter().filter_map(waiting).next_back().map(|waiting| waiting.into_iter().map(|WaiterInfo { identity, .. }| identity).collect())
}

#[test]
fn who_waits_is_told_nothing_until_admitted() {
    let (mut w, host) = guarded();
    let eve = w.join("eve");
    w.rooms.tell_joined(eve, 4, &w.media);
    let outputs = w.rooms.take_outputs();
    let to = |whom: ParticipantId| {
        outputs.iter().filter_map(move |o| match o {
            Output::Tell { to, message } if to.contains(&whom) => Some(message.clone()),
            _ => None,
        })
    };
    let to_eve: Vec<_> = to(eve).collect();
    assert!(matches!(&to_eve[..], [ServerMessage::Waiting { id: 4, .. }]), "{to_eve:?}");
    let told = serde_json::to_string(&to_eve).unwrap();
    assert!(!told.contains("host"), "{told}");
    assert_eq!(waiters(&to(host).collect::<Vec<_>>()), Some(vec!["eve".to_owned()]));
    assert!(!w.media.is_open(eve));
    // Whatever happens inside, and whatever it asks, it learns nothing.
    w.offer(host, CAMERA_AND_MICROPHONE);
    let (id, text) = (w.published(host)[0], "hi".to_owned());
    assert!(w.told(eve).is_empty());
    for request in [
        Request::Subscribe { publication: id },
        Request::Offer { sdp: "v=0".into(), tracks: vec![] },
        Request::Talk(crate::message::Talk::Chat { text, to: None }),
        Request::AudienceList { after: None, limit: 1 },
    ] {
        assert_eq!(w.refused(eve, request), ErrorCode::Waiting);
    }
    w.moderate(host, Moderation::Admit { whom: Some(eve) });
    let told = w.told(eve);
    let Some(ServerMessage::Admitted { entered }) = told.iter().find(|m| matches!(m, ServerMessage::Admitted { .. })) else {
        panic!("{told:?}")
    };
    assert_eq!((entered.participants.len(), entered.negotiate), (1, Negotiate { audio: 1, video: 1 }));
    assert!(w.media.is_open(eve));
    // Who was admitted and comes again need not wait again.
    w.leave(eve);
    let eve = w.join("eve");
    assert!(w.media.is_open(eve));
}

#[test]
fn one_by_one_or_all_admitted_or_denied() {
    let (mut w, host) = guarded();
    let people: Vec<ParticipantId> = ["a", "b", "c", "d"].map(|who| w.join(who)).to_vec();
    w.told(host);
    w.moderate(host, Moderation::Deny { whom: Some(people[0]), ban: true });
    let outputs = w.rooms.take_outputs();
    assert!(outputs.contains(&Output::Ended { participant: people[0], reason: LeaveReason::Denied }));
    assert_eq!(w.rooms.join(ticket("a"), true, &w.media).map_err(|r| r.code), Err(ErrorCode::Banned));
    w.moderate(host, Moderation::Admit { whom: Some(people[1]) });
    w.moderate(host, Moderation::Admit { whom: None });
    assert!(people[1..].iter().all(|id| w.media.is_open(*id)));
    assert_eq!(waiters(&w.told(host)), Some(vec![]));
    assert_eq!(w.refused(host, Request::Moderate(Moderation::Admit { whom: Some(people[0]) })), ErrorCode::NotFound);
    assert_eq!(w.refused(people[1], Request::Moderate(Moderation::Admit { whom: None })), ErrorCode::Forbidden);
}

#[test]
fn without_a_host_they_wait_and_the_room_stays_while_they_do() {
    let mut w = World::with(Config { room: RoomConfig { waiting_room: true, ..RoomConfig::default() }, ..Config::default() });
    let ann = w.join("ann");
    assert!(!w.media.is_open(ann) && w.rooms.rooms() == 1);
    // The same identity again takes its own place in the queue.
    let again = w.join("ann");
    assert!(w.rooms.take_outputs().contains(&Output::Ended { participant: ann, reason: LeaveReason::Replaced }));
    let host = w.join_as_host("host");
    w.rooms.tell_joined(host, 1, &w.media);
    let told = w.told(host);
    let Some(ServerMessage::Joined { entered, .. }) = told.first() else { panic!("{told:?}") };
    assert_eq!(entered.state.waiting.len(), 1);
    w.leave(host);
    assert_eq!(w.rooms.rooms(), 1);
    w.rooms.lose(again, &w.media);
    assert_eq!((w.rooms.rooms(), w.rooms.held.len()), (0, 0));
}

#[test]
fn switched_off_everyone_comes_in() {
    let (mut w, host) = guarded();
    let eve = w.join("eve");
    let whip = w.rooms.join_publisher(ticket("cam"), CAMERA_AND_MICROPHONE, &w.media).map_err(|r| r.code);
    assert_eq!(whip.unwrap_err(), ErrorCode::Locked);
    w.moderate(host, waiting_room(false));
    assert!(w.media.is_open(eve));
}

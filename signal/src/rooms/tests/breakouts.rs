//! Breakout rooms: people move without a new offer, see and hear the other room, and return.

use super::*;
use crate::message::{Assign, BreakoutRequest, participant_text};

const RECEIVING: &str = "v=0\nm=audio 9 send a\nm=video 9 send v\nm=audio 9 recv 2\nm=video 9 recv 3\nm=audio 9 recv 4\nm=video 9 recv 5";

fn open(rooms: usize, assign: Assign, duration_s: u32) -> Request {
    let rooms = (0..rooms).map(|n| format!("room {n}")).collect();
    Request::Breakout(BreakoutRequest::Open { rooms, assign, assignments: vec![], duration_s })
}

fn go(whom: &[ParticipantId], breakout: Option<usize>) -> Request {
    Request::Breakout(BreakoutRequest::Move { participants: whom.to_vec(), breakout })
}

/// A host and some callers who all send and receive.
fn crowd(names: &[&str]) -> (World, ParticipantId, Vec<ParticipantId>) {
    let mut w = World::new();
    let host = w.join_as_host("host");
    w.offer(host, RECEIVING);
    let people = names.iter().map(|name| w.join(name)).collect::<Vec<_>>();
    for id in &people {
        w.offer(*id, RECEIVING);
    }
    w.rooms.take_outputs();
    (w, host, people)
}

fn heard_by(w: &World, id: ParticipantId) -> Vec<PublicationId> {
    let mut heard: Vec<_> = w.media.with(id, |person| person.wanted.iter().map(|(source, _)| source.publication).collect());
    heard.sort();
    heard
}

fn moved(told: &[ServerMessage]) -> Option<(Option<usize>, usize, usize)> {
    told.iter().rev().find_map(|message| match message {
        ServerMessage::Moved { breakout, participants, placed, .. } => Some((*breakout, participants.len(), placed.len())),
        _ => None,
    })
}

#[test]
fn people_move_and_hear_the_other_room_alone() {
    let (mut w, host, people) = crowd(&["ann", "bob", "eve"]);
    let [ann, bob, eve] = people[..] else { panic!() };
    w.granted(host, open(2, Assign::Manual, 0));
    w.granted(host, go(&[ann, bob], Some(1)));
    assert_eq!((heard_by(&w, ann), heard_by(&w, bob)), (w.published(bob), w.published(ann)));
    assert!(!heard_by(&w, eve).iter().any(|id| w.published(ann).contains(id)));
    let outputs = w.rooms.take_outputs();
    let of = |whom: ParticipantId| {
        outputs.iter().filter_map(move |o| match o {
            Output::Tell { to, message } if to.contains(&whom) => Some(message.clone()),
            _ => None,
        })
    };
    // One message holds all: where, with whom, and on which m-lines. No offer was asked for.
    let to_ann: Vec<_> = of(ann).collect();
    assert_eq!(moved(&to_ann), Some((Some(1), 1, 2)));
    assert!(!to_ann.iter().any(|m| matches!(m, ServerMessage::Negotiate(_))), "{to_ann:?}");
    let left = ServerMessage::ParticipantLeft { participant: participant_text(ann), reason: LeaveReason::Moved };
    assert!(of(eve).any(|m| m == left));
    let places =
        of(host).filter_map(|m| if let ServerMessage::Breakouts { breakouts } = m { breakouts } else { None }).next_back().unwrap();
    assert_eq!(places.rooms.iter().map(|room| room.participants.len()).collect::<Vec<_>>(), vec![0, 2]);
    // Talk stays in the room.
    w.ask(ann, Request::Talk(crate::message::Talk::Chat { text: "here".into(), to: None }));
    assert!(w.told(eve).is_empty());
    w.granted(host, Request::Breakout(BreakoutRequest::Close));
    assert_eq!(heard_by(&w, ann).len(), 6);
    assert_eq!(heard_by(&w, eve).len(), 6);
    let told = w.told(ann);
    assert!(told.contains(&ServerMessage::Breakouts { breakouts: None }));
    assert_eq!((w.rooms.rooms(), moved(&told).map(|(breakout, ..)| breakout)), (1, Some(None)));
}

#[test]
fn everyone_is_spread_and_late_comers_fill_the_emptiest() {
    let (mut w, host, people) = crowd(&["a", "b", "c", "d", "e"]);
    w.granted(host, open(2, Assign::Even, 0));
    let room = |w: &World, id| w.rooms.whereabouts[&id].0;
    let sizes =
        |w: &World| w.rooms.breakouts.keys().flat_map(|main| w.rooms.family(*main)).map(|id| w.rooms.rooms[&id].len()).collect::<Vec<_>>();
    assert_eq!(sizes(&w), vec![1, 3, 2], "the host stays");
    let late = w.join("late");
    assert_eq!(sizes(&w), vec![1, 3, 3]);
    w.rooms.tell_joined(late, 1, &w.media);
    let told = w.told(late);
    let entered = told.iter().find_map(|m| if let ServerMessage::Joined { entered, .. } = m { Some(entered) } else { None }).unwrap();
    assert_eq!((entered.room.as_str(), entered.state.breakout, entered.participants.len()), ("room 1", Some(1), 2));
    // Who drops out returns to where it was.
    let before = room(&w, people[0]);
    w.leave(people[0]);
    let back = w.join("a");
    assert_eq!(room(&w, back), before);
}

#[test]
fn who_may_move_whom() {
    let (mut w, host, people) = crowd(&["ann", "bob"]);
    let [ann, bob] = people[..] else { panic!() };
    assert_eq!(w.refused(host, go(&[ann], Some(0))), ErrorCode::Over);
    assert_eq!(w.refused(ann, open(2, Assign::Choice, 0)), ErrorCode::Forbidden);
    w.granted(host, open(2, Assign::Choice, 0));
    assert_eq!(w.refused(host, open(2, Assign::Choice, 0)), ErrorCode::Full);
    assert_eq!(w.refused(ann, go(&[bob], Some(0))), ErrorCode::Forbidden);
    assert_eq!(w.refused(ann, go(&[ann], Some(2))), ErrorCode::NotFound);
    w.granted(ann, go(&[ann], Some(0)));
    w.granted(ann, go(&[ann], Some(1)));
    w.granted(ann, go(&[ann], None));
    assert_eq!(heard_by(&w, ann).len(), 4);
    w.granted(host, Request::Breakout(BreakoutRequest::Close));
    w.granted(host, open(2, Assign::Manual, 0));
    assert_eq!(w.refused(ann, go(&[ann], Some(0))), ErrorCode::Forbidden);
    w.granted(host, go(&[ann], Some(0)));
    w.granted(ann, go(&[ann], None));
}

#[test]
fn time_warns_and_then_brings_everyone_back() {
    let (mut w, host, people) = crowd(&["ann"]);
    w.granted(host, open(1, Assign::Even, 100));
    w.rooms.take_outputs();
    w.pass(39_999);
    assert!(w.told(people[0]).is_empty());
    w.pass(1);
    assert_eq!(w.told(people[0]), vec![ServerMessage::BreakoutsEnding { ends_in_ms: 60_000 }]);
    w.pass(50_000);
    assert_eq!(w.told(people[0]), vec![ServerMessage::BreakoutsEnding { ends_in_ms: 10_000 }]);
    w.pass(10_000);
    assert_eq!(moved(&w.told(people[0])).map(|(breakout, ..)| breakout), Some(None));
    assert_eq!((w.rooms.rooms(), w.rooms.next_ms()), (1, None));
    assert_eq!(w.refused(host, Request::Breakout(BreakoutRequest::SetTimer { duration_s: 5 })), ErrorCode::Over);
}

#[test]
fn the_main_room_lives_while_somebody_is_in_a_breakout() {
    let (mut w, host, people) = crowd(&["ann"]);
    w.granted(host, open(1, Assign::Even, 60));
    w.leave(host);
    assert_eq!(w.rooms.rooms(), 2);
    let host = w.join_as_host("host");
    w.told(people[0]);
    w.granted(host, Request::Breakout(BreakoutRequest::Broadcast { text: "five minutes".into() }));
    assert!(matches!(&w.told(people[0])[..], [ServerMessage::Broadcast { text, .. }] if text == "five minutes"));
    w.leave(host);
    w.leave(people[0]);
    assert_eq!((w.rooms.rooms(), w.rooms.next_ms(), w.media.open_count()), (0, None, 0));
}

#[test]
fn the_room_ends_for_those_in_breakouts_as_well() {
    let (mut w, host, people) = crowd(&["ann"]);
    w.granted(host, open(1, Assign::Even, 0));
    w.ask(host, Request::Moderate(Moderation::EndRoom));
    assert!(w.rooms.take_outputs().contains(&Output::Ended { participant: people[0], reason: LeaveReason::RoomEnded }));
    assert_eq!(w.rooms.rooms(), 0);
}

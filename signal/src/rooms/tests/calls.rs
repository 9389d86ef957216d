//! Presence and ringing.

use super::*;
use crate::message::{CallInfo, CallRequest, CallState, RoomChange};

fn lobby(identity: &str) -> Ticket {
    Ticket { room: String::new(), ..ticket(identity) }
}

fn invite(identity: &str) -> Request {
    Request::Call(CallRequest::Invite { identity: identity.into(), video: true })
}

fn states(told: &[ServerMessage]) -> Vec<(CallState, Option<&'static str>)> {
    let call = |m: &ServerMessage| if let ServerMessage::Call { call } = m { Some((call.state, call.reason)) } else { None };
    told.iter().filter_map(call).collect()
}

impl World {
    fn call(&mut self, from: ParticipantId, to: &str) -> (u64, CallInfo) {
        self.told(from);
        self.ask(from, invite(to));
        let outputs = self.rooms.take_outputs();
        let invited =
            |o: &Output| if let Output::Tell { message: ServerMessage::Invited { call, .. }, .. } = o { Some(call.clone()) } else { None };
        let call = outputs.iter().find_map(invited).unwrap_or_else(|| panic!("{outputs:?}"));
        self.rooms.outputs = outputs;
        (u64::from_str_radix(&call.id, 16).unwrap(), call)
    }
}

#[test]
fn it_rings_is_accepted_and_leads_into_a_room() {
    let mut w = World::new();
    let (ann, bob, bobs_phone) =
        (w.rooms.attend(&lobby("ann"), false), w.rooms.attend(&lobby("bob"), false), w.rooms.attend(&lobby("bob"), false));
    let (id, call) = w.call(ann, "bob");
    assert!(call.reachable);
    assert_eq!(states(&w.told(bobs_phone)), vec![(CallState::Ringing, None)]);
    assert_eq!(
        w.rooms.ticket_by_call(lobby("bob"), &call.room).map_err(|r| r.code),
        Err(ErrorCode::Forbidden),
        "not before it is accepted"
    );
    w.ask(bob, Request::Call(CallRequest::Accept { call: id }));
    assert_eq!(states(&w.told(bobs_phone)), vec![(CallState::Connected, None)], "the other phone stops to ring");
    assert_eq!(w.refused(bobs_phone, Request::Call(CallRequest::Accept { call: id })), ErrorCode::Over);
    let enter = |w: &mut World, who: &str| {
        let ticket = w.rooms.ticket_by_call(lobby(who), &call.room).unwrap();
        w.rooms.join(ticket, true, &w.media).unwrap()
    };
    assert_eq!(w.rooms.ticket_by_call(lobby("mallory"), &call.room).map_err(|r| r.code), Err(ErrorCode::Forbidden));
    let (a, b) = (enter(&mut w, "ann"), enter(&mut w, "bob"));
    w.pass(60_000);
    w.told(ann);
    w.leave(a);
    w.leave(b);
    assert_eq!(states(&w.told(ann)), vec![(CallState::Ended, Some("room_ended"))]);
    assert_eq!(w.rooms.next_ms(), None);
}

#[test]
fn it_is_declined_cancelled_hung_up_or_rings_out() {
    let mut w = World::new();
    let (ann, bob) = (w.rooms.attend(&lobby("ann"), false), w.rooms.attend(&lobby("bob"), false));
    let mut end = |act: &dyn Fn(&mut World, u64)| {
        let (id, _) = w.call(ann, "bob");
        w.told(ann);
        act(&mut w, id);
        states(&w.told(ann)).pop()
    };
    let ended = |reason| Some((CallState::Ended, Some(reason)));
    assert_eq!(end(&|w, call| w.ask(bob, Request::Call(CallRequest::Decline { call }))), ended("declined"));
    assert_eq!(end(&|w, call| w.ask(ann, Request::Call(CallRequest::Cancel { call }))), ended("cancelled"));
    assert_eq!(end(&|w, _| w.pass(45_000)), ended("timeout"));
    let hang_up = |w: &mut World, call| {
        w.ask(bob, Request::Call(CallRequest::Accept { call }));
        w.ask(bob, Request::Call(CallRequest::Cancel { call }));
    };
    assert_eq!(end(&hang_up), ended("hung_up"));
    // Accepted, and nobody came.
    let nobody = |w: &mut World, call| {
        w.ask(bob, Request::Call(CallRequest::Accept { call }));
        w.pass(45_000);
    };
    assert_eq!(end(&nobody), ended("room_ended"));
    assert_eq!(w.refused(bob, Request::Call(CallRequest::Decline { call: 1 })), ErrorCode::NotFound);
    assert_eq!(w.refused(bob, invite("bob")), ErrorCode::Forbidden);
}

#[test]
fn who_is_not_there_yet_finds_the_call_on_coming() {
    let mut w = World::new();
    let ann = w.rooms.attend(&lobby("ann"), false);
    assert!(!w.call(ann, "bob").1.reachable);
    let bob = w.rooms.attend(&lobby("bob"), false);
    w.rooms.tell_welcome(bob, 1);
    assert!(matches!(&w.told(bob)[..], [ServerMessage::Welcome { calls, .. }] if calls.len() == 1));
    for _ in 1..16 {
        w.call(ann, "carl");
    }
    assert_eq!(w.refused(ann, invite("bob")), ErrorCode::Full);
}

#[test]
fn somebody_in_a_room_asks_another_in() {
    let mut w = World::new();
    let (host, ann) = (w.join_as_host("host"), w.join("ann"));
    let bob = w.rooms.attend(&lobby("bob"), false);
    let (id, call) = w.call(ann, "bob");
    assert_eq!(call.room, "r");
    w.ask(bob, Request::Call(CallRequest::Accept { call: id }));
    let ticket = w.rooms.ticket_by_call(lobby("bob"), "r").unwrap();
    w.rooms.join(ticket, true, &w.media).unwrap();
    w.moderate(host, Moderation::SetRoom(crate::message::SettingsWish { locked: Some(true), ..Default::default() }));
    assert_eq!(w.refused(ann, invite("carl")), ErrorCode::Forbidden);
}

#[test]
fn who_may_list_rooms_sees_who_comes_and_goes() {
    let mut w = World::new();
    let (ann, watcher) = (w.rooms.attend(&lobby("ann"), false), w.rooms.attend(&lobby("watcher"), true));
    let rooms = || Request::Call(CallRequest::Rooms { watch: true });
    assert_eq!(w.refused(ann, rooms()), ErrorCode::Forbidden);
    w.ask(watcher, rooms());
    w.told(watcher);
    let bob = w.join("bob");
    w.leave(bob);
    let event = |m: ServerMessage| if let ServerMessage::RoomEvent { event, identity, .. } = m { Some((event, identity)) } else { None };
    let bob = || Some("bob".to_owned());
    let told: Vec<_> = w.told(watcher).into_iter().filter_map(event).collect();
    let expected = [
        (RoomChange::Created, None),
        (RoomChange::Entered, bob()),
        (RoomChange::Left, bob()),
        (RoomChange::Emptied, None),
        (RoomChange::Ended, None),
    ];
    assert_eq!(told, expected);
    w.leave(ann);
    w.leave(watcher);
    assert!(w.rooms.calls.presences().is_empty());
}

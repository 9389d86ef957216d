//! Roles, permissions, removal, bans and locks.

use super::*;
use crate::message::{PermissionWish, Role, SettingsWish, participant_text};

fn is_ended(w: &mut World, whom: ParticipantId, why: LeaveReason) -> bool {
    w.rooms.take_outputs().contains(&Output::Ended { participant: whom, reason: why })
}

fn your_role(told: &[ServerMessage]) -> Option<(Role, bool)> {
    told.iter().rev().find_map(|message| match message {
        ServerMessage::YouUpdated { you } => Some((you.role, you.can_publish)),
        _ => None,
    })
}

#[test]
fn the_token_says_the_first_role() {
    let mut w = World::new();
    let mut role = |t: Ticket| {
        let id = w.rooms.join(t, true, &w.media).unwrap();
        let (room, number) = w.rooms.whereabouts[&id];
        w.rooms.rooms[&room].participant(number).unwrap().standing.role
    };
    assert_eq!(role(Ticket { admin: true, ..ticket("a") }), Role::Host);
    assert_eq!(role(ticket("b")), Role::Speaker);
    assert_eq!(role(Ticket { may_publish: false, ..ticket("c") }), Role::Viewer);
}

#[test]
fn a_viewer_is_told_packets_stop_and_a_speaker_comes_back() {
    let mut w = World::new();
    let host = w.join_as_host("host");
    let (ann, publications) = w.join_and_publish("ann");
    let bob = w.join("bob");
    w.offer(bob, "v=0\nm=video 9 recv 0\nm=audio 9 recv 1");
    w.told(bob);
    w.moderate(host, Moderation::SetRole { participant: ann, role: Role::Viewer });
    let ended: Vec<_> = w.told(bob).into_iter().filter(|m| matches!(m, ServerMessage::PublicationEnded { .. })).collect();
    assert_eq!(ended.len(), 2);
    assert!(publications.iter().all(|id| w.media.is_muted(*id)), "the server drops what still comes");
    assert!(w.media.received(bob).is_empty());
    // What it offers is not granted, whatever its client believes.
    w.offer(ann, "v=0\nm=audio 9 send a\nm=video 9 send v\nm=video 9 send s");
    assert!(w.published(ann).is_empty());
    w.moderate(host, Moderation::SetRole { participant: ann, role: Role::Speaker });
    assert_eq!(your_role(&w.told(ann)), Some((Role::Speaker, true)));
    w.offer(ann, CAMERA_AND_MICROPHONE);
    assert_eq!(w.media.received(bob).len(), 2);
}

#[test]
fn what_was_withdrawn_and_is_still_sent_shows_again_when_it_is_given_back() {
    let mut w = World::new();
    let host = w.join_as_host("host");
    let (ann, publications) = w.join_and_publish("ann");
    let may =
        |publish| Moderation::SetPermissions { participant: ann, wish: PermissionWish { publish: Some(publish), ..Default::default() } };
    w.moderate(host, may(false));
    assert_eq!(your_role(&w.told(ann)), Some((Role::Viewer, false)));
    assert_eq!(w.refused(ann, Request::Publish { track: track("v", TrackSource::Camera) }), ErrorCode::Forbidden);
    w.moderate(host, may(true));
    assert!(publications.iter().all(|id| !w.media.is_muted(*id)));
    let started = |m: &ServerMessage| matches!(m, ServerMessage::PublicationStarted { .. });
    assert_eq!(w.told(host).iter().filter(|m| started(m)).count(), 2);
}

#[test]
fn who_may_not_receive_any_more_does_not() {
    let mut w = World::new();
    let host = w.join_as_host("host");
    w.join_and_publish("ann");
    let bob = w.join("bob");
    let may = |subscribe| Moderation::SetPermissions {
        participant: bob,
        wish: PermissionWish { subscribe: Some(subscribe), ..Default::default() },
    };
    w.moderate(host, may(false));
    assert!(w.media.with(bob, |person| person.wanted.is_empty() && !person.may_subscribe));
    w.moderate(host, may(true));
    assert_eq!(w.media.with(bob, |person| person.wanted.len()), 2);
}

#[test]
fn power_has_its_order() {
    let mut w = World::new();
    let (host, cohost, ann) = (w.join_as_host("host"), w.join("co"), w.join("ann"));
    let remove = |participant| Request::Moderate(Moderation::Remove { participant, ban: false });
    let make = |participant, role| Request::Moderate(Moderation::SetRole { participant, role });
    for request in [
        remove(cohost),
        make(cohost, Role::Viewer),
        Request::Moderate(Moderation::EndRoom),
        Request::Moderate(Moderation::MuteAll { source: TrackSource::Camera }),
    ] {
        assert_eq!(w.refused(ann, request), ErrorCode::Forbidden);
    }
    w.granted(host, make(cohost, Role::Cohost));
    for request in
        [remove(host), make(host, Role::Viewer), make(ann, Role::Cohost), make(cohost, Role::Host), Request::Moderate(Moderation::EndRoom)]
    {
        assert_eq!(w.refused(cohost, request), ErrorCode::Forbidden);
    }
    assert_eq!(w.refused(host, remove(ParticipantId(999))), ErrorCode::NotFound);
    assert_eq!(w.refused(host, remove(host)), ErrorCode::Forbidden);
    w.granted(cohost, make(ann, Role::Viewer));
    w.granted(cohost, remove(ann));
    assert!(is_ended(&mut w, ann, LeaveReason::Removed));
    // A role outlives the connection.
    w.leave(cohost);
    let cohost = w.join("co");
    let ann = w.join("ann");
    w.granted(cohost, make(ann, Role::Speaker));
}

#[test]
fn who_is_banned_stays_away_while_the_room_lives() {
    let mut w = World::new();
    let host = w.join_as_host("host");
    let (mallory, camera) = (w.join("mallory"), w.whip("mallory"));
    w.told(host);
    w.moderate(host, Moderation::Remove { participant: mallory, ban: true });
    let told = w.told(host);
    assert!(told.contains(&ServerMessage::Bans { identities: vec!["mallory".into()] }));
    assert!(told.contains(&ServerMessage::ParticipantLeft { participant: participant_text(mallory), reason: LeaveReason::Banned }));
    assert!(!w.media.is_open(camera), "everything of that identity goes");
    let code = |w: &mut World| w.rooms.join(ticket("mallory"), true, &w.media).map_err(|refusal| refusal.code);
    assert_eq!(code(&mut w), Err(ErrorCode::Banned));
    assert_eq!(
        w.rooms.join_publisher(ticket("mallory"), CAMERA_AND_MICROPHONE, &w.media).map_err(|r| r.code).unwrap_err(),
        ErrorCode::Banned
    );
    w.moderate(host, Moderation::Unban { identity: "mallory".into() });
    assert!(code(&mut w).is_ok());
    assert_eq!(w.refused(host, Request::Moderate(Moderation::Unban { identity: "mallory".into() })), ErrorCode::NotFound);
}

#[test]
fn a_locked_room_lets_in_hosts_and_who_is_there_already() {
    let mut w = World::new();
    let host = w.join_as_host("host");
    w.join("ann");
    w.told(host);
    w.moderate(host, Moderation::SetRoom(SettingsWish { locked: Some(true), ..Default::default() }));
    assert!(w.told(host).iter().any(|m| matches!(m, ServerMessage::RoomUpdated { options, .. } if options.locked)));
    assert_eq!(w.rooms.join(ticket("eve"), true, &w.media).map_err(|r| r.code).unwrap_err(), ErrorCode::Locked);
    assert_eq!(w.rooms.join_publisher(ticket("cam"), CAMERA_AND_MICROPHONE, &w.media).map_err(|r| r.code).unwrap_err(), ErrorCode::Locked);
    w.join("ann");
    w.join_as_host("second");
    w.moderate(host, Moderation::SetRoom(SettingsWish { locked: Some(false), ..Default::default() }));
    w.join("eve");
}

#[test]
fn everyone_but_hosts_is_muted_and_asked_to_speak_again() {
    let mut w = World::new();
    let host = w.join_as_host("host");
    w.offer(host, CAMERA_AND_MICROPHONE);
    let (ann, publications) = w.join_and_publish("ann");
    let microphone = publications[0];
    w.moderate(host, Moderation::MuteAll { source: TrackSource::Microphone });
    assert!(w.media.is_muted(microphone) && !w.media.is_muted(publications[1]));
    assert!(w.published(host).iter().all(|id| !w.media.is_muted(*id)));
    let lift = Request::Mute { publication: microphone, muted: false };
    assert_eq!(w.refused(ann, lift.clone()), ErrorCode::Forbidden);
    w.told(ann);
    w.moderate(host, Moderation::AskUnmute { participant: ann, source: TrackSource::Microphone });
    assert_eq!(w.told(ann), vec![ServerMessage::UnmuteAsked { by: participant_text(host), source: TrackSource::Microphone }]);
    assert!(w.media.is_muted(microphone), "until ann decides");
    w.granted(ann, lift);
    assert!(!w.media.is_muted(microphone));
}

#[test]
fn a_host_ends_the_room_for_everyone() {
    let mut w = World::new();
    let (host, ann) = (w.join_as_host("host"), w.join("ann"));
    w.rooms.take_outputs();
    w.ask(host, Request::Moderate(Moderation::EndRoom));
    let outputs = w.rooms.take_outputs();
    let at = |output: &Output| outputs.iter().position(|it| it == output).unwrap();
    let ok = Output::Tell { to: vec![host], message: ServerMessage::Ok { id: 7 } };
    let ended = |participant| Output::Ended { participant, reason: LeaveReason::RoomEnded };
    assert!(at(&ended(ann)) < at(&ok) && at(&ok) < at(&ended(host)));
    assert_eq!((w.rooms.rooms(), w.media.open_count()), (0, 0));
}

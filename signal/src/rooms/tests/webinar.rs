//! Stage and audience.

use super::*;
use crate::message::{Mode, Role, SettingsWish, Talk, Whose, participant_text};

fn webinar() -> (World, ParticipantId) {
    let mut w = World::new();
    let host = w.join_as_host("host");
    w.moderate(host, Moderation::SetRoom(SettingsWish { mode: Some(Mode::Webinar), ..SettingsWish::default() }));
    w.offer(host, CAMERA_AND_MICROPHONE);
    w.told(host);
    (w, host)
}

#[test]
fn the_audience_is_counted_and_not_announced() {
    let (mut w, host) = webinar();
    let audience: Vec<ParticipantId> = (0..1000 - 1).map(|n| w.join(&format!("v{n}"))).collect();
    assert!(w.told(audience[0]).iter().all(|m| !matches!(m, ServerMessage::ParticipantJoined { .. })));
    w.rooms.tell_joined(audience[9], 1, &w.media);
    let told = w.told(audience[9]);
    let Some(ServerMessage::Joined { entered, .. }) = told.first() else { panic!("{told:?}") };
    assert_eq!((entered.participants.len(), entered.state.audience, entered.you.can_publish), (1, 999, false));
    assert_eq!(w.media.with(audience[9], |person| person.wanted.len()), 2);
    w.pass(1_000);
    assert_eq!(w.told(host), vec![ServerMessage::Audience { count: 999 }], "once, however many came");
    w.leave(audience[0]);
    w.pass(1_000);
    assert_eq!(w.told(host), vec![ServerMessage::Audience { count: 998 }]);
    w.ask(host, Request::AudienceList { after: None, limit: 2 });
    let told = w.told(host);
    let [ServerMessage::AudienceList { people, next: Some(next), .. }] = &told[..] else { panic!("{told:?}") };
    assert_eq!((people[0].identity.as_str(), next), ("v1", &people[1].participant));
    assert_eq!(w.refused(audience[1], Request::AudienceList { after: None, limit: 2 }), ErrorCode::Forbidden);
}

#[test]
fn up_to_the_stage_and_back_without_joining_again() {
    let (mut w, host) = webinar();
    let (ann, bob) = (w.join("ann"), w.join("bob"));
    w.told(bob);
    w.moderate(host, Moderation::SetRole { participant: ann, role: Role::Speaker });
    let told = w.told(bob);
    assert!(
        told.iter().any(|m| matches!(m, ServerMessage::ParticipantJoined { participant } if participant.identity == "ann")),
        "{told:?}"
    );
    w.offer(ann, CAMERA_AND_MICROPHONE);
    assert_eq!(w.media.with(bob, |person| person.wanted.len()), 4);
    w.moderate(host, Moderation::SetRole { participant: ann, role: Role::Viewer });
    let told = w.told(bob);
    let left = ServerMessage::ParticipantLeft { participant: participant_text(ann), reason: LeaveReason::Audience };
    assert!(told.contains(&left), "{told:?}");
    assert_eq!(w.media.with(bob, |person| person.wanted.len()), 2);
    assert!(w.published(ann).iter().all(|id| w.media.is_muted(*id)));
    assert!(w.media.is_open(ann));
}

#[test]
fn a_token_that_names_the_stage_is_on_it() {
    let (mut w, host) = webinar();
    let guest = w.rooms.join(Ticket { on_stage: true, ..ticket("guest") }, true, &w.media).unwrap();
    assert!(
        w.told(host).iter().any(|m| matches!(m, ServerMessage::ParticipantJoined { participant } if participant.role == Role::Speaker))
    );
    assert!(w.media.with(guest, |person| person.may_publish));
}

#[test]
fn a_hand_of_the_audience_is_seen_from_the_stage() {
    let (mut w, host) = webinar();
    let (ann, bob) = (w.join("ann"), w.join("bob"));
    w.told(bob);
    w.granted(ann, Request::Talk(Talk::RaiseHand { raised: true, whose: Whose::Mine }));
    let outputs = w.rooms.take_outputs();
    let told: Vec<_> = outputs
        .iter()
        .filter_map(|o| {
            if let Output::Tell { to, message: ServerMessage::Hands { hands } } = o { Some((to.clone(), hands.len())) } else { None }
        })
        .collect();
    assert_eq!(told, vec![(vec![host], 1), (vec![ann], 1)]);
}

#[test]
fn a_call_becomes_a_webinar_and_a_call_again() {
    let mut w = World::new();
    let (host, ann) = (w.join_as_host("host"), w.join("ann"));
    let viewer = w.rooms.join(Ticket { may_publish: false, ..ticket("viewer") }, true, &w.media).unwrap();
    w.told(ann);
    let mode = |mode| Moderation::SetRoom(SettingsWish { mode: Some(mode), ..SettingsWish::default() });
    w.moderate(host, mode(Mode::Webinar));
    let left = ServerMessage::ParticipantLeft { participant: participant_text(viewer), reason: LeaveReason::Audience };
    assert!(w.told(ann).contains(&left));
    w.moderate(host, mode(Mode::Call));
    assert!(w.told(ann).iter().any(|m| matches!(m, ServerMessage::ParticipantJoined { .. })));
}

//! The rules of an ICE-lite agent, one by one.

use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Class, Key, Message};

use super::world::*;
use super::*;
use crate::transport::*;
use crate::{CloseReason, DtlsRole, Front};

const BURST: Duration = Duration::from_millis(500);

fn transport(now: Now) -> Transport {
    let identity = Arc::new(DtlsIdentity::generate().unwrap());
    Transport::new(&spec(Front::Call, DtlsRole::Server, Fingerprint([1; 32])), &identity, &TransportConfig::default(), 1, now)
}

/// A check that is refused: the code of the answer, if there is one.
fn refused(edit: impl FnOnce(&mut Check)) -> Option<u16> {
    let now = start();
    let mut transport = transport(now);
    let mut bad = Check::ours();
    edit(&mut bad);
    let (outcome, answers) = check(&mut transport, now, path(1), &bad);
    assert_eq!(outcome, Err(DropReason::StunRefused));
    assert_eq!((transport.path(), transport.ice.heard()), (None, None), "a refused check changes nothing");
    assert!(answers.len() <= 1);
    let answer = answers.first()?;
    assert!(answer.len() <= bad.bytes().len(), "no amplification");
    let answer = Message::parse(answer).unwrap();
    assert_eq!(answer.class(), Class::Error);
    assert!(answer.verify_fingerprint());
    Some(answer.error_code().unwrap().unwrap().code)
}

#[test]
fn a_good_check_is_answered_with_the_address_it_came_from() {
    let now = start();
    let mut transport = transport(now);
    let (outcome, answers) = check(&mut transport, now, path(4711), &Check::ours());
    assert_eq!(outcome, Ok(CheckOutcome { new_path: true, dropped_path: None, restarted: false }));
    let [answer] = &answers[..] else { panic!("one answer") };
    let answer = Message::parse(answer).unwrap();
    assert_eq!(answer.class(), Class::Success);
    assert_eq!(answer.transaction_id().0, *b"transaction!");
    assert_eq!(answer.xor_mapped_address(), Ok(Some(path(4711).remote)));
    assert!(answer.verify_integrity(&Key::new(credentials("our").pwd.as_bytes())));
    assert!(answer.verify_fingerprint());
    assert!(transport.knows_path(&path(4711)));
    assert!(!transport.knows_path(&path(4712)));
}

#[test]
fn the_rules_of_refusal() {
    assert_eq!(refused(|check| check.pwd = None), Some(400), "no integrity");
    assert_eq!(refused(|check| check.username = None), Some(400), "no user name");
    assert_eq!(refused(|check| check.pwd = Some("wrong".into())), Some(401), "wrong password");
    assert_eq!(refused(|check| check.username = Some("our:their".into())), Some(401), "unknown fragments");
    assert_eq!(refused(|check| check.username = Some("ourufrag".into())), Some(401), "no colon");
    assert_eq!(refused(|check| check.username = Some("ourufrag:other".into())), Some(401), "somebody else's fragment");
    assert_eq!(refused(|check| check.extra = Some(Type(0x7ABC))), Some(420), "an attribute to be understood");
    assert_eq!(refused(|check| check.role = Some(Type::ICE_CONTROLLED)), Some(487), "both controlled");
}

#[test]
fn a_wrong_fingerprint_is_not_answered() {
    let now = start();
    let mut transport = transport(now);
    let mut bytes = Check::ours().bytes();
    *bytes.last_mut().unwrap() ^= 1;
    let mut sent = Sent::new();
    let outcome = transport.handle_check(now, path(1), &Message::parse(&bytes).unwrap(), &mut sent);
    assert_eq!((outcome, sent.datagrams.len()), (Err(DropReason::StunRefused), 0));
}

#[test]
fn what_may_be_missing_or_unknown_is_no_reason_to_refuse() {
    let edits: [fn(&mut Check); 3] =
        [|check| check.fingerprint = false, |check| check.role = None, |check| check.extra = Some(Type(0xC057))];
    for edit in edits {
        let now = start();
        let mut good = Check::ours();
        edit(&mut good);
        assert!(check(&mut transport(now), now, path(1), &good).0.is_ok());
    }
}

#[test]
fn checks_may_overtake_the_description_that_names_their_fragment() {
    let now = start();
    let mut transport = transport(now);
    let mut early = spec(Front::Call, DtlsRole::Server, Fingerprint([1; 32]));
    early.remote.ufrag.clear();
    transport.update(&early);
    assert!(check(&mut transport, now, path(1), &Check::ours()).0.is_ok());
    transport.update(&spec(Front::Call, DtlsRole::Server, Fingerprint([1; 32])));
    let mut other = Check::ours();
    other.username = Some("ourufrag:another".into());
    assert_eq!(check(&mut transport, now, path(1), &other).0, Err(DropReason::StunRefused));
}

#[test]
fn a_claim_is_worth_making_only_for_an_authentic_check() {
    let spec = spec(Front::Call, DtlsRole::Server, Fingerprint([1; 32]));
    let good = Check::ours().bytes();
    assert_eq!(authenticate(&spec, &Message::parse(&good).unwrap()), Ok(()));
    let mut forged = Check::ours();
    forged.pwd = Some("wrong".into());
    assert_eq!(authenticate(&spec, &Message::parse(&forged.bytes()).unwrap()), Err(DropReason::StunRefused));
}

#[test]
fn the_first_path_is_used_until_one_is_nominated() {
    let now = start();
    let mut transport = transport(now);
    check(&mut transport, now, path(1), &Check::ours()).0.unwrap();
    check(&mut transport, now, path(2), &Check::ours()).0.unwrap();
    assert_eq!(transport.path(), Some(path(1)));
    check(&mut transport, now, path(2), &Check::ours().nominating()).0.unwrap();
    assert_eq!(transport.path(), Some(path(2)));
    assert_eq!(transport.poll_event(), Some(TransportEvent::PathChanged(path(2))));
    // A check without the flag takes nothing back.
    check(&mut transport, now, path(2), &Check::ours()).0.unwrap();
    check(&mut transport, now, path(1), &Check::ours()).0.unwrap();
    assert_eq!(transport.path(), Some(path(2)));
    assert_eq!(transport.poll_event(), None);
}

#[test]
fn within_a_burst_of_nominations_the_higher_priority_wins() {
    for order in [[1, 2], [2, 1]] {
        let now = start();
        let mut transport = transport(now);
        for port in order {
            let mut nominating = Check::ours().nominating();
            nominating.priority = u32::from(port) * 1000;
            check(&mut transport, now, path(port), &nominating).0.unwrap();
        }
        assert_eq!(transport.path(), Some(path(2)));
    }
}

#[test]
fn a_later_nomination_moves_the_path_whatever_its_priority() {
    let now = start();
    let mut transport = transport(now);
    let mut nominating = Check::ours().nominating();
    nominating.priority = 2000;
    check(&mut transport, now, path(1), &nominating).0.unwrap();
    nominating.priority = 1;
    check(&mut transport, after(now, BURST), path(2), &nominating).0.unwrap();
    assert_eq!(transport.path(), Some(path(2)));
    nominating.priority = 2000;
    check(&mut transport, after(now, 2 * BURST), path(1), &nominating).0.unwrap();
    assert_eq!(transport.path(), Some(path(1)));
}

#[test]
fn paths_are_bounded_and_the_selected_one_stays() {
    let now = start();
    let mut transport = transport(now);
    let paths_max = TransportConfig::default().paths_max;
    check(&mut transport, now, path(1), &Check::ours().nominating()).0.unwrap();
    let mut known = vec![path(1)];
    for port in 2..500 {
        let at = after(now, Duration::from_millis(u64::from(port)));
        let outcome = check(&mut transport, at, path(port), &Check::ours()).0.unwrap();
        known.push(path(port));
        if let Some(dropped) = outcome.dropped_path {
            known.retain(|path| *path != dropped);
        }
        assert!(known.len() <= paths_max);
        assert!(known.iter().all(|path| transport.knows_path(path)));
    }
    assert_eq!(transport.path(), Some(path(1)));
    assert!(!transport.knows_path(&path(2)), "the stalest has gone");
}

/// A transport on path 1, and the spec of an ICE restart.
fn restarting(now: Now) -> (Transport, crate::ParticipantSpec) {
    let mut transport = transport(now);
    check(&mut transport, now, path(1), &Check::ours().nominating()).0.unwrap();
    let mut restarted = spec(Front::Call, DtlsRole::Server, Fingerprint([1; 32]));
    restarted.local = credentials("new");
    restarted.remote = credentials("newtheir");
    transport.update(&restarted);
    while transport.poll_event().is_some() {}
    (transport, restarted)
}

#[test]
fn after_a_restart_the_old_path_serves_until_a_new_one_is_nominated() {
    let now = start();
    let (mut transport, _) = restarting(now);
    assert_eq!(transport.ufrags().collect::<Vec<_>>(), ["newufrag", "ourufrag"]);
    let (outcome, answers) = check(&mut transport, now, path(1), &Check::ours());
    assert!(!outcome.unwrap().restarted);
    let answer = Message::parse(&answers[0]).unwrap();
    assert!(answer.verify_integrity(&Key::new(credentials("our").pwd.as_bytes())), "answered with the key it was asked with");

    let new = Check::new(&credentials("new"), &credentials("newtheir"));
    let (outcome, answers) = check(&mut transport, now, path(2), &new);
    assert!(!outcome.unwrap().restarted, "a check alone moves nothing");
    assert!(Message::parse(&answers[0]).unwrap().verify_integrity(&Key::new(credentials("new").pwd.as_bytes())));
    assert_eq!((transport.path(), transport.poll_event()), (Some(path(1)), None), "media goes on");
    assert!(check(&mut transport, now, path(1), &Check::ours()).0.is_ok(), "and its consent");

    let mut lower = new;
    (lower.use_candidate, lower.priority) = (true, 1);
    assert!(check(&mut transport, now, path(2), &lower).0.unwrap().restarted);
    assert_eq!(transport.path(), Some(path(2)), "old nominations do not outrank new ones");
    assert_eq!(transport.poll_event(), Some(TransportEvent::PathChanged(path(2))));
    assert_eq!(transport.ufrags().collect::<Vec<_>>(), ["newufrag"]);
    assert_eq!(check(&mut transport, now, path(1), &Check::ours()).0, Err(DropReason::StunRefused), "the old ones are over");
    assert_eq!(transport.path(), Some(path(2)));
}

#[test]
fn a_restart_may_end_on_the_path_it_began_on() {
    let now = start();
    let (mut transport, _) = restarting(now);
    let new = Check::new(&credentials("new"), &credentials("newtheir")).nominating();
    assert!(check(&mut transport, now, path(1), &new).0.unwrap().restarted);
    assert_eq!((transport.path(), transport.poll_event()), (Some(path(1)), None));
    assert!(!check(&mut transport, now, path(1), &new).0.unwrap().restarted, "once");
}

#[test]
fn a_restart_that_overtakes_another_keeps_the_credentials_in_use() {
    let now = start();
    let (mut transport, mut restarted) = restarting(now);
    restarted.local = credentials("newer");
    restarted.remote = credentials("newertheir");
    transport.update(&restarted);
    assert_eq!(transport.ufrags().collect::<Vec<_>>(), ["newerufrag", "ourufrag"]);
    let overtaken = Check::new(&credentials("new"), &credentials("newtheir"));
    assert_eq!(check(&mut transport, now, path(2), &overtaken).0, Err(DropReason::StunRefused));
    assert!(check(&mut transport, now, path(1), &Check::ours()).0.is_ok());
    let newer = Check::new(&credentials("newer"), &credentials("newertheir")).nominating();
    assert!(check(&mut transport, now, path(3), &newer).0.unwrap().restarted);
    assert_eq!(transport.path(), Some(path(3)));
}

#[test]
fn a_restart_that_leads_nowhere_ends_with_its_consent() {
    let now = start();
    let (mut transport, _) = restarting(now);
    // The client answers to nothing any more: neither the old path's checks nor new ones come (RFC 7675 section 5.1).
    let later = after(now, TransportConfig::default().consent_timeout);
    transport.handle_timeout(later, &mut Sent::new()).unwrap();
    assert!(matches!(transport.poll_event(), Some(TransportEvent::Closed(_))));
}

#[test]
fn consent_runs_out_without_checks_and_not_with_them() {
    let config = TransportConfig::default();
    let mut world = World::new(Kind::Modern, Front::Call, DtlsRole::Server, Link::perfect());
    world.run(Duration::from_secs(5));
    world.events.clear();
    let mut now = world.now;
    for _ in 0..10 {
        now = after(now, config.consent_timeout - Duration::from_secs(1));
        world.transport.handle_timeout(now, &mut Sent::new()).unwrap();
        assert_eq!(world.transport.poll_event(), None);
        check(&mut world.transport, now, path(2), &Check::ours()).0.unwrap();
    }
    assert_eq!(world.transport.deadline(), Some((now.mono + config.consent_timeout, CloseReason::ConsentExpired)));
    now = after(now, config.consent_timeout - Duration::from_secs(1));
    world.transport.heard_media(now.mono);
    assert_eq!(world.transport.deadline(), Some((now.mono + config.consent_timeout, CloseReason::ConsentExpired)), "media counts too");
    now = after(now, config.consent_timeout);
    world.transport.handle_timeout(now, &mut Sent::new()).unwrap();
    assert_eq!(world.transport.poll_event(), Some(TransportEvent::Closed(CloseReason::ConsentExpired)));
    assert_eq!(world.transport.poll_timeout(), None);
    assert_eq!(check(&mut world.transport, now, path(1), &Check::ours()).0, Err(DropReason::NotConnected));
}

#[test]
fn a_client_that_never_checks_is_given_up() {
    let now = start();
    let mut transport = transport(now);
    let due = transport.poll_timeout().unwrap();
    assert_eq!(due, now.mono + TransportConfig::default().connect_timeout);
    transport.handle_timeout(after(now, due - now.mono), &mut Sent::new()).unwrap();
    assert_eq!(transport.poll_event(), Some(TransportEvent::Closed(CloseReason::NeverConnected)));
}

#[test]
fn a_full_arena_drops_the_answer_by_name() {
    let now = start();
    let mut transport = transport(now);
    let mut full = Sent::new();
    full.full = true;
    let bytes = Check::ours().bytes();
    let outcome = transport.handle_check(now, path(1), &Message::parse(&bytes).unwrap(), &mut full);
    assert_eq!(outcome, Err(DropReason::EgressFull));
}

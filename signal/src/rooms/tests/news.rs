//! What observers are told: every beginning has one end, and they nest.

use super::*;
use crate::media::Quality;
use crate::message::Wish;
use crate::news::{News, What};
use crate::quality::{Inbound, Level, Outbound, Report};
use crate::room::RoomWish;

/// What was reported, in order.
fn news(w: &mut World) -> Vec<News> {
    let news = |output| match output {
        Output::News(news) => Some(*news),
        Output::Tell { .. } | Output::Hint { .. } | Output::Ended { .. } => None,
        Output::Record(_) | Output::Sample(_) => None,
    };
    w.rooms.take_outputs().into_iter().filter_map(news).collect()
}

fn words(news: &[News]) -> Vec<(What, String)> {
    news.iter().map(|n| (n.what, n.participant.as_ref().map_or_else(String::new, |p| p.identity.clone()))).collect()
}

fn of(what: What, identity: &str) -> (What, String) {
    (what, identity.to_owned())
}

#[test]
fn a_call_from_its_beginning_to_its_end() {
    let mut w = World::new();
    w.pass(1_000_000);
    let (ann, published) = w.join_and_publish("ann");
    let begun = news(&mut w);
    let expected = [
        of(What::RoomStarted, ""),
        of(What::ParticipantJoined, "ann"),
        of(What::PublicationStarted, "ann"),
        of(What::PublicationStarted, "ann"),
    ];
    assert_eq!(words(&begun), expected);
    let joined = begun[1].participant.as_ref().unwrap();
    assert_eq!((joined.joined_s, joined.door, begun[1].room.created_s, begun[1].room.participants), (1_000, "call", 1_000, 1));
    w.ask(ann, Request::Unpublish { publication: published[0] });
    assert_eq!(words(&news(&mut w)), [of(What::PublicationEnded, "ann")]);
    w.ask(ann, Request::Publish { track: track("a", TrackSource::Microphone) });
    assert_eq!(words(&news(&mut w)), [of(What::PublicationStarted, "ann")]);
    w.offer(ann, "v=0\nm=video 9 send v");
    let ended = news(&mut w);
    assert_eq!(words(&ended), [of(What::PublicationEnded, "ann")]);
    assert_eq!(ended[0].publication.as_ref().unwrap().source, TrackSource::Microphone);
    w.leave(ann);
    let over = news(&mut w);
    assert_eq!(words(&over), [of(What::PublicationEnded, "ann"), of(What::ParticipantLeft, "ann"), of(What::RoomEnded, "")]);
    assert_eq!((over[1].reason, over[2].room.id == begun[0].room.id), (Some("left"), true));
}

#[test]
fn whoever_is_replaced_leaves_and_the_room_goes_on() {
    let mut w = World::new();
    w.join("ann");
    news(&mut w);
    w.join("ann");
    let replaced = news(&mut w);
    assert_eq!(words(&replaced), [of(What::ParticipantLeft, "ann"), of(What::ParticipantJoined, "ann")]);
    assert_eq!(replaced[0].reason, Some("replaced"));
}

#[test]
fn an_operators_room_begins_and_ends_once() {
    let mut w = World::new();
    let change = RoomWish { empty_timeout_s: Some(10), metadata: Some("agenda".into()), ..RoomWish::default() };
    assert!(w.rooms.create("r", change.clone(), &w.media).unwrap());
    assert!(!w.rooms.create("r", change, &w.media).unwrap());
    let ann = w.join("ann");
    w.pass(50_000);
    w.leave(ann);
    w.pass(9_999);
    let (started, joined, left) = (of(What::RoomStarted, ""), of(What::ParticipantJoined, "ann"), of(What::ParticipantLeft, "ann"));
    let begun = news(&mut w);
    assert_eq!((words(&begun), begun[0].room.metadata.as_str()), (vec![started, joined, left], "agenda"));
    w.pass(1);
    w.pass(1);
    assert_eq!(words(&news(&mut w)), [of(What::RoomEnded, "")]);
    assert_eq!(w.rooms.rooms(), 0);
}

#[test]
fn rooms_of_operators_are_bounded_like_others() {
    let mut w = World::with(Config { rooms_max: 1, ..Config::default() });
    assert!(w.rooms.create("a", RoomWish::default(), &w.media).unwrap());
    assert_eq!(w.rooms.create("b", RoomWish::default(), &w.media).unwrap_err().code, ErrorCode::Full);
    // What was opened is there for who joins it.
    assert!(w.rooms.join(Ticket { room: "a".into(), ..ticket("ann") }, true, &w.media).is_ok());
}

/// What came of a client's reports: levels that changed, and how many samples.
fn levels(w: &mut World) -> (Vec<Level>, usize) {
    let outputs = w.rooms.take_outputs();
    let samples = outputs.iter().filter(|output| matches!(output, Output::Sample(_))).count();
    let level = |output| match output {
        Output::News(news) if news.what == What::QualityChanged => news.quality.map(|(level, _)| level),
        _ => None,
    };
    (outputs.into_iter().filter_map(level).collect(), samples)
}

#[test]
fn quality_is_news_when_it_stays_changed() {
    let mut w = World::new();
    let ann = w.join("ann");
    let tell = |w: &mut World, lost: u32| {
        let inbound = Inbound { mid: "0".into(), packets: 1_000 - lost, lost, ..Inbound::default() };
        let report = Report { interval_ms: 5_000, rtt_ms: Some(20), inbound: vec![inbound], ..Report::default() };
        w.ask(ann, Request::Stats(Box::new(report)));
        levels(w)
    };
    w.rooms.take_outputs();
    assert_eq!(tell(&mut w, 0), (vec![], 1));
    assert_eq!(tell(&mut w, 300), (vec![], 1), "one bad moment");
    assert_eq!(tell(&mut w, 0), (vec![], 1));
    assert_eq!(tell(&mut w, 300), (vec![], 1));
    assert_eq!(tell(&mut w, 300), (vec![Level::Poor], 1));
    assert_eq!(tell(&mut w, 300), (vec![], 1), "told once");
    assert_eq!(tell(&mut w, 0), (vec![], 1));
    assert_eq!(tell(&mut w, 0), (vec![Level::Good], 1));
}

#[test]
fn a_sample_holds_the_rooms_view_beside_the_clients() {
    let mut w = World::new();
    let (_, anns) = w.join_and_publish("ann");
    let bob = w.join("bob");
    w.offer(bob, "v=0\nm=video 9 recv 0");
    let quality = Quality { current: Some((0, 1)), target: Some((0, 1)), bitrate_bps: 150_000, reason: "estimate" };
    w.rooms.handle_media_event(MediaEvent::Quality { participant: bob, publication: anns[1], quality }, &w.media);
    w.rooms.handle_media_event(MediaEvent::Estimate { participant: bob, estimate_bps: 300_000 }, &w.media);
    w.ask(bob, Request::Prefer { publication: anns[1], wish: Wish { width: 1_280, height: 720, ..super::viewing::WISH } });
    let inbound = Inbound {
        mid: "0".into(),
        video: true,
        packets: 90,
        lost: 10,
        frames_per_s: 24,
        height: 180,
        frozen_ms: 500,
        ..Inbound::default()
    };
    let up = |packets, lost_ppm| Outbound { mid: "a".into(), packets, lost_ppm, ..Outbound::default() };
    let outbound = vec![up(300, Some(20_000)), up(100, Some(60_000)), up(1_000, None)];
    w.rooms.take_outputs();
    w.ask(bob, Request::Stats(Box::new(Report { interval_ms: 5_000, inbound: vec![inbound], outbound, ..Report::default() })));
    let sample =
        w.rooms.take_outputs().into_iter().find_map(|output| if let Output::Sample(sample) = output { Some(*sample) } else { None });
    let sample = sample.unwrap();
    assert_eq!((sample.room.as_str(), sample.identity.as_str(), sample.estimate_bps), ("r", "bob", Some(300_000)));
    let received = &sample.inbound[0];
    assert_eq!((received.layer, received.reason), (Some((0, 1)), Some("estimate")));
    assert_eq!(received.publication, Some(publication_text(anns[1])));
    assert!((sample.loss_uplink.unwrap() - 0.03).abs() < 1e-9 && (sample.loss_downlink.unwrap() - 0.1).abs() < 1e-9);
    assert_eq!(sample.frozen, Some(0.1));
    // A tenth of the time stood still, a quarter of the lines: 1 + 4 · 0.9^8 · 1 · 0.5.
    assert!((sample.score.video.unwrap() - (1.0 + 2.0 * 0.9_f64.powi(8))).abs() < 1e-9 && sample.score.audio.is_none());
}

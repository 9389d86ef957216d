//! Whatever people do, in whatever order, the room's books and the media side's agree, and every request has one reply. (The fake media
//! side itself panics on what must never be asked of it: a subscription to what is gone, a second close.)

use proptest::prelude::*;

use super::viewing::WISH;
use super::*;
use crate::message::{Assign, BreakoutRequest, Mode, PermissionWish, Role, SettingsWish, Wish};
use crate::room::{RoomWish, Which};

#[derive(Clone, Debug)]
enum Act {
    Join {
        who: u8,
        auto: bool,
    },
    Whip {
        who: u8,
    },
    Whep {
        whom: Option<u8>,
        videos: u16,
    },
    Ask {
        who: usize,
        request: Request,
    },
    Leave {
        who: usize,
    },
    Died {
        who: usize,
    },
    /// Its WebSocket is lost.
    Lost {
        who: usize,
    },
    /// It comes back.
    Resumed {
        who: usize,
    },
    /// Of the others, by the first host.
    Moderate {
        whom: usize,
        how: u8,
    },
    /// To a breakout, or to the main room.
    Move {
        whom: usize,
        breakout: Option<usize>,
    },
    /// From outside.
    Operate {
        whom: u8,
        how: u8,
    },
    Pass {
        s: u8,
    },
}

fn acts() -> impl Strategy<Value = Act> {
    let publication = (0x1000_u64..0x1018).prop_map(PublicationId);
    let line = (any::<bool>(), any::<bool>(), 0..5_u8).prop_map(|(audio, send, mid)| {
        let (kind, way) = (if audio { "audio" } else { "video" }, if send { "send" } else { "recv" });
        format!("\nm={kind} 9 {way} {kind}{mid}")
    });
    let offer = proptest::collection::btree_set(line, 0..6).prop_map(|lines| {
        let sdp = format!("v=0{}", lines.into_iter().collect::<String>());
        Request::Offer { sdp, tracks: vec![track("video1", TrackSource::Screen)] }
    });
    let request = prop_oneof![
        4 => offer,
        1 => publication.clone().prop_map(|publication| Request::Subscribe { publication }),
        1 => publication.clone().prop_map(|publication| Request::Unsubscribe { publication }),
        1 => publication.clone().prop_map(|publication| Request::Unpublish { publication }),
        1 => (publication.clone(), any::<bool>()).prop_map(|(publication, muted)| Request::Mute { publication, muted }),
        1 => (0..5_u8).prop_map(|mid| Request::Publish { track: track(&format!("video{mid}"), TrackSource::Camera) }),
        1 => (publication, any::<bool>()).prop_map(|(publication, pinned)| Request::Prefer { publication, wish: Wish { pinned, ..WISH } }),
        1 => Just(Request::Ping),
    ];
    prop_oneof![
        2 => (0..5_u8, any::<bool>()).prop_map(|(who, auto)| Act::Join { who, auto }),
        1 => (0..5_u8).prop_map(|who| Act::Whip { who }),
        1 => (proptest::option::of(0..5_u8), 0..3_u16).prop_map(|(whom, videos)| Act::Whep { whom, videos }),
        6 => (any::<prop::sample::Index>(), request).prop_map(|(i, request)| Act::Ask { who: i.index(16), request }),
        1 => (0..16_usize).prop_map(|who| Act::Leave { who }),
        1 => (0..16_usize).prop_map(|who| Act::Died { who }),
        1 => (0..16_usize).prop_map(|who| Act::Lost { who }),
        1 => (0..16_usize).prop_map(|who| Act::Resumed { who }),
        4 => (0..16_usize, 0..18_u8).prop_map(|(whom, how)| Act::Moderate { whom, how }),
        2 => (0..16_usize, proptest::option::of(0..2_usize)).prop_map(|(whom, breakout)| Act::Move { whom, breakout }),
        2 => (0..5_u8, 0..12_u8).prop_map(|(whom, how)| Act::Operate { whom, how }),
        1 => (0..40_u8).prop_map(|s| Act::Pass { s }),
    ]
}

fn perform(w: &mut World, act: Act) {
    let nth = |w: &World, who: usize| w.media.ids().get(who).copied();
    let who_is = |who: u8| Ticket { admin: who == 0, hidden: who == 4, ..ticket(&format!("p{who}")) };
    match act {
        Act::Join { who, auto } => drop(w.rooms.join(who_is(who), auto, &w.media)),
        Act::Whip { who } => drop(w.rooms.join_publisher(who_is(who), CAMERA_AND_MICROPHONE, &w.media)),
        Act::Whep { whom, videos } => {
            let plan = Plan { first: whom.map(|whom| format!("p{whom}")), audio: 0, video: videos };
            let lines = (0..videos).map(|mid| format!("\nm=video 9 recv {mid}")).collect::<String>();
            drop(w.rooms.join_player(ticket("v"), plan, &format!("v=0{lines}"), &w.media));
        }
        Act::Ask { who, request } => {
            let Some(who) = nth(w, who) else { return };
            w.told(who);
            w.rooms.handle_request(who, 7, request, &w.media);
            let told = w.told(who);
            let replies = told.iter().filter(|message| is_reply(message)).count();
            assert_eq!(replies, 1, "{told:?}");
        }
        Act::Lost { who } => nth(w, who).into_iter().for_each(|who| w.rooms.lose(who, &w.media)),
        Act::Resumed { who } => nth(w, who).into_iter().for_each(|who| w.rooms.resume(who, 1, &w.media)),
        Act::Pass { s } => w.pass(u64::from(s) * 1000),
        Act::Moderate { whom, how } => {
            let Some(whom) = nth(w, whom) else { return };
            host_asks(w, moderation(whom, how));
        }
        Act::Move { whom, breakout } => {
            let Some(whom) = nth(w, whom) else { return };
            host_asks(w, Request::Breakout(BreakoutRequest::Move { participants: vec![whom], breakout }));
        }
        Act::Operate { whom, how } => drop(operate(w, &format!("p{whom}"), how)),
        Act::Leave { who } => nth(w, who).into_iter().for_each(|who| w.leave(who)),
        Act::Died { who } => nth(w, who).into_iter().for_each(|participant| {
            w.rooms.handle_media_event(MediaEvent::Closed { participant, reason: "consent lost" }, &w.media);
        }),
    }
}

fn host_asks(w: &mut World, request: Request) {
    let hosts = w.rooms.rooms.values().flat_map(Room::people).filter(|p| p.is_host() && p.calls()).map(|p| p.id);
    if let Some(host) = hosts.min() {
        w.told(host);
        w.ask(host, request);
    }
}

fn operate(w: &mut World, identity: &str, how: u8) -> Result<(), Refusal> {
    let World { rooms, media } = w;
    let stays = |empty_timeout_s| RoomWish { empty_timeout_s: Some(empty_timeout_s), ..RoomWish::default() };
    match how {
        0 => rooms.create("r", stays(20), media).map(drop),
        1 => rooms.update("r", stays(0), media),
        2 => rooms.update("r", stays(10), media),
        3 => rooms.end_room("r", media).map(drop),
        4 => rooms.remove("r", identity, false, media).map(drop),
        5 => rooms.move_to("r", identity, Some(1), media).map(drop),
        6 => rooms.begin_breakouts("r", vec!["a".into(), "b".into()], Assign::Even, 30, media),
        7 => rooms.end_breakouts("r", media),
        8 => rooms.place("r", identity, Some(Role::Viewer), PermissionWish::default(), media).map(drop),
        9 => rooms.silence("r", identity, Which::default(), true, media).map(drop),
        10 => rooms.admit_waiting("r", identity, media).map(drop),
        _ => rooms.rename("r", identity, (Some("name"), None), media).map(drop),
    }
}

fn moderation(participant: ParticipantId, how: u8) -> Request {
    let permissions = |wish| Moderation::SetPermissions { participant, wish };
    let settings = |wish| Moderation::SetRoom(wish);
    let roles = [Role::Host, Role::Cohost, Role::Speaker, Role::Viewer];
    Request::Moderate(match how {
        0..4 => Moderation::SetRole { participant, role: roles[usize::from(how)] },
        4 => permissions(PermissionWish { publish: Some(false), ..Default::default() }),
        5 => permissions(PermissionWish { publish: Some(true), ..Default::default() }),
        6 => permissions(PermissionWish { subscribe: Some(false), ..Default::default() }),
        7 => permissions(PermissionWish { subscribe: Some(true), ..Default::default() }),
        8 => Moderation::MuteAll { source: TrackSource::Camera },
        9 => Moderation::AskUnmute { participant, source: TrackSource::Camera },
        10 => settings(SettingsWish { mode: Some(Mode::Webinar), ..Default::default() }),
        11 => settings(SettingsWish { mode: Some(Mode::Call), ..Default::default() }),
        12 => settings(SettingsWish { waiting_room: Some(true), ..Default::default() }),
        13 => settings(SettingsWish { waiting_room: Some(false), ..Default::default() }),
        14 => Moderation::Admit { whom: None },
        15 => return Request::Breakout(BreakoutRequest::Close),
        16 => Moderation::Remove { participant, ban: false },
        _ => {
            let (rooms, assignments) = (vec!["a".into(), "b".into()], vec![]);
            return Request::Breakout(BreakoutRequest::Open { rooms, assign: Assign::Even, assignments, duration_s: 30 });
        }
    })
}

fn is_reply(message: &ServerMessage) -> bool {
    serde_json::to_value(message).unwrap().get("id").is_some()
}

/// Nobody hears another room, nor what may not be published.
fn check_room(w: &World, room: &Room) {
    for participant in room.people() {
        assert_eq!(w.rooms.whereabouts[&participant.id].0, room.id);
        for subscription in &participant.subscriptions {
            let publisher = room.people().find(|p| p.id == subscription.source.publisher).expect("in the same room");
            assert!(publisher.shown().any(|publication| publication.id == subscription.source.publication));
        }
        for publication in &participant.publications {
            assert_eq!(w.media.is_muted(publication.id), participant.stops(publication), "{publication:?} {:?}", participant.standing);
        }
    }
}

/// The room's subscriptions are the media side's, m-line for m-line.
fn check(w: &World) {
    assert_eq!(w.rooms.participants(), w.media.open_count());
    for room in w.rooms.all() {
        assert_eq!(w.rooms.family_is_empty(room.id), room.is_lingering(), "an empty room waits for its end");
    }
    assert!(w.rooms.rooms.values().all(|room| room.main.as_ref().is_none_or(|main| w.rooms.family(main.id).contains(&room.id))));
    assert_eq!(w.rooms.by_resume.len(), w.rooms.rooms.values().flat_map(Room::people).filter(|p| p.calls()).count());
    for room in w.rooms.rooms.values() {
        check_room(w, room);
    }
    for participant in w.rooms.rooms.values().flat_map(Room::people) {
        let mut books: Vec<_> = participant.subscriptions.iter().map(|s| (s.source, s.mid.clone())).collect();
        let mut media = w.media.with(participant.id, |person| person.wanted.clone());
        books.sort_by_key(|(source, _)| source.publication);
        media.sort_by_key(|(source, _)| source.publication);
        assert_eq!(books, media);
        for subscription in &participant.subscriptions {
            let id = subscription.source.publication;
            assert_eq!(w.media.preferences(participant.id, id), subscription.preferences);
            let owner = w.rooms.rooms.values().flat_map(Room::people).flat_map(|p| &p.publications).find(|p| p.id == id).unwrap();
            assert_eq!(subscription.preferences.screen, owner.source == TrackSource::Screen);
        }
    }
}

proptest! {
    #[test]
    fn books_agree(acts in proptest::collection::vec(acts(), 1..60)) {
        let mut w = World::with(Config { participants_per_room_max: 8, ..Config::default() });
        for act in acts {
            perform(&mut w, act);
            check(&w);
        }
    }
}

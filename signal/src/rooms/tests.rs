use super::*;
use crate::message::{Entered, Negotiate, TrackSource};
use crate::testing::{FakeMedia, counting};

mod breakouts;
mod calls;
mod data;
mod moderation;
mod news;
mod players;
mod random;
mod returning;
mod talk;
mod viewing;
mod waiting;
mod webinar;

const CAMERA_AND_MICROPHONE: &str = "v=0\nm=audio 9 send a\nm=video 9 send v";

struct World {
    rooms: Rooms,
    media: FakeMedia,
}

impl World {
    fn new() -> Self {
        Self::with(Config::default())
    }

    fn with(limits: Config) -> Self {
        Self { rooms: Rooms::new(limits, Box::new(counting())), media: FakeMedia::default() }
    }

    fn join(&mut self, identity: &str) -> ParticipantId {
        self.rooms.join(ticket(identity), true, &self.media).unwrap()
    }

    /// Joins, and publishes camera and microphone.
    fn join_and_publish(&mut self, identity: &str) -> (ParticipantId, Vec<PublicationId>) {
        let id = self.join(identity);
        self.offer(id, CAMERA_AND_MICROPHONE);
        (id, self.published(id))
    }

    fn whip(&mut self, identity: &str) -> ParticipantId {
        self.rooms.join_publisher(ticket(identity), CAMERA_AND_MICROPHONE, &self.media).unwrap().0
    }

    fn published(&self, id: ParticipantId) -> Vec<PublicationId> {
        self.media.with(id, |person| person.published.iter().map(|p| p.publication).collect())
    }

    fn offer(&mut self, id: ParticipantId, sdp: &str) {
        self.ask(id, Request::Offer { sdp: sdp.into(), tracks: vec![] });
    }

    fn ask(&mut self, id: ParticipantId, request: Request) {
        self.rooms.handle_request(id, 7, request, &self.media);
    }

    fn join_as_host(&mut self, identity: &str) -> ParticipantId {
        self.rooms.join(Ticket { admin: true, ..ticket(identity) }, true, &self.media).unwrap()
    }

    /// A request that must be granted. What is told is kept.
    fn granted(&mut self, id: ParticipantId, request: Request) {
        let before = self.rooms.take_outputs();
        self.ask(id, request);
        let ok = Output::Tell { to: vec![id], message: ServerMessage::Ok { id: 7 } };
        assert!(self.rooms.outputs.contains(&ok), "{:?}", self.rooms.outputs);
        self.rooms.outputs.splice(0..0, before);
    }

    fn moderate(&mut self, id: ParticipantId, request: Moderation) {
        self.granted(id, Request::Moderate(request));
    }

    /// Lets so many milliseconds pass.
    fn pass(&mut self, ms: u64) {
        let Now { mono_ms, unix_ms } = self.rooms.now;
        self.rooms.handle_time(Now { mono_ms: mono_ms + ms, unix_ms: unix_ms + ms }, &self.media);
    }

    fn leave(&mut self, id: ParticipantId) {
        self.rooms.leave(id, LeaveReason::Left, &self.media);
    }

    /// Everything that was said to someone since last asked, to anyone else forgotten.
    fn told(&mut self, whom: ParticipantId) -> Vec<ServerMessage> {
        let outputs = self.rooms.take_outputs();
        let to_whom = |output| match output {
            Output::Tell { to, message } | Output::Hint { to, message } if to.contains(&whom) => Some(message),
            Output::Tell { .. } | Output::Hint { .. } | Output::Ended { .. } => None,
            Output::News(_) | Output::Record(_) | Output::Sample(_) => None,
        };
        outputs.into_iter().filter_map(to_whom).collect()
    }

    fn refused(&mut self, id: ParticipantId, request: Request) -> ErrorCode {
        self.told(id);
        self.ask(id, request);
        match &self.told(id)[..] {
            [ServerMessage::Error { id: Some(7), code, .. }] => *code,
            other => panic!("{other:?}"),
        }
    }
}

fn ticket(identity: &str) -> Ticket {
    Ticket {
        room: "r".into(),
        identity: identity.into(),
        name: identity.to_uppercase(),
        metadata: String::new(),
        may_publish: true,
        may_subscribe: true,
        may_publish_data: true,
        on_stage: false,
        admin: false,
        hidden: false,
    }
}

fn track(mid: &str, source: TrackSource) -> Track {
    Track { mid: mid.into(), source: Some(source), name: String::new(), muted: false }
}

#[test]
fn everyone_hears_of_everyone() {
    let mut w = World::new();
    let ann = w.join("ann");
    w.rooms.tell_joined(ann, 1, &w.media);
    assert!(matches!(&w.told(ann)[..], [ServerMessage::Joined { entered, .. }] if entered.participants.is_empty()));
    let bob = w.join("bob");
    w.rooms.tell_joined(bob, 1, &w.media);
    let outputs = w.rooms.take_outputs();
    let joined = |to, identity: &str| {
        outputs.iter().any(|output| match output {
            Output::Tell { to: receivers, message: ServerMessage::ParticipantJoined { participant } } => {
                *receivers == vec![to] && participant.identity == identity
            }
            Output::Tell { to: receivers, message: ServerMessage::Joined { entered, .. } } => {
                *receivers == vec![to] && entered.participants.iter().any(|p| p.identity == identity)
            }
            Output::Tell { .. } | Output::Hint { .. } | Output::Ended { .. } => false,
            Output::News(_) | Output::Record(_) | Output::Sample(_) => false,
        })
    };
    assert!(joined(ann, "bob") && joined(bob, "ann"));
    w.leave(bob);
    assert_eq!(
        w.told(ann),
        vec![ServerMessage::ParticipantLeft { participant: crate::message::participant_text(bob), reason: LeaveReason::Left }]
    );
    w.leave(ann);
    assert_eq!((w.rooms.rooms(), w.rooms.participants(), w.media.open_count()), (0, 0, 0));
}

#[test]
fn a_publication_reaches_the_others_after_one_more_offer() {
    let mut w = World::new();
    let ann = w.join("ann");
    let bob = w.join("bob");
    w.offer(bob, "v=0\nm=video 9 recv 0");
    w.told(bob);
    w.offer(ann, CAMERA_AND_MICROPHONE);
    let audio_and_video = w.published(ann);
    let told = w.told(bob);
    // The video goes to the m-line that bob has; for the audio he must offer once, and is told once.
    assert_eq!(w.media.received(bob), vec![("0".into(), audio_and_video[1])]);
    let started = told.iter().filter(|m| matches!(m, ServerMessage::PublicationStarted { .. })).count();
    let placed: Vec<_> = told.iter().filter(|m| matches!(m, ServerMessage::Placed { .. })).collect();
    let negotiate: Vec<_> = told.iter().filter(|m| matches!(m, ServerMessage::Negotiate(_))).collect();
    assert_eq!((started, placed.len()), (2, 1));
    assert_eq!(negotiate, vec![&ServerMessage::Negotiate(Negotiate { audio: 1, video: 0 })]);
    w.offer(bob, "v=0\nm=video 9 recv 0\nm=audio 9 recv 1");
    let [ServerMessage::Answer { placed, negotiate, published, .. }] = &w.told(bob)[..] else { panic!() };
    assert_eq!((placed.len(), *negotiate, published.len()), (2, Negotiate::default(), 0));
}

#[test]
fn who_joins_later_is_told_how_much_to_offer() {
    let mut w = World::new();
    w.join_and_publish("ann");
    let bob = w.join("bob");
    w.rooms.tell_joined(bob, 3, &w.media);
    let told = w.told(bob);
    let [ServerMessage::Joined { id: 3, entered }] = &told[..] else { panic!("{told:?}") };
    let Entered { participants, negotiate, ice_servers, .. } = &**entered;
    assert_eq!(*negotiate, Negotiate { audio: 1, video: 1 });
    assert_eq!((participants[0].publications.len(), ice_servers.len()), (2, 2));
}

#[test]
fn without_auto_subscription_one_asks() {
    let mut w = World::new();
    let (_, publications) = w.join_and_publish("ann");
    let bob = w.rooms.join(ticket("bob"), false, &w.media).unwrap();
    w.offer(bob, "v=0\nm=video 9 recv 0");
    assert!(w.media.received(bob).is_empty());
    w.told(bob);
    w.ask(bob, Request::Subscribe { publication: publications[1] });
    assert!(w.told(bob).iter().any(|m| matches!(m, ServerMessage::Subscribed { mid: Some(mid), .. } if mid == "0")));
    w.ask(bob, Request::Unsubscribe { publication: publications[1] });
    assert!(w.media.received(bob).is_empty());
    let gone = PublicationId(99);
    assert_eq!(w.refused(bob, Request::Subscribe { publication: gone }), ErrorCode::NotFound);
}

#[test]
fn a_free_m_line_goes_to_who_waits() {
    let mut w = World::new();
    let (_, anns) = w.join_and_publish("ann");
    let (_, bobs) = w.join_and_publish("bob");
    let eve = w.join("eve");
    w.offer(eve, "v=0\nm=video 9 recv 0");
    assert_eq!(w.media.received(eve), vec![("0".into(), anns[1])]);
    w.told(eve);
    w.ask(eve, Request::Unsubscribe { publication: anns[1] });
    assert_eq!(w.media.received(eve), vec![("0".into(), bobs[1])]);
    let placed = ServerMessage::Placed { publication: publication_text(bobs[1]), mid: "0".into() };
    assert!(w.told(eve).contains(&placed));
}

#[test]
fn the_same_identity_replaces_its_old_self() {
    let mut w = World::new();
    let bob = w.join("bob");
    let (old, _) = w.join_and_publish("ann");
    w.told(bob);
    let new = w.join("ann");
    let outputs = w.rooms.take_outputs();
    assert!(outputs.contains(&Output::Ended { participant: old, reason: LeaveReason::Replaced }));
    assert!(!w.media.is_open(old) && w.media.is_open(new));
    assert_eq!(w.rooms.participants(), 2);
    // Who is alone and comes again keeps the room.
    w.leave(bob);
    let newer = w.join("ann");
    assert!(w.media.is_open(newer));
    assert_eq!((w.rooms.rooms(), w.rooms.participants()), (1, 1));
}

#[test]
fn whip_shows_to_callers_and_stands_beside_others_of_its_identity() {
    let mut w = World::new();
    let bob = w.join("bob");
    let first = w.whip("cam");
    let started = |m: &&ServerMessage| matches!(m, ServerMessage::PublicationStarted { .. });
    assert_eq!(w.told(bob).iter().filter(started).count(), 2);
    let refusal = w.rooms.join_publisher(ticket("cam"), "hello", &w.media).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::BadSdp);
    assert!(w.media.is_open(first) && w.told(bob).is_empty());
    let second = w.whip("cam");
    let caller = w.join("cam");
    assert!([first, second, caller].into_iter().all(|id| w.media.is_open(id)));
    assert_eq!(w.media.open_count(), 4);
}

#[test]
fn unpublish_hides_and_publish_shows_again() {
    let mut w = World::new();
    let (ann, publications) = w.join_and_publish("ann");
    let bob = w.join("bob");
    w.offer(bob, "v=0\nm=video 9 recv 0\nm=audio 9 recv 1");
    w.told(bob);
    w.ask(ann, Request::Unpublish { publication: publications[1] });
    let video = publication_text(publications[1]);
    let told = w.told(bob);
    assert!(matches!(&told[..], [ServerMessage::PublicationEnded { publication, .. }] if *publication == video));
    assert!(w.media.is_muted(publications[1]));
    assert_eq!(w.refused(bob, Request::Subscribe { publication: publications[1] }), ErrorCode::NotFound);
    // A later offer, which still holds the m-line, does not bring it back.
    w.offer(ann, CAMERA_AND_MICROPHONE);
    assert!(w.told(bob).is_empty());
    w.ask(ann, Request::Publish { track: track("v", TrackSource::Screen) });
    assert!(
        w.told(bob)
            .iter()
            .any(|m| { matches!(m, ServerMessage::PublicationStarted { publication, .. } if publication.source == TrackSource::Screen) })
    );
    assert!(!w.media.is_muted(publications[1]) && w.media.received(bob).len() == 2);
    assert_eq!(w.refused(ann, Request::Publish { track: track("zz", TrackSource::Screen) }), ErrorCode::NotFound);
}

#[test]
fn an_m_line_that_stops_ends_its_publication() {
    let mut w = World::new();
    let (ann, _) = w.join_and_publish("ann");
    let bob = w.join("bob");
    w.told(bob);
    w.offer(ann, "v=0\nm=audio 9 send a");
    let told = w.told(bob);
    assert!(matches!(told[0], ServerMessage::PublicationEnded { .. }), "{told:?}");
    assert_eq!(w.media.with(bob, |person| person.wanted.len()), 1);
}

#[test]
fn mute_is_told_and_a_moderators_mute_holds() {
    let mut w = World::new();
    let (ann, publications) = w.join_and_publish("ann");
    let bob = w.join("bob");
    let admin = w.rooms.join(Ticket { admin: true, ..ticket("mod") }, true, &w.media).unwrap();
    let microphone = publications[0];
    let muted = |muted, muted_by_server| ServerMessage::PublicationMuted {
        participant: crate::message::participant_text(ann),
        publication: publication_text(microphone),
        muted,
        muted_by_server,
    };
    w.told(bob);
    w.ask(ann, Request::Mute { publication: microphone, muted: true });
    assert_eq!(w.told(bob), vec![muted(true, false)]);
    assert!(!w.media.is_muted(microphone));
    assert_eq!(w.refused(bob, Request::Mute { publication: microphone, muted: true }), ErrorCode::Forbidden);
    w.ask(admin, Request::Mute { publication: microphone, muted: true });
    assert!(w.media.is_muted(microphone));
    assert_eq!(w.told(ann), vec![muted(true, true)]);
    assert_eq!(w.refused(ann, Request::Mute { publication: microphone, muted: false }), ErrorCode::Forbidden);
    // Lifted by the moderator, it is still muted by its owner.
    w.ask(admin, Request::Mute { publication: microphone, muted: false });
    assert!(!w.media.is_muted(microphone));
    assert_eq!(w.told(bob), vec![muted(true, false)]);
    w.ask(ann, Request::Mute { publication: microphone, muted: false });
    assert_eq!(w.told(bob), vec![muted(false, false)]);
}

#[test]
fn grants_bound_what_one_may() {
    let mut w = World::new();
    let (ann, publications) = w.join_and_publish("ann");
    let deaf = w.rooms.join(Ticket { may_subscribe: false, ..ticket("deaf") }, true, &w.media).unwrap();
    let hidden = w.rooms.join(Ticket { hidden: true, ..ticket("hidden") }, true, &w.media).unwrap();
    assert_eq!(w.media.with(deaf, |person| person.wanted.len()), 0);
    assert_eq!(w.refused(deaf, Request::Subscribe { publication: publications[0] }), ErrorCode::Forbidden);
    assert!(w.media.with(hidden, |person| !person.may_publish && person.wanted.len() == 2));
    w.told(ann);
    w.leave(hidden);
    assert!(w.told(ann).is_empty(), "nobody hears of who is hidden");
    let plan = Plan { first: None, audio: 1, video: 1 };
    let player = w.rooms.join_player(ticket("ann"), plan, "v=0\nm=video 9 recv 0", &w.media).unwrap().0;
    assert!(w.media.with(player, |person| !person.may_publish));
}

#[test]
fn bounds_are_kept() {
    let limits = Config { rooms_max: 1, participants_per_room_max: 2, publications_per_participant_max: 1, ..Config::default() };
    let mut w = World::with(limits);
    let (ann, _) = w.join_and_publish("ann");
    let bob = w.join("bob");
    assert_eq!(w.media.with(bob, |person| person.wanted.len()), 1, "one publication of two is taken over");
    let full = |w: &mut World, ticket| w.rooms.join(ticket, true, &w.media).map_err(|refusal| refusal.code);
    assert_eq!(full(&mut w, ticket("eve")), Err(ErrorCode::Full));
    assert_eq!(full(&mut w, Ticket { room: "q".into(), ..ticket("eve") }), Err(ErrorCode::Full));
    assert!(full(&mut w, ticket("bob")).is_ok(), "who replaces itself needs no more space");
    w.media.set_busy(true);
    assert_eq!(full(&mut w, ticket("bob")), Err(ErrorCode::Busy));
    w.media.set_busy(false);
    assert!(w.media.is_open(ann) && w.media.open_count() == 2);
}

#[test]
fn media_events_reach_the_room() {
    let mut w = World::new();
    let ann = w.join("ann");
    let bob = w.join("bob");
    w.told(bob);
    w.rooms.handle_media_event(MediaEvent::Connected { participant: ann }, &w.media);
    w.rooms.handle_media_event(MediaEvent::Connected { participant: ann }, &w.media);
    let text = crate::message::participant_text(ann);
    assert!(matches!(&w.told(bob)[..], [ServerMessage::ParticipantUpdated { participant, connected: true, .. }] if *participant == text));
    let closed = MediaEvent::Closed { participant: ann, reason: "consent lost" };
    w.rooms.handle_media_event(closed.clone(), &w.media);
    w.rooms.handle_media_event(closed, &w.media);
    let left = ServerMessage::ParticipantLeft { participant: text, reason: LeaveReason::MediaClosed };
    assert_eq!(w.told(bob), vec![left]);
}

#[test]
fn everyone_goes_when_the_server_closes() {
    let mut w = World::new();
    let (ann, _) = w.join_and_publish("ann");
    w.whip("cam");
    w.told(ann);
    w.rooms.close_all(&w.media);
    let ended = Output::Ended { participant: ann, reason: LeaveReason::ServerClosing };
    assert!(w.rooms.take_outputs().contains(&ended));
    assert_eq!((w.rooms.rooms(), w.rooms.participants(), w.media.open_count()), (0, 0, 0));
}

#[test]
fn sources_are_what_the_client_says_if_it_can_be() {
    let mut w = World::new();
    let ann = w.join("ann");
    let tracks = vec![track("v", TrackSource::Screen), track("a", TrackSource::Camera)];
    w.ask(ann, Request::Offer { sdp: CAMERA_AND_MICROPHONE.into(), tracks });
    let bob = w.join("bob");
    w.rooms.tell_joined(bob, 1, &w.media);
    let told = w.told(bob);
    let Some(ServerMessage::Joined { entered, .. }) = told.last() else { panic!() };
    let participants = &entered.participants;
    let sources: Vec<_> = participants[0].publications.iter().map(|p| (p.kind, p.source)).collect();
    assert_eq!(sources, vec![("audio", TrackSource::Microphone), ("video", TrackSource::Screen)]);
}

use super::*;

impl World {
    fn play(&mut self, first: Option<&str>, videos: u16) -> ParticipantId {
        let plan = Plan { first: first.map(str::to_owned), audio: 0, video: videos };
        let lines = (0..videos).map(|mid| format!("\nm=video 9 recv {mid}")).collect::<String>();
        self.rooms.join_player(ticket("viewer"), plan, &format!("v=0{lines}"), &self.media).unwrap().0
    }

    fn camera(&self, id: ParticipantId) -> PublicationId {
        self.published(id)[1]
    }

    fn watches(&self, player: ParticipantId) -> Vec<PublicationId> {
        self.media.received(player).into_iter().map(|(_, publication)| publication).collect()
    }
}

#[test]
fn the_named_identity_comes_first_then_the_room_in_order_of_joining() {
    let mut w = World::new();
    let (ann, bob, eve) = (w.whip("ann"), w.whip("bob"), w.whip("eve"));
    let player = w.play(Some("eve"), 3);
    assert_eq!(w.watches(player), vec![w.camera(eve), w.camera(ann), w.camera(bob)]);
    let whole = w.play(None, 2);
    assert_eq!(w.watches(whole), vec![w.camera(ann), w.camera(bob)]);
}

#[test]
fn a_player_with_its_publishers_token_disturbs_nobody() {
    let mut w = World::new();
    let cam = w.whip("viewer");
    let player = w.play(Some("viewer"), 1);
    assert_eq!(w.watches(player), vec![w.camera(cam)]);
    assert!(w.media.is_open(cam));
    w.leave(player);
    assert!(w.media.is_open(cam));
    let again = w.play(Some("viewer"), 1);
    let newer = w.whip("viewer");
    assert!(w.media.is_open(again) && w.media.is_open(cam));
    assert_eq!(w.watches(again), vec![w.camera(newer)], "the player follows its publisher to the newest stream");
    w.leave(newer);
    assert_eq!(w.watches(again), vec![w.camera(cam)]);
}

#[test]
fn who_is_awaited_is_shown_when_it_comes_and_nobody_in_its_place() {
    let mut w = World::new();
    let ann = w.whip("ann");
    let one = w.play(Some("eve"), 1);
    let two = w.play(Some("eve"), 2);
    assert_eq!((w.watches(one), w.watches(two)), (vec![], vec![w.camera(ann)]));
    let eve = w.whip("eve");
    assert_eq!(w.watches(one), vec![w.camera(eve)]);
    let mut both = w.watches(two);
    both.sort();
    assert_eq!(both, vec![w.camera(ann), w.camera(eve)]);
    w.leave(eve);
    assert_eq!((w.watches(one), w.watches(two)), (vec![], vec![w.camera(ann)]));
}

#[test]
fn a_screen_of_the_named_displaces_the_last_of_the_others() {
    let mut w = World::new();
    let ann = w.whip("ann");
    let eve = w.join("eve");
    w.offer(eve, "v=0\nm=video 9 send v");
    let player = w.play(Some("eve"), 2);
    let camera = w.published(eve)[0];
    assert_eq!(w.watches(player), vec![camera, w.camera(ann)]);
    let tracks = vec![track("v", TrackSource::Camera), track("s", TrackSource::Screen)];
    w.ask(eve, Request::Offer { sdp: "v=0\nm=video 9 send v\nm=video 9 send s".into(), tracks });
    assert_eq!(w.watches(player), vec![camera, w.published(eve)[1]]);
}

#[test]
fn as_people_go_the_next_take_their_places() {
    let mut w = World::new();
    let (ann, bob) = (w.whip("ann"), w.whip("bob"));
    let player = w.play(None, 1);
    assert_eq!(w.watches(player), vec![w.camera(ann)]);
    w.leave(ann);
    assert_eq!(w.watches(player), vec![w.camera(bob)]);
    w.leave(bob);
    assert_eq!(w.rooms.rooms(), 1, "the room waits for publishers while someone watches");
    w.leave(player);
    assert_eq!(w.rooms.rooms(), 0);
}

#[test]
fn a_bad_offer_leaves_no_player_behind() {
    let mut w = World::new();
    let plan = Plan { first: None, audio: 0, video: 1 };
    let refusal = w.rooms.join_player(ticket("viewer"), plan, "v=0 nothing", &w.media).unwrap_err();
    assert_eq!(refusal.code, ErrorCode::UnacceptableSdp);
    assert_eq!((w.rooms.rooms(), w.rooms.participants(), w.media.open_count()), (0, 0, 0));
}

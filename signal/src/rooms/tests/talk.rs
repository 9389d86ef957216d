//! Chat, hands, reactions, polls, boards.

use super::*;
use crate::config::RoomConfig;
use crate::message::{BoardRequest, ChatInfo, PollInfo, PollRequest, Stroke, Talk, Whose, participant_text};

fn say(text: &str, to: Option<ParticipantId>) -> Request {
    Request::Talk(Talk::Chat { text: text.into(), to })
}

fn heard(told: &[ServerMessage]) -> Vec<String> {
    let text = |m: &ServerMessage| match m {
        ServerMessage::Chat { message } => Some(message.text.clone()),
        _ => None,
    };
    told.iter().filter_map(text).collect()
}

fn sent(told: &[ServerMessage]) -> ChatInfo {
    let sent = |m: &ServerMessage| if let ServerMessage::ChatSent { message, .. } = m { Some(message.clone()) } else { None };
    told.iter().find_map(sent).unwrap()
}

impl World {
    fn history(&mut self, who: ParticipantId) -> Vec<String> {
        self.told(who);
        self.ask(who, Request::Talk(Talk::ChatHistory { before: None, limit: 100 }));
        match &self.told(who)[..] {
            [ServerMessage::ChatHistory { messages, .. }] => messages.iter().map(|message| message.text.clone()).collect(),
            other => panic!("{other:?}"),
        }
    }

    fn poll(&mut self, who: ParticipantId) -> PollInfo {
        let poll = |m: ServerMessage| if let ServerMessage::Poll { poll } = m { Some(poll) } else { None };
        self.told(who).into_iter().filter_map(poll).next_back().unwrap()
    }
}

#[test]
fn chat_reaches_everyone_or_one_and_who_comes_later() {
    let mut w = World::new();
    let (ann, bob, eve) = (w.join("ann"), w.join("bob"), w.join("eve"));
    w.pass(5);
    w.ask(ann, say("hello", None));
    let outputs = w.rooms.take_outputs();
    let to_all = |o: &Output| matches!(o, Output::Tell { to, message: ServerMessage::Chat { .. } } if *to == vec![bob, eve]);
    assert!(outputs.iter().any(to_all), "{outputs:?}");
    assert!(outputs.iter().any(|o| matches!(o, Output::Record(record) if record.kind == "chat" && record.body["at_unix_ms"] == 5)));
    w.ask(ann, say("psst", Some(bob)));
    assert_eq!(heard(&w.told(bob)), vec!["psst"]);
    assert_eq!(w.history(ann), vec!["hello", "psst"]);
    assert_eq!(w.history(eve), vec!["hello"]);
    // Bob is another participant when he comes again, and the same identity.
    w.leave(bob);
    let bob = w.join("bob");
    w.rooms.tell_joined(bob, 1, &w.media);
    let told = w.told(bob);
    let Some(ServerMessage::Joined { entered, .. }) = told.first() else { panic!("{told:?}") };
    assert_eq!(entered.state.chat.iter().map(|message| &message.text).collect::<Vec<_>>(), vec!["hello", "psst"]);
    assert_eq!(w.refused(ann, say("?", Some(ParticipantId(99)))), ErrorCode::NotFound);
}

#[test]
fn history_has_an_end_and_pages() {
    let mut w = World::with(Config { room: RoomConfig { chat_history_max: 3, ..RoomConfig::default() }, ..Config::default() });
    let ann = w.join("ann");
    for n in 0..5 {
        w.ask(ann, say(&n.to_string(), None));
    }
    assert_eq!(w.history(ann), vec!["2", "3", "4"]);
    w.ask(ann, Request::Talk(Talk::ChatHistory { before: None, limit: 1 }));
    let told = w.told(ann);
    let [ServerMessage::ChatHistory { messages, more: true, .. }] = &told[..] else { panic!("{told:?}") };
    let before = u64::from_str_radix(&messages[0].id, 16).ok();
    w.ask(ann, Request::Talk(Talk::ChatHistory { before, limit: 10 }));
    let told = w.told(ann);
    assert!(matches!(&told[..], [ServerMessage::ChatHistory { messages, more: false, .. }] if messages.len() == 2), "{told:?}");
}

#[test]
fn messages_are_deleted_by_who_said_them_and_by_hosts() {
    let mut w = World::new();
    let (host, ann, bob) = (w.join_as_host("host"), w.join("ann"), w.join("bob"));
    w.ask(ann, say("rude", None));
    let id = sent(&w.told(ann)).id;
    let delete = Request::Talk(Talk::DeleteChat { message: u64::from_str_radix(&id, 16).unwrap() });
    assert_eq!(w.refused(bob, delete.clone()), ErrorCode::Forbidden);
    w.granted(host, delete.clone());
    assert!(w.told(bob).contains(&ServerMessage::ChatDeleted { message: id }));
    assert!(w.history(bob).is_empty());
    assert_eq!(w.refused(ann, delete), ErrorCode::NotFound);
    // What was said to one alone is not the host's to see, nor to delete.
    w.ask(ann, say("psst", Some(bob)));
    let id = u64::from_str_radix(&sent(&w.told(ann)).id, 16).unwrap();
    assert_eq!(w.refused(host, Request::Talk(Talk::DeleteChat { message: id })), ErrorCode::NotFound);
}

#[test]
fn who_may_not_publish_data_is_silent() {
    let mut w = World::new();
    let mute = w.rooms.join(Ticket { may_publish_data: false, ..ticket("mute") }, true, &w.media).unwrap();
    let stroke = Stroke { stroke: "1".into(), color: "#000000".into(), width: 1, points: vec![0, 0] };
    let requests = [
        say("x", None),
        Request::Talk(Talk::React { emoji: "👏".into() }),
        Request::Board(BoardRequest::Draw { board: "whiteboard".into(), stroke }),
    ];
    for request in requests {
        assert_eq!(w.refused(mute, request), ErrorCode::Forbidden);
    }
}

#[test]
fn what_was_said_before_comes_back_in_order_and_to_whom_it_concerns() {
    let mut w = World::new();
    let (ann, bob) = (w.join("ann"), w.join("bob"));
    w.ask(ann, say("now", None));
    w.told(ann);
    let old = |id: u64, to: Option<&str>| ChatInfo {
        id: format!("{id:016x}"),
        from: "1".into(),
        identity: "eve".into(),
        name: "Eve".into(),
        to: None,
        to_identity: to.map(str::to_owned),
        text: format!("old {id}"),
        at_unix_ms: 1,
    };
    w.rooms.restore_chat("r", vec![old(901, None), old(902, Some("bob"))], &w.media);
    let told = w.told(bob);
    assert!(matches!(&told[..], [ServerMessage::ChatRestored { messages }] if messages.len() == 2), "{told:?}");
    assert_eq!(w.history(bob), vec!["old 901", "old 902", "now"]);
    assert_eq!(w.history(ann), vec!["old 901", "now"]);
}

#[test]
fn hands_stand_in_the_order_in_which_they_were_raised() {
    let mut w = World::new();
    let (host, ann, bob) = (w.join_as_host("host"), w.join("ann"), w.join("bob"));
    let hands = |w: &mut World| {
        let hands = |m: ServerMessage| if let ServerMessage::Hands { hands } = m { Some(hands) } else { None };
        let last = w.told(host).into_iter().filter_map(hands).next_back();
        last.map(|hands| hands.into_iter().map(|hand| hand.identity).collect::<Vec<_>>())
    };
    let hand = |raised, whose| Request::Talk(Talk::RaiseHand { raised, whose });
    w.granted(bob, hand(true, Whose::Mine));
    w.granted(ann, hand(true, Whose::Mine));
    assert_eq!(hands(&mut w), Some(vec!["bob".to_owned(), "ann".to_owned()]));
    w.granted(ann, hand(true, Whose::Mine));
    assert_eq!(hands(&mut w), None, "nothing is new");
    assert_eq!(w.refused(ann, hand(false, Whose::Of(bob))), ErrorCode::Forbidden);
    assert_eq!(w.refused(host, hand(true, Whose::Of(bob))), ErrorCode::Forbidden);
    w.granted(host, hand(false, Whose::Of(bob)));
    assert_eq!(hands(&mut w), Some(vec!["ann".to_owned()]));
    w.leave(ann);
    assert_eq!(hands(&mut w), Some(vec![]));
}

#[test]
fn a_poll_counts_each_identity_once_and_hides_what_must_be_hidden() {
    let mut w = World::new();
    let (host, ann, bob) = (w.join_as_host("host"), w.join("ann"), w.join("bob"));
    let create = |anonymous| {
        let options = vec!["soup".into(), "salad".into()];
        Request::Poll(PollRequest::Create { question: "lunch?".into(), options, anonymous, multiple: false })
    };
    assert_eq!(w.refused(ann, create(true)), ErrorCode::Forbidden);
    w.ask(host, create(false));
    let poll = w.poll(ann);
    assert_eq!((poll.votes.clone(), poll.closed), (None, false));
    let id = u64::from_str_radix(&poll.id, 16).unwrap();
    let vote = |options: &[usize]| Request::Poll(PollRequest::Vote { poll: id, options: options.to_vec() });
    assert_eq!(w.refused(ann, vote(&[0, 1])), ErrorCode::Forbidden);
    assert_eq!(w.refused(ann, vote(&[2])), ErrorCode::NotFound);
    w.granted(ann, vote(&[1]));
    w.granted(bob, vote(&[1]));
    w.granted(bob, vote(&[0]));
    assert_eq!(w.poll(host).votes, Some(vec![1, 1]));
    w.granted(bob, vote(&[1]));
    let seen = w.poll(bob);
    assert_eq!((seen.votes, seen.who, seen.voters, seen.yours), (None, None, 2, vec![1]));
    w.granted(host, Request::Poll(PollRequest::Close { poll: id }));
    assert!(w.rooms.outputs.iter().any(|o| matches!(o, Output::Record(record) if record.kind == "poll")));
    let end = w.poll(ann);
    assert_eq!((end.votes, end.who), (Some(vec![0, 2]), Some(vec![vec![], vec!["ann".into(), "bob".into()]])));
    assert_eq!(w.refused(ann, vote(&[0])), ErrorCode::Over);
    // Of an anonymous one nobody learns who voted for what.
    w.ask(host, create(true));
    let id = u64::from_str_radix(&w.poll(host).id, 16).unwrap();
    w.granted(ann, Request::Poll(PollRequest::Vote { poll: id, options: vec![0] }));
    w.granted(host, Request::Poll(PollRequest::Close { poll: id }));
    assert_eq!(w.poll(host).who, None);
}

#[test]
fn strokes_grow_are_kept_and_go_with_the_picture() {
    let mut w = World::with(Config { room: RoomConfig { board_coordinates_max: 6, ..RoomConfig::default() }, ..Config::default() });
    let (host, bob) = (w.join_as_host("host"), w.join("bob"));
    let (ann, publications) = w.join_and_publish("ann");
    let screen = publication_text(publications[1]);
    let draw = |points: &[u16]| {
        let stroke = Stroke { stroke: "1".into(), color: "#00ff00".into(), width: 9, points: points.to_vec() };
        Request::Board(BoardRequest::Draw { board: screen.clone(), stroke })
    };
    w.granted(bob, draw(&[1, 2]));
    w.granted(bob, draw(&[3, 4]));
    assert!(w.told(host).iter().any(|m| matches!(m, ServerMessage::Stroke { participant, .. } if *participant == participant_text(bob))));
    let strokes = |w: &mut World| {
        w.told(ann);
        w.ask(ann, Request::Board(BoardRequest::Look { board: screen.clone() }));
        match &w.told(ann)[..] {
            [ServerMessage::Board { strokes, .. }] => strokes.iter().map(|s| s.stroke.points.clone()).collect::<Vec<_>>(),
            _ => vec![],
        }
    };
    assert_eq!(strokes(&mut w), vec![vec![1, 2, 3, 4]]);
    assert_eq!(w.refused(ann, draw(&[0, 0, 0, 0])), ErrorCode::Full);
    let erase = |whose| Request::Board(BoardRequest::Erase { board: screen.clone(), stroke: Some("1".into()), whose });
    assert_eq!(w.refused(ann, erase(Some(bob))), ErrorCode::Forbidden);
    w.granted(host, erase(Some(bob)));
    assert!(strokes(&mut w).is_empty());
    w.granted(bob, draw(&[5, 6]));
    w.leave(ann);
    assert_eq!(w.refused(bob, Request::Board(BoardRequest::Look { board: screen.clone() })), ErrorCode::NotFound);
    assert!(w.rooms.rooms.values().all(|room| room.board("whiteboard").unwrap().is_empty()));
}

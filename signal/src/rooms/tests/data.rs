use super::*;
use crate::media::{DataChannels, DataMessage};
use crate::message::{DataContent, DataRequest, participant_text};
use crate::people::Plan;

const BOTH: DataChannels = DataChannels { reliable: true, lossy: true };

fn text(to: &[&str], reliable: bool, text: &str) -> DataRequest {
    let to = to.iter().map(|it| (*it).to_owned()).collect();
    DataRequest { to, topic: "t".into(), reliable, content: DataContent::Text(text.into()) }
}

fn send(data: DataRequest) -> Request {
    Request::SendData { data }
}

impl World {
    fn report(&mut self, event: MediaEvent) {
        self.rooms.handle_media_event(event, &self.media);
    }

    fn open_channels(&mut self, participant: ParticipantId, open: DataChannels) {
        self.report(MediaEvent::DataChannels { participant, open });
    }

    /// A message comes over a channel.
    fn bring(&mut self, participant: ParticipantId, reliable: bool, bytes: &[u8]) {
        let message = DataMessage { reliable, text: true, bytes: bytes.to_vec() };
        self.report(MediaEvent::Data { participant, message });
    }

    /// What was said last: to whom, and what, of messages.
    fn data_told(&mut self) -> Vec<(Vec<ParticipantId>, ServerMessage)> {
        let outputs = self.rooms.take_outputs().into_iter();
        let messages = outputs.filter_map(|output| match output {
            Output::Tell { to, message } | Output::Hint { to, message } => Some((to, message)),
            Output::Ended { .. } | Output::News(_) | Output::Record(_) | Output::Sample(_) => None,
        });
        messages.filter(|(_, message)| matches!(message, ServerMessage::Data { .. } | ServerMessage::DataRefused { .. })).collect()
    }
}

fn data_event(from: ParticipantId, identity: &str, reliable: bool, text: &str) -> ServerMessage {
    ServerMessage::Data {
        participant: Some(participant_text(from)),
        identity: Some(identity.into()),
        topic: "t".into(),
        reliable,
        text: Some(text.into()),
        base64: None,
    }
}

#[test]
fn a_message_goes_by_channel_to_those_who_have_one_and_by_socket_to_the_rest() {
    let mut w = World::new();
    let (ann, bob, eve) = (w.join("ann"), w.join("bob"), w.join("eve"));
    w.open_channels(bob, BOTH);
    w.rooms.take_outputs();

    w.ask(ann, send(text(&[], true, "hi")));
    assert_eq!(w.data_told(), [(vec![eve], data_event(ann, "ann", true, "hi"))]);
    let header = format!("{{\"participant\":\"{}\",\"identity\":\"ann\",\"topic\":\"t\"}}\nhi", participant_text(ann));
    let framed = |reliable| DataMessage { reliable, text: true, bytes: header.clone().into_bytes() };
    assert_eq!(w.media.take_data(), [(vec![bob], framed(true))]);

    // To one, from a channel.
    w.bring(bob, false, b"{\"to\":[\"ann\"],\"topic\":\"t\"}\nback");
    assert_eq!(w.data_told(), [(vec![ann], data_event(bob, "bob", false, "back"))]);
    assert!(w.media.take_data().is_empty());

    // What may not be lost does not go over a channel that loses.
    w.open_channels(bob, DataChannels { reliable: false, lossy: true });
    w.ask(ann, send(text(&["bob"], true, "hi")));
    assert_eq!(w.data_told(), [(vec![bob], data_event(ann, "ann", true, "hi"))]);
    w.ask(ann, send(text(&["bob"], false, "hi")));
    assert_eq!(w.media.take_data(), [(vec![bob], framed(false))]);
}

#[test]
fn who_may_not_or_reaches_nobody_is_told() {
    let mut w = World::new();
    let mute = w.rooms.join(Ticket { may_publish_data: false, ..ticket("mute") }, true, &w.media).unwrap();
    let ann = w.join("ann");
    assert_eq!(w.refused(mute, send(text(&[], true, "hi"))), ErrorCode::Forbidden);
    assert_eq!(w.refused(ann, send(text(&["nobody"], true, "hi"))), ErrorCode::NotFound);
    // Oneself is not others.
    assert_eq!(w.refused(ann, send(text(&["ann"], true, "hi"))), ErrorCode::NotFound);

    w.rooms.take_outputs();
    w.open_channels(mute, BOTH);
    w.bring(mute, true, b"{\"topic\":\"x\"}\nhi");
    let [(to, ServerMessage::DataRefused { code: ErrorCode::Forbidden, topic, .. })] = &w.data_told()[..] else { panic!("refused") };
    assert_eq!((to, topic.as_str()), (&vec![mute], "x"));
    w.bring(ann, true, b"no header");
    let [(_, ServerMessage::DataRefused { code: ErrorCode::Malformed, field, .. })] = &w.data_told()[..] else { panic!("refused") };
    assert_eq!(field.as_deref(), Some("header"));
    w.bring(ann, false, &[&b"\n"[..], &vec![b'x'; 16 * 1024 + 1]].concat());
    let [(_, ServerMessage::DataRefused { code: ErrorCode::TooLarge, message, .. })] = &w.data_told()[..] else { panic!("refused") };
    assert_eq!(message, "is longer than 16384 bytes");
}

#[test]
fn packet_threads_that_do_not_keep_up_lose_only_what_is_lossy() {
    let mut w = World::new();
    let (ann, bob) = (w.join("ann"), w.join("bob"));
    w.open_channels(bob, BOTH);
    w.rooms.take_outputs();
    w.media.set_busy(true);
    w.ask(ann, send(text(&[], true, "hi")));
    assert_eq!(w.data_told(), [(vec![bob], data_event(ann, "ann", true, "hi"))]);
    w.ask(ann, send(text(&[], false, "hi")));
    assert!(w.data_told().is_empty());
}

#[test]
fn players_and_publishers_over_http_are_reached_by_channel_only_and_players_say_nothing() {
    let mut w = World::new();
    let (ann, whip) = (w.join("ann"), w.whip("obs"));
    let plan = Plan { first: None, audio: 1, video: 1 };
    let (player, _) = w.rooms.join_player(ticket("tv"), plan, "v=0\nm=video 9 recv v", &w.media).unwrap();
    w.ask(ann, send(text(&[], true, "hi")));
    assert!(w.media.take_data().is_empty());
    w.open_channels(whip, BOTH);
    w.open_channels(player, BOTH);
    w.rooms.take_outputs();
    w.ask(ann, send(text(&[], true, "hi")));
    assert_eq!(w.media.take_data()[0].0, [whip, player]);
    w.bring(whip, true, b"\nlive");
    assert_eq!((w.data_told().len(), w.media.take_data().len()), (1, 1));
    w.bring(player, true, b"\nme too");
    assert!(w.data_told().is_empty() && w.media.take_data().is_empty());
}

#[test]
fn the_server_speaks_for_itself_and_losses_are_told() {
    let mut w = World::new();
    let (ann, bob) = (w.join("ann"), w.join("bob"));
    w.open_channels(bob, BOTH);
    w.rooms.take_outputs();
    w.rooms.send_data("r", &text(&[], true, "soon over"), &w.media).unwrap();
    let [(to, ServerMessage::Data { participant: None, identity: None, text: Some(said), .. })] = &w.data_told()[..] else {
        panic!("data")
    };
    assert_eq!((to, said.as_str()), (&vec![ann], "soon over"));
    assert_eq!(w.media.take_data()[0].1.bytes, b"{\"participant\":null,\"identity\":null,\"topic\":\"t\"}\nsoon over");
    let missing = w.rooms.send_data("q", &text(&[], true, "x"), &w.media).map_err(|refusal| refusal.code);
    assert_eq!(missing, Err(ErrorCode::NotFound));

    w.report(MediaEvent::DataLost { participant: bob, messages: 3 });
    assert_eq!(w.told(bob), [ServerMessage::DataLost { messages: 3 }]);
    // Who is gone is not spoken of.
    w.leave(bob);
    w.open_channels(bob, BOTH);
    w.bring(bob, true, b"\nlate");
    w.rooms.take_outputs();
    w.ask(ann, send(text(&[], true, "anyone?")));
    assert!(w.media.take_data().is_empty());
}

//! Who is heard in a room where many could talk at once.

use std::time::Duration;

use pointsman_sfu::{Event, ParticipantId};

use crate::world::*;

const SPEECH: u8 = 25;
const SILENCE: u8 = 127;

/// Publishers on both shards with a microphone each, and one listener.
struct Room {
    world: World,
    microphones: Vec<Stream>,
    levels: Vec<Option<u8>>,
    listener: usize,
}

impl Room {
    fn new(publishers: usize) -> Self {
        let mut world = World::new(2);
        for at in 0..publishers {
            world.join(at % 2, vec![audio_in(at as u64 + 1, "0")], vec![]);
            world.connect(at);
        }
        let senders = (0..publishers).map(|at| {
            let publisher = world.clients[at].id;
            audio_out(&format!("a{at}"), 5000 + 10 * at as u32, Some((at as u64 + 1, publisher)))
        });
        let senders = senders.collect();
        let listener = world.join(0, vec![], senders);
        world.connect(listener);
        let microphones = (0..publishers).map(|at| Stream::new(100 + at as u32, 1)).collect();
        Self { world, microphones, levels: vec![Some(SILENCE); publishers], listener }
    }

    /// 20 ms of everybody's sound.
    fn turn(&mut self) {
        for at in 0..self.microphones.len() {
            let mut packet = self.microphones[at].sound();
            packet.elements = self.levels[at].map(|level| (LEVEL, vec![level])).into_iter().collect();
            self.world.send(at, &[packet]);
        }
        self.world.pass(Duration::from_millis(20));
    }

    fn run(&mut self, ms: u64) {
        (0..ms / 20).for_each(|_| self.turn());
    }

    /// Packets of each publisher that came since the last question.
    fn heard(&mut self) -> Vec<usize> {
        (0..self.microphones.len()).map(|at| self.take(at).len()).collect()
    }

    fn take(&mut self, at: usize) -> Vec<Got> {
        self.world.clients[self.listener].take(5000 + 10 * at as u32)
    }
}

#[test]
fn only_the_loudest_are_sent_on_and_no_word_loses_its_beginning() {
    let mut room = Room::new(7);
    room.levels[..5].copy_from_slice(&[SPEECH, SPEECH + 1, SPEECH + 2, SPEECH + 3, SILENCE].map(Some));
    // A client that negotiates levels and does not send them is always heard.
    room.levels[6] = None;
    room.run(3000);
    room.heard();
    room.run(1000);
    assert_eq!(room.heard(), [50, 50, 50, 50, 0, 0, 50]);
    let before: Vec<u16> = {
        room.turn();
        let speaker = room.take(0);
        room.heard();
        speaker.iter().map(|got| got.header.sequence).collect()
    };
    assert_eq!(before.len(), 1);
    // Two fall silent; one who was silent says something.
    room.levels[0] = Some(SILENCE);
    room.levels[1] = Some(SILENCE);
    room.run(3000);
    room.heard();
    room.levels[4] = Some(SPEECH);
    room.turn();
    assert_eq!(room.take(4).len(), 1, "the first packet");
    room.run(3000);
    let heard = room.heard();
    assert_eq!((heard[2], heard[3], heard[4]), (151, 151, 150));
    assert_eq!(heard[..2].iter().filter(|count| **count > 140).count(), 1, "of the silent ones one place is left: {heard:?}");
}

#[test]
fn numbers_go_on_without_a_gap_after_silence() {
    let mut room = Room::new(6);
    for at in 0..4 {
        room.levels[at] = Some(SPEECH);
    }
    room.levels[5] = Some(SPEECH + 5);
    room.run(2000);
    let first = room.take(5);
    room.levels[5] = Some(SILENCE);
    room.run(4000);
    let rest = room.take(5);
    let last = rest.last().or(first.last()).expect("it was heard at first").header;
    room.heard();
    room.levels[5] = Some(5);
    room.run(200);
    let again = room.take(5);
    assert_eq!(again.len(), 10);
    assert_eq!(again[0].header.sequence, last.sequence.wrapping_add(1), "what was left out is no loss");
    let passed = again[0].header.timestamp.wrapping_sub(last.timestamp);
    let silent = 300 - (first.len() + rest.len()) as u32;
    assert!(passed.abs_diff((silent + 1) * 960) < 3 * 960, "time went on: {passed} for {silent} packets");
}

#[test]
fn control_is_told_once_who_speaks() {
    let mut room = Room::new(3);
    room.run(500);
    room.levels[1] = Some(SPEECH);
    room.run(1500);
    let told = |room: &Room| -> Vec<Vec<ParticipantId>> {
        let speakers = room.world.events.iter().filter_map(|event| match event {
            Event::Speakers { speakers, .. } => Some(speakers.clone()),
            _ => None,
        });
        speakers.collect()
    };
    let id = |at: usize| room.world.clients[at].id;
    let (one, two) = (id(1), id(2));
    assert_eq!(told(&room), [vec![one]]);
    room.levels[1] = Some(SILENCE);
    room.levels[2] = Some(SPEECH);
    room.run(1500);
    assert_eq!(told(&room)[1..], [vec![one, two], vec![two, one]]);
    room.levels[2] = Some(SILENCE);
    room.run(5000);
    assert_eq!(told(&room).last(), Some(&vec![]));
    assert!(told(&room).len() <= 5, "{:?}", told(&room));
}

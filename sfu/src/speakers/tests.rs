use super::*;

const SPEECH: u8 = 25;
const MURMUR: u8 = 60;
const SILENCE: u8 = 127;

#[expect(clippy::disallowed_methods, reason = "a virtual clock has to start somewhere")]
fn start() -> Instant {
    Instant::now()
}

/// One shard's view of one room. Each of its voices sends a packet every 20 ms.
struct Shard {
    rooms: Rooms,
    places: Vec<VoicePlace>,
    levels: Vec<u8>,
    /// Packets that went on.
    passed: Vec<u32>,
}

struct World {
    now: Instant,
    config: SpeakersConfig,
    shards: Vec<Shard>,
}

const ROOM: RoomId = RoomId(7);

fn participant(shard: usize, voice: usize) -> ParticipantId {
    ParticipantId((shard * 100 + voice) as u64)
}

impl World {
    fn new(voices: &[usize]) -> Self {
        let shard = |(at, &count): (usize, &usize)| {
            let mut rooms = Rooms::new(4, 1);
            let publication = |voice| PublicationId(1000 + participant(at, voice).0);
            let places = (0..count).map(|voice| rooms.begin_voice(ROOM, publication(voice), participant(at, voice)).unwrap()).collect();
            Shard { rooms, places, levels: vec![SILENCE; count], passed: vec![0; count] }
        };
        Self { now: start(), config: SpeakersConfig::default(), shards: voices.iter().enumerate().map(shard).collect() }
    }

    fn packets(&mut self) {
        for shard in &mut self.shards {
            for (voice, place) in shard.places.iter().enumerate() {
                let gate = shard.rooms.hear(self.now, &self.config, *place, shard.levels[voice]);
                shard.passed[voice] += u32::from(gate != Gate::Closed);
            }
        }
        self.now += Duration::from_millis(20);
    }

    fn look(&mut self) {
        let (now, config) = (self.now, self.config.clone());
        let told: Vec<Levels> = (0..self.shards.len()).map(|at| self.room(at).levels(now, &config)).collect();
        for (at, shard) in self.shards.iter_mut().enumerate() {
            for (other, levels) in told.iter().enumerate().filter(|(other, _)| *other != at) {
                shard.rooms.take_levels(self.now, ROOM, ShardId(other as u16), levels).unwrap();
            }
            let room = shard.rooms.find(ROOM).unwrap();
            shard.rooms.get_mut(room).unwrap().look(self.now, &self.config);
        }
    }

    fn run(&mut self, ms: u64) {
        for turn in 0..ms / 20 {
            self.packets();
            if turn % 5 == 4 {
                self.look();
            }
        }
    }

    fn room(&mut self, shard: usize) -> &mut Room {
        let at = self.shards[shard].rooms.find(ROOM).unwrap();
        self.shards[shard].rooms.get_mut(at).unwrap()
    }

    fn open(&self, shard: usize) -> Vec<bool> {
        let Shard { rooms, places, .. } = &self.shards[shard];
        places.iter().map(|place| rooms.is_open(*place)).collect()
    }
}

#[test]
fn a_small_room_hears_everybody() {
    let mut world = World::new(&[4]);
    world.shards[0].levels = vec![SPEECH, SILENCE, SILENCE, MURMUR];
    world.run(5000);
    assert_eq!(world.open(0), [true; 4]);
}

#[test]
fn a_large_room_hears_the_loudest() {
    let mut world = World::new(&[8]);
    world.shards[0].levels = vec![SILENCE, SPEECH, SILENCE, SPEECH + 5, SPEECH + 10, MURMUR, SPEECH + 3, SPEECH + 40];
    world.run(3000);
    let mut expected = [false; 8];
    [1, 3, 4, 6].into_iter().for_each(|at| expected[at] = true);
    assert_eq!(world.open(0), expected);
    world.config.loudest_max = 0;
    world.run(200);
    assert_eq!(world.open(0), [true; 8], "switched off");
}

#[test]
fn the_first_packet_of_a_word_goes_on() {
    let mut world = World::new(&[8]);
    world.shards[0].levels[0] = SPEECH;
    world.run(3000);
    let closed = world.open(0).iter().position(|open| !open).expect("eight are more than four");
    world.shards[0].passed = vec![0; 8];
    world.shards[0].levels[closed] = SPEECH;
    world.packets();
    assert_eq!(world.shards[0].passed[closed], 1, "without waiting for a look");
    world.run(1000);
    assert!(world.open(0)[closed] && world.open(0)[0]);
    assert_eq!(world.open(0).iter().filter(|open| **open).count(), 4);
    // The pauses between words cut nothing off.
    world.shards[0].levels[closed] = SILENCE;
    world.shards[0].passed = vec![0; 8];
    world.run(1800);
    assert_eq!(world.shards[0].passed[closed], 90);
}

#[test]
fn where_all_places_are_taken_only_somebody_louder_gets_in() {
    let mut world = World::new(&[8]);
    world.shards[0].levels = vec![SPEECH, SPEECH, SPEECH, SPEECH, SILENCE, SILENCE, SILENCE, SILENCE];
    world.run(3000);
    world.shards[0].levels[7] = SPEECH + 10;
    world.run(1000);
    assert_eq!(world.shards[0].levels.len(), 8);
    assert!(!world.open(0)[7]);
    world.shards[0].levels[7] = SPEECH - 15;
    world.run(1000);
    assert!(world.open(0)[7]);
    assert_eq!(world.open(0).iter().filter(|open| **open).count(), 4);
}

#[test]
fn quiet_people_are_heard_when_nobody_is_louder() {
    let mut world = World::new(&[8]);
    world.shards[0].levels = vec![SPEECH, SPEECH, SPEECH, SPEECH, SILENCE, SILENCE, SILENCE, SILENCE];
    world.run(3000);
    world.shards[0].levels = vec![SILENCE, SILENCE, SILENCE, SILENCE, SILENCE, SILENCE, SILENCE, MURMUR];
    world.run(5000);
    assert!(world.open(0)[7], "too quiet for speech, but louder than all");
}

#[test]
fn shards_agree_on_who_is_loudest() {
    let mut world = World::new(&[5, 5]);
    world.shards[0].levels = vec![SPEECH, SPEECH + 2, SILENCE, SPEECH + 20, SILENCE];
    world.shards[1].levels = vec![SILENCE, SPEECH + 1, SPEECH + 25, SILENCE, SPEECH + 3];
    world.run(3000);
    assert_eq!(world.open(0), [true, true, false, false, false]);
    assert_eq!(world.open(1), [false, true, false, false, true]);
    let left_out = |world: &mut World, shard| {
        let publications: Vec<PublicationId> = [0, 1, 3].map(|voice| PublicationId(1000 + participant(0, voice).0)).into();
        publications.into_iter().map(|it| world.room(shard).leaves_out(it)).collect::<Vec<_>>()
    };
    assert_eq!(left_out(&mut world, 0), [false, false, true]);
    assert_eq!(left_out(&mut world, 1), [false, false, true], "known on the other shard, too");
    assert_eq!(world.room(0).dominant(), world.room(1).dominant());
    // A shard that falls silent is forgotten.
    let shard = world.shards.pop().unwrap();
    assert_eq!(shard.places.len(), 5);
    for _ in 0..60 {
        world.run(100);
    }
    assert_eq!(world.open(0).iter().filter(|open| **open).count(), 4, "five here are more than four");
    assert!(world.room(0).dominant().is_some());
}

#[test]
fn a_cough_does_not_change_who_dominates() {
    let mut world = World::new(&[3]);
    world.shards[0].levels[0] = SPEECH;
    world.run(1000);
    assert_eq!(world.room(0).dominant(), Some(participant(0, 0)));
    world.shards[0].levels[1] = 5;
    world.run(200);
    world.shards[0].levels[1] = SILENCE;
    world.run(1000);
    assert_eq!(world.room(0).dominant(), Some(participant(0, 0)));
    // Words with pauses, in turn.
    world.shards[0].levels = vec![SILENCE, SPEECH, SILENCE];
    world.run(1500);
    assert_eq!(world.room(0).dominant(), Some(participant(0, 1)));
    world.shards[0].levels[1] = SILENCE;
    world.run(10_000);
    assert_eq!(world.room(0).dominant(), Some(participant(0, 1)), "until somebody else speaks");
}

#[test]
fn speakers_are_told_when_they_change_and_not_too_often() {
    let mut world = World::new(&[4]);
    let mut told = Vec::new();
    for turn in 0..100 {
        // Everybody says something short in turn.
        for voice in 0..4 {
            world.shards[0].levels[voice] = if turn / 25 == voice { SPEECH } else { SILENCE };
        }
        world.run(100);
        let (now, config) = (world.now, world.config.clone());
        told.extend(world.room(0).news(now, &config));
    }
    assert_eq!(told.first(), Some(&vec![participant(0, 0)]));
    assert!(told.iter().any(|speakers| *speakers == [participant(0, 1), participant(0, 0)]), "{told:?}");
    assert!(told.len() <= 15, "{told:?}");
    world.shards[0].levels = vec![SILENCE; 4];
    world.run(3000);
    let (now, config) = (world.now, world.config.clone());
    assert_eq!(world.room(0).news(now, &config), Some(vec![]));
    assert_eq!(world.room(0).news(now, &config), None);
}

#[test]
fn rooms_are_bounded_and_go() {
    let mut rooms = Rooms::new(1, 1);
    let place = rooms.begin_voice(ROOM, PublicationId(1), ParticipantId(1)).unwrap();
    assert_eq!(rooms.begin_voice(RoomId(8), PublicationId(2), ParticipantId(2)), Err(DropReason::RoomsMax));
    rooms.end_voice(place);
    assert!(!rooms.get_mut(place.room).unwrap().look(start(), &SpeakersConfig::default()));
    rooms.remove(place.room);
    assert!(rooms.begin_voice(RoomId(8), PublicationId(2), ParticipantId(2)).is_ok());
}

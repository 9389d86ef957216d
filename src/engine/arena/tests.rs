use std::collections::HashMap;

use proptest::prelude::*;

use super::*;

fn route(destination: u8) -> Route {
    Route {
        socket: u32::from(destination % 2),
        from: None,
        to: SocketAddr::from(([127, 0, 0, 1], 1000 + u16::from(destination))),
        dont_fragment: false,
    }
}

fn put(arena: &mut SendArena, destination: u8, datagram: &[u8], train_max: u16) -> bool {
    let Some(slot) = arena.slot(datagram.len().max(64)) else { return false };
    slot[..datagram.len()].copy_from_slice(datagram);
    arena.commit(&route(destination), datagram.len(), train_max);
    true
}

fn arena() -> SendArena {
    SendArena::new(1 << 20, 1024)
}

#[test]
fn neighbours_of_equal_size_are_one_train_of_one_part() {
    let mut arena = arena();
    for _ in 0..5 {
        assert!(put(&mut arena, 0, &[7; 1200], TRAIN_MAX));
    }
    let [train] = arena.trains() else { panic!("one train expected") };
    assert_eq!((train.segment, train.count, train.parts, train.bytes), (1200, 5, 1, 6000));
}

#[test]
fn a_shorter_datagram_ends_a_train_and_a_longer_one_begins_the_next() {
    let mut arena = arena();
    for len in [1000, 1000, 900, 1000, 1001] {
        assert!(put(&mut arena, 0, &vec![1; len], TRAIN_MAX));
    }
    let shapes: Vec<_> = arena.trains().iter().map(|train| (train.segment, train.count)).collect();
    assert_eq!(shapes, [(1000, 3), (1000, 1), (1001, 1)]);
}

#[test]
fn destinations_that_take_turns_still_make_trains() {
    let mut arena = arena();
    for at in 0..10 {
        assert!(put(&mut arena, at % 2, &[at; 100], TRAIN_MAX));
    }
    assert_eq!(arena.trains().len(), 2);
    let train = &arena.trains()[1];
    assert_eq!(train.parts, 5);
    let first_bytes: Vec<_> = arena.datagrams(train).map(|range| arena.bytes()[range.start]).collect();
    assert_eq!(first_bytes, [1, 3, 5, 7, 9]);
}

#[test]
fn a_train_keeps_the_kernels_limits() {
    let mut arena = arena();
    for _ in 0..200 {
        assert!(put(&mut arena, 0, &[0; 1200], TRAIN_MAX));
        assert!(put(&mut arena, 1, &[0; 20], TRAIN_MAX));
    }
    for train in arena.trains() {
        assert!(train.count <= TRAIN_MAX && train.bytes <= TRAIN_BYTES_MAX, "{train:?}");
    }
    assert_eq!(arena.trains().iter().map(|train| u32::from(train.count)).sum::<u32>(), 400);
}

#[test]
fn datagrams_that_may_exceed_the_mtu_travel_alone() {
    let mut arena = arena();
    for _ in 0..3 {
        assert!(put(&mut arena, 0, &[0; 1470], TRAIN_MAX));
    }
    assert_eq!(arena.trains().len(), 3);
}

#[test]
fn a_slot_that_is_not_committed_is_handed_out_again() {
    let mut arena = arena();
    arena.slot(64).unwrap()[0] = 1;
    assert!(put(&mut arena, 1, &[2; 10], TRAIN_MAX));
    let [train] = arena.trains() else { panic!("one train expected") };
    assert_eq!(train.route, route(1));
}

#[test]
fn many_destinations_are_told_apart_turn_after_turn() {
    let mut arena = arena();
    for turn in 0..3u16 {
        for round in 0..3 {
            for destination in 0..=255 {
                assert!(put(&mut arena, destination, &[round; 50], TRAIN_MAX));
            }
        }
        assert_eq!(arena.trains().len(), 256, "turn {turn}");
        for (at, train) in arena.trains().iter().enumerate() {
            assert_eq!((train.route, train.count), (route(at as u8), 3));
        }
        arena.clear();
    }
}

#[test]
fn what_may_be_cut_and_what_may_not_travel_apart() {
    let mut arena = arena();
    let may_not = Route { dont_fragment: true, ..route(0) };
    for to in [route(0), may_not, route(0), may_not] {
        arena.slot(10).unwrap();
        arena.commit(&to, 10, TRAIN_MAX);
    }
    let shapes: Vec<_> = arena.trains().iter().map(|train| (train.route.dont_fragment, train.count)).collect();
    assert_eq!(shapes, [(false, 2), (true, 2)]);
}

#[test]
fn a_full_arena_says_so() {
    let mut arena = SendArena::new(1000, 4);
    assert!(arena.slot(1001).is_none());
    for at in 0..4 {
        assert!(put(&mut arena, at, &[0; 10], TRAIN_MAX));
    }
    assert!(arena.slot(10).is_none(), "four trains are the limit");
    arena.clear();
    assert!(arena.slot(1000).is_some());
}

proptest! {
    /// Cutting into trains keeps every datagram, byte for byte, and the order of each destination.
    #[test]
    fn no_datagram_is_lost_changed_or_overtaken(
        datagrams in prop::collection::vec((0u8..4, prop_oneof![Just(1200usize), 0usize..40, 1190usize..1210, 1420usize..1430]), 0..200),
        train_max in prop_oneof![Just(1u16), Just(4), Just(64), Just(200)],
    ) {
        let mut arena = arena();
        let mut expected: HashMap<u8, Vec<Vec<u8>>> = HashMap::new();
        for (number, (destination, len)) in datagrams.into_iter().enumerate() {
            let bytes: Vec<u8> = (0..len).map(|at| (number * 31 + at) as u8).collect();
            prop_assert!(put(&mut arena, destination, &bytes, train_max));
            expected.entry(destination).or_default().push(bytes);
        }
        let mut sent: HashMap<u8, Vec<Vec<u8>>> = HashMap::new();
        for train in arena.trains() {
            prop_assert!(train.count >= 1 && train.count <= train_max.min(TRAIN_MAX));
            prop_assert!(train.bytes <= TRAIN_BYTES_MAX);
            // What the kernel does with it: join the parts, cut every `segment` bytes.
            let joined: Vec<u8> = arena.parts(train).flat_map(|part| arena.bytes()[part].to_vec()).collect();
            prop_assert_eq!(joined.len(), train.bytes as usize);
            let cut: Vec<Vec<u8>> = if joined.is_empty() {
                vec![Vec::new()]
            } else {
                joined.chunks(usize::from(train.segment)).map(<[u8]>::to_vec).collect()
            };
            prop_assert_eq!(cut.len(), usize::from(train.count));
            let one_by_one: Vec<Vec<u8>> = arena.datagrams(train).map(|range| arena.bytes()[range].to_vec()).collect();
            prop_assert_eq!(&one_by_one, &cut);
            sent.entry((train.route.to.port() - 1000) as u8).or_default().extend(cut);
        }
        prop_assert_eq!(sent, expected);
    }
}

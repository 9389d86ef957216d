use pointsman_wire::net::FiveTuple;
use proptest::prelude::*;

use super::*;

/// Any instant will do.
#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

fn config() -> Config {
    Config { lookups_max: 3, lookup_requests_max: 2, known_users_max: 4, ..Config::default() }
}

fn user(name: &str) -> User {
    User { realm: "realm".into(), name: name.as_bytes().into() }
}

fn client(n: u16) -> FiveTuple {
    FiveTuple::udp("192.0.2.1:3478".parse().unwrap(), std::net::SocketAddr::from(([203, 0, 113, 1], n)))
}

fn key(n: u8) -> LongTermKey {
    LongTermKey::from_md5([n; 16])
}

#[test]
fn one_question_for_all_requests_of_a_user() {
    let (now, mut lookups) = (start(), Lookups::new(&config(), 1));
    let id = lookups.wait(now, &user("alice"), client(1), b"a").unwrap().expect("a question");
    assert_eq!(lookups.wait(now, &user("alice"), client(1), b"a"), Ok(None), "a retransmission waits once");
    assert_eq!(lookups.wait(now, &user("alice"), client(2), b"a"), Ok(None));
    assert_eq!(lookups.wait(now, &user("alice"), client(3), b"a"), Err(Full), "two of one user");
    let answered = lookups.answer(now, id, KeyAnswer::Key([7; 16])).expect("they waited");
    assert_eq!(answered.iter().map(|request| request.client).collect::<Vec<_>>(), [client(1), client(2)]);
    assert_eq!(lookups.find(now, &user("alice")), Found::Key(key(7), Duration::ZERO));
    assert!(lookups.answer(now, id, KeyAnswer::Unknown).is_none(), "answered once");
    assert_eq!((lookups.waiting(), lookups.deadline()), (0, None));
}

#[test]
fn what_waits_is_bounded_in_number_size_and_time() {
    let (now, mut lookups) = (start(), Lookups::new(&config(), 1));
    for name in ["a", "b", "c"] {
        assert!(matches!(lookups.wait(now, &user(name), client(1), b"x"), Ok(Some(_))));
    }
    assert_eq!(lookups.wait(now, &user("d"), client(1), b"x"), Err(Full));
    assert_eq!(lookups.wait(now, &user("a"), client(2), &[0; REQUEST_LEN_MAX + 1]), Err(Full));
    let later = now + Duration::from_secs(5);
    assert_eq!(lookups.overdue(now), None);
    let mut given_up = 0;
    while let Some(id) = lookups.overdue(later) {
        lookups.answer(later, id, KeyAnswer::Unavailable);
        given_up += 1;
    }
    assert_eq!((given_up, lookups.waiting()), (3, 0));
    assert_eq!(lookups.find(later, &user("a")), Found::Unheard, "nothing was learnt");
}

#[test]
fn invented_names_do_not_push_out_known_ones() {
    let (mut now, mut lookups) = (start(), Lookups::new(&config(), 1));
    let ask = |now, lookups: &mut Lookups, name: &str, answer| {
        let id = lookups.wait(now, &user(name), client(1), b"x").unwrap().unwrap();
        lookups.answer(now, id, answer).unwrap();
    };
    ask(now, &mut lookups, "alice", KeyAnswer::Key([1; 16]));
    for n in 0..1000 {
        now += Duration::from_millis(1);
        ask(now, &mut lookups, &format!("nobody {n}"), KeyAnswer::Unknown);
    }
    assert!(matches!(lookups.find(now, &user("alice")), Found::Key(..)));
    assert_eq!(lookups.find(now, &user("nobody 999")), Found::Nobody);
    assert_eq!(lookups.find(now, &user("nobody 1")), Found::Unheard, "the oldest gave way");
    now += Duration::from_secs(5);
    assert_eq!(lookups.find(now, &user("nobody 999")), Found::Unheard, "too long ago");
    ask(now, &mut lookups, "alice", KeyAnswer::Unknown);
    assert_eq!(lookups.find(now, &user("alice")), Found::Nobody, "gone from the database");
    ask(now, &mut lookups, "alice", KeyAnswer::Key([2; 16]));
    assert_eq!(lookups.find(now, &user("alice")), Found::Key(key(2), Duration::ZERO));
}

proptest! {
    /// The table against a model without a limit: what it holds is right, and it holds no more than it may.
    #[test]
    fn the_table_is_right_and_bounded(steps in prop::collection::vec((0u8..12, any::<bool>()), 0..300)) {
        let mut now = start();
        let mut table = Remembered::new(4, 7);
        let mut model: HashMap<u8, (usize, Instant)> = HashMap::new();
        for (step, (name, put)) in steps.into_iter().enumerate() {
            now += Duration::from_millis(step as u64 % 2);
            let who = user(&name.to_string());
            if put {
                table.put(now, who, step);
                model.insert(name, (step, now));
            } else {
                table.forget(&who);
                model.remove(&name);
            }
            prop_assert!(table.entries.len() <= 4 && table.order.len() <= 9, "{} and {}", table.entries.len(), table.order.len());
            for name in 0..12u8 {
                if let Some((value, at)) = table.get(&user(&name.to_string())) {
                    prop_assert_eq!(model.get(&name), Some(&(*value, at)));
                }
            }
            if put {
                prop_assert!(table.get(&user(&name.to_string())).is_some(), "the newest stays");
            }
        }
    }
}

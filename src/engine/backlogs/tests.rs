use super::*;

fn relayed(port: u16) -> SocketAddr {
    SocketAddr::new([203, 0, 113, 7].into(), port)
}

/// What is said while `bytes` wait for everybody.
fn said(backlogs: &mut Backlogs, bytes: usize) -> Vec<(ShardId, SocketAddr, usize)> {
    let mut said = Vec::new();
    backlogs.tell(
        |_| bytes,
        |shard, relayed, bytes| {
            said.push((shard, relayed, bytes));
            true
        },
    );
    said
}

#[test]
fn what_changes_is_told_and_no_more() {
    let mut backlogs = Backlogs::default();
    assert!(said(&mut backlogs, 1000).is_empty(), "nobody is watched");
    backlogs.heard(relayed(1), ShardId(2));
    assert!(said(&mut backlogs, 0).is_empty(), "nothing waits");
    backlogs.heard(relayed(1), ShardId(2));
    assert_eq!(said(&mut backlogs, 1000), [(ShardId(2), relayed(1), 1000)]);
    assert!(said(&mut backlogs, 1200).is_empty());
    assert_eq!(said(&mut backlogs, 1300), [(ShardId(2), relayed(1), 1300)]);
    backlogs.heard(relayed(1), ShardId(3));
    assert_eq!(said(&mut backlogs, 0), [(ShardId(3), relayed(1), 0)], "without media, too, the end is told");
    assert!(said(&mut backlogs, 500).is_empty(), "and then nobody is watched");
}

#[test]
fn what_finds_no_room_is_told_later() {
    let mut backlogs = Backlogs::default();
    backlogs.heard(relayed(1), ShardId(0));
    backlogs.tell(|_| 700, |_, _, _| false);
    assert_eq!(said(&mut backlogs, 700), [(ShardId(0), relayed(1), 700)]);
    backlogs.tell(|_| 0, |_, _, _| false);
    assert_eq!(said(&mut backlogs, 0), [(ShardId(0), relayed(1), 0)]);
}

#[test]
fn what_is_told_is_known_until_nothing_waits() {
    let mut backlogs = Backlogs::default();
    for port in 1..=CLIENTS_MAX as u16 + 1 {
        backlogs.told(relayed(port), 9);
    }
    backlogs.told(relayed(1), 10);
    assert_eq!((backlogs.of(&relayed(1)), backlogs.of(&relayed(2)), backlogs.of(&relayed(CLIENTS_MAX as u16 + 1))), (10, 9, 0));
    backlogs.told(relayed(1), 0);
    assert_eq!(backlogs.of(&relayed(1)), 0);
}

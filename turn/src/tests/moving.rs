//! Mobility (RFC 8016): on one shard, between shards, and after a connection ended.

use std::sync::Arc;
use std::time::Duration;

use pointsman_wire::net::{Protocol, ShardId};
use pointsman_wire::stun::attribute::{Family, Type};
use pointsman_wire::stun::{Message, Method};

use super::world::*;
use crate::{AllocationId, Config, DropReason, NotMoved, Output, ShardMessage, Verdict};

const PEER: &str = "192.0.2.1:9000";

fn mobile() -> Config {
    Config { mobility: true, shards: 4, ..config() }
}

fn ticket_of(answer: &[u8]) -> Vec<u8> {
    Message::parse(answer).unwrap().attribute(Type::MOBILITY_TICKET).expect("a ticket").to_vec()
}

fn allocated(world: &mut World, alice: &mut Client) -> Vec<u8> {
    let answer = world.allocate(alice, |writer| _ = writer.attribute(Type::MOBILITY_TICKET, &[]));
    assert_eq!(code_of(&answer), 0);
    ticket_of(&answer)
}

/// The same client at another address.
fn elsewhere(alice: &Client, remote: &str) -> Client {
    Client { username: alice.username.clone(), password: alice.password.clone(), ..Client::new(remote) }
}

fn come_back(world: &mut World, client: &mut Client, ticket: &[u8]) -> Vec<u8> {
    world.request(client, Method::REFRESH, |writer| _ = writer.attribute(Type::MOBILITY_TICKET, ticket))
}

#[test]
fn a_ticket_takes_the_allocation_to_another_address() {
    let mut world = World::new(mobile());
    let mut alice = Client::new("203.0.113.1:1000");
    let first = allocated(&mut world, &mut alice);
    let relay = world.open[0].0;
    assert!(first.len() < 33 && first.iter().all(u8::is_ascii_graphic), "clients keep it as a short string");
    assert_eq!(world.bind_channel(&mut alice, 0x4001, PEER), 0);

    let mut moved = elsewhere(&alice, "203.0.113.200:7");
    let answer = come_back(&mut world, &mut moved, &first);
    assert_eq!(code_of(&answer), 0);
    let second = ticket_of(&answer);
    assert_ne!(first, second);
    assert!(matches!(world.client_sends(moved.path, &[0x40, 0x01, 0, 0]), Verdict::ToPeer { .. }), "channels came along");
    assert_eq!(world.peer_sends(relay, PEER, b"x"), Verdict::ToClient { client: moved.path, header: [0x40, 0x01, 0, 1] });
    assert_eq!(world.client_sends(alice.path, &[0x40, 0x01, 0, 0]), Verdict::Drop(DropReason::NoAllocation), "the old path is nobody's");
    assert_eq!(world.refresh(&mut alice, None), Err(437));
    // The same Refresh once more, as a client sends it that has not seen the answer.
    let again = come_back(&mut world, &mut moved, &first);
    assert_eq!((code_of(&again), ticket_of(&again)), (0, second.clone()));
    // With the new ticket shown the old one is over.
    assert_eq!(code_of(&come_back(&mut world, &mut moved, &second)), 0);
    assert_eq!(code_of(&come_back(&mut world, &mut elsewhere(&alice, "203.0.113.201:7"), &first)), 437);
    let stats = world.server.stats();
    assert_eq!((stats.allocations, stats.moves_total, world.ledger.ports_in_use(Family::V4)), (1, 1, 1));
}

#[test]
fn a_ticket_alone_is_not_enough() {
    let mut world = World::new(mobile());
    let mut alice = Client::new("203.0.113.1:1000");
    let ticket = allocated(&mut world, &mut alice);
    let mut thief = Client::new("203.0.113.66:1").with_credentials("bob", "builder");
    assert_eq!(code_of(&come_back(&mut world, &mut thief, &ticket)), 441);
    let mut other = ticket.clone();
    other[20] = if other[20] == b'A' { b'B' } else { b'A' };
    for (shown, code) in [(other.as_slice(), 437), (b"nonsense", 400), (b"", 400)] {
        assert_eq!(code_of(&come_back(&mut world, &mut elsewhere(&alice, "203.0.113.2:1"), shown)), code);
    }
    assert_eq!(code_of(&come_back(&mut world, &mut alice, b"nonsense")), 400);
    assert_eq!(world.refresh(&mut alice, None), Ok(600), "its owner still has it");
    let mut off = World::new(config());
    let mut carol = Client::new("203.0.113.1:1000");
    assert_eq!(code_of(&off.allocate(&mut carol, |writer| _ = writer.attribute(Type::MOBILITY_TICKET, &[]))), 405);
    assert_eq!(code_of(&come_back(&mut off, &mut carol, &ticket)), 405);
}

#[test]
fn a_closed_connection_parks_the_allocation_for_a_while() {
    let mut world = World::new(Config { parked_lifetime_s: 60, parked_max: 1, ..mobile() });
    let mut alice = Client::new("203.0.113.1:1000");
    alice.path.protocol = Protocol::Tcp;
    let ticket = allocated(&mut world, &mut alice);
    let relay = world.open[0].0;
    assert_eq!(world.permit(&mut alice, &[PEER]), 0);
    let now = world.now;
    world.server.handle_client_closed(now, alice.path);
    world.drain();
    assert_eq!(world.peer_sends(relay, PEER, b"x"), Verdict::Drop(DropReason::Parked));
    assert!(world.server.allocations(now).all(|view| view.parked));
    // There is room for one: the next one that loses its connection goes.
    let mut bob = Client::new("203.0.113.2:1000").with_credentials("bob", "builder");
    bob.path.protocol = Protocol::Tcp;
    allocated(&mut world, &mut bob);
    world.server.handle_client_closed(now, bob.path);
    world.drain();
    assert_eq!(world.server.stats().allocations, 1);
    world.sleep(Duration::from_secs(50));
    let mut back = elsewhere(&alice, "203.0.113.1:1001");
    back.path.protocol = Protocol::Tls;
    assert_eq!(code_of(&come_back(&mut world, &mut back, &ticket)), 0);
    world.sleep(Duration::from_secs(500));
    assert_eq!(world.refresh(&mut back, None), Ok(600), "back is back");
    let now = world.now;
    world.server.handle_client_closed(now, back.path);
    world.sleep(Duration::from_secs(61));
    assert_eq!((world.server.stats().allocations, world.open.len(), world.ledger.allocations(REALM)), (0, 0, 0));
}

#[test]
fn an_allocation_without_a_ticket_ends_with_its_connection() {
    let mut world = World::new(mobile());
    let mut alice = Client::new("203.0.113.1:1000");
    alice.path.protocol = Protocol::Dtls;
    world.allocate(&mut alice, |_| ());
    let now = world.now;
    world.server.handle_client_closed(now, alice.path);
    world.drain();
    assert_eq!((world.server.stats().allocations, world.open.len()), (0, 0));
}

/// Carries what one shard has for the other, with the sockets that go along.
fn carry(from: &mut World, to: &mut World) {
    for output in std::mem::take(&mut from.others) {
        let Output::ToShard { message, .. } = output else { continue };
        let mut sockets: Vec<_> = message.relays().collect();
        let addresses: Vec<_> = sockets
            .iter()
            .map(|relay| {
                let at = from.open.iter().position(|(open, _)| open == relay).expect("an open socket");
                from.open.remove(at).1
            })
            .collect();
        to.server.handle_shard_message(to.now, message);
        to.drain();
        for output in std::mem::take(&mut to.others) {
            match output {
                Output::AdoptRelay { relay, was } => {
                    let at = sockets.iter().position(|socket| *socket == was).expect("one that came along");
                    sockets[at] = crate::RelayPort { index: u32::MAX, generation: 0 };
                    to.open.push((relay, addresses[at]));
                }
                other => to.others.push(other),
            }
        }
    }
}

#[test]
fn a_ticket_of_another_shard_brings_the_allocation_over() {
    let mut old = World::on_shard(mobile(), 0);
    let mut new = World::with_ledger(mobile(), Arc::clone(&old.ledger), 2);
    let mut alice = Client::new("203.0.113.1:1000");
    let ticket = allocated(&mut old, &mut alice);
    assert_eq!(old.bind_channel(&mut alice, 0x4001, PEER), 0);
    let address = old.open[0].1;

    let mut moved = elsewhere(&alice, "203.0.113.200:7");
    moved.nonce = new.nonce_for(&moved);
    let id = new.next_id();
    let refresh = moved.sign(Method::REFRESH, id, &|writer| _ = writer.attribute(Type::MOBILITY_TICKET, &ticket));
    // Twice at once, before anything came of the first.
    assert_eq!(new.client_sends(moved.path, &refresh), Verdict::Handled);
    assert_eq!(new.client_sends(moved.path, &refresh), Verdict::Handled);
    carry(&mut new, &mut old);
    carry(&mut old, &mut new);
    assert_eq!(new.late.len(), 2, "both are answered");
    assert!(new.late.iter().all(|(to, answer)| *to == moved.path && code_of(answer) == 0));
    assert_eq!((old.server.stats().allocations, old.server.stats().relays, old.open.len()), (0, 0, 0));
    assert_eq!((new.server.stats().allocations, new.open.len(), new.open[0].1), (1, 1, address));
    assert!(matches!(new.client_sends(moved.path, &[0x40, 0x01, 0, 0]), Verdict::ToPeer { relay, .. } if relay == new.open[0].0));
    assert_eq!(new.peer_sends(new.open[0].0, PEER, b"x"), Verdict::ToClient { client: moved.path, header: [0x40, 0x01, 0, 1] });
    assert_eq!((new.ledger.allocations(REALM), new.ledger.ports_in_use(Family::V4)), (1, 1), "the quota is unchanged");
    assert_eq!(new.refresh(&mut moved, Some(0)), Ok(0));
    assert_eq!((new.ledger.allocations(REALM), new.ledger.ports_in_use(Family::V4), new.open.len()), (0, 0, 0));
}

#[test]
fn our_media_is_told_where_a_client_of_its_went() {
    const MEDIA: &str = "198.51.100.1:3478";
    let config = || Config { lazy_relays: true, media: vec![MEDIA.parse().unwrap()], ..mobile() };
    let mut old = World::on_shard(config(), 0);
    let mut new = World::with_ledger(config(), Arc::clone(&old.ledger), 2);
    let mut alice = Client::new("203.0.113.1:1000");
    let answer = old.allocate(&mut alice, |writer| _ = writer.attribute(Type::MOBILITY_TICKET, &[]));
    let (ticket, relayed) = (ticket_of(&answer), relayed(&answer)[0]);
    assert_eq!(old.bind_channel(&mut alice, 0x4001, MEDIA), 0);
    assert_eq!(old.bind_channel(&mut alice, 0x4002, PEER), 0);
    let mut moved = elsewhere(&alice, "203.0.113.200:7");
    moved.nonce = new.nonce_for(&moved);
    let id = new.next_id();
    let refresh = moved.sign(Method::REFRESH, id, &|writer| _ = writer.attribute(Type::MOBILITY_TICKET, &ticket));
    new.client_sends(moved.path, &refresh);
    carry(&mut new, &mut old);
    carry(&mut old, &mut new);
    let media = MEDIA.parse().unwrap();
    let told: Vec<_> = new.others.iter().filter(|output| matches!(output, Output::MediaFollows { .. })).collect();
    assert_eq!(told, [&Output::MediaFollows { relayed, media, from: ShardId(0) }], "not of other peers");
    let now = new.now;
    assert!(matches!(new.server.handle_media_datagram(now, relayed, media, 5), Verdict::ToClient { client, .. } if client == moved.path));
}

/// Shows a ticket of shard `via`'s making at a new address that leads to shard `to`: the answer, once all shards have said their say.
fn shown_at(shards: &mut [World], to: usize, client: &mut Client, ticket: &[u8]) -> Vec<u8> {
    client.nonce = shards[to].nonce_for(client);
    let id = shards[to].next_id();
    let refresh = client.sign(Method::REFRESH, id, &|writer| _ = writer.attribute(Type::MOBILITY_TICKET, ticket));
    if let Some(answer) = shards[to].ask(client.path, &refresh) {
        return answer;
    }
    // More rounds than there are shards would be a message that goes in circles.
    for _ in 0..shards.len() {
        for from in 0..shards.len() {
            deliver(shards, from);
        }
    }
    assert!(shards.iter().all(|world| world.others.is_empty()), "something is still on its way");
    let at = shards[to].late.iter().position(|(client_path, _)| *client_path == client.path).expect("an answer");
    shards[to].late.remove(at).1
}

/// Carries each message of one shard to the shard that it is for.
fn deliver(shards: &mut [World], from: usize) {
    for output in std::mem::take(&mut shards[from].others) {
        let Output::ToShard { shard, .. } = &output else { continue };
        let to = usize::from(shard.0);
        assert_ne!(from, to, "a shard has nothing to say to itself");
        let [one, other] = shards.get_disjoint_mut([from, to]).unwrap();
        let kept = std::mem::replace(&mut one.others, vec![output]);
        carry(one, other);
        one.others = kept;
    }
}

/// RFC 8016 section 3.2.2: a client that never saw the new ticket shows the old one, wherever it is by now.
#[test]
fn an_old_ticket_finds_the_allocation_on_whatever_shard_it_is() {
    let first = World::on_shard(mobile(), 0);
    let ledger = Arc::clone(&first.ledger);
    let mut shards = vec![first];
    shards.extend((1..4).map(|shard| World::with_ledger(mobile(), Arc::clone(&ledger), shard)));
    let mut alice = Client::new("203.0.113.1:1000");
    let ticket = allocated(&mut shards[0], &mut alice);
    assert_eq!(shards[0].bind_channel(&mut alice, 0x4001, PEER), 0);
    // To another shard, on to a third, where the same ticket is shown from another address, back to the first, and away again.
    for (number, shard) in [2, 1, 1, 0, 0, 3, 2, 0, 3].into_iter().enumerate() {
        let mut moved = elsewhere(&alice, &format!("203.0.113.200:{}", 7 + number));
        let answer = shown_at(&mut shards, shard, &mut moved, &ticket);
        assert_eq!(code_of(&answer), 0, "step {number}, to shard {shard}");
        assert!(matches!(shards[shard].client_sends(moved.path, &[0x40, 0x01, 0, 0]), Verdict::ToPeer { .. }));
        let held: Vec<_> = shards.iter().map(|world| world.server.stats().allocations).collect();
        assert_eq!((held.iter().sum::<u64>(), held[shard]), (1, 1));
        assert_eq!(ledger.allocations(REALM), 1);
    }
    // A stream that shows it arrives where the ticket was made, and the allocation comes there.
    let mut stream = elsewhere(&alice, "203.0.113.201:7");
    stream.path.protocol = Protocol::Tcp;
    assert_eq!(code_of(&shown_at(&mut shards, 0, &mut stream, &ticket)), 0);
    assert_eq!(shards[0].server.stats().allocations, 1);
    // With the new ticket shown the old one is over, and nothing goes in circles.
    let mut last = elsewhere(&alice, "203.0.113.202:7");
    let answer = shown_at(&mut shards, 1, &mut last, &ticket);
    let fresh = ticket_of(&answer);
    assert_eq!(code_of(&come_back(&mut shards[1], &mut last, &fresh)), 0);
    for (number, shard) in [0, 1, 2, 3].into_iter().enumerate() {
        let mut late = elsewhere(&alice, &format!("203.0.113.203:{}", 7 + number));
        assert_eq!(code_of(&shown_at(&mut shards, shard, &mut late, &ticket)), 437);
        let mut thief = Client::new(&format!("203.0.113.66:{}", 7 + number)).with_credentials("bob", "builder");
        assert_eq!(code_of(&shown_at(&mut shards, shard, &mut thief, &fresh)), 441);
    }
    assert_eq!(shards[1].server.stats().allocations, 1);
}

/// Who is connected stays so, whatever the wall clock does; at worst there is one more challenge.
#[test]
fn a_clock_that_jumps_ends_no_allocation() {
    for day in [86_400_i64, -86_400] {
        let mut world = World::new(mobile());
        let mut alice = Client::new("203.0.113.1:1000");
        let ticket = allocated(&mut world, &mut alice);
        let relay = world.open[0].0;
        assert_eq!(world.bind_channel(&mut alice, 0x4001, PEER), 0);
        let unix = world.now.unix.as_secs().checked_add_signed(day).unwrap();
        world.now.unix = Duration::from_secs(unix);
        let now = world.now;
        world.server.handle_timeout(now);
        world.drain();
        assert!(matches!(world.client_sends(alice.path, &[0x40, 0x01, 0, 0]), Verdict::ToPeer { .. }));
        assert_eq!(world.peer_sends(relay, PEER, b"x"), Verdict::ToClient { client: alice.path, header: [0x40, 0x01, 0, 1] });
        assert_eq!(world.refresh(&mut alice, None), Ok(600));
        assert_eq!(world.bind_channel(&mut alice, 0x4002, "192.0.2.2:1"), 0);
        assert_eq!(world.permit(&mut alice, &["192.0.2.3:1"]), 0);
        assert_eq!(code_of(&world.allocate(&mut Client::new("203.0.113.2:1000"), |_| ())), 0, "newcomers are served, too");
        // What was promised by the monotonic clock is kept by it.
        world.sleep(Duration::from_secs(290));
        assert!(matches!(world.client_sends(alice.path, &[0x40, 0x01, 0, 0]), Verdict::ToPeer { .. }));
        let mut moved = elsewhere(&alice, "203.0.113.200:7");
        assert_eq!(code_of(&come_back(&mut world, &mut moved, &ticket)), 0);
        world.sleep(Duration::from_secs(599));
        assert_eq!(world.refresh(&mut moved, Some(600)), Ok(600));
        world.sleep(Duration::from_secs(601));
        assert_eq!(world.server.stats().allocations, 0, "and what ran out is gone");
    }
}

#[test]
fn what_the_other_shard_does_not_have_or_not_for_this_user_stays() {
    let mut old = World::on_shard(mobile(), 0);
    let mut new = World::with_ledger(mobile(), Arc::clone(&old.ledger), 2);
    let mut alice = Client::new("203.0.113.1:1000");
    let ticket = allocated(&mut old, &mut alice);
    let mut unknown = ticket.clone();
    unknown[20] = if unknown[20] == b'A' { b'B' } else { b'A' };
    let thief = Client::new("203.0.113.66:1").with_credentials("bob", "builder");
    for (client, shown, code) in [(elsewhere(&alice, "203.0.113.2:1"), &unknown, 437), (thief, &ticket, 441)] {
        let mut client = client;
        client.nonce = new.nonce_for(&client);
        let id = new.next_id();
        let refresh = client.sign(Method::REFRESH, id, &|writer| _ = writer.attribute(Type::MOBILITY_TICKET, shown));
        assert_eq!(new.client_sends(client.path, &refresh), Verdict::Handled);
        carry(&mut new, &mut old);
        carry(&mut old, &mut new);
        assert_eq!(code_of(&new.late.pop().unwrap().1), code);
    }
    assert_eq!(old.refresh(&mut alice, None), Ok(600));
    // Without a nonce of ours shards are not made to talk; nor for a shard that is not there.
    let stranger = Client { nonce: b"0123456789abcdef01234567".to_vec(), ..elsewhere(&alice, "203.0.113.3:1") };
    let id = new.next_id();
    let refresh = stranger.sign(Method::REFRESH, id, &|writer| _ = writer.attribute(Type::MOBILITY_TICKET, &ticket));
    assert!(matches!(new.client_sends(stranger.path, &refresh), Verdict::Reply { .. }));
    assert!(new.others.is_empty());
    let message = ShardMessage::NotMoved { client: stranger.path, request: Box::default(), why: NotMoved::Unknown };
    assert_eq!(message.relays().count(), 0);
    let now = new.now;
    new.server.handle_shard_message(now, message);
    new.drain();
    assert!(new.late.is_empty(), "nothing to answer");
}

#[test]
fn a_stream_takes_its_connection_to_the_ticket() {
    let mut old = World::on_shard(mobile(), 0);
    let mut new = World::with_ledger(mobile(), Arc::clone(&old.ledger), 2);
    let mut alice = Client::new("203.0.113.1:1000");
    alice.path.protocol = Protocol::Tcp;
    let ticket = allocated(&mut old, &mut alice);
    let mut moved = elsewhere(&alice, "203.0.113.1:1001");
    moved.path.protocol = Protocol::Tcp;
    moved.nonce = new.nonce_for(&moved);
    let id = new.next_id();
    let refresh = moved.sign(Method::REFRESH, id, &|writer| _ = writer.attribute(Type::MOBILITY_TICKET, &ticket));
    assert_eq!(new.client_sends(moved.path, &refresh), Verdict::Handled);
    assert_eq!(new.others, [Output::MoveClient { client: moved.path, shard: ShardId(0) }]);
    assert!(matches!(old.client_sends(moved.path, &refresh), Verdict::Reply { .. }));
    assert_eq!(code_of(old.server.scratch()), 0);
    assert_eq!(old.others, [Output::CloseClient { client: alice.path }], "what it came by before is released");
}

#[test]
fn operators_see_allocations_end_them_and_are_told() {
    let mut world = World::new(Config { notes: true, ..mobile() });
    let mut alice = Client::new("203.0.113.1:1000");
    alice.path.protocol = Protocol::Tls;
    allocated(&mut world, &mut alice);
    world.bind_channel(&mut alice, 0x4001, PEER);
    world.client_sends(alice.path, &[0x40, 0x01, 0, 2, 1, 2]);
    let now = world.now;
    let view = world.server.allocations(now).next().unwrap();
    assert_eq!((view.client, &*view.username, &*view.realm), (alice.path, &b"alice"[..], REALM));
    assert_eq!((view.permissions, view.channels, view.traffic.bytes_to_peers, view.lifetime_left_s), (1, 1, 2, 600));
    assert!(!world.server.kill(now, AllocationId { generation: view.id.generation + 1, ..view.id }));
    assert!(!world.server.kill(now, AllocationId { shard: ShardId(9), ..view.id }));
    assert!(world.server.kill(now, view.id));
    world.drain();
    assert!(world.others.contains(&Output::CloseClient { client: alice.path }));
    assert_eq!((world.server.stats().allocations, world.open.len()), (0, 0));
    let kinds: Vec<_> =
        world.others.iter().filter_map(|o| if let Output::Note(note) = o { Some((note.kind, note.traffic)) } else { None }).collect();
    assert_eq!(kinds.len(), 2);
    assert_eq!(kinds[1].1.bytes_to_peers, 2, "the end tells the totals");
}

//! Messages over the DTLS of every kind of peer.

use super::handshake::PAIRS;
use super::world::*;
use super::*;
use crate::data::{ChannelsOpen, Data, DataConfig, DataEvent, DataMessage, DataSpec, PayloadBudget, RELIABLE_STREAM};
use crate::transport::*;

const SPEC: DataSpec = DataSpec { port: 5000, message_bytes_max: 262_144 };

fn message(budget: &PayloadBudget, bytes: Vec<u8>) -> DataMessage {
    DataMessage { reliable: true, text: false, payload: budget.lend(bytes).unwrap() }
}

/// A world whose ends have keys and, from then on, data channels.
fn connected(kind: Kind, front: Front, role: DtlsRole, link: Link) -> World {
    let mut world = World::new(kind, front, role, link);
    world.run(Duration::from_secs(30));
    let theirs = if role == DtlsRole::Server { DtlsRole::Client } else { DtlsRole::Server };
    world.peer.data = Some(Data::new(&DataConfig::default(), SPEC, theirs, world.now.mono));
    let peer = world.peer.certificate.is_some();
    assert!(peer && world.transport.is_connected(), "{kind:?} {role:?}");
    world.transport.update_data(Some(SPEC));
    world.transport.begin_data(world.now);
    world
}

/// Steps until something is there.
fn until(world: &mut World, mut ask: impl FnMut(&mut World) -> bool) -> bool {
    let end = world.now.mono + Duration::from_secs(30);
    while world.now.mono < end {
        world.step();
        if ask(world) {
            return true;
        }
    }
    false
}

#[test]
fn messages_go_both_ways_over_every_kind_of_dtls() {
    let budget = PayloadBudget::new(1 << 22);
    let large: Vec<u8> = (0..20_000u32).map(|n| (n / 7) as u8).collect();
    for (kind, front, role) in PAIRS {
        let mut world = connected(kind, front, role, Link::new(3, 5, 5, 20));
        // The peer's stack stands first, then sends on the stream that both know.
        assert!(until(&mut world, |world| world.peer.data.as_mut().unwrap().open_known(RELIABLE_STREAM)), "{kind:?} {role:?}");
        world.peer.data.as_mut().unwrap().send(&message(&budget, large.clone())).unwrap();
        world.step_peer(None);
        let mut took = Vec::new();
        let came = until(&mut world, |world| {
            while let Some(event) = world.transport.poll_data(world.now, &budget, &mut |_| {}) {
                took.push(event);
            }
            took.len() >= 2
        });
        assert!(came, "{kind:?} {role:?}: {took:?}");
        assert_eq!(took[0], DataEvent::Channels(ChannelsOpen { reliable: true, lossy: false }));
        assert_eq!(took[1], DataEvent::Message(message(&budget, large.clone())));

        world.transport.send_data(&message(&budget, large.clone())).unwrap();
        let mut sent = Sent::new();
        world.transport.send_data_packets(world.now, &mut sent).unwrap();
        assert!(sent.datagrams.iter().all(|(_, datagram)| datagram.len() <= 1150), "{kind:?} {role:?}");
        // These are lost: SCTP sends them again.
        let came = until(&mut world, |world| {
            let now = world.now.mono;
            let event = world.peer.data.as_mut().unwrap().poll_event(now, &budget, &mut |_| {});
            matches!(event, Some(DataEvent::Message(message)) if message.payload.bytes() == large)
        });
        assert!(came, "{kind:?} {role:?}");
    }
}

#[test]
fn without_data_in_the_description_application_data_is_refused() {
    let mut world = World::new(Kind::Modern, Front::Call, DtlsRole::Server, Link::perfect());
    world.run(Duration::from_secs(30));
    let mut packets = Vec::new();
    world.peer.association.send(world.now.mono, b"anything").unwrap();
    world.peer.association.drain(&mut |output| {
        if let Output::Datagram(datagram) = output {
            packets.push(datagram.to_vec());
        }
    });
    let mut sent = Sent::new();
    let refused = world.transport.handle_dtls(world.now, path(1), &packets[0], &mut sent);
    assert_eq!(refused, Err(DropReason::DtlsApplicationData));
    assert!(!world.transport.has_data() && sent.datagrams.is_empty());
}

#[test]
fn a_description_without_data_ends_the_association() {
    let budget = PayloadBudget::new(1 << 22);
    let mut world = connected(Kind::Modern, Front::Call, DtlsRole::Server, Link::perfect());
    assert!(until(&mut world, |world| world.peer.data.as_mut().unwrap().open_known(RELIABLE_STREAM)));
    world.peer.data.as_mut().unwrap().send(&message(&budget, vec![1])).unwrap();
    world.step_peer(None);
    assert!(until(&mut world, |world| world.transport.poll_data(world.now, &budget, &mut |_| {}).is_some()));
    world.transport.update_data(None);
    let told = std::iter::from_fn(|| world.transport.poll_data(world.now, &budget, &mut |_| {})).last();
    assert_eq!(told, Some(DataEvent::Channels(ChannelsOpen::default())));
    assert_eq!(world.transport.send_data(&message(&budget, vec![1])), Err(DropReason::DataNoChannel));
    world.assert_media_flows();
}

use std::sync::atomic::{AtomicBool, Ordering};

use pointsman_sfu::Fingerprint;

use super::*;

mod musts;

const OFFER: &str = include_str!("../../../sfu/src/sdp/samples/chromium_sendrecv.sdp");
const ALICE: ParticipantId = ParticipantId(1);

/// Remembers what it was sent, or is full.
#[derive(Clone, Default)]
struct Sent {
    commands: Arc<Mutex<Vec<Command>>>,
    full: Arc<AtomicBool>,
}

impl Shards for Sent {
    fn send_to_all(&self, command: Command) -> Result<(), Busy> {
        if self.full.load(Ordering::Relaxed) {
            return Err(Busy);
        }
        self.commands.lock().unwrap().push(command);
        Ok(())
    }
}

impl Sent {
    fn take(&self) -> Vec<Command> {
        std::mem::take(&mut self.commands.lock().unwrap())
    }
}

fn negotiations() -> (Negotiations<Sent>, Sent) {
    let sent = Sent::default();
    let config = NegotiationConfig::new(vec!["127.0.0.1:3478".parse().unwrap()], Fingerprint([1; 32]));
    let negotiations = Negotiations::new(config, IceServerConfig::default(), 2, sent.clone());
    negotiations.open(ALICE, RoomId(7), Front::Call, true, true).unwrap();
    (negotiations, sent)
}

fn source(publication: u64) -> Source {
    Source { publication: PublicationId(publication), publisher: ParticipantId(9), kind: Kind::Video }
}

#[test]
fn an_offer_reaches_the_shards_and_later_changes_too() {
    let (media, sent) = negotiations();
    assert_eq!(media.subscribe(ALICE, source(5)).unwrap(), Placement::Waiting(Waiting { audio: 0, video: 1 }));
    assert!(sent.take().is_empty(), "nothing can connect yet");

    let answer = media.offer(ALICE, OFFER).unwrap();
    assert_eq!(answer.published.iter().map(|published| published.codec.as_str()).collect::<Vec<_>>(), ["opus", "VP8"]);
    assert_eq!(answer.placed, [Placed { publication: PublicationId(5), mid: answer.published[1].mid.clone() }]);
    assert_eq!(answer.waiting, Waiting::default());
    let [Command::Participant(spec)] = &sent.take()[..] else { panic!("one command") };
    assert_eq!((spec.id, spec.room, spec.receivers.len(), spec.senders.len()), (sfu::ParticipantId(1), sfu::RoomId(7), 2, 2));
    assert!(answer.sdp.contains(&spec.local.ufrag));

    media.set_muted(ALICE, answer.published[0].publication, true);
    media.set_muted(ALICE, PublicationId(0), true);
    let [Command::Participant(spec)] = &sent.take()[..] else { panic!("one command") };
    assert!(spec.receivers[0].muted);

    media.unsubscribe(ALICE, PublicationId(5));
    let [Command::Participant(spec)] = &sent.take()[..] else { panic!("one command") };
    assert_eq!(spec.senders[1].source, None);

    media.close(ALICE);
    media.close(ALICE);
    let [Command::Remove(id)] = sent.take()[..] else { panic!("one command") };
    assert_eq!(id, sfu::ParticipantId(1));
    assert_eq!(media.offer(ALICE, OFFER), Err(MediaError::UnknownParticipant));
}

#[test]
fn who_moves_keeps_its_m_lines_and_the_shards_are_told_once() {
    let (media, sent) = negotiations();
    media.offer(ALICE, OFFER).unwrap();
    media.subscribe(ALICE, source(5)).unwrap();
    let [.., Command::Participant(before)] = &sent.take()[..] else { panic!("a command") };
    let placements = media.move_to(ALICE, RoomId(8), &[source(6), source(7)]).unwrap();
    let [Placement::Placed { mid }, Placement::Waiting(Waiting { audio: 0, video: 1 })] = &placements[..] else { panic!("{placements:?}") };
    let [Command::Participant(after)] = &sent.take()[..] else { panic!("one command") };
    assert_eq!((after.room, &after.receivers), (sfu::RoomId(8), &before.receivers));
    let sender = after.senders.iter().find(|sender| sender.mid == *mid).unwrap();
    assert_eq!(sender.source.map(|source| source.publication), Some(sfu::PublicationId(6)));
    let ssrcs = |spec: &sfu::ParticipantSpec| spec.senders.iter().map(|sender| sender.ssrc).collect::<Vec<_>>();
    assert_eq!(ssrcs(after), ssrcs(before));
}

#[test]
fn what_is_granted_later_is_granted_by_the_next_offer() {
    let (media, _) = negotiations();
    media.grant(ALICE, false, true);
    assert!(media.offer(ALICE, OFFER).unwrap().published.is_empty());
    media.grant(ALICE, true, true);
    assert_eq!(media.offer(ALICE, OFFER).unwrap().published.len(), 2);
}

#[test]
fn full_mailboxes_delay_but_lose_nothing() {
    let (media, sent) = negotiations();
    sent.full.store(true, Ordering::Relaxed);
    media.offer(ALICE, OFFER).unwrap();
    media.subscribe(ALICE, source(5)).unwrap();
    sent.full.store(false, Ordering::Relaxed);
    media.flush();
    let [Command::Participant(spec)] = &sent.take()[..] else { panic!("the last state, once") };
    assert!(spec.senders[1].source.is_some());

    sent.full.store(true, Ordering::Relaxed);
    media.close(ALICE);
    assert_eq!(media.open(ALICE, RoomId(7), Front::Call, true, true), Err(MediaError::Busy));
    sent.full.store(false, Ordering::Relaxed);
    media.flush();
    assert!(matches!(sent.take()[..], [Command::Remove(_)]));
}

#[test]
fn participants_are_bounded() {
    let (media, _) = negotiations();
    assert_eq!(media.open(ALICE, RoomId(7), Front::Call, true, true), Err(MediaError::Busy), "ids are used once");
    media.open(ParticipantId(2), RoomId(7), Front::Http, true, true).unwrap();
    assert_eq!(media.open(ParticipantId(3), RoomId(7), Front::Http, true, true), Err(MediaError::Busy));
}

#[test]
fn errors_say_whose_and_where() {
    let (media, sent) = negotiations();
    let malformed = media.offer(ALICE, "v=0\r\nhello").unwrap_err();
    assert_eq!(malformed.to_string(), "line 2: not a line of the form <letter>=<value>");
    let refused = media.offer(ALICE, "v=0\r\nm=application 9 UDP/DTLS/SCTP webrtc-datachannel\r\n").unwrap_err();
    assert!(matches!(refused, MediaError::Unacceptable { .. }));
    assert!(sent.take().is_empty());

    assert_eq!(media.candidate(ALICE, ""), Ok(()));
    assert_eq!(media.candidate(ALICE, "candidate:1 1 udp 2122260223 192.0.2.1 5000 typ host generation 0"), Ok(()));
    assert!(matches!(media.candidate(ALICE, "candidate:what"), Err(MediaError::Malformed { line: None, .. })));
    assert_eq!(media.candidate(ParticipantId(8), ""), Err(MediaError::UnknownParticipant));
}

#[test]
fn ice_servers_have_credentials_that_run_out() {
    let config = IceServerConfig {
        udp: vec!["203.0.113.7:3478".parse().unwrap(), "[2001:db8::7]:3478".parse().unwrap()],
        tcp: vec!["203.0.113.7:3478".parse().unwrap()],
        tls: vec!["example.org:5349".to_owned()],
        shared_secret: Some(Secret::new("north")),
        lifetime: Duration::from_secs(3600),
    };
    let [stun, turn] = &ice_servers(&config, "alice", Duration::from_secs(1_000_000))[..] else { panic!("STUN and TURN") };
    assert_eq!(stun.urls, ["stun:203.0.113.7:3478", "stun:[2001:db8::7]:3478"]);
    assert_eq!(
        turn.urls,
        [
            "turn:203.0.113.7:3478?transport=udp",
            "turn:[2001:db8::7]:3478?transport=udp",
            "turn:203.0.113.7:3478?transport=tcp",
            "turns:example.org:5349?transport=tcp"
        ]
    );
    assert_eq!(turn.username, "1003600:alice");
    // printf 1003600:alice | openssl dgst -sha1 -hmac north -binary | base64
    assert_eq!(turn.credential, "udLEuyyDOwk3mLEbdxPxYtNXKVA=");

    let without = IceServerConfig { shared_secret: None, ..config };
    assert_eq!(ice_servers(&without, "alice", Duration::ZERO).len(), 1, "no secret, no TURN");
}

#[test]
fn events_are_translated() {
    let participant = sfu::ParticipantId(3);
    let closed = media_event(&sfu::Event::Closed { participant, reason: CloseReason::ConsentExpired });
    assert!(matches!(closed, Some(MediaEvent::Closed { participant: ParticipantId(3), .. })));
    assert_eq!(media_event(&sfu::Event::Claimed { participant, shard: pointsman_wire::net::ShardId(0) }), None);
}

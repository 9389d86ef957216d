//! What must hold whatever strangers, clients and peers send.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::{Duration, Instant};

use pointsman_wire::clock::Now;
use pointsman_wire::net::{FiveTuple, Protocol, ShardId};
use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{self, Message, Writer};

use crate::auth::{Auth, LongTermKey};
use crate::config::{Config, NatDiscovery, Secret};
use crate::ledger::Ledger;
use crate::mobility::{NotMoved, ShardMessage};
use crate::peers::{PeerDefault, PeerRules};
use crate::realms::{OauthKey, Realm, TokenAlgorithm};
use crate::server::Server;
use crate::verdict::{ConnectError, Icmp, KeyAnswer, Output, RelayPort, RelaySource, Verdict};

const SEED: [u8; 32] = [3; 32];
/// Relays that the pretended engine has; a port is in use now and then.
const RELAYS_MAX: usize = 64;

/// Hands the server a stream of datagrams, each from a client or a peer, with time passing, and checks every decision.
///
/// ```text
/// | signed (1) | which (6) | peer (1) | milliseconds / 16 (8) | length (16) | datagram … | signed …
/// ```
/// Nobody guesses an HMAC, so a client that knows the password signs what is marked so.
pub fn fuzz(input: &[u8]) {
    let start = start();
    let mut now = Now { mono: start, unix: Duration::from_secs(1_800_000_000) };
    let mut server = Server::new(config(), Arc::new(Ledger::new(config().relay_ports)), SEED, ShardId(0), now);
    let auth = Auth::new(&config(), &SEED, start);
    let mut open = Vec::new();
    let mut rest = input;
    while let [who, wait, l0, l1, tail @ ..] = rest {
        let length = usize::from(u16::from_be_bytes([*l0, *l1])).min(tail.len());
        let (datagram, next) = tail.split_at(length);
        rest = next;
        let step = Duration::from_millis(u64::from(*wait) * 16);
        now = Now { mono: now.mono + step, unix: now.unix + step };
        let which = (who >> 1) & 0x3F;
        let signed = (who & 0x80 != 0).then(|| sign(&auth, now, client(which), datagram)).flatten();
        let datagram = signed.as_deref().unwrap_or(datagram);
        let verdict = match open.get(usize::from(which)) {
            Some(relay) if who & 1 == 1 => from_peer(&mut server, now, *relay, datagram),
            _ if datagram.is_empty() => {
                server.handle_client_closed(now, client(which));
                Verdict::Handled
            }
            _ => server.handle_client_datagram(now, client(which), datagram),
        };
        check(&server, &verdict, datagram);
        server.handle_timeout(now);
        drain(&mut server, now, &mut open);
    }
    assert!(server.poll_timeout().is_none_or(|at| at > now.mono), "what was due was done");
}

/// What arrives at a relay: datagrams, connections, news of errors, our own media.
fn from_peer(server: &mut Server, now: Now, relay: RelayPort, datagram: &[u8]) -> Verdict {
    match datagram {
        [0xF0, kind, code, ..] => {
            server.handle_peer_error(now, relay, peer(), Icmp { version_4: true, kind: *kind, code: *code, data: 1_400 })
        }
        [0xF1, ..] => {
            server.handle_peer_accepted(now, relay, peer());
            Verdict::Handled
        }
        [0xF2, p0, p1, ..] => {
            let relayed = SocketAddr::from(([192, 0, 2, 1], u16::from_be_bytes([*p0, *p1])));
            server.handle_media_datagram(now, relayed, SocketAddr::from(([192, 0, 2, 1], 3478)), datagram.len())
        }
        _ => server.handle_peer_datagram(now, relay, peer(), datagram),
    }
}

fn check(server: &Server, verdict: &Verdict, datagram: &[u8]) {
    match verdict {
        Verdict::ToPeer { payload: Range { start, end }, peer, .. } => {
            assert!(start <= end && *end <= datagram.len());
            assert_ne!(peer.port(), 0);
        }
        Verdict::ToMedia { payload: Range { start, end }, .. } => assert!(start <= end && *end <= datagram.len()),
        Verdict::ReplyFrom { client, to, .. } => assert_eq!(client.remote.ip(), to.ip()),
        Verdict::Reply { .. } => assert!(server.scratch().len() >= 20 && server.scratch().len() <= 2_048),
        Verdict::Indication { padding, .. } => assert_eq!((datagram.len() + padding) % 4, 0),
        Verdict::ToClient { .. } | Verdict::Wait { .. } | Verdict::Handled | Verdict::Drop(_) => {}
    }
}

/// Does what an engine would.
fn drain(server: &mut Server, now: Now, open: &mut Vec<RelayPort>) {
    while let Some(output) = server.poll_output() {
        match output {
            Output::Reply { bytes, .. } => assert!(bytes.len() >= 20),
            Output::OpenRelay { relay, from: RelaySource::Fresh { address }, .. } => {
                if open.len() < RELAYS_MAX && address.port() % 7 != 0 {
                    open.push(relay);
                    server.handle_relay_opened(now, relay, Ok(address));
                } else {
                    server.handle_relay_opened(now, relay, Err(crate::OpenError::InUse));
                }
            }
            Output::LookupKey { lookup, .. } => server.handle_key(now, lookup, KeyAnswer::Unknown),
            Output::CloseRelay { relay } => {
                let before = open.len();
                open.retain(|r| *r != relay);
                assert_eq!(open.len() + 1, before, "only what is open is closed");
            }
            Output::ConnectPeer { connection, peer, .. } => {
                let result = if peer.port() % 2 == 0 { Ok(()) } else { Err(ConnectError::Refused) };
                server.handle_peer_connected(now, connection, result);
            }
            Output::CloseConnection { connection } => server.handle_connection_closed(now, connection),
            Output::CloseClient { client } => server.handle_client_closed(now, client),
            Output::ToShard { message: ShardMessage::Refresh { client, request, .. }, .. } => {
                server.handle_shard_message(now, ShardMessage::NotMoved { client, request, why: NotMoved::Unknown });
            }
            Output::AdoptRelay { .. }
            | Output::Join { .. }
            | Output::MoveClient { .. }
            | Output::MediaFollows { .. }
            | Output::ToShard { .. }
            | Output::Note(_) => {}
        }
    }
}

/// Any instant serves as an origin.
#[allow(clippy::disallowed_methods)]
fn start() -> Instant {
    Instant::now()
}

/// The message with credentials.
fn sign(auth: &Auth, now: Now, client: FiveTuple, datagram: &[u8]) -> Option<Vec<u8>> {
    let message = Message::parse(datagram).ok()?;
    let mut out = vec![0; datagram.len() + 200];
    let mut writer = Writer::new(&mut out, message.class(), message.method(), message.transaction_id());
    for attribute in message.attributes() {
        writer.attribute(attribute.kind, attribute.value);
    }
    let (realm, features) = auth.realm_for(&message);
    writer.attribute(Type::USERNAME, b"alice").attribute(Type::REALM, realm);
    writer.attribute(Type::NONCE, auth.nonce(now.unix, client.remote, features).bytes());
    let key = LongTermKey::derive(b"alice", realm, b"wonderland");
    let len = writer.integrity(&stun::Key::new(key.bytes())).finish().ok()?;
    out.truncate(len);
    Some(out)
}

fn peer() -> SocketAddr {
    SocketAddr::from(([198, 51, 100, 9], 9000))
}

fn client(who: u8) -> FiveTuple {
    let path = FiveTuple::udp(SocketAddr::from(([192, 0, 2, 1], 3478)), SocketAddr::from(([203, 0, 113, who % 4], 1000)));
    if who < 32 { path } else { FiveTuple { protocol: Protocol::Tcp, ..path } }
}

fn config() -> Config {
    Config {
        relay_addresses: vec![[192, 0, 2, 1].into(), std::net::Ipv6Addr::LOCALHOST.into()],
        peers: PeerRules { default: PeerDefault::Public, ..PeerRules::default() },
        media: vec![SocketAddr::from(([192, 0, 2, 1], 3478))],
        tcp_relay: true,
        mobility: true,
        notes: true,
        shards: 2,
        nat_discovery: vec![NatDiscovery { addresses: [[192, 0, 2, 1].into(), [192, 0, 2, 2].into()], ports: [3478, 3479] }],
        realm: "example.org".to_owned(),
        users: vec![("alice".to_owned(), Secret("wonderland".to_owned()))],
        shared_secrets: vec![Secret("secret".to_owned())],
        realms: vec![Realm { name: "other".to_owned(), origins: vec!["https://other".to_owned()], ..Realm::default() }],
        password_algorithms: true,
        lookups_max: 4,
        oauth: true,
        oauth_keys: vec![OauthKey {
            kid: "alice".to_owned(),
            ikm: vec![1; 32],
            begins: Duration::ZERO,
            lifetime: Duration::ZERO,
            algorithm: TokenAlgorithm::A256Gcm,
            realm: None,
        }],
        ..Config::default()
    }
}

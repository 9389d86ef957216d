//! The world that a server is tested in: it plays the engine, and lends clients that know the protocol.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use pointsman_wire::clock::Now;
use pointsman_wire::net::{FiveTuple, ShardId};
use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{self, Class, Message, Method, TransactionId, Writer};

use crate::auth::LongTermKey;
use crate::config::{Config, Secret};
use crate::{Ledger, LookupId, OpenError, Output, PeerDefault, PeerRules, RelayPort, RelaySource, Server, Verdict};

pub(super) const REALM: &str = "example.org";
pub(super) const SERVER: &str = "198.51.100.1:3478";

pub(super) fn config() -> Config {
    Config {
        realm: REALM.to_owned(),
        relay_addresses: vec![ip("198.51.100.1"), ip("2001:db8:1::1")],
        peers: PeerRules { default: PeerDefault::Public, ..PeerRules::default() },
        // So that every allocation has a socket; what happens when they come late has tests of its own.
        lazy_relays: false,
        relay_ports: 50000..=50999,
        users: vec![("alice".to_owned(), Secret("wonderland".to_owned())), ("bob".to_owned(), Secret("builder".to_owned()))],
        shared_secrets: vec![Secret("old secret".to_owned()), Secret("new secret".to_owned())],
        ..Config::default()
    }
}

/// Adds a message's attributes.
pub(super) type Write<'a> = &'a dyn Fn(&mut Writer<'_>);

pub(super) struct World {
    pub(super) server: Server,
    pub(super) ledger: Arc<Ledger>,
    pub(super) now: Now,
    /// Sockets that are open, and where.
    pub(super) open: Vec<(RelayPort, SocketAddr)>,
    /// Addresses that something else has.
    pub(super) taken: Box<dyn FnMut(SocketAddr) -> bool>,
    /// Answers that had to wait.
    pub(super) late: Vec<(FiveTuple, Vec<u8>)>,
    /// Keys that are asked for: whose.
    pub(super) lookups: Vec<(LookupId, String, Vec<u8>)>,
    pub(super) hold_sockets: bool,
    pub(super) held: Vec<(RelayPort, SocketAddr)>,
    /// Outputs about connections, shards and notes.
    pub(super) others: Vec<Output>,
    transactions: u64,
}

/// Any instant will do.
#[allow(clippy::disallowed_methods)]
fn some_instant() -> Instant {
    Instant::now()
}

impl World {
    pub(super) fn new(config: Config) -> Self {
        Self::on_shard(config, 0)
    }

    pub(super) fn on_shard(config: Config, shard: u16) -> Self {
        let ledger = Arc::new(Ledger::new(config.relay_ports.clone()));
        Self::with_ledger(config, ledger, shard)
    }

    /// One of several shards of a server.
    pub(super) fn with_ledger(config: Config, ledger: Arc<Ledger>, shard: u16) -> Self {
        let now = Now { mono: some_instant(), unix: Duration::from_secs(1_800_000_000) };
        Self {
            server: Server::new(config, Arc::clone(&ledger), [42; 32], ShardId(shard), now),
            ledger,
            now,
            open: Vec::new(),
            taken: Box::new(|_| false),
            late: Vec::new(),
            lookups: Vec::new(),
            hold_sockets: false,
            held: Vec::new(),
            others: Vec::new(),
            transactions: 0,
        }
    }

    /// Lets time pass, stopping wherever the server wants to be woken.
    pub(super) fn sleep(&mut self, time: Duration) {
        let end = self.now.mono + time;
        while let Some(at) = self.server.poll_timeout().filter(|at| *at <= end) {
            self.advance_to(at.max(self.now.mono));
            self.server.handle_timeout(self.now);
            self.drain();
        }
        self.advance_to(end);
    }

    fn advance_to(&mut self, at: Instant) {
        self.now.unix += at - self.now.mono;
        self.now.mono = at;
    }

    pub(super) fn client_sends(&mut self, client: FiveTuple, datagram: &[u8]) -> Verdict {
        let verdict = self.server.handle_client_datagram(self.now, client, datagram);
        self.drain();
        verdict
    }

    pub(super) fn peer_sends(&mut self, relay: RelayPort, peer: &str, datagram: &[u8]) -> Verdict {
        let verdict = self.server.handle_peer_datagram(self.now, relay, peer.parse().unwrap(), datagram);
        self.drain();
        verdict
    }

    /// What an engine does with outputs.
    pub(super) fn drain(&mut self) {
        while let Some(output) = self.server.poll_output() {
            match output {
                Output::Reply { client, bytes } => self.late.push((client, bytes.into_vec())),
                Output::OpenRelay { relay, from: RelaySource::Fresh { address }, .. } if self.hold_sockets => {
                    self.held.push((relay, address))
                }
                Output::OpenRelay { relay, from: RelaySource::Fresh { address }, .. } => self.bind(relay, address),
                Output::LookupKey { lookup, realm, username } => self.lookups.push((lookup, realm.into(), username.into_vec())),
                Output::CloseRelay { relay } => {
                    let before = self.open.len() + self.held.len();
                    self.open.retain(|(r, _)| *r != relay);
                    self.held.retain(|(r, _)| *r != relay);
                    assert_eq!(self.open.len() + self.held.len() + 1, before, "closed what was not open");
                }
                other @ (Output::AdoptRelay { .. }
                | Output::ConnectPeer { .. }
                | Output::Join { .. }
                | Output::CloseConnection { .. }
                | Output::CloseClient { .. }
                | Output::MoveClient { .. }
                | Output::MediaFollows { .. }
                | Output::ToShard { .. }
                | Output::Note(_)) => self.others.push(other),
            }
        }
    }

    pub(super) fn bind(&mut self, relay: RelayPort, address: SocketAddr) {
        let busy = self.open.iter().any(|(_, other)| *other == address) || (self.taken)(address);
        let result = if busy { Err(OpenError::InUse) } else { Ok(address) };
        if result.is_ok() {
            assert!(self.open.iter().all(|(other, _)| other.index != relay.index), "index in use");
            self.open.push((relay, address));
        }
        self.server.handle_relay_opened(self.now, relay, result);
    }

    pub(super) fn next_id(&mut self) -> TransactionId {
        self.transactions += 1;
        let mut id = [0; 12];
        id[4..].copy_from_slice(&self.transactions.to_be_bytes());
        TransactionId(id)
    }

    /// Sends, and takes the answer, whether it came at once or after the sockets.
    pub(super) fn ask(&mut self, client: FiveTuple, datagram: &[u8]) -> Option<Vec<u8>> {
        match self.client_sends(client, datagram) {
            Verdict::Reply { client: to } => {
                assert_eq!(to, client);
                Some(self.server.scratch().to_vec())
            }
            _ => {
                let at = self.late.iter().position(|(to, _)| *to == client)?;
                Some(self.late.remove(at).1)
            }
        }
    }

    /// A request in all its steps, as a client with credentials does it: its answer.
    pub(super) fn request(&mut self, client: &mut Client, method: Method, write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
        for _ in 0..3 {
            let id = self.next_id();
            let datagram = client.sign(method, id, &write);
            let answer = self.ask(client.path, &datagram).expect("an answer");
            let message = Message::parse(&answer).unwrap();
            assert_eq!((message.method(), message.transaction_id()), (method, id));
            let code = code_of(&answer);
            if matches!(code, 401 | 438) && (client.nonce.is_empty() || code == 438) {
                client.nonce = message.nonce().unwrap().to_vec();
                continue;
            }
            if code != 401 {
                assert!(message.verify_integrity(&client.key()), "answer {code} is not protected");
            }
            return answer;
        }
        panic!("challenged for ever");
    }

    pub(super) fn allocate(&mut self, client: &mut Client, write: impl Fn(&mut Writer<'_>)) -> Vec<u8> {
        self.request(client, Method::ALLOCATE, |writer| {
            writer.first_of_four(Type::REQUESTED_TRANSPORT, 17);
            write(writer);
        })
    }

    /// A client with an ordinary allocation, and its relay.
    pub(super) fn allocated(&mut self, remote: &str) -> (Client, RelayPort) {
        let mut client = Client::new(remote);
        let answer = self.allocate(&mut client, |_| ());
        assert_eq!(code_of(&answer), 0);
        (client, self.open.last().unwrap().0)
    }

    /// A nonce for a client that has asked for nothing yet.
    pub(super) fn nonce_for(&mut self, client: &Client) -> Vec<u8> {
        let id = self.next_id();
        let datagram = Client { nonce: Vec::new(), ..client.clone() }.sign(Method::ALLOCATE, id, &|_| ());
        let answer = self.ask(client.path, &datagram).unwrap();
        Message::parse(&answer).unwrap().nonce().unwrap().to_vec()
    }

    pub(super) fn permit(&mut self, client: &mut Client, peers: &[&str]) -> u16 {
        let answer = self.request(client, Method::CREATE_PERMISSION, |writer| {
            for peer in peers {
                writer.xor_address(Type::XOR_PEER_ADDRESS, peer.parse().unwrap());
            }
        });
        code_of(&answer)
    }

    pub(super) fn bind_channel(&mut self, client: &mut Client, number: u16, peer: &str) -> u16 {
        let answer = self.request(client, Method::CHANNEL_BIND, |writer| {
            writer.channel_number(number).xor_address(Type::XOR_PEER_ADDRESS, peer.parse().unwrap());
        });
        code_of(&answer)
    }

    pub(super) fn refresh(&mut self, client: &mut Client, lifetime_s: Option<u32>) -> Result<u32, u16> {
        let answer = self.request(client, Method::REFRESH, |writer| {
            if let Some(lifetime_s) = lifetime_s {
                writer.u32(Type::LIFETIME, lifetime_s);
            }
        });
        match code_of(&answer) {
            0 => Ok(Message::parse(&answer).unwrap().lifetime().unwrap().unwrap()),
            code => Err(code),
        }
    }
}

/// 0 for a success.
pub(super) fn code_of(answer: &[u8]) -> u16 {
    let message = Message::parse(answer).unwrap();
    match message.class() {
        Class::Success => 0,
        Class::Error => message.error_code().unwrap().unwrap().code,
        other => panic!("{other:?} is no answer"),
    }
}

pub(super) fn relayed(answer: &[u8]) -> Vec<SocketAddr> {
    Message::parse(answer).unwrap().xor_addresses(Type::XOR_RELAYED_ADDRESS).map(Result::unwrap).collect()
}

#[derive(Clone)]
pub(super) struct Client {
    pub(super) path: FiveTuple,
    pub(super) username: String,
    pub(super) password: String,
    pub(super) realm: String,
    /// The key itself, where it comes from no password.
    pub(super) mac_key: Option<Vec<u8>>,
    pub(super) nonce: Vec<u8>,
}

impl Client {
    pub(super) fn new(remote: &str) -> Self {
        let remote: SocketAddr = remote.parse().unwrap();
        let local: SocketAddr = if remote.is_ipv4() { SERVER.parse().unwrap() } else { "[2001:db8:1::1]:3478".parse().unwrap() };
        Self {
            path: FiveTuple::udp(local, remote),
            username: "alice".to_owned(),
            password: "wonderland".to_owned(),
            realm: REALM.to_owned(),
            mac_key: None,
            nonce: Vec::new(),
        }
    }

    pub(super) fn with_credentials(mut self, username: &str, password: &str) -> Self {
        self.username = username.to_owned();
        self.password = password.to_owned();
        self
    }

    pub(super) fn key(&self) -> stun::Key {
        let derived = LongTermKey::derive(self.username.as_bytes(), self.realm.as_bytes(), self.password.as_bytes());
        stun::Key::new(self.mac_key.as_deref().unwrap_or(derived.bytes()))
    }

    /// A request with credentials; without a nonce, one that shows none.
    pub(super) fn sign(&self, method: Method, id: TransactionId, write: Write<'_>) -> Vec<u8> {
        let mut out = vec![0; 4096];
        let mut writer = Writer::new(&mut out, Class::Request, method, id);
        write(&mut writer);
        if !self.nonce.is_empty() {
            writer.attribute(Type::USERNAME, self.username.as_bytes());
            writer.attribute(Type::REALM, self.realm.as_bytes());
            writer.attribute(Type::NONCE, &self.nonce);
            writer.integrity(&self.key());
        }
        let len = writer.fingerprint().finish().unwrap();
        out.truncate(len);
        out
    }

    pub(super) fn send_indication(peer: &str, data: &[u8]) -> Vec<u8> {
        let mut out = vec![0; data.len() + 100];
        let len = Writer::new(&mut out, Class::Indication, Method::SEND, TransactionId([9; 12]))
            .xor_address(Type::XOR_PEER_ADDRESS, peer.parse().unwrap())
            .attribute(Type::DATA, data)
            .finish()
            .unwrap();
        out.truncate(len);
        out
    }
}

pub(super) fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

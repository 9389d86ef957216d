//! All clients, on one thread.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use md5::{Digest, Md5};
use mio::unix::SourceFd;
use mio::{Events, Interest, Poll, Token};
use pointsman_wire::channel_data;
use pointsman_wire::stun::attribute::Type;
use pointsman_wire::stun::{Class, Key, Message, Method, TransactionId, Writer};
use rustls::ClientConfig;

use super::Mode;
use super::link::{Link, Transport, tls_config};

/// Requests on their way at a time.
const WINDOW: usize = 64;
const RETRY: Duration = Duration::from_millis(500);
const TRIES_MAX: u32 = 8;
/// Between two looks at what is due to be sent: many real clients together are no smoother.
const TICK: Duration = Duration::from_millis(1);
const CHANNEL_FIRST: u16 = 0x4000;
const SPACE: usize = 64 << 10;

/// What all clients do.
pub struct Wishes {
    pub server: SocketAddr,
    pub transport: Transport,
    pub user: String,
    pub password: String,
    pub peer: SocketAddr,
    pub mode: Mode,
}

pub struct Fleet {
    wishes: Wishes,
    tls: Arc<ClientConfig>,
    poll: Poll,
    events: Events,
    clients: Vec<Client>,
    came_back: u64,
    space: Vec<u8>,
}

struct Client {
    link: Link,
    stage: Stage,
    realm: Vec<u8>,
    nonce: Vec<u8>,
    relayed: Option<SocketAddr>,
    number: u32,
    tries: u32,
    due: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Fresh,
    Asking(Method),
    /// The last request was granted.
    Granted,
    Refused(u16),
    Gone,
}

/// Tells how many packets are due at a steady rate.
pub struct Pacer {
    begun: Instant,
    rate: f64,
    sent: u64,
}

impl Pacer {
    pub fn new(rate: u32) -> Self {
        Self { begun: Instant::now(), rate: f64::from(rate), sent: 0 }
    }

    /// Those that are due at `now`, counted as sent. After a stall the missed ones come at once.
    pub fn due(&mut self, now: Instant) -> u64 {
        let all = (now.saturating_duration_since(self.begun).as_secs_f64() * self.rate) as u64;
        let due = all.saturating_sub(self.sent);
        self.sent += due;
        due
    }
}

impl Fleet {
    pub fn new(wishes: Wishes) -> Result<Self, String> {
        Ok(Self {
            wishes,
            tls: tls_config()?,
            poll: Poll::new().map_err(|error| format!("epoll: {error}"))?,
            events: Events::with_capacity(1024),
            clients: Vec::new(),
            came_back: 0,
            space: vec![0; SPACE],
        })
    }

    /// Packets that reached clients.
    pub fn came_back(&self) -> u64 {
        self.came_back
    }

    pub fn relayed(&self) -> Vec<SocketAddr> {
        self.clients.iter().filter_map(|client| client.relayed).collect()
    }

    /// Makes so many allocations.
    pub fn allocate(&mut self, wanted: usize) -> Result<(), String> {
        for at in 0..wanted {
            let link = Link::open(self.wishes.transport, self.wishes.server, &self.tls)
                .map_err(|error| format!("client {at} cannot reach {}: {error}", self.wishes.server))?;
            let (token, interest) = (Token(at), Interest::READABLE | Interest::WRITABLE);
            self.poll.registry().register(&mut SourceFd(&link.fd()), token, interest).map_err(|error| format!("epoll: {error}"))?;
            self.clients.push(Client {
                link,
                stage: Stage::Fresh,
                realm: Vec::new(),
                nonce: Vec::new(),
                relayed: None,
                number: 0,
                tries: 0,
                due: Instant::now(),
            });
        }
        self.ask_all(Method::ALLOCATE)
    }

    /// Lets every allocation talk to the peer.
    pub fn permit(&mut self) -> Result<(), String> {
        self.ask_all(match self.wishes.mode {
            Mode::Channel => Method::CHANNEL_BIND,
            Mode::Send => Method::CREATE_PERMISSION,
        })
    }

    /// Ends every allocation. Answers are not waited for.
    pub fn leave(&mut self) {
        for at in 0..self.clients.len() {
            self.ask(at, Method::REFRESH);
        }
    }

    fn ask_all(&mut self, method: Method) -> Result<(), String> {
        for client in &mut self.clients {
            client.stage = Stage::Fresh;
        }
        let mut next = 0;
        loop {
            let now = Instant::now();
            let mut open = 0;
            for at in 0..self.clients.len().min(next) {
                match self.clients[at].stage {
                    Stage::Asking(_) if self.clients[at].due > now => open += 1,
                    Stage::Asking(_) if self.clients[at].tries < TRIES_MAX => {
                        open += 1;
                        self.ask(at, method);
                    }
                    Stage::Asking(_) => return Err(format!("client {at}: no answer")),
                    Stage::Refused(code) => return Err(format!("client {at}: refused with {code}")),
                    Stage::Gone => return Err(format!("client {at}: the server ended the connection")),
                    Stage::Fresh | Stage::Granted => {}
                }
            }
            while open < WINDOW && next < self.clients.len() {
                self.clients[next].tries = 0;
                self.ask(next, method);
                next += 1;
                open += 1;
            }
            if next == self.clients.len() && open == 0 {
                return Ok(());
            }
            self.receive(Duration::from_millis(20))?;
        }
    }

    fn ask(&mut self, at: usize, method: Method) {
        let Self { wishes, clients, .. } = self;
        let Some(client) = clients.get_mut(at) else { return };
        client.number += 1;
        client.tries += 1;
        client.due = Instant::now() + RETRY;
        client.stage = Stage::Asking(method);
        let mut message = [0; 1024];
        let mut writer = Writer::new(&mut message, Class::Request, method, client.id());
        match method {
            Method::ALLOCATE => {
                writer.first_of_four(Type::REQUESTED_TRANSPORT, 17);
                if wishes.peer.is_ipv6() {
                    writer.first_of_four(Type::REQUESTED_ADDRESS_FAMILY, 2);
                }
            }
            Method::CHANNEL_BIND => _ = writer.channel_number(CHANNEL_FIRST).xor_address(Type::XOR_PEER_ADDRESS, wishes.peer),
            Method::CREATE_PERMISSION => _ = writer.xor_address(Type::XOR_PEER_ADDRESS, wishes.peer),
            _ => _ = writer.u32(Type::LIFETIME, 0),
        }
        if !client.nonce.is_empty() {
            writer.attribute(Type::USERNAME, wishes.user.as_bytes());
            writer.attribute(Type::REALM, &client.realm).attribute(Type::NONCE, &client.nonce);
            // RFC 8489 section 9.2.2.
            let realm = String::from_utf8_lossy(&client.realm);
            writer.integrity(&Key::new(&Md5::digest(format!("{}:{realm}:{}", wishes.user, wishes.password))));
        }
        if let Ok(len) = writer.finish() {
            client.link.send(&message[..len]);
            client.link.flush();
        }
    }

    /// Receives for `time` and, with a rate, sends payloads of `size` bytes. Gives how many were sent.
    pub fn drive(&mut self, time: Duration, rate: Option<u32>, size: usize) -> Result<u64, String> {
        let end = Instant::now() + time;
        let mut pace = Pacer::new(rate.unwrap_or(0));
        let message = self.data(size)?;
        let (mut next, mut sent) = (0, 0);
        loop {
            let now = Instant::now();
            if now >= end {
                return Ok(sent);
            }
            for _ in 0..pace.due(now) {
                let count = self.clients.len();
                let Some(client) = self.clients.get_mut(next) else { break };
                // What a full buffer refuses was offered all the same.
                client.link.send(&message);
                sent += 1;
                next = (next + 1) % count;
            }
            if self.wishes.transport != Transport::Udp {
                self.clients.iter_mut().for_each(|client| client.link.flush());
            }
            self.receive(TICK.min(end - now))?;
        }
    }

    fn data(&self, size: usize) -> Result<Vec<u8>, String> {
        let payload = vec![9; size];
        match self.wishes.mode {
            Mode::Channel => {
                let header = channel_data::header(CHANNEL_FIRST, size).ok_or("the payload is too long")?;
                Ok([&header[..], &payload].concat())
            }
            Mode::Send => {
                let mut message = vec![0; size + 100];
                let mut writer = Writer::new(&mut message, Class::Indication, Method::SEND, TransactionId([1; 12]));
                writer.xor_address(Type::XOR_PEER_ADDRESS, self.wishes.peer).attribute(Type::DATA, &payload);
                let len = writer.finish().map_err(|_| "the payload is too long")?;
                message.truncate(len);
                Ok(message)
            }
        }
    }

    fn receive(&mut self, wait: Duration) -> Result<(), String> {
        // Sleeping and then taking everything is what keeps a generator cheap; the kernel's buffers hold a tick.
        std::thread::sleep(wait.min(TICK));
        match self.poll.poll(&mut self.events, Some(Duration::ZERO)) {
            Ok(()) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => return Ok(()),
            Err(error) => return Err(format!("epoll: {error}")),
        }
        let mut again = Vec::new();
        for event in &self.events {
            let at = event.token().0;
            let Some(client) = self.clients.get_mut(at) else { continue };
            let Client { link, stage, realm, nonce, relayed, number, .. } = client;
            let expected = id(*number);
            let came_back = &mut self.came_back;
            let ended = link.receive(&mut self.space, |message| {
                if message.first().is_some_and(|first| *first >= 0x40) {
                    *came_back += 1;
                    return;
                }
                let Ok(message) = Message::parse(message) else { return };
                match (message.class(), message.method(), *stage) {
                    (Class::Indication, Method::DATA, _) => *came_back += 1,
                    (Class::Success, method, Stage::Asking(asked)) if method == asked && message.transaction_id() == expected => {
                        *stage = Stage::Granted;
                        if let Ok(Some(address)) = message.xor_relayed_address() {
                            *relayed = Some(address);
                        }
                    }
                    (Class::Error, method, Stage::Asking(asked)) if method == asked && message.transaction_id() == expected => {
                        let code = message.error_code().ok().flatten().map_or(0, |error| error.code);
                        let known = std::mem::replace(nonce, message.nonce().unwrap_or_default().to_vec());
                        *realm = message.realm().map_or_else(|| realm.clone(), <[u8]>::to_vec);
                        if matches!(code, 401 | 438) && !nonce.is_empty() && *nonce != known {
                            again.push((at, method));
                        } else {
                            *stage = Stage::Refused(code);
                        }
                    }
                    _ => {}
                }
            });
            if ended.is_err() {
                *stage = Stage::Gone;
            }
        }
        for (at, method) in again {
            self.ask(at, method);
        }
        Ok(())
    }
}

impl Client {
    fn id(&self) -> TransactionId {
        id(self.number)
    }
}

fn id(number: u32) -> TransactionId {
    let mut id = [0xAB; 12];
    id[8..].copy_from_slice(&number.to_be_bytes());
    TransactionId(id)
}

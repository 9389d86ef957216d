//! Answers to Binding requests, with what RFC 5780 adds where we have two addresses and two ports; and redirection (RFC 8489 section 10).

use std::net::SocketAddr;

use pointsman_wire::clock::Now;
use pointsman_wire::net::{FiveTuple, Protocol};
use pointsman_wire::stun::attribute::{Family, Type};
use pointsman_wire::stun::{Class, Message, Method, Writer};

use super::Server;
use super::reply::{Rejection, close};
use crate::config::Config;
use crate::stats::DropReason;
use crate::verdict::Verdict;

/// Attributes that a Binding request may have where RFC 5780's tests are answered.
pub(super) const ATTRIBUTES: [Type; 6] =
    [Type::USERNAME, Type::REALM, Type::NONCE, Type::CHANGE_REQUEST, Type::RESPONSE_PORT, Type::PADDING];

/// The same with all that credentials are made of, which come first.
const SECURE_ATTRIBUTES: [Type; 9] = [
    Type::USERNAME,
    Type::REALM,
    Type::NONCE,
    Type::PASSWORD_ALGORITHM,
    Type::USERHASH,
    Type::ACCESS_TOKEN,
    Type::CHANGE_REQUEST,
    Type::RESPONSE_PORT,
    Type::PADDING,
];
const CREDENTIALS: usize = 6;

/// As much padding as fits into one packet of an Ethernet; and never more than the request brought, so that nothing is amplified.
const PADDING_MAX: usize = 1_400;

/// Where an answer leaves from and goes to, and what it says of the server.
pub(super) struct Route {
    from: SocketAddr,
    to: SocketAddr,
    /// `from` as the world knows it, and the other address and port likewise.
    origin: SocketAddr,
    other: SocketAddr,
    padding: usize,
}

impl Route {
    /// RFC 5780 sections 7.3, 7.4 and 7.6.
    pub(super) fn write(&self, writer: &mut Writer<'_>) {
        writer.address(Type::RESPONSE_ORIGIN, self.origin).address(Type::OTHER_ADDRESS, self.other);
        if self.padding > 0 {
            writer.attribute(Type::PADDING, [0; PADDING_MAX].get(..self.padding).unwrap_or_default());
        }
    }
}

/// Sends the answer that lies ready the way that was asked for.
pub(super) fn routed(client: FiveTuple, route: Option<Route>, reply: Verdict) -> Verdict {
    match route {
        Some(Route { from, to, .. }) if from != client.local || to != client.remote => Verdict::ReplyFrom { client, from, to },
        Some(_) | None => reply,
    }
}

impl Server {
    /// Does this client ask where RFC 5780's tests are answered?
    pub(super) fn discovers(&self, client: &FiveTuple) -> bool {
        self.alternatives(client).is_some()
    }

    /// The other address and the other port.
    fn alternatives(&self, client: &FiveTuple) -> Option<SocketAddr> {
        if client.protocol != Protocol::Udp {
            return None;
        }
        self.config.nat_discovery.iter().find_map(|discovery| {
            let other = |is: bool, pair: [std::net::IpAddr; 2]| if is { pair[1] } else { pair[0] };
            let (local, [first, second]) = (client.local, discovery.addresses);
            let (port, [low, high]) = (local.port(), discovery.ports);
            let known = (local.ip() == first || local.ip() == second) && (port == low || port == high);
            known.then(|| SocketAddr::new(other(local.ip() == first, discovery.addresses), if port == low { high } else { low }))
        })
    }

    /// RFC 5780 section 6.1. `None`: attributes that contradict each other or make no sense.
    fn route(&self, client: &FiveTuple, message: &Message<'_>) -> Option<Option<Route>> {
        let Some(other) = self.alternatives(client) else { return Some(None) };
        let (change_ip, change_port) = message.change_request().ok()?.unwrap_or((false, false));
        let response_port = message.response_port().ok()?;
        let padding = message.attribute(Type::PADDING).map(<[u8]>::len);
        // "If the Request contained a PADDING attribute, PADDING MUST be included … MUST NOT be used with RESPONSE-PORT".
        if padding.is_some() && response_port.is_some() || response_port == Some(0) {
            return None;
        }
        let ip = if change_ip { other.ip() } else { client.local.ip() };
        let port = if change_port { other.port() } else { client.local.port() };
        let to = SocketAddr::new(client.remote.ip(), response_port.unwrap_or(client.remote.port()));
        let padding = padding.unwrap_or(0).min(PADDING_MAX) & !3;
        let from = SocketAddr::new(ip, port);
        let (origin, other) = (self.externals.outward_exactly(from), self.externals.outward_exactly(other));
        Some(Some(Route { from, to, origin, other, padding }))
    }

    /// The same for a request whose sender has shown credentials, and is told what was wrong.
    pub(super) fn secure_route(&self, client: &FiveTuple, message: &Message<'_>) -> Result<Option<Route>, Rejection> {
        let known = if self.discovers(client) { &SECURE_ATTRIBUTES[..] } else { &SECURE_ATTRIBUTES[..CREDENTIALS] };
        let unknown = message.unknown_required(known);
        if !unknown.is_empty() {
            return Err(Rejection::unknown_attributes(unknown));
        }
        self.route(client, message).ok_or(Rejection::BAD_REQUEST)
    }

    /// RFC 8489 section 6.3.1: open to strangers, so the answer holds their address and, but for RFC 5780, nothing else.
    pub(super) fn answer_binding(&mut self, client: FiveTuple, message: &Message<'_>) -> Result<Verdict, DropReason> {
        let Some(route) = self.route(&client, message) else {
            self.stats.binding_errors_total += 1;
            self.stats.count_error(400);
            let mut writer = Writer::new(&mut self.scratch[..], Class::Error, Method::BINDING, message.transaction_id());
            writer.error_code(400, "");
            let written = close(&mut writer, &self.config, None, message.has_fingerprint());
            return self.reply(client, written);
        };
        self.stats.bindings_total += 1;
        let mut writer = Writer::new(&mut self.scratch[..], Class::Success, Method::BINDING, message.transaction_id());
        writer.xor_address(Type::XOR_MAPPED_ADDRESS, client.remote);
        route.iter().for_each(|route| route.write(&mut writer));
        let written = close(&mut writer, &self.config, None, message.has_fingerprint());
        let reply = self.reply(client, written)?;
        Ok(routed(client, route, reply))
    }

    /// The server that this client should go to instead: those of its family in turn.
    pub(super) fn alternate_server(&mut self, client: &FiveTuple) -> Option<SocketAddr> {
        if self.config.auxiliary.contains(&client.local) {
            return None;
        }
        let Config { alternate_servers, tcp_alternate_servers, tls_alternate_servers, .. } = &self.config;
        let servers = match client.protocol {
            Protocol::Tls | Protocol::Dtls if !tls_alternate_servers.is_empty() => tls_alternate_servers,
            Protocol::Tcp => tcp_alternate_servers.as_ref().unwrap_or(alternate_servers),
            Protocol::Udp | Protocol::Relay(_) | Protocol::Tls | Protocol::Dtls => alternate_servers,
        };
        let family = Family::of(&client.remote.ip());
        let of_family = servers.iter().filter(|server| Family::of(&server.ip()) == family);
        let turn = self.alternate_turn.checked_rem(of_family.clone().count())?;
        self.alternate_turn = self.alternate_turn.wrapping_add(1);
        of_family.clone().nth(turn).copied()
    }

    /// 300 (RFC 8489 section 10), before anyone is asked for credentials: no more of them than other answers to strangers.
    pub(super) fn redirect(
        &mut self,
        now: Now,
        client: FiveTuple,
        message: &Message<'_>,
        server: SocketAddr,
    ) -> Result<Verdict, DropReason> {
        if !self.limiter.take(now.mono, client.remote.ip()) {
            return Err(DropReason::RateLimited);
        }
        self.stats.count_error(300);
        let mut writer = Writer::new(&mut self.scratch[..], Class::Error, message.method(), message.transaction_id());
        writer.error_code(300, "Try Alternate").address(Type::ALTERNATE_SERVER, server);
        let written = close(&mut writer, &self.config, None, message.has_fingerprint());
        self.reply(client, written)
    }
}

//! `pointsman.toml`: reads it, lets the environment override it, and hands each part of the server its own settings.
//!
//! Adding a key: a field in the `config.rs` of the part that needs it, one line in the walk below ([`Config::walk`]), and its
//! documentation in `deploy/pointsman.example.toml` (a test compares the two).

mod oidc;
mod parts;
mod problem;
mod reader;
mod realms;
mod secret;
mod setting;
#[cfg(test)]
mod tests;
mod values;

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use parts::Turn;
pub use problem::{Place, Problem, Problems};
pub use reader::{Entry, variable};
pub use secret::Secret;
pub use values::{Network, PortRange, PublicIp};

use crate::control::webhooks;
use crate::engine::EngineConfig;
use crate::oidc::Config as Oidc;
use crate::store;
use crate::users::Database;

use reader::Reader;
use values::LogFilter;

/// An API secret that is shorter can be guessed from one token (HS256 wants at least 256 bits, RFC 7518 section 3.2).
pub const KEY_SECRET_LEN_MIN: usize = 32;

/// Everything that the file and the environment say.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Addresses announced to clients: in candidates and as relayed addresses.
    pub public_ip: PublicIp,
    pub listen: Listen,
    pub tls: Tls,
    pub http: Http,
    pub engine: EngineConfig,
    pub sfu: pointsman_sfu::Config,
    pub turn: Turn,
    pub signal: pointsman_signal::Config,
    pub webhooks: webhooks::Config,
    pub history: store::Config,
    /// Sign-in with a provider.
    pub oidc: Oidc,
    /// API keys and their secrets, which sign tokens.
    pub keys: BTreeMap<String, Secret>,
    pub log: Log,
}

/// Where the server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listen {
    /// Media, STUN and TURN.
    pub udp: Vec<SocketAddr>,
    /// TURN over TCP; HTTP and TLS are recognised there, too.
    pub tcp: Vec<SocketAddr>,
    /// TURN over TLS, HTTPS, WSS; TURN without TLS is taken there, too. Empty by default: it needs a certificate.
    pub tls: Vec<SocketAddr>,
    /// TURN over DTLS on the addresses of `udp` and, over UDP, of `tls`. Without a certificate it is off.
    pub dtls: bool,
    /// As `tcp`, for connections of a load balancer that begins each with a PROXY protocol header (coturn: `tcp-proxy-port`).
    pub proxy: Vec<SocketAddr>,
    /// Plain HTTP and WebSocket, for a reverse proxy and for monitoring. Loopback by default.
    pub http: Vec<SocketAddr>,
    /// The API for operators alone, on loopback only: where `pointsman ctl` asks a server whose `http` others reach, too (coturn:
    /// `cli-ip`, `cli-port`).
    pub ctl: Vec<SocketAddr>,
}

impl Default for Listen {
    fn default() -> Self {
        let any = [SocketAddr::from((Ipv4Addr::UNSPECIFIED, 3478)), SocketAddr::from((Ipv6Addr::UNSPECIFIED, 3478))];
        Self {
            udp: any.to_vec(),
            tcp: any.to_vec(),
            tls: Vec::new(),
            dtls: true,
            proxy: Vec::new(),
            http: vec![SocketAddr::from((Ipv4Addr::LOCALHOST, 8080))],
            ctl: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// PEM file with the certificate chain, the server's own first. Read again on SIGHUP.
    pub certificate: Option<PathBuf>,
    /// PEM file with the private key (PKCS #8, PKCS #1 or SEC 1).
    pub key: Option<PathBuf>,
    /// Opens the key if it is encrypted (coturn: `pkey-pwd`).
    pub key_password: Option<Secret>,
    /// PEM file with certificates of authorities: clients of TURN over TLS and DTLS must show a certificate of theirs, or one of
    /// these themselves (coturn: `CA-file`).
    pub client_authorities: Option<PathBuf>,
    /// Name of this host in the certificate: participants are told to reach TURN over TLS by it. Without it they are not told.
    pub host: Option<String>,
    /// Refuse TLS 1.2 (coturn: `no-tlsv1_2`).
    pub only_tls_1_3: bool,
    /// Cipher suites, as OpenSSL writes them; those that are not known here are passed over (coturn: `cipher-list`).
    pub ciphers: Option<String>,
    /// A client that has not finished its handshake by then is disconnected.
    pub handshake_timeout: Duration,
    /// Handshakes going on at a time, on each listener; further connections wait to be accepted.
    pub handshakes_max: u32,
}

impl Default for Tls {
    fn default() -> Self {
        Self {
            certificate: None,
            key: None,
            key_password: None,
            client_authorities: None,
            host: None,
            only_tls_1_3: false,
            ciphers: None,
            handshake_timeout: Duration::from_secs(10),
            handshakes_max: 256,
        }
    }
}

/// Bounds of the HTTP listeners.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Http {
    /// Open connections on each listener, WebSockets included; further ones wait to be accepted.
    pub connections_max: u32,
    /// A client that has not sent its request's header by then is disconnected (also between two requests).
    pub header_timeout: Duration,
    /// A request that is not answered by then is given up. WebSockets are not bound by it.
    pub request_timeout: Duration,
    /// Serve `/metrics`, `/healthz` and `/readyz` on the `tcp` and `tls` listeners, too.
    pub metrics_everywhere: bool,
    /// Serve `/api/v1` and `/admin` there, too. Both ask for tokens.
    pub api_everywhere: bool,
}

impl Default for Http {
    fn default() -> Self {
        Self {
            connections_max: 4096,
            header_timeout: Duration::from_secs(10),
            request_timeout: Duration::from_secs(30),
            metrics_everywhere: false,
            api_everywhere: false,
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Log {
    pub level: LogFilter,
}

/// A configuration that holds together, with every key as it is in force.
#[derive(Clone, Debug)]
pub struct Loaded {
    pub config: Config,
    pub entries: Vec<Entry>,
}

/// Where a client on this host reaches a listener: a wildcard is no address to connect to.
pub fn reachable(listener: SocketAddr) -> SocketAddr {
    let ip = match listener.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, listener.port())
}

/// The environment variables that may override keys.
pub fn environment() -> HashMap<String, String> {
    std::env::vars().filter(|(name, _)| name.starts_with("POINTSMAN_")).collect()
}

impl Config {
    /// What `serve --dev` starts from: loopback only. Throw-away secrets are made by the caller.
    pub fn dev(with_ipv6: bool) -> Self {
        let mut ips = vec![IpAddr::from(Ipv4Addr::LOCALHOST)];
        let mut loopback = vec![Network::new(Ipv4Addr::new(127, 0, 0, 0).into(), 8)];
        if with_ipv6 {
            ips.push(Ipv6Addr::LOCALHOST.into());
            loopback.push(Network::new(Ipv6Addr::LOCALHOST.into(), 128));
        }
        let on = |port| ips.iter().map(|ip| SocketAddr::new(*ip, port)).collect::<Vec<_>>();
        Self {
            public_ip: PublicIp::List(ips.clone()),
            listen: Listen { udp: on(3478), tcp: on(3478), tls: on(5349), dtls: true, proxy: Vec::new(), http: on(8080), ctl: Vec::new() },
            turn: Turn { allowed_peers: loopback, ..Turn::default() },
            history: store::Config { database: Some(Database::Sqlite(":memory:".into())), ..store::Config::default() },
            ..Self::default()
        }
    }

    /// Reads a file.
    ///
    /// # Errors
    /// Everything that is wrong with it, with lines.
    pub fn load(path: &Path, base: Self, environment: &HashMap<String, String>) -> Result<Loaded, Problems> {
        let file = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| Problems {
            file: file.clone(),
            list: vec![Problem { place: Place::File, what: format!("cannot be read: {error}") }],
        })?;
        let mut loaded = Self::parse(&file, &text, base, environment)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        let Self { tls, webhooks, oidc, .. } = &mut loaded.config;
        let of_tls = [&mut tls.certificate, &mut tls.key, &mut tls.client_authorities];
        let of_others = [&mut webhooks.authorities, &mut oidc.client_secret_file, &mut oidc.authorities];
        for file in of_tls.into_iter().chain(of_others).flatten() {
            // A relative path is meant from where the file stands: the working directory of a service is nowhere in particular.
            *file = folder.join(&*file);
        }
        Ok(loaded)
    }

    /// Reads `text` over `base`, which holds the defaults. `file` is for messages.
    ///
    /// # Errors
    /// Everything that is wrong with it, with lines.
    pub fn parse(file: &str, text: &str, base: Self, environment: &HashMap<String, String>) -> Result<Loaded, Problems> {
        let mut config = base;
        let mut reader = Reader::new(file, text, environment);
        // For --dev, whose base listens with TLS, a certificate is made.
        let certificate_needed = config.listen.tls.is_empty();
        // Of a turnserver.conf with `no-udp`; what is read here has media.
        let udp_needed = !config.listen.udp.is_empty();
        config.walk(&mut reader);
        config.judge(&mut reader, certificate_needed, udp_needed);
        let entries = reader.finish()?;
        Ok(Loaded { config, entries })
    }

    /// Names every key. The structs are taken apart without `..`, so that a field without a key does not compile.
    fn walk(&mut self, reader: &mut Reader<'_>) {
        let Self { public_ip, listen, tls, http, engine, sfu, turn, signal, webhooks, history, oidc, keys, log } = self;
        reader.section("", |top| top.set("public_ip", public_ip));
        reader.section("listen", |section| {
            let Listen { udp, tcp, tls, dtls, proxy, http, ctl } = listen;
            section.set("udp", udp);
            section.set("tcp", tcp);
            section.set("tls", tls);
            section.set("dtls", dtls);
            section.set("proxy", proxy);
            section.set("http", http);
            section.set("ctl", ctl);
        });
        reader.section("tls", |section| {
            let Tls { certificate, key, key_password, client_authorities, host, only_tls_1_3, ciphers, handshake_timeout, handshakes_max } =
                tls;
            section.set("certificate", certificate);
            section.set("key", key);
            section.set("key_password", key_password);
            section.set("client_authorities", client_authorities);
            section.set("host", host);
            section.set("only_tls_1_3", only_tls_1_3);
            section.set("ciphers", ciphers);
            section.duration("handshake_timeout_s", handshake_timeout, 1..=300);
            section.number("handshakes_max", handshakes_max, 1..=65_536);
        });
        reader.section("http", |section| {
            let Http { connections_max, header_timeout, request_timeout, metrics_everywhere, api_everywhere } = http;
            section.number("connections_max", connections_max, 1..=1_000_000);
            section.duration("header_timeout_s", header_timeout, 1..=300);
            section.duration("request_timeout_s", request_timeout, 1..=300);
            section.set("metrics_everywhere", metrics_everywhere);
            section.set("api_everywhere", api_everywhere);
        });
        reader.section("engine", |section| parts::engine(section, engine));
        reader.section("streams", |section| parts::streams(section, &mut engine.streams));
        reader.section("sfu", |section| parts::sfu(section, sfu));
        reader.section("turn", |section| parts::turn(section, turn));
        reader.section("signal", |section| parts::signal(section, signal));
        reader.section("whip", |section| parts::whip(section, &mut signal.whip));
        reader.section("webhooks", |section| parts::webhooks(section, webhooks));
        reader.section("history", |section| parts::history(section, history));
        reader.section("oidc", |section| oidc::walk(section, oidc));
        let mut named = realms::by_name(&turn.server.realms);
        reader.names("realms", &mut named);
        turn.server.realms = realms::list(named);
        reader.names("keys", keys);
        reader.section("log", |section| {
            let Log { level } = log;
            section.set("level", level);
        });
    }

    /// What no single key can tell.
    fn judge(&self, reader: &mut Reader<'_>, certificate_needed: bool, udp_needed: bool) {
        if certificate_needed && !self.listen.tls.is_empty() && !self.has_certificate() {
            reader.problem("listen", "tls", "`tls`: a TLS listener needs `certificate` and `key` in [tls]");
        }
        if udp_needed && self.listen.udp.is_empty() {
            reader.problem("listen", "udp", "`udp`: at least one address is needed, media goes over it");
        }
        if self.listen.ctl.iter().any(|address| !address.ip().is_loopback()) {
            reader.problem("listen", "ctl", "`ctl`: only loopback addresses, what is said there is not encrypted");
        }
        match (&self.tls.certificate, &self.tls.key) {
            (Some(_), None) => reader.problem("tls", "certificate", "[tls] has a `certificate` but no `key`"),
            (None, Some(_)) => reader.problem("tls", "key", "[tls] has a `key` but no `certificate`"),
            (Some(_), Some(_)) | (None, None) => {}
        }
        let turn = &self.turn.server;
        if turn.realm.is_empty() || turn.realm.len() > 127 {
            reader.problem("turn", "realm", "`realm`: must have 1 to 127 bytes");
        }
        // RFC 8489 section 14.14 counts characters.
        if turn.software.len() > 127 {
            reader.problem("turn", "software", "`software`: must not have more than 127 bytes");
        }
        if turn.shared_secrets.iter().any(|secret| secret.0.is_empty()) {
            reader.problem("turn", "shared_secret", "`shared_secret`: must not be empty; leave the key out to have none");
        }
        if let Some(user) = turn.users.iter().find(|(name, password)| name.is_empty() || password.0.is_empty()) {
            reader.problem("turn", "users", format!("`users`: user {:?} has an empty name or password", user.0));
        }
        if self.sfu.resend_quiet_min > self.sfu.resend_quiet_max {
            reader.problem("sfu", "resend_quiet_min_ms", "`resend_quiet_min_ms`: must not be above `resend_quiet_max_ms`");
        }
        if turn.lifetime_s_default > turn.lifetime_s_max {
            reader.problem("turn", "lifetime_s_default", "`lifetime_s_default`: must not be above `lifetime_s_max`");
        }
        if self.turn.database.statistics.as_ref().is_some_and(|database| !matches!(database, Database::Redis(_))) {
            reader.problem("turn", "statistics_redis", "`statistics_redis`: only a Redis is told of allocations");
        }
        for url in &self.webhooks.urls {
            let host = url.strip_prefix("https://").or(url.strip_prefix("http://"));
            if host.is_none_or(|host| host.is_empty() || host.starts_with('/')) {
                reader.problem("webhooks", "urls", "`urls`: each must begin with http:// or https:// and name a host");
            }
        }
        if self.webhooks.urls.len() > webhooks::URLS_MAX {
            reader.problem("webhooks", "urls", format!("`urls`: no more than {}", webhooks::URLS_MAX));
        }
        match &self.webhooks.key {
            Some(key) if !self.keys.contains_key(key) => {
                reader.problem("webhooks", "key", format!("`key`: [keys] has no key {key:?}"));
            }
            None if self.keys.is_empty() && !self.webhooks.urls.is_empty() => {
                reader.problem("webhooks", "urls", "`urls`: there is no key in [keys] to sign with");
            }
            Some(_) | None => {}
        }
        if self.history.database.as_ref().is_some_and(|database| store::Store::kind_of(database).is_none()) {
            reader.problem("history", "database", "`database`: only SQLite and PostgreSQL keep history");
        }
        oidc::judge(self, reader);
        for (name, secret) in &self.keys {
            if secret.expose().len() < KEY_SECRET_LEN_MIN {
                let what = format!("[keys] the secret of `{name}` is shorter than {KEY_SECRET_LEN_MIN} characters");
                reader.problem("keys", name, what);
            }
        }
    }

    /// Whether TLS can be served with what is configured.
    pub fn has_certificate(&self) -> bool {
        self.tls.certificate.is_some() && self.tls.key.is_some()
    }
}

impl Loaded {
    /// The effective configuration as a file that could be read again, secrets hidden.
    pub fn to_toml(&self) -> String {
        let mut out = String::new();
        let mut section = "";
        for entry in &self.entries {
            if entry.section != section {
                section = entry.section;
                out.push_str(&format!("\n[{section}]\n"));
            }
            let key = setting::show_key(&entry.key);
            match &entry.value {
                Some(value) => out.push_str(&format!("{key} = {value}\n")),
                None => out.push_str(&format!("# {key} is not set\n")),
            }
        }
        out
    }
}

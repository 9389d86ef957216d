//! From coturn's settings to ours.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use aws_lc_rs::hmac;
use pointsman_turn::config::{self as turn, DefaultFamily, Secret};
use pointsman_turn::{AddressRange, PeerDefault, PeerRules};

use super::host::Host;
use super::judge::Access;
use super::notice::{Notice, Place, Weight};
use super::search::DEFAULT_DATABASES;
use super::settings::{Collector, DatabaseAddress, Family, LogSettings, Settings};
use crate::config::{Config, Listen, PublicIp, Tls};
use crate::users::{AddressError, Database, sealed};

/// coturn's names of the files when none are given.
const CERT_DEFAULT: &str = "turn_server_cert.pem";
const PKEY_DEFAULT: &str = "turn_server_pkey.pem";
/// What answers say of themselves when they are to.
const SOFTWARE: &str = concat!("Pointsman ", env!("CARGO_PKG_VERSION"));
/// coturn's rate with `unauthorized-ratelimit`.
const UNAUTHORIZED_RPS_DEFAULT: u64 = 10;
/// Allocations of one shard. coturn has no bound.
const ALLOCATIONS_MAX: usize = 65_536;

/// What a configuration comes to.
#[derive(Clone, Debug)]
pub struct Plan {
    pub config: Config,
    pub process: Process,
}

/// What is not the server's but the process's.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    pub log: LogSettings,
    pub daemon: bool,
    pub pidfile: Option<PathBuf>,
    pub user: Option<String>,
    pub group: Option<String>,
    /// A draining server ends when no more allocations are left.
    pub drain_min_allocations: u64,
    pub metrics_path: String,
    /// Metrics tell users apart.
    pub metrics_of_users: bool,
    /// Metrics are served over HTTPS with this certificate.
    pub metrics_tls: Option<Tls>,
    /// Where challenges of certificate authorities are answered.
    pub acme_redirect: Option<String>,
}

impl Collector {
    /// Makes a server's configuration of what was read. What cannot be had is noted.
    pub fn plan(&mut self, host: &Host) -> Plan {
        let mut mapper = Mapper { settings: &self.settings, host, notices: Vec::new() };
        let plan = mapper.plan();
        let notices = mapper.notices;
        self.notices.extend(notices);
        plan
    }
}

struct Mapper<'a> {
    settings: &'a Settings,
    host: &'a Host,
    notices: Vec<Notice>,
}

impl Mapper<'_> {
    fn note(&mut self, weight: Weight, what: impl Into<String>) {
        self.notices.push(Notice { place: Place::Whole, weight, what: what.into() });
    }

    fn plan(&mut self) -> Plan {
        let ips = self.listening_ips();
        let tls = self.tls();
        let listen = self.listen(&ips, tls.certificate.is_some());
        let keys = if listen.ctl.is_empty() { BTreeMap::new() } else { self.settings.cli_password.iter().map(operators_key).collect() };
        let mut config = Config { public_ip: PublicIp::List(ips.clone()), listen, tls, keys, ..Config::default() };
        self.engine(&mut config);
        self.relay(&mut config, &ips);
        self.users(&mut config);
        self.databases(&mut config);
        self.limits(&mut config.turn.server);
        self.stun(&mut config, &ips);
        let process = self.process(&config.tls);
        Plan { config, process }
    }

    fn listening_ips(&mut self) -> Vec<IpAddr> {
        if !self.settings.listening_ips.is_empty() {
            return self.settings.listening_ips.clone();
        }
        if self.host.addresses.is_empty() {
            self.note(Weight::Error, "no interface has an address: name one with listening-ip");
        }
        self.host.addresses.clone()
    }

    /// Certificate and key, where there are any and something needs them.
    fn tls(&mut self) -> Tls {
        let none = Tls::default();
        let s = self.settings;
        if s.no_tls && s.no_dtls {
            return none;
        }
        let named = s.cert.is_some() || s.pkey.is_some();
        let certificate = (self.host.find)(s.cert.as_deref().unwrap_or(CERT_DEFAULT));
        let key = (self.host.find)(s.pkey.as_deref().unwrap_or(PKEY_DEFAULT));
        match (certificate, key) {
            (Some(certificate), Some(key)) => Tls {
                certificate: Some(certificate),
                key: Some(key),
                key_password: s.pkey_password.clone(),
                client_authorities: self.client_authorities(),
                only_tls_1_3: s.no_tlsv1_2,
                ciphers: s.cipher_list.clone(),
                ..none
            },
            (certificate, _) => {
                let missing = if certificate.is_none() { ("cert", &s.cert) } else { ("pkey", &s.pkey) };
                let why = match missing {
                    (option, Some(name)) => format!("{option}: there is no file {name}; neither TLS nor DTLS is served"),
                    (option, None) if named => format!("{option} is missing; neither TLS nor DTLS is served"),
                    (_, None) => "without cert and pkey neither TLS nor DTLS is served".to_owned(),
                };
                self.note(Weight::Warning, why);
                none
            }
        }
    }

    /// Clients without a certificate must not get in because a file is missing.
    fn client_authorities(&mut self) -> Option<PathBuf> {
        let name = self.settings.ca_file.as_deref()?;
        let file = (self.host.find)(name);
        if file.is_none() {
            self.note(Weight::Error, format!("CA-file: there is no file {name}"));
        }
        file
    }

    fn listen(&mut self, ips: &[IpAddr], encrypted: bool) -> Listen {
        let s = self.settings;
        let on = |port: u16| ips.iter().map(move |ip| SocketAddr::new(*ip, port));
        let alternative = |port: u16, base: u16| if port == 0 { base.checked_add(1) } else { Some(port) };
        let (mut udp, mut tcp, mut tls) = (Vec::new(), Vec::new(), Vec::new());
        let second = alternative(s.alt_listening_port, s.listening_port).filter(|_| s.rfc5780);
        let second_tls = alternative(s.alt_tls_listening_port, s.tls_listening_port).filter(|_| s.rfc5780 && encrypted && !s.no_dtls);
        if !s.no_udp {
            udp.extend(on(s.listening_port));
            udp.extend(second.into_iter().flat_map(on));
            udp.extend(&s.aux_servers);
        }
        if encrypted && !s.no_dtls {
            udp.extend(on(s.tls_listening_port));
            udp.extend(second_tls.into_iter().flat_map(on));
        }
        if !s.no_tcp {
            tcp.extend(on(s.listening_port));
            tcp.extend(&s.aux_servers);
        }
        if encrypted && !s.no_tls {
            tls.extend(on(s.tls_listening_port).filter(|address| !tcp.contains(address)));
        }
        let proxy: Vec<SocketAddr> = s.tcp_proxy_port.into_iter().flat_map(on).collect();
        for list in [&mut udp, &mut tcp, &mut tls] {
            let mut seen = Vec::new();
            list.retain(|address| {
                !seen.contains(address) && {
                    seen.push(*address);
                    true
                }
            });
        }
        if udp.is_empty() && tcp.is_empty() && tls.is_empty() && proxy.is_empty() {
            self.note(Weight::Error, "nothing is left to listen on");
        }
        Listen { udp, tcp, tls, dtls: !s.no_dtls, proxy, http: self.metrics(), ctl: self.ctl() }
    }

    /// coturn's telnet interface becomes the API that `pointsman ctl` asks: not without a password, and on loopback only, since neither
    /// is encrypted.
    fn ctl(&mut self) -> Vec<SocketAddr> {
        let s = self.settings;
        let address = SocketAddr::new(s.cli_ip, s.cli_port);
        if !s.cli || s.cli_password.is_none() {
            return Vec::new();
        }
        if !s.cli_ip.is_loopback() {
            self.note(Weight::Warning, format!("cli-ip: {} is no loopback address: nothing is opened for `pointsman ctl`", s.cli_ip));
            return Vec::new();
        }
        self.note(Weight::Note, format!("`pointsman ctl --config FILE turn list` asks at {address}; there is no telnet"));
        vec![address]
    }

    fn metrics(&self) -> Vec<SocketAddr> {
        let s = self.settings;
        let everywhere = || {
            let has_v6 = self.host.addresses.iter().any(IpAddr::is_ipv6);
            [Some(IpAddr::from(Ipv4Addr::UNSPECIFIED)), has_v6.then_some(Ipv6Addr::UNSPECIFIED.into())].into_iter().flatten().collect()
        };
        let ips: Vec<IpAddr> = match s.prometheus_address {
            _ if !s.prometheus => Vec::new(),
            Some(ip) => vec![ip],
            None => everywhere(),
        };
        ips.into_iter().map(|ip| SocketAddr::new(ip, s.prometheus_port)).collect()
    }

    fn engine(&self, config: &mut Config) {
        let s = self.settings;
        if let Some(threads) = s.relay_threads.or(s.cpus) {
            // coturn's 0 is one thread for everything.
            config.engine.shards = usize::try_from(threads.max(1)).unwrap_or(1);
        }
        if let Ok(size @ 1..) = usize::try_from(s.sock_buf_size) {
            config.engine.socket_buffer = size.max(65_536);
        }
        config.engine.listen_device.clone_from(&s.listening_device);
        config.engine.relay_device.clone_from(&s.relay_device);
    }

    fn relay(&mut self, config: &mut Config, ips: &[IpAddr]) {
        let s = self.settings;
        config.turn.relay_ip = self.relay_ips(ips);
        config.public_ip = PublicIp::List(self.public_ips(&config.turn.relay_ip));
        let server = &mut config.turn.server;
        server.relay_ports = s.min_port..=s.max_port;
        server.external = self.external(&config.turn.relay_ip);
        server.default_family = match s.family {
            Family::V4 => DefaultFamily::V4,
            Family::V6 => DefaultFamily::V6,
            Family::Keep => DefaultFamily::Keep,
        };
        (server.udp_relay, server.tcp_relay) = (!s.no_udp_relay, !s.no_tcp_relay);
        // Peers are others than our own media as a rule: a port that another process has is found while it can still be exchanged.
        server.lazy_relays = false;
        (server.mobility, server.server_relay) = (s.mobility, s.server_relay);
        server.alternate_servers.clone_from(&s.udp_alternates);
        server.tcp_alternate_servers = Some(s.tcp_alternates.clone()).filter(|tcp| *tcp != s.udp_alternates);
        server.tls_alternate_servers.clone_from(&s.tls_alternates);
        server.auxiliary.clone_from(&s.aux_servers);
        let range = |range: &RangeInclusive<IpAddr>| AddressRange::new(*range.start(), *range.end());
        // Relays of this server behind NAT reach each other by these.
        let behind_nat = s.externals.iter().filter_map(|external| AddressRange::new(external.private?, external.private?));
        server.peers = PeerRules {
            default: PeerDefault::Coturn,
            loopback: s.allow_loopback_peers,
            multicast: !s.no_multicast_peers,
            allowed: s.allowed_peers.iter().filter_map(range).chain(behind_nat).collect(),
            denied: s.denied_peers.iter().filter_map(range).collect(),
            // Clients must not reach our own back doors through us.
            never: config.listen.http.iter().chain(&config.listen.ctl).copied().collect(),
        };
    }

    /// What clients are told of each relay address: a public one where there is one, else the address itself.
    fn external(&self, relay_ips: &[IpAddr]) -> Vec<turn::External> {
        let s = self.settings;
        let named = s.externals.iter().map(|named| turn::External { public: named.public, private: named.private });
        let own = relay_ips.iter().map(|ip| turn::External { public: *ip, private: Some(*ip) });
        let is_mapped = |ip: &IpAddr| {
            s.externals.iter().any(|named| match named.private {
                Some(private) => private == *ip,
                None => named.public.is_ipv4() == ip.is_ipv4(),
            })
        };
        named.chain(own.filter(|own| !is_mapped(&own.public))).collect()
    }

    /// The address of each family that clients are told for their relays.
    fn public_ips(&self, relay: &[IpAddr]) -> Vec<IpAddr> {
        let told = |ip: &IpAddr| {
            let externals = &self.settings.externals;
            let of_pair = externals.iter().find(|external| external.private == Some(*ip));
            let of_family = || externals.iter().find(|external| external.private.is_none() && external.public.is_ipv4() == ip.is_ipv4());
            of_pair.or_else(of_family).map_or(*ip, |external| external.public)
        };
        relay.iter().map(told).collect()
    }

    /// Those that are named; else those that are listened on, when they are named; else every address but loopback ones.
    fn relay_ips(&self, listening: &[IpAddr]) -> Vec<IpAddr> {
        let s = self.settings;
        if !s.relay_ips.is_empty() {
            return s.relay_ips.clone();
        }
        if !s.listening_ips.is_empty() {
            return listening.to_vec();
        }
        let of_family = |v4: bool| {
            let family: Vec<IpAddr> = listening.iter().copied().filter(|ip| ip.is_ipv4() == v4).collect();
            let outside: Vec<IpAddr> = family.iter().copied().filter(|ip| !ip.is_loopback()).collect();
            if outside.is_empty() { family } else { outside }
        };
        [of_family(true), of_family(false)].concat()
    }

    fn users(&mut self, config: &mut Config) {
        let s = self.settings;
        let access = s.access();
        let realm = self.realm(access);
        let server = &mut config.turn.server;
        server.realm = realm;
        server.anonymous = access == Access::Everybody;
        server.secure_stun = s.secure_stun;
        server.check_origin = s.check_origin;
        server.oauth = s.oauth;
        server.oauth_server_name = s.server_name.clone().unwrap_or_default();
        server.shared_secret_separator = s.separator;
        server.nonce_secret = s.nonce_secret.as_ref().map(|secret| Secret(secret.expose().to_owned()));
        if access == Access::Credentials {
            let secret = |secret: &crate::config::Secret| Secret(secret.expose().to_owned());
            server.shared_secrets = s.secrets.iter().map(secret).collect();
            if !s.use_auth_secret {
                server.users = s.users.iter().map(|login| (login.name.clone(), secret(&login.password))).collect();
            }
        }
    }

    /// Where users come from besides the configuration: what is named, else coturn's default file where it exists.
    fn databases(&mut self, config: &mut Config) {
        let s = self.settings;
        let key_file = s.secret_key_file.as_deref().map(|name| (self.host.find)(name).unwrap_or_else(|| PathBuf::from(name)));
        let mut read = |place: &Place, read: Result<Database, String>| {
            let told = |what| self.notices.push(Notice { place: place.clone(), weight: Weight::Error, what });
            read.map_err(told).ok()
        };
        let wrong = |option: &'static str| move |error: AddressError| format!("{option}: {error}");
        let named = s.database.as_ref().and_then(|(address, place)| match address {
            DatabaseAddress::Sqlite(path) => Some(Database::sqlite(path)),
            DatabaseAddress::Postgres(text) => read(place, Database::postgres(text.expose()).map_err(wrong("psql-userdb"))),
            DatabaseAddress::MySql(text) => {
                let sealed = Database::mysql(text.expose()).map_err(wrong("mysql-userdb"));
                read(place, sealed.and_then(|database| unsealed(database, key_file.as_deref())))
            }
            DatabaseAddress::Redis(text) => read(place, Database::redis(text.expose()).map_err(wrong("redis-userdb"))),
            // Refused already.
            DatabaseAddress::Mongo => None,
        });
        let statistics =
            s.stats_database.as_ref().and_then(|(text, place)| read(place, Database::redis(text.expose()).map_err(wrong("redis-statsdb"))));
        let credentials = s.access() == Access::Credentials;
        let default = || DEFAULT_DATABASES.iter().find_map(|path| (self.host.find)(path)).map(Database::Sqlite);
        let database = &mut config.turn.database;
        database.database = named.or_else(|| if s.database.is_none() && credentials { default() } else { None });
        database.lookups = credentials && !s.use_auth_secret;
        database.secrets = s.use_auth_secret;
        database.realms = !s.no_dynamic_realms;
        database.peers = !s.no_dynamic_ip_list;
        database.statistics = statistics;
    }

    fn realm(&mut self, access: Access) -> String {
        if let Some(realm) = &self.settings.realm {
            return realm.clone();
        }
        let fallback = [&self.host.domain, &self.host.name].into_iter().find(|name| !name.is_empty());
        let realm = fallback.cloned().unwrap_or_else(|| "localhost".to_owned());
        if access == Access::Credentials {
            self.note(Weight::Warning, format!("there is no realm: {realm} is taken, and keys of users must have been made for it"));
        }
        realm
    }

    fn limits(&mut self, server: &mut turn::Config) {
        let s = self.settings;
        let small = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
        server.max_bps = s.max_bps;
        server.bps_capacity = s.bps_capacity;
        server.total_quota = small(s.total_quota);
        server.user_quota = small(s.user_quota);
        server.allocations_max = ALLOCATIONS_MAX;
        server.lifetime_s_max = small(s.max_allocate_lifetime).max(1);
        // Less than the default is not given, so the default must not be more.
        server.lifetime_s_default = server.lifetime_s_default.min(server.lifetime_s_max);
        server.channel_lifetime_s = small(s.channel_lifetime).max(1);
        server.permission_lifetime_s = small(s.permission_lifetime).max(1);
        server.nonce_lifetime_s = small(s.stale_nonce);
        if s.unauthorized_ratelimit {
            let rate = if s.unauthorized_rps == 0 { UNAUTHORIZED_RPS_DEFAULT } else { s.unauthorized_rps };
            server.unauthenticated_answers_per_s_max = small(rate);
            server.unauthenticated_answers_burst_max = small(rate);
        }
    }

    fn stun(&mut self, config: &mut Config, ips: &[IpAddr]) {
        let s = self.settings;
        let server = &mut config.turn.server;
        (server.stun_only, server.no_stun) = (s.stun_only, s.no_stun);
        server.fingerprint = s.fingerprint;
        if s.software {
            server.software = SOFTWARE.to_owned();
        }
        let second = if s.alt_listening_port == 0 { s.listening_port.checked_add(1) } else { Some(s.alt_listening_port) };
        if !s.rfc5780 {
            return;
        }
        for v4 in [true, false] {
            let mut family = ips.iter().copied().filter(|ip| ip.is_ipv4() == v4);
            if let (Some(first), Some(other), Some(port)) = (family.next(), family.next(), second) {
                let discovery = turn::NatDiscovery { addresses: [first, other], ports: [s.listening_port, port] };
                config.turn.server.nat_discovery.push(discovery);
            }
        }
    }

    /// Certificate and key for metrics: their own, else TURN's. What is to be encrypted is not served in the clear because a file is missing.
    fn metrics_tls(&mut self, turn: &Tls) -> Option<Tls> {
        let s = self.settings;
        if !s.prometheus || !s.prometheus_tls {
            return None;
        }
        let own = |name: &Option<String>, other: &Option<PathBuf>| match name {
            Some(name) => (self.host.find)(name).ok_or_else(|| format!("there is no file {name}")),
            None => other.clone().ok_or_else(|| "there is neither prometheus-cert with prometheus-key nor cert with pkey".to_owned()),
        };
        match (own(&s.prometheus_cert, &turn.certificate), own(&s.prometheus_key, &turn.key)) {
            (Ok(certificate), Ok(key)) => {
                let key_password = turn.key_password.clone().or_else(|| s.pkey_password.clone());
                Some(Tls { certificate: Some(certificate), key: Some(key), key_password, ..Tls::default() })
            }
            (Err(why), _) | (_, Err(why)) => {
                self.note(Weight::Error, format!("prometheus-tls: {why}"));
                None
            }
        }
    }

    fn process(&mut self, turn: &Tls) -> Process {
        let metrics_tls = self.metrics_tls(turn);
        let s = self.settings;
        let pidfile = match s.pidfile.as_deref() {
            None => Some(PathBuf::from(super::PIDFILE_DEFAULT)),
            Some("") => None,
            Some(file) => Some(PathBuf::from(file)),
        };
        Process {
            log: s.log.clone(),
            daemon: s.daemon,
            pidfile,
            user: s.proc_user.clone(),
            group: s.proc_group.clone(),
            drain_min_allocations: s.drain_min_allocations,
            metrics_path: s.prometheus_path.clone(),
            metrics_of_users: s.prometheus_username_labels,
            metrics_tls,
            acme_redirect: s.acme_redirect.clone(),
        }
    }
}

/// The API key that the cli's password stands for, as it stands in the file, hashed or not: who can read it there may ask. What is
/// signed with it tells nothing of the password but by guessing, so it does not leave loopback.
fn operators_key(password: &crate::config::Secret) -> (String, crate::config::Secret) {
    let key = hmac::Key::new(hmac::HMAC_SHA256, password.expose().as_bytes());
    let tag = hmac::sign(&key, b"pointsman ctl");
    let hex: String = tag.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    ("cli".to_owned(), crate::config::Secret::new(hex))
}

/// With the password as the key in that file opens it, when there is such a file.
fn unsealed(mut database: Database, key_file: Option<&Path>) -> Result<Database, String> {
    if let (Some(file), Database::MySql(remote)) = (key_file, &mut database)
        && let Some(password) = &remote.password
    {
        let open = |key| sealed::open(&key, password.expose());
        remote.password = Some(sealed::read_key(file).and_then(open).map_err(|error| format!("secret-key-file: {error}"))?);
    }
    Ok(database)
}

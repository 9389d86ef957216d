//! All that a coturn configuration says, in coturn's own terms: defaults, then the file, then the command line.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::ops::RangeInclusive;

use super::notice::{Notice, Place, Weight};
use super::options::{self, Name, Support};
use super::value::{self, Number};
use crate::config::Secret;

/// Above it a slip of the hand is likelier than a wish.
const SECONDS_MAX: u64 = 100 * 366 * 86_400;
const THREADS_MAX: u64 = 128;
const REPEATS_MAX: usize = 10_000;

/// Family of a relay whose client names none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    V4,
    V6,
    /// That of the client's connection.
    Keep,
}

/// A public address, and the private one that it stands for when it says so.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct External {
    pub public: IpAddr,
    pub private: Option<IpAddr>,
}

/// Password of a `user` line, or the key made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    pub name: String,
    pub password: Secret,
}

/// Where users are looked up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DatabaseAddress {
    Sqlite(String),
    Postgres(Secret),
    MySql(Secret),
    Mongo,
    Redis(Secret),
}

/// Where the log goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LogSettings {
    pub file: Option<String>,
    pub no_stdout: bool,
    pub syslog: bool,
    pub facility: Option<String>,
    pub simple: bool,
    pub timestamps: bool,
    pub timestamp_format: Option<String>,
    pub verbose: Verbosity,
    pub level_min: Option<String>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Verbosity {
    #[default]
    Quiet,
    Normal,
    Extra,
}

/// What an option says, in the order of the table.
#[derive(Clone, Debug)]
pub struct Settings {
    pub listening_port: u16,
    pub tls_listening_port: u16,
    /// 0: one above `listening_port`.
    pub alt_listening_port: u16,
    pub alt_tls_listening_port: u16,
    pub listening_ips: Vec<IpAddr>,
    pub aux_servers: Vec<SocketAddr>,
    pub listening_device: Option<String>,
    pub tcp_proxy_port: Option<u16>,
    pub no_udp: bool,
    pub no_tcp: bool,
    pub no_tls: bool,
    pub no_dtls: bool,
    pub cpus: Option<u64>,
    pub relay_threads: Option<u64>,
    pub sock_buf_size: u64,

    pub relay_ips: Vec<IpAddr>,
    pub relay_device: Option<String>,
    pub externals: Vec<External>,
    pub min_port: u16,
    pub max_port: u16,
    pub no_udp_relay: bool,
    pub no_tcp_relay: bool,
    pub family: Family,
    pub server_relay: bool,
    pub mobility: bool,

    pub lt_cred_mech: bool,
    pub no_auth: bool,
    pub users: Vec<Login>,
    pub realm: Option<String>,
    pub use_auth_secret: bool,
    pub secrets: Vec<Secret>,
    pub separator: char,
    /// Seconds; 0: for ever.
    pub stale_nonce: u64,
    pub nonce_secret: Option<Secret>,
    pub unauthorized_ratelimit: bool,
    pub unauthorized_rps: u64,
    pub check_origin: bool,
    pub fingerprint: bool,
    pub oauth: bool,
    pub server_name: Option<String>,
    pub no_dynamic_ip_list: bool,
    pub no_dynamic_realms: bool,

    pub total_quota: u64,
    pub user_quota: u64,
    pub max_bps: u64,
    pub bps_capacity: u64,
    pub max_allocate_lifetime: u64,
    pub channel_lifetime: u64,
    pub permission_lifetime: u64,

    pub cert: Option<String>,
    pub pkey: Option<String>,
    pub pkey_password: Option<Secret>,
    pub cipher_list: Option<String>,
    pub ca_file: Option<String>,
    pub no_tlsv1_2: bool,

    pub database: Option<(DatabaseAddress, Place)>,
    pub stats_database: Option<(Secret, Place)>,
    pub secret_key_file: Option<String>,

    pub denied_peers: Vec<RangeInclusive<IpAddr>>,
    pub allowed_peers: Vec<RangeInclusive<IpAddr>>,
    pub no_multicast_peers: bool,
    pub allow_loopback_peers: bool,

    pub udp_alternates: Vec<SocketAddr>,
    pub tcp_alternates: Vec<SocketAddr>,
    pub tls_alternates: Vec<SocketAddr>,

    pub cli: bool,
    pub cli_ip: IpAddr,
    pub cli_port: u16,
    pub cli_password: Option<Secret>,

    pub prometheus: bool,
    pub prometheus_port: u16,
    pub prometheus_address: Option<IpAddr>,
    pub prometheus_path: String,
    pub prometheus_username_labels: bool,
    pub prometheus_tls: bool,
    pub prometheus_cert: Option<String>,
    pub prometheus_key: Option<String>,
    /// Where challenges of certificate authorities are answered.
    pub acme_redirect: Option<String>,

    pub log: LogSettings,

    pub daemon: bool,
    /// `None`: the usual place. Empty: none.
    pub pidfile: Option<String>,
    pub proc_user: Option<String>,
    pub proc_group: Option<String>,
    pub drain_min_allocations: u64,

    pub rfc5780: bool,
    pub stun_only: bool,
    pub no_stun: bool,
    pub secure_stun: bool,
    pub software: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listening_port: 3478,
            tls_listening_port: 5349,
            alt_listening_port: 0,
            alt_tls_listening_port: 0,
            listening_ips: Vec::new(),
            aux_servers: Vec::new(),
            listening_device: None,
            tcp_proxy_port: None,
            no_udp: false,
            no_tcp: false,
            no_tls: false,
            no_dtls: false,
            cpus: None,
            relay_threads: None,
            sock_buf_size: 0,
            relay_ips: Vec::new(),
            relay_device: None,
            externals: Vec::new(),
            min_port: 49_152,
            max_port: 65_535,
            no_udp_relay: false,
            no_tcp_relay: false,
            family: Family::V4,
            server_relay: false,
            mobility: false,
            lt_cred_mech: false,
            no_auth: false,
            users: Vec::new(),
            realm: None,
            use_auth_secret: false,
            secrets: Vec::new(),
            separator: ':',
            stale_nonce: 600,
            nonce_secret: None,
            unauthorized_ratelimit: false,
            unauthorized_rps: 0,
            check_origin: false,
            fingerprint: false,
            oauth: false,
            server_name: None,
            no_dynamic_ip_list: false,
            no_dynamic_realms: false,
            total_quota: 0,
            user_quota: 0,
            max_bps: 0,
            bps_capacity: 0,
            max_allocate_lifetime: 3600,
            channel_lifetime: 600,
            permission_lifetime: 300,
            cert: None,
            pkey: None,
            pkey_password: None,
            cipher_list: None,
            ca_file: None,
            no_tlsv1_2: false,
            database: None,
            stats_database: None,
            secret_key_file: None,
            denied_peers: Vec::new(),
            allowed_peers: Vec::new(),
            no_multicast_peers: false,
            allow_loopback_peers: false,
            udp_alternates: Vec::new(),
            tcp_alternates: Vec::new(),
            tls_alternates: Vec::new(),
            cli: true,
            cli_ip: Ipv4Addr::LOCALHOST.into(),
            cli_port: 5766,
            cli_password: None,
            prometheus: false,
            prometheus_port: 9641,
            prometheus_address: None,
            prometheus_path: "/metrics".to_owned(),
            prometheus_username_labels: false,
            prometheus_tls: false,
            prometheus_cert: None,
            prometheus_key: None,
            acme_redirect: None,
            log: LogSettings::default(),
            daemon: false,
            pidfile: None,
            proc_user: None,
            proc_group: None,
            drain_min_allocations: 0,
            // As 4.6.1, which is what most hosts run.
            rfc5780: true,
            stun_only: false,
            no_stun: false,
            secure_stun: false,
            software: false,
        }
    }
}

/// Takes options one by one, and notes what there is to say about them.
#[derive(Debug, Default)]
pub struct Collector {
    pub settings: Settings,
    pub notices: Vec<Notice>,
}

/// Where one option stands, and what it says.
struct Said<'a> {
    option: Name,
    value: &'a str,
    place: &'a Place,
    notices: &'a mut Vec<Notice>,
}

impl Said<'_> {
    fn note(&mut self, weight: Weight, what: impl std::fmt::Display) {
        let what = format!("{}: {what}", options::long(self.option));
        self.notices.push(Notice { place: self.place.clone(), weight, what });
    }

    fn truth(&mut self) -> bool {
        value::truth(self.value).unwrap_or_else(|| {
            self.note(Weight::Error, "no truth value: leave it out or say on, off, yes, no, 1, 0, true or false");
            false
        })
    }

    /// A number from 0 to `max`.
    fn number(&mut self, max: u64) -> u64 {
        match value::number(self.value) {
            Number::Whole(number) if number <= max => number,
            Number::Beginning(number) if number <= max => {
                self.note(
                    Weight::Warning,
                    format_args!("{number} is read, what stands behind it is not; there are no comments after a value"),
                );
                number
            }
            Number::Whole(_) | Number::Beginning(_) => {
                self.note(Weight::Warning, format_args!("more than {max} is not possible: {max} is taken"));
                max
            }
            Number::None => {
                self.note(Weight::Warning, "no number: 0 is taken");
                0
            }
        }
    }

    /// The same for an option whose value may be left out.
    fn number_or(&mut self, default: u64, max: u64) -> u64 {
        if self.value.is_empty() { default } else { self.number(max) }
    }

    fn port(&mut self, or: u16) -> u16 {
        match value::number(self.value) {
            Number::Whole(port) | Number::Beginning(port) if port <= u64::from(u16::MAX) => port as u16,
            Number::Whole(_) | Number::Beginning(_) | Number::None => {
                self.note(Weight::Error, "no port: a number from 0 to 65535 is wanted");
                or
            }
        }
    }

    fn text(&self) -> Option<String> {
        Some(self.value.to_owned()).filter(|text| !text.is_empty())
    }

    fn secret(&self) -> Secret {
        Secret::new(self.value)
    }

    fn push<T: PartialEq>(&mut self, list: &mut Vec<T>, item: Option<T>, wanted: &str) {
        match item {
            None => self.note(Weight::Error, format_args!("{} is no {wanted}", super::shown(self.value))),
            Some(_) if list.len() >= REPEATS_MAX => self.note(Weight::Error, format_args!("more than {REPEATS_MAX} times")),
            Some(item) if list.contains(&item) => {}
            Some(item) => list.push(item),
        }
    }

    /// For what coturn has and this server has not.
    fn not_here(&mut self) {
        let Some(row) = options::row(self.option) else { return };
        // A switch that is off asks for nothing.
        if row.argument == options::Argument::Switch && value::truth(self.value) == Some(false) {
            return;
        }
        match row.support {
            Support::Nothing => self.note(Weight::Note, format_args!("has no effect: {}", row.what)),
            Support::Partly => self.note(Weight::Warning, row.what),
            Support::Obsolete => self.note(Weight::PassedOver, format_args!("has no effect any more: {}", row.what)),
            Support::Works | Support::Always => {}
        }
    }
}

impl Collector {
    /// Notes that there is no such option.
    pub fn unknown(&mut self, name: &str, place: &Place) {
        let near = super::nearest(name, options::OPTIONS.iter().flat_map(|row| row.longs).copied());
        let near = near.map(|near| format!("; did you mean `{near}`?")).unwrap_or_default();
        let what = format!("unknown option `{}` is passed over{near}", super::shown(name));
        self.notices.push(Notice { place: place.clone(), weight: Weight::PassedOver, what });
    }

    /// Takes an option of the file or of the command line. Later ones win over earlier ones, lists grow.
    pub fn set(&mut self, option: Name, value: &str, place: &Place) {
        let Self { settings: s, notices } = self;
        let mut said = Said { option, value, place, notices };
        match option {
            Name::ListeningPort => s.listening_port = said.port(s.listening_port),
            Name::TlsListeningPort => s.tls_listening_port = said.port(s.tls_listening_port),
            Name::AltListeningPort => s.alt_listening_port = said.port(0),
            Name::AltTlsListeningPort => s.alt_tls_listening_port = said.port(0),
            Name::ListeningIp => said.push(&mut s.listening_ips, value::ip(value), "IP address (names are not looked up)"),
            Name::AuxServer => said.push(&mut s.aux_servers, value::endpoint(value, None), "address with a port"),
            Name::ListeningDevice => s.listening_device = said.text(),
            Name::TcpProxyPort => s.tcp_proxy_port = Some(said.port(0)).filter(|port| *port != 0),
            Name::NoUdp => s.no_udp = said.truth(),
            Name::NoTcp => s.no_tcp = said.truth(),
            Name::NoTls => s.no_tls = said.truth(),
            Name::NoDtls => s.no_dtls = said.truth(),
            Name::Cpus => s.cpus = Some(said.number(THREADS_MAX)),
            Name::RelayThreads => s.relay_threads = Some(said.number(THREADS_MAX)),
            Name::SockBufSize => s.sock_buf_size = said.number(1 << 30),

            Name::RelayIp => said.push(&mut s.relay_ips, value::ip(value), "IP address (names are not looked up)"),
            Name::RelayDevice => s.relay_device = said.text(),
            Name::ExternalIp => external_ip(s, &mut said),
            Name::MinPort => s.min_port = said.port(s.min_port),
            Name::MaxPort => s.max_port = said.port(s.max_port),
            Name::NoUdpRelay => s.no_udp_relay = said.truth(),
            Name::NoTcpRelay => s.no_tcp_relay = said.truth(),
            Name::AddressFamily => match value.trim_start_matches('=') {
                "ipv4" => s.family = Family::V4,
                "ipv6" => s.family = Family::V6,
                "keep" => s.family = Family::Keep,
                _ => said.note(Weight::Warning, "ipv4, ipv6 or keep is wanted: nothing is changed"),
            },
            Name::KeepAddressFamily if said.truth() => s.family = Family::Keep,
            Name::KeepAddressFamily => {}
            Name::ServerRelay => {
                s.server_relay = said.truth();
                if s.server_relay {
                    said.note(Weight::Warning, "relays take packets from anybody, against RFC 8656: dangerous");
                }
            }
            Name::Mobility => s.mobility = said.truth(),

            Name::LtCredMech => s.lt_cred_mech = said.truth(),
            Name::NoAuth => s.no_auth = said.truth(),
            Name::User => user(s, &mut said),
            Name::Realm => s.realm = said.text(),
            // coturn does not read the value of these two.
            Name::UseAuthSecret => s.use_auth_secret = true,
            Name::NoRfc5780 => s.rfc5780 = false,
            Name::StaticAuthSecret => {
                if value.is_empty() {
                    said.note(Weight::Error, "an empty secret would let everybody relay");
                } else if !s.secrets.contains(&said.secret()) {
                    s.secrets.push(said.secret());
                }
                s.use_auth_secret = true;
            }
            Name::RestApiSeparator => match value.chars().next() {
                Some(separator) => s.separator = separator,
                None => said.note(Weight::Warning, "no character is given: nothing is changed"),
            },
            Name::StaleNonce => s.stale_nonce = said.number_or(600, SECONDS_MAX),
            Name::StatelessNonceSecret => s.nonce_secret = Some(said.secret()).filter(|secret| !secret.expose().is_empty()),
            Name::UnauthorizedRatelimit => s.unauthorized_ratelimit = said.truth(),
            Name::UnauthorizedRatelimitRps => s.unauthorized_rps = said.number(1_000_000),
            Name::CheckOrigin => s.check_origin = said.truth(),
            Name::Fingerprint => s.fingerprint = said.truth(),
            Name::Oauth => s.oauth = said.truth(),
            Name::ServerName => s.server_name = said.text(),
            Name::NoDynamicIpList => s.no_dynamic_ip_list = said.truth(),
            Name::NoDynamicRealms => s.no_dynamic_realms = said.truth(),

            Name::TotalQuota => s.total_quota = said.number(u64::from(u32::MAX)),
            Name::UserQuota => s.user_quota = said.number(u64::from(u32::MAX)),
            Name::MaxBps => s.max_bps = said.number(u64::MAX),
            Name::BpsCapacity => s.bps_capacity = said.number(u64::MAX),
            Name::MaxAllocateLifetime => s.max_allocate_lifetime = said.number_or(3600, SECONDS_MAX),
            Name::ChannelLifetime => s.channel_lifetime = said.number_or(600, SECONDS_MAX),
            Name::PermissionLifetime => s.permission_lifetime = said.number_or(300, SECONDS_MAX),

            Name::Cert => s.cert = said.text(),
            Name::Pkey => s.pkey = said.text(),
            Name::PkeyPwd => s.pkey_password = Some(said.secret()).filter(|password| !password.expose().is_empty()),
            Name::CipherList => s.cipher_list = said.text(),
            Name::CaFile => s.ca_file = said.text(),
            Name::NoTlsv1_2 => s.no_tlsv1_2 = said.truth(),

            Name::UserDb => s.database = Some((DatabaseAddress::Sqlite(value.to_owned()), place.clone())),
            Name::PsqlUserDb => s.database = Some((DatabaseAddress::Postgres(said.secret()), place.clone())),
            Name::MysqlUserDb => s.database = Some((DatabaseAddress::MySql(said.secret()), place.clone())),
            Name::MongoUserDb => s.database = Some((DatabaseAddress::Mongo, place.clone())),
            Name::RedisUserDb => s.database = Some((DatabaseAddress::Redis(said.secret()), place.clone())),
            Name::RedisStatsDb => s.stats_database = Some((said.secret(), place.clone())),
            Name::SecretKeyFile => s.secret_key_file = said.text(),

            // A denied range that is passed over is a hole, so it keeps the server from starting.
            Name::DeniedPeerIp => said.push(&mut s.denied_peers, value::range(value), "address, from-to range or network"),
            Name::AllowedPeerIp => said.push(&mut s.allowed_peers, value::range(value), "address, from-to range or network"),
            Name::NoMulticastPeers => s.no_multicast_peers = said.truth(),
            Name::AllowLoopbackPeers => {
                s.allow_loopback_peers = said.truth();
                if s.allow_loopback_peers {
                    said.note(Weight::Warning, "clients reach what listens on this host's loopback: for tests only");
                }
            }

            Name::AlternateServer => {
                let server = value::endpoint(value, Some(3478));
                said.push(&mut s.udp_alternates, server, "address, with or without a port");
                s.tcp_alternates.extend(server.filter(|server| !s.tcp_alternates.contains(server)));
            }
            Name::UdpAlternateServer => {
                said.push(&mut s.udp_alternates, value::endpoint(value, Some(3478)), "address, with or without a port")
            }
            Name::TcpAlternateServer => {
                said.push(&mut s.tcp_alternates, value::endpoint(value, Some(3478)), "address, with or without a port")
            }
            Name::TlsAlternateServer => {
                said.push(&mut s.tls_alternates, value::endpoint(value, Some(5349)), "address, with or without a port")
            }

            Name::Cli => s.cli = said.truth(),
            Name::NoCli => s.cli = !said.truth(),
            Name::CliIp => match value::ip(value) {
                Some(ip) => s.cli_ip = ip,
                None => said.note(Weight::Error, format_args!("{} is no IP address", super::shown(value))),
            },
            Name::CliPort => s.cli_port = said.port(s.cli_port),
            Name::AcmeRedirect => match said.text() {
                Some(url) if !is_url(&url) => {
                    said.note(Weight::Warning, "an address that begins with http:// or https:// is wanted: nothing is changed")
                }
                url => s.acme_redirect = url,
            },
            Name::CliPassword => s.cli_password = Some(said.secret()).filter(|password| !password.expose().is_empty()),

            // coturn does not read the value of this one.
            Name::Prometheus => s.prometheus = true,
            Name::PrometheusPort => s.prometheus_port = said.port(s.prometheus_port),
            Name::PrometheusAddress => match value::ip(value) {
                Some(ip) => s.prometheus_address = Some(ip),
                None => said.note(Weight::Error, format_args!("{} is no IP address", super::shown(value))),
            },
            Name::PrometheusPath => match value {
                path if path.starts_with('/') && !path.contains(['{', '}', '*']) => s.prometheus_path = path.to_owned(),
                _ => said.note(Weight::Warning, "a path that begins with / is wanted: nothing is changed"),
            },

            Name::PrometheusUsernameLabels => s.prometheus_username_labels = said.truth(),
            Name::PrometheusTls => s.prometheus_tls = said.truth(),
            Name::PrometheusCert => s.prometheus_cert = said.text(),
            Name::PrometheusKey => s.prometheus_key = said.text(),

            Name::LogFile => s.log.file = said.text(),
            Name::NoStdoutLog => s.log.no_stdout = said.truth(),
            Name::Syslog => s.log.syslog = said.truth(),
            Name::SyslogFacility => s.log.facility = said.text(),
            Name::SimpleLog => s.log.simple = said.truth(),
            Name::Verbose => match (said.truth(), s.log.verbose) {
                (_, Verbosity::Extra) => {}
                (true, _) => s.log.verbose = Verbosity::Normal,
                (false, _) => s.log.verbose = Verbosity::Quiet,
            },
            Name::ExtraVerbose if said.truth() => s.log.verbose = Verbosity::Extra,
            Name::ExtraVerbose => {}
            Name::NewLogTimestamp => s.log.timestamps = true,
            Name::NewLogTimestampFormat => {
                s.log.timestamps = true;
                s.log.timestamp_format = said.text();
            }
            Name::LogMinLevel => match value {
                "debug" | "info" | "warning" | "warn" | "error" => s.log.level_min = said.text(),
                _ => said.note(Weight::Warning, "debug, info, warning or error is wanted: nothing is changed"),
            },

            Name::Daemon => s.daemon = said.truth(),
            Name::PidFile => s.pidfile = Some(value.to_owned()),
            Name::ProcUser => s.proc_user = said.text(),
            Name::ProcGroup => s.proc_group = said.text(),
            Name::DrainMinAllocations => s.drain_min_allocations = said.number(u64::from(u32::MAX)),
            Name::ConfigFile | Name::NoConfigFile | Name::Help | Name::Version => {
                if *place != Place::CommandLine {
                    said.note(Weight::PassedOver, "belongs on the command line");
                }
            }

            Name::Rfc5780 => s.rfc5780 = said.truth(),
            Name::StunOnly => s.stun_only = said.truth(),
            Name::NoStun => s.no_stun = said.truth(),
            Name::SecureStun => s.secure_stun = said.truth(),
            Name::NoSoftwareAttribute => s.software = !said.truth(),
            Name::SoftwareAttribute => s.software = said.truth(),

            Name::Dtls
            | Name::UdpSelfBalance
            | Name::NetworkEngine
            | Name::UdpRecvmmsg
            | Name::UdpRecvmmsgLog
            | Name::UdpSendmmsgLog
            | Name::UdpGso
            | Name::MultiplexPeer
            | Name::MultiplexPeerPort
            | Name::MultiplexPeerMaxPeers
            | Name::DropInvalidPackets
            | Name::DropInvalidPacketsLog
            | Name::StatelessNonce
            | Name::NoAuthPings
            | Name::MaxAllocateTimeout
            | Name::DhFile
            | Name::Dh566
            | Name::Dh1066
            | Name::Dh2066
            | Name::EcCurveName
            | Name::NoTlsv1
            | Name::NoTlsv1_1
            | Name::Tlsv1
            | Name::Tlsv1_1
            | Name::RawPublicKeys
            | Name::NoLoopbackPeers
            | Name::CliMaxOutputSessions
            | Name::WebAdmin
            | Name::WebAdminIp
            | Name::WebAdminPort
            | Name::WebAdminListenOnWorkers
            | Name::RespondHttpUnsupported
            | Name::LogBinding
            | Name::NoStunBackwardCompatibility
            | Name::StunBackwardCompatibility
            | Name::Rfc3489Compatibility
            | Name::ResponseOriginOnly
            | Name::IncludeReasonString
            | Name::Rfc5766ChannelNumbers => said.not_here(),
        }
    }
}

/// What may stand in a header as the beginning of an address.
fn is_url(text: &str) -> bool {
    (text.starts_with("http://") || text.starts_with("https://")) && text.bytes().all(|byte| byte.is_ascii_graphic())
}

/// `public` once for each family, `public/private` as often as wanted.
fn external_ip(settings: &mut Settings, said: &mut Said<'_>) {
    let external = match said.value.split_once('/') {
        Some((public, private)) => {
            value::ip(public).zip(value::ip(private)).map(|(public, private)| External { public, private: Some(private) })
        }
        None => value::ip(said.value).map(|public| External { public, private: None }),
    };
    let Some(external) = external else {
        said.note(Weight::Error, format_args!("{} is no IP address, and no pair of them with a / between", super::shown(said.value)));
        return;
    };
    if external.private.is_some_and(|private| private.is_ipv4() != external.public.is_ipv4()) {
        said.note(Weight::Error, "both addresses of a pair must be of one family");
        return;
    }
    let same = |known: &External| known.private == external.private && known.public.is_ipv4() == external.public.is_ipv4();
    match settings.externals.iter().find(|known| same(known)) {
        None => settings.externals.push(external),
        Some(known) if *known == external => {}
        Some(known) => said.note(Weight::Warning, format_args!("{} stays, a second one is passed over", known.public)),
    }
}

fn user(settings: &mut Settings, said: &mut Said<'_>) {
    let Some((name, password)) =
        said.value.split_once(':').filter(|(name, password)| !name.is_empty() && !password.trim_ascii_start().is_empty())
    else {
        said.note(Weight::Warning, "name:password is wanted: this one is passed over");
        return;
    };
    let password = password.trim_ascii_start();
    if let Some(key) = password.strip_prefix("0x") {
        let digits = key.get(..32).is_some_and(|digits| digits.bytes().all(|digit| digit.is_ascii_hexdigit()));
        if !digits {
            said.note(Weight::Warning, "a key has 32 hexadecimal digits behind 0x: this user is passed over");
            return;
        }
    }
    let login = Login { name: name.to_owned(), password: Secret::new(password) };
    match settings.users.iter().position(|known| known.name == login.name) {
        Some(at) => settings.users[at] = login,
        None if settings.users.len() >= REPEATS_MAX => {
            said.note(Weight::Error, format_args!("more than {REPEATS_MAX} users: use a database"))
        }
        None => settings.users.push(login),
    }
}

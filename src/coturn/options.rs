//! coturn's options: one row for each, with what it does here. The command line, the file, `--help`, the migration page and the
//! tests all read this table.

/// Whether an option takes a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Argument {
    /// A truth value that may be left out: `--verbose`, `verbose=0`.
    Switch,
    /// A value that may be left out, given with `=` only: `--stale-nonce=600`.
    Optional,
    /// A value that must be given.
    Required,
}

/// How far an option of coturn is honoured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Support {
    /// Does what it does in coturn.
    Works,
    /// Does part of it; a warning at start says what is missing.
    Partly,
    /// Asks for what is always so here: passed over without a word.
    Always,
    /// Tunes or replaces a part of coturn that does not exist here: passed over with a note.
    Nothing,
    /// Gone from coturn as well, or of no use to anybody: passed over with a warning, an error for `check --strict`.
    Obsolete,
}

/// The part of a server that an option is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Group {
    Listeners,
    Relay,
    Authentication,
    Limits,
    Tls,
    Databases,
    Peers,
    Redirection,
    Administration,
    Monitoring,
    Logging,
    Process,
    Stun,
}

impl Group {
    pub const ALL: [Self; 13] = [
        Self::Listeners,
        Self::Relay,
        Self::Authentication,
        Self::Limits,
        Self::Tls,
        Self::Databases,
        Self::Peers,
        Self::Redirection,
        Self::Administration,
        Self::Monitoring,
        Self::Logging,
        Self::Process,
        Self::Stun,
    ];

    pub const fn title(self) -> &'static str {
        match self {
            Self::Listeners => "Listeners",
            Self::Relay => "Relays",
            Self::Authentication => "Who may relay",
            Self::Limits => "Limits",
            Self::Tls => "TLS and DTLS",
            Self::Databases => "Databases",
            Self::Peers => "Peers",
            Self::Redirection => "Redirection",
            Self::Administration => "Administration",
            Self::Monitoring => "Monitoring",
            Self::Logging => "Logs",
            Self::Process => "Process",
            Self::Stun => "STUN",
        }
    }
}

/// One option.
#[derive(Debug)]
pub struct Row {
    pub option: Name,
    /// Long names; the first is the one that messages use.
    pub longs: &'static [&'static str],
    pub short: Option<char>,
    pub argument: Argument,
    pub group: Group,
    pub support: Support,
    /// What it does here, in a few words.
    pub what: &'static str,
}

impl Row {
    pub fn long(&self) -> &'static str {
        self.longs.first().copied().unwrap_or_default()
    }

    /// Whether the letter needs a value. coturn's letters `K` and `A` do, although `--keep-address-family` does not.
    pub fn short_takes_value(&self) -> bool {
        self.argument == Argument::Required || self.short == Some('K')
    }
}

macro_rules! options {
    ($($name:ident $group:ident $support:ident $argument:ident [$($long:literal),+] $($short:literal)? => $what:literal;)+) => {
        /// Every option of coturn 4.5 to 4.17.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum Name { $($name),+ }

        /// The table, in the order of the groups.
        pub static OPTIONS: &[Row] = &[$(Row {
            option: Name::$name,
            longs: &[$($long),+],
            short: options!(@short $($short)?),
            argument: Argument::$argument,
            group: Group::$group,
            support: Support::$support,
            what: $what,
        }),+];
    };
    (@short) => { None };
    (@short $short:literal) => { Some($short) };
}

options! {
    ListeningPort Listeners Works Required ["listening-port"] 'p' => "UDP and TCP port, 3478; TLS and DTLS are recognised on it, too";
    TlsListeningPort Listeners Works Required ["tls-listening-port"] => "TLS and DTLS port, 5349; plain UDP and TCP are recognised on it, too";
    ListeningIp Listeners Works Required ["listening-ip"] 'L' => "address to listen on, may repeat; without it every address of every interface that is up";
    AltListeningPort Listeners Works Required ["alt-listening-port"] => "second port for RFC 5780; listening-port + 1";
    AltTlsListeningPort Listeners Works Required ["alt-tls-listening-port"] => "second TLS port for RFC 5780; tls-listening-port + 1";
    AuxServer Listeners Works Required ["aux-server"] => "one more address and port to listen on, may repeat";
    ListeningDevice Listeners Works Required ["listening-device"] 'd' => "network device that listeners are bound to";
    TcpProxyPort Listeners Works Required ["tcp-proxy-port"] => "port for a load balancer that speaks the PROXY protocol";
    NoUdp Listeners Works Switch ["no-udp"] => "no UDP listeners";
    NoTcp Listeners Works Switch ["no-tcp"] => "no TCP on listening-port";
    NoTls Listeners Works Switch ["no-tls"] => "no TLS";
    NoDtls Listeners Works Switch ["no-dtls"] => "no DTLS";
    Dtls Listeners Always Switch ["dtls"] => "DTLS is served whenever there is a certificate";
    UdpSelfBalance Listeners Obsolete Switch ["udp-self-balance"] => "the kernel spreads clients over the threads";
    NetworkEngine Listeners Obsolete Required ["ne"] => "there is one network engine";
    Cpus Listeners Works Required ["cpus"] => "threads for packets, unless relay-threads says it";
    RelayThreads Listeners Works Required ["relay-threads"] 'm' => "threads for packets; as many as the process may use CPUs";
    SockBufSize Listeners Works Required ["sock-buf-size"] => "size of the sockets' buffers in bytes";
    UdpRecvmmsg Listeners Always Switch ["udp-recvmmsg"] => "datagrams are received in batches always";
    UdpRecvmmsgLog Listeners Nothing Switch ["udp-recvmmsg-log"] => "see the metrics of batches";
    UdpSendmmsgLog Listeners Nothing Switch ["udp-sendmmsg-log"] => "see the metrics of trains";
    UdpGso Listeners Always Switch ["udp-gso"] => "UDP_SEGMENT is used wherever the kernel has it";
    MultiplexPeer Listeners Nothing Switch ["multiplex-peer"] => "each allocation has a port of its own, as RFC 8656 has it";
    MultiplexPeerPort Listeners Nothing Required ["multiplex-peer-port"] => "each allocation has a port of its own";
    MultiplexPeerMaxPeers Listeners Nothing Required ["multiplex-peer-max-peers"] => "each allocation has a port of its own";
    DropInvalidPackets Listeners Always Switch ["drop-invalid-packets"] => "what is neither STUN nor a bound channel is dropped and counted";
    DropInvalidPacketsLog Listeners Nothing Switch ["drop-invalid-packets-log"] => "drops are counted by reason, never logged";

    RelayIp Relay Works Required ["relay-ip"] 'E' => "local address of relay sockets, may repeat; without it those that are listened on";
    ExternalIp Relay Works Required ["external-ip"] 'X' => "public address, or public/private pairs, for servers behind NAT; one of each family";
    RelayDevice Relay Works Required ["relay-device"] 'i' => "network device that relay sockets are bound to";
    MinPort Relay Works Required ["min-port"] => "lowest relay port, 49152";
    MaxPort Relay Works Required ["max-port"] => "highest relay port, 65535";
    NoUdpRelay Relay Works Switch ["no-udp-relay"] => "no UDP relays (442)";
    NoTcpRelay Relay Works Switch ["no-tcp-relay"] => "no TCP relays (442)";
    AddressFamily Relay Works Required ["allocation-default-address-family"] 'A' => "family of a relay whose client names none: ipv4, ipv6 or keep";
    KeepAddressFamily Relay Works Switch ["keep-address-family"] 'K' => "as allocation-default-address-family=keep";
    ServerRelay Relay Works Switch ["server-relay"] => "relays without permissions: dangerous";
    Mobility Relay Works Switch ["mobility"] => "RFC 8016";

    LtCredMech Authentication Works Switch ["lt-cred-mech"] 'a' => "long-term credentials, from user lines and the database";
    NoAuth Authentication Works Switch ["no-auth"] 'z' => "everyone may relay";
    User Authentication Works Required ["user"] 'u' => "name:password or name:0xKEY, may repeat";
    Realm Authentication Works Required ["realm"] 'r' => "realm of the credentials; the domain name";
    UseAuthSecret Authentication Works Switch ["use-auth-secret"] => "time-limited credentials, from secrets here and in the database";
    StaticAuthSecret Authentication Works Required ["static-auth-secret"] => "secret of time-limited credentials, may repeat";
    RestApiSeparator Authentication Works Required ["rest-api-separator"] 'C' => "between time and name; a colon";
    StaleNonce Authentication Works Optional ["stale-nonce"] => "how long a nonce is good, in seconds; 600";
    StatelessNonce Authentication Always Switch ["stateless-nonce"] => "nonces are stateless always";
    StatelessNonceSecret Authentication Works Required ["stateless-nonce-secret"] => "servers with the same secret take each other's nonces";
    UnauthorizedRatelimit Authentication Works Switch ["unauthorized-ratelimit"] => "answers to strangers are limited always; this sets coturn's rate of 10 a second";
    UnauthorizedRatelimitRps Authentication Works Required ["unauthorized-ratelimit-rps"] => "answers a second for each source address without credentials";
    CheckOrigin Authentication Works Switch ["check-origin-consistency"] => "441 when a client changes its ORIGIN";
    Fingerprint Authentication Works Switch ["fingerprint"] 'f' => "FINGERPRINT in every answer, not only in those to requests that have one";
    Oauth Authentication Works Switch ["oauth"] => "RFC 7635 access tokens, keys from the database";
    ServerName Authentication Works Required ["server-name"] => "name for which access tokens are made; the realm";
    NoAuthPings Authentication Nothing Switch ["no-auth-pings"] => "the database is watched always";
    NoDynamicIpList Authentication Works Switch ["no-dynamic-ip-list"] => "allowed and denied peers of the database are not read";
    NoDynamicRealms Authentication Works Switch ["no-dynamic-realms"] => "realms, origins and their options are not read from the database";

    TotalQuota Limits Works Required ["total-quota"] 'Q' => "allocations of a realm; 0 is none";
    UserQuota Limits Works Required ["user-quota"] 'q' => "allocations of a user; 0 is none";
    MaxBps Limits Works Required ["max-bps"] 's' => "bytes a second of an allocation, in each direction; 0 is none";
    BpsCapacity Limits Works Required ["bps-capacity"] 'B' => "bytes a second granted to all allocations together; needs max-bps";
    MaxAllocateLifetime Limits Works Optional ["max-allocate-lifetime"] => "longest lifetime in seconds; 3600";
    ChannelLifetime Limits Works Optional ["channel-lifetime"] => "in seconds; 600";
    PermissionLifetime Limits Works Optional ["permission-lifetime"] => "in seconds; 300";
    MaxAllocateTimeout Limits Nothing Required ["max-allocate-timeout"] => "a client that has not authenticated has no state here that could time out";

    Cert Tls Works Required ["cert"] => "certificate chain, PEM";
    Pkey Tls Works Required ["pkey"] => "private key, PEM";
    PkeyPwd Tls Works Required ["pkey-pwd"] => "opens an encrypted private key: PKCS #8 with PBES2, or OpenSSL's older form with AES";
    CipherList Tls Partly Required ["cipher-list"] => "names of modern cipher suites count, the others are not offered in any case";
    CaFile Tls Works Required ["CA-file"] => "clients must show a certificate of these authorities";
    DhFile Tls Nothing Required ["dh-file"] => "key exchange is on elliptic curves only";
    Dh566 Tls Obsolete Switch ["dh566"] => "key exchange is on elliptic curves only";
    Dh1066 Tls Obsolete Switch ["dh1066"] => "key exchange is on elliptic curves only";
    Dh2066 Tls Obsolete Switch ["dh2066"] => "key exchange is on elliptic curves only";
    EcCurveName Tls Nothing Required ["ec-curve-name"] => "X25519, P-256 and P-384 are offered";
    NoTlsv1 Tls Always Switch ["no-tlsv1"] => "TLS 1.0 is not spoken";
    NoTlsv1_1 Tls Always Switch ["no-tlsv1_1"] => "TLS 1.1 is not spoken";
    NoTlsv1_2 Tls Works Switch ["no-tlsv1_2"] => "TLS 1.3 only";
    Tlsv1 Tls Obsolete Switch ["tlsv1"] => "TLS 1.0 is not spoken";
    Tlsv1_1 Tls Obsolete Switch ["tlsv1_1"] => "TLS 1.1 is not spoken";
    RawPublicKeys Tls Nothing Switch ["raw-public-keys"] => "RFC 7250 is not spoken";

    UserDb Databases Works Required ["userdb", "db"] 'b' => "SQLite database";
    PsqlUserDb Databases Works Required ["psql-userdb", "sql-userdb"] 'e' => "PostgreSQL database";
    MysqlUserDb Databases Works Required ["mysql-userdb"] 'M' => "MySQL or MariaDB database";
    MongoUserDb Databases Works Required ["mongo-userdb"] 'J' => "MongoDB is refused at start";
    RedisUserDb Databases Works Required ["redis-userdb"] 'N' => "Redis database";
    RedisStatsDb Databases Works Required ["redis-statsdb"] 'O' => "status and traffic of allocations, written to Redis";
    SecretKeyFile Databases Works Required ["secret-key-file"] => "file with the key that opens the password in mysql-userdb, which turnadmin -E sealed";

    DeniedPeerIp Peers Works Required ["denied-peer-ip"] => "address, from-to range or network, may repeat";
    AllowedPeerIp Peers Works Required ["allowed-peer-ip"] => "the same; wins over denied-peer-ip";
    NoMulticastPeers Peers Works Switch ["no-multicast-peers"] => "no peers at 224.0.0.0 and above, or ff00::/8";
    AllowLoopbackPeers Peers Works Switch ["allow-loopback-peers"] => "peers at 127.0.0.0/8 and ::1, for tests";
    NoLoopbackPeers Peers Obsolete Switch ["no-loopback-peers"] => "loopback peers are refused unless allow-loopback-peers";

    AlternateServer Redirection Works Required ["alternate-server"] => "300 with this server for UDP and TCP clients, may repeat";
    TlsAlternateServer Redirection Works Required ["tls-alternate-server"] => "300 with this server for TLS and DTLS clients, may repeat";
    UdpAlternateServer Redirection Works Required ["udp-alternate-server"] => "as alternate-server, for UDP clients only";
    TcpAlternateServer Redirection Works Required ["tcp-alternate-server"] => "as alternate-server, for TCP clients only";

    Cli Administration Works Switch ["cli"] => "with cli-password: `pointsman ctl --config FILE turn` lists and ends allocations";
    NoCli Administration Works Switch ["no-cli"] => "nothing is opened for `pointsman ctl`";
    CliIp Administration Works Required ["cli-ip"] => "loopback address where `pointsman ctl` asks; 127.0.0.1";
    CliPort Administration Works Required ["cli-port"] => "5766";
    CliPassword Administration Works Required ["cli-password"] => "key of `pointsman ctl`; without it nothing is opened";
    CliMaxOutputSessions Administration Nothing Required ["cli-max-output-sessions"] => "`pointsman ctl turn list` shows all";
    WebAdmin Administration Nothing Switch ["web-admin"] => "there are no administration pages: `pointsman ctl turn` and turnadmin do their work";
    WebAdminIp Administration Nothing Required ["web-admin-ip"] => "there are no administration pages";
    WebAdminPort Administration Nothing Required ["web-admin-port"] => "there are no administration pages";
    WebAdminListenOnWorkers Administration Nothing Switch ["web-admin-listen-on-workers"] => "there are no administration pages";
    AcmeRedirect Administration Works Required ["acme-redirect"] => "address to which requests for /.well-known/acme-challenge/ on the TURN ports are sent on";
    RespondHttpUnsupported Administration Always Switch ["respond-http-unsupported"] => "HTTP on the TURN ports is answered always";

    Prometheus Monitoring Works Switch ["prometheus"] => "metrics over HTTP, with coturn's names beside our own";
    PrometheusPort Monitoring Works Optional ["prometheus-port"] => "9641";
    PrometheusAddress Monitoring Works Optional ["prometheus-address"] => "every address";
    PrometheusPath Monitoring Works Optional ["prometheus-path"] => "/metrics";
    PrometheusUsernameLabels Monitoring Works Switch ["prometheus-username-labels"] => "traffic of each user besides that of each realm, of 10,000 at most";
    PrometheusTls Monitoring Works Switch ["prometheus-tls"] => "metrics over HTTPS";
    PrometheusCert Monitoring Works Required ["prometheus-cert"] => "certificate chain for that, PEM; cert";
    PrometheusKey Monitoring Works Required ["prometheus-key"] => "private key for that, PEM; pkey";

    LogFile Logging Works Required ["log-file"] 'l' => "file, or stdout, -, syslog";
    NoStdoutLog Logging Works Switch ["no-stdout-log"] => "nothing on standard output";
    Syslog Logging Works Switch ["syslog"] => "to the system's log instead";
    SyslogFacility Logging Works Required ["syslog-facility"] => "LOG_USER, LOG_DAEMON, LOG_LOCAL0 and so on";
    SimpleLog Logging Works Switch ["simple-log"] => "the file's name as it is, without a date";
    Verbose Logging Works Switch ["verbose"] 'v' => "more in the log";
    ExtraVerbose Logging Works Switch ["Verbose"] 'V' => "everything in the log, for finding faults";
    NewLogTimestamp Logging Works Switch ["new-log-timestamp"] => "date and time on each line, in UTC";
    NewLogTimestampFormat Logging Works Required ["new-log-timestamp-format"] => "their form, as strftime has it";
    LogBinding Logging Nothing Switch ["log-binding"] => "nothing is logged for a packet; Binding requests are counted";
    LogMinLevel Logging Works Required ["log-min-level"] => "debug, info, warning or error";

    Daemon Process Works Switch ["daemon"] 'o' => "detach from the terminal";
    PidFile Process Works Required ["pidfile"] => "file with the process's number; empty for none";
    ProcUser Process Works Required ["proc-user"] => "user to become once the ports are bound";
    ProcGroup Process Works Required ["proc-group"] => "group to become once the ports are bound";
    DrainMinAllocations Process Works Required ["drain-min-allocations"] => "a draining server ends when this many allocations are left; 0";
    ConfigFile Process Works Required ["config"] 'c' => "configuration file; turnserver.conf, looked for in the usual places";
    NoConfigFile Process Works Switch ["no-config"] 'n' => "no configuration file";
    Help Process Works Switch ["help"] 'h' => "this text";
    Version Process Works Switch ["version"] => "the version";

    NoRfc5780 Stun Works Switch ["no-rfc5780"] => "no NAT behaviour discovery";
    Rfc5780 Stun Works Switch ["rfc5780"] => "NAT behaviour discovery, on with two listening-ip of one family";
    StunOnly Stun Works Switch ["stun-only"] 'S' => "Binding requests only";
    NoStun Stun Works Switch ["no-stun"] => "no answers to Binding requests";
    SecureStun Stun Works Switch ["secure-stun"] => "Binding requests need credentials";
    NoStunBackwardCompatibility Stun Always Switch ["no-stun-backward-compatibility"] => "answers are lean always";
    StunBackwardCompatibility Stun Nothing Switch ["stun-backward-compatibility"] => "MAPPED-ADDRESS is sent with RFC 5780 only";
    Rfc3489Compatibility Stun Nothing Switch ["rfc3489-compatibility"] => "requests without the magic cookie are not answered";
    ResponseOriginOnly Stun Always Switch ["response-origin-only-with-rfc5780"] => "RESPONSE-ORIGIN is sent with RFC 5780 only";
    NoSoftwareAttribute Stun Works Switch ["no-software-attribute", "prod"] => "no SOFTWARE attribute, as without it";
    SoftwareAttribute Stun Works Switch ["software-attribute"] => "SOFTWARE attribute in answers";
    IncludeReasonString Stun Nothing Switch ["include-reason-string"] => "errors carry the short phrase";
    Rfc5766ChannelNumbers Stun Always Switch ["rfc5766-channel-numbers"] => "channels up to 0x7FFF are taken";
}

/// The row of an option's long name, exactly.
pub fn by_long(name: &str) -> Option<&'static Row> {
    OPTIONS.iter().find(|row| row.longs.contains(&name))
}

pub fn by_short(letter: char) -> Option<&'static Row> {
    OPTIONS.iter().find(|row| row.short == Some(letter))
}

/// The row that describes an option. Every option has one.
pub fn row(option: Name) -> Option<&'static Row> {
    OPTIONS.iter().find(|row| row.option == option)
}

/// The long name of an option.
pub fn long(option: Name) -> &'static str {
    row(option).map_or("", Row::long)
}

//! The keys of the engine, the SFU, TURN and signalling. Their settings live in those parts; here they get names and bounds.
//! The structs are taken apart without `..`: a field that is forgotten here does not compile.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::time::Duration;

use pointsman_sfu::transport::TransportConfig;
use pointsman_sfu::{BandwidthConfig, BudgetConfig, DataConfig, RedundancyConfig, SpeakersConfig};
use pointsman_turn::PeerRules;
use pointsman_turn::config::External;

use super::reader::Section;
use super::secret::Secret;
use super::values::{Network, Peers, PortRange, RelayFamily, Separator};
use crate::control::webhooks;
use crate::engine::{DtlsConfig, EngineConfig, StreamConfig};
use crate::{store, users};

/// Most of what is counted in tables. Above it a slip of the hand is likelier than a wish.
const TABLE_MAX: usize = 16 << 20;

pub(super) fn engine(section: &mut Section<'_, '_>, engine: &mut EngineConfig) {
    let EngineConfig {
        shards,
        listen: _, // from [listen]
        pin,
        socket_buffer,
        udp_gro,
        udp_gso,
        batch_max,
        gather_us_max,
        together_load_percent_max,
        mesh_ring_max,
        mailbox_max,
        events_max,
        relay_sockets_max,
        relay_socket_buffer,
        listen_device,
        relay_device,
        dtls,
        streams: _, // from [streams]
        sfu: _,     // from [sfu]
        turn: _,    // from [turn]
    } = engine;
    section.number("shards", shards, 0..=256);
    section.set("pin", pin);
    section.number("socket_buffer_bytes", socket_buffer, 65_536..=1 << 30);
    section.set("udp_gro", udp_gro);
    section.set("udp_gso", udp_gso);
    section.number("batch_max", batch_max, 1..=4_096);
    section.number("gather_us_max", gather_us_max, 0..=10_000);
    section.number("together_load_percent_max", together_load_percent_max, 0..=80);
    section.number("mesh_ring_max", mesh_ring_max, 16..=TABLE_MAX);
    section.number("mailbox_max", mailbox_max, 16..=TABLE_MAX);
    section.number("events_max", events_max, 16..=TABLE_MAX);
    section.number("relay_sockets_max", relay_sockets_max, 0..=1_000_000);
    section.number("relay_socket_buffer_bytes", relay_socket_buffer, 65_536..=1 << 30);
    section.set("listen_device", listen_device);
    section.set("relay_device", relay_device);
    let DtlsConfig {
        certificate: _, // from [tls]
        associations_max,
        handshakes_max,
        handshakes_per_address_max,
        handshake_timeout,
        idle_timeout,
        steps_per_turn_max: _, // tuned against the time of a turn, not by operators
        waiting_max: _,
    } = dtls;
    section.number("dtls_associations_max", associations_max, 0..=TABLE_MAX);
    section.number("dtls_handshakes_max", handshakes_max, 1..=65_536);
    section.number("dtls_handshakes_per_address_max", handshakes_per_address_max, 1..=65_535);
    section.duration("dtls_handshake_timeout_s", handshake_timeout, 1..=300);
    section.duration("dtls_idle_timeout_s", idle_timeout, 5..=86_400);
}

pub(super) fn streams(section: &mut Section<'_, '_>, streams: &mut StreamConfig) {
    let StreamConfig {
        connections_max,
        connections_per_address_max,
        shard_connections_max,
        peer_connections_max,
        listeners_max,
        idle_timeout,
        backlog_bytes_max,
        pipe_bytes_max,
        connect_timeout,
    } = streams;
    section.number("connections_max", connections_max, 0..=TABLE_MAX);
    section.number("connections_per_address_max", connections_per_address_max, 1..=TABLE_MAX);
    section.number("shard_connections_max", shard_connections_max, 0..=TABLE_MAX);
    section.number("peer_connections_max", peer_connections_max, 0..=TABLE_MAX);
    section.number("listeners_max", listeners_max, 0..=TABLE_MAX);
    section.duration("idle_timeout_s", idle_timeout, 1..=86_400);
    section.number("backlog_bytes_max", backlog_bytes_max, 16_384..=1 << 30);
    section.number("pipe_bytes_max", pipe_bytes_max, 4_096..=1 << 30);
    section.duration("connect_timeout_s", connect_timeout, 1..=300);
}

pub(super) fn sfu(section: &mut Section<'_, '_>, sfu: &mut pointsman_sfu::Config) {
    let pointsman_sfu::Config {
        participants_max,
        publications_per_participant_max,
        downtracks_per_participant_max,
        publications_max,
        paths_max,
        streams_per_participant_max,
        pool_slots_max,
        cache_video_packets,
        cache_audio_packets,
        cache_age_max,
        handshakes_per_turn_max,
        handshakes_waiting_max,
        gathered_max,
        resent_per_report_max,
        layer_silence_max,
        replay_age_max,
        replay_packets_max,
        layer_unwanted_delay,
        layer_look_interval,
        sender_report_interval,
        keyframe_retry_interval,
        keyframe_interval_min,
        report_look_interval,
        receiver_report_interval,
        resend_quiet_min,
        resend_quiet_max,
        events_max,
        padding_max,
        bandwidth,
        budget,
        redundancy,
        speakers,
        nack: _, // tuned against browsers, not by operators
        twcc: _,
        transport,
    } = sfu;
    section.number("participants_max", participants_max, 1..=TABLE_MAX);
    section.number("publications_per_participant_max", publications_per_participant_max, 1..=1_024);
    section.number("downtracks_per_participant_max", downtracks_per_participant_max, 1..=16_384);
    section.number("publications_max", publications_max, 1..=TABLE_MAX);
    section.number("paths_max", paths_max, 1..=TABLE_MAX);
    section.number("streams_per_participant_max", streams_per_participant_max, 1..=1_024);
    section.number("pool_slots_max", pool_slots_max, 1_024..=TABLE_MAX);
    section.number("cache_video_packets", cache_video_packets, 0..=65_536);
    section.number("cache_audio_packets", cache_audio_packets, 0..=65_536);
    section.duration("cache_age_max_ms", cache_age_max, 0..=60_000);
    section.number("handshakes_per_turn_max", handshakes_per_turn_max, 1..=1_024);
    section.number("handshakes_waiting_max", handshakes_waiting_max, 1..=TABLE_MAX);
    section.number("gathered_max", gathered_max, 1..=65_536);
    section.number("resent_per_report_max", resent_per_report_max, 1..=4_096);
    section.duration("layer_silence_max_ms", layer_silence_max, 50..=60_000);
    section.duration("replay_age_max_ms", replay_age_max, 0..=60_000);
    section.number("replay_packets_max", replay_packets_max, 1..=65_536);
    section.duration("layer_unwanted_delay_ms", layer_unwanted_delay, 0..=600_000);
    section.duration("layer_look_interval_ms", layer_look_interval, 10..=60_000);
    section.duration("sender_report_interval_ms", sender_report_interval, 100..=60_000);
    section.duration("keyframe_retry_interval_ms", keyframe_retry_interval, 50..=60_000);
    section.duration("keyframe_interval_min_ms", keyframe_interval_min, 0..=60_000);
    section.duration("report_look_interval_ms", report_look_interval, 10..=60_000);
    section.duration("receiver_report_interval_ms", receiver_report_interval, 100..=60_000);
    section.duration("resend_quiet_min_ms", resend_quiet_min, 0..=60_000);
    section.duration("resend_quiet_max_ms", resend_quiet_max, 0..=60_000);
    section.number("events_max", events_max, 16..=TABLE_MAX);
    section.number("padding_max", padding_max, 0..=255);
    let BudgetConfig {
        interval: _, // with the two below it: how the way down and up again feels, tuned together
        upgrade_headroom_percent,
        upgrade_hold,
        upgrade_hold_max,
        pause_hold: _,
        upgrade_interval: _,
        viewport_tolerance_percent,
        loss_max_percent,
        loss_hold: _,
        loss_restore,
        audio_only_below_bps,
        audio_only_hold,
        audio_only_restore,
    } = budget;
    section.number("upgrade_headroom_percent", upgrade_headroom_percent, 0..=200);
    section.duration("upgrade_hold_ms", upgrade_hold, 0..=60_000);
    section.duration("upgrade_hold_max_ms", upgrade_hold_max, 0..=600_000);
    section.number("viewport_tolerance_percent", viewport_tolerance_percent, 0..=200);
    section.number("loss_max_percent", loss_max_percent, 0..=100);
    section.duration("loss_restore_ms", loss_restore, 0..=600_000);
    section.number("audio_only_below_bps", audio_only_below_bps, 0..=1 << 40);
    section.duration("audio_only_hold_ms", audio_only_hold, 0..=600_000);
    section.duration("audio_only_restore_ms", audio_only_restore, 0..=600_000);
    let RedundancyConfig { loss_percent, hold: redundancy_hold } = redundancy;
    section.number("audio_redundancy_loss_percent", loss_percent, 0..=100);
    section.duration("audio_redundancy_hold_ms", redundancy_hold, 0..=600_000);
    let SpeakersConfig {
        loudest_max,
        level_min_db,
        hold,
        dominant_after,
        interval: _, // of looks, not of anything that users see
        interval_silent: _,
        rooms_max,
    } = speakers;
    section.number("loudest_max", loudest_max, 0..=5);
    section.number("speech_level_min_db", level_min_db, 1..=127);
    section.duration("speech_hold_ms", hold, 100..=60_000);
    section.duration("dominant_after_ms", dominant_after, 0..=60_000);
    section.number("rooms_max", rooms_max, 1..=TABLE_MAX);
    let BandwidthConfig { estimate_min_bps, estimate_start_bps, estimate_max_bps, probing, sent_packets_max } = bandwidth;
    section.number("estimate_min_bps", estimate_min_bps, 10_000..=1 << 40);
    section.number("estimate_start_bps", estimate_start_bps, 10_000..=1 << 40);
    section.number("estimate_max_bps", estimate_max_bps, 10_000..=1 << 40);
    section.set("probing", probing);
    section.number("sent_packets_max", sent_packets_max, 64..=32_768);
    let TransportConfig { paths_max, consent_timeout, connect_timeout, handshake_timeout, dtls_attempts_max, srtp_sources_max, data } =
        transport;
    section.number("paths_per_participant_max", paths_max, 1..=256);
    section.duration("consent_timeout_s", consent_timeout, 5..=300);
    section.duration("connect_timeout_s", connect_timeout, 5..=600);
    section.duration("handshake_timeout_s", handshake_timeout, 1..=300);
    section.number("dtls_attempts_max", dtls_attempts_max, 1..=100);
    section.number("srtp_sources_max", srtp_sources_max, 1..=4_096);
    data_channels(section, data);
}

fn data_channels(section: &mut Section<'_, '_>, data: &mut DataConfig) {
    let DataConfig {
        message_bytes_max,
        channels_max,
        streams_max,
        receive_bytes_max,
        receive_chunks_max: _, // what honest stacks never reach
        messages_per_s,
        messages_burst,
        bytes_per_s,
        bytes_burst,
        waiting_bytes_max,
        waiting_lossy_bytes_max,
        packets_per_turn_max,
        datagrams_per_turn_max,
        delivered_bytes_per_turn_max,
        deliveries_max,
        events_bytes_max,
        lost_interval,
    } = data;
    section.number("data_message_bytes_max", message_bytes_max, 0..=1 << 20);
    section.number("data_channels_max", channels_max, 1..=1_024);
    section.number("data_streams_max", streams_max, 102..=65_535);
    section.number("data_receive_bytes_max", receive_bytes_max, 16_384..=64 << 20);
    section.number("data_messages_per_s", messages_per_s, 1..=100_000);
    section.number("data_messages_burst", messages_burst, 1..=100_000);
    section.number("data_bytes_per_s", bytes_per_s, 1_024..=1 << 30);
    section.number("data_bytes_burst", bytes_burst, 1_024..=1 << 30);
    section.number("data_waiting_bytes_max", waiting_bytes_max, 16_384..=64 << 20);
    section.number("data_waiting_lossy_bytes_max", waiting_lossy_bytes_max, 1_024..=64 << 20);
    section.number("data_packets_per_turn_max", packets_per_turn_max, 1..=4_096);
    section.number("data_datagrams_per_turn_max", datagrams_per_turn_max, 1..=65_536);
    section.number("data_delivered_bytes_per_turn_max", delivered_bytes_per_turn_max, 1_024..=64 << 20);
    section.number("data_deliveries_max", deliveries_max, 1..=65_536);
    section.number("data_events_bytes_max", events_bytes_max, 1 << 20..=1 << 30);
    section.duration("data_lost_interval_ms", lost_interval, 10..=60_000);
}

/// TURN's settings: the server's own, and what only control needs.
#[derive(Clone, Debug)]
pub struct Turn {
    /// Local addresses of relay sockets, one of each family; empty = those that `udp` listens on.
    pub relay_ip: Vec<IpAddr>,
    /// Peers that are allowed although denied by default (loopback, private, link-local and so on).
    pub allowed_peers: Vec<Network>,
    /// Peers that are denied besides those denied by default.
    pub denied_peers: Vec<Network>,
    /// Validity of the credentials that participants are given.
    pub credential_lifetime: Duration,
    /// Where users, secrets, realms and lists of peers come from besides this configuration.
    pub database: users::Config,
    pub server: pointsman_turn::Config,
}

impl Default for Turn {
    fn default() -> Self {
        // A client shows its credentials again when it renews its relay: they must outlast a call.
        Self {
            relay_ip: Vec::new(),
            allowed_peers: Vec::new(),
            denied_peers: Vec::new(),
            credential_lifetime: Duration::from_secs(24 * 3600),
            database: users::Config::default(),
            server: pointsman_turn::Config::default(),
        }
    }
}

impl Turn {
    pub fn has_credentials(&self) -> bool {
        let server = &self.server;
        let own = !server.users.is_empty() || !server.shared_secrets.is_empty() || !server.realms.is_empty();
        own || server.lookups || server.oauth || server.anonymous || self.database.database.is_some()
    }

    /// What the server needs, with addresses filled in: those of the relays and those that clients are told.
    pub fn server_config(&self, relay: &[IpAddr], public: &[IpAddr], media: Vec<SocketAddr>) -> pointsman_turn::Config {
        // An address that clients are told stands for every relay of its family, unless mapped one by one.
        let told: Vec<IpAddr> = [first_v4(public).map(IpAddr::V4), first_v6(public).map(IpAddr::V6)].into_iter().flatten().collect();
        let external = match self.server.external.is_empty() {
            true => told.iter().map(|public| External { public: *public, private: None }).collect(),
            false => self.server.external.clone(),
        };
        let relay: Vec<IpAddr> = match self.relay_ip.is_empty() {
            // One of each that are listened on; which does not matter.
            true => [first_v4(relay).map(IpAddr::V4), first_v6(relay).map(IpAddr::V6)].into_iter().flatten().collect(),
            false => relay.to_vec(),
        };
        let may_be_told = |ip: &IpAddr| !self.server.external.is_empty() || told.iter().any(|told| told.is_ipv4() == ip.is_ipv4());
        let relay_addresses = relay.into_iter().filter(may_be_told).collect();
        let mut peers = self.server.peers.clone();
        peers.allowed.extend(self.allowed_peers.iter().filter_map(Network::range));
        peers.denied.extend(self.denied_peers.iter().filter_map(Network::range));
        let lookups = self.database.lookups && self.database.database.is_some();
        pointsman_turn::Config { relay_addresses, external, media, peers, lookups, ..self.server.clone() }
    }

    pub fn add_shared_secret(&mut self, secret: &Secret) {
        self.server.shared_secrets.push(for_turn(secret));
    }

    /// The secret that signs new credentials.
    pub fn shared_secret(&self) -> Option<Secret> {
        self.server.shared_secrets.first().map(|secret| Secret::new(secret.0.as_str()))
    }
}

pub(super) fn turn(section: &mut Section<'_, '_>, turn: &mut Turn) {
    let Turn { relay_ip, allowed_peers, denied_peers, credential_lifetime, database, server } = turn;
    let pointsman_turn::Config {
        realm,
        relay_addresses: _, // from `relay_ip` and `udp` in [listen]
        external: _,        // from `public_ip`
        default_family,
        udp_relay,
        tcp_relay,
        lazy_relays,
        connections_max,
        mobility,
        parked_lifetime_s,
        parked_max,
        alternate_servers,
        tcp_alternate_servers,
        tls_alternate_servers,
        auxiliary: _,     // those of a turnserver.conf
        nat_discovery: _, // where two addresses and two ports are listened on
        server_relay,
        notes: _,  // on where somebody wants them
        shards: _, // from `shards` in [engine]
        relay_ports,
        users,
        shared_secrets,
        shared_secret_separator,
        strict_expiry,
        realms: _, // from [realms]
        check_origin,
        anonymous,
        secure_stun,
        stun_only,
        no_stun,
        fingerprint,
        software,
        lookups: _, // on where there is a database
        lookups_max,
        lookup_requests_max,
        lookup_timeout_s,
        known_users_max,
        known_user_age_s,
        unknown_user_age_s,
        oauth,
        oauth_server_name,
        oauth_keys: _, // from a database
        password_algorithms,
        nonce_secret,
        max_bps,
        bps_capacity,
        total_quota,
        user_quota,
        media: _, // from `public_ip` and `udp` in [listen]
        peers,
        lifetime_s_default,
        lifetime_s_max,
        permission_lifetime_s,
        channel_lifetime_s,
        nonce_lifetime_s,
        allocations_max,
        permissions_max,
        channels_max,
        reservations_max,
        port_tries_max,
        unauthenticated_answers_per_s_max,
        unauthenticated_answers_burst_max,
        wrong_credentials_per_s_max,
        wrong_credentials_burst_max,
    } = server;
    section.set("realm", realm);
    section.set("relay_ip", relay_ip);
    let mut range = PortRange { first: *relay_ports.start(), last: *relay_ports.end() };
    section.set("relay_ports", &mut range);
    *relay_ports = range.first..=range.last;
    let mut secrets: Vec<Secret> = shared_secrets.iter().map(|secret| Secret::new(secret.0.as_str())).collect();
    section.set("shared_secret", &mut secrets);
    *shared_secrets = secrets.iter().map(for_turn).collect();
    let mut separator = Separator(*shared_secret_separator);
    section.set("shared_secret_separator", &mut separator);
    *shared_secret_separator = separator.0;
    section.set("strict_expiry", strict_expiry);
    section.set("check_origin", check_origin);
    section.set("anonymous", anonymous);
    section.set("secure_stun", secure_stun);
    section.set("stun_only", stun_only);
    section.set("no_stun", no_stun);
    section.set("fingerprint", fingerprint);
    section.set("software", software);
    section.number("lookups_max", lookups_max, 1..=TABLE_MAX);
    section.number("lookup_requests_max", lookup_requests_max, 1..=1_024);
    section.number("lookup_timeout_s", lookup_timeout_s, 1..=60);
    section.number("known_users_max", known_users_max, 1..=TABLE_MAX);
    section.number("known_user_age_s", known_user_age_s, 1..=86_400);
    section.number("unknown_user_age_s", unknown_user_age_s, 1..=86_400);
    section.set("oauth", oauth);
    section.set("oauth_server_name", oauth_server_name);
    section.set("password_algorithms", password_algorithms);
    let mut fleet = nonce_secret.as_ref().map(|secret| Secret::new(secret.0.as_str())).unwrap_or_default();
    section.set("nonce_secret", &mut fleet);
    *nonce_secret = Some(for_turn(&fleet)).filter(|secret| !secret.0.is_empty());
    section.number("max_bps", max_bps, 0..=1 << 40);
    section.number("bps_capacity", bps_capacity, 0..=1 << 50);
    section.number("total_quota", total_quota, 0..=u32::MAX);
    section.number("user_quota", user_quota, 0..=u32::MAX);
    let mut named: BTreeMap<String, Secret> =
        users.iter().map(|(name, password)| (name.clone(), Secret::new(password.0.as_str()))).collect();
    section.set("users", &mut named);
    *users = named.iter().map(|(name, password)| (name.clone(), for_turn(password))).collect();
    let mut family = RelayFamily(*default_family);
    section.set("default_family", &mut family);
    *default_family = family.0;
    section.set("udp_relay", udp_relay);
    section.set("tcp_relay", tcp_relay);
    section.set("lazy_relays", lazy_relays);
    section.number("connections_max", connections_max, 1..=65_536);
    section.set("mobility", mobility);
    section.number("parked_lifetime_s", parked_lifetime_s, 1..=3_600);
    section.number("parked_max", parked_max, 0..=TABLE_MAX);
    section.set("alternate_servers", alternate_servers);
    section.set("tcp_alternate_servers", tcp_alternate_servers);
    section.set("tls_alternate_servers", tls_alternate_servers);
    section.set("server_relay", server_relay);
    // The lists are our own, which can be shown; what is never a peer comes from what else listens.
    let PeerRules { default, loopback, multicast, allowed: _, denied: _, never: _ } = peers;
    let mut peers_default = Peers(*default);
    section.set("peers", &mut peers_default);
    *default = peers_default.0;
    section.set("loopback_peers", loopback);
    section.set("multicast_peers", multicast);
    section.set("allowed_peers", allowed_peers);
    section.set("denied_peers", denied_peers);
    user_database(section, database);
    section.duration("credential_lifetime_s", credential_lifetime, 60..=30 * 86_400);
    section.number("lifetime_s_default", lifetime_s_default, 60..=86_400);
    section.number("lifetime_s_max", lifetime_s_max, 60..=86_400);
    section.number("permission_lifetime_s", permission_lifetime_s, 10..=86_400);
    section.number("channel_lifetime_s", channel_lifetime_s, 10..=86_400);
    section.number("nonce_lifetime_s", nonce_lifetime_s, 0..=86_400);
    section.number("allocations_max", allocations_max, 0..=TABLE_MAX);
    section.number("permissions_max", permissions_max, 1..=65_536);
    section.number("channels_max", channels_max, 1..=1_024);
    section.number("reservations_max", reservations_max, 0..=TABLE_MAX);
    section.number("port_tries_max", port_tries_max, 1..=255);
    section.number("unauthenticated_answers_per_s_max", unauthenticated_answers_per_s_max, 1..=1_000_000);
    section.number("unauthenticated_answers_burst_max", unauthenticated_answers_burst_max, 1..=1_000_000);
    section.number("wrong_credentials_per_s_max", wrong_credentials_per_s_max, 1..=1_000_000);
    section.number("wrong_credentials_burst_max", wrong_credentials_burst_max, 1..=1_000_000);
}

fn user_database(section: &mut Section<'_, '_>, config: &mut users::Config) {
    let users::Config {
        database,
        lookups,
        secrets,
        realms,
        peers,
        interval,
        rows_max,
        lookups_max,
        waiting_max,
        lookup_timeout,
        statistics,
        statistics_waiting_max,
    } = config;
    section.set("user_database", database);
    section.set("user_database_users", lookups);
    section.set("user_database_secrets", secrets);
    section.set("user_database_realms", realms);
    section.set("user_database_peers", peers);
    section.duration("user_database_interval_s", interval, 1..=3_600);
    section.number("user_database_rows_max", rows_max, 1..=TABLE_MAX);
    section.number("user_database_lookups_max", lookups_max, 1..=1_024);
    section.number("user_database_waiting_max", waiting_max, 1..=TABLE_MAX);
    section.duration("user_database_lookup_timeout_ms", lookup_timeout, 10..=60_000);
    section.set("statistics_redis", statistics);
    section.number("statistics_waiting_max", statistics_waiting_max, 1..=TABLE_MAX);
}

fn first_v4(ips: &[IpAddr]) -> Option<Ipv4Addr> {
    ips.iter().find_map(|ip| match ip {
        IpAddr::V4(ip) => Some(*ip),
        IpAddr::V6(_) => None,
    })
}

fn first_v6(ips: &[IpAddr]) -> Option<Ipv6Addr> {
    ips.iter().find_map(|ip| match ip {
        IpAddr::V6(ip) => Some(*ip),
        IpAddr::V4(_) => None,
    })
}

fn for_turn(secret: &Secret) -> pointsman_turn::config::Secret {
    pointsman_turn::config::Secret(secret.expose().to_owned())
}

pub(super) fn signal(section: &mut Section<'_, '_>, signal: &mut pointsman_signal::Config) {
    let pointsman_signal::Config {
        keys: _,       // from [keys]
        dev_tokens: _, // from --dev
        rooms_max,
        participants_max,
        participants_per_room_max,
        publications_per_participant_max,
        subscriptions_per_participant_max,
        track_name_bytes_max,
        sdp_bytes_max,
        message_bytes_max,
        messages_per_s,
        messages_burst,
        flood_s_max,
        data_bytes_max,
        data_lossy_bytes_max,
        data_topic_bytes_max,
        data_recipients_max,
        data_bytes_per_s,
        data_bytes_burst,
        out_queue_max,
        join_timeout_s,
        ping_interval_s,
        connections_max,
        whip: _, // from [whip]
        room,
        empty_timeout_s,
    } = signal;
    section.number("rooms_max", rooms_max, 1..=TABLE_MAX);
    section.number("participants_max", participants_max, 1..=TABLE_MAX);
    section.number("participants_per_room_max", participants_per_room_max, 1..=TABLE_MAX);
    section.number("publications_per_participant_max", publications_per_participant_max, 1..=1_024);
    section.number("subscriptions_per_participant_max", subscriptions_per_participant_max, 1..=16_384);
    section.number("track_name_bytes_max", track_name_bytes_max, 1..=4_096);
    section.number("sdp_bytes_max", sdp_bytes_max, 16_384..=16 << 20);
    section.number("message_bytes_max", message_bytes_max, 16_384..=16 << 20);
    section.number("messages_per_s", messages_per_s, 1..=100_000);
    section.number("messages_burst", messages_burst, 1..=100_000);
    section.number("flood_s_max", flood_s_max, 1..=3_600);
    section.number("data_bytes_max", data_bytes_max, 0..=1 << 20);
    section.number("data_lossy_bytes_max", data_lossy_bytes_max, 0..=1 << 20);
    section.number("data_topic_bytes_max", data_topic_bytes_max, 0..=1_024);
    section.number("data_recipients_max", data_recipients_max, 1..=1_024);
    section.number("data_bytes_per_s", data_bytes_per_s, 1_024..=1 << 30);
    section.number("data_bytes_burst", data_bytes_burst, 1_024..=1 << 30);
    section.number("out_queue_max", out_queue_max, 16..=65_536);
    section.number("join_timeout_s", join_timeout_s, 1..=300);
    section.number("ping_interval_s", ping_interval_s, 1..=300);
    section.number("connections_max", connections_max, 1..=TABLE_MAX);
    section.number("empty_timeout_s", empty_timeout_s, 0..=604_800);
    signal_room(section, room);
}

/// What people do in a room.
fn signal_room(section: &mut Section<'_, '_>, room: &mut pointsman_signal::RoomConfig) {
    let pointsman_signal::RoomConfig {
        resume_grace_s,
        waiting_room,
        waiting_max,
        bans_max,
        standings_max,
        chat_bytes_max,
        chat_history_max,
        hands_max,
        polls_max,
        poll_text_bytes_max,
        boards_max,
        strokes_max,
        board_coordinates_max,
        breakouts_max,
        ring_timeout_s,
        calls_max,
        calls_per_identity_max,
    } = room;
    section.number("resume_grace_s", resume_grace_s, 0..=600);
    section.set("waiting_room", waiting_room);
    section.number("waiting_max", waiting_max, 1..=TABLE_MAX);
    section.number("bans_max", bans_max, 1..=TABLE_MAX);
    section.number("standings_max", standings_max, 1..=TABLE_MAX);
    section.number("chat_bytes_max", chat_bytes_max, 1..=65_536);
    section.number("chat_history_max", chat_history_max, 1..=TABLE_MAX);
    section.number("hands_max", hands_max, 1..=TABLE_MAX);
    section.number("polls_max", polls_max, 1..=10_000);
    section.number("poll_text_bytes_max", poll_text_bytes_max, 1..=65_536);
    section.number("boards_max", boards_max, 1..=1_024);
    section.number("strokes_max", strokes_max, 1..=TABLE_MAX);
    section.number("board_coordinates_max", board_coordinates_max, 2..=TABLE_MAX);
    section.number("breakouts_max", breakouts_max, 1..=1_024);
    section.number("ring_timeout_s", ring_timeout_s, 1..=600);
    section.number("calls_max", calls_max, 1..=TABLE_MAX);
    section.number("calls_per_identity_max", calls_per_identity_max, 1..=TABLE_MAX);
}

pub(super) fn whip(section: &mut Section<'_, '_>, whip: &mut pointsman_signal::WhipConfig) {
    let pointsman_signal::WhipConfig { live_only, offers_per_s, offers_burst, patches_per_s, patches_burst, fragment_bytes_max } = whip;
    section.set("live_only", live_only);
    section.number("offers_per_s", offers_per_s, 1..=1_000_000);
    section.number("offers_burst", offers_burst, 1..=1_000_000);
    section.number("patches_per_s", patches_per_s, 1..=100_000);
    section.number("patches_burst", patches_burst, 1..=100_000);
    section.number("fragment_bytes_max", fragment_bytes_max, 1_024..=1 << 20);
}

pub(super) fn webhooks(section: &mut Section<'_, '_>, webhooks: &mut webhooks::Config) {
    let webhooks::Config { urls, key, authorities, queue_max, timeout, retry_first, retry } = webhooks;
    section.set("urls", urls);
    section.set("key", key);
    section.set("authorities", authorities);
    section.number("queue_max", queue_max, 1..=1_000_000);
    section.duration("timeout_s", timeout, 1..=300);
    section.duration("retry_first_ms", retry_first, 10..=60_000);
    section.duration("retry_s", retry, 0..=86_400);
}

pub(super) fn history(section: &mut Section<'_, '_>, history: &mut store::Config) {
    let store::Config { database, retention, quality_retention, rows_max, queue_max, chat_restored_max } = history;
    section.set("database", database);
    days(section, "retention_days", retention);
    days(section, "quality_retention_days", quality_retention);
    section.number("rows_max", rows_max, 1_000..=1_000_000_000);
    section.number("queue_max", queue_max, 100..=1_000_000);
    section.number("chat_restored_max", chat_restored_max, 0..=store::PAGE_MAX);
}

fn days(section: &mut Section<'_, '_>, key: &str, slot: &mut Duration) {
    let mut days = slot.as_secs() / 86_400;
    section.number(key, &mut days, 1..=36_500);
    *slot = Duration::from_secs(days * 86_400);
}

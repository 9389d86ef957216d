//! What no single option can tell: combinations that coturn does not start with, and those that are dangerous.

use super::notice::{Notice, Place, Weight};
use super::settings::{Collector, DatabaseAddress, Settings};

/// Who may relay.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Whoever knows a password or a secret.
    Credentials,
    /// Everybody, because `no-auth` says so.
    Everybody,
    /// Nobody: the configuration says nothing. coturn is open to everybody then.
    Nobody,
}

impl Settings {
    pub fn access(&self) -> Access {
        let credentials = self.lt_cred_mech || self.use_auth_secret || self.oauth || !self.users.is_empty();
        match (self.no_auth, credentials) {
            (true, _) => Access::Everybody,
            (false, true) => Access::Credentials,
            (false, false) => Access::Nobody,
        }
    }
}

impl Collector {
    /// Notes what is wrong with the whole, once everything is read.
    pub fn judge(&mut self) {
        let Self { settings, notices } = self;
        let mut note = |weight: Weight, what: &str| notices.push(Notice { place: Place::Whole, weight, what: what.to_owned() });
        refusals(settings, |what| note(Weight::Error, what));
        warnings(settings, |what| note(Weight::Warning, what));
    }
}

/// coturn's own, word for word in meaning.
fn refusals(settings: &Settings, mut refuse: impl FnMut(&str)) {
    if settings.bps_capacity > 0 && settings.max_bps == 0 {
        refuse("bps-capacity needs max-bps: it is shared out in pieces of that size");
    }
    if settings.no_udp_relay && settings.no_tcp_relay {
        refuse("no-udp-relay and no-tcp-relay leave nothing to relay");
    }
    if settings.no_auth && (settings.lt_cred_mech || settings.use_auth_secret) {
        refuse("lt-cred-mech (or a secret) and no-auth cannot both be meant");
    }
    if settings.allow_loopback_peers && settings.cli && settings.cli_password.is_none() {
        refuse("allow-loopback-peers needs no-cli or a cli-password: coturn's telnet interface would be open to clients");
    }
    if settings.min_port == 0 || settings.min_port > settings.max_port {
        refuse("min-port must be at least 1 and not above max-port");
    }
    if settings.no_udp && settings.no_tcp && settings.no_tls && settings.no_dtls {
        refuse("no-udp, no-tcp, no-tls and no-dtls leave nothing to listen on");
    }
    if settings.listening_port == 0 || settings.tls_listening_port == 0 {
        refuse("listening-port and tls-listening-port must be at least 1");
    }
    if let Some((DatabaseAddress::Mongo, place)) = &settings.database {
        refuse(&format!("mongo-userdb ({place}): MongoDB is not supported; move the users to SQLite, PostgreSQL, MySQL or Redis"));
    }
}

fn warnings(settings: &Settings, mut warn: impl FnMut(&str)) {
    match settings.access() {
        Access::Nobody => warn(
            "there are no users, no secret and no lt-cred-mech: nobody may relay. coturn would relay for everybody on the internet here; \
             if that is meant, say no-auth",
        ),
        Access::Everybody => warn("no-auth: everybody who reaches this server relays through it"),
        Access::Credentials => {}
    }
    if settings.no_stun && (settings.stun_only || settings.secure_stun) {
        warn("no-stun: Binding requests are not answered, whatever stun-only and secure-stun say");
    }
    if settings.secret_key_file.is_some() && !matches!(settings.database, Some((DatabaseAddress::MySql(_), _))) {
        warn("secret-key-file opens the password in mysql-userdb, and there is none");
    }
    if settings.no_auth && !settings.users.is_empty() {
        warn("no-auth: the users are not looked at");
    }
    if settings.use_auth_secret && !settings.users.is_empty() {
        warn("use-auth-secret wins over user lines: they are not looked at, as with coturn");
    } else if !settings.users.is_empty() && !settings.lt_cred_mech && !settings.no_auth {
        warn("lt-cred-mech is on because there are users");
    }
    if settings.use_auth_secret && settings.secrets.is_empty() && settings.database.is_none() {
        warn("use-auth-secret without static-auth-secret: the secrets are looked for in the default database");
    }
    if settings.oauth && !settings.use_auth_secret && settings.users.is_empty() && settings.database.is_none() {
        warn("oauth: the keys are looked for in the default database");
    }
}

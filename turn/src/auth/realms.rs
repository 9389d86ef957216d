//! The realms that a server has at the moment: those of its configuration and those of its rules.

use std::collections::HashMap;
use std::sync::Arc;

use super::nonce::Features;
use super::shared_secret::SharedSecrets;
use super::static_users::StaticUsers;
use super::token::TokenKey;
use crate::config::{Config, Secret};
use crate::ledger::Quota;
use crate::realms::{Realm, Rules};

/// One realm, ready to be asked.
pub(super) struct RealmState {
    pub(super) name: Arc<str>,
    pub(super) quota: Quota,
    pub(super) users: StaticUsers,
    pub(super) secrets: SharedSecrets,
    /// What its challenges offer.
    pub(super) features: Features,
}

pub(super) struct Realms {
    /// The default realm comes first.
    list: Vec<RealmState>,
    by_name: HashMap<Box<[u8]>, usize>,
    by_origin: HashMap<Box<[u8]>, usize>,
    pub(super) token_keys: HashMap<Box<[u8]>, TokenKey>,
}

impl Realms {
    pub(super) fn new(config: &Config, rules: &Rules, seed: &[u8; 32]) -> Self {
        let base = Realm {
            name: config.realm.clone(),
            users: config.users.clone(),
            shared_secrets: config.shared_secrets.clone(),
            ..Realm::default()
        };
        let mut realms = Self { list: Vec::new(), by_name: HashMap::new(), by_origin: HashMap::new(), token_keys: HashMap::new() };
        let all: Vec<&Realm> = std::iter::once(&base).chain(&config.realms).chain(&rules.realms).collect();
        for realm in &all {
            let at = match realms.by_name.get(realm.name.as_bytes()) {
                Some(at) => *at,
                None => {
                    let parts: Vec<&Realm> = all.iter().filter(|other| other.name == realm.name).copied().collect();
                    realms.by_name.insert(realm.name.as_bytes().into(), realms.list.len());
                    realms.list.push(RealmState::new(config, &parts, seed));
                    realms.list.len() - 1
                }
            };
            for origin in &realm.origins {
                realms.by_origin.insert(canonical(origin.as_bytes()), at);
            }
        }
        for key in config.oauth_keys.iter().chain(&rules.oauth_keys) {
            if let Some(opener) = TokenKey::new(key) {
                realms.token_keys.insert(key.kid.as_bytes().into(), opener);
            }
        }
        realms
    }

    pub(super) fn default_realm(&self) -> Option<&RealmState> {
        self.list.first()
    }

    pub(super) fn named(&self, name: &[u8]) -> Option<&RealmState> {
        self.list.get(*self.by_name.get(name)?)
    }

    /// The realm that one of these origins selects; the first that does counts.
    pub(super) fn of_origins<'a>(&self, mut origins: impl Iterator<Item = &'a [u8]>) -> Option<&RealmState> {
        if self.by_origin.is_empty() {
            return None;
        }
        origins.find_map(|origin| self.list.get(*self.by_origin.get(&canonical(origin))?))
    }
}

impl RealmState {
    /// From all that is said about one realm; of limits the last word counts.
    fn new(config: &Config, parts: &[&Realm], seed: &[u8; 32]) -> Self {
        let name: Arc<str> = parts.first().map_or("", |realm| &realm.name).into();
        let last = |limit: fn(&Realm) -> Option<u32>| parts.iter().rev().find_map(|realm| limit(realm));
        let users = StaticUsers::new(parts.iter().flat_map(|realm| &realm.users), name.as_bytes(), seed);
        let live: Vec<&Secret> = parts.iter().flat_map(|realm| &realm.shared_secrets).collect();
        let secrets = SharedSecrets::new(live.into_iter(), config.shared_secret_separator);
        // Only what can be served to everyone of the realm is offered: a database holds MD5 keys alone, and a hash of a name with the
        // time in it is the hash of anything.
        let password_algorithms = config.password_algorithms && !config.lookups && users.have_passwords();
        let username_anonymity = password_algorithms && secrets.is_empty() && !users.is_empty() && !config.oauth;
        Self {
            quota: Quota {
                total: last(|realm| realm.total_quota).unwrap_or(config.total_quota),
                user: last(|realm| realm.user_quota).unwrap_or(config.user_quota),
                bps: parts.iter().rev().find_map(|realm| realm.max_bps).unwrap_or(config.max_bps),
                bps_capacity: config.bps_capacity,
            },
            features: Features { password_algorithms, username_anonymity },
            name,
            users,
            secrets,
        }
    }
}

/// An origin as it is compared: `scheme://host:port` in small letters, with the port that the scheme implies (RFC 6454 section 6.2).
/// What is no such thing is compared as it stands.
pub(super) fn canonical(origin: &[u8]) -> Box<[u8]> {
    let text = std::str::from_utf8(origin).ok().and_then(|text| text.split_once("://"));
    let Some((scheme, rest)) = text.filter(|(scheme, _)| !scheme.is_empty()) else { return origin.into() };
    let scheme = scheme.to_ascii_lowercase();
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host).to_ascii_lowercase();
    let port = host.rsplit_once(':').map(|(_, port)| port).filter(|port| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()));
    let implied = match &*scheme {
        "http" => ":80",
        "https" => ":443",
        _ => "",
    };
    let host = if port.is_some() { host } else { format!("{}{implied}", host.trim_end_matches(':')) };
    format!("{scheme}://{host}").into_bytes().into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn origins_are_compared_in_one_spelling() {
        for (origin, canon) in [
            ("http://crinna.org:80", "http://crinna.org:80"),
            ("HTTP://Crinna.ORG", "http://crinna.org:80"),
            ("https://crinna.org/", "https://crinna.org:443"),
            ("https://crinna.org:8443/a?b", "https://crinna.org:8443"),
            ("https://[2001:db8::1]", "https://[2001:db8::1]:443"),
            ("app://x", "app://x"),
            ("http://a:", "http://a:80"),
            ("null", "null"),
            ("://", "://"),
            ("", ""),
        ] {
            assert_eq!(*canonical(origin.as_bytes()), *canon.as_bytes(), "{origin}");
        }
        assert_eq!(*canonical(&[0xFF, 0xFE]), [0xFF, 0xFE]);
    }

    #[test]
    fn rules_add_to_the_configuration() {
        let secret = |text: &str| Secret(text.to_owned());
        let config = Config {
            realm: "a".to_owned(),
            users: vec![("alice".to_owned(), secret("x"))],
            total_quota: 10,
            realms: vec![Realm { name: "b".to_owned(), user_quota: Some(7), origins: vec!["https://b".to_owned()], ..Realm::default() }],
            ..Config::default()
        };
        let rules = Rules {
            realms: vec![
                Realm { name: "a".to_owned(), shared_secrets: vec![secret("s")], total_quota: Some(3), ..Realm::default() },
                Realm { name: "b".to_owned(), user_quota: Some(0), max_bps: Some(9), ..Realm::default() },
            ],
            ..Rules::default()
        };
        let realms = Realms::new(&config, &rules, &[0; 32]);
        let (a, b) = (realms.named(b"a").unwrap(), realms.named(b"b").unwrap());
        assert_eq!(&*realms.default_realm().unwrap().name, "a");
        assert!(!a.users.is_empty() && !a.secrets.is_empty() && b.users.is_empty() && b.secrets.is_empty());
        assert_eq!((a.quota.total, a.quota.user, b.quota.total, b.quota.user, b.quota.bps), (3, 1000, 10, 0, 9));
        let by = |origin: &str| realms.of_origins(std::iter::once(origin.as_bytes())).map(|realm| &*realm.name);
        assert_eq!((by("HTTPS://B:443"), by("https://c")), (Some("b"), None));
        let before = Realms::new(&config, &Rules::default(), &[0; 32]);
        assert_eq!(before.named(b"a").unwrap().quota.total, 10);
    }
}

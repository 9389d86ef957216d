//! Reads the tables of a user database as the rules that shards go by.

use std::collections::{BTreeMap, HashSet};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use pointsman_turn::config::Secret;
use pointsman_turn::{AddressRange, OauthKey, Realm, RealmRange, Rules, TokenAlgorithm};

use crate::users::{Config, Error, OAuthKey, Origin, PeerList, PeerRange, RealmOption, RealmOptionKind, RealmSecret, Store};

/// Entries about which is complained, so that the log does not grow with a broken table.
const COMPLAINTS_MAX: usize = 100;

/// Reads rules; what one table refuses stays as it was.
pub(super) struct Reader {
    store: Store,
    /// The default realm: limits of the empty realm are its own.
    realm: String,
    secrets: bool,
    realms: bool,
    peers: bool,
    rows_max: usize,
    last: Tables,
    /// What was said once.
    complaints: HashSet<String>,
}

#[derive(Default)]
struct Tables {
    secrets: Vec<RealmSecret>,
    origins: Vec<Origin>,
    options: Vec<RealmOption>,
    oauth_keys: Vec<OAuthKey>,
    allowed: Vec<PeerRange>,
    denied: Vec<PeerRange>,
}

impl Reader {
    pub(super) fn new(store: Store, config: &Config, realm: &str) -> Self {
        let Config { secrets, realms, peers, rows_max, .. } = *config;
        Self { store, realm: realm.to_owned(), secrets, realms, peers, rows_max, last: Tables::default(), complaints: HashSet::new() }
    }

    /// Reads everything. With `probe` it connects anew first, which tells why a database that is away is so.
    ///
    /// # Errors
    /// The database is away. A table that refuses is only complained about.
    pub(super) async fn read(&mut self, probe: bool) -> Result<Rules, Error> {
        if probe {
            self.store.probe().await?;
        }
        let store = self.store.clone();
        if self.secrets {
            let read = store.secrets(None).await;
            self.last.secrets = self.table("turn_secret", read)?.unwrap_or_else(|| std::mem::take(&mut self.last.secrets));
        }
        if self.realms {
            let read = store.origins(None).await;
            self.last.origins = self.table("turn_origin_to_realm", read)?.unwrap_or_else(|| std::mem::take(&mut self.last.origins));
            let read = store.realm_options(None).await;
            self.last.options = self.table("turn_realm_option", read)?.unwrap_or_else(|| std::mem::take(&mut self.last.options));
        }
        let read = store.oauth_keys().await;
        self.last.oauth_keys = self.table("oauth_key", read)?.unwrap_or_else(|| std::mem::take(&mut self.last.oauth_keys));
        if self.peers {
            let read = store.peers(PeerList::Allowed).await;
            self.last.allowed = self.table("allowed_peer_ip", read)?.unwrap_or_else(|| std::mem::take(&mut self.last.allowed));
            let read = store.peers(PeerList::Denied).await;
            self.last.denied = self.table("denied_peer_ip", read)?.unwrap_or_else(|| std::mem::take(&mut self.last.denied));
        }
        Ok(self.rules())
    }

    /// A table's rows as far as they are taken; `None`: it refuses, and what was read last counts.
    fn table<T>(&mut self, name: &str, read: Result<Vec<T>, Error>) -> Result<Option<Vec<T>>, Error> {
        match read {
            Ok(mut rows) => {
                if rows.len() > self.rows_max {
                    self.complain(&format!("{name} has more than {} entries: the rest is not taken", self.rows_max));
                    rows.truncate(self.rows_max);
                }
                Ok(Some(rows))
            }
            Err(error) if error.is_away() => Err(error),
            Err(error) => {
                self.complain(&format!("{name}: {error}"));
                Ok(None)
            }
        }
    }

    fn complain(&mut self, what: &str) {
        if self.complaints.len() < COMPLAINTS_MAX && self.complaints.insert(what.to_owned()) {
            tracing::warn!("user database: {what}");
        }
    }

    fn rules(&mut self) -> Rules {
        let last = std::mem::take(&mut self.last);
        let realms = realms(&last, &self.realm);
        let oauth_keys = last.oauth_keys.iter().filter_map(|key| self.oauth_key(key)).collect();
        let allowed_peers = last.allowed.iter().filter_map(|range| self.peers(range)).collect();
        let denied_peers = last.denied.iter().filter_map(|range| self.peers(range)).collect();
        self.last = last;
        Rules { realms, oauth_keys, allowed_peers, denied_peers }
    }

    fn oauth_key(&mut self, key: &OAuthKey) -> Option<OauthKey> {
        let algorithm = match key.algorithm.as_str() {
            "" | "A256GCM" => TokenAlgorithm::A256Gcm,
            "A128GCM" => TokenAlgorithm::A128Gcm,
            other => {
                self.complain(&format!("oauth_key {:?}: unknown algorithm {other:?}", key.kid));
                return None;
            }
        };
        let Ok(ikm) = STANDARD.decode(key.ikm.expose().trim()) else {
            self.complain(&format!("oauth_key {:?}: the key is not base64", key.kid));
            return None;
        };
        Some(OauthKey {
            kid: key.kid.clone(),
            ikm,
            begins: Duration::from_secs(key.timestamp_s),
            lifetime: Duration::from_secs(key.lifetime_s.into()),
            algorithm,
            realm: Some(key.realm.clone()).filter(|realm| !realm.is_empty()),
        })
    }

    fn peers(&mut self, entry: &PeerRange) -> Option<RealmRange> {
        match entry.range.parse::<AddressRange>() {
            Ok(range) => Some(RealmRange { realm: Some(entry.realm.clone()).filter(|realm| !realm.is_empty()), range }),
            Err(error) => {
                self.complain(&format!("peers {:?}: {error}", entry.range));
                None
            }
        }
    }
}

/// Realms are what secrets, origins and limits name.
fn realms(tables: &Tables, default: &str) -> Vec<Realm> {
    let mut realms: BTreeMap<&str, Realm> = BTreeMap::new();
    for RealmSecret { realm, secret } in &tables.secrets {
        named(&mut realms, realm).shared_secrets.push(Secret(secret.expose().to_owned()));
    }
    for Origin { realm, origin } in &tables.origins {
        named(&mut realms, realm).origins.push(origin.clone());
    }
    for RealmOption { realm, kind, value } in &tables.options {
        let realm = named(&mut realms, if realm.is_empty() { default } else { realm });
        let count = u32::try_from(*value).unwrap_or(u32::MAX);
        match kind {
            RealmOptionKind::MaxBps => realm.max_bps = Some(*value),
            RealmOptionKind::TotalQuota => realm.total_quota = Some(count),
            RealmOptionKind::UserQuota => realm.user_quota = Some(count),
        }
    }
    // A secret of the empty realm is nobody's: requests carry a realm.
    realms.remove("");
    realms.into_values().collect()
}

fn named<'m, 'n>(realms: &'m mut BTreeMap<&'n str, Realm>, name: &'n str) -> &'m mut Realm {
    realms.entry(name).or_insert_with(|| Realm { name: name.to_owned(), ..Realm::default() })
}

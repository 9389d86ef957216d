//! The questions in Redis, with coturn's keys.
//!
//! ```text
//! turn/realm/R/user/U/key                     string
//! turn/realm/R/secret                         set
//! turn/realm/R/{allowed,denied}-peer-ip       sets
//! turn/realm/R/{max-bps,total-quota,user-quota}   strings
//! turn/origin/O                               string
//! turn/oauth/kid/K, turn/admin_user/U         hashes
//! ```

use std::collections::{BTreeSet, HashMap};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use ::redis::aio::MultiplexedConnection;
use ::redis::{
    AsyncConnectionConfig, Client, Cmd, ConnectionAddr, FromRedisValue, IntoConnectionInfo, RedisConnectionInfo, RedisError, cmd,
};
use tokio::sync::Mutex;

use super::database::{Database, Remote};
use super::error::Error;
use super::records::{AdminUser, OAuthKey, Origin, PeerList, PeerRange, RealmOption, RealmOptionKind, RealmSecret, User, UserKey};
use crate::config::Secret;

const PORT_DEFAULT: u16 = 6379;
/// Keys looked at in one step of a search, so that the server serves others in between.
const SCAN_STEP: usize = 1000;

#[derive(Clone)]
pub(super) struct Redis {
    address: ConnectionAddr,
    settings: RedisConnectionInfo,
    limits: AsyncConnectionConfig,
    /// One connection carries all questions; it is made when it is first needed, and again when it broke.
    connection: Arc<Mutex<Option<MultiplexedConnection>>>,
}

impl Redis {
    pub(super) fn new(remote: &Remote) -> Self {
        let host = remote.host.as_deref().unwrap_or("127.0.0.1");
        let address = if host.starts_with('/') {
            ConnectionAddr::Unix(PathBuf::from(host))
        } else {
            ConnectionAddr::Tcp(host.to_owned(), remote.port.unwrap_or(PORT_DEFAULT))
        };
        let database = remote.dbname.as_ref().and_then(|name| name.parse().ok()).unwrap_or(0);
        let mut settings = RedisConnectionInfo::default().set_db(database).set_skip_set_lib_name();
        if let Some(password) = &remote.password {
            settings = settings.set_password(password.expose());
            if let Some(user) = &remote.user {
                settings = settings.set_username(user);
            }
        }
        let limits = limits(remote.connect_max(), remote.read_max());
        Self { address, settings, limits, connection: Arc::default() }
    }

    pub(super) async fn probe(&self) -> Result<(), Error> {
        let mut connection = self.connect().await?;
        Ok(cmd("PING").exec_async(&mut connection).await?)
    }

    async fn connect(&self) -> Result<MultiplexedConnection, RedisError> {
        let open = async |settings: RedisConnectionInfo| {
            let info = self.address.clone().into_connection_info()?.set_redis_settings(settings);
            Client::open(info)?.get_multiplexed_async_connection_with_config(&self.limits).await
        };
        match open(self.settings.clone()).await {
            // A password that the server does not ask for: coturn's client goes on, too.
            Err(error) if error.to_string().contains("without any password configured") => {
                let settings = RedisConnectionInfo::default().set_db(self.settings.db()).set_skip_set_lib_name();
                open(settings).await
            }
            connected => connected,
        }
    }

    async fn connected(&self) -> Result<MultiplexedConnection, Error> {
        let mut kept = self.connection.lock().await;
        Ok(match &*kept {
            Some(connection) => connection.clone(),
            None => kept.insert(self.connect().await?).clone(),
        })
    }

    async fn disconnect(&self) {
        *self.connection.lock().await = None;
    }

    /// Asks once; a connection that broke is not used again.
    async fn ask<T: FromRedisValue>(&self, question: &Cmd) -> Result<T, Error> {
        let mut connection = self.connected().await?;
        match question.query_async(&mut connection).await {
            Ok(answer) => Ok(answer),
            Err(error) => {
                let error = Error::from(error);
                if error.is_away() {
                    self.disconnect().await;
                }
                Err(error)
            }
        }
    }

    /// Changes something, and has it written to disk as coturn's tools do. A server that keeps nothing on disk refuses that part.
    async fn change(&self, question: &Cmd) -> Result<(), Error> {
        self.ask::<()>(question).await?;
        let _ = self.ask::<()>(&cmd("SAVE")).await;
        Ok(())
    }

    /// Keys that begin and end so, with what is between.
    async fn keys(&self, before: &str, after: &str) -> Result<Vec<(String, String)>, Error> {
        let pattern = format!("{}*{}", literal(before), literal(after));
        let mut found = BTreeSet::new();
        let mut cursor = 0_u64;
        loop {
            let step = cmd("SCAN").arg(cursor).arg("MATCH").arg(&pattern).arg("COUNT").arg(SCAN_STEP).to_owned();
            let (next, keys): (u64, Vec<Vec<u8>>) = self.ask(&step).await?;
            found.extend(keys.into_iter().filter_map(|key| String::from_utf8(key).ok()));
            if next == 0 {
                break;
            }
            cursor = next;
        }
        let between = |key: String| {
            let inner = key.strip_prefix(before)?.strip_suffix(after)?.to_owned();
            Some((key, inner))
        };
        Ok(found.into_iter().filter_map(between).collect())
    }

    /// Sets of all realms, or of one: realm and member.
    async fn members(&self, realm: Option<&str>, name: &str) -> Result<Vec<(String, String)>, Error> {
        let keys = match realm {
            Some(realm) => vec![(format!("turn/realm/{realm}/{name}"), realm.to_owned())],
            None => self.keys("turn/realm/", &format!("/{name}")).await?,
        };
        let mut members = Vec::new();
        for (key, realm) in keys {
            let set: BTreeSet<String> = self.ask(cmd("SMEMBERS").arg(key)).await?;
            members.extend(set.into_iter().map(|member| (realm.clone(), member)));
        }
        Ok(members)
    }

    async fn hash(&self, key: &str) -> Result<HashMap<String, String>, Error> {
        self.ask(cmd("HGETALL").arg(key)).await
    }

    pub(super) async fn user_key(&self, realm: &str, name: &str) -> Result<Option<UserKey>, Error> {
        let found: Option<String> = self.ask(cmd("GET").arg(user(realm, name))).await?;
        found.map(|key| key.parse().map_err(|_| Error::Refused("a user's key is not 32 hexadecimal digits".to_owned()))).transpose()
    }

    pub(super) async fn set_user(&self, realm: &str, name: &str, key: UserKey) -> Result<(), Error> {
        self.change(cmd("SET").arg(user(realm, name)).arg(key.to_hex())).await
    }

    pub(super) async fn delete_user(&self, realm: &str, name: &str) -> Result<(), Error> {
        self.change(cmd("DEL").arg(user(realm, name))).await
    }

    pub(super) async fn users(&self, realm: Option<&str>) -> Result<Vec<User>, Error> {
        let mut users: Vec<User> = match realm {
            Some(realm) => {
                let names = self.keys(&format!("turn/realm/{realm}/user/"), "/key").await?;
                names.into_iter().map(|(_, name)| User { realm: realm.to_owned(), name }).collect()
            }
            None => {
                let user = |inner: String| {
                    let (realm, name) = inner.split_once("/user/")?;
                    Some(User { realm: realm.to_owned(), name: name.to_owned() })
                };
                self.keys("turn/realm/", "/key").await?.into_iter().filter_map(|(_, inner)| user(inner)).collect()
            }
        };
        users.sort();
        Ok(users)
    }

    pub(super) async fn add_secret(&self, realm: &str, secret: &Secret) -> Result<(), Error> {
        self.change(cmd("SADD").arg(secret_set(realm)).arg(secret.expose())).await
    }

    pub(super) async fn delete_secret(&self, realm: &str, secret: Option<&Secret>) -> Result<(), Error> {
        match secret {
            Some(secret) => self.change(cmd("SREM").arg(secret_set(realm)).arg(secret.expose())).await,
            None => self.change(cmd("DEL").arg(secret_set(realm))).await,
        }
    }

    pub(super) async fn secrets(&self, realm: Option<&str>) -> Result<Vec<RealmSecret>, Error> {
        let members = self.members(realm, "secret").await?;
        Ok(members.into_iter().map(|(realm, secret)| RealmSecret { realm, secret: Secret::new(secret) }).collect())
    }

    pub(super) async fn add_origin(&self, origin: &str, realm: &str) -> Result<(), Error> {
        self.change(cmd("SET").arg(format!("turn/origin/{origin}")).arg(realm)).await
    }

    pub(super) async fn delete_origin(&self, origin: &str) -> Result<(), Error> {
        self.change(cmd("DEL").arg(format!("turn/origin/{origin}"))).await
    }

    pub(super) async fn origins(&self, realm: Option<&str>) -> Result<Vec<Origin>, Error> {
        let mut origins = Vec::new();
        for (key, origin) in self.keys("turn/origin/", "").await? {
            let found: Option<String> = self.ask(cmd("GET").arg(key)).await?;
            origins.extend(found.map(|realm| Origin { realm, origin }));
        }
        origins.retain(|origin| realm.is_none_or(|realm| realm == origin.realm));
        origins.sort();
        Ok(origins)
    }

    pub(super) async fn set_realm_option(&self, realm: &str, option: RealmOptionKind, value: u64) -> Result<(), Error> {
        let key = format!("turn/realm/{realm}/{}", option.name());
        match value {
            0 => self.change(cmd("DEL").arg(key)).await,
            value => self.change(cmd("SET").arg(key).arg(value)).await,
        }
    }

    pub(super) async fn realm_options(&self, realm: Option<&str>) -> Result<Vec<RealmOption>, Error> {
        let mut options = Vec::new();
        for kind in RealmOptionKind::ALL {
            let keys = match realm {
                Some(realm) => vec![(format!("turn/realm/{realm}/{}", kind.name()), realm.to_owned())],
                None => self.keys("turn/realm/", &format!("/{}", kind.name())).await?,
            };
            for (key, realm) in keys {
                let value: Option<String> = self.ask(cmd("GET").arg(key)).await?;
                options.extend(value.and_then(|value| value.parse().ok()).map(|value| RealmOption { realm, kind, value }));
            }
        }
        options.sort();
        Ok(options)
    }

    pub(super) async fn set_oauth_key(&self, key: &OAuthKey) -> Result<(), Error> {
        let OAuthKey { kid, ikm, timestamp_s, lifetime_s, algorithm, realm } = key;
        let mut set = cmd("HSET");
        set.arg(format!("turn/oauth/kid/{kid}")).arg("ikm_key").arg(ikm.expose()).arg("as_rs_alg").arg(algorithm);
        set.arg("timestamp").arg(timestamp_s).arg("lifetime").arg(lifetime_s).arg("realm").arg(realm);
        self.change(&set).await
    }

    pub(super) async fn delete_oauth_key(&self, kid: &str) -> Result<(), Error> {
        self.change(cmd("DEL").arg(format!("turn/oauth/kid/{kid}"))).await
    }

    pub(super) async fn oauth_key(&self, kid: &str) -> Result<Option<OAuthKey>, Error> {
        let mut hash = self.hash(&format!("turn/oauth/kid/{kid}")).await?;
        let mut field = |name: &str| hash.remove(name);
        Ok(field("ikm_key").map(|ikm| OAuthKey {
            kid: kid.to_owned(),
            ikm: Secret::new(ikm),
            timestamp_s: field("timestamp").and_then(|value| value.parse().ok()).unwrap_or(0),
            lifetime_s: field("lifetime").and_then(|value| value.parse().ok()).unwrap_or(0),
            algorithm: field("as_rs_alg").unwrap_or_default(),
            realm: field("realm").unwrap_or_default(),
        }))
    }

    pub(super) async fn oauth_keys(&self) -> Result<Vec<OAuthKey>, Error> {
        let mut keys = Vec::new();
        for (_, kid) in self.keys("turn/oauth/kid/", "").await? {
            keys.extend(self.oauth_key(&kid).await?);
        }
        Ok(keys)
    }

    pub(super) async fn add_peers(&self, list: PeerList, realm: &str, range: &str) -> Result<(), Error> {
        self.change(cmd("SADD").arg(format!("turn/realm/{realm}/{}", list.set())).arg(range)).await
    }

    pub(super) async fn delete_peers(&self, list: PeerList, realm: &str, range: &str) -> Result<(), Error> {
        self.change(cmd("SREM").arg(format!("turn/realm/{realm}/{}", list.set())).arg(range)).await
    }

    pub(super) async fn peers(&self, list: PeerList) -> Result<Vec<PeerRange>, Error> {
        let members = self.members(None, list.set()).await?;
        let mut ranges: Vec<_> = members.into_iter().map(|(realm, range)| PeerRange { realm, range }).collect();
        ranges.sort();
        Ok(ranges)
    }

    pub(super) async fn set_admin_user(&self, user: &AdminUser) -> Result<(), Error> {
        let AdminUser { name, realm, password } = user;
        let mut set = cmd("HSET");
        set.arg(format!("turn/admin_user/{name}")).arg("password").arg(password.expose());
        // Without the field the user is one of all realms; an old one must not stay.
        if realm.is_empty() {
            self.change(cmd("DEL").arg(format!("turn/admin_user/{name}"))).await?;
        } else {
            set.arg("realm").arg(realm);
        }
        self.change(&set).await
    }

    pub(super) async fn delete_admin_user(&self, name: &str) -> Result<(), Error> {
        self.change(cmd("DEL").arg(format!("turn/admin_user/{name}"))).await
    }

    pub(super) async fn admin_user(&self, name: &str) -> Result<Option<AdminUser>, Error> {
        let mut hash = self.hash(&format!("turn/admin_user/{name}")).await?;
        let realm = hash.remove("realm").unwrap_or_default();
        Ok(hash.remove("password").map(|password| AdminUser { name: name.to_owned(), realm, password: Secret::new(password) }))
    }

    pub(super) async fn admin_users(&self) -> Result<Vec<AdminUser>, Error> {
        let mut users = Vec::new();
        for (_, name) in self.keys("turn/admin_user/", "").await? {
            users.extend(self.admin_user(&name).await?);
        }
        users.sort_by(|a, b| (&a.realm, &a.name).cmp(&(&b.realm, &b.name)));
        Ok(users)
    }
}

impl PeerList {
    const fn set(self) -> &'static str {
        match self {
            Self::Allowed => "allowed-peer-ip",
            Self::Denied => "denied-peer-ip",
        }
    }
}

fn limits(connect_max: Duration, read_max: Duration) -> AsyncConnectionConfig {
    AsyncConnectionConfig::new().set_connection_timeout(Some(connect_max)).set_response_timeout(Some(read_max))
}

fn user(realm: &str, name: &str) -> String {
    format!("turn/realm/{realm}/user/{name}/key")
}

fn secret_set(realm: &str) -> String {
    format!("turn/realm/{realm}/secret")
}

/// Text that stands for itself in a search pattern.
fn literal(text: &str) -> String {
    let mut pattern = String::with_capacity(text.len());
    for c in text.chars() {
        if ['*', '?', '[', ']', '^', '-', '\\'].contains(&c) {
            pattern.push('\\');
        }
        pattern.push(c);
    }
    pattern
}

/// A Redis that is told things. Cloning is cheap.
#[derive(Clone)]
pub struct Notices(Redis);

impl Notices {
    /// Connects when there is something to tell.
    ///
    /// # Panics
    /// Never; another kind of database is taken for a Redis at the default place.
    pub fn new(database: &Database) -> Self {
        match database {
            Database::Redis(remote) => Self(Redis::new(remote)),
            Database::Sqlite(_) | Database::Postgres(_) | Database::MySql(_) => Self(Redis::new(&Remote::default())),
        }
    }

    /// Tells one thing after the other; answers are not looked at.
    ///
    /// # Errors
    /// The Redis is away; some of it may have been told.
    pub async fn tell(&self, pipeline: &::redis::Pipeline) -> Result<(), Error> {
        let mut connection = self.0.connected().await?;
        match pipeline.exec_async(&mut connection).await {
            Ok(()) => Ok(()),
            Err(error) => {
                self.0.disconnect().await;
                Err(error.into())
            }
        }
    }

    /// Removes the states of allocations that an earlier process left, as coturn does when it starts.
    ///
    /// # Errors
    /// The Redis is away.
    pub async fn forget_allocations(&self) -> Result<(), Error> {
        for (key, inner) in self.0.keys("turn/", "/status").await? {
            if inner.contains("/allocation/") {
                self.0.ask::<()>(cmd("DEL").arg(key)).await?;
            }
        }
        Ok(())
    }
}

//! The questions in SQL. One text for SQLite, PostgreSQL and MySQL: a row is replaced by deleting and inserting it in one transaction.

use std::path::Path;

use super::database::Remote;
use super::error::Error;
use super::pool::{Pool, Texts};
use super::records::{AdminUser, OAuthKey, Origin, PeerList, PeerRange, RealmOption, RealmOptionKind, RealmSecret, User, UserKey};
use crate::config::Secret;

#[derive(Clone)]
pub(super) struct Sql(Pool);

const USER_DELETE: &str = "delete from turnusers_lt where realm = ? and name = ?";
const SECRET_DELETE: &str = "delete from turn_secret where realm = ? and value = ?";
const ORIGIN_DELETE: &str = "delete from turn_origin_to_realm where origin = ?";
const OPTION_DELETE: &str = "delete from turn_realm_option where realm = ? and opt = ?";
const OAUTH_DELETE: &str = "delete from oauth_key where kid = ?";
const ADMIN_DELETE: &str = "delete from admin_user where name = ?";

impl PeerList {
    const fn select(self) -> &'static str {
        match self {
            Self::Allowed => "select realm, ip_range from allowed_peer_ip order by realm, ip_range",
            Self::Denied => "select realm, ip_range from denied_peer_ip order by realm, ip_range",
        }
    }

    const fn delete(self) -> &'static str {
        match self {
            Self::Allowed => "delete from allowed_peer_ip where realm = ? and ip_range = ?",
            Self::Denied => "delete from denied_peer_ip where realm = ? and ip_range = ?",
        }
    }

    const fn insert(self) -> &'static str {
        match self {
            Self::Allowed => "insert into allowed_peer_ip (realm, ip_range) values (?, ?)",
            Self::Denied => "insert into denied_peer_ip (realm, ip_range) values (?, ?)",
        }
    }
}

impl Sql {
    pub(super) fn sqlite(path: &Path) -> Self {
        Self(Pool::sqlite(path))
    }

    pub(super) fn postgres(remote: &Remote) -> Self {
        Self(Pool::postgres(remote))
    }

    pub(super) fn mysql(remote: &Remote) -> Self {
        Self(Pool::mysql(remote))
    }

    pub(super) fn kind(&self) -> &'static str {
        match self.0 {
            Pool::Sqlite(..) => "SQLite",
            Pool::Postgres(_) => "PostgreSQL",
            Pool::MySql(_) => "MySQL",
        }
    }

    pub(super) async fn probe(&self) -> Result<(), Error> {
        self.0.probe().await
    }

    pub(super) async fn user_key(&self, realm: &str, name: &str) -> Result<Option<UserKey>, Error> {
        let rows = self.0.rows("select hmackey, name from turnusers_lt where realm = ? and name = ?", &[realm, name]).await?;
        // Some collations take names that differ for equal.
        let found = rows.into_iter().map(two).find(|(_, found)| found == name);
        found.map(|(key, _)| key.parse().map_err(|_| Error::Refused("a user's key is not 32 hexadecimal digits".to_owned()))).transpose()
    }

    pub(super) async fn set_user(&self, realm: &str, name: &str, key: UserKey) -> Result<(), Error> {
        let insert = "insert into turnusers_lt (realm, name, hmackey) values (?, ?, ?)";
        self.0.change(&[(USER_DELETE, &[realm, name]), (insert, &[realm, name, &key.to_hex()])]).await
    }

    pub(super) async fn delete_user(&self, realm: &str, name: &str) -> Result<(), Error> {
        self.0.change(&[(USER_DELETE, &[realm, name])]).await
    }

    pub(super) async fn users(&self, realm: Option<&str>) -> Result<Vec<User>, Error> {
        let rows = match realm {
            Some(realm) => self.0.rows("select realm, name from turnusers_lt where realm = ? order by name", &[realm]).await?,
            None => self.0.rows("select realm, name from turnusers_lt order by realm, name", &[]).await?,
        };
        Ok(rows.into_iter().map(two).map(|(realm, name)| User { realm, name }).collect())
    }

    pub(super) async fn add_secret(&self, realm: &str, secret: &Secret) -> Result<(), Error> {
        let (insert, values) = ("insert into turn_secret (realm, value) values (?, ?)", [realm, secret.expose()]);
        self.0.change(&[(SECRET_DELETE, &values), (insert, &values)]).await
    }

    pub(super) async fn delete_secret(&self, realm: &str, secret: Option<&Secret>) -> Result<(), Error> {
        match secret {
            Some(secret) => self.0.change(&[(SECRET_DELETE, &[realm, secret.expose()])]).await,
            None => self.0.change(&[("delete from turn_secret where realm = ?", &[realm])]).await,
        }
    }

    pub(super) async fn secrets(&self, realm: Option<&str>) -> Result<Vec<RealmSecret>, Error> {
        let rows = match realm {
            Some(realm) => self.0.rows("select realm, value from turn_secret where realm = ? order by value", &[realm]).await?,
            None => self.0.rows("select realm, value from turn_secret order by realm, value", &[]).await?,
        };
        Ok(rows.into_iter().map(two).map(|(realm, secret)| RealmSecret { realm, secret: Secret::new(secret) }).collect())
    }

    pub(super) async fn add_origin(&self, origin: &str, realm: &str) -> Result<(), Error> {
        let insert = "insert into turn_origin_to_realm (origin, realm) values (?, ?)";
        self.0.change(&[(ORIGIN_DELETE, &[origin]), (insert, &[origin, realm])]).await
    }

    pub(super) async fn delete_origin(&self, origin: &str) -> Result<(), Error> {
        self.0.change(&[(ORIGIN_DELETE, &[origin])]).await
    }

    pub(super) async fn origins(&self, realm: Option<&str>) -> Result<Vec<Origin>, Error> {
        let rows = match realm {
            Some(realm) => self.0.rows("select realm, origin from turn_origin_to_realm where realm = ? order by origin", &[realm]).await?,
            None => self.0.rows("select realm, origin from turn_origin_to_realm order by realm, origin", &[]).await?,
        };
        Ok(rows.into_iter().map(two).map(|(realm, origin)| Origin { realm, origin }).collect())
    }

    pub(super) async fn set_realm_option(&self, realm: &str, option: RealmOptionKind, value: u64) -> Result<(), Error> {
        let delete = (OPTION_DELETE, &[realm, option.name()][..]);
        if value == 0 {
            return self.0.change(&[delete]).await;
        }
        let insert = "insert into turn_realm_option (realm, opt, value) values (?, ?, ?)";
        self.0.change(&[delete, (insert, &[realm, option.name(), &value.to_string()])]).await
    }

    pub(super) async fn realm_options(&self, realm: Option<&str>) -> Result<Vec<RealmOption>, Error> {
        let rows = match realm {
            Some(realm) => self.0.rows("select realm, opt, value from turn_realm_option where realm = ? order by opt", &[realm]).await?,
            None => self.0.rows("select realm, opt, value from turn_realm_option order by realm, opt", &[]).await?,
        };
        let option = |row: Texts| {
            let [realm, name, value] = <[String; 3]>::try_from(row).ok()?;
            Some(RealmOption { realm, kind: RealmOptionKind::from_name(&name)?, value: value.parse().ok()? })
        };
        // What others put there and nobody knows is passed over, as coturn does.
        Ok(rows.into_iter().filter_map(option).collect())
    }

    pub(super) async fn set_oauth_key(&self, key: &OAuthKey) -> Result<(), Error> {
        let OAuthKey { kid, ikm, timestamp_s, lifetime_s, algorithm, realm } = key;
        let insert = "insert into oauth_key (kid, ikm_key, timestamp, lifetime, as_rs_alg, realm) values (?, ?, ?n, ?n, ?, ?)";
        let values = [kid, ikm.expose(), &timestamp_s.to_string(), &lifetime_s.to_string(), algorithm, realm];
        self.0.change(&[(OAUTH_DELETE, &[kid]), (insert, &values)]).await
    }

    pub(super) async fn delete_oauth_key(&self, kid: &str) -> Result<(), Error> {
        self.0.change(&[(OAUTH_DELETE, &[kid])]).await
    }

    pub(super) async fn oauth_key(&self, kid: &str) -> Result<Option<OAuthKey>, Error> {
        Ok(self.oauth_keys().await?.into_iter().find(|key| key.kid == kid))
    }

    pub(super) async fn oauth_keys(&self) -> Result<Vec<OAuthKey>, Error> {
        let select = "select kid, ikm_key, cast(timestamp as char(32)), cast(lifetime as char(32)), as_rs_alg, realm \
                      from oauth_key order by kid";
        // PostgreSQL pads what it makes a char.
        let key = |row: Texts| {
            let [kid, ikm, timestamp, lifetime, algorithm, realm] = <[String; 6]>::try_from(row).ok()?;
            let (timestamp_s, lifetime_s) = (timestamp.trim().parse().unwrap_or(0), lifetime.trim().parse().unwrap_or(0));
            Some(OAuthKey { kid, ikm: Secret::new(ikm), timestamp_s, lifetime_s, algorithm, realm })
        };
        Ok(self.0.rows(select, &[]).await?.into_iter().filter_map(key).collect())
    }

    pub(super) async fn add_peers(&self, list: PeerList, realm: &str, range: &str) -> Result<(), Error> {
        self.0.change(&[(list.delete(), &[realm, range]), (list.insert(), &[realm, range])]).await
    }

    pub(super) async fn delete_peers(&self, list: PeerList, realm: &str, range: &str) -> Result<(), Error> {
        self.0.change(&[(list.delete(), &[realm, range])]).await
    }

    pub(super) async fn peers(&self, list: PeerList) -> Result<Vec<PeerRange>, Error> {
        let rows = self.0.rows(list.select(), &[]).await?;
        Ok(rows.into_iter().map(two).map(|(realm, range)| PeerRange { realm, range }).collect())
    }

    pub(super) async fn set_admin_user(&self, user: &AdminUser) -> Result<(), Error> {
        let AdminUser { name, realm, password } = user;
        let insert = "insert into admin_user (name, realm, password) values (?, ?, ?)";
        self.0.change(&[(ADMIN_DELETE, &[name]), (insert, &[name, realm, password.expose()])]).await
    }

    pub(super) async fn delete_admin_user(&self, name: &str) -> Result<(), Error> {
        self.0.change(&[(ADMIN_DELETE, &[name])]).await
    }

    pub(super) async fn admin_user(&self, name: &str) -> Result<Option<AdminUser>, Error> {
        Ok(self.admin_users().await?.into_iter().find(|user| user.name == name))
    }

    pub(super) async fn admin_users(&self) -> Result<Vec<AdminUser>, Error> {
        let user = |row: Texts| {
            let [name, realm, password] = <[String; 3]>::try_from(row).ok()?;
            Some(AdminUser { name, realm, password: Secret::new(password) })
        };
        let rows = self.0.rows("select name, realm, password from admin_user order by realm, name", &[]).await?;
        Ok(rows.into_iter().filter_map(user).collect())
    }
}

/// The columns of a row that was asked for two.
fn two(row: Texts) -> (String, String) {
    let mut columns = row.into_iter();
    (columns.next().unwrap_or_default(), columns.next().unwrap_or_default())
}

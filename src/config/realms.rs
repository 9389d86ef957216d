//! `[realms]`: realms of TURN beside the default one, each an inline table.

use std::collections::BTreeMap;

use pointsman_turn::Realm;
use pointsman_turn::config::Secret as TurnSecret;
use toml::Spanned;
use toml::de::DeValue;

use super::secret::Secret;
use super::setting::{Number, Setting, Wrong, number_from_toml, show_key, wrong_type};

/// What stands behind a realm's name.
#[derive(Clone, Debug, Default)]
pub(super) struct RealmTable(Realm);

/// The realms by name, as they are written.
pub(super) fn by_name(realms: &[Realm]) -> BTreeMap<String, RealmTable> {
    realms.iter().map(|realm| (realm.name.clone(), RealmTable(realm.clone()))).collect()
}

/// The other way round.
pub(super) fn list(realms: BTreeMap<String, RealmTable>) -> Vec<Realm> {
    realms.into_iter().map(|(name, RealmTable(realm))| Realm { name, ..realm }).collect()
}

impl Setting for RealmTable {
    fn takes() -> String {
        "a table with any of `origins`, `users`, `shared_secret`, `max_bps`, `total_quota` and `user_quota`".to_owned()
    }

    fn from_toml(value: &Spanned<DeValue<'_>>) -> Result<Self, Wrong> {
        let DeValue::Table(table) = value.get_ref() else { return Err(wrong_type::<Self>(value)) };
        let mut realm = Realm::default();
        for (key, value) in table.iter() {
            match &**key.get_ref() {
                "origins" => realm.origins = Vec::from_toml(value)?,
                "users" => {
                    let users: BTreeMap<String, Secret> = BTreeMap::from_toml(value)?;
                    realm.users = users.into_iter().map(|(name, password)| (name, for_turn(&password))).collect();
                }
                "shared_secret" => realm.shared_secrets = Vec::<Secret>::from_toml(value)?.iter().map(for_turn).collect(),
                "max_bps" => realm.max_bps = Some(limit(value, 1 << 40)?),
                "total_quota" => realm.total_quota = Some(limit(value, u32::MAX)?),
                "user_quota" => realm.user_quota = Some(limit(value, u32::MAX)?),
                other => {
                    let why = format!("`{}` is not known here: {}", other.escape_debug(), Self::takes());
                    return Err(Wrong { span: key.span(), why });
                }
            }
        }
        Ok(Self(realm))
    }

    fn show(&self) -> Option<String> {
        let Realm { name: _, users, shared_secrets, origins, max_bps, total_quota, user_quota } = &self.0;
        let hidden = |secret: &TurnSecret| Secret::new(secret.0.as_str()).show().unwrap_or_default();
        let users: Vec<String> = users.iter().map(|(name, password)| format!("{} = {}", show_key(name), hidden(password))).collect();
        let secrets: Vec<String> = shared_secrets.iter().map(hidden).collect();
        let mut parts = vec![format!("origins = {}", origins.show().unwrap_or_default())];
        parts.push(if users.is_empty() { "users = {}".to_owned() } else { format!("users = {{ {} }}", users.join(", ")) });
        parts.push(format!("shared_secret = [{}]", secrets.join(", ")));
        parts.extend(max_bps.map(|limit| format!("max_bps = {limit}")));
        parts.extend(total_quota.map(|limit| format!("total_quota = {limit}")));
        parts.extend(user_quota.map(|limit| format!("user_quota = {limit}")));
        Some(format!("{{ {} }}", parts.join(", ")))
    }
}

fn limit<N: Number + Default>(value: &Spanned<DeValue<'_>>, max: N) -> Result<N, Wrong> {
    number_from_toml(value.get_ref(), N::default(), max).map_err(|why| Wrong { span: value.span(), why })
}

fn for_turn(secret: &Secret) -> TurnSecret {
    TurnSecret(secret.expose().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<RealmTable, String> {
        RealmTable::from_text(text)
    }

    #[test]
    fn a_realm_with_everything() {
        let table = "{ origins = [\"https://a.example\"], users = { alice = \"pw\" }, shared_secret = \"s\", max_bps = 1, user_quota = 0 }";
        let realm = read(table).unwrap().0;
        assert_eq!(realm.origins, ["https://a.example"]);
        assert_eq!(realm.users, [("alice".to_owned(), TurnSecret("pw".to_owned()))]);
        assert_eq!(realm.shared_secrets, [TurnSecret("s".to_owned())]);
        assert_eq!((realm.max_bps, realm.total_quota, realm.user_quota), (Some(1), None, Some(0)));
        let shown = RealmTable(realm).show().unwrap();
        assert!(!shown.contains("pw") && !shown.contains("\"s\""), "{shown}");
        assert!(read(&shown).is_ok(), "{shown}");
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (text, why) in [
            ("{ origin = [] }", "`origin` is not known here"),
            ("{ user_quota = -1 }", "is not a whole number from 0 to 4294967295"),
            ("\"a\"", "is not a table"),
            ("{ users = 3 }", "is not a table of names"),
        ] {
            let told = read(text).unwrap_err();
            assert!(told.contains(why), "{told}");
        }
    }

    #[test]
    fn the_list_and_the_table_are_the_same() {
        let realms =
            [Realm { name: "b".to_owned(), total_quota: Some(3), ..Realm::default() }, Realm { name: "c".to_owned(), ..Realm::default() }];
        assert_eq!(list(by_name(&realms)), realms);
    }
}

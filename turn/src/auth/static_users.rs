//! Users with passwords, from the configuration.

use std::collections::HashMap;

use super::key::{self, Algorithm, LongTermKey};
use super::{Asked, Backend};
use crate::config::Secret;
use crate::rng::Rng;

pub(super) struct StaticUsers {
    keys: HashMap<Box<[u8]>, Keys>,
    by_hash: HashMap<[u8; 32], Box<[u8]>>,
    /// Stands for everyone unknown: checking it takes the time that checking a known user takes.
    nobody: LongTermKey,
}

struct Keys {
    md5: LongTermKey,
    /// `None`: the password is not known, only its hash.
    sha256: Option<LongTermKey>,
}

impl StaticUsers {
    pub(super) fn new<'a>(users: impl Iterator<Item = &'a (String, Secret)>, realm: &[u8], seed: &[u8; 32]) -> Self {
        let keys: HashMap<Box<[u8]>, Keys> = users.map(|(name, password)| (name.as_bytes().into(), keys(name, realm, password))).collect();
        Self {
            by_hash: keys.keys().map(|name| (key::userhash(name, realm), name.clone())).collect(),
            keys,
            nobody: LongTermKey::from_md5(Rng::new(seed, b"nobody").bytes()),
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    pub(super) fn has(&self, username: &[u8]) -> bool {
        self.keys.contains_key(username)
    }

    /// Are all passwords known, so that any algorithm will do?
    pub(super) fn have_passwords(&self) -> bool {
        self.keys.values().all(|keys| keys.sha256.is_some())
    }

    /// Who hides behind a USERHASH.
    pub(super) fn named_by(&self, hash: &[u8]) -> Option<&[u8]> {
        self.by_hash.get(<&[u8; 32]>::try_from(hash).ok()?).map(|name| &**name)
    }

    /// The key of nobody in particular.
    pub(super) fn nobody(&self) -> LongTermKey {
        self.nobody
    }
}

impl Backend for StaticUsers {
    fn offer(&self, user: &Asked<'_>, fits: &mut dyn FnMut(LongTermKey) -> bool) -> bool {
        let keys = self.keys.get(user.username);
        let key = match user.algorithm {
            Algorithm::Md5 => keys.map(|keys| keys.md5),
            Algorithm::Sha256 => keys.and_then(|keys| keys.sha256),
        };
        match key {
            Some(key) => fits(key),
            None => {
                fits(self.nobody);
                false
            }
        }
    }
}

fn keys(name: &str, realm: &[u8], password: &Secret) -> Keys {
    let password = password.0.as_str();
    match hash_of(password) {
        Some(hash) => Keys { md5: LongTermKey::from_md5(hash), sha256: None },
        None => Keys {
            md5: LongTermKey::derive(name.as_bytes(), realm, password.as_bytes()),
            sha256: Some(LongTermKey::derive_sha256(name.as_bytes(), realm, password.as_bytes())),
        },
    }
}

/// `0x` and 32 hexadecimal digits: not the password but its key.
fn hash_of(password: &str) -> Option<[u8; 16]> {
    let digits = password.strip_prefix("0x").filter(|digits| digits.len() == 32)?;
    let mut hash = [0; 16];
    for (byte, pair) in hash.iter_mut().zip(digits.as_bytes().as_chunks::<2>().0) {
        let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
        *byte = u8::try_from(high? << 4 | low?).ok()?;
    }
    Some(hash)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_may_be_given_as_its_key() {
        let hex = "0x8493fbc53ba582fb4c044c456bdc40eb";
        let keys = keys("user", b"realm", &Secret(hex.to_owned()));
        assert_eq!(keys.md5, LongTermKey::derive(b"user", b"realm", b"pass"));
        assert!(keys.sha256.is_none());
        for password in
            ["0x8493", "0xzz93fbc53ba582fb4c044c456bdc40eb", "8493fbc53ba582fb4c044c456bdc40eb00", "0xé493fbc53ba582fb4c044c456bdc40e"]
        {
            assert_eq!(hash_of(password), None, "{password}");
        }
    }
}

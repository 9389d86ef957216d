//! Users with passwords, from the configuration.

use std::collections::HashMap;

use super::{Asked, Backend, LongTermKey};
use crate::config::Secret;
use crate::rng::Rng;

pub(super) struct StaticUsers {
    keys: HashMap<Box<[u8]>, LongTermKey>,
    /// Stands for everyone unknown: checking it takes the time that checking a known user takes.
    nobody: LongTermKey,
}

impl StaticUsers {
    pub(super) fn new(users: &[(String, Secret)], realm: &[u8], seed: &[u8; 32]) -> Self {
        let key = |name: &String, password: &Secret| LongTermKey::derive(name.as_bytes(), realm, password.0.as_bytes());
        Self {
            keys: users.iter().map(|(name, password)| (name.as_bytes().into(), key(name, password))).collect(),
            nobody: LongTermKey(Rng::new(seed, b"nobody").bytes()),
        }
    }
}

impl Backend for StaticUsers {
    fn offer(&self, user: &Asked<'_>, fits: &mut dyn FnMut(LongTermKey) -> bool) -> bool {
        match self.keys.get(user.username) {
            Some(key) => fits(*key),
            None => {
                fits(self.nobody);
                false
            }
        }
    }
}

//! Time-limited credentials from a secret shared with whoever hands them out (draft-uberti-behave-turn-rest).
//!
//! The user name is `expiry:name`, `name:expiry` or the expiry alone, in seconds since the epoch;
//! the password is base64(HMAC-SHA1(secret, user name)).

use std::time::Duration;

use aws_lc_rs::hmac;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::key::{Algorithm, LongTermKey};
use super::{Asked, Backend};
use crate::config::Secret;

pub(super) struct SharedSecrets {
    secrets: Box<[hmac::Key]>,
    separator: char,
}

/// Length of a SHA-1 in base64.
const PASSWORD_LEN: usize = 28;

impl SharedSecrets {
    pub(super) fn new<'a>(secrets: impl Iterator<Item = &'a Secret>, separator: char) -> Self {
        let key = |secret: &Secret| hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret.0.as_bytes());
        Self { secrets: secrets.map(key).collect(), separator }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.secrets.is_empty()
    }

    /// Is this the name of time-limited credentials of ours?
    pub(super) fn are_of(&self, username: &[u8]) -> bool {
        !self.secrets.is_empty() && self.split(username).is_some()
    }

    /// Is this such a name, and has its time run out?
    pub(super) fn has_expired(&self, username: &[u8], unix: Duration) -> bool {
        !self.secrets.is_empty() && self.split(username).is_some_and(|(expiry, _)| expiry <= unix)
    }

    /// The name without the expiry: all of one person's credentials share it.
    pub(super) fn name_of<'a>(&self, username: &'a [u8]) -> &'a [u8] {
        match self.split(username) {
            Some((_, name)) if !self.secrets.is_empty() => name,
            _ => username,
        }
    }

    /// Expiry and name. As in the field, the part before the separator counts as the expiry if it is a number.
    fn split<'a>(&self, username: &'a [u8]) -> Option<(Duration, &'a [u8])> {
        let text = std::str::from_utf8(username).ok()?;
        let (first, second) = text.split_once(self.separator).unwrap_or((text, ""));
        match (expiry(first), expiry(second)) {
            (Some(at), _) => Some((at, second.as_bytes())),
            (None, Some(at)) => Some((at, first.as_bytes())),
            (None, None) => None,
        }
    }
}

impl Backend for SharedSecrets {
    fn offer(&self, user: &Asked<'_>, fits: &mut dyn FnMut(LongTermKey) -> bool) -> bool {
        let Some((expiry, _)) = self.split(user.username) else { return false };
        if expiry <= user.unix {
            return false;
        }
        self.secrets.iter().any(|secret| {
            let mut password = [0; PASSWORD_LEN];
            let tag = hmac::sign(secret, user.username);
            STANDARD.encode_slice(tag.as_ref(), &mut password).is_ok_and(|len| {
                debug_assert_eq!(len, PASSWORD_LEN);
                fits(match user.algorithm {
                    Algorithm::Md5 => LongTermKey::derive(user.username, user.realm, &password),
                    Algorithm::Sha256 => LongTermKey::derive_sha256(user.username, user.realm, &password),
                })
            })
        })
    }
}

fn expiry(text: &str) -> Option<Duration> {
    let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
    is_number.then(|| text.parse().ok().map(Duration::from_secs)).flatten()
}

//! Who somebody is, from claims: a name to show, and what the operator's rules make of them. Told the time, reads no clock.

use aws_lc_rs::digest;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use pointsman_signal::token::{Claims, IDENTITY_BYTES_MAX, VideoGrant};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::config::{Config, Rule};
use super::id_token::Vouched;

/// Longer names are cut.
const NAME_BYTES_MAX: usize = 128;
/// Before every identity: no provider's user can be taken for one whom an application named.
const PREFIX: &str = "oidc:";

/// Somebody who signed in.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    pub identity: String,
    pub name: String,
    pub rank: Rank,
    /// Must sign in again then; in seconds since 1970.
    pub until_s: u64,
}

/// In rising order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Rank {
    Member,
    /// Of every room.
    Host,
    /// Of the server.
    Admin,
}

/// The provider knows them, and the operator's rules do not let them in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotAllowed {
    /// No e-mail address, or not one that may be believed.
    NoEmail,
    Domain,
}

impl Person {
    /// What the rules make of somebody.
    ///
    /// # Errors
    /// When they keep them out.
    pub fn of(vouched: &Vouched, config: &Config, now_s: u64) -> Result<Self, NotAllowed> {
        let claims = believed(&vouched.claims, config.unverified_emails);
        if !config.domains.is_empty() {
            let email = claims.get("email").and_then(Value::as_str).ok_or(NotAllowed::NoEmail)?;
            let domain = email.rsplit_once('@').map(|(_, domain)| domain).ok_or(NotAllowed::NoEmail)?;
            if !config.domains.iter().any(|allowed| allowed.eq_ignore_ascii_case(domain)) {
                return Err(NotAllowed::Domain);
            }
        }
        let rank = if config.admins.iter().any(|rule| rule.fits(&claims)) {
            Rank::Admin
        } else if config.hosts.iter().any(|rule| rule.fits(&claims)) {
            Rank::Host
        } else {
            Rank::Member
        };
        let name = config.name_claims.iter().filter_map(|claim| claims.get(claim)?.as_str()).map(shown).find(|name| !name.is_empty());
        let until_s = now_s.saturating_add(config.stay.as_secs());
        Ok(Self { identity: identity(&vouched.subject), name: name.unwrap_or_default(), rank, until_s })
    }

    /// A token with which they join a room. Under `key`, for as long as it and their sign-in last.
    pub fn join(&self, room: &str, key: &str, now_s: u64, life_s: u64) -> Claims {
        self.claims(VideoGrant { room_admin: self.rank >= Rank::Host, ..VideoGrant::join(room) }, key, now_s, life_s)
    }

    /// A token with which they run the server; `None` for who does not.
    pub fn operate(&self, key: &str, now_s: u64, life_s: u64) -> Option<Claims> {
        let grant = VideoGrant { room_admin: true, room_list: true, ..VideoGrant::default() };
        (self.rank == Rank::Admin).then(|| self.claims(grant, key, now_s, life_s))
    }

    fn claims(&self, video: VideoGrant, key: &str, now_s: u64, life_s: u64) -> Claims {
        Claims {
            iss: key.to_owned(),
            sub: self.identity.clone(),
            exp: now_s.saturating_add(life_s).min(self.until_s),
            nbf: 0,
            name: self.name.clone(),
            metadata: String::new(),
            video,
        }
    }
}

impl Rule {
    fn fits(&self, claims: &Map<String, Value>) -> bool {
        // Domains and, in practice, mailboxes do not tell capitals from small letters.
        let ignores_case = self.claim == "email";
        let is_value = |value: &Value| match value {
            Value::String(text) if ignores_case => text.eq_ignore_ascii_case(&self.value),
            Value::String(text) => *text == self.value,
            Value::Bool(flag) => flag.to_string() == self.value,
            Value::Number(number) => number.to_string() == self.value,
            Value::Null | Value::Array(_) | Value::Object(_) => false,
        };
        match claims.get(&self.claim) {
            Some(Value::Array(list)) => list.iter().any(is_value),
            Some(value) => is_value(value),
            None => false,
        }
    }
}

/// Without an e-mail address that somebody may have made up.
fn believed(claims: &Map<String, Value>, unverified_emails: bool) -> Map<String, Value> {
    let mut claims = claims.clone();
    let is_verified = match claims.get("email_verified") {
        Some(Value::Bool(flag)) => *flag,
        // Some providers write it so.
        Some(Value::String(text)) => text == "true",
        Some(_) | None => false,
    };
    if !is_verified && !unverified_emails {
        claims.remove("email");
    }
    claims
}

fn identity(subject: &str) -> String {
    if PREFIX.len() + subject.len() <= IDENTITY_BYTES_MAX && subject.bytes().all(|byte| byte.is_ascii_graphic()) {
        return format!("{PREFIX}{subject}");
    }
    let hash = digest::digest(&digest::SHA256, subject.as_bytes());
    format!("{PREFIX}{}", URL_SAFE_NO_PAD.encode(hash))
}

/// Without what makes no letters, and not too long.
fn shown(name: &str) -> String {
    let mut shown = String::new();
    for letter in name.trim().chars().filter(|letter| !letter.is_control()) {
        if shown.len() + letter.len_utf8() > NAME_BYTES_MAX {
            break;
        }
        shown.push(letter);
    }
    shown
}

//! Our two cookies: read from a request, set and taken back.

use std::time::Duration;

use axum::http::header::COOKIE;
use axum::http::{HeaderMap, HeaderValue};

use super::seal::Purpose;

/// How our cookies are written.
#[derive(Clone, Copy, Debug)]
pub struct Cookies {
    is_https: bool,
}

impl Cookies {
    pub fn new(is_https: bool) -> Self {
        Self { is_https }
    }

    /// `__Host-`: browsers let no other host (of the same domain) and no plain connection set such a one.
    fn name(self, purpose: Purpose) -> &'static str {
        match (purpose, self.is_https) {
            (Purpose::Login, true) => "__Host-pointsman-login",
            (Purpose::Login, false) => "pointsman-login",
            (Purpose::Person, true) => "__Host-pointsman-person",
            (Purpose::Person, false) => "pointsman-person",
        }
    }

    /// What the browser keeps for us.
    pub fn read(self, headers: &HeaderMap, purpose: Purpose) -> Option<&str> {
        let all = headers.get_all(COOKIE).into_iter().filter_map(|value| value.to_str().ok());
        let mut pairs = all.flat_map(|value| value.split(';')).filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(name, _)| *name == self.name(purpose)).map(|(_, value)| value)
    }

    /// Lax, not Strict: the provider's page sends people back here.
    pub fn set(self, purpose: Purpose, value: &str, life: Duration) -> Option<HeaderValue> {
        let secure = if self.is_https { "; Secure" } else { "" };
        let text = format!("{}={value}; Path=/; Max-Age={}; HttpOnly; SameSite=Lax{secure}", self.name(purpose), life.as_secs());
        HeaderValue::from_str(&text).ok()
    }

    pub fn forget(self, purpose: Purpose) -> Option<HeaderValue> {
        self.set(purpose, "", Duration::ZERO)
    }
}

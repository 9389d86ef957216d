//! Addresses that secrets are sent to or people come back to.

use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use axum::http::Uri;
use serde::Deserialize;

/// An absolute address: `https`, or `http` on this host itself, where nobody listens in between. Without user and fragment.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct WebAddress {
    text: String,
    uri: Uri,
}

/// Longer ones are nobody's.
pub const ADDRESS_BYTES_MAX: usize = 2_048;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoWebAddress;

impl fmt::Display for NoWebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("not an https:// address (http:// is for loopback hosts only), or one with a user or a fragment")
    }
}

impl FromStr for WebAddress {
    type Err = NoWebAddress;

    fn from_str(text: &str) -> Result<Self, NoWebAddress> {
        if text.len() > ADDRESS_BYTES_MAX || text.contains('#') {
            return Err(NoWebAddress);
        }
        let uri: Uri = text.parse().map_err(|_| NoWebAddress)?;
        let host = uri.host().filter(|host| !host.is_empty()).ok_or(NoWebAddress)?;
        let is_allowed = match uri.scheme_str() {
            Some("https") => true,
            Some("http") => is_loopback(host),
            _ => false,
        };
        let has_user = uri.authority().is_some_and(|authority| authority.as_str().contains('@'));
        if !is_allowed || has_user {
            return Err(NoWebAddress);
        }
        Ok(Self { text: text.to_owned(), uri })
    }
}

impl TryFrom<String> for WebAddress {
    type Error = NoWebAddress;

    fn try_from(text: String) -> Result<Self, NoWebAddress> {
        text.parse()
    }
}

impl fmt::Display for WebAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl WebAddress {
    /// As it was written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    pub fn is_https(&self) -> bool {
        self.uri.scheme_str() == Some("https")
    }

    /// Neither path nor query.
    pub fn is_origin(&self) -> bool {
        self.uri.path() == "/" && self.uri.query().is_none()
    }

    pub fn has_query(&self) -> bool {
        self.uri.query().is_some()
    }

    /// As browsers write it in `Origin` (RFC 6454 section 6.2): in small letters, without the scheme's own port.
    pub fn origin(&self) -> String {
        let scheme = self.uri.scheme_str().unwrap_or_default();
        let host = self.uri.host().unwrap_or_default().to_ascii_lowercase();
        let own_port = if self.is_https() { 443 } else { 80 };
        match self.uri.port_u16().filter(|port| *port != own_port) {
            Some(port) => format!("{scheme}://{host}:{port}"),
            None => format!("{scheme}://{host}"),
        }
    }

    /// With these parameters behind those that it has (RFC 6749 section 3.1: they are kept).
    pub fn with(&self, parameters: &[(&str, &str)]) -> String {
        let query = form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        format!("{}{}{query}", self.text, if self.has_query() { '&' } else { '?' })
    }
}

fn is_loopback(host: &str) -> bool {
    let ip = host.strip_prefix('[').and_then(|host| host.strip_suffix(']')).unwrap_or(host);
    host.eq_ignore_ascii_case("localhost") || ip.parse::<IpAddr>().is_ok_and(|ip| ip.is_loopback())
}

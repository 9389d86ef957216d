//! What an operator decides about sign-in.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::address::WebAddress;
use crate::config::Secret;

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The provider. `None`: nobody signs in, and there are no addresses below `/oidc`.
    pub issuer: Option<WebAddress>,
    /// What the provider calls us.
    pub client_id: Option<String>,
    /// `None`, here and as a file: a public client, whom PKCE alone protects.
    pub client_secret: Option<Secret>,
    /// Comes before the other.
    pub client_secret_file: Option<PathBuf>,
    /// Where people reach this server. `None`: by the name and the first port of TLS.
    pub url: Option<WebAddress>,
    /// PEM file with the authorities that the provider's certificate is checked with; `None`: Mozilla's.
    pub authorities: Option<PathBuf>,
    pub scopes: Vec<String>,
    /// Claims that hold a name to show, the best first.
    pub name_claims: Vec<String>,
    /// Who may do everything on this server.
    pub admins: Vec<Rule>,
    /// Who is host of every room that they come into.
    pub hosts: Vec<Rule>,
    /// Only e-mail addresses of these domains get in. Empty: everyone whom the provider knows.
    pub domains: Vec<String>,
    /// Believe e-mail addresses that the provider has not verified. Off: at some providers people write what they like there.
    pub unverified_emails: bool,
    /// Who signed in stays so for this long: a working day. A provider that has locked somebody out is asked no sooner.
    pub stay: Duration,
    /// Life of the tokens that are made for them. The page asks for one when it joins, and again when its call was lost for long.
    pub token: Duration,
    /// Time for typing passwords at the provider.
    pub login: Duration,
    /// A provider that has not answered by then has failed. Three such times fit into the life of a request.
    pub timeout: Duration,
    /// Questions to the provider at a time; each is a thread while it lasts.
    pub requests_max: usize,
    /// Codes that are exchanged per second, of all people together: strangers make codes up, and each is a question to the provider.
    pub sign_ins_per_s: u32,
    /// … and how many may come at once: when a large meeting begins.
    pub sign_ins_burst: u32,
    /// Who signs out is sent to the provider, which offers to end its own sign-in, too.
    pub end_at_provider: bool,
}

impl Default for Config {
    fn default() -> Self {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect::<Vec<_>>();
        Self {
            issuer: None,
            client_id: None,
            client_secret: None,
            client_secret_file: None,
            url: None,
            authorities: None,
            scopes: texts(&["openid", "profile", "email"]),
            name_claims: texts(&["name", "preferred_username", "nickname", "email"]),
            admins: Vec::new(),
            hosts: Vec::new(),
            domains: Vec::new(),
            unverified_emails: false,
            stay: Duration::from_secs(8 * 3600),
            token: Duration::from_secs(3600),
            login: Duration::from_secs(600),
            timeout: Duration::from_secs(5),
            requests_max: 16,
            sign_ins_per_s: 20,
            sign_ins_burst: 200,
            end_at_provider: false,
        }
    }
}

/// `claim=value`: whoever's claim is this value, or a list that holds it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    pub claim: String,
    pub value: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NoRule;

impl FromStr for Rule {
    type Err = NoRule;

    fn from_str(text: &str) -> Result<Self, NoRule> {
        match text.split_once('=') {
            Some((claim, value)) if !claim.is_empty() && !value.is_empty() => Ok(Self { claim: claim.to_owned(), value: value.to_owned() }),
            Some(_) | None => Err(NoRule),
        }
    }
}

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { claim, value } = self;
        write!(f, "{claim}={value}")
    }
}

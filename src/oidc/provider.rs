//! The provider: what it says of itself (OpenID Connect Discovery 1.0), its keys, and codes that become claims.

use std::future::Future;
use std::sync::Arc;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;
use serde_json::{Map, Value};
use tokio::sync::Mutex;

use super::address::WebAddress;
use super::client::Client;
use super::config::Config;
use super::error::ProviderError;
use super::id_token::{self, Expected, IdTokenError, Vouched};
use super::key_set::{Document, KeySet};
use super::routes::unix_s;
use crate::config::Secret;

/// How long what it said is good.
const FRESH: Duration = Duration::from_secs(3600);
/// An unknown key is looked for in a key set that is no older.
const KEYS_FRESH: Duration = Duration::from_secs(10);
/// After a failure it is not asked again sooner.
const RETRY_PAUSE: Duration = Duration::from_secs(5);
/// Error codes are words.
const CODE_BYTES_MAX: usize = 64;

pub struct Provider {
    issuer: WebAddress,
    client_id: String,
    secret: Option<Secret>,
    client: Arc<Client>,
    metadata: Cache<Metadata>,
    keys: Cache<KeySet>,
}

/// OpenID Connect Discovery 1.0 section 3, and RFC 9207.
#[derive(Debug, Deserialize)]
pub struct Metadata {
    issuer: String,
    pub authorization_endpoint: WebAddress,
    token_endpoint: WebAddress,
    jwks_uri: WebAddress,
    userinfo_endpoint: Option<WebAddress>,
    pub end_session_endpoint: Option<WebAddress>,
    token_endpoint_auth_methods_supported: Option<Vec<String>>,
    #[serde(default)]
    pub authorization_response_iss_parameter_supported: bool,
}

/// A code that somebody brought, and what belongs to it.
pub struct Code<'a> {
    pub code: String,
    pub verifier: String,
    pub redirect_uri: String,
    pub nonce: &'a str,
    pub begun_s: u64,
}

#[derive(Deserialize)]
struct Tokens {
    id_token: String,
    access_token: String,
}

#[derive(Deserialize)]
struct TokenError {
    error: String,
}

impl Provider {
    pub fn new(issuer: WebAddress, client_id: String, secret: Option<Secret>, config: &Config) -> Result<Self, String> {
        let client = Arc::new(Client::new(config)?);
        Ok(Self { issuer, client_id, secret, client, metadata: Cache::default(), keys: Cache::default() })
    }

    pub fn issuer(&self) -> &str {
        self.issuer.as_str()
    }

    pub fn client_id(&self) -> &str {
        &self.client_id
    }

    /// What it says of itself.
    pub async fn metadata(&self) -> Result<Arc<Metadata>, ProviderError> {
        let (client, issuer) = (Arc::clone(&self.client), self.issuer.clone());
        self.metadata.get(FRESH, async move { discover(&client, &issuer).await }).await
    }

    /// Exchanges a code for the claims of who brought it.
    pub async fn redeem(&self, code: Code<'_>) -> Result<Vouched, ProviderError> {
        let metadata = self.metadata().await?;
        let Code { code, verifier, redirect_uri, nonce, begun_s } = code;
        let tokens = self.tokens(&metadata, code, verifier, redirect_uri).await?;
        let expected = Expected { issuer: self.issuer.as_str(), client_id: &self.client_id, nonce, begun_s, now_s: unix_s() };
        let keys = self.keys(&metadata, FRESH).await?;
        let vouched = match id_token::verify(&tokens.id_token, &keys, expected) {
            // Keys change, some providers' without another id.
            Err(IdTokenError::UnknownKey | IdTokenError::Signature) => {
                let keys = self.keys(&metadata, KEYS_FRESH).await?;
                id_token::verify(&tokens.id_token, &keys, expected)
            }
            verified => verified,
        };
        let mut vouched = vouched.map_err(ProviderError::IdToken)?;
        if let Some(endpoint) = &metadata.userinfo_endpoint {
            let more = self.user_info(endpoint, &tokens.access_token, &vouched.subject).await?;
            if more.contains_key("email") {
                // An address and whether it is verified come from one place.
                vouched.claims.remove("email_verified");
            }
            vouched.claims.extend(more);
        }
        Ok(vouched)
    }

    #[cfg(test)]
    pub(super) async fn age(&self, by: Duration) {
        self.metadata.age(by).await;
        self.keys.age(by).await;
    }

    /// RFC 6749 section 4.1.3, RFC 7636 section 4.5.
    async fn tokens(&self, metadata: &Metadata, code: String, verifier: String, redirect_uri: String) -> Result<Tokens, ProviderError> {
        let mut form = vec![
            ("grant_type", "authorization_code".to_owned()),
            ("code", code),
            ("redirect_uri", redirect_uri),
            ("code_verifier", verifier),
        ];
        let basic = match (&self.secret, metadata.takes_basic()) {
            // RFC 6749 section 2.3.1: both are encoded as in a form first.
            (Some(secret), true) => Some(STANDARD.encode(format!("{}:{}", encoded(&self.client_id), encoded(secret.expose())))),
            (Some(secret), false) => {
                form.extend([("client_id", self.client_id.clone()), ("client_secret", secret.expose().to_owned())]);
                None
            }
            (None, _) => {
                form.push(("client_id", self.client_id.clone()));
                None
            }
        };
        let answer = self.client.post(metadata.token_endpoint.as_str(), form, basic).await?;
        match answer.status {
            200 => answer.json("the provider's answer holds no ID token"),
            // RFC 6749 section 5.2.
            400 | 401 => {
                let TokenError { error } = answer.json("the provider refuses and does not say why")?;
                let word: String = error.chars().filter(char::is_ascii_graphic).take(CODE_BYTES_MAX).collect();
                Err(ProviderError::Refused(word))
            }
            status => Err(ProviderError::Status { what: "token", status }),
        }
    }

    async fn keys(&self, metadata: &Metadata, fresh: Duration) -> Result<Arc<KeySet>, ProviderError> {
        let (client, url) = (Arc::clone(&self.client), metadata.jwks_uri.clone());
        let fetch = async move {
            let answer = client.get(url.as_str(), None).await?;
            if answer.status != 200 {
                return Err(ProviderError::Status { what: "keys", status: answer.status });
            }
            let document: Document = answer.json("the provider's keys are not understood")?;
            Ok(KeySet::from(document))
        };
        self.keys.get(fresh, fetch).await
    }

    /// Many providers tell names and addresses only here (OpenID Connect Core section 5.4).
    async fn user_info(&self, endpoint: &WebAddress, access_token: &str, subject: &str) -> Result<Map<String, Value>, ProviderError> {
        let answer = self.client.get(endpoint.as_str(), Some(access_token)).await?;
        if answer.status != 200 {
            return Err(ProviderError::Status { what: "userinfo", status: answer.status });
        }
        let claims: Map<String, Value> = answer.json("the provider's userinfo is not JSON")?;
        // Section 5.3.2: otherwise it MUST NOT be used.
        if claims.get("sub").and_then(Value::as_str) != Some(subject) {
            return Err(ProviderError::Answer("the provider's userinfo is somebody else's"));
        }
        Ok(claims)
    }
}

impl Metadata {
    fn takes_basic(&self) -> bool {
        // Basic is what all have that say nothing.
        self.token_endpoint_auth_methods_supported.as_ref().is_none_or(|all| all.iter().any(|one| one == "client_secret_basic"))
    }
}

async fn discover(client: &Client, issuer: &WebAddress) -> Result<Metadata, ProviderError> {
    let url = format!("{}/.well-known/openid-configuration", issuer.as_str().trim_end_matches('/'));
    let answer = client.get(&url, None).await?;
    if answer.status != 200 {
        return Err(ProviderError::Status { what: "discovery", status: answer.status });
    }
    let metadata: Metadata = answer.json("the provider's description of itself is not understood")?;
    // Section 4.3: they MUST be identical.
    if metadata.issuer != issuer.as_str() {
        return Err(ProviderError::Answer("the provider describes another issuer"));
    }
    let Metadata { authorization_endpoint, token_endpoint, jwks_uri, userinfo_endpoint, end_session_endpoint, .. } = &metadata;
    let required = [authorization_endpoint, token_endpoint, jwks_uri].into_iter();
    let are_https = required.chain(userinfo_endpoint).chain(end_session_endpoint).all(WebAddress::is_https);
    if issuer.is_https() && !are_https {
        return Err(ProviderError::Answer("the provider describes addresses without TLS"));
    }
    Ok(metadata)
}

fn encoded(text: &str) -> String {
    form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Something that the provider said, kept for a while. One asks, the others wait for it.
struct Cache<T>(Arc<Mutex<Slot<T>>>);

struct Slot<T> {
    value: Option<(Arc<T>, Instant)>,
    failure: Option<(ProviderError, Instant)>,
}

impl<T> Default for Cache<T> {
    fn default() -> Self {
        Self(Arc::new(Mutex::new(Slot { value: None, failure: None })))
    }
}

impl<T: Send + Sync + 'static> Cache<T> {
    #[cfg(test)]
    async fn age(&self, by: Duration) {
        let Slot { value, failure } = &mut *self.0.lock().await;
        let times = value.iter_mut().map(|(_, since)| since).chain(failure.iter_mut().map(|(_, since)| since));
        times.for_each(|since| *since = since.checked_sub(by).unwrap());
    }

    /// What is no older than `fresh`. What is older is better than nothing while the provider does not answer.
    async fn get<F>(&self, fresh: Duration, fetch: F) -> Result<Arc<T>, ProviderError>
    where
        F: Future<Output = Result<T, ProviderError>> + Send + 'static,
    {
        let mut slot = Arc::clone(&self.0).lock_owned().await;
        let now = Instant::now();
        if let Some((value, _)) = slot.value.as_ref().filter(|(_, since)| now.duration_since(*since) <= fresh) {
            return Ok(Arc::clone(value));
        }
        if let Some((error, _)) = slot.failure.as_ref().filter(|(_, since)| now.duration_since(*since) <= RETRY_PAUSE) {
            return slot.value.as_ref().map(|(value, _)| Arc::clone(value)).ok_or_else(|| error.clone());
        }
        // A task of its own: who asked may go away, and is not asked for again.
        let fetched = tokio::spawn(async move {
            match fetch.await {
                Ok(value) => {
                    let value = Arc::new(value);
                    (slot.value, slot.failure) = (Some((Arc::clone(&value), Instant::now())), None);
                    Ok(value)
                }
                Err(error) => {
                    slot.failure = Some((error.clone(), Instant::now()));
                    slot.value.as_ref().map(|(value, _)| Arc::clone(value)).ok_or(error)
                }
            }
        });
        fetched.await.unwrap_or(Err(ProviderError::Busy))
    }
}

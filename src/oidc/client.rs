//! Questions to the provider over HTTP. Each is a thread while it lasts; there are only so many, and none lasts long.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;
use ureq::tls::{Certificate, RootCerts, TlsConfig};

use super::config::Config;
use super::error::ProviderError;

/// The longest answer. Key sets with certificate chains have a few dozen KB.
const ANSWER_BYTES_MAX: u64 = 512 * 1024;

pub struct Client {
    agent: ureq::Agent,
    turns: Arc<Semaphore>,
    /// Who does not get a turn by then is told to come again.
    wait: Duration,
}

pub struct Answer {
    pub status: u16,
    body: Vec<u8>,
}

impl Answer {
    pub fn json<T: DeserializeOwned>(&self, otherwise: &'static str) -> Result<T, ProviderError> {
        serde_json::from_slice(&self.body).map_err(|_| ProviderError::Answer(otherwise))
    }
}

impl Client {
    /// # Errors
    /// A file of authorities that cannot be used.
    pub fn new(config: &Config) -> Result<Self, String> {
        let roots = config.authorities.as_deref().map(authorities).transpose()?.unwrap_or(RootCerts::WebPki);
        let tls = TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()));
        let is_https = config.issuer.as_ref().is_none_or(super::WebAddress::is_https);
        let agent = ureq::Agent::config_builder()
            .timeout_global(Some(config.timeout))
            .http_status_as_error(false)
            .https_only(is_https)
            // A redirect would carry our secret to where the provider's description did not send it.
            .max_redirects(0)
            .max_redirects_will_error(false)
            .tls_config(tls.build())
            .user_agent(concat!("pointsman/", env!("CARGO_PKG_VERSION")));
        // A provider on this host is behind no proxy.
        let agent = if is_https { agent } else { agent.proxy(None) };
        Ok(Self { agent: agent.build().into(), turns: Arc::new(Semaphore::new(config.requests_max)), wait: config.timeout })
    }

    pub async fn get(&self, url: &str, bearer: Option<&str>) -> Result<Answer, ProviderError> {
        let mut request = self.agent.get(url).header("accept", "application/json");
        if let Some(token) = bearer {
            request = request.header("authorization", format!("Bearer {token}"));
        }
        self.ask(move || request.call()).await
    }

    pub async fn post(&self, url: &str, form: Vec<(&'static str, String)>, basic: Option<String>) -> Result<Answer, ProviderError> {
        let mut request = self.agent.post(url).header("accept", "application/json");
        if let Some(credentials) = basic {
            request = request.header("authorization", format!("Basic {credentials}"));
        }
        self.ask(move || request.send_form(form)).await
    }

    async fn ask(
        &self,
        send: impl FnOnce() -> Result<ureq::http::Response<ureq::Body>, ureq::Error> + Send + 'static,
    ) -> Result<Answer, ProviderError> {
        let turn = tokio::time::timeout(self.wait, Arc::clone(&self.turns).acquire_owned()).await;
        let turn = turn.ok().and_then(Result::ok).ok_or(ProviderError::Busy)?;
        let asked = tokio::task::spawn_blocking(move || {
            // Kept until the thread is free again, also if nobody waits for the answer any more.
            let _turn = turn;
            let mut response = send()?;
            let body = response.body_mut().with_config().limit(ANSWER_BYTES_MAX).read_to_vec()?;
            Ok(Answer { status: response.status().as_u16(), body })
        });
        match asked.await {
            Ok(answered) => answered.map_err(|error| ProviderError::Unreachable(reason(&error))),
            // The server ends.
            Err(_) => Err(ProviderError::Busy),
        }
    }
}

/// What went wrong, without addresses.
fn reason(error: &ureq::Error) -> String {
    match error {
        ureq::Error::Timeout(_) => "no answer in time".to_owned(),
        ureq::Error::Io(error) => error.to_string(),
        ureq::Error::HostNotFound => "the host is not found".to_owned(),
        ureq::Error::ConnectionFailed => "no connection".to_owned(),
        ureq::Error::Rustls(error) => format!("TLS: {error}"),
        ureq::Error::BodyExceedsLimit(_) => "its answer is too long".to_owned(),
        _ => "the request failed".to_owned(), // the library's enum grows
    }
}

fn authorities(file: &Path) -> Result<RootCerts, String> {
    let unusable = |error: &dyn std::fmt::Display| format!("[oidc] `authorities`: {}: {error}", file.display());
    let pem = fs::read(file).map_err(|error| unusable(&error))?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>().map_err(|error| unusable(&error))?;
    if certificates.is_empty() {
        return Err(unusable(&"holds no certificate (-----BEGIN CERTIFICATE-----)"));
    }
    Ok(certificates.iter().map(|der| Certificate::from_der(der).to_owned()).into())
}

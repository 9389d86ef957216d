//! Questions to the provider over HTTP. Each is a thread while it lasts; there are only so many, and none lasts long.

use std::sync::Arc;
use std::time::Duration;

use serde::de::DeserializeOwned;
use tokio::sync::Semaphore;

use super::config::Config;
use super::error::ProviderError;
use crate::outbound;

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
        let roots = outbound::authorities(config.authorities.as_deref()).map_err(|why| format!("[oidc] {why}"))?;
        let is_https = config.issuer.as_ref().is_none_or(super::WebAddress::is_https);
        let agent = outbound::agent(config.timeout, roots).https_only(is_https);
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
            Ok(answered) => answered.map_err(|error| ProviderError::Unreachable(outbound::reason(&error))),
            // The server ends.
            Err(_) => Err(ProviderError::Busy),
        }
    }
}

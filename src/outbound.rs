//! What requests that this server makes to others share: whom they trust, what they do not follow, and how their failures are told.

use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject as _;
use ureq::config::ConfigBuilder;
use ureq::tls::{Certificate, RootCerts, TlsConfig};
use ureq::typestate::AgentScope;

/// Redirects are not followed: they would carry our secrets to where the operator did not send them.
pub fn agent(timeout: Duration, roots: RootCerts) -> ConfigBuilder<AgentScope> {
    let tls = TlsConfig::builder().root_certs(roots).unversioned_rustls_crypto_provider(Arc::new(aws_lc_rs::default_provider()));
    ureq::Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .tls_config(tls.build())
        .user_agent(concat!("pointsman/", env!("CARGO_PKG_VERSION")))
}

/// The authorities in a PEM file; Mozilla's without one.
///
/// # Errors
/// What is wrong with the file, by its name.
pub fn authorities(file: Option<&Path>) -> Result<RootCerts, String> {
    let Some(file) = file else { return Ok(RootCerts::WebPki) };
    let unusable = |error: &dyn std::fmt::Display| format!("`authorities`: {}: {error}", file.display());
    let pem = fs::read(file).map_err(|error| unusable(&error))?;
    let certificates = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>().map_err(|error| unusable(&error))?;
    if certificates.is_empty() {
        return Err(unusable(&"holds no certificate (-----BEGIN CERTIFICATE-----)"));
    }
    Ok(certificates.iter().map(|der| Certificate::from_der(der).to_owned()).into())
}

/// What went wrong, without addresses, which may hold a secret.
pub fn reason(error: &ureq::Error) -> String {
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

//! The server's certificate: read, made for `--dev`, and read again on SIGHUP.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

#[cfg(test)]
mod tests;

/// What we answer to clients that ask. HTTP clients say the first; RFC 7443 gives the second to TURN. Browsers say nothing on `turns:`.
const ALPN: [&[u8]; 2] = [b"http/1.1", b"stun.turn"];

/// Why a certificate cannot be used: the operator's to mend.
#[derive(Debug)]
pub struct CertificateError {
    file: PathBuf,
    why: String,
}

impl fmt::Display for CertificateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.file.display(), self.why)
    }
}

impl std::error::Error for CertificateError {}

/// The certificate in force. New handshakes take what was read last; connections that stand keep what they have.
#[derive(Debug)]
pub struct Certificate {
    current: RwLock<Arc<ServerConfig>>,
    /// None for one that was made at start.
    files: Option<(PathBuf, PathBuf)>,
}

impl Certificate {
    /// Reads a certificate chain and its key from PEM files.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn from_files(certificate: &Path, key: &Path) -> Result<Self, CertificateError> {
        let config = read_certificate(certificate, key)?;
        Ok(Self { current: RwLock::new(Arc::new(config)), files: Some((certificate.to_owned(), key.to_owned())) })
    }

    /// Makes a throw-away certificate for these addresses, which no client trusts unasked.
    ///
    /// # Errors
    /// When the crypto library refuses.
    pub fn self_signed(addresses: &[IpAddr]) -> Result<Self, CertificateError> {
        let refused = |why: String| CertificateError { file: PathBuf::from("throw-away certificate"), why };
        let names = addresses.iter().map(ToString::to_string).chain(["localhost".to_owned()]).collect::<Vec<_>>();
        let made = rcgen::generate_simple_self_signed(names).map_err(|error| refused(error.to_string()))?;
        let key = PrivateKeyDer::try_from(made.signing_key.serialize_der()).map_err(|error| refused(error.to_owned()))?;
        let config = server_config(vec![made.cert.der().clone()], key).map_err(|error| refused(error.to_string()))?;
        Ok(Self { current: RwLock::new(Arc::new(config)), files: None })
    }

    /// What the next handshake uses.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// Reads the files again. `Ok(false)` when there are none.
    ///
    /// # Errors
    /// What is wrong with the files; the certificate in force stays.
    pub fn reload(&self) -> Result<bool, CertificateError> {
        let Some((certificate, key)) = &self.files else { return Ok(false) };
        let config = Arc::new(read_certificate(certificate, key)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(true)
    }
}

/// Reads and checks a certificate chain and its key.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn read_certificate(certificate: &Path, key: &Path) -> Result<ServerConfig, CertificateError> {
    let at = |file: &Path, why: String| CertificateError { file: file.to_owned(), why };
    let pem = std::fs::read(certificate).map_err(|error| at(certificate, format!("cannot be read: {error}")))?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| at(certificate, format!("not a PEM certificate: {error}")))?;
    if chain.is_empty() {
        return Err(at(certificate, "holds no certificate (-----BEGIN CERTIFICATE-----)".to_owned()));
    }
    let pem = std::fs::read(key).map_err(|error| at(key, format!("cannot be read: {error}")))?;
    let private = PrivateKeyDer::from_pem_slice(&pem)
        .map_err(|_| at(key, "holds no private key that can be read (PEM with PKCS #8, PKCS #1 or SEC 1, not encrypted)".to_owned()))?;
    server_config(chain, private).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => at(key, format!("is not the key of {}", certificate.display())),
        error => at(certificate, error.to_string()),
    })
}

fn server_config(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<ServerConfig, rustls::Error> {
    // TLS 1.2 and 1.3, the library's own choice of suites.
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    Ok(config)
}

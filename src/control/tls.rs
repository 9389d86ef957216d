//! The server's certificate: read, made for `--dev`, and read again on SIGHUP.

use std::fmt;
use std::net::IpAddr;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use rustls::crypto::aws_lc_rs;
use rustls::server::danger::ClientCertVerifier;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};

use crate::config::{Secret, Tls};
use crate::engine::DtlsCertificate;
pub use clients::KnownClients;
use suites::Chosen;

mod clients;
mod keys;
mod suites;
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
    /// The same for DTLS. None where its key is of a kind that DTLS is not served with.
    dtls: Option<Arc<DtlsCertificate>>,
    /// None for one that was made at start.
    files: Option<Files>,
}

#[derive(Debug)]
struct Files {
    certificate: PathBuf,
    key: PathBuf,
    key_password: Option<Secret>,
    client_authorities: Option<PathBuf>,
    offer: Offer,
}

/// What of TLS is spoken.
#[derive(Clone, Debug, Default)]
struct Offer {
    only_tls_1_3: bool,
    /// As OpenSSL writes it; `None`: all that the library has.
    ciphers: Option<String>,
}

/// A chain, its key, and who judges clients' certificates where they must have one.
struct Material {
    config: ServerConfig,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    clients: Option<Arc<dyn ClientCertVerifier>>,
}

impl Certificate {
    /// Reads a certificate chain and its key, and the authorities of clients' certificates, from PEM files. `None` when no certificate
    /// is configured.
    ///
    /// # Errors
    /// Names the file and what is wrong with it.
    pub fn from_files(tls: &Tls) -> Result<Option<Self>, CertificateError> {
        let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) else { return Ok(None) };
        let files = Files::of(tls, certificate, key);
        let material = files.read()?;
        if let Some(ciphers) = &tls.ciphers {
            let chosen = Chosen::read(ciphers);
            if !chosen.unknown.is_empty() {
                tracing::warn!(unknown = ?chosen.unknown, "ciphers that are not offered here are passed over");
            }
            if !chosen.has_tls_1_2() && !tls.only_tls_1_3 {
                tracing::warn!("the list of ciphers holds none for TLS 1.2 that is offered here: TLS 1.3 only");
            }
        }
        Ok(Some(Self::new(material, Some(files))))
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
        let material =
            Material::new(vec![made.cert.der().clone()], key, None, &Offer::default()).map_err(|error| refused(error.to_string()))?;
        Ok(Self::new(material, None))
    }

    fn new(material: Material, files: Option<Files>) -> Self {
        let Material { config, chain, key, clients } = material;
        let dtls = DtlsCertificate::new(chain, &key, clients);
        if let Err(error) = &dtls {
            tracing::warn!(%error, "TURN is not served over DTLS");
        }
        Self { current: RwLock::new(Arc::new(config)), dtls: dtls.ok().map(Arc::new), files }
    }

    /// What the next handshake uses.
    pub fn current(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }

    /// What DTLS uses; it follows [`Self::reload`].
    pub fn dtls(&self) -> Option<Arc<DtlsCertificate>> {
        self.dtls.clone()
    }

    /// Reads the files again. `Ok(false)` when there are none.
    ///
    /// # Errors
    /// What is wrong with the files; the certificate in force stays.
    pub fn reload(&self) -> Result<bool, CertificateError> {
        let Some(files) = &self.files else { return Ok(false) };
        let Material { config, chain, key, clients } = files.read()?;
        if let Some(dtls) = &self.dtls {
            let why = |error: crate::engine::UnsupportedKey| CertificateError { file: files.key.clone(), why: error.to_string() };
            dtls.replace(chain, &key, clients).map_err(why)?;
        }
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(config);
        Ok(true)
    }
}

/// Reads and checks what is configured.
///
/// # Errors
/// Names the file and what is wrong with it.
pub fn check_files(tls: &Tls) -> Result<(), CertificateError> {
    let (Some(certificate), Some(key)) = (&tls.certificate, &tls.key) else { return Ok(()) };
    let files = Files::of(tls, certificate, key);
    files.read().map(|_| ())
}

impl Files {
    fn of(tls: &Tls, certificate: &Path, key: &Path) -> Self {
        Self {
            certificate: certificate.to_owned(),
            key: key.to_owned(),
            key_password: tls.key_password.clone(),
            client_authorities: tls.client_authorities.clone(),
            offer: Offer { only_tls_1_3: tls.only_tls_1_3, ciphers: tls.ciphers.clone() },
        }
    }

    fn read(&self) -> Result<Material, CertificateError> {
        let Self { certificate, key, key_password, client_authorities, offer } = self;
        let chain = read_chain(certificate)?;
        let pem = std::fs::read(key).map_err(|error| at(key, format!("cannot be read: {error}")))?;
        let private = keys::read(&pem, key_password.as_ref()).map_err(|why| at(key, why))?;
        let clients = client_authorities.as_ref().map(|file| {
            let known = KnownClients::new(read_chain(file)?).map_err(|error| at(file, error))?;
            Ok(Arc::new(known) as Arc<dyn ClientCertVerifier>)
        });
        Material::new(chain, private, clients.transpose()?, offer).map_err(|error| match error {
            rustls::Error::InconsistentKeys(_) => at(key, format!("is not the key of {}", certificate.display())),
            error => at(certificate, error.to_string()),
        })
    }
}

fn at(file: &Path, why: String) -> CertificateError {
    CertificateError { file: file.to_owned(), why }
}

fn read_chain(file: &Path) -> Result<Vec<CertificateDer<'static>>, CertificateError> {
    let pem = std::fs::read(file).map_err(|error| at(file, format!("cannot be read: {error}")))?;
    let chain = CertificateDer::pem_slice_iter(&pem)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| at(file, format!("not a PEM certificate: {error}")))?;
    if chain.is_empty() {
        return Err(at(file, "holds no certificate (-----BEGIN CERTIFICATE-----)".to_owned()));
    }
    Ok(chain)
}

impl Material {
    fn new(
        chain: Vec<CertificateDer<'static>>,
        key: PrivateKeyDer<'static>,
        clients: Option<Arc<dyn ClientCertVerifier>>,
        offer: &Offer,
    ) -> Result<Self, rustls::Error> {
        let mut provider = aws_lc_rs::default_provider();
        if let Some(ciphers) = &offer.ciphers {
            provider.cipher_suites = Chosen::read(ciphers).of(&provider.cipher_suites);
        }
        let versions: &[&rustls::SupportedProtocolVersion] =
            if offer.only_tls_1_3 { &[&rustls::version::TLS13] } else { &[&rustls::version::TLS13, &rustls::version::TLS12] };
        let builder = ServerConfig::builder_with_provider(Arc::new(provider)).with_protocol_versions(versions)?;
        let builder = match &clients {
            Some(clients) => builder.with_client_cert_verifier(Arc::clone(clients)),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_single_cert(chain.clone(), key.clone_key())?;
        config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
        Ok(Self { config, chain, key, clients })
    }
}
